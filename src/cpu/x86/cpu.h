/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running vcpu as the software engines see it: architectural state, the soft
 * TLB and what is derived from them. The interpreter (interp.h), the MMU
 * (mmu.h) and the translator (cpu/soft) work on it; the kvm backend borrows
 * one for instructions that its kernel cannot emulate.
 *
 * Everything here is touched by the vcpu's own thread only, except `request`.
 *
 * The guest's x87/SSE/AVX state lives either in s.xsave or, between
 * cpu_fpu_enter() and cpu_leave(), in the host's registers (fpu_live). All code
 * of cpu/x86 and cpu/soft is built for general registers only, so that it does
 * not disturb them.
 */
#ifndef LODGE_CPU_X86_CPU_H
#define LODGE_CPU_X86_CPU_H

#include <stdatomic.h>
#include "base/types.h"
#include "cpu/x86/env.h"
#include "cpu/x86/ops.h"
#include "cpu/x86/state.h"
#include "memory/guest_memory.h"

/*
 * Soft TLB: direct mapped, split by kind of access. A tag is the page-aligned
 * virtual (linear) address it serves; an empty entry's is that of a page which
 * belongs to another entry (tlb_empty_tag()), so that no address looked up here
 * lies less than a page above it. Only directly accessible pages enter; the
 * write arrays hold only pages that are writable for that mode, RAM, dirty in
 * the page table, and free of translated code. The exec array gives instruction
 * fetch its page.
 */
#define TLB_BITS 12
#define TLB_ENTRIES (1u << TLB_BITS)
enum tlb_mode { TLB_KERNEL, TLB_USER, TLB_KERNEL_AC, TLB_NMODES }; /* KERNEL_AC: CPL<3 with SMAP lifted by EFLAGS.AC (or SMAP off: same as KERNEL) */
enum tlb_kind { TLB_READ, TLB_WRITE, TLB_NKINDS };

struct x86_tlb_entry {
	uint64_t tag;
	uint64_t page; /* host address of the page */
};
struct x86_tlb_array {
	struct x86_tlb_entry entry[TLB_ENTRIES];
};

static inline uint64_t tlb_empty_tag(unsigned index)
{
	return (uint64_t)(index ^ 1) << 12;
}

/* Instruction fetch and block lookup want the physical page too. */
struct x86_tlb_exec {
	uint64_t tag[TLB_ENTRIES];      /* linear page */
	uint64_t gpa_page[TLB_ENTRIES]; /* guest physical page address */
	uint8_t *hva[TLB_ENTRIES];      /* start of the page, NULL: not directly readable (fetch from MMIO is #GP-free all-ones) */
	uint64_t ram_page[TLB_ENTRIES]; /* MEMORY_NO_RAM_PAGE for ROM */
};

/*
 * Which entries of one TLB array are filled, and which of those a non-global
 * flush drops: flushes touch filled entries only. Kept by mmu.c; whoever else
 * fills an entry uses mmu_tlb_insert().
 */
#define TLB_MARK_WORDS (TLB_ENTRIES / 64)
#define TLB_ARRAYS (TLB_NMODES * TLB_NKINDS + 2) /* data arrays, then itlb[0], itlb[1] */
struct x86_tlb_marks {
	uint64_t live[TLB_MARK_WORDS];
	uint64_t nonglobal[TLB_MARK_WORDS];
};

/* A set of regions, a hashed bit each: says "surely not" or "perhaps". */
#define TLB_FILTER_BITS 11
struct x86_large_filter {
	uint64_t bits[1u << TLB_FILTER_BITS >> 6];
	bool any;
};

/* Eight bytes from here read as request << 48: requests must fit 16 bits. */
#define cpu_request_poison (offsetof(struct x86_cpu, request) - 6)

/* Requests to a vcpu; set by any thread with cpu_request(), served by its own at safe points. */
#define CPU_REQ_INTR 0x01u      /* look at the LAPIC / ExtINT */
#define CPU_REQ_NMI 0x02u
#define CPU_REQ_INIT 0x04u
#define CPU_REQ_SIPI 0x08u      /* vector in request_sipi */
#define CPU_REQ_STOP 0x10u      /* leave cpu_backend run() soon: pause, shutdown, hop */
#define CPU_REQ_FLUSH 0x20u     /* the memory map changed: drop all TLB entries and blocks */
#define CPU_REQ_CODE 0x40u      /* code-coherency work queued (cpu/soft) */
#define CPU_REQ_TIMER 0x80u     /* re-read the LAPIC timer (LAPIC's own) */
#define CPU_REQ_STEAL 0x100u    /* update the steal-time record */

/* A fault found while executing; delivered by the caller through x86_raise(). */
struct x86_fault {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t cr2; /* #PF only */
};

struct x86_cpu_model; /* cpuid.h */
struct fp_thunks; /* fpu.h */

struct x86_cpu_stats {
	uint64_t interp_insns, jit_insns; /* instructions executed by each (jit: counted per block when stats are on) */
	uint64_t exceptions, interrupts;
	uint64_t tlb_fills, tlb_flushes, page_walks;
	uint64_t mmio_exits, port_exits, halts;
};

struct x86_cpu {
	struct x86_state s; /* first: generated code addresses it from GS:0 */

	/*
	 * Set by other threads. The engine's poll reads it. The zeros before it are for generated code, which adds
	 * request << 48 to a return address to make it wrong while a request waits: see cpu_request_poison.
	 */
	uint64_t request_zero;
	_Atomic uint32_t request;
	_Atomic uint32_t request_sipi;

	/* Derived from s; cpu_update_mode() recomputes after CS, CR0, CR4, EFER, RFLAGS.AC/VM changes. */
	uint8_t cpl;
	uint8_t code_mode;   /* enum x86_mode_bits: default size of code */
	uint8_t stack_size;  /* 2, 4, 8 */
	uint8_t tlb_mode;    /* enum tlb_mode of data accesses */
	bool long_mode;      /* EFER.LMA and CS.L */
	bool flat;           /* every segment usable by data accesses has base 0 and no effective limit, FS/GS bases aside */
	bool fpu_live;
	bool align_check;    /* CPL 3 with CR0.AM and RFLAGS.AC: misaligned accesses are #AC(0) */
	uint64_t a20_mask;   /* all ones; bit 20 clear when A20 is off */

	struct x86_fault fault; /* last failure of an access or instruction */

	const struct x86_cpu_model *model;
	const struct x86_env_ops *env;
	void *env_ctx;
	struct guest_memory *mem;
	struct memory_near near_tables, near_data; /* where page tables and the pages behind them were last found */
	unsigned index;     /* vcpu number = APIC id */
	void *engine;       /* cpu/soft's own struct, NULL otherwise */
	void *interp_cache; /* INTERP_CACHE_BYTES zeroed by the owner for decoded instructions (interp.h), or NULL: slower, no other difference */

	/* Engine hooks, NULL when no translator is attached. */
	void (*on_tlb_flush)(struct x86_cpu *cpu, bool global); /* all (non-global) translations dropped */
	void (*on_tlb_flush_page)(struct x86_cpu *cpu, uint64_t lin);
	/* May @ram_page enter a write array now? (false: holds translated code) Records this vcpu as a possible writer. */
	bool (*may_cache_write)(struct x86_cpu *cpu, uint64_t ram_page);
	/* A write through the slow path to RAM has been done. */
	void (*on_ram_write)(struct x86_cpu *cpu, uint64_t ram_page, unsigned offset, unsigned len);
	/* The guest RIP whose code was translated to @host_pc, 0 if none: shown as the last x87 instruction's. Callable without cpu_leave(). */
	uint64_t (*guest_rip_of)(struct x86_cpu *cpu, uint64_t host_pc);

	struct fp_thunks *thunks; /* fpu.h; cpu_fp_create() and cpu_fp_destroy() */

	struct x86_cpu_stats stats;

	/* Not architectural; owned by cpu/x86's files. */
	uint8_t debug_hits;          /* DR6.B0-3 of data breakpoints met since the last debug trap */
	uint64_t tsc_mul;            /* guest kHz / host kHz in 16.48 fixed point, 0: they are equal (the usual case) */
	uint64_t steal_seen_ns;      /* run-queue wait already in the guest's record */
	uint64_t steal_next_tsc;     /* do not look again before this guest TSC */
	struct x86_tlb_marks marks[TLB_ARRAYS];
	/* Regions that had a large page in the TLB since the last flush that drops such ([1]: global ones): INVLPG must drop all of it. */
	struct x86_large_filter large_2m[2], large_1g[2];

	struct x86_tlb_array tlb[TLB_NMODES][TLB_NKINDS];
	struct x86_tlb_exec itlb[2]; /* [0] CPL<3, [1] CPL 3 */
};

/* Set request bits and make the engine look (release order). Any thread. Does not wake a halted vcpu: the backend's kick does. */
static inline void cpu_request(struct x86_cpu *cpu, uint32_t bits)
{
	atomic_fetch_or_explicit(&cpu->request, bits, memory_order_seq_cst);
}

/* Power-on state of @index (0 is the BSP) for @model; memory, env and hooks must be set by the caller afterwards. */
void cpu_reset(struct x86_cpu *cpu, bool bsp);
/* The architectural part of cpu_reset(): @s becomes power-on state of vcpu @index; its TSC offset is kept. */
void x86_state_reset(struct x86_state *s, const struct x86_cpu_model *model, unsigned index, bool bsp);
/* INIT: as the manuals' table; keeps caches, MSRs, x87/SSE. */
void cpu_init_signal(struct x86_cpu *cpu);
/* Recompute everything derived after s was replaced or changed from outside; flushes the TLB. */
void cpu_state_loaded(struct x86_cpu *cpu);
void cpu_update_mode(struct x86_cpu *cpu);

/* Put the guest's vector state into the host's registers / back into s.xsave. Idempotent. fpu.c */
void cpu_fpu_enter(struct x86_cpu *cpu);
void cpu_leave(struct x86_cpu *cpu);

/* Fault helpers: record and return false, so `return cpu_gp(cpu, 0);` reads well. */
static inline bool cpu_fault(struct x86_cpu *cpu, uint8_t vector, bool has_error, uint32_t error)
{
	cpu->fault = (struct x86_fault){ .vector = vector, .has_error = has_error, .error = error };
	return false;
}
static inline bool cpu_ud(struct x86_cpu *cpu) { return cpu_fault(cpu, X86_EXC_UD, false, 0); }
static inline bool cpu_gp(struct x86_cpu *cpu, uint32_t error) { return cpu_fault(cpu, X86_EXC_GP, true, error); }
static inline bool cpu_nm(struct x86_cpu *cpu) { return cpu_fault(cpu, X86_EXC_NM, false, 0); }

#endif
