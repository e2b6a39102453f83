/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, whole reads, whole writes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/file.h"
#include "host/linux/linux.h"

static enum lodge_err file_error_code(int os_error)
{
	switch (os_error) {
	case ENOENT:
	case ENOTDIR: return LODGE_ERR_NOT_FOUND;
	case EACCES:
	case EPERM: return LODGE_ERR_PERM;
	default: return LODGE_ERR_IO;
	}
}

/* Opened without blocking (a FIFO would), then known to be a regular file of a size that we want. */
static enum lodge_err file_open(const char *path, const char *what, uint64_t max_bytes, int *fd, uint64_t *bytes,
				struct lodge_error *err)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return error_set_os(err, file_error_code(errno), errno, "cannot open %s '%s'", what, path);
	if (fstat(*fd, &st))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot examine %s '%s'", what, path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, LODGE_ERR_ARG, "%s '%s' is a directory; a file is needed", what, path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, LODGE_ERR_ARG, "%s '%s' is not a regular file", what, path);
	*bytes = (uint64_t)st.st_size;
	if (!*bytes)
		return error_set(err, LODGE_ERR_FORMAT, "%s '%s' is empty", what, path);
	if (*bytes > max_bytes)
		return error_set(err, LODGE_ERR_RANGE, "%s '%s' has %llu bytes; at most %llu are possible", what, path,
				 (unsigned long long)*bytes, (unsigned long long)max_bytes);
	return LODGE_OK;
}

enum lodge_err host_file_load(struct host_file *file, const char *path, const char *what, uint64_t max_bytes,
			      struct lodge_error *err)
{
	struct lodge_error cause = { 0 };
	uint64_t bytes = 0;
	int fd;
	enum lodge_err code = file_open(path, what, max_bytes, &fd, &bytes, err);
	void *p;

	*file = (struct host_file){ 0 };
	if (code)
		goto out;
	p = linux_map_huge(bytes);
	if (!p) {
		code = error_set_os(err, LODGE_ERR_NOMEM, errno, "no memory for %s '%s' of %llu MiB", what, path,
				    (unsigned long long)(bytes >> 20));
		goto out;
	}
	code = host_read_full(fd, p, bytes, &cause);
	if (code) {
		error_set(err, code, "cannot read %s '%s': %s", what, path,
			  code == LODGE_ERR_RANGE ? "it shrank while being read" : cause.text);
		munmap(p, bytes);
		goto out;
	}
	mprotect(p, bytes, PROT_READ);
	*file = (struct host_file){ .data = p, .bytes = bytes };
out:
	if (fd >= 0)
		close(fd);
	return code;
}

void host_file_unload(struct host_file *file)
{
	if (file->data)
		munmap(file->data, file->bytes);
	*file = (struct host_file){ 0 };
}

/* Wait where a non-blocking descriptor is not ready. */
static bool wait_ready(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	while (poll(&pollfd, 1, -1) < 0) {
		if (errno != EINTR)
			return false;
	}
	return true;
}

enum lodge_err host_read_full(int fd, void *buf, size_t len, struct lodge_error *err)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (!n) {
			return error_set(err, LODGE_ERR_RANGE, "unexpected end of file");
		} else if (!wait_ready(fd, POLLIN)) {
			return error_set_os(err, LODGE_ERR_IO, errno, "cannot read");
		}
	}
	return LODGE_OK;
}

enum lodge_err host_write_full(int fd, const void *buf, size_t len, struct lodge_error *err)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (!wait_ready(fd, POLLOUT)) {
			return error_set_os(err, LODGE_ERR_IO, errno, "cannot write");
		}
	}
	return LODGE_OK;
}

enum lodge_err host_fd_set_nonblocking(int fd, bool on, struct lodge_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot change a descriptor's mode");
	return LODGE_OK;
}
