/* SPDX-License-Identifier: Apache-2.0 */
/* Directories; see directory.h. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/directory.h"

enum lodge_err host_directory_make(const char *path, struct lodge_error *err)
{
	char *part = strdup(path);
	enum lodge_err rc = LODGE_OK;

	if (!part)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	for (char *slash = part; slash && rc == LODGE_OK;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = 0;
		if (mkdir(part, 0777) && errno != EEXIST)
			rc = error_set_os(err, LODGE_ERR_IO, errno, "cannot make the directory '%s'", part);
		if (slash)
			*slash = '/';
	}
	free(part);
	return rc;
}

static FTS *walk(const char *path)
{
	char *const paths[] = { (char *)(uintptr_t)path, NULL };

	return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
}

enum lodge_err host_tree_remove(const char *path, struct lodge_error *err)
{
	struct stat st;
	FTS *tree;
	int failed = 0;

	if (lstat(path, &st))
		return errno == ENOENT ? LODGE_OK : error_set_os(err, LODGE_ERR_IO, errno, "cannot remove '%s'", path);
	tree = walk(path);
	for (FTSENT *e; tree && (e = fts_read(tree));)
		if (e->fts_info != FTS_D && (e->fts_info == FTS_DP ? rmdir(e->fts_accpath) : unlink(e->fts_accpath)))
			failed = errno;
	if (tree)
		fts_close(tree);
	return failed || !tree ? error_set_os(err, LODGE_ERR_IO, failed ? failed : errno, "cannot remove all of '%s'", path) : LODGE_OK;
}

uint64_t host_tree_bytes(const char *path)
{
	FTS *tree = walk(path);
	uint64_t bytes = 0;

	for (FTSENT *e; tree && (e = fts_read(tree));)
		if (e->fts_info == FTS_F || e->fts_info == FTS_D)
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	if (tree)
		fts_close(tree);
	return bytes;
}

bool host_file_info(const char *path, struct host_file_info *out)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	*out = (struct host_file_info){ .bytes = (uint64_t)st.st_size, .taken_bytes = (uint64_t)st.st_blocks * 512, .modified = (uint64_t)st.st_mtime,
					.directory = S_ISDIR(st.st_mode) };
	return true;
}

int host_lock_take(const char *path, struct lodge_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0) {
		error_set_os(err, LODGE_ERR_IO, errno, "cannot open '%s'", path);
	} else if (flock(fd, LOCK_EX | LOCK_NB)) {
		error_set_os(err, LODGE_ERR_BUSY, errno, "another lodge works on it: '%s' is locked", path);
		close(fd);
		fd = -1;
	}
	return fd;
}
