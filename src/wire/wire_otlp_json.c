/**
 * OTLP's JSON: proto3 JSON with ids in hex. Names may be lowerCamelCase or as in the .proto file,
 * 64-bit numbers strings or numbers, unknown fields are passed over.
 */
#include "wire/wire_otlp_priv.h"

typedef struct reader {
    lm_otlp o;
    yyjson_alc alc;
} reader;

static lm_err wrong_shape(const char *what)
{
    return lm_fail(LM_E_USAGE, "not an OTLP request: %s", what);
}

static yyjson_val *get(yyjson_val *object, const char *camel, const char *snake)
{
    yyjson_val *value = yyjson_obj_get(object, camel);
    return value ? value : yyjson_obj_get(object, snake);
}

/** The array of that name; absent and null are empty. */
static lm_err get_array(yyjson_val *object, const char *camel, const char *snake,
                        yyjson_arr_iter *out)
{
    yyjson_val *value = get(object, camel, snake);
    *out = (yyjson_arr_iter){0};
    if (!value || yyjson_is_null(value) || yyjson_arr_iter_init(value, out)) return LM_OK;
    return lm_fail(LM_E_USAGE, "not an OTLP request: %s must be an array", camel);
}

static lm_str get_text(yyjson_val *object, const char *camel, const char *snake)
{
    lm_str text = lm_wire_json_text(get(object, camel, snake));
    return text.ptr ? text : LM_STR("");
}

/** 0 when absent; LM_E_USAGE when it is no whole number. */
static lm_err get_number(yyjson_val *object, const char *camel, const char *snake, uint64_t *out)
{
    lm_str text = lm_wire_json_text(get(object, camel, snake));
    int64_t value;
    if (!text.ptr || text.len == 0) return LM_OK;
    if (!lm_wire_int(text, &value) || value < 0) {
        return lm_fail(LM_E_USAGE, "not an OTLP request: %s must be a whole number", camel);
    }
    *out = (uint64_t)value;
    return LM_OK;
}

/* ---- values ---- */

static lm_err read_any(reader *r, yyjson_val *object, unsigned depth, lm_otlp_any *out);

static lm_err read_items(reader *r, yyjson_val *object, unsigned depth, lm_otlp_any *out)
{
    yyjson_arr_iter it;
    yyjson_val *value;
    lm_err err = get_array(object, "values", "values", &it);
    if (!err && depth == LM_JSON_DEPTH_MAX) {
        err = lm_fail(LM_E_USAGE, "a value is nested deeper than %d levels", LM_JSON_DEPTH_MAX);
    }
    if (!err) err = lm_otlp_items(&r->o, it.max, &out->items);
    while (!err && (value = yyjson_arr_iter_next(&it))) {
        lm_otlp_pair *item = &out->items[out->count++];
        *item = (lm_otlp_pair){.key = LM_STR("")};
        if (out->kind == LM_OTLP_MAP) item->key = get_text(value, "key", "key");
        yyjson_val *inner = out->kind == LM_OTLP_MAP ? yyjson_obj_get(value, "value") : value;
        err = read_any(r, inner, depth + 1, &item->value);
    }
    return err;
}

static lm_err read_any(reader *r, yyjson_val *object, unsigned depth, lm_otlp_any *out)
{
    yyjson_val *value;
    *out = (lm_otlp_any){.kind = LM_OTLP_NONE};
    if ((value = get(object, "stringValue", "string_value")) ||
        (value = get(object, "bytesValue", "bytes_value"))) {
        *out = (lm_otlp_any){.kind = LM_OTLP_TEXT};
        return lm_wire_json_print(value, &r->alc, &r->o.batch->arena, &out->text);
    }
    if ((value = get(object, "boolValue", "bool_value"))) {
        *out = (lm_otlp_any){.kind = LM_OTLP_LITERAL,
                             .text = yyjson_is_true(value) ? LM_STR("true") : LM_STR("false")};
    } else if ((value = get(object, "intValue", "int_value")) ||
               (value = get(object, "doubleValue", "double_value"))) {
        int64_t ignored;
        lm_str text = lm_wire_json_text(value);
        bool is_number = yyjson_is_raw(value) || lm_wire_int(text, &ignored); /* "NaN" is a text */
        *out = (lm_otlp_any){.kind = is_number ? LM_OTLP_LITERAL : LM_OTLP_TEXT,
                             .text = text.ptr ? text : LM_STR("")};
    } else if ((value = get(object, "arrayValue", "array_value"))) {
        out->kind = LM_OTLP_LIST;
        return read_items(r, value, depth, out);
    } else if ((value = get(object, "kvlistValue", "kvlist_value"))) {
        out->kind = LM_OTLP_MAP;
        return read_items(r, value, depth, out);
    }
    return LM_OK;
}

/* ---- messages ---- */

static lm_err read_attributes(reader *r, yyjson_val *object, bool of_resource)
{
    yyjson_arr_iter it;
    yyjson_val *pair;
    lm_err err = get_array(object, "attributes", "attributes", &it);
    while (!err && (pair = yyjson_arr_iter_next(&it))) {
        lm_otlp_any value;
        lm_str key = get_text(pair, "key", "key");
        err = read_any(r, yyjson_obj_get(pair, "value"), 0, &value);
        if (err) return err;
        err = of_resource ? lm_otlp_resource_attribute(&r->o, key, &value)
                          : lm_otlp_attribute(&r->o, key, &value);
    }
    return err;
}

/** An id of zeros is none. */
static lm_str get_id(yyjson_val *object, const char *camel, const char *snake)
{
    lm_str text = get_text(object, camel, snake);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '0') return text;
    }
    return LM_STR("");
}

static lm_err read_record(reader *r, yyjson_val *object)
{
    lm_otlp_record record = {
        .severity_text = get_text(object, "severityText", "severity_text"),
        .event_name = get_text(object, "eventName", "event_name"),
        .trace_id = get_id(object, "traceId", "trace_id"),
        .span_id = get_id(object, "spanId", "span_id"),
    };
    uint64_t severity = 0, flags = 0;
    if (!yyjson_is_obj(object)) return wrong_shape("a record must be an object");
    lm_otlp_record_begin(&r->o);
    lm_err err = get_number(object, "timeUnixNano", "time_unix_nano", &record.time_ns);
    if (!err) {
        err = get_number(object, "observedTimeUnixNano", "observed_time_unix_nano",
                         &record.observed_ns);
    }
    if (!err) err = get_number(object, "severityNumber", "severity_number", &severity);
    if (!err) err = get_number(object, "flags", "flags", &flags);
    if (!err) err = read_any(r, yyjson_obj_get(object, "body"), 0, &record.body);
    if (!err) err = read_attributes(r, object, false);
    record.severity_number = (uint32_t)severity;
    record.flags = (uint32_t)flags;
    return err ? err : lm_otlp_record_add(&r->o, &record);
}

static lm_err read_scope_logs(reader *r, yyjson_val *object)
{
    yyjson_val *scope = yyjson_obj_get(object, "scope"), *record;
    yyjson_arr_iter it;
    lm_otlp_scope(&r->o);
    lm_err err = read_attributes(r, scope, false);
    if (!err) {
        err = lm_otlp_scope_end(&r->o, get_text(scope, "name", "name"),
                                get_text(scope, "version", "version"));
    }
    if (!err) err = get_array(object, "logRecords", "log_records", &it);
    while (!err && (record = yyjson_arr_iter_next(&it)))
        err = read_record(r, record);
    return err;
}

static lm_err read_resource_logs(reader *r, yyjson_val *object)
{
    yyjson_arr_iter it;
    yyjson_val *scope;
    lm_otlp_resource(&r->o);
    lm_err err = read_attributes(r, yyjson_obj_get(object, "resource"), true);
    if (!err) err = lm_otlp_resource_end(&r->o);
    if (!err) err = get_array(object, "scopeLogs", "scope_logs", &it);
    while (!err && (scope = yyjson_arr_iter_next(&it)))
        err = read_scope_logs(r, scope);
    return err;
}

lm_err lm_wire_otlp_json(lm_str body, const lm_wire_options *options, lm_record_batch *batch,
                         lm_wire_report *report)
{
    reader r = {.o = {.options = options, .batch = batch}, .alc = lm_wire_alc(options->mem)};
    lm_wire_mark mark = lm_wire_begin(batch);
    yyjson_doc *doc = NULL;
    yyjson_arr_iter it;
    yyjson_val *resource;
    lm_arena_init(&r.o.scratch, options->mem);
    lm_err err = lm_wire_json_read(body, &batch->arena, &r.alc, &doc);
    yyjson_val *root = err ? NULL : yyjson_doc_get_root(doc);
    if (!err && !yyjson_is_obj(root)) err = wrong_shape("an object expected");
    if (!err) err = get_array(root, "resourceLogs", "resource_logs", &it);
    while (!err && (resource = yyjson_arr_iter_next(&it)))
        err = read_resource_logs(&r, resource);
    yyjson_doc_free(doc);
    lm_arena_fini(&r.o.scratch);
    return lm_wire_end(mark, err, batch, &r.o.report, report);
}
