/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes cases: random but telling values, instructions from all encoding
 * forms, and operands that mostly point at memory that is there.
 */
#include "diff.h"

#define COUNT(r, n) diff_pick((r), (n))

uint64_t diff_value(struct diff_random *r)
{
	static const uint64_t edge[] = { 0, 1, 2, 3, 7, 8, 0xf, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
					 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1,
					 UINT64_C(0x3ff0000000000000), UINT64_C(0x7ff0000000000000), UINT64_C(0x7ff8000000000001), 0x3f800000, 0x7f800001 };
	uint64_t v = diff_rnd(r);

	switch (diff_pick(r, 8)) {
	case 0: case 1: case 2: return edge[diff_pick(r, ARRAY_LEN(edge))];
	case 3: return v & 0xff;
	case 4: return (uint64_t)(int64_t)(int8_t)v;
	case 5: return (uint32_t)v;
	default: return v;
	}
}

/* ---- floating-point values ---- */

static uint32_t float_value(struct diff_random *r)
{
	static const uint32_t edge[] = { 0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x3f7fffff, 0x40490fdb, 0x4b000000,
					 0x4f000000, 0xcf000000, 0x5f000000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
					 0x7f800001, 0xffbfffff };
	uint32_t v = (uint32_t)diff_rnd(r);

	if (diff_pick(r, 2))
		return edge[diff_pick(r, ARRAY_LEN(edge))];
	return diff_pick(r, 3) ? (v & 0x807fffff) | (0x70 + diff_pick(r, 0x20)) << 23 : v;
}

static uint64_t double_value(struct diff_random *r)
{
	static const uint64_t edge[] = { 0, 1, UINT64_C(0x000fffffffffffff), UINT64_C(0x0010000000000000), UINT64_C(0x3ff0000000000000),
					 UINT64_C(0x3fefffffffffffff), UINT64_C(0x400921fb54442d18), UINT64_C(0x41dfffffffc00000),
					 UINT64_C(0x41e0000000000000), UINT64_C(0x43e0000000000000), UINT64_C(0x47efffffe0000000),
					 UINT64_C(0x380fffffffffffff), UINT64_C(0x7fefffffffffffff), UINT64_C(0x7ff0000000000000),
					 UINT64_C(0x7ff8000000000000), UINT64_C(0x7ff0000000000001) };
	uint64_t v = diff_rnd(r), sign = v & UINT64_C(1) << 63;

	if (diff_pick(r, 2))
		return edge[diff_pick(r, ARRAY_LEN(edge))] | sign;
	return diff_pick(r, 3) ? (v & UINT64_C(0x800fffffffffffff)) | (uint64_t)(0x3e0 + diff_pick(r, 0x40)) << 52 : v;
}

static void extended_value(struct diff_random *r, uint8_t *to)
{
	uint64_t v = diff_rnd(r) | UINT64_C(1) << 63;
	uint16_t e = (uint16_t)(0x3fff - 40 + diff_pick(r, 80));

	switch (diff_pick(r, 12)) {
	case 0: v = 0, e = 0; break;
	case 1: v = UINT64_C(1) << 63, e = 0x7fff; break;
	case 2: v = UINT64_C(0xc000000000000000) | v >> 8, e = 0x7fff; break;
	case 3: v = UINT64_C(0x8000000000000001), e = 0x7fff; break;
	case 4: v >>= 1 + diff_pick(r, 60), e = 0; break;
	case 5: v >>= 1; break; /* unnormal: invalid */
	case 6: v = UINT64_C(1) << 63, e = 0x3fff; break;
	case 7: v &= UINT64_C(0xffffffff00000000); break;
	case 8: e = (uint16_t)(diff_rnd(r) & 0x7fff); break;
	default: break;
	}
	if (diff_pick(r, 2))
		e |= 0x8000;
	put_le64(to, v);
	put_le16(to + 8, e);
}

static void vector_value(struct diff_random *r, uint8_t *to)
{
	unsigned kind = diff_pick(r, 4);

	for (unsigned i = 0; i < 16; i += 8) {
		switch (kind) {
		case 0: put_le64(to + i, double_value(r)); break;
		case 1: put_le64(to + i, float_value(r) | (uint64_t)float_value(r) << 32); break;
		case 2: put_le64(to + i, diff_rnd(r)); break;
		default: put_le64(to + i, diff_value(r)); break;
		}
	}
}

/* A plausible save area: also what the initial state is. */
static void random_xsave(struct diff_random *r, uint8_t *x)
{
	uint16_t fcw = (uint16_t)(0x40 | diff_pick(r, 16) << 8 | 0x3f), fsw = (uint16_t)(diff_rnd(r) & 0x4700);

	memset(x, 0, X86_XSAVE_BYTES);
	if (diff_pick(r, 8) == 0)
		fcw &= (uint16_t)~(1u << diff_pick(r, 6));
	if (diff_pick(r, 4) == 0)
		fsw |= (uint16_t)(diff_rnd(r) & 0x7f & (fcw | 0x40));
	fsw = (uint16_t)((fsw & ~0x3800) | diff_pick(r, 8) << 11);
	put_le16(x + XSAVE_FCW, fcw);
	put_le16(x + XSAVE_FSW, fsw);
	x[XSAVE_FTW] = (uint8_t)(diff_pick(r, 3) ? diff_rnd(r) : diff_pick(r, 2) ? 0xff : 0);
	put_le32(x + XSAVE_MXCSR, diff_pick(r, 3) ? 0x1f80 | diff_pick(r, 4) << 13 : (uint32_t)(diff_rnd(r) & 0xffff) | (diff_pick(r, 4) ? 0x1f80 : 0));
	for (unsigned i = 0; i < 8; i++)
		extended_value(r, x + XSAVE_ST + 16 * i);
	for (unsigned i = 0; i < 16; i++) {
		vector_value(r, x + XSAVE_XMM + 16 * i);
		vector_value(r, x + XSAVE_YMM + 16 * i);
	}
	x[XSAVE_BV] = 7;
}

/* ---- state ---- */

static void fill_memory(struct diff_case *c, struct diff_random *r)
{
	static struct diff_memory base;
	static bool ready;

	if (!ready) {
		struct diff_random fixed = { 1 };

		for (unsigned i = 0; i < sizeof(base.data); i += 8)
			put_le64(base.data + i, diff_value(&fixed));
		for (unsigned i = 0; i < sizeof(base.stack); i += 8)
			put_le64(base.stack + i, diff_value(&fixed));
		ready = true;
	}
	c->mem = base;
	for (unsigned i = 0; i < 0x80; i += 8)
		put_le64(c->mem.stack + DIFF_STACK_BYTES / 2 + i, diff_value(r));
}

void diff_state(struct diff_case *c, struct diff_random *r)
{
	for (unsigned i = 0; i < 16; i++)
		c->regs.gpr[i] = diff_value(r);
	c->regs.gpr[X86_RSP] = DIFF_STACK + DIFF_STACK_BYTES / 2 + 8 * diff_pick(r, 4);
	c->regs.rip = DIFF_CODE + c->offset;
	c->regs.rflags = X86_FLAG_ONE | X86_FLAG_IF | (diff_rnd(r) & X86_FLAGS_ARITH) | (diff_pick(r, 8) ? 0 : X86_FLAG_DF) |
			 (diff_pick(r, 64) ? 0 : X86_FLAG_AC);
	c->regs.fs_base = DIFF_DATA + 0x800;
	c->regs.gs_base = DIFF_DATA + 0x1800;
	random_xsave(r, c->regs.xsave);
	fill_memory(c, r);
	if (c->mode == X86_MODE_32) {
		for (unsigned i = 0; i < 16; i++)
			c->regs.gpr[i] = i < 8 ? (uint32_t)c->regs.gpr[i] : 0;
		memset(c->regs.xsave + XSAVE_XMM + 128, 0, 128);
		memset(c->regs.xsave + XSAVE_YMM + 128, 0, 128);
	}
}

/* Where an operand of @bytes shall lie. */
static uint64_t target(struct diff_random *r, unsigned bytes, unsigned align)
{
	unsigned offset;

	if (align < 2)
		align = 1;
	switch (diff_pick(r, 24)) {
	case 0: case 1: case 2: offset = 0x1000 - diff_pick(r, bytes + 1); break;               /* across pages */
	case 3: offset = DIFF_DATA_RO - diff_pick(r, bytes + 2); break;                          /* into the read-only page */
	case 4: offset = DIFF_DATA_RO + diff_pick(r, 0x1000); break;
	case 5: offset = DIFF_DATA_HOLE - diff_pick(r, bytes + 2); break;                        /* into the hole */
	case 6: offset = DIFF_DATA_HOLE + 0x1000 - diff_pick(r, bytes + 2); break;               /* out of it */
	case 7: return DIFF_DATA + 0x100 + diff_pick(r, 0x1000);                                 /* any alignment */
	default: offset = 0x100 + diff_pick(r, DIFF_DATA_RO - 0x100 - MIN(bytes, 0x1000u)); break;
	}
	return DIFF_DATA + (offset & ~(align - 1));
}

/* ---- operands of the first instruction ---- */

static uint64_t segment_base(const struct diff_case *c, const struct insn *insn)
{
	if (c->mode != X86_MODE_64 || insn->seg < X86_FS)
		return 0;
	return insn->seg == X86_FS ? c->regs.fs_base : c->regs.gs_base;
}

static void set_gpr(struct diff_case *c, unsigned n, uint64_t v)
{
	c->regs.gpr[n & 15] = c->mode == X86_MODE_64 ? v : (uint32_t)v;
}

static void patch_disp(struct diff_case *c, const struct insn *insn, uint64_t value)
{
	unsigned pos = insn->modrm_off + 1u + ((insn->modrm & 7) == 4 && insn->addrsize != 2);

	if (insn->addrsize == 2)
		put_le16(c->code + pos, (uint16_t)value);
	else
		put_le32(c->code + pos, (uint32_t)value);
}

static void point_operand(struct diff_case *c, const struct insn *insn, uint64_t to)
{
	uint64_t index = insn->index < 16 && insn->op != X86_OP_GATHER ? c->regs.gpr[insn->index] << insn->scale : 0;

	to -= segment_base(c, insn);
	if (insn->base < 16 && insn->base != insn->index) {
		set_gpr(c, insn->base, to - (uint64_t)insn->disp - index);
	} else if (insn->base == X86_REG_RIP) {
		patch_disp(c, insn, to - (c->regs.rip + insn->len));
	} else if (insn->base == X86_NOREG && insn->index < 16 && insn->op != X86_OP_GATHER) {
		set_gpr(c, insn->index, (to - (uint64_t)insn->disp) >> insn->scale);
	} else if (insn->base == X86_NOREG && insn->flags & INSN_MODRM) {
		patch_disp(c, insn, to);
	} else if (insn->base == X86_NOREG) { /* moffs */
		unsigned pos = insn->len - insn->addrsize;

		if (insn->addrsize == 8)
			put_le64(c->code + pos, to);
		else if (insn->addrsize == 4)
			put_le32(c->code + pos, (uint32_t)to);
	}
}

static uint64_t in_stack(struct diff_random *r)
{
	unsigned where = diff_pick(r, 16);

	if (where == 0)
		return DIFF_STACK + diff_pick(r, 24);
	if (where == 1)
		return DIFF_STACK + DIFF_STACK_BYTES - diff_pick(r, 24);
	return DIFF_STACK + DIFF_STACK_BYTES / 2 + 8 * diff_pick(r, 8) + (where == 2 ? diff_pick(r, 8) : 0);
}

static uint8_t *stack_at(struct diff_case *c, uint64_t address)
{
	uint64_t offset = address - DIFF_STACK;

	return offset <= DIFF_STACK_BYTES - 16 ? c->mem.stack + offset : NULL;
}

static uint8_t *data_at(struct diff_case *c, uint64_t address, unsigned bytes)
{
	uint64_t offset = address - DIFF_DATA;

	return offset <= DIFF_DATA_HOLE - bytes || (offset >= 0x4000 && offset <= DIFF_DATA_BYTES - bytes) ? c->mem.data + offset : NULL;
}

static void stack_operands(struct diff_case *c, const struct insn *insn, struct diff_random *r)
{
	uint64_t sp = in_stack(r);
	uint8_t *top;

	set_gpr(c, X86_RSP, sp);
	set_gpr(c, X86_RBP, in_stack(r));
	top = stack_at(c, sp);
	if (!top)
		return;
	if (insn->op == X86_OP_RET && diff_pick(r, 4))
		put_le64(top, diff_end(c));
	if (insn->op == X86_OP_POPF) /* no TF, NT; seldom AC */
		put_le32(top, get_le32(top) & ~(X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_VM | (diff_pick(r, 8) ? X86_FLAG_AC : 0)));
}

static void string_operands(struct diff_case *c, const struct insn *insn, struct diff_random *r)
{
	unsigned n = insn->flags & (INSN_REP | INSN_REPNE) ? diff_pick(r, 40) : 0;
	uint64_t mask = insn->addrsize == 8 ? UINT64_MAX : UINT32_MAX;

	set_gpr(c, X86_RSI, (target(r, 8, 1) - segment_base(c, insn)) & mask);
	set_gpr(c, X86_RDI, target(r, 8, 1));
	set_gpr(c, X86_RCX, diff_pick(r, 16) ? n : 0x1000 + n);
	if (diff_pick(r, 2)) { /* comparisons that go on */
		uint64_t v = diff_pick(r, 2) ? 0 : diff_rnd(r) & 0xff;

		v *= UINT64_C(0x0101010101010101);
		for (unsigned i = 0; i < 0x2000; i += 8)
			put_le64(c->mem.data + i, v);
		set_gpr(c, X86_RAX, diff_pick(r, 2) ? v : v + 1);
	}
}

static void gather_operands(struct diff_case *c, const struct insn *insn, struct diff_random *r)
{
	uint8_t *xmm = c->regs.xsave + XSAVE_XMM + 16 * (insn->index & 15), *ymm = c->regs.xsave + XSAVE_YMM + 16 * (insn->index & 15);

	for (unsigned i = 0; i < 32; i += insn->opcode & 1 ? 8 : 4) {
		uint8_t *p = (i < 16 ? xmm : ymm - 16) + i;
		int32_t v = (int32_t)diff_pick(r, 256) - 128;

		if (diff_pick(r, 24) == 0)
			v = 0x1000 >> insn->scale;
		if (insn->opcode & 1)
			put_le64(p, (uint64_t)(int64_t)v);
		else
			put_le32(p, (uint32_t)v);
	}
}

static bool is_area(const struct insn *insn)
{
	return (insn->op >= X86_OP_FXSAVE && insn->op <= X86_OP_XRSTORS) || (insn->op >= X86_OP_FNSTENV && insn->op <= X86_OP_FRSTOR);
}

/* What a save area or environment is restored from. */
static void area_operand(struct diff_case *c, const struct insn *insn, uint64_t to, struct diff_random *r)
{
	uint8_t *p = data_at(c, to, X86_XSAVE_BYTES);
	uint32_t components = (uint32_t)diff_rnd(r) & 7;

	if (insn->op >= X86_OP_XSAVE && insn->op <= X86_OP_XRSTORS && diff_pick(r, 8)) {
		set_gpr(c, X86_RAX, components);
		set_gpr(c, X86_RDX, 0);
	}
	if (!p)
		return;
	random_xsave(r, p);
	p[XSAVE_BV] = (uint8_t)(diff_rnd(r) & 7);
	if (diff_pick(r, 3) == 0 && insn->op == X86_OP_XRSTOR) {
		put_le64(p + XSAVE_COMP_BV, XCOMP_COMPACTED | p[XSAVE_BV] | (diff_rnd(r) & 7));
		if (diff_pick(r, 8) == 0)
			p[XSAVE_BV] = (uint8_t)(diff_rnd(r) & 7);
	}
	if (diff_pick(r, 16) == 0) /* reserved bits */
		p[XSAVE_BV + diff_pick(r, 64)] |= (uint8_t)(1u << diff_pick(r, 8));
	if (diff_pick(r, 16) == 0)
		put_le32(p + XSAVE_MXCSR, 1u << (18 + diff_pick(r, 14)));
	if (insn->op == X86_OP_FLDENV || insn->op == X86_OP_FRSTOR) {
		unsigned step = insn->opsize == 2 ? 2 : 4;

		put_le16(p + step, get_le16(c->regs.xsave + XSAVE_FSW));
		put_le16(p, (uint16_t)(0x37f | diff_pick(r, 16) << 8));
		for (unsigned i = 0; i < 8; i++)
			extended_value(r, p + 7 * step + 10 * i);
	}
}

/* The bytes of an ordinary memory operand: as telling as register contents. */
static void memory_value(struct diff_case *c, const struct insn *insn, uint64_t to, struct diff_random *r)
{
	unsigned bytes = MIN(insn->mem_bytes, 32u);
	uint8_t *p = data_at(c, to, 32), v[32];

	if (!p || !bytes)
		return;
	vector_value(r, v);
	vector_value(r, v + 16);
	if (insn->op == X86_OP_X87 && bytes == 10)
		extended_value(r, v);
	else if (insn->op == X86_OP_X87 && bytes == 8 && diff_pick(r, 2))
		put_le64(v, double_value(r));
	else if (insn->op == X86_OP_X87 && bytes == 4 && diff_pick(r, 2))
		put_le32(v, float_value(r));
	if (insn->op == X86_OP_LDMXCSR)
		put_le32(v, (uint32_t)(diff_rnd(r) & 0xffff) | (diff_pick(r, 8) ? 0 : 1u << (18 + diff_pick(r, 14))));
	memcpy(p, v, bytes);
}

static bool is_stack_op(const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_PUSH: case X86_OP_POP: case X86_OP_PUSHA: case X86_OP_POPA: case X86_OP_PUSHF: case X86_OP_POPF: case X86_OP_ENTER:
	case X86_OP_LEAVE: case X86_OP_PUSH_SREG: case X86_OP_CALL: case X86_OP_CALL_IND: case X86_OP_RET:
		return true;
	default:
		return false;
	}
}

static void implicit_operands(struct diff_case *c, const struct insn *insn, struct diff_random *r)
{
	if (insn->op >= X86_OP_MOVS && insn->op <= X86_OP_SCAS)
		string_operands(c, insn, r);
	if (is_stack_op(insn))
		stack_operands(c, insn, r);
	if (insn->op == X86_OP_XLAT)
		set_gpr(c, X86_RBX, target(r, 256, 1) - segment_base(c, insn));
	if (insn->op == X86_OP_MASKMOV)
		set_gpr(c, X86_RDI, target(r, 16, 1) - segment_base(c, insn));
	if ((insn->op == X86_OP_DIV || insn->op == X86_OP_IDIV) && diff_pick(r, 4))
		set_gpr(c, X86_RDX, diff_pick(r, 2) ? 0 : UINT64_MAX);
	if (insn->op >= X86_OP_BT && insn->op <= X86_OP_BTC && insn->flags & INSN_MEM && insn->reg != insn->base && insn->reg != insn->index)
		set_gpr(c, insn->reg, (uint64_t)(int64_t)((int)diff_pick(r, 4096) - 2048));
	if (insn->op == X86_OP_GATHER)
		gather_operands(c, insn, r);
	if (insn->op >= X86_OP_LOOPNE && insn->op <= X86_OP_JCXZ)
		set_gpr(c, X86_RCX, diff_pick(r, 4));
}

static unsigned wanted_align(const struct insn *insn)
{
	if (insn->op == X86_OP_FXSAVE || insn->op == X86_OP_FXRSTOR || insn->op == X86_OP_CMPXCHG16B)
		return 16;
	return insn->op >= X86_OP_XSAVE && insn->op <= X86_OP_XRSTORS ? 64 : insn->mem_align;
}

void diff_operands(struct diff_case *c, struct diff_random *r)
{
	unsigned bytes, align;
	struct insn insn;
	uint64_t to;

	if (x86_decode(c->code, c->len, c->mode, &insn) != DECODE_OK)
		return;
	implicit_operands(c, &insn, r);
	if (!(insn.flags & INSN_MEM) || diff_pick(r, 32) == 0)
		return;
	bytes = is_area(&insn) ? X86_XSAVE_BYTES : MAX(insn.mem_bytes, 1u);
	align = wanted_align(&insn);
	if (c->regs.rflags & X86_FLAG_AC && align < 16 && diff_pick(r, 2))
		align = bytes >= 8 ? 8 : bytes;
	to = target(r, bytes, diff_pick(r, 24) ? align : 1);
	if (is_area(&insn))
		area_operand(c, &insn, to, r);
	else
		memory_value(c, &insn, to, r);
	point_operand(c, &insn, to);
	if (insn.op == X86_OP_CMPXCHG && diff_pick(r, 2) && data_at(c, to, 8))
		set_gpr(c, X86_RAX, get_le64(data_at(c, to, 8)));
	if ((insn.op == X86_OP_CMPXCHG8B || insn.op == X86_OP_CMPXCHG16B) && diff_pick(r, 2) && data_at(c, to, 16) && insn.base != X86_RAX &&
	    insn.base != X86_RDX) {
		unsigned half = insn.mem_bytes / 2;

		set_gpr(c, X86_RAX, half == 4 ? get_le32(data_at(c, to, 8)) : get_le64(data_at(c, to, 16)));
		set_gpr(c, X86_RDX, half == 4 ? get_le32(data_at(c, to, 8) + 4) : get_le64(data_at(c, to, 16) + 8));
	}
}

/* ---- instructions ---- */

/* Moves between general and vector registers with VEX.W outside 64-bit code: Intel ignores W, AMD refuses some. */
static bool is_w_in_32bit_code(const struct insn *insn)
{
	return insn->flags & INSN_VEX && insn->rex == 8 && insn->addrsize != 8 && insn->op == X86_OP_AVX &&
	       ((insn->map == 3 && (insn->opcode == 0x22 || insn->opcode == 0x16)) || (insn->map == 1 && (insn->opcode == 0x6e || insn->opcode == 0x7e)));
}

bool diff_comparable(const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_CPUID: case X86_OP_RDTSC: case X86_OP_RDTSCP: case X86_OP_RDPMC: case X86_OP_RDPID: case X86_OP_RDRAND: case X86_OP_RDSEED:
	case X86_OP_XGETBV: case X86_OP_SYSCALL: case X86_OP_SYSENTER: case X86_OP_INT: case X86_OP_INT1: case X86_OP_HYPERCALL:
		return false; /* the environment's answers */
	case X86_OP_JMPF: case X86_OP_JMPF_IND: case X86_OP_CALLF: case X86_OP_CALLF_IND: case X86_OP_RETF: case X86_OP_IRET: case X86_OP_SYSRET:
	case X86_OP_MOV_TO_SREG: case X86_OP_POP_SREG: case X86_OP_LES: case X86_OP_LDS: case X86_OP_LFS: case X86_OP_LGS: case X86_OP_LSS:
	case X86_OP_LAR: case X86_OP_LSL: case X86_OP_VERR: case X86_OP_VERW:
		return false; /* the host's descriptor tables */
	case X86_OP_SGDT: case X86_OP_SIDT: case X86_OP_SLDT: case X86_OP_STR: case X86_OP_SMSW:
		return false; /* kernels emulate them */
	default:
		if (insn->feature == X86_F_SHA)
			return false; /* in no model; AMD's tolerate misaligned operands */
		if (is_w_in_32bit_code(insn))
			return false;
		if ((insn->op == X86_OP_LOOPE || insn->op == X86_OP_LOOPNE) && insn->flags & (INSN_REP | INSN_REPNE))
			return false; /* AMD's processors let REPNE turn LOOPE into LOOPNE */
		/* AMD's processors obey 66 at near branches, which cuts RIP to 16 bits; Lodge does what Intel's do and ignores it. */
		return !(x86_op_info(insn->op)->attr & X86_OPA_BRANCH && insn->flags & INSN_66);
	}
}

/* Real, but not in Lodge's tables: hidden from the guest, or answers of the environment's. */
static bool is_hidden(const struct diff_case *c)
{
	static const struct {
		uint8_t len, b[4];
	} hidden[] = {
		{ 3, { 0x0f, 0x01, 0xc1 } },                              /* VMCALL: hypervisors have opinions on it */
		{ 3, { 0x0f, 0x01, 0xee } }, { 3, { 0x0f, 0x01, 0xef } }, /* RDPKRU, WRPKRU */
		{ 3, { 0x0f, 0x01, 0xfd } },                              /* RDPRU */
		{ 3, { 0x0f, 0x01, 0xfa } }, { 3, { 0x0f, 0x01, 0xfb } }, /* MONITORX, MWAITX */
		{ 3, { 0x0f, 0x01, 0xfe } }, { 3, { 0x0f, 0x01, 0xff } }, /* INVLPGB, TLBSYNC, PVALIDATE and others of SEV */
	};
	unsigned at = 0;

	while (at + 4 < c->len && (c->code[at] == 0x66 || c->code[at] == 0x67 || (c->code[at] & 0xfe) == 0xf2 || c->code[at] == 0xf0 ||
				   (c->code[at] & 0xe7) == 0x26 || (c->code[at] & 0xfe) == 0x64 ||
				   (c->mode == X86_MODE_64 && (c->code[at] & 0xf0) == 0x40)))
		at++;
	if (c->code[0] == 0xc4 && (c->code[1] & 0x1f) == 3 && (c->code[2] & 0x83) == 1 && (c->code[3] & 0xfe) == 0)
		return true; /* VPERMQ and VPERMPD ignore W on AMD's processors */
	if (c->code[at] == 0x0f && c->code[at + 1] == 0x01 && (c->code[at + 2] & 0xf8) == 0xd8)
		return true; /* SVM */
	for (unsigned i = 0; i < ARRAY_LEN(hidden); i++)
		if (!memcmp(c->code + at, hidden[i].b, hidden[i].len))
			return true;
	return false;
}

/* Undefined opcodes stay away from the end: how many bytes are fetched for them is not defined. */
static void place(struct diff_case *c, bool valid, struct diff_random *r)
{
	switch (valid ? diff_pick(r, 16) : 16) {
	case 0: c->offset = 0x1000 - diff_pick(r, c->len + 1); break;
	case 1: c->offset = diff_pick(r, 8) ? 0x40 : DIFF_CODE_BYTES - diff_pick(r, c->len + 1); break;
	default: c->offset = 0x100 + diff_pick(r, 256); break;
	}
	if (c->offset >= DIFF_CODE_BYTES)
		c->offset = 0x100;
}

/* The bytes are in c->code; cut to what the decoder takes. */
static bool finish_one(struct diff_case *c, unsigned avail, struct diff_random *r)
{
	struct insn insn;
	enum decode_status status;

	c->len = MIN(avail, (unsigned)X86_INSN_MAX);
	status = x86_decode(c->code, c->len, c->mode, &insn);
	if (status == DECODE_OK) {
		if (!diff_comparable(&insn))
			return false;
		c->len = insn.len;
	} else if (is_hidden(c)) {
		return false;
	}
	c->insns = 1;
	c->start[0] = 0;
	place(c, status == DECODE_OK, r);
	diff_state(c, r);
	diff_operands(c, r);
	if (status == DECODE_OK && insn.op == X86_OP_RET && diff_pick(r, 4)) {
		uint8_t *top = stack_at(c, c->regs.gpr[X86_RSP]);

		if (top)
			put_le64(top, diff_end(c));
	}
	return true;
}

static unsigned put_tail(struct diff_case *c, unsigned n, struct diff_random *r)
{
	while (n < 20) {
		put_le64(c->code + n, diff_value(r));
		n += diff_pick(r, 2) ? 1 : 4;
	}
	return n;
}

static void put_vex(struct diff_case *c, unsigned *n, unsigned map, unsigned pp, bool w, bool l, struct diff_random *r)
{
	static const uint8_t pps[] = { 0, 1, 2, 3 };
	uint64_t v = diff_rnd(r);
	unsigned high = c->mode == X86_MODE_64 ? 0 : 0xc0u; /* else it were LES */
	unsigned vvvv = v >> 16 & 1 ? 15 : v >> 20 & 15;

	c->code[(*n)++] = 0xc4;
	c->code[(*n)++] = (uint8_t)((v & 0xe0) | high | map);
	c->code[(*n)++] = (uint8_t)((w ? 0x80 : 0) | vvvv << 3 | (l ? 4 : 0) | pps[pp]);
}

static void put_modrm(struct diff_case *c, unsigned *n, bool memory, unsigned reg, struct diff_random *r)
{
	unsigned mod = memory ? diff_pick(r, 3) : 3, rm = diff_pick(r, 8);

	c->code[(*n)++] = (uint8_t)(mod << 6 | reg << 3 | rm);
	if (memory && rm == 4)
		c->code[(*n)++] = (uint8_t)diff_rnd(r);
}

/* Forms: map (7) x opcode (256) x prefix (4) x W (2) x L or 67h (2) x memory (2) x reg (2 halves; the rest is random). */
bool diff_generate_form(struct diff_case *c, uint64_t n, uint64_t seed)
{
	static const uint8_t prefix[] = { 0, 0x66, 0xf3, 0xf2 };
	struct diff_random r = { seed ^ n * UINT64_C(0xd1342543de82ef95) };
	unsigned opcode = n & 255, pp = n >> 8 & 3, memory = n >> 10 & 1, w = n >> 11 & 1, l = n >> 12 & 1, reg = (unsigned)(n >> 13 & 3) * 2, at = 0;
	unsigned map = (unsigned)(n >> 15) % 7;

	reg += diff_pick(&r, 2);
	c->seed = r.s;
	c->mode = diff_pick(&r, 3) ? X86_MODE_64 : X86_MODE_32;
	if (map >= 4) {
		put_vex(c, &at, map - 3, pp, w, l, &r);
	} else {
		if (pp)
			c->code[at++] = prefix[pp];
		if (diff_pick(&r, 24) == 0)
			c->code[at++] = 0xf0;
		if (diff_pick(&r, 24) == 0)
			c->code[at++] = 0x67;
		if (diff_pick(&r, 24) == 0)
			c->code[at++] = diff_pick(&r, 2) ? 0x64 : 0x65;
		if (c->mode == X86_MODE_64 && (w || diff_pick(&r, 2)))
			c->code[at++] = (uint8_t)(0x40 | w << 3 | diff_pick(&r, 8));
		if (map)
			c->code[at++] = 0x0f;
		if (map >= 2)
			c->code[at++] = map == 2 ? 0x38 : 0x3a;
	}
	c->code[at++] = (uint8_t)opcode;
	put_modrm(c, &at, memory, reg, &r);
	return finish_one(c, put_tail(c, at, &r), &r);
}

bool diff_generate_one(struct diff_case *c, uint64_t seed)
{
	struct diff_random r = { seed };
	uint64_t n = diff_rnd(&r);
	bool ok = diff_generate_form(c, n % DIFF_FORMS, diff_rnd(&r));

	c->seed = seed;
	return ok;
}

bool diff_generate_bytes(struct diff_case *c, unsigned mode, const uint8_t *bytes, unsigned len, uint64_t seed)
{
	struct diff_random r = { seed };
	struct insn insn;

	c->mode = mode;
	c->seed = seed;
	memset(c->code, 0x90, 32);
	memcpy(c->code, bytes, len);
	c->len = len;
	c->insns = 0;
	for (unsigned at = 0; at < len && c->insns < DIFF_INSNS_MAX; at += insn.len) {
		c->start[c->insns++] = at;
		if (x86_decode(c->code + at, len - at, mode, &insn) != DECODE_OK)
			break;
	}
	place(c, true, &r);
	diff_state(c, &r);
	diff_operands(c, &r);
	return true;
}

/* ---- sequences ---- */

#define POINTERS (1u << X86_RBX | 1u << X86_RSI | 1u << X86_RDI | 1u << X86_RBP | 1u << X86_RSP)

/* Does it look as if it wrote one of the registers that sequences address memory with? */
static bool may_move_pointer(const struct insn *insn)
{
	bool reg = insn->flags & INSN_MODRM && POINTERS >> insn->reg & 1, rm = !(insn->flags & INSN_MEM) && POINTERS >> insn->rm & 1;

	return reg || rm || (insn->op >= X86_OP_MOVS && insn->op <= X86_OP_OUTS);
}

static bool is_flow(const struct insn *insn)
{
	return x86_op_info(insn->op)->attr & (X86_OPA_BRANCH | X86_OPA_PRIV) || (insn->op >= X86_OP_JMPF && insn->op <= X86_OP_HYPERCALL);
}

/* They leave flags undefined that the host, in C, need not get the same. */
static bool is_decimal(const struct insn *insn)
{
	return insn->op >= X86_OP_DAA && insn->op <= X86_OP_AAD;
}

static unsigned sequence_insn(struct diff_case *c, unsigned at, struct diff_random *r)
{
	static const uint8_t bases[] = { 3, 6, 7, 5 };
	static struct diff_case one;
	struct insn insn;

	if (!diff_generate_form(&one, diff_rnd(r) % DIFF_FORMS, diff_rnd(r)) || one.mode != c->mode)
		return 0;
	if (x86_decode(one.code, one.len, c->mode, &insn) != DECODE_OK || is_flow(&insn) || is_decimal(&insn))
		return 0;
	if (insn.flags & INSN_MEM && insn.flags & INSN_MODRM && insn.addrsize != 2 && insn.op != X86_OP_GATHER) { /* [base + disp8] */
		unsigned imm = insn.imm_bytes, m = insn.modrm_off;

		if (insn.flags & INSN_VEX)
			one.code[insn.prefix_len - 2] |= 0x20; /* no B */
		else if (insn.flags & INSN_REX)
			one.code[insn.prefix_len - (insn.map >= 1 ? 0 : 0) - 1] &= 0xfe;
		one.code[m] = (uint8_t)((one.code[m] & 0x38) | 0x40 | bases[diff_pick(r, 4)]);
		one.code[m + 1] = (uint8_t)(diff_rnd(r) & 0xf0);
		memmove(one.code + m + 2, one.code + insn.len - imm, imm);
		one.len = m + 2 + imm;
		if (x86_decode(one.code, one.len, c->mode, &insn) != DECODE_OK || insn.len != one.len)
			return 0;
	}
	if (!diff_comparable(&insn) || (may_move_pointer(&insn) && diff_pick(r, 12)) || is_area(&insn) || is_stack_op(&insn))
		return 0;
	memcpy(c->code + at, one.code, one.len);
	return one.len;
}

/* jcc over the next instruction, or a counted loop back to an earlier one. */
static unsigned sequence_branch(struct diff_case *c, unsigned at, unsigned *patch, struct diff_random *r)
{
	if (diff_pick(r, 16) || c->insns == 0) {
		c->code[at] = (uint8_t)(0x70 | diff_pick(r, 16));
		*patch = at + 1;
	} else {
		unsigned back = at + 2 - c->start[diff_pick(r, c->insns)];

		if (back > 120)
			return 0;
		c->code[at] = (uint8_t)(0xe0 + diff_pick(r, 3)); /* LOOPcc */
		c->code[at + 1] = (uint8_t)-(int)back;
	}
	return 2;
}

static bool has_loop(const struct diff_case *c)
{
	for (unsigned i = 0; i < c->insns; i++)
		if ((c->code[c->start[i]] & 0xfc) == 0xe0)
			return true;
	return false;
}

/* Then a loop might take longer than anybody waits. */
static bool may_write_counter(const struct diff_case *c)
{
	struct insn insn;

	for (unsigned i = 0; i < c->insns; i++) {
		if (x86_decode(c->code + c->start[i], c->len - c->start[i], c->mode, &insn) != DECODE_OK)
			continue;
		if ((insn.flags & INSN_MODRM && insn.reg == X86_RCX) ||
		    (!(insn.flags & INSN_MEM) && insn.rm == X86_RCX && insn.op < X86_OP_MOVS) || insn.vex_vvvv == X86_RCX)
			return true;
		if (insn.op >= X86_OP_MOVS && insn.op <= X86_OP_OUTS)
			return true;
	}
	return false;
}

bool diff_generate_sequence(struct diff_case *c, uint64_t seed)
{
	struct diff_random r = { seed };
	unsigned n = 1 + diff_pick(&r, 20), at = 0, patch = 0;

	c->mode = diff_pick(&r, 4) ? X86_MODE_64 : X86_MODE_32;
	c->insns = 0;
	for (unsigned tries = 0; c->insns < n && tries < 400; tries++) {
		unsigned new_patch = 0, len = 0;

		if (diff_pick(&r, 8) == 0)
			len = sequence_branch(c, at, &new_patch, &r);
		else
			len = sequence_insn(c, at, &r);
		if (!len)
			continue;
		c->start[c->insns++] = at;
		at += len;
		if (patch)
			c->code[patch] = (uint8_t)(at - patch - 1);
		patch = new_patch;
	}
	if (patch)
		c->code[patch] = 0;
	c->len = at;
	c->seed = seed;
	if (!c->insns || (has_loop(c) && may_write_counter(c)))
		return false;
	place(c, true, &r);
	diff_state(c, &r);
	for (unsigned i = 0; i < 16; i++)
		if (POINTERS >> i & 1 && i != X86_RSP)
			set_gpr(c, i, DIFF_DATA + 0x400 + 0x100 * i + (diff_pick(&r, 4) ? 0 : diff_pick(&r, 16)));
	if (has_loop(c))
		set_gpr(c, X86_RCX, 1 + (c->regs.gpr[X86_RCX] & 15));
	return true;
}
