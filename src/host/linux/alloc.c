/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: the heap, sparse areas, guest RAM, and code mapped twice. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/checked.h"
#include "host/host_ops.h"
#include "host/linux/linux.h"
#include "host/ram.h"

#define PAGE_BYTES UINT64_C(4096)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

void *host_alloc(size_t bytes, size_t align)
{
	void *p;

	if (align <= _Alignof(max_align_t))
		return calloc(1, bytes ? bytes : 1);
	if (posix_memalign(&p, align, bytes ? bytes : 1))
		return NULL;
	return memset(p, 0, bytes);
}

void host_free(void *p)
{
	free(p);
}

/* Private memory that begins where a huge page may, or NULL with errno set. */
static void *map_aligned(uint64_t bytes)
{
	uint64_t slack = HOST_HUGE_PAGE_BYTES, head;
	uint8_t *p;

	bytes = align_up(bytes, PAGE_BYTES);
	p = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	head = align_up((uintptr_t)p, slack) - (uintptr_t)p;
	if (head)
		munmap(p, head);
	if (slack - head)
		munmap(p + head + bytes, slack - head);
	return p + head;
}

void *linux_map_huge(uint64_t bytes)
{
	void *p = map_aligned(bytes);

	if (p)
		madvise(p, bytes, MADV_HUGEPAGE); /* a wish */
	return p;
}

void *host_alloc_sparse(size_t bytes)
{
	void *p;

	if (bytes >= 2 * HOST_HUGE_PAGE_BYTES)
		return map_aligned(bytes);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void host_want_huge_page(void *p)
{
	/* Unlike MADV_HUGEPAGE this is for shared memory, too, whatever the host gives to files by itself. */
	madvise(p, HOST_HUGE_PAGE_BYTES, MADV_COLLAPSE);
}

void host_free_sparse(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

void host_discard(void *p, size_t bytes)
{
	/* The first is for memory that is a file's, the second for memory that is nobody's. */
	if (madvise(p, bytes, MADV_REMOVE))
		madvise(p, bytes, MADV_DONTNEED);
}

void *host_alloc_stack(size_t bytes)
{
	uint8_t *p = host_alloc_sparse(bytes + HOST_STACK_GUARD);

	if (p && mprotect(p, HOST_STACK_GUARD, PROT_NONE)) {
		host_free_sparse(p, bytes + HOST_STACK_GUARD);
		return NULL;
	}
	return p ? p + HOST_STACK_GUARD : NULL;
}

void host_free_stack(void *p, size_t bytes)
{
	if (p)
		host_free_sparse((uint8_t *)p - HOST_STACK_GUARD, bytes + HOST_STACK_GUARD);
}

const char *host_os_error_text(int os_error)
{
	return strerrordesc_np(os_error) ? strerrordesc_np(os_error) : "unknown error";
}

/* Kernels before 6.3 do not know @mode; newer ones may insist on it. */
static int memfd_open(const char *name, unsigned mode)
{
	int fd = memfd_create(name, MFD_CLOEXEC | mode);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	return fd;
}

/* ---- guest RAM ---- */

/* Is @word the chosen one in a file of the form "always [madvise] never"? */
static bool sysfs_chosen(const char *path, const char *word)
{
	char text[128] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[MAX(n, (ssize_t)0)] = '\0';
	return strstr(text, word);
}

#define THP "/sys/kernel/mm/transparent_hugepage/"

/* Many hosts give huge pages to anonymous memory only. They are worth more than a file that nobody shares yet. */
static bool huge_if_anonymous(void)
{
	return (sysfs_chosen(THP "shmem_enabled", "[never]") || sysfs_chosen(THP "shmem_enabled", "[deny]")) && !sysfs_chosen(THP "enabled", "[never]");
}

enum lodge_err host_ram_create(struct host_ram *ram, uint64_t bytes, bool huge, struct lodge_error *err)
{
	void *p;

	*ram = (struct host_ram){ .fd = -1 };
	if (!bytes || bytes % PAGE_BYTES || bytes > INT64_MAX)
		return error_set(err, LODGE_ERR_ARG, "guest RAM must be a multiple of 4 KiB");
	if (huge && huge_if_anonymous() && (p = linux_map_huge(bytes)) != NULL) {
		*ram = (struct host_ram){ .fd = -1, .hva = p, .bytes = bytes };
		madvise(p, bytes, MADV_DONTDUMP);
		return LODGE_OK;
	}
	ram->fd = memfd_open("lodge-ram", MFD_NOEXEC_SEAL);
	if (ram->fd < 0)
		return error_set_os(err, LODGE_ERR_UNSUPPORTED, errno, "cannot create the memory file for guest RAM");
	if (ftruncate(ram->fd, (off_t)bytes)) {
		enum lodge_err code = error_set_os(err, LODGE_ERR_NOMEM, errno,
						   "cannot size guest RAM to %llu MiB (see 'ulimit -f')",
						   (unsigned long long)(bytes >> 20));

		host_ram_destroy(ram);
		return code;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram->fd, 0);
	if (p == MAP_FAILED) {
		enum lodge_err code = error_set_os(err, LODGE_ERR_NOMEM, errno,
						   "cannot map %llu MiB of guest RAM (see 'ulimit -v')",
						   (unsigned long long)(bytes >> 20));

		host_ram_destroy(ram);
		return code;
	}
	ram->hva = p;
	ram->bytes = bytes;
	if (huge)
		madvise(p, bytes, MADV_HUGEPAGE); /* a wish */
	madvise(p, bytes, MADV_DONTDUMP);
	return LODGE_OK;
}

void host_ram_destroy(struct host_ram *ram)
{
	if (ram->hva)
		munmap(ram->hva, ram->bytes);
	if (ram->fd >= 0)
		close(ram->fd);
	*ram = (struct host_ram){ .fd = -1 };
}

/* ---- executable memory ---- */

/*
 * Map near our own text, so that generated code reaches C functions by rel32
 * and the other way round. Best effort: callers must handle any address.
 */
static void *map_near_text(size_t bytes, int fd)
{
	uint64_t text = align_down((uintptr_t)&host_code_alloc_dual, MIB(2));
	uint64_t span = align_up(bytes, MIB(2));

	for (uint64_t distance = MIB(64); distance + span < GIB(2) - MIB(64); distance += MIB(64)) {
		void *p;

		if (text < distance + span)
			break;
		p = mmap((void *)(uintptr_t)(text - distance - span), bytes, PROT_READ | PROT_EXEC,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
		if (p != MAP_FAILED)
			return p;
		if (errno != EEXIST)
			break;
	}
	return mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
}

enum lodge_err host_code_alloc_dual(struct host_code_area *area, size_t bytes, struct lodge_error *err)
{
	enum lodge_err code = LODGE_OK;
	void *rw = NULL, *rx = MAP_FAILED;
	int fd;

	*area = (struct host_code_area){ 0 };
	bytes = align_up(bytes, PAGE_BYTES);
	fd = memfd_open("lodge-code", MFD_EXEC);
	if (fd < 0)
		return error_set_os(
			err, LODGE_ERR_UNSUPPORTED, errno,
			"this host does not let a program create memory that can hold code (sysctl vm.memfd_noexec?)");
	if (ftruncate(fd, (off_t)bytes)) {
		code = error_set_os(err, LODGE_ERR_NOMEM, errno, "cannot size the code cache to %zu MiB", bytes >> 20);
		goto out;
	}
	rw = host_alloc_sparse(bytes); /* for its place */
	if (rw && mmap(rw, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		host_free_sparse(rw, bytes);
		rw = NULL;
	}
	if (!rw) {
		code = error_set_os(err, LODGE_ERR_NOMEM, errno, "cannot map the code cache of %zu MiB", bytes >> 20);
		goto out;
	}
	rx = map_near_text(bytes, fd);
	if (rx == MAP_FAILED) {
		code = error_set_os(err, LODGE_ERR_UNSUPPORTED, errno,
				    "this host refuses to map generated code as executable (a security policy such as SELinux?)");
		goto out;
	}
	*area = (struct host_code_area){ .rw = rw, .rx = rx, .bytes = bytes };
	linux_sync_core_register();
out:
	if (code)
		host_free_sparse(rw, bytes);
	close(fd);
	return code;
}

void host_code_free(struct host_code_area *area)
{
	if (area->rw)
		munmap(area->rw, area->bytes);
	if (area->rx)
		munmap(area->rx, area->bytes);
	*area = (struct host_code_area){ 0 };
}
