/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device. No chain outlives a call: what goes out is handed over at
 * once, and buffers for what comes in stay in the ring until there is a frame.
 */
#include "devices/virtio/virtio_net.h"

#include "base/mem.h"
#include "base/types.h"

#define F_CSUM (UINT64_C(1) << 0)
#define F_GUEST_CSUM (UINT64_C(1) << 1)
#define F_CTRL_GUEST_OFFLOADS (UINT64_C(1) << 2)
#define F_MTU (UINT64_C(1) << 3)
#define F_MAC (UINT64_C(1) << 5)
#define F_GUEST_TSO4 (UINT64_C(1) << 7)
#define F_GUEST_TSO6 (UINT64_C(1) << 8)
#define F_GUEST_ECN (UINT64_C(1) << 9)
#define F_HOST_TSO4 (UINT64_C(1) << 11)
#define F_HOST_TSO6 (UINT64_C(1) << 12)
#define F_HOST_ECN (UINT64_C(1) << 13)
#define F_MRG_RXBUF (UINT64_C(1) << 15)
#define F_STATUS (UINT64_C(1) << 16)
#define F_CTRL_VQ (UINT64_C(1) << 17)
#define F_CTRL_RX (UINT64_C(1) << 18)
#define FEATURES                                                                                                                                     \
	(F_CSUM | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS | F_MTU | F_MAC | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | F_HOST_TSO4 | F_HOST_TSO6 |      \
	 F_HOST_ECN | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX)
#define FEATURES_TO_CARD (F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN) /* that CTRL_GUEST_OFFLOADS switches */

#define QUEUE_SIZE 256u
#define CHAINS_PER_TURN 64u /* then others on the I/O thread have theirs */

enum { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL, QUEUES };
enum { CONTROL_RX = 0, CONTROL_MAC = 1, CONTROL_OFFLOADS = 5 };
enum { MAC_TABLE_SET = 0, OFFLOADS_SET = 0 };
enum { CONTROL_OK = 0, CONTROL_ERROR = 1 };
#define STATUS_LINK_UP 1u

struct config_wire {
	uint8_t mac[NET_MAC_BYTES];
	le16_t status, max_virtqueue_pairs, mtu;
};
_Static_assert(sizeof(struct config_wire) == sizeof(((struct virtio_net *)0)->registers), "virtio_net_config");

struct control_wire {
	uint8_t class, command;
};

/* ---- out ---- */

/* What the driver asks for must lie in the frame. It has no say in how the host reads memory, but a backend should not have to wonder. */
static bool header_is_sane(const struct net_header *h, uint64_t bytes)
{
	unsigned type = h->gso_type & ~(unsigned)NET_GSO_ECN;

	if (h->flags & NET_NEEDS_CSUM && (uint64_t)le16_get(h->csum_start) + le16_get(h->csum_offset) + 2 > bytes)
		return false;
	if (type == NET_GSO_NONE)
		return !(h->gso_type & NET_GSO_ECN);
	return (type == NET_GSO_TCPV4 || type == NET_GSO_TCPV6) && h->flags & NET_NEEDS_CSUM && le16_get(h->gso_size);
}

/* The chain without its first @skip bytes. */
static unsigned make_iov(const struct virtq_chain *chain, uint64_t skip, struct net_iov *iov)
{
	unsigned n = 0;

	for (unsigned i = 0; i < chain->nread; i++) {
		const struct virtq_buffer *b = &chain->buffers[i];
		uint64_t part = MIN(skip, (uint64_t)b->len_bytes);

		skip -= part;
		if (part < b->len_bytes)
			iov[n++] = (struct net_iov){ .base = b->hva + part, .len = b->len_bytes - part };
	}
	return n;
}

_Static_assert(VIRTQ_BUFFERS_MAX <= NET_FRAME_PARTS_MAX, "a chain is a frame's parts");

static void send_chain(struct virtio_net *n, const struct virtq_chain *chain)
{
	struct net_iov iov[NET_FRAME_PARTS_MAX];
	struct net_header h;
	uint64_t bytes = chain->read_bytes - sizeof(h);
	unsigned niov;

	virtq_copy_out(chain, 0, &h, sizeof(h));
	h.num_buffers = le16(0);
	if (bytes < NET_ETHERNET_BYTES || bytes > NET_FRAME_MAX || !header_is_sane(&h, bytes))
		return; /* nobody could make sense of it: lost, as on a wire */
	niov = make_iov(chain, sizeof(h), iov);
	n->tx_blocked = !n->config.net->send(n->config.net->ctx, &h, iov, niov, bytes);
}

static void transmit(struct virtio_net *n)
{
	struct virtio_device *dev = &n->dev;
	unsigned turn;

	virtio_set_doorbells(dev, QUEUE_TX, false);
	for (turn = 0; turn < CHAINS_PER_TURN && !n->tx_blocked && virtio_pop(dev, QUEUE_TX, &dev->chain); turn++) {
		if (dev->chain.nwrite || dev->chain.read_bytes < sizeof(struct net_header))
			virtio_break(dev, "a frame to send without a whole header, or with room to write");
		else
			send_chain(n, &dev->chain);
		virtio_push(dev, QUEUE_TX, dev->chain.id, dev->chain.descriptors, 0);
	}
	if (n->tx_blocked)
		return; /* writable() goes on */
	if (turn == CHAINS_PER_TURN || virtio_set_doorbells(dev, QUEUE_TX, true))
		virtio_doorbell(dev, QUEUE_TX);
}

static void on_writable(void *ctx)
{
	struct virtio_net *n = ctx;

	n->tx_blocked = false;
	transmit(n);
}

/* ---- in ---- */

enum gather { GATHERED, GATHER_STARVED, GATHER_UNFIT };

/* Copy header and frame into as many chains as they take; first and used say which. */
static enum gather gather(struct virtio_net *n, const struct net_header *header, const uint8_t *frame, size_t bytes, unsigned *chains)
{
	struct virtio_device *dev = &n->dev;
	struct virtq *ring = &dev->queues[QUEUE_RX].ring;
	unsigned max = virtio_has(dev, F_MRG_RXBUF) ? VIRTIO_NET_MERGE_MAX : 1;
	size_t done = 0;

	*chains = 0;
	while (!*chains || done < bytes) {
		struct virtq_chain *c = *chains ? &dev->chain : &n->first;
		uint64_t in_chain = 0, copied;

		if (*chains == max)
			return GATHER_UNFIT;
		if (!virtio_pop(dev, QUEUE_RX, c))
			return GATHER_STARVED;
		n->used[(*chains)++] = (struct virtq_used){ .id = c->id, .descriptors = c->descriptors };
		if (c->nread || (c == &n->first && c->write_bytes < sizeof(*header))) {
			virtio_break(dev, "a buffer to receive into with data to read, or without room for a header");
			return GATHER_UNFIT;
		}
		if (c == &n->first)
			in_chain = virtq_copy_in(ring, c, 0, header, sizeof(*header));
		copied = virtq_copy_in(ring, c, in_chain, frame + done, bytes - done);
		n->used[*chains - 1].written = (uint32_t)(in_chain + copied);
		done += copied;
	}
	return GATHERED;
}

static unsigned descriptors_of(const struct virtq_used *used, unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += used[i].descriptors;
	return sum;
}

static bool on_receive(void *ctx, const struct net_header *header, const uint8_t *frame, size_t bytes)
{
	struct virtio_net *n = ctx;
	struct virtio_device *dev = &n->dev;
	struct net_header h = *header;
	unsigned chains;
	enum gather got;
	bool more;

	if (!virtio_running(dev, QUEUE_RX) || atomic_load(&n->is_new))
		return true; /* no driver: nobody hears it */
	got = gather(n, &h, frame, bytes, &chains);
	if (got != GATHERED) {
		/* While they are popped still: the doorbell has to come for what is behind them. */
		more = got == GATHER_STARVED && virtio_set_doorbells(dev, QUEUE_RX, true);
		virtio_unpop(dev, QUEUE_RX, chains, descriptors_of(n->used, chains));
		if (more)
			virtio_doorbell(dev, QUEUE_RX);
		return got == GATHER_UNFIT || !virtio_running(dev, QUEUE_RX);
	}
	h.num_buffers = le16((uint16_t)chains);
	virtq_copy_in(&dev->queues[QUEUE_RX].ring, &n->first, 0, &h, sizeof(h));
	virtio_push_all(dev, QUEUE_RX, n->used, chains);
	return true;
}

/* ---- control ---- */

static void tell_offloads(struct virtio_net *n, uint64_t features)
{
	bool csum = features & F_GUEST_CSUM;

	n->config.net->offloads(n->config.net->ctx, (struct net_offloads){ .csum = csum, .tso4 = csum && features & F_GUEST_TSO4,
									   .tso6 = csum && features & F_GUEST_TSO6 });
}

static uint8_t obey(struct virtio_net *n, const struct virtq_chain *chain)
{
	struct control_wire w;
	le64_t offloads;

	virtq_copy_out(chain, 0, &w, sizeof(w));
	switch (w.class) {
	case CONTROL_RX: /* everything is passed on anyway */
		return chain->read_bytes == sizeof(w) + 1 ? CONTROL_OK : CONTROL_ERROR;
	case CONTROL_MAC:
		return w.command == MAC_TABLE_SET ? CONTROL_OK : CONTROL_ERROR;
	case CONTROL_OFFLOADS:
		if (!virtio_has(&n->dev, F_CTRL_GUEST_OFFLOADS) || w.command != OFFLOADS_SET || chain->read_bytes != sizeof(w) + sizeof(offloads))
			return CONTROL_ERROR;
		virtq_copy_out(chain, sizeof(w), &offloads, sizeof(offloads));
		if (le64_get(offloads) & ~(n->dev.driver_features & FEATURES_TO_CARD))
			return CONTROL_ERROR;
		tell_offloads(n, le64_get(offloads));
		return CONTROL_OK;
	default:
		return CONTROL_ERROR;
	}
}

static void control(struct virtio_net *n)
{
	struct virtio_device *dev = &n->dev;
	const struct virtq_chain *chain = &dev->chain;
	unsigned turn;

	for (turn = 0; turn < CHAINS_PER_TURN && virtio_pop(dev, QUEUE_CONTROL, &dev->chain); turn++) {
		uint32_t written = 0;

		if (chain->read_bytes < sizeof(struct control_wire) || !chain->nwrite) {
			virtio_break(dev, "a command without its class, or without room for the answer");
		} else {
			uint8_t ack = obey(n, chain);

			written = (uint32_t)virtq_copy_in(&dev->queues[QUEUE_CONTROL].ring, chain, 0, &ack, sizeof(ack));
		}
		virtio_push(dev, QUEUE_CONTROL, chain->id, chain->descriptors, written);
	}
	if (turn == CHAINS_PER_TURN || virtio_set_doorbells(dev, QUEUE_CONTROL, true))
		virtio_doorbell(dev, QUEUE_CONTROL);
}

/* ---- life ---- */

static void on_kick(struct virtio_device *dev, unsigned queue)
{
	struct virtio_net *n = dev->config.impl;

	/* The core rings every queue when a driver starts: now its wishes are known. */
	if (virtio_running(dev, QUEUE_RX) && atomic_exchange(&n->is_new, false))
		tell_offloads(n, dev->driver_features);
	switch (queue) {
	case QUEUE_RX:
		virtio_set_doorbells(dev, QUEUE_RX, false);
		n->config.net->resume(n->config.net->ctx);
		break;
	case QUEUE_TX:
		if (!n->tx_blocked)
			transmit(n);
		break;
	default:
		control(n);
	}
}

static void on_reset(struct virtio_device *dev)
{
	struct virtio_net *n = dev->config.impl;

	atomic_store(&n->is_new, true);
}

static void on_link(void *ctx, bool up)
{
	struct virtio_net *n = ctx;
	le16_t status = le16(up ? STATUS_LINK_UP : 0);

	virtio_config_change(&n->dev, n->registers + offsetof(struct config_wire, status), &status, sizeof(status));
}

static const struct virtio_ops net_ops = { .kick = on_kick, .reset = on_reset };

enum lodge_err virtio_net_init(struct virtio_net *n, const struct virtio_net_config *config)
{
	struct config_wire w = { .status = le16(STATUS_LINK_UP), .max_virtqueue_pairs = le16(1), .mtu = le16(NET_MTU) };
	struct virtio_config c = {
		.ops = &net_ops,
		.impl = n,
		.id = VIRTIO_ID_NET,
		.name = "virtio-net",
		.features = FEATURES,
		.queues = QUEUES,
		.queue_size = QUEUE_SIZE,
		.config = n->registers,
		.config_bytes = sizeof(n->registers),
		.mem = config->mem,
		.posts = config->posts,
		.log = config->log,
	};
	enum lodge_err rc;

	*n = (struct virtio_net){ .config = *config };
	n->client = (struct net_client){ .receive = on_receive, .writable = on_writable, .link = on_link, .ctx = n };
	memcpy(w.mac, config->mac, sizeof(w.mac));
	memcpy(n->registers, &w, sizeof(w));
	rc = virtio_init(&n->dev, &c);
	if (rc == LODGE_OK)
		config->net->attach(config->net->ctx, &n->client);
	return rc;
}

void virtio_net_fini(struct virtio_net *n)
{
	n->config.net->attach(n->config.net->ctx, NULL);
	virtio_fini(&n->dev);
}
