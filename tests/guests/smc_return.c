/* SPDX-License-Identifier: Apache-2.0 */
/* What a call returns to is what memory holds then, also if the callee wrote it; and a branch's other way, if the code before it did. */
#include "guest.h"

static u8 *page;

/* One function, so that the call is one that the engine knows when it matters. */
static void patch(u32 value)
{
	if (page[9] != (u8)value)
		page[9] = (u8)value; /* the immediate behind the call */
}

static u32 call_page(unsigned at, word first, word second)
{
	u32 r;

	__asm__ volatile("call *%3" : "=a"(r), "+D"(first), "+S"(second) : "r"(page + at) : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	return r;
}

void guest_main(void)
{
	/* sub $8, %rsp; call *%rsi; mov $imm32, %eax; add $8, %rsp; ret */
	static const u8 calls[] = { 0x48, 0x83, 0xec, 8, 0xff, 0xd6, 0x90, 0x90, 0xb8, 1, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3 };
	/* mov %dil, 5(%rip), the immediate; test %esi, %esi; jne +6; mov $imm32, %eax; ret; mov $9, %eax; ret */
	static const u8 branches[] = { 0x40, 0x88, 0x3d, 5, 0, 0, 0, 0x85, 0xf6, 0x75, 6, 0xb8, 0, 0, 0, 0, 0xc3, 0xb8, 9, 0, 0, 0, 0xc3 };

	page = page_alloc();
	memory_copy(page, calls, sizeof(calls));
	memory_copy(page + 256, branches, sizeof(branches));
	for (u32 i = 0; i < 300; i++) {
		u32 now = page[9], value = i & 63, r;

		if (i % 20 != 19)
			value = now;
		r = call_page(0, value, (word)patch);
		CHECK_EQ(r, value);
		r = call_page(256, value, i % 3 == 0);
		CHECK_EQ(r, i % 3 == 0 ? 9 : value);
	}
}
