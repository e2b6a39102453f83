/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's environment as the engine hands it to the interpreter: around
 * each call the vcpu counts as outside its engine, so that a device which waits
 * for a lock never holds up another vcpu's stop_others().
 */
#include "cpu/soft/soft.h"

static struct soft_vcpu *leave(void *ctx)
{
	struct soft_vcpu *v = ctx;

	cpu_leave(&v->cpu);
	soft_engine_leave(v);
	return v;
}

static uint64_t soft_mmio_read(void *ctx, uint64_t addr, unsigned size)
{
	struct soft_vcpu *v = leave(ctx);
	uint64_t value = v->env->mmio_read(v->env_ctx, addr, size);

	v->stats.mmio++;
	soft_engine_enter(v);
	return value;
}

static void soft_mmio_write(void *ctx, uint64_t addr, unsigned size, uint64_t value)
{
	struct soft_vcpu *v = leave(ctx);

	v->stats.mmio++;
	v->env->mmio_write(v->env_ctx, addr, size, value);
	soft_engine_enter(v);
}

static uint32_t soft_port_in(void *ctx, uint16_t port, unsigned size)
{
	struct soft_vcpu *v = leave(ctx);
	uint32_t value = v->env->port_in(v->env_ctx, port, size);

	v->stats.port_io++;
	soft_engine_enter(v);
	return value;
}

static void soft_port_out(void *ctx, uint16_t port, unsigned size, uint32_t value)
{
	struct soft_vcpu *v = leave(ctx);

	v->stats.port_io++;
	v->env->port_out(v->env_ctx, port, size, value);
	soft_engine_enter(v);
}

static bool soft_intr_pending(void *ctx)
{
	struct soft_vcpu *v = leave(ctx);
	bool pending = v->env->intr_pending(v->env_ctx);

	soft_engine_enter(v);
	return pending;
}

static int soft_intr_ack(void *ctx)
{
	struct soft_vcpu *v = leave(ctx);
	int vector = v->env->intr_ack(v->env_ctx);

	soft_engine_enter(v);
	return vector;
}

static uint64_t soft_cr8_read(void *ctx)
{
	struct soft_vcpu *v = leave(ctx);
	uint64_t value = v->env->cr8_read(v->env_ctx);

	soft_engine_enter(v);
	return value;
}

static void soft_cr8_write(void *ctx, uint64_t value)
{
	struct soft_vcpu *v = leave(ctx);

	v->env->cr8_write(v->env_ctx, value);
	soft_engine_enter(v);
}

static bool soft_apic_msr_read(void *ctx, uint32_t msr, uint64_t *value)
{
	struct soft_vcpu *v = leave(ctx);
	bool ok = v->env->apic_msr_read(v->env_ctx, msr, value);

	soft_engine_enter(v);
	return ok;
}

static bool soft_apic_msr_write(void *ctx, uint32_t msr, uint64_t value)
{
	struct soft_vcpu *v = leave(ctx);
	bool ok = v->env->apic_msr_write(v->env_ctx, msr, value);

	soft_engine_enter(v);
	return ok;
}

static void soft_apic_init(void *ctx)
{
	struct soft_vcpu *v = leave(ctx);

	v->env->apic_init(v->env_ctx);
	soft_engine_enter(v);
}

static uint64_t soft_hypercall(void *ctx, uint64_t nr, const uint64_t arg[4])
{
	struct soft_vcpu *v = leave(ctx);
	uint64_t result = v->env->hypercall(v->env_ctx, nr, arg);

	soft_engine_enter(v);
	return result;
}

static uint64_t soft_read_outside(void *ctx, enum x86_outside what)
{
	struct soft_vcpu *v = ctx;
	uint64_t value;

	if (what == X86_OUTSIDE_TSC)
		return __builtin_ia32_rdtsc();
	v = leave(ctx);
	value = v->env->read_outside(v->env_ctx, what);
	soft_engine_enter(v);
	return value;
}

const struct x86_env_ops soft_env_ops = {
	.mmio_read = soft_mmio_read,
	.mmio_write = soft_mmio_write,
	.port_in = soft_port_in,
	.port_out = soft_port_out,
	.intr_pending = soft_intr_pending,
	.intr_ack = soft_intr_ack,
	.cr8_read = soft_cr8_read,
	.cr8_write = soft_cr8_write,
	.apic_msr_read = soft_apic_msr_read,
	.apic_msr_write = soft_apic_msr_write,
	.apic_init = soft_apic_init,
	.hypercall = soft_hypercall,
	.read_outside = soft_read_outside,
};
