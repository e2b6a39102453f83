/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio over PCI: capabilities that say where things are, and the BAR:
 *
 *   0000 common configuration    3000 doorbells, 4 bytes a queue
 *   1000 interrupt status        4000 MSI-X table
 *   2000 device configuration    5000 MSI-X pending bits
 */
#include "devices/virtio/virtio_pci.h"

#include "base/mem.h"
#include "devices/virtio/virtio_pci_common.h"

#define VENDOR_VIRTIO 0x1af4
#define DEVICE_BASE 0x1040
#define BAR_INDEX 0u
#define BAR_BYTES 0x8000u
#define BAR_COMMON 0x0000u
#define BAR_ISR 0x1000u
#define BAR_DEVICE 0x2000u
#define BAR_DOORBELLS 0x3000u
#define BAR_MSIX_TABLE 0x4000u
#define BAR_MSIX_PBA 0x5000u
#define BAR_PART_BYTES 0x1000u
#define DOORBELL_BYTES 4u

#define CAP_VENDOR 0x09
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI_CFG = 5 };
#define CAP_OFFSET_LEN 2u
#define CAP_OFFSET_TYPE 3u
#define CAP_OFFSET_BAR 4u
#define CAP_OFFSET_OFFSET 8u
#define CAP_OFFSET_LENGTH 12u
#define CAP_OFFSET_EXTRA 16u /* doorbell multiplier, or the window's data */

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

/* ---- interrupts ---- */

static void follow_intx(void *ctx)
{
	struct virtio_pci *p = ctx;

	pci_function_follow_intx(&p->fn, &p->isr);
}

/* Any thread; also from inside the window, where the PCI lock is held. */
static void update_intx(struct virtio_pci *p)
{
	if (atomic_load(&p->in_window))
		post_call(&p->config.dev->config.posts, &p->intx);
	else
		follow_intx(p);
}

static void raise(void *ctx, bool config, uint16_t vector)
{
	struct virtio_pci *p = ctx;

	/* With MSI-X on, a queue without a vector is silent, and the status register is not used (4.1.5.1.2). */
	if (msix_notify(&p->msix, vector))
		return;
	atomic_fetch_or(&p->isr, config ? ISR_CONFIG : ISR_QUEUE);
	update_intx(p);
}

static void interrupts_reset(void *ctx)
{
	struct virtio_pci *p = ctx;

	atomic_store(&p->isr, 0);
	update_intx(p);
}

static bool may_access_memory(void *ctx)
{
	struct virtio_pci *p = ctx;

	return pci_function_is_master(&p->fn);
}

/* ---- the BAR ---- */

/* Any access of the register or of bytes around it acknowledges, as a read of one byte does (4.1.4.5). */
static enum bus_result isr_access(struct virtio_pci *p, struct bus_access *access)
{
	if (access->is_write || access->offset)
		return BUS_HANDLED;
	access->value = atomic_exchange(&p->isr, 0);
	if (access->value)
		update_intx(p);
	return BUS_HANDLED;
}

static enum bus_result device_config_access(struct virtio_device *dev, struct bus_access *access)
{
	unsigned offset = (unsigned)access->offset;

	host_mutex_lock(&dev->lock);
	if (!access->is_write) {
		access->value = 0;
		for (unsigned i = 0; i < access->size && offset + i < dev->config.config_bytes; i++)
			access->value |= (uint64_t)dev->config.config[offset + i] << (8 * i);
	} else if (dev->config.ops->config_written && access->size <= 4) {
		dev->config.ops->config_written(dev, offset, access->size, (uint32_t)access->value);
	}
	host_mutex_unlock(&dev->lock);
	return BUS_HANDLED;
}

static enum bus_result bar_access(void *ctx, struct bus_access *access)
{
	struct virtio_pci *p = ctx;
	struct bus_access part = *access;
	enum bus_result result = BUS_HANDLED;

	part.offset %= BAR_PART_BYTES;
	part.value = access->is_write ? access->value : 0;
	switch (access->offset / BAR_PART_BYTES * BAR_PART_BYTES) {
	case BAR_DOORBELLS:
		if (part.is_write)
			virtio_doorbell(p->config.dev, (unsigned)part.offset / DOORBELL_BYTES);
		break;
	case BAR_COMMON: virtio_pci_common_access(p, &part); break;
	case BAR_ISR: result = isr_access(p, &part); break;
	case BAR_DEVICE: result = device_config_access(p->config.dev, &part); break;
	case BAR_MSIX_TABLE: result = msix_table_access(&p->msix, &part); break;
	case BAR_MSIX_PBA: result = msix_pba_access(&p->msix, &part); break;
	default: result = BUS_UNHANDLED; break;
	}
	access->value = part.value;
	return result;
}

static const struct bus_ops bar_ops = { .access = bar_access };

/* ---- configuration space ---- */

/* The window: BAR, offset and length are the driver's; an access happens when its data field is touched (4.1.4.9). */
static void window_access(struct virtio_pci *p, bool write)
{
	uint8_t *cap = &p->fn.state.config[p->cfg_cap];
	uint32_t offset = get_le32(cap + CAP_OFFSET_OFFSET), length = get_le32(cap + CAP_OFFSET_LENGTH);
	struct bus_access access = { .offset = offset, .size = (uint8_t)length, .is_write = write };

	if (cap[CAP_OFFSET_BAR] != BAR_INDEX || (length != 1 && length != 2 && length != 4) || offset % length || offset >= BAR_BYTES)
		return;
	for (unsigned i = 0; write && i < length; i++)
		access.value |= (uint64_t)cap[CAP_OFFSET_EXTRA + i] << (8 * i);
	atomic_store(&p->in_window, true);
	(void)bar_access(p, &access);
	atomic_store(&p->in_window, false);
	for (unsigned i = 0; !write && i < length; i++)
		cap[CAP_OFFSET_EXTRA + i] = (uint8_t)(access.value >> (8 * i));
}

static bool touches_window(const struct virtio_pci *p, unsigned offset, unsigned size)
{
	unsigned data = p->cfg_cap + CAP_OFFSET_EXTRA;

	return offset < data + 4 && data < offset + size;
}

static void config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct virtio_pci *p = fn->dev;

	if (touches_window(p, offset, size))
		window_access(p, true);
	msix_config_written(&p->msix);
	/* Doorbells that rang before bus mastering was allowed are still to be answered. */
	if (offset <= PCI_COMMAND && PCI_COMMAND < offset + size && (pci_config_16(fn, PCI_COMMAND) & PCI_COMMAND_MASTER))
		virtio_doorbell_all(p->config.dev);
}

static void config_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct virtio_pci *p = fn->dev;

	if (touches_window(p, offset, size))
		window_access(p, false);
}

static const struct pci_function_ops function_ops = { .config_written = config_written, .config_read = config_read };

static uint8_t add_capability(struct pci_function *fn, unsigned type, uint32_t offset, uint32_t length, unsigned bytes)
{
	uint8_t cap = pci_function_add_capability(fn, CAP_VENDOR, bytes);

	if (!cap)
		return 0;
	fn->initial[cap + CAP_OFFSET_LEN] = (uint8_t)bytes;
	fn->initial[cap + CAP_OFFSET_TYPE] = (uint8_t)type;
	fn->initial[cap + CAP_OFFSET_BAR] = BAR_INDEX;
	put_le32(&fn->initial[cap + CAP_OFFSET_OFFSET], offset);
	put_le32(&fn->initial[cap + CAP_OFFSET_LENGTH], length);
	return cap;
}

static bool add_capabilities(struct virtio_pci *p)
{
	const struct virtio_config *c = &p->config.dev->config;
	struct pci_function *fn = &p->fn;
	bool good = add_capability(fn, CAP_COMMON, BAR_COMMON, VIRTIO_PCI_COMMON_BYTES, 16);
	uint8_t cap = add_capability(fn, CAP_NOTIFY, BAR_DOORBELLS, DOORBELL_BYTES * c->queues, 20);

	put_le32(&fn->initial[cap + CAP_OFFSET_EXTRA], DOORBELL_BYTES);
	good = good && cap && add_capability(fn, CAP_ISR, BAR_ISR, 1, 16);
	if (c->config_bytes)
		good = good && add_capability(fn, CAP_DEVICE, BAR_DEVICE, c->config_bytes, 16);
	cap = add_capability(fn, CAP_PCI_CFG, 0, 0, 20);
	p->cfg_cap = cap;
	if (!good || !cap)
		return false;
	fn->wmask[cap + CAP_OFFSET_BAR] = 0xff;
	memset(&fn->wmask[cap + CAP_OFFSET_OFFSET], 0xff, 12);
	return true;
}

/* ---- life ---- */

enum lodge_err virtio_pci_init(struct virtio_pci *p, const struct virtio_pci_config *config)
{
	struct virtio_device *dev = config->dev;
	const struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(DEVICE_BASE + dev->config.id),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = 0x1100,
		.revision = 1,
		.class_device = config->class_device,
	};
	enum lodge_err rc;

	*p = (struct virtio_pci){ .config = *config };
	p->bar = (struct bus_region){ .len = BAR_BYTES, .ops = &bar_ops, .dev = p };
	p->intx = (struct event_post){ .fn = follow_intx, .ctx = p };
	dev->transport = (struct virtio_transport){
		.interrupt = raise, .interrupts_reset = interrupts_reset, .may_access_memory = may_access_memory, .ctx = p
	};
	pci_function_init(&p->fn, &ids, &function_ops, p);
	pci_function_set_pin(&p->fn, 1);
	rc = pci_function_add_bar(&p->fn, BAR_INDEX, PCI_BAR_MEM64, BAR_BYTES, false, &p->bar);
	if (rc == LODGE_OK)
		rc = add_capabilities(p) ? LODGE_OK : LODGE_ERR_RANGE;
	if (rc == LODGE_OK) /* one vector a queue, one for changes of the configuration */
		rc = msix_init(&p->msix, &p->fn, dev->config.queues + 1, BAR_INDEX, BAR_MSIX_TABLE, BAR_MSIX_PBA, &config->msi);
	return rc == LODGE_OK ? pci_bus_add(config->bus, &p->fn, config->slot, 0) : rc;
}

void virtio_pci_reset(struct virtio_pci *p)
{
	msix_reset(&p->msix);
	p->device_feature_select = p->driver_feature_select = 0;
	p->queue_select = 0;
	virtio_power_on(p->config.dev);
}

void virtio_pci_fini(struct virtio_pci *p)
{
	if (p->config.dev)
		post_cancel(&p->config.dev->config.posts, &p->intx);
}
