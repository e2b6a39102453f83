/* SPDX-License-Identifier: Apache-2.0 */
/* Between mmu.c and mmu_access.c. */
#ifndef LODGE_CPU_X86_MMU_INTERNAL_H
#define LODGE_CPU_X86_MMU_INTERNAL_H

#include "cpu/x86/mmu.h"

/* Where one access inside a page goes. */
struct mmu_target {
	uint8_t *host;     /* the byte asked for; NULL: MMIO at gpa */
	uint64_t gpa;      /* valid after mmu_translate(), not after a TLB hit */
	uint64_t ram_page;
	bool notify;       /* on_ram_write() must hear of a write */
};

/* Walk, and enter the TLB if that is allowed. */
bool mmu_translate(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode, struct mmu_target *out) LODGE_MUST_CHECK;

/* Empty every entry, whatever the marks say (first use of the arrays). */
void mmu_tlb_reset(struct x86_cpu *cpu);

#endif
