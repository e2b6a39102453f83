/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one VM. The thread that calls vm_run() becomes its I/O thread;
 * vcpus get threads of their own. Nothing here is global: several VMs may live
 * in one process.
 */
#ifndef LODGE_VM_VM_H
#define LODGE_VM_VM_H

#include "cpu/cpu_backend.h"
#include "host/event_loop.h"
#include "vm/vm_config.h"

struct vm;

enum vm_end {
	VM_END_NONE,
	VM_END_POWER_OFF,
	VM_END_RESET,        /* the guest rebooted and --no-reboot was given */
	VM_END_PANIC,
	VM_END_TRIPLE_FAULT,
	VM_END_DEBUG_EXIT,   /* value: what the guest asked for */
	VM_END_QUIT,         /* the user, at the console */
	VM_END_SIGNAL,       /* value: signal number */
	VM_END_ERROR,
};

struct vm_result {
	enum vm_end end;
	uint32_t value;
	unsigned resets;
	unsigned hops; /* moves to another engine */
};

/* What the caller lends; everything outlives the VM. */
struct vm_host {
	struct event_loop *loop;
	struct log *log;
	struct chardev console, agent; /* what serial ports 1 and 2 write to */
	struct chardev debugcon;       /* what firmware writes to port 0x402; without .write there is no such port */
};

/* Load, map and build everything; nothing runs yet. */
enum lodge_err vm_create(const struct vm_config *config, const struct vm_host *host, struct vm **out, struct lodge_error *err) LODGE_MUST_CHECK;
void vm_destroy(struct vm *vm);

/* Run to the end. LODGE_OK: *result says which end; otherwise the VM could not go on and *err says why. */
enum lodge_err vm_run(struct vm *vm, struct vm_result *result, struct lodge_error *err) LODGE_MUST_CHECK;

/* Make vm_run() come back with this end, unless another came first. Any thread. */
void vm_end(struct vm *vm, enum vm_end end, uint32_t value);

const struct chardev_client *vm_serial(struct vm *vm, unsigned port);
unsigned vm_vcpus(const struct vm *vm);
/* After vm_run() (or for a rough look while it runs). */
void vm_stats(const struct vm *vm, unsigned vcpu, struct cpu_stats *out);
const char *vm_engine(const struct vm *vm); /* under hops: "soft and kvm" */
const char *vm_engine_why(const struct vm *vm);
const struct x86_cpu_model *vm_cpu_model(const struct vm *vm);

#endif
