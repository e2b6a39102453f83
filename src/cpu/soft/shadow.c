/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shadow stacks: a guest CALL is a host CALL besides, so that a guest RET can be
 * a host RET, which the host's return predictor knows. What the host stack says
 * is a guess: the landing pad behind each call compares the guest's own return
 * address and goes to the indirect-branch table when it is another one.
 *
 * There is a stack for each TLB mode, as code of one privilege must never run
 * blocks of another (SOFT-CPU.md F1), and a stack is emptied when the mapping of
 * a page that it may lead to could have changed. Below an empty stack lies the
 * address of the miss path; below a full one a page that faults.
 */
#include "cpu/soft/soft.h"

#define ALL_MODES ((1u << TLB_NMODES) - 1)

enum lodge_err soft_shadow_init(struct soft_vcpu *v, struct lodge_error *err)
{
	for (unsigned m = 0; m < TLB_NMODES; m++) {
		uint64_t top;

		v->shadow[m] = host_alloc_stack(SOFT_SHADOW_BYTES);
		if (!v->shadow[m])
			return error_set(err, LODGE_ERR_NOMEM, "out of memory for vcpu %u's call stacks", v->cpu.index);
		v->shadow_base[m] = (uint64_t)(uintptr_t)v->shadow[m] + SOFT_SHADOW_BYTES - 16;
		top = (uint64_t)(uintptr_t)(v->area.rx + v->stubs.ret_miss[m]);
		__builtin_memcpy(v->shadow[m] + SOFT_SHADOW_BYTES - 16, &top, sizeof(top));
	}
	v->shadow_reset = ALL_MODES;
	return LODGE_OK;
}

void soft_shadow_fini(struct soft_vcpu *v)
{
	for (unsigned m = 0; m < TLB_NMODES; m++)
		host_free_stack(v->shadow[m], SOFT_SHADOW_BYTES);
}

/* Before generated code is entered. */
void soft_shadow_prepare(struct soft_vcpu *v)
{
	for (unsigned m = 0; m < TLB_NMODES && v->shadow_reset; m++)
		if (v->shadow_reset >> m & 1)
			v->shadow_rsp[m] = v->shadow_base[m];
	v->shadow_reset = 0;
	v->jit_rsp = v->shadow_rsp[v->cpu.tlb_mode];
}

/* Translations were dropped, all or but the global ones. */
void soft_shadow_forget(struct soft_vcpu *v, bool global)
{
	uint32_t modes = global ? ALL_MODES : 1u << TLB_USER | v->shadow_nonglobal;

	v->shadow_reset |= modes;
	v->shadow_nonglobal &= ~modes;
}

/* A deep recursion ran into the guard: start over; the returns that were lost miss. */
bool soft_shadow_overflow(struct soft_vcpu *v, struct host_fault *f)
{
	uint64_t rsp = *f->gpr[4];

	for (unsigned m = 0; m < TLB_NMODES; m++) {
		uint64_t low = (uint64_t)(uintptr_t)v->shadow[m];

		if (f->kind == HOST_FAULT_SEGV && rsp == low && f->addr < low && f->addr >= low - HOST_STACK_GUARD) {
			*f->gpr[4] = v->shadow_base[m];
			return true;
		}
	}
	return false;
}
