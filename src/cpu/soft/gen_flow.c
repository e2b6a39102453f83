/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: near control flow, and the ways out of a block. */
#include "cpu/soft/tr.h"

static uint64_t exit_stub(const struct tr *t)
{
	return tr_stub(t, t->parked ? t->v->stubs.exit_parked : t->v->stubs.exit);
}

/* May a jump go to @target directly? What may straddle pages depends on two mappings and is reached through cells. */
static bool same_page(const struct tr *t, uint64_t target)
{
	return t->b->gpa2 == UINT64_MAX && target >> 12 == t->b->rip >> 12 && (target & 0xfff) <= 4096 - X86_INSN_MAX;
}

/* One more direct exit; *stub is the address that its jump goes to while unlinked. */
static struct soft_link *link_prepare(struct tr *t, uint64_t target, uint64_t *stub)
{
	struct soft_link *link = &t->b->link[t->b->nlinks++];
	struct emit *c = &t->cold;

	*stub = emit_rx(c, c->p);
	*link = (struct soft_link){ .from = t->b, .target = target, .cell = SOFT_NO_CELL, .polled = target <= t->rip, .parked = t->parked };
	link->stub = (uint32_t)(c->p - t->v->area.rw);
	emit_imm(c, HR_S0, (uint64_t)(uintptr_t)link);
	emit_jmp(c, exit_stub(t));
	return link;
}

uint64_t tr_group_exit(struct tr *t)
{
	uint64_t stub, here;
	struct soft_link *link = link_prepare(t, t->rip, &stub);

	link->polled = false;
	link->single = true;
	here = emit_rx(&t->cold, t->cold.p);
	link->jump = (uint32_t)(emit_jmp(&t->cold, stub) - t->v->area.rw);
	return here;
}

static struct host_mem cell_of(struct tr *t, struct soft_link *link, uint64_t stub)
{
	struct soft_vcpu *v = t->v;

	link->cell = v->ncells++;
	v->cells[link->cell] = stub;
	v->cell_links[link->cell] = link;
	return gs_mem(offsetof(struct soft_vcpu, cells) + 8 * (size_t)link->cell);
}

void tr_exit(struct tr *t, uint64_t target)
{
	uint64_t stub;
	struct soft_link *link = link_prepare(t, target, &stub);

	if (same_page(t, target))
		link->jump = (uint32_t)(emit_jmp(&t->hot, stub) - t->v->area.rw);
	else
		emit_jmp_mem(&t->hot, cell_of(t, link, stub));
}

static uint64_t branch_target(const struct tr *t, uint64_t rip)
{
	return t->is64 ? rip : (uint32_t)rip;
}

static bool paired(const struct tr *t)
{
	return !t->v->vm->options.noibtc;
}

bool tr_goes_on(const struct tr *t, enum tr_class class, const struct insn *in)
{
	if (class != TR_CUSTOM)
		return false;
	switch (in->op) {
	case X86_OP_JCC:
		return in->opsize != 2 && (int64_t)in->imm > 0; /* loops end with the others */
	case X86_OP_CALL:
		return in->opsize != 2 && paired(t);
	case X86_OP_CALL_IND:
		return in->opsize == tr_stack_bytes(t) && paired(t);
	default:
		return false;
	}
}

static bool is_last(const struct tr *t)
{
	return t->i + 1 == t->n;
}

/* Past a branch that the block goes on behind there is nothing to do; else go to what follows. */
static void end_here(struct tr *t)
{
	if (is_last(t))
		tr_exit(t, branch_target(t, t->next));
}

static bool gen_jcc(struct tr *t)
{
	const struct insn *in = t->in;
	uint64_t target = branch_target(t, t->next + in->imm), to;
	struct soft_link *link;

	if (in->opsize == 2)
		return false;
	tr_need_flags(t);
	link = link_prepare(t, target, &to);
	if (same_page(t, target)) {
		link->jump = (uint32_t)(emit_jcc(&t->hot, in->cond, to) - t->v->area.rw);
	} else {
		struct host_mem cell = cell_of(t, link, to);

		emit_jcc(&t->hot, in->cond, emit_rx(&t->cold, t->cold.p));
		emit_jmp_mem(&t->cold, cell);
	}
	end_here(t);
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
	tr_exit(t, branch_target(t, loop ? t->next + in->imm : t->next));
	emit_here8(&t->hot, zero);
	tr_exit(t, branch_target(t, loop ? t->next : t->next + in->imm));
	return true;
}

/*
 * Look R10 up in the indirect-branch table of this privilege mode, with the
 * flags parked. On a miss the instruction is left unexecuted for the
 * interpreter, so nothing else may have changed yet. On a hit R11 is the
 * entry's offset.
 */
static void ibtc_lookup(struct tr *t)
{
	struct emit *c = &t->cold;
	uint64_t miss;

	if (!t->parked)
		emit_park_flags(&t->hot);
	t->parked = true;
	t->s1_group = TR_NO_GROUP;
	miss = emit_rx(c, c->p);
	emit_imm(c, HR_S0, t->rip);
	emit_store(c, GS_CPU(s.rip), HR_S0);
	emit_imm(c, HR_S0, SOFT_EXIT_STEP_INDIRECT);
	emit_jmp(c, exit_stub(t));
	emit_ibtc_compare(&t->hot, tr_tlb_mode(t));
	emit_jcc(&t->hot, 5, miss);
}

/*
 * Where the host's RET lands behind a CALL (shadow.c): the guest's own return
 * address, in R10 and in ret_target, must be @rip. A waiting request makes it
 * another one, so every return polls.
 */
static void landing_pad(struct tr *t, uint64_t rip)
{
	struct emit *e = &t->hot, *c = &t->cold;
	struct host_mem poison = gs_mem(cpu_request_poison);
	bool small = (int64_t)-rip == (int32_t)-rip, flags_dead = is_last(t) ? t->next_flags_dead : !t->live[t->i + 1];
	uint64_t miss = emit_rx(c, c->p);
	uint8_t *hit;

	emit_load(c, HR_S0, GS_FIELD(ret_target));
	emit_jmp(c, tr_stub(t, t->v->stubs.ret_miss[tr_tlb_mode(t)]));
	t->parked = false;
	t->b->pads = true;
	tr_groups_close(t);
	if (flags_dead && (int64_t)rip == (int32_t)rip) {
		emit_op_mem(e, EMIT_W, 0, 0x03, HR_S0, &poison);
		emit_op_reg(e, EMIT_W, 0, 0x81, 7, HR_S0); /* cmp r10, imm32 */
		emit32(e, (uint32_t)rip);
		emit_jcc(e, 5, miss);
		return;
	}
	if (flags_dead) {
		emit_imm(e, HR_S1, rip);
		emit_op_mem(e, EMIT_W, 0, 0x03, HR_S0, &poison);
		emit_op_reg(e, EMIT_W, 0, 0x3b, HR_S0, HR_S1);
		emit_jcc(e, 5, miss);
		return;
	}
	if (!small) {
		emit_imm(e, HR_S1, -rip);
		emit_lea(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_S1 });
	}
	emit_load(e, HR_S1, poison);
	emit_lea(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_S1, .disp = small ? (int32_t)-rip : 0 });
	emit_mov(e, HR_S1, HR_RCX);
	emit_mov(e, HR_RCX, HR_S0);
	hit = emit_jrcxz8(e);
	emit_mov(e, HR_RCX, HR_S1);
	emit_jmp(e, miss);
	emit_here8(e, hit);
	emit_mov(e, HR_RCX, HR_S1);
}

static void gen_call(struct tr *t)
{
	uint64_t target = branch_target(t, t->next + t->in->imm), next = branch_target(t, t->next), stub;
	struct soft_link *link;

	tr_push_constant(t, next);
	if (!paired(t)) {
		tr_exit(t, target);
		return;
	}
	link = link_prepare(t, target, &stub);
	if (same_page(t, target)) {
		link->jump = (uint32_t)(t->hot.p + 1 - t->v->area.rw);
		emit_call(&t->hot, stub);
	} else {
		emit_call_mem(&t->hot, cell_of(t, link, stub));
	}
	landing_pad(t, next);
	end_here(t);
}

static bool gen_ret(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem site = GS_FIELD(ret_site);

	if (in->opsize != tr_stack_bytes(t) || !paired(t))
		return false;
	tr_load_word(t, HR_S0, tr_check_stack(t, X86_RSP, 0, TLB_READ));
	if (t->parked)
		emit_unpark_flags(&t->hot);
	tr_move_rsp(t, (int32_t)(tr_stack_bytes(t) + (in->imm_bytes ? (uint16_t)in->imm : 0)));
	emit_store(&t->hot, GS_FIELD(ret_target), HR_S0);
	emit_op_mem(&t->hot, 0, 0, 0xc7, 0, &site); /* mov dword, imm32 */
	emit32(&t->hot, (uint32_t)(tr_site(t, true) - t->v->sites));
	emit8(&t->hot, 0xc3);
	return true;
}

/* R10 = the branch target of JMP/CALL r/m. */
static bool load_target(struct tr *t)
{
	const struct insn *in = t->in;

	if (in->opsize != tr_stack_bytes(t) || t->v->vm->options.noibtc)
		return false;
	if (in->flags & INSN_MEM) {
		struct tr_ea ea = tr_ea_of(t, in);

		tr_load_word(t, HR_S0, tr_check(t, &ea, TLB_READ, tr_stack_bytes(t)));
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
	emit_jmp_mem(&t->hot, emit_ibtc_code(tr_tlb_mode(t)));
	return true;
}

static bool gen_call_ind(struct tr *t)
{
	/* The push below parks live flags, so decide now which entry of the target is used. */
	if (t->in->opsize != tr_stack_bytes(t) || t->v->vm->options.noibtc)
		return false;
	if (t->live[t->i] && !t->parked) {
		emit_park_flags(&t->hot);
		t->parked = true;
	}
	if (!load_target(t))
		return false;
	ibtc_lookup(t);
	emit_load(&t->hot, HR_S0, emit_ibtc_code(tr_tlb_mode(t)));
	emit_store(&t->hot, GS_FIELD(tmp[1]), HR_S0);
	tr_push_constant(t, branch_target(t, t->next));
	emit_call_mem(&t->hot, GS_FIELD(tmp[1]));
	landing_pad(t, branch_target(t, t->next));
	end_here(t);
	return true;
}

bool tr_flow(struct tr *t)
{
	const struct insn *in = t->in;

	switch (in->op) {
	case X86_OP_JCC:
		return gen_jcc(t);
	case X86_OP_LOOP:
	case X86_OP_JCXZ:
		return gen_count_branch(t);
	case X86_OP_JMP:
		if (in->opsize == 2)
			return false;
		tr_exit(t, branch_target(t, t->next + in->imm));
		return true;
	case X86_OP_CALL:
		if (in->opsize == 2)
			return false;
		gen_call(t);
		return true;
	case X86_OP_RET:
		return gen_ret(t);
	case X86_OP_JMP_IND:
		return gen_jmp_ind(t);
	case X86_OP_CALL_IND:
		return gen_call_ind(t);
	default:
		return tr_system(t);
	}
}
