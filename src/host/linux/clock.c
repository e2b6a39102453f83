/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, the time-stamp counter's frequency, run-queue waits and randomness. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "host/host_ops.h"

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t host_clock_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t host_wallclock_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Counter and clock read at one moment. */
struct tsc_sample {
	uint64_t tsc, ns;
};

#define TSC_SAMPLE_TRIES 16
#define TSC_WINDOW_NS UINT64_C(15000000)
#define TSC_WINDOWS_MAX 6
#define TSC_AGREE_PPM 200u

/* Of several tries, the one that took the least time: the others were interrupted. */
static struct tsc_sample tsc_sample(void)
{
	struct tsc_sample best = { 0, 0 };
	uint64_t best_cost = UINT64_MAX;

	for (int i = 0; i < TSC_SAMPLE_TRIES; i++) {
		uint64_t before = __rdtsc(), ns = host_clock_ns(), after = __rdtsc();

		if (after - before < best_cost) {
			best_cost = after - before;
			best = (struct tsc_sample){ before + best_cost / 2, ns };
		}
	}
	return best;
}

static uint64_t tsc_khz_between(const struct tsc_sample *a, const struct tsc_sample *b)
{
	uint64_t ns = b->ns - a->ns;

	if (b->tsc <= a->tsc || !ns)
		return 0;
	return (uint64_t)(((unsigned __int128)(b->tsc - a->tsc) * 1000000u + ns / 2) / ns);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/*
 * Measured, because nominal frequencies (CPUID 15h) are off by more than a
 * guest's clock may drift. Two windows in a row must agree, else the counter
 * does not run steadily (or the host was too busy: the next windows tell).
 */
static uint64_t tsc_khz_measure(void)
{
	struct tsc_sample start = tsc_sample(), last = start;
	uint64_t previous = 0;

	for (int i = 0; i < TSC_WINDOWS_MAX; i++) {
		struct tsc_sample now;
		uint64_t khz, difference;

		sleep_ns(TSC_WINDOW_NS);
		now = tsc_sample();
		khz = tsc_khz_between(&last, &now);
		difference = khz > previous ? khz - previous : previous - khz;
		if (previous && khz && difference <= khz / (1000000u / TSC_AGREE_PPM))
			return tsc_khz_between(&start, &now);
		previous = khz;
		start = last;
		last = now;
	}
	return 0;
}

/* A property of the host, found once: every vcpu must scale by the same number. */
static struct {
	pthread_once_t once;
	uint64_t khz;
} tsc_state = { .once = PTHREAD_ONCE_INIT };

static void tsc_khz_find(void)
{
	tsc_state.khz = tsc_khz_measure();
}

uint64_t host_tsc_khz(void)
{
	pthread_once(&tsc_state.once, tsc_khz_find);
	return tsc_state.khz;
}

/* The scheduler's record: time on CPU, time waiting for one, time slices. */
uint64_t host_thread_runqueue_wait_ns(void)
{
	char text[96];
	char *end;
	ssize_t n;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	strtoull(text, &end, 10);
	return *end == ' ' ? strtoull(end + 1, NULL, 10) : 0;
}

void host_random(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EINTR) {
			abort(); /* no kernel that runs Lodge refuses; predictable bytes would be worse */
		}
	}
}
