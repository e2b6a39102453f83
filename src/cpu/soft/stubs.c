/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed pieces of the code cache: the way in, the ways out, and the bridges
 * from generated code to C. Guest registers live in the host registers of the
 * same name but for RSP (in R15) and R10, R11, R15 (in memory); the arithmetic
 * flags live in EFLAGS. C code is compiled for general registers only, so the
 * guest's vector registers stay where they are across all of this.
 */
#include "cpu/soft/emit.h"

static bool gpr_in_memory(unsigned n)
{
	return n == X86_R10 || n == X86_R11 || n == X86_R15;
}

static void emit_save_gprs(struct emit *e)
{
	for (unsigned n = 0; n < 16; n++)
		if (!gpr_in_memory(n))
			emit_store(e, GS_GPR(n), n == X86_RSP ? HR_GUEST_RSP : n);
}

static void emit_load_gprs(struct emit *e)
{
	for (unsigned n = 0; n < 16; n++)
		if (!gpr_in_memory(n))
			emit_load(e, n == X86_RSP ? HR_GUEST_RSP : n, GS_GPR(n));
}

/* Merge the flags image on top of the stack into s.rflags; clobbers RAX and EFLAGS, pops. GPRs must be saved. */
static void emit_merge_flags(struct emit *e)
{
	emit8(e, 0x58); /* pop rax */
	emit_op_reg(e, 0, 0, 0x81, 4, HR_RAX);
	emit32(e, X86_FLAGS_ARITH);
	emit_load32(e, HR_RCX, GS_CPU(s.rflags));
	emit_op_reg(e, 0, 0, 0x81, 4, HR_RCX);
	emit32(e, ~(uint32_t)X86_FLAGS_ARITH);
	emit_op_reg(e, 0, 0, 0x09, HR_RCX, HR_RAX); /* or eax, ecx */
	emit_store32(e, GS_CPU(s.rflags), HR_RAX);
}

/* Load the arithmetic flags from s.rflags; clobbers RAX, RCX. */
static void emit_load_flags(struct emit *e)
{
	emit_load32(e, HR_RAX, GS_CPU(s.rflags));
	emit_op_reg(e, 0, 0, 0x89, HR_RAX, HR_RCX); /* mov ecx, eax */
	emit_op_reg(e, 0, 0, 0xc1, 5, HR_RCX);      /* shr ecx, 11 */
	emit8(e, 11);
	emit_op_reg(e, 0, 0, 0x83, 4, HR_RCX);      /* and ecx, 1 */
	emit8(e, 1);
	emit_op_reg(e, 0, 0, 0x88, HR_RAX, 4);      /* mov ah, al */
	emit_op_reg(e, 0, 0, 0x88, HR_RCX, HR_RAX); /* mov al, cl */
	emit8(e, 0x04);
	emit8(e, 0x7f);
	emit8(e, 0x9e);
}

static void emit_call_c(struct emit *e, uint64_t fn)
{
	emit_imm(e, HR_RAX, fn);
	emit_op_reg(e, 0, 0, 0xff, 2, HR_RAX);
}

static const uint8_t callee_saved[] = { HR_RBX, HR_RBP, HR_R12, HR_R13, HR_R14, HR_R15 };

/* uint64_t enter(void *code in RDI) */
static void emit_enter(struct emit *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(callee_saved); i++) {
		if (callee_saved[i] >= 8)
			emit8(e, 0x41);
		emit8(e, 0x50 | (callee_saved[i] & 7));
	}
	emit_alu_imm(e, 5, HR_RSP, 8); /* where C functions are called from generated code: 16-byte aligned */
	emit_store(e, GS_FIELD(c_rsp), HR_RSP);
	emit_load(e, HR_RSP, GS_FIELD(jit_rsp));
	emit_mov(e, HR_R10, HR_RDI);
	emit_load_flags(e);
	emit_load_gprs(e);
	emit_jmp_reg(e, HR_R10);
}

/* State is saved; R10 holds the return value. */
static void emit_exit_tail(struct emit *e)
{
	emit_mov(e, HR_RAX, HR_R10);
	emit_alu_imm(e, 0, HR_RSP, 8);
	for (unsigned i = ARRAY_LEN(callee_saved); i-- > 0;) {
		if (callee_saved[i] >= 8)
			emit8(e, 0x41);
		emit8(e, 0x58 | (callee_saved[i] & 7));
	}
	emit8(e, 0xc3);
}

/* From the shadow stack to C's. */
static void emit_switch_stack(struct emit *e)
{
	emit_store(e, GS_FIELD(jit_rsp), HR_RSP);
	emit_load(e, HR_RSP, GS_FIELD(c_rsp));
}

static void emit_exit(struct emit *e)
{
	emit_switch_stack(e);
	emit8(e, 0x9c); /* pushf */
	emit_save_gprs(e);
	emit_merge_flags(e);
	emit_exit_tail(e);
}

/*
 * Called from generated code; on the stack is the return address. C decides:
 * 0 goes back, anything else leaves. Clobbers R10 and R11 only, flags kept.
 */
static void emit_bridge(struct emit *e, uint64_t fn, bool slow)
{
	uint8_t *back;

	emit_switch_stack(e);
	emit8(e, 0x9c);
	emit_save_gprs(e);
	emit_merge_flags(e);
	emit_load(e, HR_RDI, GS_FIELD(self));
	if (slow) {
		emit_mov(e, HR_RSI, HR_R10);
		/* the data lies behind the 5-byte jump at the return address */
		emit_load(e, HR_RDX, GS_FIELD(jit_rsp));
		emit_load(e, HR_RDX, (struct host_mem){ .base = HR_RDX, .index = HR_NONE });
		emit_alu_imm(e, 0, HR_RDX, 5);
	} else {
		emit_mov(e, HR_RSI, HR_R11);
	}
	emit_call_c(e, fn);
	emit_op_reg(e, EMIT_W, 0, 0x85, HR_RAX, HR_RAX);
	emit8(e, 0x74); /* jz back */
	emit8(e, 0);
	back = e->p - 1;
	emit_imm(e, HR_R10, SOFT_EXIT_AGAIN);
	emit_exit_tail(e);
	emit_here8(e, back);
	emit_load_flags(e);
	emit_load_gprs(e);
	emit_load(e, HR_RSP, GS_FIELD(jit_rsp));
	emit8(e, 0xc3);
}

/* For instructions that always end the block: no way back, so no return address is needed. */
static void emit_interp_stop(struct emit *e)
{
	emit_switch_stack(e);
	emit8(e, 0x9c);
	emit_save_gprs(e);
	emit_merge_flags(e);
	emit_load(e, HR_RDI, GS_FIELD(self));
	emit_mov(e, HR_RSI, HR_R11);
	emit_call_c(e, (uint64_t)(uintptr_t)soft_interp_site);
	emit_imm(e, HR_R10, SOFT_EXIT_AGAIN);
	emit_exit_tail(e);
}

/*
 * A RET whose landing pad was another call's, or none: R10 is the target, flags
 * are live. Emptying the shadow stack lets the next calls pair again.
 */
static void emit_dispatch(struct emit *e, struct soft_vcpu *v, unsigned mode)
{
	uint64_t miss = emit_rx(e, e->p);

	emit_op_reg(e, EMIT_W, 0, 0xf7, 2, HR_S0); /* not */
	emit_store(e, GS_CPU(s.rip), HR_S0);
	emit_imm(e, HR_S0, SOFT_EXIT_INDIRECT);
	emit_jmp(e, (uint64_t)(uintptr_t)(v->area.rx + v->stubs.exit_parked));
	v->stubs.ret_miss[mode] = (uint32_t)(e->p - v->area.rw);
	emit_load(e, HR_RSP, gs_mem(offsetof(struct soft_vcpu, shadow_base) + mode * 8));
	v->stubs.dispatch[mode] = (uint32_t)(e->p - v->area.rw);
	emit_park_flags(e);
	emit_ibtc_compare(e, mode);
	emit_jcc(e, 5, miss);
	emit_jmp_mem(e, emit_ibtc_code(mode));
}

static uint32_t emit_pos(struct soft_vcpu *v, struct emit *e)
{
	while ((uintptr_t)e->p % 16)
		emit8(e, 0xcc);
	return (uint32_t)(e->p - v->area.rw);
}

static void emit_slow(struct emit *e, struct soft_vcpu *v, uint32_t at[2], soft_slow_fn *fn)
{
	at[1] = emit_pos(v, e);
	emit_unpark_flags(e);
	at[0] = (uint32_t)(e->p - v->area.rw);
	emit_bridge(e, (uint64_t)(uintptr_t)fn, true);
}

void soft_stubs_emit(struct soft_vcpu *v)
{
	struct emit e = { .p = v->area.rw, .end = v->area.rw + v->area.bytes, .to_rx = (int64_t)(v->area.rx - v->area.rw) };
	struct soft_stubs *s = &v->stubs;

	/* The first byte of the cache is never a block: offset 0 means "none". */
	emit8(&e, 0xcc);
	s->enter = emit_pos(v, &e);
	emit_enter(&e);
	s->exit_parked = emit_pos(v, &e);
	emit_unpark_flags(&e);
	s->exit = (uint32_t)(e.p - v->area.rw);
	emit_exit(&e);
	for (unsigned kind = 0; kind < TLB_NKINDS; kind++) {
		emit_slow(&e, v, s->slow[kind], kind == TLB_WRITE ? soft_slow_write : soft_slow_read);
		emit_slow(&e, v, s->slow_group[kind], kind == TLB_WRITE ? soft_slow_group_write : soft_slow_group_read);
	}
	s->interp = emit_pos(v, &e);
	emit_bridge(&e, (uint64_t)(uintptr_t)soft_interp_site, false);
	s->interp_stop = emit_pos(v, &e);
	emit_interp_stop(&e);
	for (unsigned mode = 0; mode < TLB_NMODES; mode++) {
		(void)emit_pos(v, &e);
		emit_dispatch(&e, v, mode);
	}
	/* The fault hook has stored the registers and the flags itself. */
	s->fault = emit_pos(v, &e);
	emit_switch_stack(&e);
	emit_imm(&e, HR_R10, SOFT_EXIT_STEP);
	emit_exit_tail(&e);
	s->end = emit_pos(v, &e);
	v->code_used = s->end;
	v->cold_used = (uint32_t)(v->area.bytes / 2);
}
