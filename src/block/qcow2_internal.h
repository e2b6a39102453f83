/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside qcow2.
 *
 * What keeps data safe when the host dies at any moment:
 *  - A cluster's reference count is on stable storage before the cluster is
 *    used: counts are raised for a batch, flushed once, then handed out.
 *    A crash leaks at most a batch.
 *  - Clusters are taken behind everything that exists and never used twice, so
 *    that an old table never leads to somebody else's new data.
 *  - Where an allocated cluster takes over bytes that were on stable storage
 *    elsewhere (copied from a backing image), they are flushed before the table
 *    points to the new cluster.
 */
#ifndef LODGE_BLOCK_QCOW2_INTERNAL_H
#define LODGE_BLOCK_QCOW2_INTERNAL_H

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"
#include "block/qcow2.h"
#include "host/host_ops.h"

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_HEADER_V2_BYTES 72u
#define QCOW2_HEADER_V3_BYTES 104u
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_L1_ENTRIES_MAX (1u << 20) /* 512 TiB with clusters of 64 KiB */
#define QCOW2_REFTABLE_BYTES_MAX MIB(8)
#define QCOW2_ENTRY_COPIED (UINT64_C(1) << 63)
#define QCOW2_ENTRY_COMPRESSED (UINT64_C(1) << 62)
#define QCOW2_ENTRY_ZERO UINT64_C(1)
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define QCOW2_INCOMPAT_DIRTY UINT64_C(1)
#define QCOW2_INCOMPAT_CORRUPT UINT64_C(2)
#define QCOW2_INCOMPAT_COMPRESSION UINT64_C(8)
#define QCOW2_SLICES 64u       /* of L2 tables in memory */
#define QCOW2_SLICE_BYTES 4096u
#define QCOW2_BATCH 64u        /* clusters whose counts are raised together */

/* The header, checked and in host byte order. */
struct qcow2_header {
	uint32_t version, cluster_bits, l1_entries, reftable_clusters, snapshots, refcount_order, backing_bytes;
	uint64_t backing_offset, bytes, l1_offset, reftable_offset, incompatible, autoclear;
	enum block_compression compression;
};

/* A piece of an L2 table, written through. */
struct qcow2_slice {
	uint64_t offset; /* in the file; 0: empty */
	uint64_t used;   /* for choosing the oldest */
	uint64_t entries[QCOW2_SLICE_BYTES / 8];
};

struct qcow2 {
	struct block_image image;
	struct qcow2_header header;
	struct block_image *backing;
	bool (*unpack)(enum block_compression how, const void *in, size_t in_bytes, void *out, size_t out_bytes);
	uint32_t cluster_bytes, l2_entries;

	struct host_mutex lock; /* guards all below */
	uint64_t *l1;           /* host byte order */
	uint64_t *reftable;     /* host byte order */
	uint64_t reftable_entries;
	struct qcow2_slice *slices;
	uint64_t slice_clock;
	uint64_t *metadata; /* sorted cluster numbers of tables: data is never written there */
	size_t nmetadata, metadata_room;
	uint64_t batch_next, batch_end; /* clusters with a count of 1 that nobody uses yet */
	uint64_t next;                  /* where to look for free clusters */
	uint8_t *scratch;               /* a cluster, for copies and for packed data */
	uint8_t *unpacked;              /* the last compressed cluster that was read */
	uint64_t unpacked_entry;        /* its entry; 0: none */
	bool broken;                    /* metadata lies: no more writes */
};

static inline struct qcow2 *qcow2_of(struct block_image *image) { return container_of(image, struct qcow2, image); }

/* qcow2_header.c */
enum lodge_err qcow2_header_read(const struct block_file *file, struct qcow2_header *h, uint64_t *file_bytes,
				 struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err qcow2_file_read(const struct block_file *file, uint64_t offset, void *buf, size_t len, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err qcow2_file_write(const struct block_file *file, uint64_t offset, const void *buf, size_t len,
				struct lodge_error *err) LODGE_MUST_CHECK;

/* qcow2_refcount.c; lock held */
enum lodge_err qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, struct lodge_error *err) LODGE_MUST_CHECK;
/* One new cluster, behind all that exist: consecutive calls mostly give consecutive clusters. */
enum lodge_err qcow2_allocate(struct qcow2 *q, uint64_t *offset, struct lodge_error *err) LODGE_MUST_CHECK;
/* One reference less to each cluster that [@offset, @offset+@bytes) touches. */
enum lodge_err qcow2_release(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct lodge_error *err) LODGE_MUST_CHECK;
/* Give back what is left of the batch. */
enum lodge_err qcow2_return_batch(struct qcow2 *q, struct lodge_error *err) LODGE_MUST_CHECK;
bool qcow2_is_metadata(const struct qcow2 *q, uint64_t cluster);
bool qcow2_add_metadata(struct qcow2 *q, uint64_t cluster);

/* qcow2_table.c; lock held. Entries of guest clusters; 0 is unallocated. */
enum lodge_err qcow2_entry_get(struct qcow2 *q, uint64_t cluster, uint64_t *entry, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err qcow2_entry_set(struct qcow2 *q, uint64_t cluster, uint64_t entry, struct lodge_error *err) LODGE_MUST_CHECK;
/* The table for @cluster exists afterwards. */
enum lodge_err qcow2_table_ensure(struct qcow2 *q, uint64_t cluster, struct lodge_error *err) LODGE_MUST_CHECK;
/* Where a compressed cluster's bytes lie. */
void qcow2_compressed_place(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes);

/* Metadata that cannot be: remembers it, so that nothing is written any more. */
enum lodge_err qcow2_corrupt(struct qcow2 *q, struct lodge_error *err, const char *what) LODGE_MUST_CHECK;

extern const struct block_image_ops qcow2_ops; /* qcow2_io.c */

#endif
