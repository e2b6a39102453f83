/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's paravirtual MSRs: kvm-clock, wall clock, steal time, PV EOI's address
 * and poll control. Layouts follow Linux's documentation of the KVM MSRs.
 *
 * kvm-clock counts from guest TSC zero at the model's frequency, so that every
 * vcpu publishes the same line and CLOCKSOURCE_STABLE holds by construction.
 */
#include "cpu/x86/pv.h"
#include "cpu/x86/system.h"
#include "host/host_ops.h"

#define MSR_KVM_WALL_CLOCK 0x11u
#define MSR_KVM_SYSTEM_TIME 0x12u
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
#define MSR_KVM_STEAL_TIME 0x4b564d03u
#define MSR_KVM_PV_EOI_EN 0x4b564d04u
#define MSR_KVM_POLL_CONTROL 0x4b564d05u

#define PV_ENABLE UINT64_C(1)
#define STEAL_RESERVED UINT64_C(0x3e)
#define STEAL_BYTES 64u
#define STEAL_AT_TIME 0u
#define STEAL_AT_VERSION 8u
#define STEAL_AT_PREEMPTED 16u
#define STEAL_PREEMPTED 1u
#define STEAL_FLUSH_TLB 2u
#define STEAL_INTERVAL_MS 4u

#define CLOCK_BYTES 32u
#define CLOCK_TSC_STABLE 1u
#define NS_PER_S UINT64_C(1000000000)

/*
 * The multiplier and shift with which a guest turns TSC ticks into
 * nanoseconds: ns = ((ticks << shift) * mul) >> 32, mul in [2^31, 2^32) for
 * full precision; a negative shift is to the right.
 */
static uint32_t clock_scale(uint64_t khz, int *shift)
{
	uint64_t mul = (UINT64_C(1000000) << 32) / khz;

	*shift = 0;
	while (mul > UINT32_MAX) {
		mul >>= 1;
		(*shift)++;
	}
	while (mul < UINT64_C(1) << 31 && *shift > -11) {
		(*shift)--;
		mul = (UINT64_C(1000000) << (32 - *shift)) / khz;
	}
	return (uint32_t)mul;
}

static uint64_t clock_khz(const struct x86_cpu *cpu)
{
	return cpu->s.tsc_khz ? cpu->s.tsc_khz : 1000000;
}

/* What kvm-clock says now. */
static uint64_t clock_now_ns(struct x86_cpu *cpu)
{
	uint64_t khz = clock_khz(cpu);
	uint64_t ticks = x86_tsc(cpu) - cpu->s.msr.tsc_adjust;

	return ticks / khz * 1000000 + ticks % khz * 1000000 / khz;
}

/* struct pvclock_vcpu_time_info. A guest that gives a bad address reads what was there: no error, as with KVM. */
static void clock_publish(struct x86_cpu *cpu, uint64_t at)
{
	uint8_t info[CLOCK_BYTES] = { 0 };
	int shift;
	uint32_t mul = clock_scale(clock_khz(cpu), &shift);

	put_le32(info, 2); /* even: consistent; it never changes, so no version dance */
	put_le64(info + 8, cpu->s.msr.tsc_adjust);
	put_le64(info + 16, 0);
	put_le32(info + 24, mul);
	info[28] = (uint8_t)shift;
	info[29] = CLOCK_TSC_STABLE;
	cpu_leave(cpu);
	if (guest_write(cpu->mem, gpa(at), info, sizeof(info)) != LODGE_OK)
		cpu->s.msr.kvm_system_time = 0;
}

/* struct pvclock_wall_clock: real time at kvm-clock zero. */
static void wall_clock_publish(struct x86_cpu *cpu, uint64_t at)
{
	uint8_t wall[12];
	uint64_t boot_ns;

	cpu_leave(cpu);
	boot_ns = host_wallclock_ns() - clock_now_ns(cpu);
	put_le32(wall, 2);
	put_le32(wall + 4, (uint32_t)(boot_ns / NS_PER_S));
	put_le32(wall + 8, (uint32_t)(boot_ns % NS_PER_S));
	if (guest_write(cpu->mem, gpa(at), wall, sizeof(wall)) != LODGE_OK)
		cpu->s.msr.kvm_wall_clock = 0;
}

static bool steal_enabled(const struct x86_cpu *cpu)
{
	return cpu->s.msr.kvm_steal_time & PV_ENABLE;
}

/* The guest's struct kvm_steal_time, or NULL if the address is not RAM. */
static uint8_t *steal_record(struct x86_cpu *cpu)
{
	void *p;
	struct gpa at = gpa(cpu->s.msr.kvm_steal_time & ~(PV_ENABLE | STEAL_RESERVED));

	if (guest_span(cpu->mem, at, STEAL_BYTES, true, &p) != LODGE_OK)
		return NULL;
	return p;
}

static void steal_written(struct x86_cpu *cpu)
{
	guest_span_written(cpu->mem, gpa(cpu->s.msr.kvm_steal_time & ~(PV_ENABLE | STEAL_RESERVED)), STEAL_BYTES);
}

void x86_pv_steal_update(struct x86_cpu *cpu)
{
	uint64_t tsc, now;
	uint8_t *p;

	if (!steal_enabled(cpu))
		return;
	tsc = x86_tsc(cpu);
	if (tsc - cpu->steal_next_tsc > UINT64_MAX / 2)
		return;
	cpu->steal_next_tsc = tsc + clock_khz(cpu) * STEAL_INTERVAL_MS;
	cpu_leave(cpu);
	now = host_thread_runqueue_wait_ns();
	if (now <= cpu->steal_seen_ns)
		return;
	p = steal_record(cpu);
	if (!p)
		return;
	/* Readers retry while the version is odd. */
	put_le32(p + STEAL_AT_VERSION, get_le32(p + STEAL_AT_VERSION) | 1);
	atomic_thread_fence(memory_order_release);
	put_le64(p + STEAL_AT_TIME, get_le64(p + STEAL_AT_TIME) + (now - cpu->steal_seen_ns));
	atomic_thread_fence(memory_order_release);
	put_le32(p + STEAL_AT_VERSION, get_le32(p + STEAL_AT_VERSION) + 1);
	steal_written(cpu);
	cpu->steal_seen_ns = now;
}

void x86_pv_thread_begins(struct x86_cpu *cpu)
{
	cpu->steal_seen_ns = host_thread_runqueue_wait_ns();
	cpu->steal_next_tsc = 0;
}

static void steal_enable(struct x86_cpu *cpu)
{
	uint8_t *p;

	cpu_leave(cpu);
	cpu->steal_seen_ns = host_thread_runqueue_wait_ns();
	cpu->steal_next_tsc = x86_tsc(cpu);
	p = steal_record(cpu);
	if (!p)
		return;
	put_le32(p + STEAL_AT_VERSION, get_le32(p + STEAL_AT_VERSION) & ~UINT32_C(1));
	p[STEAL_AT_PREEMPTED] = 0;
	steal_written(cpu);
}

void x86_pv_sleep(struct x86_cpu *cpu)
{
	uint8_t *p = steal_enabled(cpu) ? steal_record(cpu) : NULL;

	if (!p)
		return;
	__atomic_store_n(p + STEAL_AT_PREEMPTED, STEAL_PREEMPTED, __ATOMIC_SEQ_CST);
	steal_written(cpu);
}

void x86_pv_wake(struct x86_cpu *cpu)
{
	uint8_t *p = steal_enabled(cpu) ? steal_record(cpu) : NULL;

	if (!p)
		return;
	if (__atomic_exchange_n(p + STEAL_AT_PREEMPTED, 0, __ATOMIC_SEQ_CST) & STEAL_FLUSH_TLB)
		mmu_flush_all(cpu);
	steal_written(cpu);
}

static bool pv_feature(const struct x86_cpu *cpu, unsigned bit)
{
	return !cpu->model || (cpu->model->pv_features >> bit & 1);
}

bool x86_pv_msr_read(struct x86_cpu *cpu, uint32_t msr, uint64_t *value, bool *known)
{
	const struct x86_msrs *m = &cpu->s.msr;

	*known = !cpu->model || !cpu->model->hypervisor_hidden;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW: *value = m->kvm_wall_clock; return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW: *value = m->kvm_system_time; return true;
	case MSR_KVM_STEAL_TIME: *value = m->kvm_steal_time; break;
	case MSR_KVM_PV_EOI_EN: *value = m->kvm_pv_eoi; break;
	case MSR_KVM_POLL_CONTROL: *value = m->kvm_poll_control; break;
	default: *known = false; return true;
	}
	return true;
}

bool x86_pv_msr_write(struct x86_cpu *cpu, uint32_t msr, uint64_t value, bool *known)
{
	struct x86_msrs *m = &cpu->s.msr;

	*known = !cpu->model || !cpu->model->hypervisor_hidden;
	if (!*known)
		return true;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		m->kvm_wall_clock = value;
		wall_clock_publish(cpu, value);
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		m->kvm_system_time = value;
		if (value & PV_ENABLE)
			clock_publish(cpu, value & ~PV_ENABLE);
		return true;
	case MSR_KVM_STEAL_TIME:
		if ((value & STEAL_RESERVED) || !pv_feature(cpu, KVM_PV_STEAL_TIME))
			return cpu_gp(cpu, 0);
		m->kvm_steal_time = value;
		if (value & PV_ENABLE)
			steal_enable(cpu);
		return true;
	case MSR_KVM_PV_EOI_EN:
		if ((value & 2) || !pv_feature(cpu, KVM_PV_PV_EOI))
			return cpu_gp(cpu, 0);
		m->kvm_pv_eoi = value;
		/* It is the LAPIC that offers and collects them. */
		if (cpu->env && cpu->env->apic_msr_write) {
			cpu_leave(cpu);
			(void)cpu->env->apic_msr_write(cpu->env_ctx, MSR_KVM_PV_EOI_EN, value);
		}
		return true;
	case MSR_KVM_POLL_CONTROL:
		if (value & ~PV_ENABLE)
			return cpu_gp(cpu, 0);
		m->kvm_poll_control = value;
		return true;
	default:
		*known = false;
		return true;
	}
}
