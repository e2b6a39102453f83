/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read files out of an ext4 file system that fills a disk: how the kernel of an
 * image gets to its own machine. Read-only; the journal is not replayed, so
 * after a crash files are as the last checkpoint left them, as a boot loader
 * sees them. Everything on the disk is hostile.
 */
#ifndef LODGE_IMAGE_EXT4_H
#define LODGE_IMAGE_EXT4_H

#include "block/image.h"

struct ext4;

/* @image and @name (for messages) stay the caller's and live as long as the result. LODGE_ERR_UNSUPPORTED: it is no ext4, or of a kind not read. */
enum lodge_err ext4_open(struct block_image *image, const char *name, struct ext4 **out, struct lodge_error *err) LODGE_MUST_CHECK;
void ext4_close(struct ext4 *fs); /* NULL is fine */

/*
 * The regular file that the absolute @path leads to, symbolic links followed, in
 * memory of its own: host_free() when done. Files over @max_bytes are refused.
 * *data is NULL for an empty one. LODGE_ERR_NOT_FOUND: there is none.
 */
enum lodge_err ext4_load(struct ext4 *fs, const char *path, uint64_t max_bytes, uint8_t **data, uint64_t *bytes, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
