/* SPDX-License-Identifier: Apache-2.0 */
/* Accessed and dirty bits: set when used, at each level, dirty on writes only, none on a fault. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	u8 *page = page_alloc();
	volatile u64 *pte = window_pte(VA);

	window_map(VA, page, PTE_P | PTE_W);
	window_pdpt[0] &= ~PTE_A;
	window_pd[0] &= ~PTE_A;
	guest_pml4[1] &= ~PTE_A;
	WRITE_CR(3, READ_CR(3));
	TRY("mov (%0), %%al", : "r"(VA) : "rax", "memory");
	CHECK_EQ(*pte, (word)page | PTE_P | PTE_W | PTE_A);
	CHECK(window_pdpt[0] & PTE_A);
	CHECK(window_pd[0] & PTE_A);
	CHECK(guest_pml4[1] & PTE_A);
	/* A write after a read must still set D. */
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_EQ(*pte, (word)page | PTE_P | PTE_W | PTE_A | PTE_D);
	/* Clear D, flush, read: stays clear; write: set again. */
	*pte &= ~PTE_D;
	invlpg(VA);
	TRY("mov (%0), %%al", : "r"(VA) : "rax", "memory");
	CHECK(!(*pte & PTE_D));
	TRY("addb $1, (%0)", : "r"(VA) : "memory", "cc");
	CHECK(*pte & PTE_D);
	/* A write that faults leaves D alone. */
	window_map(VA, page, PTE_P);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_EQ(trap.vector, PF);
	CHECK(!(*pte & PTE_D));
	/* A compare that fails writes nonetheless. */
	window_map(VA, page, PTE_P | PTE_W);
	*page = 1;
	__asm__ volatile("lock cmpxchgb %b1, (%0)" : : "r"(VA), "c"(5), "a"(9) : "memory", "cc");
	CHECK_EQ(*page, 1);
	CHECK(*pte & PTE_D);
	/* Large page. */
	window_pd[7] = 0x1200000 | PTE_P | PTE_W | PTE_PS;
	TRY("mov (%0), %%al", : "r"(WINDOW + (7 << 21)) : "rax", "memory");
	CHECK_EQ(window_pd[7], 0x1200000 | PTE_P | PTE_W | PTE_PS | PTE_A);
	TRY("movb $1, (%0)", : "r"(WINDOW + (7 << 21)) : "memory");
	CHECK_EQ(window_pd[7], 0x1200000 | PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D);
}
