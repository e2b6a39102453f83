/* SPDX-License-Identifier: Apache-2.0 */
/* The instruction decoder: prefixes, opcode maps, VEX. */
#include "base/types.h"
#include "cpu/x86/decode_internal.h"
#include "cpu/x86/state.h"

static void segment_prefix(struct decoder *d, uint8_t seg)
{
	if (mode64(d) && seg < X86_FS)
		return; /* ES, CS, SS, DS overrides mean nothing in 64-bit code, not even against an earlier FS or GS */
	d->insn->seg = seg;
	d->insn->flags |= INSN_SEG_PREFIX;
}

/* Reads prefixes and the first byte that is none, which it returns. A REX counts only right before the opcode. */
static uint8_t read_prefixes(struct decoder *d)
{
	struct insn *insn = d->insn;

	for (;;) {
		uint8_t byte = decode_byte(d);

		if (d->over)
			return 0;
		if (mode64(d) && (byte & 0xf0) == 0x40) {
			insn->rex = byte & 0xf;
			insn->flags |= INSN_REX;
			continue;
		}
		switch (byte) {
		case 0x26: segment_prefix(d, X86_ES); break;
		case 0x2e: segment_prefix(d, X86_CS); break;
		case 0x36: segment_prefix(d, X86_SS); break;
		case 0x3e: segment_prefix(d, X86_DS); break;
		case 0x64: segment_prefix(d, X86_FS); break;
		case 0x65: segment_prefix(d, X86_GS); break;
		case 0x66: insn->flags |= INSN_66; break;
		case 0x67: insn->flags |= INSN_67; break;
		case 0xf0: insn->flags |= INSN_LOCK; break;
		case 0xf2: insn->flags = (insn->flags & ~INSN_REP) | INSN_REPNE; break;
		case 0xf3: insn->flags = (insn->flags & ~INSN_REPNE) | INSN_REP; break;
		default: return byte;
		}
		insn->rex = 0;
		insn->flags &= ~INSN_REX;
	}
}

static bool decode_x87_insn(struct decoder *d)
{
	struct insn *insn = d->insn;

	if (insn->flags & INSN_LOCK)
		return false;
	decode_modrm(d);
	if (!decode_x87(insn))
		return false;
	insn->src_size = insn->opsize;
	decode_address(d);
	return true;
}

/* After C4 or C5. False: not a valid VEX prefix. */
static bool read_vex(struct decoder *d, bool three_bytes)
{
	struct insn *insn = d->insn;
	uint8_t b1 = decode_byte(d), b2 = three_bytes ? decode_byte(d) : b1;

	if (insn->flags & (INSN_66 | INSN_REP | INSN_REPNE | INSN_LOCK | INSN_REX))
		return false;
	insn->flags |= INSN_VEX;
	insn->map = three_bytes ? b1 & 0x1f : 1;
	insn->rex = (uint8_t)((~b1 & 0x80) >> 5);
	if (three_bytes)
		insn->rex |= (uint8_t)((b2 >> 7) << 3 | (~b1 >> 6 & 1) << 1 | (~b1 >> 5 & 1));
	d->vvvv = ~b2 >> 3 & 0xf;
	insn->vex_vvvv = d->vvvv;
	if (!mode64(d)) {
		insn->rex &= 8;
		insn->vex_vvvv &= 7;
	}
	insn->vex_l = b2 >> 2 & 1;
	insn->vex_pp = (const uint8_t[]){ PP_NP, PP_66, PP_F3, PP_F2 }[b2 & 3];
	return insn->map >= 1 && insn->map <= 3;
}

static bool decode_vex(struct decoder *d, bool three_bytes)
{
	struct insn *insn = d->insn;
	const struct op_entry *e;

	if (!read_vex(d, three_bytes))
		return false;
	insn->prefix_len = (uint8_t)d->pos;
	insn->opcode = decode_byte(d);
	e = decode_vex_integer(insn->map, insn->opcode, insn->vex_pp);
	if (!e)
		return decode_vector(d);
	if (insn->vex_l)
		return false;
	if (!decode_integer(d, e))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(insn->opnd); i++) {
		if (insn->opnd[i] == X86_OPD_VVVV)
			return true;
	}
	return d->vvvv == 0;
}

/* In 16 and 32-bit code C4 and C5 are LES and LDS unless ModRM would be a register form. */
static bool is_vex(const struct decoder *d, uint8_t byte)
{
	if (byte != 0xc4 && byte != 0xc5)
		return false;
	return mode64(d) || (d->pos < d->avail && d->bytes[d->pos] >> 6 == 3);
}

static bool decode_escaped(struct decoder *d)
{
	struct insn *insn = d->insn;
	const struct op_entry *e;
	uint8_t byte = decode_byte(d);

	insn->map = byte == 0x38 ? 2 : byte == 0x3a ? 3 : 1;
	insn->prefix_len = (uint8_t)(d->pos - 2);
	insn->opcode = insn->map == 1 ? byte : decode_byte(d);
	if (d->over)
		return false;
	if (insn->map == 1) {
		e = &decode_map_0f[insn->opcode];
		return e->kind == ENTRY_UD ? decode_vector(d) : decode_integer(d, e);
	}
	e = insn->map == 2 ? decode_legacy_0f38(insn->opcode) : NULL;
	return e ? decode_integer(d, e) : decode_vector(d);
}

static bool decode_one(struct decoder *d)
{
	struct insn *insn = d->insn;
	uint8_t byte = read_prefixes(d);

	if (d->over)
		return false;
	insn->prefix_len = (uint8_t)(d->pos - 1);
	insn->opsize = decode_default_opsize(d);
	insn->addrsize = (uint8_t)d->mode;
	if (insn->flags & INSN_67)
		insn->addrsize = d->mode == X86_MODE_32 ? 2 : 4;
	decode_default_segment(insn, false);
	if (byte == 0x0f)
		return decode_escaped(d);
	if (is_vex(d, byte))
		return decode_vex(d, byte == 0xc4);
	insn->opcode = byte;
	if (byte >= 0xd8 && byte <= 0xdf)
		return decode_x87_insn(d);
	return decode_integer(d, &decode_map_1byte[byte]);
}

enum decode_status x86_decode(const uint8_t *bytes, unsigned avail, unsigned mode, struct insn *out)
{
	struct decoder d = { .bytes = bytes, .avail = MIN(avail, (unsigned)X86_INSN_MAX), .mode = mode, .insn = out };
	bool ok;

	__builtin_memset(out, 0, sizeof(*out));
	out->base = X86_NOREG;
	out->index = X86_NOREG;
	ok = decode_one(&d);
	out->len = (uint8_t)d.pos;
	__builtin_memcpy(out->bytes, bytes, d.pos);
	if (d.over)
		return avail >= X86_INSN_MAX ? DECODE_TOOLONG : DECODE_SHORT;
	return ok ? DECODE_OK : DECODE_UD;
}
