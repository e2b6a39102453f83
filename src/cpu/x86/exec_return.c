/* SPDX-License-Identifier: Apache-2.0 */
/* RETF and IRET: real mode, same and outer privilege, virtual-8086 mode, nested tasks, 64-bit frames. */
#include "cpu/x86/system.h"

#define FLAGS_IRET16 (X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT)
#define FLAGS_IRET32 (FLAGS_IRET16 | X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_ID)

/* What a return pops, checked but not loaded. */
struct return_frame {
	struct x86_segment cs, ss;
	uint64_t rip, sp, flags;
	bool new_stack; /* ss:sp replace the current ones */
};

static uint64_t iret_writable(const struct x86_cpu *cpu, unsigned size)
{
	uint64_t mask = size == 2 ? FLAGS_IRET16 : FLAGS_IRET32;

	if (cpu->cpl == 0)
		mask |= X86_FLAG_IOPL | (size == 2 ? 0u : X86_FLAG_VIF | X86_FLAG_VIP);
	if (cpu->cpl <= cpu_iopl(cpu))
		mask |= X86_FLAG_IF;
	return mask;
}

static void flags_load(struct x86_cpu *cpu, uint64_t value, uint64_t mask)
{
	cpu->s.rflags = (cpu->s.rflags & ~mask) | (value & mask) | X86_FLAG_ONE;
}

static bool return_real(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_segment cs = cpu->s.seg[X86_CS];
	uint64_t rip, sel, flags = 0;
	struct x86_stack st;
	bool iret = insn->op == X86_OP_IRET;

	x86_stack_current(cpu, &st);
	if (!x86_stack_pop(cpu, &st, insn->opsize, &rip) || !x86_stack_pop(cpu, &st, insn->opsize, &sel) ||
	    (iret && !x86_stack_pop(cpu, &st, insn->opsize, &flags)))
		return false;
	cs.sel = (uint16_t)sel;
	cs.base = (sel & 0xffff) << 4;
	if (!x86_rip_allowed(cpu, &cs, rip))
		return false;
	/* In virtual-8086 mode CPL is 3 and IOPL 3 by now: IF may change, IOPL may not. */
	if (iret)
		flags_load(cpu, flags, iret_writable(cpu, insn->opsize) & ~(uint64_t)(X86_FLAG_VIF | X86_FLAG_VIP));
	cpu->s.gpr[X86_RSP] = st.sp;
	if (!iret) {
		uint64_t mask = st.sp_size == 2 ? 0xffff : UINT32_MAX;

		cpu->s.gpr[X86_RSP] = (st.sp & ~mask) | ((st.sp + insn->imm) & mask);
	}
	cpu->s.seg[X86_CS] = cs;
	cpu->s.rip = rip;
	cpu_update_mode(cpu);
	return true;
}

/* The code segment to return to. Its RPL is the new privilege. */
static bool return_code(struct x86_cpu *cpu, uint16_t sel, uint64_t rip, struct x86_segment *cs)
{
	unsigned rpl = sel & 3;
	struct x86_desc d;

	if (sel_is_null(sel))
		return cpu_gp(cpu, 0);
	if (!x86_desc_fetch(cpu, sel, X86_EXC_GP, 0, &d))
		return false;
	if (!desc_is_code(&d) || rpl < cpu->cpl || x86_code_malformed(cpu, &d) ||
	    (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		return cpu_gp(cpu, sel_error(sel));
	if (!desc_present(&d))
		return cpu_fault(cpu, X86_EXC_NP, true, sel_error(sel));
	if (!x86_desc_set_bits(cpu, &d, X86_SEG_ACCESSED))
		return false;
	*cs = x86_desc_segment(&d, sel);
	return x86_rip_allowed(cpu, cs, rip);
}

static bool return_stack(struct x86_cpu *cpu, uint16_t sel, const struct x86_segment *cs, struct x86_segment *ss)
{
	unsigned cpl = cs->sel & 3;

	if (sel_is_null(sel) && cpu_lma(cpu) && (cs->attr & X86_SEG_L) && cpl != 3) {
		*ss = x86_null_segment(sel, cpl);
		return true;
	}
	return x86_stack_segment(cpu, sel, cpl, X86_EXC_GP, 0, ss);
}

/* Data segments that the outer level may not use become null. */
static void drop_inner_segments(struct x86_cpu *cpu)
{
	for (unsigned i = 0; i < X86_NSEG; i++) {
		struct x86_segment *s = &cpu->s.seg[i];
		bool conforming = (s->attr & (X86_SEG_CODE | X86_SEG_CONFORMING)) == (X86_SEG_CODE | X86_SEG_CONFORMING);

		if (i == X86_CS || i == X86_SS || (s->attr & X86_SEG_UNUSABLE) || conforming)
			continue;
		if ((s->attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT < cpu->cpl)
			*s = x86_null_segment(0, 0);
	}
}

static void return_commit(struct x86_cpu *cpu, const struct return_frame *f)
{
	unsigned old_cpl = cpu->cpl;

	cpu->s.seg[X86_CS] = f->cs;
	cpu->s.rip = f->rip;
	if (f->new_stack)
		cpu->s.seg[X86_SS] = f->ss;
	cpu_update_mode(cpu);
	/* With a 16-bit stack segment only SP is loaded, as on hardware. */
	if (f->new_stack && cpu->stack_size == 2)
		cpu->s.gpr[X86_RSP] = (cpu->s.gpr[X86_RSP] & ~UINT64_C(0xffff)) | (f->sp & 0xffff);
	else
		cpu->s.gpr[X86_RSP] = cpu->stack_size == 4 ? (uint32_t)f->sp : f->sp;
	if (cpu->cpl > old_cpl)
		drop_inner_segments(cpu);
}

static uint64_t sp_add(uint64_t sp, unsigned sp_size, uint64_t n)
{
	uint64_t mask = sp_size == 8 ? UINT64_MAX : sp_size == 4 ? UINT32_MAX : 0xffff;

	return (sp & ~mask) | ((sp + n) & mask);
}

static bool exec_retf(struct x86_cpu *cpu, const struct insn *insn)
{
	struct return_frame f = { 0 };
	struct x86_stack st;
	uint64_t sel;

	x86_stack_current(cpu, &st);
	if (!x86_stack_pop(cpu, &st, insn->opsize, &f.rip) || !x86_stack_pop(cpu, &st, insn->opsize, &sel) ||
	    !return_code(cpu, (uint16_t)sel, f.rip, &f.cs))
		return false;
	st.sp = sp_add(st.sp, st.sp_size, insn->imm);
	f.sp = st.sp;
	if ((f.cs.sel & 3) != cpu->cpl) {
		f.new_stack = true;
		if (!x86_stack_pop(cpu, &st, insn->opsize, &f.sp) || !x86_stack_pop(cpu, &st, insn->opsize, &sel) ||
		    !return_stack(cpu, (uint16_t)sel, &f.cs, &f.ss))
			return false;
		f.sp = sp_add(f.sp, f.cs.attr & X86_SEG_L ? 8 : f.ss.attr & X86_SEG_DB ? 4 : 2, insn->imm);
	}
	return_commit(cpu, &f);
	return true;
}

/* From a 32-bit ring 0 into virtual-8086 mode: ESP, SS, ES, DS, FS, GS follow EFLAGS. */
static bool iret_to_v86(struct x86_cpu *cpu, struct x86_stack *st, uint64_t rip, uint64_t cs, uint64_t flags)
{
	static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	uint64_t sp, ss, sel[ARRAY_LEN(order)];

	if (!x86_stack_pop(cpu, st, 4, &sp) || !x86_stack_pop(cpu, st, 4, &ss))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		if (!x86_stack_pop(cpu, st, 4, &sel[i]))
			return false;
	if ((rip & 0xffff) != rip)
		return cpu_gp(cpu, 0);
	flags_load(cpu, flags, iret_writable(cpu, 4) | X86_FLAG_VM);
	cpu->s.seg[X86_CS] = x86_v86_segment((uint16_t)cs);
	cpu->s.seg[X86_SS] = x86_v86_segment((uint16_t)ss);
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		cpu->s.seg[order[i]] = x86_v86_segment((uint16_t)sel[i]);
	cpu->s.rip = rip;
	cpu->s.gpr[X86_RSP] = (uint32_t)sp;
	cpu_update_mode(cpu);
	return true;
}

static bool iret_task(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t link;

	if (cpu_lma(cpu))
		return cpu_gp(cpu, 0);
	if (!mmu_read(cpu, cpu->s.tr.base, 2, TLB_KERNEL, &link))
		return false;
	return x86_task_switch(cpu, (uint16_t)link, X86_TASK_IRET, insn_next_rip(cpu, insn), 0, false, 0);
}

static bool iret_protected(struct x86_cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->opsize;
	struct return_frame f = { 0 };
	struct x86_stack st;
	uint64_t sel, flags_mask;

	if (cpu->s.rflags & X86_FLAG_NT)
		return iret_task(cpu, insn);
	x86_stack_current(cpu, &st);
	if (!x86_stack_pop(cpu, &st, size, &f.rip) || !x86_stack_pop(cpu, &st, size, &sel) || !x86_stack_pop(cpu, &st, size, &f.flags))
		return false;
	if (size == 4 && (f.flags & X86_FLAG_VM) && cpu->cpl == 0 && !cpu_lma(cpu))
		return iret_to_v86(cpu, &st, f.rip, sel, f.flags);
	if (!return_code(cpu, (uint16_t)sel, f.rip, &f.cs))
		return false;
	f.sp = st.sp;
	if (cpu->long_mode || (f.cs.sel & 3) != cpu->cpl) {
		f.new_stack = true;
		if (!x86_stack_pop(cpu, &st, size, &f.sp) || !x86_stack_pop(cpu, &st, size, &sel) ||
		    !return_stack(cpu, (uint16_t)sel, &f.cs, &f.ss))
			return false;
	}
	flags_mask = iret_writable(cpu, size); /* by the old privilege */
	flags_load(cpu, f.flags, flags_mask);
	return_commit(cpu, &f);
	return true;
}

bool exec_return(struct x86_cpu *cpu, const struct insn *insn)
{
	if (insn->op == X86_OP_RETF)
		return cpu_protected(cpu) ? exec_retf(cpu, insn) : return_real(cpu, insn);
	if (cpu_v86(cpu) && cpu_iopl(cpu) < 3)
		return cpu_gp(cpu, 0);
	/* NMIs are open again even if the IRET faults. */
	cpu->s.nmi_blocked = 0;
	return cpu_protected(cpu) ? iret_protected(cpu, insn) : return_real(cpu, insn);
}
