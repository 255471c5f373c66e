/**
 * OTLP mapped as Loki maps it (its pkg/loghttp/push/otlp.go and default index labels): some
 * attributes of the resource become labels of the stream, everything else structured metadata with
 * '.' and other signs turned into '_'. Maps in attributes are flattened, lists are JSON.
 */
#include "wire/wire_otlp_priv.h"

#include "wire/wire_otlp.pb-c.h"

/** Attributes of a resource that name its stream. */
static const char *const index_attributes[] = {
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
};

static bool is_index_attribute(lm_str key)
{
    for (size_t i = 0; i < sizeof index_attributes / sizeof index_attributes[0]; i++) {
        if (lm_str_equal(key, lm_str_of(index_attributes[i]))) return true;
    }
    return false;
}

/* ---- values ---- */

lm_err lm_otlp_items(lm_otlp *o, size_t count, lm_otlp_pair **out)
{
    if (count > LM_OTLP_ITEMS_MAX - o->item_count) {
        return lm_fail(LM_E_USAGE, "a record's values have more than %u items", LM_OTLP_ITEMS_MAX);
    }
    lm_otlp_pair *items =
        lm_arena_alloc(&o->scratch, count * sizeof *items, _Alignof(lm_otlp_pair));
    if (!items) return lm_mem_err();
    o->item_count += (uint32_t)count;
    *out = items;
    return LM_OK;
}

lm_err lm_otlp_hex(lm_otlp *o, lm_str bytes, lm_str *out)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t any = 0;
    for (size_t i = 0; i < bytes.len; i++)
        any |= bytes.ptr[i];
    *out = LM_STR("");
    if (!any) return LM_OK;
    uint8_t *text = lm_arena_alloc(&o->batch->arena, bytes.len * 2, 1);
    if (!text) return lm_mem_err();
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = (uint8_t)hex[bytes.ptr[i] >> 4];
        text[2 * i + 1] = (uint8_t)hex[bytes.ptr[i] & 15];
    }
    *out = (lm_str){text, bytes.len * 2};
    return LM_OK;
}

lm_err lm_otlp_base64(lm_otlp *o, lm_str bytes, lm_str *out)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *text = lm_arena_alloc(&o->batch->arena, (bytes.len + 2) / 3 * 4, 1);
    size_t len = 0;
    if (!text) return lm_mem_err();
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t has = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = (uint32_t)bytes.ptr[i] << 16;
        if (has > 1) bits |= (uint32_t)bytes.ptr[i + 1] << 8;
        if (has > 2) bits |= bytes.ptr[i + 2];
        text[len++] = (uint8_t)signs[bits >> 18 & 63];
        text[len++] = (uint8_t)signs[bits >> 12 & 63];
        text[len++] = (uint8_t)(has > 1 ? signs[bits >> 6 & 63] : '=');
        text[len++] = (uint8_t)(has > 2 ? signs[bits & 63] : '=');
    }
    *out = (lm_str){text, len};
    return LM_OK;
}

/** Depth is bounded by those who made the tree. */
static lm_err print_json(const lm_otlp_any *any, lm_buf *out)
{
    bool is_map = any->kind == LM_OTLP_MAP;
    lm_err err;
    if (any->kind == LM_OTLP_TEXT) return lm_wire_json_quote(any->text, out);
    if (any->kind == LM_OTLP_LITERAL) return lm_buf_append(out, any->text.ptr, any->text.len);
    if (any->kind == LM_OTLP_NONE) return lm_buf_append(out, "null", 4);
    err = lm_buf_u8(out, is_map ? '{' : '[');
    for (uint32_t i = 0; i < any->count && !err; i++) {
        if (i) err = lm_buf_u8(out, ',');
        if (!err && is_map) err = lm_wire_json_quote(any->items[i].key, out);
        if (!err && is_map) err = lm_buf_u8(out, ':');
        if (!err) err = print_json(&any->items[i].value, out);
    }
    return err ? err : lm_buf_u8(out, is_map ? '}' : ']');
}

/** Texts as they are, lists and maps as JSON in the batch's arena. */
static lm_err text_of(lm_otlp *o, const lm_otlp_any *any, lm_str *out)
{
    lm_buf json;
    if (any->kind < LM_OTLP_LIST) {
        *out = any->kind == LM_OTLP_NONE ? LM_STR("") : any->text;
        return LM_OK;
    }
    lm_buf_init(&json, o->options->mem);
    lm_err err = print_json(any, &json);
    if (!err) {
        const uint8_t *copy = lm_arena_copy(&o->batch->arena, json.ptr, json.len);
        err = copy ? LM_OK : lm_mem_err();
        if (copy) *out = (lm_str){copy, json.len};
    }
    lm_buf_fini(&json);
    return err;
}

/* ---- labels and metadata ---- */

static void put_metadata(lm_otlp *o, lm_str name, lm_str value)
{
    if (o->metadata_count < LM_LABEL_COUNT_MAX) {
        o->metadata[o->metadata_count] = (lm_label){name, value};
    }
    o->metadata_count++; /* too many: the record is refused by this number */
}

/** ptr NULL when out of memory. */
static lm_str clean_name(lm_otlp *o, lm_str name)
{
    lm_otlp_name *guess = &o->names[o->metadata_count % LM_OTLP_NAMES];
    if (guess->sent.ptr && lm_str_equal(guess->sent, name)) return guess->clean;
    lm_str clean = lm_label_name_clean(name, &o->batch->arena);
    if (clean.ptr && name.len) *guess = (lm_otlp_name){name, clean};
    return clean;
}

static lm_err attribute_named(lm_otlp *o, lm_str name, const lm_otlp_any *value)
{
    lm_arena *arena = &o->batch->arena;
    lm_str text = LM_STR(""), clean = clean_name(o, name);
    if (!clean.ptr) return lm_mem_err();
    if (value->kind != LM_OTLP_MAP || value->count == 0) {
        lm_err err = text_of(o, value, &text);
        if (!err) put_metadata(o, clean, text);
        return err;
    }
    for (uint32_t i = 0; i < value->count; i++) {
        lm_str key = value->items[i].key;
        uint8_t *joined = lm_arena_alloc(arena, clean.len + 1 + key.len, 1);
        if (!joined) return lm_mem_err();
        memcpy(joined, clean.ptr, clean.len);
        joined[clean.len] = '_';
        if (key.len) memcpy(joined + clean.len + 1, key.ptr, key.len);
        lm_err err =
            attribute_named(o, (lm_str){joined, clean.len + 1 + key.len}, &value->items[i].value);
        if (err) return err;
    }
    return LM_OK;
}

lm_err lm_otlp_attribute(lm_otlp *o, lm_str key, const lm_otlp_any *value)
{
    return attribute_named(o, key, value);
}

void lm_otlp_resource(lm_otlp *o)
{
    o->label_count = o->resource_count = o->scope_count = o->metadata_count = 0;
    o->stream_err = LM_OK;
    lm_otlp_record_begin(o);
    o->metadata_count = 0;
}

lm_err lm_otlp_resource_attribute(lm_otlp *o, lm_str key, const lm_otlp_any *value)
{
    lm_label label;
    if (!is_index_attribute(key)) return lm_otlp_attribute(o, key, value);
    lm_err err = text_of(o, value, &label.value);
    if (err) return err;
    label.name = lm_label_name_clean(key, &o->batch->arena);
    if (!label.name.ptr) return lm_mem_err();
    if (o->label_count < LM_LABEL_COUNT_MAX) o->labels[o->label_count] = label;
    o->label_count++;
    return LM_OK;
}

lm_err lm_otlp_resource_end(lm_otlp *o)
{
    lm_labels labels;
    lm_arena *arena = &o->batch->arena;
    o->resource_count = o->metadata_count;
    lm_err err = lm_labels_make(o->labels, o->label_count, arena, &labels);
    if (!err && labels.count == 0) {
        lm_label none = LM_WIRE_NO_LABEL;
        err = lm_labels_make(&none, 1, arena, &labels);
    }
    if (!err) err = lm_record_batch_stream(o->batch, labels, &o->stream);
    if (!lm_wire_is_own_fault(err)) return err;
    o->stream_err = err;
    snprintf(o->stream_reason, sizeof o->stream_reason, "%s", lm_err_text());
    return LM_OK;
}

void lm_otlp_scope(lm_otlp *o)
{
    o->scope_count = o->metadata_count = o->resource_count;
    lm_otlp_record_begin(o);
}

lm_err lm_otlp_scope_end(lm_otlp *o, lm_str name, lm_str version)
{
    if (name.len) put_metadata(o, LM_STR("scope_name"), name);
    if (version.len) put_metadata(o, LM_STR("scope_version"), version);
    o->scope_count = o->metadata_count;
    return LM_OK;
}

/* ---- records ---- */

void lm_otlp_record_begin(lm_otlp *o)
{
    o->metadata_count = o->scope_count;
    if (o->item_count) lm_arena_reset(&o->scratch);
    o->item_count = 0;
}

static lm_err put_number(lm_otlp *o, lm_str name, uint32_t value)
{
    char digits[12];
    int len = snprintf(digits, sizeof digits, "%u", value);
    const uint8_t *copy = lm_arena_copy(&o->batch->arena, digits, (size_t)len);
    if (!copy) return lm_mem_err();
    put_metadata(o, name, (lm_str){copy, (size_t)len});
    return LM_OK;
}

static lm_err put_fields(lm_otlp *o, const lm_otlp_record *r)
{
    /* the numbers that there are, so that nothing is printed for most records */
    static const char numbers[25][3] = {"",   "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",
                                        "9",  "10", "11", "12", "13", "14", "15", "16", "17",
                                        "18", "19", "20", "21", "22", "23", "24"};
    lm_err err = LM_OK;
    if (r->severity_text.len) put_metadata(o, LM_STR("severity_text"), r->severity_text);
    if (r->severity_number && r->severity_number <= 24) {
        put_metadata(o, LM_STR("severity_number"), lm_str_of(numbers[r->severity_number]));
    } else if (r->severity_number) {
        err = put_number(o, LM_STR("severity_number"), r->severity_number);
    }
    if (r->event_name.len) put_metadata(o, LM_STR("event_name"), r->event_name);
    if (r->trace_id.len) put_metadata(o, LM_STR("trace_id"), r->trace_id);
    if (r->span_id.len) put_metadata(o, LM_STR("span_id"), r->span_id);
    if (!err && r->flags) err = put_number(o, LM_STR("flags"), r->flags);
    return err;
}

lm_err lm_otlp_record_add(lm_otlp *o, const lm_otlp_record *r)
{
    lm_str line;
    lm_labels metadata;
    int64_t time_ns = o->options->now_ns;
    if (r->time_ns && r->time_ns <= INT64_MAX) {
        time_ns = (int64_t)r->time_ns;
    } else if (r->observed_ns && r->observed_ns <= INT64_MAX) {
        time_ns = (int64_t)r->observed_ns;
    }
    lm_err err = o->stream_err ? lm_fail(o->stream_err, "%s", o->stream_reason) : LM_OK;
    if (!err) err = put_fields(o, r);
    if (!err) err = text_of(o, &r->body, &line);
    if (!err)
        err = lm_wire_metadata(&o->order, o->metadata, o->metadata_count, &o->batch->arena,
                               &metadata);
    if (!err) err = lm_record_batch_add(o->batch, o->stream, time_ns, line, metadata);
    if (!lm_wire_is_own_fault(err)) return err;
    lm_wire_reject(&o->report, 1);
    return LM_OK;
}

/* ---- the response ---- */

static lm_err response_json(const lm_wire_report *report, lm_buf *out)
{
    char head[96];
    if (!report->rejected) return lm_buf_append(out, "{}", 2);
    int len = snprintf(head, sizeof head,
                       "{\"partialSuccess\":{\"rejectedLogRecords\":\"%llu\",\"errorMessage\":",
                       (unsigned long long)report->rejected);
    lm_err err = lm_buf_append(out, head, (size_t)len);
    if (!err) err = lm_wire_json_quote(lm_str_of(report->reason), out);
    return err ? err : lm_buf_append(out, "}}", 2);
}

lm_err lm_wire_otlp_response(const lm_wire_report *report, bool is_json, lm_buf *out)
{
    if (is_json) return response_json(report, out);
    if (!report->rejected) return LM_OK; /* an empty message */
    LmOtlp__PartialSuccess partial;
    LmOtlp__ExportResponse response;
    lm_otlp__partial_success__init(&partial);
    lm_otlp__export_response__init(&response);
    partial.has_rejected_log_records = 1;
    partial.rejected_log_records = (int64_t)report->rejected;
    partial.has_error_message = 1;
    partial.error_message.data = (uint8_t *)(uintptr_t)report->reason; /* packing only reads it */
    partial.error_message.len = strlen(report->reason);
    response.partial_success = &partial;
    size_t len = lm_otlp__export_response__get_packed_size(&response);
    lm_err err = lm_buf_reserve(out, len);
    if (err) return err;
    out->len += lm_otlp__export_response__pack(&response, out->ptr + out->len);
    return LM_OK;
}
