/* SPDX-License-Identifier: Apache-2.0 */
/* PCI: both ways to configuration space, BARs that move, INTx, MSI-X, the Q35 host bridge and the LPC bridge. */
#include "devices_fixture.h"

#include "devices/pci/ich9_lpc.h"
#include "devices/pci/msix.h"
#include "devices/pci/pci.h"
#include "devices/pci/q35_host.h"

#define ECAM UINT64_C(0xb0000000)

struct board {
	struct fake fake; /* pins 0..7: PIRQs at the IO-APIC, 8..23: ISA */
	struct bus ports, mmio;
	struct pci_bus pci;
	struct q35_host host;
	struct ich9_lpc lpc;
	struct pci_function dev, dev2;
	struct msix msix;
	struct bus_region io, mem;
	unsigned hits, pam_changes, msis;
	uint16_t pmbase;
	uint64_t msi_addr;
	uint32_t msi_data;
	uint8_t cf9;
};

static struct board board;

static enum bus_result bar_access(void *dev, struct bus_access *access)
{
	(void)dev;
	board.hits++;
	access->value = 0x5a;
	return BUS_HANDLED;
}
static const struct bus_ops bar_ops = { .access = bar_access };

static void msi_sent(void *ctx, uint64_t addr, uint32_t data)
{
	(void)ctx;
	board.msis++;
	board.msi_addr = addr;
	board.msi_data = data;
}

static void dev_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	(void)offset;
	(void)size;
	if (fn == &board.dev && board.msix.cap)
		msix_config_written(&board.msix);
}
static const struct pci_function_ops dev_ops = { .config_written = dev_written };

static void pam_changed(void *ctx) { (void)ctx; board.pam_changes++; }
static void pmbase_changed(void *ctx, uint16_t base) { (void)ctx; board.pmbase = base; }
static uint8_t cf9_read(void *ctx) { (void)ctx; return board.cf9; }
static void cf9_write(void *ctx, uint8_t value) { (void)ctx; board.cf9 = value; }

static void add_devices(void)
{
	const struct pci_ids ids = {
		.vendor = 0x1af4, .device = 0x1042, .subsystem_vendor = 0x1af4, .subsystem = 2, .class_device = 0x0100
	};
	const struct msi_sink sink = { msi_sent, NULL };

	board.io = (struct bus_region){ .ops = &bar_ops };
	board.mem = (struct bus_region){ .ops = &bar_ops };
	pci_function_init(&board.dev, &ids, &dev_ops, NULL);
	assert_int_equal(pci_function_add_bar(&board.dev, 0, PCI_BAR_IO, 64, false, &board.io), LODGE_OK);
	assert_int_equal(pci_function_add_bar(&board.dev, 1, PCI_BAR_MEM64, 0x4000, true, &board.mem), LODGE_OK);
	assert_int_equal(pci_function_add_bar(&board.dev, 2, PCI_BAR_MEM32, 0x1000, false, NULL), LODGE_ERR_ARG);
	assert_int_equal(pci_function_add_bar(&board.dev, 3, PCI_BAR_MEM32, 0x1001, false, NULL), LODGE_ERR_ARG);
	assert_int_equal(pci_function_add_bar(&board.dev, 5, PCI_BAR_MEM64, 0x1000, false, NULL), LODGE_ERR_ARG);
	assert_int_equal(msix_init(&board.msix, &board.dev, 3, 1, 0x1000, 0x2000, &sink), LODGE_OK);
	pci_function_set_pin(&board.dev, 1);
	assert_int_equal(pci_bus_add(&board.pci, &board.dev, 3, 0), LODGE_OK);
	assert_int_equal(pci_bus_add(&board.pci, &board.dev, 4, 0), LODGE_ERR_ARG);
	pci_function_init(&board.dev2, &ids, &dev_ops, NULL);
	pci_function_set_pin(&board.dev2, 1);
	assert_int_equal(pci_bus_add(&board.pci, &board.dev2, 3, 0), LODGE_ERR_ARG);
	assert_int_equal(pci_bus_add(&board.pci, &board.dev2, 7, 0), LODGE_OK);
}

static int setup(void **state)
{
	struct pci_bus_config pc = {
		.port_bus = &board.ports, .mmio_bus = &board.mmio, .cf9_read = cf9_read, .cf9_write = cf9_write
	};
	struct ich9_lpc_config lc = { .pmbase = 0x600, .pmbase_changed = pmbase_changed, .mmio_bus = &board.mmio };

	(void)state;
	memset(&board, 0, sizeof(board));
	fake_init(&board.fake);
	bus_init(&board.ports);
	bus_init(&board.mmio);
	for (unsigned i = 0; i < PCI_PIRQS; i++) {
		pc.pirq[i] = (struct irq_line){ ich9_lpc_set_pirq, &board.lpc, i };
		lc.ioapic[i] = fake_line(&board.fake, i);
	}
	for (unsigned i = 0; i < 16; i++)
		lc.isa[i] = fake_line(&board.fake, 8 + i);
	pci_bus_init(&board.pci, &pc);
	assert_int_equal(bus_add(&board.ports, &board.pci.ports), LODGE_OK);
	assert_int_equal(q35_host_init(&board.host, &board.pci, &(struct q35_host_config){ .pciexbar = ECAM, .ram_low_mib = 2048,
										       .pam_changed = pam_changed }), LODGE_OK);
	assert_int_equal(ich9_lpc_init(&board.lpc, &board.pci, &lc), LODGE_OK);
	add_devices();
	pci_bus_reset(&board.pci);
	q35_host_reset(&board.host);
	ich9_lpc_reset(&board.lpc);
	return 0;
}

static uint32_t at(unsigned slot, unsigned reg) { return 0x80000000 | slot << 11 | (reg & ~3u); }
static uint32_t rd(unsigned slot, unsigned reg, unsigned size)
{
	bus_write(&board.ports, 0xcf8, 4, at(slot, reg));
	return (uint32_t)bus_read(&board.ports, 0xcfc + (reg & 3), size);
}
static void wr(unsigned slot, unsigned reg, unsigned size, uint32_t v)
{
	bus_write(&board.ports, 0xcf8, 4, at(slot, reg));
	bus_write(&board.ports, 0xcfc + (reg & 3), size, v);
}
static uint64_t ecam(unsigned slot, unsigned reg) { return ECAM + (slot << 15) + reg; }

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(rd(0, 0, 4), 0x29c08086);
	assert_int_equal(rd(0x1f, 0, 4), 0x29188086);
	assert_int_equal(rd(0x1f, 0xa, 2), 0x0601);
	assert_int_equal(rd(0x1f, 0xe, 1), 0x80);
	assert_int_equal(rd(3, 2, 2), 0x1042);
	assert_int_equal(rd(5, 0, 4), 0xffffffff);
	assert_int_equal(bus_read(&board.mmio, ecam(3, 0), 4), 0x10421af4);
	assert_int_equal(bus_read(&board.mmio, ecam(3, 0), 8) >> 48, 0x0010); /* it has capabilities */
	assert_int_equal(bus_read(&board.mmio, ecam(3, 0x100), 4), 0);
	assert_int_equal(bus_read(&board.mmio, ecam(3, 0xffe), 4), 0xffffffff);
	assert_int_equal(bus_read(&board.mmio, ecam(0x20, 0), 4), 0xffffffff); /* bus 1 */
	assert_int_equal(rd(3, 0x34, 1), 0x40);
	assert_int_equal(rd(3, 0x40, 4), 0x00020011);
	wr(3, 0, 4, 0);
	wr(3, 0x34, 4, 0);
	assert_int_equal(rd(3, 0, 4), 0x10421af4);
	/* Mechanism 1 wants 32 bits; the byte at cf9h is another register. */
	bus_write(&board.ports, 0xcf8, 4, 0xffffffff);
	assert_int_equal(bus_read(&board.ports, 0xcf8, 4), 0x80fffffc);
	bus_write(&board.ports, 0xcf9, 1, 0x0e);
	assert_int_equal(board.cf9, 0x0e);
	assert_int_equal(bus_read(&board.ports, 0xcf9, 1), 0x0e);
	assert_int_equal(bus_read(&board.ports, 0xcf8, 2), 0xffff);
	bus_write(&board.ports, 0xcf8, 4, 0);
	assert_int_equal(bus_read(&board.ports, 0xcfc, 4), 0xffffffff);
}

static void test_bars(void **state)
{
	(void)state;
	wr(3, 0x10, 4, 0xffffffff);
	assert_int_equal(rd(3, 0x10, 4), 0xffffffc1);
	wr(3, 0x14, 4, 0xffffffff);
	wr(3, 0x18, 4, 0xffffffff);
	assert_int_equal(rd(3, 0x14, 4), 0xffffc00c);
	assert_int_equal(rd(3, 0x18, 4), 0xffffffff);
	wr(3, 0x1c, 4, 0xffffffff);
	assert_int_equal(rd(3, 0x1c, 4), 0);
	wr(3, 0x10, 4, 0xc000);
	wr(3, 0x14, 4, 0xc0000000);
	wr(3, 0x18, 4, 1);
	assert_int_equal(bus_read(&board.ports, 0xc000, 1), 0xff);
	wr(3, 4, 2, 3);
	assert_int_equal(bus_read(&board.ports, 0xc03f, 1), 0x5a);
	assert_int_equal(bus_read(&board.mmio, UINT64_C(0x1c0003fff), 1), 0x5a);
	wr(3, 0x18, 4, 0); /* moves while it is decoded */
	assert_int_equal(bus_read(&board.mmio, UINT64_C(0x1c0000000), 1), 0xff);
	assert_int_equal(bus_read(&board.mmio, 0xc0000000, 1), 0x5a);
	wr(3, 0x14, 4, 0xb0000000); /* onto the configuration window: hidden */
	assert_int_equal(board.dev.bar[1].mapped, false);
	assert_int_equal(bus_read(&board.mmio, ecam(0, 0), 4), 0x29c08086);
	wr(3, 0x10, 4, 0x10000); /* no such port */
	assert_false(board.dev.bar[0].mapped);
	wr(3, 0x14, 4, 0xd0000000);
	assert_int_equal(bus_read(&board.mmio, 0xd0000000, 1), 0x5a);
	pci_function_reset(&board.dev);
	assert_int_equal(bus_read(&board.mmio, 0xd0000000, 1), 0xff);
	assert_int_equal(board.mmio.nregions, 1);
}

static void test_pciexbar(void **state)
{
	(void)state;
	/* Through the very window that moves. */
	bus_write(&board.mmio, ecam(0, 0x60), 4, 0xe0000001);
	assert_int_equal(bus_read(&board.mmio, ECAM, 4), 0xffffffff);
	assert_int_equal(bus_read(&board.mmio, 0xe0000000, 4), 0x29c08086);
	wr(0, 0x60, 4, 0xe0000005); /* 64 MiB: 64 buses */
	assert_int_equal(bus_read(&board.mmio, 0xe0000000, 4), 0x29c08086);
	assert_int_equal(board.pci.state.ecam_bytes, MIB(64));
	wr(0, 0x60, 4, 0xe0000007); /* reserved length */
	assert_int_equal(bus_read(&board.mmio, 0xe0000000, 4), 0xffffffff);
	wr(0, 0x60, 4, 0);
	wr(0, 0x64, 4, 8);
	wr(0, 0x60, 4, 1);
	assert_int_equal(bus_read(&board.mmio, UINT64_C(0x800000000), 4), 0x29c08086);
	pci_bus_reset(&board.pci);
	q35_host_reset(&board.host);
	assert_int_equal(bus_read(&board.mmio, ECAM, 4), 0x29c08086);
}

static void test_pam(void **state)
{
	struct q35_pam_segment pam[Q35_PAM_SEGMENTS];
	unsigned before = board.pam_changes;

	(void)state;
	wr(0, 0x90, 1, 0x30);
	wr(0, 0x91, 1, 0xff);
	wr(0, 0x96, 1, 0x20);
	assert_int_equal(board.pam_changes, before + 3);
	assert_int_equal(rd(0, 0x91, 1), 0x33);
	q35_host_pam(&board.host, pam);
	assert_true(pam[12].base == 0xf0000 && pam[12].bytes == 0x10000 && pam[12].read_ram && pam[12].write_ram);
	assert_true(pam[0].base == 0xc0000 && pam[0].read_ram && pam[0].write_ram);
	assert_true(pam[1].base == 0xc4000 && pam[1].read_ram);
	assert_true(pam[11].base == 0xec000 && !pam[11].read_ram && pam[11].write_ram);
	assert_true(pam[10].base == 0xe8000 && !pam[10].read_ram && !pam[10].write_ram);
	wr(0, 0xa0, 4, 0xffffffff);
	assert_int_equal(board.pam_changes, before + 3);
	assert_int_equal(rd(0, 0xb0, 2), 0x8000);
}

static void test_lpc(void **state)
{
	(void)state;
	assert_int_equal(board.pmbase, 0x600);
	assert_int_equal(rd(0x1f, 0x40, 4), 0x601);
	wr(0x1f, 0x40, 4, 0xb07f);
	assert_int_equal(board.pmbase, 0xb000);
	wr(0x1f, 0x44, 1, 0);
	assert_int_equal(board.pmbase, 0);
	wr(0x1f, 0xf0, 4, 0xfed1c001);
	assert_int_equal(bus_read(&board.mmio, 0xfed1f404, 4), 0);
	bus_write(&board.mmio, 0xfed1f404, 4, 1);
	wr(0x1f, 0xf0, 4, 0);
	assert_int_equal(bus_read(&board.mmio, 0xfed1f404, 4), 0xffffffff);
	wr(0x1f, 4, 2, 0);
	assert_int_equal(rd(0x1f, 4, 2), 7);
}

static void test_intx(void **state)
{
	unsigned pirq = pci_pirq(3, 0);

	(void)state;
	assert_int_equal(pirq, 7);
	assert_int_equal(pci_pirq(7, 0), 7); /* shares it */
	assert_int_equal(pci_pirq(0x1f, 0), 3);
	pci_function_set_intx(&board.dev, true);
	assert_true(board.fake.level[7]);
	assert_int_equal(rd(3, 6, 2) & 8, 8);
	pci_function_set_intx(&board.dev2, true);
	pci_function_set_intx(&board.dev, false);
	assert_true(board.fake.level[7]);
	wr(0x1f, 0x6b, 1, 0x0b); /* PIRQH to IRQ 11 */
	assert_true(board.fake.level[8 + 11]);
	wr(0x1f, 0x6b, 1, 0x0a);
	assert_true(board.fake.level[8 + 10] && !board.fake.level[8 + 11]);
	wr(0x1f, 0x6b, 1, 0x08); /* cannot go there */
	assert_false(board.fake.level[8 + 10] || board.fake.level[8 + 8]);
	wr(7, 4, 2, 0x400);
	assert_false(board.fake.level[7]);
	wr(7, 4, 2, 0);
	assert_true(board.fake.level[7]);
	pci_bus_reset(&board.pci);
	assert_false(board.fake.level[7]);
	assert_false(pci_function_is_master(&board.dev));
	wr(3, 4, 2, 4);
	assert_true(pci_function_is_master(&board.dev));
}

static void table_write(unsigned offset, unsigned size, uint64_t v)
{
	struct bus_access a = { .offset = offset, .size = (uint8_t)size, .is_write = true, .value = v };

	(void)msix_table_access(&board.msix, &a);
}

static uint64_t pba(void)
{
	struct bus_access a = { .size = 8 };

	assert_int_equal(msix_pba_access(&board.msix, &a), BUS_HANDLED);
	return a.value;
}

static void test_msix(void **state)
{
	struct msix_state s;
	struct bus_access beyond = { .offset = 48, .size = 4 }, odd = { .offset = 2, .size = 2 };

	(void)state;
	assert_false(msix_notify(&board.msix, 1)); /* off: the caller uses INTx */
	assert_int_equal(pba(), 0);
	wr(3, 0x42, 2, 0xffff);
	assert_int_equal(rd(3, 0x42, 2), 0xc002);
	assert_true(msix_notify(&board.msix, 1));
	assert_true(msix_notify(&board.msix, 99));
	assert_int_equal(pba(), 2);
	table_write(16, 8, UINT64_C(0xfee01003));
	table_write(24, 4, 0x4041);
	table_write(28, 4, 0);
	assert_int_equal(board.msis, 0); /* the function mask holds it */
	wr(3, 0x42, 2, 0x8000);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_addr, 0xfee01000);
	assert_int_equal(board.msi_data, 0x4041);
	assert_int_equal(pba(), 0);
	assert_true(msix_notify(&board.msix, 1));
	assert_int_equal(board.msis, 2);
	assert_true(msix_notify(&board.msix, 0)); /* masked since reset */
	assert_int_equal(pba(), 1);
	msix_get_state(&board.msix, &s);
	table_write(12, 4, 0xfffffffe);
	assert_int_equal(board.msis, 3);
	assert_int_equal(msix_set_state(&board.msix, &s), LODGE_OK);
	assert_int_equal(pba(), 1);
	s.pending = 8;
	assert_int_equal(msix_set_state(&board.msix, &s), LODGE_ERR_FORMAT);
	assert_int_equal(msix_table_access(&board.msix, &beyond), BUS_UNHANDLED);
	assert_int_equal(msix_table_access(&board.msix, &odd), BUS_UNHANDLED);
}

static void test_state(void **state)
{
	struct pci_function_state s, t;
	struct pci_bus_state b;

	(void)state;
	wr(3, 0x14, 4, 0xd0000000);
	wr(3, 4, 2, 3);
	pci_function_get_state(&board.dev, &s);
	pci_bus_get_state(&board.pci, &b);
	pci_bus_reset(&board.pci);
	assert_int_equal(pci_bus_set_state(&board.pci, &b), LODGE_OK);
	assert_int_equal(pci_function_set_state(&board.dev, &s), LODGE_OK);
	assert_int_equal(bus_read(&board.mmio, 0xd0000000, 1), 0x5a);
	assert_int_equal(bus_read(&board.mmio, ECAM, 4), 0x29c08086);
	t = s;
	t.config[0] = 0;
	assert_int_equal(pci_function_set_state(&board.dev, &t), LODGE_ERR_FORMAT);
	t = s;
	t.config[0x14] = 0;
	assert_int_equal(pci_function_set_state(&board.dev, &t), LODGE_ERR_FORMAT);
	b.ecam_bytes = UINT64_MAX;
	assert_int_equal(pci_bus_set_state(&board.pci, &b), LODGE_ERR_FORMAT);
	pci_bus_fini(&board.pci);
	assert_int_equal(board.mmio.nregions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identity, setup), cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_pciexbar, setup), cmocka_unit_test_setup(test_pam, setup),
		cmocka_unit_test_setup(test_lpc, setup),      cmocka_unit_test_setup(test_intx, setup),
		cmocka_unit_test_setup(test_msix, setup),     cmocka_unit_test_setup(test_state, setup),
	};
	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
