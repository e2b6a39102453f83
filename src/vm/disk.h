/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk of a VM: an image, and a few threads that do its blocking work, so
 * that the I/O thread waits for no medium.
 */
#ifndef LODGE_VM_DISK_H
#define LODGE_VM_DISK_H

#include "base/log.h"
#include "block/block.h"
#include "host/event_loop.h"
#include "vm/vm_config.h"

struct disk;

enum lodge_err disk_open(const struct vm_disk *config, struct event_loop *loop, struct log *log, struct disk **out,
			 struct lodge_error *err) LODGE_MUST_CHECK;
/* Nothing in flight; the loop does not run. NULL is fine. */
void disk_close(struct disk *disk);
const struct block_device *disk_block(const struct disk *disk);

#endif
