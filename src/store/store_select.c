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

enum { FIRST_CHUNK = 256, CHUNK = 4096 };

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

static bool is_cancelled(const asker *a)
{
    return a->what->cancel && *a->what->cancel;
}

/* ---- a segment ---- */

typedef struct pass {
    asker *a;
    store_view *view;
    size_t words;
    uint64_t *wanted; /* records to be searched */
    uint64_t *found;  /* records that fit */
    uint32_t *by_first;
    uint32_t last_stream; /* place in by_first */
    /* metadata, once it is needed */
    lm_buf metadata;
    size_t *metadata_ends;
    uint32_t *metadata_rank; /* of the first record of each word */
    size_t metadata_count;
    lm_arena arena; /* of one record */
    lm_arena own;
    lm_err err;
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
    lm_err err = store_metadata_text(view, &p->metadata);
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
    int64_t time = p->view->times[record];
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
                                 .rows_ctx = p,
                                 .cancel = p->a->what->cancel};
    lm_arena arena;
    lm_arena_init(&arena, p->a->store->mem);
    lm_err err = lm_search(p->view->archive, NULL, p->a->query, &options, pass_told, p, pass_bad, p,
                           &arena, &report);
    lm_arena_fini(&arena);
    if (err == LM_E_CORRUPT) err = LM_OK; /* told to pass_bad; the rest was searched */
    return err ? err : p->err;
}

/** Tells records (ascending), rendered; unfolds those that are folded. check: they must still fit
 * the query. */
static lm_err tell_records(pass *p, const uint64_t *records, size_t count, bool check)
{
    store_view *view = p->view;
    lm_buf text, unfolded;
    lm_buf_init(&text, view->mem);
    lm_buf_init(&unfolded, view->mem);
    lm_err err = LM_OK;
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
            uint64_t record = records[i + k];
            lm_str line = {text.ptr + begin, ends[k] - begin - 1};
            if (view->folded && view->folded[record / 64] >> record % 64 & 1) {
                unfolded.len = 0;
                err = store_line_unfold(line, &unfolded);
                line = (lm_str){unfolded.ptr, unfolded.len};
            }
            bool fits = true;
            if (!err && check) err = lm_query_match(p->a->query, line, NULL, &fits);
            if (!err && fits) goes_on = tell(p, record, line);
            if (!err) err = p->err;
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
        list[i] = (timed){p->view->times[records[i]], records[i]};
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

static bool want_records(pass *p)
{
    const store_view *view = p->view;
    int64_t min = wanted_min(p->a), last = wanted_last(p->a);
    bool any = false;
    for (uint32_t i = 0; i < view->stream_count; i++) {
        const store_part_stream *stream = &view->streams[i];
        if (stream->time_max < min || stream->time_min > last) continue;
        if (!store_matchers_match(p->a->matchers, view->labels[i])) continue;
        uint64_t begin = stream->time_min >= min ? stream->first : find_time(view, stream, min);
        uint64_t end = stream->time_max <= last ? stream->first + stream->records
                                                : find_time(view, stream, last + 1);
        set_range(p->wanted, begin, end);
        any = any || begin < end;
    }
    return any;
}

/** Folded records that are wanted come out of the search and, if they fit, go to found. */
static lm_err take_folded(pass *p, uint64_t **out, size_t *out_count)
{
    *out_count = 0;
    *out = NULL;
    if (!p->view->folded) return LM_OK;
    uint64_t *set = lm_arena_alloc(&p->own, p->words * 8, 8);
    if (!set) return lm_mem_err();
    for (size_t w = 0; w < p->words; w++) {
        set[w] = p->wanted[w] & p->view->folded[w];
        p->wanted[w] &= ~set[w];
    }
    return list_records(p, set, out, out_count);
}

/** Metrics that need no text: records that fit, told without it. */
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

static lm_err ask_view(pass *p)
{
    asker *a = p->a;
    store_view *view = p->view;
    p->words = (size_t)(view->record_count + 63) / 64;
    p->wanted = lm_arena_alloc(&p->own, p->words * 8, 8);
    p->found = lm_arena_alloc(&p->own, p->words * 8, 8);
    p->by_first = lm_arena_alloc(&p->own, view->stream_count * sizeof *p->by_first, 4);
    if (!p->wanted || !p->found || !p->by_first) return lm_mem_err();
    memset(p->wanted, 0, p->words * 8);
    memset(p->found, 0, p->words * 8);
    if (!want_records(p)) return LM_OK;
    if (a->visit) return a->visit(a->visit_ctx, view, p->wanted);
    for (uint32_t i = 0; i < view->stream_count; i++)
        p->by_first[i] = i;
    qsort_r(p->by_first, view->stream_count, sizeof *p->by_first, compare_first, view);
    uint64_t *folded = NULL;
    size_t folded_count = 0;
    bool is_bounded = a->what->wanted_min || a->what->wanted_max;
    lm_err err = LM_OK;
    if (!a->has_filters && (is_bounded || a->what->skip_line)) {
        memcpy(p->found, p->wanted, p->words * 8);
    } else {
        err = take_folded(p, &folded, &folded_count);
        if (!err) err = run_search(p, is_bounded || a->what->skip_line);
    }
    if (err || a->stopped) return err;
    if (a->what->skip_line) {
        err = tell_bare(p);
    } else if (is_bounded) {
        uint64_t *records = NULL;
        size_t count = 0;
        err = list_records(p, p->found, &records, &count);
        if (!err) err = tell_by_time(p, records, count);
    }
    if (!err && folded_count && !a->stopped) err = tell_records(p, folded, folded_count, true);
    return err;
}

static lm_err ask_part(asker *a, uint64_t id)
{
    pass p = {.a = a};
    lm_err err = store_view_get(a->store, id, &p.view);
    if (err == LM_E_CORRUPT) {
        store_note_bad(a->store, lm_err_text());
        return LM_OK; /* named; the rest is served */
    }
    if (err) return err;
    lm_buf_init(&p.metadata, a->store->mem);
    lm_arena_init(&p.arena, a->store->mem);
    lm_arena_init(&p.own, a->store->mem);
    err = ask_view(&p);
    if (err == LM_E_CORRUPT) {
        store_note_bad(a->store, lm_err_text());
        err = LM_OK;
    }
    lm_buf_fini(&p.metadata);
    lm_arena_fini(&p.arena);
    lm_arena_fini(&p.own);
    store_view_put(a->store, p.view);
    return err;
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

static lm_err ask_all(asker *a, snapshot *s)
{
    lm_err err = LM_OK;
    bool backwards = a->what->backwards;
    if (backwards && s->part_count)
        qsort(s->parts, s->part_count, sizeof(store_part *), compare_newest);
    for (size_t i = 0; backwards && i < s->head_count && !err && !a->stopped; i++)
        err = ask_head(a, &s->heads[s->head_count - 1 - i]);
    for (size_t i = 0; i < s->part_count && !err && !a->stopped; i++) {
        if (is_cancelled(a)) break;
        const store_part *part = s->parts[i];
        if (part->time_max < wanted_min(a) || part->time_min > wanted_last(a)) continue;
        err = ask_part(a, part->id);
    }
    for (size_t i = 0; !backwards && i < s->head_count && !err && !a->stopped; i++)
        err = ask_head(a, &s->heads[i]);
    if (!err && is_cancelled(a)) err = lm_fail(LM_E_CANCELLED, "the query was stopped");
    return err;
}

static lm_err run_asker(asker *a)
{
    lm_store *store = a->store;
    snapshot s = {0};
    lm_err err = store_matchers_new(store->mem, a->what, &a->matchers);
    if (!err) err = store_filters_query(store->mem, a->what, &a->query);
    if (!err) {
        err = snapshot_take(store, a->what, &s);
        if (!err) err = ask_all(a, &s);
        snapshot_drop(store, &s);
    }
    store_matchers_free(a->matchers);
    lm_query_free(a->query);
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
    uint64_t records, bytes;
} seen_stream;

enum { SEEN_SLOTS = 4096 };

typedef struct lister {
    store_matchers *matchers;
    lm_arena arena;
    seen_stream **slots;
    lm_str tenant;
} lister;

static lm_err see(lister *l, lm_str key, const lm_labels *labels, uint64_t records, uint64_t bytes)
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
    return LM_OK;
}

static lm_err see_stored(void *ctx, lm_str key, uint64_t records, uint64_t bytes)
{
    return see(ctx, key, NULL, records, bytes);
}

static lm_err see_head(lister *l, const lm_select *what, const head_view *head)
{
    lm_err err = LM_OK;
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
                err = see(l, stream->key, &stream->labels, 1, raw.line.len);
        }
    }
    return err;
}

lm_err store_streams(void *self, const lm_select *what,
                     bool (*told)(void *ctx, const lm_stream *stream, uint64_t records,
                                  uint64_t bytes),
                     void *told_ctx)
{
    lm_store *store = self;
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
                                               what->time_max, see_stored, &l);
        pthread_mutex_unlock(&store->catalog_lock);
        for (size_t i = 0; i < s.head_count && !err; i++)
            err = see_head(&l, what, &s.heads[i]);
        bool goes_on = true;
        for (size_t i = 0; i < SEEN_SLOTS && !err && goes_on; i++) {
            for (seen_stream *at = l.slots[i]; at && goes_on; at = at->next) {
                if (store_matchers_match(l.matchers, at->stream.labels))
                    goes_on = told(told_ctx, &at->stream, at->records, at->bytes);
            }
        }
        snapshot_drop(store, &s);
    }
    store_matchers_free(l.matchers);
    lm_mem_release(store->mem, l.slots, SEEN_SLOTS * sizeof(seen_stream *));
    lm_arena_fini(&l.arena);
    return err;
}
