/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer, stack and string instructions against the processor that runs this
 * test: random operands; all general registers, flags (undefined ones too), a
 * window of memory and one of the stack must come out the same.
 */
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include "unit.h"
#include "cpu_fixture.h"

#define CASES 400000
#define WINDOW 512
#define STATE_ADDR UINT64_C(0x30000000) /* below 2 GiB, so that code can name it without a register */

/* At STATE_ADDR. */
struct native_state {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
	uint8_t code[512];
};

struct rig {
	struct fixture *f;
	struct native_state *native;
	uint64_t seed;
	unsigned mode;
	bool adx, bmi;
	unsigned runs[X86_OP_COUNT];
};

static sigjmp_buf native_fault;

static void on_fault(int sig)
{
	siglongjmp(native_fault, sig);
}

static uint64_t next_random(struct rig *r)
{
	r->seed ^= r->seed << 13;
	r->seed ^= r->seed >> 7;
	r->seed ^= r->seed << 17;
	return r->seed * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t random_value(struct rig *r)
{
	static const uint64_t special[] = { 0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff,
					    INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1 };
	uint64_t v = next_random(r);

	switch (next_random(r) >> 60) {
	case 0 ... 4: return special[v % ARRAY_LEN(special)];
	case 5 ... 7: return v & 0xff;
	case 8: return v & 0xffff;
	case 9: return v & 0xffffffff;
	case 10: return (uint64_t)(int64_t)(int8_t)v;
	default: return v;
	}
}

static void emit(struct native_state *n, unsigned *at, const void *bytes, unsigned len)
{
	memcpy(n->code + *at, bytes, len);
	*at += len;
}

static void emit_imm32(struct native_state *n, unsigned *at, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	emit(n, at, &v, 4);
}

static uint64_t state_gpr(unsigned reg)
{
	return STATE_ADDR + 8 * reg;
}

/* mov reg, [abs] and back. */
static void emit_mov64(struct native_state *n, unsigned *at, bool load, unsigned reg, uint64_t addr)
{
	emit(n, at, (uint8_t[]){ (uint8_t)(0x48 | (reg >> 3) << 2), load ? 0x8b : 0x89, (uint8_t)(4 | (reg & 7) << 3), 0x25 }, 4);
	emit_imm32(n, at, addr);
}

static void emit_mov32(struct native_state *n, unsigned *at, bool load, unsigned reg, uint64_t addr)
{
	emit(n, at, (uint8_t[]){ load ? 0x8b : 0x89, (uint8_t)(5 | reg << 3) }, 2);
	emit_imm32(n, at, addr);
}

/* push [abs] or pop [abs] */
static void emit_stack(struct native_state *n, unsigned *at, bool push, uint64_t addr)
{
	emit(n, at, (uint8_t[]){ push ? 0xff : 0x8f, push ? 0x34 : 0x04, 0x25 }, 3);
	emit_imm32(n, at, addr);
}

static void emit_body64(struct native_state *n, unsigned *at, const uint8_t *insn, unsigned len)
{
	emit(n, at, "\x9d", 1); /* popf */
	for (unsigned i = 0; i < 16; i++)
		emit_mov64(n, at, true, i, state_gpr(i));
	emit(n, at, insn, len);
	for (unsigned i = 0; i < 16; i++)
		emit_mov64(n, at, false, i, state_gpr(i));
}

/* Linux' segments for 32-bit programs serve 64-bit ones that jump there. */
static void emit_body32(struct native_state *n, unsigned *at, const uint8_t *insn, unsigned len)
{
	const uint64_t code = STATE_ADDR + offsetof(struct native_state, code);

	emit(n, at, "\xb8\x2b\0\0\0\x8e\xd8\x8e\xc0", 9); /* mov eax, USER_DS; mov ds, eax; mov es, eax */
	emit(n, at, "\x9d\x6a\x23\x68", 4);                 /* popf; push USER32_CS; push target */
	emit_imm32(n, at, code + *at + 4 + 2);
	emit(n, at, "\x48\xcb", 2); /* retfq */
	for (unsigned i = 0; i < 8; i++)
		emit_mov32(n, at, true, i, state_gpr(i));
	emit(n, at, insn, len);
	for (unsigned i = 0; i < 8; i++)
		emit_mov32(n, at, false, i, state_gpr(i));
	emit(n, at, "\xea", 1); /* jmp far USER_CS:target */
	emit_imm32(n, at, code + *at + 6);
	emit(n, at, "\x33\0", 2);
}

/* A function that loads the state, runs the instruction and stores the state. */
static void build_native(const struct rig *r, const uint8_t *insn, unsigned len)
{
	static const uint8_t saved[] = { X86_RBX, X86_RBP, X86_R12, X86_R13, X86_R14, X86_R15 };
	struct native_state *n = r->native;
	unsigned at = 0;

	for (unsigned i = 0; i < ARRAY_LEN(saved); i++)
		emit(n, &at, (uint8_t[]){ (uint8_t)(0x40 | saved[i] >> 3), (uint8_t)(0x50 | (saved[i] & 7)) }, 2);
	emit_mov64(n, &at, false, X86_RSP, STATE_ADDR + offsetof(struct native_state, host_rsp));
	emit_stack(n, &at, true, STATE_ADDR + offsetof(struct native_state, rflags));
	if (r->mode == X86_MODE_64)
		emit_body64(n, &at, insn, len);
	else
		emit_body32(n, &at, insn, len);
	emit_mov64(n, &at, true, X86_RSP, STATE_ADDR + offsetof(struct native_state, host_rsp));
	emit(n, &at, "\x9c", 1); /* pushf */
	emit_stack(n, &at, false, STATE_ADDR + offsetof(struct native_state, rflags));
	emit(n, &at, "\xfc", 1); /* cld */
	for (unsigned i = ARRAY_LEN(saved); i-- > 0;)
		emit(n, &at, (uint8_t[]){ (uint8_t)(0x40 | saved[i] >> 3), (uint8_t)(0x58 | (saved[i] & 7)) }, 2);
	emit(n, &at, "\xc3", 1);
}

static bool is_string(unsigned op)
{
	return op >= X86_OP_MOVS && op <= X86_OP_SCAS;
}

/* What this test can run as it stands: no control flow, nothing that only counts time or caches. */
static bool is_candidate(const struct insn *i, unsigned mode)
{
	bool legacy = i->op == X86_OP_SALC || (i->op >= X86_OP_DAA && i->op <= X86_OP_BOUND) || i->op == X86_OP_PUSHA ||
		i->op == X86_OP_POPA;
	bool only64 = i->op == X86_OP_CMPXCHG16B;

	if (is_string(i->op))
		return true;
	if (i->op < X86_OP_ADD || i->op > X86_OP_ADOX)
		return false;
	if (mode == X86_MODE_64 ? legacy : only64)
		return false;
	if (i->op == X86_OP_POPF || i->op == X86_OP_PUSH_SREG || i->op == X86_OP_POP_SREG)
		return false; /* TF would trap; the selectors are the test's own */
	return i->op != X86_OP_CLZERO && i->op != X86_OP_CLFLUSH;
}

/* ModRM for a register, [rbx + disp8], or [rbx + rcx * scale + disp8]. */
static unsigned random_modrm(struct rig *r, uint8_t *b)
{
	uint64_t v = next_random(r);

	if (v & 0x100) {
		b[0] = (uint8_t)(0xc0 | v);
		return 1;
	}
	b[0] = (uint8_t)(0x43 | (v & 0x38));
	if (v & 0x200) {
		b[0]++;
		b[1] = (uint8_t)(0x0b | (v >> 24 & 0xc0));
		b[2] = (uint8_t)((int8_t)(v >> 16) / 2);
		return 3;
	}
	b[1] = (uint8_t)(v >> 16);
	return 2;
}

static unsigned random_bytes(struct rig *r, uint8_t *b)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0xf0 };
	uint64_t v = next_random(r);
	unsigned n = 0, map = v & 3;
	uint8_t rex = (uint8_t)(0x40 | (v >> 8 & 0xf));

	if (r->bmi && (v >> 32 & 7) == 0) {
		b[n++] = 0xc4;
		b[n++] = (uint8_t)((v >> 8 & 0x80) | 0x60 | (v & 0x1000 ? 2 : 3)); /* X and B unused */
		b[n++] = (uint8_t)(next_random(r) & 0xfb);
		b[n++] = (uint8_t)(map == 3 ? 0xf0 : 0xf0 + (next_random(r) & 7));
		n += random_modrm(r, b + n);
	} else {
		if (v & 0x10)
			b[n++] = prefixes[v >> 5 & 3];
		if (v & 0x80)
			b[n++] = rex & (uint8_t)~(v >> 40 & 1); /* RBX stays the base half of the time */
		if (map != 0)
			b[n++] = 0x0f;
		if (map == 3)
			b[n++] = 0x38;
		b[n++] = (uint8_t)(map == 3 ? 0xf0 + (next_random(r) & 7) : next_random(r));
		n += random_modrm(r, b + n);
	}
	for (unsigned i = 0; i < 8; i++)
		b[n++] = (uint8_t)random_value(r);
	return n;
}

/* An instruction worth running; false: try again. */
static bool pick_insn(struct rig *r, struct insn *i)
{
	uint8_t bytes[24];

	random_bytes(r, bytes);
	if (x86_decode(bytes, X86_INSN_MAX, r->mode, i) != DECODE_OK || !is_candidate(i, r->mode))
		return false;
	if ((i->op == X86_OP_ADCX || i->op == X86_OP_ADOX) && !r->adx)
		return false;
	if (i->flags & INSN_MEM && i->op != X86_OP_LEA && i->base != X86_RBX)
		return false;
	if (i->op == X86_OP_LEA)
		return true;
	if (i->addrsize != r->mode || i->seg >= X86_FS || i->seg == X86_CS || i->disp != (int8_t)i->disp)
		return false;
	return !(i->flags & INSN_MEM) || i->index == X86_NOREG || i->index == X86_RCX;
}

/* Operands that must point somewhere. */
static void set_pointers(struct rig *r, const struct insn *i)
{
	uint64_t *gpr = r->f->cpu->s.gpr, v = next_random(r);

	gpr[X86_RBX] = FIXTURE_DATA + WINDOW / 2;
	gpr[X86_RSP] = FIXTURE_STACK;
	if (i->flags & INSN_MEM && i->index == X86_RCX)
		gpr[X86_RCX] = v & 7;
	if (i->op == X86_OP_ENTER || i->op == X86_OP_LEAVE)
		gpr[X86_RBP] = FIXTURE_STACK + (v & 0x38);
	if (i->op == X86_OP_CMPXCHG16B && v & 1) {
		gpr[X86_RAX] = get_le64(fixture_ptr(FIXTURE_DATA + WINDOW / 2));
		gpr[X86_RDX] = get_le64(fixture_ptr(FIXTURE_DATA + WINDOW / 2 + 8));
	}
	if (i->op == X86_OP_XLAT)
		gpr[X86_RAX] &= 0xff;
	if (!is_string(i->op))
		return;
	gpr[X86_RSI] = FIXTURE_DATA + WINDOW / 2 + (v & 31);
	gpr[X86_RDI] = FIXTURE_DATA + WINDOW / 2 + (v >> 8 & 31);
	gpr[X86_RCX] = v >> 16 & 15;
}

static void set_operands(struct rig *r, const struct insn *i)
{
	uint64_t *gpr = r->f->cpu->s.gpr;

	for (unsigned n = 0; n < 16; n++)
		gpr[n] = random_value(r);
	for (unsigned n = 0; n < WINDOW; n += 8) {
		put_le64(fixture_ptr(FIXTURE_DATA + n), is_string(i->op) ? next_random(r) & 1 : random_value(r));
		put_le64(fixture_ptr(FIXTURE_STACK - WINDOW / 2 + n), random_value(r));
	}
	set_pointers(r, i);
	if (i->op >= X86_OP_BT && i->op <= X86_OP_BTC && i->flags & INSN_MEM && i->reg != X86_RBX && i->reg != i->index)
		gpr[i->reg] = (uint64_t)((int64_t)(next_random(r) << 54) >> 54);
	if ((i->op == X86_OP_DIV || i->op == X86_OP_IDIV) && next_random(r) & 1)
		gpr[X86_RDX] = next_random(r) & 1 ? 0 : UINT64_MAX;
	if (i->op == X86_OP_CMPXCHG && next_random(r) & 1)
		gpr[X86_RAX] = i->flags & INSN_MEM ? gpr[X86_RAX] : gpr[i->rm & 15];
	for (unsigned n = 0; r->mode != X86_MODE_64 && n < 16; n++)
		gpr[n] = n < 8 ? (uint32_t)gpr[n] : 0;
	r->f->cpu->s.rflags = X86_FLAG_ONE | X86_FLAG_IF | (next_random(r) & (X86_FLAGS_ARITH | X86_FLAG_DF));
}

/* BT with the bit number in RBX would leave the window. */
static bool stays_in_window(const struct insn *i)
{
	return !(i->op >= X86_OP_BT && i->op <= X86_OP_BTC && i->flags & INSN_MEM && i->opnd[1] == X86_OPD_REG &&
		i->reg == X86_RBX);
}

static void print_case(const struct insn *i)
{
	fprintf(stderr, "%s:", x86_op_info(i->op)->name);
	for (unsigned n = 0; n < i->len; n++)
		fprintf(stderr, " %02x", i->bytes[n]);
	fprintf(stderr, "\n");
}

/* The memory that instructions may touch. */
struct window {
	uint8_t data[WINDOW], stack[WINDOW];
};

static void window_save(struct window *w)
{
	memcpy(w->data, fixture_ptr(FIXTURE_DATA), WINDOW);
	memcpy(w->stack, fixture_ptr(FIXTURE_STACK - WINDOW / 2), WINDOW);
}

static void window_restore(const struct window *w)
{
	memcpy(fixture_ptr(FIXTURE_DATA), w->data, WINDOW);
	memcpy(fixture_ptr(FIXTURE_STACK - WINDOW / 2), w->stack, WINDOW);
}

static bool compare(const struct rig *r, const struct insn *i, const struct x86_state *before, const struct window *expected)
{
	/* 64-bit hosts cannot lend their decimal instructions, so the flags that these leave undefined may differ. */
	const uint64_t undefined = i->op >= X86_OP_DAA && i->op <= X86_OP_AAD ? x86_op_info(i->op)->flags_undef : 0;
	const uint64_t mask = (X86_FLAGS_ARITH | X86_FLAG_DF) & ~undefined;
	struct window now;
	bool same = true;

	for (unsigned n = 0; n < 16; n++) {
		if (r->f->cpu->s.gpr[n] != r->native->gpr[n]) {
			fprintf(stderr, "r%u was %llx is %llx native %llx; ", n, (unsigned long long)before->gpr[n],
				(unsigned long long)r->f->cpu->s.gpr[n], (unsigned long long)r->native->gpr[n]);
			same = false;
		}
	}
	if ((r->f->cpu->s.rflags ^ r->native->rflags) & mask) {
		fprintf(stderr, "flags were %llx are %llx native %llx; ", (unsigned long long)(before->rflags & mask),
			(unsigned long long)(r->f->cpu->s.rflags & mask), (unsigned long long)(r->native->rflags & mask));
		same = false;
	}
	window_save(&now);
	if (memcmp(&now, expected, sizeof(now))) {
		fprintf(stderr, "memory differs; ");
		same = false;
	}
	if (!same)
		print_case(i);
	return same;
}

static bool run_case(struct rig *r, const struct insn *i)
{
	struct window initial, expected;
	struct x86_state *before = malloc(sizeof(*before));
	volatile bool native_ok = true;
	bool ok, same;

	*before = r->f->cpu->s;
	window_save(&initial);
	memcpy(r->native->gpr, before->gpr, sizeof(before->gpr));
	r->native->rflags = before->rflags;
	build_native(r, i->bytes, i->len);
	if (sigsetjmp(native_fault, 1))
		native_ok = false;
	else
		((void (*)(void))(uintptr_t)(STATE_ADDR + offsetof(struct native_state, code)))();
	__asm__ volatile("cld");
	window_save(&expected);
	window_restore(&initial);
	fixture_code(r->f, i->bytes, i->len);
	do
		ok = fixture_exec(r->f);
	while (ok && r->f->cpu->s.rip == FIXTURE_CODE);
	if (ok != native_ok) {
		fprintf(stderr, "native %s, interpreted %s (vector %u): ", native_ok ? "ran" : "faulted",
			ok ? "ran" : "faulted", r->f->cpu->fault.vector);
		print_case(i);
		same = false;
	} else {
		same = !ok || compare(r, i, before, &expected);
	}
	if (ok && r->f->cpu->s.rip != FIXTURE_CODE + i->len)
		same = false;
	free(before);
	return same;
}

/* Not every clang's __builtin_cpu_supports() knows this one. */
static bool host_has_adx(void)
{
	unsigned eax, ebx = 0, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_ADX);
}

static void against_host(unsigned mode)
{
	struct rig r = { .f = fixture_create(mode), .seed = 0x9e3779b97f4a7c15, .mode = mode };
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER | SA_ONSTACK };
	stack_t signal_stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	unsigned failures = 0, done = 0;
	struct insn insn;

	r.adx = host_has_adx();
	r.bmi = __builtin_cpu_supports("bmi2");
	r.native = mmap(fixture_ptr(STATE_ADDR), sizeof(*r.native), PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (r.native == MAP_FAILED) {
		fixture_destroy(r.f);
		unit_skip("this host allows no memory that is writable and executable at once");
	}
	sigaltstack(&signal_stack, NULL); /* RSP may hold anything */
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	while (done < CASES && failures < 40) {
		if (!pick_insn(&r, &insn) || !stays_in_window(&insn))
			continue;
		set_operands(&r, &insn);
		failures += !run_case(&r, &insn);
		r.runs[insn.op]++;
		done++;
	}
	signal_stack.ss_flags = SS_DISABLE;
	sigaltstack(&signal_stack, NULL);
	free(signal_stack.ss_sp);
	munmap(r.native, sizeof(*r.native));
	fixture_destroy(r.f);
	for (unsigned op = X86_OP_ADD; r.adx && r.bmi && op <= X86_OP_SCAS; op++) {
		if (r.runs[op] < 20 && is_candidate(&(struct insn){ .op = (uint16_t)op }, mode))
			fprintf(stderr, "%s ran %u times only\n", x86_op_info(op)->name, r.runs[op]);
	}
	assert_int_equal(failures, 0);
}

static void test_64(void **state)
{
	(void)state;
	against_host(X86_MODE_64);
}

static void test_32(void **state)
{
	(void)state;
	against_host(X86_MODE_32);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_64), cmocka_unit_test(test_32) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
