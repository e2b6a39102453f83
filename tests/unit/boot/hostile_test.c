/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds that nobody should trust: each ends in one error that says why, none in a crash. */
#include "boot_fixture.h"

static void refused(struct fixture *f, enum lodge_err code)
{
	struct boot_entry e;

	memset(&f->err, 0, sizeof(f->err));
	assert_int_equal(boot_load(&f->src, &e, &f->err), code);
	assert_int_equal(f->err.code, code);
	assert_true(f->err.text[0] != 0);
}

static void nothing_and_noise_are_not_kernels(void **state)
{
	struct fixture *f = *state;

	f->src.kernel.bytes = 0;
	refused(f, LODGE_ERR_FORMAT);
	f->src.kernel = (struct boot_file){ NULL, 0, "kernel" };
	refused(f, LODGE_ERR_FORMAT);
	f->src.kernel = (struct boot_file){ f->file, 1, "kernel" };
	refused(f, LODGE_ERR_FORMAT);
	f->src.kernel.bytes = sizeof(f->file);
	refused(f, LODGE_ERR_FORMAT);
	memset(f->file, 0xff, sizeof(f->file));
	refused(f, LODGE_ERR_FORMAT);
}

static void every_truncation_of_every_kind_is_survived(void **state)
{
	struct fixture *f = *state;
	static const uint64_t step[] = { 1, 7, 64 };

	for (unsigned kind = 0; kind < 3; kind++) {
		uint64_t whole;

		if (kind == 0)
			make_bzimage(f);
		else if (kind == 1)
			make_elf64(f, true);
		else
			make_multiboot(f);
		whole = f->src.kernel.bytes;
		for (uint64_t n = 0; n < whole; n += n < 0x400 ? step[0] : n < 0x1000 ? step[1] : step[2]) {
			/* In memory of just that size, so that a sanitizer sees a read beyond it. */
			uint8_t *copy = malloc(n ? n : 1);
			struct boot_entry e;

			assert_non_null(copy);
			memcpy(copy, f->file, n);
			f->src.kernel = (struct boot_file){ copy, n, "kernel" };
			(void)!boot_load(&f->src, &e, &f->err);
			free(copy);
		}
		f->src.kernel.data = f->file;
	}
}

static void setup_header_nonsense_is_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	f->file[LINUX_HDR_SETUP_SECTS] = 255;
	refused(f, LODGE_ERR_FORMAT);
	make_bzimage(f);
	f->file[LINUX_HDR_LOADFLAGS] = 0;
	refused(f, LODGE_ERR_FORMAT);
	make_bzimage(f);
	put_le32(f->file + LINUX_HDR_KERNEL_ALIGNMENT, 0x300000);
	refused(f, LODGE_ERR_FORMAT);
	make_bzimage(f);
	put_le32(f->file + LINUX_HDR_KERNEL_ALIGNMENT, 0);
	refused(f, LODGE_ERR_FORMAT);
	make_bzimage(f);
	f->file[LINUX_HDR_JUMP + 1] = 0;
	refused(f, LODGE_ERR_FORMAT);
	make_bzimage(f);
	f->src.kernel.bytes = 4 * 512 + 0x200;
	refused(f, LODGE_ERR_FORMAT);
}

static void kernels_larger_than_memory_are_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	put_le32(f->file + LINUX_HDR_INIT_SIZE, 0xffffffff);
	refused(f, LODGE_ERR_RANGE);
	make_bzimage(f);
	put_le64(f->file + LINUX_HDR_PREF_ADDRESS, UINT64_MAX);
	put_le32(f->file + LINUX_HDR_KERNEL_ALIGNMENT, 0x80000000);
	refused(f, LODGE_ERR_RANGE);
	make_bzimage(f);
	f->file[LINUX_HDR_RELOCATABLE] = 0;
	put_le64(f->file + LINUX_HDR_PREF_ADDRESS, UINT64_MAX);
	refused(f, LODGE_ERR_RANGE);
	make_bzimage(f);
	f->src.ram_low_end = 0x100000;
	refused(f, LODGE_ERR_RANGE);
}

static void initrd_larger_than_memory_is_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	f->src.initrd.bytes = FIXTURE_RAM;
	refused(f, LODGE_ERR_RANGE);
	f->src.initrd.bytes = UINT64_MAX;
	refused(f, LODGE_ERR_RANGE);
	f->src.initrd.bytes = 5000;
	put_le32(f->file + LINUX_HDR_INITRD_ADDR_MAX, 0x1000);
	refused(f, LODGE_ERR_RANGE);
	put_le32(f->file + LINUX_HDR_INITRD_ADDR_MAX, 0);
	refused(f, LODGE_ERR_RANGE);
}

static void command_line_beyond_the_kernels_limit_is_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	put_le32(f->file + LINUX_HDR_CMDLINE_SIZE, 4);
	refused(f, LODGE_ERR_ARG);
	f->src.cmdline = "quie";
	assert_int_equal(boot_load(&f->src, &(struct boot_entry){ 0 }, &f->err), LODGE_OK);
	f->src.cmdline = NULL;
	assert_int_equal(boot_load(&f->src, &(struct boot_entry){ 0 }, &f->err), LODGE_OK);
}

static void elf_segments_out_of_place_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *ph = f->file + 64;

	make_elf64(f, true);
	put_le64(ph + 24, 0x1000);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le64(ph + 24, UINT64_MAX - 0xfff);
	refused(f, LODGE_ERR_RANGE);
	make_elf64(f, true);
	put_le64(ph + 40, UINT64_MAX);
	refused(f, LODGE_ERR_RANGE);
	make_elf64(f, true);
	put_le64(ph + 40, 0x800);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le64(ph + 8, UINT64_MAX);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le64(f->file + 32, UINT64_MAX);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le16(f->file + 54, 8);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le16(f->file + 18, 183);
	refused(f, LODGE_ERR_FORMAT);
	make_elf64(f, true);
	put_le32(f->file + 0x800 + 36, 0x10);
	refused(f, LODGE_ERR_FORMAT);
}

static void overlapping_segments_do_not_clear_memory_forever(void **state)
{
	struct fixture *f = *state;

	make_elf64(f, false);
	put_le16(f->file + 56, 1000);
	f->src.kernel.bytes = sizeof(f->file);
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t *ph = f->file + 64 + 56 * i;

		memset(ph, 0, 56);
		put_le32(ph, ELF_PT_LOAD);
		put_le64(ph + 24, 0x100000);
		put_le64(ph + 40, FIXTURE_RAM - 0x100000);
	}
	refused(f, LODGE_ERR_FORMAT);
}

static void damaged_notes_are_no_pvh_entry(void **state)
{
	struct fixture *f = *state;
	struct elf_file elf;
	uint32_t entry;
	static const uint32_t sizes[] = { 0xffffffff, 0xfffffffd, 0x7fffffff, 4096, 29 };

	for (unsigned field = 0; field < 2; field++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			make_elf64(f, true);
			put_le32(f->file + 0x800 + 4 * field, sizes[i]);
			assert_int_equal(elf_open(&f->src.kernel, &elf, &f->err), LODGE_OK);
			assert_false(elf_pvh_entry(&elf, &entry));
		}
	}
}

static void multiboot_headers_that_lie_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *h = f->file + 0x20;

	make_multiboot(f);
	put_le32(h + 12, 0x200020); /* the file does not reach back that far */
	refused(f, LODGE_ERR_FORMAT);
	make_multiboot(f);
	put_le32(h + 16, 0x100040);
	refused(f, LODGE_ERR_FORMAT);
	make_multiboot(f);
	put_le32(h + 20, 0xffffffff);
	refused(f, LODGE_ERR_FORMAT);
	make_multiboot(f);
	put_le32(h + 24, 0xffffffff);
	refused(f, LODGE_ERR_RANGE);
	make_multiboot(f);
	put_le32(h + 28, 0);
	refused(f, LODGE_ERR_FORMAT);
	make_multiboot(f);
	put_le32(h + 4, 0x10008);
	put_le32(h + 8, 0u - 0x1badb002u - 0x10008u);
	refused(f, LODGE_ERR_UNSUPPORTED);
}

static void random_damage_is_survived(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (unsigned round = 0; round < 3000; round++) {
		struct boot_entry e;

		if (round % 3 == 0)
			make_bzimage(f);
		else if (round % 3 == 1)
			make_elf64(f, true);
		else
			make_multiboot(f);
		for (unsigned i = 0; i < 4; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			f->file[(seed >> 40) % 0x900] = (uint8_t)(seed >> 20);
		}
		(void)!boot_load(&f->src, &e, &f->err);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_and_noise_are_not_kernels),
		T(every_truncation_of_every_kind_is_survived),
		T(setup_header_nonsense_is_refused),
		T(kernels_larger_than_memory_are_refused),
		T(initrd_larger_than_memory_is_refused),
		T(command_line_beyond_the_kernels_limit_is_refused),
		T(elf_segments_out_of_place_are_refused),
		T(overlapping_segments_do_not_clear_memory_forever),
		T(damaged_notes_are_no_pvh_entry),
		T(multiboot_headers_that_lie_are_refused),
		T(random_damage_is_survived),
	};

	return cmocka_run_group_tests_name("boot_hostile", tests, NULL, NULL);
}
