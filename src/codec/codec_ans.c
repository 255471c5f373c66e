/* Static models: clusters of keys, odds, and the two states of rANS. codec_ans_priv.h says what
 * for; docs/format/columns.md has the bytes.
 *
 * Writing: count the symbols of each key; the most frequent keys begin as clusters of their own,
 * and the two whose join costs least are joined while that saves more (odds not written) than it
 * costs; every other key goes to the cluster that suits it best. Odds are rounded to parts of
 * ANS_ONE. The symbols are coded from the last to the first, so that the reader goes forward. */
#include "codec/codec_ans_priv.h"

enum { SEEDS_MAX = 32, SEED_COUNT_MIN = 32, ODDS_BITS = 8 };

/** log2 of n in 1/256, to about a hundredth of a bit. */
static uint64_t log2_of(uint32_t n)
{
    if (n < 2) return 0;
    unsigned top = 31u - (unsigned)__builtin_clz(n);
    uint64_t rest = ((uint64_t)n << 8 >> top) & 255;
    return (uint64_t)top * 256 + rest + (rest * (256 - rest) * 88 >> 16);
}

/** Bits, in 1/256, of counts coded with their own odds, the odds included. */
static uint64_t cost_of(const uint32_t *counts, const uint32_t *more, unsigned symbols)
{
    uint64_t all = 0, saved = 0, odds = 0;
    for (unsigned s = 0; s < symbols; s++) {
        uint32_t n = counts[s] + (more ? more[s] : 0);
        if (!n) continue;
        all += n;
        saved += n * log2_of(n);
        odds += ODDS_BITS * 256;
    }
    return all * log2_of((uint32_t)all) - saved + odds;
}

typedef struct clusters {
    lm_mem *mem;
    uint32_t *by_key; /* [keys][symbols] */
    uint32_t *counts; /* [SEEDS_MAX][symbols] */
    uint64_t cost[SEEDS_MAX];
    uint32_t totals[ANS_KEYS_MAX];
    uint16_t of[ANS_KEYS_MAX];
    unsigned keys, symbols, count;
} clusters;

static lm_err clusters_init(clusters *c, lm_mem *mem, const uint16_t *keys, const uint8_t *symbols,
                            size_t count, unsigned key_count)
{
    unsigned top = 0;
    for (size_t i = 0; i < count; i++)
        top = symbols[i] > top ? symbols[i] : top;
    *c = (clusters){.mem = mem, .keys = key_count, .symbols = top + 1};
    c->by_key = lm_mem_calloc(mem, (size_t)c->keys * c->symbols, sizeof *c->by_key);
    c->counts = lm_mem_calloc(mem, (size_t)SEEDS_MAX * c->symbols, sizeof *c->counts);
    if (!c->by_key || !c->counts) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        c->by_key[(size_t)keys[i] * c->symbols + symbols[i]]++;
        c->totals[keys[i]]++;
    }
    return LM_OK;
}

static void clusters_fini(clusters *c)
{
    lm_mem_release(c->mem, c->by_key, (size_t)c->keys * c->symbols * sizeof *c->by_key);
    lm_mem_release(c->mem, c->counts, (size_t)SEEDS_MAX * c->symbols * sizeof *c->counts);
}

static uint32_t *cluster_at(const clusters *c, unsigned i)
{
    return c->counts + (size_t)i * c->symbols;
}

static void cluster_add(clusters *c, unsigned i, unsigned key)
{
    const uint32_t *from = c->by_key + (size_t)key * c->symbols;
    for (unsigned s = 0; s < c->symbols; s++)
        cluster_at(c, i)[s] += from[s];
    c->of[key] = (uint16_t)i;
}

/** The most frequent keys, each a cluster. */
static void clusters_seed(clusters *c)
{
    bool is_taken[ANS_KEYS_MAX] = {false};
    while (c->count < SEEDS_MAX) {
        unsigned best = c->keys;
        for (unsigned k = 0; k < c->keys; k++) {
            if (!is_taken[k] && (best == c->keys || c->totals[k] > c->totals[best])) best = k;
        }
        if (best == c->keys || (c->count && c->totals[best] < SEED_COUNT_MIN)) break;
        is_taken[best] = true;
        cluster_add(c, c->count, best);
        c->cost[c->count] = cost_of(cluster_at(c, c->count), NULL, c->symbols);
        c->totals[best] = 0; /* it has its place */
        c->count++;
    }
}

static void clusters_join(clusters *c, unsigned a, unsigned b)
{
    unsigned last = c->count - 1;
    for (unsigned s = 0; s < c->symbols; s++)
        cluster_at(c, a)[s] += cluster_at(c, b)[s];
    c->cost[a] = cost_of(cluster_at(c, a), NULL, c->symbols);
    if (b != last) memcpy(cluster_at(c, b), cluster_at(c, last), c->symbols * sizeof *c->counts);
    memset(cluster_at(c, last), 0, c->symbols * sizeof *c->counts);
    c->cost[b] = c->cost[last];
    for (unsigned k = 0; k < c->keys; k++) {
        if (c->of[k] == b)
            c->of[k] = (uint16_t)a;
        else if (c->of[k] == last)
            c->of[k] = (uint16_t)b;
    }
    c->count--;
}

/** Join the cheapest pair until nothing is gained and there are few enough. */
static void clusters_settle(clusters *c)
{
    int64_t gain[SEEDS_MAX][SEEDS_MAX];
    for (unsigned a = 0; a < c->count; a++) {
        for (unsigned b = a + 1; b < c->count; b++)
            gain[a][b] = (int64_t)(c->cost[a] + c->cost[b] -
                                   cost_of(cluster_at(c, a), cluster_at(c, b), c->symbols));
    }
    while (c->count > 1) {
        unsigned at = 0, with = 1;
        for (unsigned a = 0; a < c->count; a++) {
            for (unsigned b = a + 1; b < c->count; b++) {
                if (gain[a][b] > gain[at][with]) at = a, with = b;
            }
        }
        if (gain[at][with] <= 0 && c->count <= ANS_CONTEXTS_MAX) break;
        unsigned last = c->count - 1;
        clusters_join(c, at, with);
        for (unsigned i = 0; i < c->count; i++) { /* the last one has moved to where with was */
            if (with == last || i == with) continue;
            int64_t moved = i < last ? gain[i][last] : 0;
            if (i < with) gain[i][with] = moved;
            if (i > with) gain[with][i] = moved;
        }
        for (unsigned i = 0; i < c->count; i++) {
            if (i == at) continue;
            int64_t now = (int64_t)(c->cost[at] + c->cost[i] -
                                    cost_of(cluster_at(c, at), cluster_at(c, i), c->symbols));
            gain[i < at ? i : at][i < at ? at : i] = now;
        }
    }
}

/** The keys without a cluster: where their symbols are likeliest. */
static void clusters_rest(clusters *c)
{
    for (unsigned k = 0; k < c->keys; k++) {
        if (!c->totals[k]) continue;
        const uint32_t *own = c->by_key + (size_t)k * c->symbols;
        uint64_t least = UINT64_MAX;
        unsigned best = 0;
        for (unsigned i = 0; i < c->count; i++) {
            const uint32_t *there = cluster_at(c, i);
            uint64_t all = 1, bits = 0;
            for (unsigned s = 0; s < c->symbols; s++)
                all += there[s];
            for (unsigned s = 0; s < c->symbols; s++) {
                if (own[s])
                    bits += own[s] * (log2_of((uint32_t)all) - log2_of(there[s]) +
                                      (there[s] ? 0 : ODDS_BITS * 256));
            }
            if (bits >= least) continue;
            least = bits;
            best = i;
        }
        cluster_add(c, best, k);
    }
}

/** Counts to parts of ANS_ONE; what occurs gets at least one part. */
static void odds_round(const uint32_t *counts, unsigned symbols, uint64_t *odds)
{
    uint64_t all = 0, given = 0;
    unsigned most = 0;
    for (unsigned s = 0; s < symbols; s++) {
        all += counts[s];
        if (counts[s] > counts[most]) most = s;
    }
    for (unsigned s = 0; s < symbols; s++) {
        odds[s] = all ? (counts[s] * (uint64_t)ANS_ONE + all / 2) / all : 0;
        if (counts[s] && !odds[s]) odds[s] = 1;
        given += odds[s];
    }
    if (!all) odds[most] = given = ANS_ONE;
    while (given > ANS_ONE) { /* from the largest, one by one: at most a part a symbol is over */
        unsigned top = 0;
        for (unsigned s = 0; s < symbols; s++) {
            if (odds[s] > odds[top]) top = s;
        }
        uint64_t over = given - ANS_ONE, take = odds[top] / 8 < over ? odds[top] / 8 : over;
        if (!take) take = 1;
        odds[top] -= take;
        given -= take;
    }
    odds[most] += ANS_ONE - given;
}

static lm_err put_words(lm_mem *mem, const uint64_t *words, size_t count, lm_buf *out)
{
    lm_buf data;
    lm_buf_init(&data, mem);
    lm_err err = codec_lite_put_words(mem, words, count, &data);
    if (!err) err = lm_buf_varint(out, data.len);
    if (!err) err = lm_buf_append(out, data.ptr, data.len);
    lm_buf_fini(&data);
    return err;
}

static lm_err get_words(lm_mem *mem, lm_reader *in, uint64_t *words, size_t count)
{
    size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
    lm_str data = lm_reader_bytes(in, len);
    if (in->failed) return codec_damaged("odds are cut short");
    return codec_lite_get_words(mem, data, words, count);
}

/** Numbers of contexts and symbols, the context of each key, and the odds of each context. */
static lm_err put_odds(const clusters *c, const uint64_t *odds, lm_buf *out)
{
    uint64_t of[ANS_KEYS_MAX];
    for (unsigned k = 0; k < c->keys; k++)
        of[k] = c->of[k];
    lm_err err = lm_buf_varint(out, c->count);
    if (!err) err = lm_buf_varint(out, c->symbols);
    if (!err && c->count > 1) err = put_words(c->mem, of, c->keys, out);
    if (!err) err = put_words(c->mem, odds, (size_t)c->count * c->symbols, out);
    return err;
}

/** Where the odds of each symbol begin, by context. */
static void odds_begin(const clusters *c, const uint64_t *odds, uint32_t *begins)
{
    for (unsigned i = 0; i < c->count; i++) {
        uint32_t begin = 0;
        for (unsigned s = 0; s < c->symbols; s++) {
            begins[i * c->symbols + s] = begin;
            begin += (uint32_t)odds[i * c->symbols + s];
        }
    }
}

/** A symbol onto a state; what is too much for it goes in front of at. */
static inline uint8_t *state_push(uint32_t *state, uint32_t part, uint32_t begin, uint8_t *at)
{
    uint32_t x = *state;
    if (x >= (uint64_t)part << (32 - ANS_LOG)) {
        *--at = (uint8_t)(x >> 8);
        *--at = (uint8_t)x;
        x >>= 16;
    }
    *state = (x / part << ANS_LOG) + x % part + begin;
    return at;
}

/** Symbols from the last to the first; words are written from the end of room to its front. */
static lm_err put_symbols(const clusters *c, const uint64_t *odds, const uint16_t *keys,
                          const uint8_t *symbols, size_t count, lm_buf *out)
{
    size_t room = 2 * count + 16;
    uint32_t *begins = lm_mem_alloc(c->mem, (size_t)c->count * c->symbols * sizeof *begins);
    uint8_t *bytes = lm_mem_alloc(c->mem, room), *at = bytes ? bytes + room : NULL;
    lm_err err = begins && bytes ? LM_OK : lm_mem_err();
    if (!err) odds_begin(c, odds, begins);
    uint32_t state[2] = {1u << 16, 1u << 16};
    for (size_t i = count; !err && i-- > 0;) {
        size_t place = (size_t)c->of[keys[i]] * c->symbols + symbols[i];
        at = state_push(&state[i & 1], (uint32_t)odds[place], begins[place], at);
    }
    size_t len = err ? 0 : (size_t)(bytes + room - at);
    if (!err) err = lm_buf_varint(out, len + 10);
    if (!err) err = lm_buf_le32(out, state[0]);
    if (!err) err = lm_buf_le32(out, state[1]);
    if (!err) err = lm_buf_append(out, at, len);
    for (int i = 0; i < 2 && !err; i++)
        err = lm_buf_u8(out, 0);
    lm_mem_release(c->mem, bytes, room);
    lm_mem_release(c->mem, begins, (size_t)c->count * c->symbols * sizeof *begins);
    return err;
}

/** The same in parts, each with a state of its own: length of each, then they. */
static lm_err put_parts(const clusters *c, const uint64_t *odds, const uint16_t *keys,
                        const uint8_t *symbols, size_t count, lm_buf *out)
{
    size_t parts = codec_part_count(count), room = 2 * count + 4 * parts;
    uint32_t *begins = lm_mem_alloc(c->mem, (size_t)c->count * c->symbols * sizeof *begins);
    size_t *lengths = lm_mem_alloc(c->mem, parts * sizeof *lengths);
    uint8_t *bytes = lm_mem_alloc(c->mem, room), *at = bytes ? bytes + room : NULL;
    lm_err err = begins && lengths && bytes ? LM_OK : lm_mem_err();
    if (!err) odds_begin(c, odds, begins);
    for (size_t p = parts, end = count; !err && p-- > 0; end = p * LM_PART_VALUES) {
        uint32_t state = 1u << 16;
        uint8_t *behind = at;
        for (size_t i = end; i-- > p * LM_PART_VALUES;) {
            size_t place = (size_t)c->of[keys[i]] * c->symbols + symbols[i];
            at = state_push(&state, (uint32_t)odds[place], begins[place], at);
        }
        for (int k = 24; k >= 0; k -= 8)
            *--at = (uint8_t)(state >> k);
        lengths[p] = (size_t)(behind - at);
    }
    for (size_t p = 0; !err && p < parts; p++)
        err = lm_buf_varint(out, lengths[p]);
    if (!err) err = lm_buf_append(out, at, (size_t)(bytes + room - at));
    for (int i = 0; i < 2 && !err; i++)
        err = lm_buf_u8(out, 0);
    lm_mem_release(c->mem, bytes, room);
    lm_mem_release(c->mem, lengths, parts * sizeof *lengths);
    lm_mem_release(c->mem, begins, (size_t)c->count * c->symbols * sizeof *begins);
    return err;
}

lm_err codec_ans_put(lm_mem *mem, const uint16_t *keys, const uint8_t *symbols, size_t count,
                     unsigned key_count, bool in_parts, lm_buf *out)
{
    LM_ASSERT(key_count >= 1 && key_count <= ANS_KEYS_MAX && count <= CODEC_COUNT_MAX);
    clusters c;
    uint64_t *odds = NULL;
    lm_err err = clusters_init(&c, mem, keys, symbols, count, key_count);
    if (err) goto out;
    clusters_seed(&c);
    clusters_settle(&c);
    clusters_rest(&c);
    odds = lm_mem_calloc(mem, (size_t)c.count * c.symbols, sizeof *odds);
    if (!odds) {
        err = lm_mem_err();
        goto out;
    }
    for (unsigned i = 0; i < c.count; i++)
        odds_round(cluster_at(&c, i), c.symbols, odds + (size_t)i * c.symbols);
    err = put_odds(&c, odds, out);
    if (!err)
        err = in_parts ? put_parts(&c, odds, keys, symbols, count, out)
                       : put_symbols(&c, odds, keys, symbols, count, out);
out:
    lm_mem_release(mem, odds, (size_t)c.count * c.symbols * sizeof *odds);
    clusters_fini(&c);
    return err;
}

/* ---- reading ---- */

static lm_err read_contexts(codec_ans *ans, const uint64_t *odds, unsigned symbols)
{
    for (size_t c = 0; c < ans->contexts; c++) {
        uint32_t *slots = ans->slots + (c << ANS_LOG), begin = 0;
        for (unsigned s = 0; s < symbols; s++) {
            uint64_t part = odds[c * symbols + s];
            if (part > ANS_ONE - begin) return codec_damaged("odds are more than one");
            for (uint32_t k = 0; k < part; k++)
                slots[begin + k] = s | k << 8 | (uint32_t)(part - 1) << 19;
            begin += (uint32_t)part;
        }
        if (begin != ANS_ONE) return codec_damaged("odds are less than one");
    }
    return LM_OK;
}

static lm_err read_odds(codec_ans *ans, lm_reader *in, unsigned key_count)
{
    ans->contexts = (size_t)lm_reader_varint_max(in, ANS_CONTEXTS_MAX);
    unsigned symbols = (unsigned)lm_reader_varint_max(in, 256);
    if (in->failed || !ans->contexts || !symbols) return codec_damaged("odds are cut short");
    uint64_t of[ANS_KEYS_MAX] = {0};
    lm_err err = ans->contexts > 1 ? get_words(ans->mem, in, of, key_count) : LM_OK;
    for (unsigned k = 0; k < key_count && !err; k++) {
        if (of[k] >= ans->contexts) return codec_damaged("a key has an unknown context");
        ans->of[k] = (uint16_t)of[k];
    }
    size_t count = ans->contexts * symbols;
    uint64_t *odds = lm_mem_alloc(ans->mem, count * sizeof *odds);
    ans->slots = lm_mem_alloc(ans->mem, (ans->contexts << ANS_LOG) * sizeof *ans->slots);
    if (!err && (!odds || !ans->slots)) err = lm_mem_err();
    if (!err) err = get_words(ans->mem, in, odds, count);
    if (!err) err = read_contexts(ans, odds, symbols);
    lm_mem_release(ans->mem, odds, count * sizeof *odds);
    return err;
}

lm_err codec_ans_open(codec_ans *ans, lm_mem *mem, lm_reader *in, unsigned key_count)
{
    memset(ans, 0, sizeof *ans);
    ans->mem = mem;
    lm_err err = read_odds(ans, in, key_count);
    size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
    lm_str data = lm_reader_bytes(in, len);
    if (!err && (in->failed || len < 10)) err = codec_damaged("symbols are cut short");
    if (err) {
        codec_ans_close(ans);
        return err;
    }
    ans->state[0] = lm_le32(data.ptr);
    ans->state[1] = lm_le32(data.ptr + 4);
    ans->in = data.ptr + 8;
    ans->last = data.ptr + len - 2;
    return LM_OK;
}

lm_err codec_ans_open_parts(codec_ans *ans, lm_mem *mem, lm_reader *in, unsigned key_count,
                            size_t count)
{
    memset(ans, 0, sizeof *ans);
    ans->mem = mem;
    ans->parts = codec_part_count(count);
    lm_err err = read_odds(ans, in, key_count);
    if (!err && ans->parts > lm_reader_left(in)) err = codec_damaged("symbols are cut short");
    if (!err) {
        ans->begins = lm_mem_alloc(mem, (ans->parts + 1) * sizeof *ans->begins);
        if (!ans->begins) err = lm_mem_err();
    }
    size_t at = 0;
    for (size_t p = 0; !err && p < ans->parts; p++) {
        size_t len = (size_t)lm_reader_varint_max(in, lm_reader_left(in));
        if (in->failed || len < 4 || len > UINT32_MAX - at)
            err = codec_damaged("symbols are cut short");
        ans->begins[p] = (uint32_t)at;
        at += len;
    }
    if (!err) {
        ans->begins[ans->parts] = (uint32_t)at;
        ans->in = lm_reader_bytes(in, at + 2).ptr;
        if (in->failed) err = codec_damaged("symbols are cut short");
    }
    if (err) codec_ans_close(ans);
    return err;
}

void codec_ans_close(codec_ans *ans)
{
    lm_mem_release(ans->mem, ans->begins, (ans->parts + 1) * sizeof *ans->begins);
    ans->begins = NULL;
    lm_mem_release(ans->mem, ans->slots, (ans->contexts << ANS_LOG) * sizeof *ans->slots);
    ans->slots = NULL;
}
