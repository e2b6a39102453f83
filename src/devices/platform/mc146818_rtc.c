/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818. While the clock runs, time is the host's wall clock plus an
 * offset, and the time bytes in cmos[] mean nothing; while it is stopped (SET,
 * or divider held), they are the time. Flags are brought up to date when
 * somebody looks, and a timer runs only for interrupts that are enabled and
 * not yet pending.
 */
#include "devices/platform/mc146818_rtc.h"

#include "devices/byte_access.h"
#include "devices/platform/rtc_calendar.h"
#include "devices/timer/clock_math.h"

enum {
	REG_SECONDS = 0x00,
	REG_SECONDS_ALARM = 0x01,
	REG_MINUTES = 0x02,
	REG_MINUTES_ALARM = 0x03,
	REG_HOURS = 0x04,
	REG_HOURS_ALARM = 0x05,
	REG_WEEKDAY = 0x06,
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	REG_EQUIPMENT = 0x14,
	REG_BASE_MEMORY = 0x15,
	REG_EXTENDED_MEMORY = 0x17,
	REG_CHECKSUMMED = 0x10,
	REG_CHECKSUM = 0x2e,
	REG_EXTENDED_MEMORY_2 = 0x30,
	REG_CENTURY = 0x32,
	REG_MEMORY_ABOVE_16M = 0x34,
	REG_MEMORY_ABOVE_4G = 0x5b,
	REG_PROCESSORS = 0x5f,
};

#define A_UPDATING 0x80u
#define A_DIVIDER(a) ((a) & 0x70u)
#define A_DIVIDER_RUN 0x20u
#define A_RATE(a) ((a) & 0x0fu)
#define A_RESET 0x26u /* 32768 Hz, 1024 Hz */
#define B_SET 0x80u
#define B_BINARY 0x04u
#define B_24H 0x02u
#define C_IRQ 0x80u
#define C_PERIODIC 0x40u
#define C_ALARM 0x20u
#define C_UPDATE 0x10u
#define C_SOURCES 0x70u
#define D_VALID 0x80u
#define ALARM_ANY 0xc0u /* both top bits: matches every value */
#define HOUR_PM 0x80u
#define UPDATE_NS 244000u /* the update-in-progress bit rises this long before */
#define DAY_SECONDS 86400u

static enum bus_result mc146818_access(void *dev, struct bus_access *access);
static const struct bus_ops mc146818_ops = { .access = mc146818_access };

/* ---- time ---- */

static bool is_running(const struct mc146818 *rtc)
{
	return !(rtc->state.cmos[REG_B] & B_SET) && A_DIVIDER(rtc->state.cmos[REG_A]) == A_DIVIDER_RUN;
}

/* The guest's time in nanoseconds since 1970. */
static uint64_t guest_ns(const struct mc146818 *rtc)
{
	const struct mc146818_config *c = &rtc->config;
	uint64_t wall = c->wallclock_ns ? c->wallclock_ns(c->wallclock_ctx) : host_wallclock_ns();

	return wall + (uint64_t)rtc->state.offset_ns;
}

static uint8_t encode(const struct mc146818 *rtc, unsigned v)
{
	return (uint8_t)(rtc->state.cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *rtc, uint8_t v)
{
	return rtc->state.cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 0xfu);
}

static uint8_t encode_hour(const struct mc146818 *rtc, unsigned hour)
{
	if (rtc->state.cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct mc146818 *rtc, uint8_t v)
{
	if (rtc->state.cmos[REG_B] & B_24H)
		return decode(rtc, v);
	return decode(rtc, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Time bytes from the running clock. */
static void load_time_bytes(const struct mc146818 *rtc, uint8_t *cmos)
{
	struct rtc_date d = rtc_date_from_seconds(guest_ns(rtc) / NS_PER_SECOND);

	cmos[REG_SECONDS] = encode(rtc, d.second);
	cmos[REG_MINUTES] = encode(rtc, d.minute);
	cmos[REG_HOURS] = encode_hour(rtc, d.hour);
	cmos[REG_WEEKDAY] = encode(rtc, d.weekday + 1);
	cmos[REG_DAY] = encode(rtc, d.day);
	cmos[REG_MONTH] = encode(rtc, d.month);
	cmos[REG_YEAR] = encode(rtc, d.year % 100);
	cmos[REG_CENTURY] = encode(rtc, d.year / 100);
}

/* The clock goes on from the time bytes, @sub_ns into the second. */
static void start_from_time_bytes(struct mc146818 *rtc, uint64_t sub_ns)
{
	const uint8_t *cmos = rtc->state.cmos;
	struct rtc_date d = {
		.second = decode(rtc, cmos[REG_SECONDS]),
		.minute = decode(rtc, cmos[REG_MINUTES]),
		.hour = decode_hour(rtc, cmos[REG_HOURS]),
		.day = decode(rtc, cmos[REG_DAY]),
		.month = decode(rtc, cmos[REG_MONTH]),
		.year = decode(rtc, cmos[REG_CENTURY]) * 100 + decode(rtc, cmos[REG_YEAR]),
	};
	uint64_t now = guest_ns(rtc) - (uint64_t)rtc->state.offset_ns;

	rtc->state.offset_ns = (int64_t)(rtc_date_to_seconds(&d) * NS_PER_SECOND + sub_ns - now);
	rtc->state.seen_second = guest_ns(rtc) / NS_PER_SECOND;
}

/* ---- flags and interrupts ---- */

static bool alarm_field_matches(const struct mc146818 *rtc, unsigned reg, uint8_t value)
{
	return (rtc->state.cmos[reg] & ALARM_ANY) == ALARM_ANY || rtc->state.cmos[reg] == value;
}

static bool alarm_matches(const struct mc146818 *rtc, unsigned second_of_day)
{
	return alarm_field_matches(rtc, REG_SECONDS_ALARM, encode(rtc, second_of_day % 60)) &&
	       alarm_field_matches(rtc, REG_MINUTES_ALARM, encode(rtc, second_of_day / 60 % 60)) &&
	       alarm_field_matches(rtc, REG_HOURS_ALARM, encode_hour(rtc, second_of_day / 3600));
}

static uint64_t period_ns(const struct mc146818 *rtc)
{
	unsigned rate = A_RATE(rtc->state.cmos[REG_A]);

	if (!rate || A_DIVIDER(rtc->state.cmos[REG_A]) > A_DIVIDER_RUN)
		return 0;
	if (rate < 3)
		rate += 7;
	return (NS_PER_SECOND << (rate - 1)) / 32768;
}

static void update_seconds(struct mc146818 *rtc)
{
	struct mc146818_state *s = &rtc->state;
	uint64_t second, steps;

	if (!is_running(rtc))
		return;
	second = guest_ns(rtc) / NS_PER_SECOND;
	if (second == s->seen_second)
		return;
	s->cmos[REG_C] |= C_UPDATE;
	/* A jump of the host's clock, back or by a day and more, is looked at as one day. */
	steps = second > s->seen_second ? MIN(second - s->seen_second, (uint64_t)DAY_SECONDS) : 1;
	for (uint64_t i = 0; i < steps && !(s->cmos[REG_C] & C_ALARM); i++)
		if (alarm_matches(rtc, (unsigned)((second - i) % DAY_SECONDS)))
			s->cmos[REG_C] |= C_ALARM;
	s->seen_second = second;
}

static void update_periodic(struct mc146818 *rtc)
{
	struct mc146818_state *s = &rtc->state;
	uint64_t now = timer_now(&rtc->timer), period = period_ns(rtc);

	if (!period) {
		s->periodic_ns = 0;
		return;
	}
	if (!s->periodic_ns) {
		s->periodic_ns = now + period;
	} else if (now >= s->periodic_ns) {
		s->cmos[REG_C] |= C_PERIODIC;
		s->periodic_ns += ((now - s->periodic_ns) / period + 1) * period;
	}
}

/* Bring flags and wire up to date, and arm for the next interrupt that can come. */
static void mc146818_update(struct mc146818 *rtc)
{
	struct mc146818_state *s = &rtc->state;
	uint8_t waiting;
	uint64_t next = UINT64_MAX, second_ns;

	update_seconds(rtc);
	update_periodic(rtc);
	if (s->cmos[REG_C] & s->cmos[REG_B] & C_SOURCES)
		s->cmos[REG_C] |= C_IRQ;
	else
		s->cmos[REG_C] &= (uint8_t)~C_IRQ;
	s->irq = s->cmos[REG_C] >> 7;
	irq_line_set(&rtc->config.irq, s->irq);

	/* While the wire is asserted nothing more can happen before REG_C is read. */
	waiting = s->irq ? 0 : s->cmos[REG_B] & C_SOURCES;
	if ((waiting & C_PERIODIC) && s->periodic_ns)
		next = s->periodic_ns;
	if ((waiting & (C_ALARM | C_UPDATE)) && is_running(rtc)) {
		second_ns = timer_now(&rtc->timer) + NS_PER_SECOND - guest_ns(rtc) % NS_PER_SECOND;
		next = MIN(next, second_ns);
	}
	if (next == UINT64_MAX)
		timer_disarm(&rtc->timer);
	else
		timer_arm(&rtc->timer, next);
}

static void mc146818_fired(void *ctx)
{
	struct mc146818 *rtc = ctx;

	host_mutex_lock(&rtc->lock);
	mc146818_update(rtc);
	host_mutex_unlock(&rtc->lock);
}

/* ---- registers; lock held ---- */

static bool is_time_byte(unsigned reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS || (reg >= REG_WEEKDAY && reg <= REG_YEAR) ||
	       reg == REG_CENTURY;
}

static uint8_t mc146818_read_register(struct mc146818 *rtc, unsigned reg)
{
	struct mc146818_state *s = &rtc->state;
	uint8_t now[MC146818_CMOS_BYTES], value;

	if (is_time_byte(reg) && is_running(rtc)) {
		load_time_bytes(rtc, now);
		return now[reg];
	}
	switch (reg) {
	case REG_A:
		if (is_running(rtc) && guest_ns(rtc) % NS_PER_SECOND >= NS_PER_SECOND - UPDATE_NS)
			return s->cmos[REG_A] | A_UPDATING;
		return s->cmos[REG_A];
	case REG_C:
		mc146818_update(rtc);
		value = s->cmos[REG_C];
		s->cmos[REG_C] = 0;
		mc146818_update(rtc);
		return value;
	case REG_D: return D_VALID;
	default: return s->cmos[reg];
	}
}

/* REG_A or REG_B changes whether the clock runs. */
static void mc146818_write_control(struct mc146818 *rtc, unsigned reg, uint8_t value)
{
	bool before = is_running(rtc);

	update_seconds(rtc);
	if (before)
		load_time_bytes(rtc, rtc->state.cmos);
	rtc->state.cmos[reg] = value;
	if (reg == REG_A)
		rtc->state.periodic_ns = 0; /* a new rate counts from now */
	if (!before && is_running(rtc))
		start_from_time_bytes(rtc, 0);
}

static void mc146818_write_register(struct mc146818 *rtc, unsigned reg, uint8_t value)
{
	struct mc146818_state *s = &rtc->state;
	uint64_t sub_ns;

	if (is_time_byte(reg) && is_running(rtc)) {
		sub_ns = guest_ns(rtc) % NS_PER_SECOND;
		load_time_bytes(rtc, s->cmos);
		s->cmos[reg] = value;
		if (reg != REG_WEEKDAY) /* which follows from the date */
			start_from_time_bytes(rtc, sub_ns);
		return;
	}
	switch (reg) {
	case REG_A: mc146818_write_control(rtc, reg, value & (uint8_t)~A_UPDATING); break;
	case REG_B: mc146818_write_control(rtc, reg, value); break;
	case REG_C:
	case REG_D: return;
	default: s->cmos[reg] = value; return;
	}
	mc146818_update(rtc);
}

static uint8_t mc146818_read(void *dev, unsigned offset)
{
	struct mc146818 *rtc = dev;

	return offset ? mc146818_read_register(rtc, rtc->state.index) : 0xff;
}

static void mc146818_write(void *dev, unsigned offset, uint8_t value)
{
	struct mc146818 *rtc = dev;

	if (offset)
		mc146818_write_register(rtc, rtc->state.index, value);
	else
		rtc->state.index = value & (MC146818_CMOS_BYTES - 1); /* the top bit masks NMI on a PC; here it does nothing */
}

static enum bus_result mc146818_access(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, mc146818_read, mc146818_write);
}

/* ---- life ---- */

static void store_le(uint8_t *cmos, unsigned reg, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		cmos[reg + i] = (uint8_t)(value >> (8 * i));
}

/* What a PC's firmware expects to find about memory: KiB above 1 MiB, and 64 KiB units above 16 MiB and 4 GiB. */
static void store_machine(struct mc146818 *rtc)
{
	const struct mc146818_config *c = &rtc->config;
	uint8_t *cmos = rtc->state.cmos;
	uint64_t above_1m = c->ram_below_4g > MIB(1) ? (c->ram_below_4g - MIB(1)) >> 10 : 0;
	uint64_t above_16m = c->ram_below_4g > MIB(16) ? (c->ram_below_4g - MIB(16)) >> 16 : 0;
	unsigned sum = 0;

	store_le(cmos, REG_BASE_MEMORY, 640, 2);
	store_le(cmos, REG_EXTENDED_MEMORY, MIN(above_1m, UINT64_C(0xffff)), 2);
	store_le(cmos, REG_EXTENDED_MEMORY_2, MIN(above_1m, UINT64_C(0xffff)), 2);
	store_le(cmos, REG_MEMORY_ABOVE_16M, MIN(above_16m, UINT64_C(0xffff)), 2);
	store_le(cmos, REG_MEMORY_ABOVE_4G, MIN(c->ram_above_4g >> 16, UINT64_C(0xffffff)), 3);
	cmos[REG_EQUIPMENT] = 0x02; /* coprocessor */
	cmos[REG_PROCESSORS] = (uint8_t)(c->vcpus ? c->vcpus - 1 : 0);
	for (unsigned i = REG_CHECKSUMMED; i < REG_CHECKSUM; i++)
		sum += cmos[i];
	cmos[REG_CHECKSUM] = (uint8_t)(sum >> 8);
	cmos[REG_CHECKSUM + 1] = (uint8_t)sum;
}

void mc146818_init(struct mc146818 *rtc, const struct mc146818_config *config)
{
	*rtc = (struct mc146818){ .config = *config };
	timer_init(&rtc->timer, config->timers, mc146818_fired, rtc);
	rtc->ports = (struct bus_region){ .base = 0x70, .len = 2, .ops = &mc146818_ops, .dev = rtc, .lock = &rtc->lock };
	rtc->state.cmos[REG_A] = A_RESET;
	rtc->state.cmos[REG_B] = B_24H;
	mc146818_reset(rtc);
}

void mc146818_fini(struct mc146818 *rtc)
{
	if (rtc->timer.service)
		timer_disarm(&rtc->timer);
}

void mc146818_reset(struct mc146818 *rtc)
{
	struct mc146818_state *s = &rtc->state;

	host_mutex_lock(&rtc->lock);
	if (!is_running(rtc)) {
		s->cmos[REG_A] = A_RESET;
		s->cmos[REG_B] &= (uint8_t)~B_SET;
		start_from_time_bytes(rtc, 0);
	}
	s->cmos[REG_A] = A_RESET;
	s->cmos[REG_B] &= B_BINARY | B_24H;
	s->cmos[REG_C] = 0;
	s->index = 0;
	s->periodic_ns = 0;
	s->seen_second = guest_ns(rtc) / NS_PER_SECOND;
	store_machine(rtc);
	mc146818_update(rtc);
	host_mutex_unlock(&rtc->lock);
}

void mc146818_get_state(struct mc146818 *rtc, struct mc146818_state *out)
{
	host_mutex_lock(&rtc->lock);
	*out = rtc->state;
	host_mutex_unlock(&rtc->lock);
}

enum lodge_err mc146818_set_state(struct mc146818 *rtc, const struct mc146818_state *in)
{
	if (in->index >= MC146818_CMOS_BYTES || in->irq > 1 || (in->cmos[REG_A] & A_UPDATING))
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&rtc->lock);
	rtc->state = *in;
	mc146818_update(rtc);
	host_mutex_unlock(&rtc->lock);
	return LODGE_OK;
}
