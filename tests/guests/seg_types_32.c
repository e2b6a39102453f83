/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and using segment registers: null, types, DPL, not present, table limits; LAR, LSL, VERR, VERW. */
#include "guest.h"

#define S(n) (SEL_SPARE + 8 * (n))
#define LOAD(reg, sel) TRY("mov %w0, %%" reg, : "r"(sel) : "memory")
CODE(user_load, "mov (%esp), %ecx; mov %cx, %fs\n" USER_END);

void guest_main(void)
{
	guest_gdt[S(0) / 8] = descriptor(0, 0xfffff, 0x93, 0xc); /* data */
	guest_gdt[S(1) / 8] = descriptor(0, 0xfffff, 0x91, 0xc); /* read-only data */
	guest_gdt[S(2) / 8] = descriptor(0, 0xfffff, 0x99, 0xc); /* execute-only code */
	guest_gdt[S(3) / 8] = descriptor(0, 0xfffff, 0x13, 0xc); /* not present */
	guest_gdt[S(4) / 8] = descriptor(0, 0xfffff, 0x9e, 0xc); /* conforming code, not accessed */
	guest_gdt[S(5) / 8] = descriptor(0, 0xfffff, 0x92, 0xc); /* not accessed */
	guest_gdt[S(6) / 8] = descriptor(0, 0x67, 0x8b, 0x0);    /* a busy TSS */
	CHECK_EQ(LOAD("fs", 0), NO_TRAP);
	TRY("movl %%fs:0, %%eax", : : "eax");
	CHECK_FAULT(GP, 0);
	LOAD("ss", 0);
	CHECK_FAULT(GP, 0);
	CHECK_EQ(LOAD("fs", 3), NO_TRAP);
	CHECK_EQ(LOAD("fs", S(1)), NO_TRAP);
	TRY("movl %%fs:0x100000, %%eax", : : "eax");
	CHECK_NO_TRAP();
	TRY("movl $1, %%fs:0x900000", : : "memory");
	CHECK_FAULT(GP, 0);
	LOAD("ss", S(1));
	CHECK_FAULT(GP, S(1));
	LOAD("fs", S(2));
	CHECK_FAULT(GP, S(2));
	LOAD("fs", S(3));
	CHECK_FAULT(NP, S(3));
	LOAD("ss", S(3));
	CHECK_FAULT(SS, S(3));
	CHECK_EQ(LOAD("fs", S(4)), NO_TRAP);
	CHECK_EQ(guest_gdt[S(4) / 8] >> 40 & 1, 1);
	CHECK_EQ(LOAD("fs", S(5)), NO_TRAP);
	CHECK_EQ(guest_gdt[S(5) / 8] >> 40 & 1, 1);
	LOAD("fs", S(6));
	CHECK_FAULT(GP, S(6));
	LOAD("fs", 0xfff8);
	CHECK_FAULT(GP, 0xfff8);
	LOAD("fs", 0xc); /* an LDT that does not exist */
	CHECK_FAULT(GP, 0xc);
	LOAD("ss", S(0) | 3);
	CHECK_FAULT(GP, S(0));
	TRY("mov %w0, %%cs", : "r"(8));
	CHECK_FAULT(UD, 0);
	/* Ring 3: its own yes, ring 0's no, conforming code yes. */
	CHECK_EQ(USER(user_load, SEL_USER_DATA), 0x80);
	CHECK_EQ(USER(user_load, S(0)), GP);
	CHECK_EQ(trap.f.error, S(0));
	CHECK_EQ(USER(user_load, S(4)), 0x80);

	u32 r = 0;
	u8 z;
	__asm__("lar %2, %0; setz %1" : "+r"(r), "=q"(z) : "r"(S(1)) : "cc");
	CHECK(z);
	CHECK_EQ(r & 0xf0ff00, 0xc09100);
	__asm__("lsl %2, %0; setz %1" : "+r"(r), "=q"(z) : "r"(S(1)) : "cc");
	CHECK(z);
	CHECK_EQ(r, 0xffffffff);
	__asm__("lsl %2, %0; setz %1" : "+r"(r), "=q"(z) : "r"(S(6)) : "cc");
	CHECK(z);
	CHECK_EQ(r, 0x67);
	__asm__("lar %2, %0; setz %1" : "+r"(r), "=q"(z) : "r"(0xfff8) : "cc");
	CHECK(!z);
	__asm__("verr %w1; setz %0" : "=q"(z) : "r"(S(2)) : "cc");
	CHECK(!z);
	__asm__("verw %w1; setz %0" : "=q"(z) : "r"(S(0)) : "cc");
	CHECK(z);
	__asm__("verw %w1; setz %0" : "=q"(z) : "r"(S(1)) : "cc");
	CHECK(!z);
	/* An LDT. */
	static u64 ldt[2];
	ldt[1] = descriptor(0, 0xfffff, 0x93, 0xc);
	guest_gdt[S(7) / 8] = descriptor((u32)ldt, 15, 0x82, 0);
	__asm__ volatile("lldt %w0" : : "r"(S(7)));
	CHECK_EQ(LOAD("fs", 0xc), NO_TRAP);
	LOAD("fs", 0x14);
	CHECK_FAULT(GP, 0x14);
}
