/* SPDX-License-Identifier: Apache-2.0 */
/* lodge version */
#include <string.h>

#include "cli/cli.h"

static int run(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc > 1 && !json)
		return cli_fail_text("`lodge version` does not know '%s'; it takes --json", argv[1]);
	puts(json ? "{\"name\": \"lodge\", \"version\": \"" LODGE_VERSION "\", \"engines\": [\"soft\", \"kvm\"]}" : "lodge " LODGE_VERSION);
	return CLI_OK;
}

const struct cli_verb cli_version = {
	.name = "version",
	.summary = "print the version",
	.help = "usage: lodge version [--json]\n\nPrint the version; with --json the engines of this build, too.\n",
	.run = run,
};
