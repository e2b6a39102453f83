/* SPDX-License-Identifier: Apache-2.0 */
/* PIT, HPET and ACPI PM on a clock that only the test moves. */
#include "devices_fixture.h"

#include "devices/timer/acpi_pm.h"
#include "devices/timer/clock_math.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254_pit.h"

struct board {
	struct fake fake;
	struct bus bus;
	struct i8254 pit;
	struct hpet hpet;
	struct acpi_pm pm;
	bool legacy;
};

static struct board board;

static void out(uint16_t port, unsigned size, uint32_t v) { bus_write(&board.bus, port, size, v); }
static uint32_t in(uint16_t port, unsigned size) { return (uint32_t)bus_read(&board.bus, port, size); }
static void wr(unsigned reg, unsigned size, uint64_t v) { bus_write(&board.bus, 0xfed00000 + reg, size, v); }
static uint64_t rd(unsigned reg, unsigned size) { return bus_read(&board.bus, 0xfed00000 + reg, size); }
static void wait_ticks(uint64_t ticks) { fake_advance(&board.fake, ns_from_ticks(ticks, I8254_HZ)); }

static void legacy_changed(void *ctx, bool on) { ((struct board *)ctx)->legacy = on; }

/* Pins: 0 PIT, 1..3 HPET's GSIs 20..22, 4 and 5 legacy, 6 SCI. */
static int setup(void **state)
{
	struct hpet_config hc = {
		.base = 0xfed00000, .timers = &board.fake.service, .legacy_changed = legacy_changed, .ctx = &board
	};

	memset(&board, 0, sizeof(board));
	fake_init(&board.fake);
	bus_init(&board.bus);
	i8254_init(&board.pit, &(struct i8254_config){ .irq = fake_line(&board.fake, 0), .timers = &board.fake.service });
	for (unsigned i = 0; i < 3; i++)
		hc.gsi[20 + i] = fake_line(&board.fake, 1 + i);
	hc.legacy[0] = fake_line(&board.fake, 4);
	hc.legacy[1] = fake_line(&board.fake, 5);
	hpet_init(&board.hpet, &hc);
	acpi_pm_init(&board.pm, &(struct acpi_pm_config){ .sci = fake_line(&board.fake, 6), .timers = &board.fake.service,
							  .events = fake_events(&board.fake), .port_bus = &board.bus });
	assert_int_equal(bus_add(&board.bus, &board.pit.ports), LODGE_OK);
	assert_int_equal(bus_add(&board.bus, &board.hpet.mmio), LODGE_OK);
	assert_int_equal(bus_add(&board.bus, &board.pm.apm), LODGE_OK);
	acpi_pm_set_base(&board.pm, 0x600);
	(void)state;
	return 0;
}

static void test_clock_math(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t ticks = fake_random(&seed) >> 12;

		assert_true(ticks_from_ns(ns_from_ticks(ticks % (UINT64_C(1) << 40), I8254_HZ), I8254_HZ) ==
			    ticks % (UINT64_C(1) << 40));
	}
	assert_true(ns_from_ticks(UINT64_MAX, 1) == UINT64_MAX);
	assert_true(ticks_from_ns(UINT64_C(3600) * NS_PER_SECOND, ACPI_PM_HZ) == UINT64_C(3600) * ACPI_PM_HZ);
}

static uint16_t pit_read_both(unsigned channel)
{
	uint16_t low = (uint16_t)in((uint16_t)(0x40 + channel), 1);

	return (uint16_t)(low | in((uint16_t)(0x40 + channel), 1) << 8);
}

static void pit_program(unsigned channel, unsigned mode, uint16_t count)
{
	out(0x43, 1, channel << 6 | 0x30 | mode << 1);
	out((uint16_t)(0x40 + channel), 1, count & 0xff);
	out((uint16_t)(0x40 + channel), 1, count >> 8);
}

static void test_pit_rate(void **state)
{
	(void)state;
	pit_program(0, 2, 11932); /* 100 Hz */
	fake_advance(&board.fake, NS_PER_SECOND + 1000000);
	assert_int_equal(board.fake.rises[0], 99 + 1);
	board.fake.rises[0] = 0;
	pit_program(0, 3, 0); /* 65536: 18.2 Hz */
	fake_advance(&board.fake, 10 * NS_PER_SECOND);
	assert_int_equal(board.fake.rises[0], 182);
	/* As fast as it goes: bounded. */
	board.fake.fired = 0;
	pit_program(0, 2, 2);
	fake_advance(&board.fake, 10000000);
	assert_true(board.fake.fired <= 501);
	assert_true(board.fake.rises[0] > 400);
	out(0x43, 1, 0x34); /* a control word alone stops it */
	board.fake.fired = 0;
	fake_advance(&board.fake, NS_PER_SECOND);
	assert_int_equal(board.fake.fired, 0);
}

static void test_pit_one_shot(void **state)
{
	(void)state;
	pit_program(0, 0, 1000);
	wait_ticks(999);
	assert_int_equal(board.fake.rises[0], 0);
	wait_ticks(2);
	assert_int_equal(board.fake.rises[0], 1);
	wait_ticks(200000);
	assert_int_equal(board.fake.rises[0], 1);
	pit_program(0, 4, 1000); /* what Linux uses between ticks */
	wait_ticks(1000);
	assert_int_equal(board.fake.rises[0], 1);
	wait_ticks(2);
	assert_int_equal(board.fake.rises[0], 2);
	/* A callback that comes early or late for an older deadline. */
	pit_program(0, 0, 1000);
	board.pit.timer.fn(board.pit.timer.fn_ctx);
	assert_int_equal(board.fake.rises[0], 2);
}

static void test_pit_counts(void **state)
{
	uint16_t v;

	(void)state;
	pit_program(2, 0, 50000);
	i8254_set_gate2(&board.pit, true);
	wait_ticks(10000);
	v = pit_read_both(2);
	assert_in_range(v, 39998, 40000);
	out(0x43, 1, 0x80); /* latch */
	v = pit_read_both(2);
	wait_ticks(500);
	assert_true(pit_read_both(2) < v - 400);
	out(0x43, 1, 0x80);
	wait_ticks(1000);
	out(0x43, 1, 0x80); /* a second latch changes nothing */
	assert_true(pit_read_both(2) > pit_read_both(2) + 900);
	assert_false(i8254_out2(&board.pit));
	i8254_set_gate2(&board.pit, false); /* the gate holds the count */
	v = pit_read_both(2);
	wait_ticks(100000);
	assert_int_equal(pit_read_both(2), v);
	i8254_set_gate2(&board.pit, true);
	wait_ticks(60000);
	assert_true(i8254_out2(&board.pit));
	/* Mode 1 waits for the gate's edge. */
	pit_program(2, 1, 1000);
	assert_true(i8254_out2(&board.pit));
	i8254_set_gate2(&board.pit, false);
	i8254_set_gate2(&board.pit, true);
	wait_ticks(500);
	assert_false(i8254_out2(&board.pit));
	wait_ticks(501);
	assert_true(i8254_out2(&board.pit));
	/* Mode 3: high, then low. */
	pit_program(2, 3, 1000);
	wait_ticks(250);
	assert_true(i8254_out2(&board.pit));
	wait_ticks(500);
	assert_false(i8254_out2(&board.pit));
	/* BCD. */
	out(0x43, 1, 0xb1);
	out(0x42, 1, 0x00);
	out(0x42, 1, 0x10);
	wait_ticks(1);
	assert_in_range(pit_read_both(2), 0x998, 0x999);
}

static void test_pit_read_back(void **state)
{
	(void)state;
	out(0x43, 1, 0x36);
	out(0x43, 1, 0xe2); /* status of channel 0 */
	assert_int_equal(in(0x40, 1), 0xf6); /* output high, no count yet */
	out(0x40, 1, 0x10);
	out(0x40, 1, 0x00);
	out(0x43, 1, 0xc2); /* status and count */
	assert_int_equal(in(0x40, 1) & 0x7f, 0x36);
	assert_in_range(pit_read_both(0), 1, 0x10);
	out(0x43, 1, 0x14); /* low byte only */
	out(0x40, 1, 0x80);
	assert_in_range(in(0x40, 1), 0x7e, 0x80);
	assert_int_equal(in(0x43, 1), 0xff);
}

static void test_pit_state(void **state)
{
	struct i8254_state s, t;

	(void)state;
	pit_program(0, 2, 1000);
	i8254_get_state(&board.pit, &s);
	i8254_reset(&board.pit);
	assert_int_equal(board.fake.ntimers, 0);
	assert_int_equal(i8254_set_state(&board.pit, &s), LODGE_OK);
	wait_ticks(1001);
	assert_int_equal(board.fake.rises[0], 1);
	t = s;
	t.channel[1].count = 0;
	assert_int_equal(i8254_set_state(&board.pit, &t), LODGE_ERR_FORMAT);
	t = s;
	t.channel[0].mode = 6;
	assert_int_equal(i8254_set_state(&board.pit, &t), LODGE_ERR_FORMAT);
	t = s;
	t.channel[2].latch_bytes = 3;
	assert_int_equal(i8254_set_state(&board.pit, &t), LODGE_ERR_FORMAT);
}

static void test_hpet_counter(void **state)
{
	uint64_t before;

	(void)state;
	assert_true(rd(0, 8) == UINT64_C(0x009896808086a201));
	assert_int_equal(rd(4, 4), 10000000);
	assert_int_equal(rd(0xf0, 8), 0);
	fake_advance(&board.fake, 1000000);
	assert_int_equal(rd(0xf0, 8), 0);
	wr(0xf0, 8, UINT64_C(0xfffffff0));
	wr(0x10, 4, 1);
	fake_advance(&board.fake, 1000);
	assert_true(rd(0xf0, 8) == UINT64_C(0x100000054));
	assert_int_equal(rd(0xf4, 4), 1);
	wr(0xf0, 8, 0); /* runs: ignored */
	before = rd(0xf0, 8);
	assert_true(before > UINT64_C(0x100000000));
	wr(0x10, 4, 0);
	fake_advance(&board.fake, 1000);
	assert_true(rd(0xf0, 8) == before);
	assert_int_equal(rd(0xf1, 4), 0xffffffff); /* misaligned, and narrow: nobody */
	assert_int_equal(rd(0xf0, 2), 0xffff);
	assert_int_equal(rd(0x1f0, 8), 0);
}

static void test_hpet_one_shot(void **state)
{
	(void)state;
	assert_true(rd(0x100, 8) == (UINT64_C(0x700000) << 32 | 0x30));
	wr(0x10, 4, 1);
	wr(0x100, 4, 0x4 | 0x100 | 20 << 9); /* enabled, 32 bits, GSI 20 */
	assert_int_equal(board.fake.rises[1], 0);
	wr(0x108, 4, 1000);
	fake_advance(&board.fake, 9999);
	assert_int_equal(board.fake.rises[1], 0);
	fake_advance(&board.fake, 1);
	assert_int_equal(board.fake.rises[1], 1);
	assert_false(board.fake.level[1]);
	wr(0x108, 4, (uint32_t)rd(0xf0, 4) - 5); /* just missed: at once */
	fake_advance(&board.fake, 0);
	assert_int_equal(board.fake.rises[1], 2);
	/* Level: held until the status is cleared. */
	wr(0x100, 4, 0x6 | 0x100 | 21 << 9);
	wr(0x108, 4, (uint32_t)rd(0xf0, 4) + 100);
	fake_advance(&board.fake, 1000);
	assert_true(board.fake.level[2]);
	assert_int_equal(rd(0x20, 4), 1);
	wr(0x20, 4, 1);
	assert_false(board.fake.level[2]);
	assert_int_equal(rd(0x20, 4), 0);
}

static void test_hpet_periodic(void **state)
{
	(void)state;
	wr(0x10, 4, 3);
	assert_true(board.legacy);
	wr(0x100, 4, 0x4 | 0x8 | 0x40 | 0x100);
	wr(0x108, 4, 100000); /* 1 ms */
	fake_advance(&board.fake, 10500000);
	assert_int_equal(board.fake.rises[4], 10);
	assert_int_equal(rd(0x108, 4), 1100000);
	wr(0x100, 4, 0x4 | 0x8 | 0x40 | 0x100);
	wr(0x108, 4, 1);
	board.fake.fired = 0;
	fake_advance(&board.fake, 10000000);
	assert_true(board.fake.fired <= 501);
	wr(0x100, 4, 0x4 | 0x8 | 0x40 | 0x100);
	wr(0x108, 4, 0); /* a period of nothing is none */
	board.fake.fired = 0;
	fake_advance(&board.fake, 10000000);
	assert_true(board.fake.fired <= 1);
	wr(0x10, 4, 0);
	assert_false(board.legacy);
}

static void test_hpet_state(void **state)
{
	struct hpet_state s, t;

	(void)state;
	wr(0x10, 4, 1);
	wr(0x120, 4, 0x6 | 22 << 9);
	wr(0x128, 8, rd(0xf0, 8) + 10);
	fake_advance(&board.fake, 1000);
	assert_true(board.fake.level[3]);
	wr(0x108, 8, rd(0xf0, 8) + 1000);
	wr(0x100, 4, 0x4 | 20 << 9);
	hpet_get_state(&board.hpet, &s);
	hpet_reset(&board.hpet);
	assert_false(board.fake.level[3]);
	assert_int_equal(hpet_set_state(&board.hpet, &s), LODGE_OK);
	assert_true(board.fake.level[3]);
	fake_advance(&board.fake, 10000);
	assert_int_equal(board.fake.rises[1], 1);
	t = s;
	t.timer[0].config ^= 0x10;
	assert_int_equal(hpet_set_state(&board.hpet, &t), LODGE_ERR_FORMAT);
	t = s;
	t.status = 8;
	assert_int_equal(hpet_set_state(&board.hpet, &t), LODGE_ERR_FORMAT);
}

static void test_pm_timer(void **state)
{
	uint32_t before = in(0x608, 4);

	(void)state;
	fake_advance(&board.fake, NS_PER_SECOND);
	assert_int_equal((in(0x608, 4) - before) & 0xffffff, ACPI_PM_HZ);
	fake_advance(&board.fake, 5 * NS_PER_SECOND);
	assert_true(in(0x608, 4) <= 0xffffff);
	assert_int_equal(in(0x600, 2) & 1, 1); /* the top bit has changed by now */
	out(0x600, 2, 1);
	assert_int_equal(in(0x600, 2) & 1, 0);
	out(0x604, 2, 1);
	out(0x602, 2, 1);
	fake_advance(&board.fake, 3 * NS_PER_SECOND);
	assert_true(board.fake.level[6]);
	out(0x600, 2, 1);
	assert_false(board.fake.level[6]);
	fake_advance(&board.fake, 3 * NS_PER_SECOND);
	assert_true(board.fake.level[6]);
	out(0x602, 2, 0);
	assert_false(board.fake.level[6]);
}

static void test_pm_events(void **state)
{
	(void)state;
	acpi_pm_power_button(&board.pm);
	out(0x602, 2, 0x100);
	assert_false(board.fake.level[6]); /* ACPI is off */
	out(0xb2, 1, ACPI_PM_ENABLE);
	assert_int_equal(in(0x604, 2), 1);
	assert_true(board.fake.level[6]);
	out(0x601, 1, 1);
	assert_false(board.fake.level[6]);
	out(0x628, 4, 0x10);
	acpi_pm_raise_gpe(&board.pm, 4);
	acpi_pm_raise_gpe(&board.pm, 64);
	assert_true(board.fake.level[6]);
	assert_int_equal(in(0x620, 4), 0x10);
	out(0x620, 1, 0x10);
	assert_false(board.fake.level[6]);
	out(0x604, 2, 0x2401); /* SLP_TYP 1: not offered */
	assert_int_equal(board.fake.nevents, 0);
	out(0x604, 2, 0x2001);
	assert_int_equal(board.fake.nevents, 1);
	assert_int_equal(board.fake.events[0], MACHINE_POWER_OFF);
	assert_int_equal(in(0x604, 2), 1); /* SLP_EN reads as zero */
	assert_int_equal(in(0x630, 4) & 0x20, 0x20);
}

static void test_pm_base(void **state)
{
	struct acpi_pm_state s;

	(void)state;
	acpi_pm_set_base(&board.pm, 0xb000);
	assert_int_equal(in(0x608, 4), 0xffffffff);
	assert_true(in(0xb008, 4) != 0xffffffff);
	acpi_pm_set_base(&board.pm, 0x40 & 0xff80);
	assert_int_equal(in(0xb008, 4), 0xffffffff);
	acpi_pm_set_base(&board.pm, 0x80); /* overlaps the command port: stays hidden */
	assert_int_equal(in(0x88, 4), 0xffffffff);
	acpi_pm_set_base(&board.pm, 0x600);
	acpi_pm_get_state(&board.pm, &s);
	acpi_pm_set_base(&board.pm, 0);
	assert_int_equal(acpi_pm_set_state(&board.pm, &s), LODGE_OK);
	assert_true(in(0x608, 4) != 0xffffffff);
	s.enable = 0xffff;
	assert_int_equal(acpi_pm_set_state(&board.pm, &s), LODGE_ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_clock_math, setup),    cmocka_unit_test_setup(test_pit_rate, setup),
		cmocka_unit_test_setup(test_pit_one_shot, setup),  cmocka_unit_test_setup(test_pit_counts, setup),
		cmocka_unit_test_setup(test_pit_read_back, setup), cmocka_unit_test_setup(test_pit_state, setup),
		cmocka_unit_test_setup(test_hpet_counter, setup),  cmocka_unit_test_setup(test_hpet_one_shot, setup),
		cmocka_unit_test_setup(test_hpet_periodic, setup), cmocka_unit_test_setup(test_hpet_state, setup),
		cmocka_unit_test_setup(test_pm_timer, setup),      cmocka_unit_test_setup(test_pm_events, setup),
		cmocka_unit_test_setup(test_pm_base, setup),
	};
	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
