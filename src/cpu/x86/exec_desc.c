/* SPDX-License-Identifier: Apache-2.0 */
/* Segment registers, descriptor-table registers and the instructions that inspect descriptors. */
#include "cpu/x86/system.h"

static void gpr_write(struct x86_cpu *cpu, unsigned reg, unsigned size, uint64_t v)
{
	uint64_t *r = &cpu->s.gpr[reg];

	if (size == 2)
		*r = (*r & ~UINT64_C(0xffff)) | (v & 0xffff);
	else
		*r = size == 4 ? (uint32_t)v : v;
}

/* Selectors and the machine status word: 16 bits to memory, zero-extended to a register. */
static bool word_store(struct x86_cpu *cpu, const struct insn *insn, uint64_t v)
{
	if (insn->flags & INSN_MEM) {
		if (!x86_mem_write(cpu, insn, 2, v & 0xffff))
			return false;
	} else {
		gpr_write(cpu, insn->rm, insn->opsize, v);
	}
	return insn_done(cpu, insn);
}

static bool word_load(struct x86_cpu *cpu, const struct insn *insn, uint16_t *v)
{
	uint64_t raw = cpu->s.gpr[insn->rm];

	if ((insn->flags & INSN_MEM) && !x86_mem_read(cpu, insn, 2, &raw))
		return false;
	*v = (uint16_t)raw;
	return true;
}

static bool umip_allows(struct x86_cpu *cpu)
{
	return !((cpu->s.cr4 & X86_CR4_UMIP) && cpu->cpl > 0) || cpu_gp(cpu, 0);
}

static bool exec_mov_to_sreg(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t next = insn_next_rip(cpu, insn);
	uint16_t sel;

	if (insn->reg == X86_CS || insn->reg >= X86_NSEG)
		return cpu_ud(cpu);
	if (!word_load(cpu, insn, &sel) || !x86_load_segment(cpu, insn->reg, sel))
		return false;
	if (insn->reg == X86_SS)
		cpu->s.interrupt_shadow = 2;
	cpu->s.rip = next;
	return true;
}

static bool exec_load_far_pointer(struct x86_cpu *cpu, const struct insn *insn)
{
	static const struct { uint16_t op; uint8_t seg; } segs[] = {
		{ X86_OP_LES, X86_ES }, { X86_OP_LDS, X86_DS }, { X86_OP_LSS, X86_SS }, { X86_OP_LFS, X86_FS }, { X86_OP_LGS, X86_GS },
	};
	uint64_t lin, offset = 0, next = insn_next_rip(cpu, insn);
	uint8_t buf[10];
	unsigned i = 0;

	while (segs[i].op != insn->op)
		i++;
	if (!x86_linear(cpu, insn->seg, x86_ea(cpu, insn), insn->opsize + 2u, X86_READ, &lin) ||
	    !mmu_read_bytes(cpu, lin, buf, insn->opsize + 2u, (enum tlb_mode)cpu->tlb_mode))
		return false;
	__builtin_memcpy(&offset, buf, insn->opsize);
	if (!x86_load_segment(cpu, segs[i].seg, get_le16(buf + insn->opsize)))
		return false;
	gpr_write(cpu, insn->reg, insn->opsize, offset);
	cpu->s.rip = next;
	return true;
}

static bool exec_arpl(struct x86_cpu *cpu, const struct insn *insn)
{
	uint16_t dst, rpl = cpu->s.gpr[insn->reg] & 3;

	if (!cpu_protected(cpu))
		return cpu_ud(cpu);
	if (!word_load(cpu, insn, &dst))
		return false;
	if ((dst & 3) >= rpl) {
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_ZF;
		return insn_done(cpu, insn);
	}
	dst = (uint16_t)((dst & ~3u) | rpl);
	if (insn->flags & INSN_MEM) {
		if (!x86_mem_write(cpu, insn, 2, dst))
			return false;
	} else {
		gpr_write(cpu, insn->rm, 2, dst);
	}
	cpu->s.rflags |= X86_FLAG_ZF;
	return insn_done(cpu, insn);
}

/* Which system descriptor types LAR and LSL accept, a bit each. */
static unsigned inspectable_types(const struct x86_cpu *cpu, bool limit)
{
	unsigned types = 1u << X86_SYS_LDT | 1u << X86_SYS_TSS32 | 1u << X86_SYS_TSS32_BUSY;

	if (!limit)
		types |= 1u << X86_SYS_CALL32;
	if (!cpu_lma(cpu)) {
		types |= 1u << X86_SYS_TSS16 | 1u << X86_SYS_TSS16_BUSY;
		if (!limit)
			types |= 1u << X86_SYS_CALL16 | 1u << X86_SYS_TASK_GATE;
	}
	return types;
}

/* LAR, LSL, VERR, VERW: is the descriptor visible at this privilege, and of a kind that the instruction likes? */
static bool inspect_ok(const struct x86_cpu *cpu, unsigned op, const struct x86_desc *d)
{
	unsigned cpl = MAX(cpu->cpl, d->sel & 3u);

	if (!desc_is_conforming(d) && desc_dpl(d) < cpl)
		return false;
	switch (op) {
	case X86_OP_VERR: return !desc_is_system(d) && (!desc_is_code(d) || (d->attr & X86_SEG_READABLE));
	case X86_OP_VERW: return desc_is_writable_data(d);
	default: return !desc_is_system(d) || (inspectable_types(cpu, op == X86_OP_LSL) >> desc_type(d) & 1);
	}
}

static bool exec_inspect(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_desc d;
	uint16_t sel;
	bool found;

	if (!cpu_protected(cpu))
		return cpu_ud(cpu);
	if (!word_load(cpu, insn, &sel))
		return false;
	found = false;
	if (!sel_is_null(sel) && !x86_desc_look(cpu, sel, &d, &found))
		return false;
	if (!found || !inspect_ok(cpu, insn->op, &d)) {
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_ZF;
		return insn_done(cpu, insn);
	}
	cpu->s.rflags |= X86_FLAG_ZF;
	if (insn->op == X86_OP_LAR)
		gpr_write(cpu, insn->reg, insn->opsize, d.hi & 0x00ffff00);
	else if (insn->op == X86_OP_LSL)
		gpr_write(cpu, insn->reg, insn->opsize, x86_desc_segment(&d, 0).limit);
	return insn_done(cpu, insn);
}

static bool exec_table_load(struct x86_cpu *cpu, const struct insn *insn, struct x86_table *table)
{
	unsigned bytes = cpu->long_mode ? 10 : 6;
	uint8_t buf[10] = { 0 };
	uint64_t lin, base;

	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (!x86_linear(cpu, insn->seg, x86_ea(cpu, insn), bytes, X86_READ, &lin) ||
	    !mmu_read_bytes(cpu, lin, buf, bytes, (enum tlb_mode)cpu->tlb_mode))
		return false;
	base = get_le64(buf + 2);
	if (!cpu->long_mode)
		base &= insn->opsize == 2 ? 0xffffff : UINT32_MAX;
	if (!mmu_canonical(base))
		return cpu_gp(cpu, 0);
	*table = (struct x86_table){ .base = base, .limit = get_le16(buf) };
	return insn_done(cpu, insn);
}

static bool exec_table_store(struct x86_cpu *cpu, const struct insn *insn, const struct x86_table *table)
{
	unsigned bytes = cpu->long_mode ? 10 : 6;
	uint8_t buf[10];
	uint64_t lin;

	if (!umip_allows(cpu))
		return false;
	put_le16(buf, (uint16_t)table->limit);
	put_le64(buf + 2, table->base);
	if (!x86_linear(cpu, insn->seg, x86_ea(cpu, insn), bytes, X86_WRITE, &lin) ||
	    !mmu_write_bytes(cpu, lin, buf, bytes, (enum tlb_mode)cpu->tlb_mode))
		return false;
	return insn_done(cpu, insn);
}

/* Base of a system segment, 64 bits wide in long mode. */
static bool system_segment(struct x86_cpu *cpu, const struct x86_desc *d, struct x86_segment *out)
{
	uint64_t high = 0;

	*out = x86_desc_segment(d, d->sel);
	if (!cpu_lma(cpu))
		return true;
	if (!x86_desc_fetch_high(cpu, d, X86_EXC_GP, 0, &high))
		return false;
	out->base |= high;
	return mmu_canonical(out->base) || cpu_gp(cpu, sel_error(d->sel));
}

static bool exec_lldt(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_segment ldt;
	struct x86_desc d;
	uint16_t sel;

	if (!cpu_protected(cpu))
		return cpu_ud(cpu);
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (!word_load(cpu, insn, &sel))
		return false;
	if (sel_is_null(sel)) {
		cpu->s.ldtr = x86_null_segment(sel, 0);
		return insn_done(cpu, insn);
	}
	if (sel & 4)
		return cpu_gp(cpu, sel_error(sel));
	if (!x86_desc_fetch(cpu, sel, X86_EXC_GP, 0, &d))
		return false;
	if (!desc_is_system(&d) || desc_type(&d) != X86_SYS_LDT)
		return cpu_gp(cpu, sel_error(sel));
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel));
	if (!system_segment(cpu, &d, &ldt))
		return false;
	cpu->s.ldtr = ldt;
	return insn_done(cpu, insn);
}

static bool exec_ltr(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_segment tr;
	struct x86_desc d;
	uint16_t sel;

	if (!cpu_protected(cpu))
		return cpu_ud(cpu);
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (!word_load(cpu, insn, &sel))
		return false;
	if (sel_is_null(sel))
		return cpu_gp(cpu, 0);
	if (sel & 4)
		return cpu_gp(cpu, sel_error(sel));
	if (!x86_desc_fetch(cpu, sel, X86_EXC_GP, 0, &d))
		return false;
	if (!desc_is_system(&d) || !(desc_type(&d) == X86_SYS_TSS32 || (desc_type(&d) == X86_SYS_TSS16 && !cpu_lma(cpu))))
		return cpu_gp(cpu, sel_error(sel));
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel));
	if (!system_segment(cpu, &d, &tr) || !x86_desc_set_bits(cpu, &d, 2))
		return false;
	tr.attr |= 2; /* busy */
	cpu->s.tr = tr;
	return insn_done(cpu, insn);
}

static bool exec_store_system_sel(struct x86_cpu *cpu, const struct insn *insn, uint16_t sel)
{
	if (!cpu_protected(cpu))
		return cpu_ud(cpu);
	return umip_allows(cpu) && word_store(cpu, insn, sel);
}

bool exec_desc(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_MOV_FROM_SREG: return insn->reg < X86_NSEG ? word_store(cpu, insn, cpu->s.seg[insn->reg].sel) : cpu_ud(cpu);
	case X86_OP_MOV_TO_SREG: return exec_mov_to_sreg(cpu, insn);
	case X86_OP_LES:
	case X86_OP_LDS:
	case X86_OP_LFS:
	case X86_OP_LGS:
	case X86_OP_LSS: return exec_load_far_pointer(cpu, insn);
	case X86_OP_ARPL: return exec_arpl(cpu, insn);
	case X86_OP_LAR:
	case X86_OP_LSL:
	case X86_OP_VERR:
	case X86_OP_VERW: return exec_inspect(cpu, insn);
	case X86_OP_LGDT: return exec_table_load(cpu, insn, &cpu->s.gdtr);
	case X86_OP_LIDT: return exec_table_load(cpu, insn, &cpu->s.idtr);
	case X86_OP_SGDT: return exec_table_store(cpu, insn, &cpu->s.gdtr);
	case X86_OP_SIDT: return exec_table_store(cpu, insn, &cpu->s.idtr);
	case X86_OP_LLDT: return exec_lldt(cpu, insn);
	case X86_OP_LTR: return exec_ltr(cpu, insn);
	case X86_OP_SLDT: return exec_store_system_sel(cpu, insn, cpu->s.ldtr.sel);
	case X86_OP_STR: return exec_store_system_sel(cpu, insn, cpu->s.tr.sel);
	default: return umip_allows(cpu) && word_store(cpu, insn, cpu->s.cr0); /* SMSW */
	}
}
