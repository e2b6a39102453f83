/* SPDX-License-Identifier: Apache-2.0 */
/* The PIT through the 8259 and virtual wire (LINT0 as ExtINT): vector base, EOI, mask, ISR. */
#include "guest.h"

static volatile u32 ticks;
static u8 isr;
static void on_tick(struct frame *f)
{
	out8(0x20, 0x0b);
	isr = in8(0x20);
	ticks++;
	out8(0x20, 0x20);
}

void guest_main(void)
{
	irq_handle(0x20, on_tick);
	lapic_enable();
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	ioapic_route(2, 0x10050, 0);
	pic_init(0xfe, 0xff);
	CHECK_EQ(in8(0x21), 0xfe);
	pit_start(2, 11932);
	sti();
	CHECK(wait_for(&ticks, 3));
	CHECK_EQ(isr, 1);
	out8(0x21, 0xff);
	u32 was = ticks;
	u64 start = rdtsc();
	while (rdtsc() - start < 100000000)
		;
	CHECK(ticks <= was + 1);
	out8(0x21, 0xfe);
	CHECK(wait_for(&ticks, was + 2));
}
