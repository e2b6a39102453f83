/* SPDX-License-Identifier: Apache-2.0 */
/* INVPCID: its four types and its faults. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

static void invpcid(u64 type, u64 pcid, u64 address)
{
	u64 d[2] = { pcid, address };

	__asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

void guest_main(void)
{
	if (!(cpuid(7, 0).b & 1 << 10))
		guest_skip("no INVPCID");
	volatile u32 *a = page_alloc(), *b = page_alloc(), *v = (u32 *)VA;
	u64 d[2] = { 0, VA };

	*a = 0xa;
	*b = 0xb;
	for (unsigned i = 0; i < 8; i++) {
		*window_pte(VA) = (word)(i & 1 ? b : a) | PTE_P | PTE_W;
		invpcid(i & 3, 0, VA);
		CHECK_EQ(*v, i & 1 ? 0xb : 0xa);
	}
	TRY("invpcid %0, %1", : "m"(d), "r"(4ull));
	CHECK_FAULT(GP, 0);
	d[0] = 1ull << 12;
	TRY("invpcid %0, %1", : "m"(d), "r"(0ull));
	CHECK_FAULT(GP, 0);
	d[0] = 0;
	d[1] = 0x800000000000ull;
	TRY("invpcid %0, %1", : "m"(d), "r"(0ull));
	CHECK_FAULT(GP, 0);
	TRY("invpcid (%1), %0", : "r"(0ull), "r"(WINDOW + 0x9000));
	CHECK_PF(WINDOW + 0x9000, 0);
	CODE(user, "xor %eax, %eax; invpcid (%rsp), %rax\n");
	CHECK_EQ(USER(user, 0), GP);
}
