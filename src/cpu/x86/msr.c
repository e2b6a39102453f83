/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers: those that are state, those that current kernels
 * probe and expect a plausible constant from, and #GP for the rest (which
 * kernels read with an exception handler in place).
 */
#include "cpu/x86/system.h"
#include "host/host_ops.h"

#define MSR_TSC 0x10u
#define MSR_PLATFORM_ID 0x17u
#define MSR_APIC_BASE 0x1bu
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_TSC_ADJUST 0x3bu
#define MSR_SPEC_CTRL 0x48u
#define MSR_PRED_CMD 0x49u
#define MSR_UCODE_WRITE 0x79u
#define MSR_UCODE_REV 0x8bu
#define MSR_PLATFORM_INFO 0xceu
#define MSR_MTRR_CAP 0xfeu
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_FLUSH_CMD 0x10bu
#define MSR_MISC_FEATURES_ENABLES 0x140u
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_MCG_CAP 0x179u
#define MSR_MCG_STATUS 0x17au
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_DEBUGCTL 0x1d9u
#define MSR_MTRR_PHYS_BASE0 0x200u
#define MSR_MTRR_FIX64K 0x250u
#define MSR_MTRR_FIX16K_80000 0x258u
#define MSR_MTRR_FIX16K_A0000 0x259u
#define MSR_MTRR_FIX4K_FIRST 0x268u
#define MSR_MTRR_FIX4K_LAST 0x26fu
#define MSR_PAT 0x277u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8ffu
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

#define MSR_K7_EVNTSEL0 0xc0010000u
#define MSR_K7_PERFCTR3 0xc0010007u
#define MSR_SYSCFG 0xc0010010u
#define MSR_HWCR 0xc0010015u
#define MSR_TOP_MEM 0xc001001au
#define MSR_TOP_MEM2 0xc001001du
#define MSR_NB_CFG 0xc001001fu
#define MSR_PATCH_LOADER 0xc0010020u
#define MSR_INT_PENDING 0xc0010055u
#define MSR_MMIO_CONF_BASE 0xc0010058u
#define MSR_PSTATE_LIMIT 0xc0010061u
#define MSR_PSTATE_STATUS 0xc0010063u
#define MSR_PSTATE_DEF0 0xc0010064u
#define MSR_VM_CR 0xc0010114u
#define MSR_VM_IGNNE 0xc0010115u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define MSR_VIRT_SPEC_CTRL 0xc001011fu
#define MSR_OSVW_LENGTH 0xc0010140u
#define MSR_OSVW_STATUS 0xc0010141u
#define MSR_F15H_PMC_FIRST 0xc0010200u
#define MSR_F15H_PMC_LAST 0xc001020bu
#define MSR_LS_CFG 0xc0011020u
#define MSR_DC_CFG 0xc0011022u
#define MSR_DE_CFG 0xc0011029u
#define MSR_BU_CFG2 0xc001102au
#define MSR_PERF_GLOBAL_FIRST 0xc0000300u
#define MSR_PERF_GLOBAL_LAST 0xc0000303u

#define MISC_ENABLE_WRITABLE UINT64_C(0x1448bd9)
#define HWCR_TSC_FREQ_SEL (UINT64_C(1) << 24)
#define DE_CFG_LFENCE_SERIALIZE UINT64_C(2)
#define VM_CR_SVMDIS UINT64_C(0x10)
#define MTRR_CAP_VALUE (UINT64_C(0x500) | X86_MTRR_VARIABLE) /* write combining, fixed ranges */
#define PHYS_RESERVED (UINT64_C(0xffffff) << 40)

static uint64_t host_tsc(struct x86_cpu *cpu)
{
	if (cpu->env && cpu->env->read_outside)
		return cpu->env->read_outside(cpu->env_ctx, X86_OUTSIDE_TSC);
	return __builtin_ia32_rdtsc();
}

static uint64_t tsc_unshifted(struct x86_cpu *cpu)
{
	uint64_t tsc = host_tsc(cpu);

	if (unlikely(cpu->tsc_mul))
		tsc = (uint64_t)((unsigned __int128)tsc * cpu->tsc_mul >> 48);
	return tsc;
}

uint64_t x86_tsc(struct x86_cpu *cpu)
{
	return tsc_unshifted(cpu) + cpu->s.tsc_offset;
}

void x86_tsc_scale_update(struct x86_cpu *cpu)
{
	uint64_t host = cpu->s.tsc_khz ? host_tsc_khz() : 0; /* measuring takes time */

	cpu->tsc_mul = 0;
	if (host && cpu->s.tsc_khz && host != cpu->s.tsc_khz)
		cpu->tsc_mul = (uint64_t)(((unsigned __int128)cpu->s.tsc_khz << 48) / host);
}

/* Storage behind the plain registers, NULL for others. */
static uint64_t *msr_storage(struct x86_cpu *cpu, uint32_t msr)
{
	struct x86_msrs *m = &cpu->s.msr;

	switch (msr) {
	case MSR_SYSENTER_CS: return &m->sysenter_cs;
	case MSR_SYSENTER_ESP: return &m->sysenter_esp;
	case MSR_SYSENTER_EIP: return &m->sysenter_eip;
	case MSR_STAR: return &m->star;
	case MSR_LSTAR: return &m->lstar;
	case MSR_CSTAR: return &m->cstar;
	case MSR_SFMASK: return &m->sfmask;
	case MSR_FS_BASE: return &cpu->s.seg[X86_FS].base;
	case MSR_GS_BASE: return &cpu->s.seg[X86_GS].base;
	case MSR_KERNEL_GS_BASE: return &m->kernel_gs_base;
	case MSR_TSC_AUX: return &m->tsc_aux;
	case MSR_PAT: return &m->pat;
	case MSR_DEBUGCTL: return &m->debugctl;
	case MSR_MTRR_DEF_TYPE: return &m->mtrr_def_type;
	case MSR_MTRR_FIX64K: return &m->mtrr_fixed[0];
	case MSR_MTRR_FIX16K_80000: return &m->mtrr_fixed[1];
	case MSR_MTRR_FIX16K_A0000: return &m->mtrr_fixed[2];
	case MSR_MCG_STATUS: return &m->mcg_status;
	case MSR_TSC_ADJUST: return &m->tsc_adjust;
	default: break;
	}
	if (msr >= MSR_MTRR_FIX4K_FIRST && msr <= MSR_MTRR_FIX4K_LAST)
		return &m->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K_FIRST];
	if (msr >= MSR_MTRR_PHYS_BASE0 && msr < MSR_MTRR_PHYS_BASE0 + 2 * X86_MTRR_VARIABLE) {
		unsigned n = (msr - MSR_MTRR_PHYS_BASE0) / 2;

		return msr & 1 ? &m->mtrr_mask[n] : &m->mtrr_base[n];
	}
	return NULL;
}

static bool msr_is_apic(uint32_t msr)
{
	return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/*
 * AMD registers that read as a constant (mostly zero: no feature, no event)
 * and swallow writes.
 */
static bool amd_constant(uint32_t msr, uint64_t *value)
{
	*value = 0;
	if ((msr >= MSR_K7_EVNTSEL0 && msr <= MSR_K7_PERFCTR3) || (msr >= MSR_F15H_PMC_FIRST && msr <= MSR_F15H_PMC_LAST) ||
	    (msr >= MSR_PERF_GLOBAL_FIRST && msr <= MSR_PERF_GLOBAL_LAST) || (msr >= MSR_PSTATE_LIMIT && msr <= MSR_PSTATE_DEF0 + 7))
		return true;
	switch (msr) {
	case MSR_HWCR: *value = HWCR_TSC_FREQ_SEL; return true;
	case MSR_DE_CFG: *value = DE_CFG_LFENCE_SERIALIZE; return true;
	case MSR_VM_CR: *value = VM_CR_SVMDIS; return true;
	case MSR_SYSCFG:
	case MSR_TOP_MEM:
	case MSR_TOP_MEM2:
	case MSR_NB_CFG:
	case MSR_PATCH_LOADER:
	case MSR_INT_PENDING:
	case MSR_MMIO_CONF_BASE:
	case MSR_VM_IGNNE:
	case MSR_VM_HSAVE_PA:
	case MSR_VIRT_SPEC_CTRL:
	case MSR_OSVW_LENGTH:
	case MSR_OSVW_STATUS:
	case MSR_LS_CFG:
	case MSR_DC_CFG:
	case MSR_BU_CFG2: return true;
	default: return false;
	}
}

static bool model_msr_read(struct x86_cpu *cpu, uint32_t msr, uint64_t *value)
{
	bool intel = cpu_is_intel(cpu);

	switch (msr) {
	case MSR_MTRR_CAP: *value = MTRR_CAP_VALUE; return true;
	case MSR_UCODE_REV: *value = intel ? UINT64_C(1) << 32 : 0x01000065; return true;
	case MSR_MCG_CAP: *value = 0; return true; /* no banks */
	case MSR_SPEC_CTRL: *value = cpu->s.msr.spec_ctrl; return cpu->model && cpu->model->spec_ctrl ? true : cpu_gp(cpu, 0);
	default: break;
	}
	if (!intel)
		return amd_constant(msr, value) || cpu_gp(cpu, 0);
	switch (msr) {
	case MSR_PLATFORM_ID:
	case MSR_PLATFORM_INFO:
	case MSR_MISC_FEATURES_ENABLES: *value = 0; return true;
	case MSR_FEATURE_CONTROL: *value = 1; return true; /* locked, VMX off */
	case MSR_MISC_ENABLE: *value = cpu->s.msr.misc_enable; return true;
	case MSR_ARCH_CAPABILITIES: *value = cpu->model->arch_capabilities; return *value ? true : cpu_gp(cpu, 0);
	default: return cpu_gp(cpu, 0);
	}
}

bool x86_msr_read(struct x86_cpu *cpu, uint32_t msr, uint64_t *value)
{
	const uint64_t *storage;
	bool known;

	if (msr_is_apic(msr)) {
		*value = 0;
		if (!cpu->env)
			return true;
		cpu_leave(cpu);
		return cpu->env->apic_msr_read(cpu->env_ctx, msr, value) || cpu_gp(cpu, 0);
	}
	if (msr == MSR_TSC) {
		*value = x86_tsc(cpu);
		return true;
	}
	if (msr == MSR_EFER) {
		*value = cpu->s.msr.efer;
		return true;
	}
	storage = msr_storage(cpu, msr);
	if (storage) {
		*value = *storage;
		return true;
	}
	if (!x86_pv_msr_read(cpu, msr, value, &known) || known)
		return known;
	return model_msr_read(cpu, msr, value);
}

static bool write_efer(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->s;
	uint64_t reserved = cpu->model ? cpu->model->efer_reserved : ~UINT64_C(0x204d01);
	uint64_t changed = value ^ s->msr.efer;

	if (value & reserved)
		return cpu_gp(cpu, 0);
	if ((changed & X86_EFER_LME) && (s->cr0 & X86_CR0_PG))
		return cpu_gp(cpu, 0);
	/* LMA is read-only: software writes back what it read. */
	s->msr.efer = (value & ~(uint64_t)X86_EFER_LMA) | (s->msr.efer & X86_EFER_LMA);
	if (changed & X86_EFER_NXE)
		mmu_flush_all(cpu);
	cpu_update_mode(cpu);
	return true;
}

static bool write_tsc(struct x86_cpu *cpu, uint64_t value)
{
	uint64_t offset = value - tsc_unshifted(cpu);

	cpu->s.msr.tsc_adjust += offset - cpu->s.tsc_offset;
	cpu->s.tsc_offset = offset;
	return true;
}

static bool memory_type_valid(uint64_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool pat_valid(uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t type = value >> (8 * i) & 0xff;

		if (!memory_type_valid(type) && type != 7)
			return false;
	}
	return true;
}

static bool mtrr_valid(uint32_t msr, uint64_t value)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return !(value & ~UINT64_C(0xcff)) && memory_type_valid(value & 0xff);
	if (msr >= MSR_MTRR_PHYS_BASE0 && msr < MSR_MTRR_PHYS_BASE0 + 2 * X86_MTRR_VARIABLE) {
		if (value & PHYS_RESERVED)
			return false;
		return msr & 1 ? !(value & 0x7ff) : !(value & 0xf00) && memory_type_valid(value & 0xff);
	}
	for (unsigned i = 0; i < 8; i++)
		if (!memory_type_valid(value >> (8 * i) & 0xff))
			return false;
	return true;
}

/* May @value go into the storage of @msr? */
static bool storage_accepts(const struct x86_cpu *cpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE: return mmu_canonical(value);
	case MSR_TSC_AUX: return !cpu_is_intel(cpu) || !(value >> 32);
	case MSR_PAT: return pat_valid(value);
	case MSR_DEBUGCTL: return !(value & ~UINT64_C(3)); /* LBR and BTF are accepted and do nothing */
	case MSR_SYSENTER_CS:
	case MSR_STAR:
	case MSR_SFMASK:
	case MSR_TSC_ADJUST: return true;
	case MSR_MCG_STATUS: return value == 0;
	default: return mtrr_valid(msr, value);
	}
}

static uint64_t stored_form(const struct x86_cpu *cpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_SFMASK: return value & UINT32_MAX;
	case MSR_SYSENTER_CS: return value & (cpu_is_intel(cpu) ? UINT64_MAX : 0xffff);
	case MSR_TSC_AUX: return value & UINT32_MAX;
	default: return value;
	}
}

static bool write_storage(struct x86_cpu *cpu, uint32_t msr, uint64_t *storage, uint64_t value)
{
	if (!storage_accepts(cpu, msr, value))
		return cpu_gp(cpu, 0);
	if (msr == MSR_TSC_ADJUST)
		cpu->s.tsc_offset += value - *storage;
	*storage = stored_form(cpu, msr, value);
	return true;
}

static bool model_msr_write(struct x86_cpu *cpu, uint32_t msr, uint64_t value)
{
	bool intel = cpu_is_intel(cpu);
	uint64_t ignored;

	switch (msr) {
	case MSR_UCODE_REV:
	case MSR_UCODE_WRITE: return true;
	case MSR_SPEC_CTRL:
		if (!cpu->model || (value & ~cpu->model->spec_ctrl))
			return cpu_gp(cpu, 0);
		cpu->s.msr.spec_ctrl = value;
		return true;
	case MSR_PRED_CMD:
		if (!cpu->model || !cpu->model->spec_ctrl || (value & ~UINT64_C(1)))
			return cpu_gp(cpu, 0);
		return true;
	default: break;
	}
	if (!intel)
		return amd_constant(msr, &ignored) || cpu_gp(cpu, 0);
	switch (msr) {
	case MSR_MISC_FEATURES_ENABLES: return value == 0 || cpu_gp(cpu, 0);
	case MSR_MISC_ENABLE:
		cpu->s.msr.misc_enable = (cpu->s.msr.misc_enable & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
		return true;
	default: return cpu_gp(cpu, 0);
	}
}

bool x86_msr_write(struct x86_cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t *storage;
	bool known;

	if (msr_is_apic(msr)) {
		if (!cpu->env)
			return true;
		cpu_leave(cpu);
		if (!cpu->env->apic_msr_write(cpu->env_ctx, msr, value))
			return cpu_gp(cpu, 0);
		/* TPR, self-IPI or a deadline in the past may have made something deliverable. */
		if (cpu->env->intr_pending && cpu->env->intr_pending(cpu->env_ctx))
			cpu_request(cpu, CPU_REQ_INTR);
		return true;
	}
	if (msr == MSR_TSC)
		return write_tsc(cpu, value);
	if (msr == MSR_EFER)
		return write_efer(cpu, value);
	storage = msr_storage(cpu, msr);
	if (storage)
		return write_storage(cpu, msr, storage, value);
	if (!x86_pv_msr_write(cpu, msr, value, &known))
		return false;
	return known || model_msr_write(cpu, msr, value);
}
