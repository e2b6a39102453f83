/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share. Each verb has a file; main.c has the table. */
#ifndef LODGE_CLI_CLI_H
#define LODGE_CLI_CLI_H

#include <stdio.h>
#include "base/error.h"

/* Exit statuses; docs and `lodge help run` list them. */
enum {
	CLI_OK = 0,
	CLI_REBOOT = 120,
	CLI_PANIC = 121,
	CLI_TRIPLE_FAULT = 122,
	CLI_ERROR = 125,
	CLI_SIGNAL = 128,
};

struct cli_verb {
	const char *name;
	const char *summary; /* one line for `lodge help` */
	const char *help;    /* the whole of `lodge help NAME` */
	int (*run)(int argc, char **argv);
};

extern const struct cli_verb cli_run, cli_pull, cli_images, cli_rmi, cli_disk, cli_doctor, cli_debug, cli_version, cli_help;
/* `lodge debug hop`: a run that moves between engines. */
int cli_run_hopping(int argc, char **argv);
/* `lodge debug block ADDRESS`: a run until that is translated. */
int cli_run_for_block(int argc, char **argv);

/* Ends with NULL. */
extern const struct cli_verb *const cli_verbs[];
#define CLI_NAMES_MAX 16 /* room for all verbs' names, one more word, and NULL */

/* "lodge: <text>" on stderr. */
void cli_say(const char *text);
/* The same; returns CLI_ERROR. */
int cli_fail(const struct lodge_error *err);
int cli_fail_text(const char *fmt, ...) LODGE_PRINTF(1, 2);

/* The entry of @names (NULL-terminated) nearest to @word, or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *names);

/* @s as a JSON string with quotes. */
void cli_json_string(FILE *out, const char *s);

#endif
