/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own CPU as an engine. A trampoline loads the whole state with
 * XRSTOR and IRET (which also serialises after new code) and the case's code
 * comes back by a jump to the exit stub or by a signal. Code lives below
 * 4 GiB, from where seccomp allows no system call.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include "diff.h"

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE 2
#endif

/* At DIFF_RIG; the assembly below knows the offsets. */
struct rig {
	uint64_t gpr[16];
	uint64_t frame[5]; /* 80: IRET's: rip cs rflags rsp ss */
	uint64_t host_rsp; /* a8 */
	uint64_t host_fs;  /* b0 */
	uint64_t fs_base;  /* b8 */
	uint64_t gs_base;  /* c0 */
	uint64_t running;  /* c8 */
	uint64_t rflags;   /* d0 */
	uint64_t signal_fs; /* d8 */
	LODGE_ALIGNED(64) uint8_t xsave[X86_XSAVE_BYTES]; /* 100 */
};
_Static_assert(offsetof(struct rig, host_rsp) == 0xa8 && offsetof(struct rig, xsave) == 0x100 && offsetof(struct rig, signal_fs) == 0xd8,
	       "offsets in assembly");

extern uint64_t diff_host_enter(void);
extern const char diff_host_exit[];
extern void diff_host_signal(int, siginfo_t *, void *);
extern void diff_host_abort(void) __attribute__((noreturn));
void diff_host_signal_c(int sig, siginfo_t *info, void *context);

__asm__(".text\n"
	".globl diff_host_enter, diff_host_exit, diff_host_signal, diff_host_abort\n"
	"diff_host_enter:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, 0x6b8d00a8\n"
	"	rdfsbase %rax; mov %rax, 0x6b8d00b0\n"
	"	mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
	"	mov $7, %eax; xor %edx, %edx; xrstor64 0x6b8d0100\n"
	"	mov 0x6b8d00b8, %rax; wrfsbase %rax\n"
	"	mov 0x6b8d00c0, %rax; wrgsbase %rax\n"
	"	movq $1, 0x6b8d00c8\n"
	"	mov 0x6b8d0000, %rax; mov 0x6b8d0008, %rcx; mov 0x6b8d0010, %rdx; mov 0x6b8d0018, %rbx\n"
	"	mov 0x6b8d0028, %rbp; mov 0x6b8d0030, %rsi; mov 0x6b8d0038, %rdi\n"
	"	mov 0x6b8d0040, %r8; mov 0x6b8d0048, %r9; mov 0x6b8d0050, %r10; mov 0x6b8d0058, %r11\n"
	"	mov 0x6b8d0060, %r12; mov 0x6b8d0068, %r13; mov 0x6b8d0070, %r14; mov 0x6b8d0078, %r15\n"
	"	mov $0x6b8d0080, %esp\n"
	"	iretq\n"
	"diff_host_exit:\n"
	"	mov %rax, 0x6b8d0000; mov %rcx, 0x6b8d0008; mov %rdx, 0x6b8d0010; mov %rbx, 0x6b8d0018\n"
	"	mov %rsp, 0x6b8d0020; mov %rbp, 0x6b8d0028; mov %rsi, 0x6b8d0030; mov %rdi, 0x6b8d0038\n"
	"	mov %r8, 0x6b8d0040; mov %r9, 0x6b8d0048; mov %r10, 0x6b8d0050; mov %r11, 0x6b8d0058\n"
	"	mov %r12, 0x6b8d0060; mov %r13, 0x6b8d0068; mov %r14, 0x6b8d0070; mov %r15, 0x6b8d0078\n"
	"	mov 0x6b8d00a8, %rsp\n"
	"	movq $0, 0x6b8d00c8\n"
	"	pushfq; popq 0x6b8d00d0; pushq $2; popfq\n"
	"	rdfsbase %rax; mov %rax, 0x6b8d00b8\n"
	"	rdgsbase %rax; mov %rax, 0x6b8d00c0\n"
	"	mov 0x6b8d00b0, %rax; wrfsbase %rax\n"
	"	mov $7, %eax; xor %edx, %edx; xsave64 0x6b8d0100\n"
	"	fninit; vzeroupper\n"
	"	pushq $0x1f80; ldmxcsr (%rsp); pop %rax\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	"diff_host_abort:\n"
	"	mov 0x6b8d00a8, %rsp\n"
	"	movq $0, 0x6b8d00c8\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	mov $1, %eax\n"
	"	ret\n"
	/* libc's FS base first; the program's may have AC set. A timer signal may come while we are here. */
	"diff_host_signal:\n"
	"	pushq $2; popfq\n"
	"	rdfsbase %rax; push %rax; cmp %rax, 0x6b8d00b0; je 1f; mov %rax, 0x6b8d00d8\n"
	"1:\n"
	"	mov 0x6b8d00b0, %rax; wrfsbase %rax\n"
	"	call diff_host_signal_c\n"
	"	pop %rax; wrfsbase %rax\n"
	"	ret\n");

static struct {
	struct rig *rig;
	uint8_t *code_rw, *ro_rw; /* aliases of what the program cannot write */
	unsigned dirty_from, dirty_to;
	struct diff_result *result; /* of the run in progress */
	struct x86_cpu *cpu;
	unsigned ticks;
} host;

static void *at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

/* ---- coming back by a signal ---- */

static const int gregs[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static bool offer_to_engine(int sig, siginfo_t *info, ucontext_t *uc)
{
	struct host_fault f = { .rip = (uint64_t *)&uc->uc_mcontext.gregs[REG_RIP], .rflags = (uint64_t *)&uc->uc_mcontext.gregs[REG_EFL] };

	f.kind = sig == SIGFPE ? HOST_FAULT_FPE : sig == SIGILL ? HOST_FAULT_ILL : HOST_FAULT_SEGV;
	f.addr = (uintptr_t)info->si_addr;
	for (unsigned i = 0; i < 16; i++)
		f.gpr[i] = (uint64_t *)&uc->uc_mcontext.gregs[gregs[i]];
	return cpu_fp_fault(&f, host.cpu);
}

void diff_host_signal_c(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	const greg_t *g = uc->uc_mcontext.gregs;
	struct diff_result *r = host.result;

	if (sig == SIGALRM && (!host.rig->running || ++host.ticks < 3))
		return;
	if (!host.rig->running) {
		if (sig != SIGALRM && !offer_to_engine(sig, info, uc))
			signal(sig, SIG_DFL); /* a crash; the instruction is repeated and ends us */
		return;
	}
	r->kind = sig == SIGALRM || sig == SIGSYS ? DIFF_TIMEOUT : DIFF_FAULT;
	r->vector = (uint8_t)g[REG_TRAPNO];
	r->error = (uint32_t)g[REG_ERR];
	r->cr2 = (uint64_t)g[REG_CR2];
	for (unsigned i = 0; i < 16; i++)
		r->regs.gpr[i] = (uint64_t)g[gregs[i]];
	r->regs.rip = (uint64_t)g[REG_RIP];
	r->regs.rflags = (uint64_t)g[REG_EFL];
	r->regs.fs_base = host.rig->signal_fs;
	__asm__ volatile("rdgsbase %0" : "=r"(r->regs.gs_base));
	memcpy(r->regs.xsave, uc->uc_mcontext.fpregs, X86_XSAVE_BYTES);
	diff_host_abort();
}

static bool signals_install(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGALRM };
	struct sigaction sa = { .sa_sigaction = diff_host_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_size = 256 * 1024 };

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		if (sigaction(sigs[i], &sa, NULL))
			return false;
	return true;
}

/* ---- running ---- */

unsigned diff_exit_code(unsigned mode, uint64_t address, uint8_t *out)
{
	unsigned pad = (unsigned)-(address + 6) & 7; /* the program may have turned alignment checks on */

	if (mode == X86_MODE_64) { /* jmp [rip + pad] */
		memset(out, 0xcc, DIFF_EXIT_MAX);
		memcpy(out, "\xff\x25", 2);
		put_le32(out + 2, pad);
		put_le64(out + 6 + pad, DIFF_EXIT_ADDRESS);
		return 14 + pad;
	}
	out[0] = 0xea; /* jmp far */
	put_le32(out + 1, DIFF_EXIT_ADDRESS);
	put_le16(out + 5, DIFF_CS64);
	return 7;
}

static void load_code(const struct diff_case *c)
{
	uint8_t exit[DIFF_EXIT_MAX];
	unsigned n = diff_exit_code(c->mode, diff_end(c), exit), end = c->offset + c->len;

	memset(host.code_rw + host.dirty_from, 0xcc, host.dirty_to - host.dirty_from);
	memcpy(host.code_rw + c->offset, c->code, MIN(c->len, DIFF_CODE_BYTES - c->offset));
	if (end < DIFF_CODE_BYTES)
		memcpy(host.code_rw + end, exit, MIN(n, DIFF_CODE_BYTES - end));
	host.dirty_from = c->offset;
	host.dirty_to = MIN(end + n, DIFF_CODE_BYTES);
}

static void load_memory(const struct diff_memory *m)
{
	memcpy(at(DIFF_DATA), m->data, DIFF_DATA_RO);
	memcpy(host.ro_rw, m->data + DIFF_DATA_RO, 0x1000);
	memcpy(at(DIFF_DATA + 0x4000), m->data + 0x4000, 0x1000);
	memcpy(at(DIFF_STACK), m->stack, sizeof(m->stack));
}

static void save_memory(struct diff_memory *m)
{
	memcpy(m->data, at(DIFF_DATA), DIFF_DATA_HOLE);
	memcpy(m->data + 0x4000, at(DIFF_DATA + 0x4000), 0x1000);
	memcpy(m->stack, at(DIFF_STACK), sizeof(m->stack));
}

static bool host_run(void *ctx, const struct diff_case *c, struct diff_result *r)
{
	struct rig *rig = host.rig;

	(void)ctx;
	load_code(c);
	load_memory(&c->mem);
	host.result = r;
	host.ticks = 0;
	rig->signal_fs = c->regs.fs_base;
	memcpy(rig->gpr, c->regs.gpr, sizeof(rig->gpr));
	memcpy(rig->xsave, c->regs.xsave, sizeof(rig->xsave));
	rig->frame[0] = c->regs.rip;
	rig->frame[1] = c->mode == X86_MODE_64 ? DIFF_CS64 : DIFF_CS32;
	rig->frame[2] = c->regs.rflags;
	rig->frame[3] = c->regs.gpr[X86_RSP];
	rig->frame[4] = DIFF_DS;
	rig->fs_base = c->regs.fs_base;
	rig->gs_base = c->regs.gs_base;
	if (diff_host_enter() == 0) {
		r->kind = DIFF_END;
		memcpy(r->regs.gpr, rig->gpr, sizeof(rig->gpr));
		memcpy(r->regs.xsave, rig->xsave, sizeof(rig->xsave));
		r->regs.rip = diff_end(c);
		r->regs.rflags = rig->rflags;
		r->regs.fs_base = rig->fs_base;
		r->regs.gs_base = rig->gs_base;
	}
	save_memory(&r->mem);
	return true;
}

/* ---- set-up ---- */

static bool map_fixed(uint64_t address, size_t bytes, int prot, int fd, off_t offset)
{
	int flags = MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

	return mmap(at(address), bytes, prot, flags, fd, offset) == at(address);
}

/* Pages with a writable alias elsewhere. */
static uint8_t *map_alias(uint64_t address, size_t bytes, int prot)
{
	int fd = memfd_create("diff", MFD_CLOEXEC);
	void *rw;

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return NULL;
	rw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (rw == MAP_FAILED || !map_fixed(address, bytes, prot, fd, 0))
		rw = NULL;
	close(fd);
	return rw;
}

/* 64-bit code at an address that 32-bit code can name. */
static bool map_exit_stub(void)
{
	uint8_t *p = map_alias(DIFF_EXIT_ADDRESS, 0x1000, PROT_READ | PROT_EXEC);

	if (!p)
		return false;
	memcpy(p, "\xff\x25\2\0\0\0", 6); /* jmp [rip + 2] */
	put_le64(p + 8, (uintptr_t)diff_host_exit);
	return true;
}

static const struct diff_engine engine = { .name = "host", .run = host_run };

const struct diff_engine *diff_host_create(const char **why)
{
	*why = NULL;
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		*why = "this host lets programs not set FS and GS bases (FSGSBASE)";
	else if (!__builtin_cpu_supports("avx2"))
		*why = "this host has no AVX2";
	if (*why)
		return NULL;
	if (host.rig)
		return &engine;
	host.code_rw = map_alias(DIFF_CODE, DIFF_CODE_BYTES, PROT_READ | PROT_EXEC);
	host.ro_rw = map_alias(DIFF_DATA + DIFF_DATA_RO, 0x1000, PROT_READ);
	host.rig = at(DIFF_RIG);
	if (!host.code_rw || !host.ro_rw || !map_exit_stub() || !map_fixed(DIFF_DATA, DIFF_DATA_RO, PROT_READ | PROT_WRITE, -1, 0) ||
	    !map_fixed(DIFF_DATA + 0x4000, 0x1000, PROT_READ | PROT_WRITE, -1, 0) ||
	    !map_fixed(DIFF_STACK, DIFF_STACK_BYTES, PROT_READ | PROT_WRITE, -1, 0) ||
	    !map_fixed(DIFF_RIG, 0x1000, PROT_READ | PROT_WRITE, -1, 0)) {
		*why = "low addresses cannot be mapped on this host";
		return NULL;
	}
	memset(host.code_rw, 0xcc, DIFF_CODE_BYTES);
	__asm__ volatile("rdfsbase %0" : "=r"(host.rig->host_fs));
	return &engine;
}

void diff_host_set_cpu(struct x86_cpu *cpu)
{
	host.cpu = cpu;
}

/* System calls only of the 64-bit kind and from above 4 GiB. */
static bool seccomp_install(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_LEN(filter), .filter = filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

bool diff_host_sandbox(void)
{
	struct itimerval tick = { .it_interval = { .tv_usec = 4000 }, .it_value = { .tv_usec = 4000 } };

	return signals_install() && !setitimer(ITIMER_REAL, &tick, NULL) && seccomp_install();
}
