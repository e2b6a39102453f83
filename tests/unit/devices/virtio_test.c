/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio over PCI and the block device, by their registers and rings, as a driver would use and misuse them. */
#include "devices_fixture.h"

#include <stdlib.h>
#include "block/block.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"

#define RAM_BYTES 0x40000u
#define BAR UINT64_C(0xc0000000)
#define COMMON (BAR + 0x0000)
#define ISR (BAR + 0x1000)
#define DEVICE_CONFIG (BAR + 0x2000)
#define DOORBELL (BAR + 0x3000)
#define MSIX_TABLE (BAR + 0x4000)
#define DESC 0x1000u
#define DRIVER 0x2000u
#define DEVICE 0x3000u
#define HEADER 0x4000u
#define STATUS 0x4100u
#define DATA 0x8000u
#define DISK_BYTES 0x10000u
#define FEATURE_FLUSH (1u << 9)
#define NEXT 1u
#define WRITE 2u
#define IOERR 1
#define UNSUPP 2

static struct board {
	struct fake fake; /* pins: PIRQs */
	uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
	struct guest_memory mem;
	struct bus ports, mmio;
	struct pci_bus pci;
	struct virtio_blk blk;
	struct virtio_rng rng;
	struct virtio_pci vpci;
	struct log log;
	unsigned log_lines;
	struct event_post *posts[64];
	unsigned nposts;
	/* the disk: requests wait until the test lets them go */
	uint8_t disk[DISK_BYTES];
	struct block_device block;
	struct block_request *requests[256];
	unsigned nrequests;
	struct block_request last;
	enum lodge_err result;
	unsigned drains;
	unsigned msis;
	uint32_t msi_data;
	uint16_t avail;
} b;

static void post(void *ctx, struct event_post *p)
{
	(void)ctx;
	if (p->queued)
		return;
	assert_in_range(b.nposts, 0, 63);
	p->queued = true;
	b.posts[b.nposts++] = p;
}

static void cancel(void *ctx, struct event_post *p)
{
	(void)ctx;
	for (unsigned i = 0; i < b.nposts; i++)
		if (b.posts[i] == p)
			b.posts[i--] = b.posts[--b.nposts];
	p->queued = false;
}

/* What the I/O thread would do; bounded, so that a loop is a failure. */
static void io_thread(void)
{
	for (unsigned n = 0; b.nposts; n++) {
		struct event_post *p = b.posts[0];

		assert_in_range(n, 0, 1000);
		memmove(b.posts, b.posts + 1, --b.nposts * sizeof(b.posts[0]));
		p->queued = false;
		p->fn(p->ctx);
	}
}

static void submit(void *ctx, struct block_request *r)
{
	(void)ctx;
	assert_in_range(b.nrequests, 0, 255);
	b.requests[b.nrequests++] = r;
}

static void disk_works(void)
{
	while (b.nrequests) {
		struct block_request *r = b.requests[0];
		uint64_t at = r->offset;

		memmove(b.requests, b.requests + 1, --b.nrequests * sizeof(b.requests[0]));
		b.last = *r;
		for (unsigned i = 0; i < r->niov; i++) {
			assert_true(at + r->iov[i].len <= DISK_BYTES);
			if (r->op == BLOCK_READ)
				memcpy(r->iov[i].base, b.disk + at, r->iov[i].len);
			else
				memcpy(b.disk + at, r->iov[i].base, r->iov[i].len);
			at += r->iov[i].len;
		}
		r->result = b.result;
		r->done(r);
	}
}

static void drain(void *ctx)
{
	(void)ctx;
	b.drains++;
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

static void config_write(unsigned reg, unsigned size, uint32_t value)
{
	bus_write(&b.ports, 0xcf8, 4, 0x80000000u | 1 << 11 | (reg & ~3u));
	bus_write(&b.ports, 0xcfc + (reg & 3), size, value);
}

static uint32_t config_read(unsigned reg, unsigned size)
{
	bus_write(&b.ports, 0xcf8, 4, 0x80000000u | 1 << 11 | (reg & ~3u));
	return (uint32_t)bus_read(&b.ports, 0xcfc + (reg & 3), size);
}

/* The board without a device; finish() puts @dev on it. */
static void prepare(void)
{
	memset(&b, 0, sizeof(b));
	fake_init(&b.fake);
	memory_init(&b.mem, -1, b.ram, RAM_BYTES);
	assert_int_equal(memory_add_range(&b.mem, &(struct memory_range){ 0, RAM_BYTES, b.ram, b.ram, 0 }), LODGE_OK);
	bus_init(&b.ports);
	bus_init(&b.mmio);
	log_init(&b.log, on_line, NULL, LOG_DEBUG);
	struct pci_bus_config pci = { .port_bus = &b.ports, .mmio_bus = &b.mmio };
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		pci.pirq[i] = fake_line(&b.fake, i);
	pci_bus_init(&b.pci, &pci);
	assert_int_equal(bus_add(&b.ports, &b.pci.ports), LODGE_OK);
}

static void finish(struct virtio_device *dev)
{
	assert_int_equal(virtio_pci_init(&b.vpci, &(struct virtio_pci_config){ .dev = dev, .bus = &b.pci, .slot = 1, .class_device = 0x100,
				.msi = { msi_sent, NULL } }), LODGE_OK);
	config_write(PCI_BAR0, 4, (uint32_t)BAR);
	config_write(PCI_BAR0 + 4, 4, 0);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	io_thread();
}

static void build(bool read_only, unsigned queues)
{
	prepare();
	b.block = (struct block_device){ .geometry = { .bytes = DISK_BYTES, .read_only = read_only }, .submit = submit, .drain = drain };
	assert_int_equal(virtio_blk_init(&b.blk, &(struct virtio_blk_config){ .block = &b.block, .serial = "a serial number of 20+", .queues = queues,
				.mem = &b.mem, .posts = { post, cancel, NULL }, .log = &b.log }), LODGE_OK);
	finish(&b.blk.dev);
}

static void fini(void)
{
	disk_works();
	virtio_pci_fini(&b.vpci);
	virtio_fini(&b.blk.dev);
}

static uint8_t status(void) { return (uint8_t)bus_read(&b.mmio, COMMON + 0x14, 1); }
static void set_status(uint8_t value) { bus_write(&b.mmio, COMMON + 0x14, 1, value); }

/* Up to FEATURES_OK with these (and version 1). */
static void negotiate(uint32_t low, uint32_t high)
{
	set_status(0);
	set_status(1);
	set_status(3);
	bus_write(&b.mmio, COMMON + 8, 4, 0);
	bus_write(&b.mmio, COMMON + 0xc, 4, low);
	bus_write(&b.mmio, COMMON + 8, 4, 1);
	bus_write(&b.mmio, COMMON + 0xc, 4, high);
	set_status(0xb);
}

static void set_queue(uint16_t queue, uint16_t size, uint64_t desc)
{
	bus_write(&b.mmio, COMMON + 0x16, 2, queue);
	bus_write(&b.mmio, COMMON + 0x18, 2, size);
	bus_write(&b.mmio, COMMON + 0x20, 4, (uint32_t)desc);
	bus_write(&b.mmio, COMMON + 0x24, 4, desc >> 32);
	bus_write(&b.mmio, COMMON + 0x28, 8, DRIVER);
	bus_write(&b.mmio, COMMON + 0x30, 4, DEVICE);
	bus_write(&b.mmio, COMMON + 0x34, 4, 0);
	bus_write(&b.mmio, COMMON + 0x1c, 2, 1);
}

static void start(uint32_t features)
{
	negotiate(features, 1);
	assert_int_equal(status(), 0xb);
	set_queue(0, 8, DESC);
	memset(b.ram + DESC, 0, 0x3000);
	b.avail = 0;
	set_status(0xf);
	assert_int_equal(status(), 0xf);
	io_thread();
}

static void desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
	put_le64(b.ram + DESC + 16 * i, addr);
	put_le32(b.ram + DESC + 16 * i + 8, len);
	put_le16(b.ram + DESC + 16 * i + 12, flags);
	put_le16(b.ram + DESC + 16 * i + 14, (uint16_t)(i + 1));
}

static void header(uint32_t type, uint64_t sector)
{
	put_le32(b.ram + HEADER, type);
	put_le32(b.ram + HEADER + 4, 0);
	put_le64(b.ram + HEADER + 8, sector);
	b.ram[STATUS] = 0xee;
}

static void ring(uint16_t head)
{
	put_le16(b.ram + DRIVER + 4 + 2 * (b.avail % 8), head);
	put_le16(b.ram + DRIVER + 2, ++b.avail);
	bus_write(&b.mmio, DOORBELL, 2, 0);
	io_thread();
}

/* Header, @len bytes of data at DATA, status. */
static void request(uint32_t type, uint64_t sector, uint32_t len, uint16_t flags)
{
	header(type, sector);
	desc(0, HEADER, 16, NEXT);
	desc(1, DATA, len, flags | NEXT);
	desc(2, STATUS, 1, WRITE);
	ring(0);
	disk_works();
}

static uint16_t used(void) { return get_le16(b.ram + DEVICE + 2); }
static uint32_t used_len(void) { return get_le32(b.ram + DEVICE + 8 + 8 * ((used() - 1u) % 8)); }

/* ---- negotiation ---- */

static void features_are_checked(void **state)
{
	build(false, 1);
	assert_int_equal(config_read(0, 4), 0x10421af4);
	bus_write(&b.mmio, COMMON, 4, 1);
	assert_int_equal(bus_read(&b.mmio, COMMON + 4, 4) & 1, 1); /* version 1 */
	bus_write(&b.mmio, COMMON, 4, 2);
	assert_int_equal(bus_read(&b.mmio, COMMON + 4, 4), 0);
	negotiate(0, 0);
	assert_int_equal(status(), 3); /* a driver that knows no version 1 */
	negotiate(1u << 27, 1);
	assert_int_equal(status(), 3); /* never offered */
	set_status(7);
	assert_int_equal(status(), 3); /* no DRIVER_OK without FEATURES_OK */
	negotiate(FEATURE_FLUSH, 1);
	assert_int_equal(status(), 0xb);
	bus_write(&b.mmio, COMMON + 0xc, 4, 0); /* too late */
	assert_true(virtio_has(&b.blk.dev, VIRTIO_F_VERSION_1));
	set_status(0);
	assert_int_equal(status(), 0);
	assert_int_equal(b.blk.dev.driver_features, 0);
	fini();
}

static void registers_survive_any_access(void **state)
{
	uint64_t random = 88172645463325252ull;

	build(false, 2);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = fake_random(&random);
		unsigned size = 1u << (r & 3), offset = (unsigned)(r >> 8) & 0x7fff & ~(size - 1);

		if (r >> 40 & 1)
			offset &= 0x3f & ~(size - 1); /* the common structure more often */
		if (r >> 41 & 1)
			bus_write(&b.mmio, BAR + offset, size, fake_random(&random) & (r >> 42 & 1 ? 0xff : UINT64_MAX));
		else
			(void)bus_read(&b.mmio, BAR + offset, size);
		if (i % 64 == 0)
			io_thread();
	}
	io_thread();
	fini();
}

static void queue_fields(void **state)
{
	build(false, 2);
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x12, 2), 2);
	negotiate(0, 1);
	bus_write(&b.mmio, COMMON + 0x16, 2, 2);
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x18, 2), 0); /* no such queue */
	bus_write(&b.mmio, COMMON + 0x1c, 2, 1);
	bus_write(&b.mmio, COMMON + 0x16, 2, 1);
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x18, 2), 128);
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x1e, 2), 1);
	set_queue(1, 8, UINT64_C(0x123456789abc0));
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x20, 8), UINT64_C(0x123456789abc0));
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x28, 4), DRIVER);
	bus_write(&b.mmio, COMMON + 0x18, 2, 16); /* enabled: too late */
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x18, 2), 8);
	bus_write(&b.mmio, COMMON + 0x1a, 2, 3); /* no such vector */
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x1a, 2), 0xffff);
	bus_write(&b.mmio, COMMON + 0x1a, 2, 2);
	assert_int_equal(bus_read(&b.mmio, COMMON + 0x1a, 2), 2);
	fini();
}

static unsigned find_cap(unsigned type)
{
	for (unsigned at = config_read(PCI_CAPABILITY_LIST, 1); at; at = config_read(at + 1, 1))
		if (config_read(at, 1) == 9 && config_read(at + 3, 1) == type)
			return at;
	return 0;
}

/* Everything by configuration accesses alone, as firmware does it; interrupts by INTx. */
static void window(void **state)
{
	unsigned cap;

	build(false, 1);
	cap = find_cap(5);
	assert_int_not_equal(cap, 0);
	config_write(cap + 4, 1, 0);
	config_write(cap + 8, 4, 0x14);
	config_write(cap + 12, 4, 1);
	config_write(cap + 16, 1, 1);
	assert_int_equal(status(), 1);
	assert_int_equal(config_read(cap + 16, 1), 1);
	/* A queue that cannot be mapped: the interrupt is raised from inside the hook. */
	negotiate(0, 1);
	set_queue(0, 8, 0xdead0000);
	config_write(cap + 16, 1, 0xf);
	io_thread();
	assert_int_equal(status(), 0x4f);
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	config_write(cap + 8, 4, 0x1000);
	assert_int_equal(config_read(cap + 16, 1), 2); /* configuration change */
	io_thread();
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	/* Nonsense in its fields reaches nothing. */
	config_write(cap + 8, 4, 0x15);
	config_write(cap + 12, 4, 2);
	config_write(cap + 16, 2, 0);
	config_write(cap + 12, 4, 3);
	config_write(cap + 16, 2, 0);
	config_write(cap + 8, 4, 0xfffffffc);
	config_write(cap + 12, 4, 4);
	config_write(cap + 16, 4, 0);
	config_write(cap + 4, 1, 1);
	config_write(cap + 8, 4, 0x14);
	config_write(cap + 12, 4, 1);
	config_write(cap + 16, 1, 0);
	assert_int_equal(status(), 0x4f);
	fini();
}

/* ---- requests ---- */

static void reads_and_writes(void **state)
{
	build(false, 1);
	start(FEATURE_FLUSH);
	memset(b.ram + DATA, 0x5a, 1024);
	request(1, 3, 1024, 0);
	assert_int_equal(b.ram[STATUS], 0);
	assert_int_equal(used_len(), 1);
	assert_int_equal(b.disk[3 * 512 - 1], 0);
	assert_int_equal(b.disk[3 * 512], 0x5a);
	assert_int_equal(b.disk[5 * 512 - 1], 0x5a);
	assert_int_equal(b.disk[5 * 512], 0);
	assert_false(b.last.stable);
	memset(b.ram + DATA, 0, 1024);
	request(0, 4, 512, WRITE);
	assert_int_equal(b.ram[STATUS], 0);
	assert_int_equal(used_len(), 513);
	assert_int_equal(b.ram[DATA + 511], 0x5a);
	assert_int_equal(b.ram[DATA + 512], 0);
	header(4, 0);
	desc(0, HEADER, 16, NEXT);
	desc(1, STATUS, 1, WRITE);
	ring(0);
	disk_works();
	assert_int_equal(b.ram[STATUS], 0);
	assert_int_equal(b.last.op, BLOCK_FLUSH);
	/* Without flushes negotiated every write is a stable one. */
	start(0);
	request(1, 0, 512, 0);
	assert_true(b.last.stable);
	fini();
}

/* No framing: header in pieces, data and status in one buffer. */
static void any_layout(void **state)
{
	build(false, 1);
	start(0);
	memset(b.disk, 0x77, 512);
	header(0, 0);
	desc(0, HEADER, 5, NEXT);
	desc(1, HEADER + 5, 11, NEXT);
	desc(2, DATA, 100, WRITE | NEXT);
	desc(3, DATA + 100, 413, WRITE);
	b.ram[DATA + 512] = 0xee;
	ring(0);
	disk_works();
	assert_int_equal(b.ram[DATA + 511], 0x77);
	assert_int_equal(b.ram[DATA + 512], 0);
	assert_int_equal(used_len(), 513);
	/* Header and data to write in one. */
	header(1, 1);
	memset(b.ram + HEADER + 16, 0x42, 512);
	desc(0, HEADER, 16 + 512, NEXT);
	desc(1, DATA, 1, WRITE);
	ring(0);
	disk_works();
	assert_int_equal(b.disk[512], 0x42);
	assert_int_equal(b.disk[1023], 0x42);
	fini();
}

static void ids_and_ranges(void **state)
{
	build(false, 1);
	start(FEATURE_FLUSH);
	request(8, 0, 20, WRITE);
	assert_memory_equal(b.ram + DATA, "a serial number of 2", 20);
	assert_int_equal(b.ram[STATUS], 0);
	put_le64(b.ram + DATA, 8);
	put_le32(b.ram + DATA + 8, 16);
	put_le32(b.ram + DATA + 12, 0);
	request(11, 0, 16, 0);
	assert_int_equal(b.ram[STATUS], 0);
	assert_int_equal(b.last.op, BLOCK_DISCARD);
	assert_int_equal(b.last.offset, 4096);
	assert_int_equal(b.last.bytes, 8192);
	put_le32(b.ram + DATA + 12, 1);
	request(13, 0, 16, 0);
	assert_int_equal(b.ram[STATUS], 0);
	assert_int_equal(b.last.op, BLOCK_WRITE_ZEROES);
	assert_true(b.last.may_unmap);
	request(11, 0, 16, 0); /* a discard with the unmap flag */
	assert_int_equal(b.ram[STATUS], UNSUPP);
	put_le32(b.ram + DATA + 12, 2);
	request(13, 0, 16, 0);
	assert_int_equal(b.ram[STATUS], UNSUPP);
	put_le32(b.ram + DATA + 12, 0);
	put_le32(b.ram + DATA + 8, UINT32_MAX);
	request(13, 0, 16, 0);
	assert_int_equal(b.ram[STATUS], IOERR);
	put_le32(b.ram + DATA + 8, 1);
	request(13, 0, 32, 0); /* more ranges than we take */
	assert_int_equal(b.ram[STATUS], IOERR);
	put_le64(b.ram + DATA, UINT64_MAX);
	request(11, 0, 16, 0);
	assert_int_equal(b.ram[STATUS], IOERR);
	fini();
}

static void bad_requests_fail_alone(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		uint16_t flags;
		uint8_t status;
	} cases[] = {
		{ 0, DISK_BYTES / 512, 512, WRITE, IOERR },
		{ 0, DISK_BYTES / 512 - 1, 1024, WRITE, IOERR },
		{ 0, UINT64_MAX, 512, WRITE, IOERR },
		{ 1, UINT64_C(1) << 55, 512, 0, IOERR },
		{ 1, 0, 511, 0, IOERR },
		{ 0, 0, 513, WRITE, IOERR },
		{ 0, 0, 512, 0, IOERR },     /* a read without room: nothing but the status is writable */
		{ 1, 0, 512, WRITE, IOERR }, /* a write of nothing: the data is where only we may write */
		{ 2, 0, 512, WRITE, UNSUPP },
		{ UINT32_MAX, 0, 512, 0, UNSUPP },
	};

	build(false, 1);
	start(FEATURE_FLUSH);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		request(cases[i].type, cases[i].sector, cases[i].len, cases[i].flags);
		assert_int_equal(b.ram[STATUS], cases[i].status);
		assert_int_equal(used(), i + 1);
		assert_int_equal(status(), 0xf);
	}
	assert_int_equal(b.last.bytes, 0); /* none of them reached the disk */
	b.result = LODGE_ERR_IO;
	request(0, 0, 512, WRITE);
	assert_int_equal(b.ram[STATUS], IOERR);
	assert_int_equal(used_len(), 0);
	fini();
	build(true, 1);
	start(FEATURE_FLUSH);
	request(1, 0, 512, 0);
	assert_int_equal(b.ram[STATUS], IOERR);
	fini();
}

/* ---- trouble ---- */

static void expect_stopped(void)
{
	uint16_t before = used();

	assert_int_equal(status(), 0x4f);
	assert_int_equal(b.log_lines, 1);
	for (unsigned i = 0; i < 100; i++)
		ring(0);
	disk_works();
	assert_int_equal(used(), before);
	assert_int_equal(b.log_lines, 1);
	/* A reset makes it whole. */
	start(FEATURE_FLUSH);
	request(1, 0, 512, 0);
	assert_int_equal(b.ram[STATUS], 0);
}

static void broken_queue_stops_the_device(void **state)
{
	build(false, 1);
	start(FEATURE_FLUSH);
	desc(0, HEADER, 16, NEXT);
	put_le16(b.ram + DESC + 14, 0);
	ring(0);
	expect_stopped();
	fini();
}

static void request_without_header_stops_the_device(void **state)
{
	build(false, 1);
	start(FEATURE_FLUSH);
	desc(0, HEADER, 15, NEXT);
	desc(1, STATUS, 1, WRITE);
	ring(0);
	expect_stopped();
	fini();
	build(false, 1);
	start(FEATURE_FLUSH);
	desc(0, HEADER, 16, 0);
	ring(0);
	expect_stopped();
	fini();
}

static void queue_that_cannot_be(void **state)
{
	build(false, 1);
	negotiate(0, 1);
	set_queue(0, 8, 0xffffffffffff0000);
	set_status(0xf);
	assert_int_equal(status(), 0x4f);
	start(0);
	fini();
}

static void reset_waits_for_the_disk(void **state)
{
	build(false, 1);
	start(FEATURE_FLUSH);
	header(0, 0);
	desc(0, HEADER, 16, NEXT);
	desc(1, DATA, 512, WRITE | NEXT);
	desc(2, STATUS, 1, WRITE);
	ring(0);
	assert_int_equal(b.nrequests, 1);
	set_status(0);
	assert_int_equal(status(), 0xf); /* not yet */
	set_status(1);
	set_queue(0, 4, 0);
	assert_int_equal(status(), 0xf);
	disk_works();
	assert_int_equal(status(), 0);
	assert_int_equal(used(), 0); /* nothing went into the ring of before */
	start(FEATURE_FLUSH);
	request(1, 0, 512, 0);
	assert_int_equal(b.ram[STATUS], 0);
	/* The machine's reset does not ask. */
	ring(0);
	assert_int_equal(b.nrequests, 1);
	pci_bus_reset(&b.pci);
	virtio_pci_reset(&b.vpci);
	assert_int_equal(b.drains, 1);
	assert_int_equal(b.blk.dev.in_flight, 0);
	assert_int_equal(b.blk.dev.status, 0);
	fini();
}

static void too_early(void **state)
{
	build(false, 1);
	bus_write(&b.mmio, DOORBELL, 2, 0);
	io_thread();
	negotiate(0, 1);
	set_queue(0, 8, DESC);
	header(1, 0);
	desc(0, HEADER, 16, NEXT);
	desc(1, STATUS, 1, WRITE);
	ring(0);
	assert_int_equal(used(), 0); /* before DRIVER_OK */
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	set_status(0xf);
	io_thread();
	assert_int_equal(used(), 0); /* no bus mastering */
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	io_thread();
	assert_int_equal(used(), 1);
	bus_write(&b.mmio, DOORBELL + 4 * 500, 2, 0); /* a queue that does not exist */
	io_thread();
	fini();
}

static void interrupts(void **state)
{
	unsigned pirq = pci_pirq(1, 0), cap;

	build(false, 1);
	start(FEATURE_FLUSH);
	request(1, 0, 512, 0);
	assert_true(b.fake.level[pirq]);
	assert_int_equal(bus_read(&b.mmio, ISR, 1), 1);
	assert_false(b.fake.level[pirq]);
	assert_int_equal(bus_read(&b.mmio, ISR, 1), 0);
	request(1, 0, 512, 0);
	assert_true(b.fake.level[pirq]);
	set_status(0);
	assert_false(b.fake.level[pirq]);
	/* MSI-X */
	for (cap = config_read(PCI_CAPABILITY_LIST, 1); config_read(cap, 1) != PCI_CAP_MSIX; cap = config_read(cap + 1, 1))
		;
	config_write(cap + 2, 2, 0x8000);
	for (unsigned i = 0; i < 2; i++) {
		bus_write(&b.mmio, MSIX_TABLE + 16 * i, 4, 0xfee00000);
		bus_write(&b.mmio, MSIX_TABLE + 16 * i + 8, 4, 0x40 + i);
		bus_write(&b.mmio, MSIX_TABLE + 16 * i + 12, 4, 0);
	}
	start(FEATURE_FLUSH);
	request(1, 0, 512, 0);
	assert_int_equal(b.msis, 0); /* no vector chosen */
	bus_write(&b.mmio, COMMON + 0x1a, 2, 1);
	bus_write(&b.mmio, COMMON + 0x10, 2, 0);
	request(1, 0, 512, 0);
	assert_int_equal(b.msis, 1);
	assert_int_equal(b.msi_data, 0x41);
	put_le16(b.ram + DRIVER, 1);
	request(1, 0, 512, 0);
	assert_int_equal(b.msis, 1); /* not wanted */
	put_le16(b.ram + DRIVER + 2, 1000);
	bus_write(&b.mmio, DOORBELL, 2, 0);
	io_thread();
	assert_int_equal(b.msis, 2);
	assert_int_equal(b.msi_data, 0x40);
	assert_false(b.fake.level[pirq]);
	fini();
}

static void build_rng(void)
{
	prepare();
	assert_int_equal(virtio_rng_init(&b.rng, &b.mem, &(struct post_service){ post, cancel, NULL }, &b.log), LODGE_OK);
	finish(&b.rng.dev);
}

static void entropy(void **state)
{
	unsigned zeros = 0;

	build_rng();
	assert_int_equal(config_read(0, 4), 0x10441af4);
	start(0);
	memset(b.ram + DATA, 0, 4096);
	desc(0, DATA, 64, WRITE | NEXT);
	desc(1, DATA + 1024, 64, WRITE);
	ring(0);
	assert_int_equal(used(), 1);
	assert_int_equal(used_len(), 128);
	for (unsigned i = 0; i < 64; i++)
		zeros += !b.ram[DATA + i] + !b.ram[DATA + 1024 + i];
	assert_in_range(zeros, 0, 20);
	for (unsigned i = 64; i < 1024; i++)
		assert_int_equal(b.ram[DATA + i], 0);
	desc(0, DATA, 4096, WRITE); /* no more than it says it wrote */
	memset(b.ram + DATA, 0, 4096);
	ring(0);
	assert_in_range(used_len(), 1, 4096);
	for (unsigned i = used_len(); i < 4096; i++)
		assert_int_equal(b.ram[DATA + i], 0);
	/* Data where only room is due. */
	desc(0, DATA, 64, 0);
	ring(0);
	assert_int_equal(used(), 2);
	assert_int_equal(status(), 0x4f);
	start(0);
	desc(0, DATA, 64, NEXT);
	desc(1, DATA, 64, WRITE);
	ring(0);
	assert_int_equal(used(), 0);
	assert_int_equal(status(), 0x4f);
	virtio_pci_fini(&b.vpci);
	virtio_fini(&b.rng.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_are_checked),
		cmocka_unit_test(registers_survive_any_access),
		cmocka_unit_test(queue_fields),
		cmocka_unit_test(window),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(any_layout),
		cmocka_unit_test(ids_and_ranges),
		cmocka_unit_test(bad_requests_fail_alone),
		cmocka_unit_test(broken_queue_stops_the_device),
		cmocka_unit_test(request_without_header_stops_the_device),
		cmocka_unit_test(queue_that_cannot_be),
		cmocka_unit_test(reset_waits_for_the_disk),
		cmocka_unit_test(too_early),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(entropy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
