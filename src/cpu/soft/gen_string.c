/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REP STOS and REP MOVS, forwards and inside one page of each operand, by the
 * host's own: kernels clear and copy small structures with them all the time.
 * What is longer, goes backwards or starts on a page that is not in the TLB goes
 * to C. A count of nothing accesses nothing, not even the TLB.
 *
 * Until the host's instruction runs nothing has changed, and it cannot fault; so
 * each way to C sees the registers as the guest left them.
 */
#include "cpu/soft/tr.h"

bool tr_string_inline(const struct tr *t, const struct insn *in)
{
	if (!t->is64 || in->addrsize != 8 || !(in->flags & (INSN_REP | INSN_REPNE)) || t->v->vm->options.nostring || t->v->vm->options.notlb)
		return false;
	return in->op == X86_OP_STOS || (in->op == X86_OP_MOVS && in->seg < X86_FS);
}

static unsigned log2_of(unsigned size)
{
	return (unsigned)__builtin_ctz(size);
}

/* Cold: the interpreter does it, unless the count is 0, and comes back; *back is where the jump back is to be patched. */
static uint64_t interpret_aside(struct tr *t, uint8_t **back)
{
	struct emit *c = &t->cold;
	uint64_t here = emit_rx(c, c->p);
	uint8_t *nothing = emit_jrcxz8(c);

	if (t->parked)
		emit_unpark_flags(c);
	emit_imm(c, HR_S1, (uint64_t)(uintptr_t)tr_site(t, false));
	emit_call(c, tr_stub(t, t->v->stubs.interp));
	if (t->parked)
		emit_park_flags(c);
	emit_here8(c, nothing);
	*back = emit_jmp(c, here);
	return here;
}

/* S1 = host address of the operand at guest register @reg; to @aside unless all RCX elements lie in its page. Uses S0. */
static void operand(struct tr *t, unsigned reg, enum tlb_kind kind, uint64_t aside)
{
	struct emit *e = &t->hot;
	unsigned size = t->in->opsize;
	struct tr_ea ea = { .base = (uint8_t)reg, .index = X86_NOREG, .seg_base = X86_NSEG, .wide = true };
	struct host_mem end = { .base = HR_S0, .index = HR_RCX, .scale = (uint8_t)log2_of(size) };

	(void)tr_check_alone(t, &ea, kind, size);
	emit_op_reg(e, EMIT_W, 0, 0x03, HR_S1, HR_S0); /* add */
	emit_lea(e, HR_S0, end);
	emit_alu_imm(e, 7, HR_S0, 4096);
	emit_jcc(e, 7, aside);
}

/* To @aside if the count is 0 or more than a page, or the direction is down. */
static void check_count(struct tr *t, uint64_t aside)
{
	struct emit *e = &t->hot;
	struct host_mem df = gs_mem(offsetof(struct x86_state, rflags) + 1);

	emit_lea(e, HR_S0, (struct host_mem){ .base = HR_RCX, .index = HR_NONE, .disp = -1 });
	emit_alu_imm(e, 7, HR_S0, (int32_t)(4096 / t->in->opsize) - 1);
	emit_jcc(e, 7, aside);
	emit_op_mem(e, 0, 0, 0xf6, 0, &df); /* test byte, DF */
	emit8(e, X86_FLAG_DF >> 8);
	emit_jcc(e, 5, aside);
}

static void emit_rep(struct tr *t, unsigned opcode)
{
	unsigned size = t->in->opsize;

	emit8(&t->hot, 0xf3);
	if (size == 2)
		emit8(&t->hot, 0x66);
	if (size == 8)
		emit8(&t->hot, 0x48);
	emit8(&t->hot, opcode | (size > 1));
}

static void subtract(struct tr *t, unsigned dst, unsigned src)
{
	emit_op_reg(&t->hot, EMIT_W, 0, 0x2b, dst, src);
}

static void emit_move_on(struct tr *t, unsigned reg, unsigned by)
{
	emit_lea(&t->hot, reg, (struct host_mem){ .base = (uint8_t)reg, .index = (uint8_t)by });
}

static void gen_stos(struct tr *t, uint64_t aside)
{
	struct emit *e = &t->hot;

	operand(t, X86_RDI, TLB_WRITE, aside);
	emit_mov(e, HR_S0, HR_RDI);
	subtract(t, HR_S0, HR_S1);
	emit_mov(e, HR_RDI, HR_S1);
	emit_rep(t, 0xaa);
	emit_move_on(t, HR_RDI, HR_S0);
}

static void gen_movs(struct tr *t, uint64_t aside)
{
	struct emit *e = &t->hot;

	operand(t, X86_RSI, TLB_READ, aside);
	emit_store(e, GS_FIELD(tmp[0]), HR_S1);
	operand(t, X86_RDI, TLB_WRITE, aside);
	emit_mov(e, HR_S0, HR_RDI);
	subtract(t, HR_S0, HR_S1);
	emit_mov(e, HR_RDI, HR_S1);
	emit_load(e, HR_S1, GS_FIELD(tmp[0]));
	subtract(t, HR_RSI, HR_S1);
	emit_op_reg(e, EMIT_W, 0, 0x87, HR_RSI, HR_S1); /* xchg */
	emit_rep(t, 0xa4);
	emit_move_on(t, HR_RDI, HR_S0);
	emit_move_on(t, HR_RSI, HR_S1);
}

bool tr_string(struct tr *t)
{
	uint8_t *back;
	uint64_t aside;

	if (!tr_string_inline(t, t->in))
		return false;
	tr_park(t);
	t->s1_group = TR_NO_GROUP;
	aside = interpret_aside(t, &back);
	check_count(t, aside);
	if (t->in->op == X86_OP_STOS)
		gen_stos(t, aside);
	else
		gen_movs(t, aside);
	emit_patch32(&t->cold, back, emit_rx(&t->hot, t->hot.p));
	return true;
}
