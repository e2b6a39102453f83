/* SPDX-License-Identifier: Apache-2.0 */
/* What firmware finds: its own flash, the fw_cfg items, and the tables that it shall install. */
#include "base/checked.h"
#include "base/mem.h"
#include "machine/machine_internal.h"

#define FIRMWARE_MIN KIB(64)
#define SERCON_PORT 0x3f8u
#define SYSTEM_STATE_SUPPORTED 0x80u

static uint8_t *blob_copy(const struct machine_blob *blob)
{
	uint8_t *p = host_alloc_sparse(blob->bytes);

	if (p)
		memcpy(p, blob->data, blob->bytes);
	return p;
}

/* Code ends at 4 GiB; the variables' slot lies right below it. */
enum lodge_err machine_firmware_load(struct machine *m, struct lodge_error *err)
{
	const struct machine_blob *code = &m->config.firmware, *vars = &m->config.firmware_vars;

	if (m->config.boot != MACHINE_BOOT_FIRMWARE)
		return LODGE_OK;
	if (code->bytes < FIRMWARE_MIN || code->bytes % MEMORY_PAGE_BYTES || code->bytes > MACHINE_ROM_MAX)
		return error_set(err, LODGE_ERR_FORMAT,
				 "%s: not a firmware image: it must have 64 KiB to 16 MiB, a multiple of 4 KiB", code->name);
	if (vars->bytes % FLASH_BLOCK_BYTES || vars->bytes > MACHINE_ROM_MAX - code->bytes)
		return error_set(err, LODGE_ERR_FORMAT,
				 "%s: not a variable store: it must have a multiple of 4 KiB, with the firmware at most 16 MiB",
				 vars->name);
	m->rom = blob_copy(code);
	if (!m->rom)
		return error_set(err, LODGE_ERR_NOMEM, "the host has no memory left for the firmware");
	m->rom_bytes = code->bytes;
	if (!vars->bytes)
		return LODGE_OK;
	m->vars = blob_copy(vars);
	if (!m->vars)
		return error_set(err, LODGE_ERR_NOMEM, "the host has no memory left for the firmware's variables");
	m->vars_bytes = vars->bytes;
	flash_cfi_init(&m->flash_vars, MACHINE_RAM_HIGH - code->bytes - vars->bytes, m->vars, vars->bytes, false);
	return LODGE_OK;
}

void machine_firmware_free(struct machine *m)
{
	if (m->rom)
		host_free_sparse(m->rom, m->rom_bytes);
	if (m->vars)
		host_free_sparse(m->vars, m->vars_bytes);
}

static enum lodge_err build_acpi(struct machine *m)
{
	struct acpi_config c = {
		.vcpus = m->config.vcpus,
		.lapic = MACHINE_LAPIC,
		.ioapic = MACHINE_IOAPIC,
		.hpet = m->config.hpet ? MACHINE_HPET : 0,
		.pciexbar = MACHINE_PCIEXBAR,
		.pci_memory = { { (uint32_t)MACHINE_RAM_LOW_MAX, (uint32_t)MACHINE_PCIEXBAR - 1 }, { 0xc0000000, 0xfebfffff } },
		.pm_base = MACHINE_PMBASE,
		.pm_timer_32bit = false,
		.sci = MACHINE_SCI,
		.s5_type = ACPI_PM_S5,
		.reset_port = MACHINE_RESET_PORT,
		.reset_value = MACHINE_RESET_VALUE,
		.pvpanic_port = PVPANIC_PORT,
		.fw_cfg_port = FW_CFG_PORT,
		.ps2 = true,
	};
	enum lodge_err rc;

	for (unsigned slot = 0; slot < 32; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			c.intx_gsi[slot][pin] = (uint8_t)(MACHINE_PCI_GSI_BASE + pci_pirq(slot, pin));
	rc = acpi_image_build(&c, &m->acpi);
	if (rc != LODGE_OK)
		return rc;
	m->acpi_script_bytes = acpi_image_script(&m->acpi, m->acpi_script, sizeof(m->acpi_script));
	return m->acpi_script_bytes ? LODGE_OK : LODGE_ERR_RANGE;
}

static enum lodge_err build_smbios(struct machine *m)
{
	const struct x86_cpu_model *model = m->config.model;
	struct smbios_config c = {
		.vcpus = m->config.vcpus,
		.cpu_mhz = model->tsc_khz / 1000,
		.cpu_vendor = model->vendor == CPU_VENDOR_AMD ? "AuthenticAMD" : "GenuineIntel",
		.ram_bytes = m->config.mem->ram_bytes,
		.ram_low_bytes = m->memory.low_bytes,
		.ram_high_base = MACHINE_RAM_HIGH,
	};
	struct cpuid_regs leaf1;

	cpu_model_cpuid(model, 0, 0, 0, 1, 0, &leaf1);
	c.cpuid_eax = leaf1.eax;
	c.cpuid_edx = leaf1.edx;
	memcpy(c.uuid, m->config.uuid, sizeof(c.uuid));
	return smbios_build(&c, &m->smbios);
}

/* For direct boot, as firmware would report it. */
static enum lodge_err build_e820(struct machine *m)
{
	struct e820_map *map = &m->e820;
	enum lodge_err rc;

	*map = (struct e820_map){ 0 };
	rc = e820_add(map, 0, BOOT_EBDA, E820_RAM);
	if (rc == LODGE_OK)
		rc = e820_add(map, BOOT_EBDA, 0xa0000 - BOOT_EBDA, E820_RESERVED);
	if (rc == LODGE_OK)
		rc = e820_add(map, MACHINE_ACPI_AREA, 0x100000 - MACHINE_ACPI_AREA, E820_RESERVED);
	if (rc == LODGE_OK)
		rc = e820_add(map, 0x100000, m->memory.low_bytes - 0x100000, E820_RAM);
	if (rc == LODGE_OK)
		rc = e820_add(map, MACHINE_PCIEXBAR, MIB(256), E820_RESERVED);
	if (rc == LODGE_OK)
		rc = e820_add(map, MACHINE_RAM_HIGH, m->memory.high_bytes, E820_RAM);
	return rc;
}

enum lodge_err machine_tables_build(struct machine *m, struct lodge_error *err)
{
	if (build_acpi(m) != LODGE_OK || build_smbios(m) != LODGE_OK || build_e820(m) != LODGE_OK)
		return error_set(err, LODGE_ERR_INTERNAL, "the machine's description does not fit its tables");
	return LODGE_OK;
}

static void put_e820_entry(uint8_t *p, uint64_t base, uint64_t bytes)
{
	put_le64(p, base);
	put_le64(p + 8, bytes);
	put_le32(p + 16, E820_RAM);
}

static enum lodge_err add_numbers(struct machine *m)
{
	static const struct { uint16_t key; uint8_t bytes; } item[] = {
		{ FW_CFG_RAM_SIZE, 8 }, { FW_CFG_NB_CPUS, 2 }, { FW_CFG_MAX_CPUS, 2 }, { FW_CFG_NOGRAPHIC, 2 },
		{ FW_CFG_BOOT_MENU, 2 }, { FW_CFG_IRQ0_OVERRIDE, 4 },
	};
	const uint64_t value[ARRAY_LEN(item)] = { m->config.mem->ram_bytes, m->config.vcpus, m->config.vcpus, 1, 0, 1 };
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < ARRAY_LEN(item) && rc == LODGE_OK; i++)
		rc = fw_cfg_add_number(&m->fw_cfg, item[i].key, value[i], item[i].bytes);
	if (rc == LODGE_OK)
		rc = fw_cfg_add(&m->fw_cfg, FW_CFG_UUID, m->config.uuid, sizeof(m->config.uuid));
	return rc;
}

static enum lodge_err add_files(struct machine *m)
{
	struct fw_cfg *f = &m->fw_cfg;
	uint32_t e820_bytes = m->memory.high_bytes ? 40 : 20;
	enum lodge_err rc;

	put_e820_entry(m->fw_e820, 0, m->memory.low_bytes);
	put_e820_entry(m->fw_e820 + 20, MACHINE_RAM_HIGH, m->memory.high_bytes);
	m->system_states[0] = m->system_states[5] = SYSTEM_STATE_SUPPORTED; /* running and off; no sleep states */
	rc = fw_cfg_add_file(f, "etc/e820", m->fw_e820, e820_bytes);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, "etc/system-states", m->system_states, sizeof(m->system_states));
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, ACPI_FILE_TABLES, m->acpi.tables, m->acpi.bytes);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, ACPI_FILE_RSDP, m->acpi.rsdp, ACPI_RSDP_BYTES);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, ACPI_FILE_SCRIPT, m->acpi_script, m->acpi_script_bytes);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, SMBIOS_FILE_ANCHOR, m->smbios.anchor, SMBIOS_ANCHOR_BYTES);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, SMBIOS_FILE_TABLES, m->smbios.table, m->smbios.bytes);
	if (rc == LODGE_OK)
		rc = fw_cfg_add_file(f, "bootorder", "", 1);
	if (rc == LODGE_OK) /* SeaBIOS then draws its screen on the serial port as well */
		rc = fw_cfg_add_file_number(f, "etc/sercon-port", SERCON_PORT, 2);
	return rc;
}

static enum lodge_err add_sized(struct fw_cfg *f, uint16_t size_key, uint16_t data_key, const void *data, uint32_t bytes)
{
	enum lodge_err rc = fw_cfg_add_number(f, size_key, bytes, 4);

	return rc == LODGE_OK ? fw_cfg_add(f, data_key, data, bytes) : rc;
}

/* Firmware that can start a kernel itself finds setup part, kernel, initrd and command line here. */
static enum lodge_err add_kernel(struct machine *m, struct lodge_error *err)
{
	const struct machine_blob *k = &m->config.kernel, *initrd = &m->config.initrd;
	const uint8_t *data = k->data;
	struct fw_cfg *f = &m->fw_cfg;
	uint32_t setup, cmdline_bytes;
	enum lodge_err rc;

	if (m->config.boot != MACHINE_BOOT_FIRMWARE || !k->bytes)
		return LODGE_OK;
	if (k->bytes > UINT32_MAX || initrd->bytes > UINT32_MAX)
		return error_set(err, LODGE_ERR_ARG, "kernel or initrd is larger than 4 GiB, more than firmware can take");
	setup = k->bytes > 0x1f1 ? (data[0x1f1] ? data[0x1f1] + 1u : 5u) * 512u : 0;
	if (setup >= k->bytes)
		return error_set(err, LODGE_ERR_FORMAT, "%s: not a Linux bzImage, or truncated; firmware can start nothing else",
				 k->name);
	cmdline_bytes = (uint32_t)boot_text_len(m->config.cmdline, BOOT_CMDLINE_MAX - 1) + 1;
	rc = add_sized(f, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, data, setup);
	if (rc == LODGE_OK)
		rc = add_sized(f, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, data + setup, (uint32_t)k->bytes - setup);
	if (rc == LODGE_OK)
		rc = add_sized(f, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, initrd->data, (uint32_t)initrd->bytes);
	if (rc == LODGE_OK)
		rc = add_sized(f, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA, m->config.cmdline ? m->config.cmdline : "",
			       cmdline_bytes);
	return rc == LODGE_OK ? rc : error_set(err, LODGE_ERR_INTERNAL, "fw_cfg is full");
}

enum lodge_err machine_fw_cfg_fill(struct machine *m, struct lodge_error *err)
{
	enum lodge_err rc = add_kernel(m, err);

	if (rc != LODGE_OK)
		return rc;
	if (add_numbers(m) != LODGE_OK || add_files(m) != LODGE_OK || fw_cfg_finish(&m->fw_cfg) != LODGE_OK)
		return error_set(err, LODGE_ERR_INTERNAL, "fw_cfg is full");
	return LODGE_OK;
}
