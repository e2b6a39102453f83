/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `lodge run`; see options.h. Ranges are vm_config_validate()'s business. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/defaults.h"
#include "cli/options.h"
#include "cli/options_net.h"
#include "image/store.h"

/* Linux on this machine: its console, no probing of timers that are known to work, no distrust of a TSC that is kept in step. */
#define KERNEL_DEFAULTS "console=ttyS0 no_timer_check tsc=reliable"

#define HOP_MS_DEFAULT 100
#define HOP_MS_MAX 3600000u
#define WORD 1 /* what getopt says of a word that is no option */

enum { OPT_KERNEL = 256, OPT_DISK, OPT_INITRD, OPT_APPEND, OPT_FIRMWARE, OPT_VARS, OPT_ACCEL, OPT_CPU, OPT_HPET, OPT_RNG, OPT_NO_BALLOON, OPT_NET, OPT_MAC,
       OPT_ALLOW, OPT_PCAP, OPT_NET_LIMIT, OPT_NO_REBOOT, OPT_DEBUG_EXIT, OPT_STATS, OPT_STATUS_FILE, OPT_DEBUGCON, OPT_CODE_CACHE, OPT_SOFT_OPTS,
       OPT_EVERY, OPT_TO, OPT_RM, OPT_HELP };

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "firmware-vars", required_argument, NULL, OPT_VARS },
	{ "memory", required_argument, NULL, 'm' },
	{ "cpus", required_argument, NULL, 'c' },
	{ "name", required_argument, NULL, 'n' },
	{ "accel", required_argument, NULL, OPT_ACCEL },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "hpet", no_argument, NULL, OPT_HPET },
	{ "rng", no_argument, NULL, OPT_RNG },
	{ "no-balloon", no_argument, NULL, OPT_NO_BALLOON },
	{ "net", required_argument, NULL, OPT_NET },
	{ "net-pcap", required_argument, NULL, OPT_PCAP },
	{ "net-limit", required_argument, NULL, OPT_NET_LIMIT },
	{ "publish", required_argument, NULL, 'p' },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "allow", required_argument, NULL, OPT_ALLOW },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ "debug-exit", optional_argument, NULL, OPT_DEBUG_EXIT },
	{ "debugcon", required_argument, NULL, OPT_DEBUGCON },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "status-file", required_argument, NULL, OPT_STATUS_FILE },
	{ "code-cache", required_argument, NULL, OPT_CODE_CACHE },
	{ "soft-opts", required_argument, NULL, OPT_SOFT_OPTS },
	{ "every", required_argument, NULL, OPT_EVERY },
	{ "to", required_argument, NULL, OPT_TO },
	{ "rm", no_argument, NULL, OPT_RM },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

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
	if (near)
		return error_set(err, LODGE_ERR_ARG, "--%s does not know '%s'; did you mean '%s'?", option, text, near);
	return error_set(err, LODGE_ERR_ARG, "--%s does not know '%s'; see `lodge help run`", option, text);
}

static enum lodge_err parse_size(const char *option, const char *text, uint64_t *bytes, struct lodge_error *err)
{
	struct lodge_error why = { 0 };

	if (vm_parse_size(text, bytes, &why) != LODGE_OK)
		return error_set(err, LODGE_ERR_ARG, "%s: %s", option, why.text);
	return LODGE_OK;
}

static enum lodge_err parse_debug_exit(struct vm_config *c, const char *arg, struct lodge_error *err)
{
	unsigned long n;

	c->debug_exit = true;
	if (!arg)
		return LODGE_OK;
	if (!parse_number(arg, 0xffff, &n))
		return error_set(err, LODGE_ERR_ARG, "--debug-exit='%s' is no port: write for example --debug-exit=0xf4", arg);
	c->debug_exit_port = (uint16_t)n;
	return LODGE_OK;
}

/* The options of `lodge debug hop`. */
static enum lodge_err parse_hop(struct run_options *o, int opt, const char *arg, struct lodge_error *err)
{
	static const char *const engines[] = { "kvm", "soft", NULL };
	struct vm_config *c = &o->config;
	unsigned long n;
	unsigned choice;

	if (!o->hop)
		return error_set(err, LODGE_ERR_ARG, "--%s is an option of `lodge debug hop`", opt == OPT_TO ? "to" : "every");
	if (opt == OPT_TO) {
		if (parse_choice("to", arg, engines, &choice, err) != LODGE_OK)
			return err->code;
		c->hop_to = choice ? VM_ACCEL_SOFT : VM_ACCEL_KVM;
		return LODGE_OK;
	}
	if (!parse_number(arg, HOP_MS_MAX, &n) || !n)
		return error_set(err, LODGE_ERR_ARG, "--every '%s' is no time: write milliseconds from 1 to %u", arg, HOP_MS_MAX);
	c->hop_ms = (unsigned)n;
	return LODGE_OK;
}

static enum lodge_err parse_disk_word(struct vm_disk *d, char *word, struct lodge_error *err)
{
	static const char *const formats[] = { "raw", "qcow2", NULL }, *const interfaces[] = { "virtio", "nvme", NULL };
	unsigned choice = 0;
	enum lodge_err rc = LODGE_OK;

	if (!strcmp(word, "ro")) {
		d->read_only = true;
	} else if (!strncmp(word, "serial=", 7)) {
		d->serial = word + 7;
	} else if (!strncmp(word, "backing=", 8)) {
		d->backing = word + 8;
	} else if (!strncmp(word, "format=", 7)) {
		rc = parse_choice("disk ...,format=", word + 7, formats, &choice, err);
		d->format = rc ? d->format : choice ? VM_DISK_QCOW2 : VM_DISK_RAW;
	} else if (!strncmp(word, "if=", 3)) {
		rc = parse_choice("disk ...,if=", word + 3, interfaces, &choice, err);
		d->nvme = choice;
	} else {
		rc = error_set(err, LODGE_ERR_ARG, "--disk does not know '%s'; behind FILE may come ro, if=virtio|nvme, format=raw|qcow2, backing=FILE, "
			       "serial=TEXT (a comma in FILE is written twice)", word);
	}
	return rc;
}

/* FILE[,WORD]...; two commas stand for one that separates nothing. */
static enum lodge_err parse_disk(struct run_options *o, const char *arg, struct lodge_error *err)
{
	struct vm_config *c = &o->config;
	struct vm_disk *d;
	char *text, *to, *word;
	enum lodge_err rc = LODGE_OK;

	if (c->ndisks == VM_DISKS_MAX)
		return error_set(err, LODGE_ERR_ARG, "a machine has up to %d disks", VM_DISKS_MAX);
	text = to = word = o->disks[c->ndisks] = strdup(arg);
	if (!text)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	d = &c->disks[c->ndisks++];
	d->path = text;
	for (const char *from = arg;; from++) {
		bool doubled = from[0] == ',' && from[1] == ',';

		from += doubled;
		if (*from && (doubled || *from != ',')) {
			*to++ = *from;
			continue;
		}
		*to++ = '\0';
		if (word != text)
			rc = parse_disk_word(d, word, err);
		word = to;
		if (!*from || rc != LODGE_OK)
			break;
	}
	if (rc == LODGE_OK && !*d->path)
		rc = error_set(err, LODGE_ERR_ARG, "--disk '%s' names no file", arg);
	return rc;
}

static enum lodge_err parse_one(struct run_options *o, int opt, const char *arg, struct lodge_error *err)
{
	static const char *const accels[] = { "auto", "kvm", "soft", NULL };
	static const char *const levels[] = { "auto", "v1", "v2", "v3", NULL };
	struct vm_config *c = &o->config;
	unsigned long n;
	unsigned choice;
	enum lodge_err rc;

	switch (opt) {
	case OPT_KERNEL: c->kernel = arg; return LODGE_OK;
	case OPT_INITRD: c->initrd = arg; return LODGE_OK;
	case OPT_APPEND: c->append = arg; return LODGE_OK;
	case OPT_DISK: return parse_disk(o, arg, err);
	case OPT_FIRMWARE: c->firmware = arg; return LODGE_OK;
	case OPT_VARS: c->firmware_vars = arg; return LODGE_OK;
	case OPT_HPET: c->hpet = true; return LODGE_OK;
	case OPT_RNG: c->rng = true; return LODGE_OK;
	case OPT_NO_BALLOON: c->no_balloon = true; return LODGE_OK;
	case OPT_NO_REBOOT: c->no_reboot = true; return LODGE_OK;
	case OPT_STATS: c->stats = true; return LODGE_OK;
	case OPT_STATUS_FILE: o->status_file = arg; return LODGE_OK;
	case OPT_DEBUGCON: o->debugcon = arg; return LODGE_OK;
	case OPT_SOFT_OPTS: c->soft_opts = arg; return LODGE_OK;
	case OPT_EVERY: case OPT_TO: return parse_hop(o, opt, arg, err);
	case OPT_RM: o->temporary = true; return LODGE_OK;
	case OPT_HELP: case 'h': o->help = true; return LODGE_OK;
	case OPT_CODE_CACHE: return parse_size("--code-cache", arg, &c->code_cache_bytes, err);
	case OPT_DEBUG_EXIT: return parse_debug_exit(c, arg, err);
	case 'm': return parse_size("-m", arg, &c->ram_bytes, err);
	case 'n': c->name = arg; return LODGE_OK;
	case 'c':
		if (!parse_number(arg, 1000000, &n))
			return error_set(err, LODGE_ERR_ARG, "-c '%s' is no number of vcpus: write 1 to 16", arg);
		c->vcpus = (unsigned)n;
		return LODGE_OK;
	case OPT_ACCEL:
		if (o->soft_only)
			return error_set(err, LODGE_ERR_ARG, "`lodge debug block` looks at soft's code; there is no --accel to choose");
		if (o->hop)
			return error_set(err, LODGE_ERR_ARG, "`lodge debug hop` starts on soft; the other engine is named by --to, not --accel");
		rc = parse_choice("accel", arg, accels, &choice, err);
		c->accel = rc ? c->accel : (enum vm_accel)choice;
		return rc;
	case 'p': return options_forward(&c->net, arg, err);
	case OPT_ALLOW: return options_allow(&c->net, arg, err);
	case OPT_MAC: return options_mac(&c->net, arg, err);
	case OPT_NET: o->net_told = true; return options_net(&c->net, arg, err);
	case OPT_PCAP: c->net.pcap = arg; return LODGE_OK;
	case OPT_NET_LIMIT: return options_net_limit(&c->net, arg, err);
	case OPT_CPU:
		rc = parse_choice("cpu", arg, levels, &choice, err);
		c->level = rc ? c->level : (enum cpu_level)choice;
		return rc;
	default:
		return error_set(err, LODGE_ERR_INTERNAL, "option %d has no meaning", opt);
	}
}

/* getopt_long() said '?' or ':'. */
static enum lodge_err refused_option(const char *word, int opt, struct lodge_error *err)
{
	const char *names[ARRAY_LEN(options)], *near;
	char name[64];
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
	n = (unsigned)strcspn(word + 2, "=");
	memcpy(name, word + 2, MIN(n, sizeof(name) - 1));
	name[MIN(n, sizeof(name) - 1)] = 0;
	for (unsigned i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return error_set(err, LODGE_ERR_ARG, "--%s takes no value", name);
	near = cli_nearest(name, names);
	if (near)
		return error_set(err, LODGE_ERR_ARG, "there is no option '--%s'; did you mean '--%s'?", name, near);
	return error_set(err, LODGE_ERR_ARG, "there is no option '--%s'; see `lodge help run`", name);
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

static void find_status_file(struct run_options *o, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strncmp(argv[i], "--status-file=", 14))
			o->status_file = argv[i] + 14;
		else if (!strcmp(argv[i], "--status-file") && i + 1 < argc)
			o->status_file = argv[i + 1];
	}
}

/* A word that is no option. The image's disk becomes the first, wherever the others were named. */
static enum lodge_err parse_image(struct run_options *o, const char *word, struct lodge_error *err)
{
	struct vm_config *c = &o->config;

	if (o->image || o->hop || o->soft_only)
		return error_set(err, LODGE_ERR_ARG, "'%s' is no option; a kernel is given with --kernel, a command for the guest behind `--`", word);
	if (c->ndisks == VM_DISKS_MAX)
		return error_set(err, LODGE_ERR_ARG, "a machine has up to %d disks, the image's among them", VM_DISKS_MAX);
	memmove(&c->disks[1], &c->disks[0], c->ndisks * sizeof(c->disks[0]));
	memmove(&o->disks[1], &o->disks[0], c->ndisks * sizeof(o->disks[0]));
	o->disks[0] = NULL;
	c->disks[0] = (struct vm_disk){ 0 };
	c->ndisks++;
	o->image = word;
	return LODGE_OK;
}

static enum lodge_err parse_all(struct run_options *o, int argc, char **argv, struct lodge_error *err)
{
	int opt, at = 1; /* the word that getopt looks at next */

	optind = 0;      /* glibc: start over */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "-:m:c:n:p:h", options, NULL)) != -1) {
		enum lodge_err rc;

		at = optind;
		if (opt == '?' || opt == ':')
			return refused_option(argv[optind - 1], opt, err);
		rc = opt == WORD ? parse_image(o, optarg, err) : parse_one(o, opt, optarg, err);
		if (rc != LODGE_OK || o->help)
			return rc;
	}
	if (optind > at && optind == argc) /* it stepped over a `--` */
		return error_set(err, LODGE_ERR_ARG, "there is no command behind `--`");
	if (optind < argc) {
		o->command = quote_command(argv + optind);
		if (!o->command)
			return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	return LODGE_OK;
}

enum lodge_err options_parse(struct run_options *o, int argc, char **argv, struct lodge_error *err)
{
	enum lodge_err rc;

	vm_config_defaults(&o->config);
	o->config.hop_ms = o->hop ? HOP_MS_DEFAULT : 0;
	o->config.hop_to = VM_ACCEL_KVM;
	o->config.accel = o->soft_only ? VM_ACCEL_SOFT : o->config.accel;
	rc = parse_all(o, argc, argv, err);
	if (rc != LODGE_OK && !o->status_file)
		find_status_file(o, argc, argv);
	return rc;
}

/* ---- what is assumed ---- */

/* A terminal type goes onto the guest's command line: nothing but a plain word does. */
static bool is_plain_word(const char *s)
{
	return s && *s && strlen(s) < 32 && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+._")] == 0;
}

/* What running an image means where nothing else was said. */
static enum lodge_err complete_image(struct run_options *o, struct lodge_error *err)
{
	struct vm_config *c = &o->config;
	char *slot = o->name;

	if (o->command)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "a command behind `--` runs in Lodge's own initramfs, not in an image");
	if (store_name(o->image, slot, err) != LODGE_OK)
		return err->code;
	if (!c->name)
		c->name = slot;
	if (!o->net_told)
		c->net.kind = VM_NET_USER;
	c->kernel_from_disk = !c->kernel && !c->firmware;
	if (asprintf(&o->image_append, "root=/dev/vda rw systemd.hostname=%s%s%s", c->name, c->append ? " " : "", c->append ? c->append : "") < 0)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	c->append = o->image_append;
	return LODGE_OK;
}

static enum lodge_err make_command_line(struct run_options *o, bool ours, const struct options_terminal *terminal, struct lodge_error *err)
{
	struct vm_config *c = &o->config;
	char *text = NULL, words[160] = "";
	size_t n = 0;

	/* A command has to end, and nobody may be there to read: end by a reset, which --no-reboot turns into an exit status. */
	if (c->no_reboot)
		n += (size_t)snprintf(words + n, sizeof(words) - n, " panic=-1");
	if (ours || o->command)
		n += (size_t)snprintf(words + n, sizeof(words) - n, " quiet loglevel=3%s", o->command ? " lodge.cmd" : "");
	if (terminal->present && (ours || o->command))
		n += (size_t)snprintf(words + n, sizeof(words) - n, " lodge.size=%ux%u", terminal->columns, terminal->rows);
	if (terminal->present && (ours || o->command) && is_plain_word(terminal->type))
		snprintf(words + n, sizeof(words) - n, " lodge.term=%s", terminal->type);
	if (asprintf(&text, KERNEL_DEFAULTS "%s%s%s", words, c->append ? " " : "", c->append ? c->append : "") < 0)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	o->append = text;
	c->append = text;
	return LODGE_OK;
}

enum lodge_err options_complete(struct run_options *o, const struct options_terminal *terminal, struct lodge_error *err)
{
	struct vm_config *c = &o->config;
	bool ours = !c->kernel && !c->firmware && !o->image;

	if (o->temporary && !o->image)
		return error_set(err, LODGE_ERR_ARG, "--rm throws away the disk of an image's machine; name an image: `lodge run debian --rm`");
	if (o->image && complete_image(o, err) != LODGE_OK)
		return err->code;
	if (o->command && c->firmware && !c->kernel)
		return error_set(err, LODGE_ERR_ARG, "a command behind `--` needs Lodge's initramfs and so a kernel; --firmware alone boots neither");
	if (o->command)
		c->no_reboot = true; /* it runs once */
	if (!c->net.mac[0] && !c->net.mac[1] && !c->net.mac[2])
		options_default_mac(&c->net, c->name);
	if (ours) {
		o->kernel = defaults_find("cloud/vmlinuz");
		if (!o->kernel)
			return error_set(err, LODGE_ERR_NOT_FOUND, "no kernel to boot: give one with --kernel FILE, or get Debian's with `make guest`");
		c->kernel = o->kernel;
	}
	if (!c->initrd && (ours || o->command)) {
		o->initrd = defaults_find("initramfs.cpio");
		if (!o->initrd)
			return error_set(err, LODGE_ERR_NOT_FOUND, "no initramfs to boot with: give one with --initrd FILE, or build Lodge's with "
					 "`make guest`");
		c->initrd = o->initrd;
	}
	return c->kernel || c->kernel_from_disk ? make_command_line(o, ours, terminal, err) : LODGE_OK;
}

void options_free(struct run_options *o)
{
	free(o->command);
	free(o->append);
	free(o->image_append);
	free(o->kernel);
	free(o->initrd);
	for (unsigned i = 0; i < ARRAY_LEN(o->disks); i++)
		free(o->disks[i]);
	*o = (struct run_options){ 0 };
}
