/* SPDX-License-Identifier: Apache-2.0 */
/* SMEP: ring 0 does not fetch from a user page. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	if (!(cpuid(7, 0).b & 1 << 7))
		guest_skip("no SMEP");
	u8 *page = page_alloc();

	page[0] = 0xc3;
	window_map(VA, page, PTE_P | PTE_W | PTE_U);
	TRY("call *%0", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	WRITE_CR(4, READ_CR(4) | CR4_SMEP);
	TRY("sub $8, %%rsp; jmp *%0", : "r"(VA) : "memory", "cc");
	CHECK_EQ(trap.vector, PF);
	CHECK_EQ(trap.f.error, PF_P | PF_I);
	CHECK_EQ(trap.f.ip, VA);
	__asm__ volatile("add $8, %%rsp" ::: "memory", "cc");
	window_map(VA, page, PTE_P | PTE_W);
	TRY("call *%0", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	WRITE_CR(4, READ_CR(4) & ~CR4_SMEP);
	window_map(VA, page, PTE_P | PTE_W | PTE_U);
	TRY("call *%0", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
}
