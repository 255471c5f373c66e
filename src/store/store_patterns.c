/* Templates over time: each segment has its own, mined when it was packed; here they are counted by
 * text over all segments, in buckets of time. Records of the head have none yet: their messages are
 * mined when somebody asks. */
#include "store/store_priv.h"
#include "template/template.h"
#include <stdlib.h>

enum { SLOTS = 4096, HEAD_LEARN_LINES = 2000, BUCKETS_MAX = 11000 };

#define VARIABLE LM_STR("<*>")

typedef struct found_template {
    struct found_template *next;
    lm_store_template about;
    uint64_t *buckets;
} found_template;

typedef struct counting {
    lm_store *store;
    const lm_select *what;
    lm_arena *arena; /* of the caller */
    lm_buf text;     /* of the template being looked for */
    int64_t begin_ns, bucket_ns;
    size_t bucket_count, template_count;
    found_template **slots;
} counting;

/** What of a line stands around its message, seen from a template of messages. */
typedef struct surroundings {
    bool has_before, has_after;
} surroundings;

/** Does a stand where b begins, as far as both go? */
static bool begins_alike(lm_str a, lm_str b)
{
    return lm_str_starts(a.len < b.len ? b : a, a.len < b.len ? a : b);
}

static bool ends_alike(lm_str a, lm_str b)
{
    return lm_str_ends(a.len < b.len ? b : a, a.len < b.len ? a : b);
}

/** The constant texts at both ends of a template; empty where a <*> stands. */
static void ends_of(lm_str text, lm_str *out_first, lm_str *out_last)
{
    lm_str rest = text;
    size_t at = lm_str_find(text, VARIABLE);
    *out_first = (lm_str){text.ptr, at == SIZE_MAX ? text.len : at};
    while (at != SIZE_MAX) {
        rest = (lm_str){rest.ptr + at + VARIABLE.len, rest.len - at - VARIABLE.len};
        at = lm_str_find(rest, VARIABLE);
    }
    *out_last = rest;
}

/** A line of this shape: is there more of it than the template of its message says? */
static surroundings of_shape(const lm_shape *shape, lm_str text)
{
    lm_str first, last;
    ends_of(text, &first, &last);
    if (!shape->piece_count) return (surroundings){false, false};
    const lm_piece *head = &shape->pieces[0], *tail = &shape->pieces[shape->piece_count - 1];
    return (surroundings){first.len && (head->column >= 0 || !begins_alike(head->text, first)),
                          last.len && (tail->column >= 0 || !ends_alike(tail->text, last))};
}

/** The template of a message as one of its whole line, which people filter lines by; until the next
 * call. */
static lm_err whole_line(counting *c, lm_str text, surroundings around, lm_str *out)
{
    c->text.len = 0;
    lm_err err = LM_OK;
    if (around.has_before) err = lm_buf_append(&c->text, VARIABLE.ptr, VARIABLE.len);
    if (!err) err = lm_buf_append(&c->text, text.ptr, text.len);
    if (!err && around.has_after) err = lm_buf_append(&c->text, VARIABLE.ptr, VARIABLE.len);
    *out = (lm_str){c->text.ptr, c->text.len};
    return err;
}

/** The template of this text, added if new. */
static lm_err find_template(counting *c, lm_str text, found_template **out)
{
    uint64_t hash = lm_hash64(text.ptr, text.len);
    found_template **slot = &c->slots[hash % SLOTS], *at = *slot;
    while (at && !lm_str_equal(at->about.text, text))
        at = at->next;
    if (!at) {
        at = lm_arena_alloc(c->arena, sizeof *at, _Alignof(found_template));
        uint8_t *copy = lm_arena_copy(c->arena, text.ptr, text.len);
        uint64_t *buckets = lm_arena_alloc(c->arena, c->bucket_count * sizeof *buckets, 8);
        if (!at || !copy || !buckets) return lm_mem_err();
        memset(buckets, 0, c->bucket_count * sizeof *buckets);
        *at = (found_template){.next = *slot,
                               .buckets = buckets,
                               .about = {.id = hash >> 11, /* a number of 53 bits survives JSON */
                                         .text = {copy, text.len},
                                         .first_ns = INT64_MAX,
                                         .last_ns = INT64_MIN,
                                         .buckets = buckets}};
        *slot = at;
        c->template_count++;
    }
    *out = at;
    return LM_OK;
}

static void count_record(const counting *c, found_template *t, int64_t time_ns)
{
    size_t bucket = (size_t)(((uint64_t)time_ns - (uint64_t)c->begin_ns) / (uint64_t)c->bucket_ns);
    if (bucket >= c->bucket_count) bucket = c->bucket_count - 1;
    t->buckets[bucket]++;
    t->about.count++;
    if (time_ns < t->about.first_ns) t->about.first_ns = time_ns;
    if (time_ns > t->about.last_ns) t->about.last_ns = time_ns;
}

/** Rows of one of the archive's segments: by shape, and so by template. */
static lm_err count_rows(counting *c, const store_view *view, size_t index, const uint64_t *wanted)
{
    lm_segment *segment = NULL;
    const uint32_t *shape_of_row = NULL;
    lm_arena arena;
    lm_arena_init(&arena, c->store->mem);
    lm_err err = lm_segment_open(view->archive, index, &segment);
    if (!err && lm_segment_is_raw(segment)) goto out; /* plain text has no templates */
    if (!err) err = lm_segment_rows_load(segment, &shape_of_row);
    if (err) goto out;
    size_t shape_count = lm_segment_shape_count(segment);
    const lm_shape *shapes = lm_segment_shapes(segment);
    found_template **found = lm_arena_alloc(&arena, shape_count * sizeof *found, 8);
    if (!found) {
        err = lm_mem_err();
        goto out;
    }
    memset(found, 0, shape_count * sizeof *found);
    uint64_t first = view->run_first[index];
    uint32_t rows = lm_segment_row_count(segment);
    for (uint32_t row = 0; row < rows && !err; row++) {
        uint64_t record = first + row;
        if (!(wanted[record / 64] >> record % 64 & 1)) continue;
        uint32_t shape = shape_of_row[row];
        if (!found[shape]) {
            uint32_t id = lm_archive_template_forward(view->archive, shapes[shape].template_id);
            lm_str text = lm_archive_template_at(view->archive, id)->text;
            err = whole_line(c, text, of_shape(&shapes[shape], text), &text);
            if (!err) err = find_template(c, text, &found[shape]);
        }
        if (!err) count_record(c, found[shape], view->times[record]);
    }
out:
    lm_segment_close(segment);
    lm_arena_fini(&arena);
    return err;
}

static lm_err count_view(void *ctx, store_view *view, const uint64_t *wanted)
{
    counting *c = ctx;
    lm_err err = store_view_load(view, STORE_TIMES | STORE_LINES);
    if (err) return err;
    /* The texts are unpacked at the first call, which one thread may do at a time. */
    pthread_mutex_lock(&c->store->texts_lock);
    if (lm_archive_template_count(view->archive)) (void)lm_archive_template_at(view->archive, 0);
    pthread_mutex_unlock(&c->store->texts_lock);
    for (size_t i = 0; i < view->run_count && !err; i++) {
        err = count_rows(c, view, i, wanted);
        if (err == LM_E_CORRUPT) {
            store_note_bad(c->store, lm_err_text());
            err = LM_OK;
        }
    }
    return err;
}

/* ---- the head ---- */

typedef struct head_lines {
    lm_arena arena;
    lm_mem *mem;
    lm_str *lines;
    int64_t *times;
    size_t count, line_cap, time_cap;
    lm_err err;
} head_lines;

static bool keep_line(void *ctx, const lm_stream *stream, const lm_record *record)
{
    head_lines *h = ctx;
    (void)stream;
    void *copy = lm_arena_copy(&h->arena, record->line.ptr, record->line.len);
    h->err = copy ? LM_OK : lm_mem_err();
    if (!h->err)
        h->err = lm_vec_grow(h->mem, &h->lines, &h->line_cap, h->count + 1, sizeof(lm_str));
    if (!h->err) h->err = lm_vec_grow(h->mem, &h->times, &h->time_cap, h->count + 1, 8);
    if (h->err) return false;
    h->lines[h->count] = (lm_str){copy, record->line.len};
    h->times[h->count++] = record->time_ns;
    return true;
}

/** The same for a line that is at hand; its message may be a copy, with escapes undone. */
static surroundings of_message(lm_str line, lm_str message, lm_str text)
{
    lm_str first, last;
    ends_of(text, &first, &last);
    if (line.len == message.len) return (surroundings){false, false};
    return (surroundings){first.len && !lm_str_starts(line, first),
                          last.len && !lm_str_ends(line, last)};
}

static lm_err mine_lines(counting *c, const head_lines *h)
{
    lm_mem *mem = c->store->mem;
    lm_schema *schema = NULL;
    lm_miner *miner = NULL;
    lm_arena arena;
    lm_arena_init(&arena, mem);
    lm_fields fields = {.arena = &arena};
    uint32_t *shapes = lm_mem_alloc(mem, h->count * sizeof *shapes);
    lm_str *messages = lm_mem_alloc(mem, h->count * sizeof *messages);
    lm_err err = shapes && messages ? lm_schema_new(mem, &schema) : lm_mem_err();
    if (!err)
        err = lm_schema_learn_head(schema, h->lines,
                                   h->count < HEAD_LEARN_LINES ? h->count : HEAD_LEARN_LINES);
    if (!err) err = lm_miner_new(mem, NULL, &miner);
    for (size_t i = 0; i < h->count && !err; i++) {
        err = lm_schema_parse(schema, h->lines[i], &fields);
        messages[i] =
            !err && fields.message >= 0 ? fields.items[fields.message].value : h->lines[i];
        if (!err) err = lm_miner_add(miner, messages[i], &shapes[i]);
    }
    if (!err) err = lm_miner_settle(miner);
    for (size_t i = 0; i < h->count && !err; i++) {
        found_template *t = NULL;
        uint32_t id = lm_miner_forward(miner, lm_miner_template_of(miner, shapes[i]));
        lm_str text = lm_miner_text(miner, id);
        err = whole_line(c, text, of_message(h->lines[i], messages[i], text), &text);
        if (!err) err = find_template(c, text, &t);
        if (!err) count_record(c, t, h->times[i]);
    }
    lm_miner_free(miner);
    lm_schema_free(schema);
    lm_arena_fini(&arena);
    if (shapes) lm_mem_release(mem, shapes, h->count * sizeof *shapes);
    if (messages) lm_mem_release(mem, messages, h->count * sizeof *messages);
    return err;
}

/* ---- both ---- */

static int compare_counts(const void *a, const void *b)
{
    const lm_store_template *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return lm_str_compare(x->text, y->text);
}

static lm_err hand_out(const counting *c, lm_store_template **out, size_t *out_count)
{
    lm_store_template *list =
        lm_arena_alloc(c->arena, c->template_count * sizeof *list, _Alignof(lm_store_template));
    if (!list) return lm_mem_err();
    size_t count = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        for (const found_template *t = c->slots[i]; t; t = t->next)
            list[count++] = t->about;
    }
    if (count) qsort(list, count, sizeof *list, compare_counts);
    *out = list;
    *out_count = count;
    return LM_OK;
}

lm_err lm_store_templates(lm_store *store, const lm_select *what, int64_t bucket_ns,
                          lm_arena *arena, lm_store_template **out, size_t *out_count,
                          size_t *out_bucket_count)
{
    uint64_t span = (uint64_t)what->time_max - (uint64_t)what->time_min;
    if (bucket_ns <= 0 || what->time_max <= what->time_min)
        return lm_fail(LM_E_USAGE, "a time range and a bucket longer than nothing are needed");
    if ((span - 1) / (uint64_t)bucket_ns >= BUCKETS_MAX)
        return lm_fail(LM_E_LIMIT, "more than %d buckets of time", BUCKETS_MAX);
    counting c = {.store = store,
                  .what = what,
                  .arena = arena,
                  .begin_ns = what->time_min,
                  .bucket_ns = bucket_ns,
                  .bucket_count = (size_t)((span - 1) / (uint64_t)bucket_ns) + 1};
    head_lines head = {.mem = store->mem};
    lm_buf_init(&c.text, store->mem);
    lm_arena_init(&head.arena, store->mem);
    c.slots = lm_mem_calloc(store->mem, SLOTS, sizeof *c.slots);
    lm_err err =
        c.slots ? store_visit(store, what, count_view, &c, keep_line, &head) : lm_mem_err();
    if (!err) err = head.err;
    if (!err && head.count) err = mine_lines(&c, &head);
    if (!err) err = hand_out(&c, out, out_count);
    if (!err) *out_bucket_count = c.bucket_count;
    if (c.slots) lm_mem_release(store->mem, c.slots, SLOTS * sizeof *c.slots);
    lm_mem_release(store->mem, head.lines, head.line_cap * sizeof(lm_str));
    lm_mem_release(store->mem, head.times, head.time_cap * 8);
    lm_arena_fini(&head.arena);
    lm_buf_fini(&c.text);
    return err;
}
