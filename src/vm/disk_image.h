/* SPDX-License-Identifier: Apache-2.0 */
/* Opening disk images as a user names them. */
#ifndef LODGE_VM_DISK_IMAGE_H
#define LODGE_VM_DISK_IMAGE_H

#include "block/image.h"
#include "vm/vm_config.h"

/* The image that @config describes, with its backing image. block_image_close() when done. */
enum lodge_err disk_image_open(const struct vm_disk *config, struct block_image **out, struct lodge_error *err) LODGE_MUST_CHECK;
/* VM_DISK_UNTOLD becomes what the file's name says; a name that its contents contradict is an error. @file is closed on failure. */
enum lodge_err disk_image_format(struct block_file *file, enum vm_disk_format *format, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
