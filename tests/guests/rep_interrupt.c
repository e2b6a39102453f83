/* SPDX-License-Identifier: Apache-2.0 */
/* A REP instruction is interrupted half way, and goes on with the right registers and the right result. */
#include "guest.h"

static volatile u32 ticks, inside;
static volatile word cx_seen;
extern u8 rep_at[];
static void on_tick(struct frame *f)
{
	ticks++;
	if (f->ip == (word)rep_at && f->cx && f->cx < 0x1000000) {
		inside++;
		cx_seen = f->cx;
		if (f->di != 0x1200000 + (0x1000000 - f->cx))
			inside = 1u << 31;
	}
	lapic_eoi();
}

void guest_main(void)
{
	irq_handle(0x40, on_tick);
	lapic_enable();
	lapic_timer(0x20040, 400000);
	sti();
	/* Many times if need be: the timer may by chance come at the end of each. */
	for (u32 i = 0; i < 200 && (i < 4 || !inside); i++) {
		word c = 0x1000000;
		u8 *d = (u8 *)0x1200000;
		__asm__ volatile("rep_at: rep stosb" : "+c"(c), "+D"(d) : "a"(i + 1) : "memory");
		CHECK_EQ(c, 0);
		CHECK_EQ((word)d, 0x2200000);
		for (u8 *p = (u8 *)0x1200000; p < d; p += 4093)
			CHECK_EQ(*p, i + 1);
	}
	cli();
	CHECK(inside);
	CHECK(!(inside >> 31));
}
