/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one VM; see vm.h. */
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/cpu.h"
#include "host/file.h"
#include "host/host_ops.h"
#include "host/ram.h"
#include "host/thread.h"
#include "machine/machine.h"
#include "vm/backends.h"
#include "vm/boot_disk.h"
#include "vm/disk.h"
#include "vm/engine.h"
#include "vm/net.h"
#include "vm/vm.h"

#define KERNEL_MAX GIB(1)
#define INITRD_MAX GIB(8)
#define FIRMWARE_MAX MIB(16)

struct vm_vcpu {
	struct vm *vm;
	unsigned index;
	struct host_thread thread;
	struct lodge_error error;
};

struct vm {
	struct vm_config config;
	struct vm_host host;
	const char *why;
	struct host_file kernel, initrd, firmware, firmware_vars;
	struct disk *disks[VM_DISKS_MAX];
	struct vm_network *net;
	struct host_ram ram;
	struct guest_memory mem;
	struct x86_cpu_model model;
	struct machine *machine;
	struct vm_engine engines[2]; /* the second one for hops */
	struct vm_engine *engine; /* where the vcpus are; changed while none runs */
	struct vm_vcpu vcpu[MACHINE_VCPUS_MAX];
	uint64_t tsc_offset;
	_Atomic bool stopping;
	_Atomic bool reset_wanted;
	struct host_mutex lock; /* guards result and failure */
	struct vm_result result;
	struct lodge_error failure;
	struct timer second, hop;
};

/* ---- events ---- */

void vm_end(struct vm *vm, enum vm_end end, uint32_t value)
{
	host_mutex_lock(&vm->lock);
	if (vm->result.end == VM_END_NONE) {
		vm->result.end = end;
		vm->result.value = value;
	}
	host_mutex_unlock(&vm->lock);
	event_loop_stop(vm->host.loop);
}

static void vm_fail(struct vm *vm, const struct lodge_error *error)
{
	host_mutex_lock(&vm->lock);
	if (!vm->failure.code)
		vm->failure = *error;
	host_mutex_unlock(&vm->lock);
	vm_end(vm, VM_END_ERROR, 0);
}

static void on_machine_event(void *ctx, enum machine_event event, uint32_t value)
{
	struct vm *vm = ctx;

	switch (event) {
	case MACHINE_POWER_OFF:
		vm_end(vm, VM_END_POWER_OFF, 0);
		break;
	case MACHINE_RESET:
		if (vm->config.no_reboot) {
			vm_end(vm, VM_END_RESET, 0);
		} else {
			atomic_store(&vm->reset_wanted, true);
			event_loop_stop(vm->host.loop);
		}
		break;
	case MACHINE_PANIC:
	case MACHINE_PANIC_CRASH_LOADED:
		vm_end(vm, VM_END_PANIC, 0);
		break;
	case MACHINE_DEBUG_EXIT:
		vm_end(vm, VM_END_DEBUG_EXIT, value);
		break;
	default:
		break;
	}
}

static void on_vcpu_request(void *ctx, unsigned vcpu, uint32_t bits, uint32_t arg)
{
	struct vm *vm = ctx;

	engine_request(vm->engine, vcpu, bits, arg);
}

static void on_memory_changed(void *ctx)
{
	struct vm *vm = ctx;
	struct lodge_error err = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(vm->engines); i++)
		if (engine_memory_changed(&vm->engines[i], &err) != LODGE_OK)
			vm_fail(vm, &err);
}

static uint64_t read_tsc(void *ctx, unsigned vcpu)
{
	struct vm *vm = ctx;

	(void)vcpu;
	return __builtin_ia32_rdtsc() + vm->tsc_offset;
}

static uint64_t tsc_to_ns(void *ctx, unsigned vcpu, uint64_t guest_tsc)
{
	struct vm *vm = ctx;
	const struct timer_service *timers = event_loop_timers(vm->host.loop);
	uint64_t now_tsc = read_tsc(ctx, vcpu), now = timers->now(timers->ctx);
	unsigned __int128 ahead;

	if (guest_tsc <= now_tsc)
		return now;
	ahead = (unsigned __int128)(guest_tsc - now_tsc) * 1000000u / vm->model.tsc_khz;
	return ahead > UINT64_MAX - now ? UINT64_MAX : now + (uint64_t)ahead;
}

static void on_second(void *ctx)
{
	struct vm *vm = ctx;

	log_refill(vm->host.log);
	timer_arm(&vm->second, timer_now(&vm->second) + 1000000000u);
}

/* ---- vcpu threads ---- */

static void vcpu_thread(void *ctx)
{
	struct vm_vcpu *v = ctx;
	struct vm *vm = v->vm;
	const struct cpu_backend_ops *ops = vm->engine->ops;
	struct cpu_vcpu *cpu = vm->engine->vcpu[v->index];

	if (ops->thread_init(cpu, &v->error) != LODGE_OK) {
		vm_fail(vm, &v->error);
		return;
	}
	while (!atomic_load(&vm->stopping)) {
		enum cpu_exit exit = ops->run(cpu, &v->error);

		if (exit == CPU_EXIT_STOPPED)
			continue;
		if (exit == CPU_EXIT_ERROR)
			vm_fail(vm, &v->error);
		else
			vm_end(vm, VM_END_TRIPLE_FAULT, v->index);
		break;
	}
	ops->thread_fini(cpu);
}

static enum lodge_err vcpus_start(struct vm *vm, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	atomic_store(&vm->stopping, false);
	for (unsigned i = 0; i < vm->config.vcpus && rc == LODGE_OK; i++) {
		char name[HOST_THREAD_NAME_BYTES] = "vcpu-00";

		name[5] = (char)('0' + i / 10);
		name[6] = (char)('0' + i % 10);
		rc = host_thread_start(&vm->vcpu[i].thread, name, vcpu_thread, &vm->vcpu[i], err);
	}
	return rc;
}

static void vcpus_stop(struct vm *vm)
{
	atomic_store(&vm->stopping, true);
	engine_stop(vm->engine);
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		host_thread_join(&vm->vcpu[i].thread);
}

/*
 * Time for the other engine. The vcpus' threads end and new ones start there, so that each engine finds threads as it
 * leaves them; whatever else sends interrupts runs on this thread.
 */
static void on_hop(void *ctx)
{
	struct vm *vm = ctx;
	struct vm_engine *to = &vm->engines[vm->engine == &vm->engines[0]];
	struct lodge_error err = { 0 };
	enum lodge_err rc;

	vcpus_stop(vm);
	rc = engine_move(vm->engine, to, &err);
	if (rc == LODGE_OK) {
		vm->engine = to;
		vm->result.hops++;
		rc = vcpus_start(vm, &err);
	}
	if (rc != LODGE_OK)
		vm_fail(vm, &err);
	timer_arm(&vm->hop, timer_now(&vm->hop) + UINT64_C(1000000) * vm->config.hop_ms);
}

/* Every device and vcpu to power-on, boot images in place. Vcpus are stopped. */
static enum lodge_err vm_power_on(struct vm *vm, struct lodge_error *err)
{
	enum lodge_err rc = machine_reset(vm->machine, err);

	for (unsigned i = 0; i < vm->config.vcpus && rc == LODGE_OK; i++) {
		struct x86_state state = { .tsc_offset = vm->tsc_offset };

		x86_state_reset(&state, &vm->model, i, i == 0);
		machine_boot_state(vm->machine, i, &state);
		rc = vm->engine->ops->set_state(vm->engine->vcpu[i], &state, err);
	}
	return rc;
}

/* ---- creation ---- */

static enum lodge_err load_files(struct vm *vm, struct lodge_error *err)
{
	const struct {
		const char *path, *what;
		struct host_file *file;
		uint64_t max;
	} files[] = {
		{ vm->config.kernel, "kernel", &vm->kernel, KERNEL_MAX },
		{ vm->config.initrd, "initrd", &vm->initrd, INITRD_MAX },
		{ vm->config.firmware, "firmware", &vm->firmware, FIRMWARE_MAX },
		{ vm->config.firmware_vars, "firmware variables", &vm->firmware_vars, FIRMWARE_MAX },
	};

	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		if (!files[i].path)
			continue;
		if (host_file_load(files[i].file, files[i].path, files[i].what, files[i].max, err) != LODGE_OK)
			return err->code;
		if (!files[i].file->bytes)
			return error_set(err, LODGE_ERR_FORMAT, "%s '%s' is empty", files[i].what, files[i].path);
	}
	if (vm->config.kernel_from_disk)
		return boot_disk_load(&vm->config.disks[0], &vm->kernel, &vm->initrd, err);
	return LODGE_OK;
}

static enum lodge_err open_disks(struct vm *vm, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < vm->config.ndisks && rc == LODGE_OK; i++)
		rc = disk_open(&vm->config.disks[i], vm->host.loop, vm->host.log, &vm->disks[i], err);
	return rc;
}

static struct machine_blob blob(const struct host_file *file, const char *path)
{
	return (struct machine_blob){ .data = file->data, .bytes = file->bytes, .name = path };
}

static enum lodge_err build_machine(struct vm *vm, struct lodge_error *err)
{
	const struct vm_config *c = &vm->config;
	struct machine_config m = {
		.vcpus = c->vcpus,
		.mem = &vm->mem,
		.model = &vm->model,
		.boot = c->firmware ? MACHINE_BOOT_FIRMWARE : MACHINE_BOOT_DIRECT,
		.kernel = blob(&vm->kernel, c->kernel_from_disk ? "of the disk" : c->kernel),
		.initrd = blob(&vm->initrd, c->kernel_from_disk ? "of the disk" : c->initrd),
		.firmware = blob(&vm->firmware, c->firmware),
		.firmware_vars = blob(&vm->firmware_vars, c->firmware_vars),
		.cmdline = c->append ? c->append : "",
		.hpet = c->hpet,
		.debug_exit = c->debug_exit,
		.debug_exit_port = c->debug_exit_port,
		.debug_port_402 = vm->host.debugcon.write != NULL,
		.serial = { vm->host.console, vm->host.agent },
		.debugcon = vm->host.debugcon,
		.ndisks = c->ndisks,
		.rng = c->rng,
		.balloon = !c->no_balloon,
		.timers = event_loop_timers(vm->host.loop),
		.posts = event_loop_posts(vm->host.loop),
		.events = { .raise = on_machine_event, .ctx = vm },
		.log = vm->host.log,
		.vcpu_request = on_vcpu_request,
		.memory_changed = on_memory_changed,
		.tsc_to_ns = tsc_to_ns,
		.read_tsc = read_tsc,
		.ctx = vm,
	};

	if (vm->net)
		m.net = vm_network_backend(vm->net);
	memcpy(m.mac, c->net.mac, sizeof(m.mac));
	for (unsigned i = 0; i < c->ndisks; i++)
		m.disks[i] = (struct machine_disk){ .block = disk_block(vm->disks[i]), .serial = c->disks[i].serial, .nvme = c->disks[i].nvme };
	return machine_create(&m, &vm->machine, err);
}

static enum lodge_err build_cpus(struct vm *vm, struct lodge_error *err)
{
	struct cpu_vm_config config = { .mem = &vm->mem, .model = &vm->model, .log = vm->host.log, .vcpus = vm->config.vcpus,
					.stats = vm->config.stats, .soft_opts = vm->config.soft_opts,
					.code_cache_bytes = vm->config.code_cache_bytes, .translated = vm->config.translated,
					.translated_ctx = vm->config.translated_ctx };
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < vm->config.vcpus; i++)
		vm->vcpu[i] = (struct vm_vcpu){ .vm = vm, .index = i };
	/* The first engine last: what they tell guest memory about themselves is its. */
	for (unsigned i = ARRAY_LEN(vm->engines); i-- && rc == LODGE_OK;)
		if (vm->engines[i].ops)
			rc = engine_init(&vm->engines[i], &config, vm->machine, err);
	return rc;
}

static bool vm_uses_kvm(const struct vm *vm)
{
	return vm->engines[0].ops == &cpu_backend_kvm || vm->engines[1].ops == &cpu_backend_kvm;
}

/* Make the model what every engine that the VM will run on can do, or say which cannot. */
static enum lodge_err fit_model(struct vm *vm, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < ARRAY_LEN(vm->engines) && rc == LODGE_OK; i++) {
		const struct cpu_backend_ops *ops = vm->engines[i].ops;

		if (ops && ops->model_adapt)
			ops->model_adapt(&vm->model);
		if (ops && ops->model_check)
			rc = ops->model_check(&vm->model, err);
	}
	return rc;
}

/* The model that the user named, or the highest that both the host's CPU and the engine can do. */
static enum lodge_err build_model(struct vm *vm, uint32_t khz, struct lodge_error *err)
{
	const struct vm_config *c = &vm->config;
	enum cpu_speculation speculation = vm_uses_kvm(vm) ? CPU_SPEC_HOST_TRUE : CPU_SPEC_SOFT_ASSUMED;
	enum cpu_level level = c->level;
	enum lodge_err rc;

	for (;;) {
		*err = (struct lodge_error){ 0 };
		rc = cpu_model_build(&vm->model, level, c->vendor, speculation, c->vcpus, khz, true, err);
		if (rc == LODGE_OK)
			rc = fit_model(vm, err);
		level = vm->model.level;
		if (rc != LODGE_ERR_UNSUPPORTED || c->level != CPU_LEVEL_AUTO || level <= CPU_V1)
			return rc;
		level--;
	}
}

static enum lodge_err choose_engines(struct vm *vm, struct lodge_error *err)
{
	const struct vm_config *c = &vm->config;

	vm->engine = &vm->engines[0];
	if (!c->hop_ms)
		return vm_backend_choose(c->accel, &vm->engines[0].ops, &vm->why, err);
	vm->engines[0].ops = vm_backend(VM_ACCEL_SOFT);
	vm->engines[1].ops = vm_backend(c->hop_to);
	vm->why = "in turn";
	return LODGE_OK;
}

static enum lodge_err vm_build(struct vm *vm, struct lodge_error *err)
{
	const struct vm_config *c = &vm->config;
	enum lodge_err rc = choose_engines(vm, err);
	uint64_t khz = host_tsc_khz();

	if (rc == LODGE_OK && !khz)
		rc = error_set(err, LODGE_ERR_UNSUPPORTED, "the host's time-stamp counter is unusable");
	if (rc == LODGE_OK)
		rc = load_files(vm, err);
	if (rc == LODGE_OK)
		rc = open_disks(vm, err);
	if (rc == LODGE_OK)
		rc = vm_network_open(&c->net, vm->host.loop, vm->host.log, &vm->net, err);
	if (rc == LODGE_OK)
		rc = build_model(vm, (uint32_t)khz, err);
	if (rc == LODGE_OK)
		rc = host_ram_create(&vm->ram, c->ram_bytes, true, err);
	if (rc != LODGE_OK)
		return rc;
	memory_init(&vm->mem, vm->ram.fd, vm->ram.hva, vm->ram.bytes);
	rc = build_machine(vm, err);
	if (rc == LODGE_OK)
		rc = build_cpus(vm, err);
	return rc;
}

enum lodge_err vm_create(const struct vm_config *config, const struct vm_host *host, struct vm **out, struct lodge_error *err)
{
	struct vm *vm;
	enum lodge_err rc = vm_config_validate(config, err);

	if (rc != LODGE_OK)
		return rc;
	vm = host_alloc(sizeof(*vm), 64);
	if (!vm)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	vm->config = *config;
	vm->host = *host;
	vm->ram.fd = -1;
	vm->tsc_offset = 0 - __builtin_ia32_rdtsc();
	timer_init(&vm->second, event_loop_timers(host->loop), on_second, vm);
	timer_init(&vm->hop, event_loop_timers(host->loop), on_hop, vm);
	rc = vm_build(vm, err);
	if (rc != LODGE_OK) {
		vm_destroy(vm);
		return rc;
	}
	*out = vm;
	return LODGE_OK;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	timer_disarm(&vm->second);
	timer_disarm(&vm->hop);
	for (unsigned i = 0; i < ARRAY_LEN(vm->engines); i++)
		engine_fini(&vm->engines[i]);
	if (vm->machine)
		machine_destroy(vm->machine);
	for (unsigned i = 0; i < vm->config.ndisks; i++)
		disk_close(vm->disks[i]);
	vm_network_close(vm->net);
	host_ram_destroy(&vm->ram);
	if (vm->config.kernel_from_disk)
		boot_disk_unload(&vm->kernel, &vm->initrd);
	host_file_unload(&vm->kernel);
	host_file_unload(&vm->initrd);
	host_file_unload(&vm->firmware);
	host_file_unload(&vm->firmware_vars);
	host_free(vm);
}

enum lodge_err vm_run(struct vm *vm, struct vm_result *result, struct lodge_error *err)
{
	enum lodge_err rc;
	bool again;

	on_second(vm);
	if (vm->config.hop_ms)
		timer_arm(&vm->hop, timer_now(&vm->hop) + UINT64_C(1000000) * vm->config.hop_ms);
	do {
		atomic_store(&vm->reset_wanted, false);
		rc = vm_power_on(vm, err);
		if (rc == LODGE_OK)
			rc = vcpus_start(vm, err);
		if (rc == LODGE_OK)
			rc = event_loop_run(vm->host.loop, err);
		vcpus_stop(vm);
		again = rc == LODGE_OK && vm->result.end == VM_END_NONE && atomic_load(&vm->reset_wanted);
		vm->result.resets += again;
	} while (again);
	if (rc == LODGE_OK && vm->result.end == VM_END_ERROR) {
		*err = vm->failure;
		rc = vm->failure.code;
	}
	*result = vm->result;
	return rc;
}

const struct chardev_client *vm_serial(struct vm *vm, unsigned port) { return machine_serial(vm->machine, port); }
unsigned vm_vcpus(const struct vm *vm) { return vm->config.vcpus; }

void vm_stats(const struct vm *vm, unsigned vcpu, struct cpu_stats *out)
{
	*out = (struct cpu_stats){ 0 };
	for (unsigned i = 0; i < ARRAY_LEN(vm->engines); i++)
		engine_stats_add(&vm->engines[i], vcpu, out);
}

const char *vm_engine(const struct vm *vm)
{
	if (!vm->config.hop_ms)
		return vm->engine->ops->name;
	return vm_uses_kvm(vm) ? "soft and kvm" : "soft and another soft";
}

const char *vm_engine_why(const struct vm *vm) { return vm->why; }
const struct x86_cpu_model *vm_cpu_model(const struct vm *vm) { return &vm->model; }
