/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command channel on the second serial port, spoken with guest/lodge-init.c
 * in Lodge's own initramfs. Lines of text, guest first:
 *     guest: R              ready for a command
 *     host:  X <hex bytes>  run this with sh -c
 *     guest: S <0..255>     its exit status; the guest powers off afterwards
 */
#ifndef LODGE_VM_AGENT_H
#define LODGE_VM_AGENT_H

#include "devices/device.h"
#include "host/event_loop.h"

#define AGENT_LINE_BYTES 128

struct agent {
	const char *command;
	const struct chardev_client *client;
	struct event_loop *loop;
	struct event_post kick;
	struct timer retry;
	size_t sent; /* characters of the reply so far; I/O thread */
	_Atomic bool asked;
	_Atomic int status; /* -1: not known */

	/* vcpu threads, under the serial port's lock */
	char line[AGENT_LINE_BYTES];
	size_t len;
};

void agent_init(struct agent *a, struct event_loop *loop, const char *command);
struct chardev agent_chardev(struct agent *a);
void agent_attach(struct agent *a, const struct chardev_client *client);
void agent_fini(struct agent *a);

#endif
