/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in struct lodge_error. */
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "host/host_ops.h"

LODGE_PRINTF(4, 0)
static void set_text(struct lodge_error *err, enum lodge_err code, int os_error, const char *fmt, va_list ap)
{
	err->code = code;
	err->os_error = os_error;
	fmt_vstring(err->text, sizeof(err->text), fmt, ap);
}

enum lodge_err error_set(struct lodge_error *err, enum lodge_err code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	set_text(err, code, 0, fmt, ap);
	va_end(ap);
	return code;
}

enum lodge_err error_set_os(struct lodge_error *err, enum lodge_err code, int os_error, const char *fmt, ...)
{
	size_t len;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	set_text(err, code, os_error, fmt, ap);
	va_end(ap);
	len = str_len(err->text);
	fmt_string(err->text + len, sizeof(err->text) - len, ": %s", host_os_error_text(os_error));
	return code;
}

const char *lodge_err_name(enum lodge_err code)
{
	switch (code) {
	case LODGE_OK: return "no error";
	case LODGE_ERR_ARG: return "invalid argument";
	case LODGE_ERR_NOMEM: return "out of memory";
	case LODGE_ERR_RANGE: return "out of range";
	case LODGE_ERR_NOT_FOUND: return "not found";
	case LODGE_ERR_PERM: return "permission denied";
	case LODGE_ERR_IO: return "input/output error";
	case LODGE_ERR_FORMAT: return "malformed";
	case LODGE_ERR_UNSUPPORTED: return "not supported";
	case LODGE_ERR_BUSY: return "busy";
	case LODGE_ERR_INTERNAL: return "internal error";
	}
	return "unknown error";
}
