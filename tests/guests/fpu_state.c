/* SPDX-License-Identifier: Apache-2.0 */
/* FXSAVE, FXRSTOR: contents come back; layout; a fault half way; an interrupt does not disturb registers. */
#include "guest.h"

static u8 area[1024] __attribute__((aligned(64))), other[512] __attribute__((aligned(64)));
static volatile u32 ticks;
static void on_tick(struct frame *f) { ticks++; lapic_eoi(); }

void guest_main(void)
{
	u64 pattern[2] = { 0x0123456789abcdefull, 0xfedcba9876543210ull }, got[2];

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT);
	__asm__ volatile("fninit; fldpi; fld1; movups %0, %%xmm15; movups %0, %%xmm3" : : "m"(pattern));
	__asm__ volatile("fxsaveq %0" : "=m"(area));
	CHECK_EQ(*(u16 *)area, 0x37f);
	CHECK_EQ(*(u16 *)(area + 2), 0x3000); /* TOP 6 */
	CHECK_EQ(area[4], 0xc0);              /* two valid */
	CHECK_EQ(*(u64 *)(area + 32), 1ull << 63);
	CHECK_EQ(*(u16 *)(area + 40), 0x3fff);
	CHECK_EQ(*(u64 *)(area + 160 + 16 * 15), pattern[0]);
	CHECK_EQ(*(u32 *)(area + 24) & 0xffff, 0x1f80);
	__asm__ volatile("fninit; xorps %%xmm15, %%xmm15; xorps %%xmm3, %%xmm3" ::: "memory");
	__asm__ volatile("fxrstorq %0" : : "m"(area));
	__asm__ volatile("movups %%xmm15, %0" : "=m"(got));
	CHECK_EQ(got[0], pattern[0]);
	CHECK_EQ(got[1], pattern[1]);
	__asm__ volatile("fxsaveq %0" : "=m"(other));
	for (unsigned i = 0; i < 416; i++)
		if (i < 8 || i >= 32 || i == 24)
			CHECK_EQ(other[i], area[i]);
	TRY("fxsaveq %0", : "m"(area[8]));
	CHECK_FAULT(GP, 0);

	/* Interrupts and exceptions in between. */
	irq_handle(0x40, on_tick);
	lapic_enable();
	lapic_timer(0x20040, 100000);
	sti();
	for (u32 i = 0; i < 3000; i++) {
		pattern[0] += i;
		__asm__ volatile("movups %0, %%xmm7" : : "m"(pattern));
		if (i % 64 == 0)
			TRY("ud2", );
		__asm__ volatile("movups %%xmm7, %0" : "=m"(got));
		CHECK_EQ(got[0], pattern[0]);
		CHECK_EQ(got[1], pattern[1]);
	}
	cli();
}
