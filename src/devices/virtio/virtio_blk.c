/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device: a chain is parsed into one request to the disk, which comes
 * back on the I/O thread. The layout of a chain is not framed by descriptors:
 * the first 16 readable bytes are the header, the last writable byte is the
 * status, what lies between is data.
 */
#include "devices/virtio/virtio_blk.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/types.h"

#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)
#define F_TOPOLOGY (UINT64_C(1) << 10)
#define F_MQ (UINT64_C(1) << 12)
#define F_DISCARD (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

#define QUEUE_SIZE 128u
#define SEGMENTS_MAX (QUEUE_SIZE - 2) /* header and status take one each */
#define DISCARD_SECTORS_MAX 0x400000u /* 2 GiB */
#define ZERO_SECTORS_MAX 0x20000u     /* 64 MiB: a host that knows no holes has to write them */

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
#define RANGE_UNMAP 1u

struct header_wire {
	le32_t type, reserved;
	le64_t sector;
};
_Static_assert(sizeof(struct header_wire) == 16, "virtio_blk_req");

struct range_wire { /* of discard and write zeroes */
	le64_t sector;
	le32_t num_sectors, flags;
};
_Static_assert(sizeof(struct range_wire) == 16, "virtio_blk_discard_write_zeroes");

struct config_wire {
	le64_t capacity;
	le32_t size_max, seg_max;
	uint8_t geometry[4];
	le32_t blk_size;
	uint8_t physical_block_exp, alignment_offset;
	le16_t min_io_size;
	le32_t opt_io_size;
	uint8_t writeback, unused0;
	le16_t num_queues;
	le32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	le32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct config_wire) == sizeof(((struct virtio_blk *)0)->registers), "virtio_blk_config");

/* A chain while the disk has it. */
struct blk_request {
	struct block_request block;
	struct virtio_blk *b;
	unsigned queue;
	uint16_t id, descriptors;
	uint8_t *status; /* the host's view of the status byte */
	uint64_t status_gpa;
	uint64_t data_bytes; /* that the guest gets back if all is well */
	unsigned nparts;
	struct virtq_buffer *parts; /* the data's, behind the iov */
	struct block_iov iov[];
};

/* ---- the end of a request ---- */

static void set_status(struct virtio_blk *b, uint8_t *hva, uint64_t addr, uint8_t status)
{
	*hva = status;
	guest_span_written(b->config.mem, gpa(addr), 1);
}

static void request_done(struct block_request *block)
{
	struct blk_request *r = block->owner;
	struct virtio_blk *b = r->b;
	bool good = block->result == LODGE_OK;

	/* Even a read that failed may have filled some of it. */
	for (unsigned i = 0; block->op == BLOCK_READ && i < r->nparts; i++)
		guest_span_written(b->config.mem, gpa(r->parts[i].gpa), r->parts[i].len_bytes);
	set_status(b, r->status, r->status_gpa, good ? S_OK : S_IOERR);
	/* Bytes that nobody promises to have written do not count; the status lies behind them. */
	virtio_push(&b->dev, r->queue, r->id, r->descriptors, good ? (uint32_t)(r->data_bytes + 1) : r->data_bytes ? 0 : 1);
	host_free(r);
}

/* ---- the beginning ---- */

/* The bytes [@skip, @skip+@bytes) of a chain's readable or writable part. */
static unsigned slice(const struct virtq_buffer *from, unsigned n, uint64_t skip, uint64_t bytes, struct virtq_buffer *out)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n && bytes; i++) {
		uint64_t part;

		if (skip >= from[i].len_bytes) {
			skip -= from[i].len_bytes;
			continue;
		}
		part = MIN(from[i].len_bytes - skip, bytes);
		out[count++] = (struct virtq_buffer){ .hva = from[i].hva + skip, .gpa = from[i].gpa + skip, .len_bytes = (uint32_t)part };
		bytes -= part;
		skip = 0;
	}
	return count;
}

static void finish_now(struct virtio_blk *b, unsigned queue, const struct virtq_chain *chain, uint8_t status, uint32_t data_bytes)
{
	const struct virtq_buffer *last = &chain->buffers[chain->nread + chain->nwrite - 1];
	unsigned at = last->len_bytes - 1;

	set_status(b, last->hva + at, last->gpa + at, status);
	virtio_push(&b->dev, queue, chain->id, chain->descriptors, status == S_OK || chain->write_bytes == 1 ? data_bytes + 1 : 0);
}

/* Hand what @block describes to the disk, with the data part of @chain that it needs. */
static void start(struct virtio_blk *b, unsigned queue, const struct virtq_chain *chain, const struct block_request *block)
{
	const struct virtq_buffer *last = &chain->buffers[chain->nread + chain->nwrite - 1];
	bool reads = block->op == BLOCK_READ, moves = reads || block->op == BLOCK_WRITE;
	unsigned room = moves ? chain->nread + chain->nwrite : 0;
	struct blk_request *r = host_alloc(sizeof(*r) + room * (sizeof(struct block_iov) + sizeof(struct virtq_buffer)), 16);

	if (!r) {
		finish_now(b, queue, chain, S_IOERR, 0);
		return;
	}
	r->block = *block;
	r->block.owner = r;
	r->block.done = request_done;
	r->b = b;
	r->queue = queue;
	r->id = chain->id;
	r->descriptors = chain->descriptors;
	r->status = last->hva + last->len_bytes - 1;
	r->status_gpa = last->gpa + last->len_bytes - 1;
	r->data_bytes = reads ? block->bytes : 0;
	r->parts = (struct virtq_buffer *)(void *)&r->iov[room];
	if (reads)
		r->nparts = slice(&chain->buffers[chain->nread], chain->nwrite, 0, block->bytes, r->parts);
	else if (moves)
		r->nparts = slice(chain->buffers, chain->nread, sizeof(struct header_wire), block->bytes, r->parts);
	for (unsigned i = 0; i < r->nparts; i++)
		r->iov[i] = (struct block_iov){ .base = r->parts[i].hva, .len = r->parts[i].len_bytes };
	r->block.iov = r->iov;
	r->block.niov = r->nparts;
	b->config.block->submit(b->config.block->ctx, &r->block);
}

/* Sectors to bytes, inside the disk. */
static bool place(const struct virtio_blk *b, uint64_t sector, uint64_t bytes, uint64_t *offset)
{
	uint64_t capacity = b->config.block->geometry.bytes;

	if (sector > capacity / BLOCK_SECTOR_BYTES)
		return false;
	*offset = sector * BLOCK_SECTOR_BYTES;
	return bytes && bytes % BLOCK_SECTOR_BYTES == 0 && range_fits(*offset, bytes, capacity);
}

/* One range, as max_discard_seg and max_write_zeroes_seg say. */
static uint8_t parse_range(const struct virtio_blk *b, const struct virtq_chain *chain, bool zeroes, struct block_request *out)
{
	struct range_wire w;
	uint32_t flags, sectors;

	if (chain->read_bytes != sizeof(struct header_wire) + sizeof(w) || b->config.block->geometry.read_only)
		return S_IOERR;
	virtq_copy_out(chain, sizeof(struct header_wire), &w, sizeof(w));
	flags = le32_get(w.flags);
	sectors = le32_get(w.num_sectors);
	if (flags & ~RANGE_UNMAP || (flags && !zeroes))
		return S_UNSUPP;
	out->op = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD;
	out->may_unmap = flags & RANGE_UNMAP;
	out->bytes = (uint64_t)sectors * BLOCK_SECTOR_BYTES;
	if (sectors > (zeroes ? ZERO_SECTORS_MAX : DISCARD_SECTORS_MAX))
		return S_IOERR;
	return place(b, le64_get(w.sector), out->bytes, &out->offset) ? S_OK : S_IOERR;
}

/* From what the guest wrote to a request that is inside the disk; or the status that refuses it. */
static uint8_t parse(const struct virtio_blk *b, const struct virtq_chain *chain, const struct header_wire *w, struct block_request *out)
{
	uint64_t sector = le64_get(w->sector);

	*out = (struct block_request){ .op = BLOCK_FLUSH, .stable = !virtio_has(&b->dev, F_FLUSH) };
	switch (le32_get(w->type)) {
	case T_IN:
		out->op = BLOCK_READ;
		out->bytes = chain->write_bytes - 1;
		return place(b, sector, out->bytes, &out->offset) ? S_OK : S_IOERR;
	case T_OUT:
		out->op = BLOCK_WRITE;
		out->bytes = chain->read_bytes - sizeof(*w);
		if (b->config.block->geometry.read_only)
			return S_IOERR;
		return place(b, sector, out->bytes, &out->offset) ? S_OK : S_IOERR;
	case T_FLUSH: return S_OK;
	case T_DISCARD: return parse_range(b, chain, false, out);
	case T_WRITE_ZEROES: return parse_range(b, chain, true, out);
	default: return S_UNSUPP;
	}
}

static void on_chain(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain)
{
	struct virtio_blk *b = dev->config.impl;
	struct header_wire w;
	struct block_request request;
	uint8_t status;

	if (chain->read_bytes < sizeof(w) || !chain->nwrite) {
		virtio_break(dev, chain->nwrite ? "a block request without a whole header" : "a block request without room for a status");
		virtio_push(dev, queue, chain->id, chain->descriptors, 0);
		return;
	}
	virtq_copy_out(chain, 0, &w, sizeof(w));
	if (le32_get(w.type) == T_GET_ID) {
		uint64_t room = MIN(chain->write_bytes - 1, (uint64_t)VIRTIO_BLK_ID_BYTES);

		virtq_copy_in(&dev->queues[queue].ring, chain, 0, b->id, room);
		finish_now(b, queue, chain, S_OK, (uint32_t)room);
		return;
	}
	status = parse(b, chain, &w, &request);
	if (status == S_OK)
		start(b, queue, chain, &request);
	else
		finish_now(b, queue, chain, status, 0);
}

/* ---- life ---- */

static void drain(struct virtio_device *dev)
{
	struct virtio_blk *b = dev->config.impl;

	b->config.block->drain(b->config.block->ctx);
}

static const struct virtio_ops blk_ops = { .chain = on_chain, .drain = drain };

static void fill_config(struct virtio_blk *b, unsigned queues)
{
	const struct config_wire w = {
		.capacity = le64(b->config.block->geometry.bytes / BLOCK_SECTOR_BYTES),
		.seg_max = le32(SEGMENTS_MAX),
		.blk_size = le32(BLOCK_SECTOR_BYTES),
		.physical_block_exp = 3, /* 4 KiB: what the host's page cache and most media work in */
		.min_io_size = le16(1),
		.writeback = 1,
		.num_queues = le16((uint16_t)queues),
		.max_discard_sectors = le32(DISCARD_SECTORS_MAX),
		.max_discard_seg = le32(1),
		.discard_sector_alignment = le32(8),
		.max_write_zeroes_sectors = le32(ZERO_SECTORS_MAX),
		.max_write_zeroes_seg = le32(1),
		.write_zeroes_may_unmap = 1,
	};

	memcpy(b->registers, &w, sizeof(w));
}

enum lodge_err virtio_blk_init(struct virtio_blk *b, const struct virtio_blk_config *config)
{
	bool read_only = config->block->geometry.read_only;
	struct virtio_config c = {
		.ops = &blk_ops,
		.impl = b,
		.id = VIRTIO_ID_BLOCK,
		.name = "virtio-blk",
		.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_MQ | (read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES),
		.queues = config->queues,
		.queue_size = QUEUE_SIZE,
		.config = b->registers,
		.config_bytes = sizeof(b->registers),
		.mem = config->mem,
		.posts = config->posts,
		.log = config->log,
	};

	*b = (struct virtio_blk){ .config = *config };
	if (config->serial)
		memcpy(b->id, config->serial, MIN(str_len(config->serial), sizeof(b->id)));
	fill_config(b, config->queues);
	return virtio_init(&b->dev, &c);
}
