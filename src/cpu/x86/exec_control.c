/* SPDX-License-Identifier: Apache-2.0 */
/* Control and debug registers, XCR0, MSR instructions, TLB maintenance. */
#include "cpu/x86/debug.h"
#include "cpu/x86/system.h"

#define CR0_DEFINED \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define CR4_FLUSHING (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)
#define CR3_NOFLUSH (UINT64_C(1) << 63)
#define PHYS_RESERVED (UINT64_C(0xffffff) << 40)
#define PDPTE_RESERVED (PHYS_RESERVED | UINT64_C(0x1e6))

#define DR6_WRITABLE UINT64_C(0xe00f)
#define DR7_WRITABLE UINT64_C(0xffff23ff)

bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3)
{
	uint64_t pdpte[4];

	if (guest_read(cpu->mem, gpa(cr3 & 0xffffffe0), pdpte, sizeof(pdpte)) != LODGE_OK)
		return cpu_gp(cpu, 0);
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & PDPTE_RESERVED))
			return cpu_gp(cpu, 0);
	for (unsigned i = 0; i < 4; i++)
		cpu->s.pae_pdpte[i] = pdpte[i];
	return true;
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & X86_EFER_LME);
}

static bool cr0_valid(const struct x86_cpu *cpu, uint64_t value)
{
	const struct x86_state *s = &cpu->s;
	bool enables_paging = (value & X86_CR0_PG) && !(s->cr0 & X86_CR0_PG);

	if (value >> 32)
		return false;
	if ((value & X86_CR0_NW) && !(value & X86_CR0_CD))
		return false;
	if ((value & X86_CR0_PG) && !(value & X86_CR0_PE))
		return false;
	if (enables_paging && (s->msr.efer & X86_EFER_LME) && (!(s->cr4 & X86_CR4_PAE) || (s->seg[X86_CS].attr & X86_SEG_L)))
		return false;
	return (value & X86_CR0_PG) || !(cpu->long_mode || (s->cr4 & X86_CR4_PCIDE));
}

bool x86_write_cr0(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->s;
	uint64_t changed;

	if (!cr0_valid(cpu, value))
		return cpu_gp(cpu, 0);
	value = (value & CR0_DEFINED) | X86_CR0_ET;
	changed = value ^ s->cr0;
	if ((changed & X86_CR0_PG) && pae_paging(value, s->cr4, s->msr.efer) && !x86_load_pdptes(cpu, s->cr3))
		return false;
	s->cr0 = value;
	if (changed & X86_CR0_PG) {
		if ((value & X86_CR0_PG) && (s->msr.efer & X86_EFER_LME))
			s->msr.efer |= X86_EFER_LMA;
		else
			s->msr.efer &= ~(uint64_t)X86_EFER_LMA;
	}
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		mmu_flush_all(cpu);
	cpu_update_mode(cpu);
	return true;
}

static bool write_cr3(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->s;
	uint64_t cr3 = value;

	if (cpu_lma(cpu)) {
		if (s->cr4 & X86_CR4_PCIDE)
			cr3 &= ~CR3_NOFLUSH;
		if (cr3 & PHYS_RESERVED)
			return cpu_gp(cpu, 0);
	} else {
		value &= UINT32_MAX;
		if (pae_paging(s->cr0, s->cr4, s->msr.efer) && !x86_load_pdptes(cpu, value))
			return false;
	}
	mmu_load_cr3(cpu, value);
	return true;
}

static uint64_t cr4_reserved(const struct x86_cpu *cpu)
{
	return cpu->model ? cpu->model->cr4_reserved : ~UINT64_C(0x370fff);
}

static bool write_cr4(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->s;
	uint64_t changed = value ^ s->cr4;

	if (value & cr4_reserved(cpu))
		return cpu_gp(cpu, 0);
	if (cpu_lma(cpu) && !(value & X86_CR4_PAE))
		return cpu_gp(cpu, 0);
	if ((changed & value & X86_CR4_PCIDE) && (!cpu_lma(cpu) || (s->cr3 & 0xfff)))
		return cpu_gp(cpu, 0);
	if ((changed & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP)) && pae_paging(s->cr0, value, s->msr.efer) &&
	    !x86_load_pdptes(cpu, s->cr3))
		return false;
	s->cr4 = value;
	if (changed & CR4_FLUSHING)
		mmu_flush_all(cpu);
	cpu_update_mode(cpu);
	return true;
}

static unsigned cr_number(const struct insn *insn)
{
	return insn->reg == 0 && (insn->flags & INSN_LOCK) ? 8 : insn->reg;
}

static bool read_cr(struct x86_cpu *cpu, unsigned n, uint64_t *v)
{
	switch (n) {
	case 0: *v = cpu->s.cr0; return true;
	case 2: *v = cpu->s.cr2; return true;
	case 3: *v = cpu->s.cr3; return true;
	case 4: *v = cpu->s.cr4; return true;
	case 8:
		*v = 0;
		if (cpu->env && cpu->env->cr8_read) {
			cpu_leave(cpu);
			*v = cpu->env->cr8_read(cpu->env_ctx);
		}
		return true;
	default: return cpu_ud(cpu);
	}
}

static bool write_cr8(struct x86_cpu *cpu, uint64_t v)
{
	if (v & ~UINT64_C(0xf))
		return cpu_gp(cpu, 0);
	if (cpu->env && cpu->env->cr8_write) {
		cpu_leave(cpu);
		cpu->env->cr8_write(cpu->env_ctx, v);
		/* A lower priority may let something through. */
		if (cpu->env->intr_pending && cpu->env->intr_pending(cpu->env_ctx))
			cpu_request(cpu, CPU_REQ_INTR);
	}
	return true;
}

static bool write_cr(struct x86_cpu *cpu, unsigned n, uint64_t v)
{
	switch (n) {
	case 0: return x86_write_cr0(cpu, v);
	case 2: cpu->s.cr2 = v; return true;
	case 3: return write_cr3(cpu, v);
	case 4: return write_cr4(cpu, v);
	case 8: return write_cr8(cpu, v);
	default: return cpu_ud(cpu);
	}
}

static bool exec_mov_cr(struct x86_cpu *cpu, const struct insn *insn)
{
	unsigned n = cr_number(insn);
	uint64_t v;

	if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
		return cpu_ud(cpu);
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (insn->op == X86_OP_MOV_FROM_CR) {
		if (!read_cr(cpu, n, &v))
			return false;
		cpu->s.gpr[insn->rm] = cpu->long_mode ? v : (uint32_t)v;
	} else {
		uint64_t next = insn_next_rip(cpu, insn); /* before the mode may change */

		v = cpu->s.gpr[insn->rm];
		if (!write_cr(cpu, n, cpu->long_mode ? v : (uint32_t)v))
			return false;
		cpu->s.rip = next;
		return true;
	}
	return insn_done(cpu, insn);
}

static bool write_dr(struct x86_cpu *cpu, unsigned n, uint64_t v)
{
	struct x86_state *s = &cpu->s;

	if (n < 4) {
		s->dr[n] = v;
	} else if (v >> 32) {
		return cpu_gp(cpu, 0);
	} else if (n == 6) {
		s->dr6 = (v & DR6_WRITABLE) | X86_DR6_FIXED;
	} else {
		s->dr7 = (v & DR7_WRITABLE) | X86_DR7_FIXED;
	}
	/* Pages may become watched, or stop being. */
	if (n != 6 && (n == 7 || (s->dr7 & X86_DR7_ENABLES)))
		mmu_flush_all(cpu);
	return true;
}

static bool exec_mov_dr(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_state *s = &cpu->s;
	unsigned n = insn->reg;
	uint64_t v;

	if (n > 7 || ((n == 4 || n == 5) && (s->cr4 & X86_CR4_DE)))
		return cpu_ud(cpu);
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (s->dr7 & X86_DR7_GD) {
		s->dr6 |= X86_DR6_BD;
		return cpu_fault(cpu, X86_EXC_DB, false, 0);
	}
	if (n == 4 || n == 5)
		n += 2;
	if (insn->op == X86_OP_MOV_FROM_DR) {
		v = n < 4 ? s->dr[n] : n == 6 ? s->dr6 : s->dr7;
		s->gpr[insn->rm] = cpu->long_mode ? v : (uint32_t)v;
	} else {
		v = s->gpr[insn->rm];
		if (!write_dr(cpu, n, cpu->long_mode ? v : (uint32_t)v))
			return false;
	}
	return insn_done(cpu, insn);
}

static bool exec_msr(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t *gpr = cpu->s.gpr, next = insn_next_rip(cpu, insn), v;
	uint32_t msr = (uint32_t)gpr[X86_RCX];

	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (insn->op == X86_OP_RDMSR) {
		if (!x86_msr_read(cpu, msr, &v))
			return false;
		gpr[X86_RAX] = (uint32_t)v;
		gpr[X86_RDX] = v >> 32;
	} else if (!x86_msr_write(cpu, msr, (uint32_t)gpr[X86_RAX] | gpr[X86_RDX] << 32)) {
		return false;
	}
	cpu->s.rip = next;
	return true;
}

static bool exec_invlpg(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t lin = x86_ea(cpu, insn);

	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (!cpu->long_mode)
		lin = (uint32_t)(lin + cpu->s.seg[insn->seg].base);
	else if (insn->seg >= X86_FS)
		lin += cpu->s.seg[insn->seg].base;
	if (mmu_canonical(lin))
		mmu_flush_page(cpu, lin);
	return insn_done(cpu, insn);
}

enum invpcid_type { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_NONGLOBAL };

static bool exec_invpcid(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t type = cpu->s.gpr[insn->reg], lin, desc[2];
	uint64_t current = cpu->s.cr4 & X86_CR4_PCIDE ? cpu->s.cr3 & 0xfff : 0;

	if (!cpu->long_mode)
		type = (uint32_t)type;
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (!x86_linear(cpu, insn->seg, x86_ea(cpu, insn), 16, X86_READ, &lin) ||
	    !mmu_read_bytes(cpu, lin, desc, 16, (enum tlb_mode)cpu->tlb_mode))
		return false;
	if (type > INVPCID_ALL_NONGLOBAL || (desc[0] & ~UINT64_C(0xfff)))
		return cpu_gp(cpu, 0);
	if (type <= INVPCID_CONTEXT && desc[0] && !(cpu->s.cr4 & X86_CR4_PCIDE))
		return cpu_gp(cpu, 0);
	if (type == INVPCID_ADDRESS && !mmu_canonical(desc[1]))
		return cpu_gp(cpu, 0);
	/* Only the current PCID is ever cached. */
	if (type == INVPCID_ALL)
		mmu_flush_all(cpu);
	else if (type == INVPCID_ALL_NONGLOBAL || (type == INVPCID_CONTEXT && desc[0] == current))
		mmu_flush_nonglobal(cpu);
	else if (type == INVPCID_ADDRESS && desc[0] == current)
		mmu_flush_page(cpu, desc[1]);
	return insn_done(cpu, insn);
}

static bool exec_xgetbv(struct x86_cpu *cpu, const struct insn *insn)
{
	uint32_t which = (uint32_t)cpu->s.gpr[X86_RCX];
	uint64_t v = cpu->s.xcr0;

	if (!(cpu->s.cr4 & X86_CR4_OSXSAVE))
		return cpu_ud(cpu);
	if (which > 1 || (which == 1 && !cpu_has(cpu, X86_F_XSAVEC)))
		return cpu_gp(cpu, 0);
	if (which == 1) {
		cpu_leave(cpu);
		v &= get_le64(cpu->s.xsave + 512); /* components in use */
	}
	cpu->s.gpr[X86_RAX] = (uint32_t)v;
	cpu->s.gpr[X86_RDX] = v >> 32;
	return insn_done(cpu, insn);
}

static bool exec_xsetbv(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t v = (uint32_t)cpu->s.gpr[X86_RAX] | cpu->s.gpr[X86_RDX] << 32;
	uint64_t supported = cpu->model ? cpu->model->xcr0_supported : 7;

	if (!(cpu->s.cr4 & X86_CR4_OSXSAVE))
		return cpu_ud(cpu);
	if (cpu->cpl != 0 || (uint32_t)cpu->s.gpr[X86_RCX] != 0)
		return cpu_gp(cpu, 0);
	if ((v & ~supported) || !(v & X86_XCR0_X87) || ((v & X86_XCR0_AVX) && !(v & X86_XCR0_SSE)))
		return cpu_gp(cpu, 0);
	cpu_leave(cpu);
	cpu->s.xcr0 = v;
	cpu_update_mode(cpu);
	return insn_done(cpu, insn);
}

static bool exec_lmsw(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t v, cr0, next = insn_next_rip(cpu, insn);

	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	if (insn->flags & INSN_MEM) {
		if (!x86_mem_read(cpu, insn, 2, &v))
			return false;
	} else {
		v = cpu->s.gpr[insn->rm];
	}
	/* Loads PE, MP, EM, TS; cannot clear PE. */
	cr0 = (cpu->s.cr0 & ~UINT64_C(0xe)) | (v & 0xf);
	if (!x86_write_cr0(cpu, cr0))
		return false;
	cpu->s.rip = next;
	return true;
}

static bool exec_wrbase(struct x86_cpu *cpu, const struct insn *insn, unsigned seg)
{
	uint64_t v = cpu->s.gpr[insn->rm];

	if (insn->opsize != 8)
		v = (uint32_t)v;
	if (!mmu_canonical(v))
		return cpu_gp(cpu, 0);
	cpu->s.seg[seg].base = v;
	return insn_done(cpu, insn);
}

static bool exec_rdbase(struct x86_cpu *cpu, const struct insn *insn, unsigned seg)
{
	uint64_t v = cpu->s.seg[seg].base;

	cpu->s.gpr[insn->rm] = insn->opsize == 8 ? v : (uint32_t)v;
	return insn_done(cpu, insn);
}

static bool exec_fsgsbase(struct x86_cpu *cpu, const struct insn *insn)
{
	if (!cpu->long_mode || !(cpu->s.cr4 & X86_CR4_FSGSBASE))
		return cpu_ud(cpu);
	switch (insn->op) {
	case X86_OP_RDFSBASE: return exec_rdbase(cpu, insn, X86_FS);
	case X86_OP_RDGSBASE: return exec_rdbase(cpu, insn, X86_GS);
	case X86_OP_WRFSBASE: return exec_wrbase(cpu, insn, X86_FS);
	default: return exec_wrbase(cpu, insn, X86_GS);
	}
}

static bool exec_swapgs(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t base = cpu->s.seg[X86_GS].base;

	if (!cpu->long_mode)
		return cpu_ud(cpu);
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	cpu->s.seg[X86_GS].base = cpu->s.msr.kernel_gs_base;
	cpu->s.msr.kernel_gs_base = base;
	return insn_done(cpu, insn);
}

bool exec_control(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_MOV_FROM_CR:
	case X86_OP_MOV_TO_CR: return exec_mov_cr(cpu, insn);
	case X86_OP_MOV_FROM_DR:
	case X86_OP_MOV_TO_DR: return exec_mov_dr(cpu, insn);
	case X86_OP_RDMSR:
	case X86_OP_WRMSR: return exec_msr(cpu, insn);
	case X86_OP_INVLPG: return exec_invlpg(cpu, insn);
	case X86_OP_INVPCID: return exec_invpcid(cpu, insn);
	case X86_OP_XGETBV: return exec_xgetbv(cpu, insn);
	case X86_OP_XSETBV: return exec_xsetbv(cpu, insn);
	case X86_OP_LMSW: return exec_lmsw(cpu, insn);
	case X86_OP_SWAPGS: return exec_swapgs(cpu, insn);
	case X86_OP_CLTS:
		if (cpu->cpl != 0)
			return cpu_gp(cpu, 0);
		cpu->s.cr0 &= ~(uint64_t)X86_CR0_TS;
		cpu_update_mode(cpu);
		return insn_done(cpu, insn);
	case X86_OP_INVD:
	case X86_OP_WBINVD: return cpu->cpl == 0 ? insn_done(cpu, insn) : cpu_gp(cpu, 0);
	default: return exec_fsgsbase(cpu, insn);
	}
}
