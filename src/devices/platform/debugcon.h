/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware debug console: bytes written to port 402h go to a stream; reads give e9h, so that firmware finds it. */
#ifndef LODGE_DEVICES_PLATFORM_DEBUGCON_H
#define LODGE_DEVICES_PLATFORM_DEBUGCON_H

#include "devices/device.h"

#define DEBUGCON_PORT 0x402u

struct debugcon_config {
	uint16_t port; /* 0: DEBUGCON_PORT */
	struct chardev out; /* bytes that it does not take are lost */
};

struct debugcon {
	struct host_mutex lock;
	struct debugcon_config config;
	struct bus_region port;
};

void debugcon_init(struct debugcon *d, const struct debugcon_config *config);

#endif
