/* SPDX-License-Identifier: Apache-2.0 */
/* SYSENTER from ring 3 and SYSEXIT back (Intel's, and AMD's outside long mode: skipped where it is #UD). */
#include "guest.h"

void sysenter_entry(void);
__asm__(".pushsection .text\nsysenter_entry: mov %cs, entry_cs; mov %ss, entry_ss; mov %rsp, entry_sp; pushf; popq entry_flags\n"
	"mov %rbp, %rcx; mov %rbx, %rdx; rex.w sysexit\n.popsection");
volatile u32 entry_cs, entry_ss;
volatile word entry_sp, entry_flags;
CODE(user, "mov %rsp, %rbp; lea 1f(%rip), %rbx; sysenter; hlt; 1: mov %cs, %eax; mov %ss, %ecx; mov %rsp, %rdx\n" USER_END);

void guest_main(void)
{
	if (!(cpuid(1, 0).d & 1 << 11))
		guest_skip("no SEP");
	wrmsr(0x174, 0);
	wrmsr(0x175, (word)kernel_entry_stack - 4096);
	wrmsr(0x176, (word)sysenter_entry);
	if (USER(user, 0) == UD)
		guest_skip("no SYSENTER in long mode");
	CHECK_EQ(trap.vector, GP);
	CHECK_EQ(trap.f.error, 0);
	wrmsr(0x174, SEL_CODE);
	CHECK_EQ(USER_FLAGS(user, 0, 0x202), 0x80);
	CHECK_EQ(entry_cs, SEL_CODE);
	CHECK_EQ(entry_ss, SEL_DATA);
	CHECK_EQ(entry_sp, (word)kernel_entry_stack - 4096);
	CHECK_EQ(entry_flags & FLAG_IF, 0);
	CHECK_EQ(trap.f.ax, SEL_USER_CODE64);
	CHECK_EQ(trap.f.cx, SEL_USER_CODE64 + 8);
	CHECK_EQ(trap.f.dx, WINDOW_USER_STACK + 4096);
	TRY("rex.w sysexit", : "c"(0x800000000000ull), "d"(0));
	CHECK_FAULT(GP, 0);
}
