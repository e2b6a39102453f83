/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page walks: 32-bit, PAE and 4-level paging, with the rules for reserved
 * bits, NX, WP, SMEP and SMAP, and accessed/dirty bits set with a locked
 * compare-exchange on guest memory (other vcpus and the guest's own software
 * race with it). Nothing is cached here.
 */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/mmu.h"

#define PTE_P UINT64_C(0x1)
#define PTE_W UINT64_C(0x2)
#define PTE_U UINT64_C(0x4)
#define PTE_A UINT64_C(0x20)
#define PTE_D UINT64_C(0x40)
#define PTE_PS UINT64_C(0x80)
#define PTE_G UINT64_C(0x100)
#define PTE_NX (UINT64_C(1) << 63)

#define PHYS_MASK ((UINT64_C(1) << 40) - 1)
#define TABLE_MASK (PHYS_MASK & ~UINT64_C(0xfff))
#define LONG_RESERVED (UINT64_C(0xfff) << 40)     /* bits 51..40; 62..52 are ignored */
#define PAE_RESERVED (UINT64_C(0x7fffff) << 40)   /* bits 62..40 */

/* Losing the compare-exchange this often in a row is a guest fighting itself; the last try forces the bits. */
#define WALK_RETRIES 64

enum walk_status { WALK_OK, WALK_ABSENT, WALK_RESERVED };

struct walk_entry {
	uint8_t *host; /* NULL: not writable memory, its bits cannot be set */
	uint64_t ram_page;
	uint32_t offset;
	uint64_t value;
};

struct table_walk {
	struct walk_entry entry[4];
	unsigned n;
	bool narrow; /* 32-bit entries */
	bool user, writable, nx;
	uint64_t gpa, page_bytes;
	enum walk_status status;
};

static uint64_t entry_load(struct x86_cpu *cpu, struct table_walk *w, uint64_t addr)
{
	struct walk_entry *e = &w->entry[w->n++];
	struct memory_page page;

	addr &= cpu->a20_mask;
	memory_page_lookup_near(cpu->mem, &cpu->near_tables, gpa(addr), &page);
	e->offset = (uint32_t)(addr & 0xfff);
	e->ram_page = page.ram_page;
	e->host = page.write_hva ? page.write_hva + e->offset : NULL;
	if (!page.read_hva)
		e->value = w->narrow ? UINT32_MAX : UINT64_MAX;
	else if (w->narrow)
		e->value = __atomic_load_n((const uint32_t *)(const void *)(page.read_hva + e->offset), __ATOMIC_RELAXED);
	else
		e->value = __atomic_load_n((const uint64_t *)(const void *)(page.read_hva + e->offset), __ATOMIC_RELAXED);
	return e->value;
}

static void walk_leaf(struct table_walk *w, uint64_t lin, uint64_t frame, uint64_t page_bytes)
{
	w->page_bytes = page_bytes;
	w->gpa = (frame & ~(page_bytes - 1)) | (lin & (page_bytes - 1));
}

/* The levels that 4-level and PAE paging share: 64-bit entries from @level (3: PML4) down. */
static void walk_wide(struct x86_cpu *cpu, uint64_t lin, unsigned level, uint64_t table, uint64_t reserved, struct table_walk *w)
{
	bool has_1g = !cpu->model || cpu->model->page_1g;

	if (!(cpu->s.msr.efer & X86_EFER_NXE))
		reserved |= PTE_NX;
	for (;; level--) {
		unsigned shift = 12 + 9 * level;
		uint64_t v = entry_load(cpu, w, table + (lin >> shift & 511) * 8);
		uint64_t page_bytes = UINT64_C(1) << shift;

		if (!(v & PTE_P)) {
			w->status = WALK_ABSENT;
			return;
		}
		if ((v & reserved) || (level == 3 && (v & PTE_PS)) || (level == 2 && (v & PTE_PS) && !has_1g)) {
			w->status = WALK_RESERVED;
			return;
		}
		w->user &= !!(v & PTE_U);
		w->writable &= !!(v & PTE_W);
		w->nx |= !!(v & PTE_NX);
		if (level == 0 || (v & PTE_PS)) {
			if (level > 0 && (v & PHYS_MASK & (page_bytes - 1) & ~UINT64_C(0x1fff)))
				w->status = WALK_RESERVED;
			else
				walk_leaf(w, lin, v & PHYS_MASK, page_bytes);
			return;
		}
		table = v & TABLE_MASK;
	}
}

static void walk_narrow(struct x86_cpu *cpu, uint64_t lin, struct table_walk *w)
{
	uint64_t v;

	w->narrow = true;
	v = entry_load(cpu, w, (cpu->s.cr3 & 0xfffff000) + (lin >> 22 & 1023) * 4);
	if (!(v & PTE_P)) {
		w->status = WALK_ABSENT;
		return;
	}
	w->user &= !!(v & PTE_U);
	w->writable &= !!(v & PTE_W);
	if ((v & PTE_PS) && (cpu->s.cr4 & X86_CR4_PSE)) {
		/* PSE-36: bits 20..13 are physical bits 39..32; bit 21 would be bit 40. */
		if (v & (1u << 21))
			w->status = WALK_RESERVED;
		else
			walk_leaf(w, lin, (v & 0xffc00000) | (v >> 13 & 0xff) << 32, UINT64_C(1) << 22);
		return;
	}
	v = entry_load(cpu, w, (v & 0xfffff000) + (lin >> 12 & 1023) * 4);
	if (!(v & PTE_P)) {
		w->status = WALK_ABSENT;
		return;
	}
	w->user &= !!(v & PTE_U);
	w->writable &= !!(v & PTE_W);
	walk_leaf(w, lin, v & 0xfffff000, MEMORY_PAGE_BYTES);
}

static void walk_tables(struct x86_cpu *cpu, uint64_t lin, struct table_walk *w)
{
	w->n = 0;
	w->narrow = false;
	w->user = w->writable = true;
	w->nx = false;
	w->status = WALK_OK;
	if (cpu->s.msr.efer & X86_EFER_LMA) {
		walk_wide(cpu, lin, 3, cpu->s.cr3 & TABLE_MASK, LONG_RESERVED, w);
	} else if (cpu->s.cr4 & X86_CR4_PAE) {
		uint64_t pdpte = cpu->s.pae_pdpte[lin >> 30 & 3];

		if (pdpte & PTE_P)
			walk_wide(cpu, lin, 1, pdpte & TABLE_MASK, PAE_RESERVED, w);
		else
			w->status = WALK_ABSENT;
	} else {
		walk_narrow(cpu, lin, w);
	}
}

static bool walk_allows(const struct x86_cpu *cpu, const struct table_walk *w, enum x86_access access, enum tlb_mode mode)
{
	if (access == X86_EXEC && w->nx)
		return false;
	if (mode == TLB_USER)
		return w->user && (access != X86_WRITE || w->writable);
	if (access == X86_EXEC)
		return !(w->user && (cpu->s.cr4 & X86_CR4_SMEP));
	if (w->user && mode == TLB_KERNEL && (cpu->s.cr4 & X86_CR4_SMAP))
		return false;
	return access != X86_WRITE || w->writable || !(cpu->s.cr0 & X86_CR0_WP);
}

static bool walk_fault(struct x86_cpu *cpu, uint64_t lin, const struct table_walk *w, enum x86_access access, enum tlb_mode mode)
{
	uint32_t error = 0;

	if (w->status != WALK_ABSENT)
		error |= X86_PF_P;
	if (w->status == WALK_RESERVED)
		error |= X86_PF_RSVD;
	if (access == X86_WRITE)
		error |= X86_PF_W;
	if (mode == TLB_USER)
		error |= X86_PF_U;
	if (access == X86_EXEC && ((cpu->s.cr4 & X86_CR4_SMEP) ||
				   ((cpu->s.cr4 & X86_CR4_PAE) && (cpu->s.msr.efer & X86_EFER_NXE))))
		error |= X86_PF_I;
	cpu->fault = (struct x86_fault){ .vector = X86_EXC_PF, .has_error = true, .error = error, .cr2 = lin };
	return false;
}

/* Set @bits in @e; false if the entry changed meanwhile. */
static bool entry_set_bits(struct x86_cpu *cpu, const struct table_walk *w, struct walk_entry *e, uint64_t bits, bool force)
{
	if ((e->value & bits) == bits || !e->host)
		return true;
	if (w->narrow) {
		uint32_t *p = (uint32_t *)(void *)e->host;
		uint32_t old = (uint32_t)e->value;

		if (force)
			__atomic_fetch_or(p, (uint32_t)bits, __ATOMIC_SEQ_CST);
		else if (!__atomic_compare_exchange_n(p, &old, old | (uint32_t)bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return false;
	} else {
		uint64_t *p = (uint64_t *)(void *)e->host;
		uint64_t old = e->value;

		if (force)
			__atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
		else if (!__atomic_compare_exchange_n(p, &old, old | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return false;
	}
	e->value |= bits;
	if (cpu->on_ram_write && e->ram_page != MEMORY_NO_RAM_PAGE)
		cpu->on_ram_write(cpu, e->ram_page, e->offset, w->narrow ? 4 : 8);
	return true;
}

static bool walk_set_bits(struct x86_cpu *cpu, struct table_walk *w, bool write, bool force)
{
	for (unsigned i = 0; i < w->n; i++) {
		bool leaf = i == w->n - 1;

		if (!entry_set_bits(cpu, w, &w->entry[i], PTE_A | (leaf && write ? PTE_D : 0), force))
			return false;
	}
	return true;
}

static void walk_result(const struct x86_cpu *cpu, const struct table_walk *w, struct x86_walk *out)
{
	uint64_t leaf = w->entry[w->n - 1].value;

	*out = (struct x86_walk){
		.gpa = w->gpa & cpu->a20_mask,
		.page_bytes = w->page_bytes,
		.writable = w->writable,
		.user = w->user,
		.exec = !w->nx,
		.dirty = leaf & PTE_D,
		.global = (leaf & PTE_G) && (cpu->s.cr4 & X86_CR4_PGE),
	};
}

static void walk_unpaged(const struct x86_cpu *cpu, uint64_t lin, struct x86_walk *out)
{
	*out = (struct x86_walk){
		.gpa = (lin & UINT32_MAX) & cpu->a20_mask,
		.page_bytes = MEMORY_PAGE_BYTES,
		.writable = true, .user = true, .exec = true, .dirty = true,
	};
}

bool mmu_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode, struct x86_walk *out)
{
	struct table_walk w;

	if (!(cpu->s.cr0 & X86_CR0_PG)) {
		walk_unpaged(cpu, lin, out);
		return true;
	}
	for (unsigned try = 0;; try++) {
		walk_tables(cpu, lin, &w);
		if (w.status != WALK_OK || !walk_allows(cpu, &w, access, mode))
			return walk_fault(cpu, lin, &w, access, mode);
		if (walk_set_bits(cpu, &w, access == X86_WRITE, try >= WALK_RETRIES))
			break;
	}
	walk_result(cpu, &w, out);
	return true;
}

bool mmu_probe(struct x86_cpu *cpu, uint64_t lin, struct x86_walk *out)
{
	struct table_walk w;

	if (!(cpu->s.cr0 & X86_CR0_PG)) {
		walk_unpaged(cpu, lin, out);
		return true;
	}
	walk_tables(cpu, lin, &w);
	if (w.status != WALK_OK)
		return false;
	walk_result(cpu, &w, out);
	return true;
}
