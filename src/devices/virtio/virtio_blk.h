/* SPDX-License-Identifier: Apache-2.0 */
/* Block device (virtio 1.2, 5.2): read, write, flush, discard, write zeroes, serial number, several queues. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_BLK_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_BLK_H

#include "block/block.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_BLK_ID_BYTES 20

struct virtio_blk_config {
	const struct block_device *block; /* outlives the device */
	const char *serial;               /* NULL: none */
	unsigned queues;
	struct guest_memory *mem;
	struct post_service posts;
	struct log *log;
};

struct virtio_blk {
	struct virtio_device dev;
	struct virtio_blk_config config;
	uint8_t registers[60]; /* the configuration space, up to write_zeroes_may_unmap and its padding */
	char id[VIRTIO_BLK_ID_BYTES];
};

enum lodge_err virtio_blk_init(struct virtio_blk *b, const struct virtio_blk_config *config) LODGE_MUST_CHECK;

#endif
