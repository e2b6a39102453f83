/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two ring formats and what they share. */
#ifndef LODGE_DEVICES_VIRTIO_VIRTQUEUE_INTERNAL_H
#define LODGE_DEVICES_VIRTIO_VIRTQUEUE_INTERNAL_H

#include "base/checked.h"
#include "base/types.h"
#include "devices/virtio/virtqueue.h"

#define VIRTQ_DESC_NEXT 1u
#define VIRTQ_DESC_WRITE 2u
#define VIRTQ_DESC_INDIRECT 4u
#define VIRTQ_DESC_BYTES 16u

/* A descriptor, copied in. Where its last fields lie depends on the format. */
struct virtq_desc {
	uint64_t addr;
	uint32_t len_bytes;
	uint16_t flags;
	uint16_t next; /* packed: buffer id */
};

/* Never comes back: remembers the first reason. */
enum virtq_result virtq_break(struct virtq *q, const char *why);
/* Add a buffer descriptor to @chain; false: the queue is broken now. */
bool virtq_chain_add(struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *d);
/* Where the indirect table that @d names lies, and how many entries it has; NULL: broken. */
const uint8_t *virtq_indirect_table(struct virtq *q, const struct virtq_desc *d, unsigned *entries);

/* Does @event lie in (old, new], modulo 2^16? (2.7.7.2) */
static inline bool virtq_event_passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Descriptors: each field read once. An indirect table need not be aligned. */
typedef uint16_t __attribute__((aligned(1), may_alias)) unaligned_u16;
typedef uint32_t __attribute__((aligned(1), may_alias)) unaligned_u32;
typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned_u64;
static inline uint16_t read16(const uint8_t *p) { return *(const volatile unaligned_u16 *)(const void *)p; }
static inline uint32_t read32(const uint8_t *p) { return *(const volatile unaligned_u32 *)(const void *)p; }
static inline uint64_t read64(const uint8_t *p) { return *(const volatile unaligned_u64 *)(const void *)p; }

/* Ring fields, aligned since virtq_map() looked. */
static inline uint16_t load16(const uint8_t *p) { return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED); }
static inline uint16_t load16_acquire(const uint8_t *p) { return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE); }
static inline void store16(uint8_t *p, uint16_t v) { __atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELAXED); }
static inline void store16_release(uint8_t *p, uint16_t v) { __atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELEASE); }
static inline void store32(uint8_t *p, uint32_t v) { __atomic_store_n((uint32_t *)(void *)p, v, __ATOMIC_RELAXED); }

enum virtq_result virtq_packed_pop(struct virtq *q, struct virtq_chain *chain);
void virtq_packed_push(struct virtq *q, const struct virtq_used *used, unsigned n);
bool virtq_packed_wants_interrupt(struct virtq *q);
void virtq_packed_doorbells_off(struct virtq *q);
bool virtq_packed_doorbells_on(struct virtq *q);

#endif
