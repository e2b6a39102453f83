/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts from several threads at once: what one side sends, the other
 * takes, and nothing is lost. Meant for TSan as well.
 */
#include "devices_fixture.h"

#include <pthread.h>

#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"

#define SENDERS 2
#define ROUNDS 2000u
#define LEVEL_VECTOR 0x90u
#define EDGE_VECTOR 0x50u /* + sender */

struct board {
	struct fake fake;
	struct lapic lapic;
	struct lapic_bus bus;
	struct ioapic ioapic;
	_Atomic uint32_t requested;
	_Atomic uint32_t taken[SENDERS];
	_Atomic uint32_t level_taken;
	_Atomic bool stop;
};

static struct board board;

static void request(void *ctx, unsigned vcpu, enum lapic_request what, uint32_t arg)
{
	(void)vcpu;
	(void)what;
	(void)arg;
	atomic_store(&((struct board *)ctx)->requested, 1);
}

static void eoi(void *ctx, uint8_t vector)
{
	ioapic_eoi(&((struct board *)ctx)->ioapic, vector);
}

/* The vcpu: looks only when it was asked to. */
static void *vcpu_thread(void *ctx)
{
	struct board *b = ctx;
	int vector;

	while (!atomic_load(&b->stop)) {
		if (!atomic_exchange(&b->requested, 0)) {
			host_yield();
			continue;
		}
		while (lapic_pending(&b->lapic) && (vector = lapic_ack(&b->lapic)) >= 0) {
			if (vector == LEVEL_VECTOR) {
				ioapic_set_pin(&b->ioapic, 10, false); /* before the other side may assert again */
				atomic_fetch_add(&b->level_taken, 1);
			} else {
				atomic_fetch_add(&b->taken[(unsigned)vector - EDGE_VECTOR], 1);
			}
			lapic_eoi(&b->lapic);
		}
	}
	return NULL;
}

/* Each sends one interrupt and waits until it has been taken: a lost one would hang here. */
static void *edge_thread(void *ctx)
{
	unsigned self = (unsigned)(uintptr_t)ctx;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct apic_message m = { .delivery = APIC_FIXED, .vector = (uint8_t)(EDGE_VECTOR + self) };

		assert_true(lapic_bus_deliver(&board.bus, &m));
		while (atomic_load(&board.taken[self]) != i + 1)
			host_yield();
	}
	return NULL;
}

static void *level_thread(void *ctx)
{
	(void)ctx;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t before = atomic_load(&board.level_taken);

		ioapic_set_pin(&board.ioapic, 10, true);
		while (atomic_load(&board.level_taken) == before)
			host_yield();
	}
	return NULL;
}

static void test_nothing_is_lost(void **state)
{
	pthread_t vcpu, sender[SENDERS], level;
	struct bus mmio;

	(void)state;
	fake_init(&board.fake);
	lapic_bus_init(&board.bus);
	lapic_init(&board.lapic, &(struct lapic_config){ .timers = &board.fake.service, .request = request, .eoi = eoi, .ctx = &board });
	assert_int_equal(lapic_bus_add(&board.bus, &board.lapic), LODGE_OK);
	lapic_mmio_write(&board.lapic, 0xf0, 4, 0x1ff);
	ioapic_init(&board.ioapic, &(struct ioapic_config){ .base = 0xfec00000, .sink = { lapic_bus_deliver, &board.bus } });
	bus_init(&mmio);
	assert_int_equal(bus_add(&mmio, &board.ioapic.mmio), LODGE_OK);
	bus_write(&mmio, 0xfec00000, 4, 0x10 + 20);
	bus_write(&mmio, 0xfec00010, 4, 0x8000 | LEVEL_VECTOR);

	assert_int_equal(pthread_create(&vcpu, NULL, vcpu_thread, &board), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&sender[i], NULL, edge_thread, (void *)(uintptr_t)i), 0);
	assert_int_equal(pthread_create(&level, NULL, level_thread, NULL), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(sender[i], NULL);
	pthread_join(level, NULL);
	atomic_store(&board.stop, true);
	pthread_join(vcpu, NULL);
	assert_int_equal(atomic_load(&board.taken[0]), ROUNDS);
	assert_true(atomic_load(&board.level_taken) >= ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_lost) };

	return cmocka_run_group_tests_name("irq_threads", tests, NULL, NULL);
}
