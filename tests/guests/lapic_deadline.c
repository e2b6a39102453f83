/* SPDX-License-Identifier: Apache-2.0 */
/* TSC-deadline mode: fires when the TSC has got there, clears the MSR, zero disarms. */
#include "guest.h"

static volatile u32 ticks;
static volatile u64 when;
static void on_tick(struct frame *f) { when = rdtsc(); ticks++; lapic_eoi(); }

void guest_main(void)
{
	if (!(cpuid(1, 0).c & 1 << 24))
		guest_skip("no TSC deadline");
	irq_handle(0x40, on_tick);
	lapic_enable();
	lapic_write(LAPIC_LVT_TIMER, 0x40040);
	__asm__ volatile("mfence" ::: "memory");
	sti();
	for (u32 i = 1; i <= 10; i++) {
		u64 deadline = rdtsc() + 2000000;
		wrmsr(0x6e0, deadline);
		CHECK(wait_for(&ticks, i));
		CHECK(when >= deadline);
		CHECK_EQ(rdmsr(0x6e0), 0);
	}
	wrmsr(0x6e0, 1); /* long past */
	CHECK(wait_for(&ticks, 11));
	wrmsr(0x6e0, rdtsc() + 20000000);
	CHECK(rdmsr(0x6e0) != 0);
	wrmsr(0x6e0, 0);
	u64 start = rdtsc();
	while (rdtsc() - start < 40000000)
		;
	CHECK_EQ(ticks, 11);
}
