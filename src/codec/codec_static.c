/* Words, ids and bytes by static models (codec_ans_priv.h).
 *
 * Words: tokens (small words as they are, others by their leading bits) in the context of the token
 * before and the size of the one before that; the bits below the leading ones as they are.
 *
 * Ids: of small alphabets, the id in the context of the one or two before. Others, ranked guesses:
 * the ids that followed the last two ids and the last one; the symbol says which guess is right,
 * its key how sure the first guess has been and which others agree with it. Ids that are neither
 * guessed nor the next new one are words behind.
 *
 * Bytes: in the context of their place in the string.
 *
 * Long runs of words and ids are in parts, which share the odds but nothing else: one can be read
 * without the others, and several side by side, since most of a symbol's time is waiting for the
 * one before it. */
#include "codec/codec_ans_priv.h"

/** Parts that are read side by side. */
enum { LANES = 4 };

/* ---- words ---- */

enum { DIRECT_MIN = 4, DIRECT_MAX = 7, SIZES = 8, ROW_KEYS = 64, WORD_KEYS = ROW_KEYS * SIZES };

/** What a token says about the next words, in few values. */
static unsigned token_size(unsigned token, unsigned direct)
{
    uint64_t base;
    (void)codec_token_bits(token, direct, &base);
    unsigned size = base ? 64u - (unsigned)__builtin_clzll(base) : 0;
    return size < 5 ? size : size < 8 ? 5 : size < 16 ? 6 : 7;
}

/** Keys: token before, less its low bits if there are many, and the size before that. */
typedef struct word_keys {
    uint16_t row[256]; /* by token */
    uint8_t size[256];
} word_keys;

static void word_keys_init(word_keys *k, unsigned direct, unsigned tokens)
{
    unsigned shift = 0;
    while ((tokens - 1) >> shift >= ROW_KEYS)
        shift++;
    for (unsigned t = 0; t < 256; t++) {
        k->row[t] = (uint16_t)(t < tokens ? (t >> shift) * SIZES : 0);
        k->size[t] = (uint8_t)token_size(t, direct);
    }
}

/** Bits as they are, low ones first. */
typedef struct plain_bits {
    uint8_t *bytes;
    uint64_t held;
    size_t len;
    unsigned have;
} plain_bits;

static void plain_put(plain_bits *p, uint64_t value, unsigned bits)
{
    while (bits) {
        unsigned n = bits < 32 ? bits : 32;
        p->held |= (value & (((uint64_t)1 << n) - 1)) << p->have;
        p->have += n;
        value = n < 64 ? value >> n : 0;
        bits -= n;
        for (; p->have >= 8; p->have -= 8, p->held >>= 8)
            p->bytes[p->len++] = (uint8_t)p->held;
    }
}

static void plain_end(plain_bits *p)
{
    if (p->have) p->bytes[p->len++] = (uint8_t)p->held;
    p->held = 0;
    p->have = 0;
}

/** The fewest direct words for which the tokens cost about the least: more help where few of many
 * values occur. */
static unsigned choose_direct(const uint64_t *words, size_t count)
{
    uint64_t all = 0;
    size_t large = 0;
    for (size_t i = 0; i < count; i++) {
        all |= words[i];
        large += words[i] >> DIRECT_MIN != 0;
    }
    unsigned size = all ? 64u - (unsigned)__builtin_clzll(all) : 0;
    unsigned direct = large > count / 16 ? DIRECT_MAX : DIRECT_MIN;
    while (direct > DIRECT_MIN && codec_token_of(all, direct) > 255)
        direct--;
    return size < DIRECT_MIN ? DIRECT_MIN : direct;
}

static size_t make_tokens(const uint64_t *words, size_t count, unsigned direct, uint8_t *tokens,
                          unsigned *out_top)
{
    size_t plain = 0;
    unsigned top = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t base;
        unsigned t = codec_token_of(words[i], direct);
        tokens[i] = (uint8_t)t;
        top = t > top ? t : top;
        plain += codec_token_bits(t, direct, &base);
    }
    *out_top = top;
    return plain;
}

/** Added to the direct bits: the words are in parts. */
enum { WORDS_IN_PARTS = 16 };

/** Direct bits, number of tokens, symbols, length of the plain bits and they, eight zero bytes
 * behind. In parts: the length of each part's plain bits, then they. */
lm_err codec_static_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out)
{
    unsigned direct = choose_direct(words, count), top = 0;
    uint8_t *tokens = lm_mem_alloc(mem, count);
    uint16_t *keys = lm_mem_alloc(mem, count * sizeof *keys);
    plain_bits plain = {0};
    bool in_parts = codec_is_in_parts(count);
    size_t room = 0, parts = in_parts ? codec_part_count(count) : 0;
    size_t *ends = lm_mem_calloc(mem, parts, sizeof *ends); /* of each part's plain bits */
    lm_err err = tokens && keys && ends ? LM_OK : lm_mem_err();
    if (err) goto out;
    room = make_tokens(words, count, direct, tokens, &top) / 8 + 16 + parts;
    plain.bytes = lm_mem_calloc(mem, room, 1);
    if (!plain.bytes) {
        err = lm_mem_err();
        goto out;
    }
    word_keys of;
    word_keys_init(&of, direct, top + 1);
    unsigned row = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t base;
        unsigned bits = codec_token_bits(tokens[i], direct, &base);
        keys[i] = (uint16_t)(row + size);
        size = i && !(in_parts && i % LM_PART_VALUES == 0) ? of.size[tokens[i - 1]] : 0;
        row = of.row[tokens[i]];
        plain_put(&plain, words[i] - base, bits);
        if (in_parts && ((i + 1) % LM_PART_VALUES == 0 || i + 1 == count)) {
            plain_end(&plain);
            ends[i / LM_PART_VALUES] = plain.len;
            row = size = 0;
        }
    }
    plain_end(&plain);
    err = lm_buf_u8(out, (uint8_t)(direct + (in_parts ? WORDS_IN_PARTS : 0)));
    if (!err) err = lm_buf_u8(out, (uint8_t)top);
    if (!err) err = codec_ans_put(mem, keys, tokens, count, WORD_KEYS, in_parts, out);
    if (!err && !in_parts) err = lm_buf_varint(out, plain.len);
    for (size_t p = 0; p < parts && !err; p++)
        err = lm_buf_varint(out, ends[p] - (p ? ends[p - 1] : 0));
    if (!err && (plain.len || in_parts)) err = lm_buf_append(out, plain.bytes, plain.len + 8);
out:
    lm_mem_release(mem, plain.bytes, room);
    lm_mem_release(mem, ends, parts * sizeof *ends);
    lm_mem_release(mem, keys, count * sizeof *keys);
    lm_mem_release(mem, tokens, count);
    return err;
}

/** What a token stands for. */
typedef struct token_meaning {
    uint64_t base;
    uint64_t mask;
    unsigned bits;
} token_meaning;

static void words_read(codec_ans *ans, const token_meaning *meaning, const word_keys *of,
                       lm_str plain, uint64_t *words, size_t count)
{
    const uint32_t *slots = ans->slots;
    const uint8_t *in = ans->in, *last = ans->last;
    uint32_t now = ans->state[0], next = ans->state[1];
    unsigned row = 0, size = 0, size_before = 0;
    uint64_t at = 0, end = plain.len * 8;
    for (size_t i = 0; i < count; i++) {
        unsigned t = codec_ans_next(slots, ans->of[row + size_before], &now, &in, last);
        uint32_t swap = now;
        now = next;
        next = swap;
        size_before = size;
        size = of->size[t];
        row = of->row[t];
        const token_meaning *m = &meaning[t];
        uint64_t value = m->base;
        if (m->bits) {
            value += lm_le64(plain.ptr + (at >> 3)) >> (at & 7) & m->mask;
            if (m->bits > 56) {
                uint64_t far = at + 56 < end ? at + 56 : end;
                value = m->base +
                        ((lm_le64(plain.ptr + (at >> 3)) >> (at & 7) & (UINT64_MAX >> 8)) |
                         (lm_le64(plain.ptr + (far >> 3)) >> (far & 7) & m->mask >> 56) << 56);
            }
            at += m->bits;
            at = at < end ? at : end;
        }
        words[i] = value;
    }
}

static void meanings_make(token_meaning *meaning, unsigned direct)
{
    for (unsigned t = 0; t < 256; t++) {
        meaning[t].bits = codec_token_bits(t, direct, &meaning[t].base);
        meaning[t].mask = ((uint64_t)1 << meaning[t].bits) - 1;
    }
}

static lm_err get_words_whole(lm_mem *mem, lm_reader *in, unsigned direct, unsigned top,
                              uint64_t *words, size_t count)
{
    static const uint8_t none[8];
    codec_ans ans;
    lm_err err = codec_ans_open(&ans, mem, in, WORD_KEYS);
    if (err) return err;
    size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
    lm_str plain = {none, 0};
    if (len) plain = (lm_str){lm_reader_bytes(in, len + 8).ptr, len};
    token_meaning meaning[256];
    word_keys of;
    word_keys_init(&of, direct, top + 1);
    meanings_make(meaning, direct);
    if (in->failed || lm_reader_left(in)) err = codec_damaged("a run of numbers is cut short");
    if (!err) words_read(&ans, meaning, &of, plain, words, count);
    codec_ans_close(&ans);
    return err;
}

/* ---- words in parts ---- */

/** By part, where its plain bits begin, and where the last one's end. */
static lm_err read_plain_parts(codec_static *s, lm_reader *in)
{
    size_t at = 0;
    for (size_t p = 0; p < s->ans.parts; p++) {
        size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
        if (len > UINT32_MAX - at) in->failed = true;
        s->firsts[p] = (uint32_t)at;
        at += len;
    }
    s->plain = (lm_str){lm_reader_bytes(in, at + 8).ptr, at};
    return in->failed || lm_reader_left(in) ? codec_damaged("a run of numbers is cut short")
                                            : LM_OK;
}

bool codec_static_words_are_in_parts(lm_str data)
{
    return data.len && data.ptr[0] >= WORDS_IN_PARTS;
}

lm_err codec_static_open_words(codec_static *s, lm_mem *mem, lm_str data, size_t count,
                               bool *is_in_parts)
{
    lm_reader in = lm_reader_of(data.ptr, data.len);
    *s = (codec_static){.mem = mem, .count = count};
    s->direct = lm_reader_u8(&in);
    s->top = lm_reader_u8(&in);
    *is_in_parts = !in.failed && s->direct >= WORDS_IN_PARTS;
    if (!*is_in_parts) return LM_OK;
    s->direct -= WORDS_IN_PARTS;
    if (s->direct < DIRECT_MIN || s->direct > DIRECT_MAX)
        return codec_damaged("a run of numbers has an unknown model");
    lm_err err = codec_ans_open_parts(&s->ans, mem, &in, WORD_KEYS, count);
    if (err) return err;
    s->firsts = lm_mem_alloc(mem, 2 * s->ans.parts * sizeof *s->firsts);
    err = s->firsts ? read_plain_parts(s, &in) : lm_mem_err();
    if (err) codec_static_close(s);
    return err;
}

/** One part on its way. */
typedef struct word_lane {
    codec_ans_lane ans;
    unsigned row, size, size_before;
    uint64_t at, end; /* bits */
} word_lane;

/** What all of them look into. */
typedef struct word_tables {
    token_meaning meaning[256];
    word_keys of;
} word_tables;

static inline __attribute__((always_inline)) uint64_t word_step(word_lane *l, const uint32_t *slots,
                                                                const uint16_t *context,
                                                                const word_tables *tables,
                                                                const uint8_t *plain)
{
    unsigned t = codec_ans_next(slots, context[l->row + l->size_before], &l->ans.state, &l->ans.in,
                                l->ans.last);
    l->size_before = l->size;
    l->size = tables->of.size[t];
    l->row = tables->of.row[t];
    const token_meaning *m = &tables->meaning[t];
    uint64_t low = lm_le64(plain + (l->at >> 3)) >> (l->at & 7), value = m->base + (low & m->mask);
    if (__builtin_expect(m->bits > 56, 0)) {
        uint64_t far = l->at + 56 < l->end ? l->at + 56 : l->end;
        value = m->base + ((low & (UINT64_MAX >> 8)) |
                           (lm_le64(plain + (far >> 3)) >> (far & 7) & m->mask >> 56) << 56);
    }
    l->at += m->bits;
    l->at = l->at < l->end ? l->at : l->end;
    return value;
}

static word_lane word_lane_of(const codec_static *s, size_t part)
{
    return (word_lane){.ans = codec_ans_part(&s->ans, part),
                       .at = (uint64_t)s->firsts[part] * 8,
                       .end = s->plain.len * 8};
}

/** Words go to wide, or, where that is NULL, ids below alphabet to narrow. */
static inline __attribute__((always_inline)) void word_put(uint64_t *wide, uint32_t *narrow,
                                                           size_t i, uint64_t word)
{
    if (wide)
        wide[i] = word;
    else
        narrow[i] = word < UINT32_MAX ? (uint32_t)word : UINT32_MAX; /* no id: damage is seen */
}

static inline __attribute__((always_inline)) void read_words(const codec_static *s, size_t first,
                                                             size_t end, uint64_t *wide,
                                                             uint32_t *narrow)
{
    word_tables tables;
    word_keys_init(&tables.of, s->direct, s->top + 1);
    meanings_make(tables.meaning, s->direct);
    const uint32_t *slots = s->ans.slots;
    const uint16_t *context = s->ans.of;
    const uint8_t *plain = s->plain.ptr;
    for (size_t at = 0; first < end;) {
        size_t whole = (end * LM_PART_VALUES <= s->count ? end : end - 1) - first;
        if (whole >= LANES) {
            word_lane a = word_lane_of(s, first), b = word_lane_of(s, first + 1),
                      c = word_lane_of(s, first + 2), d = word_lane_of(s, first + 3);
            for (size_t i = at; i < at + LM_PART_VALUES; i++) {
                word_put(wide, narrow, i, word_step(&a, slots, context, &tables, plain));
                word_put(wide, narrow, i + LM_PART_VALUES,
                         word_step(&b, slots, context, &tables, plain));
                word_put(wide, narrow, i + 2 * LM_PART_VALUES,
                         word_step(&c, slots, context, &tables, plain));
                word_put(wide, narrow, i + 3 * LM_PART_VALUES,
                         word_step(&d, slots, context, &tables, plain));
            }
            first += LANES;
            at += LANES * LM_PART_VALUES;
            continue;
        }
        size_t count = codec_part_values(s->count, first++);
        word_lane a = word_lane_of(s, first - 1);
        for (size_t i = at; i < at + count; i++)
            word_put(wide, narrow, i, word_step(&a, slots, context, &tables, plain));
        at += count;
    }
}

void codec_static_read_words(codec_static *s, size_t first, size_t end, uint64_t *dst)
{
    read_words(s, first, end, dst, NULL);
}

lm_err codec_static_get_words(lm_mem *mem, lm_str data, uint64_t *words, size_t count)
{
    codec_static s;
    bool is_in_parts;
    lm_err err = codec_static_open_words(&s, mem, data, count, &is_in_parts);
    if (err) return err;
    if (is_in_parts) {
        codec_static_read_words(&s, 0, s.ans.parts, words);
        codec_static_close(&s);
        return LM_OK;
    }
    lm_reader in = lm_reader_of(data.ptr, data.len);
    unsigned direct = lm_reader_u8(&in), top = lm_reader_u8(&in);
    if (in.failed || direct < DIRECT_MIN || direct > DIRECT_MAX)
        return codec_damaged("a run of numbers has an unknown model");
    return get_words_whole(mem, &in, direct, top, words, count);
}

/* ---- ids of small alphabets ---- */

enum { TREE1_MAX = 256, TREE2_MAX = 22 };

static lm_err put_small(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                        lm_buf *out)
{
    size_t part = codec_is_in_parts(count) ? LM_PART_VALUES : count;
    uint8_t *symbols = lm_mem_alloc(mem, count);
    uint16_t *keys = lm_mem_alloc(mem, count * sizeof *keys);
    lm_err err = symbols && keys ? LM_OK : lm_mem_err();
    unsigned older = alphabet <= TREE2_MAX ? alphabet : 0;
    for (size_t i = 0; i < count && !err; i++) {
        size_t at = i % part;
        keys[i] = (uint16_t)((at ? ids[i - 1] : 0) + older * (at > 1 ? ids[i - 2] : 0));
        symbols[i] = (uint8_t)ids[i];
    }
    if (!err)
        err = codec_ans_put(mem, keys, symbols, count, older ? alphabet * alphabet : alphabet,
                            codec_is_in_parts(count), out);
    lm_mem_release(mem, keys, count * sizeof *keys);
    lm_mem_release(mem, symbols, count);
    return err;
}

static lm_err get_small(lm_mem *mem, lm_reader *in, uint32_t *ids, size_t count, uint32_t alphabet)
{
    unsigned older = alphabet <= TREE2_MAX ? alphabet : 0;
    codec_ans ans;
    lm_err err = codec_ans_open(&ans, mem, in, older ? alphabet * alphabet : alphabet);
    if (err) return err;
    const uint8_t *at = ans.in;
    uint32_t now = ans.state[0], next = ans.state[1], swap;
    unsigned one = 0, two = 0, top = alphabet - 1;
    for (size_t i = 0; i < count; i++) {
        unsigned id = codec_ans_next(ans.slots, ans.of[one + older * two], &now, &at, ans.last);
        swap = now, now = next, next = swap;
        id = id < top ? id : top; /* only in damaged bytes */
        ids[i] = id;
        two = one;
        one = id;
    }
    codec_ans_close(&ans);
    return LM_OK;
}

typedef struct small_lane {
    codec_ans_lane ans;
    unsigned one, two;
    uint32_t *dst;
} small_lane;

static inline __attribute__((always_inline)) void small_step(small_lane *l, size_t i,
                                                             const uint32_t *slots,
                                                             const uint16_t *context,
                                                             unsigned older, unsigned top)
{
    unsigned id = codec_ans_next(slots, context[l->one + older * l->two], &l->ans.state, &l->ans.in,
                                 l->ans.last);
    id = id < top ? id : top; /* only in damaged bytes */
    l->dst[i] = id;
    l->two = l->one;
    l->one = id;
}

static void read_small(const codec_static *s, size_t first, size_t end, uint32_t *dst)
{
    unsigned older = s->alphabet <= TREE2_MAX ? s->alphabet : 0, top = s->alphabet - 1;
    const uint32_t *slots = s->ans.slots;
    const uint16_t *context = s->ans.of;
    while (first < end) {
        size_t whole = (end * LM_PART_VALUES <= s->count ? end : end - 1) - first;
        if (whole >= LANES) {
            small_lane a = {codec_ans_part(&s->ans, first), 0, 0, dst},
                       b = {codec_ans_part(&s->ans, first + 1), 0, 0, dst + LM_PART_VALUES},
                       c = {codec_ans_part(&s->ans, first + 2), 0, 0, dst + 2 * LM_PART_VALUES},
                       d = {codec_ans_part(&s->ans, first + 3), 0, 0, dst + 3 * LM_PART_VALUES};
            for (size_t i = 0; i < LM_PART_VALUES; i++) {
                small_step(&a, i, slots, context, older, top);
                small_step(&b, i, slots, context, older, top);
                small_step(&c, i, slots, context, older, top);
                small_step(&d, i, slots, context, older, top);
            }
            first += LANES;
            dst += LANES * LM_PART_VALUES;
            continue;
        }
        size_t count = codec_part_values(s->count, first);
        small_lane a = {codec_ans_part(&s->ans, first), 0, 0, dst};
        for (size_t i = 0; i < count; i++)
            small_step(&a, i, slots, context, older, top);
        first++;
        dst += count;
    }
}

/* ---- ids by guesses ---- */

enum {
    TABLE_LOG_MIN = 12,
    TABLE_LOG_FEW = 13,
    TABLE_LOG_MAX = 16,
    TABLE_IDS_FEW = 8192,
    RANK_NEW = 3,
    RANK_FAR = 4
};

enum { GUESS_KEYS = 8 * 4 * 2 * 8 };

/** Of an entry of both tables. */
enum { GUESS_BYTES = 12 };

/** Guesses: id << 4 | how sure (0: none, 1..15). */
typedef struct guesses {
    lm_mem *mem;
    uint32_t *two;
    uint64_t *one;       /* pairs, the first of each in the low half */
    unsigned log, shift; /* of the tables' sizes; 32 - log */
    uint32_t mask, p1, p2, next_new, history;
} guesses;

static lm_err guesses_init(guesses *g, lm_mem *mem, size_t count, uint32_t alphabet)
{
    *g = (guesses){.mem = mem, .log = TABLE_LOG_MIN};
    unsigned most = alphabet > TABLE_IDS_FEW ? TABLE_LOG_MAX : TABLE_LOG_FEW;
    while (g->log < most && (size_t)1 << g->log < count)
        g->log++;
    g->shift = 32 - g->log;
    g->mask = (1u << g->log) - 1;
    g->one = lm_mem_calloc(mem, (size_t)1 << g->log, GUESS_BYTES);
    if (!g->one) return lm_mem_err();
    g->two = (uint32_t *)(g->one + ((size_t)1 << g->log));
    return LM_OK;
}

static size_t guesses_bytes(const guesses *g)
{
    return (size_t)GUESS_BYTES << g->log;
}

/** As at the begin, but for the next new id. */
static void guesses_reset(guesses *g)
{
    memset(g->one, 0, guesses_bytes(g));
    g->p1 = g->p2 = g->history = 0;
}

static void guesses_fini(guesses *g)
{
    lm_mem_release(g->mem, g->one, guesses_bytes(g));
}

/* Which guess is right is hard to foretell, for a CPU too: what follows has no branches. */

/** x if is, else y. */
static inline uint32_t pick(bool is, uint32_t x, uint32_t y)
{
    return y ^ ((x ^ y) & (0 - (uint32_t)is));
}

/** A slot after id: surer if it was right (or not set), half as sure if it was wrong, else it takes
 * the id. */
static inline uint32_t learned(uint32_t slot, uint32_t id)
{
    /* by right, sure: how sure then; above 15: the id is kept */
    static const uint8_t then[32] = {1,  1,  1,  17, 18, 18, 19, 19, 20, 20, 21,
                                     21, 22, 22, 23, 23, 17, 18, 19, 20, 21, 22,
                                     23, 24, 25, 26, 27, 28, 29, 30, 31, 31};
    uint32_t t = then[(unsigned)(slot >> 4 == id) << 4 | (slot & 15)];
    return pick(t > 15, slot & ~15u, id << 4) | (t & 15);
}

/** The slots for one id: two, the pair of one. */
typedef struct guess_row {
    uint32_t *two;
    uint64_t *pair;
    uint32_t slot[3];
} guess_row;

static inline __attribute__((always_inline)) unsigned guess_look(const guesses *g, guess_row *r)
{
    /* by how sure: level * 64 */
    static const uint16_t level[16] = {0,   64,  128, 192, 256, 256, 320, 320,
                                       320, 384, 384, 384, 384, 384, 384, 448};
    r->two = &g->two[(g->p1 * 0x9e3779b1u + g->p2 * 0x85ebca6bu) >> g->shift];
    r->pair = &g->one[g->p1 & g->mask];
    uint32_t a = *r->two, b = (uint32_t)*r->pair, c = (uint32_t)(*r->pair >> 32);
    r->slot[0] = a;
    r->slot[1] = b;
    r->slot[2] = c;
    uint32_t first = pick(a, a, b);
    /* slots of one id differ in their low bits only; one that is not set is 0 */
    unsigned is_b = (unsigned)((b ^ first) < 16) & (unsigned)(b != 0),
             is_c = (unsigned)((c ^ first) < 16) & (unsigned)(c != 0);
    return level[first & 15] + is_b * 16 + is_c * 32 + (unsigned)!a * 8 + g->history;
}

static inline __attribute__((always_inline)) void guess_learn(guesses *g, const guess_row *r,
                                                              uint32_t id, unsigned symbol)
{
    /* by history, symbol */
    static const uint8_t next[64] = {0, 1, 1, 2, 3, 0, 0, 0, 4, 5, 5, 6, 7, 4, 4, 4,
                                     4, 5, 5, 6, 7, 4, 4, 4, 4, 5, 5, 6, 7, 4, 4, 4,
                                     0, 1, 1, 2, 3, 0, 0, 0, 4, 5, 5, 6, 7, 4, 4, 4,
                                     4, 5, 5, 6, 7, 4, 4, 4, 4, 5, 5, 6, 7, 4, 4, 4};
    uint32_t a = r->slot[1], b = r->slot[2];
    bool is_a = (a >> 4 == id) | !a, is_b = (b >> 4 == id) & (b != 0);
    uint32_t a_less = a - ((uint32_t)!is_b & (uint32_t)((a & 15) > 1)), b_now = learned(b, id);
    bool is_up = is_b & ((b_now & 15) >= (a & 15));
    uint32_t first = pick(is_a, learned(a, id), pick(is_up, b_now, a_less)),
             second = pick(is_a, b, pick(is_up, a_less, b_now));
    *r->two = learned(r->slot[0], id);
    *r->pair = first | (uint64_t)second << 32;
    g->history = next[g->history << 3 | symbol];
    g->next_new = id >= g->next_new ? id + 1 : g->next_new;
    g->p2 = g->p1;
    g->p1 = id;
}

/** Symbols, in parts also the next new id and the number of far ids at the begin of each, number of
 * far ids, they as words. */
static lm_err put_guesses(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                          lm_buf *out)
{
    guesses g = {0};
    uint8_t *symbols = NULL;
    uint16_t *keys = NULL;
    uint64_t *far = NULL;
    bool in_parts = codec_is_in_parts(count);
    size_t far_count = 0, far_told = 0, part = in_parts ? LM_PART_VALUES : count;
    uint32_t new_told = 0;
    lm_buf starts;
    lm_buf_init(&starts, mem);
    lm_err err = guesses_init(&g, mem, part, alphabet);
    if (err) return err;
    symbols = lm_mem_alloc(mem, count);
    keys = lm_mem_alloc(mem, count * sizeof *keys);
    far = lm_mem_alloc(mem, count * sizeof *far);
    if (!symbols || !keys || !far) err = lm_mem_err();
    for (size_t i = 0; i < count && !err; i++) {
        guess_row row;
        uint32_t id = ids[i];
        if (i && i % part == 0) {
            guesses_reset(&g);
            err = lm_buf_varint(&starts, g.next_new - new_told);
            if (!err) err = lm_buf_varint(&starts, far_count - far_told);
            new_told = g.next_new;
            far_told = far_count;
        }
        keys[i] = (uint16_t)guess_look(&g, &row);
        unsigned rank = 0;
        while (rank < RANK_NEW && (!row.slot[rank] || row.slot[rank] >> 4 != id))
            rank++;
        if (rank == RANK_NEW && id != g.next_new) rank = RANK_FAR;
        symbols[i] = (uint8_t)rank;
        if (rank == RANK_FAR) far[far_count++] = id;
        guess_learn(&g, &row, id, rank);
    }
    if (!err) err = codec_ans_put(mem, keys, symbols, count, GUESS_KEYS, in_parts, out);
    if (!err && starts.len) err = lm_buf_append(out, starts.ptr, starts.len);
    if (!err) err = lm_buf_varint(out, far_count);
    bool is_static = far_count >= ANS_COUNT_MIN;
    if (!err && far_count) err = lm_buf_u8(out, is_static);
    if (!err && far_count)
        err = is_static ? codec_static_put_words(mem, far, far_count, out)
                        : codec_lite_put_words(mem, far, far_count, out);
    lm_mem_release(mem, far, count * sizeof *far);
    lm_mem_release(mem, keys, count * sizeof *keys);
    lm_mem_release(mem, symbols, count);
    lm_buf_fini(&starts);
    guesses_fini(&g);
    return err;
}

/** The id that a symbol stands for: the choices are stored before the symbol is known. */
static inline __attribute__((always_inline)) uint32_t guess_choose(const guesses *g,
                                                                   const guess_row *r, uint64_t far,
                                                                   unsigned symbol)
{
    volatile uint32_t choice[8]; /* one store each: a load waits for a store that is wider */
    choice[0] = r->slot[0];
    choice[1] = r->slot[1];
    choice[2] = r->slot[2];
    choice[3] = g->next_new << 4;
    choice[4] = choice[5] = choice[6] = choice[7] = (uint32_t)far << 4;
    return choice[symbol] >> 4; /* below CODEC_STATIC_IDS_MAX */
}

/** far has a word more than far_count. */
static void guesses_read(codec_ans *ans, guesses *state, const uint64_t *far, size_t far_count,
                         uint32_t *ids, size_t count)
{
    guesses g = *state;
    const uint32_t *slots = ans->slots;
    const uint8_t *in = ans->in, *last = ans->last;
    const uint64_t *far_end = far + far_count;
    uint32_t now = ans->state[0], next = ans->state[1], swap;
    for (size_t i = 0; i < count; i++) {
        guess_row row;
        unsigned key = guess_look(&g, &row);
        unsigned symbol = codec_ans_next(slots, ans->of[key], &now, &in, last) & 7;
        swap = now, now = next, next = swap;
        uint32_t id = guess_choose(&g, &row, *far, symbol);
        far += (symbol == RANK_FAR) & (far < far_end);
        ids[i] = id;
        guess_learn(&g, &row, id, symbol);
    }
}

/** Far ids, and a word more. The caller frees them, also after an error. */
static lm_err get_far(lm_mem *mem, lm_reader *in, size_t count, uint64_t **out, size_t *out_count)
{
    size_t far_count = (size_t)lm_reader_varint_max(in, count);
    unsigned is_static = far_count ? lm_reader_u8(in) : 0;
    uint64_t *far = lm_mem_calloc(mem, far_count + 1, sizeof *far);
    *out = far;
    *out_count = far_count;
    if (!far) return lm_mem_err();
    if (in->failed || is_static > 1) return codec_damaged("a column of ids has an unknown model");
    lm_str rest = lm_reader_bytes(in, lm_reader_left(in));
    if (!far_count) return LM_OK;
    return is_static ? codec_static_get_words(mem, rest, far, far_count)
                     : codec_lite_get_words(mem, rest, far, far_count);
}

static lm_err get_guesses(lm_mem *mem, lm_reader *in, uint32_t *ids, size_t count,
                          uint32_t alphabet)
{
    guesses g = {0};
    codec_ans ans;
    uint64_t *far = NULL;
    size_t far_count = 0;
    lm_err err = codec_ans_open(&ans, mem, in, GUESS_KEYS);
    if (err) return err;
    err = get_far(mem, in, count, &far, &far_count);
    if (!err) err = guesses_init(&g, mem, count, alphabet);
    if (!err) guesses_read(&ans, &g, far, far_count, ids, count);
    if (g.one) guesses_fini(&g);
    lm_mem_release(mem, far, (far_count + 1) * sizeof *far);
    codec_ans_close(&ans);
    return err;
}

/* ---- guesses in parts ---- */

typedef struct guess_lane {
    codec_ans_lane ans;
    guesses g;
    const uint64_t *far, *far_end;
    uint32_t *dst;
} guess_lane;

static inline __attribute__((always_inline)) void guess_step(guess_lane *l, size_t i,
                                                             const uint32_t *slots,
                                                             const uint16_t *context)
{
    guess_row row;
    unsigned key = guess_look(&l->g, &row);
    unsigned symbol =
        codec_ans_next(slots, context[key], &l->ans.state, &l->ans.in, l->ans.last) & 7;
    uint32_t id = guess_choose(&l->g, &row, *l->far, symbol);
    l->far += (symbol == RANK_FAR) & (l->far < l->far_end);
    l->dst[i] = id;
    guess_learn(&l->g, &row, id, symbol);
}

static guess_lane guess_lane_of(codec_static *s, size_t part, size_t lane, uint32_t *dst)
{
    const guesses *all = s->tables;
    guess_lane l = {.ans = codec_ans_part(&s->ans, part), .g = all[lane], .dst = dst};
    guesses_reset(&l.g);
    l.g.next_new = s->firsts[2 * part];
    l.far = s->far + s->firsts[2 * part + 1];
    l.far_end = s->far + s->far_count;
    return l;
}

static void read_guesses(codec_static *s, size_t first, size_t end, uint32_t *dst)
{
    const uint32_t *slots = s->ans.slots;
    const uint16_t *context = s->ans.of;
    while (first < end) {
        size_t whole = (end * LM_PART_VALUES <= s->count ? end : end - 1) - first;
        if (whole >= LANES && s->lanes == LANES) {
            guess_lane a = guess_lane_of(s, first, 0, dst),
                       b = guess_lane_of(s, first + 1, 1, dst + LM_PART_VALUES),
                       c = guess_lane_of(s, first + 2, 2, dst + 2 * LM_PART_VALUES),
                       d = guess_lane_of(s, first + 3, 3, dst + 3 * LM_PART_VALUES);
            for (size_t i = 0; i < LM_PART_VALUES; i++) {
                guess_step(&a, i, slots, context);
                guess_step(&b, i, slots, context);
                guess_step(&c, i, slots, context);
                guess_step(&d, i, slots, context);
            }
            first += LANES;
            dst += LANES * LM_PART_VALUES;
            continue;
        }
        size_t count = codec_part_values(s->count, first);
        guess_lane a = guess_lane_of(s, first, 0, dst);
        for (size_t i = 0; i < count; i++)
            guess_step(&a, i, slots, context);
        first++;
        dst += count;
    }
}

/** The next new id and the first far id of each part. */
static lm_err read_starts(codec_static *s, lm_reader *in)
{
    uint64_t next_new = 0, far = 0;
    for (size_t p = 0; p < s->ans.parts; p++) {
        if (p) {
            next_new += lm_reader_varint_max(in, CODEC_STATIC_IDS_MAX);
            far += lm_reader_varint_max(in, s->count);
        }
        if (in->failed || next_new > CODEC_STATIC_IDS_MAX || far > s->count)
            return codec_damaged("a part of a column of ids begins nowhere");
        s->firsts[2 * p] = (uint32_t)next_new;
        s->firsts[2 * p + 1] = (uint32_t)far;
    }
    lm_err err = get_far(s->mem, in, s->count, &s->far, &s->far_count);
    if (!err && far > s->far_count) err = codec_damaged("a part of a column of ids begins nowhere");
    return err;
}

static lm_err open_guesses(codec_static *s, lm_reader *in, size_t lanes)
{
    s->firsts = lm_mem_alloc(s->mem, 2 * s->ans.parts * sizeof *s->firsts);
    if (!s->firsts) return lm_mem_err();
    lm_err err = read_starts(s, in);
    if (err) return err;
    guesses *tables = lm_mem_calloc(s->mem, lanes, sizeof *tables);
    if (!tables) return lm_mem_err();
    s->tables = tables;
    s->lanes = lanes;
    for (size_t i = 0; i < lanes && !err; i++)
        err = guesses_init(&tables[i], s->mem, LM_PART_VALUES, s->alphabet);
    return err;
}

/* ---- ids ---- */

/* WAY_PARTS + WAY_SMALL, + WAY_GUESSES: in parts. Words are so by themselves. */
enum { WAY_SMALL = 0, WAY_GUESSES = 1, WAY_PARTS = 2, WAY_WORDS = 4 };

/** Words read several times faster than guesses: these have to save a byte for so many values. */
enum { GUESS_A_BYTE = 20 };

/** Ids as words: for those that come in no order. */
static lm_err put_as_words(lm_mem *mem, const uint32_t *ids, size_t count, lm_buf *out)
{
    uint64_t *words = lm_mem_alloc(mem, count * sizeof *words);
    if (!words) return lm_mem_err();
    for (size_t i = 0; i < count; i++)
        words[i] = ids[i];
    lm_err err = lm_buf_u8(out, WAY_WORDS);
    if (!err) err = codec_static_put_words(mem, words, count, out);
    lm_mem_release(mem, words, count * sizeof *words);
    return err;
}

static lm_err get_as_words(lm_mem *mem, lm_str data, uint32_t *ids, size_t count)
{
    uint64_t *words = lm_mem_alloc(mem, count * sizeof *words);
    if (!words) return lm_mem_err();
    lm_err err = codec_static_get_words(mem, data, words, count);
    for (size_t i = 0; i < count && !err; i++)
        word_put(NULL, ids, i, words[i]);
    lm_mem_release(mem, words, count * sizeof *words);
    return err;
}

/** Take other if it is at most slack bytes longer than what out holds from start on. */
static lm_err put_if_short(lm_buf *out, size_t start, size_t slack, const lm_buf *other)
{
    if (other->len > out->len - start + slack) return LM_OK;
    out->len = start;
    return lm_buf_append(out, other->ptr, other->len);
}

lm_err codec_static_put_ids(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                            lm_buf *out)
{
    lm_buf other;
    lm_buf_init(&other, mem);
    size_t start = out->len;
    unsigned parts = codec_is_in_parts(count) ? WAY_PARTS : 0;
    lm_err err = lm_buf_u8(out, (uint8_t)(WAY_GUESSES + parts));
    if (!err) err = put_guesses(mem, ids, count, alphabet, out);
    if (!err) err = put_as_words(mem, ids, count, &other);
    if (!err) err = put_if_short(out, start, count / GUESS_A_BYTE, &other);
    other.len = 0;
    if (!err && alphabet <= TREE1_MAX) {
        err = lm_buf_u8(&other, (uint8_t)(WAY_SMALL + parts));
        if (!err) err = put_small(mem, ids, count, alphabet, &other);
        if (!err) err = put_if_short(out, start, (out->len - start) / 64, &other);
    }
    lm_buf_fini(&other);
    return err;
}

lm_err codec_static_open_ids(codec_static *s, lm_mem *mem, lm_str data, size_t count,
                             uint32_t alphabet, bool is_by_part, bool *is_in_parts)
{
    lm_reader in = lm_reader_of(data.ptr, data.len);
    *s = (codec_static){.mem = mem, .count = count, .alphabet = alphabet};
    s->way = lm_reader_u8(&in);
    if (!in.failed && s->way == WAY_WORDS) {
        lm_err err = codec_static_open_words(s, mem, (lm_str){in.ptr, lm_reader_left(&in)}, count,
                                             is_in_parts);
        s->way = WAY_WORDS;
        return err;
    }
    if (in.failed || s->way > WAY_PARTS + WAY_GUESSES || alphabet == 0 ||
        alphabet > CODEC_STATIC_IDS_MAX || ((s->way & 1) == WAY_SMALL && alphabet > TREE1_MAX)) {
        return codec_damaged("a column of ids has an unknown model");
    }
    *is_in_parts = s->way >= WAY_PARTS;
    s->way &= 1;
    if (!*is_in_parts) return LM_OK;
    unsigned older = alphabet <= TREE2_MAX ? alphabet : 1;
    unsigned keys = s->way == WAY_SMALL ? alphabet * older : GUESS_KEYS;
    lm_err err = codec_ans_open_parts(&s->ans, mem, &in, keys, count);
    if (!err && s->way == WAY_GUESSES) err = open_guesses(s, &in, is_by_part ? 1 : LANES);
    if (!err && lm_reader_left(&in)) err = codec_damaged("a column of ids has bytes left over");
    if (err) codec_static_close(s);
    return err;
}

void codec_static_read_ids(codec_static *s, size_t first, size_t end, uint32_t *dst)
{
    if (s->way == WAY_WORDS)
        read_words(s, first, end, NULL, dst);
    else if (s->way == WAY_SMALL)
        read_small(s, first, end, dst);
    else
        read_guesses(s, first, end, dst);
}

void codec_static_close(codec_static *s)
{
    guesses *tables = s->tables;
    for (size_t i = 0; i < s->lanes; i++) {
        if (tables[i].one) guesses_fini(&tables[i]);
    }
    lm_mem_release(s->mem, tables, s->lanes * sizeof *tables);
    lm_mem_release(s->mem, s->far, (s->far_count + 1) * sizeof *s->far);
    lm_mem_release(s->mem, s->firsts, 2 * s->ans.parts * sizeof *s->firsts);
    codec_ans_close(&s->ans);
    *s = (codec_static){.mem = s->mem};
}

lm_err codec_static_get_ids(lm_mem *mem, lm_str data, uint32_t *ids, size_t count,
                            uint32_t alphabet)
{
    codec_static s;
    bool is_in_parts;
    lm_err err = codec_static_open_ids(&s, mem, data, count, alphabet, false, &is_in_parts);
    if (err) return err;
    if (is_in_parts) {
        codec_static_read_ids(&s, 0, s.ans.parts, ids);
        codec_static_close(&s);
        return LM_OK;
    }
    lm_reader in = lm_reader_of(data.ptr + 1, data.len - 1);
    if (s.way == WAY_WORDS) return get_as_words(mem, (lm_str){in.ptr, data.len - 1}, ids, count);
    err = s.way == WAY_SMALL ? get_small(mem, &in, ids, count, alphabet)
                             : get_guesses(mem, &in, ids, count, alphabet);
    if (!err && lm_reader_left(&in)) err = codec_damaged("a column of ids has bytes left over");
    return err;
}

/* ---- bytes ---- */

enum { PLACES = 32 };

lm_err codec_static_put_bytes(lm_mem *mem, const uint8_t *bytes, size_t count, lm_buf *out)
{
    uint16_t *keys = lm_mem_alloc(mem, count * sizeof *keys);
    if (!keys) return lm_mem_err();
    unsigned place = 0;
    for (size_t i = 0; i < count; i++) {
        keys[i] = (uint16_t)place;
        place = bytes[i] == '\n' ? 0 : place + (place < PLACES - 1);
    }
    lm_err err = codec_ans_put(mem, keys, bytes, count, PLACES, false, out);
    lm_mem_release(mem, keys, count * sizeof *keys);
    return err;
}

lm_err codec_static_get_bytes(lm_mem *mem, lm_str data, uint8_t *bytes, size_t count)
{
    lm_reader in = lm_reader_of(data.ptr, data.len);
    codec_ans ans;
    lm_err err = codec_ans_open(&ans, mem, &in, PLACES);
    if (err) return err;
    const uint8_t *at = ans.in;
    uint32_t now = ans.state[0], next = ans.state[1], swap;
    unsigned place = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned byte = codec_ans_next(ans.slots, ans.of[place], &now, &at, ans.last);
        swap = now, now = next, next = swap;
        bytes[i] = (uint8_t)byte;
        place = byte == '\n' ? 0 : place + (place < PLACES - 1);
    }
    codec_ans_close(&ans);
    return lm_reader_left(&in) ? codec_damaged("a stream has bytes left over") : LM_OK;
}
