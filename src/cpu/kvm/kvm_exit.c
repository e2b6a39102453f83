/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of KVM_RUN: port I/O, MMIO, MSRs, HLT, failures. */
#include <string.h>
#include "cpu/kvm/kvm.h"

#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_COUNT 0x100u

static void exit_io(struct cpu_vcpu *v)
{
	const struct x86_env_ops *env = v->cpu->env;
	void *ctx = v->cpu->env_ctx;
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint32_t value = 0;

		v->stats.port_io++;
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			env->port_out(ctx, run->io.port, size, value);
		} else {
			value = env->port_in(ctx, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
	v->incomplete = true;
}

/*
 * An access that left KVM may still be to memory: to a range that is read and
 * written in different places, or to one whose slot is being replaced.
 */
static bool memory_access(struct cpu_vcpu *v, uint64_t addr, uint8_t *data, unsigned size, bool write)
{
	struct guest_memory *mem = v->cpu->mem;

	return (write ? guest_write(mem, gpa(addr), data, size) : guest_read(mem, gpa(addr), data, size)) == LODGE_OK;
}

static void device_access(struct cpu_vcpu *v, uint64_t addr, uint8_t *data, unsigned size, bool write)
{
	const struct x86_env_ops *env = v->cpu->env;
	uint64_t value = 0;

	v->stats.mmio++;
	if (write) {
		memcpy(&value, data, size);
		env->mmio_write(v->cpu->env_ctx, addr, size, value);
	} else {
		value = env->mmio_read(v->cpu->env_ctx, addr, size);
		memcpy(data, &value, size);
	}
}

static void exit_mmio(struct cpu_vcpu *v)
{
	uint64_t addr = v->run->mmio.phys_addr;
	uint8_t *data = v->run->mmio.data;
	unsigned left = MIN(v->run->mmio.len, 8u);
	bool write = v->run->mmio.is_write;

	v->incomplete = true;
	if (memory_access(v, addr, data, left, write))
		return;
	while (left) {
		/* A piece of an access that straddled pages may have an odd length. */
		unsigned size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;

		device_access(v, addr, data, size, write);
		addr += size;
		data += size;
		left -= size;
	}
}

/*
 * MSRs of the APIC, of KVM's paravirtual interface, and those that KVM does not
 * know: the model decides. KVM calls x2APIC registers invalid without an APIC
 * of its own; what else it calls so has a bad value, and would end in our copy
 * of a register that KVM holds.
 */
static bool msr_is_ours(const struct kvm_run *run)
{
	return run->msr.reason != KVM_MSR_EXIT_REASON_INVAL || run->msr.index - MSR_X2APIC_FIRST < MSR_X2APIC_COUNT;
}

static void exit_msr(struct cpu_vcpu *v, bool write)
{
	struct kvm_run *run = v->run;
	uint64_t value = 0;

	if (!msr_is_ours(run)) {
		run->msr.error = 1;
	} else if (write) {
		run->msr.error = !x86_msr_write(v->cpu, run->msr.index, run->msr.data);
	} else {
		run->msr.error = !x86_msr_read(v->cpu, run->msr.index, &value);
		run->msr.data = value;
	}
	v->incomplete = true;
}

static enum lodge_err exit_internal(struct cpu_vcpu *v, struct lodge_error *err)
{
	const struct kvm_run *run = v->run;

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		return kvm_fallback(v, err);
	return error_set(err, LODGE_ERR_INTERNAL, "KVM gave up on vcpu %u: internal error %u (%#llx %#llx)", v->cpu->index,
			 run->internal.suberror, run->internal.ndata > 0 ? (unsigned long long)run->internal.data[0] : 0,
			 run->internal.ndata > 1 ? (unsigned long long)run->internal.data[1] : 0);
}

enum lodge_err kvm_exit_dispatch(struct cpu_vcpu *v, bool *done, enum cpu_exit *exit, struct lodge_error *err)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(v);
		return LODGE_OK;
	case KVM_EXIT_MMIO:
		exit_mmio(v);
		return LODGE_OK;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(v, v->run->exit_reason == KVM_EXIT_X86_WRMSR);
		return LODGE_OK;
	case KVM_EXIT_HLT:
		v->cpu->s.activity = X86_HALTED;
		return LODGE_OK;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		return LODGE_OK;
	case KVM_EXIT_INTERNAL_ERROR:
		return exit_internal(v, err);
	case KVM_EXIT_SHUTDOWN:
		v->cpu->s.activity = X86_SHUTDOWN;
		*exit = CPU_EXIT_SHUTDOWN;
		*done = true;
		return LODGE_OK;
	case KVM_EXIT_FAIL_ENTRY:
		return error_set(err, LODGE_ERR_INTERNAL, "the CPU refuses to enter vcpu %u: hardware reason %#llx", v->cpu->index,
				 (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
	default:
		return error_set(err, LODGE_ERR_INTERNAL, "KVM stopped vcpu %u for reason %u, which Lodge does not know", v->cpu->index,
				 v->run->exit_reason);
	}
}
