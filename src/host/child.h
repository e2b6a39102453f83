/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the host that do a piece of work and end. Hosted code only. */
#ifndef LODGE_HOST_CHILD_H
#define LODGE_HOST_CHILD_H

#include "base/error.h"

/* Zeroed: none. */
struct host_child {
	int pid; /* also its process group */
	int pidfd;
};

/* Is there a program @name on PATH? */
bool host_program_present(const char *name);

/*
 * Start @args[0], found on PATH, with @args (ended by NULL), without input, with
 * standard output and error on @out_fd; it inherits nothing else, and stands in
 * a process group of its own.
 */
enum lodge_err host_child_start(struct host_child *c, const char *const *args, int out_fd, struct lodge_error *err) LODGE_MUST_CHECK;

enum host_child_state { HOST_CHILD_RUNS, HOST_CHILD_ENDED, HOST_CHILD_INTERRUPTED };
/* Wait until it ended, @interrupt_fd (-1: none) can be read, or @milliseconds are over. */
enum host_child_state host_child_wait(const struct host_child *c, int interrupt_fd, int milliseconds) LODGE_MUST_CHECK;
/* Ask the group to end (once it did not within ten seconds: kill it); fine on one that ended or never ran. */
void host_child_stop(struct host_child *c);
/* Wait for its end: LODGE_OK for status 0. Done with @c then. */
enum lodge_err host_child_finish(struct host_child *c, const char *name, struct lodge_error *err) LODGE_MUST_CHECK;

/* Run it and keep the first @cap - 1 bytes of what it says on standard output, with a terminator. */
enum lodge_err host_child_capture(const char *const *args, char *text, size_t cap, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
