/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freestanding text formatting: the part of printf that Lodge uses
 * (%s %.*s %c %d %i %u %x %X %p %% with h, hh, l, ll, z, j lengths, 0, -, width).
 */
#ifndef LODGE_BASE_FMT_H
#define LODGE_BASE_FMT_H

#include <stdarg.h>
#include "base/compiler.h"

/*
 * Write at most @cap bytes including the terminator (none if @cap is 0);
 * returns the length the whole text has, as snprintf() does.
 */
size_t fmt_string(char *buf, size_t cap, const char *fmt, ...) LODGE_PRINTF(3, 4);
size_t fmt_vstring(char *buf, size_t cap, const char *fmt, va_list ap) LODGE_PRINTF(3, 0);

#endif
