/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O thread's loop: descriptors, timers, and calls handed over from other
 * threads. All callbacks run on the thread that is in event_loop_run(). Hosted
 * code only; devices see struct timer_service.
 */
#ifndef LODGE_HOST_EVENT_LOOP_H
#define LODGE_HOST_EVENT_LOOP_H

#include <stdatomic.h>
#include "base/error.h"
#include "devices/device.h"

struct event_loop;

enum { EVENT_READ = 1, EVENT_WRITE = 2, EVENT_HANGUP = 4 /* reported unasked */ };

/* @events that happened; a hang-up goes on until the watch is removed. */
typedef void event_watch_fn(void *ctx, unsigned events);

/* Owned by the caller; stays put while added. */
struct event_watch {
	int fd;
	event_watch_fn *fn;
	void *ctx;
	/* the loop's own */
	unsigned events;
	bool added, always_ready;
	struct event_watch *next;
};

enum lodge_err event_loop_create(struct event_loop **out, struct lodge_error *err) LODGE_MUST_CHECK;
void event_loop_destroy(struct event_loop *loop); /* NULL is fine; not while it runs */

/* Run callbacks until event_loop_stop(); a stop before the run ends it at once. May be run again. */
enum lodge_err event_loop_run(struct event_loop *loop, struct lodge_error *err) LODGE_MUST_CHECK;

/* Any thread, and signal handlers. */
void event_loop_stop(struct event_loop *loop);

/*
 * Watch a descriptor. On the loop's thread or while it does not run. Files that
 * are always ready (regular ones) work too. After event_watch_remove() the
 * callback is not called again.
 */
enum lodge_err event_watch_add(struct event_loop *loop, struct event_watch *w, unsigned events,
				struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err event_watch_change(struct event_loop *loop, struct event_watch *w, unsigned events,
				struct lodge_error *err) LODGE_MUST_CHECK;
void event_watch_remove(struct event_loop *loop, struct event_watch *w); /* fine if not added */

/* Any thread. Calls run in the order of posting. */
void event_loop_post(struct event_loop *loop, struct event_post *post);
/* Take a queued call back, on the loop's thread or while it does not run. */
void event_loop_post_cancel(struct event_loop *loop, struct event_post *post);
/* The same for devices; valid while the loop lives. */
struct post_service event_loop_posts(struct event_loop *loop);

/* ---- timers ---- */

#define EVENT_TIMERS_MAX 4096 /* armed at once; a timer beyond it does not fire */

/* The loop's timers on the VM's clock; valid while the loop lives. */
const struct timer_service *event_loop_timers(struct event_loop *loop);

/*
 * Stop and restart the VM's clock: it stands still and no timer fires. It runs
 * when the loop is created. One caller at a time.
 */
void event_loop_clock_stop(struct event_loop *loop);
void event_loop_clock_start(struct event_loop *loop);

/*
 * When, on host_clock_ns()'s scale, the clock will show @deadline_ns
 * (UINT64_MAX while it is stopped); for vcpus that sleep until a timer.
 */
uint64_t event_loop_clock_to_host(struct event_loop *loop, uint64_t deadline_ns);

#endif
