/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints: instruction (fault, before it, RF), data writes and reads (trap, after), length, disabled, GD, I/O. */
#include "guest.h"

static volatile u32 hits;
static volatile word at, dr6;
static void on_db(struct frame *f)
{
	hits++;
	at = f->ip;
	dr6 = READ_DR(6);
	WRITE_DR(6, 0xffff0ff0);
	f->flags |= FLAG_RF;
}
extern u8 b1[], b2[], b3[];
static volatile u64 data[2];

void guest_main(void)
{
	irq_handle(DB, on_db);
	WRITE_DR(6, 0xffff0ff0);
	WRITE_DR(0, b1);
	WRITE_DR(7, 0x402);
	word x = 0;
	__asm__ volatile("inc %0; b1: inc %0; inc %0" : "+r"(x) : : "cc");
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (word)b1);
	CHECK_EQ(dr6 & 0xe00f, 1);
	CHECK_EQ(x, 3);
	/* Data writes of 4 bytes on DR1. */
	WRITE_DR(7, 0x400);
	WRITE_DR(1, data);
	WRITE_DR(7, 0x400 | 8 | 0xdu << 20);
	hits = 0;
	__asm__ volatile("movl $1, %0; b2: nop" : "=m"(*(u32 *)data));
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (word)b2);
	CHECK_EQ(dr6 & 0xe00f, 2);
	__asm__ volatile("movb $1, %0" : "=m"(*((u8 *)data + 3)));
	CHECK_EQ(hits, 2);
	__asm__ volatile("movb $1, %0" : "=m"(*((u8 *)data + 4)));
	CHECK_EQ(hits, 2);
	__asm__ volatile("movq $1, %0" : "=m"(data[0]));
	CHECK_EQ(hits, 3);
	(void)*(volatile u32 *)data;
	CHECK_EQ(hits, 3);
	__asm__ volatile("pushq %0; pop %0" : : "m"(data[1]) : "memory");
	CHECK_EQ(hits, 3);
	/* Reads and writes, one byte. */
	WRITE_DR(7, 0x400 | 8 | 3u << 20);
	(void)*(volatile u32 *)data;
	CHECK_EQ(hits, 4);
	(void)*((volatile u8 *)data + 1);
	CHECK_EQ(hits, 4);
	WRITE_DR(7, 0x400);
	(void)*(volatile u32 *)data;
	CHECK_EQ(hits, 4);
	/* A repeated store hits in the middle. */
	WRITE_DR(7, 0x400 | 8 | 1u << 20);
	hits = 0;
	u8 *d = (u8 *)data - 0;
	word c = 8;
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(c) : "a"(0x55) : "memory");
	CHECK_EQ(hits, 1);
	CHECK_EQ(c, 0);
	CHECK_EQ(data[0], 0x5555555555555555ull);
	/* GD: any access to a debug register is #DB. */
	hits = 0;
	WRITE_DR(7, 0x2400);
	__asm__ volatile("b3: mov %%dr0, %%rax" ::: "rax");
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (word)b3);
	CHECK_EQ(dr6 & 0x2000, 0x2000);
	CHECK_EQ(READ_DR(7) & 0x2000, 0);
	WRITE_DR(7, 0x400);
	/* The upper half must be zero. */
	TRY("mov %0, %%dr7", : "r"(1ull << 32));
	CHECK_FAULT(GP, 0);
	TRY("mov %0, %%dr6", : "r"(1ull << 32));
	CHECK_FAULT(GP, 0);
	/* DR4 is DR6 without CR4.DE, #UD with it. */
	TRY("mov %%dr4, %%rax", : : "rax");
	CHECK_NO_TRAP();
	WRITE_CR(4, READ_CR(4) | CR4_DE);
	TRY("mov %%dr4, %%rax", : : "rax");
	CHECK_FAULT(UD, 0);
}
