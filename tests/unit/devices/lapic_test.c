/* SPDX-License-Identifier: Apache-2.0 */
/* Local APIC: acceptance, priorities, EOI, destinations, timers, MSRs, paravirtual EOI, saved state. */
#include "devices_fixture.h"

#include "devices/irq/lapic.h"

#define CPUS 4
#define REG(n) ((n) * 16u)
#define TPR REG(0x08)
#define EOI REG(0x0b)
#define LDR REG(0x0d)
#define DFR REG(0x0e)
#define SVR REG(0x0f)
#define ISR REG(0x10)
#define IRR REG(0x20)
#define ESR REG(0x28)
#define ICR REG(0x30)
#define ICR2 REG(0x31)
#define LVT_TIMER REG(0x32)
#define LVT_LINT0 REG(0x35)
#define LVT_LINT1 REG(0x36)
#define LVT_ERROR REG(0x37)
#define TMICT REG(0x38)
#define TMCCT REG(0x39)
#define TDCR REG(0x3e)

struct board {
	struct fake fake;
	struct lapic lapic[CPUS];
	struct lapic_bus bus;
	unsigned requests[CPUS][4];
	uint32_t sipi[CPUS];
	unsigned eois;
	uint8_t eoi_vector;
	uint64_t pv_eoi_msr;
	struct guest_memory mem;
	uint8_t ram[4096] __attribute__((aligned(4096)));
};

static void request(void *ctx, unsigned vcpu, enum lapic_request what, uint32_t arg)
{
	struct board *b = ctx;

	b->requests[vcpu][what]++;
	if (what == LAPIC_REQ_SIPI)
		b->sipi[vcpu] = arg;
}

static void eoi(void *ctx, uint8_t vector)
{
	struct board *b = ctx;

	b->eois++;
	b->eoi_vector = vector;
}

static uint8_t extint_ack(void *ctx)
{
	lapic_set_lint0(&((struct board *)ctx)->lapic[0], false);
	return 0x20;
}

/* A TSC of 2 GHz that began with the clock. */
static uint64_t tsc_to_ns(void *ctx, unsigned vcpu, uint64_t tsc)
{
	(void)ctx;
	(void)vcpu;
	return tsc / 2;
}

static void board_init(struct board *b)
{
	memset(b, 0, sizeof(*b));
	fake_init(&b->fake);
	lapic_bus_init(&b->bus);
	memory_init(&b->mem, -1, b->ram, sizeof(b->ram));
	assert_int_equal(
		memory_add_range(&b->mem, &(struct memory_range){ .bytes = 4096, .read_hva = b->ram, .write_hva = b->ram }),
		LODGE_OK);
	for (unsigned i = 0; i < CPUS; i++) {
		struct lapic_config c = { .id = i,
					  .bsp = i == 0,
					  .x2apic = true,
					  .tsc_deadline = true,
					  .timers = &b->fake.service,
					  .request = request,
					  .eoi = eoi,
					  .extint_ack = i ? NULL : extint_ack,
					  .tsc_to_ns = tsc_to_ns,
					  .ctx = b,
					  .pv_eoi_msr = &b->pv_eoi_msr,
					  .mem = &b->mem };

		lapic_init(&b->lapic[i], &c);
		assert_int_equal(lapic_bus_add(&b->bus, &b->lapic[i]), LODGE_OK);
		lapic_mmio_write(&b->lapic[i], SVR, 4, 0x1ff);
	}
}

static int setup(void **state)
{
	static struct board b;

	board_init(&b);
	*state = &b;
	return 0;
}

static bool send_to(struct board *b, uint32_t dest, bool logical, bool wide, uint8_t delivery, uint8_t vector)
{
	const struct apic_message m = { .dest = dest, .logical = logical, .wide = wide, .delivery = delivery, .vector = vector };

	return lapic_bus_deliver(&b->bus, &m);
}

static uint32_t rd(struct lapic *l, unsigned reg) { return (uint32_t)lapic_mmio_read(l, reg, 4); }
static void wr(struct lapic *l, unsigned reg, uint32_t v) { lapic_mmio_write(l, reg, 4, v); }

static void to_x2apic(struct lapic *l)
{
	uint64_t base;

	assert_true(lapic_msr_read(l, 0x1b, &base));
	assert_true(lapic_msr_write(l, 0x1b, base | 0xc00));
	assert_true(lapic_msr_write(l, 0x80f, 0x1ff));
}

static void test_reset_values(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[1];
	uint64_t v;

	lapic_reset(l);
	assert_int_equal(rd(l, REG(2)), 0x01000000);
	assert_int_equal(rd(l, REG(3)), 0x00050014);
	assert_int_equal(rd(l, SVR), 0xff);
	assert_int_equal(rd(l, DFR), 0xffffffff);
	assert_int_equal(rd(l, LVT_LINT0), 0x10000);
	assert_true(lapic_msr_read(l, 0x1b, &v));
	assert_int_equal(v, 0xfee00800);
	assert_true(lapic_msr_read(&b->lapic[0], 0x1b, &v));
	assert_int_equal(v, 0xfee00900);
	assert_true(lapic_claims(l, 0xfee00ff0));
	assert_false(lapic_claims(l, 0xfee01000));
	assert_false(lapic_claims(l, 0xfedfffff));
	/* Software-disabled: nothing but NMI, INIT, SIPI gets in, and LVT entries stay masked. */
	assert_false(send_to(b, 1, false, false, APIC_FIXED, 0x40));
	wr(l, LVT_LINT0, 0x700);
	assert_int_equal(rd(l, LVT_LINT0), 0x10700);
}

static void test_priorities(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	assert_false(lapic_pending(l));
	assert_int_equal(lapic_ack(l), -1);
	assert_true(send_to(b, 0, false, false, APIC_FIXED, 0x41));
	assert_true(send_to(b, 0, false, false, APIC_FIXED, 0x55));
	assert_int_equal(b->requests[0][LAPIC_REQ_INTR], 2);
	assert_true(lapic_pending(l));
	assert_int_equal(lapic_ack(l), 0x55);
	assert_false(lapic_pending(l)); /* 41h is of a lower class than the one in service */
	assert_int_equal(rd(l, ISR + 0x20) , 1u << (0x55 - 0x40));
	assert_int_equal(rd(l, IRR + 0x20), 1u << 1);
	assert_int_equal(rd(l, REG(0x0a)), 0x50);
	b->requests[0][LAPIC_REQ_INTR] = 0;
	wr(l, EOI, 0);
	assert_int_equal(b->requests[0][LAPIC_REQ_INTR], 1);
	wr(l, TPR, 0x4f);
	assert_false(lapic_pending(l));
	assert_int_equal(lapic_cr8_read(l), 4);
	lapic_cr8_write(l, 3);
	assert_int_equal(rd(l, TPR), 0x30);
	assert_int_equal(lapic_ack(l), 0x41);
	lapic_eoi(l);
	assert_int_equal(b->eois, 0); /* all were edges */
	lapic_eoi(l);                 /* one too many does nothing */
}

static void test_level_eoi(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[2];
	const struct apic_message m = { .dest = 2, .delivery = APIC_FIXED, .vector = 0x61, .level = true };

	assert_true(lapic_bus_deliver(&b->bus, &m));
	assert_int_equal(lapic_ack(l), 0x61);
	assert_int_equal(rd(l, REG(0x18 + 3)), 2);
	wr(l, EOI, 0);
	assert_int_equal(b->eois, 1);
	assert_int_equal(b->eoi_vector, 0x61);
	assert_true(send_to(b, 2, false, false, APIC_FIXED, 0x61)); /* the same vector as an edge */
	assert_int_equal(lapic_ack(l), 0x61);
	wr(l, EOI, 0);
	assert_int_equal(b->eois, 1);
}

static unsigned takers(struct board *b, uint32_t dest, bool logical, bool wide)
{
	unsigned mask = 0;

	send_to(b, dest, logical, wide, APIC_FIXED, 0x80);
	for (unsigned i = 0; i < CPUS; i++)
		if (lapic_ack(&b->lapic[i]) == 0x80) {
			mask |= 1u << i;
			lapic_eoi(&b->lapic[i]);
		}
	return mask;
}

static void test_destinations(void **state)
{
	struct board *b = *state;

	assert_int_equal(takers(b, 2, false, false), 4);
	assert_int_equal(takers(b, 9, false, false), 0);
	assert_int_equal(takers(b, 0xff, false, false), 15);
	assert_int_equal(takers(b, 0xff, false, true), 0);
	assert_int_equal(takers(b, UINT32_MAX, false, true), 15);
	for (unsigned i = 0; i < CPUS; i++)
		wr(&b->lapic[i], LDR, 1u << (24 + i));
	assert_int_equal(takers(b, 0x0a, true, false), 10);
	for (unsigned i = 0; i < CPUS; i++) { /* two clusters of two */
		wr(&b->lapic[i], DFR, 0x0fffffff);
		wr(&b->lapic[i], LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	assert_int_equal(takers(b, 0x13, true, false), 12);
	assert_int_equal(takers(b, 0x01, true, false), 1);
	to_x2apic(&b->lapic[3]);
	assert_int_equal(takers(b, 0x00000008, true, true), 8);
	assert_int_equal(takers(b, 3, false, true), 8);
	assert_int_equal(takers(b, 0x00010008, true, true), 0);
}

static void test_lowest_priority(void **state)
{
	struct board *b = *state;
	unsigned hits[CPUS] = { 0 };

	wr(&b->lapic[0], TPR, 0x30);
	for (unsigned n = 0; n < 30; n++) {
		assert_true(send_to(b, 0xff, false, false, APIC_LOWEST, 0x80));
		for (unsigned i = 0; i < CPUS; i++)
			if (lapic_ack(&b->lapic[i]) == 0x80) {
				hits[i]++;
				lapic_eoi(&b->lapic[i]);
			}
	}
	assert_int_equal(hits[0], 0);
	assert_int_equal(hits[1] + hits[2] + hits[3], 30);
	for (unsigned i = 1; i < CPUS; i++)
		assert_true(hits[i] >= 5);
}

static void test_icr(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	wr(l, ICR2, 2u << 24);
	wr(l, ICR, 0x4500); /* INIT, assert */
	wr(l, ICR, 0x8500); /* INIT, de-assert: nothing */
	assert_int_equal(b->requests[2][LAPIC_REQ_INIT], 1);
	wr(l, ICR, 0x4608);
	assert_int_equal(b->requests[2][LAPIC_REQ_SIPI], 1);
	assert_int_equal(b->sipi[2], 8);
	wr(l, ICR, 0x4400);
	assert_int_equal(b->requests[2][LAPIC_REQ_NMI], 1);
	wr(l, ICR, 0x000c4050); /* all but self */
	assert_int_equal(lapic_ack(l), -1);
	assert_int_equal(lapic_ack(&b->lapic[1]), 0x50);
	assert_int_equal(lapic_ack(&b->lapic[3]), 0x50);
	wr(l, ICR, 0x00044051); /* self */
	assert_int_equal(lapic_ack(l), 0x51);
	wr(l, ICR, 0x00084062); /* all */
	assert_int_equal(lapic_ack(l), 0x62);
	assert_int_equal(rd(l, ICR) & 0x1000, 0);
	assert_int_equal(rd(l, ICR2), 2u << 24);
	/* Reserved vectors are errors; the ESR shows them after it was written. */
	wr(l, LVT_ERROR, 0xf0);
	wr(l, ICR, 0x00044003);
	assert_int_equal(rd(l, ESR), 0);
	wr(l, ESR, 0);
	assert_int_equal(rd(l, ESR), 0x20);
	assert_int_equal(lapic_ack(l), 0xf0);
}

static void test_x2apic_states(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[1];
	uint64_t v;

	assert_false(lapic_msr_read(l, 0x802, &v));
	assert_false(lapic_msr_write(l, 0x1b, 0xfee00400)); /* x2APIC without enable */
	assert_false(lapic_msr_write(l, 0x1b, 0xfee00801)); /* reserved bit */
	assert_false(lapic_msr_write(l, 0x1b, UINT64_C(1) << 40));
	to_x2apic(l);
	assert_false(lapic_claims(l, 0xfee00000));
	assert_true(lapic_msr_read(l, 0x802, &v));
	assert_int_equal(v, 1);
	assert_true(lapic_msr_read(l, 0x80d, &v));
	assert_int_equal(v, 2);
	assert_false(lapic_msr_write(l, 0x1b, 0xfee00800)); /* only by way of off */
	assert_false(lapic_msr_write(l, 0x802, 1));
	assert_false(lapic_msr_write(l, 0x80e, 0));
	assert_false(lapic_msr_read(l, 0x80b, &v));
	assert_false(lapic_msr_write(l, 0x80b, 1));
	assert_false(lapic_msr_write(l, 0x808, 0x100));
	assert_false(lapic_msr_write(l, 0x831, 0));
	assert_false(lapic_msr_write(l, 0x8ff, 0));
	assert_true(lapic_msr_write(l, 0x83f, 0x44));
	assert_int_equal(lapic_ack(l), 0x44);
	assert_true(lapic_msr_write(l, 0x80b, 0));
	assert_true(lapic_msr_write(l, 0x830, UINT64_C(3) << 32 | 0x4077));
	assert_int_equal(lapic_ack(&b->lapic[3]), 0x77);
	assert_true(lapic_msr_read(l, 0x830, &v));
	assert_true(v == (UINT64_C(3) << 32 | 0x4077));
	assert_true(lapic_msr_write(l, 0x1b, 0xfee00000));
	assert_false(lapic_msr_write(l, 0x1b, 0xfee00c00)); /* from off not straight to x2APIC */
	assert_false(send_to(b, 1, false, false, APIC_NMI, 0));
	assert_true(lapic_msr_write(l, 0x1b, 0xfed00800));
	assert_true(lapic_claims(l, 0xfed00020));
	assert_int_equal(rd(l, SVR), 0xff);
}

static void test_one_shot(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	wr(l, LVT_TIMER, 0xec);
	wr(l, TDCR, 0x3); /* by 16 */
	wr(l, TMICT, 1000);
	fake_advance(&b->fake, 8000);
	assert_int_equal(rd(l, TMCCT), 500);
	assert_false(lapic_pending(l));
	fake_advance(&b->fake, 8000);
	assert_int_equal(b->requests[0][LAPIC_REQ_INTR], 1);
	assert_int_equal(lapic_ack(l), 0xec);
	assert_int_equal(rd(l, TMCCT), 0);
	wr(l, EOI, 0);
	fake_advance(&b->fake, 1000000);
	assert_false(lapic_pending(l));
	/* Masked: it counts and says nothing. */
	wr(l, LVT_TIMER, 0x100ec);
	wr(l, TMICT, 1000);
	fake_advance(&b->fake, 17000);
	assert_false(lapic_pending(l));
	/* A divider that changes in between keeps what is left. */
	wr(l, TMICT, 1000);
	fake_advance(&b->fake, 8000);
	wr(l, TDCR, 0xb); /* by 1 */
	assert_int_equal(rd(l, TMCCT), 500);
	fake_advance(&b->fake, 400);
	assert_int_equal(rd(l, TMCCT), 100);
	wr(l, TMICT, 0);
	assert_int_equal(rd(l, TMCCT), 0);
}

static void test_periodic(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	wr(l, LVT_TIMER, 0x200ec);
	wr(l, TDCR, 0xb);
	wr(l, TMICT, 100000);
	for (unsigned i = 0; i < 5; i++) {
		fake_advance(&b->fake, 100000);
		assert_int_equal(lapic_ack(l), 0xec);
		wr(l, EOI, 0);
	}
	fake_advance(&b->fake, 1030000); /* nobody looks: they merge, and the phase stays */
	assert_int_equal(lapic_ack(l), 0xec);
	wr(l, EOI, 0);
	assert_false(lapic_pending(l));
	assert_int_equal(rd(l, TMCCT), 70000);
	fake_advance(&b->fake, 70000);
	assert_int_equal(lapic_ack(l), 0xec);
	wr(l, EOI, 0);
	/* A period of one tick does not keep the host busy. */
	wr(l, TMICT, 1);
	b->fake.fired = 0;
	for (unsigned i = 0; i < 100; i++) {
		fake_advance(&b->fake, 1000);
		if (lapic_ack(l) >= 0)
			wr(l, EOI, 0);
	}
	assert_true(b->fake.fired <= 6);
}

static void test_tsc_deadline(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];
	uint64_t v;

	assert_true(lapic_msr_write(l, 0x6e0, 5)); /* not in that mode: ignored */
	assert_true(lapic_msr_read(l, 0x6e0, &v));
	assert_int_equal(v, 0);
	wr(l, LVT_TIMER, 0x400ec);
	wr(l, TMICT, 1000);
	assert_int_equal(rd(l, TMICT), 0);
	assert_true(lapic_msr_write(l, 0x6e0, 2 * (b->fake.now_ns + 50000)));
	fake_advance(&b->fake, 49999);
	assert_false(lapic_pending(l));
	/* A callback that comes for an older deadline does no harm. */
	atomic_store(&l->timer_fired, 1);
	atomic_store(&l->incoming, 1);
	assert_false(lapic_pending(l));
	fake_advance(&b->fake, 1);
	assert_true(lapic_pending(l));
	assert_true(lapic_msr_read(l, 0x6e0, &v));
	assert_int_equal(v, 0);
	assert_int_equal(lapic_ack(l), 0xec);
	wr(l, EOI, 0);
	assert_true(lapic_msr_write(l, 0x6e0, 1)); /* long past */
	assert_int_equal(lapic_ack(l), 0xec);
	wr(l, EOI, 0);
	assert_true(lapic_msr_write(l, 0x6e0, UINT64_MAX));
	assert_true(lapic_msr_write(l, 0x6e0, 0));
	assert_int_equal(b->fake.ntimers, 0);
}

static void test_lints(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	lapic_set_lint0(l, true);
	assert_false(lapic_pending(l)); /* LINT0 is masked */
	lapic_set_lint0(l, false);
	lapic_reset(l);
	lapic_set_virtual_wire(l);
	lapic_set_lint0(l, true);
	assert_true(lapic_pending(l));
	assert_int_equal(lapic_ack(l), 0x20);
	assert_false(lapic_pending(l));
	lapic_pulse_lint1(l);
	assert_false(lapic_pending(l));
	assert_int_equal(b->requests[0][LAPIC_REQ_NMI], 1);
	/* Switched off altogether, the 8259 reaches the CPU directly. */
	assert_true(lapic_msr_write(l, 0x1b, 0xfee00100));
	lapic_set_lint0(l, true);
	assert_int_equal(lapic_ack(l), 0x20);
}

static void test_pv_eoi(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];

	b->pv_eoi_msr = 0x101;
	send_to(b, 0, false, false, APIC_FIXED, 0x50);
	assert_int_equal(lapic_ack(l), 0x50);
	assert_int_equal(b->ram[0x100], 1);
	b->ram[0x100] = 0; /* the guest's EOI */
	assert_false(lapic_pending(l));
	assert_int_equal(rd(l, ISR + 0x20), 0);
	/* Something else comes while the offer stands: a real EOI is wanted. */
	send_to(b, 0, false, false, APIC_FIXED, 0x50);
	assert_int_equal(lapic_ack(l), 0x50);
	assert_true(!lapic_pending(l) && b->ram[0x100] == 1);
	send_to(b, 0, false, false, APIC_FIXED, 0x40);
	assert_false(lapic_pending(l));
	assert_int_equal(b->ram[0x100], 0);
	wr(l, EOI, 0);
	assert_int_equal(lapic_ack(l), 0x40);
	/* Level-triggered ones never get it. */
	wr(l, EOI, 0);
	b->ram[0x100] = 0;
	assert_true(lapic_bus_deliver(&b->bus, &(struct apic_message){ .delivery = APIC_FIXED, .vector = 0x61, .level = true }));
	assert_int_equal(lapic_ack(l), 0x61);
	assert_int_equal(b->ram[0x100], 0);
	wr(l, EOI, 0);
	assert_int_equal(b->eois, 1);
	/* The register changes: a used offer ends its interrupt (a reboot of Linux switches it off in a handler), another is withdrawn. */
	send_to(b, 0, false, false, APIC_FIXED, 0x50);
	assert_int_equal(lapic_ack(l), 0x50);
	b->ram[0x100] = 0;
	lapic_pv_eoi_settle(l);
	assert_int_equal(rd(l, ISR + 0x20), 0);
	send_to(b, 0, false, false, APIC_FIXED, 0x50);
	assert_int_equal(lapic_ack(l), 0x50);
	lapic_pv_eoi_settle(l);
	assert_int_equal(b->ram[0x100], 0);
	assert_int_not_equal(rd(l, ISR + 0x20), 0);
	wr(l, EOI, 0);
	/* An address that is not memory: no offer. */
	b->pv_eoi_msr = 0x7ffffff1;
	send_to(b, 0, false, false, APIC_FIXED, 0x50);
	assert_int_equal(lapic_ack(l), 0x50);
	assert_int_equal(l->state.pv_eoi_offered, 0);
}

static void test_pv_ipi(void **state)
{
	struct board *b = *state;

	assert_int_equal(lapic_send_pv_ipi(&b->lapic[0], 0x6, 0, 1, 0x50), 2);
	assert_int_equal(lapic_ack(&b->lapic[2]), 0x50);
	assert_int_equal(lapic_ack(&b->lapic[3]), 0x50);
	assert_int_equal(lapic_send_pv_ipi(&b->lapic[0], UINT64_MAX, UINT64_MAX, 0, 0x400), 4);
	assert_int_equal(b->requests[1][LAPIC_REQ_NMI], 1);
	assert_int_equal(lapic_send_pv_ipi(&b->lapic[0], 1, 0, 0xfffffff0, 0x50), 0);
	assert_int_equal(lapic_send_pv_ipi(&b->lapic[0], 1, 0, 0, 0x500), -1);
	assert_int_equal(lapic_send_pv_ipi(&b->lapic[0], 1, 0, 0, 0xc0050), -1);
}

static void test_state(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[1];
	struct lapic_state s, t;

	wr(l, LVT_TIMER, 0xec);
	wr(l, TDCR, 0xb);
	wr(l, TMICT, 50000);
	send_to(b, 1, false, false, APIC_FIXED, 0x90);
	lapic_get_state(l, &s);
	lapic_reset(l);
	assert_int_equal(lapic_set_state(l, &s), LODGE_OK);
	lapic_get_state(l, &t);
	assert_memory_equal(&s, &t, sizeof(s));
	assert_int_equal(lapic_ack(l), 0x90);
	wr(l, EOI, 0);
	fake_advance(&b->fake, 50000);
	assert_int_equal(lapic_ack(l), 0xec);
	t = s;
	t.id = 2;
	assert_int_equal(lapic_set_state(l, &t), LODGE_ERR_FORMAT);
	t = s;
	t.irr[0] = 1;
	assert_int_equal(lapic_set_state(l, &t), LODGE_ERR_FORMAT);
	t = s;
	t.apic_base = 0xfee00400;
	assert_int_equal(lapic_set_state(l, &t), LODGE_ERR_FORMAT);
	t = s;
	t.tpr = 0x100;
	assert_int_equal(lapic_set_state(l, &t), LODGE_ERR_FORMAT);
}

static void test_odd_accesses(void **state)
{
	struct board *b = *state;
	struct lapic *l = &b->lapic[0];
	uint64_t seed = 42, v;

	wr(l, TPR, 0x20);
	lapic_mmio_write(l, TPR, 1, 0x70);
	lapic_mmio_write(l, TPR + 2, 4, 0x70);
	assert_int_equal(rd(l, TPR), 0x20);
	assert_int_equal(lapic_mmio_read(l, TPR, 1), 0x20);
	assert_int_equal(lapic_mmio_read(l, TPR + 4, 4), 0);
	assert_int_equal(lapic_mmio_read(l, TPR, 8), 0x20);
	assert_int_equal(lapic_mmio_read(l, 0xffd, 4), 0);
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t r = fake_random(&seed), x = fake_random(&seed);
		struct lapic *any = &b->lapic[r >> 60 & 3];

		switch (r >> 56 & 7) {
		case 0:
		case 1: lapic_mmio_write(any, x & 0xfff, 1u << (x >> 20 & 3), r); break;
		case 2: lapic_mmio_write(any, x & 0x3f0, 4, r); break;
		case 3: (void)lapic_mmio_read(any, x & 0xfff, 1u << (x >> 20 & 3)); break;
		case 4: (void)lapic_msr_write(any, 0x800 + (x & 0xff), r & 0x4ffff); break;
		case 5: (void)lapic_msr_write(any, 0x1b, (x & 0xc00) | 0xfee00000 | (x >> 32 & 0x101)); break;
		case 6: (void)lapic_msr_read(any, 0x800 + (x & 0xff), &v); break;
		default:
			(void)lapic_ack(any);
			fake_advance(&b->fake, x & 0xffff);
			break;
		}
	}
	assert_true(b->fake.fired < 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_reset_values, setup),
		cmocka_unit_test_setup(test_priorities, setup),
		cmocka_unit_test_setup(test_level_eoi, setup),
		cmocka_unit_test_setup(test_destinations, setup),
		cmocka_unit_test_setup(test_lowest_priority, setup),
		cmocka_unit_test_setup(test_icr, setup),
		cmocka_unit_test_setup(test_x2apic_states, setup),
		cmocka_unit_test_setup(test_one_shot, setup),
		cmocka_unit_test_setup(test_periodic, setup),
		cmocka_unit_test_setup(test_tsc_deadline, setup),
		cmocka_unit_test_setup(test_lints, setup),
		cmocka_unit_test_setup(test_pv_eoi, setup),
		cmocka_unit_test_setup(test_pv_ipi, setup),
		cmocka_unit_test_setup(test_state, setup),
		cmocka_unit_test_setup(test_odd_accesses, setup),
	};
	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
