/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switching (16- and 32-bit TSS; none in long mode). Up to the
 * commit point a fault leaves the old task as it was; later ones are raised in
 * the new task, as the manuals have it.
 */
#include "cpu/x86/system.h"

/* Offsets in the two kinds of TSS. */
struct tss_layout {
	unsigned size, limit;
	unsigned cr3, ip, flags, gpr, seg, ldt; /* cr3 0: none */
	unsigned nseg;
};
static const struct tss_layout tss16 = { .size = 2, .limit = 0x2b, .ip = 0x0e, .flags = 0x10, .gpr = 0x12, .seg = 0x22, .ldt = 0x2a, .nseg = 4 };
static const struct tss_layout tss32 = {
	.size = 4, .limit = 0x67, .cr3 = 0x1c, .ip = 0x20, .flags = 0x24, .gpr = 0x28, .seg = 0x48, .ldt = 0x60, .nseg = 6,
};
#define TSS_BYTES 104u
#define TSS32_TRAP 0x64u
#define DR7_LOCAL UINT64_C(0x155)

static const struct tss_layout *layout_of(unsigned attr)
{
	return attr & 8 ? &tss32 : &tss16;
}

static uint64_t tss_get(const uint8_t *tss, unsigned at, unsigned size)
{
	return size == 4 ? get_le32(tss + at) : get_le16(tss + at);
}

static void tss_put(uint8_t *tss, unsigned at, unsigned size, uint64_t v)
{
	if (size == 4)
		put_le32(tss + at, (uint32_t)v);
	else
		put_le16(tss + at, (uint16_t)v);
}

/* The target's descriptor with all checks; read completely into @tss. */
static bool target_read(struct x86_cpu *cpu, uint16_t sel, enum x86_task_reason reason, uint32_t ext, struct x86_desc *d, uint8_t tss[TSS_BYTES])
{
	uint8_t vector = reason == X86_TASK_IRET ? X86_EXC_TS : X86_EXC_GP;
	unsigned busy = reason == X86_TASK_IRET ? 2 : 0;
	const struct tss_layout *l;
	struct x86_segment seg;

	if (sel_is_null(sel) || (sel & 4))
		return cpu_fault(cpu, vector, true, sel_error(sel) | (sel & 4u) | ext);
	if (!x86_desc_fetch(cpu, sel, vector, ext, d))
		return false;
	if (!desc_is_system(d) || ((desc_type(d) & ~8u) != (X86_SYS_TSS16 | busy)))
		return cpu_fault(cpu, vector, true, sel_error(sel) | ext);
	if (!desc_present(d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel) | ext);
	l = layout_of(d->attr);
	seg = x86_desc_segment(d, sel);
	if (seg.limit < l->limit)
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(sel) | ext);
	return mmu_read_bytes(cpu, seg.base, tss, l->limit + 1, TLB_KERNEL);
}

/* Write the outgoing task's registers: everything but the static fields. */
static bool save_old(struct x86_cpu *cpu, enum x86_task_reason reason, uint64_t rip)
{
	const struct tss_layout *l = layout_of(cpu->s.tr.attr);
	uint64_t flags = cpu->s.rflags;
	uint8_t tss[TSS_BYTES];
	unsigned end = l->seg + l->nseg * l->size;

	if (cpu->s.tr.limit < l->limit)
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(cpu->s.tr.sel));
	if (!mmu_read_bytes(cpu, cpu->s.tr.base + l->ip, tss + l->ip, end - l->ip, TLB_KERNEL))
		return false;
	if (reason == X86_TASK_IRET)
		flags &= ~(uint64_t)X86_FLAG_NT;
	tss_put(tss, l->ip, l->size, rip);
	tss_put(tss, l->flags, l->size, flags);
	for (unsigned i = 0; i < 8; i++)
		tss_put(tss, l->gpr + i * l->size, l->size, cpu->s.gpr[i]);
	for (unsigned i = 0; i < l->nseg; i++)
		put_le16(tss + l->seg + i * l->size, cpu->s.seg[i].sel);
	return mmu_write_bytes(cpu, cpu->s.tr.base + l->ip, tss + l->ip, end - l->ip, TLB_KERNEL);
}

static bool load_ldt(struct x86_cpu *cpu, uint16_t sel, uint32_t ext)
{
	struct x86_desc d;

	cpu->s.ldtr = x86_null_segment(sel, 0);
	if (sel_is_null(sel))
		return true;
	if (sel & 4)
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(sel) | ext);
	if (!x86_desc_fetch(cpu, sel, X86_EXC_TS, ext, &d))
		return false;
	if (!desc_is_system(&d) || desc_type(&d) != X86_SYS_LDT || !desc_present(&d))
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(sel) | ext);
	cpu->s.ldtr = x86_desc_segment(&d, sel);
	return true;
}

static bool load_code(struct x86_cpu *cpu, uint16_t sel, uint32_t ext)
{
	unsigned rpl = sel & 3;
	struct x86_desc d;

	if (sel_is_null(sel))
		return cpu_fault(cpu, X86_EXC_TS, true, ext);
	if (!x86_desc_fetch(cpu, sel, X86_EXC_TS, ext, &d))
		return false;
	if (!desc_is_code(&d) || (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		return cpu_fault(cpu, X86_EXC_TS, true, sel_error(sel) | ext);
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel) | ext);
	if (!x86_desc_set_bits(cpu, &d, X86_SEG_ACCESSED))
		return false;
	cpu->s.seg[X86_CS] = x86_desc_segment(&d, sel);
	return true;
}

/* Selectors first, so that a fault below sees the new task's; then the hidden parts in the manuals' order. */
static bool load_segments(struct x86_cpu *cpu, const struct tss_layout *l, const uint8_t *tss, uint32_t ext)
{
	static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	uint16_t sel[X86_NSEG] = { 0 };
	unsigned cpl;

	for (unsigned i = 0; i < l->nseg; i++)
		sel[i] = get_le16(tss + l->seg + i * l->size);
	cpl = sel[X86_CS] & 3;
	for (unsigned i = 0; i < X86_NSEG; i++)
		cpu->s.seg[i] = cpu_v86(cpu) ? x86_v86_segment(sel[i]) : x86_null_segment(sel[i], cpl);
	cpu_update_mode(cpu);
	if (!load_ldt(cpu, get_le16(tss + l->ldt), ext))
		return false;
	if (cpu_v86(cpu))
		return true;
	if (!load_code(cpu, sel[X86_CS], ext) || !x86_stack_segment(cpu, sel[X86_SS], cpl, X86_EXC_TS, ext, &cpu->s.seg[X86_SS]))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		if (!x86_data_segment(cpu, sel[order[i]], cpl, X86_EXC_TS, ext, &cpu->s.seg[order[i]]))
			return false;
	cpu_update_mode(cpu);
	return true;
}

static void load_registers(struct x86_cpu *cpu, const struct tss_layout *l, const uint8_t *tss, bool nested)
{
	uint64_t flags_defined = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT;

	if (l->size == 4)
		flags_defined |= X86_FLAG_RF | X86_FLAG_VM | X86_FLAG_AC | X86_FLAG_VIF | X86_FLAG_VIP | X86_FLAG_ID;
	cpu->s.rip = tss_get(tss, l->ip, l->size);
	cpu->s.rflags = (tss_get(tss, l->flags, l->size) & flags_defined) | X86_FLAG_ONE | (nested ? X86_FLAG_NT : 0u);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t v = tss_get(tss, l->gpr + i * l->size, l->size);

		cpu->s.gpr[i] = l->size == 4 ? v : v | 0xffff0000;
	}
}

static bool load_cr3(struct x86_cpu *cpu, const struct tss_layout *l, const uint8_t *tss)
{
	uint64_t cr3;

	if (!l->cr3 || !(cpu->s.cr0 & X86_CR0_PG))
		return true;
	cr3 = get_le32(tss + l->cr3);
	if ((cpu->s.cr4 & X86_CR4_PAE) && !x86_load_pdptes(cpu, cr3))
		return false;
	mmu_load_cr3(cpu, cr3);
	return true;
}

static bool push_error(struct x86_cpu *cpu, unsigned size, uint32_t ext, uint32_t error)
{
	struct x86_stack st;

	x86_stack_current(cpu, &st);
	st.ext = ext;
	if (!x86_stack_push(cpu, &st, size, error))
		return false;
	cpu->s.gpr[X86_RSP] = st.sp;
	return true;
}

bool x86_task_switch(struct x86_cpu *cpu, uint16_t sel, enum x86_task_reason reason, uint64_t rip, uint32_t ext, bool has_error, uint32_t error)
{
	bool nested = reason == X86_TASK_CALL || reason == X86_TASK_GATE;
	uint16_t old_tr = cpu->s.tr.sel;
	uint8_t tss[TSS_BYTES];
	const struct tss_layout *l;
	struct x86_desc d;

	if (!target_read(cpu, sel, reason, ext, &d, tss) || !save_old(cpu, reason, rip))
		return false;
	l = layout_of(d.attr);
	if (nested && !mmu_write(cpu, x86_desc_segment(&d, sel).base, 2, TLB_KERNEL, old_tr))
		return false;
	if (!nested && !x86_desc_clear_busy(cpu, old_tr))
		return false;
	if (reason != X86_TASK_IRET && !x86_desc_set_bits(cpu, &d, 2))
		return false;

	/* The commit point. */
	cpu->s.tr = x86_desc_segment(&d, sel);
	cpu->s.tr.attr |= 2;
	cpu->s.cr0 |= X86_CR0_TS;
	cpu->s.dr7 &= ~DR7_LOCAL;
	load_registers(cpu, l, tss, nested);
	if (!load_cr3(cpu, l, tss) || !load_segments(cpu, l, tss, ext))
		return false;
	if (has_error && !push_error(cpu, l->size, ext, error))
		return false;
	if (l->size == 4 && (tss[TSS32_TRAP] & 1)) {
		cpu->s.dr6 |= X86_DR6_BT;
		return cpu_fault(cpu, X86_EXC_DB, false, 0);
	}
	return true;
}
