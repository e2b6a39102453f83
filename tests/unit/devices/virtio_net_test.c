/* SPDX-License-Identifier: Apache-2.0 */
/* The network device on rings in fake memory: frames out and in, merged buffers, both ring formats, and drivers that break rules. */
#include "virtio_fixture.h"

#include <stdlib.h>
#include "devices/virtio/virtio_net.h"

#define TSO_TO_CARD (1u << 1 | 1u << 7 | 1u << 8)
#define MERGE (1u << 15)
#define HEADER 12u

enum { RX, TX, CONTROL };

static struct {
	struct virtio_net net;
	/* the network */
	const struct net_client *client;
	struct net_offloads offloads;
	struct net_header header;
	uint8_t sent[NET_FRAME_MAX];
	size_t sent_bytes;
	unsigned nsent, resumed;
	bool full;
} b;

static bool send(void *ctx, const struct net_header *header, const struct net_iov *iov, unsigned niov, size_t bytes)
{
	(void)ctx;
	b.header = *header;
	b.sent_bytes = 0;
	for (unsigned i = 0; i < niov; i++) {
		memcpy(b.sent + b.sent_bytes, iov[i].base, iov[i].len);
		b.sent_bytes += iov[i].len;
	}
	assert_int_equal(b.sent_bytes, bytes);
	b.nsent++;
	return !b.full;
}

static void resume(void *ctx) { (void)ctx; b.resumed++; }
static void offloads(void *ctx, struct net_offloads o) { (void)ctx; b.offloads = o; }
static void attach(void *ctx, const struct net_client *client) { (void)ctx; b.client = client; }

static const struct net_backend network = { .send = send, .resume = resume, .offloads = offloads, .attach = attach };

static void build(void)
{
	struct post_service posts = build_surroundings();

	memset(&b, 0, sizeof(b));
	assert_int_equal(virtio_net_init(&b.net, &(struct virtio_net_config){ .net = &network, .mac = { 2, 1, 2, 3, 4, 5 }, .mem = &v.mem,
				.posts = posts, .log = &v.log }), LODGE_OK);
	attach_device(&b.net.dev);
	assert_non_null(b.client);
}

static void fini(void)
{
	virtio_net_fini(&b.net);
	assert_null(b.client);
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
}

/* ---- out ---- */

static void frames_go_out(void **state)
{
	uint8_t *h = v.ram + BUFFERS;

	(void)state;
	build();
	start(1);
	assert_false(b.offloads.csum);
	fill(h + HEADER, 100);
	desc(TX, 0, BUFFERS, HEADER + 100, 0);
	ring(TX, 0);
	assert_int_equal(b.sent_bytes, 100);
	assert_memory_equal(b.sent, h + HEADER, 100);
	assert_int_equal(used(TX), 1);
	/* A header in two parts, the second of which has data too; segmentation. */
	h[0] = NET_NEEDS_CSUM;
	h[1] = NET_GSO_TCPV4;
	put_le16(h + 4, 1460);
	put_le16(h + 6, 34);
	put_le16(h + 8, 16);
	fill(h + HEADER, 60000);
	desc(TX, 0, BUFFERS, 5, NEXT);
	desc(TX, 1, BUFFERS + 5, 1000, NEXT);
	desc(TX, 2, BUFFERS + 1005, HEADER + 60000 - 1005, 0);
	ring(TX, 0);
	assert_int_equal(b.sent_bytes, 60000);
	assert_memory_equal(b.sent, h + HEADER, 60000);
	assert_int_equal(le16_get(b.header.gso_size), 1460);
	assert_int_equal(status(), 0xf);
	fini();
}

static void nonsense_is_lost(void **state)
{
	static const struct {
		uint8_t flags, type;
		uint16_t size, start, offset;
	} bad[] = {
		{ NET_NEEDS_CSUM, 0, 0, 90, 16 }, { NET_NEEDS_CSUM, 0, 0, 0xffff, 0xffff }, { 0, NET_GSO_TCPV4, 1460, 34, 16 },
		{ NET_NEEDS_CSUM, NET_GSO_TCPV4, 0, 34, 16 }, { NET_NEEDS_CSUM, 7, 1460, 34, 16 }, { 0, NET_GSO_ECN, 0, 0, 0 },
	};
	uint8_t *h = v.ram + BUFFERS;

	(void)state;
	build();
	start(1);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		h[0] = bad[i].flags;
		h[1] = bad[i].type;
		put_le16(h + 4, bad[i].size);
		put_le16(h + 6, bad[i].start);
		put_le16(h + 8, bad[i].offset);
		desc(TX, 0, BUFFERS, HEADER + 100, 0);
		ring(TX, 0);
		assert_int_equal(used(TX), i + 1);
	}
	memset(h, 0, HEADER);
	desc(TX, 0, BUFFERS, HEADER + 13, 0); /* less than Ethernet */
	ring(TX, 0);
	desc(TX, 0, BUFFERS, HEADER + NET_FRAME_MAX + 1, 0);
	ring(TX, 0);
	assert_int_equal(b.nsent, 0);
	assert_int_equal(status(), 0xf);
	desc(TX, 0, BUFFERS, HEADER + 14, 0);
	ring(TX, 0);
	assert_int_equal(b.nsent, 1);
	fini();
}

static void a_full_network_holds_the_queue(void **state)
{
	(void)state;
	build();
	start(1);
	b.full = true;
	for (unsigned i = 0; i < 3; i++) {
		desc(TX, i, BUFFERS, HEADER + 60, 0);
		ring(TX, (uint16_t)i);
	}
	assert_int_equal(b.nsent, 1);
	assert_int_equal(used(TX), 1);
	b.full = false;
	b.client->writable(b.client->ctx);
	io_thread();
	assert_int_equal(b.nsent, 3);
	assert_int_equal(used(TX), 3);
	fini();
}

/* ---- in ---- */

static bool receive(size_t bytes)
{
	static uint8_t frame[NET_FRAME_MAX];
	static const struct net_header h = { .flags = NET_DATA_VALID };
	bool taken;

	fill(frame, bytes);
	taken = b.client->receive(b.client->ctx, &h, frame, bytes);
	io_thread();
	return taken;
}

/* @n bytes at @offset of what receive() sent lie at @addr. */
static void expect_at(uint32_t addr, size_t offset, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(v.ram[addr + i], (uint8_t)((offset + i) * 7 + (offset + i) / 256));
}

static void frames_come_in(void **state)
{
	(void)state;
	build();
	assert_true(receive(60)); /* nobody there */
	start(MERGE | TSO_TO_CARD);
	assert_true(b.offloads.csum && b.offloads.tso4 && b.offloads.tso6);
	assert_false(receive(60)); /* no buffers yet */
	b.resumed = 0;
	for (unsigned i = 0; i < 4; i++) {
		desc(RX, i, BUFFERS + i * 0x1000, 1000, WRITE);
		ring(RX, (uint16_t)i);
	}
	assert_in_range(b.resumed, 1, 8);
	assert_true(receive(60));
	assert_int_equal(used(RX), 1);
	assert_int_equal(used_len(RX, 0), HEADER + 60);
	assert_int_equal(v.ram[BUFFERS], NET_DATA_VALID);
	assert_int_equal(get_le16(v.ram + BUFFERS + 10), 1);
	expect_at(BUFFERS + HEADER, 0, 60);
	/* More than the three that are left: nothing is used, and it fits when one more comes. */
	assert_false(receive(3500));
	assert_int_equal(used(RX), 1);
	desc(RX, 0, BUFFERS, 1000, WRITE);
	ring(RX, 0);
	assert_true(receive(3500));
	assert_int_equal(used(RX), 5);
	assert_int_equal(get_le16(v.ram + BUFFERS + 0x1000 + 10), 4);
	expect_at(BUFFERS + 0x1000 + HEADER, 0, 988);
	expect_at(BUFFERS + 0x2000, 988, 1000);
	expect_at(BUFFERS + 0x3000, 1988, 1000);
	expect_at(BUFFERS, 2988, 512);
	assert_int_equal(used_len(RX, 1), 1000);
	assert_int_equal(used_len(RX, 4), 512);
	assert_int_equal(status(), 0xf);
	fini();
}

/* Without merging a frame takes one chain, or is lost. */
static void one_chain_a_frame(void **state)
{
	(void)state;
	build();
	start(0);
	desc(RX, 0, BUFFERS, 8, WRITE | NEXT);
	desc(RX, 1, BUFFERS + 0x1000, 1600, WRITE);
	ring(RX, 0);
	assert_true(receive(1700));
	assert_int_equal(used(RX), 0);
	assert_true(receive(1500));
	assert_int_equal(used(RX), 1);
	assert_int_equal(used_len(RX, 0), HEADER + 1500);
	expect_at(BUFFERS + 0x1000 + 4, 0, 1500);
	assert_int_equal(get_le16(v.ram + BUFFERS + 0x1000 + 2), 1); /* num_buffers */
	fini();
}

/* The first descriptor of a merged frame changes hands last, and what was taken back is there again, over the ring's end. */
static void packed_rings(void **state)
{
	(void)state;
	build();
	start(MERGE | VIRTIO_F_RING_PACKED);
	for (unsigned lap = 0; lap < 2; lap++) {
		uint16_t avail = lap ? 0 : 1 << 7, gone = lap ? 1 << 15 : 0;

		for (unsigned i = 0; i < SIZE; i++) {
			uint8_t *d = v.ram + RING(RX) + 16 * i;

			put_le64(d, BUFFERS + i * 0x1000);
			put_le32(d + 8, 1000);
			put_le16(d + 12, (uint16_t)i);
			put_le16(d + 14, (uint16_t)(avail | gone | WRITE));
		}
		virtio_doorbell(&b.net.dev, RX);
		io_thread();
		assert_true(receive(2500)); /* 0 to 2 */
		assert_true(receive(2500)); /* 3 to 5 */
		assert_true(receive(6000)); /* 6 to 12 */
		assert_false(receive(4000));
		assert_true(receive(2900)); /* 13 to 15 */
		assert_int_equal(get_le16(v.ram + BUFFERS + 13 * 0x1000 + 10), 3);
		expect_at(BUFFERS + 15 * 0x1000, 1988, 912);
		for (unsigned i = 0; i < SIZE; i += i == 6 ? 7 : 3) {
			uint16_t flags = get_le16(v.ram + RING(RX) + 16 * i + 14);

			assert_int_equal(!!(flags & 1 << 15), !lap);
			assert_int_equal(!!(flags & 1 << 7), !lap);
		}
		assert_int_equal(get_le32(v.ram + RING(RX) + 16 * 15 + 8), 912);
	}
	assert_int_equal(status(), 0xf);
	fini();
}

/* ---- control ---- */

static uint8_t command(const char *bytes, unsigned n)
{
	memcpy(v.ram + BUFFERS, bytes, n);
	v.ram[BUFFERS + 0x1000] = 0xee;
	desc(CONTROL, 0, BUFFERS, n, NEXT);
	desc(CONTROL, 1, BUFFERS + 0x1000, 1, WRITE);
	ring(CONTROL, 0);
	return v.ram[BUFFERS + 0x1000];
}

static void commands(void **state)
{
	(void)state;
	build();
	start(TSO_TO_CARD | 1u << 2 | 1u << 17 | 1u << 18);
	assert_int_equal(command("\0\0\1", 3), 0);
	assert_int_equal(command("\0\0", 2), 1);
	assert_int_equal(command("\5\0\2\0\0\0\0\0\0\0", 10), 0);
	assert_true(b.offloads.csum && !b.offloads.tso4);
	assert_int_equal(command("\5\0\200\0\0\0\0\0\0\0", 10), 0);
	assert_false(b.offloads.tso4); /* worth nothing without checksums */
	assert_int_equal(command("\5\0\1\0\0\0\0\0\0\0", 10), 1); /* no such offload */
	assert_int_equal(command("\5\0\2", 3), 1);
	assert_int_equal(command("\377\0\0", 3), 1);
	assert_int_equal(status(), 0xf);
	fini();
}

static void link_goes_down(void **state)
{
	(void)state;
	build();
	start(1 << 16);
	assert_int_equal(b.net.registers[6], 1);
	b.client->link(b.client->ctx, false);
	assert_int_equal(b.net.registers[6], 0);
	assert_int_equal(v.config_interrupts, 1);
	fini();
}

/* ---- misuse ---- */

static void rules_are_kept(void **state)
{
	static const struct {
		unsigned queue;
		uint64_t addr;
		uint32_t len;
		unsigned flags;
	} bad[] = {
		{ TX, BUFFERS, HEADER - 1, 0 },      /* no whole header */
		{ TX, BUFFERS, 100, WRITE },         /* room to write */
		{ TX, RAM_BYTES - 10, 100, 0 },      /* not in memory */
		{ TX, UINT64_MAX - 10, 100, 0 },
		{ TX, BUFFERS, 0, 0 },
		{ TX, BUFFERS, 32, INDIRECT },       /* not negotiated */
		{ RX, BUFFERS, 1000, 0 },            /* to read */
		{ RX, BUFFERS, HEADER - 1, WRITE },
		{ RX, RAM_BYTES, 1000, WRITE },
		{ CONTROL, BUFFERS, 3, 0 },          /* no room for an answer */
		{ CONTROL, BUFFERS, 1, WRITE },
	};

	(void)state;
	build();
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		start(MERGE);
		desc(bad[i].queue, 0, bad[i].addr, bad[i].len, bad[i].flags);
		ring(bad[i].queue, 0);
		if (bad[i].queue == RX)
			assert_true(receive(100));
		assert_int_equal(status(), 0x4f);
		assert_int_equal(b.net.dev.in_flight, 0);
		assert_int_equal(used(bad[i].queue), 0);
		assert_true(receive(100)); /* and nothing hangs on it */
	}
	/* An available index that runs ahead. */
	start(MERGE);
	put_le16(v.ram + RING(RX) + 0x1002, SIZE + 1);
	assert_true(receive(100));
	assert_int_equal(status(), 0x4f);
	/* A loop. */
	start(MERGE);
	desc(TX, 0, BUFFERS, 100, NEXT);
	put_le16(v.ram + RING(TX) + 14, 0);
	ring(TX, 0);
	assert_int_equal(status(), 0x4f);
	assert_int_equal(b.nsent, 0);
	fini();
}

/* Rings that are mostly right and now and then anything: no call returns with a chain in hand, and a reset makes all good again. */
static void anything_does_no_harm(void **state)
{
	static const uint64_t sets[] = { 0, MERGE, MERGE | TSO_TO_CARD, MERGE | VIRTIO_F_EVENT_IDX, MERGE | VIRTIO_F_INDIRECT_DESC,
					 MERGE | VIRTIO_F_RING_PACKED, VIRTIO_F_RING_PACKED | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX };
	unsigned broken = 0, whole = 0;

	(void)state;
	srand(3);
	build();
	for (unsigned round = 0; round < 3000; round++) {
		start(sets[(unsigned)rand() % ARRAY_LEN(sets)]);
		for (unsigned step = 0; step < 40; step++) {
			unsigned q = (unsigned)rand() % 3, i = (unsigned)rand() % SIZE, odd = !(rand() % 64);
			unsigned flags = (q == RX ? WRITE : 0u) | (odd ? (unsigned)rand() % 8 : 0u);
			uint32_t len = odd ? (uint32_t)rand() : 14 + (uint32_t)rand() % 3000;

			desc(q, i, odd && rand() % 2 ? (uint64_t)rand() << 10 : BUFFERS + i * 0x1000u, len, flags);
			if (odd && !v.packed)
				put_le16(v.ram + RING(q) + 0x1002, (uint16_t)rand());
			ring(q, (uint16_t)i);
			b.full = !(rand() % 8);
			(void)receive((size_t)(14 + rand() % 5000));
			b.client->writable(b.client->ctx);
			io_thread();
			assert_int_equal(b.net.dev.in_flight, 0);
		}
		broken += status() == 0x4f;
		whole += status() == 0xf;
		if (round % 16 == 0)
			virtio_power_on(&b.net.dev);
	}
	assert_in_range(broken, 100, 2900); /* it did meet both */
	assert_in_range(whole, 100, 2900);
	b.full = false;
	b.client->writable(b.client->ctx);
	start(0);
	b.nsent = 0;
	desc(TX, 0, BUFFERS, HEADER + 60, 0);
	ring(TX, 0);
	assert_int_equal(b.nsent, 1);
	fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_go_out),
		cmocka_unit_test(nonsense_is_lost),
		cmocka_unit_test(a_full_network_holds_the_queue),
		cmocka_unit_test(frames_come_in),
		cmocka_unit_test(one_chain_a_frame),
		cmocka_unit_test(packed_rings),
		cmocka_unit_test(commands),
		cmocka_unit_test(link_goes_down),
		cmocka_unit_test(rules_are_kept),
		cmocka_unit_test(anything_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
