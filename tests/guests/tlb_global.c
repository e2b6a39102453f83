/* SPDX-License-Identifier: Apache-2.0 */
/* Global pages: a change is seen after INVLPG and after CR4.PGE flips; CR3 alone need not, but must drop others. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
#define VB (WINDOW + 0x4000)

void guest_main(void)
{
	volatile u32 *a = page_alloc(), *b = page_alloc();
	volatile u32 *g = (u32 *)VA, *n = (u32 *)VB;

	*a = 0xa;
	*b = 0xb;
	WRITE_CR(4, READ_CR(4) | CR4_PGE);
	window_map(VA, (void *)a, PTE_P | PTE_W | PTE_G);
	window_map(VB, (void *)a, PTE_P | PTE_W);
	CHECK_EQ(*g + *n, 0x14);
	*window_pte(VB) = (word)b | PTE_P | PTE_W;
	WRITE_CR(3, READ_CR(3));
	CHECK_EQ(*n, 0xb);
	CHECK_EQ(*g, 0xa);
	*window_pte(VA) = (word)b | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(*g, 0xb);
	*window_pte(VA) = (word)a | PTE_P | PTE_W | PTE_G;
	WRITE_CR(4, READ_CR(4) & ~CR4_PGE);
	CHECK_EQ(*g, 0xa);
	*window_pte(VA) = (word)b | PTE_P | PTE_W | PTE_G;
	WRITE_CR(4, READ_CR(4) | CR4_PGE);
	CHECK_EQ(*g, 0xb);
}
