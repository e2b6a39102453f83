/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of host/linux share among themselves. */
#ifndef LODGE_HOST_LINUX_LINUX_H
#define LODGE_HOST_LINUX_LINUX_H

#include <signal.h>
#include "base/error.h"

/* Tell the kernel that this process will use host_sync_core(); any number of times. */
void linux_sync_core_register(void);

/*
 * Run @fn (async-signal-safe) when the process is about to die of a fault that
 * nobody handles or of SIGABRT. One function per process.
 */
enum lodge_err linux_crash_hook_install(void (*fn)(void), struct lodge_error *err) LODGE_MUST_CHECK;

/* Die of @sig as if there were no handler for it. */
void linux_die_of_signal(int sig);

#endif
