/* SPDX-License-Identifier: Apache-2.0 */
/* A page that is not there: error codes of read, write, fetch, from ring 0 and 3; CR2; at each level. */
#include "guest.h"

CODE(user_read, "mov (%rdi), %al\n" USER_END);
CODE(user_write, "movb $1, (%rdi)\n" USER_END);
CODE(user_fetch, "jmp *%rdi\n");

static void check_absent(u64 va)
{
	TRY("mov (%0), %%al", : "r"(va) : "rax", "memory");
	CHECK_PF(va, 0);
	TRY("movb $1, (%0)", : "r"(va) : "memory");
	CHECK_PF(va, PF_W);
	CHECK_EQ(USER(user_read, va), PF);
	CHECK_EQ(trap.f.error, PF_U);
	CHECK_EQ(trap.cr2, va);
	CHECK_EQ(USER(user_write, va), PF);
	CHECK_EQ(trap.f.error, PF_U | PF_W);
	CHECK_EQ(USER(user_fetch, va), PF);
	CHECK_EQ(trap.f.error, PF_U | PF_I);
	CHECK_EQ(trap.f.ip, va);
	CHECK_EQ(trap.cr2, va);
}

void guest_main(void)
{
	check_absent(WINDOW + 0x5123);              /* no PTE */
	check_absent(WINDOW + (1ull << 30) - 8);    /* no PDE */
	check_absent(WINDOW + (1ull << 30) + 0x77); /* no PDPTE */
	check_absent(3ull << 39);                   /* no PML4E */
	check_absent(0xffff800000001000ull);        /* the upper half */
}
