/* SPDX-License-Identifier: Apache-2.0 */
/* The soft engine behind cpu_backend.h: creation, state exchange, statistics. */
#include "base/checked.h"
#include "cpu/soft/emit.h"
#include "cpu/x86/fpu.h"
#include "cpu/x86/pv.h"

struct cpu_vm {
	struct soft_vm soft;
};
struct cpu_vcpu {
	struct soft_vcpu soft;
};

static const struct {
	const char *name;
	size_t field;
} option_names[] = {
	{ "interp", offsetof(struct soft_options, interp) },     { "nolink", offsetof(struct soft_options, nolink) },
	{ "noibtc", offsetof(struct soft_options, noibtc) },     { "notlb", offsetof(struct soft_options, notlb) },
	{ "noflags", offsetof(struct soft_options, noflags) },   { "oneinsn", offsetof(struct soft_options, oneinsn) },
	{ "nonative", offsetof(struct soft_options, nonative) }, { "nopext", offsetof(struct soft_options, nopext) },
	{ "nogroup", offsetof(struct soft_options, nogroup) },   { "chaos", offsetof(struct soft_options, chaos) },
	{ "eager", offsetof(struct soft_options, eager) },       { "nostring", offsetof(struct soft_options, nostring) },
	{ "nobits", offsetof(struct soft_options, nobits) },
};

static bool option_set(struct soft_options *o, const char *word, size_t len)
{
	for (unsigned i = 0; i < ARRAY_LEN(option_names); i++) {
		if (__builtin_strlen(option_names[i].name) == len && !__builtin_memcmp(option_names[i].name, word, len)) {
			*((bool *)((char *)o + option_names[i].field)) = true;
			return true;
		}
	}
	return false;
}

static enum lodge_err options_parse(struct soft_options *o, const char *text, struct lodge_error *err)
{
	while (text && *text) {
		size_t len = 0;

		while (text[len] && text[len] != ',')
			len++;
		if (len && !option_set(o, text, len))
			return error_set(err, LODGE_ERR_ARG,
					 "unknown soft CPU switch '%.*s'; known: "
					 "interp nolink noibtc notlb noflags oneinsn nonative nopext nogroup nostring nobits eager chaos",
					 (int)len, text);
		text += len;
		if (*text == ',')
			text++;
	}
	return LODGE_OK;
}

/* Has the host BMI2? Its PEXT is fast on Intel since Haswell and on AMD since Zen 3 (family 19h); microcoded before. */
static bool host_has_bmi2(bool *fast_pext)
{
	uint32_t a, b, c, d, vendor, family;

	__asm__("cpuid" : "=a"(a), "=b"(vendor), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	*fast_pext = false;
	if (a < 7)
		return false;
	__asm__("cpuid" : "=a"(family), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
	family = (family >> 8 & 15) + ((family >> 8 & 15) == 15 ? family >> 20 & 0xff : 0);
	__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
	*fast_pext = (b >> 8 & 1) && (vendor != 0x68747541 /* Auth */ || family >= 0x19);
	return b >> 8 & 1;
}

static enum lodge_err soft_vm_create(const struct cpu_vm_config *config, struct cpu_vm **out, struct lodge_error *err)
{
	struct cpu_vm *vm = host_alloc(sizeof(*vm), 64);
	enum lodge_err e;

	if (!vm)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory for the software CPU");
	vm->soft.config = *config;
	if (!vm->soft.config.code_cache_bytes)
		vm->soft.config.code_cache_bytes = SOFT_CODE_CACHE_DEFAULT;
	vm->soft.config.code_cache_bytes = align_up(vm->soft.config.code_cache_bytes, MIB(1));
	if (vm->soft.config.code_cache_bytes > GIB(1))
		e = error_set(err, LODGE_ERR_ARG, "a code cache is at most 1 GiB per vcpu");
	else
		e = options_parse(&vm->soft.options, config->soft_opts, err);
	if (!e)
		e = host_fault_hook_install(soft_fault_hook, err);
	if (!e)
		e = soft_code_map_init(&vm->soft, err);
	if (e) {
		host_free(vm);
		return e;
	}
	vm->soft.use_bmi2 = host_has_bmi2(&vm->soft.use_pext) && !vm->soft.options.nopext;
	vm->soft.use_pext &= vm->soft.use_bmi2;
	vm->soft.nvcpus = config->vcpus;
	config->mem->written_ctx = &vm->soft;
	config->mem->written = soft_memory_written;
	*out = vm;
	return LODGE_OK;
}

static void soft_vm_destroy(struct cpu_vm *vm)
{
	if (!vm)
		return;
	vm->soft.config.mem->written = NULL;
	soft_code_map_fini(&vm->soft);
	host_free(vm);
}

static void soft_vcpu_destroy(struct cpu_vcpu *vcpu)
{
	struct soft_vcpu *v = vcpu ? &vcpu->soft : NULL;

	if (!v)
		return;
	v->vm->vcpu[v->cpu.index] = NULL;
	cpu_fp_destroy(&v->cpu);
	host_free(v->cpu.interp_cache);
	host_code_free(&v->area);
	soft_shadow_fini(v);
	soft_blocks_fini(v);
	host_free_sparse(vcpu, sizeof(*vcpu));
}

static void soft_vcpu_init(struct soft_vcpu *v, struct soft_vm *vm, unsigned index)
{
	struct x86_cpu *cpu = &v->cpu;

	cpu->model = vm->config.model;
	cpu->env = &soft_env_ops;
	cpu->env_ctx = v;
	cpu->mem = vm->config.mem;
	cpu->index = index;
	cpu->engine = v;
	cpu->on_tlb_flush = soft_on_tlb_flush;
	cpu->on_tlb_flush_page = soft_on_tlb_flush_page;
	cpu->may_cache_write = soft_may_cache_write;
	cpu->on_ram_write = soft_on_ram_write;
	v->vm = vm;
	v->self = (uint64_t)(uintptr_t)v;
	v->no_if_mask = ~(uint64_t)X86_FLAG_IF;
	v->chaos_state = index + 1;
	for (unsigned i = 0; i < TLB_NMODES; i++)
		v->ibtc_key[i] = UINT32_MAX;
	for (unsigned i = 0; i < TLB_NMODES; i++)
		v->ibtc[i].entry[SOFT_IBTC_ENTRIES - 1].key = SOFT_IBTC_NEVER;
	cpu->s.tsc_khz = vm->config.model ? vm->config.model->tsc_khz : 0;
	cpu_reset(cpu, index == 0);
}

static enum lodge_err soft_vcpu_create(struct cpu_vm *vm, unsigned index, const struct x86_env_ops *env, void *env_ctx,
				       struct cpu_vcpu **out, struct lodge_error *err)
{
	struct cpu_vcpu *vcpu;
	struct soft_vcpu *v;
	enum lodge_err e;

	if (index >= SOFT_VCPUS_MAX)
		return error_set(err, LODGE_ERR_ARG, "the software CPU has at most %d vcpus", SOFT_VCPUS_MAX);
	vcpu = host_alloc_sparse(sizeof(*vcpu));
	if (!vcpu)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory for vcpu %u", index);
	v = &vcpu->soft;
	v->env = env;
	v->env_ctx = env_ctx;
	e = soft_blocks_init(v, err);
	if (e) {
		host_free_sparse(vcpu, sizeof(*vcpu));
		return e;
	}
	soft_vcpu_init(v, &vm->soft, index);
	e = host_code_alloc_dual(&v->area, vm->soft.config.code_cache_bytes, err);
	if (!e)
		e = cpu_fp_create(&v->cpu, err);
	v->cpu.interp_cache = host_alloc(INTERP_CACHE_BYTES, 64);
	if (e) {
		soft_vcpu_destroy(vcpu);
		return e;
	}
	soft_growth_init(&v->growth[SOFT_GROWS_HOT], v->area.rw, v->area.bytes / 2);
	soft_growth_init(&v->growth[SOFT_GROWS_COLD], v->area.rw + v->area.bytes / 2, v->area.bytes / 2);
	soft_stubs_emit(v);
	soft_translated(v, NULL, v->stubs.enter, v->cold_used);
	e = soft_shadow_init(v, err);
	if (e) {
		soft_vcpu_destroy(vcpu);
		return e;
	}
	vm->soft.vcpu[index] = v;
	*out = vcpu;
	return LODGE_OK;
}

static enum lodge_err soft_thread_init(struct cpu_vcpu *vcpu, struct lodge_error *err)
{
	enum lodge_err e = host_fault_thread_init(err);

	if (e)
		return e;
	host_set_gs_base(vcpu);
	cpu_current = &vcpu->soft.cpu;
	x86_pv_thread_begins(&vcpu->soft.cpu);
	return LODGE_OK;
}

static void soft_thread_fini(struct cpu_vcpu *vcpu)
{
	(void)vcpu;
	cpu_current = NULL;
	host_set_gs_base(NULL);
	host_fault_thread_fini();
}

static enum cpu_exit soft_backend_run(struct cpu_vcpu *vcpu, struct lodge_error *err)
{
	return soft_run(&vcpu->soft, err);
}

static void soft_request(struct cpu_vcpu *vcpu, uint32_t bits, uint32_t arg)
{
	struct soft_vcpu *v = &vcpu->soft;

	if (bits & CPU_REQ_SIPI)
		atomic_store_explicit(&v->cpu.request_sipi, arg, memory_order_seq_cst);
	cpu_request(&v->cpu, bits);
	atomic_fetch_add_explicit(&v->sleep_word, 1, memory_order_seq_cst);
	host_wake(&v->sleep_word, true);
}

static void soft_stop(struct cpu_vcpu *vcpu)
{
	soft_request(vcpu, CPU_REQ_STOP, 0);
}

static enum lodge_err soft_get_state(struct cpu_vcpu *vcpu, struct x86_state *out, struct lodge_error *err)
{
	struct soft_vcpu *v = &vcpu->soft;

	(void)err;
	soft_engine_enter(v);
	x86_settle_requests(&v->cpu);
	cpu_leave(&v->cpu);
	soft_engine_leave(v);
	*out = v->cpu.s;
	return LODGE_OK;
}

static enum lodge_err soft_set_state(struct cpu_vcpu *vcpu, const struct x86_state *in, struct lodge_error *err)
{
	struct soft_vcpu *v = &vcpu->soft;

	(void)err;
	v->cpu.s = *in;
	v->cpu.s.rflags |= X86_FLAG_ONE;
	v->deferred = 0;
	cpu_state_loaded(&v->cpu);
	/* Requests made of the state before are void; the LAPIC may hold an interrupt that another engine did not deliver. */
	atomic_store_explicit(&v->cpu.request, CPU_REQ_INTR, memory_order_seq_cst);
	return LODGE_OK;
}

static void soft_stats(struct cpu_vcpu *vcpu, struct cpu_stats *out)
{
	const struct soft_vcpu *v = &vcpu->soft;
	const struct x86_cpu_stats *c = &v->cpu.stats;

	*out = v->stats;
	out->insns_translated = v->jit_insns;
	out->insns = v->jit_insns + v->stats.insns_interpreted;
	out->tlb_fills = c->tlb_fills;
	out->tlb_flushes = c->tlb_flushes;
	out->exceptions = c->exceptions;
	out->interrupts = c->interrupts;
}

static enum lodge_err soft_memory_changed(struct cpu_vm *vm, struct lodge_error *err)
{
	(void)err;
	for (unsigned i = 0; i < vm->soft.nvcpus; i++)
		if (vm->soft.vcpu[i])
			soft_request((struct cpu_vcpu *)vm->soft.vcpu[i], CPU_REQ_FLUSH, 0);
	return LODGE_OK;
}

/* Writes that another engine's guest made are unknown to the code map. */
static enum lodge_err soft_taken_over(struct cpu_vm *vm, struct lodge_error *err)
{
	vm->soft.config.mem->written_ctx = &vm->soft;
	vm->soft.config.mem->written = soft_memory_written;
	return soft_memory_changed(vm, err);
}

const struct cpu_backend_ops cpu_backend_soft = {
	.name = "soft",
	.vm_create = soft_vm_create,
	.vm_destroy = soft_vm_destroy,
	.vcpu_create = soft_vcpu_create,
	.vcpu_destroy = soft_vcpu_destroy,
	.thread_init = soft_thread_init,
	.thread_fini = soft_thread_fini,
	.run = soft_backend_run,
	.request = soft_request,
	.stop = soft_stop,
	.get_state = soft_get_state,
	.set_state = soft_set_state,
	.stats = soft_stats,
	.memory_changed = soft_memory_changed,
	.taken_over = soft_taken_over,
};
