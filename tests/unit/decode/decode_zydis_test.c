/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder against Zydis: every opcode of every map with the prefixes that
 * matter and every ModRM byte, in 16, 32 and 64-bit code. What is valid, how
 * long it is, where and how much memory it touches, which flags it reads and
 * writes. Each difference that is meant is listed below with its reason.
 */
#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>
#include "unit.h"
#include "cpu/x86/decode.h"
#include "cpu/x86/state.h"
#include "hidden_sets.h"

#define REPORTS_MAX 40

/* Of the ModRM bytes behind each prefix and VEX form; sanitizers are content with a sample. */
#ifdef LODGE_SANITIZE
#define MODRM_STEP 5u
#define MODRM_STEP_VEX 15u
#else
#define MODRM_STEP 1u
#define MODRM_STEP_VEX 1u
#endif

struct rig {
	ZydisDecoder decoder;
	unsigned mode;
	unsigned long cases, differences;
};

/* One instruction as both see it. */
struct seen {
	const uint8_t *bytes;
	struct insn ours;
	ZydisDecodedInstruction theirs;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* 0F 0D with a register is undefined for AMD and a NOP for Intel and Zydis. */
static bool is_prefetch_register(const struct insn *i)
{
	return i->map == 1 && i->opcode == 0x0d && i->modrm >> 6 == 3;
}

/* Ours is valid, theirs not: MPX encodings are NOPs without MPX, also those that MPX would refuse; AMD's LOCK MOV CR0 is CR8. */
static bool is_extra(const struct insn *i)
{
	if (i->map == 1 && (i->opcode == 0x1a || i->opcode == 0x1b))
		return true;
	return (i->op == X86_OP_MOV_FROM_CR || i->op == X86_OP_MOV_TO_CR) && i->flags & INSN_LOCK;
}

static void report(struct rig *r, const struct seen *s, const char *what)
{
	if (r->differences++ >= REPORTS_MAX)
		return;
	fprintf(stderr, "mode %u, %s (ours %s, Zydis %s):", r->mode, what, x86_op_info(s->ours.op)->name,
		ZydisMnemonicGetString(s->theirs.mnemonic));
	for (unsigned n = 0; n < 12; n++)
		fprintf(stderr, " %02x", s->bytes[n]);
	fprintf(stderr, "\n");
}

static const ZydisDecodedOperand *memory_operand(const struct seen *s)
{
	for (unsigned n = 0; n < s->theirs.operand_count; n++)
		if (s->operands[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			s->operands[n].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			return &s->operands[n];
	return NULL;
}

static unsigned register_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return X86_NOREG;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return X86_REG_RIP;
	return (unsigned)ZydisRegisterGetId(reg);
}

static bool same_address(const struct seen *s, const ZydisDecodedOperand *m)
{
	const struct insn *i = &s->ours;

	if (m->mem.type != ZYDIS_MEMOP_TYPE_AGEN && ZydisRegisterGetId(m->mem.segment) != i->seg)
		return false; /* LEA has no segment */
	if (i->opnd[0] == X86_OPD_MOFFS || i->opnd[1] == X86_OPD_MOFFS)
		return true; /* Zydis extends the sign; ours is the address */
	if (register_number(m->mem.base) != i->base || register_number(m->mem.index) != i->index || m->mem.disp.value != i->disp)
		return false;
	return i->index == X86_NOREG || m->mem.scale == 1 << i->scale;
}

/* mem_bytes 0 says that the operand is not accessed, or not as one piece: hints, INVLPG, XSAVE. */
static bool same_extent(const struct seen *s, const ZydisDecodedOperand *m)
{
	const struct insn *i = &s->ours;

	if (!i->mem_bytes || i->op == X86_OP_CLFLUSH)
		return true;
	if (i->op == X86_OP_UD)
		return true; /* never accessed */
	if (i->op == X86_OP_MOVSX && i->map == 0 && i->opsize == 2)
		return true; /* MOVSXD with 66 reads two bytes, as the destination has */
	return m->size / 8 == i->mem_bytes;
}

static bool same_access(const struct seen *s, const ZydisDecodedOperand *m)
{
	unsigned access = 0;

	if (!s->ours.mem_bytes || s->ours.op == X86_OP_UD)
		return true;
	if (m->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		access |= INSN_ACCESS_R;
	if (m->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		access |= INSN_ACCESS_W;
	return access == s->ours.mem_access;
}

static void compare_memory(struct rig *r, const struct seen *s)
{
	const ZydisDecodedOperand *m = memory_operand(s);

	if (!m != !(s->ours.flags & INSN_MEM)) {
		report(r, s, "memory operand or none");
		return;
	}
	if (!m || m->mem.type == ZYDIS_MEMOP_TYPE_MIB)
		return; /* MPX */
	if (m->mem.type != ZYDIS_MEMOP_TYPE_AGEN && !same_extent(s, m))
		report(r, s, "operand bytes");
	if (m->mem.type != ZYDIS_MEMOP_TYPE_AGEN && !same_access(s, m))
		report(r, s, "read or write");
	if (!same_address(s, m))
		report(r, s, "address");
}

/* Flags that the op may leave anything in: reading or claiming to kill them wrongly would break translated code. */
static void compare_flags(struct rig *r, const struct seen *s)
{
	const ZydisAccessedFlags *f = s->theirs.cpu_flags;
	unsigned attr = x86_op_info(s->ours.op)->attr, op = s->ours.op;
	const unsigned mask = X86_FLAGS_ARITH;
	unsigned touched;

	/* Control transfers out of the program "read" everything; REPE tests ZF only after setting it. */
	if (!f || attr & (X86_OPA_SYSTEM | X86_OPA_STRING) || op == X86_OP_UD)
		return;
	touched = f->modified | f->set_0 | f->set_1 | f->undefined;
	if ((f->tested & mask) != (insn_flags_read(&s->ours) & mask))
		report(r, s, "flags read");
	if (op == X86_OP_SBB || op == X86_OP_BEXTR || (op >= X86_OP_X87 && op <= X86_OP_AVX))
		return; /* Zydis leaves out AF of SBB, CF and OF of BEXTR, the cleared ones of PTEST */
	if (insn_flags_killed(&s->ours) & mask & ~touched)
		report(r, s, "flags written");
}

static void compare(struct rig *r, const uint8_t *bytes)
{
	struct seen s = { .bytes = bytes };
	bool theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&r->decoder, bytes, X86_INSN_MAX, &s.theirs, s.operands));
	bool ours = x86_decode(bytes, X86_INSN_MAX, r->mode, &s.ours) == DECODE_OK;

	r->cases++;
	if (ours != theirs) {
		if (ours ? !is_extra(&s.ours) : !is_hidden_set(&s.theirs) && !is_prefetch_register(&s.ours))
			report(r, &s, ours ? "valid here only" : "valid for Zydis only");
		return;
	}
	if (!ours)
		return;
	if (s.theirs.length != s.ours.len)
		report(r, &s, "length");
	compare_memory(r, &s);
	compare_flags(r, &s);
}

static unsigned put_tail(uint8_t *b, unsigned modrm)
{
	b[0] = (uint8_t)modrm;
	b[1] = modrm & 8 ? 0x25 : 0xa1; /* a SIB with and without base */
	for (unsigned n = 2; n < 24; n++)
		b[n] = (uint8_t)(0x11 * n);
	return 24;
}

static void compare_legacy(struct rig *r, const char *prefix, unsigned map, unsigned opcode, unsigned step)
{
	static const char *const escapes[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };
	uint8_t bytes[40];
	unsigned n = (unsigned)strlen(prefix), escape = (unsigned)strlen(escapes[map]);

	memcpy(bytes, prefix, n);
	memcpy(bytes + n, escapes[map], escape);
	n += escape;
	bytes[n++] = (uint8_t)opcode;
	for (unsigned modrm = opcode % step; modrm < 256; modrm += step) {
		put_tail(bytes + n, modrm);
		compare(r, bytes);
	}
}

static void compare_vex(struct rig *r, unsigned rxb, unsigned map, unsigned byte2, unsigned opcode)
{
	uint8_t bytes[40] = { 0xc4, (uint8_t)(rxb << 5 | map), (uint8_t)byte2, (uint8_t)opcode };
	unsigned step = rxb == 7 && map < 4 ? MODRM_STEP_VEX : 15;

	for (unsigned modrm = opcode % MIN(step, 3u); modrm < 256; modrm += step) {
		put_tail(bytes + 4, modrm);
		compare(r, bytes);
	}
	if (map != 1 || byte2 & 0x80)
		return;
	bytes[0] = 0xc5;
	bytes[1] = (uint8_t)((rxb & 4) << 5 | byte2);
	bytes[2] = (uint8_t)opcode;
	for (unsigned modrm = opcode % MIN(step, 5u); modrm < 256; modrm += step) {
		put_tail(bytes + 3, modrm);
		compare(r, bytes);
	}
}

static void rig_init(struct rig *r, unsigned mode)
{
	ZydisMachineMode machine = mode == X86_MODE_64 ? ZYDIS_MACHINE_MODE_LONG_64 :
				   mode == X86_MODE_32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16;
	ZydisStackWidth stack = mode == X86_MODE_64 ? ZYDIS_STACK_WIDTH_64 :
				mode == X86_MODE_32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;

	*r = (struct rig){ .mode = mode };
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&r->decoder, machine, stack)));
}

static void all_legacy(unsigned mode)
{
	static const char *const prefixes[] = {
		"", "\x66", "\xf2", "\xf3", "\xf0", "\x67", "\x64", "\x2e", "\x66\xf2", "\x66\xf3", "\xf2\x66", "\xf2\xf3",
		"\xf0\x66",
		/* REX in 64-bit code, INC and DEC elsewhere */
		"\x48", "\x45", "\x42", "\x66\x48", "\xf2\x48", "\xf3\x48", "\x66\x4f", "\x48\x66", "\x66\xf3\x48",
	};
	struct rig r;

	rig_init(&r, mode);
	for (unsigned p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
		for (unsigned map = 0; map < 4; map++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				compare_legacy(&r, prefixes[p], map, opcode, p < 4 ? 1 : MODRM_STEP);
	print_message("%lu cases\n", r.cases);
	assert_int_equal(r.differences, 0);
}

static void all_vex(unsigned mode)
{
	static const unsigned vvvv[] = { 15, 9 };
	struct rig r;

	rig_init(&r, mode);
	for (unsigned map = 0; map < 32; map++) /* 1 to 3 are in use */
		for (unsigned low = 0; low < 16; low++) /* W, L, pp */
			for (unsigned v = 0; v < 2; v++)
				for (unsigned rxb = map < 6 ? 0 : 7; rxb < 8; rxb++)
					for (unsigned opcode = 0; opcode < 256; opcode++)
						compare_vex(&r, rxb, map, (low & 8) << 4 | vvvv[v] << 3 | (low & 7), opcode);
	print_message("%lu cases\n", r.cases);
	assert_int_equal(r.differences, 0);
}

static void test_legacy_16(void **state) { (void)state; all_legacy(X86_MODE_16); }
static void test_legacy_32(void **state) { (void)state; all_legacy(X86_MODE_32); }
static void test_legacy_64(void **state) { (void)state; all_legacy(X86_MODE_64); }
static void test_vex_16(void **state) { (void)state; all_vex(X86_MODE_16); }
static void test_vex_32(void **state) { (void)state; all_vex(X86_MODE_32); }
static void test_vex_64(void **state) { (void)state; all_vex(X86_MODE_64); }

/* Fifteen bytes are the limit, and fewer than the instruction needs are asked for again. */
static void test_length_limits(void **state)
{
	uint8_t bytes[16] = { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90, 0x90 };
	static const uint8_t longest[] = { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct insn insn;

	(void)state;
	assert_int_equal(x86_decode(bytes, 15, X86_MODE_64, &insn), DECODE_OK);
	assert_int_equal(insn.len, 15);
	bytes[14] = 0x66;
	assert_int_equal(x86_decode(bytes, 15, X86_MODE_64, &insn), DECODE_TOOLONG);
	assert_int_equal(x86_decode(bytes, 16, X86_MODE_64, &insn), DECODE_TOOLONG);
	for (unsigned n = 1; n < sizeof(longest); n++)
		assert_int_equal(x86_decode(longest, n, X86_MODE_64, &insn), DECODE_SHORT);
	assert_int_equal(x86_decode(longest, sizeof(longest), X86_MODE_64, &insn), DECODE_OK);
	assert_int_equal(insn.imm, UINT64_C(0x0807060504030201));
}

/* Operand and address sizes where the rules are special. */
static void test_sizes(void **state)
{
	static const struct {
		uint8_t bytes[12];
		uint8_t mode;
		uint16_t op;
		uint8_t opsize, addrsize;
	} rows[] = {
		{ { 0x0f, 0x01, 0x10 }, X86_MODE_16, X86_OP_LGDT, 2, 2 }, { { 0x66, 0x0f, 0x01, 0x10 }, X86_MODE_16, X86_OP_LGDT, 4, 2 },
		{ { 0x0f, 0x01, 0x10 }, X86_MODE_32, X86_OP_LGDT, 4, 4 }, { { 0x66, 0x0f, 0x01, 0x10 }, X86_MODE_64, X86_OP_LGDT, 8, 8 },
		{ { 0x50 }, X86_MODE_64, X86_OP_PUSH, 8, 8 }, { { 0x66, 0x50 }, X86_MODE_64, X86_OP_PUSH, 2, 8 },
		{ { 0x66, 0xe8 }, X86_MODE_64, X86_OP_CALL, 8, 8 }, { { 0x66, 0xe8 }, X86_MODE_32, X86_OP_CALL, 2, 4 },
		{ { 0xcf }, X86_MODE_64, X86_OP_IRET, 4, 8 }, { { 0x48, 0xcf }, X86_MODE_64, X86_OP_IRET, 8, 8 },
		{ { 0x48, 0xed }, X86_MODE_64, X86_OP_IN, 4, 8 }, { { 0x66, 0xed }, X86_MODE_64, X86_OP_IN, 2, 8 },
		{ { 0x48, 0x0f, 0x07 }, X86_MODE_64, X86_OP_SYSRET, 8, 8 }, { { 0x0f, 0x07 }, X86_MODE_64, X86_OP_SYSRET, 4, 8 },
		{ { 0x66, 0xf2, 0x0f, 0x38, 0xf1, 0xc0 }, X86_MODE_64, X86_OP_CRC32, 4, 8 },
		{ { 0x67, 0x48, 0xab }, X86_MODE_64, X86_OP_STOS, 8, 4 }, { { 0x67, 0xab }, X86_MODE_16, X86_OP_STOS, 2, 4 },
		{ { 0x40, 0x66, 0x01, 0xc0 }, X86_MODE_64, X86_OP_ADD, 2, 8 }, { { 0x66, 0x48, 0x01, 0xc0 }, X86_MODE_64, X86_OP_ADD, 8, 8 },
		{ { 0x0f, 0x22, 0xc0 }, X86_MODE_16, X86_OP_MOV_TO_CR, 4, 2 }, { { 0x0f, 0x22, 0xc0 }, X86_MODE_64, X86_OP_MOV_TO_CR, 8, 8 },
	};
	struct insn insn;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(x86_decode(rows[i].bytes, 12, rows[i].mode, &insn), DECODE_OK);
		assert_int_equal(insn.op, rows[i].op);
		assert_int_equal(insn.opsize, rows[i].opsize);
		assert_int_equal(insn.addrsize, rows[i].addrsize);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_legacy_16), cmocka_unit_test(test_legacy_32), cmocka_unit_test(test_legacy_64),
		cmocka_unit_test(test_vex_16), cmocka_unit_test(test_vex_32), cmocka_unit_test(test_vex_64),
		cmocka_unit_test(test_length_limits), cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
