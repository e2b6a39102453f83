/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging. Every VM owns a struct log; parts of it receive a pointer. What a
 * guest can provoke goes through log_guest(), which is rate limited, so that a
 * guest cannot fill the host's disk.
 */
#ifndef LODGE_BASE_LOG_H
#define LODGE_BASE_LOG_H

#include <stdatomic.h>
#include "base/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Called with one complete line without newline; any thread. */
typedef void log_sink_fn(void *ctx, enum log_level level, const char *line);

struct log {
	log_sink_fn *sink; /* NULL: discard */
	void *ctx;
	enum log_level level;              /* lines above it are dropped */
	_Atomic uint32_t guest_lines_left; /* refilled by log_refill() once a second */
	_Atomic uint64_t guest_lines_dropped;
};

void log_init(struct log *log, log_sink_fn *sink, void *ctx, enum log_level level);
void log_line(struct log *log, enum log_level level, const char *fmt, ...) LODGE_PRINTF(3, 4);

/* For anything a guest can cause. Drops lines beyond the budget and counts them. */
void log_guest(struct log *log, const char *fmt, ...) LODGE_PRINTF(2, 3);

/* The I/O thread calls it once a second; reports how many lines were dropped. */
void log_refill(struct log *log);

#endif
