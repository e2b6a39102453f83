/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which guest pages hold translated code, for all vcpus of a VM, and how a
 * write to such a page reaches every translation of it.
 *
 * SOFT-CPU.md F3: a page becomes code by (1) setting its line bits, (2) having
 * every vcpu that may have a write entry for it drop that entry, (3) reading
 * the bytes. Other vcpus are stopped outside their engines while their tables
 * are changed: op_active keeps them out, in_engine says who is in. Whoever
 * waits for the lock counts as outside, so two operations cannot wait for each
 * other. A store to a code line completes only after every translation of it is
 * gone, as on real hardware.
 */
#include "cpu/soft/soft.h"
#include "cpu/x86/fpu.h"

enum lodge_err soft_code_map_init(struct soft_vm *vm, struct lodge_error *err)
{
	vm->ram_pages = vm->config.mem->ram_bytes >> MEMORY_PAGE_BITS;
	vm->code_lines = host_alloc_sparse(MAX(vm->ram_pages, (uint64_t)1) * sizeof(uint64_t));
	vm->writers = host_alloc_sparse(MAX(vm->ram_pages, (uint64_t)1) * sizeof(uint32_t));
	if (!vm->code_lines || !vm->writers) {
		soft_code_map_fini(vm);
		return error_set(err, LODGE_ERR_NOMEM, "no address space for the map of translated pages; raise `ulimit -v`");
	}
	return LODGE_OK;
}

void soft_code_map_fini(struct soft_vm *vm)
{
	host_free_sparse(vm->code_lines, MAX(vm->ram_pages, (uint64_t)1) * sizeof(uint64_t));
	host_free_sparse(vm->writers, MAX(vm->ram_pages, (uint64_t)1) * sizeof(uint32_t));
	vm->code_lines = NULL;
	vm->writers = NULL;
}

void soft_engine_leave(struct soft_vcpu *v)
{
	atomic_store_explicit(&v->in_engine, 0, memory_order_seq_cst);
}

void soft_engine_enter(struct soft_vcpu *v)
{
	uint32_t active;

	for (;;) {
		/* Pairs with stop_others(): either it sees in_engine or this sees op_active. */
		atomic_store_explicit(&v->in_engine, 1, memory_order_seq_cst);
		active = atomic_load_explicit(&v->vm->op_active, memory_order_seq_cst);
		if (likely(!active))
			return;
		atomic_store_explicit(&v->in_engine, 0, memory_order_seq_cst);
		host_wait(&v->vm->op_active, active, UINT64_MAX);
	}
}

/* @self may be NULL (an I/O thread). Returns with every other vcpu outside its engine. */
static void stop_others(struct soft_vm *vm, struct soft_vcpu *self)
{
	bool was_in = self && atomic_load_explicit(&self->in_engine, memory_order_relaxed);

	if (was_in)
		soft_engine_leave(self);
	host_mutex_lock(&vm->op_lock);
	atomic_store_explicit(&vm->op_active, 1, memory_order_seq_cst);
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		struct soft_vcpu *v = vm->vcpu[i];

		if (!v || v == self)
			continue;
		cpu_request(&v->cpu, CPU_REQ_CODE);
		for (unsigned spins = 0; atomic_load_explicit(&v->in_engine, memory_order_seq_cst); spins++) {
			if (spins < 200)
				__builtin_ia32_pause();
			else
				host_yield();
		}
	}
	/* The owner of the operation is in again; nobody can stop it now. */
	if (was_in)
		atomic_store_explicit(&self->in_engine, 1, memory_order_seq_cst);
}

static void resume_others(struct soft_vm *vm)
{
	atomic_store_explicit(&vm->op_active, 0, memory_order_seq_cst);
	host_wake(&vm->op_active, true);
	host_mutex_unlock(&vm->op_lock);
}

static uint64_t lines_of(unsigned offset, unsigned len)
{
	unsigned lo = offset / 64, hi = (offset + len - 1) / 64;

	return (hi >= 63 ? UINT64_MAX : (UINT64_C(1) << (hi + 1)) - 1) & ~((UINT64_C(1) << lo) - 1);
}

bool soft_may_cache_write(struct x86_cpu *cpu, uint64_t ram_page)
{
	struct soft_vcpu *v = soft_of(cpu);
	struct soft_vm *vm = v->vm;

	if (ram_page >= vm->ram_pages)
		return false;
	if (atomic_load_explicit(&vm->code_lines[ram_page], memory_order_relaxed))
		return false;
	atomic_fetch_or_explicit(&vm->writers[ram_page], 1u << cpu->index, memory_order_seq_cst);
	/* Pairs with soft_claim_code(): it sets lines, then looks at writers. */
	return !atomic_load_explicit(&vm->code_lines[ram_page], memory_order_seq_cst);
}

bool soft_code_claimed(const struct soft_vm *vm, uint64_t ram_page, unsigned offset, unsigned len)
{
	uint64_t lines;

	if (ram_page >= vm->ram_pages || !len)
		return true;
	lines = lines_of(offset, len);
	return (atomic_load_explicit(&vm->code_lines[ram_page], memory_order_seq_cst) & lines) == lines;
}

void soft_claim_code(struct soft_vcpu *v, uint64_t ram_page, unsigned offset, unsigned len)
{
	struct soft_vm *vm = v->vm;
	uint64_t lines;
	uint32_t writers;

	if (soft_code_claimed(vm, ram_page, offset, len))
		return;
	lines = lines_of(offset, len);
	atomic_fetch_or_explicit(&vm->code_lines[ram_page], lines, memory_order_seq_cst);
	mmu_drop_write(&v->cpu, ram_page);
	writers = atomic_load_explicit(&vm->writers[ram_page], memory_order_seq_cst);
	if (!(writers & ~(1u << v->cpu.index)))
		return;
	stop_others(vm, v);
	/* Waiting for the lock, this vcpu was outside: an invalidation may have taken the lines away again. */
	atomic_fetch_or_explicit(&vm->code_lines[ram_page], lines, memory_order_seq_cst);
	writers = atomic_exchange_explicit(&vm->writers[ram_page], 0, memory_order_seq_cst);
	for (unsigned i = 0; i < vm->nvcpus; i++)
		if (writers >> i & 1 && vm->vcpu[i]) {
			mmu_drop_write(&vm->vcpu[i]->cpu, ram_page);
			vm->vcpu[i]->invalidations++; /* its open groups are stale */
		}
	resume_others(vm);
}

static void invalidate(struct soft_vm *vm, struct soft_vcpu *self, uint64_t ram_page, unsigned offset, unsigned len)
{
	uint64_t left = 0;

	if (!(atomic_load_explicit(&vm->code_lines[ram_page], memory_order_seq_cst) & lines_of(offset, len)))
		return;
	stop_others(vm, self);
	for (unsigned i = 0; i < vm->nvcpus; i++)
		if (vm->vcpu[i])
			left |= soft_page_invalidate(vm->vcpu[i], ram_page, offset, len);
	atomic_store_explicit(&vm->code_lines[ram_page], left, memory_order_seq_cst);
	resume_others(vm);
}

void soft_on_ram_write(struct x86_cpu *cpu, uint64_t ram_page, unsigned offset, unsigned len)
{
	struct soft_vcpu *v = soft_of(cpu);

	if (ram_page < v->vm->ram_pages && len)
		invalidate(v->vm, v, ram_page, offset, len);
}

/* The vcpu that runs on this thread, if a device that it accessed is the writer. */
static struct soft_vcpu *current_vcpu(const struct soft_vm *vm)
{
	struct x86_cpu *cpu = cpu_current;

	for (unsigned i = 0; cpu && i < vm->nvcpus; i++)
		if (vm->vcpu[i] && &vm->vcpu[i]->cpu == cpu)
			return vm->vcpu[i];
	return NULL;
}

void soft_memory_written(void *ctx, uint64_t addr, uint64_t len)
{
	struct soft_vm *vm = ctx;

	/* Pairs with soft_claim_code(): the bytes are visible before the lines are looked at. */
	atomic_thread_fence(memory_order_seq_cst);
	while (len) {
		struct memory_page page;
		unsigned offset = (unsigned)(addr & 0xfff), n = (unsigned)MIN(len, (uint64_t)(4096 - offset));

		memory_page_lookup(vm->config.mem, gpa(addr), &page);
		if (page.ram_page < vm->ram_pages)
			invalidate(vm, current_vcpu(vm), page.ram_page, offset, n);
		addr += n;
		len -= n;
	}
}
