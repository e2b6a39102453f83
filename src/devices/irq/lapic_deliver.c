/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between local APICs: who is meant, how it is handed over, and the interrupt command register. */
#include "devices/irq/lapic_internal.h"

#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

void lapic_bus_init(struct lapic_bus *bus)
{
	*bus = (struct lapic_bus){ .n = 0 };
}

enum lodge_err lapic_bus_add(struct lapic_bus *bus, struct lapic *l)
{
	if (bus->n == LAPIC_BUS_MAX)
		return LODGE_ERR_RANGE;
	bus->lapics[bus->n++] = l;
	l->bus = bus;
	return LODGE_OK;
}

void lapic_ask(struct lapic *l, enum lapic_request what, uint32_t arg)
{
	if (l->config.request)
		l->config.request(l->config.ctx, l->config.id, what, arg);
}

/* Logical destinations. A LAPIC in x2APIC mode has a fixed logical id: cluster (id / 16), bit (id % 16). */
static bool lapic_matches_logical(uint32_t id, uint32_t match, uint32_t dest)
{
	uint32_t ldr = match & MATCH_LDR;

	if (match & MATCH_X2APIC)
		return dest >> 16 == id >> 4 && (dest >> (id & 15) & 1);
	if (dest > 0xff)
		return false;
	if (match & MATCH_FLAT)
		return ldr & dest;
	return dest >> 4 == ldr >> 4 && (dest & ldr & 0xf);
}

static bool lapic_matches(const struct lapic *l, const struct apic_message *message)
{
	uint32_t match = atomic_load_explicit(&l->match, memory_order_acquire);

	if (!(match & MATCH_ENABLED))
		return false;
	if (message->dest == (message->wide ? UINT32_MAX : 0xffu))
		return true;
	if (!message->logical)
		return message->dest == l->config.id;
	return lapic_matches_logical(l->config.id, match, message->dest);
}

static bool lapic_take_fixed(struct lapic *l, uint8_t vector, bool level)
{
	if (!(atomic_load_explicit(&l->match, memory_order_acquire) & MATCH_SOFT_ENABLED))
		return false;
	if (vector < VECTOR_MIN)
		atomic_fetch_or(&l->pending_errors, ESR_RECEIVE_ILLEGAL);
	else
		atomic_fetch_or(level ? &l->pending_level[vector / 32] : &l->pending_edge[vector / 32], UINT32_C(1)
														<< (vector % 32));
	atomic_store(&l->incoming, 1);
	lapic_ask(l, LAPIC_REQ_INTR, 0);
	return true;
}

bool lapic_take(struct lapic *l, const struct apic_message *message)
{
	switch ((enum apic_delivery)message->delivery) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return lapic_take_fixed(l, message->vector, message->level);
	case APIC_NMI:
		lapic_ask(l, LAPIC_REQ_NMI, 0);
		return true;
	case APIC_INIT:
		lapic_ask(l, LAPIC_REQ_INIT, 0);
		return true;
	case APIC_SIPI:
		lapic_ask(l, LAPIC_REQ_SIPI, message->vector);
		return true;
	case APIC_SMI:         /* there is no SMM */
	case APIC_REMOTE_READ: /* gone since the Pentium 4 */
	case APIC_EXTINT:      /* by message: no 8259 answers behind this path */
		return false;
	}
	return false;
}

/* Among the LAPICs meant, the one with the lowest task priority; equals take turns. */
static bool lapic_bus_deliver_lowest(struct lapic_bus *bus, const struct apic_message *message)
{
	unsigned first = bus->n ? atomic_fetch_add_explicit(&bus->turn, 1, memory_order_relaxed) % bus->n : 0;
	struct lapic *best = NULL;
	uint32_t best_priority = UINT32_MAX;

	for (unsigned i = 0; i < bus->n; i++) {
		struct lapic *l = bus->lapics[(first + i) % bus->n];
		uint32_t match = atomic_load_explicit(&l->match, memory_order_acquire);

		if (!lapic_matches(l, message) || !(match & MATCH_SOFT_ENABLED) || match >> MATCH_PRIORITY_SHIFT >= best_priority)
			continue;
		best = l;
		best_priority = match >> MATCH_PRIORITY_SHIFT;
	}
	return best && lapic_take(best, message);
}

bool lapic_bus_deliver(void *ctx, const struct apic_message *message)
{
	struct lapic_bus *bus = ctx;
	bool taken = false;

	if (message->delivery == APIC_LOWEST)
		return lapic_bus_deliver_lowest(bus, message);
	for (unsigned i = 0; i < bus->n; i++)
		if (lapic_matches(bus->lapics[i], message))
			taken |= lapic_take(bus->lapics[i], message);
	return taken;
}

/* Shorthands name every LAPIC that is switched on, whatever its ids. */
static void lapic_send_shorthand(struct lapic *l, const struct apic_message *message, unsigned shorthand)
{
	for (unsigned i = 0; i < l->bus->n; i++) {
		struct lapic *to = l->bus->lapics[i];

		if (shorthand == SHORTHAND_OTHERS && to == l)
			continue;
		if (atomic_load_explicit(&to->match, memory_order_acquire) & MATCH_ENABLED)
			lapic_take(to, message);
	}
}

void lapic_send_icr(struct lapic *l)
{
	uint32_t icr = l->state.icr_low;
	bool wide = lapic_is_x2apic(l);
	struct apic_message message = {
		.dest = wide ? l->state.icr_high : l->state.icr_high >> 24,
		.delivery = icr >> 8 & 7,
		.vector = (uint8_t)icr,
		.logical = icr & ICR_LOGICAL,
		.wide = wide,
	};

	/* An INIT level de-assert only synchronised arbitration ids, which nothing has any more. */
	if (message.delivery == APIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if ((message.delivery == APIC_FIXED || message.delivery == APIC_LOWEST) && message.vector < VECTOR_MIN) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	if (!l->bus)
		return;
	if (ICR_SHORTHAND(icr) == SHORTHAND_NONE)
		lapic_bus_deliver(l->bus, &message);
	else if (ICR_SHORTHAND(icr) == SHORTHAND_SELF)
		lapic_take(l, &message);
	else
		lapic_send_shorthand(l, &message, ICR_SHORTHAND(icr));
}

int64_t lapic_send_pv_ipi(struct lapic *l, uint64_t map_low, uint64_t map_high, uint32_t base, uint32_t icr)
{
	struct apic_message message = { .delivery = icr >> 8 & 7, .vector = (uint8_t)icr, .wide = true };
	int64_t taken = 0;

	if (ICR_SHORTHAND(icr) || (icr & ICR_LOGICAL) || (message.delivery != APIC_FIXED && message.delivery != APIC_NMI) ||
	    !l->bus)
		return -1;
	for (unsigned i = 0; i < l->bus->n; i++) {
		struct lapic *to = l->bus->lapics[i];
		uint64_t bit = (uint64_t)to->config.id - base;

		if (to->config.id < base || bit >= 128 || !((bit < 64 ? map_low >> bit : map_high >> (bit - 64)) & 1))
			continue;
		if (atomic_load_explicit(&to->match, memory_order_acquire) & MATCH_ENABLED)
			taken += lapic_take(to, &message);
	}
	return taken;
}

void lapic_set_lint0(struct lapic *l, bool level)
{
	uint32_t before = atomic_exchange(&l->lint0_level, level);

	if (!level || before)
		return;
	atomic_store(&l->lint0_edge, 1);
	atomic_store(&l->incoming, 1);
	lapic_ask(l, LAPIC_REQ_INTR, 0);
}

void lapic_pulse_lint1(struct lapic *l)
{
	atomic_store(&l->lint1_edge, 1);
	atomic_store(&l->incoming, 1);
	lapic_ask(l, LAPIC_REQ_INTR, 0);
}
