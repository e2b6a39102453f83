/* SPDX-License-Identifier: Apache-2.0 */
/* Is everything that the translator emits an instruction that it is meant to emit? */
#ifndef LODGE_TESTS_SOFT_AUDIT_H
#define LODGE_TESTS_SOFT_AUDIT_H

#include "cpu/cpu_backend.h"

struct audit {
	unsigned long blocks, insns, refused;
};

/* A cpu_vm_config.translated; @ctx is a struct audit. Prints what it refuses. */
void audit_translation(void *ctx, const struct cpu_translation *t);
/* May generated code have the instruction at @bytes? */
bool audit_allows(const uint8_t *bytes, size_t len);

#endif
