/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the event loop. vcpu threads arm and disarm them all the time, so
 * both are a heap operation under a short lock, and the kernel hears of it only
 * when the earliest deadline moves forward: a disarmed timer leaves the timerfd
 * as it is, and the wakeup then finds nothing due.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "host/linux/timer_heap.h"

/* ---- the heap; lock held ---- */

static void heap_place(struct timer_heap *h, uint32_t i, struct timer *t)
{
	h->heap[i] = t;
	t->heap_index = i;
}

static void heap_up(struct timer_heap *h, uint32_t i, struct timer *t)
{
	for (; i > 1 && h->heap[i / 2]->deadline_ns > t->deadline_ns; i /= 2)
		heap_place(h, i, h->heap[i / 2]);
	heap_place(h, i, t);
}

static void heap_down(struct timer_heap *h, uint32_t i, struct timer *t)
{
	for (;;) {
		uint32_t child = 2 * i;

		if (child < h->n && h->heap[child + 1]->deadline_ns < h->heap[child]->deadline_ns)
			child++;
		if (child > h->n || h->heap[child]->deadline_ns >= t->deadline_ns)
			break;
		heap_place(h, i, h->heap[child]);
		i = child;
	}
	heap_place(h, i, t);
}

static void heap_remove(struct timer_heap *h, struct timer *t)
{
	uint32_t i = t->heap_index;
	struct timer *last = h->heap[h->n--];

	t->heap_index = 0;
	if (last == t)
		return;
	if (i > 1 && h->heap[i / 2]->deadline_ns > last->deadline_ns)
		heap_up(h, i, last);
	else
		heap_down(h, i, last);
}

/* ---- the clock ---- */

static uint64_t clock_now(const struct timer_heap *h)
{
	uint64_t frozen = atomic_load_explicit(&h->frozen_ns, memory_order_acquire);

	return frozen ? frozen : host_clock_ns() - atomic_load_explicit(&h->offset_ns, memory_order_relaxed);
}

static bool clock_runs(const struct timer_heap *h)
{
	return !atomic_load_explicit(&h->frozen_ns, memory_order_relaxed);
}

/* Have timer_fd fire at @deadline_ns; lock held. */
static void timer_fd_program(struct timer_heap *h, uint64_t deadline_ns)
{
	uint64_t at = deadline_ns + atomic_load_explicit(&h->offset_ns, memory_order_relaxed);
	struct itimerspec spec = { 0 };

	h->programmed_ns = deadline_ns;
	if (deadline_ns != UINT64_MAX) {
		/* Zero would disarm, and a far deadline must not wrap. */
		at = at < deadline_ns ? INT64_MAX : MIN(MAX(at, UINT64_C(1)), (uint64_t)INT64_MAX);
		spec.it_value.tv_sec = (time_t)(at / 1000000000u);
		spec.it_value.tv_nsec = (long)(at % 1000000000u);
	}
	timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Program the earliest deadline if it is not covered; lock held. */
static void timer_fd_update(struct timer_heap *h)
{
	if (h->n && clock_runs(h) && h->heap[1]->deadline_ns < h->programmed_ns)
		timer_fd_program(h, h->heap[1]->deadline_ns);
}

/* ---- struct timer_service ---- */

static uint64_t service_now(void *ctx)
{
	return clock_now(ctx);
}

static void service_arm(void *ctx, struct timer *t, uint64_t deadline_ns)
{
	struct timer_heap *h = ctx;

	host_mutex_lock(&h->lock);
	if (t->heap_index)
		heap_remove(h, t);
	t->deadline_ns = MAX(deadline_ns, h->run_ns);
	if (h->n < EVENT_TIMERS_MAX) {
		heap_up(h, ++h->n, t);
		timer_fd_update(h);
	}
	host_mutex_unlock(&h->lock);
}

static void service_disarm(void *ctx, struct timer *t)
{
	struct timer_heap *h = ctx;

	host_mutex_lock(&h->lock);
	if (t->heap_index)
		heap_remove(h, t);
	host_mutex_unlock(&h->lock);
}

/* ---- the loop's side ---- */

/* Take the first timer off if it is due. */
static bool timer_take_due(struct timer_heap *h, uint64_t now, timer_fn **fn, void **fn_ctx)
{
	bool due;

	host_mutex_lock(&h->lock);
	due = h->n && clock_runs(h) && h->heap[1]->deadline_ns <= now;
	if (due) {
		struct timer *t = h->heap[1];

		heap_remove(h, t);
		*fn = t->fn;
		*fn_ctx = t->fn_ctx;
	}
	host_mutex_unlock(&h->lock);
	return due;
}

void timer_heap_run(struct timer_heap *h)
{
	uint64_t now = clock_now(h), expirations;
	timer_fn *fn;
	void *fn_ctx;

	if (read(h->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return;
	host_mutex_lock(&h->lock);
	h->programmed_ns = UINT64_MAX;
	h->run_ns = now + 1;
	host_mutex_unlock(&h->lock);
	while (timer_take_due(h, now, &fn, &fn_ctx))
		fn(fn_ctx);
	host_mutex_lock(&h->lock);
	timer_fd_update(h);
	host_mutex_unlock(&h->lock);
}

void timer_heap_clock_stop(struct timer_heap *h)
{
	host_mutex_lock(&h->lock);
	if (clock_runs(h)) {
		atomic_store_explicit(&h->frozen_ns, clock_now(h), memory_order_release);
		timer_fd_program(h, UINT64_MAX);
	}
	host_mutex_unlock(&h->lock);
}

void timer_heap_clock_start(struct timer_heap *h)
{
	host_mutex_lock(&h->lock);
	if (!clock_runs(h)) {
		uint64_t frozen = atomic_load_explicit(&h->frozen_ns, memory_order_relaxed);

		atomic_store_explicit(&h->offset_ns, host_clock_ns() - frozen, memory_order_relaxed);
		atomic_store_explicit(&h->frozen_ns, 0, memory_order_release);
		timer_fd_update(h);
	}
	host_mutex_unlock(&h->lock);
}

uint64_t timer_heap_clock_to_host(const struct timer_heap *h, uint64_t deadline_ns)
{
	uint64_t at = deadline_ns + atomic_load_explicit(&h->offset_ns, memory_order_relaxed);

	return !clock_runs(h) || at < deadline_ns ? UINT64_MAX : at;
}

enum lodge_err timer_heap_init(struct timer_heap *h, struct lodge_error *err)
{
	h->service = (struct timer_service){ .now = service_now, .arm = service_arm, .disarm = service_disarm, .ctx = h };
	h->programmed_ns = UINT64_MAX;
	h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (h->timer_fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create a timer (see 'ulimit -n')");
	return LODGE_OK;
}

void timer_heap_fini(struct timer_heap *h)
{
	if (h->timer_fd >= 0)
		close(h->timer_fd);
	h->timer_fd = -1;
}
