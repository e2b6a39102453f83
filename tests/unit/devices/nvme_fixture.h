/* SPDX-License-Identifier: Apache-2.0 */
/* An NVMe controller on a board with little memory, a disk whose requests wait until the test lets them go, and a driver's part of the work. */
#ifndef LODGE_TESTS_NVME_FIXTURE_H
#define LODGE_TESTS_NVME_FIXTURE_H

#include "devices_fixture.h"

#include "devices/nvme/nvme.h"

#define RAM_BYTES 0x300000u
#define BAR UINT64_C(0xc0000000)
#define DOORBELLS (BAR + 0x1000)
#define MSIX_TABLE (BAR + 0x2000)
#define DISK_BYTES 0x200000u
#define QUEUES 2u
#define ENTRIES 16u
/* Guest memory: queue q's submissions and completions, a list, data. */
#define SQ(q) (0x1000u + 0x2000u * (q))
#define CQ(q) (0x2000u + 0x2000u * (q))
#define LIST 0x10000u
#define DATA 0x20000u

/* On their own, for sanitizers to see what runs over their ends. */
static uint8_t ram_bytes[RAM_BYTES] __attribute__((aligned(4096)));
static uint8_t disk_bytes[DISK_BYTES];

static struct board {
	struct fake fake; /* pins: PIRQs */
	uint8_t *ram, *disk;
	struct guest_memory mem;
	struct bus ports, mmio;
	struct pci_bus pci;
	struct nvme nvme;
	struct log log;
	unsigned log_lines;
	struct host_mutex post_lock; /* guards the next line */
	struct event_post *posts[8];
	unsigned nposts, calls;
	struct block_device block;
	struct block_request *requests[512];
	unsigned nrequests;
	struct block_request last;
	unsigned long ops[BLOCK_WRITE_ZEROES + 1];
	enum lodge_err result;
	unsigned msis;
	uint32_t msi_data;
	uint32_t tail[QUEUES + 1], head[QUEUES + 1]; /* the driver's */
	bool phase[QUEUES + 1];
	uint16_t cid;
} b;

/* A completion as the driver sees it. */
struct completion {
	uint32_t result;
	uint16_t sq_head, sq, cid, status; /* without the phase tag */
};

static void fake_post(void *ctx, struct event_post *p)
{
	(void)ctx;
	host_mutex_lock(&b.post_lock);
	assert_in_range(b.nposts, 0, 7);
	if (!p->queued)
		b.posts[b.nposts++] = p;
	p->queued = true;
	host_mutex_unlock(&b.post_lock);
}

static void fake_cancel(void *ctx, struct event_post *p)
{
	(void)ctx;
	for (unsigned i = 0; i < b.nposts; i++)
		if (b.posts[i] == p)
			b.posts[i--] = b.posts[--b.nposts];
	p->queued = false;
}

static bool call_one(void)
{
	struct event_post *p = NULL;

	host_mutex_lock(&b.post_lock);
	if (b.nposts) {
		p = b.posts[0];
		memmove(b.posts, b.posts + 1, --b.nposts * sizeof(b.posts[0]));
		p->queued = false;
	}
	host_mutex_unlock(&b.post_lock);
	if (p)
		p->fn(p->ctx);
	return p;
}

/* What the I/O thread would do; bounded, so that a loop is a failure. */
static void io_thread(void)
{
	for (b.calls = 0; call_one(); b.calls++)
		assert_in_range(b.calls, 0, 1000);
}

static void fake_submit(void *ctx, struct block_request *r)
{
	(void)ctx;
	assert_in_range(b.nrequests, 0, 511);
	b.requests[b.nrequests++] = r;
}

static void disk_does(unsigned which)
{
	struct block_request *r = b.requests[which];
	uint64_t at = r->offset;

	memmove(b.requests + which, b.requests + which + 1, (--b.nrequests - which) * sizeof(b.requests[0]));
	b.last = *r;
	b.ops[r->op]++;
	assert_true(r->op == BLOCK_FLUSH || (r->bytes && r->offset <= DISK_BYTES && r->bytes <= DISK_BYTES - r->offset));
	assert_true(r->offset % 512 == 0 && r->bytes % 512 == 0);
	if (r->op == BLOCK_WRITE_ZEROES || r->op == BLOCK_DISCARD)
		memset(b.disk + at, 0, r->bytes);
	for (unsigned i = 0; i < r->niov; i++) {
		if (r->op == BLOCK_READ)
			memcpy(r->iov[i].base, b.disk + at, r->iov[i].len);
		else if (r->op == BLOCK_WRITE)
			memcpy(b.disk + at, r->iov[i].base, r->iov[i].len);
		at += r->iov[i].len;
	}
	assert_true(!r->niov || at == r->offset + r->bytes);
	r->result = b.result;
	r->done(r);
}

static void disk_works(void)
{
	while (b.nrequests)
		disk_does(0);
}

static void fake_drain(void *ctx)
{
	(void)ctx;
	disk_works();
}

static void on_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	b.log_lines++;
}

static void msi_sent(void *ctx, uint64_t addr, uint32_t data)
{
	(void)ctx;
	(void)addr;
	b.msis++;
	b.msi_data = data;
}

static uint32_t reg(unsigned offset) { return (uint32_t)bus_read(&b.mmio, BAR + offset, 4); }
static void set_reg(unsigned offset, uint32_t value) { bus_write(&b.mmio, BAR + offset, 4, value); }
static void doorbell(unsigned n, uint32_t value) { set_reg(0x1000 + 4 * n, value); }

static inline void config_write(unsigned at, unsigned size, uint32_t value)
{
	bus_write(&b.ports, 0xcf8, 4, 0x80000000u | 1 << 11 | (at & ~3u));
	bus_write(&b.ports, 0xcfc + (at & 3), size, value);
}

static void build(bool read_only)
{
	struct pci_bus_config pci = { .port_bus = &b.ports, .mmio_bus = &b.mmio };

	b = (struct board){ .ram = ram_bytes, .disk = disk_bytes };
	memset(ram_bytes, 0, sizeof(ram_bytes));
	memset(disk_bytes, 0, sizeof(disk_bytes));
	fake_init(&b.fake);
	memory_init(&b.mem, -1, b.ram, RAM_BYTES);
	assert_int_equal(memory_add_range(&b.mem, &(struct memory_range){ 0, RAM_BYTES, b.ram, b.ram, 0 }), LODGE_OK);
	bus_init(&b.ports);
	bus_init(&b.mmio);
	log_init(&b.log, on_line, NULL, LOG_DEBUG);
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		pci.pirq[i] = fake_line(&b.fake, i);
	pci_bus_init(&b.pci, &pci);
	assert_int_equal(bus_add(&b.ports, &b.pci.ports), LODGE_OK);
	b.block = (struct block_device){ .geometry = { .bytes = DISK_BYTES, .read_only = read_only }, .submit = fake_submit, .drain = fake_drain };
	assert_int_equal(nvme_init(&b.nvme, &(struct nvme_config){ .block = &b.block, .serial = "S1", .queues = QUEUES, .mem = &b.mem,
				.posts = { fake_post, fake_cancel, NULL }, .bus = &b.pci, .slot = 1, .msi = { msi_sent, NULL }, .log = &b.log }), LODGE_OK);
	config_write(PCI_BAR0, 4, (uint32_t)BAR);
	config_write(PCI_BAR0 + 4, 4, 0);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	io_thread();
}

static void fini(void)
{
	nvme_fini(&b.nvme);
	assert_int_equal(b.nrequests, 0);
}

static void enable_with(uint32_t aqa, uint64_t asq, uint64_t acq, uint32_t cc)
{
	memset(b.ram + CQ(0), 0, 0x1000);
	b.tail[0] = b.head[0] = 0;
	b.phase[0] = true;
	set_reg(0x24, aqa);
	bus_write(&b.mmio, BAR + 0x28, 8, asq);
	set_reg(0x30, (uint32_t)acq);
	set_reg(0x34, (uint32_t)(acq >> 32));
	set_reg(0x14, cc);
	io_thread();
}

#define CC_GOOD (4u << 20 | 6u << 16 | 1u)

static void enable(void)
{
	enable_with((ENTRIES - 1) << 16 | (ENTRIES - 1), SQ(0), CQ(0), CC_GOOD);
	assert_int_equal(reg(0x1c), 1);
}

static void disable(void)
{
	set_reg(0x14, CC_GOOD & ~1u);
	io_thread();
}

/* A command into queue @q; ring() tells of it. */
static uint16_t put(unsigned q, uint8_t opcode, uint32_t nsid, uint64_t prp1, uint64_t prp2, uint32_t dw10, uint32_t dw11, uint32_t dw12)
{
	uint8_t *e = b.ram + SQ(q) + 64 * b.tail[q];

	memset(e, 0, 64);
	e[0] = opcode;
	put_le16(e + 2, ++b.cid);
	put_le32(e + 4, nsid);
	put_le64(e + 24, prp1);
	put_le64(e + 32, prp2);
	put_le32(e + 40, dw10);
	put_le32(e + 44, dw11);
	put_le32(e + 48, dw12);
	b.tail[q] = (b.tail[q] + 1) % ENTRIES;
	return b.cid;
}

static void ring(unsigned q)
{
	doorbell(2 * q, b.tail[q]);
	io_thread();
}

/* Is there a completion in queue @q? It is taken, and the controller is told. */
static bool take(unsigned q, struct completion *c)
{
	uint8_t *e = b.ram + CQ(q) + 16 * b.head[q];
	uint16_t status = get_le16(e + 14);

	if ((status & 1) != b.phase[q])
		return false;
	*c = (struct completion){ get_le32(e), get_le16(e + 8), get_le16(e + 10), get_le16(e + 12), status >> 1 };
	b.head[q] = (b.head[q] + 1) % ENTRIES;
	b.phase[q] ^= !b.head[q];
	doorbell(2 * q + 1, b.head[q]);
	io_thread();
	return true;
}

/* One command from beginning to end; its status, without "do not retry". */
static uint16_t command(unsigned q, uint8_t opcode, uint32_t nsid, uint64_t prp1, uint64_t prp2, uint32_t dw10, uint32_t dw11, uint32_t dw12,
			uint32_t *result)
{
	uint16_t cid = put(q, opcode, nsid, prp1, prp2, dw10, dw11, dw12);
	struct completion c = { 0 };

	ring(q);
	disk_works();
	io_thread();
	assert_true(take(q, &c));
	assert_int_equal(c.cid, cid);
	assert_int_equal(c.sq, q);
	assert_int_equal(c.sq_head, b.tail[q]);
	if (result)
		*result = c.result;
	return c.status & 0x7ff;
}

static inline uint16_t admin(uint8_t opcode, uint32_t nsid, uint64_t prp1, uint32_t dw10, uint32_t dw11)
{
	return command(0, opcode, nsid, prp1, 0, dw10, dw11, 0, NULL);
}

static inline uint16_t io(uint8_t opcode, uint64_t prp1, uint64_t prp2, uint64_t lba, uint32_t blocks)
{
	return command(1, opcode, 1, prp1, prp2, (uint32_t)lba, (uint32_t)(lba >> 32), blocks - 1, NULL);
}

/* I/O queues 1 and 2, each a pair of its own with its own vector. */
static inline void create_queues(void)
{
	for (unsigned q = 1; q <= QUEUES; q++) {
		memset(b.ram + CQ(q), 0, 0x1000);
		b.tail[q] = b.head[q] = 0;
		b.phase[q] = true;
		assert_int_equal(admin(0x05, 0, CQ(q), (ENTRIES - 1) << 16 | q, q << 16 | 3), 0);
		assert_int_equal(admin(0x01, 0, SQ(q), (ENTRIES - 1) << 16 | q, q << 16 | 1), 0);
	}
}

#endif
