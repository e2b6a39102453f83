/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical region pages (NVMe 1.4, 4.3): where a command's data lies. Each
 * list entry is read once. The walk is bounded by the data's length: a list's
 * page that is not the first begins at its start, and so carries 511 entries.
 */
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

#define PRP_BYTES 8u

static uint64_t offset_in_page(uint64_t addr) { return addr % NVME_PAGE_BYTES; }

/* One page, or a part; joined with the part before where both are neighbours in the host, too. */
static uint16_t add_part(struct nvme *n, uint64_t addr, uint64_t bytes, bool write)
{
	struct nvme_map *m = &n->map;
	void *at;

	if (guest_span(n->config.mem, gpa(addr), bytes, write, &at) != LODGE_OK)
		return NVME_DATA_TRANSFER_ERROR | NVME_DNR;
	if (m->n) {
		struct block_iov *last = &m->iov[m->n - 1];

		if ((uint8_t *)last->base + last->len == at && m->gpa[m->n - 1] + last->len == addr) {
			last->len += bytes;
			return NVME_SUCCESS;
		}
	}
	m->iov[m->n] = (struct block_iov){ .base = at, .len = bytes };
	m->gpa[m->n++] = addr;
	return NVME_SUCCESS;
}

static uint16_t walk_list(struct nvme *n, uint64_t list, uint64_t bytes, bool write)
{
	uint16_t status = NVME_SUCCESS;

	if (list % PRP_BYTES)
		return NVME_PRP_OFFSET_INVALID | NVME_DNR;
	while (bytes && status == NVME_SUCCESS) {
		le64_t w;
		uint64_t prp, part = MIN(bytes, NVME_PAGE_BYTES);

		if (guest_read(n->config.mem, gpa(list), &w, sizeof(w)) != LODGE_OK)
			return NVME_DATA_TRANSFER_ERROR | NVME_DNR;
		prp = le64_get(w);
		if (offset_in_page(prp))
			return NVME_PRP_OFFSET_INVALID | NVME_DNR;
		if (offset_in_page(list) == NVME_PAGE_BYTES - PRP_BYTES && bytes > NVME_PAGE_BYTES) {
			list = prp; /* a page's last entry leads to the next one's first */
			continue;
		}
		status = add_part(n, prp, part, write);
		bytes -= part;
		list += PRP_BYTES;
	}
	return status;
}

uint16_t nvme_map_data(struct nvme *n, const struct nvme_command *c, uint64_t bytes, bool write)
{
	uint64_t first = MIN(NVME_PAGE_BYTES - offset_in_page(c->prp1), bytes);
	uint16_t status;

	n->map.n = 0;
	if (bytes > NVME_TRANSFER_MAX)
		return NVME_INVALID_FIELD | NVME_DNR;
	if (c->prp1 % 4)
		return NVME_PRP_OFFSET_INVALID | NVME_DNR;
	status = add_part(n, c->prp1, first, write);
	bytes -= first;
	if (status != NVME_SUCCESS || !bytes)
		return status;
	if (bytes > NVME_PAGE_BYTES)
		return walk_list(n, c->prp2, bytes, write);
	return offset_in_page(c->prp2) ? NVME_PRP_OFFSET_INVALID | NVME_DNR : add_part(n, c->prp2, bytes, write);
}

uint16_t nvme_send(struct nvme *n, const struct nvme_command *c, const void *data, uint64_t bytes)
{
	uint16_t status = nvme_map_data(n, c, bytes, true);
	const uint8_t *from = data;

	for (unsigned i = 0; status == NVME_SUCCESS && i < n->map.n; i++) {
		memcpy(n->map.iov[i].base, from, n->map.iov[i].len);
		guest_span_written(n->config.mem, gpa(n->map.gpa[i]), n->map.iov[i].len);
		from += n->map.iov[i].len;
	}
	return status;
}

uint16_t nvme_receive(struct nvme *n, const struct nvme_command *c, void *data, uint64_t bytes)
{
	uint16_t status = nvme_map_data(n, c, bytes, false);
	uint8_t *to = data;

	for (unsigned i = 0; status == NVME_SUCCESS && i < n->map.n; i++) {
		memcpy(to, n->map.iov[i].base, n->map.iov[i].len);
		to += n->map.iov[i].len;
	}
	return status;
}
