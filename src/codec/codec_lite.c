/* Light models for level `default`: adaptive like the context mixer, but one probability a decision
 * and few decisions a symbol, so that a value decodes in some tens of nanoseconds.
 *
 *   ids     ranked guesses: the id that followed the last three ids, the last two, the last one
 * (two guesses). Each guess is one yes/no; how sure its table has been so far is the context. When
 * all are wrong: is it the next new id? Else the id's bits, high first, in the context of the bits
 * so far and of the id before. bytes   eight bits, high first, in the context of the place in the
 * string. words   the number of bits, as a tree, in the context of the sizes of the two words
 * before; then the bits below the leading one: the first few modelled by size and prefix, the rest
 * plain.
 */
#include "codec/codec_ans_priv.h"
#include "codec/codec_mix_priv.h"

static unsigned size_of(uint64_t w)
{
    return w ? 64u - (unsigned)__builtin_clzll(w) : 0;
}

/** An adaptive bit: probability of a 1 in 22 bits, count in 10. */
typedef uint32_t slot;

enum { SLOT_LIMIT = 255 };

typedef struct lite {
    range_coder rc;
    lm_mem *mem;
    slot *slots;
    size_t slot_count;
} lite;

/** How fast a slot learns, by its count. */
#define RATE_1(n)  131072 / (2 * (n) + 3)
#define RATE_4(n)  RATE_1(n), RATE_1(n + 1), RATE_1(n + 2), RATE_1(n + 3)
#define RATE_16(n) RATE_4(n), RATE_4(n + 4), RATE_4(n + 8), RATE_4(n + 12)
#define RATE_64(n) RATE_16(n), RATE_16(n + 16), RATE_16(n + 32), RATE_16(n + 48)

static const uint16_t rates[SLOT_LIMIT + 1] = {RATE_64(0), RATE_64(64), RATE_64(128), RATE_64(192)};

/** Slots of which nothing is known yet. */
static void lite_clear(lite *m, size_t first, size_t count)
{
    slot *s = m->slots + first;
    for (size_t i = 0; i < count; i++)
        s[i] = (slot)1 << 31;
}

/** Slots that the caller clears before they are used. */
static lm_err lite_init_unclear(lite *m, lm_mem *mem, size_t slot_count)
{
    *m = (lite){.mem = mem, .slot_count = slot_count};
    m->slots = lm_mem_alloc(mem, slot_count * sizeof *m->slots);
    return m->slots ? LM_OK : lm_mem_err();
}

static lm_err lite_init(lite *m, lm_mem *mem, size_t slot_count)
{
    lm_err err = lite_init_unclear(m, mem, slot_count);
    if (!err) lite_clear(m, 0, slot_count);
    return err;
}

static void lite_fini(lite *m)
{
    lm_mem_release(m->mem, m->slots, m->slot_count * sizeof *m->slots);
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE unsigned lite_code(range_coder *rc, bool decodes, const uint16_t *rate_of, slot *s,
                                 unsigned bit)
{
    uint32_t p1 = *s >> 16, n = *s & 1023;
    p1 = p1 < 32 ? 32 : p1 > 65535 - 32 ? 65535 - 32 : p1;
    bit = range_code(rc, decodes, p1, bit);
    int32_t p = (int32_t)(*s >> 10);
    int32_t miss = (int32_t)((bit << 22) - bit) - p;
    p += (int32_t)(((int64_t)miss * rate_of[n]) >> 16);
    *s = (uint32_t)p << 10 | (n < SLOT_LIMIT ? n + 1 : n);
    return bit;
}

/* ---- words ---- */

enum { WORD_PREFIX = 6 }; /* bits below the leading one that are modelled */

/* slots: prefixes [65 sizes][64], then sizes [1 << tree: the size before][8: the one before that][1
 * << tree nodes] */
enum { WORD_PREFIXES = 65 * 64, WORD_OLDER = 8 };

static size_t word_slots(unsigned tree)
{
    return WORD_PREFIXES + ((size_t)WORD_OLDER << (2 * tree));
}

ALWAYS_INLINE void lite_words(lite *m, bool decodes, uint64_t *s, size_t count, unsigned tree)
{
    range_coder rc = m->rc;
    const uint16_t *rate_of = rates;
    unsigned size1 = 0, size2 = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t w = decodes ? 0 : s[i];
        slot *sizes = m->slots + WORD_PREFIXES +
                      ((size_t)(size1 * WORD_OLDER + (size2 < 7 ? size2 : 7)) << tree);
        unsigned size = size_of(w), node = 1;
        for (unsigned b = tree; b-- > 0;)
            node = node << 1 | lite_code(&rc, decodes, rate_of, &sizes[node], size >> b & 1);
        size = node - (1u << tree);
        if (size > 64) size = 64; /* only in damaged bytes */
        unsigned left = size ? size - 1 : 0;
        uint64_t value = size ? 1 : 0;
        slot *prefix = m->slots + size * 64;
        for (unsigned b = 0; b < WORD_PREFIX && left; b++) {
            left--;
            value = value << 1 |
                    lite_code(&rc, decodes, rate_of, &prefix[value], (unsigned)(w >> left) & 1);
        }
        if (left)
            value = value << left |
                    range_code_plain(&rc, decodes, left, w & (((uint64_t)1 << left) - 1));
        if (decodes) s[i] = value;
        size2 = size1;
        size1 = size;
    }
    m->rc = rc;
}

/* ---- bytes ---- */

enum { COLUMNS = 32, BYTE_SLOTS = COLUMNS * 256 };

/** Random names of one length: each place in the string has its own distribution, and nothing else
 * helps. */
ALWAYS_INLINE void lite_bytes(lite *m, bool decodes, uint8_t *s, size_t count)
{
    range_coder rc = m->rc;
    const uint16_t *rate_of = rates;
    unsigned column = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned byte = decodes ? 0 : s[i], node = 1;
        slot *tree = m->slots + column * 256;
        for (int b = 7; b >= 0; b--)
            node = node << 1 | lite_code(&rc, decodes, rate_of, &tree[node], byte >> b & 1);
        byte = node & 255;
        if (decodes) s[i] = (uint8_t)byte;
        column = byte == '\n' ? 0 : column + (column < COLUMNS - 1);
    }
    m->rc = rc;
}

/* ---- ids ---- */

/** A guess and how often it was right lately. */
typedef struct guess {
    uint32_t id;
    uint32_t sure; /* 0: never set, 1..15 */
} guess;

enum { GUESS_LOG = 12 };

typedef struct id_tables {
    guess *three, *two; /* 1 << log */
    guess *one;         /* pairs by id, min(alphabet, 1 << log) */
    unsigned log;
} id_tables;

static void guess_learn(guess *g, uint32_t id)
{
    if (g->sure && g->id == id) {
        if (g->sure < 15) g->sure++;
    } else if (g->sure > 2) {
        g->sure = g->sure / 2;
    } else {
        *g = (guess){id, 1};
    }
}

enum { FLAG_SLOTS = 4 * 16 * 16 * 4, ID_LOW = FLAG_SLOTS + 64 };

/** slots: flags [guess][sure][what else is known], then the next-new flag, then two trees. */
ALWAYS_INLINE void lite_ids(lite *m, bool decodes, id_tables *t, uint32_t *s, size_t count,
                            unsigned bits)
{
    range_coder rc = m->rc;
    const uint16_t *rate_of = rates;
    uint32_t p1 = 0, p2 = 0, p3 = 0, next_new = 0, history = 0;
    uint32_t mask = (1u << t->log) - 1;
    slot *flags = m->slots, *fresh = m->slots + FLAG_SLOTS, *tree0 = m->slots + ID_LOW;
    for (size_t i = 0; i < count; i++) {
        uint32_t id = decodes ? 0 : s[i];
        uint32_t h2 = mix_hash(p1, p2);
        guess *candidate[4] = {&t->three[mix_hash(h2, p3) & mask], &t->two[h2 & mask],
                               &t->one[2 * (p1 & mask)], &t->one[2 * (p1 & mask) + 1]};
        uint32_t tried[4];
        unsigned tries = 0;
        bool hit = false;
        for (unsigned k = 0; k < 4 && !hit; k++) {
            guess *g = candidate[k];
            if (!g->sure) continue;
            bool again = false;
            for (unsigned j = 0; j < tries; j++)
                again |= tried[j] == g->id;
            if (again) continue;
            unsigned support = 0;
            for (unsigned j = k + 1; j < 4; j++)
                support |= (unsigned)(candidate[j]->sure && candidate[j]->id == g->id) << (j - 1);
            slot *f =
                &flags[((k * 16 + g->sure) * 16 + (support | (unsigned)(tries > 0) << 3)) * 4 +
                       (tries ? 0 : history & 3)];
            hit = lite_code(&rc, decodes, rate_of, f, id == g->id);
            tried[tries++] = g->id;
        }
        uint32_t value;
        if (hit) {
            value = tried[tries - 1];
        } else if (lite_code(&rc, decodes, rate_of, &fresh[history & 31], id == next_new)) {
            value = next_new;
        } else {
            uint32_t node = 1;
            for (unsigned b = bits; b-- > 0;) {
                slot *f = bits - b <= 12 ? &tree0[node] : &tree0[4096 + (b & 31)];
                node = node << 1 | lite_code(&rc, decodes, rate_of, f, id >> b & 1);
            }
            value = bits < 32 ? node ^ 1u << bits : node;
        }
        if (decodes) s[i] = value;
        history = history << 1 | (hit && tries == 1);
        guess_learn(candidate[0], value);
        guess_learn(candidate[1], value);
        if (candidate[2]->sure && candidate[2]->id == value) {
            guess_learn(candidate[2], value);
        } else if (candidate[3]->sure && candidate[3]->id == value) {
            guess_learn(candidate[3], value);
            if (candidate[3]->sure >= candidate[2]->sure) {
                guess swap = *candidate[2];
                *candidate[2] = *candidate[3];
                *candidate[3] = swap;
            }
        } else {
            if (candidate[2]->sure > 1) candidate[2]->sure--;
            guess_learn(candidate[2]->sure ? candidate[3] : candidate[2], value);
        }
        next_new = value >= next_new ? value + 1 : next_new;
        p3 = p2;
        p2 = p1;
        p1 = value;
    }
    m->rc = rc;
}

/** Small alphabets: a tree of bits in the context of the one or two ids before, addressed directly.
 */
ALWAYS_INLINE void lite_tree(lite *m, bool decodes, unsigned order, uint32_t *s, size_t count,
                             unsigned bits)
{
    range_coder rc = m->rc;
    const uint16_t *rate_of = rates;
    uint32_t before = 0, mask = (1u << (bits * order)) - 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t id = decodes ? 0 : s[i], node = 1;
        slot *tree = m->slots + ((size_t)before << bits);
        for (unsigned b = bits; b-- > 0;)
            node = node << 1 | lite_code(&rc, decodes, rate_of, &tree[node], id >> b & 1);
        id = node ^ 1u << bits;
        if (decodes) s[i] = id;
        before = (before << bits | id) & mask;
    }
    m->rc = rc;
}

enum id_way { WAY_GUESS = 0, WAY_TREE1 = 1, WAY_TREE2 = 2 };

static unsigned id_bits(uint32_t alphabet)
{
    unsigned bits = 1;
    while (bits < 32 && (uint64_t)1 << bits < alphabet)
        bits++;
    return bits;
}

static lm_err run_tree(lm_mem *mem, unsigned order, uint32_t *ids, size_t count, unsigned bits,
                       lm_buf *out, lm_str in)
{
    lite m;
    lm_err err = lite_init(&m, mem, (size_t)1 << (bits * (order + 1)));
    if (err) return err;
    if (out)
        range_init_encoder(&m.rc, out);
    else
        range_init_decoder(&m.rc, in);
    if (out)
        lite_tree(&m, false, order, ids, count, bits);
    else
        lite_tree(&m, true, order, ids, count, bits);
    if (out) err = range_finish(&m.rc);
    lite_fini(&m);
    return err;
}

static lm_err run_guesses(lm_mem *mem, uint32_t *ids, size_t count, unsigned bits, lm_buf *out,
                          lm_str in)
{
    id_tables t = {.log = GUESS_LOG};
    while (t.log < 18 && (size_t)1 << t.log < count)
        t.log++;
    size_t pairs = (size_t)4 << t.log;
    lite m;
    lm_err err = lite_init(&m, mem, ID_LOW + 4096 + 32);
    if (err) return err;
    guess *all = lm_mem_calloc(mem, pairs, sizeof *all);
    if (!all) {
        err = lm_mem_err();
        goto out;
    }
    t.three = all;
    t.two = all + ((size_t)1 << t.log);
    t.one = t.two + ((size_t)1 << t.log);
    if (out)
        range_init_encoder(&m.rc, out);
    else
        range_init_decoder(&m.rc, in);
    if (out)
        lite_ids(&m, false, &t, ids, count, bits);
    else
        lite_ids(&m, true, &t, ids, count, bits);
    if (out) err = range_finish(&m.rc);
out:
    lm_mem_release(mem, all, pairs * sizeof *all);
    lite_fini(&m);
    return err;
}

/** size_max: of any word; slots of larger ones are not looked at. */
static lm_err run_words(lm_mem *mem, uint64_t *words, size_t count, unsigned tree, size_t size_max,
                        lm_buf *out, lm_str in)
{
    lite m;
    lm_err err = lite_init_unclear(&m, mem, word_slots(tree));
    if (err) return err;
    lite_clear(&m, 0, (size_max + 1) * 64);
    lite_clear(&m, WORD_PREFIXES, (size_max + 1) * WORD_OLDER << tree);
    if (out)
        range_init_encoder(&m.rc, out);
    else
        range_init_decoder(&m.rc, in);
    if (out)
        lite_words(&m, false, words, count, tree);
    else
        lite_words(&m, true, words, count, tree);
    if (out) err = range_finish(&m.rc);
    lite_fini(&m);
    return err;
}

enum { TREE1_BITS_MAX = 8, TREE2_BITS_MAX = 5 };

/* Ids carry the way in front: the smaller of guesses and a tree. */
lm_err codec_lite_put_ids(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                          lm_buf *out)
{
    uint32_t *symbols = (uint32_t *)(uintptr_t)ids; /* only read when encoding */
    unsigned bits = id_bits(alphabet);
    enum id_way way = bits <= TREE2_BITS_MAX ? WAY_TREE2 : WAY_TREE1;
    size_t start = out->len;
    lm_buf tree;
    lm_buf_init(&tree, mem);
    lm_err err = lm_buf_u8(out, WAY_GUESS);
    if (!err) err = run_guesses(mem, symbols, count, bits, out, (lm_str){0});
    if (!err && bits <= TREE1_BITS_MAX) err = lm_buf_u8(&tree, (uint8_t)way);
    if (!err && bits <= TREE1_BITS_MAX)
        err = run_tree(mem, way, symbols, count, bits, &tree, (lm_str){0});
    if (!err && tree.len && tree.len <= out->len - start) {
        memcpy(out->ptr + start, tree.ptr, tree.len);
        out->len = start + tree.len;
    }
    lm_buf_fini(&tree);
    return err;
}

lm_err codec_lite_get_ids(lm_mem *mem, lm_str in, uint32_t *ids, size_t count, uint32_t alphabet)
{
    unsigned bits = id_bits(alphabet), way = in.len ? in.ptr[0] : 99;
    if (in.len) in = (lm_str){in.ptr + 1, in.len - 1};
    if (way == WAY_GUESS) return run_guesses(mem, ids, count, bits, NULL, in);
    bool fits = (way == WAY_TREE1 && bits <= TREE1_BITS_MAX) ||
                (way == WAY_TREE2 && bits <= TREE2_BITS_MAX);
    if (!fits) return codec_damaged("a column of ids has an unknown model");
    return run_tree(mem, way, ids, count, bits, NULL, in);
}

static lm_err run_bytes(lm_mem *mem, uint8_t *bytes, size_t count, lm_buf *out, lm_str in)
{
    lite m;
    lm_err err = lite_init(&m, mem, BYTE_SLOTS);
    if (err) return err;
    if (out)
        range_init_encoder(&m.rc, out);
    else
        range_init_decoder(&m.rc, in);
    if (out)
        lite_bytes(&m, false, bytes, count);
    else
        lite_bytes(&m, true, bytes, count);
    if (out) err = range_finish(&m.rc);
    lite_fini(&m);
    return err;
}

enum byte_way { BYTES_LIGHT = 0, BYTES_STATIC = 1 };

/* Bytes carry the way in front; the static one reads several times faster. */
lm_err codec_lite_put_bytes(lm_mem *mem, const uint8_t *bytes, size_t count, lm_buf *out)
{
    size_t start = out->len;
    lm_buf data;
    lm_buf_init(&data, mem);
    lm_err err = lm_buf_u8(out, BYTES_LIGHT);
    if (!err) err = run_bytes(mem, (uint8_t *)(uintptr_t)bytes, count, out, (lm_str){0});
    if (!err && count >= ANS_COUNT_MIN) err = codec_static_put_bytes(mem, bytes, count, &data);
    if (!err && data.len && data.len < out->len - start + count / CODEC_LITE_VALUES_A_BYTE) {
        out->len = start;
        err = lm_buf_u8(out, BYTES_STATIC);
        if (!err) err = lm_buf_append(out, data.ptr, data.len);
    }
    lm_buf_fini(&data);
    return err;
}

lm_err codec_lite_get_bytes(lm_mem *mem, lm_str in, uint8_t *bytes, size_t count)
{
    unsigned way = in.len ? in.ptr[0] : BYTES_LIGHT;
    lm_str rest = {in.ptr + (in.len > 0), in.len - (in.len > 0)};
    if (way > BYTES_STATIC) return codec_damaged("a stream has an unknown model");
    return way == BYTES_STATIC ? codec_static_get_bytes(mem, rest, bytes, count)
                               : run_bytes(mem, bytes, count, NULL, rest);
}

/* Words carry the depth of their size tree in front. */
lm_err codec_lite_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all |= words[i];
    unsigned tree = 1;
    while (1u << tree <= size_of(all))
        tree++;
    lm_err err = lm_buf_u8(out, (uint8_t)tree);
    return err ? err
               : run_words(mem, (uint64_t *)(uintptr_t)words, count, tree, size_of(all), out,
                           (lm_str){0});
}

lm_err codec_lite_get_words(lm_mem *mem, lm_str in, uint64_t *words, size_t count)
{
    if (in.len == 0 || in.ptr[0] < 1 || in.ptr[0] > 7)
        return codec_damaged("a run of numbers has an impossible size");
    size_t size_max = in.ptr[0] < 7 ? ((size_t)1 << in.ptr[0]) - 1 : 64;
    return run_words(mem, words, count, in.ptr[0], size_max, NULL,
                     (lm_str){in.ptr + 1, in.len - 1});
}
