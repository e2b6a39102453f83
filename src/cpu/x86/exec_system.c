/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far control flow, interrupts, privileged and mode-dependent instructions:
 * the dispatcher of X86_OPS_SYSTEM and the small ones among them. Feature bits
 * (insn->feature) are the caller's.
 */
#include "cpu/x86/system.h"

#define KVM_HYPERCALL_KICK_CPU 5u
#define KVM_HYPERCALL_SEND_IPI 10u
#define KVM_HYPERCALL_SCHED_YIELD 11u
#define KVM_ERR_ENOSYS UINT64_C(1000)
#define KVM_ERR_EPERM UINT64_C(1)

#define AMD_PMCS 6u

static bool exec_int(struct x86_cpu *cpu, const struct insn *insn)
{
	if (cpu_v86(cpu) && cpu_iopl(cpu) < 3)
		return cpu_gp(cpu, 0);
	return x86_soft_interrupt(cpu, (uint8_t)insn->imm, insn->len);
}

static bool exec_int1(struct x86_cpu *cpu, const struct insn *insn)
{
	struct x86_event ev = { .vector = X86_EXC_DB, .ext = true, .rip = insn_next_rip(cpu, insn) };

	return x86_deliver(cpu, &ev);
}

static bool exec_into(struct x86_cpu *cpu, const struct insn *insn)
{
	if (cpu->s.rflags & X86_FLAG_OF)
		return x86_soft_interrupt(cpu, X86_EXC_OF, insn->len);
	return insn_done(cpu, insn);
}

static bool exec_cli_sti(struct x86_cpu *cpu, const struct insn *insn)
{
	bool was = cpu->s.rflags & X86_FLAG_IF;

	if ((cpu->s.cr0 & X86_CR0_PE) && cpu_iopl(cpu) < cpu->cpl)
		return cpu_gp(cpu, 0);
	if (insn->op == X86_OP_CLI) {
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_IF;
	} else {
		cpu->s.rflags |= X86_FLAG_IF;
		if (!was)
			cpu->s.interrupt_shadow = 1;
	}
	return insn_done(cpu, insn);
}

static bool exec_hlt(struct x86_cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl != 0)
		return cpu_gp(cpu, 0);
	cpu->s.activity = X86_HALTED;
	cpu->stats.halts++;
	return insn_done(cpu, insn);
}

static bool exec_cpuid(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t *gpr = cpu->s.gpr;
	struct cpuid_regs r = { 0 };

	if (cpu->model)
		cpu_model_cpuid(cpu->model, cpu->index, cpu->s.cr4, cpu->s.xcr0, (uint32_t)gpr[X86_RAX], (uint32_t)gpr[X86_RCX], &r);
	gpr[X86_RAX] = r.eax;
	gpr[X86_RBX] = r.ebx;
	gpr[X86_RCX] = r.ecx;
	gpr[X86_RDX] = r.edx;
	return insn_done(cpu, insn);
}

static bool exec_rdtsc(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t tsc;

	if ((cpu->s.cr4 & X86_CR4_TSD) && cpu->cpl > 0)
		return cpu_gp(cpu, 0);
	tsc = x86_tsc(cpu);
	cpu->s.gpr[X86_RAX] = (uint32_t)tsc;
	cpu->s.gpr[X86_RDX] = tsc >> 32;
	if (insn->op == X86_OP_RDTSCP)
		cpu->s.gpr[X86_RCX] = (uint32_t)cpu->s.msr.tsc_aux;
	return insn_done(cpu, insn);
}

/* There are no counters behind it: those that the vendor's architecture always has read zero. */
static bool exec_rdpmc(struct x86_cpu *cpu, const struct insn *insn)
{
	if (!(cpu->s.cr4 & X86_CR4_PCE) && cpu->cpl > 0)
		return cpu_gp(cpu, 0);
	if (cpu_is_intel(cpu) || (uint32_t)cpu->s.gpr[X86_RCX] >= AMD_PMCS)
		return cpu_gp(cpu, 0);
	cpu->s.gpr[X86_RAX] = cpu->s.gpr[X86_RDX] = 0;
	return insn_done(cpu, insn);
}

static bool exec_stac_clac(struct x86_cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl != 0)
		return cpu_ud(cpu);
	if (insn->op == X86_OP_STAC)
		cpu->s.rflags |= X86_FLAG_AC;
	else
		cpu->s.rflags &= ~(uint64_t)X86_FLAG_AC;
	cpu_update_mode(cpu);
	return insn_done(cpu, insn);
}

static bool exec_rdrand(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t *r = &cpu->s.gpr[insn->rm], v;

	cpu->s.rflags &= ~(uint64_t)X86_FLAGS_ARITH;
	if (cpu->env && cpu->env->read_outside) {
		v = cpu->env->read_outside(cpu->env_ctx, X86_OUTSIDE_RANDOM);
		cpu->s.rflags |= X86_FLAG_CF;
	} else {
		v = 0; /* "no random number was ready" */
	}
	if (insn->opsize == 2)
		*r = (*r & ~UINT64_C(0xffff)) | (v & 0xffff);
	else
		*r = insn->opsize == 4 ? (uint32_t)v : v;
	return insn_done(cpu, insn);
}

static uint64_t hypercall(struct x86_cpu *cpu, uint64_t nr, const uint64_t arg[4])
{
	if (cpu->cpl != 0)
		return -KVM_ERR_EPERM;
	switch (nr) {
	case KVM_HYPERCALL_KICK_CPU:
	case KVM_HYPERCALL_SEND_IPI:
	case KVM_HYPERCALL_SCHED_YIELD:
		if (!cpu->env || !cpu->env->hypercall)
			return -KVM_ERR_ENOSYS;
		cpu_leave(cpu);
		return cpu->env->hypercall(cpu->env_ctx, nr, arg);
	default: return -KVM_ERR_ENOSYS;
	}
}

static bool exec_hypercall(struct x86_cpu *cpu, const struct insn *insn)
{
	uint64_t *gpr = cpu->s.gpr;
	uint64_t mask = cpu->long_mode ? UINT64_MAX : UINT32_MAX;
	uint64_t arg[4] = { gpr[X86_RBX] & mask, gpr[X86_RCX] & mask, gpr[X86_RDX] & mask, gpr[X86_RSI] & mask };

	if (cpu->model && cpu->model->hypervisor_hidden)
		return cpu_ud(cpu);
	gpr[X86_RAX] = hypercall(cpu, gpr[X86_RAX] & mask, arg) & mask;
	return insn_done(cpu, insn);
}

bool exec_system(struct x86_cpu *cpu, const struct insn *insn)
{
	switch (insn->op) {
	case X86_OP_JMPF:
	case X86_OP_JMPF_IND:
	case X86_OP_CALLF:
	case X86_OP_CALLF_IND:
	case X86_OP_RETF:
	case X86_OP_IRET: return exec_far(cpu, insn);
	case X86_OP_INT: return exec_int(cpu, insn);
	case X86_OP_INT3: return x86_soft_interrupt(cpu, X86_EXC_BP, insn->len);
	case X86_OP_INT1: return exec_int1(cpu, insn);
	case X86_OP_INTO: return exec_into(cpu, insn);
	case X86_OP_SYSCALL:
	case X86_OP_SYSRET:
	case X86_OP_SYSENTER:
	case X86_OP_SYSEXIT: return exec_syscall(cpu, insn);
	case X86_OP_IN:
	case X86_OP_OUT: return exec_io(cpu, insn);
	case X86_OP_CLI:
	case X86_OP_STI: return exec_cli_sti(cpu, insn);
	case X86_OP_HLT: return exec_hlt(cpu, insn);
	case X86_OP_CPUID: return exec_cpuid(cpu, insn);
	case X86_OP_RDTSC:
	case X86_OP_RDTSCP: return exec_rdtsc(cpu, insn);
	case X86_OP_RDPMC: return exec_rdpmc(cpu, insn);
	case X86_OP_RDPID: cpu->s.gpr[insn->rm] = (uint32_t)cpu->s.msr.tsc_aux; return insn_done(cpu, insn);
	case X86_OP_MOV_FROM_SREG:
	case X86_OP_MOV_TO_SREG:
	case X86_OP_LES:
	case X86_OP_LDS:
	case X86_OP_LFS:
	case X86_OP_LGS:
	case X86_OP_LSS:
	case X86_OP_ARPL:
	case X86_OP_LAR:
	case X86_OP_LSL:
	case X86_OP_VERR:
	case X86_OP_VERW:
	case X86_OP_LGDT:
	case X86_OP_LIDT:
	case X86_OP_SGDT:
	case X86_OP_SIDT:
	case X86_OP_LLDT:
	case X86_OP_SLDT:
	case X86_OP_LTR:
	case X86_OP_STR:
	case X86_OP_SMSW: return exec_desc(cpu, insn);
	case X86_OP_STAC:
	case X86_OP_CLAC: return exec_stac_clac(cpu, insn);
	case X86_OP_RDRAND:
	case X86_OP_RDSEED: return exec_rdrand(cpu, insn);
	case X86_OP_HYPERCALL: return exec_hypercall(cpu, insn);
	case X86_OP_UD:
	case X86_OP_MONITOR: /* hidden in CPUID */
	case X86_OP_MWAIT: return cpu_ud(cpu);
	default: return exec_control(cpu, insn);
	}
}
