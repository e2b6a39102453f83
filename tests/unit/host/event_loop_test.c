/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, posts, and timers with arms and disarms from other threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "unit.h"
#include "host/event_loop.h"
#include "host/host_ops.h"

#define MS UINT64_C(1000000)

struct fixture {
	struct event_loop *loop;
	const struct timer_service *timers;
	int pipe[2];
	struct event_watch watch;
	unsigned events, calls;
	char order[64];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(event_loop_create(&f->loop, NULL), LODGE_OK);
	f->timers = event_loop_timers(f->loop);
	assert_int_equal(pipe(f->pipe), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	event_loop_destroy(f->loop);
	close(f->pipe[0]);
	close(f->pipe[1]);
	free(f);
	return 0;
}

static void run(struct fixture *f)
{
	assert_int_equal(event_loop_run(f->loop, NULL), LODGE_OK);
}

static void stop_now(void *ctx)
{
	event_loop_stop(((struct fixture *)ctx)->loop);
}

/* ---- watches ---- */

static void on_readable(void *ctx, unsigned events)
{
	struct fixture *f = ctx;
	char c;

	f->events |= events;
	if ((events & EVENT_READ) && read(f->watch.fd, &c, 1) == 1)
		f->calls++;
	else
		event_loop_stop(f->loop);
}

static void a_pipe_is_read_until_it_hangs_up(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct event_watch){ .fd = f->pipe[0], .fn = on_readable, .ctx = f };
	assert_int_equal(event_watch_add(f->loop, &f->watch, EVENT_READ, NULL), LODGE_OK);
	assert_int_equal(write(f->pipe[1], "abc", 3), 3);
	close(f->pipe[1]);
	f->pipe[1] = -1;
	run(f);
	assert_int_equal(f->calls, 3);
	assert_true(f->events & EVENT_HANGUP);
	event_watch_remove(f->loop, &f->watch);
	event_watch_remove(f->loop, &f->watch);
}

static void a_regular_file_is_always_ready(void **state)
{
	struct fixture *f = *state;
	FILE *file = tmpfile();

	fputs("hello", file);
	rewind(file);
	f->watch = (struct event_watch){ .fd = fileno(file), .fn = on_readable, .ctx = f };
	assert_int_equal(event_watch_add(f->loop, &f->watch, EVENT_READ, NULL), LODGE_OK);
	run(f);
	assert_int_equal(f->calls, 5);
	event_watch_remove(f->loop, &f->watch);
	fclose(file);
}

struct twin {
	struct fixture *f;
	struct event_watch watch;
	struct twin *other;
};

static void on_twin(void *ctx, unsigned events LODGE_UNUSED)
{
	struct twin *t = ctx;

	t->f->calls++;
	event_watch_remove(t->f->loop, &t->other->watch);
	event_loop_stop(t->f->loop);
}

static void a_removed_watch_is_not_called_in_the_same_batch(void **state)
{
	struct fixture *f = *state;
	int other = dup(f->pipe[0]);
	struct twin a = { .f = f }, b = { .f = f, .other = &a };

	a.other = &b;
	a.watch = (struct event_watch){ .fd = f->pipe[0], .fn = on_twin, .ctx = &a };
	b.watch = (struct event_watch){ .fd = other, .fn = on_twin, .ctx = &b };
	assert_int_equal(event_watch_add(f->loop, &a.watch, EVENT_READ, NULL), LODGE_OK);
	assert_int_equal(event_watch_add(f->loop, &b.watch, EVENT_READ, NULL), LODGE_OK);
	assert_int_equal(write(f->pipe[1], "a", 1), 1);
	run(f);
	assert_int_equal(f->calls, 1);
	event_watch_remove(f->loop, &a.watch);
	event_watch_remove(f->loop, &b.watch);
	close(other);
}

/* ---- posts ---- */

static void append_a(void *ctx) { strcat(((struct fixture *)ctx)->order, "a"); }
static void append_b(void *ctx) { strcat(((struct fixture *)ctx)->order, "b"); }
static void append_c(void *ctx) { strcat(((struct fixture *)ctx)->order, "c"); }

static void posts_run_in_order_once_and_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct event_post a = { append_a, f }, b = { append_b, f }, c = { append_c, f }, stop = { stop_now, f };

	event_loop_post(f->loop, &a);
	event_loop_post(f->loop, &b);
	event_loop_post(f->loop, &a);
	event_loop_post(f->loop, &c);
	event_loop_post_cancel(f->loop, &c);
	event_loop_post_cancel(f->loop, &c);
	event_loop_post(f->loop, &stop);
	run(f);
	assert_string_equal(f->order, "ab");
}

struct poster {
	struct fixture *f;
	_Atomic unsigned seen;
	struct event_post post;
};

static void count_post(void *ctx)
{
	struct poster *p = ctx;

	if (atomic_fetch_add(&p->seen, 1) == 999)
		event_loop_stop(p->f->loop);
}

static void *post_many(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < 1000; i++) {
		event_loop_post(p->f->loop, &p->post);
		while (atomic_load(&p->seen) <= i)
			sched_yield();
	}
	return NULL;
}

static void posts_from_another_thread_wake_the_loop(void **state)
{
	struct fixture *f = *state;
	struct poster p = { .f = f, .post = { count_post, &p } };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, post_many, &p), 0);
	run(f);
	pthread_join(thread, NULL);
	assert_int_equal(p.seen, 1000);
}

static void a_stop_before_the_run_counts(void **state)
{
	struct fixture *f = *state;

	event_loop_stop(f->loop);
	run(f);
}

/* ---- timers ---- */

static void timers_fire_in_order_of_deadline(void **state)
{
	struct fixture *f = *state;
	struct timer a, b, c, stop;
	uint64_t now = f->timers->now(f->timers->ctx), done;

	timer_init(&a, f->timers, append_a, f);
	timer_init(&b, f->timers, append_b, f);
	timer_init(&c, f->timers, append_c, f);
	timer_init(&stop, f->timers, stop_now, f);
	timer_arm(&stop, now + 6 * MS);
	timer_arm(&c, now + 4 * MS);
	timer_arm(&a, now + 100000 * MS);
	timer_arm(&b, now + 3 * MS);
	timer_arm(&a, now + 2 * MS); /* replaces */
	run(f);
	done = timer_now(&a);
	assert_string_equal(f->order, "abc");
	assert_true(done >= now + 6 * MS);
	assert_true(done < now + 500 * MS);
}

static void disarmed_timers_do_not_fire(void **state)
{
	struct fixture *f = *state;
	struct timer a, b, stop;
	uint64_t now = f->timers->now(f->timers->ctx);

	timer_init(&a, f->timers, append_a, f);
	timer_init(&b, f->timers, append_b, f);
	timer_init(&stop, f->timers, stop_now, f);
	timer_disarm(&a);
	timer_arm(&a, now + MS);
	timer_arm(&b, now + 2 * MS);
	timer_arm(&stop, now + 4 * MS);
	timer_disarm(&a);
	timer_disarm(&a);
	run(f);
	assert_string_equal(f->order, "b");
}

static void past_and_far_deadlines(void **state)
{
	struct fixture *f = *state;
	struct timer past, far, never;

	timer_init(&far, f->timers, append_a, f);
	timer_init(&never, f->timers, append_a, f);
	timer_init(&past, f->timers, stop_now, f);
	timer_arm(&never, UINT64_MAX);
	timer_arm(&far, UINT64_MAX - 1);
	timer_arm(&past, 0);
	run(f);
	assert_string_equal(f->order, "");
	timer_disarm(&far);
	timer_disarm(&never);
}

struct rearm {
	struct fixture *f;
	struct timer timer;
	unsigned calls;
};

static void rearm_in_the_past(void *ctx)
{
	struct rearm *r = ctx;

	r->calls++;
	timer_arm(&r->timer, 1);
}

static void a_timer_that_rearms_in_the_past_starves_nobody(void **state)
{
	struct fixture *f = *state;
	struct rearm r = { .f = f };
	struct timer stop;
	struct event_post post = { append_a, f };

	timer_init(&r.timer, f->timers, rearm_in_the_past, &r);
	timer_init(&stop, f->timers, stop_now, f);
	timer_arm(&r.timer, 1);
	timer_arm(&stop, timer_now(&stop) + 5 * MS);
	event_loop_post(f->loop, &post);
	run(f);
	assert_true(r.calls > 1);
	assert_string_equal(f->order, "a");
	timer_disarm(&r.timer);
}

static void the_clock_stands_still(void **state)
{
	struct fixture *f = *state;
	struct timer a, stop;
	uint64_t frozen;
	struct timespec ts = { .tv_nsec = 20 * (long)MS };

	timer_init(&a, f->timers, append_a, f);
	timer_init(&stop, f->timers, stop_now, f);
	timer_arm(&a, timer_now(&a) + 10 * MS);
	event_loop_clock_stop(f->loop);
	event_loop_clock_stop(f->loop);
	frozen = timer_now(&a);
	nanosleep(&ts, NULL);
	assert_true(timer_now(&a) == frozen);
	assert_true(event_loop_clock_to_host(f->loop, frozen + 1) == UINT64_MAX);
	event_loop_clock_start(f->loop);
	assert_true(timer_now(&a) - frozen < 10 * MS || a.heap_index);
	assert_true(event_loop_clock_to_host(f->loop, frozen + 1) > frozen);
	timer_arm(&stop, frozen + 12 * MS);
	run(f);
	assert_string_equal(f->order, "a");
}

/* Many timers, all armed and some disarmed from another thread while the loop runs. */
#define MANY 500

struct many {
	struct fixture *f;
	struct timer timers[MANY];
	_Atomic unsigned fired[MANY];
	_Atomic bool disarmed[MANY];
	struct timer stop;
	uint64_t base;
};

struct many_ctx {
	struct many *m;
	unsigned i;
} many_ctx[MANY];

static void many_fire(void *ctx)
{
	struct many_ctx *c = ctx;

	atomic_fetch_add(&c->m->fired[c->i], 1);
}

static void *many_arm(void *arg)
{
	struct many *m = arg;
	unsigned seed = 1;

	for (unsigned i = 0; i < MANY; i++) {
		seed = seed * 1103515245 + 12345;
		timer_arm(&m->timers[i], m->base + (seed >> 16) % 20 * MS / 10 + (i % 3 == 0 ? 1000000 * MS : 0));
	}
	for (unsigned i = 0; i < MANY; i += 3)
		timer_disarm(&m->timers[i]);
	timer_arm(&m->stop, timer_now(&m->stop) + 5 * MS);
	return NULL;
}

static void arms_from_another_thread(void **state)
{
	struct fixture *f = *state;
	struct many *m = calloc(1, sizeof(*m));
	pthread_t thread;

	m->f = f;
	m->base = f->timers->now(f->timers->ctx) + MS;
	timer_init(&m->stop, f->timers, stop_now, f);
	for (unsigned i = 0; i < MANY; i++) {
		many_ctx[i] = (struct many_ctx){ m, i };
		timer_init(&m->timers[i], f->timers, many_fire, &many_ctx[i]);
	}
	assert_int_equal(pthread_create(&thread, NULL, many_arm, m), 0);
	run(f);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(m->fired[i], i % 3 ? 1 : 0);
	free(m);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_pipe_is_read_until_it_hangs_up),
		CASE(a_regular_file_is_always_ready),
		CASE(a_removed_watch_is_not_called_in_the_same_batch),
		CASE(posts_run_in_order_once_and_can_be_cancelled),
		CASE(posts_from_another_thread_wake_the_loop),
		CASE(a_stop_before_the_run_counts),
		CASE(timers_fire_in_order_of_deadline),
		CASE(disarmed_timers_do_not_fire),
		CASE(past_and_far_deadlines),
		CASE(a_timer_that_rearms_in_the_past_starves_nobody),
		CASE(the_clock_stands_still),
		CASE(arms_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
