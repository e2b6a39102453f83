/* SPDX-License-Identifier: Apache-2.0 */
/* The common configuration structure (virtio 1.2, 4.1.4.3), apart from the rest of the transport. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_PCI_COMMON_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_PCI_COMMON_H

#include "devices/virtio/virtio_pci.h"

#define VIRTIO_PCI_COMMON_BYTES 0x38u /* up to and with queue_device: what comes behind is optional and not offered */

/* @access->offset is from the structure's start. Any thread. */
void virtio_pci_common_access(struct virtio_pci *p, struct bus_access *access);

#endif
