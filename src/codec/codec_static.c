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
 * Bytes: in the context of their place in the string. */
#include "codec/codec_ans_priv.h"

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

/** Direct bits, number of tokens, symbols, length of the plain bits and they, eight zero bytes
 * behind. */
lm_err codec_static_put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out)
{
    unsigned direct = choose_direct(words, count), top = 0;
    uint8_t *tokens = lm_mem_alloc(mem, count);
    uint16_t *keys = lm_mem_alloc(mem, count * sizeof *keys);
    plain_bits plain = {0};
    size_t room = 0;
    lm_err err = tokens && keys ? LM_OK : lm_mem_err();
    if (err) goto out;
    room = make_tokens(words, count, direct, tokens, &top) / 8 + 16;
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
        size = i ? of.size[tokens[i - 1]] : 0;
        row = of.row[tokens[i]];
        plain_put(&plain, words[i] - base, bits);
    }
    if (plain.have) plain.bytes[plain.len++] = (uint8_t)plain.held;
    err = lm_buf_u8(out, (uint8_t)direct);
    if (!err) err = lm_buf_u8(out, (uint8_t)top);
    if (!err) err = codec_ans_put(mem, keys, tokens, count, WORD_KEYS, out);
    if (!err) err = lm_buf_varint(out, plain.len);
    if (!err && plain.len) err = lm_buf_append(out, plain.bytes, plain.len + 8);
out:
    lm_mem_release(mem, plain.bytes, room);
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

lm_err codec_static_get_words(lm_mem *mem, lm_str data, uint64_t *words, size_t count)
{
    static const uint8_t none[8];
    lm_reader in = lm_reader_of(data.ptr, data.len);
    unsigned direct = lm_reader_u8(&in), top = lm_reader_u8(&in);
    if (in.failed || direct < DIRECT_MIN || direct > DIRECT_MAX)
        return codec_damaged("a run of numbers has an unknown model");
    codec_ans ans;
    lm_err err = codec_ans_open(&ans, mem, &in, WORD_KEYS);
    if (err) return err;
    size_t len = (size_t)lm_reader_varint_max(&in, lm_reader_left(&in));
    lm_str plain = {none, 0};
    if (len) plain = (lm_str){lm_reader_bytes(&in, len + 8).ptr, len};
    token_meaning meaning[256];
    word_keys of;
    word_keys_init(&of, direct, top + 1);
    for (unsigned t = 0; t < 256; t++) {
        meaning[t].bits = codec_token_bits(t, direct, &meaning[t].base);
        meaning[t].mask = ((uint64_t)1 << meaning[t].bits) - 1;
    }
    if (in.failed || lm_reader_left(&in)) err = codec_damaged("a run of numbers is cut short");
    if (!err) words_read(&ans, meaning, &of, plain, words, count);
    codec_ans_close(&ans);
    return err;
}

/* ---- ids of small alphabets ---- */

enum { TREE1_MAX = 256, TREE2_MAX = 22 };

static lm_err put_small(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                        lm_buf *out)
{
    uint8_t *symbols = lm_mem_alloc(mem, count);
    uint16_t *keys = lm_mem_alloc(mem, count * sizeof *keys);
    lm_err err = symbols && keys ? LM_OK : lm_mem_err();
    unsigned older = alphabet <= TREE2_MAX ? alphabet : 0;
    for (size_t i = 0; i < count && !err; i++) {
        keys[i] = (uint16_t)((i ? ids[i - 1] : 0) + older * (i > 1 ? ids[i - 2] : 0));
        symbols[i] = (uint8_t)ids[i];
    }
    if (!err)
        err = codec_ans_put(mem, keys, symbols, count, older ? alphabet * alphabet : alphabet, out);
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

/** Guesses: id << 4 | how sure (0: none, 1..15). */
typedef struct guesses {
    lm_mem *mem;
    uint32_t *two, *one; /* one: pairs */
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
    g->two = lm_mem_calloc(mem, (size_t)3 << g->log, sizeof *g->two);
    if (!g->two) return lm_mem_err();
    g->one = g->two + ((size_t)1 << g->log);
    return LM_OK;
}

static void guesses_fini(guesses *g)
{
    lm_mem_release(g->mem, g->two, ((size_t)3 << g->log) * sizeof *g->two);
}

/** A slot after id: surer if it was right (or not set), half as sure if it was wrong, else it takes
 * the id. */
static inline uint32_t learned(uint32_t slot, uint32_t id)
{
    uint32_t sure = slot & 15, wrong = sure > 2 ? (slot ^ sure) | sure / 2 : id << 4 | 1;
    return slot >> 4 == id ? slot + (sure < 15) : wrong;
}

/** The slots for one id: two, the pair of one. */
typedef struct guess_row {
    uint32_t *two, *pair;
    uint32_t slot[3];
} guess_row;

static inline __attribute__((always_inline)) unsigned guess_look(const guesses *g, guess_row *r)
{
    static const uint8_t level[16] = {0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7};
    r->two = &g->two[(g->p1 * 0x9e3779b1u + g->p2 * 0x85ebca6bu) >> g->shift];
    r->pair = &g->one[2 * (g->p1 & g->mask)];
    uint32_t a = *r->two, b = r->pair[0], c = r->pair[1];
    r->slot[0] = a;
    r->slot[1] = b;
    r->slot[2] = c;
    uint32_t first = a ? a : b;
    /* slots of one id differ in their low bits only; one that is not set is 0 */
    unsigned agree = (unsigned)((b ^ first) < 16 && b) | (unsigned)((c ^ first) < 16 && c) << 1;
    return ((level[first & 15] * 4u + agree) * 2 + !a) * 8 + g->history;
}

static inline __attribute__((always_inline)) void guess_learn(guesses *g, const guess_row *r,
                                                              uint32_t id, unsigned symbol)
{
    static const uint8_t kind_of[8] = {0, 1, 1, 2, 3};
    *r->two = learned(r->slot[0], id);
    uint32_t a = r->slot[1], b = r->slot[2];
    bool is_a = a >> 4 == id || !a, is_b = b >> 4 == id && b;
    uint32_t a_less = a - (!is_b && (a & 15) > 1), b_now = learned(b, id);
    bool is_up = is_b && (b_now & 15) >= (a & 15);
    r->pair[0] = is_a ? learned(a, id) : is_up ? b_now : a_less;
    r->pair[1] = is_a ? b : is_up ? a_less : b_now;
    g->history = kind_of[symbol] | (g->history & 3 ? 4 : 0);
    g->next_new = id >= g->next_new ? id + 1 : g->next_new;
    g->p2 = g->p1;
    g->p1 = id;
}

/** Symbols, number of far ids, they as words. */
static lm_err put_guesses(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                          lm_buf *out)
{
    guesses g = {0};
    uint8_t *symbols = NULL;
    uint16_t *keys = NULL;
    uint64_t *far = NULL;
    size_t far_count = 0;
    lm_err err = guesses_init(&g, mem, count, alphabet);
    if (err) return err;
    symbols = lm_mem_alloc(mem, count);
    keys = lm_mem_alloc(mem, count * sizeof *keys);
    far = lm_mem_alloc(mem, count * sizeof *far);
    if (!symbols || !keys || !far) err = lm_mem_err();
    for (size_t i = 0; i < count && !err; i++) {
        guess_row row;
        uint32_t id = ids[i];
        keys[i] = (uint16_t)guess_look(&g, &row);
        unsigned rank = 0;
        while (rank < RANK_NEW && (!row.slot[rank] || row.slot[rank] >> 4 != id))
            rank++;
        if (rank == RANK_NEW && id != g.next_new) rank = RANK_FAR;
        symbols[i] = (uint8_t)rank;
        if (rank == RANK_FAR) far[far_count++] = id;
        guess_learn(&g, &row, id, rank);
    }
    if (!err) err = codec_ans_put(mem, keys, symbols, count, GUESS_KEYS, out);
    if (!err) err = lm_buf_varint(out, far_count);
    bool is_static = far_count >= ANS_COUNT_MIN;
    if (!err && far_count) err = lm_buf_u8(out, is_static);
    if (!err && far_count)
        err = is_static ? codec_static_put_words(mem, far, far_count, out)
                        : codec_lite_put_words(mem, far, far_count, out);
    lm_mem_release(mem, far, count * sizeof *far);
    lm_mem_release(mem, keys, count * sizeof *keys);
    lm_mem_release(mem, symbols, count);
    guesses_fini(&g);
    return err;
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
        uint32_t choice[8] = {row.slot[0] >> 4, row.slot[1] >> 4, row.slot[2] >> 4, g.next_new,
                              (uint32_t)*far};
        far += symbol == RANK_FAR && far < far_end;
        uint32_t id = choice[symbol] & (CODEC_STATIC_IDS_MAX - 1); /* changes damaged bytes only */
        ids[i] = id;
        guess_learn(&g, &row, id, symbol);
    }
}

static lm_err get_guesses(lm_mem *mem, lm_reader *in, uint32_t *ids, size_t count,
                          uint32_t alphabet)
{
    guesses g = {0};
    codec_ans ans;
    lm_err err = codec_ans_open(&ans, mem, in, GUESS_KEYS);
    if (err) return err;
    size_t far_count = (size_t)lm_reader_varint_max(in, count);
    unsigned is_static = far_count ? lm_reader_u8(in) : 0;
    uint64_t *far = lm_mem_calloc(mem, far_count + 1, sizeof *far);
    err = far ? guesses_init(&g, mem, count, alphabet) : lm_mem_err();
    if (err) goto out;
    if (in->failed || is_static > 1) err = codec_damaged("a column of ids has an unknown model");
    lm_str rest = lm_reader_bytes(in, lm_reader_left(in));
    if (!err && far_count)
        err = is_static ? codec_static_get_words(mem, rest, far, far_count)
                        : codec_lite_get_words(mem, rest, far, far_count);
    if (!err) guesses_read(&ans, &g, far, far_count, ids, count);
    guesses_fini(&g);
out:
    lm_mem_release(mem, far, (far_count + 1) * sizeof *far);
    codec_ans_close(&ans);
    return err;
}

/* ---- ids ---- */

enum { WAY_SMALL = 0, WAY_GUESSES = 1 };

lm_err codec_static_put_ids(lm_mem *mem, const uint32_t *ids, size_t count, uint32_t alphabet,
                            lm_buf *out)
{
    lm_buf small;
    lm_buf_init(&small, mem);
    size_t start = out->len;
    lm_err err = lm_buf_u8(out, WAY_GUESSES);
    if (!err) err = put_guesses(mem, ids, count, alphabet, out);
    if (!err && alphabet <= TREE1_MAX) {
        err = lm_buf_u8(&small, WAY_SMALL);
        if (!err) err = put_small(mem, ids, count, alphabet, &small);
        /* it reads faster */
        if (!err && small.len <= out->len - start + (out->len - start) / 64) {
            out->len = start;
            err = lm_buf_append(out, small.ptr, small.len);
        }
    }
    lm_buf_fini(&small);
    return err;
}

lm_err codec_static_get_ids(lm_mem *mem, lm_str data, uint32_t *ids, size_t count,
                            uint32_t alphabet)
{
    lm_reader in = lm_reader_of(data.ptr, data.len);
    unsigned way = lm_reader_u8(&in);
    if (in.failed || way > WAY_GUESSES || alphabet == 0 || alphabet > CODEC_STATIC_IDS_MAX ||
        (way == WAY_SMALL && alphabet > TREE1_MAX)) {
        return codec_damaged("a column of ids has an unknown model");
    }
    lm_err err = way == WAY_SMALL ? get_small(mem, &in, ids, count, alphabet)
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
    lm_err err = codec_ans_put(mem, keys, bytes, count, PLACES, out);
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
