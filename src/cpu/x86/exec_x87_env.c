/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FNSTENV, FLDENV, FNSAVE and FRSTOR: the host's own instructions on a buffer
 * in the 32-bit protected-mode format, converted from and to the guest's.
 */
#include "cpu/x86/access.h"
#include "cpu/x86/fpu.h"

#define ENV_BYTES 28u
#define ENV_FIP 12
#define ENV_FCS_FOP 16
#define ENV_FDP 20
#define ENV_FDS 24
#define ENV16_BYTES 14u
#define STACK_BYTES 80u

/* The environment and, for FNSAVE and FRSTOR, eight registers of ten bytes. */
struct x87_image {
	uint8_t b[ENV_BYTES + STACK_BYTES];
};

static unsigned env_bytes(const struct insn *insn)
{
	return insn->opsize == 2 ? ENV16_BYTES : ENV_BYTES;
}

static bool has_stack(const struct insn *insn)
{
	return insn->op == X86_OP_FNSAVE || insn->op == X86_OP_FRSTOR;
}

static unsigned operand_bytes(const struct insn *insn)
{
	return env_bytes(insn) + (has_stack(insn) ? STACK_BYTES : 0);
}

/* Control, status and tag words are in place; add the pointers in the format of the mode. */
static void env_to_guest(const struct x86_cpu *cpu, const struct insn *insn, const struct fp_pointers *p, const uint8_t *env, uint8_t *out)
{
	bool protected = cpu_protected(cpu);
	uint32_t fip = (uint32_t)p->fip, fdp = (uint32_t)p->fdp, fop = p->fop & 0x7ffu;

	if (insn->opsize == 2) {
		for (unsigned i = 0; i < 3; i++)
			put_le16(out + 2 * i, get_le16(env + 4 * i));
		put_le16(out + 6, (uint16_t)fip);
		put_le16(out + 8, protected ? 0 : (uint16_t)((fip >> 16) << 12 | fop));
		put_le16(out + 10, (uint16_t)fdp);
		put_le16(out + 12, protected ? 0 : (uint16_t)((fdp >> 16) << 12));
		return;
	}
	__builtin_memcpy(out, env, ENV_FIP);
	put_le32(out + ENV_FIP, protected ? fip : fip & 0xffff);
	put_le32(out + ENV_FCS_FOP, protected ? fop << 16 : (fip >> 16) << 12 | fop);
	put_le32(out + ENV_FDP, protected ? fdp : fdp & 0xffff);
	put_le32(out + ENV_FDS, protected ? get_le32(env + ENV_FDS) & 0xffff0000 : (fdp >> 16) << 12);
}

static struct fp_pointers pointers_from_guest(const struct x86_cpu *cpu, const struct insn *insn, const uint8_t *in)
{
	unsigned at = insn->opsize == 2 ? 6 : ENV_FIP, step = insn->opsize == 2 ? 2 : 4;
	uint32_t v[4];

	for (unsigned i = 0; i < 4; i++)
		v[i] = step == 2 ? get_le16(in + at + 2 * i) : get_le32(in + at + 4 * i);
	if (!cpu_protected(cpu))
		return (struct fp_pointers){ (v[0] & 0xffff) | (v[1] >> 12) << 16, (v[2] & 0xffff) | (v[3] >> 12) << 16, v[1] & 0x7ff };
	return (struct fp_pointers){ v[0], v[2], step == 4 ? v[1] >> 16 & 0x7ff : 0 };
}

static void env_from_guest(const struct insn *insn, const struct fp_pointers *p, const uint8_t *in, uint8_t *env)
{
	unsigned step = insn->opsize == 2 ? 2 : 4;

	__builtin_memset(env, 0, ENV_BYTES);
	for (unsigned i = 0; i < 3; i++)
		put_le16(env + 4 * i, get_le16(in + step * i));
	put_le32(env + ENV_FIP, (uint32_t)p->fip);
	put_le32(env + ENV_FCS_FOP, (uint32_t)p->fop << 16);
	put_le32(env + ENV_FDP, (uint32_t)p->fdp);
}

static bool store(struct x86_cpu *cpu, const struct insn *insn, uint64_t lin)
{
	struct x87_image host, guest;
	struct fp_pointers p;

	if (!mmu_probe_write(cpu, lin, operand_bytes(insn), data_mode(cpu)))
		return false;
	cpu_leave(cpu);
	p = (struct fp_pointers){
		.fip = get_le64(cpu->s.xsave + XSAVE_FIP), .fdp = get_le64(cpu->s.xsave + XSAVE_FDP), .fop = get_le16(cpu->s.xsave + XSAVE_FOP),
	};
	cpu_fpu_enter(cpu);
	if (has_stack(insn)) {
		__asm__ volatile("fnsave %0" : "=m"(host));
		__builtin_memcpy(guest.b + env_bytes(insn), host.b + ENV_BYTES, STACK_BYTES);
	} else {
		__asm__ volatile("fnstenv %0" : "=m"(host));
	}
	env_to_guest(cpu, insn, &p, host.b, guest.b);
	return mmu_write_bytes(cpu, lin, guest.b, operand_bytes(insn), data_mode(cpu));
}

static bool load(struct x86_cpu *cpu, const struct insn *insn, uint64_t lin)
{
	struct x87_image host, guest;
	struct fp_pointers p;

	if (!mmu_read_bytes(cpu, lin, guest.b, operand_bytes(insn), data_mode(cpu)))
		return false;
	if (fp_x87_pending(cpu)) {
		if (cpu->s.cr0 & X86_CR0_NE)
			return cpu_fault(cpu, X86_EXC_MF, false, 0);
		__asm__ volatile("fnclex"); /* the loads below would fault */
	}
	p = pointers_from_guest(cpu, insn, guest.b);
	env_from_guest(insn, &p, guest.b, host.b);
	__builtin_memcpy(host.b + ENV_BYTES, guest.b + env_bytes(insn), has_stack(insn) ? STACK_BYTES : 0);
	cpu->thunks->given = p;
	if (has_stack(insn))
		__asm__ volatile("frstor %0" : : "m"(host));
	else
		__asm__ volatile("fldenv %0" : : "m"(host));
	return true;
}

bool exec_x87_env(struct x86_cpu *cpu, const struct insn *insn)
{
	bool writes = insn->op == X86_OP_FNSTENV || insn->op == X86_OP_FNSAVE;
	uint64_t lin;

	if (!cpu->thunks)
		return cpu_ud(cpu);
	if (!fp_gate_x87(cpu))
		return false;
	if (!x86_linear(cpu, insn->seg, insn_ea(cpu, insn), operand_bytes(insn), writes ? X86_WRITE : X86_READ, &lin))
		return false;
	if (cpu->align_check && (lin & (insn->opsize == 2 ? 1u : 3u)))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	return writes ? store(cpu, insn, lin) : load(cpu, insn, lin);
}
