/* SPDX-License-Identifier: Apache-2.0 */
/* What Zydis knows and guests are not to see: no CPU model offers it. */
#ifndef LODGE_TESTS_HIDDEN_SETS_H
#define LODGE_TESTS_HIDDEN_SETS_H

#include <stdbool.h>
#include <string.h>
#include <Zydis/Zydis.h>

static inline bool is_hidden_set(const ZydisDecodedInstruction *zi)
{
	static const char *const hidden_sets[] = {
		"AVX512", "AVX5124", "KNC", /* EVEX, MVEX and the mask registers */
		"AMD3DNOW", "XOP", "FMA4", "TBM", "LWP",
		"AMX_", "AVX_GFNI", "GFNI", "AVX_VNNI", "AVX_IFMA", "KEYLOCKER", "ENQCMD", "MOVDIR", "WAITPKG", "UINTR", "HRESET",
		"SERIALIZE",
		"VTX", "VMFUNC", "SVM", "SMX", "SGX", "TDX", "SNP", "PCONFIG", "AMD_INVLPGB", "MCOMMIT", "RDPRU", "MONITORX",
		"CET", "MPX", "PKU", "PT", "RTM", "TSX_LDTRK", "CLDEMOTE", "PADLOCK", "VIA_PADLOCK",
	};
	const char *set = ZydisISASetGetString(zi->meta.isa_set);

	for (unsigned i = 0; i < sizeof(hidden_sets) / sizeof(hidden_sets[0]); i++)
		if (!strncmp(set, hidden_sets[i], strlen(hidden_sets[i])))
			return true;
	/* There is no system management mode. */
	return zi->mnemonic == ZYDIS_MNEMONIC_RSM;
}

#endif
