/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of the x87 escape opcodes D8..DF. */
#include "cpu/x86/decode_tables.h"

#define RD(n) { X86_OP_X87, (n), INSN_ACCESS_R }
#define WR(n) { X86_OP_X87, (n), INSN_ACCESS_W }
#define STATE(o, acc) { X86_OP_##o, 0, (acc) }
#define UNDEF { X86_OP_NONE, 0, 0 }

/* Memory forms: [opcode & 7][modrm.reg]. The environment's size depends on the operand size. */
static const struct {
	uint16_t op;
	uint8_t bytes, access;
} memory_forms[8][8] = {
	{ RD(4), RD(4), RD(4), RD(4), RD(4), RD(4), RD(4), RD(4) },
	{ RD(4), UNDEF, WR(4), WR(4), STATE(FLDENV, INSN_ACCESS_R), RD(2), STATE(FNSTENV, INSN_ACCESS_W), WR(2) },
	{ RD(4), RD(4), RD(4), RD(4), RD(4), RD(4), RD(4), RD(4) },
	{ RD(4), WR(4), WR(4), WR(4), UNDEF, RD(10), UNDEF, WR(10) },
	{ RD(8), RD(8), RD(8), RD(8), RD(8), RD(8), RD(8), RD(8) },
	{ RD(8), WR(8), WR(8), WR(8), STATE(FRSTOR, INSN_ACCESS_R), UNDEF, STATE(FNSAVE, INSN_ACCESS_W), WR(2) },
	{ RD(2), RD(2), RD(2), RD(2), RD(2), RD(2), RD(2), RD(2) },
	{ RD(2), WR(2), WR(2), WR(2), RD(10), RD(8), WR(10), WR(8) },
};

/* Register forms that exist: [opcode & 7][modrm.reg] is a bit set of modrm.rm. */
static const uint8_t register_forms[8][8] = {
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	{ 0xff, 0xff, 0x01, 0xff, 0x33, 0x7f, 0xff, 0xff }, /* FNOP; FCHS FABS FTST FXAM; constants */
	{ 0xff, 0xff, 0xff, 0xff, 0x00, 0x02, 0x00, 0x00 }, /* FCMOVcc; FUCOMPP */
	{ 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00 }, /* FCMOVNcc; FNENI FNDISI FNCLEX FNINIT FNSETPM; F(U)COMI */
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00 },
	{ 0xff, 0xff, 0xff, 0x02, 0xff, 0xff, 0xff, 0xff }, /* FCOMPP */
	{ 0xff, 0xff, 0xff, 0xff, 0x01, 0xff, 0xff, 0x00 }, /* FNSTSW AX; F(U)COMIP */
};

static uint8_t register_form_feature(unsigned esc, unsigned reg)
{
	bool cmov = (esc == 2 || esc == 3) && reg < 4;
	bool comi = (esc == 3 || esc == 7) && (reg == 5 || reg == 6);

	return cmov || comi ? X86_F_CMOV : X86_F_X87;
}

bool decode_x87(struct insn *insn)
{
	unsigned esc = insn->opcode & 7, reg = insn->modrm >> 3 & 7;

	insn->op = X86_OP_X87;
	insn->feature = X86_F_X87;
	if (!(insn->flags & INSN_MEM)) {
		insn->feature = register_form_feature(esc, reg);
		return register_forms[esc][reg] >> (insn->modrm & 7) & 1;
	}
	insn->op = memory_forms[esc][reg].op;
	insn->mem_bytes = memory_forms[esc][reg].bytes;
	insn->mem_access = memory_forms[esc][reg].access;
	if (insn->op == X86_OP_FLDENV || insn->op == X86_OP_FNSTENV)
		insn->mem_bytes = insn->opsize == 2 ? 14 : 28;
	else if (insn->op == X86_OP_FRSTOR || insn->op == X86_OP_FNSAVE)
		insn->mem_bytes = insn->opsize == 2 ? 94 : 108;
	if (reg == 1 && (esc & 1) && insn->op == X86_OP_X87)
		insn->feature = X86_F_SSE3; /* FISTTP */
	return insn->op != X86_OP_NONE;
}
