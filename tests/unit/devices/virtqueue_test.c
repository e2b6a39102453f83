/* SPDX-License-Identifier: Apache-2.0 */
/* Virtqueues, both formats: good use, and one test for each rule that a hostile driver may break. */
#include "unit.h"

#include <string.h>
#include "base/types.h"
#include "devices/virtio/virtqueue.h"

#define RAM_BYTES 0x40000u
#define DESC 0x1000u
#define DRIVER 0x2000u
#define DEVICE 0x3000u
#define TABLE 0x4000u
#define DATA 0x8000u
#define SIZE 8u
#define NEXT 1u
#define WRITE 2u
#define INDIRECT 4u

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
static struct guest_memory mem;
static struct virtq q;
static struct virtq_chain chain;
static uint64_t written_bytes;

static void written(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	(void)addr;
	written_bytes += len;
}

/* RAM in two ranges that touch at 0x20000, with a hole behind. */
static void start(bool packed, unsigned features)
{
	memset(ram, 0, sizeof(ram));
	memory_init(&mem, -1, ram, sizeof(ram));
	mem.written = written;
	assert_int_equal(memory_add_range(&mem, &(struct memory_range){ 0, 0x20000, ram, ram, 0 }), LODGE_OK);
	assert_int_equal(memory_add_range(&mem, &(struct memory_range){ 0x20000, 0x20000, ram + 0x20000, ram + 0x20000, 0x20000 }), LODGE_OK);
	virtq_init(&q, &mem, SIZE);
	q.packed = packed;
	q.indirect = features & 1;
	q.event_index = features & 2;
	q.ring = (struct virtq_ring){ .desc = DESC, .driver = DRIVER, .device = DEVICE, .size = SIZE };
}

static void map(bool packed, unsigned features)
{
	start(packed, features);
	assert_int_equal(virtq_map(&q), LODGE_OK);
}

static void put_desc(uint64_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	put_le64(ram + at, addr);
	put_le32(ram + at + 8, len);
	put_le16(ram + at + 12, flags);
	put_le16(ram + at + 14, next);
}

static void split_desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next) { put_desc(DESC + 16 * i, addr, len, flags, next); }

static void avail(uint16_t head)
{
	uint16_t idx = get_le16(ram + DRIVER + 2);

	put_le16(ram + DRIVER + 4 + 2 * (idx % SIZE), head);
	put_le16(ram + DRIVER + 2, idx + 1);
}

static void expect_broken(const char *why)
{
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_BROKEN);
	assert_non_null(q.broken);
	assert_string_equal(q.broken, why);
	/* It stays so, and nothing is written to the ring any more. */
	memset(ram + DEVICE, 0xee, 64);
	virtq_push(&q, 0, 1, 5);
	assert_false(virtq_wants_interrupt(&q));
	assert_false(virtq_doorbells_on(&q));
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(ram[DEVICE + i], 0xee);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_BROKEN);
}

/* ---- split ---- */

static void split_takes_and_gives(void **state)
{
	char text[8] = "";

	map(false, 0);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_EMPTY);
	memcpy(ram + DATA, "abcdef", 6);
	for (unsigned round = 0; round < 3 * SIZE; round++) {
		uint16_t used = get_le16(ram + DEVICE + 2);

		split_desc(3, DATA, 4, NEXT, 5);
		split_desc(5, DATA + 4, 2, NEXT, 1);
		split_desc(1, DATA + 64, 16, WRITE, 0);
		avail(3);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
		assert_int_equal(chain.nread, 2);
		assert_int_equal(chain.nwrite, 1);
		assert_int_equal(chain.read_bytes, 6);
		assert_int_equal(chain.write_bytes, 16);
		assert_int_equal(virtq_copy_out(&chain, 3, text, 8), 3);
		assert_memory_equal(text, "def", 3);
		written_bytes = 0;
		assert_int_equal(virtq_copy_in(&q, &chain, 2, "xyz", 3), 3);
		assert_memory_equal(ram + DATA + 66, "xyz", 3);
		assert_int_equal(written_bytes, 3);
		virtq_push(&q, chain.id, chain.descriptors, 5);
		assert_int_equal(get_le16(ram + DEVICE + 2), (uint16_t)(used + 1));
		assert_int_equal(get_le32(ram + DEVICE + 4 + 8 * (used % SIZE)), 3);
		assert_int_equal(get_le32(ram + DEVICE + 8 + 8 * (used % SIZE)), 5);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_EMPTY);
	}
	assert_int_equal(q.in_flight, 0);
}

static void split_buffer_across_ranges(void **state)
{
	map(false, 0);
	split_desc(0, 0x1fff0, 0x30, WRITE, 0);
	avail(0);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	assert_int_equal(chain.nwrite, 2);
	assert_int_equal(chain.write_bytes, 0x30);
	assert_int_equal(chain.buffers[0].len_bytes + chain.buffers[1].len_bytes, 0x30);
	assert_ptr_equal(chain.buffers[1].hva, ram + 0x20000);
}

static void split_indirect(void **state)
{
	map(false, 1);
	for (unsigned i = 0; i < SIZE; i++) /* as long as the queue, at an odd address */
		put_desc(TABLE + 1 + 16 * i, DATA + 16 * i, 16, (i < SIZE - 1 ? NEXT : 0) | (i > 3 ? WRITE : 0), i + 1);
	split_desc(2, TABLE + 1, 16 * SIZE, INDIRECT, 0);
	avail(2);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	assert_int_equal(chain.id, 2);
	assert_int_equal(chain.nread, 4);
	assert_int_equal(chain.nwrite, 4);
}

static void split_suppression_by_flags(void **state)
{
	map(false, 0);
	virtq_doorbells_off(&q);
	assert_int_equal(get_le16(ram + DEVICE), 1);
	assert_false(virtq_doorbells_on(&q));
	assert_int_equal(get_le16(ram + DEVICE), 0);
	split_desc(0, DATA, 1, 0, 0);
	avail(0);
	assert_true(virtq_doorbells_on(&q));
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	virtq_push(&q, 0, 1, 0);
	put_le16(ram + DRIVER, 1);
	assert_false(virtq_wants_interrupt(&q));
	put_le16(ram + DRIVER, 0);
	assert_true(virtq_wants_interrupt(&q));
}

static void split_suppression_by_event_index(void **state)
{
	unsigned interrupts = 0;

	map(false, 2);
	for (unsigned i = 0; i < 70000; i++) {
		split_desc(0, DATA, 1, 0, 0);
		avail(0);
		assert_true(virtq_doorbells_on(&q));
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
		assert_false(virtq_doorbells_on(&q));
		assert_int_equal(get_le16(ram + DEVICE + 4 + 8 * SIZE), (uint16_t)(i + 1)); /* the next one rings */
		virtq_push(&q, 0, 1, 0);
		if (virtq_wants_interrupt(&q)) {
			interrupts++;
			put_le16(ram + DRIVER + 4 + 2 * SIZE, (uint16_t)(i + 3)); /* wake me for the third from here */
		}
	}
	/* The first question is always answered yes, then every third one. */
	assert_in_range(interrupts, 70000 / 3, 70000 / 3 + 2);
}

struct bad_split {
	const char *why;
	unsigned features;
	void (*prepare)(void);
};

static void avail_far_ahead(void) { put_le16(ram + DRIVER + 2, SIZE + 1); }
static void head_beyond(void) { avail(SIZE); }
static void head_way_beyond(void) { avail(0xffff); }
static void next_beyond(void) { split_desc(0, DATA, 1, NEXT, SIZE); avail(0); }
static void loop_to_itself(void) { split_desc(0, DATA, 1, NEXT, 0); avail(0); }
static void loop_of_two(void) { split_desc(0, DATA, 1, NEXT, 1); split_desc(1, DATA, 1, NEXT, 0); avail(0); }
static void no_bytes(void) { split_desc(0, DATA, 0, 0, 0); avail(0); }
static void overflow(void) { split_desc(0, UINT64_MAX - 3, 8, 0, 0); avail(0); }
static void unmapped(void) { split_desc(0, RAM_BYTES, 1, 0, 0); avail(0); }
static void partly_mapped(void) { split_desc(0, RAM_BYTES - 4096, 4097, WRITE, 0); avail(0); }
static void huge(void) { split_desc(0, 0, UINT32_MAX, WRITE, 0); avail(0); }
static void read_after_write(void) { split_desc(0, DATA, 1, WRITE | NEXT, 1); split_desc(1, DATA, 1, 0, 0); avail(0); }
static void indirect_to(uint64_t addr, uint32_t len, uint16_t flags) { split_desc(0, addr, len, INDIRECT | flags, 1); avail(0); }
static void plain_indirect(void) { put_desc(TABLE, DATA, 1, 0, 0); indirect_to(TABLE, 16, 0); }
static void indirect_next(void) { put_desc(TABLE, DATA, 1, 0, 0); indirect_to(TABLE, 16, NEXT); }
static void indirect_odd(void) { indirect_to(TABLE, 17, 0); }
static void indirect_empty(void) { indirect_to(TABLE, 0, 0); }
static void indirect_long(void) { indirect_to(TABLE, 16 * (SIZE + 1), 0); }
static void indirect_unmapped(void) { indirect_to(RAM_BYTES, 16, 0); }
static void indirect_wrapping(void) { indirect_to(UINT64_MAX - 15, 32, 0); }
static void indirect_nested(void) { put_desc(TABLE, TABLE, 16, INDIRECT, 0); indirect_to(TABLE, 16, 0); }
static void indirect_next_beyond(void) { put_desc(TABLE, DATA, 1, NEXT, 1); indirect_to(TABLE, 16, 0); }
static void indirect_loop(void) { put_desc(TABLE, DATA, 1, NEXT, 0); indirect_to(TABLE, 16, 0); }
static void long_by_both(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		put_desc(TABLE + 16 * i, DATA, 1, i < SIZE - 1 ? NEXT : 0, i + 1);
	split_desc(1, DATA, 1, NEXT, 0);
	split_desc(0, TABLE, 16 * SIZE, INDIRECT, 0);
	avail(1);
}

static const struct bad_split bad_split[] = {
	{ "the available index is more than a queue ahead", 0, avail_far_ahead },
	{ "an available entry beyond the descriptor table", 0, head_beyond },
	{ "an available entry beyond the descriptor table", 0, head_way_beyond },
	{ "a descriptor index beyond its table", 0, next_beyond },
	{ "a chain that loops, or is longer than the queue", 0, loop_to_itself },
	{ "a chain that loops, or is longer than the queue", 0, loop_of_two },
	{ "a buffer of no bytes", 0, no_bytes },
	{ "a buffer that is not in memory", 0, overflow },
	{ "a buffer that is not in memory", 0, unmapped },
	{ "a buffer that is not in memory", 0, partly_mapped },
	{ "a buffer that is not in memory", 0, huge },
	{ "a buffer to read behind one to write", 0, read_after_write },
	{ "an indirect descriptor that was not negotiated", 0, plain_indirect },
	{ "an indirect descriptor that goes on", 1, indirect_next },
	{ "an indirect table whose length is no multiple of 16", 1, indirect_odd },
	{ "an indirect table whose length is no multiple of 16", 1, indirect_empty },
	{ "an indirect table longer than the queue", 1, indirect_long },
	{ "an indirect table that is not in memory", 1, indirect_unmapped },
	{ "an indirect table that is not in memory", 1, indirect_wrapping },
	{ "an indirect table in an indirect table", 1, indirect_nested },
	{ "a descriptor index beyond its table", 1, indirect_next_beyond },
	{ "a chain that loops, or is longer than the queue", 1, indirect_loop },
	{ "a chain that is longer than the queue", 1, long_by_both },
};

static void split_rules(void **state)
{
	for (unsigned i = 0; i < ARRAY_LEN(bad_split); i++) {
		map(false, bad_split[i].features);
		bad_split[i].prepare();
		expect_broken(bad_split[i].why);
	}
}

/* The driver makes the same chain available for ever without getting it back. */
static void split_more_than_descriptors(void **state)
{
	map(false, 0);
	split_desc(0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		avail(0);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	}
	avail(0);
	expect_broken("more chains available than the queue has descriptors");
}

static void chain_beyond_4g(void **state)
{
	struct memory_range big = { 0x100000, UINT64_C(0x80000000), ram, ram, UINT64_MAX }; /* never touched */

	map(false, 0);
	assert_int_equal(memory_add_range(&mem, &big), LODGE_OK);
	for (unsigned i = 0; i < 3; i++)
		split_desc(i, 0x100000, 0x70000000, i < 2 ? NEXT : 0, i + 1);
	avail(0);
	expect_broken("a chain of more than 2^32 bytes");
}

/* ---- rings that cannot be ---- */

static void bad_rings(void **state)
{
	static const struct {
		bool packed;
		struct virtq_ring ring;
		const char *why;
	} cases[] = {
		{ false, { DESC, DRIVER, DEVICE, 0 }, "queue size is zero or larger than offered" },
		{ false, { DESC, DRIVER, DEVICE, 2 * SIZE }, "queue size is zero or larger than offered" },
		{ false, { DESC, DRIVER, DEVICE, 7 }, "queue size is no power of two" },
		{ false, { DESC + 8, DRIVER, DEVICE, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ false, { DESC, DRIVER + 1, DEVICE, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ false, { DESC, DRIVER, DEVICE + 2, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ false, { RAM_BYTES, DRIVER, DEVICE, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ false, { DESC, RAM_BYTES - 2, DEVICE, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ false, { DESC, DRIVER, UINT64_MAX - 3, SIZE }, "a part of the ring is not aligned or not in memory" },
		{ true, { DESC + 8, DRIVER, DEVICE, 7 }, "a part of the ring is not aligned or not in memory" },
		{ true, { DESC, DRIVER + 2, DEVICE, 7 }, "a part of the ring is not aligned or not in memory" },
		{ true, { DESC, DRIVER, RAM_BYTES, 7 }, "a part of the ring is not aligned or not in memory" },
		{ true, { DESC, DRIVER, DEVICE, 0 }, "queue size is zero or larger than offered" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		start(cases[i].packed, 0);
		q.ring = cases[i].ring;
		assert_int_equal(virtq_map(&q), LODGE_ERR_RANGE);
		assert_string_equal(q.broken, cases[i].why);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_BROKEN);
	}
	/* Not set up at all: nothing to take, nothing wrong. */
	start(false, 0);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_EMPTY);
	assert_null(q.broken);
}

/* ---- packed ---- */

static unsigned at;  /* the driver's position */
static bool wrap;

static void packed_desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t id)
{
	put_desc(DESC + 16 * at, addr, len, id, flags | (wrap ? 0x80 : 0x8000));
	if (++at == q.ring.size) {
		at = 0;
		wrap = !wrap;
	}
}

static void packed_map(unsigned features)
{
	start(true, features);
	q.ring.size = 7; /* need not be a power of two */
	assert_int_equal(virtq_map(&q), LODGE_OK);
	at = 0;
	wrap = true;
}

static void packed_takes_and_gives(void **state)
{
	bool used_wrap = true;
	unsigned used = 0;

	packed_map(0);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_EMPTY);
	for (unsigned round = 0; round < 50; round++) {
		packed_desc(DATA, 4, NEXT, 77);
		packed_desc(DATA + 64, 16, WRITE | NEXT, 77);
		packed_desc(DATA + 128, 16, WRITE, (uint16_t)(1000 + round));
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
		assert_int_equal(chain.id, 1000 + round);
		assert_int_equal(chain.descriptors, 3);
		assert_int_equal(chain.nread, 1);
		assert_int_equal(chain.nwrite, 2);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_EMPTY);
		virtq_push(&q, (uint16_t)(1000 + round), 3, round % 2 ? 7 : 0);
		assert_int_equal(get_le16(ram + DESC + 16 * used + 12), 1000 + round);
		assert_int_equal(get_le16(ram + DESC + 16 * used + 14), (used_wrap ? 0x8080 : 0) | (round % 2 ? WRITE : 0));
		used += 3;
		if (used >= 7) {
			used -= 7;
			used_wrap = !used_wrap;
		}
	}
}

static void packed_indirect(void **state)
{
	packed_map(1);
	put_desc(TABLE, DATA, 4, 9, 0);
	put_desc(TABLE + 16, DATA + 64, 4, 9, WRITE);
	packed_desc(TABLE, 32, INDIRECT, 5);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	assert_int_equal(chain.id, 5);
	assert_int_equal(chain.descriptors, 1);
	assert_int_equal(chain.nread, 1);
	assert_int_equal(chain.nwrite, 1);
}

static void packed_suppression(void **state)
{
	unsigned interrupts = 0;

	packed_map(2);
	virtq_doorbells_off(&q);
	assert_int_equal(get_le16(ram + DEVICE + 2), 1);
	put_le16(ram + DRIVER + 2, 2);
	for (unsigned i = 0; i < 700; i++) {
		packed_desc(DATA, 1, 0, 1);
		assert_true(virtq_doorbells_on(&q));
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
		assert_false(virtq_doorbells_on(&q));
		assert_int_equal(get_le16(ram + DEVICE), at | (wrap ? 0x8000 : 0));
		assert_int_equal(get_le16(ram + DEVICE + 2), 2);
		virtq_push(&q, 1, 1, 0);
		if (virtq_wants_interrupt(&q)) {
			unsigned event = at + 2; /* the third from here */

			interrupts++;
			put_le16(ram + DRIVER, (uint16_t)(event % 7 | (wrap != (event >= 7) ? 0x8000 : 0)));
		}
	}
	assert_in_range(interrupts, 700 / 3, 700 / 3 + 2);
	put_le16(ram + DRIVER + 2, 1);
	packed_desc(DATA, 1, 0, 1);
	assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	virtq_push(&q, 1, 1, 0);
	assert_false(virtq_wants_interrupt(&q));
}

/* Two are in flight; the chain behind them runs on into their entries. */
static void packed_endless(void)
{
	for (unsigned i = 0; i < 2; i++) {
		packed_desc(DATA, 1, 0, 1);
		assert_int_equal(virtq_pop(&q, &chain), VIRTQ_POPPED);
	}
	for (unsigned i = 0; i < 7; i++)
		packed_desc(DATA, 1, NEXT, 1);
}
static void packed_unfinished(void) { packed_desc(DATA, 1, NEXT, 1); }
static void packed_no_bytes(void) { packed_desc(DATA, 0, 0, 1); }
static void packed_unmapped(void) { packed_desc(RAM_BYTES, 1, 0, 1); }
static void packed_order(void) { packed_desc(DATA, 1, WRITE | NEXT, 1); packed_desc(DATA, 1, 0, 1); }
static void packed_plain_indirect(void) { packed_desc(TABLE, 16, INDIRECT, 1); }
static void packed_indirect_inside(void) { packed_desc(DATA, 1, NEXT, 1); packed_desc(TABLE, 16, INDIRECT, 1); }
static void packed_nested(void) { put_desc(TABLE, TABLE, 16, 0, INDIRECT); packed_desc(TABLE, 16, INDIRECT, 1); }
static void packed_indirect_long(void) { packed_desc(TABLE, 16 * 8, INDIRECT, 1); }
static void packed_indirect_next(void) { packed_desc(TABLE, 16, INDIRECT | NEXT, 1); }

static const struct bad_split bad_packed[] = {
	{ "a chain that is longer than the queue", 0, packed_endless },
	{ "a chain that ends in a descriptor not yet available", 0, packed_unfinished },
	{ "a buffer of no bytes", 0, packed_no_bytes },
	{ "a buffer that is not in memory", 0, packed_unmapped },
	{ "a buffer to read behind one to write", 0, packed_order },
	{ "an indirect descriptor that was not negotiated", 0, packed_plain_indirect },
	{ "an indirect descriptor inside a chain", 1, packed_indirect_inside },
	{ "an indirect table in an indirect table", 1, packed_nested },
	{ "an indirect table longer than the queue", 1, packed_indirect_long },
	{ "an indirect descriptor that goes on", 1, packed_indirect_next },
};

static void packed_rules(void **state)
{
	for (unsigned i = 0; i < ARRAY_LEN(bad_packed); i++) {
		packed_map(bad_packed[i].features);
		bad_packed[i].prepare();
		expect_broken(bad_packed[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_takes_and_gives),
		cmocka_unit_test(split_buffer_across_ranges),
		cmocka_unit_test(split_indirect),
		cmocka_unit_test(split_suppression_by_flags),
		cmocka_unit_test(split_suppression_by_event_index),
		cmocka_unit_test(split_rules),
		cmocka_unit_test(split_more_than_descriptors),
		cmocka_unit_test(chain_beyond_4g),
		cmocka_unit_test(bad_rings),
		cmocka_unit_test(packed_takes_and_gives),
		cmocka_unit_test(packed_indirect),
		cmocka_unit_test(packed_suppression),
		cmocka_unit_test(packed_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
