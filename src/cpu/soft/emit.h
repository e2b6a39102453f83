/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small x86-64 assembler for the code cache: hot code grows upwards in the
 * cache, cold code (slow paths, exits) is gathered in a buffer of its own and
 * placed behind the block. Registers are hardware numbers.
 */
#ifndef LODGE_CPU_SOFT_EMIT_H
#define LODGE_CPU_SOFT_EMIT_H

#include "cpu/soft/soft.h"

enum host_reg { HR_RAX, HR_RCX, HR_RDX, HR_RBX, HR_RSP, HR_RBP, HR_RSI, HR_RDI,
		HR_R8, HR_R9, HR_R10, HR_R11, HR_R12, HR_R13, HR_R14, HR_R15, HR_NONE = 0xff };
#define HR_S0 HR_R10 /* scratch */
#define HR_S1 HR_R11
#define HR_GUEST_RSP HR_R15

/* A memory operand of generated code. */
struct host_mem {
	uint8_t base, index, scale; /* HR_NONE allowed */
	bool gs;                    /* GS-relative: the vcpu's own struct */
	int32_t disp;
};

/* A position in the output. `rx` is where the byte at `p` will run. */
struct emit {
	uint8_t *p, *end;
	int64_t to_rx; /* rx address of a byte = its address + to_rx */
	bool full;     /* ran out of room: the result is discarded */
};

static inline void emit8(struct emit *e, unsigned v)
{
	if (unlikely(e->p >= e->end)) {
		e->full = true;
		return;
	}
	*e->p++ = (uint8_t)v;
}

static inline void emit32(struct emit *e, uint32_t v)
{
	if (unlikely(e->end - e->p < 4)) {
		e->full = true;
		return;
	}
	put_le32(e->p, v);
	e->p += 4;
}

static inline void emit64(struct emit *e, uint64_t v)
{
	emit32(e, (uint32_t)v);
	emit32(e, (uint32_t)(v >> 32));
}

static inline uint64_t emit_rx(const struct emit *e, const uint8_t *p)
{
	return (uint64_t)((int64_t)(intptr_t)p + e->to_rx);
}

static inline struct host_mem gs_mem(size_t offset)
{
	return (struct host_mem){ .base = HR_NONE, .index = HR_NONE, .gs = true, .disp = (int32_t)offset };
}
#define GS_FIELD(field) gs_mem(offsetof(struct soft_vcpu, field))
#define GS_CPU(field) gs_mem(offsetof(struct x86_cpu, field))
#define GS_GPR(n) gs_mem(offsetof(struct x86_state, gpr) + 8u * (n))

/*
 * One instruction with a ModRM byte: optional 66/F2/F3/F0 prefix bits, REX as
 * needed, @map (0, 1 = 0F, 2 = 0F38, 3 = 0F3A) and @opcode. @reg is the reg
 * field; the operand is @rm (a register) or @mem.
 */
#define EMIT_66 1u
#define EMIT_F2 2u
#define EMIT_F3 4u
#define EMIT_LOCK 8u
#define EMIT_W 16u      /* REX.W */
#define EMIT_REX 32u    /* force a REX prefix (SPL..DIL) */
void emit_op_reg(struct emit *e, unsigned flags, unsigned map, unsigned opcode, unsigned reg, unsigned rm);
void emit_op_mem(struct emit *e, unsigned flags, unsigned map, unsigned opcode, unsigned reg, const struct host_mem *mem);
/* VEX: @w, @l, @pp as encoded; @vvvv not inverted. */
void emit_vex_reg(struct emit *e, unsigned map, unsigned pp, unsigned l, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv, unsigned rm);
void emit_vex_mem(struct emit *e, unsigned map, unsigned pp, unsigned l, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv,
		  const struct host_mem *mem);

/* The handful of instructions that templates are made of; 64-bit unless named otherwise. Flags are kept by mov and lea. */
static inline void emit_mov(struct emit *e, unsigned dst, unsigned src) { emit_op_reg(e, EMIT_W, 0, 0x8b, dst, src); }
static inline void emit_load(struct emit *e, unsigned dst, struct host_mem m) { emit_op_mem(e, EMIT_W, 0, 0x8b, dst, &m); }
static inline void emit_store(struct emit *e, struct host_mem m, unsigned src) { emit_op_mem(e, EMIT_W, 0, 0x89, src, &m); }
static inline void emit_load32(struct emit *e, unsigned dst, struct host_mem m) { emit_op_mem(e, 0, 0, 0x8b, dst, &m); }
static inline void emit_store32(struct emit *e, struct host_mem m, unsigned src) { emit_op_mem(e, 0, 0, 0x89, src, &m); }
static inline void emit_lea(struct emit *e, unsigned dst, struct host_mem m) { emit_op_mem(e, EMIT_W, 0, 0x8d, dst, &m); }
static inline void emit_lea32(struct emit *e, unsigned dst, struct host_mem m) { emit_op_mem(e, 0, 0, 0x8d, dst, &m); }
void emit_imm(struct emit *e, unsigned dst, uint64_t value); /* shortest mov; keeps flags */
void emit_alu_imm(struct emit *e, unsigned ext, unsigned reg, int32_t imm); /* /ext id, 64-bit */
/* Jumps to an address inside the cache (or its other half). emit_jcc_at/jmp_at return the rel32's place for patching. */
uint8_t *emit_jmp(struct emit *e, uint64_t target_rx);
uint8_t *emit_jcc(struct emit *e, unsigned cond, uint64_t target_rx);
void emit_call(struct emit *e, uint64_t target_rx);
void emit_jmp_mem(struct emit *e, struct host_mem m);
void emit_call_mem(struct emit *e, struct host_mem m);
void emit_jmp_reg(struct emit *e, unsigned reg);
/* A short forward jump: returns the displacement byte for emit_here8(). */
uint8_t *emit_jrcxz8(struct emit *e);
uint8_t *emit_jmp8(struct emit *e);
void emit_here8(struct emit *e, uint8_t *rel8);
void emit_patch32(const struct emit *e, uint8_t *rel32, uint64_t target_rx);

/*
 * Look up the guest RIP in S0 in @mode's table of indirect branches: EFLAGS say
 * "equal" if it is there, S1 is the entry's offset for emit_ibtc_code(), and S0
 * has been inverted.
 */
void emit_ibtc_compare(struct emit *e, unsigned mode);
struct host_mem emit_ibtc_code(unsigned mode);

/* Guest flags to and from memory; no other register changes, EFLAGS does. */
void emit_park_flags(struct emit *e);
void emit_unpark_flags(struct emit *e);

#endif
