/* SPDX-License-Identifier: Apache-2.0 */
/* Virtqueues: what both ring formats share. */
#include "devices/virtio/virtqueue_internal.h"

#include "base/mem.h"

enum virtq_result virtq_break(struct virtq *q, const char *why)
{
	if (!q->broken)
		q->broken = why;
	return VIRTQ_BROKEN;
}

void virtq_init(struct virtq *q, struct guest_memory *mem, uint16_t size_max)
{
	*q = (struct virtq){ .mem = mem, .size_max = (uint16_t)MIN(size_max, VIRTQ_SIZE_MAX) };
	virtq_reset(q);
}

void virtq_reset(struct virtq *q)
{
	*q = (struct virtq){ .mem = q->mem, .size_max = q->size_max, .ring = { .size = q->size_max } };
}

/* ---- mapping ---- */

static bool map_area(struct virtq *q, uint64_t addr, uint64_t len, unsigned align, uint8_t **out)
{
	void *p;

	/* Written or not, a ring lives in RAM. */
	if (addr & (align - 1) || guest_span(q->mem, gpa(addr), len, true, &p) != LODGE_OK)
		return false;
	*out = p;
	return true;
}

static bool map_split(struct virtq *q)
{
	uint64_t n = q->ring.size;

	return map_area(q, q->ring.desc, n * VIRTQ_DESC_BYTES, 16, &q->desc) && map_area(q, q->ring.driver, 6 + 2 * n, 2, &q->driver) &&
	       map_area(q, q->ring.device, 6 + 8 * n, 4, &q->device);
}

static bool map_packed(struct virtq *q)
{
	return map_area(q, q->ring.desc, (uint64_t)q->ring.size * VIRTQ_DESC_BYTES, 16, &q->desc) &&
	       map_area(q, q->ring.driver, 4, 4, &q->driver) && map_area(q, q->ring.device, 4, 4, &q->device);
}

enum lodge_err virtq_map(struct virtq *q)
{
	uint16_t size = q->ring.size;

	if (!size || size > q->size_max)
		virtq_break(q, "queue size is zero or larger than offered");
	else if (!q->packed && !is_pow2(size))
		virtq_break(q, "queue size is no power of two");
	else if (q->packed ? !map_packed(q) : !map_split(q))
		virtq_break(q, "a part of the ring is not aligned or not in memory");
	if (q->broken)
		return LODGE_ERR_RANGE;
	q->next_avail = q->next_used = q->in_flight = 0;
	q->avail_wrap = q->used_wrap = true;
	q->notified_valid = false;
	q->ready = true;
	return LODGE_OK;
}

/* ---- chains ---- */

static bool add_part(struct virtq_chain *chain, uint8_t *hva, uint64_t addr, uint64_t len, bool write)
{
	unsigned n = chain->nread + chain->nwrite;

	if (n == VIRTQ_BUFFERS_MAX)
		return false;
	chain->buffers[n] = (struct virtq_buffer){ .hva = hva, .gpa = addr, .len_bytes = (uint32_t)len };
	if (write)
		chain->nwrite++;
	else
		chain->nread++;
	return true;
}

/* @d's bytes lie in one memory range nearly always; where not, halve until they do. */
static bool add_span(struct virtq *q, struct virtq_chain *chain, uint64_t addr, uint64_t len, bool write)
{
	while (len) {
		uint64_t part = len;
		void *p;

		while (guest_span(q->mem, gpa(addr), part, write, &p) != LODGE_OK) {
			uint64_t next = align_up(addr + 1, MEMORY_PAGE_BYTES) - addr;

			if (part <= next)
				return false; /* not even the first page */
			part = MAX(next, align_down(addr + part / 2, MEMORY_PAGE_BYTES) - addr);
		}
		if (!add_part(chain, p, addr, part, write))
			return false;
		addr += part;
		len -= part;
	}
	return true;
}

bool virtq_chain_add(struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *d)
{
	bool write = d->flags & VIRTQ_DESC_WRITE;
	uint64_t end;

	if (!d->len_bytes)
		return virtq_break(q, "a buffer of no bytes"), false;
	if (!write && chain->nwrite)
		return virtq_break(q, "a buffer to read behind one to write"), false;
	if (add_overflows_u64(d->addr, d->len_bytes, &end) || !add_span(q, chain, d->addr, d->len_bytes, write))
		return virtq_break(q, "a buffer that is not in memory"), false;
	if (write)
		chain->write_bytes += d->len_bytes;
	else
		chain->read_bytes += d->len_bytes;
	if (chain->read_bytes + chain->write_bytes > UINT64_C(1) << 32)
		return virtq_break(q, "a chain of more than 2^32 bytes"), false;
	return true;
}

const uint8_t *virtq_indirect_table(struct virtq *q, const struct virtq_desc *d, unsigned *entries)
{
	void *table;

	*entries = d->len_bytes / VIRTQ_DESC_BYTES;
	if (!q->indirect)
		virtq_break(q, "an indirect descriptor that was not negotiated");
	else if (d->flags & VIRTQ_DESC_NEXT)
		virtq_break(q, "an indirect descriptor that goes on");
	else if (!d->len_bytes || d->len_bytes % VIRTQ_DESC_BYTES)
		virtq_break(q, "an indirect table whose length is no multiple of 16");
	else if (*entries > q->ring.size)
		virtq_break(q, "an indirect table longer than the queue");
	/* The driver need not align it; our loads of single fields do not mind on x86, but a table across ranges is refused. */
	else if (guest_span(q->mem, gpa(d->addr), d->len_bytes, false, &table) != LODGE_OK)
		virtq_break(q, "an indirect table that is not in memory");
	return q->broken ? NULL : table;
}

static uint64_t copy_buffers(struct virtq *q, const struct virtq_buffer *b, unsigned n, uint64_t offset, uint8_t *host, uint64_t len, bool in)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		uint64_t part;

		if (offset >= b[i].len_bytes) {
			offset -= b[i].len_bytes;
			continue;
		}
		part = MIN(b[i].len_bytes - offset, len - done);
		if (in) {
			memcpy(b[i].hva + offset, host + done, part);
			guest_span_written(q->mem, gpa(b[i].gpa + offset), part);
		} else {
			memcpy(host + done, b[i].hva + offset, part);
		}
		done += part;
		offset = 0;
	}
	return done;
}

uint64_t virtq_copy_out(const struct virtq_chain *chain, uint64_t offset, void *to, uint64_t len)
{
	return copy_buffers(NULL, chain->buffers, chain->nread, offset, to, len, false);
}

uint64_t virtq_copy_in(struct virtq *q, const struct virtq_chain *chain, uint64_t offset, const void *from, uint64_t len)
{
	/* The cast is safe: this direction only reads @from. */
	uint8_t *bytes = (uint8_t *)(uintptr_t)from;

	return copy_buffers(q, chain->buffers + chain->nread, chain->nwrite, offset, bytes, len, true);
}
