/* SPDX-License-Identifier: Apache-2.0 */
/* SYSCALL and SYSRET: registers, flags, selectors; #UD without EFER.SCE. */
#include "guest.h"

void syscall_entry(void);
__asm__(".pushsection .text\nsyscall_entry: mov %rcx, syscall_rcx; mov %r11, syscall_r11; mov %rsp, syscall_rsp;\n"
	"mov $kernel_entry_stack - 4096, %rsp; pushf; popq syscall_flags; movl $0, syscall_cs; mov %cs, syscall_cs; mov %ss, syscall_ss\n"
	"mov syscall_rsp, %rsp; incl syscall_count; sysretq\n.popsection");
volatile word syscall_rcx, syscall_r11, syscall_rsp, syscall_flags;
volatile u32 syscall_cs, syscall_ss, syscall_count;
CODE(user, "mov %rsp, %rbx; std; syscall; 1: pushf; pop %rax; mov %cs, %edx; mov %ss, %esi; sub %rsp, %rbx\n"
     "lea 1b(%rip), %rdi; sub %rcx, %rdi; cld\n" USER_END);
CODE(user_sysret, "sysretq\n");

void guest_main(void)
{
	CHECK_EQ(USER(user, 0), UD);
	wrmsr(EFER, rdmsr(EFER) | 1);
	wrmsr(0xc0000081, 0x001b000800000000ull);
	wrmsr(0xc0000082, (word)syscall_entry);
	wrmsr(0xc0000084, 0x400 | FLAG_IF | FLAG_TF);
	CHECK_EQ(USER_FLAGS(user, 0, 0x203), 0x80);
	CHECK_EQ(syscall_count, 1);
	CHECK_EQ(syscall_cs, SEL_CODE);
	CHECK_EQ(syscall_ss, SEL_DATA);
	CHECK_EQ(syscall_r11 & 0x603, 0x603);
	CHECK_EQ(syscall_flags & 0x602, 0x2);
	CHECK_EQ(syscall_rsp, WINDOW_USER_STACK + 4096);
	CHECK_EQ(trap.f.ax & 0x600, 0x600);
	CHECK_EQ(trap.f.dx, SEL_USER_CODE64);
	CHECK_EQ(trap.f.si, SEL_USER_DATA);
	CHECK_EQ(trap.f.bx, 0);
	CHECK_EQ(trap.f.di, 0);
	CHECK_EQ(USER(user_sysret, 0), GP);
}
