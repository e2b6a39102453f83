/* SPDX-License-Identifier: Apache-2.0 */
/* Disks, by virtio or NVMe, and the other virtio devices: one PCI function each, in slots from 1 up. */
#include "devices/nvme/nvme.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "machine/machine_internal.h"

#define FIRST_SLOT 1u
#define CLASS_STORAGE_SCSI 0x0100 /* what firmware takes for a disk controller */
#define CLASS_NETWORK 0x0200
#define CLASS_OTHER 0xff00
#define DISK_QUEUES_MAX 4u        /* more than the I/O thread can serve at once is of no use */

struct machine_virtio {
	unsigned ndisks; /* that are on the bus */
	struct {
		bool is_nvme;
		union {
			struct {
				struct virtio_blk blk;
				struct virtio_pci pci;
			};
			struct nvme nvme;
		};
	} disks[MACHINE_DISKS_MAX];
	bool has_net, has_rng;
	struct virtio_net net;
	struct virtio_pci net_pci;
	struct virtio_rng rng;
	struct virtio_pci rng_pci;
};

static enum lodge_err create_nvme(struct machine *m, unsigned i)
{
	struct machine_virtio *v = m->virtio;

	v->disks[i].is_nvme = true;
	return nvme_init(&v->disks[i].nvme, &(struct nvme_config){ .block = m->config.disks[i].block,
								   .serial = m->config.disks[i].serial,
								   .number = i,
								   .queues = MIN(m->config.vcpus, NVME_IO_QUEUES_MAX),
								   .mem = m->config.mem,
								   .posts = m->config.posts,
								   .bus = &m->pci,
								   .slot = FIRST_SLOT + i,
								   .msi = msi_sink(&m->msi),
								   .log = m->config.log });
}

static enum lodge_err create_virtio_disk(struct machine *m, unsigned i)
{
	struct machine_virtio *v = m->virtio;
	enum lodge_err rc = virtio_blk_init(&v->disks[i].blk, &(struct virtio_blk_config){ .block = m->config.disks[i].block,
											  .serial = m->config.disks[i].serial,
											  .queues = MIN(m->config.vcpus, DISK_QUEUES_MAX),
											  .mem = m->config.mem,
											  .posts = m->config.posts,
											  .log = m->config.log });

	if (rc == LODGE_OK)
		rc = virtio_pci_init(&v->disks[i].pci, &(struct virtio_pci_config){ .dev = &v->disks[i].blk.dev,
										    .bus = &m->pci,
										    .slot = FIRST_SLOT + i,
										    .class_device = CLASS_STORAGE_SCSI,
										    .msi = msi_sink(&m->msi) });
	return rc;
}

static enum lodge_err create_disk(struct machine *m, unsigned i)
{
	enum lodge_err rc = m->config.disks[i].nvme ? create_nvme(m, i) : create_virtio_disk(m, i);

	m->virtio->ndisks += rc == LODGE_OK;
	return rc;
}

static enum lodge_err create_rng(struct machine *m)
{
	struct machine_virtio *v = m->virtio;
	enum lodge_err rc = virtio_rng_init(&v->rng, m->config.mem, &m->config.posts, m->config.log);

	if (rc == LODGE_OK)
		rc = virtio_pci_init(&v->rng_pci, &(struct virtio_pci_config){ .dev = &v->rng.dev,
									       .bus = &m->pci,
									       .slot = FIRST_SLOT + MACHINE_DISKS_MAX,
									       .class_device = CLASS_OTHER,
									       .msi = msi_sink(&m->msi) });
	v->has_rng = rc == LODGE_OK;
	return rc;
}

static enum lodge_err create_net(struct machine *m)
{
	struct machine_virtio *v = m->virtio;
	struct virtio_net_config config = { .net = m->config.net, .mem = m->config.mem, .posts = m->config.posts, .log = m->config.log };
	enum lodge_err rc;

	memcpy(config.mac, m->config.mac, sizeof(config.mac));
	rc = virtio_net_init(&v->net, &config);
	if (rc == LODGE_OK)
		rc = virtio_pci_init(&v->net_pci, &(struct virtio_pci_config){ .dev = &v->net.dev,
									       .bus = &m->pci,
									       .slot = FIRST_SLOT + MACHINE_DISKS_MAX + 1,
									       .class_device = CLASS_NETWORK,
									       .msi = msi_sink(&m->msi) });
	v->has_net = rc == LODGE_OK;
	return rc;
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
		rc = create_disk(m, i);
	if (rc == LODGE_OK && m->config.rng)
		rc = create_rng(m);
	if (rc == LODGE_OK && m->config.net)
		rc = create_net(m);
	return rc;
}

void machine_virtio_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->virtio->ndisks; i++) {
		if (m->virtio->disks[i].is_nvme)
			nvme_power_on(&m->virtio->disks[i].nvme);
		else
			virtio_pci_reset(&m->virtio->disks[i].pci);
	}
	if (m->virtio->has_rng)
		virtio_pci_reset(&m->virtio->rng_pci);
	if (m->virtio->has_net)
		virtio_pci_reset(&m->virtio->net_pci);
}

void machine_virtio_stop(struct machine *m)
{
	for (unsigned i = 0; m->virtio && i < m->virtio->ndisks; i++) {
		if (m->virtio->disks[i].is_nvme) {
			nvme_fini(&m->virtio->disks[i].nvme);
			continue;
		}
		virtio_pci_fini(&m->virtio->disks[i].pci);
		virtio_fini(&m->virtio->disks[i].blk.dev);
	}
	if (m->virtio && m->virtio->has_rng) {
		virtio_pci_fini(&m->virtio->rng_pci);
		virtio_fini(&m->virtio->rng.dev);
	}
	if (m->virtio && m->virtio->has_net) {
		virtio_pci_fini(&m->virtio->net_pci);
		virtio_net_fini(&m->virtio->net);
	}
}
