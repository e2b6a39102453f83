/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One interpreted vcpu on a little RAM, without a machine: flat 64-bit code at
 * CPL 0 with identity page tables, flat 32-bit code without paging, or real
 * mode. RAM appears at the same address in the guest and in the test, so that
 * pointers mean the same in both.
 */
#ifndef LODGE_TESTS_CPU_FIXTURE_H
#define LODGE_TESTS_CPU_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "cpu/x86/interp.h"

#define FIXTURE_RAM UINT64_C(0x10000000)
#define FIXTURE_BYTES MIB(2)
#define FIXTURE_CODE (FIXTURE_RAM + 0x10000)
#define FIXTURE_DATA (FIXTURE_RAM + 0x20000)
#define FIXTURE_STACK (FIXTURE_RAM + 0x40000)
#define FIXTURE_TABLES (FIXTURE_RAM + 0x100000)
/* Linear addresses above this are mapped by nothing in 64-bit mode. */
#define FIXTURE_HOLE (FIXTURE_RAM + FIXTURE_BYTES)

struct fixture {
	struct x86_cpu *cpu;
	struct guest_memory mem;
	struct x86_env_ops env;
	uint32_t port_value, ports_written;
	bool cached; /* with a decode cache */
};

static uint32_t fixture_port_in(void *ctx, uint16_t port, unsigned size)
{
	struct fixture *f = ctx;

	(void)port;
	(void)size;
	return f->port_value++;
}

static void fixture_port_out(void *ctx, uint16_t port, unsigned size, uint32_t value)
{
	struct fixture *f = ctx;

	(void)port;
	(void)size;
	f->port_value = value;
	f->ports_written++;
}

static uint64_t fixture_mmio_read(void *ctx, uint64_t addr, unsigned size)
{
	(void)ctx;
	(void)addr;
	(void)size;
	return UINT64_MAX;
}

static void fixture_mmio_write(void *ctx, uint64_t addr, unsigned size, uint64_t value)
{
	(void)ctx;
	(void)addr;
	(void)size;
	(void)value;
}

static inline void *fixture_ptr(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static struct x86_segment fixture_segment(uint16_t attr, uint32_t limit)
{
	return (struct x86_segment){ .sel = 8, .attr = attr, .limit = limit };
}

/* Identity: the first GiB as 4K pages where RAM is, nothing else. */
static inline void fixture_tables(void)
{
	uint64_t *pml4 = fixture_ptr(FIXTURE_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;

	memset(pml4, 0, 4 * 4096);
	pml4[0] = (uintptr_t)pdpt | 7;
	pdpt[0] = (uintptr_t)pd | 7;
	pd[FIXTURE_RAM >> 21] = (uintptr_t)pt | 7;
	for (unsigned i = 0; i < 512; i++)
		pt[i] = (FIXTURE_RAM + i * 4096) | 7;
}

static inline void fixture_mode(struct fixture *f, unsigned mode)
{
	struct x86_state *s = &f->cpu->s;
	uint16_t code = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_READABLE | X86_SEG_ACCESSED | X86_SEG_G;
	uint16_t data = X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB;

	for (unsigned i = 0; i < X86_NSEG; i++)
		s->seg[i] = fixture_segment(data, UINT32_MAX);
	s->seg[X86_CS] = fixture_segment((uint16_t)(code | (mode == X86_MODE_64 ? X86_SEG_L : X86_SEG_DB)), UINT32_MAX);
	s->cr0 = X86_CR0_PE | X86_CR0_NE | X86_CR0_ET | X86_CR0_WP;
	s->cr4 = X86_CR4_OSFXSR;
	s->msr.efer = 0;
	if (mode == X86_MODE_64) {
		fixture_tables();
		s->cr0 |= X86_CR0_PG;
		s->cr4 |= X86_CR4_PAE;
		s->cr3 = FIXTURE_TABLES;
		s->msr.efer = X86_EFER_LME | X86_EFER_LMA;
	}
	s->rip = FIXTURE_CODE;
	s->rflags = X86_FLAG_ONE;
	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[X86_RSP] = FIXTURE_STACK;
	s->activity = X86_RUNNING;
	cpu_state_loaded(f->cpu);
}

static inline struct fixture *fixture_create(unsigned mode)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *ram = mmap(fixture_ptr(FIXTURE_RAM), FIXTURE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct memory_range range = { .base = FIXTURE_RAM, .bytes = FIXTURE_BYTES, .read_hva = ram, .write_hva = ram,
		.ram_offset = 0 };

	if (!f || ram == MAP_FAILED)
		abort();
	f->cpu = aligned_alloc(64, (sizeof(*f->cpu) + 63) & ~(size_t)63);
	memset(f->cpu, 0, sizeof(*f->cpu));
	memory_init(&f->mem, -1, ram, FIXTURE_BYTES);
	if (memory_add_range(&f->mem, &range) != LODGE_OK)
		abort();
	f->env = (struct x86_env_ops){ .port_in = fixture_port_in, .port_out = fixture_port_out, .mmio_read = fixture_mmio_read,
				       .mmio_write = fixture_mmio_write };
	cpu_reset(f->cpu, true);
	f->cpu->mem = &f->mem;
	f->cpu->env = &f->env;
	f->cpu->env_ctx = f;
	f->cpu->interp_cache = calloc(1, INTERP_CACHE_BYTES);
	fixture_mode(f, mode);
	return f;
}

static inline void fixture_destroy(struct fixture *f)
{
	munmap(fixture_ptr(FIXTURE_RAM), FIXTURE_BYTES);
	free(f->cpu->interp_cache);
	free(f->cpu);
	free(f);
}

static inline void fixture_code(struct fixture *f, const void *code, size_t len)
{
	memcpy(fixture_ptr(FIXTURE_CODE), code, len);
	f->cpu->s.rip = FIXTURE_CODE;
}

/* Fetches and decodes at RIP and executes once. False: cpu->fault holds the fault, which is not delivered. */
static inline bool fixture_exec(struct fixture *f)
{
	struct insn insn;
	uint8_t bytes[X86_INSN_MAX];
	unsigned got;

	if (!mmu_fetch(f->cpu, f->cpu->s.rip, bytes, sizeof(bytes), &got))
		return false;
	if (x86_decode(bytes, got, f->cpu->code_mode, &insn) != DECODE_OK)
		return cpu_ud(f->cpu);
	return x86_exec(f->cpu, &insn);
}

#endif
