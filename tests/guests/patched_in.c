/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux patches into itself where CPUID says so works in ring 0. A KVM in
 * software may answer CPUID with the host's features, whatever model it was given.
 */
#include "guest.h"

void guest_main(void)
{
	if (cpuid(1, 0).c & 1 << 23)
		CHECK_EQ(TRY("popcnt %%rax, %%rax", : : "rax", "cc"), NO_TRAP);
	if (cpuid(7, 0).b & 1 << 20) {
		CHECK_EQ(TRY("clac", : : "cc"), NO_TRAP);
		CHECK_EQ(TRY("stac\n\tclac", : : "cc"), NO_TRAP);
	}
	if (cpuid(7, 0).b & 1 << 9)
		CHECK_EQ(TRY("mov %%rsp, %%rsi\n\tmov %%rsp, %%rdi\n\tmov $8, %%ecx\n\trep movsb", : : "rcx", "rsi", "rdi", "memory"), NO_TRAP);
	CHECK_EQ(TRY("lfence\n\trdtsc", : : "rax", "rdx"), NO_TRAP);
}
