/* SPDX-License-Identifier: Apache-2.0 */
/* NVMe: commands that reach the disk, how their data is found, and everything about them that can be wrong. */
#include "nvme_fixture.h"

static void start(bool read_only)
{
	build(read_only);
	enable();
	create_queues();
	for (unsigned i = 0; i < DISK_BYTES; i++)
		b.disk[i] = (uint8_t)(i * 31 + i / 512);
}

/* @n list entries at @at, pages from @page down, so that no two are neighbours. */
static void list(uint64_t at, uint64_t page, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_le64(b.ram + at + 8 * i, page - 0x1000 * i);
}

static void moves_data(void **state)
{
	(void)state;
	start(false);
	assert_int_equal(io(2, DATA, 0, 3, 1), 0);
	assert_memory_equal(b.ram + DATA, b.disk + 3 * 512, 512);
	/* Two pages, the first from its middle. */
	assert_int_equal(io(2, DATA + 0xe00, DATA + 0x9000, 8, 2), 0);
	assert_memory_equal(b.ram + DATA + 0xe00, b.disk + 8 * 512, 512);
	assert_memory_equal(b.ram + DATA + 0x9000, b.disk + 9 * 512, 512);
	assert_int_equal(b.last.niov, 2);
	memset(b.ram + DATA, 0x5a, 0x1000);
	assert_int_equal(io(1, DATA + 4, 0, 16, 7), 0);
	assert_memory_equal(b.disk + 16 * 512, b.ram + DATA + 4, 7 * 512);
	assert_int_equal(b.disk[23 * 512], (uint8_t)(23 * 512 * 31 + 23));
	assert_false(b.last.stable);
	/* Force unit access; then no write cache. */
	assert_int_equal(command(1, 1, 1, DATA, 0, 16, 0, 1u << 30, NULL), 0);
	assert_true(b.last.stable);
	assert_int_equal(b.ops[BLOCK_FLUSH], 0);
	assert_int_equal(command(1, 2, 1, DATA, 0, 16, 0, 1u << 30, NULL), 0);
	assert_int_equal(b.ops[BLOCK_FLUSH], 1);
	assert_int_equal(admin(0x09, 0, 0, 6, 0), 0);
	assert_int_equal(io(1, DATA, 0, 16, 1), 0);
	assert_true(b.last.stable);
	assert_int_equal(command(1, 0, 0xffffffff, 0, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(b.last.op, BLOCK_FLUSH);
	fini();
}

static void lists(void **state)
{
	(void)state;
	start(false);
	/* 1 MiB, and it begins in a page's middle: 257 parts, nobody's neighbours. */
	list(LIST, 0x2ff000, 256);
	assert_int_equal(io(2, DATA + 0x800, LIST, 0, 2048), 0);
	assert_int_equal(b.last.niov, 257);
	assert_memory_equal(b.ram + DATA + 0x800, b.disk, 0x800);
	for (unsigned i = 0; i < 255; i++)
		assert_memory_equal(b.ram + 0x2ff000 - 0x1000 * i, b.disk + 0x800 + 0x1000 * i, 0x1000);
	assert_memory_equal(b.ram + 0x2ff000 - 0x1000 * 255, b.disk + 0x800 + 0x1000 * 255, 0x800);
	/* Neighbours become one. */
	for (unsigned i = 0; i < 8; i++)
		put_le64(b.ram + LIST + 8 * i, DATA + 0x1000 * (i + 1));
	assert_int_equal(io(2, DATA, LIST, 0, 72), 0);
	assert_int_equal(b.last.niov, 1);
	/* A list that starts at the end of its page goes on in the next one. */
	put_le64(b.ram + LIST + 0xff0, 0x100000);
	put_le64(b.ram + LIST + 0xff8, LIST + 0x2000);
	list(LIST + 0x2000, 0x200000, 2);
	assert_int_equal(io(2, DATA, LIST + 0xff0, 8, 32), 0);
	assert_memory_equal(b.ram + 0x100000, b.disk + 16 * 512, 0x1000);
	assert_memory_equal(b.ram + 0x200000, b.disk + 24 * 512, 0x1000);
	assert_memory_equal(b.ram + 0x1ff000, b.disk + 32 * 512, 0x1000);
	/* The last entry of a page that is the data's last is no link. */
	put_le64(b.ram + LIST + 0xff8, 0x110000);
	assert_int_equal(io(2, DATA, LIST + 0xff0, 8, 24), 0);
	assert_memory_equal(b.ram + 0x110000, b.disk + 24 * 512, 0x1000);
	/* Links in a circle end with the data. */
	put_le64(b.ram + LIST + 0xff8, LIST);
	put_le64(b.ram + LIST, LIST);
	for (unsigned i = 1; i < 511; i++)
		put_le64(b.ram + LIST + 8 * i, 0x100000);
	assert_int_equal(io(1, DATA, LIST + 0xff8, 0, 2048), 0);
	fini();
}

static void bad_memory(void **state)
{
	static const uint64_t outside[] = { RAM_BYTES, RAM_BYTES + 0x10000, UINT64_C(0xfffffffffffff000), UINT64_C(1) << 63, BAR };
	unsigned long reads;

	(void)state;
	start(false);
	reads = b.ops[BLOCK_READ];
	assert_int_equal(io(2, DATA + 1, 0, 0, 1), 0x13);
	assert_int_equal(io(2, DATA, DATA + 0x1800, 0, 16), 0x13);
	assert_int_equal(io(2, DATA, LIST + 4, 0, 32), 0x13);
	list(LIST, 0x200000, 4);
	put_le64(b.ram + LIST + 16, 0x200008);
	assert_int_equal(io(2, DATA, LIST, 0, 32), 0x13);
	put_le64(b.ram + LIST + 0xff8, LIST + 8); /* a link into a page */
	assert_int_equal(io(2, DATA, LIST + 0xff8, 0, 32), 0x13);
	for (unsigned i = 0; i < ARRAY_LEN(outside); i++) {
		assert_int_equal(io(2, outside[i], 0, 0, 1), 0x04);
		assert_int_equal(io(1, DATA, outside[i], 0, 16), 0x04);
		assert_int_equal(io(2, DATA, outside[i], 0, 32), 0x04);
		put_le64(b.ram + LIST + 8, outside[i]);
		assert_int_equal(io(2, DATA, LIST, 0, 32), 0x04);
		put_le64(b.ram + LIST + 0xff8, outside[i]);
		assert_int_equal(io(1, DATA, LIST + 0xff8, 0, 32), 0x04);
	}
	assert_int_equal(io(2, RAM_BYTES - 4, RAM_BYTES, 0, 1), 0x04);
	assert_int_equal(b.ops[BLOCK_READ], reads);
	assert_int_equal(b.log_lines, 0);
	fini();
}

static void bad_commands(void **state)
{
	uint64_t sectors = DISK_BYTES / 512;

	(void)state;
	start(false);
	for (unsigned op = 0; op < 256; op++)
		if (op > 2 && op != 8 && op != 9)
			assert_int_equal(io((uint8_t)op, DATA, 0, 0, 1), 0x01);
	for (unsigned op = 0; op < 10; op++)
		if (op <= 2 || op >= 8) {
			assert_int_equal(command(1, (uint8_t)op, 2, DATA, 0, 0, 0, 0, NULL), 0x0b);
			assert_int_equal(command(1, (uint8_t)op, 0, DATA, 0, 0, 0, 0, NULL), 0x0b);
		}
	for (unsigned op = 1; op <= 8; op += op == 2 ? 6 : 1) {
		assert_int_equal(io((uint8_t)op, DATA, 0, sectors - 1, 1), 0);
		assert_int_equal(io((uint8_t)op, DATA, 0, sectors - 1, 2), 0x80);
		assert_int_equal(io((uint8_t)op, DATA, 0, sectors, 1), 0x80);
		assert_int_equal(io((uint8_t)op, DATA, 0, UINT64_MAX, 2), 0x80);
		assert_int_equal(io((uint8_t)op, DATA, 0, UINT64_C(1) << 55, 1), 0x80);
	}
	assert_int_equal(io(2, DATA, LIST, 0, 2049), 0x02); /* more than the largest transfer */
	assert_int_equal(io(2, DATA, LIST, 0, 0x10000), 0x02);
	/* Fused, or with a scatter-gather list. */
	for (unsigned flags = 1; flags < 256; flags *= 2) {
		struct completion c;

		put(1, 2, 1, DATA, 0, 0, 0, 0);
		b.ram[SQ(1) + 64 * ((b.tail[1] + ENTRIES - 1) % ENTRIES) + 1] = (uint8_t)flags;
		ring(1);
		assert_true(take(1, &c));
		assert_int_equal(c.status & 0x7ff, 0x02);
	}
	/* What the disk cannot do. */
	b.result = LODGE_ERR_IO;
	assert_int_equal(io(2, DATA, 0, 0, 1), 0x281);
	assert_int_equal(io(1, DATA, 0, 0, 1), 0x280);
	assert_int_equal(command(1, 2, 1, DATA, 0, 0, 0, 1u << 30, NULL), 0x280); /* its flush */
	assert_int_equal(b.log_lines, 0);
	fini();
	start(true);
	assert_int_equal(io(1, DATA, 0, 0, 1), 0x20);
	assert_int_equal(io(8, DATA, 0, 0, 1), 0x20);
	assert_int_equal(io(9, DATA, 0, 0, 1), 0x20);
	assert_int_equal(io(2, DATA, 0, 0, 1), 0);
	fini();
}

static void range(unsigned i, uint64_t lba, uint32_t blocks)
{
	put_le64(b.ram + DATA + 16 * i + 8, lba);
	put_le32(b.ram + DATA + 16 * i + 4, blocks);
}

static void zeroes_and_ranges(void **state)
{
	(void)state;
	start(false);
	assert_int_equal(command(1, 8, 1, 0, 0, 8, 0, 7 | 1u << 25, NULL), 0);
	assert_true(b.last.op == BLOCK_WRITE_ZEROES && b.last.may_unmap && b.last.offset == 0x1000 && b.last.bytes == 0x1000);
	assert_int_equal(command(1, 8, 1, 0, 0, 8, 0, 7 | 1u << 30, NULL), 0);
	assert_true(!b.last.may_unmap && b.last.stable);
	for (unsigned i = 0; i < 256; i++)
		range(i, 16 * i, i % 2 * 8);
	assert_int_equal(command(1, 9, 1, DATA, 0, 255, 4, 0, NULL), 0);
	assert_int_equal(b.ops[BLOCK_DISCARD], 128);
	assert_int_equal(b.disk[16 * 512], 0);
	assert_int_equal(command(1, 9, 1, DATA, 0, 255, 3, 0, NULL), 0); /* hints */
	assert_int_equal(b.ops[BLOCK_DISCARD], 128);
	range(200, DISK_BYTES / 512 - 1, 2);
	assert_int_equal(command(1, 9, 1, DATA, 0, 255, 4, 0, NULL), 0x80);
	range(200, UINT64_MAX, 0xffffffff);
	assert_int_equal(command(1, 9, 1, DATA, 0, 255, 4, 0, NULL), 0x80);
	assert_int_equal(b.ops[BLOCK_DISCARD], 128); /* none before all were looked at */
	assert_int_equal(command(1, 9, 1, DATA + 0x800, DATA + 0x1008, 255, 4, 0, NULL), 0x13);
	assert_int_equal(command(1, 9, 1, RAM_BYTES, 0, 0, 4, 0, NULL), 0x04);
	fini();
}

static void reset_in_flight(void **state)
{
	(void)state;
	start(false);
	for (unsigned i = 0; i < 10; i++)
		put(1, 1 + i % 2, 1, DATA, 0, i, 0, 0);
	ring(1);
	assert_int_equal(b.nrequests, 10);
	disable();
	assert_int_equal(reg(0x1c), 1); /* the disk still has them */
	set_reg(0x14, CC_GOOD);
	io_thread();
	doorbell(2, 3);
	io_thread();
	memset(b.ram + CQ(1), 0xff, 256);
	disk_works();
	io_thread();
	assert_int_equal(reg(0x1c), 1); /* and is enabled again, as asked meanwhile */
	assert_null(b.nvme.sq[1].entries);
	assert_int_equal(b.ram[CQ(1)], 0xff); /* nothing comes back of what was before */
	assert_int_equal(b.nvme.in_flight, 0);
	/* The machine's own reset waits for the disk itself. */
	enable();
	fini();
	start(false);
	put(2, 2, 1, DATA, 0, 0, 0, 0);
	ring(2);
	nvme_power_on(&b.nvme);
	assert_int_equal(b.nrequests, 0);
	assert_int_equal(b.nposts, 0);
	assert_int_equal(reg(0x1c), 0);
	enable();
	create_queues();
	assert_int_equal(io(2, DATA, 0, 0, 1), 0);
	fini();
}

static void delete_in_flight(void **state)
{
	struct completion c;
	uint16_t cid;

	(void)state;
	start(false);
	put(1, 2, 1, DATA, 0, 0, 0, 0);
	put(1, 2, 1, DATA, 0, 1, 0, 0);
	ring(1);
	put(0, 0x00, 0, 0, 0, 1, 0, 0);
	ring(0);
	assert_false(take(0, &c)); /* after its commands */
	put(0, 0x00, 0, 0, 0, 1, 0, 0);
	ring(0);
	assert_true(take(0, &c)); /* once is enough */
	assert_int_equal(c.status & 0x7ff, 0x101);
	disable(); /* with the deletion waiting */
	disk_works();
	io_thread();
	assert_int_equal(reg(0x1c), 0);
	enable();
	fini();
	start(false);
	put(1, 2, 1, DATA, 0, 0, 0, 0);
	ring(1);
	cid = put(0, 0x00, 0, 0, 0, 1, 0, 0);
	ring(0);
	put(1, 2, 1, DATA, 0, 0, 0, 0);
	ring(1);
	assert_int_equal(b.nrequests, 1); /* nothing more is taken from it */
	disk_works();
	assert_true(take(1, &c));
	assert_true(take(0, &c));
	assert_int_equal(c.cid, cid);
	assert_int_equal(c.status, 0);
	assert_int_equal(admin(0x04, 0, 0, 1, 0), 0);
	fini();
}

/* A driver that takes no completions stops the controller at its queue's size, and loses none. */
static void full_queues(void **state)
{
	struct completion c;
	unsigned taken = 0;

	(void)state;
	start(false);
	assert_int_equal(admin(0x00, 0, 0, 2, 0), 0);
	b.tail[2] = 0;
	assert_int_equal(admin(0x01, 0, SQ(2), (ENTRIES - 1) << 16 | 2, 1 << 16 | 1), 0); /* two queues for one of completions */
	for (unsigned q = 1; q <= 2; q++) {
		for (unsigned i = 0; i < ENTRIES - 1; i++)
			put(q, 0, 1, 0, 0, 0, 0, 0);
		ring(q);
	}
	assert_int_equal(b.nrequests, ENTRIES - 1);
	disk_works();
	io_thread();
	assert_int_equal(b.nrequests, 0);
	while (take(1, &c)) {
		taken++;
		disk_works();
	}
	assert_int_equal(taken, 2 * (ENTRIES - 1));
	/* A doorbell that says "go round" does commands once. */
	doorbell(2, b.tail[1]);
	io_thread();
	assert_int_equal(b.nrequests, 0);
	doorbell(2, (b.tail[1] + ENTRIES - 1) % ENTRIES);
	io_thread();
	assert_in_range(b.nrequests, 0, ENTRIES - 1);
	assert_in_range(b.calls, 0, 4);
	fini();
}

static void mastering_and_shutdown(void **state)
{
	(void)state;
	start(false);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	put(1, 2, 1, DATA, 0, 0, 0, 0);
	ring(1);
	assert_int_equal(b.nrequests, 0);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	io_thread();
	assert_int_equal(b.nrequests, 1);
	disk_works();
	set_reg(0x14, CC_GOOD | 1 << 14);
	io_thread();
	assert_int_equal(reg(0x1c), 1 | 1 << 2);
	assert_int_equal(b.ops[BLOCK_FLUSH], 0);
	set_reg(0x14, CC_GOOD | 1 << 14);
	io_thread();
	assert_int_equal(b.nrequests, 1);
	disk_works();
	assert_int_equal(b.ops[BLOCK_FLUSH], 1);
	assert_int_equal(reg(0x1c), 1 | 2 << 2);
	disable();
	assert_int_equal(reg(0x1c), 0);
	/* A reset while that goes on. */
	enable();
	set_reg(0x14, CC_GOOD | 2 << 14);
	io_thread();
	disable();
	assert_int_equal(reg(0x1c), 1 | 1 << 2);
	disk_works();
	io_thread();
	assert_int_equal(reg(0x1c), 0);
	enable();
	fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_data),
		cmocka_unit_test(lists),
		cmocka_unit_test(bad_memory),
		cmocka_unit_test(bad_commands),
		cmocka_unit_test(zeroes_and_ranges),
		cmocka_unit_test(reset_in_flight),
		cmocka_unit_test(delete_in_flight),
		cmocka_unit_test(full_queues),
		cmocka_unit_test(mastering_and_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
