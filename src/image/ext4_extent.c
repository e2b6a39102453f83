/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extent trees: where a file's blocks are. The root is in the inode, each other
 * node fills a block. A node's depth is one less than its parent's, so that a
 * walk ends however the nodes refer to each other.
 */
#include "base/mem.h"
#include "image/ext4_internal.h"

#define EXTENT_MAGIC 0xf30au
#define EXTENT_BYTES 12u
#define EXTENT_DEPTH_MAX 5u
#define EXTENT_UNWRITTEN 32768u /* lengths above are of blocks allocated but not written */

struct extent_header {
	unsigned entries, depth;
};

static enum lodge_err header_parse(const struct ext4 *fs, const uint8_t *node, size_t node_bytes, struct extent_header *out, struct lodge_error *err)
{
	out->entries = get_le16(node + 2);
	out->depth = get_le16(node + 6);
	if (get_le16(node) != EXTENT_MAGIC)
		return ext4_damaged(fs, err, "a node of an extent tree has no magic number");
	if (out->entries > node_bytes / EXTENT_BYTES - 1 || out->depth > EXTENT_DEPTH_MAX)
		return ext4_damaged(fs, err, "a node of an extent tree has an impossible size or depth");
	return LODGE_OK;
}

/*
 * The last entry that starts at or before @logical, -1 if none; *next is where
 * the following one starts, unless *next is before that.
 */
static enum lodge_err entry_find(const struct ext4 *fs, const uint8_t *node, unsigned entries, uint64_t logical, int *found, uint64_t *next,
				 struct lodge_error *err)
{
	*found = -1;
	for (unsigned i = 0; i < entries; i++) {
		const uint8_t *e = node + EXTENT_BYTES * (i + 1);
		uint32_t start = get_le32(e);

		if (i && start <= get_le32(e - EXTENT_BYTES))
			return ext4_damaged(fs, err, "the entries of an extent tree are not in order");
		if (start > logical) {
			*next = MIN(*next, start);
			return LODGE_OK;
		}
		*found = (int)i;
	}
	return LODGE_OK;
}

static void leaf_map(const uint8_t *e, uint64_t logical, uint64_t next, struct ext4_run *out)
{
	uint64_t start = get_le32(e), len = get_le16(e + 4);
	bool unwritten = len > EXTENT_UNWRITTEN;

	len -= unwritten ? EXTENT_UNWRITTEN : 0;
	if (logical - start >= len) { /* behind it: a hole */
		*out = (struct ext4_run){ .count = next - logical };
		return;
	}
	out->block = unwritten ? 0 : ((uint64_t)get_le16(e + 6) << 32 | get_le32(e + 8)) + (logical - start);
	out->count = MIN(start + len, next) - logical;
}

enum lodge_err ext4_map(struct ext4 *fs, const struct ext4_inode *inode, uint64_t logical, uint64_t most, struct ext4_run *out,
			struct lodge_error *err)
{
	const uint8_t *node = inode->area;
	uint64_t next = logical + most;
	struct extent_header h;
	enum lodge_err rc = header_parse(fs, node, EXT4_BLOCK_AREA_BYTES, &h, err);
	int found;

	if (rc != LODGE_OK)
		return rc;
	for (unsigned depth = h.depth;; depth--) {
		const uint8_t *e;

		rc = entry_find(fs, node, h.entries, logical, &found, &next, err);
		if (rc != LODGE_OK)
			return rc;
		e = node + EXTENT_BYTES * (unsigned)(found + 1);
		if (found < 0) {
			*out = (struct ext4_run){ .count = next - logical };
			return LODGE_OK;
		}
		if (!depth)
			break;
		rc = ext4_read_blocks(fs, (uint64_t)get_le16(e + 8) << 32 | get_le32(e + 4), 1, fs->scratch, err);
		node = fs->scratch;
		if (rc == LODGE_OK)
			rc = header_parse(fs, node, fs->block_bytes, &h, err);
		if (rc == LODGE_OK && h.depth != depth - 1)
			rc = ext4_damaged(fs, err, "the levels of an extent tree do not count down");
		if (rc != LODGE_OK)
			return rc;
	}
	leaf_map(node + EXTENT_BYTES * (unsigned)(found + 1), logical, next, out);
	return LODGE_OK;
}

enum lodge_err ext4_read_file(struct ext4 *fs, const struct ext4_inode *inode, uint64_t logical, uint64_t count, uint8_t *buf, struct lodge_error *err)
{
	while (count) {
		struct ext4_run run;
		enum lodge_err rc = ext4_map(fs, inode, logical, count, &run, err);

		if (rc == LODGE_OK && !run.block)
			memset(buf, 0, run.count * fs->block_bytes);
		else if (rc == LODGE_OK)
			rc = ext4_read_blocks(fs, run.block, run.count, buf, err);
		if (rc != LODGE_OK)
			return rc;
		logical += run.count;
		count -= run.count;
		buf += run.count * fs->block_bytes;
	}
	return LODGE_OK;
}
