/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files that deal with descriptors, privilege and mode:
 * seg.c, exception.c, exec_system.c, exec_far.c, task_switch.c, msr.c.
 * Functions that return bool record a fault in cpu->fault when false.
 */
#ifndef LODGE_CPU_X86_SYSTEM_H
#define LODGE_CPU_X86_SYSTEM_H

#include "cpu/x86/cpuid.h"
#include "cpu/x86/interp.h"

/* Descriptor types with S clear. */
enum x86_system_type {
	X86_SYS_TSS16 = 1, X86_SYS_LDT = 2, X86_SYS_TSS16_BUSY = 3, X86_SYS_CALL16 = 4, X86_SYS_TASK_GATE = 5,
	X86_SYS_INT16 = 6, X86_SYS_TRAP16 = 7, X86_SYS_TSS32 = 9, X86_SYS_TSS32_BUSY = 11, X86_SYS_CALL32 = 12,
	X86_SYS_INT32 = 14, X86_SYS_TRAP32 = 15,
};

/* A descriptor as read from a table. @attr is laid out as struct x86_segment's. */
struct x86_desc {
	uint64_t lin; /* where it was read */
	uint32_t lo, hi;
	uint16_t sel;
	uint16_t attr;
};

static inline unsigned desc_type(const struct x86_desc *d) { return d->attr & X86_SEG_TYPE; }
static inline unsigned desc_dpl(const struct x86_desc *d) { return (d->attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT; }
static inline bool desc_present(const struct x86_desc *d) { return d->attr & X86_SEG_P; }
static inline bool desc_is_system(const struct x86_desc *d) { return !(d->attr & X86_SEG_S); }
static inline bool desc_is_code(const struct x86_desc *d) { return (d->attr & (X86_SEG_S | X86_SEG_CODE)) == (X86_SEG_S | X86_SEG_CODE); }
static inline bool desc_is_writable_data(const struct x86_desc *d)
{
	return (d->attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_WRITABLE)) == (X86_SEG_S | X86_SEG_WRITABLE);
}
static inline bool desc_is_conforming(const struct x86_desc *d) { return desc_is_code(d) && (d->attr & X86_SEG_CONFORMING); }
/* Gates: target selector and offset (bits 31..0). */
static inline uint16_t gate_selector(const struct x86_desc *d) { return (uint16_t)(d->lo >> 16); }
static inline uint32_t gate_offset(const struct x86_desc *d) { return (d->lo & 0xffff) | (d->hi & 0xffff0000); }

static inline bool sel_is_null(uint16_t sel) { return !(sel & ~3u); }
static inline uint32_t sel_error(uint16_t sel) { return sel & 0xfffcu; }

static inline bool cpu_protected(const struct x86_cpu *cpu) { return (cpu->s.cr0 & X86_CR0_PE) && !(cpu->s.rflags & X86_FLAG_VM); }
static inline bool cpu_v86(const struct x86_cpu *cpu) { return cpu->s.rflags & X86_FLAG_VM; }
static inline bool cpu_lma(const struct x86_cpu *cpu) { return cpu->s.msr.efer & X86_EFER_LMA; }
static inline unsigned cpu_iopl(const struct x86_cpu *cpu) { return (unsigned)(cpu->s.rflags & X86_FLAG_IOPL) >> 12; }
static inline bool cpu_is_intel(const struct x86_cpu *cpu) { return cpu->model && cpu->model->vendor == CPU_VENDOR_INTEL; }
static inline bool cpu_has(const struct x86_cpu *cpu, unsigned gate) { return !cpu->model || cpu_model_has(cpu->model, gate); }

/* RIP after @insn. */
static inline uint64_t insn_next_rip(const struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t rip = cpu->s.rip + insn->len;

	return cpu->long_mode ? rip : (uint32_t)rip;
}
static inline bool insn_done(struct x86_cpu *cpu, const struct insn *insn)
{
	cpu->s.rip = insn_next_rip(cpu, insn);
	return true;
}

/* seg.c */

/* Read the descriptor that @sel names; beyond its table: @vector with (sel | @ext). */
bool x86_desc_fetch(struct x86_cpu *cpu, uint16_t sel, uint8_t vector, uint32_t ext, struct x86_desc *d) LODGE_MUST_CHECK;
/* Without a fault for selectors out of bounds: *found says whether (a page fault still fails). */
bool x86_desc_look(struct x86_cpu *cpu, uint16_t sel, struct x86_desc *d, bool *found) LODGE_MUST_CHECK;
/* The second half of a 16-byte system descriptor (long mode): bits 63..32 of its base or offset; bad type field: #GP(sel). */
bool x86_desc_fetch_high(struct x86_cpu *cpu, const struct x86_desc *d, uint8_t vector, uint32_t ext, uint64_t *high) LODGE_MUST_CHECK;
/* Set attribute @bits (accessed, busy) in memory unless they are, and in @d. */
bool x86_desc_set_bits(struct x86_cpu *cpu, struct x86_desc *d, uint32_t bits) LODGE_MUST_CHECK;
bool x86_desc_clear_busy(struct x86_cpu *cpu, uint16_t tr_sel) LODGE_MUST_CHECK;
struct x86_segment x86_desc_segment(const struct x86_desc *d, uint16_t sel);
struct x86_segment x86_null_segment(uint16_t sel, unsigned dpl);
struct x86_segment x86_v86_segment(uint16_t sel);
/* 64-bit and compatibility flat segments that SYSCALL and SYSENTER load. */
struct x86_segment x86_flat_code(uint16_t sel, unsigned cpl, bool long_mode);
struct x86_segment x86_flat_data(uint16_t sel, unsigned cpl);

/* What @sel would load into SS at @cpl, or into DS/ES/FS/GS. @vector: #GP, or #TS from a TSS. Sets the accessed bit. */
bool x86_stack_segment(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext, struct x86_segment *out) LODGE_MUST_CHECK;
bool x86_data_segment(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext, struct x86_segment *out) LODGE_MUST_CHECK;
/* x86_linear() for a segment that is not loaded (yet); always legacy rules. False without a recorded fault. */
bool x86_segment_allows(const struct x86_cpu *cpu, const struct x86_segment *seg, uint64_t offset, unsigned len, enum x86_access access);

/*
 * Stack under construction: nothing is committed until the caller copies sp to
 * RSP. sp is the complete register: bits above a 16-bit SP are kept.
 */
struct x86_stack {
	struct x86_segment seg;
	uint64_t sp;
	unsigned sp_size;  /* 2, 4, 8 */
	enum tlb_mode mode;
	uint32_t ext;      /* EXT bit for #SS errors */
	uint32_t error;    /* selector for #SS when the segment is a new one */
};
void x86_stack_current(const struct x86_cpu *cpu, struct x86_stack *st);
void x86_stack_new(struct x86_stack *st, const struct x86_segment *seg, uint64_t sp, unsigned sp_size, unsigned cpl);
bool x86_stack_push(struct x86_cpu *cpu, struct x86_stack *st, unsigned size, uint64_t value) LODGE_MUST_CHECK;
bool x86_stack_pop(struct x86_cpu *cpu, struct x86_stack *st, unsigned size, uint64_t *value) LODGE_MUST_CHECK;

/* exception.c */

struct x86_event {
	uint8_t vector;
	bool soft;       /* INT n, INT3, INTO: gate DPL is checked */
	bool ext;        /* faults while delivering it carry the EXT bit */
	bool has_error;
	bool set_rf;     /* the pushed flags image has RF set (fault-class exceptions) */
	uint32_t error;
	uint64_t rip;    /* to push */
};
bool x86_deliver(struct x86_cpu *cpu, const struct x86_event *ev) LODGE_MUST_CHECK;
/* SS:SP of privilege @cpl from the current TSS (16- and 32-bit TSS). */
bool x86_tss_stack(struct x86_cpu *cpu, unsigned cpl, uint32_t ext, struct x86_segment *ss, uint64_t *sp) LODGE_MUST_CHECK;
/* 64-bit TSS: RSP0..2 (@slot 0..2) or IST1..7 (@slot 4..10, offset 24h). */
bool x86_tss_rsp(struct x86_cpu *cpu, unsigned slot, uint32_t ext, uint64_t *rsp) LODGE_MUST_CHECK;

/* task_switch.c */

enum x86_task_reason { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_IRET, X86_TASK_GATE /* interrupt or exception */ };
/* Switch to the TSS that @sel names; the old task resumes at @rip. @error is pushed on the new stack when @has_error. */
bool x86_task_switch(struct x86_cpu *cpu, uint16_t sel, enum x86_task_reason reason, uint64_t rip, uint32_t ext, bool has_error,
		     uint32_t error) LODGE_MUST_CHECK;

/* exec_far.c */
bool exec_far(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

/* exec_return.c: RETF and IRET. */
bool exec_return(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
/* Is @rip inside @cs (limit, or canonical for 64-bit code)? #GP(0) if not. */
bool x86_rip_allowed(struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t rip) LODGE_MUST_CHECK;
/* In long mode a code segment with both L and D is malformed. */
bool x86_code_malformed(const struct x86_cpu *cpu, const struct x86_desc *d);

/* exec_control.c: control and debug registers, MSR access, CPUID and the like. */
bool exec_control(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
/* exec_desc.c: segment registers and descriptor tables. */
bool exec_desc(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
/* exec_syscall.c: SYSCALL, SYSENTER and their returns. */
bool exec_syscall(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

/* MOV to CR0 with all checks; also LMSW and CLTS. */
bool x86_write_cr0(struct x86_cpu *cpu, uint64_t value) LODGE_MUST_CHECK;
/* Load the four PAE pointers from the table at @cr3; reserved bits set: #GP(0). */
bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3) LODGE_MUST_CHECK;

/* exec_io.c: port accesses through the environment, I/O breakpoints included. */
bool exec_io(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
uint32_t x86_port_in(struct x86_cpu *cpu, uint16_t port, unsigned size);
void x86_port_out(struct x86_cpu *cpu, uint16_t port, unsigned size, uint32_t value);

/* pv.c: KVM's paravirtual MSRs. *known false: not one of them. */
bool x86_pv_msr_read(struct x86_cpu *cpu, uint32_t msr, uint64_t *value, bool *known) LODGE_MUST_CHECK;
bool x86_pv_msr_write(struct x86_cpu *cpu, uint32_t msr, uint64_t value, bool *known) LODGE_MUST_CHECK;

/* Recompute tsc_mul after tsc_khz changed. */
void x86_tsc_scale_update(struct x86_cpu *cpu);

#endif
