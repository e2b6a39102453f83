/* SPDX-License-Identifier: Apache-2.0 */
/* Logging with a budget for what guests can provoke. */
#include "base/fmt.h"
#include "base/log.h"

#define LOG_LINE_BYTES 512
#define LOG_GUEST_LINES 20 /* a second */

LODGE_PRINTF(3, 0)
static void log_vline(struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_BYTES];

	fmt_vstring(line, sizeof(line), fmt, ap);
	/* One line is one line, and no terminal sequences from a guest's strings. */
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	}
	log->sink(log->ctx, level, line);
}

void log_init(struct log *log, log_sink_fn *sink, void *ctx, enum log_level level)
{
	log->sink = sink;
	log->ctx = ctx;
	log->level = level;
	atomic_init(&log->guest_lines_left, LOG_GUEST_LINES);
	atomic_init(&log->guest_lines_dropped, 0);
}

static bool log_wants(const struct log *log, enum log_level level)
{
	return log && log->sink && level <= log->level;
}

void log_line(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(log, level))
		return;
	va_start(ap, fmt);
	log_vline(log, level, fmt, ap);
	va_end(ap);
}

/* Take one line off the budget. */
static bool guest_line_take(struct log *log)
{
	uint32_t left = atomic_load_explicit(&log->guest_lines_left, memory_order_relaxed);

	while (left) {
		if (atomic_compare_exchange_weak_explicit(&log->guest_lines_left, &left, left - 1, memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	}
	atomic_fetch_add_explicit(&log->guest_lines_dropped, 1, memory_order_relaxed);
	return false;
}

void log_guest(struct log *log, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(log, LOG_WARN) || !guest_line_take(log))
		return;
	va_start(ap, fmt);
	log_vline(log, LOG_WARN, fmt, ap);
	va_end(ap);
}

void log_refill(struct log *log)
{
	uint64_t dropped = atomic_exchange_explicit(&log->guest_lines_dropped, 0, memory_order_relaxed);

	atomic_store_explicit(&log->guest_lines_left, LOG_GUEST_LINES, memory_order_relaxed);
	if (dropped)
		log_line(log, LOG_WARN, "%llu more lines caused by the guest were dropped", (unsigned long long)dropped);
}
