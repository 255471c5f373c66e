/**
 * A line's skeleton: the line with every word that holds a digit cut down to what tells its kind.
 *
 * The skeleton is hash input and exact key of the cache of known lines, so it must be cheap
 * (bitmaps find the words with digits; all else is copied) and must keep all that masking needs,
 * because masking reads only it.
 *
 *   digits only                     MARK_NUMBER
 *   0x..., hex letters and digits   MARK_MIXED
 *   letters, then one digit         kept as it is (eth0); two: MARK_PAIR, three or more:
 * MARK_NUMBER behind the letters digits, then a few letters      MARK_NUMBER, the letters (10ms)
 *   one digit inside letters        kept (log4j)
 *   anything else                   MARK_MIXED
 *
 * Words are split at '_' before that (job_12_map -> job_# _map).
 */
#include "template/template_priv.h"

enum { UNIT_LETTERS_MAX = 7 };

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static bool is_hex_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 6;
}

/* Of a piece without '_' and with at least one digit: what its kind is told by. */
typedef struct piece {
    size_t digits, first, last; /* how many in a run, else 0; where the first and the last stand */
    bool is_hex;                /* hex letters and digits, four and more */
} piece;

static piece look_at(const uint8_t *src, size_t len)
{
    piece p = {.first = len};
    size_t hex_letters = 0;
    for (size_t i = 0; i < len; i++) {
        if (is_digit(src[i])) {
            if (p.first == len) p.first = i;
            p.last = i;
            p.digits++;
        } else {
            hex_letters += is_hex_letter(src[i]);
        }
    }
    p.is_hex = p.digits + hex_letters == len && len >= 4;
    if (p.digits != p.last - p.first + 1) p.digits = 0;
    return p;
}

/* The same, where the digits are known: bit i of them stands for src[i]. */
static piece look_at_digits(const uint8_t *src, size_t len, uint64_t digits)
{
    piece p = {.first = (size_t)__builtin_ctzll(digits),
               .last = 63 - (size_t)__builtin_clzll(digits),
               .is_hex = len >= 4};
    uint64_t behind =
        (digits >> p.first) + 1; /* one bit: a run; else their number does not count */
    p.digits = behind & (behind - 1) ? 0 : p.last - p.first + 1;
    for (size_t i = 0; p.is_hex && i < len; i++)
        p.is_hex = is_hex_letter(src[i]) || is_digit(src[i]);
    return p;
}

/* Returns where dst stands behind the piece. Copies may write up to 15 bytes more; reads stay below
 * src_end. */
static inline uint8_t *cut_piece(const uint8_t *src, size_t len, piece p, const uint8_t *src_end,
                                 uint8_t *dst)
{
    enum { STEP = 16 };

    bool is_short = len <= STEP && src_end - src >= STEP + UNIT_LETTERS_MAX;
    if (p.digits == len) {
        *dst++ = MARK_NUMBER;
        return dst;
    }
    bool has_prefix_0x = len > 2 && src[0] == '0' && (src[1] | 0x20) == 'x';
    bool is_kept = p.digits == 1 && p.first > 0;
    if (p.is_hex || has_prefix_0x || p.digits == 0) {
        *dst++ = MARK_MIXED;
        return dst;
    }
    if (is_kept) {
        if (is_short)
            memcpy(dst, src, STEP);
        else
            memcpy(dst, src, len);
        return dst + len;
    }
    if (p.first == 0 && len - p.digits <= UNIT_LETTERS_MAX) {
        *dst++ = MARK_NUMBER;
        if (is_short)
            memcpy(dst, src + p.digits, UNIT_LETTERS_MAX);
        else
            memcpy(dst, src + p.digits, len - p.digits);
        return dst + (len - p.digits);
    }
    if (p.last + 1 == len) {
        if (is_short)
            memcpy(dst, src, STEP);
        else
            memcpy(dst, src, p.first);
        dst += p.first;
        *dst++ = p.digits == 2 ? MARK_PAIR : MARK_NUMBER;
        return dst;
    }
    *dst++ = MARK_MIXED;
    return dst;
}

/* A word (letters, digits, '_', bytes from 0x80) that holds a digit and not only digits. */
static uint8_t *cut_word(const uint8_t *src, size_t len, uint8_t *dst)
{
    size_t i = 0;
    while (i < len) {
        size_t start = i;
        bool has_digit = false;
        while (i < len && src[i] != '_')
            has_digit |= is_digit(src[i++]);
        if (has_digit) {
            dst = cut_piece(src + start, i - start, look_at(src + start, i - start), src + i, dst);
        } else {
            memcpy(dst, src + start, i - start);
            dst += i - start;
        }
        while (i < len && src[i] == '_')
            *dst++ = src[i++];
    }
    return dst;
}

/* Is there a '_' in the word? */
static bool has_joint(const uint8_t *src, size_t len, const uint8_t *src_end)
{
    const uint64_t ones = 0x0101010101010101u;
    if (len > 8 || src_end - src < 8) return memchr(src, '_', len) != NULL;
    uint64_t other = lm_le64(src) ^ (ones * '_');
    uint64_t hits = (other - ones) & ~other & (ones << 7);
    return (hits << (8 * (8 - len))) != 0;
}

static bool is_word_byte(uint8_t c)
{
    return is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 26 || c == '_' || c >= 0x80;
}

size_t template_skeleton_plain(lm_str src, uint8_t *dst)
{
    uint8_t *out = dst;
    for (size_t i = 0; i < src.len;) {
        size_t start = i;
        bool has_digit = false, has_other = false;
        while (i < src.len && is_word_byte(src.ptr[i])) {
            bool digit = is_digit(src.ptr[i++]);
            has_digit |= digit;
            has_other |= !digit;
        }
        if (!has_digit) {
            memcpy(out, src.ptr + start, i - start);
            out += i - start;
        } else if (!has_other) {
            *out++ = MARK_NUMBER;
        } else {
            out = cut_word(src.ptr + start, i - start, out);
        }
        if (i < src.len) *out++ = src.ptr[i++];
    }
    return (size_t)(out - dst);
}

/* First position from i on whose bit is 0 (any = false) or 1; len when there is none. */
static size_t next_clear(const uint64_t *bits, size_t i, size_t len)
{
    while (i < len) {
        uint64_t word = ~bits[i / 64] >> (i % 64);
        if (word) {
            i += (size_t)__builtin_ctzll(word);
            return i < len ? i : len;
        }
        i = (i / 64 + 1) * 64;
    }
    return len;
}

/* Where the word that holds i begins; it does not begin before floor. */
static size_t word_start(const uint64_t *bits, size_t i, size_t floor)
{
    while (i > floor) {
        uint64_t below = i % 64 ? ~bits[i / 64] & ((1ull << (i % 64)) - 1) : 0;
        if (below) {
            size_t start = i / 64 * 64 + 64 - (size_t)__builtin_clzll(below);
            return start > floor ? start : floor;
        }
        if (i < 64) return floor;
        size_t base = i / 64 * 64;
        if (base <= floor) return floor;
        if (i % 64 == 0) {
            uint64_t clear = ~bits[i / 64 - 1];
            if (clear) {
                size_t start = base - (size_t)__builtin_clzll(clear);
                return start > floor ? start : floor;
            }
            i = base - 64;
            if (i <= floor) return floor;
            continue;
        }
        i = base;
    }
    return floor;
}

/* Copies may write up to 31 bytes behind dst + len; reads stay below src_end. */
static uint8_t *copy_run(const uint8_t *src, size_t len, const uint8_t *src_end, uint8_t *dst)
{
    if ((size_t)(src_end - src) >= len + 32) {
        for (size_t i = 0; i < len; i += 32)
            memcpy(dst + i, src + i, 32);
    } else if (len) {
        memcpy(dst, src, len);
    }
    return dst + len;
}

/* The word around a digit. */
typedef struct word_span {
    size_t start, stop;
    bool is_number; /* digits only */
} word_span;

static word_span span_at(const uint64_t *digits, const uint64_t *words, size_t digit, size_t done,
                         size_t len)
{
    size_t block = digit / 64, bit = digit % 64;
    uint64_t before = ~words[block] & ((1ull << bit) - 1), behind = ~words[block] >> bit;
    if (before && behind) { /* both ends in these 64 bytes: nearly always */
        size_t start = block * 64 + 64 - (size_t)__builtin_clzll(before);
        size_t run = (size_t)__builtin_ctzll(behind);
        size_t stop = digit + run < len ? digit + run : len;
        bool is_number = start == digit && (~(digits[block] >> bit) & ((1ull << run) - 1)) == 0;
        return (word_span){start > done ? start : done, stop, is_number};
    }
    size_t start = word_start(words, digit, done), stop = next_clear(words, digit, len);
    return (word_span){start, stop, start == digit && next_clear(digits, digit, stop) == stop};
}

size_t template_skeleton(lm_str src, uint8_t *dst)
{
    enum { WORDS = (MESSAGE_BYTES_MAX + 63) / 64 };

    uint64_t bits[LM_CLASS_COUNT][WORDS];
    uint64_t *const classes[LM_CLASS_COUNT] = {bits[0], bits[1], bits[2], bits[3]};
    lm_scan_classes(src.ptr, src.len, classes);
    const uint64_t *digits = bits[LM_CLASS_DIGIT], *words = bits[LM_CLASS_WORD];
    const uint8_t *end = src.ptr + src.len;
    uint8_t *out = dst;
    size_t done = 0;
    for (size_t block = 0; block * 64 < src.len; block++) {
        uint64_t left = digits[block];
        if (done > block * 64) {
            if (done >= block * 64 + 64) continue;
            left &= ~0ull << (done % 64);
        }
        while (left) {
            size_t digit = block * 64 + (size_t)__builtin_ctzll(left);
            word_span word = span_at(digits, words, digit, done, src.len);
            out = copy_run(src.ptr + done, word.start - done, end, out);
            const uint8_t *p = src.ptr + word.start;
            size_t len = word.stop - word.start;
            if (word.is_number) {
                *out++ = MARK_NUMBER;
            } else if (word.start / 64 != (word.stop - 1) / 64 || has_joint(p, len, end)) {
                out = cut_word(p, len, out);
            } else {
                uint64_t bits_of = digits[block] >> (word.start % 64) & (~0ull >> (64 - len));
                out = cut_piece(p, len, look_at_digits(p, len, bits_of), end, out);
            }
            done = word.stop;
            if (done >= block * 64 + 64) break;
            left &= ~0ull << (done % 64);
        }
    }
    out = copy_run(src.ptr + done, src.len - done, end, out);
    return (size_t)(out - dst);
}
