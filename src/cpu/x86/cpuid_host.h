/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor under us answers to CPUID. */
#ifndef LODGE_CPU_X86_CPUID_HOST_H
#define LODGE_CPU_X86_CPUID_HOST_H

#include "cpu/x86/cpuid.h"

void cpuid_host(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);
/* Does the host's operating system save AVX state? */
bool cpuid_host_avx_enabled(void);
/* The instruction sets that guests of @level run natively and this host lacks, as text ("avx2, bmi2"); the length, 0: none. */
size_t cpuid_host_missing(enum cpu_level level, char *buf, size_t cap);

#endif
