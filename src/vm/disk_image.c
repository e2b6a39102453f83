/* SPDX-License-Identifier: Apache-2.0 */
/* From a file's name to an image, of a format that nobody guesses from contents alone. */
#include <string.h>

#include "block/image.h"
#include "block/qcow2.h"
#include "host/block_file.h"
#include "host/unpack.h"
#include "vm/disk_image.h"

enum lodge_err disk_image_format(struct block_file *file, enum vm_disk_format *format, struct lodge_error *err)
{
	size_t len = strlen(file->name);
	bool named = len > 6 && !strcmp(file->name + len - 6, ".qcow2"), looks;
	enum lodge_err rc;

	if (*format != VM_DISK_UNTOLD)
		return LODGE_OK;
	rc = qcow2_probe(file, &looks, err);
	if (rc == LODGE_OK && looks && !named)
		rc = error_set(err, LODGE_ERR_ARG, "'%s' looks like a qcow2 image, but a guest can make a raw one look so: say format=qcow2 or format=raw",
			       file->name);
	*format = named ? VM_DISK_QCOW2 : VM_DISK_RAW;
	if (rc != LODGE_OK)
		block_file_close(file);
	return rc;
}

/* One level: what a backing file builds on in turn, nobody named. */
static enum lodge_err open_backing(const char *path, struct block_image **out, struct lodge_error *err)
{
	struct block_file file;
	enum vm_disk_format format = VM_DISK_UNTOLD;
	enum lodge_err rc = host_block_file_open(path, true, &file, err);

	if (rc == LODGE_OK)
		rc = disk_image_format(&file, &format, err);
	if (rc != LODGE_OK)
		return rc;
	if (format == VM_DISK_RAW)
		return raw_open(&file, out, err);
	return qcow2_open(&file, &(struct qcow2_options){ .unpack = host_unpack }, out, err);
}

enum lodge_err disk_image_open(const struct vm_disk *config, struct block_image **out, struct lodge_error *err)
{
	struct block_file file;
	struct block_image *backing = NULL;
	enum vm_disk_format format = config->format;
	enum lodge_err rc = host_block_file_open(config->path, config->read_only, &file, err);

	if (rc == LODGE_OK)
		rc = disk_image_format(&file, &format, err);
	if (rc == LODGE_OK && format == VM_DISK_RAW && config->backing) {
		block_file_close(&file);
		rc = error_set(err, LODGE_ERR_ARG, "'%s' is a raw image; only a qcow2 image has a backing file", config->path);
	}
	if (rc != LODGE_OK)
		return rc;
	if (format == VM_DISK_RAW)
		return raw_open(&file, out, err);
	if (config->backing)
		rc = open_backing(config->backing, &backing, err);
	if (rc != LODGE_OK) {
		block_file_close(&file);
		return rc;
	}
	return qcow2_open(&file, &(struct qcow2_options){ .backing = backing, .unpack = host_unpack }, out, err);
}
