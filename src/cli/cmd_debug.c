/* SPDX-License-Identifier: Apache-2.0 */
/* lodge debug: looks inside, and tests that need a machine. */
#include <string.h>

#include "cli/cli.h"

static const char help[] =
	"usage: lodge debug hop [--every MS] [--to kvm|soft] [RUN OPTIONS] [-- CMD...]\n"
	"       lodge debug block ADDRESS [RUN OPTIONS] [-- CMD...]\n\n"
	"  hop       `lodge run`, with the machine moving between two engines while it runs: all vcpus stop, their state goes\n"
	"            from one to the other, and on they go there. It starts on soft. At the end it says how often it moved\n"
	"  block     `lodge run` on soft until code at ADDRESS (hexadecimal) is translated: the guest's instructions and the\n"
	"            host's that they became, on stdout\n\n"
	"  --every MS            move every MS milliseconds (default 100)\n"
	"  --to kvm|soft         the other engine (default kvm); soft is a second software CPU with nothing in common\n"
	"                        with the first but the state\n\n"
	"RUN OPTIONS are those of `lodge run` without --accel.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} tools[] = {
	{ "hop", cli_run_hopping },
	{ "block", cli_run_for_block },
};

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int run(int argc, char **argv)
{
	const char *names[ARRAY_LEN(tools) + 1] = { NULL }, *near;

	if (argc < 2)
		return cli_fail_text("debug what? `lodge help debug` lists what there is");
	if (is_help(argv[1]) || (argc > 2 && is_help(argv[2]))) {
		fputs(help, stdout);
		return CLI_OK;
	}
	for (unsigned i = 0; i < ARRAY_LEN(tools); i++) {
		if (!strcmp(tools[i].name, argv[1]))
			return tools[i].run(argc - 1, argv + 1);
		names[i] = tools[i].name;
	}
	near = cli_nearest(argv[1], names);
	if (near)
		return cli_fail_text("there is no `lodge debug %s`; did you mean '%s'?", argv[1], near);
	return cli_fail_text("there is no `lodge debug %s`; `lodge help debug` lists what there is", argv[1]);
}

const struct cli_verb cli_debug = { .name = "debug", .summary = "look inside, test engines against each other", .help = help, .run = run };
