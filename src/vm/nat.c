/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's side of lodge-net; see nat.h. All on the I/O thread. */
#include <stdio.h>
#include <string.h>

#include "host/helper.h"
#include "host/host_ops.h"
#include "net/net_wire.h"
#include "vm/nat.h"

#define START_PATIENCE_MS 10000
#define BATCH 8u

struct nat {
	struct net_backend net;
	const struct net_client *client; /* NULL: no card */
	struct event_loop *loop;
	struct log *log;
	struct host_helper helper;
	struct event_watch watch;
	unsigned events; /* watched for */
	bool up;
	/* what the card had no room for: packets [next, n) */
	struct host_packet packets[BATCH];
	unsigned next, n;
	/* what the socket had no room for */
	struct net_message_header offloads;
	bool offloads_wait, frame_waits;
	size_t frame_bytes;
	uint8_t frame[NET_MESSAGE_MAX];
	uint8_t buffers[BATCH][NET_MESSAGE_MAX] __attribute__((aligned(16)));
};

/* ---- trouble ---- */

static void go_down(struct nat *n)
{
	char fate[32] = "";

	if (!n->up)
		return;
	n->up = false;
	event_watch_remove(n->loop, &n->watch);
	host_helper_fate(&n->helper, fate, sizeof(fate));
	log_line(n->log, LOG_ERROR, "the network helper lodge-net ended (%s): the guest goes on with its cable unplugged; restart the machine to get the "
		 "network back", fate);
	n->frame_waits = n->offloads_wait = false;
	if (n->client) {
		n->client->link(n->client->ctx, false);
		n->client->writable(n->client->ctx);
	}
}

/* Watch for what is of use now: room if something waits, packets if the card takes them. */
static void watch(struct nat *n)
{
	unsigned events = (n->next == n->n ? EVENT_READ : 0u) | (n->frame_waits || n->offloads_wait ? EVENT_WRITE : 0u);

	if (!n->up || events == n->events)
		return;
	n->events = events;
	if (event_watch_change(n->loop, &n->watch, events, NULL) != LODGE_OK)
		go_down(n);
}

/* ---- out ---- */

static bool send_offloads(struct nat *n)
{
	struct net_iov iov = { &n->offloads, sizeof(n->offloads) };

	n->offloads_wait = host_packet_send(n->helper.fd, &iov, 1) == HOST_PACKET_FULL;
	return !n->offloads_wait;
}

static void keep_frame(struct nat *n, const struct net_iov *iov, unsigned niov)
{
	n->frame_bytes = 0;
	n->frame_waits = true;
	for (unsigned i = 0; i < niov; i++) {
		memcpy(n->frame + n->frame_bytes, iov[i].base, iov[i].len);
		n->frame_bytes += iov[i].len;
	}
}

static bool net_send(void *ctx, const struct net_header *header, const struct net_iov *iov, unsigned niov, size_t bytes)
{
	struct nat *n = ctx;
	struct net_message_header h = { .kind = NET_MESSAGE_FRAME, .header = *header };
	struct net_iov v[NET_IOV_MAX] = { { &h, sizeof(h) } };

	if (!n->up || niov > NET_FRAME_PARTS_MAX || bytes > NET_FRAME_MAX)
		return true;
	memcpy(v + 1, iov, niov * sizeof(*iov));
	if (n->frame_waits || host_packet_send(n->helper.fd, v, niov + 1) != HOST_PACKET_FULL)
		return !n->frame_waits; /* a hang-up is the watch's to see */
	keep_frame(n, v, niov + 1);
	watch(n);
	return false;
}

static void flush(struct nat *n)
{
	struct net_iov iov = { n->frame, n->frame_bytes };

	if (n->offloads_wait && !send_offloads(n))
		return;
	if (!n->frame_waits || host_packet_send(n->helper.fd, &iov, 1) == HOST_PACKET_FULL)
		return;
	n->frame_waits = false;
	if (n->client)
		n->client->writable(n->client->ctx);
}

static void net_offloads(void *ctx, struct net_offloads o)
{
	struct nat *n = ctx;

	n->offloads = (struct net_message_header){ .kind = NET_MESSAGE_OFFLOADS };
	n->offloads.header.flags = (uint8_t)((o.csum ? NET_WIRE_CSUM : 0) | (o.tso4 ? NET_WIRE_TSO4 : 0) | (o.tso6 ? NET_WIRE_TSO6 : 0));
	if (n->up && !send_offloads(n))
		watch(n);
}

/* ---- in ---- */

/* Give the card what there is; false: it is full. */
static bool deliver(struct nat *n)
{
	for (; n->next < n->n; n->next++) {
		const struct host_packet *p = &n->packets[n->next];
		struct net_message_header h;

		if (p->bytes < sizeof(h) + NET_ETHERNET_BYTES)
			continue;
		memcpy(&h, p->base, sizeof(h));
		if (h.kind == NET_MESSAGE_FRAME && n->client &&
		    !n->client->receive(n->client->ctx, &h.header, (const uint8_t *)p->base + sizeof(h), p->bytes - sizeof(h)))
			return false;
	}
	return true;
}

static void net_resume(void *ctx)
{
	struct nat *n = ctx;

	if (n->up && n->next < n->n) {
		(void)deliver(n);
		watch(n);
	}
}

static void on_events(void *ctx, unsigned events)
{
	struct nat *n = ctx;
	int got = 0;

	if (events & EVENT_READ && n->next == n->n) {
		got = host_packet_receive(n->helper.fd, n->packets, BATCH);
		n->next = 0;
		n->n = got > 0 ? (unsigned)got : 0;
		(void)deliver(n);
	}
	if (got < 0 || (events & EVENT_HANGUP && !got)) {
		go_down(n);
		return;
	}
	if (events & EVENT_WRITE)
		flush(n);
	watch(n);
}

static void net_attach(void *ctx, const struct net_client *client)
{
	struct nat *n = ctx;

	n->client = client;
}

const struct net_backend *nat_backend(const struct nat *nat) { return &nat->net; }

/* ---- life ---- */

struct arguments {
	const char *words[2 + 5 * VM_FORWARDS_MAX + 4 * VM_ALLOW_MAX];
	char numbers[2 * VM_FORWARDS_MAX + 2 * VM_ALLOW_MAX][8];
	unsigned nwords, nnumbers;
};

static void add_word(struct arguments *a, const char *word) { a->words[a->nwords++] = word; }

static void add_number(struct arguments *a, unsigned number)
{
	char *text = a->numbers[a->nnumbers++];

	snprintf(text, sizeof(a->numbers[0]), "%u", number & 0xffff);
	add_word(a, text);
}

static void make_arguments(struct arguments *a, const struct vm_net *config)
{
	add_word(a, "lodge-net");
	for (unsigned i = 0; i < config->nforwards; i++) {
		const struct vm_forward *f = &config->forwards[i];

		add_word(a, "forward");
		add_word(a, f->udp ? "udp" : "tcp");
		add_word(a, f->address);
		add_number(a, f->host_port);
		add_number(a, f->guest_port);
	}
	for (unsigned i = 0; i < config->nallow; i++) {
		add_word(a, "allow");
		add_word(a, config->allow[i].address);
		add_number(a, config->allow[i].prefix);
		add_number(a, config->allow[i].port);
	}
}

/* The helper's first word: that it is ready, or why it is not. */
static enum lodge_err wait_ready(struct nat *n, struct lodge_error *err)
{
	struct net_message_header h = { 0 };
	struct host_packet *p = &n->packets[0];
	char text[NET_SENTENCE_MAX + 1] = "", fate[32] = "";
	size_t bytes;

	if (!host_packet_wait(n->helper.fd, START_PATIENCE_MS))
		return error_set(err, LODGE_ERR_IO, "the network helper lodge-net does not answer");
	if (host_packet_receive(n->helper.fd, p, 1) < 1 || p->bytes < sizeof(h)) {
		host_helper_fate(&n->helper, fate, sizeof(fate));
		return error_set(err, LODGE_ERR_IO, "the network helper lodge-net ended before it was ready (%s)", fate);
	}
	memcpy(&h, p->base, sizeof(h));
	if (h.kind == NET_MESSAGE_READY)
		return LODGE_OK;
	bytes = MIN(p->bytes - sizeof(h), (size_t)NET_SENTENCE_MAX);
	memcpy(text, (const uint8_t *)p->base + sizeof(h), bytes);
	return error_set(err, LODGE_ERR_BUSY, "%s", text);
}

static enum lodge_err start(struct nat *n, const struct vm_net *config, struct lodge_error *err)
{
	struct arguments a = { 0 };
	enum lodge_err rc;

	make_arguments(&a, config);
	rc = host_helper_start(&n->helper, "lodge-net", a.words, NET_HELPER_FD, err);
	if (rc == LODGE_OK)
		rc = wait_ready(n, err);
	if (rc != LODGE_OK)
		return rc;
	n->events = EVENT_READ;
	n->watch = (struct event_watch){ .fd = n->helper.fd, .fn = on_events, .ctx = n };
	rc = event_watch_add(n->loop, &n->watch, n->events, err);
	n->up = rc == LODGE_OK;
	return rc;
}

enum lodge_err nat_open(const struct vm_net *config, struct event_loop *loop, struct log *log, struct nat **out, struct lodge_error *err)
{
	struct nat *n = host_alloc_sparse(sizeof(*n));
	enum lodge_err rc;

	if (!n)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	n->loop = loop;
	n->log = log;
	n->helper.fd = -1;
	n->net = (struct net_backend){ .send = net_send, .resume = net_resume, .offloads = net_offloads, .attach = net_attach, .ctx = n };
	for (unsigned i = 0; i < BATCH; i++)
		n->packets[i] = (struct host_packet){ .base = n->buffers[i], .cap = sizeof(n->buffers[i]) };
	rc = start(n, config, err);
	if (rc != LODGE_OK) {
		nat_close(n);
		return rc;
	}
	*out = n;
	return LODGE_OK;
}

void nat_close(struct nat *nat)
{
	if (!nat)
		return;
	if (nat->up)
		event_watch_remove(nat->loop, &nat->watch);
	host_helper_stop(&nat->helper);
	host_free_sparse(nat, sizeof(*nat));
}
