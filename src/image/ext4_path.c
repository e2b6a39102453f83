/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and symbolic links. Directories are read from front to back; the
 * nodes of a hashed one look like blocks of unused entries then, on purpose.
 */
#include "base/mem.h"
#include "image/ext4_internal.h"

#define ENTRY_HEAD_BYTES 8u
#define DIRECTORY_BYTES_MAX MIB(16) /* larger ones are no system's /boot */
#define LINKS_MAX 8u
#define PATH_BYTES 4096u

/* One block of a directory. *number stays 0 if @name is not in it. */
static enum lodge_err block_search(const struct ext4 *fs, const uint8_t *block, const char *name, size_t name_bytes, uint32_t *number,
				   struct lodge_error *err)
{
	uint32_t at = 0;

	while (at < fs->block_bytes) {
		const uint8_t *e = block + at;
		uint32_t left = fs->block_bytes - at, len;

		if (left < ENTRY_HEAD_BYTES)
			return ext4_damaged(fs, err, "an entry of a directory leaves its block");
		len = get_le16(e + 4);
		if (fs->block_bytes == EXT4_BLOCK_BYTES_MAX && (len == 0 || len == 0xffff)) /* 64 KiB do not fit into 16 bits */
			len = EXT4_BLOCK_BYTES_MAX;
		if (len < ENTRY_HEAD_BYTES || len % 4 || len > left || e[6] > len - ENTRY_HEAD_BYTES)
			return ext4_damaged(fs, err, "an entry of a directory has an impossible length");
		if (get_le32(e) && e[6] == name_bytes && !memcmp(e + ENTRY_HEAD_BYTES, name, name_bytes)) {
			*number = get_le32(e);
			return LODGE_OK;
		}
		at += len;
	}
	return LODGE_OK;
}

static enum lodge_err directory_search(struct ext4 *fs, const struct ext4_inode *dir, const char *name, size_t name_bytes, uint32_t *number,
				       struct lodge_error *err)
{
	uint64_t blocks = dir->bytes / fs->block_bytes;

	if (dir->bytes > DIRECTORY_BYTES_MAX)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "a directory in '%s' is larger than Lodge reads (16 MiB)", fs->name);
	*number = 0;
	for (uint64_t i = 0; i < blocks && !*number; i++) {
		enum lodge_err rc = ext4_read_file(fs, dir, i, 1, fs->listing, err);

		if (rc == LODGE_OK)
			rc = block_search(fs, fs->listing, name, name_bytes, number, err);
		if (rc != LODGE_OK)
			return rc;
	}
	return LODGE_OK;
}

/* Let @path be the link's text with what followed the link, @rest, behind it. */
static enum lodge_err link_follow(struct ext4 *fs, const struct ext4_inode *link, char *path, const char *rest, struct lodge_error *err)
{
	size_t rest_bytes = str_len(rest), text_bytes = (size_t)link->bytes;
	bool inside = !(link->flags & EXT4_FL_EXTENTS) && link->bytes < EXT4_BLOCK_AREA_BYTES;
	enum lodge_err rc;

	/* The one slash and the end. */
	if (!link->bytes || link->bytes >= fs->block_bytes || link->bytes + rest_bytes + 2 > PATH_BYTES)
		return error_set(err, LODGE_ERR_FORMAT, "a symbolic link in '%s' is empty or too long", fs->name);
	memmove(path + text_bytes + 1, rest, rest_bytes + 1);
	if (inside) {
		memcpy(path, link->area, text_bytes);
	} else {
		if (!(link->flags & EXT4_FL_EXTENTS))
			return error_set(err, LODGE_ERR_UNSUPPORTED, "a symbolic link in '%s' has no extents (made as ext2 or ext3?)", fs->name);
		rc = ext4_read_file(fs, link, 0, 1, fs->listing, err);
		if (rc != LODGE_OK)
			return rc;
		memcpy(path, fs->listing, text_bytes);
	}
	path[text_bytes] = '/';
	if (str_len(path) != text_bytes + 1 + rest_bytes)
		return ext4_damaged(fs, err, "a symbolic link has a zero inside");
	return LODGE_OK;
}

enum lodge_err ext4_resolve(struct ext4 *fs, const char *path, struct ext4_inode *out, struct lodge_error *err)
{
	char left[PATH_BYTES];
	const char *at = left;
	unsigned links = 0;
	uint32_t here = EXT4_ROOT_INODE;
	enum lodge_err rc = ext4_inode_read(fs, here, out, err);

	if (rc == LODGE_OK && !str_copy(left, sizeof(left), path))
		rc = error_set(err, LODGE_ERR_ARG, "the path is too long");
	while (rc == LODGE_OK) {
		struct ext4_inode dir = *out;
		uint32_t number = 0;
		size_t len = 0;

		while (*at == '/')
			at++;
		while (at[len] && at[len] != '/')
			len++;
		if (!len)
			return LODGE_OK;
		if (dir.kind != EXT4_DIRECTORY)
			return error_set(err, LODGE_ERR_NOT_FOUND, "'%s' has no %s: there is no directory on the way", fs->name, path);
		rc = directory_search(fs, &dir, at, len, &number, err);
		if (rc == LODGE_OK && !number)
			return error_set(err, LODGE_ERR_NOT_FOUND, "'%s' has no %s", fs->name, path);
		if (rc == LODGE_OK)
			rc = ext4_inode_read(fs, number, out, err);
		at += len;
		if (rc != LODGE_OK || out->kind != EXT4_SYMLINK) {
			here = number;
			continue;
		}
		if (++links > LINKS_MAX)
			return error_set(err, LODGE_ERR_FORMAT, "%s in '%s' leads through more than %u symbolic links", path, fs->name, LINKS_MAX);
		rc = link_follow(fs, out, left, at, err);
		at = left;
		if (rc == LODGE_OK && *left == '/')
			here = EXT4_ROOT_INODE;
		if (rc == LODGE_OK) /* a link is relative to the directory that it is in */
			rc = ext4_inode_read(fs, here, out, err);
	}
	return rc;
}
