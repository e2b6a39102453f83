/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the freestanding core (base, memory, cpu/x86, cpu/soft, devices,
 * machine) asks of whatever it runs on. host/linux/ fills it today; the
 * bare-metal hypervisor will link a twin. Nothing in the core calls anything
 * else of the operating system. Any thread unless said otherwise.
 */
#ifndef LODGE_HOST_HOST_OPS_H
#define LODGE_HOST_HOST_OPS_H

#include <stdatomic.h>
#include "base/compiler.h"
#include "base/error.h"

/* Zeroed memory aligned to @align (power of two, at most 4096), or NULL. */
void *host_alloc(size_t bytes, size_t align) LODGE_MUST_CHECK;
void host_free(void *p); /* NULL is fine */

/* Zeroed, page aligned address space whose pages cost nothing until touched; NULL on failure. */
void *host_alloc_sparse(size_t bytes) LODGE_MUST_CHECK;
void host_free_sparse(void *p, size_t bytes);
/* Whole pages of it lose their content: they read as zeros and cost nothing until touched again. Any thread. */
void host_discard(void *p, size_t bytes);

/*
 * Put the HOST_HUGE_PAGE_BYTES at @p, aligned to as many and all of one sparse
 * area or of the written side of a code area, on a huge page. Some byte of them
 * was written before; what is there stays. A wish: hosts without huge pages do
 * nothing. Areas of at least two of them begin at such a boundary.
 */
#define HOST_HUGE_PAGE_BYTES UINT64_C(0x200000)
void host_want_huge_page(void *p);

/* The same behind an inaccessible page: running off the lower end faults. @bytes is a multiple of 4096. */
void *host_alloc_stack(size_t bytes) LODGE_MUST_CHECK;
void host_free_stack(void *p, size_t bytes);
#define HOST_STACK_GUARD 4096u

/* Nanoseconds: monotonic since some fixed point, and since 1970 (UTC). */
uint64_t host_clock_ns(void);
uint64_t host_wallclock_ns(void);

/* Host time-stamp counter frequency in kHz, 0 if unusable. The first call measures (tens of milliseconds), later ones give the same. */
uint64_t host_tsc_khz(void);

/* Nanoseconds that the calling thread was runnable but waited for a CPU; for steal time. 0 if unknown. */
uint64_t host_thread_runqueue_wait_ns(void);

/* The host's words for one of its error numbers; constant text. */
const char *host_os_error_text(int os_error);

/* Unpredictable bytes from the host. */
void host_random(void *buf, size_t len);

/* A lock that sleeps. Zero-initialised is unlocked. Not recursive. */
struct host_mutex {
	_Atomic uint32_t word;
};
void host_mutex_lock(struct host_mutex *m);
void host_mutex_unlock(struct host_mutex *m);

/*
 * Sleep while *@word == @expected, until host_wake(), @deadline_ns on
 * host_clock_ns()'s scale (UINT64_MAX: none), or spuriously.
 */
void host_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
void host_wake(_Atomic uint32_t *word, bool all);

/* Let another thread run / tell the CPU that this is a spin loop. */
void host_yield(void);

/*
 * Executable memory mapped twice (W^X): written through @rw, run through @rx.
 * Fails with LODGE_ERR_UNSUPPORTED and a reason where the host forbids it.
 */
struct host_code_area {
	uint8_t *rw;
	uint8_t *rx;
	size_t bytes;
};
enum lodge_err host_code_alloc_dual(struct host_code_area *area, size_t bytes, struct lodge_error *err) LODGE_MUST_CHECK;
void host_code_free(struct host_code_area *area);

/* Make every thread of this process serialise its instruction stream (after cross-modifying code). */
void host_sync_core(void);

/* Point the calling thread's GS base at @p; the previous value is lost. libc does not use GS on x86-64. */
void host_set_gs_base(void *p);

/*
 * Install-once hook for synchronous faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP) raised by generated code. The handler runs on the faulting thread's
 * alternate stack. It inspects and may rewrite the frame and returns true when
 * the fault was its own; otherwise the previous handler gets it. General
 * registers are in hardware order (rax rcx rdx rbx rsp rbp rsi rdi r8..r15);
 * vector state on the frame is restored on return and may be read through
 * @xsave (standard format, may be NULL). Each thread that runs generated code
 * calls host_fault_thread_init() first.
 */
struct host_fault {
	int kind;             /* HOST_FAULT_* */
	uint64_t addr;        /* faulting data address for SEGV/BUS */
	uint64_t error_code;  /* the CPU's page fault error code, where it applies */
	uint64_t *gpr[16];    /* writable */
	uint64_t *rip;
	uint64_t *rflags;
	void *xsave;          /* legacy FXSAVE image at its start; writable */
};
enum { HOST_FAULT_SEGV, HOST_FAULT_BUS, HOST_FAULT_FPE, HOST_FAULT_ILL, HOST_FAULT_TRAP };
typedef bool host_fault_fn(struct host_fault *fault);
enum lodge_err host_fault_hook_install(host_fault_fn *fn, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err host_fault_thread_init(struct lodge_error *err) LODGE_MUST_CHECK;
void host_fault_thread_fini(void);

#endif
