/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of engine; see backends.h. */
#include "vm/backends.h"

const struct cpu_backend_ops *vm_backend(enum vm_accel accel)
{
	return accel == VM_ACCEL_KVM ? &cpu_backend_kvm : &cpu_backend_soft;
}

enum lodge_err vm_backend_choose(enum vm_accel accel, const struct cpu_backend_ops **out, const char **why, struct lodge_error *err)
{
	struct cpu_probe kvm = { 0 };

	(void)err;
	*out = vm_backend(accel);
	*why = "asked for";
	if (accel != VM_ACCEL_AUTO)
		return LODGE_OK;
	cpu_backend_kvm.probe(&kvm);
	if (kvm.usable && kvm.fast) {
		*out = &cpu_backend_kvm;
		*why = "this host has hardware virtualization";
	} else {
		*why = kvm.usable ? "this host's KVM is slower: it emulates the guest's kernel" : "no KVM to be used here; `lodge doctor` says why";
	}
	return LODGE_OK;
}
