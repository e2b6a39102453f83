/* SPDX-License-Identifier: Apache-2.0 */
/* The kvm engine behind cpu_backend.h: creation, capabilities, state exchange. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cpu/kvm/kvm.h"
#include "cpu/x86/fpu.h"
#include "cpu/x86/pv.h"

#define HV_FEATURES_LEAF 0x40000001u
/* Intel's real mode without "unrestricted guest" wants these four pages; below firmware, above the APICs. */
#define IDENTITY_MAP UINT64_C(0xfeffc000)
#define TSS_PAGES UINT64_C(0xfeffd000)

#define MSR_APIC_BASE 0x1bu
#define MSR_WALL_CLOCK_OLD 0x11u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_KVM_FIRST 0x4b564d00u
#define MSR_KVM_COUNT 6u

static enum lodge_err device_open(struct cpu_vm *vm, struct lodge_error *err)
{
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return error_set_os(err, errno == ENOENT ? LODGE_ERR_UNSUPPORTED : LODGE_ERR_PERM, errno,
				    "cannot open /dev/kvm (use --accel soft, or get access: group 'kvm')");
	if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "/dev/kvm speaks an unknown version");
	vm->run_bytes = (size_t)ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return LODGE_OK;
}

static enum lodge_err capabilities_check(const struct cpu_vm *vm, struct lodge_error *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "USER_MEMORY" }, { KVM_CAP_READONLY_MEM, "READONLY_MEM" }, { KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
		{ KVM_CAP_DEBUGREGS, "DEBUGREGS" }, { KVM_CAP_XSAVE, "XSAVE" }, { KVM_CAP_XCRS, "XCRS" }, { KVM_CAP_SREGS2, "SREGS2" },
		{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" }, { KVM_CAP_X86_USER_SPACE_MSR, "X86_USER_SPACE_MSR" },
		{ KVM_CAP_X86_MSR_FILTER, "X86_MSR_FILTER" }, { KVM_CAP_USER_NMI, "USER_NMI" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return error_set(err, LODGE_ERR_UNSUPPORTED, "this host's KVM lacks %s (Linux 5.14 has it); use --accel soft", needed[i].name);
	return LODGE_OK;
}

static enum lodge_err capability_enable(const struct cpu_vm *vm, uint32_t cap, uint64_t arg, const char *name, struct lodge_error *err)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	if (ioctl(vm->vm_fd, KVM_ENABLE_CAP, &enable))
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, errno, "KVM does not enable %s", name);
	return LODGE_OK;
}

/* These MSRs come to us: they belong to the machine's APIC and to the engine-neutral paravirtual clock. */
static enum lodge_err msrs_claim(const struct cpu_vm *vm, struct lodge_error *err)
{
	static uint8_t none[8]; /* a clear bit denies KVM the register */
	const uint32_t rw = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges = {
			{ .flags = rw, .base = MSR_APIC_BASE, .nmsrs = 1, .bitmap = none },
			{ .flags = rw, .base = MSR_WALL_CLOCK_OLD, .nmsrs = 2, .bitmap = none },
			{ .flags = rw, .base = MSR_TSC_DEADLINE, .nmsrs = 1, .bitmap = none },
			{ .flags = rw, .base = MSR_KVM_FIRST, .nmsrs = MSR_KVM_COUNT, .bitmap = none },
		},
	};

	if (capability_enable(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER,
			      "X86_USER_SPACE_MSR", err) != LODGE_OK)
		return err->code;
	if (ioctl(vm->vm_fd, KVM_X86_SET_MSR_FILTER, &filter))
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, errno, "KVM does not filter MSRs");
	return LODGE_OK;
}

/*
 * Paravirtual features that KVM answers by itself and only with its own APIC,
 * or that would need it to flush TLBs for us, are not offered.
 */
static void model_adapt(struct x86_cpu_model *m)
{
	m->pv_features &= ~(1u << KVM_PV_PV_UNHALT | 1u << KVM_PV_PV_SEND_IPI | 1u << KVM_PV_PV_TLB_FLUSH | 1u << KVM_PV_PV_SCHED_YIELD);
	for (unsigned i = 0; i < m->nentries; i++)
		if (m->entries[i].leaf == HV_FEATURES_LEAF)
			m->entries[i].r.eax = m->pv_features;
}

static enum lodge_err vm_set_up(struct cpu_vm *vm, struct lodge_error *err)
{
	uint64_t identity = IDENTITY_MAP;

	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->vm_fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "KVM cannot create a virtual machine");
	fcntl(vm->vm_fd, F_SETFD, FD_CLOEXEC);
	/* AMD's KVM knows neither; it needs none. */
	(void)!ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	(void)!ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_PAGES);
	if (kvm_msrs_find(vm, err) != LODGE_OK || msrs_claim(vm, err) != LODGE_OK)
		return err->code;
	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0 &&
	    capability_enable(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, "EXIT_ON_EMULATION_FAILURE", err) != LODGE_OK)
		return err->code;
	return kvm_slots_update(vm, err);
}

static void vm_destroy(struct cpu_vm *vm)
{
	if (!vm)
		return;
	if (vm->vm_fd >= 0)
		close(vm->vm_fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	free(vm);
}

static enum lodge_err vm_create(const struct cpu_vm_config *config, struct cpu_vm **out, struct lodge_error *err)
{
	struct cpu_vm *vm = calloc(1, sizeof(*vm));
	enum lodge_err rc;

	if (!vm)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	vm->config = *config;
	vm->hardware = *config->model;
	cpu_model_open_gates(&vm->hardware);
	vm->kvm_fd = vm->vm_fd = -1;
	vm->tsc_offset_attr = true;
	rc = device_open(vm, err);
	if (rc == LODGE_OK)
		rc = capabilities_check(vm, err);
	if (rc == LODGE_OK)
		rc = kvm_signal_install(err);
	if (rc == LODGE_OK)
		rc = cpu_fp_install_fault_hook(err);
	if (rc == LODGE_OK)
		rc = vm_set_up(vm, err);
	if (rc != LODGE_OK) {
		vm_destroy(vm);
		return rc;
	}
	*out = vm;
	return LODGE_OK;
}

static void vcpu_destroy(struct cpu_vcpu *v)
{
	if (!v)
		return;
	if (v->cpu)
		v->vm->vcpu[v->cpu->index] = NULL;
	kvm_vcpu_close(v);
	free(v);
}

static enum lodge_err vcpu_create(struct cpu_vm *vm, unsigned index, const struct x86_env_ops *env, void *env_ctx, struct cpu_vcpu **out,
				  struct lodge_error *err)
{
	struct cpu_vcpu *v;

	if (index >= KVM_VCPUS_MAX)
		return error_set(err, LODGE_ERR_ARG, "at most %d vcpus", KVM_VCPUS_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory for vcpu %u", index);
	v->vm = vm;
	v->fd = -1;
	if (kvm_vcpu_open(v, index, err) != LODGE_OK) {
		kvm_vcpu_close(v);
		free(v);
		return err->code;
	}
	v->cpu->env = env;
	v->cpu->env_ctx = env_ctx;
	vm->vcpu[index] = v;
	*out = v;
	return LODGE_OK;
}

static enum lodge_err thread_init(struct cpu_vcpu *v, struct lodge_error *err)
{
	sigset_t set;

	v->thread = pthread_self();
	cpu_current = v->cpu;
	x86_pv_thread_begins(v->cpu);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (pthread_sigmask(SIG_UNBLOCK, &set, NULL))
		return error_set(err, LODGE_ERR_INTERNAL, "cannot unblock a signal");
	return LODGE_OK;
}

static void thread_fini(struct cpu_vcpu *v)
{
	(void)v;
	cpu_current = NULL;
}

static void vcpu_stop(struct cpu_vcpu *v)
{
	kvm_vcpu_request(v, CPU_REQ_STOP, 0);
}

static enum lodge_err get_state(struct cpu_vcpu *v, struct x86_state *out, struct lodge_error *err)
{
	enum lodge_err rc = kvm_vcpu_settle(v, err);

	*out = v->cpu->s;
	return rc;
}

static enum lodge_err set_state(struct cpu_vcpu *v, const struct x86_state *in, struct lodge_error *err)
{
	v->cpu->s = *in;
	v->cpu->s.rflags |= X86_FLAG_ONE;
	/* KVM wakes nobody that sleeps here. */
	if (in->activity == X86_HALTED && in->nmi_pending && !in->nmi_blocked)
		v->cpu->s.activity = X86_RUNNING;
	v->incomplete = false;
	v->tlb_stale = true;
	cpu_fp_loaded(v->cpu);
	cpu_update_mode(v->cpu);
	atomic_store_explicit(&v->request, CPU_REQ_INTR, memory_order_seq_cst);
	if (kvm_tsc_put(v, err) != LODGE_OK)
		return err->code;
	return kvm_state_put(v, err);
}

static void stats(struct cpu_vcpu *v, struct cpu_stats *out)
{
	*out = v->stats;
	out->insns_interpreted = v->stats.kvm_fallback_insns;
}

const struct cpu_backend_ops cpu_backend_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.model_adapt = model_adapt,
	.model_check = kvm_model_check,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.thread_init = thread_init,
	.thread_fini = thread_fini,
	.run = kvm_vcpu_run,
	.request = kvm_vcpu_request,
	.stop = vcpu_stop,
	.get_state = get_state,
	.set_state = set_state,
	.stats = stats,
	.memory_changed = kvm_slots_update,
	.taken_over = kvm_slots_forget,
};
