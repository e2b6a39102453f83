/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device. */
#include "devices/virtio/virtio_rng.h"

#include "base/mem.h"

#define QUEUE_SIZE 8u
#define CHUNK_BYTES 256u /* a request: a guest that wants more asks again, and others have their turn on the I/O thread */

static void on_chain(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain)
{
	uint8_t bytes[CHUNK_BYTES];
	uint64_t n;

	/* There is nothing to tell this device (5.4.6.1). */
	if (chain->nread || !chain->nwrite) {
		virtio_break(dev, "a request for entropy without room, or with data to read");
		virtio_push(dev, queue, chain->id, chain->descriptors, 0);
		return;
	}
	n = MIN(chain->write_bytes, (uint64_t)sizeof(bytes));
	host_random(bytes, n);
	n = virtq_copy_in(&dev->queues[queue].ring, chain, 0, bytes, n);
	memset(bytes, 0, sizeof(bytes));
	virtio_push(dev, queue, chain->id, chain->descriptors, (uint32_t)n);
}

static const struct virtio_ops rng_ops = { .chain = on_chain };

enum lodge_err virtio_rng_init(struct virtio_rng *r, struct guest_memory *mem, const struct post_service *posts, struct log *log)
{
	return virtio_init(&r->dev, &(struct virtio_config){ .ops = &rng_ops,
							     .impl = r,
							     .id = VIRTIO_ID_ENTROPY,
							     .name = "virtio-rng",
							     .queues = 1,
							     .queue_size = QUEUE_SIZE,
							     .mem = mem,
							     .posts = *posts,
							     .log = log });
}
