/* SPDX-License-Identifier: Apache-2.0 */
/* Keyboard controller, chipset ports, pvpanic, debug exit and debug console. */
#include "devices_fixture.h"

#include "devices/platform/debug_exit.h"
#include "devices/platform/debugcon.h"
#include "devices/platform/i8042.h"
#include "devices/platform/pvpanic.h"
#include "devices/platform/system_ports.h"

struct board {
	struct fake fake; /* pin 1: keyboard, 12: mouse */
	struct bus bus;
	struct i8042 kbc;
	struct system_ports ports;
	struct pvpanic pvpanic;
	struct debug_exit exit;
	struct debugcon con;
	bool a20, gate2, out2;
	char text[16];
	size_t ntext;
};

static struct board board;

static void a20_set(void *ctx, bool on) { ((struct board *)ctx)->a20 = on; }
static void set_gate2(void *ctx, bool on) { ((struct board *)ctx)->gate2 = on; }
static bool out2(void *ctx) { return ((struct board *)ctx)->out2; }
static size_t con_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct board *b = ctx;

	for (size_t i = 0; i < len && b->ntext < sizeof(b->text); i++)
		b->text[b->ntext++] = (char)buf[i];
	return len;
}

static void out(uint16_t port, uint32_t v) { bus_write(&board.bus, port, 1, v); }
static uint8_t in(uint16_t port) { return (uint8_t)bus_read(&board.bus, port, 1); }

static int setup(void **state)
{
	(void)state;
	memset(&board, 0, sizeof(board));
	fake_init(&board.fake);
	bus_init(&board.bus);
	i8042_init(&board.kbc, &(struct i8042_config){ .keyboard_irq = fake_line(&board.fake, 1),
						       .mouse_irq = fake_line(&board.fake, 12),
						       .events = fake_events(&board.fake),
						       .a20_set = a20_set,
						       .ctx = &board });
	system_ports_init(&board.ports, &(struct system_ports_config){ .set_gate2 = set_gate2, .out2 = out2, .pit = &board,
								       .a20_set = a20_set, .ctx = &board,
								       .events = fake_events(&board.fake),
								       .timers = &board.fake.service });
	pvpanic_init(&board.pvpanic, &(struct pvpanic_config){ .events = fake_events(&board.fake) });
	debug_exit_init(&board.exit, &(struct debug_exit_config){ .events = fake_events(&board.fake) });
	debugcon_init(&board.con, &(struct debugcon_config){ .out = { .write = con_write, .ctx = &board } });
	assert_int_equal(bus_add_all(&board.bus, board.kbc.ports, 2), LODGE_OK);
	assert_int_equal(bus_add_all(&board.bus, board.ports.ports, 5), LODGE_OK);
	assert_int_equal(bus_add(&board.bus, &board.pvpanic.port), LODGE_OK);
	assert_int_equal(bus_add(&board.bus, &board.exit.port), LODGE_OK);
	assert_int_equal(bus_add(&board.bus, &board.con.port), LODGE_OK);
	return 0;
}

static void test_controller(void **state)
{
	(void)state;
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0xaa);
	assert_int_equal(in(0x64) & 0x2d, 0x0d);
	assert_int_equal(in(0x60), 0x55);
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0xab);
	assert_int_equal(in(0x60), 0);
	out(0x64, 0x60);
	out(0x60, 0x45);
	out(0x64, 0x20);
	assert_true(board.fake.level[1]);
	assert_int_equal(in(0x60), 0x45);
	assert_false(board.fake.level[1]);
	out(0x64, 0xa9); /* no mouse */
	assert_int_not_equal(in(0x60), 0);
	out(0x64, 0xd3);
	out(0x60, 0x5a);
	assert_int_equal(in(0x64) & 0x20, 0);
	(void)in(0x60);
	out(0x64, 0xd4);
	out(0x60, 0xff);
	assert_int_equal(in(0x64) & 0x21, 0x21);
	assert_int_equal(in(0x60), 0xfe);
	out(0x64, 0xc0);
	assert_int_equal(in(0x60), 0x80);
	assert_int_equal(in(0x60), 0x80); /* nothing new: the last byte again */
}

static void test_keyboard(void **state)
{
	(void)state;
	out(0x60, 0xff);
	assert_int_equal(in(0x60), 0xfa);
	assert_true(board.fake.level[1]); /* the next byte is an edge of its own */
	assert_int_equal(board.fake.rises[1], 2);
	assert_int_equal(in(0x60), 0xaa);
	out(0x60, 0xf2);
	assert_int_equal(in(0x60), 0xfa);
	assert_int_equal(in(0x60), 0xab);
	assert_int_equal(in(0x60), 0x41);
	out(0x60, 0xed);
	assert_int_equal(in(0x60), 0xfa);
	out(0x60, 0x07);
	assert_int_equal(in(0x60), 0xfa);
	out(0x60, 0xf0);
	out(0x60, 0x00);
	assert_int_equal(in(0x60), 0xfa);
	assert_int_equal(in(0x60), 0xfa);
	assert_int_equal(in(0x60), 2);
	out(0x60, 0xee);
	assert_int_equal(in(0x60), 0xee);
	out(0x60, 0x01);
	assert_int_equal(in(0x60), 0xfe);
	for (unsigned i = 0; i < 100; i++) /* more than the queue holds */
		out(0x60, 0xf2);
	for (unsigned i = 0; i < I8042_QUEUE; i++)
		(void)in(0x60);
	assert_int_equal(in(0x64) & 1, 0);
}

static void test_resets_and_a20(void **state)
{
	(void)state;
	assert_true(board.a20);
	out(0x64, 0xd1);
	out(0x60, 0xdd);
	assert_false(board.a20);
	out(0x64, 0xdf);
	assert_true(board.a20);
	assert_int_equal(in(0x92), 2);
	out(0x92, 0);
	assert_false(board.a20);
	out(0x92, 2);
	assert_int_equal(board.fake.nevents, 0);
	out(0x64, 0xff); /* pulses nothing */
	assert_int_equal(board.fake.nevents, 0);
	out(0x64, 0xfe);
	out(0x64, 0xd1);
	out(0x60, 0xfe);
	out(0x92, 3);
	assert_int_equal(board.fake.nevents, 3);
	system_ports_cf9_write(&board.ports, 2);
	assert_int_equal(board.fake.nevents, 3);
	system_ports_cf9_write(&board.ports, 6);
	system_ports_cf9_write(&board.ports, 6);
	assert_int_equal(board.fake.nevents, 4);
	assert_int_equal(system_ports_cf9_read(&board.ports), 6);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(board.fake.events[i], MACHINE_RESET);
}

static void test_port_61(void **state)
{
	unsigned toggles = 0, last = in(0x61) & 0x10;

	(void)state;
	out(0x61, 0xf1);
	assert_true(board.gate2);
	assert_int_equal(in(0x61) & 0xef, 0x01);
	board.out2 = true;
	assert_int_equal(in(0x61) & 0x20, 0x20);
	for (unsigned i = 0; i < 1000; i++) {
		fake_advance(&board.fake, 1000);
		toggles += (in(0x61) & 0x10) != last;
		last = in(0x61) & 0x10;
	}
	assert_in_range(toggles, 66, 67);
	out(0x80, 0x42);
	assert_int_equal(in(0x80), 0x42);
	out(0xed, 1);
	assert_int_equal(in(0xf1), 0xff);
}

static void test_reports(void **state)
{
	(void)state;
	assert_int_equal(in(0x505), 3);
	out(0x505, 4);
	assert_int_equal(board.fake.nevents, 0);
	out(0x505, 2);
	assert_int_equal(board.fake.events[0], MACHINE_PANIC_CRASH_LOADED);
	out(0x505, 1);
	assert_int_equal(board.fake.events[1], MACHINE_PANIC);
	bus_write(&board.bus, 0xf4, 4, 0x21);
	assert_int_equal(board.fake.events[2], MACHINE_DEBUG_EXIT);
	assert_int_equal(board.fake.values[2], 0x43);
	out(0xf4, 0);
	assert_int_equal(board.fake.values[3], 1);
	assert_int_equal(in(0x402), 0xe9);
	out(0x402, 'o');
	out(0x402, 'k');
	assert_memory_equal(board.text, "ok", 2);
}

static void test_state(void **state)
{
	struct i8042_state k;
	struct system_ports_state p;

	(void)state;
	out(0x64, 0xaa);
	out(0x92, 0);
	i8042_get_state(&board.kbc, &k);
	system_ports_get_state(&board.ports, &p);
	i8042_reset(&board.kbc);
	system_ports_reset(&board.ports);
	assert_int_equal(i8042_set_state(&board.kbc, &k), LODGE_OK);
	assert_int_equal(system_ports_set_state(&board.ports, &p), LODGE_OK);
	assert_int_equal(in(0x60), 0x55);
	assert_int_equal(in(0x92), 0);
	k.count = I8042_QUEUE + 1;
	assert_int_equal(i8042_set_state(&board.kbc, &k), LODGE_ERR_FORMAT);
	p.port61 = 0x10;
	assert_int_equal(system_ports_set_state(&board.ports, &p), LODGE_ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_controller, setup),      cmocka_unit_test_setup(test_keyboard, setup),
		cmocka_unit_test_setup(test_resets_and_a20, setup),  cmocka_unit_test_setup(test_port_61, setup),
		cmocka_unit_test_setup(test_reports, setup),         cmocka_unit_test_setup(test_state, setup),
	};
	return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
