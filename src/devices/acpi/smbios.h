/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS 3.0 tables: who made the machine, its processors and memory. Used by src/machine. */
#ifndef LODGE_DEVICES_ACPI_SMBIOS_H
#define LODGE_DEVICES_ACPI_SMBIOS_H

#include "base/error.h"
#include "devices/acpi/byte_writer.h"

struct smbios_config {
	unsigned vcpus;
	uint32_t cpu_mhz;
	uint32_t cpuid_eax, cpuid_edx; /* of leaf 1, as Linux and Windows show them */
	const char *cpu_vendor;
	uint64_t ram_bytes, ram_low_bytes, ram_high_base; /* RAM is [0, low) and [high_base, ...) */
	uint8_t uuid[16];
};

#define SMBIOS_ANCHOR_BYTES 24u
#define SMBIOS_TABLE_MAX 2048u
struct smbios_image {
	uint8_t anchor[SMBIOS_ANCHOR_BYTES];
	uint8_t table[SMBIOS_TABLE_MAX];
	uint32_t bytes;
};

enum lodge_err smbios_build(const struct smbios_config *config, struct smbios_image *out) LODGE_MUST_CHECK;
/* Tell the anchor where the table lies. */
void smbios_place(struct smbios_image *image, uint64_t table_addr);

#define SMBIOS_FILE_ANCHOR "etc/smbios/smbios-anchor"
#define SMBIOS_FILE_TABLES "etc/smbios/smbios-tables"

#endif
