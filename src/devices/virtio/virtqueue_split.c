/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (virtio 1.2, 2.7), and the choice between the formats.
 *
 *   driver area: flags, idx, ring[size], used_event
 *   device area: flags, idx, { id, len }[size], avail_event
 */
#include "devices/virtio/virtqueue_internal.h"

#define RING_FLAGS 0u
#define RING_INDEX 2u
#define RING_ENTRIES 4u
#define USED_ENTRY_BYTES 8u
#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY 1u

static struct virtq_desc desc_load(const uint8_t *p)
{
	return (struct virtq_desc){ .addr = read64(p), .len_bytes = read32(p + 8), .flags = read16(p + 12), .next = read16(p + 14) };
}

static uint16_t avail_index(const struct virtq *q)
{
	/* Acquire: ring entries and descriptors are read after it. Pairs with the driver's write barrier. */
	return load16_acquire(q->driver + RING_INDEX);
}

static void report_device_area(struct virtq *q, uint64_t offset, unsigned len)
{
	guest_span_written(q->mem, gpa(q->ring.device + offset), len);
}

/* Follow NEXT from @at through a table of @entries; every descriptor counts against the queue's size, so a loop ends. */
static enum virtq_result walk(struct virtq *q, struct virtq_chain *chain, const uint8_t *table, unsigned entries, unsigned at, bool inner)
{
	for (unsigned seen = 0;; seen++) {
		struct virtq_desc d;

		if (at >= entries)
			return virtq_break(q, "a descriptor index beyond its table");
		if (seen >= MIN(entries, (unsigned)q->ring.size))
			return virtq_break(q, "a chain that loops, or is longer than the queue");
		d = desc_load(table + at * VIRTQ_DESC_BYTES);
		if (d.flags & VIRTQ_DESC_INDIRECT) {
			unsigned n;
			const uint8_t *indirect;

			if (inner)
				return virtq_break(q, "an indirect table in an indirect table");
			indirect = virtq_indirect_table(q, &d, &n);
			if (indirect && seen + n > q->ring.size)
				return virtq_break(q, "a chain that is longer than the queue");
			return indirect ? walk(q, chain, indirect, n, 0, true) : VIRTQ_BROKEN;
		}
		if (!virtq_chain_add(q, chain, &d))
			return VIRTQ_BROKEN;
		if (!(d.flags & VIRTQ_DESC_NEXT))
			return VIRTQ_POPPED;
		at = d.next;
	}
}

static enum virtq_result split_pop(struct virtq *q, struct virtq_chain *chain)
{
	uint16_t avail = (uint16_t)(avail_index(q) - q->next_avail), head;
	enum virtq_result result;

	if (!avail)
		return VIRTQ_EMPTY;
	if (avail > q->ring.size)
		return virtq_break(q, "the available index is more than a queue ahead");
	if (q->in_flight >= q->ring.size)
		return virtq_break(q, "more chains available than the queue has descriptors");
	head = load16(q->driver + RING_ENTRIES + 2 * (q->next_avail & (q->ring.size - 1u)));
	if (head >= q->ring.size)
		return virtq_break(q, "an available entry beyond the descriptor table");
	chain->id = head;
	chain->descriptors = 1;
	result = walk(q, chain, q->desc, q->ring.size, head, false);
	if (result == VIRTQ_POPPED) {
		q->next_avail++;
		q->in_flight++;
	}
	return result;
}

static void split_push(struct virtq *q, const struct virtq_used *used, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned offset = RING_ENTRIES + USED_ENTRY_BYTES * (q->next_used & (q->ring.size - 1u));

		store32(q->device + offset, used[i].id);
		store32(q->device + offset + 4, used[i].written);
		report_device_area(q, offset, USED_ENTRY_BYTES);
		q->next_used++;
		q->in_flight--;
	}
	/* Release: the entries and the buffers come first. Pairs with the driver's read barrier. */
	store16_release(q->device + RING_INDEX, q->next_used);
	report_device_area(q, RING_INDEX, 2);
}

static bool split_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->notified_used;
	bool first = !q->notified_valid;

	/* The used index must be visible before the driver's wish is read; pairs with the driver's barrier after it changed it. */
	atomic_thread_fence(memory_order_seq_cst);
	q->notified_used = q->next_used;
	q->notified_valid = true;
	if (!q->event_index)
		return !(load16(q->driver + RING_FLAGS) & AVAIL_NO_INTERRUPT);
	return first || virtq_event_passed(load16(q->driver + RING_ENTRIES + 2u * q->ring.size), q->next_used, old);
}

static void split_set_doorbells(struct virtq *q, bool on)
{
	unsigned offset = RING_FLAGS;

	if (q->event_index) {
		/* An event that is not ahead never comes: the way to ask for silence is to leave the old one. */
		if (!on)
			return;
		offset = RING_ENTRIES + USED_ENTRY_BYTES * (unsigned)q->ring.size;
		store16(q->device + offset, q->next_avail);
	} else {
		store16(q->device + offset, (uint16_t)(on ? 0 : USED_NO_NOTIFY));
	}
	report_device_area(q, offset, 2);
}

/* ---- either format ---- */

static bool usable(const struct virtq *q)
{
	return q->ready && !q->broken;
}

enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	if (!usable(q))
		return q->broken ? VIRTQ_BROKEN : VIRTQ_EMPTY;
	chain->nread = chain->nwrite = 0;
	chain->read_bytes = chain->write_bytes = 0;
	return q->packed ? virtq_packed_pop(q, chain) : split_pop(q, chain);
}

void virtq_unpop(struct virtq *q, unsigned chains, unsigned descriptors)
{
	if (!usable(q))
		return;
	q->in_flight = (uint16_t)(q->in_flight - descriptors);
	if (!q->packed) {
		q->next_avail = (uint16_t)(q->next_avail - chains);
		return;
	}
	if (descriptors > q->next_avail) {
		q->avail_wrap = !q->avail_wrap;
		q->next_avail = (uint16_t)(q->next_avail + q->ring.size);
	}
	q->next_avail = (uint16_t)(q->next_avail - descriptors);
}

void virtq_push_all(struct virtq *q, const struct virtq_used *used, unsigned n)
{
	if (!usable(q) || !n)
		return;
	if (q->packed)
		virtq_packed_push(q, used, n);
	else
		split_push(q, used, n);
}

void virtq_push(struct virtq *q, uint16_t id, uint16_t descriptors, uint32_t written)
{
	virtq_push_all(q, &(struct virtq_used){ id, descriptors, written }, 1);
}

bool virtq_wants_interrupt(struct virtq *q)
{
	if (!usable(q))
		return false;
	return q->packed ? virtq_packed_wants_interrupt(q) : split_wants_interrupt(q);
}

void virtq_doorbells_off(struct virtq *q)
{
	if (!usable(q))
		return;
	if (q->packed)
		virtq_packed_doorbells_off(q);
	else
		split_set_doorbells(q, false);
}

bool virtq_doorbells_on(struct virtq *q)
{
	if (!usable(q))
		return false;
	if (q->packed)
		return virtq_packed_doorbells_on(q);
	split_set_doorbells(q, true);
	/* Ask first, look then; pairs with the driver's barrier between making available and reading the wish. */
	atomic_thread_fence(memory_order_seq_cst);
	return avail_index(q) != q->next_avail;
}
