/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and string primitives of the freestanding core. The mem* names have
 * their usual meaning; in the engine's objects the build points them at the
 * lodge_* functions (scripts/redefine_mem), which use general registers only
 * and thus may run while guest values sit in vector registers.
 */
#ifndef LODGE_BASE_MEM_H
#define LODGE_BASE_MEM_H

#include "base/compiler.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

void *lodge_memcpy(void *restrict dst, const void *restrict src, size_t len);
void *lodge_memmove(void *dst, const void *src, size_t len);
void *lodge_memset(void *dst, int byte, size_t len);
int lodge_memcmp(const void *a, const void *b, size_t len);
int lodge_bcmp(const void *a, const void *b, size_t len); /* what clang makes of memcmp() == 0 */

size_t str_len(const char *s);
bool str_equal(const char *a, const char *b);
bool str_starts_with(const char *s, const char *prefix);

/* Copy with termination; false if @src was cut to @cap - 1 bytes. @cap is at least 1. */
bool str_copy(char *dst, size_t cap, const char *src);

#endif
