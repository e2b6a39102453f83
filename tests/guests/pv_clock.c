/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's leaves and kvm-clock: signature, a system time that advances with the TSC, hypercalls. */
#include "guest.h"

struct clock { u32 version, pad; u64 tsc, system_time; u32 mul; signed char shift; u8 flags, pad2[2]; };
static volatile struct clock clock __attribute__((aligned(64)));

static u64 clock_now(void)
{
	u64 delta = rdtsc() - clock.tsc;

	if (clock.shift >= 0)
		delta <<= clock.shift;
	else
		delta >>= -clock.shift;
	return clock.system_time + (u64)((unsigned __int128)delta * clock.mul >> 32);
}

void guest_main(void)
{
	struct cpuid r = cpuid(0x40000000, 0);

	if (r.b != 0x4b4d564b || r.c != 0x564b4d56 || r.d != 0x4d)
		guest_skip("no KVM leaves");
	CHECK(r.a >= 0x40000001);
	struct cpuid f = cpuid(0x40000001, 0);
	if (!(f.a & 1 << 3))
		guest_skip("no kvm-clock");
	wrmsr(0x4b564d01, (word)&clock | 1);
	CHECK_EQ(rdmsr(0x4b564d01), (word)&clock | 1);
	CHECK(clock.version && !(clock.version & 1));
	CHECK(clock.mul);
	u64 before = clock_now();
	for (u64 start = rdtsc(); rdtsc() - start < 10000000;)
		;
	u64 after = clock_now();
	CHECK(after > before);
	CHECK(after - before < 10000000000ull);
	/* 10 M cycles at between 0.2 and 20 GHz */
	CHECK(after - before > 500000);
	/* An unknown hypercall: -KVM_ENOSYS. */
	word a = 0xfff;
	if (cpuid(0, 0).b == 0x68747541) /* AMD */
		__asm__ volatile("vmmcall" : "+a"(a) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(a) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory");
	CHECK_EQ(a, -1000ll);
}
