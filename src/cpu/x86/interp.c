/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter's loop: fetch, decode, dispatch, deliver what went wrong. */
#include "cpu/x86/access.h"
#include "cpu/x86/debug.h"

static exec_fn *const groups[X86_OP_COUNT] = {
#define X(name) [X86_OP_##name] = exec_integer,
	X86_OPS_INTEGER(X)
#undef X
#define X(name) [X86_OP_##name] = exec_string,
	X86_OPS_STRING(X)
#undef X
#define X(name) [X86_OP_##name] = exec_branch,
	X86_OPS_BRANCH(X)
#undef X
#define X(name) [X86_OP_##name] = exec_system,
	X86_OPS_SYSTEM(X)
#undef X
#define X(name) [X86_OP_##name] = exec_xstate,
	X86_OPS_XSTATE(X)
#undef X
#define X(name) [X86_OP_##name] = exec_native,
	X86_OPS_NATIVE(X)
#undef X
};

/* MOV to and from CR8 under another name: AMD's. */
static bool lock_is_valid(const struct x86_cpu *cpu, const struct insn *insn)
{
	bool cr = insn->op == X86_OP_MOV_FROM_CR || insn->op == X86_OP_MOV_TO_CR;

	return !cr || !(insn->flags & INSN_LOCK) || !cpu_is_intel(cpu);
}

/* The rare reasons why an instruction that decodes is still refused. */
static bool may_execute(struct x86_cpu *cpu, const struct insn *insn)
{
	if (insn->feature && !cpu_has(cpu, insn->feature))
		return cpu_ud(cpu);
	if (insn->flags & INSN_VEX && !cpu_protected(cpu))
		return cpu_ud(cpu);
	if (x86_op_info(insn->op)->attr & X86_OPA_PRIV && cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	return lock_is_valid(cpu, insn) || cpu_ud(cpu);
}

bool x86_exec(struct x86_cpu *cpu, const struct insn *insn)
{
	exec_fn *fn;

	if (unlikely(insn->op >= X86_OP_COUNT || !groups[insn->op]))
		return cpu_ud(cpu);
	fn = groups[insn->op];
	if (likely(fn == exec_integer && !insn->feature) || fn == exec_branch || fn == exec_string)
		return fn(cpu, insn);
	return may_execute(cpu, insn) && fn(cpu, insn);
}

/* ---- fetching and decoding ---- */

/* Decoded instructions by where their bytes are; the bytes themselves prove that an entry still holds. */
struct cached_insn {
	uint64_t bytes[2], mask[2];
	struct insn insn;
	uint8_t mode;
};
_Static_assert(sizeof(struct cached_insn) <= INTERP_CACHE_BYTES >> INTERP_CACHE_BITS, "INTERP_CACHE_BYTES is too small");

static void mask_for_length(unsigned len, uint64_t mask[2])
{
	mask[0] = len >= 8 ? UINT64_MAX : alu_mask(len);
	mask[1] = len <= 8 ? 0 : alu_mask(len - 8);
}

static bool decode_failed(struct x86_cpu *cpu, enum decode_status status)
{
	return status == DECODE_TOOLONG ? cpu_gp(cpu, 0) : cpu_ud(cpu);
}

/* The instruction at @host, which has 16 readable bytes. */
static bool decode_at(struct x86_cpu *cpu, const uint8_t *host, struct insn *buf, const struct insn **out)
{
	uint64_t b[2] = { host_get(host, 8), host_get(host + 8, 8) };
	uintptr_t key = (uintptr_t)host ^ (uintptr_t)host >> INTERP_CACHE_BITS;
	struct cached_insn *c = cpu->interp_cache;
	enum decode_status status;

	if (unlikely(!c)) {
		status = x86_decode((const uint8_t *)b, X86_INSN_MAX, cpu->code_mode, buf);
		*out = buf;
		return status == DECODE_OK || decode_failed(cpu, status);
	}
	c += key & ((1u << INTERP_CACHE_BITS) - 1);
	if (likely((((b[0] ^ c->bytes[0]) & c->mask[0]) | ((b[1] ^ c->bytes[1]) & c->mask[1])) == 0 && c->mode == cpu->code_mode)) {
		*out = &c->insn;
		return true;
	}
	c->mode = 0; /* no mode: invalid while it is being filled and if it stays undefined */
	status = x86_decode((const uint8_t *)b, X86_INSN_MAX, cpu->code_mode, &c->insn);
	if (status != DECODE_OK)
		return decode_failed(cpu, status);
	c->bytes[0] = b[0];
	c->bytes[1] = b[1];
	mask_for_length(c->insn.len, c->mask);
	c->mode = cpu->code_mode;
	*out = &c->insn;
	return true;
}

/* Near the end of a page, or from where there is no memory. */
static bool decode_slow(struct x86_cpu *cpu, uint64_t lin, struct insn *insn)
{
	uint8_t bytes[X86_INSN_MAX];
	enum decode_status status;
	unsigned got, more;

	if (!mmu_fetch(cpu, lin, bytes, X86_INSN_MAX, &got))
		return false;
	status = x86_decode(bytes, got, cpu->code_mode, insn);
	if (status == DECODE_OK)
		return true;
	if (status != DECODE_SHORT)
		return decode_failed(cpu, status);
	/* The next page is needed and missing: have its fault recorded, unless it has just appeared. */
	lin += got;
	if (!mmu_fetch(cpu, cpu->long_mode ? lin : (uint32_t)lin, bytes + got, X86_INSN_MAX - got, &more))
		return false;
	status = x86_decode(bytes, got + more, cpu->code_mode, insn);
	return status == DECODE_OK || decode_failed(cpu, status);
}

static bool fetch_insn(struct x86_cpu *cpu, struct insn *buf, const struct insn **out)
{
	uint64_t rip = cpu->s.rip, lin = rip;
	const struct x86_tlb_exec *itlb = &cpu->itlb[cpu->cpl == 3];
	unsigned i;

	if (!cpu->long_mode) {
		if (unlikely(rip > cpu->s.seg[X86_CS].limit))
			return cpu_gp(cpu, 0);
		lin = (uint32_t)(cpu->s.seg[X86_CS].base + rip);
	}
	if (!mmu_exec_entry(cpu, lin, &i))
		return false;
	if (likely(itlb->hva[i] && (lin & 0xfff) <= MEMORY_PAGE_BYTES - 16)) {
		if (!decode_at(cpu, itlb->hva[i] + (lin & 0xfff), buf, out))
			return false;
	} else {
		if (!decode_slow(cpu, lin, buf))
			return false;
		*out = buf;
	}
	if (unlikely(!cpu->long_mode && rip + (*out)->len - 1 > cpu->s.seg[X86_CS].limit))
		return cpu_gp(cpu, 0);
	return true;
}

static bool step_insn(struct x86_cpu *cpu, unsigned *attr)
{
	const struct insn *insn;
	struct insn buf;

	if (!fetch_insn(cpu, &buf, &insn))
		return false;
	cpu->s.rflags &= ~(uint64_t)X86_FLAG_RF;
	cpu->s.interrupt_shadow = 0;
	*attr = x86_op_info(insn->op)->attr;
	return x86_exec(cpu, insn);
}

enum x86_step x86_step(struct x86_cpu *cpu)
{
	bool tf = cpu->s.rflags & X86_FLAG_TF;
	unsigned attr = 0;

	if (unlikely(cpu->s.activity != X86_RUNNING))
		return X86_STEP_HALT;
	cpu->stats.interp_insns++;
	if (unlikely(cpu->s.dr7 & X86_DR7_ENABLES) && x86_check_code_breakpoint(cpu)) {
		x86_raise(cpu);
		return X86_STEP_MODE;
	}
	if (unlikely(!step_insn(cpu, &attr))) {
		x86_raise(cpu);
		return cpu->s.activity == X86_RUNNING ? X86_STEP_MODE : X86_STEP_HALT;
	}
	if (x86_trap_after_insn(cpu, tf))
		attr = X86_OPA_SYSTEM;
	if (unlikely(cpu->s.activity != X86_RUNNING))
		return X86_STEP_HALT;
	return attr & X86_OPA_SYSTEM ? X86_STEP_MODE : X86_STEP_OK;
}
