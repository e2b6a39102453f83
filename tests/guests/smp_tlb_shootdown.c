/* SPDX-License-Identifier: Apache-2.0 */
/* run: cpus=2 */
/* A page unmapped on one CPU with an IPI to another: the other does not write to it any more. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
static volatile u32 acks, round, running;
static volatile u64 *const v = (u64 *)VA;

static void on_ipi(struct frame *f)
{
	invlpg(VA);
	__asm__ volatile("lock incl %0" : "+m"(acks) : : "cc");
	lapic_eoi();
}

static void writer(unsigned cpu)
{
	lapic_write(LAPIC_TPR, 0);
	sti();
	running = 1;
	for (;;)
		__asm__ volatile("incq %0" : : "m"(*v) : "cc", "memory");
}

void guest_main(void)
{
	volatile u64 *pages[2] = { page_alloc(), page_alloc() };

	window_map(VA, (void *)pages[0], PTE_P | PTE_W);
	irq_handle(0x90, on_ipi);
	smp_start(2, writer);
	CHECK(wait_for(&running, 1));
	for (u32 i = 0; i < 50; i++) {
		volatile u64 *old = pages[i & 1], *new = pages[~i & 1];
		*window_pte(VA) = (word)new | PTE_P | PTE_W;
		ipi_send(1, 0x4090);
		CHECK(wait_for(&acks, i + 1));
		u64 before = *old, start = *new;
		while (*new == start)
			pause();
		CHECK_EQ(*old, before);
	}
}
