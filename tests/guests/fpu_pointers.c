/* SPDX-License-Identifier: Apache-2.0 */
/* The last x87 instruction and operand pointers are the guest's own or nothing, never the host's; FNINIT clears them. */
#include "guest.h"

static u8 area[512] __attribute__((aligned(64)));

void guest_main(void)
{
	static double value = 1.0;

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR);
	for (unsigned i = 0; i < 50; i++) {
		u16 cw = i & 1 ? 0x37b : 0x37f;
		*(volatile u64 *)&value = i & 2 ? 0 : 0x3ff0000000000000ull; /* 0.0 or 1.0 */
		memory_fill(area, 0, sizeof area);
		__asm__ volatile("fninit; fldcw %0; fld1; fldl %1; fdivrp" : : "m"(cw), "m"(value));
		__asm__ volatile("fxsaveq %0" : "=m"(area));
		CHECK(*(u64 *)(area + 8) < (u64)(word)guest_end);
		CHECK(*(u64 *)(area + 16) < (u64)(word)guest_end);
		__asm__ volatile("fnclex; fninit");
		memory_fill(area, 0, sizeof area);
		__asm__ volatile("fxsaveq %0" : "=m"(area));
		CHECK_EQ(*(u64 *)(area + 8), 0);
		CHECK_EQ(*(u64 *)(area + 16), 0);
	}
}
