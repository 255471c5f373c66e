/** Tokens: text of a variable -> class and number, and back. */
#include "archive/archive_priv.h"

static const int64_t POW10[19] = {1,
                                  10,
                                  100,
                                  1000,
                                  10000,
                                  100000,
                                  1000000,
                                  10000000,
                                  100000000,
                                  1000000000,
                                  10000000000,
                                  100000000000,
                                  1000000000000,
                                  10000000000000,
                                  100000000000000,
                                  1000000000000000,
                                  10000000000000000,
                                  100000000000000000,
                                  1000000000000000000};

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/** Value of len <= 18 digits. */
static int64_t digits_value(const uint8_t *p, size_t len)
{
    int64_t v = 0;
    for (size_t i = 0; i < len; i++)
        v = v * 10 + (p[i] - '0');
    return v;
}

static void set_text(lm_token_value *out)
{
    out->vclass = LM_VC_STR;
    out->number = 0;
}

/** digits only, len 1..: INT or ZINT; else text. */
static void classify_digits(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len > 18) {
        set_text(out);
        return;
    }
    out->number = digits_value(p, len);
    out->vclass = p[0] == '0' && len > 1 ? (uint32_t)(LM_VC_ZINT + len) : (uint32_t)LM_VC_INT;
}

static bool classify_ip4(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len < 7 || len > 15) return false;
    uint32_t address = 0;
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        size_t start = i;
        uint32_t v = 0;
        while (i < len && is_digit(p[i]) && i - start < 4)
            v = v * 10 + (uint32_t)(p[i++] - '0');
        if (i == start || i - start > 3 || v > 255) return false;
        if (p[start] == '0' && i - start > 1) return false;
        address = address << 8 | v;
        if (part < 3) {
            if (i >= len || p[i] != '.') return false;
            i++;
        }
    }
    if (i != len) return false;
    out->vclass = LM_VC_IP4;
    out->number = (int64_t)address;
    return true;
}

/** int '.' fraction with a canonical integer part. */
static bool classify_decimal(const uint8_t *p, size_t len, size_t point, lm_token_value *out)
{
    bool is_negative = p[0] == '-';
    const uint8_t *whole = p + is_negative;
    size_t whole_len = point - is_negative;
    size_t scale = len - point - 1;
    if (whole_len == 0 || scale == 0 || scale > LM_SCALE_MAX || whole_len + scale > 18)
        return false;
    if (whole[0] == '0' && whole_len > 1) return false;
    for (size_t i = 0; i < whole_len; i++) {
        if (!is_digit(whole[i])) return false;
    }
    for (size_t i = point + 1; i < len; i++) {
        if (!is_digit(p[i])) return false;
    }
    int64_t v = digits_value(whole, whole_len) * POW10[scale] + digits_value(p + point + 1, scale);
    if (is_negative && v == 0) return false; /* -0.0 has no number of its own */
    out->vclass = (uint32_t)(LM_VC_DEC + scale);
    out->number = is_negative ? -v : v;
    return true;
}

/** Value of a hex digit in the low half; LOWER, UPPER or NOT_HEX above. */
enum { LOWER = 0x10, UPPER = 0x20, NOT_HEX = 0x80 };

#define HEX_ROW(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
static const uint8_t HEX[256] = {HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 0,
                                 1,
                                 2,
                                 3,
                                 4,
                                 5,
                                 6,
                                 7,
                                 8,
                                 9,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 UPPER | 10,
                                 UPPER | 11,
                                 UPPER | 12,
                                 UPPER | 13,
                                 UPPER | 14,
                                 UPPER | 15,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 HEX_ROW(NOT_HEX),
                                 NOT_HEX,
                                 LOWER | 10,
                                 LOWER | 11,
                                 LOWER | 12,
                                 LOWER | 13,
                                 LOWER | 14,
                                 LOWER | 15,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 NOT_HEX,
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX),
                                 HEX_ROW(NOT_HEX)};

/** bytes * 2 digits to bytes; gives the classes seen, so that the caller can refuse. */
static unsigned hex_bytes(const uint8_t *p, size_t bytes, uint8_t *dst)
{
    unsigned seen = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned high = HEX[p[2 * i]], low = HEX[p[2 * i + 1]];
        seen |= high | low;
        dst[i] = (uint8_t)((high & 15) << 4 | (low & 15));
    }
    return seen & 0xF0;
}

static bool classify_uuid(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len != 36 || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return false;
    static const uint8_t at[5] = {0, 9, 14, 19, 24};
    static const uint8_t bytes[5] = {4, 2, 2, 2, 6};
    uint8_t *dst = out->wide;
    for (int i = 0; i < 5; i++) {
        if (hex_bytes(p + at[i], bytes[i], dst) & (UPPER | NOT_HEX)) return false;
        dst += bytes[i];
    }
    out->vclass = LM_VC_UUID;
    out->number = 0;
    return true;
}

/** Small letters and digits, as nearly all are. */
static void take_lower_hex(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len <= 16) {
        uint64_t low = lm_hex_value8(lm_text8(p + len - 8));
        uint64_t front = len > 8 ? lm_hex_value8(lm_text8(p)) >> (4 * (16 - len)) : 0;
        out->vclass = LM_VC_HEX_LOWER + (uint32_t)len;
        out->number = (int64_t)(front << 32 | low);
        return;
    }
    out->vclass = LM_VC_HEX_WIDE + (uint32_t)len / 2;
    out->number = 0;
    for (size_t i = 0; i < len; i += 8) { /* the last eight may overlap */
        size_t at = i + 8 <= len ? i : len - 8;
        uint32_t value = __builtin_bswap32(lm_hex_value8(lm_text8(p + at)));
        memcpy(out->wide + at / 2, &value, sizeof value);
    }
}

static bool classify_hex(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len <= 2 * LM_WIDE_MAX && (len <= 16 || len % 2 == 0) && lm_hex_is_lower(p, len)) {
        take_lower_hex(p, len, out);
        return true;
    }
    if (len > 16) {
        if (len % 2 || len > 2 * LM_WIDE_MAX ||
            (hex_bytes(p, len / 2, out->wide) & (UPPER | NOT_HEX)))
            return false;
        out->vclass = LM_VC_HEX_WIDE + (uint32_t)len / 2;
        out->number = 0;
        return true;
    }
    uint64_t v = 0;
    unsigned seen = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = HEX[p[i]];
        seen |= digit;
        v = v << 4 | (digit & 15);
    }
    if ((seen & NOT_HEX) || (seen & (LOWER | UPPER)) == (LOWER | UPPER)) return false;
    out->vclass = (uint32_t)(seen & UPPER ? LM_VC_HEX_UPPER : LM_VC_HEX_LOWER) + (uint32_t)len;
    out->number = (int64_t)v;
    return true;
}

void lm_token_classify(const uint8_t *p, size_t len, lm_token_value *out)
{
    size_t digits = 0;
    while (digits < len && is_digit(p[digits]))
        digits++;
    if (digits == len && len) {
        if (len > 18 && classify_hex(p, len, out)) return;
        classify_digits(p, len, out);
        return;
    }
    if (len && p[0] == '-') {
        size_t i = 1;
        while (i < len && is_digit(p[i]))
            i++;
        if (i == len && len > 1 && len <= 19 && p[1] != '0') {
            out->vclass = LM_VC_INT;
            out->number = -digits_value(p + 1, len - 1);
            return;
        }
        if (i < len && p[i] == '.' && classify_decimal(p, len, i, out)) return;
        set_text(out);
        return;
    }
    if (digits && p[digits] == '.') {
        if (classify_decimal(p, len, digits, out) || classify_ip4(p, len, out)) return;
        set_text(out);
        return;
    }
    if (len == 36 && classify_uuid(p, len, out)) return;
    if (classify_hex(p, len, out)) return;
    set_text(out);
}

/* ---- printing ---- */

static const char PAIRS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static inline unsigned digit_count(uint64_t v)
{
    static const uint64_t bound[20] = {0,
                                       10,
                                       100,
                                       1000,
                                       10000,
                                       100000,
                                       1000000,
                                       10000000,
                                       100000000,
                                       1000000000,
                                       10000000000,
                                       100000000000,
                                       1000000000000,
                                       10000000000000,
                                       100000000000000,
                                       1000000000000000,
                                       10000000000000000,
                                       100000000000000000,
                                       1000000000000000000,
                                       10000000000000000000u};
    unsigned guess =
        ((64 - (unsigned)__builtin_clzll(v | 1)) * 1233) >> 12; /* floor(log10), or one less */
    return guess + (v >= bound[guess] || guess == 0 ? 1u : 0u);
}

/** Exactly width digits, zeros in front; width <= 20 and large enough, or the high digits are lost.
 */
static void print_padded(uint64_t v, unsigned width, uint8_t *dst)
{
    unsigned at = width;
    while (at >= 2) {
        uint64_t q = v / 100;
        memcpy(dst + at - 2, PAIRS + 2 * (v - q * 100), 2);
        v = q;
        at -= 2;
    }
    if (at) dst[0] = (uint8_t)('0' + v % 10);
}

static size_t print_uint(uint64_t v, uint8_t *dst)
{
    if (v < 10) {
        dst[0] = (uint8_t)('0' + v);
        return 1;
    }
    unsigned n = digit_count(v);
    print_padded(v, n, dst);
    return n;
}

static size_t print_int(int64_t v, uint8_t *dst)
{
    if (v >= 0) return print_uint((uint64_t)v, dst);
    dst[0] = '-';
    return 1 + print_uint(~(uint64_t)v + 1, dst + 1);
}

static size_t print_decimal(int64_t v, unsigned scale, bool is_trimmed, uint8_t *dst)
{
    uint8_t *at = dst;
    uint64_t u = (uint64_t)v;
    if (v < 0) {
        *at++ = '-';
        u = ~u + 1;
    }
    uint64_t unit = (uint64_t)POW10[scale];
    uint64_t whole = u / unit;
    at += print_uint(whole, at);
    uint64_t fraction = u - whole * unit;
    if (is_trimmed && fraction == 0) return (size_t)(at - dst);
    *at++ = '.';
    print_padded(fraction, scale, at);
    at += scale;
    if (is_trimmed) {
        while (at[-1] == '0')
            at--;
    }
    return (size_t)(at - dst);
}

static size_t print_hex(uint64_t v, unsigned width, char base, uint8_t *dst)
{
    for (unsigned i = width; i-- > 0; v >>= 4) {
        uint8_t d = v & 15;
        dst[i] = (uint8_t)(d < 10 ? '0' + d : base + d - 10);
    }
    return width;
}

static uint8_t *print_hex_bytes(const uint8_t *src, size_t bytes, uint8_t *dst)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        *dst++ = (uint8_t)digits[src[i] >> 4];
        *dst++ = (uint8_t)digits[src[i] & 15];
    }
    return dst;
}

static size_t print_uuid(const uint8_t *wide, uint8_t *dst)
{
    static const uint8_t bytes[5] = {4, 2, 2, 2, 6};
    uint8_t *at = dst;
    for (int i = 0; i < 5; i++) {
        if (i) *at++ = '-';
        at = print_hex_bytes(wide, bytes[i], at);
        wide += bytes[i];
    }
    return (size_t)(at - dst);
}

static size_t print_ip4(uint32_t address, uint8_t *dst)
{
    uint8_t *at = dst;
    for (int shift = 24; shift >= 0; shift -= 8) {
        at += print_uint((address >> shift) & 255, at);
        if (shift) *at++ = '.';
    }
    return (size_t)(at - dst);
}

size_t lm_value_print(uint32_t vclass, int64_t number, const uint8_t *wide, uint8_t *dst)
{
    if (vclass >= LM_VC_TIME) return lm_time_print((uint16_t)(vclass - LM_VC_TIME), number, dst);
    if (vclass == LM_VC_INT) return print_int(number, dst);
    if (vclass == LM_VC_IP4) return print_ip4((uint32_t)number, dst);
    if (vclass > LM_VC_ZINT && vclass <= LM_VC_ZINT + 18) {
        print_padded((uint64_t)number, (unsigned)vclass - LM_VC_ZINT, dst);
        return (size_t)(vclass - LM_VC_ZINT);
    }
    if (vclass > LM_VC_DEC && vclass <= LM_VC_DEC + LM_SCALE_MAX)
        return print_decimal(number, (unsigned)(vclass - LM_VC_DEC), false, dst);
    if (vclass > LM_VC_DECT && vclass <= LM_VC_DECT + LM_SCALE_MAX)
        return print_decimal(number, (unsigned)(vclass - LM_VC_DECT), true, dst);
    if (vclass > LM_VC_HEX_LOWER && vclass <= LM_VC_HEX_LOWER + 16)
        return print_hex((uint64_t)number, (unsigned)(vclass - LM_VC_HEX_LOWER), 'a', dst);
    if (vclass > LM_VC_HEX_UPPER && vclass <= LM_VC_HEX_UPPER + 16)
        return print_hex((uint64_t)number, (unsigned)(vclass - LM_VC_HEX_UPPER), 'A', dst);
    unsigned nibbles = (67 - (unsigned)__builtin_clzll((uint64_t)number | 1)) / 4;
    if (vclass == LM_VC_HEXV_LOWER) return print_hex((uint64_t)number, nibbles, 'a', dst);
    if (vclass == LM_VC_HEXV_UPPER) return print_hex((uint64_t)number, nibbles, 'A', dst);
    if (vclass == LM_VC_UUID) return print_uuid(wide, dst);
    LM_ASSERT(lm_vclass_width(vclass));
    return (size_t)(print_hex_bytes(wide, lm_vclass_width(vclass), dst) - dst);
}

bool lm_vclass_is_valid(uint64_t vclass)
{
    if (vclass >= LM_VC_TIME)
        return vclass - LM_VC_TIME <= UINT16_MAX &&
               lm_time_layout_is_valid((uint16_t)(vclass - LM_VC_TIME));
    if (vclass <= LM_VC_STR_UNIQUE) return vclass != 4;
    if (vclass < LM_VC_TIME && lm_vclass_width((uint32_t)vclass)) return true;
    return (vclass > LM_VC_ZINT + 1 && vclass <= LM_VC_ZINT + 18) ||
           (vclass > LM_VC_DEC && vclass <= LM_VC_DEC + LM_SCALE_MAX) ||
           (vclass > LM_VC_DECT && vclass <= LM_VC_DECT + LM_SCALE_MAX) ||
           (vclass > LM_VC_HEX_LOWER && vclass <= LM_VC_HEX_LOWER + 16) ||
           (vclass > LM_VC_HEX_UPPER && vclass <= LM_VC_HEX_UPPER + 16);
}

uint32_t lm_vclass_width(uint32_t vclass)
{
    if (vclass == LM_VC_UUID) return 16;
    return vclass > LM_VC_HEX_WIDE + 8 && vclass <= LM_VC_HEX_WIDE + LM_WIDE_MAX
               ? vclass - LM_VC_HEX_WIDE
               : 0;
}

uint32_t lm_vclass_key(uint32_t vclass)
{
    if (lm_vclass_width(vclass)) return (uint32_t)LM_KEY_WIDE + vclass;
    if (vclass >= LM_VC_TIME) return (uint32_t)LM_KEY_TIME + vclass - LM_VC_TIME;
    if (vclass == LM_VC_IP4) return LM_KEY_IP4;
    if (vclass == LM_VC_STR || vclass == LM_VC_STR_UNIQUE) return LM_KEY_STR;
    if (vclass == LM_VC_HEXV_LOWER || vclass == LM_VC_HEXV_UPPER || vclass > LM_VC_HEX_LOWER)
        return LM_KEY_HEX;
    if (vclass > LM_VC_DEC && vclass <= LM_VC_DECT + LM_SCALE_MAX) return LM_KEY_DEC;
    return LM_KEY_INT;
}

#define CHARS_ROW(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x

enum {
    D = LM_CHARS_DIGIT,
    HL = LM_CHARS_HEX_LOWER,
    HU = LM_CHARS_HEX_UPPER,
    L = LM_CHARS_LOWER,
    U = LM_CHARS_UPPER,
    P = LM_CHARS_DOT,
    S = LM_CHARS_DASH_COLON,
    O = LM_CHARS_OTHER
};

static const uint8_t CHARS[256] = {CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   S,
                                   P,
                                   O,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   D,
                                   S,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   HU,
                                   HU,
                                   HU,
                                   HU,
                                   HU,
                                   HU,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   U,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   HL,
                                   HL,
                                   HL,
                                   HL,
                                   HL,
                                   HL,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   L,
                                   O,
                                   O,
                                   O,
                                   O,
                                   O,
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O),
                                   CHARS_ROW(O)};

uint8_t lm_chars_of(uint8_t c)
{
    return CHARS[c];
}

uint8_t lm_chars_of_text(lm_str text)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < text.len; i++)
        seen |= CHARS[text.ptr[i]];
    return seen;
}
