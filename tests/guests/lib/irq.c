/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt controllers and timers, just enough for the guests. */
#include "guest.h"

static void spurious(struct frame *f)
{
	(void)f;
}

void lapic_enable(void)
{
	irq_handle(0xff, spurious);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_TPR, 0);
}

void ipi_send(unsigned apic_id, u32 icr_low)
{
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR, icr_low);
	while (lapic_read(LAPIC_ICR) & 0x1000)
		pause();
}

void lapic_timer(u32 lvt, u32 count)
{
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, lvt);
	lapic_write(LAPIC_TIMER_INIT, count);
}

static volatile u32 *const ioapic = (volatile u32 *)(word)0xfec00000;

u32 ioapic_read(u32 reg)
{
	ioapic[0] = reg;
	return ioapic[4];
}

void ioapic_route(unsigned pin, u32 low, unsigned apic_id)
{
	ioapic[0] = 0x11 + 2 * pin;
	ioapic[4] = apic_id << 24;
	ioapic[0] = 0x10 + 2 * pin;
	ioapic[4] = low;
}

void pic_init(u8 mask_low, u8 mask_high)
{
	out8(0x20, 0x11);
	out8(0x21, 0x20);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0xa0, 0x11);
	out8(0xa1, 0x28);
	out8(0xa1, 2);
	out8(0xa1, 1);
	out8(0x21, mask_low);
	out8(0xa1, mask_high);
}

void pit_start(unsigned mode, u16 count)
{
	out8(0x43, (u8)(0x30 | mode << 1));
	out8(0x40, (u8)count);
	out8(0x40, (u8)(count >> 8));
}

int wait_for(volatile u32 *counter, u32 want)
{
	u64 start = rdtsc();

	while (*counter < want) {
		if (rdtsc() - start > 20000000000ull)
			return 0;
		pause();
	}
	return 1;
}
