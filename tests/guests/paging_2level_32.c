/* SPDX-License-Identifier: Apache-2.0 */
/* 32-bit two-level paging: 4 KiB and 4 MiB pages, faults, U/S and R/W, A and D. */
#include "guest.h"

static volatile u32 pd[1024] __attribute__((aligned(4096))), pt[1024] __attribute__((aligned(4096)));
#define VA 0x40003000u
CODE(user_read, "mov (%esp), %eax; mov (%eax), %al\n" USER_END);
CODE(user_write, "mov (%esp), %eax; movb $1, (%eax)\n" USER_END);

static void map(u32 va, u32 value)
{
	pt[va >> 12 & 1023] = value;
	invlpg(va);
}

void guest_main(void)
{
	volatile u32 *page = page_alloc();

	page[0] = 0x1234;
	WRITE_CR(4, READ_CR(4) | CR4_PSE);
	for (u32 i = 0; i < 16; i++)
		pd[i] = i << 22 | 0x87;
	pd[0xfee00000u >> 22] = 0xfec00083u;
	pd[VA >> 22] = (u32)pt | 7;
	WRITE_CR(3, pd);
	WRITE_CR(0, READ_CR(0) | CR0_PG);
	CHECK_EQ(page[0], 0x1234);
	map(VA, (u32)page | 3);
	CHECK_EQ(*(volatile u32 *)VA, 0x1234);
	CHECK_EQ(pt[3], (u32)page | 0x23);
	*(volatile u32 *)VA = 5;
	CHECK_EQ(page[0], 5);
	CHECK_EQ(pt[3], (u32)page | 0x63);
	CHECK_EQ(USER(user_read, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U);
	CHECK_EQ(trap.cr2, VA);
	map(VA, (u32)page | 5);
	CHECK_EQ(USER(user_read, VA), 0x80);
	CHECK_EQ(USER(user_write, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U | PF_W);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	map(VA, 0);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_W);
	/* The directory decides too. */
	map(VA, (u32)page | 7);
	pd[VA >> 22] &= ~4u;
	WRITE_CR(3, pd);
	CHECK_EQ(USER(user_read, VA), PF);
	CHECK_EQ(trap.f.error, PF_P | PF_U);
	/* A 4 MiB page. */
	pd[0x123] = 0x1000000 | 0x83;
	CHECK_EQ(*(volatile u32 *)(0x123u << 22 | ((u32)page & 0x3fffff)), 5);
	CHECK_EQ(pd[0x123], 0x1000000 | 0xa3);
	/* Paging off and on again. */
	WRITE_CR(0, READ_CR(0) & ~CR0_PG);
	CHECK_EQ(page[0], 5);
	WRITE_CR(0, READ_CR(0) | CR0_PG);
	CHECK_EQ(*(volatile u32 *)VA, 5);
}
