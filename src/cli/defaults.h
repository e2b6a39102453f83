/* SPDX-License-Identifier: Apache-2.0 */
/* Where the guest files are that `lodge run` takes when none are named. */
#ifndef LODGE_CLI_DEFAULTS_H
#define LODGE_CLI_DEFAULTS_H

#include "base/compiler.h"

/*
 * The path of @name below $LODGE_GUEST_DIR, else below guest/ beside the program
 * or in the installed data directory; NULL if it is in none of them. The
 * caller frees it.
 */
char *defaults_find(const char *name);

#endif
