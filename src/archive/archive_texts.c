/**
 * Template texts, stored by what they follow from. A template is what its shapes agree on: most of
 * its words stand in the skeleton of its first shape, in order, and what does not is few. So a text
 * is steps along that skeleton: skip tokens, put in something else, copy tokens. Where few texts
 * follow from skeletons (messages inside of a variable) they are compressed behind all of these.
 */
#include "archive/archive_priv.h"
#include <limits.h>

enum { FORM_PLAIN = 0, FORM_STEPS = 1 };

enum { INSERT_NOTHING = 0, INSERT_WILD = 1, INSERT_TEXT = 2 };

enum {
    TOKENS_MAX = 512,    /* of a skeleton; what is behind them is not referred to */
    PLACES = 256,        /* eight bits of a hash */
    STEPS_ALL_NEW = 255, /* instead of a number of steps: the whole text is put in */
    COPY_REST = 255,
    SKIP_LOOK = 80, /* tokens looked ahead in the skeleton; below 256 */
    INSERT_LOOK = 16,
    GOOD_RUN = 24, /* tokens that agree: nothing better is looked for */
    FAIR_RUN = 6   /* nothing is put in to find better */
};

/** A word, a single other character, or a variable (len 0). */
typedef struct token {
    const uint8_t *ptr;
    uint64_t key; /* up to eight bytes themselves, else a hash of all */
    uint32_t len;
} token;

typedef struct tokens {
    token items[TOKENS_MAX];
    size_t count;
} tokens;

/** Where tokens of a skeleton are, by their key. */
typedef struct places {
    uint16_t first[PLACES];    /* the first token with such a key, + 1; 0: none */
    uint16_t next[TOKENS_MAX]; /* behind it, + 1 */
} places;

static const bool is_word[256] = {
    ['0' ... '9'] = true, ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['_'] = true};

static uint64_t key_of(const uint8_t *p, size_t len, size_t left)
{
    if (len > 8) return lm_hash64(p, len);
    if (left >= 8) return lm_le64(p) & ~UINT64_C(0) >> (64 - 8 * len);
    uint64_t key = 0;
    memcpy(&key, p, len);
    return key;
}

/** Cut text into tokens; a variable is LM_MARK and a kind in a skeleton, `<*>` in a template.
 * False: there are more than fit. */
static bool cut(lm_str text, bool is_skeleton, tokens *out)
{
    out->count = 0;
    for (size_t at = 0, len; at < text.len; at += len) {
        const uint8_t *p = text.ptr + at;
        size_t left = text.len - at;
        bool is_variable =
            is_skeleton ? p[0] == LM_MARK && left > 1 : left >= 3 && memcmp(p, "<*>", 3) == 0;
        if (out->count == TOKENS_MAX) return false;
        token *t = &out->items[out->count++];
        *t = (token){.ptr = p};
        len = is_skeleton ? 2 : 3;
        if (is_variable) continue;
        len = 1;
        while (is_word[p[0]] && len < left && is_word[p[len]])
            len++;
        t->len = (uint32_t)len;
        t->key = key_of(p, len, left);
    }
    return true;
}

static inline bool token_equal(const token *a, const token *b)
{
    return a->key == b->key && a->len == b->len &&
           (a->len <= 8 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static inline size_t place_of(uint64_t key)
{
    return (key * UINT64_C(0x9E3779B97F4A7C15)) >> 56;
}

/** The first shape of each template + 1; 0: none in this segment. */
static lm_err first_shapes(lm_mem *mem, const uint32_t *template_of_shape, size_t shape_count,
                           size_t template_count, uint32_t **out)
{
    uint32_t *first = lm_mem_calloc(mem, template_count, sizeof *first);
    if (!first) return lm_mem_err();
    for (size_t s = 0; s < shape_count; s++) {
        uint32_t t = template_of_shape[s];
        if (t < template_count && !first[t]) first[t] = (uint32_t)s + 1;
    }
    *out = first;
    return LM_OK;
}

/* ---- writing ---- */

typedef struct writer {
    lm_buf steps, texts;
    tokens from, to;
    places places; /* of from */
} writer;

static void find_places(writer *w)
{
    memset(w->places.first, 0, sizeof w->places.first);
    for (size_t i = w->from.count; i-- > 0;) {
        uint16_t *first = &w->places.first[place_of(w->from.items[i].key)];
        w->places.next[i] = *first;
        *first = (uint16_t)(i + 1);
    }
}

/** Tokens from here on that agree. */
static size_t agreeing(const writer *w, size_t r, size_t t)
{
    size_t n = 0;
    while (r + n < w->from.count && t + n < w->to.count &&
           token_equal(&w->from.items[r + n], &w->to.items[t + n]))
        n++;
    return n;
}

/** Where copying is best gone on with: tokens to skip, tokens to put in, tokens to copy. */
static void look(const writer *w, size_t r, size_t t, size_t *skip, size_t *insert, size_t *copy)
{
    long best = LONG_MIN;
    *skip = 0;
    *insert = w->to.count - t;
    *copy = 0;
    for (size_t dt = 0; dt < INSERT_LOOK && t + dt < w->to.count; dt++) {
        uint64_t key = w->to.items[t + dt].key;
        for (size_t i = w->places.first[place_of(key)]; i; i = w->places.next[i - 1]) {
            if (i <= r || w->from.items[i - 1].key != key) continue;
            size_t dr = i - 1 - r;
            if (dr >= SKIP_LOOK) break;
            size_t n = agreeing(w, r + dr, t + dt);
            bool counts = n >= 3 || (n && (dr + dt <= 2 || t + dt + n == w->to.count));
            long score = (long)n * 10 - (long)dr * 3 - (long)dt * 12;
            if (!counts || score <= best) continue;
            best = score;
            *skip = dr;
            *insert = dt;
            *copy = n;
            if (n >= GOOD_RUN || t + dt + n == w->to.count) return;
        }
        if (*copy >= FAIR_RUN) return;
    }
}

static lm_err put_insert(writer *w, size_t t, size_t count)
{
    if (count == 0) return lm_buf_u8(&w->steps, INSERT_NOTHING);
    const token *first = &w->to.items[t], *last = &w->to.items[t + count - 1];
    if (count == 1 && !first->len) return lm_buf_u8(&w->steps, INSERT_WILD);
    lm_err err = lm_buf_u8(&w->steps, INSERT_TEXT);
    const uint8_t *end = last->ptr + (last->len ? last->len : 3);
    if (!err) err = lm_buf_append(&w->texts, first->ptr, (size_t)(end - first->ptr));
    return err ? err : lm_buf_u8(&w->texts, '\n');
}

/** The steps of one text. *done false: it takes too many. */
static lm_err put_steps(writer *w, bool *done)
{
    size_t begin = w->steps.len, texts_begin = w->texts.len, count = 0, r = 0, t = 0;
    lm_err err = lm_buf_u8(&w->steps, 0);
    while (!err && t < w->to.count && count < STEPS_ALL_NEW) {
        size_t skip, insert, copy;
        look(w, r, t, &skip, &insert, &copy);
        bool is_rest = copy && r + skip + copy == w->from.count && t + insert + copy == w->to.count;
        if (copy >= COPY_REST && !is_rest) copy = COPY_REST - 1;
        err = lm_buf_u8(&w->steps, (uint8_t)skip);
        if (!err) err = put_insert(w, t, insert);
        if (!err) err = lm_buf_u8(&w->steps, is_rest ? COPY_REST : (uint8_t)copy);
        r += skip + copy;
        t += insert + copy;
        count++;
    }
    *done = t == w->to.count && count < STEPS_ALL_NEW;
    if (!err && *done) w->steps.ptr[begin] = (uint8_t)count;
    if (!*done) {
        w->steps.len = begin;
        w->texts.len = texts_begin;
    }
    return err;
}

static lm_err put_text(writer *w, lm_str text, lm_str skeleton)
{
    bool done = false;
    (void)cut(skeleton, true, &w->from); /* the first tokens do */
    find_places(w);
    lm_err err = skeleton.ptr && cut(text, false, &w->to) ? put_steps(w, &done) : LM_OK;
    if (err || done) return err;
    err = lm_buf_u8(&w->steps, STEPS_ALL_NEW);
    if (!err) err = lm_buf_append(&w->texts, text.ptr, text.len);
    return err ? err : lm_buf_u8(&w->texts, '\n');
}

/** Slices of the skeletons, each ended by '\n'. */
static lm_err split(lm_mem *mem, lm_str skeletons, size_t count, lm_str **out)
{
    lm_str *slices = lm_mem_calloc(mem, count, sizeof *slices);
    if (!slices) return lm_mem_err();
    size_t at = 0;
    for (size_t s = 0; s < count; s++) {
        const uint8_t *end =
            at < skeletons.len ? memchr(skeletons.ptr + at, '\n', skeletons.len - at) : NULL;
        if (!end) break;
        slices[s] = (lm_str){skeletons.ptr + at, (size_t)(end - (skeletons.ptr + at))};
        at = (size_t)(end - skeletons.ptr) + 1;
    }
    *out = slices;
    return LM_OK;
}

static lm_err put_all(const lm_texts_base *base, const lm_archive_meta *meta, writer *w)
{
    uint32_t *first = NULL;
    lm_str *skeletons = NULL;
    size_t n = meta->template_count;
    lm_err err = first_shapes(base->mem, base->template_of_shape, base->shape_count, n, &first);
    if (!err) err = split(base->mem, base->skeletons, base->shape_count, &skeletons);
    for (size_t i = 1; !err && i < n; i++) {
        lm_str skeleton = first[i] ? skeletons[first[i] - 1] : (lm_str){0};
        err = put_text(w, meta->templates[i].text, skeleton);
    }
    lm_mem_release(base->mem, first, n * sizeof *first);
    lm_mem_release(base->mem, skeletons, base->shape_count * sizeof *skeletons);
    return err;
}

/** Compressed behind all skeletons. */
static lm_err put_like(const lm_texts_base *base, lm_str text, lm_level level, lm_buf *out)
{
    lm_buf like;
    lm_buf_init(&like, base->mem);
    lm_err err = lm_skeletons_as_templates(base->skeletons, &like);
    if (!err) err = lm_bytes_encode_like(base->mem, (lm_str){like.ptr, like.len}, text, level, out);
    lm_buf_fini(&like);
    return err;
}

lm_err lm_texts_put(const lm_texts_base *base, const lm_archive_meta *meta, lm_str plain,
                    lm_level level, lm_buf *out)
{
    writer *w = lm_mem_alloc(base->mem, sizeof *w);
    if (!w) return lm_mem_err();
    lm_buf_init(&w->steps, base->mem);
    lm_buf_init(&w->texts, base->mem);
    size_t texts_len = 0;
    for (size_t i = 1; i < meta->template_count; i++)
        texts_len += meta->templates[i].text.len + 1;
    lm_err err = put_all(base, meta, w);
    if (!err)
        err = lm_buf_append(&w->texts, plain.ptr + texts_len, plain.len - texts_len); /* names */
    if (!err && w->texts.len > plain.len - plain.len / 4) {
        err = lm_buf_u8(out, FORM_PLAIN);
        if (!err) err = put_like(base, plain, level, out);
    } else if (!err) {
        lm_str steps = {w->steps.ptr, w->steps.len}, texts = {w->texts.ptr, w->texts.len};
        lm_buf stored;
        lm_buf_init(&stored, base->mem);
        err = lm_bytes_encode(base->mem, steps, level, &stored);
        if (!err) err = lm_buf_u8(out, FORM_STEPS);
        if (!err) err = lm_buf_varint(out, steps.len);
        if (!err) err = lm_buf_varint(out, stored.len);
        if (!err) err = lm_buf_append(out, stored.ptr, stored.len);
        if (!err) err = lm_buf_varint(out, texts.len);
        if (!err) err = put_like(base, texts, level, out);
        lm_buf_fini(&stored);
    }
    lm_buf_fini(&w->steps);
    lm_buf_fini(&w->texts);
    lm_mem_release(base->mem, w, sizeof *w);
    return err;
}

/* ---- reading ---- */

static lm_err damaged(void)
{
    return lm_fail(LM_E_CORRUPT, "the texts of the templates are damaged");
}

static lm_err get_like(const lm_texts_base *base, lm_str stored, uint8_t *dst, size_t len)
{
    lm_buf like;
    lm_buf_init(&like, base->mem);
    lm_err err = lm_skeletons_as_templates(base->skeletons, &like);
    if (!err) err = lm_bytes_decode_like(base->mem, (lm_str){like.ptr, like.len}, stored, dst, len);
    lm_buf_fini(&like);
    return err;
}

typedef struct text_reader {
    lm_reader steps, texts;
    tokens from;
    uint8_t *at, *end; /* where the next text goes */
} text_reader;

/** Append bytes; false: there is no room. */
static bool emit(text_reader *r, const uint8_t *bytes, size_t len)
{
    if (len > (size_t)(r->end - r->at)) return false;
    memcpy(r->at, bytes, len);
    r->at += len;
    return true;
}

/** The next text that was put in, without its line end unless it ends a template. */
static bool emit_text(text_reader *r, bool with_end)
{
    size_t left = lm_reader_left(&r->texts);
    const uint8_t *end = left ? memchr(r->texts.ptr, '\n', left) : NULL;
    if (!end) return false;
    size_t len = (size_t)(end - r->texts.ptr);
    bool done = emit(r, r->texts.ptr, len + with_end);
    r->texts.ptr = end + 1;
    return done;
}

static bool get_text(text_reader *r, lm_str skeleton)
{
    unsigned steps = lm_reader_u8(&r->steps);
    if (r->steps.failed) return false;
    if (steps == STEPS_ALL_NEW) return emit_text(r, true);
    (void)cut(skeleton, true, &r->from); /* as the writer did */
    size_t at = 0;
    for (unsigned i = 0; i < steps; i++) {
        at += lm_reader_u8(&r->steps);
        unsigned insert = lm_reader_u8(&r->steps), copy = lm_reader_u8(&r->steps);
        if (r->steps.failed || at > r->from.count || insert > INSERT_TEXT) return false;
        if (insert == INSERT_WILD && !emit(r, (const uint8_t *)"<*>", 3)) return false;
        if (insert == INSERT_TEXT && !emit_text(r, false)) return false;
        size_t left = r->from.count - at;
        if (copy == COPY_REST) copy = (unsigned)left;
        if (copy > left) return false;
        for (size_t end = at + copy; at < end; at++) {
            const token *t = &r->from.items[at];
            if (t->len ? !emit(r, t->ptr, t->len) : !emit(r, (const uint8_t *)"<*>", 3))
                return false;
        }
    }
    return emit(r, (const uint8_t *)"\n", 1);
}

static lm_err get_all(const lm_texts_base *base, size_t template_count, text_reader *r)
{
    uint32_t *first = NULL;
    lm_str *skeletons = NULL;
    lm_err err =
        first_shapes(base->mem, base->template_of_shape, base->shape_count, template_count, &first);
    if (!err) err = split(base->mem, base->skeletons, base->shape_count, &skeletons);
    for (size_t i = 1; !err && i < template_count; i++) {
        lm_str skeleton = first[i] ? skeletons[first[i] - 1] : (lm_str){0};
        if (!get_text(r, skeleton)) err = damaged();
    }
    lm_mem_release(base->mem, first, template_count * sizeof *first);
    lm_mem_release(base->mem, skeletons, base->shape_count * sizeof *skeletons);
    size_t names = lm_reader_left(&r->texts);
    if (!err && (lm_reader_left(&r->steps) || names != (size_t)(r->end - r->at))) err = damaged();
    if (!err && names) memcpy(r->at, r->texts.ptr, names);
    return err;
}

lm_err lm_texts_get(const lm_texts_base *base, size_t template_count, lm_str stored, uint8_t *dst,
                    size_t len)
{
    lm_reader in = lm_reader_of(stored.ptr, stored.len);
    uint8_t form = lm_reader_u8(&in);
    if (form == FORM_PLAIN && !in.failed)
        return get_like(base, (lm_str){in.ptr, lm_reader_left(&in)}, dst, len);
    size_t most = len < SIZE_MAX / 8
                      ? len * 4 + 64
                      : SIZE_MAX / 2; /* a text is not shorter than its steps are many */
    size_t steps_len = (size_t)lm_reader_varint_max(&in, most);
    lm_str steps = lm_reader_bytes(&in, (size_t)lm_reader_varint(&in));
    size_t texts_len = (size_t)lm_reader_varint_max(&in, most);
    if (in.failed || form != FORM_STEPS) return damaged();
    size_t all = steps_len + texts_len;
    text_reader *r = lm_mem_alloc(base->mem, sizeof *r);
    uint8_t *bytes = r ? lm_mem_alloc(base->mem, all) : NULL;
    lm_err err = bytes ? LM_OK : lm_mem_err();
    if (!err) err = lm_bytes_decode(base->mem, steps, bytes, steps_len);
    if (!err)
        err = get_like(base, (lm_str){in.ptr, lm_reader_left(&in)}, bytes + steps_len, texts_len);
    if (!err) {
        r->steps = lm_reader_of(bytes, steps_len);
        r->texts = lm_reader_of(bytes + steps_len, texts_len);
        r->at = dst;
        r->end = dst + len;
        err = get_all(base, template_count, r);
    }
    lm_mem_release(base->mem, bytes, bytes ? all : 0);
    lm_mem_release(base->mem, r, r ? sizeof *r : 0);
    return err;
}
