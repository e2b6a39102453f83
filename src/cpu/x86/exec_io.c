/* SPDX-License-Identifier: Apache-2.0 */
/* IN, OUT and the I/O permission rules. */
#include "cpu/x86/debug.h"
#include "cpu/x86/system.h"

/* The bitmap in a 32- or 64-bit TSS; two bytes are always read, so that ports crossing a byte are covered. */
static bool io_bitmap_allows(struct x86_cpu *cpu, uint16_t port, unsigned size)
{
	const struct x86_segment *tr = &cpu->s.tr;
	uint64_t base, bits;
	uint32_t at;

	if (!(tr->attr & X86_SEG_P) || (desc_type(&(struct x86_desc){ .attr = tr->attr }) & ~2u) != X86_SYS_TSS32 || tr->limit < 103)
		return cpu_gp(cpu, 0);
	if (!mmu_read(cpu, tr->base + 102, 2, TLB_KERNEL, &base))
		return false;
	at = (uint32_t)base + port / 8;
	if (at + 1 > tr->limit)
		return cpu_gp(cpu, 0);
	if (!mmu_read(cpu, tr->base + at, 2, TLB_KERNEL, &bits))
		return false;
	if (bits >> (port % 8) & ((1u << size) - 1))
		return cpu_gp(cpu, 0);
	return true;
}

bool x86_io_allowed(struct x86_cpu *cpu, uint16_t port, unsigned size)
{
	if (!(cpu->s.cr0 & X86_CR0_PE))
		return true;
	if (!cpu_v86(cpu) && cpu->cpl <= cpu_iopl(cpu))
		return true;
	return io_bitmap_allows(cpu, port, size);
}

uint32_t x86_port_in(struct x86_cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;

	cpu->stats.port_exits++;
	if (unlikely(cpu->s.dr7 & X86_DR7_ENABLES))
		x86_debug_io_access(cpu, port, size);
	if (!cpu->env)
		return mask;
	cpu_leave(cpu);
	return cpu->env->port_in(cpu->env_ctx, port, size) & mask;
}

void x86_port_out(struct x86_cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
	uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;

	cpu->stats.port_exits++;
	if (unlikely(cpu->s.dr7 & X86_DR7_ENABLES))
		x86_debug_io_access(cpu, port, size);
	if (!cpu->env)
		return;
	cpu_leave(cpu);
	cpu->env->port_out(cpu->env_ctx, port, size, value & mask);
}

/* E4-E7 name the port in an immediate, EC-EF in DX; the low opcode bit says byte or word/dword. */
bool exec_io(struct x86_cpu *cpu, const struct insn *insn)
{
	uint16_t port = insn->opcode & 8 ? (uint16_t)cpu->s.gpr[X86_RDX] : (uint16_t)(insn->imm & 0xff);
	unsigned size = insn->opcode & 1 ? (insn->opsize == 2 ? 2 : 4) : 1;
	uint64_t *rax = &cpu->s.gpr[X86_RAX];
	uint32_t v;

	if (!x86_io_allowed(cpu, port, size))
		return false;
	if (insn->op == X86_OP_OUT) {
		x86_port_out(cpu, port, size, (uint32_t)*rax);
		return insn_done(cpu, insn);
	}
	v = x86_port_in(cpu, port, size);
	if (size == 4)
		*rax = v;
	else if (size == 2)
		*rax = (*rax & ~UINT64_C(0xffff)) | v;
	else
		*rax = (*rax & ~UINT64_C(0xff)) | v;
	return insn_done(cpu, insn);
}
