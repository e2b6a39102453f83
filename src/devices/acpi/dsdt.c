/* SPDX-License-Identifier: Apache-2.0 */
/* DSDT: processors, the PCI host bridge with its windows and interrupt routing, LPC devices, soft off. */
#include "devices/acpi/dsdt.h"

#include "devices/acpi/aml.h"

#define LPC_SLOT 0x1fu

static void write_processors(struct byte_writer *w, unsigned n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (unsigned i = 0; i < n; i++) {
		char name[5] = { 'C', 'P', hex[i / 16 % 16], hex[i % 16], 0 };
		uint32_t dev = aml_device(w, name);

		aml_name_string(w, "_HID", "ACPI0007");
		aml_name_int(w, "_UID", i);
		aml_close(w, dev);
	}
}

/* Every slot and pin goes straight to an IO-APIC input; there are no link devices. */
static void write_prt(struct byte_writer *w, const struct acpi_config *config)
{
	uint32_t prt;

	aml_name(w, "_PRT");
	prt = aml_package(w, 31 * 4);
	for (uint32_t slot = 1; slot < 32; slot++) {
		for (uint32_t pin = 0; pin < 4; pin++) {
			uint32_t route = aml_package(w, 4);

			aml_int(w, slot << 16 | 0xffff);
			aml_int(w, pin);
			aml_int(w, 0);
			aml_int(w, config->intx_gsi[slot][pin]);
			aml_close(w, route);
		}
	}
	aml_close(w, prt);
}

static void write_host_bridge_crs(struct byte_writer *w, const struct acpi_config *config)
{
	struct aml_crs crs = aml_crs_open(w);

	aml_crs_bus_window(w, 0, 255);
	aml_crs_io(w, 0xcf8, 8);
	aml_crs_io_window(w, 0, 0xcf7);
	aml_crs_io_window(w, 0xd00, 0xffff);
	aml_crs_memory_window(w, 0xa0000, 0xbffff);
	for (unsigned i = 0; i < 2; i++)
		if (config->pci_memory[i].last > config->pci_memory[i].first)
			aml_crs_memory_window(w, config->pci_memory[i].first, config->pci_memory[i].last);
	aml_crs_close(w, crs);
}

static void write_isa_device(struct byte_writer *w, const char *name, const char id[7], unsigned uid, uint16_t port,
			     uint8_t ports, unsigned irq)
{
	uint32_t dev = aml_device(w, name);
	struct aml_crs crs;

	aml_name_eisa_id(w, "_HID", id);
	aml_name_int(w, "_UID", uid);
	crs = aml_crs_open(w);
	aml_crs_io(w, port, ports);
	if (irq)
		aml_crs_irq(w, irq);
	aml_crs_close(w, crs);
	aml_close(w, dev);
}

static void write_keyboard_controller(struct byte_writer *w)
{
	uint32_t dev = aml_device(w, "KBD");
	struct aml_crs crs;

	aml_name_eisa_id(w, "_HID", "PNP0303");
	crs = aml_crs_open(w);
	aml_crs_io(w, 0x60, 1);
	aml_crs_io(w, 0x64, 1);
	aml_crs_irq(w, 1);
	aml_crs_close(w, crs);
	aml_close(w, dev);
}

static void write_lpc(struct byte_writer *w, const struct acpi_config *config)
{
	uint32_t lpc = aml_device(w, "LPC");

	aml_name_int(w, "_ADR", LPC_SLOT << 16);
	write_isa_device(w, "COM1", "PNP0501", 1, 0x3f8, 8, 4);
	write_isa_device(w, "COM2", "PNP0501", 2, 0x2f8, 8, 3);
	write_isa_device(w, "RTC", "PNP0B00", 0, 0x70, 2, 8);
	if (config->ps2)
		write_keyboard_controller(w);
	aml_close(w, lpc);
}

static void write_host_bridge(struct byte_writer *w, const struct acpi_config *config)
{
	uint32_t dev = aml_device(w, "PCI0");

	aml_name_eisa_id(w, "_HID", "PNP0A08");
	aml_name_eisa_id(w, "_CID", "PNP0A03");
	aml_name_int(w, "_UID", 0);
	aml_name_int(w, "_BBN", 0);
	aml_name_int(w, "_SEG", 0);
	write_host_bridge_crs(w, config);
	write_prt(w, config);
	write_lpc(w, config);
	aml_close(w, dev);
}

/* What nobody may hand out: the configuration window, the power management ports. */
static void write_motherboard(struct byte_writer *w, const struct acpi_config *config)
{
	uint32_t dev = aml_device(w, "MBRD");
	struct aml_crs crs;

	aml_name_eisa_id(w, "_HID", "PNP0C02");
	aml_name_int(w, "_UID", 1);
	crs = aml_crs_open(w);
	aml_crs_memory32(w, (uint32_t)config->pciexbar, 0x10000000);
	aml_crs_io(w, config->pm_base, 0x80);
	aml_crs_close(w, crs);
	aml_close(w, dev);
}

static void write_virtual_device(struct byte_writer *w, const char *name, const char *hid, uint16_t port, uint8_t ports)
{
	uint32_t dev = aml_device(w, name);
	struct aml_crs crs;

	aml_name_string(w, "_HID", hid);
	aml_name_int(w, "_STA", 0xf);
	crs = aml_crs_open(w);
	aml_crs_io(w, port, ports);
	aml_crs_close(w, crs);
	aml_close(w, dev);
}

static void write_hpet(struct byte_writer *w, uint64_t base)
{
	uint32_t dev = aml_device(w, "HPET");
	struct aml_crs crs;

	aml_name_eisa_id(w, "_HID", "PNP0103");
	aml_name_int(w, "_UID", 0);
	crs = aml_crs_open(w);
	aml_crs_memory32(w, (uint32_t)base, 0x400);
	aml_crs_close(w, crs);
	aml_close(w, dev);
}

static void write_soft_off(struct byte_writer *w, uint8_t sleep_type)
{
	uint32_t s5;

	aml_name(w, "\\_S5");
	s5 = aml_package(w, 4);
	aml_int(w, sleep_type);
	aml_int(w, sleep_type);
	aml_int(w, 0);
	aml_int(w, 0);
	aml_close(w, s5);
}

void dsdt_write(struct byte_writer *w, const struct acpi_config *config)
{
	uint32_t sb = aml_scope(w, "\\_SB");

	write_processors(w, config->vcpus);
	write_host_bridge(w, config);
	write_motherboard(w, config);
	if (config->pvpanic_port)
		write_virtual_device(w, "PVPN", "QEMU0001", config->pvpanic_port, 1);
	if (config->fw_cfg_port)
		write_virtual_device(w, "FWCF", "QEMU0002", config->fw_cfg_port, 12);
	if (config->hpet)
		write_hpet(w, config->hpet);
	aml_close(w, sb);
	write_soft_off(w, config->s5_type);
}
