/* SPDX-License-Identifier: Apache-2.0 */
/* What generated code needs of the CPU beyond user mode's means. */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "host/host_ops.h"
#include "host/linux/linux.h"

#define HWCAP2_FSGSBASE_BIT 2u /* the kernel has enabled WRGSBASE */

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

void linux_sync_core_register(void)
{
	membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
}

/*
 * Without membarrier(2), e.g. behind a strict seccomp filter: unmapping a
 * touched page interrupts every CPU that runs one of our threads, and the
 * return from an interrupt serialises.
 */
static void sync_core_by_unmap(void)
{
	volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return;
	*page = 1;
	mprotect((void *)(uintptr_t)page, 4096, PROT_READ);
	munmap((void *)(uintptr_t)page, 4096);
}

void host_sync_core(void)
{
	int saved = errno;

	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)) {
		linux_sync_core_register();
		if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE))
			sync_core_by_unmap();
	}
	errno = saved;
}

void host_set_gs_base(void *p)
{
	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
		__asm__ volatile("wrgsbase %0" : : "r"(p) : "memory");
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, p);
}
