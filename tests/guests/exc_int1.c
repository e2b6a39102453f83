/* SPDX-License-Identifier: Apache-2.0 */
/* INT1 (F1): #DB as a trap, whatever the gate's DPL. */
#include "guest.h"

extern u8 i1[];
static word at;
static u32 hits;
static void note(struct frame *f) { hits++; at = f->ip; }

void guest_main(void)
{
	irq_handle(DB, note);
	__asm__ volatile(".byte 0xf1; i1: nop");
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (word)i1);
}
