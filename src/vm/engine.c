/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's CPUs on one engine; see engine.h. */
#include "vm/engine.h"

enum lodge_err engine_init(struct vm_engine *e, const struct cpu_vm_config *config, struct machine *machine, struct lodge_error *err)
{
	enum lodge_err rc = e->ops->vm_create(config, &e->vm, err);

	e->vcpus = config->vcpus;
	for (unsigned i = 0; i < e->vcpus && rc == LODGE_OK; i++)
		rc = e->ops->vcpu_create(e->vm, i, machine_env(), machine_vcpu_ctx(machine, i), &e->vcpu[i], err);
	return rc;
}

void engine_fini(struct vm_engine *e)
{
	for (unsigned i = 0; i < e->vcpus; i++)
		if (e->vcpu[i])
			e->ops->vcpu_destroy(e->vcpu[i]);
	for (unsigned i = 0; i < e->vcpus; i++)
		e->vcpu[i] = NULL; /* disks that finish their last requests may still interrupt */
	if (e->vm)
		e->ops->vm_destroy(e->vm);
	e->vm = NULL;
}

void engine_request(struct vm_engine *e, unsigned vcpu, uint32_t bits, uint32_t arg)
{
	if (vcpu < e->vcpus && e->vcpu[vcpu])
		e->ops->request(e->vcpu[vcpu], bits, arg);
}

void engine_stop(struct vm_engine *e)
{
	for (unsigned i = 0; i < e->vcpus; i++)
		if (e->vcpu[i])
			e->ops->stop(e->vcpu[i]);
}

enum lodge_err engine_memory_changed(struct vm_engine *e, struct lodge_error *err)
{
	return e->vm ? e->ops->memory_changed(e->vm, err) : LODGE_OK;
}

enum lodge_err engine_move(struct vm_engine *from, struct vm_engine *to, struct lodge_error *err)
{
	struct x86_state state;
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < from->vcpus && rc == LODGE_OK; i++) {
		rc = from->ops->get_state(from->vcpu[i], &state, err);
		if (rc == LODGE_OK)
			rc = to->ops->set_state(to->vcpu[i], &state, err);
	}
	/* After the states: they void earlier requests, among which is what an engine may ask of its vcpus here. */
	return rc == LODGE_OK ? to->ops->taken_over(to->vm, err) : rc;
}

void engine_stats_add(const struct vm_engine *e, unsigned vcpu, struct cpu_stats *sum)
{
	struct cpu_stats one;
	const uint64_t *from = (const uint64_t *)&one;
	uint64_t *to = (uint64_t *)sum;

	_Static_assert(sizeof(one) % sizeof(*to) == 0, "all of it are counters");
	if (vcpu >= e->vcpus || !e->vcpu[vcpu])
		return;
	e->ops->stats(e->vcpu[vcpu], &one);
	for (unsigned i = 0; i < sizeof(one) / sizeof(*to); i++)
		to[i] += from[i];
}
