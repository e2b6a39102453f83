/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that works for one VM in a process of its own, and the packets that
 * go to and fro (a SOCK_SEQPACKET pair: each arrives whole). Hosted code only.
 */
#ifndef LODGE_HOST_HELPER_H
#define LODGE_HOST_HELPER_H

#include "base/error.h"
#include "net/net.h"

/* Zero-initialised, but for fd: -1, is one that never ran. */
struct host_helper {
	int pid; /* 0: none */
	int fd;  /* non-blocking */
};

/* The path of program @name beside this one or where it is installed; false if there is none. */
bool host_helper_find(const char *name, char *path, size_t cap) LODGE_MUST_CHECK;

/*
 * Run @name, found beside this program or where it is installed, with @args
 * (ended by NULL, @args[0] the name); its end of the pair is @child_fd, and it
 * inherits nothing else but standard error. It ends when our end is closed.
 */
enum lodge_err host_helper_start(struct host_helper *h, const char *name, const char *const *args, int child_fd, struct lodge_error *err) LODGE_MUST_CHECK;
/* Close our end, and wait for its. Fine on one that never ran, or again. */
void host_helper_stop(struct host_helper *h);
/* The same, and say how it ended: "exit status 1", "signal 9". */
void host_helper_fate(struct host_helper *h, char *text, size_t cap);

enum host_packet_result { HOST_PACKET_DONE, HOST_PACKET_FULL, HOST_PACKET_GONE };

enum host_packet_result host_packet_send(int fd, const struct net_iov *iov, unsigned n) LODGE_MUST_CHECK;

struct host_packet {
	void *base;
	size_t cap, bytes;
};
#define HOST_PACKETS_MAX 16
/* Up to @n packets that are there; how many, or -1 if the other side is gone. */
int host_packet_receive(int fd, struct host_packet *packets, unsigned n) LODGE_MUST_CHECK;
/* Wait for one; false after @milliseconds. */
bool host_packet_wait(int fd, int milliseconds) LODGE_MUST_CHECK;

#endif
