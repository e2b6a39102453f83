/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft TLB: filling, flushing and what may enter it. Entries serve 4K even
 * when the guest's page is larger; the large_2m and large_1g filters
 * remember where large pages were used, so that INVLPG drops all parts of one.
 */
#include "base/hash.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/mmu_internal.h"

static unsigned tlb_index(uint64_t lin)
{
	return (unsigned)(lin >> MEMORY_PAGE_BITS) & (TLB_ENTRIES - 1);
}

static uint64_t *tlb_tag(struct x86_cpu *cpu, unsigned array, unsigned index)
{
	unsigned data = TLB_NMODES * TLB_NKINDS;

	return array < data ? &cpu->tlb[array / TLB_NKINDS][array % TLB_NKINDS].entry[index].tag : &cpu->itlb[array - data].tag[index];
}

static void marks_set(struct x86_tlb_marks *m, unsigned index, bool global)
{
	uint64_t bit = UINT64_C(1) << (index % 64);

	m->live[index / 64] |= bit;
	if (global)
		m->nonglobal[index / 64] &= ~bit;
	else
		m->nonglobal[index / 64] |= bit;
}

static void entry_drop(struct x86_cpu *cpu, unsigned array, unsigned index)
{
	uint64_t bit = UINT64_C(1) << (index % 64);

	*tlb_tag(cpu, array, index) = tlb_empty_tag(index);
	cpu->marks[array].live[index / 64] &= ~bit;
	cpu->marks[array].nonglobal[index / 64] &= ~bit;
}

void mmu_tlb_insert(struct x86_cpu *cpu, enum tlb_mode mode, enum tlb_kind kind, uint64_t lin, const uint8_t *hva_page, bool global)
{
	unsigned i = tlb_index(lin);
	uint64_t page = lin & ~UINT64_C(0xfff);

	cpu->tlb[mode][kind].entry[i] = (struct x86_tlb_entry){ .tag = page, .page = (uint64_t)(uintptr_t)hva_page };
	marks_set(&cpu->marks[mode * TLB_NKINDS + kind], i, global);
	cpu->stats.tlb_fills++;
}

static void itlb_insert(struct x86_cpu *cpu, unsigned user, uint64_t lin, const struct x86_walk *walk, const struct memory_page *page)
{
	unsigned i = tlb_index(lin);
	struct x86_tlb_exec *a = &cpu->itlb[user];

	a->tag[i] = lin & ~UINT64_C(0xfff);
	a->gpa_page[i] = walk->gpa & ~UINT64_C(0xfff);
	a->hva[i] = page->read_hva;
	a->ram_page[i] = page->ram_page;
	marks_set(&cpu->marks[TLB_NMODES * TLB_NKINDS + user], i, walk->global);
	cpu->stats.tlb_fills++;
}

static void filter_add(struct x86_large_filter *f, uint64_t region)
{
	unsigned i = hash_bits(region, TLB_FILTER_BITS);

	f->bits[i / 64] |= UINT64_C(1) << (i % 64);
	f->any = true;
}

static bool filter_hit(const struct x86_large_filter *f, uint64_t region)
{
	unsigned i = hash_bits(region, TLB_FILTER_BITS);

	return f->any && (f->bits[i / 64] >> (i % 64) & 1);
}

static void filter_clear(struct x86_large_filter *f)
{
	if (f->any)
		*f = (struct x86_large_filter){ 0 };
}

static void note_page_size(struct x86_cpu *cpu, uint64_t lin, const struct x86_walk *walk)
{
	if (walk->page_bytes == MEMORY_PAGE_BYTES)
		return;
	if (walk->page_bytes > (UINT64_C(1) << 22)) {
		filter_add(&cpu->large_1g[walk->global], lin >> 30);
		return;
	}
	/* A 4M page is noted as both of its halves. */
	filter_add(&cpu->large_2m[walk->global], lin >> 21);
	if (walk->page_bytes == UINT64_C(1) << 22)
		filter_add(&cpu->large_2m[walk->global], (lin >> 21) ^ 1);
}

static void target_write(struct x86_cpu *cpu, uint64_t lin, enum tlb_mode mode, const struct x86_walk *walk, const struct memory_page *page,
			 bool watched, struct mmu_target *out)
{
	bool ram = page->write_hva && page->ram_page != MEMORY_NO_RAM_PAGE;

	out->host = page->write_hva ? page->write_hva + (lin & 0xfff) : NULL;
	/* With CR0.WP clear a write to a read-only page stays out: the arrays hold for WP set. */
	if (ram && !watched && walk->writable && walk->dirty && (!cpu->may_cache_write || cpu->may_cache_write(cpu, page->ram_page))) {
		mmu_tlb_insert(cpu, mode, TLB_WRITE, lin, page->write_hva, walk->global);
		if (page->read_hva)
			mmu_tlb_insert(cpu, mode, TLB_READ, lin, page->read_hva, walk->global);
		return;
	}
	out->notify = ram && cpu->on_ram_write;
}

bool mmu_translate(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode, struct mmu_target *out)
{
	struct x86_walk walk;
	struct memory_page page;
	bool watched;

	cpu->stats.page_walks++;
	if (!mmu_walk(cpu, lin, access, mode, &walk))
		return false;
	memory_page_lookup_near(cpu->mem, &cpu->near_data, gpa(walk.gpa), &page);
	note_page_size(cpu, lin, &walk);
	*out = (struct mmu_target){ .gpa = walk.gpa, .ram_page = page.ram_page };
	if (access == X86_EXEC) {
		itlb_insert(cpu, mode == TLB_USER, lin, &walk, &page);
		return true;
	}
	watched = unlikely(cpu->s.dr7 & X86_DR7_ENABLES) && x86_debug_page_watched(cpu, lin);
	if (access == X86_WRITE) {
		target_write(cpu, lin, mode, &walk, &page, watched, out);
		return true;
	}
	out->host = page.read_hva ? page.read_hva + (lin & 0xfff) : NULL;
	if (page.read_hva && !watched)
		mmu_tlb_insert(cpu, mode, TLB_READ, lin, page.read_hva, walk.global);
	return true;
}

bool mmu_fill(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode)
{
	struct mmu_target t;

	return mmu_translate(cpu, lin, access, mode, &t);
}

bool mmu_exec_entry(struct x86_cpu *cpu, uint64_t lin, unsigned *index)
{
	unsigned user = cpu->cpl == 3;

	*index = tlb_index(lin);
	if (likely(cpu->itlb[user].tag[*index] == (lin & ~UINT64_C(0xfff))))
		return true;
	if (cpu->long_mode && !mmu_canonical(lin))
		return cpu_gp(cpu, 0);
	return mmu_fill(cpu, lin, X86_EXEC, user ? TLB_USER : TLB_KERNEL);
}

/* Empty the entries of @array whose bit is in @bits. */
static void tags_clear(struct x86_cpu *cpu, unsigned array, const uint64_t *bits)
{
	for (unsigned w = 0; w < TLB_MARK_WORDS; w++)
		for (uint64_t left = bits[w]; left; left &= left - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(left);

			*tlb_tag(cpu, array, i) = tlb_empty_tag(i);
		}
}

void mmu_flush_all(struct x86_cpu *cpu)
{
	cpu->stats.tlb_flushes++;
	for (unsigned a = 0; a < TLB_ARRAYS; a++) {
		tags_clear(cpu, a, cpu->marks[a].live);
		cpu->marks[a] = (struct x86_tlb_marks){ 0 };
	}
	for (unsigned global = 0; global < 2; global++) {
		filter_clear(&cpu->large_2m[global]);
		filter_clear(&cpu->large_1g[global]);
	}
	if (cpu->on_tlb_flush)
		cpu->on_tlb_flush(cpu, true);
}

void mmu_flush_nonglobal(struct x86_cpu *cpu)
{
	cpu->stats.tlb_flushes++;
	for (unsigned a = 0; a < TLB_ARRAYS; a++) {
		struct x86_tlb_marks *m = &cpu->marks[a];

		tags_clear(cpu, a, m->nonglobal);
		for (unsigned w = 0; w < TLB_MARK_WORDS; w++) {
			m->live[w] &= ~m->nonglobal[w];
			m->nonglobal[w] = 0;
		}
	}
	filter_clear(&cpu->large_2m[0]);
	filter_clear(&cpu->large_1g[0]);
	if (cpu->on_tlb_flush)
		cpu->on_tlb_flush(cpu, false);
}

void mmu_tlb_reset(struct x86_cpu *cpu)
{
	for (unsigned a = 0; a < TLB_ARRAYS; a++)
		for (unsigned i = 0; i < TLB_ENTRIES; i++)
			*tlb_tag(cpu, a, i) = tlb_empty_tag(i);
	mmu_flush_all(cpu);
}

static void range_drop(struct x86_cpu *cpu, uint64_t lin, unsigned shift)
{
	for (unsigned a = 0; a < TLB_ARRAYS; a++) {
		for (unsigned w = 0; w < TLB_MARK_WORDS; w++) {
			for (uint64_t left = cpu->marks[a].live[w]; left; left &= left - 1) {
				unsigned i = w * 64 + (unsigned)__builtin_ctzll(left);

				if (*tlb_tag(cpu, a, i) >> shift == lin >> shift)
					entry_drop(cpu, a, i);
			}
		}
	}
}

void mmu_flush_page(struct x86_cpu *cpu, uint64_t lin)
{
	bool in_1g = filter_hit(&cpu->large_1g[0], lin >> 30) || filter_hit(&cpu->large_1g[1], lin >> 30);
	bool in_2m = filter_hit(&cpu->large_2m[0], lin >> 21) || filter_hit(&cpu->large_2m[1], lin >> 21);
	unsigned i = tlb_index(lin);

	if (in_1g || in_2m) {
		/* Outside PAE the large page is 4M. */
		range_drop(cpu, lin, in_1g ? 30 : (cpu->s.cr4 & X86_CR4_PAE) ? 21 : 22);
		if (cpu->on_tlb_flush)
			cpu->on_tlb_flush(cpu, true);
		return;
	}
	for (unsigned a = 0; a < TLB_ARRAYS; a++)
		if (*tlb_tag(cpu, a, i) == (lin & ~UINT64_C(0xfff)))
			entry_drop(cpu, a, i);
	if (cpu->on_tlb_flush_page)
		cpu->on_tlb_flush_page(cpu, lin);
}

void mmu_drop_write(struct x86_cpu *cpu, uint64_t ram_page)
{
	uint64_t hva = (uint64_t)(uintptr_t)cpu->mem->ram_hva + (ram_page << MEMORY_PAGE_BITS);

	for (unsigned mode = 0; mode < TLB_NMODES; mode++) {
		struct x86_tlb_array *t = &cpu->tlb[mode][TLB_WRITE];
		unsigned a = mode * TLB_NKINDS + TLB_WRITE;

		for (unsigned w = 0; w < TLB_MARK_WORDS; w++) {
			for (uint64_t left = cpu->marks[a].live[w]; left; left &= left - 1) {
				unsigned i = w * 64 + (unsigned)__builtin_ctzll(left);

				if (t->entry[i].page == hva)
					entry_drop(cpu, a, i);
			}
		}
	}
}

void mmu_load_cr3(struct x86_cpu *cpu, uint64_t value)
{
	/* Nothing is kept for other PCIDs, so that NOFLUSH, a permission and no order, is not needed. */
	cpu->s.cr3 = value & ~(UINT64_C(1) << 63);
	mmu_flush_nonglobal(cpu);
}
