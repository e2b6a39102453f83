/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's threads: requests in flight together, draining, errors that are told, closing. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "host/event_loop.h"
#include "vm/disk.h"

#define BYTES (1u << 20)
#define SLOTS 64u
#define SLOT_BYTES (BYTES / SLOTS)
#define ROUNDS 40u

static struct test {
	struct event_loop *loop;
	struct log log;
	unsigned log_lines;
	struct disk *disk;
	struct event_post begin;
	unsigned left, done;
	enum lodge_err worst;
	struct slot {
		struct block_request r;
		struct block_iov iov[2];
		uint8_t data[SLOT_BYTES];
		unsigned round;
	} slots[SLOTS];
} t;

static void on_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	__atomic_fetch_add(&t.log_lines, 1, __ATOMIC_RELAXED);
}

static void step(struct slot *s);

static void done(struct block_request *r)
{
	struct slot *s = r->owner;

	t.worst = r->result ? r->result : t.worst;
	t.done++;
	if (r->op == BLOCK_READ)
		for (unsigned i = 0; i < SLOT_BYTES; i++)
			assert_int_equal(s->data[i], s->round & 0xff);
	if (r->op == BLOCK_READ && ++s->round == ROUNDS) {
		if (!--t.left)
			event_loop_stop(t.loop);
		return;
	}
	step(s);
}

/* Write a round's pattern, flush now and then, read it back. */
static void step(struct slot *s)
{
	unsigned n = (unsigned)(s - t.slots);
	enum block_op op = s->r.op == BLOCK_WRITE ? (n + s->round) % 8 ? BLOCK_READ : BLOCK_FLUSH : s->r.op == BLOCK_FLUSH ? BLOCK_READ : BLOCK_WRITE;

	s->iov[0] = (struct block_iov){ s->data, 1000 };
	s->iov[1] = (struct block_iov){ s->data + 1000, SLOT_BYTES - 1000 };
	s->r = (struct block_request){ .op = op, .offset = n * SLOT_BYTES, .bytes = SLOT_BYTES, .iov = s->iov, .niov = 2, .done = done, .owner = s };
	memset(s->data, op == BLOCK_WRITE ? (int)(s->round & 0xff) : 0xee, SLOT_BYTES);
	disk_block(t.disk)->submit(disk_block(t.disk)->ctx, &s->r);
}

static void begin(void *ctx)
{
	(void)ctx;
	t.left = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++) {
		t.slots[i].r.op = BLOCK_READ;
		step(&t.slots[i]);
	}
}

static void open_disk(const char *path, bool read_only)
{
	struct lodge_error err = { 0 };

	memset(&t, 0, sizeof(t));
	log_init(&t.log, on_line, NULL, LOG_WARN);
	assert_int_equal(event_loop_create(&t.loop, &err), LODGE_OK);
	if (disk_open(&(struct vm_disk){ .path = path, .read_only = read_only }, t.loop, &t.log, &t.disk, &err) != LODGE_OK)
		fail_msg("%s", err.text);
}

static void close_disk(void)
{
	disk_close(t.disk);
	event_loop_destroy(t.loop);
}

static void in_parallel(void **state)
{
	struct lodge_error err = { 0 };

	open_disk(*state, false);
	t.begin = (struct event_post){ .fn = begin };
	event_loop_post(t.loop, &t.begin);
	assert_int_equal(event_loop_run(t.loop, &err), LODGE_OK);
	assert_int_equal(t.worst, LODGE_OK);
	assert_true(t.done >= SLOTS * ROUNDS * 2);
	close_disk();
}

static void count(struct block_request *r)
{
	t.done++;
	t.worst = r->result ? r->result : t.worst;
}

/* Everything has come back when drain() returns, without a loop that runs. */
static void drained(void **state)
{
	open_disk(*state, false);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &t.slots[i];

		s->iov[0] = (struct block_iov){ s->data, SLOT_BYTES };
		s->r = (struct block_request){ .op = BLOCK_WRITE, .stable = i % 16 == 0, .offset = i * SLOT_BYTES, .bytes = SLOT_BYTES, .iov = s->iov,
					       .niov = 1, .done = count, .owner = s };
		disk_block(t.disk)->submit(disk_block(t.disk)->ctx, &s->r);
	}
	disk_block(t.disk)->drain(disk_block(t.disk)->ctx);
	assert_int_equal(t.done, SLOTS);
	assert_int_equal(t.worst, LODGE_OK);
	close_disk();
}

static void failures_are_told(void **state)
{
	open_disk(*state, true);
	assert_true(disk_block(t.disk)->geometry.read_only);
	t.slots[0].r = (struct block_request){ .op = BLOCK_WRITE_ZEROES, .bytes = 512, .done = count };
	t.slots[1].r = (struct block_request){ .op = BLOCK_READ, .offset = BYTES, .bytes = 512, .done = count };
	for (unsigned i = 0; i < 2; i++)
		disk_block(t.disk)->submit(disk_block(t.disk)->ctx, &t.slots[i].r);
	disk_block(t.disk)->drain(disk_block(t.disk)->ctx);
	assert_int_equal(t.done, 2);
	assert_int_equal(t.slots[0].r.result, LODGE_ERR_PERM);
	assert_int_equal(t.slots[1].r.result, LODGE_ERR_RANGE);
	assert_int_equal(t.log_lines, 2);
	close_disk();
}

static int make_file(void **state)
{
	static char path[] = "/tmp/lodge-disk-XXXXXX";
	int fd = mkstemp(path);

	*state = path;
	return fd < 0 || ftruncate(fd, BYTES) || close(fd) ? -1 : 0;
}

static int drop_file(void **state)
{
	return unlink(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_parallel),
		cmocka_unit_test(drained),
		cmocka_unit_test(failures_are_told),
	};

	return cmocka_run_group_tests(tests, make_file, drop_file);
}
