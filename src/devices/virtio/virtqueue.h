/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue as the device sees it (virtio 1.2, 2.6 to 2.8): split or packed
 * ring, indirect descriptors, notification suppression by flags or event index.
 *
 * The driver is hostile. Every index, flag, length and address is read once,
 * checked, and used from the copy. Whatever the specification forbids a driver
 * makes the queue broken: nothing is taken from it or given back any more until
 * a reset. The caller holds the device's lock around every call.
 */
#ifndef LODGE_DEVICES_VIRTIO_VIRTQUEUE_H
#define LODGE_DEVICES_VIRTIO_VIRTQUEUE_H

#include "memory/guest_memory.h"

#define VIRTQ_SIZE_MAX 256u /* entries that any device here offers */
/* A descriptor whose bytes lie in several memory ranges takes an entry for each: room for a few such. */
#define VIRTQ_BUFFERS_MAX (VIRTQ_SIZE_MAX + 16u)

/* One run of guest memory that host code may touch directly. */
struct virtq_buffer {
	uint8_t *hva;
	uint64_t gpa;
	uint32_t len_bytes;
};

/* What was popped: first the buffers to read, then those to write. */
struct virtq_chain {
	uint16_t id;          /* what virtq_push() wants back */
	uint16_t descriptors; /* ring entries that it took (packed) */
	unsigned nread, nwrite;
	uint64_t read_bytes, write_bytes;
	struct virtq_buffer buffers[VIRTQ_BUFFERS_MAX];
};

/* What is given back of a chain. */
struct virtq_used {
	uint16_t id, descriptors;
	uint32_t written;
};

/* A ring that the driver described; checked by virtq_map(). */
struct virtq_ring {
	uint64_t desc, driver, device; /* guest physical */
	uint16_t size;
};

struct virtq {
	struct guest_memory *mem;
	uint16_t size_max;
	bool packed, indirect, event_index; /* negotiated; set before virtq_map() */
	bool ready;                         /* mapped */
	const char *broken;                 /* why; NULL: it is not */
	struct virtq_ring ring;
	uint8_t *desc, *driver, *device;
	uint16_t next_avail; /* packed: below size, with next_wrap */
	uint16_t next_used;
	bool avail_wrap, used_wrap; /* packed */
	uint16_t notified_used;     /* used index (packed: position and wrap) at the last question whether to interrupt */
	bool notified_valid;
	uint16_t in_flight; /* popped and not pushed (packed: descriptors) */
};

enum virtq_result { VIRTQ_EMPTY, VIRTQ_POPPED, VIRTQ_BROKEN };

void virtq_init(struct virtq *q, struct guest_memory *mem, uint16_t size_max);
void virtq_reset(struct virtq *q);
/* Check ring.size and the three areas, and start. On failure the queue is broken and says why. */
enum lodge_err virtq_map(struct virtq *q) LODGE_MUST_CHECK;

/* Take the next chain that the driver made available. */
enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *chain) LODGE_MUST_CHECK;
/* Take back the last pops, @chains of them with @descriptors ring entries together: they stay available. */
void virtq_unpop(struct virtq *q, unsigned chains, unsigned descriptors);
/* Give a chain back of which the first @written bytes of its writable part were filled. Does nothing on a broken queue. */
void virtq_push(struct virtq *q, uint16_t id, uint16_t descriptors, uint32_t written);
/* The same for several chains, at most a ring of them, all of which the driver sees at once. */
void virtq_push_all(struct virtq *q, const struct virtq_used *used, unsigned n);
/* Does the driver want an interrupt for what was pushed since the last question? */
bool virtq_wants_interrupt(struct virtq *q);
/* Tell the driver that we need no doorbells, and that we do: true if something became available meanwhile. */
void virtq_doorbells_off(struct virtq *q);
bool virtq_doorbells_on(struct virtq *q);

/* Copy out of the readable, into the writable part; how many bytes there were. */
uint64_t virtq_copy_out(const struct virtq_chain *chain, uint64_t offset, void *to, uint64_t len);
uint64_t virtq_copy_in(struct virtq *q, const struct virtq_chain *chain, uint64_t offset, const void *from, uint64_t len);

#endif
