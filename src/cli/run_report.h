/* SPDX-License-Identifier: Apache-2.0 */
/* How a run ended, for people, for scripts (exit status) and for programs (--status-file), and what --stats prints. */
#ifndef LODGE_CLI_RUN_REPORT_H
#define LODGE_CLI_RUN_REPORT_H

#include <stdio.h>
#include "vm/vm.h"

struct run_outcome {
	struct vm_result result;
	bool command;         /* there was one behind `--` */
	int command_status;   /* -1: not known */
	const char *name;     /* of the VM, or NULL */
	const char *error;    /* why Lodge failed, or NULL */
	uint64_t elapsed_ns;
};

int run_exit_status(const struct run_outcome *o);
/* A word for programs: "power-off", "reboot", "panic", "triple-fault", "debug-exit", "command", "quit", "signal", "error". */
const char *run_end_word(const struct run_outcome *o);
/* One line for the user; false if there is nothing to say. */
bool run_end_sentence(const struct run_outcome *o, char *buf, size_t cap);

/* The JSON object of --status-file. Errors show in ferror(). */
void run_report_json(FILE *f, const struct run_outcome *o);

void run_report_stats(FILE *f, const struct vm *vm);

#endif
