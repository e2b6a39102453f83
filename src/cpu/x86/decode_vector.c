/* SPDX-License-Identifier: Apache-2.0 */
/* MMX, SSE and AVX instructions: validity of the encoding, memory operand, general registers. */
#include "cpu/x86/decode_internal.h"

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

bool decode_vector(struct decoder *d)
{
	struct insn *insn = d->insn;
	const struct vec_entry *e = decode_vector_row(insn->map, insn->opcode, decode_mandatory_prefix(d));
	bool vex = insn->flags & INSN_VEX;

	insn->vex_pp = (uint8_t)decode_mandatory_prefix(d);
	insn->feature = vex ? (insn->vex_l ? e->vex256 : e->vex128) : e->legacy;
	if (vex && insn->vex_l && e->flags & VEC_LIG)
		insn->vex_l = 0;
	if (!insn->feature || insn->flags & INSN_LOCK)
		return false;
	insn->op = vector_op(insn, e);
	insn->opsize = decode_opsize(d, SIZE_Y);
	insn->src_size = insn->opsize;
	if (!(e->flags & VEC_NOMODRM))
		decode_modrm(d);
	if (vex && !check_vex(d, e))
		return false;
	if (e->flags & (insn->flags & INSN_MEM ? VEC_REGONLY : VEC_MEMONLY))
		return false;
	if (e->flags & VEC_REG_GROUP && !(decode_vector_shift_group(insn->opcode,
		e->flags & VEC_MMX) >> (insn->modrm >> 3 & 7) & 1))
		return false;
	if (e->flags & VEC_AVX2_REG && !(insn->flags & INSN_MEM))
		insn->feature = X86_F_AVX2;
	if (e->flags & VEC_GATHER && ((insn->modrm & 7) != 4 || insn->addrsize == 2))
		return false;
	decode_address(d);
	if (e->flags & VEC_GATHER) {
		insn->index = (uint8_t)((d->sib >> 3 & 7) | (insn->rex & 2) << 2); /* a vector register: 4 is no exception */
		if (!check_gather(insn))
			return false;
	}
	decode_immediate(d, e->flags & VEC_IMM ? IMM_B : e->flags & VEC_IMM2 ? IMM_BB : IMM_NONE);
	vector_operands(d, e);
	return true;
}
