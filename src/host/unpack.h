/* SPDX-License-Identifier: Apache-2.0 */
/* Packed clusters of disk images. Hosted code only. */
#ifndef LODGE_HOST_UNPACK_H
#define LODGE_HOST_UNPACK_H

#include "block/qcow2.h"

/* qcow2_options.unpack */
bool host_unpack(enum block_compression how, const void *in, size_t in_bytes, void *out, size_t out_bytes);

#endif
