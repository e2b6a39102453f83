/* SPDX-License-Identifier: Apache-2.0 */
/* #AC: only with CR0.AM, EFLAGS.AC and ring 3; error code 0. */
#include "guest.h"

CODE(user, "mov -7(%rsp), %eax\n" USER_END);
CODE(user_ok, "mov -8(%rsp), %eax; mov -7(%rsp), %al\n" USER_END);
CODE(user_write, "movw $1, -7(%rsp)\n" USER_END);
CODE(user_ac, "pushf; orl $0x40000, (%rsp); popf; mov -6(%rsp), %eax\n" USER_END);

void guest_main(void)
{
	CHECK_EQ(USER_FLAGS(user, 0, FLAG_AC | 2), 0x80);
	WRITE_CR(0, READ_CR(0) | CR0_AM);
	CHECK_EQ(USER(user, 0), 0x80);
	CHECK_EQ(USER_FLAGS(user, 0, FLAG_AC | 2), AC);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap.f.ip, WINDOW_USER_CODE);
	CHECK_EQ(USER_FLAGS(user_ok, 0, FLAG_AC | 2), 0x80);
	CHECK_EQ(USER_FLAGS(user_write, 0, FLAG_AC | 2), AC);
	CHECK_EQ(USER(user_ac, 0), AC);
	flags_write(flags_read() | FLAG_AC);
	TRY("mov -7(%%rsp), %%eax", : : "rax");
	CHECK_NO_TRAP();
	flags_write(flags_read() & ~(word)FLAG_AC);
	WRITE_CR(0, READ_CR(0) & ~(word)CR0_AM);
	CHECK_EQ(USER_FLAGS(user, 0, FLAG_AC | 2), 0x80);
}
