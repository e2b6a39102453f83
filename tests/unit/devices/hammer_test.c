/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest: every device of the board on two buses, and accesses of
 * any size, order and value. Nothing may crash, trip a sanitizer, or keep the
 * I/O thread busy; and each device's state must be one that it takes back.
 */
#include "devices_fixture.h"

#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/irq_hub.h"
#include "devices/irq/lapic.h"
#include "devices/pci/ich9_lpc.h"
#include "devices/pci/q35_host.h"
#include "devices/platform/i8042.h"
#include "devices/platform/mc146818_rtc.h"
#include "devices/platform/system_ports.h"
#include "devices/serial/uart_16550.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254_pit.h"

#define ROUNDS 400000u
#define HPET_BASE UINT64_C(0xfed00000)
#define IOAPIC_BASE UINT64_C(0xfec00000)

struct board {
	struct fake fake;
	struct bus ports, mmio;
	struct irq_hub hub;
	struct lapic lapic;
	struct lapic_bus lapics;
	struct ioapic ioapic;
	struct i8259 pic;
	struct i8254 pit;
	struct hpet hpet;
	struct acpi_pm pm;
	struct mc146818 rtc;
	struct i8042 kbc;
	struct system_ports sys;
	struct uart_16550 uart;
	struct pci_bus pci;
	struct q35_host host;
	struct ich9_lpc lpc;
	uint64_t seed;
};

static struct board board;

static uint64_t wallclock(void *ctx) { return UINT64_C(1700000000000000000) + ((struct board *)ctx)->fake.now_ns; }
static void lint0(void *ctx, unsigned pin, bool level) { (void)pin; lapic_set_lint0(ctx, level); }
static void eoi(void *ctx, uint8_t vector) { ioapic_eoi(&((struct board *)ctx)->ioapic, vector); }
static uint8_t extint_ack(void *ctx) { return i8259_ack(&((struct board *)ctx)->pic); }
static void pmbase_changed(void *ctx, uint16_t base) { acpi_pm_set_base(&((struct board *)ctx)->pm, base); }
static void set_gate2(void *ctx, bool level) { i8254_set_gate2(ctx, level); }
static bool out2(void *ctx) { return i8254_out2(ctx); }

/* A stream that is full half of the time. */
static size_t stream_write(void *ctx, const uint8_t *buf, size_t len)
{
	(void)buf;
	return fake_random(&((struct board *)ctx)->seed) & 1 ? len : 0;
}

static void create_irqs(struct board *b)
{
	lapic_bus_init(&b->lapics);
	lapic_init(&b->lapic, &(struct lapic_config){ .bsp = true,
						      .x2apic = true,
						      .tsc_deadline = true,
						      .timers = &b->fake.service,
						      .eoi = eoi,
						      .extint_ack = extint_ack,
						      .ctx = b });
	assert_int_equal(lapic_bus_add(&b->lapics, &b->lapic), LODGE_OK);
	lapic_set_virtual_wire(&b->lapic);
	i8259_init(&b->pic, &(struct i8259_config){ .output = { lint0, &b->lapic, 0 } });
	ioapic_init(&b->ioapic, &(struct ioapic_config){ .base = IOAPIC_BASE, .sink = { lapic_bus_deliver, &b->lapics } });
	irq_hub_init(&b->hub, &(struct irq_hub_config){ i8259_set_pin, &b->pic, ioapic_set_pin, &b->ioapic });
	assert_int_equal(bus_add_all(&b->ports, b->pic.ports, 3), LODGE_OK);
	assert_int_equal(bus_add(&b->mmio, &b->ioapic.mmio), LODGE_OK);
}

static void create_timers(struct board *b)
{
	struct hpet_config hc = { .base = HPET_BASE, .timers = &b->fake.service };

	for (unsigned i = 0; i < HPET_GSIS; i++)
		hc.gsi[i] = irq_hub_line(&b->hub, i);
	hc.legacy[0] = irq_hub_line(&b->hub, 0);
	hc.legacy[1] = irq_hub_line(&b->hub, 8);
	hpet_init(&b->hpet, &hc);
	i8254_init(&b->pit, &(struct i8254_config){ irq_hub_line(&b->hub, 0), &b->fake.service });
	acpi_pm_init(&b->pm, &(struct acpi_pm_config){ .sci = irq_hub_line(&b->hub, 9), .timers = &b->fake.service,
						       .events = fake_events(&b->fake), .port_bus = &b->ports });
	mc146818_init(&b->rtc, &(struct mc146818_config){ .irq = irq_hub_line(&b->hub, 8),
							  .timers = &b->fake.service,
							  .wallclock_ns = wallclock,
							  .wallclock_ctx = b,
							  .vcpus = 1 });
	assert_int_equal(bus_add(&b->mmio, &b->hpet.mmio), LODGE_OK);
	assert_int_equal(bus_add(&b->ports, &b->pit.ports), LODGE_OK);
	assert_int_equal(bus_add(&b->ports, &b->pm.apm), LODGE_OK);
	assert_int_equal(bus_add(&b->ports, &b->rtc.ports), LODGE_OK);
}

static void create_pci(struct board *b)
{
	struct pci_bus_config pc = { .port_bus = &b->ports, .mmio_bus = &b->mmio, .cf9_read = system_ports_cf9_read,
				     .cf9_write = system_ports_cf9_write, .cf9_ctx = &b->sys };
	struct ich9_lpc_config lc = { .pmbase = 0x600, .pmbase_changed = pmbase_changed, .ctx = b, .mmio_bus = &b->mmio };

	for (unsigned i = 0; i < PCI_PIRQS; i++) {
		pc.pirq[i] = (struct irq_line){ ich9_lpc_set_pirq, &b->lpc, i };
		lc.ioapic[i] = irq_hub_line(&b->hub, 16 + i);
	}
	for (unsigned i = 0; i < 16; i++)
		lc.isa[i] = irq_hub_pic_line(&b->hub, i);
	pci_bus_init(&b->pci, &pc);
	assert_int_equal(bus_add(&b->ports, &b->pci.ports), LODGE_OK);
	assert_int_equal(
		q35_host_init(&b->host, &b->pci, &(struct q35_host_config){ .pciexbar = 0xb0000000, .ram_low_mib = 2048 }),
		LODGE_OK);
	assert_int_equal(ich9_lpc_init(&b->lpc, &b->pci, &lc), LODGE_OK);
	pci_bus_reset(&b->pci);
	q35_host_reset(&b->host);
	ich9_lpc_reset(&b->lpc);
}

static int setup(void **state)
{
	struct board *b = &board;

	(void)state;
	memset(b, 0, sizeof(*b));
	b->seed = 4711;
	fake_init(&b->fake);
	bus_init(&b->ports);
	bus_init(&b->mmio);
	create_irqs(b);
	create_timers(b);
	i8042_init(&b->kbc, &(struct i8042_config){ .keyboard_irq = irq_hub_line(&b->hub, 1),
						    .mouse_irq = irq_hub_line(&b->hub, 12),
						    .events = fake_events(&b->fake) });
	system_ports_init(&b->sys, &(struct system_ports_config){ .set_gate2 = set_gate2, .out2 = out2, .pit = &b->pit,
								  .events = fake_events(&b->fake), .timers = &b->fake.service });
	uart_16550_init(&b->uart, &(struct uart_16550_config){ .base = 0x3f8,
							       .irq = irq_hub_line(&b->hub, 4),
							       .out = { stream_write, NULL, b },
							       .timers = &b->fake.service });
	assert_int_equal(bus_add_all(&b->ports, b->kbc.ports, 2), LODGE_OK);
	assert_int_equal(bus_add_all(&b->ports, b->sys.ports, 5), LODGE_OK);
	assert_int_equal(bus_add(&b->ports, &b->uart.ports), LODGE_OK);
	create_pci(b);
	return 0;
}

/* Somewhere near a device, so that most accesses hit. */
static uint64_t pick_port(uint64_t r)
{
	static const uint16_t near[] = { 0x20, 0x40,  0x60,  0x70,  0x80,  0x92,  0xa0, 0xb2,
					 0xed, 0x3f8, 0x4d0, 0x600, 0x620, 0xcf8, 0xcfc };

	return (uint16_t)(near[r % ARRAY_LEN(near)] + (r >> 16) % 12 - 2);
}

static uint64_t pick_mmio(uint64_t r)
{
	switch (r & 3) {
	case 0: return IOAPIC_BASE + (r >> 16 & 0x4f);
	case 1: return HPET_BASE + (r >> 16 & 0x3ff);
	case 2: return 0xb0000000 + (r >> 16 & 0xf8ff);
	default: return 0xb0000000 + (r >> 16 & 0xfffffff);
	}
}

static void hit(struct board *b)
{
	uint64_t r = fake_random(&b->seed), where = fake_random(&b->seed), value = fake_random(&b->seed);
	unsigned size = 1u << (r >> 8 & 3);
	bool write = r >> 10 & 1;

	if (r & 0x800)
		value &= 0xff;
	if (r & 1) {
		size = size == 8 ? 4 : size;
		if (write)
			bus_write(&b->ports, pick_port(where), size, value);
		else
			(void)bus_read(&b->ports, pick_port(where), size);
	} else if (write) {
		bus_write(&b->mmio, pick_mmio(where), size, value);
	} else {
		(void)bus_read(&b->mmio, pick_mmio(where), size);
	}
	switch (r >> 32 & 31) {
	case 0: (void)lapic_ack(&b->lapic); break;
	case 1: lapic_eoi(&b->lapic); break;
	case 2: b->uart.client.input(&b->uart, (const uint8_t *)"flood", 5); break;
	case 3: b->uart.client.drained(&b->uart); break;
	case 4: lapic_mmio_write(&b->lapic, where & 0xff0, 4, value); break;
	default: break;
	}
}

#define CHECK_STATE(name, dev)                                           \
	do {                                                             \
		struct name##_state s;                                   \
		name##_get_state(dev, &s);                               \
		assert_int_equal(name##_set_state(dev, &s), LODGE_OK);   \
	} while (0)

static void check_states(struct board *b)
{
	CHECK_STATE(lapic, &b->lapic);
	CHECK_STATE(ioapic, &b->ioapic);
	CHECK_STATE(i8259, &b->pic);
	CHECK_STATE(i8254, &b->pit);
	CHECK_STATE(hpet, &b->hpet);
	CHECK_STATE(acpi_pm, &b->pm);
	CHECK_STATE(mc146818, &b->rtc);
	CHECK_STATE(i8042, &b->kbc);
	CHECK_STATE(system_ports, &b->sys);
	CHECK_STATE(uart_16550, &b->uart);
	CHECK_STATE(pci_bus, &b->pci);
	CHECK_STATE(pci_function, &b->host.fn);
	CHECK_STATE(pci_function, &b->lpc.fn);
}

static void test_hammer(void **state)
{
	struct board *b = &board;
	uint64_t begin = b->fake.now_ns;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		hit(b);
		if (i % 16 == 0)
			fake_advance(&b->fake, fake_random(&b->seed) % 50000);
		if (i % 1000 == 0)
			check_states(b);
	}
	/* Ten timers or so at 20 us each is the most that they may ask for; and what a guest arms anew itself. */
	assert_true(b->fake.fired < (b->fake.now_ns - begin) / 20000 * 10 + ROUNDS);
	b->fake.fired = 0;
	fake_advance(&b->fake, 1000000000); /* nobody writes: only periodic timers go on */
	assert_true(b->fake.fired <= 50000 * 6);
}

/* Random records instead of random accesses: taken or refused, never believed blindly. */
#define HAMMER_STATE(name, dev)                                                              \
	do {                                                                                 \
		struct name##_state s;                                                       \
		name##_get_state(dev, &s);                                                   \
		for (unsigned n = (unsigned)(fake_random(&b->seed) % 4) + 1; n; n--)         \
			((uint8_t *)&s)[fake_random(&b->seed) % sizeof(s)] = (uint8_t)(fake_random(&b->seed) >> 20); \
		taken += name##_set_state(dev, &s) == LODGE_OK;                              \
	} while (0)

static void test_hostile_states(void **state)
{
	struct board *b = &board;
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		HAMMER_STATE(lapic, &b->lapic);
		HAMMER_STATE(ioapic, &b->ioapic);
		HAMMER_STATE(i8259, &b->pic);
		HAMMER_STATE(i8254, &b->pit);
		HAMMER_STATE(hpet, &b->hpet);
		HAMMER_STATE(acpi_pm, &b->pm);
		HAMMER_STATE(mc146818, &b->rtc);
		HAMMER_STATE(i8042, &b->kbc);
		HAMMER_STATE(system_ports, &b->sys);
		HAMMER_STATE(uart_16550, &b->uart);
		HAMMER_STATE(pci_bus, &b->pci);
		HAMMER_STATE(pci_function, &b->host.fn);
		for (unsigned n = 0; n < 20; n++)
			hit(b);
		fake_advance(&b->fake, 100000);
	}
	assert_true(taken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hammer, setup),
		cmocka_unit_test_setup(test_hostile_states, setup),
	};
	return cmocka_run_group_tests_name("hammer", tests, NULL, NULL);
}
