/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow-list instruction decoder, shared by the interpreter, the
 * translator and MMIO emulation. Pure: bytes in, struct insn out. What is not
 * in its tables is #UD. CPUID gating, privilege and memory are the caller's.
 * Follows the opcode maps of AMD64 Architecture Programmer's Manual volume 3
 * and Intel SDM volume 2.
 */
#ifndef LODGE_CPU_X86_DECODE_H
#define LODGE_CPU_X86_DECODE_H

#include "base/compiler.h"
#include "cpu/x86/ops.h"

#define X86_INSN_MAX 15
#define X86_NOREG 0xff
#define X86_REG_RIP 0xfe /* insn.base of a RIP-relative operand */

enum x86_mode_bits { X86_MODE_16 = 2, X86_MODE_32 = 4, X86_MODE_64 = 8 };

enum decode_status {
	DECODE_OK,
	DECODE_SHORT,   /* more bytes are needed than @avail */
	DECODE_TOOLONG, /* over 15 bytes: #GP(0) */
	DECODE_UD,      /* undefined; insn->len is how far it was read */
};

/* Where an integer operation finds an operand. */
enum x86_operand {
	X86_OPD_NONE,
	X86_OPD_RM,    /* modrm r/m, register or memory */
	X86_OPD_REG,   /* modrm reg, a GPR */
	X86_OPD_OPREG, /* low three opcode bits with REX.B; insn.rm holds it */
	X86_OPD_ACC,   /* AL/AX/EAX/RAX */
	X86_OPD_IMM,   /* insn.imm, already sign- or zero-extended as the opcode says */
	X86_OPD_ONE,
	X86_OPD_CL,
	X86_OPD_DX,
	X86_OPD_SREG,  /* modrm reg as segment register, or insn.reg for push/pop sreg */
	X86_OPD_CR,    /* modrm reg (with REX.R; LOCK MOV CR0 is CR8) */
	X86_OPD_DR,
	X86_OPD_MOFFS, /* memory at insn.disp, no base */
	X86_OPD_VVVV,  /* VEX.vvvv as GPR */
};

/* insn.flags */
#define INSN_MODRM 0x0001u
#define INSN_MEM 0x0002u      /* has an explicit memory operand (modrm or moffs) */
#define INSN_LOCK 0x0004u
#define INSN_REP 0x0008u      /* F3 present and the last of F2/F3 */
#define INSN_REPNE 0x0010u    /* F2 likewise */
#define INSN_66 0x0020u
#define INSN_67 0x0040u
#define INSN_VEX 0x0080u
#define INSN_REX 0x0100u      /* any REX: byte registers 4..7 are SPL..DIL, else AH..BH */
#define INSN_RIPREL 0x0200u
#define INSN_REG_GPR 0x0400u  /* NATIVE ops: modrm.reg names a GPR */
#define INSN_RM_GPR 0x0800u   /* NATIVE ops: modrm.rm (register form) names a GPR */
#define INSN_SEG_PREFIX 0x1000u /* a segment override was given and applies */
#define INSN_REG_GPR_WRITE 0x2000u /* the GPR in reg is written (else read) */
#define INSN_RM_GPR_WRITE 0x4000u

#define INSN_ACCESS_R 1u
#define INSN_ACCESS_W 2u

struct insn {
	uint16_t op;        /* enum x86_op, ops.h */
	uint8_t len;
	uint8_t opsize;     /* integer operand size in bytes: 1, 2, 4, 8 (REX.W, 66h and defaults applied) */
	uint8_t addrsize;   /* 2, 4, 8 */
	uint8_t map;        /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
	uint8_t opcode;
	uint8_t modrm;
	uint32_t flags;     /* INSN_* */
	uint8_t rex;        /* W R X B in bits 3..0, from REX or VEX (not inverted) */
	uint8_t vex_l;      /* 0 128 bit, 1 256 bit */
	uint8_t vex_pp;     /* 0 none, 1 66, 2 F3, 3 F2: the mandatory prefix, legacy encodings too (NATIVE ops) */
	uint8_t vex_vvvv;   /* register number, not inverted */
	uint8_t reg;        /* modrm.reg with REX.R */
	uint8_t rm;         /* modrm.rm with REX.B, or the register in the opcode */
	uint8_t seg;        /* segment of the memory operand after defaults and overrides (string source too) */
	uint8_t base;       /* GPR, X86_REG_RIP, X86_NOREG */
	uint8_t index;      /* GPR or X86_NOREG */
	uint8_t scale;      /* shift: 0..3 */
	uint8_t cond;       /* Jcc, SETcc, CMOVcc: 0..15 */
	uint8_t opnd[3];    /* enum x86_operand; [0] is the destination */
	uint8_t src_size;   /* MOVZX/MOVSX/MOVSXD/CRC32 source size; else equals opsize */
	uint8_t feature;    /* enum x86_feature_gate, ops.h; 0 none */
	uint8_t mem_access; /* INSN_ACCESS_* of the explicit memory operand */
	uint8_t mem_align;  /* NATIVE ops: #GP unless aligned to this (0 or 1: no demand) */
	uint16_t mem_bytes; /* bytes the explicit memory operand spans; 0 for LEA, NOP, INVLPG, prefetch */
	uint8_t modrm_off;  /* offset of the ModRM byte in the instruction */
	uint8_t prefix_len; /* bytes before the opcode proper (legacy prefixes, REX, or VEX) */
	uint8_t imm_bytes;  /* bytes of immediate at the end */
	uint8_t imm2;       /* second immediate: ENTER's nesting level */
	uint16_t far_sel;   /* selector of a direct far pointer (imm is the offset) */
	int64_t disp;       /* sign-extended; RIP-relative: relative to the next instruction */
	uint64_t imm;       /* branches: the sign-extended displacement */
	uint8_t bytes[X86_INSN_MAX];
};

/*
 * Decode one instruction of @avail bytes (1..15 suffice) for code of default
 * size @mode (X86_MODE_16/32/64).
 */
enum decode_status x86_decode(const uint8_t *bytes, unsigned avail, unsigned mode, struct insn *out);

/* Constant per-operation facts, also used to find dead flags. */
struct x86_op_info {
	const char *name;
	uint16_t flags_read;    /* X86_FLAG_* arithmetic flags (and DF) the op depends on */
	uint16_t flags_written; /* defined results */
	uint16_t flags_undef;   /* left undefined by the architecture (real CPUs write something) */
	uint16_t attr;          /* X86_OPA_* */
};
#define X86_OPA_PRIV 0x1u    /* #GP unless CPL 0 (the simple cases) */
#define X86_OPA_BRANCH 0x2u  /* ends a block: changes RIP */
#define X86_OPA_SYSTEM 0x4u  /* may change mode, paging, interrupt state: ends a block */
#define X86_OPA_NATIVE 0x8u  /* x87/MMX/SSE/AVX: executed by the host CPU as it stands */
#define X86_OPA_LOCK 0x10u   /* LOCK allowed with a memory destination */
#define X86_OPA_STRING 0x20u

const struct x86_op_info *x86_op_info(unsigned op);

/* Arithmetic flags that @insn reads / surely writes, its count and prefixes considered (SHL by CL may write none). */
uint16_t insn_flags_read(const struct insn *insn);
uint16_t insn_flags_killed(const struct insn *insn);

/* Byte register operand: GPR number in *gpr; true when it is AH/CH/DH/BH. */
static inline bool insn_high_byte(const struct insn *i, unsigned regnum, unsigned *gpr_num)
{
	bool high = !(i->flags & INSN_REX) && regnum >= 4 && regnum < 8;

	*gpr_num = high ? regnum - 4 : regnum;
	return high;
}

#endif
