/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU models and KVM: may a guest have the model on this host, and giving it
 * to a vcpu. A feature that KVM does not offer is refused by name; those that
 * belong to the machine's APIC or are computed by KVM do not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/fmt.h"
#include "cpu/kvm/kvm.h"

#define SUPPORTED_MAX 256

struct supported {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[SUPPORTED_MAX];
};

enum reg { EAX, EBX, ECX, EDX };

/* Registers that are sets of features. @ours: bits that the machine or this engine provides, or that are not features. */
static const struct {
	uint32_t leaf, subleaf;
	enum reg reg;
	uint32_t ours;
	const char *names[32];
} words[] = {
	{ 1, 0, ECX, 1u << 21 | 1u << 24 | 1u << 27 | 1u << 31,
	  { [0] = "sse3", [1] = "pclmul", [9] = "ssse3", [12] = "fma", [13] = "cx16", [17] = "pcid", [19] = "sse4.1", [20] = "sse4.2",
	    [22] = "movbe", [23] = "popcnt", [25] = "aes", [26] = "xsave", [28] = "avx", [29] = "f16c", [30] = "rdrand" } },
	{ 1, 0, EDX, 1u << 9 | 1u << 28, { [3] = "pse", [6] = "pae", [13] = "pge", [25] = "sse", [26] = "sse2" } },
	{ 7, 0, EBX, 0,
	  { [0] = "fsgsbase", [1] = "tsc_adjust", [3] = "bmi1", [5] = "avx2", [7] = "smep", [8] = "bmi2", [9] = "erms", [10] = "invpcid",
	    [18] = "rdseed", [19] = "adx", [20] = "smap" } },
	{ 7, 0, ECX, 0, { [2] = "umip", [22] = "rdpid" } },
	/* CMP_LEGACY and TOPOEXT describe leaves; PREFETCHW does nothing at worst. */
	{ 0x80000001, 0, ECX, 1u << 1 | 1u << 8 | 1u << 22, { [0] = "lahf", [5] = "lzcnt" } },
	{ 0x80000001, 0, EDX, 1u << 9, { [11] = "syscall", [20] = "nx", [26] = "1g pages", [27] = "rdtscp", [29] = "lm" } },
	{ 0xd, 1, EAX, 0, { [0] = "xsaveopt", [1] = "xsavec", [3] = "xsaves" } },
};

static uint32_t reg_of(const struct kvm_cpuid_entry2 *e, enum reg reg)
{
	const uint32_t r[] = { e->eax, e->ebx, e->ecx, e->edx };

	return r[reg];
}

static uint32_t offered(const struct supported *s, uint32_t leaf, uint32_t subleaf, enum reg reg)
{
	for (unsigned i = 0; i < s->head.nent; i++)
		if (s->entries[i].function == leaf && s->entries[i].index == subleaf)
			return reg_of(&s->entries[i], reg);
	return 0;
}

static uint32_t wanted(const struct x86_cpu_model *m, uint32_t leaf, uint32_t subleaf, enum reg reg)
{
	for (unsigned i = 0; i < m->nentries; i++) {
		const struct cpuid_entry *e = &m->entries[i];
		const uint32_t r[] = { e->r.eax, e->r.ebx, e->r.ecx, e->r.edx };

		if (e->leaf == leaf && (!e->indexed || e->subleaf == subleaf))
			return r[reg];
	}
	return 0;
}

static enum lodge_err supported_get(struct supported *s, struct lodge_error *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), rc;

	if (fd < 0)
		return error_set_os(err, errno == ENOENT ? LODGE_ERR_UNSUPPORTED : LODGE_ERR_PERM, errno,
				    "cannot open /dev/kvm (use --accel soft, or get access: group 'kvm')");
	s->head.nent = SUPPORTED_MAX;
	rc = ioctl(fd, KVM_GET_SUPPORTED_CPUID, s);
	close(fd);
	return rc ? error_set_os(err, LODGE_ERR_UNSUPPORTED, errno, "KVM does not say what it supports") : LODGE_OK;
}

enum lodge_err kvm_model_check(const struct x86_cpu_model *m, struct lodge_error *err)
{
	struct supported s = { 0 };
	char text[256];
	size_t at = 0;

	if (supported_get(&s, err) != LODGE_OK)
		return err->code;
	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		uint32_t want = wanted(m, words[i].leaf, words[i].subleaf, words[i].reg) & ~words[i].ours;
		uint32_t missing = want & ~offered(&s, words[i].leaf, words[i].subleaf, words[i].reg);

		for (unsigned bit = 0; bit < 32; bit++) {
			char other[48];

			if (!(missing >> bit & 1) || at >= sizeof(text))
				continue;
			fmt_string(other, sizeof(other), "CPUID %xh.%u register %u bit %u", words[i].leaf, words[i].subleaf, (unsigned)words[i].reg, bit);
			at += fmt_string(text + at, sizeof(text) - at, "%s%s", at ? ", " : "", words[i].names[bit] ? words[i].names[bit] : other);
		}
	}
	if (!at)
		return LODGE_OK;
	return error_set(err, LODGE_ERR_UNSUPPORTED, "this host's KVM lacks what CPU model %s needs: %s (choose a lower --cpu, or --accel soft)",
			 cpu_level_name(m->level), text);
}

enum lodge_err kvm_cpuid_put(const struct cpu_vcpu *v, struct lodge_error *err)
{
	const struct x86_cpu_model *m = v->cpu->model;
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
	} table = { 0 };

	for (unsigned i = 0; i < m->nentries; i++) {
		const struct cpuid_entry *e = &m->entries[i];
		struct kvm_cpuid_entry2 *k = &table.entries[table.head.nent++];
		struct cpuid_regs r;

		cpu_model_cpuid(m, v->cpu->index, 0, X86_XCR0_X87, e->leaf, e->subleaf, &r);
		*k = (struct kvm_cpuid_entry2){ .function = e->leaf, .index = e->subleaf, .eax = r.eax, .ebx = r.ebx, .ecx = r.ecx, .edx = r.edx };
		if (e->indexed)
			k->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
	if (ioctl(v->fd, KVM_SET_CPUID2, &table))
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, errno, "KVM refuses the CPU model");
	return LODGE_OK;
}
