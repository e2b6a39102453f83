/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's end of a serial port: bytes from a file descriptor to the guest,
 * bytes from the guest to another. Output is queued by vcpu threads and written
 * by the I/O thread, so that a stuck terminal never holds up the guest.
 */
#ifndef LODGE_VM_CONSOLE_H
#define LODGE_VM_CONSOLE_H

#include "devices/device.h"
#include "host/event_loop.h"

#define CONSOLE_QUEUE_BYTES 65536
#define CONSOLE_ESCAPE 0x1d /* Ctrl-] */

enum console_command { CONSOLE_MENU /* it opened: say what it has */, CONSOLE_QUIT, CONSOLE_STATUS, CONSOLE_OUT_FAILED /* out_errno says why */ };

struct console {
	struct event_loop *loop;
	const struct chardev_client *client; /* the serial port */
	int in_fd, out_fd;                   /* -1: none */
	bool escapes;                        /* Ctrl-] opens the menu */
	void (*command)(void *ctx, enum console_command command);
	void *command_ctx;

	/* I/O thread only */
	struct event_watch in_watch, out_watch;
	struct event_post kick; /* there is output */
	struct event_post want; /* the guest may have room for input */
	bool in_menu;
	int out_errno; /* not 0: out_fd takes no more, and the guest's output goes nowhere */
	uint8_t pending[256]; /* input that the guest has no room for yet */
	size_t pending_len;
	struct timer retry;

	_Atomic bool muted;
	bool out_own; /* out_fd is a descriptor of our own */

	/* guarded by lock */
	struct host_mutex lock;
	uint8_t queue[CONSOLE_QUEUE_BYTES];
	size_t head, len;
	bool starved; /* the device was told "full" */
};

/* -1 for a side that is not wanted. */
void console_init(struct console *c, struct event_loop *loop, int in_fd, int out_fd);
/* The chardev that the machine's serial port writes to. */
struct chardev console_chardev(struct console *c);
/* After the machine exists: start reading input. Main thread, loop not running. */
enum lodge_err console_attach(struct console *c, const struct chardev_client *client, struct lodge_error *err) LODGE_MUST_CHECK;
/* From now on the guest's output goes nowhere. Any thread. */
void console_mute(struct console *c);
/* Write what is queued, for at most a second. Loop not running. */
void console_drain(struct console *c);
void console_fini(struct console *c); /* fine on a zeroed one; loop not running */

#endif
