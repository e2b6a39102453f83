/* SPDX-License-Identifier: Apache-2.0 */
/* Wired-or of interrupt sources and fan-out to the controllers. The hub's lock keeps the order of edges. */
#include "devices/irq/irq_hub.h"

#define PIC_PINS 16u
#define PIT_GSI 0u
#define IOAPIC_PIT_PIN 2u
#define LINE_SOURCE_SHIFT 8

void irq_hub_init(struct irq_hub *hub, const struct irq_hub_config *config)
{
	*hub = (struct irq_hub){ .config = *config };
}

static void irq_hub_set(void *ctx, unsigned pin, bool level)
{
	struct irq_hub *hub = ctx;
	unsigned gsi = pin & 0xff;
	uint32_t bit = UINT32_C(1) << (pin >> LINE_SOURCE_SHIFT), before, now;

	host_mutex_lock(&hub->lock);
	before = hub->asserted[gsi];
	now = level ? before | bit : before & ~bit;
	hub->asserted[gsi] = now;
	if (!before != !now && gsi < PIC_PINS && hub->config.pic_set)
		hub->config.pic_set(hub->config.pic, gsi, now);
	before &= ~hub->pic_only[gsi];
	now &= ~hub->pic_only[gsi];
	if (!before != !now && hub->config.ioapic_set)
		hub->config.ioapic_set(hub->config.ioapic, gsi == PIT_GSI ? IOAPIC_PIT_PIN : gsi, now);
	host_mutex_unlock(&hub->lock);
}

struct irq_line irq_hub_line(struct irq_hub *hub, unsigned gsi)
{
	unsigned source;

	if (gsi >= IRQ_HUB_GSIS || hub->sources[gsi] >= IRQ_HUB_SOURCES)
		return (struct irq_line){ .set = NULL };
	source = hub->sources[gsi]++;
	return (struct irq_line){ .set = irq_hub_set, .ctx = hub, .pin = gsi | source << LINE_SOURCE_SHIFT };
}

struct irq_line irq_hub_pic_line(struct irq_hub *hub, unsigned irq)
{
	struct irq_line line = irq >= PIC_PINS ? (struct irq_line){ .set = NULL } : irq_hub_line(hub, irq);

	if (line.set)
		hub->pic_only[irq] |= UINT32_C(1) << (line.pin >> LINE_SOURCE_SHIFT);
	return line;
}

void irq_hub_reset(struct irq_hub *hub)
{
	host_mutex_lock(&hub->lock);
	for (unsigned gsi = 0; gsi < IRQ_HUB_GSIS; gsi++)
		hub->asserted[gsi] = 0;
	host_mutex_unlock(&hub->lock);
}
