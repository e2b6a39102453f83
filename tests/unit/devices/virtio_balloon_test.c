/* SPDX-License-Identifier: Apache-2.0 */
/* The memory balloon: what goes into it and what is reported free is gone, nothing else is, and drivers that break rules. */
#include "virtio_fixture.h"

#include "devices/virtio/virtio_balloon.h"

#define REPORTING (1u << 5)
#define PAGE 4096u
#define VICTIM 0x80000u /* the pages that are given away here */

enum { INFLATE, DEFLATE, REPORT };

static struct virtio_balloon balloon;
static uint64_t written_bytes;

static void on_written(void *ctx, uint64_t at, uint64_t len)
{
	(void)ctx;
	if (at >= VICTIM) /* not the rings */
		written_bytes += len;
}

static void build(uint64_t features)
{
	struct post_service posts = build_surroundings();

	assert_int_equal(virtio_balloon_init(&balloon, &v.mem, &posts, &v.log), LODGE_OK);
	attach_device(&balloon.dev);
	v.mem.written = on_written;
	written_bytes = 0;
	start(features);
	memset(v.ram + VICTIM, 0xaa, RAM_BYTES - VICTIM);
}

/* Pages [@first, @first+@n) of the victims, and no others, are empty. */
static void expect_empty(unsigned first, unsigned n)
{
	for (unsigned page = 0; page < (RAM_BYTES - VICTIM) / PAGE; page++)
		for (unsigned i = 0; i < PAGE; i += 512)
			assert_int_equal(v.ram[VICTIM + page * PAGE + i], page >= first && page < first + n ? 0 : 0xaa);
	assert_int_equal(written_bytes, n * PAGE); /* translated code in it is dropped */
}

static void put_pfns(const uint32_t *pfns, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_le32(v.ram + BUFFERS + 4 * i, pfns[i]);
}

static void balloon_takes_pages(void **state)
{
	/* A run in order, and one that is no memory. */
	static const uint32_t pfns[] = { VICTIM / PAGE + 3, VICTIM / PAGE + 4, VICTIM / PAGE + 5, 0xffffffff, RAM_BYTES / PAGE };

	(void)state;
	build(0);
	put_pfns(pfns, ARRAY_LEN(pfns));
	desc(INFLATE, 0, BUFFERS, sizeof(pfns), 0);
	ring(INFLATE, 0);
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(used_len(INFLATE, 0), 0);
	expect_empty(3, 3);
	desc(DEFLATE, 0, BUFFERS, sizeof(pfns), 0);
	ring(DEFLATE, 0);
	assert_int_equal(used(DEFLATE), 1);
	expect_empty(3, 3);
	assert_int_equal(status(), 0xf);
	virtio_fini(&balloon.dev);
}

static void runs_go_both_ways(void **state)
{
	uint32_t pfns[100];

	(void)state;
	build(0);
	for (unsigned i = 0; i < ARRAY_LEN(pfns); i++)
		pfns[i] = VICTIM / PAGE + 20 + (i < 50 ? i : 149 - i); /* up, then down; more than is copied at once */
	put_pfns(pfns, ARRAY_LEN(pfns));
	desc(INFLATE, 0, BUFFERS, 200, NEXT);
	desc(INFLATE, 1, BUFFERS + 200, sizeof(pfns) - 200, 0);
	ring(INFLATE, 0);
	expect_empty(20, 100);
	virtio_fini(&balloon.dev);
}

static void reported_memory_goes(void **state)
{
	(void)state;
	/* Linux's place for the queue, and the specification's. */
	for (unsigned queue = REPORT; queue < 5; queue++) {
		build(REPORTING);
		desc(queue, 0, VICTIM + PAGE, 2 * PAGE, WRITE | NEXT);
		desc(queue, 1, VICTIM + 3 * PAGE, 2 * PAGE + 100, WRITE); /* the begun page stays */
		ring(queue, 0);
		assert_int_equal(used(queue), 1);
		assert_int_equal(used_len(queue, 0), 0);
		expect_empty(1, 4);
		desc(queue, 0, VICTIM + 10 * PAGE + 1, PAGE, WRITE); /* no whole page */
		ring(queue, 0);
		expect_empty(1, 4);
		assert_int_equal(status(), 0xf);
		virtio_fini(&balloon.dev);
	}
}

static void nothing_is_reported_without_the_feature(void **state)
{
	(void)state;
	build(0);
	desc(REPORT, 0, VICTIM, PAGE, WRITE);
	ring(REPORT, 0);
	expect_empty(0, 0);
	virtio_fini(&balloon.dev);
}

static void broken_rules_break_the_device(void **state)
{
	static const struct {
		unsigned queue;
		uint32_t len;
		unsigned flags;
	} bad[] = {
		{ INFLATE, 6, 0 }, { INFLATE, 8, WRITE }, { INFLATE, 0x40004, 0 }, { REPORT, PAGE, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		build(REPORTING);
		desc(bad[i].queue, 0, VICTIM, bad[i].len, bad[i].flags);
		ring(bad[i].queue, 0);
		assert_int_equal(status(), 0x4f);
		expect_empty(0, 0);
		virtio_fini(&balloon.dev);
	}
	/* The same memory again and again, more than there is. */
	build(REPORTING);
	desc(REPORT, 0, 0, RAM_BYTES, WRITE | NEXT);
	desc(REPORT, 1, VICTIM, PAGE, WRITE);
	ring(REPORT, 0);
	assert_int_equal(status(), 0x4f);
	expect_empty(0, 0);
	virtio_fini(&balloon.dev);
}

static void actual_is_the_driver_s(void **state)
{
	(void)state;
	build(0);
	assert_int_equal(get_le32(balloon.registers), 0);
	balloon.dev.config.ops->config_written(&balloon.dev, 4, 4, 77);
	assert_int_equal(get_le32(balloon.registers + 4), 77);
	balloon.dev.config.ops->config_written(&balloon.dev, 0, 4, 5); /* the target is ours */
	balloon.dev.config.ops->config_written(&balloon.dev, 6, 4, 5);
	balloon.dev.config.ops->config_written(&balloon.dev, 4, 2, 5);
	assert_int_equal(get_le32(balloon.registers), 0);
	assert_int_equal(get_le32(balloon.registers + 4), 77);
	virtio_set_status(&balloon.dev, 0);
	assert_int_equal(get_le32(balloon.registers + 4), 0);
	virtio_fini(&balloon.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(balloon_takes_pages),
		cmocka_unit_test(runs_go_both_ways),
		cmocka_unit_test(reported_memory_goes),
		cmocka_unit_test(nothing_is_reported_without_the_feature),
		cmocka_unit_test(broken_rules_break_the_device),
		cmocka_unit_test(actual_is_the_driver_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
