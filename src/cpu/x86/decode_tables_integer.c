/* SPDX-License-Identifier: Apache-2.0 */
/* Opcode tables of the one-byte map and the groups it leads to. */
#include "cpu/x86/decode_tables.h"

#define OP3(o, sz, d, s1, s2, im, mm, fl) \
	{ .op = X86_OP_##o, .kind = ENTRY_LEAF, .size = SIZE_##sz, .imm = IMM_##im, .mem = MEM_##mm, .flags = (fl), \
	  .opnd = { X86_OPD_##d, X86_OPD_##s1, X86_OPD_##s2 } }
/* Without and with ModRM. */
#define E(o, sz, d, s, im) OP3(o, sz, d, s, NONE, im, OPSIZE, 0)
#define M(o, sz, d, s, im, fl) OP3(o, sz, d, s, NONE, im, OPSIZE, ENTRY_MODRM | (fl))
#define MM(o, sz, d, s, mm, fl) OP3(o, sz, d, s, NONE, NONE, mm, ENTRY_MODRM | (fl))
#define BY(k, table) { .kind = ENTRY_BY_##k, .sub = (table) }

#define ALU_GROUP(name, sz, im) \
	static const struct op_entry name[8] = { \
		M(ADD, sz, RM, IMM, im, 0), M(OR, sz, RM, IMM, im, 0), M(ADC, sz, RM, IMM, im, 0), M(SBB, sz, RM, IMM, im, 0), \
		M(AND, sz, RM, IMM, im, 0), M(SUB, sz, RM, IMM, im, 0), M(XOR, sz, RM, IMM, im, 0), \
		M(CMP, sz, RM, IMM, im, ENTRY_RO), \
	}
ALU_GROUP(group_80, B, BS);
ALU_GROUP(group_81, V, Z);
ALU_GROUP(group_83, V, BS);

#define SHIFT_GROUP(name, sz, cnt, im) \
	static const struct op_entry name[8] = { \
		M(ROL, sz, RM, cnt, im, 0), M(ROR, sz, RM, cnt, im, 0), M(RCL, sz, RM, cnt, im, 0), M(RCR, sz, RM, cnt, im, 0), \
		M(SHL, sz, RM, cnt, im, 0), M(SHR, sz, RM, cnt, im, 0), M(SAL, sz, RM, cnt, im, 0), M(SAR, sz, RM, cnt, im, 0), \
	}
SHIFT_GROUP(group_c0, B, IMM, B);
SHIFT_GROUP(group_c1, V, IMM, B);
SHIFT_GROUP(group_d0, B, ONE, NONE);
SHIFT_GROUP(group_d1, V, ONE, NONE);
SHIFT_GROUP(group_d2, B, CL, NONE);
SHIFT_GROUP(group_d3, V, CL, NONE);

#define UNARY_GROUP(name, sz, im) \
	static const struct op_entry name[8] = { \
		M(TEST, sz, RM, IMM, im, ENTRY_RO), M(TEST, sz, RM, IMM, im, ENTRY_RO), M(NOT, sz, RM, NONE, NONE, 0), \
		M(NEG, sz, RM, NONE, NONE, 0), M(MUL, sz, RM, NONE, NONE, ENTRY_RO), M(IMUL1, sz, RM, NONE, NONE, ENTRY_RO), \
		M(DIV, sz, RM, NONE, NONE, ENTRY_RO), M(IDIV, sz, RM, NONE, NONE, ENTRY_RO), \
	}
UNARY_GROUP(group_f6, B, BS);
UNARY_GROUP(group_f7, V, Z);

static const struct op_entry group_fe[8] = { M(INC, B, RM, NONE, NONE, 0), M(DEC, B, RM, NONE, NONE, 0) };
static const struct op_entry group_ff[8] = {
	M(INC, V, RM, NONE, NONE, 0), M(DEC, V, RM, NONE, NONE, 0), M(CALL_IND, F64, RM, NONE, NONE, ENTRY_RO),
	MM(CALLF_IND, V, RM, NONE, FAR, ENTRY_RO | ENTRY_MEMONLY), M(JMP_IND, F64, RM, NONE, NONE, ENTRY_RO),
	MM(JMPF_IND, V, RM, NONE, FAR, ENTRY_RO | ENTRY_MEMONLY), M(PUSH, D64, RM, NONE, NONE, ENTRY_RO),
};
static const struct op_entry group_8f[8] = { M(POP, D64, RM, NONE, NONE, ENTRY_WO) };
static const struct op_entry group_c6[8] = { M(MOV, B, RM, IMM, BS, ENTRY_WO) };
static const struct op_entry group_c7[8] = { M(MOV, V, RM, IMM, Z, ENTRY_WO) };

/* [0] 16 and 32-bit code, [1] 64-bit code. */
#define NO64(name, ...) static const struct op_entry name[2] = { __VA_ARGS__ }
NO64(mode_push_sreg, E(PUSH_SREG, V, SREG, NONE, NONE));
NO64(mode_pop_sreg, E(POP_SREG, V, SREG, NONE, NONE));
NO64(mode_daa, E(DAA, B, NONE, NONE, NONE));
NO64(mode_das, E(DAS, B, NONE, NONE, NONE));
NO64(mode_aaa, E(AAA, B, NONE, NONE, NONE));
NO64(mode_aas, E(AAS, B, NONE, NONE, NONE));
NO64(mode_aam, E(AAM, B, IMM, NONE, B));
NO64(mode_aad, E(AAD, B, IMM, NONE, B));
NO64(mode_salc, E(SALC, B, NONE, NONE, NONE));
NO64(mode_inc, E(INC, V, OPREG, NONE, NONE));
NO64(mode_dec, E(DEC, V, OPREG, NONE, NONE));
NO64(mode_pusha, E(PUSHA, V, NONE, NONE, NONE));
NO64(mode_popa, E(POPA, V, NONE, NONE, NONE));
NO64(mode_bound, MM(BOUND, V, REG, RM, PAIR, ENTRY_MEMONLY));
NO64(mode_group_82, BY(REG, group_80));
NO64(mode_callf, E(CALLF, V, IMM, NONE, FAR));
NO64(mode_jmpf, E(JMPF, V, IMM, NONE, FAR));
NO64(mode_into, E(INTO, V, NONE, NONE, NONE));
NO64(mode_les, MM(LES, V, REG, RM, FAR, ENTRY_MEMONLY));
NO64(mode_lds, MM(LDS, V, REG, RM, FAR, ENTRY_MEMONLY));
static const struct op_entry mode_63[2] = {
	M(ARPL, W, RM, REG, NONE, 0),
	MM(MOVSX, V, REG, RM, SRC, ENTRY_SRC4),
};
#define LAHF64(o) { E(o, B, NONE, NONE, NONE), \
	{ .op = X86_OP_##o, .kind = ENTRY_LEAF, .size = SIZE_B, .feature = X86_F_LAHF64 } }
static const struct op_entry mode_sahf[2] = LAHF64(SAHF);
static const struct op_entry mode_lahf[2] = LAHF64(LAHF);

#define ALU_ROW(base, o, fl) \
	[(base) + 0] = M(o, B, RM, REG, NONE, fl), [(base) + 1] = M(o, V, RM, REG, NONE, fl), \
	[(base) + 2] = M(o, B, REG, RM, NONE, 0), [(base) + 3] = M(o, V, REG, RM, NONE, 0), \
	[(base) + 4] = E(o, B, ACC, IMM, BS), [(base) + 5] = E(o, V, ACC, IMM, Z)

const struct op_entry decode_map_1byte[256] = {
	ALU_ROW(0x00, ADD, 0), ALU_ROW(0x08, OR, 0), ALU_ROW(0x10, ADC, 0), ALU_ROW(0x18, SBB, 0),
	ALU_ROW(0x20, AND, 0), ALU_ROW(0x28, SUB, 0), ALU_ROW(0x30, XOR, 0), ALU_ROW(0x38, CMP, ENTRY_RO),
	[0x06] = BY(MODE, mode_push_sreg), [0x07] = BY(MODE, mode_pop_sreg), [0x0e] = BY(MODE, mode_push_sreg),
	[0x16] = BY(MODE, mode_push_sreg), [0x17] = BY(MODE, mode_pop_sreg),
	[0x1e] = BY(MODE, mode_push_sreg), [0x1f] = BY(MODE, mode_pop_sreg),
	[0x27] = BY(MODE, mode_daa), [0x2f] = BY(MODE, mode_das), [0x37] = BY(MODE, mode_aaa), [0x3f] = BY(MODE, mode_aas),
	[0x40 ... 0x47] = BY(MODE, mode_inc), [0x48 ... 0x4f] = BY(MODE, mode_dec),
	[0x50 ... 0x57] = E(PUSH, D64, OPREG, NONE, NONE), [0x58 ... 0x5f] = E(POP, D64, OPREG, NONE, NONE),
	[0x60] = BY(MODE, mode_pusha), [0x61] = BY(MODE, mode_popa), [0x62] = BY(MODE, mode_bound), [0x63] = BY(MODE, mode_63),
	[0x68] = E(PUSH, D64, IMM, NONE, Z), [0x6a] = E(PUSH, D64, IMM, NONE, BS),
	[0x69] = OP3(IMUL3, V, REG, RM, IMM, Z, OPSIZE, ENTRY_MODRM),
	[0x6b] = OP3(IMUL3, V, REG, RM, IMM, BS, OPSIZE, ENTRY_MODRM),
	[0x6c] = E(INS, B, NONE, NONE, NONE), [0x6d] = E(INS, IO, NONE, NONE, NONE),
	[0x6e] = E(OUTS, B, NONE, NONE, NONE), [0x6f] = E(OUTS, IO, NONE, NONE, NONE),
	[0x70 ... 0x7f] = OP3(JCC, F64, IMM, NONE, NONE, BS, OPSIZE, ENTRY_COND),
	[0x80] = BY(REG, group_80), [0x81] = BY(REG, group_81), [0x82] = BY(MODE, mode_group_82), [0x83] = BY(REG, group_83),
	[0x84] = M(TEST, B, RM, REG, NONE, ENTRY_RO), [0x85] = M(TEST, V, RM, REG, NONE, ENTRY_RO),
	[0x86] = M(XCHG, B, RM, REG, NONE, 0), [0x87] = M(XCHG, V, RM, REG, NONE, 0),
	[0x88] = M(MOV, B, RM, REG, NONE, ENTRY_WO), [0x89] = M(MOV, V, RM, REG, NONE, ENTRY_WO),
	[0x8a] = M(MOV, B, REG, RM, NONE, 0), [0x8b] = M(MOV, V, REG, RM, NONE, 0),
	[0x8c] = MM(MOV_FROM_SREG, V, RM, SREG, 2, ENTRY_WO), [0x8e] = MM(MOV_TO_SREG, V, SREG, RM, 2, ENTRY_SRC2),
	[0x8d] = MM(LEA, V, REG, RM, NONE, ENTRY_MEMONLY),
	[0x8f] = BY(REG, group_8f),
	[0x90 ... 0x97] = E(XCHG, V, OPREG, ACC, NONE),
	[0x98] = E(CBW, V, ACC, NONE, NONE), [0x99] = E(CWD, V, ACC, NONE, NONE), [0x9a] = BY(MODE, mode_callf),
	[0x9b] = { .op = X86_OP_FWAIT, .kind = ENTRY_LEAF, .size = SIZE_D, .feature = X86_F_X87 },
	[0x9c] = E(PUSHF, D64, NONE, NONE, NONE), [0x9d] = E(POPF, D64, NONE, NONE, NONE),
	[0x9e] = BY(MODE, mode_sahf), [0x9f] = BY(MODE, mode_lahf),
	[0xa0] = E(MOV, B, ACC, MOFFS, NONE), [0xa1] = E(MOV, V, ACC, MOFFS, NONE),
	[0xa2] = E(MOV, B, MOFFS, ACC, NONE), [0xa3] = E(MOV, V, MOFFS, ACC, NONE),
	[0xa4] = E(MOVS, B, NONE, NONE, NONE), [0xa5] = E(MOVS, V, NONE, NONE, NONE),
	[0xa6] = E(CMPS, B, NONE, NONE, NONE), [0xa7] = E(CMPS, V, NONE, NONE, NONE),
	[0xa8] = E(TEST, B, ACC, IMM, BS), [0xa9] = E(TEST, V, ACC, IMM, Z),
	[0xaa] = E(STOS, B, NONE, NONE, NONE), [0xab] = E(STOS, V, NONE, NONE, NONE),
	[0xac] = E(LODS, B, NONE, NONE, NONE), [0xad] = E(LODS, V, NONE, NONE, NONE),
	[0xae] = E(SCAS, B, NONE, NONE, NONE), [0xaf] = E(SCAS, V, NONE, NONE, NONE),
	[0xb0 ... 0xb7] = E(MOV, B, OPREG, IMM, BS), [0xb8 ... 0xbf] = E(MOV, V, OPREG, IMM, V),
	[0xc0] = BY(REG, group_c0), [0xc1] = BY(REG, group_c1),
	[0xc2] = E(RET, F64, IMM, NONE, W), [0xc3] = E(RET, F64, NONE, NONE, NONE),
	[0xc4] = BY(MODE, mode_les), [0xc5] = BY(MODE, mode_lds), [0xc6] = BY(REG, group_c6), [0xc7] = BY(REG, group_c7),
	[0xc8] = E(ENTER, D64, IMM, NONE, WB), [0xc9] = E(LEAVE, D64, NONE, NONE, NONE),
	[0xca] = E(RETF, V, IMM, NONE, W), [0xcb] = E(RETF, V, NONE, NONE, NONE),
	[0xcc] = E(INT3, V, NONE, NONE, NONE), [0xcd] = E(INT, V, IMM, NONE, B), [0xce] = BY(MODE, mode_into),
	[0xcf] = E(IRET, V, NONE, NONE, NONE),
	[0xd0] = BY(REG, group_d0), [0xd1] = BY(REG, group_d1), [0xd2] = BY(REG, group_d2), [0xd3] = BY(REG, group_d3),
	[0xd4] = BY(MODE, mode_aam), [0xd5] = BY(MODE, mode_aad), [0xd6] = BY(MODE, mode_salc),
	[0xd7] = E(XLAT, B, NONE, NONE, NONE),
	[0xe0] = E(LOOPNE, F64, IMM, NONE, BS), [0xe1] = E(LOOPE, F64, IMM, NONE, BS), [0xe2] = E(LOOP, F64, IMM, NONE, BS),
	[0xe3] = E(JCXZ, F64, IMM, NONE, BS),
	[0xe4] = E(IN, B, ACC, IMM, B), [0xe5] = E(IN, IO, ACC, IMM, B), [0xe6] = E(OUT, B, IMM, ACC, B),
	[0xe7] = E(OUT, IO, IMM, ACC, B),
	[0xe8] = E(CALL, F64, IMM, NONE, Z), [0xe9] = E(JMP, F64, IMM, NONE, Z), [0xea] = BY(MODE, mode_jmpf),
	[0xeb] = E(JMP, F64, IMM, NONE, BS),
	[0xec] = E(IN, B, ACC, DX, NONE), [0xed] = E(IN, IO, ACC, DX, NONE),
	[0xee] = E(OUT, B, DX, ACC, NONE), [0xef] = E(OUT, IO, DX, ACC, NONE),
	[0xf1] = E(INT1, V, NONE, NONE, NONE), [0xf4] = E(HLT, V, NONE, NONE, NONE), [0xf5] = E(CMC, B, NONE, NONE, NONE),
	[0xf6] = BY(REG, group_f6), [0xf7] = BY(REG, group_f7),
	[0xf8] = E(CLC, B, NONE, NONE, NONE), [0xf9] = E(STC, B, NONE, NONE, NONE), [0xfa] = E(CLI, B, NONE, NONE, NONE),
	[0xfb] = E(STI, B, NONE, NONE, NONE), [0xfc] = E(CLD, B, NONE, NONE, NONE), [0xfd] = E(STD, B, NONE, NONE, NONE),
	[0xfe] = BY(REG, group_fe), [0xff] = BY(REG, group_ff),
};
