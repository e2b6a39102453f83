/* SPDX-License-Identifier: Apache-2.0 */
/* Rights of a present page: U/S and R/W at each level, CR0.WP. */
#include "guest.h"

CODE(user_read, "mov (%rdi), %al\n" USER_END);
CODE(user_write, "movb $1, (%rdi)\n" USER_END);
CODE(user_rmw, "addb $1, (%rdi)\n" USER_END);
#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	u8 *page = page_alloc();

	window_map(VA, page, PTE_P | PTE_W);
	CHECK_EQ(USER(user_read, VA + 5), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U);
	CHECK_EQ(trap.cr2, VA + 5);
	CHECK_EQ(USER(user_write, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_W);

	window_map(VA, page, PTE_P | PTE_U);
	CHECK_EQ(USER(user_read, VA), 0x80);
	CHECK_EQ(USER(user_rmw, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_W);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
	/* Without WP ring 0 writes anywhere, ring 3 does not. */
	WRITE_CR(0, READ_CR(0) & ~CR0_WP);
	TRY("movb $7, (%0)", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	CHECK_EQ(*page, 7);
	CHECK_EQ(USER(user_write, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_W);
	WRITE_CR(0, READ_CR(0) | CR0_WP);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);

	/* Upper levels take rights away. */
	window_map(VA, page, PTE_P | PTE_U | PTE_W);
	CHECK_EQ(USER(user_write, VA), 0x80);
	window_pd[0] &= ~PTE_W;
	WRITE_CR(3, READ_CR(3));
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	window_pd[0] |= PTE_W;
	guest_pml4[1] &= ~PTE_W;
	WRITE_CR(3, READ_CR(3));
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	guest_pml4[1] |= PTE_W;
	WRITE_CR(3, READ_CR(3));
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
}
