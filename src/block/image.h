/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images: a format (raw, qcow2) over a file of the host. Calls block and
 * come from several worker threads at once. Freestanding: the host's side is
 * struct block_file.
 */
#ifndef LODGE_BLOCK_IMAGE_H
#define LODGE_BLOCK_IMAGE_H

#include "block/block.h"

/* A file or block device of the host. Transfers are complete or fail; what lies behind the end reads as zeros. */
struct block_file_ops {
	enum lodge_err (*read)(void *ctx, const struct block_iov *iov, unsigned niov, uint64_t offset, struct lodge_error *err);
	enum lodge_err (*write)(void *ctx, const struct block_iov *iov, unsigned niov, uint64_t offset, struct lodge_error *err);
	enum lodge_err (*flush)(void *ctx, struct lodge_error *err); /* data, and the metadata needed to find it */
	/* Make the range read as zeros; @unmap: and take no space where the host can. */
	enum lodge_err (*zero)(void *ctx, uint64_t offset, uint64_t bytes, bool unmap, struct lodge_error *err);
	/* The contents are not needed any more; a host that cannot forget them does nothing. */
	enum lodge_err (*discard)(void *ctx, uint64_t offset, uint64_t bytes, struct lodge_error *err);
	enum lodge_err (*size)(void *ctx, uint64_t *bytes, struct lodge_error *err);
	enum lodge_err (*resize)(void *ctx, uint64_t bytes, struct lodge_error *err);
	void (*close)(void *ctx);
};
struct block_file {
	const struct block_file_ops *ops; /* NULL: not open */
	void *ctx;
	bool read_only;
	const char *name; /* for messages; lives as long as the file */
};

struct block_image;

/* Offsets and lengths are inside @bytes: block_image_run() looks. */
struct block_image_ops {
	const char *format;
	enum lodge_err (*read)(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
			       struct lodge_error *err);
	enum lodge_err (*write)(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
				struct lodge_error *err);
	enum lodge_err (*flush)(struct block_image *image, struct lodge_error *err);
	enum lodge_err (*zero)(struct block_image *image, uint64_t offset, uint64_t bytes, bool unmap, struct lodge_error *err);
	enum lodge_err (*discard)(struct block_image *image, uint64_t offset, uint64_t bytes, struct lodge_error *err);
	void (*close)(struct block_image *image); /* the file is closed by block_image_close() */
};

struct block_image {
	const struct block_image_ops *ops;
	struct block_file file; /* owned */
	uint64_t bytes;         /* that the guest sees; whole sectors */
	bool read_only;
};

/* Takes @file over, also on failure. */
enum lodge_err raw_open(struct block_file *file, struct block_image **out, struct lodge_error *err) LODGE_MUST_CHECK;
void block_image_close(struct block_image *image); /* NULL is fine */
void block_file_close(struct block_file *file);    /* fine on a zeroed one */

/* Do what @r asks and return its result; the caller fills in r->result and calls done(). Any thread. */
enum lodge_err block_image_run(struct block_image *image, const struct block_request *r, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
