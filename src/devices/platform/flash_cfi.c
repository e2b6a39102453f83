/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine of an Intel command set flash chip; Common Flash Memory Interface tables for its geometry. */
#include "devices/platform/flash_cfi.h"

#include "base/checked.h"
#include "base/mem.h"

#define STATUS_READY 0x80u
#define STATUS_ERASE_ERROR 0x20u
#define STATUS_PROGRAM_ERROR 0x10u
#define STATUS_PROTECTED 0x02u

#define ID_MANUFACTURER 0x89u /* Intel */
#define ID_DEVICE 0x18u

#define QUERY_BYTES 0x40u

/* The table at 10h: identification, system interface, geometry with one region of equal blocks. */
static uint8_t query_byte(const struct flash_cfi *f, uint64_t at)
{
	uint32_t blocks = (uint32_t)(f->bytes / FLASH_BLOCK_BYTES) - 1;
	uint8_t size_log2 = (uint8_t)(63 - __builtin_clzll(f->bytes));

	switch (at) {
	case 0x10: return 'Q';
	case 0x11: return 'R';
	case 0x12: return 'Y';
	case 0x13: return 1;    /* Intel/Sharp extended command set */
	case 0x15: return 0x31; /* the extended table */
	case 0x1b: return 0x45; /* 4.5 V .. 5.5 V */
	case 0x1c: return 0x55;
	case 0x1f: return 7;    /* times and limits: typical 2^n us, maxima 2^n of that */
	case 0x20: return 7;
	case 0x21: return 10;
	case 0x23: return 4;
	case 0x24: return 4;
	case 0x25: return 4;
	case 0x27: return is_pow2(f->bytes) ? size_log2 : (uint8_t)(size_log2 + 1);
	case 0x2a: return 6;    /* 64 bytes of write buffer */
	case 0x2c: return 1;
	case 0x2d: return (uint8_t)blocks;
	case 0x2e: return (uint8_t)(blocks >> 8);
	case 0x2f: return (uint8_t)(FLASH_BLOCK_BYTES >> 8);
	case 0x30: return (uint8_t)(FLASH_BLOCK_BYTES >> 16);
	case 0x31: return 'P';
	case 0x32: return 'R';
	case 0x33: return 'I';
	case 0x34: return '1';
	case 0x35: return '0';
	default: return 0;
	}
}

static uint8_t read_byte(const struct flash_cfi *f, uint64_t at)
{
	switch (f->mode) {
	case FLASH_READ_ARRAY:
		return f->array[at];
	case FLASH_READ_ID:
		return at % FLASH_BLOCK_BYTES == 0 ? ID_MANUFACTURER : at % FLASH_BLOCK_BYTES == 1 ? ID_DEVICE : 0;
	case FLASH_READ_QUERY:
		return at < QUERY_BYTES ? query_byte(f, at) : 0;
	case FLASH_READ_STATUS:
	case FLASH_PROGRAM:
	case FLASH_ERASE:
	case FLASH_LOCK:
	case FLASH_BUFFER_COUNT:
	case FLASH_BUFFER_DATA:
	case FLASH_BUFFER_CONFIRM:
		break;
	}
	return f->status;
}

/* Programming clears bits; only erasing sets them. */
static void program_byte(struct flash_cfi *f, uint64_t at, uint8_t value)
{
	if (f->read_only) {
		f->status |= STATUS_READY | STATUS_PROGRAM_ERROR | STATUS_PROTECTED;
		return;
	}
	f->array[at] &= value;
	f->status |= STATUS_READY;
	f->changes++;
}

static void erase_block(struct flash_cfi *f, uint64_t at)
{
	if (f->read_only) {
		f->status |= STATUS_READY | STATUS_ERASE_ERROR | STATUS_PROTECTED;
		return;
	}
	memset(f->array + align_down(at, FLASH_BLOCK_BYTES), 0xff, FLASH_BLOCK_BYTES);
	f->status |= STATUS_READY;
	f->changes++;
}

static void command(struct flash_cfi *f, uint64_t at, uint8_t value)
{
	switch (value) {
	case 0x10:
	case 0x40: f->mode = FLASH_PROGRAM; break;
	case 0x20: f->mode = FLASH_ERASE; break;
	case 0x50: /* firmware tells flash from ROM by a status of zero here; a real chip would keep the ready bit */
		f->status = 0;
		f->mode = FLASH_READ_ARRAY;
		break;
	case 0x60: f->mode = FLASH_LOCK; break;
	case 0x70: f->mode = FLASH_READ_STATUS; break;
	case 0x90: f->mode = FLASH_READ_ID; break;
	case 0x98: f->mode = FLASH_READ_QUERY; break;
	case 0xe8:
		f->mode = FLASH_BUFFER_COUNT;
		f->buffer_block = align_down(at, FLASH_BLOCK_BYTES);
		break;
	default: f->mode = FLASH_READ_ARRAY; break; /* 00h, ffh, and what no chip knows */
	}
}

static void buffer_fail(struct flash_cfi *f)
{
	f->status |= STATUS_PROGRAM_ERROR | STATUS_ERASE_ERROR;
	f->mode = FLASH_READ_STATUS;
}

static void buffer_data(struct flash_cfi *f, uint64_t at, uint8_t value)
{
	if (align_down(at, FLASH_BLOCK_BYTES) != f->buffer_block) {
		buffer_fail(f);
		return;
	}
	f->buffer_addr[f->buffer_len] = at;
	f->buffer[f->buffer_len++] = value;
	if (--f->buffer_left == 0)
		f->mode = FLASH_BUFFER_CONFIRM;
}

static void write_byte(struct flash_cfi *f, uint64_t at, uint8_t value)
{
	switch (f->mode) {
	case FLASH_PROGRAM:
		program_byte(f, at, value);
		f->mode = FLASH_READ_STATUS;
		break;
	case FLASH_ERASE:
		if (value == 0xd0)
			erase_block(f, at);
		else
			f->status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;
		f->mode = FLASH_READ_STATUS;
		break;
	case FLASH_LOCK:
		f->mode = FLASH_READ_STATUS;
		break;
	case FLASH_BUFFER_COUNT:
		f->buffer_left = value + 1u;
		f->buffer_len = 0;
		f->mode = FLASH_BUFFER_DATA;
		if (f->buffer_left > FLASH_WRITE_BUFFER_BYTES)
			buffer_fail(f);
		break;
	case FLASH_BUFFER_DATA:
		buffer_data(f, at, value);
		break;
	case FLASH_BUFFER_CONFIRM:
		if (value != 0xd0) {
			buffer_fail(f);
			break;
		}
		for (unsigned i = 0; i < f->buffer_len; i++)
			program_byte(f, f->buffer_addr[i], f->buffer[i]);
		f->mode = FLASH_READ_STATUS;
		break;
	case FLASH_READ_ARRAY:
	case FLASH_READ_STATUS:
	case FLASH_READ_ID:
	case FLASH_READ_QUERY:
		command(f, at, value);
		break;
	}
}

/* A wide write while no data is expected is one command; its low byte counts. */
static enum bus_result flash_access(void *dev, struct bus_access *a)
{
	struct flash_cfi *f = dev;

	if (!a->is_write) {
		a->value = 0;
		for (unsigned i = 0; i < a->size; i++)
			a->value |= (uint64_t)read_byte(f, a->offset + i) << (8 * i);
	} else if (f->mode == FLASH_PROGRAM || f->mode == FLASH_BUFFER_DATA) {
		enum flash_mode before = f->mode;

		for (unsigned i = 0; i < a->size && (f->mode == before || i == 0); i++)
			write_byte(f, a->offset + i, (uint8_t)(a->value >> (8 * i)));
	} else {
		write_byte(f, a->offset, (uint8_t)a->value);
	}
	return BUS_HANDLED;
}

static const struct bus_ops flash_bus_ops = { .access = flash_access };

void flash_cfi_init(struct flash_cfi *f, uint64_t base, uint8_t *array, uint64_t bytes, bool read_only)
{
	*f = (struct flash_cfi){ .array = array, .bytes = bytes, .read_only = read_only };
	f->region = (struct bus_region){ .base = base, .len = bytes, .ops = &flash_bus_ops, .dev = f, .lock = &f->lock };
	flash_cfi_reset(f);
}

void flash_cfi_reset(struct flash_cfi *f)
{
	f->mode = FLASH_READ_ARRAY;
	f->status = STATUS_READY;
	f->buffer_left = 0;
	f->buffer_len = 0;
}
