/* SPDX-License-Identifier: Apache-2.0 */
/* Linux tap devices: an interface of the host whose other end is a descriptor. Hosted code only. */
#ifndef LODGE_HOST_TAP_H
#define LODGE_HOST_TAP_H

#include "base/error.h"
#include "net/net.h"

/* @name: the interface; @bridge, in place of a name: make one and put it there. A non-blocking descriptor. */
enum lodge_err host_tap_open(const char *name, const char *bridge, int *fd, struct lodge_error *err) LODGE_MUST_CHECK;
void host_tap_offloads(int fd, struct net_offloads to_card);
/* Both with the header in front. A frame that the kernel does not take is lost. */
void host_tap_send(int fd, const struct net_iov *iov, unsigned n);
/* Bytes, 0: nothing there, -1: the interface is gone. */
long host_tap_receive(int fd, void *buffer, size_t cap) LODGE_MUST_CHECK;
void host_tap_close(int fd);

#endif
