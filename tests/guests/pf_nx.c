/* SPDX-License-Identifier: Apache-2.0 */
/* No-execute: in the page, above it, in ring 3; data is not affected. */
#include "guest.h"

CODE(user_jump, "jmp *%rdi\n");
#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	u8 *page = page_alloc();

	page[0] = 0xc3; /* ret */
	window_map(VA, page, PTE_P | PTE_W);
	TRY("call *%0", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	window_map(VA, page, PTE_P | PTE_W | PTE_NX);
	trap.vector = NO_TRAP;
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
	TRY("sub $8, %%rsp; movq $97f, (%%rsp); jmp *%0; 97:", : "r"(VA) : "memory");
	CHECK_EQ(trap.vector, PF);
	CHECK_EQ(trap.f.ip, VA);
	CHECK_EQ(trap.f.error, PF_P | PF_I);
	CHECK_EQ(trap.cr2, VA);
	__asm__ volatile("add $8, %%rsp" ::: "memory", "cc");

	window_map(VA, page, PTE_P | PTE_U | PTE_NX);
	CHECK_EQ(USER(user_jump, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_I);
	window_map(VA, page, PTE_P | PTE_U);
	page[0] = 0xcc;
	idt_gate(BP, 3, 0);
	CHECK_EQ(USER(user_jump, VA), BP);
	window_pd[1] |= PTE_NX;
	WRITE_CR(3, READ_CR(3));
	CHECK_EQ(USER(user_jump, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_I);
	CHECK_EQ(trap.f.ip, WINDOW_USER_CODE);
	window_pd[1] &= ~PTE_NX;
	WRITE_CR(3, READ_CR(3));
}
