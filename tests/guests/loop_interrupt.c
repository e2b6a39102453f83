/* SPDX-License-Identifier: Apache-2.0 */
/* Loops without an exit are interrupted: jmp to itself, an indirect jump, a return, a REP with a long count. */
#include "guest.h"

static volatile u32 ticks;
static volatile word at, cx;
static void on_tick(struct frame *f)
{
	ticks++;
	lapic_eoi();
	cx = f->cx;
	at = f->ip;
	if (f->r15 == 0x1234)
		f->ip = f->r14;
}
#define LOOP(text, ...)                                                                                                     \
	do {                                                                                                                \
		u32 was_ = ticks;                                                                                           \
		lapic_timer(0x40, 3000000);                                                                                 \
		__asm__ volatile("mov $0x1234, %%r15d; lea 99f(%%rip), %%r14; mov %%rsp, %%r13; sti; " text "\n99: cli; mov %%r13, %%rsp; xor %%r15d, %%r15d" \
				 : : __VA_ARGS__);                                                                          \
		CHECK_EQ(ticks, was_ + 1);                                                                                  \
	} while (0)
#define ALL "rax", "rcx", "rdx", "rsi", "rdi", "r13", "r14", "r15", "memory", "cc"

void guest_main(void)
{
	irq_handle(0x40, on_tick);
	lapic_enable();
	LOOP("1: jmp 1b", : ALL);
	LOOP("1: jmp 2f; .fill 5000, 1, 0x90; 2: jmp 1b", : ALL);
	LOOP("lea 1f(%%rip), %%rax; 1: jmp *%%rax", : ALL);
	LOOP("lea 1f(%%rip), %%rax; lea 2f(%%rip), %%rdx; 1: xchg %%rax, %%rdx; jmp *%%rdx; 2: xchg %%rax, %%rdx; jmp *%%rax", : ALL);
	LOOP("lea 1f(%%rip), %%rax; 1: push %%rax; ret", : ALL);
	LOOP("1: call 2f; jmp 1b; 2: ret", : ALL);
	LOOP("xor %%eax, %%eax; 1: inc %%eax; test %%eax, %%eax; jnz 1b; jmp 1b", : ALL);
	LOOP("1: mov $1, %%ecx; loop 2f; 2: jrcxz 1b; jmp 1b", : ALL);
	/* A long REP. */
	u32 was = ticks;
	lapic_timer(0x40, 100000);
	u8 *from = (u8 *)0x1100000;
	word n = 0x2000000, total = 0;
	sti();
	for (u32 i = 0; i < 100 && ticks == was; i++) {
		u8 *s = from;
		word c = n;
		__asm__ volatile("rep lodsb" : "+S"(s), "+c"(c) : : "rax", "memory");
		total += n - c;
		CHECK_EQ(c, 0);
		CHECK_EQ((word)s, (word)from + n);
	}
	cli();
	CHECK(ticks > was);
}
