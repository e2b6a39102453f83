/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes ACPI Machine Language, as much of it as the DSDT needs. Terms with a
 * length are opened and closed: the length is patched in at the close.
 */
#ifndef LODGE_DEVICES_ACPI_AML_H
#define LODGE_DEVICES_ACPI_AML_H

#include "devices/acpi/byte_writer.h"

/* A name path such as "\\_SB", "PCI0" or "\\_SB.PCI0"; segments are padded to four characters. */
void aml_path(struct byte_writer *w, const char *path);

/* Each returns the mark that aml_close() wants. */
uint32_t aml_scope(struct byte_writer *w, const char *path);
uint32_t aml_device(struct byte_writer *w, const char *name);
uint32_t aml_package(struct byte_writer *w, uint8_t elements);
void aml_close(struct byte_writer *w, uint32_t mark);

/* Name(@name, what follows). */
void aml_name(struct byte_writer *w, const char *name);
void aml_int(struct byte_writer *w, uint64_t value);
void aml_string(struct byte_writer *w, const char *text);
void aml_eisa_id(struct byte_writer *w, const char id[7]);
void aml_name_int(struct byte_writer *w, const char *name, uint64_t value);
void aml_name_eisa_id(struct byte_writer *w, const char *name, const char id[7]);
void aml_name_string(struct byte_writer *w, const char *name, const char *text);

/* Name(_CRS, ResourceTemplate() { ... }): descriptors go between open and close. */
struct aml_crs {
	uint32_t mark, size_at;
};
struct aml_crs aml_crs_open(struct byte_writer *w);
void aml_crs_close(struct byte_writer *w, struct aml_crs crs);
void aml_crs_io(struct byte_writer *w, uint16_t base, uint8_t len);
void aml_crs_irq(struct byte_writer *w, unsigned irq);
void aml_crs_memory32(struct byte_writer *w, uint32_t base, uint32_t len);
/* Address spaces that a bridge hands down; @last is inclusive. */
void aml_crs_bus_window(struct byte_writer *w, uint16_t first, uint16_t last);
void aml_crs_io_window(struct byte_writer *w, uint16_t first, uint16_t last);
void aml_crs_memory_window(struct byte_writer *w, uint32_t first, uint32_t last);

#endif
