/* SPDX-License-Identifier: Apache-2.0 */
/* Where the guest files are that `lodge run` takes when none are named. */
#ifndef LODGE_CLI_DEFAULTS_H
#define LODGE_CLI_DEFAULTS_H

#include "base/compiler.h"

/*
 * The path of @name below $LODGE_GUEST_DIR, beside the program (build/guest) or
 * below the installed data directory; false if it is in none of them.
 */
bool defaults_find(const char *name, char *path, size_t cap);

#endif
