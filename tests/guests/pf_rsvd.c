/* SPDX-License-Identifier: Apache-2.0 */
/* Reserved bits in a page-table entry: #PF with RSVD and P. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
CODE(user_read, "mov (%rdi), %al\n" USER_END);

void guest_main(void)
{
	unsigned bits = cpuid(0x80000008, 0).a & 0xff;
	u8 *page = page_alloc();

	CHECK(bits >= 36 && bits <= 52);
	if (bits == 52)
		guest_skip("no reserved address bit");
	*window_pte(VA) = (word)page | PTE_P | PTE_W | 1ull << 51;
	invlpg(VA);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_PF(VA, PF_P | PF_R);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W | PF_R);
	*window_pte(VA) |= PTE_U;
	invlpg(VA);
	CHECK_EQ(USER(user_read, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_R);
	/* PS in a PML4E. */
	guest_pml4[3] = (word)window_pdpt | PTE_P | PTE_W | PTE_PS;
	TRY("mov (%0), %%al", : "r"(3ull << 39) : "rax");
	CHECK_PF(3ull << 39, PF_P | PF_R);
	guest_pml4[3] = 0;
	/* A 2 MiB page whose address has bit 13 set. */
	window_pd[5] = 0x2000 | PTE_P | PTE_W | PTE_PS;
	TRY("mov (%0), %%al", : "r"(WINDOW + (5 << 21)) : "rax");
	CHECK_PF(WINDOW + (5 << 21), PF_P | PF_R);
	/* Not present wins. */
	*window_pte(VA) = 1ull << 51;
	invlpg(VA);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_PF(VA, 0);
}
