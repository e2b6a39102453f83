/* SPDX-License-Identifier: Apache-2.0 */
/* What other threads asked of this vcpu, served between instructions (x86_serve_requests in interp.h). */
#include "cpu/x86/pv.h"
#include "cpu/x86/system.h"

static uint32_t request_take(struct x86_cpu *cpu, uint32_t bits)
{
	return atomic_fetch_and_explicit(&cpu->request, ~bits, memory_order_seq_cst) & bits;
}

static void serve_init(struct x86_cpu *cpu)
{
	if (!request_take(cpu, CPU_REQ_INIT))
		return;
	/* A start-up IPI sent before this INIT is void; one sent after it has not been seen yet by its sender's protocol. */
	cpu_init_signal(cpu);
	if (cpu->env && cpu->env->apic_init) {
		cpu_leave(cpu);
		cpu->env->apic_init(cpu->env_ctx);
	}
}

static void serve_sipi(struct x86_cpu *cpu)
{
	uint8_t vector;

	if (!request_take(cpu, CPU_REQ_SIPI) || cpu->s.activity != X86_WAIT_SIPI)
		return;
	vector = (uint8_t)atomic_load_explicit(&cpu->request_sipi, memory_order_seq_cst);
	cpu->s.sipi_vector = vector;
	cpu->s.seg[X86_CS].sel = (uint16_t)(vector << 8);
	cpu->s.seg[X86_CS].base = (uint64_t)vector << 12;
	cpu->s.rip = 0;
	cpu->s.activity = X86_RUNNING;
	cpu_update_mode(cpu);
}

/* An event whose delivery another engine or a snapshot left half done. */
static bool serve_event(struct x86_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	if (likely(!s->event_valid))
		return false;
	s->event_valid = 0;
	if (s->event_soft) {
		/* RIP is at the instruction: it is simply executed again. */
		return false;
	}
	s->activity = X86_RUNNING;
	if (s->event_vector < 32 && s->event_vector != X86_EXC_NMI) {
		cpu_fault(cpu, s->event_vector, s->event_has_error, s->event_error);
		cpu->fault.cr2 = s->cr2;
		x86_raise(cpu);
	} else {
		x86_interrupt(cpu, s->event_vector);
	}
	return true;
}

static bool serve_nmi(struct x86_cpu *cpu)
{
	if (request_take(cpu, CPU_REQ_NMI))
		cpu->s.nmi_pending = 1;
	if (!cpu->s.nmi_pending || cpu->s.nmi_blocked || cpu->s.interrupt_shadow)
		return false;
	cpu->s.nmi_pending = 0;
	x86_interrupt(cpu, X86_EXC_NMI);
	return true;
}

static bool serve_intr(struct x86_cpu *cpu)
{
	int vector;

	if (!(atomic_load_explicit(&cpu->request, memory_order_relaxed) & (CPU_REQ_INTR | CPU_REQ_TIMER)))
		return false;
	if (!cpu->env) {
		request_take(cpu, CPU_REQ_INTR | CPU_REQ_TIMER);
		return false;
	}
	cpu_leave(cpu);
	if (!(cpu->s.rflags & X86_FLAG_IF) || cpu->s.interrupt_shadow) {
		/* The timer is looked at all the same; the interrupt waits with its bit set. */
		if (request_take(cpu, CPU_REQ_TIMER) && cpu->env->intr_pending(cpu->env_ctx))
			cpu_request(cpu, CPU_REQ_INTR);
		return false;
	}
	/* Taken before looking: whoever adds an interrupt afterwards sets it again. */
	request_take(cpu, CPU_REQ_INTR | CPU_REQ_TIMER);
	if (!cpu->env->intr_pending(cpu->env_ctx))
		return false;
	vector = cpu->env->intr_ack(cpu->env_ctx);
	if (vector < 0)
		return false;
	x86_interrupt(cpu, (uint8_t)vector);
	if (cpu->env->intr_pending(cpu->env_ctx))
		cpu_request(cpu, CPU_REQ_INTR);
	return true;
}

void x86_settle_requests(struct x86_cpu *cpu)
{
	serve_init(cpu);
	serve_sipi(cpu);
	if (request_take(cpu, CPU_REQ_NMI))
		cpu->s.nmi_pending = 1;
}

bool x86_serve_requests(struct x86_cpu *cpu)
{
	bool event;

	serve_init(cpu);
	serve_sipi(cpu);
	if (cpu->s.activity == X86_WAIT_SIPI || cpu->s.activity == X86_SHUTDOWN)
		return false;
	if (request_take(cpu, CPU_REQ_STEAL) || (cpu->s.msr.kvm_steal_time & 1))
		x86_pv_steal_update(cpu);
	event = serve_event(cpu);
	event |= serve_nmi(cpu);
	event |= serve_intr(cpu);
	return event;
}
