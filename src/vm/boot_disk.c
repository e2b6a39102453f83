/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel of a disk; see boot_disk.h. */
#include "vm/boot_disk.h"

#include "host/host_ops.h"
#include "image/ext4.h"
#include "vm/disk_image.h"

#define FILE_MAX MIB(512)

static enum lodge_err load_one(struct ext4 *fs, const char *const paths[2], struct host_file *file, struct lodge_error *err)
{
	enum lodge_err rc = ext4_load(fs, paths[0], FILE_MAX, &file->data, &file->bytes, err);

	if (rc == LODGE_ERR_NOT_FOUND)
		rc = ext4_load(fs, paths[1], FILE_MAX, &file->data, &file->bytes, err);
	return rc;
}

enum lodge_err boot_disk_load(const struct vm_disk *disk, struct host_file *kernel, struct host_file *initrd, struct lodge_error *err)
{
	static const char *const kernels[] = { "/vmlinuz", "/boot/vmlinuz" }, *const initrds[] = { "/initrd.img", "/boot/initrd.img" };
	struct vm_disk config = *disk;
	struct block_image *image;
	struct ext4 *fs = NULL;
	enum lodge_err rc;

	config.read_only = true;
	rc = disk_image_open(&config, &image, err);
	if (rc != LODGE_OK)
		return rc;
	rc = ext4_open(image, disk->path, &fs, err);
	if (rc == LODGE_OK)
		rc = load_one(fs, kernels, kernel, err);
	if (rc == LODGE_OK && !kernel->bytes)
		rc = error_set(err, LODGE_ERR_FORMAT, "the kernel on '%s' is empty; give another one with --kernel", disk->path);
	if (rc == LODGE_OK)
		rc = load_one(fs, initrds, initrd, err);
	if (rc == LODGE_ERR_NOT_FOUND && kernel->bytes) /* a kernel that needs none */
		rc = LODGE_OK;
	ext4_close(fs);
	block_image_close(image);
	return rc;
}

void boot_disk_unload(struct host_file *kernel, struct host_file *initrd)
{
	host_free(kernel->data);
	host_free(initrd->data);
	*kernel = *initrd = (struct host_file){ 0 };
}
