/* SPDX-License-Identifier: Apache-2.0 */
/* #MF waits for the next x87 instruction, #XM comes at once; masks. */
#include "guest.h"

void guest_main(void)
{
	u16 cw = 0x37b; /* zero divide unmasked */
	u32 csr = 0x1f80 & ~0x200u;

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT);
	__asm__ volatile("fninit; fldcw %0; fld1; fldz" : : "m"(cw));
	TRY("fwait; .byte 0xde, 0xf9", ); /* FDIVP */
	CHECK_NO_TRAP();
	TRY("fwait", );
	CHECK_FAULT(MF, 0);
	TRY("fld1", );
	CHECK_FAULT(MF, 0);
	TRY("fnstsw %%ax", : : "rax");
	CHECK_NO_TRAP();
	TRY("fnclex; fwait", );
	CHECK_NO_TRAP();
	__asm__ volatile("fninit");

	__asm__ volatile("ldmxcsr %0" : : "m"(csr));
	u32 one = 0x3f800000, zero = 0;
	TRY("movss %0, %%xmm0", : "m"(one));
	TRY("divss %0, %%xmm0", : "m"(zero));
	CHECK_FAULT(XM, 0);
	u32 got;
	__asm__ volatile("stmxcsr %0" : "=m"(got));
	CHECK_EQ(got & 0x3f, 4);
	WRITE_CR(4, READ_CR(4) & ~(word)CR4_OSXMMEXCPT);
	TRY("divss %0, %%xmm0", : "m"(zero));
	CHECK_FAULT(UD, 0);
	WRITE_CR(4, READ_CR(4) | CR4_OSXMMEXCPT);
	csr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(csr));
	TRY("divss %0, %%xmm0", : "m"(zero));
	CHECK_NO_TRAP();
	/* MOVAPS wants alignment. */
	static u8 buf[32] __attribute__((aligned(16)));
	TRY("movaps %0, %%xmm0", : "m"(buf[8]));
	CHECK_FAULT(GP, 0);
	TRY("movups %0, %%xmm0", : "m"(buf[8]));
	CHECK_NO_TRAP();
}
