/** Values printed while rows are rendered: the texts of lm_value_print, without asking every time
 * of what class they are. All may write up to LM_VALUE_TEXT_MAX bytes at at, whatever the text
 * needs, and return the end of the text. */
#ifndef ARCHIVE_PUT_H
#define ARCHIVE_PUT_H

#include "archive/archive_priv.h"

static const char LM_PAIRS[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566"
    "676869707172737475767778798081828384858687888990919293949596979899";

static inline uint8_t *lm_put_pair(uint8_t *at, uint64_t below_100)
{
    memcpy(at, LM_PAIRS + 2 * below_100, 2);
    return at + 2;
}

/** Exactly digits digits. */
static inline uint8_t *lm_put_padded(uint8_t *at, uint64_t u, unsigned digits)
{
    unsigned left = digits;
    for (; left >= 2; left -= 2, u /= 100)
        (void)lm_put_pair(at + left - 2, u % 100);
    if (left) at[0] = (uint8_t)('0' + u % 10);
    return at + digits;
}

static inline uint8_t *lm_put_uint(uint8_t *at, uint64_t u)
{
    if (u < 100) {
        if (u >= 10) return lm_put_pair(at, u);
        *at = (uint8_t)('0' + u);
        return at + 1;
    }
    if (u < 10000) {
        uint64_t high = u / 100;
        if (high < 10)
            *at++ = (uint8_t)('0' + high);
        else
            at = lm_put_pair(at, high);
        return lm_put_pair(at, u % 100);
    }
    unsigned guess = (64u - (unsigned)__builtin_clzll(u)) * 1233 >> 12; /* log10, or one more */
    unsigned digits = guess + (u >= lm_power10[guess]);
    return lm_put_padded(at, u, digits);
}

static inline uint8_t *lm_put_int(uint8_t *at, int64_t value)
{
    uint64_t u = (uint64_t)value;
    if (value < 0) {
        *at++ = '-';
        u = 0 - u;
    }
    return lm_put_uint(at, u);
}

/** number / 10^scale, 1 <= scale <= 15, with all its digits; divisions by constants where they are
 * common. */
static inline uint8_t *lm_put_decimal(uint8_t *at, int64_t value, unsigned scale, uint64_t unit)
{
    uint64_t u = (uint64_t)value, whole;
    if (value < 0) {
        *at++ = '-';
        u = 0 - u;
    }
    switch (scale) {
    case 1:
        whole = u / 10;
        break;
    case 2:
        whole = u / 100;
        break;
    case 3:
        whole = u / 1000;
        break;
    case 6:
        whole = u / 1000000;
        break;
    default:
        whole = u / unit;
    }
    at = lm_put_uint(at, whole);
    *at++ = '.';
    return lm_put_padded(at, u - whole * unit, scale);
}

/** The same without zeros at the end, and without the point if nothing is left behind it. */
static inline uint8_t *lm_put_decimal_trimmed(uint8_t *at, int64_t value, unsigned scale,
                                              uint64_t unit)
{
    at = lm_put_decimal(at, value, scale, unit);
    while (at[-1] == '0')
        at--; /* the point stops it */
    return at[-1] == '.' ? at - 1 : at;
}

static inline uint8_t *lm_put_ip4(uint8_t *at, uint32_t address)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t part = address >> shift & 255;
        if (part >= 100) {
            *at++ = (uint8_t)('0' + part / 100);
            at = lm_put_pair(at, part % 100);
        } else if (part >= 10) {
            at = lm_put_pair(at, part);
        } else {
            *at++ = (uint8_t)('0' + part);
        }
        *at++ = '.';
    }
    return at - 1;
}

/** Eight hex digits of four bytes; letters: what an 'a' or 'A' is above the character behind '9'.
 */
static inline void lm_put_hex4(uint8_t *at, uint32_t low_first, unsigned letters)
{
    uint64_t v = low_first;
    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v >> 4 & UINT64_C(0x000f000f000f000f)) | (v & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t above_9 = (v + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    v += UINT64_C(0x3030303030303030) + above_9 * letters;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (8 * i)); /* one store where bytes lie so anyway */
}

enum { LM_HEX_LOWER = 'a' - '9' - 1, LM_HEX_UPPER = 'A' - '9' - 1 };

/** The low width digits of a number, 1 to 16. */
static inline uint8_t *lm_put_hex(uint8_t *at, uint64_t number, unsigned width, unsigned letters)
{
    uint64_t first = number << (64 - 4 * width); /* the first digit on top */
    lm_put_hex4(at, __builtin_bswap32((uint32_t)(first >> 32)), letters);
    if (width > 8) lm_put_hex4(at + 8, __builtin_bswap32((uint32_t)first), letters);
    return at + width;
}

static inline uint8_t *lm_put_hex_bytes(uint8_t *at, const uint8_t *src, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (; bytes >= 4; bytes -= 4, src += 4, at += 8)
        lm_put_hex4(at, lm_le32(src), LM_HEX_LOWER);
    for (; bytes; bytes--, src++) {
        *at++ = (uint8_t)digits[*src >> 4];
        *at++ = (uint8_t)digits[*src & 15];
    }
    return at;
}

/** Bytes that may be read behind each text. */
#define LM_TEXT_SLACK LM_COLUMN_SLACK

/** A text behind which LM_TEXT_SLACK bytes can be read; as many may be written behind its copy. */
static inline uint8_t *lm_put_text(uint8_t *at, const uint8_t *text, size_t len)
{
    memcpy(at, text, 16);
    if (len > 16) {
        memcpy(at + 16, text + 16, 16);
        if (len > 32) memcpy(at + 32, text + 32, len - 32);
    }
    return at + len;
}

#endif
