/* SPDX-License-Identifier: Apache-2.0 */
/* A disk image's file: positioned vectored transfers, holes, and a lock. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/block_file.h"
#include "host/host_ops.h"

#define BATCH 64 /* vectors a system call */
#define ZERO_CHUNK_BYTES KIB(256)

struct linux_block_file {
	int fd;
};

/* Where a transfer stands in its vectors. */
struct cursor {
	const struct block_iov *iov;
	unsigned n;
	size_t skip; /* of the first one */
};

static int cursor_batch(const struct cursor *c, struct iovec *out)
{
	int n = 0;

	for (; n < BATCH && (unsigned)n < c->n; n++)
		out[n] = (struct iovec){ .iov_base = (uint8_t *)c->iov[n].base + (n ? 0 : c->skip), .iov_len = c->iov[n].len - (n ? 0 : c->skip) };
	return n;
}

static void cursor_advance(struct cursor *c, size_t bytes)
{
	bytes += c->skip;
	while (c->n && bytes >= c->iov->len) {
		bytes -= c->iov->len;
		c->iov++;
		c->n--;
	}
	c->skip = bytes;
}

static void cursor_clear(const struct cursor *c)
{
	for (unsigned i = 0; i < c->n; i++)
		memset((uint8_t *)c->iov[i].base + (i ? 0 : c->skip), 0, c->iov[i].len - (i ? 0 : c->skip));
}

static enum lodge_err file_read(void *ctx, const struct block_iov *iov, unsigned niov, uint64_t offset, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;
	struct cursor c = { .iov = iov, .n = niov };
	struct iovec batch[BATCH];

	while (c.n) {
		ssize_t n = preadv(f->fd, batch, cursor_batch(&c, batch), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_os(err, LODGE_ERR_IO, errno, "cannot read");
		if (!n) {
			cursor_clear(&c);
			break;
		}
		cursor_advance(&c, (size_t)n);
		offset += (uint64_t)n;
	}
	return LODGE_OK;
}

static enum lodge_err file_write(void *ctx, const struct block_iov *iov, unsigned niov, uint64_t offset, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;
	struct cursor c = { .iov = iov, .n = niov };
	struct iovec batch[BATCH];

	while (c.n) {
		ssize_t n = pwritev(f->fd, batch, cursor_batch(&c, batch), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set_os(err, LODGE_ERR_IO, n ? errno : ENOSPC, "cannot write");
		cursor_advance(&c, (size_t)n);
		offset += (uint64_t)n;
	}
	return LODGE_OK;
}

static enum lodge_err file_flush(void *ctx, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;

	return fdatasync(f->fd) ? error_set_os(err, LODGE_ERR_IO, errno, "cannot flush") : LODGE_OK;
}

static bool host_cannot(int os_error)
{
	return os_error == EOPNOTSUPP || os_error == ENOSYS || os_error == EINVAL || os_error == ENODEV;
}

static int allocate(const struct linux_block_file *f, int mode, uint64_t offset, uint64_t bytes)
{
	int rc;

	do {
		rc = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
	} while (rc && errno == EINTR);
	return rc ? errno : 0;
}

static enum lodge_err write_zeros(void *ctx, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	void *zeros = host_alloc_sparse(ZERO_CHUNK_BYTES);
	enum lodge_err rc = LODGE_OK;

	if (!zeros)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	while (bytes && rc == LODGE_OK) {
		struct block_iov iov = { .base = zeros, .len = MIN(bytes, ZERO_CHUNK_BYTES) };

		rc = file_write(ctx, &iov, 1, offset, err);
		offset += iov.len;
		bytes -= iov.len;
	}
	host_free_sparse(zeros, ZERO_CHUNK_BYTES);
	return rc;
}

static enum lodge_err file_zero(void *ctx, uint64_t offset, uint64_t bytes, bool unmap, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;
	int os_error = unmap ? allocate(f, FALLOC_FL_PUNCH_HOLE, offset, bytes) : EOPNOTSUPP;

	if (host_cannot(os_error))
		os_error = allocate(f, FALLOC_FL_ZERO_RANGE, offset, bytes);
	if (host_cannot(os_error))
		return write_zeros(ctx, offset, bytes, err);
	return os_error ? error_set_os(err, LODGE_ERR_IO, os_error, "cannot write zeros") : LODGE_OK;
}

static enum lodge_err file_discard(void *ctx, uint64_t offset, uint64_t bytes, struct lodge_error *err)
{
	int os_error = allocate(ctx, FALLOC_FL_PUNCH_HOLE, offset, bytes);

	return os_error && !host_cannot(os_error) ? error_set_os(err, LODGE_ERR_IO, os_error, "cannot discard") : LODGE_OK;
}

static enum lodge_err file_size(void *ctx, uint64_t *bytes, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;
	struct stat st;

	if (fstat(f->fd, &st))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot tell the size of a disk image");
	*bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(f->fd, BLKGETSIZE64, bytes))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot tell the size of a block device");
	return LODGE_OK;
}

static enum lodge_err file_resize(void *ctx, uint64_t bytes, struct lodge_error *err)
{
	const struct linux_block_file *f = ctx;

	return ftruncate(f->fd, (off_t)bytes) ? error_set_os(err, LODGE_ERR_IO, errno, "cannot change the file's size") : LODGE_OK;
}

static void file_close(void *ctx)
{
	struct linux_block_file *f = ctx;

	close(f->fd);
	host_free(f);
}

static const struct block_file_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.zero = file_zero,
	.discard = file_discard,
	.size = file_size,
	.resize = file_resize,
	.close = file_close,
};

static enum lodge_err check_and_lock(int fd, const char *path, bool read_only, struct lodge_error *err)
{
	struct flock lock = { .l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	if (fstat(fd, &st))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot examine the disk image '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, LODGE_ERR_ARG, "'%s' is neither a file nor a block device, so it cannot be a disk", path);
	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return LODGE_OK;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, LODGE_ERR_BUSY, "the disk image '%s' is in use by another machine; stop that one, or use a copy%s", path,
				 read_only ? "" : " or ',ro' in both");
	return LODGE_OK; /* a file system without locks */
}

enum lodge_err host_block_file_open(const char *path, bool read_only, struct block_file *out, struct lodge_error *err)
{
	/* Non-blocking so that a pipe is an error and not a long wait; files do not care. */
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	struct linux_block_file *f;
	enum lodge_err rc;

	if (fd < 0)
		return error_set_os(err, errno == ENOENT ? LODGE_ERR_NOT_FOUND : LODGE_ERR_IO, errno, "cannot open the disk image '%s'%s", path,
				    !read_only && (errno == EACCES || errno == EROFS) ? " for writing (with ',ro' it need not be)" : "");
	rc = check_and_lock(fd, path, read_only, err);
	f = rc == LODGE_OK ? host_alloc(sizeof(*f), _Alignof(struct linux_block_file)) : NULL;
	if (!f) {
		close(fd);
		return rc != LODGE_OK ? rc : error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	f->fd = fd;
	*out = (struct block_file){ .ops = &file_ops, .ctx = f, .read_only = read_only, .name = path };
	return LODGE_OK;
}
