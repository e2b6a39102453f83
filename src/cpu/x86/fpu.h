/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87, SSE and AVX state, and the machinery that runs such instructions on the
 * host: private to cpu/x86 but for what the owner of a vcpu calls.
 *
 * s.xsave is a standard-format image with these invariants while it is the
 * truth (fpu_live false): the bytes of a component whose XSTATE_BV bit is
 * clear hold its initial values, the rest of the header is zero, MXCSR has no
 * reserved bit set. FIP, FDP and FOP in it are the guest's: 64-bit offsets,
 * selectors are not kept (as on processors that deprecate FCS and FDS).
 */
#ifndef LODGE_CPU_X86_FPU_H
#define LODGE_CPU_X86_FPU_H

#include "base/error.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/decode.h"
#include "host/host_ops.h"

/* The vcpu that the calling thread runs; set at engine entry, for fault hooks. */
extern __thread struct x86_cpu *cpu_current;

/* Room for generated code and more. Without it the vcpu has no x87, MMX, SSE or AVX: they are #UD. */
enum lodge_err cpu_fp_create(struct x86_cpu *cpu, struct lodge_error *err) LODGE_MUST_CHECK;
void cpu_fp_destroy(struct x86_cpu *cpu);

/* s was replaced from outside: establish the invariants above. */
void cpu_fp_loaded(struct x86_cpu *cpu);

/* Part of a fault hook: was it an instruction of the guest's, run for the interpreter? Then the frame has been redirected. */
bool cpu_fp_fault(struct host_fault *f, struct x86_cpu *cpu);
/* For programs without an engine of their own: a hook that does nothing else. */
enum lodge_err cpu_fp_install_fault_hook(struct lodge_error *err) LODGE_MUST_CHECK;

/* Offsets in an XSAVE area, and what Lodge says about MXCSR. */
enum {
	XSAVE_FCW = 0, XSAVE_FSW = 2, XSAVE_FTW = 4, XSAVE_FOP = 6, XSAVE_FIP = 8, XSAVE_FDP = 16, XSAVE_MXCSR = 24,
	XSAVE_MXCSR_MASK = 28, XSAVE_ST = 32, XSAVE_XMM = 160, XSAVE_LEGACY_END = 416, XSAVE_BV = 512, XSAVE_COMP_BV = 520,
	XSAVE_HEADER_END = 576, XSAVE_YMM = 576,
};
#define FP_MXCSR_MASK 0xffffu
#define FP_MXCSR_INIT 0x1f80u
#define FP_FCW_INIT 0x37fu
#define FP_FSW_ES 0x80u
#define FP_FSW_BUSY 0x8000u
#define FP_EXCEPTIONS 0x3fu /* IE DE ZE OE UE PE, and their masks in the control word */
#define XCOMP_COMPACTED (UINT64_C(1) << 63)

/* Last x87 instruction and its operand, as FNSTENV shows them. */
struct fp_pointers {
	uint64_t fip, fdp;
	uint16_t fop;
};

/* What a thunk is called with (thunk.c); offsets are in generated code. */
struct fp_args {
	uint64_t rax, rcx, rdx; /* rcx: modrm.reg, rdx: modrm.rm when those are general registers; else as named */
	void *mem;
	uint32_t flags;         /* alu_flags_pack() */
};

#define FP_THUNK_SLOTS 1024u
#define FP_THUNK_BYTES 64u
#define FP_THUNK_TABLE_BITS 12
#define FP_THUNK_TABLE (1u << FP_THUNK_TABLE_BITS)

struct fp_thunk_key {
	uint64_t v[2]; /* the instruction as generated; [1]'s top byte: length, the one below: flags are used */
};

struct fp_thunks {
	struct host_code_area area; /* slot 0 is where faults return to */
	unsigned used;              /* slots */
	uint8_t fault_kind;         /* HOST_FAULT_* of the last one */
	bool host_avx;
	struct fp_pointers last;    /* of the last thunk that ran an x87 instruction */
	struct fp_pointers given;   /* those that the guest's own state brought into the host's registers */
	struct fp_args args;
	struct fp_thunk_key keys[FP_THUNK_TABLE];
	uint16_t slots[FP_THUNK_TABLE]; /* 0: free */
	LODGE_ALIGNED(64) uint8_t bounce[64];
};

static inline bool fp_is_thunk(const struct fp_thunks *t, uint64_t pc)
{
	return pc - (uint64_t)(uintptr_t)t->area.rx < t->area.bytes;
}

/*
 * thunk.c: run @insn on the live state with t->args, its memory operand being
 * at args.mem. False: the host's CPU raised t->fault_kind; nothing changed but
 * status flags.
 */
bool fp_thunk_run(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool fp_uses_flags(const struct insn *insn);

/* May the current program use this state? False: #UD or #NM is recorded. fpu.c */
bool fp_gate_x87(struct x86_cpu *cpu) LODGE_MUST_CHECK;
bool fp_gate_mmx(struct x86_cpu *cpu) LODGE_MUST_CHECK;
bool fp_gate_sse(struct x86_cpu *cpu) LODGE_MUST_CHECK;
bool fp_gate_avx(struct x86_cpu *cpu) LODGE_MUST_CHECK;
bool fp_gate_xsave(struct x86_cpu *cpu) LODGE_MUST_CHECK;

/* Is an unmasked x87 exception waiting? The state is live afterwards. */
bool fp_x87_pending(struct x86_cpu *cpu);

/* exec_x87_env.c: FNSTENV, FLDENV, FNSAVE, FRSTOR, all gates included. */
bool exec_x87_env(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

/* exec_masked.c: MASKMOVQ, MASKMOVDQU, VMASKMOV, VPMASKMOV and the gathers. Gates are passed. */
bool exec_masked(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

#endif
