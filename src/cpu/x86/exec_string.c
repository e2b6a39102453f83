/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions. Repeated ones work in runs: as many elements as lie in
 * the current page of each operand, on host pointers with the host's own string
 * instructions. What a run cannot do (MMIO, an element across two pages) goes
 * one element at a time. One call does a bounded amount; then RIP stays and the
 * registers say what is left, as if an interrupt had come.
 */
#include "cpu/x86/access.h"

#define RUN_BYTES_MAX 65536u  /* memory to memory, a call */
#define SINGLE_STEPS_MAX 512u /* slow elements, a call */

struct string_op {
	const struct insn *insn;
	unsigned size, addrsize;
	bool repeat, backward;
	uint64_t left;   /* elements still to do, at most what this call may */
	unsigned budget; /* slow elements */
};

/* An operand for a run: its first element's linear address; host memory of the whole run. */
struct string_operand {
	uint64_t lin;
	struct mmu_rmw span;
	uint8_t *first; /* NULL: no run */
};

static uint64_t step_of(const struct string_op *op, uint64_t elements)
{
	return op->backward ? -(elements * op->size) : elements * op->size;
}

static void advance(struct x86_cpu *cpu, const struct string_op *op, unsigned reg, uint64_t elements)
{
	gpr_set(cpu, reg, op->addrsize, cpu->s.gpr[reg] + step_of(op, elements));
}

/* Elements from offset @off on, at linear @lin, that lie in one page, in the segment, and below the address size's wrap. */
static uint64_t run_length(struct x86_cpu *cpu, const struct string_op *op, unsigned seg, uint64_t off, uint64_t lin,
	enum x86_access access)
{
	uint64_t in_page = lin & 0xfff, n = op->left, low, ignored;

	if (in_page + op->size > MEMORY_PAGE_BYTES)
		return 0;
	n = MIN(n, op->backward ? in_page / op->size + 1 : (MEMORY_PAGE_BYTES - in_page) / op->size);
	if (op->addrsize == 8)
		return n;
	n = MIN(n, op->backward ? off / op->size + 1 : (alu_mask(op->addrsize) - off + 1) / op->size);
	if (n <= 1)
		return n;
	low = op->backward ? off - (n - 1) * op->size : off;
	return x86_linear(cpu, seg, low, (unsigned)(n * op->size), access, &ignored) ? n : 1;
}

/* Proves that the next element of an operand is accessible; *n shrinks to the run's length, 0 if there can be none. */
static bool operand_begin(struct x86_cpu *cpu, const struct string_op *op, unsigned seg, unsigned reg, enum x86_access access,
			  struct string_operand *o, uint64_t *n)
{
	uint64_t off = gpr_get(cpu, reg, op->addrsize), length;

	if (!x86_linear(cpu, seg, off, op->size, access, &o->lin))
		return false;
	if (unlikely(cpu->align_check && o->lin & (op->size - 1)))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	length = run_length(cpu, op, seg, off, o->lin, access);
	*n = MIN(*n, length);
	/* The first element goes first: a page that is missing is reported by its address, and before the other operand's faults. */
	return mmu_span(cpu, o->lin, op->size, access, data_mode(cpu), &o->span);
}

static bool operand_map(struct x86_cpu *cpu, const struct string_op *op, enum x86_access access, struct string_operand *o,
	uint64_t n)
{
	uint64_t low = op->backward ? o->lin - (n - 1) * op->size : o->lin;

	if (!mmu_span(cpu, low, (unsigned)(n * op->size), access, data_mode(cpu), &o->span))
		return false;
	o->first = o->span.host;
	if (o->first && op->backward)
		o->first += (n - 1) * op->size;
	return true;
}

static bool string_begin(struct x86_cpu *cpu, const struct insn *insn, struct string_op *op)
{
	uint64_t count;

	*op = (struct string_op){
		.insn = insn,
		.size = insn->opsize,
		.addrsize = insn->addrsize,
		.repeat = insn->flags & (INSN_REP | INSN_REPNE),
		.backward = cpu->s.rflags & X86_FLAG_DF,
		.left = 1,
		.budget = SINGLE_STEPS_MAX,
	};
	if (!op->repeat)
		return true;
	count = gpr_get(cpu, X86_RCX, op->addrsize);
	/* Debugging wants every element to be a step of its own. */
	if (unlikely(cpu->s.rflags & X86_FLAG_TF || cpu->s.dr7 & 0xff))
		op->left = MIN(count, UINT64_C(1));
	else
		op->left = MIN(count, (uint64_t)(RUN_BYTES_MAX / op->size));
	return op->left != 0;
}

static void elements_done(struct x86_cpu *cpu, struct string_op *op, uint64_t n)
{
	op->left -= n;
	if (op->repeat)
		gpr_set(cpu, X86_RCX, op->addrsize, cpu->s.gpr[X86_RCX] - n);
}

/* This call did its share. RIP moves on only if nothing is left. */
static bool string_end(struct x86_cpu *cpu, const struct string_op *op)
{
	if (op->repeat && gpr_get(cpu, X86_RCX, op->addrsize))
		return true;
	return insn_done(cpu, op->insn);
}

#define HOST_STRING(insn_text, size) \
	switch (size) { \
	case 1: HOST_STRING_ONE(insn_text "b"); break; \
	case 2: HOST_STRING_ONE(insn_text "w"); break; \
	case 4: HOST_STRING_ONE(insn_text "l"); break; \
	default: HOST_STRING_ONE(insn_text "q"); break; \
	}

/* Overlapping operands come out right because the host repeats the same elements in the same order. */
static void host_movs(const struct string_op *op, uint8_t *dst, const uint8_t *src, uint64_t n)
{
#define HOST_STRING_ONE(text) __asm__ volatile("rep " text : "+D"(dst), "+S"(src), "+c"(n) : : "memory")
	if (!op->backward) {
		HOST_STRING("movs", op->size)
		return;
	}
#undef HOST_STRING_ONE
#define HOST_STRING_ONE(text) __asm__ volatile("std\n\trep " text "\n\tcld" : "+D"(dst), "+S"(src), "+c"(n) : : "memory", "cc")
	HOST_STRING("movs", op->size)
#undef HOST_STRING_ONE
}

static void host_stos(const struct string_op *op, uint8_t *dst, uint64_t value, uint64_t n)
{
#define HOST_STRING_ONE(text) __asm__ volatile("rep " text : "+D"(dst), "+c"(n) : "a"(value) : "memory")
	if (op->backward)
		dst -= (n - 1) * op->size;
	HOST_STRING("stos", op->size)
#undef HOST_STRING_ONE
}

/* Every kind of string instruction supplies one run (*n elements on host memory) and one slow element. */

static bool movs_slow(struct x86_cpu *cpu, const struct string_op *op)
{
	uint64_t v;

	return mem_read_at(cpu, op->insn->seg, gpr_get(cpu, X86_RSI, op->addrsize), op->size, &v) &&
	       mem_write_at(cpu, X86_ES, gpr_get(cpu, X86_RDI, op->addrsize), op->size, v);
}

static bool movs_some(struct x86_cpu *cpu, struct string_op *op, uint64_t *n)
{
	struct string_operand src, dst;

	*n = op->left;
	if (!operand_begin(cpu, op, op->insn->seg, X86_RSI, X86_READ, &src, n) ||
	    !operand_begin(cpu, op, X86_ES, X86_RDI, X86_WRITE, &dst, n))
		return false;
	if (*n && (!operand_map(cpu, op, X86_READ, &src, *n) || !operand_map(cpu, op, X86_WRITE, &dst, *n)))
		return false;
	if (!*n || !src.first || !dst.first) {
		*n = 1;
		op->budget--;
		return movs_slow(cpu, op);
	}
	host_movs(op, dst.first, src.first, *n);
	mmu_rmw_end(cpu, &dst.span);
	return true;
}

static bool exec_movs(struct x86_cpu *cpu, struct string_op *op)
{
	uint64_t n;

	while (op->left && op->budget) {
		if (!movs_some(cpu, op, &n))
			return false;
		advance(cpu, op, X86_RSI, n);
		advance(cpu, op, X86_RDI, n);
		elements_done(cpu, op, n);
	}
	return string_end(cpu, op);
}

static bool stos_some(struct x86_cpu *cpu, struct string_op *op, uint64_t *n)
{
	uint64_t value = gpr_get(cpu, X86_RAX, op->size);
	struct string_operand dst;

	*n = op->left;
	if (!operand_begin(cpu, op, X86_ES, X86_RDI, X86_WRITE, &dst, n) || (*n && !operand_map(cpu, op, X86_WRITE, &dst, *n)))
		return false;
	if (!*n || !dst.first) {
		*n = 1;
		op->budget--;
		return mem_write_at(cpu, X86_ES, gpr_get(cpu, X86_RDI, op->addrsize), op->size, value);
	}
	host_stos(op, dst.first, value, *n);
	mmu_rmw_end(cpu, &dst.span);
	return true;
}

static bool exec_stos(struct x86_cpu *cpu, struct string_op *op)
{
	uint64_t n;

	while (op->left && op->budget) {
		if (!stos_some(cpu, op, &n))
			return false;
		advance(cpu, op, X86_RDI, n);
		elements_done(cpu, op, n);
	}
	return string_end(cpu, op);
}

static bool exec_lods(struct x86_cpu *cpu, struct string_op *op)
{
	uint64_t v;

	while (op->left && op->budget--) {
		if (!mem_read_at(cpu, op->insn->seg, gpr_get(cpu, X86_RSI, op->addrsize), op->size, &v))
			return false;
		gpr_set(cpu, X86_RAX, op->size, v);
		advance(cpu, op, X86_RSI, 1);
		elements_done(cpu, op, 1);
	}
	return string_end(cpu, op);
}

/* Compares [a] with [b] (or @acc when b is NULL) until the repeat condition ends; *n becomes the number compared. */
static void compare_run(const struct string_op *op, const uint8_t *a, const uint8_t *b, uint64_t *n, uint64_t *va, uint64_t *vb)
{
	bool while_equal = op->insn->flags & INSN_REP;
	uint64_t step = step_of(op, 1), i = 0;

	do {
		if (b)
			*va = host_get(a + step * i, op->size);
		*vb = host_get((b ? b : a) + step * i, op->size);
		i++;
	} while (i < *n && (*va == *vb) == while_equal);
	*n = i;
}

/* True if the repeat condition says stop. */
static bool compare_finish(struct x86_cpu *cpu, const struct string_op *op, uint64_t va, uint64_t vb)
{
	alu_cmp(op->size, va, vb, &cpu->s.rflags);
	return op->repeat && (va == vb) != !!(op->insn->flags & INSN_REP);
}

static bool cmps_some(struct x86_cpu *cpu, struct string_op *op, uint64_t *n, uint64_t *va, uint64_t *vb)
{
	struct string_operand src, dst;

	/* Nothing says which operand is read first; processors differ. ES:rDI it is, as AMD's do. */
	*n = op->left;
	if (!operand_begin(cpu, op, X86_ES, X86_RDI, X86_READ, &dst, n) ||
	    !operand_begin(cpu, op, op->insn->seg, X86_RSI, X86_READ, &src, n))
		return false;
	if (*n && (!operand_map(cpu, op, X86_READ, &dst, *n) || !operand_map(cpu, op, X86_READ, &src, *n)))
		return false;
	if (*n && src.first && dst.first) {
		compare_run(op, src.first, dst.first, n, va, vb);
		return true;
	}
	*n = 1;
	op->budget--;
	return mem_read_at(cpu, X86_ES, gpr_get(cpu, X86_RDI, op->addrsize), op->size, vb) &&
	       mem_read_at(cpu, op->insn->seg, gpr_get(cpu, X86_RSI, op->addrsize), op->size, va);
}

static bool exec_cmps(struct x86_cpu *cpu, struct string_op *op)
{
	uint64_t n, va = 0, vb = 0;

	while (op->left && op->budget) {
		if (!cmps_some(cpu, op, &n, &va, &vb))
			return false;
		advance(cpu, op, X86_RSI, n);
		advance(cpu, op, X86_RDI, n);
		elements_done(cpu, op, n);
		if (compare_finish(cpu, op, va, vb))
			return insn_done(cpu, op->insn);
	}
	return string_end(cpu, op);
}

static bool scas_some(struct x86_cpu *cpu, struct string_op *op, uint64_t *n, uint64_t *acc, uint64_t *v)
{
	struct string_operand dst;

	*n = op->left;
	if (!operand_begin(cpu, op, X86_ES, X86_RDI, X86_READ, &dst, n) || (*n && !operand_map(cpu, op, X86_READ, &dst, *n)))
		return false;
	if (*n && dst.first) {
		compare_run(op, dst.first, NULL, n, acc, v);
		return true;
	}
	*n = 1;
	op->budget--;
	return mem_read_at(cpu, X86_ES, gpr_get(cpu, X86_RDI, op->addrsize), op->size, v);
}

static bool exec_scas(struct x86_cpu *cpu, struct string_op *op)
{
	uint64_t n, acc = gpr_get(cpu, X86_RAX, op->size), v = 0;

	while (op->left && op->budget) {
		if (!scas_some(cpu, op, &n, &acc, &v))
			return false;
		advance(cpu, op, X86_RDI, n);
		elements_done(cpu, op, n);
		if (compare_finish(cpu, op, acc, v))
			return insn_done(cpu, op->insn);
	}
	return string_end(cpu, op);
}

/* The destination is proven writable before the port is read: reading may have effects. */
static bool ins_destination(struct x86_cpu *cpu, const struct string_op *op, uint64_t *lin)
{
	if (!x86_linear(cpu, X86_ES, gpr_get(cpu, X86_RDI, op->addrsize), op->size, X86_WRITE, lin))
		return false;
	if (unlikely(cpu->align_check && *lin & (op->size - 1)))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	return mmu_probe_write(cpu, *lin, op->size, data_mode(cpu));
}

static bool exec_ins(struct x86_cpu *cpu, struct string_op *op)
{
	uint16_t port = (uint16_t)cpu->s.gpr[X86_RDX];
	uint64_t lin;

	while (op->left && op->budget--) {
		if (!ins_destination(cpu, op, &lin))
			return false;
		if (!mmu_write(cpu, lin, op->size, data_mode(cpu), x86_port_in(cpu, port, op->size)))
			return false;
		advance(cpu, op, X86_RDI, 1);
		elements_done(cpu, op, 1);
	}
	return string_end(cpu, op);
}

static bool exec_outs(struct x86_cpu *cpu, struct string_op *op)
{
	uint16_t port = (uint16_t)cpu->s.gpr[X86_RDX];
	uint64_t v;

	while (op->left && op->budget--) {
		if (!mem_read_at(cpu, op->insn->seg, gpr_get(cpu, X86_RSI, op->addrsize), op->size, &v))
			return false;
		x86_port_out(cpu, port, op->size, (uint32_t)v);
		advance(cpu, op, X86_RSI, 1);
		elements_done(cpu, op, 1);
	}
	return string_end(cpu, op);
}

bool exec_string(struct x86_cpu *cpu, const struct insn *insn)
{
	struct string_op op;

	/* Also when the count is zero. */
	if ((insn->op == X86_OP_INS || insn->op == X86_OP_OUTS) && !x86_io_allowed(cpu, (uint16_t)cpu->s.gpr[X86_RDX], insn->opsize))
		return false;
	if (!string_begin(cpu, insn, &op))
		return insn_done(cpu, insn);
	switch (insn->op) {
	case X86_OP_MOVS: return exec_movs(cpu, &op);
	case X86_OP_STOS: return exec_stos(cpu, &op);
	case X86_OP_LODS: return exec_lods(cpu, &op);
	case X86_OP_CMPS: return exec_cmps(cpu, &op);
	case X86_OP_SCAS: return exec_scas(cpu, &op);
	case X86_OP_INS: return exec_ins(cpu, &op);
	default: return exec_outs(cpu, &op);
	}
}
