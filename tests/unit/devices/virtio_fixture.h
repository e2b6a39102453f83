/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device without a transport, its driver's rings in fake memory, and an I/O thread that runs when the test says so. */
#ifndef LODGE_TESTS_VIRTIO_FIXTURE_H
#define LODGE_TESTS_VIRTIO_FIXTURE_H

#include "devices_fixture.h"

#include "devices/virtio/virtio.h"

#define RAM_BYTES 0x100000u
#define RING(q) (0x1000u * (1 + 3 * (q))) /* descriptors, driver's and device's area: a page each */
#define SIZE 16u
#define BUFFERS 0x40000u
#define NEXT 1u
#define WRITE 2u
#define INDIRECT 4u

static struct {
	uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
	struct guest_memory mem;
	struct virtio_device *dev;
	struct log log;
	struct event_post *posts[16];
	unsigned nposts, interrupts, config_interrupts;
	uint16_t avail[VIRTIO_QUEUES_MAX];
	bool packed;
} v;

static void post(void *ctx, struct event_post *p)
{
	(void)ctx;
	if (!p->queued)
		v.posts[v.nposts++] = p;
	p->queued = true;
}

static void cancel(void *ctx, struct event_post *p) { (void)ctx; p->queued = false; v.nposts = 0; }

static void io_thread(void)
{
	for (unsigned n = 0; v.nposts; n++) {
		struct event_post *p = v.posts[0];

		assert_in_range(n, 0, 100);
		memmove(v.posts, v.posts + 1, --v.nposts * sizeof(v.posts[0]));
		p->queued = false;
		p->fn(p->ctx);
	}
}

static void on_line(void *ctx, enum log_level level, const char *line) { (void)ctx; (void)level; (void)line; }
static void interrupts_reset(void *ctx) { (void)ctx; }
static bool may_access(void *ctx) { (void)ctx; return true; }
static void interrupt(void *ctx, bool config, uint16_t vector)
{
	(void)ctx;
	(void)vector;
	if (config)
		v.config_interrupts++;
	else
		v.interrupts++;
}

/* Memory and log; the test makes its device with them and calls attach_device(). */
static struct post_service build_surroundings(void)
{
	memset(&v, 0, sizeof(v));
	memory_init(&v.mem, -1, v.ram, RAM_BYTES);
	assert_int_equal(memory_add_range(&v.mem, &(struct memory_range){ 0, RAM_BYTES, v.ram, v.ram, 0 }), LODGE_OK);
	log_init(&v.log, on_line, NULL, LOG_DEBUG);
	return (struct post_service){ post, cancel, NULL };
}

static void attach_device(struct virtio_device *dev)
{
	v.dev = dev;
	dev->transport = (struct virtio_transport){ interrupt, interrupts_reset, may_access, NULL };
}

static uint8_t status(void) { return v.dev->status; }

/* A driver with these features beyond version 1. */
static void start(uint64_t features)
{
	virtio_set_status(v.dev, 0);
	memset(v.ram, 0, RAM_BYTES);
	memset(v.avail, 0, sizeof(v.avail));
	v.packed = features & VIRTIO_F_RING_PACKED;
	virtio_set_status(v.dev, 3);
	v.dev->driver_features = features | VIRTIO_F_VERSION_1;
	virtio_set_status(v.dev, 0xb);
	for (unsigned q = 0; q < v.dev->config.queues; q++) {
		v.dev->queues[q].ring.ring = (struct virtq_ring){ RING(q), RING(q) + 0x1000, RING(q) + 0x2000, SIZE };
		virtio_enable_queue(v.dev, q);
	}
	virtio_set_status(v.dev, 0xf);
	assert_int_equal(status(), 0xf);
	io_thread();
}

static void desc(unsigned q, unsigned i, uint64_t addr, uint32_t len, unsigned flags)
{
	uint8_t *d = v.ram + RING(q) + 16 * i;

	put_le64(d, addr);
	put_le32(d + 8, len);
	put_le16(d + (v.packed ? 14 : 12), (uint16_t)(v.packed ? flags | 1 << 7 : flags));
	put_le16(d + (v.packed ? 12 : 14), (uint16_t)(v.packed ? i : i + 1));
}

static void ring(unsigned q, uint16_t head)
{
	if (!v.packed) {
		put_le16(v.ram + RING(q) + 0x1000 + 4 + 2 * (v.avail[q] % SIZE), head);
		put_le16(v.ram + RING(q) + 0x1002, ++v.avail[q]);
	}
	virtio_doorbell(v.dev, q);
	io_thread();
}

static inline uint16_t used(unsigned q) { return get_le16(v.ram + RING(q) + 0x2002); }
static inline uint32_t used_len(unsigned q, unsigned i) { return get_le32(v.ram + RING(q) + 0x2000 + 8 + 8 * (i % SIZE)); }

#endif
