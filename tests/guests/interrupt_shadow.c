/* SPDX-License-Identifier: Apache-2.0 */
/* STI's shadow: no interrupt before the following instruction is done; STI;HLT wakes. */
#include "guest.h"

static volatile u32 ticks;
static volatile word at;
static void on_ipi(struct frame *f) { ticks++; at = f->ip; lapic_eoi(); }
extern u8 after_sti[], after_cli[];

static void pend(void)
{
	cli();
	lapic_write(LAPIC_ICR, 0x44060);
	for (u64 start = rdtsc(); rdtsc() - start < 300000;)
		;
}

void guest_main(void)
{
	irq_handle(0x60, on_ipi);
	lapic_enable();
	/* sti; cli: never taken */
	for (u32 i = 0; i < 100; i++) {
		pend();
		__asm__ volatile("sti; cli" ::: "memory");
		CHECK_EQ(ticks, i);
		__asm__ volatile("sti; nop\n after_sti: nop; nop; cli" ::: "memory");
		CHECK_EQ(ticks, i + 1);
		CHECK_EQ(at, (word)after_sti);
	}
	/* A second STI does not prolong the shadow. */
	ticks = 0;
	pend();
	__asm__ volatile("sti; sti; after_cli: cli" ::: "memory");
	CHECK_EQ(ticks, 1);
	/* sti; hlt */
	pend();
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	CHECK_EQ(ticks, 2);
}
