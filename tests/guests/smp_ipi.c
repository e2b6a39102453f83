/* SPDX-License-Identifier: Apache-2.0 */
/* run: cpus=3 */
/* IPIs: fixed, to one, to self, broadcast, lowest priority; NMI; delivery to a halted CPU. */
#include "guest.h"

static volatile u32 got[3], nmis[3], ready;

static void on_ipi(struct frame *f)
{
	unsigned id = lapic_read(LAPIC_ID) >> 24;

	__asm__ volatile("lock incl %0" : "+m"(got[id]) : : "cc");
	lapic_eoi();
}

static void on_nmi(struct frame *f)
{
	__asm__ volatile("lock incl %0" : "+m"(nmis[lapic_read(LAPIC_ID) >> 24]) : : "cc");
}

static void idle(unsigned cpu)
{
	lapic_write(LAPIC_TPR, 0);
	__asm__ volatile("lock incl %0" : "+m"(ready) : : "cc");
	for (;;)
		__asm__ volatile("sti; hlt");
}

void guest_main(void)
{
	irq_handle(0x90, on_ipi);
	irq_handle(NMI, on_nmi);
	smp_start(3, idle);
	CHECK(wait_for(&ready, 2));
	sti();
	for (u32 i = 0; i < 50; i++) {
		ipi_send(1, 0x4090);
		CHECK(wait_for(&got[1], 2 * i + 1));
		lapic_write(LAPIC_ICR, 0xc4090); /* all but self */
		CHECK(wait_for(&got[1], 2 * i + 2));
		CHECK(wait_for(&got[2], i + 1));
	}
	CHECK_EQ(got[0], 0);
	lapic_write(LAPIC_ICR, 0x44090); /* self */
	CHECK(wait_for(&got[0], 1));
	lapic_write(LAPIC_ICR, 0x84090); /* all */
	CHECK(wait_for(&got[0], 2));
	CHECK(wait_for(&got[1], 101));
	CHECK(wait_for(&got[2], 51));
	ipi_send(2, 0x4400); /* NMI */
	CHECK(wait_for(&nmis[2], 1));
	ipi_send(1, 0x4400);
	CHECK(wait_for(&nmis[1], 1));
	CHECK_EQ(nmis[0], 0);
	/* Masked here: waits in the IRR. */
	cli();
	lapic_write(LAPIC_ICR, 0x44090);
	CHECK_EQ(lapic_read(LAPIC_IRR + 0x40) >> 16 & 1, 1);
	CHECK_EQ(got[0], 2);
	sti();
	CHECK(wait_for(&got[0], 3));
}
