/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what follows an opcode: ModRM, SIB, displacement, immediates; operand sizes and mandatory prefixes. */
#include "cpu/x86/decode_internal.h"
#include "cpu/x86/state.h"

uint8_t decode_byte(struct decoder *d)
{
	if (unlikely(d->pos >= d->avail)) {
		d->over = true;
		return 0;
	}
	return d->bytes[d->pos++];
}

uint64_t decode_bytes(struct decoder *d, unsigned n)
{
	uint64_t v = 0;

	if (unlikely(d->pos + n > d->avail)) {
		d->over = true;
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)d->bytes[d->pos + i] << (8 * i);
	d->pos += n;
	return v;
}

static int64_t signed_bytes(struct decoder *d, unsigned n)
{
	unsigned shift = 64 - 8 * n;

	return (int64_t)(decode_bytes(d, n) << shift) >> shift;
}

uint8_t decode_default_opsize(const struct decoder *d)
{
	const struct insn *insn = d->insn;

	if (mode64(d) && insn->rex & 8)
		return 8;
	return (d->mode == X86_MODE_16) != !!(insn->flags & INSN_66) ? 2 : 4;
}

uint8_t decode_opsize(const struct decoder *d, unsigned size)
{
	uint8_t v = d->insn->opsize;

	switch (size) {
	case SIZE_B: return 1;
	case SIZE_W: return 2;
	case SIZE_D: return 4;
	case SIZE_Q: return 8;
	case SIZE_IO: return MIN(v, (uint8_t)4);
	case SIZE_D64: return mode64(d) ? (v == 2 ? 2 : 8) : v;
	case SIZE_F64: return mode64(d) ? 8 : v;
	case SIZE_Y: return mode64(d) && d->insn->rex & 8 ? 8 : 4;
	case SIZE_N: return mode64(d) ? 8 : 4;
	case SIZE_T: return mode64(d) ? 8 : v;
	default: return v;
	}
}

void decode_default_segment(struct insn *insn, bool stack)
{
	if (!(insn->flags & INSN_SEG_PREFIX))
		insn->seg = stack ? X86_SS : X86_DS;
}

static void read_address16(struct decoder *d)
{
	static const struct {
		uint8_t base, index;
	} forms[8] = {
		{ X86_RBX, X86_RSI }, { X86_RBX, X86_RDI }, { X86_RBP, X86_RSI }, { X86_RBP, X86_RDI },
		{ X86_RSI, X86_NOREG }, { X86_RDI, X86_NOREG }, { X86_RBP, X86_NOREG }, { X86_RBX, X86_NOREG },
	};
	struct insn *insn = d->insn;
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (mod == 0 && rm == 6) {
		insn->disp = signed_bytes(d, 2);
		decode_default_segment(insn, false);
		return;
	}
	insn->base = forms[rm].base;
	insn->index = forms[rm].index;
	decode_default_segment(insn, insn->base == X86_RBP);
	if (mod)
		insn->disp = signed_bytes(d, mod == 1 ? 1 : 2);
}

static void read_sib(struct decoder *d, unsigned mod)
{
	struct insn *insn = d->insn;
	uint8_t sib = decode_byte(d);
	uint8_t index = (uint8_t)((sib >> 3 & 7) | (insn->rex & 2) << 2);

	d->sib = sib;
	insn->scale = sib >> 6;
	if (index != 4)
		insn->index = index;
	if ((sib & 7) == 5 && mod == 0)
		insn->disp = signed_bytes(d, 4);
	else
		insn->base = (uint8_t)((sib & 7) | (insn->rex & 1) << 3);
}

static void read_address32(struct decoder *d)
{
	struct insn *insn = d->insn;
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (rm == 4) {
		read_sib(d, mod);
	} else if (mod == 0 && rm == 5) {
		insn->disp = signed_bytes(d, 4);
		if (mode64(d)) {
			insn->base = X86_REG_RIP;
			insn->flags |= INSN_RIPREL;
		}
	} else {
		insn->base = (uint8_t)(rm | (insn->rex & 1u) << 3);
	}
	decode_default_segment(insn, insn->base == X86_RSP || insn->base == X86_RBP);
	if (mod == 1)
		insn->disp = signed_bytes(d, 1);
	else if (mod == 2)
		insn->disp = signed_bytes(d, 4);
}

void decode_modrm(struct decoder *d)
{
	struct insn *insn = d->insn;

	if (insn->flags & INSN_MODRM)
		return;
	insn->flags |= INSN_MODRM;
	insn->modrm_off = (uint8_t)d->pos;
	insn->modrm = decode_byte(d);
	insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4) << 1);
	insn->rm = (uint8_t)((insn->modrm & 7) | (insn->rex & 1) << 3);
	if (insn->modrm >> 6 != 3)
		insn->flags |= INSN_MEM;
}

void decode_address(struct decoder *d)
{
	if (!(d->insn->flags & INSN_MEM))
		return;
	if (d->insn->addrsize == 2)
		read_address16(d);
	else
		read_address32(d);
}

void decode_immediate(struct decoder *d, unsigned kind)
{
	struct insn *insn = d->insn;
	unsigned start = d->pos, z = insn->opsize == 2 ? 2 : 4;

	switch (kind) {
	case IMM_B: insn->imm = decode_byte(d); break;
	case IMM_BS: insn->imm = (uint64_t)signed_bytes(d, 1); break;
	case IMM_W: insn->imm = decode_bytes(d, 2); break;
	case IMM_Z: insn->imm = (uint64_t)signed_bytes(d, z); break;
	case IMM_V: insn->imm = decode_bytes(d, insn->opsize); break;
	case IMM_WB:
		insn->imm = decode_bytes(d, 2);
		insn->imm2 = decode_byte(d);
		break;
	case IMM_FAR:
		insn->imm = decode_bytes(d, z);
		insn->far_sel = (uint16_t)decode_bytes(d, 2);
		break;
	case IMM_BB:
		insn->imm = decode_byte(d);
		insn->imm2 = decode_byte(d);
		break;
	default: break;
	}
	insn->imm_bytes = (uint8_t)(d->pos - start);
}

unsigned decode_mandatory_prefix(const struct decoder *d)
{
	uint32_t flags = d->insn->flags;

	if (flags & INSN_VEX)
		return d->insn->vex_pp;
	if (flags & INSN_REP)
		return PP_F3;
	if (flags & INSN_REPNE)
		return PP_F2;
	return flags & INSN_66 ? PP_66 : PP_NP;
}
