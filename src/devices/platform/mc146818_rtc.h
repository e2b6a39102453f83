/* SPDX-License-Identifier: Apache-2.0 */
/* MC146818 real-time clock and 128 bytes of CMOS memory at ports 70h and 71h, with what PC firmware keeps in it. */
#ifndef LODGE_DEVICES_PLATFORM_MC146818_RTC_H
#define LODGE_DEVICES_PLATFORM_MC146818_RTC_H

#include "devices/device.h"

#define MC146818_CMOS_BYTES 128
#define MC146818_STATE_VERSION 1u

struct mc146818_state {
	uint8_t cmos[MC146818_CMOS_BYTES]; /* time bytes live only while the clock is stopped (SET, divider reset) */
	int64_t offset_ns;                 /* guest's time minus the host's wall clock */
	uint64_t periodic_ns;              /* VM clock: next periodic interrupt, 0: off */
	uint64_t seen_second;              /* guest second up to which update and alarm were looked at */
	uint8_t index;
	uint8_t irq;
	uint8_t pad[6];
};

struct mc146818_config {
	struct irq_line irq; /* 8 */
	const struct timer_service *timers;
	uint64_t (*wallclock_ns)(void *ctx); /* UTC since 1970; NULL: host_wallclock_ns() */
	void *wallclock_ctx;
	uint64_t ram_below_4g, ram_above_4g; /* bytes, for the memory-size bytes */
	unsigned vcpus;
};

struct mc146818 {
	struct host_mutex lock;
	struct mc146818_config config;
	struct mc146818_state state; /* guarded by lock */
	struct timer timer;
	struct bus_region ports;
};

void mc146818_init(struct mc146818 *rtc, const struct mc146818_config *config);
void mc146818_fini(struct mc146818 *rtc);
/* Time goes on; memory-size bytes are written again. */
void mc146818_reset(struct mc146818 *rtc);
void mc146818_get_state(struct mc146818 *rtc, struct mc146818_state *out);
enum lodge_err mc146818_set_state(struct mc146818 *rtc, const struct mc146818_state *in) LODGE_MUST_CHECK;

#endif
