/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device has (virtio 1.2, chapter 2): status, features,
 * queues, a configuration space. The transport (virtio_pci.h) puts these into
 * registers; a device (virtio_blk.h, ...) takes chains from its queues.
 *
 * Threads: registers are reached on vcpu threads; a doorbell only posts, and
 * chains are taken and given back on the I/O thread. The lock guards all below
 * and is never held while an interrupt is raised or the device is called.
 */
#ifndef LODGE_DEVICES_VIRTIO_VIRTIO_H
#define LODGE_DEVICES_VIRTIO_VIRTIO_H

#include "devices/device.h"
#include "devices/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 16
#define VIRTIO_CONFIG_BYTES_MAX 128
#define VIRTIO_NO_VECTOR 0xffffu

#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_ENTROPY 4
#define VIRTIO_ID_BALLOON 5

#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER 0x02u
#define VIRTIO_STATUS_DRIVER_OK 0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED 0x80u

#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1 (UINT64_C(1) << 32)
#define VIRTIO_F_RING_PACKED (UINT64_C(1) << 34)
#define VIRTIO_F_RING (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED)

struct virtio_device;

/* I/O thread, lock not held, unless said otherwise. All but one of chain and kick may be NULL. */
struct virtio_ops {
	/* A chain, in a buffer that is the core's: copy what outlives the call. virtio_push() gives it back, now or later. */
	void (*chain)(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain);
	/* In place of chain: a doorbell, or it may have been one; the device takes what it wants by virtio_pop(). */
	void (*kick)(struct virtio_device *dev, unsigned queue);
	/* The driver wrote [@offset, @offset+@size) of the configuration; not applied. Lock held, any thread. */
	void (*config_written)(struct virtio_device *dev, unsigned offset, unsigned size, uint32_t value);
	/* Back to the state before any driver, nothing in flight. Lock held, any thread. */
	void (*reset)(struct virtio_device *dev);
	/* Machine reset: every chain is given back when this returns. */
	void (*drain)(struct virtio_device *dev);
};

/* How the transport raises interrupts. Any thread, lock not held. */
struct virtio_transport {
	void (*interrupt)(void *ctx, bool config, uint16_t vector);
	void (*interrupts_reset)(void *ctx);
	bool (*may_access_memory)(void *ctx);
	void *ctx;
};

struct virtio_queue {
	struct virtio_device *dev;
	struct virtq ring;
	struct event_post doorbell;
	uint16_t vector;
	bool enabled;
};

struct virtio_config {
	const struct virtio_ops *ops;
	void *impl;
	uint16_t id;       /* VIRTIO_ID_* */
	const char *name;  /* for messages */
	uint64_t features; /* the device's own; those of rings come with it */
	unsigned queues;
	uint16_t queue_size;
	const uint8_t *config; /* device-specific configuration; read with the lock held */
	unsigned config_bytes;
	struct guest_memory *mem;
	struct post_service posts;
	struct log *log;
};

struct virtio_device {
	struct host_mutex lock;
	struct virtio_config config;
	struct virtio_transport transport;
	uint64_t driver_features;
	uint8_t status, generation;
	uint16_t config_vector;
	bool resetting;     /* asked for while chains are in flight */
	unsigned in_flight; /* popped and not pushed */
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	struct virtq_chain chain; /* I/O thread */
};

enum lodge_err virtio_init(struct virtio_device *dev, const struct virtio_config *config) LODGE_MUST_CHECK;
/* Vcpus stopped, on the I/O thread or while it does not run: back to power-on, or off the loop for good. */
void virtio_power_on(struct virtio_device *dev);
void virtio_fini(struct virtio_device *dev);

/* ---- for devices ---- */

/* Give a chain back; interrupts if the driver wants to hear of it. I/O thread. */
void virtio_push(struct virtio_device *dev, unsigned queue, uint16_t id, uint16_t descriptors, uint32_t written);
/* The same for several chains, which the driver sees all at once. */
void virtio_push_all(struct virtio_device *dev, unsigned queue, const struct virtq_used *used, unsigned n);
/* For devices with kick: take the next chain, unless the device is stopped or being reset. I/O thread. */
bool virtio_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain) LODGE_MUST_CHECK;
/* Take back the last pops, @chains of them with @descriptors ring entries together. */
void virtio_unpop(struct virtio_device *dev, unsigned queue, unsigned chains, unsigned descriptors);
/* Ask for doorbells or for none; true: asked for, but something is there already. */
bool virtio_set_doorbells(struct virtio_device *dev, unsigned queue, bool on);
/* Is a driver there that works with @queue? Any thread. */
bool virtio_running(struct virtio_device *dev, unsigned queue);
/* Change the configuration space at @at, which lies in config.config, and tell the driver. Any thread, lock not held. */
void virtio_config_change(struct virtio_device *dev, uint8_t *at, const void *from, size_t bytes);
/* The driver broke a rule: stop all queues, ask for a reset. Any thread, lock not held. */
void virtio_break(struct virtio_device *dev, const char *why);
static inline bool virtio_has(const struct virtio_device *dev, uint64_t feature) { return dev->driver_features & feature; }

/* ---- for the transport; lock not held ---- */

uint64_t virtio_offered(const struct virtio_device *dev);
void virtio_set_status(struct virtio_device *dev, uint8_t value);
void virtio_enable_queue(struct virtio_device *dev, unsigned queue);
/* Any thread, any lock. */
void virtio_doorbell(struct virtio_device *dev, unsigned queue);
void virtio_doorbell_all(struct virtio_device *dev);

#endif
