/* SPDX-License-Identifier: Apache-2.0 */
/* From guest clusters to entries of the second-level tables, through a small cache that is written through. Lock held. */
#include "block/qcow2_internal.h"

enum lodge_err qcow2_corrupt(struct qcow2 *q, struct lodge_error *err, const char *what)
{
	q->broken = true;
	return error_set(err, LODGE_ERR_FORMAT, "the qcow2 image '%s' is damaged (%s); look with `qemu-img check`", q->image.file.name, what);
}

static unsigned slice_entries(const struct qcow2 *q)
{
	return MIN(q->cluster_bytes, QCOW2_SLICE_BYTES) / 8;
}

/* The slice of the table at @table that has entry @index. */
static enum lodge_err slice_get(struct qcow2 *q, uint64_t table, uint64_t index, struct qcow2_slice **out, struct lodge_error *err)
{
	uint64_t offset = table + index / slice_entries(q) * slice_entries(q) * 8;
	struct qcow2_slice *oldest = &q->slices[0];
	enum lodge_err rc;

	for (unsigned i = 0; i < QCOW2_SLICES; i++) {
		struct qcow2_slice *s = &q->slices[i];

		if (s->offset == offset) {
			s->used = ++q->slice_clock;
			*out = s;
			return LODGE_OK;
		}
		if (s->used < oldest->used)
			oldest = s;
	}
	oldest->offset = 0;
	rc = qcow2_file_read(&q->image.file, offset, oldest->entries, slice_entries(q) * 8, err);
	if (rc != LODGE_OK)
		return rc;
	for (unsigned i = 0; i < slice_entries(q); i++)
		oldest->entries[i] = __builtin_bswap64(oldest->entries[i]);
	oldest->offset = offset;
	oldest->used = ++q->slice_clock;
	*out = oldest;
	return LODGE_OK;
}

static uint64_t table_of(const struct qcow2 *q, uint64_t cluster)
{
	return q->l1[cluster / q->l2_entries] & QCOW2_OFFSET_MASK;
}

void qcow2_compressed_place(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes)
{
	unsigned bits = 62 - (q->header.cluster_bits - 8);

	*offset = entry & ((UINT64_C(1) << bits) - 1);
	*bytes = ((entry & (QCOW2_ENTRY_COMPRESSED - 1)) >> bits) * 512 + 512 - *offset % 512;
}

static enum lodge_err judge_entry(struct qcow2 *q, uint64_t entry, struct lodge_error *err)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK, bytes = q->cluster_bytes;

	if (entry & QCOW2_ENTRY_COMPRESSED)
		qcow2_compressed_place(q, entry, &offset, &bytes);
	else if (offset & (q->cluster_bytes - 1))
		return qcow2_corrupt(q, err, "data that begins inside a cluster");
	if (!offset)
		return LODGE_OK;
	for (uint64_t c = offset / q->cluster_bytes; c * q->cluster_bytes < offset + bytes; c++)
		if (qcow2_is_metadata(q, c))
			return qcow2_corrupt(q, err, "data where a table is");
	return LODGE_OK;
}

enum lodge_err qcow2_entry_get(struct qcow2 *q, uint64_t cluster, uint64_t *entry, struct lodge_error *err)
{
	uint64_t table = table_of(q, cluster), index = cluster % q->l2_entries;
	struct qcow2_slice *s;
	enum lodge_err rc;

	*entry = 0;
	if (!table)
		return LODGE_OK;
	rc = slice_get(q, table, index, &s, err);
	if (rc != LODGE_OK)
		return rc;
	*entry = s->entries[index % slice_entries(q)];
	if (q->header.version == 2 && !(*entry & QCOW2_ENTRY_COMPRESSED))
		*entry &= ~QCOW2_ENTRY_ZERO; /* not a flag there */
	return judge_entry(q, *entry, err);
}

enum lodge_err qcow2_entry_set(struct qcow2 *q, uint64_t cluster, uint64_t entry, struct lodge_error *err)
{
	uint64_t table = table_of(q, cluster), index = cluster % q->l2_entries;
	struct qcow2_slice *s;
	uint8_t raw[8];
	enum lodge_err rc = slice_get(q, table, index, &s, err);

	put_be64(raw, entry);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(&q->image.file, table + 8 * index, raw, 8, err);
	if (rc == LODGE_OK)
		s->entries[index % slice_entries(q)] = entry;
	return rc;
}

enum lodge_err qcow2_table_ensure(struct qcow2 *q, uint64_t cluster, struct lodge_error *err)
{
	uint64_t i = cluster / q->l2_entries, offset;
	uint8_t raw[8];
	enum lodge_err rc;

	if (q->l1[i] & QCOW2_ENTRY_COPIED)
		return LODGE_OK;
	if (q->l1[i])
		return error_set(err, LODGE_ERR_UNSUPPORTED, "a table of the image is shared; repair it with `qemu-img check -r all`");
	rc = qcow2_allocate(q, &offset, err);
	if (rc != LODGE_OK)
		return rc;
	memset(q->scratch, 0, q->cluster_bytes);
	rc = qcow2_file_write(&q->image.file, offset, q->scratch, q->cluster_bytes, err);
	/* An empty table on stable storage before the first one points to it: what lay there must not be taken for entries. */
	if (rc == LODGE_OK)
		rc = q->image.file.ops->flush(q->image.file.ctx, err);
	put_be64(raw, offset | QCOW2_ENTRY_COPIED);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(&q->image.file, q->header.l1_offset + 8 * i, raw, 8, err);
	if (rc != LODGE_OK)
		return rc;
	if (!qcow2_add_metadata(q, offset / q->cluster_bytes))
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	q->l1[i] = offset | QCOW2_ENTRY_COPIED;
	return LODGE_OK;
}
