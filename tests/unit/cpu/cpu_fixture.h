/* SPDX-License-Identifier: Apache-2.0 */
/* A vcpu on 16 MiB of RAM, a page of ROM and an MMIO hole, with helpers to build page tables and descriptors. */
#ifndef LODGE_TESTS_UNIT_CPU_FIXTURE_H
#define LODGE_TESTS_UNIT_CPU_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include "unit.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/system.h"

#define FX_RAM (UINT64_C(16) << 20)
#define FX_ROM UINT64_C(0x2000000)
#define FX_MMIO UINT64_C(0x3000000)

/* Where things are in guest physical (and, where mapped, linear) memory. */
#define FX_GDT UINT64_C(0x1000)
#define FX_IDT UINT64_C(0x2000)
#define FX_TSS UINT64_C(0x3000)
#define FX_TSS2 UINT64_C(0x4000)
#define FX_STACK0 UINT64_C(0x6000) /* top of the ring 0 stack */
#define FX_IST UINT64_C(0x7000)    /* top of IST1's stack */
#define FX_STACK UINT64_C(0x9000)  /* top of the current stack */
#define FX_TABLES UINT64_C(0x100000)

/* Selectors of the standard GDT that fx_gdt() writes. */
enum {
	FX_CODE64 = 0x08, FX_DATA = 0x10, FX_CODE32 = 0x18, FX_UDATA = 0x20 | 3, FX_UCODE64 = 0x28 | 3, FX_UCODE32 = 0x30 | 3,
	FX_CODE16 = 0x38, FX_TR = 0x40 /* two slots */, FX_TR2 = 0x50, FX_GATE = 0x60 /* two slots */, FX_NOTPRESENT = 0x70, FX_CONFORMING = 0x78,
	FX_READONLY = 0x80, FX_EXPAND_DOWN = 0x88, FX_EXECONLY = 0x90, FX_LDT = 0x98, FX_DATA16 = 0xa8, FX_GDT_BYTES = 0x100,
};

#define PT_P UINT64_C(1)
#define PT_W UINT64_C(2)
#define PT_U UINT64_C(4)
#define PT_A UINT64_C(0x20)
#define PT_D UINT64_C(0x40)
#define PT_PS UINT64_C(0x80)
#define PT_G UINT64_C(0x100)
#define PT_NX (UINT64_C(1) << 63)

struct fixture {
	struct x86_cpu cpu;
	struct x86_cpu_model model;
	struct guest_memory mem;
	struct x86_env_ops env;
	uint8_t *ram, *rom;
	uint64_t next_table;
	uint64_t last_gpa, last_value;
	unsigned last_size, mmio_reads, mmio_writes, ram_writes;
	bool refuse_write;
	uint64_t flushes;
};

static inline struct fixture *fx_of(struct x86_cpu *cpu)
{
	return container_of(cpu, struct fixture, cpu);
}

static inline uint64_t fx_mmio_read(void *ctx, uint64_t gpa_v, unsigned size)
{
	struct fixture *f = ctx;

	f->mmio_reads++;
	f->last_gpa = gpa_v;
	f->last_size = size;
	return UINT64_C(0x8877665544332211);
}

static inline void fx_mmio_write(void *ctx, uint64_t gpa_v, unsigned size, uint64_t value)
{
	struct fixture *f = ctx;

	f->mmio_writes++;
	f->last_gpa = gpa_v;
	f->last_size = size;
	f->last_value = value;
}

static inline uint32_t fx_port_in(void *ctx, uint16_t port, unsigned size)
{
	struct fixture *f = ctx;

	f->last_gpa = port;
	f->last_size = size;
	return 0xa5a5a5a5;
}

static inline void fx_port_out(void *ctx, uint16_t port, unsigned size, uint32_t value)
{
	fx_mmio_write(ctx, port, size, value);
}

static inline int fx_setup(void **state)
{
	struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) / 64 * 64);

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	f->ram = aligned_alloc(4096, FX_RAM);
	f->rom = aligned_alloc(4096, 4096);
	assert_non_null(f->ram);
	assert_non_null(f->rom);
	memset(f->ram, 0, FX_RAM);
	memset(f->rom, 0x5a, 4096);
	memory_init(&f->mem, -1, f->ram, FX_RAM);
	assert_int_equal(memory_add_range(&f->mem, &(struct memory_range){ 0, FX_RAM, f->ram, f->ram, 0 }), LODGE_OK);
	assert_int_equal(memory_add_range(&f->mem, &(struct memory_range){ FX_ROM, 4096, f->rom, NULL, UINT64_MAX }), LODGE_OK);
	assert_int_equal(cpu_model_build(&f->model, CPU_V3, CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 2, 2000000, false, NULL), LODGE_OK);
	f->env = (struct x86_env_ops){ .mmio_read = fx_mmio_read, .mmio_write = fx_mmio_write, .port_in = fx_port_in, .port_out = fx_port_out };
	f->cpu.model = &f->model;
	f->cpu.mem = &f->mem;
	f->cpu.env = &f->env;
	f->cpu.env_ctx = f;
	cpu_reset(&f->cpu, true);
	f->next_table = FX_TABLES;
	*state = f;
	return 0;
}

static inline int fx_teardown(void **state)
{
	struct fixture *f = *state;

	free(f->ram);
	free(f->rom);
	free(f);
	return 0;
}

static inline uint64_t fx_get(struct fixture *f, uint64_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, f->ram + at, size);
	return v;
}

static inline void fx_put(struct fixture *f, uint64_t at, unsigned size, uint64_t v)
{
	memcpy(f->ram + at, &v, size);
}

static inline uint64_t fx_new_table(struct fixture *f)
{
	uint64_t t = f->next_table;

	f->next_table += 4096;
	return t;
}

/* The entry of @lin at @level (0: leaf of 4K) in 4-level tables below CR3, made on the way with P|W|U. */
static inline uint64_t fx_entry(struct fixture *f, uint64_t lin, unsigned level)
{
	uint64_t table = f->cpu.s.cr3 & ~UINT64_C(0xfff);

	for (unsigned l = 3; l > level; l--) {
		uint64_t at = table + (lin >> (12 + 9 * l) & 511) * 8;

		if (!(fx_get(f, at, 8) & PT_P))
			fx_put(f, at, 8, fx_new_table(f) | PT_P | PT_W | PT_U);
		table = fx_get(f, at, 8) & UINT64_C(0xfffffff000);
	}
	return table + (lin >> (12 + 9 * level) & 511) * 8;
}

static inline void fx_map(struct fixture *f, uint64_t lin, uint64_t pa, uint64_t flags)
{
	fx_put(f, fx_entry(f, lin, 0), 8, pa | flags);
}

static inline void fx_desc(struct fixture *f, unsigned sel, uint32_t base, uint32_t limit, unsigned attr)
{
	uint64_t at = FX_GDT + (sel & ~7u);

	fx_put(f, at, 4, (base & 0xffff) << 16 | (limit & 0xffff));
	fx_put(f, at + 4, 4, (base & 0xff000000) | (attr & 0xf00) << 12 | (limit & 0xf0000) | (attr & 0xff) << 8 | (base >> 16 & 0xff));
}

static inline void fx_gdt(struct fixture *f)
{
	fx_desc(f, FX_CODE64, 0, 0xfffff, 0xa9b);
	fx_desc(f, FX_DATA, 0, 0xfffff, 0xc93);
	fx_desc(f, FX_CODE32, 0, 0xfffff, 0xc9b);
	fx_desc(f, FX_UDATA, 0, 0xfffff, 0xcf3);
	fx_desc(f, FX_UCODE64, 0, 0xfffff, 0xafb);
	fx_desc(f, FX_UCODE32, 0, 0xfffff, 0xcfb);
	fx_desc(f, FX_CODE16, 0, 0xffff, 0x09b);
	fx_desc(f, FX_TR, FX_TSS, 0x67, 0x08b);
	fx_desc(f, FX_NOTPRESENT, 0, 0xfffff, 0xc13);
	fx_desc(f, FX_CONFORMING, 0, 0xfffff, 0xc9f);
	fx_desc(f, FX_READONLY, 0, 0xfffff, 0xc90);
	fx_desc(f, FX_EXPAND_DOWN, 0, 0x0, 0xc97);
	fx_desc(f, FX_EXECONLY, 0, 0xfffff, 0xc99);
	fx_desc(f, FX_DATA16, 0, 0xffff, 0x093);
	f->cpu.s.gdtr = (struct x86_table){ .base = FX_GDT, .limit = FX_GDT_BYTES - 1 };
	f->cpu.s.idtr = (struct x86_table){ .base = FX_IDT, .limit = 0xfff };
	f->cpu.s.tr = (struct x86_segment){ .sel = FX_TR, .attr = 0x8b, .limit = 0x67, .base = FX_TSS };
}

static inline void fx_gate32(struct fixture *f, unsigned vector, unsigned sel, uint32_t offset, unsigned type_attr)
{
	fx_put(f, FX_IDT + vector * 8, 4, sel << 16 | (offset & 0xffff));
	fx_put(f, FX_IDT + vector * 8 + 4, 4, (offset & 0xffff0000) | type_attr << 8);
}

static inline void fx_gate64(struct fixture *f, unsigned vector, unsigned sel, uint64_t offset, unsigned type_attr, unsigned ist)
{
	uint64_t at = FX_IDT + vector * 16;

	fx_put(f, at, 4, sel << 16 | (offset & 0xffff));
	fx_put(f, at + 4, 4, (offset & 0xffff0000) | type_attr << 8 | ist);
	fx_put(f, at + 8, 8, offset >> 32);
}

/* 32-bit protected mode without paging, flat, at @cpl. */
static inline void fx_protected(struct fixture *f, unsigned cpl)
{
	struct x86_state *s = &f->cpu.s;

	fx_gdt(f);
	s->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	s->seg[X86_CS] = x86_flat_code(cpl ? FX_UCODE32 : FX_CODE32, cpl, false);
	for (unsigned i = 0; i < X86_NSEG; i++)
		if (i != X86_CS)
			s->seg[i] = x86_flat_data(cpl ? FX_UDATA : FX_DATA, cpl);
	fx_put(f, FX_TSS + 4, 4, FX_STACK0);
	fx_put(f, FX_TSS + 8, 2, FX_DATA);
	s->gpr[X86_RSP] = FX_STACK;
	s->rip = 0x8000;
	cpu_state_loaded(&f->cpu);
}

/* Long mode with the low 64K identity mapped as user pages when @cpl is 3. */
static inline void fx_long(struct fixture *f, unsigned cpl)
{
	struct x86_state *s = &f->cpu.s;

	fx_gdt(f);
	s->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG | X86_CR0_WP;
	s->cr4 = X86_CR4_PAE | X86_CR4_PGE;
	s->msr.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	s->cr3 = fx_new_table(f);
	for (uint64_t at = 0; at < 0x10000; at += 4096)
		fx_map(f, at, at, PT_P | PT_W | (cpl ? PT_U : 0));
	s->seg[X86_CS] = x86_flat_code(cpl ? FX_UCODE64 : FX_CODE64, cpl, true);
	s->seg[X86_SS] = x86_flat_data(cpl ? FX_UDATA : FX_DATA, cpl);
	fx_put(f, FX_TSS + 4, 8, FX_STACK0);
	fx_put(f, FX_TSS + 0x24, 8, FX_IST);
	s->gpr[X86_RSP] = FX_STACK;
	s->rip = 0x8000;
	cpu_state_loaded(&f->cpu);
}

static inline void assert_fault(struct x86_cpu *cpu, bool ok, uint8_t vector, uint32_t error)
{
	assert_false(ok);
	assert_int_equal(cpu->fault.vector, vector);
	assert_int_equal(cpu->fault.error, error);
}

#endif
