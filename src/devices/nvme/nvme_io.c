/* SPDX-License-Identifier: Apache-2.0 */
/* I/O commands (NVMe 1.4, chapter 6): each becomes one request to the disk, or a few one after another. */
#include "base/checked.h"
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

enum { OP_FLUSH = 0x00, OP_WRITE = 0x01, OP_READ = 0x02, OP_WRITE_ZEROES = 0x08, OP_DATASET = 0x09 };

#define FORCE_UNIT_ACCESS (1u << 30)
#define DEALLOCATE (1u << 25)      /* write zeroes */
#define DATASET_DEALLOCATE (1u << 2)
#define RANGE_BYTES 16u
#define RANGES_MAX 256u
#define DISCARD_BYTES_MAX GIB(2)   /* at a time */

struct range {
	uint64_t offset, bytes;
};

/* A command while the disk has it. */
struct io_request {
	struct block_request block;
	struct nvme *n;
	unsigned sq;
	uint16_t cid;
	bool flush_first; /* a read that must come from the medium */
	unsigned nranges, next_range;
	unsigned nparts;
	uint64_t *gpa;        /* of each part, behind the iov */
	struct range *ranges; /* in its place */
	struct block_iov iov[];
};

static struct io_request *request_new(struct nvme *n, const struct nvme_command *c, enum block_op op, unsigned parts, unsigned ranges)
{
	struct io_request *r = host_alloc(sizeof(*r) + parts * (sizeof(r->iov[0]) + sizeof(r->gpa[0])) + ranges * sizeof(r->ranges[0]), 16);

	if (!r)
		return NULL;
	r->block = (struct block_request){ .op = op, .owner = r };
	r->n = n;
	r->sq = c->sq;
	r->cid = c->cid;
	r->nparts = parts;
	r->nranges = ranges;
	r->gpa = (uint64_t *)(void *)&r->iov[parts];
	r->ranges = (struct range *)(void *)&r->iov[parts];
	return r;
}

static void submit(struct io_request *r)
{
	r->n->config.block->submit(r->n->config.block->ctx, &r->block);
}

/* ---- the end of a request ---- */

static uint16_t status_of(struct nvme *n, const struct block_request *b)
{
	if (b->result == LODGE_OK)
		return NVME_SUCCESS;
	n->counters.media_errors++;
	return b->op == BLOCK_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

static void finish(struct io_request *r)
{
	struct nvme *n = r->n;
	uint16_t status = status_of(n, &r->block);

	/* Even a read that failed may have filled some of it. */
	for (unsigned i = 0; r->block.op == BLOCK_READ && i < r->nparts; i++)
		guest_span_written(n->config.mem, gpa(r->gpa[i]), r->iov[i].len);
	nvme_complete(n, r->sq, r->cid, status, 0);
	host_free(r);
}

static void done(struct block_request *b)
{
	struct io_request *r = b->owner;

	if (r->flush_first && b->result == LODGE_OK) {
		r->flush_first = false;
		b->op = BLOCK_READ;
		submit(r);
		return;
	}
	finish(r);
}

/* ---- read and write ---- */

static uint16_t place(const struct nvme *n, uint64_t lba, uint64_t blocks, uint64_t *offset, uint64_t *bytes)
{
	uint64_t capacity = n->config.block->geometry.bytes / BLOCK_SECTOR_BYTES;

	if (!range_fits(lba, blocks, capacity))
		return NVME_LBA_RANGE | NVME_DNR;
	*offset = lba * BLOCK_SECTOR_BYTES;
	*bytes = blocks * BLOCK_SECTOR_BYTES;
	return NVME_SUCCESS;
}

static uint64_t first_lba(const struct nvme_command *c) { return (uint64_t)c->dw[11] << 32 | c->dw[10]; }
static uint64_t block_count(const struct nvme_command *c) { return (uint64_t)(c->dw[12] & 0xffff) + 1; }

static bool is_stable(const struct nvme *n, const struct nvme_command *c)
{
	return c->dw[12] & FORCE_UNIT_ACCESS || !n->features[NVME_FEAT_WRITE_CACHE];
}

static uint16_t move(struct nvme *n, const struct nvme_command *c, bool reads)
{
	struct io_request *r;
	uint64_t offset, bytes;
	uint16_t status = block_count(c) * BLOCK_SECTOR_BYTES > NVME_TRANSFER_MAX ? NVME_INVALID_FIELD | NVME_DNR
										  : place(n, first_lba(c), block_count(c), &offset, &bytes);

	if (status == NVME_SUCCESS)
		status = nvme_map_data(n, c, bytes, reads);
	if (status != NVME_SUCCESS)
		return status;
	r = request_new(n, c, reads ? BLOCK_READ : BLOCK_WRITE, n->map.n, 0);
	if (!r)
		return NVME_INTERNAL_ERROR;
	memcpy(r->iov, n->map.iov, n->map.n * sizeof(r->iov[0]));
	memcpy(r->gpa, n->map.gpa, n->map.n * sizeof(r->gpa[0]));
	r->block.iov = r->iov;
	r->block.niov = r->nparts;
	r->block.offset = offset;
	r->block.bytes = bytes;
	r->block.done = done;
	r->block.stable = !reads && is_stable(n, c);
	if (reads && c->dw[12] & FORCE_UNIT_ACCESS) {
		r->flush_first = true;
		r->block.op = BLOCK_FLUSH;
	}
	*(reads ? &n->counters.reads : &n->counters.writes) += 1;
	*(reads ? &n->counters.bytes_read : &n->counters.bytes_written) += bytes;
	submit(r);
	return NVME_LATER;
}

static uint16_t write_zeroes(struct nvme *n, const struct nvme_command *c)
{
	struct io_request *r;
	uint64_t offset, bytes;
	uint16_t status = place(n, first_lba(c), block_count(c), &offset, &bytes);

	if (status != NVME_SUCCESS)
		return status;
	r = request_new(n, c, BLOCK_WRITE_ZEROES, 0, 0);
	if (!r)
		return NVME_INTERNAL_ERROR;
	r->block.offset = offset;
	r->block.bytes = bytes;
	r->block.done = done;
	r->block.may_unmap = c->dw[12] & DEALLOCATE;
	r->block.stable = is_stable(n, c);
	submit(r);
	return NVME_LATER;
}

static uint16_t flush(struct nvme *n, const struct nvme_command *c)
{
	struct io_request *r = request_new(n, c, BLOCK_FLUSH, 0, 0);

	if (!r)
		return NVME_INTERNAL_ERROR;
	r->block.done = done;
	submit(r);
	return NVME_LATER;
}

/* ---- dataset management ---- */

/* The next piece of what is to be discarded; false: that was all. */
static bool next_discard(struct io_request *r)
{
	while (r->next_range < r->nranges) {
		struct range *range = &r->ranges[r->next_range];
		uint64_t bytes = MIN(range->bytes, DISCARD_BYTES_MAX);

		if (!bytes) {
			r->next_range++;
			continue;
		}
		r->block.offset = range->offset;
		r->block.bytes = bytes;
		range->offset += bytes;
		range->bytes -= bytes;
		return true;
	}
	return false;
}

static void discarded(struct block_request *b)
{
	struct io_request *r = b->owner;

	if (b->result == LODGE_OK && r->n->enabled && next_discard(r))
		submit(r);
	else
		finish(r);
}

static uint16_t parse_ranges(const struct nvme *n, struct io_request *r)
{
	uint16_t status = NVME_SUCCESS;

	for (unsigned i = 0; status == NVME_SUCCESS && i < r->nranges; i++) {
		const uint8_t *wire = n->page + i * RANGE_BYTES;

		status = place(n, get_le64(wire + 8), get_le32(wire + 4), &r->ranges[i].offset, &r->ranges[i].bytes);
	}
	return status;
}

static uint16_t dataset(struct nvme *n, const struct nvme_command *c)
{
	unsigned nranges = (c->dw[10] & 0xff) + 1;
	uint16_t status = nvme_receive(n, c, n->page, nranges * RANGE_BYTES);
	struct io_request *r;

	if (status != NVME_SUCCESS)
		return status;
	r = request_new(n, c, BLOCK_DISCARD, 0, nranges);
	if (!r)
		return NVME_INTERNAL_ERROR;
	status = parse_ranges(n, r);
	if (status == NVME_SUCCESS && c->dw[11] & DATASET_DEALLOCATE && next_discard(r)) {
		r->block.done = discarded;
		submit(r);
		return NVME_LATER;
	}
	host_free(r); /* wrong, or only hints */
	return status;
}
_Static_assert(RANGES_MAX * RANGE_BYTES <= NVME_PAGE_BYTES, "ranges fit the page");

/* ---- all ---- */

uint16_t nvme_io_command(struct nvme *n, struct nvme_command *c)
{
	bool writes = c->opcode == OP_WRITE || c->opcode == OP_WRITE_ZEROES || c->opcode == OP_DATASET;

	if (c->opcode != OP_FLUSH && c->opcode != OP_READ && !writes)
		return NVME_INVALID_OPCODE | NVME_DNR;
	if (c->nsid != NVME_NSID && !(c->opcode == OP_FLUSH && c->nsid == NVME_NSID_ALL))
		return NVME_INVALID_NAMESPACE | NVME_DNR;
	if (writes && n->config.block->geometry.read_only)
		return NVME_WRITE_PROTECTED | NVME_DNR;
	switch (c->opcode) {
	case OP_FLUSH: return flush(n, c);
	case OP_READ: return move(n, c, true);
	case OP_WRITE: return move(n, c, false);
	case OP_WRITE_ZEROES: return write_zeroes(n, c);
	default: return dataset(n, c);
	}
}

/* ---- shutdown ---- */

static void shut_down(struct block_request *b)
{
	struct nvme *n = b->owner;

	n->shutting_down = false;
	n->in_flight--;
	if (n->resetting)
		post_call(&n->config.posts, &n->work);
	else
		nvme_set_status(n, NVME_CSTS_SHST, NVME_CSTS_SHST_DONE);
}

void nvme_flush_for_shutdown(struct nvme *n)
{
	n->shutting_down = true;
	n->in_flight++;
	nvme_set_status(n, NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
	n->shutdown = (struct block_request){ .op = BLOCK_FLUSH, .done = shut_down, .owner = n };
	n->config.block->submit(n->config.block->ctx, &n->shutdown);
}
