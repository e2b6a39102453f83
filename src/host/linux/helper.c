/* SPDX-License-Identifier: Apache-2.0 */
/* Helper processes and their packets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/helper.h"
#include "host/linux/linux.h"

#define PATH_BYTES 4096

extern char **environ;

bool host_helper_find(const char *name, char *path, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", path, cap - 1);
	char *slash;

	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	if (slash && (size_t)snprintf(slash + 1, cap - (size_t)(slash + 1 - path), "%s", name) < cap - (size_t)(slash + 1 - path) && !access(path, X_OK))
		return true;
	return (size_t)snprintf(path, cap, "%s/%s", LODGE_LIBEXEC_DIR, name) < cap && !access(path, X_OK);
}

static int spawn(pid_t *pid, const char *path, const char *const *args, int theirs, int child_fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	char *const *argv = (char *const *)(uintptr_t)args; /* posix_spawn() does not write to them */
	int rc;

	/* A group of its own: Ctrl-C on the terminal is for lodge to act on. */
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawn_file_actions_init(&actions);
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, 0, 1);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, theirs, child_fd);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&actions, child_fd + 1);
	rc = rc ? rc : posix_spawn(pid, path, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return rc;
}

enum lodge_err host_helper_start(struct host_helper *h, const char *name, const char *const *args, int child_fd, struct lodge_error *err)
{
	static const int room = 1 << 20; /* asks for it; the host may give less */
	char path[PATH_BYTES];
	int pair[2], rc;
	pid_t pid;

	*h = (struct host_helper){ .fd = -1 };
	if (!host_helper_find(name, path, sizeof(path)))
		return error_set(err, LODGE_ERR_NOT_FOUND, "cannot find the program %s, neither beside lodge nor in %s; `make install` puts it there", name,
				 LODGE_LIBEXEC_DIR);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot make a socket for %s", name);
	for (unsigned i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	/* dup2() onto itself would leave it closed on exec. */
	if (pair[1] == child_fd || pair[0] == child_fd) {
		int moved = fcntl(pair[pair[1] == child_fd], F_DUPFD_CLOEXEC, child_fd + 1);

		if (moved >= 0) {
			close(child_fd);
			pair[pair[1] == child_fd] = moved;
		}
	}
	rc = spawn(&pid, path, args, pair[1], child_fd);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		return error_set_os(err, LODGE_ERR_IO, rc, "cannot start '%s'", path);
	}
	*h = (struct host_helper){ .pid = pid, .fd = pair[0] };
	return LODGE_OK;
}

void host_helper_fate(struct host_helper *h, char *text, size_t cap)
{
	int status = 0;

	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	if (!h->pid)
		return;
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	h->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(text, cap, "signal %d", WTERMSIG(status));
	else
		snprintf(text, cap, "exit status %d", WEXITSTATUS(status));
}

void host_helper_stop(struct host_helper *h)
{
	char text[32];

	/* It holds nothing that is worth an orderly end, and may be stopped or stuck. */
	if (h->pid)
		kill(h->pid, SIGKILL);
	host_helper_fate(h, text, sizeof(text));
}

/* ---- packets ---- */

enum host_packet_result host_packet_send(int fd, const struct net_iov *iov, unsigned n)
{
	struct iovec v[NET_IOV_MAX];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = linux_iovec(v, iov, n) };
	ssize_t sent;

	if (!m.msg_iovlen)
		return HOST_PACKET_DONE; /* lost; no card makes such */
	do
		sent = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0 || errno == EMSGSIZE || errno == EFAULT)
		return HOST_PACKET_DONE;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? HOST_PACKET_FULL : HOST_PACKET_GONE;
}

int host_packet_receive(int fd, struct host_packet *packets, unsigned n)
{
	struct mmsghdr batch[HOST_PACKETS_MAX] = { 0 };
	struct iovec v[HOST_PACKETS_MAX];
	int got;

	n = n < HOST_PACKETS_MAX ? n : HOST_PACKETS_MAX;
	for (unsigned i = 0; i < n; i++) {
		v[i] = (struct iovec){ packets[i].base, packets[i].cap };
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	}
	do
		got = recvmmsg(fd, batch, n, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	for (int i = 0; i < got; i++) {
		packets[i].bytes = batch[i].msg_len;
		if (!batch[i].msg_len) /* no packet is empty: the end */
			return i ? i : -1;
	}
	return got ? got : -1;
}

bool host_packet_wait(int fd, int milliseconds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int rc;

	do
		rc = poll(&p, 1, milliseconds);
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}
