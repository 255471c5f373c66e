/**
 * What Grafana's Logs Drilldown asks: sizes by label, labels and fields that are there, patterns.
 * And templates, of which patterns are the Loki form.
 */
#include "server/server_priv.h"

#include <ctype.h>
#include <stdlib.h>

#define NS_PER_S         1000000000ll
#define MINUTE_NS        (60 * NS_PER_S)
#define SINCE_NS         (3600 * NS_PER_S)
#define VOLUME_LIMIT     100u
#define FIELD_LIMIT      1000u
#define LINE_LIMIT       1000u
#define POINTS_MAX       11000
#define FIELD_VALUES_MAX 10000u

/** Time range and selector; most routes begin so. */
static lm_err read_selection(server_request *request, lm_select *out)
{
    int64_t start, end;
    lm_err err = server_bounds(request, SINCE_NS, &start, &end);
    if (err) return err;
    if (end <= start)
        return lm_fail(LM_E_USAGE, "end timestamp must not be before or equal to start time");
    return server_select(request, server_form_get(&request->form, "query"), start, end, out);
}

/** The same where nothing but a selector is asked for. */
static lm_err read_selector(server_request *request, bool may_be_any, lm_select *out)
{
    int64_t start, end;
    lm_str query = server_form_get(&request->form, "query");
    lm_err err = server_bounds(request, SINCE_NS, &start, &end);
    if (err) return err;
    if (end < start)
        return lm_fail(LM_E_USAGE, "end timestamp must not be before or equal to start time");
    return may_be_any && lm_str_equal(query, LM_STR("{}"))
               ? server_select(request, query, start, end, out)
               : server_select_strictly(request, query, start, end, out);
}

/** The last multiple of the step that is not after the time. */
static int64_t step_begin(int64_t time_ns, int64_t step_ns)
{
    int64_t below = time_ns % step_ns, begin;
    if (below < 0) below += step_ns;
    return __builtin_sub_overflow(time_ns, below, &begin) ? time_ns : begin;
}

/* ---- index/stats ---- */

typedef struct totals {
    uint64_t streams, records, bytes;
} totals;

static bool add_totals(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    totals *sum = ctx;
    (void)stream;
    sum->streams++;
    sum->records += records;
    sum->bytes += bytes;
    return true;
}

void server_index_stats(server_request *request)
{
    lm_store_face *face = &request->server->face;
    lm_select what;
    totals sum = {0};
    lm_store_counters store;
    lm_err err = read_selector(request, false, &what);
    if (!err) err = face->streams(face->self, &what, add_totals, &sum);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    lm_store_counters_get(request->server->store, &store);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "streams");
    server_json_u64(&json, sum.streams);
    server_json_key(&json, "chunks"); /* the nearest we have: a segment, for each of its streams */
    server_json_u64(&json,
                    sum.streams && sum.streams < store.segments ? store.segments : sum.streams);
    server_json_key(&json, "bytes");
    server_json_u64(&json, sum.bytes);
    server_json_key(&json, "entries");
    server_json_u64(&json, sum.records);
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/* ---- index/volume ---- */

typedef struct volume {
    lm_labels labels;
    uint64_t bytes;
    uint64_t *points; /* by step; NULL for an instant */
} volume;

typedef struct volumes {
    server_request *request;
    lm_arena *arena;
    server_texts keys; /* printed labels; index in items */
    volume *items;
    size_t cap;
    lm_str *targets; /* names to group by; none: those of the selector */
    size_t target_count;
    bool are_given; /* streams without one of them do not count */
    bool by_label;  /* one item for each label's name */
    int64_t start_ns, step_ns;
    size_t point_count;
    lm_err err;
} volumes;

static lm_err volume_get(volumes *work, lm_labels labels, volume **out)
{
    lm_buf key;
    size_t before = work->keys.count, index = 0;
    lm_buf_init(&key, work->arena->mem);
    lm_err err = lm_labels_print(labels, &key);
    if (!err) err = server_texts_add(&work->keys, (lm_str){key.ptr, key.len}, true, &index);
    lm_buf_fini(&key);
    if (err) return err;
    if (work->keys.count > work->cap) {
        size_t cap = work->cap ? work->cap * 2 : 64;
        volume *items = lm_arena_alloc(work->arena, cap * sizeof *items, _Alignof(volume));
        if (!items) return lm_mem_err();
        if (before) memcpy(items, work->items, before * sizeof *items);
        work->items = items;
        work->cap = cap;
    }
    if (work->keys.count > before) {
        volume fresh = {0};
        err = server_labels_copy(labels, work->arena, &fresh.labels);
        if (err) return err;
        if (work->point_count) {
            fresh.points = lm_arena_alloc(work->arena, work->point_count * sizeof(uint64_t),
                                          _Alignof(uint64_t));
            if (!fresh.points) return lm_mem_err();
            memset(fresh.points, 0, work->point_count * sizeof(uint64_t));
        }
        work->items[index] = fresh;
    }
    *out = &work->items[index];
    return LM_OK;
}

/** The step of a time, which holds its end and not its begin, as windows of metric queries. Where
 * steps are minutes or more a whole minute counts for one of them, so that the counts serve which
 * the store keeps by minute. */
static size_t point_of(const volumes *work, int64_t time_ns)
{
    if (work->step_ns >= MINUTE_NS && time_ns > 0 && time_ns < INT64_MAX - MINUTE_NS)
        time_ns = (time_ns - 1) / MINUTE_NS * MINUTE_NS + 1;
    int64_t away = time_ns - work->start_ns;
    return away > 0 ? (size_t)((away - 1) / work->step_ns) : 0;
}

static bool is_one_point(void *ctx, int64_t first_ns, int64_t last_ns)
{
    return point_of(ctx, first_ns) == point_of(ctx, last_ns);
}

static lm_err volume_add(volumes *work, lm_labels labels, int64_t time_ns, uint64_t bytes)
{
    volume *item = NULL;
    lm_err err = volume_get(work, labels, &item);
    if (err) return err;
    item->bytes += bytes;
    if (!work->point_count) return LM_OK;
    size_t at = point_of(work, time_ns);
    if (at < work->point_count) item->points[at] += bytes;
    return LM_OK;
}

static bool is_target(const volumes *work, lm_str name)
{
    for (size_t i = 0; i < work->target_count; i++) {
        if (lm_str_equal(work->targets[i], name)) return true;
    }
    return work->target_count == 0;
}

static lm_err volume_add_stream(volumes *work, lm_labels labels, int64_t time_ns, uint64_t bytes)
{
    lm_label kept[LM_LABEL_COUNT_MAX];
    uint32_t count = 0;
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < labels.count && count < LM_LABEL_COUNT_MAX; i++) {
        if (!is_target(work, labels.items[i].name)) continue;
        kept[count++] = labels.items[i];
    }
    if (work->are_given && count < work->target_count) return LM_OK;
    if (!work->by_label) return volume_add(work, (lm_labels){kept, count}, time_ns, bytes);
    for (uint32_t i = 0; i < count && !err; i++) {
        lm_label name = {kept[i].name, LM_STR("")};
        err = volume_add(work, (lm_labels){&name, 1}, time_ns, bytes);
    }
    return err;
}

static bool add_volume(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    volumes *work = ctx;
    (void)records;
    work->err = volume_add_stream(work, stream->labels, work->start_ns, bytes);
    return !work->err;
}

static bool add_record(void *ctx, const lm_stream *stream, const lm_record *record)
{
    volumes *work = ctx;
    work->err = volume_add_stream(work, stream->labels, record->time_ns, record->line.len);
    return !work->err;
}

static bool add_lump(void *ctx, const lm_stream *stream, int64_t first_ns, uint64_t count,
                     uint64_t bytes)
{
    volumes *work = ctx;
    (void)count;
    work->err = volume_add_stream(work, stream->labels, first_ns, bytes);
    return !work->err;
}

static lm_err read_targets(volumes *work, const lm_select *what)
{
    lm_str text = server_form_get(&work->request->form, "targetLabels");
    size_t cap = what->matcher_count + text.len / 2 + 2;
    work->targets = lm_arena_alloc(work->arena, cap * sizeof *work->targets, _Alignof(lm_str));
    if (!work->targets) return lm_mem_err();
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ',')
            end++;
        if (end > i) work->targets[work->target_count++] = (lm_str){text.ptr + i, end - i};
        i = end + 1;
    }
    work->are_given = work->target_count > 0;
    lm_str by = server_form_get(&work->request->form, "aggregateBy");
    work->by_label = lm_str_equal(by, LM_STR("labels"));
    if (by.len && !work->by_label && !lm_str_equal(by, LM_STR("series")))
        return lm_fail(LM_E_USAGE, "invalid aggregation option");
    if (work->are_given || work->by_label) return LM_OK;
    for (uint32_t i = 0; i < what->matcher_count; i++)
        work->targets[work->target_count++] = what->matchers[i].name;
    return LM_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const volume *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/** A point stands at the end of its step, the last one at the end of the range. */
static int64_t point_time(const volumes *work, size_t index, int64_t end_ns)
{
    int64_t begin = work->start_ns + (int64_t)index * work->step_ns, end;
    if (__builtin_add_overflow(begin, work->step_ns - 1000000, &end)) return end_ns;
    return end < end_ns ? end : end_ns;
}

/** Volumes as metrics: of aggregated labels the name alone, with no value. */
static void put_volumes(server_request *request, volumes *work, uint32_t limit, int64_t end_ns)
{
    size_t count = work->keys.count;
    bool is_matrix = work->point_count > 0;
    if (count) qsort(work->items, count, sizeof *work->items, by_bytes);
    if (count > limit) count = limit;
    server_json json = server_answer_begin(request);
    server_json_success(&json);
    server_json_open(&json, '{');
    server_json_key(&json, "resultType");
    server_json_z(&json, is_matrix ? "matrix" : "vector");
    server_json_key(&json, "result");
    server_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        server_json_open(&json, '{');
        server_json_key(&json, "metric");
        server_json_labels(&json, work->items[i].labels);
        server_json_key(&json, is_matrix ? "values" : "value");
        if (is_matrix) server_json_open(&json, '[');
        for (size_t k = 0; k < (is_matrix ? work->point_count : 1); k++) {
            uint64_t bytes = is_matrix ? work->items[i].points[k] : work->items[i].bytes;
            if (is_matrix && !bytes) continue;
            server_json_open(&json, '[');
            server_json_seconds(&json, is_matrix ? point_time(work, k, end_ns) : end_ns);
            server_json_sample(&json, (double)bytes);
            server_json_close(&json, ']');
        }
        if (is_matrix) server_json_close(&json, ']');
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_key(&json, "stats");
    server_json_raw(&json, "{}");
    server_json_close(&json, '}');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

static void answer_volume(server_request *request, bool is_range)
{
    lm_store_face *face = &request->server->face;
    volumes work = {.request = request, .arena = &request->arena};
    work.keys.arena = &request->arena;
    lm_select what;
    uint32_t limit;
    lm_err err = read_selector(request, true, &what);
    if (!err)
        err = server_limit_parse(server_form_get(&request->form, "limit"), VOLUME_LIMIT, &limit);
    if (!err) err = read_targets(&work, &what);
    if (!err) {
        int64_t span = what.time_max - what.time_min;
        int64_t step = span / NS_PER_S / 250 * NS_PER_S;
        err = server_seconds_parse(server_form_get(&request->form, "step"),
                                   step > NS_PER_S ? step : NS_PER_S, &work.step_ns);
        if (!err && (work.step_ns <= 0 || span / work.step_ns >= POINTS_MAX))
            err = lm_fail(LM_E_USAGE, "the step is too small for the time range");
    }
    if (!err && is_range) { /* steps lie on multiples of their length */
        work.start_ns = step_begin(what.time_min, work.step_ns);
        work.point_count =
            (size_t)(((uint64_t)what.time_max - (uint64_t)work.start_ns) / (uint64_t)work.step_ns) +
            1;
        what.skip_line = false; /* lengths are counted */
        what.only_size = what.skip_metadata = true;
        what.is_one = is_one_point;
        what.lump = add_lump;
    }
    if (!err) {
        err = is_range ? face->select(face->self, &what, add_record, &work)
                       : face->streams(face->self, &what, add_volume, &work);
    }
    if (!err) err = work.err;
    if (err)
        server_answer_err(request, err);
    else
        put_volumes(request, &work, limit, what.time_max);
}

void server_index_volume(server_request *request)
{
    answer_volume(request, false);
}

void server_index_volume_range(server_request *request)
{
    answer_volume(request, true);
}

/* ---- patterns, templates ---- */

/** Steps begin with the range, or lie on multiples of their length, so that counts of a chart stay
 * what they are when it is drawn again a little later. */
static lm_err read_templates(server_request *request, bool is_aligned, lm_select *what,
                             int64_t *out_step, lm_store_template **out, size_t *out_count,
                             size_t *out_buckets)
{
    lm_err err = read_selection(request, what);
    if (err) return err;
    int64_t span = what->time_max - what->time_min;
    int64_t step = span / NS_PER_S / 250 * NS_PER_S;
    err = server_seconds_parse(server_form_get(&request->form, "step"),
                               step > 10 * NS_PER_S ? step : 10 * NS_PER_S, &step);
    if (!err && (step <= 0 || span / step >= POINTS_MAX))
        err = lm_fail(LM_E_USAGE, "the step is too small for the time range");
    if (err) return err;
    *out_step = step;
    if (is_aligned) what->time_min = step_begin(what->time_min, step);
    return lm_store_templates(request->server->store, what, step, &request->arena, out, out_count,
                              out_buckets);
}

/** Loki writes <_> where a variable stands. */
static lm_str as_pattern(lm_str text, lm_arena *arena)
{
    uint8_t *copy = lm_arena_copy(arena, text.ptr, text.len);
    for (size_t i = 0; copy && i + 3 <= text.len; i++) {
        if (memcmp(copy + i, "<*>", 3) == 0) copy[i + 1] = '_';
    }
    return copy ? (lm_str){copy, text.len} : text;
}

void server_patterns(server_request *request)
{
    lm_store_template *templates = NULL;
    size_t count = 0, buckets = 0;
    int64_t step = 0;
    lm_select what;
    lm_err err = read_templates(request, true, &what, &step, &templates, &count, &buckets);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_success(&json);
    server_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        server_json_open(&json, '{');
        server_json_key(&json, "pattern");
        server_json_text(&json, as_pattern(templates[i].text, &request->arena));
        server_json_key(&json, "samples");
        server_json_open(&json, '[');
        for (size_t k = 0; k < buckets; k++) {
            if (!templates[i].buckets[k]) continue;
            server_json_open(&json, '[');
            server_json_i64(&json, (what.time_min + (int64_t)k * step) / NS_PER_S);
            server_json_u64(&json, templates[i].buckets[k]);
            server_json_close(&json, ']');
        }
        server_json_close(&json, ']');
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

void server_templates(server_request *request)
{
    lm_store_template *templates = NULL;
    size_t count = 0, buckets = 0;
    int64_t step = 0;
    lm_select what;
    lm_err err = read_templates(request, false, &what, &step, &templates, &count, &buckets);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "start");
    server_json_i64_text(&json, what.time_min);
    server_json_key(&json, "step_seconds");
    server_json_real(&json, (double)step / 1e9);
    server_json_key(&json, "templates");
    server_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        server_json_open(&json, '{');
        server_json_key(&json, "id");
        server_json_u64(&json, templates[i].id);
        server_json_key(&json, "text");
        server_json_text(&json, templates[i].text);
        server_json_key(&json, "count");
        server_json_u64(&json, templates[i].count);
        server_json_key(&json, "first");
        server_json_i64_text(&json, templates[i].first_ns);
        server_json_key(&json, "last");
        server_json_i64_text(&json, templates[i].last_ns);
        server_json_key(&json, "counts");
        server_json_open(&json, '[');
        for (size_t k = 0; k < buckets; k++)
            server_json_u64(&json, templates[i].buckets[k]);
        server_json_close(&json, ']');
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/* ---- detected labels ---- */

/** A number, or a UUID: what tells records apart, and groups nothing. */
static bool is_id(lm_str text)
{
    size_t digits = 0, dots = 0, i = 0;
    if (text.len == 36) {
        while (i < 36 && (i == 8 || i == 13 || i == 18 || i == 23 ? text.ptr[i] == '-'
                                                                  : isxdigit(text.ptr[i]) != 0))
            i++;
        if (i == 36) return true;
    }
    i = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
    for (; i < text.len; i++) {
        digits += text.ptr[i] >= '0' && text.ptr[i] <= '9';
        dots += text.ptr[i] == '.';
        if (text.ptr[i] != '.' && (text.ptr[i] < '0' || text.ptr[i] > '9')) return false;
    }
    return digits && dots < 2;
}

/** Labels that say where a record is from are told whatever their values look like. */
static bool is_place(lm_str name)
{
    return lm_str_equal(name, LM_STR("cluster")) || lm_str_equal(name, LM_STR("namespace")) ||
           lm_str_equal(name, LM_STR("instance")) || lm_str_equal(name, LM_STR("pod"));
}

typedef struct label_values {
    server_texts plain; /* names with a value that is no id */
    server_texts names;
    server_texts pairs; /* "name\0value" */
    lm_buf key;
    lm_err err;
} label_values;

static bool add_label_values(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    label_values *work = ctx;
    (void)records;
    (void)bytes;
    for (uint32_t i = 0; i < stream->labels.count && !work->err; i++) {
        const lm_label *label = &stream->labels.items[i];
        size_t name = 0, pair = 0, before = work->pairs.count;
        work->key.len = 0;
        work->err = server_texts_add(&work->names, label->name, true, &name);
        if (!work->err) work->err = lm_buf_append(&work->key, label->name.ptr, label->name.len);
        if (!work->err) work->err = lm_buf_u8(&work->key, 0);
        if (!work->err) work->err = lm_buf_append(&work->key, label->value.ptr, label->value.len);
        if (!work->err)
            work->err =
                server_texts_add(&work->pairs, (lm_str){work->key.ptr, work->key.len}, true, &pair);
        if (!work->err && work->pairs.count > before) work->names.counts[name]++;
        if (!work->err && (is_place(label->name) || !is_id(label->value)))
            work->err = server_texts_add(&work->plain, label->name, true, &pair);
    }
    return !work->err;
}

void server_detected_labels(server_request *request)
{
    lm_store_face *face = &request->server->face;
    label_values work = {.plain = {.arena = &request->arena},
                         .names = {.arena = &request->arena},
                         .pairs = {.arena = &request->arena}};
    lm_select what;
    lm_buf_init(&work.key, request->server->data_mem);
    lm_err err = read_selection(request, &what);
    if (!err) err = face->streams(face->self, &what, add_label_values, &work);
    if (!err) err = work.err;
    lm_buf_fini(&work.key);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "detectedLabels");
    server_json_open(&json, '[');
    for (size_t i = 0; i < work.names.count; i++) {
        if (!server_texts_has(&work.plain, work.names.items[i])) continue;
        server_json_open(&json, '{');
        server_json_key(&json, "label");
        server_json_text(&json, work.names.items[i]);
        server_json_key(&json, "cardinality");
        server_json_u64(&json, work.names.counts[i]);
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/* ---- detected fields ---- */

#define DETECTED LM_STR("detected")

enum { PARSER_JSON = 1u << 0, PARSER_LOGFMT = 1u << 1 };

enum {
    IS_INT = 1u << 0,
    IS_FLOAT = 1u << 1,
    IS_BOOL = 1u << 2,
    IS_TIME = 1u << 3,
    IS_SIZE = 1u << 4
};

typedef struct field {
    server_texts values;
    uint32_t parsers;
    uint32_t types; /* what all values so far may be */
} field;

typedef struct fields {
    lm_arena *arena;
    server_texts names;
    field *items;
    size_t cap;
    lm_logql *json, *logfmt;
} fields;

static uint32_t types_of(lm_str text)
{
    char number[40], *end;
    uint64_t value;
    uint32_t types = 0;
    if (lm_str_equal(text, LM_STR("true")) || lm_str_equal(text, LM_STR("false"))) return IS_BOOL;
    if (lm_duration_read(text, &value)) types |= IS_TIME;
    if (lm_size_read(text, &value)) types |= IS_SIZE;
    if (!text.len || text.len >= sizeof number || memchr("+-.0123456789", text.ptr[0], 13) == NULL)
        return types;
    memcpy(number, text.ptr, text.len);
    number[text.len] = '\0';
    if (strpbrk(number, "xXnNiI")) return types;
    (void)strtod(number, &end);
    if (*end) return types;
    return types | IS_FLOAT | (strpbrk(number, ".eE") ? 0u : IS_INT);
}

static const char *type_name(uint32_t types)
{
    return types & IS_INT     ? "int"
           : types & IS_FLOAT ? "float"
           : types & IS_BOOL  ? "boolean"
           : types & IS_TIME  ? "duration"
           : types & IS_SIZE  ? "bytes"
                              : "string";
}

static lm_err field_add(fields *work, const lm_label *label, uint32_t parser)
{
    size_t before = work->names.count, index = 0, value;
    lm_err err = server_texts_add(&work->names, label->name, true, &index);
    if (err) return err;
    if (work->names.count > work->cap) {
        size_t cap = work->cap ? work->cap * 2 : 64;
        field *items = lm_arena_alloc(work->arena, cap * sizeof *items, _Alignof(field));
        if (!items) return lm_mem_err();
        if (before) memcpy(items, work->items, before * sizeof *items);
        work->items = items;
        work->cap = cap;
    }
    field *at = &work->items[index];
    if (work->names.count > before)
        *at = (field){.values = {.arena = work->arena}, .types = UINT32_MAX};
    at->parsers |= parser;
    at->types &= types_of(label->value);
    if (at->values.count >= FIELD_VALUES_MAX) return LM_OK;
    return server_texts_add(&at->values, label->value, true, &value);
}

/** The labels of an entry's stream, and the one that the parsers' own selector asks for. */
static lm_err base_labels(fields *work, lm_labels all, const lm_logql_entry *entry, lm_labels *out)
{
    lm_labels base;
    lm_err err = server_labels_base(all, entry, work->arena, &base);
    lm_label *items = lm_arena_alloc(work->arena, (all.count + 1) * sizeof *items, 16);
    if (err || !items) return err ? err : lm_mem_err();
    if (base.count) memcpy(items, base.items, base.count * sizeof *items);
    items[base.count] = (lm_label){DETECTED, LM_STR("x")}; /* the last of a name is kept */
    return lm_labels_make(items, base.count + 1, work->arena, out);
}

static lm_err fields_add(fields *work, lm_labels labels, uint32_t parser)
{
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < labels.count && !err; i++) {
        if (!lm_str_starts(labels.items[i].name, LM_STR("__error")))
            err = field_add(work, &labels.items[i], parser);
    }
    return err;
}

/** The fields of one line: what `| json` or `| logfmt` makes of it, and its structured metadata. */
static lm_err fields_of(fields *work, lm_labels labels, const lm_logql_entry *entry)
{
    size_t blank = 0;
    bool passes = false;
    while (blank < entry->line.len && entry->line.ptr[blank] == ' ')
        blank++;
    bool is_json = blank < entry->line.len && entry->line.ptr[blank] == '{';
    uint32_t parser = is_json ? PARSER_JSON : PARSER_LOGFMT;
    lm_err err = fields_add(work, entry->metadata, 0);
    if (err) return err;
    if (entry->parsed.count) return fields_add(work, entry->parsed, parser); /* by the query */
    lm_stream stream = {.hash = 0};
    lm_record record = {
        .time_ns = entry->time_ns, .line = entry->line, .metadata = entry->metadata};
    lm_labels after;
    lm_logql_entry parsed;
    err = base_labels(work, labels, entry, &stream.labels);
    if (!err)
        err = lm_logql_pass(is_json ? work->json : work->logfmt, &stream, &record, work->arena,
                            &passes, &after, &parsed);
    if (err || !passes || lm_labels_has(parsed.parsed, LM_STR("__error__"))) return err;
    return fields_add(work, parsed.parsed, parser);
}

static lm_err detect_fields(server_request *request, fields *work, uint32_t *out_limit)
{
    lm_mem *mem = request->server->data_mem;
    lm_logql_result result = {0};
    uint32_t lines = 0;
    int64_t start, end;
    *work = (fields){.arena = &request->arena, .names = {.arena = &request->arena}};
    lm_err err = server_bounds(request, SINCE_NS, &start, &end);
    lm_str limit = server_form_get(&request->form, "limit");
    if (!limit.ptr) limit = server_form_get(&request->form, "field_limit");
    if (!err) err = server_limit_parse(limit, FIELD_LIMIT, out_limit);
    if (!err)
        err = server_limit_parse(server_form_get(&request->form, "line_limit"), LINE_LIMIT, &lines);
    if (!err && lines > request->state->config->query_entries_max)
        lines = (uint32_t)request->state->config->query_entries_max;
    if (!err) err = lm_logql_parse(mem, LM_STR("{detected=~\".+\"} | json"), &work->json);
    if (!err) err = lm_logql_parse(mem, LM_STR("{detected=~\".+\"} | logfmt"), &work->logfmt);
    if (!err)
        err = server_entries(request, server_form_get(&request->form, "query"), start, end, lines,
                             &result);
    for (size_t i = 0; i < result.series_count && !err; i++) {
        for (size_t k = 0; k < result.series[i].count && !err; k++)
            err = fields_of(work, result.series[i].labels, &result.series[i].entries[k]);
    }
    lm_logql_free(work->json);
    lm_logql_free(work->logfmt);
    return err;
}

void server_detected_fields(server_request *request)
{
    fields work;
    uint32_t limit = 0;
    lm_err err = detect_fields(request, &work, &limit);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "fields");
    server_json_open(&json, '[');
    for (size_t i = 0; i < work.names.count && i < limit; i++) {
        const field *at = &work.items[i];
        server_json_open(&json, '{');
        server_json_key(&json, "label");
        server_json_text(&json, work.names.items[i]);
        server_json_key(&json, "type");
        server_json_z(&json, type_name(at->types));
        server_json_key(&json, "cardinality");
        server_json_u64(&json, at->values.count);
        server_json_key(&json, "parsers");
        if (!at->parsers) {
            server_json_raw(&json, "null");
        } else {
            server_json_open(&json, '[');
            if (at->parsers & PARSER_JSON) server_json_z(&json, "json");
            if (at->parsers & PARSER_LOGFMT) server_json_z(&json, "logfmt");
            server_json_close(&json, ']');
        }
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_key(&json, "limit");
    server_json_u64(&json, limit);
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

void server_detected_values(server_request *request)
{
    fields work;
    uint32_t limit = 0;
    lm_err err = detect_fields(request, &work, &limit);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "values");
    server_json_open(&json, '[');
    for (size_t i = 0; i < work.names.count; i++) {
        if (!lm_str_equal(work.names.items[i], request->path.parts[4])) continue;
        for (size_t k = 0; k < work.items[i].values.count && k < limit; k++)
            server_json_text(&json, work.items[i].values.items[k]);
    }
    server_json_close(&json, ']');
    server_json_key(&json, "limit");
    server_json_u64(&json, limit);
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}
