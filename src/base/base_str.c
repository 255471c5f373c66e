/** Strings that are borrowed, and the reader of foreign bytes. */
#include "base/base_str.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool lm_str_equal_nocase(lm_str a, lm_str b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) return false;
    }
    return true;
}

size_t lm_str_find(lm_str s, lm_str needle)
{
    if (needle.len == 0) return 0;
    if (s.len < needle.len) return SIZE_MAX;
    const uint8_t *at = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

int lm_str_compare(lm_str a, lm_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    if (order) return order;
    return (a.len > b.len) - (a.len < b.len);
}

static uint64_t reader_fail(lm_reader *r)
{
    r->failed = true;
    r->ptr = r->end; /* later reads fail too, without looking at failed */
    return 0;
}

uint64_t lm_reader_varint(lm_reader *r)
{
    uint64_t value = 0;
    const uint8_t *p = r->ptr;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (p == r->end) return reader_fail(r);
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1) return reader_fail(r); /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            r->ptr = p;
            return value;
        }
    }
    return reader_fail(r);
}

uint64_t lm_reader_varint_max(lm_reader *r, uint64_t max)
{
    uint64_t value = lm_reader_varint(r);
    return value <= max ? value : reader_fail(r);
}

uint8_t lm_reader_u8(lm_reader *r)
{
    if (r->ptr == r->end) return (uint8_t)reader_fail(r);
    return *r->ptr++;
}

uint32_t lm_reader_le32(lm_reader *r)
{
    if (lm_reader_left(r) < 4) return (uint32_t)reader_fail(r);
    uint32_t value = lm_le32(r->ptr);
    r->ptr += 4;
    return value;
}

uint64_t lm_reader_le64(lm_reader *r)
{
    if (lm_reader_left(r) < 8) return reader_fail(r);
    uint64_t value = lm_le64(r->ptr);
    r->ptr += 8;
    return value;
}

lm_str lm_reader_bytes(lm_reader *r, size_t len)
{
    if (lm_reader_left(r) < len) {
        reader_fail(r);
        return (lm_str){r->end, 0};
    }
    lm_str bytes = {r->ptr, len};
    r->ptr += len;
    return bytes;
}
