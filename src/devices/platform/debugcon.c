/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware debug console. */
#include "devices/platform/debugcon.h"

#include "devices/byte_access.h"

#define PRESENT 0xe9u

static uint8_t debugcon_read(void *dev, unsigned offset)
{
	(void)dev;
	(void)offset;
	return PRESENT;
}

static void debugcon_write(void *dev, unsigned offset, uint8_t value)
{
	struct debugcon *d = dev;

	(void)offset;
	if (d->config.out.write)
		(void)d->config.out.write(d->config.out.ctx, &value, 1);
}

static enum bus_result debugcon_access(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, debugcon_read, debugcon_write);
}

static const struct bus_ops debugcon_ops = { .access = debugcon_access };

void debugcon_init(struct debugcon *d, const struct debugcon_config *config)
{
	*d = (struct debugcon){ .config = *config };
	d->port = (struct bus_region){
		.base = config->port ? config->port : DEBUGCON_PORT, .len = 1, .ops = &debugcon_ops, .dev = d, .lock = &d->lock,
	};
}
