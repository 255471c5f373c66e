/**
 * A second look at the shapes of a segment: words that vary.
 *
 * The scanner knows variables by their bytes: digits, quotes, `=`, paths. A word without any of
 * these (a package, a user, a host) is constant text to it, and each one makes a shape of its own.
 * Here the shapes are compared with one another: where many of them agree but for one word or a
 * few, these words are variables, and the shapes one.
 *
 *   skeletons --cut at blanks--> words --as many words--> groups
 *   group --few different words at one place: split there, again and again--> what is left differs
 *         in words that hardly come back: a pattern, unless it costs more than it saves
 *   skeleton of a line --pattern?--> a plan: where its words are cut out of such lines
 *
 * A word may hold variables (`lib<6>:amd<64>`): they become part of it, since the places of its
 * digits vary as freely as its letters. What all words of a place begin and end with stays constant
 * text if a sign sets it off. Blanks behind a word belong to it: columns are often padded.
 *
 * A pattern only says where to cut: whatever line it is put to, text and variables give the line.
 * So two patterns of one key (a hash) would cost bytes, and nothing else.
 */
#include "archive/archive_parse_priv.h"
#include <stdlib.h>

enum {
    WORDS_MAX = 64,      /* of a line; with more it is not looked at */
    WORD_BYTES_MAX = 96, /* of a variable word's skeleton */
    VARS_MAX = 8,        /* words that vary and hardly come back */
    SHAPES_MIN = 6,      /* that a pattern joins, at least */
    FRAGMENT_MIN = 8,    /* a group is split by its words if so many shapes are left to each, */
    SPLIT_MAX = 24,      /* and there are no more than so many */
    FORMS_MIN = 4,       /* words whose digits are in so many different places are told apart by
                            their texts */
    ROWS_PER_SHAPE = 4,  /* words with variables in them: lines that come back more often keep
                            these */
    ID_BYTES_MIN = 16,   /* a variable as long is an id: inside a word it is no number any more */
    PROBE_FROM = 4096,   /* with more shapes, the first ones tell whether it is worth looking */
    PROBE = 2048,
    LOOK_WORDS_MAX =
        1 << 18, /* 10 MB; shapes behind them are not looked at, but cut like the others */
    /* what is saved and spent, in twentieths of a byte, as measured on many logs */
    UNIT = 20,
    SHAPE_SAVES = 6 * UNIT,  /* a shape less: its marks and template, the matches of its text */
    CUT_SAVES = 2 * UNIT,    /* and for each place where its text is cut */
    TEXT_SAVES = 7,          /* a byte of a word that is not written again */
    PLACE_COSTS = 40 * UNIT, /* a variable: its columns */
    ID_COSTS = 8,            /* a byte of an id */
    SAVED_MIN = 64 * UNIT
};

typedef struct word {
    uint64_t hash;
    uint64_t text;       /* hash of what it is in the shape's first line */
    uint32_t begin, len; /* in the skeleton, blanks behind it included */
    uint32_t first_var;  /* in sample_lens */
    uint16_t vars;       /* in it */
    uint16_t times;      /* of these */
    uint16_t numbers;    /* of these: what is stored as a number */
} word;

/** Where a line is cut at one of its words. */
typedef struct cut {
    uint32_t at;          /* number of the word */
    uint32_t front, back; /* bytes of it that are constant; never between LM_MARK and its kind,
                             since a sign sets them off */
    uint32_t text;        /* in texts: the front, then the back */
} cut;

typedef struct pattern {
    uint64_t key; /* of the words that do not vary */
    uint32_t first_cut, cut_count;
} pattern;

/** Which words vary, a bit each. */
typedef struct word_mask {
    uint64_t bits;
    uint32_t next; /* for as many words, + 1 */
} word_mask;

/** Bytes of a skeleton that are one variable. */
typedef struct span {
    uint32_t begin, end;
} span;

struct words {
    lm_mem *mem;
    lm_buf texts;
    cut *cuts;
    size_t cut_count, cut_cap;
    pattern *patterns;
    size_t pattern_count, pattern_cap;
    word_mask *masks;
    size_t mask_count, mask_cap;
    uint32_t first_mask[WORDS_MAX + 1]; /* by number of words, + 1 */
    uint32_t *slots;                    /* patterns by key: number + 1 */
    size_t slot_cap;
    span *spans; /* of plans */
    size_t span_count, span_cap;
    word *words; /* of the shapes looked at */
    size_t word_count, word_cap;
    uint32_t *first; /* word of each shape */
    uint8_t *counts; /* of words of each shape; 0: too many */
    size_t shape_count, shape_cap;
};

/* ---- words of a skeleton ---- */

static inline bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/** How many bytes, from the first on, are above the blank. */
static inline size_t count_above_blank(const uint8_t *p, size_t len)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    size_t n = 0;
    for (; n + 8 <= len; n += 8) {
        uint64_t bytes = lm_le64(p + n);
        uint64_t others = (bytes - each * (' ' + 1)) & ~bytes & each * 0x80;
        if (others) return n + ((size_t)__builtin_ctzll(others) >> 3);
    }
    while (n < len && p[n] > ' ')
        n++;
    return n;
}

/** Words of a skeleton, at most WORDS_MAX; 0: it has more. */
static size_t cut_words(const uint8_t *p, size_t len, word *out)
{
    size_t count = 0;
    for (size_t at = 0; at < len;) {
        if (count == WORDS_MAX) return 0;
        word *w = &out[count++];
        *w = (word){.begin = (uint32_t)at};
        for (; at < len; at++) {
            at += count_above_blank(p + at, len - at); /* most are letters */
            if (at == len) break;
            if (is_blank(p[at])) break;
            if (p[at] != LM_MARK || at + 1 == len) continue;
            w->vars++;
            if (p[++at] == LM_KIND_TIME) w->times++;
        }
        while (at < len && is_blank(p[at]))
            at++;
        w->len = (uint32_t)at - w->begin;
        w->hash = lm_hash64(p + w->begin, w->len);
    }
    return count;
}

static inline uint64_t place_hash(const word *words, size_t at)
{
    return lm_hash_u64(words[at].hash + at * UINT64_C(0x9E3779B97F4A7C15));
}

/** Key of all words but those of the mask. */
static uint64_t key_of(const word *words, size_t count, uint64_t bits)
{
    uint64_t key = count + bits;
    for (size_t at = 0; at < count; at++)
        if (!(bits >> at & 1)) key += place_hash(words, at);
    return key;
}

/* ---- looking at the words of one place ---- */

typedef struct look {
    lm_mem *mem;
    const lm_parsed *parsed;
    const lm_shapes *shapes;
    struct words *out;
    uint64_t *seen;   /* a set of hashes: those whose stamp is the last one */
    uint32_t *stamps; /* beside seen */
    size_t seen_cap;
    uint32_t stamp;
    uint64_t varied; /* places that vary among all lines of as many words */
    int64_t saved;   /* UNIT */
} look;

/** Shapes of as many words, and what their words at one place are. */
typedef struct group {
    uint32_t *shapes;
    size_t count;
    size_t words;
} group;

typedef struct place {
    uint32_t cards;    /* different words */
    uint32_t kinds;    /* the same, or different texts of theirs */
    uint64_t bytes;    /* of all of them */
    uint64_t distinct; /* of the different ones */
    uint64_t id_bytes; /* of ids inside */
    size_t front, back;
    bool is_weighed, may_vary;
} place;

static inline const word *word_at(const look *lk, uint32_t shape, size_t at)
{
    return &lk->out->words[lk->out->first[shape] + at];
}

static inline const uint8_t *word_text(const look *lk, uint32_t shape, size_t at)
{
    return lk->shapes->skeletons.ptr + lk->shapes->items[shape].skeleton +
           word_at(lk, shape, at)->begin;
}

static size_t set_begin(look *lk, size_t count)
{
    size_t mask = 15;
    while (mask < count * 2)
        mask = mask * 2 + 1;
    lk->stamp++;
    return mask;
}

/** Is it new to the set? */
static inline bool set_add(look *lk, uint64_t hash, size_t mask)
{
    size_t at = hash & mask;
    for (; lk->stamps[at] == lk->stamp; at = (at + 1) & mask)
        if (lk->seen[at] == hash) return false;
    lk->stamps[at] = lk->stamp;
    lk->seen[at] = hash;
    return true;
}

static place count_words(look *lk, const group *g, size_t at)
{
    place out = {0};
    size_t mask = set_begin(lk, g->count);
    for (size_t i = 0; i < g->count; i++) {
        const word *w = word_at(lk, g->shapes[i], at);
        out.bytes += w->len;
        if (!set_add(lk, w->hash, mask)) continue;
        out.cards++;
        out.distinct += w->len;
    }
    out.kinds = out.cards;
    return out;
}

static uint32_t count_texts(look *lk, const group *g, size_t at)
{
    size_t mask = set_begin(lk, g->count);
    uint32_t n = 0;
    for (size_t i = 0; i < g->count; i++)
        n += set_add(lk, word_at(lk, g->shapes[i], at)->text, mask);
    return n;
}

/** A sign sets constant text off from what varies. */
static inline bool is_sign(uint8_t c)
{
    return c > LM_MARK && !is_alnum(c) && c < 0x80;
}

/** What all words of a place begin and end with; something of each is left between. */
static void find_ends(const look *lk, const group *g, size_t at, place *out)
{
    size_t len = word_at(lk, g->shapes[0], at)->len, front = len, back = len, least = len;
    const uint8_t *p = word_text(lk, g->shapes[0], at);
    for (size_t i = 1; i < g->count; i++) {
        size_t other = word_at(lk, g->shapes[i], at)->len, k = 0;
        const uint8_t *q = word_text(lk, g->shapes[i], at);
        if (other < least) least = other;
        for (size_t n = front < other ? front : other; k < n && p[k] == q[k];)
            k++;
        front = k;
        k = 0;
        for (size_t n = back < other ? back : other; k < n && p[len - 1 - k] == q[other - 1 - k];)
            k++;
        back = k;
    }
    while (back && (back >= least || !is_sign(p[len - back])))
        back--;
    while (front && (front + back >= least || !is_sign(p[front - 1])))
        front--;
    out->front = front;
    out->back = back;
}

static unsigned count_marks(const uint8_t *p, size_t len, unsigned *times)
{
    unsigned n = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        if (p[i] != LM_MARK) continue;
        *times += p[++i] == LM_KIND_TIME;
        n++;
    }
    return n;
}

/** May the words of a place be one variable, and what would be lost by it? */
static void weigh_place(const look *lk, const group *g, size_t at, place *out)
{
    out->is_weighed = true;
    find_ends(lk, g, at, out);
    size_t len = word_at(lk, g->shapes[0], at)->len;
    const uint8_t *p = word_text(lk, g->shapes[0], at);
    unsigned times = 0, before = count_marks(p, out->front, &times);
    unsigned outside = before + count_marks(p + len - out->back, out->back, &times);
    uint64_t rows = 0, shapes = 0;
    for (size_t i = 0; i < g->count; i++) {
        const word *w = word_at(lk, g->shapes[i], at);
        if (w->times > times || w->len - out->front - out->back > WORD_BYTES_MAX) return;
        if (w->vars == outside) continue;
        if (w->numbers) {
            rows += lk->shapes->items[g->shapes[i]].rows;
            shapes++;
        }
        const uint32_t *lens = lk->parsed->sample_lens + w->first_var + before;
        for (unsigned v = outside; v < w->vars; v++, lens++)
            if (*lens >= ID_BYTES_MIN) out->id_bytes += *lens;
    }
    out->may_vary = rows <= shapes * ROWS_PER_SHAPE;
}

/* ---- patterns ---- */

static lm_err add_mask(struct words *out, size_t words, uint64_t bits)
{
    for (uint32_t m = out->first_mask[words]; m; m = out->masks[m - 1].next)
        if (out->masks[m - 1].bits == bits) return LM_OK;
    lm_err err =
        lm_vec_grow(out->mem, &out->masks, &out->mask_cap, out->mask_count + 1, sizeof *out->masks);
    if (err) return err;
    out->masks[out->mask_count++] = (word_mask){bits, out->first_mask[words]};
    out->first_mask[words] = (uint32_t)out->mask_count;
    return LM_OK;
}

static lm_err add_cut(look *lk, const group *g, size_t at, const place *p)
{
    struct words *out = lk->out;
    lm_err err =
        lm_vec_grow(lk->mem, &out->cuts, &out->cut_cap, out->cut_count + 1, sizeof *out->cuts);
    if (err) return err;
    out->cuts[out->cut_count++] = (cut){.at = (uint32_t)at,
                                        .front = (uint32_t)p->front,
                                        .back = (uint32_t)p->back,
                                        .text = (uint32_t)out->texts.len};
    const uint8_t *text = word_text(lk, g->shapes[0], at);
    err = lm_buf_append(&out->texts, text, p->front);
    if (err) return err;
    return lm_buf_append(&out->texts, text + word_at(lk, g->shapes[0], at)->len - p->back, p->back);
}

static lm_err add_pattern(look *lk, const group *g, const place *places, uint64_t bits)
{
    struct words *out = lk->out;
    lm_err err = lm_vec_grow(lk->mem, &out->patterns, &out->pattern_cap, out->pattern_count + 1,
                             sizeof *out->patterns);
    if (!err) err = add_mask(out, g->words, bits);
    if (err) return err;
    pattern *made = &out->patterns[out->pattern_count++];
    *made = (pattern){.key = key_of(word_at(lk, g->shapes[0], 0), g->words, bits),
                      .first_cut = (uint32_t)out->cut_count};
    for (uint64_t left = bits; !err && left; left &= left - 1) {
        size_t at = (size_t)__builtin_ctzll(left);
        err = add_cut(lk, g, at, &places[at]);
    }
    made->cut_count = (uint32_t)out->cut_count - made->first_cut;
    return err;
}

/**
 * Is the group one pattern? What varies must be little beside what tells the group from others of
 * as many words, or come back itself: else these are sentences that happen to be as long.
 */
static bool is_pattern(look *lk, const group *g, place *places, uint64_t bits)
{
    unsigned vars = (unsigned)__builtin_popcountll(bits);
    unsigned told = (unsigned)__builtin_popcountll(lk->varied & ~bits), plain = 0;
    uint64_t cards = 0;
    for (size_t at = 0; at < g->words; at++) {
        if (bits >> at & 1) {
            cards += places[at].cards;
        } else {
            plain += word_at(lk, g->shapes[0], at)->vars == 0;
        }
    }
    bool is_apart = !(bits & bits >> 1 & bits >> 2) && vars <= plain;
    if (cards * 2 > g->count && (vars > VARS_MAX || (vars > told + 1 && !is_apart))) return false;
    int64_t saved = (int64_t)(g->count - 1) * (SHAPE_SAVES + CUT_SAVES * (int64_t)vars) -
                    PLACE_COSTS * (int64_t)vars;
    for (uint64_t left = bits; left; left &= left - 1) {
        size_t at = (size_t)__builtin_ctzll(left);
        place *p = &places[at];
        if (!p->is_weighed) weigh_place(lk, g, at, p);
        if (!p->may_vary) return false;
        saved += (int64_t)(p->bytes - p->distinct) * TEXT_SAVES - (int64_t)p->id_bytes * ID_COSTS;
    }
    if (saved <= 0) return false;
    lk->saved += saved;
    return true;
}

/* ---- groups ---- */

typedef struct sorted {
    uint64_t hash;
    uint32_t shape;
} sorted;

static int by_hash(const void *a, const void *b)
{
    const sorted *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->shape < y->shape ? -1 : x->shape > y->shape;
}

/** Shapes with the same word at this place stand together. */
static lm_err sort_group(look *lk, const group *g, size_t at)
{
    sorted *all = lm_mem_alloc(lk->mem, g->count * sizeof *all);
    if (!all) return lm_mem_err();
    for (size_t i = 0; i < g->count; i++)
        all[i] = (sorted){word_at(lk, g->shapes[i], at)->hash, g->shapes[i]};
    qsort(all, g->count, sizeof *all, by_hash);
    for (size_t i = 0; i < g->count; i++)
        g->shapes[i] = all[i].shape;
    lm_mem_release(lk->mem, all, g->count * sizeof *all);
    return LM_OK;
}

/** The place with the fewest words. Words whose digits are in ever other places count by their
 * texts, if they may be variables: an address, a version. */
static size_t fewest(look *lk, const group *g, place *places, uint64_t bits)
{
    for (;;) {
        size_t best = SIZE_MAX;
        for (uint64_t left = bits; left; left &= left - 1) {
            size_t at = (size_t)__builtin_ctzll(left);
            if (best == SIZE_MAX || places[at].kinds < places[best].kinds) best = at;
        }
        place *p = &places[best];
        if (p->is_weighed || p->cards < FORMS_MIN) return best;
        weigh_place(lk, g, best, p);
        if (p->may_vary) p->kinds = count_texts(lk, g, best);
        if (p->kinds == p->cards) return best;
    }
}

/** varying: places that vary in the group that this one is a part of. */
static lm_err look_at_group(look *lk, const group *g, uint64_t varying, bool is_whole)
{
    if (g->count < SHAPES_MIN) return LM_OK;
    place places[WORDS_MAX];
    uint64_t bits = 0;
    for (uint64_t left = varying; left; left &= left - 1) {
        size_t at = (size_t)__builtin_ctzll(left);
        places[at] = count_words(lk, g, at);
        if (places[at].cards > 1) bits |= UINT64_C(1) << at;
    }
    if (!bits) return LM_OK; /* not before two hashes are the same */
    if (is_whole) lk->varied = bits;
    size_t split = fewest(lk, g, places, bits);
    uint32_t kinds = places[split].kinds;
    if ((kinds > SPLIT_MAX || g->count < kinds * (size_t)FRAGMENT_MIN) &&
        is_pattern(lk, g, places, bits))
        return add_pattern(lk, g, places, bits);
    lm_err err = sort_group(lk, g, split);
    for (size_t i = 0, n; !err && i < g->count; i += n) {
        uint64_t hash = word_at(lk, g->shapes[i], split)->hash;
        for (n = 1; i + n < g->count && word_at(lk, g->shapes[i + n], split)->hash == hash;)
            n++;
        group part = {g->shapes + i, n, g->words};
        err = look_at_group(lk, &part, bits & ~(UINT64_C(1) << split), false);
    }
    return err;
}

/** What a word is in the first line of its shape, at `at` of the text. Returns its end. */
static size_t read_word(const lm_parsed *parsed, const uint8_t *p, size_t at, word *w)
{
    size_t begin = at;
    uint32_t var = w->first_var;
    for (size_t i = 0; i < w->len; i++) {
        if (p[i] != LM_MARK || i + 1 == w->len) {
            at++;
            continue;
        }
        uint32_t len = parsed->sample_lens[var++];
        if (p[++i] == LM_KIND_TOKEN) {
            lm_token_value value;
            lm_token_classify(parsed->text + at, len, &value);
            if (value.vclass != LM_VC_STR) w->numbers++;
        }
        at += len;
    }
    w->text = lm_hash64(parsed->text + begin, at - begin);
    return at;
}

/** What each word of a shape is in its first line. */
static void read_words(const lm_parsed *parsed, const lm_shape_entry *entry, word *words,
                       size_t count)
{
    const uint8_t *skeleton = parsed->shapes.skeletons.ptr + entry->skeleton;
    uint32_t var = entry->first_var;
    size_t at = entry->sample.offset;
    for (size_t i = 0; i < count; i++) {
        words[i].first_var = var;
        if (words[i].vars) {
            at = read_word(parsed, skeleton + words[i].begin, at, &words[i]);
        } else {
            words[i].text = words[i].hash;
            at += words[i].len;
        }
        var += words[i].vars;
    }
}

/** Cuts all shapes, or as many as there is room for. */
static lm_err cut_shapes(look *lk)
{
    struct words *out = lk->out;
    for (; out->shape_count < out->shape_cap; out->shape_count++) {
        size_t s = out->shape_count;
        const lm_shape_entry *entry = &lk->shapes->items[s];
        if (out->word_count > LOOK_WORDS_MAX) return LM_OK;
        lm_err err = lm_vec_grow(lk->mem, &out->words, &out->word_cap, out->word_count + WORDS_MAX,
                                 sizeof *out->words);
        if (err) return err;
        word *words = out->words + out->word_count;
        const uint8_t *skeleton = lk->shapes->skeletons.ptr + entry->skeleton;
        size_t count = cut_words(skeleton, entry->skeleton_len, words);
        read_words(lk->parsed, entry, words, count);
        out->first[s] = (uint32_t)out->word_count;
        out->counts[s] = (uint8_t)count;
        out->word_count += count;
    }
    return LM_OK;
}

/** Shapes by their number of words, group by group. */
static lm_err look_at_shapes(look *lk)
{
    lm_err err = cut_shapes(lk);
    if (err) return err;
    const struct words *out = lk->out;
    uint32_t *order = lm_mem_alloc(lk->mem, out->shape_count * sizeof *order);
    if (!order) return lm_mem_err();
    size_t ends[WORDS_MAX + 2] = {0};
    for (size_t s = 0; s < out->shape_count; s++)
        ends[out->counts[s] + 1]++;
    for (size_t n = 0; n <= WORDS_MAX; n++)
        ends[n + 1] += ends[n];
    for (size_t s = 0; s < out->shape_count; s++)
        order[ends[out->counts[s]]++] = (uint32_t)s; /* begins become ends */
    for (size_t n = 2; !err && n <= WORDS_MAX; n++) {
        group g = {order + ends[n - 1], ends[n] - ends[n - 1], n};
        err = look_at_group(lk, &g, ~UINT64_C(0) >> (WORDS_MAX - n), true);
    }
    lm_mem_release(lk->mem, order, out->shape_count * sizeof *order);
    return err;
}

static lm_err index_patterns(struct words *out)
{
    out->slot_cap = 16;
    while (out->slot_cap < out->pattern_count * 2)
        out->slot_cap *= 2;
    out->slots = lm_mem_calloc(out->mem, out->slot_cap, sizeof *out->slots);
    if (!out->slots) return lm_mem_err();
    for (size_t i = 0; i < out->pattern_count; i++) {
        size_t at = out->patterns[i].key & (out->slot_cap - 1);
        while (out->slots[at])
            at = (at + 1) & (out->slot_cap - 1);
        out->slots[at] = (uint32_t)i + 1;
    }
    return LM_OK;
}

void lm_words_free(struct words *words)
{
    if (!words) return;
    lm_mem *mem = words->mem;
    lm_buf_fini(&words->texts);
    lm_mem_release(mem, words->cuts, words->cut_cap * sizeof *words->cuts);
    lm_mem_release(mem, words->patterns, words->pattern_cap * sizeof *words->patterns);
    lm_mem_release(mem, words->masks, words->mask_cap * sizeof *words->masks);
    lm_mem_release(mem, words->slots, words->slot_cap * sizeof *words->slots);
    lm_mem_release(mem, words->spans, words->span_cap * sizeof *words->spans);
    lm_mem_release(mem, words->words, words->word_cap * sizeof *words->words);
    lm_mem_release(mem, words->first, words->shape_cap * sizeof *words->first);
    lm_mem_release(mem, words->counts, words->shape_cap);
    lm_mem_release(mem, words, sizeof *words);
}

lm_err lm_words_none(lm_mem *mem, struct words **out)
{
    struct words *words = lm_mem_calloc(mem, 1, sizeof *words);
    if (!words) return lm_mem_err();
    words->mem = mem;
    lm_buf_init(&words->texts, mem);
    *out = words;
    return LM_OK;
}

/** Look at the first shapes. NULL: what is saved is not worth the while. */
static lm_err find_words(const lm_parsed *parsed, size_t shape_count, int64_t saved_min,
                         struct words **out)
{
    lm_mem *mem = parsed->mem;
    struct words *words = NULL;
    lm_err err = lm_words_none(mem, &words);
    if (err) return err;
    look lk = {
        .mem = mem, .parsed = parsed, .shapes = &parsed->shapes, .out = words, .seen_cap = 16};
    while (lk.seen_cap < shape_count * 2)
        lk.seen_cap *= 2;
    lk.seen_cap *= 2; /* room for set_begin's mask */
    words->shape_cap = shape_count;
    words->first = lm_mem_alloc(mem, shape_count * sizeof *words->first);
    words->counts = lm_mem_alloc(mem, shape_count);
    lk.seen = lm_mem_calloc(mem, lk.seen_cap, sizeof *lk.seen);
    lk.stamps = lm_mem_calloc(mem, lk.seen_cap, sizeof *lk.stamps);
    err = words->first && words->counts && lk.seen && lk.stamps ? LM_OK : lm_mem_err();
    if (!err) err = look_at_shapes(&lk);
    if (!err) err = index_patterns(words);
    lm_mem_release(mem, lk.seen, lk.seen_cap * sizeof *lk.seen);
    lm_mem_release(mem, lk.stamps, lk.seen_cap * sizeof *lk.stamps);
    *out = words;
    if (!err && words->pattern_count && lk.saved >= saved_min) return LM_OK;
    lm_words_free(words);
    *out = NULL;
    return err;
}

lm_err lm_words_find(const lm_parsed *parsed, size_t bytes_min, struct words **out)
{
    size_t shapes = parsed->shapes.count;
    int64_t saved_min =
        (int64_t)bytes_min * UNIT > SAVED_MIN ? (int64_t)bytes_min * UNIT : SAVED_MIN;
    *out = NULL;
    if (shapes < SHAPES_MIN) return LM_OK;
    if (shapes > PROBE_FROM) {
        lm_err err = find_words(parsed, PROBE, SAVED_MIN, out);
        if (err || !*out) return err;
        lm_words_free(*out);
        *out = NULL;
    }
    return find_words(parsed, shapes, saved_min, out);
}

/* ---- lines ---- */

static const pattern *find_pattern(const struct words *words, const word *line, size_t count)
{
    if (!words->first_mask[count]) return NULL;
    uint64_t all = key_of(line, count, 0);
    for (uint32_t m = words->first_mask[count]; m; m = words->masks[m - 1].next) {
        uint64_t bits = words->masks[m - 1].bits, key = all + bits;
        for (uint64_t left = bits; left; left &= left - 1)
            key -= place_hash(line, (size_t)__builtin_ctzll(left));
        for (size_t at = key & (words->slot_cap - 1); words->slots[at];
             at = (at + 1) & (words->slot_cap - 1)) {
            const pattern *p = &words->patterns[words->slots[at] - 1];
            if (p->key == key) return p;
        }
    }
    return NULL;
}

/** Does the word begin and end as the pattern has it, with something between? */
static bool has_ends(const struct words *words, const cut *c, const uint8_t *p, size_t len)
{
    const uint8_t *texts = words->texts.ptr + c->text;
    return (size_t)c->front + c->back < len && (!c->front || memcmp(p, texts, c->front) == 0) &&
           (!c->back || memcmp(p + len - c->back, texts + c->front, c->back) == 0);
}

static bool has_time(const uint8_t *p, size_t len)
{
    unsigned times = 0;
    (void)count_marks(p, len, &times);
    return times > 0;
}

/** A place in skeleton and line at once: behind a variable, or at their begins. */
typedef struct twin {
    size_t skeleton, line;
    size_t number; /* of variables before */
} twin;

/** To the last variable that begins before `at` of the skeleton. */
static void go_to(const parser *ps, twin *here, size_t at)
{
    for (; here->number < ps->var_count; here->number++) {
        const variable *var = &ps->vars[here->number];
        size_t mark = here->skeleton + (var->begin - here->line);
        if (mark >= at) return;
        here->skeleton = mark + 2;
        here->line = var->end;
    }
}

lm_err lm_words_plan(struct words *words, uint32_t shape, lm_str skeleton, lm_word_plan *out)
{
    word cut_now[WORDS_MAX];
    bool is_cut = shape < words->shape_count;
    const word *line = is_cut ? words->words + words->first[shape] : cut_now;
    size_t count = is_cut ? words->counts[shape] : cut_words(skeleton.ptr, skeleton.len, cut_now);
    const pattern *p = find_pattern(words, line, count);
    *out = (lm_word_plan){.is_made = true};
    if (!p) return LM_OK;
    lm_err err = lm_vec_grow(words->mem, &words->spans, &words->span_cap,
                             words->span_count + p->cut_count, sizeof *words->spans);
    if (err) return err;
    for (uint32_t i = 0; i < p->cut_count; i++) {
        const cut *c = &words->cuts[p->first_cut + i];
        const word *w = &line[c->at];
        const uint8_t *text = skeleton.ptr + w->begin;
        if (!has_ends(words, c, text, w->len) ||
            has_time(text + c->front, w->len - c->front - c->back))
            return LM_OK;
        words->spans[words->span_count + i] =
            (span){w->begin + c->front, w->begin + w->len - c->back};
    }
    out->first = (uint32_t)words->span_count;
    out->count = p->cut_count;
    words->span_count += p->cut_count;
    return LM_OK;
}

void lm_words_cut(parser *ps, const lm_word_plan *plan, size_t line_begin)
{
    twin here = {0, line_begin, 0};
    size_t made = 0, taken = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const span *s = &ps->words->spans[plan->first + i];
        go_to(ps, &here, s->begin);
        variable var = {.begin = (uint32_t)(here.line + (s->begin - here.skeleton)),
                        .kind = LM_KIND_WORD};
        while (taken < here.number)
            ps->made[made++] = ps->vars[taken++];
        go_to(ps, &here, s->end);
        taken = here.number;
        var.end = (uint32_t)(here.line + (s->end - here.skeleton));
        ps->made[made++] = var;
    }
    while (taken < ps->var_count)
        ps->made[made++] = ps->vars[taken++];
    variable *swap = ps->vars;
    ps->vars = ps->made;
    ps->made = swap;
    ps->var_count = made;
}
