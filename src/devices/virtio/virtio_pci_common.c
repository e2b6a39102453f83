/* SPDX-License-Identifier: Apache-2.0 */
/* The registers by which a driver negotiates and sets up queues. */
#include "devices/virtio/virtio_pci_common.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"

struct common_wire {
	le32_t device_feature_select, device_feature;
	le32_t driver_feature_select, driver_feature;
	le16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	le16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	le64_t queue_desc, queue_driver, queue_device;
};
_Static_assert(sizeof(struct common_wire) == VIRTIO_PCI_COMMON_BYTES, "virtio_pci_common_cfg");
#define FIELD(name) offsetof(struct common_wire, name)

/* The half of 64 feature bits that a select register asks for; there are no more than two. */
static uint32_t half(uint64_t bits, uint32_t select)
{
	return select < 2 ? (uint32_t)(bits >> (32 * select)) : 0;
}

/* Lock held. A queue that does not exist has size 0. */
static struct virtio_queue *selected(struct virtio_pci *p)
{
	return p->queue_select < p->config.dev->config.queues ? &p->config.dev->queues[p->queue_select] : NULL;
}

/* The whole structure as it reads now. Lock held. */
static void fill(struct virtio_pci *p, struct common_wire *w)
{
	const struct virtio_device *dev = p->config.dev;
	const struct virtio_queue *q = selected(p);

	*w = (struct common_wire){
		.device_feature_select = le32(p->device_feature_select),
		.device_feature = le32(half(virtio_offered(dev), p->device_feature_select)),
		.driver_feature_select = le32(p->driver_feature_select),
		.driver_feature = le32(half(dev->driver_features, p->driver_feature_select)),
		.config_msix_vector = le16(dev->config_vector),
		.num_queues = le16((uint16_t)dev->config.queues),
		.device_status = dev->status,
		.config_generation = dev->generation,
		.queue_select = le16(p->queue_select),
	};
	if (!q)
		return;
	w->queue_size = le16(q->ring.ring.size);
	w->queue_msix_vector = le16(q->vector);
	w->queue_enable = le16(q->enabled);
	w->queue_notify_off = le16(p->queue_select);
	w->queue_desc = le64(q->ring.ring.desc);
	w->queue_driver = le64(q->ring.ring.driver);
	w->queue_device = le64(q->ring.ring.device);
}

static void read_common(struct virtio_pci *p, struct bus_access *access)
{
	struct common_wire w;
	const uint8_t *bytes = (const uint8_t *)&w;

	host_mutex_lock(&p->config.dev->lock);
	fill(p, &w);
	host_mutex_unlock(&p->config.dev->lock);
	access->value = 0;
	for (unsigned i = 0; i < access->size && access->offset + i < sizeof(w); i++)
		access->value |= (uint64_t)bytes[access->offset + i] << (8 * i);
}

/* ---- writes; lock held ---- */

static void write_features(struct virtio_pci *p, uint32_t value)
{
	struct virtio_device *dev = p->config.dev;
	unsigned shift = 32 * p->driver_feature_select;

	if (p->driver_feature_select > 1 || dev->status & VIRTIO_STATUS_FEATURES_OK)
		return;
	dev->driver_features = (dev->driver_features & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

/* A vector that the table does not have reads back as none (4.1.5.1.2.1). */
static uint16_t vector(const struct virtio_pci *p, uint64_t value)
{
	return value < p->msix.vectors ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void write_address(uint64_t *address, const struct bus_access *access, unsigned field)
{
	if (access->size == 8)
		*address = access->value;
	else if (access->offset == field)
		*address = (*address & ~UINT64_C(0xffffffff)) | (uint32_t)access->value;
	else
		*address = (uint32_t)*address | access->value << 32;
}

/* Fields of a queue are the driver's until it enables the queue. */
static void write_queue(struct virtio_pci *p, const struct bus_access *access)
{
	struct virtio_queue *q = selected(p);
	unsigned field = (unsigned)access->offset & ~4u;

	if (!q || p->config.dev->resetting)
		return;
	if (access->offset == FIELD(queue_msix_vector) && access->size == 2)
		q->vector = vector(p, access->value);
	if (q->enabled)
		return;
	if (access->offset == FIELD(queue_size) && access->size == 2)
		q->ring.ring.size = (uint16_t)access->value;
	else if (access->size < 4 || access->offset % access->size)
		return;
	else if (field == (FIELD(queue_desc) & ~4u))
		write_address(&q->ring.ring.desc, access, FIELD(queue_desc));
	else if (field == (FIELD(queue_driver) & ~4u))
		write_address(&q->ring.ring.driver, access, FIELD(queue_driver));
	else if (field == (FIELD(queue_device) & ~4u))
		write_address(&q->ring.ring.device, access, FIELD(queue_device));
}
_Static_assert(FIELD(queue_desc) % 8 == 0 && FIELD(queue_driver) % 8 == 0 && FIELD(queue_device) % 8 == 0, "halves differ in bit 2");

static void write_locked(struct virtio_pci *p, const struct bus_access *access)
{
	uint32_t value = (uint32_t)access->value;

	switch (access->offset) {
	case FIELD(device_feature_select):
		p->device_feature_select = access->size == 4 ? value : p->device_feature_select;
		break;
	case FIELD(driver_feature_select):
		p->driver_feature_select = access->size == 4 ? value : p->driver_feature_select;
		break;
	case FIELD(driver_feature):
		if (access->size == 4)
			write_features(p, value);
		break;
	case FIELD(config_msix_vector):
		if (access->size == 2)
			p->config.dev->config_vector = vector(p, value);
		break;
	case FIELD(queue_select):
		p->queue_select = access->size == 2 ? (uint16_t)value : p->queue_select;
		break;
	default: write_queue(p, access); break;
	}
}

static void write_common(struct virtio_pci *p, const struct bus_access *access)
{
	struct virtio_device *dev = p->config.dev;
	unsigned queue;
	bool enable;

	if (access->offset == FIELD(device_status) && access->size == 1) {
		virtio_set_status(dev, (uint8_t)access->value);
		return;
	}
	host_mutex_lock(&dev->lock);
	queue = p->queue_select;
	enable = access->offset == FIELD(queue_enable) && access->size == 2 && access->value == 1 && selected(p);
	if (!enable)
		write_locked(p, access);
	host_mutex_unlock(&dev->lock);
	if (enable)
		virtio_enable_queue(dev, queue);
}

void virtio_pci_common_access(struct virtio_pci *p, struct bus_access *access)
{
	if (access->is_write)
		write_common(p, access);
	else
		read_common(p, access);
}
