/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio over PCI (virtio 1.2, 4.1): the modern interface alone, one 64-bit memory BAR, MSI-X or INTx. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_PCI_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci/msix.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtio.h"

struct virtio_pci_config {
	struct virtio_device *dev; /* initialised */
	struct pci_bus *bus;
	unsigned slot;
	uint16_t class_device; /* PCI class and subclass */
	struct msi_sink msi;
};

/* Stays put while the machine lives. */
struct virtio_pci {
	struct virtio_pci_config config;
	struct pci_function fn;
	struct msix msix;
	struct bus_region bar;
	_Atomic uint32_t isr;
	uint8_t cfg_cap;        /* the capability that is a window to the BAR */
	_Atomic bool in_window; /* an access through it is on the way, with the PCI lock held */
	struct event_post intx; /* for those who must not take the PCI lock */
	/* guarded by the device's lock */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
};

/* virtio_fini() of the device comes after virtio_pci_fini(). */
enum lodge_err virtio_pci_init(struct virtio_pci *p, const struct virtio_pci_config *config) LODGE_MUST_CHECK;
/* After pci_bus_reset(). */
void virtio_pci_reset(struct virtio_pci *p);
void virtio_pci_fini(struct virtio_pci *p); /* fine on a zeroed one */

#endif
