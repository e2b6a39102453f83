/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of a soft vcpu: serve requests, sleep when halted, find or make
 * the block for s.rip, run generated code, deal with why it came back.
 */
#include "cpu/soft/soft.h"
#include "cpu/x86/fpu.h"
#include "cpu/x86/pv.h"

/* C was called from generated code and will not go back: the return address is dropped from the shadow stack. */
#define CALLED sizeof(uint64_t)

typedef uint64_t soft_enter_fn(const void *code);

void soft_step(struct soft_vcpu *v)
{
	v->stats.insns_interpreted++;
	x86_step(&v->cpu);
}

/* Run one decoded instruction by the interpreter, faults delivered. */
static void interpret(struct soft_vcpu *v, uint64_t rip, const struct insn *insn)
{
	v->cpu.s.rip = rip;
	v->stats.insns_interpreted++;
	if (!x86_exec(&v->cpu, insn))
		x86_raise(&v->cpu);
}

uint64_t soft_interp_site(struct soft_vcpu *v, const struct soft_site *site)
{
	uint64_t invalidations = v->invalidations, next = site->rip + site->insn.len;
	uint16_t left = site->left;
	unsigned mode = v->cpu.tlb_mode;

	if (v->cpu.code_mode != X86_MODE_64)
		next = (uint32_t)next;
	v->jit_insns--;
	v->stats.exit_interpreter++;
	interpret(v, site->rip, &site->insn);
	if (!site->ends && v->cpu.s.rip == next && v->invalidations == invalidations && !v->shadow_reset && !v->cpu.s.interrupt_shadow) {
		cpu_fpu_enter(&v->cpu);
		return 0;
	}
	v->jit_insns -= left;
	v->shadow_rsp[mode] = v->jit_rsp + (site->ends ? 0 : CALLED);
	return 1;
}

/* True: the TLB now has what the access needs, nothing else has changed, and the check may be made again. */
static bool filled(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data, enum tlb_kind kind)
{
	struct x86_cpu *cpu = &v->cpu;
	const struct x86_tlb_entry *entry = &cpu->tlb[cpu->tlb_mode][kind].entry[lin >> 12 & (TLB_ENTRIES - 1)];
	uint64_t invalidations = v->invalidations;

	if ((lin & 0xfff) + data->size > 4096 || !mmu_canonical(lin))
		return false;
	cpu->s.rip = data->rip;
	if (!mmu_fill(cpu, lin, kind == TLB_WRITE ? X86_WRITE : X86_READ, cpu->tlb_mode) || entry->tag != (lin & ~UINT64_C(0xfff)) ||
	    v->invalidations != invalidations || v->shadow_reset)
		return false;
	cpu_fpu_enter(cpu);
	v->stats.slow_fills++;
	return true;
}

static uint64_t slow_access(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data, enum tlb_kind kind)
{
	struct x86_cpu *cpu = &v->cpu;

	if (!v->vm->options.notlb && filled(v, lin, data, kind))
		return 0;
	v->stats.slow_interpreted++;
	cpu->s.rip = data->rip;
	v->jit_insns -= data->left;
	v->shadow_rsp[cpu->tlb_mode] = v->jit_rsp + CALLED;
	soft_step(v);
	return 1;
}

uint64_t soft_slow_read(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data)
{
	return slow_access(v, lin, data, TLB_READ);
}

uint64_t soft_slow_write(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data)
{
	return slow_access(v, lin, data, TLB_WRITE);
}

static void note_group_miss(struct soft_vcpu *v, struct soft_block *b)
{
	unsigned i = soft_group_miss_index(b->rip);
	uint64_t now = __builtin_ia32_rdtsc(), since = now - v->group_missed[i];

	v->group_missed[i] = now;
	if (since > SOFT_GROUP_MISS_TICKS)
		v->group_misses[i] = 0;
	else if (v->group_misses[i] < SOFT_GROUP_MISSES_MAX && ++v->group_misses[i] == SOFT_GROUP_MISSES_MAX)
		soft_block_kill(v, b);
}

/*
 * The check of a group missed. Nothing of the access may be shown to the guest
 * yet, as the range is only likely to be used: where it has no plain translation
 * inside one page, go on in a block that checks each access by itself.
 */
static uint64_t slow_group(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data, enum tlb_kind kind)
{
	struct x86_cpu *cpu = &v->cpu;
	uint64_t invalidations = v->invalidations;

	if (filled(v, lin, data, kind))
		return 0;
	v->stats.slow_groups++;
	if (v->invalidations == invalidations)
		note_group_miss(v, &v->blocks[data->block]);
	cpu->s.rip = v->single_rip = data->rip;
	v->single = true;
	v->jit_insns -= data->left;
	v->shadow_rsp[cpu->tlb_mode] = v->jit_rsp + CALLED;
	return 1;
}

uint64_t soft_slow_group_read(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data)
{
	return slow_group(v, lin, data, TLB_READ);
}

uint64_t soft_slow_group_write(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data)
{
	return slow_group(v, lin, data, TLB_WRITE);
}

static uint32_t chaos(struct soft_vcpu *v)
{
	v->chaos_state = v->chaos_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(v->chaos_state >> 40);
}

/*
 * An interrupt that came while interrupts were off is remembered here, so that
 * generated code does not stop at every poll for it. What turns interrupts on
 * always returns to the run loop, which asks due().
 */
static void defer_masked(struct soft_vcpu *v)
{
	if (!(v->cpu.s.rflags & X86_FLAG_IF) || v->cpu.s.interrupt_shadow)
		v->deferred |= atomic_fetch_and_explicit(&v->cpu.request, ~CPU_REQ_INTR, memory_order_seq_cst) & CPU_REQ_INTR;
}

static bool due(struct soft_vcpu *v)
{
	if (unlikely(v->deferred) && (v->cpu.s.rflags & X86_FLAG_IF) && !v->cpu.s.interrupt_shadow) {
		cpu_request(&v->cpu, v->deferred);
		v->deferred = 0;
	}
	return atomic_load_explicit(&v->cpu.request, memory_order_relaxed) ||
	       (v->cpu.s.nmi_pending && !v->cpu.s.nmi_blocked && !v->cpu.s.interrupt_shadow);
}

/* At a safe point: whatever may happen at any time, now. */
static void stir(struct soft_vcpu *v)
{
	uint32_t what = chaos(v) % 4096;

	if (!what)
		soft_flush_all_blocks(v);
	else if (what < 64)
		mmu_flush_all(&v->cpu);
	else if (what < 256 && v->nblocks)
		soft_block_kill(v, &v->blocks[chaos(v) % v->nblocks]);
}

/* Has the code at @gpa run often enough to be worth translating? */
static bool warm(struct soft_vcpu *v, uint64_t gpa)
{
	uint8_t *heat = &v->heat[soft_heat_index(gpa)];

	if (*heat >= SOFT_HEAT_ENOUGH || v->vm->options.eager)
		return true;
	(*heat)++;
	return false;
}

/* Is the code at @gpa written so often that translating it does not pay now? */
static bool churns(struct soft_vcpu *v, uint64_t gpa)
{
	unsigned c = soft_churn_index(gpa);

	if (v->vm->options.eager || v->churn[c].kills < SOFT_CHURN_KILLS || v->churn[c].visits >= SOFT_CHURN_VISITS)
		return false;
	v->churn[c].visits++;
	return true;
}

/* soft_translate(), timed when somebody wants to know. */
static struct soft_block *translate(struct soft_vcpu *v, uint32_t key, unsigned user, unsigned index)
{
	uint64_t start = v->vm->config.stats ? host_clock_ns() : 0;
	struct soft_block *b = soft_translate(v, key, user, index);

	if (v->vm->config.stats)
		v->stats.translate_ns += host_clock_ns() - start;
	return b;
}

/* The block for s.rip; NULL when the interpreter should take a step instead (which also raises fetch faults). */
static struct soft_block *current_block(struct soft_vcpu *v)
{
	struct x86_cpu *cpu = &v->cpu;
	unsigned user = cpu->cpl == 3, index;
	bool translatable;
	uint32_t key = soft_mode_key(cpu, &translatable);
	struct soft_block *b;
	uint64_t gpa;

	if (!translatable || v->vm->options.interp)
		return NULL;
	if (!mmu_canonical(cpu->s.rip) || (cpu->code_mode != X86_MODE_64 && cpu->s.rip > UINT32_MAX) || !mmu_exec_entry(cpu, cpu->s.rip, &index))
		return NULL;
	soft_ibtc_select(v, cpu->tlb_mode, key);
	if (v->single) {
		key |= v->single_rip == cpu->s.rip ? SOFT_KEY_SINGLE : 0;
		v->single = false;
	}
	if (cpu->marks[TLB_NMODES * TLB_NKINDS + user].nonglobal[index / 64] >> (index % 64) & 1)
		v->shadow_nonglobal |= 1u << cpu->tlb_mode;
	gpa = cpu->itlb[user].gpa_page[index] | (cpu->s.rip & 0xfff);
	b = soft_block_find(v, cpu->s.rip, gpa, key);
	if (b)
		return b;
	if (!warm(v, gpa) || churns(v, gpa))
		return NULL;
	/* Finding may have filled the second page of a straddler over this entry. */
	if (!mmu_exec_entry(cpu, cpu->s.rip, &index))
		return NULL;
	return translate(v, key, user, index);
}

/*
 * Generated code has executed a RET to s.rip. To an address that is not
 * canonical it should have been a #GP: take it back and let the interpreter raise.
 */
static void finish_ret(struct soft_vcpu *v)
{
	const struct soft_site *ret = &v->sites[v->ret_site];

	if (v->cpu.code_mode != X86_MODE_64 || mmu_canonical(v->cpu.s.rip))
		return;
	v->cpu.s.rip = ret->rip;
	v->cpu.s.gpr[X86_RSP] -= 8 + (ret->insn.imm_bytes ? (uint16_t)ret->insn.imm : 0u);
	v->jit_insns--;
	soft_step(v);
}

/* The code for s.rip if an indirect branch would find it; 0 if not. */
static uint64_t quick_code(const struct soft_vcpu *v)
{
	const struct x86_cpu *cpu = &v->cpu;
	const struct soft_ibtc *table = &v->ibtc[cpu->tlb_mode];
	unsigned i = soft_ibtc_index(cpu->s.rip);
	bool translatable;

	if (table->entry[i].key != ~cpu->s.rip || v->single || v->vm->options.chaos)
		return 0;
	return soft_mode_key(cpu, &translatable) == v->ibtc_key[cpu->tlb_mode] && translatable ? table->plain[i] : 0;
}

static uint64_t enter(struct soft_vcpu *v, uint64_t code)
{
	uint64_t exit;
	union {
		const uint8_t *code;
		soft_enter_fn *fn;
	} stub = { .code = v->area.rx + v->stubs.enter };

	cpu_fpu_enter(&v->cpu);
	soft_shadow_prepare(v);
	exit = stub.fn((const void *)(uintptr_t)code);
	/* C code that leaves has done so itself, before it changed modes. */
	if (exit != SOFT_EXIT_AGAIN)
		v->shadow_rsp[v->cpu.tlb_mode] = v->jit_rsp;
	return exit;
}

static uint64_t block_code(const struct soft_vcpu *v, const struct soft_block *b)
{
	return (uint64_t)(uintptr_t)(v->area.rx + b->entry[SOFT_ENTRY_PLAIN]);
}

/* How s.rip was reached: what to link, or to put into the indirect-branch table, if nothing has died since. */
struct way {
	struct soft_link *link;
	bool indirect;
	uint64_t invalidations;
};

static void remember(struct soft_vcpu *v, const struct way *way, struct soft_block *b)
{
	if (v->invalidations != way->invalidations)
		return;
	if (way->link)
		soft_link_to(v, way->link, b);
	else if (way->indirect)
		soft_ibtc_fill(v, b);
}

/* Interpret up to a branch, so that code becomes warm where blocks begin. */
static void interpret_run(struct soft_vcpu *v)
{
	struct x86_cpu *cpu = &v->cpu;
	uint64_t rip;

	do {
		rip = cpu->s.rip;
		v->stats.insns_interpreted++;
	} while (x86_step(cpu) == X86_STEP_OK && cpu->s.rip - rip - 1 < X86_INSN_MAX && (cpu->s.rip ^ rip) < 4096 && !due(v));
}

/* The code to run at s.rip; 0 after doing something else, a step of the interpreter for one. */
static uint64_t find_code(struct soft_vcpu *v, const struct way *way)
{
	uint64_t code = way->link ? 0 : quick_code(v);
	struct soft_block *b;

	if (code)
		return code;
	b = current_block(v);
	if (!b) {
		v->stats.exit_steps++;
		interpret_run(v);
		return 0;
	}
	remember(v, way, b);
	if (v->vm->options.chaos)
		stir(v);
	return b->dead || !v->nblocks ? 0 : block_code(v, b);
}

/* Generated code came back with @exit: finish what it left undone and say how it got to where it is. */
static struct way after(struct soft_vcpu *v, uint64_t exit)
{
	struct way way = { .indirect = exit != SOFT_EXIT_STEP && exit < SOFT_EXIT_SMALL_MAX };

	if (exit >= SOFT_EXIT_SMALL_MAX) {
		struct soft_link *link = (struct soft_link *)(uintptr_t)exit;

		v->cpu.s.rip = v->single_rip = link->target;
		v->single = link->single;
		way.link = link->from->dead ? NULL : link;
		v->stats.exit_links++;
	} else if (exit == SOFT_EXIT_STEP || exit == SOFT_EXIT_STEP_INDIRECT) {
		v->jit_insns--;
		v->stats.exit_indirect++;
		soft_step(v);
	} else if (exit == SOFT_EXIT_INDIRECT) {
		v->stats.exit_returns++;
		finish_ret(v);
	}
	way.invalidations = v->invalidations;
	return way;
}

/* Run from s.rip until something needs attention. */
static void run_blocks(struct soft_vcpu *v)
{
	struct way way = { .invalidations = v->invalidations };

	while (v->cpu.s.activity == X86_RUNNING && !due(v)) {
		uint64_t code = find_code(v, &way), exit;

		way = (struct way){ .invalidations = v->invalidations };
		if (!code)
			continue;
		exit = enter(v, code);
		if (exit == SOFT_EXIT_REQUEST) {
			v->stats.exit_requests++;
			return;
		}
		way = after(v, exit);
	}
}

static void halt(struct soft_vcpu *v)
{
	uint32_t word = atomic_load_explicit(&v->sleep_word, memory_order_seq_cst);
	uint64_t start;

	if (atomic_load_explicit(&v->cpu.request, memory_order_seq_cst))
		return;
	v->stats.halts++;
	x86_pv_sleep(&v->cpu);
	cpu_leave(&v->cpu);
	soft_engine_leave(v);
	start = host_clock_ns();
	host_wait(&v->sleep_word, word, UINT64_MAX);
	v->stats.idle_ns += host_clock_ns() - start;
	soft_engine_enter(v);
	x86_pv_wake(&v->cpu);
}

/* Requests that are the engine's own; the rest is architecture. */
static void serve_engine_requests(struct soft_vcpu *v)
{
	uint32_t mine = atomic_fetch_and_explicit(&v->cpu.request, ~(CPU_REQ_CODE | CPU_REQ_FLUSH), memory_order_seq_cst) &
			(CPU_REQ_CODE | CPU_REQ_FLUSH);

	if (mine & CPU_REQ_FLUSH) {
		mmu_flush_all(&v->cpu);
		soft_flush_all_blocks(v);
	}
	if (mine & CPU_REQ_CODE) {
		/* Somebody wants to change our tables: stand aside. */
		soft_engine_leave(v);
		soft_engine_enter(v);
	}
}

enum cpu_exit soft_run(struct soft_vcpu *v, struct lodge_error *err)
{
	enum cpu_exit exit = CPU_EXIT_STOPPED;
	uint64_t start = host_clock_ns(), idle = v->stats.idle_ns;

	(void)err;
	soft_engine_enter(v);
	for (;;) {
		if (due(v)) {
			serve_engine_requests(v);
			if (atomic_load_explicit(&v->cpu.request, memory_order_relaxed) & CPU_REQ_STOP) {
				atomic_fetch_and_explicit(&v->cpu.request, ~CPU_REQ_STOP, memory_order_seq_cst);
				break;
			}
			x86_serve_requests(&v->cpu);
			defer_masked(v);
		}
		if (v->cpu.s.activity == X86_SHUTDOWN) {
			exit = CPU_EXIT_SHUTDOWN;
			break;
		}
		if (v->cpu.s.activity == X86_RUNNING)
			run_blocks(v);
		else if (!due(v))
			halt(v);
	}
	cpu_leave(&v->cpu);
	soft_engine_leave(v);
	v->stats.run_ns += host_clock_ns() - start - (v->stats.idle_ns - idle);
	return exit;
}
