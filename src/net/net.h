/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network as a network card sees it: Ethernet frames that go out and come in,
 * each with a header that says which checksums and segmentation are left to the
 * other side. What lies behind (NAT, tap device) is of no concern to the card.
 *
 * All calls come on the I/O thread, or while it does not run.
 */
#ifndef LODGE_NET_NET_H
#define LODGE_NET_NET_H

#include "base/types.h"

#define NET_MAC_BYTES 6
#define NET_ETHERNET_BYTES 14u
#define NET_MTU 1500u
/* The largest frame: 64 KiB of IP with IPv6's 40 bytes beside the length, a VLAN tag, Ethernet. */
#define NET_FRAME_MAX (65535u + 40 + 4 + NET_ETHERNET_BYTES)

/* Laid out as virtio 1.2, 5.1.6 has it, and so does Linux for tap devices. */
struct net_header {
	uint8_t flags; /* NET_NEEDS_CSUM, NET_DATA_VALID */
	uint8_t gso_type;
	le16_t hdr_len, gso_size, csum_start, csum_offset;
	le16_t num_buffers; /* the card's own */
};
_Static_assert(sizeof(struct net_header) == 12, "virtio_net_hdr");

enum { NET_NEEDS_CSUM = 1, NET_DATA_VALID = 2 };
enum { NET_GSO_NONE = 0, NET_GSO_TCPV4 = 1, NET_GSO_TCPV6 = 4, NET_GSO_ECN = 0x80 };

/* What frames to the card may leave to the driver. */
struct net_offloads {
	bool csum, tso4, tso6;
};

struct net_iov {
	const void *base;
	size_t len;
};
/* The most parts that a frame comes in, and that it may have with what a backend puts in front. */
#define NET_FRAME_PARTS_MAX 288u
#define NET_IOV_MAX (NET_FRAME_PARTS_MAX + 1)

/* The card. */
struct net_client {
	/* A frame for the guest. False: no room; keep it, and call again after resume(). */
	bool (*receive)(void *ctx, const struct net_header *header, const uint8_t *frame, size_t bytes);
	void (*writable)(void *ctx); /* send() may be called again */
	void (*link)(void *ctx, bool up);
	void *ctx;
};

/* The network. */
struct net_backend {
	/* Takes a frame, always. False: call no more before writable(). */
	bool (*send)(void *ctx, const struct net_header *header, const struct net_iov *iov, unsigned niov, size_t bytes);
	void (*resume)(void *ctx); /* receive() that returned false would do better now */
	void (*offloads)(void *ctx, struct net_offloads to_card);
	void (*attach)(void *ctx, const struct net_client *client); /* NULL: there is none any more */
	void *ctx;
};

#endif
