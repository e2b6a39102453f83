/* SPDX-License-Identifier: Apache-2.0 */
/* 8254 interval timer: three channels at 1.193182 MHz; 0 drives IRQ 0, 2 the speaker through port 61h. */
#ifndef LODGE_DEVICES_TIMER_I8254_PIT_H
#define LODGE_DEVICES_TIMER_I8254_PIT_H

#include "devices/device.h"

#define I8254_HZ 1193182u
#define I8254_STATE_VERSION 1u

struct i8254_channel_state {
	uint64_t start_ns;  /* VM clock: when the present count was loaded (or the gate started it) */
	uint64_t frozen;    /* ticks elapsed when the gate stopped counting */
	uint32_t count;     /* 1..65536 (10000 in BCD) */
	uint8_t mode;       /* 0..5 */
	uint8_t access;     /* 1 low byte, 2 high byte, 3 both */
	uint8_t bcd;
	uint8_t gate;
	uint8_t running;    /* a count was loaded, and in modes 1 and 5 the gate triggered it */
	uint8_t loaded;     /* 0: null count */
	uint8_t write_low;  /* first byte of a 16-bit write, while write_high_next */
	uint8_t write_high_next, read_high_next;
	uint8_t latch_bytes, status_latched, latched_status;
	uint16_t latch;
	uint8_t stopped;    /* gate low: elapsed is in frozen */
	uint8_t pad[5];
};

struct i8254_state {
	struct i8254_channel_state channel[3];
	uint64_t irq_ns; /* when channel 0's output changes next, 0: never */
};

struct i8254_config {
	struct irq_line irq;
	const struct timer_service *timers;
};

struct i8254 {
	struct host_mutex lock;
	struct i8254_config config;
	struct i8254_state state; /* guarded by lock */
	struct timer timer;
	struct bus_region ports;  /* 40h..43h */
};

void i8254_init(struct i8254 *pit, const struct i8254_config *config);
void i8254_fini(struct i8254 *pit);
void i8254_reset(struct i8254 *pit);
/* Port 61h's side of channel 2. Any thread. */
void i8254_set_gate2(struct i8254 *pit, bool level);
bool i8254_out2(struct i8254 *pit);
void i8254_get_state(struct i8254 *pit, struct i8254_state *out);
enum lodge_err i8254_set_state(struct i8254 *pit, const struct i8254_state *in) LODGE_MUST_CHECK;

#endif
