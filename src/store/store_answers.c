/* Answers that are kept: which records of a segment fit a question's matchers and filters, all of
 * them, whatever the time range. Segments do not change, so an answer holds for ever; a page that
 * is looked at again, or with other windows, looks into the segments that are new. Where a segment
 * has few such records their lines and times are kept beside, for a line costs the opening of its
 * segment.
 *
 * A question is the text of its matchers and filters. Those asked last are kept, each with a table
 * of answers by segment: rows as bits, or as distances where they are few. All are bounded
 * together; what makes room is the question that was asked longest ago. */
#include "store/store_priv.h"

enum {
    SLOTS_MIN = 64,
    QUESTIONS_MAX = 128, /* each is compared with all when it is asked */
    WORD_BYTES = 8,
    ANSWERS_BYTES_MIN = 64 << 10 /* below it nothing is kept */
};

typedef struct answer {
    uint64_t part;      /* 0: a free slot; segments count from 1 */
    uint8_t *bytes;     /* NULL: no record fits */
    uint32_t len, rows; /* of bytes, and of those the records; lines are behind */
    bool is_bits;       /* records as bits, else as varints: distances of those that fit */
} answer;

struct store_question {
    store_question *next; /* asked before this one */
    lm_buf text;
    answer *slots;
    size_t slot_count, count, held; /* held: bytes of its answers and table */
    uint32_t users;
};

static size_t bytes_max(const lm_store *store)
{
    size_t limit = lm_mem_limit(store->mem);
    return (limit ? limit : (size_t)STORE_CACHE_BYTES * STORE_CACHE_SHARE) / STORE_CACHE_SHARE / 2;
}

static void question_free(lm_store *store, store_question *q)
{
    for (size_t i = 0; i < q->slot_count; i++)
        lm_mem_release(store->mem, q->slots[i].bytes, q->slots[i].len);
    lm_mem_release(store->mem, q->slots, q->slot_count * sizeof *q->slots);
    lm_buf_fini(&q->text);
    lm_mem_release(store->mem, q, sizeof *q);
}

/** Takes the last question that nobody asks now off the list; NULL: there is none. Lock held. */
static store_question *take_last(lm_store *store)
{
    store_question **last = NULL;
    for (store_question **at = &store->questions; *at; at = &(*at)->next) {
        if (!(*at)->users) last = at;
    }
    if (!last) return NULL;
    store_question *q = *last;
    *last = q->next;
    store->answers_bytes -= q->held;
    store->question_count--;
    return q;
}

static lm_err put_text(lm_buf *out, lm_str text)
{
    lm_err err = lm_buf_varint(out, text.len);
    return err ? err : lm_buf_append(out, text.ptr, text.len);
}

static lm_err print_question(const lm_select *what, lm_buf *out)
{
    lm_err err = lm_buf_varint(out, what->matcher_count);
    for (uint32_t i = 0; i < what->matcher_count && !err; i++) {
        err = lm_buf_u8(out, (uint8_t)what->matchers[i].op);
        if (!err) err = put_text(out, what->matchers[i].name);
        if (!err) err = put_text(out, what->matchers[i].value);
    }
    for (uint32_t i = 0; i < what->filter_count && !err; i++) {
        err = lm_buf_u8(out, (uint8_t)what->filters[i].op);
        if (!err) err = lm_buf_varint(out, what->filters[i].text_count);
        for (uint32_t k = 0; k < what->filters[i].text_count && !err; k++)
            err = put_text(out, what->filters[i].texts[k]);
    }
    return err;
}

store_question *store_question_begin(lm_store *store, const lm_select *what)
{
    store_question *made = lm_mem_calloc(store->mem, 1, sizeof *made);
    if (!made) return NULL;
    lm_buf_init(&made->text, store->mem);
    if (print_question(what, &made->text)) {
        question_free(store, made);
        return NULL;
    }
    pthread_mutex_lock(&store->cache_lock);
    store_question **at = &store->questions, *found;
    while (*at && !((*at)->text.len == made->text.len &&
                    memcmp((*at)->text.ptr, made->text.ptr, made->text.len) == 0))
        at = &(*at)->next;
    if (*at) {
        found = *at;
        *at = found->next;
    } else {
        found = made;
        found->held = sizeof *found + found->text.cap;
        store->answers_bytes += found->held;
        store->question_count++;
        made = NULL;
    }
    found->next = store->questions;
    store->questions = found;
    found->users++;
    pthread_mutex_unlock(&store->cache_lock);
    if (made) question_free(store, made);
    return found;
}

void store_question_end(lm_store *store, store_question *q)
{
    if (!q) return;
    pthread_mutex_lock(&store->cache_lock);
    q->users--;
    store_question *over = NULL, *one;
    while ((store->answers_bytes > bytes_max(store) || store->question_count > QUESTIONS_MAX) &&
           (one = take_last(store))) {
        one->next = over;
        over = one;
    }
    pthread_mutex_unlock(&store->cache_lock);
    while (over) {
        one = over->next;
        question_free(store, over);
        over = one;
    }
}

void store_questions_drop(lm_store *store)
{
    store_question *one;
    do {
        pthread_mutex_lock(&store->cache_lock);
        one = take_last(store);
        pthread_mutex_unlock(&store->cache_lock);
        if (one) question_free(store, one);
    } while (one);
}

/* ---- answers ---- */

static answer *slot_of(const store_question *q, uint64_t part)
{
    size_t mask = q->slot_count - 1,
           at = (size_t)(part * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
    while (q->slots[at].part && q->slots[at].part != part)
        at = (at + 1) & mask;
    return &q->slots[at];
}

/** Bits from distances; they were written by this program, and are checked against the words. */
static void spread(const answer *from, uint64_t *found, size_t words)
{
    lm_reader r = lm_reader_of(from->bytes, from->rows);
    memset(found, 0, words * WORD_BYTES);
    for (uint64_t at = 0; lm_reader_left(&r);) {
        at += lm_reader_varint(&r);
        LM_ASSERT(at / 64 < words);
        found[at / 64] |= UINT64_C(1) << at % 64;
    }
}

/** Behind the records: of each `varint` distance to the one before, `zigzag` time, length, text. */
static lm_err write_lines(const store_lines *lines, lm_buf *out)
{
    uint64_t before = 0;
    lm_err err = LM_OK;
    for (size_t i = 0; i < lines->count && !err; i++) {
        const store_line *line = &lines->items[i];
        err = lm_buf_varint(out, line->record - before);
        if (!err) err = lm_buf_varint(out, lm_zigzag(line->time_ns));
        if (!err) err = lm_buf_varint(out, line->text.len);
        if (!err) err = lm_buf_append(out, line->text.ptr, line->text.len);
        before = line->record;
    }
    return err;
}

/** Without memory no line is known. */
static void read_lines(const answer *from, lm_arena *arena, store_lines *lines)
{
    size_t len = from->len - from->rows;
    const uint8_t *copy = len ? lm_arena_copy(arena, from->bytes + from->rows, len) : NULL;
    lines->count = 0;
    lines->are_all = from->len == 0 || copy;
    if (!copy) return;
    lm_reader r = lm_reader_of(copy, len);
    for (uint64_t record = 0; lm_reader_left(&r); lines->count++) {
        LM_ASSERT(lines->count < STORE_LINES_MAX); /* this program wrote them */
        store_line *line = &lines->items[lines->count];
        line->record = record += lm_reader_varint(&r);
        line->time_ns = lm_unzigzag(lm_reader_varint(&r));
        line->text = lm_reader_bytes(&r, (size_t)lm_reader_varint(&r));
    }
}

bool store_answer_get(lm_store *store, const store_question *q, uint64_t part, uint64_t *found,
                      size_t words, lm_arena *arena, store_lines *lines)
{
    bool is_known = false;
    pthread_mutex_lock(&store->cache_lock);
    const answer *from = q->count ? slot_of(q, part) : NULL;
    if (from && from->part) {
        is_known = true;
        if (from->is_bits) {
            LM_ASSERT(from->rows == words * WORD_BYTES);
            memcpy(found, from->bytes, from->rows);
        } else {
            spread(from, found, words);
        }
        read_lines(from, arena, lines);
    }
    pthread_mutex_unlock(&store->cache_lock);
    return is_known;
}

static lm_err grow(lm_store *store, store_question *q)
{
    size_t old_count = q->slot_count, count = old_count ? 2 * old_count : SLOTS_MIN;
    answer *old = q->slots, *made = lm_mem_calloc(store->mem, count, sizeof *made);
    if (!made) return lm_mem_err();
    q->slots = made;
    q->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].part) *slot_of(q, old[i].part) = old[i];
    }
    lm_mem_release(store->mem, old, old_count * sizeof *old);
    q->held += (count - old_count) * sizeof *made;
    store->answers_bytes += (count - old_count) * sizeof *made;
    return LM_OK;
}

/** The shorter way to write it. */
static lm_err write_answer(const uint64_t *found, size_t words, lm_buf *out, bool *out_is_bits)
{
    uint64_t before = 0;
    lm_err err = LM_OK;
    *out_is_bits = false;
    for (size_t w = 0; w < words && !err; w++) {
        for (uint64_t bits = found[w]; bits && !err; bits &= bits - 1) {
            uint64_t at = w * 64 + (uint64_t)__builtin_ctzll(bits);
            err = lm_buf_varint(out, at - before);
            before = at;
        }
        if (out->len < words * WORD_BYTES) continue;
        out->len = 0;
        *out_is_bits = true;
        return lm_buf_append(out, found, words * WORD_BYTES);
    }
    return err;
}

void store_answer_put(lm_store *store, store_question *q, uint64_t part, const uint64_t *found,
                      size_t words, const store_lines *lines)
{
    lm_buf text;
    bool is_bits = false;
    uint8_t *bytes = NULL;
    lm_buf_init(&text, store->mem);
    lm_err err = write_answer(found, words, &text, &is_bits);
    size_t rows = text.len;
    if (!err && lines->are_all) err = write_lines(lines, &text);
    pthread_mutex_lock(&store->cache_lock);
    size_t max = bytes_max(store);
    bool has_room = max >= ANSWERS_BYTES_MIN && store->answers_bytes + text.len <= 2 * max;
    if (!err && has_room && q->slot_count < 2 * (q->count + 1)) err = grow(store, q);
    if (!err && has_room && text.len) {
        bytes = lm_mem_alloc(store->mem, text.len);
        if (!bytes) err = lm_mem_err();
    }
    answer *to = !err && has_room ? slot_of(q, part) : NULL;
    if (to && !to->part) {
        if (bytes) memcpy(bytes, text.ptr, text.len);
        *to = (answer){part, bytes, (uint32_t)text.len, (uint32_t)rows, is_bits};
        q->count++;
        q->held += text.len;
        store->answers_bytes += text.len;
        bytes = NULL;
    }
    pthread_mutex_unlock(&store->cache_lock);
    lm_mem_release(store->mem, bytes, text.len);
    lm_buf_fini(&text);
}
