/* SPDX-License-Identifier: Apache-2.0 */
/* 16550A: what drivers probe for, interrupts, FIFOs, a stream that is full. */
#include "devices_fixture.h"

#include "devices/serial/uart_16550.h"

#define BASE 0x3f8

struct board {
	struct fake fake;
	struct bus bus;
	struct uart_16550 uart;
	uint8_t sent[256];
	size_t nsent, room;
	unsigned wanted;
};

static struct board board;

static size_t stream_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct board *b = ctx;
	size_t n = len < b->room ? len : b->room;

	assert_true(b->nsent + n <= sizeof(b->sent));
	memcpy(b->sent + b->nsent, buf, n);
	b->nsent += n;
	b->room -= n;
	return n;
}

static void stream_wanted(void *ctx)
{
	((struct board *)ctx)->wanted++;
}

static void out(unsigned reg, uint8_t v) { bus_write(&board.bus, BASE + reg, 1, v); }
static uint8_t in(unsigned reg) { return (uint8_t)bus_read(&board.bus, BASE + reg, 1); }
static void input(const char *s) { board.uart.client.input(&board.uart, (const uint8_t *)s, strlen(s)); }
static size_t room(void) { return board.uart.client.room(&board.uart); }

static int setup(void **state)
{
	(void)state;
	memset(&board, 0, sizeof(board));
	board.room = sizeof(board.sent);
	fake_init(&board.fake);
	bus_init(&board.bus);
	uart_16550_init(&board.uart, &(struct uart_16550_config){ .base = BASE, .irq = fake_line(&board.fake, 0),
								  .out = { stream_write, stream_wanted, &board },
								  .timers = &board.fake.service });
	assert_int_equal(bus_add(&board.bus, &board.uart.ports), LODGE_OK);
	return 0;
}

/* The checks by which Linux's 8250 driver decides that it has a 16550A. */
static void test_probe(void **state)
{
	(void)state;
	out(1, 0);
	assert_int_equal(in(1) & 0xf, 0);
	out(1, 0x0f);
	assert_int_equal(in(1) & 0xf, 0xf);
	out(1, 0);
	out(4, 0x1a); /* loopback: RTS and OUT2 */
	assert_int_equal(in(6) & 0xf0, 0x90);
	out(4, 0);
	out(2, 1);
	assert_int_equal(in(2) >> 6, 3);
	out(3, 0xbf);
	assert_int_not_equal(in(2), 0); /* no extended feature register */
	out(3, 0);
	out(2, 0);
	assert_int_equal(in(2) >> 6, 0);
	out(7, 0x5a);
	assert_int_equal(in(7), 0x5a);
	assert_int_equal(in(5), 0x60);
	assert_int_equal(in(6) & 0xf0, 0xb0);
	out(3, 0x83);
	out(0, 0x01);
	out(1, 0x02);
	assert_int_equal(in(0), 1);
	assert_int_equal(in(1), 2);
	out(3, 0x03);
	assert_int_equal(in(1), 0);
	assert_int_equal(board.nsent, 0);
}

static void test_send(void **state)
{
	(void)state;
	out(4, 0x0b);
	out(2, 1);
	out(1, 2); /* empty already: interrupts at once */
	assert_true(board.fake.level[0]);
	assert_int_equal(in(2), 0xc2);
	assert_false(board.fake.level[0]);
	assert_int_equal(in(2), 0xc1);
	out(0, 'h');
	assert_true(board.fake.level[0]);
	out(0, 'i');
	assert_int_equal(board.nsent, 2);
	assert_memory_equal(board.sent, "hi", 2);
	assert_int_equal(in(5) & 0x60, 0x60);
	out(4, 0x03); /* without OUT2 nothing reaches the wire */
	assert_false(board.fake.level[0]);
}

static void test_full_stream(void **state)
{
	(void)state;
	out(4, 0x0b);
	out(2, 1);
	board.room = 3;
	for (unsigned i = 0; i < 30; i++)
		out(0, (uint8_t)('a' + i));
	assert_int_equal(board.nsent, 3);
	assert_int_equal(in(5) & 0x60, 0);
	(void)in(2);
	out(1, 2);
	assert_false(board.fake.level[0]);
	board.room = 5;
	board.uart.client.drained(&board.uart);
	assert_int_equal(board.nsent, 8);
	assert_false(board.fake.level[0]);
	board.room = 100;
	board.uart.client.drained(&board.uart);
	assert_int_equal(board.nsent, 19); /* 16 waited, the rest was overrun */
	assert_memory_equal(board.sent, "abcdefghijklmnopqrs", 19);
	assert_true(board.fake.level[0]);
	assert_int_equal(in(5) & 0x60, 0x60);
}

static void test_receive(void **state)
{
	(void)state;
	out(4, 0x0b);
	out(1, 5);
	assert_int_equal(room(), 1);
	out(2, 0xc1); /* FIFO, trigger 14 */
	assert_int_equal(room(), 16);
	input("abc");
	assert_false(board.fake.level[0]);
	assert_int_equal(in(5) & 1, 1);
	fake_advance(&board.fake, 10000000); /* four character times */
	assert_true(board.fake.level[0]);
	assert_int_equal(in(2), 0xcc);
	assert_int_equal(in(0), 'a');
	assert_false(board.fake.level[0]); /* reading starts the time anew */
	assert_int_equal(in(0), 'b');
	assert_int_equal(board.wanted, 1); /* since the interrupt was enabled */
	assert_int_equal(in(0), 'c');
	assert_int_equal(board.wanted, 2);
	assert_int_equal(in(5) & 1, 0);
	input("0123456789abcd");
	assert_int_equal(in(2), 0xc4);
	assert_int_equal(room(), 2);
	input("efXX"); /* two more than fit */
	assert_int_equal(in(2), 0xc6);
	assert_int_equal(in(5) & 2, 2);
	assert_int_equal(in(5) & 2, 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(0), "0123456789abcdef"[i]);
	assert_int_equal(in(0), 0);
	assert_false(board.fake.level[0]);
	input("z");
	out(2, 0xc3); /* clear */
	assert_int_equal(in(5) & 1, 0);
}

/* What came before a driver was ready waits outside and survives its clearing of the FIFO. */
static void test_listens(void **state)
{
	unsigned wanted = board.wanted;

	(void)state;
	out(2, 7);
	assert_int_equal(room(), 0);
	out(1, 1);
	assert_int_equal(board.wanted, wanted + 1);
	assert_int_equal(room(), 16);
	out(1, 0);
	assert_int_equal(room(), 0);
	for (unsigned i = 0; i < 63; i++)
		(void)in(5);
	out(0, 'x'); /* it was waiting to send */
	for (unsigned i = 0; i < 63; i++)
		(void)in(5);
	assert_int_equal(room(), 0);
	(void)in(5);
	assert_int_equal(room(), 16);
	assert_int_equal(board.wanted, wanted + 2);
	out(0, 'y');
	assert_int_equal(room(), 16);
}

static void test_loopback(void **state)
{
	(void)state;
	out(4, 0x10);
	assert_int_equal(room(), 0);
	out(0, 0x42);
	assert_int_equal(in(5) & 0x61, 0x61);
	assert_int_equal(in(0), 0x42);
	assert_int_equal(board.nsent, 0);
	(void)in(6);
	out(4, 0x1f);
	assert_int_equal(in(6), 0xfb); /* all four changed; ring rising is no event */
	assert_int_equal(in(6), 0xf0);
	out(4, 0x1b);
	assert_int_equal(in(6), 0xb4); /* ring falling is one */
}

static void test_state(void **state)
{
	struct uart_16550_state s, t;

	(void)state;
	out(4, 0x0b);
	out(2, 0x41);
	out(1, 1);
	input("abc");
	uart_16550_get_state(&board.uart, &s);
	uart_16550_reset(&board.uart);
	assert_int_equal(in(5), 0x60);
	assert_int_equal(uart_16550_set_state(&board.uart, &s), LODGE_OK);
	fake_advance(&board.fake, 10000000);
	assert_true(board.fake.level[0]);
	assert_int_equal(in(0), 'a');
	t = s;
	t.rx_head = 16;
	assert_int_equal(uart_16550_set_state(&board.uart, &t), LODGE_ERR_FORMAT);
	t = s;
	t.tx_count = 17;
	assert_int_equal(uart_16550_set_state(&board.uart, &t), LODGE_ERR_FORMAT);
	t = s;
	t.fcr = 0;
	assert_int_equal(uart_16550_set_state(&board.uart, &t), LODGE_ERR_FORMAT); /* three bytes without FIFO */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_probe, setup),   cmocka_unit_test_setup(test_send, setup),
		cmocka_unit_test_setup(test_full_stream, setup), cmocka_unit_test_setup(test_receive, setup),
		cmocka_unit_test_setup(test_listens, setup), cmocka_unit_test_setup(test_state, setup),
		cmocka_unit_test_setup(test_loopback, setup), cmocka_unit_test_setup(test_state, setup),
	};
	return cmocka_run_group_tests_name("uart", tests, NULL, NULL);
}
