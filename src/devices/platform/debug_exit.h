/* SPDX-License-Identifier: Apache-2.0 */
/* Debug exit port: a test guest writes v and the VM ends with status (v << 1) | 1. */
#ifndef LODGE_DEVICES_PLATFORM_DEBUG_EXIT_H
#define LODGE_DEVICES_PLATFORM_DEBUG_EXIT_H

#include "devices/device.h"

#define DEBUG_EXIT_PORT 0xf4u

struct debug_exit_config {
	uint16_t port; /* 0: DEBUG_EXIT_PORT; four bytes wide */
	struct machine_events events;
};

struct debug_exit {
	struct debug_exit_config config;
	struct bus_region port;
};

void debug_exit_init(struct debug_exit *d, const struct debug_exit_config *config);

#endif
