/* SPDX-License-Identifier: Apache-2.0 */
/* Opcode rows of MMX, SSE, AVX, AVX2, FMA, F16C, AES, PCLMUL, SHA and SSE4A. */
#include "cpu/x86/decode_tables.h"

/* Features are named without their prefix; NONE: that encoding does not exist. */
#define R(leg, v128, v256, m, fl) { X86_F_##leg, X86_F_##v128, X86_F_##v256, VMEM_##m, (fl) }
#define NDS VEC_NDS
#define IMM VEC_IMM
#define LIG VEC_LIG
#define UNAL VEC_UNALIGNED
#define ST VEC_STORE
#define MEMONLY VEC_MEMONLY
#define REGONLY VEC_REGONLY
#define MMREG VEC_MMX
#define NOROW { 0, 0, 0, 0, 0 }

/* Packed and scalar floating point. */
#define PS(fl) R(SSE, AVX, AVX, X, fl)
#define PD(fl) R(SSE2, AVX, AVX, X, fl)
#define SS(fl) R(SSE, AVX, AVX, 4, (fl) | LIG)
#define SD(fl) R(SSE2, AVX, AVX, 8, (fl) | LIG)
#define FP4(op) [op] = { PS(NDS), PD(NDS), SS(NDS), SD(NDS) }
#define FP2(op) [op] = { PS(NDS), PD(NDS) }
/* Integer instructions with an MMX form of feature @ft. */
#define INT(op, ft) [op] = { R(ft, NONE, NONE, 8, MMREG), R(SSE2, AVX, AVX2, X, NDS) }
#define INT_COUNT(op) [op] = { R(MMX, NONE, NONE, 8, MMREG), R(SSE2, AVX, AVX2, 16, NDS) }
#define UNPACK_LOW(op) [op] = { R(MMX, NONE, NONE, 4, MMREG), R(SSE2, AVX, AVX2, X, NDS) }
#define SHIFT_IMM(op) [op] = { R(MMX, NONE, NONE, NONE, MMREG | REGONLY | IMM | VEC_REG_GROUP), \
	R(SSE2, AVX, AVX2, NONE, NDS | REGONLY | IMM | VEC_REG_GROUP) }

static const struct vec_entry rows_0f[256][4] = {
	[0x10] = { PS(UNAL), PD(UNAL), SS(VEC_NDS_REG), SD(VEC_NDS_REG) },
	[0x11] = { PS(UNAL | ST), PD(UNAL | ST), SS(VEC_NDS_REG | ST), SD(VEC_NDS_REG | ST) },
	[0x12] = { R(SSE, AVX, NONE, 8, NDS), R(SSE2, AVX, NONE, 8, NDS | MEMONLY), R(SSE3, AVX, AVX, X, 0),
		R(SSE3, AVX, AVX, DUP, 0) },
	[0x13] = { R(SSE, AVX, NONE, 8, ST | MEMONLY), R(SSE2, AVX, NONE, 8, ST | MEMONLY) },
	FP2(0x14), FP2(0x15),
	[0x16] = { R(SSE, AVX, NONE, 8, NDS), R(SSE2, AVX, NONE, 8, NDS | MEMONLY), R(SSE3, AVX, AVX, X, 0) },
	[0x17] = { R(SSE, AVX, NONE, 8, ST | MEMONLY), R(SSE2, AVX, NONE, 8, ST | MEMONLY) },
	[0x28] = { PS(VEC_VALIGN), PD(VEC_VALIGN) },
	[0x29] = { PS(VEC_VALIGN | ST), PD(VEC_VALIGN | ST) },
	[0x2a] = { R(SSE, NONE, NONE, 8, MMREG), R(SSE2, NONE, NONE, 8, MMREG),
		   R(SSE, AVX, AVX, Y, NDS | LIG | VEC_RMG), R(SSE2, AVX, AVX, Y, NDS | LIG | VEC_RMG) },
	[0x2b] = { PS(VEC_VALIGN | ST | MEMONLY), PD(VEC_VALIGN | ST | MEMONLY),
		   R(SSE4A, NONE, NONE, 4, ST | MEMONLY), R(SSE4A, NONE, NONE, 8, ST | MEMONLY) },
	[0x2c] = { R(SSE, NONE, NONE, 8, MMREG), R(SSE2, NONE, NONE, 16, MMREG), SS(VEC_GPR), SD(VEC_GPR) },
	[0x2d] = { R(SSE, NONE, NONE, 8, MMREG), R(SSE2, NONE, NONE, 16, MMREG), SS(VEC_GPR), SD(VEC_GPR) },
	[0x2e] = { SS(VEC_FLAGS), R(SSE2, AVX, AVX, 8, LIG | VEC_FLAGS) },
	[0x2f] = { SS(VEC_FLAGS), R(SSE2, AVX, AVX, 8, LIG | VEC_FLAGS) },
	[0x50] = { PS(VEC_GPR | REGONLY), PD(VEC_GPR | REGONLY) },
	[0x51] = { PS(0), PD(0), SS(NDS), SD(NDS) },
	[0x52] = { PS(0), NOROW, SS(NDS) },
	[0x53] = { PS(0), NOROW, SS(NDS) },
	FP2(0x54), FP2(0x55), FP2(0x56), FP2(0x57),
	FP4(0x58), FP4(0x59),
	[0x5a] = { R(SSE2, AVX, AVX, H, 0), PD(0), R(SSE2, AVX, AVX, 4, NDS | LIG), SD(NDS) },
	[0x5b] = { R(SSE2, AVX, AVX, X, 0), PD(0), R(SSE2, AVX, AVX, X, 0) },
	FP4(0x5c), FP4(0x5d), FP4(0x5e), FP4(0x5f),
	UNPACK_LOW(0x60), UNPACK_LOW(0x61), UNPACK_LOW(0x62), INT(0x63, MMX), INT(0x64, MMX), INT(0x65, MMX), INT(0x66, MMX),
	INT(0x67, MMX), INT(0x68, MMX), INT(0x69, MMX), INT(0x6a, MMX), INT(0x6b, MMX),
	[0x6c] = { NOROW, R(SSE2, AVX, AVX2, X, NDS) }, [0x6d] = { NOROW, R(SSE2, AVX, AVX2, X, NDS) },
	[0x6e] = { R(MMX, NONE, NONE, Y, MMREG | VEC_RMG), R(SSE2, AVX, NONE, Y, VEC_RMG) },
	[0x6f] = { R(MMX, NONE, NONE, 8, MMREG), PD(VEC_VALIGN), PD(UNAL) },
	[0x70] = { R(SSE, NONE, NONE, 8, MMREG | IMM), R(SSE2, AVX, AVX2, X, IMM), R(SSE2, AVX, AVX2, X, IMM),
		R(SSE2, AVX, AVX2, X, IMM) },
	SHIFT_IMM(0x71), SHIFT_IMM(0x72), SHIFT_IMM(0x73),
	INT(0x74, MMX), INT(0x75, MMX), INT(0x76, MMX),
	[0x77] = { R(MMX, AVX, AVX, NONE, MMREG | VEC_NOMODRM) },
	[0x78] = { NOROW, R(SSE4A, NONE, NONE, NONE, REGONLY | VEC_IMM2 | VEC_REG_GROUP), NOROW,
		R(SSE4A, NONE, NONE, NONE, REGONLY | VEC_IMM2) },
	[0x79] = { NOROW, R(SSE4A, NONE, NONE, NONE, REGONLY), NOROW, R(SSE4A, NONE, NONE, NONE, REGONLY) },
	[0x7c] = { NOROW, R(SSE3, AVX, AVX, X, NDS), NOROW, R(SSE3, AVX, AVX, X, NDS) },
	[0x7d] = { NOROW, R(SSE3, AVX, AVX, X, NDS), NOROW, R(SSE3, AVX, AVX, X, NDS) },
	[0x7e] = { R(MMX, NONE, NONE, Y, MMREG | VEC_RMGW | ST), R(SSE2, AVX, NONE, Y, VEC_RMGW | ST), R(SSE2, AVX, NONE, 8, 0) },
	[0x7f] = { R(MMX, NONE, NONE, 8, MMREG | ST), PD(VEC_VALIGN | ST), PD(UNAL | ST) },
	[0xc2] = { PS(NDS | IMM), PD(NDS | IMM), SS(NDS | IMM), SD(NDS | IMM) },
	[0xc4] = { R(SSE, NONE, NONE, 2, MMREG | VEC_RMG | IMM), R(SSE2, AVX, NONE, 2, NDS | VEC_RMG | IMM) },
	[0xc5] = { R(SSE, NONE, NONE, NONE, MMREG | VEC_GPR | REGONLY | IMM), R(SSE2, AVX, NONE, NONE, VEC_GPR | REGONLY | IMM) },
	[0xc6] = { PS(NDS | IMM), PD(NDS | IMM) },
	[0xd0] = { NOROW, R(SSE3, AVX, AVX, X, NDS), NOROW, R(SSE3, AVX, AVX, X, NDS) },
	INT_COUNT(0xd1), INT_COUNT(0xd2), INT_COUNT(0xd3), INT(0xd4, SSE2), INT(0xd5, MMX),
	[0xd6] = { NOROW, R(SSE2, AVX, NONE, 8, ST), R(SSE2, NONE, NONE, NONE, MMREG | REGONLY),
		R(SSE2, NONE, NONE, NONE, MMREG | REGONLY) },
	[0xd7] = { R(SSE, NONE, NONE, NONE, MMREG | VEC_GPR | REGONLY), R(SSE2, AVX, AVX2, NONE, VEC_GPR | REGONLY) },
	INT(0xd8, MMX), INT(0xd9, MMX), INT(0xda, SSE), INT(0xdb, MMX), INT(0xdc, MMX), INT(0xdd, MMX), INT(0xde, SSE),
	INT(0xdf, MMX),
	INT(0xe0, SSE), INT_COUNT(0xe1), INT_COUNT(0xe2), INT(0xe3, SSE), INT(0xe4, SSE), INT(0xe5, MMX),
	[0xe6] = { NOROW, PD(0), R(SSE2, AVX, AVX, H, 0), PD(0) },
	[0xe7] = { R(SSE, NONE, NONE, 8, MMREG | ST | MEMONLY), PD(VEC_VALIGN | ST | MEMONLY) },
	INT(0xe8, MMX), INT(0xe9, MMX), INT(0xea, SSE), INT(0xeb, MMX), INT(0xec, MMX), INT(0xed, MMX), INT(0xee, SSE),
	INT(0xef, MMX),
	[0xf0] = { NOROW, NOROW, NOROW, R(SSE3, AVX, AVX, X, UNAL | MEMONLY) },
	INT_COUNT(0xf1), INT_COUNT(0xf2), INT_COUNT(0xf3), INT(0xf4, SSE2), INT(0xf5, MMX), INT(0xf6, SSE),
	[0xf7] = { R(SSE, NONE, NONE, NONE, MMREG | REGONLY | VEC_MASKMOV), R(SSE2, AVX, NONE, NONE, REGONLY | VEC_MASKMOV) },
	INT(0xf8, MMX), INT(0xf9, MMX), INT(0xfa, MMX), INT(0xfb, SSE2), INT(0xfc, MMX), INT(0xfd, MMX), INT(0xfe, MMX),
};

/* Rows that exist with 66 only. */
#define P66(op, leg, v128, v256, m, fl) [op] = { NOROW, R(leg, v128, v256, m, fl) }
#define SSSE3_INT(op, fl) [op] = { R(SSSE3, NONE, NONE, 8, MMREG), R(SSSE3, AVX, AVX2, X, fl) }
#define S41(op, fl) P66(op, SSE41, AVX, AVX2, X, fl)
#define EXTEND(base) \
	P66((base) + 0, SSE41, AVX, AVX2, H, 0), P66((base) + 1, SSE41, AVX, AVX2, Q, 0), P66((base) + 2, SSE41, AVX, AVX2, E, 0), \
	P66((base) + 3, SSE41, AVX, AVX2, H, 0), P66((base) + 4, SSE41, AVX, AVX2, Q, 0), P66((base) + 5, SSE41, AVX, AVX2, H, 0)
#define FMA_P(op) P66(op, NONE, FMA, FMA, X, NDS)
#define FMA_S(op) P66(op, NONE, FMA, FMA, S, NDS | LIG)
#define FMA_ROW(base) FMA_P((base) + 6), FMA_P((base) + 7), FMA_P((base) + 8), FMA_S((base) + 9), FMA_P((base) + 10), \
	FMA_S((base) + 11), FMA_P((base) + 12), FMA_S((base) + 13), FMA_P((base) + 14), FMA_S((base) + 15)
#define SHA_ROW(op) [op] = { R(SHA, NONE, NONE, 16, 0) }

static const struct vec_entry rows_0f38[256][4] = {
	SSSE3_INT(0x00, NDS), SSSE3_INT(0x01, NDS), SSSE3_INT(0x02, NDS), SSSE3_INT(0x03, NDS), SSSE3_INT(0x04, NDS),
	SSSE3_INT(0x05, NDS),
	SSSE3_INT(0x06, NDS), SSSE3_INT(0x07, NDS), SSSE3_INT(0x08, NDS), SSSE3_INT(0x09, NDS), SSSE3_INT(0x0a, NDS),
	SSSE3_INT(0x0b, NDS),
	P66(0x0c, NONE, AVX, AVX, X, NDS | VEC_W0), P66(0x0d, NONE, AVX, AVX, X, NDS | VEC_W0),
	P66(0x0e, NONE, AVX, AVX, X, VEC_W0 | VEC_FLAGS), P66(0x0f, NONE, AVX, AVX, X, VEC_W0 | VEC_FLAGS),
	P66(0x10, SSE41, NONE, NONE, X, 0), P66(0x13, NONE, F16C, F16C, H, VEC_W0),
	P66(0x14, SSE41, NONE, NONE, X, 0), P66(0x15, SSE41, NONE, NONE, X, 0),
	P66(0x16, NONE, NONE, AVX2, X, NDS | VEC_W0), P66(0x17, SSE41, AVX, AVX, X, VEC_FLAGS),
	P66(0x18, NONE, AVX, AVX, 4, VEC_W0 | VEC_AVX2_REG), P66(0x19, NONE, NONE, AVX, 8, VEC_W0 | VEC_AVX2_REG),
	P66(0x1a, NONE, NONE, AVX, 16, VEC_W0 | MEMONLY),
	SSSE3_INT(0x1c, 0), SSSE3_INT(0x1d, 0), SSSE3_INT(0x1e, 0),
	EXTEND(0x20), S41(0x28, NDS), S41(0x29, NDS), S41(0x2a, MEMONLY | VEC_VALIGN), S41(0x2b, NDS),
	P66(0x2c, NONE, AVX, AVX, X, NDS | VEC_W0 | MEMONLY | VEC_VMASKMOV),
	P66(0x2d, NONE, AVX, AVX, X, NDS | VEC_W0 | MEMONLY | VEC_VMASKMOV),
	P66(0x2e, NONE, AVX, AVX, X, NDS | VEC_W0 | MEMONLY | ST | VEC_VMASKMOV),
	P66(0x2f, NONE, AVX, AVX, X, NDS | VEC_W0 | MEMONLY | ST | VEC_VMASKMOV),
	EXTEND(0x30), P66(0x36, NONE, NONE, AVX2, X, NDS | VEC_W0), P66(0x37, SSE42, AVX, AVX2, X, NDS),
	S41(0x38, NDS), S41(0x39, NDS), S41(0x3a, NDS), S41(0x3b, NDS), S41(0x3c, NDS), S41(0x3d, NDS), S41(0x3e, NDS),
	S41(0x3f, NDS),
	S41(0x40, NDS), P66(0x41, SSE41, AVX, NONE, X, 0),
	P66(0x45, NONE, AVX2, AVX2, X, NDS), P66(0x46, NONE, AVX2, AVX2, X, NDS | VEC_W0), P66(0x47, NONE, AVX2, AVX2, X, NDS),
	P66(0x58, NONE, AVX2, AVX2, 4, VEC_W0), P66(0x59, NONE, AVX2, AVX2, 8, VEC_W0),
	P66(0x5a, NONE, NONE, AVX2, 16, VEC_W0 | MEMONLY),
	P66(0x78, NONE, AVX2, AVX2, 1, VEC_W0), P66(0x79, NONE, AVX2, AVX2, 2, VEC_W0),
	P66(0x8c, NONE, AVX2, AVX2, X, NDS | MEMONLY | VEC_VMASKMOV),
	P66(0x8e, NONE, AVX2, AVX2, X, NDS | MEMONLY | ST | VEC_VMASKMOV),
	P66(0x90, NONE, AVX2, AVX2, S, NDS | MEMONLY | VEC_GATHER), P66(0x91, NONE, AVX2, AVX2, S, NDS | MEMONLY | VEC_GATHER),
	P66(0x92, NONE, AVX2, AVX2, S, NDS | MEMONLY | VEC_GATHER), P66(0x93, NONE, AVX2, AVX2, S, NDS | MEMONLY | VEC_GATHER),
	FMA_ROW(0x90), FMA_ROW(0xa0), FMA_ROW(0xb0),
	SHA_ROW(0xc8), SHA_ROW(0xc9), SHA_ROW(0xca), SHA_ROW(0xcb), SHA_ROW(0xcc), SHA_ROW(0xcd),
	P66(0xdb, AES, AES, NONE, X, 0), P66(0xdc, AES, AES, VAES, X, NDS), P66(0xdd, AES, AES, VAES, X, NDS),
	P66(0xde, AES, AES, VAES, X, NDS), P66(0xdf, AES, AES, VAES, X, NDS),
};

static const struct vec_entry rows_0f3a[256][4] = {
	P66(0x00, NONE, NONE, AVX2, X, IMM | VEC_W1), P66(0x01, NONE, NONE, AVX2, X, IMM | VEC_W1),
	P66(0x02, NONE, AVX2, AVX2, X, NDS | IMM | VEC_W0),
	P66(0x04, NONE, AVX, AVX, X, IMM | VEC_W0), P66(0x05, NONE, AVX, AVX, X, IMM | VEC_W0),
	P66(0x06, NONE, NONE, AVX, X, NDS | IMM | VEC_W0),
	P66(0x08, SSE41, AVX, AVX, X, IMM), P66(0x09, SSE41, AVX, AVX, X, IMM),
	P66(0x0a, SSE41, AVX, AVX, 4, NDS | IMM | LIG), P66(0x0b, SSE41, AVX, AVX, 8, NDS | IMM | LIG),
	P66(0x0c, SSE41, AVX, AVX, X, NDS | IMM), P66(0x0d, SSE41, AVX, AVX, X, NDS | IMM),
	P66(0x0e, SSE41, AVX, AVX2, X, NDS | IMM),
	[0x0f] = { R(SSSE3, NONE, NONE, 8, MMREG | IMM), R(SSSE3, AVX, AVX2, X, NDS | IMM) },
	P66(0x14, SSE41, AVX, NONE, 1, IMM | ST | VEC_RMGW), P66(0x15, SSE41, AVX, NONE, 2, IMM | ST | VEC_RMGW),
	P66(0x16, SSE41, AVX, NONE, Y, IMM | ST | VEC_RMGW), P66(0x17, SSE41, AVX, NONE, 4, IMM | ST | VEC_RMGW),
	P66(0x18, NONE, NONE, AVX, 16, NDS | IMM | VEC_W0), P66(0x19, NONE, NONE, AVX, 16, IMM | ST | VEC_W0),
	P66(0x1d, NONE, F16C, F16C, H, IMM | ST | VEC_W0),
	P66(0x20, SSE41, AVX, NONE, 1, NDS | IMM | VEC_RMG), P66(0x21, SSE41, AVX, NONE, 4, NDS | IMM),
	P66(0x22, SSE41, AVX, NONE, Y, NDS | IMM | VEC_RMG),
	P66(0x38, NONE, NONE, AVX2, 16, NDS | IMM | VEC_W0), P66(0x39, NONE, NONE, AVX2, 16, IMM | ST | VEC_W0),
	P66(0x40, SSE41, AVX, AVX, X, NDS | IMM), P66(0x41, SSE41, AVX, NONE, X, NDS | IMM),
	P66(0x42, SSE41, AVX, AVX2, X, NDS | IMM),
	P66(0x44, PCLMUL, PCLMUL, VPCLMUL, X, NDS | IMM), P66(0x46, NONE, NONE, AVX2, X, NDS | IMM | VEC_W0),
	P66(0x4a, NONE, AVX, AVX, X, NDS | IMM | VEC_W0), P66(0x4b, NONE, AVX, AVX, X, NDS | IMM | VEC_W0),
	P66(0x4c, NONE, AVX, AVX2, X, NDS | IMM | VEC_W0),
	P66(0x60, SSE42, AVX, NONE, X, IMM | UNAL | VEC_FLAGS), P66(0x61, SSE42, AVX, NONE, X, IMM | UNAL | VEC_FLAGS),
	P66(0x62, SSE42, AVX, NONE, X, IMM | UNAL | VEC_FLAGS), P66(0x63, SSE42, AVX, NONE, X, IMM | UNAL | VEC_FLAGS),
	[0xcc] = { R(SHA, NONE, NONE, 16, IMM) },
	P66(0xdf, AES, AES, NONE, X, IMM),
};

const struct vec_entry *decode_vector_row(unsigned map, unsigned opcode, unsigned pp)
{
	if (map == 1)
		return &rows_0f[opcode & 0xff][pp & 3];
	return map == 2 ? &rows_0f38[opcode & 0xff][pp & 3] : &rows_0f3a[opcode & 0xff][pp & 3];
}

unsigned decode_vector_shift_group(unsigned opcode, bool mmx)
{
	switch (opcode) {
	case 0x71:
	case 0x72: return 1u << 2 | 1u << 4 | 1u << 6;
	case 0x73: return mmx ? 1u << 2 | 1u << 6 : 1u << 2 | 1u << 3 | 1u << 6 | 1u << 7;
	default: return 1u << 0; /* EXTRQ */
	}
}
