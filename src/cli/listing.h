/* SPDX-License-Identifier: Apache-2.0 */
/* A translated block for people: the guest's instructions and what became of them. For `lodge debug block` only. */
#ifndef LODGE_CLI_LISTING_H
#define LODGE_CLI_LISTING_H

#include <stdio.h>
#include "cpu/cpu_backend.h"

/* Does this build have a disassembler? */
bool listing_available(void);
void listing_print(FILE *f, const struct cpu_translation *t);

#endif
