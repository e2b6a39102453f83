/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one block reaches the next without C.
 *
 * - Inside a page: a direct jump, patched. Whoever runs the source has the
 *   page mapped, so the link cannot go stale before the block itself does.
 * - To another page: an indirect jump through a cell. A TLB flush that may have
 *   changed the target's mapping puts the cells back to their unlinked paths;
 *   cells whose target page is global survive flushes that keep global pages.
 * - Indirect branches: a table a privilege mode, keyed by RIP (SOFT-CPU.md F1:
 *   a user-mode branch never finds a kernel block, as the tables are apart).
 */
#include "cpu/soft/emit.h"

static unsigned filter_hash(uint64_t rip)
{
	return hash_bits(rip >> 12, SOFT_EXEC_FILTER_BITS);
}

static void filter_add(struct soft_vcpu *v, bool global, uint64_t rip)
{
	unsigned h = filter_hash(rip);

	v->exec_filter[global][h / 64] |= UINT64_C(1) << (h % 64);
}

static bool target_is_global(struct soft_vcpu *v, uint64_t rip)
{
	struct x86_walk w;

	return mmu_probe(&v->cpu, rip, &w) && w.global;
}

uint64_t soft_link_code(const struct soft_vcpu *v, const struct soft_link *link)
{
	unsigned entry = link->polled ? (link->parked ? SOFT_ENTRY_POLLED_PARKED : SOFT_ENTRY_POLLED)
				      : (link->parked ? SOFT_ENTRY_PARKED : SOFT_ENTRY_PLAIN);

	return (uint64_t)(uintptr_t)(v->area.rx + link->to->entry[entry]);
}

static void link_patch(struct soft_vcpu *v, struct soft_link *link, uint64_t code)
{
	uint8_t *at = v->area.rw + link->jump;

	put_le32(at, (uint32_t)(code - ((uint64_t)(uintptr_t)(v->area.rx + link->jump) + 4)));
}

static bool on_page(const struct soft_block *b, uint64_t page)
{
	return b->rip >> 12 == page || (b->gpa2 != UINT64_MAX && (b->rip >> 12) + 1 == page);
}

static void drop_live(struct soft_vcpu *v, unsigned g, bool one_page, uint64_t page)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < v->nlive_cells[g]; i++) {
		struct soft_link *link = v->cell_links[v->live_cells[g][i]];

		if (!link->to)
			continue;
		if (one_page && !on_page(link->to, page))
			v->live_cells[g][kept++] = v->live_cells[g][i];
		else
			soft_unlink(v, link);
	}
	v->nlive_cells[g] = kept;
	kept = 0;
	for (uint32_t i = 0; i < v->nlive_ibtc[g]; i++) {
		uint32_t at = v->live_ibtc[g][i];
		uint64_t *key = &v->ibtc[at >> 16].entry[at & 0xffff].key;

		if (one_page && *key && ~*key >> 12 != page)
			v->live_ibtc[g][kept++] = at;
		else
			*key = 0;
	}
	v->nlive_ibtc[g] = kept;
}

void soft_link_to(struct soft_vcpu *v, struct soft_link *link, struct soft_block *to)
{
	bool straddles = to->gpa2 != UINT64_MAX, global;

	if (v->vm->options.nolink || link->to || (straddles && link->cell == SOFT_NO_CELL))
		return;
	global = link->cell != SOFT_NO_CELL && target_is_global(v, to->rip) && (!straddles || target_is_global(v, to->rip + 4096));
	/* The list may name a cell more than once; when it is full, start over. */
	if (link->cell != SOFT_NO_CELL && v->nlive_cells[global] == SOFT_CELLS_MAX)
		drop_live(v, global, false, 0);
	link->to = to;
	link->next = to->links_in;
	link->pprev = &to->links_in;
	if (to->links_in)
		to->links_in->pprev = &link->next;
	to->links_in = link;
	if (link->cell == SOFT_NO_CELL) {
		link_patch(v, link, soft_link_code(v, link));
	} else {
		v->cells[link->cell] = soft_link_code(v, link);
		v->live_cells[global][v->nlive_cells[global]++] = link->cell;
		filter_add(v, global, to->rip);
		if (straddles)
			filter_add(v, global, to->rip + 4096);
	}
}

void soft_unlink(struct soft_vcpu *v, struct soft_link *link)
{
	uint64_t stub = (uint64_t)(uintptr_t)(v->area.rx + link->stub);

	if (!link->to)
		return;
	*link->pprev = link->next;
	if (link->next)
		link->next->pprev = link->pprev;
	link->to = NULL;
	if (link->cell == SOFT_NO_CELL)
		link_patch(v, link, stub);
	else
		v->cells[link->cell] = stub;
}

void soft_ibtc_select(struct soft_vcpu *v, unsigned mode, uint32_t key)
{
	if (v->ibtc_key[mode] == key)
		return;
	for (unsigned g = 0; g < 2; g++) {
		uint32_t kept = 0;

		for (uint32_t i = 0; i < v->nlive_ibtc[g]; i++) {
			uint32_t at = v->live_ibtc[g][i];

			if (at >> 16 == mode)
				v->ibtc[mode].entry[at & 0xffff].key = 0;
			else
				v->live_ibtc[g][kept++] = at;
		}
		v->nlive_ibtc[g] = kept;
	}
	v->ibtc_key[mode] = key;
	v->shadow_reset |= 1u << mode;
}

void soft_ibtc_fill(struct soft_vcpu *v, struct soft_block *b)
{
	unsigned mode = soft_block_mode(b), i = soft_ibtc_index(b->rip);
	struct soft_ibtc *t = &v->ibtc[mode];
	bool global;

	if (b->gpa2 != UINT64_MAX || (b->key & SOFT_KEY_SINGLE) || i == SOFT_IBTC_ENTRIES - 1 || v->vm->options.noibtc)
		return;
	global = target_is_global(v, b->rip);
	if (v->nlive_ibtc[global] == SOFT_IBTC_ENTRIES * TLB_NMODES)
		drop_live(v, global, false, 0);
	t->plain[i] = (uint64_t)(uintptr_t)(v->area.rx + b->entry[SOFT_ENTRY_POLLED]);
	t->entry[i].parked = (uint64_t)(uintptr_t)(v->area.rx + b->entry[SOFT_ENTRY_POLLED_PARKED]);
	t->entry[i].key = ~b->rip;
	v->live_ibtc[global][v->nlive_ibtc[global]++] = mode << 16 | i;
	filter_add(v, global, b->rip);
}

void soft_ibtc_forget(struct soft_vcpu *v, struct soft_block *b)
{
	struct soft_ibtc *t = &v->ibtc[soft_block_mode(b)];
	unsigned i = soft_ibtc_index(b->rip);

	if (t->entry[i].key == ~b->rip && t->plain[i] == (uint64_t)(uintptr_t)(v->area.rx + b->entry[SOFT_ENTRY_POLLED]))
		t->entry[i].key = 0;
}

void soft_on_tlb_flush(struct x86_cpu *cpu, bool global)
{
	struct soft_vcpu *v = soft_of(cpu);

	soft_shadow_forget(v, global);
	for (unsigned g = 0; g <= global; g++) {
		if (v->nlive_cells[g] || v->nlive_ibtc[g])
			__builtin_memset(v->exec_filter[g], 0, sizeof(v->exec_filter[g]));
		drop_live(v, g, false, 0);
	}
}

void soft_on_tlb_flush_page(struct x86_cpu *cpu, uint64_t lin)
{
	struct soft_vcpu *v = soft_of(cpu);
	unsigned h = filter_hash(lin);

	/* The kernel drops pages of its own rarely. */
	soft_shadow_forget(v, lin >> 63);
	for (unsigned g = 0; g < 2; g++)
		if (v->exec_filter[g][h / 64] >> (h % 64) & 1)
			drop_live(v, g, true, lin >> 12);
}
