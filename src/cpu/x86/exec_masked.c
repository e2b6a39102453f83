/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector memory accesses that leave elements out: MASKMOVQ, MASKMOVDQU,
 * V(P)MASKMOV and the gathers. Only selected elements may fault, so each is
 * an access of its own, on the saved state, whatever its alignment.
 */
#include "cpu/x86/access.h"
#include "cpu/x86/fpu.h"

/* Vector register as one run of bytes. */
struct vector {
	uint8_t b[32];
};

static void vector_get(const struct x86_cpu *cpu, unsigned n, struct vector *v)
{
	__builtin_memcpy(v->b, cpu->s.xsave + XSAVE_XMM + 16 * (n & 15), 16);
	__builtin_memcpy(v->b + 16, cpu->s.xsave + XSAVE_YMM + 16 * (n & 15), 16);
}

static void vector_set(struct x86_cpu *cpu, unsigned n, const struct vector *v)
{
	uint8_t *bv = cpu->s.xsave + XSAVE_BV;

	__builtin_memcpy(cpu->s.xsave + XSAVE_XMM + 16 * (n & 15), v->b, 16);
	__builtin_memcpy(cpu->s.xsave + XSAVE_YMM + 16 * (n & 15), v->b + 16, 16);
	put_le64(bv, get_le64(bv) | X86_XCR0_SSE | X86_XCR0_AVX);
}

/* After mmx_transition() MMX registers and the image's slots, which count from the top of the stack, are the same. */
static void mmx_get(const struct x86_cpu *cpu, unsigned n, struct vector *v)
{
	__builtin_memset(v, 0, sizeof(*v));
	__builtin_memcpy(v->b, cpu->s.xsave + XSAVE_ST + 16 * (n & 7), 8);
}

static bool selected(const struct vector *mask, unsigned i, unsigned size)
{
	return mask->b[i * size + size - 1] & 0x80;
}

static bool element_address(struct x86_cpu *cpu, const struct insn *insn, uint64_t ea, unsigned size, enum x86_access access, uint64_t *lin)
{
	if (insn->addrsize != 8)
		ea &= alu_mask(insn->addrsize);
	return x86_linear(cpu, insn->seg, ea, size, access, lin);
}

static bool load_element(struct x86_cpu *cpu, const struct insn *insn, uint64_t ea, unsigned size, uint8_t *to)
{
	uint64_t lin;

	return element_address(cpu, insn, ea, size, X86_READ, &lin) && mmu_read_bytes(cpu, lin, to, size, data_mode(cpu));
}

/* Two rounds: every element must be writable before one is written. */
static bool store_elements(struct x86_cpu *cpu, const struct insn *insn, uint64_t ea, unsigned n, unsigned size, const struct vector *mask,
			   const struct vector *data)
{
	uint64_t lin;

	for (unsigned i = 0; i < n; i++) {
		if (!selected(mask, i, size))
			continue;
		if (!element_address(cpu, insn, ea + (uint64_t)i * size, size, X86_WRITE, &lin) ||
		    !mmu_probe_write(cpu, lin, size, data_mode(cpu)))
			return false;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!selected(mask, i, size))
			continue;
		if (!element_address(cpu, insn, ea + (uint64_t)i * size, size, X86_WRITE, &lin) ||
		    !mmu_write_bytes(cpu, lin, data->b + i * size, size, data_mode(cpu)))
			return false;
	}
	return true;
}

/* As every MMX instruction: the register stack is full and starts at 0. */
static void mmx_transition(struct x86_cpu *cpu)
{
	uint32_t v;

	cpu_fpu_enter(cpu);
	__asm__ volatile("movd %%mm0, %0" : "=r"(v)); /* writes no register: MMX writes set exponents too */
}

static bool exec_maskmov(struct x86_cpu *cpu, const struct insn *insn)
{
	bool mmx = !insn->vex_pp;
	unsigned bytes = mmx ? 8 : 16;
	struct vector data, mask;
	uint64_t lin;

	if (mmx && fp_x87_pending(cpu))
		return cpu_fault(cpu, X86_EXC_MF, false, 0);
	if (cpu->align_check && (cpu->s.gpr[X86_RDI] & 7))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	if (mmx)
		mmx_transition(cpu);
	cpu_leave(cpu);
	if (mmx) {
		mmx_get(cpu, insn->reg & 7, &data);
		mmx_get(cpu, insn->rm & 7, &mask);
	} else {
		vector_get(cpu, insn->reg, &data);
		vector_get(cpu, insn->rm, &mask);
	}
	/* Processors of AMD's check all of the destination, and may. */
	if (!element_address(cpu, insn, cpu->s.gpr[X86_RDI], bytes, X86_WRITE, &lin) || !mmu_probe_write(cpu, lin, bytes, data_mode(cpu)))
		return false;
	return store_elements(cpu, insn, cpu->s.gpr[X86_RDI], bytes, 1, &mask, &data);
}

static bool exec_vmaskmov(struct x86_cpu *cpu, const struct insn *insn)
{
	unsigned bytes = insn->vex_l ? 32 : 16, size;
	struct vector mask, data = { { 0 } };
	uint64_t ea = insn_ea(cpu, insn);

	if (insn->opcode >= 0x8c)
		size = insn->rex & 8 ? 8 : 4;
	else
		size = insn->opcode & 1 ? 8 : 4;
	cpu_leave(cpu);
	vector_get(cpu, insn->vex_vvvv, &mask);
	if (insn->mem_access & INSN_ACCESS_W) {
		vector_get(cpu, insn->reg, &data);
		return store_elements(cpu, insn, ea, bytes / size, size, &mask, &data);
	}
	for (unsigned i = 0; i < bytes / size; i++)
		if (selected(&mask, i, size) && !load_element(cpu, insn, ea + (uint64_t)i * size, size, data.b + i * size))
			return false;
	vector_set(cpu, insn->reg, &data);
	return true;
}

static uint64_t gather_index(const struct vector *index, unsigned i, unsigned size)
{
	return size == 8 ? get_le64(index->b + 8 * i) : (uint64_t)(int32_t)get_le32(index->b + 4 * i);
}

/* A fault keeps what has been gathered, and its mask elements cleared, so that a restart goes on from there. */
static bool exec_gather(struct x86_cpu *cpu, const struct insn *insn)
{
	unsigned bytes = insn->vex_l ? 32 : 16, size = insn->rex & 8 ? 8 : 4, index_size = insn->opcode & 1 ? 8 : 4;
	unsigned n = bytes / MAX(size, index_size);
	struct vector data, mask, index;
	struct insn base = *insn;
	uint64_t origin;
	bool ok = true;

	cpu_leave(cpu);
	vector_get(cpu, insn->reg, &data);
	vector_get(cpu, insn->vex_vvvv, &mask);
	vector_get(cpu, insn->index, &index);
	base.index = X86_NOREG;
	origin = insn_ea(cpu, &base);
	for (unsigned i = 0; i < n && ok; i++) {
		if (selected(&mask, i, size))
			ok = load_element(cpu, insn, origin + (gather_index(&index, i, index_size) << insn->scale), size, data.b + i * size);
		if (ok)
			__builtin_memset(mask.b + i * size, 0, size);
	}
	if (ok) {
		__builtin_memset(&mask, 0, sizeof(mask));
		__builtin_memset(data.b + n * size, 0, sizeof(data) - (size_t)n * size);
	}
	vector_set(cpu, insn->reg, &data);
	vector_set(cpu, insn->vex_vvvv, &mask);
	return ok;
}

bool exec_masked(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_MASKMOV: return exec_maskmov(cpu, insn);
	case X86_OP_VMASKMOV: return exec_vmaskmov(cpu, insn);
	default: return exec_gather(cpu, insn);
	}
}
