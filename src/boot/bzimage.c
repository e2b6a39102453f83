/* SPDX-License-Identifier: Apache-2.0 */
/* Loads Linux by its 32-bit or 64-bit boot protocol: bzImage, and vmlinux entered at its 64-bit entry. */
#include "boot/bzimage.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"
#include "boot/elf.h"

#define LOADED_HIGH 0x01u
#define XLF_KERNEL_64 0x01u
#define ENTRY64_OFFSET 0x200u
#define LOADER_UNDEFINED 0xffu

/* Zero page fields outside the setup header. */
#define ZP_EXT_MEM_K 0x002u
#define ZP_RSDP 0x070u
#define ZP_EXT_RAMDISK_IMAGE 0x0c0u
#define ZP_EXT_RAMDISK_SIZE 0x0c4u
#define ZP_ALT_MEM_K 0x1e0u
#define ZP_E820_ENTRIES 0x1e8u
#define ZP_E820_TABLE 0x2d0u
#define ZP_VID_MODE 0x1fau

_Static_assert(ZP_E820_TABLE + 20 * E820_MAX <= MEMORY_PAGE_BYTES, "the e820 table fits the zero page");

bool bzimage_is(const struct boot_file *file)
{
	return file->bytes >= LINUX_HDR_END_MAX && get_le16(file->data + LINUX_HDR_BOOT_FLAG) == 0xaa55 &&
	       memcmp(file->data + LINUX_HDR_MAGIC, "HdrS", 4) == 0;
}

static void header_read_versioned(const uint8_t *d, struct bzimage_header *h)
{
	h->initrd_addr_max = h->version >= 0x203 ? get_le32(d + LINUX_HDR_INITRD_ADDR_MAX) : 0x37ffffff;
	h->alignment = h->version >= 0x205 ? get_le32(d + LINUX_HDR_KERNEL_ALIGNMENT) : 0;
	h->relocatable = h->version >= 0x205 && d[LINUX_HDR_RELOCATABLE];
	h->cmdline_max = h->version >= 0x206 ? get_le32(d + LINUX_HDR_CMDLINE_SIZE) : 255;
	h->pref_address = h->version >= 0x20a ? get_le64(d + LINUX_HDR_PREF_ADDRESS) : BOOT_KERNEL_MIN;
	/* Older headers do not say how much room decompression needs; three times the payload has always been enough. */
	h->init_size = h->version >= 0x20a ? get_le32(d + LINUX_HDR_INIT_SIZE) : 3 * h->payload_bytes;
	h->has_entry64 = h->version >= 0x20c && (get_le16(d + LINUX_HDR_XLOADFLAGS) & XLF_KERNEL_64);
}

/* The builder rounds the size up; 0 where it is not told. */
static bool is_cut_short(const uint8_t *d, const struct bzimage_header *h)
{
	uint64_t told = h->version >= 0x204 ? 16ull * get_le32(d + LINUX_HDR_SYSSIZE) : 0;

	return told > h->payload_bytes + 15;
}

enum lodge_err bzimage_parse(const struct boot_file *file, struct bzimage_header *out, struct lodge_error *err)
{
	const uint8_t *d = file->data;
	unsigned setup_sects;

	if (!bzimage_is(file))
		return error_set(err, LODGE_ERR_FORMAT, "%s: not a Linux bzImage, or truncated", file->name);
	*out = (struct bzimage_header){ .version = get_le16(d + LINUX_HDR_VERSION) };
	setup_sects = d[LINUX_HDR_SETUP_SECTS] ? d[LINUX_HDR_SETUP_SECTS] : 4;
	out->payload_offset = (setup_sects + 1) * 512u;
	if (out->version < 0x200 || !(d[LINUX_HDR_LOADFLAGS] & LOADED_HIGH))
		return error_set(err, LODGE_ERR_FORMAT,
				 "%s: a zImage, which loads below 640 KiB; Lodge boots bzImage kernels (since 1996)", file->name);
	if (out->payload_offset >= file->bytes)
		return error_set(err, LODGE_ERR_FORMAT, "%s: the file ends before the kernel begins; it is truncated",
				 file->name);
	out->payload_bytes = file->bytes - out->payload_offset;
	out->header_end = LINUX_HDR_MAGIC + d[LINUX_HDR_JUMP + 1];
	if (out->header_end > LINUX_HDR_END_MAX)
		out->header_end = LINUX_HDR_END_MAX;
	header_read_versioned(d, out);
	if (out->header_end <= LINUX_HDR_CODE32_START)
		return error_set(err, LODGE_ERR_FORMAT, "%s: the setup header is too short; the file is damaged", file->name);
	if (out->relocatable && !is_pow2(out->alignment))
		return error_set(err, LODGE_ERR_FORMAT, "%s: the setup header asks for alignment 0x%llx; the file is damaged",
				 file->name, (unsigned long long)out->alignment);
	if (is_cut_short(d, out))
		return error_set(err, LODGE_ERR_FORMAT, "%s: the file ends in the middle of the kernel; it is truncated", file->name);
	if (out->has_entry64 && out->payload_bytes <= ENTRY64_OFFSET)
		return error_set(err, LODGE_ERR_FORMAT, "%s: the file ends before the kernel's entry; it is truncated",
				 file->name);
	return LODGE_OK;
}

enum lodge_err bzimage_place(const struct boot_file *file, const struct bzimage_header *h, uint64_t ram_end, uint64_t *load,
			     struct lodge_error *err)
{
	uint64_t need = MAX(h->init_size, h->payload_bytes);
	uint64_t at = h->relocatable ? h->pref_address : BOOT_KERNEL_MIN;

	if (h->relocatable && (at < BOOT_KERNEL_MIN || !range_fits(at, need, ram_end)))
		at = align_up(BOOT_KERNEL_MIN, h->alignment);
	/* A decompressor that cannot move itself still unpacks to pref_address. */
	if (!h->relocatable && h->pref_address > at)
		need = MAX(need, h->init_size + MIN(h->pref_address - at, ram_end));
	if (!range_fits(at, need, ram_end))
		return error_set(
			err, LODGE_ERR_RANGE,
			"%s: the kernel needs %llu KiB at 0x%llx but guest memory ends at 0x%llx; give the guest more with -m",
			file->name, (unsigned long long)(need >> 10), (unsigned long long)at, (unsigned long long)ram_end);
	*load = at;
	return LODGE_OK;
}

void zero_page_fill(uint8_t *page, const struct boot_source *src, uint64_t initrd)
{
	const struct e820_map *map = src->e820;
	uint64_t above_1m_kib = (src->ram_low_end - MIN(src->ram_low_end, BOOT_KERNEL_MIN)) >> 10;

	put_le16(page + ZP_EXT_MEM_K, (uint16_t)MIN(above_1m_kib, 0xfc00));
	put_le32(page + ZP_ALT_MEM_K, (uint32_t)above_1m_kib);
	put_le64(page + ZP_RSDP, src->rsdp);
	put_le16(page + ZP_VID_MODE, 0xffff); /* "normal": nobody asks for a mode */
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *e = page + ZP_E820_TABLE + 20 * i;

		put_le64(e, map->entry[i].base);
		put_le64(e + 8, map->entry[i].len);
		put_le32(e + 16, map->entry[i].type);
	}
	page[ZP_E820_ENTRIES] = (uint8_t)map->count;
	put_le16(page + LINUX_HDR_BOOT_FLAG, 0xaa55);
	memcpy(page + LINUX_HDR_MAGIC, "HdrS", 4);
	page[LINUX_HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put_le32(page + LINUX_HDR_RAMDISK_IMAGE, (uint32_t)initrd);
	put_le32(page + LINUX_HDR_RAMDISK_SIZE, initrd ? (uint32_t)src->initrd.bytes : 0);
	put_le32(page + ZP_EXT_RAMDISK_IMAGE, (uint32_t)(initrd >> 32));
	put_le32(page + ZP_EXT_RAMDISK_SIZE, initrd ? (uint32_t)(src->initrd.bytes >> 32) : 0);
	put_le32(page + LINUX_HDR_CMD_LINE_PTR, (uint32_t)BOOT_CMDLINE);
}

static enum lodge_err zero_page_write(const struct boot_source *src, const uint8_t *page, struct lodge_error *err)
{
	if (guest_write(src->mem, gpa(BOOT_INFO), page, MEMORY_PAGE_BYTES) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is too small to boot a kernel; give it more with -m");
	return LODGE_OK;
}

enum lodge_err boot_load_bzimage(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err)
{
	uint8_t page[MEMORY_PAGE_BYTES] = { 0 };
	struct bzimage_header h;
	uint64_t load = 0, initrd = 0, cmdline_len = 0;
	enum lodge_err rc;

	rc = bzimage_parse(&src->kernel, &h, err);
	if (rc == LODGE_OK)
		rc = bzimage_place(&src->kernel, &h, src->ram_low_end, &load, err);
	if (rc == LODGE_OK)
		rc = boot_write_cmdline(src, h.cmdline_max, &cmdline_len, err);
	if (rc == LODGE_OK)
		rc = boot_place_initrd(src, load + MAX(h.init_size, h.payload_bytes), h.initrd_addr_max + 1, &initrd, err);
	if (rc != LODGE_OK)
		return rc;
	if (guest_write(src->mem, gpa(load), src->kernel.data + h.payload_offset, h.payload_bytes) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "%s: the kernel does not fit guest memory; give the guest more with -m",
				 src->kernel.name);

	memcpy(page + LINUX_HDR_SETUP_SECTS, src->kernel.data + LINUX_HDR_SETUP_SECTS, h.header_end - LINUX_HDR_SETUP_SECTS);
	zero_page_fill(page, src, initrd);
	put_le32(page + LINUX_HDR_CODE32_START, (uint32_t)load);
	rc = zero_page_write(src, page, err);
	out->mode = h.has_entry64 ? BOOT_CPU_LONG64 : BOOT_CPU_FLAT32;
	out->rip = h.has_entry64 ? load + ENTRY64_OFFSET : load;
	out->rsi = BOOT_INFO;
	return rc;
}

/* vmlinux as it leaves the linker: entered at its 64-bit entry, which is a physical address. */
enum lodge_err boot_load_vmlinux(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err)
{
	uint8_t page[MEMORY_PAGE_BYTES] = { 0 };
	struct elf_file elf;
	uint64_t end = 0, initrd = 0, cmdline_len = 0;
	enum lodge_err rc;

	rc = elf_open(&src->kernel, &elf, err);
	if (rc == LODGE_OK)
		rc = elf_load(&elf, src, &end, err);
	if (rc == LODGE_OK && (elf.entry < BOOT_KERNEL_MIN || elf.entry >= end))
		rc = error_set(err, LODGE_ERR_FORMAT,
			       "%s: the ELF entry 0x%llx lies outside the loaded kernel; it needs a PVH note or a bzImage",
			       src->kernel.name, (unsigned long long)elf.entry);
	if (rc == LODGE_OK)
		rc = boot_write_cmdline(src, BOOT_CMDLINE_MAX - 1, &cmdline_len, err);
	if (rc == LODGE_OK)
		rc = boot_place_initrd(src, end, src->ram_low_end, &initrd, err);
	if (rc != LODGE_OK)
		return rc;
	zero_page_fill(page, src, initrd);
	put_le16(page + LINUX_HDR_VERSION, 0x20c);
	page[LINUX_HDR_LOADFLAGS] = LOADED_HIGH;
	out->mode = BOOT_CPU_LONG64;
	out->rip = elf.entry;
	out->rsi = BOOT_INFO;
	return zero_page_write(src, page, err);
}
