/* SPDX-License-Identifier: Apache-2.0 */
/* System Management BIOS reference specification 3.0: entry point and structures 0, 1, 3, 4, 16, 17, 19, 32, 127. */
#include "devices/acpi/smbios.h"

#include "base/compiler.h"

#define HANDLE_CHASSIS 0x0300u
#define HANDLE_CPU 0x0400u
#define HANDLE_ARRAY 0x1000u
#define HANDLE_DIMM 0x1100u
#define HANDLE_MAPPING 0x1300u

/* The formatted part; strings follow. */
static uint8_t *structure(struct byte_writer *w, uint8_t type, uint8_t bytes, uint16_t handle)
{
	uint8_t *p = writer_take(w, bytes);

	if (p) {
		p[0] = type;
		p[1] = bytes;
		put_le16(p + 2, handle);
	}
	return p;
}

static void strings(struct byte_writer *w, const char *const *texts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (const char *c = texts[i]; *c; c++)
			writer_u8(w, (uint8_t)*c);
		writer_u8(w, 0);
	}
	if (!n)
		writer_u8(w, 0);
	writer_u8(w, 0);
}

static void write_bios(struct byte_writer *w)
{
	static const char *const text[] = { "Lodge", "1", "01/01/2025" };
	uint8_t *p = structure(w, 0, 0x18, 0);

	if (p) {
		p[4] = 1;
		p[5] = 2;
		put_le16(p + 6, 0xe000);
		p[8] = 3;
		put_le64(p + 10, 0x08);  /* characteristics not supported */
		p[19] = 0x14;            /* a virtual machine; targeted content distribution */
		p[20] = 1;
		p[22] = 0xff;
		p[23] = 0xff;
	}
	strings(w, text, ARRAY_LEN(text));
}

static void write_system(struct byte_writer *w, const uint8_t uuid[16])
{
	static const char *const text[] = { "Lodge", "PC", "1" };
	uint8_t *p = structure(w, 1, 0x1b, 0x0100);

	if (p) {
		p[4] = 1;
		p[5] = 2;
		p[6] = 3;
		memcpy(p + 8, uuid, 16);
		p[24] = 6; /* woken by the power switch */
	}
	strings(w, text, ARRAY_LEN(text));
}

static void write_chassis(struct byte_writer *w)
{
	static const char *const text[] = { "Lodge" };
	uint8_t *p = structure(w, 3, 0x16, HANDLE_CHASSIS);

	if (p) {
		p[4] = 1;
		p[5] = 1; /* other */
		p[9] = p[10] = p[11] = 3; /* boot-up, power supply, thermal: safe */
		p[12] = 3;
	}
	strings(w, text, ARRAY_LEN(text));
}

static void write_processor(struct byte_writer *w, const struct smbios_config *c)
{
	const char *text[] = { "CPU 0", c->cpu_vendor };
	uint8_t *p = structure(w, 4, 0x30, HANDLE_CPU);
	uint8_t cores = (uint8_t)MIN(c->vcpus, 255u);

	if (p) {
		p[4] = 1;
		p[5] = 3;    /* central processor */
		p[6] = 1;
		p[7] = 2;
		put_le32(p + 8, c->cpuid_eax);
		put_le32(p + 12, c->cpuid_edx);
		put_le16(p + 20, (uint16_t)c->cpu_mhz);
		put_le16(p + 22, (uint16_t)c->cpu_mhz);
		p[24] = 0x41; /* populated, enabled */
		p[25] = 1;
		put_le16(p + 26, 0xffff);
		put_le16(p + 28, 0xffff);
		put_le16(p + 30, 0xffff);
		p[35] = p[36] = p[37] = cores;
		put_le16(p + 38, 0x04); /* 64-bit capable */
		put_le16(p + 40, 1);
		put_le16(p + 42, cores);
		put_le16(p + 44, cores);
		put_le16(p + 46, cores);
	}
	strings(w, text, ARRAY_LEN(text));
}

static void write_memory_array(struct byte_writer *w, uint64_t ram_bytes)
{
	uint8_t *p = structure(w, 16, 0x17, HANDLE_ARRAY);

	if (p) {
		p[4] = 1;    /* other */
		p[5] = 3;    /* system memory */
		p[6] = 6;    /* multi-bit ECC */
		put_le32(p + 7, 0x80000000); /* see the extended field */
		put_le16(p + 11, 0xfffe);
		put_le16(p + 13, 1);
		put_le64(p + 15, ram_bytes);
	}
	strings(w, NULL, 0);
}

static void write_memory_device(struct byte_writer *w, uint64_t ram_bytes)
{
	static const char *const text[] = { "DIMM 0", "Lodge" };
	uint64_t mib = ram_bytes >> 20;
	uint8_t *p = structure(w, 17, 0x28, HANDLE_DIMM);

	if (p) {
		put_le16(p + 4, HANDLE_ARRAY);
		put_le16(p + 6, 0xfffe);
		put_le16(p + 8, 0xffff);
		put_le16(p + 10, 0xffff);
		put_le16(p + 12, mib < 0x7fff ? (uint16_t)mib : 0x7fff);
		p[14] = 9; /* DIMM */
		p[16] = 1;
		p[18] = 7; /* RAM */
		put_le16(p + 19, 2);
		p[23] = 2;
		put_le32(p + 28, mib < 0x7fff ? 0 : (uint32_t)mib);
	}
	strings(w, text, ARRAY_LEN(text));
}

static void write_mapping(struct byte_writer *w, unsigned index, uint64_t base, uint64_t bytes)
{
	uint8_t *p = structure(w, 19, 0x1f, (uint16_t)(HANDLE_MAPPING + index));

	if (p) {
		put_le32(p + 4, 0xffffffff); /* see the extended fields */
		put_le32(p + 8, 0xffffffff);
		put_le16(p + 12, HANDLE_ARRAY);
		p[14] = 1;
		put_le64(p + 15, base);
		put_le64(p + 23, base + bytes - 1);
	}
	strings(w, NULL, 0);
}

enum lodge_err smbios_build(const struct smbios_config *c, struct smbios_image *out)
{
	struct byte_writer w = { .buf = out->table, .cap = SMBIOS_TABLE_MAX };
	uint8_t *p;

	*out = (struct smbios_image){ 0 };
	write_bios(&w);
	write_system(&w, c->uuid);
	write_chassis(&w);
	write_processor(&w, c);
	write_memory_array(&w, c->ram_bytes);
	write_memory_device(&w, c->ram_bytes);
	write_mapping(&w, 0, 0, c->ram_low_bytes);
	if (c->ram_bytes > c->ram_low_bytes)
		write_mapping(&w, 1, c->ram_high_base, c->ram_bytes - c->ram_low_bytes);
	p = structure(&w, 32, 0x0b, 0x2000); /* boot status: no errors */
	strings(&w, NULL, 0);
	if (p)
		p = structure(&w, 127, 4, 0x7f00);
	strings(&w, NULL, 0);
	out->bytes = w.len;
	smbios_place(out, 0);
	return w.overflow || !p ? LODGE_ERR_RANGE : LODGE_OK;
}

void smbios_place(struct smbios_image *image, uint64_t table_addr)
{
	uint8_t *a = image->anchor, sum = 0;

	memset(a, 0, SMBIOS_ANCHOR_BYTES);
	memcpy(a, "_SM3_", 5);
	a[6] = SMBIOS_ANCHOR_BYTES;
	a[7] = 3;
	a[10] = 1; /* entry point revision */
	put_le32(a + 12, image->bytes);
	put_le64(a + 16, table_addr);
	for (unsigned i = 0; i < SMBIOS_ANCHOR_BYTES; i++)
		sum = (uint8_t)(sum + a[i]);
	a[5] = (uint8_t)-sum;
}
