/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter's loop: fetch, decode, dispatch, deliver what went wrong. */
#include "cpu/x86/access.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/exec_integer.h"

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

/* Nothing in may_execute() can apply to it. */
static bool is_unconditional(const struct insn *insn)
{
	exec_fn *fn = groups[insn->op];

	return (fn == exec_integer && !insn->feature) || fn == exec_branch || fn == exec_string;
}

bool x86_exec(struct x86_cpu *cpu, const struct insn *insn)
{
	if (unlikely(insn->op >= X86_OP_COUNT || !groups[insn->op]))
		return cpu_ud(cpu);
	if (likely(is_unconditional(insn)))
		return groups[insn->op](cpu, insn);
	return may_execute(cpu, insn) && groups[insn->op](cpu, insn);
}

/* ---- fetching and decoding ---- */

/*
 * Decoded instructions by where their bytes are; the bytes themselves prove
 * that an entry still holds. @fn is what x86_exec() would end up calling.
 */
struct cached_insn {
	uint64_t bytes[2], mask[2];
	exec_fn *fn;
	uint16_t attr;
	uint8_t mode;
	bool advance; /* @fn is a single integer operation and leaves RIP alone */
	struct insn insn;
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

static void entry_fill(struct cached_insn *c, uint8_t mode)
{
	bool integer = groups[c->insn.op] == exec_integer, plain = is_unconditional(&c->insn);

	c->fn = !plain ? x86_exec : integer ? exec_integer_op(c->insn.op) : groups[c->insn.op];
	c->advance = plain && integer;
	c->attr = x86_op_info(c->insn.op)->attr;
	c->mode = mode;
	mask_for_length(c->insn.len, c->mask);
}

/* The instruction at @host, which has 16 readable bytes. NULL: fault recorded. */
static const struct cached_insn *decode_at(struct x86_cpu *cpu, const uint8_t *host, struct cached_insn *buf)
{
	uint64_t b[2] = { host_get(host, 8), host_get(host + 8, 8) };
	uintptr_t key = (uintptr_t)host ^ (uintptr_t)host >> INTERP_CACHE_BITS;
	struct cached_insn *c = cpu->interp_cache;
	enum decode_status status;

	if (likely(c)) {
		c += key & ((1u << INTERP_CACHE_BITS) - 1);
		if (likely((((b[0] ^ c->bytes[0]) & c->mask[0]) | ((b[1] ^ c->bytes[1]) & c->mask[1])) == 0 &&
			c->mode == cpu->code_mode))
			return c;
		c->mode = 0; /* no mode: invalid while it is being filled and if it stays undefined */
	} else {
		c = buf;
	}
	status = x86_decode((const uint8_t *)b, X86_INSN_MAX, cpu->code_mode, &c->insn);
	if (status != DECODE_OK) {
		decode_failed(cpu, status);
		return NULL;
	}
	c->bytes[0] = b[0];
	c->bytes[1] = b[1];
	entry_fill(c, cpu->code_mode);
	return c;
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

static const struct cached_insn *fetch_slow(struct x86_cpu *cpu, uint64_t lin, struct cached_insn *buf)
{
	if (!decode_slow(cpu, lin, &buf->insn))
		return NULL;
	entry_fill(buf, cpu->code_mode);
	return buf;
}

static LODGE_ALWAYS_INLINE const struct cached_insn *fetch_insn(struct x86_cpu *cpu, struct cached_insn *buf)
{
	uint64_t rip = cpu->s.rip, lin = rip;
	const struct x86_tlb_exec *itlb = &cpu->itlb[cpu->cpl == 3];
	const struct cached_insn *c;
	unsigned i;

	if (unlikely(!cpu->long_mode)) {
		if (rip > cpu->s.seg[X86_CS].limit) {
			cpu_gp(cpu, 0);
			return NULL;
		}
		lin = (uint32_t)(cpu->s.seg[X86_CS].base + rip);
	}
	i = (unsigned)(lin >> MEMORY_PAGE_BITS) & (TLB_ENTRIES - 1);
	if (unlikely(itlb->tag[i] != (lin & ~UINT64_C(0xfff))) && !mmu_exec_entry(cpu, lin, &i))
		return NULL;
	if (likely(itlb->hva[i] && (lin & 0xfff) <= MEMORY_PAGE_BYTES - 16))
		c = decode_at(cpu, itlb->hva[i] + (lin & 0xfff), buf);
	else
		c = fetch_slow(cpu, lin, buf);
	if (unlikely(!cpu->long_mode) && c && rip + c->insn.len - 1 > cpu->s.seg[X86_CS].limit) {
		cpu_gp(cpu, 0);
		return NULL;
	}
	return c;
}

/* Their single-step trap goes by the TF they leave behind, which for interrupts is clear, not by the one they found. */
static bool traps_by_new_tf(unsigned op)
{
	return op == X86_OP_SYSCALL || op == X86_OP_INT || op == X86_OP_INT3 || op == X86_OP_INT1 || op == X86_OP_INTO;
}

/* False: a fault was recorded. */
static LODGE_ALWAYS_INLINE bool step_insn(struct x86_cpu *cpu, unsigned *attr, bool *tf)
{
	struct cached_insn buf;
	const struct cached_insn *c = fetch_insn(cpu, &buf);

	if (unlikely(!c))
		return false;
	if (unlikely(cpu->s.rflags & X86_FLAG_RF))
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_RF;
	cpu->s.interrupt_shadow = 0;
	*attr = c->attr;
	if (unlikely(!c->fn(cpu, &c->insn)))
		return false;
	if (c->advance)
		insn_done(cpu, &c->insn);
	if (unlikely(*tf) && traps_by_new_tf(c->insn.op))
		*tf = cpu->s.rflags & X86_FLAG_TF;
	return true;
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
	if (unlikely(!step_insn(cpu, &attr, &tf))) {
		x86_raise(cpu);
		return cpu->s.activity == X86_RUNNING ? X86_STEP_MODE : X86_STEP_HALT;
	}
	if (unlikely(tf || cpu->debug_hits) && x86_trap_after_insn(cpu, tf))
		attr = X86_OPA_SYSTEM;
	if (unlikely(cpu->s.activity != X86_RUNNING))
		return X86_STEP_HALT;
	return unlikely(attr & X86_OPA_SYSTEM) ? X86_STEP_MODE : X86_STEP_OK;
}
