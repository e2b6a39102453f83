/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opcode tables of the 0F map's integer and system instructions and of the few
 * integer instructions in 0F38 and 0F3A. Opcodes that are absent here are
 * looked up among the vector instructions next.
 */
#include "cpu/x86/decode_tables.h"

#define OPX(o, sz, d, s1, s2, im, mm, ft, fl) \
	{ .op = X86_OP_##o, .kind = ENTRY_LEAF, .size = SIZE_##sz, .imm = IMM_##im, .mem = MEM_##mm, .feature = X86_F_##ft, \
	  .flags = (fl), .opnd = { X86_OPD_##d, X86_OPD_##s1, X86_OPD_##s2 } }
#define E(o, sz, d, s, ft) OPX(o, sz, d, s, NONE, NONE, OPSIZE, ft, 0)
#define M(o, sz, d, s, mm, ft, fl) OPX(o, sz, d, s, NONE, NONE, mm, ft, ENTRY_MODRM | (fl))
#define BY(k, table) { .kind = ENTRY_BY_##k, .sub = (table) }
#define UNDEF { .kind = ENTRY_UD }

static const struct op_entry group_00[8] = {
	M(SLDT, V, RM, NONE, 2, NONE, ENTRY_WO), M(STR, V, RM, NONE, 2, NONE, ENTRY_WO), M(LLDT, W, RM, NONE, 2, NONE, ENTRY_RO),
	M(LTR, W, RM, NONE, 2, NONE, ENTRY_RO), M(VERR, W, RM, NONE, 2, NONE, ENTRY_RO), M(VERW, W, RM, NONE, 2, NONE, ENTRY_RO),
};

/* 0F 01 with a register form: reg picks a row, rm the instruction. */
static const struct op_entry pp_vmcall[4] = { E(HYPERCALL, V, NONE, NONE, NONE) };
static const struct op_entry rm_01_0[8] = { UNDEF, BY(PREFIX, pp_vmcall) };
static const struct op_entry pp_monitor[4] = { E(MONITOR, N, NONE, NONE, MONITOR) };
static const struct op_entry pp_mwait[4] = { E(MWAIT, N, NONE, NONE, MONITOR) };
static const struct op_entry pp_clac[4] = { E(CLAC, N, NONE, NONE, SMAP) };
static const struct op_entry pp_stac[4] = { E(STAC, N, NONE, NONE, SMAP) };
static const struct op_entry rm_01_1[8] = { BY(PREFIX, pp_monitor), BY(PREFIX, pp_mwait), BY(PREFIX, pp_clac),
	BY(PREFIX, pp_stac) };
static const struct op_entry pp_xgetbv[4] = { E(XGETBV, N, NONE, NONE, XSAVE) };
static const struct op_entry pp_xsetbv[4] = { E(XSETBV, N, NONE, NONE, XSAVE) };
static const struct op_entry rm_01_2[8] = { BY(PREFIX, pp_xgetbv), BY(PREFIX, pp_xsetbv) };
static const struct op_entry pp_vmmcall[4] = { E(HYPERCALL, V, NONE, NONE, NONE) };
static const struct op_entry rm_01_3[8] = { UNDEF, BY(PREFIX, pp_vmmcall) };
static const struct op_entry mode_swapgs[2] = { UNDEF, E(SWAPGS, N, NONE, NONE, NONE) };
static const struct op_entry rm_01_7[8] = {
	BY(MODE, mode_swapgs), E(RDTSCP, V, NONE, NONE, RDTSCP), UNDEF, UNDEF, E(CLZERO, V, NONE, NONE, CLZERO),
};
#define SMSW M(SMSW, V, RM, NONE, 2, NONE, ENTRY_WO)
#define LMSW M(LMSW, W, RM, NONE, 2, NONE, ENTRY_RO)
static const struct op_entry group_01_mem[8] = {
	M(SGDT, T, RM, NONE, TABLE, NONE, ENTRY_WO), M(SIDT, T, RM, NONE, TABLE, NONE, ENTRY_WO),
	M(LGDT, T, RM, NONE, TABLE, NONE, ENTRY_RO), M(LIDT, T, RM, NONE, TABLE, NONE, ENTRY_RO),
	SMSW, UNDEF, LMSW, M(INVLPG, N, RM, NONE, NONE, NONE, ENTRY_RO),
};
static const struct op_entry group_01_reg[8] = {
	BY(RM, rm_01_0), BY(RM, rm_01_1), BY(RM, rm_01_2), BY(RM, rm_01_3), SMSW, UNDEF, LMSW, BY(RM, rm_01_7),
};
static const struct op_entry mod_01[2] = { BY(REG, group_01_mem), BY(REG, group_01_reg) };

#define HINT M(NOP, V, NONE, RM, NONE, NONE, 0)
#define PREFETCH_AS(ft) M(PREFETCH, B, NONE, RM, NONE, ft, 0)
static const struct op_entry group_0d_mem[8] = { [0 ... 7] = PREFETCH_AS(3DNOWPREFETCH) };
static const struct op_entry mod_0d[2] = { BY(REG, group_0d_mem), UNDEF };
static const struct op_entry group_18_mem[8] = { [0 ... 3] = PREFETCH_AS(NONE), [4 ... 7] = HINT };
static const struct op_entry mod_18[2] = { BY(REG, group_18_mem), HINT };

/* Save areas and fences. */
static const struct op_entry pp_ae_m0[4] = { M(FXSAVE, Y, RM, NONE, 512, FXSR, ENTRY_WO) };
static const struct op_entry pp_ae_m1[4] = { M(FXRSTOR, Y, RM, NONE, 512, FXSR, ENTRY_RO) };
static const struct op_entry pp_ae_m2[4] = { M(LDMXCSR, D, RM, NONE, 4, SSE, ENTRY_RO) };
static const struct op_entry pp_ae_m3[4] = { M(STMXCSR, D, RM, NONE, 4, SSE, ENTRY_WO) };
static const struct op_entry pp_ae_m4[4] = { M(XSAVE, Y, RM, NONE, NONE, XSAVE, ENTRY_WO) };
static const struct op_entry pp_ae_m5[4] = { M(XRSTOR, Y, RM, NONE, NONE, XSAVE, ENTRY_RO) };
static const struct op_entry pp_ae_m6[4] = {
	M(XSAVEOPT, Y, RM, NONE, NONE, XSAVEOPT, ENTRY_WO), M(CLFLUSH, B, RM, NONE, NONE, CLWB, ENTRY_RO),
};
static const struct op_entry pp_ae_m7[4] = {
	M(CLFLUSH, B, RM, NONE, NONE, CLFLUSH, ENTRY_RO), M(CLFLUSH, B, RM, NONE, NONE, CLFLUSHOPT, ENTRY_RO),
};
static const struct op_entry group_ae_mem[8] = {
	BY(PREFIX, pp_ae_m0), BY(PREFIX, pp_ae_m1), BY(PREFIX, pp_ae_m2), BY(PREFIX, pp_ae_m3),
	BY(PREFIX, pp_ae_m4), BY(PREFIX, pp_ae_m5), BY(PREFIX, pp_ae_m6), BY(PREFIX, pp_ae_m7),
};
#define BASE_OP(o, acc) { UNDEF, UNDEF, M(o, Y, RM, NONE, OPSIZE, FSGSBASE, acc) }
static const struct op_entry pp_rdfsbase[4] = BASE_OP(RDFSBASE, ENTRY_WO);
static const struct op_entry pp_rdgsbase[4] = BASE_OP(RDGSBASE, ENTRY_WO);
static const struct op_entry pp_wrfsbase[4] = BASE_OP(WRFSBASE, ENTRY_RO);
static const struct op_entry pp_wrgsbase[4] = BASE_OP(WRGSBASE, ENTRY_RO);
static const struct op_entry mode_rdfsbase[2] = { UNDEF, BY(PREFIX, pp_rdfsbase) };
static const struct op_entry mode_rdgsbase[2] = { UNDEF, BY(PREFIX, pp_rdgsbase) };
static const struct op_entry mode_wrfsbase[2] = { UNDEF, BY(PREFIX, pp_wrfsbase) };
static const struct op_entry mode_wrgsbase[2] = { UNDEF, BY(PREFIX, pp_wrgsbase) };
static const struct op_entry pp_lfence[4] = { E(LFENCE, V, NONE, NONE, SSE2) };
static const struct op_entry pp_mfence[4] = { E(MFENCE, V, NONE, NONE, SSE2) };
static const struct op_entry pp_sfence[4] = { E(SFENCE, V, NONE, NONE, SSE) };
static const struct op_entry group_ae_reg[8] = {
	BY(MODE, mode_rdfsbase), BY(MODE, mode_rdgsbase), BY(MODE, mode_wrfsbase), BY(MODE, mode_wrgsbase), UNDEF,
	BY(PREFIX, pp_lfence), BY(PREFIX, pp_mfence), BY(PREFIX, pp_sfence),
};
static const struct op_entry mod_ae[2] = { BY(REG, group_ae_mem), BY(REG, group_ae_reg) };

static const struct op_entry group_ba[8] = {
	[4] = OPX(BT, V, RM, IMM, NONE, B, OPSIZE, NONE, ENTRY_MODRM | ENTRY_RO),
	[5] = OPX(BTS, V, RM, IMM, NONE, B, OPSIZE, NONE, ENTRY_MODRM),
	[6] = OPX(BTR, V, RM, IMM, NONE, B, OPSIZE, NONE, ENTRY_MODRM),
	[7] = OPX(BTC, V, RM, IMM, NONE, B, OPSIZE, NONE, ENTRY_MODRM),
};

/* The decoder turns CMPXCHG8B into CMPXCHG16B when REX.W is given. */
static const struct op_entry pp_c7_m3[4] = { M(XRSTORS, Y, RM, NONE, NONE, XSAVES, ENTRY_RO) };
static const struct op_entry pp_c7_m4[4] = { M(XSAVEC, Y, RM, NONE, NONE, XSAVEC, ENTRY_WO) };
static const struct op_entry pp_c7_m5[4] = { M(XSAVES, Y, RM, NONE, NONE, XSAVES, ENTRY_WO) };
static const struct op_entry group_c7_mem[8] = {
	UNDEF, M(CMPXCHG8B, Y, RM, NONE, PAIR, CX8, 0), UNDEF, BY(PREFIX, pp_c7_m3), BY(PREFIX, pp_c7_m4), BY(PREFIX, pp_c7_m5),
};
static const struct op_entry pp_rdrand[4] = { M(RDRAND, V, RM, NONE, OPSIZE, RDRAND, ENTRY_WO),
	M(RDRAND, V, RM, NONE, OPSIZE, RDRAND, ENTRY_WO) };
static const struct op_entry pp_rdseed[4] = {
	M(RDSEED, V, RM, NONE, OPSIZE, RDSEED, ENTRY_WO), M(RDSEED, V, RM, NONE, OPSIZE, RDSEED, ENTRY_WO),
	M(RDPID, N, RM, NONE, OPSIZE, RDPID, ENTRY_WO),
};
static const struct op_entry group_c7_reg[8] = { [6] = BY(PREFIX, pp_rdrand), [7] = BY(PREFIX, pp_rdseed) };
static const struct op_entry mod_c7[2] = { BY(REG, group_c7_mem), BY(REG, group_c7_reg) };

#define BIT_SCAN(np, f3, ft) { M(np, V, REG, RM, OPSIZE, NONE, 0), M(np, V, REG, RM, OPSIZE, NONE, 0), \
	M(f3, V, REG, RM, OPSIZE, ft, 0), M(np, V, REG, RM, OPSIZE, NONE, 0) }
/* Where the guest has no BMI1/LZCNT the F3 is ignored: x86_exec() sees to that, so no gate here. */
static const struct op_entry pp_bc[4] = BIT_SCAN(BSF, TZCNT, NONE);
static const struct op_entry pp_bd[4] = BIT_SCAN(BSR, LZCNT, NONE);
static const struct op_entry pp_b8[4] = { UNDEF, UNDEF, M(POPCNT, V, REG, RM, OPSIZE, POPCNT, 0), UNDEF };
static const struct op_entry pp_c3[4] = { M(MOVNTI, Y, RM, REG, OPSIZE, SSE2, ENTRY_WO | ENTRY_MEMONLY) };

#define BIT_OP(o, fl) M(o, V, RM, REG, OPSIZE, NONE, fl)
#define SHIFT2(o, src, im) OPX(o, V, RM, REG, src, im, OPSIZE, NONE, ENTRY_MODRM)

const struct op_entry decode_map_0f[256] = {
	[0x00] = BY(REG, group_00), [0x01] = BY(MOD, mod_01),
	[0x02] = M(LAR, V, REG, RM, 2, NONE, ENTRY_SRC2), [0x03] = M(LSL, V, REG, RM, 2, NONE, ENTRY_SRC2),
	[0x05] = E(SYSCALL, V, NONE, NONE, SYSCALL), [0x06] = E(CLTS, V, NONE, NONE, NONE),
	[0x07] = E(SYSRET, Y, NONE, NONE, SYSCALL),
	[0x08] = E(INVD, V, NONE, NONE, NONE), [0x09] = E(WBINVD, V, NONE, NONE, NONE), [0x0b] = E(UD, V, NONE, NONE, NONE),
	[0x0d] = BY(MOD, mod_0d), [0x18] = BY(MOD, mod_18), [0x19 ... 0x1f] = HINT,
	[0x20] = M(MOV_FROM_CR, N, RM, CR, NONE, NONE, 0), [0x21] = M(MOV_FROM_DR, N, RM, DR, NONE, NONE, 0),
	[0x22] = M(MOV_TO_CR, N, CR, RM, NONE, NONE, 0), [0x23] = M(MOV_TO_DR, N, DR, RM, NONE, NONE, 0),
	[0x30] = E(WRMSR, V, NONE, NONE, NONE), [0x31] = E(RDTSC, V, NONE, NONE, NONE), [0x32] = E(RDMSR, V, NONE, NONE, NONE),
	[0x33] = E(RDPMC, V, NONE, NONE, NONE), [0x34] = E(SYSENTER, V, NONE, NONE, SEP), [0x35] = E(SYSEXIT, Y, NONE, NONE, SEP),
	[0x40 ... 0x4f] = M(CMOVCC, V, REG, RM, OPSIZE, CMOV, ENTRY_COND),
	[0x80 ... 0x8f] = OPX(JCC, F64, IMM, NONE, NONE, Z, OPSIZE, NONE, ENTRY_COND),
	[0x90 ... 0x9f] = M(SETCC, B, RM, NONE, OPSIZE, NONE, ENTRY_COND | ENTRY_WO),
	[0xa0] = E(PUSH_SREG, D64, SREG, NONE, NONE), [0xa1] = E(POP_SREG, D64, SREG, NONE, NONE),
	[0xa8] = E(PUSH_SREG, D64, SREG, NONE, NONE), [0xa9] = E(POP_SREG, D64, SREG, NONE, NONE),
	[0xa2] = E(CPUID, V, NONE, NONE, NONE),
	[0xa3] = BIT_OP(BT, ENTRY_RO), [0xab] = BIT_OP(BTS, 0), [0xb3] = BIT_OP(BTR, 0), [0xbb] = BIT_OP(BTC, 0),
	[0xa4] = SHIFT2(SHLD, IMM, B), [0xa5] = SHIFT2(SHLD, CL, NONE), [0xac] = SHIFT2(SHRD, IMM, B),
	[0xad] = SHIFT2(SHRD, CL, NONE),
	[0xae] = BY(MOD, mod_ae), [0xaf] = M(IMUL2, V, REG, RM, OPSIZE, NONE, 0),
	[0xb0] = M(CMPXCHG, B, RM, REG, OPSIZE, NONE, 0), [0xb1] = M(CMPXCHG, V, RM, REG, OPSIZE, NONE, 0),
	[0xb2] = M(LSS, V, REG, RM, FAR, NONE, ENTRY_MEMONLY), [0xb4] = M(LFS, V, REG, RM, FAR, NONE, ENTRY_MEMONLY),
	[0xb5] = M(LGS, V, REG, RM, FAR, NONE, ENTRY_MEMONLY),
	[0xb6] = M(MOVZX, V, REG, RM, SRC, NONE, ENTRY_SRC1), [0xb7] = M(MOVZX, V, REG, RM, SRC, NONE, ENTRY_SRC2),
	[0xbe] = M(MOVSX, V, REG, RM, SRC, NONE, ENTRY_SRC1), [0xbf] = M(MOVSX, V, REG, RM, SRC, NONE, ENTRY_SRC2),
	[0xb8] = BY(PREFIX, pp_b8), [0xb9] = M(UD, V, NONE, RM, NONE, NONE, 0), [0xba] = BY(REG, group_ba),
	[0xbc] = BY(PREFIX, pp_bc), [0xbd] = BY(PREFIX, pp_bd),
	[0xc0] = M(XADD, B, RM, REG, OPSIZE, NONE, 0), [0xc1] = M(XADD, V, RM, REG, OPSIZE, NONE, 0),
	[0xc3] = BY(PREFIX, pp_c3), [0xc7] = BY(MOD, mod_c7),
	[0xc8 ... 0xcf] = E(BSWAP, V, OPREG, NONE, NONE),
	[0xff] = M(UD, V, NONE, RM, NONE, NONE, 0),
};

/* F2 selects CRC32 and lets 66 be the source's size. */
#define MOVBE_LOAD M(MOVBE, V, REG, RM, OPSIZE, MOVBE, ENTRY_MEMONLY)
#define MOVBE_STORE M(MOVBE, V, RM, REG, OPSIZE, MOVBE, ENTRY_MEMONLY | ENTRY_WO)
#define CRC32_BYTE M(CRC32, Y, REG, RM, SRC, SSE42, ENTRY_SRC1)
#define CRC32_WORD M(CRC32, Y, REG, RM, SRC, SSE42, 0)
static const struct op_entry pp_f0[4] = { [PP_NP] = MOVBE_LOAD, [PP_66] = MOVBE_LOAD, [PP_F2] = CRC32_BYTE };
static const struct op_entry pp_f1[4] = { [PP_NP] = MOVBE_STORE, [PP_66] = MOVBE_STORE, [PP_F2] = CRC32_WORD };
static const struct op_entry pp_f6[4] = { UNDEF, M(ADCX, Y, REG, RM, OPSIZE, ADX, 0), M(ADOX, Y, REG, RM, OPSIZE, ADX, 0),
	UNDEF };
static const struct op_entry pp_82[4] = { UNDEF, M(INVPCID, N, REG, RM, 16, INVPCID, ENTRY_MEMONLY) };
static const struct op_entry by_f0 = BY(PREFIX, pp_f0), by_f1 = BY(PREFIX, pp_f1), by_f6 = BY(PREFIX, pp_f6),
	by_82 = BY(PREFIX, pp_82);

const struct op_entry *decode_legacy_0f38(unsigned opcode)
{
	switch (opcode) {
	case 0x82: return &by_82;
	case 0xf0: return &by_f0;
	case 0xf1: return &by_f1;
	case 0xf6: return &by_f6;
	default: return NULL;
	}
}

#define VEX3(o, d, s1, s2, ft) OPX(o, Y, d, s1, s2, NONE, OPSIZE, ft, ENTRY_MODRM)
static const struct op_entry vex_f2 = VEX3(ANDN, REG, VVVV, RM, BMI1);
static const struct op_entry vex_f3_group[8] = {
	UNDEF, VEX3(BLSR, VVVV, RM, NONE, BMI1), VEX3(BLSMSK, VVVV, RM, NONE, BMI1), VEX3(BLSI, VVVV, RM, NONE, BMI1),
};
static const struct op_entry vex_f3 = BY(REG, vex_f3_group);
static const struct op_entry vex_f5[4] = {
	VEX3(BZHI, REG, RM, VVVV, BMI2), UNDEF, VEX3(PEXT, REG, VVVV, RM, BMI2), VEX3(PDEP, REG, VVVV, RM, BMI2),
};
static const struct op_entry vex_f6[4] = { [PP_F2] = VEX3(MULX, REG, VVVV, RM, BMI2) };
static const struct op_entry vex_f7[4] = {
	VEX3(BEXTR, REG, RM, VVVV, BMI1), VEX3(SHLX, REG, RM, VVVV, BMI2), VEX3(SARX, REG, RM, VVVV, BMI2),
	VEX3(SHRX, REG, RM, VVVV, BMI2),
};
static const struct op_entry vex_rorx = OPX(RORX, Y, REG, RM, IMM, B, OPSIZE, BMI2, ENTRY_MODRM);

/* VLDMXCSR and VSTMXCSR differ from the legacy forms in nothing but the encoding. */
static const struct op_entry vex_ae_group[8] = {
	[2] = M(LDMXCSR, D, RM, NONE, 4, AVX, ENTRY_RO | ENTRY_MEMONLY),
	[3] = M(STMXCSR, D, RM, NONE, 4, AVX, ENTRY_WO | ENTRY_MEMONLY),
};
static const struct op_entry vex_ae = BY(REG, vex_ae_group);

const struct op_entry *decode_vex_integer(unsigned map, unsigned opcode, unsigned pp)
{
	if (map == 1)
		return opcode == 0xae && pp == PP_NP ? &vex_ae : NULL;
	if (map == 3)
		return opcode == 0xf0 && pp == PP_F2 ? &vex_rorx : NULL;
	if (map != 2)
		return NULL;
	switch (opcode) {
	case 0xf2: return pp == PP_NP ? &vex_f2 : NULL;
	case 0xf3: return pp == PP_NP ? &vex_f3 : NULL;
	case 0xf5: return &vex_f5[pp];
	case 0xf6: return &vex_f6[pp];
	case 0xf7: return &vex_f7[pp];
	default: return NULL;
	}
}
