/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID agrees with itself: maximum leaves, out-of-range, the hypervisor's, features that come together, APIC id. */
#include "guest.h"

void guest_main(void)
{
	struct cpuid r = cpuid(0, 0), e = cpuid(0x80000000, 0), f = cpuid(1, 0), x = cpuid(0x80000001, 0);

	CHECK(r.a >= 7 && r.a < 0x40);
	CHECK(e.a >= 0x80000008);
	CHECK(f.d & 1 << 0);  /* x87 */
	CHECK(f.d & 1 << 5);  /* MSRs */
	CHECK(f.d & 1 << 9);  /* APIC */
	CHECK(f.d & 1 << 26); /* SSE2 */
	CHECK(x.d & 1 << 29); /* long mode */
	CHECK(x.d & 1 << 20); /* NX */
	CHECK(f.c >> 31);     /* a hypervisor */
	CHECK_EQ(f.b >> 24, lapic_read(LAPIC_ID) >> 24);
	CHECK(!(f.c & 1 << 27) == !(READ_CR(4) & CR4_OSXSAVE));
	if (f.c & 1 << 28)
		CHECK(f.c & 1 << 26); /* AVX needs XSAVE */
	if (cpuid(7, 0).b & 1 << 5)
		CHECK(f.c & 1 << 28);
	u32 phys = cpuid(0x80000008, 0).a & 0xff;
	CHECK(phys >= 36 && phys <= 52);
	/* Upper halves are cleared. */
	u64 a = ~0ull, b = ~0ull, c = ~0ull, d = ~0ull;
	a = 1;
	__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	CHECK_EQ(a >> 32 | b >> 32 | c >> 32 | d >> 32, 0);
	/* Brand string leaves exist and end. */
	CHECK(cpuid(0x80000002, 0).a != 0);
	/* The same twice. */
	struct cpuid g = cpuid(1, 0);
	CHECK_EQ(g.a, f.a);
	CHECK_EQ(g.d, f.d);
	/* What is announced works. */
	if (x.d & 1 << 27)
		CHECK_EQ(TRY("rdtscp", : : "rax", "rcx", "rdx"), NO_TRAP);
	if (f.c & 1 << 30)
		CHECK_EQ(TRY("rdrand %%eax", : : "rax", "cc"), NO_TRAP);
	if (cpuid(7, 0).b & 1 << 18)
		CHECK_EQ(TRY("rdseed %%eax", : : "rax", "cc"), NO_TRAP);
	if (f.c & 1 << 23)
		CHECK_EQ(TRY("popcnt %%eax, %%eax", : : "rax", "cc"), NO_TRAP);
	if (f.c & 1 << 22)
		CHECK_EQ(TRY("movbe (%%rsp), %%eax", : : "rax"), NO_TRAP);
	if (cpuid(7, 0).b & 1 << 8)
		CHECK_EQ(TRY("bzhi %%eax, %%ecx, %%edx", : : "rdx", "cc"), NO_TRAP);
}
