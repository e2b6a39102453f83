/* SPDX-License-Identifier: Apache-2.0 */
/* Appends little-endian values to a buffer of fixed size; what does not fit sets a flag that the end checks once. */
#ifndef LODGE_DEVICES_ACPI_BYTE_WRITER_H
#define LODGE_DEVICES_ACPI_BYTE_WRITER_H

#include "base/mem.h"
#include "base/types.h"

struct byte_writer {
	uint8_t *buf;
	uint32_t cap, len;
	bool overflow;
};

/* Room for @n zeroed bytes, NULL when full. */
static inline uint8_t *writer_take(struct byte_writer *w, uint32_t n)
{
	uint8_t *p = w->buf + w->len;

	if (w->overflow || n > w->cap - w->len) {
		w->overflow = true;
		return NULL;
	}
	memset(p, 0, n);
	w->len += n;
	return p;
}
static inline void writer_bytes(struct byte_writer *w, const void *src, uint32_t n)
{
	uint8_t *p = writer_take(w, n);

	if (p)
		memcpy(p, src, n);
}
static inline void writer_u8(struct byte_writer *w, uint8_t v) { writer_bytes(w, &v, 1); }
static inline void writer_u16(struct byte_writer *w, uint16_t v) { le16_t x = le16(v); writer_bytes(w, &x, 2); }
static inline void writer_u32(struct byte_writer *w, uint32_t v) { le32_t x = le32(v); writer_bytes(w, &x, 4); }
static inline void writer_u64(struct byte_writer *w, uint64_t v) { le64_t x = le64(v); writer_bytes(w, &x, 8); }
static inline void writer_align(struct byte_writer *w, uint32_t align) { (void)writer_take(w, (align - w->len % align) % align); }

#endif
