/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and signals as descriptors. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/mem.h"
#include "host/host_ops.h"
#include "host/thread.h"

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT };

static void *thread_main(void *arg)
{
	struct host_thread *t = arg;
	struct lodge_error err = { 0 };
	bool own_stack = host_fault_thread_init(&err) == LODGE_OK; /* without it only crash reports suffer */

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->ctx);
	if (own_stack)
		host_fault_thread_fini();
	return NULL;
}

enum lodge_err host_thread_start(struct host_thread *t, const char *name, host_thread_fn *fn, void *ctx, struct lodge_error *err)
{
	sigset_t block, old;
	int os_error;

	*t = (struct host_thread){ .fn = fn, .ctx = ctx };
	str_copy(t->name, sizeof(t->name), name);
	sigfillset(&block);
	for (unsigned i = 0; i < ARRAY_LEN(fault_signals); i++)
		sigdelset(&block, fault_signals[i]);
	pthread_sigmask(SIG_BLOCK, &block, &old); /* inherited by the new thread */
	os_error = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (os_error)
		return error_set_os(err, LODGE_ERR_NOMEM, os_error, "cannot start thread '%s' (see 'ulimit -u')", name);
	t->running = true;
	return LODGE_OK;
}

void host_thread_join(struct host_thread *t)
{
	if (t->running)
		pthread_join(t->id, NULL);
	t->running = false;
}

unsigned host_cpu_count(void)
{
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return MAX(1u, (unsigned)MAX(0, sysconf(_SC_NPROCESSORS_ONLN)));
}

enum lodge_err host_signal_fd(const int *signals, unsigned n, int *fd, struct lodge_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create a signal descriptor");
	return LODGE_OK;
}

int host_signal_fd_read(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}
