/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as KVM's slots. A range that is read from one place and written
 * to another (shadowed ROM) is read-only for KVM: writes come out as MMIO and
 * kvm_exit.c finds the range again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cpu/kvm/kvm.h"

static struct kvm_slot slot_for(const struct memory_range *r)
{
	return (struct kvm_slot){ .base = r->base, .bytes = r->read_hva ? r->bytes : 0, .hva = r->read_hva, .readonly = r->write_hva != r->read_hva };
}

static bool slot_same(const struct kvm_slot *a, const struct kvm_slot *b)
{
	return a->base == b->base && a->bytes == b->bytes && a->hva == b->hva && a->readonly == b->readonly;
}

static enum lodge_err slot_set(struct cpu_vm *vm, unsigned id, const struct kvm_slot *s, struct lodge_error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = s->readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = s->base,
		.memory_size = s->bytes,
		.userspace_addr = (uintptr_t)s->hva,
	};

	if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
		return error_set_os(err, LODGE_ERR_IO, errno, "KVM refuses guest memory at %#llx", (unsigned long long)s->base);
	vm->slots[id] = *s;
	return LODGE_OK;
}

static bool slot_wanted(const struct cpu_vm *vm, const struct kvm_slot *s)
{
	const struct guest_memory *mem = vm->config.mem;

	for (unsigned i = 0; i < mem->nranges; i++) {
		struct kvm_slot want = slot_for(&mem->ranges[i]);

		if (slot_same(s, &want))
			return true;
	}
	return false;
}

/* Give @want a slot unless it has one. */
static enum lodge_err slot_provide(struct cpu_vm *vm, const struct kvm_slot *want, struct lodge_error *err)
{
	unsigned free = MEMORY_RANGES_MAX;

	for (unsigned i = 0; i < MEMORY_RANGES_MAX; i++) {
		if (slot_same(&vm->slots[i], want))
			return LODGE_OK;
		if (!vm->slots[i].bytes && free == MEMORY_RANGES_MAX)
			free = i;
	}
	if (free == MEMORY_RANGES_MAX)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is in too many pieces for KVM");
	return slot_set(vm, free, want, err);
}

/* Does the CPU walk the guest's page tables itself? Else KVM keeps copies of them, which follow only what its vcpus write. */
static bool paging_is_nested(void)
{
	static const char *const files[] = { "/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt" };

	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		int fd = open(files[i], O_RDONLY | O_CLOEXEC);
		char answer = 'N';

		if (fd < 0)
			continue;
		if (read(fd, &answer, 1) != 1)
			answer = 'N';
		close(fd);
		if (answer == 'Y' || answer == '1')
			return true;
	}
	return false;
}

enum lodge_err kvm_slots_forget(struct cpu_vm *vm, struct lodge_error *err)
{
	static const struct kvm_slot none;
	enum lodge_err rc = LODGE_OK;

	if (paging_is_nested())
		return LODGE_OK;
	/* KVM drops all of it for a slot that goes. */
	host_mutex_lock(&vm->slots_lock);
	for (unsigned i = 0; i < MEMORY_RANGES_MAX && rc == LODGE_OK; i++)
		if (vm->slots[i].bytes)
			rc = slot_set(vm, i, &none, err);
	host_mutex_unlock(&vm->slots_lock);
	return rc == LODGE_OK ? kvm_slots_update(vm, err) : rc;
}

enum lodge_err kvm_slots_update(struct cpu_vm *vm, struct lodge_error *err)
{
	static const struct kvm_slot none;
	enum lodge_err rc = LODGE_OK;

	host_mutex_lock(&vm->slots_lock);
	/* What goes must go first: slots may not overlap. A guest that touches it meanwhile exits as for MMIO, which finds the range. */
	for (unsigned i = 0; i < MEMORY_RANGES_MAX && rc == LODGE_OK; i++)
		if (vm->slots[i].bytes && !slot_wanted(vm, &vm->slots[i]))
			rc = slot_set(vm, i, &none, err);
	for (unsigned i = 0; i < vm->config.mem->nranges && rc == LODGE_OK; i++) {
		struct kvm_slot want = slot_for(&vm->config.mem->ranges[i]);

		if (want.bytes)
			rc = slot_provide(vm, &want, err);
	}
	host_mutex_unlock(&vm->slots_lock);
	return rc;
}
