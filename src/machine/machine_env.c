/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as a vcpu sees it: buses, its local APIC, hypercalls, the outside. */
#include "cpu/x86/cpu.h"
#include "machine/machine_internal.h"

#define MSR_KVM_PV_EOI_EN 0x4b564d04u
#define PV_EOI_RESERVED 2u

#define KVM_HC_KICK_CPU 5u
#define KVM_HC_SEND_IPI 10u
#define KVM_HC_SCHED_YIELD 11u
#define KVM_ENOSYS 1000

static uint64_t env_mmio_read(void *ctx, uint64_t gpa_v, unsigned size)
{
	struct machine_vcpu *v = ctx;

	if (lapic_claims(&v->lapic, gpa_v))
		return lapic_mmio_read(&v->lapic, gpa_v % LAPIC_PAGE_BYTES, size);
	return bus_read(&v->machine->mmio, gpa_v, size);
}

static void env_mmio_write(void *ctx, uint64_t gpa_v, unsigned size, uint64_t value)
{
	struct machine_vcpu *v = ctx;

	if (lapic_claims(&v->lapic, gpa_v))
		lapic_mmio_write(&v->lapic, gpa_v % LAPIC_PAGE_BYTES, size, value);
	else
		bus_write(&v->machine->mmio, gpa_v, size, value);
}

static uint32_t env_port_in(void *ctx, uint16_t port, unsigned size)
{
	struct machine_vcpu *v = ctx;

	return (uint32_t)bus_read(&v->machine->ports, port, size);
}

static void env_port_out(void *ctx, uint16_t port, unsigned size, uint32_t value)
{
	struct machine_vcpu *v = ctx;

	bus_write(&v->machine->ports, port, size, value);
}

static bool env_intr_pending(void *ctx) { return lapic_pending(&((struct machine_vcpu *)ctx)->lapic); }
static int env_intr_ack(void *ctx) { return lapic_ack(&((struct machine_vcpu *)ctx)->lapic); }
static uint64_t env_cr8_read(void *ctx) { return lapic_cr8_read(&((struct machine_vcpu *)ctx)->lapic); }
static void env_cr8_write(void *ctx, uint64_t value) { lapic_cr8_write(&((struct machine_vcpu *)ctx)->lapic, value); }
static void env_apic_init(void *ctx) { lapic_init_signal(&((struct machine_vcpu *)ctx)->lapic); }

/* The engine keeps KVM's PV EOI register with the others and passes writes on, because the APIC acts on it. */
static bool env_apic_msr_read(void *ctx, uint32_t msr, uint64_t *value)
{
	struct machine_vcpu *v = ctx;

	if (msr == MSR_KVM_PV_EOI_EN) {
		*value = v->pv_eoi_msr;
		return true;
	}
	return lapic_msr_read(&v->lapic, msr, value);
}

static bool env_apic_msr_write(void *ctx, uint32_t msr, uint64_t value)
{
	struct machine_vcpu *v = ctx;

	if (msr == MSR_KVM_PV_EOI_EN) {
		if (value & PV_EOI_RESERVED)
			return false;
		lapic_pv_eoi_settle(&v->lapic);
		v->pv_eoi_msr = value;
		return true;
	}
	return lapic_msr_write(&v->lapic, msr, value);
}

static uint64_t env_hypercall(void *ctx, uint64_t nr, const uint64_t arg[4])
{
	struct machine_vcpu *v = ctx;
	struct machine *m = v->machine;

	switch (nr) {
	case KVM_HC_KICK_CPU: /* flags, APIC id */
		if (arg[1] < m->config.vcpus)
			m->config.vcpu_request(m->config.ctx, (unsigned)arg[1], CPU_REQ_INTR, 0);
		return 0;
	case KVM_HC_SEND_IPI:
		return (uint64_t)lapic_send_pv_ipi(&v->lapic, arg[0], arg[1], (uint32_t)arg[2], (uint32_t)arg[3]);
	case KVM_HC_SCHED_YIELD:
		host_yield();
		return 0;
	default:
		return (uint64_t)-(int64_t)KVM_ENOSYS;
	}
}

static uint64_t env_read_outside(void *ctx, enum x86_outside what)
{
	struct machine_vcpu *v = ctx;
	uint64_t r = 0;

	if (what == X86_OUTSIDE_TSC)
		return v->machine->config.read_tsc ? v->machine->config.read_tsc(v->machine->config.ctx, v->index)
						   : __builtin_ia32_rdtsc();
	host_random(&r, sizeof(r));
	return r;
}

static const struct x86_env_ops env_ops = {
	.mmio_read = env_mmio_read,
	.mmio_write = env_mmio_write,
	.port_in = env_port_in,
	.port_out = env_port_out,
	.intr_pending = env_intr_pending,
	.intr_ack = env_intr_ack,
	.cr8_read = env_cr8_read,
	.cr8_write = env_cr8_write,
	.apic_msr_read = env_apic_msr_read,
	.apic_msr_write = env_apic_msr_write,
	.apic_init = env_apic_init,
	.hypercall = env_hypercall,
	.read_outside = env_read_outside,
};

const struct x86_env_ops *machine_env(void) { return &env_ops; }
