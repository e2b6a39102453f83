/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A. Transmission takes no time: what the stream accepts is sent at once;
 * when it is full, bytes wait in the FIFO and "holding register empty" comes
 * when the last of them has gone. Line speed only sets the receive timeout.
 */
#include "devices/serial/uart_16550.h"

#include "devices/byte_access.h"
#include "devices/timer/clock_math.h"

#define UART_PORTS 8u
#define UART_CLOCK_HZ 1843200u
#define UART_LISTEN_POLLS 64u

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RECEIVE 0x01u
#define IER_THRE 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u
#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THRE 0x02u
#define IIR_RECEIVE 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u
#define LCR_DLAB 0x80u
#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u /* on a PC: lets the interrupt reach the wire */
#define MCR_LOOP 0x10u
#define LSR_DATA 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_ERRORS 0x1eu
#define LSR_THRE 0x20u
#define LSR_IDLE 0x40u
#define MSR_DELTA 0x0fu
#define MSR_DELTA_RI 0x04u /* trailing edge of ring */
#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

static enum bus_result uart_16550_access(void *dev, struct bus_access *access);
static const struct bus_ops uart_16550_ops = { .access = uart_16550_access };

static bool fifo_on(const struct uart_16550 *u) { return u->state.fcr & FCR_ENABLE; }
static unsigned fifo_bytes(const struct uart_16550 *u) { return fifo_on(u) ? UART_16550_FIFO : 1; }

static unsigned rx_trigger(const struct uart_16550 *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return fifo_on(u) ? level[u->state.fcr >> 6] : 1;
}

/* Highest of the pending and enabled interrupts. */
static uint8_t interrupt_id(const struct uart_16550 *u)
{
	const struct uart_16550_state *s = &u->state;

	if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((s->ier & IER_RECEIVE) && s->rx_count >= rx_trigger(u))
		return IIR_RECEIVE;
	if ((s->ier & IER_RECEIVE) && s->timeout_pending && s->rx_count)
		return IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTA))
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_16550_update(struct uart_16550 *u)
{
	struct uart_16550_state *s = &u->state;

	s->lsr = s->rx_count ? s->lsr | LSR_DATA : s->lsr & (uint8_t)~LSR_DATA;
	s->lsr = s->tx_count ? s->lsr & (uint8_t)~(LSR_THRE | LSR_IDLE) : s->lsr | LSR_THRE | LSR_IDLE;
	irq_line_set(&u->config.irq, interrupt_id(u) != IIR_NONE && (s->mcr & MCR_OUT2) && !(s->mcr & MCR_LOOP));
}

/* ---- receiving ---- */

/*
 * A driver that sets itself up clears the FIFO; what was typed or piped before
 * would be lost. So input waits outside until somebody listens: by interrupt,
 * or by reading the line status over and over without having sent anything.
 */
static bool listens(const struct uart_16550 *u)
{
	return (u->state.ier & IER_RECEIVE) || u->polls >= UART_LISTEN_POLLS;
}

static void want_input(struct uart_16550 *u)
{
	if (u->config.out.input_wanted)
		u->config.out.input_wanted(u->config.out.ctx);
}

/* Four characters of ten bits, between 100 us and 100 ms. */
static uint64_t character_timeout_ns(const struct uart_16550 *u)
{
	uint64_t divisor = (uint64_t)u->state.dlm << 8 | u->state.dll;
	uint64_t ns = (divisor ? divisor : 65536) * 16 * 40 * NS_PER_SECOND / UART_CLOCK_HZ;

	return MIN(MAX(ns, UINT64_C(100000)), UINT64_C(100000000));
}

static void restart_timeout(struct uart_16550 *u)
{
	struct uart_16550_state *s = &u->state;

	s->timeout_pending = 0;
	if (!s->rx_count || !fifo_on(u)) {
		s->timeout_ns = 0;
		timer_disarm(&u->timeout);
		return;
	}
	s->timeout_ns = timer_now(&u->timeout) + character_timeout_ns(u);
	timer_arm(&u->timeout, s->timeout_ns);
}

static void uart_16550_timed_out(void *ctx)
{
	struct uart_16550 *u = ctx;
	struct uart_16550_state *s = &u->state;

	host_mutex_lock(&u->lock);
	if (s->timeout_ns && timer_now(&u->timeout) >= s->timeout_ns) {
		s->timeout_ns = 0;
		s->timeout_pending = s->rx_count != 0;
		uart_16550_update(u);
	} else if (s->timeout_ns) {
		timer_arm(&u->timeout, s->timeout_ns);
	}
	host_mutex_unlock(&u->lock);
}

static void receive(struct uart_16550 *u, uint8_t byte)
{
	struct uart_16550_state *s = &u->state;

	if (s->rx_count >= fifo_bytes(u)) {
		s->lsr |= LSR_OVERRUN;
		return;
	}
	s->rx[(s->rx_head + s->rx_count) % UART_16550_FIFO] = byte;
	s->rx_count++;
	restart_timeout(u);
}

static uint8_t read_data(struct uart_16550 *u)
{
	struct uart_16550_state *s = &u->state;
	uint8_t byte;

	if (!s->rx_count)
		return 0;
	byte = s->rx[s->rx_head];
	s->rx_head = (uint8_t)((s->rx_head + 1) % UART_16550_FIFO);
	s->rx_count--;
	restart_timeout(u);
	if (!s->rx_count)
		want_input(u);
	return byte;
}

static void clear_rx(struct uart_16550 *u)
{
	bool had = u->state.rx_count;

	u->state.rx_count = 0;
	restart_timeout(u);
	if (had)
		want_input(u);
}

/* ---- sending ---- */

static void flush_tx(struct uart_16550 *u)
{
	struct uart_16550_state *s = &u->state;

	while (s->tx_count) {
		size_t run = MIN((size_t)s->tx_count, (size_t)(UART_16550_FIFO - s->tx_head)), taken = run;

		if (u->config.out.write)
			taken = u->config.out.write(u->config.out.ctx, &s->tx[s->tx_head], run);
		if (!taken)
			return;
		taken = MIN(taken, run);
		s->tx_head = (uint8_t)((s->tx_head + taken) % UART_16550_FIFO);
		s->tx_count = (uint8_t)(s->tx_count - taken);
	}
	s->thre_pending = 1;
}

static void write_data(struct uart_16550 *u, uint8_t byte)
{
	struct uart_16550_state *s = &u->state;

	s->thre_pending = 0;
	if (u->polls < UART_LISTEN_POLLS)
		u->polls = 0;
	if (s->mcr & MCR_LOOP) {
		receive(u, byte);
		s->thre_pending = 1;
		return;
	}
	if (s->tx_count >= fifo_bytes(u)) /* the guest did not wait: the newest byte is lost */
		return;
	s->tx[(s->tx_head + s->tx_count) % UART_16550_FIFO] = byte;
	s->tx_count++;
	flush_tx(u);
}

/* ---- registers; lock held ---- */

/* Modem inputs: a terminal that is there and ready, or our own outputs in loopback. */
static uint8_t modem_inputs(const struct uart_16550 *u)
{
	uint8_t mcr = u->state.mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) | (mcr & MCR_OUT1 ? MSR_RI : 0) |
			 (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void update_modem(struct uart_16550 *u)
{
	struct uart_16550_state *s = &u->state;
	uint8_t lines = modem_inputs(u), changed = (lines ^ s->msr) & 0xf0;
	uint8_t delta = (uint8_t)(changed >> 4);

	if ((delta & MSR_DELTA_RI) && (lines & MSR_RI))
		delta &= (uint8_t)~MSR_DELTA_RI;
	s->msr = (uint8_t)(lines | (s->msr & MSR_DELTA) | delta);
}

static void write_fcr(struct uart_16550 *u, uint8_t value)
{
	struct uart_16550_state *s = &u->state;

	/* A byte in the single holding register survives: Linux lets input interrupt before it turns the FIFO on. */
	if (s->fcr & ~value & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	s->fcr = value & 0xc9;
	if (value & FCR_CLEAR_RX)
		clear_rx(u);
	if (value & FCR_CLEAR_TX) {
		s->tx_count = 0;
		s->thre_pending = 1;
	}
}

static uint8_t read_iir(struct uart_16550 *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_THRE)
		u->state.thre_pending = 0; /* reading it acknowledges this source alone */
	return (uint8_t)(id | (fifo_on(u) ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct uart_16550 *u)
{
	uint8_t lsr = u->state.lsr;

	u->state.lsr &= (uint8_t)~LSR_ERRORS;
	if (!(lsr & LSR_DATA) && u->polls < UART_LISTEN_POLLS && ++u->polls == UART_LISTEN_POLLS)
		want_input(u);
	return lsr;
}

static uint8_t read_msr(struct uart_16550 *u)
{
	uint8_t msr = u->state.msr;

	u->state.msr &= (uint8_t)~MSR_DELTA;
	return msr;
}

static uint8_t read_register(struct uart_16550 *u, unsigned reg)
{
	const struct uart_16550_state *s = &u->state;
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA: return dlab ? s->dll : read_data(u);
	case REG_IER: return dlab ? s->dlm : s->ier;
	case REG_IIR: return read_iir(u);
	case REG_LCR: return s->lcr;
	case REG_MCR: return s->mcr;
	case REG_LSR: return read_lsr(u);
	case REG_MSR: return read_msr(u);
	default: return s->scratch;
	}
}

static void write_ier(struct uart_16550 *u, uint8_t value)
{
	struct uart_16550_state *s = &u->state;

	/* Enabling the interrupt while the holding register is empty raises it; 8250 drivers test for that. */
	if ((value & ~s->ier & IER_THRE) && !s->tx_count)
		s->thre_pending = 1;
	if (value & ~s->ier & IER_RECEIVE)
		want_input(u);
	s->ier = value & 0x0f;
}

static void write_register(struct uart_16550 *u, unsigned reg, uint8_t value)
{
	struct uart_16550_state *s = &u->state;
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			write_data(u, value);
		return;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			write_ier(u, value);
		return;
	case REG_IIR: write_fcr(u, value); return;
	case REG_LCR: s->lcr = value; return;
	case REG_MCR:
		s->mcr = value & 0x1f;
		update_modem(u);
		return;
	case REG_LSR:
	case REG_MSR: return;
	default: s->scratch = value; return;
	}
}

static uint8_t uart_16550_read(void *dev, unsigned offset)
{
	uint8_t value = read_register(dev, offset);

	uart_16550_update(dev);
	return value;
}

static void uart_16550_write(void *dev, unsigned offset, uint8_t value)
{
	write_register(dev, offset, value);
	uart_16550_update(dev);
}

static enum bus_result uart_16550_access(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, uart_16550_read, uart_16550_write);
}

/* ---- the stream's side ---- */

static size_t client_room(void *dev)
{
	struct uart_16550 *u = dev;
	size_t room;

	host_mutex_lock(&u->lock);
	/* In loopback the input is cut off; what waits outside comes later. */
	room = (u->state.mcr & MCR_LOOP) || !listens(u) ? 0 : fifo_bytes(u) - MIN((unsigned)u->state.rx_count, fifo_bytes(u));
	host_mutex_unlock(&u->lock);
	return room;
}

static void client_input(void *dev, const uint8_t *buf, size_t len)
{
	struct uart_16550 *u = dev;

	host_mutex_lock(&u->lock);
	for (size_t i = 0; i < len; i++)
		receive(u, buf[i]);
	uart_16550_update(u);
	host_mutex_unlock(&u->lock);
}

static void client_drained(void *dev)
{
	struct uart_16550 *u = dev;

	host_mutex_lock(&u->lock);
	if (u->state.tx_count)
		flush_tx(u);
	uart_16550_update(u);
	host_mutex_unlock(&u->lock);
}

/* ---- life ---- */

void uart_16550_init(struct uart_16550 *u, const struct uart_16550_config *config)
{
	*u = (struct uart_16550){ .config = *config };
	timer_init(&u->timeout, config->timers, uart_16550_timed_out, u);
	u->ports = (struct bus_region){
		.base = config->base, .len = UART_PORTS, .ops = &uart_16550_ops, .dev = u, .lock = &u->lock
	};
	u->client = (struct chardev_client){ .room = client_room, .input = client_input, .drained = client_drained, .dev = u };
	uart_16550_reset(u);
}

void uart_16550_fini(struct uart_16550 *u)
{
	if (u->timeout.service)
		timer_disarm(&u->timeout);
}

void uart_16550_reset(struct uart_16550 *u)
{
	host_mutex_lock(&u->lock);
	u->polls = 0;
	u->state = (struct uart_16550_state){ .dll = 12, .lsr = LSR_THRE | LSR_IDLE, .msr = MSR_CTS | MSR_DSR | MSR_DCD };
	timer_disarm(&u->timeout);
	uart_16550_update(u);
	host_mutex_unlock(&u->lock);
}

void uart_16550_get_state(struct uart_16550 *u, struct uart_16550_state *out)
{
	host_mutex_lock(&u->lock);
	*out = u->state;
	host_mutex_unlock(&u->lock);
}

enum lodge_err uart_16550_set_state(struct uart_16550 *u, const struct uart_16550_state *in)
{
	unsigned fifo = in->fcr & FCR_ENABLE ? UART_16550_FIFO : 1;

	if (in->rx_head >= UART_16550_FIFO || in->tx_head >= UART_16550_FIFO || in->rx_count > fifo || in->tx_count > fifo)
		return LODGE_ERR_FORMAT;
	if ((in->ier & 0xf0) || (in->mcr & 0xe0) || (in->fcr & ~0xc9) || in->thre_pending > 1 || in->timeout_pending > 1)
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&u->lock);
	u->state = *in;
	if (in->timeout_ns)
		timer_arm(&u->timeout, in->timeout_ns);
	else
		timer_disarm(&u->timeout);
	if (in->tx_count)
		flush_tx(u);
	uart_16550_update(u);
	host_mutex_unlock(&u->lock);
	return LODGE_OK;
}
