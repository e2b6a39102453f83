/* SPDX-License-Identifier: Apache-2.0 */
/* MC146818: time in both encodings, setting it, alarm, periodic and update interrupts, what firmware finds in CMOS. */
#include "devices_fixture.h"

#include "devices/platform/mc146818_rtc.h"
#include "devices/platform/rtc_calendar.h"

#define SECOND UINT64_C(1000000000)
#define LEAP_DAY UINT64_C(1709210096) /* 2024-02-29 12:34:56, a Thursday */

struct board {
	struct fake fake;
	struct bus bus;
	struct mc146818 rtc;
	uint64_t wall_base_ns;
};

static struct board board;

static uint64_t wallclock(void *ctx)
{
	struct board *b = ctx;

	return b->wall_base_ns + b->fake.now_ns;
}

static void set_wall(uint64_t seconds) { board.wall_base_ns = seconds * SECOND - board.fake.now_ns; }
static void wr(uint8_t reg, uint8_t v) { bus_write(&board.bus, 0x70, 1, reg); bus_write(&board.bus, 0x71, 1, v); }
static uint8_t rd(uint8_t reg) { bus_write(&board.bus, 0x70, 1, reg | 0x80); return (uint8_t)bus_read(&board.bus, 0x71, 1); }

static int setup(void **state)
{
	(void)state;
	memset(&board, 0, sizeof(board));
	fake_init(&board.fake);
	set_wall(LEAP_DAY);
	bus_init(&board.bus);
	mc146818_init(&board.rtc, &(struct mc146818_config){ .irq = fake_line(&board.fake, 0), .timers = &board.fake.service,
							     .wallclock_ns = wallclock, .wallclock_ctx = &board,
							     .ram_below_4g = MIB(2048), .ram_above_4g = GIB(6), .vcpus = 4 });
	assert_int_equal(bus_add(&board.bus, &board.rtc.ports), LODGE_OK);
	return 0;
}

static void test_calendar(void **state)
{
	uint64_t seed = 99;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t s = fake_random(&seed) % (UINT64_C(253402300800)); /* to the end of 9999 */
		struct rtc_date d = rtc_date_from_seconds(s);

		assert_true(d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31);
		assert_true(rtc_date_to_seconds(&d) == s);
	}
	assert_int_equal(rtc_date_from_seconds(0).weekday, 4);
}

static void test_read_time(void **state)
{
	(void)state;
	assert_int_equal(rd(0x00), 0x56);
	assert_int_equal(rd(0x02), 0x34);
	assert_int_equal(rd(0x04), 0x12);
	assert_int_equal(rd(0x06), 5);
	assert_int_equal(rd(0x07), 0x29);
	assert_int_equal(rd(0x08), 0x02);
	assert_int_equal(rd(0x09), 0x24);
	assert_int_equal(rd(0x32), 0x20);
	wr(0x0b, 0x06); /* binary */
	assert_int_equal(rd(0x00), 56);
	assert_int_equal(rd(0x07), 29);
	wr(0x0b, 0x00); /* BCD, twelve hours */
	assert_int_equal(rd(0x04), 0x92);
	set_wall(LEAP_DAY - 12 * 3600);
	assert_int_equal(rd(0x04), 0x12);
	assert_int_equal(rd(0x0d), 0x80);
	assert_int_equal(rd(0x0a), 0x26);
	fake_advance(&board.fake, SECOND - 100000);
	assert_int_equal(rd(0x0a), 0xa6); /* update in progress */
	fake_advance(&board.fake, 100000);
	assert_int_equal(rd(0x0a), 0x26);
	assert_int_equal(bus_read(&board.bus, 0x70, 1), 0xff);
}

static void test_set_time(void **state)
{
	(void)state;
	wr(0x0b, 0x82);
	wr(0x00, 0x59);
	wr(0x02, 0x59);
	wr(0x04, 0x23);
	wr(0x07, 0x31);
	wr(0x08, 0x12);
	wr(0x09, 0x99);
	wr(0x32, 0x19);
	fake_advance(&board.fake, 100 * SECOND); /* it stands */
	assert_int_equal(rd(0x00), 0x59);
	wr(0x0b, 0x02);
	fake_advance(&board.fake, SECOND);
	assert_int_equal(rd(0x00), 0);
	assert_int_equal(rd(0x08), 0x01);
	assert_int_equal(rd(0x09), 0);
	assert_int_equal(rd(0x32), 0x20);
	wr(0x02, 0x30); /* while it runs */
	assert_int_equal(rd(0x02), 0x30);
	assert_int_equal(rd(0x04), 0);
	/* Nonsense is normalised, not believed. */
	for (unsigned reg = 0; reg < 10; reg++)
		wr((uint8_t)reg, 0xff);
	wr(0x32, 0xff);
	assert_true(rd(0x08) != 0);
	mc146818_reset(&board.rtc);
}

static void test_update_interrupt(void **state)
{
	(void)state;
	(void)rd(0x0c);
	fake_advance(&board.fake, SECOND);
	assert_int_equal(rd(0x0c), 0x50); /* polled: update and periodic */
	assert_int_equal(board.fake.ntimers, 0);
	wr(0x0b, 0x12);
	fake_advance(&board.fake, 10 * SECOND);
	assert_int_equal(board.fake.rises[0], 1); /* one, until it is acknowledged */
	assert_int_equal(rd(0x0c), 0xd0);
	assert_false(board.fake.level[0]);
	fake_advance(&board.fake, SECOND);
	assert_int_equal(board.fake.rises[0], 2);
}

static void test_periodic(void **state)
{
	unsigned ticks = 0;

	(void)state;
	wr(0x0b, 0x42); /* 1024 Hz */
	for (unsigned i = 0; i < 1000; i++) {
		fake_advance(&board.fake, 1000000);
		if (board.fake.level[0]) {
			ticks++;
			assert_int_equal(rd(0x0c) & 0xc0, 0xc0);
		}
	}
	assert_in_range(ticks, 999, 1000);
	wr(0x0a, 0x23); /* 8 kHz, and nobody acknowledges: no work */
	board.fake.fired = 0;
	fake_advance(&board.fake, SECOND);
	assert_true(board.fake.fired <= 2);
	wr(0x0a, 0x20);
	(void)rd(0x0c);
	fake_advance(&board.fake, SECOND);
	assert_int_equal(rd(0x0c) & 0x40, 0);
}

static void test_alarm(void **state)
{
	(void)state;
	wr(0x01, 0x10);
	wr(0x03, 0x35);
	wr(0x05, 0x12);
	(void)rd(0x0c);
	wr(0x0b, 0x22);
	fake_advance(&board.fake, 13 * SECOND);
	assert_false(board.fake.level[0]);
	fake_advance(&board.fake, 2 * SECOND);
	assert_true(board.fake.level[0]);
	assert_int_equal(rd(0x0c), 0xf0);
	wr(0x05, 0xc0); /* every hour */
	fake_advance(&board.fake, 3600 * SECOND);
	assert_true(board.fake.level[0]);
	(void)rd(0x0c);
	/* The host's clock jumps: bounded, and the alarm of that day is noticed. */
	set_wall(LEAP_DAY + 400 * 86400);
	wr(0x0b, 0x22);
	assert_true(board.fake.level[0]);
	(void)rd(0x0c);
	set_wall(LEAP_DAY);
	wr(0x0b, 0x22);
	fake_advance(&board.fake, SECOND);
	mc146818_fini(&board.rtc);
}

static void test_cmos(void **state)
{
	unsigned sum = 0;

	(void)state;
	assert_int_equal(rd(0x15) | rd(0x16) << 8, 640);
	assert_int_equal(rd(0x17) | rd(0x18) << 8, 0xffff);
	assert_int_equal((rd(0x34) | rd(0x35) << 8) * 65536u + MIB(16), MIB(2048));
	assert_int_equal((uint64_t)(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16) << 16, GIB(6));
	assert_int_equal(rd(0x5f), 3);
	for (uint8_t i = 0x10; i < 0x2e; i++)
		sum += rd(i);
	assert_int_equal(rd(0x2e) << 8 | rd(0x2f), sum);
	wr(0x40, 0xa5);
	assert_int_equal(rd(0x40), 0xa5);
	wr(0x7f, 0x11);
	assert_int_equal(rd(0x7f), 0x11);
}

static void test_state(void **state)
{
	struct mc146818_state s;

	(void)state;
	wr(0x0b, 0x82);
	wr(0x09, 0x30);
	wr(0x0b, 0x02);
	mc146818_get_state(&board.rtc, &s);
	wr(0x09, 0x10);
	assert_int_equal(mc146818_set_state(&board.rtc, &s), LODGE_OK);
	assert_int_equal(rd(0x09), 0x30);
	s.index = 128;
	assert_int_equal(mc146818_set_state(&board.rtc, &s), LODGE_ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_calendar, setup),         cmocka_unit_test_setup(test_read_time, setup),
		cmocka_unit_test_setup(test_set_time, setup),         cmocka_unit_test_setup(test_update_interrupt, setup),
		cmocka_unit_test_setup(test_periodic, setup),         cmocka_unit_test_setup(test_alarm, setup),
		cmocka_unit_test_setup(test_cmos, setup),             cmocka_unit_test_setup(test_state, setup),
	};
	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
