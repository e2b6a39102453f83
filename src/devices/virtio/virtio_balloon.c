/* SPDX-License-Identifier: Apache-2.0 */
/* The memory balloon. */
#include "devices/virtio/virtio_balloon.h"

#include "base/mem.h"

#define F_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define F_REPORTING (UINT64_C(1) << 5)

#define QUEUE_SIZE 128u
#define ACTUAL 4u           /* its place in the configuration space */
#define PFNS_MAX 0x10000u   /* in one chain; Linux sends 256 */
#define PFN_SHIFT 12

/*
 * The queue for free pages is the fifth, or so says 5.5.2. Drivers do not count
 * queues that come with features they do not have, and Linux's is the third.
 */
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_FIRST_REPORTING, QUEUES = 5 };

/* Discards pages in runs: they mostly come in order, and a call for each would cost more than the page is worth. */
struct run {
	uint64_t start, bytes;
};

static void run_add(struct virtio_balloon *b, struct run *run, uint64_t page)
{
	if (run->bytes && page == run->start + run->bytes) {
		run->bytes += MEMORY_PAGE_BYTES;
		return;
	}
	guest_discard(b->mem, gpa(run->start), run->bytes);
	*run = (struct run){ page, MEMORY_PAGE_BYTES };
}

/* An array of page numbers. */
static const char *inflate(struct virtio_balloon *b, const struct virtq_chain *chain)
{
	struct run run = { 0 };
	le32_t pfns[64];

	if (chain->nwrite || chain->read_bytes % sizeof(pfns[0]) || chain->read_bytes > PFNS_MAX * sizeof(pfns[0]))
		return "a list of pages that is none";
	for (uint64_t at = 0, n; at < chain->read_bytes; at += n) {
		n = virtq_copy_out(chain, at, pfns, sizeof(pfns));
		for (unsigned i = 0; i < n / sizeof(pfns[0]); i++)
			run_add(b, &run, (uint64_t)le32_get(pfns[i]) << PFN_SHIFT);
	}
	guest_discard(b->mem, gpa(run.start), run.bytes);
	return NULL;
}

/* The free memory itself, as room to write. */
static const char *report(struct virtio_balloon *b, const struct virtq_chain *chain)
{
	/* A page twice is not forbidden, but no reason to work without end. */
	if (chain->nread || chain->write_bytes > b->mem->ram_bytes)
		return "a report of free memory that is none";
	for (unsigned i = 0; i < chain->nwrite; i++)
		guest_discard(b->mem, gpa(chain->buffers[i].gpa), chain->buffers[i].len_bytes);
	return NULL;
}

static void on_chain(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain)
{
	struct virtio_balloon *b = dev->config.impl;
	const char *wrong = NULL;

	if (queue == QUEUE_INFLATE)
		wrong = inflate(b, chain);
	else if (queue >= QUEUE_FIRST_REPORTING && virtio_has(dev, F_REPORTING))
		wrong = report(b, chain);
	if (wrong)
		virtio_break(dev, wrong);
	virtio_push(dev, queue, chain->id, chain->descriptors, 0);
}

/* How many pages the driver has put into the balloon, for it to read again. */
static void config_written(struct virtio_device *dev, unsigned offset, unsigned size, uint32_t value)
{
	struct virtio_balloon *b = dev->config.impl;

	if (offset == ACTUAL && size == sizeof(value))
		put_le32(b->registers + ACTUAL, value);
}

static void reset(struct virtio_device *dev)
{
	struct virtio_balloon *b = dev->config.impl;

	put_le32(b->registers + ACTUAL, 0);
}

static const struct virtio_ops balloon_ops = { .chain = on_chain, .config_written = config_written, .reset = reset };

enum lodge_err virtio_balloon_init(struct virtio_balloon *b, struct guest_memory *mem, const struct post_service *posts, struct log *log)
{
	*b = (struct virtio_balloon){ .mem = mem };
	return virtio_init(&b->dev, &(struct virtio_config){ .ops = &balloon_ops,
							     .impl = b,
							     .id = VIRTIO_ID_BALLOON,
							     .name = "virtio-balloon",
							     .features = F_DEFLATE_ON_OOM | F_REPORTING,
							     .queues = QUEUES,
							     .queue_size = QUEUE_SIZE,
							     .config = b->registers,
							     .config_bytes = sizeof(b->registers),
							     .mem = mem,
							     .posts = *posts,
							     .log = log });
}
