/* Questions over the store: head and segments as one.
 *
 *   snapshot   under the lock: the segments of the tenant in the time range and the frames that are
 *              durable; both counted as used, so that sealing and deleting leave them alone
 *   segment    streams that match --> wanted records (bits) --> lm_search over its archive -->
 *              records that fit --> told. When the one who asks moves its bounds, what fits is told
 *              in order of time, a few at first, so that the rest need not be rendered.
 *   head       frames are walked, each record looked at
 */
#include "store/store_priv.h"
#include <stdatomic.h>
#include <stdlib.h>

enum {
    FIRST_CHUNK = 256,
    CHUNK = 4096,
    PASSES_MAX = 8 /* segments that are searched side by side */
};

typedef struct asker {
    lm_store *store;
    const lm_select *what;
    store_matchers *matchers;
    lm_query *query;
    bool has_filters;
    bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record);
    void *told_ctx;
    lm_err (*visit)(void *ctx, store_view *view, const uint64_t *wanted); /* instead of told, for
                                                                             segments */
    void *visit_ctx;
    struct known_stream *known; /* which streams match, by hash */
    size_t known_slots, known_count;
    lm_arena arena;           /* their keys */
    store_question *question; /* NULL: answers are not kept */
    bool finds_folded;        /* filters are such that folded lines are found as they are */
    bool stopped;
} asker;

static int64_t wanted_min(const asker *a)
{
    int64_t min = a->what->wanted_min ? atomic_load(a->what->wanted_min) : INT64_MIN;
    return min > a->what->time_min ? min : a->what->time_min;
}

/** The last time that is wanted. */
static int64_t wanted_last(const asker *a)
{
    int64_t last = a->what->time_max == INT64_MIN ? INT64_MIN : a->what->time_max - 1;
    int64_t max = a->what->wanted_max ? atomic_load(a->what->wanted_max) : INT64_MAX;
    return max == INT64_MAX || max - 1 > last ? last : max - 1;
}

/* ---- which streams match ---- */

/** Streams come again in every segment: each is looked at once. */
typedef struct known_stream {
    uint64_t hash; /* of its key */
    lm_str key;    /* copy; ptr NULL: a free slot */
    bool matches;
} known_stream;

static lm_err grow_known(asker *a)
{
    lm_mem *mem = a->store->mem;
    size_t slots = a->known_slots ? 2 * a->known_slots : 256;
    known_stream *made = lm_mem_calloc(mem, slots, sizeof *made);
    if (!made) return lm_mem_err();
    for (size_t i = 0; i < a->known_slots; i++) {
        if (!a->known[i].key.ptr) continue;
        size_t at = (size_t)a->known[i].hash & (slots - 1);
        while (made[at].key.ptr)
            at = (at + 1) & (slots - 1);
        made[at] = a->known[i];
    }
    lm_mem_release(mem, a->known, a->known_slots * sizeof *a->known);
    a->known = made;
    a->known_slots = slots;
    return LM_OK;
}

static lm_err stream_fits(asker *a, const lm_stream *stream, bool *out)
{
    *out = true;
    if (!a->what->matcher_count) return LM_OK;
    lm_err err = 2 * (a->known_count + 1) > a->known_slots ? grow_known(a) : LM_OK;
    if (err) return err;
    size_t at = (size_t)stream->hash & (a->known_slots - 1);
    while (a->known[at].key.ptr &&
           (a->known[at].hash != stream->hash || !lm_str_equal(a->known[at].key, stream->key)))
        at = (at + 1) & (a->known_slots - 1);
    if (!a->known[at].key.ptr) {
        const uint8_t *copy = lm_arena_copy(&a->arena, stream->key.ptr, stream->key.len);
        if (!copy) return lm_mem_err();
        a->known[at] = (known_stream){stream->hash,
                                      {copy, stream->key.len},
                                      store_matchers_match(a->matchers, stream->labels)};
        a->known_count++;
    }
    *out = a->known[at].matches;
    return LM_OK;
}

static bool is_cancelled(const asker *a)
{
    return a->what->cancel && *a->what->cancel;
}

/* ---- a segment ---- */

/* A segment is asked in three steps: begun, which needs its head alone and is mostly the end of it;
 * searched, on any thread; told, in order. */
typedef struct pass {
    asker *a;
    store_view *view;
    bool *admitted; /* by the archive's segment: a line of it may fit */
    bool *fits;     /* by stream: it matches, and may have records in the time range */
    size_t words;
    uint64_t *wanted; /* records to be searched; NULL: none are */
    uint64_t *found;  /* records that fit */
    bool is_whole;    /* no record of the streams that match is outside the time range */
    bool is_damaged;  /* something could not be read */
    uint64_t *folded; /* records that must be looked at unfolded */
    size_t folded_count;
    store_lines few;  /* of found */
    size_t few_bytes; /* of their text */
    uint32_t *by_first;
    uint32_t last_stream; /* place in by_first */
    /* metadata, once it is needed */
    lm_buf metadata;
    size_t *metadata_ends;
    uint32_t *metadata_rank; /* of the first record of each word */
    size_t metadata_count;
    lm_arena arena; /* of one record */
    lm_arena own;
    lm_err err;    /* of telling */
    lm_err failed; /* of searching */
    lm_err_info why;
} pass;

static uint64_t bits_at(const uint64_t *bits, size_t words, uint64_t at)
{
    size_t word = (size_t)(at / 64);
    unsigned shift = (unsigned)(at % 64);
    uint64_t low = word < words ? bits[word] >> shift : 0;
    uint64_t high = shift && word + 1 < words ? bits[word + 1] << (64 - shift) : 0;
    return low | high;
}

static bool pass_wants(void *ctx, size_t segment)
{
    const pass *p = ctx;
    uint64_t begin = p->view->run_first[segment], end = p->view->run_first[segment + 1];
    if (!p->admitted[segment]) return false;
    for (uint64_t at = begin; at < end; at += 64) {
        uint64_t bits = bits_at(p->wanted, p->words, at);
        if (end - at < 64) bits &= (UINT64_C(1) << (end - at)) - 1;
        if (bits) return true;
    }
    return false;
}

static void pass_choose(void *ctx, size_t segment, uint64_t *bits, uint32_t row_count)
{
    const pass *p = ctx;
    uint64_t first = p->view->run_first[segment];
    for (size_t w = 0; w * 64 < row_count; w++)
        bits[w] &= bits_at(p->wanted, p->words, first + w * 64);
}

static bool pass_rows(void *ctx, size_t segment, const uint64_t *bits, uint32_t row_count)
{
    pass *p = ctx;
    uint64_t first = p->view->run_first[segment];
    for (size_t w = 0; w * 64 < row_count; w++) {
        uint64_t at = first + w * 64;
        size_t word = (size_t)(at / 64);
        unsigned shift = (unsigned)(at % 64);
        p->found[word] |= bits[w] << shift;
        if (shift && word + 1 < p->words) p->found[word + 1] |= bits[w] >> (64 - shift);
    }
    return !is_cancelled(p->a);
}

/** A line made while its segment was open. Times follow. */
static void pass_few(void *ctx, size_t segment, uint32_t row, lm_str line)
{
    pass *p = ctx;
    store_lines *few = &p->few;
    p->few_bytes += line.len;
    if (few->count == STORE_LINES_MAX || p->few_bytes > STORE_LINES_BYTES) return;
    const uint8_t *copy = lm_arena_copy(&p->own, line.ptr, line.len);
    if (!copy) return; /* then not all are there */
    few->items[few->count++] =
        (store_line){.record = p->view->run_first[segment] + row, .text = {copy, line.len}};
}

static const store_line *few_find(const pass *p, uint64_t record)
{
    for (size_t i = 0; i < p->few.count; i++) {
        if (p->few.items[i].record == record) return &p->few.items[i];
    }
    return NULL;
}

/** Of a record whose line is at hand, or when times are loaded. */
static int64_t time_of(const pass *p, uint64_t record)
{
    const store_line *line = p->few.are_all ? few_find(p, record) : NULL;
    return line ? line->time_ns : p->view->times[record];
}

static const store_part_stream *stream_by_first(const pass *p, uint32_t i)
{
    return &p->view->streams[p->by_first[i]];
}

/** Number of the stream that a record is of. */
static uint32_t stream_of(pass *p, uint64_t record)
{
    const store_part_stream *last = stream_by_first(p, p->last_stream);
    if (record < last->first || record >= last->first + last->records) {
        uint32_t begin = 0, end = p->view->stream_count;
        while (end - begin > 1) {
            uint32_t middle = begin + (end - begin) / 2;
            if (stream_by_first(p, middle)->first <= record) {
                begin = middle;
            } else {
                end = middle;
            }
        }
        p->last_stream = begin;
    }
    return p->by_first[p->last_stream];
}

static int compare_first(const void *a, const void *b, void *view)
{
    const store_part_stream *streams = ((store_view *)view)->streams;
    uint64_t x = streams[*(const uint32_t *)a].first, y = streams[*(const uint32_t *)b].first;
    return (x > y) - (x < y);
}

static lm_err load_metadata(pass *p)
{
    store_view *view = p->view;
    p->metadata_rank = lm_arena_alloc(&p->own, p->words * sizeof *p->metadata_rank, 4);
    if (!p->metadata_rank) return lm_mem_err();
    size_t count = 0;
    for (size_t w = 0; w < p->words; w++) {
        p->metadata_rank[w] = (uint32_t)count;
        count += (size_t)__builtin_popcountll(view->has_metadata[w]);
    }
    p->metadata_ends = lm_arena_alloc(&p->own, (count + 1) * sizeof *p->metadata_ends, 8);
    if (!p->metadata_ends) return lm_mem_err();
    lm_err err = store_view_load(view, STORE_LINES);
    if (!err) err = store_metadata_text(view, &p->metadata);
    if (err) return err;
    const uint8_t *at = p->metadata.ptr, *end = at + p->metadata.len;
    for (; p->metadata_count < count; p->metadata_count++) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) break;
        at = line_end + 1;
        p->metadata_ends[p->metadata_count] = (size_t)(at - p->metadata.ptr);
    }
    return p->metadata_count == count ? LM_OK
                                      : lm_fail(LM_E_CORRUPT, "segment %016llx lacks metadata",
                                                (unsigned long long)view->id);
}

static lm_err metadata_of(pass *p, uint64_t record, lm_labels *out)
{
    const uint64_t *has = p->view->has_metadata;
    *out = (lm_labels){NULL, 0};
    if (!has || !(has[record / 64] >> record % 64 & 1)) return LM_OK;
    lm_err err = p->metadata_ends ? LM_OK : load_metadata(p);
    if (err) return err;
    uint64_t below = has[record / 64] & ((UINT64_C(1) << record % 64) - 1);
    size_t rank = p->metadata_rank[record / 64] + (size_t)__builtin_popcountll(below);
    size_t begin = rank ? p->metadata_ends[rank - 1] : 0;
    lm_str text = {p->metadata.ptr + begin, p->metadata_ends[rank] - begin - 1};
    err = lm_labels_parse(text, &p->arena, out);
    return err == LM_E_USAGE ? LM_E_CORRUPT : err;
}

/** Tells one record; false: stop. */
static bool tell(pass *p, uint64_t record, lm_str line)
{
    asker *a = p->a;
    int64_t time = time_of(p, record);
    if (time < wanted_min(a) || time > wanted_last(a)) return true;
    lm_record made = {.time_ns = time, .line = line};
    lm_arena_reset(&p->arena);
    p->err = metadata_of(p, record, &made.metadata);
    if (p->err) return false;
    uint32_t stream = stream_of(p, record);
    made.stream = stream;
    if (!a->told(a->told_ctx, &p->view->faces[stream], &made)) a->stopped = true;
    return !a->stopped && !is_cancelled(a);
}

static bool pass_told(void *ctx, const lm_match *match)
{
    pass *p = ctx;
    return tell(p, p->view->run_first[match->segment] + match->row, match->text);
}

static void pass_bad(void *ctx, const char *text)
{
    pass *p = ctx;
    char line[700];
    p->is_damaged = true;
    (void)snprintf(line, sizeof line, "segment %016llx: %s", (unsigned long long)p->view->id, text);
    store_note_bad(p->a->store, line);
}

static lm_err run_search(pass *p, bool as_rows)
{
    lm_search_report report;
    lm_search_options options = {.time_min = INT64_MIN,
                                 .time_max = INT64_MAX,
                                 .template_id = -1,
                                 .skip_times = true,
                                 .backwards = p->a->what->backwards,
                                 .wants = pass_wants,
                                 .choose = pass_choose,
                                 .rows = as_rows ? pass_rows : NULL,
                                 .few = as_rows ? pass_few : NULL,
                                 .few_max = STORE_LINES_MAX,
                                 .rows_ctx = p,
                                 .cancel = p->a->what->cancel};
    lm_err err = store_view_load(p->view, STORE_LINES);
    if (err) return err;
    lm_arena arena;
    lm_arena_init(&arena, p->a->store->mem);
    err = lm_search(p->view->archive, NULL, p->a->query, &options, pass_told, p, pass_bad, p,
                    &arena, &report);
    lm_arena_fini(&arena);
    if (err == LM_E_CORRUPT) err = LM_OK; /* told to pass_bad; the rest was searched */
    return err ? err : p->err;
}

/** Tells a record by its line as the segment has it. check: it must still fit the query. */
static lm_err tell_line(pass *p, uint64_t record, lm_str line, bool check, lm_buf *unfolded,
                        bool *goes_on)
{
    const store_view *view = p->view;
    lm_err err = LM_OK;
    if (view->folded && view->folded[record / 64] >> record % 64 & 1) {
        unfolded->len = 0;
        err = store_line_unfold(line, unfolded);
        line = (lm_str){unfolded->ptr, unfolded->len};
    }
    bool fits = true;
    if (!err && check) err = lm_query_match(p->a->query, line, NULL, &fits);
    if (!err && fits) *goes_on = tell(p, record, line);
    return err ? err : p->err;
}

/** Tells records whose lines are at hand. */
static lm_err tell_few(pass *p, const uint64_t *records, size_t count)
{
    lm_buf unfolded;
    lm_buf_init(&unfolded, p->view->mem);
    lm_err err = LM_OK;
    bool goes_on = true;
    for (size_t i = 0; i < count && !err && goes_on; i++) {
        const store_line *line = few_find(p, records[i]);
        if (line) err = tell_line(p, line->record, line->text, false, &unfolded, &goes_on);
    }
    lm_buf_fini(&unfolded);
    return err;
}

/** Tells records (ascending), rendered; unfolds those that are folded. check: they must still fit
 * the query. */
static lm_err tell_records(pass *p, const uint64_t *records, size_t count, bool check)
{
    store_view *view = p->view;
    if (!check && p->few.are_all) return tell_few(p, records, count);
    lm_buf text, unfolded;
    lm_buf_init(&text, view->mem);
    lm_buf_init(&unfolded, view->mem);
    lm_err err = store_view_load(view, STORE_LINES);
    bool goes_on = true;
    size_t segment = 0;
    for (size_t i = 0; i < count && !err && goes_on;) {
        while (records[i] >= view->run_first[segment + 1])
            segment++;
        uint32_t rows[FIRST_CHUNK];
        size_t ends[FIRST_CHUNK], n = 0;
        for (; i + n < count && n < FIRST_CHUNK && records[i + n] < view->run_first[segment + 1];
             n++)
            rows[n] = (uint32_t)(records[i + n] - view->run_first[segment]);
        lm_segment *opened = NULL;
        text.len = 0;
        err = lm_segment_open(view->archive, segment, &opened);
        if (!err) err = lm_segment_text_of(opened, rows, n, &text, ends);
        lm_segment_close(opened);
        if (err == LM_E_CORRUPT) {
            pass_bad(p, lm_err_text());
            err = LM_OK;
            i += n;
            continue;
        }
        for (size_t k = 0; k < n && !err && goes_on; k++) {
            size_t begin = k ? ends[k - 1] : 0;
            lm_str line = {text.ptr + begin, ends[k] - begin - 1};
            err = tell_line(p, records[i + k], line, check, &unfolded, &goes_on);
        }
        i += n;
    }
    lm_buf_fini(&text);
    lm_buf_fini(&unfolded);
    return err;
}

/** Numbers of the records in a set, ascending. */
static lm_err list_records(pass *p, const uint64_t *set, uint64_t **out, size_t *out_count)
{
    size_t count = 0;
    for (size_t w = 0; w < p->words; w++)
        count += (size_t)__builtin_popcountll(set[w]);
    uint64_t *list = lm_arena_alloc(&p->own, count * sizeof *list, 8);
    if (!list) return lm_mem_err();
    size_t n = 0;
    for (size_t w = 0; w < p->words; w++) {
        for (uint64_t bits = set[w]; bits; bits &= bits - 1)
            list[n++] = w * 64 + (uint64_t)__builtin_ctzll(bits);
    }
    *out = list;
    *out_count = count;
    return LM_OK;
}

typedef struct timed {
    int64_t time_ns;
    uint64_t record;
} timed;

static int compare_timed(const void *a, const void *b)
{
    const timed *x = a, *y = b;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return (x->record > y->record) - (x->record < y->record);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/** What was found, told in order of time, a few at first: bounds move meanwhile. */
static lm_err tell_by_time(pass *p, const uint64_t *records, size_t count)
{
    timed *list = lm_arena_alloc(&p->own, count * sizeof *list, 8);
    uint64_t *chunk = lm_arena_alloc(&p->own, CHUNK * sizeof *chunk, 8);
    if (!list || !chunk) return lm_mem_err();
    for (size_t i = 0; i < count; i++)
        list[i] = (timed){time_of(p, records[i]), records[i]};
    qsort(list, count, sizeof *list, compare_timed);
    bool backwards = p->a->what->backwards;
    size_t size = FIRST_CHUNK;
    for (size_t at = 0; at < count && !p->a->stopped && !is_cancelled(p->a); size = CHUNK) {
        size_t n = count - at < size ? count - at : size, kept = 0;
        for (size_t i = 0; i < n; i++) {
            const timed *one = &list[backwards ? count - 1 - at - i : at + i];
            if (one->time_ns >= wanted_min(p->a) && one->time_ns <= wanted_last(p->a))
                chunk[kept++] = one->record;
        }
        if (!kept) return LM_OK; /* the bounds only close in: what follows lies outside too */
        qsort(chunk, kept, sizeof *chunk, compare_numbers);
        lm_err err = tell_records(p, chunk, kept, false);
        if (err) return err;
        at += n;
    }
    return LM_OK;
}

/** Records [begin, end) into a set. */
static void set_range(uint64_t *set, uint64_t begin, uint64_t end)
{
    for (uint64_t at = begin; at < end;) {
        uint64_t n = 64 - at % 64 < end - at ? 64 - at % 64 : end - at;
        uint64_t bits = n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1) << at % 64;
        set[at / 64] |= bits;
        at += n;
    }
}

/** First record of a stream at or after a time: times rise in a stream. */
static uint64_t find_time(const store_view *view, const store_part_stream *stream, int64_t time)
{
    uint64_t begin = stream->first, end = stream->first + stream->records;
    while (begin < end) {
        uint64_t middle = begin + (end - begin) / 2;
        if (view->times[middle] < time) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/** The records of a stream whose times are in [min, last]. Loads times if they are needed. */
static lm_err range_of(store_view *view, const store_part_stream *stream, int64_t min, int64_t last,
                       uint64_t *out_begin, uint64_t *out_end)
{
    bool is_whole = stream->time_min >= min && stream->time_max <= last;
    lm_err err = is_whole ? LM_OK : store_view_load(view, STORE_TIMES);
    if (err) return err;
    *out_begin = stream->time_min >= min ? stream->first : find_time(view, stream, min);
    *out_end = stream->time_max <= last ? stream->first + stream->records
                                        : find_time(view, stream, last + 1);
    return LM_OK;
}

static lm_err make_sets(pass *p)
{
    p->words = (size_t)(p->view->record_count + 63) / 64;
    p->wanted = lm_arena_alloc(&p->own, p->words * 8, 8);
    p->found = lm_arena_alloc(&p->own, p->words * 8, 8);
    if (!p->wanted || !p->found) return lm_mem_err();
    memset(p->wanted, 0, p->words * 8);
    memset(p->found, 0, p->words * 8);
    return LM_OK;
}

static lm_err want_records(pass *p)
{
    int64_t min = wanted_min(p->a), last = wanted_last(p->a);
    lm_err err = make_sets(p);
    for (uint32_t i = 0; i < p->view->stream_count && !err; i++) {
        uint64_t begin = 0, end = 0;
        const store_part_stream *stream = &p->view->streams[i];
        if (!p->fits[i] || stream->time_max < min || stream->time_min > last) continue;
        err = range_of(p->view, stream, min, last, &begin, &end);
        if (!err) set_range(p->wanted, begin, end);
    }
    return err;
}

/** Folded records that are wanted come out of the search, to be looked at one by one: but where the
 * filters find in a folded line what they find in the line. */
static lm_err take_folded(pass *p)
{
    if (!p->view->folded || (p->a->finds_folded && !p->view->has_escapes)) return LM_OK;
    uint64_t *set = lm_arena_alloc(&p->own, p->words * 8, 8);
    if (!set) return lm_mem_err();
    for (size_t w = 0; w < p->words; w++) {
        set[w] = p->wanted[w] & p->view->folded[w];
        p->wanted[w] &= ~set[w];
    }
    return list_records(p, set, &p->folded, &p->folded_count);
}

/* ---- records told in lumps ---- */

static bool is_lumped(const pass *p)
{
    const lm_select *what = p->a->what;
    return what->is_one && what->only_size && (what->skip_metadata || !p->view->has_metadata);
}

static bool is_one(const pass *p, int64_t first, int64_t last)
{
    return p->a->what->is_one(p->a->told_ctx, first, last);
}

static bool lump(pass *p, uint32_t stream, int64_t first_ns, uint64_t count, uint64_t bytes)
{
    asker *a = p->a;
    if (!a->what->lump(a->told_ctx, &p->view->faces[stream], first_ns, count, bytes))
        a->stopped = true;
    return !a->stopped;
}

/** Behind the last of the records from begin on, at most end, that are alike with it in time. */
static uint64_t alike_until(const pass *p, uint64_t begin, uint64_t end)
{
    const int64_t *times = p->view->times;
    uint64_t step = 1, known = begin + 1; /* records before known are alike */
    while (known < end) {
        uint64_t next = end - known < step ? end : known + step;
        if (!is_one(p, times[begin], times[next - 1])) {
            end = next - 1;
            break;
        }
        known = next;
        step *= 2;
    }
    while (known < end) { /* those from end on are not */
        uint64_t middle = known + (end - known + 1) / 2;
        if (is_one(p, times[begin], times[middle - 1])) {
            known = middle;
        } else {
            end = middle - 1;
        }
    }
    return known;
}

/** Records of a stream with times in [min, last], of which nothing but times are wanted. */
static lm_err lump_times(pass *p, uint32_t number, int64_t min, int64_t last)
{
    uint64_t begin, end;
    lm_err err = store_view_load(p->view, STORE_TIMES);
    if (!err) err = range_of(p->view, &p->view->streams[number], min, last, &begin, &end);
    if (err) return err;
    if (!p->a->what->skip_line) { /* lines must be looked at, to know how long they are */
        if (!p->wanted) err = make_sets(p);
        if (!err) set_range(p->wanted, begin, end);
        return err;
    }
    for (uint64_t next; begin < end; begin = next) {
        next = alike_until(p, begin, end);
        if (!lump(p, number, p->view->times[begin], next - begin, 0)) break;
    }
    return LM_OK;
}

/** Records of a stream by the counts that are kept of it, as far as they serve. */
static lm_err lump_stream(pass *p, uint32_t number)
{
    const store_view *view = p->view;
    const store_part_stream *stream = &view->streams[number];
    int64_t min = wanted_min(p->a), last = wanted_last(p->a), first_ns = 0;
    uint64_t records = 0, bytes = 0; /* a lump that may grow */
    lm_err err = LM_OK;
    if (stream->time_min >= min && stream->time_max <= last &&
        is_one(p, stream->time_min, stream->time_max)) {
        (void)lump(p, number, stream->time_min, stream->records, stream->raw_bytes);
        return LM_OK;
    }
    if (min < stream->time_min) min = stream->time_min;
    if (last > stream->time_max) last = stream->time_max;
    uint32_t begin = view->first_minute[number], end = view->first_minute[number + 1];
    if (begin == end) return lump_times(p, number, min, last);
    for (uint32_t i = begin; i < end && !err && !p->a->stopped; i++) {
        const store_minute *minute = &view->minutes[i];
        int64_t low = stream->time_min, high = stream->time_max;
        if (i > begin) low = minute->minute * STORE_MINUTE_NS + 1;
        if (i + 1 < end) high = (minute->minute + 1) * STORE_MINUTE_NS;
        if (high < min || low > last) continue;
        bool is_whole = low >= min && high <= last;
        if (is_whole && records && is_one(p, first_ns, high)) {
            records += minute->records;
            bytes += minute->bytes;
            continue;
        }
        if (records && !lump(p, number, first_ns, records, bytes)) break;
        records = 0;
        if (is_whole && is_one(p, low, high)) {
            first_ns = low;
            records = minute->records;
            bytes = minute->bytes;
        } else {
            err = lump_times(p, number, low < min ? min : low, high > last ? last : high);
        }
    }
    if (!err && records && !p->a->stopped) (void)lump(p, number, first_ns, records, bytes);
    return err;
}

static uint64_t count_set(const uint64_t *set, uint64_t begin, uint64_t end)
{
    uint64_t count = 0;
    for (uint64_t at = begin; at < end;) {
        uint64_t n = 64 - at % 64 < end - at ? 64 - at % 64 : end - at;
        uint64_t mask = n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1) << at % 64;
        count += (uint64_t)__builtin_popcountll(set[at / 64] & mask);
        at += n;
    }
    return count;
}

/** What was found, of which only times are wanted. */
static lm_err lump_found(pass *p)
{
    const store_view *view = p->view;
    for (uint32_t i = 0; i < view->stream_count && !p->a->stopped; i++) {
        const store_part_stream *stream = &view->streams[i];
        if (!p->fits[i]) continue;
        uint64_t at = stream->first, end = stream->first + stream->records;
        if (is_one(p, stream->time_min, stream->time_max)) {
            uint64_t count = count_set(p->found, at, end);
            if (count && !lump(p, i, stream->time_min, count, 0)) break;
            continue;
        }
        lm_err err = store_view_load(p->view, STORE_TIMES);
        if (err) return err;
        while (at < end) {
            uint64_t bits = p->found[at / 64] >> at % 64;
            if (!bits) {
                at = (at / 64 + 1) * 64;
                continue;
            }
            at += (uint64_t)__builtin_ctzll(bits);
            if (at >= end) break;
            uint64_t next = alike_until(p, at, end);
            if (!lump(p, i, view->times[at], count_set(p->found, at, next), 0)) break;
            at = next;
        }
    }
    return LM_OK;
}

/* ---- the three steps ---- */

/** What was found, told without its text. */
static lm_err tell_bare(pass *p)
{
    uint64_t *records = NULL;
    size_t count = 0;
    lm_err err = list_records(p, p->found, &records, &count);
    for (size_t i = 0; i < count && !err; i++) {
        if (!tell(p, records[i], (lm_str){NULL, 0})) break;
    }
    return err ? err : p->err;
}

/** Is there anything to be searched, or told? Needs the head alone. */
static lm_err pass_begin(pass *p, bool *out_any)
{
    asker *a = p->a;
    store_view *view = p->view;
    int64_t min = wanted_min(a), last = wanted_last(a);
    bool any = !a->has_filters;
    lm_err err = LM_OK;
    *out_any = false;
    p->is_whole = true;
    p->admitted = lm_arena_alloc(&p->own, view->run_count + 1, 1);
    p->fits = lm_arena_alloc(&p->own, (size_t)view->stream_count + 1, 1);
    if (!p->admitted || !p->fits) return lm_mem_err();
    for (size_t i = 0; i < view->run_count; i++) {
        p->admitted[i] = !a->has_filters || lm_query_admitted(a->query, view->grams[i]);
        any = any || p->admitted[i];
    }
    /* Filters that folding may hide things from say nothing of folded lines. */
    if (!any && (!view->folded || (a->finds_folded && !view->has_escapes))) return LM_OK;
    for (uint32_t i = 0; i < view->stream_count && !err; i++) {
        const store_part_stream *stream = &view->streams[i];
        p->fits[i] = stream->time_max >= min && stream->time_min <= last;
        p->is_whole = p->is_whole && stream->time_min >= min && stream->time_max <= last;
        if (p->fits[i]) err = stream_fits(a, &view->faces[i], &p->fits[i]);
        *out_any = *out_any || p->fits[i];
    }
    return err;
}

/** Does telling come from searching, line by line? */
static bool is_told_by_search(const asker *a)
{
    return !a->visit && !a->what->wanted_min && !a->what->wanted_max && !a->what->skip_line;
}

/** Are the lines that were made all that was found? Then they get their times. */
static lm_err few_finish(pass *p)
{
    uint64_t found = count_set(p->found, 0, p->words * 64);
    p->few.are_all = found == p->few.count;
    if (!p->few.are_all || !found) return LM_OK;
    lm_err err = store_view_load(p->view, STORE_TIMES);
    for (size_t i = 0; i < p->few.count && !err; i++)
        p->few.items[i].time_ns = p->view->times[p->few.items[i].record];
    return err;
}

/** Records that are wanted and fit the filters, from what is known of an earlier time or searched.
 */
static lm_err find_records(pass *p)
{
    asker *a = p->a;
    lm_store *store = a->store;
    if (a->question &&
        store_answer_get(store, a->question, p->view->id, p->found, p->words, &p->own, &p->few)) {
        for (size_t w = 0; w < p->words; w++)
            p->found[w] &= p->wanted[w];
        return LM_OK;
    }
    p->is_damaged = false;
    lm_err err = run_search(p, true);
    if (!err) err = few_finish(p);
    bool is_whole = !err && !p->is_damaged && !is_cancelled(a) && p->is_whole;
    if (is_whole && a->question)
        store_answer_put(store, a->question, p->view->id, p->found, p->words, &p->few);
    return err;
}

static bool any_found(const pass *p)
{
    uint64_t any = 0;
    for (size_t w = 0; w < p->words; w++)
        any |= p->found[w];
    return any != 0;
}

static lm_err pass_search(pass *p)
{
    asker *a = p->a;
    if (is_lumped(p) && !a->has_filters) return LM_OK; /* counts are there */
    lm_err err = want_records(p);
    if (err || a->visit) return err;
    if (is_told_by_search(a)) return take_folded(p);
    if (!a->has_filters) {
        memcpy(p->found, p->wanted, p->words * 8);
    } else {
        err = take_folded(p);
        if (!err) err = find_records(p);
    }
    /* Whoever tells will want them. */
    if (!err && !is_lumped(p) && !p->few.are_all && any_found(p))
        err = store_view_load(p->view, STORE_TIMES);
    return err;
}

static lm_err pass_tell(pass *p)
{
    asker *a = p->a;
    store_view *view = p->view;
    lm_err err = LM_OK;
    if (a->visit) return a->visit(a->visit_ctx, view, p->wanted);
    if (p->found && !is_told_by_search(a) && !any_found(p) && !p->folded_count) return LM_OK;
    if (is_lumped(p) && !a->has_filters) {
        for (uint32_t i = 0; i < view->stream_count && !err && !a->stopped; i++) {
            if (p->fits[i]) err = lump_stream(p, i);
        }
        if (err || a->stopped || !p->wanted) return err;
        err = take_folded(p); /* the rest is counted line by line */
    } else if (is_lumped(p) && a->what->skip_line) {
        err = lump_found(p);
        if (err || a->stopped || !p->folded_count) return err;
    }
    p->by_first = lm_arena_alloc(&p->own, view->stream_count * sizeof *p->by_first, 4);
    if (!p->by_first) return lm_mem_err();
    for (uint32_t i = 0; i < view->stream_count; i++)
        p->by_first[i] = i;
    qsort_r(p->by_first, view->stream_count, sizeof *p->by_first, compare_first, view);
    if (!err && (!p->few.are_all || p->folded_count)) err = store_view_load(view, STORE_TIMES);
    if (!err && is_told_by_search(a)) {
        err = run_search(p, false);
    } else if (!err && a->what->skip_line) {
        if (!is_lumped(p)) err = tell_bare(p);
    } else if (!err) {
        uint64_t *records = NULL;
        size_t count = 0;
        err = list_records(p, p->found, &records, &count);
        if (!err) err = tell_by_time(p, records, count);
    }
    if (!err && p->folded_count && !a->stopped)
        err = tell_records(p, p->folded, p->folded_count, true);
    return err;
}

static lm_err pass_open(asker *a, uint64_t id, pass *p, bool *out_any)
{
    *p = (pass){.a = a};
    *out_any = false;
    lm_err err = store_view_get(a->store, id, &p->view);
    if (err) return err;
    lm_buf_init(&p->metadata, a->store->mem);
    lm_arena_init(&p->arena, a->store->mem);
    lm_arena_init(&p->own, a->store->mem);
    return pass_begin(p, out_any);
}

static void pass_close(pass *p)
{
    if (!p->view) return;
    lm_buf_fini(&p->metadata);
    lm_arena_fini(&p->arena);
    lm_arena_fini(&p->own);
    store_view_put(p->a->store, p->view);
    p->view = NULL;
}

/** A damaged segment is named; the rest is served. */
static lm_err name_damage(asker *a, lm_err err)
{
    if (err != LM_E_CORRUPT && err != LM_E_NOTFOUND) return err;
    store_note_bad(a->store, lm_err_text());
    return LM_OK;
}

static lm_err search_one(void *ctx, size_t index)
{
    pass *p = &((pass *)ctx)[index];
    if (is_cancelled(p->a)) return LM_OK;
    p->failed = pass_search(p);
    if (p->failed) lm_err_save(&p->why);
    return LM_OK; /* told in order with the others */
}

/* ---- the head ---- */

/** Which streams of a generation match: 0 not yet known, 1 no, 2 yes. */
static bool stream_matches(asker *a, uint8_t *known, const store_stream *stream)
{
    if (!known[stream->number])
        known[stream->number] = store_matchers_match(a->matchers, stream->stream.labels) ? 2 : 1;
    return known[stream->number] == 2;
}

static lm_err ask_frame(asker *a, const store_frame *frame, uint8_t *known, lm_arena *arena)
{
    store_walk walk;
    store_raw_record raw;
    lm_err err = LM_OK;
    bool any = false;
    for (uint32_t i = 0; i < frame->stream_count && !any; i++)
        any = stream_matches(a, known, frame->streams[i]);
    if (!any) return LM_OK;
    int64_t min = wanted_min(a), last = wanted_last(a);
    store_frame_records(frame, &walk);
    while (!err && !a->stopped && store_frame_next_record(&walk, &raw)) {
        const store_stream *stream = frame->streams[raw.stream];
        bool fits = true;
        if (raw.time_ns < min || raw.time_ns > last || !stream_matches(a, known, stream)) continue;
        if (a->has_filters) err = lm_query_match(a->query, raw.line, NULL, &fits);
        if (err || !fits) continue;
        lm_record record = {.time_ns = raw.time_ns, .line = raw.line, .stream = stream->number};
        lm_arena_reset(arena);
        if (raw.metadata.len) err = store_metadata_read(raw.metadata, arena, &record.metadata);
        if (err) return err;
        if (!a->told(a->told_ctx, &stream->stream, &record)) a->stopped = true;
        if (a->what->wanted_min) min = wanted_min(a);
        if (a->what->wanted_max) last = wanted_last(a);
    }
    return err;
}

typedef struct head_view {
    store_generation *generation;
    store_frame *first;
    size_t count, stream_count;
} head_view;

static lm_err ask_head(asker *a, const head_view *head)
{
    lm_mem *mem = a->store->mem;
    lm_arena arena;
    lm_arena_init(&arena, mem);
    lm_err err = LM_OK;
    uint8_t *known = lm_mem_calloc(mem, head->stream_count, 1);
    store_frame **frames = lm_mem_alloc(mem, head->count * sizeof(store_frame *));
    if (!known || !frames) err = lm_mem_err();
    store_frame *frame = head->first;
    for (size_t i = 0; i < head->count && !err; i++) {
        frames[i] = frame;
        if (i + 1 < head->count) frame = frame->next; /* the last one's is not ours to read */
    }
    for (size_t i = 0; i < head->count && !err && !a->stopped; i++) {
        frame = frames[a->what->backwards ? head->count - 1 - i : i];
        if (is_cancelled(a)) break;
        if (!lm_str_equal(frame->tenant, a->what->tenant)) continue;
        if (frame->time_max < wanted_min(a) || frame->time_min > wanted_last(a)) continue;
        err = ask_frame(a, frame, known, &arena);
    }
    lm_mem_release(mem, known, head->stream_count);
    lm_mem_release(mem, frames, head->count * sizeof(store_frame *));
    lm_arena_fini(&arena);
    return err;
}

/* ---- both ---- */

typedef struct snapshot {
    store_part **parts;
    size_t part_count, part_cap;
    head_view *heads; /* oldest first */
    size_t head_count, head_cap;
} snapshot;

static lm_err snapshot_take(lm_store *store, const lm_select *what, snapshot *out)
{
    lm_err err = LM_OK;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->part_count && !err; i++) {
        store_part *part = store->parts[i];
        if (part->time_min >= what->time_max) break; /* they are in order of time_min */
        if (part->time_max < what->time_min || !lm_str_equal(lm_str_of(part->tenant), what->tenant))
            continue;
        err = lm_vec_grow(store->mem, &out->parts, &out->part_cap, out->part_count + 1,
                          sizeof(store_part *));
        if (err) break;
        part->users++;
        out->parts[out->part_count++] = part;
    }
    for (store_generation *g = store->generations; g && !err; g = g->next) {
        if (g->is_sealed || !g->frame_count) continue;
        err = lm_vec_grow(store->mem, &out->heads, &out->head_cap, out->head_count + 1,
                          sizeof *out->heads);
        if (err) break;
        g->users++;
        out->heads[out->head_count++] = (head_view){g, g->first, g->frame_count, g->stream_count};
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

static void snapshot_drop(lm_store *store, snapshot *s)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < s->part_count; i++)
        store_part_unuse(store, s->parts[i]);
    for (size_t i = 0; i < s->head_count; i++) {
        store_generation_unuse(store, s->heads[i].generation);
    }
    pthread_mutex_unlock(&store->lock);
    lm_mem_release(store->mem, s->parts, s->part_cap * sizeof(store_part *));
    lm_mem_release(store->mem, s->heads, s->head_cap * sizeof *s->heads);
}

static int compare_newest(const void *a, const void *b)
{
    const store_part *x = *(store_part *const *)a, *y = *(store_part *const *)b;
    if (x->time_max != y->time_max) return x->time_max > y->time_max ? -1 : 1;
    return (x->id < y->id) - (x->id > y->id);
}

/** Segments from *next on that have something to be searched, up to a number of them; opened. */
static lm_err open_passes(asker *a, const snapshot *s, size_t *next, pass *passes, size_t want,
                          size_t *out_count)
{
    lm_err err = LM_OK;
    while (*next < s->part_count && *out_count < want && !err && !is_cancelled(a)) {
        const store_part *part = s->parts[(*next)++];
        pass *p = &passes[*out_count];
        bool any = false;
        if (part->time_max < wanted_min(a) || part->time_min > wanted_last(a)) continue;
        err = pass_open(a, part->id, p, &any);
        if (err || !any) {
            lm_err_info info;
            lm_err_save(&info);
            pass_close(p);
            if (err) err = lm_err_restore(&info);
            err = err ? name_damage(a, err) : LM_OK;
        } else {
            (*out_count)++;
        }
    }
    return err;
}

/** A few segments are searched side by side, then told in order; fewer at first, since the newest
 * ones may be all that is wanted. */
static lm_err ask_parts(asker *a, snapshot *s)
{
    pass passes[PASSES_MAX];
    lm_pool *pool = a->store->asking;
    size_t width = a->what->wanted_min || a->what->wanted_max ? 1 : PASSES_MAX;
    lm_err err = LM_OK;
    for (size_t next = 0; next < s->part_count && !err && !a->stopped && !is_cancelled(a);) {
        size_t count = 0;
        err = open_passes(a, s, &next, passes, width, &count);
        if (!err) err = lm_pool_for(count > 1 ? pool : NULL, count, search_one, passes);
        for (size_t i = 0; i < count; i++) {
            pass *p = &passes[i];
            if (!err && p->failed) {
                err = name_damage(a, lm_err_restore(&p->why));
            } else if (!err && !a->stopped && !is_cancelled(a)) {
                err = pass_tell(p);
                if (err) err = name_damage(a, err);
            }
            lm_err_info info;
            if (err) lm_err_save(&info);
            pass_close(p);
            if (err) err = lm_err_restore(&info);
        }
        if (2 * width <= PASSES_MAX) width *= 2;
    }
    return err;
}

static lm_err ask_all(asker *a, snapshot *s)
{
    lm_err err = LM_OK;
    bool backwards = a->what->backwards;
    if (backwards && s->part_count)
        qsort(s->parts, s->part_count, sizeof(store_part *), compare_newest);
    for (size_t i = 0; backwards && i < s->head_count && !err && !a->stopped; i++)
        err = ask_head(a, &s->heads[s->head_count - 1 - i]);
    if (!err && !a->stopped) err = ask_parts(a, s);
    for (size_t i = 0; !backwards && i < s->head_count && !err && !a->stopped; i++)
        err = ask_head(a, &s->heads[i]);
    if (!err && is_cancelled(a)) err = lm_fail(LM_E_CANCELLED, "the query was stopped");
    return err;
}

/** Do filters find in a folded line (without signs of escape) what they find in the line? Texts do,
 * if they hold no sign that folding changes. */
static bool finds_folded(const lm_select *what)
{
    for (uint32_t i = 0; i < what->filter_count; i++) {
        const lm_line_filter *filter = &what->filters[i];
        if (filter->op != LM_HAS && filter->op != LM_HAS_NOT) return false;
        for (uint32_t k = 0; k < filter->text_count; k++) {
            lm_str text = filter->texts[k];
            for (size_t c = 0; c < text.len; c++) {
                if (text.ptr[c] == '\n' || text.ptr[c] == 0x1E || text.ptr[c] == 0x1F) return false;
            }
        }
    }
    return true;
}

static lm_err run_asker(asker *a)
{
    lm_store *store = a->store;
    snapshot s = {0};
    a->finds_folded = finds_folded(a->what);
    lm_arena_init(&a->arena, store->mem);
    lm_err err = store_matchers_new(store->mem, a->what, &a->matchers);
    if (!err) err = store_filters_query(store->mem, a->what, &a->query);
    if (!err && a->has_filters && !a->visit && !is_told_by_search(a))
        a->question = store_question_begin(store, a->what);
    if (!err) {
        err = snapshot_take(store, a->what, &s);
        if (!err) err = ask_all(a, &s);
        snapshot_drop(store, &s);
    }
    store_matchers_free(a->matchers);
    lm_query_free(a->query);
    store_question_end(store, a->question);
    lm_mem_release(store->mem, a->known, a->known_slots * sizeof *a->known);
    lm_arena_fini(&a->arena);
    return err;
}

lm_err store_select(void *self, const lm_select *what,
                    bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                    void *told_ctx)
{
    asker a = {.store = self,
               .what = what,
               .has_filters = what->filter_count > 0,
               .told = told,
               .told_ctx = told_ctx};
    return run_asker(&a);
}

lm_err store_visit(lm_store *store, const lm_select *what,
                   lm_err (*visit)(void *ctx, store_view *view, const uint64_t *wanted),
                   void *visit_ctx,
                   bool (*told)(void *ctx, const lm_stream *stream, const lm_record *record),
                   void *told_ctx)
{
    asker a = {.store = store,
               .what = what,
               .visit = visit,
               .visit_ctx = visit_ctx,
               .told = told,
               .told_ctx = told_ctx};
    LM_ASSERT(!what->filter_count); /* segments are visited by stream and time alone */
    return run_asker(&a);
}

/* ---- streams ---- */

/** Streams seen so far, by label text: segments and head may both have one. */
typedef struct seen_stream {
    struct seen_stream *next;
    lm_stream stream;
    uint64_t records, bytes, sealed, stored;
} seen_stream;

enum { SEEN_SLOTS = 4096 };

typedef struct lister {
    store_matchers *matchers;
    lm_arena arena;
    seen_stream **slots;
    lm_str tenant;
} lister;

static lm_err see(lister *l, lm_str key, const lm_labels *labels, uint64_t records, uint64_t bytes,
                  seen_stream **out)
{
    uint64_t hash = lm_hash64(key.ptr, key.len);
    seen_stream **slot = &l->slots[hash % SEEN_SLOTS], *at = *slot;
    while (at && !lm_str_equal(at->stream.key, key))
        at = at->next;
    if (!at) {
        at = lm_arena_alloc(&l->arena, sizeof *at, _Alignof(seen_stream));
        uint8_t *copy = lm_arena_copy(&l->arena, key.ptr, key.len);
        if (!at || !copy) return lm_mem_err();
        *at = (seen_stream){.next = *slot, .stream = {.key = {copy, key.len}, .hash = hash}};
        lm_err err = LM_OK;
        if (labels) {
            at->stream.labels = *labels;
        } else {
            err = lm_labels_parse(at->stream.key, &l->arena, &at->stream.labels);
        }
        if (err) return err;
        *slot = at;
    }
    at->records += records;
    at->bytes += bytes;
    *out = at;
    return LM_OK;
}

static lm_err see_stored(void *ctx, lm_str key, uint64_t records, uint64_t bytes, uint64_t stored)
{
    seen_stream *at = NULL;
    lm_err err = see(ctx, key, NULL, records, bytes, &at);
    if (err) return err;
    at->sealed += bytes;
    at->stored += stored;
    return LM_OK;
}

static lm_err see_head(lister *l, const lm_select *what, const head_view *head)
{
    lm_err err = LM_OK;
    seen_stream *at;
    store_frame *frame = head->first;
    for (size_t i = 0; i < head->count && !err; i++) {
        store_walk walk;
        store_raw_record raw;
        if (i) frame = frame->next;
        if (!lm_str_equal(frame->tenant, l->tenant) || frame->time_max < what->time_min ||
            frame->time_min >= what->time_max)
            continue;
        store_frame_records(frame, &walk);
        while (!err && store_frame_next_record(&walk, &raw)) {
            const lm_stream *stream = &frame->streams[raw.stream]->stream;
            if (raw.time_ns >= what->time_min && raw.time_ns < what->time_max)
                err = see(l, stream->key, &stream->labels, 1, raw.line.len, &at);
        }
    }
    return err;
}

static lm_err list_streams(lm_store *store, const lm_select *what, bool with_stored,
                           bool (*told)(void *ctx, const lm_store_saving *saving), void *told_ctx)
{
    lister l = {.tenant = what->tenant};
    snapshot s = {0};
    lm_arena_init(&l.arena, store->mem);
    l.slots = lm_mem_calloc(store->mem, SEEN_SLOTS, sizeof(seen_stream *));
    lm_err err = l.slots ? store_matchers_new(store->mem, what, &l.matchers) : lm_mem_err();
    if (!err) {
        /* Under one lock, so that a head that is sealed meanwhile is not counted twice. */
        pthread_mutex_lock(&store->catalog_lock);
        err = snapshot_take(store, what, &s);
        if (!err)
            err = store_catalog_tenant_streams(store->catalog, what->tenant, what->time_min,
                                               what->time_max, with_stored, see_stored, &l);
        pthread_mutex_unlock(&store->catalog_lock);
        for (size_t i = 0; i < s.head_count && !err; i++)
            err = see_head(&l, what, &s.heads[i]);
        bool goes_on = true;
        for (size_t i = 0; i < SEEN_SLOTS && !err && goes_on; i++) {
            for (seen_stream *at = l.slots[i]; at && goes_on; at = at->next) {
                lm_store_saving saving = {&at->stream, at->records, at->bytes, at->sealed,
                                          at->stored};
                if (store_matchers_match(l.matchers, at->stream.labels))
                    goes_on = told(told_ctx, &saving);
            }
        }
        snapshot_drop(store, &s);
    }
    store_matchers_free(l.matchers);
    lm_mem_release(store->mem, l.slots, SEEN_SLOTS * sizeof(seen_stream *));
    lm_arena_fini(&l.arena);
    return err;
}

lm_err lm_store_savings(lm_store *store, const lm_select *what,
                        bool (*told)(void *ctx, const lm_store_saving *saving), void *ctx)
{
    return list_streams(store, what, true, told, ctx);
}

typedef struct face_teller {
    bool (*told)(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes);
    void *ctx;
} face_teller;

static bool tell_face(void *ctx, const lm_store_saving *saving)
{
    const face_teller *t = ctx;
    return t->told(t->ctx, saving->stream, saving->records, saving->raw_bytes);
}

lm_err store_streams(void *self, const lm_select *what,
                     bool (*told)(void *ctx, const lm_stream *stream, uint64_t records,
                                  uint64_t bytes),
                     void *told_ctx)
{
    face_teller teller = {told, told_ctx};
    return list_streams(self, what, false, tell_face, &teller);
}
