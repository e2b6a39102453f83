/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory balloon (virtio 1.2, 5.5). Pages that the driver puts into the balloon
 * or reports as free go back to the host, and read as zeros when the guest
 * touches them again. The balloon's target is zero: nobody asks the guest for
 * memory yet, and what it reports it may use again at any time.
 */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_BALLOON_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_BALLOON_H

#include "devices/virtio/virtio.h"

struct virtio_balloon {
	struct virtio_device dev;
	struct guest_memory *mem;
	uint8_t registers[8]; /* the configuration space: num_pages, actual */
};

enum lodge_err virtio_balloon_init(struct virtio_balloon *b, struct guest_memory *mem, const struct post_service *posts,
				   struct log *log) LODGE_MUST_CHECK;

#endif
