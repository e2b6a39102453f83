/* SPDX-License-Identifier: Apache-2.0 */
/* A translated block for people; see listing.h. */
#include "cli/listing.h"

#ifdef LODGE_ZYDIS
#include <Zydis/Zydis.h>

#define BYTES_SHOWN 11

struct printer {
	FILE *f;
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	const struct cpu_translation *t;
};

static void printer_init(struct printer *p, FILE *f, const struct cpu_translation *t, bool guest32)
{
	p->f = f;
	p->t = t;
	if (guest32)
		ZydisDecoderInit(&p->decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&p->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&p->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
}

static bool is_slow(const struct cpu_translation *t, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands, uint64_t at)
{
	ZyanU64 target;

	if (in->mnemonic != ZYDIS_MNEMONIC_CALL || !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(in, operands, at, &target)))
		return false;
	for (unsigned i = 0; i < CPU_SLOW_STUBS; i++)
		if (t->slow[i] == target)
			return true;
	return false;
}

static void print_bytes(FILE *f, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < BYTES_SHOWN; i++) {
		if (i < len)
			fprintf(f, "%02x ", bytes[i]);
		else
			fputs("   ", f);
	}
}

static void print_code(struct printer *p, const struct cpu_code *c)
{
	bool slow = false;

	for (size_t at = 0; at < c->len;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		char text[128];
		bool data_next = slow;

		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&p->decoder, c->bytes + at, c->len - at, &in, operands))) {
			fprintf(p->f, "  %16llx  no instruction\n", (unsigned long long)(c->at + at));
			return;
		}
		ZydisFormatterFormatInstruction(&p->formatter, &in, operands, in.operand_count_visible, text, sizeof(text), c->at + at, NULL);
		fprintf(p->f, "  %16llx  ", (unsigned long long)(c->at + at));
		print_bytes(p->f, c->bytes + at, in.length);
		fprintf(p->f, " %s\n", text);
		slow = is_slow(p->t, &in, operands, c->at + at);
		at += in.length;
		if (data_next) {
			fprintf(p->f, "  %16llx  %zu bytes for C: which instruction, how many bytes\n", (unsigned long long)(c->at + at), p->t->slow_data);
			at += p->t->slow_data;
		}
	}
}

bool listing_available(void) { return true; }

void listing_print(FILE *f, const struct cpu_translation *t)
{
	struct cpu_code guest = { .bytes = t->guest, .len = t->guest_len, .at = t->rip };
	struct printer p;

	fprintf(f, "guest: %u instructions, %zu bytes\n", t->insns, t->guest_len);
	printer_init(&p, f, t, t->guest_bits == 32);
	print_code(&p, &guest);
	printer_init(&p, f, t, false);
	fprintf(f, "host: %zu bytes\n", t->hot.len);
	print_code(&p, &t->hot);
	fprintf(f, "host, rarely used: %zu bytes\n", t->cold.len);
	print_code(&p, &t->cold);
}

#else

bool listing_available(void) { return false; }

void listing_print(FILE *f, const struct cpu_translation *t)
{
	(void)f;
	(void)t;
}

#endif
