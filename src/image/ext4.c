/* SPDX-License-Identifier: Apache-2.0 */
/* The ext4 reader's door: the superblock is judged here, and where inodes are. */
#include "image/ext4.h"

#include "base/mem.h"
#include "host/host_ops.h"
#include "image/ext4_internal.h"

#define SUPERBLOCK_OFFSET 1024u
#define SUPERBLOCK_BYTES 1024u
#define SUPERBLOCK_MAGIC 0xef53u

#define READS_PER_LOAD (4u << 20) /* a file of 512 MiB that has no two blocks in a row stays below */

/* s_feature_incompat: what a reader has to know. */
#define INCOMPAT_FILETYPE 0x2u
#define INCOMPAT_RECOVER 0x4u
#define INCOMPAT_EXTENTS 0x40u
#define INCOMPAT_64BIT 0x80u
#define INCOMPAT_MMP 0x100u
#define INCOMPAT_FLEX_BG 0x200u
#define INCOMPAT_EA_INODE 0x400u
#define INCOMPAT_CSUM_SEED 0x2000u
#define INCOMPAT_LARGEDIR 0x4000u
#define INCOMPAT_INLINE_DATA 0x8000u /* judged inode by inode, as is encryption */
#define INCOMPAT_ENCRYPT 0x10000u
#define INCOMPAT_CASEFOLD 0x20000u
#define INCOMPAT_KNOWN                                                                                                                         \
	(INCOMPAT_FILETYPE | INCOMPAT_RECOVER | INCOMPAT_EXTENTS | INCOMPAT_64BIT | INCOMPAT_MMP | INCOMPAT_FLEX_BG | INCOMPAT_EA_INODE |      \
	 INCOMPAT_CSUM_SEED | INCOMPAT_LARGEDIR | INCOMPAT_INLINE_DATA | INCOMPAT_ENCRYPT | INCOMPAT_CASEFOLD)

enum lodge_err ext4_damaged(const struct ext4 *fs, struct lodge_error *err, const char *what)
{
	return error_set(err, LODGE_ERR_FORMAT, "the file system in '%s' is damaged: %s; `e2fsck` says more", fs->name, what);
}

static enum lodge_err read_bytes(struct ext4 *fs, uint64_t offset, uint64_t bytes, void *buf, struct lodge_error *err)
{
	struct block_iov iov = { .base = buf, .len = bytes };
	struct block_request r = { .op = BLOCK_READ, .offset = offset, .bytes = bytes, .iov = &iov, .niov = 1 };

	return block_image_run(fs->image, &r, err);
}

enum lodge_err ext4_read_blocks(struct ext4 *fs, uint64_t block, uint64_t count, void *buf, struct lodge_error *err)
{
	if (!block || !range_fits(block, count, fs->blocks))
		return ext4_damaged(fs, err, "something is said to be behind its end");
	if (!fs->reads_left)
		return ext4_damaged(fs, err, "it leads in circles, or is scattered beyond measure");
	fs->reads_left--;
	return read_bytes(fs, block * fs->block_bytes, count * fs->block_bytes, buf, err);
}

/* ---- superblock ---- */

static enum lodge_err judge_features(const struct ext4 *fs, const uint8_t *s, struct lodge_error *err)
{
	uint32_t incompat = get_le32(s + 0x60);

	if (!(incompat & INCOMPAT_EXTENTS))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "the file system in '%s' is ext2 or ext3, without extents; Lodge reads ext4", fs->name);
	if (incompat & ~INCOMPAT_KNOWN)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "the file system in '%s' has features that Lodge does not read (0x%x)", fs->name,
				 incompat & ~INCOMPAT_KNOWN);
	return LODGE_OK;
}

static enum lodge_err judge_geometry(struct ext4 *fs, const uint8_t *s, struct lodge_error *err)
{
	uint32_t log_block = get_le32(s + 0x18), first = get_le32(s + 0x14), per_group = get_le32(s + 0x20);
	uint64_t groups;

	if (log_block > 6)
		return ext4_damaged(fs, err, "its block size is impossible");
	fs->block_bytes = 1024u << log_block;
	fs->blocks = get_le32(s + 0x4) | (fs->wide ? (uint64_t)get_le32(s + 0x150) << 32 : 0);
	if (fs->blocks < 8 || fs->blocks > fs->image->bytes / fs->block_bytes)
		return ext4_damaged(fs, err, "it is larger than its disk, or has nearly no blocks");
	if (first != (log_block ? 0 : 1) || !per_group || per_group > 8 * fs->block_bytes)
		return ext4_damaged(fs, err, "its groups are impossible");
	groups = (fs->blocks - first + per_group - 1) / per_group;

	fs->inodes = get_le32(s + 0x0);
	fs->inodes_per_group = get_le32(s + 0x28);
	fs->inode_bytes = get_le32(s + 0x4c) ? get_le16(s + 0x58) : 128;
	if (!fs->inodes_per_group || fs->inodes_per_group > 8 * fs->block_bytes || fs->inodes > groups * fs->inodes_per_group ||
	    fs->inode_bytes < 128 || fs->inode_bytes > fs->block_bytes || !is_pow2(fs->inode_bytes))
		return ext4_damaged(fs, err, "its inodes have an impossible number or size");

	fs->descriptor_bytes = fs->wide ? get_le16(s + 0xfe) : 32;
	if (fs->descriptor_bytes < (fs->wide ? 64u : 32u) || fs->descriptor_bytes > 1024 || !is_pow2(fs->descriptor_bytes))
		return ext4_damaged(fs, err, "the descriptors of its groups have an impossible size");
	fs->descriptors_block = first + 1;
	return LODGE_OK;
}

static enum lodge_err superblock_read(struct ext4 *fs, struct lodge_error *err)
{
	uint8_t s[SUPERBLOCK_BYTES];
	enum lodge_err rc;

	if (fs->image->bytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' is too small for a file system", fs->name);
	rc = read_bytes(fs, SUPERBLOCK_OFFSET, sizeof(s), s, err);
	if (rc != LODGE_OK)
		return rc;
	if (get_le16(s + 0x38) != SUPERBLOCK_MAGIC)
		return error_set(err, LODGE_ERR_UNSUPPORTED, "'%s' does not hold an ext4 file system that fills the disk; give the kernel with --kernel",
				 fs->name);
	fs->wide = get_le32(s + 0x60) & INCOMPAT_64BIT;
	rc = judge_features(fs, s, err);
	return rc == LODGE_OK ? judge_geometry(fs, s, err) : rc;
}

enum lodge_err ext4_open(struct block_image *image, const char *name, struct ext4 **out, struct lodge_error *err)
{
	struct ext4 *fs = host_alloc(sizeof(*fs), _Alignof(struct ext4));
	enum lodge_err rc;

	if (!fs)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	*fs = (struct ext4){ .image = image, .name = name };
	rc = superblock_read(fs, err);
	if (rc == LODGE_OK) {
		fs->scratch = host_alloc(fs->block_bytes, 4096);
		fs->listing = host_alloc(fs->block_bytes, 4096);
		if (!fs->scratch || !fs->listing)
			rc = error_set(err, LODGE_ERR_NOMEM, "out of memory");
	}
	if (rc != LODGE_OK) {
		ext4_close(fs);
		return rc;
	}
	*out = fs;
	return LODGE_OK;
}

void ext4_close(struct ext4 *fs)
{
	if (!fs)
		return;
	host_free(fs->scratch);
	host_free(fs->listing);
	host_free(fs);
}

/* ---- inodes ---- */

static enum ext4_kind kind_of(uint16_t mode)
{
	switch (mode & 0xf000) {
	case 0x8000: return EXT4_REGULAR;
	case 0x4000: return EXT4_DIRECTORY;
	case 0xa000: return EXT4_SYMLINK;
	default: return EXT4_OTHER;
	}
}

static enum lodge_err inode_parse(const struct ext4 *fs, uint32_t number, const uint8_t *raw, struct ext4_inode *out, struct lodge_error *err)
{
	out->kind = kind_of(get_le16(raw));
	out->flags = get_le32(raw + 0x20);
	out->bytes = get_le32(raw + 0x4) | (uint64_t)get_le32(raw + 0x6c) << 32;
	memcpy(out->area, raw + 0x28, sizeof(out->area));
	if (!get_le16(raw + 0x1a))
		return ext4_damaged(fs, err, "a name leads to an inode that is not in use");
	if (out->bytes > INT64_MAX)
		return ext4_damaged(fs, err, "a file has an impossible size");
	if (out->flags & (EXT4_FL_COMPRESSED | EXT4_FL_ENCRYPTED | EXT4_FL_INLINE_DATA))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "inode %u in '%s' is %s, which Lodge does not read", number, fs->name,
				 out->flags & EXT4_FL_INLINE_DATA ? "stored in itself (inline_data)" : "encrypted or compressed");
	if ((out->kind == EXT4_REGULAR || out->kind == EXT4_DIRECTORY) && !(out->flags & EXT4_FL_EXTENTS))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "inode %u in '%s' has no extents (made as ext2 or ext3?), which Lodge does not read", number,
				 fs->name);
	return LODGE_OK;
}

enum lodge_err ext4_inode_read(struct ext4 *fs, uint32_t number, struct ext4_inode *out, struct lodge_error *err)
{
	uint64_t group, at, table;
	const uint8_t *d;
	enum lodge_err rc;

	if (!number || number > fs->inodes)
		return ext4_damaged(fs, err, "a name leads to an inode that does not exist");
	group = (number - 1) / fs->inodes_per_group;
	at = group * fs->descriptor_bytes;
	rc = ext4_read_blocks(fs, fs->descriptors_block + at / fs->block_bytes, 1, fs->scratch, err);
	if (rc != LODGE_OK)
		return rc;
	d = fs->scratch + at % fs->block_bytes;
	table = get_le32(d + 0x8) | (fs->wide ? (uint64_t)get_le32(d + 0x28) << 32 : 0);

	at = (uint64_t)((number - 1) % fs->inodes_per_group) * fs->inode_bytes;
	if (table >= fs->blocks)
		return ext4_damaged(fs, err, "a table of inodes is behind its end");
	rc = ext4_read_blocks(fs, table + at / fs->block_bytes, 1, fs->scratch, err);
	return rc == LODGE_OK ? inode_parse(fs, number, fs->scratch + at % fs->block_bytes, out, err) : rc;
}

/* ---- files ---- */

enum lodge_err ext4_load(struct ext4 *fs, const char *path, uint64_t max_bytes, uint8_t **data, uint64_t *bytes, struct lodge_error *err)
{
	struct ext4_inode inode;
	enum lodge_err rc;
	uint64_t room;

	fs->reads_left = READS_PER_LOAD;
	rc = ext4_resolve(fs, path, &inode, err);
	if (rc != LODGE_OK)
		return rc;
	if (inode.kind != EXT4_REGULAR)
		return error_set(err, LODGE_ERR_FORMAT, "%s in '%s' is no regular file", path, fs->name);
	if (inode.bytes > max_bytes)
		return error_set(err, LODGE_ERR_FORMAT, "%s in '%s' is too large: %llu bytes", path, fs->name, (unsigned long long)inode.bytes);
	*data = NULL;
	*bytes = inode.bytes;
	if (!inode.bytes)
		return LODGE_OK;
	room = align_up(inode.bytes, fs->block_bytes);
	*data = host_alloc(room, 4096);
	if (!*data)
		return error_set(err, LODGE_ERR_NOMEM, "no memory for %s in '%s': %llu bytes", path, fs->name, (unsigned long long)inode.bytes);
	rc = ext4_read_file(fs, &inode, 0, room / fs->block_bytes, *data, err);
	if (rc != LODGE_OK) {
		host_free(*data);
		*data = NULL;
	}
	return rc;
}
