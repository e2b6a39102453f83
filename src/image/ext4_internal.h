/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ext4 reader share. Names of fields are those of the kernel's documentation of ext4. */
#ifndef LODGE_IMAGE_EXT4_INTERNAL_H
#define LODGE_IMAGE_EXT4_INTERNAL_H

#include "base/checked.h"
#include "base/types.h"
#include "image/ext4.h"

#define EXT4_ROOT_INODE 2u
#define EXT4_BLOCK_AREA_BYTES 60u
#define EXT4_BLOCK_BYTES_MAX KIB(64)

/* i_flags */
#define EXT4_FL_COMPRESSED 0x4u
#define EXT4_FL_ENCRYPTED 0x800u
#define EXT4_FL_EXTENTS 0x80000u
#define EXT4_FL_INLINE_DATA 0x10000000u

enum ext4_kind { EXT4_REGULAR, EXT4_DIRECTORY, EXT4_SYMLINK, EXT4_OTHER };

struct ext4 {
	struct block_image *image;
	const char *name;
	uint64_t blocks; /* all of them inside the image */
	uint32_t block_bytes;
	uint32_t inodes, inodes_per_group, inode_bytes;
	uint32_t descriptor_bytes;
	uint64_t descriptors_block;
	uint32_t reads_left; /* of this load: what bounds the loops that a hostile disk can draw out */
	bool wide; /* 64-bit block numbers in descriptors */
	uint8_t *scratch; /* a block: of a table, an extent tree or a symbolic link */
	uint8_t *listing; /* a block of a directory */
};

/* Checked: the size is below 2^63, the flags allow reading. */
struct ext4_inode {
	enum ext4_kind kind;
	uint32_t flags;
	uint64_t bytes;
	uint8_t area[EXT4_BLOCK_AREA_BYTES]; /* i_block: the extent tree's root, or a short link's text */
};

/* @count blocks in a row; @block 0: zeros that are stored nowhere. */
struct ext4_run {
	uint64_t block;
	uint64_t count;
};

enum lodge_err ext4_damaged(const struct ext4 *fs, struct lodge_error *err, const char *what);
enum lodge_err ext4_read_blocks(struct ext4 *fs, uint64_t block, uint64_t count, void *buf, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err ext4_inode_read(struct ext4 *fs, uint32_t number, struct ext4_inode *out, struct lodge_error *err) LODGE_MUST_CHECK;

/* Where the file's block @logical and those after it are, at most @most of them. Uses scratch. */
enum lodge_err ext4_map(struct ext4 *fs, const struct ext4_inode *inode, uint64_t logical, uint64_t most, struct ext4_run *out,
			struct lodge_error *err) LODGE_MUST_CHECK;
/* Whole blocks of the file from @logical on. Uses scratch. */
enum lodge_err ext4_read_file(struct ext4 *fs, const struct ext4_inode *inode, uint64_t logical, uint64_t count, uint8_t *buf,
			      struct lodge_error *err) LODGE_MUST_CHECK;

/* Follow @path from the root, through symbolic links. */
enum lodge_err ext4_resolve(struct ext4 *fs, const char *path, struct ext4_inode *out, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
