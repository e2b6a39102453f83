/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults that the host CPU raises while it runs a guest's own instruction:
 * divide errors, unaligned SSE operands, unmasked floating-point exceptions.
 * Registers are architectural before every instruction, so it is enough to
 * store them, find the guest's RIP and leave the code cache; the interpreter
 * then runs the instruction and raises what is due.
 */
#include "cpu/soft/emit.h"
#include "cpu/x86/fpu.h"

static void store_state(struct soft_vcpu *v, const struct host_fault *f, const struct soft_map *m, const struct soft_block *b)
{
	struct x86_state *s = &v->cpu.s;
	uint64_t arith = *f->rflags & X86_FLAGS_ARITH;

	for (unsigned n = 0; n < 16; n++)
		if (n != X86_R10 && n != X86_R11 && n != X86_R15)
			s->gpr[n] = *f->gpr[n == X86_RSP ? HR_GUEST_RSP : n];
	if (m->guest & SOFT_MAP_PARKED)
		arith = (v->park_flags >> 8 & 0xd5u) | ((v->park_flags & 1u) ? X86_FLAG_OF : 0u);
	s->rflags = (s->rflags & ~(uint64_t)X86_FLAGS_ARITH) | arith;
	s->rip = b->rip + (m->guest & SOFT_MAP_OFFSET);
}

/* How many instructions from number @i on were counted, though they did not run. */
static uint32_t counted_after(const struct soft_vcpu *v, const struct soft_block *b, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < b->insns && !(v->maps[b->map + end].guest & SOFT_MAP_COUNTED))
		end++;
	return end - i;
}

bool soft_fault_hook(struct host_fault *f)
{
	struct x86_cpu *cpu = cpu_current;
	struct soft_vcpu *v;
	struct soft_block *b;
	uint64_t pc = *f->rip;
	uint32_t offset, i;

	if (!cpu)
		return false;
	if (cpu_fp_fault(f, cpu))
		return true;
	if (cpu->engine != cpu || f->kind == HOST_FAULT_BUS)
		return false;
	v = soft_of(cpu);
	if (soft_shadow_overflow(v, f))
		return true;
	if (pc < (uint64_t)(uintptr_t)v->area.rx || pc >= (uint64_t)(uintptr_t)v->area.rx + v->area.bytes)
		return false;
	offset = (uint32_t)(pc - (uint64_t)(uintptr_t)v->area.rx);
	b = soft_block_by_code(v, offset);
	if (!b)
		return false;
	for (i = b->insns; i-- > 1;)
		if (v->maps[b->map + i].host <= offset - b->code)
			break;
	if (b->insns == 1)
		i = 0;
	store_state(v, f, &v->maps[b->map + i], b);
	v->jit_insns -= v->vm->config.stats ? counted_after(v, b, i) : 0;
	*f->rip = (uint64_t)(uintptr_t)v->area.rx + v->stubs.fault;
	return true;
}
