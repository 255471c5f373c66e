/**
 * JSON objects without objects in them, as most lines are: read where they lie.
 *
 * The values are laid out as yyjson lays out its own (an object, then key, value, key, value), so
 * that whoever asks for them cannot tell the difference. Texts without escapes are slices of the
 * line; of a line inside a message each '"' is escaped, so taking escapes out is what costs: 64
 * bytes are looked at together, and what lies between two escapes is copied without asking how long
 * it is. Whatever is unusual (a member that is an array, half a surrogate pair, no JSON at all) is
 * not for here: yyjson reads it, and tells what is wrong.
 */
#include "wire/wire_priv.h"
#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

enum {
    BLOCK = 64,
    RUN = 32, /* bytes that are copied at once; LM_WIRE_FLAT_BEHIND is BLOCK and RUN */
    HEX_UNIT = 6
};

_Static_assert(LM_WIRE_FLAT_BEHIND == BLOCK + RUN, "what is read behind a line");

/* A byte ends a text, begins an escape, or may stand in no text: below 0x20. */

/** The lowest bit of such a byte of eight, and perhaps of bytes above it. */
static inline uint64_t special_of_8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = v ^ ones * '"', escape = v ^ ones * '\\';
    return (((quote - ones) & ~quote) | ((escape - ones) & ~escape) | ((v - ones * 0x20) & ~v)) &
           high;
}

/** Bit i: byte i of 64 is such a byte. */
static inline uint64_t special_of_64(const uint8_t *p)
{
    uint64_t bits = 0;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\'),
                  control = _mm_set1_epi8(0x1F);
    for (unsigned i = 0; i < BLOCK; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i is = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, escape));
        is = _mm_or_si128(is, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(is) << i;
    }
#else
    for (unsigned i = 0; i < BLOCK; i++)
        bits |= (uint64_t)(p[i] < 0x20 || p[i] == '"' || p[i] == '\\') << i;
#endif
    return bits;
}

static inline uint8_t *copy_run(uint8_t *to, const uint8_t *from, size_t len)
{
    memcpy(to, from, RUN);
    for (size_t at = RUN; at < len; at += RUN)
        memcpy(to + at, from + at, RUN);
    return to + len;
}

/** What a sign behind '\\' stands for; 0: something else. */
static inline uint8_t meaning_of(uint8_t sign)
{
    switch (sign) {
    case '"':
    case '\\':
    case '/':
        return sign;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/** \uXXXX at p as UTF-8; NULL: it is none, or half of a pair. */
static uint8_t *put_unit(uint8_t *to, const uint8_t *p)
{
    uint32_t unit = 0;
    if (p[1] != 'u') return NULL;
    for (unsigned i = 2; i < HEX_UNIT; i++) {
        uint8_t c = p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            unit = unit << 4 | (c - '0');
        else if (low >= 'a' && low <= 'f')
            unit = unit << 4 | (low - 'a' + 10u);
        else
            return NULL;
    }
    if (unit >= 0xD800 && unit <= 0xDFFF) return NULL;
    if (unit < 0x80) {
        *to++ = (uint8_t)unit;
    } else if (unit < 0x800) {
        *to++ = (uint8_t)(0xC0 | unit >> 6);
        *to++ = (uint8_t)(0x80 | (unit & 63));
    } else {
        *to++ = (uint8_t)(0xE0 | unit >> 12);
        *to++ = (uint8_t)(0x80 | (unit >> 6 & 63));
        *to++ = (uint8_t)(0x80 | (unit & 63));
    }
    return to;
}

typedef struct flat {
    lm_str line;
    lm_arena *arena;
    uint8_t *room; /* for texts without their escapes, made when there are any */
    lm_err err;
} flat;

/** A text from p to its '"', the first escape at `at`. NULL: not for here, or out of memory. */
static const uint8_t *read_escaped(flat *f, const uint8_t *p, const uint8_t *at, lm_str *out)
{
    if (!f->room) {
        f->room = lm_arena_alloc(f->arena, f->line.len + BLOCK + RUN, 1);
        if (!f->room) {
            f->err = lm_mem_err();
            return NULL;
        }
    }
    uint8_t *to = f->room;
    memcpy(to, p, (size_t)(at - p));
    to += at - p;
    for (p = at;;) { /* p: next to be read */
        uint64_t special = special_of_64(p);
        const uint8_t *from = p, *end = p + BLOCK;
        while (special) {
            const uint8_t *here = p + __builtin_ctzll(special);
            to = copy_run(to, from, (size_t)(here - from));
            if (*here == '"') {
                *out = (lm_str){f->room, (size_t)(to - f->room)};
                f->room = to;
                return here + 1;
            }
            if (*here != '\\') return NULL;
            uint8_t meaning = meaning_of(here[1]);
            unsigned len = meaning ? 2 : HEX_UNIT;
            if (meaning)
                *to++ = meaning;
            else if (!(to = put_unit(to, here)))
                return NULL;
            from = here + len;
            if (from > end) break;
            special &= special - 1;
            if (len == 2) special &= ~(UINT64_C(1) << ((size_t)(from - 1 - p) & 63));
        }
        if (from < end) to = copy_run(to, from, (size_t)(end - from));
        p = from > end ? from : end;
    }
}

/** A text behind its first '"'; returns what is behind its last. NULL: not for here. */
static const uint8_t *read_text(flat *f, const uint8_t *p, lm_str *out)
{
    enum { SHORT = 24 }; /* most are */

    const uint8_t *at = p;
    uint64_t special = 0;
    for (unsigned i = 0; i < SHORT && !(special = special_of_8(lm_le64(at))); i += 8)
        at += 8;
    if (special) {
        at += __builtin_ctzll(special) / 8;
    } else {
        while (!(special = special_of_64(at)))
            at += BLOCK; /* the line's end is special */
        at += __builtin_ctzll(special);
    }
    if (*at == '\\') return read_escaped(f, p, at, out);
    if (*at != '"') return NULL;
    *out = (lm_str){p, (size_t)(at - p)};
    return at + 1;
}

static const uint8_t *skip_digits(const uint8_t *p)
{
    while ((uint8_t)(*p - '0') < 10)
        p++;
    return p;
}

/** What is behind the number at p; NULL: there is none as JSON has it. */
static const uint8_t *read_number(const uint8_t *p)
{
    p += *p == '-';
    const uint8_t *digits = p;
    p = skip_digits(p);
    if (p == digits || (*digits == '0' && p > digits + 1)) return NULL;
    if (*p == '.') {
        digits = ++p;
        p = skip_digits(p);
        if (p == digits) return NULL;
    }
    if ((*p | 0x20) == 'e') {
        p++;
        p += *p == '-' || *p == '+';
        digits = p;
        p = skip_digits(p);
        if (p == digits) return NULL;
    }
    return p;
}

static void set_text(yyjson_val *value, uint8_t type, lm_str text)
{
    value->tag = (uint64_t)text.len << YYJSON_TAG_BIT | type;
    value->uni.str = (const char *)text.ptr;
}

/** The value at p; returns what is behind it. NULL: not for here. */
static const uint8_t *read_value(flat *f, const uint8_t *p, yyjson_val *value)
{
    lm_str text;
    if (*p == '"') {
        p = read_text(f, p + 1, &text);
        if (p) set_text(value, YYJSON_TYPE_STR, text);
    } else if (*p == '-' || (uint8_t)(*p - '0') < 10) {
        const uint8_t *end = read_number(p);
        if (end) set_text(value, YYJSON_TYPE_RAW, (lm_str){p, (size_t)(end - p)});
        p = end;
    } else if (memcmp(p, "true", 4) == 0) {
        set_text(value, YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE, (lm_str){NULL, 0});
        p += 4;
    } else if (memcmp(p, "false", 5) == 0) {
        set_text(value, YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_FALSE, (lm_str){NULL, 0});
        p += 5;
    } else if (memcmp(p, "null", 4) == 0) {
        set_text(value, YYJSON_TYPE_NULL, (lm_str){NULL, 0});
        p += 4;
    } else {
        p = NULL;
    }
    return p;
}

static const uint8_t *skip_blanks(const uint8_t *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/** All members and the '}'; returns how many there are. False: not for here. */
static bool read_members(flat *f, yyjson_val *values, size_t *out_count)
{
    const uint8_t *p = skip_blanks(f->line.ptr);
    size_t count = 0;
    if (*p != '{') return false;
    do {
        lm_str key;
        p = skip_blanks(p + 1);
        if (count == LM_WIRE_FLAT_MEMBERS || *p != '"') return false;
        p = read_text(f, p + 1, &key);
        if (!p) return false;
        set_text(&values[1 + 2 * count], YYJSON_TYPE_STR, key);
        p = skip_blanks(p);
        if (*p != ':') return false;
        p = read_value(f, skip_blanks(p + 1), &values[2 + 2 * count]);
        if (!p) return false;
        count++;
        p = skip_blanks(p);
    } while (*p == ',');
    if (*p != '}') return false;
    *out_count = count;
    return skip_blanks(p + 1) == f->line.ptr + f->line.len;
}

lm_err lm_wire_flat_read(lm_str line, lm_arena *arena, yyjson_val *values, bool *out_is_flat)
{
    flat f = {.line = line, .arena = arena};
    size_t count = 0;
    *out_is_flat = read_members(&f, values, &count);
    values[0].tag = (uint64_t)count << YYJSON_TAG_BIT | YYJSON_TYPE_OBJ;
    values[0].uni.ofs = (1 + 2 * count) * sizeof *values;
    return f.err;
}
