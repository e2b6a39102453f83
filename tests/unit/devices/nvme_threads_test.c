/* SPDX-License-Identifier: Apache-2.0 */
/* NVMe's registers on one thread, its queues on another: for TSan, and for what an order of events may break. */
#include "nvme_fixture.h"

#include <pthread.h>

#define CALLS 1000u /* that the I/O thread takes while the other goes on */

static _Atomic bool over;

/* Doorbells, masks, the vector table, and now and then a reset. */
static void *vcpu(void *arg)
{
	uint64_t seed = 88172645463325252u;

	(void)arg;
	while (!atomic_load(&over)) {
		uint32_t r = (uint32_t)(fake_random(&seed) >> 16);

		switch (r % 8) {
		case 0: set_reg(r & 64 ? 0xc : 0x10, r >> 8 & 7); break;
		case 1: (void)reg(4 * (r >> 8 & 15)); break;
		case 2: bus_write(&b.mmio, MSIX_TABLE + 4 * (r >> 8 & 15), 4, r >> 12); break;
		case 3:
			if (!(r >> 8 & 0xff))
				config_write(b.nvme.msix.cap + 2u, 2, r & 0x10000 ? 0x8000 : 0);
			break;
		case 4:
			if (!(r >> 8 & 0x3ff)) {
				set_reg(0x14, CC_GOOD & ~1u);
				set_reg(0x14, CC_GOOD | (r >> 20 & 1) << 14);
			}
			break;
		default: doorbell(r >> 8 & 7, r >> 16 & 15); break;
		}
	}
	return NULL;
}

static void registers_and_queues(void **state)
{
	pthread_t thread;

	(void)state;
	build(false);
	enable();
	create_queues();
	for (unsigned q = 0; q <= QUEUES; q++)
		for (unsigned i = 0; i < ENTRIES; i++)
			put(q, q ? (uint8_t)(i % 3) : 0x06, 1, DATA, 0, i % 4, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, vcpu, NULL), 0);
	for (unsigned calls = 0; calls < CALLS;) {
		if (call_one())
			calls++;
		else
			host_yield();
		disk_works();
	}
	atomic_store(&over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	config_write(b.nvme.msix.cap + 2u, 2, 0);
	disable();
	disk_works();
	io_thread();
	assert_int_equal(reg(0x1c) & 3, 0);
	assert_int_equal(b.nvme.in_flight, 0);
	assert_false(b.fake.level[pci_pirq(1, 0)]);
	enable();
	fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(registers_and_queues) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
