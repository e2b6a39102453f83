/* SPDX-License-Identifier: Apache-2.0 */
/* #NM of CR0.TS and CR0.EM, #UD of SSE without OSFXSR or with EM, WAIT's own rule. */
#include "guest.h"

void guest_main(void)
{
	TRY("fninit", );
	CHECK_NO_TRAP();
	TRY("xorps %%xmm0, %%xmm0", );
	CHECK_FAULT(UD, 0); /* CR4.OSFXSR is off */
	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT);
	TRY("xorps %%xmm0, %%xmm0", );
	CHECK_NO_TRAP();
	WRITE_CR(0, READ_CR(0) | CR0_TS);
	TRY("fninit", );
	CHECK_FAULT(NM, 0);
	TRY("xorps %%xmm0, %%xmm0", );
	CHECK_FAULT(NM, 0);
	TRY("fwait", );
	CHECK_FAULT(NM, 0);
	WRITE_CR(0, READ_CR(0) & ~(word)CR0_MP);
	TRY("fwait", );
	CHECK_NO_TRAP();
	__asm__ volatile("clts");
	TRY("fninit", );
	CHECK_NO_TRAP();
	WRITE_CR(0, READ_CR(0) | CR0_EM);
	TRY("fninit", );
	CHECK_FAULT(NM, 0);
	TRY("xorps %%xmm0, %%xmm0", );
	CHECK_FAULT(UD, 0);
	WRITE_CR(0, (READ_CR(0) & ~(word)CR0_EM) | CR0_MP);
	TRY("fninit", );
	CHECK_NO_TRAP();
	/* AVX without OSXSAVE. */
	TRY(".byte 0xc5, 0xfc, 0x57, 0xc0", );
	CHECK_FAULT(UD, 0);
	TRY("xgetbv", : "c"(0) : "rax", "rdx");
	CHECK_FAULT(UD, 0);
}
