/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's tables: what an opcode means before its operands are read.
 * Private to decode*.c. Integer opcodes live in trees of struct op_entry;
 * MMX, SSE and AVX in arrays indexed by opcode and mandatory prefix.
 */
#ifndef LODGE_CPU_X86_DECODE_TABLES_H
#define LODGE_CPU_X86_DECODE_TABLES_H

#include "cpu/x86/decode.h"

/* How to go on from an entry: a leaf, or a choice of sub[] by some field. */
enum entry_kind {
	ENTRY_UD,
	ENTRY_LEAF,
	ENTRY_BY_REG,    /* sub[modrm.reg] */
	ENTRY_BY_MOD,    /* sub[0] memory, sub[1] register */
	ENTRY_BY_RM,     /* sub[modrm.rm] */
	ENTRY_BY_PREFIX, /* sub[enum decode_pp] */
	ENTRY_BY_MODE,   /* sub[0] 16/32-bit code, sub[1] 64-bit code */
};

enum decode_pp { PP_NP, PP_66, PP_F3, PP_F2 };

/* Operand size rules. */
enum entry_size {
	SIZE_B, SIZE_W, SIZE_D, SIZE_Q,
	SIZE_V,   /* 2/4/8 by mode, 66 and REX.W */
	SIZE_IO,  /* as V but at most 4 */
	SIZE_D64, /* V with 64 bits as 64-bit code's default: the stack */
	SIZE_F64, /* as D64 but 66 is ignored in 64-bit code: near branches */
	SIZE_Y,   /* 8 with REX.W, else 4 */
	SIZE_N,   /* 8 in 64-bit code, else 4: control registers */
	SIZE_T,   /* 8 in 64-bit code, else V: descriptor tables, whose base has 24 bits with 16-bit operands */
};

enum entry_imm {
	IMM_NONE,
	IMM_B,    /* 8 bits, zero-extended */
	IMM_BS,   /* 8 bits, sign-extended */
	IMM_W,    /* 16 bits */
	IMM_Z,    /* 16 or 32 bits, sign-extended */
	IMM_V,    /* 16, 32 or 64 bits */
	IMM_WB,   /* ENTER */
	IMM_FAR,  /* offset:selector */
	IMM_BB,   /* two bytes (EXTRQ, INSERTQ) */
};

/* Bytes of the explicit memory operand. */
enum entry_mem {
	MEM_OPSIZE,
	MEM_NONE,  /* addressed but not accessed, or in no simple way */
	MEM_1, MEM_2, MEM_4, MEM_8, MEM_16, MEM_512,
	MEM_SRC,   /* src_size */
	MEM_PAIR,  /* twice the operand size */
	MEM_FAR,   /* selector and offset */
	MEM_TABLE, /* limit and base of a descriptor table */
};

#define ENTRY_MODRM 0x01u
#define ENTRY_RO 0x02u     /* r/m as first operand is only read */
#define ENTRY_WO 0x04u     /* ... only written */
#define ENTRY_MEMONLY 0x08u
#define ENTRY_SRC1 0x10u   /* src_size 1, 2, 4 */
#define ENTRY_SRC2 0x20u
#define ENTRY_SRC4 0x40u
#define ENTRY_COND 0x80u   /* condition in the opcode's low bits */

struct op_entry {
	uint16_t op;
	uint8_t kind;
	uint8_t size;
	uint8_t imm;
	uint8_t mem;
	uint8_t feature;
	uint8_t flags;
	uint8_t opnd[3];
	const struct op_entry *sub;
};

extern const struct op_entry decode_map_1byte[256];
extern const struct op_entry decode_map_0f[256];

/* Entries outside the two arrays and the vector rows: 0F38's,
	and what VEX encodes though it is no vector instruction; NULL: none. */
const struct op_entry *decode_legacy_0f38(unsigned opcode);
const struct op_entry *decode_vex_integer(unsigned map, unsigned opcode, unsigned pp);

/* Bytes of a vector instruction's memory operand. */
enum vector_mem {
	VMEM_NONE, VMEM_1, VMEM_2, VMEM_4, VMEM_8, VMEM_16,
	VMEM_X, /* the whole vector */
	VMEM_H, /* half, quarter, eighth of it */
	VMEM_Q,
	VMEM_E,
	VMEM_Y, /* 8 with REX.W in 64-bit code, else 4 */
	VMEM_S, /* 8 with VEX.W, else 4: scalar FMA */
	VMEM_DUP, /* MOVDDUP: 8 or 32 */
};

#define VEC_NDS 0x00001u      /* VEX.vvvv names an operand */
#define VEC_NDS_REG 0x00002u  /* ... in the register form only */
#define VEC_IMM 0x00004u
#define VEC_REGONLY 0x00008u
#define VEC_MEMONLY 0x00010u
#define VEC_UNALIGNED 0x00020u /* legacy 16-byte operand without alignment */
#define VEC_VALIGN 0x00040u    /* VEX form demands alignment too */
#define VEC_STORE 0x00080u     /* the r/m operand is written */
#define VEC_GPR 0x00100u       /* reg is a GPR, written */
#define VEC_RMG 0x00200u       /* r/m register is a GPR, read */
#define VEC_RMGW 0x00400u      /* ... written */
#define VEC_W0 0x00800u
#define VEC_W1 0x01000u
#define VEC_LIG 0x02000u       /* VEX.L is ignored */
#define VEC_MMX 0x04000u
#define VEC_AVX2_REG 0x08000u  /* the register form came with AVX2 */
#define VEC_IMM2 0x10000u      /* two immediate bytes */
#define VEC_NOMODRM 0x20000u
#define VEC_MASKMOV 0x40000u
#define VEC_VMASKMOV 0x80000u
#define VEC_GATHER 0x100000u
#define VEC_REG_GROUP 0x200000u /* shift by immediate: only some modrm.reg */
#define VEC_FLAGS 0x400000u     /* writes EFLAGS */

struct vec_entry {
	uint8_t legacy;  /* feature of the legacy form; 0: there is none */
	uint8_t vex128;
	uint8_t vex256;
	uint8_t mem;     /* enum vector_mem */
	uint32_t flags;  /* VEC_* */
};

/* Row for @map (1..3), @opcode, @pp; never NULL. All-zero features: undefined. */
const struct vec_entry *decode_vector_row(unsigned map, unsigned opcode, unsigned pp);

/* Which modrm.reg values of 0F 71..73 exist for MMX (@mmx) or XMM registers, as a bit set. */
unsigned decode_vector_shift_group(unsigned opcode, bool mmx);

/* x87: fills op, feature and memory facts from opcode and modrm; false: undefined. */
bool decode_x87(struct insn *insn);

#endif
