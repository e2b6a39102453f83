/* SPDX-License-Identifier: Apache-2.0 */
/* Direct boot: does what firmware would have done, loads the kernel, and puts the first CPU into its protocol's state. */
#include "base/mem.h"
#include "machine/machine_internal.h"

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA 0xcfcu
#define Q35_PAM0 0x90u
#define Q35_PAM4 0x94u
#define PAM_ALL_RAM 0x33333330u

#define BDA_SERIAL_PORTS UINT64_C(0x400)
#define BDA_EBDA_SEGMENT UINT64_C(0x40e)
#define BDA_LOW_MEMORY_KIB UINT64_C(0x413)

#define MTRR_ENABLED 0x800u
#define MTRR_UNCACHED 0u
#define MTRR_WRITE_BACK 6u
#define BOOT_STACK (BOOT_INFO - 16)

static void pci_config_write32(struct machine *m, unsigned devfn, unsigned offset, uint32_t value)
{
	bus_write(&m->ports, CONFIG_ADDRESS, 4, 0x80000000u | devfn << 8 | offset);
	bus_write(&m->ports, CONFIG_DATA, 4, value);
}

static enum lodge_err write_le16(struct machine *m, uint64_t at, uint16_t value)
{
	le16_t v = le16(value);

	return guest_write(m->config.mem, gpa(at), &v, sizeof(v));
}

/* The BIOS data area, for those who still look there. */
static enum lodge_err write_bda(struct machine *m)
{
	enum lodge_err rc = write_le16(m, BDA_SERIAL_PORTS, 0x3f8);

	if (rc == LODGE_OK)
		rc = write_le16(m, BDA_SERIAL_PORTS + 2, 0x2f8);
	if (rc == LODGE_OK)
		rc = write_le16(m, BDA_EBDA_SEGMENT, (uint16_t)(BOOT_EBDA >> 4));
	if (rc == LODGE_OK)
		rc = write_le16(m, BDA_LOW_MEMORY_KIB, (uint16_t)(BOOT_EBDA >> 10));
	return rc;
}

static enum lodge_err write_tables(struct machine *m)
{
	struct guest_memory *mem = m->config.mem;
	struct smbios_image smbios = m->smbios;
	struct acpi_image *acpi = host_alloc(sizeof(*acpi), 64);
	enum lodge_err rc;

	if (!acpi)
		return LODGE_ERR_NOMEM;
	*acpi = m->acpi;
	acpi_image_place(acpi, MACHINE_ACPI_TABLES);
	rc = guest_write(mem, gpa(MACHINE_ACPI_AREA), acpi->rsdp, ACPI_RSDP_BYTES);
	if (rc == LODGE_OK)
		rc = guest_write(mem, gpa(MACHINE_ACPI_TABLES), acpi->tables, acpi->bytes);
	host_free(acpi);
	smbios_place(&smbios, MACHINE_SMBIOS_TABLE);
	if (rc == LODGE_OK)
		rc = guest_write(mem, gpa(MACHINE_SMBIOS_AREA), smbios.anchor, SMBIOS_ANCHOR_BYTES);
	if (rc == LODGE_OK)
		rc = guest_write(mem, gpa(MACHINE_SMBIOS_TABLE), smbios.table, smbios.bytes);
	return rc;
}
_Static_assert(MACHINE_ACPI_TABLES % ACPI_TABLES_ALIGN == 0, "the FACS wants 64 bytes of alignment");
_Static_assert(MACHINE_ACPI_TABLES + ACPI_TABLES_MAX <= MACHINE_SMBIOS_AREA, "tables end before SMBIOS begins");

static struct boot_file boot_file(const struct machine_blob *blob)
{
	return (struct boot_file){ .data = blob->data, .bytes = blob->bytes, .name = blob->name ? blob->name : "file" };
}

enum lodge_err machine_direct_boot(struct machine *m, struct lodge_error *err)
{
	struct boot_source src = {
		.mem = m->config.mem,
		.kernel = boot_file(&m->config.kernel),
		.initrd = boot_file(&m->config.initrd),
		.cmdline = m->config.cmdline,
		.e820 = &m->e820,
		.ram_low_end = m->memory.low_bytes,
		.rsdp = MACHINE_ACPI_AREA,
	};

	pci_config_write32(m, 0, Q35_PAM0, PAM_ALL_RAM);
	pci_config_write32(m, 0, Q35_PAM4, PAM_ALL_RAM >> 8); /* 97h, after PAM6, stays zero */
	bus_write(&m->ports, CONFIG_ADDRESS, 4, 0);
	lapic_set_virtual_wire(&m->vcpu[0].lapic);
	if (machine_apply_shadow(m) != LODGE_OK || write_bda(m) != LODGE_OK || write_tables(m) != LODGE_OK)
		return error_set(err, LODGE_ERR_INTERNAL, "the machine's tables cannot be written to guest memory");
	return boot_load(&src, &m->entry, err);
}

static struct x86_segment flat_segment(uint16_t sel, uint16_t attr)
{
	return (struct x86_segment){ .sel = sel, .attr = attr, .limit = UINT32_MAX };
}

/* As firmware sets them: memory is write-back, the 32-bit device hole is not cached. */
static void set_mtrrs(const struct machine *m, struct x86_msrs *msr)
{
	uint64_t phys_mask = (UINT64_C(1) << m->config.model->phys_bits) - 1;

	msr->mtrr_def_type = MTRR_ENABLED | MTRR_WRITE_BACK;
	msr->mtrr_base[0] = MACHINE_RAM_LOW_MAX | MTRR_UNCACHED;
	msr->mtrr_mask[0] = (phys_mask & ~(MACHINE_RAM_HIGH - MACHINE_RAM_LOW_MAX - 1)) | MTRR_ENABLED;
}

static void set_segments(struct x86_state *s, bool long_mode)
{
	const uint16_t code = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_READABLE | X86_SEG_ACCESSED | X86_SEG_G;
	const uint16_t data = X86_SEG_P | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB;

	for (unsigned i = 0; i < X86_NSEG; i++)
		s->seg[i] = flat_segment(BOOT_SEL_DATA, data);
	s->seg[X86_CS] = flat_segment(BOOT_SEL_CODE, (uint16_t)(code | (long_mode ? X86_SEG_L : X86_SEG_DB)));
	s->tr = (struct x86_segment){ .sel = BOOT_SEL_TSS, .attr = X86_SEG_P | 0xb, .limit = 0x67 };
	s->ldtr = (struct x86_segment){ .attr = X86_SEG_UNUSABLE };
	s->gdtr = (struct x86_table){ .base = BOOT_GDT, .limit = BOOT_GDT_BYTES - 1 };
	s->idtr = (struct x86_table){ 0 };
}

void machine_boot_state(const struct machine *m, unsigned vcpu, struct x86_state *s)
{
	const struct boot_entry *e = &m->entry;
	bool long_mode = e->mode == BOOT_CPU_LONG64;

	if (m->config.boot != MACHINE_BOOT_DIRECT)
		return;
	set_mtrrs(m, &s->msr);
	if (vcpu != 0)
		return;
	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[X86_RAX] = e->eax;
	s->gpr[X86_RBX] = e->ebx;
	s->gpr[X86_RSI] = e->rsi;
	s->gpr[X86_RSP] = BOOT_STACK;
	s->rip = e->rip;
	s->rflags = X86_FLAG_ONE;
	set_segments(s, long_mode);
	s->cr0 = X86_CR0_PE | X86_CR0_ET;
	s->cr4 = 0;
	s->msr.efer = 0;
	if (long_mode) {
		s->cr0 |= X86_CR0_PG | X86_CR0_NE;
		s->cr3 = BOOT_PAGE_TABLES;
		s->cr4 = X86_CR4_PAE;
		s->msr.efer = X86_EFER_LME | X86_EFER_LMA;
	}
}
