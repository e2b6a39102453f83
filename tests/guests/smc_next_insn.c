/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the very next instruction takes effect on it; and one to the storing instruction's own line. */
#include "guest.h"

/* movl imm to the immediate of the mov right after it */
CODE(next, "mov %edi, 1f+1(%rip); 1: mov $0, %eax; ret\n");
/* a byte store turns the next `inc` into `dec` */
CODE(opcode, "xor %eax, %eax; movb %dil, 1f+1(%rip); 1: inc %eax; ret\n");
/* the string store overwrites what follows it */
CODE(string, "lea 1f(%rip), %rdi; mov $0x90, %al; mov $5, %ecx; rep stosb; 1: jmp 2f; nop; nop; nop; mov $1, %eax; ret; 2: mov $2, %eax; ret\n");

void guest_main(void)
{
	u8 *page = page_alloc();
	int (*f)(int) = (int (*)(int))page;

	memory_copy(page, next, (word)(next_end - next));
	for (int i = 1; i < 200; i++)
		CHECK_EQ(f(i), i);
	/* A page of its own each: code that changes all the time may be run in another way. */
	page = page_alloc();
	f = (int (*)(int))page;
	memory_copy(page, opcode, (word)(opcode_end - opcode));
	for (int i = 0; i < 50; i++)
		CHECK_EQ((u32)f(i & 1 ? 0xc8 : 0xc0), i & 1 ? (u32)-1 : 1);
	for (int i = 0; i < 20; i++) {
		page = page_alloc();
		f = (int (*)(int))page;
		memory_copy(page, string, (word)(string_end - string));
		CHECK_EQ(f(0), 1);
	}
}
