/* SPDX-License-Identifier: Apache-2.0 */
/* Multiboot specification, version 0.6.96: the header in the first 8 KiB of a kernel. */
#ifndef LODGE_BOOT_MULTIBOOT1_H
#define LODGE_BOOT_MULTIBOOT1_H

#include "boot/boot.h"

struct multiboot1_header {
	uint64_t offset; /* in the file */
	uint32_t flags;
	/* a.out kludge, when flags has bit 16 */
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
#define MULTIBOOT1_AOUT_KLUDGE 0x10000u

/* A header with a right checksum; false when there is none. */
bool multiboot1_find(const struct boot_file *file, struct multiboot1_header *out);

#endif
