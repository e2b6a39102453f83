/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe under drivers that do anything: a strict one, whose commands are mostly
 * good and each come back once, whatever the disk's order; and a wild one,
 * which also writes over queues, lists and registers. The fixture checks each
 * request to the disk. `unit_nvme_fuzz_test SEED STEPS` goes on from elsewhere.
 */
#include "nvme_fixture.h"

#include <stdlib.h>

#define STEPS 150000u

static uint64_t seed = 88172645463325252u;
static unsigned long steps = STEPS;

static struct {
	uint8_t owner[0x10000]; /* queue + 1 of commands that are out, by identifier; HELD: an event request */
	unsigned out[QUEUES + 1];
	unsigned long done, good;
} d;
#define HELD 0x80u

static uint32_t below(uint32_t n) { return (uint32_t)(fake_random(&seed) >> 16) % n; }
static bool one_in(uint32_t n) { return !below(n); }

/* ---- the strict driver ---- */

static void taken(unsigned q, const struct completion *c)
{
	assert_int_equal(c->sq, q);
	assert_int_equal(d.owner[c->cid] & ~HELD, q + 1);
	d.owner[c->cid] = 0;
	d.out[q]--;
	d.done++;
	d.good += !c->status;
}

static void take_some(unsigned q, unsigned n)
{
	struct completion c;

	for (unsigned i = 0; i < n && take(q, &c); i++)
		taken(q, &c);
}

static void start(bool from_power_on)
{
	if (from_power_on)
		build(false);
	memset(&d, 0, sizeof(d));
	for (unsigned i = 0; i < 512; i++)
		put_le64(b.ram + LIST + 8 * i, DATA + 0x1000 * below(256));
	enable();
	create_queues();
}

static void own(unsigned q, uint16_t cid, bool held)
{
	assert_int_equal(d.owner[cid], 0);
	d.owner[cid] = (uint8_t)(q + 1 + (held ? HELD : 0));
	d.out[q]++;
}

static void submit_io(unsigned q)
{
	static const uint8_t ops[] = { 0, 1, 1, 1, 2, 2, 2, 2, 8, 9 };
	uint8_t op = ops[below(ARRAY_LEN(ops))];
	uint32_t blocks = one_in(8) ? below(2100) : 1 + below(32), lba = below(DISK_BYTES / 512 - 32), fua = one_in(4) ? 1u << 30 : 0;
	uint64_t prp1 = DATA + (one_in(2) ? 0 : 4 * below(1024)), prp2;
	uint16_t cid;

	/* Never as far as a link: data would be taken for a list, and go anywhere. */
	prp2 = blocks > 8 ? LIST + (one_in(4) ? 8 * below(250) : 0) : DATA + 0x5000;
	if (op == 9)
		cid = put(q, op, 1, prp1, DATA + 0x5000, below(256), 4, 0);
	else
		cid = put(q, op, one_in(50) ? below(4) : 1, one_in(50) ? fake_random(&seed) : prp1, one_in(50) ? fake_random(&seed) : prp2,
			  one_in(50) ? (uint32_t)fake_random(&seed) : lba, 0, ((blocks - 1) & 0xffff) | fua);
	own(q, cid, false);
}

static void submit_admin(void)
{
	static const uint8_t ops[] = { 0x02, 0x06, 0x06, 0x08, 0x09, 0x0a, 0x0c };
	uint8_t op = ops[below(ARRAY_LEN(ops))];
	uint32_t dw10 = op == 0x02 ? below(200) << 16 | below(5) : op == 0x08 ? below(0x10000) << 16 | below(3) : below(13);

	own(0, put(0, op, one_in(2) ? below(3) : 0xffffffff, DATA + 4 * below(1024), DATA + 0x1000, dw10, below(0x10000), 0), op == 0x0c);
}

static void settle(void)
{
	for (unsigned round = 0; round < 10; round++) {
		disk_works();
		io_thread();
		for (unsigned q = 0; q <= QUEUES; q++)
			take_some(q, 1000);
	}
	/* What is out now are event requests, which the controller holds. */
	for (unsigned i = 0; i < ARRAY_LEN(d.owner); i++)
		if (d.owner[i])
			assert_int_equal(d.owner[i], 1 + HELD);
	assert_int_equal(d.out[0], b.nvme.nevents);
	assert_int_equal(d.out[1] + d.out[2] + b.nvme.in_flight, 0);
}

static void strict_step(void)
{
	unsigned q = below(QUEUES + 1);

	switch (below(16)) {
	case 0: take_some(q, below(ENTRIES)); break;
	case 1: doorbell(below(40), ENTRIES + below(100000)); io_thread(); break; /* never a good value */
	case 2: (void)bus_read(&b.mmio, BAR + 4 * below(0x1000), 4); break;
	case 3: config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | (one_in(4) ? 0 : PCI_COMMAND_MASTER)); io_thread(); break;
	case 4: b.result = one_in(10) ? LODGE_ERR_IO : LODGE_OK; break;
	case 5:
	case 6:
	case 7:
	case 8:
		if (b.nrequests)
			disk_does(below(b.nrequests));
		io_thread();
		break;
	case 9: ring(q); break;
	default:
		if (d.out[q] >= ENTRIES - 1)
			take_some(q, ENTRIES);
		else if (q)
			submit_io(q);
		else if (one_in(4))
			submit_admin();
		if (one_in(2))
			ring(q);
		break;
	}
}

static void strict(void **state)
{
	unsigned long done = 0, good = 0;

	(void)state;
	start(true);
	for (unsigned long i = 0; i < steps; i++) {
		strict_step();
		if (!one_in(5000))
			continue;
		/* Now and then all comes to rest, or is reset while the disk has requests. */
		config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		for (unsigned q = 0; q <= QUEUES; q++)
			ring(q);
		if (one_in(2))
			settle();
		disable();
		disk_works();
		io_thread();
		assert_int_equal(b.nvme.in_flight, 0);
		done += d.done;
		good += d.good;
		start(false);
	}
	fini();
	/* Most were good: else this test would be about refusals alone. */
	assert_true(done > steps / 20 && good > done / 2);
}

/* ---- the wild one ---- */

static void scribble(uint32_t at, uint32_t bytes)
{
	uint64_t value = one_in(3) ? fake_random(&seed) : one_in(2) ? below(RAM_BYTES) & ~0xfffu : below(256);

	memcpy(b.ram + (at + below(bytes - 8)), &value, one_in(2) ? 8 : 1);
}

static void wild_step(void)
{
	static const uint16_t registers[] = { 0x0c, 0x10, 0x14, 0x24, 0x28, 0x2c, 0x30, 0x34 };
	unsigned q = below(QUEUES + 1);
	struct completion c;

	switch (below(16)) {
	case 0: scribble(SQ(q), 64 * ENTRIES); break;
	case 1: scribble(LIST, 0x1000); break;
	case 2: doorbell(below(8), below(ENTRIES + 2)); break;
	case 3: doorbell(below(1024), (uint32_t)fake_random(&seed)); break;
	case 4:
		put(0, (uint8_t)below(14), below(3), one_in(2) ? SQ(1 + below(2)) : DATA, DATA, below(20) << 16 | below(4), below(4) << 16 | below(4), 0);
		break;
	case 5:
		if (one_in(40))
			set_reg(registers[below(ARRAY_LEN(registers))], one_in(2) ? CC_GOOD | below(4) << 14 : (uint32_t)fake_random(&seed));
		break;
	case 6:
		if (one_in(200))
			nvme_power_on(&b.nvme);
		else if (one_in(10))
			config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | (one_in(4) ? 0 : PCI_COMMAND_MASTER));
		break;
	case 7:
		for (unsigned i = 0; i < 4 && take(q, &c); i++)
			;
		break;
	case 8:
	case 9:
		if (b.nrequests)
			disk_does(below(b.nrequests));
		break;
	case 10: ring(q); break;
	default:
		if (q)
			put(q, (uint8_t)below(10), 1, DATA + below(0x1000), one_in(2) ? LIST : DATA + 0x1000, below(4000), 0, below(64));
		break;
	}
	io_thread();
	assert_in_range(b.nvme.in_flight, 0, 512);
}

static void wild(void **state)
{
	unsigned long starts = 0;

	(void)state;
	start(true);
	for (unsigned long i = 0; i < steps; i++) {
		wild_step();
		if (!one_in(300))
			continue;
		config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		disable();
		disk_works();
		io_thread();
		assert_int_equal(reg(0x1c) & 3, 0);
		assert_int_equal(b.nvme.in_flight, 0);
		starts++;
		start(false);
	}
	fini();
	assert_true(starts > steps / 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(strict), cmocka_unit_test(wild) };

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		steps = strtoul(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
