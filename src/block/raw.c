/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: the file is the disk. A last sector that the file has only in part reads as zeros behind the file's end. */
#include "base/checked.h"
#include "block/image.h"
#include "host/host_ops.h"

static enum lodge_err raw_read(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
			       struct lodge_error *err)
{
	(void)bytes;
	return image->file.ops->read(image->file.ctx, iov, niov, offset, err);
}

static enum lodge_err raw_write(struct block_image *image, const struct block_iov *iov, unsigned niov, uint64_t offset, uint64_t bytes,
				struct lodge_error *err)
{
	(void)bytes;
	return image->file.ops->write(image->file.ctx, iov, niov, offset, err);
}

static enum lodge_err raw_flush(struct block_image *image, struct lodge_error *err)
{
	return image->file.ops->flush(image->file.ctx, err);
}

static enum lodge_err raw_zero(struct block_image *image, uint64_t offset, uint64_t bytes, bool unmap, struct lodge_error *err)
{
	return image->file.ops->zero(image->file.ctx, offset, bytes, unmap, err);
}

static enum lodge_err raw_discard(struct block_image *image, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	return image->file.ops->discard(image->file.ctx, offset, bytes, err);
}

static void raw_close(struct block_image *image)
{
	host_free(image);
}

static const struct block_image_ops raw_ops = {
	.format = "raw",
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.zero = raw_zero,
	.discard = raw_discard,
	.close = raw_close,
};

enum lodge_err raw_open(struct block_file *file, struct block_image **out, struct lodge_error *err)
{
	struct block_image *image = host_alloc(sizeof(*image), _Alignof(struct block_image));
	uint64_t bytes = 0;
	enum lodge_err rc;

	if (!image) {
		block_file_close(file);
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	*image = (struct block_image){ .ops = &raw_ops, .file = *file, .read_only = file->read_only };
	rc = file->ops->size(file->ctx, &bytes, err);
	if (rc == LODGE_OK && !bytes)
		rc = error_set(err, LODGE_ERR_FORMAT, "the disk image '%s' is empty: give it a size with `truncate -s SIZE FILE`", file->name);
	if (rc == LODGE_OK && bytes > INT64_MAX - BLOCK_SECTOR_BYTES)
		rc = error_set(err, LODGE_ERR_FORMAT, "the disk image '%s' is too large", file->name);
	if (rc != LODGE_OK) {
		block_image_close(image);
		return rc;
	}
	image->bytes = align_up(bytes, BLOCK_SECTOR_BYTES);
	*out = image;
	return LODGE_OK;
}
