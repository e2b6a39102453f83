/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT. Where AMD and Intel differ, the model's
 * vendor decides: AMD has SYSCALL outside 64-bit mode and no SYSENTER in long
 * mode, Intel the reverse; a non-canonical SYSRET target faults in the kernel
 * on Intel and at the user's first fetch on AMD.
 */
#include "cpu/x86/system.h"

/* RFLAGS that SYSRET takes from R11. */
#define SYSRET_FLAGS UINT64_C(0x3c7fd7)

static bool syscall_legacy(struct x86_cpu *cpu, uint64_t next)
{
	struct x86_state *s = &cpu->s;
	uint16_t sel = (uint16_t)(s->msr.star >> 32);

	s->gpr[X86_RCX] = (uint32_t)next;
	s->rip = (uint32_t)s->msr.star;
	s->seg[X86_CS] = x86_flat_code(sel, 0, false);
	s->seg[X86_SS] = x86_flat_data((uint16_t)(sel + 8), 0);
	s->rflags &= ~(uint64_t)(X86_FLAG_IF | X86_FLAG_RF | X86_FLAG_VM);
	cpu_update_mode(cpu);
	return true;
}

static bool exec_syscall_op(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_state *s = &cpu->s;
	uint16_t sel = (uint16_t)(s->msr.star >> 32);
	uint64_t next = insn_next_rip(cpu, insn);

	if (!(s->msr.efer & X86_EFER_SCE) || !(s->cr0 & X86_CR0_PE) || (cpu_is_intel(cpu) && !cpu->long_mode))
		return cpu_ud(cpu);
	if (!cpu_lma(cpu))
		return syscall_legacy(cpu, next);
	s->gpr[X86_RCX] = next;
	s->gpr[X86_R11] = s->rflags & ~(uint64_t)X86_FLAG_RF;
	s->rip = cpu->long_mode ? s->msr.lstar : s->msr.cstar;
	s->rflags &= ~(s->msr.sfmask | X86_FLAG_RF);
	s->rflags |= X86_FLAG_ONE;
	s->seg[X86_CS] = x86_flat_code(sel, 0, true);
	s->seg[X86_SS] = x86_flat_data((uint16_t)((sel & ~3u) + 8), 0);
	cpu_update_mode(cpu);
	return true;
}

static bool exec_sysret(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_state *s = &cpu->s;
	uint16_t sel = (uint16_t)(s->msr.star >> 48);
	bool to_64 = cpu->long_mode && insn->opsize == 8;

	if (!(s->msr.efer & X86_EFER_SCE) || (cpu_is_intel(cpu) && !cpu->long_mode))
		return cpu_ud(cpu);
	if (!cpu_protected(cpu) || cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (to_64 && cpu_is_intel(cpu) && !mmu_canonical(s->gpr[X86_RCX]))
		return cpu_gp(cpu, 0);
	s->rip = to_64 ? s->gpr[X86_RCX] : (uint32_t)s->gpr[X86_RCX];
	if (cpu_lma(cpu))
		s->rflags = (s->gpr[X86_R11] & SYSRET_FLAGS) | X86_FLAG_ONE;
	else
		s->rflags |= X86_FLAG_IF;
	s->seg[X86_CS] = x86_flat_code((uint16_t)(to_64 ? sel + 16 : sel), 3, to_64);
	s->seg[X86_SS] = x86_flat_data((uint16_t)(sel + 8), 3);
	cpu_update_mode(cpu);
	return true;
}

static bool exec_sysenter(struct x86_cpu *cpu)
{
	struct x86_state *s = &cpu->s;
	uint16_t sel = (uint16_t)(s->msr.sysenter_cs & 0xfffc);
	bool lma = cpu_lma(cpu);

	if (lma && !cpu_is_intel(cpu))
		return cpu_ud(cpu);
	if (!(s->cr0 & X86_CR0_PE) || !sel)
		return cpu_gp(cpu, 0);
	s->rflags &= ~(uint64_t)(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
	s->rip = lma ? s->msr.sysenter_eip : (uint32_t)s->msr.sysenter_eip;
	s->gpr[X86_RSP] = lma ? s->msr.sysenter_esp : (uint32_t)s->msr.sysenter_esp;
	s->seg[X86_CS] = x86_flat_code(sel, 0, lma);
	s->seg[X86_SS] = x86_flat_data((uint16_t)(sel + 8), 0);
	cpu_update_mode(cpu);
	return true;
}

static bool exec_sysexit(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_state *s = &cpu->s;
	uint16_t sel = (uint16_t)(s->msr.sysenter_cs & 0xfffc);
	bool to_64 = cpu->long_mode && insn->opsize == 8;

	if (cpu_lma(cpu) && !cpu_is_intel(cpu))
		return cpu_ud(cpu);
	if (!cpu_protected(cpu) || cpu->cpl != 0 || !sel)
		return cpu_gp(cpu, 0);
	if (to_64 && (!mmu_canonical(s->gpr[X86_RDX]) || !mmu_canonical(s->gpr[X86_RCX])))
		return cpu_gp(cpu, 0);
	s->rip = to_64 ? s->gpr[X86_RDX] : (uint32_t)s->gpr[X86_RDX];
	s->gpr[X86_RSP] = to_64 ? s->gpr[X86_RCX] : (uint32_t)s->gpr[X86_RCX];
	s->seg[X86_CS] = x86_flat_code((uint16_t)(sel + (to_64 ? 32 : 16)), 3, to_64);
	s->seg[X86_SS] = x86_flat_data((uint16_t)(sel + (to_64 ? 40 : 24)), 3);
	cpu_update_mode(cpu);
	return true;
}

bool exec_syscall(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_SYSCALL: return exec_syscall_op(cpu, insn);
	case X86_OP_SYSRET: return exec_sysret(cpu, insn);
	case X86_OP_SYSENTER: return exec_sysenter(cpu);
	default: return exec_sysexit(cpu, insn);
	}
}
