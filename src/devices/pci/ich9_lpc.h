/* SPDX-License-Identifier: Apache-2.0 */
/* ICH9 LPC bridge, 00:1f.0: PMBASE, ACPI control, PIRQ routing to the 8259s, root complex base. */
#ifndef LODGE_DEVICES_PCI_ICH9_LPC_H
#define LODGE_DEVICES_PCI_ICH9_LPC_H

#include "devices/pci/pci.h"

#define ICH9_LPC_SLOT 0x1fu
#define ICH9_RCBA_BYTES 0x4000u

struct ich9_lpc_config {
	uint16_t pmbase; /* open after reset (direct boot); 0: closed, as the chip does */
	/* PMBASE or ACPI_EN changed; @base 0: closed. PCI lock held, or at reset. May be NULL. */
	void (*pmbase_changed)(void *ctx, uint16_t base);
	void *ctx;
	struct bus *mmio_bus; /* for the root complex registers */
	struct irq_line ioapic[PCI_PIRQS]; /* PIRQA..H: GSI 16..23 */
	struct irq_line isa[16];           /* routed PIRQs: to the 8259 pair only; 3..7, 9..12, 14, 15 are used */
};

struct ich9_lpc {
	struct pci_function fn;
	struct ich9_lpc_config config;
	uint8_t pirq_level;     /* guarded by the PCI lock; a bit a PIRQ */
	uint16_t isa_level;     /* what we drive now */
	struct bus_region rcba; /* reads as zero, writes are dropped */
	bool rcba_mapped;
};

enum lodge_err ich9_lpc_init(struct ich9_lpc *lpc, struct pci_bus *bus, const struct ich9_lpc_config *config) LODGE_MUST_CHECK;
/* After pci_bus_reset(). */
void ich9_lpc_reset(struct ich9_lpc *lpc);
/* pci_bus_config.pirq: irq_line.set with the bridge as ctx, pin = PIRQ number. PCI lock held. */
void ich9_lpc_set_pirq(void *lpc, unsigned pirq, bool level);
void ich9_lpc_state_loaded(struct ich9_lpc *lpc);

#endif
