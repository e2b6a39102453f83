/* SPDX-License-Identifier: Apache-2.0 */
/* Reserved bits of MXCSR: #GP from LDMXCSR and FXRSTOR. */
#include "guest.h"

static u8 area[512] __attribute__((aligned(64)));

void guest_main(void)
{
	u32 csr = 0xffff0000;

	WRITE_CR(4, READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT);
	TRY("ldmxcsr %0", : "m"(csr));
	CHECK_FAULT(GP, 0);
	__asm__ volatile("fninit; fxsaveq %0" : "=m"(area));
	*(u32 *)(area + 24) |= 0x80000000;
	TRY("fxrstorq %0", : "m"(area));
	CHECK_FAULT(GP, 0);
}
