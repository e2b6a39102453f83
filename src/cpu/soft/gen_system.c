/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates for instructions of the kernel that are frequent and simple: CLI and
 * STI, STAC and CLAC, SWAPGS, PUSHF, RDTSC, reading segment registers. Only for
 * 64-bit code; what is not plain goes to the interpreter. All keep EFLAGS or park
 * the guest's flags first.
 */
#include "cpu/soft/tr.h"

#define FLAGS_BYTE(n) gs_mem(offsetof(struct x86_state, rflags) + (n))

static bool kernel(const struct tr *t)
{
	return t->is64 && (t->b->key & SOFT_KEY_CPL0);
}

/* STAC and CLAC that change how data accesses are checked, and with it the key of what follows. */
static bool changes_mode(const struct tr *t, const struct insn *in)
{
	return (in->op == X86_OP_STAC && tr_tlb_mode(t) == TLB_KERNEL) || (in->op == X86_OP_CLAC && tr_tlb_mode(t) == TLB_KERNEL_AC);
}

bool tr_system_inline(const struct tr *t, const struct insn *in)
{
	switch (in->op) {
	case X86_OP_SYSCALL: case X86_OP_SYSRET:
		return tr_syscall_inline(t, in);
	case X86_OP_CLI: case X86_OP_STI:
		return kernel(t) && t->v->vm->use_pext;
	case X86_OP_STAC: case X86_OP_CLAC:
		return kernel(t) && (t->b->key & SOFT_KEY_SMAP);
	case X86_OP_SWAPGS:
		return kernel(t);
	case X86_OP_PUSHF:
		return t->is64 && in->opsize == 8;
	case X86_OP_RDTSC: case X86_OP_RDTSCP:
		return t->is64 && (t->b->key & SOFT_KEY_TSC);
	case X86_OP_MOV_FROM_SREG:
		return t->is64 && !(in->flags & INSN_MEM) && in->reg < X86_NSEG;
	default:
		return false;
	}
}

bool tr_ends_block(const struct tr *t, enum tr_class class, const struct insn *in)
{
	return class == TR_INTERP_STOP || (x86_op_info(in->op)->attr & X86_OPA_BRANCH) ||
	       (class == TR_CUSTOM && (changes_mode(t, in) || in->op == X86_OP_SYSCALL || in->op == X86_OP_SYSRET));
}

/* s.rflags with IF cleared, in S0. */
static void load_flags_without_if(struct tr *t)
{
	struct host_mem mask = GS_FIELD(no_if_mask);

	emit_load(&t->hot, HR_S0, GS_CPU(s.rflags));
	emit_vex_mem(&t->hot, 2, 2, 0, 1, 0xf5, HR_S0, HR_S0, &mask); /* pext, pdep: bit 9 drops out and comes back as 0 */
	emit_vex_mem(&t->hot, 2, 3, 0, 1, 0xf5, HR_S0, HR_S0, &mask);
}

static void gen_cli(struct tr *t)
{
	load_flags_without_if(t);
	emit_store(&t->hot, GS_CPU(s.rflags), HR_S0);
}

/*
 * Interrupts stay off for one more instruction: emit_block() ends the shadow.
 * One that waited is for the run loop, so the interpreter does the STI then.
 */
static bool gen_sti(struct tr *t)
{
	struct emit *e = &t->hot, *c = &t->cold;
	struct host_mem shadow = GS_CPU(s.interrupt_shadow);
	uint64_t waiting;
	uint8_t *none;

	if (t->i + 1 >= t->n || (t->class[t->i + 1] != TR_NATIVE && t->class[t->i + 1] != TR_CUSTOM))
		return false;
	waiting = emit_rx(c, c->p);
	tr_interp_cold(t);
	t->s1_group = TR_NO_GROUP;
	emit_mov(e, HR_S1, HR_RCX);
	emit_load32(e, HR_RCX, GS_FIELD(deferred));
	none = emit_jrcxz8(e);
	emit_mov(e, HR_RCX, HR_S1);
	emit_jmp(e, waiting);
	emit_here8(e, none);
	emit_mov(e, HR_RCX, HR_S1);
	load_flags_without_if(t);
	emit_lea(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_NONE, .disp = X86_FLAG_IF });
	emit_store(e, GS_CPU(s.rflags), HR_S0);
	emit_op_mem(e, 0, 0, 0xc6, 0, &shadow);
	emit8(e, 1);
	t->shadow_until = t->i + 1;
	return true;
}

void tr_end_shadow(struct tr *t)
{
	struct host_mem shadow = GS_CPU(s.interrupt_shadow);

	emit_op_mem(&t->hot, 0, 0, 0xc6, 0, &shadow);
	emit8(&t->hot, 0);
	t->shadow_until = TR_NO_SHADOW;
}

/* AC is bit 2 of its byte and known to be the other way round. */
static void gen_stac_clac(struct tr *t)
{
	struct emit *e = &t->hot;
	bool set = t->in->op == X86_OP_STAC;
	unsigned from = tr_tlb_mode(t), to = set ? TLB_KERNEL_AC : TLB_KERNEL;
	struct host_mem byte = FLAGS_BYTE(2), mode = GS_CPU(tlb_mode);

	if (!changes_mode(t, t->in))
		return;
	emit_op_mem(e, 0, 1, 0xb6, HR_S0, &byte); /* movzx */
	emit_lea32(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_NONE, .disp = set ? 4 : -4 });
	emit_op_mem(e, 0, 0, 0x88, HR_S0, &byte);
	emit_op_mem(e, 0, 0, 0xc6, 0, &mode);
	emit8(e, to);
	emit_store(e, gs_mem(offsetof(struct soft_vcpu, shadow_rsp) + 8 * (size_t)from), HR_RSP);
	emit_load(e, HR_RSP, gs_mem(offsetof(struct soft_vcpu, shadow_rsp) + 8 * (size_t)to));
	tr_groups_close(t);
	tr_exit(t, t->next);
}

static void gen_swapgs(struct tr *t)
{
	struct emit *e = &t->hot;
	struct host_mem gs = gs_mem(offsetof(struct x86_state, seg) + X86_GS * sizeof(struct x86_segment) + offsetof(struct x86_segment, base));

	tr_groups_close(t);
	emit_load(e, HR_S0, gs);
	emit_load(e, HR_S1, GS_CPU(s.msr.kernel_gs_base));
	emit_store(e, gs, HR_S1);
	emit_store(e, GS_CPU(s.msr.kernel_gs_base), HR_S0);
}

static void alu32(struct emit *e, unsigned ext, unsigned reg, uint32_t imm)
{
	emit_op_reg(e, 0, 0, 0x81, ext, reg);
	emit32(e, imm);
}

void tr_flags_image(struct tr *t, unsigned dst, unsigned tmp)
{
	struct emit *e = &t->hot;
	struct host_mem ah = gs_mem(offsetof(struct soft_vcpu, park_flags) + 1), of = GS_FIELD(park_flags);

	emit_op_mem(e, 0, 1, 0xb6, dst, &ah);
	emit_op_mem(e, 0, 1, 0xb6, tmp, &of);
	alu32(e, 4, dst, 0xd5);
	emit_op_reg(e, 0, 0, 0xc1, 4, tmp);
	emit8(e, 11);
	emit_op_reg(e, 0, 0, 0x0b, dst, tmp);
	emit_load32(e, tmp, GS_CPU(s.rflags));
	alu32(e, 4, tmp, ~(uint32_t)(X86_FLAGS_ARITH | X86_FLAG_RF | X86_FLAG_VM));
	emit_op_reg(e, 0, 0, 0x0b, dst, tmp);
}

static void gen_pushf(struct tr *t)
{
	struct emit *e = &t->hot;
	struct host_mem m;
	unsigned spare;

	t->s1_group = TR_NO_GROUP;
	if (!t->parked)
		emit_park_flags(e);
	t->parked = true;
	tr_flags_image(t, HR_S0, HR_S1);
	emit_store(e, GS_FIELD(tmp[1]), HR_S0);
	m = tr_check_stack(t, X86_RSP, -8, TLB_WRITE);
	spare = tr_spare(t, &m);
	emit_load(e, spare, GS_FIELD(tmp[1]));
	tr_store_word(t, m, spare);
	tr_move_rsp(t, -8);
}

static void gen_rdtsc(struct tr *t)
{
	struct emit *e = &t->hot;
	struct host_mem offset = GS_CPU(s.tsc_offset);

	if (t->live[t->i] && !t->parked) {
		emit_park_flags(e);
		t->parked = true;
	}
	if (t->in->op == X86_OP_RDTSCP) { /* waits for the instructions before it */
		emit8(e, 0x0f);
		emit8(e, 0xae);
		emit8(e, 0xe8);
		emit_load32(e, HR_RCX, GS_CPU(s.msr.tsc_aux));
	}
	emit8(e, 0x0f);
	emit8(e, 0x31);
	emit_op_reg(e, EMIT_W, 0, 0xc1, 4, HR_RDX); /* shl rdx, 32 */
	emit8(e, 32);
	emit_op_reg(e, EMIT_W, 0, 0x0b, HR_RAX, HR_RDX);
	emit_op_mem(e, EMIT_W, 0, 0x03, HR_RAX, &offset);
	emit_mov(e, HR_RDX, HR_RAX);
	emit_op_reg(e, EMIT_W, 0, 0xc1, 5, HR_RDX);
	emit8(e, 32);
	emit_op_reg(e, 0, 0, 0x8b, HR_RAX, HR_RAX);
}

static bool gen_mov_from_sreg(struct tr *t)
{
	const struct insn *in = t->in;
	struct host_mem sel = gs_mem(offsetof(struct x86_state, seg) + in->reg * sizeof(struct x86_segment) + offsetof(struct x86_segment, sel));

	if (in->opsize == 2)
		return false;
	if (!tr_in_memory(in->rm)) {
		emit_op_mem(&t->hot, 0, 1, 0xb7, tr_host_gpr(in->rm), &sel);
		return true;
	}
	emit_op_mem(&t->hot, 0, 1, 0xb7, HR_S0, &sel);
	emit_store(&t->hot, GS_GPR(in->rm), HR_S0);
	return true;
}

bool tr_system(struct tr *t)
{
	switch (t->in->op) {
	case X86_OP_SYSCALL: case X86_OP_SYSRET:
		return tr_syscall(t);
	case X86_OP_CLI:
		gen_cli(t);
		return true;
	case X86_OP_STI:
		return gen_sti(t);
	case X86_OP_STAC: case X86_OP_CLAC:
		gen_stac_clac(t);
		return true;
	case X86_OP_SWAPGS:
		gen_swapgs(t);
		return true;
	case X86_OP_PUSHF:
		gen_pushf(t);
		return true;
	case X86_OP_RDTSC: case X86_OP_RDTSCP:
		gen_rdtsc(t);
		return true;
	case X86_OP_MOV_FROM_SREG:
		return gen_mov_from_sreg(t);
	default:
		return false;
	}
}
