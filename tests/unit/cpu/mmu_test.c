/* SPDX-License-Identifier: Apache-2.0 */
/* Page walks against an independent statement of the rules, and the soft TLB's invariants. */
#include "cpu_fixture.h"
#include "cpu/x86/debug.h"

enum paging { LONG_4K, LONG_2M, LONG_1G, PAE_4K, PAE_2M, LEGACY_4K, LEGACY_4M, NPAGING };

#define LIN UINT64_C(0x00403000)
#define LIN_1G UINT64_C(0x40003000)
#define PA UINT64_C(0x00403000)

/* Build one mapping of LIN to PA; returns where its leaf is and how wide it is. */
static uint64_t build(struct fixture *f, enum paging p, uint64_t leaf_flags, unsigned *width)
{
	struct x86_state *s = &f->cpu.s;
	uint64_t dir, table;

	memset(f->ram + FX_TABLES, 0, 0x10000);
	f->next_table = FX_TABLES;
	s->cr0 |= X86_CR0_PE | X86_CR0_PG;
	s->cr4 |= X86_CR4_PAE | X86_CR4_PSE;
	s->msr.efer &= ~(uint64_t)(X86_EFER_LMA | X86_EFER_LME);
	s->cr3 = fx_new_table(f);
	*width = 8;
	switch (p) {
	case LONG_4K:
	case LONG_2M:
	case LONG_1G:
		s->msr.efer |= X86_EFER_LMA | X86_EFER_LME;
		dir = fx_entry(f, p == LONG_1G ? LIN_1G : LIN, p == LONG_4K ? 0 : p == LONG_2M ? 1 : 2);
		fx_put(f, dir, 8, (p == LONG_4K ? PA : p == LONG_2M ? (PA & ~UINT64_C(0x1fffff)) | PT_PS : PT_PS) | leaf_flags);
		return dir;
	case PAE_4K:
	case PAE_2M:
		dir = fx_new_table(f);
		s->pae_pdpte[0] = dir | PT_P;
		if (p == PAE_2M) {
			fx_put(f, dir + 2 * 8, 8, (PA & ~UINT64_C(0x1fffff)) | PT_PS | leaf_flags);
			return dir + 2 * 8;
		}
		table = fx_new_table(f);
		fx_put(f, dir + 2 * 8, 8, table | PT_P | PT_W | PT_U);
		fx_put(f, table + 3 * 8, 8, PA | leaf_flags);
		return table + 3 * 8;
	default:
		*width = 4;
		s->cr4 &= ~(uint64_t)X86_CR4_PAE;
		if (p == LEGACY_4M) {
			fx_put(f, s->cr3 + 4, 4, (PA & ~UINT64_C(0x3fffff)) | PT_PS | leaf_flags);
			return s->cr3 + 4;
		}
		table = fx_new_table(f);
		fx_put(f, s->cr3 + 4, 4, table | PT_P | PT_W | PT_U);
		fx_put(f, table + 3 * 4, 4, PA | leaf_flags);
		return table + 3 * 4;
	}
}

struct rules {
	bool user, writable, nx, wp, smep, smap, nxe;
};

/* The manuals' table, written down once more. */
static bool allowed(const struct rules *r, enum x86_access a, enum tlb_mode m)
{
	if (m == TLB_USER) {
		if (!r->user)
			return false;
		if (a == X86_WRITE)
			return r->writable;
		return a == X86_READ || !r->nx;
	}
	if (a == X86_EXEC)
		return !r->nx && !(r->smep && r->user);
	if (r->smap && r->user && m != TLB_KERNEL_AC)
		return false;
	return a == X86_READ || r->writable || !r->wp;
}

static void check_access(struct fixture *f, enum paging p, const struct rules *r, enum x86_access a, enum tlb_mode m)
{
	struct x86_cpu *cpu = &f->cpu;
	bool legacy = p >= LEGACY_4K;
	bool nx_works = r->nxe && !legacy;
	struct rules effective = *r;
	uint64_t lin = p == LONG_1G ? LIN_1G : LIN, leaf, before;
	unsigned width;
	struct x86_walk walk;
	bool ok;

	effective.nx = r->nx && nx_works;
	leaf = build(f, p, PT_P | (r->user ? PT_U : 0) | (r->writable ? PT_W : 0) | (effective.nx ? PT_NX : 0), &width);
	cpu->s.cr0 = (cpu->s.cr0 & ~(uint64_t)X86_CR0_WP) | (r->wp ? X86_CR0_WP : 0);
	cpu->s.cr4 &= ~(uint64_t)(X86_CR4_SMEP | X86_CR4_SMAP);
	cpu->s.cr4 |= (r->smep ? X86_CR4_SMEP : 0u) | (r->smap ? X86_CR4_SMAP : 0u);
	cpu->s.msr.efer = (cpu->s.msr.efer & ~(uint64_t)X86_EFER_NXE) | (r->nxe ? X86_EFER_NXE : 0);
	before = fx_get(f, leaf, width);
	ok = mmu_walk(cpu, lin, a, m, &walk);
	assert_int_equal(ok, allowed(&effective, a, m));
	if (ok) {
		assert_int_equal(walk.gpa, p == LONG_1G ? lin & 0x3fffffff : PA);
		assert_int_equal(fx_get(f, leaf, width), before | PT_A | (a == X86_WRITE ? PT_D : 0));
	} else {
		bool i_bit = a == X86_EXEC && (r->smep || nx_works);

		assert_int_equal(cpu->fault.vector, X86_EXC_PF);
		assert_int_equal(cpu->fault.cr2, lin);
		assert_int_equal(cpu->fault.error, X86_PF_P | (a == X86_WRITE ? X86_PF_W : 0) | (m == TLB_USER ? X86_PF_U : 0) | (i_bit ? X86_PF_I : 0));
		assert_int_equal(fx_get(f, leaf, width), before);
	}
}

static void permissions(void **state)
{
	struct fixture *f = *state;

	for (unsigned p = 0; p < NPAGING; p++)
		for (unsigned bits = 0; bits < 128; bits++) {
			struct rules r = { bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32, bits & 64 };

			for (unsigned a = X86_READ; a <= X86_EXEC; a++)
				for (unsigned m = 0; m < TLB_NMODES; m++)
					check_access(f, (enum paging)p, &r, (enum x86_access)a, (enum tlb_mode)m);
		}
}

static void absent_pages(void **state)
{
	struct fixture *f = *state;
	struct x86_walk walk;
	unsigned width;

	for (unsigned p = 0; p < NPAGING; p++) {
		uint64_t leaf = build(f, (enum paging)p, PT_W | PT_U, &width);

		(void)leaf;
		assert_fault(&f->cpu, mmu_walk(&f->cpu, p == LONG_1G ? LIN_1G : LIN, X86_WRITE, TLB_USER, &walk), X86_EXC_PF, X86_PF_W | X86_PF_U);
	}
}

static void reserved_bits(void **state)
{
	static const struct { enum paging p; uint64_t bits; bool nxe; } cases[] = {
		{ LONG_4K, UINT64_C(1) << 40, true }, { LONG_4K, UINT64_C(1) << 51, true }, { LONG_4K, PT_NX, false }, { LONG_2M, 1 << 13, true },
		{ LONG_2M, 1 << 20, true }, { LONG_1G, 1 << 29, true }, { LONG_1G, 1 << 13, true }, { PAE_4K, UINT64_C(1) << 52, true },
		{ PAE_4K, UINT64_C(1) << 62, true }, { PAE_4K, PT_NX, false }, { PAE_2M, 1 << 13, true }, { LEGACY_4M, 1 << 21, true },
	};
	struct fixture *f = *state;
	struct x86_walk walk;
	unsigned width;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t lin = cases[i].p == LONG_1G ? LIN_1G : LIN;

		build(f, cases[i].p, PT_P | PT_W | PT_U | cases[i].bits, &width);
		f->cpu.s.msr.efer = (f->cpu.s.msr.efer & ~(uint64_t)X86_EFER_NXE) | (cases[i].nxe ? X86_EFER_NXE : 0);
		assert_fault(&f->cpu, mmu_walk(&f->cpu, lin, X86_READ, TLB_KERNEL, &walk), X86_EXC_PF, X86_PF_P | X86_PF_RSVD);
	}
	/* Bits that software owns, and the PAT bit of a large page, are none of these. */
	build(f, LONG_2M, PT_P | (UINT64_C(0x7ff) << 52) | 1 << 12 | 0xe00, &width);
	assert_true(mmu_walk(&f->cpu, LIN, X86_READ, TLB_KERNEL, &walk));
	/* PS in a PML4 entry; 1 GiB pages where the model has none. */
	build(f, LONG_4K, PT_P, &width);
	fx_put(f, f->cpu.s.cr3, 8, fx_get(f, f->cpu.s.cr3, 8) | PT_PS);
	assert_fault(&f->cpu, mmu_walk(&f->cpu, LIN, X86_READ, TLB_KERNEL, &walk), X86_EXC_PF, X86_PF_P | X86_PF_RSVD);
	build(f, LONG_1G, PT_P, &width);
	f->model.page_1g = false;
	assert_fault(&f->cpu, mmu_walk(&f->cpu, LIN_1G, X86_READ, TLB_KERNEL, &walk), X86_EXC_PF, X86_PF_P | X86_PF_RSVD);
}

static void upper_levels(void **state)
{
	struct fixture *f = *state;
	struct x86_walk walk;
	unsigned width;
	uint64_t pml4e;

	build(f, LONG_4K, PT_P | PT_W | PT_U, &width);
	pml4e = f->cpu.s.cr3;
	assert_true(mmu_walk(&f->cpu, LIN, X86_WRITE, TLB_USER, &walk));
	assert_int_equal(fx_get(f, pml4e, 8) & (PT_A | PT_D), PT_A);
	/* Rights are the intersection of all levels; NX the union. */
	fx_put(f, pml4e, 8, fx_get(f, pml4e, 8) & ~PT_W);
	assert_fault(&f->cpu, mmu_walk(&f->cpu, LIN, X86_WRITE, TLB_USER, &walk), X86_EXC_PF, X86_PF_P | X86_PF_W | X86_PF_U);
	fx_put(f, pml4e, 8, fx_get(f, pml4e, 8) & ~PT_U);
	assert_fault(&f->cpu, mmu_walk(&f->cpu, LIN, X86_READ, TLB_USER, &walk), X86_EXC_PF, X86_PF_P | X86_PF_U);
	f->cpu.s.msr.efer |= X86_EFER_NXE;
	fx_put(f, pml4e, 8, fx_get(f, pml4e, 8) | PT_NX);
	assert_fault(&f->cpu, mmu_walk(&f->cpu, LIN, X86_EXEC, TLB_KERNEL, &walk), X86_EXC_PF, X86_PF_P | X86_PF_I);
}

static bool cached(struct x86_cpu *cpu, enum tlb_mode m, enum tlb_kind k, uint64_t lin)
{
	return cpu->tlb[m][k].entry[lin >> 12 & (TLB_ENTRIES - 1)].tag == (lin & ~UINT64_C(0xfff));
}

static void tlb_fill_rules(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x20000, PT_P | PT_W);
	assert_true(mmu_read(cpu, 0x20010, 4, TLB_KERNEL, &v));
	assert_true(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000)); /* D is not set yet */
	assert_false(cached(cpu, TLB_USER, TLB_READ, 0x20000));
	assert_true(mmu_write(cpu, 0x20010, 4, TLB_KERNEL, 0x12345678));
	assert_true(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000));
	assert_true(fx_get(f, fx_entry(f, 0x20000, 0), 8) & PT_D);
	assert_int_equal(fx_get(f, 0x20010, 4), 0x12345678);
	/* A read-only page written with WP clear must not stay. */
	fx_map(f, 0x21000, 0x21000, PT_P);
	cpu->s.cr0 &= ~(uint64_t)X86_CR0_WP;
	assert_true(mmu_write(cpu, 0x21000, 1, TLB_KERNEL, 7));
	assert_int_equal(fx_get(f, 0x21000, 1), 7);
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x21000));
}

static bool may_cache(struct x86_cpu *cpu, uint64_t ram_page)
{
	(void)ram_page;
	return !fx_of(cpu)->refuse_write;
}

static void ram_written(struct x86_cpu *cpu, uint64_t ram_page, unsigned offset, unsigned len)
{
	struct fixture *f = fx_of(cpu);

	f->ram_writes++;
	f->last_gpa = (ram_page << 12) + offset;
	f->last_size = len;
}

static void code_pages_stay_out(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	struct mmu_rmw rmw;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x20000, PT_P | PT_W | PT_A | PT_D);
	cpu->may_cache_write = may_cache;
	cpu->on_ram_write = ram_written;
	f->refuse_write = true;
	assert_true(mmu_write(cpu, 0x20123, 2, TLB_KERNEL, 0xabcd));
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000));
	assert_int_equal(f->last_gpa, 0x20123);
	assert_int_equal(f->last_size, 2);
	assert_true(mmu_rmw_begin(cpu, 0x20200, 4, TLB_KERNEL, &rmw));
	assert_true(rmw.notify);
	f->ram_writes = 0;
	mmu_rmw_end(cpu, &rmw);
	assert_int_equal(f->ram_writes, 1);
	f->refuse_write = false;
	assert_true(mmu_write(cpu, 0x20123, 2, TLB_KERNEL, 0xabcd));
	assert_true(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000));
	assert_int_equal(f->ram_writes, 1);
	mmu_drop_write(cpu, 0x20);
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000));
}

static void flushes(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x20000, PT_P | PT_W | PT_G);
	fx_map(f, 0x21000, 0x21000, PT_P | PT_W);
	assert_true(mmu_read(cpu, 0x20000, 1, TLB_KERNEL, &v) && mmu_read(cpu, 0x21000, 1, TLB_KERNEL, &v));
	mmu_load_cr3(cpu, cpu->s.cr3);
	assert_true(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x21000));
	mmu_flush_page(cpu, 0x20fff);
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
	assert_true(mmu_read(cpu, 0x20000, 1, TLB_KERNEL, &v));
	mmu_flush_all(cpu);
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
	/* With CR4.PGE clear the G bit means nothing. */
	cpu->s.cr4 &= ~(uint64_t)X86_CR4_PGE;
	assert_true(mmu_read(cpu, 0x20000, 1, TLB_KERNEL, &v));
	mmu_flush_nonglobal(cpu);
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
}

static void large_pages_flush_whole(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_put(f, fx_entry(f, 0x400000, 1), 8, 0x400000 | PT_P | PT_W | PT_PS);
	assert_true(mmu_read(cpu, 0x401000, 1, TLB_KERNEL, &v) && mmu_read(cpu, 0x5ff000, 1, TLB_KERNEL, &v));
	mmu_flush_page(cpu, 0x480000); /* a part that was never touched */
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x401000));
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x5ff000));
	fx_put(f, fx_entry(f, LIN_1G, 2), 8, PT_P | PT_W | PT_PS);
	assert_true(mmu_read(cpu, LIN_1G, 1, TLB_KERNEL, &v));
	mmu_flush_page(cpu, LIN_1G + 0x3000000);
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, LIN_1G));
}

static void page_crossing(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x30000, PT_P | PT_W);
	fx_map(f, 0x21000, 0x50000, PT_P);
	fx_put(f, 0x30ffc, 4, 0x11111111);
	assert_fault(cpu, mmu_write(cpu, 0x20ffc, 8, TLB_KERNEL, UINT64_MAX), X86_EXC_PF, X86_PF_P | X86_PF_W);
	assert_int_equal(cpu->fault.cr2, 0x21000);
	assert_int_equal(fx_get(f, 0x30ffc, 4), 0x11111111);
	fx_map(f, 0x21000, 0x50000, PT_P | PT_W);
	assert_true(mmu_write(cpu, 0x20ffc, 8, TLB_KERNEL, UINT64_C(0x8877665544332211)));
	assert_int_equal(fx_get(f, 0x30ffc, 4), 0x44332211);
	assert_int_equal(fx_get(f, 0x50000, 4), 0x88776655);
	assert_true(mmu_read(cpu, 0x20ffc, 8, TLB_KERNEL, &v));
	assert_int_equal(v, UINT64_C(0x8877665544332211));
}

static void devices_and_rom(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_map(f, 0x20000, FX_MMIO, PT_P | PT_W);
	fx_map(f, 0x21000, FX_ROM, PT_P | PT_W);
	assert_true(mmu_read(cpu, 0x20008, 4, TLB_KERNEL, &v));
	assert_int_equal(v, 0x44332211);
	assert_int_equal(f->last_gpa, FX_MMIO + 8);
	assert_true(mmu_write(cpu, 0x20010, 2, TLB_KERNEL, 0xbeef));
	assert_int_equal(f->last_value, 0xbeef);
	assert_false(cached(cpu, TLB_KERNEL, TLB_READ, 0x20000));
	assert_true(mmu_read(cpu, 0x21000, 1, TLB_KERNEL, &v));
	assert_int_equal(v, 0x5a);
	assert_true(mmu_write(cpu, 0x21000, 1, TLB_KERNEL, 1));
	assert_int_equal(f->last_gpa, FX_ROM);
	assert_int_equal(f->rom[0], 0x5a);
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x21000));
	/* An odd one is cut into aligned pieces. */
	f->mmio_reads = 0;
	assert_true(mmu_read(cpu, 0x20003, 4, TLB_KERNEL, &v));
	assert_int_equal(f->mmio_reads, 3);
	/* Without an environment there is nobody home. */
	cpu->env = NULL;
	assert_true(mmu_read(cpu, 0x20008, 8, TLB_KERNEL, &v));
	assert_int_equal(v, UINT64_MAX);
}

static void data_breakpoints(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x20000, PT_P | PT_W);
	cpu->s.dr[1] = 0x20010;
	cpu->s.dr7 = X86_DR7_FIXED | 4 | 1u << 20 | 3u << 22; /* DR1: write, 4 bytes */
	mmu_flush_all(cpu);
	assert_true(mmu_read(cpu, 0x20010, 4, TLB_KERNEL, &v));
	assert_int_equal(cpu->debug_hits, 0);
	assert_true(mmu_write(cpu, 0x2000f, 1, TLB_KERNEL, 1));
	assert_int_equal(cpu->debug_hits, 0);
	assert_true(mmu_write(cpu, 0x2000f, 2, TLB_KERNEL, 1));
	assert_int_equal(cpu->debug_hits, 2);
	assert_false(cached(cpu, TLB_KERNEL, TLB_WRITE, 0x20000));
	cpu->debug_hits = 0;
	cpu->s.dr7 |= 3u << 20; /* now reads too */
	assert_true(mmu_read(cpu, 0x20013, 1, TLB_KERNEL, &v));
	assert_int_equal(cpu->debug_hits, 2);
}

static void alignment_checks(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	struct mmu_rmw rmw;
	uint64_t v;

	fx_long(f, 3);
	cpu->s.rflags |= X86_FLAG_AC;
	cpu_update_mode(cpu);
	assert_true(mmu_read(cpu, 0x5001, 4, TLB_USER, &v)); /* CR0.AM is clear */
	cpu->s.cr0 |= X86_CR0_AM;
	cpu_update_mode(cpu);
	assert_fault(cpu, mmu_read(cpu, 0x5001, 4, TLB_USER, &v), X86_EXC_AC, 0);
	assert_fault(cpu, mmu_write(cpu, 0x5002, 8, TLB_USER, 0), X86_EXC_AC, 0);
	assert_fault(cpu, mmu_rmw_begin(cpu, 0x5001, 2, TLB_USER, &rmw), X86_EXC_AC, 0);
	assert_true(mmu_read(cpu, 0x5003, 1, TLB_USER, &v));
	assert_true(mmu_read(cpu, 0x5001, 4, TLB_KERNEL, &v)); /* descriptors and the like */
}

static void unpaged(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	fx_put(f, 0x1234, 4, 0xcafe);
	assert_true(mmu_read(&f->cpu, 0x1234, 4, TLB_KERNEL, &v));
	assert_int_equal(v, 0xcafe);
	assert_true(mmu_write(&f->cpu, 0x1238, 4, TLB_KERNEL, 0xbabe));
	assert_int_equal(fx_get(f, 0x1238, 4), 0xbabe);
}

static void fetch_stops_at_fault(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[15];
	unsigned got;

	fx_long(f, 0);
	fx_map(f, 0x20000, 0x20000, PT_P);
	assert_true(mmu_fetch(&f->cpu, 0x20ffd, buf, 15, &got));
	assert_int_equal(got, 3);
	assert_fault(&f->cpu, mmu_fetch(&f->cpu, 0x21000, buf, 15, &got), X86_EXC_PF, X86_PF_I);
	assert_fault(&f->cpu, mmu_fetch(&f->cpu, UINT64_C(1) << 47, buf, 15, &got), X86_EXC_GP, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		T(permissions), T(absent_pages), T(reserved_bits), T(upper_levels), T(tlb_fill_rules), T(code_pages_stay_out), T(flushes),
		T(large_pages_flush_whole), T(page_crossing), T(devices_and_rom), T(data_breakpoints), T(alignment_checks), T(unpaged), T(fetch_stops_at_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
