/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPET. A comparator value that is up to half the counter's range in the past
 * when it is written matches at once: a guest that computed it a little late
 * still gets its interrupt.
 */
#include "devices/timer/hpet.h"

#include "devices/timer/clock_math.h"

#define HPET_BYTES 0x400u
#define TICK_NS 10u
#define CAPABILITIES (UINT64_C(0x8086a201) | (uint64_t)TICK_NS * 1000000 << 32)

#define REG_CAPABILITIES 0x00u
#define REG_CONFIG 0x10u
#define REG_STATUS 0x20u
#define REG_COUNTER 0xf0u
#define REG_TIMERS 0x100u
#define TIMER_BYTES 0x20u

#define CONFIG_ENABLE UINT64_C(1)
#define CONFIG_LEGACY UINT64_C(2)

#define TIMER_LEVEL UINT64_C(0x2)
#define TIMER_INT UINT64_C(0x4)
#define TIMER_PERIODIC UINT64_C(0x8)
#define TIMER_PERIODIC_CAP UINT64_C(0x10)
#define TIMER_64BIT_CAP UINT64_C(0x20)
#define TIMER_SET_VALUE UINT64_C(0x40)
#define TIMER_32BIT UINT64_C(0x100)
#define TIMER_ROUTE(config) ((config) >> 9 & 0x1f)
#define TIMER_WRITABLE UINT64_C(0x3f4e)

static enum bus_result hpet_access(void *dev, struct bus_access *access);
static const struct bus_ops hpet_ops = { .access = hpet_access };

static uint64_t hpet_counter(const struct hpet *h)
{
	uint64_t now;

	if (!(h->state.config & CONFIG_ENABLE))
		return h->state.counter;
	now = timer_now(&h->comparator[0].timer);
	return h->state.counter + (now > h->state.start_ns ? (now - h->state.start_ns) / TICK_NS : 0);
}

static uint64_t timer_mask(const struct hpet_timer_state *t)
{
	return t->config & TIMER_32BIT ? UINT32_MAX : UINT64_MAX;
}

enum hpet_arming {
	ARM_FORWARD,  /* the next match, however far */
	ARM_LATE_OK,  /* a new comparator value that lies in the past matches at once */
	ARM_REPEATED, /* periodic: not too fast for the host */
};

static void hpet_arm(struct hpet *h, unsigned index, enum hpet_arming how)
{
	struct hpet_timer_state *t = &h->state.timer[index];
	struct timer *timer = &h->comparator[index].timer;
	uint64_t mask = timer_mask(t), left, ns;

	if (!(h->state.config & CONFIG_ENABLE) || !(t->config & TIMER_INT)) {
		t->due_ns = 0;
		timer_disarm(timer);
		return;
	}
	left = (t->comparator - hpet_counter(h)) & mask;
	if (how == ARM_LATE_OK && left > mask / 2)
		left = 0;
	if (__builtin_mul_overflow(left, (uint64_t)TICK_NS, &ns))
		ns = UINT64_MAX;
	if (how == ARM_REPEATED)
		ns = MAX(ns, TIMER_PERIOD_MIN_NS);
	t->due_ns = MAX(ns_add(timer_now(timer), ns), UINT64_C(1));
	timer_arm(timer, t->due_ns);
}

static struct irq_line hpet_route(const struct hpet *h, unsigned index)
{
	uint64_t route = TIMER_ROUTE(h->state.timer[index].config);

	if ((h->state.config & CONFIG_LEGACY) && index < 2)
		return h->config.legacy[index];
	return route < HPET_GSIS ? h->config.gsi[route] : (struct irq_line){ .set = NULL };
}

/* Let go of the wire, if a level-triggered interrupt holds one. */
static void hpet_release(struct hpet_comparator *c)
{
	irq_line_set(&c->driven, false);
	c->driven = (struct irq_line){ .set = NULL };
}

static void hpet_assert(struct hpet *h, unsigned index)
{
	struct hpet_comparator *c = &h->comparator[index];
	struct irq_line line = hpet_route(h, index);

	hpet_release(c);
	irq_line_set(&line, true);
	if (h->state.timer[index].config & TIMER_LEVEL) {
		h->state.status |= UINT64_C(1) << index;
		c->driven = line;
	} else {
		irq_line_set(&line, false);
	}
}

static void hpet_fired(void *ctx)
{
	struct hpet_comparator *c = ctx;
	struct hpet *h = c->hpet;
	struct hpet_timer_state *t = &h->state.timer[c->index];

	host_mutex_lock(&h->lock);
	if (!t->due_ns)
		goto out;
	if (timer_now(&c->timer) < t->due_ns) { /* the guest moved it meanwhile */
		timer_arm(&c->timer, t->due_ns);
		goto out;
	}
	t->due_ns = 0;
	hpet_assert(h, c->index);
	if ((t->config & TIMER_PERIODIC) && t->period) {
		uint64_t late = (hpet_counter(h) - t->comparator) & timer_mask(t);

		t->comparator = (t->comparator + (late / t->period + 1) * t->period) & timer_mask(t);
		hpet_arm(h, c->index, ARM_REPEATED);
	}
out:
	host_mutex_unlock(&h->lock);
}

/* ---- registers; lock held ---- */

static uint64_t merge(uint64_t old, uint64_t value, unsigned shift, unsigned size)
{
	uint64_t mask = size == 8 ? UINT64_MAX : (uint64_t)UINT32_MAX << shift;

	return (old & ~mask) | (value << shift & mask);
}

static void hpet_write_config(struct hpet *h, uint64_t value)
{
	struct hpet_state *s = &h->state;
	uint64_t before = s->config, counter = hpet_counter(h);

	s->counter = counter;
	s->start_ns = timer_now(&h->comparator[0].timer);
	s->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
	if (((before ^ s->config) & CONFIG_LEGACY) && h->config.legacy_changed)
		h->config.legacy_changed(h->config.ctx, s->config & CONFIG_LEGACY);
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		hpet_arm(h, i, ARM_FORWARD);
}

static void hpet_write_status(struct hpet *h, uint64_t value)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		if (value >> i & 1)
			hpet_release(&h->comparator[i]);
	h->state.status &= ~value;
}

static void hpet_write_counter(struct hpet *h, uint64_t value)
{
	if (!(h->state.config & CONFIG_ENABLE)) /* only while it is halted */
		h->state.counter = value;
}

static void hpet_write_timer_config(struct hpet *h, unsigned index, uint64_t value)
{
	struct hpet_timer_state *t = &h->state.timer[index];

	t->config = (value & TIMER_WRITABLE) | (t->config & ~TIMER_WRITABLE);
	if (!(t->config & TIMER_LEVEL) || !(t->config & TIMER_INT))
		hpet_release(&h->comparator[index]);
	if (t->config & TIMER_32BIT) {
		t->comparator &= UINT32_MAX;
		t->period &= UINT32_MAX;
	}
	hpet_arm(h, index, ARM_FORWARD);
}

/* In periodic mode a plain write sets the period; with SET_VALUE it sets the first match as well. */
static void hpet_write_comparator(struct hpet *h, unsigned index, uint64_t value, unsigned shift, unsigned size)
{
	struct hpet_timer_state *t = &h->state.timer[index];

	if ((t->config & TIMER_32BIT) && shift)
		return;
	if (!(t->config & TIMER_PERIODIC) || (t->config & TIMER_SET_VALUE))
		t->comparator = merge(t->comparator, value, shift, size) & timer_mask(t);
	if (t->config & TIMER_PERIODIC)
		t->period = merge(t->period, value, shift, size) & timer_mask(t);
	t->config &= ~TIMER_SET_VALUE;
	hpet_arm(h, index, ARM_LATE_OK);
}

static uint64_t hpet_read_register(const struct hpet *h, unsigned reg)
{
	const struct hpet_timer_state *t;

	switch (reg) {
	case REG_CAPABILITIES: return CAPABILITIES;
	case REG_CONFIG: return h->state.config;
	case REG_STATUS: return h->state.status;
	case REG_COUNTER: return hpet_counter(h);
	default: break;
	}
	if (reg < REG_TIMERS || reg >= REG_TIMERS + HPET_TIMERS * TIMER_BYTES)
		return 0;
	t = &h->state.timer[(reg - REG_TIMERS) / TIMER_BYTES];
	switch ((reg - REG_TIMERS) % TIMER_BYTES) {
	case 0x00: return t->config;
	case 0x08: return t->comparator;
	case 0x10: return t->fsb;
	default: return 0;
	}
}

static void hpet_write_register(struct hpet *h, unsigned reg, uint64_t value, unsigned shift, unsigned size)
{
	uint64_t merged = merge(hpet_read_register(h, reg), value, shift, size);
	unsigned index;

	switch (reg) {
	case REG_CONFIG: hpet_write_config(h, merged); return;
	case REG_STATUS: hpet_write_status(h, merge(0, value, shift, size)); return;
	case REG_COUNTER: hpet_write_counter(h, merged); return;
	default: break;
	}
	if (reg < REG_TIMERS || reg >= REG_TIMERS + HPET_TIMERS * TIMER_BYTES)
		return;
	index = (reg - REG_TIMERS) / TIMER_BYTES;
	switch ((reg - REG_TIMERS) % TIMER_BYTES) {
	case 0x00: hpet_write_timer_config(h, index, merged); return;
	case 0x08: hpet_write_comparator(h, index, value, shift, size); return;
	case 0x10: h->state.timer[index].fsb = merged; return;
	default: return;
	}
}

static enum bus_result hpet_access(void *dev, struct bus_access *access)
{
	struct hpet *h = dev;
	unsigned reg = (unsigned)access->offset & ~7u, shift = ((unsigned)access->offset & 4) * 8;

	if (access->size < 4 || access->offset % access->size)
		return BUS_UNHANDLED;
	if (access->is_write)
		hpet_write_register(h, reg, access->value, shift, access->size);
	else
		access->value = hpet_read_register(h, reg) >> shift;
	return BUS_HANDLED;
}

/* ---- life ---- */

void hpet_init(struct hpet *h, const struct hpet_config *config)
{
	*h = (struct hpet){ .config = *config };
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		h->comparator[i].hpet = h;
		h->comparator[i].index = i;
		timer_init(&h->comparator[i].timer, config->timers, hpet_fired, &h->comparator[i]);
	}
	h->mmio = (struct bus_region){ .base = config->base, .len = HPET_BYTES, .ops = &hpet_ops, .dev = h, .lock = &h->lock };
	hpet_reset(h);
}

void hpet_fini(struct hpet *h)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		if (h->comparator[i].timer.service)
			timer_disarm(&h->comparator[i].timer);
}

static uint64_t hpet_timer_capabilities(const struct hpet *h)
{
	uint64_t caps = TIMER_PERIODIC_CAP | TIMER_64BIT_CAP;

	for (unsigned gsi = 0; gsi < HPET_GSIS; gsi++)
		if (h->config.gsi[gsi].set)
			caps |= UINT64_C(1) << (32 + gsi);
	return caps;
}

void hpet_reset(struct hpet *h)
{
	host_mutex_lock(&h->lock);
	if ((h->state.config & CONFIG_LEGACY) && h->config.legacy_changed)
		h->config.legacy_changed(h->config.ctx, false);
	h->state = (struct hpet_state){ .config = 0 };
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		hpet_release(&h->comparator[i]);
		timer_disarm(&h->comparator[i].timer);
		h->state.timer[i].config = hpet_timer_capabilities(h);
		h->state.timer[i].comparator = UINT64_MAX;
	}
	host_mutex_unlock(&h->lock);
}

void hpet_get_state(struct hpet *h, struct hpet_state *out)
{
	host_mutex_lock(&h->lock);
	*out = h->state;
	host_mutex_unlock(&h->lock);
}

enum lodge_err hpet_set_state(struct hpet *h, const struct hpet_state *in)
{
	uint64_t caps = hpet_timer_capabilities(h);

	if ((in->config & ~(CONFIG_ENABLE | CONFIG_LEGACY)) || in->status >> HPET_TIMERS)
		return LODGE_ERR_FORMAT;
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		const struct hpet_timer_state *t = &in->timer[i];

		if ((t->config & ~TIMER_WRITABLE) != caps || (t->comparator & ~timer_mask(t)) || (t->period & ~timer_mask(t)))
			return LODGE_ERR_FORMAT;
	}
	host_mutex_lock(&h->lock);
	h->state = *in;
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		hpet_release(&h->comparator[i]);
		if (in->status >> i & 1) {
			h->comparator[i].driven = hpet_route(h, i);
			irq_line_set(&h->comparator[i].driven, true);
		}
		if (in->timer[i].due_ns)
			timer_arm(&h->comparator[i].timer, in->timer[i].due_ns);
		else
			timer_disarm(&h->comparator[i].timer);
	}
	host_mutex_unlock(&h->lock);
	return LODGE_OK;
}
