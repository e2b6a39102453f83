/* SPDX-License-Identifier: Apache-2.0 */
/* Segment limits: byte and page granular, expand-down, accesses that straddle; #GP and #SS with error 0. */
#include "guest.h"

static u8 buf[8192] __attribute__((aligned(4096)));
#define FS_LOAD() __asm__ volatile("mov %w0, %%fs" : : "r"(SEL_SPARE))
#define FS_READ(op, reg, off) TRY(op " %%fs:(%0), %%" reg, : "r"(off) : "eax")

void guest_main(void)
{
	u32 base = (u32)buf;

	buf[0xff] = 0x5a;
	guest_gdt[SEL_SPARE / 8] = descriptor(base, 0xff, 0x93, 0x4);
	FS_LOAD();
	FS_READ("movb", "al", 0xff);
	CHECK_NO_TRAP();
	FS_READ("movb", "al", 0x100);
	CHECK_FAULT(GP, 0);
	FS_READ("movl", "eax", 0xfc);
	CHECK_NO_TRAP();
	FS_READ("movl", "eax", 0xfd);
	CHECK_FAULT(GP, 0);
	FS_READ("movl", "eax", -1);
	CHECK_FAULT(GP, 0);
	FS_READ("movl", "eax", 0xfffffffe);
	CHECK_FAULT(GP, 0);
	/* Page granular: limit 0 is 4095. */
	guest_gdt[SEL_SPARE / 8] = descriptor(base, 0, 0x93, 0xc);
	FS_LOAD();
	FS_READ("movl", "eax", 0xffc);
	CHECK_NO_TRAP();
	FS_READ("movl", "eax", 0xffd);
	CHECK_FAULT(GP, 0);
	/* Expand-down, 32-bit: above the limit only. */
	guest_gdt[SEL_SPARE / 8] = descriptor(base, 0xff, 0x97, 0x4);
	FS_LOAD();
	FS_READ("movb", "al", 0xff);
	CHECK_FAULT(GP, 0);
	FS_READ("movb", "al", 0x100);
	CHECK_NO_TRAP();
	FS_READ("movl", "eax", 0xfe);
	CHECK_FAULT(GP, 0);
	FS_READ("movl", "eax", 0x1000);
	CHECK_NO_TRAP();
	/* Expand-down, 16-bit: not above ffff. */
	guest_gdt[SEL_SPARE / 8] = descriptor(base, 0xff, 0x97, 0x0);
	FS_LOAD();
	FS_READ("movb", "al", 0x100);
	CHECK_NO_TRAP();
	FS_READ("movb", "al", 0x10000);
	CHECK_FAULT(GP, 0);
	/* The stack segment's is #SS. */
	guest_gdt[SEL_SPARE / 8] = descriptor(0, 0x200, 0x93, 0xc); /* to 2 MiB */
	__asm__ volatile("mov %w0, %%ss" : : "r"(SEL_SPARE));
	TRY("movl %%ss:(%0), %%eax", : "r"(0x201000) : "eax");
	__asm__ volatile("mov %w0, %%ss" : : "r"(SEL_DATA));
	CHECK_FAULT(SS, 0);
	/* Addresses wrap at 4 GiB when base + offset does. */
	guest_gdt[SEL_SPARE / 8] = descriptor(0xfffff000, 0xfffff, 0x93, 0xc);
	FS_LOAD();
	u32 v;
	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(v) : "r"(base + 0x1000));
	CHECK_EQ(v, *(u32 *)buf);
}
