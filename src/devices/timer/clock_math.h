/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds to ticks of some chip's clock and back, without overflow or 128-bit division. */
#ifndef LODGE_DEVICES_TIMER_CLOCK_MATH_H
#define LODGE_DEVICES_TIMER_CLOCK_MATH_H

#include "base/compiler.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* Ticks of a @hz clock completed after @ns; @hz at most 4 GHz. Wraps with the counter it feeds. */
static inline uint64_t ticks_from_ns(uint64_t ns, uint32_t hz)
{
	return ns / NS_PER_SECOND * hz + ns % NS_PER_SECOND * hz / NS_PER_SECOND;
}

/* The first nanosecond at which @ticks are complete; saturates. */
static inline uint64_t ns_from_ticks(uint64_t ticks, uint32_t hz)
{
	uint64_t seconds = ticks / hz, rest = ticks % hz, ns;

	if (__builtin_mul_overflow(seconds, NS_PER_SECOND, &ns))
		return UINT64_MAX;
	if (__builtin_add_overflow(ns, (rest * NS_PER_SECOND + hz - 1) / hz, &ns))
		return UINT64_MAX;
	return ns;
}

static inline uint64_t ns_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* No guest timer repeats faster than this: whoever asks for more gets a slower one, not a busy host. */
#define TIMER_PERIOD_MIN_NS UINT64_C(20000)

#endif
