/* SPDX-License-Identifier: Apache-2.0 */
/* On a pseudo-terminal: raw mode ends at restore, exit, fatal signals and crashes. */
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "unit.h"
#include "host/host_ops.h"
#include "host/terminal.h"

static bool is_raw(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return !(t.c_lflag & (ECHO | ICANON | ISIG));
}

enum way_out { OUT_RESTORE, OUT_EXIT, OUT_TERM, OUT_ABORT, OUT_SEGV };

static void child(int fd, int ready, enum way_out way)
{
	/* cmocka's and sanitizers' handlers would take over after ours. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	if (host_terminal_raw(fd, NULL) || host_terminal_raw(fd, NULL) != LODGE_ERR_BUSY)
		_exit(99);
	if (write(ready, is_raw(fd) ? "r" : "c", 1) != 1)
		_exit(98);
	if (!freopen("/dev/null", "w", stderr))
		_exit(97);
	switch (way) {
	case OUT_RESTORE:
		host_terminal_restore();
		host_terminal_restore();
		_exit(0);
	case OUT_EXIT: exit(0);
	case OUT_TERM: raise(SIGTERM); break;
	case OUT_ABORT: abort();
	case OUT_SEGV: __asm__ volatile("movb $1, 8"); break;
	}
	_exit(96);
}

static int way_out(enum way_out way)
{
	int master, slave, ready[2], status;
	pid_t pid;
	char c = 0;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(ready), 0);
	assert_false(is_raw(slave));
	pid = fork();
	if (!pid)
		child(slave, ready[1], way);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'r');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(is_raw(slave));
	close(master);
	close(slave);
	close(ready[0]);
	close(ready[1]);
	return status;
}

static void every_way_out_restores(void **state)
{
	int status = way_out(OUT_RESTORE);

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	status = way_out(OUT_EXIT);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	status = way_out(OUT_TERM);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	status = way_out(OUT_ABORT);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = way_out(OUT_SEGV);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void sizes(void **state)
{
	struct winsize size = { .ws_row = 50, .ws_col = 132 };
	int master, slave, pipes[2];
	unsigned columns, rows;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	assert_true(host_terminal_present(slave));
	assert_true(host_terminal_size(slave, &columns, &rows));
	assert_int_equal(columns, 132);
	assert_int_equal(rows, 50);
	assert_int_equal(pipe(pipes), 0);
	assert_false(host_terminal_present(pipes[0]));
	assert_false(host_terminal_size(pipes[0], &columns, &rows));
	assert_int_equal(columns, 80);
	assert_int_equal(host_terminal_raw(pipes[0], NULL), LODGE_ERR_IO);
	close(master);
	close(slave);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_out_restores),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
