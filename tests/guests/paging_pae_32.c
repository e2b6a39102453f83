/* SPDX-License-Identifier: Apache-2.0 */
/* PAE paging: PDPTEs loaded with CR3 and only then, 2 MiB pages, NX, reserved bits in a PDPTE are #GP at the load. */
#include "guest.h"

static volatile u64 pdpt[4] __attribute__((aligned(32))), pd[4][512] __attribute__((aligned(4096))), pt[512] __attribute__((aligned(4096)));
#define VA 0x40003000u

void guest_main(void)
{
	volatile u32 *page = page_alloc();

	page[0] = 0xc3; /* ret */
	for (u32 i = 0; i < 4; i++)
		pdpt[i] = (u32)pd[i] | 1;
	for (u32 i = 0; i < 32; i++)
		pd[0][i] = (u64)i << 21 | 0x83;
	pd[3][(0xfee00000u >> 21) & 511] = 0xfee00083u;
	pd[VA >> 30][VA >> 21 & 511] = (u32)pt | 3;
	pt[3] = (u32)page | 3;
	WRITE_CR(4, READ_CR(4) | CR4_PAE);
	wrmsr(EFER, 0x800);
	WRITE_CR(3, pdpt);
	WRITE_CR(0, READ_CR(0) | CR0_PG);
	CHECK_EQ(*(volatile u32 *)VA, 0xc3);
	CHECK_EQ(pt[3], (u32)page | 0x23);
	TRY("call *%0", : "r"(VA) : "memory");
	CHECK_NO_TRAP();
	pt[3] = (u32)page | 3 | 1ull << 63;
	invlpg(VA);
	TRY("sub $4, %%esp; jmp *%0", : "r"(VA) : "memory", "cc");
	__asm__ volatile("add $4, %%esp" ::: "memory", "cc");
	CHECK_EQ(trap.vector, PF);
	CHECK_EQ(trap.f.error, PF_P | PF_I);
	CHECK_EQ(trap.cr2, VA);
	/* A changed PDPTE is not seen before CR3 is loaded. */
	pt[3] = (u32)page | 3;
	u64 old = pdpt[1];
	pdpt[1] = 0;
	invlpg(VA);
	CHECK_EQ(*(volatile u32 *)VA, 0xc3);
	WRITE_CR(3, pdpt);
	TRY("movl (%0), %%eax", : "r"(VA) : "eax");
	CHECK_PF(VA, 0);
	pdpt[1] = old | 1 << 5;
	TRY("mov %0, %%cr3", : "r"(pdpt) : "memory");
	CHECK_FAULT(GP, 0);
	pdpt[1] = old;
	WRITE_CR(3, pdpt);
	CHECK_EQ(*(volatile u32 *)VA, 0xc3);
	/* Memory above 4 GiB that is not there: fine to map, all ones to read. */
	pt[4] = 1ull << 36 | 3;
	CHECK_EQ(*(volatile u32 *)(VA + 4096), 0xffffffff);
	pt[5] = 1ull << 51 | 3;
	TRY("movl (%0), %%eax", : "r"(VA + 8192) : "eax");
	CHECK_EQ(trap.vector, PF);
	CHECK_EQ(trap.f.error & PF_R, PF_R);
}
