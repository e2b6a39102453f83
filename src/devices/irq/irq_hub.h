/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wires between devices and the two interrupt controllers: every global
 * system interrupt is the wired-or of up to 32 sources, and goes to the 8259
 * pair (0..15) and to the IO-APIC (0 arrives at input 2, as the MADT says).
 */
#ifndef LODGE_DEVICES_IRQ_IRQ_HUB_H
#define LODGE_DEVICES_IRQ_IRQ_HUB_H

#include "devices/device.h"

#define IRQ_HUB_GSIS 24
#define IRQ_HUB_SOURCES 32

struct irq_hub_config {
	void (*pic_set)(void *ctx, unsigned pin, bool level); /* either may be NULL */
	void *pic;
	void (*ioapic_set)(void *ctx, unsigned pin, bool level);
	void *ioapic;
};

struct irq_hub {
	struct host_mutex lock;
	struct irq_hub_config config;
	uint32_t asserted[IRQ_HUB_GSIS]; /* guarded by lock; a bit a source */
	uint32_t pic_only[IRQ_HUB_GSIS]; /* sources that the IO-APIC does not see; set-up only */
	uint32_t sources[IRQ_HUB_GSIS];  /* handed out so far; set-up only */
};

void irq_hub_init(struct irq_hub *hub, const struct irq_hub_config *config);
/* A wire of its own for one more device on @gsi; zeroed when there is no such @gsi or no wire left. Set-up only. */
struct irq_line irq_hub_line(struct irq_hub *hub, unsigned gsi);
/* The same for a wire that only the 8259 pair sees: a PIRQ that the LPC bridge routes to an ISA interrupt. */
struct irq_line irq_hub_pic_line(struct irq_hub *hub, unsigned irq);
/*
 * All wires low. Devices drive theirs low in their own resets; this is for
 * machine reset, before the controllers' resets.
 */
void irq_hub_reset(struct irq_hub *hub);

#endif
