/* SPDX-License-Identifier: Apache-2.0 */
/* Booting what is installed on a disk: its own kernel and initrd, as a boot loader finds them. */
#ifndef LODGE_VM_BOOT_DISK_H
#define LODGE_VM_BOOT_DISK_H

#include "host/file.h"
#include "vm/vm_config.h"

/* From /vmlinuz and /initrd.img, which lead to the newest ones on Debian, or those in /boot. @initrd stays empty if @disk has none. */
enum lodge_err boot_disk_load(const struct vm_disk *disk, struct host_file *kernel, struct host_file *initrd, struct lodge_error *err) LODGE_MUST_CHECK;
/* Not host_file_unload(): the memory is another. Fine on zeroed ones. */
void boot_disk_unload(struct host_file *kernel, struct host_file *initrd);

#endif
