/* SPDX-License-Identifier: Apache-2.0 */
/* Identify (NVMe 1.4, 5.15): what the controller and its namespace are. */
#include "base/fmt.h"
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

enum { CNS_NAMESPACE = 0, CNS_CONTROLLER = 1, CNS_ACTIVE_LIST = 2, CNS_DESCRIPTORS = 3 };

#define LBA_BITS 9u
#define UUID_TYPE 3u
#define IO_SIZE_BLOCKS 8u /* 4 KiB: what the host's page cache and most media work in */

/* Text fields are padded with blanks. */
static void put_text(uint8_t *at, size_t bytes, const char *text)
{
	memset(at, ' ', bytes);
	memcpy(at, text, MIN(str_len(text), bytes));
}

static void fill_controller(const struct nvme *n, uint8_t *p)
{
	put_le16(p + 0, pci_config_16(&n->fn, PCI_VENDOR_ID));
	put_le16(p + 2, pci_config_16(&n->fn, PCI_SUBSYSTEM_VENDOR_ID));
	put_text(p + 4, NVME_SERIAL_BYTES, n->serial);
	put_text(p + 24, 40, "Lodge NVMe disk");
	put_text(p + 64, 8, "1");
	p[72] = 0;                      /* recommended burst: one command */
	p[77] = NVME_MDTS;
	put_le32(p + 80, 0x10400);      /* version */
	p[111] = 1;                     /* an I/O controller */
	p[258] = 3;                     /* aborts at once, less one */
	p[259] = NVME_EVENTS_MAX - 1;
	p[260] = 1 << 1 | 1;            /* one firmware slot, read only */
	p[261] = 1 << 2;                /* log pages may be read in part */
	put_le16(p + 266, 343);         /* warning and critical temperature: never reached */
	put_le16(p + 268, 353);
	p[512] = 6 << 4 | 6;            /* entries of 64 and 16 bytes */
	p[513] = 4 << 4 | 4;
	put_le32(p + 516, 1);           /* namespaces */
	put_le16(p + 520, 1 << 2 | 1 << 3); /* dataset management, write zeroes */
	p[525] = 3 << 1 | 1;            /* a volatile write cache: the host's; flush takes all namespaces, too */
	memcpy(p + 768, n->nqn, str_len(n->nqn));
	put_le16(p + 2048, 2500);       /* power state 0, in units of 10 mW */
}

static void fill_namespace(const struct nvme *n, uint8_t *p)
{
	uint64_t blocks = n->config.block->geometry.bytes >> LBA_BITS;

	put_le64(p + 0, blocks); /* size, capacity, use */
	put_le64(p + 8, blocks);
	put_le64(p + 16, blocks);
	p[24] = 1 << 4;          /* preferred sizes are given */
	p[33] = 1 << 3 | 1;      /* deallocated blocks read as zeros; write zeroes may deallocate */
	put_le16(p + 64, IO_SIZE_BLOCKS - 1); /* preferred granularity, alignment of writes and deallocation */
	put_le16(p + 66, IO_SIZE_BLOCKS - 1);
	put_le16(p + 68, IO_SIZE_BLOCKS - 1);
	put_le16(p + 70, IO_SIZE_BLOCKS - 1);
	p[99] = n->config.block->geometry.read_only; /* write protected */
	p[128 + 2] = LBA_BITS;   /* format 0 */
}

static void fill_descriptors(const struct nvme *n, uint8_t *p)
{
	p[0] = UUID_TYPE;
	p[1] = sizeof(n->uuid);
	memcpy(p + 4, n->uuid, sizeof(n->uuid));
}

uint16_t nvme_identify(struct nvme *n, struct nvme_command *c)
{
	unsigned cns = c->dw[10] & 0xff;
	bool ours = c->nsid == NVME_NSID;

	memset(n->page, 0, sizeof(n->page));
	switch (cns) {
	case CNS_NAMESPACE:
		if (!ours)
			return NVME_INVALID_NAMESPACE | NVME_DNR;
		fill_namespace(n, n->page);
		break;
	case CNS_CONTROLLER: fill_controller(n, n->page); break;
	case CNS_ACTIVE_LIST: /* those above the given one */
		if (c->nsid >= 0xfffffffe)
			return NVME_INVALID_NAMESPACE | NVME_DNR;
		put_le32(n->page, c->nsid < NVME_NSID ? NVME_NSID : 0);
		break;
	case CNS_DESCRIPTORS:
		if (!ours)
			return NVME_INVALID_NAMESPACE | NVME_DNR;
		fill_descriptors(n, n->page);
		break;
	default: return NVME_INVALID_FIELD | NVME_DNR;
	}
	return nvme_send(n, c, n->page, sizeof(n->page));
}

/* An identifier made of the name, so that it stays the same from boot to boot (RFC 9562, version 8). */
static void make_uuid(uint8_t uuid[16], const char *name)
{
	for (unsigned half = 0; half < 2; half++) {
		uint64_t h = UINT64_C(0xcbf29ce484222325) + half;

		for (const char *s = name; *s; s++)
			h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
		put_le64(uuid + 8 * half, h);
	}
	uuid[6] = (uint8_t)(0x80 | (uuid[6] & 0x0f));
	uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

void nvme_names_init(struct nvme *n)
{
	if (n->config.serial)
		(void)str_copy(n->serial, sizeof(n->serial), n->config.serial);
	else
		(void)fmt_string(n->serial, sizeof(n->serial), "lodge-%u", n->config.number);
	/* A domain that belongs to nobody. The number tells disks apart that a user gave the same serial number. */
	(void)fmt_string(n->nqn, sizeof(n->nqn), "nqn.2026-01.invalid.lodge:nvme%u:%s", n->config.number, n->serial);
	make_uuid(n->uuid, n->nqn);
}
