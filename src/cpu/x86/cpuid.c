/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU models of docs/CPU-MODELS.md: three levels, two vendors, built into
 * a table of CPUID leaves with everything that follows from it (reserved
 * control bits, instruction gates). Nothing here is taken from the host but
 * the speculation bits of CPU_SPEC_HOST_TRUE.
 */
#include "base/mem.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/cpuid_host.h"
#include "cpu/x86/state.h"

#define BIT(n) (UINT32_C(1) << (n))

/* Leaf 1. FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define L1_EDX_BASE \
	(BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | \
	 BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26))
#define L1_EDX_HTT BIT(28)
#define L1_EDX_IN_AMD_EXT 0x0183f3ffu /* the bits that AMD repeats in 8000_0001 EDX */
#define L1_ECX_BASE (BIT(21) | BIT(24)) /* x2APIC, TSC-deadline */
#define L1_ECX_HYPERVISOR BIT(31)
#define L1_ECX_V2 (BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)) /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
/* PCLMUL FMA PCID MOVBE AES XSAVE AVX F16C RDRAND */
#define L1_ECX_V3 (BIT(1) | BIT(12) | BIT(17) | BIT(22) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define L1_ECX_OSXSAVE BIT(27)
/* Leaf 7. FSGSBASE TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID SMAP */
#define L7_EBX_V3 (BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(20))
#define L7_ECX_V3 BIT(2) /* UMIP */
#define L7_EDX_SPEC_CTRL BIT(26)
#define L7_EDX_ARCH_CAP BIT(29)
#define L7_EDX_SPECULATION (BIT(10) | BIT(26) | BIT(27) | BIT(28) | BIT(31))
/* 8000_0001. */
#define X1_EDX_BASE (BIT(11) | BIT(20) | BIT(29)) /* SYSCALL NX LM */
#define X1_EDX_V2 BIT(27)                        /* RDTSCP */
#define X1_EDX_V3 BIT(26)                        /* 1 GiB pages */
#define X1_EDX_MMXEXT BIT(22)
#define X1_ECX_V2 BIT(0) /* LAHF/SAHF */
#define X1_ECX_V3 (BIT(5) | BIT(8)) /* LZCNT, PREFETCHW */
#define X1_ECX_CMP_LEGACY BIT(1)
#define X1_ECX_AMD (BIT(4) | BIT(8) | BIT(22)) /* CR8 by LOCK MOV CR0, PREFETCHW, topology leaves */
/* 8000_0008 EBX, 8000_0021. */
#define X8_EBX_XSAVEERPTR BIT(2)
#define X8_EBX_SOFT (BIT(26) | BIT(29)) /* SSB_NO BTC_NO */
#define X8_EBX_SPECULATION (BIT(12) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(18) | BIT(24) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define X21_EAX_BASE (BIT(2) | BIT(6)) /* LFENCE serialises, a null selector clears the base */
#define X21_EAX_AUTOIBRS BIT(8)
#define X21_EAX_SOFT (X21_EAX_AUTOIBRS | BIT(29)) /* SRSO_NO */
#define X21_EAX_SPECULATION (BIT(5) | BIT(8) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define X21_ECX_SOFT (BIT(1) | BIT(2)) /* TSA_SQ_NO TSA_L1_NO */

/* RDCL, IBRS_ALL, SKIP_L1DFL, SSB, MDS, PSCHANGE, TAA, SBDR, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS: not affected. */
#define ARCH_CAP_SOFT UINT64_C(0x400000000d10e17b)

/* Family 19h model 1 and family 6 model 8Fh: recent enough that kernels assume no old errata. */
#define SIGNATURE_AMD 0x00a00f11u
#define SIGNATURE_INTEL 0x000806f8u

#define MAX_LEAF_AMD 0xdu
#define MAX_LEAF_INTEL 0x16u
#define MAX_EXT_AMD 0x80000021u
#define MAX_EXT_INTEL 0x80000008u
#define HV_LEAF 0x40000000u
#define HV_LEAF_TIMING 0x40000010u
#define APIC_BUS_KHZ 1000000u

static void add(struct x86_cpu_model *m, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	m->entries[m->nentries++] = (struct cpuid_entry){ .leaf = leaf, .r = { eax, ebx, ecx, edx } };
}

static void add_sub(struct x86_cpu_model *m, uint32_t leaf, uint32_t sub, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	m->entries[m->nentries++] = (struct cpuid_entry){ .leaf = leaf, .subleaf = sub, .indexed = true, .r = { eax, ebx, ecx, edx } };
}

/* Bits that number @n things. */
static uint32_t id_bits(uint32_t n)
{
	uint32_t bits = 0;

	while (UINT32_C(1) << bits < n)
		bits++;
	return bits;
}

static bool is_amd(const struct x86_cpu_model *m)
{
	return m->vendor == CPU_VENDOR_AMD;
}

static bool soft_assumed(const struct x86_cpu_model *m)
{
	return m->speculation == CPU_SPEC_SOFT_ASSUMED;
}

static void add_vendor_leaf(struct x86_cpu_model *m, uint32_t leaf, uint32_t max)
{
	if (is_amd(m))
		add(m, leaf, max, 0x68747541, 0x444d4163, 0x69746e65); /* AuthenticAMD */
	else if (leaf == 0)
		add(m, leaf, max, 0x756e6547, 0x6c65746e, 0x49656e69); /* GenuineIntel */
	else
		add(m, leaf, max, 0, 0, 0);
}

static uint32_t leaf1_edx(const struct x86_cpu_model *m)
{
	return L1_EDX_BASE | (m->vcpus > 1 ? L1_EDX_HTT : 0);
}

static void add_features(struct x86_cpu_model *m)
{
	uint32_t ecx = L1_ECX_BASE | L1_ECX_HYPERVISOR;

	if (m->level >= CPU_V2)
		ecx |= L1_ECX_V2;
	if (m->level >= CPU_V3)
		ecx |= L1_ECX_V3;
	add(m, 1, is_amd(m) ? SIGNATURE_AMD : SIGNATURE_INTEL, (m->vcpus & 0xff) << 16 | 8 << 8, ecx, leaf1_edx(m));
}

/* Deterministic cache parameters: @id type | level << 5; sharers as APIC id space. */
static uint32_t cache_eax(uint32_t type, uint32_t level, uint32_t sharers, uint32_t cores)
{
	return type | level << 5 | BIT(8) | (sharers - 1) << 14 | (cores - 1) << 26;
}

static void add_caches(struct x86_cpu_model *m)
{
	uint32_t leaf = is_amd(m) ? 0x8000001d : 4;
	uint32_t space = UINT32_C(1) << id_bits(m->vcpus);
	uint32_t cores = is_amd(m) ? 1 : space;
	uint32_t line = 63;

	/* EBX: line size, partitions, ways, each minus one; ECX: sets minus one. */
	add_sub(m, leaf, 0, cache_eax(1, 1, 1, cores), line | 7u << 22, 63, 0);                 /* 32K data */
	add_sub(m, leaf, 1, cache_eax(2, 1, 1, cores), line | 7u << 22, 63, 0);                 /* 32K code */
	add_sub(m, leaf, 2, cache_eax(3, 2, 1, cores), line | 7u << 22, 1023, 2);               /* 512K */
	add_sub(m, leaf, 3, cache_eax(3, 3, space, cores), line | 15u << 22, 16383, 1);         /* 16M, shared */
	add_sub(m, leaf, 4, 0, 0, 0, 0);
}

static void add_topology(struct x86_cpu_model *m)
{
	/* One package, one thread a core; EDX (x2APIC id) is filled in when asked. */
	add_sub(m, 0xb, 0, 0, 1, BIT(8), 0);
	add_sub(m, 0xb, 1, id_bits(m->vcpus), m->vcpus, 1 | 2 << 8, 0);
	add_sub(m, 0xb, 2, 0, 0, 2, 0);
}

static void add_structured(struct x86_cpu_model *m)
{
	struct cpuid_regs host;
	uint32_t ebx = 0, ecx = 0, edx = 0;

	if (m->level >= CPU_V3) {
		ebx = L7_EBX_V3;
		ecx = L7_ECX_V3;
	}
	if (!soft_assumed(m)) {
		cpuid_host(7, 0, &host);
		edx = host.edx & L7_EDX_SPECULATION;
	} else if (!is_amd(m)) {
		edx = L7_EDX_SPEC_CTRL | L7_EDX_ARCH_CAP;
		m->spec_ctrl = 1;
		m->arch_capabilities = ARCH_CAP_SOFT;
	}
	add_sub(m, 7, 0, 0, ebx, ecx, edx);
}

static void add_xsave(struct x86_cpu_model *m)
{
	if (m->level < CPU_V3)
		return;
	m->xcr0_supported = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	add_sub(m, 0xd, 0, (uint32_t)m->xcr0_supported, X86_XSAVE_BYTES, X86_XSAVE_BYTES, 0);
	add_sub(m, 0xd, 1, BIT(0), 0, 0, 0); /* XSAVEOPT */
	add_sub(m, 0xd, 2, 256, 576, 0, 0);
}

static void add_intel_timing(struct x86_cpu_model *m)
{
	uint32_t mhz = (m->tsc_khz + 500) / 1000;

	/* TSC = crystal * ebx / eax; kernels take the crystal for the local APIC timer's clock too. */
	add(m, 0x15, APIC_BUS_KHZ, m->tsc_khz, APIC_BUS_KHZ * 1000, 0);
	add(m, 0x16, mhz, mhz, 100, 0);
}

static void add_basic(struct x86_cpu_model *m)
{
	add_vendor_leaf(m, 0, is_amd(m) ? MAX_LEAF_AMD : MAX_LEAF_INTEL);
	add_features(m);
	if (!is_amd(m)) {
		add(m, 2, 0x00feff01, 0xf0, 0, 0); /* caches: see leaf 4 */
		add_caches(m);
	}
	add(m, 6, BIT(2), 0, 0, 0); /* the APIC timer never stops */
	add_structured(m);
	add_topology(m);
	add_xsave(m);
	if (!is_amd(m))
		add_intel_timing(m);
}

static void add_hypervisor(struct x86_cpu_model *m)
{
	m->pv_features = BIT(KVM_PV_CLOCKSOURCE) | BIT(KVM_PV_CLOCKSOURCE2) | BIT(KVM_PV_CLOCKSOURCE_STABLE) | BIT(KVM_PV_NOP_IO_DELAY) |
			 BIT(KVM_PV_PV_EOI) | BIT(KVM_PV_STEAL_TIME) | BIT(KVM_PV_PV_TLB_FLUSH) | BIT(KVM_PV_PV_SEND_IPI);
	add(m, HV_LEAF, HV_LEAF + 1, 0x4b4d564b, 0x564b4d56, 0x4d); /* KVMKVMKVM */
	add(m, HV_LEAF + 1, m->pv_features, 0, 0, 0);
	add(m, HV_LEAF_TIMING, m->tsc_khz, APIC_BUS_KHZ, 0, 0);
}

static void add_brand(struct x86_cpu_model *m)
{
	char text[48] = "Lodge virtual CPU x86-64-v0 (";
	const char *vendor = is_amd(m) ? "AMD)" : "Intel)";
	unsigned n = 29;

	text[26] = (char)('0' + (int)m->level);
	while (*vendor)
		text[n++] = *vendor++;
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t r[4];

		__builtin_memcpy(r, text + 16 * i, 16);
		add(m, 0x80000002 + i, r[0], r[1], r[2], r[3]);
	}
}

static void add_extended_features(struct x86_cpu_model *m)
{
	uint32_t ecx = is_amd(m) ? X1_ECX_AMD : 0, edx = X1_EDX_BASE;

	if (m->level >= CPU_V2) {
		ecx |= X1_ECX_V2;
		edx |= X1_EDX_V2;
	}
	if (m->level >= CPU_V3) {
		ecx |= X1_ECX_V3;
		edx |= X1_EDX_V3;
		m->page_1g = true;
	}
	if (is_amd(m)) {
		edx |= X1_EDX_MMXEXT | (leaf1_edx(m) & L1_EDX_IN_AMD_EXT);
		if (m->vcpus > 1)
			ecx |= X1_ECX_CMP_LEGACY;
	}
	add(m, 0x80000001, is_amd(m) ? SIGNATURE_AMD : 0, 0, ecx, edx);
}

static void add_amd_speculation(const struct x86_cpu_model *m, uint32_t *x8_ebx, uint32_t *x21_eax, uint32_t *x21_ecx)
{
	struct cpuid_regs host;

	if (soft_assumed(m)) {
		*x8_ebx |= X8_EBX_SOFT;
		*x21_eax |= X21_EAX_SOFT;
		*x21_ecx |= X21_ECX_SOFT;
		return;
	}
	cpuid_host(0x80000008, 0, &host);
	*x8_ebx |= host.ebx & X8_EBX_SPECULATION;
	cpuid_host(0x80000021, 0, &host);
	*x21_eax |= host.eax & X21_EAX_SPECULATION;
	*x21_ecx |= host.ecx & X21_ECX_SOFT;
}

static void add_extended(struct x86_cpu_model *m)
{
	uint32_t sizes = 48u << 8 | m->phys_bits;
	uint32_t x8_ebx = m->level >= CPU_V3 ? X8_EBX_XSAVEERPTR : 0, x21_eax = X21_EAX_BASE, x21_ecx = 0;

	add_vendor_leaf(m, 0x80000000, is_amd(m) ? MAX_EXT_AMD : MAX_EXT_INTEL);
	add_extended_features(m);
	add_brand(m);
	if (!is_amd(m)) {
		add(m, 0x80000006, 0, 0, 0x02006040, 0); /* 512K L2 */
		add(m, 0x80000007, 0, 0, 0, BIT(8));     /* invariant TSC */
		add(m, 0x80000008, sizes, 0, 0, 0);
		return;
	}
	add_amd_speculation(m, &x8_ebx, &x21_eax, &x21_ecx);
	add(m, 0x80000005, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
	add(m, 0x80000006, 0x48002200, 0x68004200, 0x02006140, 0x00809140);
	add(m, 0x80000007, 0, 0, 0, BIT(8));
	add(m, 0x80000008, sizes, x8_ebx, id_bits(m->vcpus) << 12 | (m->vcpus - 1), 0);
	add_caches(m);
	add(m, 0x8000001e, 0, 0, 0, 0); /* ids are filled in when asked */
	add(m, 0x80000021, x21_eax, 0, x21_ecx, 0);
	if (x21_eax & X21_EAX_AUTOIBRS)
		m->efer_reserved &= ~(uint64_t)X86_EFER_AIBRSE;
}

static void set_feature(struct x86_cpu_model *m, unsigned gate)
{
	m->features[gate / 64] |= UINT64_C(1) << (gate % 64);
}

static void build_gates(struct x86_cpu_model *m)
{
	static const uint8_t v1[] = { X86_F_CX8, X86_F_CMOV, X86_F_FXSR, X86_F_MMX, X86_F_SSE, X86_F_SSE2, X86_F_CLFLUSH, X86_F_SYSCALL, X86_F_SEP,
				      X86_F_X87, X86_F_3DNOWPREFETCH };
	static const uint8_t v2[] = { X86_F_SSE3, X86_F_SSSE3, X86_F_SSE41, X86_F_SSE42, X86_F_CX16, X86_F_POPCNT, X86_F_LAHF64, X86_F_RDTSCP };
	static const uint8_t v3[] = { X86_F_LZCNT, X86_F_BMI1, X86_F_BMI2, X86_F_AVX, X86_F_AVX2, X86_F_F16C, X86_F_FMA, X86_F_MOVBE, X86_F_AES,
				      X86_F_PCLMUL, X86_F_XSAVE, X86_F_XSAVEOPT, X86_F_FSGSBASE, X86_F_INVPCID, X86_F_RDRAND, X86_F_SMAP };

	for (unsigned i = 0; i < ARRAY_LEN(v1); i++)
		set_feature(m, v1[i]);
	for (unsigned i = 0; m->level >= CPU_V2 && i < ARRAY_LEN(v2); i++)
		set_feature(m, v2[i]);
	for (unsigned i = 0; m->level >= CPU_V3 && i < ARRAY_LEN(v3); i++)
		set_feature(m, v3[i]);
}

static void build_reserved(struct x86_cpu_model *m)
{
	uint64_t cr4 = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		       X86_CR4_OSXMMEXCPT;

	if (m->level >= CPU_V3)
		cr4 |= X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE | X86_CR4_SMEP | X86_CR4_SMAP;
	m->cr4_reserved = ~cr4;
	m->efer_reserved = ~(uint64_t)(X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
}

static enum lodge_err choose_level(enum cpu_level *level, bool host_check, struct lodge_error *err)
{
	char missing[256];

	if (*level == CPU_LEVEL_AUTO) {
		*level = CPU_V3;
		while (host_check && *level > CPU_V1 && cpuid_host_missing(*level, missing, sizeof(missing)))
			*level = (enum cpu_level)(*level - 1);
	}
	if (host_check && cpuid_host_missing(*level, missing, sizeof(missing)))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "CPU model %s needs what this host's processor lacks: %s; choose a lower one with --cpu",
				 cpu_level_name(*level), missing);
	return LODGE_OK;
}

enum lodge_err cpu_model_build(struct x86_cpu_model *m, enum cpu_level level, enum cpu_vendor vendor, enum cpu_speculation spec, uint32_t vcpus,
			       uint32_t tsc_khz, bool host_check, struct lodge_error *err)
{
	enum lodge_err e;

	if (vcpus == 0 || vcpus > 255)
		return error_set(err, LODGE_ERR_ARG, "a CPU model for %u vcpus: 1 to 255 are possible", vcpus);
	e = choose_level(&level, host_check, err);
	if (e != LODGE_OK)
		return e;
	*m = (struct x86_cpu_model){
		.level = level, .vendor = vendor, .speculation = spec, .vcpus = vcpus, .tsc_khz = tsc_khz, .phys_bits = 40,
		.xcr0_supported = X86_XCR0_X87 | X86_XCR0_SSE,
	};
	build_reserved(m);
	build_gates(m);
	add_basic(m);
	add_hypervisor(m);
	add_extended(m);
	return LODGE_OK;
}

void cpu_model_open_gates(struct x86_cpu_model *m)
{
	struct x86_cpu_model host;

	if (cpu_model_build(&host, CPU_LEVEL_AUTO, m->vendor, m->speculation, m->vcpus, m->tsc_khz, true, NULL) != LODGE_OK)
		return;
	memcpy(m->features, host.features, sizeof(m->features));
	m->xcr0_supported = host.xcr0_supported;
	m->cr4_reserved = host.cr4_reserved;
	m->efer_reserved = host.efer_reserved;
	m->page_1g = host.page_1g;
}

static const struct cpuid_entry *find_entry(const struct x86_cpu_model *m, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < m->nentries; i++)
		if (m->entries[i].leaf == leaf && (!m->entries[i].indexed || m->entries[i].subleaf == subleaf))
			return &m->entries[i];
	return NULL;
}

/* Beyond the maximum Intel repeats its highest basic leaf, AMD answers zero. */
static uint32_t effective_leaf(const struct x86_cpu_model *m, uint32_t leaf)
{
	bool hypervisor = leaf >> 28 == 4;

	if (hypervisor || is_amd(m))
		return leaf;
	if (leaf <= MAX_LEAF_INTEL || (leaf >= 0x80000000 && leaf <= MAX_EXT_INTEL))
		return leaf;
	return MAX_LEAF_INTEL;
}

static void fill_dynamic(const struct x86_cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0, uint32_t leaf, uint32_t subleaf,
			 struct cpuid_regs *r)
{
	switch (leaf) {
	case 1:
		r->ebx |= (apic_id & 0xff) << 24;
		if (cr4 & X86_CR4_OSXSAVE)
			r->ecx |= L1_ECX_OSXSAVE;
		if (m->hypervisor_hidden)
			r->ecx &= ~L1_ECX_HYPERVISOR;
		break;
	case 0xb:
		r->edx = apic_id;
		break;
	case 0xd:
		if (subleaf == 0)
			r->ebx = xcr0 & X86_XCR0_AVX ? X86_XSAVE_BYTES : 576;
		break;
	case 0x8000001e:
		r->eax = apic_id;
		r->ebx = apic_id & 0xff;
		break;
	default: break;
	}
}

void cpu_model_cpuid(const struct x86_cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0, uint32_t leaf, uint32_t subleaf,
		     struct cpuid_regs *out)
{
	const struct cpuid_entry *e;

	*out = (struct cpuid_regs){ 0 };
	if (m->hypervisor_hidden && leaf >> 28 == 4)
		return;
	leaf = effective_leaf(m, leaf);
	e = find_entry(m, leaf, subleaf);
	if (e) {
		*out = e->r;
	} else if (leaf == 0xb) {
		out->ecx = subleaf & 0xff;
	} else {
		return;
	}
	fill_dynamic(m, apic_id, cr4, xcr0, leaf, subleaf, out);
}

const char *cpu_level_name(enum cpu_level level)
{
	static const char *const names[] = { [CPU_LEVEL_AUTO] = "auto", [CPU_V1] = "v1", [CPU_V2] = "v2", [CPU_V3] = "v3" };

	return names[level];
}
