/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's boot protocol: the setup header of a bzImage and the zero page (struct boot_params). */
#ifndef LODGE_BOOT_BZIMAGE_H
#define LODGE_BOOT_BZIMAGE_H

#include "boot/boot.h"

/* Offsets in the kernel file and in the zero page alike. */
#define LINUX_HDR_SETUP_SECTS 0x1f1u
#define LINUX_HDR_SYSSIZE 0x1f4u /* of what is behind the setup sectors, in 16-byte units */
#define LINUX_HDR_BOOT_FLAG 0x1feu
#define LINUX_HDR_JUMP 0x200u
#define LINUX_HDR_MAGIC 0x202u
#define LINUX_HDR_VERSION 0x206u
#define LINUX_HDR_TYPE_OF_LOADER 0x210u
#define LINUX_HDR_LOADFLAGS 0x211u
#define LINUX_HDR_CODE32_START 0x214u
#define LINUX_HDR_RAMDISK_IMAGE 0x218u
#define LINUX_HDR_RAMDISK_SIZE 0x21cu
#define LINUX_HDR_CMD_LINE_PTR 0x228u
#define LINUX_HDR_INITRD_ADDR_MAX 0x22cu
#define LINUX_HDR_KERNEL_ALIGNMENT 0x230u
#define LINUX_HDR_RELOCATABLE 0x234u
#define LINUX_HDR_XLOADFLAGS 0x236u
#define LINUX_HDR_CMDLINE_SIZE 0x238u
#define LINUX_HDR_PREF_ADDRESS 0x258u
#define LINUX_HDR_INIT_SIZE 0x260u
#define LINUX_HDR_END_MAX 0x290u

/* The setup header after all checks. */
struct bzimage_header {
	unsigned version;        /* 0x0200 and up */
	uint64_t payload_offset; /* of the protected-mode part in the file */
	uint64_t payload_bytes;
	unsigned header_end;     /* of the header in the file, for the copy into the zero page */
	bool has_entry64;
	bool relocatable;
	uint64_t alignment, pref_address, init_size;
	uint64_t initrd_addr_max;
	uint64_t cmdline_max;
};

bool bzimage_is(const struct boot_file *file);
enum lodge_err bzimage_parse(const struct boot_file *file, struct bzimage_header *out, struct lodge_error *err) LODGE_MUST_CHECK;

/* Where in RAM the kernel goes: its preferred address if that has room, else the first aligned one. */
enum lodge_err bzimage_place(const struct boot_file *file, const struct bzimage_header *h, uint64_t ram_end, uint64_t *load,
			     struct lodge_error *err) LODGE_MUST_CHECK;

/* The zero page without a setup header: e820 table, RSDP, command line, initrd. @page is one page, zeroed before. */
void zero_page_fill(uint8_t *page, const struct boot_source *src, uint64_t initrd);

#endif
