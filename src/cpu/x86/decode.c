/* SPDX-License-Identifier: Apache-2.0 */
/* The instruction decoder's engine: prefixes, ModRM, immediates, and the rules that tables cannot say. */
#include "base/types.h"
#include "cpu/x86/decode_tables.h"
#include "cpu/x86/state.h"

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

static uint8_t next_byte(struct decoder *d)
{
	if (unlikely(d->pos >= d->avail)) {
		d->over = true;
		return 0;
	}
	return d->bytes[d->pos++];
}

static uint64_t next_bytes(struct decoder *d, unsigned n)
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

static int64_t next_signed(struct decoder *d, unsigned n)
{
	unsigned shift = 64 - 8 * n;

	return (int64_t)(next_bytes(d, n) << shift) >> shift;
}

static bool mode64(const struct decoder *d)
{
	return d->mode == X86_MODE_64;
}

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
		uint8_t byte = next_byte(d);

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

static uint8_t default_opsize(const struct decoder *d)
{
	const struct insn *insn = d->insn;

	if (mode64(d) && insn->rex & 8)
		return 8;
	return (d->mode == X86_MODE_16) != !!(insn->flags & INSN_66) ? 2 : 4;
}

static uint8_t entry_opsize(const struct decoder *d, unsigned size)
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
	default: return v;
	}
}

static void default_segment(struct insn *insn, bool stack)
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
		insn->disp = next_signed(d, 2);
		default_segment(insn, false);
		return;
	}
	insn->base = forms[rm].base;
	insn->index = forms[rm].index;
	default_segment(insn, insn->base == X86_RBP);
	if (mod)
		insn->disp = next_signed(d, mod == 1 ? 1 : 2);
}

static void read_sib(struct decoder *d, unsigned mod)
{
	struct insn *insn = d->insn;
	uint8_t sib = next_byte(d);
	uint8_t index = (uint8_t)((sib >> 3 & 7) | (insn->rex & 2) << 2);

	d->sib = sib;
	insn->scale = sib >> 6;
	if (index != 4)
		insn->index = index;
	if ((sib & 7) == 5 && mod == 0)
		insn->disp = next_signed(d, 4);
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
		insn->disp = next_signed(d, 4);
		if (mode64(d)) {
			insn->base = X86_REG_RIP;
			insn->flags |= INSN_RIPREL;
		}
	} else {
		insn->base = (uint8_t)(rm | (insn->rex & 1) << 3);
	}
	default_segment(insn, insn->base == X86_RSP || insn->base == X86_RBP);
	if (mod == 1)
		insn->disp = next_signed(d, 1);
	else if (mod == 2)
		insn->disp = next_signed(d, 4);
}

/* Reads ModRM once; later calls do nothing. */
static void read_modrm(struct decoder *d)
{
	struct insn *insn = d->insn;

	if (insn->flags & INSN_MODRM)
		return;
	insn->flags |= INSN_MODRM;
	insn->modrm_off = (uint8_t)d->pos;
	insn->modrm = next_byte(d);
	insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4) << 1);
	insn->rm = (uint8_t)((insn->modrm & 7) | (insn->rex & 1) << 3);
	if (insn->modrm >> 6 != 3)
		insn->flags |= INSN_MEM;
}

/* The bytes of the address follow ModRM; groups are chosen before these are read, so that #UD needs no more bytes. */
static void read_address(struct decoder *d)
{
	if (!(d->insn->flags & INSN_MEM))
		return;
	if (d->insn->addrsize == 2)
		read_address16(d);
	else
		read_address32(d);
}

static void read_immediate(struct decoder *d, unsigned kind)
{
	struct insn *insn = d->insn;
	unsigned start = d->pos, z = insn->opsize == 2 ? 2 : 4;

	switch (kind) {
	case IMM_B: insn->imm = next_byte(d); break;
	case IMM_BS: insn->imm = (uint64_t)next_signed(d, 1); break;
	case IMM_W: insn->imm = next_bytes(d, 2); break;
	case IMM_Z: insn->imm = (uint64_t)next_signed(d, z); break;
	case IMM_V: insn->imm = next_bytes(d, insn->opsize); break;
	case IMM_WB:
		insn->imm = next_bytes(d, 2);
		insn->imm2 = next_byte(d);
		break;
	case IMM_FAR:
		insn->imm = next_bytes(d, z);
		insn->far_sel = (uint16_t)next_bytes(d, 2);
		break;
	case IMM_BB:
		insn->imm = next_byte(d);
		insn->imm2 = next_byte(d);
		break;
	default: break;
	}
	insn->imm_bytes = (uint8_t)(d->pos - start);
}

static unsigned mandatory_prefix(const struct decoder *d)
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

static const struct op_entry *follow(struct decoder *d, const struct op_entry *e)
{
	for (;;) {
		switch (e->kind) {
		case ENTRY_BY_REG:
			read_modrm(d);
			e = &e->sub[d->insn->modrm >> 3 & 7];
			break;
		case ENTRY_BY_MOD:
			read_modrm(d);
			e = &e->sub[d->insn->modrm >> 6 == 3];
			break;
		case ENTRY_BY_RM:
			read_modrm(d);
			e = &e->sub[d->insn->modrm & 7];
			break;
		case ENTRY_BY_PREFIX: e = &e->sub[mandatory_prefix(d)]; break;
		case ENTRY_BY_MODE: e = &e->sub[mode64(d)]; break;
		default: return e;
		}
	}
}

static uint16_t entry_mem_bytes(const struct decoder *d, const struct op_entry *e)
{
	const struct insn *insn = d->insn;

	switch (e->mem) {
	case MEM_NONE: return 0;
	case MEM_1: return 1;
	case MEM_2: return 2;
	case MEM_4: return 4;
	case MEM_8: return 8;
	case MEM_16: return 16;
	case MEM_512: return 512;
	case MEM_SRC: return insn->src_size;
	case MEM_PAIR: return (uint16_t)(2 * insn->opsize);
	case MEM_FAR: return (uint16_t)(2 + insn->opsize);
	case MEM_TABLE: return mode64(d) ? 10 : 6;
	default: return insn->opsize;
	}
}

static bool has_operand(const struct op_entry *e, unsigned opnd)
{
	return e->opnd[0] == opnd || e->opnd[1] == opnd || e->opnd[2] == opnd;
}

static void memory_access(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;
	bool first = e->opnd[0] == X86_OPD_RM || e->opnd[0] == X86_OPD_MOFFS;

	insn->mem_bytes = entry_mem_bytes(d, e);
	if (!insn->mem_bytes)
		return;
	if (!first)
		insn->mem_access = INSN_ACCESS_R;
	else if (e->flags & ENTRY_RO)
		insn->mem_access = INSN_ACCESS_R;
	else if (e->flags & ENTRY_WO || e->opnd[0] == X86_OPD_MOFFS)
		insn->mem_access = INSN_ACCESS_W;
	else
		insn->mem_access = INSN_ACCESS_R | INSN_ACCESS_W;
}

/* Control and debug registers: ModRM always means registers, and few numbers exist. */
static bool fix_control_register(struct insn *insn)
{
	bool control = insn->op == X86_OP_MOV_FROM_CR || insn->op == X86_OP_MOV_TO_CR;

	if (!control)
		return insn->reg < 8 && !(insn->flags & INSN_LOCK);
	if (insn->flags & INSN_LOCK) {
		if (insn->reg != 0)
			return false;
		insn->reg = 8; /* AMD's LOCK MOV CR0 */
	}
	return insn->reg == 0 || (insn->reg >= 2 && insn->reg <= 4) || insn->reg == 8;
}

static bool check_lock(const struct insn *insn)
{
	if (!(insn->flags & INSN_LOCK))
		return true;
	if (insn->op == X86_OP_MOV_FROM_CR || insn->op == X86_OP_MOV_TO_CR)
		return true;
	return x86_op_info(insn->op)->attr & X86_OPA_LOCK && insn->flags & INSN_MEM && insn->opnd[0] == X86_OPD_RM;
}

/* What depends on the operation itself. */
static bool fix_operation(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;

	switch (insn->op) {
	case X86_OP_XCHG:
		if (insn->opcode == 0x90 && !insn->map && !(insn->rex & 1)) {
			insn->op = insn->flags & INSN_REP ? X86_OP_PAUSE : X86_OP_NOP;
			insn->opnd[0] = insn->opnd[1] = X86_OPD_NONE;
		}
		return true;
	case X86_OP_CMPXCHG8B:
		if (insn->opsize == 8) {
			insn->op = X86_OP_CMPXCHG16B;
			insn->feature = X86_F_CX16;
		}
		return true;
	case X86_OP_CRC32:
		if (!(e->flags & ENTRY_SRC1))
			insn->src_size = insn->opsize == 8 ? 8 : default_opsize(d);
		insn->mem_bytes = insn->flags & INSN_MEM ? insn->src_size : 0;
		return true;
	case X86_OP_MOV_FROM_SREG:
		insn->reg &= 7;
		return insn->reg < X86_NSEG;
	case X86_OP_MOV_TO_SREG:
		insn->reg &= 7;
		return insn->reg < X86_NSEG && insn->reg != X86_CS;
	case X86_OP_PUSH_SREG:
	case X86_OP_POP_SREG: insn->reg = insn->opcode >> 3 & 7; return true;
	case X86_OP_MOVSX:
		if (e->flags & ENTRY_SRC4 && insn->opsize == 2)
			insn->src_size = 2; /* MOVSXD with 66 */
		return true;
	default: return true;
	}
}

static void set_operands(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;

	insn->op = e->op;
	insn->feature = e->feature;
	insn->opsize = entry_opsize(d, e->size);
	insn->src_size = insn->opsize;
	if (e->flags & (ENTRY_SRC1 | ENTRY_SRC2 | ENTRY_SRC4))
		insn->src_size = e->flags & ENTRY_SRC1 ? 1 : e->flags & ENTRY_SRC2 ? 2 : 4;
	__builtin_memcpy(insn->opnd, e->opnd, sizeof(insn->opnd));
	if (e->flags & ENTRY_COND)
		insn->cond = insn->opcode & 0xf;
	if (has_operand(e, X86_OPD_OPREG))
		insn->rm = (uint8_t)((insn->opcode & 7) | (insn->rex & 1) << 3);
}

static void read_moffs(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;

	if (!has_operand(e, X86_OPD_MOFFS))
		return;
	insn->flags |= INSN_MEM;
	insn->disp = (int64_t)next_bytes(d, insn->addrsize);
}

static bool is_cr_or_dr(unsigned op)
{
	return op == X86_OP_MOV_FROM_CR || op == X86_OP_MOV_TO_CR || op == X86_OP_MOV_FROM_DR || op == X86_OP_MOV_TO_DR;
}

static bool finish_integer(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;

	e = follow(d, e);
	if (e->kind == ENTRY_UD)
		return false;
	set_operands(d, e);
	if (e->flags & ENTRY_MODRM)
		read_modrm(d);
	if (is_cr_or_dr(insn->op)) {
		insn->flags &= ~INSN_MEM;
		return fix_control_register(insn);
	}
	if (e->flags & ENTRY_MEMONLY && !(insn->flags & INSN_MEM))
		return false;
	read_address(d);
	read_moffs(d, e);
	read_immediate(d, e->imm);
	if (!fix_operation(d, e))
		return false;
	if (insn->flags & INSN_MEM && insn->op != X86_OP_CRC32)
		memory_access(d, e);
	else if (insn->flags & INSN_MEM)
		insn->mem_access = INSN_ACCESS_R;
	return check_lock(insn);
}

static uint16_t vector_mem_bytes(const struct decoder *d, unsigned kind)
{
	const struct insn *insn = d->insn;
	unsigned full = insn->vex_l ? 32 : 16;

	switch (kind) {
	case VMEM_1: return 1;
	case VMEM_2: return 2;
	case VMEM_4: return 4;
	case VMEM_8: return 8;
	case VMEM_16: return 16;
	case VMEM_X: return (uint16_t)full;
	case VMEM_H: return (uint16_t)(full / 2);
	case VMEM_Q: return (uint16_t)(full / 4);
	case VMEM_E: return (uint16_t)(full / 8);
	case VMEM_Y: return mode64(d) && insn->rex & 8 ? 8 : 4;
	case VMEM_S: return insn->rex & 8 ? 8 : 4;
	case VMEM_DUP: return insn->vex_l ? 32 : 8;
	default: return 0;
	}
}

static bool check_vex(const struct decoder *d, const struct vec_entry *e)
{
	const struct insn *insn = d->insn;
	bool uses_vvvv = e->flags & VEC_NDS || (e->flags & VEC_NDS_REG && !(insn->flags & INSN_MEM));

	if (e->flags & VEC_W0 && insn->rex & 8)
		return false;
	if (e->flags & VEC_W1 && !(insn->rex & 8))
		return false;
	return uses_vvvv || d->vvvv == 0;
}

/* A gather's registers must all differ, and its address has a SIB byte. */
static bool check_gather(const struct insn *insn)
{
	return insn->index != insn->reg && insn->index != insn->vex_vvvv && insn->reg != insn->vex_vvvv;
}

static uint16_t vector_op(const struct insn *insn, const struct vec_entry *e)
{
	if (e->flags & VEC_MASKMOV)
		return X86_OP_MASKMOV;
	if (e->flags & VEC_VMASKMOV)
		return X86_OP_VMASKMOV;
	if (e->flags & VEC_GATHER)
		return X86_OP_GATHER;
	if (insn->flags & INSN_VEX)
		return X86_OP_AVX;
	return e->flags & VEC_MMX ? X86_OP_MMX : X86_OP_SSE;
}

static void vector_operands(struct decoder *d, const struct vec_entry *e)
{
	struct insn *insn = d->insn;
	bool mem = insn->flags & INSN_MEM, vex = insn->flags & INSN_VEX;

	if (e->flags & VEC_GPR)
		insn->flags |= INSN_REG_GPR | INSN_REG_GPR_WRITE;
	if (e->flags & (VEC_RMG | VEC_RMGW) && !mem)
		insn->flags |= e->flags & VEC_RMGW ? INSN_RM_GPR | INSN_RM_GPR_WRITE : INSN_RM_GPR;
	if (!mem)
		return;
	insn->mem_bytes = vector_mem_bytes(d, e->mem);
	insn->mem_access = e->flags & VEC_STORE ? INSN_ACCESS_W : INSN_ACCESS_R;
	if (vex ? e->flags & VEC_VALIGN : insn->mem_bytes == 16 && !(e->flags & VEC_UNALIGNED))
		insn->mem_align = (uint8_t)insn->mem_bytes;
}

static bool finish_vector(struct decoder *d)
{
	struct insn *insn = d->insn;
	const struct vec_entry *e = decode_vector(insn->map, insn->opcode, mandatory_prefix(d));
	bool vex = insn->flags & INSN_VEX;

	insn->vex_pp = (uint8_t)mandatory_prefix(d);
	insn->feature = vex ? (insn->vex_l ? e->vex256 : e->vex128) : e->legacy;
	if (vex && insn->vex_l && e->flags & VEC_LIG)
		insn->vex_l = 0;
	if (!insn->feature || insn->flags & INSN_LOCK)
		return false;
	insn->op = vector_op(insn, e);
	insn->opsize = entry_opsize(d, SIZE_Y);
	insn->src_size = insn->opsize;
	if (!(e->flags & VEC_NOMODRM))
		read_modrm(d);
	if (vex && !check_vex(d, e))
		return false;
	if (e->flags & (insn->flags & INSN_MEM ? VEC_REGONLY : VEC_MEMONLY))
		return false;
	if (e->flags & VEC_REG_GROUP && !(decode_vector_shift_group(insn->opcode, e->flags & VEC_MMX) >> (insn->modrm >> 3 & 7) & 1))
		return false;
	if (e->flags & VEC_AVX2_REG && !(insn->flags & INSN_MEM))
		insn->feature = X86_F_AVX2;
	if (e->flags & VEC_GATHER && ((insn->modrm & 7) != 4 || insn->addrsize == 2))
		return false;
	read_address(d);
	if (e->flags & VEC_GATHER) {
		insn->index = (uint8_t)((d->sib >> 3 & 7) | (insn->rex & 2) << 2); /* a vector register: 4 is no exception */
		if (!check_gather(insn))
			return false;
	}
	read_immediate(d, e->flags & VEC_IMM ? IMM_B : e->flags & VEC_IMM2 ? IMM_BB : IMM_NONE);
	vector_operands(d, e);
	return true;
}

static bool decode_x87_insn(struct decoder *d)
{
	struct insn *insn = d->insn;

	if (insn->flags & INSN_LOCK)
		return false;
	read_modrm(d);
	if (!decode_x87(insn))
		return false;
	insn->src_size = insn->opsize;
	read_address(d);
	return true;
}

/* After C4 or C5. False: not a valid VEX prefix. */
static bool read_vex(struct decoder *d, bool three_bytes)
{
	struct insn *insn = d->insn;
	uint8_t b1 = next_byte(d), b2 = three_bytes ? next_byte(d) : b1;

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
	insn->opcode = next_byte(d);
	e = decode_vex_integer(insn->map, insn->opcode, insn->vex_pp);
	if (!e)
		return finish_vector(d);
	if (insn->vex_l)
		return false;
	if (!finish_integer(d, e))
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
	uint8_t byte = next_byte(d);

	insn->map = byte == 0x38 ? 2 : byte == 0x3a ? 3 : 1;
	insn->prefix_len = (uint8_t)(d->pos - 2);
	insn->opcode = insn->map == 1 ? byte : next_byte(d);
	if (d->over)
		return false;
	if (insn->map == 1) {
		e = &decode_map_0f[insn->opcode];
		return e->kind == ENTRY_UD ? finish_vector(d) : finish_integer(d, e);
	}
	e = insn->map == 2 ? decode_legacy_0f38(insn->opcode) : NULL;
	return e ? finish_integer(d, e) : finish_vector(d);
}

static bool decode_one(struct decoder *d)
{
	struct insn *insn = d->insn;
	uint8_t byte = read_prefixes(d);

	if (d->over)
		return false;
	insn->prefix_len = (uint8_t)(d->pos - 1);
	insn->opsize = default_opsize(d);
	insn->addrsize = (uint8_t)d->mode;
	if (insn->flags & INSN_67)
		insn->addrsize = d->mode == X86_MODE_32 ? 2 : 4;
	default_segment(insn, false);
	if (byte == 0x0f)
		return decode_escaped(d);
	if (is_vex(d, byte))
		return decode_vex(d, byte == 0xc4);
	insn->opcode = byte;
	if (byte >= 0xd8 && byte <= 0xdf)
		return decode_x87_insn(d);
	return finish_integer(d, &decode_map_1byte[byte]);
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
