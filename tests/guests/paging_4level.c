/* SPDX-License-Identifier: Apache-2.0 */
/* 4 KiB, 2 MiB and 1 GiB pages map the same memory; canonical addresses. */
#include "guest.h"

void guest_main(void)
{
	volatile u32 *page = page_alloc();
	u64 pa = (word)page;

	page[0] = 0x11223344;
	window_map(WINDOW + 0x3000, (void *)page, PTE_P | PTE_W);
	CHECK_EQ(*(volatile u32 *)(WINDOW + 0x3000), 0x11223344);
	window_pd[3] = (pa & ~0x1fffffull) | PTE_P | PTE_W | PTE_PS;
	CHECK_EQ(*(volatile u32 *)(WINDOW + (3 << 21) + (pa & 0x1fffff)), 0x11223344);
	if (cpuid(0x80000001, 0).d & 1 << 26) {
		window_pdpt[2] = PTE_P | PTE_W | PTE_PS;
		CHECK_EQ(*(volatile u32 *)(WINDOW + (2ull << 30) + pa), 0x11223344);
		*(volatile u32 *)(WINDOW + (2ull << 30) + pa) = 5;
		CHECK_EQ(page[0], 5);
		window_pdpt[2] = 0;
		invlpg(WINDOW + (2ull << 30) + pa);
		TRY("mov (%0), %%al", : "r"(WINDOW + (2ull << 30) + pa) : "rax");
		CHECK_PF(WINDOW + (2ull << 30) + pa, 0);
	}
	/* The upper half, through the same tables. */
	guest_pml4[511] = guest_pml4[1];
	CHECK_EQ(*(volatile u32 *)0xffffff8000003000ull, page[0]);

	/* Not canonical: #GP(0), with the stack #SS(0). */
	TRY("mov (%0), %%al", : "r"(0x800000000000ull) : "rax");
	CHECK_FAULT(GP, 0);
	TRY("mov (%0), %%al", : "r"(0xffff7fffffffffffull) : "rax");
	CHECK_FAULT(GP, 0);
}
