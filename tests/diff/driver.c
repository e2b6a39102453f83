/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs many cases in a sandboxed child process; when the child dies, the case
 * it was at is a failure of its own and another child goes on behind it.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "diff.h"

/* Between the child and its supervisor. */
struct progress {
	uint64_t next;
	bool finished;
	struct diff_totals totals;
	uint64_t failed_ops[X86_OP_COUNT + 1]; /* by the first instruction; the last: undecodable */
};

struct pass {
	const struct diff_source *src;
	const struct diff_engine *host, *engine;
	struct progress *progress;
	time_t deadline;
	unsigned max_failures;
};

static struct diff_case current, reduced, original;
static struct diff_result host_result, engine_result, first[2];

/* Both ran it; false: nothing can be said. */
static bool run_both(const struct pass *p, const struct diff_case *c)
{
	return p->host->run(p->host->ctx, c, &host_result) && host_result.kind != DIFF_TIMEOUT &&
	       p->engine->run(p->engine->ctx, c, &engine_result) && engine_result.kind != DIFF_TIMEOUT;
}

static bool still_differs(const struct pass *p, const struct diff_case *c)
{
	return run_both(p, c) && !diff_compare(c, &host_result, &engine_result, p->engine->name, NULL);
}

static void remove_insn(struct diff_case *c, unsigned n)
{
	unsigned from = c->start[n], to = n + 1 < c->insns ? c->start[n + 1] : c->len, bytes = to - from;

	memmove(c->code + from, c->code + to, c->len - to);
	c->len -= bytes;
	for (unsigned i = n; i + 1 < c->insns; i++)
		c->start[i] = c->start[i + 1] - bytes;
	c->insns--;
}

/* Leave out what is not needed to show the difference. */
static void reduce(const struct pass *p, struct diff_case *c)
{
	for (bool again = c->insns > 1; again && c->insns > 1;) {
		again = false;
		for (unsigned i = c->insns; i-- > 0 && c->insns > 1;) {
			reduced = *c;
			remove_insn(&reduced, i);
			if (still_differs(p, &reduced)) {
				*c = reduced;
				again = true;
			}
		}
	}
}

static unsigned first_op(const struct diff_case *c)
{
	struct insn insn;

	return x86_decode(c->code, c->len, c->mode, &insn) == DECODE_OK ? insn.op : X86_OP_COUNT;
}

static void report(const struct pass *p, struct diff_case *c)
{
	struct progress *g = p->progress;
	unsigned op;

	first[0] = host_result;
	first[1] = engine_result;
	original = *c;
	reduce(p, c);
	op = first_op(c);
	g->totals.failed++;
	if (g->failed_ops[op]++ >= (op == X86_OP_COUNT ? 20 : 3) || g->totals.failed > 200)
		return;
	printf("%s: ", p->src->name);
	if (still_differs(p, c)) {
		diff_print(c, stdout);
		diff_compare(c, &host_result, &engine_result, p->engine->name, stdout);
	} else {
		printf("(at the first run only) ");
		diff_print(&original, stdout);
		diff_compare(&original, &first[0], &first[1], p->engine->name, stdout);
	}
	fflush(stdout);
}

static void run_one(const struct pass *p, uint64_t n)
{
	struct progress *g = p->progress;

	if (!p->src->make(&current, n, p->src->ctx) || !run_both(p, &current)) {
		g->totals.skipped++;
		return;
	}
	g->totals.run++;
	g->totals.faults += host_result.kind == DIFF_FAULT;
	if (!diff_compare(&current, &host_result, &engine_result, p->engine->name, NULL))
		report(p, &current);
}

static int child(const struct pass *p)
{
	struct progress *g = p->progress;

	if (!diff_host_sandbox()) {
		perror("sandbox");
		return 2;
	}
	while (g->next - p->src->first < p->src->count && g->totals.failed < p->max_failures) {
		if (p->deadline && g->next % 256 == 0 && time(NULL) >= p->deadline)
			break;
		run_one(p, g->next);
		g->next++;
	}
	g->finished = true;
	return 0;
}

/* The child died at g->next. */
static void report_death(const struct pass *p, int status)
{
	struct progress *g = p->progress;

	g->totals.failed++;
	printf("%s: case %llu ended the process (%s %d)\n", p->src->name, (unsigned long long)g->next,
	       WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (p->src->make(&current, g->next, p->src->ctx))
		diff_print(&current, stdout);
	g->next++;
}

static void print_failures(const struct progress *g)
{
	for (unsigned i = 0; i <= X86_OP_COUNT; i++)
		if (g->failed_ops[i])
			printf("  %llu differences of %s\n", (unsigned long long)g->failed_ops[i],
			       i == X86_OP_COUNT ? "undefined opcodes" : x86_op_info(i)->name);
}

int diff_run(const struct diff_source *src, unsigned seconds, unsigned max_failures, struct diff_totals *totals)
{
	struct progress *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pass p = { .src = src, .progress = g, .deadline = seconds ? time(NULL) + (time_t)seconds : 0, .max_failures = max_failures };
	const char *why;
	int status;

	if (g == MAP_FAILED)
		return 2;
	p.host = diff_host_create(&why);
	if (!p.host) {
		printf("skipped: %s\n", why);
		exit(77);
	}
	p.engine = diff_interp_create();
	if (!p.engine)
		return 2;
	g->next = src->first;
	while (!g->finished && g->totals.failed < max_failures) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(child(&p));
		if (pid < 0 || waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status) == 2))
			return 2;
		if (!g->finished)
			report_death(&p, status);
	}
	print_failures(g);
	if (totals)
		*totals = g->totals;
	return g->totals.failed != 0;
}
