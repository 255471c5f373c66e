/** Tokens: text of a variable -> class and number, and back. */
#include "archive/archive_put.h"

const uint64_t lm_power10[20] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/** Value of digits that fit into 63 bits. */
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

/** Nineteen digits that fit into 63 bits: nanoseconds since 1970 are written so. */
static bool is_long_int(const uint8_t *p, size_t len)
{
    return len == 19 && p[0] != '0' && memcmp(p, "9223372036854775807", 19) <= 0;
}

/** digits only, len 1..: INT or ZINT; else text. */
static void classify_digits(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len > 18 && !is_long_int(p, len)) {
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
    int64_t v = digits_value(whole, whole_len) * (int64_t)lm_power10[scale] +
                digits_value(p + point + 1, scale);
    if (is_negative && v == 0) return false; /* -0.0 has no number of its own */
    out->vclass = (uint32_t)(LM_VC_DEC + scale);
    out->number = is_negative ? -v : v;
    return true;
}

/** Value of a hex digit in the low half, what it is above; 0: no hex digit. */
enum { LOWER = 0x10, UPPER = 0x20, VALID = 0x80 };

static const uint8_t HEX[256] = {
    ['0'] = VALID | 0,          ['1'] = VALID | 1,          ['2'] = VALID | 2,
    ['3'] = VALID | 3,          ['4'] = VALID | 4,          ['5'] = VALID | 5,
    ['6'] = VALID | 6,          ['7'] = VALID | 7,          ['8'] = VALID | 8,
    ['9'] = VALID | 9,          ['a'] = VALID | LOWER | 10, ['A'] = VALID | UPPER | 10,
    ['b'] = VALID | LOWER | 11, ['B'] = VALID | UPPER | 11, ['c'] = VALID | LOWER | 12,
    ['C'] = VALID | UPPER | 12, ['d'] = VALID | LOWER | 13, ['D'] = VALID | UPPER | 13,
    ['e'] = VALID | LOWER | 14, ['E'] = VALID | UPPER | 14, ['f'] = VALID | LOWER | 15,
    ['F'] = VALID | UPPER | 15,
};

/** bytes * 2 digits to bytes; false if one is no digit or small hex letter. */
static bool lower_hex_bytes(const uint8_t *p, size_t bytes, uint8_t *dst)
{
    unsigned all = VALID, seen = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned high = HEX[p[2 * i]], low = HEX[p[2 * i + 1]];
        all &= high & low;
        seen |= high | low;
        dst[i] = (uint8_t)((high & 15) << 4 | (low & 15));
    }
    return all && !(seen & UPPER);
}

static bool classify_uuid(const uint8_t *p, size_t len, lm_token_value *out)
{
    if (len != 36 || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return false;
    static const uint8_t at[5] = {0, 9, 14, 19, 24};
    static const uint8_t bytes[5] = {4, 2, 2, 2, 6};
    uint8_t *dst = out->wide;
    for (int i = 0; i < 5; i++) {
        if (!lower_hex_bytes(p + at[i], bytes[i], dst)) return false;
        dst += bytes[i];
    }
    out->vclass = LM_VC_UUID;
    out->number = 0;
    return true;
}

void lm_token_take_hex(const uint8_t *p, size_t len, lm_token_value *out)
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
        lm_token_take_hex(p, len, out);
        return true;
    }
    if (len > 16) return false; /* small letters were taken above, others stay text */
    uint64_t v = 0;
    unsigned all = VALID, seen = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = HEX[p[i]];
        all &= digit;
        seen |= digit;
        v = v << 4 | (digit & 15);
    }
    if (!all || (seen & (LOWER | UPPER)) == (LOWER | UPPER)) return false;
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
        if (len > 18 && !is_long_int(p, len) && classify_hex(p, len, out)) return;
        classify_digits(p, len, out);
        return;
    }
    if (len && p[0] == '-') {
        size_t i = 1;
        while (i < len && is_digit(p[i]))
            i++;
        if (i == len && len > 1 && p[1] != '0' && (len <= 19 || is_long_int(p + 1, len - 1))) {
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

static uint8_t *put_uuid(uint8_t *at, const uint8_t *wide)
{
    static const uint8_t bytes[5] = {4, 2, 2, 2, 6};
    for (int i = 0; i < 5; i++) {
        if (i) *at++ = '-';
        at = lm_put_hex_bytes(at, wide, bytes[i]);
        wide += bytes[i];
    }
    return at;
}

static uint8_t *put_value(uint32_t vclass, int64_t number, const uint8_t *wide, uint8_t *at)
{
    uint64_t u = (uint64_t)number;
    if (vclass == LM_VC_INT) return lm_put_int(at, number);
    if (vclass == LM_VC_IP4) return lm_put_ip4(at, (uint32_t)number);
    if (vclass > LM_VC_ZINT && vclass <= LM_VC_ZINT + 18)
        return lm_put_padded(at, u, vclass - LM_VC_ZINT);
    if (vclass > LM_VC_DEC && vclass <= LM_VC_DEC + LM_SCALE_MAX)
        return lm_put_decimal(at, number, vclass - LM_VC_DEC, lm_power10[vclass - LM_VC_DEC]);
    if (vclass > LM_VC_DECT && vclass <= LM_VC_DECT + LM_SCALE_MAX)
        return lm_put_decimal_trimmed(at, number, vclass - LM_VC_DECT,
                                      lm_power10[vclass - LM_VC_DECT]);
    if (vclass > LM_VC_HEX_LOWER && vclass <= LM_VC_HEX_LOWER + 16)
        return lm_put_hex(at, u, vclass - LM_VC_HEX_LOWER, LM_HEX_LOWER);
    if (vclass > LM_VC_HEX_UPPER && vclass <= LM_VC_HEX_UPPER + 16)
        return lm_put_hex(at, u, vclass - LM_VC_HEX_UPPER, LM_HEX_UPPER);
    unsigned nibbles = (67 - (unsigned)__builtin_clzll(u | 1)) / 4;
    if (vclass == LM_VC_HEXV_LOWER) return lm_put_hex(at, u, nibbles, LM_HEX_LOWER);
    if (vclass == LM_VC_HEXV_UPPER) return lm_put_hex(at, u, nibbles, LM_HEX_UPPER);
    if (vclass == LM_VC_UUID) return put_uuid(at, wide);
    LM_ASSERT(lm_vclass_width(vclass));
    return lm_put_hex_bytes(at, wide, lm_vclass_width(vclass));
}

size_t lm_value_print(uint32_t vclass, int64_t number, const uint8_t *wide, uint8_t *dst)
{
    if (vclass >= LM_VC_TIME) return lm_time_print((uint16_t)(vclass - LM_VC_TIME), number, dst);
    return (size_t)(put_value(vclass, number, wide, dst) - dst);
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

static const uint8_t CHARS[256] =
    {
        [0 ... ','] = O,   ['-'] = S,         ['.'] = P,          ['/'] = O,
        ['0' ... '9'] = D, [':'] = S,         [';' ... '@'] = O,  ['A' ... 'F'] = HU,
        ['G' ... 'Z'] = U, ['[' ... '`'] = O, ['a' ... 'f'] = HL, ['g' ... 'z'] = L,
        ['{' ... 255] = O,
};

uint8_t lm_chars_of_text(lm_str text)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < text.len; i++)
        seen |= CHARS[text.ptr[i]];
    return seen;
}
