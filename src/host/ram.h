/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: a sparse memfd mapped once, so that helpers can share it, or anonymous memory. Hosted code only. */
#ifndef LODGE_HOST_RAM_H
#define LODGE_HOST_RAM_H

#include "base/error.h"

struct host_ram {
	int fd;        /* -1: none */
	uint8_t *hva;
	uint64_t bytes;
};

/*
 * Make @bytes (a multiple of the page size) of zeroed RAM. Nothing is reserved:
 * host memory is taken when the guest touches a page. @huge asks for
 * transparent huge pages; where the host has them for anonymous memory only,
 * that is what RAM becomes, and there is no fd.
 */
enum lodge_err host_ram_create(struct host_ram *ram, uint64_t bytes, bool huge, struct lodge_error *err) LODGE_MUST_CHECK;

/* Fine on one whose creation failed. */
void host_ram_destroy(struct host_ram *ram);

#endif
