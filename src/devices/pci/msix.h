/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X for a PCI function: capability, vector table and pending bits. The
 * device routes accesses of the BAR's table and PBA ranges here. Thread safe
 * by its own lock, which is taken inside the PCI bus's.
 */
#ifndef LODGE_DEVICES_PCI_MSIX_H
#define LODGE_DEVICES_PCI_MSIX_H

#include "devices/pci/pci.h"

#define MSIX_VECTORS_MAX 64
#define MSIX_ENTRY_BYTES 16
#define MSIX_STATE_VERSION 1u

struct msix_state {
	uint32_t table[MSIX_VECTORS_MAX * 4]; /* address low, high, data, control */
	uint64_t pending;
	uint32_t enabled, masked; /* from the message control word */
};

struct msix {
	struct host_mutex lock;
	struct msix_state state; /* guarded by lock */
	struct msi_sink sink;
	struct pci_function *fn;
	unsigned vectors;
	uint8_t cap;
};

/* Table at @table_offset and PBA at @pba_offset of BAR @bar. */
enum lodge_err msix_init(struct msix *m, struct pci_function *fn, unsigned vectors, unsigned bar, uint32_t table_offset,
			 uint32_t pba_offset, const struct msi_sink *sink) LODGE_MUST_CHECK;
void msix_reset(struct msix *m);
/* @access->offset is from the table's (PBA's) start. */
enum bus_result msix_table_access(struct msix *m, struct bus_access *access);
enum bus_result msix_pba_access(struct msix *m, struct bus_access *access);
/* The function's config_written hook calls this. */
void msix_config_written(struct msix *m);
/* Send @vector, or remember it while it is masked. False when MSI-X is off: use INTx. Any thread. */
bool msix_notify(struct msix *m, unsigned vector);
void msix_get_state(struct msix *m, struct msix_state *out);
enum lodge_err msix_set_state(struct msix *m, const struct msix_state *in) LODGE_MUST_CHECK;

#endif
