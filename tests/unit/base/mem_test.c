/* SPDX-License-Identifier: Apache-2.0 */
/* mem*: every short length, alignment and overlap against a byte loop. */
#include <string.h>
#include "unit.h"
#include "base/mem.h"

#define AREA 160

static void fill(uint8_t *p, size_t n, uint8_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed + i * 7);
}

static void reference_move(uint8_t *d, const uint8_t *s, size_t len)
{
	uint8_t copy[AREA];

	for (size_t i = 0; i < len; i++)
		copy[i] = s[i];
	for (size_t i = 0; i < len; i++)
		d[i] = copy[i];
}

static void memmove_handles_every_overlap(void **state)
{
	for (size_t len = 0; len <= 70; len++) {
		for (size_t from = 0; from <= 40; from++) {
			for (size_t to = 0; to <= 40; to++) {
				uint8_t a[AREA], b[AREA];

				fill(a, AREA, 3);
				fill(b, AREA, 3);
				assert_ptr_equal(lodge_memmove(a + to, a + from, len), a + to);
				reference_move(b + to, b + from, len);
				assert_memory_equal(a, b, AREA);
			}
		}
	}
}

static void memcpy_writes_what_it_should_and_no_more(void **state)
{
	for (size_t len = 0; len <= 100; len++) {
		uint8_t a[AREA], b[AREA], source[AREA];

		fill(a, AREA, 1);
		fill(b, AREA, 1);
		fill(source, AREA, 99);
		assert_ptr_equal(lodge_memcpy(a + 9, source + 3, len), a + 9);
		reference_move(b + 9, source + 3, len);
		assert_memory_equal(a, b, AREA);
	}
}

static void memset_writes_what_it_should_and_no_more(void **state)
{
	for (size_t len = 0; len <= 100; len++) {
		uint8_t a[AREA];

		fill(a, AREA, 1);
		assert_ptr_equal(lodge_memset(a + 5, 0x1a5, len), a + 5);
		for (size_t i = 0; i < AREA; i++)
			assert_int_equal(a[i], i >= 5 && i < 5 + len ? 0xa5 : (uint8_t)(1 + i * 7));
	}
}

static void memcmp_orders_unsigned_bytes(void **state)
{
	uint8_t a[40] = { 0 }, b[40] = { 0 };

	assert_int_equal(lodge_memcmp(a, b, sizeof(a)), 0);
	assert_int_equal(lodge_memcmp(a, "x", 0), 0);
	for (size_t i = 0; i < sizeof(a); i++) {
		a[i] = 0xff;
		b[i] = 1;
		assert_true(lodge_memcmp(a, b, sizeof(a)) > 0);
		assert_true(lodge_memcmp(b, a, sizeof(a)) < 0);
		assert_int_equal(lodge_memcmp(a, b, i), 0);
		a[i] = b[i] = 0;
	}
}

static void strings(void **state)
{
	char small[4];

	assert_int_equal(str_len(""), 0);
	assert_int_equal(str_len("abc"), 3);
	assert_true(str_equal("abc", "abc"));
	assert_false(str_equal("abc", "ab"));
	assert_false(str_equal("ab", "abc"));
	assert_true(str_starts_with("kernel=x", "kernel="));
	assert_false(str_starts_with("ker", "kernel="));
	assert_true(str_copy(small, sizeof(small), "abc"));
	assert_string_equal(small, "abc");
	assert_false(str_copy(small, sizeof(small), "abcd"));
	assert_string_equal(small, "abc");
	assert_false(str_copy(small, 1, "a"));
	assert_string_equal(small, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memmove_handles_every_overlap),
		cmocka_unit_test(memcpy_writes_what_it_should_and_no_more),
		cmocka_unit_test(memset_writes_what_it_should_and_no_more),
		cmocka_unit_test(memcmp_orders_unsigned_bytes),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
