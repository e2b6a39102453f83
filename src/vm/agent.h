/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command channel on the second serial port, spoken with guest/lodge-init.c
 * in Lodge's own initramfs. Lines of text; the guest asks, the host answers:
 *     guest: V <number>             what it speaks is AGENT_VERSION
 *     guest: R                      ready for a command
 *     host:  X -<flags> <hex bytes> run this with sh -c; flags are letters:
 *                                   i: its input comes over this channel
 *                                   o: leave its output as it is (no CR before LF)
 *     guest: G                      more input, please (only with i)
 *     host:  D <number> LF <bytes>  input: so many bytes follow, as they are
 *     host:  E                      end of input
 *     guest: S <0..255>             its exit status; the guest powers off afterwards
 */
#ifndef LODGE_VM_AGENT_H
#define LODGE_VM_AGENT_H

#include "devices/device.h"
#include "host/event_loop.h"

#define AGENT_VERSION "2" /* guest/lodge-init.c says it too */
#define AGENT_LINE_BYTES 64
#define AGENT_INPUT_BYTES 4096   /* in one D; fits what the guest's terminal layer holds for a reader that is late */
#define AGENT_COMMAND_MAX 16384  /* in the X line, which the guest takes in one piece */

struct agent_config {
	struct event_loop *loop;
	const char *command;  /* outlives the agent; NULL: nothing to run, the channel is silent */
	int in_fd;            /* the command's standard input, -1: the console is */
	bool raw_output;
	/* The command ended and its output is complete. vcpu thread; returns at once; may be NULL. */
	void (*ended)(void *ctx);
	/* The guest speaks another version: no command will run. vcpu thread; returns at once. */
	void (*refused)(void *ctx);
	void *ctx;
};

struct agent {
	struct agent_config config;
	const struct chardev_client *client;
	struct event_post kick;
	struct timer retry;

	/* I/O thread only */
	struct event_watch in_watch;
	char *reply; /* room for the longest one */
	size_t reply_len, sent;

	_Atomic bool asked, wants_input;
	_Atomic int status; /* -1: not known */

	/* vcpu threads, under the serial port's lock */
	bool understood; /* the guest speaks our version */
	char line[AGENT_LINE_BYTES];
	size_t len;
};

enum lodge_err agent_init(struct agent *a, const struct agent_config *config, struct lodge_error *err) LODGE_MUST_CHECK;
void agent_fini(struct agent *a); /* fine on a zeroed one; loop not running */
/* What the machine's serial port writes to; good for any bytes. */
struct chardev agent_chardev(struct agent *a);
/* The port's other side. Before the VM runs. */
void agent_attach(struct agent *a, const struct chardev_client *client);

#endif
