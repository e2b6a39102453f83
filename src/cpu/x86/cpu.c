/* SPDX-License-Identifier: Apache-2.0 */
/* Reset, INIT, and what is derived from the architectural state. */
#include "cpu/x86/fpu.h"
#include "cpu/x86/mmu_internal.h"
#include "cpu/x86/system.h"

#define CR0_RESET (X86_CR0_CD | X86_CR0_NW | X86_CR0_ET)
#define PAT_RESET UINT64_C(0x0007040600070406)
#define MISC_ENABLE_RESET 0x1801u /* fast strings; no BTS, no PEBS */
#define MXCSR_RESET 0x1f80u
#define FCW_RESET 0x40u

static bool segment_is_flat(const struct x86_segment *s, unsigned wanted)
{
	return s->base == 0 && s->limit == UINT32_MAX && (s->attr & wanted) == wanted && !(s->attr & X86_SEG_UNUSABLE) &&
	       !(!(s->attr & X86_SEG_CODE) && (s->attr & X86_SEG_EXPAND_DOWN));
}

static bool segments_are_flat(const struct x86_cpu *cpu)
{
	const struct x86_segment *seg = cpu->s.seg;

	return cpu_protected(cpu) && segment_is_flat(&seg[X86_CS], X86_SEG_CODE | X86_SEG_READABLE) &&
	       segment_is_flat(&seg[X86_SS], X86_SEG_WRITABLE) && segment_is_flat(&seg[X86_DS], X86_SEG_WRITABLE) &&
	       segment_is_flat(&seg[X86_ES], X86_SEG_WRITABLE) && !(seg[X86_DS].attr & X86_SEG_CODE) && !(seg[X86_ES].attr & X86_SEG_CODE);
}

void cpu_update_mode(struct x86_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;
	uint16_t cs = s->seg[X86_CS].attr;

	cpu->long_mode = (s->msr.efer & X86_EFER_LMA) && (cs & X86_SEG_L);
	if (!(s->cr0 & X86_CR0_PE))
		cpu->cpl = 0;
	else if (s->rflags & X86_FLAG_VM)
		cpu->cpl = 3;
	else
		cpu->cpl = (s->seg[X86_SS].attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT;
	if (cpu->long_mode) {
		cpu->code_mode = X86_MODE_64;
		cpu->stack_size = 8;
		cpu->flat = true;
	} else {
		cpu->code_mode = cs & X86_SEG_DB ? X86_MODE_32 : X86_MODE_16;
		cpu->stack_size = s->seg[X86_SS].attr & X86_SEG_DB ? 4 : 2;
		cpu->flat = segments_are_flat(cpu);
	}
	cpu->align_check = cpu->cpl == 3 && (s->cr0 & X86_CR0_AM) && (s->rflags & X86_FLAG_AC);
	if (cpu->cpl == 3)
		cpu->tlb_mode = TLB_USER;
	else if ((s->rflags & X86_FLAG_AC) && (s->cr4 & X86_CR4_SMAP))
		cpu->tlb_mode = TLB_KERNEL_AC;
	else
		cpu->tlb_mode = TLB_KERNEL;
}

static uint64_t model_signature(const struct x86_cpu_model *model, unsigned index)
{
	struct cpuid_regs r;

	if (!model)
		return 0;
	cpu_model_cpuid(model, index, 0, X86_XCR0_X87, 1, 0, &r);
	return r.eax;
}

/* What RESET and INIT have in common. */
static void state_init(struct x86_state *s, uint64_t signature)
{
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = 0;
	s->gpr[X86_RDX] = signature;
	s->rip = 0xfff0;
	s->rflags = X86_FLAG_ONE;
	for (unsigned i = 0; i < X86_NSEG; i++)
		s->seg[i] = (struct x86_segment){ .attr = X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED, .limit = 0xffff };
	s->seg[X86_CS] = (struct x86_segment){
		.sel = 0xf000, .base = 0xffff0000, .limit = 0xffff,
		.attr = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_READABLE | X86_SEG_ACCESSED,
	};
	s->ldtr = (struct x86_segment){ .attr = X86_SEG_P | X86_SYS_LDT, .limit = 0xffff };
	s->tr = (struct x86_segment){ .attr = X86_SEG_P | X86_SYS_TSS32_BUSY, .limit = 0xffff };
	s->gdtr = s->idtr = (struct x86_table){ .limit = 0xffff };
	s->cr2 = s->cr3 = s->cr4 = 0;
	s->msr.efer = 0;
	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = s->pae_pdpte[i] = 0;
	s->dr6 = X86_DR6_FIXED;
	s->dr7 = X86_DR7_FIXED;
	s->interrupt_shadow = s->nmi_blocked = s->nmi_pending = s->event_valid = 0;
	s->msr.kvm_system_time = s->msr.kvm_steal_time = s->msr.kvm_pv_eoi = 0;
	s->activity = s->bsp ? X86_RUNNING : X86_WAIT_SIPI;
}

void x86_state_reset(struct x86_state *s, const struct x86_cpu_model *model, unsigned index, bool bsp)
{
	uint64_t tsc_offset = s->tsc_offset;

	*s = (struct x86_state){ .bsp = bsp, .tsc_offset = tsc_offset, .tsc_khz = model ? model->tsc_khz : 0 };
	state_init(s, model_signature(model, index));
	s->cr0 = CR0_RESET;
	s->xcr0 = X86_XCR0_X87;
	s->msr.pat = PAT_RESET;
	s->msr.misc_enable = MISC_ENABLE_RESET;
	s->msr.kvm_poll_control = 1;
	put_le16(s->xsave, FCW_RESET);
	s->xsave[4] = 0xff; /* the abridged tag word: eight registers hold +0 */
	put_le32(s->xsave + 24, MXCSR_RESET);
	s->xsave[512] = X86_XCR0_X87 | X86_XCR0_SSE;
}

void cpu_reset(struct x86_cpu *cpu, bool bsp)
{
	x86_state_reset(&cpu->s, cpu->model, cpu->index, bsp);
	cpu->a20_mask = UINT64_MAX;
	cpu_state_loaded(cpu);
}

void cpu_init_signal(struct x86_cpu *cpu)
{
	cpu->s.cr0 = (cpu->s.cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	state_init(&cpu->s, model_signature(cpu->model, cpu->index));
	cpu->debug_hits = 0;
	mmu_flush_all(cpu);
	cpu_update_mode(cpu);
}

void cpu_state_loaded(struct x86_cpu *cpu)
{
	cpu->s.rflags |= X86_FLAG_ONE;
	cpu_fp_loaded(cpu);
	cpu->debug_hits = 0;
	x86_tsc_scale_update(cpu);
	cpu_update_mode(cpu);
	mmu_tlb_reset(cpu);
}
