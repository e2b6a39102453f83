/* SPDX-License-Identifier: Apache-2.0 */
/* Far jumps and calls: direct, through call gates with a change of stack, and to tasks. */
#include "cpu/x86/system.h"

/* One far transfer on its way. */
struct far_transfer {
	uint16_t sel;
	uint64_t offset;
	unsigned size;  /* operand size: what a call pushes */
	bool call;
	uint64_t next;  /* RIP behind the instruction */
};

bool x86_code_malformed(const struct x86_cpu *cpu, const struct x86_desc *d)
{
	return cpu_lma(cpu) && (d->attr & (X86_SEG_L | X86_SEG_DB)) == (X86_SEG_L | X86_SEG_DB);
}

bool x86_rip_allowed(struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t rip)
{
	bool ok = cpu_lma(cpu) && (cs->attr & X86_SEG_L) ? mmu_canonical(rip) : rip <= cs->limit;

	return ok || cpu_gp(cpu, 0);
}

static uint64_t offset_of_size(uint64_t offset, unsigned size)
{
	return size == 2 ? offset & 0xffff : size == 4 ? (uint32_t)offset : offset;
}

/* Real and virtual-8086 mode: the selector is the base. */
static bool far_real(struct x86_cpu *cpu, const struct far_transfer *t)
{
	struct x86_segment cs = cpu->s.seg[X86_CS];
	struct x86_stack st;

	cs.sel = t->sel;
	cs.base = (uint64_t)t->sel << 4;
	if (!x86_rip_allowed(cpu, &cs, t->offset))
		return false;
	x86_stack_current(cpu, &st);
	if (t->call && (!x86_stack_push(cpu, &st, t->size, cpu->s.seg[X86_CS].sel) || !x86_stack_push(cpu, &st, t->size, t->next)))
		return false;
	cpu->s.gpr[X86_RSP] = st.sp;
	cpu->s.seg[X86_CS] = cs;
	cpu->s.rip = t->offset;
	return true;
}

/* Same privilege: a code segment, reached directly or through a gate. */
static bool far_same_level(struct x86_cpu *cpu, const struct far_transfer *t, struct x86_desc *code, uint16_t sel)
{
	struct x86_segment cs;
	struct x86_stack st;

	if (!x86_desc_set_bits(cpu, code, X86_SEG_ACCESSED))
		return false;
	cs = x86_desc_segment(code, (uint16_t)((sel & ~3u) | cpu->cpl));
	if (!x86_rip_allowed(cpu, &cs, t->offset))
		return false;
	x86_stack_current(cpu, &st);
	if (t->call && (!x86_stack_push(cpu, &st, t->size, cpu->s.seg[X86_CS].sel) || !x86_stack_push(cpu, &st, t->size, t->next)))
		return false;
	cpu->s.gpr[X86_RSP] = st.sp;
	cpu->s.seg[X86_CS] = cs;
	cpu->s.rip = t->offset;
	cpu_update_mode(cpu);
	return true;
}

static bool far_direct(struct x86_cpu *cpu, const struct far_transfer *t, struct x86_desc *code)
{
	unsigned dpl = desc_dpl(code), rpl = t->sel & 3;

	if (!desc_is_code(code) || x86_code_malformed(cpu, code))
		return cpu_gp(cpu, sel_error(t->sel));
	if (desc_is_conforming(code) ? dpl > cpu->cpl : (rpl > cpu->cpl || dpl != cpu->cpl))
		return cpu_gp(cpu, sel_error(t->sel));
	if (!desc_present(code))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(t->sel));
	return far_same_level(cpu, t, code, t->sel);
}

/* Copy @count parameters from the caller's stack to the new one. */
static bool gate_copy_params(struct x86_cpu *cpu, struct x86_stack *to, unsigned size, unsigned count)
{
	struct x86_stack from;
	uint64_t param[31];

	x86_stack_current(cpu, &from);
	for (unsigned i = 0; i < count; i++)
		if (!x86_stack_pop(cpu, &from, size, &param[i]))
			return false;
	for (unsigned i = count; i > 0; i--)
		if (!x86_stack_push(cpu, to, size, param[i - 1]))
			return false;
	return true;
}

/* A call gate to more privilege: new stack from the TSS, old SS:SP and parameters on it. */
static bool gate_inner(struct x86_cpu *cpu, const struct far_transfer *t, struct x86_desc *code, uint16_t sel, unsigned params)
{
	unsigned cpl = desc_dpl(code);
	struct x86_segment ss, cs;
	struct x86_stack st;
	uint64_t sp;

	if (cpu_lma(cpu)) {
		if (!x86_tss_rsp(cpu, cpl, 0, &sp))
			return false;
		ss = x86_null_segment((uint16_t)cpl, cpl);
		x86_stack_new(&st, &ss, sp, 8, cpl);
	} else {
		if (!x86_tss_stack(cpu, cpl, 0, &ss, &sp))
			return false;
		x86_stack_new(&st, &ss, sp, ss.attr & X86_SEG_DB ? 4 : 2, cpl);
	}
	st.error = sel_error(ss.sel);
	if (!x86_desc_set_bits(cpu, code, X86_SEG_ACCESSED))
		return false;
	cs = x86_desc_segment(code, (uint16_t)((sel & ~3u) | cpl));
	if (!x86_rip_allowed(cpu, &cs, t->offset))
		return false;
	if (!x86_stack_push(cpu, &st, t->size, cpu->s.seg[X86_SS].sel) || !x86_stack_push(cpu, &st, t->size, cpu->s.gpr[X86_RSP]) ||
	    !gate_copy_params(cpu, &st, t->size, params) || !x86_stack_push(cpu, &st, t->size, cpu->s.seg[X86_CS].sel) ||
	    !x86_stack_push(cpu, &st, t->size, t->next))
		return false;
	cpu->s.seg[X86_SS] = ss;
	cpu->s.gpr[X86_RSP] = st.sp;
	cpu->s.seg[X86_CS] = cs;
	cpu->s.rip = t->offset;
	cpu_update_mode(cpu);
	return true;
}

static bool far_call_gate(struct x86_cpu *cpu, struct far_transfer *t, const struct x86_desc *gate)
{
	uint16_t sel = gate_selector(gate);
	uint64_t high = 0;
	struct x86_desc code;

	if (cpu_lma(cpu) && !x86_desc_fetch_high(cpu, gate, X86_EXC_GP, 0, &high))
		return false;
	if (sel_is_null(sel))
		return cpu_gp(cpu, 0);
	if (!x86_desc_fetch(cpu, sel, X86_EXC_GP, 0, &code))
		return false;
	if (!desc_is_code(&code) || desc_dpl(&code) > cpu->cpl)
		return cpu_gp(cpu, sel_error(sel));
	if (cpu_lma(cpu) && (code.attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
		return cpu_gp(cpu, sel_error(sel));
	if (!t->call && !desc_is_conforming(&code) && desc_dpl(&code) != cpu->cpl)
		return cpu_gp(cpu, sel_error(sel));
	if (!desc_present(&code))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel));
	t->size = cpu_lma(cpu) ? 8 : desc_type(gate) == X86_SYS_CALL32 ? 4 : 2;
	t->offset = offset_of_size(gate_offset(gate), t->size == 8 ? 4 : t->size) | high;
	if (t->call && !desc_is_conforming(&code) && desc_dpl(&code) < cpu->cpl)
		return gate_inner(cpu, t, &code, sel, t->size == 8 ? 0 : gate->hi & 0x1f);
	return far_same_level(cpu, t, &code, sel);
}

static bool far_system(struct x86_cpu *cpu, struct far_transfer *t, const struct x86_desc *d)
{
	unsigned type = desc_type(d);
	enum x86_task_reason reason = t->call ? X86_TASK_CALL : X86_TASK_JMP;
	bool known = type == X86_SYS_CALL32 ||
		     (!cpu_lma(cpu) && (type == X86_SYS_CALL16 || type == X86_SYS_TASK_GATE || type == X86_SYS_TSS16 || type == X86_SYS_TSS32));

	if (!known || desc_dpl(d) < MAX(cpu->cpl, t->sel & 3))
		return cpu_gp(cpu, sel_error(t->sel));
	if (!desc_present(d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(t->sel));
	switch (type) {
	case X86_SYS_TASK_GATE: return x86_task_switch(cpu, gate_selector(d), reason, t->next, 0, false, 0);
	case X86_SYS_TSS16:
	case X86_SYS_TSS32: return x86_task_switch(cpu, t->sel, reason, t->next, 0, false, 0);
	default: return far_call_gate(cpu, t, d);
	}
}

static bool far_transfer(struct x86_cpu *cpu, struct far_transfer *t)
{
	struct x86_desc d;

	if (!cpu_protected(cpu))
		return far_real(cpu, t);
	if (sel_is_null(t->sel))
		return cpu_gp(cpu, 0);
	if (!x86_desc_fetch(cpu, t->sel, X86_EXC_GP, 0, &d))
		return false;
	return desc_is_system(&d) ? far_system(cpu, t, &d) : far_direct(cpu, t, &d);
}

/* The selector follows the offset in memory. */
static bool far_operand(struct x86_cpu *cpu, const struct insn *insn, struct far_transfer *t)
{
	uint8_t buf[10];
	uint64_t lin, offset = 0;

	if (insn->op == X86_OP_JMPF || insn->op == X86_OP_CALLF) {
		t->sel = insn->far_sel;
		t->offset = offset_of_size(insn->imm, insn->opsize);
		return true;
	}
	if (!x86_linear(cpu, insn->seg, x86_ea(cpu, insn), insn->opsize + 2u, X86_READ, &lin) ||
	    !mmu_read_bytes(cpu, lin, buf, insn->opsize + 2u, (enum tlb_mode)cpu->tlb_mode))
		return false;
	__builtin_memcpy(&offset, buf, insn->opsize);
	t->offset = offset;
	t->sel = get_le16(buf + insn->opsize);
	return true;
}

bool exec_far(struct x86_cpu *cpu, const struct insn *insn)
{
	struct far_transfer t = {
		.size = insn->opsize,
		.call = insn->op == X86_OP_CALLF || insn->op == X86_OP_CALLF_IND,
		.next = insn_next_rip(cpu, insn),
	};

	if (insn->op == X86_OP_RETF || insn->op == X86_OP_IRET)
		return exec_return(cpu, insn);
	return far_operand(cpu, insn, &t) && far_transfer(cpu, &t);
}
