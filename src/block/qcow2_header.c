/* SPDX-License-Identifier: Apache-2.0 */
/* The qcow2 header: read, judged, made. Tables are looked at in qcow2_open.c. */
#include "block/qcow2_internal.h"

#define CLUSTER_BITS_NEW 16u
#define EXTENSION_END 0u

enum lodge_err qcow2_file_read(const struct block_file *file, uint64_t offset, void *buf, size_t len, struct lodge_error *err)
{
	struct block_iov iov = { .base = buf, .len = len };

	return file->ops->read(file->ctx, &iov, 1, offset, err);
}

enum lodge_err qcow2_file_write(const struct block_file *file, uint64_t offset, const void *buf, size_t len, struct lodge_error *err)
{
	struct block_iov iov = { .base = (void *)(uintptr_t)buf, .len = len }; /* a write only reads it */

	return file->ops->write(file->ctx, &iov, 1, offset, err);
}

static enum lodge_err bad(const struct block_file *file, struct lodge_error *err, const char *what)
{
	return error_set(err, LODGE_ERR_FORMAT, "'%s' is no valid qcow2 image: %s", file->name, what);
}

/* Tables start at clusters and lie inside what a file may have. */
static bool table_fits(uint64_t offset, uint64_t bytes, uint64_t cluster_bytes, uint64_t file_bytes)
{
	return offset && !(offset & (cluster_bytes - 1)) && range_fits(offset, bytes, align_up(file_bytes, cluster_bytes));
}

static enum lodge_err judge_features(const struct block_file *file, const struct qcow2_header *h, struct lodge_error *err)
{
	uint64_t unknown = h->incompatible & ~(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_COMPRESSION);

	if (unknown)
		return error_set(err, LODGE_ERR_UNSUPPORTED,
				 "'%s' needs qcow2 features that Lodge does not have (0x%llx: external data files, extended L2 tables); convert it with "
				 "`qemu-img convert -O qcow2`",
				 file->name, (unsigned long long)unknown);
	return LODGE_OK;
}

static enum lodge_err judge(const struct block_file *file, const struct qcow2_header *h, uint64_t file_bytes, struct lodge_error *err)
{
	uint64_t cluster_bytes, covered;

	if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return bad(file, err, "its cluster size is impossible");
	cluster_bytes = UINT64_C(1) << h->cluster_bits;
	if (!h->bytes || h->bytes % BLOCK_SECTOR_BYTES || h->bytes > UINT64_C(1) << 50)
		return bad(file, err, "its size is zero, no number of sectors, or too large");
	covered = (uint64_t)h->l1_entries * (cluster_bytes / 8) * cluster_bytes;
	if (h->l1_entries > QCOW2_L1_ENTRIES_MAX || covered < h->bytes || !table_fits(h->l1_offset, h->l1_entries * UINT64_C(8), cluster_bytes, file_bytes))
		return bad(file, err, "its first table does not cover the disk, or is not in the file");
	if (!h->reftable_clusters || h->reftable_clusters * cluster_bytes > QCOW2_REFTABLE_BYTES_MAX ||
	    !table_fits(h->reftable_offset, h->reftable_clusters * cluster_bytes, cluster_bytes, file_bytes))
		return bad(file, err, "its table of reference counts is not in the file, or too large");
	if (h->refcount_order > 6)
		return bad(file, err, "its reference counts are wider than 64 bits");
	if (h->backing_bytes > QCOW2_BACKING_NAME_MAX || !range_fits(h->backing_offset, h->backing_bytes, MIN(cluster_bytes, file_bytes)))
		return bad(file, err, "the name of its backing file is not in the header's cluster");
	return judge_features(file, h, err);
}

static enum lodge_err parse_v3(const struct block_file *file, struct qcow2_header *h, const uint8_t *raw, struct lodge_error *err)
{
	uint32_t bytes = get_be32(raw + 100);

	h->incompatible = get_be64(raw + 72);
	h->autoclear = get_be64(raw + 88);
	h->refcount_order = get_be32(raw + 96);
	if (bytes < QCOW2_HEADER_V3_BYTES || bytes % 8)
		return bad(file, err, "its header has an impossible length");
	if (h->incompatible & QCOW2_INCOMPAT_COMPRESSION) {
		if (bytes <= QCOW2_HEADER_V3_BYTES || raw[104] > 1)
			return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' is compressed in a way that Lodge does not know", file->name);
		h->compression = raw[104] ? BLOCK_ZSTD : BLOCK_DEFLATE;
	}
	return LODGE_OK;
}

enum lodge_err qcow2_header_read(const struct block_file *file, struct qcow2_header *h, uint64_t *file_bytes, struct lodge_error *err)
{
	uint8_t raw[112];
	enum lodge_err rc = file->ops->size(file->ctx, file_bytes, err);

	if (rc == LODGE_OK)
		rc = qcow2_file_read(file, 0, raw, sizeof(raw), err);
	if (rc != LODGE_OK)
		return rc;
	*h = (struct qcow2_header){
		.version = get_be32(raw + 4),
		.backing_offset = get_be64(raw + 8),
		.backing_bytes = get_be32(raw + 16),
		.cluster_bits = get_be32(raw + 20),
		.bytes = get_be64(raw + 24),
		.l1_entries = get_be32(raw + 36),
		.l1_offset = get_be64(raw + 40),
		.reftable_offset = get_be64(raw + 48),
		.reftable_clusters = get_be32(raw + 56),
		.snapshots = get_be32(raw + 60),
		.refcount_order = 4,
	};
	if (*file_bytes < QCOW2_HEADER_V2_BYTES || get_be32(raw) != QCOW2_MAGIC)
		return bad(file, err, "it does not begin like one");
	if (h->version != 2 && h->version != 3)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' is qcow2 of version %u; Lodge knows 2 and 3", file->name, h->version);
	if (get_be32(raw + 32))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' is encrypted, which Lodge cannot read", file->name);
	if (h->version == 3)
		rc = parse_v3(file, h, raw, err);
	return rc == LODGE_OK ? judge(file, h, *file_bytes, err) : rc;
}

enum lodge_err qcow2_probe(const struct block_file *file, bool *is_qcow2, struct lodge_error *err)
{
	uint8_t raw[8];
	enum lodge_err rc = qcow2_file_read(file, 0, raw, sizeof(raw), err);

	*is_qcow2 = rc == LODGE_OK && get_be32(raw) == QCOW2_MAGIC;
	return rc;
}

enum lodge_err qcow2_inspect(const struct block_file *file, struct qcow2_info *info, struct lodge_error *err)
{
	struct qcow2_header h;
	uint64_t file_bytes;
	enum lodge_err rc = qcow2_header_read(file, &h, &file_bytes, err);

	*info = (struct qcow2_info){ 0 };
	if (rc != LODGE_OK)
		return rc;
	info->version = h.version;
	info->cluster_bytes = 1u << h.cluster_bits;
	info->bytes = h.bytes;
	info->snapshots = h.snapshots;
	info->compression = h.compression;
	info->dirty = h.incompatible & QCOW2_INCOMPAT_DIRTY;
	info->corrupt = h.incompatible & QCOW2_INCOMPAT_CORRUPT;
	return h.backing_bytes ? qcow2_file_read(file, h.backing_offset, info->backing, h.backing_bytes, err) : LODGE_OK;
}

/* Header, L1 table, table of reference counts, one block of them: nothing else, whatever the size. */
enum lodge_err qcow2_create(const struct block_file *file, uint64_t bytes, const char *backing, struct lodge_error *err)
{
	const uint64_t cluster = UINT64_C(1) << CLUSTER_BITS_NEW;
	uint64_t l1_entries = (bytes + cluster * (cluster / 8) - 1) / (cluster * (cluster / 8));
	uint64_t l1_clusters = (l1_entries * 8 + cluster - 1) / cluster, used = 3 + l1_clusters;
	size_t name_bytes = backing ? str_len(backing) : 0;
	uint8_t raw[QCOW2_HEADER_V3_BYTES + 8 + 8] = { 0 };
	uint8_t counts[2 * 64] = { 0 }, entry[8];
	enum lodge_err rc;

	if (!bytes || bytes % BLOCK_SECTOR_BYTES || l1_entries > 50 * cluster / 8)
		return error_set(err, LODGE_ERR_ARG, "a disk of %llu bytes is not possible: give a multiple of 512 up to 200 TiB", (unsigned long long)bytes);
	if (name_bytes > QCOW2_BACKING_NAME_MAX)
		return error_set(err, LODGE_ERR_ARG, "the name of the backing file is longer than %d bytes", QCOW2_BACKING_NAME_MAX);
	put_be32(raw, QCOW2_MAGIC);
	put_be32(raw + 4, 3);
	put_be64(raw + 8, name_bytes ? sizeof(raw) : 0);
	put_be32(raw + 16, (uint32_t)name_bytes);
	put_be32(raw + 20, CLUSTER_BITS_NEW);
	put_be64(raw + 24, bytes);
	put_be32(raw + 36, (uint32_t)l1_entries);
	put_be64(raw + 40, 3 * cluster);
	put_be64(raw + 48, cluster);
	put_be32(raw + 56, 1);
	put_be32(raw + 96, 4);
	put_be32(raw + 100, QCOW2_HEADER_V3_BYTES + 8);
	put_be32(raw + QCOW2_HEADER_V3_BYTES + 8, EXTENSION_END);
	for (uint64_t i = 0; i < used; i++)
		put_be16(counts + 2 * i, 1);
	put_be64(entry, 2 * cluster);
	rc = file->ops->resize(file->ctx, used * cluster, err);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(file, 2 * cluster, counts, sizeof(counts), err);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(file, cluster, entry, sizeof(entry), err);
	if (rc == LODGE_OK && name_bytes)
		rc = qcow2_file_write(file, sizeof(raw), backing, name_bytes, err);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(file, 0, raw, sizeof(raw), err);
	return rc == LODGE_OK ? file->ops->flush(file->ctx, err) : rc;
}
