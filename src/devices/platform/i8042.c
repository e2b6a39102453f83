/* SPDX-License-Identifier: Apache-2.0 */
/* i8042 with a keyboard that nobody touches. Output port: bit 0 low resets the machine, bit 1 is A20. */
#include "devices/platform/i8042.h"

#include "devices/byte_access.h"

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX 0x20u

#define MODE_KEYBOARD_IRQ 0x01u
#define MODE_AUX_IRQ 0x02u
#define MODE_SYSTEM 0x04u
#define MODE_KEYBOARD_OFF 0x10u
#define MODE_AUX_OFF 0x20u
#define MODE_TRANSLATE 0x40u

#define OUTPUT_NO_RESET 0x01u
#define OUTPUT_A20 0x02u
#define OUTPUT_RESET_VALUE 0xcfu

/* Controller commands, port 64h. */
enum {
	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_AUX_OFF = 0xa7,
	CMD_AUX_ON = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_KEYBOARD_OFF = 0xad,
	CMD_KEYBOARD_ON = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_LOOP_KEYBOARD = 0xd2,
	CMD_LOOP_AUX = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_READ_TEST = 0xe0,
	CMD_PULSE = 0xf0,
};

/* Keyboard commands, port 60h. */
enum {
	KEY_SET_LEDS = 0xed,
	KEY_ECHO = 0xee,
	KEY_SCAN_SET = 0xf0,
	KEY_IDENTIFY = 0xf2,
	KEY_RATE = 0xf3,
	KEY_ENABLE = 0xf4,
	KEY_DISABLE = 0xf5,
	KEY_DEFAULTS = 0xf6,
	KEY_RESET = 0xff,
};
#define REPLY_ACK 0xfau
#define REPLY_RESEND 0xfeu
#define REPLY_TEST_PASSED 0xaau
#define SELF_TEST_PASSED 0x55u
#define AUX_CLOCK_STUCK 0x01u /* what the interface test says when nothing is plugged in */

static enum bus_result i8042_access_data(void *dev, struct bus_access *access);
static enum bus_result i8042_access_command(void *dev, struct bus_access *access);
static const struct bus_ops data_ops = { .access = i8042_access_data };
static const struct bus_ops command_ops = { .access = i8042_access_command };

static bool front_is_aux(const struct i8042_state *s)
{
	return s->count && (s->from_aux >> s->head & 1);
}

static void i8042_update_irqs(struct i8042 *kbc)
{
	const struct i8042_state *s = &kbc->state;
	bool aux = front_is_aux(s);

	irq_line_set(&kbc->config.keyboard_irq, s->count && !aux && (s->ram[0] & MODE_KEYBOARD_IRQ));
	irq_line_set(&kbc->config.mouse_irq, aux && (s->ram[0] & MODE_AUX_IRQ));
}

static void i8042_queue(struct i8042 *kbc, uint8_t byte, bool aux)
{
	struct i8042_state *s = &kbc->state;
	unsigned at = (s->head + s->count) % I8042_QUEUE;

	if (s->count == I8042_QUEUE)
		return;
	s->queue[at] = byte;
	s->from_aux = (uint16_t)((s->from_aux & ~(1u << at)) | (unsigned)aux << at);
	s->count++;
	i8042_update_irqs(kbc);
}

static uint8_t i8042_read_data(void *dev, unsigned offset)
{
	struct i8042 *kbc = dev;
	struct i8042_state *s = &kbc->state;

	(void)offset;
	if (!s->count)
		return s->last_out;
	s->last_out = s->queue[s->head];
	s->head = (uint8_t)((s->head + 1) % I8042_QUEUE);
	s->count--;
	/* The next byte is an edge of its own. */
	irq_line_set(&kbc->config.keyboard_irq, false);
	irq_line_set(&kbc->config.mouse_irq, false);
	i8042_update_irqs(kbc);
	return s->last_out;
}

static uint8_t i8042_read_status(void *dev, unsigned offset)
{
	const struct i8042 *kbc = dev;
	const struct i8042_state *s = &kbc->state;
	unsigned status = STATUS_UNLOCKED;

	(void)offset;
	status |= s->count ? STATUS_OUTPUT_FULL : 0;
	status |= front_is_aux(s) ? STATUS_AUX : 0;
	status |= s->ram[0] & MODE_SYSTEM ? STATUS_SYSTEM : 0;
	status |= s->last_was_command ? STATUS_COMMAND : 0;
	return (uint8_t)status;
}

static void i8042_write_output_port(struct i8042 *kbc, uint8_t value)
{
	struct i8042_state *s = &kbc->state;
	bool a20_changed = (s->output_port ^ value) & OUTPUT_A20;

	s->output_port = value | OUTPUT_NO_RESET;
	if (a20_changed && kbc->config.a20_set)
		kbc->config.a20_set(kbc->config.ctx, value & OUTPUT_A20);
	if (!(value & OUTPUT_NO_RESET) && kbc->config.events.raise)
		kbc->config.events.raise(kbc->config.events.ctx, MACHINE_RESET, 0);
}

/* ---- the keyboard ---- */

static void keyboard_set_defaults(struct i8042_state *s)
{
	s->scan_set = 2;
	s->scanning = 1;
}

static void keyboard_argument(struct i8042 *kbc, uint8_t command, uint8_t value)
{
	struct i8042_state *s = &kbc->state;

	i8042_queue(kbc, REPLY_ACK, false);
	if (command != KEY_SCAN_SET)
		return;
	if (!value)
		i8042_queue(kbc, s->scan_set, false);
	else if (value <= 3)
		s->scan_set = value;
}

static void keyboard_identify(struct i8042 *kbc)
{
	i8042_queue(kbc, 0xab, false);
	i8042_queue(kbc, kbc->state.ram[0] & MODE_TRANSLATE ? 0x41 : 0x83, false);
}

static void keyboard_write(struct i8042 *kbc, uint8_t value)
{
	struct i8042_state *s = &kbc->state;
	uint8_t waiting = s->keyboard_pending;

	s->keyboard_pending = 0;
	if (waiting) {
		keyboard_argument(kbc, waiting, value);
		return;
	}
	if (value == KEY_ECHO) {
		i8042_queue(kbc, KEY_ECHO, false);
		return;
	}
	if (value < KEY_SET_LEDS || value == 0xef || value == 0xf1) {
		i8042_queue(kbc, REPLY_RESEND, false);
		return;
	}
	i8042_queue(kbc, REPLY_ACK, false);
	switch (value) {
	case KEY_SET_LEDS:
	case KEY_SCAN_SET:
	case KEY_RATE: s->keyboard_pending = value; break;
	case KEY_IDENTIFY: keyboard_identify(kbc); break;
	case KEY_ENABLE: s->scanning = 1; break;
	case KEY_DISABLE: s->scanning = 0; break;
	case KEY_DEFAULTS: keyboard_set_defaults(s); break;
	case KEY_RESET:
		keyboard_set_defaults(s);
		i8042_queue(kbc, REPLY_TEST_PASSED, false);
		break;
	default: break;
	}
}

/* ---- the controller ---- */

static void i8042_self_test(struct i8042 *kbc)
{
	struct i8042_state *s = &kbc->state;

	s->count = 0;
	s->ram[0] |= MODE_SYSTEM | MODE_KEYBOARD_OFF | MODE_AUX_OFF;
	i8042_queue(kbc, SELF_TEST_PASSED, false);
}

static void i8042_set_mode_bits(struct i8042 *kbc, uint8_t set, uint8_t clear)
{
	kbc->state.ram[0] = (uint8_t)((kbc->state.ram[0] | set) & ~clear);
}

/* Commands that are a range of values. */
static bool i8042_command_range(struct i8042 *kbc, uint8_t value)
{
	struct i8042_state *s = &kbc->state;

	if (value >= CMD_READ_RAM && value < CMD_READ_RAM + I8042_RAM) {
		i8042_queue(kbc, s->ram[value - CMD_READ_RAM], false);
		return true;
	}
	if (value >= CMD_WRITE_RAM && value < CMD_WRITE_RAM + I8042_RAM) {
		s->pending = value;
		return true;
	}
	if (value >= CMD_PULSE) { /* a clear bit pulses that output low */
		if (!(value & OUTPUT_NO_RESET))
			i8042_write_output_port(kbc, s->output_port & (uint8_t)~OUTPUT_NO_RESET);
		return true;
	}
	return false;
}

static void i8042_write_command(void *dev, unsigned offset, uint8_t value)
{
	struct i8042 *kbc = dev;
	struct i8042_state *s = &kbc->state;

	(void)offset;
	s->last_was_command = 1;
	s->pending = 0;
	if (i8042_command_range(kbc, value))
		return;
	switch (value) {
	case CMD_AUX_OFF: i8042_set_mode_bits(kbc, MODE_AUX_OFF, 0); break;
	case CMD_AUX_ON: i8042_set_mode_bits(kbc, 0, MODE_AUX_OFF); break;
	case CMD_AUX_TEST: i8042_queue(kbc, AUX_CLOCK_STUCK, false); break;
	case CMD_SELF_TEST: i8042_self_test(kbc); break;
	case CMD_KEYBOARD_TEST: i8042_queue(kbc, 0, false); break;
	case CMD_KEYBOARD_OFF: i8042_set_mode_bits(kbc, MODE_KEYBOARD_OFF, 0); break;
	case CMD_KEYBOARD_ON: i8042_set_mode_bits(kbc, 0, MODE_KEYBOARD_OFF); break;
	case CMD_READ_INPUT: i8042_queue(kbc, 0x80, false); break; /* not locked */
	case CMD_READ_OUTPUT: i8042_queue(kbc, s->output_port, false); break;
	case CMD_READ_TEST: i8042_queue(kbc, 0, false); break;
	case CMD_A20_OFF: i8042_write_output_port(kbc, s->output_port & (uint8_t)~OUTPUT_A20); break;
	case CMD_A20_ON: i8042_write_output_port(kbc, s->output_port | OUTPUT_A20); break;
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_AUX:
	case CMD_WRITE_AUX: s->pending = value; break;
	default: break;
	}
}

static void i8042_write_data(void *dev, unsigned offset, uint8_t value)
{
	struct i8042 *kbc = dev;
	struct i8042_state *s = &kbc->state;
	uint8_t command = s->pending;

	(void)offset;
	s->last_was_command = 0;
	s->pending = 0;
	if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + I8042_RAM) {
		s->ram[command - CMD_WRITE_RAM] = value;
		i8042_update_irqs(kbc);
		return;
	}
	switch (command) {
	case CMD_WRITE_OUTPUT: i8042_write_output_port(kbc, value); break;
	case CMD_LOOP_KEYBOARD: i8042_queue(kbc, value, false); break;
	case CMD_LOOP_AUX: i8042_queue(kbc, value, false); break; /* not marked as the mouse's: there is no mouse port */
	case CMD_WRITE_AUX: i8042_queue(kbc, REPLY_RESEND, true); break;
	default: keyboard_write(kbc, value); break;
	}
}

static enum bus_result i8042_access_data(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, i8042_read_data, i8042_write_data);
}

static enum bus_result i8042_access_command(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, i8042_read_status, i8042_write_command);
}

/* ---- life ---- */

void i8042_init(struct i8042 *kbc, const struct i8042_config *config)
{
	*kbc = (struct i8042){ .config = *config };
	kbc->ports[0] = (struct bus_region){ .base = 0x60, .len = 1, .ops = &data_ops, .dev = kbc, .lock = &kbc->lock };
	kbc->ports[1] = (struct bus_region){ .base = 0x64, .len = 1, .ops = &command_ops, .dev = kbc, .lock = &kbc->lock };
	i8042_reset(kbc);
}

void i8042_fini(struct i8042 *kbc)
{
	kbc->config.events = (struct machine_events){ .raise = NULL };
}

void i8042_reset(struct i8042 *kbc)
{
	host_mutex_lock(&kbc->lock);
	kbc->state = (struct i8042_state){ .output_port = OUTPUT_RESET_VALUE };
	kbc->state.ram[0] = MODE_KEYBOARD_IRQ | MODE_SYSTEM | MODE_AUX_OFF | MODE_TRANSLATE;
	keyboard_set_defaults(&kbc->state);
	if (kbc->config.a20_set)
		kbc->config.a20_set(kbc->config.ctx, true);
	i8042_update_irqs(kbc);
	host_mutex_unlock(&kbc->lock);
}

void i8042_get_state(struct i8042 *kbc, struct i8042_state *out)
{
	host_mutex_lock(&kbc->lock);
	*out = kbc->state;
	host_mutex_unlock(&kbc->lock);
}

enum lodge_err i8042_set_state(struct i8042 *kbc, const struct i8042_state *in)
{
	if (in->head >= I8042_QUEUE || in->count > I8042_QUEUE || in->last_was_command > 1 || in->scan_set > 3 ||
	    in->scanning > 1)
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&kbc->lock);
	kbc->state = *in;
	if (kbc->config.a20_set)
		kbc->config.a20_set(kbc->config.ctx, in->output_port & OUTPUT_A20);
	i8042_update_irqs(kbc);
	host_mutex_unlock(&kbc->lock);
	return LODGE_OK;
}
