/* What the context mixer knows about each kind of stream. A symbol is coded as a path of binary
 * decisions; `node` names the decision within the symbol, the contexts name what came before.
 *
 *   bytes   8 bits, high first. Orders 1-4 and 6, the word so far, the byte above in the string
 * before (dictionaries are lists of like strings), and the byte that followed the longest earlier
 * match. ids     as many bits as the alphabet needs, high first. Orders 0-3, the id two back, the
 * id that followed the last time these three ids were seen, and "the next new one" (dictionary
 * indexes appear in rising order). words   the number of bits (7 decisions), then the bits below
 * the leading one: the first 12 modelled, the rest plain. Orders 0-3, the word two back, and the
 * word that followed the same three words.
 */
#include "codec/codec_mix_priv.h"

enum { BYTE_HASHED = 8, ID_HASHED = 5, WORD_HASHED = 5 }; /* and 1, 2, 1 direct inputs */

enum { MATCH_LOG_MIN = 8, MATCH_LOG_MAX = 18 };

static unsigned log2_ceil(size_t n)
{
    unsigned l = 0;
    while (l < 63 && ((size_t)1 << l) < n)
        l++;
    return l;
}

static unsigned clamp(unsigned v, unsigned low, unsigned high)
{
    return v < low ? low : v > high ? high : v;
}

/** Where this context was last seen: position + 1, 0 for never. */
typedef struct match_table {
    uint32_t *at;
    size_t count;
    unsigned shift;
} match_table;

static lm_err match_init(match_table *t, lm_mem *mem, size_t symbols)
{
    unsigned log = clamp(log2_ceil(symbols), MATCH_LOG_MIN, MATCH_LOG_MAX);
    t->count = (size_t)1 << log;
    t->shift = 32 - log;
    t->at = lm_mem_calloc(mem, t->count, sizeof *t->at);
    return t->at ? LM_OK : lm_mem_err();
}

/** Position that followed this context before (+ 1), and from now on follows it. */
static uint32_t match_swap(match_table *t, uint32_t hash, uint32_t position)
{
    uint32_t *slot = &t->at[hash >> t->shift];
    uint32_t old = *slot;
    *slot = position + 1;
    return old;
}

/* ---- bytes ---- */

static void model_bytes(mix *m, match_table *t, uint8_t *s, size_t count)
{
    uint32_t word = 0, above_line = 0, line = 0, match = 0, match_len = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t c1 = i ? s[i - 1] : 0, c2 = i > 1 ? s[i - 2] : 0, c3 = i > 2 ? s[i - 3] : 0,
                 c4 = i > 3 ? s[i - 4] : 0;
        uint32_t four = c1 | c2 << 8 | c3 << 16 | c4 << 24;
        uint32_t six = i > 5 ? (uint32_t)s[i - 5] << 8 | s[i - 6] : 0;
        if (c1 == '\n' && i) {
            above_line = line;
            line = (uint32_t)i;
        }
        bool is_word = (c1 | 32) - 'a' < 26u || c1 - '0' < 10u || c1 >= 128;
        word = is_word ? mix_hash(word, c1) : 0;
        uint32_t column = (uint32_t)i - line,
                 above = above_line + column < line ? s[above_line + column] : 10;

        if (match_len && match < i && s[match] == c1) {
            match++;
            match_len += match_len < 31;
        } else {
            match_len = 0;
        }
        uint32_t key = mix_hash(four, six & 0xff00);
        uint32_t seen = i > 4 ? match_swap(t, key, (uint32_t)i) : 0;
        if (!match_len && seen) {
            match = seen - 1;
            match_len = 1;
        }
        uint32_t guess = match_len ? s[match] : 0;

        m->base[0] = mix_hash(1, c1);
        m->base[1] = mix_hash(2, four & 0xffff);
        m->base[2] = mix_hash(3, four & 0xffffff);
        m->base[3] = mix_hash(4, four);
        m->base[4] = mix_hash(mix_hash(5, four), six);
        m->base[5] = mix_hash(mix_hash(6, word), is_word ? 0 : c1 | c2 << 8);
        m->base[6] = mix_hash(mix_hash(7, above), c1);
        m->base[7] = mix_hash(8, column < 255 ? column : 255);
        uint32_t node = 1, byte = m->rc.decodes ? 0 : s[i];
        for (int b = 7; b >= 0; b--) {
            if (b == 7 || b == 3) mix_lines(m, BYTE_HASHED, node);
            bool agrees = match_len && (guess | 256) >> (b + 1) == node;
            uint32_t expect = guess >> b & 1;
            m->direct[0] = &m->extra[agrees ? 2 + (match_len << 1 | expect) : 0];
            unsigned set = (!agrees          ? 0u
                            : match_len < 4  ? 1u
                            : match_len < 16 ? 2u
                                             : 3u) +
                           (b < 4 ? 4u : 0u);
            uint32_t place = b > 3 ? node : (node & ((1u << (3 - b)) - 1)) | 1u << (3 - b);
            node = node << 1 | mix_code(m, BYTE_HASHED, 1, place, set, byte >> b & 1);
        }
        if (m->rc.decodes) s[i] = (uint8_t)node;
    }
}

/* ---- ids ---- */

static void model_ids(mix *m, match_table *t, uint32_t *s, size_t count, uint32_t alphabet)
{
    unsigned bits = clamp(log2_ceil(alphabet), 1, 32);
    uint32_t p1 = 0, p2 = 0, p3 = 0, next_new = 0, streak = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t two = mix_hash(p1, p2), three = mix_hash(two, p3);
        uint32_t seen = match_swap(t, three, (uint32_t)i);
        uint32_t guess = seen ? s[seen - 1] : 0;
        m->base[0] = 0x1234567u;
        m->base[1] = mix_hash(11, p1);
        m->base[2] = mix_hash(12, two);
        m->base[3] = mix_hash(13, three);
        m->base[4] = mix_hash(14, p2);
        uint32_t node = 1, value = m->rc.decodes ? 0 : s[i], place = 1;
        for (unsigned b = bits; b-- > 0;) {
            uint32_t known = bits - b - 1;
            if (known % 4 == 0) {
                mix_lines(m, ID_HASHED, mix_hash(node, known));
                place = 1;
            }
            bool agrees = seen && (uint64_t)guess >> (b + 1) == (node ^ 1u << known);
            bool fresh = (uint64_t)next_new >> (b + 1) == (node ^ 1u << known);
            m->direct[0] = &m->extra[agrees ? 2 + (streak << 1 | (guess >> b & 1)) : 0];
            m->direct[1] = &m->extra[fresh ? 128 + (known << 1 | (next_new >> b & 1)) : 1];
            unsigned set =
                (agrees ? 1u + (streak > 3) + (streak > 15) : 0u) + 4 * (known < 3 ? known : 3);
            unsigned bit = mix_code(m, ID_HASHED, 2, place, set, value >> b & 1);
            node = node << 1 | bit;
            place = place << 1 | bit;
        }
        value = bits < 32 ? node ^ 1u << bits : node;
        if (m->rc.decodes) s[i] = value;
        streak = seen && guess == value ? streak + (streak < 31) : 0;
        if (value >= next_new) next_new = value + 1;
        p3 = p2;
        p2 = p1;
        p1 = value;
    }
}

/* ---- words ---- */

static uint32_t word_key(uint64_t w)
{
    return (uint32_t)(w ^ w >> 32);
}

enum { WORD_MODELLED = 12 };

static void model_words(mix *m, match_table *t, uint64_t *s, size_t count)
{
    uint64_t p1 = 0, p2 = 0, p3 = 0;
    uint32_t streak = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t one = mix_hash(21, word_key(p1)), two = mix_hash(one, word_key(p2)),
                 three = mix_hash(two, word_key(p3));
        uint32_t seen = match_swap(t, three, (uint32_t)i);
        uint64_t guess = seen ? s[seen - 1] : 0;
        uint32_t guess_size = guess ? 64u - (unsigned)__builtin_clzll(guess) : 0;
        uint32_t size1 = p1 ? 64u - (unsigned)__builtin_clzll(p1) : 0,
                 size2 = p2 ? 64u - (unsigned)__builtin_clzll(p2) : 0;
        m->base[0] = 0x89abcdefu;
        m->base[1] = one;
        m->base[2] = two;
        m->base[3] = mix_hash(mix_hash(22, size1), size2);
        m->base[4] = mix_hash(23, word_key(p2));
        uint64_t w = m->rc.decodes ? 0 : s[i];
        uint32_t size = w ? 64u - (unsigned)__builtin_clzll(w) : 0, node = 1;
        bool agrees = seen != 0;
        uint32_t place = 1;
        for (int b = 6; b >= 0; b--) {
            if (b == 6 || b == 2) {
                mix_lines(m, WORD_HASHED, node);
                place = 1;
            }
            agrees = agrees && (guess_size | 128) >> (b + 1) == node;
            m->direct[0] = &m->extra[agrees ? 2 + (streak << 1 | (guess_size >> b & 1)) : 0];
            unsigned set = agrees ? 1u + (streak > 3) : 0u;
            unsigned bit = mix_code(m, WORD_HASHED, 1, place, set, size >> b & 1);
            node = node << 1 | bit;
            place = place << 1 | bit;
        }
        size = node & 127;
        if (size > 64) size = 64; /* only in damaged bytes */
        uint64_t value = size ? 1 : 0;
        unsigned left = size ? size - 1 : 0, modelled = left < WORD_MODELLED ? left : WORD_MODELLED;
        agrees = seen && guess_size == size;
        for (unsigned b = 0; b < modelled; b++, left--) {
            if (b % 4 == 0) {
                mix_lines(m, WORD_HASHED, mix_hash(node + 77, (uint32_t)value));
                place = 1;
            }
            agrees = agrees && guess >> left == value;
            uint32_t expect = (uint32_t)(guess >> (left - 1)) & 1;
            m->direct[0] = &m->extra[agrees ? 128 + (streak << 1 | expect) : 1];
            unsigned set = 3 + (agrees ? 1u + (streak > 3) : 0u) + 3 * (b < 3 ? b : 3);
            unsigned bit = mix_code(m, WORD_HASHED, 1, place, set, (unsigned)(w >> (left - 1)) & 1);
            value = value << 1 | bit;
            place = place << 1 | bit;
        }
        if (left)
            value = value << left |
                    range_code_plain(&m->rc, m->rc.decodes, left, w & (((uint64_t)1 << left) - 1));
        if (m->rc.decodes) s[i] = value;
        streak = seen && guess == value ? streak + (streak < 31) : 0;
        p3 = p2;
        p2 = p1;
        p1 = value;
    }
}

/* ---- the six doors ---- */

typedef struct model_kind {
    unsigned inputs, sets, bits; /* bits: decisions a symbol, about */
} model_kind;

static const model_kind kinds[] = {[CODEC_MODEL_BYTES] = {BYTE_HASHED + 1, 8, 8},
                                   [CODEC_MODEL_IDS] = {ID_HASHED + 2, 16, 8},
                                   [CODEC_MODEL_WORDS] = {WORD_HASHED + 1, 16, 12}};

static lm_err model_run(lm_mem *mem, codec_model model, void *symbols, size_t count,
                        uint32_t alphabet, lm_buf *out, lm_str in)
{
    const model_kind *kind = &kinds[model];
    mix m;
    match_table t = {0};
    lm_err err = mix_init(&m, mem, kind->inputs, kind->sets,
                          clamp(log2_ceil(count * kind->bits) + 2, 14, 22));
    if (err) return err;
    err = match_init(&t, mem, count);
    if (err) goto out;
    if (out)
        range_init_encoder(&m.rc, out);
    else
        range_init_decoder(&m.rc, in);
    if (model == CODEC_MODEL_BYTES) model_bytes(&m, &t, symbols, count);
    if (model == CODEC_MODEL_IDS) model_ids(&m, &t, symbols, count, alphabet);
    if (model == CODEC_MODEL_WORDS) model_words(&m, &t, symbols, count);
    if (out) err = range_finish(&m.rc);
out:
    lm_mem_release(mem, t.at, t.count * sizeof *t.at);
    mix_fini(&m);
    return err;
}

/* The models write to symbols only when they decode; the cast is here and nowhere else. */
lm_err codec_model_put(lm_mem *mem, codec_model model, const void *symbols, size_t count,
                       uint32_t alphabet, lm_buf *out)
{
    return model_run(mem, model, (void *)(uintptr_t)symbols, count, alphabet, out, (lm_str){0});
}

lm_err codec_model_get(lm_mem *mem, codec_model model, lm_str in, void *symbols, size_t count,
                       uint32_t alphabet)
{
    return model_run(mem, model, symbols, count, alphabet, NULL, in);
}
