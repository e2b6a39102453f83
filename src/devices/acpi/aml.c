/* SPDX-License-Identifier: Apache-2.0 */
/* AML encoding, ACPI specification "ACPI Machine Language (AML) Specification" and "Resource Data Types". */
#include "devices/acpi/aml.h"

#define OP_ZERO 0x00u
#define OP_ONE 0x01u
#define OP_NAME 0x08u
#define OP_BYTE 0x0au
#define OP_WORD 0x0bu
#define OP_DWORD 0x0cu
#define OP_STRING 0x0du
#define OP_QWORD 0x0eu
#define OP_SCOPE 0x10u
#define OP_BUFFER 0x11u
#define OP_PACKAGE 0x12u
#define OP_EXT 0x5bu
#define OP_EXT_DEVICE 0x82u
#define PREFIX_DUAL 0x2eu
#define PREFIX_MULTI 0x2fu

#define PKG_LENGTH_BYTES 3u /* always the three-byte form: 20 bits of length */

#define WINDOW_FIXED 0x0cu  /* producer, positive decode, both ends fixed */
#define WINDOW_BUS 2u
#define WINDOW_IO 1u
#define WINDOW_MEMORY 0u

static void aml_segment(struct byte_writer *w, const char *seg, unsigned len)
{
	for (unsigned i = 0; i < 4; i++)
		writer_u8(w, i < len ? (uint8_t)seg[i] : (uint8_t)'_');
}

void aml_path(struct byte_writer *w, const char *path)
{
	unsigned segments = 1;

	for (; *path == '\\' || *path == '^'; path++)
		writer_u8(w, (uint8_t)*path);
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		writer_u8(w, PREFIX_DUAL);
	} else if (segments > 2) {
		writer_u8(w, PREFIX_MULTI);
		writer_u8(w, (uint8_t)segments);
	}
	while (*path) {
		unsigned len = 0;

		while (path[len] && path[len] != '.')
			len++;
		aml_segment(w, path, len);
		path += len + (path[len] == '.');
	}
}

static uint32_t aml_open(struct byte_writer *w)
{
	uint32_t mark = w->len;

	(void)writer_take(w, PKG_LENGTH_BYTES);
	return mark;
}

void aml_close(struct byte_writer *w, uint32_t mark)
{
	uint32_t len = w->len - mark;

	if (w->overflow || len >= 1u << 20) {
		w->overflow = true;
		return;
	}
	w->buf[mark] = (uint8_t)(0x80u | (len & 0xfu));
	w->buf[mark + 1] = (uint8_t)(len >> 4);
	w->buf[mark + 2] = (uint8_t)(len >> 12);
}

uint32_t aml_scope(struct byte_writer *w, const char *path)
{
	uint32_t mark;

	writer_u8(w, OP_SCOPE);
	mark = aml_open(w);
	aml_path(w, path);
	return mark;
}

uint32_t aml_device(struct byte_writer *w, const char *name)
{
	uint32_t mark;

	writer_u8(w, OP_EXT);
	writer_u8(w, OP_EXT_DEVICE);
	mark = aml_open(w);
	aml_path(w, name);
	return mark;
}

uint32_t aml_package(struct byte_writer *w, uint8_t elements)
{
	uint32_t mark;

	writer_u8(w, OP_PACKAGE);
	mark = aml_open(w);
	writer_u8(w, elements);
	return mark;
}

void aml_name(struct byte_writer *w, const char *name)
{
	writer_u8(w, OP_NAME);
	aml_path(w, name);
}

void aml_int(struct byte_writer *w, uint64_t value)
{
	if (value <= 1) {
		writer_u8(w, value ? OP_ONE : OP_ZERO);
	} else if (value <= UINT8_MAX) {
		writer_u8(w, OP_BYTE);
		writer_u8(w, (uint8_t)value);
	} else if (value <= UINT16_MAX) {
		writer_u8(w, OP_WORD);
		writer_u16(w, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		writer_u8(w, OP_DWORD);
		writer_u32(w, (uint32_t)value);
	} else {
		writer_u8(w, OP_QWORD);
		writer_u64(w, value);
	}
}

void aml_string(struct byte_writer *w, const char *text)
{
	writer_u8(w, OP_STRING);
	for (; *text; text++)
		writer_u8(w, (uint8_t)*text);
	writer_u8(w, 0);
}

static uint32_t hex_digit(char c)
{
	return c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'A' + 10);
}

/* Three letters of five bits and four hex digits, stored big-endian. */
void aml_eisa_id(struct byte_writer *w, const char id[7])
{
	uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 | (uint32_t)(id[2] - '@') << 16 |
		     hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);

	writer_u8(w, OP_DWORD);
	writer_u32(w, __builtin_bswap32(v));
}

void aml_name_int(struct byte_writer *w, const char *name, uint64_t value)
{
	aml_name(w, name);
	aml_int(w, value);
}

void aml_name_eisa_id(struct byte_writer *w, const char *name, const char id[7])
{
	aml_name(w, name);
	aml_eisa_id(w, id);
}

void aml_name_string(struct byte_writer *w, const char *name, const char *text)
{
	aml_name(w, name);
	aml_string(w, text);
}

struct aml_crs aml_crs_open(struct byte_writer *w)
{
	struct aml_crs crs;

	aml_name(w, "_CRS");
	writer_u8(w, OP_BUFFER);
	crs.mark = aml_open(w);
	writer_u8(w, OP_WORD);
	crs.size_at = w->len;
	writer_u16(w, 0);
	return crs;
}

void aml_crs_close(struct byte_writer *w, struct aml_crs crs)
{
	writer_u8(w, 0x79); /* end tag; a zero checksum means "none" */
	writer_u8(w, 0);
	if (!w->overflow)
		put_le16(w->buf + crs.size_at, (uint16_t)(w->len - crs.size_at - 2));
	aml_close(w, crs.mark);
}

void aml_crs_io(struct byte_writer *w, uint16_t base, uint8_t len)
{
	writer_u8(w, 0x47);
	writer_u8(w, 1); /* decodes 16 bits */
	writer_u16(w, base);
	writer_u16(w, base);
	writer_u8(w, 1);
	writer_u8(w, len);
}

void aml_crs_irq(struct byte_writer *w, unsigned irq)
{
	writer_u8(w, 0x22);
	writer_u16(w, (uint16_t)(1u << irq));
}

void aml_crs_memory32(struct byte_writer *w, uint32_t base, uint32_t len)
{
	writer_u8(w, 0x86);
	writer_u16(w, 9);
	writer_u8(w, 1); /* read-write */
	writer_u32(w, base);
	writer_u32(w, len);
}

static void crs_word_window(struct byte_writer *w, uint8_t kind, uint8_t type_flags, uint16_t first, uint16_t last)
{
	writer_u8(w, 0x88);
	writer_u16(w, 13);
	writer_u8(w, kind);
	writer_u8(w, WINDOW_FIXED);
	writer_u8(w, type_flags);
	writer_u16(w, 0);
	writer_u16(w, first);
	writer_u16(w, last);
	writer_u16(w, 0);
	writer_u16(w, (uint16_t)(last - first + 1));
}

void aml_crs_bus_window(struct byte_writer *w, uint16_t first, uint16_t last)
{
	crs_word_window(w, WINDOW_BUS, 0, first, last);
}

void aml_crs_io_window(struct byte_writer *w, uint16_t first, uint16_t last)
{
	crs_word_window(w, WINDOW_IO, 3, first, last); /* ISA and non-ISA ranges */
}

void aml_crs_memory_window(struct byte_writer *w, uint32_t first, uint32_t last)
{
	writer_u8(w, 0x87);
	writer_u16(w, 23);
	writer_u8(w, WINDOW_MEMORY);
	writer_u8(w, WINDOW_FIXED);
	writer_u8(w, 1); /* read-write, not cacheable */
	writer_u32(w, 0);
	writer_u32(w, first);
	writer_u32(w, last);
	writer_u32(w, 0);
	writer_u32(w, last - first + 1);
}
