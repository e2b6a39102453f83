/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the CPU models that guests, snapshots and documents rely on. */
#include "cpu_fixture.h"

static struct x86_cpu_model build(enum cpu_level level, enum cpu_vendor vendor, unsigned vcpus)
{
	struct x86_cpu_model m;

	assert_int_equal(cpu_model_build(&m, level, vendor, CPU_SPEC_SOFT_ASSUMED, vcpus, 2450000, false, NULL), LODGE_OK);
	assert_true(m.nentries < CPUID_ENTRIES_MAX);
	return m;
}

static struct cpuid_regs ask(const struct x86_cpu_model *m, unsigned apic_id, uint32_t leaf, uint32_t sub)
{
	struct cpuid_regs r;

	cpu_model_cpuid(m, apic_id, 0, 7, leaf, sub, &r);
	return r;
}

static bool bit(uint32_t v, unsigned n)
{
	return v >> n & 1;
}

static void golden_amd_v3(void **state)
{
	/* A change here changes what every saved guest sees: it needs a new model name. */
	static const struct { uint32_t leaf, sub, eax, ebx, ecx, edx; } golden[] = {
		{ 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65 },
		{ 1, 0, 0x00a00f11, 0x01020800, 0xf7fa3203 & ~0x08000000u, 0x178bfbfd },
		{ 7, 0, 0, 0x001007ab, 0x00000004, 0 },
		{ 0xd, 0, 7, 832, 832, 0 },
		{ 0xd, 1, 1, 0, 0, 0 },
		{ 0xd, 2, 256, 576, 0, 0 },
		{ 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d },
		{ 0x40000001, 0, 0x01000a6b, 0, 0, 0 },
		{ 0x80000000, 0, 0x80000021, 0x68747541, 0x444d4163, 0x69746e65 },
		{ 0x80000001, 0, 0x00a00f11, 0, 0x00400133, 0x2dd3fbfd },
		{ 0x80000007, 0, 0, 0, 0, 0x100 },
		{ 0x80000008, 0, 0x00003028, 0x24000004, 0x1001, 0 },
		{ 0x80000021, 0, 0x20000144, 0, 6, 0 },
	};
	struct x86_cpu_model m = build(CPU_V3, CPU_VENDOR_AMD, 2);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(golden); i++) {
		struct cpuid_regs r = ask(&m, 1, golden[i].leaf, golden[i].sub);

		assert_int_equal(r.eax, golden[i].eax);
		assert_int_equal(r.ebx, golden[i].ebx);
		assert_int_equal(r.ecx, golden[i].ecx);
		assert_int_equal(r.edx, golden[i].edx);
	}
}

static void levels(void **state)
{
	(void)state;
	for (unsigned v = CPU_VENDOR_AMD; v <= CPU_VENDOR_INTEL; v++) {
		struct x86_cpu_model v1 = build(CPU_V1, (enum cpu_vendor)v, 1);
		struct x86_cpu_model v2 = build(CPU_V2, (enum cpu_vendor)v, 1);
		struct x86_cpu_model v3 = build(CPU_V3, (enum cpu_vendor)v, 1);

		assert_false(bit(ask(&v1, 0, 1, 0).ecx, 20)); /* SSE4.2 */
		assert_true(bit(ask(&v2, 0, 1, 0).ecx, 20));
		assert_false(bit(ask(&v2, 0, 1, 0).ecx, 28)); /* AVX */
		assert_true(bit(ask(&v3, 0, 1, 0).ecx, 28));
		assert_int_equal(ask(&v2, 0, 0xd, 0).eax, 0);
		assert_int_equal(v2.xcr0_supported, 3);
		assert_true(cpu_model_has(&v3, X86_F_AVX2));
		assert_false(cpu_model_has(&v2, X86_F_AVX2));
		assert_true(cpu_model_has(&v1, X86_F_SSE2));
		assert_false(cpu_model_has(&v3, X86_F_MONITOR));
		assert_true(v2.cr4_reserved & X86_CR4_OSXSAVE);
		assert_false(v3.cr4_reserved & X86_CR4_OSXSAVE);
		assert_false(bit(ask(&v3, 0, 1, 0).ecx, 3));  /* MONITOR */
		assert_true(bit(ask(&v3, 0, 1, 0).ecx, 31));  /* hypervisor */
		assert_false(bit(ask(&v3, 0, 0x80000001, 0).ecx, 2)); /* SVM */
		assert_int_equal(ask(&v3, 0, 0x80000008, 0).eax & 0xffff, 0x3028);
	}
}

static void dynamic_bits(void **state)
{
	struct x86_cpu_model m = build(CPU_V3, CPU_VENDOR_AMD, 4);
	struct cpuid_regs r;

	(void)state;
	cpu_model_cpuid(&m, 3, X86_CR4_OSXSAVE, 3, 1, 0, &r);
	assert_true(bit(r.ecx, 27));
	assert_int_equal(r.ebx >> 24, 3);
	assert_int_equal(r.ebx >> 16 & 0xff, 4);
	cpu_model_cpuid(&m, 3, X86_CR4_OSXSAVE, 3, 0xd, 0, &r);
	assert_int_equal(r.ebx, 576);
	assert_int_equal(r.ecx, 832);
	m.hypervisor_hidden = true;
	assert_int_equal(ask(&m, 0, 0x40000000, 0).eax, 0);
	assert_false(bit(ask(&m, 0, 1, 0).ecx, 31));
}

static void topology(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 16; n++) {
		struct x86_cpu_model amd = build(CPU_V3, CPU_VENDOR_AMD, n), intel = build(CPU_V3, CPU_VENDOR_INTEL, n);
		struct cpuid_regs r = ask(&amd, n - 1, 0xb, 1);

		assert_int_equal(r.ebx, n);
		assert_int_equal(r.edx, n - 1);
		assert_true(1u << (r.eax & 31) >= n);
		assert_int_equal(r.ecx, 0x201);
		assert_int_equal(ask(&amd, 0, 0xb, 0).eax, 0);
		assert_int_equal(ask(&amd, n - 1, 0xb, 7).ecx, 7);
		assert_int_equal(ask(&amd, n - 1, 0xb, 7).ebx, 0);
		assert_int_equal(ask(&amd, 0, 0x80000008, 0).ecx & 0xff, n - 1);
		assert_int_equal(ask(&amd, n - 1, 0x8000001e, 0).eax, n - 1);
		assert_int_equal(bit(ask(&amd, 0, 1, 0).edx, 28), n > 1);
		assert_true((ask(&intel, 0, 4, 0).eax >> 26) + 1 >= n);
		assert_int_equal(ask(&intel, 0, 4, 4).eax, 0);
	}
}

static void beyond_the_maximum(void **state)
{
	struct x86_cpu_model amd = build(CPU_V3, CPU_VENDOR_AMD, 1), intel = build(CPU_V3, CPU_VENDOR_INTEL, 1);

	(void)state;
	assert_int_equal(ask(&amd, 0, 0x20, 0).eax, 0);
	assert_int_equal(ask(&intel, 0, 0x20, 0).eax, ask(&intel, 0, 0x16, 0).eax);
	assert_int_equal(ask(&intel, 0, 0x80000020, 0).eax, ask(&intel, 0, 0x16, 0).eax);
	assert_int_equal(ask(&intel, 0, 0x15, 0).ebx, 2450000);
	assert_int_equal((uint64_t)ask(&intel, 0, 0x15, 0).ecx / ask(&intel, 0, 0x15, 0).eax, 1000);
	assert_int_equal(ask(&amd, 0, 0x40000010, 0).eax, 2450000);
	assert_int_equal(ask(&amd, 0, 0x40000002, 0).eax, 0);
}

static void speculation(void **state)
{
	struct x86_cpu_model amd = build(CPU_V3, CPU_VENDOR_AMD, 1), intel = build(CPU_V3, CPU_VENDOR_INTEL, 1);

	(void)state;
	assert_false(amd.efer_reserved & X86_EFER_AIBRSE);
	assert_true(intel.efer_reserved & X86_EFER_AIBRSE);
	assert_true(intel.arch_capabilities & 1); /* RDCL_NO */
	assert_int_equal(amd.arch_capabilities, 0);
	assert_int_equal(intel.spec_ctrl, 1);
}

static void brand(void **state)
{
	struct x86_cpu_model m = build(CPU_V3, CPU_VENDOR_INTEL, 1);
	char text[49] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct cpuid_regs r = ask(&m, 0, 0x80000002 + i, 0);

		memcpy(text + 16 * i, &r, 16);
	}
	assert_string_equal(text, "Lodge virtual CPU x86-64-v3 (Intel)");
}

static void refusals(void **state)
{
	struct x86_cpu_model m;
	struct lodge_error err = { 0 };

	(void)state;
	assert_int_equal(cpu_model_build(&m, CPU_V1, CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 0, 1, false, &err), LODGE_ERR_ARG);
	assert_int_equal(cpu_model_build(&m, CPU_LEVEL_AUTO, CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 1, 1, true, &err), LODGE_OK);
	assert_in_range(m.level, CPU_V1, CPU_V3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_amd_v3), cmocka_unit_test(levels), cmocka_unit_test(dynamic_bits), cmocka_unit_test(topology),
		cmocka_unit_test(beyond_the_maximum), cmocka_unit_test(speculation), cmocka_unit_test(brand), cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
