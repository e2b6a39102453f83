/* SPDX-License-Identifier: Apache-2.0 */
/* lodge run: one VM, from options to exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/run_report.h"
#include "host/event_loop.h"
#include "host/terminal.h"
#include "host/thread.h"
#include "image/instance.h"
#include "vm/agent.h"
#include "vm/console.h"
#include "vm/vm.h"

enum run_kind { RUN_PLAIN, RUN_HOP, RUN_BLOCK };

#define POWER_OFF_PATIENCE_NS UINT64_C(10000000000)

static const char help[] =
	"usage: lodge run [OPTIONS] [-- CMD...]\n       lodge run IMAGE [OPTIONS]\n\n"
	"Boot a virtual machine with its console on this terminal. Without options: Debian's cloud kernel and a busybox\n"
	"shell (`make guest` gets them). With CMD the guest runs it and Lodge exits with its status.\n\n"
	"With IMAGE (`lodge pull debian` makes one): boot that system with its own kernel and --net user. What the machine\n"
	"writes is kept under its name (-n; the image's if not given) in $XDG_STATE_HOME/lodge/vms for the next run, which\n"
	"goes on with what it started from, even if the image was replaced or removed.\n\n"
	"  --kernel FILE         Linux bzImage or vmlinux, ELF with a PVH note, or multiboot kernel\n"
	"  --initrd FILE         initial RAM disk\n"
	"  --append TEXT         more for the kernel's command line (behind console=ttyS0 and the like)\n"
	"  --disk FILE[,WORD...] a disk, up to 8 times; WORDs: ro, if=virtio|nvme (virtio if not told), format=raw|qcow2,\n"
	"                        backing=FILE (what a qcow2 image builds on), serial=TEXT\n"
	"  --firmware FILE       start firmware (SeaBIOS, OVMF) instead; it is offered the kernel, if there is one\n"
	"  --firmware-vars FILE  its variable store, below it in flash; changes are not written back\n"
	"  -m, --memory SIZE     memory: 512M, 2G (default 1G; 4M to 64G; taken from the host as the guest touches it)\n"
	"  -c, --cpus N          vcpus: 1 to 16 (default 1)\n"
	"  --accel auto|kvm|soft engine (default auto: KVM where it is fast)\n"
	"  --cpu v1|v2|v3        CPU model (default: the highest that this host can run)\n"
	"  -n, --name NAME       a name for the machine\n"
	"  --rm                  with IMAGE: start from the image as it is, and throw away what the machine wrote\n"
	"  --rng                 add a source of random numbers (virtio)\n"
	"  --no-balloon          leave out the device by which memory that the guest frees goes back to the host\n"
	"  --net WAY             network: none (the default), user (NAT without privileges; the guest sees this host as\n"
	"                        10.0.2.2), tap:NAME or bridge:NAME (interfaces of this host)\n"
	"  -p, --publish [IP:]HOST:GUEST[/udp]\n"
	"                        lead a port of this host (IP: 127.0.0.1 if not given) to one of the guest\n"
	"  --allow HOST[:PORT]   let the guest reach nothing else; an address, a range (10.0.0.0/8) or a name; may be repeated\n"
	"  --net-limit RATE      bytes a second, each way: 500K, 10M\n"
	"  --net-pcap FILE       record all frames there\n"
	"  --mac ADDRESS         the network card's address (default: made from the name)\n"
	"  --hpet                add a high precision event timer\n"
	"  --no-reboot           end with status 120 when the guest reboots\n"
	"  --debug-exit[=PORT]   a port that ends the machine: writing v gives exit status (v << 1) | 1 (default 0xf4)\n"
	"  --debugcon FILE       add port 0x402, and write to FILE what firmware says there\n"
	"  --stats               print what the engine did, at the end, on stderr\n"
	"  --status-file FILE    write how it ended, as JSON\n"
	"  --code-cache SIZE     soft: memory for translated code per vcpu\n"
	"  --soft-opts LIST      soft: switches for finding bugs, for example interp (docs/SOFT-CPU.md)\n\n"
	"On a terminal Ctrl-] opens a menu: q quit, i status, ] or s send Ctrl-]. Without one, stdin and stdout are the\n"
	"console, or with CMD the command's own input and output; the end of stdin does not end the machine.\n\n"
	"exit status: with CMD or --debug-exit, that value; else 0 power-off, 120 reboot under --no-reboot, 121 panic,\n"
	"122 triple fault, 125 Lodge's own error, 128+n signal n.\n";

struct run {
	struct run_options options;
	FILE *status;
	struct event_loop *loop;
	struct log log;
	struct console console, debugcon;
	int debugcon_fd;
	struct agent agent;
	struct event_watch signals;
	struct event_post command_ended;
	struct timer patience;
	struct vm *vm;
	struct instance instance;
	struct vm_result result;
	uint64_t started_ns;
	bool terminal; /* stdin is one */
	unsigned signals_seen;
	_Atomic bool refused; /* the initramfs is no match */
	/* `lodge debug block` */
	bool list;
	uint64_t list_address;
	_Atomic bool listed; /* set by the vcpu that fills the text */
	char *listing;
	size_t listing_bytes;
};

/* ---- while it runs ---- */

/* In raw mode a line feed alone does not return the carriage; harmless elsewhere. */
static const char *newline(const struct run *r)
{
	return r->terminal ? "\r\n" : "\n";
}

static void log_to_stderr(void *ctx, enum log_level level LODGE_UNUSED, const char *line)
{
	const struct run *r = ctx;

	fprintf(stderr, "lodge: %s%s", line, newline(r));
}

static void print_machine(const struct run *r)
{
	const struct vm_config *c = &r->options.config;

	fprintf(stderr, "engine %s (%s), cpu %s, %u vcpu%s, %llu MiB", vm_engine(r->vm), vm_engine_why(r->vm), cpu_level_name(vm_cpu_model(r->vm)->level),
		c->vcpus, c->vcpus == 1 ? "" : "s", (unsigned long long)(c->ram_bytes >> 20));
}

static void print_status(const struct run *r)
{
	uint64_t seconds = (host_clock_ns() - r->started_ns) / 1000000000u;

	fprintf(stderr, "\r\n[lodge] %s: ", r->options.config.name ? r->options.config.name : "machine");
	print_machine(r);
	fprintf(stderr, ", up %llu s, %u reset%s\r\n", (unsigned long long)seconds, r->result.resets, r->result.resets == 1 ? "" : "s");
	for (unsigned i = 0; i < vm_vcpus(r->vm); i++) {
		struct cpu_stats s;

		vm_stats(r->vm, i, &s);
		fprintf(stderr, "[lodge]   vcpu %u: %llu interrupts, %llu exceptions, %llu blocks translated, idle %llu ms\r\n", i,
			(unsigned long long)s.interrupts, (unsigned long long)s.exceptions, (unsigned long long)s.blocks_translated,
			(unsigned long long)(s.idle_ns / 1000000));
	}
}

static void on_console_command(void *ctx, enum console_command command)
{
	struct run *r = ctx;

	switch (command) {
	case CONSOLE_QUIT:
		vm_end(r->vm, VM_END_QUIT, 0);
		break;
	case CONSOLE_STATUS:
		print_status(r);
		break;
	case CONSOLE_MENU:
		fprintf(stderr, "\r\n[lodge] q: quit, i: status, ] or s: send Ctrl-], any other key: back\r\n");
		break;
	case CONSOLE_OUT_FAILED: /* a command without a reader ends as one on the host would; a console is not missed */
		if (r->options.command && r->vm)
			vm_end(r->vm, VM_END_SIGNAL, SIGPIPE);
		break;
	default:
		break;
	}
}

static void on_signal(void *ctx, unsigned events LODGE_UNUSED)
{
	struct run *r = ctx;
	int sig;

	while ((sig = host_signal_fd_read(r->signals.fd)) > 0) {
		if (r->signals_seen++) { /* the second one does not wait for an orderly end */
			host_terminal_restore();
			_exit(CLI_SIGNAL + sig);
		}
		vm_end(r->vm, VM_END_SIGNAL, (uint32_t)sig);
	}
}

/* What the guest's kernel says while it powers off is not the command's output. */
static void on_command_ended(void *ctx)
{
	struct run *r = ctx;

	console_mute(&r->console);
	event_loop_post(r->loop, &r->command_ended);
}

static void on_command_refused(void *ctx)
{
	struct run *r = ctx;

	atomic_store(&r->refused, true);
	vm_end(r->vm, VM_END_ERROR, 0);
}

static void start_patience(void *ctx)
{
	struct run *r = ctx;

	timer_arm(&r->patience, timer_now(&r->patience) + POWER_OFF_PATIENCE_NS);
}

static void patience_over(void *ctx)
{
	struct run *r = ctx;

	vm_end(r->vm, VM_END_POWER_OFF, 0);
}

/* On a vcpu's thread. */
static void on_translated(void *ctx, const struct cpu_translation *t)
{
	struct run *r = ctx;
	FILE *f;

	if (!t->guest_bits || r->list_address - t->rip >= t->guest_len || atomic_exchange(&r->listed, true))
		return;
	f = open_memstream(&r->listing, &r->listing_bytes);
	if (f) {
		listing_print(f, t);
		fclose(f);
	}
	vm_end(r->vm, VM_END_QUIT, 0);
}

/* ---- set-up ---- */

static enum lodge_err open_status_file(struct run *r, struct lodge_error *err)
{
	const char *path = r->options.status_file;

	if (!path)
		return LODGE_OK;
	r->status = fopen(path, "we");
	return r->status ? LODGE_OK : error_set_os(err, LODGE_ERR_IO, errno, "cannot write the status file '%s'", path);
}

static enum lodge_err open_debugcon(struct run *r, struct lodge_error *err)
{
	const char *path = r->options.debugcon;

	if (!path)
		return LODGE_OK;
	r->debugcon_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	if (r->debugcon_fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot write the firmware's messages to '%s'", path);
	console_init(&r->debugcon, r->loop, -1, r->debugcon_fd);
	return LODGE_OK;
}

/* Serial port 1 is the user's; port 2 carries the command. A command whose input is no terminal gets it over port 2, where it can end. */
static enum lodge_err make_streams(struct run *r, struct lodge_error *err)
{
	bool by_agent = r->options.command && !r->terminal;
	struct agent_config config = {
		.loop = r->loop,
		.command = r->options.command,
		.in_fd = by_agent ? STDIN_FILENO : -1,
		.raw_output = !host_terminal_present(STDOUT_FILENO),
		.ended = on_command_ended,
		.refused = on_command_refused,
		.ctx = r,
	};

	console_init(&r->console, r->loop, by_agent ? -1 : STDIN_FILENO, STDOUT_FILENO);
	r->console.escapes = r->terminal;
	r->console.command = on_console_command;
	r->console.command_ctx = r;
	r->command_ended = (struct event_post){ .fn = start_patience, .ctx = r };
	timer_init(&r->patience, event_loop_timers(r->loop), patience_over, r);
	return agent_init(&r->agent, &config, err);
}

static enum lodge_err wire_up(struct run *r, struct lodge_error *err)
{
	struct vm_host host = { .loop = r->loop, .log = &r->log, .console = console_chardev(&r->console), .agent = agent_chardev(&r->agent) };
	enum lodge_err rc;

	if (r->options.debugcon)
		host.debugcon = console_chardev(&r->debugcon);
	rc = vm_create(&r->options.config, &host, &r->vm, err);
	if (rc != LODGE_OK)
		return rc;
	agent_attach(&r->agent, vm_serial(r->vm, 1));
	rc = event_watch_add(r->loop, &r->signals, EVENT_READ, err);
	if (rc == LODGE_OK)
		rc = console_attach(&r->console, vm_serial(r->vm, 0), err);
	return rc;
}

static enum lodge_err find_disk(struct run *r, struct lodge_error *err)
{
	struct vm_config *c = &r->options.config;
	enum lodge_err rc;

	if (!r->options.image)
		return LODGE_OK;
	rc = instance_open(&r->instance, r->options.name, c->name, r->options.temporary, err);
	c->disks[0] = (struct vm_disk){ .path = r->instance.disk, .backing = r->instance.base, .format = VM_DISK_QCOW2 };
	return rc;
}

static enum lodge_err prepare(struct run *r, struct lodge_error *err)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct options_terminal terminal = { .type = getenv("TERM") };
	enum lodge_err rc;

	terminal.present = r->terminal && host_terminal_present(STDOUT_FILENO);
	host_terminal_size(STDOUT_FILENO, &terminal.columns, &terminal.rows);
	signal(SIGPIPE, SIG_IGN);
	rc = options_complete(&r->options, &terminal, err);
	if (rc == LODGE_OK)
		rc = find_disk(r, err);
	if (rc == LODGE_OK)
		rc = event_loop_create(&r->loop, err);
	if (rc == LODGE_OK)
		rc = host_signal_fd(signals, ARRAY_LEN(signals), &r->signals.fd, err);
	if (rc == LODGE_OK)
		rc = make_streams(r, err);
	if (rc == LODGE_OK)
		rc = open_debugcon(r, err);
	if (rc == LODGE_OK)
		rc = wire_up(r, err);
	return rc;
}

static enum lodge_err run_machine(struct run *r, struct lodge_error *err)
{
	fputs("lodge: ", stderr);
	print_machine(r);
	fprintf(stderr, "%s\n", r->terminal && !r->options.command ? "; Ctrl-] for the menu" : "");
	if (r->terminal && host_terminal_raw(STDIN_FILENO, err) != LODGE_OK)
		return err->code;
	r->started_ns = host_clock_ns();
	return vm_run(r->vm, &r->result, err);
}

/* ---- afterwards ---- */

/* A run that came to its end may have failed all the same: output that did not arrive is no success. */
static enum lodge_err check_command(struct run *r, struct lodge_error *err)
{
	if (atomic_load(&r->refused))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "the initramfs is of another version of Lodge; build this one's with `make guest`");
	console_drain(&r->console);
	if (!r->options.command || !r->console.out_errno)
		return LODGE_OK;
	if (r->console.out_errno != EPIPE)
		return error_set_os(err, LODGE_ERR_IO, r->console.out_errno, "cannot write the command's output");
	r->result.end = VM_END_SIGNAL;
	r->result.value = SIGPIPE;
	return LODGE_OK;
}

static int write_status(struct run *r, const struct run_outcome *o)
{
	int status = run_exit_status(o);
	bool bad;

	if (!r->status)
		return status;
	run_report_json(r->status, o);
	bad = ferror(r->status);
	bad |= fclose(r->status) != 0;
	r->status = NULL;
	return bad ? cli_fail_text("cannot write the status file '%s': %s", r->options.status_file, strerror(errno)) : status;
}

static int finish(struct run *r, enum lodge_err rc, const struct lodge_error *err)
{
	struct run_outcome o = { .result = r->result, .command = r->options.command, .command_status = -1, .name = r->options.config.name };
	char sentence[256];

	if (r->console.client)
		console_drain(&r->console);
	if (r->debugcon.loop)
		console_drain(&r->debugcon);
	host_terminal_restore();
	r->terminal = false;
	if (r->started_ns)
		o.elapsed_ns = host_clock_ns() - r->started_ns;
	if (r->agent.config.command)
		o.command_status = atomic_load(&r->agent.status);
	if (rc != LODGE_OK) {
		o.result.end = VM_END_ERROR;
		o.error = err->text;
		cli_fail(err);
	} else {
		if (!atomic_load(&r->listed) && run_end_sentence(&o, sentence, sizeof(sentence)))
			cli_say(sentence);
		if (r->options.hop)
			fprintf(stderr, "lodge: %u hops between %s\n", r->result.hops, vm_engine(r->vm));
		if (r->options.config.stats)
			run_report_stats(stderr, r->vm);
	}
	return write_status(r, &o);
}

static void clean_up(struct run *r)
{
	agent_fini(&r->agent);
	console_fini(&r->console);
	console_fini(&r->debugcon);
	if (r->debugcon_fd >= 0)
		close(r->debugcon_fd);
	if (r->loop) {
		if (r->patience.service)
			timer_disarm(&r->patience);
		event_loop_post_cancel(r->loop, &r->command_ended);
		event_watch_remove(r->loop, &r->signals);
	}
	vm_destroy(r->vm);
	instance_close(&r->instance);
	event_loop_destroy(r->loop);
	if (r->signals.fd >= 0)
		close(r->signals.fd);
	options_free(&r->options);
}

/* The first word is the address; what follows are options. */
static enum lodge_err take_address(struct run *r, int *argc, char ***argv, struct lodge_error *err)
{
	char *end = NULL;

	errno = 0;
	r->list_address = *argc > 1 ? strtoull((*argv)[1], &end, 16) : 0;
	if (!end || *end || end == (*argv)[1] || (*argv)[1][0] == '-' || errno)
		return error_set(err, LODGE_ERR_ARG, "`lodge debug block` needs the address of guest code, in hexadecimal, before any option");
	if (!listing_available())
		return error_set(err, LODGE_ERR_UNSUPPORTED, "this build of Lodge has no disassembler: install libzydis-dev and build it again");
	(*argc)--;
	(*argv)++;
	return LODGE_OK;
}

static int print_listing(const struct run *r)
{
	if (!r->listing)
		return cli_fail_text("no block with %#llx was translated before the machine ended", (unsigned long long)r->list_address);
	fwrite(r->listing, 1, r->listing_bytes, stdout);
	return CLI_OK;
}

static int run_verb(int argc, char **argv, enum run_kind kind)
{
	struct run *r = calloc(1, sizeof(*r));
	struct lodge_error err = { 0 };
	enum lodge_err rc, opened;
	int status;

	if (!r)
		return cli_fail_text("out of memory");
	r->debugcon_fd = -1;
	r->options.hop = kind == RUN_HOP;
	r->options.soft_only = r->list = kind == RUN_BLOCK;
	r->signals = (struct event_watch){ .fd = -1, .fn = on_signal, .ctx = r };
	r->terminal = host_terminal_present(STDIN_FILENO);
	log_init(&r->log, log_to_stderr, r, LOG_WARN);
	rc = r->list ? take_address(r, &argc, &argv, &err) : LODGE_OK;
	if (rc == LODGE_OK)
		rc = options_parse(&r->options, argc, argv, &err);
	if (r->list) {
		r->options.config.translated = on_translated;
		r->options.config.translated_ctx = r;
	}
	if (rc == LODGE_OK && r->options.help) {
		fputs(kind == RUN_PLAIN ? help : cli_debug.help, stdout);
		options_free(&r->options);
		free(r);
		return CLI_OK;
	}
	opened = open_status_file(r, rc == LODGE_OK ? &err : NULL);
	if (rc == LODGE_OK)
		rc = opened;
	if (rc == LODGE_OK)
		rc = prepare(r, &err);
	if (rc == LODGE_OK)
		rc = run_machine(r, &err);
	if (rc == LODGE_OK)
		rc = check_command(r, &err);
	status = finish(r, rc, &err);
	clean_up(r);
	if (r->list && rc == LODGE_OK)
		status = print_listing(r);
	free(r->listing);
	free(r);
	return status;
}

static int run(int argc, char **argv)
{
	return run_verb(argc, argv, RUN_PLAIN);
}

int cli_run_hopping(int argc, char **argv)
{
	return run_verb(argc, argv, RUN_HOP);
}

int cli_run_for_block(int argc, char **argv)
{
	return run_verb(argc, argv, RUN_BLOCK);
}

const struct cli_verb cli_run = { .name = "run", .summary = "boot a virtual machine", .help = help, .run = run };
