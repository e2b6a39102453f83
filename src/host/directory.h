/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and what is below them. Hosted code only. */
#ifndef LODGE_HOST_DIRECTORY_H
#define LODGE_HOST_DIRECTORY_H

#include "base/error.h"

/* With those above it; one that is there already is fine. */
enum lodge_err host_directory_make(const char *path, struct lodge_error *err) LODGE_MUST_CHECK;
/* Everything below @path and itself; never follows a link or enters another file system. Fine if it is not there. */
enum lodge_err host_tree_remove(const char *path, struct lodge_error *err) LODGE_MUST_CHECK;
/* The space that @path and everything below it takes, as far as it can be seen. */
uint64_t host_tree_bytes(const char *path);

struct host_file_info {
	uint64_t bytes, taken_bytes;
	uint64_t modified; /* seconds since 1970 */
	bool directory;
};
/* False if there is none. */
bool host_file_info(const char *path, struct host_file_info *out);

/* Hold the file at @path (made if need be) against others who do; -1 with LODGE_ERR_BUSY if somebody has it. close() gives it back. */
int host_lock_take(const char *path, struct lodge_error *err);

#endif
