/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed virtqueues (virtio 1.2, 2.8): one ring of descriptors that driver and
 * device both write. A descriptor is available when its AVAIL flag is the
 * driver's wrap counter and its USED flag the opposite.
 *
 *   driver and device areas: { offset and wrap counter, flags } of the event
 *   that each wants to be told about
 */
#include "devices/virtio/virtqueue_internal.h"

#define DESC_AVAIL 0x80u
#define DESC_USED 0x8000u
#define EVENT_FLAGS 2u
#define EVENT_WRAP 0x8000u
enum { EVENT_ENABLE, EVENT_DISABLE, EVENT_DESC };

static struct virtq_desc desc_load(const uint8_t *p, uint16_t flags)
{
	return (struct virtq_desc){ .addr = read64(p), .len_bytes = read32(p + 8), .next = read16(p + 12), .flags = flags };
}

static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static const uint8_t *desc_at(const struct virtq *q, unsigned at)
{
	return q->desc + at * VIRTQ_DESC_BYTES;
}

/* In an indirect table only WRITE counts; its entries follow each other (2.8.7). */
static bool add_indirect(struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *d)
{
	unsigned n;
	const uint8_t *table = virtq_indirect_table(q, d, &n);

	for (unsigned i = 0; table && i < n; i++) {
		const uint8_t *p = table + i * VIRTQ_DESC_BYTES;
		struct virtq_desc inner = desc_load(p, read16(p + 14));

		if (inner.flags & VIRTQ_DESC_INDIRECT)
			return virtq_break(q, "an indirect table in an indirect table"), false;
		if (!virtq_chain_add(q, chain, &inner))
			return false;
	}
	return table;
}

enum virtq_result virtq_packed_pop(struct virtq *q, struct virtq_chain *chain)
{
	unsigned at = q->next_avail, n = 0;
	bool wrap = q->avail_wrap;

	for (;;) {
		/* Acquire: the rest of the descriptor is read after its flags. Pairs with the driver's write barrier. */
		uint16_t flags = load16_acquire(desc_at(q, at) + 14);
		struct virtq_desc d;

		if (!is_available(flags, wrap))
			return n ? virtq_break(q, "a chain that ends in a descriptor not yet available") : VIRTQ_EMPTY;
		if (n + q->in_flight >= q->ring.size)
			return virtq_break(q, "a chain that is longer than the queue");
		d = desc_load(desc_at(q, at), flags);
		n++;
		if (++at == q->ring.size) {
			at = 0;
			wrap = !wrap;
		}
		if (flags & VIRTQ_DESC_INDIRECT) {
			if (n > 1)
				return virtq_break(q, "an indirect descriptor inside a chain");
			if (!add_indirect(q, chain, &d))
				return VIRTQ_BROKEN;
		} else if (!virtq_chain_add(q, chain, &d)) {
			return VIRTQ_BROKEN;
		}
		if (!(flags & VIRTQ_DESC_NEXT)) {
			chain->id = d.next; /* the id of the last descriptor is the chain's */
			break;
		}
	}
	chain->descriptors = (uint16_t)n;
	q->next_avail = (uint16_t)at;
	q->avail_wrap = wrap;
	q->in_flight = (uint16_t)(q->in_flight + n);
	return VIRTQ_POPPED;
}

/* Everything of the next used descriptor but its flags, and those too unless @keep_flags; returns them. */
static uint16_t write_used(struct virtq *q, const struct virtq_used *used, bool keep_flags)
{
	uint8_t *p = q->desc + q->next_used * VIRTQ_DESC_BYTES;
	uint16_t flags = (uint16_t)((q->used_wrap ? DESC_AVAIL | DESC_USED : 0) | (used->written ? VIRTQ_DESC_WRITE : 0));
	unsigned next = q->next_used + (unsigned)used->descriptors;

	store32(p + 8, used->written);
	store16(p + 12, used->id);
	if (!keep_flags)
		store16_release(p + 14, flags);
	guest_span_written(q->mem, gpa(q->ring.desc + q->next_used * VIRTQ_DESC_BYTES), VIRTQ_DESC_BYTES);
	if (next >= q->ring.size) {
		next -= q->ring.size;
		q->used_wrap = !q->used_wrap;
	}
	q->next_used = (uint16_t)next;
	q->in_flight = (uint16_t)(q->in_flight - used->descriptors);
	return flags;
}

void virtq_packed_push(struct virtq *q, const struct virtq_used *used, unsigned n)
{
	unsigned first = q->next_used;
	uint16_t flags = write_used(q, used, true);

	for (unsigned i = 1; i < n; i++)
		write_used(q, &used[i], false);
	/* The first one's flags last: the driver looks no further before they change (2.8.21.1). Release: ids, lengths and buffers come before.
	 * Pairs with the driver's read barrier. */
	store16_release(q->desc + first * VIRTQ_DESC_BYTES + 14, flags);
	guest_span_written(q->mem, gpa(q->ring.desc + first * VIRTQ_DESC_BYTES), VIRTQ_DESC_BYTES);
}

bool virtq_packed_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->notified_used, new = q->next_used, event, flags;
	bool first = !q->notified_valid, old_wrap = old & EVENT_WRAP;

	/* Pairs with the driver's barrier after it changed its wish. */
	atomic_thread_fence(memory_order_seq_cst);
	q->notified_used = (uint16_t)(new | (q->used_wrap ? EVENT_WRAP : 0));
	q->notified_valid = true;
	flags = load16(q->driver + EVENT_FLAGS) & 3;
	if (flags != EVENT_DESC || !q->event_index)
		return flags != EVENT_DISABLE;
	if (first)
		return true;
	/* All three on the scale of the current lap: what belongs to the lap before lies a ring's length below. */
	event = load16(q->driver);
	old = (uint16_t)((old & ~EVENT_WRAP) - (old_wrap != q->used_wrap ? q->ring.size : 0));
	event = (uint16_t)((event & ~EVENT_WRAP) - (!!(event & EVENT_WRAP) != q->used_wrap ? q->ring.size : 0));
	return virtq_event_passed(event, new, old);
}

static void set_flags(struct virtq *q, uint16_t flags)
{
	store16(q->device + EVENT_FLAGS, flags);
	guest_span_written(q->mem, gpa(q->ring.device), 4);
}

void virtq_packed_doorbells_off(struct virtq *q)
{
	set_flags(q, EVENT_DISABLE);
}

bool virtq_packed_doorbells_on(struct virtq *q)
{
	if (q->event_index) {
		store16(q->device, (uint16_t)(q->next_avail | (q->avail_wrap ? EVENT_WRAP : 0)));
		/* The position before the flag that makes it count. */
		atomic_thread_fence(memory_order_release);
	}
	set_flags(q, q->event_index ? EVENT_DESC : EVENT_ENABLE);
	/* Ask first, look then; pairs with the driver's barrier between making available and reading the wish. */
	atomic_thread_fence(memory_order_seq_cst);
	return is_available(load16_acquire(desc_at(q, q->next_avail) + 14), q->avail_wrap);
}
