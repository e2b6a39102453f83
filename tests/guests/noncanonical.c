/* SPDX-License-Identifier: Apache-2.0 */
/* Not canonical: #SS(0) through the stack segment; a jump there is #GP(0) at the jump. */
#include "guest.h"

void guest_main(void)
{
	TRY("mov (%%rsp, %0), %%al", : "r"(0x800000000000ull) : "rax");
	CHECK_FAULT(SS, 0);
	TRY("jmp *%0", : "r"(0x800000000000ull));
	CHECK_FAULT(GP, 0);
	/* The last canonical byte and the one after it. */
	TRY("mov (%0), %%ax", : "r"(0x7fffffffffffull) : "rax");
	CHECK_FAULT(GP, 0);
}
