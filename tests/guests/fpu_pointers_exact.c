/* SPDX-License-Identifier: Apache-2.0 */
/* With an unmasked x87 exception pending, the saved pointers are those of the instruction that caused it. */
#include "guest.h"

static u8 area[512] __attribute__((aligned(64)));
extern u8 fdiv_at[];

void guest_main(void)
{
	static double value;
	u16 cw = 0x37b;

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR);
	__asm__ volatile("fninit; fldcw %0; fld1; fdiv_at: fdivl %1" : : "m"(cw), "m"(value));
	__asm__ volatile("fxsaveq %0" : "=m"(area));
	CHECK_EQ(*(u64 *)(area + 8), (word)fdiv_at);
	CHECK_EQ(*(u64 *)(area + 16), (word)&value);
}
