/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest reads and writes of a qcow2 image, in runs: as many clusters as can be
 * treated alike. Where clusters lie is looked up under the lock; data moves
 * without it, except into new clusters, so that two writers of one cluster
 * never both allocate it.
 */
#include "block/qcow2_internal.h"

#define RUN_IOV_MAX 64u

enum run_kind { RUN_ZERO, RUN_BACKING, RUN_DATA, RUN_COMPRESSED };
struct run {
	enum run_kind kind;
	uint64_t bytes; /* of the request */
	uint64_t host;  /* RUN_DATA: where in the file */
	uint64_t entry; /* of the first cluster */
	bool in_place;  /* RUN_DATA: may be written */
};

/* ---- vectors ---- */

/* The part [@skip, @skip+@bytes) of @iov, as far as @out has room; *bytes is cut to what fitted. */
static unsigned iov_part(const struct block_iov *iov, unsigned niov, uint64_t skip, uint64_t *bytes, struct block_iov *out)
{
	uint64_t left = *bytes;
	unsigned n = 0;

	for (unsigned i = 0; i < niov && left && n < RUN_IOV_MAX; i++) {
		size_t part;

		if (skip >= iov[i].len) {
			skip -= iov[i].len;
			continue;
		}
		part = MIN(iov[i].len - skip, left);
		out[n++] = (struct block_iov){ .base = (uint8_t *)iov[i].base + skip, .len = part };
		left -= part;
		skip = 0;
	}
	*bytes -= left;
	return n;
}

static void iov_fill(const struct block_iov *iov, unsigned n, const uint8_t *from)
{
	for (unsigned i = 0; i < n; i++) {
		if (from) {
			memcpy(iov[i].base, from, iov[i].len);
			from += iov[i].len;
		} else {
			memset(iov[i].base, 0, iov[i].len);
		}
	}
}

/* ---- where things are; lock held ---- */

static void classify(const struct qcow2 *q, uint64_t entry, struct run *run)
{
	run->entry = entry;
	run->in_place = false;
	run->host = entry & QCOW2_OFFSET_MASK;
	if (entry & QCOW2_ENTRY_COMPRESSED)
		run->kind = RUN_COMPRESSED;
	else if (entry & QCOW2_ENTRY_ZERO)
		run->kind = RUN_ZERO;
	else if (!run->host)
		run->kind = q->backing ? RUN_BACKING : RUN_ZERO;
	else
		run->kind = RUN_DATA;
	if (run->kind == RUN_DATA)
		run->in_place = entry & QCOW2_ENTRY_COPIED;
}

/* What holds [@offset, @offset+run->bytes), from its start as far as it is of one kind and in one piece. */
static enum lodge_err find_run(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct run *run, struct lodge_error *err)
{
	uint64_t cluster = offset / q->cluster_bytes, inside = offset % q->cluster_bytes, entry;
	enum lodge_err rc = qcow2_entry_get(q, cluster, &entry, err);

	if (rc != LODGE_OK)
		return rc;
	classify(q, entry, run);
	run->bytes = q->cluster_bytes - inside;
	while (run->bytes < bytes && run->kind != RUN_COMPRESSED) {
		struct run next;

		rc = qcow2_entry_get(q, ++cluster, &entry, err);
		if (rc != LODGE_OK)
			return rc;
		classify(q, entry, &next);
		if (next.kind != run->kind || next.in_place != run->in_place)
			break;
		if (run->kind == RUN_DATA && next.host != run->host + inside + run->bytes)
			break;
		run->bytes += q->cluster_bytes;
	}
	run->host += inside;
	run->bytes = MIN(run->bytes, bytes);
	return LODGE_OK;
}

/* ---- reading ---- */

/* A backing image may be shorter than this one. */
static enum lodge_err read_backing(struct qcow2 *q, const struct block_iov *iov, unsigned n, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	uint64_t there = offset < q->backing->bytes ? MIN(bytes, q->backing->bytes - offset) : 0, part = there;
	struct block_iov cut[RUN_IOV_MAX];

	if (there < bytes)
		iov_fill(iov, n, NULL);
	if (!there)
		return LODGE_OK;
	n = iov_part(iov, n, 0, &part, cut);
	return q->backing->ops->read(q->backing, cut, n, offset, there, err);
}

/* The cluster behind @entry into q->unpacked. Lock held. */
static enum lodge_err unpack(struct qcow2 *q, uint64_t entry, struct lodge_error *err)
{
	uint64_t offset, bytes;
	uint8_t *packed;
	bool good;
	enum lodge_err rc;

	if (q->unpacked_entry == entry)
		return LODGE_OK;
	q->unpacked_entry = 0;
	qcow2_compressed_place(q, entry, &offset, &bytes);
	if (!q->unpack)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "compressed clusters cannot be read here");
	packed = host_alloc(bytes, 16); /* up to two clusters */
	if (!packed)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	rc = qcow2_file_read(&q->image.file, offset, packed, bytes, err);
	good = rc == LODGE_OK && q->unpack(q->header.compression, packed, bytes, q->unpacked, q->cluster_bytes);
	host_free(packed);
	if (rc != LODGE_OK)
		return rc;
	if (!good)
		return error_set(err, LODGE_ERR_FORMAT, "a compressed cluster of '%s' cannot be unpacked", q->image.file.name);
	q->unpacked_entry = entry;
	return LODGE_OK;
}

static enum lodge_err read_compressed(struct qcow2 *q, const struct block_iov *iov, unsigned n, uint64_t offset, const struct run *run,
				      struct lodge_error *err)
{
	enum lodge_err rc;

	host_mutex_lock(&q->lock);
	rc = unpack(q, run->entry, err);
	if (rc == LODGE_OK)
		iov_fill(iov, n, q->unpacked + offset % q->cluster_bytes);
	host_mutex_unlock(&q->lock);
	return rc;
}

static enum lodge_err qcow2_read(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
				 struct lodge_error *err)
{
	struct qcow2 *q = qcow2_of(image);
	struct block_iov part[RUN_IOV_MAX];
	enum lodge_err rc = LODGE_OK;

	for (uint64_t done = 0; done < bytes && rc == LODGE_OK;) {
		struct run run;
		unsigned n;

		host_mutex_lock(&q->lock);
		rc = find_run(q, offset + done, bytes - done, &run, err);
		host_mutex_unlock(&q->lock);
		if (rc != LODGE_OK)
			return rc;
		n = iov_part(iov, niov, done, &run.bytes, part);
		if (run.kind == RUN_DATA)
			rc = q->image.file.ops->read(q->image.file.ctx, part, n, run.host, err);
		else if (run.kind == RUN_BACKING)
			rc = read_backing(q, part, n, offset + done, run.bytes, err);
		else if (run.kind == RUN_COMPRESSED)
			rc = read_compressed(q, part, n, offset + done, &run, err);
		else
			iov_fill(part, n, NULL);
		done += run.bytes;
	}
	return rc;
}

/* ---- writing into new clusters; lock held ---- */

/* The old contents of a whole cluster into q->scratch. */
static enum lodge_err read_old(struct qcow2 *q, uint64_t start, const struct run *old, struct lodge_error *err)
{
	struct block_iov whole = { .base = q->scratch, .len = q->cluster_bytes };
	enum lodge_err rc = LODGE_OK;

	if (old->kind == RUN_BACKING)
		return read_backing(q, &whole, 1, start, q->cluster_bytes, err);
	if (old->kind == RUN_DATA)
		return qcow2_file_read(&q->image.file, old->host, q->scratch, q->cluster_bytes, err);
	if (old->kind == RUN_COMPRESSED)
		rc = unpack(q, old->entry, err);
	if (old->kind == RUN_COMPRESSED && rc == LODGE_OK)
		memcpy(q->scratch, q->unpacked, q->cluster_bytes);
	else
		memset(q->scratch, 0, q->cluster_bytes);
	return rc;
}

/* The host clusters that @old took lose a reference, after the table that let go of them is stable. */
static enum lodge_err release_old(struct qcow2 *q, const struct run *old, struct lodge_error *err)
{
	uint64_t offset = old->entry & QCOW2_OFFSET_MASK, bytes = q->cluster_bytes;
	enum lodge_err rc;

	if (old->kind == RUN_COMPRESSED)
		qcow2_compressed_place(q, old->entry, &offset, &bytes);
	if (!offset)
		return LODGE_OK;
	rc = q->image.file.ops->flush(q->image.file.ctx, err);
	return rc == LODGE_OK ? qcow2_release(q, offset, bytes, err) : rc;
}

/* One cluster, of which @iov is the part from @inside on; NULL iov: zeros. */
static enum lodge_err write_new(struct qcow2 *q, uint64_t cluster, uint64_t inside, uint64_t bytes, const struct block_iov *iov, unsigned n,
				struct lodge_error *err)
{
	uint64_t start = cluster * q->cluster_bytes, host, at = inside, entry;
	struct run old;
	bool keeps = bytes < q->cluster_bytes; /* something that may be on stable storage already */
	enum lodge_err rc = qcow2_table_ensure(q, cluster, err);

	if (rc == LODGE_OK)
		rc = qcow2_entry_get(q, cluster, &entry, err);
	if (rc == LODGE_OK)
		rc = qcow2_allocate(q, &host, err);
	if (rc != LODGE_OK)
		return rc;
	classify(q, entry, &old);
	memset(q->scratch, 0, q->cluster_bytes);
	if (keeps)
		rc = read_old(q, start, &old, err);
	for (unsigned i = 0; i < n; i++) {
		memcpy(q->scratch + at, iov[i].base, iov[i].len);
		at += iov[i].len;
	}
	if (!iov)
		memset(q->scratch + inside, 0, bytes);
	if (rc == LODGE_OK)
		rc = qcow2_file_write(&q->image.file, host, q->scratch, q->cluster_bytes, err);
	if (rc == LODGE_OK && keeps && old.kind != RUN_ZERO)
		rc = q->image.file.ops->flush(q->image.file.ctx, err);
	if (rc == LODGE_OK)
		rc = qcow2_entry_set(q, cluster, host | QCOW2_ENTRY_COPIED, err);
	return rc == LODGE_OK ? release_old(q, &old, err) : rc;
}

/* The first cluster of a run that cannot be written in place; run->bytes is cut to what was written. */
static enum lodge_err write_one(struct qcow2 *q, const struct block_iov *iov, unsigned niov, uint64_t done, uint64_t at, struct run *run,
				struct lodge_error *err)
{
	uint64_t inside = at % q->cluster_bytes;
	struct block_iov part[RUN_IOV_MAX];
	unsigned n = 0;

	run->bytes = MIN(run->bytes, q->cluster_bytes - inside);
	if (iov)
		n = iov_part(iov, niov, done, &run->bytes, part);
	return write_new(q, at / q->cluster_bytes, inside, run->bytes, iov ? part : NULL, n, err);
}

static enum lodge_err judge_writable(const struct qcow2 *q, struct lodge_error *err)
{
	if (!q->broken)
		return LODGE_OK;
	return error_set(err, LODGE_ERR_FORMAT, "the qcow2 image '%s' is damaged; nothing is written to it any more", q->image.file.name);
}

/* Find the run at @at, and write its first cluster if that needs a new one. */
static enum lodge_err write_step(struct qcow2 *q, const struct block_iov *iov, unsigned niov, uint64_t done, uint64_t at, uint64_t bytes,
				 struct run *run, struct lodge_error *err)
{
	enum lodge_err rc;

	host_mutex_lock(&q->lock);
	rc = judge_writable(q, err);
	if (rc == LODGE_OK)
		rc = find_run(q, at, bytes, run, err);
	if (rc == LODGE_OK && !run->in_place)
		rc = write_one(q, iov, niov, done, at, run, err);
	host_mutex_unlock(&q->lock);
	return rc;
}

static enum lodge_err qcow2_write(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
				  struct lodge_error *err)
{
	struct qcow2 *q = qcow2_of(image);
	struct block_iov part[RUN_IOV_MAX];
	enum lodge_err rc = LODGE_OK;

	for (uint64_t done = 0; done < bytes && rc == LODGE_OK;) {
		struct run run;

		rc = write_step(q, iov, niov, done, offset + done, bytes - done, &run, err);
		if (rc == LODGE_OK && run.in_place) {
			unsigned n = iov_part(iov, niov, done, &run.bytes, part);

			rc = q->image.file.ops->write(q->image.file.ctx, part, n, run.host, err);
		}
		done += run.bytes;
	}
	return rc;
}

/* ---- zeros and discards ---- */

/* What reads as zeros already stays; a whole cluster becomes one by its flag; the rest is written. */
static enum lodge_err zero_step(struct qcow2 *q, uint64_t at, uint64_t bytes, struct run *run, struct lodge_error *err)
{
	bool whole;
	enum lodge_err rc;

	host_mutex_lock(&q->lock);
	rc = judge_writable(q, err);
	if (rc == LODGE_OK)
		rc = find_run(q, at, bytes, run, err);
	if (rc == LODGE_OK && !run->in_place && run->kind != RUN_ZERO) {
		run->bytes = MIN(run->bytes, q->cluster_bytes - at % q->cluster_bytes);
		whole = run->bytes == q->cluster_bytes && q->header.version >= 3;
		if (!whole)
			rc = write_one(q, NULL, 0, 0, at, run, err);
		else
			rc = qcow2_table_ensure(q, at / q->cluster_bytes, err);
		if (rc == LODGE_OK && whole)
			rc = qcow2_entry_set(q, at / q->cluster_bytes, QCOW2_ENTRY_ZERO, err);
		if (rc == LODGE_OK && whole)
			rc = release_old(q, run, err);
	}
	host_mutex_unlock(&q->lock);
	return rc;
}

static enum lodge_err qcow2_zero(struct block_image *image, uint64_t offset, uint64_t bytes, bool unmap, struct lodge_error *err)
{
	struct qcow2 *q = qcow2_of(image);
	enum lodge_err rc = LODGE_OK;

	for (uint64_t done = 0; done < bytes && rc == LODGE_OK;) {
		struct run run;

		rc = zero_step(q, offset + done, bytes - done, &run, err);
		if (rc == LODGE_OK && run.in_place)
			rc = q->image.file.ops->zero(q->image.file.ctx, run.host, run.bytes, unmap, err);
		done += run.bytes;
	}
	return rc;
}

/* Space goes back to the host; the clusters stay ours. */
static enum lodge_err qcow2_discard(struct block_image *image, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	struct qcow2 *q = qcow2_of(image);
	enum lodge_err rc = LODGE_OK;

	for (uint64_t done = 0; done < bytes && rc == LODGE_OK;) {
		struct run run;

		host_mutex_lock(&q->lock);
		rc = find_run(q, offset + done, bytes - done, &run, err);
		host_mutex_unlock(&q->lock);
		if (rc == LODGE_OK && run.in_place)
			rc = q->image.file.ops->discard(q->image.file.ctx, run.host, run.bytes, err);
		done += run.bytes;
	}
	return rc;
}

static enum lodge_err qcow2_flush(struct block_image *image, struct lodge_error *err)
{
	return image->file.ops->flush(image->file.ctx, err);
}

static void qcow2_close(struct block_image *image)
{
	struct qcow2 *q = qcow2_of(image);
	struct lodge_error ignored = { 0 }; /* a batch that is not given back leaks, no more */

	if (!image->read_only)
		(void)!qcow2_return_batch(q, &ignored);
	block_image_close(q->backing);
	host_free(q->l1);
	host_free(q->reftable);
	host_free(q->slices);
	host_free(q->metadata);
	host_free(q->scratch);
	host_free(q->unpacked);
	host_free(q);
}

const struct block_image_ops qcow2_ops = {
	.format = "qcow2",
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.zero = qcow2_zero,
	.discard = qcow2_discard,
	.close = qcow2_close,
};
