/* SPDX-License-Identifier: Apache-2.0 */
/* lodge doctor: what this host can do, and why. */
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cpu/cpu_backend.h"
#include "cpu/x86/cpuid.h"
#include "host/host_ops.h"
#include "host/thread.h"
#include "vm/backends.h"

#define MEMORY_ENOUGH MIB(256)
#define FILES_ENOUGH 64
#define ADDRESSES_ENOUGH GIB(2)

static const char help[] =
	"usage: lodge doctor [--json]\n\n"
	"Look at this host and say what Lodge can do on it: CPU models, memory, limits, engines, and how fast a kernel runs on its KVM.\n"
	"Exits with 0 if a machine can run here, else with 125.\n";

struct finding {
	const char *name;
	bool good;
	bool optional;           /* machines run without */
	const char *number_name; /* for programs; NULL: no number */
	uint64_t number;
	char text[1024];
};

static void check_kvm(struct finding *f)
{
	struct cpu_probe probe;

	cpu_backend_kvm.probe(&probe);
	f->name = "kvm";
	f->optional = true;
	f->good = probe.usable && probe.fast;
	f->number_name = "ring0_instructions_per_second";
	f->number = probe.kernel_ips;
	snprintf(f->text, sizeof(f->text), "%s%s", probe.text, f->good ? "" : "; `soft` is used");
}

static void check_code(struct finding *f)
{
	struct host_code_area area;
	struct lodge_error err = { 0 };

	f->name = "code-cache";
	f->good = host_code_alloc_dual(&area, 4096, &err) == LODGE_OK;
	snprintf(f->text, sizeof(f->text), "%s", f->good ? "executable memory can be mapped twice (W^X)" : err.text);
	if (f->good)
		host_code_free(&area);
}

static void check_cpu(struct finding *f)
{
	static const enum cpu_level levels[] = { CPU_V3, CPU_V2, CPU_V1 };
	struct lodge_error err = { 0 };
	static struct x86_cpu_model model;

	f->name = "cpu";
	f->good = true;
	if (cpu_model_build(&model, CPU_V3, CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 1, 1000000, true, &err) == LODGE_OK) {
		snprintf(f->text, sizeof(f->text), "guests may be v3 (x86-64-v3 with AES, PCLMUL, FSGSBASE, PCID)");
		return;
	}
	for (unsigned i = 1; i < ARRAY_LEN(levels); i++) {
		struct lodge_error ignored = { 0 };

		if (cpu_model_build(&model, levels[i], CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 1, 1000000, true, &ignored) == LODGE_OK) {
			snprintf(f->text, sizeof(f->text), "guests may be %s; not v3: %.180s", cpu_level_name(levels[i]), err.text);
			return;
		}
	}
	f->good = false;
	snprintf(f->text, sizeof(f->text), "%s", err.text);
}

static void check_tsc(struct finding *f)
{
	uint64_t khz = host_tsc_khz();

	f->name = "tsc";
	f->good = khz != 0;
	f->number_name = "khz";
	f->number = khz;
	snprintf(f->text, sizeof(f->text), khz ? "time-stamp counter at %llu.%03llu MHz" : "the time-stamp counter is unusable",
		 (unsigned long long)(khz / 1000), (unsigned long long)(khz % 1000));
}

/* The number behind @key in a file of "key: number kB" lines or the like; @none if there is none. */
static unsigned long long file_number(const char *path, const char *key, unsigned long long none)
{
	char line[256];
	FILE *file = fopen(path, "re");
	unsigned long long value = none;
	size_t n = strlen(key);

	while (file && value == none && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, n) && sscanf(line + n, "%llu", &value) != 1)
			value = none;
	if (file)
		fclose(file);
	return value;
}

/* What a container may use, in bytes. */
static unsigned long long container_limit(void)
{
	char line[512], path[600] = "";
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "0::", 3))
			snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
	}
	if (file)
		fclose(file);
	return MIN(file_number(path, "", ULLONG_MAX), file_number("/sys/fs/cgroup/memory.max", "", ULLONG_MAX));
}

static void check_memory(struct finding *f)
{
	unsigned long long kib = file_number("/proc/meminfo", "MemAvailable:", 0), total = file_number("/proc/meminfo", "MemTotal:", 0);
	unsigned long long limit = container_limit();
	char text[96] = "";

	if (limit != ULLONG_MAX)
		snprintf(text, sizeof(text), "; this container may use %llu MiB", limit >> 20);
	f->name = "memory";
	f->number_name = "available_bytes";
	f->number = MIN(kib << 10, limit);
	f->good = f->number > MEMORY_ENOUGH;
	snprintf(f->text, sizeof(f->text), "%llu MiB available of %llu MiB%s%s", kib >> 10, total >> 10, text,
		 f->good ? "" : ": too little for a small machine");
}

/* Guest memory is one mapping, up to 64 GiB; each vcpu has tables and a code cache of its own. */
static void check_limits(struct finding *f)
{
	struct rlimit as, files;

	f->name = "limits";
	f->good = getrlimit(RLIMIT_AS, &as) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0;
	f->number_name = "open_files";
	f->number = f->good ? files.rlim_cur : 0;
	f->good = f->good && files.rlim_cur >= FILES_ENOUGH && (as.rlim_cur == RLIM_INFINITY || as.rlim_cur >= ADDRESSES_ENOUGH);
	if (as.rlim_cur == RLIM_INFINITY)
		snprintf(f->text, sizeof(f->text), "%llu open files; no limit of the address space", (unsigned long long)f->number);
	else
		snprintf(f->text, sizeof(f->text), "%llu open files; %llu MiB of address space: `ulimit -v` limits the size of machines",
			 (unsigned long long)f->number, (unsigned long long)as.rlim_cur >> 20);
}

static void check_cpus(struct finding *f)
{
	f->name = "cpus";
	f->good = true;
	f->number_name = "count";
	f->number = host_cpu_count();
	snprintf(f->text, sizeof(f->text), "%u usable; more vcpus than that take turns", host_cpu_count());
}

static void check_engine(struct finding *f)
{
	const struct cpu_backend_ops *ops;
	const char *why;
	struct lodge_error err = { 0 };

	f->name = "engine";
	f->good = vm_backend_choose(VM_ACCEL_AUTO, &ops, &why, &err) == LODGE_OK;
	if (f->good)
		snprintf(f->text, sizeof(f->text), "--accel auto takes %s: %s", ops->name, why);
	else
		snprintf(f->text, sizeof(f->text), "%s", err.text);
}

static void print_finding(const struct finding *f, bool json, bool first)
{
	if (!json) {
		printf("%-4s %-11s %s\n", f->good ? "ok" : f->optional ? "-" : "BAD", f->name, f->text);
		return;
	}
	printf("%s\n  \"%s\": {\"ok\": %s, ", first ? "" : ",", f->name, f->good ? "true" : "false");
	if (f->number_name)
		printf("\"%s\": %llu, ", f->number_name, (unsigned long long)f->number);
	fputs("\"text\": ", stdout);
	cli_json_string(stdout, f->text);
	putchar('}');
}

static int run(int argc, char **argv)
{
	static void (*const checks[])(struct finding *) = { check_cpu, check_cpus, check_memory, check_limits, check_tsc, check_code, check_kvm,
							    check_engine };
	bool json = false, able = true;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json"))
			return cli_fail_text("`lodge doctor` does not know '%s'; it takes --json", argv[i]);
		json = true;
	}
	if (json)
		putchar('{');
	for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
		struct finding f = { 0 };

		checks[i](&f);
		able &= f.good || f.optional;
		print_finding(&f, json, i == 0);
	}
	if (json)
		printf(",\n  \"able\": %s\n}\n", able ? "true" : "false");
	else
		puts(able ? "This host runs virtual machines." : "This host cannot run virtual machines; see the lines marked BAD.");
	return able ? CLI_OK : CLI_ERROR;
}

const struct cli_verb cli_doctor = { .name = "doctor", .summary = "say what this host can do", .help = help, .run = run };
