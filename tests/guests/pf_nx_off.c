/* SPDX-License-Identifier: Apache-2.0 */
/* Without EFER.NXE bit 63 of an entry is reserved. */
#include "guest.h"

#define VA (WINDOW + 0x3000)

void guest_main(void)
{
	wrmsr(EFER, rdmsr(EFER) & ~0x800ull);
	window_map(VA, page_alloc(), PTE_P | PTE_NX);
	TRY("mov (%0), %%al", : "r"(VA) : "rax");
	CHECK_PF(VA, PF_P | PF_R);
}
