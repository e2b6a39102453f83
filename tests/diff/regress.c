/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the differential tests that always runs: every encoding form
 * with a few states, random sequences from fixed seeds, and the committed
 * cases. A line of a case file is
 *
 *   64 480fafc3 | seed=1f     # mode, bytes, what the initial state is made from
 *   32 ... | seed=0..63       # several states
 */
#include <ctype.h>
#include <stdlib.h>
#include "diff.h"

#define LINES_MAX 8192

struct line {
	unsigned mode, len;
	uint8_t bytes[DIFF_CODE_MAX - 32];
	uint64_t first_seed, seeds;
};

struct cases {
	struct line *lines;
	unsigned n;
	uint64_t total;
};

static bool parse_line(const char *s, struct line *l)
{
	char *end;
	const char *seed;

	l->mode = strtoul(s, &end, 10) == 64 ? X86_MODE_64 : X86_MODE_32;
	l->len = 0;
	while (*end == ' ')
		end++;
	for (unsigned byte; sscanf(end, "%2x", &byte) == 1 && isxdigit((unsigned char)end[1]) && l->len < sizeof(l->bytes); end += 2)
		l->bytes[l->len++] = (uint8_t)byte;
	seed = strstr(end, "seed=");
	l->first_seed = seed ? strtoull(seed + 5, &end, 16) : 0;
	l->seeds = 1;
	if (seed && end[0] == '.' && end[1] == '.')
		l->seeds = strtoull(end + 2, NULL, 16) - l->first_seed + 1;
	return l->len != 0;
}

static bool read_cases(const char *path, struct cases *cases)
{
	FILE *f = fopen(path, "r");
	char text[1200];

	if (!f) {
		perror(path);
		return false;
	}
	while (fgets(text, sizeof(text), f) && cases->n < LINES_MAX) {
		if (!isdigit((unsigned char)text[0]))
			continue;
		if (!parse_line(text, &cases->lines[cases->n])) {
			printf("%s: cannot read: %s", path, text);
			fclose(f);
			return false;
		}
		cases->total += cases->lines[cases->n++].seeds;
	}
	fclose(f);
	return true;
}

static bool make_committed(struct diff_case *c, uint64_t n, void *ctx)
{
	const struct cases *cases = ctx;

	for (unsigned i = 0; i < cases->n; i++) {
		const struct line *l = &cases->lines[i];

		if (n < l->seeds)
			return diff_generate_bytes(c, l->mode, l->bytes, l->len, l->first_seed + n);
		n -= l->seeds;
	}
	return false;
}

static bool make_form(struct diff_case *c, uint64_t n, void *ctx)
{
	(void)ctx;
	return diff_generate_form(c, n % DIFF_FORMS, 1 + n / DIFF_FORMS);
}

static bool make_sequence(struct diff_case *c, uint64_t n, void *ctx)
{
	(void)ctx;
	return diff_generate_sequence(c, n);
}

static int run(const char *name, bool (*make)(struct diff_case *, uint64_t, void *), void *ctx, uint64_t count)
{
	struct diff_source src = { .name = name, .make = make, .ctx = ctx, .count = count };
	struct diff_totals t = { 0 };
	int rc = diff_run(&src, 0, 100000, &t);

	printf("%s: %llu cases (%llu ended in an exception), %llu skipped, %llu failed\n", name, (unsigned long long)t.run,
	       (unsigned long long)t.faults, (unsigned long long)t.skipped, (unsigned long long)t.failed);
	return rc;
}

int main(int argc, char **argv)
{
	struct cases cases = { .lines = calloc(LINES_MAX, sizeof(struct line)) };
	int rc = 0;

	if (!cases.lines)
		return 2;
	for (int i = 1; i < argc; i++)
		if (!read_cases(argv[i], &cases))
			return 2;
	rc |= run("committed", make_committed, &cases, cases.total);
	rc |= run("forms", make_form, NULL, 2 * (uint64_t)DIFF_FORMS);
	rc |= run("sequences", make_sequence, NULL, 60000);
	free(cases.lines);
	return rc != 0;
}
