/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042 keyboard controller at ports 60h and 64h, with a keyboard that answers
 * and no keys, no mouse; A20 and the reset line.
 */
#ifndef LODGE_DEVICES_PLATFORM_I8042_H
#define LODGE_DEVICES_PLATFORM_I8042_H

#include "devices/device.h"

#define I8042_QUEUE 16
#define I8042_RAM 32
#define I8042_STATE_VERSION 1u

struct i8042_state {
	uint8_t ram[I8042_RAM];      /* [0] is the command byte */
	uint8_t queue[I8042_QUEUE];  /* bytes for port 60h */
	uint16_t from_aux;           /* which of them came from the mouse port */
	uint8_t head, count;
	uint8_t pending;             /* controller command that waits for its data byte, 0: none */
	uint8_t keyboard_pending;    /* keyboard command that waits for its argument */
	uint8_t output_port;
	uint8_t last_was_command;
	uint8_t last_out;
	uint8_t scan_set;
	uint8_t scanning;
	uint8_t pad[5];
};

struct i8042_config {
	struct irq_line keyboard_irq, mouse_irq; /* 1, 12 */
	struct machine_events events;
	void (*a20_set)(void *ctx, bool on); /* may be NULL; under the device's lock */
	void *ctx;
};

struct i8042 {
	struct host_mutex lock;
	struct i8042_config config;
	struct i8042_state state; /* guarded by lock */
	struct bus_region ports[2];
};

void i8042_init(struct i8042 *kbc, const struct i8042_config *config);
void i8042_fini(struct i8042 *kbc);
void i8042_reset(struct i8042 *kbc);
void i8042_get_state(struct i8042 *kbc, struct i8042_state *out);
enum lodge_err i8042_set_state(struct i8042 *kbc, const struct i8042_state *in) LODGE_MUST_CHECK;

#endif
