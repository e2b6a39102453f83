/* SPDX-License-Identifier: Apache-2.0 */
/* lodge disk: disk images without a machine. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/image.h"
#include "block/qcow2.h"
#include "cli/cli.h"
#include "host/block_file.h"
#include "host/host_ops.h"
#include "vm/disk_image.h"

#define COPY_BYTES MIB(1)

static const char help[] =
	"usage: lodge disk create [--backing FILE] FILE [SIZE]\n"
	"       lodge disk info [--json] FILE\n"
	"       lodge disk convert FROM TO\n\n"
	"Make, explain and copy disk images. A FILE whose name ends in .qcow2 is a qcow2 image, any other a raw one.\n\n"
	"  create    an empty disk of SIZE (512M, 20G; plain numbers are MiB), which takes space as it is written. With\n"
	"            --backing, a qcow2 image of what differs from that file; SIZE is then that disk's if not given\n"
	"  info      the format, the size, the space taken, what it builds on\n"
	"  convert   copy a disk into a new image; what is zeros takes no space\n\n"
	"No file is ever overwritten.\n";

static bool is_qcow2_name(const char *path)
{
	size_t len = strlen(path);

	return len > 6 && !strcmp(path + len - 6, ".qcow2");
}

/* A new file, removed again by whoever fails to fill it. */
static enum lodge_err create_file(const char *path, struct block_file *out, struct lodge_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create '%s'", path);
	close(fd);
	return host_block_file_open(path, false, out, err);
}

static enum lodge_err create_image(const char *path, uint64_t bytes, const char *backing, struct lodge_error *err)
{
	struct block_file file = { 0 };
	enum lodge_err rc = create_file(path, &file, err);

	if (rc != LODGE_OK)
		return rc;
	if (is_qcow2_name(path))
		rc = qcow2_create(&file, bytes, backing, err);
	else
		rc = file.ops->resize(file.ctx, bytes, err);
	block_file_close(&file);
	if (rc != LODGE_OK)
		unlink(path);
	return rc;
}

/* ---- create ---- */

static enum lodge_err backing_bytes(const char *path, uint64_t *bytes, struct lodge_error *err)
{
	const struct vm_disk config = { .path = path, .read_only = true };
	struct block_image *image;
	enum lodge_err rc = disk_image_open(&config, &image, err);

	if (rc != LODGE_OK)
		return rc;
	*bytes = image->bytes;
	block_image_close(image);
	return LODGE_OK;
}

static int create(int argc, char **argv)
{
	struct lodge_error err = { 0 };
	const char *backing = NULL;
	uint64_t bytes = 0;
	int at = 0;

	if (argc > 1 && !strcmp(argv[0], "--backing")) {
		backing = argv[1];
		at = 2;
	}
	if (argc - at < (backing ? 1 : 2) || argc - at > 2)
		return cli_fail_text("`lodge disk create` takes a FILE and a SIZE; see `lodge help disk`");
	if (backing && !is_qcow2_name(argv[at]))
		return cli_fail_text("only a qcow2 image builds on another: let the name of '%s' end in .qcow2", argv[at]);
	if (backing && backing_bytes(backing, &bytes, &err) != LODGE_OK)
		return cli_fail(&err);
	if (argc - at == 2 && vm_parse_size(argv[at + 1], &bytes, &err) != LODGE_OK)
		return cli_fail(&err);
	if (!bytes || bytes > INT64_MAX)
		return cli_fail_text("a disk of that size is not possible");
	return create_image(argv[at], bytes, backing, &err) == LODGE_OK ? CLI_OK : cli_fail(&err);
}

/* ---- info ---- */

static void print_info(const struct qcow2_info *q, bool qcow2, uint64_t bytes, uint64_t taken, bool json)
{
	if (json) {
		printf("{ \"format\": \"%s\", \"bytes\": %llu, \"taken_bytes\": %llu", qcow2 ? "qcow2" : "raw", (unsigned long long)bytes,
		       (unsigned long long)taken);
		if (qcow2) {
			printf(", \"version\": %u, \"cluster_bytes\": %u, \"snapshots\": %u, \"damaged\": %s, \"backing\": ", q->version,
			       q->cluster_bytes, q->snapshots, q->dirty || q->corrupt ? "true" : "false");
			if (q->backing[0])
				cli_json_string(stdout, q->backing);
			else
				fputs("null", stdout);
		}
		puts(" }");
		return;
	}
	printf("format   %s\nsize     %llu bytes (%.1f MiB)\ntaken    %llu bytes\n", qcow2 ? "qcow2" : "raw", (unsigned long long)bytes,
	       (double)bytes / (double)MIB(1), (unsigned long long)taken);
	if (!qcow2)
		return;
	printf("version  %u, clusters of %u bytes, %s\n", q->version, q->cluster_bytes,
	       q->corrupt ? "marked as damaged" : q->dirty ? "not closed" : "closed");
	if (q->snapshots)
		printf("inside   %u snapshots\n", q->snapshots);
	if (q->backing[0]) {
		fputs("backing  ", stdout);
		cli_json_string(stdout, q->backing); /* the image's words: quoted, so that they cannot steer the terminal */
		putchar('\n');
	}
}

static int info(int argc, char **argv)
{
	struct lodge_error err = { 0 };
	struct block_file file = { 0 };
	struct qcow2_info q = { 0 };
	enum vm_disk_format format = VM_DISK_UNTOLD;
	bool json = argc > 0 && !strcmp(argv[0], "--json");
	uint64_t bytes = 0;
	struct stat st = { 0 };
	enum lodge_err rc;

	if (argc - json != 1)
		return cli_fail_text("`lodge disk info` takes one FILE; see `lodge help disk`");
	rc = host_block_file_open(argv[json], true, &file, &err);
	if (rc == LODGE_OK)
		rc = disk_image_format(&file, &format, &err);
	if (rc != LODGE_OK)
		return cli_fail(&err);
	rc = format == VM_DISK_QCOW2 ? qcow2_inspect(&file, &q, &err) : file.ops->size(file.ctx, &bytes, &err);
	if (rc == LODGE_OK && !stat(argv[json], &st))
		print_info(&q, format == VM_DISK_QCOW2, format == VM_DISK_QCOW2 ? q.bytes : bytes, (uint64_t)st.st_blocks * 512, json);
	block_file_close(&file);
	return rc == LODGE_OK ? CLI_OK : cli_fail(&err);
}

/* ---- convert ---- */

static bool is_zeros(const uint8_t *p, size_t bytes)
{
	return !*p && !memcmp(p, p + 1, bytes - 1);
}

static enum lodge_err copy(struct block_image *from, struct block_image *to, struct lodge_error *err)
{
	uint8_t *buffer = host_alloc(COPY_BYTES, 4096);
	struct block_request flush = { .op = BLOCK_FLUSH };
	enum lodge_err rc = LODGE_OK;

	if (!buffer)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	for (uint64_t at = 0; at < from->bytes && rc == LODGE_OK; at += COPY_BYTES) {
		struct block_iov iov = { .base = buffer, .len = MIN(COPY_BYTES, from->bytes - at) };
		struct block_request r = { .op = BLOCK_READ, .offset = at, .bytes = iov.len, .iov = &iov, .niov = 1 };

		rc = block_image_run(from, &r, err);
		r.op = BLOCK_WRITE;
		if (rc == LODGE_OK && !is_zeros(buffer, iov.len))
			rc = block_image_run(to, &r, err);
	}
	host_free(buffer);
	return rc == LODGE_OK ? block_image_run(to, &flush, err) : rc;
}

static int convert(int argc, char **argv)
{
	struct lodge_error err = { 0 };
	struct block_image *from, *to;
	enum lodge_err rc;

	if (argc != 2)
		return cli_fail_text("`lodge disk convert` takes two FILEs; see `lodge help disk`");
	rc = disk_image_open(&(struct vm_disk){ .path = argv[0], .read_only = true }, &from, &err);
	if (rc != LODGE_OK)
		return cli_fail(&err);
	rc = create_image(argv[1], from->bytes, NULL, &err);
	if (rc == LODGE_OK) {
		rc = disk_image_open(&(struct vm_disk){ .path = argv[1] }, &to, &err);
		if (rc == LODGE_OK) {
			rc = copy(from, to, &err);
			block_image_close(to);
		}
		if (rc != LODGE_OK)
			unlink(argv[1]);
	}
	block_image_close(from);
	return rc == LODGE_OK ? CLI_OK : cli_fail(&err);
}

static int run(int argc, char **argv)
{
	static const char *const names[] = { "create", "info", "convert", NULL };
	static int (*const verbs[])(int, char **) = { create, info, convert };
	const char *near;

	if (argc < 2)
		return cli_fail_text("`lodge disk` needs a word for what to do: create, info or convert; see `lodge help disk`");
	for (unsigned i = 0; names[i]; i++)
		if (!strcmp(argv[1], names[i]))
			return verbs[i](argc - 2, argv + 2);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		fputs(help, stdout);
		return CLI_OK;
	}
	near = cli_nearest(argv[1], names);
	if (near)
		return cli_fail_text("`lodge disk` does not know '%s'; did you mean '%s'?", argv[1], near);
	return cli_fail_text("`lodge disk` does not know '%s'; see `lodge help disk`", argv[1]);
}

const struct cli_verb cli_disk = { .name = "disk", .summary = "make, explain and copy disk images", .help = help, .run = run };
