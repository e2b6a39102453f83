/* SPDX-License-Identifier: Apache-2.0 */
/* Segment checks, far transfers through gates and tasks, system calls, control registers, MSRs. */
#include "cpu_fixture.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/pv.h"

static bool run(struct fixture *f, struct insn insn)
{
	insn.len = 2;
	insn.seg = X86_DS;
	insn.base = insn.index = X86_NOREG;
	insn.addrsize = f->cpu.long_mode ? 8 : 4;
	return exec_system(&f->cpu, &insn);
}
#define RUN(f, ...) run(f, (struct insn){ __VA_ARGS__ })

static void segment_loads(void **state)
{
	static const struct { unsigned cpl, seg, sel, vector, error; } cases[] = {
		{ 0, X86_DS, FX_DATA, 0, 0 }, { 0, X86_DS, 0, 0, 0 }, { 0, X86_DS, FX_CODE32, 0, 0 }, { 0, X86_DS, FX_READONLY, 0, 0 },
		{ 0, X86_DS, FX_EXECONLY, X86_EXC_GP, FX_EXECONLY }, { 0, X86_DS, FX_TR, X86_EXC_GP, FX_TR },
		{ 0, X86_DS, FX_NOTPRESENT, X86_EXC_NP, FX_NOTPRESENT }, { 0, X86_DS, 0x200, X86_EXC_GP, 0x200 },
		{ 0, X86_DS, FX_DATA | 4, X86_EXC_GP, FX_DATA | 4 }, { 0, X86_DS, FX_DATA | 1, X86_EXC_GP, FX_DATA },
		{ 0, X86_SS, FX_DATA, 0, 0 }, { 0, X86_SS, 0, X86_EXC_GP, 0 }, { 0, X86_SS, FX_READONLY, X86_EXC_GP, FX_READONLY },
		{ 0, X86_SS, FX_CODE32, X86_EXC_GP, FX_CODE32 }, { 0, X86_SS, FX_NOTPRESENT, X86_EXC_SS, FX_NOTPRESENT },
		{ 0, X86_SS, FX_UDATA, X86_EXC_GP, FX_UDATA & ~3u }, { 3, X86_DS, FX_UDATA, 0, 0 }, { 3, X86_DS, FX_DATA, X86_EXC_GP, FX_DATA },
		{ 3, X86_DS, FX_CONFORMING, 0, 0 }, { 3, X86_SS, FX_UDATA & ~3u, X86_EXC_GP, FX_UDATA & ~3u }, { 3, X86_ES, 3, 0, 0 },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		bool ok;

		fx_protected(f, cases[i].cpl);
		f->cpu.s.ldtr = x86_null_segment(0, 0);
		ok = x86_load_segment(&f->cpu, cases[i].seg, (uint16_t)cases[i].sel);
		if (cases[i].vector)
			assert_fault(&f->cpu, ok, (uint8_t)cases[i].vector, cases[i].error);
		else
			assert_true(ok);
		if (ok)
			assert_int_equal(f->cpu.s.seg[cases[i].seg].sel, cases[i].sel);
	}
}

static void limits(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t lin;

	fx_protected(f, 0);
	cpu->s.seg[X86_DS].limit = 0xfff;
	cpu->s.seg[X86_DS].base = 0x10000;
	cpu_update_mode(cpu);
	assert_true(x86_linear(cpu, X86_DS, 0xffc, 4, X86_READ, &lin));
	assert_int_equal(lin, 0x10ffc);
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0xffd, 4, X86_READ, &lin), X86_EXC_GP, 0);
	assert_fault(cpu, x86_linear(cpu, X86_DS, 0xffffffff, 4, X86_READ, &lin), X86_EXC_GP, 0);
	/* Expand down: above the limit only, up to the D bit's top. */
	assert_true(x86_load_segment(cpu, X86_SS, FX_EXPAND_DOWN));
	assert_fault(cpu, x86_linear(cpu, X86_SS, 0xfff, 1, X86_READ, &lin), X86_EXC_SS, 0); /* limit 0 in pages is fff */
	assert_true(x86_linear(cpu, X86_SS, 0x1000, 4, X86_WRITE, &lin));
	assert_true(x86_linear(cpu, X86_SS, 0xfffffffc, 4, X86_WRITE, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_SS, 0xfffffffd, 4, X86_WRITE, &lin), X86_EXC_SS, 0);
	/* Types. */
	assert_true(x86_load_segment(cpu, X86_ES, FX_READONLY));
	assert_fault(cpu, x86_linear(cpu, X86_ES, 0, 1, X86_WRITE, &lin), X86_EXC_GP, 0);
	assert_true(x86_linear(cpu, X86_ES, 0, 1, X86_READ, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_CS, 0, 1, X86_WRITE, &lin), X86_EXC_GP, 0);
	assert_true(x86_load_segment(cpu, X86_ES, 0));
	assert_fault(cpu, x86_linear(cpu, X86_ES, 0, 1, X86_READ, &lin), X86_EXC_GP, 0);
	/* Long mode: canonical addresses instead. */
	fx_long(f, 0);
	cpu->s.seg[X86_FS].base = UINT64_C(0x7ffffffff000);
	assert_true(x86_linear(cpu, X86_FS, 0, 4, X86_READ, &lin));
	assert_fault(cpu, x86_linear(cpu, X86_FS, 0xffd, 4, X86_READ, &lin), X86_EXC_GP, 0);
	assert_fault(cpu, x86_linear(cpu, X86_SS, UINT64_C(1) << 47, 1, X86_READ, &lin), X86_EXC_SS, 0);
	assert_true(x86_linear(cpu, X86_DS, UINT64_C(0xffff800000000000), 8, X86_READ, &lin));
}

static void accessed_bit(void **state)
{
	struct fixture *f = *state;

	fx_protected(f, 0);
	assert_int_equal(fx_get(f, FX_GDT + FX_READONLY + 5, 1), 0x90);
	assert_true(x86_load_segment(&f->cpu, X86_ES, FX_READONLY));
	assert_int_equal(fx_get(f, FX_GDT + FX_READONLY + 5, 1), 0x91);
	assert_int_equal(f->cpu.s.seg[X86_ES].attr, 0xc91);
}

static void call_gate_to_ring0(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 3);
	fx_put(f, FX_GDT + FX_GATE, 4, FX_CODE32 << 16 | 0x7700);
	fx_put(f, FX_GDT + FX_GATE + 4, 4, 0xec02); /* DPL 3, 32-bit, two parameters */
	fx_put(f, FX_STACK, 4, 0x11111111);
	fx_put(f, FX_STACK + 4, 4, 0x22222222);
	assert_true(RUN(f, .op = X86_OP_CALLF, .opsize = 4, .far_sel = FX_GATE | 3, .imm = 0x9999));
	assert_int_equal(f->cpu.cpl, 0);
	assert_int_equal(s->rip, 0x7700);
	assert_int_equal(s->seg[X86_CS].sel, FX_CODE32);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK0 - 24);
	assert_int_equal(fx_get(f, FX_STACK0 - 4, 4), FX_UDATA);
	assert_int_equal(fx_get(f, FX_STACK0 - 8, 4), FX_STACK);
	assert_int_equal(fx_get(f, FX_STACK0 - 12, 4), 0x22222222);
	assert_int_equal(fx_get(f, FX_STACK0 - 16, 4), 0x11111111);
	assert_int_equal(fx_get(f, FX_STACK0 - 20, 4), FX_UCODE32);
	assert_int_equal(fx_get(f, FX_STACK0 - 24, 4), 0x8002);
	/* RETF 8 drops the parameters on both stacks. */
	assert_true(RUN(f, .op = X86_OP_RETF, .opsize = 4, .imm = 8));
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(s->rip, 0x8002);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK + 8);
	/* A jump through it may not raise privilege; a gate of DPL 0 may not be used. */
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_JMPF, .opsize = 4, .far_sel = FX_GATE | 3), X86_EXC_GP, FX_CODE32);
	fx_put(f, FX_GDT + FX_GATE + 5, 1, 0x8c);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_CALLF, .opsize = 4, .far_sel = FX_GATE | 3), X86_EXC_GP, FX_GATE);
}

static void call_gate_long(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 3);
	fx_put(f, FX_GDT + FX_GATE, 4, FX_CODE64 << 16 | 0x7700);
	fx_put(f, FX_GDT + FX_GATE + 4, 4, 0xec00);
	fx_put(f, FX_GDT + FX_GATE + 8, 8, 0);
	fx_put(f, 0x5000, 4, 0);
	fx_put(f, 0x5004, 2, FX_GATE | 3);
	assert_true(RUN(f, .op = X86_OP_CALLF_IND, .opsize = 4, .flags = INSN_MEM, .disp = 0x5000));
	assert_int_equal(s->rip, 0x7700);
	assert_int_equal(s->gpr[X86_RSP], FX_STACK0 - 32);
	assert_int_equal(fx_get(f, FX_STACK0 - 8, 8), FX_UDATA);
	assert_int_equal(fx_get(f, FX_STACK0 - 32, 8), 0x8002);
	assert_int_equal(s->seg[X86_SS].sel, 0);
	assert_true(RUN(f, .op = X86_OP_RETF, .opsize = 8));
	assert_int_equal(s->rip, 0x8002);
	assert_int_equal(f->cpu.cpl, 3);
}

static void far_to_compatibility(void **state)
{
	struct fixture *f = *state;

	fx_long(f, 0);
	fx_put(f, 0x5000, 4, 0x1234);
	fx_put(f, 0x5004, 2, FX_CODE32);
	assert_true(RUN(f, .op = X86_OP_JMPF_IND, .opsize = 4, .flags = INSN_MEM, .disp = 0x5000));
	assert_false(f->cpu.long_mode);
	assert_int_equal(f->cpu.code_mode, X86_MODE_32);
	assert_true(RUN(f, .op = X86_OP_JMPF, .opsize = 4, .far_sel = FX_CODE64, .imm = 0x8000));
	assert_true(f->cpu.long_mode);
	/* L and D together. */
	fx_desc(f, FX_CODE16, 0, 0xfffff, 0xe9b);
	fx_put(f, 0x5004, 2, FX_CODE16);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_JMPF_IND, .opsize = 4, .flags = INSN_MEM, .disp = 0x5000), X86_EXC_GP, FX_CODE16);
}

static void make_task(struct fixture *f)
{
	fx_desc(f, FX_TR2, FX_TSS2, 0x67, 0x089);
	fx_put(f, FX_TSS2 + 0x20, 4, 0x4444);
	fx_put(f, FX_TSS2 + 0x24, 4, 0x2 | X86_FLAG_CF);
	fx_put(f, FX_TSS2 + 0x28, 4, 0xaaaaaaaa);
	fx_put(f, FX_TSS2 + 0x38, 4, 0x5500);
	fx_put(f, FX_TSS2 + 0x48, 2, FX_DATA);
	fx_put(f, FX_TSS2 + 0x4c, 2, FX_CODE32);
	fx_put(f, FX_TSS2 + 0x50, 2, FX_DATA);
	fx_put(f, FX_TSS2 + 0x54, 2, FX_DATA);
}

static void task_switches(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 0);
	make_task(f);
	s->gpr[X86_RAX] = 0x1234;
	assert_true(RUN(f, .op = X86_OP_CALLF, .opsize = 4, .far_sel = FX_TR2));
	assert_int_equal(s->rip, 0x4444);
	assert_int_equal(s->gpr[X86_RAX], 0xaaaaaaaa);
	assert_int_equal(s->gpr[X86_RSP], 0x5500);
	assert_int_equal(s->tr.sel, FX_TR2);
	assert_int_equal(s->rflags, 2 | X86_FLAG_CF | X86_FLAG_NT);
	assert_true(s->cr0 & X86_CR0_TS);
	assert_int_equal(fx_get(f, FX_TSS2, 2), FX_TR);
	assert_int_equal(fx_get(f, FX_GDT + FX_TR2 + 5, 1), 0x8b);
	assert_int_equal(fx_get(f, FX_GDT + FX_TR + 5, 1), 0x8b); /* the caller stays busy */
	assert_int_equal(fx_get(f, FX_TSS + 0x20, 4), 0x8002);
	assert_int_equal(fx_get(f, FX_TSS + 0x28, 4), 0x1234);
	assert_int_equal(s->seg[X86_GS].sel, 0);
	/* IRET with NT goes back. */
	s->rip = 0x4448;
	assert_true(RUN(f, .op = X86_OP_IRET, .opsize = 4));
	assert_int_equal(s->rip, 0x8002);
	assert_int_equal(s->gpr[X86_RAX], 0x1234);
	assert_int_equal(s->tr.sel, FX_TR);
	assert_int_equal(fx_get(f, FX_GDT + FX_TR2 + 5, 1), 0x89);
	assert_int_equal(fx_get(f, FX_TSS2 + 0x20, 4), 0x444a);
	assert_false(fx_get(f, FX_TSS2 + 0x24, 4) & X86_FLAG_NT);
	/* A busy task cannot be entered; one with a bad SS faults in the new task. */
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_JMPF, .opsize = 4, .far_sel = FX_TR), X86_EXC_GP, FX_TR);
	fx_put(f, FX_TSS2 + 0x50, 2, FX_READONLY);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_JMPF, .opsize = 4, .far_sel = FX_TR2), X86_EXC_TS, FX_READONLY);
	assert_int_equal(s->tr.sel, FX_TR2);
}

static void task_gate_for_double_fault(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_protected(f, 0);
	make_task(f);
	fx_gate32(f, X86_EXC_DF, FX_TR2, 0, 0x85);
	cpu_fault(&f->cpu, X86_EXC_DF, true, 0);
	x86_raise(&f->cpu);
	assert_int_equal(s->rip, 0x4444);
	assert_int_equal(s->gpr[X86_RSP], 0x5500 - 4);
	assert_int_equal(fx_get(f, 0x5500 - 4, 4), 0);
	assert_int_equal(fx_get(f, FX_TSS + 0x20, 4), 0x8000);
}

static void syscall_and_sysret(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 3);
	s->msr.star = UINT64_C(0x001b0008) << 32; /* SYSRET: CS 1b+10, SS 1b+8 */
	s->msr.lstar = UINT64_C(0xffffffff80000000);
	s->msr.sfmask = 0x47700;
	s->rflags = 0x40202 | X86_FLAG_CF | X86_FLAG_RF;
	assert_true(RUN(f, .op = X86_OP_SYSCALL, .opsize = 4));
	assert_int_equal(s->rip, s->msr.lstar);
	assert_int_equal(s->gpr[X86_RCX], 0x8002);
	assert_int_equal(s->gpr[X86_R11], 0x40203);
	assert_int_equal(s->rflags, 3);
	assert_int_equal(s->seg[X86_CS].sel, 8);
	assert_int_equal(s->seg[X86_SS].sel, 16);
	assert_int_equal(f->cpu.cpl, 0);
	assert_true(RUN(f, .op = X86_OP_SYSRET, .opsize = 8));
	assert_int_equal(s->rip, 0x8002);
	assert_int_equal(s->rflags, 0x40203);
	assert_int_equal(s->seg[X86_CS].sel, 0x2b);
	assert_int_equal(s->seg[X86_SS].sel, 0x23);
	assert_int_equal(f->cpu.cpl, 3);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SYSRET, .opsize = 8), X86_EXC_GP, 0);
	/* A target that is not canonical: Intel faults in the kernel, AMD at the user's fetch. */
	assert_true(RUN(f, .op = X86_OP_SYSCALL, .opsize = 4));
	s->gpr[X86_RCX] = UINT64_C(1) << 47;
	f->model.vendor = CPU_VENDOR_INTEL;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SYSRET, .opsize = 8), X86_EXC_GP, 0);
	assert_int_equal(f->cpu.cpl, 0);
	f->model.vendor = CPU_VENDOR_AMD;
	assert_true(RUN(f, .op = X86_OP_SYSRET, .opsize = 8));
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(s->rip, UINT64_C(1) << 47);
	/* Off, it is undefined; SYSENTER in long mode is Intel's. */
	s->msr.efer &= ~(uint64_t)X86_EFER_SCE;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SYSCALL), X86_EXC_UD, 0);
	s->msr.sysenter_cs = 8;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SYSENTER), X86_EXC_UD, 0);
	f->model.vendor = CPU_VENDOR_INTEL;
	s->msr.sysenter_eip = UINT64_C(0xffffffff81000000);
	s->msr.sysenter_esp = UINT64_C(0xffffc90000004000);
	assert_true(RUN(f, .op = X86_OP_SYSENTER));
	assert_int_equal(f->cpu.cpl, 0);
	assert_int_equal(s->rip, UINT64_C(0xffffffff81000000));
	assert_int_equal(s->gpr[X86_RSP], UINT64_C(0xffffc90000004000));
	/* Back: RDX is where to, RCX the stack. */
	s->gpr[X86_RDX] = UINT64_C(0x400000001234);
	s->gpr[X86_RCX] = UINT64_C(0x7fff00001000);
	assert_true(RUN(f, .op = X86_OP_SYSEXIT, .opsize = 8));
	assert_int_equal(f->cpu.cpl, 3);
	assert_int_equal(s->rip, UINT64_C(0x400000001234));
	assert_int_equal(s->gpr[X86_RSP], UINT64_C(0x7fff00001000));
	assert_int_equal(s->seg[X86_CS].sel, 8 + 32 + 3);
	assert_int_equal(s->seg[X86_SS].sel, 8 + 40 + 3);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SYSEXIT, .opsize = 8), X86_EXC_GP, 0);
}

static void io_permission(void **state)
{
	struct fixture *f = *state;

	fx_protected(f, 3);
	f->cpu.s.tr.limit = 0x67 + 4;
	fx_put(f, FX_TSS + 102, 2, 0x68);
	fx_put(f, FX_TSS + 0x68, 4, 0xffffff0f);
	assert_true(x86_io_allowed(&f->cpu, 4, 4));
	assert_fault(&f->cpu, x86_io_allowed(&f->cpu, 5, 4), X86_EXC_GP, 0);
	assert_fault(&f->cpu, x86_io_allowed(&f->cpu, 3, 1), X86_EXC_GP, 0);
	assert_fault(&f->cpu, x86_io_allowed(&f->cpu, 0x60, 1), X86_EXC_GP, 0); /* beyond the limit */
	f->cpu.s.rflags |= X86_FLAG_IOPL;
	assert_true(x86_io_allowed(&f->cpu, 3, 1));
	f->cpu.s.gpr[X86_RAX] = UINT64_MAX;
	assert_true(RUN(f, .op = X86_OP_IN, .opcode = 0xec, .opsize = 1));
	assert_int_equal(f->cpu.s.gpr[X86_RAX], UINT64_C(0xffffffffffffffa5));
	assert_true(RUN(f, .op = X86_OP_IN, .opcode = 0xe5, .opsize = 4, .imm = 0x60));
	assert_int_equal(f->cpu.s.gpr[X86_RAX], 0xa5a5a5a5);
	assert_int_equal(f->last_gpa, 0x60);
}

static bool write_cr(struct fixture *f, unsigned n, uint64_t v)
{
	f->cpu.s.gpr[X86_RBX] = v;
	return RUN(f, .op = X86_OP_MOV_TO_CR, .reg = (uint8_t)n, .rm = X86_RBX, .opsize = 8);
}

static void control_registers(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t cr0, cr4;

	fx_long(f, 0);
	cr0 = cpu->s.cr0;
	cr4 = cpu->s.cr4;
	assert_fault(cpu, write_cr(f, 0, cr0 | UINT64_C(1) << 32), X86_EXC_GP, 0);
	assert_fault(cpu, write_cr(f, 0, cr0 | X86_CR0_NW), X86_EXC_GP, 0);
	assert_fault(cpu, write_cr(f, 0, cr0 & ~(uint64_t)X86_CR0_PE), X86_EXC_GP, 0);
	assert_fault(cpu, write_cr(f, 0, cr0 & ~(uint64_t)X86_CR0_PG), X86_EXC_GP, 0); /* in 64-bit code */
	assert_true(write_cr(f, 0, cr0 | X86_CR0_TS));
	assert_true(cpu->s.cr0 & X86_CR0_TS);
	assert_true(RUN(f, .op = X86_OP_CLTS));
	assert_int_equal(cpu->s.cr0, cr0);
	assert_fault(cpu, write_cr(f, 4, cr4 | X86_CR4_VME), X86_EXC_GP, 0);
	assert_fault(cpu, write_cr(f, 4, cr4 | 1 << 12), X86_EXC_GP, 0);
	assert_fault(cpu, write_cr(f, 4, cr4 & ~(uint64_t)X86_CR4_PAE), X86_EXC_GP, 0);
	assert_true(write_cr(f, 4, cr4 | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_UMIP | X86_CR4_FSGSBASE));
	assert_true(write_cr(f, 3, cpu->s.cr3 | 5 | UINT64_C(1) << 63));
	assert_int_equal(cpu->s.cr3 & 0xfff, 5);
	assert_int_equal(cpu->s.cr3 >> 63, 0);
	assert_fault(cpu, write_cr(f, 3, cpu->s.cr3 | UINT64_C(1) << 41), X86_EXC_GP, 0);
	assert_true(write_cr(f, 4, cr4));
	assert_fault(cpu, write_cr(f, 4, cr4 | X86_CR4_PCIDE), X86_EXC_GP, 0); /* CR3[11:0] is not 0 */
	assert_fault(cpu, write_cr(f, 1, 0), X86_EXC_UD, 0);
	assert_fault(cpu, write_cr(f, 8, 16), X86_EXC_GP, 0);
	cpu->s.seg[X86_SS].attr |= X86_SEG_DPL;
	cpu_update_mode(cpu);
	assert_fault(cpu, write_cr(f, 0, cr0), X86_EXC_GP, 0);
}

static void entering_long_mode(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;

	fx_protected(f, 0);
	cpu->s.cr3 = fx_new_table(f);
	for (uint64_t at = 0; at < 0x10000; at += 4096)
		fx_map(f, at, at, PT_P | PT_W);
	assert_true(x86_msr_write(cpu, 0xc0000080, X86_EFER_LME));
	assert_fault(cpu, write_cr(f, 0, cpu->s.cr0 | X86_CR0_PG), X86_EXC_GP, 0); /* PAE first */
	assert_true(write_cr(f, 4, X86_CR4_PAE));
	assert_true(write_cr(f, 0, cpu->s.cr0 | X86_CR0_PG));
	assert_true(cpu->s.msr.efer & X86_EFER_LMA);
	assert_false(cpu->long_mode);
	assert_fault(cpu, x86_msr_write(cpu, 0xc0000080, 0), X86_EXC_GP, 0);
	assert_true(RUN(f, .op = X86_OP_JMPF, .opsize = 4, .far_sel = FX_CODE64, .imm = 0x8000));
	assert_true(cpu->long_mode);
	assert_int_equal(cpu->code_mode, X86_MODE_64);
	assert_fault(cpu, x86_msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_FFXSR), X86_EXC_GP, 0);
}

static void pae_pointers(void **state)
{
	struct fixture *f = *state;

	fx_protected(f, 0);
	f->cpu.s.cr4 = X86_CR4_PAE;
	fx_put(f, FX_TABLES, 8, FX_TABLES + 0x1000 + 1);
	fx_put(f, FX_TABLES + 24, 8, 3); /* a reserved bit */
	f->cpu.s.cr3 = FX_TABLES;
	assert_fault(&f->cpu, write_cr(f, 0, f->cpu.s.cr0 | X86_CR0_PG), X86_EXC_GP, 0);
	fx_put(f, FX_TABLES + 24, 8, 2); /* not present: anything goes */
	assert_true(write_cr(f, 0, f->cpu.s.cr0 | X86_CR0_PG));
	assert_int_equal(f->cpu.s.pae_pdpte[0], FX_TABLES + 0x1001);
}

static void debug_registers(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 0);
	s->gpr[X86_RBX] = UINT64_MAX;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_MOV_TO_DR, .reg = 7, .rm = X86_RBX, .opsize = 8), X86_EXC_GP, 0);
	s->gpr[X86_RBX] = UINT32_MAX & ~X86_DR7_GD;
	assert_true(RUN(f, .op = X86_OP_MOV_TO_DR, .reg = 7, .rm = X86_RBX, .opsize = 8));
	assert_int_equal(s->dr7, 0xffff07ff);
	s->gpr[X86_RBX] = 0;
	assert_true(RUN(f, .op = X86_OP_MOV_TO_DR, .reg = 6, .rm = X86_RBX, .opsize = 8));
	assert_int_equal(s->dr6, 0xffff0ff0);
	assert_true(RUN(f, .op = X86_OP_MOV_FROM_DR, .reg = 5, .rm = X86_RBX, .opsize = 8)); /* DR5 is DR7 unless CR4.DE */
	assert_int_equal(s->gpr[X86_RBX], 0xffff07ff);
	s->cr4 |= X86_CR4_DE;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_MOV_FROM_DR, .reg = 5, .rm = X86_RBX, .opsize = 8), X86_EXC_UD, 0);
	s->dr7 |= X86_DR7_GD;
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_MOV_FROM_DR, .reg = 0, .rm = X86_RBX, .opsize = 8), X86_EXC_DB, 0);
	assert_true(s->dr6 & X86_DR6_BD);
	/* Code breakpoints, and RF. */
	s->dr7 = X86_DR7_FIXED | 1;
	s->dr[0] = s->rip;
	assert_true(x86_check_code_breakpoint(&f->cpu));
	assert_int_equal(s->dr6 & 0xf, 1);
	s->rflags |= X86_FLAG_RF;
	assert_false(x86_check_code_breakpoint(&f->cpu));
	/* Single-step, and what holds it back. */
	fx_gate64(f, X86_EXC_DB, FX_CODE64, 0x7700, 0x8e, 0);
	s->interrupt_shadow = 2;
	assert_false(x86_trap_after_insn(&f->cpu, true));
	s->interrupt_shadow = 0;
	assert_true(x86_trap_after_insn(&f->cpu, true));
	assert_int_equal(s->dr6 & (X86_DR6_BS | 0xf), X86_DR6_BS);
	assert_int_equal(s->rip, 0x7700);
}

static void invpcid(void **state)
{
	struct fixture *f = *state;
	struct insn insn = { .op = X86_OP_INVPCID, .reg = X86_RAX, .opsize = 8, .flags = INSN_MEM, .disp = 0x5000 };

	fx_long(f, 0);
	f->cpu.s.gpr[X86_RAX] = 4;
	assert_fault(&f->cpu, run(f, insn), X86_EXC_GP, 0);
	for (unsigned type = 0; type < 4; type++) {
		f->cpu.s.gpr[X86_RAX] = type;
		assert_true(run(f, insn));
	}
	fx_put(f, 0x5000, 8, 0x1000);
	assert_fault(&f->cpu, run(f, insn), X86_EXC_GP, 0);
	fx_put(f, 0x5000, 8, 1); /* a PCID without CR4.PCIDE */
	f->cpu.s.gpr[X86_RAX] = 1;
	assert_fault(&f->cpu, run(f, insn), X86_EXC_GP, 0);
}

static void descriptor_tables(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	fx_long(f, 0);
	fx_desc(f, FX_TR, FX_TSS, 0x67, 0x089);
	s->gpr[X86_RBX] = FX_TR;
	assert_true(RUN(f, .op = X86_OP_LTR, .rm = X86_RBX, .opsize = 2));
	assert_int_equal(fx_get(f, FX_GDT + FX_TR + 5, 1), 0x8b);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_LTR, .rm = X86_RBX, .opsize = 2), X86_EXC_GP, FX_TR);
	fx_put(f, 0x5000, 2, 0x7f);
	fx_put(f, 0x5002, 8, UINT64_C(1) << 55);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_LGDT, .flags = INSN_MEM, .disp = 0x5000, .opsize = 8), X86_EXC_GP, 0);
	fx_put(f, 0x5002, 8, UINT64_C(0xffff800000001000));
	assert_true(RUN(f, .op = X86_OP_LIDT, .flags = INSN_MEM, .disp = 0x5000, .opsize = 8));
	assert_int_equal(s->idtr.base, UINT64_C(0xffff800000001000));
	assert_true(RUN(f, .op = X86_OP_SIDT, .flags = INSN_MEM, .disp = 0x5010, .opsize = 8));
	assert_int_equal(fx_get(f, 0x5012, 8), s->idtr.base);
	/* UMIP. */
	s->seg[X86_SS].attr |= X86_SEG_DPL;
	s->cr4 |= X86_CR4_UMIP;
	cpu_state_loaded(&f->cpu);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SIDT, .flags = INSN_MEM, .disp = 0x5010, .opsize = 8), X86_EXC_GP, 0);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_SMSW, .rm = X86_RBX, .opsize = 4), X86_EXC_GP, 0);
	assert_fault(&f->cpu, RUN(f, .op = X86_OP_STR, .rm = X86_RBX, .opsize = 4), X86_EXC_GP, 0);
}

static void inspection(void **state)
{
	static const struct { unsigned op, sel; bool ok; } cases[] = {
		{ X86_OP_LAR, FX_UDATA, true }, { X86_OP_LAR, FX_DATA, false }, { X86_OP_LAR, FX_CONFORMING, true }, { X86_OP_LAR, 0, false },
		{ X86_OP_LAR, 0x400, false }, { X86_OP_VERR, FX_UDATA, true }, { X86_OP_VERW, FX_UDATA, true }, { X86_OP_VERW, FX_UCODE32, false },
		{ X86_OP_VERR, FX_UCODE32, true }, { X86_OP_LSL, FX_UDATA, true }, { X86_OP_LSL, FX_TR, false },
	};
	struct fixture *f = *state;

	fx_protected(f, 3);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		f->cpu.s.gpr[X86_RBX] = cases[i].sel;
		assert_true(RUN(f, .op = (uint16_t)cases[i].op, .reg = X86_RCX, .rm = X86_RBX, .opsize = 4));
		assert_int_equal(!!(f->cpu.s.rflags & X86_FLAG_ZF), cases[i].ok);
	}
	f->cpu.s.gpr[X86_RBX] = FX_UDATA;
	assert_true(RUN(f, .op = X86_OP_LAR, .reg = X86_RCX, .rm = X86_RBX, .opsize = 4));
	assert_int_equal(f->cpu.s.gpr[X86_RCX], 0xcff300);
	assert_true(RUN(f, .op = X86_OP_LSL, .reg = X86_RCX, .rm = X86_RBX, .opsize = 4));
	assert_int_equal(f->cpu.s.gpr[X86_RCX], UINT32_MAX);
}

static void msrs(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t v, before;

	assert_fault(cpu, x86_msr_write(cpu, 0xc0000082, UINT64_C(1) << 47), X86_EXC_GP, 0);
	assert_true(x86_msr_write(cpu, 0xc0000100, UINT64_C(0x7fff12345678)));
	assert_int_equal(cpu->s.seg[X86_FS].base, UINT64_C(0x7fff12345678));
	assert_fault(cpu, x86_msr_write(cpu, 0x277, 2), X86_EXC_GP, 0);
	assert_fault(cpu, x86_msr_write(cpu, 0xc0000080, 1 << 12), X86_EXC_GP, 0); /* SVME */
	assert_fault(cpu, x86_msr_read(cpu, 0x12345, &v), X86_EXC_GP, 0);
	assert_true(x86_msr_write(cpu, 0x10, 1000));
	assert_true(x86_msr_read(cpu, 0x10, &v));
	assert_in_range(v, 1000, 1000 + UINT64_C(10000000000));
	assert_true(x86_msr_read(cpu, 0x3b, &before));
	assert_true(x86_msr_write(cpu, 0x3b, before + UINT64_C(1000000000000)));
	assert_true(x86_msr_read(cpu, 0x10, &v));
	assert_true(v >= UINT64_C(1000000000000));
	assert_true(x86_msr_read(cpu, 0xc0010201, &v)); /* an AMD counter */
	assert_int_equal(v, 0);
	assert_true(x86_msr_write(cpu, 0xc0000080, X86_EFER_AIBRSE));
}

static void paravirtual_clock(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	uint64_t mul, ns;
	int shift;

	assert_true(x86_msr_write(cpu, 0x4b564d01, 0x5000 | 1));
	mul = fx_get(f, 0x5018, 4);
	shift = (int8_t)fx_get(f, 0x501c, 1);
	assert_int_equal(fx_get(f, 0x501d, 1), 1);
	assert_int_equal(fx_get(f, 0x5000, 4) & 1, 0);
	/* One second of a 2 GHz TSC. */
	ns = (uint64_t)((unsigned __int128)(shift < 0 ? UINT64_C(2000000000) >> -shift : UINT64_C(2000000000) << shift) * mul >> 32);
	assert_in_range(ns, 999999990, 1000000010);
	assert_true(x86_msr_write(cpu, 0x11, 0x5100));
	assert_true(fx_get(f, 0x5104, 4) > 1600000000);
	assert_true(fx_get(f, 0x5108, 4) < 1000000000);
	/* Steal time, and the flush that another vcpu leaves while this one sleeps. */
	assert_fault(cpu, x86_msr_write(cpu, 0x4b564d03, 0x5200 | 3), X86_EXC_GP, 0);
	assert_true(x86_msr_write(cpu, 0x4b564d03, 0x5200 | 1));
	x86_pv_steal_update(cpu);
	assert_int_equal(fx_get(f, 0x5208, 4) & 1, 0);
	x86_pv_sleep(cpu);
	assert_int_equal(fx_get(f, 0x5210, 1), 1);
	fx_put(f, 0x5210, 1, 3);
	f->flushes = cpu->stats.tlb_flushes;
	x86_pv_wake(cpu);
	assert_int_equal(fx_get(f, 0x5210, 1), 0);
	assert_int_equal(cpu->stats.tlb_flushes, f->flushes + 1);
	/* An address that is not RAM is the guest's own trouble. */
	assert_true(x86_msr_write(cpu, 0x12, UINT64_C(0xfffffffff001)));
	assert_true(x86_msr_write(cpu, 0x4b564d03, UINT64_C(0xfffffffc001)));
	x86_pv_sleep(cpu);
	x86_pv_steal_update(cpu);
}

static void resets(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = &f->cpu.s;

	assert_int_equal(s->cr0, 0x60000010);
	assert_int_equal(s->rip, 0xfff0);
	assert_int_equal(s->seg[X86_CS].base, 0xffff0000);
	assert_int_equal(s->gpr[X86_RDX], 0x00a00f11);
	assert_int_equal(s->activity, X86_RUNNING);
	s->xsave[0] = 0x77;
	s->msr.star = 5;
	s->cr0 = 0xe0000011;
	cpu_init_signal(&f->cpu);
	assert_int_equal(s->cr0, 0x60000010);
	assert_int_equal(s->xsave[0], 0x77);
	assert_int_equal(s->msr.star, 5);
	cpu_reset(&f->cpu, false);
	assert_int_equal(s->activity, X86_WAIT_SIPI);
	assert_int_equal(s->msr.star, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		T(segment_loads), T(limits), T(accessed_bit), T(call_gate_to_ring0), T(call_gate_long), T(far_to_compatibility), T(task_switches),
		T(task_gate_for_double_fault), T(syscall_and_sysret), T(io_permission), T(control_registers), T(entering_long_mode), T(pae_pointers),
		T(debug_registers), T(invpcid), T(descriptor_tables), T(inspection), T(msrs), T(paravirtual_clock), T(resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
