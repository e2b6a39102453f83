/* SPDX-License-Identifier: Apache-2.0 */
/* Integer and system instructions: from a table's entry to operands, sizes and validity. */
#include "cpu/x86/decode_internal.h"
#include "cpu/x86/state.h"

static const struct op_entry *follow(struct decoder *d, const struct op_entry *e)
{
	for (;;) {
		switch (e->kind) {
		case ENTRY_BY_REG:
			decode_modrm(d);
			e = &e->sub[d->insn->modrm >> 3 & 7];
			break;
		case ENTRY_BY_MOD:
			decode_modrm(d);
			e = &e->sub[d->insn->modrm >> 6 == 3];
			break;
		case ENTRY_BY_RM:
			decode_modrm(d);
			e = &e->sub[d->insn->modrm & 7];
			break;
		case ENTRY_BY_PREFIX: e = &e->sub[decode_mandatory_prefix(d)]; break;
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
			insn->src_size = insn->opsize == 8 ? 8 : decode_default_opsize(d);
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
	insn->opsize = decode_opsize(d, e->size);
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
	insn->disp = (int64_t)decode_bytes(d, insn->addrsize);
}

static bool is_cr_or_dr(unsigned op)
{
	return op == X86_OP_MOV_FROM_CR || op == X86_OP_MOV_TO_CR || op == X86_OP_MOV_FROM_DR || op == X86_OP_MOV_TO_DR;
}

bool decode_integer(struct decoder *d, const struct op_entry *e)
{
	struct insn *insn = d->insn;

	e = follow(d, e);
	if (e->kind == ENTRY_UD)
		return false;
	set_operands(d, e);
	if (e->flags & ENTRY_MODRM)
		decode_modrm(d);
	if (is_cr_or_dr(insn->op)) {
		insn->flags &= ~INSN_MEM;
		return fix_control_register(insn);
	}
	if (e->flags & ENTRY_MEMONLY && !(insn->flags & INSN_MEM))
		return false;
	decode_address(d);
	read_moffs(d, e);
	decode_immediate(d, e->imm);
	if (!fix_operation(d, e))
		return false;
	if (insn->flags & INSN_MEM && insn->op != X86_OP_CRC32)
		memory_access(d, e);
	else if (insn->flags & INSN_MEM)
		insn->mem_access = INSN_ACCESS_R;
	return check_lock(insn);
}
