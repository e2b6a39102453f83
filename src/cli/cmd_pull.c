/* SPDX-License-Identifier: Apache-2.0 */
/* lodge pull, lodge images, lodge rmi: the images that machines start from. */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/directory.h"
#include "host/host_ops.h"
#include "host/terminal.h"
#include "host/thread.h"
#include "image/debian.h"
#include "image/store.h"
#include "vm/vm_config.h"

#define SECOND_NS UINT64_C(1000000000)
#define QUIET_STEP_S 15 /* between lines where no terminal is */

static const char pull_help[] =
	"usage: lodge pull debian[:bookworm|:trixie] [--size SIZE] [--mirror URL]\n\n"
	"Make the image of a Debian system (default: bookworm, that is 12) from its packages, with mmdebstrap: systemd, a\n"
	"kernel, the network by DHCP, an OpenSSH server. `lodge run debian` boots it.\n\n"
	"  --size SIZE    the size of its disk (default 8G); it takes space as it is written\n"
	"  --mirror URL   where the packages come from (default: what this host's apt uses)\n\n"
	"The console logs in as root, who has no password; over the network only ssh keys open. Each machine makes its own\n"
	"host keys and machine id on its first boot. An image that exists is replaced at the end; machines that started from\n"
	"it keep theirs. Needs the packages mmdebstrap and e2fsprogs and, for users other than root, uidmap.\n";

static const char images_help[] =
	"usage: lodge images [--json]\n\n"
	"List the images that `lodge pull` made. They are in $XDG_DATA_HOME/lodge/images (~/.local/share/lodge/images), each\n"
	"with a manifest.json that names its packages.\n";

static const char rmi_help[] =
	"usage: lodge rmi NAME...\n\n"
	"Remove images. Machines that started from one keep what they need of it.\n";

/* ---- pull ---- */

struct progress {
	bool terminal;
	uint64_t started_ns, said_ns;
	char step[160];
};

static void show_progress(void *ctx, const char *step, uint64_t bytes)
{
	struct progress *p = ctx;
	uint64_t now = host_clock_ns();
	unsigned seconds = (unsigned)((now - p->started_ns) / SECOND_NS);
	char line[256];

	snprintf(line, sizeof(line), "%u:%02u  %4llu MiB  %s", seconds / 60, seconds % 60, (unsigned long long)(bytes >> 20), step);
	if (p->terminal) {
		fprintf(stderr, "\r%.79s\033[K", line);
		return;
	}
	if (!strcmp(p->step, step) && now - p->said_ns < QUIET_STEP_S * SECOND_NS)
		return;
	snprintf(p->step, sizeof(p->step), "%s", step);
	p->said_ns = now;
	cli_say(line);
}

static int pull_debian(struct debian_pull *pull)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct progress progress = { .terminal = host_terminal_present(STDERR_FILENO), .started_ns = host_clock_ns() };
	struct debian_pulled made = { 0 };
	struct lodge_error err = { 0 };
	unsigned seconds;
	enum lodge_err rc = host_signal_fd(signals, ARRAY_LEN(signals), &pull->interrupt_fd, &err);
	int sig;

	if (rc != LODGE_OK)
		return cli_fail(&err);
	pull->progress = show_progress;
	pull->ctx = &progress;
	rc = debian_pull(pull, &made, &err);
	sig = host_signal_fd_read(pull->interrupt_fd);
	close(pull->interrupt_fd);
	if (progress.terminal)
		fputs("\r\033[K", stderr);
	if (rc != LODGE_OK) {
		cli_fail(&err);
		return sig > 0 ? CLI_SIGNAL + sig : CLI_ERROR;
	}
	seconds = (unsigned)((host_clock_ns() - progress.started_ns) / SECOND_NS);
	fprintf(stderr, "lodge: debian-%s: %u packages, a disk of %llu MiB that takes %llu MiB, made in %u:%02u\n", pull->release, made.packages,
		(unsigned long long)(made.bytes >> 20), (unsigned long long)(made.taken_bytes >> 20), seconds / 60, seconds % 60);
	return CLI_OK;
}

static int pull(int argc, char **argv)
{
	struct debian_pull p = { .bytes = DEBIAN_BYTES_DEFAULT };
	struct lodge_error err = { 0 };
	const char *what = NULL;

	for (int i = 1; i < argc; i++) {
		bool last = i + 1 == argc;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(pull_help, stdout);
			return CLI_OK;
		}
		if (!strcmp(argv[i], "--size") && !last) {
			if (vm_parse_size(argv[++i], &p.bytes, &err) != LODGE_OK)
				return cli_fail(&err);
		} else if (!strcmp(argv[i], "--mirror") && !last) {
			p.mirror = argv[++i];
		} else if (argv[i][0] == '-' || what) {
			return cli_fail_text("`lodge pull` does not know what to do with '%s'; see `lodge help pull`", argv[i]);
		} else {
			what = argv[i];
		}
	}
	if (!what)
		return cli_fail_text("`lodge pull` needs to know what: debian, debian:bookworm or debian:trixie");
	p.release = !strcmp(what, "debian") ? "bookworm" : !strncmp(what, "debian:", 7) ? what + 7 : "";
	if (!debian_release(p.release))
		return cli_fail_text("`lodge pull` does not know '%s'; it makes debian:bookworm and debian:trixie", what);
	return pull_debian(&p);
}

/* ---- images, rmi ---- */

struct listing {
	bool json;
	unsigned count;
};

static void list_one(void *ctx, const char *name)
{
	struct listing *l = ctx;
	char path[STORE_PATH_MAX], date[32];
	struct host_file_info info;
	struct tm tm;
	time_t made;

	if (store_path(name, "disk.raw", path, NULL) != LODGE_OK || !host_file_info(path, &info))
		return;
	made = (time_t)info.modified;
	strftime(date, sizeof(date), l->json ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M", l->json ? gmtime_r(&made, &tm) : localtime_r(&made, &tm));
	if (!l->json) {
		if (!l->count++)
			printf("%-24s %10s %10s  %s\n", "NAME", "SIZE", "TAKEN", "MADE");
		printf("%-24s %6llu MiB %6llu MiB  %s\n", name, (unsigned long long)(info.bytes >> 20), (unsigned long long)(info.taken_bytes >> 20), date);
		return;
	}
	printf("%s\n  { \"name\": \"%s\", \"bytes\": %llu, \"taken_bytes\": %llu, \"made\": \"%s\", \"disk\": ", l->count++ ? "," : "", name,
	       (unsigned long long)info.bytes, (unsigned long long)info.taken_bytes, date);
	cli_json_string(stdout, path);
	fputs(" }", stdout);
}

static int images(int argc, char **argv)
{
	struct listing l = { .json = argc > 1 && !strcmp(argv[1], "--json") };
	struct lodge_error err = { 0 };

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(images_help, stdout);
		return CLI_OK;
	}
	if (argc > 1 + l.json)
		return cli_fail_text("`lodge images` does not know '%s'; see `lodge help images`", argv[1 + l.json]);
	if (l.json)
		putchar('[');
	if (store_list(list_one, &l, &err) != LODGE_OK)
		return cli_fail(&err);
	if (l.json)
		puts(l.count ? "\n]" : "]");
	else if (!l.count)
		puts("no images; `lodge pull debian` makes one");
	return CLI_OK;
}

static int rmi(int argc, char **argv)
{
	char name[STORE_NAME_MAX + 1];
	struct lodge_error err = { 0 };

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(rmi_help, stdout);
		return CLI_OK;
	}
	if (argc < 2)
		return cli_fail_text("`lodge rmi` needs the NAME of an image; `lodge images` lists them");
	for (int i = 1; i < argc; i++)
		if (store_name(argv[i], name, &err) != LODGE_OK || store_remove(name, &err) != LODGE_OK)
			return cli_fail(&err);
	return CLI_OK;
}

const struct cli_verb cli_pull = { .name = "pull", .summary = "make the image of a system to run", .help = pull_help, .run = pull };
const struct cli_verb cli_images = { .name = "images", .summary = "list images", .help = images_help, .run = images };
const struct cli_verb cli_rmi = { .name = "rmi", .summary = "remove images", .help = rmi_help, .run = rmi };
