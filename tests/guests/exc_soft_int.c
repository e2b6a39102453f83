/* SPDX-License-Identifier: Apache-2.0 */
/* INT3 and INT n push the next RIP; #UD of invalid encodings and misused LOCK. */
#include "guest.h"

extern u8 i1[], i2[];
static u32 vector;
static word at;
static void note(struct frame *f) { vector = (u32)f->vector; at = f->ip; }

void guest_main(void)
{
	irq_handle(BP, note);
	irq_handle(0x77, note);
	__asm__ volatile("int3; i1: nop");
	CHECK_EQ(vector, BP);
	CHECK_EQ(at, (word)i1);
	__asm__ volatile("int $0x77; i2: nop");
	CHECK_EQ(vector, 0x77);
	CHECK_EQ(at, (word)i2);
	TRY("ud2", );
	CHECK_FAULT(UD, 0);
	TRY(".byte 0x0f, 0xb9, 0xc0", );
	CHECK_FAULT(UD, 0);
	TRY(".byte 0xf0, 0x90", ); /* lock nop */
	CHECK_FAULT(UD, 0);
	TRY(".byte 0xf0, 0x01, 0xc0", ); /* lock add to a register */
	CHECK_FAULT(UD, 0);
	TRY(".byte 0xf0, 0x3b, 0x00", ); /* lock cmp */
	CHECK_FAULT(UD, 0);
	TRY(".byte 0x27", ); /* daa in long mode */
	CHECK_FAULT(UD, 0);
	TRY(".byte 0x9a, 0, 0, 0, 0, 8, 0", );
	CHECK_FAULT(UD, 0);
	TRY(".byte 0x06", );
	CHECK_FAULT(UD, 0);
	/* Sixteen bytes are too many: #GP. */
	TRY(".fill 15, 1, 0x66; nop", );
	CHECK_FAULT(GP, 0);
	TRY(".fill 14, 1, 0x66; nop", );
	CHECK_NO_TRAP();
}
