/** Borrowed bytes, little-endian loads, and a reader of foreign bytes that cannot run off the end.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base_err.h"
#include <string.h>

/** Borrowed, not NUL-terminated, any byte allowed. */
typedef struct lm_str {
    const uint8_t *ptr;
    size_t len;
} lm_str;

#define LM_STR(literal) ((lm_str){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline lm_str lm_str_of(const char *s)
{
    return (lm_str){(const uint8_t *)s, strlen(s)};
}

static inline bool lm_str_equal(lm_str a, lm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool lm_str_starts(lm_str s, lm_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool lm_str_ends(lm_str s, lm_str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0);
}

/** ASCII letters compare without case; other bytes exactly. */
bool lm_str_equal_nocase(lm_str a, lm_str b);
/** Position of needle in s, or SIZE_MAX. Uses memmem. */
size_t lm_str_find(lm_str s, lm_str needle);
int lm_str_compare(lm_str a, lm_str b); /* bytewise; shorter first */

static inline uint16_t lm_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t lm_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t lm_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

/** Reads foreign bytes; the first overrun makes it fail for good: check failed once at the end. */
typedef struct lm_reader {
    const uint8_t *ptr;
    const uint8_t *end;
    bool failed;
} lm_reader;

/** ptr may be NULL if len is 0. */
static inline lm_reader lm_reader_of(const void *ptr, size_t len)
{
    const uint8_t *begin = ptr ? ptr : (const uint8_t *)"";
    return (lm_reader){begin, begin + len, false};
}

static inline size_t lm_reader_left(const lm_reader *r)
{
    return (size_t)(r->end - r->ptr);
}

uint64_t lm_reader_varint(lm_reader *r); /* 0 when failed */
/** A varint that must be <= max; else the reader fails and 0 comes back. */
uint64_t lm_reader_varint_max(lm_reader *r, uint64_t max);
uint8_t lm_reader_u8(lm_reader *r);
uint32_t lm_reader_le32(lm_reader *r);
uint64_t lm_reader_le64(lm_reader *r);
lm_str lm_reader_bytes(lm_reader *r, size_t len); /* empty when failed */

static inline uint64_t lm_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t lm_unzigzag(uint64_t z)
{
    return (int64_t)((z >> 1) ^ (~(z & 1) + 1));
}

#endif
