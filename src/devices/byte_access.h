/* SPDX-License-Identifier: Apache-2.0 */
/* For chips with an 8-bit data bus: wider accesses reach them as several, lowest address first. */
#ifndef LODGE_DEVICES_BYTE_ACCESS_H
#define LODGE_DEVICES_BYTE_ACCESS_H

#include "devices/device.h"

static inline enum bus_result byte_access(void *dev, struct bus_access *access, uint8_t (*read)(void *dev, unsigned offset),
					  void (*write)(void *dev, unsigned offset, uint8_t value))
{
	uint64_t value = 0;

	for (unsigned i = 0; i < access->size; i++) {
		unsigned offset = (unsigned)access->offset + i;

		if (access->is_write)
			write(dev, offset, (uint8_t)(access->value >> (8 * i)));
		else
			value |= (uint64_t)read(dev, offset) << (8 * i);
	}
	if (!access->is_write)
		access->value = value;
	return BUS_HANDLED;
}

#endif
