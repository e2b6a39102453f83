/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a qcow2 image: tables are loaded and must lie apart from each other before anything is read through them. */
#include "block/qcow2_internal.h"

static enum lodge_err load_table(struct qcow2 *q, uint64_t offset, uint64_t entries, uint64_t **out, struct lodge_error *err)
{
	uint64_t *table = host_alloc(entries * 8, 8);
	enum lodge_err rc;

	if (!table)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	*out = table;
	rc = qcow2_file_read(&q->image.file, offset, table, entries * 8, err);
	for (uint64_t i = 0; rc == LODGE_OK && i < entries; i++)
		table[i] = __builtin_bswap64(table[i]);
	return rc;
}

static enum lodge_err bad(const struct qcow2 *q, struct lodge_error *err, const char *what)
{
	return error_set(err, LODGE_ERR_FORMAT, "'%s' is no valid qcow2 image: %s", q->image.file.name, what);
}

/* ---- tables lie apart ---- */

static void sift_down(uint64_t *a, size_t at, size_t n)
{
	for (;;) {
		size_t child = 2 * at + 1;
		uint64_t swap;

		if (child >= n)
			return;
		child += child + 1 < n && a[child + 1] > a[child];
		if (a[at] >= a[child])
			return;
		swap = a[at];
		a[at] = a[child];
		a[child] = swap;
		at = child;
	}
}

static void sort(uint64_t *a, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(a, i, n);
	for (size_t end = n; end-- > 1;) {
		uint64_t swap = a[0];

		a[0] = a[end];
		a[end] = swap;
		sift_down(a, 0, end);
	}
}

static void add_run(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	for (uint64_t c = offset / q->cluster_bytes; c * q->cluster_bytes < offset + bytes; c++)
		q->metadata[q->nmetadata++] = c;
}

/* Tables that @entries of @table point to; false if one is not at a cluster or not in the file. */
static bool add_pointed(struct qcow2 *q, const uint64_t *table, uint64_t entries, uint64_t mask, uint64_t file_bytes)
{
	for (uint64_t i = 0; i < entries; i++) {
		uint64_t offset = table[i] & mask;

		if (!offset)
			continue;
		if (offset & (q->cluster_bytes - 1) || !range_fits(offset, q->cluster_bytes, align_up(file_bytes, q->cluster_bytes)))
			return false;
		q->metadata[q->nmetadata++] = offset / q->cluster_bytes;
	}
	return true;
}

static enum lodge_err collect_metadata(struct qcow2 *q, uint64_t file_bytes, struct lodge_error *err)
{
	const struct qcow2_header *h = &q->header;

	q->metadata_room = 3 + h->l1_entries * 8 / q->cluster_bytes + h->reftable_clusters + h->l1_entries + q->reftable_entries;
	q->metadata = host_alloc(q->metadata_room * sizeof(*q->metadata), 8);
	if (!q->metadata)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	add_run(q, 0, 1);
	add_run(q, h->l1_offset, h->l1_entries * UINT64_C(8));
	add_run(q, h->reftable_offset, (uint64_t)h->reftable_clusters * q->cluster_bytes);
	if (!add_pointed(q, q->l1, h->l1_entries, QCOW2_OFFSET_MASK, file_bytes) ||
	    !add_pointed(q, q->reftable, q->reftable_entries, ~UINT64_C(0x1ff), file_bytes))
		return bad(q, err, "a table begins inside a cluster or behind the file's end");
	sort(q->metadata, q->nmetadata);
	for (size_t i = 1; i < q->nmetadata; i++)
		if (q->metadata[i] == q->metadata[i - 1])
			return bad(q, err, "two of its tables share a cluster");
	return LODGE_OK;
}

/* ---- opening ---- */

static enum lodge_err judge_use(const struct qcow2 *q, struct lodge_error *err)
{
	const struct qcow2_header *h = &q->header;
	const char *name = q->image.file.name;

	if (h->backing_bytes && !q->backing)
		return error_set(err, LODGE_ERR_ARG, "'%s' is the difference to another image; name that one, too: --disk %s,backing=FILE (`lodge disk info` "
				 "shows what it was made for)", name, name);
	if (!h->backing_bytes && q->backing)
		return error_set(err, LODGE_ERR_ARG, "'%s' is a whole image; it takes no backing file", name);
	if (q->image.read_only)
		return LODGE_OK;
	if (h->snapshots)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' has snapshots inside, which Lodge cannot keep intact; open it with ',ro' or delete them "
				 "with `qemu-img snapshot -d`", name);
	if (h->incompatible & (QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' is marked as damaged or not closed; repair it with `qemu-img check -r all`, or open it with "
				 "',ro'", name);
	return LODGE_OK;
}

static enum lodge_err load(struct qcow2 *q, struct lodge_error *err)
{
	uint64_t file_bytes;
	enum lodge_err rc = qcow2_header_read(&q->image.file, &q->header, &file_bytes, err);

	if (rc == LODGE_OK)
		rc = judge_use(q, err);
	if (rc != LODGE_OK)
		return rc;
	q->cluster_bytes = 1u << q->header.cluster_bits;
	q->l2_entries = q->cluster_bytes / 8;
	q->reftable_entries = (uint64_t)q->header.reftable_clusters * q->cluster_bytes / 8;
	q->image.bytes = q->header.bytes;
	q->next = (align_up(file_bytes, q->cluster_bytes)) / q->cluster_bytes;
	q->slices = host_alloc(QCOW2_SLICES * sizeof(*q->slices), 64);
	q->scratch = host_alloc(q->cluster_bytes, 4096);
	q->unpacked = host_alloc(q->cluster_bytes, 4096);
	if (!q->slices || !q->scratch || !q->unpacked)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	rc = load_table(q, q->header.l1_offset, q->header.l1_entries, &q->l1, err);
	if (rc == LODGE_OK)
		rc = load_table(q, q->header.reftable_offset, q->reftable_entries, &q->reftable, err);
	return rc == LODGE_OK ? collect_metadata(q, file_bytes, err) : rc;
}

/* Whoever wrote extensions that we do not keep up to date (bitmaps) must find them marked as stale. */
static enum lodge_err clear_autoclear(struct qcow2 *q, struct lodge_error *err)
{
	static const uint8_t zeros[8];

	if (q->image.read_only || q->header.version < 3 || !q->header.autoclear)
		return LODGE_OK;
	return qcow2_file_write(&q->image.file, 88, zeros, sizeof(zeros), err);
}

enum lodge_err qcow2_open(struct block_file *file, const struct qcow2_options *options, struct block_image **out, struct lodge_error *err)
{
	struct qcow2 *q = host_alloc(sizeof(*q), 64);
	enum lodge_err rc;

	if (!q) {
		block_image_close(options->backing);
		block_file_close(file);
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	q->image = (struct block_image){ .ops = &qcow2_ops, .file = *file, .read_only = file->read_only };
	q->backing = options->backing;
	q->unpack = options->unpack;
	rc = load(q, err);
	if (rc == LODGE_OK)
		rc = clear_autoclear(q, err);
	if (rc != LODGE_OK) {
		block_image_close(&q->image);
		return rc;
	}
	*out = &q->image;
	return LODGE_OK;
}
