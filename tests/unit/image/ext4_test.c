/* SPDX-License-Identifier: Apache-2.0 */
/* The ext4 reader on images that mke2fs makes: as they come, of kinds it does not read, and damaged. */
#include "../block/block_fixture.h"

#include "base/types.h"
#include "host/host_ops.h"
#include "image/ext4.h"

#define MAX_BYTES MIB(64)

static bool have_mke2fs(void) { return !shell("command -v mke2fs"); }

/* root/: what all the images hold. */
static int tree_make(void **state)
{
	if (scratch_make(state))
		return -1;
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", 1);
	return shell("mkdir -p root/boot root/deep/a/b && cd root"
		     " && head -c 300001 /dev/urandom >boot/kernel && ln -s boot/kernel vmlinuz && ln -s ../vmlinuz deep/up && ln -s /deep/up abs"
		     " && : >empty && printf x >one && ln -s nothing dangling && ln -s circle circle"
		     " && l=$(printf 'a/../%.0s' $(seq 30)) && ln -s \"${l}b/file\" deep/long && printf hello >deep/a/../../deep/a/b/../../file"
		     " && mkdir -p deep/b && cp deep/file deep/b/file && mkfifo fifo"
		     " && for i in $(seq 0 2 1400); do printf %1024s $i | dd of=scattered bs=1024 seek=$i conv=notrunc status=none; done"
		     " && for i in $(seq 600); do : >deep/a/some-rather-long-name-of-a-file-number-$i; done && printf last >deep/a/zz");
}

struct opened {
	struct block_image *image;
	struct ext4 *fs;
};

static enum lodge_err image_open(const char *path, struct opened *o, struct lodge_error *err)
{
	struct block_file file;

	*o = (struct opened){ 0 };
	open_file(path, true, &file);
	assert_int_equal(raw_open(&file, &o->image, err), LODGE_OK);
	return ext4_open(o->image, "test", &o->fs, err);
}

static void image_close(struct opened *o)
{
	ext4_close(o->fs);
	block_image_close(o->image);
}

/* @path on the disk is what @file of the scratch directory is. */
static void expect_same(struct ext4 *fs, const char *path, const char *file)
{
	struct lodge_error err = { 0 };
	static uint8_t want[MIB(4)];
	uint64_t bytes;
	uint8_t *data;
	FILE *f = fopen(path_of(3, file), "rb");
	size_t n;

	assert_non_null(f);
	n = fread(want, 1, sizeof(want), f);
	fclose(f);
	if (ext4_load(fs, path, MAX_BYTES, &data, &bytes, &err) != LODGE_OK)
		fail_msg("%s: %s", path, err.text);
	assert_int_equal(bytes, n);
	if (n)
		assert_memory_equal(data, want, n);
	host_free(data);
}

static void expect_error(struct ext4 *fs, const char *path, enum lodge_err code, const char *words)
{
	struct lodge_error err = { 0 };
	uint64_t bytes;
	uint8_t *data;

	if (ext4_load(fs, path, MAX_BYTES, &data, &bytes, &err) != code || !strstr(err.text, words))
		fail_msg("%s: %s, '%s'", path, lodge_err_name(err.code), err.text);
}

static void expect_tree(const char *path)
{
	struct lodge_error err = { 0 };
	struct opened o;

	if (image_open(path, &o, &err) != LODGE_OK)
		fail_msg("%s", err.text);
	expect_same(o.fs, "/boot/kernel", "root/boot/kernel");
	expect_same(o.fs, "/vmlinuz", "root/boot/kernel");
	expect_same(o.fs, "/abs", "root/boot/kernel");
	expect_same(o.fs, "//deep/./a/../up", "root/boot/kernel");
	expect_same(o.fs, "/deep/long", "root/deep/file");
	expect_same(o.fs, "/empty", "root/empty");
	expect_same(o.fs, "/one", "root/one");
	expect_same(o.fs, "/scattered", "root/scattered");
	expect_same(o.fs, "/deep/a/zz", "root/deep/a/zz");
	expect_same(o.fs, "/deep/a/some-rather-long-name-of-a-file-number-599", "root/empty");
	expect_error(o.fs, "/dangling", LODGE_ERR_NOT_FOUND, "has no /dangling");
	expect_error(o.fs, "/deep/a/some-rather-long-name-of-a-file-number-601", LODGE_ERR_NOT_FOUND, "has no");
	expect_error(o.fs, "/one/two", LODGE_ERR_NOT_FOUND, "no directory on the way");
	expect_error(o.fs, "/circle", LODGE_ERR_FORMAT, "more than 8 symbolic links");
	expect_error(o.fs, "/deep", LODGE_ERR_FORMAT, "no regular file");
	expect_error(o.fs, "/fifo", LODGE_ERR_FORMAT, "no regular file");
	image_close(&o);
}

static void reads_what_mke2fs_makes(void **state)
{
	static const char *const kinds[] = {
		"-b 4096", "-b 1024", "-b 2048", "-b 4096 -O ^64bit", "-b 1024 -O ^metadata_csum,^flex_bg -I 128", "-b 4096 -O metadata_csum_seed,large_dir",
		"-b 1024 -g 1024", /* many groups */
	};
	char line[256];

	if (!have_mke2fs())
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		snprintf(line, sizeof(line), "rm -f img && mke2fs -q -t ext4 %s -d root img 32M", kinds[i]);
		assert_int_equal(shell(line), 0);
		expect_tree(path_of(0, "img"));
	}
	assert_int_equal(shell("e2fsck -fyD img; test $? -le 1"), 0); /* gives directories their hash trees */
	assert_int_equal(shell("debugfs -R 'stat /deep/a' img | grep -q 'Flags: 0x81000'"), 0);
	expect_tree(path_of(0, "img"));
}

static void reads_64_kib_blocks(void **state)
{
	if (!have_mke2fs())
		skip();
	assert_int_equal(shell("rm -f img && yes | mke2fs -q -F -t ext4 -b 65536 -O ^has_journal -d root img 64M"), 0);
	expect_tree(path_of(0, "img"));
}

static void refuses_what_it_does_not_read(void **state)
{
	static const struct {
		const char *make;
		const char *words;
	} kinds[] = {
		{ "mke2fs -q -t ext2 -d root img 32M", "ext2 or ext3" },
		{ "mke2fs -q -t ext4 -O meta_bg,^resize_inode -d root img 32M", "features that Lodge does not read (0x10)" },
		{ "truncate -s 32M img", "does not hold an ext4" },
		{ "truncate -s 1536 img", "too small" },
		{ "mke2fs -q -t ext4 -d root img 32M && truncate -s 20M img", "larger than its disk" },
	};
	struct lodge_error err;
	char line[256];
	struct opened o;

	if (!have_mke2fs())
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		snprintf(line, sizeof(line), "rm -f img && %s", kinds[i].make);
		assert_int_equal(shell(line), 0);
		err = (struct lodge_error){ 0 };
		assert_int_not_equal(image_open(path_of(0, "img"), &o, &err), LODGE_OK);
		if (!strstr(err.text, kinds[i].words))
			fail_msg("%s: %s", kinds[i].make, err.text);
		image_close(&o);
	}
	assert_int_equal(shell("rm -f img && mke2fs -q -t ext4 -I 256 -O inline_data -d root img 32M"), 0);
	err = (struct lodge_error){ 0 };
	assert_int_equal(image_open(path_of(0, "img"), &o, &err), LODGE_OK);
	expect_error(o.fs, "/one", LODGE_ERR_UNSUPPORTED, "inline_data");
	image_close(&o);
}

static void refuses_large_files(void **state)
{
	struct lodge_error err = { 0 };
	struct opened o;
	uint64_t bytes;
	uint8_t *data;

	if (!have_mke2fs())
		skip();
	assert_int_equal(shell("rm -f img && mke2fs -q -t ext4 -d root img 32M"), 0);
	assert_int_equal(image_open(path_of(0, "img"), &o, &err), LODGE_OK);
	assert_int_equal(ext4_load(o.fs, "/vmlinuz", 300001, &data, &bytes, &err), LODGE_OK);
	host_free(data);
	assert_int_equal(ext4_load(o.fs, "/vmlinuz", 300000, &data, &bytes, &err), LODGE_ERR_FORMAT);
	image_close(&o);
}

/* ---- damage: a disk in memory, wrong where it is looked at ---- */

#define LOOKED_AT_MAX 256

struct memory_disk {
	uint8_t *data;
	uint64_t bytes;
	uint64_t looked_at[LOOKED_AT_MAX]; /* 1 KiB each; metadata only: single blocks */
	unsigned nlooked_at;
};

static enum lodge_err memory_read(void *ctx, const struct block_iov *iov, unsigned niov, uint64_t offset, struct lodge_error *err)
{
	struct memory_disk *d = ctx;

	assert_int_equal(niov, 1);
	assert_true(offset + iov->len <= d->bytes);
	memcpy(iov->base, d->data + offset, iov->len);
	if (iov->len == 1024 && d->nlooked_at < LOOKED_AT_MAX)
		d->looked_at[d->nlooked_at++] = offset;
	return LODGE_OK;
}

static enum lodge_err memory_size(void *ctx, uint64_t *bytes, struct lodge_error *err)
{
	*bytes = ((struct memory_disk *)ctx)->bytes;
	return LODGE_OK;
}

static void memory_close(void *ctx) {}

static const struct block_file_ops memory_ops = { .read = memory_read, .size = memory_size, .close = memory_close };

/* Everything at once; how many of the loads worked. */
static unsigned load_all(struct memory_disk *disk)
{
	static const char *const paths[] = { "/vmlinuz", "/deep/long", "/scattered", "/deep/a/zz" };
	struct block_file file = { .ops = &memory_ops, .ctx = disk, .read_only = true, .name = "memory" };
	struct lodge_error err = { 0 };
	struct block_image *image;
	struct ext4 *fs = NULL;
	unsigned worked = 0;

	assert_int_equal(raw_open(&file, &image, &err), LODGE_OK);
	if (ext4_open(image, "memory", &fs, &err) == LODGE_OK)
		for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
			uint8_t *data = NULL;
			uint64_t bytes;

			if (ext4_load(fs, paths[i], MAX_BYTES, &data, &bytes, &err) == LODGE_OK)
				worked++;
			else
				assert_true(err.text[0] && !data);
			host_free(data);
		}
	ext4_close(fs);
	block_image_close(image);
	return worked;
}

static void stands_damage(void **state)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
	struct memory_disk disk = { .bytes = MIB(8) };
	uint64_t random = 0x9e3779b97f4a7c15;
	unsigned hurt = 0, known;
	uint8_t *clean;
	FILE *f;

	if (!have_mke2fs())
		skip();
	assert_int_equal(shell("rm -f img && mke2fs -q -t ext4 -b 1024 -O ^has_journal -d root img 8M"), 0);
	disk.data = malloc(disk.bytes);
	f = fopen(path_of(0, "img"), "rb");
	assert_int_equal(fread(disk.data, 1, disk.bytes, f), disk.bytes);
	fclose(f);
	assert_int_equal(load_all(&disk), 4);
	known = disk.nlooked_at;
	disk.nlooked_at = LOOKED_AT_MAX;
	assert_true(known > 20);

	clean = malloc(disk.bytes);
	memcpy(clean, disk.data, disk.bytes);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned n = (unsigned)(next_random(&random) % 4) + 1;
		uint64_t at[4];

		for (unsigned k = 0; k < n; k++) {
			uint64_t r = next_random(&random);

			/* Half of them in the superblock's and the inodes' interesting fields: what is not zero. */
			do
				at[k] = disk.looked_at[next_random(&random) % known] + next_random(&random) % 1024;
			while (r & 1 && !clean[at[k]]);
			disk.data[at[k]] = r & 2 ? edges[(r >> 8) % sizeof(edges)] : (uint8_t)(r >> 16);
		}
		hurt += load_all(&disk) < 4;
		for (unsigned k = 0; k < n; k++)
			disk.data[at[k]] = clean[at[k]];
	}
	assert_true(hurt > 500);
	assert_int_equal(load_all(&disk), 4);
	free(clean);
	free(disk.data);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_mke2fs_makes), cmocka_unit_test(reads_64_kib_blocks), cmocka_unit_test(refuses_what_it_does_not_read),
		cmocka_unit_test(refuses_large_files),     cmocka_unit_test(stands_damage),
	};

	return cmocka_run_group_tests(tests, tree_make, scratch_drop);
}
