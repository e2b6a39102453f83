/* SPDX-License-Identifier: Apache-2.0 */
/* --allow: what passes, and that what cannot be told does not. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "../../../src/nat/nat.h"

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };

static struct nat_config config;

static void allow(const char *address, unsigned prefix, uint16_t port)
{
	struct nat_rule *r = &config.rules[config.nrules++];

	assert_int_equal(inet_pton(AF_INET6, address, &r->address), 1);
	r->prefix = prefix;
	r->port = port;
}

static bool passes(const char *to, unsigned protocol, uint16_t port)
{
	uint8_t f[100] = { 0 };
	bool ipv6 = strchr(to, ':');

	put_be16(f + 12, ipv6 ? 0x86dd : 0x800);
	f[14] = ipv6 ? 0x60 : 0x45;
	f[ipv6 ? 20 : 23] = (uint8_t)protocol;
	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, to, f + (ipv6 ? 38 : 30)), 1);
	put_be16(f + (ipv6 ? 54 : 34) + 2, port);
	return nat_rules_allow(&config, f, sizeof(f));
}

static void without_rules_all_passes(void **state)
{
	(void)state;
	config.nrules = 0;
	assert_true(passes("192.0.2.1", TCP, 80));
	assert_true(passes("2001:db8::1", 99, 0));
}

static void rules(void **state)
{
	(void)state;
	config.nrules = 0;
	allow("::ffff:192.0.2.1", 128, 80);
	allow("::ffff:10.1.128.0", 96 + 17, 0);
	allow("2001:db8::", 33, 443);
	assert_true(passes("192.0.2.1", TCP, 80));
	assert_true(passes("192.0.2.1", UDP, 80));
	assert_false(passes("192.0.2.1", TCP, 81));
	assert_false(passes("192.0.2.1", ICMP, 0));
	assert_false(passes("192.0.2.0", TCP, 80));
	assert_true(passes("10.1.128.0", TCP, 1));
	assert_true(passes("10.1.255.255", ICMP, 0));
	assert_false(passes("10.1.127.255", TCP, 1));
	assert_false(passes("10.1.128.1", 47, 0)); /* neither TCP nor UDP nor ICMP */
	assert_true(passes("2001:db8:7fff::1", TCP, 443));
	assert_false(passes("2001:db8:8000::1", TCP, 443));
	assert_false(passes("2001:db8::1", TCP, 80));
	assert_false(passes("2001:db8::1", 0, 443)); /* behind extension headers */
}

static void the_network_itself_goes_on(void **state)
{
	uint8_t arp[60] = { [12] = 0x08, [13] = 0x06 };

	(void)state;
	config.nrules = 0;
	allow("::ffff:192.0.2.1", 128, 80);
	assert_true(nat_rules_allow(&config, arp, sizeof(arp)));
	assert_true(passes("255.255.255.255", UDP, 67));
	assert_true(passes("10.0.2.3", UDP, 53));
	assert_true(passes("10.0.2.3", TCP, 53));
	assert_true(passes("fec0::3", UDP, 53));
	assert_true(passes("ff02::2", ICMPV6, 0));
	assert_true(passes("fe80::2", ICMPV6, 0));
	assert_false(passes("192.0.2.9", UDP, 67));
	assert_false(passes("10.0.2.3", UDP, 54));
	assert_false(passes("10.0.2.2", UDP, 53));
	assert_false(passes("255.255.255.255", TCP, 67));
	assert_false(passes("2001:db8::1", ICMPV6, 0));
}

static void what_cannot_be_told_is_kept(void **state)
{
	uint8_t f[60] = { [12] = 0x08, [14] = 0x45, [23] = TCP, [30] = 192, [32] = 2, [33] = 1, [37] = 80 };

	(void)state;
	config.nrules = 0;
	allow("::ffff:192.0.2.1", 128, 80);
	assert_true(nat_rules_allow(&config, f, sizeof(f)));
	assert_false(nat_rules_allow(&config, f, 37)); /* ends before the port does */
	assert_false(nat_rules_allow(&config, f, 33));
	f[21] = 1; /* a later fragment */
	assert_false(nat_rules_allow(&config, f, sizeof(f)));
	f[20] = 0x20;
	f[21] = 0; /* a first one, which may hide the port's other half */
	assert_false(nat_rules_allow(&config, f, sizeof(f)));
	f[20] = 0;
	f[14] = 0x4f; /* options move the port */
	assert_false(nat_rules_allow(&config, f, sizeof(f)));
}

static void anything_does_no_harm(void **state)
{
	(void)state;
	srand(2);
	for (unsigned i = 0; i < 100000; i++) {
		size_t n = 14 + (size_t)rand() % 70;
		uint8_t *f = malloc(n);

		assert_non_null(f);
		for (size_t j = 0; j < n; j++)
			f[j] = (uint8_t)rand();
		put_be16(f + 12, rand() & 1 ? 0x800 : 0x86dd);
		if (rand() & 1 && n > 24)
			f[23] = f[20] = TCP;
		(void)!nat_rules_allow(&config, f, n);
		free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_all_passes),
		cmocka_unit_test(rules),
		cmocka_unit_test(the_network_itself_goes_on),
		cmocka_unit_test(what_cannot_be_told_is_kept),
		cmocka_unit_test(anything_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
