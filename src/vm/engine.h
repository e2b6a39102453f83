/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's CPUs on one engine. A VM has one; under `lodge debug hop` it has two
 * and moves between them.
 */
#ifndef LODGE_VM_ENGINE_H
#define LODGE_VM_ENGINE_H

#include "cpu/cpu_backend.h"
#include "machine/machine.h"

struct vm_engine {
	const struct cpu_backend_ops *ops;
	struct cpu_vm *vm;
	unsigned vcpus;
	struct cpu_vcpu *vcpu[MACHINE_VCPUS_MAX];
};

/* @e->ops is set. A half-made one is for engine_fini(), too. */
enum lodge_err engine_init(struct vm_engine *e, const struct cpu_vm_config *config, struct machine *machine, struct lodge_error *err) LODGE_MUST_CHECK;
/* No vcpu runs any more. Interrupts may still come until the machine is gone. */
void engine_fini(struct vm_engine *e);

/* Ignored for a vcpu that is not there (yet, or any more). */
void engine_request(struct vm_engine *e, unsigned vcpu, uint32_t bits, uint32_t arg);
void engine_stop(struct vm_engine *e);
enum lodge_err engine_memory_changed(struct vm_engine *e, struct lodge_error *err) LODGE_MUST_CHECK;

/* Put every vcpu of @from, which are stopped, into @to's. Nobody else sends either of them requests meanwhile. */
enum lodge_err engine_move(struct vm_engine *from, struct vm_engine *to, struct lodge_error *err) LODGE_MUST_CHECK;

/* Add to @sum what the engine counted for @vcpu. */
void engine_stats_add(const struct vm_engine *e, unsigned vcpu, struct cpu_stats *sum);

#endif
