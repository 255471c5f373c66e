/* Which three neighbouring characters a segment's lines have: a text with others is in none of
 * them, and the segment need not be opened. Characters count by kind: letters without case, one for
 * all digits, each sign by itself; so a log has some thousand of them, however long it is.
 *
 * A set is a bitmap of as many bytes as pay: two bits for each member, if that is a small share of
 * the segment, and less down to where it would let nearly everything through. */
#include "archive/archive_priv.h"

enum {
    CODE_BITS = 6,
    GRAM_BITS = 3 * CODE_BITS,
    GRAM_SHARE = 256,   /* of the stored bytes at most one in so many */
    GRAM_BITS_EACH = 2, /* wanted */
    GRAM_BYTES_MIN = 32
};

enum { CODE_DIGIT = 26, CODE_SIGNS = 27, CODE_CONTROL = 61, CODE_HIGH = 62, CODE_END = 63 };

typedef struct gram_codes {
    uint8_t of[256];
} gram_codes;

static void codes_make(gram_codes *codes)
{
    uint8_t sign = CODE_SIGNS;
    for (unsigned c = 0; c < 256; c++) {
        unsigned folded = c | 32;
        bool is_letter = folded >= 'a' && folded <= 'z' && c < 128;
        codes->of[c] = (uint8_t)(is_letter              ? folded - 'a'
                                 : c >= '0' && c <= '9' ? (unsigned)CODE_DIGIT
                                 : c == '\n'            ? (unsigned)CODE_END
                                 : c >= 128             ? (unsigned)CODE_HIGH
                                 : c < ' ' || c == 127  ? (unsigned)CODE_CONTROL
                                                        : sign++);
    }
}

static size_t gram_bit(uint32_t gram, size_t bytes)
{
    return (size_t)((uint64_t)(gram * 0x9e3779b1u) * (bytes * 8) >> 32);
}

/** Counts the grams without a line end, and forgets the others. Few of all are seen: eight at a
 * time are looked at. */
static size_t count_inner(uint8_t *seen)
{
    size_t count = 0;
    for (uint32_t pair = 0; pair < 1u << (GRAM_BITS - CODE_BITS); pair++) {
        uint8_t *row = seen + ((size_t)pair << CODE_BITS);
        bool has_end = pair >> CODE_BITS == CODE_END || (pair & CODE_END) == CODE_END;
        row[CODE_END] = 0;
        if (has_end) memset(row, 0, 1u << CODE_BITS);
        for (size_t i = 0; i < 1u << CODE_BITS; i += 8)
            count += (size_t)__builtin_popcountll(lm_le64(row + i));
    }
    return count;
}

static void grams_mark(const gram_codes *codes, lm_str text, uint8_t *seen)
{
    uint32_t last = CODE_END << 6 | CODE_END;
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        uint64_t eight = lm_le64(text.ptr + i);
        for (unsigned k = 0; k < 64; k += 8) {
            last = (last << 6 | codes->of[eight >> k & 255]) & ((1u << GRAM_BITS) - 1);
            seen[last] = 1;
        }
    }
    for (; i < text.len; i++) {
        last = (last << 6 | codes->of[text.ptr[i]]) & ((1u << GRAM_BITS) - 1);
        seen[last] = 1;
    }
}

/** A set of bytes bytes, of those that were seen. */
static void grams_put(const uint8_t *seen, uint8_t *bits, size_t bytes)
{
    memset(bits, 0, bytes);
    for (uint32_t first = 0; first < 1u << GRAM_BITS; first += 8) {
        for (uint64_t eight = lm_le64(seen + first); eight; eight &= eight - 1) {
            uint32_t gram = first + ((uint32_t)__builtin_ctzll(eight) >> 3);
            size_t bit = gram_bit(gram, bytes);
            bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
        }
    }
}

lm_err lm_grams_write(lm_mem *mem, lm_str text, size_t stored_bytes, lm_buf *out)
{
    if (stored_bytes / GRAM_SHARE < GRAM_BYTES_MIN) return lm_buf_varint(out, 0);
    gram_codes codes;
    uint8_t *seen = lm_mem_calloc(mem, 1u << GRAM_BITS, 1);
    if (!seen) return lm_mem_err();
    codes_make(&codes);
    grams_mark(&codes, text, seen);
    size_t count = count_inner(seen), bytes = count * GRAM_BITS_EACH / 8 + 1;
    if (bytes > stored_bytes / GRAM_SHARE) bytes = stored_bytes / GRAM_SHARE;
    if (bytes < GRAM_BYTES_MIN || bytes * 8 < count / 2) bytes = 0;
    lm_err err = lm_buf_varint(out, bytes);
    if (!err) err = lm_buf_reserve(out, bytes);
    if (!err && bytes) {
        grams_put(seen, out->ptr + out->len, bytes);
        out->len += bytes;
    }
    lm_mem_release(mem, seen, 1u << GRAM_BITS);
    return err;
}

bool lm_grams_admit(lm_str grams, lm_str text)
{
    gram_codes codes;
    if (grams.len == 0 || text.len < 3) return true;
    codes_make(&codes);
    uint32_t gram = (uint32_t)codes.of[text.ptr[0]] << 6 | codes.of[text.ptr[1]];
    for (size_t i = 2; i < text.len; i++) {
        gram = (gram << 6 | codes.of[text.ptr[i]]) & ((1u << GRAM_BITS) - 1);
        size_t bit = gram_bit(gram, grams.len);
        if (!(grams.ptr[bit >> 3] >> (bit & 7) & 1)) return false;
    }
    return true;
}

/* ---- sets of one's own ----
 *
 * In front of the bits, how long runs of digits are, and runs of hex digits: in the set all digits
 * are one, and every log has three of them side by side. */

/** Lengths of runs that are at least RUN_MIN long: bit n, the last one for all that are longer. */
typedef struct run_lengths {
    uint64_t digits, hex;
} run_lengths;

enum { RUN_MIN = 8, RUN_MAX = 63, RUN_BYTES = 16 };

struct lm_grams {
    lm_mem *mem;
    gram_codes codes;
    run_lengths runs;
    uint8_t seen[1u << GRAM_BITS];
};

lm_err lm_grams_new(lm_mem *mem, lm_grams **out)
{
    lm_grams *grams = lm_mem_calloc(mem, 1, sizeof *grams);
    if (!grams) return lm_mem_err();
    grams->mem = mem;
    codes_make(&grams->codes);
    *out = grams;
    return LM_OK;
}

void lm_grams_free(lm_grams *grams)
{
    if (grams) lm_mem_release(grams->mem, grams, sizeof *grams);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    uint8_t folded = c | 32;
    return is_digit(c) || (folded >= 'a' && folded <= 'f');
}

static uint64_t run_bit(size_t len)
{
    return UINT64_C(1) << (len < RUN_MAX ? len : RUN_MAX);
}

static void runs_of_digits(const uint8_t *text, size_t len, run_lengths *runs)
{
    for (size_t begin = 0, end; begin < len; begin = end + 1) {
        for (end = begin; end < len && is_digit(text[end]);)
            end++;
        if (end - begin >= RUN_MIN) runs->digits |= run_bit(end - begin);
    }
}

/** Looks at every eighth byte: a run that counts has one of them. */
static void runs_add(lm_str line, run_lengths *runs)
{
    for (size_t at = RUN_MIN - 1; at < line.len; at += RUN_MIN) {
        size_t begin = at, end = at;
        if (!is_hex(line.ptr[at])) continue;
        while (begin && is_hex(line.ptr[begin - 1]))
            begin--;
        while (end < line.len && is_hex(line.ptr[end]))
            end++;
        if (end - begin >= RUN_MIN) {
            runs->hex |= run_bit(end - begin);
            runs_of_digits(line.ptr + begin, end - begin, runs);
        }
        at += (end - 1 - at) / RUN_MIN * RUN_MIN; /* the rest of the run is known */
    }
}

/** May a run of text be one of these? Where text begins or ends with it, it may be longer. */
static bool run_admits(uint64_t lengths, size_t begin, size_t end, size_t text_len)
{
    uint64_t bit = run_bit(end - begin);
    if (end - begin < RUN_MIN) return true;
    if (begin > 0 && end < text_len) return lengths & bit;
    return lengths & ~(bit - 1);
}

static bool runs_admit(uint64_t lengths, lm_str text, bool (*is)(uint8_t c))
{
    for (size_t begin = 0, end; begin < text.len; begin = end + 1) {
        for (end = begin; end < text.len && is(text.ptr[end]);)
            end++;
        if (!run_admits(lengths, begin, end, text.len)) return false;
    }
    return true;
}

bool lm_grams_set_admits(lm_str set, lm_str text)
{
    if (set.len <= RUN_BYTES) return true;
    return runs_admit(lm_le64(set.ptr), text, is_digit) &&
           runs_admit(lm_le64(set.ptr + 8), text, is_hex) &&
           lm_grams_admit((lm_str){set.ptr + RUN_BYTES, set.len - RUN_BYTES}, text);
}

void lm_grams_add(lm_grams *grams, lm_str line)
{
    runs_add(line, &grams->runs);
    grams_mark(&grams->codes, line, grams->seen);
}

lm_err lm_grams_take(lm_grams *grams, unsigned bits_each, lm_buf *out)
{
    size_t count = count_inner(grams->seen), bytes = count * bits_each / 8 + 1;
    lm_err err = lm_buf_le64(out, grams->runs.digits);
    if (!err) err = lm_buf_le64(out, grams->runs.hex);
    if (!err) err = lm_buf_reserve(out, bytes);
    if (err) return err;
    grams_put(grams->seen, out->ptr + out->len, bytes);
    out->len += bytes;
    memset(grams->seen, 0, sizeof grams->seen);
    grams->runs = (run_lengths){0};
    return LM_OK;
}
