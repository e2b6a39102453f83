/* SPDX-License-Identifier: Apache-2.0 */
/* MSRs: unknown ones and bad values are #GP(0); read back what was written; ring 3 has none. */
#include "guest.h"

#define BAD_WRITE(msr, v)                                                                                  \
	do {                                                                                               \
		TRY("wrmsr", : "c"(msr), "a"((u32)(v)), "d"((u32)((u64)(v) >> 32)) : "memory");            \
		guest_check_equal(trap.vector, GP, __LINE__, "WRMSR of " #msr);                            \
		guest_check_equal(trap.f.error, 0, __LINE__, "error code");                                \
	} while (0)
CODE(user, "rdmsr\n");

void guest_main(void)
{
	TRY("rdmsr", : "c"(0x12345) : "rax", "rdx");
	CHECK_FAULT(GP, 0);
	BAD_WRITE(0x12345, 0);
	BAD_WRITE(EFER, rdmsr(EFER) | 1ull << 63);
	BAD_WRITE(EFER, rdmsr(EFER) & ~0x100ull); /* LME while paging */
	BAD_WRITE(0xc0000082, 0x800000000000ull);
	BAD_WRITE(0xc0000100, 0x800000000000ull);
	BAD_WRITE(0xc0000101, 0x8000000000000000ull);
	BAD_WRITE(0xc0000102, 0x800000000000ull);
	BAD_WRITE(0x277, 2); /* PAT: no memory type 2 */
	BAD_WRITE(0x277, 8);
	BAD_WRITE(0x1b, 1ull << 63);
	static const u32 kept[] = { 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176 };
	for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++) {
		wrmsr(kept[i], 0x7fff12345678ull + i);
		CHECK_EQ(rdmsr(kept[i]), 0x7fff12345678ull + i);
	}
	CHECK_EQ(rdmsr(0x277), 0x0007040600070406ull);
	CHECK_EQ(rdmsr(0x1b) & 0xfffff900, 0xfee00900);
	CHECK(!(rdmsr(0xfe) & ~0xfffull));
	u64 t = rdmsr(0x10);
	CHECK(rdtsc() > t);
	CHECK_EQ(rdmsr(EFER) & 0x500, 0x500);
	/* GS base and SWAPGS. */
	wrmsr(0xc0000101, 0x1111000);
	wrmsr(0xc0000102, 0x2222000);
	__asm__ volatile("swapgs");
	CHECK_EQ(rdmsr(0xc0000101), 0x2222000);
	CHECK_EQ(rdmsr(0xc0000102), 0x1111000);
	__asm__ volatile("swapgs");
	CHECK_EQ(USER(user, 0), GP);
}
