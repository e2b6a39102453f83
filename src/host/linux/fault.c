/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's one handler of synchronous faults. The engines' hooks look
 * first; a fault that is not its own is a crash: the crash hook puts the
 * terminal right, then the handler that was there before us (a sanitizer's, an
 * embedder's, or the default action) gets the signal.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "base/compiler.h"
#include "host/host_ops.h"
#include "host/linux/linux.h"

#define FAULT_SIGNALS 6
#define FAULT_HOOKS 4
#define FAULT_STACK_BYTES ((size_t)128 * 1024) /* an AVX-512 frame, and sanitizers' reports */

/*
 * Install-once and process-wide by nature; the one exception to "no mutable
 * globals" besides the current vcpu (docs/ARCHITECTURE.md).
 */
static struct {
	pthread_once_t once;
	int os_error;
	_Atomic(host_fault_fn *) hooks[FAULT_HOOKS]; /* filled from the first */
	_Atomic(void (*)(void)) crash;
	struct sigaction previous[FAULT_SIGNALS]; /* as fault_signal[] */
} fault_state = { .once = PTHREAD_ONCE_INIT };

static const struct {
	int sig, kind;
} fault_signal[FAULT_SIGNALS] = {
	{ SIGSEGV, HOST_FAULT_SEGV }, { SIGBUS, HOST_FAULT_BUS },   { SIGFPE, HOST_FAULT_FPE },
	{ SIGILL, HOST_FAULT_ILL },   { SIGTRAP, HOST_FAULT_TRAP }, { SIGABRT, -1 },
};

/* Hardware's numbering of the general registers. */
static const int gpr_index[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static bool fault_is_hooked(int kind, const siginfo_t *info, ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	struct host_fault fault = {
		.kind = kind,
		.addr = (uintptr_t)info->si_addr,
		.error_code = (uint64_t)regs[REG_ERR],
		.rip = (uint64_t *)(void *)&regs[REG_RIP],
		.rflags = (uint64_t *)(void *)&regs[REG_EFL],
		.xsave = uc->uc_mcontext.fpregs,
	};

	for (int i = 0; i < 16; i++)
		fault.gpr[i] = (uint64_t *)(void *)&regs[gpr_index[i]];
	for (int i = 0; i < FAULT_HOOKS; i++) {
		host_fault_fn *hook = atomic_load_explicit(&fault_state.hooks[i], memory_order_acquire);

		if (hook && hook(&fault))
			return true;
	}
	return false;
}

void linux_die_of_signal(int sig)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigaction(sig, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig);
}

static void fault_pass_on(const struct sigaction *previous, int sig, siginfo_t *info, void *context)
{
	if (previous->sa_flags & SA_SIGINFO)
		previous->sa_sigaction(sig, info, context);
	else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN)
		previous->sa_handler(sig);
	else
		linux_die_of_signal(sig);
}

static void fault_handler(int sig, siginfo_t *info, void *context)
{
	void (*crash)(void) = atomic_load_explicit(&fault_state.crash, memory_order_acquire);
	int saved = errno;
	unsigned i = 0;

	/* The guest's AC may be set in generated code, and the kernel hands it on to us; C code is not aligned for it. */
	__asm__ volatile("pushfq; andq $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
	while (i < FAULT_SIGNALS - 1 && fault_signal[i].sig != sig)
		i++;
	/* Only what the CPU raised, not kill(2). */
	if (info->si_code > 0 && fault_signal[i].kind >= 0 && fault_is_hooked(fault_signal[i].kind, info, context)) {
		errno = saved;
		return;
	}
	if (crash)
		crash();
	errno = saved;
	fault_pass_on(&fault_state.previous[i], sig, info, context);
}

static void fault_handlers_install(void)
{
	struct sigaction action = { .sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	/* No other handler of ours may interrupt it between the fault and its repair. */
	sigfillset(&action.sa_mask);
	for (unsigned i = 0; i < FAULT_SIGNALS; i++)
		sigdelset(&action.sa_mask, fault_signal[i].sig);
	for (unsigned i = 0; i < FAULT_SIGNALS; i++) {
		if (sigaction(fault_signal[i].sig, &action, &fault_state.previous[i]))
			fault_state.os_error = errno;
	}
}

static enum lodge_err fault_handlers_once(struct lodge_error *err)
{
	pthread_once(&fault_state.once, fault_handlers_install);
	if (fault_state.os_error)
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, fault_state.os_error, "cannot install fault handlers");
	return LODGE_OK;
}

enum lodge_err host_fault_hook_install(host_fault_fn *fn, struct lodge_error *err)
{
	for (int i = 0; i < FAULT_HOOKS; i++) {
		host_fault_fn *expected = NULL;

		if (atomic_compare_exchange_strong(&fault_state.hooks[i], &expected, fn) || expected == fn)
			return fault_handlers_once(err);
	}
	return error_set(err, LODGE_ERR_BUSY, "too many fault hooks are installed");
}

enum lodge_err linux_crash_hook_install(void (*fn)(void), struct lodge_error *err)
{
	atomic_store_explicit(&fault_state.crash, fn, memory_order_release);
	return fault_handlers_once(err);
}

/* ---- alternate stacks ---- */

enum lodge_err host_fault_thread_init(struct lodge_error *err)
{
	stack_t stack = { .ss_size = FAULT_STACK_BYTES }, old;

	if (!sigaltstack(NULL, &old) && !(old.ss_flags & SS_DISABLE))
		return LODGE_OK; /* has one */
	/* The lowest page stays without access: an overflow is a crash, not corruption. */
	stack.ss_sp = mmap(NULL, FAULT_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return error_set_os(err, LODGE_ERR_NOMEM, errno, "no memory for a signal stack");
	mprotect(stack.ss_sp, 4096, PROT_NONE);
	if (sigaltstack(&stack, NULL)) {
		int saved = errno;

		munmap(stack.ss_sp, FAULT_STACK_BYTES);
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, saved, "cannot set a signal stack");
	}
	return LODGE_OK;
}

void host_fault_thread_fini(void)
{
	stack_t disable = { .ss_flags = SS_DISABLE }, old;

	/* A stack of another size is a sanitizer's or the embedder's. */
	if (sigaltstack(NULL, &old) || (old.ss_flags & SS_DISABLE) || old.ss_size != FAULT_STACK_BYTES)
		return;
	if (!sigaltstack(&disable, NULL))
		munmap(old.ss_sp, FAULT_STACK_BYTES);
}
