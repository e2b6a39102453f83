/* SPDX-License-Identifier: Apache-2.0 */
/* Control registers: reserved bits and impossible combinations are #GP(0); what reads back. */
#include "guest.h"

#define BAD_CR(n, v)                                                                \
	do {                                                                        \
		TRY("mov %0, %%cr" #n, : "r"((word)(v)) : "memory");                \
		CHECK_FAULT(GP, 0);                                                 \
	} while (0)

void guest_main(void)
{
	word cr0 = READ_CR(0), cr4 = READ_CR(4);

	BAD_CR(0, cr0 | 1ull << 32);
	BAD_CR(0, cr0 & ~1ull);         /* PG without PE */
	BAD_CR(0, cr0 | 0x20000000);    /* NW without CD */
	BAD_CR(4, cr4 | 1ull << 63);
	BAD_CR(4, cr4 | 1ull << 15);
	BAD_CR(4, cr4 & ~0x20ull);      /* PAE in long mode */
	BAD_CR(8, 16);
	TRY("mov %0, %%cr1", : "r"(0ull));
	CHECK_FAULT(UD, 0);
	TRY(".byte 0x0f, 0x22, 0xe8", : : "rax"); /* CR5 */
	CHECK_FAULT(UD, 0);
	CHECK_EQ(READ_CR(0), cr0);
	CHECK_EQ(READ_CR(4), cr4);
	WRITE_CR(8, 5);
	CHECK_EQ(READ_CR(8), 5);
	CHECK_EQ(lapic_read(LAPIC_TPR), 0x50);
	WRITE_CR(8, 0);
	/* LMSW sets PE but does not clear it; CLTS. */
	__asm__ volatile("lmsw %w0" : : "r"((cr0 & 0xffff) | 8));
	CHECK_EQ(READ_CR(0), cr0 | 8);
	__asm__ volatile("lmsw %w0" : : "r"(8));
	CHECK_EQ(READ_CR(0) & 0xf, 9);
	__asm__ volatile("clts");
	CHECK_EQ(READ_CR(0) & 8, 0);
	WRITE_CR(2, 0x123456789abcull);
	CHECK_EQ(READ_CR(2), 0x123456789abcull);
}
