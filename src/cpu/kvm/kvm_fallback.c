/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM cannot emulate, the interpreter executes: on hosts whose KVM runs
 * ring 0 in its emulator, and for rare instructions on MMIO elsewhere. The
 * state goes out of KVM, one instruction is done, the state goes back. What the
 * CPU model hides works as it does for KVM: its guests may see features of the
 * host for all that KVM was told (KVMs in software do that), and kernels use them.
 */
#include "cpu/kvm/kvm.h"
#include "cpu/x86/fpu.h"

/* The state came from outside; cpu_state_loaded() would also measure the TSC. */
static void interpreter_enter(struct x86_cpu *cpu)
{
	cpu_fp_loaded(cpu);
	cpu->debug_hits = 0;
	cpu_update_mode(cpu);
	mmu_flush_all(cpu);
}

/* The instruction drops translations: KVM's must go, too. */
static void on_flush(struct x86_cpu *cpu, bool global LODGE_UNUSED)
{
	((struct cpu_vcpu *)cpu->engine)->tlb_stale = true;
}

static void on_flush_page(struct x86_cpu *cpu, uint64_t lin LODGE_UNUSED)
{
	((struct cpu_vcpu *)cpu->engine)->tlb_stale = true;
}

enum lodge_err kvm_fallback(struct cpu_vcpu *v, struct lodge_error *err)
{
	struct x86_cpu *cpu = v->cpu;

	if (kvm_state_get(v, err) != LODGE_OK)
		return err->code;
	/* Without KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM has queued the #UD that it thinks this instruction deserves. */
	if (cpu->s.event_valid && cpu->s.event_vector == X86_EXC_UD)
		cpu->s.event_valid = 0;
	cpu->s.activity = X86_RUNNING;
	interpreter_enter(cpu);
	cpu->engine = v;
	cpu->on_tlb_flush = on_flush;
	cpu->on_tlb_flush_page = on_flush_page;
	v->stats.kvm_fallback_insns++;
	cpu->model = &v->vm->hardware;
	x86_step(cpu);
	cpu->model = v->vm->config.model;
	cpu_leave(cpu);
	cpu->on_tlb_flush = NULL;
	cpu->on_tlb_flush_page = NULL;
	return kvm_state_put(v, err);
}
