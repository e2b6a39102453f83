/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8259A pair. The slave's output is input 2 of the master; it is treated
 * as a level, so that an interrupt that waits behind one in service comes
 * through without further edges.
 */
#include "devices/irq/i8259.h"

#include "devices/byte_access.h"

#define CASCADE 2u
#define CASCADE_BIT 0x04u
#define SPURIOUS 7u
#define ELCR_MASTER 0xf8u /* lines that may be level triggered: not 0 (timer), 1 (keyboard), 2 */
#define ELCR_SLAVE 0xdeu  /* not 8 (clock), 13 (coprocessor) */

#define ICW1 0x10u
#define ICW1_NEEDS_ICW4 0x01u
#define ICW1_SINGLE 0x02u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_SPECIAL_NESTED 0x10u
#define OCW3 0x08u
#define OCW3_POLL 0x04u
#define OCW3_READ_SELECT 0x02u
#define OCW3_READ_ISR 0x01u
#define OCW3_MASK_SELECT 0x40u
#define OCW3_MASK_ON 0x20u

/* OCW2 commands: rotate, specific, EOI. */
enum {
	CMD_AEOI_ROTATE_OFF,
	CMD_EOI,
	CMD_NOP,
	CMD_EOI_SPECIFIC,
	CMD_AEOI_ROTATE_ON,
	CMD_EOI_ROTATE,
	CMD_SET_PRIORITY,
	CMD_EOI_ROTATE_SPECIFIC
};

static enum bus_result i8259_access_master(void *dev, struct bus_access *access);
static enum bus_result i8259_access_slave(void *dev, struct bus_access *access);
static enum bus_result i8259_access_elcr(void *dev, struct bus_access *access);
static const struct bus_ops master_ops = { .access = i8259_access_master };
static const struct bus_ops slave_ops = { .access = i8259_access_slave };
static const struct bus_ops elcr_ops = { .access = i8259_access_elcr };

/* Rank of the most urgent line in @lines: 0 (first after the lowest) .. 7; 8: none. */
static unsigned chip_rank(const struct i8259_chip_state *c, uint8_t lines)
{
	unsigned rank = 0;

	while (rank < 8 && !(lines >> ((c->lowest + 1u + rank) & 7) & 1))
		rank++;
	return rank;
}

static unsigned chip_line(const struct i8259_chip_state *c, unsigned rank)
{
	return (c->lowest + 1u + rank) & 7;
}

/* The line that the chip would have served now, -1: none. */
static int chip_request(const struct i8259_chip_state *c, bool master)
{
	unsigned rank = chip_rank(c, c->irr & (uint8_t)~c->imr);
	uint8_t in_service = c->isr;

	if (rank == 8)
		return -1;
	if (c->special_mask)
		in_service &= (uint8_t)~c->imr;
	if (master && c->special_nested)
		in_service &= (uint8_t)~CASCADE_BIT;
	return rank < chip_rank(c, in_service) ? (int)chip_line(c, rank) : -1;
}

/* Carry the slave's request to the master and the master's to the CPU. */
static void i8259_update(struct i8259 *pic)
{
	struct i8259_chip_state *m = &pic->state.chip[0];
	bool output;

	if (!m->single && chip_request(&pic->state.chip[1], false) >= 0)
		m->irr |= CASCADE_BIT;
	else
		m->irr &= (uint8_t)~CASCADE_BIT;
	output = chip_request(m, true) >= 0;
	if (output == pic->output)
		return;
	pic->output = output;
	irq_line_set(&pic->config.output, output);
}

void i8259_set_pin(void *ctx, unsigned pin, bool level)
{
	struct i8259 *pic = ctx;
	struct i8259_chip_state *c;
	uint8_t bit;

	if (pin >= 16 || pin == CASCADE)
		return;
	c = &pic->state.chip[pin / 8];
	bit = (uint8_t)(1u << (pin % 8));
	host_mutex_lock(&pic->lock);
	if (level && ((c->elcr & bit) || !(c->level & bit)))
		c->irr |= bit;
	else if (!level && (c->elcr & bit))
		c->irr &= (uint8_t)~bit;
	c->level = level ? c->level | bit : c->level & (uint8_t)~bit;
	i8259_update(pic);
	host_mutex_unlock(&pic->lock);
}

static void chip_take(struct i8259_chip_state *c, unsigned line)
{
	uint8_t bit = (uint8_t)(1u << line);

	if (!(c->elcr & bit))
		c->irr &= (uint8_t)~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_on_aeoi)
		c->lowest = (uint8_t)line;
}

uint8_t i8259_ack(struct i8259 *pic)
{
	struct i8259_chip_state *m = &pic->state.chip[0], *s = &pic->state.chip[1];
	unsigned vector;
	int line;

	host_mutex_lock(&pic->lock);
	line = chip_request(m, true);
	if (line < 0) {
		vector = m->vector_base + SPURIOUS;
	} else if (line == (int)CASCADE && !m->single) {
		chip_take(m, CASCADE);
		line = chip_request(s, false);
		if (line >= 0)
			chip_take(s, (unsigned)line);
		vector = s->vector_base + (line < 0 ? SPURIOUS : (unsigned)line);
	} else {
		chip_take(m, (unsigned)line);
		vector = m->vector_base + (unsigned)line;
	}
	i8259_update(pic);
	host_mutex_unlock(&pic->lock);
	return (uint8_t)vector;
}

/* ---- registers; lock held ---- */

static void chip_begin_init(struct i8259_chip_state *c, uint8_t icw1)
{
	*c = (struct i8259_chip_state){
		.level = c->level,
		.elcr = c->elcr,
		.irr = c->level & c->elcr,
		.vector_base = c->vector_base,
		.lowest = 7,
		.init_step = 2,
		.icw4_needed = icw1 & ICW1_NEEDS_ICW4,
		.single = (icw1 & ICW1_SINGLE) != 0,
	};
}

static void chip_eoi(struct i8259_chip_state *c, bool specific, unsigned line, bool rotate)
{
	if (!specific) {
		unsigned rank = chip_rank(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);

		if (rank == 8)
			return;
		line = chip_line(c, rank);
	}
	c->isr &= (uint8_t)~(1u << line);
	if (rotate)
		c->lowest = (uint8_t)line;
}

static void chip_write_ocw2(struct i8259_chip_state *c, uint8_t value)
{
	unsigned line = value & 7;

	switch (value >> 5) {
	case CMD_AEOI_ROTATE_OFF: c->rotate_on_aeoi = 0; break;
	case CMD_AEOI_ROTATE_ON: c->rotate_on_aeoi = 1; break;
	case CMD_EOI: chip_eoi(c, false, 0, false); break;
	case CMD_EOI_ROTATE: chip_eoi(c, false, 0, true); break;
	case CMD_EOI_SPECIFIC: chip_eoi(c, true, line, false); break;
	case CMD_EOI_ROTATE_SPECIFIC: chip_eoi(c, true, line, true); break;
	case CMD_SET_PRIORITY: c->lowest = (uint8_t)line; break;
	default: break;
	}
}

static void chip_write_ocw3(struct i8259_chip_state *c, uint8_t value)
{
	if (value & OCW3_POLL)
		c->poll = 1;
	if (value & OCW3_READ_SELECT)
		c->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_MASK_SELECT)
		c->special_mask = (value & OCW3_MASK_ON) != 0;
}

static void chip_write_data(struct i8259_chip_state *c, uint8_t value)
{
	switch (c->init_step) {
	case 0: c->imr = value; return;
	case 2:
		c->vector_base = value & 0xf8;
		c->init_step = !c->single ? 3 : c->icw4_needed ? 4 : 0;
		return;
	case 3: c->init_step = c->icw4_needed ? 4 : 0; return; /* the wiring is known */
	default:
		c->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
		c->special_nested = (value & ICW4_SPECIAL_NESTED) != 0;
		c->init_step = 0;
		return;
	}
}

static void chip_write(struct i8259 *pic, unsigned chip, unsigned offset, uint8_t value)
{
	struct i8259_chip_state *c = &pic->state.chip[chip];

	if (offset)
		chip_write_data(c, value);
	else if (value & ICW1)
		chip_begin_init(c, value);
	else if (value & OCW3)
		chip_write_ocw3(c, value);
	else
		chip_write_ocw2(c, value);
	i8259_update(pic);
}

static uint8_t chip_read(struct i8259 *pic, unsigned chip, unsigned offset)
{
	struct i8259_chip_state *c = &pic->state.chip[chip];
	int line;

	if (c->poll) {
		c->poll = 0;
		line = chip_request(c, chip == 0);
		if (line < 0)
			return 0;
		chip_take(c, (unsigned)line);
		i8259_update(pic);
		return (uint8_t)(0x80 | line);
	}
	if (offset)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static uint8_t master_read(void *dev, unsigned offset) { return chip_read(dev, 0, offset); }
static void master_write(void *dev, unsigned offset, uint8_t value) { chip_write(dev, 0, offset, value); }
static uint8_t slave_read(void *dev, unsigned offset) { return chip_read(dev, 1, offset); }
static void slave_write(void *dev, unsigned offset, uint8_t value) { chip_write(dev, 1, offset, value); }

static uint8_t elcr_read(void *dev, unsigned offset)
{
	const struct i8259 *pic = dev;

	return pic->state.chip[offset & 1].elcr;
}

static void elcr_write(void *dev, unsigned offset, uint8_t value)
{
	struct i8259 *pic = dev;

	pic->state.chip[offset & 1].elcr = value & (offset & 1 ? ELCR_SLAVE : ELCR_MASTER);
}

static enum bus_result i8259_access_master(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, master_read, master_write);
}

static enum bus_result i8259_access_slave(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, slave_read, slave_write);
}

static enum bus_result i8259_access_elcr(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, elcr_read, elcr_write);
}

/* ---- life ---- */

void i8259_init(struct i8259 *pic, const struct i8259_config *config)
{
	*pic = (struct i8259){ .config = *config };
	pic->ports[0] = (struct bus_region){ .base = 0x20, .len = 2, .ops = &master_ops, .dev = pic, .lock = &pic->lock };
	pic->ports[1] = (struct bus_region){ .base = 0xa0, .len = 2, .ops = &slave_ops, .dev = pic, .lock = &pic->lock };
	pic->ports[2] = (struct bus_region){ .base = 0x4d0, .len = 2, .ops = &elcr_ops, .dev = pic, .lock = &pic->lock };
	i8259_reset(pic);
}

void i8259_fini(struct i8259 *pic)
{
	pic->config.output = (struct irq_line){ .set = NULL };
}

void i8259_reset(struct i8259 *pic)
{
	host_mutex_lock(&pic->lock);
	pic->state = (struct i8259_state){ .chip = { { .lowest = 7 }, { .lowest = 7 } } };
	pic->output = false;
	irq_line_set(&pic->config.output, false);
	host_mutex_unlock(&pic->lock);
}

void i8259_get_state(struct i8259 *pic, struct i8259_state *out)
{
	host_mutex_lock(&pic->lock);
	*out = pic->state;
	host_mutex_unlock(&pic->lock);
}

static bool chip_state_ok(const struct i8259_chip_state *c, uint8_t elcr)
{
	return !(c->elcr & ~elcr) && !(c->vector_base & 7) && c->lowest < 8 && c->init_step != 1 && c->init_step <= 4 &&
	       c->icw4_needed < 2 && c->single < 2 && c->auto_eoi < 2 && c->rotate_on_aeoi < 2 && c->special_mask < 2 &&
	       c->special_nested < 2 && c->read_isr < 2 && c->poll < 2;
}

enum lodge_err i8259_set_state(struct i8259 *pic, const struct i8259_state *in)
{
	if (!chip_state_ok(&in->chip[0], ELCR_MASTER) || !chip_state_ok(&in->chip[1], ELCR_SLAVE))
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&pic->lock);
	pic->state = *in;
	i8259_update(pic);
	host_mutex_unlock(&pic->lock);
	return LODGE_OK;
}
