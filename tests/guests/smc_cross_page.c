/* SPDX-License-Identifier: Apache-2.0 */
/* Code across two pages, either half changed; code changed through another mapping of the page. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
#define ALIAS (WINDOW + 0x8000)

void guest_main(void)
{
	u8 *a = page_alloc(), *b = page_alloc();
	int r;

	/* b8 imm32 at 0xffd: opcode and two bytes on one page, two bytes and the RET on the next. */
	a[0xffd] = 0xb8;
	b[2] = 0xc3;
	window_map(VA, a, PTE_P | PTE_W);
	window_map(VA + 4096, b, PTE_P | PTE_W);
	window_map(ALIAS, b, PTE_P | PTE_W);
	for (u32 i = 0; i < 200; i++) {
		*(volatile u16 *)(a + 0xffe) = (u16)i;
		__asm__ volatile("call *%1" : "=a"(r) : "r"(VA + 0xffd) : "memory", "cc");
		CHECK_EQ((u32)r & 0xffff, i);
		*(volatile u16 *)(i & 1 ? ALIAS : VA + 4096) = (u16)(i * 3);
		__asm__ volatile("call *%1" : "=a"(r) : "r"(VA + 0xffd) : "memory", "cc");
		CHECK_EQ((u32)r, i | (i * 3) << 16);
	}
	/* The second page replaced. */
	u8 *c = page_alloc();

	c[0] = 0x77;
	c[1] = 0x66;
	c[2] = 0xc3;
	window_map(VA + 4096, c, PTE_P | PTE_W);
	__asm__ volatile("call *%1" : "=a"(r) : "r"(VA + 0xffd) : "memory", "cc");
	CHECK_EQ((u32)r >> 16, 0x6677);
	/* and taken away: the fault is at the instruction, CR2 at the missing page */
	*window_pte(VA + 4096) = 0;
	invlpg(VA + 4096);
	TRY("sub $8, %%rsp; jmp *%0", : "r"(VA + 0xffd) : "memory", "cc");
	__asm__ volatile("add $8, %%rsp" ::: "memory", "cc");
	CHECK_EQ(trap.vector, PF);
	CHECK_EQ(trap.f.ip, VA + 0xffd);
	CHECK_EQ(trap.cr2, VA + 4096);
}
