/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables as an operating system walks them, the loader script as firmware runs it, and the SMBIOS structures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "unit.h"
#include "base/types.h"
#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/aml.h"
#include "devices/acpi/smbios.h"

#define AT 0xe0040u

static const struct acpi_config config = {
	.vcpus = 16,
	.lapic = 0xfee00000,
	.ioapic = 0xfec00000,
	.hpet = 0xfed00000,
	.pciexbar = 0xb0000000,
	.pci_memory = { { 0x80000000, 0xafffffff }, { 0xc0000000, 0xfebfffff } },
	.pm_base = 0x600,
	.sci = 9,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.pvpanic_port = 0x505,
	.fw_cfg_port = 0x510,
	.ps2 = true,
};

static uint8_t sum_bytes(const uint8_t *p, uint32_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

/* The table at guest address @addr, checked: inside the image, checksum right. */
static const uint8_t *table_at(const struct acpi_image *im, uint64_t addr, const char signature[4])
{
	const uint8_t *t;

	assert_in_range(addr, AT, AT + im->bytes - 36);
	t = im->tables + (addr - AT);
	assert_memory_equal(t, signature, 4);
	assert_true(get_le32(t + 4) <= im->bytes - (addr - AT));
	if (memcmp(signature, "FACS", 4) != 0)
		assert_int_equal(sum_bytes(t, get_le32(t + 4)), 0);
	return t;
}

static const uint8_t *find_table(const struct acpi_image *im, const char signature[4])
{
	const uint8_t *xsdt = table_at(im, get_le64(im->rsdp + 24), "XSDT");
	uint32_t n = (get_le32(xsdt + 4) - 36) / 8;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t addr = get_le64(xsdt + 36 + 8 * i);

		if (memcmp(im->tables + (addr - AT), signature, 4) == 0)
			return table_at(im, addr, signature);
	}
	return NULL;
}

static void tables_are_reachable_and_sum_to_zero(void **state)
{
	static struct acpi_image im;
	const uint8_t *rsdt, *xsdt, *fadt;

	(void)state;
	assert_int_equal(acpi_image_build(&config, &im), LODGE_OK);
	acpi_image_place(&im, AT);
	assert_memory_equal(im.rsdp, "RSD PTR ", 8);
	assert_int_equal(sum_bytes(im.rsdp, 20), 0);
	assert_int_equal(sum_bytes(im.rsdp, 36), 0);
	rsdt = table_at(&im, get_le32(im.rsdp + 16), "RSDT");
	xsdt = table_at(&im, get_le64(im.rsdp + 24), "XSDT");
	assert_int_equal((get_le32(rsdt + 4) - 36) / 4, (get_le32(xsdt + 4) - 36) / 8);
	for (uint32_t i = 0; i < (get_le32(rsdt + 4) - 36) / 4; i++)
		assert_int_equal(get_le32(rsdt + 36 + 4 * i), get_le64(xsdt + 36 + 8 * i));
	fadt = find_table(&im, "FACP");
	assert_non_null(fadt);
	assert_int_equal(get_le32(fadt + 4), 276);
	assert_int_equal(get_le32(fadt + 36) % 64, 0);
	(void)table_at(&im, get_le32(fadt + 36), "FACS");
	(void)table_at(&im, get_le32(fadt + 40), "DSDT");
	assert_int_equal(get_le32(fadt + 40), get_le64(fadt + 140));
}

static void fadt_names_the_power_management_ports(void **state)
{
	static struct acpi_image im;
	const uint8_t *t;

	(void)state;
	assert_int_equal(acpi_image_build(&config, &im), LODGE_OK);
	acpi_image_place(&im, AT);
	t = find_table(&im, "FACP");
	assert_int_equal(get_le16(t + 46), 9);
	assert_int_equal(get_le32(t + 48), 0);
	assert_int_equal(get_le32(t + 56), 0x600);
	assert_int_equal(get_le32(t + 64), 0x604);
	assert_int_equal(get_le32(t + 76), 0x608);
	assert_int_equal(get_le64(t + 120), 0xcf9);
	assert_int_equal(t[128], 6);
	assert_int_equal(get_le32(t + 112) >> 10 & 1, 1);
	assert_int_equal(get_le64(t + 152), 0x600);
}

static void madt_lists_every_vcpu(void **state)
{
	static struct acpi_image im;

	(void)state;
	for (unsigned n = 1; n <= 16; n += 5) {
		struct acpi_config c = config;
		const uint8_t *t, *p;
		unsigned lapics = 0, ioapics = 0, overrides = 0;

		c.vcpus = n;
		assert_int_equal(acpi_image_build(&c, &im), LODGE_OK);
		acpi_image_place(&im, AT);
		t = find_table(&im, "APIC");
		assert_int_equal(get_le32(t + 36), 0xfee00000);
		for (p = t + 44; p < t + get_le32(t + 4); p += p[1]) {
			assert_true(p[1] >= 6);
			if (p[0] == 0) {
				assert_int_equal(p[3], lapics);
				assert_int_equal(get_le32(p + 4), 1);
				lapics++;
			} else if (p[0] == 1) {
				ioapics++;
			} else if (p[0] == 2) {
				assert_int_equal(get_le32(p + 4), p[3] == 0 ? 2 : 9);
				assert_int_equal(get_le16(p + 8), p[3] == 0 ? 0 : 0xd);
				overrides++;
			}
		}
		assert_ptr_equal(p, t + get_le32(t + 4));
		assert_int_equal(lapics, n);
		assert_int_equal(ioapics, 1);
		assert_int_equal(overrides, 2);
	}
}

static void hpet_is_listed_only_when_there(void **state)
{
	static struct acpi_image im;
	struct acpi_config c = config;

	(void)state;
	assert_int_equal(acpi_image_build(&c, &im), LODGE_OK);
	acpi_image_place(&im, AT);
	assert_int_equal(get_le64(find_table(&im, "HPET") + 44), 0xfed00000);
	assert_int_equal(get_le64(find_table(&im, "MCFG") + 44), 0xb0000000);
	c.hpet = 0;
	assert_int_equal(acpi_image_build(&c, &im), LODGE_OK);
	acpi_image_place(&im, AT);
	assert_null(find_table(&im, "HPET"));
}

/* Play firmware: allocate, patch, sum; the outcome must equal the image that we place ourselves. */
static void loader_script_gives_the_placed_image(void **state)
{
	static struct acpi_image plain, placed;
	static uint8_t script[ACPI_SCRIPT_MAX];
	unsigned allocated = 0;
	uint32_t n;

	(void)state;
	assert_int_equal(acpi_image_build(&config, &plain), LODGE_OK);
	placed = plain;
	acpi_image_place(&placed, AT);
	n = acpi_image_script(&plain, script, sizeof(script));
	assert_true(n && n % 128 == 0);
	for (const uint8_t *p = script; p < script + n; p += 128) {
		bool rsdp = strcmp((const char *)p + 4, "etc/acpi/rsdp") == 0;
		uint8_t *blob = rsdp ? plain.rsdp : plain.tables;
		uint32_t blob_bytes = rsdp ? ACPI_RSDP_BYTES : plain.bytes, at;

		assert_true(rsdp || strcmp((const char *)p + 4, "etc/acpi/tables") == 0);
		switch (get_le32(p)) {
		case 1:
			assert_int_equal(p[64], rsdp ? 2 : 1);
			allocated++;
			break;
		case 2:
			assert_int_equal(allocated, 2);
			assert_string_equal((const char *)p + 60, "etc/acpi/tables");
			at = get_le32(p + 116);
			assert_true(at + p[120] <= blob_bytes);
			if (p[120] == 4)
				put_le32(blob + at, get_le32(blob + at) + AT);
			else
				put_le64(blob + at, get_le64(blob + at) + AT);
			break;
		case 3:
			assert_true(get_le32(p + 64) + get_le32(p + 68) <= blob_bytes);
			blob[get_le32(p + 60)] = (uint8_t)(blob[get_le32(p + 60)] -
							   sum_bytes(blob + get_le32(p + 64), get_le32(p + 68)));
			break;
		default:
			fail();
		}
	}
	assert_memory_equal(plain.tables, placed.tables, placed.bytes);
	assert_memory_equal(plain.rsdp, placed.rsdp, ACPI_RSDP_BYTES);
	assert_int_equal(acpi_image_script(&plain, script, 200), 0);
}

static void write_file(const char *path, const uint8_t *data, size_t n)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* The reference compiler takes our byte code apart and puts it together again without a remark. */
static void iasl_understands_the_dsdt(void **state)
{
	static struct acpi_image im;
	char dir[] = "/tmp/lodge-acpi-XXXXXX", path[64], cmd[512];
	const uint8_t *fadt, *dsdt;

	(void)state;
	if (system("command -v iasl >/dev/null 2>&1") != 0)
		unit_skip("iasl is missing; scripts/setup installs it");
	assert_int_equal(acpi_image_build(&config, &im), LODGE_OK);
	acpi_image_place(&im, AT);
	fadt = find_table(&im, "FACP");
	dsdt = table_at(&im, get_le32(fadt + 40), "DSDT");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
	write_file(path, dsdt, get_le32(dsdt + 4));
	(void)snprintf(path, sizeof(path), "%s/facp.aml", dir);
	write_file(path, fadt, get_le32(fadt + 4));
	(void)snprintf(
		cmd, sizeof(cmd),
		"cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -d facp.aml >>log 2>&1 && iasl -we dsdt.dsl >>log 2>&1 &&"
		" grep -q 'Device (COM1)' dsdt.dsl && grep -q 'Name (.*_S5' dsdt.dsl && ! grep -qi 'invalid\\|incorrect\\|0 Errors, [1-9]' log",
		dir);
	assert_int_equal(system(cmd), 0);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void aml_encodes_names_and_numbers(void **state)
{
	uint8_t buf[64];
	struct byte_writer w = { .buf = buf, .cap = sizeof(buf) };
	static const uint8_t want[] = { '\\', 0x2e, '_',  'S',  'B',  '_',  'P',  'C',  'I',  '0',  0x00, 0x01, 0x0a, 0xff,
					0x0b, 0x00, 0x01, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x0c, 0x41, 0xd0, 0x0a, 0x08 };

	(void)state;
	aml_path(&w, "\\_SB.PCI0");
	aml_int(&w, 0);
	aml_int(&w, 1);
	aml_int(&w, 255);
	aml_int(&w, 256);
	aml_int(&w, 65536);
	aml_eisa_id(&w, "PNP0A08");
	assert_int_equal(w.len, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

static void a_full_buffer_is_an_error_not_an_overrun(void **state)
{
	uint8_t buf[4] = { 0 };
	struct byte_writer w = { .buf = buf, .cap = 3 };

	(void)state;
	aml_close(&w, aml_scope(&w, "\\_SB"));
	assert_true(w.overflow);
	assert_int_equal(buf[3], 0);
}

static void smbios_structures_walk_to_the_end(void **state)
{
	static struct smbios_image im;
	struct smbios_config c = { .vcpus = 4, .cpu_mhz = 2000, .cpu_vendor = "GenuineIntel", .ram_bytes = UINT64_C(64) << 30,
				   .ram_low_bytes = UINT64_C(2) << 30, .ram_high_base = UINT64_C(4) << 30 };
	static const uint8_t want[] = { 0, 1, 3, 4, 16, 17, 19, 19, 32, 127 };
	const uint8_t *p, *end;
	unsigned n = 0;

	(void)state;
	assert_int_equal(smbios_build(&c, &im), LODGE_OK);
	smbios_place(&im, 0xf0020);
	assert_memory_equal(im.anchor, "_SM3_", 5);
	assert_int_equal(sum_bytes(im.anchor, 24), 0);
	assert_int_equal(get_le32(im.anchor + 12), im.bytes);
	assert_int_equal(get_le64(im.anchor + 16), 0xf0020);
	for (p = im.table, end = p + im.bytes; p < end; n++) {
		assert_true(n < sizeof(want));
		assert_int_equal(p[0], want[n]);
		p += p[1];
		while (p[0] || p[1])
			p++;
		p += 2;
	}
	assert_ptr_equal(p, end);
	assert_int_equal(n, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_reachable_and_sum_to_zero),
		cmocka_unit_test(fadt_names_the_power_management_ports),
		cmocka_unit_test(madt_lists_every_vcpu),
		cmocka_unit_test(hpet_is_listed_only_when_there),
		cmocka_unit_test(loader_script_gives_the_placed_image),
		cmocka_unit_test(iasl_understands_the_dsdt),
		cmocka_unit_test(aml_encodes_names_and_numbers),
		cmocka_unit_test(a_full_buffer_is_an_error_not_an_overrun),
		cmocka_unit_test(smbios_structures_walk_to_the_end),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
