/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From guest bytes to a block: decode up to a branch, find where flags are
 * live, emit. A single pass over decoded instructions, no intermediate form.
 */
#include "cpu/soft/tr.h"

#define HOT_BYTES_PER_INSN 256
#define COLD_BYTES_PER_INSN 192
#define LOOK_AHEAD_INSNS 6
#define LINKS_PER_BLOCK_MAX (2 + 4 * SOFT_BLOCK_INSNS_MAX)

uint32_t soft_mode_key(const struct x86_cpu *cpu, bool *translatable)
{
	const struct x86_state *s = &cpu->s;
	uint32_t key = (uint32_t)cpu->tlb_mode << SOFT_KEY_TLB_SHIFT | (cpu->cpl ? 0 : SOFT_KEY_CPL0) | (s->cr4 & X86_CR4_SMAP ? SOFT_KEY_SMAP : 0);

	*translatable = false;
	if (!cpu->tsc_mul && (!cpu->cpl || !(s->cr4 & X86_CR4_TSD)))
		key |= SOFT_KEY_TSC;
	if (cpu->code_mode == X86_MODE_64) {
		if ((s->msr.efer & X86_EFER_SCE) && (s->msr.efer & X86_EFER_LMA))
			key |= SOFT_KEY_SYSCALL;
		key |= SOFT_KEY_64;
	} else {
		if (cpu->code_mode != X86_MODE_32 || !cpu->flat || cpu->stack_size != 4 || s->seg[X86_CS].base || (s->rflags & X86_FLAG_VM))
			return key;
		if (!(s->seg[X86_FS].attr & X86_SEG_UNUSABLE) && s->seg[X86_FS].limit == UINT32_MAX &&
		    (s->seg[X86_FS].attr & (X86_SEG_CODE | X86_SEG_WRITABLE)) == X86_SEG_WRITABLE)
			key |= SOFT_KEY_FS;
		if (!(s->seg[X86_GS].attr & X86_SEG_UNUSABLE) && s->seg[X86_GS].limit == UINT32_MAX &&
		    (s->seg[X86_GS].attr & (X86_SEG_CODE | X86_SEG_WRITABLE)) == X86_SEG_WRITABLE)
			key |= SOFT_KEY_GS;
	}
	if (!(s->cr0 & (X86_CR0_EM | X86_CR0_TS)) && (s->cr0 & X86_CR0_NE)) {
		key |= SOFT_KEY_X87;
		if (s->cr4 & X86_CR4_OSFXSR && s->cr4 & X86_CR4_OSXMMEXCPT)
			key |= SOFT_KEY_FPU;
	}
	if (!(s->cr0 & X86_CR0_TS) && (s->cr4 & X86_CR4_OSXSAVE) && (s->cr4 & X86_CR4_OSXMMEXCPT) &&
	    (s->xcr0 & (X86_XCR0_SSE | X86_XCR0_AVX)) == (X86_XCR0_SSE | X86_XCR0_AVX))
		key |= SOFT_KEY_AVX;
	/* Breakpoints, single steps and alignment checks belong to the interpreter. */
	*translatable = !(s->rflags & (X86_FLAG_TF | X86_FLAG_RF)) && !(s->dr7 & 0xff) && !s->interrupt_shadow &&
			!((s->rflags & X86_FLAG_AC) && (s->cr0 & X86_CR0_AM) && cpu->cpl == 3);
	return key;
}

/* ---- decoding ---- */

/* Does the block go on behind branch @in, with what is @off bytes from its start? Not with what is a block already. */
static bool go_on(const struct tr *t, const struct insn *in, unsigned off, unsigned *branches)
{
	const struct soft_block *b = t->b;

	return tr_goes_on(t, t->class[t->n - 1], in) && (*branches)++ < SOFT_BLOCK_BRANCHES_MAX && (b->rip & 0xfff) + off < 4096 &&
	       !soft_block_find(t->v, b->rip + off, b->gpa + off, b->key);
}

static bool decode_block(struct tr *t, struct insn *insns, const uint8_t *bytes, unsigned avail, unsigned max)
{
	unsigned off = 0, branches = 0, mode = t->is64 ? X86_MODE_64 : X86_MODE_32;

	t->n = 0;
	while (t->n < max && off < avail) {
		struct insn *in = &insns[t->n];

		if (x86_decode(bytes + off, MIN(avail - off, (unsigned)X86_INSN_MAX), mode, in) != DECODE_OK)
			break;
		t->class[t->n] = tr_classify(t, in);
		off += in->len;
		t->n++;
		if (tr_ends_block(t, t->class[t->n - 1], in) && !go_on(t, in, off, &branches))
			break;
	}
	t->b->bytes = (uint16_t)off;
	t->b->insns = (uint16_t)t->n;
	return t->n > 0;
}

/*
 * Does what follows the block overwrite all flags before it reads one? Then
 * nobody can tell what they were. The instructions looked at count as part of
 * the block: it goes when they change.
 */
static void look_ahead(struct tr *t, struct insn *insns, const uint8_t *bytes, unsigned avail)
{
	unsigned off = t->b->bytes, mode = t->is64 ? X86_MODE_64 : X86_MODE_32;
	uint16_t live = X86_FLAGS_ARITH;

	t->ahead = 0;
	t->next_flags_dead = false;
	t->b->bytes_seen = t->b->bytes;
	if (t->v->vm->options.noflags)
		return;
	while (live && t->ahead < LOOK_AHEAD_INSNS && off < avail) {
		struct insn *in = &insns[t->n + t->ahead];
		enum tr_class class;

		if (x86_decode(bytes + off, MIN(avail - off, (unsigned)X86_INSN_MAX), mode, in) != DECODE_OK)
			return;
		class = tr_classify(t, in);
		if (class == TR_INTERP || class == TR_INTERP_STOP || (tr_flags_read(class, in) & live) || tr_ends_block(t, class, in))
			return;
		live &= (uint16_t)~tr_flags_killed(class, in);
		off += in->len;
		t->ahead++;
	}
	t->next_flags_dead = !live;
	if (t->next_flags_dead)
		t->b->bytes_seen = (uint16_t)off;
	else
		t->ahead = 0;
}

/* Are @insns, decoded earlier, still what memory holds? */
static bool same_bytes(const struct tr *t, const struct insn *insns, const uint8_t *bytes)
{
	unsigned off = 0;

	for (unsigned i = 0; i < t->n + t->ahead; i++) {
		if (__builtin_memcmp(bytes + off, insns[i].bytes, insns[i].len))
			return false;
		off += insns[i].len;
	}
	return true;
}

/* The first instruction goes on in the next page: a block of its own with both pages in its key. */
static bool read_straddler(struct tr *t, struct insn *insns, struct x86_tlb_exec *itlb)
{
	struct soft_vcpu *v = t->v;
	struct soft_block *b = t->b;
	unsigned off = (unsigned)(b->rip & 0xfff), first = 4096 - off, got, index;
	uint8_t copy[X86_INSN_MAX];

	for (unsigned tries = 0; tries < 4; tries++) {
		if (!mmu_fetch(&v->cpu, b->rip, copy, X86_INSN_MAX, &got) || !decode_block(t, insns, copy, got, 1) || b->bytes <= first ||
		    !mmu_exec_entry(&v->cpu, b->rip + first, &index))
			return false;
		b->bytes_seen = b->bytes;
		b->gpa2 = itlb->gpa_page[index];
		b->ram_page2 = itlb->ram_page[index];
		soft_claim_code(v, b->ram_page, off, first);
		soft_claim_code(v, b->ram_page2, 0, b->bytes - first);
		if (soft_code_claimed(v->vm, b->ram_page, off, first) && mmu_fetch(&v->cpu, b->rip, copy, X86_INSN_MAX, &got) &&
		    got >= b->bytes && same_bytes(t, insns, copy))
			return true;
	}
	return false;
}

/*
 * Decode at s.rip and claim the bytes as code, so that later writes to them are
 * noticed; bytes that changed between the two are decoded again.
 */
static bool read_block(struct tr *t, struct insn *insns, unsigned user, unsigned index)
{
	struct x86_tlb_exec *itlb = &t->v->cpu.itlb[user];
	unsigned off = (unsigned)(t->b->rip & 0xfff), max = t->v->vm->options.oneinsn ? 1 : SOFT_BLOCK_INSNS_MAX;
	const uint8_t *bytes = itlb->hva[index] + off;

	for (unsigned tries = 0; tries < 4; tries++) {
		if (!decode_block(t, insns, bytes, 4096 - off, max))
			return 4096 - off < X86_INSN_MAX && read_straddler(t, insns, itlb);
		look_ahead(t, insns, bytes, 4096 - off);
		soft_claim_code(t->v, t->b->ram_page, off, t->b->bytes_seen);
		if (same_bytes(t, insns, bytes))
			return true;
	}
	return false;
}

static void find_live_flags(struct tr *t, const struct insn *insns)
{
	uint16_t live = X86_FLAGS_ARITH;
	unsigned last = t->n - 1;

	/* Only a block that ends in mid-air goes on with what was looked at. */
	if (t->next_flags_dead && !tr_ends_block(t, t->class[last], &insns[last]))
		live = 0;
	t->live[t->n] = live;
	for (unsigned i = t->n; i-- > 0;) {
		live = (uint16_t)((live & ~tr_flags_killed(t->class[i], &insns[i])) | tr_flags_read(t->class[i], &insns[i]));
		if (t->v->vm->options.noflags || tr_ends_block(t, t->class[i], &insns[i]))
			live = X86_FLAGS_ARITH; /* nobody knows what comes at the other end of a branch */
		t->live[i] = live;
	}
}

/* ---- emission ---- */

struct soft_site *tr_site(struct tr *t, bool ends)
{
	struct soft_site *site = &t->v->sites[t->v->nsites++];

	site->rip = t->rip;
	site->left = (uint16_t)(t->counted - t->i - 1);
	site->ends = ends;
	site->insn = *t->in;
	return site;
}

void tr_interp(struct tr *t, bool ends)
{
	struct soft_vcpu *v = t->v;
	struct soft_site *site = tr_site(t, ends);

	if (t->parked)
		emit_unpark_flags(&t->hot);
	t->parked = false;
	tr_groups_close(t);
	emit_imm(&t->hot, HR_S1, (uint64_t)(uintptr_t)site);
	if (ends)
		emit_jmp(&t->hot, tr_stub(t, v->stubs.interp_stop));
	else
		emit_call(&t->hot, tr_stub(t, v->stubs.interp));
}

void tr_interp_cold(struct tr *t)
{
	struct emit *c = &t->cold;

	if (t->parked)
		emit_unpark_flags(c);
	emit_imm(c, HR_S1, (uint64_t)(uintptr_t)tr_site(t, true));
	emit_jmp(c, tr_stub(t, t->v->stubs.interp_stop));
}

static void emit_request_exit(struct tr *t, uint32_t stub)
{
	emit_imm(&t->cold, HR_S0, t->b->rip);
	emit_store(&t->cold, GS_CPU(s.rip), HR_S0);
	emit_imm(&t->cold, HR_S0, SOFT_EXIT_REQUEST);
	emit_jmp(&t->cold, tr_stub(t, stub));
}

static void emit_poll_compare(struct emit *e, uint64_t away)
{
	struct host_mem request = GS_CPU(request);

	emit_op_mem(e, 0, 0, 0x83, 7, &request); /* cmp dword, 0 */
	emit8(e, 0);
	emit_jcc(e, 5, away);
}

static uint32_t position(const struct tr *t, const struct emit *e)
{
	return (uint32_t)(e->p - t->v->area.rw);
}

/* Will a memory access park the flags before any instruction cares for them? Then the block does so as it begins. */
static bool parks_first(const struct tr *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		const struct insn *in = &t->insns[i];
		enum tr_class class = t->class[i];

		if (tr_flags_read(class, in) || tr_flags_written(class, in))
			return false;
		if (tr_accesses_memory(class, in))
			return true;
	}
	return false;
}

/* The four ways in; see enum soft_entry. */
static void emit_entries(struct tr *t)
{
	struct soft_block *b = t->b;
	struct emit *e = &t->hot, *c = &t->cold;
	uint64_t away = emit_rx(c, c->p), plain;
	uint8_t *quiet;

	emit_request_exit(t, t->v->stubs.exit);
	b->entry[SOFT_ENTRY_POLLED] = position(t, e);
	if (!t->live[0]) {
		emit_poll_compare(e, away);
	} else {
		emit_store(e, GS_FIELD(park_rcx), HR_RCX);
		emit_load32(e, HR_RCX, GS_CPU(request));
		quiet = emit_jrcxz8(e);
		emit_load(e, HR_RCX, GS_FIELD(park_rcx));
		emit_jmp(e, away);
		emit_here8(e, quiet);
		emit_load(e, HR_RCX, GS_FIELD(park_rcx));
	}
	b->entry[SOFT_ENTRY_PLAIN] = position(t, e);
	plain = emit_rx(e, e->p);
	if (!t->live[0]) {
		b->entry[SOFT_ENTRY_PARKED] = b->entry[SOFT_ENTRY_PLAIN];
		b->entry[SOFT_ENTRY_POLLED_PARKED] = b->entry[SOFT_ENTRY_POLLED];
		return;
	}
	away = emit_rx(c, c->p);
	emit_request_exit(t, t->v->stubs.exit_parked);
	b->entry[SOFT_ENTRY_POLLED_PARKED] = position(t, c);
	emit_poll_compare(c, away);
	if (parks_first(t)) {
		emit_park_flags(e);
		t->parked = true;
		b->entry[SOFT_ENTRY_PARKED] = position(t, e);
		emit_jmp(c, emit_rx(e, e->p));
		return;
	}
	b->entry[SOFT_ENTRY_PARKED] = position(t, c);
	emit_unpark_flags(c);
	emit_jmp(c, plain);
}

/* Count the instructions from the current one up to the next branch, included. */
static void emit_count(struct tr *t)
{
	struct emit *e = &t->hot;

	t->counted = t->i;
	while (t->counted < t->n && !tr_ends_block(t, t->class[t->counted], &t->insns[t->counted]))
		t->counted++;
	t->counted = MIN(t->counted + 1, t->n);
	if (!t->v->vm->config.stats)
		return;
	emit_load(e, HR_S0, GS_FIELD(jit_insns));
	emit_lea(e, HR_S0, (struct host_mem){ .base = HR_S0, .index = HR_NONE, .disp = (int32_t)(t->counted - t->i) });
	emit_store(e, GS_FIELD(jit_insns), HR_S0);
}

static void emit_insn(struct tr *t)
{
	enum tr_class class = t->class[t->i];
	struct emit hot = t->hot, cold = t->cold;
	bool parked = t->parked;
	uint16_t nlinks = t->b->nlinks;

	t->failed = false;
	t->free = 3;
	if (class == TR_NATIVE)
		tr_native(t);
	else if (class == TR_CUSTOM && !tr_custom(t))
		t->failed = true;
	if (t->failed) { /* take back what was emitted */
		t->hot = hot;
		t->cold = cold;
		t->parked = parked;
		t->b->nlinks = nlinks;
		tr_groups_close(t);
		class = x86_op_info(t->in->op)->attr & (X86_OPA_BRANCH | X86_OPA_SYSTEM) ? TR_INTERP_STOP : TR_INTERP;
	}
	if (class == TR_INTERP || class == TR_INTERP_STOP)
		tr_interp(t, class == TR_INTERP_STOP);
}

static bool groups_wanted(const struct soft_vcpu *v, const struct soft_block *b)
{
	return !(b->key & SOFT_KEY_SINGLE) && !v->vm->options.nogroup && !v->vm->options.notlb &&
	       v->group_misses[soft_group_miss_index(b->rip)] < SOFT_GROUP_MISSES_MAX;
}

static bool emit_block(struct tr *t, const struct insn *insns)
{
	struct soft_vcpu *v = t->v;
	struct soft_block *b = t->b;
	struct soft_map *map = &v->maps[v->nmaps];
	bool ended = false;

	b->link = &v->links[v->nlinks];
	b->nlinks = 0;
	t->rip = b->rip;
	t->insns = insns;
	t->groups_on = groups_wanted(v, b);
	tr_groups_close(t);
	t->shadow_until = TR_NO_SHADOW;
	emit_entries(t);
	b->map = v->nmaps;
	b->code = position(t, &t->hot);
	t->counted = 0;
	for (t->i = 0; t->i < t->n; t->i++) {
		t->in = &insns[t->i];
		t->next = t->rip + t->in->len;
		if (!t->is64)
			t->next = (uint32_t)t->next;
		map[t->i].guest = (uint16_t)(t->rip - b->rip);
		if (t->counted == t->i) {
			emit_count(t);
			map[t->i].guest |= SOFT_MAP_COUNTED;
		}
		map[t->i].host = (uint16_t)(position(t, &t->hot) - b->code);
		tr_groups_hoist(t);
		if (t->shadow_until == t->i && tr_ends_block(t, t->class[t->i], t->in))
			tr_end_shadow(t);
		emit_insn(t);
		if (t->shadow_until == t->i)
			tr_end_shadow(t);
		tr_groups_after(t);
		/* Parking comes before the instruction proper: its own fault sees the state it ends in. */
		map[t->i].guest |= t->parked ? SOFT_MAP_PARKED : 0;
		ended = tr_ends_block(t, t->class[t->i], t->in);
		t->rip = t->next;
	}
	if (!ended) {
		t->i = t->n - 1;
		t->rip = b->rip + b->bytes - 1; /* falling through goes forward, unpolled */
		tr_exit(t, t->next);
	}
	if (t->hot.full || t->cold.full)
		return false;
	v->nmaps += t->n;
	v->nlinks += b->nlinks;
	b->code_end = position(t, &t->hot);
	v->stats.code_bytes += (uint64_t)(b->code_end - v->code_used) + (position(t, &t->cold) - v->cold_used);
	v->code_used = b->code_end;
	v->cold_used = position(t, &t->cold);
	return true;
}

static bool has_room(const struct soft_vcpu *v)
{
	const uint32_t hot = SOFT_BLOCK_INSNS_MAX * HOT_BYTES_PER_INSN, cold = SOFT_BLOCK_INSNS_MAX * COLD_BYTES_PER_INSN;

	return v->nblocks < SOFT_BLOCKS_MAX && v->nlinks + LINKS_PER_BLOCK_MAX <= SOFT_LINKS_MAX &&
	       v->ncells + SOFT_BLOCK_INSNS_MAX <= SOFT_CELLS_MAX && v->nmaps + SOFT_BLOCK_INSNS_MAX <= v->maps_max &&
	       v->nsites + SOFT_BLOCK_INSNS_MAX <= v->sites_max &&
	       v->code_used + hot <= v->area.bytes / 2 && v->cold_used + cold <= v->area.bytes;
}

static void grow(struct soft_vcpu *v)
{
	const uint64_t used[SOFT_NGROWS] = {
		[SOFT_GROWS_VCPU] = v->nblocks * UINT64_C(4096), /* hashed: each block may touch a page */
		[SOFT_GROWS_HOT] = v->code_used,
		[SOFT_GROWS_COLD] = v->cold_used - v->area.bytes / 2,
		[SOFT_GROWS_BLOCKS] = v->nblocks * sizeof(*v->blocks),
		[SOFT_GROWS_LINKS] = v->nlinks * sizeof(*v->links),
	};

	for (unsigned i = 0; i < SOFT_NGROWS; i++)
		if (unlikely(used[i] >= v->growth[i].next))
			soft_growth_step(&v->growth[i], used[i]);
}

struct soft_block *soft_translate(struct soft_vcpu *v, uint32_t key, unsigned user, unsigned index)
{
	struct insn insns[SOFT_BLOCK_INSNS_MAX + LOOK_AHEAD_INSNS];
	struct tr t = { .v = v, .is64 = key & SOFT_KEY_64 };
	int64_t to_rx = (int64_t)(v->area.rx - v->area.rw);
	struct soft_block *b;
	uint32_t hot, cold;

	if (!v->cpu.itlb[user].hva[index])
		return NULL;
	if (!has_room(v))
		soft_flush_all_blocks(v);
	b = soft_block_alloc(v);
	if (!b)
		return NULL;
	t.b = b;
	b->rip = v->cpu.s.rip;
	b->gpa = v->cpu.itlb[user].gpa_page[index] | (b->rip & 0xfff);
	b->ram_page = v->cpu.itlb[user].ram_page[index];
	b->gpa2 = UINT64_MAX;
	b->ram_page2 = MEMORY_NO_RAM_PAGE;
	b->key = key;
	if (!read_block(&t, insns, user, index))
		return NULL;
	find_live_flags(&t, insns);
	hot = v->code_used;
	cold = v->cold_used;
	t.hot = (struct emit){ .p = v->area.rw + v->code_used, .end = v->area.rw + v->area.bytes / 2, .to_rx = to_rx };
	t.cold = (struct emit){ .p = v->area.rw + v->cold_used, .end = v->area.rw + v->area.bytes, .to_rx = to_rx };
	if (!emit_block(&t, insns))
		return NULL;
	soft_block_publish(v, b);
	soft_translated(v, b, hot, cold);
	grow(v);
	return b;
}
