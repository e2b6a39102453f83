/* SPDX-License-Identifier: Apache-2.0 */
/* Builds RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, MCFG and HPET, as the ACPI specification 6.x lays them out. */
#include "devices/acpi/acpi_tables.h"

#include "devices/acpi/dsdt.h"

#define HEADER_BYTES 36u
#define FADT_BYTES 276u
#define FACS_BYTES 64u
#define HPET_BYTES 56u
#define TABLES_MAX 4u /* that RSDT and XSDT list */

#define GAS_MEMORY 0u
#define GAS_IO 1u

#define FADT_WBINVD (1u << 0)
#define FADT_PROC_C1 (1u << 2)
#define FADT_SLP_BUTTON (1u << 5)   /* no fixed sleep button */
#define FADT_FIX_RTC (1u << 6)      /* no RTC wake status in PM1 */
#define FADT_TMR_VAL_EXT (1u << 8)  /* 32-bit PM timer */
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HEADLESS (1u << 12)
#define IAPC_LEGACY_DEVICES 0x01u
#define IAPC_8042 0x02u
#define IAPC_NO_VGA 0x04u

#define MADT_LAPIC 0u
#define MADT_IOAPIC 1u
#define MADT_OVERRIDE 2u
#define MADT_LAPIC_NMI 4u
#define MADT_X2APIC 9u
#define MADT_LEVEL_HIGH 0x000du

struct builder {
	struct acpi_image *image;
	struct byte_writer w;
	uint32_t listed[TABLES_MAX];
	unsigned nlisted;
	bool overflow;
};

static void add_fixup(struct builder *b, enum acpi_blob blob, uint32_t offset, uint8_t bytes)
{
	struct acpi_image *im = b->image;

	if (im->nfixups == ACPI_FIXUPS_MAX)
		b->overflow = true;
	else
		im->fixups[im->nfixups++] = (struct acpi_fixup){ blob, offset, bytes };
}

static void add_checksum(struct builder *b, enum acpi_blob blob, uint32_t start, uint32_t len, uint32_t offset)
{
	struct acpi_image *im = b->image;

	if (im->nchecksums == ACPI_CHECKSUMS_MAX)
		b->overflow = true;
	else
		im->checksums[im->nchecksums++] = (struct acpi_checksum){ blob, start, len, offset };
}

static uint32_t table_open(struct builder *b, const char signature[4], uint8_t revision)
{
	uint32_t start;

	writer_align(&b->w, 8);
	start = b->w.len;
	writer_bytes(&b->w, signature, 4);
	writer_u32(&b->w, 0);
	writer_u8(&b->w, revision);
	writer_u8(&b->w, 0);
	writer_bytes(&b->w, "LODGE ", 6);
	writer_bytes(&b->w, "LODGE-PC", 8);
	writer_u32(&b->w, 1);
	writer_bytes(&b->w, "LODG", 4);
	writer_u32(&b->w, 1);
	return start;
}

static void table_close(struct builder *b, uint32_t start, bool list)
{
	uint32_t len = b->w.len - start;

	if (b->w.overflow)
		return;
	put_le32(b->w.buf + start + 4, len);
	add_checksum(b, ACPI_BLOB_TABLES, start, len, start + 9);
	if (!list)
		return;
	if (b->nlisted == TABLES_MAX)
		b->overflow = true;
	else
		b->listed[b->nlisted++] = start;
}

static void put_gas(uint8_t *p, uint8_t space, uint8_t bits, uint64_t addr)
{
	p[0] = space;
	p[1] = bits;
	p[3] = bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 4;
	put_le64(p + 4, addr);
}

static uint32_t facs_write(struct builder *b)
{
	uint32_t start;
	uint8_t *p;

	writer_align(&b->w, 64);
	start = b->w.len;
	p = writer_take(&b->w, FACS_BYTES);
	if (p) {
		memcpy(p, "FACS", 4);
		put_le32(p + 4, FACS_BYTES);
		p[32] = 2;
	}
	return start;
}

static void fadt_fill_ports(uint8_t *t, const struct acpi_config *c)
{
	put_le16(t + 46, c->sci);
	put_le32(t + 56, c->pm_base);       /* PM1a event block */
	put_le32(t + 64, c->pm_base + 4u);  /* PM1a control block */
	put_le32(t + 76, c->pm_base + 8u);  /* PM timer */
	t[88] = 4;
	t[89] = 2;
	t[91] = 4;
	put_gas(t + 148, GAS_IO, 32, c->pm_base);
	put_gas(t + 172, GAS_IO, 16, c->pm_base + 4u);
	put_gas(t + 208, GAS_IO, 32, c->pm_base + 8u);
	put_gas(t + 116, GAS_IO, 8, c->reset_port);
	t[128] = c->reset_value;
}

/* No SMI_CMD: there is no SMM, and the machine is always in ACPI mode. */
static void fadt_write(struct builder *b, const struct acpi_config *c, uint32_t facs, uint32_t dsdt)
{
	uint32_t start = table_open(b, "FACP", 6);
	uint8_t *t = writer_take(&b->w, FADT_BYTES - HEADER_BYTES);

	if (!t)
		return;
	t -= HEADER_BYTES;
	put_le32(t + 36, facs);
	put_le32(t + 40, dsdt);
	put_le64(t + 140, dsdt);
	add_fixup(b, ACPI_BLOB_TABLES, start + 36, 4);
	add_fixup(b, ACPI_BLOB_TABLES, start + 40, 4);
	add_fixup(b, ACPI_BLOB_TABLES, start + 140, 8);
	fadt_fill_ports(t, c);
	put_le16(t + 96, 0xfff); /* no C2, no C3 */
	put_le16(t + 98, 0xfff);
	t[108] = 0x32; /* CMOS century */
	put_le16(t + 109, (uint16_t)(IAPC_LEGACY_DEVICES | IAPC_NO_VGA | (c->ps2 ? IAPC_8042 : 0)));
	put_le32(t + 112, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG_SUP | FADT_HEADLESS |
				  (c->pm_timer_32bit ? FADT_TMR_VAL_EXT : 0));
	memcpy(t + 268, "Lodge\0\0", 8);
	table_close(b, start, true);
}

static void madt_write_override(struct byte_writer *w, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	writer_u8(w, MADT_OVERRIDE);
	writer_u8(w, 10);
	writer_u8(w, 0);
	writer_u8(w, irq);
	writer_u32(w, gsi);
	writer_u16(w, flags);
}

static void madt_write_cpu(struct byte_writer *w, uint32_t id)
{
	if (id < 255) {
		writer_u8(w, MADT_LAPIC);
		writer_u8(w, 8);
		writer_u8(w, (uint8_t)id);
		writer_u8(w, (uint8_t)id);
		writer_u32(w, 1);
		return;
	}
	writer_u8(w, MADT_X2APIC);
	writer_u8(w, 16);
	writer_u16(w, 0);
	writer_u32(w, id);
	writer_u32(w, 1);
	writer_u32(w, id);
}

static void madt_write(struct builder *b, const struct acpi_config *c)
{
	uint32_t start = table_open(b, "APIC", 5);
	struct byte_writer *w = &b->w;

	writer_u32(w, (uint32_t)c->lapic);
	writer_u32(w, 1); /* 8259s are there as well */
	for (uint32_t i = 0; i < c->vcpus; i++)
		madt_write_cpu(w, i);
	writer_u8(w, MADT_IOAPIC);
	writer_u8(w, 12);
	writer_u8(w, 0);
	writer_u8(w, 0);
	writer_u32(w, (uint32_t)c->ioapic);
	writer_u32(w, 0);
	madt_write_override(w, 0, 2, 0);
	madt_write_override(w, c->sci, c->sci, MADT_LEVEL_HIGH);
	writer_u8(w, MADT_LAPIC_NMI);
	writer_u8(w, 6);
	writer_u8(w, 0xff); /* all processors: LINT1 */
	writer_u16(w, 0);
	writer_u8(w, 1);
	table_close(b, start, true);
}

static void mcfg_write(struct builder *b, const struct acpi_config *c)
{
	uint32_t start = table_open(b, "MCFG", 1);

	writer_u64(&b->w, 0);
	writer_u64(&b->w, c->pciexbar);
	writer_u16(&b->w, 0);
	writer_u8(&b->w, 0);
	writer_u8(&b->w, 255);
	writer_u32(&b->w, 0);
	table_close(b, start, true);
}

static void hpet_write(struct builder *b, const struct acpi_config *c)
{
	uint32_t start = table_open(b, "HPET", 1);
	uint8_t *t = writer_take(&b->w, HPET_BYTES - HEADER_BYTES);

	if (!t)
		return;
	put_le32(t, 0x8086a201); /* vendor, legacy replacement, 64-bit counter, three comparators, revision 1 */
	t[4] = GAS_MEMORY;
	put_le64(t + 8, c->hpet);
	put_le16(t + 17, 0x80); /* minimum tick of periodic mode */
	table_close(b, start, true);
}

/* RSDT (32-bit pointers) or XSDT (64-bit): the list of tables. */
static uint32_t root_write(struct builder *b, const char signature[4], uint8_t pointer_bytes)
{
	uint32_t start = table_open(b, signature, 1);

	for (unsigned i = 0; i < b->nlisted; i++) {
		add_fixup(b, ACPI_BLOB_TABLES, b->w.len, pointer_bytes);
		if (pointer_bytes == 4)
			writer_u32(&b->w, b->listed[i]);
		else
			writer_u64(&b->w, b->listed[i]);
	}
	table_close(b, start, false);
	return start;
}

static void rsdp_fill(struct builder *b, uint32_t rsdt, uint32_t xsdt)
{
	uint8_t *p = b->image->rsdp;

	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "LODGE ", 6);
	p[15] = 2;
	put_le32(p + 16, rsdt);
	put_le32(p + 20, ACPI_RSDP_BYTES);
	put_le64(p + 24, xsdt);
	add_fixup(b, ACPI_BLOB_RSDP, 16, 4);
	add_fixup(b, ACPI_BLOB_RSDP, 24, 8);
	add_checksum(b, ACPI_BLOB_RSDP, 0, 20, 8); /* the part that ACPI 1.0 knows */
	add_checksum(b, ACPI_BLOB_RSDP, 0, ACPI_RSDP_BYTES, 32);
}

enum lodge_err acpi_image_build(const struct acpi_config *c, struct acpi_image *out)
{
	struct builder b = { .image = out, .w = { .buf = out->tables, .cap = ACPI_TABLES_MAX } };
	uint32_t facs, dsdt, rsdt;

	*out = (struct acpi_image){ 0 };
	facs = facs_write(&b);
	dsdt = table_open(&b, "DSDT", 2);
	dsdt_write(&b.w, c);
	table_close(&b, dsdt, false);
	fadt_write(&b, c, facs, dsdt);
	madt_write(&b, c);
	mcfg_write(&b, c);
	if (c->hpet)
		hpet_write(&b, c);
	rsdt = root_write(&b, "RSDT", 4);
	rsdp_fill(&b, rsdt, root_write(&b, "XSDT", 8));
	out->bytes = b.w.len;
	return b.overflow || b.w.overflow ? LODGE_ERR_RANGE : LODGE_OK;
}

void acpi_image_place(struct acpi_image *im, uint64_t tables_addr)
{
	for (unsigned i = 0; i < im->nfixups; i++) {
		uint8_t *p = (im->fixups[i].blob == ACPI_BLOB_RSDP ? im->rsdp : im->tables) + im->fixups[i].offset;

		if (im->fixups[i].bytes == 4)
			put_le32(p, get_le32(p) + (uint32_t)tables_addr);
		else
			put_le64(p, get_le64(p) + tables_addr);
	}
	for (unsigned i = 0; i < im->nchecksums; i++) {
		uint8_t *base = im->checksums[i].blob == ACPI_BLOB_RSDP ? im->rsdp : im->tables;
		uint8_t sum = 0;

		base[im->checksums[i].offset] = 0;
		for (uint32_t k = 0; k < im->checksums[i].len; k++)
			sum = (uint8_t)(sum + base[im->checksums[i].start + k]);
		base[im->checksums[i].offset] = (uint8_t)-sum;
	}
}

/* ---- the loader script: commands of 128 bytes, file names of 56 ---- */

#define SCRIPT_ALLOCATE 1u
#define SCRIPT_ADD_POINTER 2u
#define SCRIPT_ADD_CHECKSUM 3u
#define SCRIPT_ZONE_HIGH 1u
#define SCRIPT_ZONE_FSEG 2u

static uint8_t *script_command(struct byte_writer *w, uint32_t command, enum acpi_blob blob)
{
	uint8_t *p = writer_take(w, 128);

	if (!p)
		return NULL;
	put_le32(p, command);
	if (blob == ACPI_BLOB_RSDP)
		memcpy(p + 4, ACPI_FILE_RSDP, sizeof(ACPI_FILE_RSDP));
	else
		memcpy(p + 4, ACPI_FILE_TABLES, sizeof(ACPI_FILE_TABLES));
	return p;
}

static void script_allocate(struct byte_writer *w, enum acpi_blob blob, uint32_t align, uint8_t zone)
{
	uint8_t *p = script_command(w, SCRIPT_ALLOCATE, blob);

	if (!p)
		return;
	put_le32(p + 60, align);
	p[64] = zone;
}

uint32_t acpi_image_script(const struct acpi_image *im, uint8_t *buf, uint32_t cap)
{
	struct byte_writer w = { .buf = buf, .cap = cap };

	script_allocate(&w, ACPI_BLOB_RSDP, 16, SCRIPT_ZONE_FSEG);
	script_allocate(&w, ACPI_BLOB_TABLES, ACPI_TABLES_ALIGN, SCRIPT_ZONE_HIGH);
	for (unsigned i = 0; i < im->nfixups; i++) {
		uint8_t *p = script_command(&w, SCRIPT_ADD_POINTER, im->fixups[i].blob);

		if (!p)
			break;
		memcpy(p + 60, ACPI_FILE_TABLES, sizeof(ACPI_FILE_TABLES));
		put_le32(p + 116, im->fixups[i].offset);
		p[120] = im->fixups[i].bytes;
	}
	for (unsigned i = 0; i < im->nchecksums; i++) {
		uint8_t *p = script_command(&w, SCRIPT_ADD_CHECKSUM, im->checksums[i].blob);

		if (!p)
			break;
		put_le32(p + 60, im->checksums[i].offset);
		put_le32(p + 64, im->checksums[i].start);
		put_le32(p + 68, im->checksums[i].len);
	}
	return w.overflow ? 0 : w.len;
}
