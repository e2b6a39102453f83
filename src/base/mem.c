/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem* for code that runs between blocks of translated guest code: general
 * registers only. The string instructions are as fast as anything for long
 * lengths; short ones dominate here, so those go by overlapping words.
 */
#include "base/mem.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) word64;
typedef uint32_t __attribute__((may_alias, aligned(1))) word32;
typedef uint16_t __attribute__((may_alias, aligned(1))) word16;

/* Up to 16 bytes, all loads before the first store: right for overlap too. */
static LODGE_ALWAYS_INLINE void copy_short(uint8_t *d, const uint8_t *s, size_t len)
{
	if (len >= 8) {
		uint64_t head = *(const word64 *)s, tail = *(const word64 *)(s + len - 8);

		*(word64 *)d = head;
		*(word64 *)(d + len - 8) = tail;
	} else if (len >= 4) {
		uint32_t head = *(const word32 *)s, tail = *(const word32 *)(s + len - 4);

		*(word32 *)d = head;
		*(word32 *)(d + len - 4) = tail;
	} else if (len >= 2) {
		uint16_t head = *(const word16 *)s, tail = *(const word16 *)(s + len - 2);

		*(word16 *)d = head;
		*(word16 *)(d + len - 2) = tail;
	} else if (len) {
		*d = *s;
	}
}

void *lodge_memcpy(void *restrict dst, const void *restrict src, size_t len)
{
	void *d = dst;

	if (len <= 16)
		copy_short(dst, src, len);
	else
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(len) : : "memory");
	return dst;
}

void *lodge_memmove(void *dst, const void *src, size_t len)
{
	uint8_t *d = dst;
	const uint8_t *s = src;

	if (len <= 16) {
		copy_short(d, s, len);
	} else if ((uintptr_t)d - (uintptr_t)s >= len) {
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
	} else {
		/* The destination begins inside the source: from the end, by words (backward rep movs is slow). */
		while (len >= 8) {
			len -= 8;
			*(volatile word64 *)(d + len) = *(const volatile word64 *)(s + len);
		}
		while (len) {
			len--;
			*(volatile uint8_t *)(d + len) = *(const volatile uint8_t *)(s + len);
		}
	}
	return dst;
}

void *lodge_memset(void *dst, int byte, size_t len)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(len) : "a"((uint8_t)byte) : "memory");
	return dst;
}

int lodge_memcmp(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *p = a, *q = b; /* volatile: the compiler would call memcmp */

	for (; len >= 8 && *(const volatile word64 *)p == *(const volatile word64 *)q; len -= 8) {
		p += 8;
		q += 8;
	}
	for (; len; len--, p++, q++) {
		int x = *p, y = *q;

		if (x != y)
			return x - y;
	}
	return 0;
}

int lodge_bcmp(const void *a, const void *b, size_t len)
{
	return lodge_memcmp(a, b, len);
}

size_t str_len(const char *s)
{
	const volatile char *p = s; /* volatile: the compiler would call strlen */

	while (*p)
		p++;
	return (size_t)(p - s);
}

bool str_equal(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return *a == *b;
}

bool str_starts_with(const char *s, const char *prefix)
{
	for (; *prefix; s++, prefix++) {
		if (*s != *prefix)
			return false;
	}
	return true;
}

bool str_copy(char *dst, size_t cap, const char *src)
{
	size_t len = str_len(src);
	bool fits = len < cap;

	if (!fits)
		len = cap - 1;
	lodge_memcpy(dst, src, len);
	dst[len] = '\0';
	return fits;
}
