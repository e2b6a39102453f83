/* SPDX-License-Identifier: Apache-2.0 */
/* How a run ended; see run_report.h. */
#include <signal.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/run_report.h"

int run_exit_status(const struct run_outcome *o)
{
	switch (o->result.end) {
	case VM_END_POWER_OFF: return !o->command ? CLI_OK : o->command_status >= 0 ? o->command_status : CLI_ERROR;
	case VM_END_RESET: return CLI_REBOOT;
	case VM_END_PANIC: return CLI_PANIC;
	case VM_END_TRIPLE_FAULT: return CLI_TRIPLE_FAULT;
	case VM_END_DEBUG_EXIT: return (int)(o->result.value & 0xff);
	case VM_END_QUIT: return o->command ? CLI_ERROR : CLI_OK;
	case VM_END_SIGNAL: return CLI_SIGNAL + (int)o->result.value;
	case VM_END_NONE:
	case VM_END_ERROR:
	default: return CLI_ERROR;
	}
}

const char *run_end_word(const struct run_outcome *o)
{
	switch (o->result.end) {
	case VM_END_POWER_OFF: return o->command && o->command_status >= 0 ? "command" : "power-off";
	case VM_END_RESET: return "reboot";
	case VM_END_PANIC: return "panic";
	case VM_END_TRIPLE_FAULT: return "triple-fault";
	case VM_END_DEBUG_EXIT: return "debug-exit";
	case VM_END_QUIT: return "quit";
	case VM_END_SIGNAL: return "signal";
	case VM_END_NONE:
	case VM_END_ERROR:
	default: return "error";
	}
}

bool run_end_sentence(const struct run_outcome *o, char *buf, size_t cap)
{
	const char *unfinished = o->command && o->command_status < 0 ? " before the command ended" : "";

	switch (o->result.end) {
	case VM_END_POWER_OFF:
		if (o->command && o->command_status >= 0)
			return false;
		snprintf(buf, cap, "the guest powered off%s", unfinished);
		return true;
	case VM_END_RESET:
		snprintf(buf, cap, "the guest rebooted%s", unfinished);
		return true;
	case VM_END_PANIC:
		snprintf(buf, cap, "the guest's kernel panicked");
		return true;
	case VM_END_TRIPLE_FAULT:
		snprintf(buf, cap, "triple fault on vcpu %u: the guest could not handle its own exception handler's failure", o->result.value);
		return true;
	case VM_END_QUIT:
		snprintf(buf, cap, "ended at the console%s", unfinished);
		return true;
	case VM_END_SIGNAL:
		if (o->result.value == SIGPIPE)
			return false;
		snprintf(buf, cap, "ended by signal %u (%s)", o->result.value, strsignal((int)o->result.value));
		return true;
	case VM_END_NONE:
	case VM_END_ERROR:
	case VM_END_DEBUG_EXIT:
	default: return false;
	}
}

void run_report_json(FILE *f, const struct run_outcome *o)
{
	fprintf(f, "{\"exit_status\": %d, \"end\": ", run_exit_status(o));
	cli_json_string(f, run_end_word(o));
	if (o->name) {
		fputs(", \"name\": ", f);
		cli_json_string(f, o->name);
	}
	if (o->result.end == VM_END_SIGNAL)
		fprintf(f, ", \"signal\": %u", o->result.value);
	if (o->result.end == VM_END_DEBUG_EXIT)
		fprintf(f, ", \"value\": %u", o->result.value);
	if (o->command_status >= 0)
		fprintf(f, ", \"command_status\": %d", o->command_status);
	if (o->error) {
		fputs(", \"error\": ", f);
		cli_json_string(f, o->error);
	}
	fprintf(f, ", \"resets\": %u, \"seconds\": %.3f}\n", o->result.resets, (double)o->elapsed_ns / 1e9);
}

static unsigned long long ull(uint64_t v) { return v; }

static double percent(uint64_t part, uint64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0.0; }

void run_report_stats(FILE *f, const struct vm *vm)
{
	for (unsigned i = 0; i < vm_vcpus(vm); i++) {
		struct cpu_stats s;

		vm_stats(vm, i, &s);
		fprintf(f, "vcpu %u: instructions %llu, translated %.3f %%, interpreted %llu", i, ull(s.insns), percent(s.insns_translated, s.insns),
			ull(s.insns_interpreted));
		if (s.run_ns)
			fprintf(f, "; %.0f million a second", (double)s.insns * 1e3 / (double)s.run_ns);
		fputc('\n', f);
		fprintf(f, "        blocks %llu translated in %llu ms, %llu invalidated, %llu evicted; code %llu bytes for %llu of the guest's\n",
			ull(s.blocks_translated), ull(s.translate_ns / 1000000), ull(s.blocks_invalidated), ull(s.blocks_evicted), ull(s.code_bytes),
			ull(s.guest_code_bytes));
		fprintf(f, "        TLB fills %llu, flushes %llu; exceptions %llu, interrupts %llu; MMIO %llu, port I/O %llu\n", ull(s.tlb_fills),
			ull(s.tlb_flushes), ull(s.exceptions), ull(s.interrupts), ull(s.mmio), ull(s.port_io));
		fprintf(f, "        exits: links %llu, indirect %llu, returns %llu, requests %llu, untranslated %llu; calls of the interpreter %llu\n",
			ull(s.exit_links), ull(s.exit_indirect), ull(s.exit_returns), ull(s.exit_requests), ull(s.exit_steps), ull(s.exit_interpreter));
		fprintf(f, "        TLB misses: filled %llu, interpreted %llu, groups taken apart %llu\n", ull(s.slow_fills), ull(s.slow_interpreted),
			ull(s.slow_groups));
		fprintf(f, "        halts %llu, idle %llu ms; KVM exits %llu, interpreted for KVM %llu\n", ull(s.halts), ull(s.idle_ns / 1000000),
			ull(s.kvm_exits), ull(s.kvm_fallback_insns));
	}
}
