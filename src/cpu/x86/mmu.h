/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear memory: page walks, the soft TLB, and accesses of every kind. All
 * functions that can fault return false with cpu->fault filled and nothing
 * architectural changed (A/D bits aside). A #PF is raised only after an
 * uncached walk.
 */
#ifndef LODGE_CPU_X86_MMU_H
#define LODGE_CPU_X86_MMU_H

#include "cpu/x86/cpu.h"

enum x86_access { X86_READ, X86_WRITE, X86_EXEC };

/* Result of a walk. */
struct x86_walk {
	uint64_t gpa;        /* of the byte asked for */
	uint64_t page_bytes; /* 4K, 2M, 4M, 1G */
	bool writable, user, exec, dirty, global; /* combined rights; dirty: D is set in the leaf */
};

/*
 * Walk the guest's tables for @lin with the rights of @mode (enum tlb_mode)
 * and set A (and D for writes) bits with a locked compare-exchange. @mode
 * TLB_KERNEL with SMAP obeys it; system accesses (descriptor tables, TSS) use
 * TLB_KERNEL as F11 says. Does not look at the TLB.
 */
bool mmu_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode, struct x86_walk *out) LODGE_MUST_CHECK;

/* As mmu_walk() but without setting bits or faulting: for debuggers and audits. */
bool mmu_probe(struct x86_cpu *cpu, uint64_t lin, struct x86_walk *out) LODGE_MUST_CHECK;

/* Fill the TLB for one page; false: fault. Pages that may not be cached are walked each time and are no error. */
bool mmu_fill(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode) LODGE_MUST_CHECK;

/*
 * Put a translation into a data array, flush bookkeeping included. The caller
 * guarantees the invariants at struct x86_tlb_array.
 */
void mmu_tlb_insert(struct x86_cpu *cpu, enum tlb_mode mode, enum tlb_kind kind, uint64_t lin, const uint8_t *hva_page, bool global);

/* 1, 2, 4, 8 bytes at a linear address, page crossing included; MMIO goes to the environment. Zero-extended. */
bool mmu_read(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t *value) LODGE_MUST_CHECK;
bool mmu_write(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t value) LODGE_MUST_CHECK;

/* Any length up to a page: vector operands, save areas, descriptor pairs. A write checks every page before it stores a byte. */
bool mmu_read_bytes(struct x86_cpu *cpu, uint64_t lin, void *buf, unsigned len, enum tlb_mode mode) LODGE_MUST_CHECK;
bool mmu_write_bytes(struct x86_cpu *cpu, uint64_t lin, const void *buf, unsigned len, enum tlb_mode mode) LODGE_MUST_CHECK;

/* Would a write of @len bytes succeed? Sets A/D, stores nothing. */
bool mmu_probe_write(struct x86_cpu *cpu, uint64_t lin, unsigned len, enum tlb_mode mode) LODGE_MUST_CHECK;

/*
 * Read-modify-write: a host pointer to @size bytes on which the host's LOCK
 * instructions may be used, with write rights checked first. *host is NULL when
 * the operand is MMIO or crosses a page: the caller then does mmu_read() and
 * mmu_write() (for LOCK: under cpu_exclusive semantics of the engine).
 * mmu_rmw_end() reports the bytes as written; call it after the store.
 */
struct mmu_rmw {
	void *host;
	uint64_t ram_page;
	unsigned offset;
	unsigned size;
	bool notify;
};
bool mmu_rmw_begin(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, struct mmu_rmw *out) LODGE_MUST_CHECK;
void mmu_rmw_end(struct x86_cpu *cpu, const struct mmu_rmw *rmw);

/*
 * A host pointer for a run of @len bytes inside one page with the given
 * access, for string instructions; NULL in *host when it must go byte-wise.
 */
bool mmu_span(struct x86_cpu *cpu, uint64_t lin, unsigned len, enum x86_access access, enum tlb_mode mode, struct mmu_rmw *out) LODGE_MUST_CHECK;

/*
 * Instruction bytes at linear @lin with the rights of the current CPL: copies
 * up to @len bytes, stopping at a page boundary whose next page faults only if
 * at least one byte was read. *got says how many. @fault_at_zero: a fault is
 * reported only when no byte could be read.
 */
bool mmu_fetch(struct x86_cpu *cpu, uint64_t lin, uint8_t *buf, unsigned len, unsigned *got) LODGE_MUST_CHECK;

/* Index of the exec TLB entry for @lin, filled if needed; false: fault. */
bool mmu_exec_entry(struct x86_cpu *cpu, uint64_t lin, unsigned *index) LODGE_MUST_CHECK;

void mmu_flush_all(struct x86_cpu *cpu);        /* global entries too */
void mmu_flush_nonglobal(struct x86_cpu *cpu);
void mmu_flush_page(struct x86_cpu *cpu, uint64_t lin); /* INVLPG: the page in every mode; large pages correctly */
/* Drop every write entry whose host page is @ram_page (code appeared there). */
void mmu_drop_write(struct x86_cpu *cpu, uint64_t ram_page);

/* MOV to CR3 semantics (PCID and NOFLUSH included), after validation. */
void mmu_load_cr3(struct x86_cpu *cpu, uint64_t value);

static inline bool mmu_canonical(uint64_t lin)
{
	return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

#endif
