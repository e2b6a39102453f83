/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct boot: puts a kernel, its initrd and command line into guest memory by
 * the protocol that the kernel speaks, and says in which state the first CPU
 * begins. Used by src/machine. Files are hostile: every field is checked.
 */
#ifndef LODGE_BOOT_BOOT_H
#define LODGE_BOOT_BOOT_H

#include "base/error.h"
#include "memory/guest_memory.h"

/* Contents stay the caller's. */
struct boot_file {
	const uint8_t *data;
	uint64_t bytes;
	const char *name; /* for messages */
};

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };
#define E820_MAX 32
struct e820_entry {
	uint64_t base, len;
	enum e820_type type;
};
struct e820_map {
	unsigned count;
	struct e820_entry entry[E820_MAX];
};

/* Append; adjacent entries of one type merge. LODGE_ERR_RANGE when full. Empty ones are dropped. */
enum lodge_err e820_add(struct e820_map *map, uint64_t base, uint64_t len, enum e820_type type) LODGE_MUST_CHECK;

/*
 * Low memory while the kernel starts (all of it inside usable RAM, so that the
 * kernel may reclaim it): descriptor table, page tables, one page of boot
 * information with what hangs off it, the command line.
 */
#define BOOT_GDT UINT64_C(0x1000)
#define BOOT_PAGE_TABLES UINT64_C(0x2000) /* PML4, PDPT, four page directories */
#define BOOT_INFO UINT64_C(0x10000)
#define BOOT_INFO_BYTES UINT64_C(0x8000)
#define BOOT_CMDLINE UINT64_C(0x20000)
#define BOOT_CMDLINE_MAX UINT64_C(0x10000) /* with its terminator */
#define BOOT_KERNEL_MIN UINT64_C(0x100000)
#define BOOT_EBDA UINT64_C(0x9fc00)

enum boot_kind { BOOT_BZIMAGE, BOOT_VMLINUX, BOOT_PVH, BOOT_MULTIBOOT1 };
enum boot_cpu_mode { BOOT_CPU_FLAT32, BOOT_CPU_LONG64 };

struct boot_source {
	struct guest_memory *mem;
	struct boot_file kernel, initrd; /* initrd.bytes 0: none */
	const char *cmdline;             /* NULL: empty */
	const struct e820_map *e820;
	uint64_t ram_low_end; /* RAM is usable from 1 MiB to here, at most 4 GiB */
	uint64_t rsdp;        /* 0: none */
};

/* How the first CPU begins. Registers not named are zero. */
struct boot_entry {
	enum boot_kind kind;
	enum boot_cpu_mode mode;
	uint64_t rip, rsi;
	uint32_t eax, ebx;
};

/* What @kernel is, by its content. LODGE_ERR_FORMAT with an explanation when it is nothing bootable. */
enum lodge_err boot_sniff(const struct boot_file *kernel, enum boot_kind *kind, struct lodge_error *err) LODGE_MUST_CHECK;
const char *boot_kind_name(enum boot_kind kind);

/* Load everything into guest memory. The RAM that the e820 map names must be mapped already. */
enum lodge_err boot_load(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err) LODGE_MUST_CHECK;

/* ---- shared by the loaders of this directory ---- */

enum lodge_err boot_load_bzimage(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err boot_load_vmlinux(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err boot_load_pvh(const struct boot_source *src, struct boot_entry *out, struct lodge_error *err) LODGE_MUST_CHECK;
enum lodge_err boot_load_multiboot1(const struct boot_source *src, struct boot_entry *out,
				    struct lodge_error *err) LODGE_MUST_CHECK;

/* Flat 32-bit and 64-bit segments (0x10 code, 0x18 data, 0x20 TSS) and, for long mode, 4 GiB of identity mapping. */
#define BOOT_SEL_CODE 0x10
#define BOOT_SEL_DATA 0x18
#define BOOT_SEL_TSS 0x20
#define BOOT_GDT_BYTES 48
enum lodge_err boot_write_cpu_tables(struct guest_memory *mem, enum boot_cpu_mode mode) LODGE_MUST_CHECK;

/* Place the initrd as high as possible in [@floor, min(@ceiling, RAM)). *addr is 0 when there is none. */
enum lodge_err boot_place_initrd(const struct boot_source *src, uint64_t floor, uint64_t ceiling, uint64_t *addr,
				 struct lodge_error *err) LODGE_MUST_CHECK;

/* Write the command line to BOOT_CMDLINE; @max is the kernel's limit without terminator. */
enum lodge_err boot_write_cmdline(const struct boot_source *src, uint64_t max, uint64_t *len,
				  struct lodge_error *err) LODGE_MUST_CHECK;

size_t boot_text_len(const char *text, size_t max);

#endif
