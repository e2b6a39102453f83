/* SPDX-License-Identifier: Apache-2.0 */
/* PUSH, POP and their many forms; stack frames; flags through the stack. */
#include "cpu/x86/exec_integer.h"

EXEC_OP(PUSH)
{
	uint64_t v;

	return source_read(cpu, insn, 0, insn->opsize, &v) && x86_push(cpu, insn->opsize, v);
}

EXEC_OP(POP)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], v;

	if (!x86_pop(cpu, insn->opsize, &v))
		return false;
	/* The address of a memory operand is computed with the incremented RSP. */
	if (insn->opnd[0] == X86_OPD_RM && insn->flags & INSN_MEM) {
		if (mem_write_at(cpu, insn->seg, insn_ea(cpu, insn), insn->opsize, v))
			return true;
		cpu->s.gpr[X86_RSP] = rsp;
		return false;
	}
	gpr_set(cpu, insn->rm, insn->opsize, v);
	return true;
}

EXEC_OP(PUSH_SREG)
{
	return x86_push(cpu, insn->opsize, cpu->s.seg[insn->reg].sel);
}

EXEC_OP(POP_SREG)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], v, sp;

	if (!x86_pop(cpu, insn->opsize, &v))
		return false;
	sp = cpu->s.gpr[X86_RSP]; /* by the old stack's size */
	cpu->s.gpr[X86_RSP] = rsp;
	if (!x86_load_segment(cpu, insn->reg, (uint16_t)v))
		return false;
	cpu->s.gpr[X86_RSP] = sp;
	if (insn->reg == X86_SS)
		cpu->s.interrupt_shadow = 2;
	return true;
}

EXEC_OP(PUSHA)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], values[8];

	for (unsigned i = 0; i < 8; i++)
		values[i] = cpu->s.gpr[i];
	for (unsigned i = 0; i < 8; i++) {
		if (!x86_push(cpu, insn->opsize, values[i] & alu_mask(insn->opsize))) {
			cpu->s.gpr[X86_RSP] = rsp;
			return false;
		}
	}
	return true;
}

EXEC_OP(POPA)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], values[8];

	for (unsigned i = 8; i-- > 0;) {
		if (!x86_pop(cpu, insn->opsize, &values[i])) {
			cpu->s.gpr[X86_RSP] = rsp;
			return false;
		}
	}
	for (unsigned i = 0; i < 8; i++)
		if (i != X86_RSP)
			gpr_set(cpu, i, insn->opsize, values[i]);
	return true;
}

EXEC_OP(PUSHF)
{
	uint64_t image = cpu->s.rflags & ~(uint64_t)(X86_FLAG_RF | X86_FLAG_VM);

	if (cpu_v86(cpu) && cpu_iopl(cpu) < 3)
		return cpu_gp(cpu, 0);
	return x86_push(cpu, insn->opsize, image & alu_mask(insn->opsize));
}

/* What POPF may change here: IOPL is for CPL 0 only, IF for CPL not above IOPL (real mode and V86 with IOPL 3 included). */
static uint64_t popf_writable(const struct x86_cpu *cpu, unsigned size)
{
	uint64_t mask = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID;

	if (cpu_v86(cpu))
		mask |= X86_FLAG_IF;
	else if (cpu->cpl == 0)
		mask |= X86_FLAG_IF | X86_FLAG_IOPL;
	else if (cpu->cpl <= cpu_iopl(cpu))
		mask |= X86_FLAG_IF;
	return mask & alu_mask(size);
}

EXEC_OP(POPF)
{
	uint64_t v, writable;

	if (cpu_v86(cpu) && cpu_iopl(cpu) < 3)
		return cpu_gp(cpu, 0);
	if (!x86_pop(cpu, insn->opsize, &v))
		return false;
	writable = popf_writable(cpu, insn->opsize);
	cpu->s.rflags = (cpu->s.rflags & ~writable & ~(uint64_t)X86_FLAG_RF) | (v & writable) | X86_FLAG_ONE;
	cpu_update_mode(cpu);
	return true;
}

/* The enclosing frames' pointers, which ENTER copies for levels above 1. */
static bool copy_display(struct x86_cpu *cpu, const struct insn *insn, unsigned level)
{
	uint64_t bp = cpu->s.gpr[X86_RBP], v;

	for (unsigned i = 1; i < level; i++) {
		bp = (bp - insn->opsize) & stack_mask(cpu);
		if (!mem_read_at(cpu, X86_SS, bp, insn->opsize, &v) || !x86_push(cpu, insn->opsize, v))
			return false;
	}
	return true;
}

static bool enter_frame(struct x86_cpu *cpu, const struct insn *insn, uint64_t *frame)
{
	unsigned level = insn->imm2 & 31;
	uint64_t sp, lin;

	if (!x86_push(cpu, insn->opsize, gpr_get(cpu, X86_RBP, insn->opsize)))
		return false;
	*frame = cpu->s.gpr[X86_RSP];
	if (level && (!copy_display(cpu, insn, level) || !x86_push(cpu, insn->opsize, *frame & alu_mask(insn->opsize))))
		return false;
	sp = (cpu->s.gpr[X86_RSP] - insn->imm) & stack_mask(cpu);
	set_sp(cpu, sp);
	/* The new stack top must be writable; nothing is written. */
	if (!x86_linear(cpu, X86_SS, sp, insn->opsize, X86_WRITE, &lin))
		return false;
	if (unlikely(cpu->align_check && lin & (insn->opsize - 1u)))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	return mmu_probe_write(cpu, lin, insn->opsize, data_mode(cpu));
}

EXEC_OP(ENTER)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], frame;

	if (!enter_frame(cpu, insn, &frame)) {
		cpu->s.gpr[X86_RSP] = rsp;
		return false;
	}
	gpr_set(cpu, X86_RBP, insn->opsize, frame);
	return true;
}

EXEC_OP(LEAVE)
{
	uint64_t frame = cpu->s.gpr[X86_RBP] & stack_mask(cpu), v;

	if (!mem_read_at(cpu, X86_SS, frame, insn->opsize, &v))
		return false;
	set_sp(cpu, frame + insn->opsize);
	gpr_set(cpu, X86_RBP, insn->opsize, v);
	return true;
}
