/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Differential tests of CPU engines: short programs with a complete initial
 * state run on the processor underneath and on an engine of Lodge's, in the
 * same address space layout at CPL 3, and must end alike: registers, flags,
 * x87/SSE/AVX, memory, and the exception if there is one.
 *
 *   generate.c  makes cases       host.c    runs them on the host's CPU
 *   compare.c   judges            guest.c   the little machine that engines run them in
 *   driver.c    forks and counts  interp.c  the interpreter as an engine
 */
#ifndef LODGE_TESTS_DIFF_H
#define LODGE_TESTS_DIFF_H

#include <stdio.h>
#include <string.h>
#include "cpu/x86/decode.h"
#include "cpu/x86/fpu.h"
#include "cpu/x86/state.h"

/* Virtual addresses, the same for the host and for engines; all below 2 GiB. */
#define DIFF_CODE 0x10000000u /* two pages, read and execute; a hole behind */
#define DIFF_CODE_BYTES 0x2000u
#define DIFF_DATA 0x20000000u /* rw, rw, ro, hole, rw */
#define DIFF_DATA_BYTES 0x5000u
#define DIFF_DATA_RO 0x2000u
#define DIFF_DATA_HOLE 0x3000u
#define DIFF_STACK 0x28000000u /* one page rw, holes around */
#define DIFF_STACK_BYTES 0x1000u
#define DIFF_RIG 0x6b8d0000u   /* host only */
#define DIFF_KERNEL 0x3c800000u /* engines only, below 1 GiB */

#define DIFF_CS64 0x33
#define DIFF_CS32 0x23
#define DIFF_DS 0x2b

#define DIFF_INSNS_MAX 24
#define DIFF_CODE_MAX 384

struct diff_regs {
	uint64_t gpr[16], rip, rflags, fs_base, gs_base;
	LODGE_ALIGNED(64) uint8_t xsave[X86_XSAVE_BYTES];
};

struct diff_memory {
	uint8_t data[DIFF_DATA_BYTES]; /* the hole's bytes are not used */
	uint8_t stack[DIFF_STACK_BYTES];
};

struct diff_case {
	struct diff_regs regs;
	struct diff_memory mem;
	unsigned mode;   /* X86_MODE_32 or 64 */
	unsigned offset; /* of the code in its pages */
	unsigned len;    /* what follows is an exit jump, as far as it fits, then INT3s */
	uint8_t code[DIFF_CODE_MAX];
	unsigned insns;  /* instruction starts, for reports and reduction */
	unsigned start[DIFF_INSNS_MAX];
	uint64_t seed;   /* what made it */
};

enum diff_kind {
	DIFF_END,     /* reached the end of the code */
	DIFF_FAULT,
	DIFF_TIMEOUT, /* or another reason to draw no conclusion: skip */
};

struct diff_result {
	struct diff_regs regs;
	struct diff_memory mem;
	enum diff_kind kind;
	uint8_t vector;
	uint32_t error;
	uint64_t cr2;
};

/* Where results come from. run() false: this case cannot be run here, skip it. */
struct diff_engine {
	const char *name;
	void *ctx;
	bool (*run)(void *ctx, const struct diff_case *c, struct diff_result *r);
};

static inline uint64_t diff_end(const struct diff_case *c)
{
	return DIFF_CODE + c->offset + c->len;
}

/* ---- host.c ---- */

/* NULL and *why: not on this host. */
const struct diff_engine *diff_host_create(const char **why);
/* No system calls from generated code from here on; also starts the clock that ends endless loops. Call in a child process. */
bool diff_host_sandbox(void);
/* Bytes that follow the code at @address: the way back. Returns their number, at most DIFF_EXIT_MAX. */
#define DIFF_EXIT_MAX 24
unsigned diff_exit_code(unsigned mode, uint64_t address, uint8_t *out);
/* Faults in the process that are not the host run's are offered to this vcpu. */
void diff_host_set_cpu(struct x86_cpu *cpu);
#define DIFF_EXIT_ADDRESS (DIFF_RIG + 0x2000u)

/* ---- guest.c, interp.c ---- */

struct diff_guest; /* RAM with page tables, descriptor tables, and the case's pages */
struct diff_guest *diff_guest_create(struct guest_memory *mem);
void diff_guest_load(struct diff_guest *g, const struct diff_case *c);
/* The system registers and, from @c, the program's. */
void diff_guest_state(const struct diff_case *c, struct x86_state *s);
/* What @s and memory say after the program stopped. False: it has not. */
bool diff_guest_result(const struct diff_guest *g, const struct diff_case *c, const struct x86_state *s, struct diff_result *r);
bool diff_guest_stopped(const struct diff_case *c, const struct x86_state *s);

const struct diff_engine *diff_interp_create(void);

/* ---- compare.c ---- */

/* True if they agree; else explains on @out unless that is NULL. */
bool diff_compare(const struct diff_case *c, const struct diff_result *host, const struct diff_result *engine, const char *name, FILE *out);
void diff_print(const struct diff_case *c, FILE *out);

/* ---- generate.c ---- */

struct diff_random {
	uint64_t s;
};
static inline uint64_t diff_rnd(struct diff_random *r)
{
	uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
static inline unsigned diff_pick(struct diff_random *r, unsigned n)
{
	return (unsigned)((diff_rnd(r) >> 32) * n >> 32);
}
uint64_t diff_value(struct diff_random *r);

/* Fill registers, vectors and memory. */
void diff_state(struct diff_case *c, struct diff_random *r);
/* Make the operands of the instruction at @at of a case with one instruction plausible. */
void diff_operands(struct diff_case *c, struct diff_random *r);
/* One instruction of the @n-th encoding form: an endless sequence through all of them. False: nothing to compare there. */
bool diff_generate_form(struct diff_case *c, uint64_t n, uint64_t seed);
#define DIFF_FORMS 229376u /* n repeats after so many */
/* One random instruction, or a sequence. */
bool diff_generate_one(struct diff_case *c, uint64_t seed);
bool diff_generate_sequence(struct diff_case *c, uint64_t seed);
/* The given bytes with a state made from @seed. */
bool diff_generate_bytes(struct diff_case *c, unsigned mode, const uint8_t *bytes, unsigned len, uint64_t seed);
/* Can host and engine agree on it? */
bool diff_comparable(const struct insn *insn);

/* ---- driver.c ---- */

struct diff_source {
	const char *name;
	bool (*make)(struct diff_case *c, uint64_t n, void *ctx); /* the @n-th case; false: none there */
	void *ctx;
	uint64_t first, count;
};
struct diff_totals {
	uint64_t run, skipped, faults, failed;
};
/* Runs cases until done, @seconds have passed (0: no limit) or @max_failures. Nonzero when something disagreed. */
int diff_run(const struct diff_source *src, unsigned seconds, unsigned max_failures, struct diff_totals *totals);

#endif
