/* SPDX-License-Identifier: Apache-2.0 */
/* Raw mode, and the way back from everywhere. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "host/linux/linux.h"
#include "host/terminal.h"

/*
 * A signal handler has no other way to find it, and a process has one
 * controlling terminal. Written on the main thread, then published by @raw.
 */
static struct {
	struct termios saved;
	int fd;
	_Atomic bool raw;
	bool hooked; /* main thread only */
} terminal;

bool host_terminal_present(int fd)
{
	return isatty(fd) == 1;
}

void host_terminal_restore(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	int saved = errno;

	if (!atomic_exchange(&terminal.raw, false))
		return;
	/* From the background, setting the terminal would stop us. Not TCSADRAIN: output may be held by Ctrl-S. */
	sigaction(SIGTTOU, &ignore, &old);
	tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
	sigaction(SIGTTOU, &old, NULL);
	errno = saved;
}

static void terminal_crash(void)
{
	host_terminal_restore();
}

static void terminal_fatal_signal(int sig)
{
	host_terminal_restore();
	linux_die_of_signal(sig);
}

/* Signals that would end the process by default and that nobody else handles. */
static void terminal_catch_fatal_signals(void)
{
	static const int signals[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGALRM,
				       SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ, SIGSYS,  SIGVTALRM };
	struct sigaction action = { .sa_handler = terminal_fatal_signal }, old;

	sigfillset(&action.sa_mask);
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
		if (!sigaction(signals[i], NULL, &old) && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
	}
}

static enum lodge_err terminal_hook(struct lodge_error *err)
{
	enum lodge_err code;

	if (terminal.hooked)
		return LODGE_OK;
	code = linux_crash_hook_install(terminal_crash, err);
	if (code)
		return code;
	if (atexit(host_terminal_restore))
		return error_set(err, LODGE_ERR_NOMEM, "cannot prepare to restore the terminal");
	terminal_catch_fatal_signals();
	terminal.hooked = true;
	return LODGE_OK;
}

enum lodge_err host_terminal_raw(int fd, struct lodge_error *err)
{
	struct termios raw;
	enum lodge_err code;

	if (atomic_load(&terminal.raw))
		return error_set(err, LODGE_ERR_BUSY, "a terminal is in raw mode already");
	code = terminal_hook(err);
	if (code)
		return code;
	if (tcgetattr(fd, &terminal.saved))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot read the terminal's settings");
	terminal.fd = fd;
	raw = terminal.saved;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	/* First, so that a signal between the two calls finds it. */
	atomic_store(&terminal.raw, true);
	if (tcsetattr(fd, TCSADRAIN, &raw)) {
		atomic_store(&terminal.raw, false);
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot put the terminal into raw mode");
	}
	return LODGE_OK;
}

bool host_terminal_size(int fd, unsigned *columns, unsigned *rows)
{
	struct winsize size;
	bool known = !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col && size.ws_row;

	*columns = known ? size.ws_col : 80;
	*rows = known ? size.ws_row : 24;
	return known;
}
