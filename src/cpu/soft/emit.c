/* SPDX-License-Identifier: Apache-2.0 */
/* The assembler behind the translator; see emit.h. */
#include "cpu/soft/emit.h"

static void emit_prefixes(struct emit *e, unsigned flags, unsigned map, unsigned reg, unsigned index, unsigned base)
{
	unsigned rex = ((flags & EMIT_W) ? 8u : 0u) | (reg >= 8 ? 4u : 0u) | (index >= 8 && index != HR_NONE ? 2u : 0u) |
		       (base >= 8 && base != HR_NONE ? 1u : 0u);

	if (flags & EMIT_LOCK)
		emit8(e, 0xf0);
	if (flags & EMIT_66)
		emit8(e, 0x66);
	if (flags & EMIT_F3)
		emit8(e, 0xf3);
	if (flags & EMIT_F2)
		emit8(e, 0xf2);
	if (rex || (flags & EMIT_REX))
		emit8(e, 0x40 | rex);
	if (map)
		emit8(e, 0x0f);
	if (map == 2)
		emit8(e, 0x38);
	else if (map == 3)
		emit8(e, 0x3a);
}

static void emit_modrm_mem(struct emit *e, unsigned reg, const struct host_mem *m)
{
	unsigned r = (reg & 7) << 3;
	bool disp8 = m->disp >= -128 && m->disp <= 127;
	unsigned mod;

	if (m->base == HR_NONE) { /* [index*scale + disp32] or [disp32], never RIP-relative */
		emit8(e, r | 4);
		emit8(e, (unsigned)m->scale << 6 | (m->index == HR_NONE ? 4u : m->index & 7u) << 3 | 5);
		emit32(e, (uint32_t)m->disp);
		return;
	}
	mod = m->disp == 0 && (m->base & 7) != HR_RBP ? 0 : disp8 ? 0x40 : 0x80;
	if (m->index != HR_NONE || (m->base & 7) == HR_RSP) {
		emit8(e, mod | r | 4);
		emit8(e, (unsigned)m->scale << 6 | (m->index == HR_NONE ? 4u : m->index & 7u) << 3 | (m->base & 7u));
	} else {
		emit8(e, mod | r | (m->base & 7u));
	}
	if (mod == 0x40)
		emit8(e, (uint8_t)m->disp);
	else if (mod == 0x80)
		emit32(e, (uint32_t)m->disp);
}

void emit_op_reg(struct emit *e, unsigned flags, unsigned map, unsigned opcode, unsigned reg, unsigned rm)
{
	emit_prefixes(e, flags, map, reg, HR_NONE, rm);
	emit8(e, opcode);
	emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_op_mem(struct emit *e, unsigned flags, unsigned map, unsigned opcode, unsigned reg, const struct host_mem *mem)
{
	if (mem->gs)
		emit8(e, 0x65);
	emit_prefixes(e, flags, map, reg, mem->index, mem->base);
	emit8(e, opcode);
	emit_modrm_mem(e, reg, mem);
}

static void emit_vex(struct emit *e, unsigned map, unsigned pp, unsigned l, unsigned w, unsigned reg, unsigned vvvv, unsigned index, unsigned base)
{
	emit8(e, 0xc4);
	emit8(e, (reg >= 8 ? 0u : 0x80u) | (index >= 8 && index != HR_NONE ? 0u : 0x40u) | (base >= 8 && base != HR_NONE ? 0u : 0x20u) | map);
	emit8(e, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
}

void emit_vex_reg(struct emit *e, unsigned map, unsigned pp, unsigned l, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv, unsigned rm)
{
	emit_vex(e, map, pp, l, w, reg, vvvv, HR_NONE, rm);
	emit8(e, opcode);
	emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_vex_mem(struct emit *e, unsigned map, unsigned pp, unsigned l, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv,
		  const struct host_mem *mem)
{
	if (mem->gs)
		emit8(e, 0x65);
	emit_vex(e, map, pp, l, w, reg, vvvv, mem->index, mem->base);
	emit8(e, opcode);
	emit_modrm_mem(e, reg, mem);
}

void emit_imm(struct emit *e, unsigned dst, uint64_t value)
{
	if (value <= UINT32_MAX) {
		if (dst >= 8)
			emit8(e, 0x41);
		emit8(e, 0xb8 | (dst & 7));
		emit32(e, (uint32_t)value);
	} else if ((int64_t)value == (int32_t)value) {
		emit_op_reg(e, EMIT_W, 0, 0xc7, 0, dst);
		emit32(e, (uint32_t)value);
	} else {
		emit8(e, 0x48 | (dst >= 8 ? 1 : 0));
		emit8(e, 0xb8 | (dst & 7));
		emit64(e, value);
	}
}

void emit_alu_imm(struct emit *e, unsigned ext, unsigned reg, int32_t imm)
{
	if (imm >= -128 && imm <= 127) {
		emit_op_reg(e, EMIT_W, 0, 0x83, ext, reg);
		emit8(e, (uint8_t)imm);
	} else {
		emit_op_reg(e, EMIT_W, 0, 0x81, ext, reg);
		emit32(e, (uint32_t)imm);
	}
}

static uint8_t *emit_rel32(struct emit *e, uint64_t target_rx)
{
	uint8_t *at = e->p;

	emit32(e, (uint32_t)(target_rx - (emit_rx(e, at) + 4)));
	return at;
}

uint8_t *emit_jmp(struct emit *e, uint64_t target_rx)
{
	emit8(e, 0xe9);
	return emit_rel32(e, target_rx);
}

uint8_t *emit_jcc(struct emit *e, unsigned cond, uint64_t target_rx)
{
	emit8(e, 0x0f);
	emit8(e, 0x80 | cond);
	return emit_rel32(e, target_rx);
}

void emit_call(struct emit *e, uint64_t target_rx)
{
	emit8(e, 0xe8);
	emit_rel32(e, target_rx);
}

void emit_jmp_mem(struct emit *e, struct host_mem m)
{
	emit_op_mem(e, 0, 0, 0xff, 4, &m);
}

void emit_call_mem(struct emit *e, struct host_mem m)
{
	emit_op_mem(e, 0, 0, 0xff, 2, &m);
}

void emit_jmp_reg(struct emit *e, unsigned reg)
{
	emit_op_reg(e, 0, 0, 0xff, 4, reg);
}

uint8_t *emit_jrcxz8(struct emit *e)
{
	emit8(e, 0xe3);
	emit8(e, 0);
	return e->p - 1;
}

uint8_t *emit_jmp8(struct emit *e)
{
	emit8(e, 0xeb);
	emit8(e, 0);
	return e->p - 1;
}

void emit_here8(struct emit *e, uint8_t *rel8)
{
	if (!e->full)
		*rel8 = (uint8_t)(e->p - (rel8 + 1));
}

void emit_patch32(const struct emit *e, uint8_t *rel32, uint64_t target_rx)
{
	if (!e->full)
		put_le32(rel32, (uint32_t)(target_rx - (emit_rx(e, rel32) + 4)));
}

void emit_park_flags(struct emit *e)
{
	emit_store(e, GS_FIELD(park_rax), HR_RAX);
	emit8(e, 0x9f);                              /* lahf */
	emit_op_reg(e, 0, 1, 0x90, 0, HR_RAX);       /* seto al */
	emit_store32(e, GS_FIELD(park_flags), HR_RAX);
	emit_load(e, HR_RAX, GS_FIELD(park_rax));
}

void emit_unpark_flags(struct emit *e)
{
	emit_store(e, GS_FIELD(park_rax), HR_RAX);
	emit_load32(e, HR_RAX, GS_FIELD(park_flags));
	emit8(e, 0x04); /* add al, 7fh: overflows exactly when seto stored 1 */
	emit8(e, 0x7f);
	emit8(e, 0x9e); /* sahf */
	emit_load(e, HR_RAX, GS_FIELD(park_rax));
}

static struct host_mem ibtc_field(unsigned mode, size_t field)
{
	size_t table = offsetof(struct soft_vcpu, ibtc) + mode * sizeof(struct soft_ibtc);

	return (struct host_mem){ .base = HR_S1, .index = HR_NONE, .gs = true, .disp = (int32_t)(table + field) };
}

void emit_ibtc_compare(struct emit *e, unsigned mode)
{
	struct host_mem key = ibtc_field(mode, offsetof(struct soft_ibtc, entry[0].key));

	_Static_assert(sizeof(((struct soft_ibtc *)0)->entry[0]) == 1u << SOFT_IBTC_ENTRY_SHIFT, "soft_ibtc_index() times the entry's size is RIP times 2");
	emit_lea32(e, HR_S1, (struct host_mem){ .base = HR_S0, .index = HR_S0 });
	emit_op_reg(e, 0, 0, 0x81, 4, HR_S1); /* and */
	emit32(e, (SOFT_IBTC_ENTRIES - 1) << SOFT_IBTC_ENTRY_SHIFT);
	emit_op_reg(e, EMIT_W, 0, 0xf7, 2, HR_S0); /* not */
	emit_op_mem(e, EMIT_W, 0, 0x3b, HR_S0, &key);
}

struct host_mem emit_ibtc_code(unsigned mode)
{
	return ibtc_field(mode, offsetof(struct soft_ibtc, entry[0].parked));
}
