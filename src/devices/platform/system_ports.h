/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The odd ports of a PC chipset: 61h (speaker, refresh toggle), 92h (A20, fast
 * reset), 80h and edh (POST code and delay: writes are swallowed), f0h and f1h
 * (FPU error latch), cf9h (reset control; inside the PCI ports, so the PCI bus
 * passes it on).
 */
#ifndef LODGE_DEVICES_PLATFORM_SYSTEM_PORTS_H
#define LODGE_DEVICES_PLATFORM_SYSTEM_PORTS_H

#include "devices/device.h"

#define SYSTEM_PORTS_STATE_VERSION 1u

struct system_ports_state {
	uint8_t port61, port92, post_code, reset_control;
};

struct system_ports_config {
	void (*set_gate2)(void *ctx, bool level); /* to the PIT's channel 2 */
	bool (*out2)(void *ctx);
	void *pit;
	void (*a20_set)(void *ctx, bool on); /* may be NULL */
	void *ctx;
	struct machine_events events;
	const struct timer_service *timers; /* for the refresh toggle */
};

struct system_ports {
	struct host_mutex lock;
	struct system_ports_config config;
	struct system_ports_state state; /* guarded by lock */
	struct bus_region ports[5];      /* 61h, 80h, 92h, edh, f0h */
};

void system_ports_init(struct system_ports *sp, const struct system_ports_config *config);
void system_ports_fini(struct system_ports *sp);
void system_ports_reset(struct system_ports *sp);
/* pci_bus_config.cf9_*: with the ports as ctx. */
uint8_t system_ports_cf9_read(void *sp);
void system_ports_cf9_write(void *sp, uint8_t value);
void system_ports_get_state(struct system_ports *sp, struct system_ports_state *out);
enum lodge_err system_ports_set_state(struct system_ports *sp, const struct system_ports_state *in) LODGE_MUST_CHECK;

#endif
