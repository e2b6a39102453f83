/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of engine; see backends.h. */
#include "vm/backends.h"

enum lodge_err vm_backend_choose(enum vm_accel accel, const struct cpu_backend_ops **out, const char **why, struct lodge_error *err)
{
	if (accel == VM_ACCEL_KVM)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "this build has no KVM engine; use --accel soft");
	*out = &cpu_backend_soft;
	*why = accel == VM_ACCEL_SOFT ? "asked for" : "the only engine of this build";
	return LODGE_OK;
}
