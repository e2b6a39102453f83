/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /init of Lodge's own initramfs. Without "lodge.cmd" on the kernel command
 * line: a busybox shell on the console, power-off when it ends. With it: asks
 * for a command over the second serial port (src/vm/agent.h has the protocol),
 * runs it, reports its exit status and powers off.
 *
 * Also understood: lodge.size=COLUMNSxROWS, lodge.term=TYPE.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define AGENT_VERSION "2" /* of the protocol in src/vm/agent.h */

struct options {
	int command;
	struct winsize size;
	char term[32];
};

/* What the host asks us to run. */
struct job {
	char *command;
	int input_by_host, raw_output;
};

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
		{ "pts", "/dev/pts", "devpts", "mode=620,ptmxmode=666" },
		{ "shm", "/dev/shm", "tmpfs", "mode=1777" },
		{ "tmp", "/tmp", "tmpfs", "mode=1777" },
		{ "run", "/run", "tmpfs", "mode=755" },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].what, mounts[i].where, mounts[i].type, 0, mounts[i].options) && errno != EBUSY)
			fprintf(stderr, "init: cannot mount %s: %s\n", mounts[i].where, strerror(errno));
	}
}

#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_DEVICES 0x1040u /* a PCI device id less this is a virtio id */
enum { NET = 1 << 1, BLOCK = 1 << 2, ENTROPY = 1 << 4, BALLOON = 1 << 5, ANY = -1 };

static int read_hex(const char *path, unsigned *value)
{
	FILE *f = fopen(path, "r");
	int good = f && fscanf(f, "%x", value) == 1;

	if (f)
		fclose(f);
	return good;
}

/* A bit for each kind of virtio device that there is. */
static unsigned virtio_devices(void)
{
	glob_t found = { 0 };
	unsigned kinds = 0;

	glob("/sys/bus/pci/devices/*", 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		unsigned vendor, device;
		char path[128];

		snprintf(path, sizeof(path), "%s/vendor", found.gl_pathv[i]);
		if (!read_hex(path, &vendor) || vendor != VIRTIO_VENDOR)
			continue;
		snprintf(path, sizeof(path), "%s/device", found.gl_pathv[i]);
		if (read_hex(path, &device) && device - VIRTIO_DEVICES < 31)
			kinds |= 1u << (device - VIRTIO_DEVICES);
	}
	globfree(&found);
	return kinds;
}

/* Modules of the kernel that the initramfs was made for; another kernel refuses them, and goes without. */
static void load_modules(unsigned kinds)
{
	static const struct {
		const char *name;
		int wanted_by; /* kinds of virtio devices; 0: always */
	} modules[] = {
		{ "pvpanic", 0 }, { "pvpanic-mmio", 0 },
		/* in the order in which they need each other */
		{ "virtio_ring", ANY }, { "virtio", ANY }, { "virtio_pci_legacy_dev", ANY }, { "virtio_pci_modern_dev", ANY }, { "virtio_pci", ANY },
		{ "virtio_blk", BLOCK }, { "virtio-rng", ENTROPY }, { "virtio_balloon", BALLOON },
		{ "failover", NET }, { "net_failover", NET }, { "virtio_net", NET },
	};

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		char path[64];
		int fd;

		if (modules[i].wanted_by && !(kinds & (unsigned)modules[i].wanted_by))
			continue;
		snprintf(path, sizeof(path), "/lib/lodge/%s.ko", modules[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENOEXEC)
			fprintf(stderr, "init: cannot load %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* Nobody waits for the balloon: its modules come when the shell is there. */
static void load_balloon(unsigned kinds)
{
	if (!(kinds & BALLOON) || fork())
		return;
	sleep(2);
	load_modules(kinds);
	_exit(0);
}

/* Addresses by DHCP, if there is a card. Whoever wants it otherwise changes it. */
static void start_network(void)
{
	static const char script[] = "ip link set lo up; ip link set eth0 up; exec udhcpc -q -n -f -t 4 -T 1 -i eth0 -s /etc/udhcpc/default.script";
	pid_t pid;
	int quiet;

	if (access("/sys/class/net/eth0", F_OK))
		return;
	pid = fork();
	if (!pid) {
		quiet = open("/dev/null", O_RDWR);
		dup2(quiet, 0);
		dup2(quiet, 1);
		dup2(quiet, 2);
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void read_options(struct options *o)
{
	char line[4097] = "", *save = NULL;
	FILE *f = fopen("/proc/cmdline", "r");

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
	}
	for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		unsigned short columns, rows;

		if (!strcmp(word, "lodge.cmd"))
			o->command = 1;
		else if (sscanf(word, "lodge.size=%hux%hu", &columns, &rows) == 2)
			o->size = (struct winsize){ .ws_col = columns, .ws_row = rows };
		else if (!strncmp(word, "lodge.term=", 11))
			snprintf(o->term, sizeof(o->term), "%s", word + 11);
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

/* Reap whatever ends until @pid does. */
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

/* Until the last byte has left the port, however slow its reader is. The kernel's own wait gives up on the FIFO. */
static void drain_console(void)
{
	unsigned lsr;

	tcdrain(1);
	while (!ioctl(1, TIOCSERGETLSR, &lsr) && !(lsr & TIOCSER_TEMT))
		usleep(1000);
}

static void exec_shell(char *const argv[], int input)
{
	setpgid(0, 0);
	tcsetpgrp(1, getpid());
	signal(SIGTTOU, SIG_DFL);
	if (input >= 0)
		dup2(input, 0);
	execv("/bin/sh", argv);
	perror("init: /bin/sh");
	_exit(127);
}

/*
 * A shell on the console. The end of a session's leader hangs its terminal up,
 * which drops output that has not left yet: the leader is a process of ours
 * that waits for it.
 */
static pid_t start(const struct options *o, char *const argv[], int input, int raw_output)
{
	struct termios t;
	pid_t leader = fork(), shell;
	int status;

	if (leader)
		return leader;
	take_console();
	signal(SIGTTOU, SIG_IGN);
	if (o->size.ws_col)
		ioctl(0, TIOCSWINSZ, &o->size);
	if (raw_output && !tcgetattr(0, &t)) {
		t.c_oflag &= ~(tcflag_t)OPOST;
		tcsetattr(0, TCSANOW, &t);
	}
	shell = fork();
	if (!shell)
		exec_shell(argv, input);
	if (input >= 0)
		close(input);
	status = shell > 0 ? wait_for(shell) : 127;
	drain_console();
	_exit(status);
}

/* ---- the host's side of a command ---- */

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex digits to bytes, in place and with a 0 behind them; returns how many. */
static size_t decode_hex(char *text)
{
	size_t n = 0;

	for (char *p = text; hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0; p += 2)
		text[n++] = (char)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	text[n] = 0;
	return n;
}

static FILE *open_port(int *fd)
{
	struct termios t;

	*fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0 || tcgetattr(*fd, &t)) {
		perror("init: /dev/ttyS1");
		return NULL;
	}
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	tcsetattr(*fd, TCSANOW, &t);
	return fdopen(*fd, "r");
}

/* "X -<flags> <hex>"; 0 if it makes no sense. */
static int read_job(FILE *port, struct job *job)
{
	char *line = NULL, *hex;
	size_t cap = 0;

	if (getline(&line, &cap, port) < 0 || strncmp(line, "X ", 2))
		return 0;
	hex = strchr(line + 2, ' ');
	if (!hex)
		return 0;
	*hex++ = 0;
	decode_hex(hex);
	job->command = hex;
	job->input_by_host = strchr(line + 2, 'i') != NULL;
	job->raw_output = strchr(line + 2, 'o') != NULL;
	return 1;
}

/* Ask for input piece by piece and write it to the command. A pipe that is full holds the next question back. */
static void feed(FILE *port, int port_fd, int out)
{
	char *line = NULL, bytes[4096];
	size_t cap = 0, n;

	for (;;) {
		dprintf(port_fd, "G\n");
		if (getline(&line, &cap, port) < 0 || sscanf(line, "D %zu", &n) != 1 || n > sizeof(bytes) || fread(bytes, 1, n, port) != n)
			_exit(0);
		for (size_t done = 0; done < n;) {
			ssize_t w = write(out, bytes + done, n - done);

			if (w < 0)
				_exit(0);
			done += (size_t)w;
		}
	}
}

static int run_job(const struct options *o, const struct job *job, FILE *port, int port_fd)
{
	char *const argv[] = { "sh", "-c", job->command, NULL };
	int pipe_fd[2] = { -1, -1 }, status;
	pid_t feeder = -1, pid;

	if (job->input_by_host && pipe2(pipe_fd, O_CLOEXEC)) {
		perror("init: pipe");
		return 127;
	}
	if (job->input_by_host) {
		feeder = fork();
		if (feeder == 0) {
			close(pipe_fd[0]);
			feed(port, port_fd, pipe_fd[1]);
		}
		close(pipe_fd[1]); /* the command sees the end of its input when the feeder ends */
	}
	pid = start(o, argv, pipe_fd[0], job->raw_output);
	if (job->input_by_host)
		close(pipe_fd[0]);
	status = wait_for(pid);
	if (feeder > 0)
		kill(feeder, SIGKILL);
	return status;
}

static void run_command(const struct options *o)
{
	int fd, status;
	struct job job;
	FILE *port = open_port(&fd);

	if (!port)
		power_off();
	dprintf(fd, "V " AGENT_VERSION "\nR\n");
	if (read_job(port, &job)) {
		status = run_job(o, &job, port, fd);
		dprintf(fd, "S %d\n", status);
		tcdrain(fd);
	}
	power_off();
}

int main(void)
{
	char *const shell[] = { "-sh", NULL };
	struct options options = { .term = "vt220" };
	unsigned kinds;

	mount_all();
	kinds = virtio_devices();
	load_modules(kinds & ~(unsigned)BALLOON);
	load_balloon(kinds);
	start_network();
	read_options(&options);
	sethostname("lodge", 5);
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", options.term, 1);
	if (chdir("/root") && chdir("/"))
		power_off();
	if (options.command)
		run_command(&options);
	setenv("PS1", "lodge:\\w\\$ ", 1);
	printf("\nWelcome to Lodge. `exit` or Ctrl-D powers the machine off.\n");
	fflush(stdout);
	wait_for(start(&options, shell, -1, 0));
	power_off();
}
