/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's process and its network helper (lodge-net) say to each other over
 * a SOCK_SEQPACKET pair: messages of one of these kinds, in the host's byte
 * order. The helper talks to the internet, so the VM trusts nothing in them.
 */
#ifndef LODGE_NET_NET_WIRE_H
#define LODGE_NET_NET_WIRE_H

#include "net/net.h"

enum net_message {
	NET_MESSAGE_FRAME,    /* either way: header and frame */
	NET_MESSAGE_OFFLOADS, /* to the helper: header.flags is a set of NET_WIRE_* */
	NET_MESSAGE_READY,    /* to the VM, first: all is set up */
	NET_MESSAGE_FAILED,   /* to the VM, in place of that: a sentence follows */
};

enum { NET_WIRE_CSUM = 1, NET_WIRE_TSO4 = 2, NET_WIRE_TSO6 = 4 };

struct net_message_header {
	uint32_t kind;
	struct net_header header;
};
_Static_assert(sizeof(struct net_message_header) == 16, "no padding");

#define NET_MESSAGE_MAX (sizeof(struct net_message_header) + NET_FRAME_MAX)
#define NET_SENTENCE_MAX 400u /* bytes of a failure's sentence */
#define NET_HELPER_FD 3       /* where the helper finds its end */

#endif
