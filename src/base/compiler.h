/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes and small macros that every part of Lodge may use. */
#ifndef LODGE_BASE_COMPILER_H
#define LODGE_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LODGE_MUST_CHECK __attribute__((warn_unused_result))
#define LODGE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LODGE_NORETURN __attribute__((noreturn))
#define LODGE_PACKED __attribute__((packed))
#define LODGE_ALIGNED(n) __attribute__((aligned(n)))
#define LODGE_COLD __attribute__((cold, noinline))
#define LODGE_ALWAYS_INLINE inline __attribute__((always_inline))
#define LODGE_UNUSED __attribute__((unused))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#endif
