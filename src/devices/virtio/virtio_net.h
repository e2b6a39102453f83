/* SPDX-License-Identifier: Apache-2.0 */
/* Network device (virtio 1.2, 5.1): one pair of queues and a control queue, merged receive buffers, checksums and segmentation left to the other side. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_NET_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_NET_H

#include "devices/virtio/virtio.h"
#include "net/net.h"

#define VIRTIO_NET_MERGE_MAX 64u /* chains that one frame may take: the longest in pages, and some */

struct virtio_net_config {
	const struct net_backend *net; /* outlives the device */
	uint8_t mac[NET_MAC_BYTES];
	struct guest_memory *mem;
	struct post_service posts;
	struct log *log;
};

struct virtio_net {
	struct virtio_device dev;
	struct virtio_net_config config;
	struct net_client client;
	uint8_t registers[12]; /* the configuration space, up to mtu */
	_Atomic bool is_new;    /* the driver; the network has not heard what it can do */
	bool tx_blocked;       /* the network said so; I/O thread, like all below */
	struct virtq_chain first; /* of a frame that takes several chains */
	struct virtq_used used[VIRTIO_NET_MERGE_MAX];
};

enum lodge_err virtio_net_init(struct virtio_net *n, const struct virtio_net_config *config) LODGE_MUST_CHECK;
void virtio_net_fini(struct virtio_net *n);

#endif
