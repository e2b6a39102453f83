/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images, version 2 and 3: read, written in place and with allocation,
 * zero clusters, compressed clusters (read), a backing image that the caller
 * opened because the user named it.
 */
#ifndef LODGE_BLOCK_QCOW2_H
#define LODGE_BLOCK_QCOW2_H

#include "block/image.h"

#define QCOW2_BACKING_NAME_MAX 1023

enum block_compression { BLOCK_DEFLATE, BLOCK_ZSTD };

/* What an image says of itself, for whoever opens it; nothing in it is acted upon. */
struct qcow2_info {
	uint32_t version, cluster_bytes;
	uint64_t bytes;
	uint32_t snapshots;
	enum block_compression compression;
	bool dirty, corrupt;
	char backing[QCOW2_BACKING_NAME_MAX + 1]; /* "": none */
};

struct qcow2_options {
	struct block_image *backing; /* NULL: none. Owned by the image from the call on, also if it fails */
	/* Unpack exactly @out_bytes; @in may have more than that needs. Any thread. */
	bool (*unpack)(enum block_compression how, const void *in, size_t in_bytes, void *out, size_t out_bytes);
};

/* Is this a qcow2 image by its first bytes? */
enum lodge_err qcow2_probe(const struct block_file *file, bool *is_qcow2, struct lodge_error *err) LODGE_MUST_CHECK;
/* LODGE_ERR_FORMAT or LODGE_ERR_UNSUPPORTED with a reason for what we cannot or must not use. */
enum lodge_err qcow2_inspect(const struct block_file *file, struct qcow2_info *info, struct lodge_error *err) LODGE_MUST_CHECK;
/* Takes @file over, also on failure. */
enum lodge_err qcow2_open(struct block_file *file, const struct qcow2_options *options, struct block_image **out,
			  struct lodge_error *err) LODGE_MUST_CHECK;
/* Make @file, which is empty, an image of @bytes. @backing may be NULL. */
enum lodge_err qcow2_create(const struct block_file *file, uint64_t bytes, const char *backing, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
