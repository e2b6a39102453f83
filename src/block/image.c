/* SPDX-License-Identifier: Apache-2.0 */
/* What all image formats share. */
#include "block/image.h"

#include "base/checked.h"
#include "host/host_ops.h"

void block_file_close(struct block_file *file)
{
	if (file->ops)
		file->ops->close(file->ctx);
	*file = (struct block_file){ 0 };
}

void block_image_close(struct block_image *image)
{
	struct block_file file;

	if (!image)
		return;
	file = image->file;
	image->ops->close(image);
	block_file_close(&file);
}

static enum lodge_err run_write(struct block_image *image, const struct block_request *r, struct lodge_error *err)
{
	enum lodge_err rc;

	if (image->read_only)
		return error_set(err, LODGE_ERR_PERM, "the disk is read-only");
	if (r->op == BLOCK_DISCARD)
		rc = image->ops->discard(image, r->offset, r->bytes, err);
	else if (r->op == BLOCK_WRITE_ZEROES)
		rc = image->ops->zero(image, r->offset, r->bytes, r->may_unmap, err);
	else
		rc = image->ops->write(image, r->iov, r->niov, r->offset, r->bytes, err);
	return rc == LODGE_OK && r->stable ? image->ops->flush(image, err) : rc;
}

enum lodge_err block_image_run(struct block_image *image, const struct block_request *r, struct lodge_error *err)
{
	if (r->op == BLOCK_FLUSH)
		return image->read_only ? LODGE_OK : image->ops->flush(image, err);
	if (!range_fits(r->offset, r->bytes, image->bytes))
		return error_set(err, LODGE_ERR_RANGE, "a request beyond the disk's end");
	if (!r->bytes)
		return LODGE_OK;
	if (r->op == BLOCK_READ)
		return image->ops->read(image, r->iov, r->niov, r->offset, r->bytes, err);
	return run_write(image, r, err);
}
