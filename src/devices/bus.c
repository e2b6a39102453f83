/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buses. A lookup takes no lock: it searches the sorted table, marks the region
 * as used, and then checks that the table did not change meanwhile. A change
 * bumps `seq` first and looks at `users` afterwards, so one side always sees
 * the other (both in sequentially consistent order).
 */
#include "devices/device.h"

struct bus_hit {
	struct bus_region *region;
	uint64_t base, len;
};

static uint64_t size_mask(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

void bus_init(struct bus *bus)
{
	*bus = (struct bus){ .nregions = 0 };
}

/* Index of the first region whose base is above @addr. Tolerates a table that changes meanwhile: the caller checks. */
static unsigned bus_search(const struct bus *bus, uint64_t addr)
{
	unsigned low = 0, high = MIN(__atomic_load_n(&bus->nregions, __ATOMIC_ACQUIRE), (unsigned)ARRAY_LEN(bus->regions));

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		const struct bus_region *r = __atomic_load_n(&bus->regions[mid], __ATOMIC_ACQUIRE);

		if (r && __atomic_load_n(&r->base, __ATOMIC_RELAXED) <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Does any region begin in (addr, addr + size)? */
static bool bus_overlaps_tail(const struct bus *bus, unsigned next, uint64_t addr, unsigned size)
{
	const struct bus_region *r;

	if (next >= MIN(__atomic_load_n(&bus->nregions, __ATOMIC_ACQUIRE), (unsigned)ARRAY_LEN(bus->regions)))
		return false;
	r = __atomic_load_n(&bus->regions[next], __ATOMIC_ACQUIRE);
	return r && __atomic_load_n(&r->base, __ATOMIC_RELAXED) - addr < size;
}

/* Find and pin the region that holds @addr. *@split: the access reaches beyond its end, or from a hole into a region. */
static bool bus_acquire(struct bus *bus, uint64_t addr, unsigned size, struct bus_hit *hit, bool *split)
{
	for (;;) {
		uint32_t seq = atomic_load(&bus->seq);
		unsigned next;
		struct bus_region *r = NULL;

		if (seq & 1) {
			host_yield();
			continue;
		}
		next = bus_search(bus, addr);
		*split = bus_overlaps_tail(bus, next, addr, size);
		if (next)
			r = __atomic_load_n(&bus->regions[next - 1], __ATOMIC_ACQUIRE);
		if (r) {
			*hit = (struct bus_hit){ r, __atomic_load_n(&r->base, __ATOMIC_RELAXED),
						 __atomic_load_n(&r->len, __ATOMIC_RELAXED) };
			if (addr - hit->base >= hit->len)
				r = NULL;
		}
		if (r)
			atomic_fetch_add(&r->users, 1);
		if (atomic_load(&bus->seq) == seq) {
			if (r && size > hit->len - (addr - hit->base))
				*split = true;
			return r != NULL;
		}
		if (r)
			atomic_fetch_sub(&r->users, 1);
	}
}

static void bus_call(struct bus *bus, const struct bus_hit *hit, struct bus_access *access)
{
	struct bus_region *r = hit->region;
	enum bus_result result;

	if (r->lock)
		host_mutex_lock(r->lock);
	result = r->ops->access(r->dev, access);
	if (r->lock)
		host_mutex_unlock(r->lock);
	if (result == BUS_HANDLED)
		return;
	atomic_fetch_add_explicit(&bus->unhandled, 1, memory_order_relaxed);
	access->value = UINT64_MAX;
}

/* One access that does not straddle anything; false when it has to be split. */
static bool bus_access_whole(struct bus *bus, uint64_t addr, struct bus_access *access)
{
	struct bus_hit hit;
	bool split, found = bus_acquire(bus, addr, access->size, &hit, &split);

	if (split && access->size > 1) {
		if (found)
			atomic_fetch_sub(&hit.region->users, 1);
		return false;
	}
	if (!found) {
		atomic_fetch_add_explicit(&bus->unhandled, 1, memory_order_relaxed);
		access->value = UINT64_MAX;
		return true;
	}
	access->offset = addr - hit.base;
	bus_call(bus, &hit, access);
	atomic_fetch_sub(&hit.region->users, 1);
	return true;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size)
{
	struct bus_access access = { .size = (uint8_t)size };
	uint64_t value = 0;

	if (bus_access_whole(bus, addr, &access))
		return access.value & size_mask(size);
	for (unsigned i = 0; i < size; i++) {
		struct bus_access byte = { .size = 1 };

		(void)bus_access_whole(bus, addr + i, &byte);
		value |= (byte.value & 0xff) << (8 * i);
	}
	return value;
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
	struct bus_access access = { .size = (uint8_t)size, .is_write = true, .value = value & size_mask(size) };

	if (bus_access_whole(bus, addr, &access))
		return;
	for (unsigned i = 0; i < size; i++) {
		struct bus_access byte = { .size = 1, .is_write = true, .value = value >> (8 * i) & 0xff };

		(void)bus_access_whole(bus, addr + i, &byte);
	}
}

/* The rest runs with bus->lock held. */

static enum lodge_err bus_insert(struct bus *bus, struct bus_region *region)
{
	unsigned at = bus_search(bus, region->base);
	uint64_t last;

	if (!region->len || __builtin_add_overflow(region->base, region->len - 1, &last) ||
	    bus->nregions == ARRAY_LEN(bus->regions))
		return LODGE_ERR_RANGE;
	if (at && region->base - bus->regions[at - 1]->base < bus->regions[at - 1]->len)
		return LODGE_ERR_RANGE;
	if (at < bus->nregions && bus->regions[at]->base <= last)
		return LODGE_ERR_RANGE;
	atomic_fetch_add(&bus->seq, 1);
	for (unsigned i = bus->nregions; i > at; i--)
		__atomic_store_n(&bus->regions[i], bus->regions[i - 1], __ATOMIC_RELEASE);
	__atomic_store_n(&bus->regions[at], region, __ATOMIC_RELEASE);
	__atomic_store_n(&bus->nregions, bus->nregions + 1, __ATOMIC_RELEASE);
	atomic_fetch_add(&bus->seq, 1);
	return LODGE_OK;
}

static void bus_erase(struct bus *bus, const struct bus_region *region)
{
	unsigned at = 0;

	while (at < bus->nregions && bus->regions[at] != region)
		at++;
	if (at == bus->nregions)
		return;
	atomic_fetch_add(&bus->seq, 1);
	__atomic_store_n(&bus->nregions, bus->nregions - 1, __ATOMIC_RELEASE);
	for (; at < bus->nregions; at++)
		__atomic_store_n(&bus->regions[at], bus->regions[at + 1], __ATOMIC_RELEASE);
	__atomic_store_n(&bus->regions[at], NULL, __ATOMIC_RELEASE);
	atomic_fetch_add(&bus->seq, 1);
}

enum lodge_err bus_add(struct bus *bus, struct bus_region *region)
{
	enum lodge_err err;

	host_mutex_lock(&bus->lock);
	err = bus_insert(bus, region);
	host_mutex_unlock(&bus->lock);
	return err;
}

enum lodge_err bus_add_all(struct bus *bus, struct bus_region *regions, unsigned n)
{
	enum lodge_err err = LODGE_OK;
	unsigned done;

	for (done = 0; done < n && !err; done++)
		err = bus_add(bus, &regions[done]);
	if (!err)
		return LODGE_OK;
	for (unsigned i = 0; i + 1 < done; i++)
		bus_detach(bus, &regions[i]);
	return err;
}

void bus_detach(struct bus *bus, struct bus_region *region)
{
	host_mutex_lock(&bus->lock);
	bus_erase(bus, region);
	host_mutex_unlock(&bus->lock);
}

void bus_remove(struct bus *bus, struct bus_region *region)
{
	bus_detach(bus, region);
	while (atomic_load(&region->users))
		host_yield();
}

enum lodge_err bus_move(struct bus *bus, struct bus_region *region, uint64_t base, uint64_t len)
{
	enum lodge_err err;

	host_mutex_lock(&bus->lock);
	bus_erase(bus, region);
	__atomic_store_n(&region->base, base, __ATOMIC_RELAXED);
	__atomic_store_n(&region->len, len, __ATOMIC_RELAXED);
	err = bus_insert(bus, region);
	host_mutex_unlock(&bus->lock);
	return err;
}
