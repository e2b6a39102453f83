/* SPDX-License-Identifier: Apache-2.0 */
/* Get log page (NVMe 1.4, 5.14): errors, health, firmware. */
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

enum { LOG_ERRORS = 1, LOG_HEALTH = 2, LOG_FIRMWARE = 3 };

#define ERRORS_BYTES 64u
#define HEALTH_BYTES 512u
#define FIRMWARE_BYTES 512u
#define RETAIN_EVENT (1u << 15)
#define DATA_UNIT_BYTES 512000u /* a thousand blocks of 512 bytes */

static void fill_errors(const struct nvme *n, uint8_t *p)
{
	const struct nvme_error_entry *e = &n->last_error;

	put_le64(p + 0, e->count);
	put_le16(p + 8, e->sq);
	put_le16(p + 10, e->cid);
	put_le16(p + 12, (uint16_t)(e->status << 1));
	put_le16(p + 14, 0xffff); /* no single parameter is to blame */
}

static void fill_health(const struct nvme *n, uint8_t *p)
{
	const struct nvme_counters *c = &n->counters;

	put_le16(p + 1, 300); /* kelvin */
	p[3] = 100;           /* spare left, and what would be too little */
	p[4] = 10;
	put_le64(p + 32, (c->bytes_read + DATA_UNIT_BYTES - 1) / DATA_UNIT_BYTES);
	put_le64(p + 48, (c->bytes_written + DATA_UNIT_BYTES - 1) / DATA_UNIT_BYTES);
	put_le64(p + 64, c->reads);
	put_le64(p + 80, c->writes);
	put_le64(p + 112, 1); /* power cycles */
	put_le64(p + 160, c->media_errors);
	put_le64(p + 176, c->errors);
}

static void fill_firmware(uint8_t *p)
{
	p[0] = 1; /* slot 1 runs */
	memset(p + 8, ' ', 8);
	p[8] = '1';
}

uint16_t nvme_get_log(struct nvme *n, struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xff;
	uint64_t bytes = (((uint64_t)(c->dw[11] & 0xffff) << 16 | c->dw[10] >> 16) + 1) * 4, length = id == LOG_ERRORS ? ERRORS_BYTES : HEALTH_BYTES;
	uint64_t offset = (uint64_t)c->dw[13] << 32 | c->dw[12];
	uint16_t status;

	if (c->nsid != NVME_NSID_ALL && c->nsid)
		return (c->nsid == NVME_NSID ? NVME_INVALID_FIELD : NVME_INVALID_NAMESPACE) | NVME_DNR; /* health is the controller's alone */
	memset(n->page, 0, sizeof(n->page));
	switch (id) {
	case LOG_ERRORS: fill_errors(n, n->page); break;
	case LOG_HEALTH: fill_health(n, n->page); break;
	case LOG_FIRMWARE: fill_firmware(n->page); break;
	default: return NVME_LOG_PAGE_INVALID | NVME_DNR;
	}
	if (offset > length || offset % 4)
		return NVME_INVALID_FIELD | NVME_DNR;
	/* Behind a log's end are zeros, up to a page; more nobody has a use for. */
	if (bytes > sizeof(n->page) - length)
		return NVME_INVALID_FIELD | NVME_DNR;
	status = nvme_send(n, c, n->page + offset, bytes);
	if (status == NVME_SUCCESS && id == LOG_ERRORS && !(c->dw[10] & RETAIN_EVENT))
		n->error_masked = false;
	return status;
}
