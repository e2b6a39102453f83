/* SPDX-License-Identifier: Apache-2.0 */
/* A return goes to what the page tables say now, also if the caller's page was replaced during the call. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

static u8 *pages[2];
static volatile unsigned now, by_cr3;

static void replace(void)
{
	now ^= 1;
	*window_pte(VA) = (word)pages[now] | PTE_P | PTE_W;
	if (by_cr3)
		WRITE_CR(3, READ_CR(3));
	else
		invlpg(VA);
}

static void keep(void)
{
}

static u32 run(void (*fn)(void))
{
	u32 r;

	__asm__ volatile("call *%1" : "=a"(r) : "r"(VA), "D"(fn) : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
	return r;
}

void guest_main(void)
{
	for (u8 i = 0; i < 2; i++) {
		/* sub $8, %rsp; call *%rdi; mov $imm32, %eax; add $8, %rsp; ret */
		static const u8 code[] = { 0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0xb8, 1, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3 };

		pages[i] = page_alloc();
		memory_copy(pages[i], code, sizeof(code));
		pages[i][7] = (u8)(1 + i);
	}
	window_map(VA, pages[0], PTE_P | PTE_W);
	for (unsigned i = 0; i < 200; i++) {
		by_cr3 = i >> 2 & 1;
		u32 r = run(i % 3 ? replace : keep);

		CHECK_EQ(r, 1 + now);
	}
}
