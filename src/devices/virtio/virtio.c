/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a virtio device: negotiation, queues, reset, and what happens when a driver breaks the rules. */
#include "devices/virtio/virtio.h"

#include "base/mem.h"

#define CHAINS_PER_TURN 64u /* then others on the I/O thread have theirs */

/* ---- reset; lock held ---- */

static void reset_now(struct virtio_device *dev)
{
	dev->resetting = false;
	dev->status = 0;
	dev->driver_features = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < dev->config.queues; i++) {
		virtq_reset(&dev->queues[i].ring);
		dev->queues[i].vector = VIRTIO_NO_VECTOR;
		dev->queues[i].enabled = false;
	}
	if (dev->config.ops->reset)
		dev->config.ops->reset(dev);
}

/* The host may still be filling guest memory: status stays as it is, not 0, until that has ended (2.4.2). */
static bool reset_begin(struct virtio_device *dev)
{
	if (dev->in_flight) {
		dev->resetting = true;
		for (unsigned i = 0; i < dev->config.queues; i++)
			dev->queues[i].ring.ready = false;
		return false;
	}
	reset_now(dev);
	return true;
}

/* ---- trouble ---- */

/* Lock held; true: tell the driver, with the lock given up. */
static bool break_locked(struct virtio_device *dev, const char *why)
{
	if (dev->status & VIRTIO_STATUS_NEEDS_RESET)
		return false;
	log_guest(dev->config.log, "%s: the guest's driver broke a rule (%s); the device stops until the guest resets it", dev->config.name, why);
	dev->status |= VIRTIO_STATUS_NEEDS_RESET;
	for (unsigned i = 0; i < dev->config.queues; i++)
		dev->queues[i].ring.ready = false;
	return dev->status & VIRTIO_STATUS_DRIVER_OK;
}

void virtio_break(struct virtio_device *dev, const char *why)
{
	bool tell;
	uint16_t vector;

	host_mutex_lock(&dev->lock);
	tell = !dev->resetting && break_locked(dev, why);
	vector = dev->config_vector;
	host_mutex_unlock(&dev->lock);
	if (tell)
		dev->transport.interrupt(dev->transport.ctx, true, vector);
}

/* ---- status ---- */

uint64_t virtio_offered(const struct virtio_device *dev)
{
	return dev->config.features | VIRTIO_F_RING;
}

/* Lock held. NULL, or what is wrong. */
static const char *map_queue(struct virtio_device *dev, struct virtio_queue *q)
{
	q->ring.packed = virtio_has(dev, VIRTIO_F_RING_PACKED);
	q->ring.indirect = virtio_has(dev, VIRTIO_F_INDIRECT_DESC);
	q->ring.event_index = virtio_has(dev, VIRTIO_F_EVENT_IDX);
	return virtq_map(&q->ring) == LODGE_OK ? NULL : q->ring.broken;
}

/* Lock held. */
static const char *start(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->config.queues; i++) {
		const char *why = dev->queues[i].enabled ? map_queue(dev, &dev->queues[i]) : NULL;

		if (why)
			return why;
	}
	return NULL;
}

/* Lock held. Bits are only ever added; NULL, or what is wrong. */
static const char *add_status(struct virtio_device *dev, uint8_t value)
{
	uint8_t new = value & (uint8_t)~dev->status;

	if (new & VIRTIO_STATUS_FEATURES_OK) {
		/* A set that we cannot work with is refused by leaving the bit off (3.1.1). */
		if ((dev->driver_features & ~virtio_offered(dev)) || !virtio_has(dev, VIRTIO_F_VERSION_1))
			new &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	}
	if ((new & VIRTIO_STATUS_DRIVER_OK) && !((dev->status | new) & VIRTIO_STATUS_FEATURES_OK))
		new &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	dev->status |= new & (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK |
			      VIRTIO_STATUS_FAILED);
	return new & VIRTIO_STATUS_DRIVER_OK ? start(dev) : NULL;
}

void virtio_set_status(struct virtio_device *dev, uint8_t value)
{
	const char *why = NULL;
	bool was_reset = false, started = false;

	host_mutex_lock(&dev->lock);
	if (!value) {
		was_reset = reset_begin(dev);
	} else if (!dev->resetting) {
		started = value & ~dev->status & VIRTIO_STATUS_DRIVER_OK;
		why = add_status(dev, value);
	}
	host_mutex_unlock(&dev->lock);
	if (was_reset)
		dev->transport.interrupts_reset(dev->transport.ctx);
	if (why)
		virtio_break(dev, why);
	else if (started)
		virtio_doorbell_all(dev);
}

void virtio_enable_queue(struct virtio_device *dev, unsigned queue)
{
	struct virtio_queue *q = &dev->queues[queue];
	const char *why = NULL;

	host_mutex_lock(&dev->lock);
	if (!q->enabled && !dev->resetting) {
		q->enabled = true;
		if (dev->status & VIRTIO_STATUS_DRIVER_OK && !(dev->status & VIRTIO_STATUS_NEEDS_RESET))
			why = map_queue(dev, q);
	}
	host_mutex_unlock(&dev->lock);
	if (why)
		virtio_break(dev, why);
}

/* ---- queues ---- */

void virtio_doorbell(struct virtio_device *dev, unsigned queue)
{
	if (queue < dev->config.queues)
		post_call(&dev->config.posts, &dev->queues[queue].doorbell);
}

void virtio_doorbell_all(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->config.queues; i++)
		virtio_doorbell(dev, i);
}

static bool accessible(struct virtio_device *dev)
{
	return dev->transport.may_access_memory(dev->transport.ctx);
}

bool virtio_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain)
{
	struct virtq *ring = &dev->queues[queue].ring;
	enum virtq_result result = VIRTQ_EMPTY;

	if (!accessible(dev))
		return false;
	host_mutex_lock(&dev->lock);
	if (!dev->resetting && !(dev->status & VIRTIO_STATUS_NEEDS_RESET))
		result = virtq_pop(ring, chain);
	dev->in_flight += result == VIRTQ_POPPED;
	host_mutex_unlock(&dev->lock);
	if (result == VIRTQ_BROKEN)
		virtio_break(dev, ring->broken);
	return result == VIRTQ_POPPED;
}

/* Lock held; true: that was what a reset waited for. */
static bool given_back(struct virtio_device *dev, unsigned chains)
{
	dev->in_flight -= chains;
	if (dev->in_flight || !dev->resetting)
		return false;
	reset_now(dev);
	return true;
}

void virtio_unpop(struct virtio_device *dev, unsigned queue, unsigned chains, unsigned descriptors)
{
	bool was_reset;

	host_mutex_lock(&dev->lock);
	virtq_unpop(&dev->queues[queue].ring, chains, descriptors);
	was_reset = given_back(dev, chains);
	host_mutex_unlock(&dev->lock);
	if (was_reset)
		dev->transport.interrupts_reset(dev->transport.ctx);
}

bool virtio_running(struct virtio_device *dev, unsigned queue)
{
	bool running;

	host_mutex_lock(&dev->lock);
	running = !dev->resetting && dev->queues[queue].ring.ready && !dev->queues[queue].ring.broken;
	host_mutex_unlock(&dev->lock);
	return running;
}

void virtio_config_change(struct virtio_device *dev, uint8_t *at, const void *from, size_t bytes)
{
	bool tell;
	uint16_t vector;

	host_mutex_lock(&dev->lock);
	memcpy(at, from, bytes);
	dev->generation++;
	tell = dev->status & VIRTIO_STATUS_DRIVER_OK && !dev->resetting;
	vector = dev->config_vector;
	host_mutex_unlock(&dev->lock);
	if (tell)
		dev->transport.interrupt(dev->transport.ctx, true, vector);
}

bool virtio_set_doorbells(struct virtio_device *dev, unsigned queue, bool on)
{
	struct virtq *ring = &dev->queues[queue].ring;
	bool more = false;

	host_mutex_lock(&dev->lock);
	if (on)
		more = virtq_doorbells_on(ring);
	else
		virtq_doorbells_off(ring);
	host_mutex_unlock(&dev->lock);
	return more;
}

static void on_doorbell(void *ctx)
{
	struct virtio_queue *q = ctx;
	struct virtio_device *dev = q->dev;
	unsigned queue = (unsigned)(q - dev->queues), n;

	if (!accessible(dev))
		return;
	if (dev->config.ops->kick) {
		dev->config.ops->kick(dev, queue);
		return;
	}
	virtio_set_doorbells(dev, queue, false);
	for (n = 0; n < CHAINS_PER_TURN && virtio_pop(dev, queue, &dev->chain); n++)
		dev->config.ops->chain(dev, queue, &dev->chain);
	if (n == CHAINS_PER_TURN || virtio_set_doorbells(dev, queue, true))
		virtio_doorbell(dev, queue);
}

void virtio_push_all(struct virtio_device *dev, unsigned queue, const struct virtq_used *used, unsigned n)
{
	struct virtio_queue *q = &dev->queues[queue];
	bool interrupt, was_reset;
	uint16_t vector;

	host_mutex_lock(&dev->lock);
	virtq_push_all(&q->ring, used, n);
	interrupt = virtq_wants_interrupt(&q->ring);
	vector = q->vector;
	was_reset = given_back(dev, n);
	host_mutex_unlock(&dev->lock);
	if (was_reset)
		dev->transport.interrupts_reset(dev->transport.ctx);
	else if (interrupt)
		dev->transport.interrupt(dev->transport.ctx, false, vector);
}

void virtio_push(struct virtio_device *dev, unsigned queue, uint16_t id, uint16_t descriptors, uint32_t written)
{
	virtio_push_all(dev, queue, &(struct virtq_used){ id, descriptors, written }, 1);
}

/* ---- life ---- */

enum lodge_err virtio_init(struct virtio_device *dev, const struct virtio_config *config)
{
	if (!config->queues || config->queues > VIRTIO_QUEUES_MAX || config->config_bytes > VIRTIO_CONFIG_BYTES_MAX)
		return LODGE_ERR_ARG;
	dev->config = *config;
	for (unsigned i = 0; i < config->queues; i++) {
		struct virtio_queue *q = &dev->queues[i];

		q->dev = dev;
		virtq_init(&q->ring, config->mem, config->queue_size);
		q->doorbell = (struct event_post){ .fn = on_doorbell, .ctx = q };
	}
	reset_now(dev);
	return LODGE_OK;
}

static void cancel_doorbells(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->config.queues; i++)
		post_cancel(&dev->config.posts, &dev->queues[i].doorbell);
}

void virtio_power_on(struct virtio_device *dev)
{
	cancel_doorbells(dev);
	if (dev->in_flight && dev->config.ops->drain)
		dev->config.ops->drain(dev);
	host_mutex_lock(&dev->lock);
	dev->in_flight = 0;
	reset_now(dev);
	host_mutex_unlock(&dev->lock);
	dev->transport.interrupts_reset(dev->transport.ctx);
}

void virtio_fini(struct virtio_device *dev)
{
	if (!dev->config.queues)
		return;
	cancel_doorbells(dev);
	if (dev->in_flight && dev->config.ops->drain)
		dev->config.ops->drain(dev);
}
