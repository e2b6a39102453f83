/* SPDX-License-Identifier: Apache-2.0 */
/* Tap devices; see tap.h. The kernel does all offloads. */
#include <string.h>

#include "host/host_ops.h"
#include "host/tap.h"
#include "vm/tap.h"

#define FRAMES_PER_TURN 32u /* then others on the I/O thread have theirs */

struct tap {
	struct net_backend net;
	const struct net_client *client; /* NULL: no card */
	struct event_loop *loop;
	struct log *log;
	int fd;
	struct event_watch watch;
	bool up;
	size_t held; /* bytes in buffer that the card had no room for */
	uint8_t buffer[sizeof(struct net_header) + NET_FRAME_MAX];
};

static void go_down(struct tap *t)
{
	t->up = false;
	event_watch_remove(t->loop, &t->watch);
	log_line(t->log, LOG_ERROR, "the network interface is gone: the guest goes on with its cable unplugged");
	if (t->client)
		t->client->link(t->client->ctx, false);
}

static bool net_send(void *ctx, const struct net_header *header, const struct net_iov *iov, unsigned niov, size_t bytes LODGE_UNUSED)
{
	struct tap *t = ctx;
	struct net_iov v[NET_IOV_MAX] = { { header, sizeof(*header) } };

	if (t->up && niov <= NET_FRAME_PARTS_MAX) {
		memcpy(v + 1, iov, niov * sizeof(*iov));
		host_tap_send(t->fd, v, niov + 1);
	}
	return true;
}

/* Hand over what is in the buffer; false: the card keeps us waiting. */
static bool deliver(struct tap *t)
{
	struct net_header h;

	if (t->held >= sizeof(h) + NET_ETHERNET_BYTES && t->client) {
		memcpy(&h, t->buffer, sizeof(h));
		if (!t->client->receive(t->client->ctx, &h, t->buffer + sizeof(h), t->held - sizeof(h)))
			return false;
	}
	t->held = 0;
	return true;
}

static void watch(struct tap *t, bool read)
{
	if (event_watch_change(t->loop, &t->watch, read ? EVENT_READ : 0, NULL) != LODGE_OK)
		go_down(t);
}

static void on_events(void *ctx, unsigned events LODGE_UNUSED)
{
	struct tap *t = ctx;

	for (unsigned i = 0; i < FRAMES_PER_TURN; i++) {
		long n = host_tap_receive(t->fd, t->buffer, sizeof(t->buffer));

		if (n < 0)
			go_down(t);
		if (n <= 0)
			return;
		t->held = (size_t)n;
		if (!deliver(t)) {
			watch(t, false);
			return;
		}
	}
}

static void net_resume(void *ctx)
{
	struct tap *t = ctx;

	if (t->up && t->held && deliver(t))
		watch(t, true);
}

static void net_offloads(void *ctx, struct net_offloads to_card)
{
	struct tap *t = ctx;

	host_tap_offloads(t->fd, to_card);
}

static void net_attach(void *ctx, const struct net_client *client)
{
	struct tap *t = ctx;

	t->client = client;
}

const struct net_backend *tap_backend(const struct tap *tap) { return &tap->net; }

enum lodge_err tap_open(const char *name, const char *bridge, struct event_loop *loop, struct log *log, struct tap **out, struct lodge_error *err)
{
	struct tap *t = host_alloc_sparse(sizeof(*t));
	enum lodge_err rc;

	if (!t)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	t->loop = loop;
	t->log = log;
	t->fd = -1;
	t->net = (struct net_backend){ .send = net_send, .resume = net_resume, .offloads = net_offloads, .attach = net_attach, .ctx = t };
	rc = host_tap_open(name, bridge, &t->fd, err);
	if (rc == LODGE_OK) {
		host_tap_offloads(t->fd, (struct net_offloads){ 0 }); /* until a driver says more */
		t->watch = (struct event_watch){ .fd = t->fd, .fn = on_events, .ctx = t };
		rc = event_watch_add(loop, &t->watch, EVENT_READ, err);
		t->up = rc == LODGE_OK;
	} else {
		t->fd = -1;
	}
	if (rc != LODGE_OK) {
		tap_close(t);
		return rc;
	}
	*out = t;
	return LODGE_OK;
}

void tap_close(struct tap *tap)
{
	if (!tap)
		return;
	if (tap->up)
		event_watch_remove(tap->loop, &tap->watch);
	host_tap_close(tap->fd);
	host_free_sparse(tap, sizeof(*tap));
}
