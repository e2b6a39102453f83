/* SPDX-License-Identifier: Apache-2.0 */
/* PCIDs: each has its own translations; bit 63 of CR3 only keeps them; CR4.PCIDE's rules. */
#include "guest.h"

#define VA (WINDOW + 0x3000)
#define KEEP (1ull << 63)

void guest_main(void)
{
	if (!(cpuid(1, 0).c & 1 << 17))
		guest_skip("no PCID");
	volatile u32 *a = page_alloc(), *b = page_alloc(), *v = (u32 *)VA;
	u64 *other = page_alloc(), *pdpt = page_alloc(), *pd = page_alloc(), *pt = page_alloc();
	word base = READ_CR(3);

	*a = 0xa;
	*b = 0xb;
	memory_copy(other, guest_pml4, 4096);
	other[1] = (word)pdpt | 7;
	pdpt[0] = (word)pd | 7;
	pd[0] = (word)pt | 7;
	pt[3] = (word)b | PTE_P | PTE_W;
	window_map(VA, (void *)a, PTE_P | PTE_W);

	TRY("mov %0, %%cr3", : "r"(base | KEEP) : "memory");
	CHECK_FAULT(GP, 0);
	WRITE_CR(3, base | 5); /* the low bits are not a PCID yet */
	TRY("mov %0, %%cr4", : "r"(READ_CR(4) | CR4_PCIDE) : "memory");
	CHECK_FAULT(GP, 0);
	WRITE_CR(3, base);
	TRY("mov %0, %%cr4", : "r"(READ_CR(4) | CR4_PCIDE) : "memory");
	CHECK_NO_TRAP();
	TRY("mov %0, %%cr0", : "r"(READ_CR(0) & ~(word)CR0_PG) : "memory");
	CHECK_FAULT(GP, 0);

	WRITE_CR(3, base | 1);
	CHECK_EQ(READ_CR(3), base | 1);
	CHECK_EQ(*v, 0xa);
	WRITE_CR(3, (word)other | 2);
	CHECK_EQ(*v, 0xb);
	for (unsigned i = 0; i < 50; i++) {
		WRITE_CR(3, base | 1 | KEEP);
		CHECK_EQ(READ_CR(3), base | 1);
		CHECK_EQ(*v, 0xa);
		WRITE_CR(3, (word)other | 2 | KEEP);
		CHECK_EQ(*v, 0xb);
	}
	/* Without bit 63 the new PCID's entries are dropped. */
	*window_pte(VA) = (word)b | PTE_P | PTE_W;
	WRITE_CR(3, base | 1);
	CHECK_EQ(*v, 0xb);
	pt[3] = (word)a | PTE_P | PTE_W;
	WRITE_CR(3, (word)other | 2);
	CHECK_EQ(*v, 0xa);
	/* INVLPG works on the current PCID. */
	pt[3] = (word)b | PTE_P | PTE_W;
	invlpg(VA);
	CHECK_EQ(*v, 0xb);
	WRITE_CR(3, base);
	WRITE_CR(4, READ_CR(4) & ~CR4_PCIDE);
	CHECK_EQ(*v, 0xb);
}
