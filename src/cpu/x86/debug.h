/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debug registers. Instruction breakpoints are looked at before, single-step
 * and data breakpoints after each interpreted instruction. Pages with an armed
 * data breakpoint never enter the TLB, so that only the MMU's slow path has to
 * look; a translator runs the interpreter while x86_debug_active().
 */
#ifndef LODGE_CPU_X86_DEBUG_H
#define LODGE_CPU_X86_DEBUG_H

#include "cpu/x86/cpu.h"

#define X86_DR7_ENABLES 0xffu
#define X86_DEBUG_NO_STEP 0x80u /* in debug_hits: the instruction cleared TF by entering a handler, no single-step trap follows */

/* Is any breakpoint enabled, or single-step on? */
static inline bool x86_debug_active(const struct x86_cpu *cpu)
{
	return (cpu->s.dr7 & X86_DR7_ENABLES) || (cpu->s.rflags & X86_FLAG_TF);
}

/* Does an enabled instruction breakpoint match s.rip? True: #DB is recorded in cpu->fault. RFLAGS.RF suppresses it. */
bool x86_check_code_breakpoint(struct x86_cpu *cpu);

/*
 * After an instruction that completed: deliver #DB for single-step
 * (@tf_before: RFLAGS.TF when it began) and for data breakpoints it hit. MOV SS
 * holds them back by one instruction. True if a #DB was delivered.
 */
bool x86_trap_after_insn(struct x86_cpu *cpu, bool tf_before);

/* May a data breakpoint match something in the page of @lin? */
bool x86_debug_page_watched(const struct x86_cpu *cpu, uint64_t lin);
/* Note the data breakpoints that [@lin, @lin+@len) touches. */
void x86_debug_data_access(struct x86_cpu *cpu, uint64_t lin, unsigned len, bool write);
/* Note the I/O breakpoints (CR4.DE) that @port touches. */
void x86_debug_io_access(struct x86_cpu *cpu, uint16_t port, unsigned size);

#endif
