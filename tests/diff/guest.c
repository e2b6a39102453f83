/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that an engine runs a case in: long mode, the case's pages at
 * the addresses they have on the host, and an interrupt table whose handlers
 * tell the exception by their address. Each handler is an OUT and a HLT, for
 * engines that stop at nothing else.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "diff.h"

#define RAM_BYTES 0x80000u
#define PML4 0x1000u
#define PDPT 0x2000u
#define PD 0x3000u
#define PT_CODE 0x4000u
#define PT_DATA 0x5000u
#define PT_STACK 0x6000u
#define PT_KERNEL 0x7000u
#define IDT 0x8000u
#define GDT 0x9000u
#define TSS 0xa000u
#define HANDLERS 0xb000u
#define HANDLER_BYTES 16u
#define KERNEL_STACK_TOP 0xe000u
#define CODE 0x20000u
#define DATA 0x30000u
#define STACK 0x40000u

#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define TSS_SEL 0x40

#define PTE_P UINT64_C(1)
#define PTE_W UINT64_C(2)
#define PTE_U UINT64_C(4)
#define PTE_AD UINT64_C(0x60)
#define PTE_NX (UINT64_C(1) << 63)

struct diff_guest {
	uint8_t *ram;
	struct guest_memory *mem;
	unsigned dirty_from, dirty_to;
};

static void put(struct diff_guest *g, uint64_t gpa_v, uint64_t v)
{
	put_le64(g->ram + gpa_v, v);
}

static void map(struct diff_guest *g, unsigned table, uint64_t va, uint64_t gpa_v, uint64_t bits)
{
	put(g, PD + (va >> 21) * 8, table | PTE_P | PTE_W | PTE_U | PTE_AD);
	put(g, table + (va >> 12 & 511) * 8, gpa_v | bits | PTE_P | PTE_AD);
}

static void build_tables(struct diff_guest *g)
{
	put(g, PML4, PDPT | PTE_P | PTE_W | PTE_U | PTE_AD);
	put(g, PDPT, PD | PTE_P | PTE_W | PTE_U | PTE_AD);
	for (unsigned i = 0; i < DIFF_CODE_BYTES; i += 0x1000)
		map(g, PT_CODE, DIFF_CODE + i, CODE + i, PTE_U);
	map(g, PT_DATA, DIFF_DATA, DATA, PTE_U | PTE_W | PTE_NX);
	map(g, PT_DATA, DIFF_DATA + 0x1000, DATA + 0x1000, PTE_U | PTE_W | PTE_NX);
	map(g, PT_DATA, DIFF_DATA + DIFF_DATA_RO, DATA + DIFF_DATA_RO, PTE_U | PTE_NX);
	map(g, PT_DATA, DIFF_DATA + 0x4000, DATA + 0x4000, PTE_U | PTE_W | PTE_NX);
	map(g, PT_STACK, DIFF_STACK, STACK, PTE_U | PTE_W | PTE_NX);
	for (unsigned i = IDT; i < CODE; i += 0x1000)
		map(g, PT_KERNEL, DIFF_KERNEL + i, i, PTE_W);
}

static uint64_t handler(unsigned vector)
{
	return DIFF_KERNEL + HANDLERS + vector * HANDLER_BYTES;
}

static void build_descriptors(struct diff_guest *g)
{
	const uint64_t tss = DIFF_KERNEL + TSS;

	put(g, GDT + KERNEL_CS, UINT64_C(0x00af9b000000ffff));
	put(g, GDT + KERNEL_DS, UINT64_C(0x00cf93000000ffff));
	put(g, GDT + (DIFF_CS32 & ~7u), UINT64_C(0x00cffb000000ffff));
	put(g, GDT + (DIFF_DS & ~7u), UINT64_C(0x00cff3000000ffff));
	put(g, GDT + (DIFF_CS64 & ~7u), UINT64_C(0x00affb000000ffff));
	put(g, GDT + TSS_SEL, 0x67 | (tss & 0xffffff) << 16 | UINT64_C(0x8b) << 40 | (tss >> 24 & 0xff) << 56);
	put(g, GDT + TSS_SEL + 8, tss >> 32);
	put(g, TSS + 4, DIFF_KERNEL + KERNEL_STACK_TOP);
	put_le16(g->ram + TSS + 0x66, 0x68); /* no I/O bitmap */
	for (unsigned i = 0; i < 256; i++) {
		uint64_t h = handler(i), type = i == X86_EXC_BP || i == X86_EXC_OF ? 0xee : 0x8e;

		put(g, IDT + 16 * i, (h & 0xffff) | KERNEL_CS << 16 | type << 40 | (h >> 16 & 0xffff) << 48);
		put(g, IDT + 16 * i + 8, h >> 32);
		memcpy(g->ram + HANDLERS + i * HANDLER_BYTES, "\xe6\xe6\xf4\xeb\xfb", 5); /* out e6h, al; hlt; jmp */
	}
}

struct diff_guest *diff_guest_create(struct guest_memory *mem)
{
	struct diff_guest *g = calloc(1, sizeof(*g));
	struct memory_range range = { .base = 0, .bytes = RAM_BYTES, .ram_offset = 0 };

	if (!g)
		return NULL;
	g->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->ram == MAP_FAILED)
		abort();
	range.read_hva = range.write_hva = g->ram;
	memory_init(mem, -1, g->ram, RAM_BYTES);
	if (memory_add_range(mem, &range) != LODGE_OK)
		abort();
	g->mem = mem;
	build_tables(g);
	build_descriptors(g);
	memset(g->ram + CODE, 0xcc, DIFF_CODE_BYTES);
	return g;
}

/* Translators must hear of new code; data pages never hold any. */
static void code_written(struct diff_guest *g, unsigned from, unsigned to)
{
	if (g->mem->written)
		g->mem->written(g->mem->written_ctx, CODE + from, to - from);
}

void diff_guest_load(struct diff_guest *g, const struct diff_case *c)
{
	uint8_t exit[DIFF_EXIT_MAX];
	unsigned n = diff_exit_code(c->mode, diff_end(c), exit), end = c->offset + c->len, from = g->dirty_from, to = g->dirty_to;
	uint8_t *code = g->ram + CODE;

	memset(code + from, 0xcc, to - from);
	memcpy(code + c->offset, c->code, MIN(c->len, DIFF_CODE_BYTES - c->offset));
	if (end < DIFF_CODE_BYTES)
		memcpy(code + end, exit, MIN(n, DIFF_CODE_BYTES - end));
	g->dirty_from = c->offset;
	g->dirty_to = MIN(end + n, DIFF_CODE_BYTES);
	if (to)
		code_written(g, from, to);
	code_written(g, g->dirty_from, g->dirty_to);
	memcpy(g->ram + DATA, c->mem.data, DIFF_DATA_BYTES);
	memcpy(g->ram + STACK, c->mem.stack, DIFF_STACK_BYTES);
}

static struct x86_segment segment(uint16_t sel, uint16_t attr)
{
	return (struct x86_segment){ .sel = sel, .attr = attr, .limit = UINT32_MAX };
}

void diff_guest_state(const struct diff_case *c, struct x86_state *s)
{
	const uint16_t user = X86_SEG_P | X86_SEG_S | X86_SEG_DPL | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_WRITABLE;

	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
	s->cr3 = PML4;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE | X86_CR4_FSGSBASE | X86_CR4_PGE;
	s->msr.efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	s->xcr0 = 7;
	s->gdtr = (struct x86_table){ .base = DIFF_KERNEL + GDT, .limit = 0x7f };
	s->idtr = (struct x86_table){ .base = DIFF_KERNEL + IDT, .limit = 0xfff };
	s->tr = (struct x86_segment){ .sel = TSS_SEL, .attr = X86_SEG_P | 11, .limit = 0x67, .base = DIFF_KERNEL + TSS };
	s->ldtr = (struct x86_segment){ .attr = X86_SEG_UNUSABLE };
	s->seg[X86_CS] = c->mode == X86_MODE_64 ? segment(DIFF_CS64, user | X86_SEG_CODE | X86_SEG_L) :
						  segment(DIFF_CS32, user | X86_SEG_CODE | X86_SEG_DB);
	s->seg[X86_SS] = s->seg[X86_DS] = s->seg[X86_ES] = segment(DIFF_DS, user | X86_SEG_DB);
	s->seg[X86_FS] = (struct x86_segment){ .attr = X86_SEG_UNUSABLE, .base = c->regs.fs_base };
	s->seg[X86_GS] = (struct x86_segment){ .attr = X86_SEG_UNUSABLE, .base = c->regs.gs_base };
	memcpy(s->gpr, c->regs.gpr, sizeof(s->gpr));
	s->rip = c->regs.rip;
	s->rflags = c->regs.rflags;
	s->activity = X86_RUNNING;
	s->interrupt_shadow = 0;
	memcpy(s->xsave, c->regs.xsave, sizeof(s->xsave));
}

static bool in_handler(const struct x86_state *s)
{
	return s->rip >= handler(0) && s->rip < handler(256);
}

/* The exit jump after the code may be cut off by the end of the pages. */
static bool at_end(const struct diff_case *c, const struct x86_state *s)
{
	return s->rip == diff_end(c) && c->offset + c->len + DIFF_EXIT_MAX <= DIFF_CODE_BYTES;
}

bool diff_guest_stopped(const struct diff_case *c, const struct x86_state *s)
{
	return at_end(c, s) || s->rip == DIFF_EXIT_ADDRESS || in_handler(s) || s->activity != X86_RUNNING;
}

static bool has_error_code(unsigned vector)
{
	return vector == X86_EXC_DF || (vector >= X86_EXC_TS && vector <= X86_EXC_PF) || vector == X86_EXC_AC;
}

bool diff_guest_result(const struct diff_guest *g, const struct diff_case *c, const struct x86_state *s, struct diff_result *r)
{
	const uint8_t *frame;

	memcpy(r->regs.gpr, s->gpr, sizeof(s->gpr));
	memcpy(r->regs.xsave, s->xsave, sizeof(s->xsave));
	memcpy(r->mem.data, g->ram + DATA, DIFF_DATA_BYTES);
	memcpy(r->mem.stack, g->ram + STACK, DIFF_STACK_BYTES);
	r->regs.rip = s->rip;
	r->regs.rflags = s->rflags;
	r->regs.fs_base = s->seg[X86_FS].base;
	r->regs.gs_base = s->seg[X86_GS].base;
	if (at_end(c, s) || s->rip == DIFF_EXIT_ADDRESS) {
		r->kind = DIFF_END;
		r->regs.rip = diff_end(c);
		return true;
	}
	if (!in_handler(s))
		return false;
	r->kind = DIFF_FAULT;
	r->vector = (uint8_t)((s->rip - handler(0)) / HANDLER_BYTES);
	r->error = 0;
	r->cr2 = s->cr2;
	frame = g->ram + (s->gpr[X86_RSP] - DIFF_KERNEL) % RAM_BYTES;
	if (has_error_code(r->vector)) {
		r->error = get_le32(frame);
		frame += 8;
	}
	r->regs.rip = get_le64(frame);
	r->regs.rflags = get_le64(frame + 16);
	r->regs.gpr[X86_RSP] = get_le64(frame + 24);
	if (r->vector == X86_EXC_PF && r->regs.rip == DIFF_EXIT_ADDRESS) {
		r->kind = DIFF_END;
		r->regs.rip = diff_end(c);
	}
	return true;
}
