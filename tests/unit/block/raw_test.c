/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images. */
#include "block_fixture.h"

#define BYTES (3u << 20)

static struct block_image *open_raw(const char *path, bool read_only)
{
	struct lodge_error err = { 0 };
	struct block_file file;
	struct block_image *image;

	open_file(path, read_only, &file);
	assert_int_equal(raw_open(&file, &image, &err), LODGE_OK);
	return image;
}

static void random_requests(void **state)
{
	static uint8_t shadow[BYTES];
	const char *path = path_of(0, "raw.img");
	uint64_t random = 42;
	struct block_image *image;

	write_file(path, shadow, BYTES);
	image = open_raw(path, false);
	assert_int_equal(image->bytes, BYTES);
	hammer(image, shadow, 3000, &random);
	block_image_close(image);
	expect_file(path, shadow, BYTES);
}

static void part_of_a_sector(void **state)
{
	uint8_t data[700], buffer[1024];
	struct lodge_error err = { 0 };
	struct block_iov iov = { buffer, 512 };
	struct block_request r = { .op = BLOCK_READ, .offset = 512, .bytes = 512, .iov = &iov, .niov = 1 };
	struct block_image *image;

	memset(data, 7, sizeof(data));
	memset(buffer, 9, sizeof(buffer));
	write_file(path_of(0, "odd.img"), data, sizeof(data));
	image = open_raw(path_of(0, "odd.img"), true);
	assert_int_equal(image->bytes, 1024);
	assert_int_equal(block_image_run(image, &r, &err), LODGE_OK);
	assert_memory_equal(buffer, data, 188);
	for (unsigned i = 188; i < 512; i++)
		assert_int_equal(buffer[i], 0);
	r.op = BLOCK_WRITE;
	assert_int_equal(block_image_run(image, &r, &err), LODGE_ERR_PERM);
	r.op = BLOCK_READ;
	r.offset = 1024;
	assert_int_equal(block_image_run(image, &r, &err), LODGE_ERR_RANGE);
	r.offset = UINT64_MAX - 511;
	assert_int_equal(block_image_run(image, &r, &err), LODGE_ERR_RANGE);
	block_image_close(image);
}

static void discard_gives_space_back(void **state)
{
	static uint8_t shadow[BYTES];
	struct lodge_error err = { 0 };
	struct block_request r = { .op = BLOCK_DISCARD, .bytes = BYTES };
	struct block_image *image;
	struct stat before, after;

	memset(shadow, 1, sizeof(shadow));
	write_file(path_of(0, "full.img"), shadow, BYTES);
	image = open_raw(path_of(0, "full.img"), false);
	assert_int_equal(stat(path_of(0, "full.img"), &before), 0);
	assert_int_equal(block_image_run(image, &r, &err), LODGE_OK);
	assert_int_equal(stat(path_of(0, "full.img"), &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	/* A file system that knows no holes keeps it; elsewhere it is gone. */
	assert_true(after.st_blocks == 0 || after.st_blocks == before.st_blocks);
	block_image_close(image);
}

static void locks(void **state)
{
	struct block_file a, b;
	struct lodge_error err = { 0 };

	write_file(path_of(0, "lock.img"), "x", 1);
	open_file(path_of(0, "lock.img"), false, &a);
	assert_int_equal(host_block_file_open(path_of(0, "lock.img"), true, &b, &err), LODGE_ERR_BUSY);
	block_file_close(&a);
	open_file(path_of(0, "lock.img"), true, &a);
	open_file(path_of(0, "lock.img"), true, &b);
	block_file_close(&b);
	assert_int_equal(host_block_file_open(path_of(0, "lock.img"), false, &b, &err), LODGE_ERR_BUSY);
	block_file_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_requests),
		cmocka_unit_test(part_of_a_sector),
		cmocka_unit_test(discard_gives_space_back),
		cmocka_unit_test(locks),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
