/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory and small kernels for the tests of src/boot. */
#ifndef LODGE_TESTS_UNIT_BOOT_FIXTURE_H
#define LODGE_TESTS_UNIT_BOOT_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include "unit.h"
#include "base/types.h"
#include "boot/boot.h"
#include "boot/bzimage.h"
#include "boot/elf.h"
#include "boot/multiboot1.h"
#include "memory/guest_memory.h"

#define FIXTURE_RAM (UINT64_C(16) << 20)

struct fixture {
	struct guest_memory mem;
	struct e820_map e820;
	struct boot_source src;
	struct lodge_error err;
	uint8_t file[64 * 1024];
	uint8_t initrd[8192];
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t *ram = aligned_alloc(4096, FIXTURE_RAM);

	assert_non_null(f);
	assert_non_null(ram);
	memset(ram, 0xcc, FIXTURE_RAM);
	memory_init(&f->mem, -1, ram, FIXTURE_RAM);
	assert_int_equal(memory_add_range(&f->mem, &(struct memory_range){ 0, FIXTURE_RAM, ram, ram, 0 }), LODGE_OK);
	assert_int_equal(e820_add(&f->e820, 0, 0x9fc00, E820_RAM), LODGE_OK);
	assert_int_equal(e820_add(&f->e820, 0x9fc00, 0x60400, E820_RESERVED), LODGE_OK);
	assert_int_equal(e820_add(&f->e820, 0x100000, FIXTURE_RAM - 0x100000, E820_RAM), LODGE_OK);
	memset(f->initrd, 0x5a, sizeof(f->initrd));
	f->src = (struct boot_source){
		.mem = &f->mem, .e820 = &f->e820, .ram_low_end = FIXTURE_RAM, .cmdline = "console=ttyS0", .rsdp = 0xe0000
	};
	f->src.kernel = (struct boot_file){ f->file, sizeof(f->file), "kernel" };
	f->src.initrd = (struct boot_file){ f->initrd, 5000, "initrd" };
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	free(f->mem.ram_hva);
	free(f);
	return 0;
}

static inline uint8_t *fixture_ram(struct fixture *f, uint64_t at) { return f->mem.ram_hva + at; }

/* A bzImage of 3 setup sectors with a 64-bit entry, 32 KiB of payload. */
static inline void make_bzimage(struct fixture *f)
{
	uint8_t *d = f->file;

	memset(d, 0, sizeof(f->file));
	d[LINUX_HDR_SETUP_SECTS] = 3;
	put_le16(d + LINUX_HDR_BOOT_FLAG, 0xaa55);
	d[LINUX_HDR_JUMP] = 0xeb;
	d[LINUX_HDR_JUMP + 1] = 0x6a;
	memcpy(d + LINUX_HDR_MAGIC, "HdrS", 4);
	put_le16(d + LINUX_HDR_VERSION, 0x20f);
	d[LINUX_HDR_LOADFLAGS] = 1;
	put_le32(d + LINUX_HDR_INITRD_ADDR_MAX, 0x7fffffff);
	put_le32(d + LINUX_HDR_KERNEL_ALIGNMENT, 0x200000);
	d[LINUX_HDR_RELOCATABLE] = 1;
	put_le16(d + LINUX_HDR_XLOADFLAGS, 1);
	put_le32(d + LINUX_HDR_CMDLINE_SIZE, 2047);
	put_le64(d + LINUX_HDR_PREF_ADDRESS, 0x400000);
	put_le32(d + LINUX_HDR_INIT_SIZE, 0x100000);
	memset(d + 4 * 512, 0x90, 32768);
	f->src.kernel.bytes = 4 * 512 + 32768;
}

/* ELF64: one PT_LOAD of 4 KiB at 2 MiB (8 KiB in memory), one PT_NOTE with the PVH entry when @pvh. */
static inline void make_elf64(struct fixture *f, bool pvh)
{
	uint8_t *d = f->file, *ph = d + 64, *note = d + 0x800;

	memset(d, 0, sizeof(f->file));
	memcpy(d, "\177ELF\2\1\1", 7);
	put_le16(d + 16, 2);
	put_le16(d + 18, 62);
	put_le64(d + 24, 0x200010);
	put_le64(d + 32, 64);
	put_le16(d + 54, 56);
	put_le16(d + 56, 2);
	put_le32(ph, ELF_PT_LOAD);
	put_le64(ph + 8, 0x1000);
	put_le64(ph + 24, 0x200000);
	put_le64(ph + 32, 0x1000);
	put_le64(ph + 40, 0x2000);
	put_le32(ph + 56, pvh ? ELF_PT_NOTE : 0);
	put_le64(ph + 64, 0x800);
	put_le64(ph + 88, 40);
	put_le32(note, 4);
	put_le32(note + 4, 4);
	put_le32(note + 8, 1);
	memcpy(note + 12, "GNU", 4);
	put_le32(note + 20, 4);
	put_le32(note + 24, 4);
	put_le32(note + 28, 18);
	memcpy(note + 32, "Xen", 4);
	put_le32(note + 36, 0x200020);
	memset(d + 0x1000, 0x77, 0x1000);
	f->src.kernel.bytes = 0x2000;
}

/* Multiboot by the a.out kludge: the whole file at 1 MiB. */
static inline void make_multiboot(struct fixture *f)
{
	uint8_t *h = f->file + 0x20;

	memset(f->file, 0x66, 4096);
	put_le32(h, 0x1badb002);
	put_le32(h + 4, MULTIBOOT1_AOUT_KLUDGE | 3);
	put_le32(h + 8, 0u - 0x1badb002u - (MULTIBOOT1_AOUT_KLUDGE | 3));
	put_le32(h + 12, 0x100020);
	put_le32(h + 16, 0x100000);
	put_le32(h + 20, 0x101000);
	put_le32(h + 24, 0x103000);
	put_le32(h + 28, 0x100100);
	f->src.kernel.bytes = 4096;
}

#endif
