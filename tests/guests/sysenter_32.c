/* SPDX-License-Identifier: Apache-2.0 */
/* SYSENTER and SYSEXIT outside long mode, where every processor has them: EDX is the way back, ECX the stack. */
#include "guest.h"

void sysenter_entry(void);
__asm__(".pushsection .text\nsysenter_entry: mov %cs, entry_cs; mov %ss, entry_ss; mov %esp, entry_sp; pushf; popl entry_flags\n"
	"mov %ebp, %ecx; mov %ebx, %edx; sysexit\n.popsection");
volatile u32 entry_cs, entry_ss, entry_sp, entry_flags;
CODE(user, "call 1f; 1: pop %ebx; add $2f - 1b, %ebx; mov %esp, %ebp; sysenter; hlt; 2: mov %cs, %eax; mov %ss, %ecx; sub %ebp, %esp; mov %esp, %edx\n"
	   USER_END);
CODE(user_sysexit, "sysexit\n");

void guest_main(void)
{
	if (!(cpuid(1, 0).d & 1 << 11))
		guest_skip("no SEP");
	wrmsr(0x174, 0);
	wrmsr(0x175, (word)kernel_entry_stack - 4096);
	wrmsr(0x176, (word)sysenter_entry);
	CHECK_EQ(USER(user, 0), GP);
	CHECK_EQ(trap.f.error, 0);
	TRY("sysexit", : "c"(0), "d"(0));
	CHECK_FAULT(GP, 0);
	wrmsr(0x174, SEL_CODE);
	CHECK_EQ(USER(user_sysexit, 0), GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(USER_FLAGS(user, 0, 0x202), 0x80);
	CHECK_EQ(entry_cs, SEL_CODE);
	CHECK_EQ(entry_ss, SEL_DATA);
	CHECK_EQ(entry_sp, (word)kernel_entry_stack - 4096);
	CHECK_EQ(entry_flags & FLAG_IF, 0);
	CHECK_EQ(trap.f.ax, SEL_USER_CODE32);
	CHECK_EQ(trap.f.cx, SEL_USER_DATA);
	CHECK_EQ(trap.f.dx, 0);
}
