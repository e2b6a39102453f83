/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the ranges of guest memory; the area below 1 MiB follows the PAM registers. */
#include "machine/machine_memory.h"

#include "base/checked.h"
#include "base/mem.h"
#include "machine/machine.h"

#define SEGMENT_BYTES UINT64_C(0x4000)
#define ROM_ALIAS_BASE UINT64_C(0xe0000)
#define ROM_ALIAS_MAX UINT64_C(0x20000)
#define VGA_HOLE UINT64_C(0xa0000)

enum lodge_err machine_memory_init(struct machine_memory *mm, struct guest_memory *mem, uint8_t *rom, uint64_t rom_bytes,
				   struct lodge_error *err)
{
	uint64_t ram = mem->ram_bytes;

	if (ram < MACHINE_RAM_MIN || ram > MEMORY_RAM_MAX || ram % MEMORY_PAGE_BYTES)
		return error_set(err, LODGE_ERR_ARG,
				 "guest memory of %llu KiB is not possible; it is 2 MiB to 64 GiB in pages of 4 KiB",
				 (unsigned long long)(ram >> 10));
	*mm = (struct machine_memory){ .mem = mem, .rom = rom, .rom_bytes = rom_bytes };
	mm->low_bytes = MIN(ram, MACHINE_RAM_LOW_MAX);
	mm->high_bytes = ram - mm->low_bytes;
	return LODGE_OK;
}

static unsigned shadow_bits_at(const struct machine_memory *mm, uint64_t addr)
{
	return mm->shadow_bits[(addr - MACHINE_SHADOW_BASE) / SEGMENT_BYTES];
}

/* ROM bytes seen at @addr below 1 MiB, NULL: nothing there. */
static uint8_t *rom_alias(const struct machine_memory *mm, uint64_t addr)
{
	uint64_t alias = MIN(mm->rom_bytes, ROM_ALIAS_MAX), base = ROM_ALIAS_BASE + ROM_ALIAS_MAX - alias;

	if (!mm->rom || addr < base)
		return NULL;
	return mm->rom + (mm->rom_bytes - alias) + (addr - base);
}

struct range_list {
	struct memory_range r[MEMORY_RANGES_MAX];
	uint32_t n;
};

/* Join with the range before where all of it continues. */
static void list_add(struct range_list *l, struct memory_range r)
{
	struct memory_range *p = l->n ? &l->r[l->n - 1] : NULL;

	if (!r.bytes || l->n == MEMORY_RANGES_MAX)
		return;
	if (p && p->base + p->bytes == r.base && (p->ram_offset == UINT64_MAX) == (r.ram_offset == UINT64_MAX) &&
	    (r.ram_offset == UINT64_MAX || p->ram_offset + p->bytes == r.ram_offset) && p->read_hva &&
	    p->read_hva + p->bytes == r.read_hva && (p->write_hva ? p->write_hva + p->bytes == r.write_hva : !r.write_hva)) {
		p->bytes += r.bytes;
		return;
	}
	l->r[l->n++] = r;
}

static void list_add_ram(struct range_list *l, const struct machine_memory *mm, uint64_t base, uint64_t bytes,
			 uint64_t ram_offset, bool writable)
{
	uint8_t *hva = mm->mem->ram_hva + ram_offset;

	list_add(l, (struct memory_range){ base, bytes, hva, writable ? hva : NULL, ram_offset });
}

static void list_add_shadow(struct range_list *l, const struct machine_memory *mm)
{
	for (uint64_t at = MACHINE_SHADOW_BASE; at < MACHINE_SHADOW_BASE + MACHINE_SHADOW_BYTES; at += SEGMENT_BYTES) {
		unsigned bits = shadow_bits_at(mm, at);
		uint8_t *rom = rom_alias(mm, at);

		if (bits & MACHINE_SHADOW_READ)
			list_add_ram(l, mm, at, SEGMENT_BYTES, at, bits & MACHINE_SHADOW_WRITE);
		else if (rom)
			list_add(l, (struct memory_range){ at, SEGMENT_BYTES, rom, NULL, UINT64_MAX });
	}
}

static enum lodge_err map_rebuild(struct machine_memory *mm)
{
	struct range_list l = { .n = 0 };
	const uint64_t one_mib = MACHINE_SHADOW_BASE + MACHINE_SHADOW_BYTES;

	list_add_ram(&l, mm, 0, VGA_HOLE, 0, true);
	list_add_shadow(&l, mm);
	list_add_ram(&l, mm, one_mib, mm->low_bytes - one_mib, one_mib, true);
	if (mm->rom)
		list_add(&l, (struct memory_range){ MACHINE_RAM_HIGH - mm->rom_bytes, mm->rom_bytes, mm->rom, NULL, UINT64_MAX });
	list_add_ram(&l, mm, MACHINE_RAM_HIGH, mm->high_bytes, mm->low_bytes, true);
	return memory_map_update(mm->mem, l.r, l.n);
}

enum lodge_err machine_memory_set_shadow(struct machine_memory *mm, const uint8_t bits[MACHINE_SHADOW_SEGMENTS], bool *changed)
{
	enum lodge_err rc = LODGE_OK;

	host_mutex_lock(&mm->lock);
	*changed = !mm->mem->nranges || memcmp(mm->shadow_bits, bits, MACHINE_SHADOW_SEGMENTS) != 0;
	memcpy(mm->shadow_bits, bits, MACHINE_SHADOW_SEGMENTS);
	if (*changed)
		rc = map_rebuild(mm);
	host_mutex_unlock(&mm->lock);
	return rc;
}

/* Only what is not mapped gets here: reads of nothing, and writes to RAM that is hidden from reads. */
static enum bus_result shadow_access(void *dev, struct bus_access *a)
{
	struct machine_memory *mm = dev;
	uint64_t addr = MACHINE_SHADOW_BASE + a->offset;
	unsigned bits;

	host_mutex_lock(&mm->lock);
	bits = shadow_bits_at(mm, addr);
	if (a->is_write && bits == MACHINE_SHADOW_WRITE) {
		memcpy(mm->mem->ram_hva + addr, &a->value, a->size);
		guest_span_written(mm->mem, gpa(addr), a->size);
	}
	host_mutex_unlock(&mm->lock);
	return a->is_write && bits == MACHINE_SHADOW_WRITE ? BUS_HANDLED : BUS_UNHANDLED;
}

static const struct bus_ops shadow_ops = { .access = shadow_access };

enum lodge_err machine_memory_add_shadow(struct machine_memory *mm, struct bus *mmio)
{
	mm->shadow =
		(struct bus_region){ .base = MACHINE_SHADOW_BASE, .len = MACHINE_SHADOW_BYTES, .ops = &shadow_ops, .dev = mm };
	return bus_add(mmio, &mm->shadow);
}
