/* SPDX-License-Identifier: Apache-2.0 */
/* Multiplication, division, decimal adjustment, BMI. */
#include "cpu/x86/exec_integer.h"

typedef void wide_fn(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl);

static bool divide_error(struct x86_cpu *cpu)
{
	return cpu_fault(cpu, X86_EXC_DE, false, 0);
}

/* rDX:rAX (bytes: AX) through @fn. */
static bool wide(struct x86_cpu *cpu, const struct insn *insn, wide_fn *fn, uint64_t b)
{
	unsigned size = insn->opsize;
	uint64_t lo = cpu->s.gpr[X86_RAX], hi = cpu->s.gpr[X86_RDX];

	fn(size, &lo, &hi, b, &cpu->s.rflags);
	if (size == 1) {
		gpr_set(cpu, X86_RAX, 2, lo);
		return true;
	}
	gpr_set(cpu, X86_RAX, size, lo);
	gpr_set(cpu, X86_RDX, size, hi);
	return true;
}

/* The wrappers give the always-inlined assembly a body to be called through. */
static void wide_mul(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl) { alu_mul(size, lo, hi, b, fl); }
static void wide_imul(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl) { alu_imul1(size, lo, hi, b, fl); }
static void wide_div(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl) { alu_div(size, lo, hi, b, fl); }
static void wide_idiv(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl) { alu_idiv(size, lo, hi, b, fl); }

EXEC_OP(MUL)
{
	uint64_t b;

	return rm_read(cpu, insn, insn->opsize, &b) && wide(cpu, insn, wide_mul, b);
}

EXEC_OP(IMUL1)
{
	uint64_t b;

	return rm_read(cpu, insn, insn->opsize, &b) && wide(cpu, insn, wide_imul, b);
}

EXEC_OP(IMUL2)
{
	uint64_t b;

	if (!rm_read(cpu, insn, insn->opsize, &b))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, alu_imul(insn->opsize, gpr_get(cpu, insn->reg, insn->opsize), b, &cpu->s.rflags));
	return true;
}

EXEC_OP(IMUL3)
{
	uint64_t b;

	if (!rm_read(cpu, insn, insn->opsize, &b))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, alu_imul(insn->opsize, insn->imm, b, &cpu->s.rflags));
	return true;
}

/* The dividend's upper half. */
static uint64_t dividend_high(const struct x86_cpu *cpu, unsigned size)
{
	return size == 1 ? cpu->s.gpr[X86_RAX] >> 8 & 0xff : gpr_get(cpu, X86_RDX, size);
}

EXEC_OP(DIV)
{
	uint64_t b;

	if (!rm_read(cpu, insn, insn->opsize, &b))
		return false;
	if (dividend_high(cpu, insn->opsize) >= b)
		return divide_error(cpu); /* zero divisors included */
	return wide(cpu, insn, wide_div, b);
}

/* |hi:lo| / |b| must fit the signed quotient: at most 2^(n-1), exactly that only if negative. */
static bool idiv_fits(unsigned size, uint64_t hi, uint64_t lo, uint64_t b)
{
	uint64_t mask = alu_mask(size), sign = UINT64_C(1) << (8 * size - 1), quotient, remainder;
	bool negative = hi & sign, b_negative = b & sign;

	if (!b)
		return false;
	if (negative) {
		lo = -lo & mask;
		hi = (~hi + !lo) & mask;
	}
	if (b_negative)
		b = -b & mask;
	if (hi >= b)
		return false;
	if (size == 8)
		__asm__("divq %[b]" : "=a"(quotient), "=d"(remainder) : "a"(lo), "d"(hi), [b] "r"(b) : "cc");
	else
		quotient = (hi << (8 * size) | lo) / b;
	return quotient < sign || (quotient == sign && negative != b_negative);
}

EXEC_OP(IDIV)
{
	unsigned size = insn->opsize;
	uint64_t b;

	if (!rm_read(cpu, insn, size, &b))
		return false;
	if (!idiv_fits(size, dividend_high(cpu, size), gpr_get(cpu, X86_RAX, size), b))
		return divide_error(cpu);
	return wide(cpu, insn, wide_idiv, b);
}

/* ---- decimal ---- */

/* SF, ZF, PF of AL. */
static void flags_of_al(struct x86_cpu *cpu)
{
	uint64_t fl = 0, szp = X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF;

	alu_test(1, cpu->s.gpr[X86_RAX] & 0xff, cpu->s.gpr[X86_RAX] & 0xff, &fl);
	cpu->s.rflags = (cpu->s.rflags & ~szp) | (fl & szp);
}

static void flag_put(struct x86_cpu *cpu, uint64_t flag, bool on)
{
	cpu->s.rflags = on ? cpu->s.rflags | flag : cpu->s.rflags & ~flag;
}

/* @sign: +1 after addition, -1 after subtraction. */
static bool decimal_adjust(struct x86_cpu *cpu, int sign)
{
	unsigned al = (unsigned)cpu->s.gpr[X86_RAX] & 0xff, old = al;
	bool cf = cpu->s.rflags & X86_FLAG_CF, carry = false, af = (al & 0xf) > 9 || cpu->s.rflags & X86_FLAG_AF;

	if (af) {
		carry = cf || (sign < 0 ? al < 6 : al > 0xff - 6u);
		al += (unsigned)(6 * sign);
	}
	if (old > 0x99 || cf) {
		al += (unsigned)(0x60 * sign);
		carry = true;
	}
	gpr_set(cpu, X86_RAX, 1, al);
	flag_put(cpu, X86_FLAG_AF, af);
	flag_put(cpu, X86_FLAG_CF, carry);
	flags_of_al(cpu);
	return true;
}

EXEC_OP(DAA)
{
	(void)insn;
	return decimal_adjust(cpu, 1);
}

EXEC_OP(DAS)
{
	(void)insn;
	return decimal_adjust(cpu, -1);
}

static bool ascii_adjust(struct x86_cpu *cpu, int sign)
{
	unsigned ax = (unsigned)cpu->s.gpr[X86_RAX] & 0xffff;
	bool adjust = (ax & 0xf) > 9 || cpu->s.rflags & X86_FLAG_AF;

	if (adjust) {
		ax += (unsigned)(6 * sign);
		ax += (unsigned)(0x100 * sign);
	}
	gpr_set(cpu, X86_RAX, 2, ax & 0xff0f);
	flag_put(cpu, X86_FLAG_AF, adjust);
	flag_put(cpu, X86_FLAG_CF, adjust);
	flags_of_al(cpu);
	return true;
}

EXEC_OP(AAA)
{
	(void)insn;
	return ascii_adjust(cpu, 1);
}

EXEC_OP(AAS)
{
	(void)insn;
	return ascii_adjust(cpu, -1);
}

EXEC_OP(AAM)
{
	unsigned al = (unsigned)cpu->s.gpr[X86_RAX] & 0xff, base = (unsigned)insn->imm;

	if (!base)
		return divide_error(cpu);
	gpr_set(cpu, X86_RAX, 2, al / base << 8 | al % base);
	flags_of_al(cpu);
	return true;
}

EXEC_OP(AAD)
{
	unsigned ax = (unsigned)cpu->s.gpr[X86_RAX] & 0xffff;

	gpr_set(cpu, X86_RAX, 2, ((ax & 0xff) + (ax >> 8) * (unsigned)insn->imm) & 0xff);
	flags_of_al(cpu);
	return true;
}

/* ---- BMI1 and BMI2 ---- */

typedef uint64_t bmi_fn(unsigned size, uint64_t b, uint64_t c, uint64_t *fl);

/* The two sources in the instruction's operand order. */
static LODGE_ALWAYS_INLINE bool bmi_sources(struct x86_cpu *cpu, const struct insn *insn, uint64_t *first, uint64_t *second)
{
	return source_read(cpu, insn, 1, insn->opsize, first) && source_read(cpu, insn, 2, insn->opsize, second);
}

static LODGE_ALWAYS_INLINE bool bmi3(struct x86_cpu *cpu, const struct insn *insn, bmi_fn *fn, bool flags)
{
	uint64_t b, c, fl = cpu->s.rflags;

	if (!bmi_sources(cpu, insn, &b, &c))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, fn(insn->opsize, b, c, &fl));
	if (flags)
		cpu->s.rflags = fl;
	return true;
}

#define BMI3(NAME, fn, flags) \
	EXEC_OP(NAME) \
	{ \
		return bmi3(cpu, insn, alu_##fn, flags); \
	}
BMI3(ANDN, andn, true)
BMI3(BEXTR, bextr, true)
BMI3(BZHI, bzhi, true)
BMI3(PDEP, pdep, false)
BMI3(PEXT, pext, false)
BMI3(SARX, sarx, false)
BMI3(SHLX, shlx, false)
BMI3(SHRX, shrx, false)

#define BMI2(NAME, fn) \
	EXEC_OP(NAME) \
	{ \
		uint64_t b; \
		if (!rm_read(cpu, insn, insn->opsize, &b)) \
			return false; \
		gpr_set(cpu, insn->vex_vvvv, insn->opsize, alu_##fn(insn->opsize, b, &cpu->s.rflags)); \
		return true; \
	}
BMI2(BLSI, blsi)
BMI2(BLSR, blsr)
BMI2(BLSMSK, blsmsk)

EXEC_OP(MULX)
{
	uint64_t b, lo = cpu->s.gpr[X86_RDX], hi = 0, fl = 0;

	if (!rm_read(cpu, insn, insn->opsize, &b))
		return false;
	alu_mul(insn->opsize, &lo, &hi, b, &fl);
	gpr_set(cpu, insn->vex_vvvv, insn->opsize, lo);
	gpr_set(cpu, insn->reg, insn->opsize, hi); /* last: wins when both are one register */
	return true;
}

EXEC_OP(RORX)
{
	uint64_t v, fl = 0;

	if (!rm_read(cpu, insn, insn->opsize, &v))
		return false;
	gpr_set(cpu, insn->reg, insn->opsize, alu_ror(insn->opsize, v, insn->imm, &fl));
	return true;
}
