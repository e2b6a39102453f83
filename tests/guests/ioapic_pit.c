/* SPDX-License-Identifier: Apache-2.0 */
/* The PIT through the IOAPIC's pin 2: edges arrive, masking stops them, the vector is the route's. */
#include "guest.h"

static volatile u32 ticks;
static void on_tick(struct frame *f) { ticks++; lapic_eoi(); }

void guest_main(void)
{
	irq_handle(0x50, on_tick);
	lapic_enable();
	ioapic_route(2, 0x50, lapic_read(LAPIC_ID) >> 24);
	CHECK_EQ(ioapic_read(0x14) & 0xff, 0x50);
	CHECK(ioapic_read(1) >> 16 >= 23);
	pit_start(2, 11932); /* 100 Hz */
	sti();
	CHECK(wait_for(&ticks, 3));
	cli();
	for (u32 want = ticks + 2; ticks < want;)
		sti_hlt();
	ioapic_route(2, 0x10050, 0);
	sti();
	u32 was = ticks;
	u64 start = rdtsc();
	while (rdtsc() - start < 100000000)
		;
	CHECK(ticks <= was + 1);
}
