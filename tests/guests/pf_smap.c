/* SPDX-License-Identifier: Apache-2.0 */
/* SMAP: ring 0 reaches user pages only with EFLAGS.AC; the stack of an exception counts as ring 0's own. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
CODE(user_stac, "stac\n" USER_END);

void guest_main(void)
{
	if (!(cpuid(7, 0).b & 1 << 20))
		guest_skip("no SMAP");
	u8 *page = page_alloc();

	window_map(VA, page, PTE_P | PTE_W | PTE_U);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
	CHECK_EQ(TRY("stac; clac", ::"cc"), NO_TRAP);
	WRITE_CR(4, READ_CR(4) | CR4_SMAP);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_PF(VA, PF_P);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	TRY("stac; movb $3, (%0); clac", : "r"(VA) : "memory", "cc");
	CHECK_NO_TRAP();
	CHECK_EQ(*page, 3);
	TRY("movb $1, (%0)", : "r"(VA) : "memory");
	CHECK_PF(VA, PF_P | PF_W);
	/* POPF can set AC too. */
	flags_write(flags_read() | FLAG_AC);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
	flags_write(flags_read() & ~(word)FLAG_AC);
	/* Ring 3 is not concerned, and has no STAC. */
	CHECK_EQ(USER(user_stac, 0), UD);
	WRITE_CR(4, READ_CR(4) & ~CR4_SMAP);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_NO_TRAP();
}
