/* SPDX-License-Identifier: Apache-2.0 */
/* struct x86_state to and from KVM's structures. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include "cpu/kvm/kvm.h"

#define APIC_BASE_ENABLED UINT64_C(0xfee00800)
#define APIC_BASE_BSP 0x100u
#define XSAVE_XMM_OFFSET 160
#define XSAVE_XMM_BYTES 256
#define XSAVE_BV_OFFSET 512
#define MSR_INDICES_MAX 512
#define KVM_SHADOW_MOV_SS 1
#define KVM_SHADOW_STI 2

/* MSRs that KVM holds, and where x86_state has them. */
static const struct {
	uint32_t msr;
	uint32_t offset;
} msr_table[] = {
#define M(number, field) { number, offsetof(struct x86_msrs, field) }
	M(0xc0000081, star), M(0xc0000082, lstar), M(0xc0000083, cstar), M(0xc0000084, sfmask),
	M(0xc0000102, kernel_gs_base), M(0xc0000103, tsc_aux),
	M(0x174, sysenter_cs), M(0x175, sysenter_esp), M(0x176, sysenter_eip),
	M(0x277, pat), M(0x1a0, misc_enable), M(0x48, spec_ctrl), M(0x1d9, debugctl), M(0x17a, mcg_status), M(0x3b, tsc_adjust),
	M(0x2ff, mtrr_def_type), M(0x250, mtrr_fixed[0]), M(0x258, mtrr_fixed[1]), M(0x259, mtrr_fixed[2]),
	M(0x268, mtrr_fixed[3]), M(0x269, mtrr_fixed[4]), M(0x26a, mtrr_fixed[5]), M(0x26b, mtrr_fixed[6]),
	M(0x26c, mtrr_fixed[7]), M(0x26d, mtrr_fixed[8]), M(0x26e, mtrr_fixed[9]), M(0x26f, mtrr_fixed[10]),
#define V(n) M(0x200 + 2 * (n), mtrr_base[n]), M(0x201 + 2 * (n), mtrr_mask[n])
	V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7),
#undef V
#undef M
};

struct msr_list {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[ARRAY_LEN(msr_table)];
};

static enum lodge_err fail(struct lodge_error *err, const char *what)
{
	return error_set_os(err, LODGE_ERR_IO, errno, "KVM does not take or give a vcpu's %s", what);
}

/* ---- segments ---- */

static struct x86_segment segment_get(const struct kvm_segment *k)
{
	unsigned attr = k->type | (unsigned)k->s << 4 | (unsigned)k->dpl << X86_SEG_DPL_SHIFT | (unsigned)k->present << 7 |
			(unsigned)k->avl << 8 | (unsigned)k->l << 9 | (unsigned)k->db << 10 | (unsigned)k->g << 11;

	if (k->unusable)
		attr = (attr | X86_SEG_UNUSABLE) & ~X86_SEG_P;
	return (struct x86_segment){ .sel = k->selector, .attr = (uint16_t)attr, .limit = k->limit, .base = k->base };
}

static struct kvm_segment segment_put(const struct x86_segment *s)
{
	bool unusable = s->attr & X86_SEG_UNUSABLE;

	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->sel,
		.type = s->attr & X86_SEG_TYPE,
		.s = (s->attr & X86_SEG_S) != 0,
		.dpl = (s->attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT,
		.present = (s->attr & X86_SEG_P) && !unusable,
		.avl = (s->attr & X86_SEG_AVL) != 0,
		.l = (s->attr & X86_SEG_L) != 0,
		.db = (s->attr & X86_SEG_DB) != 0,
		/* A limit beyond 1 MiB can only come from a page-granular descriptor; VM entry insists. */
		.g = (s->attr & X86_SEG_G) || s->limit > 0xfffff,
		.unusable = unusable,
	};
}

static struct x86_table table_get(const struct kvm_dtable *k)
{
	return (struct x86_table){ .base = k->base, .limit = k->limit };
}

static struct kvm_dtable table_put(const struct x86_table *t)
{
	return (struct kvm_dtable){ .base = t->base, .limit = (uint16_t)t->limit };
}

/* ---- general registers ---- */

static void regs_get(struct x86_state *s, const struct kvm_regs *k)
{
	const uint64_t gpr[16] = { k->rax, k->rcx, k->rdx, k->rbx, k->rsp, k->rbp, k->rsi, k->rdi,
				   k->r8, k->r9, k->r10, k->r11, k->r12, k->r13, k->r14, k->r15 };

	memcpy(s->gpr, gpr, sizeof(gpr));
	s->rip = k->rip;
	s->rflags = k->rflags | X86_FLAG_ONE;
}

static struct kvm_regs regs_put(const struct x86_state *s)
{
	const uint64_t *g = s->gpr;

	return (struct kvm_regs){
		.rax = g[X86_RAX], .rcx = g[X86_RCX], .rdx = g[X86_RDX], .rbx = g[X86_RBX],
		.rsp = g[X86_RSP], .rbp = g[X86_RBP], .rsi = g[X86_RSI], .rdi = g[X86_RDI],
		.r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11], .r12 = g[12], .r13 = g[13], .r14 = g[14], .r15 = g[15],
		.rip = s->rip, .rflags = s->rflags,
	};
}

/* ---- system registers ---- */

static bool uses_pdptes(const struct x86_state *s)
{
	return (s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) && !(s->msr.efer & X86_EFER_LMA);
}

static void sregs_get(struct x86_state *s, const struct kvm_sregs2 *k)
{
	const struct kvm_segment *const seg[X86_NSEG] = { &k->es, &k->cs, &k->ss, &k->ds, &k->fs, &k->gs };

	for (unsigned i = 0; i < X86_NSEG; i++)
		s->seg[i] = segment_get(seg[i]);
	s->ldtr = segment_get(&k->ldt);
	s->tr = segment_get(&k->tr);
	s->gdtr = table_get(&k->gdt);
	s->idtr = table_get(&k->idt);
	s->cr0 = k->cr0;
	s->cr2 = k->cr2;
	s->cr3 = k->cr3;
	s->cr4 = k->cr4;
	s->msr.efer = k->efer;
	if (k->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		memcpy(s->pae_pdpte, k->pdptrs, sizeof(s->pae_pdpte));
}

static void sregs_put(const struct cpu_vcpu *v, struct kvm_sregs2 *k)
{
	const struct x86_state *s = &v->cpu->s;
	struct kvm_segment *const seg[X86_NSEG] = { &k->es, &k->cs, &k->ss, &k->ds, &k->fs, &k->gs };

	*k = (struct kvm_sregs2){ 0 };
	for (unsigned i = 0; i < X86_NSEG; i++)
		*seg[i] = segment_put(&s->seg[i]);
	k->ldt = segment_put(&s->ldtr);
	k->tr = segment_put(&s->tr);
	/* VM entry wants a busy TSS; after reset ours says so, a guest's may not. */
	k->tr.type |= 2;
	k->gdt = table_put(&s->gdtr);
	k->idt = table_put(&s->idtr);
	k->cr0 = s->cr0;
	k->cr2 = s->cr2;
	k->cr3 = s->cr3;
	k->cr4 = s->cr4;
	k->cr8 = v->cpu->env->cr8_read(v->cpu->env_ctx);
	k->efer = s->msr.efer;
	/* The APIC is the machine's; for KVM it is on, so that CPUID says so. */
	k->apic_base = APIC_BASE_ENABLED | (s->bsp ? APIC_BASE_BSP : 0);
	if (uses_pdptes(s)) {
		k->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
		memcpy(k->pdptrs, s->pae_pdpte, sizeof(k->pdptrs));
	}
}

/* ---- vector state ---- */

static enum lodge_err xsave_get(struct cpu_vcpu *v, struct lodge_error *err)
{
	struct x86_state *s = &v->cpu->s;
	struct kvm_xsave x;
	struct kvm_xcrs xcrs = { 0 };

	if (ioctl(v->fd, KVM_GET_XSAVE, &x))
		return fail(err, "floating-point state");
	memcpy(s->xsave, x.region, X86_XSAVE_BYTES);
	put_le64(s->xsave + XSAVE_BV_OFFSET, get_le64(s->xsave + XSAVE_BV_OFFSET) & (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX));
	if (ioctl(v->fd, KVM_GET_XCRS, &xcrs))
		return fail(err, "XCR0");
	for (unsigned i = 0; i < xcrs.nr_xcrs; i++)
		if (!xcrs.xcrs[i].xcr)
			s->xcr0 = xcrs.xcrs[i].value;
	return LODGE_OK;
}

static enum lodge_err xsave_put(struct cpu_vcpu *v, struct lodge_error *err)
{
	const struct x86_state *s = &v->cpu->s;
	struct kvm_xsave x = { 0 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .value = s->xcr0 } };

	memcpy(x.region, s->xsave, X86_XSAVE_BYTES);
	/* KVM takes MXCSR with the XMM registers only, also when they are all in their initial state: zero. */
	if (!(get_le64(s->xsave + XSAVE_BV_OFFSET) & X86_XCR0_SSE)) {
		memset((uint8_t *)x.region + XSAVE_XMM_OFFSET, 0, XSAVE_XMM_BYTES);
		put_le64((uint8_t *)x.region + XSAVE_BV_OFFSET, get_le64(s->xsave + XSAVE_BV_OFFSET) | X86_XCR0_SSE);
	}
	if (ioctl(v->fd, KVM_SET_XCRS, &xcrs))
		return fail(err, "XCR0");
	if (ioctl(v->fd, KVM_SET_XSAVE, &x))
		return fail(err, "floating-point state");
	return LODGE_OK;
}

/* ---- MSRs ---- */

_Static_assert(ARRAY_LEN(msr_table) == KVM_MSRS, "kvm.h counts msr_table");

enum lodge_err kvm_msrs_find(struct cpu_vm *vm, struct lodge_error *err)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[MSR_INDICES_MAX];
	} known = { .head = { .nmsrs = MSR_INDICES_MAX } };

	if (ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, &known))
		return fail(err, "list of MSRs");
	for (unsigned i = 0; i < KVM_MSRS; i++) {
		/* MTRRs and PAT are not listed, every KVM has them. */
		vm->msr_known[i] = (msr_table[i].msr >= 0x200 && msr_table[i].msr <= 0x2ff);
		for (unsigned k = 0; k < known.head.nmsrs; k++)
			vm->msr_known[i] |= known.head.indices[k] == msr_table[i].msr;
	}
	return LODGE_OK;
}

/* KVM stops at the first MSR that the CPU model does not have; it is left out. */
static enum lodge_err msrs_exchange(struct cpu_vcpu *v, bool put, struct lodge_error *err)
{
	char *base = (char *)&v->cpu->s.msr;
	unsigned map[KVM_MSRS], total = 0;
	struct msr_list list;

	for (unsigned i = 0; i < KVM_MSRS; i++)
		if (v->vm->msr_known[i])
			map[total++] = i;
	for (unsigned first = 0; first < total;) {
		unsigned n = total - first;
		int done;

		memset(&list, 0, sizeof(list));
		list.head.nmsrs = n;
		for (unsigned i = 0; i < n; i++) {
			list.entries[i].index = msr_table[map[first + i]].msr;
			list.entries[i].data = get_le64(base + msr_table[map[first + i]].offset);
		}
		done = ioctl(v->fd, put ? KVM_SET_MSRS : KVM_GET_MSRS, &list);
		if (done < 0)
			return fail(err, "MSRs");
		for (unsigned i = 0; !put && i < (unsigned)done; i++)
			put_le64(base + msr_table[map[first + i]].offset, list.entries[i].data);
		first += (unsigned)done + 1;
	}
	return LODGE_OK;
}

/* ---- events, debug registers ---- */

static void events_get(struct x86_state *s, const struct kvm_vcpu_events *e)
{
	s->event_valid = 0;
	s->event_has_error = s->event_soft = 0;
	s->event_error = 0;
	if (e->exception.injected || e->exception.pending) {
		s->event_valid = 1;
		s->event_vector = e->exception.nr;
		s->event_has_error = e->exception.has_error_code;
		s->event_error = e->exception.error_code;
	} else if (e->nmi.injected) {
		s->event_valid = 1;
		s->event_vector = X86_EXC_NMI;
	} else if (e->interrupt.injected) {
		s->event_valid = 1;
		s->event_vector = e->interrupt.nr;
		s->event_soft = e->interrupt.soft;
	}
	s->interrupt_shadow = e->interrupt.shadow & KVM_SHADOW_MOV_SS ? 2 : e->interrupt.shadow & KVM_SHADOW_STI ? 1 : 0;
	s->nmi_pending = e->nmi.pending != 0;
	s->nmi_blocked = e->nmi.masked;
}

static void events_put(const struct x86_state *s, struct kvm_vcpu_events *e)
{
	*e = (struct kvm_vcpu_events){ .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW };
	if (s->event_valid && s->event_vector == X86_EXC_NMI) {
		e->nmi.injected = 1;
	} else if (s->event_valid && s->event_vector < 32 && !s->event_soft) {
		e->exception.injected = 1;
		e->exception.nr = s->event_vector;
		e->exception.has_error_code = s->event_has_error;
		e->exception.error_code = s->event_error;
	} else if (s->event_valid && !s->event_soft) {
		e->interrupt.injected = 1;
		e->interrupt.nr = s->event_vector;
	}
	e->interrupt.shadow = s->interrupt_shadow == 2 ? KVM_SHADOW_MOV_SS : s->interrupt_shadow == 1 ? KVM_SHADOW_STI : 0;
	e->nmi.pending = s->nmi_pending;
	e->nmi.masked = s->nmi_blocked;
}

static void debug_get(struct x86_state *s, const struct kvm_debugregs *d)
{
	memcpy(s->dr, d->db, sizeof(s->dr));
	s->dr6 = d->dr6;
	s->dr7 = d->dr7;
}

static struct kvm_debugregs debug_put(const struct x86_state *s)
{
	struct kvm_debugregs d = { .dr6 = s->dr6, .dr7 = s->dr7 };

	memcpy(d.db, s->dr, sizeof(d.db));
	return d;
}

/* ---- all of it ---- */

enum lodge_err kvm_state_get(struct cpu_vcpu *v, struct lodge_error *err)
{
	struct x86_state *s = &v->cpu->s;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;

	if (ioctl(v->fd, KVM_GET_REGS, &regs))
		return fail(err, "registers");
	if (ioctl(v->fd, KVM_GET_SREGS2, &sregs))
		return fail(err, "system registers");
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events))
		return fail(err, "events");
	if (ioctl(v->fd, KVM_GET_DEBUGREGS, &debug))
		return fail(err, "debug registers");
	regs_get(s, &regs);
	sregs_get(s, &sregs);
	events_get(s, &events);
	debug_get(s, &debug);
	if (xsave_get(v, err) != LODGE_OK)
		return err->code;
	return msrs_exchange(v, false, err);
}

/* KVM flushes the guest's TLB for a register that changes, as the CPU would; there is no other way to ask for it. */
static enum lodge_err sregs_load(struct cpu_vcpu *v, struct kvm_sregs2 *sregs, struct lodge_error *err)
{
	if (v->tlb_stale) {
		sregs->cr4 ^= X86_CR4_PGE;
		if (ioctl(v->fd, KVM_SET_SREGS2, sregs))
			return fail(err, "system registers");
		sregs->cr4 ^= X86_CR4_PGE;
		v->tlb_stale = false;
	}
	return ioctl(v->fd, KVM_SET_SREGS2, sregs) ? fail(err, "system registers") : LODGE_OK;
}

enum lodge_err kvm_state_put(struct cpu_vcpu *v, struct lodge_error *err)
{
	const struct x86_state *s = &v->cpu->s;
	struct kvm_regs regs = regs_put(s);
	struct kvm_sregs2 sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug = debug_put(s);

	sregs_put(v, &sregs);
	events_put(s, &events);
	if (sregs_load(v, &sregs, err) != LODGE_OK)
		return err->code;
	if (ioctl(v->fd, KVM_SET_REGS, &regs))
		return fail(err, "registers");
	if (xsave_put(v, err) != LODGE_OK || msrs_exchange(v, true, err) != LODGE_OK)
		return err->code;
	if (ioctl(v->fd, KVM_SET_DEBUGREGS, &debug))
		return fail(err, "debug registers");
	if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events))
		return fail(err, "events");
	v->ready = false;
	v->if_flag = s->rflags & X86_FLAG_IF;
	return LODGE_OK;
}

enum lodge_err kvm_tsc_put(struct cpu_vcpu *v, struct lodge_error *err)
{
	uint64_t offset = v->cpu->s.tsc_offset;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry tsc;
	} list = { .head = { .nmsrs = 1 }, .tsc = { .index = 0x10 } };

	if (v->vm->tsc_offset_attr && !ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr))
		return LODGE_OK;
	v->vm->tsc_offset_attr = false;
	list.tsc.data = __builtin_ia32_rdtsc() + offset;
	return ioctl(v->fd, KVM_SET_MSRS, &list) == 1 ? LODGE_OK : fail(err, "time-stamp counter");
}

void kvm_tsc_get(struct cpu_vcpu *v)
{
	uint64_t offset;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };

	/* Without it the last offset stays: a guest's WRMSR to the TSC is lost, which is better than a clock that jumps. */
	if (v->vm->tsc_offset_attr && !ioctl(v->fd, KVM_GET_DEVICE_ATTR, &attr))
		v->cpu->s.tsc_offset = offset;
}
