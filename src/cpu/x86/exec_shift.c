/* SPDX-License-Identifier: Apache-2.0 */
/* Shifts, rotates, and the bit-test family. */
#include "cpu/x86/exec_integer.h"

typedef uint64_t shift_fn(unsigned size, uint64_t a, uint64_t count, uint64_t *fl);

/* A count of zero changes nothing, but the operand is still accessed for writing. */
static LODGE_ALWAYS_INLINE bool shift_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size, shift_fn *fn)
{
	uint64_t a, r, count;
	struct mem_rmw rmw;

	if (!source_read(cpu, insn, 1, 1, &count))
		return false;
	if (!(insn->flags & INSN_MEM)) {
		a = reg_get(cpu, insn, insn->rm, size);
		r = fn(size, a, count, &cpu->s.rflags);
		reg_set(cpu, insn, insn->rm, size, r);
		return true;
	}
	if (!rmw_begin(cpu, insn, size, &rmw, &a))
		return false;
	r = fn(size, a, count, &cpu->s.rflags);
	return rmw_commit(cpu, &rmw, &a, r);
}

#define SHIFT(NAME, fn) \
	EXEC_OP(NAME) \
	{ \
		EXEC_BY_SIZE(shift_sized, alu_##fn) \
	}
SHIFT(ROL, rol)
SHIFT(ROR, ror)
SHIFT(RCL, rcl)
SHIFT(RCR, rcr)
SHIFT(SHL, shl)
SHIFT(SHR, shr)
SHIFT(SAL, shl)
SHIFT(SAR, sar)

typedef uint64_t shift2_fn(unsigned size, uint64_t a, uint64_t b, uint64_t count, uint64_t *fl);

static LODGE_ALWAYS_INLINE bool shift2_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size, shift2_fn *fn)
{
	uint64_t a, r, count, b = gpr_get(cpu, insn->reg, size);
	struct mem_rmw rmw;

	if (!source_read(cpu, insn, 2, 1, &count))
		return false;
	if (!(insn->flags & INSN_MEM)) {
		a = gpr_get(cpu, insn->rm, size);
		r = fn(size, a, b, count, &cpu->s.rflags);
		gpr_set(cpu, insn->rm, size, r);
		return true;
	}
	if (!rmw_begin(cpu, insn, size, &rmw, &a))
		return false;
	r = fn(size, a, b, count, &cpu->s.rflags);
	return rmw_commit(cpu, &rmw, &a, r);
}

EXEC_OP(SHLD)
{
	EXEC_BY_SIZE(shift2_sized, alu_shld)
}

EXEC_OP(SHRD)
{
	EXEC_BY_SIZE(shift2_sized, alu_shrd)
}

/* A bit number in a register reaches beyond the operand: whole operands away from the address, in either direction. */
static uint64_t bit_address(const struct x86_cpu *cpu, const struct insn *insn, uint64_t bit)
{
	uint64_t ea = insn_ea(cpu, insn);
	unsigned shift = insn->opsize == 8 ? 6 : insn->opsize == 4 ? 5 : 4;

	if (insn->opnd[1] == X86_OPD_REG)
		ea += (uint64_t)((int64_t)alu_sext(bit, insn->opsize) >> shift) * insn->opsize;
	return ea & alu_mask(insn->addrsize);
}

static LODGE_ALWAYS_INLINE bool bit_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size, shift_fn *fn, bool writes)
{
	uint64_t bit, a, r, fl, ea;
	struct mem_rmw rmw;

	if (!source_read(cpu, insn, 1, size, &bit))
		return false;
	if (!(insn->flags & INSN_MEM)) {
		a = gpr_get(cpu, insn->rm, size);
		r = fn(size, a, bit, &cpu->s.rflags);
		if (writes)
			gpr_set(cpu, insn->rm, size, r);
		return true;
	}
	ea = bit_address(cpu, insn, bit);
	if (!writes) {
		if (!mem_read_at(cpu, insn->seg, ea, size, &a))
			return false;
		fn(size, a, bit, &cpu->s.rflags);
		return true;
	}
	if (!x86_rmw_begin(cpu, insn, insn->seg, ea, size, &rmw, &a))
		return false;
	do {
		fl = cpu->s.rflags;
		r = fn(size, a, bit, &fl);
	} while (!rmw_commit(cpu, &rmw, &a, r));
	cpu->s.rflags = fl;
	return true;
}

#define BIT_OP(NAME, fn, writes) \
	EXEC_OP(NAME) \
	{ \
		EXEC_BY_SIZE(bit_sized, alu_##fn, writes) \
	}
BIT_OP(BT, bt, false)
BIT_OP(BTS, bts, true)
BIT_OP(BTR, btr, true)
BIT_OP(BTC, btc, true)

/* The host register is the whole guest register, so that what a zero source does to it is the host's answer. */
static bool bit_scan(struct x86_cpu *cpu, const struct insn *insn, shift_fn *fn)
{
	uint64_t v;

	if (!rm_read(cpu, insn, insn->opsize, &v))
		return false;
	cpu->s.gpr[insn->reg] = fn(insn->opsize, cpu->s.gpr[insn->reg], v, &cpu->s.rflags);
	return true;
}

EXEC_OP(BSF)
{
	return bit_scan(cpu, insn, alu_bsf);
}

EXEC_OP(BSR)
{
	return bit_scan(cpu, insn, alu_bsr);
}

/* Without the feature the F3 prefix means nothing. */
EXEC_OP(TZCNT)
{
	return bit_scan(cpu, insn, cpu_has(cpu, X86_F_BMI1) ? alu_tzcnt : alu_bsf);
}

EXEC_OP(LZCNT)
{
	return bit_scan(cpu, insn, cpu_has(cpu, X86_F_LZCNT) ? alu_lzcnt : alu_bsr);
}

EXEC_OP(POPCNT)
{
	return bit_scan(cpu, insn, alu_popcnt);
}

EXEC_OP(CRC32)
{
	uint64_t v;

	if (!rm_read(cpu, insn, insn->src_size, &v))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, alu_crc32(insn->src_size, cpu->s.gpr[insn->reg], v));
	return true;
}
