/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-net, the process that gives a VM a network without any privilege: it
 * answers the guest's frames with libslirp and talks to the world by ordinary
 * sockets. It has one thread, and ends when the VM closes its side.
 */
#ifndef LODGE_NAT_NAT_H
#define LODGE_NAT_NAT_H

#include <netinet/in.h>
#include <slirp/libslirp.h>

#include "net/net_wire.h"

#define NAT_FORWARDS_MAX 64
#define NAT_RULES_MAX 64

/* A port of the host that leads to one of the guest. */
struct nat_forward {
	bool udp;
	struct in_addr address;
	uint16_t host_port, guest_port;
};

/* An address, or a range of them, that the guest may reach. IPv4 as ::ffff:0:0/96. */
struct nat_rule {
	struct in6_addr address;
	unsigned prefix; /* leading bits that count */
	uint16_t port;   /* 0: any */
};

struct nat_config {
	struct nat_forward forwards[NAT_FORWARDS_MAX];
	unsigned nforwards;
	struct nat_rule rules[NAT_RULES_MAX];
	unsigned nrules; /* 0: everything */
};

/* ---- the side to the VM: nat_link.c ---- */

struct nat_link;

struct nat_link *nat_link_create(int fd); /* NULL: no memory */
/* A frame for the guest; lost if too much is waiting. */
void nat_link_send(struct nat_link *l, const struct net_header *header, const void *frame, size_t bytes);
/* Give the kernel what waits; true if nothing does any more. */
bool nat_link_flush(struct nat_link *l);
/* Take what the VM sent, up to a batch; false: the VM is gone. */
bool nat_link_receive(struct nat_link *l, void (*message)(void *ctx, struct net_message_header *h, uint8_t *frame, size_t bytes), void *ctx);

/* ---- which destinations: nat_rules.c ---- */

/* May this frame of the guest pass? What keeps its own network going (ARP, DHCP, DNS, neighbours) always may. */
bool nat_rules_allow(const struct nat_config *config, const uint8_t *frame, size_t bytes);

/* ---- libslirp: nat.c ---- */

/* Until the VM is gone; the exit status. */
int nat_run(const struct nat_config *config, int fd);

/* ---- sandbox.c ---- */

/* Nothing but sockets, memory and reading files from here on. False, errno set: it cannot be had. */
bool nat_sandbox(void);

#endif
