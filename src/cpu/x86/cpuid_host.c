/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of CPU models. Only instructions that the guest's code runs
 * on the host CPU matter here; what an engine emulates (paging features,
 * privileged instructions) needs nothing. The kvm backend compares the rest
 * with what its kernel supports.
 */
#include <cpuid.h>
#include "base/fmt.h"
#include "cpu/x86/cpuid_host.h"

enum cpuid_reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

struct native_feature {
	const char *name;
	uint8_t level; /* from this enum cpu_level on */
	uint8_t reg;   /* enum cpuid_reg */
	uint8_t bit;
	uint32_t leaf;
};

static const struct native_feature native_features[] = {
	{ "sse3", CPU_V2, REG_ECX, 0, 1 },         { "ssse3", CPU_V2, REG_ECX, 9, 1 },   { "cx16", CPU_V2, REG_ECX, 13, 1 },
	{ "sse4.1", CPU_V2, REG_ECX, 19, 1 },      { "sse4.2", CPU_V2, REG_ECX, 20, 1 }, { "popcnt", CPU_V2, REG_ECX, 23, 1 },
	{ "lahf", CPU_V2, REG_ECX, 0, 0x80000001 }, { "pclmul", CPU_V3, REG_ECX, 1, 1 },  { "fma", CPU_V3, REG_ECX, 12, 1 },
	{ "movbe", CPU_V3, REG_ECX, 22, 1 },       { "aes", CPU_V3, REG_ECX, 25, 1 },    { "xsave", CPU_V3, REG_ECX, 27, 1 },
	{ "avx", CPU_V3, REG_ECX, 28, 1 },         { "f16c", CPU_V3, REG_ECX, 29, 1 },   { "bmi1", CPU_V3, REG_EBX, 3, 7 },
	{ "avx2", CPU_V3, REG_EBX, 5, 7 },         { "bmi2", CPU_V3, REG_EBX, 8, 7 },    { "lzcnt", CPU_V3, REG_ECX, 5, 0x80000001 },
};

void cpuid_host(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
	*out = (struct cpuid_regs){ 0 };
	if (leaf > (uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL))
		return;
	__cpuid_count(leaf, subleaf, out->eax, out->ebx, out->ecx, out->edx);
}

bool cpuid_host_avx_enabled(void)
{
	struct cpuid_regs r;
	uint32_t lo, hi;

	cpuid_host(1, 0, &r);
	if (!(r.ecx & 1u << 27))
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

static bool host_has(const struct native_feature *f)
{
	struct cpuid_regs r;
	uint32_t value;

	cpuid_host(f->leaf, 0, &r);
	value = f->reg == REG_EAX ? r.eax : f->reg == REG_EBX ? r.ebx : f->reg == REG_ECX ? r.ecx : r.edx;
	return value >> f->bit & 1;
}

static size_t append_name(char *buf, size_t cap, size_t at, const char *name)
{
	return at + fmt_string(at < cap ? buf + at : NULL, at < cap ? cap - at : 0, "%s%s", at ? ", " : "", name);
}

size_t cpuid_host_missing(enum cpu_level level, char *buf, size_t cap)
{
	size_t at = 0;

	if (cap)
		buf[0] = '\0';
	for (unsigned i = 0; i < ARRAY_LEN(native_features); i++)
		if (native_features[i].level <= level && !host_has(&native_features[i]))
			at = append_name(buf, cap, at, native_features[i].name);
	if (level >= CPU_V3 && !cpuid_host_avx_enabled())
		at = append_name(buf, cap, at, "avx state enabled by the host's kernel");
	return at;
}
