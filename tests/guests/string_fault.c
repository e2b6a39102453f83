/* SPDX-License-Identifier: Apache-2.0 */
/* REP instructions that fault on the way: registers say how far they got, and they restart there. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
static volatile u32 faults;
static volatile word cx, si, di, at;
static void *pages[4];
extern u8 string_at[];

static void on_pf(struct frame *f)
{
	word va = READ_CR(2) & ~0xffful;

	faults++;
	cx = f->cx;
	si = f->si;
	di = f->di;
	at = f->ip;
	window_map(va, pages[(va - VA) / 4096 & 3], PTE_P | PTE_W);
}

void guest_main(void)
{
	u8 *from = page_alloc();

	page_alloc();
	page_alloc();
	for (unsigned i = 0; i < 4; i++)
		pages[i] = page_alloc();
	irq_handle(PF, on_pf);
	for (unsigned i = 0; i < 8192; i++)
		from[i] = (u8)(i * 7);
	/* 6000 bytes into two missing pages, unaligned so that an element crosses */
	u64 *s = (u64 *)from, *d = (u64 *)(VA + 0x7fc);
	word c = 700;
	__asm__ volatile("string_at: rep movsq" : "+S"(s), "+D"(d), "+c"(c) : : "memory");
	CHECK_EQ(c, 0);
	CHECK_EQ(faults, 2);
	CHECK_EQ(at, (word)string_at);
	CHECK_EQ(di, VA + 0x7fc + 256 * 8);
	CHECK_EQ(si, (word)from + 256 * 8);
	CHECK_EQ(cx, 700 - 256);
	for (unsigned i = 0; i < 5600; i++)
		CHECK_EQ(((u8 *)VA)[0x7fc + i], (u8)(i * 7));
	/* Compare runs into a missing page. */
	faults = 0;
	*window_pte(VA + 4096) = 0;
	invlpg(VA + 4096);
	s = (u64 *)from;
	u8 *d8 = (u8 *)VA + 0x7fc;
	u8 *s8 = from;
	c = 5600;
	__asm__ volatile("repe cmpsb" : "+S"(s8), "+D"(d8), "+c"(c) : : "memory", "cc");
	CHECK_EQ(c, 0);
	CHECK_EQ(faults, 1);
	CHECK_EQ(di, VA + 4096);
	/* Backwards. */
	faults = 0;
	*window_pte(VA) = 0;
	invlpg(VA);
	d8 = (u8 *)VA + 4096 + 10;
	c = 20;
	__asm__ volatile("std; rep stosb; cld" : "+D"(d8), "+c"(c) : "a"(0x5a) : "memory");
	CHECK_EQ(faults, 1);
	CHECK_EQ(cx, 9);
	CHECK_EQ((word)d8, VA + 4096 - 10);
	CHECK_EQ(((u8 *)VA)[4096 - 9], 0x5a);
	CHECK(((u8 *)VA)[4096 - 10] != 0x5a);
	/* A count of zero touches nothing. */
	c = 0;
	d8 = (u8 *)VA + 0x10000;
	__asm__ volatile("rep stosb" : "+D"(d8), "+c"(c) : "a"(0) : "memory");
	CHECK_EQ(faults, 1);
}
