/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's terminal: raw mode that ends on every way out. Settings are put
 * back by host_terminal_restore(), at exit(), at a fatal signal and at a crash.
 * Hosted code only.
 */
#ifndef LODGE_HOST_TERMINAL_H
#define LODGE_HOST_TERMINAL_H

#include "base/error.h"

bool host_terminal_present(int fd);

/*
 * Put the terminal behind @fd into raw mode: no echo, no signals from keys,
 * eight bits. One terminal per process; LODGE_ERR_BUSY for a second one. Main
 * thread.
 */
enum lodge_err host_terminal_raw(int fd, struct lodge_error *err) LODGE_MUST_CHECK;

/* Give the terminal its old settings back. Async-signal-safe; any number of times. */
void host_terminal_restore(void);

/* Columns and rows; false (and 80x24) if unknown. */
bool host_terminal_size(int fd, unsigned *columns, unsigned *rows);

#endif
