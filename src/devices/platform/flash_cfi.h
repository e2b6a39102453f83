/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parallel NOR flash with the Intel/Sharp command set (CFI vendor id 0001h), as
 * firmware drives it to keep its variables. Byte wide, one device. All accesses
 * come over the MMIO bus: reads must see status bytes the moment a command was
 * written, so the array is never mapped directly.
 */
#ifndef LODGE_DEVICES_PLATFORM_FLASH_CFI_H
#define LODGE_DEVICES_PLATFORM_FLASH_CFI_H

#include "devices/device.h"

#define FLASH_BLOCK_BYTES 4096u
#define FLASH_WRITE_BUFFER_BYTES 64u

enum flash_mode {
	FLASH_READ_ARRAY,
	FLASH_READ_STATUS,
	FLASH_READ_ID,
	FLASH_READ_QUERY,
	FLASH_PROGRAM,       /* the next write is the byte */
	FLASH_ERASE,         /* the next write confirms */
	FLASH_LOCK,          /* the next write says which lock; locks are accepted and have no effect */
	FLASH_BUFFER_COUNT,  /* the next write is the count minus one */
	FLASH_BUFFER_DATA,
	FLASH_BUFFER_CONFIRM,
};

struct flash_cfi {
	struct bus_region region;
	struct host_mutex lock;
	uint8_t *array; /* the owner's; changed by programming and erasing */
	uint64_t bytes;
	bool read_only;

	/* guarded by lock */
	enum flash_mode mode;
	uint8_t status;
	uint64_t changes; /* program and erase operations so far: is there something to save? */
	uint64_t buffer_block;
	unsigned buffer_left, buffer_len;
	uint64_t buffer_addr[FLASH_WRITE_BUFFER_BYTES];
	uint8_t buffer[FLASH_WRITE_BUFFER_BYTES];
};

/* @bytes is a multiple of FLASH_BLOCK_BYTES. The region is for the MMIO bus at @base. */
void flash_cfi_init(struct flash_cfi *f, uint64_t base, uint8_t *array, uint64_t bytes, bool read_only);
void flash_cfi_reset(struct flash_cfi *f);

#endif
