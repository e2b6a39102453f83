/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's network, of whichever kind, with what is between it and the card: a record of all frames, and a limit to their rate. */
#ifndef LODGE_VM_NET_H
#define LODGE_VM_NET_H

#include "base/log.h"
#include "host/event_loop.h"
#include "net/net.h"
#include "vm/vm_config.h"

struct vm_network;

/* *out is NULL if @config wants none. */
enum lodge_err vm_network_open(const struct vm_net *config, struct event_loop *loop, struct log *log, struct vm_network **out,
			       struct lodge_error *err) LODGE_MUST_CHECK;
void vm_network_close(struct vm_network *net); /* NULL is fine; the loop does not run */
const struct net_backend *vm_network_backend(const struct vm_network *net);

#endif
