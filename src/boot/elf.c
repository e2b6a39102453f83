/* SPDX-License-Identifier: Apache-2.0 */
/* Reads ELF kernels; used by the PVH, vmlinux and multiboot loaders. */
#include "boot/elf.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"

#define EHDR32_BYTES 52u
#define EHDR64_BYTES 64u
#define PHDR32_BYTES 32u
#define PHDR64_BYTES 56u
#define EM_386 3u
#define EM_X86_64 62u
#define XEN_ELFNOTE_PHYS32_ENTRY 18u
#define NOTES_MAX 4096u /* a file with more is not a kernel */

bool elf_is(const struct boot_file *file)
{
	return file->bytes >= EHDR32_BYTES && memcmp(file->data, "\177ELF", 4) == 0;
}

enum lodge_err elf_open(const struct boot_file *file, struct elf_file *out, struct lodge_error *err)
{
	const uint8_t *d = file->data;
	uint32_t machine, phdr_bytes;
	bool is_64;

	if (!elf_is(file))
		return error_set(err, LODGE_ERR_FORMAT, "%s: not an ELF file", file->name);
	is_64 = d[4] == 2;
	if ((d[4] != 1 && d[4] != 2) || d[5] != 1 || (is_64 && file->bytes < EHDR64_BYTES))
		return error_set(err, LODGE_ERR_FORMAT, "%s: damaged ELF header", file->name);
	machine = get_le16(d + 18);
	if (machine != EM_386 && machine != EM_X86_64)
		return error_set(err, LODGE_ERR_FORMAT, "%s: an ELF file for another CPU (machine %u); Lodge runs x86",
				 file->name, machine);
	*out = (struct elf_file){
		.file = file,
		.is_64 = is_64,
		.entry = is_64 ? get_le64(d + 24) : get_le32(d + 24),
		.phoff = is_64 ? get_le64(d + 32) : get_le32(d + 28),
		.phentsize = get_le16(d + (is_64 ? 54 : 42)),
		.phnum = get_le16(d + (is_64 ? 56 : 44)),
	};
	phdr_bytes = is_64 ? PHDR64_BYTES : PHDR32_BYTES;
	if (!out->phnum)
		return error_set(err, LODGE_ERR_FORMAT, "%s: an ELF file without program headers; is it an object file?",
				 file->name);
	if (out->phentsize < phdr_bytes || !range_fits(out->phoff, (uint64_t)out->phentsize * out->phnum, file->bytes))
		return error_set(err, LODGE_ERR_FORMAT,
				 "%s: ELF program headers lie outside the file; it is truncated or damaged", file->name);
	return LODGE_OK;
}

enum lodge_err elf_phdr(const struct elf_file *elf, uint32_t index, struct elf_phdr *out, struct lodge_error *err)
{
	const uint8_t *p = elf->file->data + elf->phoff + (uint64_t)index * elf->phentsize;

	if (elf->is_64)
		*out = (struct elf_phdr){ .type = get_le32(p), .offset = get_le64(p + 8), .paddr = get_le64(p + 24),
					  .filesz = get_le64(p + 32), .memsz = get_le64(p + 40) };
	else
		*out = (struct elf_phdr){ .type = get_le32(p), .offset = get_le32(p + 4), .paddr = get_le32(p + 12),
					  .filesz = get_le32(p + 16), .memsz = get_le32(p + 20) };
	if (out->type != ELF_PT_LOAD && out->type != ELF_PT_NOTE)
		return LODGE_OK;
	if (!range_fits(out->offset, out->filesz, elf->file->bytes))
		return error_set(err, LODGE_ERR_FORMAT, "%s: ELF segment %u lies outside the file; it is truncated or damaged",
				 elf->file->name, index);
	return LODGE_OK;
}

/* One PT_NOTE segment: records of three words, a name and a description, each padded to 4 bytes. */
static bool notes_find_pvh(const uint8_t *p, uint64_t len, uint32_t *entry)
{
	for (unsigned n = 0; n < NOTES_MAX && len >= 12; n++) {
		uint64_t namesz = get_le32(p), descsz = get_le32(p + 4);
		uint64_t name_room = align_up(namesz, 4), desc_room = align_up(descsz, 4);
		const uint8_t *name = p + 12;

		if (name_room > len - 12 || descsz > len - 12 - name_room)
			return false;
		if (get_le32(p + 8) == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 && memcmp(name, "Xen", 4) == 0 && descsz >= 4) {
			*entry = get_le32(name + name_room);
			return true;
		}
		if (desc_room > len - 12 - name_room)
			return false;
		p += 12 + name_room + desc_room;
		len -= 12 + name_room + desc_room;
	}
	return false;
}

bool elf_pvh_entry(const struct elf_file *elf, uint32_t *entry)
{
	for (uint32_t i = 0; i < elf->phnum; i++) {
		struct elf_phdr ph;

		if (elf_phdr(elf, i, &ph, NULL) != LODGE_OK)
			return false;
		if (ph.type == ELF_PT_NOTE && notes_find_pvh(elf->file->data + ph.offset, ph.filesz, entry))
			return true;
	}
	return false;
}

static enum lodge_err segment_load(const struct elf_file *elf, uint32_t index, const struct elf_phdr *ph,
				   const struct boot_source *src, struct lodge_error *err)
{
	if (ph->filesz > ph->memsz)
		return error_set(err, LODGE_ERR_FORMAT, "%s: ELF segment %u is larger in the file than in memory",
				 elf->file->name, index);
	if (ph->paddr < BOOT_KERNEL_MIN)
		return error_set(err, LODGE_ERR_FORMAT, "%s: ELF segment %u wants address 0x%llx; kernels load at 1 MiB or above",
				 elf->file->name, index, (unsigned long long)ph->paddr);
	if (!range_fits(ph->paddr, ph->memsz, src->ram_low_end))
		return error_set(
			err, LODGE_ERR_RANGE,
			"%s: ELF segment %u wants 0x%llx bytes at 0x%llx, which is outside guest memory; give the guest more with -m",
			elf->file->name, index, (unsigned long long)ph->memsz, (unsigned long long)ph->paddr);
	if (guest_write(src->mem, gpa(ph->paddr), elf->file->data + ph->offset, ph->filesz) != LODGE_OK ||
	    guest_fill(src->mem, gpa(ph->paddr + ph->filesz), 0, ph->memsz - ph->filesz) != LODGE_OK)
		return error_set(err, LODGE_ERR_RANGE, "%s: ELF segment %u does not fit guest memory", elf->file->name, index);
	return LODGE_OK;
}

enum lodge_err elf_load(const struct elf_file *elf, const struct boot_source *src, uint64_t *end, struct lodge_error *err)
{
	uint64_t total = 0;

	*end = 0;
	for (uint32_t i = 0; i < elf->phnum; i++) {
		struct elf_phdr ph;
		enum lodge_err rc = elf_phdr(elf, i, &ph, err);

		if (rc != LODGE_OK)
			return rc;
		if (ph.type != ELF_PT_LOAD || !ph.memsz)
			continue;
		rc = segment_load(elf, i, &ph, src, err);
		if (rc != LODGE_OK)
			return rc;
		/* Segments of a real kernel do not overlap; without this a small file could ask for hours of clearing. */
		total += ph.memsz;
		if (total > src->ram_low_end)
			return error_set(err, LODGE_ERR_FORMAT, "%s: ELF segments overlap", elf->file->name);
		*end = MAX(*end, ph.paddr + ph.memsz);
	}
	if (!*end)
		return error_set(err, LODGE_ERR_FORMAT, "%s: an ELF file with nothing to load", elf->file->name);
	return LODGE_OK;
}
