/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's ACPI tables as one relocatable image: pointers hold offsets
 * into it until somebody fixes them up. Direct boot does that itself
 * (acpi_image_place); firmware does it by the loader script that fw_cfg offers
 * (acpi_image_script). Used by src/machine.
 */
#ifndef LODGE_DEVICES_ACPI_ACPI_TABLES_H
#define LODGE_DEVICES_ACPI_ACPI_TABLES_H

#include "base/error.h"
#include "devices/acpi/byte_writer.h"

struct acpi_window {
	uint32_t first, last; /* inclusive */
};

struct acpi_config {
	unsigned vcpus;             /* APIC ids 0..vcpus-1 */
	uint64_t lapic, ioapic;
	uint64_t hpet;              /* 0: no HPET */
	uint64_t pciexbar;          /* MCFG: 256 buses */
	struct acpi_window pci_memory[2];
	uint8_t intx_gsi[32][4];    /* where slot's INTA..INTD arrive */
	uint16_t pm_base;           /* PM1a event block; control at +4, timer at +8 */
	bool pm_timer_32bit;
	uint8_t sci;
	uint8_t s5_type;            /* SLP_TYP that means soft off */
	uint16_t reset_port;
	uint8_t reset_value;
	uint16_t pvpanic_port;      /* 0: none */
	uint16_t fw_cfg_port;       /* 0: none */
	bool ps2;
};

#define ACPI_TABLES_MAX 0xe000u
#define ACPI_RSDP_BYTES 36u
#define ACPI_TABLES_ALIGN 64u
#define ACPI_FIXUPS_MAX 32
#define ACPI_CHECKSUMS_MAX 16

enum acpi_blob { ACPI_BLOB_TABLES, ACPI_BLOB_RSDP };

/* A pointer of @bytes (4 or 8) at @offset that means an address in the tables blob. */
struct acpi_fixup {
	enum acpi_blob blob;
	uint32_t offset;
	uint8_t bytes;
};
/* The byte at @offset makes [@start, @start+@len) sum to zero; in the order to apply them. */
struct acpi_checksum {
	enum acpi_blob blob;
	uint32_t start, len, offset;
};

struct acpi_image {
	uint8_t tables[ACPI_TABLES_MAX];
	uint32_t bytes;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	unsigned nfixups, nchecksums;
	struct acpi_fixup fixups[ACPI_FIXUPS_MAX];
	struct acpi_checksum checksums[ACPI_CHECKSUMS_MAX];
};

enum lodge_err acpi_image_build(const struct acpi_config *config, struct acpi_image *out) LODGE_MUST_CHECK;

/* Turn offsets into addresses for tables that will lie at @tables_addr (below 4 GiB), and make all checksums right. */
void acpi_image_place(struct acpi_image *image, uint64_t tables_addr);

/* The table-loader script for an image that was not placed. Returns its bytes, 0 if @cap is too small. */
#define ACPI_SCRIPT_MAX ((2u + ACPI_FIXUPS_MAX + ACPI_CHECKSUMS_MAX) * 128u)
uint32_t acpi_image_script(const struct acpi_image *image, uint8_t *buf, uint32_t cap);

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP "etc/acpi/rsdp"
#define ACPI_FILE_SCRIPT "etc/table-loader"

#endif
