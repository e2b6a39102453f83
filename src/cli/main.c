/* SPDX-License-Identifier: Apache-2.0 */
/* lodge VERB ...: find the verb. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = { &cli_run, &cli_pull, &cli_images, &cli_rmi, &cli_disk, &cli_doctor, &cli_debug, &cli_version, &cli_help, NULL };
_Static_assert(ARRAY_LEN(cli_verbs) < CLI_NAMES_MAX, "arrays of verbs' names are too short");

void cli_say(const char *text)
{
	fprintf(stderr, "lodge: %s\n", text);
}

int cli_fail(const struct lodge_error *err)
{
	cli_say(err->text[0] ? err->text : lodge_err_name(err->code));
	return CLI_ERROR;
}

int cli_fail_text(const char *fmt, ...)
{
	va_list ap;

	fputs("lodge: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CLI_ERROR;
}

/* Levenshtein distance of two short words. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t la = strlen(a), lb = strlen(b);

	if (la >= ARRAY_LEN(row) || lb >= ARRAY_LEN(row))
		return 99;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			best = MIN(best, above + 1);
			best = MIN(best, row[j - 1] + 1);
			row[j] = best;
			diagonal = above;
		}
	}
	return row[lb];
}

const char *cli_nearest(const char *word, const char *const *names)
{
	const char *best = NULL;
	unsigned least = 3;

	for (; *names; names++) {
		unsigned d = distance(word, *names);

		if (d < least) {
			least = d;
			best = *names;
		}
	}
	return best;
}

void cli_json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* A standard descriptor that came closed would become one of the next files to be opened, and the guest's output would go there. */
static void open_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(CLI_ERROR);
}

int main(int argc, char **argv)
{
	const char *names[CLI_NAMES_MAX], *near;
	unsigned n = 0;
	const char *verb = argc > 1 ? argv[1] : "help";

	open_standard_descriptors();
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h"))
		verb = "help";
	if (!strcmp(verb, "--version"))
		verb = "version";
	for (const struct cli_verb *const *v = cli_verbs; *v; v++) {
		if (!strcmp((*v)->name, verb))
			return (*v)->run(argc - (argc > 1), argv + (argc > 1));
		names[n++] = (*v)->name;
	}
	names[n] = NULL;
	near = cli_nearest(verb, names);
	if (near)
		return cli_fail_text("there is no verb '%s'; did you mean '%s'? `lodge help` lists them", verb, near);
	return cli_fail_text("there is no verb '%s'; `lodge help` lists them", verb);
}
