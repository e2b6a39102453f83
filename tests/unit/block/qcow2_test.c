/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2: random requests on images that qemu-img made, judged by qemu-img; our own images; damaged and hostile ones. */
#include "block_fixture.h"

#include "base/types.h"

#define BYTES (9u << 20)

static uint8_t shadow[BYTES + 512];

static enum lodge_err try_open(const char *path, bool read_only, struct block_image *backing, struct block_image **out, struct lodge_error *err)
{
	struct block_file file;

	open_file(path, read_only, &file);
	return qcow2_open(&file, &(struct qcow2_options){ .backing = backing, .unpack = host_unpack }, out, err);
}

static struct block_image *open_image(const char *path, struct block_image *backing)
{
	struct lodge_error err = { 0 };
	struct block_image *image;

	if (try_open(path, false, backing, &image, &err) != LODGE_OK)
		fail_msg("%s", err.text);
	return image;
}

static void make_own(const char *path, uint64_t bytes)
{
	struct lodge_error err = { 0 };
	struct block_file file;

	write_file(path, "", 0);
	open_file(path, false, &file);
	if (qcow2_create(&file, bytes, NULL, &err) != LODGE_OK)
		fail_msg("%s", err.text);
	block_file_close(&file);
}

static void fill_random(uint8_t *to, size_t bytes, uint64_t *random)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8)
		memcpy(to + i, &(uint64_t){ next_random(random) }, 8);
}

static void judge(const char *name, bool backed)
{
	char command[256];

	snprintf(command, sizeof(command), "qemu-img check -q %s && qemu-img convert %s -O raw %s out.raw", name, backed ? "" : "-f qcow2", name);
	assert_int_equal(shell(command), 0);
	expect_file(path_of(3, "out.raw"), shadow, BYTES);
}

static void images_of_qemu_img(void **state)
{
	static const char *const options[] = {
		"compat=1.1", "compat=0.10", "compat=1.1,cluster_size=4096", "compat=1.1,cluster_size=2M", "compat=1.1,refcount_bits=1",
		"compat=1.1,refcount_bits=64", "compat=0.10,cluster_size=4096", "compat=1.1,preallocation=metadata", "compat=1.1,lazy_refcounts=on",
	};
	uint64_t random = 1;

	if (!have_qemu_img())
		unit_skip("qemu-img is missing; scripts/setup installs it");
	for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
		char command[256];

		memset(shadow, 0, sizeof(shadow));
		snprintf(command, sizeof(command), "qemu-img create -q -f qcow2 -o %s a.qcow2 %u", options[i], BYTES);
		assert_int_equal(shell(command), 0);
		for (unsigned round = 0; round < 3; round++) {
			struct block_image *image = open_image(path_of(0, "a.qcow2"), NULL);

			assert_int_equal(image->bytes, BYTES);
			hammer(image, shadow, 250, &random);
			block_image_close(image);
			judge("a.qcow2", false);
		}
	}
}

static void compressed_images(void **state)
{
	static const char *const types[] = { "zlib", "zstd" };
	uint64_t random = 2;

	if (!have_qemu_img())
		unit_skip("qemu-img is missing; scripts/setup installs it");
	for (unsigned i = 0; i < 2; i++) {
		char command[256];
		struct block_image *image;

		/* Bytes that pack well, some that do not, and holes. */
		memset(shadow, 0, sizeof(shadow));
		fill_random(shadow, BYTES / 3, &random);
		for (unsigned at = 0; at < BYTES / 3; at++)
			shadow[at] = at & 0x40000 ? shadow[at] : shadow[at] & 3;
		write_file(path_of(0, "in.raw"), shadow, BYTES);
		snprintf(command, sizeof(command), "qemu-img convert -c -f raw -O qcow2 -o compression_type=%s in.raw c.qcow2", types[i]);
		assert_int_equal(shell(command), 0);
		image = open_image(path_of(0, "c.qcow2"), NULL);
		hammer(image, shadow, 400, &random);
		block_image_close(image);
		judge("c.qcow2", false);
	}
}

static void backing_images(void **state)
{
	uint64_t random = 3;

	if (!have_qemu_img())
		unit_skip("qemu-img is missing; scripts/setup installs it");
	for (unsigned v2 = 0; v2 < 2; v2++) {
		struct lodge_error err = { 0 };
		struct block_file file;
		struct block_image *backing, *image;
		uint8_t *base = malloc(BYTES);

		/* The backing image is shorter than the difference to it. */
		memset(shadow, 0, sizeof(shadow));
		fill_random(shadow, BYTES / 2 + 512, &random);
		memcpy(base, shadow, BYTES);
		write_file(path_of(0, "base.raw"), shadow, BYTES / 2 + 512);
		assert_int_equal(shell(v2 ? "qemu-img create -q -f qcow2 -o compat=0.10 -b base.raw -F raw d.qcow2 9M" :
					    "qemu-img create -q -f qcow2 -b base.raw -F raw d.qcow2 9M"), 0);
		assert_int_equal(try_open(path_of(1, "d.qcow2"), false, NULL, &image, &err), LODGE_ERR_ARG); /* nobody named it */
		open_file(path_of(0, "base.raw"), true, &file);
		assert_int_equal(raw_open(&file, &backing, &err), LODGE_OK);
		image = open_image(path_of(1, "d.qcow2"), backing);
		hammer(image, shadow, 500, &random);
		block_image_close(image);
		judge("d.qcow2", true);
		expect_file(path_of(0, "base.raw"), base, BYTES / 2 + 512);
		free(base);
	}
}

static void own_images(void **state)
{
	struct block_image *image;
	uint64_t random = 4;

	memset(shadow, 0, sizeof(shadow));
	make_own(path_of(0, "own.qcow2"), BYTES);
	for (unsigned round = 0; round < 4; round++) {
		image = open_image(path_of(0, "own.qcow2"), NULL);
		hammer(image, shadow, 300, &random);
		block_image_close(image);
		if (have_qemu_img())
			judge("own.qcow2", false);
	}
}

/* The machine dies: nothing that was written is lost, and what it leaves is at most space that nobody uses. */
static void killed(void **state)
{
	uint64_t random = 5;

	memset(shadow, 0, sizeof(shadow));
	make_own(path_of(0, "k.qcow2"), BYTES);
	for (unsigned round = 0; round < 8; round++) {
		struct block_image *image = open_image(path_of(0, "k.qcow2"), NULL);

		hammer(image, shadow, 40, &random);
		assert_int_equal(shell("cp --sparse=always k.qcow2 k2.qcow2"), 0); /* what a crash would leave now */
		block_image_close(image);
		assert_int_equal(shell("mv k2.qcow2 k.qcow2"), 0);
		if (have_qemu_img()) {
			int status = shell("qemu-img check -q k.qcow2 || [ $? = 3 ]"); /* 3: leaks alone */

			assert_int_equal(status, 0);
		}
		image = open_image(path_of(0, "k.qcow2"), NULL);
		hammer(image, shadow, 1, &random);
		block_image_close(image);
	}
	if (have_qemu_img()) {
		assert_int_equal(shell("qemu-img convert -f qcow2 -O raw k.qcow2 out.raw"), 0);
		expect_file(path_of(3, "out.raw"), shadow, BYTES);
	}
}

/* ---- bad images ---- */

static void poke(const char *path, uint64_t offset, unsigned bytes, uint64_t value)
{
	FILE *f = fopen(path, "r+b");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
	for (unsigned i = bytes; i-- > 0;)
		assert_int_not_equal(fputc((int)(value >> (8 * i) & 0xff), f), EOF);
	assert_int_equal(fclose(f), 0);
}

static void bad_headers(void **state)
{
	static const struct {
		unsigned offset, bytes;
		uint64_t value;
		enum lodge_err code;
		const char *word;
	} cases[] = {
		{ 0, 4, 0, LODGE_ERR_FORMAT, "begin" },
		{ 4, 4, 1, LODGE_ERR_UNSUPPORTED, "version 1" },
		{ 8, 8, UINT64_MAX, LODGE_ERR_FORMAT, "backing" },
		{ 16, 4, 1024, LODGE_ERR_FORMAT, "backing" },
		{ 16, 4, 5, LODGE_ERR_ARG, "difference" },
		{ 20, 4, 8, LODGE_ERR_FORMAT, "cluster size" },
		{ 20, 4, 22, LODGE_ERR_FORMAT, "cluster size" },
		{ 20, 4, UINT32_MAX, LODGE_ERR_FORMAT, "cluster size" },
		{ 24, 8, 0, LODGE_ERR_FORMAT, "size" },
		{ 24, 8, 511, LODGE_ERR_FORMAT, "size" },
		{ 24, 8, UINT64_MAX - 511, LODGE_ERR_FORMAT, "size" },
		{ 24, 8, UINT64_C(1) << 40, LODGE_ERR_FORMAT, "cover" },
		{ 32, 4, 1, LODGE_ERR_UNSUPPORTED, "encrypted" },
		{ 36, 4, 0, LODGE_ERR_FORMAT, "cover" },
		{ 36, 4, UINT32_MAX, LODGE_ERR_FORMAT, "first table" },
		{ 40, 8, 0, LODGE_ERR_FORMAT, "first table" },
		{ 40, 8, 512, LODGE_ERR_FORMAT, "first table" },
		{ 40, 8, UINT64_C(1) << 40, LODGE_ERR_FORMAT, "first table" },
		{ 40, 8, UINT64_C(0xffffffffffff0000), LODGE_ERR_FORMAT, "first table" },
		{ 40, 8, 0x10000, LODGE_ERR_FORMAT, "share" },
		{ 48, 8, 0, LODGE_ERR_FORMAT, "reference" },
		{ 48, 8, UINT64_C(1) << 40, LODGE_ERR_FORMAT, "reference" },
		{ 56, 4, 0, LODGE_ERR_FORMAT, "reference" },
		{ 56, 4, UINT32_MAX, LODGE_ERR_FORMAT, "reference" },
		{ 60, 4, 1, LODGE_ERR_UNSUPPORTED, "snapshots" },
		{ 72, 8, 1, LODGE_ERR_UNSUPPORTED, "not closed" },
		{ 72, 8, 2, LODGE_ERR_UNSUPPORTED, "damaged" },
		{ 72, 8, 4, LODGE_ERR_UNSUPPORTED, "features" },
		{ 72, 8, 16, LODGE_ERR_UNSUPPORTED, "features" },
		{ 72, 8, UINT64_C(1) << 63, LODGE_ERR_UNSUPPORTED, "features" },
		{ 96, 4, 7, LODGE_ERR_FORMAT, "64 bits" },
		{ 100, 4, 103, LODGE_ERR_FORMAT, "length" },
		{ 0x10000, 8, 0x20200, LODGE_ERR_FORMAT, "inside a cluster" }, /* reference table */
		{ 0x10000, 8, UINT64_C(1) << 50, LODGE_ERR_FORMAT, "behind" },
		{ 0x10000, 8, 0x30000, LODGE_ERR_FORMAT, "share" },
		{ 0x30000, 8, 0x20000, LODGE_ERR_FORMAT, "share" }, /* first table */
		{ 0x30000, 8, UINT64_C(1) << 40, LODGE_ERR_FORMAT, "behind" },
	};
	const char *path = path_of(0, "bad.qcow2");

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct lodge_error err = { 0 };
		struct block_image *image;

		make_own(path, BYTES);
		poke(path, cases[i].offset, cases[i].bytes, cases[i].value);
		if (try_open(path, false, NULL, &image, &err) != cases[i].code || !strstr(err.text, cases[i].word))
			fail_msg("case %u: '%s', expected '%s'", i, err.text, cases[i].word);
	}
	/* Cut off at every place of its first cluster and a few behind. */
	for (unsigned bytes = 0; bytes < 0x40000; bytes += bytes < 120 ? 1 : 0x3fff) {
		struct lodge_error err = { 0 };
		struct block_image *image;

		make_own(path, BYTES);
		assert_int_equal(truncate(path, bytes), 0);
		if (try_open(path, true, NULL, &image, &err) == LODGE_OK)
			block_image_close(image);
	}
}

static enum lodge_err run(struct block_image *image, enum block_op op, uint64_t offset, uint64_t bytes)
{
	static uint8_t buffer[1 << 20];
	struct lodge_error err = { 0 };
	struct block_iov iov = { buffer, bytes };
	struct block_request r = { .op = op, .offset = offset, .bytes = bytes, .iov = &iov, .niov = 1 };

	return block_image_run(image, &r, &err);
}

/* Entries of a second-level table that lead into tables: neither read nor written, and the first stops all writes. */
static void entries_that_lead_into_tables(void **state)
{
	static const uint64_t targets[] = { 0x10000, 0x20000, 0x30000, 0x40000 };
	const char *path = path_of(0, "l2.qcow2");

	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		struct block_image *image;

		make_own(path, BYTES);
		image = open_image(path, NULL);
		assert_int_equal(run(image, BLOCK_WRITE, 0, 512), LODGE_OK); /* the table is at 0x40000, data at 0x50000 */
		assert_int_equal(run(image, BLOCK_WRITE, 0x20000, 512), LODGE_OK);
		block_image_close(image);
		poke(path, 0x40000, 8, targets[i] | UINT64_C(1) << 63);
		image = open_image(path, NULL);
		assert_int_equal(run(image, BLOCK_WRITE, 0x20000, 512), LODGE_OK);
		assert_int_equal(run(image, BLOCK_WRITE, 0, 512), LODGE_ERR_FORMAT);
		assert_int_equal(run(image, BLOCK_READ, 0, 512), LODGE_ERR_FORMAT);
		assert_int_equal(run(image, BLOCK_WRITE, 0x20000, 512), LODGE_ERR_FORMAT);
		assert_int_equal(run(image, BLOCK_READ, 0x20000, 512), LODGE_OK);
		block_image_close(image);
	}
}

/* Random bytes in tables: errors or wrong data, but no crash and no end beyond the request. */
static void damaged_tables(void **state)
{
	uint64_t random = 6;
	const char *path = path_of(0, "dmg.qcow2");

	for (unsigned i = 0; i < 100; i++) {
		struct lodge_error err = { 0 };
		struct block_image *image;

		make_own(path, BYTES);
		image = open_image(path, NULL);
		for (unsigned k = 0; k < 8; k++)
			(void)!run(image, BLOCK_WRITE, next_random(&random) % (BYTES / 512 - 8) * 512, 4096);
		block_image_close(image);
		for (unsigned k = 0; k < 4; k++) {
			uint64_t table = (next_random(&random) % 4 + 1) * 0x10000;

			poke(path, table + next_random(&random) % (k ? 160 : 16), 1 + next_random(&random) % 8, next_random(&random));
		}
		if (try_open(path, i & 1, NULL, &image, &err) != LODGE_OK)
			continue;
		for (unsigned k = 0; k < 20; k++)
			(void)!run(image, k & 1 ? BLOCK_READ : k & 2 ? BLOCK_WRITE : BLOCK_WRITE_ZEROES,
				   next_random(&random) % (BYTES / 512 - 256) * 512, 512 * (next_random(&random) % 256 + 1));
		block_image_close(image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_of_qemu_img),
		cmocka_unit_test(compressed_images),
		cmocka_unit_test(backing_images),
		cmocka_unit_test(own_images),
		cmocka_unit_test(killed),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(entries_that_lead_into_tables),
		cmocka_unit_test(damaged_tables),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
