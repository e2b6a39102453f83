/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map: holes, edges, overflow, ROM, reported writes, changes under readers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "unit.h"
#include "memory/guest_memory.h"

#define P ((uint64_t)MEMORY_PAGE_BYTES)
#define RAM_PAGES 8

/* RAM pages 0-3 at 0, ROM at page 4, a hole at 5, RAM pages 4-7 at pages 6-9, ROM on the last page of the address space but one. */
struct fixture {
	struct guest_memory mem;
	uint8_t *ram, *rom;
	unsigned written_calls;
	uint64_t written_gpa, written_len;
};

static void on_written(void *ctx, uint64_t addr, uint64_t len)
{
	struct fixture *f = ctx;

	f->written_calls++;
	f->written_gpa = addr;
	f->written_len = len;
}

static void add(struct fixture *f, uint64_t base, uint64_t bytes, uint8_t *read_hva, uint8_t *write_hva, uint64_t offset)
{
	struct memory_range range = { base, bytes, read_hva, write_hva, offset };

	assert_int_equal(memory_add_range(&f->mem, &range), LODGE_OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ram = calloc(RAM_PAGES, P);
	f->rom = malloc(P);
	memset(f->rom, 0xaa, P);
	memory_init(&f->mem, -1, f->ram, RAM_PAGES * P);
	f->mem.written = on_written;
	f->mem.written_ctx = f;
	add(f, 6 * P, 4 * P, f->ram + 4 * P, f->ram + 4 * P, 4 * P);
	add(f, 0, 4 * P, f->ram, f->ram, 0);
	add(f, 4 * P, P, f->rom, NULL, UINT64_MAX);
	add(f, UINT64_MAX - 2 * P + 1, P, f->rom, NULL, UINT64_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->ram);
	free(f->rom);
	free(f);
	return 0;
}

static void lookup_names_pages(void **state)
{
	struct fixture *f = *state;
	struct memory_page page;

	memory_page_lookup(&f->mem, gpa(7 * P + 123), &page);
	assert_ptr_equal(page.read_hva, f->ram + 5 * P);
	assert_ptr_equal(page.write_hva, f->ram + 5 * P);
	assert_int_equal(page.ram_page, 5);
	memory_page_lookup(&f->mem, gpa(4 * P + 1), &page);
	assert_ptr_equal(page.read_hva, f->rom);
	assert_null(page.write_hva);
	assert_true(page.ram_page == MEMORY_NO_RAM_PAGE);
	for (int i = 0; i < 3; i++) {
		const uint64_t holes[] = { 5 * P, 10 * P, UINT64_MAX };

		memory_page_lookup(&f->mem, gpa(holes[i]), &page);
		assert_null(page.read_hva);
		assert_null(page.write_hva);
		assert_true(page.ram_page == MEMORY_NO_RAM_PAGE);
	}
}

static void bad_ranges_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = f->ram;
	const struct memory_range bad[] = {
		{ 20 * P, 0, p, p, 0 },                         /* empty */
		{ 20 * P + 1, P, p, p, 0 },                     /* misaligned */
		{ 20 * P, P + 1, p, p, 0 },
		{ 20 * P, P, p, p, 1 },
		{ 20 * P, P, NULL, NULL, 0 },                   /* neither readable nor writable */
		{ 20 * P, P, p, p, RAM_PAGES * P },             /* beyond the RAM file */
		{ 20 * P, 2 * P, p, p, (RAM_PAGES - 1) * P },
		{ 20 * P, P, p, p, UINT64_MAX - P + 1 },
		{ 3 * P, P, p, p, 0 },                          /* overlaps */
		{ 5 * P, 2 * P, p, p, 0 },
		{ 0, P, p, p, 0 },
		{ UINT64_MAX - P + 1, 2 * P, p, p, 0 },         /* wraps */
		{ 20 * P, UINT64_MAX - P + 1, p, p, UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(memory_add_range(&f->mem, &bad[i]), LODGE_ERR_RANGE);
	assert_int_equal(f->mem.nranges, 4);
}

static void a_full_list_is_refused(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = f->mem.nranges; i < MEMORY_RANGES_MAX; i++)
		add(f, (100 + i) * P, P, f->rom, NULL, UINT64_MAX);
	assert_int_equal(memory_add_range(&f->mem, &(struct memory_range){ 1000 * P, P, f->rom, NULL, UINT64_MAX }), LODGE_ERR_RANGE);
}

static void unsorted_updates_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct memory_range ranges[] = { { P, P, f->rom, NULL, UINT64_MAX }, { 0, P, f->rom, NULL, UINT64_MAX } };

	assert_int_equal(memory_map_update(&f->mem, ranges, 2), LODGE_ERR_RANGE);
	assert_int_equal(memory_map_update(&f->mem, ranges, MEMORY_RANGES_MAX + 1), LODGE_ERR_RANGE);
	assert_int_equal(memory_map_update(&f->mem, ranges, 1), LODGE_OK);
	assert_int_equal(f->mem.nranges, 1);
}

static void copies_cross_ranges_and_stop_at_holes(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[3 * MEMORY_PAGE_BYTES];

	memset(buf, 1, sizeof(buf));
	assert_int_equal(guest_read(&f->mem, gpa(4 * P - 2), buf, 4), LODGE_OK); /* RAM, then ROM */
	assert_memory_equal(buf, "\0\0\xaa\xaa", 4);
	assert_int_equal(guest_read(&f->mem, gpa(5 * P - 2), buf, 4), LODGE_ERR_RANGE);
	assert_int_equal(guest_read(&f->mem, gpa(5 * P), buf, 1), LODGE_ERR_RANGE);
	assert_int_equal(guest_read(&f->mem, gpa(10 * P - 1), buf, 1), LODGE_OK);
	assert_int_equal(guest_read(&f->mem, gpa(10 * P - 1), buf, 2), LODGE_ERR_RANGE);
	assert_int_equal(guest_read(&f->mem, gpa(5 * P), buf, 0), LODGE_OK);
	assert_int_equal(guest_write(&f->mem, gpa(4 * P - 2), buf, 4), LODGE_ERR_RANGE); /* ROM */
	assert_int_equal(f->rom[0], 0xaa);
	assert_int_equal(guest_fill(&f->mem, gpa(6 * P + 1), 0x55, 4 * P - 1), LODGE_OK);
	assert_int_equal(f->ram[4 * P], 0);
	assert_int_equal(f->ram[4 * P + 1], 0x55);
	assert_int_equal(f->ram[8 * P - 1], 0x55);
	assert_int_equal(guest_fill(&f->mem, gpa(6 * P + 1), 0x55, 4 * P), LODGE_ERR_RANGE);
}

static void addresses_do_not_wrap(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[16];
	void *p;

	assert_int_equal(guest_read(&f->mem, gpa(UINT64_MAX - P), buf, 1), LODGE_OK);
	assert_int_equal(guest_read(&f->mem, gpa(UINT64_MAX - P), buf, 2), LODGE_ERR_RANGE);
	assert_int_equal(guest_read(&f->mem, gpa(UINT64_MAX), buf, 16), LODGE_ERR_RANGE);
	assert_int_equal(guest_read(&f->mem, gpa(16), buf, UINT64_MAX), LODGE_ERR_RANGE);
	assert_int_equal(guest_write(&f->mem, gpa(16), buf, UINT64_MAX), LODGE_ERR_RANGE);
	assert_int_equal(guest_fill(&f->mem, gpa(16), 0, UINT64_MAX), LODGE_ERR_RANGE);
	assert_int_equal(guest_span(&f->mem, gpa(16), UINT64_MAX, false, &p), LODGE_ERR_RANGE);
	assert_int_equal(guest_span(&f->mem, gpa(0), UINT64_MAX, false, &p), LODGE_ERR_RANGE);
}

static void spans_stay_in_one_range(void **state)
{
	struct fixture *f = *state;
	void *p;

	assert_int_equal(guest_span(&f->mem, gpa(P), 3 * P, true, &p), LODGE_OK);
	assert_ptr_equal(p, f->ram + P);
	assert_int_equal(guest_span(&f->mem, gpa(P), 3 * P + 1, false, &p), LODGE_ERR_RANGE);
	assert_null(p);
	assert_int_equal(guest_span(&f->mem, gpa(4 * P), 1, true, &p), LODGE_ERR_RANGE);
	assert_int_equal(guest_span(&f->mem, gpa(4 * P), P, false, &p), LODGE_OK);
	assert_int_equal(guest_span(&f->mem, gpa(5 * P), 0, false, &p), LODGE_ERR_RANGE);
}

static void writes_are_reported(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(guest_write(&f->mem, gpa(7 * P - 1), "ab", 2), LODGE_OK);
	assert_int_equal(f->written_calls, 1);
	assert_true(f->written_gpa == 7 * P - 1 && f->written_len == 2);
	guest_span_written(&f->mem, gpa(P), 10);
	assert_true(f->written_gpa == P && f->written_len == 10);
	guest_span_written(&f->mem, gpa(P), 0);
	assert_int_equal(f->written_calls, 2);
	/* Bytes before a bad page were written, and that is reported. */
	assert_int_equal(guest_write(&f->mem, gpa(4 * P - 1), "ab", 2), LODGE_ERR_RANGE);
	assert_int_equal(f->written_calls, 3);
	assert_true(f->written_gpa == 4 * P - 1 && f->written_len == 1);
	f->mem.written = NULL;
	assert_int_equal(guest_write(&f->mem, gpa(0), "ab", 2), LODGE_OK);
}

struct flipper {
	struct fixture *f;
	_Atomic bool stop;
};

/* Alternate between two maps in which page 0 is RAM page 0 or 1. */
static void *flip(void *arg)
{
	struct flipper *flipper = arg;
	struct fixture *f = flipper->f;

	while (!atomic_load(&flipper->stop)) {
		for (uint64_t i = 0; i < 2; i++) {
			struct memory_range ranges[2] = {
				{ 0, P, f->ram + i * P, f->ram + i * P, i * P },
				{ (2 + i) * P, P, f->rom, NULL, UINT64_MAX },
			};

			assert_int_equal(memory_map_update(&f->mem, ranges, 2), LODGE_OK);
		}
	}
	return NULL;
}

static void readers_see_whole_maps(void **state)
{
	struct flipper flipper = { .f = *state };
	struct fixture *f = *state;
	pthread_t thread;

	memset(f->ram, 1, P);
	memset(f->ram + P, 2, P);
	assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
	for (int i = 0; i < 200000; i++) {
		struct memory_page page;

		memory_page_lookup(&f->mem, gpa(5), &page);
		assert_non_null(page.read_hva);
		assert_ptr_equal(page.read_hva, page.write_hva);
		assert_ptr_equal(page.read_hva, f->ram + page.ram_page * P);
	}
	atomic_store(&flipper.stop, true);
	pthread_join(thread, NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(lookup_names_pages), CASE(bad_ranges_are_refused), CASE(a_full_list_is_refused),
		CASE(unsorted_updates_are_refused), CASE(copies_cross_ranges_and_stop_at_holes), CASE(addresses_do_not_wrap),
		CASE(spans_stay_in_one_range), CASE(writes_are_reported), CASE(readers_see_whole_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
