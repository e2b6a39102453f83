/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg: what the machine tells firmware about itself, by numbered items and
 * a directory of named files. Register interface and item numbers as in the
 * public "QEMU Firmware Configuration Device" specification, which firmware
 * and kernels expect; ports 510h, 511h, DMA at 514h.
 */
#ifndef LODGE_DEVICES_PLATFORM_FW_CFG_H
#define LODGE_DEVICES_PLATFORM_FW_CFG_H

#include "devices/device.h"
#include "memory/guest_memory.h"

#define FW_CFG_PORT 0x510u
#define FW_CFG_PORTS 12u

enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04,
	FW_CFG_NB_CPUS = 0x05,
	FW_CFG_KERNEL_ADDR = 0x07,
	FW_CFG_KERNEL_SIZE = 0x08,
	FW_CFG_INITRD_ADDR = 0x0a,
	FW_CFG_INITRD_SIZE = 0x0b,
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_MAX_CPUS = 0x0f,
	FW_CFG_KERNEL_DATA = 0x11,
	FW_CFG_INITRD_DATA = 0x12,
	FW_CFG_CMDLINE_ADDR = 0x13,
	FW_CFG_CMDLINE_SIZE = 0x14,
	FW_CFG_CMDLINE_DATA = 0x15,
	FW_CFG_SETUP_ADDR = 0x16,
	FW_CFG_SETUP_SIZE = 0x17,
	FW_CFG_SETUP_DATA = 0x18,
	FW_CFG_FILE_DIR = 0x19,
	FW_CFG_FILE_FIRST = 0x20,
	FW_CFG_IRQ0_OVERRIDE = 0x8002,
};

#define FW_CFG_ITEMS_MAX 64
#define FW_CFG_NAME_BYTES 56
#define FW_CFG_DIR_BYTES (4 + FW_CFG_ITEMS_MAX * 64)

struct fw_cfg_item {
	uint16_t key;
	bool is_file;
	uint32_t len;
	const uint8_t *data;
	uint8_t *writable;                /* the same bytes when the guest may write them, else NULL */
	uint8_t inline_data[8];           /* of small numbers */
	char name[FW_CFG_NAME_BYTES];     /* files only */
};

struct fw_cfg {
	struct guest_memory *mem;
	struct bus_region region;
	struct host_mutex lock;

	/* set-up only, const afterwards */
	unsigned nitems;
	uint16_t next_file_key;
	struct fw_cfg_item items[FW_CFG_ITEMS_MAX];
	uint8_t directory[FW_CFG_DIR_BYTES];

	/* guarded by lock */
	uint16_t selected;
	uint64_t offset; /* in the selected item; may lie beyond its end */
	uint64_t dma_addr;
};

void fw_cfg_init(struct fw_cfg *f, struct guest_memory *mem);
void fw_cfg_reset(struct fw_cfg *f);

/* Set-up. Data stays the caller's and must outlive the device. LODGE_ERR_RANGE when full or a name is too long. */
enum lodge_err fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len) LODGE_MUST_CHECK;
enum lodge_err fw_cfg_add_number(struct fw_cfg *f, uint16_t key, uint64_t value, uint32_t bytes) LODGE_MUST_CHECK;
enum lodge_err fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len) LODGE_MUST_CHECK;
enum lodge_err fw_cfg_add_file_number(struct fw_cfg *f, const char *name, uint64_t value, uint32_t bytes) LODGE_MUST_CHECK;
enum lodge_err fw_cfg_add_file_writable(struct fw_cfg *f, const char *name, void *data, uint32_t len) LODGE_MUST_CHECK;
/* After the last file: writes the directory. */
enum lodge_err fw_cfg_finish(struct fw_cfg *f) LODGE_MUST_CHECK;

#endif
