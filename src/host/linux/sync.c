/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping locks and waits on futexes. */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "host/host_ops.h"

/* A lock's word: free, held, held with (perhaps) sleepers. */
enum { MUTEX_FREE, MUTEX_HELD, MUTEX_CONTENDED };

#define MUTEX_SPINS 100 /* about as long as a register access holds a device's lock */

static void futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *until)
{
	int saved = errno;

	/* The BITSET form takes an absolute CLOCK_MONOTONIC time. */
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until, NULL, FUTEX_BITSET_MATCH_ANY);
	errno = saved;
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
	errno = saved;
}

static bool mutex_try(struct host_mutex *m)
{
	uint32_t expected = MUTEX_FREE;

	return atomic_compare_exchange_strong_explicit(&m->word, &expected, MUTEX_HELD, memory_order_acquire,
						       memory_order_relaxed);
}

void host_mutex_lock(struct host_mutex *m)
{
	for (int i = 0; i < MUTEX_SPINS; i++) {
		uint32_t word = atomic_load_explicit(&m->word, memory_order_relaxed);

		if (word == MUTEX_FREE && mutex_try(m))
			return;
		if (word == MUTEX_CONTENDED)
			break;
		host_yield();
	}
	while (atomic_exchange_explicit(&m->word, MUTEX_CONTENDED, memory_order_acquire) != MUTEX_FREE)
		futex_wait(&m->word, MUTEX_CONTENDED, NULL);
}

void host_mutex_unlock(struct host_mutex *m)
{
	if (atomic_exchange_explicit(&m->word, MUTEX_FREE, memory_order_release) == MUTEX_CONTENDED)
		futex_wake(&m->word, 1);
}

void host_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};

	futex_wait(word, expected, deadline_ns == UINT64_MAX ? NULL : &until);
}

void host_wake(_Atomic uint32_t *word, bool all)
{
	futex_wake(word, all ? INT32_MAX : 1);
}

void host_yield(void)
{
	__builtin_ia32_pause();
}
