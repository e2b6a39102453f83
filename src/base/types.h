/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that must not be mixed up: guest physical addresses and fields with
 * a byte order of their own. Plain arithmetic on them does not compile.
 */
#ifndef LODGE_BASE_TYPES_H
#define LODGE_BASE_TYPES_H

#include "base/compiler.h"

/* A guest physical address; never a pointer. */
struct gpa {
	uint64_t v;
};

static inline struct gpa gpa(uint64_t v)
{
	return (struct gpa){ v };
}

typedef struct { uint8_t b[2]; } le16_t;
typedef struct { uint8_t b[4]; } le32_t;
typedef struct { uint8_t b[8]; } le64_t;
typedef struct { uint8_t b[2]; } be16_t;
typedef struct { uint8_t b[4]; } be32_t;
typedef struct { uint8_t b[8]; } be64_t;

static inline uint16_t get_le16(const void *p) { uint16_t v; __builtin_memcpy(&v, p, 2); return v; }
static inline uint32_t get_le32(const void *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
static inline uint64_t get_le64(const void *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static inline void put_le16(void *p, uint16_t v) { __builtin_memcpy(p, &v, 2); }
static inline void put_le32(void *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }
static inline void put_le64(void *p, uint64_t v) { __builtin_memcpy(p, &v, 8); }
static inline uint16_t get_be16(const void *p) { return __builtin_bswap16(get_le16(p)); }
static inline uint32_t get_be32(const void *p) { return __builtin_bswap32(get_le32(p)); }
static inline uint64_t get_be64(const void *p) { return __builtin_bswap64(get_le64(p)); }
static inline void put_be16(void *p, uint16_t v) { put_le16(p, __builtin_bswap16(v)); }
static inline void put_be32(void *p, uint32_t v) { put_le32(p, __builtin_bswap32(v)); }
static inline void put_be64(void *p, uint64_t v) { put_le64(p, __builtin_bswap64(v)); }

static inline uint16_t le16_get(le16_t v) { return get_le16(&v); }
static inline uint32_t le32_get(le32_t v) { return get_le32(&v); }
static inline uint64_t le64_get(le64_t v) { return get_le64(&v); }
static inline le16_t le16(uint16_t v) { le16_t r; put_le16(&r, v); return r; }
static inline le32_t le32(uint32_t v) { le32_t r; put_le32(&r, v); return r; }
static inline le64_t le64(uint64_t v) { le64_t r; put_le64(&r, v); return r; }
static inline uint16_t be16_get(be16_t v) { return get_be16(&v); }
static inline uint32_t be32_get(be32_t v) { return get_be32(&v); }
static inline uint64_t be64_get(be64_t v) { return get_be64(&v); }
static inline be16_t be16(uint16_t v) { be16_t r; put_be16(&r, v); return r; }
static inline be32_t be32(uint32_t v) { be32_t r; put_be32(&r, v); return r; }
static inline be64_t be64(uint64_t v) { be64_t r; put_be64(&r, v); return r; }

#endif
