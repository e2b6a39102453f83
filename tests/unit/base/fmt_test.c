/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting against the C library's, and truncation. */
#include <stdio.h>
#include <string.h>
#include "unit.h"
#include "base/fmt.h"

#define SAME(...) \
	do { \
		char ours[128], libc[128]; \
		size_t len = fmt_string(ours, sizeof(ours), __VA_ARGS__); \
		int expected = snprintf(libc, sizeof(libc), __VA_ARGS__); \
		assert_string_equal(ours, libc); \
		assert_int_equal(len, expected); \
	} while (0)

static void integers(void **state)
{
	SAME("%d %d %d", 0, 2147483647, -2147483647 - 1);
	SAME("%u %x %X", 4000000000u, 0xdeadbeefu, 0xdeadbeefu);
	SAME("%lld %llu", (long long)INT64_MIN, (unsigned long long)UINT64_MAX);
	SAME("%ld %lu %zu %zx", -5L, 5UL, (size_t)77, (size_t)0xabc);
	SAME("%hhu %hu %hhd %hd", (unsigned char)200, (unsigned short)60000, (signed char)-3, (short)-4);
	SAME("%5d|%-5d|%05d|%+d", 42, 42, 42, 42);
	SAME("%08x|%-8x|%#x|%#010x", 0x12u, 0x12u, 0x12u, 0x12u);
	SAME("%.3d|%6.3d|%-6.3d|", 7, 7, -7);
	SAME("%*d|%-*d|%*d", 6, 1, 6, 2, -6, 3);
	SAME("%ju %jd", (uintmax_t)1, (intmax_t)-1);
}

static void strings(void **state)
{
	SAME("%s|%10s|%-10s|%.2s|%.*s", "abc", "abc", "abc", "abc", 1, "abc");
	SAME("%c%c %% done", 'a', 'b');
	SAME("plain");
	SAME("%p", (void *)0x1234);
}

static void a_string_may_lack_its_end_if_precision_bounds_it(void **state)
{
	char out[16];
	const char raw[4] = { 'a', 'b', 'c', 'd' };

	assert_int_equal(fmt_string(out, sizeof(out), "%.*s", 4, raw), 4);
	assert_string_equal(out, "abcd");
}

static void truncation(void **state)
{
	char out[4] = "xyz";

	assert_int_equal(fmt_string(out, 0, "abcdef"), 6);
	assert_string_equal(out, "xyz");
	assert_int_equal(fmt_string(out, 1, "abcdef"), 6);
	assert_string_equal(out, "");
	assert_int_equal(fmt_string(out, 4, "abcdef"), 6);
	assert_string_equal(out, "abc");
}

static void odd_formats_are_harmless(void **state)
{
	char out[32];
	const char *volatile null = NULL, *volatile lone = "100%";
	va_list none;

	memset(&none, 0, sizeof(none));
	assert_int_equal(fmt_vstring(out, sizeof(out), lone, none), 3);
	assert_string_equal(out, "100");
	fmt_string(out, sizeof(out), "%s", null);
	assert_string_equal(out, "(null)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(strings),
		cmocka_unit_test(a_string_may_lack_its_end_if_precision_bounds_it),
		cmocka_unit_test(truncation),
		cmocka_unit_test(odd_formats_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
