/* SPDX-License-Identifier: Apache-2.0 */
/* PVH, the entry that Xen's HVM-lite guests define: 32-bit flat, EBX points to hvm_start_info. */
#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"
#include "boot/boot.h"
#include "boot/elf.h"

struct hvm_start_info_wire {
	le32_t magic, version, flags, nr_modules;
	le64_t modlist, cmdline, rsdp, memmap;
	le32_t memmap_entries, reserved;
};
_Static_assert(sizeof(struct hvm_start_info_wire) == 56, "PVH start info");
struct hvm_module_wire {
	le64_t paddr, bytes, cmdline, reserved;
};
_Static_assert(sizeof(struct hvm_module_wire) == 32, "PVH module entry");
struct hvm_memmap_wire {
	le64_t addr, bytes;
	le32_t type, reserved;
};
_Static_assert(sizeof(struct hvm_memmap_wire) == 24, "PVH memory map entry");

/* One copy of this is laid at BOOT_INFO. */
struct pvh_info_wire {
	struct hvm_start_info_wire start;
	struct hvm_module_wire module;
	struct hvm_memmap_wire memmap[E820_MAX];
};
_Static_assert(sizeof(struct pvh_info_wire) <= BOOT_INFO_BYTES, "the PVH information fits its place");

#define HVM_START_MAGIC 0x336ec578u

static void pvh_info_fill(struct pvh_info_wire *info, const struct boot_source *src, uint64_t initrd)
{
	*info = (struct pvh_info_wire){ 0 };
	info->start.magic = le32(HVM_START_MAGIC);
	info->start.version = le32(1);
	info->start.cmdline = le64(BOOT_CMDLINE);
	info->start.rsdp = le64(src->rsdp);
	if (initrd) {
		info->start.nr_modules = le32(1);
		info->start.modlist = le64(BOOT_INFO + offsetof(struct pvh_info_wire, module));
		info->module.paddr = le64(initrd);
		info->module.bytes = le64(src->initrd.bytes);
	}
	info->start.memmap = le64(BOOT_INFO + offsetof(struct pvh_info_wire, memmap));
	info->start.memmap_entries = le32(src->e820->count);
	for (unsigned i = 0; i < src->e820->count; i++) {
		info->memmap[i].addr = le64(src->e820->entry[i].base);
		info->memmap[i].bytes = le64(src->e820->entry[i].len);
		info->memmap[i].type = le32(src->e820->entry[i].type);
	}
}

enum lodge_err boot_load_pvh(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err)
{
	struct pvh_info_wire info;
	struct elf_file elf;
	uint64_t end = 0, initrd = 0, cmdline_len = 0;
	uint32_t entry = 0;
	enum lodge_err rc;

	rc = elf_open(&src->kernel, &elf, err);
	if (rc == LODGE_OK && !elf_pvh_entry(&elf, &entry))
		rc = error_set(err, LODGE_ERR_FORMAT, "%s: no PVH entry note", src->kernel.name);
	if (rc == LODGE_OK)
		rc = elf_load(&elf, src, &end, err);
	if (rc == LODGE_OK && (entry < BOOT_KERNEL_MIN || entry >= end))
		rc = error_set(err, LODGE_ERR_FORMAT, "%s: the PVH entry 0x%x lies outside the loaded kernel", src->kernel.name,
			       entry);
	if (rc == LODGE_OK)
		rc = boot_write_cmdline(src, BOOT_CMDLINE_MAX - 1, &cmdline_len, err);
	if (rc == LODGE_OK)
		rc = boot_place_initrd(src, end, src->ram_low_end, &initrd, err);
	if (rc != LODGE_OK)
		return rc;
	pvh_info_fill(&info, src, initrd);
	if (guest_write(src->mem, gpa(BOOT_INFO), &info, sizeof(info)) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "guest memory is too small to boot a kernel; give it more with -m");
	out->mode = BOOT_CPU_FLAT32;
	out->rip = entry;
	out->ebx = (uint32_t)BOOT_INFO;
	return LODGE_OK;
}
