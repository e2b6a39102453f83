/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy device (virtio 1.2, 5.4): fills what the guest offers with the host's random bytes. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_RNG_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

struct virtio_rng {
	struct virtio_device dev;
};

enum lodge_err virtio_rng_init(struct virtio_rng *r, struct guest_memory *mem, const struct post_service *posts, struct log *log) LODGE_MUST_CHECK;

#endif
