/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's network through an interface of the host. */
#ifndef LODGE_VM_TAP_H
#define LODGE_VM_TAP_H

#include "base/log.h"
#include "host/event_loop.h"
#include "net/net.h"

struct tap;

enum lodge_err tap_open(const char *name, const char *bridge, struct event_loop *loop, struct log *log, struct tap **out,
			struct lodge_error *err) LODGE_MUST_CHECK;
void tap_close(struct tap *tap); /* NULL is fine; the loop does not run */
const struct net_backend *tap_backend(const struct tap *tap);

#endif
