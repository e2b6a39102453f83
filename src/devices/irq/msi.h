/* SPDX-License-Identifier: Apache-2.0 */
/* Message-signalled interrupts: from an address and data pair to an APIC message. */
#ifndef LODGE_DEVICES_IRQ_MSI_H
#define LODGE_DEVICES_IRQ_MSI_H

#include "devices/device.h"
#include "devices/irq/apic_message.h"

/* False: the pair is no interrupt message. Address bits 5..11 extend the destination to 15 bits, as KVM guests use them. */
bool msi_decode(uint64_t addr, uint32_t data, struct apic_message *out);

/* Owned by the machine; msi_sink gives the handle that devices get. */
struct msi {
	struct apic_sink sink;
};
void msi_init(struct msi *msi, const struct apic_sink *sink);
struct msi_sink msi_sink(struct msi *msi);

#endif
