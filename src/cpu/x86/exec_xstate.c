/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FXSAVE, FXRSTOR, the XSAVE family and MXCSR, in C on the saved state. The
 * supervisor forms differ from XSAVEC and XRSTOR in privilege alone, as IA32_XSS
 * has no bits. What is restored goes to the host's registers at once, so that
 * the host decides what reserved fields read back as.
 */
#include "cpu/x86/access.h"
#include "cpu/x86/fpu.h"

#define FXSAVE_BYTES 512u
#define KNOWN (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX)

/* A save area in guest memory whose every page has been checked. */
struct area {
	struct mmu_rmw span; /* host is NULL if it must go piecewise */
	uint64_t lin;
};

static bool area_open(struct x86_cpu *cpu, const struct insn *insn, unsigned bytes, unsigned align, enum x86_access access, struct area *a)
{
	if (!x86_linear(cpu, insn->seg, insn_ea(cpu, insn), bytes, access, &a->lin))
		return false;
	if (a->lin & (align - 1)) {
		if (cpu->align_check && align == 16 && (a->lin & 3)) /* of FXSAVE and FXRSTOR */
			return cpu_fault(cpu, X86_EXC_AC, true, 0);
		return cpu_gp(cpu, 0);
	}
	return mmu_span(cpu, a->lin, bytes, access, data_mode(cpu), &a->span);
}

static uint64_t area_address(const struct x86_cpu *cpu, const struct area *a, unsigned offset)
{
	return cpu->long_mode ? a->lin + offset : (uint32_t)(a->lin + offset);
}

static bool area_put(struct x86_cpu *cpu, const struct area *a, unsigned offset, const void *from, unsigned len)
{
	if (unlikely(!a->span.host))
		return mmu_write_bytes(cpu, area_address(cpu, a, offset), from, len, data_mode(cpu));
	__builtin_memcpy((uint8_t *)a->span.host + offset, from, len);
	return true;
}

static bool area_get(struct x86_cpu *cpu, const struct area *a, unsigned offset, void *to, unsigned len)
{
	if (unlikely(!a->span.host))
		return mmu_read_bytes(cpu, area_address(cpu, a, offset), to, len, data_mode(cpu));
	__builtin_memcpy(to, (const uint8_t *)a->span.host + offset, len);
	return true;
}

/* ---- components ---- */

/* Vector registers that the mode can name; the others are neither saved nor loaded. */
static unsigned vector_bytes(const struct x86_cpu *cpu)
{
	return cpu->long_mode ? 16 * 16 : 8 * 16;
}

/* With REX.W pointers have 64 bits, else 32 and a selector, which is not kept. */
static bool put_x87(struct x86_cpu *cpu, const struct insn *insn, const struct area *a)
{
	uint8_t head[XSAVE_MXCSR];

	__builtin_memcpy(head, cpu->s.xsave, sizeof(head));
	if (insn->opsize != 8) {
		put_le32(head + XSAVE_FIP + 4, 0);
		put_le32(head + XSAVE_FDP + 4, 0);
	}
	return area_put(cpu, a, 0, head, sizeof(head)) && area_put(cpu, a, XSAVE_ST, cpu->s.xsave + XSAVE_ST, XSAVE_XMM - XSAVE_ST);
}

static bool put_mxcsr(struct x86_cpu *cpu, const struct area *a)
{
	uint8_t b[8];

	__builtin_memcpy(b, cpu->s.xsave + XSAVE_MXCSR, 4);
	put_le32(b + 4, FP_MXCSR_MASK);
	return area_put(cpu, a, XSAVE_MXCSR, b, sizeof(b));
}

static bool put_vectors(struct x86_cpu *cpu, const struct area *a, unsigned offset)
{
	return area_put(cpu, a, offset, cpu->s.xsave + offset, vector_bytes(cpu));
}

static bool get_x87(struct x86_cpu *cpu, const struct insn *insn, const struct area *a)
{
	uint8_t *image = cpu->s.xsave;

	if (!area_get(cpu, a, 0, image, XSAVE_MXCSR) || !area_get(cpu, a, XSAVE_ST, image + XSAVE_ST, XSAVE_XMM - XSAVE_ST))
		return false;
	if (insn->opsize != 8) {
		put_le32(image + XSAVE_FIP + 4, 0);
		put_le32(image + XSAVE_FDP + 4, 0);
	}
	return true;
}

static bool get_mxcsr(struct x86_cpu *cpu, const struct area *a, uint32_t *mxcsr)
{
	uint8_t b[4];

	if (!area_get(cpu, a, XSAVE_MXCSR, b, sizeof(b)))
		return false;
	*mxcsr = get_le32(b);
	return !(*mxcsr & ~FP_MXCSR_MASK) || cpu_gp(cpu, 0);
}

static bool get_vectors(struct x86_cpu *cpu, const struct area *a, unsigned offset)
{
	return area_get(cpu, a, offset, cpu->s.xsave + offset, vector_bytes(cpu));
}

static void in_use(struct x86_cpu *cpu, uint64_t set, uint64_t clear)
{
	uint8_t *bv = cpu->s.xsave + XSAVE_BV;

	put_le64(bv, (get_le64(bv) & ~clear) | set);
}

/* ---- FXSAVE, FXRSTOR ---- */

/* AMD's fast form for kernels. */
static bool skips_vectors(const struct x86_cpu *cpu)
{
	return (cpu->s.msr.efer & X86_EFER_FFXSR) && cpu->cpl == 0 && cpu->long_mode;
}

static bool exec_fxsave(struct x86_cpu *cpu, const struct insn *insn)
{
	struct area a;

	if (!fp_gate_x87(cpu) || !area_open(cpu, insn, FXSAVE_BYTES, 16, X86_WRITE, &a))
		return false;
	cpu_leave(cpu);
	if (!put_x87(cpu, insn, &a) || !put_mxcsr(cpu, &a))
		return false;
	if (!skips_vectors(cpu) && !put_vectors(cpu, &a, XSAVE_XMM))
		return false;
	mmu_rmw_end(cpu, &a.span);
	return true;
}

static bool exec_fxrstor(struct x86_cpu *cpu, const struct insn *insn)
{
	uint32_t mxcsr;
	struct area a;

	if (!fp_gate_x87(cpu) || !area_open(cpu, insn, FXSAVE_BYTES, 16, X86_READ, &a))
		return false;
	cpu_leave(cpu);
	if (!get_mxcsr(cpu, &a, &mxcsr) || !get_x87(cpu, insn, &a))
		return false;
	if (!skips_vectors(cpu) && !get_vectors(cpu, &a, XSAVE_XMM))
		return false;
	put_le32(cpu->s.xsave + XSAVE_MXCSR, mxcsr);
	in_use(cpu, X86_XCR0_X87 | X86_XCR0_SSE, 0);
	cpu_fpu_enter(cpu);
	return true;
}

/* ---- XSAVE and its kin ---- */

static uint64_t requested(const struct x86_cpu *cpu)
{
	uint64_t mask = (uint32_t)cpu->s.gpr[X86_RAX] | cpu->s.gpr[X86_RDX] << 32;

	return mask & cpu->s.xcr0 & KNOWN;
}

static unsigned area_bytes(uint64_t components)
{
	return components & X86_XCR0_AVX ? X86_XSAVE_BYTES : XSAVE_HEADER_END;
}

static bool put_components(struct x86_cpu *cpu, const struct insn *insn, const struct area *a, uint64_t saved, bool mxcsr)
{
	return (!(saved & X86_XCR0_X87) || put_x87(cpu, insn, a)) && (!mxcsr || put_mxcsr(cpu, a)) &&
	       (!(saved & X86_XCR0_SSE) || put_vectors(cpu, a, XSAVE_XMM)) && (!(saved & X86_XCR0_AVX) || put_vectors(cpu, a, XSAVE_YMM));
}

/* Standard format: components that were not asked for keep their bit and bytes. */
static bool exec_xsave(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t wanted = requested(cpu), used, bv, saved;
	uint8_t old[8];
	struct area a;

	if (!fp_gate_xsave(cpu) || !area_open(cpu, insn, area_bytes(wanted), 64, X86_WRITE, &a))
		return false;
	cpu_leave(cpu);
	used = get_le64(cpu->s.xsave + XSAVE_BV) & wanted;
	saved = insn->op == X86_OP_XSAVEOPT ? used : wanted;
	if (!area_get(cpu, &a, XSAVE_BV, old, sizeof(old)))
		return false;
	bv = (get_le64(old) & ~wanted) | used;
	if (!put_components(cpu, insn, &a, saved, wanted & (X86_XCR0_SSE | X86_XCR0_AVX)) || !area_put(cpu, &a, XSAVE_BV, &bv, sizeof(bv)))
		return false;
	mmu_rmw_end(cpu, &a.span);
	return true;
}

/* Compacted format: components in their initial state are left out; MXCSR belongs to SSE. AVX lands where it always is. */
static bool exec_xsavec(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t wanted = requested(cpu), used, header[2];
	struct area a;

	if (!fp_gate_xsave(cpu) || !area_open(cpu, insn, area_bytes(wanted), 64, X86_WRITE, &a))
		return false;
	cpu_leave(cpu);
	used = get_le64(cpu->s.xsave + XSAVE_BV);
	if (get_le32(cpu->s.xsave + XSAVE_MXCSR) != FP_MXCSR_INIT)
		used |= X86_XCR0_SSE;
	used &= wanted;
	header[0] = used;
	header[1] = wanted | XCOMP_COMPACTED;
	if (!put_components(cpu, insn, &a, used, used & X86_XCR0_SSE) || !area_put(cpu, &a, XSAVE_BV, header, sizeof(header)))
		return false;
	mmu_rmw_end(cpu, &a.span);
	return true;
}

struct header {
	uint64_t bv, comp_bv, reserved[6];
};

static bool header_is_valid(const struct x86_cpu *cpu, const struct insn *insn, const struct header *h)
{
	uint64_t reserved = h->reserved[0];

	if (!(h->comp_bv & XCOMP_COMPACTED)) {
		if (insn->op == X86_OP_XRSTORS)
			return false;
		return !h->comp_bv && !reserved && !h->reserved[1] && !(h->bv & ~cpu->s.xcr0);
	}
	for (unsigned i = 1; i < ARRAY_LEN(h->reserved); i++)
		reserved |= h->reserved[i];
	return cpu_has(cpu, X86_F_XSAVEC) && !reserved && !(h->comp_bv & ~XCOMP_COMPACTED & ~cpu->s.xcr0) && !(h->bv & ~h->comp_bv);
}

static void clear_vectors(struct x86_cpu *cpu, unsigned offset, uint64_t component)
{
	__builtin_memset(cpu->s.xsave + offset, 0, vector_bytes(cpu));
	in_use(cpu, 0, cpu->long_mode ? component : 0);
}

static void clear_x87(struct x86_cpu *cpu)
{
	uint8_t *image = cpu->s.xsave;

	__builtin_memset(image, 0, XSAVE_MXCSR);
	__builtin_memset(image + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
	put_le16(image + XSAVE_FCW, FP_FCW_INIT);
	in_use(cpu, 0, X86_XCR0_X87);
}

static bool restore_components(struct x86_cpu *cpu, const struct insn *insn, const struct area *a, uint64_t wanted, uint64_t bv)
{
	if (wanted & bv & X86_XCR0_X87) {
		if (!get_x87(cpu, insn, a))
			return false;
	} else if (wanted & X86_XCR0_X87) {
		clear_x87(cpu);
	}
	if (wanted & bv & X86_XCR0_SSE) {
		if (!get_vectors(cpu, a, XSAVE_XMM))
			return false;
	} else if (wanted & X86_XCR0_SSE) {
		clear_vectors(cpu, XSAVE_XMM, X86_XCR0_SSE);
	}
	if (wanted & bv & X86_XCR0_AVX) {
		if (!get_vectors(cpu, a, XSAVE_YMM))
			return false;
	} else if (wanted & X86_XCR0_AVX) {
		clear_vectors(cpu, XSAVE_YMM, X86_XCR0_AVX);
	}
	in_use(cpu, wanted & bv, 0);
	return true;
}

static bool exec_xrstor(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t wanted = requested(cpu);
	bool mxcsr_wanted, mxcsr_loaded;
	uint32_t mxcsr = FP_MXCSR_INIT;
	struct header h;
	struct area a;

	if (!fp_gate_xsave(cpu) || !area_open(cpu, insn, XSAVE_HEADER_END, 64, X86_READ, &a))
		return false;
	cpu_leave(cpu);
	if (!area_get(cpu, &a, XSAVE_BV, &h, sizeof(h)))
		return false;
	if (!header_is_valid(cpu, insn, &h))
		return cpu_gp(cpu, 0);
	if (wanted & h.bv & X86_XCR0_AVX && !area_open(cpu, insn, X86_XSAVE_BYTES, 64, X86_READ, &a))
		return false;
	/* Compacted: MXCSR is part of SSE. Else it is loaded with SSE or AVX, whatever XSTATE_BV says. */
	mxcsr_wanted = wanted & (h.comp_bv ? X86_XCR0_SSE : X86_XCR0_SSE | X86_XCR0_AVX);
	mxcsr_loaded = mxcsr_wanted && (!h.comp_bv || h.bv & X86_XCR0_SSE);
	if (mxcsr_loaded && !get_mxcsr(cpu, &a, &mxcsr))
		return false;
	if (!restore_components(cpu, insn, &a, wanted, h.bv))
		return false;
	if (mxcsr_wanted)
		put_le32(cpu->s.xsave + XSAVE_MXCSR, mxcsr);
	cpu_fpu_enter(cpu);
	return true;
}

/* ---- MXCSR ---- */

static bool mxcsr_gate(struct x86_cpu *cpu, const struct insn *insn)
{
	return insn->flags & INSN_VEX ? fp_gate_avx(cpu) : fp_gate_sse(cpu);
}

static bool exec_ldmxcsr(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t v;

	if (!mxcsr_gate(cpu, insn) || !rm_read(cpu, insn, 4, &v))
		return false;
	if (v & ~(uint64_t)FP_MXCSR_MASK)
		return cpu_gp(cpu, 0);
	cpu_leave(cpu);
	put_le32(cpu->s.xsave + XSAVE_MXCSR, (uint32_t)v);
	return true;
}

static bool exec_stmxcsr(struct x86_cpu *cpu, const struct insn *insn)
{
	if (!mxcsr_gate(cpu, insn))
		return false;
	cpu_leave(cpu);
	return rm_write(cpu, insn, 4, get_le32(cpu->s.xsave + XSAVE_MXCSR));
}

static bool execute(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_FXSAVE: return exec_fxsave(cpu, insn);
	case X86_OP_FXRSTOR: return exec_fxrstor(cpu, insn);
	case X86_OP_XSAVE:
	case X86_OP_XSAVEOPT: return exec_xsave(cpu, insn);
	case X86_OP_XSAVEC:
	case X86_OP_XSAVES: return exec_xsavec(cpu, insn);
	case X86_OP_XRSTOR:
	case X86_OP_XRSTORS: return exec_xrstor(cpu, insn);
	case X86_OP_LDMXCSR: return exec_ldmxcsr(cpu, insn);
	case X86_OP_STMXCSR: return exec_stmxcsr(cpu, insn);
	default: return exec_x87_env(cpu, insn);
	}
}

bool exec_xstate(struct x86_cpu *cpu, const struct insn *insn)
{
	return execute(cpu, insn) && insn_done(cpu, insn);
}
