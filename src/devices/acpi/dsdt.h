/* SPDX-License-Identifier: Apache-2.0 */
/* The definition block that names what a PC's enumerable buses do not show. */
#ifndef LODGE_DEVICES_ACPI_DSDT_H
#define LODGE_DEVICES_ACPI_DSDT_H

#include "devices/acpi/acpi_tables.h"

/* The body, after the table header. */
void dsdt_write(struct byte_writer *w, const struct acpi_config *config);

#endif
