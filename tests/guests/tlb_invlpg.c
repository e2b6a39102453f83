/* SPDX-License-Identifier: Apache-2.0 */
/* Changed entries are seen after INVLPG and after CR3; making a page present or writable needs no flush. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	volatile u32 *a = page_alloc(), *b = page_alloc(), *v = (u32 *)VA;
	volatile u64 *pte = window_pte(VA);

	*a = 0xa;
	*b = 0xb;
	TRY("mov (%0), %%eax", : "r"(VA) : "rax");
	CHECK_PF(VA, 0);
	*pte = (word)a | PTE_P;
	TRY("mov (%0), %%eax", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
	CHECK_EQ(*v, 0xa);
	/* Read-only becomes writable. A CPU may hold the old entry and fault once; then the new one counts. */
	*pte |= PTE_W;
	TRY("movl $0xaa, (%0)", : "r"(VA) : "memory");
	TRY("movl $0xaa, (%0)", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	CHECK_EQ(*a, 0xaa);
	*pte = (word)b | PTE_P | PTE_W;
	invlpg(VA + 0xff0);
	CHECK_EQ(*v, 0xb);
	*v = 0xbb;
	CHECK_EQ(*b, 0xbb);
	*pte = (word)a | PTE_P | PTE_W;
	WRITE_CR(3, READ_CR(3));
	CHECK_EQ(*v, 0xaa);
	*pte = 0;
	invlpg(VA);
	TRY("mov (%0), %%eax", : "r"(VA) : "rax");
	CHECK_PF(VA, 0);
	/* INVLPG of any address never faults, not even a non-canonical one. */
	TRY("invlpg (%0)", : "r"(0x800000000000ull) : "memory");
	CHECK_NO_TRAP();
	/* Code: another page under the same address. */
	u8 *c = (u8 *)a, *d = (u8 *)b;
	int r;
	c[0] = 0xb8; c[1] = 1; c[2] = 0; c[3] = 0; c[4] = 0; c[5] = 0xc3; /* mov $1, %eax; ret */
	memory_copy(d, c, 6);
	d[1] = 2;
	for (unsigned i = 0; i < 100; i++) {
		window_map(VA, i & 1 ? d : c, PTE_P | PTE_W);
		__asm__ volatile("call *%1" : "=a"(r) : "r"(VA) : "memory", "cc");
		CHECK_EQ(r, i & 1 ? 2 : 1);
	}
	/* INVLPG inside a large page drops all of it. */
	volatile u32 *l = (u32 *)(WINDOW + (9 << 21));
	*(volatile u32 *)0x1600000 = 0x16;
	*(volatile u32 *)0x1700008 = 0x17;
	*(volatile u32 *)0x1800000 = 0x18;
	*(volatile u32 *)0x1900008 = 0x19;
	window_pd[9] = 0x1600000 | PTE_P | PTE_W | PTE_PS;
	CHECK_EQ(l[0], 0x16);
	CHECK_EQ(l[0x100008 / 4], 0x17);
	window_pd[9] = 0x1800000 | PTE_P | PTE_W | PTE_PS;
	invlpg((word)l + 0x5000);
	CHECK_EQ(l[0], 0x18);
	CHECK_EQ(l[0x100008 / 4], 0x19);
}
