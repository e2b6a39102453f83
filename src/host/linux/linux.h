/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of host/linux share among themselves. */
#ifndef LODGE_HOST_LINUX_LINUX_H
#define LODGE_HOST_LINUX_LINUX_H

#include <signal.h>
#include <sys/uio.h>
#include "base/error.h"
#include "net/net.h"

/* Zeroed memory at a huge page's boundary, of huge pages where the host has any; NULL with errno set. munmap() frees it. */
void *linux_map_huge(uint64_t bytes) LODGE_MUST_CHECK;

/* Tell the kernel that this process will use host_sync_core(); any number of times. */
void linux_sync_core_register(void);

/*
 * Run @fn (async-signal-safe) when the process is about to die of a fault that
 * nobody handles or of SIGABRT. One function per process.
 */
enum lodge_err linux_crash_hook_install(void (*fn)(void), struct lodge_error *err) LODGE_MUST_CHECK;

/* @iov as the kernel wants it. How many: @n, or 0 if there are more than NET_IOV_MAX. */
static inline unsigned linux_iovec(struct iovec v[NET_IOV_MAX], const struct net_iov *iov, unsigned n)
{
	for (unsigned i = 0; n <= NET_IOV_MAX && i < n; i++)
		v[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)iov[i].base, .iov_len = iov[i].len };
	return n <= NET_IOV_MAX ? n : 0;
}

/* Die of @sig as if there were no handler for it. */
void linux_die_of_signal(int sig);

#endif
