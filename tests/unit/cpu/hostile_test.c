/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system instruction, exception and request on random descriptors, gates,
 * task segments and registers: whatever a guest builds, the engine ends with an
 * architectural result. Meant for the sanitizer builds.
 */
#include "cpu_fixture.h"

#define ROUNDS 40000u
#define DATA_AREA UINT64_C(0x5000)

struct random {
	uint64_t s;
};

static uint64_t next(struct random *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * UINT64_C(2685821657736338717);
}

static unsigned below(struct random *r, unsigned n)
{
	return (unsigned)(next(r) >> 32) % n;
}

static bool pending(void *ctx)
{
	(void)ctx;
	return true;
}

static int ack(void *ctx)
{
	struct fixture *f = ctx;

	return (int)(f->last_size % 257) - 1;
}

static bool msr_read(void *ctx, uint32_t msr, uint64_t *value)
{
	(void)ctx;
	*value = msr;
	return msr & 1;
}

static bool msr_write(void *ctx, uint32_t msr, uint64_t value)
{
	(void)ctx;
	(void)value;
	return msr & 1;
}

static void random_tables(struct fixture *f, struct random *r, bool lma)
{
	for (unsigned i = 0; i < 60; i++)
		fx_put(f, FX_GDT + below(r, FX_GDT_BYTES), 1, next(r));
	for (unsigned i = 0; i < 256; i++) {
		unsigned sel = below(r, 4) ? (lma ? FX_CODE64 : FX_CODE32) : below(r, 256), attr = 0x80 | below(r, 128);

		if (lma)
			fx_gate64(f, i, sel, next(r) & 0xffff, attr, below(r, 9) ? 0 : below(r, 8));
		else
			fx_gate32(f, i, sel, (uint32_t)next(r) & 0xffff, attr);
	}
	fx_desc(f, FX_TR2, FX_TSS2, 0x67, 0x80 | below(r, 128));
	for (unsigned i = 0; i < 0x68; i++)
		fx_put(f, FX_TSS2 + i, 1, below(r, 3) ? next(r) : 0);
	for (unsigned i = 0x48; i < 0x64; i += 4)
		fx_put(f, FX_TSS2 + i, 2, below(r, 2) ? FX_DATA : below(r, 256));
	for (uint64_t at = DATA_AREA; at < 0x9000; at += 2)
		fx_put(f, at, 2, below(r, 2) ? below(r, 256) : next(r));
}

static void random_machine(struct fixture *f, struct random *r)
{
	unsigned kind = below(r, 4);

	f->model.vendor = below(r, 2) ? CPU_VENDOR_AMD : CPU_VENDOR_INTEL;
	cpu_reset(&f->cpu, true);
	f->next_table = FX_TABLES;
	memset(f->ram + FX_TABLES, 0, 0x20000);
	if (kind == 0)
		fx_long(f, below(r, 2) ? 3 : 0);
	else if (kind < 3)
		fx_protected(f, below(r, 2) ? 3 : 0);
	if (kind < 3)
		random_tables(f, r, kind == 0);
}

static void random_registers(struct x86_cpu *cpu, struct random *r)
{
	for (unsigned i = 0; i < 16; i++)
		if (below(r, 2))
			cpu->s.gpr[i] = below(r, 4) ? below(r, 0x200) : next(r);
	if (below(r, 2))
		cpu->s.gpr[X86_RSP] = DATA_AREA + below(r, 0x4000);
	if (!below(r, 8)) {
		cpu->s.rflags = (next(r) & 0x1d7fd5) | X86_FLAG_ONE;
		if (!below(r, 4) && (cpu->s.cr0 & X86_CR0_PE) && !cpu_lma(cpu))
			cpu->s.rflags |= X86_FLAG_VM;
		cpu_update_mode(cpu);
	}
	if (!below(r, 32)) {
		cpu->s.dr7 = (next(r) & 0xffff03ff) | X86_DR7_FIXED;
		for (unsigned i = 0; i < 4; i++)
			cpu->s.dr[i] = DATA_AREA + below(r, 0x100);
		mmu_flush_all(cpu);
	}
}

static struct insn random_insn(const struct x86_cpu *cpu, struct random *r)
{
	static const uint8_t sizes[] = { 2, 4, 8 };
	unsigned registers = cpu->long_mode ? 16 : 8;
	struct insn insn = {
		.op = (uint16_t)(X86_OP_JMPF + below(r, X86_OP_HYPERCALL - X86_OP_JMPF + 1)),
		.len = (uint8_t)(1 + below(r, 15)),
		.opsize = sizes[below(r, cpu->long_mode ? 3 : 2)],
		.opcode = (uint8_t)next(r),
		.addrsize = cpu->long_mode ? 8 : 4,
		.reg = (uint8_t)below(r, registers),
		.rm = (uint8_t)below(r, registers),
		.seg = (uint8_t)below(r, X86_NSEG),
		.base = X86_NOREG,
		.index = X86_NOREG,
		.imm = below(r, 3) ? next(r) & 0xffff : next(r),
		.far_sel = (uint16_t)(below(r, 2) ? below(r, 256) : FX_TR2),
		.disp = below(r, 8) ? (int64_t)(DATA_AREA + below(r, 0x4000)) : (int64_t)next(r),
		.flags = below(r, 2) ? INSN_MEM : 0,
	};

	/* Forms that exist with a memory operand only. */
	if (insn.op == X86_OP_LGDT || insn.op == X86_OP_LIDT || insn.op == X86_OP_SGDT || insn.op == X86_OP_SIDT || insn.op == X86_OP_INVPCID)
		insn.flags |= INSN_MEM;
	return insn;
}

static void anything_goes(void **state)
{
	struct fixture *f = *state;
	struct x86_cpu *cpu = &f->cpu;
	struct random r = { UINT64_C(88172645463325252) };
	unsigned done = 0;

	f->env.intr_pending = pending;
	f->env.intr_ack = ack;
	f->env.apic_msr_read = msr_read;
	f->env.apic_msr_write = msr_write;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct insn insn;

		if (i % 64 == 0 || cpu->s.activity == X86_SHUTDOWN)
			random_machine(f, &r);
		random_registers(cpu, &r);
		insn = random_insn(cpu, &r);
		if (exec_system(cpu, &insn))
			done++;
		else
			x86_raise(cpu);
		assert_true(cpu->s.rflags & X86_FLAG_ONE);
		assert_in_range(cpu->cpl, 0, 3);
		f->last_size = below(&r, 1000);
		if (!below(&r, 4)) {
			cpu_request(cpu, (1u << below(&r, 9)) & ~CPU_REQ_INIT);
			x86_serve_requests(cpu);
		}
		cpu->s.activity = cpu->s.activity == X86_SHUTDOWN ? X86_SHUTDOWN : X86_RUNNING;
	}
	assert_in_range(done, ROUNDS / 20, ROUNDS); /* it is not all faults */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(anything_goes, fx_setup, fx_teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
