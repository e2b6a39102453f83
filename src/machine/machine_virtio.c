/* SPDX-License-Identifier: Apache-2.0 */
/* Disks, by virtio or NVMe, and the other virtio devices: one PCI function each, in slots from 1 up. */
#include "devices/nvme/nvme.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "machine/machine_internal.h"

/* Slots stay what they are, whatever else there is: guests name devices by them. */
enum { SLOT_DISKS = 1, SLOT_RNG = SLOT_DISKS + MACHINE_DISKS_MAX, SLOT_NET, SLOT_BALLOON, SLOT_END };

#define CLASS_STORAGE_SCSI 0x0100 /* what firmware takes for a disk controller */
#define CLASS_NETWORK 0x0200
#define CLASS_OTHER 0xff00
#define DISK_QUEUES_MAX 4u        /* more than the I/O thread can serve at once is of no use */

struct machine_virtio {
	unsigned nfunctions; /* virtio's that are on the bus */
	struct virtio_pci functions[SLOT_END - SLOT_DISKS];
	unsigned nnvmes;     /* that are on the bus */
	struct nvme *nvmes[MACHINE_DISKS_MAX];
	union {
		struct virtio_blk blk;
		struct nvme nvme;
	} disks[MACHINE_DISKS_MAX];
	struct virtio_rng rng;
	struct virtio_net net;
	struct virtio_balloon balloon;
};

static enum lodge_err plug(struct machine *m, struct virtio_device *dev, unsigned slot, unsigned class_device)
{
	struct virtio_pci_config config = {
		.dev = dev, .bus = &m->pci, .slot = slot, .class_device = (uint16_t)class_device, .msi = msi_sink(&m->msi)
	};
	enum lodge_err rc = virtio_pci_init(&m->virtio->functions[m->virtio->nfunctions], &config);

	m->virtio->nfunctions += rc == LODGE_OK;
	return rc;
}

static enum lodge_err create_nvme(struct machine *m, unsigned i)
{
	struct machine_virtio *v = m->virtio;
	enum lodge_err rc = nvme_init(&v->disks[i].nvme, &(struct nvme_config){ .block = m->config.disks[i].block,
										.serial = m->config.disks[i].serial,
										.number = i,
										.queues = MIN(m->config.vcpus, NVME_IO_QUEUES_MAX),
										.mem = m->config.mem,
										.posts = m->config.posts,
										.bus = &m->pci,
										.slot = SLOT_DISKS + i,
										.msi = msi_sink(&m->msi),
										.log = m->config.log });

	if (rc == LODGE_OK)
		v->nvmes[v->nnvmes++] = &v->disks[i].nvme;
	return rc;
}

static enum lodge_err create_virtio_disk(struct machine *m, unsigned i)
{
	struct virtio_blk *blk = &m->virtio->disks[i].blk;
	enum lodge_err rc = virtio_blk_init(blk, &(struct virtio_blk_config){ .block = m->config.disks[i].block,
									      .serial = m->config.disks[i].serial,
									      .queues = MIN(m->config.vcpus, DISK_QUEUES_MAX),
									      .mem = m->config.mem,
									      .posts = m->config.posts,
									      .log = m->config.log });

	return rc == LODGE_OK ? plug(m, &blk->dev, SLOT_DISKS + i, CLASS_STORAGE_SCSI) : rc;
}

static enum lodge_err create_rng(struct machine *m)
{
	enum lodge_err rc = virtio_rng_init(&m->virtio->rng, m->config.mem, &m->config.posts, m->config.log);

	return rc == LODGE_OK ? plug(m, &m->virtio->rng.dev, SLOT_RNG, CLASS_OTHER) : rc;
}

static enum lodge_err create_net(struct machine *m)
{
	struct virtio_net_config config = { .net = m->config.net, .mem = m->config.mem, .posts = m->config.posts, .log = m->config.log };
	enum lodge_err rc;

	memcpy(config.mac, m->config.mac, sizeof(config.mac));
	rc = virtio_net_init(&m->virtio->net, &config);
	return rc == LODGE_OK ? plug(m, &m->virtio->net.dev, SLOT_NET, CLASS_NETWORK) : rc;
}

static enum lodge_err create_balloon(struct machine *m)
{
	enum lodge_err rc = virtio_balloon_init(&m->virtio->balloon, m->config.mem, &m->config.posts, m->config.log);

	return rc == LODGE_OK ? plug(m, &m->virtio->balloon.dev, SLOT_BALLOON, CLASS_OTHER) : rc;
}

enum lodge_err machine_virtio_create(struct machine *m)
{
	enum lodge_err rc = LODGE_OK;

	if (m->config.ndisks > MACHINE_DISKS_MAX)
		return LODGE_ERR_ARG;
	m->virtio = host_alloc(sizeof(*m->virtio), 64);
	if (!m->virtio)
		return LODGE_ERR_NOMEM;
	for (unsigned i = 0; i < m->config.ndisks && rc == LODGE_OK; i++)
		rc = m->config.disks[i].nvme ? create_nvme(m, i) : create_virtio_disk(m, i);
	if (rc == LODGE_OK && m->config.rng)
		rc = create_rng(m);
	if (rc == LODGE_OK && m->config.net)
		rc = create_net(m);
	if (rc == LODGE_OK && m->config.balloon)
		rc = create_balloon(m);
	return rc;
}

void machine_virtio_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->virtio->nfunctions; i++)
		virtio_pci_reset(&m->virtio->functions[i]);
	for (unsigned i = 0; i < m->virtio->nnvmes; i++)
		nvme_power_on(m->virtio->nvmes[i]);
}

void machine_virtio_stop(struct machine *m)
{
	for (unsigned i = 0; m->virtio && i < m->virtio->nnvmes; i++)
		nvme_fini(m->virtio->nvmes[i]);
	for (unsigned i = 0; m->virtio && i < m->virtio->nfunctions; i++) {
		struct virtio_device *dev = m->virtio->functions[i].config.dev;

		virtio_pci_fini(&m->virtio->functions[i]);
		if (dev == &m->virtio->net.dev)
			virtio_net_fini(&m->virtio->net); /* the network must not call it any more */
		else
			virtio_fini(dev);
	}
}
