/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Near-identity translation: emit the guest's own instruction with registers
 * renamed (RSP is R15; R10, R11, R15 pass through scratch) and its memory
 * operand replaced by a checked one. Which instructions qualify is decided in
 * tr_classify(); nothing else reaches the code cache (SOFT-CPU.md F10).
 */
#include "cpu/soft/tr.h"

static bool is_native_op(const struct insn *in)
{
	return x86_op_info(in->op)->attr & X86_OPA_NATIVE;
}

static bool has_operand(const struct insn *in, enum x86_operand kind)
{
	return in->opnd[0] == kind || in->opnd[1] == kind || in->opnd[2] == kind;
}

static bool reg_is_gpr(const struct insn *in)
{
	return is_native_op(in) ? in->flags & INSN_REG_GPR : has_operand(in, X86_OPD_REG);
}

static bool rm_is_gpr(const struct insn *in)
{
	if (in->flags & INSN_MEM)
		return false;
	if (is_native_op(in))
		return in->flags & INSN_RM_GPR;
	return has_operand(in, X86_OPD_RM) || has_operand(in, X86_OPD_OPREG);
}

static bool vvvv_is_gpr(const struct insn *in)
{
	return !is_native_op(in) && has_operand(in, X86_OPD_VVVV);
}

/* Is a byte register of the form AH..BH named? Those cannot be encoded beside a REX prefix. */
static bool names_high_byte(const struct insn *in)
{
	if (is_native_op(in) || (in->flags & (INSN_REX | INSN_VEX)))
		return false;
	if (rm_is_gpr(in) && in->rm >= 4 && in->rm < 8 && (in->opsize == 1 || in->src_size == 1))
		return true;
	return reg_is_gpr(in) && in->reg >= 4 && in->reg < 8 && in->opsize == 1;
}

/* Scratch registers standing in for guest registers that live in memory. */
struct renames {
	unsigned n;
	uint8_t guest[2], host[2];
};

static unsigned rename_gpr(struct tr *t, struct renames *r, unsigned guest)
{
	unsigned host;

	if (!tr_in_memory(guest))
		return tr_host_gpr(guest);
	for (unsigned i = 0; i < r->n; i++)
		if (r->guest[i] == guest)
			return r->host[i];
	if (!t->free) {
		t->failed = true;
		return HR_RAX;
	}
	host = t->free & 1 ? HR_S0 : HR_S1;
	if (host == HR_S1)
		t->s1_group = TR_NO_GROUP;
	t->free &= host == HR_S0 ? 2u : 1u;
	emit_load(&t->hot, host, GS_GPR(guest));
	r->guest[r->n] = (uint8_t)guest;
	r->host[r->n++] = (uint8_t)host;
	return host;
}

static void emit_immediate(struct tr *t)
{
	const struct insn *in = t->in;

	for (unsigned i = in->len - in->imm_bytes; i < in->len; i++)
		emit8(&t->hot, in->bytes[i]);
}

static unsigned legacy_flags(const struct insn *in)
{
	unsigned flags = 0;

	if (in->flags & INSN_LOCK)
		flags |= EMIT_LOCK;
	if (in->flags & INSN_66)
		flags |= EMIT_66;
	/* In the one-byte map F2 and F3 are hints or belong to string instructions. */
	if (in->map || in->op == X86_OP_PAUSE) {
		if (in->flags & INSN_REP)
			flags |= EMIT_F3;
		if (in->flags & INSN_REPNE)
			flags |= EMIT_F2;
	}
	if (in->rex & 8)
		flags |= EMIT_W;
	if ((in->flags & INSN_REX) && !is_native_op(in) && (in->opsize == 1 || in->src_size == 1))
		flags |= EMIT_REX;
	return flags;
}

static unsigned plain_opcode(const struct insn *in, unsigned *reg)
{
	if (in->map == 0 && in->opcode >= 0x40 && in->opcode <= 0x4f) { /* 32-bit INC/DEC: a REX prefix here */
		*reg = in->op == X86_OP_DEC;
		return 0xff;
	}
	if (in->map == 0 && in->opcode == 0x82)
		return 0x80;
	if (in->map == 0 && in->opcode >= 0xa0 && in->opcode <= 0xa3) { /* MOV moffs */
		*reg = HR_RAX;
		return in->opcode < 0xa2 ? 0x8au | (in->opcode & 1u) : 0x88u | (in->opcode & 1u);
	}
	return in->opcode;
}

/* opcode+r forms and those without operands in ModRM. */
static void emit_no_modrm(struct tr *t, struct renames *r)
{
	const struct insn *in = t->in;
	struct emit *e = &t->hot;
	unsigned flags = legacy_flags(in), rex = 0, opcode = in->opcode;

	if (has_operand(in, X86_OPD_OPREG)) {
		unsigned host = rename_gpr(t, r, in->rm);

		opcode = (opcode & 0xf8u) | (host & 7);
		rex = host >= 8;
		if (in->opsize == 1 && in->rm >= 4 && in->rm < 8 && !(in->flags & INSN_REX)) { /* MOV AH, imm */
			opcode = in->opcode;
			rex = 0;
		}
	}
	if (flags & EMIT_66)
		emit8(e, 0x66);
	if (flags & EMIT_F3)
		emit8(e, 0xf3);
	if (rex || (flags & (EMIT_W | EMIT_REX)))
		emit8(e, 0x40 | rex | (flags & EMIT_W ? 8 : 0));
	if (in->map)
		emit8(e, 0x0f);
	emit8(e, opcode);
	emit_immediate(t);
}

static void emit_modrm(struct tr *t, struct renames *r, const struct host_mem *mem)
{
	const struct insn *in = t->in;
	struct emit *e = &t->hot;
	unsigned reg = in->flags & INSN_MODRM ? (reg_is_gpr(in) || is_native_op(in) ? in->reg : in->modrm >> 3 & 7u) : 0;
	unsigned rm = in->rm, opcode = plain_opcode(in, &reg), vvvv = in->vex_vvvv;
	bool high = names_high_byte(in);

	/* A high-byte register keeps its number, whatever guest register it would name in full. */
	if (reg_is_gpr(in) && (in->flags & INSN_MODRM) && !(high && in->opsize == 1))
		reg = rename_gpr(t, r, in->reg);
	if (rm_is_gpr(in) && !(high && (in->opsize == 1 || in->src_size == 1)))
		rm = rename_gpr(t, r, in->rm);
	if (vvvv_is_gpr(in))
		vvvv = rename_gpr(t, r, in->vex_vvvv);
	if (in->flags & INSN_VEX) {
		unsigned w = in->rex >> 3 & 1u;

		if (mem)
			emit_vex_mem(e, in->map, in->vex_pp, in->vex_l, w, opcode, reg, vvvv, mem);
		else
			emit_vex_reg(e, in->map, in->vex_pp, in->vex_l, w, opcode, reg, vvvv, rm);
	} else if (mem) {
		emit_op_mem(e, legacy_flags(in), in->map, opcode, reg, mem);
	} else {
		emit_op_reg(e, legacy_flags(in), in->map, opcode, reg, rm);
	}
	emit_immediate(t);
}

/* Does a register operand stand in memory? */
static bool needs_scratch(const struct insn *in)
{
	return (reg_is_gpr(in) && (in->flags & INSN_MODRM) && tr_in_memory(in->reg)) || (rm_is_gpr(in) && tr_in_memory(in->rm)) ||
	       (vvvv_is_gpr(in) && tr_in_memory(in->vex_vvvv));
}

void tr_native(struct tr *t)
{
	const struct insn *in = t->in;
	struct renames r = { 0 };
	struct host_mem mem;
	bool has_mem = (in->flags & INSN_MEM) && in->mem_bytes;
	bool swap = false;

	t->free = 3;
	if (has_mem) {
		struct tr_ea ea = tr_ea_of(t, in);

		mem = tr_check(t, &ea, in->mem_access & INSN_ACCESS_W ? TLB_WRITE : TLB_READ, in->mem_bytes);
		if (!t->free && (names_high_byte(in) || needs_scratch(in)))
			tr_fold(t, &mem);
		if (names_high_byte(in)) { /* AH..BH forbid REX: borrow RSI for the address */
			emit_lea(&t->hot, HR_S0, mem);
			emit_op_reg(&t->hot, EMIT_W, 0, 0x87, HR_RSI, HR_S0);
			mem = (struct host_mem){ .base = HR_RSI, .index = HR_NONE };
			swap = true;
			t->free = 2;
			t->s1_group = TR_NO_GROUP;
		}
	}
	tr_need_flags(t);
	if ((in->flags & INSN_MODRM) || has_mem || (in->map == 0 && in->opcode >= 0x40 && in->opcode <= 0x4f))
		emit_modrm(t, &r, has_mem ? &mem : NULL);
	else
		emit_no_modrm(t, &r);
	if (swap)
		emit_op_reg(&t->hot, EMIT_W, 0, 0x87, HR_RSI, HR_S0);
	for (unsigned i = 0; i < r.n; i++)
		emit_store(&t->hot, GS_GPR(r.guest[i]), r.host[i]);
}

/* ---- which instructions ---- */

static bool native_integer(const struct insn *in)
{
	switch (in->op) {
	case X86_OP_ADD: case X86_OP_OR: case X86_OP_ADC: case X86_OP_SBB: case X86_OP_AND: case X86_OP_SUB: case X86_OP_XOR: case X86_OP_CMP:
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAL: case X86_OP_SAR:
	case X86_OP_TEST: case X86_OP_NOT: case X86_OP_NEG: case X86_OP_MUL: case X86_OP_IMUL1: case X86_OP_DIV: case X86_OP_IDIV:
	case X86_OP_IMUL2: case X86_OP_IMUL3: case X86_OP_INC: case X86_OP_DEC: case X86_OP_MOV: case X86_OP_MOVZX: case X86_OP_MOVSX:
	case X86_OP_XCHG: case X86_OP_CMPXCHG: case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B: case X86_OP_XADD: case X86_OP_BSWAP:
	case X86_OP_MOVBE: case X86_OP_MOVNTI: case X86_OP_SHLD: case X86_OP_SHRD: case X86_OP_BSF: case X86_OP_BSR: case X86_OP_TZCNT:
	case X86_OP_LZCNT: case X86_OP_POPCNT: case X86_OP_CRC32: case X86_OP_SETCC: case X86_OP_CMOVCC: case X86_OP_CBW: case X86_OP_CWD:
	case X86_OP_LAHF: case X86_OP_SAHF: case X86_OP_CLC: case X86_OP_STC: case X86_OP_CMC: case X86_OP_LFENCE: case X86_OP_SFENCE:
	case X86_OP_MFENCE: case X86_OP_PAUSE: case X86_OP_ANDN: case X86_OP_BEXTR: case X86_OP_BLSI: case X86_OP_BLSMSK: case X86_OP_BLSR:
	case X86_OP_BZHI: case X86_OP_MULX: case X86_OP_PDEP: case X86_OP_PEXT: case X86_OP_RORX: case X86_OP_SARX: case X86_OP_SHLX:
	case X86_OP_SHRX: case X86_OP_ADCX: case X86_OP_ADOX:
		return true;
	case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
		/* With a register index the operand may be anywhere around the address. */
		return !((in->flags & INSN_MEM) && has_operand(in, X86_OPD_REG));
	default:
		return false;
	}
}

static bool custom_op(const struct insn *in)
{
	switch (in->op) {
	case X86_OP_PUSH: case X86_OP_POP: case X86_OP_LEAVE: case X86_OP_LEA: case X86_OP_NOP: case X86_OP_PREFETCH:
	case X86_OP_JCC: case X86_OP_JMP: case X86_OP_CALL: case X86_OP_RET: case X86_OP_JMP_IND: case X86_OP_CALL_IND:
	case X86_OP_LOOP: case X86_OP_JCXZ:
		return true;
	default:
		return false;
	}
}

/* May the state of the FPU and its control bits, which the block's key fixes, let this run natively? */
static bool native_vector(const struct tr *t, const struct insn *in)
{
	uint32_t key = t->b->key;

	if (t->v->vm->options.nonative)
		return false;
	switch (in->op) {
	case X86_OP_X87: case X86_OP_FWAIT: case X86_OP_MMX:
		return key & SOFT_KEY_X87;
	case X86_OP_SSE:
		return key & SOFT_KEY_FPU;
	case X86_OP_AVX:
		return key & SOFT_KEY_AVX;
	default:
		return false;
	}
}

static bool three_renames(const struct insn *in)
{
	unsigned n = 0;

	n += reg_is_gpr(in) && (in->flags & INSN_MODRM) && tr_in_memory(in->reg);
	n += rm_is_gpr(in) && tr_in_memory(in->rm);
	n += vvvv_is_gpr(in) && tr_in_memory(in->vex_vvvv);
	return n > (in->flags & INSN_MEM ? 1u : 2u);
}

/* Can the operand's address be computed without limit and type checks? */
static bool segment_is_simple(const struct tr *t, const struct insn *in)
{
	if (in->addrsize == 2)
		return false;
	if (t->is64)
		return in->addrsize == 8 || in->seg < X86_FS;
	switch (in->seg) {
	case X86_FS:
		return t->b->key & SOFT_KEY_FS;
	case X86_GS:
		return t->b->key & SOFT_KEY_GS;
	default: /* flat, or the block would not be translated; CS is never writable */
		return in->seg != X86_CS;
	}
}

enum tr_class tr_classify(const struct tr *t, const struct insn *in)
{
	const struct x86_op_info *info = x86_op_info(in->op);
	bool native;

	if (tr_system_inline(t, in) && !(in->flags & INSN_LOCK) && cpu_model_has(t->v->cpu.model, in->feature))
		return TR_CUSTOM;
	if (info->attr & (X86_OPA_SYSTEM | X86_OPA_BRANCH)) {
		if (!custom_op(in))
			return TR_INTERP_STOP;
	}
	if ((info->attr & X86_OPA_PRIV) || !cpu_model_has(t->v->cpu.model, in->feature))
		return TR_INTERP;
	if (in->flags & INSN_MEM) {
		if (!segment_is_simple(t, in))
			return info->attr & X86_OPA_BRANCH ? TR_INTERP_STOP : TR_INTERP;
	}
	if ((in->flags & INSN_LOCK) && !((info->attr & X86_OPA_LOCK) && (in->flags & INSN_MEM) && (in->mem_access & INSN_ACCESS_W)))
		return TR_INTERP;
	if (custom_op(in) || tr_string_inline(t, in) || tr_bit_inline(t, in))
		return TR_CUSTOM;
	native = info->attr & X86_OPA_NATIVE ? native_vector(t, in) : native_integer(in);
	if (!native || three_renames(in))
		return TR_INTERP;
	/* ESP/RSP becomes R15, which needs REX; so does a high byte's neighbour never. */
	if (names_high_byte(in) && ((reg_is_gpr(in) && in->opsize > 1 && in->reg == X86_RSP)))
		return TR_INTERP;
	return TR_NATIVE;
}

/* ---- flags ---- */

static bool vector_sets_flags(const struct insn *in)
{
	if (in->op != X86_OP_SSE && in->op != X86_OP_AVX)
		return false;
	return (in->map == 1 && (in->opcode == 0x2e || in->opcode == 0x2f)) ||
	       (in->map == 2 && (in->opcode == 0x17 || in->opcode == 0x0e || in->opcode == 0x0f)) ||
	       (in->map == 3 && in->opcode >= 0x60 && in->opcode <= 0x63);
}

static bool x87_uses_flags(const struct insn *in)
{
	if (in->op != X86_OP_X87 || in->modrm < 0xc0)
		return false;
	return (in->opcode == 0xda && in->modrm < 0xe0) || (in->opcode == 0xdb && in->modrm < 0xf8) ||
	       (in->opcode == 0xdf && in->modrm >= 0xe8 && in->modrm < 0xf8);
}

uint16_t tr_flags_read(enum tr_class class, const struct insn *in)
{
	if (class == TR_INTERP || class == TR_INTERP_STOP || x87_uses_flags(in))
		return X86_FLAGS_ARITH;
	return insn_flags_read(in) & X86_FLAGS_ARITH;
}

uint16_t tr_flags_killed(enum tr_class class, const struct insn *in)
{
	if (class == TR_INTERP || class == TR_INTERP_STOP)
		return 0;
	if (vector_sets_flags(in))
		return X86_FLAGS_ARITH;
	if (x86_op_info(in->op)->attr & X86_OPA_NATIVE)
		return 0;
	switch (in->op) {
	case X86_OP_AND: case X86_OP_OR: case X86_OP_XOR: case X86_OP_TEST:
		/* Every CPU that we know clears AF. Multiplications, in contrast, leave their undefined flags alone on some. */
		return X86_FLAGS_ARITH;
	default:
		return insn_flags_killed(in) & X86_FLAGS_ARITH;
	}
}

uint16_t tr_flags_written(enum tr_class class, const struct insn *in)
{
	const struct x86_op_info *info = x86_op_info(in->op);

	if (class == TR_INTERP || class == TR_INTERP_STOP || vector_sets_flags(in) || x87_uses_flags(in))
		return X86_FLAGS_ARITH;
	return (info->flags_written | info->flags_undef) & X86_FLAGS_ARITH;
}

void tr_need_flags(struct tr *t)
{
	enum tr_class class = t->class[t->i];
	uint16_t read = tr_flags_read(class, t->in), written = tr_flags_written(class, t->in);
	uint16_t kept = t->live[t->i + 1] & (uint16_t)~tr_flags_killed(class, t->in);

	if (!t->parked)
		return;
	if (read || (written && kept))
		emit_unpark_flags(&t->hot);
	if (read || written)
		t->parked = false;
}
