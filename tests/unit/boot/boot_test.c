/* SPDX-License-Identifier: Apache-2.0 */
/* What a well-formed kernel finds in memory after each boot protocol, fact by fact. */
#include "boot_fixture.h"

static void bzimage_lands_where_its_header_says(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;
	const uint8_t *zp;

	make_bzimage(f);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.kind, BOOT_BZIMAGE);
	assert_int_equal(e.mode, BOOT_CPU_LONG64);
	assert_int_equal(e.rip, 0x400200);
	assert_int_equal(e.rsi, BOOT_INFO);
	assert_memory_equal(fixture_ram(f, 0x400000), f->file + 2048, 32768);
	zp = fixture_ram(f, BOOT_INFO);
	assert_memory_equal(zp + LINUX_HDR_MAGIC, "HdrS", 4);
	assert_int_equal(zp[LINUX_HDR_TYPE_OF_LOADER], 0xff);
	assert_int_equal(zp[0x1e8], 3);
	assert_int_equal(get_le64(zp + 0x2d0 + 40), 0x100000);
	assert_int_equal(get_le32(zp + 0x2d0 + 56), E820_RAM);
	assert_int_equal(get_le64(zp + 0x70), 0xe0000);
	assert_int_equal(get_le32(zp + LINUX_HDR_CMD_LINE_PTR), BOOT_CMDLINE);
	assert_string_equal((const char *)fixture_ram(f, BOOT_CMDLINE), "console=ttyS0");
	assert_int_equal(get_le32(zp + LINUX_HDR_RAMDISK_SIZE), 5000);
	assert_int_equal(get_le32(zp + LINUX_HDR_RAMDISK_IMAGE), FIXTURE_RAM - 8192);
	assert_memory_equal(fixture_ram(f, FIXTURE_RAM - 8192), f->initrd, 5000);
}

static void bzimage_without_64_bit_entry_starts_in_32_bit_mode(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;

	make_bzimage(f);
	put_le16(f->file + LINUX_HDR_XLOADFLAGS, 0);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.mode, BOOT_CPU_FLAT32);
	assert_int_equal(e.rip, 0x400000);
}

static void initrd_stays_below_the_kernels_limit(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;

	make_bzimage(f);
	put_le32(f->file + LINUX_HDR_INITRD_ADDR_MAX, 0xafffff);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(get_le32(fixture_ram(f, BOOT_INFO) + LINUX_HDR_RAMDISK_IMAGE), 0xb00000 - 8192);
}

static void small_memory_moves_a_relocatable_kernel_down(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;

	make_bzimage(f);
	f->src.ram_low_end = 0x400000;
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.rip, 0x200200);
}

static void long_mode_tables_map_the_first_four_gigabytes(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;
	const uint8_t *pt;

	make_bzimage(f);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	pt = fixture_ram(f, BOOT_PAGE_TABLES);
	assert_int_equal(get_le64(pt), BOOT_PAGE_TABLES + 0x1003);
	assert_int_equal(get_le64(pt + 8), 0);
	assert_int_equal(get_le64(pt + 0x1000 + 24), BOOT_PAGE_TABLES + 0x5003);
	assert_int_equal(get_le64(pt + 0x1000 + 32), 0);
	for (uint64_t i = 0; i < 2048; i++)
		assert_int_equal(get_le64(pt + 0x2000 + 8 * i), i << 21 | 0x83);
	assert_int_equal(get_le64(fixture_ram(f, BOOT_GDT + BOOT_SEL_CODE)), UINT64_C(0x00af9b000000ffff));
	assert_int_equal(get_le64(fixture_ram(f, BOOT_GDT + BOOT_SEL_DATA)), UINT64_C(0x00cf93000000ffff));
}

static void pvh_kernel_gets_its_start_info(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;
	const uint8_t *si;

	make_elf64(f, true);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.kind, BOOT_PVH);
	assert_int_equal(e.mode, BOOT_CPU_FLAT32);
	assert_int_equal(e.rip, 0x200020);
	assert_int_equal(e.ebx, BOOT_INFO);
	si = fixture_ram(f, BOOT_INFO);
	assert_int_equal(get_le32(si), 0x336ec578);
	assert_int_equal(get_le32(si + 4), 1);
	assert_int_equal(get_le32(si + 12), 1);
	assert_int_equal(get_le64(fixture_ram(f, get_le64(si + 16))), FIXTURE_RAM - 8192);
	assert_int_equal(get_le64(fixture_ram(f, get_le64(si + 16)) + 8), 5000);
	assert_int_equal(get_le64(si + 32), 0xe0000);
	assert_int_equal(get_le32(si + 48), 3);
	assert_int_equal(get_le64(fixture_ram(f, get_le64(si + 40)) + 24), 0x9fc00);
	assert_memory_equal(fixture_ram(f, 0x200000), f->file + 0x1000, 0x1000);
	for (unsigned i = 0x1000; i < 0x2000; i++)
		assert_int_equal(*fixture_ram(f, 0x200000 + i), 0);
	assert_int_equal(*fixture_ram(f, 0x202000), 0xcc);
}

static void vmlinux_without_note_is_entered_in_long_mode(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;

	make_elf64(f, false);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.kind, BOOT_VMLINUX);
	assert_int_equal(e.mode, BOOT_CPU_LONG64);
	assert_int_equal(e.rip, 0x200010);
	assert_int_equal(e.rsi, BOOT_INFO);
	assert_int_equal(get_le32(fixture_ram(f, BOOT_INFO) + LINUX_HDR_RAMDISK_SIZE), 5000);
}

static void multiboot_kernel_gets_its_information(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;
	const uint8_t *mbi;

	make_multiboot(f);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.kind, BOOT_MULTIBOOT1);
	assert_int_equal(e.rip, 0x100100);
	assert_int_equal(e.eax, 0x2badb002);
	mbi = fixture_ram(f, e.ebx);
	assert_int_equal(get_le32(mbi) & 0x4d, 0x4d);
	assert_int_equal(get_le32(mbi + 4), 639);
	assert_int_equal(get_le32(mbi + 8), (FIXTURE_RAM >> 10) - 1024);
	assert_string_equal((const char *)fixture_ram(f, get_le32(mbi + 16)), "console=ttyS0");
	assert_int_equal(get_le32(mbi + 20), 1);
	assert_int_equal(get_le32(fixture_ram(f, get_le32(mbi + 24))), FIXTURE_RAM - 8192);
	assert_int_equal(get_le32(mbi + 44), 72);
	assert_int_equal(get_le32(fixture_ram(f, get_le32(mbi + 48))), 20);
	assert_memory_equal(fixture_ram(f, 0x100000), f->file, 4096);
	assert_int_equal(*fixture_ram(f, 0x101000), 0);
	assert_int_equal(*fixture_ram(f, 0x102fff), 0);
	assert_int_equal(*fixture_ram(f, 0x103000), 0xcc);
}

static void multiboot_header_in_an_elf_file_uses_the_elf_segments(void **state)
{
	struct fixture *f = *state;
	struct boot_entry e;
	uint8_t *h = f->file + 0x1000;

	make_elf64(f, true);
	put_le32(h, 0x1badb002);
	put_le32(h + 4, 0);
	put_le32(h + 8, 0u - 0x1badb002u);
	assert_int_equal(boot_load(&f->src, &e, &f->err), LODGE_OK);
	assert_int_equal(e.kind, BOOT_MULTIBOOT1);
	assert_int_equal(e.rip, 0x200010);
}

static void e820_entries_merge_and_are_bounded(void **state)
{
	struct e820_map map = { .count = 0 };

	(void)state;
	assert_int_equal(e820_add(&map, 0, 0x1000, E820_RAM), LODGE_OK);
	assert_int_equal(e820_add(&map, 0x1000, 0x1000, E820_RAM), LODGE_OK);
	assert_int_equal(map.count, 1);
	assert_int_equal(map.entry[0].len, 0x2000);
	assert_int_equal(e820_add(&map, 0x2000, 0, E820_RESERVED), LODGE_OK);
	assert_int_equal(map.count, 1);
	for (uint64_t i = 0; i < E820_MAX - 1; i++)
		assert_int_equal(e820_add(&map, 0x10000 * (i + 1), 1, E820_NVS), LODGE_OK);
	assert_int_equal(e820_add(&map, 0x10000000, 1, E820_NVS), LODGE_ERR_RANGE);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bzimage_lands_where_its_header_says),
		T(bzimage_without_64_bit_entry_starts_in_32_bit_mode),
		T(initrd_stays_below_the_kernels_limit),
		T(small_memory_moves_a_relocatable_kernel_down),
		T(long_mode_tables_map_the_first_four_gigabytes),
		T(pvh_kernel_gets_its_start_info),
		T(vmlinux_without_note_is_entered_in_long_mode),
		T(multiboot_kernel_gets_its_information),
		T(multiboot_header_in_an_elf_file_uses_the_elf_segments),
		T(e820_entries_merge_and_are_bounded),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
