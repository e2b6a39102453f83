/* SPDX-License-Identifier: Apache-2.0 */
/* An NMI is held back from NMI delivery to IRET, and one is remembered. */
#include "guest.h"

static volatile u32 nmis, depth, nested;

static void on_nmi(struct frame *f)
{
	if (depth++)
		nested = 1;
	if (nmis++ == 0) {
		ipi_send(lapic_read(LAPIC_ID) >> 24, 0x4400);
		ipi_send(lapic_read(LAPIC_ID) >> 24, 0x4400);
		for (u64 start = rdtsc(); rdtsc() - start < 3000000;)
			;
	}
	depth--;
}

void guest_main(void)
{
	lapic_enable();
	irq_handle(NMI, on_nmi);
	ipi_send(lapic_read(LAPIC_ID) >> 24, 0x4400);
	CHECK(wait_for(&nmis, 2));
	CHECK(!nested);
	for (u64 start = rdtsc(); rdtsc() - start < 3000000;)
		;
	CHECK_EQ(nmis, 2);
}
