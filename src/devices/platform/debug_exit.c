/* SPDX-License-Identifier: Apache-2.0 */
/* Debug exit port. */
#include "devices/platform/debug_exit.h"

static enum bus_result debug_exit_access(void *dev, struct bus_access *access)
{
	const struct debug_exit *d = dev;

	if (!access->is_write) {
		access->value = 0;
		return BUS_HANDLED;
	}
	if (d->config.events.raise)
		d->config.events.raise(d->config.events.ctx, MACHINE_DEBUG_EXIT, (uint32_t)access->value << 1 | 1);
	return BUS_HANDLED;
}

static const struct bus_ops debug_exit_ops = { .access = debug_exit_access };

void debug_exit_init(struct debug_exit *d, const struct debug_exit_config *config)
{
	*d = (struct debug_exit){ .config = *config };
	d->port = (struct bus_region){
		.base = config->port ? config->port : DEBUG_EXIT_PORT, .len = 4, .ops = &debug_exit_ops, .dev = d
	};
}
