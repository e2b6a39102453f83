/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation: descriptor reads, the checks for loading segment registers,
 * logical to linear addresses, and stacks that belong to a segment not loaded
 * yet.
 */
#include "cpu/x86/system.h"

#define DESC_ATTR(hi) ((uint16_t)(((hi) >> 8 & 0xff) | ((hi) >> 12 & 0xf00)))

bool x86_desc_look(struct x86_cpu *cpu, uint16_t sel, struct x86_desc *d, bool *found)
{
	uint64_t base = cpu->s.gdtr.base, raw;
	uint32_t limit = cpu->s.gdtr.limit;

	*found = false;
	if (sel & 4) {
		if (cpu->s.ldtr.attr & X86_SEG_UNUSABLE)
			return true;
		base = cpu->s.ldtr.base;
		limit = cpu->s.ldtr.limit;
	}
	if ((sel | 7u) > limit)
		return true;
	d->lin = base + (sel & ~7u);
	if (!cpu_lma(cpu))
		d->lin = (uint32_t)d->lin;
	if (!mmu_read(cpu, d->lin, 8, TLB_KERNEL, &raw))
		return false;
	d->lo = (uint32_t)raw;
	d->hi = (uint32_t)(raw >> 32);
	d->sel = sel;
	d->attr = DESC_ATTR(d->hi);
	*found = true;
	return true;
}

bool x86_desc_fetch(struct x86_cpu *cpu, uint16_t sel, uint8_t vector, uint32_t ext, struct x86_desc *d)
{
	bool found;

	if (!x86_desc_look(cpu, sel, d, &found))
		return false;
	return found || cpu_fault(cpu, vector, true, sel_error(sel) | ext);
}

bool x86_desc_fetch_high(struct x86_cpu *cpu, const struct x86_desc *d, uint8_t vector, uint32_t ext, uint64_t *high)
{
	uint32_t limit = d->sel & 4 ? cpu->s.ldtr.limit : cpu->s.gdtr.limit;
	uint64_t raw;

	if ((d->sel | 7u) + 8 > limit)
		return cpu_fault(cpu, vector, true, sel_error(d->sel) | ext);
	if (!mmu_read(cpu, d->lin + 8, 8, TLB_KERNEL, &raw))
		return false;
	if (raw >> 40 & 0x1f)
		return cpu_fault(cpu, vector, true, sel_error(d->sel) | ext);
	*high = raw << 32;
	return true;
}

/* Change the descriptor's second dword in memory under LOCK. */
static bool desc_update(struct x86_cpu *cpu, uint64_t lin, uint32_t set, uint32_t clear)
{
	struct mmu_rmw rmw;
	uint64_t v;

	if (!mmu_rmw_begin(cpu, lin + 4, 4, TLB_KERNEL, &rmw))
		return false;
	if (!rmw.host) {
		if (!mmu_read(cpu, lin + 4, 4, TLB_KERNEL, &v))
			return false;
		return mmu_write(cpu, lin + 4, 4, TLB_KERNEL, (v | set) & ~(uint64_t)clear);
	}
	if (set)
		__atomic_fetch_or((uint32_t *)rmw.host, set, __ATOMIC_SEQ_CST);
	if (clear)
		__atomic_fetch_and((uint32_t *)rmw.host, ~clear, __ATOMIC_SEQ_CST);
	mmu_rmw_end(cpu, &rmw);
	return true;
}

bool x86_desc_set_bits(struct x86_cpu *cpu, struct x86_desc *d, uint32_t bits)
{
	if ((d->attr & bits) == bits)
		return true;
	if (!desc_update(cpu, d->lin, bits << 8, 0))
		return false;
	d->attr |= (uint16_t)bits;
	d->hi |= bits << 8;
	return true;
}

bool x86_desc_clear_busy(struct x86_cpu *cpu, uint16_t tr_sel)
{
	struct x86_desc d;

	if (!x86_desc_fetch(cpu, tr_sel, X86_EXC_TS, 0, &d))
		return false;
	return desc_update(cpu, d.lin, 0, 2u << 8);
}

struct x86_segment x86_desc_segment(const struct x86_desc *d, uint16_t sel)
{
	uint32_t limit = (d->lo & 0xffff) | (d->hi & 0xf0000);

	if (d->attr & X86_SEG_G)
		limit = limit << 12 | 0xfff;
	return (struct x86_segment){
		.sel = sel,
		.attr = d->attr,
		.limit = limit,
		.base = (d->lo >> 16) | (d->hi & 0xff) << 16 | (d->hi & 0xff000000),
	};
}

struct x86_segment x86_null_segment(uint16_t sel, unsigned dpl)
{
	return (struct x86_segment){ .sel = sel, .attr = (uint16_t)(X86_SEG_UNUSABLE | dpl << X86_SEG_DPL_SHIFT) };
}

struct x86_segment x86_v86_segment(uint16_t sel)
{
	return (struct x86_segment){
		.sel = sel,
		.attr = X86_SEG_P | X86_SEG_DPL | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED,
		.limit = 0xffff,
		.base = (uint64_t)sel << 4,
	};
}

struct x86_segment x86_flat_code(uint16_t sel, unsigned cpl, bool long_mode)
{
	return (struct x86_segment){
		.sel = (uint16_t)((sel & ~3u) | cpl),
		.attr = (uint16_t)(X86_SEG_G | (long_mode ? X86_SEG_L : X86_SEG_DB) | X86_SEG_P | cpl << X86_SEG_DPL_SHIFT | X86_SEG_S | X86_SEG_CODE |
				   X86_SEG_READABLE | X86_SEG_ACCESSED),
		.limit = UINT32_MAX,
	};
}

struct x86_segment x86_flat_data(uint16_t sel, unsigned cpl)
{
	return (struct x86_segment){
		.sel = (uint16_t)((sel & ~3u) | cpl),
		.attr = (uint16_t)(X86_SEG_G | X86_SEG_DB | X86_SEG_P | cpl << X86_SEG_DPL_SHIFT | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED),
		.limit = UINT32_MAX,
	};
}

bool x86_stack_segment(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext, struct x86_segment *out)
{
	struct x86_desc d;

	if (sel_is_null(sel))
		return cpu_fault(cpu, vector, true, ext);
	if (!x86_desc_fetch(cpu, sel, vector, ext, &d))
		return false;
	if ((sel & 3) != cpl || desc_dpl(&d) != cpl || !desc_is_writable_data(&d))
		return cpu_fault(cpu, vector, true, sel_error(sel) | ext);
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_SS, true, sel_error(sel) | ext);
	if (!x86_desc_set_bits(cpu, &d, X86_SEG_ACCESSED))
		return false;
	*out = x86_desc_segment(&d, sel);
	return true;
}

bool x86_data_segment(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext, struct x86_segment *out)
{
	struct x86_desc d;
	unsigned rpl = sel & 3;

	if (sel_is_null(sel)) {
		*out = x86_null_segment(sel, 0);
		return true;
	}
	if (!x86_desc_fetch(cpu, sel, vector, ext, &d))
		return false;
	if (desc_is_system(&d) || (desc_is_code(&d) && !(d.attr & X86_SEG_READABLE)))
		return cpu_fault(cpu, vector, true, sel_error(sel) | ext);
	if (!desc_is_conforming(&d) && MAX(cpl, rpl) > desc_dpl(&d))
		return cpu_fault(cpu, vector, true, sel_error(sel) | ext);
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel) | ext);
	if (!x86_desc_set_bits(cpu, &d, X86_SEG_ACCESSED))
		return false;
	*out = x86_desc_segment(&d, sel);
	return true;
}

bool x86_load_segment(struct x86_cpu *cpu, unsigned seg, uint16_t selector)
{
	struct x86_segment *s = &cpu->s.seg[seg];
	struct x86_segment loaded;

	if (cpu_v86(cpu)) {
		*s = x86_v86_segment(selector);
	} else if (!(cpu->s.cr0 & X86_CR0_PE)) {
		/* Limit and size survive: "unreal mode" programs live off that. */
		s->sel = selector;
		s->base = (uint64_t)selector << 4;
		s->attr = (uint16_t)((s->attr & (X86_SEG_G | X86_SEG_DB | X86_SEG_AVL)) | X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED);
	} else if (seg == X86_SS && sel_is_null(selector) && cpu->long_mode && cpu->cpl < 3 && (selector & 3) == cpu->cpl) {
		*s = x86_null_segment(selector, cpu->cpl);
	} else {
		if (!(seg == X86_SS ? x86_stack_segment(cpu, selector, cpu->cpl, X86_EXC_GP, 0, &loaded)
				    : x86_data_segment(cpu, selector, cpu->cpl, X86_EXC_GP, 0, &loaded)))
			return false;
		*s = loaded;
	}
	cpu_update_mode(cpu);
	return true;
}

bool x86_segment_allows(const struct x86_cpu *cpu, const struct x86_segment *seg, uint64_t offset, unsigned len, enum x86_access access)
{
	uint64_t last = offset + len - 1;
	bool code = seg->attr & X86_SEG_CODE;

	if (cpu_protected(cpu)) {
		if (seg->attr & X86_SEG_UNUSABLE)
			return false;
		if (code && (access == X86_WRITE || (access == X86_READ && !(seg->attr & X86_SEG_READABLE))))
			return false;
		if (!code && access == X86_WRITE && !(seg->attr & X86_SEG_WRITABLE))
			return false;
	}
	if (!code && (seg->attr & X86_SEG_EXPAND_DOWN))
		return offset > seg->limit && last <= (seg->attr & X86_SEG_DB ? UINT32_MAX : 0xffff);
	return last <= seg->limit;
}

bool x86_linear(struct x86_cpu *cpu, unsigned seg, uint64_t offset, unsigned len, enum x86_access access, uint64_t *lin)
{
	const struct x86_segment *s = &cpu->s.seg[seg];

	if (likely(cpu->long_mode)) {
		*lin = offset + (seg >= X86_FS ? s->base : 0);
		if (likely(mmu_canonical(*lin) && mmu_canonical(*lin + len - 1)))
			return true;
	} else {
		*lin = (uint32_t)(s->base + offset);
		if (cpu->flat && seg < X86_FS && (seg != X86_CS || access != X86_WRITE) && likely(offset + len - 1 <= UINT32_MAX))
			return true;
		if (x86_segment_allows(cpu, s, offset, len, access))
			return true;
	}
	return cpu_fault(cpu, seg == X86_SS ? X86_EXC_SS : X86_EXC_GP, true, 0);
}

void x86_stack_current(const struct x86_cpu *cpu, struct x86_stack *st)
{
	*st = (struct x86_stack){
		.seg = cpu->s.seg[X86_SS],
		.sp = cpu->s.gpr[X86_RSP],
		.sp_size = cpu->stack_size,
		.mode = (enum tlb_mode)cpu->tlb_mode,
	};
}

void x86_stack_new(struct x86_stack *st, const struct x86_segment *seg, uint64_t sp, unsigned sp_size, unsigned cpl)
{
	*st = (struct x86_stack){ .seg = *seg, .sp = sp, .sp_size = sp_size, .mode = cpl == 3 ? TLB_USER : TLB_KERNEL };
}

static uint64_t sp_mask(unsigned sp_size)
{
	return sp_size == 8 ? UINT64_MAX : sp_size == 4 ? UINT32_MAX : 0xffff;
}

static bool stack_linear(struct x86_cpu *cpu, const struct x86_stack *st, uint64_t sp, unsigned size, enum x86_access access, uint64_t *lin)
{
	if (st->sp_size == 8) {
		*lin = sp;
		if (mmu_canonical(sp) && mmu_canonical(sp + size - 1))
			return true;
	} else {
		*lin = (uint32_t)(st->seg.base + sp);
		if (x86_segment_allows(cpu, &st->seg, sp, size, access))
			return true;
	}
	return cpu_fault(cpu, X86_EXC_SS, true, st->error | st->ext);
}

bool x86_stack_push(struct x86_cpu *cpu, struct x86_stack *st, unsigned size, uint64_t value)
{
	uint64_t sp = (st->sp - size) & sp_mask(st->sp_size);
	uint64_t lin;

	if (!stack_linear(cpu, st, sp, size, X86_WRITE, &lin) || !mmu_write(cpu, lin, size, st->mode, value))
		return false;
	st->sp = (st->sp & ~sp_mask(st->sp_size)) | sp;
	return true;
}

bool x86_stack_pop(struct x86_cpu *cpu, struct x86_stack *st, unsigned size, uint64_t *value)
{
	uint64_t sp = st->sp & sp_mask(st->sp_size);
	uint64_t lin;

	if (!stack_linear(cpu, st, sp, size, X86_READ, &lin) || !mmu_read(cpu, lin, size, st->mode, value))
		return false;
	st->sp = (st->sp & ~sp_mask(st->sp_size)) | ((sp + size) & sp_mask(st->sp_size));
	return true;
}
