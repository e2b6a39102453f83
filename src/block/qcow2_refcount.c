/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts, the allocation of clusters, and the set of clusters that hold tables. Lock held throughout. */
#include "block/qcow2_internal.h"

#define REFTABLE_OFFSET_MASK (~UINT64_C(0x1ff))

/* ---- which clusters are tables ---- */

static size_t metadata_place(const struct qcow2 *q, uint64_t cluster)
{
	size_t low = 0, high = q->nmetadata;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (q->metadata[middle] < cluster)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool qcow2_is_metadata(const struct qcow2 *q, uint64_t cluster)
{
	size_t at = metadata_place(q, cluster);

	return at < q->nmetadata && q->metadata[at] == cluster;
}

/* False without memory. New ones lie behind all others nearly always, so this is cheap. */
bool qcow2_add_metadata(struct qcow2 *q, uint64_t cluster)
{
	size_t at = metadata_place(q, cluster);

	if (q->nmetadata == q->metadata_room) {
		size_t room = q->metadata_room ? q->metadata_room * 2 : 64;
		uint64_t *larger = host_alloc(room * sizeof(*larger), 8);

		if (!larger)
			return false;
		if (q->metadata)
			memcpy(larger, q->metadata, q->nmetadata * sizeof(*larger));
		host_free(q->metadata);
		q->metadata = larger;
		q->metadata_room = room;
	}
	memmove(q->metadata + at + 1, q->metadata + at, (q->nmetadata - at) * sizeof(*q->metadata));
	q->metadata[at] = cluster;
	q->nmetadata++;
	return true;
}

/* ---- counts ---- */

static uint64_t block_entries(const struct qcow2 *q)
{
	return (uint64_t)q->cluster_bytes * 8 >> q->header.refcount_order;
}

/* The block that has @cluster's count; 0: none yet. */
static uint64_t block_of(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t i = cluster / block_entries(q);

	return i < q->reftable_entries ? q->reftable[i] & REFTABLE_OFFSET_MASK : 0;
}

/* Counts of less than a byte share one: the bytes that hold @cluster's, and where in them. */
static uint64_t count_place(const struct qcow2 *q, uint64_t cluster, unsigned *bytes, unsigned *shift)
{
	unsigned order = q->header.refcount_order;
	uint64_t bit = (cluster % block_entries(q)) << order;

	*bytes = order > 3 ? 1u << (order - 3) : 1;
	*shift = order < 3 ? (unsigned)(bit & 7) : 0;
	return block_of(q, cluster) + bit / 8;
}

enum lodge_err qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, struct lodge_error *err)
{
	unsigned bytes, shift, bits = 1u << q->header.refcount_order;
	uint8_t raw[8];
	uint64_t at = count_place(q, cluster, &bytes, &shift);
	enum lodge_err rc;

	*count = 0;
	if (!block_of(q, cluster))
		return LODGE_OK;
	rc = qcow2_file_read(&q->image.file, at, raw, bytes, err);
	for (unsigned i = 0; rc == LODGE_OK && i < bytes; i++)
		*count = *count << 8 | raw[i];
	*count >>= shift;
	if (bits < 64)
		*count &= (UINT64_C(1) << bits) - 1;
	return rc;
}

static enum lodge_err refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count, struct lodge_error *err)
{
	unsigned bytes, shift, bits = 1u << q->header.refcount_order;
	uint8_t raw[8];
	uint64_t at = count_place(q, cluster, &bytes, &shift);
	enum lodge_err rc = LODGE_OK;

	if (bits < 8) {
		uint8_t mask = (uint8_t)(((1u << bits) - 1) << shift);

		rc = qcow2_file_read(&q->image.file, at, raw, 1, err);
		raw[0] = (uint8_t)((raw[0] & ~mask) | (count << shift & mask));
	}
	for (unsigned i = 0; bits >= 8 && i < bytes; i++)
		raw[i] = (uint8_t)(count >> (8 * (bytes - 1 - i)));
	return rc == LODGE_OK ? qcow2_file_write(&q->image.file, at, raw, bytes, err) : rc;
}

/* ---- new clusters ---- */

/* A block of counts in the cluster that is the first it counts. */
static enum lodge_err add_block(struct qcow2 *q, uint64_t cluster, struct lodge_error *err)
{
	uint64_t i = cluster / block_entries(q), offset = cluster * q->cluster_bytes;
	uint8_t entry[8];
	enum lodge_err rc;

	if (i >= q->reftable_entries)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "the image's table of reference counts is full; make room with `qemu-img convert -O qcow2`");
	memset(q->scratch, 0, q->cluster_bytes);
	rc = qcow2_file_write(&q->image.file, offset, q->scratch, q->cluster_bytes, err);
	if (rc != LODGE_OK)
		return rc;
	q->reftable[i] = offset;
	rc = refcount_set(q, cluster, 1, err);
	if (rc == LODGE_OK)
		rc = q->image.file.ops->flush(q->image.file.ctx, err);
	put_be64(entry, offset);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(&q->image.file, q->header.reftable_offset + 8 * i, entry, 8, err);
	if (rc != LODGE_OK) {
		q->reftable[i] = 0;
		return rc;
	}
	return qcow2_add_metadata(q, cluster) ? LODGE_OK : error_set(err, LODGE_ERR_NOMEM, "out of memory");
}

/* Raise counts from q->next on, up to a batch, and make that stable. */
static enum lodge_err fill_batch(struct qcow2 *q, struct lodge_error *err)
{
	uint64_t count = 0, end;
	enum lodge_err rc = LODGE_OK;

	for (;; q->next++) { /* past what crashed machines have left */
		if (!block_of(q, q->next)) {
			rc = add_block(q, q->next, err);
		} else {
			rc = qcow2_refcount_get(q, q->next, &count, err);
			if (rc == LODGE_OK && !count)
				break;
		}
		if (rc != LODGE_OK)
			return rc;
	}
	end = MIN(q->next + QCOW2_BATCH, align_up(q->next + 1, block_entries(q)));
	q->batch_next = q->batch_end = q->next;
	while (q->batch_end < end && rc == LODGE_OK) {
		rc = qcow2_refcount_get(q, q->batch_end, &count, err);
		if (rc != LODGE_OK || count)
			break;
		rc = refcount_set(q, q->batch_end, 1, err);
		q->batch_end += rc == LODGE_OK;
	}
	q->next = q->batch_end;
	return rc == LODGE_OK ? q->image.file.ops->flush(q->image.file.ctx, err) : rc;
}

enum lodge_err qcow2_allocate(struct qcow2 *q, uint64_t *offset, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	if (q->batch_next == q->batch_end)
		rc = fill_batch(q, err);
	if (rc == LODGE_OK)
		*offset = q->batch_next++ * q->cluster_bytes;
	return rc;
}

enum lodge_err qcow2_return_batch(struct qcow2 *q, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	while (q->batch_next < q->batch_end && rc == LODGE_OK)
		rc = refcount_set(q, --q->batch_end, 0, err);
	return rc;
}

enum lodge_err qcow2_release(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	for (uint64_t c = offset / q->cluster_bytes; c * q->cluster_bytes < offset + bytes && rc == LODGE_OK; c++) {
		uint64_t count;

		rc = qcow2_refcount_get(q, c, &count, err);
		if (rc == LODGE_OK && !count)
			rc = qcow2_corrupt(q, err, "a cluster in use has no reference");
		if (rc == LODGE_OK)
			rc = refcount_set(q, c, count - 1, err);
	}
	return rc;
}
