/* SPDX-License-Identifier: Apache-2.0 */
/* UMIP: SGDT, SIDT, SLDT, STR, SMSW are #GP in ring 3. */
#include "guest.h"

CODE(u_sgdt, "sub $16, %rsp; sgdt (%rsp)\n" USER_END);
CODE(u_sidt, "sub $16, %rsp; sidt (%rsp)\n" USER_END);
CODE(u_sldt, "sldt %eax\n" USER_END);
CODE(u_str, "str %eax\n" USER_END);
CODE(u_smsw, "smsw %eax\n" USER_END);

void guest_main(void)
{
	if (!(cpuid(7, 0).c & 1 << 2))
		guest_skip("no UMIP");
	CHECK_EQ(USER(u_sgdt, 0), 0x80);
	WRITE_CR(4, READ_CR(4) | CR4_UMIP);
	CHECK_EQ(USER(u_sgdt, 0), GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(USER(u_sidt, 0), GP);
	CHECK_EQ(USER(u_sldt, 0), GP);
	CHECK_EQ(USER(u_str, 0), GP);
	CHECK_EQ(USER(u_smsw, 0), GP);
	CHECK_EQ(TRY("str %%eax", : : "rax"), NO_TRAP);
}
