/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259A interrupt controllers with the ELCR of later chipsets. Thread safe by its own lock. */
#ifndef LODGE_DEVICES_IRQ_I8259_H
#define LODGE_DEVICES_IRQ_I8259_H

#include "devices/device.h"

#define I8259_STATE_VERSION 1u

struct i8259_chip_state {
	uint8_t level;       /* inputs asserted now */
	uint8_t irr, imr, isr;
	uint8_t elcr;        /* 1: level triggered */
	uint8_t vector_base; /* ICW2, low three bits clear */
	uint8_t lowest;      /* line with the lowest priority; 7 without rotation */
	uint8_t init_step;   /* ICW expected next: 0 none, 2..4 */
	uint8_t icw4_needed, single;
	uint8_t auto_eoi, rotate_on_aeoi, special_mask, special_nested;
	uint8_t read_isr, poll;
};

struct i8259_state {
	struct i8259_chip_state chip[2]; /* master, slave */
};

struct i8259_config {
	struct irq_line output; /* INTR: to LINT0 of the BSP's local APIC; set under the pair's lock */
};

struct i8259 {
	struct host_mutex lock;
	struct i8259_config config;
	struct i8259_state state; /* guarded by lock */
	bool output;
	struct bus_region ports[3]; /* 20h, a0h, 4d0h */
};

void i8259_init(struct i8259 *pic, const struct i8259_config *config);
void i8259_fini(struct i8259 *pic);
void i8259_reset(struct i8259 *pic);
/* irq_line.set with the pair as ctx; pins 0..15. Any thread. */
void i8259_set_pin(void *pic, unsigned pin, bool level);
/* INTA: the vector of the interrupt taken; the spurious one if it has gone. */
uint8_t i8259_ack(struct i8259 *pic);
void i8259_get_state(struct i8259 *pic, struct i8259_state *out);
enum lodge_err i8259_set_state(struct i8259 *pic, const struct i8259_state *in) LODGE_MUST_CHECK;

#endif
