/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254. A channel is the moment when its count was loaded; what it holds now is
 * computed when somebody asks. Channel 0's wire gets one rising edge where the
 * output would rise; it is low again when the count is reloaded.
 */
#include "devices/timer/i8254_pit.h"

#include "devices/byte_access.h"
#include "devices/timer/clock_math.h"

#define CONTROL 3u
#define ACCESS_LATCH 0u
#define ACCESS_LOW 1u
#define ACCESS_HIGH 2u
#define ACCESS_BOTH 3u
#define READBACK_NO_COUNT 0x20u
#define READBACK_NO_STATUS 0x10u

static enum bus_result i8254_access(void *dev, struct bus_access *access);
static const struct bus_ops i8254_ops = { .access = i8254_access };

static uint64_t channel_elapsed(const struct i8254_channel_state *c, uint64_t now)
{
	if (c->stopped)
		return c->frozen;
	return now > c->start_ns ? ticks_from_ns(now - c->start_ns, I8254_HZ) : 0;
}

static uint16_t to_bcd(uint32_t v)
{
	v %= 10000;
	return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

/* Nibbles above nine make no decimal number: at most the largest count then. */
static uint32_t from_bcd(uint16_t v)
{
	uint32_t sum = (v >> 12 & 0xfu) * 1000 + (v >> 8 & 0xfu) * 100 + (v >> 4 & 0xfu) * 10 + (v & 0xfu);

	return MIN(sum, 10000u);
}

static uint16_t channel_count(const struct i8254_channel_state *c, uint64_t now)
{
	uint32_t whole = c->bcd ? 10000 : 65536, value;
	uint64_t elapsed = channel_elapsed(c, now);

	if (!c->running)
		value = c->count;
	else if (c->mode == 2)
		value = c->count - (uint32_t)(elapsed % c->count);
	else if (c->mode == 3)
		value = c->count - (uint32_t)(elapsed * 2 % c->count); /* counts by two */
	else
		value = (c->count + whole - (uint32_t)(elapsed % whole)) % whole;
	return c->bcd ? to_bcd(value) : (uint16_t)value;
}

static bool channel_out(const struct i8254_channel_state *c, uint64_t now)
{
	uint64_t elapsed = channel_elapsed(c, now);

	switch (c->mode) {
	case 0: return c->running && elapsed >= c->count;
	case 1: return !c->running || elapsed >= c->count;
	case 2: return !c->running || c->stopped || elapsed % c->count != c->count - 1;
	case 3: return !c->running || c->stopped || elapsed % c->count < (c->count + 1) / 2;
	default: return !c->running || elapsed != c->count; /* 4, 5: one tick low */
	}
}

/* When channel 0's output rises next after @now; 0: never. */
static uint64_t channel_next_edge(const struct i8254_channel_state *c, uint64_t now)
{
	uint64_t elapsed = channel_elapsed(c, now), edge;

	if (!c->running)
		return 0;
	if (c->mode == 2 || c->mode == 3)
		edge = (elapsed / c->count + 1) * c->count;
	else
		edge = c->mode == 0 ? c->count : c->count + 1;
	if (edge <= elapsed)
		return 0;
	return MAX(ns_add(c->start_ns, ns_from_ticks(edge, I8254_HZ)), UINT64_C(1));
}

static void i8254_arm(struct i8254 *pit, uint64_t not_before)
{
	struct i8254_state *s = &pit->state;

	s->irq_ns = channel_next_edge(&s->channel[0], timer_now(&pit->timer));
	if (!s->irq_ns) {
		timer_disarm(&pit->timer);
		return;
	}
	s->irq_ns = MAX(s->irq_ns, not_before);
	timer_arm(&pit->timer, s->irq_ns);
}

static void i8254_fired(void *ctx)
{
	struct i8254 *pit = ctx;
	struct i8254_state *s = &pit->state;
	uint64_t now;

	host_mutex_lock(&pit->lock);
	now = timer_now(&pit->timer);
	if (s->irq_ns && now < s->irq_ns) {
		timer_arm(&pit->timer, s->irq_ns);
	} else if (s->irq_ns) {
		irq_line_set(&pit->config.irq, false);
		irq_line_set(&pit->config.irq, true);
		i8254_arm(pit, now + TIMER_PERIOD_MIN_NS);
	}
	host_mutex_unlock(&pit->lock);
}

/* ---- programming; lock held ---- */

static void channel_load(struct i8254 *pit, unsigned index, uint16_t value)
{
	struct i8254_channel_state *c = &pit->state.channel[index];
	uint32_t count = c->bcd ? from_bcd(value) : value;

	c->count = count ? count : c->bcd ? 10000 : 65536;
	c->loaded = 1;
	if (c->mode != 1 && c->mode != 5) { /* those wait for the gate */
		c->start_ns = timer_now(&pit->timer);
		c->frozen = 0;
		c->stopped = !c->gate;
		c->running = 1;
	}
	if (index == 0) {
		irq_line_set(&pit->config.irq, false);
		i8254_arm(pit, 0);
	}
}

static void channel_write(struct i8254 *pit, unsigned index, uint8_t value)
{
	struct i8254_channel_state *c = &pit->state.channel[index];

	if (c->access == ACCESS_LOW) {
		channel_load(pit, index, value);
	} else if (c->access == ACCESS_HIGH) {
		channel_load(pit, index, (uint16_t)(value << 8));
	} else if (c->write_high_next) {
		c->write_high_next = 0;
		channel_load(pit, index, (uint16_t)(value << 8 | c->write_low));
	} else {
		c->write_low = value;
		c->write_high_next = 1;
		if (c->mode == 0) { /* the first byte stops it */
			c->running = 0;
			if (index == 0)
				i8254_arm(pit, 0);
		}
	}
}

static uint8_t channel_read(struct i8254 *pit, unsigned index)
{
	struct i8254_channel_state *c = &pit->state.channel[index];
	uint16_t value;

	if (c->status_latched) {
		c->status_latched = 0;
		return c->latched_status;
	}
	if (c->latch_bytes) {
		bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->latch_bytes == 1);

		c->latch_bytes--;
		return (uint8_t)(c->latch >> (high ? 8 : 0));
	}
	value = channel_count(c, timer_now(&pit->timer));
	if (c->access == ACCESS_LOW)
		return (uint8_t)value;
	if (c->access == ACCESS_HIGH)
		return (uint8_t)(value >> 8);
	c->read_high_next = !c->read_high_next;
	return (uint8_t)(value >> (c->read_high_next ? 0 : 8));
}

static void channel_latch(struct i8254 *pit, struct i8254_channel_state *c)
{
	if (c->latch_bytes)
		return; /* the first latch holds until it is read */
	c->latch = channel_count(c, timer_now(&pit->timer));
	c->latch_bytes = c->access == ACCESS_BOTH ? 2 : 1;
}

static void channel_latch_status(struct i8254 *pit, struct i8254_channel_state *c)
{
	if (c->status_latched)
		return;
	c->latched_status = (uint8_t)(channel_out(c, timer_now(&pit->timer)) << 7 | !c->loaded << 6 | c->access << 4 |
				      c->mode << 1 | c->bcd);
	c->status_latched = 1;
}

static void i8254_read_back(struct i8254 *pit, uint8_t value)
{
	for (unsigned i = 0; i < 3; i++) {
		if (!(value >> (i + 1) & 1))
			continue;
		if (!(value & READBACK_NO_COUNT))
			channel_latch(pit, &pit->state.channel[i]);
		if (!(value & READBACK_NO_STATUS))
			channel_latch_status(pit, &pit->state.channel[i]);
	}
}

static void i8254_write_control(struct i8254 *pit, uint8_t value)
{
	unsigned index = value >> 6;
	struct i8254_channel_state *c;
	uint8_t mode = value >> 1 & 7;

	if (index == 3) {
		i8254_read_back(pit, value);
		return;
	}
	c = &pit->state.channel[index];
	if ((value >> 4 & 3) == ACCESS_LATCH) {
		channel_latch(pit, c);
		return;
	}
	*c = (struct i8254_channel_state){
		.count = c->count,
		.mode = mode > 5 ? mode & 3 : mode,
		.access = value >> 4 & 3,
		.bcd = value & 1,
		.gate = c->gate,
		.start_ns = c->start_ns,
	};
	c->count = MIN(c->count, c->bcd ? 10000u : 65536u);
	if (index == 0) {
		irq_line_set(&pit->config.irq, false);
		i8254_arm(pit, 0);
	}
}

static uint8_t i8254_read(void *dev, unsigned offset)
{
	return offset == CONTROL ? 0xff : channel_read(dev, offset);
}

static void i8254_write(void *dev, unsigned offset, uint8_t value)
{
	if (offset == CONTROL)
		i8254_write_control(dev, value);
	else
		channel_write(dev, offset, value);
}

static enum bus_result i8254_access(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, i8254_read, i8254_write);
}

/* ---- channel 2 and port 61h ---- */

void i8254_set_gate2(struct i8254 *pit, bool level)
{
	struct i8254_channel_state *c = &pit->state.channel[2];
	uint64_t now;

	host_mutex_lock(&pit->lock);
	now = timer_now(&pit->timer);
	if (c->gate != level) {
		uint64_t elapsed = channel_elapsed(c, now);

		c->gate = level;
		if (c->mode == 1 || c->mode == 5) {
			if (level && c->loaded) {
				c->running = 1;
				c->start_ns = now;
			}
		} else if (!level) {
			c->frozen = elapsed;
			c->stopped = 1;
		} else {
			uint64_t done_ns = c->mode == 0 || c->mode == 4 ? ns_from_ticks(c->frozen, I8254_HZ) : 0;

			c->start_ns = now - MIN(done_ns, now);
			c->stopped = 0;
		}
	}
	host_mutex_unlock(&pit->lock);
}

bool i8254_out2(struct i8254 *pit)
{
	bool out;

	host_mutex_lock(&pit->lock);
	out = channel_out(&pit->state.channel[2], timer_now(&pit->timer));
	host_mutex_unlock(&pit->lock);
	return out;
}

/* ---- life ---- */

void i8254_init(struct i8254 *pit, const struct i8254_config *config)
{
	*pit = (struct i8254){ .config = *config };
	timer_init(&pit->timer, config->timers, i8254_fired, pit);
	pit->ports = (struct bus_region){ .base = 0x40, .len = 4, .ops = &i8254_ops, .dev = pit, .lock = &pit->lock };
	i8254_reset(pit);
}

void i8254_fini(struct i8254 *pit)
{
	if (pit->timer.service)
		timer_disarm(&pit->timer);
}

void i8254_reset(struct i8254 *pit)
{
	host_mutex_lock(&pit->lock);
	pit->state = (struct i8254_state){ .irq_ns = 0 };
	for (unsigned i = 0; i < 3; i++)
		pit->state.channel[i] =
			(struct i8254_channel_state){ .count = 65536, .mode = 3, .access = ACCESS_BOTH, .gate = i != 2 };
	timer_disarm(&pit->timer);
	irq_line_set(&pit->config.irq, false);
	host_mutex_unlock(&pit->lock);
}

void i8254_get_state(struct i8254 *pit, struct i8254_state *out)
{
	host_mutex_lock(&pit->lock);
	*out = pit->state;
	host_mutex_unlock(&pit->lock);
}

static bool channel_state_ok(const struct i8254_channel_state *c)
{
	return c->count >= 1 && c->count <= (c->bcd ? 10000u : 65536u) && c->mode <= 5 && c->access >= 1 && c->access <= 3 &&
	       c->bcd < 2 && c->gate < 2 && c->running < 2 && c->loaded < 2 && c->write_high_next < 2 && c->read_high_next < 2 &&
	       c->latch_bytes < 3 && c->status_latched < 2 && c->stopped < 2;
}

enum lodge_err i8254_set_state(struct i8254 *pit, const struct i8254_state *in)
{
	for (unsigned i = 0; i < 3; i++)
		if (!channel_state_ok(&in->channel[i]))
			return LODGE_ERR_FORMAT;
	host_mutex_lock(&pit->lock);
	pit->state = *in;
	if (in->irq_ns)
		timer_arm(&pit->timer, in->irq_ns);
	else
		timer_disarm(&pit->timer);
	host_mutex_unlock(&pit->lock);
	return LODGE_OK;
}
