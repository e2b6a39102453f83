/* SPDX-License-Identifier: Apache-2.0 */
/* fw_cfg by its ports and by DMA, with a guest that lies about addresses and lengths; the flash chip's command set. */
#include <stdlib.h>
#include <string.h>
#include "unit.h"
#include "base/types.h"
#include "devices/platform/flash_cfi.h"
#include "devices/platform/fw_cfg.h"

#define RAM_BYTES 0x10000u

struct fixture {
	struct guest_memory mem;
	struct fw_cfg cfg;
	uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
	uint8_t writable[16];
};

static const uint8_t file_a[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(4096, (sizeof(*f) + 4095) & ~4095u);

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	memory_init(&f->mem, -1, f->ram, RAM_BYTES);
	assert_int_equal(memory_add_range(&f->mem, &(struct memory_range){ 0, RAM_BYTES, f->ram, f->ram, 0 }), LODGE_OK);
	fw_cfg_init(&f->cfg, &f->mem);
	assert_int_equal(fw_cfg_add_file(&f->cfg, "etc/b", file_a, sizeof(file_a)), LODGE_OK);
	assert_int_equal(fw_cfg_add_file_writable(&f->cfg, "etc/c", f->writable, sizeof(f->writable)), LODGE_OK);
	assert_int_equal(fw_cfg_add_file_number(&f->cfg, "etc/a", 0x1234, 2), LODGE_OK);
	assert_int_equal(fw_cfg_add_number(&f->cfg, FW_CFG_NB_CPUS, 4, 2), LODGE_OK);
	assert_int_equal(fw_cfg_finish(&f->cfg), LODGE_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static uint64_t reg(struct bus_region *r, bool write, uint64_t offset, uint8_t size, uint64_t value)
{
	struct bus_access a = { .offset = offset, .value = value, .size = size, .is_write = write };

	if (r->ops->access(r->dev, &a) == BUS_UNHANDLED && !write)
		return size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
	return a.value;
}

static void select_key(struct fixture *f, uint16_t key) { (void)reg(&f->cfg.region, true, 0, 2, key); }
static uint8_t next(struct fixture *f) { return (uint8_t)reg(&f->cfg.region, false, 1, 1, 0); }

static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t addr)
{
	put_be32(f->ram + 0x100, control);
	put_be32(f->ram + 0x104, len);
	put_be64(f->ram + 0x108, addr);
	(void)reg(&f->cfg.region, true, 4, 4, 0);
	(void)reg(&f->cfg.region, true, 8, 4, __builtin_bswap32(0x100));
	return get_be32(f->ram + 0x100);
}

static void signature_and_numbers_read_by_port(void **state)
{
	struct fixture *f = *state;

	select_key(f, FW_CFG_SIGNATURE);
	assert_int_equal(next(f), 'Q');
	assert_int_equal(next(f), 'E');
	assert_int_equal(next(f), 'M');
	assert_int_equal(next(f), 'U');
	assert_int_equal(next(f), 0);
	select_key(f, FW_CFG_ID);
	assert_int_equal(next(f), 3);
	select_key(f, FW_CFG_NB_CPUS);
	assert_int_equal(next(f), 4);
	assert_int_equal(next(f), 0);
	select_key(f, 0x7777);
	assert_int_equal(next(f), 0);
	assert_int_equal(reg(&f->cfg.region, false, 4, 4, 0), get_le32("QEMU"));
	assert_int_equal(reg(&f->cfg.region, false, 8, 4, 0), get_le32(" CFG"));
}

static void directory_is_sorted_and_leads_to_files(void **state)
{
	struct fixture *f = *state;
	uint8_t dir[4 + 3 * 64];

	select_key(f, FW_CFG_FILE_DIR);
	for (unsigned i = 0; i < sizeof(dir); i++)
		dir[i] = next(f);
	assert_int_equal(get_be32(dir), 3);
	assert_string_equal((const char *)dir + 12, "etc/a");
	assert_string_equal((const char *)dir + 76, "etc/b");
	assert_string_equal((const char *)dir + 140, "etc/c");
	assert_int_equal(get_be32(dir + 68), sizeof(file_a));
	select_key(f, get_be16(dir + 72));
	for (unsigned i = 0; i < sizeof(file_a); i++)
		assert_int_equal(next(f), file_a[i]);
	assert_int_equal(next(f), 0);
}

static void dma_reads_pad_with_zeros(void **state)
{
	struct fixture *f = *state;

	memset(f->ram + 0x200, 0xee, 32);
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0a, 16, 0x200), 0);
	assert_memory_equal(f->ram + 0x200, file_a, sizeof(file_a));
	assert_int_equal(f->ram[0x20a], 0);
	assert_int_equal(f->ram[0x20f], 0);
	assert_int_equal(f->ram[0x210], 0xee);
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0c, 8, 0), 0);
	assert_int_equal(dma(f, 0x02, 2, 0x200), 0);
	assert_int_equal(f->ram[0x200], 9);
}

static void dma_writes_only_what_may_be_written(void **state)
{
	struct fixture *f = *state;

	memset(f->ram + 0x200, 0x42, 32);
	assert_int_equal(dma(f, (FW_CFG_FILE_FIRST + 1) << 16 | 0x18, 16, 0x200), 0);
	assert_int_equal(f->writable[15], 0x42);
	assert_int_equal(dma(f, (FW_CFG_FILE_FIRST + 1) << 16 | 0x18, 17, 0x200), 1);
	assert_int_equal(dma(f, 0x10, 1, 0x200), 1);
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x18, 1, 0x200), 1);
	assert_int_equal(dma(f, UINT32_C(0x7777) << 16 | 0x18, 1, 0x200), 1);
}

static void dma_with_bad_addresses_says_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0a, 10, RAM_BYTES - 5), 1);
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0a, 0xffffffff, 0), 1);
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0a, 10, UINT64_MAX), 1);
	assert_int_equal(dma(f, (FW_CFG_FILE_FIRST + 1) << 16 | 0x18, 10, UINT64_MAX - 4), 1);
	(void)reg(&f->cfg.region, true, 4, 4, 0xffffffff);
	(void)reg(&f->cfg.region, true, 8, 4, 0xffffffff);
	assert_int_equal(reg(&f->cfg.region, false, 0, 4, 0), 0xffffffff);
}

static void long_names_and_too_many_items_are_refused(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	assert_int_equal(fw_cfg_add_file(&f->cfg, "etc/a-name-that-is-far-too-long-for-the-directory-of-fw-cfg", file_a, 1),
			 LODGE_ERR_RANGE);
	assert_int_equal(fw_cfg_add(&f->cfg, FW_CFG_NB_CPUS, file_a, 1), LODGE_ERR_RANGE);
	while (n < 1000 && fw_cfg_add(&f->cfg, (uint16_t)(0x1000 + n), file_a, 1) == LODGE_OK)
		n++;
	assert_true(n < FW_CFG_ITEMS_MAX);
}

static void flash_programs_erases_and_answers_status(void **state)
{
	static uint8_t array[2 * FLASH_BLOCK_BYTES];
	struct flash_cfi fl;
	struct bus_region *r = &fl.region;

	(void)state;
	memset(array, 0x55, sizeof(array));
	flash_cfi_init(&fl, 0xffc00000, array, sizeof(array), false);
	assert_int_equal(reg(r, false, 0, 4, 0), 0x55555555);
	(void)reg(r, true, 0, 1, 0x50);
	assert_int_equal(reg(r, false, 0, 1, 0), 0x55);
	(void)reg(r, true, 0, 1, 0x70);
	assert_int_equal(reg(r, false, 0, 1, 0), 0);
	(void)reg(r, true, 0x1234, 1, 0x20);
	(void)reg(r, true, 0x1234, 1, 0xd0);
	assert_int_equal(reg(r, false, 0x1234, 1, 0), 0x80);
	(void)reg(r, true, 0x1300, 1, 0x40);
	(void)reg(r, true, 0x1300, 1, 0x0f);
	assert_int_equal(reg(r, false, 0, 1, 0), 0x80);
	(void)reg(r, true, 0, 1, 0xff);
	assert_int_equal(reg(r, false, 0x12ff, 4, 0), 0xffff0fff);
	assert_int_equal(reg(r, false, 0xfff, 1, 0), 0x55);
	assert_int_equal(fl.changes, 2);
	/* buffered: two bytes */
	(void)reg(r, true, 0x1400, 1, 0xe8);
	(void)reg(r, true, 0x1400, 1, 1);
	(void)reg(r, true, 0x1400, 1, 0x11);
	(void)reg(r, true, 0x1401, 1, 0x22);
	(void)reg(r, true, 0x1400, 1, 0xd0);
	(void)reg(r, true, 0, 1, 0xff);
	assert_int_equal(reg(r, false, 0x1400, 2, 0), 0x2211);
	(void)reg(r, true, 0, 1, 0x98);
	assert_int_equal(reg(r, false, 0x10, 1, 0), 'Q');
}

static void read_only_flash_keeps_its_bytes(void **state)
{
	static uint8_t array[FLASH_BLOCK_BYTES];
	struct flash_cfi fl;
	struct bus_region *r = &fl.region;
	uint64_t seed = 1;

	(void)state;
	memset(array, 0x99, sizeof(array));
	flash_cfi_init(&fl, 0xffc00000, array, sizeof(array), true);
	for (unsigned i = 0; i < 200000; i++) {
		static const uint8_t cmd[] = { 0x10, 0x20, 0x40, 0xd0, 0xe8, 0x60, 0xff, 0x98, 0x50, 1 };
		uint8_t size;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size = (uint8_t)(1u << (seed >> 60 & 3));
		(void)reg(r, seed >> 59 & 1, (seed >> 33) % (sizeof(array) - size + 1), size, cmd[(seed >> 20) % sizeof(cmd)]);
	}
	for (unsigned i = 0; i < sizeof(array); i++)
		assert_int_equal(array[i], 0x99);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signature_and_numbers_read_by_port),
		T(directory_is_sorted_and_leads_to_files),
		T(dma_reads_pad_with_zeros),
		T(dma_writes_only_what_may_be_written),
		T(dma_with_bad_addresses_says_error),
		T(long_names_and_too_many_items_are_refused),
		cmocka_unit_test(flash_programs_erases_and_answers_status),
		cmocka_unit_test(read_only_flash_keeps_its_bytes),
	};

	return cmocka_run_group_tests_name("fw_cfg", tests, NULL, NULL);
}
