/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM is worth: a guest of a dozen instructions counts down
 * in ring 0 against the clock and reads CPUID back. Some KVMs are software
 * themselves: they emulate ring 0 at a few million instructions a second, and
 * answer the host's CPUID whatever they are told.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fmt.h"
#include "cpu/kvm/kvm.h"

#define PROBE_BYTES 8192u
#define LOOPS_FEW 500u /* two instructions each */
#define LOOPS_MANY 50000u
#define HOPELESS_IPS UINT64_C(3000000)
#define PROBE_LEAF 0x40000000u
#define PROBE_SIGNATURE 0x65646f4cu
#define FAST_IPS UINT64_C(30000000)

/*
 * dec ecx; jnz; hlt - then, in the next run: mov eax, leaf; xor ecx, ecx;
 * cpuid; mov esi, ebx; mov eax, 7; xor ecx, ecx; cpuid; hlt.
 */
static const uint8_t code[] = {
	0x49, 0x75, 0xfd, 0xf4,
	0xb8, 0x00, 0x00, 0x00, 0x40, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0xde,
	0xb8, 0x07, 0x00, 0x00, 0x00, 0x31, 0xc9, 0x0f, 0xa2, 0xf4,
};

struct probe {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_bytes;
	uint8_t *mem;
};

static bool probe_cpuid(const struct probe *p)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[3];
	} table = {
		.head = { .nent = 3 },
		.entries = {
			{ .function = 0, .eax = 7, .ebx = 0x68747541, .edx = 0x69746e65, .ecx = 0x444d4163 },
			{ .function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX }, /* no feature at all */
			{ .function = PROBE_LEAF, .eax = PROBE_LEAF, .ebx = PROBE_SIGNATURE },
		},
	};

	return !ioctl(p->vcpu, KVM_SET_CPUID2, &table);
}

/* Flat 32-bit protected mode without paging, code at 1000h. */
static bool probe_registers(const struct probe *p)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = 0x1000, .rflags = X86_FLAG_ONE, .rcx = 1 };

	if (ioctl(p->vcpu, KVM_GET_SREGS, &s))
		return false;
	s.cs = (struct kvm_segment){ .selector = 8, .limit = UINT32_MAX, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 };
	s.ds = (struct kvm_segment){ .selector = 16, .limit = UINT32_MAX, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	s.es = s.fs = s.gs = s.ss = s.ds;
	s.cr0 |= X86_CR0_PE;
	return !ioctl(p->vcpu, KVM_SET_SREGS, &s) && !ioctl(p->vcpu, KVM_SET_REGS, &r);
}

static bool probe_open(struct probe *p)
{
	uint64_t identity = 0xfeffc000;
	struct kvm_userspace_memory_region region = { .memory_size = PROBE_BYTES };

	p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
	if (p->vm < 0)
		return false;
	(void)!ioctl(p->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	(void)!ioctl(p->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul);
	p->mem = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->mem == MAP_FAILED) {
		p->mem = NULL;
		return false;
	}
	memcpy(p->mem + 0x1000, code, sizeof(code));
	region.userspace_addr = (uintptr_t)p->mem;
	if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return false;
	p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
	if (p->vcpu < 0)
		return false;
	p->run_bytes = (size_t)ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	p->run = mmap(NULL, p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	if (p->run == MAP_FAILED) {
		p->run = NULL;
		return false;
	}
	return probe_cpuid(p) && probe_registers(p);
}

static void probe_close(struct probe *p)
{
	if (p->run)
		munmap(p->run, p->run_bytes);
	if (p->mem)
		munmap(p->mem, PROBE_BYTES);
	if (p->vcpu >= 0)
		close(p->vcpu);
	if (p->vm >= 0)
		close(p->vm);
	close(p->kvm);
}

/* Run from @rip until HLT; a signal may interrupt. */
static bool probe_run(const struct probe *p, uint64_t rip, uint64_t rcx)
{
	struct kvm_regs r = { .rip = rip, .rflags = X86_FLAG_ONE, .rcx = rcx };

	if (ioctl(p->vcpu, KVM_SET_REGS, &r))
		return false;
	while (ioctl(p->vcpu, KVM_RUN, 0))
		if (errno != EINTR)
			return false;
	return p->run->exit_reason == KVM_EXIT_HLT;
}

static bool probe_time(const struct probe *p, uint64_t loops, uint64_t *ips)
{
	uint64_t start = host_clock_ns();

	if (!probe_run(p, 0x1000, loops))
		return false;
	*ips = 2 * loops * UINT64_C(1000000000) / MAX(host_clock_ns() - start, UINT64_C(1));
	return true;
}

/*
 * Ring 0's speed. The first entry also maps memory, so it does not count. An
 * entry and exit cost some microseconds: what is not hopeless after few
 * instructions is measured again over many.
 */
static bool probe_speed(const struct probe *p, struct cpu_probe *out)
{
	if (!probe_run(p, 0x1000, 1) || !probe_time(p, LOOPS_FEW, &out->kernel_ips))
		return false;
	if (out->kernel_ips >= HOPELESS_IPS && !probe_time(p, LOOPS_MANY, &out->kernel_ips))
		return false;
	out->fast = out->kernel_ips >= FAST_IPS;
	return true;
}

static bool probe_identity(const struct probe *p, struct cpu_probe *out)
{
	struct kvm_regs r;

	if (!probe_run(p, 0x1004, 0) || ioctl(p->vcpu, KVM_GET_REGS, &r))
		return false;
	out->cpuid_honoured = (uint32_t)r.rsi == PROBE_SIGNATURE && !(uint32_t)r.rbx;
	return true;
}

void kvm_probe(struct cpu_probe *out)
{
	struct probe p = { .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), .vm = -1, .vcpu = -1 };

	*out = (struct cpu_probe){ 0 };
	if (p.kvm < 0) {
		fmt_string(out->text, sizeof(out->text), "/dev/kvm: %s", host_os_error_text(errno));
		return;
	}
	out->usable = probe_open(&p) && probe_speed(&p, out) && probe_identity(&p, out);
	if (!out->usable)
		fmt_string(out->text, sizeof(out->text), "/dev/kvm is there but does not run a test guest");
	else if (!out->fast)
		fmt_string(out->text, sizeof(out->text), "this KVM emulates the guest's kernel (about %llu.%llu million instructions a second)%s",
			   (unsigned long long)(out->kernel_ips / 1000000), (unsigned long long)(out->kernel_ips / 100000 % 10),
			   out->cpuid_honoured ? "" : " and shows the host's CPUID whatever it is told");
	else
		fmt_string(out->text, sizeof(out->text), "hardware virtualization%s",
			   out->cpuid_honoured ? "" : ", but the guest sees the host's CPUID: no portable snapshots");
	probe_close(&p);
}
