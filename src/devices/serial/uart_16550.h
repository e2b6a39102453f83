/* SPDX-License-Identifier: Apache-2.0 */
/* 16550A serial port: FIFOs of 16 bytes, modem lines wired to a terminal that is always ready, loopback. */
#ifndef LODGE_DEVICES_SERIAL_UART_16550_H
#define LODGE_DEVICES_SERIAL_UART_16550_H

#include "devices/device.h"

#define UART_16550_FIFO 16
#define UART_16550_STATE_VERSION 1u

struct uart_16550_state {
	uint8_t rx[UART_16550_FIFO], tx[UART_16550_FIFO];
	uint8_t rx_head, rx_count, tx_head, tx_count;
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scratch;
	uint8_t dll, dlm;
	uint8_t thre_pending;    /* THRE interrupt not yet acknowledged */
	uint8_t timeout_pending; /* characters wait below the trigger level for four character times */
	uint8_t pad[3];
	uint64_t timeout_ns;     /* VM clock, 0: not running */
};

struct uart_16550_config {
	uint16_t base;
	struct irq_line irq;
	struct chardev out;
	const struct timer_service *timers;
};

struct uart_16550 {
	struct host_mutex lock;
	struct uart_16550_config config;
	struct uart_16550_state state; /* guarded by lock */
	struct timer timeout;
	struct bus_region ports;
	struct chardev_client client;  /* for the stream's owner */
	unsigned polls;                /* of an idle line status in a row; guarded by lock */
};

void uart_16550_init(struct uart_16550 *u, const struct uart_16550_config *config);
void uart_16550_fini(struct uart_16550 *u);
void uart_16550_reset(struct uart_16550 *u);
void uart_16550_get_state(struct uart_16550 *u, struct uart_16550_state *out);
enum lodge_err uart_16550_set_state(struct uart_16550 *u, const struct uart_16550_state *in) LODGE_MUST_CHECK;

#endif
