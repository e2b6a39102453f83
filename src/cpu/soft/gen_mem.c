/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory operands: compute the address, look it up in the soft TLB, hand back
 * a host operand. A miss goes to a cold path which recomputes the address and
 * calls C; C fills the TLB and comes back to the start of the check, or has the
 * interpreter do the whole instruction (MMIO, page crossing, pages with code).
 *
 * With flags dead or parked (S0 = R10, S1 = R11; base RBX, displacement 18h):
 *     lea  s0, [rbx+18h]
 *     rorx s1, s0, 8               ; mov and shr without BMI2
 *     and  s1d, 0fff0h             ; the entry's offset
 *     sub  s0, gs:tag[s1]          ; the offset in the page, if it is the entry's
 *     cmp  s0, 4096-8              ; a crossing misses, too
 *     ja   cold
 *     mov  s1, gs:page[s1]
 *     ...  [s0+s1]
 *
 * Checks for a group (gen_group.c) get the delta between linear and host address
 * instead, which serves other displacements.
 */
#include "cpu/soft/tr.h"

struct tr_ea tr_ea_of(const struct tr *t, const struct insn *in)
{
	return tr_ea_at(t, in, t->next);
}

struct tr_ea tr_ea_at(const struct tr *t, const struct insn *in, uint64_t next)
{
	struct tr_ea ea = { .base = in->base, .index = in->index, .scale = in->scale, .seg_base = X86_NSEG };

	ea.wide = t->is64 && in->addrsize == 8;
	ea.disp = (int32_t)in->disp;
	if (in->seg == X86_FS || in->seg == X86_GS)
		ea.seg_base = in->seg;
	if (in->base == X86_REG_RIP) {
		ea.fixed = true;
		ea.addr = next + (uint64_t)in->disp;
	} else if (in->base == X86_NOREG && in->index == X86_NOREG) {
		ea.fixed = true;
		ea.addr = (uint64_t)in->disp;
	}
	if (!ea.wide)
		ea.addr = (uint32_t)ea.addr;
	return ea;
}

struct tr_ea tr_ea_stack(const struct tr *t, unsigned base, int32_t disp)
{
	return (struct tr_ea){ .base = (uint8_t)base, .index = X86_NOREG, .seg_base = X86_NSEG, .wide = t->is64, .disp = disp };
}

/* The offset part of the address, without segment base. @tmp may be HR_NONE if at most one register is in memory. */
static void offset_into(struct tr *t, struct emit *e, const struct tr_ea *ea, unsigned dst, unsigned tmp)
{
	struct host_mem m = { .base = HR_NONE, .index = HR_NONE, .scale = ea->scale, .disp = ea->disp };
	unsigned spare = dst;

	(void)t;
	if (ea->computed) {
		emit_load(e, dst, GS_FIELD(tmp[1]));
		return;
	}
	if (ea->fixed) {
		emit_imm(e, dst, ea->addr);
		return;
	}
	if (ea->base != X86_NOREG) {
		m.base = (uint8_t)tr_host_gpr(ea->base);
		if (tr_in_memory(ea->base)) {
			emit_load(e, dst, GS_GPR(ea->base));
			m.base = (uint8_t)dst;
			spare = tmp;
		}
	}
	if (ea->index != X86_NOREG) {
		m.index = (uint8_t)tr_host_gpr(ea->index);
		if (tr_in_memory(ea->index)) {
			emit_load(e, spare, GS_GPR(ea->index));
			m.index = (uint8_t)spare;
		}
	}
	if (ea->wide)
		emit_lea(e, dst, m);
	else
		emit_lea32(e, dst, m);
}

bool tr_offset(struct tr *t, struct emit *e, const struct tr_ea *ea, unsigned dst)
{
	bool both = !ea->fixed && ea->base != X86_NOREG && ea->index != X86_NOREG && tr_in_memory(ea->base) && tr_in_memory(ea->index);

	offset_into(t, e, ea, dst, both ? HR_S1 : HR_NONE);
	return !both;
}

static struct host_mem seg_base_mem(const struct tr_ea *ea)
{
	return gs_mem(offsetof(struct x86_state, seg) + ea->seg_base * sizeof(struct x86_segment) + offsetof(struct x86_segment, base));
}

void tr_linear(struct tr *t, struct emit *e, const struct tr_ea *ea, unsigned dst)
{
	unsigned tmp = dst == HR_S0 ? HR_S1 : HR_S0;
	struct host_mem sum = { .base = (uint8_t)dst, .index = (uint8_t)tmp };

	offset_into(t, e, ea, dst, tmp);
	if (ea->seg_base == X86_NSEG)
		return;
	emit_load(e, tmp, seg_base_mem(ea));
	if (t->is64)
		emit_lea(e, dst, sum);
	else
		emit_lea32(e, dst, sum);
}

/* Behind the hot code: R10 = linear address, call C, try again. */
static uint64_t cold_miss(struct tr *t, const struct tr_ea *ea, const uint32_t slow[2], unsigned bytes, uint64_t retry)
{
	struct emit *c = &t->cold;
	bool group = slow != t->v->stubs.slow[TLB_READ] && slow != t->v->stubs.slow[TLB_WRITE];
	uint64_t apart = group && bytes > 1 ? tr_group_exit(t) : 0, here = emit_rx(c, c->p);

	tr_linear(t, c, ea, HR_S0);
	if (apart) { /* a group on two pages */
		emit_op_reg(c, 0, 0, 0x8b, HR_S1, HR_S0);
		emit_op_reg(c, 0, 0, 0x81, 4, HR_S1);
		emit32(c, 0xfff);
		emit_op_reg(c, 0, 0, 0x81, 7, HR_S1);
		emit32(c, 4096 - bytes);
		emit_jcc(c, 7, apart);
	}
	emit_call(c, tr_stub(t, slow[t->parked]));
	emit_jmp(c, retry);
	emit64(c, t->rip);
	emit8(c, bytes & 0xff);
	emit8(c, bytes >> 8);
	emit8(c, t->counted - t->i);
	emit32(c, (uint32_t)(t->b - t->v->blocks));
	return here;
}

static size_t tlb_offset(const struct tr *t, enum tlb_kind kind, size_t column)
{
	return offsetof(struct x86_cpu, tlb) + (tr_tlb_mode(t) * TLB_NKINDS + kind) * sizeof(struct x86_tlb_array) + column;
}
#define TLB_TAG offsetof(struct x86_tlb_entry, tag)
#define TLB_PAGE offsetof(struct x86_tlb_entry, page)
#define TLB_ENTRY_SHIFT 4
_Static_assert(sizeof(struct x86_tlb_entry) == 1u << TLB_ENTRY_SHIFT, "index_into() scales by it");

static struct host_mem tlb_field(const struct tr *t, enum tlb_kind kind, size_t column)
{
	return (struct host_mem){ .base = HR_S1, .index = HR_NONE, .gs = true, .disp = (int32_t)tlb_offset(t, kind, column) };
}

/* The address is a constant: so are the TLB slot and the tag. S1 = the page. */
static void lookup_fixed(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, const uint32_t slow[2], unsigned bytes)
{
	struct emit *e = &t->hot;
	uint64_t retry = emit_rx(e, e->p), page = ea->addr & ~UINT64_C(0xfff);
	size_t slot = (ea->addr >> 12 & (TLB_ENTRIES - 1)) << TLB_ENTRY_SHIFT;
	struct host_mem tag = gs_mem(tlb_offset(t, kind, TLB_TAG) + slot);

	if ((int64_t)page == (int32_t)page) {
		emit_op_mem(e, EMIT_W, 0, 0x81, 7, &tag); /* cmp m, imm32 */
		emit32(e, (uint32_t)page);
	} else {
		emit_imm(e, HR_S0, page);
		emit_op_mem(e, EMIT_W, 0, 0x3b, HR_S0, &tag);
	}
	emit_jcc(e, 5, cold_miss(t, ea, slow, bytes, retry));
	emit_load(e, HR_S1, gs_mem(tlb_offset(t, kind, TLB_PAGE) + slot));
}

/* S0 = linear address of @ea, S1 = the offset of its entry in the TLB. */
static void index_into(struct tr *t, const struct tr_ea *ea)
{
	struct emit *e = &t->hot;

	tr_linear(t, e, ea, HR_S0);
	if (t->v->vm->use_bmi2) {
		emit_vex_reg(e, 3, 3, 0, 0, 0xf0, HR_S1, 0, HR_S0); /* rorx; bits 12 to 23 */
		emit8(e, 12 - TLB_ENTRY_SHIFT);
	} else {
		emit_op_reg(e, 0, 0, 0x8b, HR_S1, HR_S0);
		emit_op_reg(e, 0, 0, 0xc1, 5, HR_S1);
		emit8(e, 12 - TLB_ENTRY_SHIFT);
	}
	emit_op_reg(e, 0, 0, 0x81, 4, HR_S1);
	emit32(e, (TLB_ENTRIES - 1) << TLB_ENTRY_SHIFT);
}

/* S1 = delta of the page that holds all @bytes at @ea. */
static void lookup_delta(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, const uint32_t slow[2], unsigned bytes)
{
	struct emit *e = &t->hot;
	struct host_mem tag = tlb_field(t, kind, TLB_TAG);
	uint64_t retry = emit_rx(e, e->p);

	index_into(t, ea);
	if (bytes > 1)
		emit_lea(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_NONE, .disp = (int32_t)bytes - 1 });
	emit_alu_imm(e, 4, HR_S0, -4096);
	emit_op_mem(e, EMIT_W, 0, 0x3b, HR_S0, &tag);
	emit_jcc(e, 5, cold_miss(t, ea, slow, bytes, retry));
	emit_load(e, HR_S1, tlb_field(t, kind, TLB_PAGE));
	emit_op_reg(e, EMIT_W, 0, 0x2b, HR_S1, HR_S0);
}

/* S0 = offset in the page that holds all @bytes at @ea, S1 = the page: nothing is computed twice. */
static void lookup_page(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, const uint32_t slow[2], unsigned bytes)
{
	struct emit *e = &t->hot;
	struct host_mem tag = tlb_field(t, kind, TLB_TAG);
	uint64_t retry = emit_rx(e, e->p);

	index_into(t, ea);
	emit_op_mem(e, EMIT_W, 0, 0x2b, HR_S0, &tag); /* sub */
	emit_alu_imm(e, 7, HR_S0, 4096 - (int32_t)bytes);
	emit_jcc(e, 7, cold_miss(t, ea, slow, bytes, retry));
	emit_load(e, HR_S1, tlb_field(t, kind, TLB_PAGE));
}

static void add_seg_base(struct tr *t, const struct tr_ea *ea, unsigned reg)
{
	struct host_mem base = seg_base_mem(ea);

	if (ea->seg_base != X86_NSEG)
		emit_op_mem(&t->hot, EMIT_W, 0, 0x03, reg, &base);
}

void tr_park(struct tr *t)
{
	if (t->live[t->i] && !t->parked) {
		emit_park_flags(&t->hot);
		t->parked = true;
	}
}

void tr_group_check(struct tr *t, const struct tr_group *g)
{
	const uint32_t *slow = t->v->stubs.slow_group[g->kind];
	struct tr_ea ea = g->ea;

	tr_park(t);
	if (ea.fixed && ea.seg_base == X86_NSEG) {
		ea.addr &= ~UINT64_C(0xfff);
		lookup_fixed(t, &ea, g->kind, slow, 1);
	} else {
		ea.disp = g->lo;
		if (ea.fixed)
			ea.addr = (uint64_t)(int64_t)g->lo;
		lookup_delta(t, &ea, g->kind, slow, (unsigned)(g->hi - g->lo));
		add_seg_base(t, &ea, HR_S1);
	}
	emit_store(&t->hot, gs_mem(offsetof(struct soft_vcpu, group_delta) + 8 * (size_t)g->slot), HR_S1);
}

static struct host_mem check_fixed(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes)
{
	lookup_fixed(t, ea, kind, t->v->stubs.slow[kind], bytes);
	t->free = 1;
	return (struct host_mem){ .base = HR_S1, .index = HR_NONE, .disp = (int32_t)(ea->addr & 0xfff) };
}

void tr_fold(struct tr *t, struct host_mem *m)
{
	if (t->free)
		return;
	emit_lea(&t->hot, HR_S0, *m);
	*m = (struct host_mem){ .base = HR_S0, .index = HR_NONE };
	t->free = 2;
	t->s1_group = TR_NO_GROUP;
}

struct host_mem tr_check_alone(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes)
{
	t->s1_group = TR_NO_GROUP;
	tr_park(t);
	if (ea->fixed && ea->seg_base == X86_NSEG && (ea->addr & 0xfff) + bytes <= 4096)
		return check_fixed(t, ea, kind, bytes);
	lookup_page(t, ea, kind, t->v->stubs.slow[kind], bytes);
	t->free = 0;
	return (struct host_mem){ .base = HR_S0, .index = HR_S1 };
}

struct host_mem tr_check(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes)
{
	struct host_mem m;

	return tr_group_access(t, ea, kind, bytes, &m) ? m : tr_check_alone(t, ea, kind, bytes);
}
