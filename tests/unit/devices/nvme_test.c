/* SPDX-License-Identifier: Apache-2.0 */
/* NVMe: registers, admin commands and events, by what a driver does and should not do. Commands to the disk are in nvme_io_test.c. */
#include "nvme_fixture.h"

static void registers(void **state)
{
	(void)state;
	build(false);
	assert_int_equal(bus_read(&b.mmio, BAR, 8), UINT64_C(0x28) << 24 | 1 << 16 | 255 | UINT64_C(0x20) << 32);
	assert_int_equal(reg(8), 0x10400);
	assert_int_equal(reg(0x1c), 0);
	set_reg(0x24, 0xffffffff);
	assert_int_equal(reg(0x24), 0x0fff0fff);
	set_reg(0xc, 5);
	set_reg(0x10, 1);
	assert_int_equal(reg(0xc), 4);
	for (unsigned at = 0; at < 0x4000; at += at == 0x40 ? 0xfc0 : 1)
		for (unsigned size = 1; size <= 8; size *= 2) {
			(void)bus_read(&b.mmio, BAR + at, size);
			bus_write(&b.mmio, BAR + at, size, 0);
		}
	io_thread();
	assert_int_equal(reg(0x1c), 0);
	fini();
}

static void enabling(void **state)
{
	static const struct {
		uint32_t aqa;
		uint64_t asq, acq;
		uint32_t cc;
	} bad[] = {
		{ 0x000f0000, SQ(0), CQ(0), CC_GOOD }, { 0x0000000f, SQ(0), CQ(0), CC_GOOD },
		{ 0x000f000f, SQ(0) + 4, CQ(0), CC_GOOD }, { 0x000f000f, SQ(0), CQ(0) + 64, CC_GOOD },
		{ 0x000f000f, RAM_BYTES, CQ(0), CC_GOOD }, { 0x000f000f, SQ(0), UINT64_C(0xfffffffffffff000), CC_GOOD },
		{ 0x0fff0fff, RAM_BYTES - 0x1000, CQ(0), CC_GOOD }, { 0x000f000f, SQ(0), CQ(0), CC_GOOD | 1 << 4 },
		{ 0x000f000f, SQ(0), CQ(0), CC_GOOD | 1 << 7 }, { 0x000f000f, SQ(0), CQ(0), CC_GOOD | 1 << 11 },
	};

	(void)state;
	build(false);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		enable_with(bad[i].aqa, bad[i].asq, bad[i].acq, bad[i].cc);
		assert_int_equal(reg(0x1c), 2); /* fatal, not ready */
		doorbell(0, 1);
		io_thread();
		assert_int_equal(b.log_lines, i + 1);
		disable();
		assert_int_equal(reg(0x1c), 0);
	}
	enable();
	disable();
	assert_int_equal(reg(0x1c), 0);
	enable();
	/* Off and on before the I/O thread saw it is a reset, too. */
	create_queues();
	set_reg(0x14, CC_GOOD & ~1u);
	set_reg(0x14, CC_GOOD);
	io_thread();
	assert_int_equal(reg(0x1c), 1);
	assert_null(b.nvme.sq[1].entries);
	fini();
}

static void identify(void **state)
{
	const uint8_t *data = b.ram + DATA;

	(void)state;
	build(false);
	enable();
	assert_int_equal(admin(0x06, 0, DATA, 1, 0), 0);
	assert_memory_equal(data + 4, "S1                  ", 20);
	assert_int_equal(data[77], 8);
	assert_int_equal(get_le32(data + 516), 1);
	assert_int_equal(data[525] & 1, 1);
	assert_string_equal((const char *)data + 768, "nqn.2026-01.invalid.lodge:nvme0:S1");
	assert_int_equal(admin(0x06, 1, DATA, 0, 0), 0);
	assert_int_equal(get_le64(data), DISK_BYTES / 512);
	assert_int_equal(data[130], 9);
	assert_int_equal(admin(0x06, 0, DATA, 2, 0), 0);
	assert_int_equal(get_le32(data), 1);
	assert_int_equal(admin(0x06, 1, DATA, 2, 0), 0);
	assert_int_equal(get_le32(data), 0);
	assert_int_equal(admin(0x06, 1, DATA, 3, 0), 0);
	assert_int_equal(data[0], 3);
	/* In two pages. */
	assert_int_equal(command(0, 0x06, 1, DATA + 0xc00, DATA + 0x8000, 0, 0, 0, NULL), 0);
	assert_int_equal(get_le64(data + 0xc00), DISK_BYTES / 512);
	assert_int_equal(admin(0x06, 2, DATA, 0, 0), 0x0b);
	assert_int_equal(admin(0x06, 0xffffffff, DATA, 2, 0), 0x0b);
	assert_int_equal(admin(0x06, 0, DATA, 0x55, 0), 0x02);
	assert_int_equal(admin(0x06, 1, DATA + 2, 0, 0), 0x13);
	assert_int_equal(admin(0x06, 1, RAM_BYTES, 0, 0), 0x04);
	assert_int_equal(admin(0x7f, 1, DATA, 0, 0), 0x01);
	fini();
}

static void queues(void **state)
{
	uint32_t result;

	(void)state;
	build(false);
	enable();
	assert_int_equal(command(0, 0x09, 0, 0, 0, 7, 0x00070007, 0, &result), 0);
	assert_int_equal(result, (QUEUES - 1) << 16 | (QUEUES - 1));
	assert_int_equal(admin(0x09, 0, 0, 7, 0xffff), 0x02);
	assert_int_equal(admin(0x01, 0, SQ(1), 15 << 16 | 1, 1 << 16 | 1), 0x100); /* no completion queue */
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 0, 3), 0x101);
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | (QUEUES + 1), 3), 0x101);
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 0xffff, 3), 0x101);
	assert_int_equal(admin(0x05, 0, CQ(1), 0 << 16 | 1, 3), 0x102);
	assert_int_equal(admin(0x05, 0, CQ(1), 256 << 16 | 1, 3), 0x102);
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 1, 2), 0x02); /* not contiguous */
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 1, (QUEUES + 1) << 16 | 3), 0x108);
	assert_int_equal(admin(0x05, 0, CQ(1) + 16, 15 << 16 | 1, 3), 0x13);
	assert_int_equal(admin(0x05, 0, UINT64_MAX - 0xfff, 15 << 16 | 1, 3), 0x04);
	create_queues();
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 1, 3), 0x101); /* there is one */
	assert_int_equal(admin(0x01, 0, SQ(1), 15 << 16 | 1, 1 << 16 | 1), 0x101);
	assert_int_equal(admin(0x09, 0, 0, 7, 0x00070007), 0x0c); /* too late */
	assert_int_equal(admin(0x04, 0, 0, 1, 0), 0x10c); /* its submission queue first */
	assert_int_equal(admin(0x00, 0, 0, 0, 0), 0x101);
	assert_int_equal(admin(0x00, 0, 0, 3, 0), 0x101);
	assert_int_equal(admin(0x00, 0, 0, 1, 0), 0);
	assert_int_equal(admin(0x00, 0, 0, 1, 0), 0x101);
	assert_int_equal(admin(0x01, 0, RAM_BYTES - 0x1000, 255 << 16 | 1, 1 << 16 | 1), 0x04);
	assert_int_equal(admin(0x01, 0, SQ(1), 15 << 16 | 1, 0 << 16 | 1), 0x101); /* the admin queue's completions */
	assert_int_equal(admin(0x04, 0, 0, 1, 0), 0);
	assert_int_equal(admin(0x04, 0, 0, 1, 0), 0x101);
	disable();
	enable_with(0x000f000f, SQ(0), CQ(0), 1); /* entries of no size */
	assert_int_equal(admin(0x05, 0, CQ(1), 15 << 16 | 1, 3), 0x02);
	fini();
}

static void features_and_logs(void **state)
{
	uint32_t result;

	(void)state;
	build(false);
	enable();
	for (unsigned id = 1; id < 0x0c; id++)
		assert_int_equal(admin(0x0a, 1, 0, id, 0), id == 3 ? 2 : 0);
	assert_int_equal(command(0, 0x0a, 0, 0, 0, 6, 0, 0, &result), 0);
	assert_int_equal(result, 1);
	assert_int_equal(admin(0x09, 0, 0, 6, 0), 0);
	assert_int_equal(command(0, 0x0a, 0, 0, 0, 6, 0, 0, &result), 0);
	assert_int_equal(result, 0);
	assert_int_equal(admin(0x09, 0, 0, 0x80000006, 0), 0x10d);
	assert_int_equal(admin(0x09, 0, 0, 2, 1), 0x02);
	assert_int_equal(admin(0x09, 0, 0, 0xc0, 1), 0x02);
	assert_int_equal(admin(0x0a, 0, 0, 9, QUEUES + 1), 0x02);
	assert_int_equal(admin(0x09, 0, 0, 9, QUEUES + 1), 0x02);
	assert_int_equal(admin(0x09, 7, 0, 5, 0), 0x0b);
	for (unsigned id = 1; id <= 3; id++)
		assert_int_equal(admin(0x02, 0xffffffff, DATA, 127 << 16 | id, 0), 0);
	assert_int_equal(admin(0x02, 0xffffffff, DATA, 15 << 16 | 1, 0), 0);
	assert_true(get_le64(b.ram + DATA) > 0); /* errors there were */
	assert_int_equal(admin(0x02, 0xffffffff, DATA, 127 << 16 | 0x99, 0), 0x109);
	assert_int_equal(admin(0x02, 0xffffffff, DATA, 0xffffu << 16 | 1, 0xffff), 0x02);
	assert_int_equal(admin(0x02, 3, DATA, 127 << 16 | 2, 0), 0x0b);
	assert_int_equal(command(0, 0x02, 0xffffffff, DATA, 0, 3 << 16 | 2, 0, 516, NULL), 0x02);
	assert_int_equal(command(0, 0x02, 0xffffffff, DATA, 0, 3 << 16 | 2, 0, 0xfffffffc, NULL), 0x02);
	assert_int_equal(command(0, 0x02, 0xffffffff, DATA, 0, 3 << 16 | 2, 0, 508, NULL), 0);
	fini();
}

static void events(void **state)
{
	struct completion c;
	uint16_t first = 0;

	(void)state;
	build(false);
	enable();
	for (unsigned i = 0; i < NVME_EVENTS_MAX; i++) {
		uint16_t cid = put(0, 0x0c, 0, 0, 0, 0, 0, 0);

		first = first ? first : cid;
		ring(0);
		assert_false(take(0, &c));
	}
	assert_int_equal(admin(0x0c, 0, 0, 0, 0), 0x105);
	/* A doorbell of no queue, over and over: one event until its log was read. */
	for (unsigned i = 0; i < 50; i++) {
		doorbell(2 * 5, 1);
		doorbell(900, 1);
		io_thread();
	}
	assert_true(take(0, &c));
	assert_int_equal(c.cid, first);
	assert_int_equal(c.result, 1 << 16);
	assert_false(take(0, &c));
	doorbell(0, ENTRIES); /* beyond the queue */
	io_thread();
	assert_false(take(0, &c));
	assert_int_equal(command(0, 0x02, 0xffffffff, DATA, 0, 15 << 16 | 1, 0, 0, NULL), 0);
	assert_true(take(0, &c));
	assert_int_equal(c.result, 1 << 8 | 1 << 16);
	assert_int_equal(admin(0x02, 0xffffffff, DATA, 15 << 16 | 1, 0), 0);
	doorbell(1, (b.head[0] + 1) % ENTRIES); /* a completion that nobody wrote */
	io_thread();
	assert_true(take(0, &c));
	assert_int_equal(c.result, 1 << 8 | 1 << 16);
	/* The last held one goes by an abort; a second abort finds nothing, and neither do others. */
	put(0, 0x08, 0, 0, 0, (uint32_t)(first + 3) << 16, 0, 0);
	ring(0);
	assert_true(take(0, &c));
	assert_int_equal(c.status & 0x7ff, 0x07);
	assert_true(take(0, &c));
	assert_int_equal(c.result, 0);
	uint32_t result;
	assert_int_equal(command(0, 0x08, 0, 0, 0, (uint32_t)(first + 3) << 16, 0, 0, &result), 0);
	assert_int_equal(result, 1);
	assert_int_equal(admin(0x08, 0, 0, 1, 0), 0x02);
	assert_int_equal(b.log_lines, 0);
	fini();
}

static void interrupts(void **state)
{
	(void)state;
	build(false);
	enable();
	/* The pin: as long as there are entries, unless masked. */
	put(0, 0x06, 0, DATA, 0, 1, 0, 0);
	ring(0);
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	set_reg(0xc, 1);
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	set_reg(0x10, 1);
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	struct completion c;
	assert_true(take(0, &c));
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	/* It is quiet as soon as the driver's doorbell is written, and comes again if entries are left. */
	put(0, 0x06, 0, DATA, 0, 1, 0, 0);
	put(0, 0x06, 0, DATA, 0, 1, 0, 0);
	ring(0);
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	doorbell(1, b.head[0] + 1);
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	io_thread();
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	doorbell(1, b.head[0] + 2);
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	io_thread();
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	b.head[0] += 2;
	/* A reset takes it away, too. */
	put(0, 0x06, 0, DATA, 0, 1, 0, 0);
	ring(0);
	assert_true(b.fake.level[pci_pirq(1, 0)]);
	disable();
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	enable();
	config_write(b.nvme.msix.cap + 2u, 2, 0x8000);
	for (unsigned v = 0; v <= QUEUES; v++) {
		bus_write(&b.mmio, MSIX_TABLE + 16 * v, 4, 0xfee00000);
		bus_write(&b.mmio, MSIX_TABLE + 16 * v + 8, 4, 0x40 + v);
		bus_write(&b.mmio, MSIX_TABLE + 16 * v + 12, 4, 0);
	}
	create_queues();
	assert_int_equal(b.msi_data, 0x40);
	b.msis = 0;
	assert_int_equal(command(2, 0x00, 1, 0, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(b.msi_data, 0x42);
	assert_int_equal(b.msis, 1);
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(enabling),
		cmocka_unit_test(identify),
		cmocka_unit_test(queues),
		cmocka_unit_test(features_and_logs),
		cmocka_unit_test(events),
		cmocka_unit_test(interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
