/* SPDX-License-Identifier: Apache-2.0 */
/* Images in a scratch directory, next to plain memory that says what they should hold. */
#ifndef LODGE_TESTS_BLOCK_FIXTURE_H
#define LODGE_TESTS_BLOCK_FIXTURE_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "block/image.h"
#include "block/qcow2.h"
#include "host/block_file.h"
#include "host/unpack.h"

static char scratch_dir[64];

static inline int scratch_make(void **state)
{
	(void)state;
	strcpy(scratch_dir, "/tmp/lodge-block-XXXXXX");
	return mkdtemp(scratch_dir) ? 0 : -1;
}

static inline int scratch_drop(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", scratch_dir);
	return system(command);
}

/* A path below the scratch directory; the same buffer for the same @slot. */
static inline const char *path_of(unsigned slot, const char *name)
{
	static char paths[4][128];

	snprintf(paths[slot], sizeof(paths[slot]), "%s/%s", scratch_dir, name);
	return paths[slot];
}

/* Run a command of the shell in the scratch directory; its exit status. */
static inline int shell(const char *command)
{
	char line[1024];
	int status;

	snprintf(line, sizeof(line), "cd %s && { %s; } >log 2>&1 </dev/null", scratch_dir, command);
	status = system(line);
	if (status && !strstr(command, "command -v")) {
		snprintf(line, sizeof(line), "echo '# %s:'; cat %s/log", command, scratch_dir);
		(void)!system(line);
	}
	return status;
}

static inline bool have_qemu_img(void) { return !shell("command -v qemu-img"); }

static inline void write_file(const char *path, const void *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
}

static inline void expect_file(const char *path, const uint8_t *data, size_t bytes)
{
	uint8_t *got = malloc(bytes);
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	assert_int_equal(fread(got, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < bytes; i += 512)
		if (memcmp(got + i, data + i, 512))
			fail_msg("%s differs at sector %zu", path, i / 512);
	free(got);
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline void open_file(const char *path, bool read_only, struct block_file *file)
{
	struct lodge_error err = { 0 };

	if (host_block_file_open(path, read_only, file, &err) != LODGE_OK)
		fail_msg("%s", err.text);
}

/* Random requests on @image and on @shadow, its contents; vectors are cut at random, too. */
static inline void hammer(struct block_image *image, uint8_t *shadow, unsigned count, uint64_t *random)
{
	static uint8_t buffer[1 << 20];
	uint64_t sectors = image->bytes / 512;

	for (unsigned i = 0; i < count; i++) {
		struct lodge_error err = { 0 };
		struct block_iov iov[200];
		uint64_t r = next_random(random), most = r >> 60 ? 64 : 1024;
		struct block_request q = { .offset = next_random(random) % sectors * 512, .iov = iov };
		unsigned what = (unsigned)(r % 16);

		q.bytes = (next_random(random) % MIN(most, sectors - q.offset / 512) + 1) * 512;
		for (uint64_t at = 0; at < q.bytes; q.niov++) {
			uint64_t part = (next_random(random) % 32 + 1) * 512;

			part = q.niov == 199 ? q.bytes - at : MIN(q.bytes - at, part);

			iov[q.niov] = (struct block_iov){ .base = buffer + at, .len = part };
			at += part;
		}
		q.op = what < 6 ? BLOCK_READ : what < 13 ? BLOCK_WRITE : what < 15 ? BLOCK_WRITE_ZEROES : BLOCK_FLUSH;
		q.may_unmap = r >> 32 & 1;
		q.stable = !(r >> 33 & 31);
		if (q.op == BLOCK_WRITE) {
			for (uint64_t at = 0; at < q.bytes; at += 8)
				memcpy(buffer + at, &(uint64_t){ next_random(random) }, 8);
			memcpy(shadow + q.offset, buffer, q.bytes);
		} else if (q.op == BLOCK_WRITE_ZEROES) {
			memset(shadow + q.offset, 0, q.bytes);
		}
		if (block_image_run(image, &q, &err) != LODGE_OK)
			fail_msg("request %u: %s", i, err.text);
		if (q.op == BLOCK_READ && memcmp(buffer, shadow + q.offset, q.bytes))
			fail_msg("request %u: read of %llu at %llu differs", i, (unsigned long long)q.bytes, (unsigned long long)q.offset);
	}
}

#endif
