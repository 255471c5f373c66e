/**
 * Loki's query API: parameters read, logql asked, answers written as Loki documents them
 * (https://grafana.com/docs/loki/latest/reference/loki-http-api/). Runs on the query workers.
 */
#include "server/server_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S     1000000000ll
#define SINCE_NS     (3600 * NS_PER_S)     /* queries look back this far unless told otherwise */
#define SINCE_LABELS (6 * 3600 * NS_PER_S) /* labels and series */
#define STEPS_MAX    11000

/* ---- time limits ---- */

void server_query_run(server_request *request)
{
    lm_server *server = request->server;
    const lm_config *config = request->state->config;
    uint64_t limit = lm_config_limits_of(config, request->tenant)->query_time;
    if (!limit) limit = config->query_timeout;
    if (limit) atomic_store(&request->deadline_ns, lm_clock_ns() + limit);
    lm_err err = server_request_account(request);
    if (err) {
        server_answer_err(request, err);
    } else {
        atomic_fetch_add_explicit(&request->account->queries, 1, memory_order_relaxed);
        atomic_store(&request->is_asking, true);
        request->route->run(request);
    }
    atomic_store(&request->is_asking, false);
    atomic_store(&request->deadline_ns, 0);
    if (atomic_load(&request->is_late) && request->status >= 400) {
        char text[40];
        lm_duration_print(limit, text);
        atomic_fetch_add_explicit(&server->counters.queries_late, 1, memory_order_relaxed);
        request->header_count = 0;
        server_answer_text(request, MHD_HTTP_GATEWAY_TIMEOUT,
                           "request timed out: the query took longer than %s", text);
    }
    server_request_done(request);
}

/* ---- parameters ---- */

static lm_err wrong_parameter(lm_err err, const char *name)
{
    return lm_fail_in(err, "could not parse '%s' parameter: ", name);
}

lm_err server_bounds(const server_request *request, int64_t since_ns, int64_t *out_start,
                     int64_t *out_end)
{
    const server_form *form = &request->form;
    int64_t now = lm_clock_wall_ns(), since = since_ns, start = 0, end = 0;
    lm_err err = server_duration_parse(server_form_get(form, "since"), since_ns, &since);
    if (err) return wrong_parameter(err, "since");
    err = server_time_parse(server_form_get(form, "end"), now, &end);
    if (err) return wrong_parameter(err, "end");
    int64_t from;
    if (__builtin_sub_overflow(end < now ? end : now, since, &from)) from = 0;
    err = server_time_parse(server_form_get(form, "start"), from, &start);
    if (err) return wrong_parameter(err, "start");
    *out_start = start;
    *out_end = end;
    return LM_OK;
}

static lm_err read_direction(const server_request *request, bool *out_forwards)
{
    lm_str text = server_form_get(&request->form, "direction");
    bool forwards = lm_str_equal_nocase(text, LM_STR("forward"));
    if (text.len && !forwards && !lm_str_equal_nocase(text, LM_STR("backward")))
        return lm_fail(LM_E_USAGE, "invalid direction '%.*s'", (int)(text.len < 80 ? text.len : 80),
                       (const char *)text.ptr);
    *out_forwards = forwards;
    return LM_OK;
}

static lm_err read_limit(const server_request *request, uint32_t otherwise, uint32_t *out)
{
    uint64_t max = request->state->config->query_entries_max;
    lm_err err = server_limit_parse(server_form_get(&request->form, "limit"), otherwise, out);
    if (!err && *out > max)
        err = lm_fail(LM_E_USAGE,
                      "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                      "(%" PRIu32 " > %" PRIu64 ")",
                      *out, max);
    return err;
}

/** A step that gives about 250 points, as Loki's default. */
static int64_t default_step(int64_t start, int64_t end)
{
    int64_t seconds = (end - start) / NS_PER_S / 250;
    return (seconds < 1 ? 1 : seconds) * NS_PER_S;
}

static lm_err read_range(const server_request *request, lm_logql_range *out)
{
    lm_err err = server_bounds(request, SINCE_NS, &out->start_ns, &out->end_ns);
    int64_t span;
    if (!err && out->end_ns < out->start_ns)
        err = lm_fail(LM_E_USAGE, "end timestamp must not be before or equal to start time");
    if (!err && __builtin_sub_overflow(out->end_ns, out->start_ns, &span))
        err = lm_fail(LM_E_USAGE, "the time range is too long");
    if (err) return err;
    err = read_limit(request, 100, &out->limit);
    if (!err) err = read_direction(request, &out->forwards);
    if (!err)
        err = server_seconds_parse(server_form_get(&request->form, "step"),
                                   default_step(out->start_ns, out->end_ns), &out->step_ns);
    if (!err && out->step_ns <= 0)
        err = lm_fail(LM_E_USAGE, "zero or negative query resolution step widths are not accepted. "
                                  "Try a positive integer");
    if (!err && span / out->step_ns > STEPS_MAX)
        err =
            lm_fail(LM_E_USAGE, "exceeded maximum resolution of 11,000 points per time series. Try "
                                "increasing the value of the step parameter");
    return err;
}

lm_str server_selector_of(lm_str query)
{
    size_t begin = 0;
    while (begin < query.len && query.ptr[begin] != '{')
        begin++;
    uint8_t quote = 0;
    for (size_t i = begin; i < query.len; i++) {
        uint8_t c = query.ptr[i];
        if (quote) {
            if (c == '\\' && quote == '"')
                i++;
            else if (c == quote)
                quote = 0;
        } else if (c == '"' || c == '`') {
            quote = c;
        } else if (c == '}') {
            return (lm_str){query.ptr + begin, i + 1 - begin};
        }
    }
    return query;
}

lm_err server_select_strictly(server_request *request, lm_str query, int64_t start, int64_t end,
                              lm_select *out)
{
    lm_logql *parsed = NULL;
    lm_err err = lm_logql_parse(request->server->data_mem, query, &parsed);
    bool is_selector = !err && lm_logql_is_selector(parsed);
    lm_logql_free(parsed);
    if (err) return err;
    if (!is_selector) return lm_fail(LM_E_USAGE, "only label matchers are supported");
    return server_select(request, query, start, end, out);
}

lm_err server_select(server_request *request, lm_str query, int64_t start, int64_t end,
                     lm_select *out)
{
    *out = (lm_select){.tenant = request->tenant,
                       .time_min = start,
                       .time_max = end,
                       .skip_line = true,
                       .cancel = &request->cancel};
    if (!query.len || lm_str_equal(query, LM_STR("{}"))) return LM_OK;
    lm_matcher *matchers = NULL;
    lm_err err = lm_logql_matchers(server_selector_of(query), &request->arena, &matchers,
                                   &out->matcher_count);
    out->matchers = matchers;
    return err;
}

/* ---- writing answers ---- */

void server_json_success(server_json *json)
{
    server_json_open(json, '{');
    server_json_key(json, "status");
    server_json_z(json, "success");
    server_json_key(json, "data");
}

void server_json_labels(server_json *json, lm_labels labels)
{
    server_json_open(json, '{');
    for (uint32_t i = 0; i < labels.count; i++) {
        server_json_key_text(json, labels.items[i].name);
        server_json_text(json, labels.items[i].value);
    }
    server_json_close(json, '}');
}

/** What Grafana shows as the query's statistics. */
static void put_stats(server_json *json, const lm_logql_result *result, size_t entries,
                      uint64_t took_ns)
{
    double seconds = (double)took_ns / 1e9;
    server_json_key(json, "stats");
    server_json_open(json, '{');
    server_json_key(json, "summary");
    server_json_open(json, '{');
    server_json_key(json, "bytesProcessedPerSecond");
    server_json_u64(json, (uint64_t)((double)result->bytes_seen / (seconds > 1e-9 ? seconds : 1)));
    server_json_key(json, "linesProcessedPerSecond");
    server_json_u64(json,
                    (uint64_t)((double)result->records_seen / (seconds > 1e-9 ? seconds : 1)));
    server_json_key(json, "totalBytesProcessed");
    server_json_u64(json, result->bytes_seen);
    server_json_key(json, "totalLinesProcessed");
    server_json_u64(json, result->records_seen);
    server_json_key(json, "execTime");
    server_json_real(json, seconds);
    server_json_key(json, "queueTime");
    server_json_real(json, 0);
    server_json_key(json, "subqueries");
    server_json_u64(json, 0);
    server_json_key(json, "totalEntriesReturned");
    server_json_u64(json, entries);
    server_json_close(json, '}');
    server_json_close(json, '}');
}

void server_json_entry(server_json *json, const lm_logql_entry *entry, bool is_categorized)
{
    server_json_open(json, '[');
    server_json_i64_text(json, entry->time_ns);
    server_json_text(json, entry->line);
    if (is_categorized) {
        server_json_open(json, '{');
        if (entry->metadata.count) {
            server_json_key(json, "structuredMetadata");
            server_json_labels(json, entry->metadata);
        }
        if (entry->parsed.count) {
            server_json_key(json, "parsed");
            server_json_labels(json, entry->parsed);
        }
        server_json_close(json, '}');
    }
    server_json_close(json, ']');
}

/** Entries nearer to the one before than the interval are left out. */
typedef struct spacing {
    int64_t interval_ns, last_ns;
    bool has_last;
} spacing;

static bool is_due(spacing *space, int64_t time_ns)
{
    if (space->interval_ns <= 0) return true;
    uint64_t away = time_ns > space->last_ns ? (uint64_t)time_ns - (uint64_t)space->last_ns
                                             : (uint64_t)space->last_ns - (uint64_t)time_ns;
    if (space->has_last && away < (uint64_t)space->interval_ns) return false;
    space->has_last = true;
    space->last_ns = time_ns;
    return true;
}

/** An entry among those of all streams. */
typedef struct among {
    const lm_logql_entry *entry;
    size_t series, rank;
    bool forwards;
} among;

static int by_time_and_rank(const void *a, const void *b)
{
    const among *x = a, *y = b;
    int order = (x->entry->time_ns > y->entry->time_ns) - (x->entry->time_ns < y->entry->time_ns);
    if (order) return x->forwards ? order : -order;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/** Leaves entries out that are nearer than the interval to the last one told, of whatever stream,
 * and those beyond the limit. */
static lm_err thin_out(lm_logql_result *result, int64_t interval_ns, bool forwards, uint32_t limit,
                       lm_arena *arena)
{
    size_t total = 0, at = 0, kept = 0;
    spacing space = {.interval_ns = interval_ns};
    for (size_t i = 0; i < result->series_count; i++)
        total += result->series[i].count;
    among *all = lm_arena_alloc(arena, (total + 1) * sizeof *all, _Alignof(among));
    lm_logql_entry *entries = lm_arena_alloc(arena, (total + 1) * sizeof *entries, 16);
    size_t *counts = lm_arena_alloc(arena, (result->series_count + 1) * sizeof *counts, 8);
    if (!all || !entries || !counts) return lm_mem_err();
    for (size_t i = 0; i < result->series_count; i++) {
        for (size_t k = 0; k < result->series[i].count; k++, at++)
            all[at] = (among){&result->series[i].entries[k], i, at, forwards};
        counts[i] = 0;
    }
    if (total) qsort(all, total, sizeof *all, by_time_and_rank);
    for (size_t i = 0; i < total && kept < limit; i++) {
        if (!is_due(&space, all[i].entry->time_ns)) continue;
        all[kept++] = all[i];
        counts[all[i].series]++;
    }
    size_t series_count = 0;
    for (size_t i = 0, from = 0; i < result->series_count; i++) {
        lm_logql_series *series = &result->series[i];
        series->entries = entries + from;
        series->count = 0;
        from += counts[i];
    }
    for (size_t i = 0; i < kept; i++) {
        lm_logql_series *series = &result->series[all[i].series];
        memcpy(&series->entries[series->count++], all[i].entry, sizeof *entries);
    }
    for (size_t i = 0; i < result->series_count; i++) {
        if (result->series[i].count) result->series[series_count++] = result->series[i];
    }
    result->series_count = series_count;
    return LM_OK;
}

static size_t put_plain_streams(server_json *json, const lm_logql_result *result)
{
    size_t entries = 0;
    for (size_t i = 0; i < result->series_count; i++) {
        const lm_logql_series *series = &result->series[i];
        server_json_open(json, '{');
        server_json_key(json, "stream");
        server_json_labels(json, series->labels);
        server_json_key(json, "values");
        server_json_open(json, '[');
        for (size_t k = 0; k < series->count; k++, entries++)
            server_json_entry(json, &series->entries[k], false);
        server_json_close(json, ']');
        server_json_close(json, '}');
    }
    return entries;
}

/* ---- categorised labels ---- */

/** An entry with the stream it came in: its labels less structured metadata and parsed ones. */
typedef struct placed {
    const lm_logql_entry *entry;
    lm_labels base;
    lm_str key;
    bool forwards;
} placed;

static int by_stream_and_time(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    int order = lm_str_compare(x->key, y->key);
    if (order) return order;
    order = (x->entry->time_ns > y->entry->time_ns) - (x->entry->time_ns < y->entry->time_ns);
    return x->forwards ? order : -order;
}

lm_err server_labels_base(lm_labels all, const lm_logql_entry *entry, lm_arena *arena,
                          lm_labels *out)
{
    lm_label *items = lm_arena_alloc(arena, (all.count + 1) * sizeof *items, _Alignof(lm_label));
    if (!items) return lm_mem_err();
    uint32_t count = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (!lm_labels_has(entry->metadata, all.items[i].name) &&
            !lm_labels_has(entry->parsed, all.items[i].name))
            items[count++] = all.items[i];
    }
    *out = (lm_labels){items, count};
    return LM_OK;
}

lm_err server_labels_copy(lm_labels labels, lm_arena *arena, lm_labels *out)
{
    lm_label *items = lm_arena_alloc(arena, (labels.count + 1) * sizeof *items, _Alignof(lm_label));
    if (!items) return lm_mem_err();
    for (uint32_t i = 0; i < labels.count; i++) {
        lm_str name = labels.items[i].name, value = labels.items[i].value;
        items[i].name = (lm_str){lm_arena_copy(arena, name.ptr, name.len), name.len};
        items[i].value = (lm_str){lm_arena_copy(arena, value.ptr, value.len), value.len};
        if (!items[i].name.ptr || !items[i].value.ptr) return lm_mem_err();
    }
    *out = (lm_labels){items, labels.count};
    return LM_OK;
}

bool server_wants_categories(const server_request *request)
{
    const char *flags = server_request_header(request, "X-Loki-Response-Encoding-Flags");
    return flags && strstr(flags, "categorize-labels");
}

static lm_err base_of(const lm_logql_series *series, const lm_logql_entry *entry, lm_arena *arena,
                      placed *out)
{
    lm_buf key;
    lm_err err = server_labels_base(series->labels, entry, arena, &out->base);
    if (err) return err;
    lm_buf_init(&key, arena->mem);
    err = lm_labels_print(out->base, &key);
    if (!err) {
        out->key = (lm_str){lm_arena_copy(arena, key.ptr, key.len), key.len};
        if (!out->key.ptr) err = lm_mem_err();
    }
    lm_buf_fini(&key);
    return err;
}

/** Streams by the labels they were pushed with, each entry with its own metadata and parsed labels:
 * what Grafana asks for with X-Loki-Response-Encoding-Flags. */
static size_t put_categorized(server_json *json, const lm_logql_result *result, bool forwards,
                              lm_arena *arena)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < result->series_count; i++)
        total += result->series[i].count;
    placed *all = lm_arena_alloc(arena, (total + 1) * sizeof *all, _Alignof(placed));
    if (!all) json->err = lm_mem_err();
    for (size_t i = 0; i < result->series_count && !json->err; i++) {
        const lm_logql_series *series = &result->series[i];
        placed base = {.forwards = forwards};
        for (size_t k = 0; k < series->count && !json->err; k++) {
            /* One series has one set of labels; which of them were parsed may differ. */
            bool is_same = k && series->entries[k].parsed.count == base.entry->parsed.count &&
                           series->entries[k].metadata.count == base.entry->metadata.count;
            if (!is_same) json->err = base_of(series, &series->entries[k], arena, &base);
            base.entry = &series->entries[k];
            all[at++] = base;
        }
    }
    if (json->err) return 0;
    if (total) qsort(all, total, sizeof *all, by_stream_and_time);
    for (size_t i = 0; i < total; i++) {
        bool is_first = i == 0 || !lm_str_equal(all[i].key, all[i - 1].key);
        if (is_first && i) {
            server_json_close(json, ']');
            server_json_close(json, '}');
        }
        if (is_first) {
            server_json_open(json, '{');
            server_json_key(json, "stream");
            server_json_labels(json, all[i].base);
            server_json_key(json, "values");
            server_json_open(json, '[');
        }
        server_json_entry(json, all[i].entry, true);
    }
    if (total) {
        server_json_close(json, ']');
        server_json_close(json, '}');
    }
    return total;
}

static void put_point(server_json *json, const lm_logql_point *point)
{
    server_json_open(json, '[');
    server_json_seconds(json, point->time_ns);
    server_json_sample(json, point->value);
    server_json_close(json, ']');
}

static size_t put_samples(server_json *json, const lm_logql_result *result)
{
    bool is_matrix = result->kind == LM_LOGQL_MATRIX;
    size_t points = 0;
    for (size_t i = 0; i < result->series_count; i++) {
        const lm_logql_series *series = &result->series[i];
        if (!is_matrix && !series->count) continue;
        server_json_open(json, '{');
        server_json_key(json, "metric");
        server_json_labels(json, series->labels);
        server_json_key(json, is_matrix ? "values" : "value");
        if (is_matrix) server_json_open(json, '[');
        for (size_t k = 0; k < (is_matrix ? series->count : 1); k++, points++)
            put_point(json, &series->points[k]);
        if (is_matrix) server_json_close(json, ']');
        server_json_close(json, '}');
    }
    return points;
}

static void put_result(server_request *request, const lm_logql_result *result,
                       const lm_logql_range *range, uint64_t took_ns)
{
    static const char *const kinds[] = {"streams", "matrix", "vector", "scalar"};
    bool is_categorized = result->kind == LM_LOGQL_STREAMS && server_wants_categories(request);
    size_t entries = 0;
    server_json json = server_answer_begin(request);
    server_json_success(&json);
    server_json_open(&json, '{');
    server_json_key(&json, "resultType");
    server_json_z(&json, kinds[result->kind]);
    if (is_categorized) {
        server_json_key(&json, "encodingFlags");
        server_json_raw(&json, "[\"categorize-labels\"]");
    }
    server_json_key(&json, "result");
    if (result->kind == LM_LOGQL_SCALAR && result->series_count) {
        put_point(&json, &result->series[0].points[0]);
    } else {
        server_json_open(&json, '[');
        if (is_categorized)
            entries = put_categorized(&json, result, range->forwards, &request->arena);
        else if (result->kind == LM_LOGQL_STREAMS)
            entries = put_plain_streams(&json, result);
        else
            entries = put_samples(&json, result);
        server_json_close(&json, ']');
    }
    put_stats(&json, result, entries, took_ns);
    server_json_close(&json, '}');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/** 2026-11-23T10:00:00.123456789Z; dst has room for 40 bytes. */
static void print_time(int64_t time_ns, char *dst)
{
    int64_t below = time_ns % NS_PER_S;
    if (below < 0) below += NS_PER_S;
    time_t seconds = (time_t)((time_ns - below) / NS_PER_S);
    struct tm parts;
    size_t len = gmtime_r(&seconds, &parts) ? strftime(dst, 21, "%Y-%m-%dT%H:%M:%S", &parts) : 0;
    (void)snprintf(dst + len, 12, ".%09" PRId64 "Z", below);
}

/** As /api/prom/query told entries, before Loki 1: labels as text, times as RFC 3339. */
static void put_legacy(server_request *request, const lm_logql_result *result)
{
    lm_buf key;
    char time[40];
    lm_buf_init(&key, request->server->data_mem);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "streams");
    server_json_open(&json, '[');
    for (size_t i = 0; i < result->series_count && !json.err; i++) {
        const lm_logql_series *series = &result->series[i];
        key.len = 0;
        json.err = lm_labels_print(series->labels, &key);
        server_json_open(&json, '{');
        server_json_key(&json, "labels");
        server_json_text(&json, (lm_str){key.ptr, key.len});
        server_json_key(&json, "entries");
        server_json_open(&json, '[');
        for (size_t k = 0; k < series->count; k++) {
            print_time(series->entries[k].time_ns, time);
            server_json_open(&json, '{');
            server_json_key(&json, "ts");
            server_json_z(&json, time);
            server_json_key(&json, "line");
            server_json_text(&json, series->entries[k].line);
            server_json_close(&json, '}');
        }
        server_json_close(&json, ']');
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_key(&json, "stats");
    server_json_raw(&json, "{}");
    server_json_close(&json, '}');
    server_answer_json(request, &json);
    lm_buf_fini(&key);
}

/* ---- query, query_range ---- */

/** Points of a metric query lie on multiples of its step, as Loki splits long ranges: begun no
 * later than asked, ended no sooner. */
static void align_to_step(lm_logql_range *range)
{
    int64_t step = range->step_ns, below = range->start_ns % step, above = range->end_ns % step;
    int64_t start, end;
    if (below < 0) below += step;
    if (above < 0) above += step;
    if (!__builtin_sub_overflow(range->start_ns, below, &start)) range->start_ns = start;
    if (above && !__builtin_add_overflow(range->end_ns, step - above, &end)) range->end_ns = end;
}

lm_err server_templates_tell(lm_server *server, lm_str tenant, lm_logql *query, int64_t start,
                             int64_t end, lm_arena *arena)
{
    lm_select what = {.tenant = tenant, .skip_line = true};
    bool is_one = true;
    uint64_t id = 0;
    lm_err err = LM_OK;
    if (!lm_logql_template_id_at(query, 0, &id)) return LM_OK;
    if (__builtin_sub_overflow(start, lm_logql_reach(query), &what.time_min))
        what.time_min = INT64_MIN;
    what.time_max = end < INT64_MAX ? end + 1 : end;
    for (size_t i = 0; !err && what.time_min < what.time_max; i++) {
        lm_store_template *templates = NULL;
        size_t count = 0, buckets = 0;
        err = lm_logql_selector_at(query, i, arena, &what.matchers, &what.matcher_count, &is_one);
        if (err || !is_one) break;
        err = lm_store_templates(server->store, &what, INT64_MAX, arena, &templates, &count,
                                 &buckets);
        for (size_t k = 0; k < count && !err; k++)
            err = lm_logql_template_is(query, templates[k].id, templates[k].text);
    }
    return err;
}

typedef enum query_form { FORM_RANGE, FORM_INSTANT, FORM_LEGACY } query_form;

static void answer_query(server_request *request, lm_logql_range *range, query_form form)
{
    bool is_instant = form == FORM_INSTANT;
    lm_server *server = request->server;
    lm_logql *query = NULL;
    lm_logql_result result = {0};
    int64_t interval = 0;
    uint64_t begin = lm_clock_ns();
    uint64_t series_max = request->state->config->query_series_max;
    range->tenant = request->tenant;
    range->cancel = &request->cancel;
    lm_err err = lm_logql_parse(server->data_mem, server_form_get(&request->form, "query"), &query);
    if (!err) err = server_seconds_parse(server_form_get(&request->form, "interval"), 0, &interval);
    if (!err && interval < 0) err = lm_fail(LM_E_USAGE, "interval must be >= 0");
    if (!err && !is_instant && lm_logql_is_metric(query)) align_to_step(range);
    if (!err && is_instant && !lm_logql_is_metric(query))
        err = lm_fail(LM_E_USAGE, "log queries are not supported as an instant query type, please "
                                  "change your query to a range query type");
    if (!err && server_wants_categories(request)) lm_logql_want_level(query);
    if (!err && form == FORM_LEGACY && lm_logql_is_metric(query))
        err = lm_fail(LM_E_USAGE, "legacy endpoints only support log selectors: ask "
                                  "/loki/api/v1/query_range");
    if (!err)
        err = server_templates_tell(server, request->tenant, query, range->start_ns, range->end_ns,
                                    &request->arena);
    uint32_t limit = range->limit;
    bool is_thinned = !err && interval > 0 && !is_instant && !lm_logql_is_metric(query);
    if (is_thinned) range->limit = (uint32_t)request->state->config->query_entries_max;
    if (!err) err = lm_logql_run(query, &server->face, range, &request->arena, &result);
    if (!err && is_thinned)
        err = thin_out(&result, interval, range->forwards, limit, &request->arena);
    if (!err && result.kind != LM_LOGQL_STREAMS && result.series_count > series_max)
        err = lm_fail(LM_E_USAGE,
                      "maximum number of series (%" PRIu64
                      ") reached for a single query; consider reducing query cardinality by adding "
                      "more specific stream selectors, reducing the time range, or aggregating "
                      "results with functions like sum(), count() or topk()",
                      series_max);
    if (err)
        server_answer_err(request, err == LM_E_LIMIT && !lm_mem_refused() ? LM_E_USAGE : err);
    else if (form == FORM_LEGACY)
        put_legacy(request, &result);
    else
        put_result(request, &result, range, lm_clock_ns() - begin);
    lm_logql_free(query);
}

static void answer_range(server_request *request, query_form form)
{
    lm_logql_range range = {.limit = 100};
    lm_err err = read_range(request, &range);
    if (err)
        server_answer_err(request, err);
    else
        answer_query(request, &range, form);
}

void server_query_range(server_request *request)
{
    answer_range(request, FORM_RANGE);
}

void server_legacy_query(server_request *request)
{
    answer_range(request, FORM_LEGACY);
}

void server_query_instant(server_request *request)
{
    lm_logql_range range = {.limit = 100};
    lm_err err = server_time_parse(server_form_get(&request->form, "time"), lm_clock_wall_ns(),
                                   &range.end_ns);
    if (!err) err = read_limit(request, 100, &range.limit);
    if (!err) err = read_direction(request, &range.forwards);
    range.start_ns = range.end_ns;
    if (err)
        server_answer_err(request, err);
    else
        answer_query(request, &range, FORM_INSTANT);
}

lm_err server_entries(server_request *request, lm_str query, int64_t start, int64_t end,
                      uint32_t limit, lm_logql_result *out)
{
    lm_logql *parsed = NULL;
    lm_logql_range range = {.tenant = request->tenant,
                            .start_ns = start,
                            .end_ns = end,
                            .step_ns = NS_PER_S,
                            .limit = limit,
                            .cancel = &request->cancel};
    lm_err err = lm_logql_parse(request->server->data_mem, query, &parsed);
    if (!err && lm_logql_is_metric(parsed))
        err = lm_fail(LM_E_USAGE, "only log queries are supported");
    if (!err) lm_logql_want_level(parsed);
    if (!err)
        err = server_templates_tell(request->server, request->tenant, parsed, start, end,
                                    &request->arena);
    if (!err) err = lm_logql_run(parsed, &request->server->face, &range, &request->arena, out);
    lm_logql_free(parsed);
    return err;
}

/* ---- labels, values, series ---- */

static uint32_t *texts_slot(const server_texts *texts, lm_str text)
{
    size_t mask = texts->cap * 2 - 1;
    size_t at = (size_t)lm_hash64(text.ptr, text.len) & mask;
    while (texts->table[at] && !lm_str_equal(texts->items[texts->table[at] - 1], text))
        at = (at + 1) & mask;
    return &texts->table[at];
}

static lm_err texts_grow(server_texts *texts)
{
    size_t cap = texts->cap ? texts->cap * 2 : 64;
    lm_str *items = lm_arena_alloc(texts->arena, cap * sizeof *items, _Alignof(lm_str));
    uint64_t *counts = lm_arena_alloc(texts->arena, cap * sizeof *counts, _Alignof(uint64_t));
    uint32_t *table = lm_arena_alloc(texts->arena, 2 * cap * sizeof *table, _Alignof(uint32_t));
    if (!items || !counts || !table) return lm_mem_err();
    if (texts->count) {
        if (texts->count) memcpy(items, texts->items, texts->count * sizeof *items);
        if (texts->count) memcpy(counts, texts->counts, texts->count * sizeof *counts);
    }
    memset(table, 0, 2 * cap * sizeof *table);
    texts->items = items;
    texts->counts = counts;
    texts->table = table;
    texts->cap = cap;
    for (size_t i = 0; i < texts->count; i++)
        *texts_slot(texts, items[i]) = (uint32_t)i + 1;
    return LM_OK;
}

lm_err server_texts_add(server_texts *texts, lm_str text, bool keep, size_t *out_index)
{
    if (texts->count == texts->cap) {
        lm_err err = texts_grow(texts);
        if (err) return err;
    }
    uint32_t *slot = texts_slot(texts, text);
    if (!*slot) {
        if (keep) {
            text.ptr = lm_arena_copy(texts->arena, text.ptr, text.len);
            if (!text.ptr) return lm_mem_err();
        }
        texts->items[texts->count] = text;
        texts->counts[texts->count] = 0;
        *slot = (uint32_t)++texts->count;
    }
    *out_index = *slot - 1;
    return LM_OK;
}

bool server_texts_has(const server_texts *texts, lm_str text)
{
    return texts->count && *texts_slot(texts, text) != 0;
}

static int by_text(const void *a, const void *b)
{
    return lm_str_compare(*(const lm_str *)a, *(const lm_str *)b);
}

void server_texts_sort(server_texts *texts)
{
    if (texts->count) qsort(texts->items, texts->count, sizeof *texts->items, by_text);
}

typedef struct gathering {
    server_texts texts;
    lm_str name; /* of the label whose values are wanted; empty: names */
    lm_err err;
} gathering;

static bool gather(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    gathering *work = ctx;
    size_t index;
    (void)records;
    (void)bytes;
    for (uint32_t i = 0; i < stream->labels.count && !work->err; i++) {
        const lm_label *label = &stream->labels.items[i];
        if (work->name.len && !lm_str_equal(label->name, work->name)) continue;
        work->err = server_texts_add(&work->texts, work->name.len ? label->value : label->name,
                                     true, &index);
    }
    return !work->err;
}

/** Names of labels, or values of the one that is named, as an array; legacy: as Loki's first API
 * told them. */
static void answer_texts(server_request *request, lm_str name, bool is_legacy)
{
    lm_server *server = request->server;
    gathering work = {.texts = {.arena = &request->arena}, .name = name};
    lm_select what;
    int64_t start, end;
    lm_err err = server_bounds(request, SINCE_LABELS, &start, &end);
    if (!err)
        err = server_select(request, server_form_get(&request->form, "query"), start, end, &what);
    if (!err) err = server->face.streams(server->face.self, &what, gather, &work);
    if (!err) err = work.err;
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_texts_sort(&work.texts);
    server_json json = server_answer_begin(request);
    if (is_legacy) {
        server_json_open(&json, '{');
        server_json_key(&json, "values");
    } else {
        server_json_success(&json);
    }
    server_json_open(&json, '[');
    for (size_t i = 0; i < work.texts.count; i++)
        server_json_text(&json, work.texts.items[i]);
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

void server_query_labels(server_request *request)
{
    answer_texts(request, LM_STR(""), false);
}

void server_query_values(server_request *request)
{
    answer_texts(request, request->path.parts[4], false);
}

void server_legacy_labels(server_request *request)
{
    answer_texts(request, LM_STR(""), true);
}

void server_legacy_values(server_request *request)
{
    answer_texts(request, request->path.parts[3], true);
}

typedef struct series_list {
    server_texts keys;
    server_json *json;
    lm_err err;
} series_list;

static bool put_series(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    series_list *list = ctx;
    size_t before = list->keys.count, index;
    (void)records;
    (void)bytes;
    list->err = server_texts_add(&list->keys, stream->key, true, &index);
    if (!list->err && list->keys.count > before) server_json_labels(list->json, stream->labels);
    return !list->err && !list->json->err;
}

void server_query_series(server_request *request)
{
    lm_server *server = request->server;
    server_json json = server_answer_begin(request);
    series_list list = {.keys = {.arena = &request->arena}, .json = &json};
    int64_t start, end;
    lm_err err = server_bounds(request, SINCE_LABELS, &start, &end);
    server_json_success(&json);
    server_json_open(&json, '[');
    for (size_t i = 0; !err; i++) {
        lm_select what;
        lm_str match = server_form_at(&request->form, "match[]", i);
        if (!match.ptr) match = server_form_at(&request->form, "match", i);
        if (!match.ptr && i) break;
        err = match.len && !lm_str_equal(match, LM_STR("{}"))
                  ? server_select_strictly(request, match, start, end, &what)
                  : server_select(request, match, start, end, &what);
        if (!err) err = server->face.streams(server->face.self, &what, put_series, &list);
        if (!err) err = list.err;
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    if (err)
        server_answer_err(request, err);
    else
        server_answer_json(request, &json);
}

/* ---- small ones ---- */

void server_format_query(server_request *request)
{
    lm_logql *query = NULL;
    lm_buf text;
    lm_buf_init(&text, request->server->data_mem);
    lm_err err =
        lm_logql_parse(request->server->data_mem, server_form_get(&request->form, "query"), &query);
    if (!err) err = lm_logql_print(query, &text);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "status");
    server_json_z(&json, err ? "invalid-query" : "success");
    server_json_key(&json, err ? "error" : "data");
    server_json_text(&json, err ? lm_str_of(lm_err_text()) : (lm_str){text.ptr, text.len});
    server_json_close(&json, '}');
    server_answer_json(request, &json);
    if (err) request->status = server_status_of(err);
    lm_logql_free(query);
    lm_buf_fini(&text);
}

static void put_none(server_request *request, const char *what)
{
    server_json json = server_answer_begin(request);
    server_json_success(&json);
    server_json_open(&json, '{');
    server_json_key(&json, what);
    server_json_raw(&json, "[]");
    server_json_close(&json, '}');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/** Grafana's list of alerts asks every data source: here are none. */
void server_rules(server_request *request)
{
    put_none(request, "groups");
}

void server_alerts(server_request *request)
{
    put_none(request, "alerts");
}

/** Grafana chooses features by Loki's version: the one whose API is spoken here. */
void server_buildinfo(server_request *request)
{
    server_json json = server_answer_begin(request);
    server_json_raw(&json, "{\"version\":\"3.4.0\",\"revision\":\"logmill-" LM_VERSION
                           "\",\"branch\":\"logmill\",\"buildUser\":\"logmill\",\"buildDate\":"
                           "\"2025-01-01T00:00:00Z\",\"goVersion\":\"\"}");
    server_answer_json(request, &json);
}

void server_drilldown_limits(server_request *request)
{
    const lm_config *config = request->state->config;
    char timeout[40];
    lm_duration_print(config->query_timeout, timeout);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "limits");
    server_json_open(&json, '{');
    server_json_key(&json, "discover_log_levels");
    server_json_bool(&json, true);
    server_json_key(&json, "max_entries_limit_per_query");
    server_json_u64(&json, config->query_entries_max);
    server_json_key(&json, "max_query_series");
    server_json_u64(&json, config->query_series_max);
    server_json_key(&json, "query_timeout");
    server_json_z(&json, timeout);
    server_json_key(&json, "volume_enabled");
    server_json_bool(&json, true);
    server_json_close(&json, '}');
    server_json_key(&json, "pattern_ingester_enabled");
    server_json_bool(&json, true);
    server_json_key(&json, "version");
    server_json_z(&json, "3.4.0");
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}
