/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table that every CPU engine fills (soft, kvm; later svm and vmx). src/vm
 * drives vcpus through it and knows nothing else about engines.
 */
#ifndef LODGE_CPU_CPU_BACKEND_H
#define LODGE_CPU_CPU_BACKEND_H

#include "base/error.h"
#include "base/log.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/env.h"
#include "cpu/x86/state.h"
#include "memory/guest_memory.h"

struct cpu_vm;   /* the engine's part of a VM */
struct cpu_vcpu; /* the engine's part of a vcpu */

/* Why run() came back. */
enum cpu_exit {
	CPU_EXIT_STOPPED,  /* cpu_backend_ops.stop() asked for it */
	CPU_EXIT_SHUTDOWN, /* triple fault */
	CPU_EXIT_ERROR,    /* the engine cannot go on; the error says why */
};

/* Generated code where it was written and where it runs. */
struct cpu_code {
	const uint8_t *bytes;
	size_t len;
	uint64_t at;
};

/*
 * A block that the soft engine has just translated, not linked to others yet.
 * A call of one of @slow is followed by a jump and @slow_data bytes that are no code.
 */
#define CPU_SLOW_STUBS 8
struct cpu_translation {
	uint64_t rip;
	unsigned guest_bits;      /* 32, 64; 0: no block but the fixed pieces of the code cache */
	const uint8_t *guest;     /* up to the end of its first page */
	size_t guest_len;
	unsigned insns;
	struct cpu_code hot, cold;
	uint64_t slow[CPU_SLOW_STUBS];
	size_t slow_data;
};

struct cpu_vm_config {
	struct guest_memory *mem;
	const struct x86_cpu_model *model;
	struct log *log;
	unsigned vcpus;
	bool stats;               /* count instructions (costs a little) */
	const char *soft_opts;    /* soft: debug switches, e.g. "interp", "nolink,notlb,chaos"; NULL: defaults */
	size_t code_cache_bytes;  /* soft: per vcpu, 0: default */
	/* soft: told of everything that is generated, on the vcpu's thread or at its creation; for listings and audits. May be NULL. */
	void (*translated)(void *ctx, const struct cpu_translation *t);
	void *translated_ctx;
};

/* Statistics that `lodge run --stats` prints; counters an engine does not have are 0. */
struct cpu_stats {
	uint64_t insns, insns_translated, insns_interpreted;
	uint64_t blocks_translated, blocks_evicted, blocks_invalidated, code_bytes, guest_code_bytes;
	uint64_t tlb_fills, tlb_flushes, exceptions, interrupts, mmio, port_io, halts;
	uint64_t kvm_exits, kvm_fallback_insns;
	uint64_t translate_ns, idle_ns, run_ns; /* run_ns: with translation, without idling */
	/* Why the software CPU left translated code for C, by kind. */
	uint64_t exit_links, exit_indirect, exit_returns, exit_requests, exit_steps, exit_interpreter;
	/* Its accesses that missed the soft TLB: filled, interpreted, and groups that had to be checked apart. */
	uint64_t slow_fills, slow_interpreted, slow_groups;
};

/* What an engine finds out about this host before a VM exists. */
struct cpu_probe {
	bool usable;
	bool fast;            /* the guest's kernel runs at the CPU's speed, not at an emulator's */
	bool cpuid_honoured;  /* the guest sees the CPU model that it is given */
	uint64_t kernel_ips;  /* instructions a second in ring 0, a rough measure; 0: unknown */
	char text[256];       /* one line for the user */
};

struct cpu_backend_ops {
	const char *name;

	/* A few milliseconds at most; may be NULL: usable everywhere. */
	void (*probe)(struct cpu_probe *out);

	/* Take what this engine cannot do out of @model. May be NULL: it can do everything. */
	void (*model_adapt)(struct x86_cpu_model *model);

	/* Can a guest have this model on this host? The error names what is missing. May be NULL: any that the builder accepts. */
	enum lodge_err (*model_check)(const struct x86_cpu_model *model, struct lodge_error *err);

	enum lodge_err (*vm_create)(const struct cpu_vm_config *config, struct cpu_vm **out, struct lodge_error *err);
	void (*vm_destroy)(struct cpu_vm *vm);

	/* @env's calls come on the vcpu's thread with @env_ctx. State is power-on. */
	enum lodge_err (*vcpu_create)(struct cpu_vm *vm, unsigned index, const struct x86_env_ops *env, void *env_ctx,
				      struct cpu_vcpu **out, struct lodge_error *err);
	void (*vcpu_destroy)(struct cpu_vcpu *vcpu);

	/* On the vcpu's own thread, before its first run() and after its last. */
	enum lodge_err (*thread_init)(struct cpu_vcpu *vcpu, struct lodge_error *err);
	void (*thread_fini)(struct cpu_vcpu *vcpu);

	/* Run until one of enum cpu_exit; HLT and device accesses are handled inside. */
	enum cpu_exit (*run)(struct cpu_vcpu *vcpu, struct lodge_error *err);

	/*
	 * From any thread. request(): CPU_REQ_* bits of cpu/x86/cpu.h are pending
	 * (INTR, NMI, INIT, SIPI with @arg the vector, TIMER, FLUSH); wakes a halted
	 * vcpu, interrupts a running one. stop(): run() returns CPU_EXIT_STOPPED soon,
	 * also if called just before run().
	 */
	void (*request)(struct cpu_vcpu *vcpu, uint32_t bits, uint32_t arg);
	void (*stop)(struct cpu_vcpu *vcpu);

	/*
	 * While the vcpu is not in run(). What others asked of it before is in the state that get_state() gives, and void
	 * for set_state(); interrupts that wait in the LAPIC are looked for by whoever runs it next.
	 */
	enum lodge_err (*get_state)(struct cpu_vcpu *vcpu, struct x86_state *out, struct lodge_error *err);
	enum lodge_err (*set_state)(struct cpu_vcpu *vcpu, const struct x86_state *in, struct lodge_error *err);

	void (*stats)(struct cpu_vcpu *vcpu, struct cpu_stats *out);

	/* The memory map changed (all vcpus stopped or about to be asked to flush). */
	enum lodge_err (*memory_changed)(struct cpu_vm *vm, struct lodge_error *err);

	/*
	 * Another engine ran this VM up to now: code, page tables and data changed unseen. Every vcpu has its state from
	 * there by set_state() and none is in run().
	 */
	enum lodge_err (*taken_over)(struct cpu_vm *vm, struct lodge_error *err);
};

extern const struct cpu_backend_ops cpu_backend_soft;
extern const struct cpu_backend_ops cpu_backend_kvm;

#endif
