/* SPDX-License-Identifier: Apache-2.0 */
/* Between the decoder's files: the cursor over an instruction's bytes. */
#ifndef LODGE_CPU_X86_DECODE_INTERNAL_H
#define LODGE_CPU_X86_DECODE_INTERNAL_H

#include "cpu/x86/decode_tables.h"

struct decoder {
	const uint8_t *bytes;
	unsigned avail;   /* bytes that may be read, at most X86_INSN_MAX */
	unsigned pos;
	unsigned mode;    /* enum x86_mode_bits */
	bool over;        /* ran past avail */
	uint8_t sib;
	uint8_t vvvv;     /* all four bits, which must be zero when no operand uses them */
	struct insn *insn;
};

static inline bool mode64(const struct decoder *d)
{
	return d->mode == X86_MODE_64;
}

/* decode_operands.c. Reads beyond the bytes given set d->over and give zeros. */
uint8_t decode_byte(struct decoder *d);
uint64_t decode_bytes(struct decoder *d, unsigned n);
/* DS, or SS if the address is based on the stack, unless a prefix said otherwise. */
void decode_default_segment(struct insn *insn, bool stack);
/* Reads ModRM once; later calls do nothing. */
void decode_modrm(struct decoder *d);
/* The bytes of the address follow ModRM; groups are chosen before these are read, so that #UD needs no more bytes. */
void decode_address(struct decoder *d);
void decode_immediate(struct decoder *d, unsigned kind);
uint8_t decode_default_opsize(const struct decoder *d);
uint8_t decode_opsize(const struct decoder *d, unsigned size);
/* enum decode_pp */
unsigned decode_mandatory_prefix(const struct decoder *d);

/* decode_integer.c, decode_vector.c: the rest of an instruction after its opcode; false: undefined. */
bool decode_integer(struct decoder *d, const struct op_entry *e);
bool decode_vector(struct decoder *d);

#endif
