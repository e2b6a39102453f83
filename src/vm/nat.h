/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's network through lodge-net: user-mode NAT in a process of its own. If that dies the guest's cable is unplugged, no more. */
#ifndef LODGE_VM_NAT_H
#define LODGE_VM_NAT_H

#include "base/log.h"
#include "host/event_loop.h"
#include "net/net.h"
#include "vm/vm_config.h"

struct nat;

/* When this returns, ports listen. */
enum lodge_err nat_open(const struct vm_net *config, struct event_loop *loop, struct log *log, struct nat **out, struct lodge_error *err) LODGE_MUST_CHECK;
void nat_close(struct nat *nat); /* NULL is fine; the loop does not run */
const struct net_backend *nat_backend(const struct nat *nat);

#endif
