/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's network; see net.h. Stands between card and network as the other one to each. All on the I/O thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/host_ops.h"
#include "vm/nat.h"
#include "vm/net.h"
#include "vm/tap.h"

#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS (SECOND_NS / 50) /* what may pass at once after a pause, in time */

/* A direction's budget: when it will be paid for. */
struct budget {
	uint64_t paid_ns; /* on the timers' clock */
	struct timer timer;
};

struct vm_network {
	struct net_backend net;          /* to the card */
	struct net_client client;        /* to the network */
	const struct net_backend *inner; /* the network */
	const struct net_client *card;   /* NULL: none */
	struct nat *nat;
	struct tap *tap;
	struct log *log;
	FILE *pcap;
	const char *pcap_path;
	uint64_t bytes_per_second; /* 0: no limit */
	struct budget out, in;
	bool inner_full;
};

/* ---- the record: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html ---- */

#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_ETHERNET 1u

struct pcap_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, length_max, link;
};

struct pcap_record {
	uint32_t seconds, nanoseconds, kept, bytes;
};

static void pcap_give_up(struct vm_network *n)
{
	log_line(n->log, LOG_ERROR, "cannot go on recording to '%s': %s; the network is not affected", n->pcap_path, strerror(errno));
	fclose(n->pcap);
	n->pcap = NULL;
}

static void record(struct vm_network *n, const struct net_iov *iov, unsigned niov, size_t bytes)
{
	uint64_t now = host_wallclock_ns();
	struct pcap_record r = { (uint32_t)(now / SECOND_NS), (uint32_t)(now % SECOND_NS), (uint32_t)bytes, (uint32_t)bytes };
	bool good;

	if (!n->pcap)
		return;
	good = fwrite(&r, sizeof(r), 1, n->pcap) == 1;
	for (unsigned i = 0; i < niov && good; i++)
		good = fwrite(iov[i].base, iov[i].len, 1, n->pcap) == 1;
	if (!good || fflush(n->pcap)) /* frame by frame: it is there when the machine is killed, and can be watched */
		pcap_give_up(n);
}

static enum lodge_err pcap_open(struct vm_network *n, const char *path, struct lodge_error *err)
{
	struct pcap_header h = { .magic = PCAP_MAGIC_NS, .major = 2, .minor = 4, .length_max = NET_FRAME_MAX, .link = PCAP_ETHERNET };

	n->pcap_path = path;
	n->pcap = fopen(path, "we");
	if (!n->pcap || fwrite(&h, sizeof(h), 1, n->pcap) != 1 || fflush(n->pcap))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot record the network's traffic in '%s'", path);
	return LODGE_OK;
}

/* ---- the limit ---- */

/* May a frame pass now? If not, the timer says when. */
static bool may_pass(struct vm_network *n, struct budget *b)
{
	if (!n->bytes_per_second || b->paid_ns <= timer_now(&b->timer) + BURST_NS)
		return true;
	timer_arm(&b->timer, b->paid_ns - BURST_NS / 2);
	return false;
}

static void charge(struct vm_network *n, struct budget *b, size_t bytes)
{
	uint64_t now;

	if (!n->bytes_per_second)
		return;
	now = timer_now(&b->timer);
	b->paid_ns = MAX(b->paid_ns, now) + bytes * SECOND_NS / n->bytes_per_second;
}

/* ---- between card and network ---- */

static bool net_send(void *ctx, const struct net_header *header, const struct net_iov *iov, unsigned niov, size_t bytes)
{
	struct vm_network *n = ctx;

	record(n, iov, niov, bytes);
	charge(n, &n->out, bytes);
	n->inner_full = !n->inner->send(n->inner->ctx, header, iov, niov, bytes);
	return may_pass(n, &n->out) && !n->inner_full;
}

static void tell_writable(void *ctx)
{
	struct vm_network *n = ctx;

	if (!n->inner_full && may_pass(n, &n->out) && n->card)
		n->card->writable(n->card->ctx);
}

static void on_writable(void *ctx)
{
	struct vm_network *n = ctx;

	n->inner_full = false;
	tell_writable(n);
}

static bool on_receive(void *ctx, const struct net_header *header, const uint8_t *frame, size_t bytes)
{
	struct vm_network *n = ctx;
	struct net_iov iov = { frame, bytes };

	if (!may_pass(n, &n->in))
		return false;
	if (n->card && !n->card->receive(n->card->ctx, header, frame, bytes))
		return false;
	record(n, &iov, 1, bytes);
	charge(n, &n->in, bytes);
	return true;
}

static void net_resume(void *ctx)
{
	struct vm_network *n = ctx;

	n->inner->resume(n->inner->ctx);
}

static void net_offloads(void *ctx, struct net_offloads to_card)
{
	struct vm_network *n = ctx;

	n->inner->offloads(n->inner->ctx, to_card);
}

static void on_link(void *ctx, bool up)
{
	struct vm_network *n = ctx;

	if (n->card)
		n->card->link(n->card->ctx, up);
}

static void net_attach(void *ctx, const struct net_client *client)
{
	struct vm_network *n = ctx;

	n->card = client;
}

const struct net_backend *vm_network_backend(const struct vm_network *net) { return &net->net; }

/* ---- life ---- */

static enum lodge_err open_inner(struct vm_network *n, const struct vm_net *config, struct event_loop *loop, struct log *log, struct lodge_error *err)
{
	enum lodge_err rc;

	if (config->kind == VM_NET_USER) {
		rc = nat_open(config, loop, log, &n->nat, err);
		n->inner = rc == LODGE_OK ? nat_backend(n->nat) : NULL;
		return rc;
	}
	rc = tap_open(config->interface, config->kind == VM_NET_BRIDGE ? config->interface : NULL, loop, log, &n->tap, err);
	n->inner = rc == LODGE_OK ? tap_backend(n->tap) : NULL;
	return rc;
}

enum lodge_err vm_network_open(const struct vm_net *config, struct event_loop *loop, struct log *log, struct vm_network **out, struct lodge_error *err)
{
	struct vm_network *n;
	enum lodge_err rc;

	*out = NULL;
	if (config->kind == VM_NET_NONE)
		return LODGE_OK;
	n = host_alloc(sizeof(*n), 64);
	if (!n)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	n->log = log;
	n->bytes_per_second = config->bytes_per_second;
	n->net = (struct net_backend){ .send = net_send, .resume = net_resume, .offloads = net_offloads, .attach = net_attach, .ctx = n };
	n->client = (struct net_client){ .receive = on_receive, .writable = on_writable, .link = on_link, .ctx = n };
	timer_init(&n->out.timer, event_loop_timers(loop), tell_writable, n);
	timer_init(&n->in.timer, event_loop_timers(loop), net_resume, n);
	rc = open_inner(n, config, loop, log, err);
	if (rc == LODGE_OK && config->pcap)
		rc = pcap_open(n, config->pcap, err);
	if (rc != LODGE_OK) {
		vm_network_close(n);
		return rc;
	}
	n->inner->attach(n->inner->ctx, &n->client);
	*out = n;
	return LODGE_OK;
}

void vm_network_close(struct vm_network *net)
{
	if (!net)
		return;
	timer_disarm(&net->out.timer);
	timer_disarm(&net->in.timer);
	nat_close(net->nat);
	tap_close(net->tap);
	if (net->pcap)
		fclose(net->pcap);
	host_free(net);
}
