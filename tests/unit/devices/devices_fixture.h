/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's surroundings for one device: a clock that only the test moves, wires and events that are remembered. */
#ifndef LODGE_TESTS_DEVICES_FIXTURE_H
#define LODGE_TESTS_DEVICES_FIXTURE_H

#include "unit.h"

#include <string.h>
#include "devices/device.h"

#define FAKE_TIMERS 32
#define FAKE_PINS 32
#define FAKE_EVENTS 16

struct fake {
	uint64_t now_ns;
	struct timer *timers[FAKE_TIMERS];
	unsigned ntimers;
	unsigned long fired;
	struct timer_service service;

	bool level[FAKE_PINS];
	unsigned long rises[FAKE_PINS];

	unsigned nevents;
	enum machine_event events[FAKE_EVENTS];
	uint32_t values[FAKE_EVENTS];
};

static uint64_t fake_now(void *ctx)
{
	return ((struct fake *)ctx)->now_ns;
}

static void fake_disarm(void *ctx, struct timer *t)
{
	struct fake *f = ctx;

	for (unsigned i = 0; i < f->ntimers; i++)
		if (f->timers[i] == t)
			f->timers[i--] = f->timers[--f->ntimers];
}

static void fake_arm(void *ctx, struct timer *t, uint64_t deadline_ns)
{
	struct fake *f = ctx;

	fake_disarm(f, t);
	t->deadline_ns = deadline_ns;
	assert_true(f->ntimers < FAKE_TIMERS);
	f->timers[f->ntimers++] = t;
}

static inline void fake_init(struct fake *f)
{
	*f = (struct fake){ .now_ns = 1000000000 };
	f->service = (struct timer_service){ .now = fake_now, .arm = fake_arm, .disarm = fake_disarm, .ctx = f };
}

/* Let time pass; timers fire in order, at their own moments. */
static inline void fake_advance(struct fake *f, uint64_t ns)
{
	uint64_t end = f->now_ns + ns;

	for (;;) {
		struct timer *next = NULL;

		for (unsigned i = 0; i < f->ntimers; i++)
			if (f->timers[i]->deadline_ns <= end && (!next || f->timers[i]->deadline_ns < next->deadline_ns))
				next = f->timers[i];
		if (!next)
			break;
		if (next->deadline_ns > f->now_ns)
			f->now_ns = next->deadline_ns;
		fake_disarm(f, next);
		f->fired++;
		next->fn(next->fn_ctx);
	}
	f->now_ns = end;
}

static inline void fake_set_pin(void *ctx, unsigned pin, bool level)
{
	struct fake *f = ctx;

	assert_true(pin < FAKE_PINS);
	f->rises[pin] += level && !f->level[pin];
	f->level[pin] = level;
}

static inline struct irq_line fake_line(struct fake *f, unsigned pin)
{
	return (struct irq_line){ .set = fake_set_pin, .ctx = f, .pin = pin };
}

static inline void fake_raise(void *ctx, enum machine_event event, uint32_t value)
{
	struct fake *f = ctx;

	f->events[f->nevents % FAKE_EVENTS] = event;
	f->values[f->nevents % FAKE_EVENTS] = value;
	f->nevents++;
}

static inline struct machine_events fake_events(struct fake *f)
{
	return (struct machine_events){ .raise = fake_raise, .ctx = f };
}

/* A small generator, so that every run is the same. */
static inline uint64_t fake_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
