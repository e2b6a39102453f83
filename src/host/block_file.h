/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images' files on this host. Hosted code only. */
#ifndef LODGE_HOST_BLOCK_FILE_H
#define LODGE_HOST_BLOCK_FILE_H

#include "block/image.h"

/*
 * Open a regular file or block device, locked against other programs that lock
 * (a second Lodge): shared for reading, alone for writing. @path lives as long
 * as the file is open.
 */
enum lodge_err host_block_file_open(const char *path, bool read_only, struct block_file *out, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
