/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest physical memory: a list of ranges, each backed by host memory that may
 * be read directly, written directly, both or neither (neither: not listed;
 * accesses go to the MMIO bus). RAM is one memfd, so that helpers and forks
 * can share it.
 *
 * Ranges change while vcpus run only through memory_map_update(), which readers
 * survive by a sequence count; the machine then has every vcpu drop what it
 * cached (vm's flush request) before it relies on the new map.
 */
#ifndef LODGE_MEMORY_GUEST_MEMORY_H
#define LODGE_MEMORY_GUEST_MEMORY_H

#include <stdatomic.h>
#include "base/error.h"
#include "base/types.h"

#define MEMORY_PAGE_BITS 12
#define MEMORY_PAGE_BYTES 4096u
#define MEMORY_RANGES_MAX 64
#define MEMORY_RAM_MAX (UINT64_C(64) << 30)
#define MEMORY_NO_RAM_PAGE UINT64_MAX

/* Page aligned, non-overlapping, sorted by base. */
struct memory_range {
	uint64_t base;
	uint64_t bytes;
	uint8_t *read_hva;   /* NULL: reads go to the MMIO bus */
	uint8_t *write_hva;  /* NULL: writes go to the MMIO bus (ROM, flash) */
	uint64_t ram_offset; /* offset of the range in the RAM file, UINT64_MAX if not RAM */
};

/*
 * Tells the software CPU that bytes in guest RAM changed under it: called after
 * the write and before the writer reports completion. Any thread.
 */
typedef void memory_written_fn(void *ctx, uint64_t gpa, uint64_t len);

struct guest_memory {
	_Atomic uint32_t seq; /* odd while the map changes */
	uint32_t nranges;
	struct memory_range ranges[MEMORY_RANGES_MAX];

	int ram_fd;         /* the memfd behind RAM, -1 in unit tests */
	uint8_t *ram_hva;   /* one linear mapping of all RAM */
	uint64_t ram_bytes;

	memory_written_fn *written; /* set before the first vcpu runs; may be NULL */
	void *written_ctx;
};

/* One page of memory as the MMU sees it. */
struct memory_page {
	uint8_t *read_hva;  /* start of the page, NULL: MMIO */
	uint8_t *write_hva; /* NULL: writes trap */
	uint64_t ram_page;  /* index of the page in the RAM file, MEMORY_NO_RAM_PAGE for ROM */
};

/*
 * The caller supplies RAM (host/ram.h maps it); memory_init() only describes
 * it and lists no range yet. fini frees nothing.
 */
void memory_init(struct guest_memory *mem, int ram_fd, void *ram_hva, uint64_t ram_bytes);

/* Add a range; LODGE_ERR_RANGE if misaligned, overlapping, or the list is full. Set-up or map-update only. */
enum lodge_err memory_add_range(struct guest_memory *mem, const struct memory_range *range) LODGE_MUST_CHECK;

/* Replace the whole list at once (one writer at a time; the machine's lock). */
enum lodge_err memory_map_update(struct guest_memory *mem, const struct memory_range *ranges, uint32_t n) LODGE_MUST_CHECK;

/* The page that holds @addr; all-NULL for a hole. Any thread, never blocks. */
void memory_page_lookup(const struct guest_memory *mem, struct gpa addr, struct memory_page *out);

/* The same for a reader that looks up neighbours: remembers the last range. Zero it before use; for one thread. */
struct memory_near {
	uint32_t seq; /* of the map that `range` is from */
	bool valid;
	struct memory_range range;
};
void memory_page_lookup_near(const struct guest_memory *mem, struct memory_near *near, struct gpa addr, struct memory_page *out);

/*
 * Copy between guest memory and @buf. LODGE_ERR_RANGE, and nothing copied
 * beyond the first bad page, if any byte is not directly readable/writable.
 * guest_write() reports the bytes through @written.
 */
enum lodge_err guest_read(const struct guest_memory *mem, struct gpa addr, void *buf, uint64_t len) LODGE_MUST_CHECK;
enum lodge_err guest_write(struct guest_memory *mem, struct gpa addr, const void *buf, uint64_t len) LODGE_MUST_CHECK;
enum lodge_err guest_fill(struct guest_memory *mem, struct gpa addr, uint8_t byte, uint64_t len) LODGE_MUST_CHECK;

/*
 * A pointer to [addr, addr+len) for bulk transfers, valid while the VM lives.
 * The range must lie in one memory range. A writer calls
 * guest_span_written() after the last byte is in place.
 */
enum lodge_err guest_span(const struct guest_memory *mem, struct gpa addr, uint64_t len, bool write, void **out) LODGE_MUST_CHECK;
void guest_span_written(struct guest_memory *mem, struct gpa addr, uint64_t len);

/*
 * Give the whole pages inside [addr, addr+len) back to the host: they read as
 * zeros from now on. RAM alone, up to the first hole; what else lies there is
 * left as it is. Any thread.
 */
void guest_discard(struct guest_memory *mem, struct gpa addr, uint64_t len);

#endif
