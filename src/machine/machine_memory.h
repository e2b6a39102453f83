/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest physical memory map: RAM around the 32-bit hole, firmware ROM below
 * 4 GiB, and the 256 KiB below 1 MiB where the host bridge's PAM registers
 * choose between ROM and RAM.
 */
#ifndef LODGE_MACHINE_MACHINE_MEMORY_H
#define LODGE_MACHINE_MACHINE_MEMORY_H

#include "devices/device.h"
#include "memory/guest_memory.h"

#define MACHINE_RAM_MIN MIB(2)
#define MACHINE_ROM_MAX MIB(16) /* firmware and variables together: FF000000h to 4 GiB */
#define MACHINE_SHADOW_SEGMENTS 16 /* of 16 KiB */
#define MACHINE_SHADOW_BASE UINT64_C(0xc0000)
#define MACHINE_SHADOW_BYTES UINT64_C(0x40000)

struct machine_memory {
	struct guest_memory *mem;
	uint64_t low_bytes;  /* RAM from 0 */
	uint64_t high_bytes; /* RAM from 4 GiB */
	uint8_t *rom;        /* NULL: none; ends at 4 GiB, its last 128 KiB also below 1 MiB */
	uint64_t rom_bytes;
	struct bus_region shadow; /* for writes to RAM that is not readable now */
	struct host_mutex lock;
	uint8_t shadow_bits[MACHINE_SHADOW_SEGMENTS]; /* guarded by lock; MACHINE_SHADOW_* */
};

/* For each 16 KiB from C0000h: where its reads and writes go, as the host bridge's PAM registers say. */
#define MACHINE_SHADOW_READ 1u  /* to RAM; otherwise ROM, or nothing */
#define MACHINE_SHADOW_WRITE 2u /* to RAM; otherwise dropped */

/* Splits RAM and checks its size. LODGE_ERR_ARG with an explanation. */
enum lodge_err machine_memory_init(struct machine_memory *mm, struct guest_memory *mem, uint8_t *rom, uint64_t rom_bytes,
				   struct lodge_error *err) LODGE_MUST_CHECK;

/* Catch writes to hidden RAM on the MMIO bus. */
enum lodge_err machine_memory_add_shadow(struct machine_memory *mm, struct bus *mmio) LODGE_MUST_CHECK;

/* Take new bits; *changed says whether the map is another one now. The first call lists the ranges. */
enum lodge_err machine_memory_set_shadow(struct machine_memory *mm, const uint8_t bits[MACHINE_SHADOW_SEGMENTS],
					 bool *changed) LODGE_MUST_CHECK;

#endif
