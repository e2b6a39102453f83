/* SPDX-License-Identifier: Apache-2.0 */
/* A locked read-modify-write faults as a write from the start. */
#include "guest.h"

#define VA (WINDOW + 0x5120)

void guest_main(void)
{
	TRY("lock addl $1, (%0)", : "r"(VA) : "memory", "cc");
	CHECK_PF(VA, PF_W);
	TRY("xchg %%eax, (%0)", : "r"(VA) : "memory", "rax");
	CHECK_PF(VA, PF_W);
	TRY("lock cmpxchg %%ecx, (%0)", : "r"(VA) : "memory", "rax", "cc");
	CHECK_PF(VA, PF_W);
}
