/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87, MMX, SSE and AVX: the same instruction runs on the host with the
 * guest's state live in the registers (thunk.c) and its memory operand in a
 * bounce buffer. What is left to do here: who may, when an exception is due,
 * and memory.
 */
#include "cpu/x86/access.h"
#include "cpu/x86/fpu.h"

static bool is_x87_register_form(const struct insn *insn, unsigned esc, unsigned reg)
{
	return !(insn->flags & INSN_MEM) && (insn->opcode & 7u) == esc && (insn->modrm >> 3 & 7u) == reg;
}

/* FNSTCW, FNSTSW, FNCLEX, FNINIT and the 8087's relics do not look at pending exceptions. */
static bool is_waiting(const struct insn *insn)
{
	unsigned esc = insn->opcode & 7, reg = insn->modrm >> 3 & 7;

	if (insn->op != X86_OP_X87)
		return true;
	if (insn->flags & INSN_MEM)
		return reg != 7 || (esc != 1 && esc != 5);
	return !is_x87_register_form(insn, 3, 4) && !is_x87_register_form(insn, 7, 4);
}

/*
 * CVTPI2PD and CVTPI2PS from memory touch no MMX register. Whether the latter
 * cares for pending exceptions is left to the host.
 */
static bool touches_x87(const struct insn *insn)
{
	bool cvtpi2px_mem = insn->map == 1 && insn->opcode == 0x2a && (insn->flags & INSN_MEM);

	return insn->op == X86_OP_X87 || insn->op == X86_OP_FWAIT || (insn->op == X86_OP_MMX && !cvtpi2px_mem);
}

/* MMX instructions with an XMM operand obey both sets of rules. */
static bool mmx_uses_xmm(const struct insn *insn)
{
	if (insn->map != 1)
		return false;
	return insn->opcode == 0x2a || insn->opcode == 0x2c || insn->opcode == 0x2d || (insn->opcode == 0xd6 && insn->vex_pp >= 2);
}

static bool fwait_gate(struct x86_cpu *cpu)
{
	const uint64_t both = X86_CR0_MP | X86_CR0_TS;

	return (cpu->s.cr0 & both) != both || cpu_nm(cpu);
}

static bool gate(struct x86_cpu *cpu, const struct insn *insn)
{
	if (insn->flags & INSN_VEX)
		return fp_gate_avx(cpu);
	switch (insn->op) {
	case X86_OP_X87: return fp_gate_x87(cpu);
	case X86_OP_FWAIT: return fwait_gate(cpu);
	case X86_OP_MMX: return mmx_uses_xmm(insn) ? fp_gate_sse(cpu) : fp_gate_mmx(cpu);
	case X86_OP_MASKMOV: return insn->vex_pp == 0 ? fp_gate_mmx(cpu) : fp_gate_sse(cpu);
	default: return fp_gate_sse(cpu);
	}
}

/* ---- pending x87 exceptions ---- */

/*
 * With CR0.NE clear a pending exception is the chipset's to report, by an
 * interrupt that Lodge's board does not have. The instruction runs as with
 * IGNNE# asserted: the exceptions are masked while it does.
 */
struct x87_ignore {
	bool active;
	uint16_t masks;
};

static uint16_t image_status(uint16_t fcw, uint16_t fsw)
{
	fsw &= (uint16_t)~(FP_FSW_ES | FP_FSW_BUSY);
	return fsw & ~fcw & FP_EXCEPTIONS ? fsw | FP_FSW_ES | FP_FSW_BUSY : fsw;
}

static void image_set_masks(struct x86_cpu *cpu, uint16_t masks)
{
	uint8_t *image = cpu->s.xsave;
	uint16_t fcw;

	cpu_leave(cpu);
	fcw = (uint16_t)((get_le16(image + XSAVE_FCW) & ~FP_EXCEPTIONS) | masks);
	put_le16(image + XSAVE_FCW, fcw);
	put_le16(image + XSAVE_FSW, image_status(fcw, get_le16(image + XSAVE_FSW)));
	put_le64(image + XSAVE_BV, get_le64(image + XSAVE_BV) | X86_XCR0_X87);
}

static void ignore_begin(struct x86_cpu *cpu, struct x87_ignore *ignore)
{
	cpu_leave(cpu);
	ignore->active = true;
	ignore->masks = get_le16(cpu->s.xsave + XSAVE_FCW) & FP_EXCEPTIONS;
	image_set_masks(cpu, FP_EXCEPTIONS);
	cpu_fpu_enter(cpu);
}

static void ignore_end(struct x86_cpu *cpu, const struct insn *insn, const struct x87_ignore *ignore)
{
	bool fldcw = insn->op == X86_OP_X87 && insn->flags & INSN_MEM && (insn->opcode & 7) == 1 && (insn->modrm >> 3 & 7) == 5;

	if (ignore->active && !fldcw)
		image_set_masks(cpu, ignore->masks);
}

static bool x87_ready(struct x86_cpu *cpu, const struct insn *insn, struct x87_ignore *ignore)
{
	if (!touches_x87(insn) || !is_waiting(insn) || likely(!fp_x87_pending(cpu)))
		return true;
	if (cpu->s.cr0 & X86_CR0_NE)
		return cpu_fault(cpu, X86_EXC_MF, false, 0);
	ignore_begin(cpu, ignore);
	return true;
}

/* ---- memory ---- */

/* An x87 store that an unmasked exception suppresses leaves its memory alone: then this is still there. */
static const uint8_t not_stored[16] = { 0x5a, 0xc3, 0x96, 0x1f, 0x78, 0xa4, 0xd2, 0x0e, 0xb3, 0x69, 0x2d, 0xf0, 0x87, 0x4b, 0xe1, 0x3c };

static bool operand_address(struct x86_cpu *cpu, const struct insn *insn, uint64_t *lin)
{
	enum x86_access access = insn->mem_access & INSN_ACCESS_W ? X86_WRITE : X86_READ;
	unsigned natural = insn->mem_bytes == 10 ? 8 : MIN(insn->mem_bytes, 16u);
	bool allowed = x86_linear(cpu, insn->seg, insn_ea(cpu, insn), insn->mem_bytes, access, lin);

	/* Before the address is found to be bad, which may be #SS. */
	if (unlikely(insn->mem_align > 1 && (*lin & (insn->mem_align - 1u))))
		return cpu_gp(cpu, 0);
	if (unlikely(!allowed))
		return false;
	if (unlikely(cpu->align_check) && natural && (*lin & (natural - 1u)))
		return cpu_fault(cpu, X86_EXC_AC, true, 0);
	return true;
}

static bool operand_load(struct x86_cpu *cpu, unsigned size, uint64_t lin, uint8_t *buf)
{
	uint64_t v;

	if (size > 8)
		return mmu_read_bytes(cpu, lin, buf, size, data_mode(cpu));
	if (!mmu_read(cpu, lin, size, data_mode(cpu), &v))
		return false;
	put_le64(buf, v);
	return true;
}

static bool operand_store(struct x86_cpu *cpu, unsigned size, uint64_t lin, const uint8_t *buf)
{
	if (size > 8)
		return mmu_write_bytes(cpu, lin, buf, size, data_mode(cpu));
	return mmu_write(cpu, lin, size, data_mode(cpu), get_le64(buf));
}

static bool operand_prepare(struct x86_cpu *cpu, const struct insn *insn, uint64_t *lin)
{
	uint8_t *bounce = cpu->thunks->bounce;

	if (!operand_address(cpu, insn, lin))
		return false;
	if (insn->mem_access & INSN_ACCESS_W) {
		__builtin_memcpy(bounce, not_stored, sizeof(not_stored));
		return mmu_probe_write(cpu, *lin, insn->mem_bytes, data_mode(cpu));
	}
	return operand_load(cpu, insn->mem_bytes, *lin, bounce);
}

static bool store_was_suppressed(struct x86_cpu *cpu, const struct insn *insn)
{
	if (insn->op != X86_OP_X87 || !(insn->mem_access & INSN_ACCESS_W))
		return false;
	return __builtin_memcmp(cpu->thunks->bounce, not_stored, insn->mem_bytes) == 0 && fp_x87_pending(cpu);
}

/* ---- running ---- */

static void args_fill(struct x86_cpu *cpu, const struct insn *insn)
{
	struct fp_args *args = &cpu->thunks->args;
	bool reg = insn->flags & INSN_REG_GPR, rm = insn->flags & INSN_RM_GPR;

	args->rax = cpu->s.gpr[X86_RAX];
	args->rcx = cpu->s.gpr[reg ? insn->reg : X86_RCX];
	args->rdx = cpu->s.gpr[rm ? insn->rm : X86_RDX];
	args->mem = cpu->thunks->bounce;
	args->flags = alu_flags_pack(cpu->s.rflags);
}

static void write_gpr(struct x86_cpu *cpu, unsigned n, uint64_t v)
{
	cpu->s.gpr[n & 15] = cpu->long_mode ? v : (uint32_t)v;
}

static bool is_pcmpstri(const struct insn *insn)
{
	return insn->map == 3 && (insn->opcode == 0x61 || insn->opcode == 0x63) && insn->op != X86_OP_X87;
}

static void args_take(struct x86_cpu *cpu, const struct insn *insn)
{
	const struct fp_args *args = &cpu->thunks->args;

	if (insn->flags & INSN_REG_GPR_WRITE)
		write_gpr(cpu, insn->reg, args->rcx);
	if (insn->flags & INSN_RM_GPR_WRITE)
		write_gpr(cpu, insn->rm, args->rdx);
	if (insn->op == X86_OP_X87 && is_x87_register_form(insn, 7, 4)) /* FNSTSW AX */
		write_gpr(cpu, X86_RAX, args->rax);
	if (is_pcmpstri(insn))
		write_gpr(cpu, X86_RCX, args->rcx);
	if (fp_uses_flags(insn))
		alu_flags_unpack(&cpu->s.rflags, args->flags);
}

/* Real mode's pointers are linear addresses, others' are offsets. */
static uint64_t pointer(const struct x86_cpu *cpu, unsigned seg, uint64_t offset)
{
	return cpu_protected(cpu) ? offset : cpu->s.seg[seg].base + offset;
}

/* Control instructions leave the pointers alone; FNINIT's zeroes come from the host. */
static void note_pointers(struct x86_cpu *cpu, const struct insn *insn)
{
	struct fp_pointers *last = &cpu->thunks->last;

	if (insn->op != X86_OP_X87)
		return;
	if (!is_waiting(insn) || (insn->flags & INSN_MEM && (insn->opcode & 7) == 1 && (insn->modrm >> 3 & 7) == 5))
		return;
	last->fip = pointer(cpu, X86_CS, cpu->s.rip);
	last->fop = (uint16_t)((insn->opcode & 7u) << 8 | insn->modrm);
	if (insn->flags & INSN_MEM)
		last->fdp = pointer(cpu, insn->seg, insn_ea(cpu, insn));
}

static bool host_faulted(struct x86_cpu *cpu, const struct insn *insn)
{
	if (cpu->thunks->fault_kind != HOST_FAULT_FPE)
		return cpu_ud(cpu); /* an instruction that this host lacks */
	if ((touches_x87(insn) || insn->op == X86_OP_MMX) && fp_x87_pending(cpu))
		return cpu_fault(cpu, X86_EXC_MF, false, 0);
	return cpu->s.cr4 & X86_CR4_OSXMMEXCPT ? cpu_fault(cpu, X86_EXC_XM, false, 0) : cpu_ud(cpu);
}

static bool run(struct x86_cpu *cpu, const struct insn *insn)
{
	cpu_fpu_enter(cpu);
	note_pointers(cpu, insn);
	args_fill(cpu, insn);
	if (unlikely(!fp_thunk_run(cpu, insn)))
		return host_faulted(cpu, insn);
	return true;
}

bool exec_native(struct x86_cpu *cpu, const struct insn *insn)
{
	bool mem = insn->flags & INSN_MEM && insn->mem_bytes;
	struct x87_ignore ignore = { .active = false };
	uint64_t lin = 0;

	if (unlikely(!cpu->thunks))
		return cpu_ud(cpu);
	if (!gate(cpu, insn))
		return false;
	if (insn->op == X86_OP_MASKMOV || insn->op == X86_OP_VMASKMOV || insn->op == X86_OP_GATHER)
		return exec_masked(cpu, insn) && insn_done(cpu, insn);
	if (mem && !operand_prepare(cpu, insn, &lin))
		return false;
	if (!x87_ready(cpu, insn, &ignore) || !run(cpu, insn))
		return false;
	ignore_end(cpu, insn, &ignore);
	if (mem && insn->mem_access & INSN_ACCESS_W && !store_was_suppressed(cpu, insn)) {
		if (!operand_store(cpu, insn->mem_bytes, lin, cpu->thunks->bounce))
			return false;
	}
	args_take(cpu, insn);
	return insn_done(cpu, insn);
}
