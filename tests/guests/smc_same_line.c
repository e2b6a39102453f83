/* SPDX-License-Identifier: Apache-2.0 */
/* Data that lives in the line of running code: stores there work and leave the code right. */
#include "guest.h"

CODE(loop, "jmp 1f; .fill 6, 1, 0x90; 2: .quad 0; 1: mov $1000, %ecx; 3: incq 2b(%rip); dec %ecx; jnz 3b; mov 2b(%rip), %rax; ret\n");

void guest_main(void)
{
	u8 *page = page_alloc();
	word (*f)(void) = (word (*)(void))page;

	memory_copy(page, loop, (word)(loop_end - loop));
	CHECK_EQ(f(), 1000);
	CHECK_EQ(f(), 2000);
}
