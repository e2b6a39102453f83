/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files and whole reads and writes. Hosted code only. */
#ifndef LODGE_HOST_FILE_H
#define LODGE_HOST_FILE_H

#include "base/error.h"

/* The contents of a file as they were when it was loaded. */
struct host_file {
	uint8_t *data; /* read only; NULL if empty or not loaded */
	uint64_t bytes;
};

/*
 * Load a regular file of at most @max_bytes into memory of our own: what is
 * validated once cannot change or be cut off (SIGBUS) later. @what names it in
 * messages ("kernel").
 */
enum lodge_err host_file_load(struct host_file *file, const char *path, const char *what, uint64_t max_bytes,
			      struct lodge_error *err) LODGE_MUST_CHECK;

/* Fine on a zeroed one. */
void host_file_unload(struct host_file *file);

/* All of @len bytes, through EINTR; LODGE_ERR_RANGE at an early end of file. */
enum lodge_err host_read_full(int fd, void *buf, size_t len, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err host_write_full(int fd, const void *buf, size_t len, struct lodge_error *err) LODGE_MUST_CHECK;

enum lodge_err host_fd_set_nonblocking(int fd, bool on, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
