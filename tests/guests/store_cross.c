/* SPDX-License-Identifier: Apache-2.0 */
/* A store across the end of a page whose next page is missing or read-only changes nothing; the right CR2. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
#define END (VA + 4096)

static void check_nothing(u64 second_flags, u32 error)
{
	u8 *a = page_alloc(), *b = page_alloc();

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR);
	memory_fill(a, 0x11, 4096);
	memory_fill(b, 0x22, 4096);
	window_map(VA, a, PTE_P | PTE_W);
	window_map(END, b, second_flags);
#define STORE(text, ...)                                         \
	do {                                                             \
		TRY(text, __VA_ARGS__);                                  \
		CHECK_PF(END, error);                                    \
		for (unsigned i = 1; i <= 64; i++)                       \
			CHECK_EQ(a[4096 - i], 0x11);                     \
		CHECK_EQ(b[0], 0x22);                                    \
	} while (0)
	STORE("movw $-1, (%0)", : "r"(END - 1) : "memory");
	STORE("movl $-1, (%0)", : "r"(END - 3) : "memory");
	STORE("movl $-1, (%0)", : "r"(END - 1) : "memory");
	STORE("movq $-1, (%0)", : "r"(END - 4) : "memory");
	STORE("movups %%xmm0, (%0)", : "r"(END - 7) : "memory");
}

void guest_main(void)
{
	check_nothing(0, PF_W);
	check_nothing(PTE_P, PF_P | PF_W);
}
