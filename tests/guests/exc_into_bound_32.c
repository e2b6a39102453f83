/* SPDX-License-Identifier: Apache-2.0 */
/* INTO, BOUND, INT3 in protected mode: which vector, which RIP. */
#include "guest.h"

extern u8 after_into[];
static u32 hits;
static word at;
static void note(struct frame *f) { hits++; at = f->ip; }

void guest_main(void)
{
	irq_handle(OF, note);
	__asm__ volatile("xor %%eax, %%eax; into" ::: "eax", "cc");
	CHECK_EQ(hits, 0);
	__asm__ volatile("mov $0x7fffffff, %%eax; add $1, %%eax; into; after_into: nop" ::: "eax", "cc");
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (word)after_into);
	static int range[2] = { -5, 10 };
	TRY("bound %0, %1", : "r"(-5), "m"(*(u64 *)range));
	CHECK_NO_TRAP();
	TRY("bound %0, %1", : "r"(10), "m"(*(u64 *)range));
	CHECK_NO_TRAP();
	TRY("bound %0, %1", : "r"(11), "m"(*(u64 *)range));
	CHECK_FAULT(BR, 0);
	TRY("bound %0, %1", : "r"(-6), "m"(*(u64 *)range));
	CHECK_FAULT(BR, 0);
	u32 a = 7;
	TRY(".byte 0xd4, 0x00", "+a"(a) : : "cc"); /* aam 0 */
	CHECK_FAULT(DE, 0);
	CHECK_EQ(a, 7);
	a = 123;
	__asm__ volatile(".byte 0xd4, 0x0a" : "+a"(a) : : "cc");
	CHECK_EQ(a & 0xffff, 12 << 8 | 3);
	a = 0x0a;
	__asm__ volatile("daa" : "+a"(a) : : "cc");
	CHECK_EQ(a & 0xff, 0x10);
}
