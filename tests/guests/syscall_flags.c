/* SPDX-License-Identifier: Apache-2.0 */
/* SYSCALL clears what FMASK names and keeps the arithmetic flags. */
#include "guest.h"

void syscall_entry(void);
__asm__(".pushsection .text\nsyscall_entry: mov %rsp, syscall_rsp; mov $kernel_entry_stack - 4096, %rsp; pushf; popq syscall_flags\n"
	"mov syscall_rsp, %rsp; sysretq\n.popsection");
volatile word syscall_rsp, syscall_flags;
CODE(user, "stc; syscall\n" USER_END);

void guest_main(void)
{
	wrmsr(EFER, rdmsr(EFER) | 1);
	wrmsr(0xc0000081, 0x001b000800000000ull);
	wrmsr(0xc0000082, (word)syscall_entry);
	wrmsr(0xc0000084, FLAG_IF);
	CHECK_EQ(USER_FLAGS(user, 0, 0x203), 0x80);
	CHECK_EQ(syscall_flags & (FLAG_IF | 3), 3);
}
