/* SPDX-License-Identifier: Apache-2.0 */
/* IO-APIC, 8259 pair, MSI decoding and the wires between devices and controllers. */
#include "devices_fixture.h"

#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/irq_hub.h"
#include "devices/irq/msi.h"

struct sink {
	unsigned n;
	struct apic_message last;
	bool refuse;
};

static bool sink_deliver(void *ctx, const struct apic_message *m)
{
	struct sink *s = ctx;

	s->n++;
	s->last = *m;
	return !s->refuse;
}

struct io_fixture {
	struct sink sink;
	struct ioapic io;
	struct bus bus;
};

static void io_init(struct io_fixture *f)
{
	*f = (struct io_fixture){ .sink = { .n = 0 } };
	bus_init(&f->bus);
	ioapic_init(&f->io, &(struct ioapic_config){ .base = 0xfec00000, .sink = { sink_deliver, &f->sink } });
	assert_int_equal(bus_add(&f->bus, &f->io.mmio), LODGE_OK);
}

static void io_write(struct io_fixture *f, unsigned reg, uint32_t v)
{
	bus_write(&f->bus, 0xfec00000, 4, reg);
	bus_write(&f->bus, 0xfec00010, 4, v);
}

static uint32_t io_read(struct io_fixture *f, unsigned reg)
{
	bus_write(&f->bus, 0xfec00000, 4, reg);
	return (uint32_t)bus_read(&f->bus, 0xfec00010, 4);
}

static void test_ioapic_registers(void **state)
{
	struct io_fixture f;

	(void)state;
	io_init(&f);
	assert_int_equal(io_read(&f, 1), 0x00170020);
	io_write(&f, 0, 0xff123456);
	assert_int_equal(io_read(&f, 0), 0x0f000000);
	assert_int_equal(io_read(&f, 0x10), 0x10000);
	io_write(&f, 0x3f, 0xffffffff);
	assert_int_equal(io_read(&f, 0x3f), 0xff000000);
	io_write(&f, 0x3e, 0xffffffff);
	assert_int_equal(io_read(&f, 0x3e), 0x1afff);
	assert_int_equal(io_read(&f, 0x40), 0);
	assert_int_equal(bus_read(&f.bus, 0xfec00020, 4), 0xffffffff);
}

static void test_ioapic_edge(void **state)
{
	struct io_fixture f;

	(void)state;
	io_init(&f);
	ioapic_set_pin(&f.io, 4, true); /* masked: lost */
	ioapic_set_pin(&f.io, 4, false);
	io_write(&f, 0x19, 0x03000000);
	io_write(&f, 0x18, 0x0934); /* lowest priority, logical */
	assert_int_equal(f.sink.n, 0);
	ioapic_set_pin(&f.io, 4, true);
	ioapic_set_pin(&f.io, 4, true);
	assert_int_equal(f.sink.n, 1);
	assert_int_equal(f.sink.last.vector, 0x34);
	assert_int_equal(f.sink.last.dest, 3);
	assert_int_equal(f.sink.last.delivery, APIC_LOWEST);
	assert_true(f.sink.last.logical && !f.sink.last.level);
	ioapic_set_pin(&f.io, 4, false);
	ioapic_set_pin(&f.io, 4, true);
	assert_int_equal(f.sink.n, 2);
	ioapic_set_pin(&f.io, 24, true);
}

static void test_ioapic_level(void **state)
{
	struct io_fixture f;

	(void)state;
	io_init(&f);
	io_write(&f, 0x10 + 18, 0x8041);
	ioapic_set_pin(&f.io, 9, true);
	assert_int_equal(f.sink.n, 1);
	assert_int_equal(io_read(&f, 0x10 + 18), 0xc041); /* remote IRR */
	ioapic_set_pin(&f.io, 9, false);
	ioapic_set_pin(&f.io, 9, true);
	assert_int_equal(f.sink.n, 1); /* in service */
	ioapic_eoi(&f.io, 0x40);
	assert_int_equal(f.sink.n, 1);
	ioapic_eoi(&f.io, 0x41); /* still asserted: again */
	assert_int_equal(f.sink.n, 2);
	ioapic_set_pin(&f.io, 9, false);
	bus_write(&f.bus, 0xfec00040, 4, 0x41);
	assert_int_equal(io_read(&f, 0x10 + 18), 0x8041);
	/* Masked while asserted, then unmasked: a level waits. */
	io_write(&f, 0x10 + 18, 0x18041);
	ioapic_set_pin(&f.io, 9, true);
	assert_int_equal(f.sink.n, 2);
	io_write(&f, 0x10 + 18, 0x8041);
	assert_int_equal(f.sink.n, 3);
	/* Edge and back clears remote IRR, which is how drivers end it without EOI register. */
	io_write(&f, 0x10 + 18, 0x10041);
	io_write(&f, 0x10 + 18, 0x8041);
	assert_int_equal(f.sink.n, 4);
	/* Nobody takes it: not in service. */
	io_write(&f, 0x10 + 18, 0x10041);
	f.sink.refuse = true;
	io_write(&f, 0x10 + 18, 0x8041);
	assert_int_equal(io_read(&f, 0x10 + 18), 0x8041);
}

static void test_ioapic_state(void **state)
{
	struct io_fixture f;
	struct ioapic_state s, t;

	(void)state;
	io_init(&f);
	io_write(&f, 0x10 + 18, 0x8041);
	ioapic_set_pin(&f.io, 9, true);
	ioapic_get_state(&f.io, &s);
	ioapic_reset(&f.io);
	assert_int_equal(ioapic_set_state(&f.io, &s), LODGE_OK);
	ioapic_get_state(&f.io, &t);
	assert_memory_equal(&s, &t, sizeof(s));
	t.redir[3] = 0x1000;
	assert_int_equal(ioapic_set_state(&f.io, &t), LODGE_ERR_FORMAT);
	s.level = 1u << 24;
	assert_int_equal(ioapic_set_state(&f.io, &s), LODGE_ERR_FORMAT);
}

struct pic_fixture {
	struct fake fake;
	struct i8259 pic;
	struct bus bus;
};

static void out(struct pic_fixture *f, uint16_t port, uint8_t v) { bus_write(&f->bus, port, 1, v); }
static uint8_t in(struct pic_fixture *f, uint16_t port) { return (uint8_t)bus_read(&f->bus, port, 1); }

static void pic_init(struct pic_fixture *f)
{
	memset(f, 0, sizeof(*f));
	fake_init(&f->fake);
	bus_init(&f->bus);
	i8259_init(&f->pic, &(struct i8259_config){ .output = fake_line(&f->fake, 0) });
	assert_int_equal(bus_add_all(&f->bus, f->pic.ports, 3), LODGE_OK);
	out(f, 0x20, 0x11);
	out(f, 0x21, 0x30);
	out(f, 0x21, 0x04);
	out(f, 0x21, 0x01);
	out(f, 0xa0, 0x11);
	out(f, 0xa1, 0x38);
	out(f, 0xa1, 0x02);
	out(f, 0xa1, 0x01);
}

static void pulse(struct pic_fixture *f, unsigned pin)
{
	i8259_set_pin(&f->pic, pin, true);
	i8259_set_pin(&f->pic, pin, false);
}

static void test_pic_priorities(void **state)
{
	struct pic_fixture f;

	(void)state;
	pic_init(&f);
	pulse(&f, 4);
	assert_true(f.fake.level[0]);
	pulse(&f, 1);
	assert_int_equal(i8259_ack(&f.pic), 0x31);
	assert_false(f.fake.level[0]); /* 4 waits behind 1 */
	out(&f, 0x20, 0x0b);
	assert_int_equal(in(&f, 0x20), 0x02);
	out(&f, 0x20, 0x0a);
	assert_int_equal(in(&f, 0x20), 0x10);
	out(&f, 0x20, 0x20);
	assert_true(f.fake.level[0]);
	assert_int_equal(i8259_ack(&f.pic), 0x34);
	pulse(&f, 0);
	assert_int_equal(i8259_ack(&f.pic), 0x30); /* nests */
	out(&f, 0x20, 0x64);                       /* specific EOI of 4 */
	out(&f, 0x20, 0x0b);
	assert_int_equal(in(&f, 0x20), 0x01);
	out(&f, 0x20, 0x20);
	assert_int_equal(i8259_ack(&f.pic), 0x37); /* spurious, nothing in service */
	assert_int_equal(in(&f, 0x20), 0);
	out(&f, 0x21, 0xff);
	pulse(&f, 3);
	assert_false(f.fake.level[0]);
	assert_int_equal(in(&f, 0x21), 0xff);
	out(&f, 0x21, 0);
	assert_true(f.fake.level[0]);
}

static void test_pic_cascade(void **state)
{
	struct pic_fixture f;

	(void)state;
	pic_init(&f);
	pulse(&f, 12);
	pulse(&f, 8);
	assert_int_equal(i8259_ack(&f.pic), 0x38);
	assert_false(f.fake.level[0]);
	out(&f, 0xa0, 0x20);
	assert_false(f.fake.level[0]); /* the master's EOI is missing */
	out(&f, 0x20, 0x20);
	assert_true(f.fake.level[0]);
	assert_int_equal(i8259_ack(&f.pic), 0x3c);
	out(&f, 0xa0, 0x0b);
	assert_int_equal(in(&f, 0xa0), 0x10);
	out(&f, 0xa0, 0x20);
	out(&f, 0x20, 0x20);
	/* Gone before the acknowledge: the slave's spurious vector, and the master has 2 in service. */
	out(&f, 0x4d1, 0xff);
	assert_int_equal(in(&f, 0x4d1), 0xde);
	i8259_set_pin(&f.pic, 11, true);
	assert_true(f.fake.level[0]);
	i8259_set_pin(&f.pic, 11, false);
	assert_false(f.fake.level[0]);
}

static void test_pic_level(void **state)
{
	struct pic_fixture f;

	(void)state;
	pic_init(&f);
	bus_write(&f.bus, 0x4d0, 2, 0xffff);
	assert_int_equal(bus_read(&f.bus, 0x4d0, 2), 0xdef8);
	i8259_set_pin(&f.pic, 9, true);
	assert_int_equal(i8259_ack(&f.pic), 0x39);
	out(&f, 0xa0, 0x20);
	out(&f, 0x20, 0x20);
	assert_int_equal(i8259_ack(&f.pic), 0x39); /* still asserted */
	i8259_set_pin(&f.pic, 9, false);
	out(&f, 0xa0, 0x20);
	out(&f, 0x20, 0x20);
	assert_false(f.fake.level[0]);
}

static void test_pic_modes(void **state)
{
	struct pic_fixture f;

	(void)state;
	pic_init(&f);
	/* Rotation: after a rotating EOI of 0, 1 is the most urgent. */
	pulse(&f, 0);
	assert_int_equal(i8259_ack(&f.pic), 0x30);
	out(&f, 0x20, 0xa0);
	pulse(&f, 0);
	pulse(&f, 5);
	assert_int_equal(i8259_ack(&f.pic), 0x35);
	out(&f, 0x20, 0x20);
	assert_int_equal(i8259_ack(&f.pic), 0x30);
	out(&f, 0x20, 0x20);
	out(&f, 0x20, 0xc7); /* back to fixed order */
	/* Special mask: a masked line in service does not hold back the others. */
	pulse(&f, 1);
	assert_int_equal(i8259_ack(&f.pic), 0x31);
	out(&f, 0x21, 0x02);
	pulse(&f, 6);
	assert_false(f.fake.level[0]);
	out(&f, 0x20, 0x68);
	assert_true(f.fake.level[0]);
	assert_int_equal(i8259_ack(&f.pic), 0x36);
	/* Poll. */
	pic_init(&f);
	out(&f, 0x20, 0x0c);
	assert_int_equal(in(&f, 0x20), 0);
	pulse(&f, 3);
	out(&f, 0x20, 0x0c);
	assert_int_equal(in(&f, 0x20), 0x83);
	assert_false(f.fake.level[0]);
	/* Automatic EOI. */
	out(&f, 0x20, 0x11);
	out(&f, 0x21, 0x50);
	out(&f, 0x21, 0x04);
	out(&f, 0x21, 0x03);
	pulse(&f, 7);
	assert_int_equal(i8259_ack(&f.pic), 0x57);
	pulse(&f, 7);
	assert_int_equal(i8259_ack(&f.pic), 0x57);
}

static void test_pic_state(void **state)
{
	struct pic_fixture f;
	struct i8259_state s, t;

	(void)state;
	pic_init(&f);
	pulse(&f, 10);
	i8259_get_state(&f.pic, &s);
	i8259_reset(&f.pic);
	assert_false(f.fake.level[0]);
	assert_int_equal(i8259_set_state(&f.pic, &s), LODGE_OK);
	assert_true(f.fake.level[0]);
	i8259_get_state(&f.pic, &t);
	assert_memory_equal(&s, &t, sizeof(s));
	t.chip[0].lowest = 8;
	assert_int_equal(i8259_set_state(&f.pic, &t), LODGE_ERR_FORMAT);
	s.chip[1].elcr = 1;
	assert_int_equal(i8259_set_state(&f.pic, &s), LODGE_ERR_FORMAT);
}

static void test_msi(void **state)
{
	struct sink sink = { .n = 0 };
	struct msi msi;
	struct msi_sink handle;

	(void)state;
	msi_init(&msi, &(struct apic_sink){ sink_deliver, &sink });
	handle = msi_sink(&msi);
	msi_send(&handle, 0xfee0300c, 0x0000c145);
	assert_int_equal(sink.n, 1);
	assert_int_equal(sink.last.dest, 3);
	assert_int_equal(sink.last.vector, 0x45);
	assert_int_equal(sink.last.delivery, APIC_LOWEST);
	assert_true(sink.last.logical && sink.last.level && !sink.last.wide);
	msi_send(&handle, 0xfef00000, 0x45);
	msi_send(&handle, UINT64_C(0x1fee00000), 0x45);
	assert_int_equal(sink.n, 1);
}

static void test_hub(void **state)
{
	struct fake pic, ioapic;
	struct irq_hub hub;
	struct irq_line a, b, c, pit, only;

	(void)state;
	fake_init(&pic);
	fake_init(&ioapic);
	irq_hub_init(&hub, &(struct irq_hub_config){ fake_set_pin, &pic, fake_set_pin, &ioapic });
	a = irq_hub_line(&hub, 9);
	b = irq_hub_line(&hub, 9);
	c = irq_hub_line(&hub, 20);
	pit = irq_hub_line(&hub, 0);
	only = irq_hub_pic_line(&hub, 9);
	irq_line_set(&a, true);
	irq_line_set(&b, true);
	irq_line_set(&a, false);
	assert_true(pic.level[9] && ioapic.level[9]);
	irq_line_set(&b, false);
	assert_false(pic.level[9] || ioapic.level[9]);
	assert_int_equal(pic.rises[9], 1);
	irq_line_set(&only, true);
	assert_true(pic.level[9] && !ioapic.level[9]);
	irq_line_set(&a, true);
	assert_true(ioapic.level[9]);
	irq_line_set(&only, false);
	assert_true(pic.level[9] && ioapic.level[9]);
	irq_line_set(&c, true);
	assert_true(ioapic.level[20] && !pic.level[20]);
	irq_line_set(&pit, true);
	assert_true(pic.level[0] && ioapic.level[2] && !ioapic.level[0]);
	assert_null(irq_hub_line(&hub, 24).set);
	assert_null(irq_hub_pic_line(&hub, 16).set);
	for (unsigned i = 1; i < IRQ_HUB_SOURCES; i++)
		assert_non_null(irq_hub_line(&hub, 20).set);
	assert_null(irq_hub_line(&hub, 20).set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ioapic_registers),
		cmocka_unit_test(test_ioapic_edge),
		cmocka_unit_test(test_ioapic_level),
		cmocka_unit_test(test_ioapic_state),
		cmocka_unit_test(test_pic_priorities),
		cmocka_unit_test(test_pic_cascade),
		cmocka_unit_test(test_pic_level),
		cmocka_unit_test(test_pic_modes),
		cmocka_unit_test(test_pic_state),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_hub),
	};
	return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
