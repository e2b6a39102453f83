/* SPDX-License-Identifier: Apache-2.0 */
/* Direct boot: tells kernel files apart and holds what all loaders share. */
#include "boot/boot.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"
#include "boot/bzimage.h"
#include "boot/elf.h"
#include "boot/multiboot1.h"

enum lodge_err e820_add(struct e820_map *map, uint64_t base, uint64_t len, enum e820_type type)
{
	struct e820_entry *last = map->count ? &map->entry[map->count - 1] : NULL;

	if (!len)
		return LODGE_OK;
	if (last && last->type == type && last->base + last->len == base) {
		last->len += len;
		return LODGE_OK;
	}
	if (map->count == E820_MAX)
		return LODGE_ERR_RANGE;
	map->entry[map->count++] = (struct e820_entry){ base, len, type };
	return LODGE_OK;
}

const char *boot_kind_name(enum boot_kind kind)
{
	switch (kind) {
	case BOOT_BZIMAGE: return "Linux bzImage";
	case BOOT_VMLINUX: return "uncompressed Linux (ELF)";
	case BOOT_PVH: return "ELF with PVH entry";
	case BOOT_MULTIBOOT1: return "multiboot";
	}
	return "?";
}

size_t boot_text_len(const char *text, size_t max)
{
	size_t n = 0;

	while (text && n < max && text[n])
		n++;
	return n;
}

enum lodge_err boot_sniff(const struct boot_file *kernel, enum boot_kind *kind, struct lodge_error *err)
{
	struct multiboot1_header mb;

	if (!kernel->data || !kernel->bytes)
		return error_set(err, LODGE_ERR_FORMAT, "%s: the kernel file is empty", kernel->name);
	/* Before PVH: Xen has both, and its PVH entry expects another Xen below. */
	if (multiboot1_find(kernel, &mb)) {
		*kind = BOOT_MULTIBOOT1;
		return LODGE_OK;
	}
	if (elf_is(kernel)) {
		struct elf_file elf;
		uint32_t entry;
		enum lodge_err rc = elf_open(kernel, &elf, err);

		if (rc != LODGE_OK)
			return rc;
		if (elf_pvh_entry(&elf, &entry))
			*kind = BOOT_PVH;
		else if (elf.is_64)
			*kind = BOOT_VMLINUX;
		else
			return error_set(
				err, LODGE_ERR_FORMAT,
				"%s: a 32-bit ELF file with neither a PVH note nor a multiboot header; Lodge cannot know how to enter it",
				kernel->name);
		return LODGE_OK;
	}
	if (bzimage_is(kernel)) {
		*kind = BOOT_BZIMAGE;
		return LODGE_OK;
	}
	return error_set(err, LODGE_ERR_FORMAT,
			 "%s: not a kernel that Lodge can boot (it knows bzImage, ELF with a PVH note, vmlinux and multiboot)",
			 kernel->name);
}

enum lodge_err boot_load(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err)
{
	enum boot_kind kind;
	enum lodge_err rc = boot_sniff(&src->kernel, &kind, err);

	if (rc != LODGE_OK)
		return rc;
	*out = (struct boot_entry){ .kind = kind };
	switch (kind) {
	case BOOT_BZIMAGE: rc = boot_load_bzimage(src, out, err); break;
	case BOOT_VMLINUX: rc = boot_load_vmlinux(src, out, err); break;
	case BOOT_PVH: rc = boot_load_pvh(src, out, err); break;
	case BOOT_MULTIBOOT1: rc = boot_load_multiboot1(src, out, err); break;
	}
	if (rc != LODGE_OK)
		return rc;
	if (boot_write_cpu_tables(src->mem, out->mode) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is too small to boot a kernel; give it more with -m");
	return LODGE_OK;
}

/* A descriptor with base 0 and limit 4 GiB; @flags holds access byte and the high nibble of byte 6. */
static uint64_t flat_descriptor(uint64_t access, uint64_t high_nibble)
{
	return UINT64_C(0x000f00000000ffff) | access << 40 | high_nibble << 52;
}

static enum lodge_err page_tables_write(struct guest_memory *mem)
{
	uint8_t page[MEMORY_PAGE_BYTES] = { 0 };
	const uint64_t pml4 = BOOT_PAGE_TABLES, pdpt = pml4 + 0x1000, pd = pml4 + 0x2000;
	enum lodge_err rc;

	put_le64(page, pdpt | 3);
	rc = guest_write(mem, gpa(pml4), page, sizeof(page));
	for (unsigned i = 0; i < 4; i++)
		put_le64(page + 8 * i, (pd + 0x1000 * i) | 3);
	if (rc == LODGE_OK)
		rc = guest_write(mem, gpa(pdpt), page, sizeof(page));
	for (uint64_t i = 0; i < 4 && rc == LODGE_OK; i++) {
		for (uint64_t k = 0; k < 512; k++)
			put_le64(page + 8 * k, (i << 30 | k << 21) | 0x83); /* present, writable, 2 MiB */
		rc = guest_write(mem, gpa(pd + 0x1000 * i), page, sizeof(page));
	}
	return rc;
}

enum lodge_err boot_write_cpu_tables(struct guest_memory *mem, enum boot_cpu_mode mode)
{
	uint8_t gdt[BOOT_GDT_BYTES] = { 0 };
	enum lodge_err rc;

	put_le64(gdt + BOOT_SEL_CODE, mode == BOOT_CPU_LONG64 ? flat_descriptor(0x9b, 0xa) : flat_descriptor(0x9b, 0xc));
	put_le64(gdt + BOOT_SEL_DATA, flat_descriptor(0x93, 0xc));
	put_le64(gdt + BOOT_SEL_TSS, UINT64_C(0x00008b0000000067)); /* busy 32/64-bit TSS at 0, never used */
	rc = guest_write(mem, gpa(BOOT_GDT), gdt, sizeof(gdt));
	if (rc == LODGE_OK && mode == BOOT_CPU_LONG64)
		rc = page_tables_write(mem);
	return rc;
}

enum lodge_err boot_place_initrd(const struct boot_source *src, uint64_t floor, uint64_t ceiling, uint64_t *addr,
				 struct lodge_error *err)
{
	uint64_t top = MIN(ceiling, src->ram_low_end), bytes = src->initrd.bytes;

	*addr = 0;
	if (!bytes)
		return LODGE_OK;
	floor = align_up(MAX(floor, BOOT_KERNEL_MIN), MEMORY_PAGE_BYTES);
	if (bytes > top || align_down(top - bytes, MEMORY_PAGE_BYTES) < floor)
		return error_set(
			err, LODGE_ERR_RANGE,
			"%s: the initrd (%llu KiB) does not fit guest memory above the kernel (%llu KiB are free); give the guest more with -m",
			src->initrd.name, (unsigned long long)(bytes >> 10),
			(unsigned long long)(top > floor ? (top - floor) >> 10 : 0));
	*addr = align_down(top - bytes, MEMORY_PAGE_BYTES);
	if (guest_write(src->mem, gpa(*addr), src->initrd.data, bytes) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "%s: the initrd does not fit guest memory; give the guest more with -m",
				 src->initrd.name);
	return LODGE_OK;
}

enum lodge_err boot_write_cmdline(const struct boot_source *src, uint64_t max, uint64_t *len, struct lodge_error *err)
{
	uint8_t nul = 0;

	max = MIN(max, BOOT_CMDLINE_MAX - 1);
	*len = boot_text_len(src->cmdline, max + 1);
	if (*len > max)
		return error_set(err, LODGE_ERR_ARG,
				 "the kernel command line is too long: this kernel takes at most %llu characters",
				 (unsigned long long)max);
	if (guest_write(src->mem, gpa(BOOT_CMDLINE), src->cmdline ? src->cmdline : "", *len) != LODGE_OK ||
	    guest_write(src->mem, gpa(BOOT_CMDLINE + *len), &nul, 1) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is too small to boot a kernel; give it more with -m");
	return LODGE_OK;
}
