/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-net [forward tcp|udp ADDRESS HOSTPORT GUESTPORT]... [allow ADDRESS PREFIX PORT]...
 *
 * Started by lodge, which has checked all that; descriptor 3 leads to it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nat/nat.h"

static bool parse_u16(const char *text, uint16_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = (uint16_t)n;
	return *text && !*end && n <= UINT16_MAX;
}

static bool parse_forward(struct nat_config *c, char **words)
{
	struct nat_forward *f = &c->forwards[c->nforwards];

	if (c->nforwards++ == NAT_FORWARDS_MAX)
		return false;
	f->udp = !strcmp(words[0], "udp");
	return inet_pton(AF_INET, words[1], &f->address) == 1 && parse_u16(words[2], &f->host_port) && parse_u16(words[3], &f->guest_port);
}

static bool parse_rule(struct nat_config *c, char **words)
{
	struct nat_rule *r = &c->rules[c->nrules];
	uint16_t prefix;

	if (c->nrules++ == NAT_RULES_MAX || inet_pton(AF_INET6, words[0], &r->address) != 1 || !parse_u16(words[1], &prefix) || prefix > 128)
		return false;
	r->prefix = prefix;
	return parse_u16(words[2], &r->port);
}

static bool parse(struct nat_config *c, int argc, char **argv)
{
	for (int i = 1; i < argc;) {
		if (!strcmp(argv[i], "forward") && argc - i >= 5 && parse_forward(c, argv + i + 1))
			i += 5;
		else if (!strcmp(argv[i], "allow") && argc - i >= 4 && parse_rule(c, argv + i + 1))
			i += 4;
		else
			return false;
	}
	return true;
}

/* Each connection is a descriptor. */
static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	struct nat_config config = { 0 };
	int type = 0, quiet;
	socklen_t size = sizeof(type);

	if (getsockopt(NET_HELPER_FD, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET || !parse(&config, argc, argv)) {
		fputs("lodge-net is the network of a virtual machine; `lodge run --net user` starts it\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	/* What libslirp and its libraries print is the guest's doing: it could fill a terminal. */
	quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3 && quiet >= 0; fd++)
		dup2(quiet, fd);
	return nat_run(&config, NET_HELPER_FD);
}
