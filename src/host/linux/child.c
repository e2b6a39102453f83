/* SPDX-License-Identifier: Apache-2.0 */
/* Children that do a piece of work; see child.h. Argument arrays only: no shell reads them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/child.h"

#define STOP_PATIENCE_MS 10000

extern char **environ;

bool host_program_present(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (const char *at = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *at;) {
		size_t len = strcspn(at, ":");

		if ((size_t)snprintf(file, sizeof(file), "%.*s/%s", (int)len, at, name) < sizeof(file) && !access(file, X_OK))
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}

/* @err_fd -1: where ours goes. */
static int spawn(pid_t *pid, const char *const *args, int out_fd, int err_fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	/* A group of its own: Ctrl-C on the terminal is for lodge to act on. */
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawn_file_actions_init(&actions);
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	rc = rc || err_fd < 0 ? rc : posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	rc = rc ? rc : posix_spawnp(pid, args[0], &actions, &attr, (char *const *)(uintptr_t)args, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return rc;
}

/* -1: none. */
static int reap(struct host_child *c)
{
	int status = -1;

	if (!c->pid)
		return -1;
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (c->pidfd >= 0)
		close(c->pidfd);
	*c = (struct host_child){ 0 };
	return status;
}

static enum lodge_err start(struct host_child *c, const char *const *args, int out_fd, int err_fd, struct lodge_error *err)
{
	pid_t pid;
	int rc = spawn(&pid, args, out_fd, err_fd);

	*c = (struct host_child){ 0 };
	if (rc)
		return error_set_os(err, rc == ENOENT ? LODGE_ERR_NOT_FOUND : LODGE_ERR_IO, rc, "cannot start %s", args[0]);
	*c = (struct host_child){ .pid = pid, .pidfd = pidfd_open(pid, 0) };
	if (c->pidfd >= 0)
		return LODGE_OK;
	rc = errno;
	kill(-pid, SIGKILL);
	reap(c);
	return error_set_os(err, LODGE_ERR_IO, rc, "cannot watch %s", args[0]);
}

enum lodge_err host_child_start(struct host_child *c, const char *const *args, int out_fd, struct lodge_error *err)
{
	return start(c, args, out_fd, out_fd, err);
}

enum host_child_state host_child_wait(const struct host_child *c, int interrupt_fd, int milliseconds)
{
	struct pollfd p[2] = { { .fd = c->pidfd, .events = POLLIN }, { .fd = interrupt_fd, .events = POLLIN } };

	if (poll(p, 2, milliseconds) <= 0)
		return HOST_CHILD_RUNS;
	if (p[1].revents)
		return HOST_CHILD_INTERRUPTED;
	return HOST_CHILD_ENDED;
}

void host_child_stop(struct host_child *c)
{
	pid_t group = c->pid;

	if (!group)
		return;
	kill(-group, SIGTERM);
	(void)!host_child_wait(c, -1, STOP_PATIENCE_MS);
	kill(-group, SIGKILL); /* not reaped yet, so that the group is still its */
	reap(c);
}

enum lodge_err host_child_finish(struct host_child *c, const char *name, struct lodge_error *err)
{
	int status = reap(c);

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return LODGE_OK;
	if (WIFSIGNALED(status))
		return error_set(err, LODGE_ERR_IO, "%s was ended by signal %d", name, WTERMSIG(status));
	return error_set(err, LODGE_ERR_IO, "%s failed with exit status %d", name, WEXITSTATUS(status));
}

enum lodge_err host_child_capture(const char *const *args, char *text, size_t cap, struct lodge_error *err)
{
	struct host_child c;
	size_t have = 0;
	enum lodge_err rc;
	int pair[2];

	*text = 0;
	if (pipe2(pair, O_CLOEXEC))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot make a pipe for %s", args[0]);
	rc = start(&c, args, pair[1], -1, err);
	close(pair[1]);
	while (rc == LODGE_OK) {
		char beyond[512];
		bool full = have == cap - 1;
		ssize_t n = read(pair[0], full ? beyond : text + have, full ? sizeof(beyond) : cap - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += full ? 0 : (size_t)n;
	}
	text[have] = 0;
	close(pair[0]);
	return rc == LODGE_OK ? host_child_finish(&c, args[0], err) : rc;
}
