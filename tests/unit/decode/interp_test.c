/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter's loop, strings, branches, the stack, and the instructions that the host cannot run for comparison. */
#include <stdio.h>
#include <time.h>
#include "unit.h"
#include "cpu_fixture.h"

#define CODE(...) ((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ })

static struct fixture *make(unsigned mode)
{
	return fixture_create(mode);
}

static uint64_t reg(const struct fixture *f, unsigned n)
{
	return f->cpu->s.gpr[n];
}

static void set(struct fixture *f, unsigned n, uint64_t v)
{
	f->cpu->s.gpr[n] = v;
}

/* Runs one instruction through x86_exec() and expects success. */
static void run_one(struct fixture *f, const uint8_t *code, size_t len)
{
	fixture_code(f, code, len);
	assert_true(fixture_exec(f));
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + len);
}

static void expect_fault(struct fixture *f, const uint8_t *code, size_t len, unsigned vector)
{
	struct x86_state *before = malloc(sizeof(*before));

	fixture_code(f, code, len);
	*before = f->cpu->s;
	assert_false(fixture_exec(f));
	assert_int_equal(f->cpu->fault.vector, vector);
	assert_memory_equal(before->gpr, f->cpu->s.gpr, sizeof(before->gpr));
	assert_int_equal(before->rip, f->cpu->s.rip);
	assert_int_equal(before->rflags, f->cpu->s.rflags);
	free(before);
}

/* mov ecx, n; loop: add rax, rcx; xor rdx, rax; mov [rbx], rdx; dec ecx; jnz loop; hlt */
static const uint8_t loop_code[] = { 0x48, 0x01, 0xc8, 0x48, 0x31, 0xc2, 0x48, 0x89, 0x13, 0xff, 0xc9, 0x75, 0xf3, 0xf4 };

static void test_loop(void **state)
{
	struct fixture *f = make(X86_MODE_64);
	uint64_t rax = 0, rdx = 0;
	unsigned n = 1000000, steps = 0;
	struct timespec a, b;

	(void)state;
	fixture_code(f, loop_code, sizeof(loop_code));
	set(f, X86_RCX, n);
	set(f, X86_RBX, FIXTURE_DATA);
	clock_gettime(CLOCK_MONOTONIC, &a);
	while (x86_step(f->cpu) != X86_STEP_HALT)
		steps++;
	clock_gettime(CLOCK_MONOTONIC, &b);
	for (uint64_t i = n; i; i--) {
		rax += i;
		rdx ^= rax;
	}
	assert_int_equal(reg(f, X86_RAX), rax);
	assert_int_equal(reg(f, X86_RDX), rdx);
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_DATA)), rdx);
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + sizeof(loop_code));
	print_message("%.0f million instructions a second\n",
		      steps / ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3));
	fixture_destroy(f);
}

/* The decode cache must notice changed bytes, and x86_step() must do without it. */
static void test_changed_code(void **state)
{
	struct fixture *f = make(X86_MODE_64);
	uint8_t *code = fixture_ptr(FIXTURE_CODE);

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 10; i++) {
			fixture_code(f, CODE(0xb8, 0, 0, 0, 0)); /* mov eax, imm32 */
			code[1] = (uint8_t)i;
			assert_int_equal(x86_step(f->cpu), X86_STEP_OK);
			assert_int_equal(reg(f, X86_RAX), i);
		}
		free(f->cpu->interp_cache);
		f->cpu->interp_cache = NULL;
	}
	fixture_destroy(f);
}

/* An instruction across two pages; then the second page is missing. */
static void test_page_crossing_fetch(void **state)
{
	struct fixture *f = make(X86_MODE_64);
	uint64_t at = FIXTURE_RAM + FIXTURE_BYTES - 2;
	unsigned got;
	uint8_t bytes[15];

	(void)state;
	memcpy(fixture_ptr(FIXTURE_CODE + 0xffe), "\xb8\x11\x22\x33\x44", 5);
	f->cpu->s.rip = FIXTURE_CODE + 0xffe;
	assert_int_equal(x86_step(f->cpu), X86_STEP_OK);
	assert_int_equal(reg(f, X86_RAX), 0x44332211);
	memcpy(fixture_ptr(at), "\x90\xb8", 2);
	f->cpu->s.rip = at;
	assert_int_equal(x86_step(f->cpu), X86_STEP_OK); /* complete within the last page */
	assert_true(mmu_fetch(f->cpu, at + 1, bytes, 15, &got));
	assert_int_equal(got, 1);
	x86_step(f->cpu); /* no IDT: triple fault */
	assert_int_equal(f->cpu->s.activity, X86_SHUTDOWN);
	assert_false(mmu_fetch(f->cpu, at + 2, bytes, 13, &got));
	assert_int_equal(f->cpu->fault.cr2, at + 2);
	fixture_destroy(f);
}

static void test_high_bytes(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	set(f, X86_RAX, 0x1122334455667788);
	set(f, X86_RDX, 0xaabbccddeeff0011);
	run_one(f, CODE(0x88, 0xd4)); /* mov ah, dl */
	assert_int_equal(reg(f, X86_RAX), 0x1122334455661188);
	run_one(f, CODE(0x00, 0xe6)); /* add dh, ah */
	assert_int_equal(reg(f, X86_RDX), 0xaabbccddeeff1111);
	set(f, X86_RSI, 0x99);
	run_one(f, CODE(0x40, 0x88, 0xf0)); /* mov al, sil */
	assert_int_equal(reg(f, X86_RAX), 0x1122334455661199);
	run_one(f, CODE(0x0f, 0xb6, 0xcc)); /* movzx ecx, ah */
	assert_int_equal(reg(f, X86_RCX), 0x11);
	fixture_destroy(f);
}

static void test_stack(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	run_one(f, CODE(0x54)); /* push rsp: the old value */
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_STACK - 8)), FIXTURE_STACK);
	run_one(f, CODE(0x6a, 0xff)); /* push -1 */
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_STACK - 16)), UINT64_MAX);
	run_one(f, CODE(0x8f, 0x04, 0x24)); /* pop [rsp]: addressed after the increment */
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK - 8);
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_STACK - 8)), UINT64_MAX);
	run_one(f, CODE(0x5c)); /* pop rsp: the value wins */
	assert_int_equal(reg(f, X86_RSP), UINT64_MAX);
	set(f, X86_RSP, FIXTURE_HOLE + 0x1000);
	expect_fault(f, CODE(0x50), X86_EXC_PF);
	assert_int_equal(f->cpu->fault.cr2, FIXTURE_HOLE + 0xff8);
	set(f, X86_RSP, UINT64_C(0x800000000000));
	expect_fault(f, CODE(0x58), X86_EXC_SS); /* not canonical */
	set(f, X86_RSP, FIXTURE_STACK);
	set(f, X86_RBP, 0x1234);
	run_one(f, CODE(0xc8, 0x20, 0, 0)); /* enter 32, 0 */
	assert_int_equal(reg(f, X86_RBP), FIXTURE_STACK - 8);
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK - 40);
	run_one(f, CODE(0xc9)); /* leave */
	assert_int_equal(reg(f, X86_RBP), 0x1234);
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK);
	fixture_destroy(f);
}

static void test_flags_on_stack(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	put_le64(fixture_ptr(FIXTURE_STACK), 0x3f7fd7 | 0xff00000000);
	run_one(f, CODE(0x9d)); /* popf at CPL 0 */
	assert_int_equal(f->cpu->s.rflags,
		X86_FLAGS_ARITH | X86_FLAG_ONE | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL |
						   X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID);
	f->cpu->s.rflags |= X86_FLAG_RF;
	run_one(f, CODE(0x9c)); /* pushf */
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_STACK)) & (X86_FLAG_RF | X86_FLAG_VM), 0);
	fixture_destroy(f);
}

static void test_branches(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	fixture_code(f, CODE(0xe8, 0x10, 0, 0, 0)); /* call +16 */
	assert_true(fixture_exec(f));
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + 21);
	assert_int_equal(get_le64(fixture_ptr(reg(f, X86_RSP))), FIXTURE_CODE + 5);
	memcpy(fixture_ptr(f->cpu->s.rip), "\xc2\x08\x00", 3); /* ret 8 */
	assert_true(fixture_exec(f));
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + 5);
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK + 8);
	set(f, X86_RAX, UINT64_C(0x800000000000));
	expect_fault(f, CODE(0xff, 0xe0), X86_EXC_GP); /* jmp to where no code can be */
	expect_fault(f, CODE(0xff, 0xd0), X86_EXC_GP);
	set(f, X86_RCX, UINT64_C(0x100000000));
	fixture_code(f, CODE(0x67, 0xe2, 0x10)); /* loop by ECX: wraps, taken, RCX becomes 32 bits */
	assert_true(fixture_exec(f));
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + 3 + 0x10);
	assert_int_equal(reg(f, X86_RCX), UINT32_MAX);
	fixture_destroy(f);
}

static void test_invalid_in_64(void **state)
{
	static const uint8_t codes[][3] = { { 0x06 }, { 0x27 }, { 0x60 }, { 0x62, 0xc0 }, { 0x82, 0xc0 }, { 0x9a },
		{ 0xce }, { 0xd4, 10 }, { 0xea },
					    { 0xf0, 0x90 }, { 0xf0, 0x01, 0xc0 }, { 0xf0, 0x3b, 0x00 }, { 0x8e, 0xc8 },
					    { 0x0f, 0xff, 0xc0 } };
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
		expect_fault(f, codes[i], 3, X86_EXC_UD);
	fixture_destroy(f);
}

static void test_divide(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	set(f, X86_RAX, UINT64_C(1) << 63);
	set(f, X86_RDX, UINT64_MAX);
	set(f, X86_RCX, UINT64_MAX);
	expect_fault(f, CODE(0x48, 0xf7, 0xf9), X86_EXC_DE); /* idiv rcx: INT64_MIN / -1 */
	set(f, X86_RCX, 1);
	run_one(f, CODE(0x48, 0xf7, 0xf9));
	assert_int_equal(reg(f, X86_RAX), UINT64_C(1) << 63);
	set(f, X86_RCX, 0);
	expect_fault(f, CODE(0x48, 0xf7, 0xf1), X86_EXC_DE);
	expect_fault(f, CODE(0xf6, 0xf1), X86_EXC_DE);
	fixture_destroy(f);
}

static void fill_pattern(uint64_t at, unsigned n)
{
	uint8_t *p = fixture_ptr(at);

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
}

/* Runs a repeated instruction to its end, however many calls that takes. */
static void run_repeated(struct fixture *f, const uint8_t *code, size_t len)
{
	fixture_code(f, code, len);
	for (unsigned i = 0; f->cpu->s.rip == FIXTURE_CODE; i++) {
		assert_true(fixture_exec(f));
		assert_in_range(i, 0, 10000);
	}
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE + len);
}

/* Overlapping copies in both directions with every element size, against a plain loop. */
static void test_movs(void **state)
{
	static const int64_t distances[] = { 1, 3, 8, 64, 4096, 5000, -1, -5, -8, -4096 };
	struct fixture *f = make(X86_MODE_64);
	uint8_t *want = malloc(0x10000);
	const uint64_t base = FIXTURE_RAM + 0x50000;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(distances); i++) {
		for (unsigned shift = 0; shift < 4; shift++) {
			for (unsigned back = 0; back < 2; back++) {
				unsigned size = 1u << shift, count = 9000 / size;
				uint8_t code[] = { 0xf3, 0x48, (uint8_t)(shift ? 0xa5 : 0xa4) };
				int64_t src = 0x4003, dst = src + distances[i], step = back ? -(int64_t)size : (int64_t)size;

				if (shift == 1)
					code[1] = 0x66;
				else if (shift == 2)
					code[1] = 0x40;
				if (shift == 1)
					memcpy(code, "\x66\xf3\xa5", 3);
				fill_pattern(base, 0x10000);
				memcpy(want, fixture_ptr(base), 0x10000);
				if (back) {
					src += (int64_t)((count - 1) * size);
					dst += (int64_t)((count - 1) * size);
				}
				for (unsigned k = 0; k < count; k++) {
					uint8_t tmp[8];

					memcpy(tmp, want + src + step * k, size);
					memcpy(want + dst + step * k, tmp, size);
				}
				set(f, X86_RSI, base + (uint64_t)src);
				set(f, X86_RDI, base + (uint64_t)dst);
				set(f, X86_RCX, count);
				f->cpu->s.rflags = X86_FLAG_ONE | (back ? X86_FLAG_DF : 0);
				run_repeated(f, code, 3);
				assert_memory_equal(want, fixture_ptr(base), 0x10000);
				assert_int_equal(reg(f, X86_RCX), 0);
				assert_int_equal(reg(f, X86_RSI), base + (uint64_t)(src + step * (int64_t)count));
				assert_int_equal(reg(f, X86_RDI), base + (uint64_t)(dst + step * (int64_t)count));
			}
		}
	}
	free(want);
	fixture_destroy(f);
}

/* A fault in the middle leaves the registers at the first element not done. */
static void test_string_fault(void **state)
{
	struct fixture *f = make(X86_MODE_64);
	uint64_t start = FIXTURE_HOLE - 3 * 4096 - 4;

	(void)state;
	set(f, X86_RDI, start);
	set(f, X86_RCX, 100000);
	set(f, X86_RAX, 0xa5a5a5a5a5a5a5a5);
	fixture_code(f, CODE(0xf3, 0x48, 0xab)); /* rep stosq */
	while (fixture_exec(f))
		assert_int_equal(f->cpu->s.rip, FIXTURE_CODE);
	assert_int_equal(f->cpu->fault.vector, X86_EXC_PF);
	assert_int_equal(f->cpu->fault.cr2, FIXTURE_HOLE);
	assert_int_equal(reg(f, X86_RDI), start + 1536 * 8); /* the straddling element is not begun */
	assert_int_equal(reg(f, X86_RCX), 100000 - 1536);
	assert_int_equal(get_le32(fixture_ptr(FIXTURE_HOLE - 4)), 0);
	fixture_destroy(f);
}

static void test_scan_and_compare(void **state)
{
	struct fixture *f = make(X86_MODE_64);
	uint8_t *p = fixture_ptr(FIXTURE_DATA);

	(void)state;
	memset(p, 'x', 0x8000);
	p[0x5123] = 0;
	set(f, X86_RDI, FIXTURE_DATA);
	set(f, X86_RCX, UINT64_MAX);
	run_repeated(f, CODE(0xf2, 0xae)); /* repne scasb */
	assert_int_equal(reg(f, X86_RDI), FIXTURE_DATA + 0x5124);
	assert_int_equal(reg(f, X86_RCX), UINT64_MAX - 0x5124);
	assert_true(f->cpu->s.rflags & X86_FLAG_ZF);
	set(f, X86_RSI, FIXTURE_DATA);
	set(f, X86_RDI, FIXTURE_DATA + 0x100);
	set(f, X86_RCX, 0x1000);
	p[0x105] = 'y';
	run_repeated(f, CODE(0xf3, 0xa6)); /* repe cmpsb */
	assert_int_equal(reg(f, X86_RSI), FIXTURE_DATA + 6);
	assert_int_equal(f->cpu->s.rflags & (X86_FLAG_ZF | X86_FLAG_CF), X86_FLAG_CF);
	set(f, X86_RCX, 0);
	f->cpu->s.rflags |= X86_FLAG_ZF;
	run_repeated(f, CODE(0xf3, 0xa6)); /* none: flags and pointers stay */
	assert_int_equal(reg(f, X86_RSI), FIXTURE_DATA + 6);
	assert_true(f->cpu->s.rflags & X86_FLAG_ZF);
	fixture_destroy(f);
}

static void test_string_ports(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	f->port_value = 100;
	set(f, X86_RDX, 0x1f0);
	set(f, X86_RDI, FIXTURE_DATA);
	set(f, X86_RCX, 1000);
	run_repeated(f, CODE(0xf3, 0x66, 0x6d)); /* rep insw */
	assert_int_equal(get_le16(fixture_ptr(FIXTURE_DATA + 999 * 2)), 1099);
	set(f, X86_RSI, FIXTURE_DATA);
	set(f, X86_RCX, 600);
	run_repeated(f, CODE(0xf3, 0x6e)); /* rep outsb */
	assert_int_equal(f->ports_written, 600);
	fixture_destroy(f);
}

static void test_locked(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	set(f, X86_RBX, FIXTURE_DATA);
	put_le64(fixture_ptr(FIXTURE_DATA), 1);
	put_le64(fixture_ptr(FIXTURE_DATA + 8), 2);
	set(f, X86_RAX, 1);
	set(f, X86_RDX, 2);
	set(f, X86_RCX, 7);
	run_one(f, CODE(0xf0, 0x48, 0x0f, 0xc7, 0x0b)); /* lock cmpxchg16b [rbx]: equal, RCX:RBX goes in */
	assert_true(f->cpu->s.rflags & X86_FLAG_ZF);
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_DATA)), FIXTURE_DATA);
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_DATA + 8)), 7);
	set(f, X86_RBX, FIXTURE_DATA + 8);
	expect_fault(f, CODE(0x48, 0x0f, 0xc7, 0x0b), X86_EXC_GP); /* misaligned */
	set(f, X86_RBX, FIXTURE_HOLE - 4);
	expect_fault(f, CODE(0xf0, 0x48, 0x01, 0x03), X86_EXC_PF); /* across into nothing */
	set(f, X86_RBX, FIXTURE_DATA + 0xffc);
	put_le64(fixture_ptr(FIXTURE_DATA + 0xffc), 5);
	run_one(f, CODE(0xf0, 0x48, 0x01, 0x03)); /* across two pages */
	assert_int_equal(get_le64(fixture_ptr(FIXTURE_DATA + 0xffc)), 6);
	fixture_destroy(f);
}

/* Legacy instructions, checked against the manuals' definitions worked by hand. */
static void test_decimal(void **state)
{
	static const struct {
		uint8_t code[2], len;
		uint16_t ax, flags, want_ax, want_flags;
	} rows[] = {
		{ { 0x27 }, 1, 0x00ae, 0, 0x0014, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_PF },
		{ { 0x27 }, 1, 0x0012, X86_FLAG_CF | X86_FLAG_AF, 0x0078, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_PF },
		{ { 0x27 }, 1, 0x0045, 0, 0x0045, 0 },
		{ { 0x2f }, 1, 0x0003, X86_FLAG_AF, 0x00fd, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_SF },
		{ { 0x2f }, 1, 0x00ee, X86_FLAG_CF | X86_FLAG_AF, 0x0088, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_SF | X86_FLAG_PF },
		{ { 0x37 }, 1, 0x020b, 0, 0x0301, X86_FLAG_CF | X86_FLAG_AF },
		{ { 0x37 }, 1, 0x00fa, 0, 0x0200, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_PF },
		{ { 0x3f }, 1, 0x0205, X86_FLAG_AF, 0x000f, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_PF },
		{ { 0xd4, 10 }, 2, 0x0037, 0, 0x0505, X86_FLAG_PF },
		{ { 0xd5, 10 }, 2, 0x0507, 0, 0x0039, X86_FLAG_PF },
	};
	struct fixture *f = make(X86_MODE_32);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t mask = i < 5 ? X86_FLAGS_ARITH & ~X86_FLAG_OF : X86_FLAG_CF | X86_FLAG_AF;

		if (rows[i].len == 2)
			mask = X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF;
		set(f, X86_RAX, rows[i].ax);
		f->cpu->s.rflags = X86_FLAG_ONE | rows[i].flags;
		run_one(f, rows[i].code, rows[i].len);
		assert_int_equal(reg(f, X86_RAX), rows[i].want_ax);
		assert_int_equal(f->cpu->s.rflags & mask, rows[i].want_flags & mask);
	}
	expect_fault(f, CODE(0xd4, 0), X86_EXC_DE);
	fixture_destroy(f);
}

static void test_legacy(void **state)
{
	struct fixture *f = make(X86_MODE_32);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		if (i != X86_RSP)
			set(f, i, i + 1);
	run_one(f, CODE(0x60)); /* pusha */
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK - 32);
	assert_int_equal(get_le32(fixture_ptr(FIXTURE_STACK - 20)), FIXTURE_STACK);
	set(f, X86_RAX, 99);
	run_one(f, CODE(0x61)); /* popa */
	assert_int_equal(reg(f, X86_RAX), 1);
	assert_int_equal(reg(f, X86_RSP), FIXTURE_STACK);
	put_le32(fixture_ptr(FIXTURE_DATA), (uint32_t)-5);
	put_le32(fixture_ptr(FIXTURE_DATA + 4), 5);
	set(f, X86_RBX, FIXTURE_DATA);
	set(f, X86_RCX, (uint32_t)-5);
	run_one(f, CODE(0x62, 0x0b)); /* bound ecx, [ebx] */
	set(f, X86_RCX, 6);
	expect_fault(f, CODE(0x62, 0x0b), X86_EXC_BR);
	set(f, X86_RAX, 0xffff0000);
	run_one(f, CODE(0x40)); /* inc eax */
	assert_int_equal(reg(f, X86_RAX), 0xffff0001);
	f->cpu->s.seg[X86_CS].limit = (uint32_t)FIXTURE_CODE + 0x100;
	cpu_state_loaded(f->cpu);
	expect_fault(f, CODE(0xe9, 0x00, 0x10, 0, 0), X86_EXC_GP); /* beyond the code segment */
	fixture_destroy(f);
}

/* A REP that would run forever must come back to be asked for something else. */
static void test_rep_is_bounded(void **state)
{
	struct fixture *f = make(X86_MODE_64);

	(void)state;
	set(f, X86_RDI, FIXTURE_RAM + 0x80000);
	set(f, X86_RCX, 0x40000);
	fixture_code(f, CODE(0xf3, 0xaa));
	assert_true(fixture_exec(f));
	assert_int_equal(f->cpu->s.rip, FIXTURE_CODE);
	assert_int_equal(reg(f, X86_RCX), 0x30000);
	f->cpu->s.rflags |= X86_FLAG_TF; /* single-stepped: one element each */
	assert_true(fixture_exec(f));
	assert_int_equal(reg(f, X86_RCX), 0x2ffff);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop), cmocka_unit_test(test_changed_code), cmocka_unit_test(test_page_crossing_fetch),
		cmocka_unit_test(test_high_bytes), cmocka_unit_test(test_stack), cmocka_unit_test(test_flags_on_stack),
		cmocka_unit_test(test_branches), cmocka_unit_test(test_invalid_in_64), cmocka_unit_test(test_divide),
		cmocka_unit_test(test_movs),
		cmocka_unit_test(test_string_fault), cmocka_unit_test(test_scan_and_compare), cmocka_unit_test(test_string_ports),
		cmocka_unit_test(test_locked), cmocka_unit_test(test_decimal), cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_rep_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
