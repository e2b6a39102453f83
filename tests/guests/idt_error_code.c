/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes that name an IDT entry: a gate that INT n may not use, one that is not present, one of a wrong type. */
#include "guest.h"

CODE(user_int, "int $0x81\n");

void guest_main(void)
{
	CHECK_EQ(USER(user_int, 0), GP);
	CHECK_EQ(trap.f.error, 0x81 * 8 + 2);
	CHECK_EQ(trap.f.ip, WINDOW_USER_CODE);
	idt_set(UD, 0, SEL_CODE, 0x0e, 0);
	TRY("ud2", );
	CHECK_EQ(trap.vector, NP);
	CHECK_EQ(trap.f.error & ~1ul, 6 * 8 + 2);
	idt_set(0x82, 0, SEL_CODE, 0x85, 0);
	TRY("int $0x82", );
	CHECK_FAULT(GP, 0x82 * 8 + 2);
}
