/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated code may hold instructions of these kinds only, and reach memory
 * only by way of the vcpu's own struct (GS) or of an address that was checked,
 * which lies in R10 or R11. What enters the kernel, touches segments, ports,
 * control or model specific registers, protection keys, or FS, is not among it.
 * Zydis says what the bytes are: our own decoder could share a mistake.
 */
#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "audit.h"

#define REPORTS_MAX 20

static const ZydisInstructionCategory categories[] = {
	ZYDIS_CATEGORY_ADOX_ADCX, ZYDIS_CATEGORY_AES, ZYDIS_CATEGORY_AVX, ZYDIS_CATEGORY_AVX2, ZYDIS_CATEGORY_BINARY, ZYDIS_CATEGORY_BITBYTE,
	ZYDIS_CATEGORY_BLEND, ZYDIS_CATEGORY_BMI1, ZYDIS_CATEGORY_BMI2, ZYDIS_CATEGORY_BROADCAST, ZYDIS_CATEGORY_CALL, ZYDIS_CATEGORY_CMOV,
	ZYDIS_CATEGORY_COND_BR, ZYDIS_CATEGORY_CONVERT, ZYDIS_CATEGORY_DATAXFER, ZYDIS_CATEGORY_FCMOV, ZYDIS_CATEGORY_LOGICAL,
	ZYDIS_CATEGORY_LOGICAL_FP, ZYDIS_CATEGORY_LZCNT, ZYDIS_CATEGORY_MMX, ZYDIS_CATEGORY_NOP, ZYDIS_CATEGORY_PCLMULQDQ, ZYDIS_CATEGORY_POP,
	ZYDIS_CATEGORY_PREFETCH, ZYDIS_CATEGORY_PUSH, ZYDIS_CATEGORY_RET, ZYDIS_CATEGORY_ROTATE, ZYDIS_CATEGORY_SEMAPHORE, ZYDIS_CATEGORY_SETCC,
	ZYDIS_CATEGORY_SHA, ZYDIS_CATEGORY_SHIFT, ZYDIS_CATEGORY_SSE, ZYDIS_CATEGORY_STTNI, ZYDIS_CATEGORY_UNCOND_BR, ZYDIS_CATEGORY_VFMA,
	ZYDIS_CATEGORY_WIDENOP, ZYDIS_CATEGORY_X87_ALU,
};

/* Of mixed categories. */
static const ZydisMnemonic mnemonics[] = {
	ZYDIS_MNEMONIC_LEA, ZYDIS_MNEMONIC_LAHF, ZYDIS_MNEMONIC_SAHF, ZYDIS_MNEMONIC_CLC, ZYDIS_MNEMONIC_STC, ZYDIS_MNEMONIC_CMC,
	ZYDIS_MNEMONIC_PAUSE, ZYDIS_MNEMONIC_LFENCE, ZYDIS_MNEMONIC_MFENCE, ZYDIS_MNEMONIC_SFENCE, ZYDIS_MNEMONIC_RDTSC,
};

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static bool kind_allowed(const ZydisDecodedInstruction *in)
{
	/* Flags that are not arithmetic are the guest's business. */
	if (in->mnemonic == ZYDIS_MNEMONIC_POPF || in->mnemonic == ZYDIS_MNEMONIC_POPFD || in->mnemonic == ZYDIS_MNEMONIC_POPFQ)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(categories); i++)
		if (in->meta.category == categories[i])
			return true;
	for (unsigned i = 0; i < ARRAY_LEN(mnemonics); i++)
		if (in->mnemonic == mnemonics[i])
			return true;
	return false;
}

static bool is_scratch(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_R10 || r == ZYDIS_REGISTER_R11;
}

/* @borrowed: RSI holds R10's address, as AH to BH cannot be had along with R10. */
static bool memory_allowed(const ZydisDecodedOperand *o, bool borrowed)
{
	if (o->mem.type == ZYDIS_MEMOP_TYPE_AGEN) /* LEA: an address, no access */
		return true;
	if (o->mem.segment == ZYDIS_REGISTER_FS)
		return false;
	if (o->mem.segment == ZYDIS_REGISTER_GS) /* a field, or an element of a table: a scratch register that was masked, RCX for BT and its like */
		return o->mem.base == ZYDIS_REGISTER_NONE || is_scratch(o->mem.base);
	return is_scratch(o->mem.base) || is_scratch(o->mem.index) || (borrowed && o->mem.base == ZYDIS_REGISTER_RSI);
}

static bool register_allowed(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

	if (class == ZYDIS_REGCLASS_CONTROL || class == ZYDIS_REGCLASS_DEBUG || class == ZYDIS_REGCLASS_TEST || class == ZYDIS_REGCLASS_TABLE)
		return false;
	return class != ZYDIS_REGCLASS_SEGMENT || !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

static bool is_op(const struct decoded *d, ZydisMnemonic mnemonic, ZydisRegister first, ZydisRegister second)
{
	return d->insn.mnemonic == mnemonic && d->operands[0].reg.value == first && d->operands[1].reg.value == second;
}

static bool borrows(const struct decoded *d)
{
	return is_op(d, ZYDIS_MNEMONIC_XCHG, ZYDIS_REGISTER_R10, ZYDIS_REGISTER_RSI);
}

/* REP STOS and REP MOVS go by RDI and RSI: those got a checked address out of R11 just before. */
struct lent {
	unsigned rdi, rsi; /* for so many more instructions */
};

static void lend(struct lent *l, const struct decoded *d)
{
	l->rdi -= l->rdi > 0;
	l->rsi -= l->rsi > 0;
	if (is_op(d, ZYDIS_MNEMONIC_MOV, ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_R11))
		l->rdi = 4;
	if (is_op(d, ZYDIS_MNEMONIC_XCHG, ZYDIS_REGISTER_R11, ZYDIS_REGISTER_RSI))
		l->rsi = 1;
}

static bool string_allowed(const struct decoded *d, const struct lent *l)
{
	bool stores = false, loads = false;

	if (d->insn.meta.category != ZYDIS_CATEGORY_STRINGOP || !(d->insn.attributes & ZYDIS_ATTRIB_HAS_REP) ||
	    (d->insn.attributes & ZYDIS_ATTRIB_HAS_SEGMENT) || d->insn.address_width != 64)
		return false;
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->operands[i];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		stores |= o->mem.base == ZYDIS_REGISTER_RDI && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
		loads |= o->mem.base == ZYDIS_REGISTER_RSI;
	}
	return stores && l->rdi && (!loads || l->rsi);
}

/* The stack that CALL, RET, PUSH and POP use is ours; so is all that the fixed pieces, @stub, read. */
static bool decoded_allowed(const struct decoded *d, bool stub, bool borrowed)
{
	const ZydisDecodedInstruction *in = &d->insn;

	if (!kind_allowed(in) && !(stub && (in->mnemonic == ZYDIS_MNEMONIC_PUSHFQ || in->mnemonic == ZYDIS_MNEMONIC_INT3)))
		return false;
	for (unsigned i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *o = &d->operands[i];
		bool implicit = o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;

		if (o->type == ZYDIS_OPERAND_TYPE_POINTER)
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && !implicit && !stub && !memory_allowed(o, borrowed))
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && !implicit && !register_allowed(o))
			return false;
	}
	return true;
}

static bool decode(const uint8_t *bytes, size_t len, struct decoded *d)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len, &d->insn, d->operands));
}

bool audit_allows(const uint8_t *bytes, size_t len)
{
	struct decoded d;

	return decode(bytes, len, &d) && decoded_allowed(&d, false, false);
}

static void refuse(struct audit *a, const struct cpu_translation *t, const struct cpu_code *c, size_t at, const struct decoded *d)
{
	ZydisFormatter formatter;
	char text[96] = "no instruction";

	if (a->refused++ >= REPORTS_MAX)
		return;
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (d)
		ZydisFormatterFormatInstruction(&formatter, &d->insn, d->operands, d->insn.operand_count_visible, text, sizeof(text), c->at + at, NULL);
	printf("audit: block of %#lx, %s code byte %zu: %s\n", t->rip, c == &t->hot ? "hot" : "cold", at, text);
}

static bool calls_slow(const struct cpu_translation *t, const struct decoded *d, uint64_t at)
{
	ZyanU64 target;

	if (d->insn.mnemonic != ZYDIS_MNEMONIC_CALL || !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&d->insn, &d->operands[0], at, &target)))
		return false;
	for (unsigned i = 0; i < CPU_SLOW_STUBS; i++)
		if (t->slow[i] == target)
			return true;
	return false;
}

static void audit_code(struct audit *a, const struct cpu_translation *t, const struct cpu_code *c)
{
	bool slow = false, borrowed = false;
	struct lent lent = { 0 };

	for (size_t at = 0; at < c->len;) {
		bool data_next = slow;
		struct decoded d;

		if (!decode(c->bytes + at, c->len - at, &d)) {
			refuse(a, t, c, at, NULL);
			return;
		}
		if (!decoded_allowed(&d, !t->guest_bits, borrowed) && !string_allowed(&d, &lent))
			refuse(a, t, c, at, &d);
		lend(&lent, &d);
		borrowed ^= borrows(&d); /* until they are exchanged back */
		slow = calls_slow(t, &d, c->at + at);
		at += d.insn.length + (data_next ? t->slow_data : 0);
		a->insns++;
	}
}

void audit_translation(void *ctx, const struct cpu_translation *t)
{
	struct audit *a = ctx;

	a->blocks += t->guest_bits != 0;
	audit_code(a, t, &t->hot);
	audit_code(a, t, &t->cold);
}
