/* SPDX-License-Identifier: Apache-2.0 */
/* XSAVE: XCR0's rules, header, AVX part, XSAVEOPT and XSAVEC where present, XRSTOR's checks, CPUID 0Dh. */
#include "guest.h"

static u8 area[2048] __attribute__((aligned(64)));

void guest_main(void)
{
	if (!(cpuid(1, 0).c & 1 << 26))
		guest_skip("no XSAVE");
	CHECK(!(cpuid(1, 0).c & 1 << 27));
	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).c & 1 << 27);
	struct cpuid x = cpuid(0xd, 0);
	CHECK((x.a & 3) == 3);
	TRY("xsetbv", : "c"(0), "a"(0), "d"(0));
	CHECK_FAULT(GP, 0);
	TRY("xsetbv", : "c"(1), "a"(1), "d"(0));
	CHECK_FAULT(GP, 0);
	TRY("xsetbv", : "c"(0), "a"(5), "d"(0)); /* AVX without SSE */
	CHECK_FAULT(GP, 0);
	TRY("xsetbv", : "c"(0), "a"(3), "d"(0));
	CHECK_NO_TRAP();
	CHECK_EQ(cpuid(0xd, 0).b, 576);
	u32 mask = 3;
	if (x.a & 4) {
		TRY("xsetbv", : "c"(0), "a"(7), "d"(0));
		CHECK_NO_TRAP();
		mask = 7;
		CHECK_EQ(cpuid(0xd, 0).b, 832);
		CHECK_EQ(cpuid(0xd, 2).a, 256);
		CHECK_EQ(cpuid(0xd, 2).b, 576);
	}
	u32 lo, hi;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	CHECK_EQ(lo, mask);
	CHECK_EQ(hi, 0);

	u64 pattern[4] = { 1, 2, 3, 4 }, got[4];
	if (mask == 7) {
		memory_fill(area, 0xee, sizeof area);
		memory_fill(area + 512, 0, 64);
		__asm__ volatile("fninit; vmovups %0, %%ymm5" : : "m"(pattern));
		__asm__ volatile("xsave64 %0" : "+m"(area) : "a"(7), "d"(0));
		CHECK_EQ(*(u64 *)(area + 512) & 6, 6);
		CHECK_EQ(*(u64 *)(area + 160 + 5 * 16), 1);
		CHECK_EQ(*(u64 *)(area + 576 + 5 * 16), 3);
		CHECK_EQ(area[832], 0xee);
		__asm__ volatile("vzeroall");
		__asm__ volatile("xrstor64 %0" : : "m"(area), "a"(7), "d"(0));
		__asm__ volatile("vmovups %%ymm5, %0" : "=m"(got));
		CHECK_EQ(got[0], 1);
		CHECK_EQ(got[3], 4);
		/* A component not in XSTATE_BV is set to its initial value; one not asked for is left. */
		*(u64 *)(area + 512) &= ~4ull;
		__asm__ volatile("xrstor64 %0" : : "m"(area), "a"(7), "d"(0));
		__asm__ volatile("vmovups %%ymm5, %0" : "=m"(got));
		CHECK_EQ(got[1], 2);
		CHECK_EQ(got[3], 0);
	}
	TRY("xsave64 %0", : "m"(area[16]), "a"(3), "d"(0));
	CHECK_FAULT(GP, 0);
	*(u64 *)(area + 512) = 1ull << 62;
	TRY("xrstor64 %0", : "m"(area), "a"(3), "d"(0));
	CHECK_FAULT(GP, 0);
	*(u64 *)(area + 512) = 3;
	*(u64 *)(area + 520) = 1;
	TRY("xrstor64 %0", : "m"(area), "a"(3), "d"(0));
	CHECK_FAULT(GP, 0);
}
