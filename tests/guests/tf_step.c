/* SPDX-License-Identifier: Apache-2.0 */
/* Single step: a trap after each instruction, RIP of the next, DR6.BS; POPF, IRET and INT with TF; MOV SS delays it. */
#include "guest.h"

static volatile u32 steps;
static volatile word ips[64], flags[64], dr6;
static void on_db(struct frame *f)
{
	if (steps < 64) {
		ips[steps] = f->ip;
		flags[steps] = f->flags;
	}
	steps++;
	dr6 = READ_DR(6);
	WRITE_DR(6, 0xffff0ff0);
}
extern u8 s1[], s2[], s3[], s4[], s5[], m1[], m2[];

void guest_main(void)
{
	irq_handle(DB, on_db);
	WRITE_DR(6, 0xffff0ff0);
	__asm__ volatile("pushf; orq $0x100, (%%rsp); popf; nop; s1: inc %%rax; s2: push %%rax; s3: pop %%rax; s4: pushf; s5: andq $~0x100, (%%rsp); popf; nop"
			 ::: "rax", "memory", "cc");
	CHECK_EQ(steps, 7);
	CHECK_EQ(ips[0], (word)s1);
	CHECK_EQ(ips[1], (word)s2);
	CHECK_EQ(ips[2], (word)s3);
	CHECK_EQ(ips[3], (word)s4);
	CHECK_EQ(ips[4], (word)s5);
	CHECK(flags[0] & FLAG_TF);
	CHECK(!(flags[6] & FLAG_TF)); /* the popf that clears TF still traps */
	CHECK_EQ(dr6 & 0xe00f, 0x4000);
	/* A taken branch and a REP: one trap an iteration. */
	steps = 0;
	word c = 3;
	u8 buf[8];
	u8 *d = buf;
	__asm__ volatile("pushf; orq $0x100, (%%rsp); popf; rep stosb; pushf; andq $~0x100, (%%rsp); popf" : "+c"(c), "+D"(d) : "a"(7) : "memory", "cc");
	CHECK_EQ(steps, 6);
	/* MOV SS holds the trap back over the next instruction. */
	steps = 0;
	__asm__ volatile("mov $0x10, %%ecx; pushf; pushf; orq $0x100, (%%rsp); popf; mov %%ecx, %%ss; m1: nop; m2: nop; popf" ::: "rcx", "memory", "cc");
	CHECK_EQ(ips[0], (word)m2);
}
