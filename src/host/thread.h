/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of a VM, and signals as file descriptors. Hosted code only. */
#ifndef LODGE_HOST_THREAD_H
#define LODGE_HOST_THREAD_H

#include <pthread.h>
#include "base/error.h"

#define HOST_THREAD_NAME_BYTES 16

typedef void host_thread_fn(void *ctx);

/* Owned by the creator; stays put until joined. */
struct host_thread {
	pthread_t id;
	bool running;
	char name[HOST_THREAD_NAME_BYTES];
	host_thread_fn *fn;
	void *ctx;
};

/*
 * Start @fn(@ctx) on a new thread. It has an alternate signal stack (see
 * host_fault_thread_init()) and blocks every signal but those of faults.
 */
enum lodge_err host_thread_start(struct host_thread *t, const char *name, host_thread_fn *fn, void *ctx,
				 struct lodge_error *err) LODGE_MUST_CHECK;

/* Wait for its end; nothing happens if it was never started. */
void host_thread_join(struct host_thread *t);

/* CPUs this process may run on, at least 1. */
unsigned host_cpu_count(void);

/*
 * Block @n signals on the calling thread and return a non-blocking descriptor
 * that reads struct signalfd_siginfo; call it before the first thread starts.
 */
enum lodge_err host_signal_fd(const int *signals, unsigned n, int *fd, struct lodge_error *err) LODGE_MUST_CHECK;

/* Read one signal number off the descriptor, 0 if there is none. */
int host_signal_fd_read(int fd);

#endif
