/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest physical memory map and the checked ways into it.
 *
 * Readers never block: they copy the range that they need out of the list and
 * look at the sequence count before and after. Entries are plain fields that a
 * writer may be changing meanwhile, so both sides go through relaxed atomics;
 * what a torn read gave is thrown away.
 */
#include "memory/guest_memory.h"
#include "base/checked.h"
#include "base/mem.h"
#include "host/host_ops.h"

#define PAGE_MASK ((uint64_t)MEMORY_PAGE_BYTES - 1)

void memory_init(struct guest_memory *mem, int ram_fd, void *ram_hva, uint64_t ram_bytes)
{
	*mem = (struct guest_memory){ .ram_fd = ram_fd, .ram_hva = ram_hva, .ram_bytes = ram_bytes };
}

/* ---- the list ---- */

#define FIELD_LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define FIELD_STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static void range_store(struct memory_range *to, const struct memory_range *from)
{
	FIELD_STORE(to->base, from->base);
	FIELD_STORE(to->bytes, from->bytes);
	FIELD_STORE(to->read_hva, from->read_hva);
	FIELD_STORE(to->write_hva, from->write_hva);
	FIELD_STORE(to->ram_offset, from->ram_offset);
}

static struct memory_range range_load(const struct memory_range *from)
{
	return (struct memory_range){
		.base = FIELD_LOAD(from->base),
		.bytes = FIELD_LOAD(from->bytes),
		.read_hva = FIELD_LOAD(from->read_hva),
		.write_hva = FIELD_LOAD(from->write_hva),
		.ram_offset = FIELD_LOAD(from->ram_offset),
	};
}

/* Pairs with map_read_begin() and map_read_retry(). */
static void map_write_begin(struct guest_memory *mem)
{
	atomic_fetch_add_explicit(&mem->seq, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void map_write_end(struct guest_memory *mem)
{
	atomic_fetch_add_explicit(&mem->seq, 1, memory_order_release);
}

static uint32_t map_read_begin(const struct guest_memory *mem)
{
	uint32_t seq;

	while ((seq = atomic_load_explicit(&mem->seq, memory_order_acquire)) & 1)
		host_yield();
	return seq;
}

static bool map_read_retry(const struct guest_memory *mem, uint32_t seq)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&mem->seq, memory_order_relaxed) != seq;
}

/* Find the range that holds @addr by bisection; false for a hole. The map may be changing: every index is bounded. */
static bool range_search(const struct guest_memory *mem, uint64_t addr, struct memory_range *out)
{
	uint32_t low = 0, high = MIN(FIELD_LOAD(mem->nranges), (uint32_t)MEMORY_RANGES_MAX);

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		*out = range_load(&mem->ranges[middle]);
		if (addr < out->base)
			high = middle;
		else if (addr - out->base >= out->bytes)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

static bool range_find(const struct guest_memory *mem, uint64_t addr, struct memory_range *out)
{
	uint32_t seq;
	bool found;

	do {
		seq = map_read_begin(mem);
		found = range_search(mem, addr, out);
	} while (map_read_retry(mem, seq));
	return found;
}

static bool range_is_valid(const struct guest_memory *mem, const struct memory_range *range)
{
	if (!range->bytes || (range->base | range->bytes) & PAGE_MASK || range->bytes > UINT64_MAX - range->base)
		return false;
	if (!range->read_hva && !range->write_hva)
		return false;
	if (range->ram_offset == UINT64_MAX)
		return true;
	return !(range->ram_offset & PAGE_MASK) && range_fits(range->ram_offset, range->bytes, mem->ram_bytes);
}

static bool ranges_are_valid(const struct guest_memory *mem, const struct memory_range *ranges, uint32_t n)
{
	if (n > MEMORY_RANGES_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!range_is_valid(mem, &ranges[i]))
			return false;
		if (i && ranges[i].base - ranges[i - 1].base < ranges[i - 1].bytes)
			return false;
		if (i && ranges[i].base < ranges[i - 1].base)
			return false;
	}
	return true;
}

enum lodge_err memory_map_update(struct guest_memory *mem, const struct memory_range *ranges, uint32_t n)
{
	if (!ranges_are_valid(mem, ranges, n))
		return LODGE_ERR_RANGE;
	map_write_begin(mem);
	for (uint32_t i = 0; i < n; i++)
		range_store(&mem->ranges[i], &ranges[i]);
	FIELD_STORE(mem->nranges, n);
	map_write_end(mem);
	return LODGE_OK;
}

enum lodge_err memory_add_range(struct guest_memory *mem, const struct memory_range *range)
{
	struct memory_range ranges[MEMORY_RANGES_MAX];
	uint32_t n = mem->nranges, at = 0;

	if (n == MEMORY_RANGES_MAX)
		return LODGE_ERR_RANGE;
	while (at < n && mem->ranges[at].base < range->base)
		at++;
	memcpy(ranges, mem->ranges, at * sizeof(*ranges));
	ranges[at] = *range;
	memcpy(ranges + at + 1, mem->ranges + at, (n - at) * sizeof(*ranges));
	return memory_map_update(mem, ranges, n + 1);
}

static void page_in_range(const struct memory_range *range, uint64_t addr, struct memory_page *out)
{
	uint64_t offset = align_down(addr - range->base, MEMORY_PAGE_BYTES);

	out->read_hva = range->read_hva ? range->read_hva + offset : NULL;
	out->write_hva = range->write_hva ? range->write_hva + offset : NULL;
	out->ram_page = range->ram_offset != UINT64_MAX ? (range->ram_offset + offset) >> MEMORY_PAGE_BITS : MEMORY_NO_RAM_PAGE;
}

void memory_page_lookup(const struct guest_memory *mem, struct gpa addr, struct memory_page *out)
{
	struct memory_range range;

	*out = (struct memory_page){ .ram_page = MEMORY_NO_RAM_PAGE };
	if (range_find(mem, addr.v, &range))
		page_in_range(&range, addr.v, out);
}

void memory_page_lookup_near(const struct guest_memory *mem, struct memory_near *near, struct gpa addr, struct memory_page *out)
{
	uint32_t seq = map_read_begin(mem);

	if (unlikely(!near->valid || near->seq != seq || addr.v - near->range.base >= near->range.bytes)) {
		near->valid = range_search(mem, addr.v, &near->range) && !map_read_retry(mem, seq);
		near->seq = seq;
		if (!near->valid) {
			memory_page_lookup(mem, addr, out);
			return;
		}
	}
	page_in_range(&near->range, addr.v, out);
}

/* ---- access ---- */

/* The host bytes at @addr up to the end of their range, at most @len; *out is NULL if they cannot be read (written). */
static uint64_t chunk_at(const struct guest_memory *mem, uint64_t addr, uint64_t len, bool write, uint8_t **out)
{
	struct memory_range range;
	uint8_t *hva;

	*out = NULL;
	if (!range_find(mem, addr, &range))
		return 0;
	hva = write ? range.write_hva : range.read_hva;
	if (!hva)
		return 0;
	*out = hva + (addr - range.base);
	return MIN(len, range.bytes - (addr - range.base));
}

enum lodge_err guest_read(const struct guest_memory *mem, struct gpa addr, void *buf, uint64_t len)
{
	uint8_t *to = buf;

	if (len > UINT64_MAX - addr.v)
		return LODGE_ERR_RANGE;
	while (len) {
		uint8_t *from;
		uint64_t n = chunk_at(mem, addr.v, len, false, &from);

		if (!n)
			return LODGE_ERR_RANGE;
		memcpy(to, from, n);
		to += n;
		addr.v += n;
		len -= n;
	}
	return LODGE_OK;
}

void guest_span_written(struct guest_memory *mem, struct gpa addr, uint64_t len)
{
	if (mem->written && len)
		mem->written(mem->written_ctx, addr.v, len);
}

enum lodge_err guest_write(struct guest_memory *mem, struct gpa addr, const void *buf, uint64_t len)
{
	const uint8_t *from = buf;

	if (len > UINT64_MAX - addr.v)
		return LODGE_ERR_RANGE;
	while (len) {
		uint8_t *to;
		uint64_t n = chunk_at(mem, addr.v, len, true, &to);

		if (!n)
			return LODGE_ERR_RANGE;
		memcpy(to, from, n);
		guest_span_written(mem, addr, n);
		from += n;
		addr.v += n;
		len -= n;
	}
	return LODGE_OK;
}

enum lodge_err guest_fill(struct guest_memory *mem, struct gpa addr, uint8_t byte, uint64_t len)
{
	if (len > UINT64_MAX - addr.v)
		return LODGE_ERR_RANGE;
	while (len) {
		uint8_t *to;
		uint64_t n = chunk_at(mem, addr.v, len, true, &to);

		if (!n)
			return LODGE_ERR_RANGE;
		memset(to, byte, n);
		guest_span_written(mem, addr, n);
		addr.v += n;
		len -= n;
	}
	return LODGE_OK;
}

enum lodge_err guest_span(const struct guest_memory *mem, struct gpa addr, uint64_t len, bool write, void **out)
{
	uint8_t *p;

	*out = NULL;
	if (len > UINT64_MAX - addr.v)
		return LODGE_ERR_RANGE;
	if (chunk_at(mem, addr.v, MAX(len, UINT64_C(1)), write, &p) < len || !p)
		return LODGE_ERR_RANGE;
	*out = p;
	return LODGE_OK;
}

void guest_discard(struct guest_memory *mem, struct gpa addr, uint64_t len)
{
	uint64_t at = align_up(addr.v, MEMORY_PAGE_BYTES), end = align_down(addr.v + len, MEMORY_PAGE_BYTES);
	struct memory_range range;

	if (addr.v > INT64_MAX || len > INT64_MAX)
		return; /* the sums above are none */
	while (at < end && range_find(mem, at, &range)) {
		uint64_t n = MIN(end - at, range.bytes - (at - range.base));

		if (range.ram_offset != UINT64_MAX && range.write_hva) {
			host_discard(range.write_hva + (at - range.base), n);
			guest_span_written(mem, gpa(at), n);
		}
		at += n;
	}
}
