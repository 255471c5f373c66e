/** What the daemon tells of itself beyond Loki's API: segments, what streams take on disk, formats.
 */
#include "schema/schema.h"
#include "server/server_priv.h"

#include <stdlib.h>

#define NS_PER_S          1000000000ll
#define SINCE_SCHEMAS     (3600 * NS_PER_S)
#define LINES_OF_A_SCHEMA 1000u

/* ---- segments ---- */

void server_segments(server_request *request)
{
    lm_store_segment *segments = NULL;
    size_t count = 0;
    lm_err err = lm_store_segments(request->server->store, request->tenant, &request->arena,
                                   &segments, &count);
    if (err) {
        server_answer_err(request, err);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "segments");
    server_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        const lm_store_segment *segment = &segments[i];
        server_json_open(&json, '{');
        server_json_key(&json, "id");
        server_json_u64(&json, segment->id);
        server_json_key(&json, "level");
        server_json_text(&json, segment->level);
        server_json_key(&json, "first");
        server_json_i64_text(&json, segment->time_min);
        server_json_key(&json, "last");
        server_json_i64_text(&json, segment->time_max);
        server_json_key(&json, "records");
        server_json_u64(&json, segment->records);
        server_json_key(&json, "streams");
        server_json_u64(&json, segment->streams);
        server_json_key(&json, "raw_bytes");
        server_json_u64(&json, segment->raw_bytes);
        server_json_key(&json, "bytes");
        server_json_u64(&json, segment->bytes);
        server_json_close(&json, '}');
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/* ---- savings ---- */

typedef struct saving {
    lm_labels labels;
    lm_store_saving sums;
} saving;

typedef struct saving_list {
    lm_arena *arena;
    saving *items;
    size_t count, cap;
    lm_err err;
} saving_list;

static bool add_saving(void *ctx, const lm_store_saving *told)
{
    saving_list *list = ctx;
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 64;
        saving *items = lm_arena_alloc(list->arena, cap * sizeof *items, _Alignof(saving));
        if (!items) {
            list->err = lm_mem_err();
            return false;
        }
        if (list->count) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    saving *at = &list->items[list->count];
    *at = (saving){.sums = *told};
    list->err = server_labels_copy(told->stream->labels, list->arena, &at->labels);
    list->count += !list->err;
    return !list->err;
}

static void put_sums(server_json *json, const lm_store_saving *sums)
{
    server_json_key(json, "records");
    server_json_u64(json, sums->records);
    server_json_key(json, "raw_bytes");
    server_json_u64(json, sums->raw_bytes);
    server_json_key(json, "sealed_bytes");
    server_json_u64(json, sums->sealed_bytes);
    server_json_key(json, "stored_bytes");
    server_json_u64(json, sums->stored_bytes);
    server_json_key(json, "ratio"); /* null while nothing of it is sealed */
    if (sums->stored_bytes)
        server_json_real(json, (double)sums->sealed_bytes / (double)sums->stored_bytes);
    else
        server_json_raw(json, "null");
}

static int by_raw_bytes(const void *a, const void *b)
{
    const saving *x = a, *y = b;
    return (x->sums.raw_bytes < y->sums.raw_bytes) - (x->sums.raw_bytes > y->sums.raw_bytes);
}

/** All streams that the query's selector has; without one, and without times: all there are. */
static lm_err read_all(server_request *request, lm_select *out)
{
    int64_t start, end;
    lm_err err = server_bounds(request, INT64_MAX, &start, &end);
    if (err) return err;
    if (!server_form_get(&request->form, "end").len) end = INT64_MAX; /* clocks may be ahead */
    return server_select(request, server_form_get(&request->form, "query"), start, end, out);
}

void server_savings(server_request *request)
{
    saving_list list = {.arena = &request->arena};
    lm_store_saving total = {0};
    lm_select what;
    lm_err err = read_all(request, &what);
    if (!err) err = lm_store_savings(request->server->store, &what, add_saving, &list);
    if (!err) err = list.err;
    if (err) {
        server_answer_err(request, err);
        return;
    }
    if (list.count) qsort(list.items, list.count, sizeof *list.items, by_raw_bytes);
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "streams");
    server_json_open(&json, '[');
    for (size_t i = 0; i < list.count; i++) {
        server_json_open(&json, '{');
        server_json_key(&json, "stream");
        server_json_labels(&json, list.items[i].labels);
        put_sums(&json, &list.items[i].sums);
        server_json_close(&json, '}');
        total.records += list.items[i].sums.records;
        total.raw_bytes += list.items[i].sums.raw_bytes;
        total.sealed_bytes += list.items[i].sums.sealed_bytes;
        total.stored_bytes += list.items[i].sums.stored_bytes;
    }
    server_json_close(&json, ']');
    server_json_key(&json, "total");
    server_json_open(&json, '{');
    put_sums(&json, &total);
    server_json_close(&json, '}');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/* ---- schemas ---- */

static void put_format(server_json *json, const lm_schema_format *format, uint64_t lines)
{
    server_json_open(json, '{');
    server_json_key(json, "format");
    server_json_text(json, format->name);
    server_json_key(json, "pattern");
    server_json_text(json, format->pattern);
    server_json_key(json, "lines");
    server_json_u64(json, format->lines);
    server_json_key(json, "share");
    server_json_real(json, lines ? (double)format->lines / (double)lines : 0);
    server_json_key(json, "fields");
    server_json_open(json, '[');
    for (size_t i = 0; i < format->field_count; i++) {
        const lm_schema_field *field = &format->fields[i];
        server_json_open(json, '{');
        server_json_key(json, "name");
        server_json_text(json, field->name);
        server_json_key(json, "type");
        server_json_z(json, lm_type_name(field->type));
        if (field->detail.len) {
            server_json_key(json, "detail");
            server_json_text(json, field->detail);
        }
        server_json_key(json, "count");
        server_json_u64(json, field->count);
        server_json_key(json, "distinct");
        server_json_u64(json, field->distinct);
        server_json_key(json, "examples");
        server_json_open(json, '[');
        for (size_t k = 0; k < 3 && field->examples[k].len; k++)
            server_json_text(json, field->examples[k]);
        server_json_close(json, ']');
        server_json_close(json, '}');
    }
    server_json_close(json, ']');
    server_json_close(json, '}');
}

/** The first lines of the newest records that the query has. */
static lm_err newest_lines(server_request *request, lm_str **out, size_t *out_count)
{
    lm_logql_result result = {0};
    int64_t start, end;
    uint32_t limit = 0;
    size_t total = 0;
    lm_err err = server_bounds(request, SINCE_SCHEMAS, &start, &end);
    if (!err)
        err = server_limit_parse(server_form_get(&request->form, "line_limit"), LINES_OF_A_SCHEMA,
                                 &limit);
    if (!err && limit > request->state->config->query_entries_max)
        limit = (uint32_t)request->state->config->query_entries_max;
    if (!err)
        err = server_entries(request, server_form_get(&request->form, "query"), start, end, limit,
                             &result);
    if (err) return err;
    for (size_t i = 0; i < result.series_count; i++)
        total += result.series[i].count;
    lm_str *lines = lm_arena_alloc(&request->arena, (total + 1) * sizeof *lines, _Alignof(lm_str));
    if (!lines) return lm_mem_err();
    size_t count = 0;
    for (size_t i = 0; i < result.series_count; i++) {
        for (size_t k = 0; k < result.series[i].count; k++) {
            lm_str line = result.series[i].entries[k].line;
            const uint8_t *newline = line.len ? memchr(line.ptr, '\n', line.len) : NULL;
            if (newline) line.len = (size_t)(newline - line.ptr);
            lines[count++] = line;
        }
    }
    *out = lines;
    *out_count = count;
    return LM_OK;
}

void server_schemas(server_request *request)
{
    lm_schema *schema = NULL;
    lm_str *lines = NULL;
    size_t count = 0;
    lm_err err = newest_lines(request, &lines, &count);
    if (!err) err = lm_schema_new(request->server->data_mem, &schema);
    if (!err) err = lm_schema_learn(schema, lines, count);
    if (err) {
        server_answer_err(request, err);
        lm_schema_free(schema);
        return;
    }
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "lines");
    server_json_u64(&json, count);
    server_json_key(&json, "schemas");
    server_json_open(&json, '[');
    for (size_t i = 0; i < lm_schema_format_count(schema); i++) {
        lm_schema_format format = lm_schema_format_at(schema, i);
        put_format(&json, &format, count);
    }
    server_json_close(&json, ']');
    server_json_close(&json, '}');
    server_answer_json(request, &json);
    lm_schema_free(schema);
}
