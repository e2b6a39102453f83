/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named CPU models: what a guest sees in CPUID, fixed by name, never silently
 * reduced by the host (docs/CPU-MODELS.md). Built once per VM, then const.
 */
#ifndef LODGE_CPU_X86_CPUID_H
#define LODGE_CPU_X86_CPUID_H

#include "base/error.h"
#include "cpu/x86/ops.h"

enum cpu_level { CPU_LEVEL_AUTO, CPU_V1, CPU_V2, CPU_V3 };
enum cpu_vendor { CPU_VENDOR_AMD, CPU_VENDOR_INTEL };
enum cpu_speculation { CPU_SPEC_SOFT_ASSUMED, CPU_SPEC_HOST_TRUE };

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};
struct cpuid_entry {
	uint32_t leaf, subleaf;
	bool indexed; /* subleaf is significant */
	struct cpuid_regs r;
};
#define CPUID_ENTRIES_MAX 80

struct x86_cpu_model {
	enum cpu_level level;
	enum cpu_vendor vendor;
	enum cpu_speculation speculation;
	uint32_t vcpus;
	uint32_t tsc_khz;
	bool hypervisor_hidden;
	uint32_t pv_features; /* KVM_FEATURE bits of leaf 40000001 */
	uint64_t xcr0_supported;
	uint64_t cr4_reserved;  /* bits that #GP */
	uint64_t efer_reserved;
	uint8_t phys_bits;      /* 40 */
	bool page_1g;           /* 1 GiB pages */
	uint64_t spec_ctrl;     /* bits of SPEC_CTRL that may be set; 0: no such MSR */
	uint64_t arch_capabilities; /* Intel's IA32_ARCH_CAPABILITIES; 0: no such MSR */
	uint64_t features[(X86_F_COUNT + 63) / 64]; /* enum x86_feature_gate */
	unsigned nentries;
	struct cpuid_entry entries[CPUID_ENTRIES_MAX];
};

static inline bool cpu_model_has(const struct x86_cpu_model *m, unsigned gate)
{
	return gate == X86_F_NONE || (m->features[gate / 64] >> (gate % 64) & 1);
}

/* Bit numbers of pv_features, CPUID leaf 4000_0001 EAX. */
enum {
	KVM_PV_CLOCKSOURCE = 0, KVM_PV_NOP_IO_DELAY = 1, KVM_PV_CLOCKSOURCE2 = 3, KVM_PV_STEAL_TIME = 5, KVM_PV_PV_EOI = 6,
	KVM_PV_PV_UNHALT = 7, KVM_PV_PV_TLB_FLUSH = 9, KVM_PV_PV_SEND_IPI = 11, KVM_PV_POLL_CONTROL = 12, KVM_PV_PV_SCHED_YIELD = 13,
	KVM_PV_CLOCKSOURCE_STABLE = 24,
};

/*
 * Build the table. @level CPU_LEVEL_AUTO takes the highest that the host runs.
 * A level whose bits the host lacks is LODGE_ERR_UNSUPPORTED, naming them.
 * @host_check false builds it anyway (unit tests, interpreter-only tools).
 */
enum lodge_err cpu_model_build(struct x86_cpu_model *m, enum cpu_level level, enum cpu_vendor vendor, enum cpu_speculation spec,
			       uint32_t vcpus, uint32_t tsc_khz, bool host_check, struct lodge_error *err) LODGE_MUST_CHECK;

/*
 * Let instructions and control bits of @m be those that this host's processor
 * has, CPUID as it was: so runs a guest on hardware, which does not know models.
 */
void cpu_model_open_gates(struct x86_cpu_model *m);

/* Answer CPUID for @apic_id; dynamic bits (OSXSAVE, XSAVE sizes, APIC id) come from @cr4, @xcr0. Out-of-range leaves as the vendor does. */
void cpu_model_cpuid(const struct x86_cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0, uint32_t leaf, uint32_t subleaf,
		     struct cpuid_regs *out);

/* "v3", "amd", ... */
const char *cpu_level_name(enum cpu_level level);

#endif
