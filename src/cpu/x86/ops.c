/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about operations: names, flags read and written, attributes. */
#include "cpu/x86/decode_tables.h"
#include "cpu/x86/state.h"

#define CF X86_FLAG_CF
#define PF X86_FLAG_PF
#define AF X86_FLAG_AF
#define ZF X86_FLAG_ZF
#define SF X86_FLAG_SF
#define OF X86_FLAG_OF
#define DF X86_FLAG_DF
#define ALL X86_FLAGS_ARITH
#define LOCKABLE X86_OPA_LOCK
#define PRIV X86_OPA_PRIV
#define BRANCH X86_OPA_BRANCH
#define SYSTEM X86_OPA_SYSTEM
#define NATIVE X86_OPA_NATIVE
#define STRING X86_OPA_STRING

#define OP(name, rd, wr, undef, at) [X86_OP_##name] = { #name, (rd), (wr), (undef), (at) }
#define PLAIN(name) OP(name, 0, 0, 0, 0)
#define SYS(name, at) OP(name, 0, 0, 0, at)

static const struct x86_op_info infos[X86_OP_COUNT] = {
	[X86_OP_NONE] = { "NONE", 0, 0, 0, 0 },
	OP(ADD, 0, ALL, 0, LOCKABLE), OP(OR, 0, ALL & ~AF, AF, LOCKABLE), OP(ADC, CF, ALL, 0, LOCKABLE),
	OP(SBB, CF, ALL, 0, LOCKABLE),
	OP(AND, 0, ALL & ~AF, AF, LOCKABLE), OP(SUB, 0, ALL, 0, LOCKABLE), OP(XOR, 0, ALL & ~AF, AF, LOCKABLE),
	OP(CMP, 0, ALL, 0, 0),
	OP(ROL, 0, CF | OF, 0, 0), OP(ROR, 0, CF | OF, 0, 0), OP(RCL, CF, CF | OF, 0, 0), OP(RCR, CF, CF | OF, 0, 0),
	OP(SHL, 0, ALL & ~AF, AF, 0), OP(SHR, 0, ALL & ~AF, AF, 0), OP(SAL, 0, ALL & ~AF, AF, 0), OP(SAR, 0, ALL & ~AF, AF, 0),
	OP(TEST, 0, ALL & ~AF, AF, 0), OP(NOT, 0, 0, 0, LOCKABLE), OP(NEG, 0, ALL, 0, LOCKABLE),
	OP(MUL, 0, CF | OF, SF | ZF | AF | PF, 0), OP(IMUL1, 0, CF | OF, SF | ZF | AF | PF, 0),
	OP(DIV, 0, 0, ALL, 0), OP(IDIV, 0, 0, ALL, 0),
	OP(IMUL2, 0, CF | OF, SF | ZF | AF | PF, 0), OP(IMUL3, 0, CF | OF, SF | ZF | AF | PF, 0),
	OP(INC, 0, ALL & ~CF, 0, LOCKABLE), OP(DEC, 0, ALL & ~CF, 0, LOCKABLE),
	PLAIN(MOV), PLAIN(MOVZX), PLAIN(MOVSX), PLAIN(LEA), SYS(XCHG, LOCKABLE), OP(CMPXCHG, 0, ALL, 0, LOCKABLE),
	OP(CMPXCHG8B, 0, ZF, 0, LOCKABLE), OP(CMPXCHG16B, 0, ZF, 0, LOCKABLE), OP(XADD, 0, ALL, 0, LOCKABLE), PLAIN(BSWAP),
	PLAIN(MOVBE), PLAIN(MOVNTI), PLAIN(PUSH), PLAIN(POP), PLAIN(PUSHA), PLAIN(POPA),
	OP(PUSHF, ALL | DF, 0, 0, 0), OP(POPF, 0, ALL | DF, 0, SYSTEM), PLAIN(ENTER), PLAIN(LEAVE), PLAIN(PUSH_SREG),
	SYS(POP_SREG, SYSTEM), OP(SHLD, 0, ALL & ~AF, AF, 0), OP(SHRD, 0, ALL & ~AF, AF, 0),
	OP(BT, 0, CF, OF | SF | AF | PF, 0), OP(BTS, 0, CF, OF | SF | AF | PF, LOCKABLE),
	OP(BTR, 0, CF, OF | SF | AF | PF, LOCKABLE),
	OP(BTC, 0, CF, OF | SF | AF | PF, LOCKABLE), OP(BSF, 0, ZF, ALL & ~ZF, 0), OP(BSR, 0, ZF, ALL & ~ZF, 0),
	OP(TZCNT, 0, CF | ZF, OF | SF | PF | AF, 0), OP(LZCNT, 0, CF | ZF, OF | SF | PF | AF, 0), OP(POPCNT, 0, ALL, 0, 0),
	PLAIN(CRC32),
	OP(SETCC, ALL & ~AF, 0, 0, 0), OP(CMOVCC, ALL & ~AF, 0, 0, 0), PLAIN(CBW), PLAIN(CWD),
	OP(LAHF, ALL & ~OF, 0, 0, 0), OP(SAHF, 0, ALL & ~OF, 0, 0), OP(CLC, 0, CF, 0, 0), OP(STC, 0, CF, 0, 0),
	OP(CMC, CF, CF, 0, 0),
	OP(CLD, 0, DF, 0, 0), OP(STD, 0, DF, 0, 0), OP(SALC, CF, 0, 0, 0), PLAIN(XLAT),
	OP(DAA, CF | AF, ALL & ~OF, OF, 0), OP(DAS, CF | AF, ALL & ~OF, OF, 0), OP(AAA, AF, CF | AF, OF | SF | ZF | PF, 0),
	OP(AAS, AF, CF | AF, OF | SF | ZF | PF, 0), OP(AAM, 0, SF | ZF | PF, OF | AF | CF, 0),
	OP(AAD, 0, SF | ZF | PF, OF | AF | CF, 0),
	PLAIN(BOUND), PLAIN(NOP), PLAIN(PAUSE), PLAIN(PREFETCH), PLAIN(LFENCE), PLAIN(SFENCE), PLAIN(MFENCE),
	PLAIN(CLFLUSH), PLAIN(CLZERO),
	OP(ANDN, 0, ALL & ~(AF | PF), AF | PF, 0), OP(BEXTR, 0, CF | ZF | OF, AF | SF | PF, 0),
	OP(BLSI, 0, ALL & ~(AF | PF), AF | PF, 0), OP(BLSMSK, 0, ALL & ~(AF | PF), AF | PF, 0),
	OP(BLSR, 0, ALL & ~(AF | PF), AF | PF, 0),
	OP(BZHI, 0, ALL & ~(AF | PF), AF | PF, 0), PLAIN(MULX), PLAIN(PDEP), PLAIN(PEXT), PLAIN(RORX), PLAIN(SARX),
	PLAIN(SHLX), PLAIN(SHRX),
	OP(ADCX, CF, CF, 0, 0), OP(ADOX, OF, OF, 0, 0),

	OP(MOVS, DF, 0, 0, STRING), OP(CMPS, DF, ALL, 0, STRING), OP(STOS, DF, 0, 0, STRING), OP(LODS, DF, 0, 0, STRING),
	OP(SCAS, DF, ALL, 0, STRING), OP(INS, DF, 0, 0, STRING), OP(OUTS, DF, 0, 0, STRING),

	OP(JCC, ALL & ~AF, 0, 0, BRANCH), SYS(JMP, BRANCH), SYS(JMP_IND, BRANCH), SYS(CALL, BRANCH), SYS(CALL_IND, BRANCH),
	SYS(RET, BRANCH),
	OP(LOOPNE, ZF, 0, 0, BRANCH), OP(LOOPE, ZF, 0, 0, BRANCH), SYS(LOOP, BRANCH), SYS(JCXZ, BRANCH),

	SYS(JMPF, BRANCH | SYSTEM), SYS(JMPF_IND, BRANCH | SYSTEM), SYS(CALLF, BRANCH | SYSTEM), SYS(CALLF_IND, BRANCH | SYSTEM),
	SYS(RETF, BRANCH | SYSTEM), OP(IRET, ALL | DF, ALL | DF, 0, BRANCH | SYSTEM), OP(INT, ALL | DF, 0, 0, BRANCH | SYSTEM),
	OP(INT3, ALL | DF, 0, 0, BRANCH | SYSTEM), OP(INT1, ALL | DF, 0, 0, BRANCH | SYSTEM),
	OP(INTO, ALL | DF, 0, 0, BRANCH | SYSTEM),
	OP(SYSCALL, ALL | DF, 0, 0, BRANCH | SYSTEM), OP(SYSRET, 0, ALL | DF, 0, PRIV | BRANCH | SYSTEM),
	OP(SYSENTER, ALL | DF, 0, 0, BRANCH | SYSTEM), SYS(SYSEXIT, PRIV | BRANCH | SYSTEM), OP(UD, ALL | DF, 0, 0, BRANCH),
	SYS(IN, SYSTEM), SYS(OUT, SYSTEM), SYS(CLI, SYSTEM), SYS(STI, SYSTEM), SYS(HLT, PRIV | BRANCH | SYSTEM), PLAIN(CPUID),
	PLAIN(RDTSC), PLAIN(RDTSCP), PLAIN(RDPMC), SYS(RDMSR, PRIV), SYS(WRMSR, PRIV | SYSTEM), PLAIN(RDPID),
	PLAIN(MOV_FROM_SREG), SYS(MOV_TO_SREG, SYSTEM), SYS(LES, SYSTEM), SYS(LDS, SYSTEM), SYS(LFS, SYSTEM),
	SYS(LGS, SYSTEM), SYS(LSS, SYSTEM),
	OP(ARPL, 0, ZF, 0, 0), OP(LAR, 0, ZF, 0, 0), OP(LSL, 0, ZF, 0, 0), OP(VERR, 0, ZF, 0, 0), OP(VERW, 0, ZF, 0, 0),
	SYS(LGDT, PRIV), SYS(LIDT, PRIV), PLAIN(SGDT), PLAIN(SIDT), SYS(LLDT, 0), PLAIN(SLDT), SYS(LTR, 0), PLAIN(STR),
	SYS(LMSW, PRIV | SYSTEM), PLAIN(SMSW), SYS(CLTS, PRIV | SYSTEM), SYS(MOV_FROM_CR, PRIV), SYS(MOV_TO_CR, PRIV | SYSTEM),
	SYS(MOV_FROM_DR, PRIV), SYS(MOV_TO_DR, PRIV | SYSTEM), SYS(INVLPG, PRIV | SYSTEM), SYS(INVPCID, PRIV | SYSTEM),
	SYS(INVD, PRIV),
	SYS(WBINVD, PRIV), SYS(SWAPGS, PRIV | SYSTEM), PLAIN(RDFSBASE), PLAIN(RDGSBASE), PLAIN(WRFSBASE), PLAIN(WRGSBASE),
	SYS(STAC, SYSTEM), SYS(CLAC, SYSTEM), PLAIN(XGETBV), SYS(XSETBV, PRIV | SYSTEM), SYS(MONITOR, 0),
	SYS(MWAIT, BRANCH | SYSTEM),
	OP(RDRAND, 0, ALL, 0, 0), OP(RDSEED, 0, ALL, 0, 0), SYS(HYPERCALL, SYSTEM),

	PLAIN(FXSAVE), PLAIN(FXRSTOR), PLAIN(XSAVE), PLAIN(XSAVEOPT), PLAIN(XSAVEC), SYS(XSAVES, PRIV), PLAIN(XRSTOR),
	SYS(XRSTORS, PRIV),
	PLAIN(FNSTENV), PLAIN(FLDENV), PLAIN(FNSAVE), PLAIN(FRSTOR), PLAIN(LDMXCSR), PLAIN(STMXCSR),

	SYS(X87, NATIVE), SYS(FWAIT, NATIVE), SYS(MMX, NATIVE), SYS(SSE, NATIVE), SYS(AVX, NATIVE), SYS(MASKMOV, NATIVE),
	SYS(VMASKMOV, NATIVE), SYS(GATHER, NATIVE),
};

const struct x86_op_info *x86_op_info(unsigned op)
{
	return &infos[op < X86_OP_COUNT ? op : X86_OP_NONE];
}

static uint16_t condition_flags(unsigned cond)
{
	static const uint16_t read[8] = { OF, CF, ZF, CF | ZF, SF, PF, SF | OF, SF | OF | ZF };

	return read[cond >> 1 & 7];
}

static bool is_x87_register(const struct insn *insn)
{
	return insn->op == X86_OP_X87 && !(insn->flags & INSN_MEM);
}

static uint16_t x87_flags_read(const struct insn *insn)
{
	static const uint16_t read[4] = { CF, ZF, CF | ZF, PF };
	bool fcmov = is_x87_register(insn) && (insn->opcode == 0xda || insn->opcode == 0xdb) && insn->modrm < 0xe0;

	return fcmov ? read[insn->modrm >> 3 & 3] : 0;
}

/* FCOMI and its kin; what they do to OF, SF, AF is not relied upon. */
static uint16_t x87_flags_killed(const struct insn *insn)
{
	unsigned reg = insn->modrm >> 3 & 7;
	bool comi = is_x87_register(insn) && (insn->opcode == 0xdb || insn->opcode == 0xdf) && (reg == 5 || reg == 6);

	return comi ? CF | PF | ZF : 0;
}

/* A shift count that is not known to be nonzero leaves the flags as they were. */
static bool count_may_be_zero(const struct insn *insn)
{
	unsigned mask = insn->opsize == 8 ? 63 : 31;
	unsigned kind = insn->op == X86_OP_SHLD || insn->op == X86_OP_SHRD ? insn->opnd[2] : insn->opnd[1];

	if (kind == X86_OPD_ONE)
		return false;
	return kind == X86_OPD_CL || (insn->imm & mask) == 0;
}

static bool is_rep(const struct insn *insn)
{
	return insn->flags & (INSN_REP | INSN_REPNE);
}

uint16_t insn_flags_read(const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_JCC:
	case X86_OP_SETCC:
	case X86_OP_CMOVCC: return condition_flags(insn->cond);
	case X86_OP_X87: return x87_flags_read(insn);
	case X86_OP_AVX:
	case X86_OP_SSE:
	case X86_OP_MMX: return 0;
	default: return x86_op_info(insn->op)->flags_read;
	}
}

uint16_t insn_flags_killed(const struct insn *insn)
{
	const struct x86_op_info *info = x86_op_info(insn->op);

	switch (insn->op) {
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR:
	case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAL: case X86_OP_SAR:
	case X86_OP_SHLD: case X86_OP_SHRD:
		return count_may_be_zero(insn) ? 0 : info->flags_written;
	case X86_OP_CMPS:
	case X86_OP_SCAS: return is_rep(insn) ? 0 : info->flags_written;
	case X86_OP_POPF: return info->flags_written;
	case X86_OP_X87: return x87_flags_killed(insn);
	case X86_OP_SSE:
	case X86_OP_AVX:
		return decode_vector_row(insn->map, insn->opcode, insn->vex_pp)->flags & VEC_FLAGS ? ALL : 0;
	default: return info->flags_written;
	}
}
