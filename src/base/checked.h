/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic that says when it does not fit, and ranges checked in one place. */
#ifndef LODGE_BASE_CHECKED_H
#define LODGE_BASE_CHECKED_H

#include "base/compiler.h"

/* True when the sum or product does not fit; *out is then unspecified. */
static inline bool add_overflows_u64(uint64_t a, uint64_t b, uint64_t *out) { return __builtin_add_overflow(a, b, out); }
static inline bool mul_overflows_u64(uint64_t a, uint64_t b, uint64_t *out) { return __builtin_mul_overflow(a, b, out); }

/* Does [@start, @start+@len) lie inside [0, @limit)? Right for every value. */
static inline bool range_fits(uint64_t start, uint64_t len, uint64_t limit)
{
	return len <= limit && start <= limit - len;
}

static inline uint64_t align_down(uint64_t v, uint64_t a) { return v & ~(a - 1); }
static inline uint64_t align_up(uint64_t v, uint64_t a) { return (v + a - 1) & ~(a - 1); }
static inline bool is_pow2(uint64_t v) { return v && !(v & (v - 1)); }

#endif
