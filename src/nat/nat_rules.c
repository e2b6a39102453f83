/* SPDX-License-Identifier: Apache-2.0 */
/* Which destinations the guest may reach (--allow). */
#include <string.h>

#include "nat/nat.h"

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };

struct destination {
	struct in6_addr address;
	unsigned protocol, port; /* port 0: none */
};

static void map_ipv4(struct in6_addr *out, const uint8_t *ipv4)
{
	*out = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(out->s6_addr + 12, ipv4, 4);
}

/* False: there is no telling, so it may not pass. Fragments are among these: a later one names no port. */
static bool find_destination(const uint8_t *frame, size_t bytes, struct destination *d)
{
	const uint8_t *ip = frame + NET_ETHERNET_BYTES;
	size_t at;

	if (get_be16(frame + 12) == TYPE_IPV4) {
		if (bytes < NET_ETHERNET_BYTES + 20u || get_be16(ip + 6) & 0x3fff)
			return false;
		at = NET_ETHERNET_BYTES + (ip[0] & 15u) * 4u;
		d->protocol = ip[9];
		map_ipv4(&d->address, ip + 16);
	} else {
		if (bytes < NET_ETHERNET_BYTES + 40u)
			return false;
		at = NET_ETHERNET_BYTES + 40;
		d->protocol = ip[6];
		memcpy(&d->address, ip + 24, 16);
	}
	d->port = 0;
	if (d->protocol == ICMP || d->protocol == ICMPV6)
		return true;
	if ((d->protocol != TCP && d->protocol != UDP) || at + 4 > bytes)
		return false;
	d->port = get_be16(frame + at + 2);
	return true;
}

static bool in_range(const struct in6_addr *a, const struct nat_rule *r)
{
	unsigned whole = r->prefix / 8, rest = r->prefix % 8;

	if (memcmp(a->s6_addr, r->address.s6_addr, whole))
		return false;
	return !rest || !((a->s6_addr[whole] ^ r->address.s6_addr[whole]) >> (8 - rest));
}

static bool is_ipv4(const struct destination *d, const uint8_t *ipv4)
{
	struct in6_addr a;

	map_ipv4(&a, ipv4);
	return !memcmp(&a, &d->address, sizeof(a));
}

/* DHCP, the name server, IPv6's neighbours and routers. */
static bool keeps_network_going(const struct destination *d)
{
	static const uint8_t gateway[4] = { 10, 0, 2, 2 }, broadcast[4] = { 255, 255, 255, 255 }, names4[4] = { 10, 0, 2, 3 };
	static const uint8_t names6[16] = { 0xfe, 0xc0, [15] = 3 };

	if (d->protocol == UDP && d->port == 67)
		return is_ipv4(d, broadcast) || is_ipv4(d, gateway);
	if (d->port == 53)
		return is_ipv4(d, names4) || !memcmp(names6, &d->address, 16);
	return d->protocol == ICMPV6 && (d->address.s6_addr[0] == 0xff || (d->address.s6_addr[0] == 0xfe && d->address.s6_addr[1] >= 0x80));
}

bool nat_rules_allow(const struct nat_config *config, const uint8_t *frame, size_t bytes)
{
	struct destination d;
	unsigned type = get_be16(frame + 12);

	if (!config->nrules)
		return true;
	if (type != TYPE_IPV4 && type != TYPE_IPV6)
		return true; /* ARP; libslirp knows no others */
	if (!find_destination(frame, bytes, &d))
		return false;
	if (keeps_network_going(&d))
		return true;
	for (unsigned i = 0; i < config->nrules; i++) {
		const struct nat_rule *r = &config->rules[i];

		if ((!r->port || r->port == d.port) && in_range(&d.address, r))
			return true;
	}
	return false;
}
