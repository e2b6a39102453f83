/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of translated blocks: by key for lookup, by RAM page for
 * invalidation. A dead block's code stays in place, unreachable, until the next
 * flush of the whole cache, which happens only outside generated code.
 */
#include "cpu/soft/soft.h"

#define SITES_MAX (SOFT_BLOCKS_MAX / 2)

enum lodge_err soft_blocks_init(struct soft_vcpu *v, struct lodge_error *err)
{
	v->maps_max = SOFT_BLOCKS_MAX * 8;
	v->sites_max = SITES_MAX;
	v->blocks = host_alloc_sparse(sizeof(*v->blocks) * SOFT_BLOCKS_MAX);
	v->maps = host_alloc_sparse(sizeof(*v->maps) * v->maps_max);
	v->links = host_alloc_sparse(sizeof(*v->links) * SOFT_LINKS_MAX);
	v->sites = host_alloc_sparse(sizeof(*v->sites) * v->sites_max);
	v->cell_links = host_alloc_sparse(sizeof(void *) * SOFT_CELLS_MAX);
	for (unsigned i = 0; i < 2; i++) {
		v->live_cells[i] = host_alloc_sparse(sizeof(uint32_t) * SOFT_CELLS_MAX);
		v->live_ibtc[i] = host_alloc_sparse(sizeof(uint32_t) * SOFT_IBTC_ENTRIES * TLB_NMODES);
	}
	if (!v->blocks || !v->maps || !v->links || !v->sites || !v->cell_links || !v->live_cells[0] || !v->live_cells[1] ||
	    !v->live_ibtc[0] || !v->live_ibtc[1]) {
		soft_blocks_fini(v);
		return error_set(err, LODGE_ERR_NOMEM, "no address space for the software CPU's tables; raise `ulimit -v`");
	}
	soft_growth_init(&v->growth[SOFT_GROWS_VCPU], v, SOFT_VCPU_GROWS);
	v->growth[SOFT_GROWS_VCPU].next = 1; /* all but a vcpu that never ran fills the first of it at once */
	soft_growth_init(&v->growth[SOFT_GROWS_BLOCKS], v->blocks, sizeof(*v->blocks) * SOFT_BLOCKS_MAX);
	soft_growth_init(&v->growth[SOFT_GROWS_LINKS], v->links, sizeof(*v->links) * SOFT_LINKS_MAX);
	return LODGE_OK;
}

void soft_blocks_fini(struct soft_vcpu *v)
{
	host_free_sparse(v->blocks, sizeof(*v->blocks) * SOFT_BLOCKS_MAX);
	host_free_sparse(v->maps, sizeof(*v->maps) * v->maps_max);
	host_free_sparse(v->links, sizeof(*v->links) * SOFT_LINKS_MAX);
	host_free_sparse(v->sites, sizeof(*v->sites) * v->sites_max);
	host_free_sparse(v->cell_links, sizeof(void *) * SOFT_CELLS_MAX);
	for (unsigned i = 0; i < 2; i++) {
		host_free_sparse(v->live_cells[i], sizeof(uint32_t) * SOFT_CELLS_MAX);
		host_free_sparse(v->live_ibtc[i], sizeof(uint32_t) * SOFT_IBTC_ENTRIES * TLB_NMODES);
	}
}

static unsigned block_hash(uint64_t rip, uint64_t gpa, uint32_t key)
{
	return hash_bits(gpa ^ rip >> 12 << 20 ^ (uint64_t)key << 52, SOFT_HASH_BITS);
}

static unsigned page_hash(uint64_t ram_page)
{
	return hash_bits(ram_page, SOFT_PAGE_HASH_BITS);
}

struct soft_block *soft_block_find(struct soft_vcpu *v, uint64_t rip, uint64_t gpa_first, uint32_t key)
{
	struct soft_block *b;

	for (b = v->hash[block_hash(rip, gpa_first, key)]; b; b = b->hash_next) {
		uint64_t gpa2 = b->gpa2;

		if (b->rip != rip || b->gpa != gpa_first || b->key != key)
			continue;
		/* A straddling instruction is the same only if its second page still is. */
		if (gpa2 != UINT64_MAX) {
			unsigned i;

			if (!mmu_exec_entry(&v->cpu, (rip | 0xfff) + 1, &i) || v->cpu.itlb[v->cpu.cpl == 3].gpa_page[i] != gpa2)
				continue;
		}
		return b;
	}
	return NULL;
}

struct soft_block *soft_block_alloc(struct soft_vcpu *v)
{
	struct soft_block *b;

	if (v->nblocks == SOFT_BLOCKS_MAX)
		return NULL;
	b = &v->blocks[v->nblocks];
	__builtin_memset(b, 0, sizeof(*b));
	return b;
}

static void page_list_add(struct soft_vcpu *v, struct soft_block *b, uint64_t ram_page, unsigned which)
{
	struct soft_block **head = &v->page_hash[page_hash(ram_page)];

	b->page_next[which] = *head;
	*head = b;
}

void soft_block_publish(struct soft_vcpu *v, struct soft_block *b)
{
	struct soft_block **head = &v->hash[block_hash(b->rip, b->gpa, b->key)];

	b->hash_next = *head;
	*head = b;
	v->nblocks++;
	if (b->ram_page != MEMORY_NO_RAM_PAGE)
		page_list_add(v, b, b->ram_page, 0);
	if (b->gpa2 != UINT64_MAX && b->ram_page2 != MEMORY_NO_RAM_PAGE && page_hash(b->ram_page2) != page_hash(b->ram_page))
		page_list_add(v, b, b->ram_page2, 1);
	v->stats.blocks_translated++;
	v->stats.guest_code_bytes += b->bytes;
}

/* The link field that continues the page-hash chain @slot through @b. */
static struct soft_block **page_chain_next(struct soft_block *b, unsigned slot)
{
	bool first = b->ram_page != MEMORY_NO_RAM_PAGE && page_hash(b->ram_page) == slot;

	return &b->page_next[first ? 0 : 1];
}

void soft_block_kill(struct soft_vcpu *v, struct soft_block *b)
{
	struct soft_block **p = &v->hash[block_hash(b->rip, b->gpa, b->key)];

	if (b->dead)
		return;
	b->dead = true;
	v->invalidations++;
	v->stats.blocks_invalidated++;
	while (*p != b)
		p = &(*p)->hash_next;
	*p = b->hash_next;
	while (b->links_in)
		soft_unlink(v, b->links_in);
	for (unsigned i = 0; i < b->nlinks; i++)
		soft_unlink(v, &b->link[i]);
	soft_ibtc_forget(v, b);
	if (b->pads)
		v->shadow_reset |= 1u << soft_block_mode(b);
}

/* Offsets of @b's bytes inside @ram_page; false if it has none there. */
static bool block_span(const struct soft_block *b, uint64_t ram_page, unsigned *first, unsigned *last)
{
	unsigned offset = (unsigned)(b->gpa & 0xfff);
	unsigned in_first = MIN((unsigned)b->bytes_seen, 4096 - offset);

	if (b->ram_page == ram_page) {
		*first = offset;
		*last = offset + in_first - 1;
		return true;
	}
	if (b->gpa2 != UINT64_MAX && b->ram_page2 == ram_page) {
		*first = 0;
		*last = b->bytes_seen - in_first - 1;
		return true;
	}
	return false;
}

static uint64_t line_mask(unsigned first, unsigned last)
{
	unsigned lo = first / 64, hi = last / 64;

	return (hi == 63 ? UINT64_MAX : (UINT64_C(1) << (hi + 1)) - 1) & ~((UINT64_C(1) << lo) - 1);
}

uint64_t soft_page_invalidate(struct soft_vcpu *v, uint64_t ram_page, unsigned offset, unsigned len)
{
	unsigned slot = page_hash(ram_page), first, last;
	struct soft_block **p = &v->page_hash[slot];
	uint64_t left = 0;

	while (*p) {
		struct soft_block *b = *p;

		if (!b->dead && block_span(b, ram_page, &first, &last)) {
			if (first < offset + len && offset <= last) {
				unsigned c = soft_churn_index(b->gpa);

				v->churn[c].visits = 0;
				v->churn[c].kills = (uint8_t)MIN(v->churn[c].kills + 1u, SOFT_CHURN_KILLS);
				soft_block_kill(v, b);
			}
			else
				left |= line_mask(first, last);
		}
		if (b->dead)
			*p = *page_chain_next(b, slot);
		else
			p = page_chain_next(b, slot);
	}
	return left;
}

uint64_t soft_page_lines(struct soft_vcpu *v, uint64_t ram_page)
{
	return soft_page_invalidate(v, ram_page, 0, 0);
}

void soft_flush_all_blocks(struct soft_vcpu *v)
{
	for (unsigned g = 0; g < 2; g++) {
		for (uint32_t i = 0; i < v->nlive_ibtc[g]; i++) {
			struct soft_ibtc *t = &v->ibtc[v->live_ibtc[g][i] >> 16];

			t->entry[v->live_ibtc[g][i] & 0xffff].key = 0;
		}
		v->nlive_ibtc[g] = v->nlive_cells[g] = 0;
	}
	__builtin_memset(v->hash, 0, sizeof(v->hash));
	__builtin_memset(v->page_hash, 0, sizeof(v->page_hash));
	__builtin_memset(v->exec_filter, 0, sizeof(v->exec_filter));
	v->stats.blocks_evicted += v->nblocks;
	v->nblocks = v->nmaps = v->nlinks = v->nsites = v->ncells = 0;
	v->code_used = v->stubs.end;
	v->cold_used = (uint32_t)(v->area.bytes / 2);
	v->invalidations++;
	soft_shadow_forget(v, true);
}

struct soft_block *soft_block_by_code(struct soft_vcpu *v, uint32_t offset)
{
	uint32_t lo = 0, hi = v->nblocks;

	/* Blocks are allocated in the order of their code. */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->blocks[mid].code_end <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nblocks && v->blocks[lo].code <= offset ? &v->blocks[lo] : NULL;
}
