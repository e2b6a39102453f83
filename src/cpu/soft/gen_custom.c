/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: the stack, address computation, and near control flow. */
#include "cpu/soft/tr.h"

static unsigned stack_bytes(const struct tr *t)
{
	return t->is64 ? 8 : 4;
}

static void move_rsp(struct tr *t, int32_t by)
{
	struct host_mem m = { .base = HR_GUEST_RSP, .index = HR_NONE, .disp = by };

	if (t->is64)
		emit_lea(&t->hot, HR_GUEST_RSP, m);
	else
		emit_lea32(&t->hot, HR_GUEST_RSP, m);
}

static void load_word(struct tr *t, unsigned dst, struct host_mem m)
{
	if (t->is64)
		emit_load(&t->hot, dst, m);
	else
		emit_load32(&t->hot, dst, m);
}

static void store_word(struct tr *t, struct host_mem m, unsigned src)
{
	if (t->is64)
		emit_store(&t->hot, m, src);
	else
		emit_store32(&t->hot, m, src);
}

static struct host_mem check_stack(struct tr *t, unsigned base, int32_t disp, enum tlb_kind kind)
{
	struct tr_ea ea = tr_ea_stack(t, base, disp);

	return tr_check(t, &ea, kind, stack_bytes(t));
}

/* Store @value, known now, below the stack pointer and move it. Uses the free scratch. */
static void push_constant(struct tr *t, uint64_t value)
{
	struct host_mem m = check_stack(t, X86_RSP, -(int32_t)stack_bytes(t), TLB_WRITE);
	unsigned spare = t->free & 1 ? HR_S0 : HR_S1;

	if (!t->is64 || (int64_t)value == (int32_t)value) {
		emit_op_mem(&t->hot, t->is64 ? EMIT_W : 0, 0, 0xc7, 0, &m);
		emit32(&t->hot, (uint32_t)value);
	} else {
		emit_imm(&t->hot, spare, value);
		store_word(t, m, spare);
	}
	move_rsp(t, -(int32_t)stack_bytes(t));
}

static bool gen_push(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem m;
	unsigned spare;

	if (in->opsize != stack_bytes(t))
		return false;
	if (in->opnd[0] == X86_OPD_IMM) {
		push_constant(t, in->imm);
		return true;
	}
	if (in->flags & INSN_MEM) {
		struct tr_ea ea = tr_ea_of(t, in);

		m = tr_check(t, &ea, TLB_READ, stack_bytes(t));
		load_word(t, HR_S0, m);
		emit_store(&t->hot, GS_FIELD(tmp[1]), HR_S0);
		m = check_stack(t, X86_RSP, -(int32_t)stack_bytes(t), TLB_WRITE);
		spare = t->free & 1 ? HR_S0 : HR_S1;
		emit_load(&t->hot, spare, GS_FIELD(tmp[1]));
		store_word(t, m, spare);
	} else {
		m = check_stack(t, X86_RSP, -(int32_t)stack_bytes(t), TLB_WRITE);
		spare = t->free & 1 ? HR_S0 : HR_S1;
		if (tr_in_memory(in->rm)) {
			emit_load(&t->hot, spare, GS_GPR(in->rm));
			store_word(t, m, spare);
		} else {
			store_word(t, m, tr_host_gpr(in->rm));
		}
	}
	move_rsp(t, -(int32_t)stack_bytes(t));
	return true;
}

static bool gen_pop(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem m;

	if (in->opsize != stack_bytes(t) || (in->flags & INSN_MEM) || in->rm == X86_RSP)
		return false;
	m = check_stack(t, X86_RSP, 0, TLB_READ);
	if (tr_in_memory(in->rm)) {
		load_word(t, HR_S0, m);
		emit_store(&t->hot, GS_GPR(in->rm), HR_S0);
	} else {
		load_word(t, in->rm, m);
	}
	move_rsp(t, (int32_t)stack_bytes(t));
	return true;
}

static bool gen_leave(struct tr *t)
{
	struct host_mem above = { .base = HR_RBP, .index = HR_NONE, .disp = (int32_t)stack_bytes(t) };

	if (t->in->opsize != stack_bytes(t))
		return false;
	load_word(t, HR_S1, check_stack(t, X86_RBP, 0, TLB_READ));
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

/* ---- leaving the block ---- */

static uint64_t exit_stub(const struct tr *t)
{
	return tr_stub(t, t->parked ? t->v->stubs.exit_parked : t->v->stubs.exit);
}

static bool same_page(const struct tr *t, uint64_t target)
{
	return t->b->gpa2 == UINT64_MAX && target >> 12 == t->b->rip >> 12;
}

/* Prepare direct exit @n; returns the address that its jump goes to while unlinked. */
static uint64_t link_prepare(struct tr *t, unsigned n, uint64_t target)
{
	struct soft_link *link = &t->b->link[n];
	struct emit *c = &t->cold;
	uint64_t stub = emit_rx(c, c->p);

	*link = (struct soft_link){ .from = t->b, .target = target, .cell = SOFT_NO_CELL, .used = true,
				    .polled = target <= t->rip, .parked = t->parked };
	link->stub = (uint32_t)(c->p - t->v->area.rw);
	emit_imm(c, HR_S0, (uint64_t)(uintptr_t)link);
	emit_jmp(c, exit_stub(t));
	return stub;
}

static void cell_jump(struct tr *t, struct emit *e, struct soft_link *link, uint64_t stub)
{
	struct soft_vcpu *v = t->v;

	link->cell = v->ncells++;
	v->cell_values[link->cell] = stub;
	v->cell_links[link->cell] = link;
	emit_load(e, HR_S0, GS_FIELD(cells));
	emit_jmp_mem(e, (struct host_mem){ .base = HR_S0, .index = HR_NONE, .disp = (int32_t)(link->cell * 8) });
}

void tr_exit(struct tr *t, unsigned n, uint64_t target)
{
	uint64_t stub = link_prepare(t, n, target);
	struct soft_link *link = &t->b->link[n];

	if (same_page(t, target))
		link->jump = (uint32_t)(emit_jmp(&t->hot, stub) - t->v->area.rw);
	else
		cell_jump(t, &t->hot, link, stub);
}

/* Where a conditional jump for exit @n goes; *patch is set when the jump itself gets patched later. */
static uint64_t taken_exit(struct tr *t, unsigned n, uint64_t target, bool *patch)
{
	uint64_t stub = link_prepare(t, n, target), at;

	*patch = same_page(t, target);
	if (*patch)
		return stub;
	at = emit_rx(&t->cold, t->cold.p);
	cell_jump(t, &t->cold, &t->b->link[n], stub);
	return at;
}

static uint64_t branch_target(const struct tr *t, uint64_t rip)
{
	return t->is64 ? rip : (uint32_t)rip;
}

static bool gen_jcc(struct tr *t)
{
	const struct insn *in = t->in;
	bool patch;
	uint64_t to;
	uint8_t *rel;

	if (in->opsize == 2)
		return false;
	tr_need_flags(t);
	to = taken_exit(t, 0, branch_target(t, t->next + in->imm), &patch);
	rel = emit_jcc(&t->hot, in->cond, to);
	if (patch)
		t->b->link[0].jump = (uint32_t)(rel - t->v->area.rw);
	tr_exit(t, 1, branch_target(t, t->next));
	return true;
}

/* LOOP and JRCXZ with the full-width count; neither touches flags. */
static bool gen_count_branch(struct tr *t)
{
	const struct insn *in = t->in;
	bool loop = in->op == X86_OP_LOOP;
	uint8_t *zero;

	if (in->opsize == 2 || in->addrsize != 8)
		return false;
	if (loop)
		emit_lea(&t->hot, HR_RCX, (struct host_mem){ .base = HR_RCX, .index = HR_NONE, .disp = -1 });
	zero = emit_jrcxz8(&t->hot);
	tr_exit(t, 0, branch_target(t, loop ? t->next + in->imm : t->next));
	emit_here8(&t->hot, zero);
	tr_exit(t, 1, branch_target(t, loop ? t->next : t->next + in->imm));
	return true;
}

/*
 * Look R10 up in the indirect-branch table of this privilege mode. On a miss the
 * instruction is left unexecuted for the interpreter, so nothing may have
 * changed yet. On a hit R11 is the entry's index.
 */
static void ibtc_lookup(struct tr *t)
{
	struct emit *e = &t->hot, *c = &t->cold;
	size_t table = offsetof(struct soft_vcpu, ibtc) + (t->b->key >> SOFT_KEY_TLB_SHIFT & 3) * sizeof(struct soft_ibtc);
	uint64_t miss = emit_rx(c, c->p);
	uint8_t *hit;

	emit_imm(c, HR_S0, t->rip);
	emit_store(c, GS_CPU(s.rip), HR_S0);
	emit_imm(c, HR_S0, SOFT_EXIT_STEP_INDIRECT);
	emit_jmp(c, exit_stub(t));

	emit_op_reg(e, 0, 1, 0xb7, HR_S1, HR_S0); /* movzx r11d, r10w */
	emit_store(e, GS_FIELD(park_rcx), HR_RCX);
	emit_load(e, HR_RCX, gs_indexed(table + offsetof(struct soft_ibtc, key), HR_S1));
	emit_lea(e, HR_RCX, (struct host_mem){ .base = HR_RCX, .index = HR_S0, .disp = 1 });
	hit = emit_jrcxz8(e);
	emit_load(e, HR_RCX, GS_FIELD(park_rcx));
	emit_jmp(e, miss);
	emit_here8(e, hit);
	emit_load(e, HR_RCX, GS_FIELD(park_rcx));
}

static struct host_mem ibtc_code(const struct tr *t)
{
	size_t table = offsetof(struct soft_vcpu, ibtc) + (t->b->key >> SOFT_KEY_TLB_SHIFT & 3) * sizeof(struct soft_ibtc);

	return gs_indexed(table + offsetof(struct soft_ibtc, code) + t->parked * sizeof(((struct soft_ibtc *)0)->code[0]), HR_S1);
}

static bool gen_ret(struct tr *t)
{
	const struct insn *in = t->in;

	if (in->opsize != stack_bytes(t) || t->v->vm->options.noibtc)
		return false;
	load_word(t, HR_S0, check_stack(t, X86_RSP, 0, TLB_READ));
	ibtc_lookup(t);
	move_rsp(t, (int32_t)(stack_bytes(t) + (in->imm_bytes ? (uint16_t)in->imm : 0)));
	emit_jmp_mem(&t->hot, ibtc_code(t));
	return true;
}

/* R10 = the branch target of JMP/CALL r/m. */
static bool load_target(struct tr *t)
{
	const struct insn *in = t->in;

	if (in->opsize != stack_bytes(t) || t->v->vm->options.noibtc)
		return false;
	if (in->flags & INSN_MEM) {
		struct tr_ea ea = tr_ea_of(t, in);

		load_word(t, HR_S0, tr_check(t, &ea, TLB_READ, stack_bytes(t)));
	} else if (tr_in_memory(in->rm)) {
		emit_load(&t->hot, HR_S0, GS_GPR(in->rm));
	} else if (t->is64) {
		emit_mov(&t->hot, HR_S0, tr_host_gpr(in->rm));
	} else {
		emit_op_reg(&t->hot, 0, 0, 0x8b, HR_S0, tr_host_gpr(in->rm));
	}
	return true;
}

static bool gen_jmp_ind(struct tr *t)
{
	if (!load_target(t))
		return false;
	ibtc_lookup(t);
	emit_jmp_mem(&t->hot, ibtc_code(t));
	return true;
}

static bool gen_call_ind(struct tr *t)
{
	/* The push below parks live flags, so decide now which entry of the target is used. */
	if (t->in->opsize != stack_bytes(t) || t->v->vm->options.noibtc)
		return false;
	if (t->live[t->i] && !t->parked) {
		emit_park_flags(&t->hot);
		t->parked = true;
	}
	if (!load_target(t))
		return false;
	ibtc_lookup(t);
	emit_load(&t->hot, HR_S0, ibtc_code(t));
	emit_store(&t->hot, GS_FIELD(tmp[1]), HR_S0);
	push_constant(t, branch_target(t, t->next));
	emit_jmp_mem(&t->hot, GS_FIELD(tmp[1]));
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
	case X86_OP_NOP:
	case X86_OP_PREFETCH:
		return true;
	case X86_OP_JCC:
		return gen_jcc(t);
	case X86_OP_LOOP:
	case X86_OP_JCXZ:
		return gen_count_branch(t);
	case X86_OP_JMP:
		if (in->opsize == 2)
			return false;
		tr_exit(t, 0, branch_target(t, t->next + in->imm));
		return true;
	case X86_OP_CALL:
		if (in->opsize == 2)
			return false;
		push_constant(t, branch_target(t, t->next));
		tr_exit(t, 0, branch_target(t, t->next + in->imm));
		return true;
	case X86_OP_RET:
		return gen_ret(t);
	case X86_OP_JMP_IND:
		return gen_jmp_ind(t);
	case X86_OP_CALL_IND:
		return gen_call_ind(t);
	default:
		return false;
	}
}
