/* SPDX-License-Identifier: Apache-2.0 */
/* Operand access for the interpreter's instruction files: registers, and memory with an inlined TLB hit. */
#ifndef LODGE_CPU_X86_ACCESS_H
#define LODGE_CPU_X86_ACCESS_H

#include "cpu/x86/alu.h"
#include "cpu/x86/system.h"

typedef bool exec_fn(struct x86_cpu *cpu, const struct insn *insn);

/* A load or store of any alignment that the compiler may neither split nor repeat. */
struct LODGE_PACKED __attribute__((may_alias)) guest16 { uint16_t v; };
struct LODGE_PACKED __attribute__((may_alias)) guest32 { uint32_t v; };
struct LODGE_PACKED __attribute__((may_alias)) guest64 { uint64_t v; };

static LODGE_ALWAYS_INLINE uint64_t host_get(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return ((const volatile struct guest16 *)p)->v;
	case 4: return ((const volatile struct guest32 *)p)->v;
	default: return ((const volatile struct guest64 *)p)->v;
	}
}

static LODGE_ALWAYS_INLINE void host_put(void *p, unsigned size, uint64_t v)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)v; break;
	case 2: ((volatile struct guest16 *)p)->v = (uint16_t)v; break;
	case 4: ((volatile struct guest32 *)p)->v = (uint32_t)v; break;
	default: ((volatile struct guest64 *)p)->v = v; break;
	}
}

static LODGE_ALWAYS_INLINE uint64_t gpr_get(const struct x86_cpu *cpu, unsigned n, unsigned size)
{
	return cpu->s.gpr[n & 15] & alu_mask(size);
}

/* 32-bit results clear the upper half, smaller ones leave the rest alone. */
static LODGE_ALWAYS_INLINE void gpr_set(struct x86_cpu *cpu, unsigned n, unsigned size, uint64_t v)
{
	uint64_t *r = &cpu->s.gpr[n & 15];

	if (size >= 4)
		*r = size == 4 ? (uint32_t)v : v;
	else
		*r = (*r & ~alu_mask(size)) | (v & alu_mask(size));
}

/* As above for an operand of @insn, where byte registers 4..7 may be AH..BH. */
static LODGE_ALWAYS_INLINE uint64_t reg_get(const struct x86_cpu *cpu, const struct insn *insn, unsigned n, unsigned size)
{
	unsigned gpr;

	if (size == 1 && insn_high_byte(insn, n, &gpr))
		return cpu->s.gpr[gpr] >> 8 & 0xff;
	return gpr_get(cpu, n, size);
}

static LODGE_ALWAYS_INLINE void reg_set(struct x86_cpu *cpu, const struct insn *insn, unsigned n, unsigned size, uint64_t v)
{
	unsigned gpr;

	if (size == 1 && insn_high_byte(insn, n, &gpr))
		cpu->s.gpr[gpr] = (cpu->s.gpr[gpr] & ~UINT64_C(0xff00)) | (v & 0xff) << 8;
	else
		gpr_set(cpu, n, size, v);
}

static LODGE_ALWAYS_INLINE uint64_t insn_ea(const struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t ea = (uint64_t)insn->disp;

	if (insn->base < 16)
		ea += cpu->s.gpr[insn->base];
	else if (insn->base == X86_REG_RIP)
		ea += cpu->s.rip + insn->len;
	if (insn->index < 16)
		ea += cpu->s.gpr[insn->index] << insn->scale;
	return insn->addrsize == 8 ? ea : ea & alu_mask(insn->addrsize);
}

/* Host pointer of [seg:ea, +size) when segment checks are void and the TLB has the page; NULL: take the long way. */
static LODGE_ALWAYS_INLINE uint8_t *mem_fast(const struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size,
	enum tlb_kind kind)
{
	const struct x86_tlb_array *tlb = &cpu->tlb[cpu->tlb_mode][kind];
	uint64_t lin = ea;
	unsigned i;

	if (likely(cpu->long_mode)) {
		if (seg >= X86_FS)
			lin += cpu->s.seg[seg].base;
	} else if (cpu->flat && (seg == X86_DS || seg == X86_SS || seg == X86_ES)) {
		lin = (uint32_t)ea;
	} else {
		return NULL;
	}
	if (unlikely(cpu->align_check) && lin & (size - 1))
		return NULL;
	i = (unsigned)(lin >> MEMORY_PAGE_BITS) & (TLB_ENTRIES - 1);
	if (unlikely(tlb->entry[i].tag != (lin & ~UINT64_C(0xfff)) || (lin & 0xfff) > MEMORY_PAGE_BYTES - size))
		return NULL;
	return (uint8_t *)(uintptr_t)(tlb->entry[i].page + (lin & 0xfff));
}

static inline enum tlb_mode data_mode(const struct x86_cpu *cpu)
{
	return (enum tlb_mode)cpu->tlb_mode;
}

/* interp.c: the long ways, by segment and offset. */
bool x86_read_slow(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t *v) LODGE_MUST_CHECK;
bool x86_write_slow(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t v) LODGE_MUST_CHECK;

static LODGE_ALWAYS_INLINE bool mem_read_at(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t *v)
{
	const uint8_t *p = mem_fast(cpu, seg, ea, size, TLB_READ);

	if (likely(p)) {
		*v = host_get(p, size);
		return true;
	}
	return x86_read_slow(cpu, seg, ea, size, v);
}

static LODGE_ALWAYS_INLINE bool mem_write_at(struct x86_cpu *cpu, unsigned seg, uint64_t ea, unsigned size, uint64_t v)
{
	uint8_t *p = mem_fast(cpu, seg, ea, size, TLB_WRITE);

	if (likely(p)) {
		host_put(p, size, v);
		return true;
	}
	return x86_write_slow(cpu, seg, ea, size, v);
}

/* The r/m operand. */
static LODGE_ALWAYS_INLINE bool rm_read(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t *v)
{
	if (insn->flags & INSN_MEM)
		return mem_read_at(cpu, insn->seg, insn_ea(cpu, insn), size, v);
	*v = reg_get(cpu, insn, insn->rm, size);
	return true;
}

static LODGE_ALWAYS_INLINE bool rm_write(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t v)
{
	if (insn->flags & INSN_MEM)
		return mem_write_at(cpu, insn->seg, insn_ea(cpu, insn), size, v);
	reg_set(cpu, insn, insn->rm, size, v);
	return true;
}

/*
 * Read-modify-write of memory. rmw_begin() proves that the write will succeed
 * and gives the old value; rmw_commit() stores, under LOCK only if the value is
 * still the same: false means that somebody else changed it, *old is what they
 * wrote, compute again.
 */
struct mem_rmw {
	uint8_t *host;
	uint64_t lin;
	unsigned size;
	bool slow;
	bool lock;
	struct mmu_rmw mmu;
};
bool x86_rmw_begin(struct x86_cpu *cpu, const struct insn *insn, unsigned seg, uint64_t ea, unsigned size, struct mem_rmw *rmw,
		  uint64_t *old) LODGE_MUST_CHECK;
bool x86_rmw_commit_slow(struct x86_cpu *cpu, struct mem_rmw *rmw, uint64_t *old, uint64_t v) LODGE_MUST_CHECK;

static LODGE_ALWAYS_INLINE bool rmw_begin(struct x86_cpu *cpu, const struct insn *insn, unsigned size, struct mem_rmw *rmw,
	uint64_t *old)
{
	return x86_rmw_begin(cpu, insn, insn->seg, insn_ea(cpu, insn), size, rmw, old);
}

static LODGE_ALWAYS_INLINE bool rmw_commit(struct x86_cpu *cpu, struct mem_rmw *rmw, uint64_t *old, uint64_t v)
{
	if (likely(!rmw->slow && !rmw->lock)) {
		host_put(rmw->host, rmw->size, v);
		return true;
	}
	return x86_rmw_commit_slow(cpu, rmw, old, v);
}

static inline uint64_t stack_mask(const struct x86_cpu *cpu)
{
	return alu_mask(cpu->stack_size);
}

/* RSP, ESP or SP as the stack segment says; the rest of the register stays. */
static inline void set_sp(struct x86_cpu *cpu, uint64_t sp)
{
	gpr_set(cpu, X86_RSP, cpu->stack_size, sp);
}

#endif
