/* SPDX-License-Identifier: Apache-2.0 */
/* One function an integer operation: registers and memory change, RIP does not (exec_integer() advances it). */
#ifndef LODGE_CPU_X86_EXEC_INTEGER_H
#define LODGE_CPU_X86_EXEC_INTEGER_H

#include "cpu/x86/access.h"

#define X(name) exec_fn exec_op_##name;
X86_OPS_INTEGER(X)
#undef X

/* The function behind one of X86_OPS_INTEGER; it leaves RIP alone. */
exec_fn *exec_integer_op(unsigned op);

#define EXEC_OP(name) bool exec_op_##name(struct x86_cpu *cpu, const struct insn *insn)

/* Calls @fn once per operand size with the size a constant, so that all of it is specialised. */
#define EXEC_BY_SIZE(fn, ...) \
	switch (insn->opsize) { \
	case 1: return fn(cpu, insn, 1, ##__VA_ARGS__); \
	case 2: return fn(cpu, insn, 2, ##__VA_ARGS__); \
	case 4: return fn(cpu, insn, 4, ##__VA_ARGS__); \
	default: return fn(cpu, insn, 8, ##__VA_ARGS__); \
	}

/* Any operand that is only read. */
static LODGE_ALWAYS_INLINE bool source_read(struct x86_cpu *cpu, const struct insn *insn, unsigned n, unsigned size, uint64_t *v)
{
	switch (insn->opnd[n]) {
	case X86_OPD_RM: return rm_read(cpu, insn, size, v);
	case X86_OPD_REG: *v = reg_get(cpu, insn, insn->reg, size); return true;
	case X86_OPD_IMM: *v = insn->imm & alu_mask(size); return true;
	case X86_OPD_OPREG: *v = reg_get(cpu, insn, insn->rm, size); return true;
	case X86_OPD_ACC: *v = gpr_get(cpu, X86_RAX, size); return true;
	case X86_OPD_CL: *v = gpr_get(cpu, X86_RCX, 1); return true;
	case X86_OPD_ONE: *v = 1; return true;
	case X86_OPD_VVVV: *v = gpr_get(cpu, insn->vex_vvvv, size); return true;
	case X86_OPD_MOFFS: return mem_read_at(cpu, insn->seg, insn_ea(cpu, insn), size, v);
	default: *v = 0; return true;
	}
}

#endif
