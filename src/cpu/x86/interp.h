/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference interpreter: one clear C meaning for every instruction that
 * decode.h knows. The translator calls it for what it does not translate and
 * is checked against it.
 */
#ifndef LODGE_CPU_X86_INTERP_H
#define LODGE_CPU_X86_INTERP_H

#include "cpu/x86/cpu.h"
#include "cpu/x86/decode.h"
#include "cpu/x86/mmu.h"

/* Size of the decoded-instruction cache behind cpu->interp_cache; self-validating, never needs a flush. */
#define INTERP_CACHE_BITS 12
#define INTERP_CACHE_BYTES ((size_t)160 << INTERP_CACHE_BITS)

enum x86_step {
	X86_STEP_OK,
	X86_STEP_HALT,     /* activity is no longer X86_RUNNING (HLT, shutdown, wait-for-SIPI) */
	X86_STEP_MODE,     /* OK, but mode, paging, or interrupt state may have changed: re-read everything derived */
};

/*
 * Execute the instruction at s.rip: fetch, decode, run, advance RIP, deliver
 * the fault if there is one, single-step and data breakpoint traps included.
 * Handles interrupt shadow bookkeeping. Never fails: a triple fault sets
 * activity to X86_SHUTDOWN.
 */
enum x86_step x86_step(struct x86_cpu *cpu);

/*
 * Execute an already decoded instruction at s.rip. On success RIP is advanced
 * and true is returned. On false cpu->fault says what to raise, and no register
 * has changed (REP instructions: RCX/RSI/RDI describe the completed part).
 * A REP instruction may return true with RIP unmoved after a bounded number of
 * iterations so that requests are polled.
 */
bool x86_exec(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

/* The groups behind x86_exec(), one file each (exec_*.c). Same contract. */
bool exec_integer(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool exec_string(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool exec_branch(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool exec_system(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool exec_xstate(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;
bool exec_native(struct x86_cpu *cpu, const struct insn *insn) LODGE_MUST_CHECK;

/* Deliver cpu->fault (exception class rules: double and triple fault). */
void x86_raise(struct x86_cpu *cpu);
/* Deliver an external interrupt or NMI through the IDT. */
void x86_interrupt(struct x86_cpu *cpu, uint8_t vector);
/* INT n, INT3, INTO, INT1: privilege-checked, RIP pushed is the next instruction. false: fault recorded. */
bool x86_soft_interrupt(struct x86_cpu *cpu, uint8_t vector, unsigned insn_len) LODGE_MUST_CHECK;

/*
 * Serve cpu->request between instructions in the architecture's order (INIT,
 * SIPI, debug trap, NMI, interrupt), honouring IF, shadow and activity.
 * CPU_REQ_STOP, CPU_REQ_CODE and CPU_REQ_FLUSH are the engine's and stay set. True if
 * anything was delivered.
 */
bool x86_serve_requests(struct x86_cpu *cpu);

/* For a vcpu that stops: INIT, SIPI and NMI that were asked of it and not served become part of its state. */
void x86_settle_requests(struct x86_cpu *cpu);

/* Effective address (offset in its segment) of insn's memory operand. */
uint64_t x86_ea(const struct x86_cpu *cpu, const struct insn *insn);

/*
 * Segmentation: turn (seg, offset, len) into a linear address, checking limits,
 * types and canonical form as the mode demands; false: #GP or #SS recorded.
 */
bool x86_linear(struct x86_cpu *cpu, unsigned seg, uint64_t offset, unsigned len, enum x86_access access, uint64_t *lin) LODGE_MUST_CHECK;

/* The memory operand of @insn in one go: x86_ea + x86_linear + mmu, with the current mode's rights. */
bool x86_mem_read(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t *value) LODGE_MUST_CHECK;
bool x86_mem_write(struct x86_cpu *cpu, const struct insn *insn, unsigned size, uint64_t value) LODGE_MUST_CHECK;

/* Stack with the stack-size rules; push checks the write before RSP moves. Sizes 2, 4, 8. */
bool x86_push(struct x86_cpu *cpu, unsigned size, uint64_t value) LODGE_MUST_CHECK;
bool x86_pop(struct x86_cpu *cpu, unsigned size, uint64_t *value) LODGE_MUST_CHECK;

/* Load a segment register by selector with all checks (protected and real mode). seg.c */
bool x86_load_segment(struct x86_cpu *cpu, unsigned seg, uint16_t selector) LODGE_MUST_CHECK;

/* MSRs as RDMSR/WRMSR see them: false means #GP (recorded). msr.c; also what kvm's state exchange uses. */
bool x86_msr_read(struct x86_cpu *cpu, uint32_t msr, uint64_t *value) LODGE_MUST_CHECK;
bool x86_msr_write(struct x86_cpu *cpu, uint32_t msr, uint64_t value) LODGE_MUST_CHECK;

/* May the current program use @size ports from @port on? (CPL, IOPL, VM86, TSS bitmap); false: #GP recorded. exec_io.c */
bool x86_io_allowed(struct x86_cpu *cpu, uint16_t port, unsigned size) LODGE_MUST_CHECK;

/* Guest TSC now. */
uint64_t x86_tsc(struct x86_cpu *cpu);

#endif
