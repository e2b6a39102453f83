/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vcpu under KVM: its run loop, interrupts from the machine's local APIC,
 * sleep, and how other threads reach it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "cpu/kvm/kvm.h"
#include "cpu/x86/fpu.h"
#include "cpu/x86/pv.h"

#define KICK_SIGNAL SIGUSR1

static void on_kick(int sig)
{
	(void)sig; /* its arrival makes KVM_RUN return */
}

enum lodge_err kvm_signal_install(struct lodge_error *err)
{
	struct sigaction action = { .sa_handler = on_kick };

	if (sigaction(KICK_SIGNAL, &action, NULL))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot set a signal handler");
	return LODGE_OK;
}

/* ---- requests, any thread ---- */

void kvm_vcpu_request(struct cpu_vcpu *v, uint32_t bits, uint32_t arg)
{
	if (bits & CPU_REQ_SIPI)
		atomic_store_explicit(&v->sipi, arg, memory_order_seq_cst);
	atomic_fetch_or_explicit(&v->request, bits, memory_order_seq_cst);
	/* Pairs with run_once(): either it sees the request after clearing immediate_exit, or this makes KVM_RUN return. */
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (atomic_load_explicit(&v->in_kvm, memory_order_seq_cst) && !pthread_equal(v->thread, pthread_self()))
		pthread_kill(v->thread, KICK_SIGNAL);
	atomic_fetch_add_explicit(&v->sleep_word, 1, memory_order_seq_cst);
	host_wake(&v->sleep_word, true);
}

static uint32_t request_take(struct cpu_vcpu *v, uint32_t bits)
{
	return atomic_fetch_and_explicit(&v->request, ~bits, memory_order_seq_cst) & bits;
}

/* ---- creation ---- */

static enum lodge_err cpu_open(struct cpu_vcpu *v, unsigned index, struct lodge_error *err)
{
	v->cpu = host_alloc_sparse(sizeof(*v->cpu));
	if (!v->cpu)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory for vcpu %u", index);
	v->cpu->model = v->vm->config.model;
	v->cpu->mem = v->vm->config.mem;
	v->cpu->index = index;
	cpu_reset(v->cpu, index == 0);
	return cpu_fp_create(v->cpu, err);
}

enum lodge_err kvm_vcpu_open(struct cpu_vcpu *v, unsigned index, struct lodge_error *err)
{
	if (cpu_open(v, index, err) != LODGE_OK)
		return err->code;
	v->fd = ioctl(v->vm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (v->fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "KVM cannot create vcpu %u", index);
	fcntl(v->fd, F_SETFD, FD_CLOEXEC);
	v->run = mmap(NULL, v->vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return error_set_os(err, LODGE_ERR_NOMEM, errno, "cannot map vcpu %u", index);
	}
	return kvm_cpuid_put(v, err);
}

void kvm_vcpu_close(struct cpu_vcpu *v)
{
	if (v->run)
		munmap(v->run, v->vm->run_bytes);
	if (v->fd >= 0)
		close(v->fd);
	if (v->cpu) {
		cpu_fp_destroy(v->cpu);
		host_free_sparse(v->cpu, sizeof(*v->cpu));
	}
}

/* ---- running ---- */

/* Enter the guest. *entered is false when a signal or request came first. */
static enum lodge_err run_once(struct cpu_vcpu *v, bool wait, struct lodge_error *err, bool *entered)
{
	const struct x86_env_ops *env = v->cpu->env;
	uint64_t cr8 = env->cr8_read(v->cpu->env_ctx);
	int rc;

	v->run->cr8 = cr8;
	atomic_store_explicit(&v->in_kvm, true, memory_order_seq_cst);
	__atomic_store_n(&v->run->immediate_exit, !wait, __ATOMIC_SEQ_CST);
	if (atomic_load_explicit(&v->request, memory_order_seq_cst))
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	rc = ioctl(v->fd, KVM_RUN, 0);
	atomic_store_explicit(&v->in_kvm, false, memory_order_seq_cst);
	v->incomplete = false;
	v->stats.kvm_exits++;
	v->ready = v->run->ready_for_interrupt_injection;
	v->if_flag = v->run->if_flag;
	if (v->run->cr8 != cr8)
		env->cr8_write(v->cpu->env_ctx, v->run->cr8);
	*entered = rc == 0;
	if (rc == 0 || errno == EINTR || errno == EAGAIN)
		return LODGE_OK;
	return error_set_os(err, LODGE_ERR_IO, errno, "KVM cannot run vcpu %u", v->cpu->index);
}

/* Let KVM finish the instruction whose I/O we did, without running further. */
static enum lodge_err complete(struct cpu_vcpu *v, bool *done, enum cpu_exit *exit, struct lodge_error *err)
{
	bool entered;

	while (v->incomplete) {
		if (run_once(v, false, err, &entered) != LODGE_OK)
			return err->code;
		if (entered && kvm_exit_dispatch(v, done, exit, err) != LODGE_OK)
			return err->code;
	}
	return LODGE_OK;
}

/* INIT and SIPI change state; the engine-neutral code does it. */
static enum lodge_err serve_startup(struct cpu_vcpu *v, uint32_t bits, struct lodge_error *err)
{
	if ((bits & CPU_REQ_INIT) && kvm_state_get(v, err) != LODGE_OK)
		return err->code;
	/* A SIPI is for a vcpu that waits; its state is complete in s (from INIT or reset). */
	if (!(bits & CPU_REQ_INIT) && v->cpu->s.activity != X86_WAIT_SIPI)
		return LODGE_OK;
	atomic_store(&v->cpu->request_sipi, atomic_load(&v->sipi));
	cpu_request(v->cpu, bits);
	x86_serve_requests(v->cpu);
	atomic_store(&v->cpu->request, 0);
	return kvm_state_put(v, err);
}

enum lodge_err kvm_vcpu_settle(struct cpu_vcpu *v, struct lodge_error *err)
{
	uint32_t bits = request_take(v, CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_NMI);

	if (v->cpu->s.activity == X86_SHUTDOWN)
		return LODGE_OK;
	if ((bits & (CPU_REQ_INIT | CPU_REQ_SIPI)) && serve_startup(v, bits & (CPU_REQ_INIT | CPU_REQ_SIPI), err) != LODGE_OK)
		return err->code;
	if (kvm_state_get(v, err) != LODGE_OK)
		return err->code;
	kvm_tsc_get(v);
	if (bits & CPU_REQ_NMI)
		v->cpu->s.nmi_pending = 1;
	return LODGE_OK;
}

static enum lodge_err serve(struct cpu_vcpu *v, bool *done, enum cpu_exit *exit, struct lodge_error *err)
{
	uint32_t bits = request_take(v, UINT32_MAX);

	if ((bits & (CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_STOP)) && complete(v, done, exit, err) != LODGE_OK)
		return err->code;
	if ((bits & (CPU_REQ_INIT | CPU_REQ_SIPI)) && serve_startup(v, bits & (CPU_REQ_INIT | CPU_REQ_SIPI), err) != LODGE_OK)
		return err->code;
	if (bits & CPU_REQ_NMI && v->cpu->s.activity != X86_WAIT_SIPI) {
		if (ioctl(v->fd, KVM_NMI))
			return error_set_os(err, LODGE_ERR_IO, errno, "KVM takes no NMI");
		if (v->cpu->s.activity == X86_HALTED)
			v->cpu->s.activity = X86_RUNNING;
	}
	if (bits & CPU_REQ_STOP) {
		*done = true;
		*exit = CPU_EXIT_STOPPED;
	}
	return LODGE_OK;
}

/* Offer the local APIC's interrupt to KVM, or ask to be told when the guest can take it. */
static enum lodge_err interrupts(struct cpu_vcpu *v, struct lodge_error *err)
{
	const struct x86_env_ops *env = v->cpu->env;
	void *ctx = v->cpu->env_ctx;
	bool pending = env->intr_pending(ctx);

	if (pending && v->cpu->s.activity == X86_HALTED && v->if_flag)
		v->cpu->s.activity = X86_RUNNING;
	if (pending && v->ready && !v->incomplete) {
		int vector = env->intr_ack(ctx);
		struct kvm_interrupt irq = { .irq = (uint32_t)vector };

		if (vector >= 0) {
			v->stats.interrupts++;
			v->ready = false;
			if (ioctl(v->fd, KVM_INTERRUPT, &irq))
				return error_set_os(err, LODGE_ERR_IO, errno, "KVM takes no interrupt");
		}
		pending = env->intr_pending(ctx);
	}
	v->run->request_interrupt_window = pending;
	return LODGE_OK;
}

static void halt(struct cpu_vcpu *v)
{
	uint32_t word = atomic_load_explicit(&v->sleep_word, memory_order_seq_cst);
	uint64_t start;

	if (atomic_load_explicit(&v->request, memory_order_seq_cst))
		return;
	v->stats.halts++;
	start = host_clock_ns();
	host_wait(&v->sleep_word, word, UINT64_MAX);
	v->stats.idle_ns += host_clock_ns() - start;
}

enum cpu_exit kvm_vcpu_run(struct cpu_vcpu *v, struct lodge_error *err)
{
	enum cpu_exit exit = CPU_EXIT_STOPPED;
	bool done = false, entered;

	while (!done) {
		if (atomic_load_explicit(&v->request, memory_order_relaxed) && serve(v, &done, &exit, err) != LODGE_OK)
			return CPU_EXIT_ERROR;
		if (done)
			break;
		if (v->cpu->s.activity == X86_SHUTDOWN)
			return CPU_EXIT_SHUTDOWN;
		if (v->cpu->s.activity != X86_WAIT_SIPI && interrupts(v, err) != LODGE_OK)
			return CPU_EXIT_ERROR;
		if (v->cpu->s.activity != X86_RUNNING) {
			halt(v);
			continue;
		}
		x86_pv_steal_update(v->cpu);
		if (run_once(v, true, err, &entered) != LODGE_OK)
			return CPU_EXIT_ERROR;
		if (entered && kvm_exit_dispatch(v, &done, &exit, err) != LODGE_OK)
			return CPU_EXIT_ERROR;
	}
	return exit;
}
