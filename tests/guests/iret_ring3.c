/* SPDX-License-Identifier: Apache-2.0 */
/* IRET to ring 3 and an interrupt back: selectors, stack switch, flags; what IRET refuses. */
#include "guest.h"

CODE(user, "pushf; pop %rax; mov %cs, %ecx; mov %ss, %edx; mov %rsp, %rbx\n" USER_END);
CODE(user_cli, "cli\n" USER_END);
CODE(user_hlt, "hlt\n");
CODE(user_cr, "mov %cr0, %rax\n");
CODE(user_in, "in $0x80, %al\n");
CODE(user_popf, "push $0x3202; popf; pushf; pop %rax\n" USER_END);
CODE(user_lgdt, "lgdt (%rsp)\n");
CODE(user_wrmsr, "wrmsr\n");
static word entry_sp;
volatile word saved_sp;

static void note_sp(struct frame *f)
{
	entry_sp = (word)(f + 1);
	f->cs = SEL_CODE;
	f->ss = SEL_DATA;
	trap.vector = 0x80;
	trap.f = *f;
	user_resume();
}

static u32 iret_to(word cs, word ss, word flags)
{
	u32 vector;

	__asm__ volatile("movq %%rsp, saved_sp" ::: "memory");
	vector = TRY("mov %%rsp, %%rcx; push %2; push %%rcx; push %1; push %0; push $97f; 96: iretq; 97: mov $0x10, %%ecx; mov %%ecx, %%ss",
		   : "r"(cs), "r"(flags), "r"(ss) : "rcx", "memory", "cc");
	__asm__ volatile("movq saved_sp, %%rsp" ::: "memory");
	return vector;
}

void guest_main(void)
{
	CHECK_EQ(USER(user, 0), 0x80);
	CHECK_EQ(trap.f.ax & ~0xd5ull, 2);
	CHECK_EQ(trap.f.cx, SEL_USER_CODE64);
	CHECK_EQ(trap.f.dx, SEL_USER_DATA);
	CHECK_EQ(trap.f.bx, WINDOW_USER_STACK + 4096);
	CHECK_EQ(trap.f.cs, SEL_USER_CODE64);
	CHECK_EQ(trap.f.ss, SEL_USER_DATA);
	CHECK_EQ(trap.f.sp, WINDOW_USER_STACK + 4096);
	CHECK_EQ(USER_FLAGS(user, 0, 0x202), 0x80);
	CHECK(trap.f.flags & FLAG_IF);
	CHECK(!(flags_read() & FLAG_IF));
	irq_handle(0x80, note_sp);
	USER(user, 0);
	CHECK_EQ(entry_sp, (word)kernel_entry_stack);
	irq_handle(0x80, 0);

	CHECK_EQ(USER(user_cli, 0), GP);
	CHECK_EQ(trap.f.ip, WINDOW_USER_CODE);
	CHECK_EQ(USER(user_hlt, 0), GP);
	CHECK_EQ(USER(user_cr, 0), GP);
	CHECK_EQ(USER(user_in, 0), GP);
	CHECK_EQ(USER(user_lgdt, 0), GP);
	CHECK_EQ(USER(user_wrmsr, 0), GP);
	/* POPF leaves IF and IOPL alone. */
	CHECK_EQ(USER(user_popf, 0), 0x80);
	CHECK_EQ(trap.f.ax & 0x3200, 0);
	/* With IOPL 3 it may CLI. */
	CHECK_EQ(USER_FLAGS(user_cli, 0, 0x3202), 0x80);
	CHECK(!(trap.f.flags & FLAG_IF));

	CHECK_EQ(iret_to(SEL_CODE, SEL_DATA, 2), NO_TRAP);
	CHECK_EQ(iret_to(SEL_CODE, 0, 2), NO_TRAP);
	CHECK_EQ(iret_to(0, SEL_DATA, 2), GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(iret_to(SEL_DATA, SEL_DATA, 2), GP);
	CHECK_EQ(trap.f.error, SEL_DATA);
	CHECK_EQ(iret_to(SEL_CODE, SEL_USER_DATA, 2), GP);
	CHECK_EQ(trap.f.error, SEL_USER_DATA & ~3);
	CHECK_EQ(iret_to(0x7f8, SEL_DATA, 2), GP);
	CHECK_EQ(trap.f.error, 0x7f8);
}
