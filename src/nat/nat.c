/* SPDX-License-Identifier: Apache-2.0 */
/* libslirp between the VM's frames and the host's sockets. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>

#include "nat/nat.h"
#include "net/offload.h"

/* The guest's TCP takes this much at once where it left segmentation to us: two such fit into a window without scaling, so one is always on its way. */
#define MSS_RAISED 31856u
#define TIMERS_MAX 16

struct nat_timer {
	bool used;
	SlirpTimerCb fn;
	void *ctx;
	int64_t at_ms; /* INT64_MAX: not armed */
};

struct nat {
	const struct nat_config *config;
	Slirp *slirp;
	struct nat_link *link;
	int fd;
	struct net_offloads offloads;
	struct nat_timer timers[TIMERS_MAX];
	struct pollfd *polls; /* first the VM's, then libslirp's */
	unsigned npolls, polls_max;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what libslirp asks for ---- */

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
	struct nat *n = opaque;
	struct net_header h;
	uint8_t *frame = (uint8_t *)(uintptr_t)buf; /* libslirp's own, which it is done with */

	net_header_for(frame, len, n->offloads, &h);
	nat_link_send(n->link, &h, frame, len);
	return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque) { (void)msg; (void)opaque; }
static int64_t clock_get_ns(void *opaque) { (void)opaque; return now_ns(); }
static void fd_nothing(int fd, void *opaque) { (void)fd; (void)opaque; }
static void notify(void *opaque) { (void)opaque; }

static void *timer_new(SlirpTimerCb fn, void *ctx, void *opaque)
{
	struct nat *n = opaque;

	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		if (n->timers[i].used)
			continue;
		n->timers[i] = (struct nat_timer){ .used = true, .fn = fn, .ctx = ctx, .at_ms = INT64_MAX };
		return &n->timers[i];
	}
	abort(); /* libslirp 4 has one */
}

static void timer_free(void *timer, void *opaque) { (void)opaque; ((struct nat_timer *)timer)->used = false; }
static void timer_mod(void *timer, int64_t at_ms, void *opaque) { (void)opaque; ((struct nat_timer *)timer)->at_ms = at_ms; }

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = fd_nothing,
	.unregister_poll_fd = fd_nothing,
	.notify = notify,
};

/* ---- the loop ---- */

static int add_poll(int fd, int events, void *opaque)
{
	struct nat *n = opaque;
	struct pollfd *p;

	if (n->npolls == n->polls_max) {
		p = reallocarray(n->polls, n->polls_max * 2u, sizeof(*p));
		if (!p)
			return 0; /* the VM's own: harmless, and the socket is tried again next time */
		n->polls = p;
		n->polls_max *= 2;
	}
	n->polls[n->npolls] = (struct pollfd){ .fd = fd, .events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) |
			(events & SLIRP_POLL_OUT ? POLLOUT : 0) | (events & SLIRP_POLL_PRI ? POLLPRI : 0)) };
	return (int)n->npolls++;
}

static int get_revents(int index, void *opaque)
{
	struct nat *n = opaque;
	int events;

	if (index <= 0)
		return 0;
	events = n->polls[index].revents;
	return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) | (events & POLLPRI ? SLIRP_POLL_PRI : 0) |
	       (events & POLLERR ? SLIRP_POLL_ERR : 0) | (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void on_message(void *ctx, struct net_message_header *h, uint8_t *frame, size_t bytes)
{
	struct nat *n = ctx;

	switch (h->kind) {
	case NET_MESSAGE_FRAME:
		if (bytes < NET_ETHERNET_BYTES || !nat_rules_allow(n->config, frame, bytes) || !net_finish_checksum(&h->header, frame, bytes))
			return;
		net_raise_mss(frame, bytes, n->offloads, MSS_RAISED);
		slirp_input(n->slirp, frame, (int)bytes);
		break;
	case NET_MESSAGE_OFFLOADS:
		n->offloads = (struct net_offloads){ .csum = h->header.flags & NET_WIRE_CSUM, .tso4 = h->header.flags & NET_WIRE_TSO4,
						     .tso6 = h->header.flags & NET_WIRE_TSO6 };
		break;
	default:
		break;
	}
}

static int timeout_ms(const struct nat *n, uint32_t slirp_ms)
{
	int64_t now = now_ns() / 1000000, least = slirp_ms > 60000 ? 60000 : slirp_ms;

	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (n->timers[i].used && n->timers[i].at_ms - now < least)
			least = n->timers[i].at_ms > now ? n->timers[i].at_ms - now : 0;
	return (int)least;
}

static void run_timers(struct nat *n)
{
	int64_t now = now_ns() / 1000000;

	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		struct nat_timer *t = &n->timers[i];

		if (!t->used || t->at_ms > now)
			continue;
		t->at_ms = INT64_MAX;
		t->fn(t->ctx);
	}
}

/* One round; false: the VM is gone. While it does not take what we have, nothing new is fetched for it. */
static bool turn(struct nat *n)
{
	bool idle = nat_link_flush(n->link);
	uint32_t wait_ms = UINT32_MAX;
	int ready;

	n->npolls = 1;
	n->polls[0] = (struct pollfd){ .fd = n->fd, .events = (short)(idle ? POLLIN : POLLOUT) };
	if (idle)
		slirp_pollfds_fill(n->slirp, &wait_ms, add_poll, n);
	ready = poll(n->polls, n->npolls, timeout_ms(n, wait_ms));
	if (ready < 0 && errno != EINTR)
		return false;
	if (idle)
		slirp_pollfds_poll(n->slirp, ready < 0, get_revents, n);
	run_timers(n);
	if (ready > 0 && n->polls[0].revents & POLLIN)
		return nat_link_receive(n->link, on_message, n);
	return ready <= 0 || !(n->polls[0].revents & (POLLHUP | POLLERR));
}

/* ---- set-up ---- */

static void say(int fd, enum net_message kind, const char *sentence)
{
	struct {
		struct net_message_header h;
		char text[NET_SENTENCE_MAX];
	} m = { .h = { .kind = kind } };
	size_t n = strnlen(sentence, sizeof(m.text));

	memcpy(m.text, sentence, n);
	if (write(fd, &m, sizeof(m.h) + n) < 0)
		_exit(1);
}

/* The addresses that such networks have everywhere, so that what people know about them holds. */
static Slirp *start_slirp(struct nat *n)
{
	SlirpConfig c = {
		.version = 4,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vnameserver.s_addr = htonl(0x0a000203),
		.in6_enabled = true,
		.vprefix_len = 64,
		.if_mtu = 65521,
		.if_mru = 65521,
	};

	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	return slirp_new(&c, &callbacks, n);
}

static bool add_forwards(struct nat *n)
{
	struct in_addr guest = { htonl(0x0a00020f) };

	for (unsigned i = 0; i < n->config->nforwards; i++) {
		const struct nat_forward *f = &n->config->forwards[i];
		char text[NET_SENTENCE_MAX], address[INET_ADDRSTRLEN];
		const char *hint;

		errno = 0;
		if (!slirp_add_hostfwd(n->slirp, f->udp, f->address, f->host_port, guest, f->guest_port))
			continue;
		hint = errno == EADDRINUSE ? "; another program has it: choose another port, or end that program" :
		       errno == EACCES     ? "; ports below 1024 are the administrator's" : "";
		inet_ntop(AF_INET, &f->address, address, sizeof(address));
		snprintf(text, sizeof(text), "cannot listen on %s port %s:%u: %s%s", f->udp ? "UDP" : "TCP", address, f->host_port, strerror(errno), hint);
		say(n->fd, NET_MESSAGE_FAILED, text);
		return false;
	}
	return true;
}

int nat_run(const struct nat_config *config, int fd)
{
	struct nat n = { .config = config, .fd = fd, .link = nat_link_create(fd), .polls_max = 64 };

	n.polls = calloc(n.polls_max, sizeof(*n.polls));
	if (n.link && n.polls)
		n.slirp = start_slirp(&n);
	if (!n.slirp) {
		say(fd, NET_MESSAGE_FAILED, "out of memory");
		return 1;
	}
	if (!add_forwards(&n))
		return 1;
	if (!nat_sandbox()) {
		say(fd, NET_MESSAGE_FAILED, "the network helper cannot confine itself on this host");
		return 1;
	}
	say(fd, NET_MESSAGE_READY, "");
	while (turn(&n))
		;
	return 0;
}
