/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic with exact flags, by running the same instruction on the
 * host: what the architecture leaves undefined comes out as this CPU has it,
 * in the interpreter as in translated code.
 *
 * Flags travel through AH (LAHF, SAHF: SF ZF AF PF CF) and AL (OF; adding 7Fh
 * restores it), which needs no stack. @fl is a pointer to RFLAGS; other bits in
 * it are kept. Values are zero-extended to 64 bits; @size is 1, 2, 4 or 8.
 */
#ifndef LODGE_CPU_X86_ALU_H
#define LODGE_CPU_X86_ALU_H

#include "cpu/x86/state.h"

static LODGE_ALWAYS_INLINE uint32_t alu_flags_pack(uint64_t fl)
{
	return (uint32_t)(fl & 0xd5) << 8 | (uint32_t)(fl >> 11 & 1);
}

static LODGE_ALWAYS_INLINE void alu_flags_unpack(uint64_t *fl, uint32_t ax)
{
	*fl = (*fl & ~(uint64_t)X86_FLAGS_ARITH) | (ax >> 8 & 0xd5) | (uint64_t)(ax & 1) << 11;
}

static LODGE_ALWAYS_INLINE uint64_t alu_mask(unsigned size)
{
	return ~UINT64_C(0) >> (64 - 8 * size);
}

static LODGE_ALWAYS_INLINE uint64_t alu_sext(uint64_t v, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

#define ALU_FLAGS_IN "addb $0x7f, %%al\n\tsahf\n\t"
#define ALU_FLAGS_OUT "\n\tlahf\n\tseto %%al"

/* a = a op b; all flags come from the operation. */
#define ALU_BINARY_ONE(insn, mod, type) \
	__asm__(insn " %" mod "[b], %" mod "[a]" ALU_FLAGS_OUT : [a] "+r"(a), "=&a"(ax) : [b] "r"((type)b) : "cc")
#define ALU_BINARY(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *fl) \
	{ \
		uint32_t ax; \
		switch (size) { \
		case 1: ALU_BINARY_ONE(insn "b", "b", uint8_t); break; \
		case 2: ALU_BINARY_ONE(insn "w", "w", uint16_t); break; \
		case 4: ALU_BINARY_ONE(insn "l", "k", uint32_t); break; \
		default: ALU_BINARY_ONE(insn "q", "q", uint64_t); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a & alu_mask(size); \
	}
ALU_BINARY(add, "add")
ALU_BINARY(or, "or")
ALU_BINARY(and, "and")
ALU_BINARY(sub, "sub")
ALU_BINARY(xor, "xor")
ALU_BINARY(cmp, "cmp")
ALU_BINARY(test, "test")

/* a = a op b where flags also go in: carry, or flags that stay. */
#define ALU_FLAGGED_ONE(insn, mod, type) \
	__asm__(ALU_FLAGS_IN insn " %" mod "[b], %" mod "[a]" ALU_FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : [b] "r"((type)b) : "cc")
#define ALU_FLAGGED(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 1: ALU_FLAGGED_ONE(insn "b", "b", uint8_t); break; \
		case 2: ALU_FLAGGED_ONE(insn "w", "w", uint16_t); break; \
		case 4: ALU_FLAGGED_ONE(insn "l", "k", uint32_t); break; \
		default: ALU_FLAGGED_ONE(insn "q", "q", uint64_t); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a & alu_mask(size); \
	}
ALU_FLAGGED(adc, "adc")
ALU_FLAGGED(sbb, "sbb")

/* No byte forms. A zero source leaves BSF's destination as the host does. */
#define ALU_FLAGGED_WIDE(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 2: ALU_FLAGGED_ONE(insn "w", "w", uint16_t); break; \
		case 4: ALU_FLAGGED_ONE(insn "l", "k", uint32_t); break; \
		default: ALU_FLAGGED_ONE(insn "q", "q", uint64_t); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a; \
	}
ALU_FLAGGED_WIDE(imul, "imul")
ALU_FLAGGED_WIDE(bsf, "bsf")
ALU_FLAGGED_WIDE(bsr, "bsr")
ALU_FLAGGED_WIDE(tzcnt, "tzcnt")
ALU_FLAGGED_WIDE(lzcnt, "lzcnt")
ALU_FLAGGED_WIDE(popcnt, "popcnt")
ALU_FLAGGED_WIDE(bt, "bt")
ALU_FLAGGED_WIDE(bts, "bts")
ALU_FLAGGED_WIDE(btr, "btr")
ALU_FLAGGED_WIDE(btc, "btc")

#define ALU_UNARY_ONE(insn, mod) __asm__(ALU_FLAGS_IN insn " %" mod "[a]" ALU_FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : : "cc")
#define ALU_UNARY(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 1: ALU_UNARY_ONE(insn "b", "b"); break; \
		case 2: ALU_UNARY_ONE(insn "w", "w"); break; \
		case 4: ALU_UNARY_ONE(insn "l", "k"); break; \
		default: ALU_UNARY_ONE(insn "q", "q"); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a & alu_mask(size); \
	}
ALU_UNARY(inc, "inc")
ALU_UNARY(dec, "dec")
ALU_UNARY(neg, "neg")

static LODGE_ALWAYS_INLINE uint64_t alu_not(unsigned size, uint64_t a, uint64_t *fl)
{
	(void)fl;
	return ~a & alu_mask(size);
}

#define ALU_SHIFT_ONE(insn, mod) \
	__asm__(ALU_FLAGS_IN insn " %%cl, %" mod "[a]" ALU_FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : "c"(count) : "cc")
#define ALU_SHIFT(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t count, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 1: ALU_SHIFT_ONE(insn "b", "b"); break; \
		case 2: ALU_SHIFT_ONE(insn "w", "w"); break; \
		case 4: ALU_SHIFT_ONE(insn "l", "k"); break; \
		default: ALU_SHIFT_ONE(insn "q", "q"); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a & alu_mask(size); \
	}
ALU_SHIFT(rol, "rol")
ALU_SHIFT(ror, "ror")
ALU_SHIFT(rcl, "rcl")
ALU_SHIFT(rcr, "rcr")
ALU_SHIFT(shl, "shl")
ALU_SHIFT(shr, "shr")
ALU_SHIFT(sar, "sar")

#define ALU_SHIFT2_ONE(insn, mod, type) \
	__asm__(ALU_FLAGS_IN insn " %%cl, %" mod "[b], %" mod "[a]" ALU_FLAGS_OUT \
		: [a] "+r"(a), "+&a"(ax) : [b] "r"((type)b), "c"(count) : "cc")
#define ALU_SHIFT2(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t count, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 2: ALU_SHIFT2_ONE(insn "w", "w", uint16_t); break; \
		case 4: ALU_SHIFT2_ONE(insn "l", "k", uint32_t); break; \
		default: ALU_SHIFT2_ONE(insn "q", "q", uint64_t); break; \
		} \
		alu_flags_unpack(fl, ax); \
		return a & alu_mask(size); \
	}
ALU_SHIFT2(shld, "shld")
ALU_SHIFT2(shrd, "shrd")

/*
 * rAX op= b over rDX:rAX. Bytes use AX alone. DIV and IDIV only after
 * div_fits(): the host must not fault.
 */
#define ALU_WIDE_ONE(insn, mod, type) \
	__asm__(ALU_FLAGS_IN "movq %[lo], %%rax\n\t" insn " %" mod "[b]\n\tmovq %%rax, %[lo]" ALU_FLAGS_OUT \
		: [lo] "+&r"(*lo), "+&d"(*hi), "+&a"(ax) : [b] "r"((type)b) : "cc")
#define ALU_WIDE(name, insn) \
	static LODGE_ALWAYS_INLINE void alu_##name(unsigned size, uint64_t *lo, uint64_t *hi, uint64_t b, uint64_t *fl) \
	{ \
		uint64_t ax = alu_flags_pack(*fl); \
		switch (size) { \
		case 1: ALU_WIDE_ONE(insn "b", "b", uint8_t); break; \
		case 2: ALU_WIDE_ONE(insn "w", "w", uint16_t); break; \
		case 4: ALU_WIDE_ONE(insn "l", "k", uint32_t); break; \
		default: ALU_WIDE_ONE(insn "q", "q", uint64_t); break; \
		} \
		alu_flags_unpack(fl, (uint32_t)ax); \
	}
ALU_WIDE(mul, "mul")
ALU_WIDE(imul1, "imul")
ALU_WIDE(div, "div")
ALU_WIDE(idiv, "idiv")

/*
 * Register form, on whole registers: whether a destination that does not match
 * loses its upper half is the processor's business.
 */
#define ALU_CMPXCHG_ONE(suffix, mod) \
	__asm__("cmpxchg" suffix " %" mod "[src], %" mod "[dst]\n\tmovq %%rax, %[acc]" ALU_FLAGS_OUT \
		: [dst] "+&r"(*dst), [acc] "=&r"(*acc), "+&a"(ax) : [src] "r"(src) : "cc")
static LODGE_ALWAYS_INLINE void alu_cmpxchg(unsigned size, uint64_t *dst, uint64_t *acc, uint64_t src, uint64_t *fl)
{
	uint64_t ax = *acc;

	switch (size) {
	case 1: ALU_CMPXCHG_ONE("b", "b"); break;
	case 2: ALU_CMPXCHG_ONE("w", "w"); break;
	case 4: ALU_CMPXCHG_ONE("l", "k"); break;
	default: ALU_CMPXCHG_ONE("q", "q"); break;
	}
	alu_flags_unpack(fl, (uint32_t)ax);
}

/* BMI1 and BMI2. ANDN, BEXTR, BZHI and the single-operand ones set flags. */
#define ALU_BMI3_ONE(insn, mod, type) \
	__asm__(ALU_FLAGS_IN insn " %" mod "[c], %" mod "[b], %" mod "[r]" ALU_FLAGS_OUT \
		: [r] "=&r"(r), "+&a"(ax) : [b] "r"((type)b), [c] "r"((type)c) : "cc")
#define ALU_BMI3(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t b, uint64_t c, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		uint64_t r; \
		if (size == 4) \
			ALU_BMI3_ONE(insn, "k", uint32_t); \
		else \
			ALU_BMI3_ONE(insn, "q", uint64_t); \
		alu_flags_unpack(fl, ax); \
		return r & alu_mask(size); \
	}
ALU_BMI3(andn, "andn")   /* ~b & c */
ALU_BMI3(bextr, "bextr") /* AT&T order: control, source */
ALU_BMI3(bzhi, "bzhi")
ALU_BMI3(pdep, "pdep")   /* mask c, source b */
ALU_BMI3(pext, "pext")
ALU_BMI3(sarx, "sarx")
ALU_BMI3(shlx, "shlx")
ALU_BMI3(shrx, "shrx")

#define ALU_BMI2_ONE(insn, mod, type) \
	__asm__(ALU_FLAGS_IN insn " %" mod "[b], %" mod "[r]" ALU_FLAGS_OUT : [r] "=&r"(r), "+&a"(ax) : [b] "r"((type)b) : "cc")
#define ALU_BMI2(name, insn) \
	static LODGE_ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t b, uint64_t *fl) \
	{ \
		uint32_t ax = alu_flags_pack(*fl); \
		uint64_t r; \
		if (size == 4) \
			ALU_BMI2_ONE(insn, "k", uint32_t); \
		else \
			ALU_BMI2_ONE(insn, "q", uint64_t); \
		alu_flags_unpack(fl, ax); \
		return r & alu_mask(size); \
	}
ALU_BMI2(blsi, "blsi")
ALU_BMI2(blsr, "blsr")
ALU_BMI2(blsmsk, "blsmsk")

static LODGE_ALWAYS_INLINE uint64_t alu_crc32(unsigned src_size, uint64_t crc, uint64_t v)
{
	switch (src_size) {
	case 1: __asm__("crc32b %b1, %k0" : "+r"(crc) : "r"((uint8_t)v)); break;
	case 2: __asm__("crc32w %w1, %k0" : "+r"(crc) : "r"((uint16_t)v)); break;
	case 4: __asm__("crc32l %k1, %k0" : "+r"(crc) : "r"((uint32_t)v)); break;
	default: __asm__("crc32q %1, %0" : "+r"(crc) : "r"(v)); break;
	}
	return crc;
}

/* The sixteen conditions, by the opcode's low four bits. */
static LODGE_ALWAYS_INLINE bool alu_condition(uint64_t fl, unsigned cond)
{
	bool sf = fl & X86_FLAG_SF, of = fl & X86_FLAG_OF, r;

	switch (cond >> 1) {
	case 0: r = of; break;
	case 1: r = fl & X86_FLAG_CF; break;
	case 2: r = fl & X86_FLAG_ZF; break;
	case 3: r = fl & (X86_FLAG_CF | X86_FLAG_ZF); break;
	case 4: r = sf; break;
	case 5: r = fl & X86_FLAG_PF; break;
	case 6: r = sf != of; break;
	default: r = (fl & X86_FLAG_ZF) || sf != of; break;
	}
	return r != (cond & 1);
}

#endif
