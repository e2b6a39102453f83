/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of exceptions, interrupts and software interrupts through the
 * interrupt vector table, 16/32-bit gates, task gates and long-mode gates.
 * Nothing architectural changes until everything that can fault is done; what
 * was pushed by then lies beyond the old stack pointer.
 */
#include "cpu/x86/debug.h"
#include "cpu/x86/system.h"

static bool deliver_real(struct x86_cpu *cpu, const struct x86_event *ev)
{
	struct x86_stack st;
	uint64_t entry;
	uint32_t at = (uint32_t)ev->vector * 4;

	if (at + 3 > cpu->s.idtr.limit)
		return cpu_gp(cpu, 0);
	if (!mmu_read(cpu, cpu->s.idtr.base + at, 4, TLB_KERNEL, &entry))
		return false;
	x86_stack_current(cpu, &st);
	if (!x86_stack_push(cpu, &st, 2, cpu->s.rflags) || !x86_stack_push(cpu, &st, 2, cpu->s.seg[X86_CS].sel) ||
	    !x86_stack_push(cpu, &st, 2, ev->rip))
		return false;
	cpu->s.gpr[X86_RSP] = st.sp;
	cpu->s.seg[X86_CS].sel = (uint16_t)(entry >> 16);
	cpu->s.seg[X86_CS].base = (entry >> 16) << 4;
	cpu->s.rip = entry & 0xffff;
	cpu->s.rflags &= ~(uint64_t)(X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
	return true;
}

/* Read and check the gate of @ev; *high is the offset's upper half in long mode. */
static bool gate_fetch(struct x86_cpu *cpu, const struct x86_event *ev, struct x86_desc *gate, uint64_t *high)
{
	bool lma = cpu_lma(cpu);
	uint32_t at = (uint32_t)ev->vector * (lma ? 16 : 8);
	uint32_t error = (uint32_t)ev->vector << 3 | 2 | ev->ext;
	uint64_t raw, upper = 0;
	unsigned type;

	if (at + (lma ? 15 : 7) > cpu->s.idtr.limit)
		return cpu_gp(cpu, error);
	gate->lin = cpu->s.idtr.base + at;
	if (!lma)
		gate->lin = (uint32_t)gate->lin;
	if (!mmu_read(cpu, gate->lin, 8, TLB_KERNEL, &raw) || (lma && !mmu_read(cpu, gate->lin + 8, 8, TLB_KERNEL, &upper)))
		return false;
	gate->lo = (uint32_t)raw;
	gate->hi = (uint32_t)(raw >> 32);
	gate->attr = (uint16_t)(gate->hi >> 8 & 0xff);
	gate->sel = 0;
	*high = upper << 32;
	type = gate->attr & (X86_SEG_TYPE | X86_SEG_S);
	if (type != X86_SYS_INT32 && type != X86_SYS_TRAP32 &&
	    (lma || (type != X86_SYS_INT16 && type != X86_SYS_TRAP16 && type != X86_SYS_TASK_GATE)))
		return cpu_gp(cpu, error);
	if (ev->soft && desc_dpl(gate) < cpu->cpl)
		return cpu_gp(cpu, error);
	if (!desc_present(gate))
		return cpu_fault(cpu, X86_EXC_NP, true, error);
	return true;
}

/* The gate's code segment and the privilege that its handler runs at. */
static bool gate_target(struct x86_cpu *cpu, const struct x86_desc *gate, uint32_t ext, struct x86_desc *code, unsigned *cpl)
{
	uint16_t sel = gate_selector(gate);

	if (sel_is_null(sel))
		return cpu_gp(cpu, ext);
	if (!x86_desc_fetch(cpu, sel, X86_EXC_GP, ext, code))
		return false;
	if (!desc_is_code(code) || desc_dpl(code) > cpu->cpl)
		return cpu_gp(cpu, sel_error(sel) | ext);
	if (cpu_lma(cpu) && (code->attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
		return cpu_gp(cpu, sel_error(sel) | ext);
	if (!desc_present(code))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel) | ext);
	*cpl = desc_is_conforming(code) ? cpu->cpl : desc_dpl(code);
	if (cpu_v86(cpu) && *cpl != 0)
		return cpu_gp(cpu, sel_error(sel) | ext);
	return x86_desc_set_bits(cpu, code, X86_SEG_ACCESSED);
}

static uint64_t flags_image(const struct x86_cpu *cpu, const struct x86_event *ev)
{
	uint64_t flags = cpu->s.rflags;

	if (ev->set_rf)
		flags |= X86_FLAG_RF;
	else if (ev->soft)
		flags &= ~(uint64_t)X86_FLAG_RF;
	return flags;
}

static void enter_handler(struct x86_cpu *cpu, const struct x86_desc *gate, const struct x86_desc *code, unsigned cpl, uint64_t rip)
{
	bool interrupt_gate = !(desc_type(gate) & 1);

	cpu->s.seg[X86_CS] = x86_desc_segment(code, (uint16_t)((gate_selector(gate) & ~3u) | cpl));
	cpu->s.rip = rip;
	cpu->s.rflags &= ~(uint64_t)(X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM);
	if (interrupt_gate)
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_IF;
}

bool x86_tss_stack(struct x86_cpu *cpu, unsigned cpl, uint32_t ext, struct x86_segment *ss, uint64_t *sp)
{
	const struct x86_segment *tr = &cpu->s.tr;
	bool wide = tr->attr & 8;
	unsigned size = wide ? 4 : 2;
	uint32_t at = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
	uint64_t sel;

	if (at + 2 * size - 1 > tr->limit)
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(tr->sel) | ext);
	if (!mmu_read(cpu, tr->base + at, size, TLB_KERNEL, sp) || !mmu_read(cpu, tr->base + at + size, 2, TLB_KERNEL, &sel))
		return false;
	return x86_stack_segment(cpu, (uint16_t)sel, cpl, X86_EXC_TS, ext, ss);
}

bool x86_tss_rsp(struct x86_cpu *cpu, unsigned slot, uint32_t ext, uint64_t *rsp)
{
	const struct x86_segment *tr = &cpu->s.tr;
	uint32_t at = 4 + 8 * slot;

	if (at + 7 > tr->limit)
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(tr->sel) | ext);
	if (!mmu_read(cpu, tr->base + at, 8, TLB_KERNEL, rsp))
		return false;
	return mmu_canonical(*rsp) || cpu_fault(cpu, X86_EXC_SS, true, ext);
}

static bool push_v86_segments(struct x86_cpu *cpu, struct x86_stack *st, unsigned size)
{
	return x86_stack_push(cpu, st, size, cpu->s.seg[X86_GS].sel) && x86_stack_push(cpu, st, size, cpu->s.seg[X86_FS].sel) &&
	       x86_stack_push(cpu, st, size, cpu->s.seg[X86_DS].sel) && x86_stack_push(cpu, st, size, cpu->s.seg[X86_ES].sel);
}

static bool push_frame(struct x86_cpu *cpu, struct x86_stack *st, const struct x86_event *ev, unsigned size, bool inner)
{
	if (cpu_v86(cpu) && !push_v86_segments(cpu, st, size))
		return false;
	if (inner && (!x86_stack_push(cpu, st, size, cpu->s.seg[X86_SS].sel) || !x86_stack_push(cpu, st, size, cpu->s.gpr[X86_RSP])))
		return false;
	return x86_stack_push(cpu, st, size, flags_image(cpu, ev)) && x86_stack_push(cpu, st, size, cpu->s.seg[X86_CS].sel) &&
	       x86_stack_push(cpu, st, size, ev->rip) && (!ev->has_error || x86_stack_push(cpu, st, size, ev->error));
}

static bool deliver_legacy(struct x86_cpu *cpu, const struct x86_event *ev)
{
	struct x86_desc gate, code;
	struct x86_segment target, ss = cpu->s.seg[X86_SS];
	struct x86_stack st;
	unsigned cpl, size;
	uint64_t high, sp, rip;
	bool was_v86 = cpu_v86(cpu);

	if (!gate_fetch(cpu, ev, &gate, &high))
		return false;
	if (desc_type(&gate) == X86_SYS_TASK_GATE)
		return x86_task_switch(cpu, gate_selector(&gate), X86_TASK_GATE, ev->rip, ev->ext, ev->has_error, ev->error);
	if (!gate_target(cpu, &gate, ev->ext, &code, &cpl))
		return false;
	size = desc_type(&gate) & 8 ? 4 : 2;
	x86_stack_current(cpu, &st);
	if (cpl < cpu->cpl) {
		if (!x86_tss_stack(cpu, cpl, ev->ext, &ss, &sp))
			return false;
		x86_stack_new(&st, &ss, sp, ss.attr & X86_SEG_DB ? 4 : 2, cpl);
		st.error = sel_error(ss.sel);
	}
	st.ext = ev->ext;
	target = x86_desc_segment(&code, 0);
	rip = size == 4 ? gate_offset(&gate) : gate_offset(&gate) & 0xffff;
	if (rip > target.limit)
		return cpu_gp(cpu, ev->ext);
	if (!push_frame(cpu, &st, ev, size, cpl < cpu->cpl))
		return false;
	cpu->s.seg[X86_SS] = ss;
	cpu->s.gpr[X86_RSP] = st.sp;
	enter_handler(cpu, &gate, &code, cpl, rip);
	if (was_v86)
		for (unsigned seg = 0; seg < X86_NSEG; seg++)
			if (seg != X86_CS && seg != X86_SS)
				cpu->s.seg[seg] = x86_null_segment(0, 0);
	return true;
}

static bool deliver_long(struct x86_cpu *cpu, const struct x86_event *ev)
{
	struct x86_desc gate, code;
	unsigned cpl, n = ev->has_error ? 6 : 5;
	uint64_t high, rip, rsp = cpu->s.gpr[X86_RSP];
	uint64_t frame[6], *f = frame;

	if (!gate_fetch(cpu, ev, &gate, &high) || !gate_target(cpu, &gate, ev->ext, &code, &cpl))
		return false;
	if (gate.hi & 7) {
		if (!x86_tss_rsp(cpu, 3 + (gate.hi & 7), ev->ext, &rsp))
			return false;
	} else if (cpl < cpu->cpl) {
		if (!x86_tss_rsp(cpu, cpl, ev->ext, &rsp))
			return false;
	}
	rip = gate_offset(&gate) | high;
	if (!mmu_canonical(rip))
		return cpu_gp(cpu, ev->ext);
	if (ev->has_error)
		*f++ = ev->error;
	*f++ = ev->rip;
	*f++ = cpu->s.seg[X86_CS].sel;
	*f++ = flags_image(cpu, ev);
	*f++ = cpu->s.gpr[X86_RSP];
	*f++ = cpu->s.seg[X86_SS].sel;
	rsp = (rsp & ~UINT64_C(15)) - n * 8;
	if (!mmu_canonical(rsp) || !mmu_canonical(rsp + n * 8 - 1))
		return cpu_fault(cpu, X86_EXC_SS, true, ev->ext);
	if (!mmu_write_bytes(cpu, rsp, frame, n * 8, cpl == 3 ? TLB_USER : TLB_KERNEL))
		return false;
	if (cpl != cpu->cpl)
		cpu->s.seg[X86_SS] = x86_null_segment((uint16_t)cpl, cpl);
	cpu->s.gpr[X86_RSP] = rsp;
	enter_handler(cpu, &gate, &code, cpl, rip);
	return true;
}

bool x86_deliver(struct x86_cpu *cpu, const struct x86_event *ev)
{
	bool ok;

	if (!(cpu->s.cr0 & X86_CR0_PE))
		ok = deliver_real(cpu, ev);
	else if (cpu_lma(cpu))
		ok = deliver_long(cpu, ev);
	else
		ok = deliver_legacy(cpu, ev);
	if (!ok)
		return false;
	if (ev->vector == X86_EXC_DB && !ev->soft)
		cpu->s.dr7 &= ~(uint64_t)X86_DR7_GD;
	cpu->s.interrupt_shadow = 0;
	cpu_update_mode(cpu);
	return true;
}

static bool fault_contributory(uint8_t vector)
{
	return vector == X86_EXC_DE || (vector >= X86_EXC_TS && vector <= X86_EXC_GP);
}

/* Does @second, met while delivering @first, make a double fault? */
static bool fault_doubles(uint8_t first, uint8_t second)
{
	if (first == X86_EXC_PF)
		return second == X86_EXC_PF || fault_contributory(second);
	return fault_contributory(first) && fault_contributory(second);
}

void x86_raise(struct x86_cpu *cpu)
{
	struct x86_fault f = cpu->fault;

	cpu->stats.exceptions++;
	cpu->debug_hits = 0; /* a faulting instruction has not accessed anything yet */
	/* Each round either ends or moves from benign to contributory or #PF to #DF to shutdown. */
	for (;;) {
		struct x86_event ev = {
			.vector = f.vector, .ext = true, .has_error = f.has_error, .error = f.error, .rip = cpu->s.rip,
			.set_rf = f.vector != X86_EXC_DB,
		};

		if (f.vector == X86_EXC_PF)
			cpu->s.cr2 = f.cr2;
		if (x86_deliver(cpu, &ev))
			return;
		if (f.vector == X86_EXC_DF) {
			cpu->s.activity = X86_SHUTDOWN;
			return;
		}
		if (cpu->fault.vector == X86_EXC_PF)
			cpu->s.cr2 = cpu->fault.cr2;
		if (fault_doubles(f.vector, cpu->fault.vector))
			f = (struct x86_fault){ .vector = X86_EXC_DF, .has_error = true };
		else
			f = cpu->fault;
	}
}

void x86_interrupt(struct x86_cpu *cpu, uint8_t vector)
{
	struct x86_event ev = { .vector = vector, .ext = true, .rip = cpu->s.rip };

	cpu->stats.interrupts++;
	cpu->s.activity = X86_RUNNING;
	if (vector == X86_EXC_NMI)
		cpu->s.nmi_blocked = 1;
	if (!x86_deliver(cpu, &ev))
		x86_raise(cpu);
}

bool x86_soft_interrupt(struct x86_cpu *cpu, uint8_t vector, unsigned insn_len)
{
	uint64_t rip = cpu->s.rip + insn_len;
	struct x86_event ev = { .vector = vector, .soft = true, .rip = cpu->long_mode ? rip : (uint32_t)rip };

	bool tf = cpu->s.rflags & X86_FLAG_TF;

	if (!x86_deliver(cpu, &ev))
		return false;
	if (tf)
		cpu->debug_hits |= X86_DEBUG_NO_STEP;
	return true;
}
