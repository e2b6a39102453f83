/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: the stack and address computation. */
#include "cpu/soft/tr.h"

unsigned tr_stack_bytes(const struct tr *t)
{
	return t->is64 ? 8 : 4;
}

void tr_move_rsp(struct tr *t, int32_t by)
{
	struct host_mem m = { .base = HR_GUEST_RSP, .index = HR_NONE, .disp = by };

	if (t->is64)
		emit_lea(&t->hot, HR_GUEST_RSP, m);
	else
		emit_lea32(&t->hot, HR_GUEST_RSP, m);
}

void tr_load_word(struct tr *t, unsigned dst, struct host_mem m)
{
	if (t->is64)
		emit_load(&t->hot, dst, m);
	else
		emit_load32(&t->hot, dst, m);
}

void tr_store_word(struct tr *t, struct host_mem m, unsigned src)
{
	if (t->is64)
		emit_store(&t->hot, m, src);
	else
		emit_store32(&t->hot, m, src);
}

unsigned tr_spare(struct tr *t, struct host_mem *m)
{
	tr_fold(t, m);
	return t->free & 1 ? HR_S0 : HR_S1;
}

struct host_mem tr_check_stack(struct tr *t, unsigned base, int32_t disp, enum tlb_kind kind)
{
	struct tr_ea ea = tr_ea_stack(t, base, disp);

	return tr_check(t, &ea, kind, tr_stack_bytes(t));
}

void tr_push_constant(struct tr *t, uint64_t value)
{
	struct host_mem m = tr_check_stack(t, X86_RSP, -(int32_t)tr_stack_bytes(t), TLB_WRITE);
	unsigned spare;

	if (!t->is64 || (int64_t)value == (int32_t)value) {
		emit_op_mem(&t->hot, t->is64 ? EMIT_W : 0, 0, 0xc7, 0, &m);
		emit32(&t->hot, (uint32_t)value);
	} else {
		spare = tr_spare(t, &m);
		emit_imm(&t->hot, spare, value);
		tr_store_word(t, m, spare);
	}
	tr_move_rsp(t, -(int32_t)tr_stack_bytes(t));
}

static bool gen_push(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem m;
	unsigned spare;

	if (in->opsize != tr_stack_bytes(t))
		return false;
	if (in->opnd[0] == X86_OPD_IMM) {
		tr_push_constant(t, in->imm);
		return true;
	}
	if (in->flags & INSN_MEM) {
		struct tr_ea ea = tr_ea_of(t, in);

		m = tr_check(t, &ea, TLB_READ, tr_stack_bytes(t));
		tr_load_word(t, HR_S0, m);
		emit_store(&t->hot, GS_FIELD(tmp[1]), HR_S0);
		m = tr_check_stack(t, X86_RSP, -(int32_t)tr_stack_bytes(t), TLB_WRITE);
		spare = tr_spare(t, &m);
		emit_load(&t->hot, spare, GS_FIELD(tmp[1]));
		tr_store_word(t, m, spare);
	} else {
		m = tr_check_stack(t, X86_RSP, -(int32_t)tr_stack_bytes(t), TLB_WRITE);
		if (tr_in_memory(in->rm)) {
			spare = tr_spare(t, &m);
			emit_load(&t->hot, spare, GS_GPR(in->rm));
			tr_store_word(t, m, spare);
		} else {
			tr_store_word(t, m, tr_host_gpr(in->rm));
		}
	}
	tr_move_rsp(t, -(int32_t)tr_stack_bytes(t));
	return true;
}

static bool gen_pop(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem m;

	if (in->opsize != tr_stack_bytes(t) || (in->flags & INSN_MEM) || in->rm == X86_RSP)
		return false;
	m = tr_check_stack(t, X86_RSP, 0, TLB_READ);
	if (tr_in_memory(in->rm)) {
		tr_load_word(t, HR_S0, m);
		emit_store(&t->hot, GS_GPR(in->rm), HR_S0);
	} else {
		tr_load_word(t, in->rm, m);
	}
	tr_move_rsp(t, (int32_t)tr_stack_bytes(t));
	return true;
}

static bool gen_leave(struct tr *t)
{
	struct host_mem above = { .base = HR_RBP, .index = HR_NONE, .disp = (int32_t)tr_stack_bytes(t) };

	if (t->in->opsize != tr_stack_bytes(t))
		return false;
	tr_load_word(t, HR_S1, tr_check_stack(t, X86_RBP, 0, TLB_READ));
	t->s1_group = TR_NO_GROUP;
	if (t->is64)
		emit_lea(&t->hot, HR_GUEST_RSP, above);
	else
		emit_lea32(&t->hot, HR_GUEST_RSP, above);
	emit_mov(&t->hot, HR_RBP, HR_S1);
	return true;
}

static bool gen_lea(struct tr *t)
{
	const struct insn *in = t->in;
	struct tr_ea ea = tr_ea_of(t, in);
	bool memory = tr_in_memory(in->reg);
	unsigned dst = memory ? HR_S0 : tr_host_gpr(in->reg);

	if (in->addrsize == 2)
		return false;
	t->s1_group = TR_NO_GROUP;
	ea.seg_base = X86_NSEG;
	if (in->opsize == 2 || ea.fixed || (ea.base != X86_NOREG && tr_in_memory(ea.base)) || (ea.index != X86_NOREG && tr_in_memory(ea.index)) ||
	    (!ea.wide && in->opsize == 8)) {
		tr_linear(t, &t->hot, &ea, HR_S0);
		if (in->opsize == 2 && memory)
			emit_load(&t->hot, HR_S1, GS_GPR(in->reg));
		if (memory && in->opsize == 2) {
			emit_op_reg(&t->hot, EMIT_66, 0, 0x8b, HR_S1, HR_S0);
			emit_store(&t->hot, GS_GPR(in->reg), HR_S1);
			return true;
		}
		if (!memory)
			emit_op_reg(&t->hot, in->opsize == 2 ? EMIT_66 : in->opsize == 8 ? EMIT_W : 0, 0, 0x8b, dst, HR_S0);
		else if (in->opsize == 4)
			emit_op_reg(&t->hot, 0, 0, 0x8b, HR_S0, HR_S0);
	} else {
		struct host_mem m = { .base = ea.base == X86_NOREG ? HR_NONE : (uint8_t)tr_host_gpr(ea.base),
				      .index = ea.index == X86_NOREG ? HR_NONE : (uint8_t)tr_host_gpr(ea.index),
				      .scale = ea.scale, .disp = ea.disp };

		if (in->opsize == 8)
			emit_lea(&t->hot, dst, m);
		else
			emit_lea32(&t->hot, dst, m);
	}
	if (memory)
		emit_store(&t->hot, GS_GPR(in->reg), HR_S0);
	return true;
}

bool tr_bit_inline(const struct tr *t, const struct insn *in)
{
	return in->op == X86_OP_BT && (in->flags & INSN_MEM) && in->opnd[1] == X86_OPD_REG && t->is64 && in->addrsize == 8 && in->opsize >= 4 &&
	       !t->v->vm->options.nobits;
}

static void load_gpr(struct tr *t, unsigned dst, unsigned guest)
{
	if (tr_in_memory(guest))
		emit_load(&t->hot, dst, GS_GPR(guest));
	else
		emit_mov(&t->hot, dst, tr_host_gpr(guest));
}

/* BT with a register: the word of the bit string is found first, then it is the plain instruction. */
static bool gen_bt(struct tr *t)
{
	const struct insn *in = t->in;
	struct tr_ea ea = tr_ea_of(t, in), word = { .seg_base = X86_NSEG, .computed = true, .wide = true };
	unsigned wide = in->opsize == 8 ? EMIT_W : 0;
	struct host_mem m;

	tr_park(t);
	t->s1_group = TR_NO_GROUP;
	tr_linear(t, &t->hot, &ea, HR_S0);
	load_gpr(t, HR_S1, in->reg);
	if (!wide)
		emit_op_reg(&t->hot, EMIT_W, 0, 0x63, HR_S1, HR_S1); /* movsxd */
	emit_op_reg(&t->hot, EMIT_W, 0, 0xc1, 7, HR_S1);             /* sar */
	emit8(&t->hot, 3);
	emit_alu_imm(&t->hot, 4, HR_S1, -(int32_t)in->opsize);
	emit_lea(&t->hot, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_S1 });
	emit_store(&t->hot, GS_FIELD(tmp[1]), HR_S0);
	m = tr_check_alone(t, &word, TLB_READ, in->opsize);
	emit_op_mem(&t->hot, wide, 0, 0x8b, HR_S0, &m);
	load_gpr(t, HR_S1, in->reg);
	tr_need_flags(t);
	emit_op_reg(&t->hot, wide, 1, 0xa3, HR_S1, HR_S0); /* bt s0, s1: modulo its width */
	return true;
}

bool tr_custom(struct tr *t)
{
	const struct insn *in = t->in;

	switch (in->op) {
	case X86_OP_PUSH:
		return gen_push(t);
	case X86_OP_POP:
		return gen_pop(t);
	case X86_OP_LEAVE:
		return gen_leave(t);
	case X86_OP_LEA:
		return gen_lea(t);
	case X86_OP_BT:
		return gen_bt(t);
	case X86_OP_STOS: case X86_OP_MOVS:
		return tr_string(t);
	case X86_OP_NOP:
	case X86_OP_PREFETCH:
		return true;
	default:
		return tr_flow(t);
	}
}
