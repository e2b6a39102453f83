/* SPDX-License-Identifier: Apache-2.0 */
/* IO-APIC: 24 inputs, version 0x20 (with EOI register). Thread safe by its own lock. */
#ifndef LODGE_DEVICES_IRQ_IOAPIC_H
#define LODGE_DEVICES_IRQ_IOAPIC_H

#include "devices/device.h"
#include "devices/irq/apic_message.h"

#define IOAPIC_PINS 24
#define IOAPIC_STATE_VERSION 1u

struct ioapic_state {
	uint32_t id, select;
	uint32_t level; /* inputs asserted now */
	uint32_t pad;
	uint64_t redir[IOAPIC_PINS];
};

struct ioapic_config {
	uint64_t base; /* MMIO, one page */
	struct apic_sink sink;
};

struct ioapic {
	struct host_mutex lock;
	struct ioapic_config config;
	struct ioapic_state state; /* guarded by lock */
	struct bus_region mmio;    /* for the machine to register */
};

void ioapic_init(struct ioapic *io, const struct ioapic_config *config);
void ioapic_fini(struct ioapic *io);
void ioapic_reset(struct ioapic *io);
/* irq_line.set with the IO-APIC as ctx. Any thread. */
void ioapic_set_pin(void *io, unsigned pin, bool level);
/* EOI of a level-triggered vector, broadcast by a local APIC. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);
void ioapic_get_state(struct ioapic *io, struct ioapic_state *out);
enum lodge_err ioapic_set_state(struct ioapic *io, const struct ioapic_state *in) LODGE_MUST_CHECK;

#endif
