/* SPDX-License-Identifier: Apache-2.0 */
/* Operand access beyond a TLB hit: segment checks, faults, MMIO, read-modify-write, the stack. */
#include "cpu/x86/access.h"

uint64_t x86_ea(const struct x86_cpu *cpu, const struct insn *insn)
{
	return insn_ea(cpu, insn);
}

bool x86_read_slow(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t *v)
{
	uint64_t lin;

	return x86_linear(cpu, seg, ea, size, X86_READ, &lin) && mmu_read(cpu, lin, size, data_mode(cpu), v);
}

bool x86_write_slow(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t v)
{
	uint64_t lin;

	return x86_linear(cpu, seg, ea, size, X86_WRITE, &lin) && mmu_write(cpu, lin, size, data_mode(cpu), v);
}

bool x86_mem_read(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t *value)
{
	return mem_read_at(cpu, insn->seg, insn_ea(cpu, insn), size, value);
}

bool x86_mem_write(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t value)
{
	return mem_write_at(cpu, insn->seg, insn_ea(cpu, insn), size, value);
}

bool x86_rmw_begin(struct x86_cpu *cpu, const struct insn *insn, unsigned seg, uint64_t ea, unsigned size,
	struct mem_rmw *rmw, uint64_t *old)
{
	rmw->size = size;
	rmw->lock = insn->flags & INSN_LOCK || insn->op == X86_OP_XCHG;
	rmw->slow = false;
	rmw->host = mem_fast(cpu, seg, ea, size, TLB_WRITE);
	if (likely(rmw->host)) {
		*old = host_get(rmw->host, size);
		return true;
	}
	rmw->slow = true;
	/* A writable data segment is readable too. */
	if (!x86_linear(cpu, seg, ea, size, X86_WRITE, &rmw->lin) ||
		!mmu_rmw_begin(cpu, rmw->lin, size, data_mode(cpu), &rmw->mmu))
		return false;
	rmw->host = rmw->mmu.host;
	if (!rmw->host)
		return mmu_read(cpu, rmw->lin, size, data_mode(cpu), old);
	*old = host_get(rmw->host, size);
	return true;
}

/* LOCK CMPXCHG of the host; *old becomes what is there. */
static bool host_cmpxchg(void *p, unsigned size, uint64_t *old, uint64_t v)
{
	uint64_t was = *old;
	bool ok;

	switch (size) {
	case 1: __asm__ volatile("lock cmpxchgb %b3, %1" : "+a"(was), "+m"(*(uint8_t *)p),
		"=@ccz"(ok) : "r"(v) : "memory"); break;
	case 2: __asm__ volatile("lock cmpxchgw %w3, %1" : "+a"(was), "+m"(*(struct guest16 *)p),
		"=@ccz"(ok) : "r"(v) : "memory"); break;
	case 4: __asm__ volatile("lock cmpxchgl %k3, %1" : "+a"(was), "+m"(*(struct guest32 *)p),
		"=@ccz"(ok) : "r"(v) : "memory"); break;
	default: __asm__ volatile("lock cmpxchgq %3, %1" : "+a"(was), "+m"(*(struct guest64 *)p),
		"=@ccz"(ok) : "r"(v) : "memory"); break;
	}
	*old = was & alu_mask(size);
	return ok;
}

bool x86_rmw_commit_slow(struct x86_cpu *cpu, struct mem_rmw *rmw, uint64_t *old, uint64_t v)
{
	if (!rmw->host) {
		/* MMIO, or two pages: rmw_begin() proved the right to write, so this cannot fault. */
		bool stored = mmu_write(cpu, rmw->lin, rmw->size, data_mode(cpu), v);

		(void)stored;
		return true;
	}
	if (!rmw->lock)
		host_put(rmw->host, rmw->size, v);
	else if (!host_cmpxchg(rmw->host, rmw->size, old, v))
		return false;
	if (rmw->slow)
		mmu_rmw_end(cpu, &rmw->mmu);
	return true;
}

bool x86_push(struct x86_cpu *cpu, unsigned size, uint64_t value)
{
	uint64_t sp = (cpu->s.gpr[X86_RSP] - size) & stack_mask(cpu);

	if (!mem_write_at(cpu, X86_SS, sp, size, value))
		return false;
	set_sp(cpu, sp);
	return true;
}

bool x86_pop(struct x86_cpu *cpu, unsigned size, uint64_t *value)
{
	uint64_t sp = cpu->s.gpr[X86_RSP] & stack_mask(cpu);

	if (!mem_read_at(cpu, X86_SS, sp, size, value))
		return false;
	set_sp(cpu, sp + size);
	return true;
}
