/* SPDX-License-Identifier: Apache-2.0 */
/* Shows generated code to whoever asked for it: listings, and the audit of tests/unit/soft. */
#include "cpu/soft/soft.h"
#include "cpu/x86/fpu.h"

static struct cpu_code code_between(const struct soft_vcpu *v, uint32_t from, uint32_t to)
{
	return (struct cpu_code){ .bytes = v->area.rw + from, .len = to - from, .at = (uint64_t)(uintptr_t)v->area.rx + from };
}

static void add_slow(const struct soft_vcpu *v, struct cpu_translation *t)
{
	unsigned n = 0;

	_Static_assert(CPU_SLOW_STUBS == 4 * TLB_NKINDS, "a stub for single accesses and for groups, flags parked or not");
	for (unsigned kind = 0; kind < TLB_NKINDS; kind++) {
		for (unsigned parked = 0; parked < 2; parked++) {
			t->slow[n++] = (uint64_t)(uintptr_t)v->area.rx + v->stubs.slow[kind][parked];
			t->slow[n++] = (uint64_t)(uintptr_t)v->area.rx + v->stubs.slow_group[kind][parked];
		}
	}
	t->slow_data = sizeof(struct soft_slow_data);
}

void soft_translated(struct soft_vcpu *v, const struct soft_block *b, uint32_t hot, uint32_t cold)
{
	const struct cpu_vm_config *c = &v->vm->config;
	struct cpu_translation t = { 0 };
	unsigned user = v->cpu.cpl == 3, index;

	if (!c->translated)
		return;
	t.hot = code_between(v, hot, b ? b->code_end : v->stubs.end);
	t.cold = code_between(v, cold, v->cold_used);
	add_slow(v, &t);
	if (b) {
		t.rip = b->rip;
		t.insns = b->insns;
		t.guest_bits = b->key & SOFT_KEY_64 ? 64 : 32;
		t.guest_len = MIN((size_t)b->bytes, (size_t)(4096 - (b->rip & 0xfff)));
		if (mmu_exec_entry(&v->cpu, b->rip, &index) && v->cpu.itlb[user].hva[index])
			t.guest = v->cpu.itlb[user].hva[index] + (b->rip & 0xfff);
		else
			t.guest_len = 0;
	}
	/* What it calls uses libc, and so vector registers. */
	cpu_leave(&v->cpu);
	c->translated(c->translated_ctx, &t);
}
