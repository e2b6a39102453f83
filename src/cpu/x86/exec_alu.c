/* SPDX-License-Identifier: Apache-2.0 */
/* Two-operand and one-operand arithmetic and logic, exchanges; with LOCK where it may be. */
#include "cpu/x86/exec_integer.h"

typedef uint64_t binary_fn(unsigned size, uint64_t a, uint64_t b, uint64_t *fl);
typedef uint64_t unary_fn(unsigned size, uint64_t a, uint64_t *fl);

/* rmw_commit() fails when a locked operand changed meanwhile; then the result is computed anew. */
static LODGE_ALWAYS_INLINE bool binary_memory(struct x86_cpu *cpu, const struct insn *insn, unsigned size, binary_fn *fn,
	uint64_t b)
{
	struct mem_rmw rmw;
	uint64_t a, r, fl;

	if (!rmw_begin(cpu, insn, size, &rmw, &a))
		return false;
	do {
		fl = cpu->s.rflags;
		r = fn(size, a, b, &fl);
	} while (!rmw_commit(cpu, &rmw, &a, r));
	cpu->s.rflags = fl;
	return true;
}

static LODGE_ALWAYS_INLINE bool binary_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size, binary_fn *fn,
	bool writes)
{
	unsigned dst = insn->opnd[0] == X86_OPD_REG ? insn->reg : insn->opnd[0] == X86_OPD_ACC ? (unsigned)X86_RAX : insn->rm;
	uint64_t a, b, r;

	if (!source_read(cpu, insn, 1, size, &b))
		return false;
	if (insn->opnd[0] == X86_OPD_RM && insn->flags & INSN_MEM) {
		if (writes)
			return binary_memory(cpu, insn, size, fn, b);
		if (!rm_read(cpu, insn, size, &a))
			return false;
		fn(size, a, b, &cpu->s.rflags);
		return true;
	}
	a = reg_get(cpu, insn, dst, size);
	r = fn(size, a, b, &cpu->s.rflags);
	if (writes)
		reg_set(cpu, insn, dst, size, r);
	return true;
}

#define BINARY(NAME, fn, writes) \
	EXEC_OP(NAME) \
	{ \
		EXEC_BY_SIZE(binary_sized, alu_##fn, writes) \
	}
BINARY(ADD, add, true)
BINARY(OR, or, true)
BINARY(ADC, adc, true)
BINARY(SBB, sbb, true)
BINARY(AND, and, true)
BINARY(SUB, sub, true)
BINARY(XOR, xor, true)
BINARY(CMP, cmp, false)
BINARY(TEST, test, false)

static LODGE_ALWAYS_INLINE bool unary_sized(struct x86_cpu *cpu, const struct insn *insn, unsigned size, unary_fn *fn)
{
	struct mem_rmw rmw;
	uint64_t a, r, fl;

	if (!(insn->flags & INSN_MEM)) {
		a = reg_get(cpu, insn, insn->rm, size);
		r = fn(size, a, &cpu->s.rflags);
		reg_set(cpu, insn, insn->rm, size, r);
		return true;
	}
	if (!rmw_begin(cpu, insn, size, &rmw, &a))
		return false;
	do {
		fl = cpu->s.rflags;
		r = fn(size, a, &fl);
	} while (!rmw_commit(cpu, &rmw, &a, r));
	cpu->s.rflags = fl;
	return true;
}

#define UNARY(NAME, fn) \
	EXEC_OP(NAME) \
	{ \
		EXEC_BY_SIZE(unary_sized, alu_##fn) \
	}
UNARY(NOT, not)
UNARY(NEG, neg)
UNARY(INC, inc)
UNARY(DEC, dec)

/* ADCX and ADOX chain one flag and leave the others alone. */
static bool add_with_flag(struct x86_cpu *cpu, const struct insn *insn, uint64_t flag)
{
	uint64_t b, fl = cpu->s.rflags & flag ? X86_FLAG_CF : 0, r;

	if (!rm_read(cpu, insn, insn->opsize, &b))
		return false;
	r = alu_adc(insn->opsize, gpr_get(cpu, insn->reg, insn->opsize), b, &fl);
	gpr_set(cpu, insn->reg, insn->opsize, r);
	cpu->s.rflags = fl & X86_FLAG_CF ? cpu->s.rflags | flag : cpu->s.rflags & ~flag;
	return true;
}

EXEC_OP(ADCX)
{
	return add_with_flag(cpu, insn, X86_FLAG_CF);
}

EXEC_OP(ADOX)
{
	return add_with_flag(cpu, insn, X86_FLAG_OF);
}

/* With memory XCHG is locked whether it says so or not. */
EXEC_OP(XCHG)
{
	bool short_form = insn->opnd[0] == X86_OPD_OPREG;
	unsigned reg = short_form ? (unsigned)X86_RAX : insn->reg;
	uint64_t mine = reg_get(cpu, insn, reg, insn->opsize), theirs;
	struct mem_rmw rmw;

	if (insn->flags & INSN_MEM) {
		if (!rmw_begin(cpu, insn, insn->opsize, &rmw, &theirs))
			return false;
		while (!rmw_commit(cpu, &rmw, &theirs, mine))
			;
	} else {
		theirs = reg_get(cpu, insn, insn->rm, insn->opsize);
		reg_set(cpu, insn, insn->rm, insn->opsize, mine);
	}
	reg_set(cpu, insn, reg, insn->opsize, theirs);
	return true;
}

EXEC_OP(XADD)
{
	uint64_t b = reg_get(cpu, insn, insn->reg, insn->opsize), a, r, fl;
	struct mem_rmw rmw;

	if (insn->flags & INSN_MEM) {
		if (!rmw_begin(cpu, insn, insn->opsize, &rmw, &a))
			return false;
		do {
			fl = cpu->s.rflags;
			r = alu_add(insn->opsize, a, b, &fl);
		} while (!rmw_commit(cpu, &rmw, &a, r));
		cpu->s.rflags = fl;
		reg_set(cpu, insn, insn->reg, insn->opsize, a);
		return true;
	}
	a = reg_get(cpu, insn, insn->rm, insn->opsize);
	r = alu_add(insn->opsize, a, b, &cpu->s.rflags);
	reg_set(cpu, insn, insn->reg, insn->opsize, a);
	reg_set(cpu, insn, insn->rm, insn->opsize, r); /* last: the sum wins when both are one register */
	return true;
}

static bool cmpxchg_memory(struct x86_cpu *cpu, const struct insn *insn, unsigned size)
{
	uint64_t acc = gpr_get(cpu, X86_RAX, size), src = reg_get(cpu, insn, insn->reg, size), dst;
	struct mem_rmw rmw;

	if (!rmw_begin(cpu, insn, size, &rmw, &dst))
		return false;
	/* What does not match is written back as it was. */
	while (!rmw_commit(cpu, &rmw, &dst, dst == acc ? src : dst))
		;
	alu_cmp(size, acc, dst, &cpu->s.rflags);
	if (dst != acc)
		gpr_set(cpu, X86_RAX, size, dst);
	return true;
}

EXEC_OP(CMPXCHG)
{
	uint64_t acc = cpu->s.gpr[X86_RAX], src, dst;

	if (insn->flags & INSN_MEM)
		return cmpxchg_memory(cpu, insn, insn->opsize);
	src = reg_get(cpu, insn, insn->reg, insn->opsize);
	dst = insn->opsize == 1 ? reg_get(cpu, insn, insn->rm, 1) : cpu->s.gpr[insn->rm];
	alu_cmpxchg(insn->opsize, &dst, &acc, src, &cpu->s.rflags);
	if (insn->opsize > 1)
		cpu->s.gpr[insn->rm] = dst;
	else
		reg_set(cpu, insn, insn->rm, 1, dst);
	/* The accumulator changes only if the comparison failed, and may be the destination itself when it did not. */
	if (!(cpu->s.rflags & X86_FLAG_ZF))
		gpr_set(cpu, X86_RAX, insn->opsize, acc);
	return true;
}

static void zf_set(struct x86_cpu *cpu, bool zf)
{
	cpu->s.rflags = zf ? cpu->s.rflags | X86_FLAG_ZF : cpu->s.rflags & ~(uint64_t)X86_FLAG_ZF;
}

EXEC_OP(CMPXCHG8B)
{
	uint64_t expected = gpr_get(cpu, X86_RAX, 4) | gpr_get(cpu, X86_RDX, 4) << 32;
	uint64_t desired = gpr_get(cpu, X86_RBX, 4) | gpr_get(cpu, X86_RCX, 4) << 32, old;
	struct mem_rmw rmw;

	if (!rmw_begin(cpu, insn, 8, &rmw, &old))
		return false;
	while (!rmw_commit(cpu, &rmw, &old, old == expected ? desired : old))
		;
	zf_set(cpu, old == expected);
	if (old != expected) {
		gpr_set(cpu, X86_RAX, 4, old);
		gpr_set(cpu, X86_RDX, 4, old >> 32);
	}
	return true;
}

/* Always atomic, LOCK or not: nobody can tell. */
static bool host_cmpxchg16(void *p, uint64_t *lo, uint64_t *hi, uint64_t new_lo, uint64_t new_hi)
{
	bool ok;

	__asm__ volatile("lock cmpxchg16b %[m]"
			 : [m] "+m"(*(struct { uint64_t v[2]; } *)p), "+a"(*lo), "+d"(*hi), "=@ccz"(ok)
			 : "b"(new_lo), "c"(new_hi)
			 : "memory");
	return ok;
}

/* Sixteen bytes that are not plain memory. */
static bool cmpxchg16_slow(struct x86_cpu *cpu, uint64_t lin, uint64_t *lo, uint64_t *hi, bool *equal)
{
	uint64_t old[2], desired[2] = { cpu->s.gpr[X86_RBX], cpu->s.gpr[X86_RCX] };

	if (!mmu_read_bytes(cpu, lin, old, 16, data_mode(cpu)))
		return false;
	*equal = old[0] == *lo && old[1] == *hi;
	*lo = old[0];
	*hi = old[1];
	return mmu_write_bytes(cpu, lin, *equal ? desired : old, 16, data_mode(cpu));
}

EXEC_OP(CMPXCHG16B)
{
	uint64_t lin, lo = cpu->s.gpr[X86_RAX], hi = cpu->s.gpr[X86_RDX];
	struct mmu_rmw rmw;
	bool equal;

	if (!x86_linear(cpu, insn->seg, insn_ea(cpu, insn), 16, X86_WRITE, &lin))
		return false;
	if (lin & 15)
		return cpu_gp(cpu, 0);
	if (!mmu_rmw_begin(cpu, lin, 16, data_mode(cpu), &rmw))
		return false;
	if (rmw.host) {
		equal = host_cmpxchg16(rmw.host, &lo, &hi, cpu->s.gpr[X86_RBX], cpu->s.gpr[X86_RCX]);
		mmu_rmw_end(cpu, &rmw);
	} else if (!cmpxchg16_slow(cpu, lin, &lo, &hi, &equal)) {
		return false;
	}
	zf_set(cpu, equal);
	if (!equal) {
		cpu->s.gpr[X86_RAX] = lo;
		cpu->s.gpr[X86_RDX] = hi;
	}
	return true;
}
