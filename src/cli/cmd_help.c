/* SPDX-License-Identifier: Apache-2.0 */
/* lodge help [VERB | roadmap] */
#include <string.h>

#include "cli/cli.h"

static const char roadmap[] =
	"What you may look for and will not find yet:\n"
	"  disk images        raw and qcow2 (--disk), no snapshots inside, no VMDK; virtio or NVMe, no SATA\n"
	"  network            one card (--net), no network among machines but by a bridge; forwards (-p) for IPv4 only\n"
	"  shared folders     no virtiofs, no vsock, no agent beyond `-- CMD`\n"
	"  display            no VGA, VNC or window; serial consoles only\n"
	"  ISO boot           no CD-ROM; kernels and firmware images only\n"
	"  snapshots          no save, restore, fork or migration\n"
	"  management         no control socket, list, stop or attach: one `lodge run` is one VM\n"
	"  devices            no USB, sound, passthrough, hotplug\n"
	"  Windows            untried: needs disks and a display first\n"
	"  bare metal         Lodge runs on Linux\n";

static int run(int argc, char **argv)
{
	const char *names[CLI_NAMES_MAX], *near;
	unsigned n = 0;

	if (argc < 2) {
		puts("Lodge runs virtual machines, with or without hardware virtualization.\n\nusage: lodge VERB [OPTIONS]\n");
		for (const struct cli_verb *const *v = cli_verbs; *v; v++)
			printf("  %-10s %s\n", (*v)->name, (*v)->summary);
		puts("\n`lodge help VERB` tells more; `lodge help roadmap` says what is missing.");
		return CLI_OK;
	}
	if (!strcmp(argv[1], "roadmap")) {
		fputs(roadmap, stdout);
		return CLI_OK;
	}
	for (const struct cli_verb *const *v = cli_verbs; *v; v++) {
		if (!strcmp((*v)->name, argv[1])) {
			fputs((*v)->help, stdout);
			return CLI_OK;
		}
		names[n++] = (*v)->name;
	}
	names[n++] = "roadmap";
	names[n] = NULL;
	near = cli_nearest(argv[1], names);
	if (near)
		return cli_fail_text("no help on '%s'; did you mean '%s'?", argv[1], near);
	return cli_fail_text("no help on '%s'; `lodge help` lists the verbs", argv[1]);
}

const struct cli_verb cli_help = { .name = "help", .summary = "explain a verb, or `roadmap`", .help = "usage: lodge help [VERB | roadmap]\n", .run = run };
