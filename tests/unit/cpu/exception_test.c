/* SPDX-License-Identifier: Apache-2.0 */
/* Stack frames, error codes and the double-fault rules of every kind of delivery; IRET as their inverse. */
#include "cpu_fixture.h"

#define HANDLER UINT64_C(0x7700)

static bool iret(struct fixture *f, unsigned opsize)
{
	struct insn insn = { .op = X86_OP_IRET, .opsize = (uint8_t)opsize, .len = 1 };

	return exec_system(&f->cpu, &insn);
}

static void raise_fault(struct fixture *f, uint8_t vector, bool has_error, uint32_t error)
{
	cpu_fault(&f->cpu, vector, has_error, error);
	x86_raise(&f->cpu);
}

static void long_same_privilege(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 0);
	fx_gate64(f, X86_EXC_GP, FX_CODE64, HANDLER, 0x8e, 0);
	s->gpr[X86_RSP] = FX_STACK - 3;
	s->rflags = 0x10302; /* RF IF TF */
	raise_fault(f, X86_EXC_GP, true, 0x1234);
	assert_int_equal(s->rip, HANDLER);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK - 16 - 48);
	assert_int_equal(fx_get(f, FX_STACK - 64, 8), 0x1234);
	assert_int_equal(fx_get(f, FX_STACK - 56, 8), 0x8000);
	assert_int_equal(fx_get(f, FX_STACK - 48, 8), FX_CODE64);
	assert_int_equal(fx_get(f, FX_STACK - 40, 8), 0x10302);
	assert_int_equal(fx_get(f, FX_STACK - 32, 8), FX_STACK - 3);
	assert_int_equal(fx_get(f, FX_STACK - 24, 8), FX_DATA);
	assert_int_equal(s->rflags, 2);
	assert_int_equal(s->seg[X86_SS].sel, FX_DATA);
	s->gpr[X86_RSP] += 8;
	assert_true(iret(f, 8));
	assert_int_equal(s->rip, 0x8000);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK - 3);
	assert_int_equal(s->rflags, 0x10302);
}

static void long_from_user(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 3);
	fx_gate64(f, 0x21, FX_CODE64, UINT64_C(0xffff800000007700), 0x8f, 0);
	s->rflags |= X86_FLAG_IF;
	x86_interrupt(&f->cpu, 0x21);
	assert_int_equal(s->rip, UINT64_C(0xffff800000007700));
	assert_int_equal(f->cpu.cpl, 0);
	assert_int_equal(s->seg[X86_SS].sel, 0);
	assert_true(s->seg[X86_SS].attr & X86_SEG_UNUSABLE);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK0 - 40);
	assert_int_equal(fx_get(f, FX_STACK0 - 40, 8), 0x8000);
	assert_int_equal(fx_get(f, FX_STACK0 - 32, 8), FX_UCODE64);
	assert_int_equal(fx_get(f, FX_STACK0 - 24, 8), 0x202); /* no RF for interrupts */
	assert_int_equal(fx_get(f, FX_STACK0 - 16, 8), FX_STACK);
	assert_int_equal(fx_get(f, FX_STACK0 - 8, 8), FX_UDATA);
	assert_true(s->rflags & X86_FLAG_IF); /* trap gate */
	assert_true(iret(f, 8));
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(s->rip, 0x8000);
	assert_int_equal(s->seg[X86_SS].sel, FX_UDATA);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK);
}

static void long_ist(void **state)
{
	struct fixture *f = *state;

	fx_long(f, 0);
	fx_gate64(f, X86_EXC_NMI, FX_CODE64, HANDLER, 0x8e, 1);
	x86_interrupt(&f->cpu, X86_EXC_NMI);
	assert_int_equal(f->cpu.s.gpr[X86_RSP], FX_IST - 40);
	assert_int_equal(f->cpu.s.nmi_blocked, 1);
	assert_int_equal(f->cpu.s.seg[X86_SS].sel, FX_DATA); /* no change of privilege, no null SS */
	assert_true(iret(f, 8));
	assert_int_equal(f->cpu.s.nmi_blocked, 0);
}

static void page_fault_sets_cr2(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v;

	fx_long(f, 3);
	fx_gate64(f, X86_EXC_PF, FX_CODE64, HANDLER, 0x8e, 0);
	assert_false(mmu_read(cpu, 0x123456, 4, TLB_USER, &v));
	assert_int_equal(cpu->s.cr2, 0);
	x86_raise(cpu);
	assert_int_equal(cpu->s.cr2, 0x123456);
	assert_int_equal(fx_get(f, FX_STACK0 - 48, 8), X86_PF_U);
	assert_true(fx_get(f, FX_STACK0 - 24, 8) & X86_FLAG_RF);
}

/* Error codes of faults met while delivering: IDT and EXT bits. */
static void gate_errors(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	struct x86_event hw = { .vector = 0x30, .ext = true }, soft = { .vector = 0x30, .soft = true };

	fx_long(f, 3);
	fx_gate64(f, 0x30, FX_CODE64, HANDLER, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &soft), X86_EXC_GP, 0x30 << 3 | 2); /* DPL 0 */
	fx_gate64(f, 0x30, FX_CODE64, HANDLER, 0x0e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_NP, 0x30 << 3 | 3);
	fx_gate64(f, 0x30, FX_CODE64, HANDLER, 0x85, 0); /* a task gate has no place in long mode */
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, 0x30 << 3 | 3);
	fx_gate64(f, 0x30, 0, HANDLER, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, 1);
	fx_gate64(f, 0x30, FX_CODE32, HANDLER, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, FX_CODE32 | 1);
	fx_gate64(f, 0x30, FX_DATA, HANDLER, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, FX_DATA | 1);
	fx_gate64(f, 0x30, 0x4000, HANDLER, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, 0x4001);
	fx_gate64(f, 0x30, FX_CODE64, UINT64_C(1) << 50, 0x8e, 0);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, 1);
	cpu->s.idtr.limit = 0x30 * 16 + 14;
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_GP, 0x30 << 3 | 3);
	assert_int_equal(cpu->s.rip, 0x8000);
	assert_int_equal(cpu->cpl, 3);
	/* A TSS that is too small, and a non-canonical stack. */
	cpu->s.idtr.limit = 0xfff;
	fx_gate64(f, 0x30, FX_CODE64, HANDLER, 0x8e, 0);
	cpu->s.tr.limit = 10;
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_TS, FX_TR | 1);
	cpu->s.tr.limit = 0x67;
	fx_put(f, FX_TSS + 4, 8, UINT64_C(1) << 60);
	assert_fault(cpu, x86_deliver(cpu, &hw), X86_EXC_SS, 1);
}

static void double_and_triple_faults(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;

	fx_long(f, 0);
	/* #GP whose gate is absent: #NP is contributory too, so #DF. */
	fx_gate64(f, X86_EXC_DF, FX_CODE64, HANDLER, 0x8e, 1);
	fx_gate64(f, X86_EXC_GP, FX_CODE64, 0x1111, 0x0e, 0);
	raise_fault(f, X86_EXC_GP, true, 0);
	assert_int_equal(cpu->s.rip, HANDLER);
	assert_int_equal(fx_get(f, FX_IST - 48, 8), 0);
	/* A benign exception with an absent gate: the #NP itself arrives. */
	cpu->s.rip = 0x8000;
	fx_gate64(f, X86_EXC_UD, FX_CODE64, 0x1111, 0x0e, 0);
	fx_gate64(f, X86_EXC_NP, FX_CODE64, 0x2222, 0x8e, 0);
	raise_fault(f, X86_EXC_UD, false, 0);
	assert_int_equal(cpu->s.rip, 0x2222);
	assert_int_equal(fx_get(f, cpu->s.gpr[X86_RSP], 8), X86_EXC_UD << 3 | 3);
	/* #PF, then #PF while pushing. */
	cpu->s.gpr[X86_RSP] = 0x500000;
	fx_gate64(f, X86_EXC_PF, FX_CODE64, 0x3333, 0x8e, 0);
	cpu->fault = (struct x86_fault){ .vector = X86_EXC_PF, .has_error = true, .cr2 = 0x99 };
	x86_raise(cpu);
	assert_int_equal(cpu->s.rip, HANDLER);
	assert_int_equal(cpu->s.cr2, 0x500000 - 48);
	/* No #DF gate: shutdown. */
	fx_gate64(f, X86_EXC_DF, FX_CODE64, HANDLER, 0x0e, 0);
	raise_fault(f, X86_EXC_GP, true, 0);
	assert_int_equal(cpu->s.activity, X86_SHUTDOWN);
}

static void protected_same_privilege(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 0);
	fx_gate32(f, X86_EXC_GP, FX_CODE32, HANDLER, 0x8e);
	raise_fault(f, X86_EXC_GP, true, 0x55);
	assert_int_equal(s->rip, HANDLER);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK - 16);
	assert_int_equal(fx_get(f, FX_STACK - 16, 4), 0x55);
	assert_int_equal(fx_get(f, FX_STACK - 12, 4), 0x8000);
	assert_int_equal(fx_get(f, FX_STACK - 8, 4), FX_CODE32);
	assert_int_equal(fx_get(f, FX_STACK - 4, 4), 0x10002);
	s->gpr[X86_RSP] += 4;
	assert_true(iret(f, 4));
	assert_int_equal(s->gpr[X86_RSP], FX_STACK);
	assert_int_equal(s->rip, 0x8000);
	/* The same through a 16-bit gate: words. */
	fx_gate32(f, X86_EXC_GP, FX_CODE32, 0x12347700, 0x86);
	raise_fault(f, X86_EXC_GP, true, 0x55);
	assert_int_equal(s->rip, HANDLER);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK - 8);
	assert_int_equal(fx_get(f, FX_STACK - 6, 2), 0x8000);
}

static void protected_from_user(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 3);
	fx_gate32(f, 0x80, FX_CODE32, HANDLER, 0xef);
	s->rflags |= X86_FLAG_IF;
	assert_true(x86_soft_interrupt(&f->cpu, 0x80, 2));
	assert_int_equal(f->cpu.cpl, 0);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK0 - 20);
	assert_int_equal(fx_get(f, FX_STACK0 - 20, 4), 0x8002);
	assert_int_equal(fx_get(f, FX_STACK0 - 16, 4), FX_UCODE32);
	assert_int_equal(fx_get(f, FX_STACK0 - 12, 4), 0x202);
	assert_int_equal(fx_get(f, FX_STACK0 - 8, 4), FX_STACK);
	assert_int_equal(fx_get(f, FX_STACK0 - 4, 4), FX_UDATA);
	assert_int_equal(s->seg[X86_SS].sel, FX_DATA);
	/* Kernel data segments do not leak out. */
	assert_true(x86_load_segment(&f->cpu, X86_DS, FX_DATA));
	assert_true(x86_load_segment(&f->cpu, X86_ES, FX_UDATA));
	assert_true(iret(f, 4));
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK);
	assert_int_equal(s->seg[X86_DS].sel, 0);
	assert_true(s->seg[X86_DS].attr & X86_SEG_UNUSABLE);
	assert_int_equal(s->seg[X86_ES].sel, FX_UDATA);
}

static void tss_stack_errors(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	struct x86_event ev = { .vector = 0x30, .ext = true };

	fx_protected(f, 3);
	fx_gate32(f, 0x30, FX_CODE32, HANDLER, 0x8e);
	fx_put(f, FX_TSS + 8, 2, 0);
	assert_fault(cpu, x86_deliver(cpu, &ev), X86_EXC_TS, 1);
	fx_put(f, FX_TSS + 8, 2, FX_UDATA);
	assert_fault(cpu, x86_deliver(cpu, &ev), X86_EXC_TS, (FX_UDATA & ~3u) | 1);
	fx_put(f, FX_TSS + 8, 2, FX_READONLY);
	assert_fault(cpu, x86_deliver(cpu, &ev), X86_EXC_TS, FX_READONLY | 1);
	fx_put(f, FX_TSS + 8, 2, FX_NOTPRESENT);
	assert_fault(cpu, x86_deliver(cpu, &ev), X86_EXC_SS, FX_NOTPRESENT | 1);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->s.gpr[X86_RSP], FX_STACK);
}

static void iret_flags_by_privilege(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 3);
	s->rflags = X86_FLAG_ONE | X86_FLAG_IF | 0x1000; /* IOPL 1 */
	s->gpr[X86_RSP] = FX_STACK - 12;
	fx_put(f, FX_STACK - 12, 4, 0x9000);
	fx_put(f, FX_STACK - 8, 4, FX_UCODE32);
	fx_put(f, FX_STACK - 4, 4, 0x3cd5 & ~0x200u); /* IF clear, IOPL 3: neither may change */
	assert_true(iret(f, 4));
	assert_int_equal(s->rflags & (X86_FLAG_IF | X86_FLAG_IOPL), X86_FLAG_IF | 0x1000);
	assert_int_equal(s->rflags & X86_FLAGS_ARITH, 0x8d5 & X86_FLAGS_ARITH);
	/* To an inner level: never. */
	s->gpr[X86_RSP] = FX_STACK - 12;
	fx_put(f, FX_STACK - 8, 4, FX_CODE32);
	assert_fault(&f->cpu, iret(f, 4), X86_EXC_GP, FX_CODE32);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK - 12);
}

static void real_mode(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	s->rip = 0x8000;
	s->seg[X86_CS].sel = 0x100;
	s->seg[X86_CS].base = 0x1000;
	s->gpr[X86_RSP] = 0xabcd0002; /* wraps */
	s->rflags |= X86_FLAG_IF | X86_FLAG_TF;
	fx_put(f, 0x10 * 4, 4, 0xf0001234);
	assert_true(x86_soft_interrupt(&f->cpu, 0x10, 2));
	assert_int_equal(s->rip, 0x1234);
	assert_int_equal(s->seg[X86_CS].base, 0xf0000);
	assert_int_equal(s->gpr[X86_RSP], 0xabcdfffc);
	assert_int_equal(fx_get(f, 0, 2), 0x302);
	assert_int_equal(fx_get(f, 0xfffe, 2), 0x100);
	assert_int_equal(fx_get(f, 0xfffc, 2), 0x8002);
	assert_int_equal(s->rflags, 2);
	assert_true(iret(f, 2));
	assert_int_equal(s->rip, 0x8002);
	assert_int_equal(s->rflags, 0x302);
	assert_int_equal(s->gpr[X86_RSP], 0xabcd0002);
	/* Beyond the table: #GP, which is beyond it too, then #DF, then shutdown. */
	s->idtr.limit = 0x10;
	raise_fault(f, X86_EXC_UD, false, 0);
	assert_int_equal(s->activity, X86_SHUTDOWN);
}

static void virtual_8086(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;
	static const uint16_t frame[] = { 0x1200, 0x100, 0, 0xff00, 0x200, 0x300, 0x400, 0x500, 0x600 };
	struct insn insn = { .op = X86_OP_INT, .opsize = 2, .len = 2, .imm = 0x21 };

	fx_protected(f, 0);
	s->gpr[X86_RSP] = FX_STACK - 36;
	for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
		fx_put(f, FX_STACK - 36 + 4 * i, 4, frame[i]);
	fx_put(f, FX_STACK - 28, 4, X86_FLAG_VM | X86_FLAG_IF | 2);
	assert_true(iret(f, 4));
	assert_true(s->rflags & X86_FLAG_VM);
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(f->cpu.code_mode, X86_MODE_16);
	assert_int_equal(s->seg[X86_CS].base, 0x1000);
	assert_int_equal(s->seg[X86_GS].sel, 0x600);
	assert_int_equal(s->seg[X86_SS].base, 0x2000);
	assert_int_equal(s->gpr[X86_RSP], 0xff00);
	/* INT n with IOPL 0 goes to the monitor. */
	assert_fault(&f->cpu, exec_system(&f->cpu, &insn), X86_EXC_GP, 0);
	fx_gate32(f, X86_EXC_GP, FX_CODE32, HANDLER, 0x8e);
	x86_raise(&f->cpu);
	assert_false(s->rflags & X86_FLAG_VM);
	assert_int_equal(f->cpu.cpl, 0);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK0 - 40);
	assert_int_equal(fx_get(f, FX_STACK0 - 40, 4), 0);
	assert_int_equal(fx_get(f, FX_STACK0 - 36, 4), 0x1200);
	assert_int_equal(fx_get(f, FX_STACK0 - 32, 4), 0x100);
	assert_int_equal(fx_get(f, FX_STACK0 - 28, 4), X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF | 2);
	assert_int_equal(fx_get(f, FX_STACK0 - 24, 4), 0xff00);
	assert_int_equal(fx_get(f, FX_STACK0 - 20, 4), 0x200);
	assert_int_equal(fx_get(f, FX_STACK0 - 16, 4), 0x300);
	assert_int_equal(fx_get(f, FX_STACK0 - 4, 4), 0x600);
	assert_true(s->seg[X86_GS].attr & X86_SEG_UNUSABLE);
	/* And back. */
	s->gpr[X86_RSP] += 4;
	assert_true(iret(f, 4));
	assert_int_equal(s->seg[X86_DS].base, 0x4000);
	assert_int_equal(s->rip, 0x1200);
}

static bool fx_pending(void *ctx)
{
	return ((struct fixture *)ctx)->last_value;
}

static int fx_ack(void *ctx)
{
	struct fixture *f = ctx;
	int v = (int)f->last_value;

	f->last_value = 0;
	return v;
}

static void requests(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;

	fx_long(f, 0);
	f->env.intr_pending = fx_pending;
	f->env.intr_ack = fx_ack;
	fx_gate64(f, 0x40, FX_CODE64, HANDLER, 0x8e, 0);
	fx_gate64(f, X86_EXC_NMI, FX_CODE64, 0x2222, 0x8e, 0);
	f->last_value = 0x40;
	cpu_request(cpu, CPU_REQ_INTR);
	assert_false(x86_serve_requests(cpu)); /* IF clear */
	assert_true(cpu->request & CPU_REQ_INTR);
	cpu->s.rflags |= X86_FLAG_IF;
	cpu->s.interrupt_shadow = 1;
	assert_false(x86_serve_requests(cpu));
	cpu->s.interrupt_shadow = 0;
	cpu->s.activity = X86_HALTED;
	assert_true(x86_serve_requests(cpu));
	assert_int_equal(cpu->s.rip, HANDLER);
	assert_int_equal(cpu->s.activity, X86_RUNNING);
	assert_false(cpu->request & CPU_REQ_INTR);
	/* NMI: once, then blocked until IRET. */
	cpu_request(cpu, CPU_REQ_NMI);
	assert_true(x86_serve_requests(cpu));
	assert_int_equal(cpu->s.rip, 0x2222);
	cpu_request(cpu, CPU_REQ_NMI);
	assert_false(x86_serve_requests(cpu));
	assert_true(iret(f, 8));
	assert_true(x86_serve_requests(cpu));
	/* INIT, then SIPI. */
	cpu->s.bsp = 0;
	atomic_store(&cpu->request_sipi, 0x9a);
	cpu_request(cpu, CPU_REQ_SIPI);
	assert_false(x86_serve_requests(cpu));
	assert_int_not_equal(cpu->s.rip, 0); /* not waiting for it */
	cpu_request(cpu, CPU_REQ_INIT | CPU_REQ_SIPI);
	x86_serve_requests(cpu);
	assert_int_equal(cpu->s.activity, X86_RUNNING);
	assert_int_equal(cpu->s.seg[X86_CS].base, 0x9a000);
	assert_int_equal(cpu->s.rip, 0);
	assert_int_equal(cpu->s.cr0, X86_CR0_ET);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		T(long_same_privilege), T(long_from_user), T(long_ist), T(page_fault_sets_cr2), T(gate_errors), T(double_and_triple_faults),
		T(protected_same_privilege), T(protected_from_user), T(tss_stack_errors), T(iret_flags_by_privilege), T(real_mode), T(virtual_8086),
		T(requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
