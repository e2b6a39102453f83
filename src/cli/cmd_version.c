/* SPDX-License-Identifier: Apache-2.0 */
/* lodge version */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return cli_fail_text("`lodge version` takes no arguments");
	puts("lodge " LODGE_VERSION);
	return CLI_OK;
}

const struct cli_verb cli_version = { .name = "version", .summary = "print the version", .help = "usage: lodge version\n", .run = run };
