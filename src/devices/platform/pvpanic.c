/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic on a port. */
#include "devices/platform/pvpanic.h"

#define EVENT_PANICKED 1u
#define EVENT_CRASH_LOADED 2u

static enum bus_result pvpanic_access(void *dev, struct bus_access *access)
{
	const struct pvpanic *p = dev;

	if (!access->is_write) {
		access->value = EVENT_PANICKED | EVENT_CRASH_LOADED;
		return BUS_HANDLED;
	}
	if (!p->config.events.raise)
		return BUS_HANDLED;
	if (access->value & EVENT_PANICKED)
		p->config.events.raise(p->config.events.ctx, MACHINE_PANIC, 0);
	else if (access->value & EVENT_CRASH_LOADED)
		p->config.events.raise(p->config.events.ctx, MACHINE_PANIC_CRASH_LOADED, 0);
	return BUS_HANDLED;
}

static const struct bus_ops pvpanic_ops = { .access = pvpanic_access };

void pvpanic_init(struct pvpanic *p, const struct pvpanic_config *config)
{
	*p = (struct pvpanic){ .config = *config };
	p->port = (struct bus_region){
		.base = config->port ? config->port : PVPANIC_PORT, .len = 1, .ops = &pvpanic_ops, .dev = p
	};
}
