/* SPDX-License-Identifier: Apache-2.0 */
/* The chipset's single ports. */
#include "devices/platform/system_ports.h"

#include "devices/byte_access.h"

#define PORT61_GATE2 0x01u
#define PORT61_WRITABLE 0x0fu
#define PORT61_REFRESH 0x10u
#define PORT61_OUT2 0x20u
#define REFRESH_NS 15085u

#define PORT92_RESET 0x01u
#define PORT92_A20 0x02u

#define CF9_HARD 0x02u
#define CF9_CPU 0x04u /* its rising edge resets */
#define CF9_FULL 0x08u

enum { SYSTEM_61, SYSTEM_80, SYSTEM_92, SYSTEM_ED, SYSTEM_F0 };

static void system_ports_raise_reset(struct system_ports *sp)
{
	if (sp->config.events.raise)
		sp->config.events.raise(sp->config.events.ctx, MACHINE_RESET, 0);
}

static uint8_t port61_read(void *dev, unsigned offset)
{
	const struct system_ports *sp = dev;
	const struct system_ports_config *c = &sp->config;
	unsigned value = sp->state.port61;

	(void)offset;
	if (c->timers && c->timers->now(c->timers->ctx) / REFRESH_NS & 1)
		value |= PORT61_REFRESH;
	if (c->out2 && c->out2(c->pit))
		value |= PORT61_OUT2;
	return (uint8_t)value;
}

static void port61_write(void *dev, unsigned offset, uint8_t value)
{
	struct system_ports *sp = dev;

	(void)offset;
	sp->state.port61 = value & PORT61_WRITABLE;
	if (sp->config.set_gate2)
		sp->config.set_gate2(sp->config.pit, value & PORT61_GATE2);
}

static uint8_t port80_read(void *dev, unsigned offset)
{
	const struct system_ports *sp = dev;

	(void)offset;
	return sp->state.post_code;
}

static void port80_write(void *dev, unsigned offset, uint8_t value)
{
	struct system_ports *sp = dev;

	(void)offset;
	sp->state.post_code = value;
}

static uint8_t port92_read(void *dev, unsigned offset)
{
	const struct system_ports *sp = dev;

	(void)offset;
	return sp->state.port92;
}

static void port92_write(void *dev, unsigned offset, uint8_t value)
{
	struct system_ports *sp = dev;
	bool a20_changed = (sp->state.port92 ^ value) & PORT92_A20;

	(void)offset;
	sp->state.port92 = value & PORT92_A20;
	if (a20_changed && sp->config.a20_set)
		sp->config.a20_set(sp->config.ctx, value & PORT92_A20);
	if (value & PORT92_RESET)
		system_ports_raise_reset(sp);
}

static uint8_t nobody_read(void *dev, unsigned offset)
{
	(void)dev;
	(void)offset;
	return 0xff;
}

static void nobody_write(void *dev, unsigned offset, uint8_t value)
{
	(void)dev;
	(void)offset;
	(void)value;
}

static enum bus_result access_61(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, port61_read, port61_write);
}
static enum bus_result access_80(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, port80_read, port80_write);
}
static enum bus_result access_92(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, port92_read, port92_write);
}
static enum bus_result access_nobody(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, nobody_read, nobody_write);
}

static const struct bus_ops ops_61 = { .access = access_61 };
static const struct bus_ops ops_80 = { .access = access_80 };
static const struct bus_ops ops_92 = { .access = access_92 };
static const struct bus_ops ops_nobody = { .access = access_nobody };

uint8_t system_ports_cf9_read(void *ctx)
{
	struct system_ports *sp = ctx;
	uint8_t value;

	host_mutex_lock(&sp->lock);
	value = sp->state.reset_control;
	host_mutex_unlock(&sp->lock);
	return value;
}

void system_ports_cf9_write(void *ctx, uint8_t value)
{
	struct system_ports *sp = ctx;

	host_mutex_lock(&sp->lock);
	if ((value & CF9_CPU) && !(sp->state.reset_control & CF9_CPU))
		system_ports_raise_reset(sp);
	sp->state.reset_control = value & (CF9_HARD | CF9_CPU | CF9_FULL);
	host_mutex_unlock(&sp->lock);
}

static void add_port(struct system_ports *sp, unsigned index, uint64_t base, uint64_t len, const struct bus_ops *ops)
{
	sp->ports[index] = (struct bus_region){ .base = base, .len = len, .ops = ops, .dev = sp, .lock = &sp->lock };
}

void system_ports_init(struct system_ports *sp, const struct system_ports_config *config)
{
	*sp = (struct system_ports){ .config = *config };
	add_port(sp, SYSTEM_61, 0x61, 1, &ops_61);
	add_port(sp, SYSTEM_80, 0x80, 1, &ops_80);
	add_port(sp, SYSTEM_92, 0x92, 1, &ops_92);
	add_port(sp, SYSTEM_ED, 0xed, 1, &ops_nobody);
	add_port(sp, SYSTEM_F0, 0xf0, 2, &ops_nobody);
	system_ports_reset(sp);
}

void system_ports_fini(struct system_ports *sp)
{
	sp->config = (struct system_ports_config){ .timers = NULL };
}

void system_ports_reset(struct system_ports *sp)
{
	host_mutex_lock(&sp->lock);
	sp->state = (struct system_ports_state){ .port92 = PORT92_A20 };
	if (sp->config.a20_set)
		sp->config.a20_set(sp->config.ctx, true);
	host_mutex_unlock(&sp->lock);
}

void system_ports_get_state(struct system_ports *sp, struct system_ports_state *out)
{
	host_mutex_lock(&sp->lock);
	*out = sp->state;
	host_mutex_unlock(&sp->lock);
}

enum lodge_err system_ports_set_state(struct system_ports *sp, const struct system_ports_state *in)
{
	if ((in->port61 & ~PORT61_WRITABLE) || (in->port92 & ~PORT92_A20) ||
	    (in->reset_control & ~(CF9_HARD | CF9_CPU | CF9_FULL)))
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&sp->lock);
	sp->state = *in;
	host_mutex_unlock(&sp->lock);
	return LODGE_OK;
}
