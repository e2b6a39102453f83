/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's timer. The host timer only tells the vcpu that it should
 * look; whether the deadline passed is decided on the vcpu's thread, so that a
 * late callback for an old deadline does no harm. A periodic timer is armed
 * again only when the vcpu has looked: missed periods merge, as in hardware.
 */
#include "devices/irq/lapic_internal.h"
#include "devices/timer/clock_math.h"

#define KHZ_PER_GHZ UINT64_C(1000000)

static void lapic_timer_fired(void *ctx)
{
	struct lapic *l = ctx;

	atomic_store(&l->timer_fired, 1);
	atomic_store(&l->incoming, 1);
	lapic_ask(l, LAPIC_REQ_INTR, 0);
}

void lapic_timer_init(struct lapic *l)
{
	timer_init(&l->timer, l->config.timers, lapic_timer_fired, l);
}

static unsigned divide_shift(const struct lapic *l)
{
	uint32_t d = l->state.timer_divide;

	return ((d & 3) + (d >> 1 & 4) + 1) & 7;
}

/* At most 2^39 ticks, so that a product with a million fits. */
static uint64_t countdown_ns(const struct lapic *l)
{
	uint64_t ticks = (uint64_t)l->state.timer_initial << divide_shift(l);

	return MAX(ticks * KHZ_PER_GHZ / l->config.timer_khz, UINT64_C(1));
}

void lapic_timer_stop(struct lapic *l)
{
	l->state.timer_armed = 0;
	timer_disarm(&l->timer);
}

static void lapic_timer_arm(struct lapic *l, uint64_t deadline_ns)
{
	l->state.timer_armed = 1;
	l->state.timer_deadline_ns = deadline_ns;
	if (deadline_ns <= timer_now(&l->timer))
		lapic_timer_fired(l); /* saves the way over the I/O thread */
	else
		timer_arm(&l->timer, deadline_ns);
}

void lapic_timer_resume(struct lapic *l)
{
	if (l->state.timer_armed)
		lapic_timer_arm(l, l->state.timer_deadline_ns);
}

void lapic_timer_write_initial(struct lapic *l, uint32_t value)
{
	struct lapic_state *s = &l->state;

	if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		return;
	lapic_timer_stop(l);
	s->timer_initial = value;
	if (!value)
		return;
	s->timer_start_ns = timer_now(&l->timer);
	lapic_timer_arm(l, s->timer_start_ns + countdown_ns(l));
}

uint32_t lapic_timer_current(const struct lapic *l)
{
	const struct lapic_state *s = &l->state;
	uint64_t whole, elapsed, ticks;

	if (!s->timer_armed || !s->timer_initial || lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		return 0;
	whole = countdown_ns(l);
	elapsed = timer_now(&l->timer);
	elapsed = elapsed > s->timer_start_ns ? elapsed - s->timer_start_ns : 0;
	if (lapic_timer_mode(l) == LVT_TIMER_PERIODIC)
		elapsed %= whole;
	else if (elapsed >= whole)
		return 0;
	ticks = (elapsed * l->config.timer_khz / KHZ_PER_GHZ) >> divide_shift(l);
	return ticks >= s->timer_initial ? 0 : s->timer_initial - (uint32_t)ticks;
}

/* The count goes on from where it is, at the new speed. */
void lapic_timer_write_divide(struct lapic *l, uint32_t value)
{
	struct lapic_state *s = &l->state;
	uint64_t left = lapic_timer_current(l);
	uint64_t done_ns, now;

	s->timer_divide = value & 0xb;
	if (!s->timer_armed || lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		return;
	done_ns = ((uint64_t)(s->timer_initial - left) << divide_shift(l)) * KHZ_PER_GHZ / l->config.timer_khz;
	now = timer_now(&l->timer);
	s->timer_start_ns = now - MIN(done_ns, now);
	lapic_timer_arm(l, s->timer_start_ns + countdown_ns(l));
}

void lapic_timer_write_deadline(struct lapic *l, uint64_t tsc)
{
	if (lapic_timer_mode(l) != LVT_TIMER_DEADLINE)
		return;
	l->state.tsc_deadline = tsc;
	if (!tsc)
		lapic_timer_stop(l);
	else
		lapic_timer_arm(l, l->config.tsc_to_ns ? l->config.tsc_to_ns(l->config.ctx, l->config.id, tsc) : UINT64_MAX);
}

void lapic_timer_expire(struct lapic *l)
{
	struct lapic_state *s = &l->state;
	uint64_t now = timer_now(&l->timer), whole;

	if (!s->timer_armed)
		return;
	if (now < s->timer_deadline_ns) {
		timer_arm(&l->timer, s->timer_deadline_ns);
		return;
	}
	lapic_accept_local(l, s->lvt[LAPIC_LVT_TIMER]);
	s->timer_armed = 0;
	s->tsc_deadline = 0;
	if (lapic_timer_mode(l) != LVT_TIMER_PERIODIC)
		return;
	whole = countdown_ns(l);
	if (now > s->timer_start_ns)
		s->timer_start_ns += (now - s->timer_start_ns) / whole * whole;
	s->timer_armed = 1;
	s->timer_deadline_ns = whole < TIMER_PERIOD_MIN_NS ? now + TIMER_PERIOD_MIN_NS : s->timer_start_ns + whole;
	timer_arm(&l->timer, s->timer_deadline_ns);
}
