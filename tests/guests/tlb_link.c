/* SPDX-License-Identifier: Apache-2.0 */
/* Direct jumps to another page, and to an instruction on two pages, follow the page tables. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

static void flush(unsigned how)
{
	if (how)
		invlpg(VA + 4096);
	else
		WRITE_CR(3, READ_CR(3));
}

static u32 run(u64 at)
{
	u32 r;

	__asm__ volatile("call *%1" : "=a"(r) : "r"(at) : "memory", "cc");
	return r;
}

/* jmp rel32 from @from to @to, offsets in the code page. */
static void put_jmp(u8 *page, u32 from, u32 to)
{
	u32 rel = to - (from + 5);

	page[from] = 0xe9;
	memory_copy(page + from + 1, &rel, 4);
}

/* mov $imm32, %eax; ret */
static void put_mov(u8 *p, u32 imm)
{
	p[0] = 0xb8;
	memory_copy(p + 1, &imm, 4);
	p[5] = 0xc3;
}

void guest_main(void)
{
	u8 *code = page_alloc(), *next[2] = { page_alloc(), page_alloc() };

	put_jmp(code, 0x100, 4096 + 0x40);
	put_jmp(code, 0x200, 0xffd);
	code[0xffd] = 0xb8; /* mov $imm32, %eax with all but two bytes on the next page */
	code[0xffe] = 0x11;
	code[0xfff] = 0x22;
	for (unsigned i = 0; i < 2; i++) {
		put_mov(next[i] + 0x40, 1 + i);
		next[i][0] = (u8)(0x30 + i);
		next[i][1] = 0;
		next[i][2] = 0xc3;
	}
	window_map(VA, code, PTE_P | PTE_W);
	for (unsigned i = 0; i < 400; i++) {
		*window_pte(VA + 4096) = (word)next[i & 1] | PTE_P | PTE_W;
		flush(i >> 1 & 1);
		for (unsigned k = 0; k < 4; k++) {
			CHECK_EQ(run(VA + 0x100), 1 + (i & 1));
			CHECK_EQ(run(VA + 0x200), 0x302211 + ((i & 1) << 16));
		}
	}
}
