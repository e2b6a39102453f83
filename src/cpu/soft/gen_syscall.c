/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL and SYSRET between 64-bit user and kernel code, as Linux uses them.
 * Conditions that are not the usual ones are found before anything has changed
 * and go to the interpreter: flags that the kernel does not mask, a target that
 * is not a user's, an interrupt that waited for SYSRET to turn interrupts on.
 * Both end at the indirect-branch table, which polls (SOFT-CPU.md F2).
 */
#include "cpu/soft/tr.h"
#include "cpu/x86/system.h"

/* RFLAGS that SYSCALL must clear for the template: what generated code relies on being clear, and the arithmetic flags. */
#define MASKED (X86_FLAGS_ARITH | X86_FLAG_AC | X86_FLAG_TF)
/* RFLAGS that the template for SYSRET can load; reserved bits are ignored as the processor does. */
#define RESTORABLE (X86_FLAGS_ARITH | X86_FLAG_IF | X86_FLAG_ID | X86_FLAG_ONE)
#define REFUSED (X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_VIF | X86_FLAG_VIP)

bool tr_syscall_inline(const struct tr *t, const struct insn *in)
{
	if (!t->is64 || !(t->b->key & SOFT_KEY_SYSCALL) || t->v->vm->options.noibtc)
		return false;
	if (in->op == X86_OP_SYSCALL)
		return tr_tlb_mode(t) == TLB_USER;
	return in->op == X86_OP_SYSRET && in->opsize == 8 && (t->b->key & SOFT_KEY_CPL0) && tr_tlb_mode(t) == TLB_KERNEL;
}

static void alu32(struct emit *e, unsigned ext, unsigned reg, uint32_t imm)
{
	emit_op_reg(e, 0, 0, 0x81, ext, reg);
	emit32(e, imm);
}

static void store_imm8(struct emit *e, struct host_mem m, unsigned value)
{
	emit_op_mem(e, 0, 0, 0xc6, 0, &m);
	emit8(e, value);
}

/* Load segment @seg as SYSCALL and SYSRET do: a flat one of which the selector comes from STAR's word @word, moved by @add. */
static void load_segment(struct emit *e, unsigned seg, unsigned word, int32_t add, struct x86_segment flat)
{
	size_t at = offsetof(struct x86_state, seg) + seg * sizeof(struct x86_segment);
	struct host_mem star = gs_mem(offsetof(struct x86_state, msr.star) + 2 * (size_t)word), m = gs_mem(at);

	/* sel, attr and limit are one word of eight bytes: put the selector under the rest. */
	emit_op_mem(e, 0, 1, 0xb7, HR_S1, &star); /* movzx */
	if (add)
		emit_lea32(e, HR_S1, (struct host_mem){ .base = HR_S1, .index = HR_NONE, .disp = add });
	alu32(e, 4, HR_S1, 0xfffc);
	if (flat.sel & 3)
		alu32(e, 1, HR_S1, 3);
	emit_op_mem(e, EMIT_66, 0, 0x89, HR_S1, &m);
	m.disp = (int32_t)(at + offsetof(struct x86_segment, attr));
	emit_op_mem(e, EMIT_66, 0, 0xc7, 0, &m);
	emit8(e, flat.attr & 0xff);
	emit8(e, flat.attr >> 8);
	m.disp = (int32_t)(at + offsetof(struct x86_segment, limit));
	emit_op_mem(e, 0, 0, 0xc7, 0, &m);
	emit32(e, UINT32_MAX);
	m.disp = (int32_t)(at + offsetof(struct x86_segment, base));
	emit_op_mem(e, EMIT_W, 0, 0xc7, 0, &m);
	emit32(e, 0);
}

static uint64_t otherwise(struct tr *t)
{
	uint64_t here = emit_rx(&t->cold, t->cold.p);

	tr_interp_cold(t);
	return here;
}

static void park(struct tr *t)
{
	if (!t->parked)
		emit_park_flags(&t->hot);
	t->parked = true;
}

static void gen_syscall(struct tr *t)
{
	struct emit *e = &t->hot;
	uint64_t slow;

	park(t);
	slow = otherwise(t);
	emit_load32(e, HR_S1, GS_CPU(s.msr.sfmask));
	emit_op_reg(e, 0, 0, 0xf7, 2, HR_S1); /* not */
	emit_op_reg(e, 0, 0, 0xf7, 0, HR_S1); /* test */
	emit32(e, MASKED);
	emit_jcc(e, 5, slow);
	tr_flags_image(t, HR_S0, HR_S1);
	emit_store(e, GS_GPR(X86_R11), HR_S0);
	emit_imm(e, HR_RCX, t->next);
	emit_load32(e, HR_S1, GS_CPU(s.msr.sfmask));
	emit_op_reg(e, 0, 0, 0xf7, 2, HR_S1);
	emit_op_reg(e, 0, 0, 0x23, HR_S0, HR_S1);
	alu32(e, 1, HR_S0, X86_FLAG_ONE);
	emit_store(e, GS_CPU(s.rflags), HR_S0);
	load_segment(e, X86_CS, 2, 0, x86_flat_code(0, 0, true));
	load_segment(e, X86_SS, 2, 8, x86_flat_data(0, 0));
	store_imm8(e, GS_CPU(cpl), 0);
	store_imm8(e, GS_CPU(align_check), 0);
	store_imm8(e, GS_CPU(tlb_mode), TLB_KERNEL);
	emit_store(e, gs_mem(offsetof(struct soft_vcpu, shadow_rsp) + 8 * TLB_USER), HR_RSP);
	emit_load(e, HR_RSP, gs_mem(offsetof(struct soft_vcpu, shadow_base) + 8 * TLB_KERNEL));
	/* All arithmetic flags are masked: make them clear. */
	emit_imm(e, HR_S0, 2);
	alu32(e, 7, HR_S0, 1);
	emit_load(e, HR_S0, GS_CPU(s.msr.lstar));
	emit_jmp(e, tr_stub(t, t->v->stubs.dispatch[TLB_KERNEL]));
}

static void gen_sysret(struct tr *t)
{
	struct emit *e = &t->hot;
	struct host_mem ah = gs_mem(offsetof(struct soft_vcpu, park_flags) + 1), of = GS_FIELD(park_flags), deferred = GS_FIELD(deferred);
	uint64_t slow;

	park(t);
	slow = otherwise(t);
	emit_load(e, HR_S0, GS_GPR(X86_R11));
	emit_op_reg(e, 0, 0, 0xf7, 0, HR_S0);
	emit32(e, REFUSED);
	emit_jcc(e, 5, slow);
	emit_op_mem(e, 0, 0, 0x83, 7, &deferred);
	emit8(e, 0);
	emit_jcc(e, 5, slow);
	emit_mov(e, HR_S1, HR_RCX);
	emit_op_reg(e, EMIT_W, 0, 0xc1, 5, HR_S1); /* shr 47: not in the user's half? */
	emit8(e, 47);
	emit_jcc(e, 5, slow);
	alu32(e, 4, HR_S0, RESTORABLE);
	alu32(e, 1, HR_S0, X86_FLAG_ONE);
	emit_store(e, GS_CPU(s.rflags), HR_S0);
	emit_op_mem(e, EMIT_REX, 0, 0x88, HR_S0, &ah);
	emit_op_reg(e, 0, 0, 0xc1, 5, HR_S0);
	emit8(e, 11);
	alu32(e, 4, HR_S0, 1);
	emit_op_mem(e, EMIT_REX, 0, 0x88, HR_S0, &of);
	load_segment(e, X86_CS, 3, 16, x86_flat_code(0, 3, true));
	load_segment(e, X86_SS, 3, 8, x86_flat_data(0, 3));
	store_imm8(e, GS_CPU(cpl), 3);
	store_imm8(e, GS_CPU(tlb_mode), TLB_USER);
	emit_load(e, HR_S1, gs_mem(offsetof(struct soft_vcpu, shadow_base) + 8 * TLB_KERNEL));
	emit_store(e, gs_mem(offsetof(struct soft_vcpu, shadow_rsp) + 8 * TLB_KERNEL), HR_S1);
	emit_load(e, HR_RSP, gs_mem(offsetof(struct soft_vcpu, shadow_rsp) + 8 * TLB_USER));
	emit_unpark_flags(e);
	emit_mov(e, HR_S0, HR_RCX);
	emit_jmp(e, tr_stub(t, t->v->stubs.dispatch[TLB_USER]));
}

bool tr_syscall(struct tr *t)
{
	if (t->in->op == X86_OP_SYSCALL)
		gen_syscall(t);
	else
		gen_sysret(t);
	return true;
}
