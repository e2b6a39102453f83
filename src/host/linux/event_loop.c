/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O thread's loop on epoll. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "host/event_loop.h"
#include "host/host_ops.h"
#include "host/linux/timer_heap.h"

#define LOOP_BATCH 32

struct event_loop {
	int epoll_fd;
	_Atomic bool stop;
	struct event_watch wake; /* an eventfd: a post or a stop came in */
	struct event_watch timer;
	struct event_watch *always; /* watches that epoll does not take; loop thread only */
	struct epoll_event batch[LOOP_BATCH];
	int nbatch;

	struct host_mutex post_lock; /* guards the queue */
	struct event_post *posts, **posts_end;

	struct timer_heap timers;
};

static void loop_wake(struct event_loop *loop)
{
	uint64_t one = 1;
	int saved = errno;

	/* A full counter has woken it already. */
	if (write(loop->wake.fd, &one, sizeof(one)) < 0)
		errno = saved;
}

/* ---- watches ---- */

static uint32_t epoll_events(unsigned events)
{
	return (events & EVENT_READ ? EPOLLIN : 0u) | (events & EVENT_WRITE ? EPOLLOUT : 0u);
}

static unsigned watch_events(uint32_t epoll)
{
	return (epoll & EPOLLIN ? EVENT_READ : 0u) | (epoll & EPOLLOUT ? EVENT_WRITE : 0u) |
	       (epoll & (EPOLLHUP | EPOLLERR) ? EVENT_HANGUP : 0u);
}

static int watch_control(struct event_loop *loop, int op, struct event_watch *w)
{
	struct epoll_event event = { .events = epoll_events(w->events), .data.ptr = w };

	return epoll_ctl(loop->epoll_fd, op, w->fd, &event);
}

enum lodge_err event_watch_add(struct event_loop *loop, struct event_watch *w, unsigned events, struct lodge_error *err)
{
	w->events = events;
	w->always_ready = false;
	if (watch_control(loop, EPOLL_CTL_ADD, w)) {
		if (errno != EPERM) /* a regular file: never blocks */
			return error_set_os(err, LODGE_ERR_IO, errno, "cannot watch a descriptor");
		w->always_ready = true;
		w->next = loop->always;
		loop->always = w;
	}
	w->added = true;
	return LODGE_OK;
}

enum lodge_err event_watch_change(struct event_loop *loop, struct event_watch *w, unsigned events, struct lodge_error *err)
{
	if (w->events == events)
		return LODGE_OK;
	w->events = events;
	if (!w->always_ready && watch_control(loop, EPOLL_CTL_MOD, w))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot watch a descriptor");
	return LODGE_OK;
}

void event_watch_remove(struct event_loop *loop, struct event_watch *w)
{
	if (!w->added)
		return;
	w->added = false;
	if (w->always_ready) {
		for (struct event_watch **p = &loop->always; *p; p = &(*p)->next) {
			if (*p == w) {
				*p = w->next;
				break;
			}
		}
		return;
	}
	watch_control(loop, EPOLL_CTL_DEL, w);
	/* It may have an event in the batch that is being delivered. */
	for (int i = 0; i < loop->nbatch; i++) {
		if (loop->batch[i].data.ptr == w)
			loop->batch[i].data.ptr = NULL;
	}
}

/* One a turn, since a callback may change the list; the next time it is another's. */
static void loop_run_always_ready(struct event_loop *loop)
{
	struct event_watch **p = &loop->always, *w;

	while (*p && !(*p)->events)
		p = &(*p)->next;
	w = *p;
	if (!w)
		return;
	*p = w->next;
	w->next = NULL;
	for (p = &loop->always; *p; p = &(*p)->next)
		;
	*p = w;
	w->fn(w->ctx, w->events);
}

static bool loop_has_always_ready(const struct event_loop *loop)
{
	for (const struct event_watch *w = loop->always; w; w = w->next) {
		if (w->events)
			return true;
	}
	return false;
}

/* ---- posts ---- */

void event_loop_post(struct event_loop *loop, struct event_post *post)
{
	bool was_empty = false;

	host_mutex_lock(&loop->post_lock);
	if (!post->queued) {
		was_empty = !loop->posts;
		post->queued = true;
		post->next = NULL;
		*loop->posts_end = post;
		loop->posts_end = &post->next;
	}
	host_mutex_unlock(&loop->post_lock);
	if (was_empty)
		loop_wake(loop);
}

void event_loop_post_cancel(struct event_loop *loop, struct event_post *post)
{
	host_mutex_lock(&loop->post_lock);
	for (struct event_post **p = &loop->posts; post->queued && *p; p = &(*p)->next) {
		if (*p != post)
			continue;
		*p = post->next;
		if (loop->posts_end == &post->next)
			loop->posts_end = p;
		post->queued = false;
		break;
	}
	host_mutex_unlock(&loop->post_lock);
}

static void posts_post(void *loop, struct event_post *post) { event_loop_post(loop, post); }
static void posts_cancel(void *loop, struct event_post *post) { event_loop_post_cancel(loop, post); }

struct post_service event_loop_posts(struct event_loop *loop)
{
	return (struct post_service){ .post = posts_post, .cancel = posts_cancel, .ctx = loop };
}

static bool post_take(struct event_loop *loop, struct event_post *copy)
{
	struct event_post *post;

	host_mutex_lock(&loop->post_lock);
	post = loop->posts;
	if (post) {
		*copy = *post;
		loop->posts = post->next;
		if (!loop->posts)
			loop->posts_end = &loop->posts;
		post->queued = false;
	}
	host_mutex_unlock(&loop->post_lock);
	return post;
}

/* ---- the loop's own descriptors ---- */

static void on_wake(void *ctx, unsigned events LODGE_UNUSED)
{
	struct event_loop *loop = ctx;
	struct event_post post;
	uint64_t count;
	int budget = LOOP_BATCH;

	if (read(loop->wake.fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	while (budget && post_take(loop, &post)) {
		post.fn(post.ctx);
		budget--;
	}
	if (!budget)
		loop_wake(loop); /* more may wait; others' turn first */
}

static void on_timer(void *ctx, unsigned events LODGE_UNUSED)
{
	struct event_loop *loop = ctx;

	timer_heap_run(&loop->timers);
}

/* ---- life ---- */

static enum lodge_err loop_open(struct event_loop *loop, struct lodge_error *err)
{
	enum lodge_err code;

	loop->wake = (struct event_watch){ .fd = -1, .fn = on_wake, .ctx = loop };
	loop->timers.timer_fd = -1;
	loop->posts_end = &loop->posts;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create an event loop (see 'ulimit -n')");
	loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake.fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create an event descriptor (see 'ulimit -n')");
	code = timer_heap_init(&loop->timers, err);
	if (code)
		return code;
	loop->timer = (struct event_watch){ .fd = loop->timers.timer_fd, .fn = on_timer, .ctx = loop };
	code = event_watch_add(loop, &loop->wake, EVENT_READ, err);
	if (code)
		return code;
	return event_watch_add(loop, &loop->timer, EVENT_READ, err);
}

enum lodge_err event_loop_create(struct event_loop **out, struct lodge_error *err)
{
	struct event_loop *loop = host_alloc(sizeof(*loop), _Alignof(struct event_loop));
	enum lodge_err code;

	*out = NULL;
	if (!loop)
		return error_set(err, LODGE_ERR_NOMEM, "no memory for an event loop");
	code = loop_open(loop, err);
	if (code) {
		event_loop_destroy(loop);
		return code;
	}
	*out = loop;
	return LODGE_OK;
}

void event_loop_destroy(struct event_loop *loop)
{
	if (!loop)
		return;
	timer_heap_fini(&loop->timers);
	if (loop->wake.fd >= 0)
		close(loop->wake.fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	host_free(loop);
}

static void loop_deliver(struct event_loop *loop)
{
	for (int i = 0; i < loop->nbatch; i++) {
		struct event_watch *w = loop->batch[i].data.ptr;

		if (w)
			w->fn(w->ctx, watch_events(loop->batch[i].events));
	}
	loop->nbatch = 0;
}

enum lodge_err event_loop_run(struct event_loop *loop, struct lodge_error *err)
{
	while (!atomic_exchange_explicit(&loop->stop, false, memory_order_acquire)) {
		int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, loop_has_always_ready(loop) ? 0 : -1);

		if (n < 0 && errno != EINTR)
			return error_set_os(err, LODGE_ERR_IO, errno, "the event loop failed");
		loop->nbatch = MAX(n, 0);
		loop_deliver(loop);
		loop_run_always_ready(loop);
	}
	return LODGE_OK;
}

void event_loop_stop(struct event_loop *loop)
{
	atomic_store_explicit(&loop->stop, true, memory_order_release);
	loop_wake(loop);
}

const struct timer_service *event_loop_timers(struct event_loop *loop)
{
	return &loop->timers.service;
}

void event_loop_clock_stop(struct event_loop *loop)
{
	timer_heap_clock_stop(&loop->timers);
}

void event_loop_clock_start(struct event_loop *loop)
{
	timer_heap_clock_start(&loop->timers);
}

uint64_t event_loop_clock_to_host(struct event_loop *loop, uint64_t deadline_ns)
{
	return timer_heap_clock_to_host(&loop->timers, deadline_ns);
}
