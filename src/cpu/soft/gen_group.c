/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: accesses of a block that lie near each other, off the same base
 * register or in the same fixed page, share one TLB check. The check covers the
 * whole range, inside one page; afterwards an access needs the delta only, which
 * stays in S1 or comes from the vcpu's group_delta[].
 *
 * A group lives until its base changes by something other than a constant, or
 * until C code may have changed a mapping: every call of the interpreter closes
 * all. If the range has no translation or crosses into the next page, nothing
 * faults: C goes on in a version of the block without groups (SOFT_KEY_SINGLE),
 * where each access is on its own.
 */
#include "cpu/soft/tr.h"

#define GROUP_SPAN_MAX 512 /* bytes; the wider, the more often it crosses a page */

/* ---- what an instruction does to registers ---- */

static uint32_t named(const struct insn *in, unsigned n)
{
	unsigned reg;

	switch (in->opnd[n]) {
	case X86_OPD_RM:
		if (in->flags & INSN_MEM)
			return 0;
		reg = in->rm;
		break;
	case X86_OPD_OPREG:
		reg = in->rm;
		break;
	case X86_OPD_REG:
		reg = in->reg;
		break;
	case X86_OPD_VVVV:
		reg = in->vex_vvvv;
		break;
	case X86_OPD_ACC:
		reg = X86_RAX;
		break;
	default:
		return 0;
	}
	/* AH..BH are parts of RAX..RBX. */
	return reg >= 16 ? 0 : 1u << reg | (in->opsize == 1 && reg >= 4 && reg < 8 ? 1u << (reg & 3) : 0);
}

static uint32_t native_written(const struct insn *in)
{
	uint32_t mask = 1u << X86_RAX | 1u << X86_RCX; /* FNSTSW AX; PCMPxSTRI's ECX: rare enough not to tell apart */

	if (in->flags & INSN_REG_GPR)
		mask |= 1u << in->reg;
	if ((in->flags & INSN_RM_GPR) && !(in->flags & INSN_MEM))
		mask |= 1u << in->rm;
	return in->op == X86_OP_X87 || in->map == 3 || (in->flags & (INSN_REG_GPR | INSN_RM_GPR)) ? mask : 0;
}

/* GPRs that the instruction may change, RSP's implied moves apart. */
static uint32_t gprs_written(const struct insn *in)
{
	if (x86_op_info(in->op)->attr & X86_OPA_NATIVE)
		return native_written(in);
	switch (in->op) {
	case X86_OP_CMP: case X86_OP_TEST: case X86_OP_PUSH: case X86_OP_PUSHF: case X86_OP_CLI: case X86_OP_STI: case X86_OP_SWAPGS:
	case X86_OP_BT: case X86_OP_NOP: case X86_OP_PREFETCH: case X86_OP_JCC:
		return 0;
	case X86_OP_MOV: case X86_OP_MOVZX: case X86_OP_MOVSX: case X86_OP_LEA: case X86_OP_POP:
	case X86_OP_ADD: case X86_OP_OR: case X86_OP_ADC: case X86_OP_SBB: case X86_OP_AND: case X86_OP_SUB: case X86_OP_XOR:
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAL: case X86_OP_SAR:
	case X86_OP_NOT: case X86_OP_NEG: case X86_OP_INC: case X86_OP_DEC: case X86_OP_IMUL2: case X86_OP_IMUL3:
	case X86_OP_SETCC: case X86_OP_CMOVCC: case X86_OP_BSWAP: case X86_OP_SHLX: case X86_OP_SHRX: case X86_OP_SARX: case X86_OP_RORX:
	case X86_OP_ANDN: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC: case X86_OP_TZCNT: case X86_OP_BSF: case X86_OP_BSR:
		return named(in, 0);
	case X86_OP_LEAVE:
		return 1u << X86_RSP | 1u << X86_RBP;
	default:
		return named(in, 0) | named(in, 1) | named(in, 2) | 1u << X86_RAX | 1u << X86_RDX | 1u << X86_RCX;
	}
}

/* Does @in add a constant to 64-bit register @reg and nothing else? */
static bool constant_move(const struct insn *in, unsigned reg, int64_t *by)
{
	bool imm = in->opnd[1] == X86_OPD_IMM && named(in, 0) == 1u << reg && in->opsize == 8;

	switch (in->op) {
	case X86_OP_PUSH: case X86_OP_PUSHF:
		*by = -(int64_t)in->opsize;
		return reg == X86_RSP;
	case X86_OP_POP:
		*by = in->opsize;
		return reg == X86_RSP && in->rm != X86_RSP;
	case X86_OP_ADD:
		*by = (int64_t)in->imm;
		return imm;
	case X86_OP_SUB:
		*by = -(int64_t)in->imm;
		return imm;
	case X86_OP_LEA:
		*by = in->disp;
		return in->opsize == 8 && in->addrsize == 8 && in->reg == reg && in->base == reg && in->index == X86_NOREG;
	default:
		return false;
	}
}

static bool moves_rsp(const struct insn *in)
{
	return (gprs_written(in) >> X86_RSP & 1) || in->op == X86_OP_PUSH || in->op == X86_OP_PUSHF || in->op == X86_OP_POP;
}

/* False: @g does not survive @in. */
static bool group_survives(struct tr_group *g, enum tr_class class, const struct insn *in)
{
	uint32_t written;
	int64_t by;

	if (class == TR_INTERP || class == TR_INTERP_STOP || in->op == X86_OP_CALL || in->op == X86_OP_CALL_IND ||
	    in->op == X86_OP_STOS || in->op == X86_OP_MOVS)
		return false;
	written = gprs_written(in);
	if (moves_rsp(in))
		written |= 1u << X86_RSP;
	if (g->ea.index != X86_NOREG && written >> g->ea.index & 1)
		return false;
	if (g->ea.fixed || g->ea.base == X86_NOREG || !(written >> g->ea.base & 1))
		return true;
	if (!constant_move(in, g->ea.base, &by) || by < -4096 || by > 4096 || g->shift + by < -65536 || g->shift + by > 65536)
		return false;
	g->shift += (int32_t)by;
	return true;
}

/* ---- what an instruction accesses ---- */

struct access {
	struct tr_ea ea;
	enum tlb_kind kind;
	unsigned bytes;
};

/* The one or two accesses that templates make for @in, which is followed by @next. */
static unsigned accesses_of(struct tr *t, enum tr_class class, const struct insn *in, uint64_t next, struct access a[2])
{
	unsigned n = 0, word = tr_stack_bytes(t);
	bool custom = class == TR_CUSTOM;

	if ((in->flags & INSN_MEM) && in->mem_bytes && in->op != X86_OP_LEA && in->op != X86_OP_PREFETCH && in->op != X86_OP_NOP &&
	    !(custom && in->op == X86_OP_BT))
		a[n++] = (struct access){ tr_ea_at(t, in, next), !custom && (in->mem_access & INSN_ACCESS_W) ? TLB_WRITE : TLB_READ, in->mem_bytes };
	if (!custom)
		return n;
	if (in->op == X86_OP_PUSH || in->op == X86_OP_PUSHF || in->op == X86_OP_CALL || in->op == X86_OP_CALL_IND)
		a[n++] = (struct access){ tr_ea_stack(t, X86_RSP, -(int32_t)word), TLB_WRITE, word };
	else if (in->op == X86_OP_POP || in->op == X86_OP_RET)
		a[n++] = (struct access){ tr_ea_stack(t, X86_RSP, 0), TLB_READ, word };
	else if (in->op == X86_OP_LEAVE)
		a[n++] = (struct access){ tr_ea_stack(t, X86_RBP, 0), TLB_READ, word };
	return n;
}

bool tr_accesses_memory(enum tr_class class, const struct insn *in)
{
	switch (in->op) {
	case X86_OP_PUSH: case X86_OP_POP: case X86_OP_CALL: case X86_OP_CALL_IND: case X86_OP_RET: case X86_OP_LEAVE:
		return class == TR_CUSTOM;
	case X86_OP_LEA: case X86_OP_PREFETCH: case X86_OP_NOP:
		return false;
	default:
		return (in->flags & INSN_MEM) && in->mem_bytes;
	}
}

static bool groupable(const struct tr *t, const struct tr_ea *ea, unsigned bytes)
{
	if (!t->groups_on || !ea->wide || bytes > 64)
		return false;
	return !ea->fixed || ea->seg_base != X86_NSEG || (ea->addr & 0xfff) + bytes <= 4096;
}

static bool fixed_page(const struct tr_ea *ea)
{
	return ea->fixed && ea->seg_base == X86_NSEG;
}

/* Where @ea lies on the group's scale; false: it has another base. */
static bool same_base(const struct tr_group *g, const struct tr_ea *ea, int64_t *at)
{
	if (ea->seg_base != g->ea.seg_base || ea->fixed != g->ea.fixed || !ea->wide)
		return false;
	if (fixed_page(ea)) {
		*at = (int64_t)(ea->addr & 0xfff);
		return ea->addr >> 12 == g->ea.addr >> 12;
	}
	if (ea->fixed) { /* FS or GS and a constant */
		*at = (int64_t)ea->addr;
		return *at == (int32_t)*at;
	}
	*at = (int64_t)ea->disp + g->shift;
	return ea->base == g->ea.base && ea->index == g->ea.index && (ea->index == X86_NOREG || ea->scale == g->ea.scale);
}

static bool kind_fits(const struct tr_group *g, enum tlb_kind kind)
{
	return kind == TLB_READ || g->kind == TLB_WRITE;
}

/*
 * Widen @g over what follows instruction @first (included); returns how many
 * accesses it will serve.
 */
static unsigned group_extend(struct tr *t, struct tr_group *g, unsigned first, uint64_t rip)
{
	struct tr_group walk = *g;
	unsigned uses = 0;

	for (unsigned i = first; i < t->n; i++) {
		const struct insn *in = &t->insns[i];
		struct access a[2];
		unsigned n = t->class[i] == TR_INTERP || t->class[i] == TR_INTERP_STOP ? 0 : accesses_of(t, t->class[i], in, rip + in->len, a);

		for (unsigned k = 0; k < n; k++) {
			int64_t at, lo, hi;

			if (!groupable(t, &a[k].ea, a[k].bytes) || !same_base(&walk, &a[k].ea, &at) || !kind_fits(&walk, a[k].kind))
				continue;
			lo = MIN(at, (int64_t)walk.lo);
			hi = MAX(at + a[k].bytes, (int64_t)walk.hi);
			if (!fixed_page(&a[k].ea) && hi - lo > GROUP_SPAN_MAX)
				continue;
			walk.lo = (int32_t)lo;
			walk.hi = (int32_t)hi;
			uses++;
		}
		rip += in->len;
		if (!group_survives(&walk, t->class[i], in))
			break;
	}
	g->lo = walk.lo;
	g->hi = walk.hi;
	return uses;
}

/* ---- during emission ---- */

void tr_groups_close(struct tr *t)
{
	for (unsigned i = 0; i < TR_GROUPS; i++)
		t->group[i].open = false;
	t->s1_group = TR_NO_GROUP;
}

void tr_groups_after(struct tr *t)
{
	for (unsigned i = 0; i < TR_GROUPS; i++)
		if (t->group[i].open && !group_survives(&t->group[i], t->class[t->i], t->in))
			t->group[i].open = false;
	if (t->s1_group != TR_NO_GROUP && !t->group[t->s1_group].open)
		t->s1_group = TR_NO_GROUP;
}

static unsigned group_find(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes)
{
	for (unsigned i = 0; i < TR_GROUPS; i++) {
		const struct tr_group *g = &t->group[i];
		int64_t at;

		if (g->open && kind_fits(g, kind) && same_base(g, ea, &at) && (fixed_page(ea) || (at >= g->lo && at + bytes <= g->hi)))
			return i;
	}
	return TR_NO_GROUP;
}

static unsigned slot_for_new(struct tr *t)
{
	unsigned slot = t->next_group++ % TR_GROUPS;

	if (t->s1_group == slot)
		t->s1_group = TR_NO_GROUP;
	return slot;
}

/* Check a group around @ea now, if it will serve at least @least accesses. */
static bool group_open(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes, unsigned least)
{
	struct tr_group g = { .open = true, .ea = *ea, .kind = kind };
	int64_t at;
	unsigned slot;

	if (!groupable(t, ea, bytes) || !same_base(&g, ea, &at))
		return false;
	g.lo = (int32_t)at;
	g.hi = (int32_t)at + (int32_t)bytes;
	if (group_extend(t, &g, t->i, t->rip) < least)
		return false;
	slot = slot_for_new(t);
	g.slot = (uint8_t)slot;
	t->group[slot] = g;
	tr_group_check(t, &t->group[slot]);
	t->s1_group = slot;
	return true;
}

/* The operand for @ea inside the open group @n, with the delta in S1. */
static struct host_mem group_operand(struct tr *t, const struct tr_ea *ea, unsigned n)
{
	struct emit *e = &t->hot;
	struct host_mem m = { .base = HR_S1, .index = HR_NONE, .disp = ea->disp };

	if (t->s1_group != n)
		emit_load(e, HR_S1, gs_mem(offsetof(struct soft_vcpu, group_delta) + 8 * (size_t)n));
	t->s1_group = n;
	t->free = 1;
	if (ea->fixed) {
		m.disp = ea->seg_base == X86_NSEG ? (int32_t)(ea->addr & 0xfff) : (int32_t)ea->addr;
		return m;
	}
	if (ea->index == X86_NOREG && ea->base != X86_NOREG && !tr_in_memory(ea->base)) {
		m.index = HR_S1;
		m.base = (uint8_t)tr_host_gpr(ea->base);
		return m;
	}
	/* Both scratch registers: whoever needs one more folds the operand with tr_fold(). */
	if (!tr_offset(t, e, ea, HR_S0)) {
		t->s1_group = TR_NO_GROUP;
		emit_load(e, HR_S1, gs_mem(offsetof(struct soft_vcpu, group_delta) + 8 * (size_t)n));
	}
	t->free = 0;
	return (struct host_mem){ .base = HR_S0, .index = HR_S1 };
}

bool tr_group_access(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes, struct host_mem *m)
{
	unsigned n;

	if (!groupable(t, ea, bytes))
		return false;
	n = group_find(t, ea, kind, bytes);
	if (n == TR_NO_GROUP) {
		if (!group_open(t, ea, kind, bytes, 2))
			return false;
		n = t->s1_group;
	}
	*m = group_operand(t, ea, n);
	return true;
}

/* May @in raise a fault of its own once its accesses are checked? */
static bool quiet(enum tr_class class, const struct insn *in)
{
	return class != TR_INTERP && class != TR_INTERP_STOP && in->op != X86_OP_DIV && in->op != X86_OP_IDIV &&
	       !(x86_op_info(in->op)->attr & (X86_OPA_NATIVE | X86_OPA_BRANCH));
}

/*
 * Before instruction i, where flags are dead: if they are live at the next
 * accesses, check these now, so that the flags need no saving there.
 */
void tr_groups_hoist(struct tr *t)
{
	uint64_t rip = t->rip;
	struct tr_group start[TR_GROUPS];

	if (!t->groups_on || t->live[t->i] || !t->live[t->i + 1])
		return;
	__builtin_memcpy(start, t->group, sizeof(start));
	for (unsigned i = t->i; i < t->n && (i == t->i || t->live[i]) && quiet(t->class[i], &t->insns[i]); i++) {
		const struct insn *in = &t->insns[i];
		struct access a[2];
		unsigned n = accesses_of(t, t->class[i], in, rip + in->len, a);

		for (unsigned k = 0; k < n; k++) {
			int64_t shift = 0, at;
			struct tr_group probe = { .ea = a[k].ea };

			if (group_find(t, &a[k].ea, a[k].kind, a[k].bytes) != TR_NO_GROUP)
				continue;
			/* Only the stack, whose pointer moves by constants, is worth the trouble. */
			if (a[k].ea.fixed || a[k].ea.base != X86_RSP || a[k].ea.index != X86_NOREG)
				goto out;
			for (unsigned j = t->i; j < i; j++) {
				int64_t by = 0;

				if (moves_rsp(&t->insns[j]) && !constant_move(&t->insns[j], X86_RSP, &by))
					goto out;
				shift += by;
			}
			probe.ea.disp = (int32_t)(a[k].ea.disp + shift);
			if (shift < -4096 || shift > 4096 || !same_base(&probe, &probe.ea, &at))
				goto out;
			__builtin_memcpy(t->group, start, sizeof(start));
			(void)group_open(t, &probe.ea, a[k].kind, a[k].bytes, 1);
			return;
		}
		for (unsigned g = 0; g < TR_GROUPS; g++)
			if (t->group[g].open && !group_survives(&t->group[g], t->class[i], in))
				t->group[g].open = false;
		rip += in->len;
	}
out:
	__builtin_memcpy(t->group, start, sizeof(start));
}
