/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kvm engine's own structures. Interrupt controllers stay in user space
 * (the machine's), so that a vcpu's state is the same engine-neutral struct
 * x86_state as everywhere: KVM holds registers and runs code, nothing else.
 *
 * Each vcpu owns a struct x86_cpu. Its `s` is the state while the vcpu is not
 * in KVM; while it is, only what KVM does not hold is current there: activity,
 * start-up vector, the paravirtual MSRs and the TSC offset. The interpreter
 * runs on it when KVM cannot emulate an instruction (kvm_fallback.c).
 */
#ifndef LODGE_CPU_KVM_KVM_H
#define LODGE_CPU_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include "cpu/cpu_backend.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/interp.h"
#include "host/host_ops.h"

#define KVM_VCPUS_MAX 64
#define KVM_MSRS 43

/* One memory slot of KVM's; bytes 0: free. */
struct kvm_slot {
	uint64_t base, bytes;
	uint8_t *hva;
	bool readonly;
};

struct cpu_vm {
	struct cpu_vm_config config;
	struct x86_cpu_model hardware; /* the model as the fallback runs it */
	int kvm_fd, vm_fd;
	size_t run_bytes;
	bool msr_known[KVM_MSRS]; /* of kvm_state.c's table: this KVM has it */
	bool tsc_offset_attr; /* the guest's TSC offset can be set and read exactly */
	struct host_mutex slots_lock; /* guards slots */
	struct kvm_slot slots[MEMORY_RANGES_MAX];
	struct cpu_vcpu *vcpu[KVM_VCPUS_MAX];
};

struct cpu_vcpu {
	struct cpu_vm *vm;
	struct x86_cpu *cpu;
	int fd;
	struct kvm_run *run;

	/* Any thread. */
	_Atomic uint32_t request;
	_Atomic uint32_t sipi;
	_Atomic uint32_t sleep_word;
	_Atomic bool in_kvm; /* a signal is needed to get it out */
	pthread_t thread;

	/* vcpu thread */
	bool ready;      /* KVM takes an interrupt now */
	bool if_flag;    /* RFLAGS.IF, for a halted vcpu */
	bool incomplete; /* an exit's result is handed over by the next KVM_RUN */
	bool tlb_stale;  /* what KVM and the CPU remember of the guest's page tables may be wrong */
	struct cpu_stats stats;
};

/* kvm_state.c: all of v->cpu->s that KVM holds, out of it and into it. */
enum lodge_err kvm_state_get(struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err kvm_state_put(struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
/* Which MSRs this KVM holds. */
enum lodge_err kvm_msrs_find(struct cpu_vm *vm, struct lodge_error *err) LODGE_MUST_CHECK;
/* The guest's TSC is the host's plus s.tsc_offset from now on; _get: what the guest and KVM made of that. */
enum lodge_err kvm_tsc_put(struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
void kvm_tsc_get(struct cpu_vcpu *v);

/* kvm_fallback.c: execute the instruction at RIP by the interpreter. */
enum lodge_err kvm_fallback(struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;

/* kvm_exit.c: deal with why KVM_RUN came back. *done: run() returns @exit. */
enum lodge_err kvm_exit_dispatch(struct cpu_vcpu *v, bool *done, enum cpu_exit *exit, struct lodge_error *err) LODGE_MUST_CHECK;

/* kvm_cpuid.c */
enum lodge_err kvm_model_check(const struct x86_cpu_model *m, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err kvm_cpuid_put(const struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;

/* kvm_probe.c */
void kvm_probe(struct cpu_probe *out);

/* kvm_slots.c */
enum lodge_err kvm_slots_update(struct cpu_vm *vm, struct lodge_error *err) LODGE_MUST_CHECK;
/* Make KVM forget what it derived from page tables in guest memory; needed when they were changed by others than its vcpus. */
enum lodge_err kvm_slots_forget(struct cpu_vm *vm, struct lodge_error *err) LODGE_MUST_CHECK;

/* kvm_vcpu.c */
enum lodge_err kvm_vcpu_open(struct cpu_vcpu *v, unsigned index, struct lodge_error *err) LODGE_MUST_CHECK;
void kvm_vcpu_close(struct cpu_vcpu *v);
enum cpu_exit kvm_vcpu_run(struct cpu_vcpu *v, struct lodge_error *err);
/* While it does not run: its whole state, requests not yet served included, to v->cpu->s. */
enum lodge_err kvm_vcpu_settle(struct cpu_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
void kvm_vcpu_request(struct cpu_vcpu *v, uint32_t bits, uint32_t arg);
enum lodge_err kvm_signal_install(struct lodge_error *err) LODGE_MUST_CHECK;

#endif
