/* SPDX-License-Identifier: Apache-2.0 */
/* Buses: dispatch, holes, straddling accesses, moving regions while others read. */
#include "devices_fixture.h"

#include <pthread.h>

struct probe {
	uint64_t last_offset, last_value;
	unsigned last_size, accesses;
	bool handles;
};

static enum bus_result probe_access(void *dev, struct bus_access *access)
{
	struct probe *p = dev;

	p->accesses++;
	p->last_offset = access->offset;
	p->last_size = access->size;
	if (access->is_write)
		p->last_value = access->value;
	else
		access->value = UINT64_C(0x1122334455667788) + access->offset;
	return p->handles ? BUS_HANDLED : BUS_UNHANDLED;
}

static const struct bus_ops probe_ops = { .access = probe_access };

static struct bus_region region(struct probe *p, uint64_t base, uint64_t len)
{
	*p = (struct probe){ .handles = true };
	return (struct bus_region){ .base = base, .len = len, .ops = &probe_ops, .dev = p };
}

static void test_dispatch(void **state)
{
	struct bus bus;
	struct probe p[3];
	struct bus_region r[3] = { region(&p[0], 0x100, 0x10), region(&p[1], 0x50, 4), region(&p[2], 0x110, 1) };

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_add_all(&bus, r, 3), LODGE_OK);
	assert_int_equal(bus_read(&bus, 0x104, 2), 0x778c);
	assert_int_equal(p[0].last_offset, 4);
	bus_write(&bus, 0x52, 1, 0x1234);
	assert_int_equal(p[1].last_value, 0x34);
	assert_int_equal(bus_read(&bus, 0x110, 1), 0x88);
	assert_int_equal(bus_read(&bus, 0x54, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0x4f, 1), 0xff);
	p[1].handles = false;
	assert_true(bus_read(&bus, 0x50, 4) == 0xffffffff);
	assert_int_equal(atomic_load(&bus.unhandled), 3);
}

static void test_straddle(void **state)
{
	struct bus bus;
	struct probe p[2];
	struct bus_region r[2] = { region(&p[0], 0x100, 2), region(&p[1], 0x102, 1) };

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_add_all(&bus, r, 2), LODGE_OK);
	assert_int_equal(bus_read(&bus, 0x100, 4), 0xff888988); /* two of the first, one of the second, one of nobody */
	assert_int_equal(bus_read(&bus, 0xff, 2), 0x88ff);      /* from a hole into a region */
	bus_write(&bus, 0x101, 2, 0xabcd);
	assert_int_equal(p[0].last_value, 0xcd);
	assert_int_equal(p[1].last_value, 0xab);
	assert_int_equal(p[1].last_size, 1);
}

static void test_refusals(void **state)
{
	struct bus bus;
	struct probe p[4];
	struct bus_region r[4] = { region(&p[0], 0x100, 0x10), region(&p[1], 0x10f, 4), region(&p[2], 0xfe, 3),
				   region(&p[3], UINT64_MAX, 2) };
	static struct bus_region many[130];

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_add(&bus, &r[0]), LODGE_OK);
	assert_int_equal(bus_add(&bus, &r[1]), LODGE_ERR_RANGE);
	assert_int_equal(bus_add(&bus, &r[2]), LODGE_ERR_RANGE);
	assert_int_equal(bus_add(&bus, &r[3]), LODGE_ERR_RANGE);
	r[1].len = 0;
	assert_int_equal(bus_add(&bus, &r[1]), LODGE_ERR_RANGE);
	assert_int_equal(bus_move(&bus, &r[1], 0x110, 0x10), LODGE_OK);
	assert_int_equal(bus_move(&bus, &r[1], 0x104, 0x10), LODGE_ERR_RANGE); /* and now it is nowhere */
	assert_int_equal(bus.nregions, 1);
	bus_remove(&bus, &r[0]);
	bus_remove(&bus, &r[0]);
	assert_int_equal(bus.nregions, 0);
	for (unsigned i = 0; i < 128; i++) {
		many[i] = region(&p[0], 1000 - i, 1);
		assert_int_equal(bus_add(&bus, &many[i]), LODGE_OK);
	}
	many[128] = region(&p[0], 2000, 1);
	assert_int_equal(bus_add(&bus, &many[128]), LODGE_ERR_RANGE);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(bus_read(&bus, 1000 - i, 1), 0x88);
}

struct mover {
	struct bus *bus;
	struct bus_region *region;
	_Atomic bool stop;
};

static void *move_region(void *ctx)
{
	struct mover *m = ctx;

	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(bus_move(m->bus, m->region, 0x1000 + (i & 1) * 0x1000, 0x100), LODGE_OK);
	atomic_store(&m->stop, true);
	return NULL;
}

/* A reader sees the region at one of its two places or at none, and never at a wrong offset. */
static void test_move_while_reading(void **state)
{
	static struct bus bus;
	struct probe p[2];
	struct bus_region fixed = region(&p[0], 0x3000, 8), moving = region(&p[1], 0x1000, 0x100);
	struct mover m = { .bus = &bus, .region = &moving };
	pthread_t thread;

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_add(&bus, &fixed), LODGE_OK);
	assert_int_equal(bus_add(&bus, &moving), LODGE_OK);
	assert_int_equal(pthread_create(&thread, NULL, move_region, &m), 0);
	while (!atomic_load(&m.stop)) {
		uint64_t v = bus_read(&bus, 0x1010, 1);

		assert_true(v == 0x98 || v == 0xff);
		v = bus_read(&bus, 0x2020, 1);
		assert_true(v == 0xa8 || v == 0xff);
		assert_int_equal(bus_read(&bus, 0x3000, 4), 0x55667788);
	}
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&moving.users), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dispatch),
		cmocka_unit_test(test_straddle),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_move_while_reading),
	};
	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
