/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's x87, SSE and AVX state between s.xsave and the host's registers,
 * and who may use it.
 *
 * The host's registers remember where the last x87 instruction was (FIP, FDP,
 * FOP). For the guest's instructions that is a host address, which must not be
 * seen by it: after every save the pointers are replaced by what is known of
 * the guest's, else by zero.
 */
#include "cpu/x86/fpu.h"
#include "cpu/x86/system.h"

/* All three; a bit that the host's XCR0 lacks is ignored. */
#define COMPONENTS (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX)

__thread struct x86_cpu *cpu_current;

static void image_clear_component(uint8_t *image, uint64_t component)
{
	switch (component) {
	case X86_XCR0_X87:
		__builtin_memset(image, 0, XSAVE_MXCSR);
		__builtin_memset(image + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
		put_le16(image + XSAVE_FCW, FP_FCW_INIT);
		break;
	case X86_XCR0_SSE:
		__builtin_memset(image + XSAVE_XMM, 0, XSAVE_LEGACY_END - XSAVE_XMM);
		break;
	default:
		__builtin_memset(image + XSAVE_YMM, 0, X86_XSAVE_BYTES - XSAVE_YMM);
		break;
	}
}

/* XRSTOR faults on what is reserved, and a snapshot may hold anything. */
static void image_make_loadable(struct x86_cpu *cpu)
{
	uint8_t *image = cpu->s.xsave;
	uint64_t known = cpu->model ? cpu->model->xcr0_supported : COMPONENTS;

	put_le64(image + XSAVE_BV, get_le64(image + XSAVE_BV) & known & COMPONENTS);
	for (unsigned i = XSAVE_COMP_BV; i < XSAVE_HEADER_END; i += 8)
		put_le64(image + i, 0);
	put_le32(image + XSAVE_MXCSR, get_le32(image + XSAVE_MXCSR) & FP_MXCSR_MASK);
}

static void host_registers_default(const struct x86_cpu *cpu)
{
	static const uint32_t mxcsr = FP_MXCSR_INIT;

	/* FNINIT also takes host addresses out of FIP and FDP, which older hosts' XRSTOR would leave there. */
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
	if (cpu->thunks->host_avx)
		__asm__ volatile("vzeroupper");
}

void cpu_fp_loaded(struct x86_cpu *cpu)
{
	uint64_t bv;

	if (cpu->fpu_live)
		host_registers_default(cpu);
	cpu->fpu_live = false;
	image_make_loadable(cpu);
	bv = get_le64(cpu->s.xsave + XSAVE_BV);
	for (uint64_t component = 1; component <= X86_XCR0_AVX; component <<= 1)
		if (!(bv & component))
			image_clear_component(cpu->s.xsave, component);
}

static struct fp_pointers image_pointers(const uint8_t *image)
{
	return (struct fp_pointers){
		.fip = get_le64(image + XSAVE_FIP), .fdp = get_le64(image + XSAVE_FDP), .fop = get_le16(image + XSAVE_FOP),
	};
}

static void image_set_pointers(uint8_t *image, const struct fp_pointers *p)
{
	put_le64(image + XSAVE_FIP, p->fip);
	put_le64(image + XSAVE_FDP, p->fdp);
	put_le16(image + XSAVE_FOP, p->fop);
}

/* Replace what the host's registers say by what the guest may see. */
static void image_hide_host(struct x86_cpu *cpu)
{
	const struct fp_thunks *t = cpu->thunks;
	struct fp_pointers host = image_pointers(cpu->s.xsave), p = { 0 };

	if (fp_is_thunk(t, host.fip))
		p = t->last;
	else if (host.fip == t->given.fip && host.fdp == t->given.fdp)
		p = t->given;
	else if (cpu->guest_rip_of)
		p.fip = cpu->guest_rip_of(cpu, host.fip);
	image_set_pointers(cpu->s.xsave, &p);
}

void cpu_fpu_enter(struct x86_cpu *cpu)
{
	uint8_t *image = cpu->s.xsave;

	if (likely(cpu->fpu_live) || unlikely(!cpu->thunks))
		return;
	image_make_loadable(cpu);
	cpu->thunks->given = image_pointers(image);
	__asm__ volatile("xrstor64 (%0)" : : "r"(image), "a"(COMPONENTS), "d"(0) : "memory");
	cpu->fpu_live = true;
}

void cpu_leave(struct x86_cpu *cpu)
{
	if (likely(!cpu->fpu_live))
		return;
	__asm__ volatile("xsave64 (%0)" : : "r"(cpu->s.xsave), "a"(COMPONENTS), "d"(0) : "memory");
	host_registers_default(cpu);
	cpu->fpu_live = false;
	image_hide_host(cpu);
}

/* ---- who may ---- */

bool fp_gate_x87(struct x86_cpu *cpu)
{
	return likely(!(cpu->s.cr0 & (X86_CR0_EM | X86_CR0_TS))) || cpu_nm(cpu);
}

bool fp_gate_mmx(struct x86_cpu *cpu)
{
	if (unlikely(cpu->s.cr0 & X86_CR0_EM))
		return cpu_ud(cpu);
	return likely(!(cpu->s.cr0 & X86_CR0_TS)) || cpu_nm(cpu);
}

bool fp_gate_sse(struct x86_cpu *cpu)
{
	if (unlikely((cpu->s.cr0 & X86_CR0_EM) || !(cpu->s.cr4 & X86_CR4_OSFXSR)))
		return cpu_ud(cpu);
	return likely(!(cpu->s.cr0 & X86_CR0_TS)) || cpu_nm(cpu);
}

bool fp_gate_xsave(struct x86_cpu *cpu)
{
	if (unlikely(!(cpu->s.cr4 & X86_CR4_OSXSAVE)))
		return cpu_ud(cpu);
	return likely(!(cpu->s.cr0 & X86_CR0_TS)) || cpu_nm(cpu);
}

bool fp_gate_avx(struct x86_cpu *cpu)
{
	uint64_t needed = X86_XCR0_SSE | X86_XCR0_AVX;

	if (unlikely((cpu->s.xcr0 & needed) != needed))
		return cpu_ud(cpu);
	return fp_gate_xsave(cpu);
}

bool fp_x87_pending(struct x86_cpu *cpu)
{
	uint16_t fsw;

	cpu_fpu_enter(cpu);
	if (!cpu->fpu_live)
		return false;
	__asm__ volatile("fnstsw %0" : "=a"(fsw));
	return fsw & FP_FSW_ES;
}

/* ---- life ---- */

static void host_features(bool *xsave, bool *avx)
{
	uint32_t a, b, c, d, xcr0_lo = 0, xcr0_hi;

	__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
	*xsave = c >> 27 & 1;
	if (*xsave)
		__asm__("xgetbv" : "=a"(xcr0_lo), "=d"(xcr0_hi) : "c"(0));
	*avx = (c >> 28 & 1) && (xcr0_lo & X86_XCR0_AVX);
}

static void thunk_area_init(struct fp_thunks *t)
{
	static const uint8_t fault_return[] = { 0xb8, 1, 0, 0, 0, 0xc3 }; /* mov eax, 1; ret */

	__builtin_memcpy(t->area.rw, fault_return, sizeof(fault_return));
	t->used = 1;
}

enum lodge_err cpu_fp_create(struct x86_cpu *cpu, struct lodge_error *err)
{
	struct fp_thunks *t;
	enum lodge_err e;
	bool xsave, avx;

	host_features(&xsave, &avx);
	if (!xsave)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "the host's CPU or kernel lacks XSAVE");
	t = host_alloc(sizeof(*t), 64);
	if (!t)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory for the vcpu's floating-point unit");
	e = host_code_alloc_dual(&t->area, (size_t)FP_THUNK_SLOTS * FP_THUNK_BYTES, err);
	if (e) {
		host_free(t);
		return e;
	}
	t->host_avx = avx;
	thunk_area_init(t);
	cpu->thunks = t;
	return LODGE_OK;
}

void cpu_fp_destroy(struct x86_cpu *cpu)
{
	if (!cpu->thunks)
		return;
	cpu_leave(cpu);
	host_code_free(&cpu->thunks->area);
	host_free(cpu->thunks);
	cpu->thunks = NULL;
}

bool cpu_fp_fault(struct host_fault *f, struct x86_cpu *cpu)
{
	struct fp_thunks *t = cpu ? cpu->thunks : NULL;

	if (!t || !fp_is_thunk(t, *f->rip))
		return false;
	t->fault_kind = (uint8_t)f->kind;
	*f->rip = (uint64_t)(uintptr_t)t->area.rx;
	return true;
}

static bool fault_hook(struct host_fault *f)
{
	return cpu_fp_fault(f, cpu_current);
}

enum lodge_err cpu_fp_install_fault_hook(struct lodge_error *err)
{
	return host_fault_hook_install(fault_hook, err);
}
