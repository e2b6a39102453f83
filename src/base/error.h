/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to report an error. A function that can fail returns enum
 * lodge_err (LODGE_OK is 0) and is marked LODGE_MUST_CHECK; functions on the
 * set-up path take a struct lodge_error as last argument and describe there
 * what failed, why, and what the user can do. Only src/cli exits.
 */
#ifndef LODGE_BASE_ERROR_H
#define LODGE_BASE_ERROR_H

#include "base/compiler.h"

enum lodge_err {
	LODGE_OK = 0,
	LODGE_ERR_ARG,         /* the caller or the user asked for something impossible */
	LODGE_ERR_NOMEM,       /* the host has no memory for it */
	LODGE_ERR_RANGE,       /* outside guest memory, a file or a table */
	LODGE_ERR_NOT_FOUND,
	LODGE_ERR_PERM,        /* the host refuses */
	LODGE_ERR_IO,          /* the host failed; os_error says how */
	LODGE_ERR_FORMAT,      /* an image, kernel, table or message is malformed */
	LODGE_ERR_UNSUPPORTED, /* this host or this build cannot do it */
	LODGE_ERR_BUSY,
	LODGE_ERR_INTERNAL,    /* a defect in Lodge */
};

#define LODGE_ERROR_TEXT_BYTES 512

/* Owned by the caller, usually on its stack; zero-initialised means "no error". */
struct lodge_error {
	enum lodge_err code;
	int os_error; /* errno at the edge, 0 if none */
	char text[LODGE_ERROR_TEXT_BYTES];
};

/*
 * Record an error and return @code, so that `return error_set(err, ...)` works.
 * @err may be NULL. The format language is base/fmt.h's. error_set_os()
 * appends the host's words for @os_error and keeps the number.
 */
enum lodge_err error_set(struct lodge_error *err, enum lodge_err code, const char *fmt, ...) LODGE_PRINTF(3, 4);
enum lodge_err error_set_os(struct lodge_error *err, enum lodge_err code, int os_error, const char *fmt, ...) LODGE_PRINTF(4, 5);

/* A short constant word for @code: "invalid argument", "out of memory", ... */
const char *lodge_err_name(enum lodge_err code);

#endif
