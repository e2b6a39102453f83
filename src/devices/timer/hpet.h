/* SPDX-License-Identifier: Apache-2.0 */
/* High precision event timer: 64-bit counter of 100 MHz, three comparators, legacy replacement routing. */
#ifndef LODGE_DEVICES_TIMER_HPET_H
#define LODGE_DEVICES_TIMER_HPET_H

#include "devices/device.h"

#define HPET_TIMERS 3
#define HPET_GSIS 24
#define HPET_STATE_VERSION 1u

struct hpet_timer_state {
	uint64_t config, comparator, period;
	uint64_t fsb;
	uint64_t due_ns; /* VM clock: next match, 0: none expected */
};

struct hpet_state {
	uint64_t config, status;
	uint64_t counter;    /* value while halted, or at start_ns */
	uint64_t start_ns;
	struct hpet_timer_state timer[HPET_TIMERS];
};

struct hpet_config {
	uint64_t base;
	struct irq_line gsi[HPET_GSIS];  /* wires that comparators may drive; routes without one are not offered */
	struct irq_line legacy[2];       /* legacy replacement: IRQ 0 (IO-APIC input 2) and IRQ 8 */
	/* Legacy replacement went on or off: the PIT and the RTC let go of their wires. May be NULL. */
	void (*legacy_changed)(void *ctx, bool on);
	void *ctx;
	const struct timer_service *timers;
};

struct hpet;
struct hpet_comparator {
	struct timer timer;
	struct hpet *hpet;
	unsigned index;
	struct irq_line driven; /* wire that it holds high now */
};

struct hpet {
	struct host_mutex lock;
	struct hpet_config config;
	struct hpet_state state; /* guarded by lock */
	struct hpet_comparator comparator[HPET_TIMERS];
	struct bus_region mmio;
};

void hpet_init(struct hpet *h, const struct hpet_config *config);
void hpet_fini(struct hpet *h);
void hpet_reset(struct hpet *h);
void hpet_get_state(struct hpet *h, struct hpet_state *out);
enum lodge_err hpet_set_state(struct hpet *h, const struct hpet_state *in) LODGE_MUST_CHECK;

#endif
