/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM that runs an image keeps between runs: $XDG_STATE_HOME/lodge/vms/NAME/
 * with disk.qcow2, all that it wrote, over base.raw, a hard link to the image's
 * disk. So an image may be replaced or removed while machines build on it.
 */
#ifndef LODGE_IMAGE_INSTANCE_H
#define LODGE_IMAGE_INSTANCE_H

#include "image/store.h"

/* Zeroed: none. */
struct instance {
	char dir[STORE_PATH_MAX], disk[STORE_PATH_MAX], base[STORE_PATH_MAX];
	bool temporary;
};

/* Find what VM @vm of @image has, or make it; with @temporary always new, and gone at instance_close(). */
enum lodge_err instance_open(struct instance *i, const char *image, const char *vm, bool temporary, struct lodge_error *err) LODGE_MUST_CHECK;
void instance_close(struct instance *i);

#endif
