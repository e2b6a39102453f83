/* SPDX-License-Identifier: Apache-2.0 */
/* Offloads done for a network without them, next to checksums as RFC 1071 describes them, and on frames that are anything. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include "net/offload.h"

#define AT4 34u /* TCP in IPv4 without options */
#define AT6 54u

static const struct net_offloads all = { .csum = true, .tso4 = true, .tso6 = true };

static unsigned fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned)sum;
}

static unsigned pseudo_sum(const uint8_t *f, unsigned segment, bool ipv6)
{
	uint64_t sum = 6 + segment;

	for (unsigned i = ipv6 ? 22 : 26; i < (ipv6 ? 54u : 34u); i += 2)
		sum += get_be16(f + i);
	return fold(sum);
}

/* The sum of TCP at @at over pseudo header and segment: 0xffff if its checksum is right. */
static unsigned tcp_sum(const uint8_t *f, unsigned at, unsigned segment, bool ipv6)
{
	uint64_t sum = pseudo_sum(f, segment, ipv6);

	for (unsigned i = 0; i < segment; i++)
		sum += i & 1 ? f[at + i] : (unsigned)f[at + i] << 8;
	return fold(sum);
}

/* A segment with @options of @noptions bytes (whole words) and @data bytes, its checksum right. Returns the frame's length. */
static size_t make(uint8_t *f, bool ipv6, uint8_t flags, const void *options, unsigned noptions, unsigned data)
{
	unsigned at = ipv6 ? AT6 : AT4, segment = 20 + noptions + data;

	memset(f, 0, at + segment);
	put_be16(f + 12, ipv6 ? 0x86dd : 0x800);
	f[14] = ipv6 ? 0x60 : 0x45;
	if (ipv6) {
		put_be16(f + 18, (uint16_t)segment);
		f[20] = 6;
	} else {
		put_be16(f + 16, (uint16_t)(20 + segment));
		f[23] = 6;
	}
	for (unsigned i = ipv6 ? 22 : 26; i < at; i++)
		f[i] = (uint8_t)(i * 11);
	f[at + 12] = (uint8_t)((20 + noptions) / 4 << 4);
	f[at + 13] = flags;
	memcpy(f + at + 20, options, noptions);
	for (unsigned i = 0; i < data; i++)
		f[at + 20 + noptions + i] = (uint8_t)(i * 7 + i / 256);
	put_be16(f + at + 16, (uint16_t)~tcp_sum(f, at, segment, ipv6));
	assert_int_equal(tcp_sum(f, at, segment, ipv6), 0xffff);
	return at + segment;
}

static void checksums_are_finished(void **state)
{
	static uint8_t f[NET_FRAME_MAX];

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		bool ipv6 = i & 1;
		unsigned data = i < 200 ? i : i * 160, at = ipv6 ? AT6 : AT4;
		size_t n = make(f, ipv6, 0x10, "", 0, data);
		struct net_header h = { .flags = NET_NEEDS_CSUM, .csum_start = le16((uint16_t)at), .csum_offset = le16(16) };
		uint16_t good = get_be16(f + at + 16);

		put_be16(f + at + 16, (uint16_t)pseudo_sum(f, 20 + data, ipv6)); /* what drivers leave there */
		assert_true(net_finish_checksum(&h, f, n));
		assert_int_equal(get_be16(f + at + 16), good ? good : 0xffff);
	}
}

static void a_checksum_outside_is_refused(void **state)
{
	uint8_t f[64] = { 0 };
	struct net_header h = { .flags = NET_NEEDS_CSUM, .csum_start = le16(60), .csum_offset = le16(3) };

	(void)state;
	assert_false(net_finish_checksum(&h, f, sizeof(f)));
	h.csum_offset = le16(2);
	assert_true(net_finish_checksum(&h, f, sizeof(f)));
	h.csum_start = h.csum_offset = le16(0xffff);
	assert_false(net_finish_checksum(&h, f, sizeof(f)));
	h.flags = 0;
	assert_true(net_finish_checksum(&h, f, sizeof(f)));
}

static void mss_is_raised(void **state)
{
	uint8_t f[200];

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		unsigned at = ipv6 ? AT6 : AT4;
		size_t n = make(f, ipv6, 2, "\2\4\5\264", 4, 0);

		net_raise_mss(f, n, all, 31856);
		assert_int_equal(get_be16(f + at + 22), 31856);
		assert_int_equal(tcp_sum(f, at, 24, ipv6), 0xffff);
		/* At an odd place. */
		n = make(f, ipv6, 2, "\1\2\4\5\264\1\1\1", 8, 0);
		net_raise_mss(f, n, all, 31857);
		assert_int_equal(get_be16(f + at + 23), 31857);
		assert_int_equal(tcp_sum(f, at, 28, ipv6), 0xffff);
		/* Not for those that did not ask, nor down, nor in other segments. */
		n = make(f, ipv6, 2, "\2\4\5\264", 4, 0);
		net_raise_mss(f, n, (struct net_offloads){ .csum = true, .tso4 = ipv6, .tso6 = !ipv6 }, 31856);
		assert_int_equal(get_be16(f + at + 22), 0x5b4);
		net_raise_mss(f, n, all, 1000);
		assert_int_equal(get_be16(f + at + 22), 0x5b4);
		n = make(f, ipv6, 0x10, "\2\4\5\264", 4, 0);
		net_raise_mss(f, n, all, 31856);
		assert_int_equal(get_be16(f + at + 22), 0x5b4);
	}
}

static void odd_options_are_left_alone(void **state)
{
	static const char *const odd[] = { "\2\0\5\264", "\2\1\5\264", "\2\6\5\264", "\3\2\1\2", "\0\2\4\5", "\1\1\1\2", "\3\3\2\4", "\2\3\4\2" };
	uint8_t f[200], before[200];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
		size_t n = make(f, false, 2, odd[i], 4, 40);

		memcpy(before, f, n);
		net_raise_mss(f, n, all, 31856);
		assert_memory_equal(f, before, n);
	}
}

static void long_segments_are_left_to_the_card(void **state)
{
	static uint8_t f[NET_FRAME_MAX];
	struct net_header h;

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		unsigned at = ipv6 ? AT6 : AT4;
		size_t n = make(f, ipv6, 0x10, "\1\1\1\1", 4, 30000);

		net_header_for(f, n, all, &h);
		assert_int_equal(h.flags, NET_NEEDS_CSUM);
		assert_int_equal(h.gso_type, ipv6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4);
		assert_int_equal(le16_get(h.hdr_len), at + 24);
		assert_int_equal(le16_get(h.gso_size), 1514 - at - 24);
		assert_true(net_finish_checksum(&h, f, n)); /* what was left open leads to the same checksum */
		assert_int_equal(tcp_sum(f, at, 30024, ipv6), 0xffff);
		net_header_for(f, n, (struct net_offloads){ .csum = true }, &h);
		assert_int_equal(h.gso_type, NET_GSO_NONE);
		assert_int_equal(h.flags, NET_DATA_VALID);
		/* One that fits. */
		n = make(f, ipv6, 0x10, "", 0, 1514 - at - 20);
		net_header_for(f, n, all, &h);
		assert_int_equal(h.gso_type, NET_GSO_NONE);
		assert_int_equal(h.flags, NET_DATA_VALID);
		net_header_for(f, n, (struct net_offloads){ 0 }, &h);
		assert_int_equal(h.flags, 0);
	}
	make(f, false, 0x10, "", 0, 3000);
	put_be16(f + 20, 0x2000); /* a fragment */
	net_header_for(f, 3054, all, &h);
	assert_int_equal(h.gso_type, NET_GSO_NONE);
	make(f, false, 0x10, "", 0, 3000);
	f[23] = 17; /* UDP */
	net_header_for(f, 3054, all, &h);
	assert_int_equal(h.gso_type, NET_GSO_NONE);
}

/* Frames that begin well and are then anything, in memory of exactly their size (make asan sees a byte beyond). */
static void anything_does_no_harm(void **state)
{
	(void)state;
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		size_t n = 14 + (size_t)rand() % (i % 16 ? 120 : 4000);
		uint8_t *f = malloc(n);
		struct net_header h, given;
		bool ipv6 = rand() & 1;

		assert_non_null(f);
		for (size_t j = 0; j < n; j++)
			f[j] = (uint8_t)rand();
		put_be16(f + 12, ipv6 ? 0x86dd : 0x800);
		if (n > 70) {
			f[14] = (uint8_t)(ipv6 ? 0x60 : 0x45 + (rand() % 8 ? 0 : rand() % 11));
			f[ipv6 ? 20 : 23] = 6;
			put_be16(f + (ipv6 ? 18 : 16), (uint16_t)(n - (ipv6 ? 54 : 14) - (unsigned)(rand() % 3)));
			put_be16(f + 20, ipv6 ? get_be16(f + 20) : 0);
			f[(ipv6 ? AT6 : AT4) + 13] |= 2;
		}
		given = (struct net_header){ .flags = 1, .csum_start = le16((uint16_t)(rand() % 200)), .csum_offset = le16((uint16_t)(rand() % 50)) };
		net_raise_mss(f, n, all, 31856);
		(void)!net_finish_checksum(&given, f, n);
		net_header_for(f, n, all, &h);
		if (h.flags & NET_NEEDS_CSUM)
			assert_true(le16_get(h.csum_start) + 18u <= n && le16_get(h.hdr_len) <= n);
		free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_are_finished),
		cmocka_unit_test(a_checksum_outside_is_refused),
		cmocka_unit_test(mss_is_raised),
		cmocka_unit_test(odd_options_are_left_alone),
		cmocka_unit_test(long_segments_are_left_to_the_card),
		cmocka_unit_test(anything_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
