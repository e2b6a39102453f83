/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoint matching and the debug traps (debug.h). */
#include "cpu/x86/debug.h"
#include "cpu/x86/interp.h"

enum { DR_EXEC = 0, DR_WRITE = 1, DR_IO = 2, DR_READ_WRITE = 3 };

static bool dr_enabled(const struct x86_cpu *cpu, unsigned n)
{
	return cpu->s.dr7 >> (2 * n) & 3;
}

static unsigned dr_kind(const struct x86_cpu *cpu, unsigned n)
{
	return cpu->s.dr7 >> (16 + 4 * n) & 3;
}

static uint64_t dr_bytes(const struct x86_cpu *cpu, unsigned n)
{
	static const uint8_t bytes[4] = { 1, 2, 8, 4 };

	return bytes[cpu->s.dr7 >> (18 + 4 * n) & 3];
}

static bool dr_overlaps(const struct x86_cpu *cpu, unsigned n, uint64_t addr, uint64_t len)
{
	uint64_t bytes = dr_bytes(cpu, n);
	uint64_t start = cpu->s.dr[n] & ~(bytes - 1);

	return addr < start + bytes && start < addr + len;
}

bool x86_check_code_breakpoint(struct x86_cpu *cpu)
{
	uint64_t lin = cpu->s.rip + (cpu->long_mode ? 0 : cpu->s.seg[X86_CS].base);
	unsigned hits = 0;

	if (!(cpu->s.dr7 & X86_DR7_ENABLES) || (cpu->s.rflags & X86_FLAG_RF))
		return false;
	if (!cpu->long_mode)
		lin = (uint32_t)lin;
	for (unsigned n = 0; n < 4; n++)
		if (dr_enabled(cpu, n) && dr_kind(cpu, n) == DR_EXEC && cpu->s.dr[n] == lin)
			hits |= 1u << n;
	if (!hits)
		return false;
	cpu->s.dr6 = (cpu->s.dr6 & ~UINT64_C(0xf)) | hits;
	cpu_fault(cpu, X86_EXC_DB, false, 0);
	return true;
}

bool x86_trap_after_insn(struct x86_cpu *cpu, bool tf_before)
{
	if (likely(!tf_before && !cpu->debug_hits))
		return false;
	if (unlikely(cpu->debug_hits & X86_DEBUG_NO_STEP)) {
		cpu->debug_hits = 0;
		return false;
	}
	if (cpu->s.interrupt_shadow == 2)
		return false; /* the single-step trap is lost, as on hardware; data hits stay pending */
	cpu->s.dr6 &= ~UINT64_C(0xf);
	cpu->s.dr6 |= cpu->debug_hits | (tf_before ? X86_DR6_BS : 0u);
	cpu->debug_hits = 0;
	cpu_fault(cpu, X86_EXC_DB, false, 0);
	x86_raise(cpu);
	return true;
}

bool x86_debug_page_watched(const struct x86_cpu *cpu, uint64_t lin)
{
	uint64_t page = lin & ~UINT64_C(0xfff);

	for (unsigned n = 0; n < 4; n++)
		if (dr_enabled(cpu, n) && (dr_kind(cpu, n) & 1) && dr_overlaps(cpu, n, page, MEMORY_PAGE_BYTES))
			return true;
	return false;
}

void x86_debug_data_access(struct x86_cpu *cpu, uint64_t lin, unsigned len, bool write)
{
	for (unsigned n = 0; n < 4; n++) {
		unsigned kind = dr_kind(cpu, n);

		if (!dr_enabled(cpu, n) || !(kind & 1) || (kind == DR_WRITE && !write))
			continue;
		if (dr_overlaps(cpu, n, lin, len))
			cpu->debug_hits |= (uint8_t)(1u << n);
	}
}

void x86_debug_io_access(struct x86_cpu *cpu, uint16_t port, unsigned size)
{
	if (!(cpu->s.cr4 & X86_CR4_DE))
		return;
	for (unsigned n = 0; n < 4; n++)
		if (dr_enabled(cpu, n) && dr_kind(cpu, n) == DR_IO && dr_overlaps(cpu, n, port, size))
			cpu->debug_hits |= (uint8_t)(1u << n);
}
