/* SPDX-License-Identifier: Apache-2.0 */
/* lodge doctor: what this host can do, and why. */
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cpu/cpu_backend.h"
#include "cpu/x86/cpuid.h"
#include "host/host_ops.h"
#include "host/thread.h"

static const char help[] =
	"usage: lodge doctor [--json]\n\n"
	"Look at this host and say what Lodge can do on it: engines, CPU models, memory, limits.\n"
	"Exits with 0 if a machine can run here, else with 125.\n";

struct finding {
	const char *name;
	bool good;
	char text[1024];
};

static void check_kvm(struct finding *f)
{
	struct cpu_probe probe;

	cpu_backend_kvm.probe(&probe);
	f->name = "kvm";
	f->good = probe.usable && probe.fast;
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
	snprintf(f->text, sizeof(f->text), khz ? "time-stamp counter at %llu.%03llu MHz" : "the time-stamp counter is unusable",
		 (unsigned long long)(khz / 1000), (unsigned long long)(khz % 1000));
}

static void check_memory(struct finding *f)
{
	struct sysinfo si;
	struct rlimit as;

	f->name = "memory";
	f->good = sysinfo(&si) == 0 && getrlimit(RLIMIT_AS, &as) == 0;
	snprintf(f->text, sizeof(f->text), "%llu MiB free of %llu MiB; address space limit: %s", (unsigned long long)si.freeram * si.mem_unit >> 20,
		 (unsigned long long)si.totalram * si.mem_unit >> 20, as.rlim_cur == RLIM_INFINITY ? "none" : "set (`ulimit -v`), may be too small");
}

static void check_cpus(struct finding *f)
{
	f->name = "cpus";
	f->good = true;
	snprintf(f->text, sizeof(f->text), "%u usable", host_cpu_count());
}

static int run(int argc, char **argv)
{
	static void (*const checks[])(struct finding *) = { check_cpu, check_cpus, check_memory, check_tsc, check_code, check_kvm };
	struct finding f;
	bool json = false, able = true;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json"))
			return cli_fail_text("`lodge doctor` does not know '%s'; it takes --json", argv[i]);
		json = true;
	}
	if (json)
		putchar('{');
	for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
		checks[i](&f);
		if (!f.good && checks[i] != check_kvm)
			able = false;
		if (json) {
			printf("%s\n  \"%s\": {\"ok\": %s, \"text\": ", i ? "," : "", f.name, f.good ? "true" : "false");
			cli_json_string(stdout, f.text);
			putchar('}');
		} else {
			printf("%-4s %-11s %s\n", f.good ? "ok" : checks[i] == check_kvm ? "-" : "BAD", f.name, f.text);
		}
	}
	if (json)
		puts("\n}");
	else
		puts(able ? "This host runs virtual machines with --accel soft." : "This host cannot run virtual machines; see the lines marked BAD.");
	return able ? CLI_OK : CLI_ERROR;
}

const struct cli_verb cli_doctor = { .name = "doctor", .summary = "say what this host can do", .help = help, .run = run };
