/* SPDX-License-Identifier: Apache-2.0 */
/* Code that changes code in its own page: the next execution sees it. */
#include "guest.h"

CODE(template, "1: mov $0x11223344, %eax; ret\n");

void guest_main(void)
{
	u8 *page = page_alloc();
	int (*f)(void) = (int (*)(void))page;

	memory_copy(page, template, 6);
	for (int i = 0; i < 300; i++) {
		*(volatile int *)(page + 1) = i;
		CHECK_EQ(f(), i);
	}
	/* Code that patches itself, with the patch site later in the same page. */
	CODE(self, "1: mov %edi, 2f+1(%rip); jmp 3f; .fill 100, 1, 0x90; 3: nop; 2: mov $0, %eax; ret\n");
	u8 *page2 = page_alloc();
	int (*s)(int) = (int (*)(int))page2;

	memory_copy(page2, self, (word)(self_end - self));
	for (int i = 1; i < 300; i++)
		CHECK_EQ(s(i), i);
}
