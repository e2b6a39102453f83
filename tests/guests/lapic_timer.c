/* SPDX-License-Identifier: Apache-2.0 */
/* LAPIC timer: one-shot fires once, periodic goes on, masked not at all; the count runs down. */
#include "guest.h"

static volatile u32 ticks;
static void on_tick(struct frame *f) { ticks++; lapic_eoi(); }

void guest_main(void)
{
	irq_handle(0x40, on_tick);
	lapic_enable();
	lapic_timer(0x40, 200000);
	u32 now = lapic_read(LAPIC_TIMER_NOW);
	CHECK(now <= 200000);
	sti();
	CHECK(wait_for(&ticks, 1));
	CHECK_EQ(lapic_read(LAPIC_TIMER_NOW), 0);
	u64 start = rdtsc();
	while (rdtsc() - start < 20000000)
		;
	CHECK_EQ(ticks, 1);
	lapic_timer(0x20040, 500000);
	CHECK(wait_for(&ticks, 6));
	/* A periodic timer woken from HLT. */
	cli();
	for (u32 want = ticks + 5; ticks < want;)
		sti_hlt();
	lapic_write(LAPIC_TIMER_INIT, 0);
	sti();
	start = rdtsc();
	while (rdtsc() - start < 1000000)
		;
	u32 was = ticks;
	lapic_timer(0x10040, 1000);
	start = rdtsc();
	while (rdtsc() - start < 20000000)
		;
	CHECK_EQ(ticks, was);
	CHECK_EQ(lapic_read(LAPIC_TIMER_NOW), 0);
	/* TPR holds it back. */
	cli();
	lapic_write(LAPIC_TPR, 0x40);
	lapic_timer(0x40, 1000);
	sti();
	start = rdtsc();
	while (rdtsc() - start < 20000000)
		;
	CHECK_EQ(ticks, was);
	CHECK_EQ(lapic_read(LAPIC_IRR + 0x20) & 1, 1);
	WRITE_CR(8, 3);
	CHECK(wait_for(&ticks, was + 1));
	CHECK_EQ(lapic_read(LAPIC_TPR), 0x30);
}
