/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IO-APIC. Polarity bits are kept but mean nothing: wires carry "asserted".
 * An edge on a masked input is lost, as in the 82093AA; a level waits.
 */
#include "devices/irq/ioapic.h"

#define REG_SELECT 0x00u
#define REG_WINDOW 0x10u
#define REG_EOI 0x40u
#define IOAPIC_PAGE_BYTES 4096u

#define INDEX_ID 0u
#define INDEX_VERSION 1u
#define INDEX_ARBITRATION 2u
#define INDEX_REDIR 0x10u
#define VERSION (0x20u | (IOAPIC_PINS - 1u) << 16)

#define REDIR_LOGICAL 0x800u
#define REDIR_STATUS 0x1000u
#define REDIR_REMOTE_IRR 0x4000u
#define REDIR_LEVEL 0x8000u
#define REDIR_MASKED 0x10000u
#define REDIR_READ_ONLY (REDIR_STATUS | REDIR_REMOTE_IRR)
#define REDIR_WRITABLE (UINT64_C(0xff0000000001ffff) & ~(uint64_t)REDIR_READ_ONLY)

static enum bus_result ioapic_access(void *dev, struct bus_access *access);
static const struct bus_ops ioapic_ops = { .access = ioapic_access };

static bool ioapic_send(struct ioapic *io, unsigned pin)
{
	uint64_t redir = io->state.redir[pin];
	struct apic_message message = {
		.dest = (uint32_t)(redir >> 56),
		.delivery = redir >> 8 & 7,
		.vector = (uint8_t)redir,
		.logical = redir & REDIR_LOGICAL,
		.level = redir & REDIR_LEVEL,
	};

	return apic_send(&io->config.sink, &message);
}

/* A level-triggered input that is asserted, unmasked and not in service goes out. */
static void ioapic_service_level(struct ioapic *io, unsigned pin)
{
	uint64_t *redir = &io->state.redir[pin];

	if ((*redir & (REDIR_LEVEL | REDIR_MASKED | REDIR_REMOTE_IRR)) != REDIR_LEVEL || !(io->state.level >> pin & 1))
		return;
	if (ioapic_send(io, pin))
		*redir |= REDIR_REMOTE_IRR;
}

void ioapic_set_pin(void *ctx, unsigned pin, bool level)
{
	struct ioapic *io = ctx;
	uint32_t bit, before;

	if (pin >= IOAPIC_PINS)
		return;
	bit = UINT32_C(1) << pin;
	host_mutex_lock(&io->lock);
	before = io->state.level;
	io->state.level = level ? before | bit : before & ~bit;
	if (level && !(before & bit)) {
		if (io->state.redir[pin] & REDIR_LEVEL)
			ioapic_service_level(io, pin);
		else if (!(io->state.redir[pin] & REDIR_MASKED))
			ioapic_send(io, pin);
	}
	host_mutex_unlock(&io->lock);
}

static void ioapic_end(struct ioapic *io, uint8_t vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *redir = &io->state.redir[pin];

		if ((uint8_t)*redir != vector || (*redir & (REDIR_LEVEL | REDIR_REMOTE_IRR)) != (REDIR_LEVEL | REDIR_REMOTE_IRR))
			continue;
		*redir &= ~(uint64_t)REDIR_REMOTE_IRR;
		ioapic_service_level(io, pin);
	}
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	host_mutex_lock(&io->lock);
	ioapic_end(io, vector);
	host_mutex_unlock(&io->lock);
}

static void ioapic_write_redir(struct ioapic *io, unsigned index, uint32_t value)
{
	unsigned pin = index / 2;
	uint64_t *redir = &io->state.redir[pin], next;

	if (index & 1)
		next = (*redir & UINT32_MAX) | (uint64_t)value << 32;
	else
		next = (*redir & ~(uint64_t)UINT32_MAX) | value;
	next = (next & REDIR_WRITABLE) | (*redir & REDIR_READ_ONLY);
	if (!(next & REDIR_LEVEL))
		next &= ~(uint64_t)REDIR_REMOTE_IRR; /* how a driver ends an interrupt without EOI register */
	*redir = next;
	ioapic_service_level(io, pin);
}

static void ioapic_write_window(struct ioapic *io, uint32_t value)
{
	unsigned index = io->state.select;

	if (index == INDEX_ID)
		io->state.id = value & 0x0f000000;
	else if (index >= INDEX_REDIR && index < INDEX_REDIR + 2 * IOAPIC_PINS)
		ioapic_write_redir(io, index - INDEX_REDIR, value);
}

static uint32_t ioapic_read_window(const struct ioapic *io)
{
	unsigned index = io->state.select;

	if (index == INDEX_ID || index == INDEX_ARBITRATION)
		return io->state.id;
	if (index == INDEX_VERSION)
		return VERSION;
	if (index >= INDEX_REDIR && index < INDEX_REDIR + 2 * IOAPIC_PINS)
		return (uint32_t)(io->state.redir[(index - INDEX_REDIR) / 2] >> (index & 1 ? 32 : 0));
	return 0;
}

static enum bus_result ioapic_access(void *dev, struct bus_access *access)
{
	struct ioapic *io = dev;

	if (access->is_write) {
		switch (access->offset) {
		case REG_SELECT: io->state.select = (uint8_t)access->value; return BUS_HANDLED;
		case REG_WINDOW:
			if (access->size >= 4)
				ioapic_write_window(io, (uint32_t)access->value);
			return BUS_HANDLED;
		case REG_EOI: ioapic_end(io, (uint8_t)access->value); return BUS_HANDLED;
		default: return BUS_UNHANDLED;
		}
	}
	switch (access->offset) {
	case REG_SELECT: access->value = io->state.select; return BUS_HANDLED;
	case REG_WINDOW: access->value = ioapic_read_window(io); return BUS_HANDLED;
	default: return BUS_UNHANDLED;
	}
}

void ioapic_init(struct ioapic *io, const struct ioapic_config *config)
{
	*io = (struct ioapic){ .config = *config };
	io->mmio = (struct bus_region){
		.base = config->base, .len = IOAPIC_PAGE_BYTES, .ops = &ioapic_ops, .dev = io, .lock = &io->lock
	};
	ioapic_reset(io);
}

void ioapic_fini(struct ioapic *io)
{
	io->config.sink = (struct apic_sink){ .deliver = NULL };
}

void ioapic_reset(struct ioapic *io)
{
	host_mutex_lock(&io->lock);
	io->state = (struct ioapic_state){ .level = 0 };
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->state.redir[pin] = REDIR_MASKED;
	host_mutex_unlock(&io->lock);
}

void ioapic_get_state(struct ioapic *io, struct ioapic_state *out)
{
	host_mutex_lock(&io->lock);
	*out = io->state;
	host_mutex_unlock(&io->lock);
}

enum lodge_err ioapic_set_state(struct ioapic *io, const struct ioapic_state *in)
{
	if ((in->id & ~0x0f000000u) || in->select > 0xff || in->level >> IOAPIC_PINS || in->pad)
		return LODGE_ERR_FORMAT;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (in->redir[pin] & ~(REDIR_WRITABLE | REDIR_REMOTE_IRR))
			return LODGE_ERR_FORMAT;
	host_mutex_lock(&io->lock);
	io->state = *in;
	host_mutex_unlock(&io->lock);
	return LODGE_OK;
}
