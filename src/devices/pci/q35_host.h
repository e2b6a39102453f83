/* SPDX-License-Identifier: Apache-2.0 */
/* Q35 host bridge, 00:00.0: PCIEXBAR, the PAM registers, and SMRAM registers without effect. */
#ifndef LODGE_DEVICES_PCI_Q35_HOST_H
#define LODGE_DEVICES_PCI_Q35_HOST_H

#include "devices/pci/pci.h"

#define Q35_PAM_SEGMENTS 13

/* One of the areas from c0000h to fffffh that firmware shadows. */
struct q35_pam_segment {
	uint32_t base, bytes;
	bool read_ram, write_ram; /* otherwise the access goes to ROM */
};

struct q35_host_config {
	uint64_t pciexbar;   /* window that is open after reset (direct boot); 0: closed, as the chip does */
	uint16_t ram_low_mib;  /* top of low usable memory, for TOLUD */
	uint64_t ram_high_end; /* for TOUUD; 0: no memory above 4 GiB */
	/* PAM changed. vcpu thread with the PCI lock held, or the resetting thread. May be NULL. */
	void (*pam_changed)(void *ctx);
	void *ctx;
};

struct q35_host {
	struct pci_function fn;
	struct q35_host_config config;
};

enum lodge_err q35_host_init(struct q35_host *q, struct pci_bus *bus, const struct q35_host_config *config) LODGE_MUST_CHECK;
/* After pci_bus_reset(). */
void q35_host_reset(struct q35_host *q);
/* As the PAM registers stand: for pam_changed, and for building the map. Lock: as for pam_changed. */
void q35_host_pam(const struct q35_host *q, struct q35_pam_segment out[Q35_PAM_SEGMENTS]);
/* After pci_function_set_state() of fn: apply what the registers say. */
void q35_host_state_loaded(struct q35_host *q);

#endif
