/* SPDX-License-Identifier: Apache-2.0 */
/* #DE: by zero and quotient too big, of every size; registers stay. */
#include "guest.h"

void guest_main(void)
{
	word a = 5, d = 0;

	TRY("div %2", "+a"(a), "+d"(d) : "r"(0ull) : "cc");
	CHECK_FAULT(DE, 0);
	CHECK_EQ(a, 5);
	d = 7;
	TRY("div %2", "+a"(a), "+d"(d) : "r"(7ull) : "cc");
	CHECK_FAULT(DE, 0);
	CHECK_EQ(d, 7);
	TRY("div %%cl", : "a"(0x100), "c"(1) : "cc");
	CHECK_FAULT(DE, 0);
	TRY("div %%cl", "=a"(a) : "a"(0xff), "c"(1) : "cc");
	CHECK_NO_TRAP();
	CHECK_EQ(a & 0xffff, 0xff);
	TRY("idiv %%cx", : "a"(0x8000), "d"(0xffff), "c"(-1) : "cc");
	CHECK_FAULT(DE, 0);
	TRY("idiv %%ecx", : "a"(0x80000000), "d"(-1), "c"(-1) : "cc");
	CHECK_FAULT(DE, 0);
	TRY("idiv %%rcx", : "a"(1ull << 63), "d"(-1ll), "c"(-1ll) : "cc");
	CHECK_FAULT(DE, 0);
	TRY("idiv %%rcx", "=a"(a), "=d"(d) : "0"(-7ll), "1"(-1ll), "c"(2ll) : "cc");
	CHECK_NO_TRAP();
	CHECK_EQ(a, -3ll);
	CHECK_EQ(d, -1ll);
}
