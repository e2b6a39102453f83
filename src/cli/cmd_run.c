/* SPDX-License-Identifier: Apache-2.0 */
/* lodge run: one VM, from options to exit status. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/defaults.h"
#include "host/event_loop.h"
#include "host/terminal.h"
#include "host/thread.h"
#include "vm/agent.h"
#include "vm/console.h"
#include "vm/vm.h"

static const char help[] =
	"usage: lodge run [OPTIONS] [-- CMD...]\n\n"
	"Boot a virtual machine with its console on this terminal. Without options: Debian's cloud kernel and a busybox\n"
	"shell (`make guest` fetches them). With CMD the guest runs it and Lodge exits with its status.\n\n"
	"  --kernel FILE         bzImage, ELF with a PVH note, or multiboot kernel\n"
	"  --initrd FILE         initial RAM disk\n"
	"  --append TEXT         kernel command line (added to Lodge's own defaults when FILE is the default kernel)\n"
	"  --firmware FILE       boot firmware instead (SeaBIOS, OVMF); --firmware-vars FILE is a second flash\n"
	"  -m SIZE               memory: 512M, 2G (default 1G; up to 64G; taken from the host as the guest touches it)\n"
	"  -c N                  vcpus: 1 to 16 (default 1)\n"
	"  --accel auto|kvm|soft engine (default auto)\n"
	"  --cpu v1|v2|v3        CPU model (default: the highest that this host can run)\n"
	"  -n NAME               a name for the machine\n"
	"  --hpet                add a high precision event timer\n"
	"  --no-reboot           end with status 120 when the guest reboots\n"
	"  --debug-exit[=PORT]   a port that ends the machine: writing v gives exit status (v << 1) | 1 (default 0xf4)\n"
	"  --stats               print what the engine did, at the end, on stderr\n"
	"  --status-file FILE    write how it ended, as JSON\n"
	"  --code-cache SIZE     translated code per vcpu (soft; default 128M, at most 1G)\n"
	"  --soft-opts LIST      switches for finding bugs in the soft engine\n\n"
	"On a terminal Ctrl-] opens a menu: q quit, i status, ] send Ctrl-].\n\n"
	"exit status: with CMD or --debug-exit, that value; else 0 power-off, 120 reboot under --no-reboot, 121 panic,\n"
	"122 triple fault, 125 Lodge's own error, 128+n signal n.\n";

struct run {
	struct vm_config config;
	const char *status_file;
	char *command; /* quoted for sh; NULL: none */
	char *append;
	char kernel_default[4096], initrd_default[4096];
	struct event_loop *loop;
	struct log log;
	struct console console;
	struct agent agent;
	struct event_watch signals;
	struct vm *vm;
	struct vm_result result;
	bool raw;
	unsigned signals_seen;
};

enum { OPT_KERNEL = 256, OPT_INITRD, OPT_APPEND, OPT_FIRMWARE, OPT_VARS, OPT_ACCEL, OPT_CPU, OPT_HPET, OPT_NO_REBOOT, OPT_DEBUG_EXIT,
       OPT_STATS, OPT_STATUS_FILE, OPT_CODE_CACHE, OPT_SOFT_OPTS, OPT_HELP };

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "firmware-vars", required_argument, NULL, OPT_VARS },
	{ "accel", required_argument, NULL, OPT_ACCEL },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "hpet", no_argument, NULL, OPT_HPET },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ "debug-exit", optional_argument, NULL, OPT_DEBUG_EXIT },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "status-file", required_argument, NULL, OPT_STATUS_FILE },
	{ "code-cache", required_argument, NULL, OPT_CODE_CACHE },
	{ "soft-opts", required_argument, NULL, OPT_SOFT_OPTS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* ---- options ---- */

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out <= max;
}

static enum lodge_err parse_choice(const char *option, const char *text, const char *const *names, unsigned *out, struct lodge_error *err)
{
	const char *near = cli_nearest(text, names);

	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], text)) {
			*out = i;
			return LODGE_OK;
		}
	}
	return error_set(err, LODGE_ERR_ARG, "--%s does not know '%s'%s%s; see `lodge help run`", option, text, near ? ", did you mean " : "",
			 near ? near : "");
}

static enum lodge_err parse_one(struct run *r, int opt, const char *arg, struct lodge_error *err)
{
	static const char *const accels[] = { "auto", "kvm", "soft", NULL };
	static const char *const levels[] = { "auto", "v1", "v2", "v3", NULL };
	struct vm_config *c = &r->config;
	unsigned long n;
	unsigned choice;
	enum lodge_err rc;

	switch (opt) {
	case OPT_KERNEL: c->kernel = arg; return LODGE_OK;
	case OPT_INITRD: c->initrd = arg; return LODGE_OK;
	case OPT_APPEND: c->append = arg; return LODGE_OK;
	case OPT_FIRMWARE: c->firmware = arg; return LODGE_OK;
	case OPT_VARS: c->firmware_vars = arg; return LODGE_OK;
	case OPT_HPET: c->hpet = true; return LODGE_OK;
	case OPT_NO_REBOOT: c->no_reboot = true; return LODGE_OK;
	case OPT_STATS: c->stats = true; return LODGE_OK;
	case OPT_STATUS_FILE: r->status_file = arg; return LODGE_OK;
	case OPT_SOFT_OPTS: c->soft_opts = arg; return LODGE_OK;
	case OPT_CODE_CACHE: return vm_parse_size(arg, &c->code_cache_bytes, err);
	case 'm': return vm_parse_size(arg, &c->ram_bytes, err);
	case 'n': c->name = arg; return LODGE_OK;
	case 'c':
		if (!parse_number(arg, 1000000, &n))
			return error_set(err, LODGE_ERR_ARG, "-c '%s' is no number of vcpus: write 1 to 16", arg);
		c->vcpus = (unsigned)n;
		return LODGE_OK;
	case OPT_ACCEL:
		rc = parse_choice("accel", arg, accels, &choice, err);
		c->accel = rc ? c->accel : (enum vm_accel)choice;
		return rc;
	case OPT_CPU:
		rc = parse_choice("cpu", arg, levels, &choice, err);
		c->level = rc ? c->level : (enum cpu_level)choice;
		return rc;
	case OPT_DEBUG_EXIT:
		c->debug_exit = true;
		if (arg && !parse_number(arg, 0xffff, &n))
			return error_set(err, LODGE_ERR_ARG, "--debug-exit='%s' is no port: write for example --debug-exit=0xf4", arg);
		if (arg)
			c->debug_exit_port = (uint16_t)n;
		return LODGE_OK;
	default:
		return error_set(err, LODGE_ERR_INTERNAL, "option %d has no meaning", opt);
	}
}

static enum lodge_err unknown_option(char **argv, int opt, struct lodge_error *err)
{
	const char *names[ARRAY_LEN(options)], *word = argv[optind - 1], *near;
	unsigned n = 0;

	if (opt == ':')
		return error_set(err, LODGE_ERR_ARG, "%s needs a value; see `lodge help run`", word);
	if (strncmp(word, "--", 2))
		return error_set(err, LODGE_ERR_ARG, "there is no option '-%c'; see `lodge help run`", optopt ? optopt : '?');
	while (options[n].name) {
		names[n] = options[n].name;
		n++;
	}
	names[n] = NULL;
	near = cli_nearest(word + 2, names);
	if (near)
		return error_set(err, LODGE_ERR_ARG, "there is no option '%s'; did you mean '--%s'?", word, near);
	return error_set(err, LODGE_ERR_ARG, "there is no option '%s'; see `lodge help run`", word);
}

/* CMD as one line for sh, each word in single quotes. */
static char *quote_command(char **words)
{
	size_t len = 1;
	char *out, *p;

	for (char **w = words; *w; w++)
		len += 4 * strlen(*w) + 3;
	p = out = malloc(len);
	if (!out)
		return NULL;
	for (char **w = words; *w; w++) {
		*p++ = '\'';
		for (const char *s = *w; *s; s++) {
			if (*s == '\'') {
				memcpy(p, "'\\''", 4);
				p += 4;
			} else {
				*p++ = *s;
			}
		}
		*p++ = '\'';
		*p++ = w[1] ? ' ' : '\0';
	}
	return out;
}

static enum lodge_err parse_options(struct run *r, int argc, char **argv, bool *help_wanted, struct lodge_error *err)
{
	int opt;

	*help_wanted = false;
	optind = 1;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:m:c:n:h", options, NULL)) != -1) {
		enum lodge_err rc;

		if (opt == '?' || opt == ':')
			return unknown_option(argv, opt, err);
		if (opt == OPT_HELP || opt == 'h') {
			*help_wanted = true;
			return LODGE_OK;
		}
		rc = parse_one(r, opt, optarg, err);
		if (rc != LODGE_OK)
			return rc;
	}
	if (optind < argc) {
		if (strcmp(argv[optind - 1], "--"))
			return error_set(err, LODGE_ERR_ARG, "'%s' is no option; a command for the guest goes behind `--`", argv[optind]);
		r->command = quote_command(argv + optind);
		if (!r->command)
			return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	return LODGE_OK;
}

/* Default kernel and initramfs, and the command line that fits them. */
static enum lodge_err apply_defaults(struct run *r, struct lodge_error *err)
{
	static const char base[] = "console=ttyS0 panic=-1 no_timer_check tsc=reliable quiet loglevel=3";
	struct vm_config *c = &r->config;
	bool ours = !c->kernel && !c->firmware;
	size_t len;

	if (ours) {
		if (!defaults_find("cloud/vmlinuz", r->kernel_default, sizeof(r->kernel_default)))
			return error_set(err, LODGE_ERR_NOT_FOUND, "no kernel: give --kernel FILE, or run `make guest` to fetch Debian's");
		c->kernel = r->kernel_default;
	}
	if (!c->initrd && (ours || r->command)) {
		if (!defaults_find("initramfs.cpio", r->initrd_default, sizeof(r->initrd_default)))
			return error_set(err, LODGE_ERR_NOT_FOUND, "no initramfs: give --initrd FILE, or run `make guest` to build Lodge's own");
		c->initrd = r->initrd_default;
	}
	if (!ours && !r->command)
		return LODGE_OK;
	len = sizeof(base) + (c->append ? strlen(c->append) : 0) + 64;
	r->append = malloc(len);
	if (!r->append)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	snprintf(r->append, len, "%s%s%s%s", base, r->command ? " lodge.cmd" : "", c->append ? " " : "", c->append ? c->append : "");
	c->append = r->append;
	return LODGE_OK;
}

/* ---- while it runs ---- */

static void log_to_stderr(void *ctx, enum log_level level, const char *line)
{
	const struct run *r = ctx;

	(void)level;
	fprintf(stderr, "lodge: %s%s\n", line, r->raw ? "\r" : "");
}

static void on_console_command(void *ctx, enum console_command command)
{
	struct run *r = ctx;
	struct cpu_stats s;

	switch (command) {
	case CONSOLE_QUIT:
		vm_end(r->vm, VM_END_QUIT, 0);
		break;
	case CONSOLE_STATUS:
		fprintf(stderr, "\r\n[lodge] %s: engine %s, cpu %s, %u vcpu%s, %llu MiB\r\n", r->config.name ? r->config.name : "machine", vm_engine(r->vm),
			cpu_level_name(vm_cpu_model(r->vm)->level), r->config.vcpus, r->config.vcpus == 1 ? "" : "s",
			(unsigned long long)(r->config.ram_bytes >> 20));
		for (unsigned i = 0; i < vm_vcpus(r->vm); i++) {
			vm_stats(r->vm, i, &s);
			fprintf(stderr, "[lodge]   vcpu %u: %llu interrupts, %llu exceptions, %llu blocks translated\r\n", i,
				(unsigned long long)s.interrupts, (unsigned long long)s.exceptions, (unsigned long long)s.blocks_translated);
		}
		break;
	case CONSOLE_HELP:
		fprintf(stderr, "\r\n[lodge] Ctrl-] then: q quit, i status, ] send Ctrl-]\r\n");
		break;
	default:
		break;
	}
}

static void on_signal(void *ctx, unsigned events)
{
	struct run *r = ctx;
	int sig;

	(void)events;
	while ((sig = host_signal_fd_read(r->signals.fd)) > 0) {
		if (r->signals_seen++) { /* the second one does not wait for an orderly end */
			host_terminal_restore();
			_exit(CLI_SIGNAL + sig);
		}
		vm_end(r->vm, VM_END_SIGNAL, (uint32_t)sig);
	}
}

static enum lodge_err wire_up(struct run *r, struct lodge_error *err)
{
	bool terminal = host_terminal_present(STDIN_FILENO);
	struct vm_host host = { .loop = r->loop, .log = &r->log };
	enum lodge_err rc;

	console_init(&r->console, r->loop, r->command && terminal ? -1 : STDIN_FILENO, STDOUT_FILENO);
	if (r->command && terminal)
		r->console.in_fd = STDIN_FILENO;
	r->console.escapes = terminal;
	r->console.command = on_console_command;
	r->console.command_ctx = r;
	r->console.in_watch.fd = r->console.in_fd;
	agent_init(&r->agent, r->loop, r->command ? r->command : "");
	host.console = console_chardev(&r->console);
	host.agent = agent_chardev(&r->agent);
	rc = vm_create(&r->config, &host, &r->vm, err);
	if (rc != LODGE_OK)
		return rc;
	agent_attach(&r->agent, vm_serial(r->vm, 1));
	rc = event_watch_add(r->loop, &r->signals, EVENT_READ, err);
	if (rc == LODGE_OK)
		rc = console_attach(&r->console, vm_serial(r->vm, 0), err);
	if (rc != LODGE_OK)
		return rc;
	fprintf(stderr, "lodge: engine %s (%s), cpu %s, %u vcpu%s, %llu MiB%s\n", vm_engine(r->vm), vm_engine_why(r->vm),
		cpu_level_name(vm_cpu_model(r->vm)->level), r->config.vcpus, r->config.vcpus == 1 ? "" : "s",
		(unsigned long long)(r->config.ram_bytes >> 20), terminal && !r->command ? "; Ctrl-] for the menu" : "");
	if (terminal) {
		rc = host_terminal_raw(STDIN_FILENO, err);
		r->raw = rc == LODGE_OK;
	}
	return rc;
}

/* ---- afterwards ---- */

static int exit_status(const struct run *r, const char **word)
{
	int command_status = atomic_load(&r->agent.status);

	switch (r->result.end) {
	case VM_END_POWER_OFF:
		*word = "power-off";
		if (!r->command)
			return CLI_OK;
		if (command_status >= 0)
			return command_status;
		*word = "power-off before the command ended";
		return CLI_ERROR;
	case VM_END_RESET: *word = "reboot"; return CLI_REBOOT;
	case VM_END_PANIC: *word = "panic"; return CLI_PANIC;
	case VM_END_TRIPLE_FAULT: *word = "triple-fault"; return CLI_TRIPLE_FAULT;
	case VM_END_DEBUG_EXIT: *word = "debug-exit"; return (int)(r->result.value & 0xff);
	case VM_END_QUIT: *word = "quit"; return CLI_OK;
	case VM_END_SIGNAL: *word = "signal"; return CLI_SIGNAL + (int)r->result.value;
	case VM_END_NONE:
	case VM_END_ERROR:
	default: *word = "error"; return CLI_ERROR;
	}
}

static void print_stats(const struct run *r)
{
	for (unsigned i = 0; i < vm_vcpus(r->vm); i++) {
		struct cpu_stats s;

		vm_stats(r->vm, i, &s);
		fprintf(stderr,
			"vcpu %u: instructions %llu, translated %.3f %%, interpreted %llu\n"
			"        blocks %llu translated, %llu invalidated, %llu evicted; code %llu bytes for %llu of the guest's\n"
			"        TLB fills %llu, flushes %llu; exceptions %llu, interrupts %llu; MMIO %llu, port I/O %llu, halts %llu, idle %llu ms\n"
			"        KVM exits %llu, interpreted for KVM %llu\n",
			i, (unsigned long long)s.insns, s.insns ? 100.0 * (double)s.insns_translated / (double)s.insns : 0.0,
			(unsigned long long)s.insns_interpreted, (unsigned long long)s.blocks_translated, (unsigned long long)s.blocks_invalidated,
			(unsigned long long)s.blocks_evicted, (unsigned long long)s.code_bytes, (unsigned long long)s.guest_code_bytes,
			(unsigned long long)s.tlb_fills, (unsigned long long)s.tlb_flushes, (unsigned long long)s.exceptions,
			(unsigned long long)s.interrupts, (unsigned long long)s.mmio, (unsigned long long)s.port_io, (unsigned long long)s.halts,
			(unsigned long long)(s.idle_ns / 1000000), (unsigned long long)s.kvm_exits, (unsigned long long)s.kvm_fallback_insns);
	}
}

static int write_status(const struct run *r, int status, const char *word, const char *message)
{
	FILE *f = fopen(r->status_file, "w");

	if (!f)
		return cli_fail_text("cannot write the status file '%s': %s", r->status_file, strerror(errno));
	fprintf(f, "{\"exit_status\": %d, \"end\": ", status);
	cli_json_string(f, word);
	if (r->config.name) {
		fputs(", \"name\": ", f);
		cli_json_string(f, r->config.name);
	}
	fprintf(f, ", \"resets\": %u", r->result.resets);
	if (message) {
		fputs(", \"error\": ", f);
		cli_json_string(f, message);
	}
	fputs("}\n", f);
	if (fclose(f))
		return cli_fail_text("cannot write the status file '%s': %s", r->status_file, strerror(errno));
	return status;
}

static int finish(struct run *r, enum lodge_err rc, const struct lodge_error *err)
{
	const char *word = "error";
	int status = CLI_ERROR;

	if (r->vm && r->console.client)
		console_drain(&r->console);
	host_terminal_restore();
	if (rc == LODGE_OK) {
		status = exit_status(r, &word);
		if (r->config.stats)
			print_stats(r);
		if (r->result.end != VM_END_DEBUG_EXIT && !(r->command && r->result.end == VM_END_POWER_OFF))
			fprintf(stderr, "lodge: ended by %s\n", word);
	} else {
		cli_fail(err);
	}
	return r->status_file ? write_status(r, status, word, rc == LODGE_OK ? NULL : err->text) : status;
}

static void clean_up(struct run *r)
{
	if (r->loop) {
		if (r->vm) {
			agent_fini(&r->agent);
			console_fini(&r->console);
			event_watch_remove(r->loop, &r->signals);
		}
		vm_destroy(r->vm);
		event_loop_destroy(r->loop);
	}
	if (r->signals.fd >= 0)
		close(r->signals.fd);
	free(r->command);
	free(r->append);
}

static int run(int argc, char **argv)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct run *r = calloc(1, sizeof(*r));
	struct lodge_error err = { 0 };
	enum lodge_err rc;
	bool help_wanted;
	int status;

	if (!r)
		return cli_fail_text("out of memory");
	r->signals.fd = -1;
	vm_config_defaults(&r->config);
	rc = parse_options(r, argc, argv, &help_wanted, &err);
	if (rc == LODGE_OK && help_wanted) {
		fputs(help, stdout);
		free(r);
		return CLI_OK;
	}
	if (rc == LODGE_OK)
		rc = apply_defaults(r, &err);
	if (rc == LODGE_OK)
		rc = event_loop_create(&r->loop, &err);
	if (rc == LODGE_OK)
		rc = host_signal_fd(signals, ARRAY_LEN(signals), &r->signals.fd, &err);
	signal(SIGPIPE, SIG_IGN);
	r->signals.fn = on_signal;
	r->signals.ctx = r;
	log_init(&r->log, log_to_stderr, r, LOG_WARN);
	if (rc == LODGE_OK)
		rc = wire_up(r, &err);
	if (rc == LODGE_OK)
		rc = vm_run(r->vm, &r->result, &err);
	status = finish(r, rc, &err);
	clean_up(r);
	free(r);
	return status;
}

const struct cli_verb cli_run = { .name = "run", .summary = "boot a virtual machine", .help = help, .run = run };
