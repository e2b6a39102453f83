/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter as an engine. */
#include <stdlib.h>
#include "cpu/x86/interp.h"
#include "diff.h"

#define STEPS_MAX 20000

struct interp {
	struct x86_cpu *cpu;
	struct guest_memory mem;
	struct diff_guest *guest;
};

static bool interp_run(void *ctx, const struct diff_case *c, struct diff_result *r)
{
	struct interp *in = ctx;
	struct x86_cpu *cpu = in->cpu;

	diff_guest_load(in->guest, c);
	diff_guest_state(c, &cpu->s);
	cpu_update_mode(cpu);
	r->kind = DIFF_TIMEOUT;
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		x86_step(cpu);
		if (diff_guest_stopped(c, &cpu->s))
			break;
	}
	cpu_leave(cpu);
	diff_guest_result(in->guest, c, &cpu->s, r);
	return true;
}

static struct diff_engine engine = { .name = "interpreter", .run = interp_run };

const struct diff_engine *diff_interp_create(void)
{
	struct interp *in = calloc(1, sizeof(*in));
	struct lodge_error err = { 0 };

	if (engine.ctx) {
		free(in);
		return &engine;
	}
	in->cpu = aligned_alloc(64, (sizeof(*in->cpu) + 63) & ~(size_t)63);
	memset(in->cpu, 0, sizeof(*in->cpu));
	in->guest = diff_guest_create(&in->mem);
	in->cpu->mem = &in->mem;
	in->cpu->interp_cache = calloc(1, INTERP_CACHE_BYTES);
	if (cpu_fp_create(in->cpu, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return NULL;
	}
	cpu_reset(in->cpu, true);
	diff_host_set_cpu(in->cpu);
	engine.ctx = in;
	return &engine;
}
