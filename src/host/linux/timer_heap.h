/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop's timers: a heap by deadline and a clock that can stand still. */
#ifndef LODGE_HOST_LINUX_TIMER_HEAP_H
#define LODGE_HOST_LINUX_TIMER_HEAP_H

#include <stdatomic.h>
#include "devices/device.h"
#include "host/event_loop.h"

struct timer_heap {
	struct timer_service service;
	int timer_fd;

	_Atomic uint64_t offset_ns; /* host_clock_ns() - the VM's clock */
	_Atomic uint64_t frozen_ns; /* the VM's clock while it stands still, 0: it runs */

	struct host_mutex lock; /* guards what follows, and every timer's deadline_ns and heap_index */
	uint64_t programmed_ns; /* when timer_fd fires, on the VM's clock; UINT64_MAX: never */
	uint64_t run_ns;        /* no timer is armed for less: one that is armed in the past over and over leaves others their turn */
	uint32_t n;
	struct timer *heap[EVENT_TIMERS_MAX + 1]; /* from 1; the earliest is first */
};

enum lodge_err timer_heap_init(struct timer_heap *h, struct lodge_error *err) LODGE_MUST_CHECK;
void timer_heap_fini(struct timer_heap *h);

/* timer_fd is readable: run what is due. I/O thread. */
void timer_heap_run(struct timer_heap *h);

void timer_heap_clock_stop(struct timer_heap *h);
void timer_heap_clock_start(struct timer_heap *h);
uint64_t timer_heap_clock_to_host(const struct timer_heap *h, uint64_t deadline_ns);

#endif
