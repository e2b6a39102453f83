/* SPDX-License-Identifier: Apache-2.0 */
/* The RTC's periodic interrupt on pin 8: one until register C is read, then the next. */
#include "guest.h"

static volatile u32 ticks;
static u8 rtc_read(u8 r) { out8(0x70, r); return in8(0x71); }
static void rtc_write(u8 r, u8 v) { out8(0x70, r); out8(0x71, v); }
static void on_tick(struct frame *f) { ticks++; rtc_read(0xc); lapic_eoi(); }

void guest_main(void)
{
	irq_handle(0x58, on_tick);
	lapic_enable();
	ioapic_route(8, 0x58, lapic_read(LAPIC_ID) >> 24);
	rtc_write(0xa, (rtc_read(0xa) & 0xf0) | 8); /* 256 Hz */
	rtc_write(0xb, rtc_read(0xb) | 0x40);
	rtc_read(0xc);
	sti();
	CHECK(wait_for(&ticks, 5));
	rtc_write(0xb, rtc_read(0xb) & ~0x40);
}
