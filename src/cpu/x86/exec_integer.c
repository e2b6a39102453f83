/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch of integer operations; data movement, conversions, flag bits, hints. */
#include "cpu/x86/exec_integer.h"

static exec_fn *const integer_ops[X86_OP_COUNT] = {
#define X(name) [X86_OP_##name] = exec_op_##name,
	X86_OPS_INTEGER(X)
#undef X
};

exec_fn *exec_integer_op(unsigned op)
{
	return integer_ops[op];
}

bool exec_integer(struct x86_cpu *cpu, const struct insn *insn)
{
	return integer_ops[insn->op](cpu, insn) && insn_done(cpu, insn);
}

static LODGE_ALWAYS_INLINE bool mov_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size)
{
	uint64_t v;

	if (insn->opnd[0] == X86_OPD_REG) {
		if (!rm_read(cpu, insn, size, &v))
			return false;
		reg_set(cpu, insn, insn->reg, size, v);
		return true;
	}
	if (insn->opnd[0] == X86_OPD_RM) {
		v = insn->opnd[1] == X86_OPD_REG ? reg_get(cpu, insn, insn->reg, size) : insn->imm;
		return rm_write(cpu, insn, size, v);
	}
	if (!source_read(cpu, insn, 1, size, &v))
		return false;
	if (insn->opnd[0] == X86_OPD_MOFFS)
		return mem_write_at(cpu, insn->seg, insn_ea(cpu, insn), size, v);
	reg_set(cpu, insn, insn->opnd[0] == X86_OPD_ACC ? X86_RAX : insn->rm, size, v);
	return true;
}

EXEC_OP(MOV)
{
	EXEC_BY_SIZE(mov_sized)
}

EXEC_OP(MOVNTI)
{
	EXEC_BY_SIZE(mov_sized)
}

static LODGE_ALWAYS_INLINE bool extend_read(struct x86_cpu *cpu, const struct insn *insn, uint64_t *v)
{
	switch (insn->src_size) {
	case 1: return rm_read(cpu, insn, 1, v);
	case 2: return rm_read(cpu, insn, 2, v);
	default: return rm_read(cpu, insn, 4, v);
	}
}

EXEC_OP(MOVZX)
{
	uint64_t v;

	if (!extend_read(cpu, insn, &v))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, v);
	return true;
}

EXEC_OP(MOVSX)
{
	uint64_t v;

	if (!extend_read(cpu, insn, &v))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, alu_sext(v, insn->src_size));
	return true;
}

EXEC_OP(LEA)
{
	gpr_set(cpu, insn->reg, insn->opsize, insn_ea(cpu, insn));
	return true;
}

static uint64_t byte_swap(unsigned size, uint64_t v)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

EXEC_OP(MOVBE)
{
	uint64_t v;

	if (insn->opnd[0] == X86_OPD_RM)
		return rm_write(cpu, insn, insn->opsize, byte_swap(insn->opsize, gpr_get(cpu, insn->reg, insn->opsize)));
	if (!rm_read(cpu, insn, insn->opsize, &v))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, byte_swap(insn->opsize, v));
	return true;
}

EXEC_OP(BSWAP)
{
	/* With a 16-bit register the result is undefined; processors clear it. */
	uint64_t v = insn->opsize == 2 ? 0 : byte_swap(insn->opsize, gpr_get(cpu, insn->rm, insn->opsize));

	gpr_set(cpu, insn->rm, insn->opsize, v);
	return true;
}

EXEC_OP(SETCC)
{
	return rm_write(cpu, insn, 1, alu_condition(cpu->s.rflags, insn->cond));
}

EXEC_OP(CMOVCC)
{
	uint64_t v;

	/* Memory is read, and a 32-bit destination's upper half cleared, whatever the condition. */
	if (!rm_read(cpu, insn, insn->opsize, &v))
		return false;
	if (!alu_condition(cpu->s.rflags, insn->cond))
		v = gpr_get(cpu, insn->reg, insn->opsize);
	gpr_set(cpu, insn->reg, insn->opsize, v);
	return true;
}

EXEC_OP(CBW)
{
	unsigned half = insn->opsize / 2;

	gpr_set(cpu, X86_RAX, insn->opsize, alu_sext(gpr_get(cpu, X86_RAX, half), half));
	return true;
}

EXEC_OP(CWD)
{
	bool negative = cpu->s.gpr[X86_RAX] >> (8 * insn->opsize - 1) & 1;

	gpr_set(cpu, X86_RDX, insn->opsize, negative ? UINT64_MAX : 0);
	return true;
}

EXEC_OP(XLAT)
{
	uint64_t ea = (cpu->s.gpr[X86_RBX] + (cpu->s.gpr[X86_RAX] & 0xff)) & alu_mask(insn->addrsize), v;

	if (!mem_read_at(cpu, insn->seg, ea, 1, &v))
		return false;
	gpr_set(cpu, X86_RAX, 1, v);
	return true;
}

EXEC_OP(LAHF)
{
	uint64_t flags = (cpu->s.rflags & 0xd5) | X86_FLAG_ONE;

	cpu->s.gpr[X86_RAX] = (cpu->s.gpr[X86_RAX] & ~UINT64_C(0xff00)) | flags << 8;
	(void)insn;
	return true;
}

EXEC_OP(SAHF)
{
	cpu->s.rflags = (cpu->s.rflags & ~UINT64_C(0xd5)) | (cpu->s.gpr[X86_RAX] >> 8 & 0xd5);
	(void)insn;
	return true;
}

static bool flag_set(struct x86_cpu *cpu, uint64_t flag, bool on)
{
	cpu->s.rflags = on ? cpu->s.rflags | flag : cpu->s.rflags & ~flag;
	return true;
}

EXEC_OP(CLC) { (void)insn; return flag_set(cpu, X86_FLAG_CF, false); }
EXEC_OP(STC) { (void)insn; return flag_set(cpu, X86_FLAG_CF, true); }
EXEC_OP(CMC) { (void)insn; return flag_set(cpu, X86_FLAG_CF, !(cpu->s.rflags & X86_FLAG_CF)); }
EXEC_OP(CLD) { (void)insn; return flag_set(cpu, X86_FLAG_DF, false); }
EXEC_OP(STD) { (void)insn; return flag_set(cpu, X86_FLAG_DF, true); }

EXEC_OP(SALC)
{
	gpr_set(cpu, X86_RAX, 1, cpu->s.rflags & X86_FLAG_CF ? 0xff : 0);
	(void)insn;
	return true;
}

EXEC_OP(NOP) { (void)cpu; (void)insn; return true; }
EXEC_OP(PAUSE) { (void)cpu; (void)insn; return true; }
EXEC_OP(PREFETCH) { (void)cpu; (void)insn; return true; }

static bool fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

EXEC_OP(LFENCE) { (void)cpu; (void)insn; return fence(); }
EXEC_OP(SFENCE) { (void)cpu; (void)insn; return fence(); }
EXEC_OP(MFENCE) { (void)cpu; (void)insn; return fence(); }

/* Caches are the host's affair; the address must still be readable. */
EXEC_OP(CLFLUSH)
{
	struct mmu_rmw span;
	uint64_t lin;

	return x86_linear(cpu, insn->seg, insn_ea(cpu, insn), 1, X86_READ, &lin) &&
		mmu_span(cpu, lin, 1, X86_READ, data_mode(cpu), &span);
}

EXEC_OP(CLZERO)
{
	static const uint8_t zeros[64];
	uint64_t ea = cpu->s.gpr[X86_RAX] & alu_mask(insn->addrsize) & ~UINT64_C(63), lin;

	return x86_linear(cpu, insn->seg, ea, 64, X86_WRITE, &lin) && mmu_write_bytes(cpu, lin, zeros, 64, data_mode(cpu));
}

static uint64_t bound_value(uint64_t v, unsigned size)
{
	return alu_sext(v, size) ^ UINT64_C(1) << 63; /* so that unsigned comparison orders signed values */
}

EXEC_OP(BOUND)
{
	uint64_t ea = insn_ea(cpu, insn), lower, upper, index = bound_value(gpr_get(cpu, insn->reg, insn->opsize), insn->opsize);

	if (!mem_read_at(cpu, insn->seg, ea, insn->opsize, &lower) ||
	    !mem_read_at(cpu, insn->seg, (ea + insn->opsize) & alu_mask(insn->addrsize), insn->opsize, &upper))
		return false;
	if (index < bound_value(lower, insn->opsize) || index > bound_value(upper, insn->opsize))
		return cpu_fault(cpu, X86_EXC_BR, false, 0);
	return true;
}
