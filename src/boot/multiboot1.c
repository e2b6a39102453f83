/* SPDX-License-Identifier: Apache-2.0 */
/* Loads multiboot 1 kernels (ELF of either class, or the "a.out kludge"): GNU Mach, Xen, freestanding test guests. */
#include "boot/multiboot1.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"
#include "boot/elf.h"

#define HEADER_MAGIC 0x1badb002u
#define LOADER_MAGIC 0x2badb002u
#define SEARCH_BYTES 8192u
#define HEADER_MUST_KNOW 0xfff8u /* bits 3..15: refuse what we do not know; bit 2 (video mode) is only a wish */

#define INFO_MEMORY 0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODS 0x008u
#define INFO_MMAP 0x040u
#define INFO_LOADER_NAME 0x200u

struct mb_info_wire {
	le32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	le32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, loader_name, apm_table;
};
_Static_assert(sizeof(struct mb_info_wire) == 72, "multiboot information");
struct mb_module_wire {
	le32_t start, end, string, reserved;
};
struct LODGE_PACKED mb_mmap_wire {
	le32_t size; /* of the rest */
	le64_t base, len;
	le32_t type;
};
_Static_assert(sizeof(struct mb_mmap_wire) == 24, "multiboot memory map entry");
struct mb_place_wire {
	struct mb_info_wire info;
	struct mb_module_wire module;
	struct mb_mmap_wire mmap[E820_MAX];
	char loader_name[8];
	char module_name[256];
};
_Static_assert(sizeof(struct mb_place_wire) <= BOOT_INFO_BYTES, "the multiboot information fits its place");

bool multiboot1_find(const struct boot_file *file, struct multiboot1_header *out)
{
	uint64_t end = MIN(file->bytes, SEARCH_BYTES);

	for (uint64_t at = 0; at + 12 <= end; at += 4) {
		const uint8_t *p = file->data + at;
		uint32_t flags = get_le32(p + 4);

		if (get_le32(p) != HEADER_MAGIC || HEADER_MAGIC + flags + get_le32(p + 8) != 0)
			continue;
		if ((flags & MULTIBOOT1_AOUT_KLUDGE) && at + 32 > end)
			continue;
		*out = (struct multiboot1_header){ .offset = at, .flags = flags };
		if (flags & MULTIBOOT1_AOUT_KLUDGE) {
			out->header_addr = get_le32(p + 12);
			out->load_addr = get_le32(p + 16);
			out->load_end_addr = get_le32(p + 20);
			out->bss_end_addr = get_le32(p + 24);
			out->entry_addr = get_le32(p + 28);
		}
		return true;
	}
	return false;
}

/* The header itself says where the file goes: its own address fixes the file offset of load_addr. */
static enum lodge_err kludge_load(const struct boot_source *src, const struct multiboot1_header *h, uint64_t *end,
				  struct lodge_error *err)
{
	const char *name = src->kernel.name;
	uint64_t before, offset, bytes, total;

	if (h->load_addr > h->header_addr || h->header_addr - h->load_addr > h->offset)
		return error_set(err, LODGE_ERR_FORMAT, "%s: damaged multiboot header (load address)", name);
	before = h->header_addr - h->load_addr;
	offset = h->offset - before;
	bytes = src->kernel.bytes - offset;
	if (h->load_end_addr) {
		if (h->load_end_addr < h->load_addr || h->load_end_addr - h->load_addr > bytes)
			return error_set(err, LODGE_ERR_FORMAT,
					 "%s: the multiboot header asks for more than the file holds; it is truncated", name);
		bytes = h->load_end_addr - h->load_addr;
	}
	total = h->bss_end_addr > h->load_addr ? MAX(bytes, (uint64_t)h->bss_end_addr - h->load_addr) : bytes;
	if (h->load_addr < BOOT_KERNEL_MIN || !range_fits(h->load_addr, total, src->ram_low_end))
		return error_set(
			err, LODGE_ERR_RANGE,
			"%s: the kernel wants %llu KiB at 0x%x, which is not between 1 MiB and the end of guest memory; give the guest more with -m",
			name, (unsigned long long)(total >> 10), h->load_addr);
	if (guest_write(src->mem, gpa(h->load_addr), src->kernel.data + offset, bytes) != LODGE_OK ||
	    guest_fill(src->mem, gpa(h->load_addr + bytes), 0, total - bytes) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "%s: the kernel does not fit guest memory", name);
	*end = h->load_addr + total;
	return LODGE_OK;
}

static enum lodge_err elf_part_load(const struct boot_source *src, uint64_t *end, uint64_t *entry, struct lodge_error *err)
{
	struct elf_file elf;
	enum lodge_err rc = elf_open(&src->kernel, &elf, err);

	if (rc == LODGE_OK)
		rc = elf_load(&elf, src, end, err);
	if (rc == LODGE_OK)
		*entry = elf.entry;
	return rc;
}

static void info_fill(struct mb_place_wire *p, const struct boot_source *src, uint64_t initrd)
{
	const struct e820_map *map = src->e820;

	*p = (struct mb_place_wire){ 0 };
	memcpy(p->loader_name, "lodge", 6);
	memcpy(p->module_name, src->initrd.name ? src->initrd.name : "",
	       boot_text_len(src->initrd.name, sizeof(p->module_name) - 1));
	p->info.flags = le32(INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME | INFO_MODS);
	p->info.mem_lower = le32((uint32_t)(BOOT_EBDA >> 10));
	p->info.mem_upper = le32((uint32_t)((src->ram_low_end - MIN(src->ram_low_end, BOOT_KERNEL_MIN)) >> 10));
	p->info.cmdline = le32((uint32_t)BOOT_CMDLINE);
	p->info.loader_name = le32((uint32_t)(BOOT_INFO + offsetof(struct mb_place_wire, loader_name)));
	p->info.mods_addr = le32((uint32_t)(BOOT_INFO + offsetof(struct mb_place_wire, module)));
	if (initrd) {
		p->info.mods_count = le32(1);
		p->module.start = le32((uint32_t)initrd);
		p->module.end = le32((uint32_t)(initrd + src->initrd.bytes));
		p->module.string = le32((uint32_t)(BOOT_INFO + offsetof(struct mb_place_wire, module_name)));
	}
	p->info.mmap_addr = le32((uint32_t)(BOOT_INFO + offsetof(struct mb_place_wire, mmap)));
	p->info.mmap_length = le32(map->count * (uint32_t)sizeof(struct mb_mmap_wire));
	for (unsigned i = 0; i < map->count; i++) {
		p->mmap[i].size = le32(sizeof(struct mb_mmap_wire) - 4);
		p->mmap[i].base = le64(map->entry[i].base);
		p->mmap[i].len = le64(map->entry[i].len);
		p->mmap[i].type = le32(map->entry[i].type);
	}
}

enum lodge_err boot_load_multiboot1(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err)
{
	struct mb_place_wire place;
	struct multiboot1_header h;
	uint64_t end = 0, initrd = 0, entry = 0, cmdline_len = 0;
	enum lodge_err rc;

	if (!multiboot1_find(&src->kernel, &h))
		return error_set(err, LODGE_ERR_FORMAT, "%s: no multiboot header", src->kernel.name);
	if (h.flags & HEADER_MUST_KNOW)
		return error_set(err, LODGE_ERR_UNSUPPORTED,
				 "%s: the multiboot header demands features 0x%x that Lodge does not have", src->kernel.name,
				 h.flags & HEADER_MUST_KNOW);
	if (h.flags & MULTIBOOT1_AOUT_KLUDGE) {
		entry = h.entry_addr;
		rc = kludge_load(src, &h, &end, err);
	} else {
		rc = elf_part_load(src, &end, &entry, err);
	}
	if (rc == LODGE_OK && (entry < BOOT_KERNEL_MIN || entry >= end))
		rc = error_set(err, LODGE_ERR_FORMAT, "%s: the entry 0x%llx lies outside the loaded kernel", src->kernel.name,
			       (unsigned long long)entry);
	if (rc == LODGE_OK)
		rc = boot_write_cmdline(src, BOOT_CMDLINE_MAX - 1, &cmdline_len, err);
	if (rc == LODGE_OK)
		rc = boot_place_initrd(src, end, src->ram_low_end, &initrd, err);
	if (rc != LODGE_OK)
		return rc;
	info_fill(&place, src, initrd);
	if (guest_write(src->mem, gpa(BOOT_INFO), &place, sizeof(place)) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is too small to boot a kernel; give it more with -m");
	out->mode = BOOT_CPU_FLAT32;
	out->rip = entry;
	out->eax = LOADER_MAGIC;
	out->ebx = (uint32_t)BOOT_INFO;
	return LODGE_OK;
}
