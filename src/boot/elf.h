/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files of both classes as boot loaders see them: program headers and notes, little endian, x86. */
#ifndef LODGE_BOOT_ELF_H
#define LODGE_BOOT_ELF_H

#include "boot/boot.h"

struct elf_file {
	const struct boot_file *file;
	bool is_64;
	uint64_t entry;
	uint64_t phoff;
	uint32_t phentsize, phnum;
};

#define ELF_PT_LOAD 1u
#define ELF_PT_NOTE 4u
struct elf_phdr {
	uint32_t type;
	uint64_t offset, paddr, filesz, memsz;
};

bool elf_is(const struct boot_file *file);

/* Check the header: class, byte order, machine, and that the program headers lie in the file. */
enum lodge_err elf_open(const struct boot_file *file, struct elf_file *out, struct lodge_error *err) LODGE_MUST_CHECK;

/* Program header @index (< phnum), with offset + filesz checked against the file. */
enum lodge_err elf_phdr(const struct elf_file *elf, uint32_t index, struct elf_phdr *out,
			struct lodge_error *err) LODGE_MUST_CHECK;

/* The value of Xen's note PHYS32_ENTRY (PVH); false when there is none or the notes are damaged. */
bool elf_pvh_entry(const struct elf_file *elf, uint32_t *entry);

/* Load every PT_LOAD segment at its physical address; *end is the first byte above all of them. */
enum lodge_err elf_load(const struct elf_file *elf, const struct boot_source *src, uint64_t *end,
			struct lodge_error *err) LODGE_MUST_CHECK;

#endif
