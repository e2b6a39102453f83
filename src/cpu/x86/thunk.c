/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small generated functions that run one x87, MMX, SSE or AVX instruction of
 * the guest on the live state. The instruction is rebuilt from its decoded
 * form in one shape: memory operand [rsi], general registers rcx (modrm.reg)
 * and rdx (modrm.rm), so that few thunks serve many instructions. Never
 * patched: when the area is full, all are forgotten.
 *
 * C calls a thunk with a struct fp_args in rdi. It keeps nothing on the stack,
 * so that a fault in it can simply return to the caller.
 */
#include "base/hash.h"
#include "cpu/x86/alu.h"
#include "cpu/x86/fpu.h"

#define MAX_REBUILT 12

typedef uint64_t thunk_fn(struct fp_args *args);

struct code {
	uint8_t b[FP_THUNK_BYTES];
	unsigned len;
};

static void put8(struct code *c, unsigned v)
{
	if (c->len < sizeof(c->b))
		c->b[c->len++] = (uint8_t)v;
}

static void put(struct code *c, const uint8_t *b, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		put8(c, b[i]);
}

/* mov reg, [rdi + offset] and back */
static void put_args_access(struct code *c, bool load, unsigned reg, unsigned offset)
{
	put(c, (const uint8_t[]){ 0x48, load ? 0x8b : 0x89, (uint8_t)(0x47 | reg << 3), (uint8_t)offset }, 4);
}

/* PCMPxSTRx, PTEST, VTESTPx, (U)COMISx; FCMOVcc, F(U)COMI(P). */
bool fp_uses_flags(const struct insn *insn)
{
	if (insn->op == X86_OP_X87) {
		unsigned esc = insn->opcode & 7, reg = insn->modrm >> 3 & 7;

		if (insn->flags & INSN_MEM)
			return false;
		return ((esc == 2 || esc == 3) && reg < 4) || ((esc == 3 || esc == 7) && (reg == 5 || reg == 6));
	}
	if (insn->op != X86_OP_SSE && insn->op != X86_OP_AVX)
		return false;
	switch (insn->map) {
	case 1: return insn->opcode == 0x2e || insn->opcode == 0x2f;
	case 2: return insn->opcode == 0x17 || insn->opcode == 0x0e || insn->opcode == 0x0f;
	default: return insn->opcode >= 0x60 && insn->opcode <= 0x63;
	}
}

/* Does W choose the size of a general register or its memory twin? Outside 64-bit code it then is ignored. */
static bool w_is_gpr_size(const struct insn *insn)
{
	if (insn->map == 1)
		return insn->opcode == 0x2a || insn->opcode == 0x2c || insn->opcode == 0x2d || insn->opcode == 0x6e ||
		       (insn->opcode == 0x7e && insn->vex_pp == 1);
	return insn->map == 3 && (insn->opcode == 0x16 || insn->opcode == 0x22);
}

static bool has_modrm(const struct insn *insn)
{
	return insn->flags & INSN_MODRM;
}

static uint8_t rebuilt_modrm(const struct insn *insn, unsigned reg, unsigned rm)
{
	if (insn->flags & INSN_MEM)
		return (uint8_t)((reg & 7) << 3 | X86_RSI);
	return (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void put_prefixes(struct code *c, const struct insn *insn, unsigned reg, unsigned rm, bool w)
{
	static const uint8_t mandatory[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned r = reg >> 3 & 1, b = insn->flags & INSN_MEM ? 0 : rm >> 3 & 1;

	if (insn->flags & INSN_VEX) {
		put8(c, 0xc4);
		put8(c, (r ? 0 : 0x80u) | 0x40u | (b ? 0 : 0x20u) | insn->map);
		put8(c, (w ? 0x80u : 0) | (~(unsigned)insn->vex_vvvv & 0xf) << 3 | (unsigned)insn->vex_l << 2 | insn->vex_pp);
		return;
	}
	if (insn->vex_pp)
		put8(c, mandatory[insn->vex_pp & 3]);
	if (w || r || b)
		put8(c, 0x40u | (w ? 8u : 0) | r << 2 | b);
	if (insn->map)
		put8(c, 0x0f);
	if (insn->map >= 2)
		put8(c, insn->map == 2 ? 0x38 : 0x3a);
}

/* The guest's instruction in the shape described above. */
static void rebuild(const struct x86_cpu *cpu, const struct insn *insn, struct code *c)
{
	bool x87 = insn->op == X86_OP_X87;
	unsigned reg = x87 ? insn->modrm >> 3 & 7 : insn->reg, rm = x87 ? insn->modrm & 7 : insn->rm;
	bool w = (insn->rex & 8) && (cpu->long_mode || !w_is_gpr_size(insn));

	if (insn->op == X86_OP_FWAIT) {
		put8(c, 0x9b);
		return;
	}
	if (insn->flags & INSN_REG_GPR)
		reg = X86_RCX;
	if (insn->flags & INSN_RM_GPR)
		rm = X86_RDX;
	if (!x87)
		put_prefixes(c, insn, reg, rm, w);
	put8(c, insn->opcode);
	if (has_modrm(insn))
		put8(c, rebuilt_modrm(insn, reg, rm));
	for (unsigned i = insn->len - insn->imm_bytes; i < insn->len; i++)
		put8(c, insn->bytes[i]);
	/* Four-operand forms: a register in the top bits of which 32-bit code has eight. */
	if (insn->imm_bytes && insn->flags & INSN_VEX && insn->map == 3 && insn->opcode >= 0x4a && insn->opcode <= 0x4c && !cpu->long_mode)
		c->b[c->len - 1] &= 0x7f;
}

static void put_thunk(struct code *c, const struct code *body, bool flags)
{
	unsigned flags_at = offsetof(struct fp_args, flags);

	if (flags)
		put(c, (const uint8_t[]){ 0x8b, 0x47, (uint8_t)flags_at, 0x04, 0x7f, 0x9e }, 6); /* mov eax, flags; add al, 7fh; sahf */
	put_args_access(c, true, X86_RAX, offsetof(struct fp_args, rax));
	put_args_access(c, true, X86_RCX, offsetof(struct fp_args, rcx));
	put_args_access(c, true, X86_RDX, offsetof(struct fp_args, rdx));
	put_args_access(c, true, X86_RSI, offsetof(struct fp_args, mem));
	put(c, body->b, body->len);
	put_args_access(c, false, X86_RAX, offsetof(struct fp_args, rax));
	put_args_access(c, false, X86_RCX, offsetof(struct fp_args, rcx));
	put_args_access(c, false, X86_RDX, offsetof(struct fp_args, rdx));
	if (flags)
		put(c, (const uint8_t[]){ 0x9f, 0x0f, 0x90, 0xc0, 0x89, 0x47, (uint8_t)flags_at }, 7); /* lahf; seto al; mov flags, eax */
	put(c, (const uint8_t[]){ 0x31, 0xc0, 0xc3 }, 3); /* xor eax, eax; ret */
}

static struct fp_thunk_key key_of(const struct code *body, bool flags)
{
	struct fp_thunk_key key = { { 0, 0 } };
	uint8_t bytes[16] = { 0 };

	__builtin_memcpy(bytes, body->b, body->len);
	bytes[14] = flags;
	bytes[15] = (uint8_t)body->len;
	key.v[0] = get_le64(bytes);
	key.v[1] = get_le64(bytes + 8);
	return key;
}

static void forget_all(struct x86_cpu *cpu)
{
	struct fp_thunks *t = cpu->thunks;

	cpu_leave(cpu);
	__builtin_memset(t->slots, 0, sizeof(t->slots));
	t->used = 1;
	/* The bytes that follow are new at addresses that have been executed. */
	host_sync_core();
	cpu_fpu_enter(cpu);
}

static unsigned thunk_slot(struct x86_cpu *cpu, const struct code *body, bool flags)
{
	struct fp_thunks *t = cpu->thunks;
	struct fp_thunk_key key = key_of(body, flags);
	unsigned i = hash_bits(key.v[0] ^ key.v[1], FP_THUNK_TABLE_BITS);
	struct code c = { .len = 0 };

	for (; t->slots[i]; i = (i + 1) % FP_THUNK_TABLE)
		if (t->keys[i].v[0] == key.v[0] && t->keys[i].v[1] == key.v[1])
			return t->slots[i];
	if (unlikely(t->used == FP_THUNK_SLOTS)) {
		forget_all(cpu);
		return thunk_slot(cpu, body, flags);
	}
	put_thunk(&c, body, flags);
	__builtin_memcpy(t->area.rw + (size_t)t->used * FP_THUNK_BYTES, c.b, c.len);
	t->keys[i] = key;
	t->slots[i] = (uint16_t)t->used;
	return t->used++;
}

bool fp_thunk_run(struct x86_cpu *cpu, const struct insn *insn)
{
	struct fp_thunks *t = cpu->thunks;
	struct code body = { .len = 0 };
	union {
		const uint8_t *code;
		thunk_fn *fn;
	} thunk;

	rebuild(cpu, insn, &body);
	thunk.code = t->area.rx + (size_t)thunk_slot(cpu, &body, fp_uses_flags(insn)) * FP_THUNK_BYTES;
	cpu_current = cpu;
	return thunk.fn(&t->args) == 0;
}
