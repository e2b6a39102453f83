/* SPDX-License-Identifier: Apache-2.0 */
/* The network options; see options_net.h. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options_net.h"

#define WORD_MAX 300

static bool parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = (uint16_t)n;
	return *text >= '0' && *text <= '9' && !*end && n >= 1 && n <= UINT16_MAX;
}

/* ---- --net, --net-limit ---- */

enum lodge_err options_net(struct vm_net *net, const char *arg, struct lodge_error *err)
{
	static const char *const names[] = { "none", "user", "tap:", "bridge:", NULL };
	const char *near = cli_nearest(arg, names);

	for (unsigned i = 0; names[i]; i++) {
		bool named = i >= VM_NET_TAP;

		if (named ? strncmp(arg, names[i], strlen(names[i])) : strcmp(arg, names[i]))
			continue;
		net->kind = (enum vm_net_kind)i;
		net->interface = named ? arg + strlen(names[i]) : NULL;
		if (named && !*net->interface)
			return error_set(err, LODGE_ERR_ARG, "--net %s needs the name of an interface behind the colon", arg);
		return LODGE_OK;
	}
	if (near)
		return error_set(err, LODGE_ERR_ARG, "--net does not know '%s'; did you mean '%s'?", arg, near);
	return error_set(err, LODGE_ERR_ARG, "--net does not know '%s': write none, user, tap:NAME or bridge:NAME", arg);
}

enum lodge_err options_net_limit(struct vm_net *net, const char *arg, struct lodge_error *err)
{
	char *end;
	unsigned long long n = strtoull(arg, &end, 10), unit = 1;

	if (*end == 'K' || *end == 'k')
		unit = 1000;
	else if (*end == 'M')
		unit = 1000000;
	else if (*end == 'G')
		unit = 1000000000;
	end += unit > 1;
	/* At least a few frames a second, and small enough to calculate with. */
	if (*arg < '0' || *arg > '9' || *end || n > 1000000 || n * unit < 10000 || n * unit > 1000000000000)
		return error_set(err, LODGE_ERR_ARG, "--net-limit '%s' is no rate: write bytes a second, for example 500K or 10M (at least 10K)", arg);
	net->bytes_per_second = n * unit;
	return LODGE_OK;
}

/* ---- -p ---- */

enum lodge_err options_forward(struct vm_net *net, const char *arg, struct lodge_error *err)
{
	struct vm_forward f = { .address = "127.0.0.1" };
	char word[WORD_MAX], *guest, *host, *slash;
	struct in_addr address;

	if (net->nforwards == VM_FORWARDS_MAX)
		return error_set(err, LODGE_ERR_ARG, "a machine has up to %d forwarded ports", VM_FORWARDS_MAX);
	if ((size_t)snprintf(word, sizeof(word), "%s", arg) >= sizeof(word))
		return error_set(err, LODGE_ERR_ARG, "-p: that is no port");
	slash = strchr(word, '/');
	if (slash) {
		*slash = 0;
		f.udp = !strcmp(slash + 1, "udp");
		if (!f.udp && strcmp(slash + 1, "tcp"))
			return error_set(err, LODGE_ERR_ARG, "-p '%s': behind the slash comes tcp or udp", arg);
	}
	guest = strrchr(word, ':');
	if (guest)
		*guest++ = 0;
	host = strrchr(word, ':');
	if (host)
		*host++ = 0;
	if (!guest || !parse_port(host ? host : word, &f.host_port) || !parse_port(guest, &f.guest_port))
		return error_set(err, LODGE_ERR_ARG, "-p '%s' is no forwarded port: write [IP:]HOST:GUEST[/udp], for example 8080:80", arg);
	if (host && inet_pton(AF_INET, word, &address) != 1)
		return error_set(err, LODGE_ERR_ARG, "-p '%s': '%s' is no IPv4 address of this host; 0.0.0.0 stands for all of them", arg, word);
	if (host)
		inet_ntop(AF_INET, &address, f.address, sizeof(f.address));
	net->forwards[net->nforwards++] = f;
	return LODGE_OK;
}

/* ---- --allow ---- */

static enum lodge_err add_rule(struct vm_net *net, int family, const void *address, unsigned prefix, uint16_t port, struct lodge_error *err)
{
	struct vm_allow *a = &net->allow[net->nallow];
	struct in6_addr ipv6 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (net->nallow == VM_ALLOW_MAX)
		return error_set(err, LODGE_ERR_ARG, "--allow takes up to %d addresses, and a name may have several", VM_ALLOW_MAX);
	net->nallow++;
	if (family == AF_INET)
		memcpy(ipv6.s6_addr + 12, address, 4);
	else
		memcpy(&ipv6, address, 16);
	*a = (struct vm_allow){ .prefix = family == AF_INET ? prefix + 96 : prefix, .port = port };
	inet_ntop(AF_INET6, &ipv6, a->address, sizeof(a->address));
	return LODGE_OK;
}

static enum lodge_err add_name(struct vm_net *net, const char *name, uint16_t port, struct lodge_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	enum lodge_err rc = LODGE_OK;
	int failed = getaddrinfo(name, NULL, &hints, &list);

	if (failed)
		return error_set(err, LODGE_ERR_NOT_FOUND, "--allow: cannot look up '%s': %s", name, gai_strerror(failed));
	for (const struct addrinfo *i = list; i && rc == LODGE_OK; i = i->ai_next) {
		if (i->ai_family == AF_INET)
			rc = add_rule(net, AF_INET, &((const struct sockaddr_in *)(const void *)i->ai_addr)->sin_addr, 32, port, err);
		else if (i->ai_family == AF_INET6)
			rc = add_rule(net, AF_INET6, &((const struct sockaddr_in6 *)(const void *)i->ai_addr)->sin6_addr, 128, port, err);
	}
	freeaddrinfo(list);
	return rc;
}

/* HOST, HOST:PORT, [IPV6]:PORT; an IPv6 address has colons of its own. Cuts @word up. */
static char *split_port(char *word, char **host)
{
	char *end, *colon;

	*host = word;
	if (*word == '[' && (end = strchr(word, ']'))) {
		*host = word + 1;
		*end = 0;
		return end[1] == ':' ? end + 2 : end[1] ? end : NULL; /* an empty word is no port */
	}
	colon = strchr(word, ':');
	if (!colon || strchr(colon + 1, ':'))
		return NULL;
	*colon = 0;
	return colon + 1;
}

enum lodge_err options_allow(struct vm_net *net, const char *arg, struct lodge_error *err)
{
	char word[WORD_MAX], *host, *port_text, *slash, *end;
	struct in6_addr address;
	unsigned long prefix = 0;
	uint16_t port = 0;
	int family;

	if ((size_t)snprintf(word, sizeof(word), "%s", arg) >= sizeof(word) || !*word)
		return error_set(err, LODGE_ERR_ARG, "--allow: that is no host");
	port_text = split_port(word, &host);
	if (port_text && !parse_port(port_text, &port))
		return error_set(err, LODGE_ERR_ARG, "--allow '%s': '%s' is no port", arg, port_text);
	slash = strchr(host, '/');
	if (slash)
		*slash = 0;
	family = inet_pton(AF_INET, host, &address) == 1 ? AF_INET : inet_pton(AF_INET6, host, &address) == 1 ? AF_INET6 : AF_UNSPEC;
	if (family == AF_UNSPEC && !slash)
		return add_name(net, host, port, err);
	prefix = slash ? strtoul(slash + 1, &end, 10) : family == AF_INET ? 32 : 128;
	if (family == AF_UNSPEC || prefix > (family == AF_INET ? 32u : 128u) || (slash && (slash[1] < '0' || slash[1] > '9' || *end)))
		return error_set(err, LODGE_ERR_ARG, "--allow '%s' is no range: write for example 10.1.0.0/16 or [2001:db8::/32]:443", arg);
	return add_rule(net, family, &address, (unsigned)prefix, port, err);
}

/* ---- --mac ---- */

enum lodge_err options_mac(struct vm_net *net, const char *arg, struct lodge_error *err)
{
	unsigned m[NET_MAC_BYTES];
	int end = 0;

	if (sscanf(arg, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end) != NET_MAC_BYTES || arg[end] || end != 17)
		return error_set(err, LODGE_ERR_ARG, "--mac '%s' is no address: write six bytes, for example 02:00:00:12:34:56", arg);
	for (unsigned i = 0; i < NET_MAC_BYTES; i++)
		net->mac[i] = (uint8_t)m[i];
	if (net->mac[0] & 1)
		return error_set(err, LODGE_ERR_ARG, "--mac '%s' is an address of a group: the first byte must be even", arg);
	return LODGE_OK;
}

void options_default_mac(struct vm_net *net, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (const char *p = name ? name : ""; *p; p++)
		hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	net->mac[0] = 0x02; /* locally administered */
	for (unsigned i = 1; i < NET_MAC_BYTES; i++)
		net->mac[i] = (uint8_t)(hash >> 8 * i);
}
