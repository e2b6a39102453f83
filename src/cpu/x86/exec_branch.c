/* SPDX-License-Identifier: Apache-2.0 */
/* Near jumps, calls and returns. */
#include "cpu/x86/access.h"

/* Truncates @target to the operand size and checks that code may run there. */
static bool check_target(struct x86_cpu *cpu, const struct insn *insn, uint64_t *target)
{
	*target &= alu_mask(insn->opsize);
	if (likely(cpu->long_mode))
		return mmu_canonical(*target) || cpu_gp(cpu, 0);
	return *target <= cpu->s.seg[X86_CS].limit || cpu_gp(cpu, 0);
}

static bool jump_to(struct x86_cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (!check_target(cpu, insn, &target))
		return false;
	cpu->s.rip = target;
	return true;
}

static bool jump_relative(struct x86_cpu *cpu, const struct insn *insn)
{
	return jump_to(cpu, insn, insn_next_rip(cpu, insn) + insn->imm);
}

static bool call_to(struct x86_cpu *cpu, const struct insn *insn, uint64_t target)
{
	uint64_t next = insn_next_rip(cpu, insn);

	if (!check_target(cpu, insn, &target) || !x86_push(cpu, insn->opsize, next & alu_mask(insn->opsize)))
		return false;
	cpu->s.rip = target;
	return true;
}

static bool ret(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t rsp = cpu->s.gpr[X86_RSP], target;

	if (!x86_pop(cpu, insn->opsize, &target))
		return false;
	if (!jump_to(cpu, insn, target)) {
		cpu->s.gpr[X86_RSP] = rsp;
		return false;
	}
	if (insn->imm_bytes)
		set_sp(cpu, cpu->s.gpr[X86_RSP] + insn->imm);
	return true;
}

static bool loop(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t count = gpr_get(cpu, X86_RCX, insn->addrsize) - 1;
	bool zf = cpu->s.rflags & X86_FLAG_ZF;
	bool taken = (count & alu_mask(insn->addrsize)) && (insn->op == X86_OP_LOOP || zf == (insn->op == X86_OP_LOOPE));

	if (taken ? !jump_relative(cpu, insn) : !insn_done(cpu, insn))
		return false;
	gpr_set(cpu, X86_RCX, insn->addrsize, count);
	return true;
}

bool exec_branch(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t target;

	switch (insn->op) {
	case X86_OP_JCC:
		return alu_condition(cpu->s.rflags, insn->cond) ? jump_relative(cpu, insn) : insn_done(cpu, insn);
	case X86_OP_JMP: return jump_relative(cpu, insn);
	case X86_OP_CALL: return call_to(cpu, insn, insn_next_rip(cpu, insn) + insn->imm);
	case X86_OP_RET: return ret(cpu, insn);
	case X86_OP_JMP_IND: return rm_read(cpu, insn, insn->opsize, &target) && jump_to(cpu, insn, target);
	case X86_OP_CALL_IND: return rm_read(cpu, insn, insn->opsize, &target) && call_to(cpu, insn, target);
	case X86_OP_JCXZ: return gpr_get(cpu, X86_RCX, insn->addrsize) ? insn_done(cpu, insn) : jump_relative(cpu, insn);
	default: return loop(cpu, insn);
	}
}
