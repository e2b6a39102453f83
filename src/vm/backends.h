/* SPDX-License-Identifier: Apache-2.0 */
/* Which engines this build has, and which one "auto" takes on this host. */
#ifndef LODGE_VM_BACKENDS_H
#define LODGE_VM_BACKENDS_H

#include "cpu/cpu_backend.h"
#include "vm/vm_config.h"

/* VM_ACCEL_AUTO is not one. */
const struct cpu_backend_ops *vm_backend(enum vm_accel accel);

/* *why, a constant sentence, tells the user the reason for the choice. */
enum lodge_err vm_backend_choose(enum vm_accel accel, const struct cpu_backend_ops **out, const char **why, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
