/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk as a disk controller sees it: requests that are handed over and come
 * back later. What lies behind (raw file, qcow2, threads) is of no concern to it.
 */
#ifndef LODGE_BLOCK_BLOCK_H
#define LODGE_BLOCK_BLOCK_H

#include "base/error.h"

#define BLOCK_SECTOR_BYTES 512u

/* Memory to read into or write from. */
struct block_iov {
	void *base;
	size_t len;
};

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

/*
 * Owned by the caller until submit(), then by the disk until done(). @offset
 * and @bytes are whole sectors inside the disk, @bytes is the iov's sum.
 */
struct block_request {
	enum block_op op;
	bool stable;    /* writes: on stable storage before done() */
	bool may_unmap; /* write zeroes: give the space back */
	uint64_t offset, bytes;
	const struct block_iov *iov;
	unsigned niov;
	void (*done)(struct block_request *r); /* I/O thread */
	void *owner;
	enum lodge_err result; /* valid in done() */
	struct block_request *next; /* the disk's own */
};

struct block_geometry {
	uint64_t bytes; /* whole sectors */
	bool read_only;
};

/*
 * Everything that was written before a flush began is on stable storage when
 * the flush is done. Requests in flight together may run in any order.
 */
struct block_device {
	struct block_geometry geometry;
	void (*submit)(void *ctx, struct block_request *r); /* I/O thread; never blocks, never calls done() itself */
	void (*drain)(void *ctx);                           /* I/O thread, or while it does not run: all done() were called */
	void *ctx;
};

#endif
