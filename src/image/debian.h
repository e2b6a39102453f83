/* SPDX-License-Identifier: Apache-2.0 */
/* Debian from its packages: a disk with a bootable system, made by mmdebstrap and mke2fs. */
#ifndef LODGE_IMAGE_DEBIAN_H
#define LODGE_IMAGE_DEBIAN_H

#include "base/error.h"

#define DEBIAN_BYTES_DEFAULT GIB(8)
#define DEBIAN_BYTES_MIN GIB(1)

struct debian_pull {
	const char *release; /* debian_release() says yes */
	const char *mirror;  /* NULL: the host's */
	uint64_t bytes;
	int interrupt_fd; /* can be read: stop; -1: never */
	/* About once a second: what is being done, and the space it takes by now. */
	void (*progress)(void *ctx, const char *step, uint64_t bytes);
	void *ctx;
};

struct debian_pulled {
	uint64_t bytes, taken_bytes;
	unsigned packages;
};

/* Is @release one that can be pulled? */
bool debian_release(const char *release);

/*
 * Make the image debian-RELEASE. There is all of it afterwards, or nothing new:
 * one that exists already is replaced at the end. LODGE_ERR_BUSY with "interrupted" if it was.
 */
enum lodge_err debian_pull(const struct debian_pull *p, struct debian_pulled *out, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
