/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic: one port by which a guest says that it panicked. */
#ifndef LODGE_DEVICES_PLATFORM_PVPANIC_H
#define LODGE_DEVICES_PLATFORM_PVPANIC_H

#include "devices/device.h"

#define PVPANIC_PORT 0x505u

struct pvpanic_config {
	uint16_t port; /* 0: PVPANIC_PORT */
	struct machine_events events;
};

/* No state: the guest can only report. */
struct pvpanic {
	struct pvpanic_config config;
	struct bus_region port;
};

void pvpanic_init(struct pvpanic *p, const struct pvpanic_config *config);

#endif
