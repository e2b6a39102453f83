/* SPDX-License-Identifier: Apache-2.0 */
/* Fibonacci hashing: neighbouring values, and values that differ in high bits alone, spread over a table. */
#ifndef LODGE_BASE_HASH_H
#define LODGE_BASE_HASH_H

#include "base/types.h"

/* A number of @bits bits, 1 to 32. */
static inline unsigned hash_bits(uint64_t value, unsigned bits)
{
	return (unsigned)(value * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

#endif
