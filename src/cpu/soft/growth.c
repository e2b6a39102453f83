/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Huge pages under what grows with the guest's code. A host's page fault costs
 * microseconds and the code cache takes two for each page, one of each mapping;
 * huge pages take one of 512 and leave the host's TLB to the guest.
 *
 * Memory must not be spent on vcpus that do little: the first huge page of a
 * region comes when a quarter of it is in use, so that the memory is at most
 * four times what is used, and the next ones when the one before is full.
 */
#include "base/checked.h"
#include "cpu/soft/soft.h"

#define FIRST_AT (HOST_HUGE_PAGE_BYTES / 4)
/* Something of it must be there before a page becomes huge. */
#define NEXT_AT 4096u

void soft_growth_init(struct soft_growth *g, void *base, uint64_t bytes)
{
	uint64_t first = align_up((uintptr_t)base, HOST_HUGE_PAGE_BYTES) - (uintptr_t)base;

	*g = (struct soft_growth){ .base = base, .bytes = bytes, .next = first + FIRST_AT };
}

void soft_growth_step(struct soft_growth *g, uint64_t used)
{
	uint64_t start = (uintptr_t)g->base, window = align_down(start + used, HOST_HUGE_PAGE_BYTES);

	if (window >= start && window + HOST_HUGE_PAGE_BYTES <= start + g->bytes)
		host_want_huge_page((void *)(uintptr_t)window);
	g->next = window + HOST_HUGE_PAGE_BYTES - start + NEXT_AT;
}
