/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /init of Lodge's own initramfs. Without "lodge.cmd" on the kernel command
 * line: a busybox shell on the console, power-off when it ends. With it: asks
 * for a command over the second serial port (src/vm/agent.h), runs it on the
 * console, reports its exit status and powers off.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void mount_all(void)
{
	static const struct {
		const char *what, *where, *type, *options;
	} mounts[] = {
		{ "proc", "/proc", "proc", NULL },
		{ "sysfs", "/sys", "sysfs", NULL },
		{ "dev", "/dev", "devtmpfs", NULL },
		{ "pts", "/dev/pts", "devpts", NULL },
		{ "tmp", "/tmp", "tmpfs", "mode=1777" },
		{ "run", "/run", "tmpfs", "mode=755" },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].what, mounts[i].where, mounts[i].type, 0, mounts[i].options) && errno != EBUSY)
			fprintf(stderr, "init: cannot mount %s: %s\n", mounts[i].where, strerror(errno));
	}
}

/* The console as standard input, output and error, and as controlling terminal of a new session. */
static void take_console(void)
{
	int fd = open("/dev/ttyS0", O_RDWR);

	if (fd < 0)
		fd = open("/dev/console", O_RDWR);
	if (fd < 0)
		return;
	setsid();
	ioctl(fd, TIOCSCTTY, 1);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
}

static int wants_command(void)
{
	char line[4097] = "";
	FILE *f = fopen("/proc/cmdline", "r");

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
	}
	return strstr(line, " lodge.cmd") != NULL;
}

static pid_t start(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		take_console();
		execv("/bin/sh", argv);
		perror("init: /bin/sh");
		_exit(127);
	}
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	for (;;) {
		pid_t done = wait(&status);

		if (done == pid)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (done < 0 && errno != EINTR)
			return 127;
	}
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "X <hex>\n" from the host, as text; NULL if it makes no sense. */
static char *read_command(FILE *port)
{
	char *line = NULL, *out;
	size_t cap = 0, n = 0;
	ssize_t len = getline(&line, &cap, port);

	if (len < 3 || line[0] != 'X')
		return NULL;
	out = malloc((size_t)len);
	for (ssize_t i = 2; out && i + 1 < len && hex_digit(line[i]) >= 0 && hex_digit(line[i + 1]) >= 0; i += 2)
		out[n++] = (char)(hex_digit(line[i]) << 4 | hex_digit(line[i + 1]));
	if (out)
		out[n] = 0;
	free(line);
	return out;
}

static void run_command(void)
{
	int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;
	FILE *in;
	char *command;

	if (fd < 0 || tcgetattr(fd, &t)) {
		perror("init: /dev/ttyS1");
		power_off();
	}
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	tcsetattr(fd, TCSANOW, &t);
	in = fdopen(fd, "r");
	dprintf(fd, "R\n");
	command = in ? read_command(in) : NULL;
	if (command) {
		char *const argv[] = { "sh", "-c", command, NULL };
		int status = wait_for(start(argv));

		tcdrain(1);
		dprintf(fd, "S %d\n", status);
		tcdrain(fd);
	}
	power_off();
}

int main(void)
{
	char *const shell[] = { "-sh", NULL };

	mount_all();
	sethostname("lodge", 5);
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt220", 0);
	setenv("PS1", "lodge:\\w\\$ ", 1);
	if (chdir("/root") && chdir("/"))
		power_off();
	if (wants_command())
		run_command();
	printf("\nWelcome to Lodge. `exit` or Ctrl-D powers the machine off.\n");
	fflush(stdout);
	wait_for(start(shell));
	power_off();
}
