/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware task switch: JMP, CALL with a link and IRET back, busy bits, NT, saved registers, a task gate in the IDT. */
#include "guest.h"

struct tss32 { u32 link, sp0, ss0, sp1, ss1, sp2, ss2, cr3, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, fs, gs, ldt; u16 trap, io; };
static struct tss32 a, b;
static u8 stack_b[4096];
static volatile u32 seen, seen_flags, seen_ax, rounds;
#define A SEL_SPARE
#define B (SEL_SPARE + 8)
#define GATE (SEL_SPARE + 16)
void task_b(void);
__asm__(".pushsection .text\ntask_b: mov %eax, seen_ax; pushf; pop seen_flags; movl $1, seen; incl rounds; iret; add $4, %esp; jmp task_b\n.popsection");

static void task_set(void)
{
	memory_fill(&b, 0, sizeof b);
	b.ip = (u32)task_b;
	b.flags = 2;
	b.ax = 0xabcd;
	b.sp = (u32)stack_b + 4096;
	b.es = b.ss = b.ds = b.fs = b.gs = SEL_DATA;
	b.cs = SEL_CODE;
	b.io = sizeof b;
}

void guest_main(void)
{
	task_set();
	guest_gdt[A / 8] = descriptor((u32)&a, sizeof a - 1, 0x89, 0);
	guest_gdt[B / 8] = descriptor((u32)&b, sizeof b - 1, 0x89, 0);
	guest_gdt[GATE / 8] = (u64)B << 16 | 0xe5ull << 40;
	__asm__ volatile("ltr %w0" : : "r"(A));
	CHECK_EQ(guest_gdt[A / 8] >> 40 & 0xff, 0x8b);
	WRITE_CR(0, READ_CR(0) & ~8u);
	__asm__ volatile("lcall $0x50, $0" ::: "memory", "cc");
	CHECK_EQ(seen, 1);
	CHECK_EQ(seen_ax, 0xabcd);
	CHECK(seen_flags & FLAG_NT);
	CHECK(!(flags_read() & FLAG_NT));
	CHECK_EQ(b.link, A);
	CHECK_EQ(READ_CR(0) & 8, 8); /* TS */
	CHECK_EQ(guest_gdt[B / 8] >> 40 & 0xff, 0x89);
	CHECK_EQ(guest_gdt[A / 8] >> 40 & 0xff, 0x8b);
	u16 tr;
	__asm__ volatile("str %0" : "=r"(tr));
	CHECK_EQ(tr, A);
	/* Through a task gate. */
	seen = 0;
	task_set();
	__asm__ volatile("lcall $0x58, $0" ::: "memory", "cc");
	CHECK_EQ(seen, 1);
	/* From the IDT. */
	seen = 0;
	task_set();
	idt_set(0x66, 0, B, 0x85, 0);
	__asm__ volatile("int $0x66" ::: "memory", "cc");
	CHECK_EQ(seen, 1);
	CHECK_EQ(rounds, 3);
	/* To itself: busy. */
	TRY("lcall $0x48, $0", );
	CHECK_FAULT(GP, A);
	/* Too short. */
	guest_gdt[B / 8] = descriptor((u32)&b, 0x66, 0x89, 0);
	TRY("lcall $0x50, $0", );
	CHECK_FAULT(TS, B);
}
