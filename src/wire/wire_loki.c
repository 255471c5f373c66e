/**
 * Loki's push API: JSON and protobuf.
 *
 * Protobuf:  PushRequest{streams=1} > Stream{labels=1, entries=2} > Entry{timestamp=1, line=2,
 * structured_metadata=3}; the messages are in wire_logproto.proto. They are walked field by field
 * where they lie: a line is a slice of the body, and nothing is allocated for a record.
 * bench_wire_decode reads the same bytes with protobuf-c (an arena as its allocator) beside it:
 * 45 ns a record of 150 bytes here, 115 there, which copies each line and makes three messages.
 *
 * JSON:  {"streams":[{"stream":{...},"values":[["<ns>","line",{...}]]}]}, and the older
 * {"streams":[{"labels":"{...}","entries":[{"ts":"...","line":"..."}]}]}.
 *
 * A stream that Loki would refuse (no label, a label that is none or too long) costs its own
 * records only, as there; so does an entry with too much metadata. Bytes that are no such message
 * fail the request.
 */
#include "wire/wire_priv.h"

typedef struct push {
    const lm_wire_options *options;
    lm_record_batch *batch;
    lm_wire_report report;
    lm_wire_seen seen;
    lm_wire_times times;
    lm_wire_order order;
    lm_str body;
    lm_label labels[LM_LABEL_COUNT_MAX]; /* of the stream or entry being read */
} push;

static lm_err no_label(void)
{
    return lm_fail(LM_E_USAGE, "error at least one label pair is required per stream");
}

/** When nothing at all could be taken the request has failed, and its reason is the first. */
static lm_err finish(const push *p, lm_wire_mark mark, lm_err err)
{
    bool is_empty = p->batch->record_count == mark.records;
    if (err || !is_empty || !p->report.rejected) return err;
    return lm_fail(LM_E_USAGE, "%s", p->report.reason);
}

/* ---- protobuf ---- */

static lm_err broken(const push *p, lm_str rest, const char *what)
{
    size_t at = rest.ptr ? (size_t)(rest.ptr - p->body.ptr) : 0;
    return lm_fail_at(LM_E_USAGE, at, "not a push request: a broken %s near byte %zu", what, at);
}

static lm_err read_timestamp(const push *p, lm_str message, int64_t *out_ns)
{
    int64_t seconds = 0, nanos = 0, ns;
    lm_str rest = message;
    lm_wire_field field;
    while (rest.len) {
        if (!lm_wire_field_next(&rest, &field)) return broken(p, rest, "timestamp");
        if (field.kind != 0) continue;
        if (field.number == 1) seconds = (int64_t)field.value;
        if (field.number == 2) nanos = (int64_t)field.value;
    }
    if (nanos < 0 || nanos >= 1000000000 || __builtin_mul_overflow(seconds, 1000000000, &ns) ||
        __builtin_add_overflow(ns, nanos, &ns)) {
        return lm_fail_at(LM_E_USAGE, (uint64_t)(message.ptr - p->body.ptr),
                          "a timestamp of %lld seconds and %lld nanoseconds is out of range",
                          (long long)seconds, (long long)nanos);
    }
    *out_ns = ns;
    return LM_OK;
}

static lm_err read_pair(push *p, lm_str rest, size_t count)
{
    lm_wire_field field;
    lm_label label = {LM_STR(""), LM_STR("")};
    while (rest.len) {
        if (!lm_wire_field_next(&rest, &field)) return broken(p, rest, "label");
        if (field.kind != 2) continue;
        if (field.number == 1) label.name = field.bytes;
        if (field.number == 2) label.value = field.bytes;
    }
    label.name = lm_label_name_clean(label.name, &p->batch->arena);
    if (!label.name.ptr) return lm_mem_err();
    if (count < LM_LABEL_COUNT_MAX) p->labels[count] = label;
    return LM_OK;
}

/** Add the record; what is wrong with it alone is counted. */
static lm_err add(push *p, uint32_t stream, int64_t time_ns, lm_str line, size_t metadata_count)
{
    lm_labels metadata = {NULL, 0};
    lm_err err = LM_OK;
    if (metadata_count) {
        err = lm_wire_metadata(&p->order, p->labels, metadata_count, &p->batch->arena, &metadata);
    }
    if (!err) err = lm_record_batch_add(p->batch, stream, time_ns, line, metadata);
    if (!lm_wire_is_own_fault(err)) return err;
    lm_wire_reject(&p->report, 1);
    return LM_OK;
}

static lm_err read_entry(push *p, lm_str rest, uint32_t stream)
{
    int64_t time_ns = p->options->now_ns;
    lm_str line = {p->body.ptr, 0};
    size_t metadata_count = 0;
    lm_wire_field field;
    lm_err err = LM_OK;
    while (rest.len) {
        if (!lm_wire_field_next(&rest, &field)) return broken(p, rest, "entry");
        if (field.kind != 2) continue;
        if (field.number == 1) {
            err = read_timestamp(p, field.bytes, &time_ns);
        } else if (field.number == 2) {
            line = field.bytes;
        } else if (field.number == 3) {
            err = read_pair(p, field.bytes, metadata_count++);
        }
        if (err) return err;
    }
    return add(p, stream, time_ns, line, metadata_count);
}

/** The stream of a text of labels; the same text again costs a hash. */
static lm_err stream_of_text(push *p, lm_str text, uint32_t *out)
{
    lm_labels labels;
    uint64_t hash = lm_hash64(text.ptr, text.len);
    if (lm_wire_seen_find(&p->seen, hash, text, out)) return LM_OK;
    lm_err err = lm_labels_parse(text, &p->batch->arena, &labels);
    if (!err && labels.count == 0) err = no_label();
    if (!err) err = lm_record_batch_stream(p->batch, labels, out);
    if (!err) lm_wire_seen_put(&p->seen, hash, text, *out);
    return err;
}

/** Labels may stand behind the entries: they are looked for first. */
static lm_err read_stream(push *p, lm_str message)
{
    lm_str rest = message, labels = LM_STR("{}");
    lm_wire_field field;
    uint64_t entry_count = 0;
    uint32_t stream = 0;
    bool is_refused = false;
    while (rest.len) {
        if (!lm_wire_field_next(&rest, &field)) return broken(p, rest, "stream");
        if (field.number == 1 && field.kind == 2) labels = field.bytes;
        entry_count += field.number == 2 && field.kind == 2;
    }
    lm_err err = stream_of_text(p, labels, &stream);
    if (lm_wire_is_own_fault(err)) {
        lm_wire_reject(&p->report, entry_count);
        is_refused = true;
    } else if (err) {
        return err;
    }
    for (rest = message; rest.len && !is_refused;) {
        if (!lm_wire_field_next(&rest, &field)) return broken(p, rest, "stream");
        if (field.number != 2 || field.kind != 2) continue;
        err = read_entry(p, field.bytes, stream);
        if (err) return err;
    }
    return LM_OK;
}

lm_err lm_wire_loki_protobuf(lm_str body, const lm_wire_options *options, lm_record_batch *batch,
                             lm_wire_report *report)
{
    push p = {.options = options, .batch = batch, .body = body};
    lm_wire_mark mark = lm_wire_begin(batch);
    lm_wire_field field;
    lm_err err = LM_OK;
    for (lm_str rest = body; rest.len && !err;) {
        if (!lm_wire_field_next(&rest, &field)) {
            err = broken(&p, rest, "message");
        } else if (field.number == 1 && field.kind == 2) {
            err = read_stream(&p, field.bytes);
        }
    }
    return lm_wire_end(mark, finish(&p, mark, err), batch, &p.report, report);
}

/* ---- JSON ---- */

static lm_err wrong_shape(const char *what)
{
    return lm_fail(LM_E_USAGE, "not a push request: %s", what);
}

/** Names and texts of an object into p->labels. */
static lm_err read_object(push *p, yyjson_val *object, const yyjson_alc *alc, size_t *out_count)
{
    yyjson_obj_iter it;
    yyjson_val *key;
    size_t count = 0;
    if (!yyjson_obj_iter_init(object, &it)) return wrong_shape("labels must be an object");
    while ((key = yyjson_obj_iter_next(&it))) {
        lm_label label;
        lm_str name = lm_wire_json_text(key);
        lm_err err =
            lm_wire_json_print(yyjson_obj_iter_get_val(key), alc, &p->batch->arena, &label.value);
        if (err) return err;
        label.name = lm_label_name_clean(name, &p->batch->arena);
        if (!label.name.ptr) return lm_mem_err();
        if (count < LM_LABEL_COUNT_MAX) p->labels[count] = label;
        count++;
    }
    *out_count = count;
    return LM_OK;
}

/** [ns, line, metadata]. */
static lm_err read_value(push *p, yyjson_val *value, const yyjson_alc *alc, uint32_t stream)
{
    yyjson_val *time = yyjson_arr_get(value, 0), *line = yyjson_arr_get(value, 1);
    yyjson_val *metadata = yyjson_arr_get(value, 2);
    size_t count = 0;
    int64_t time_ns = 0;
    lm_str text = lm_wire_json_text(time);
    if (!yyjson_is_str(line)) return wrong_shape("a value must be [\"time\", \"line\"]");
    if (!text.ptr ||
        (!lm_wire_int(text, &time_ns) && !lm_wire_time_text(&p->times, text, &time_ns))) {
        return wrong_shape("a value's time must be nanoseconds since 1970");
    }
    lm_err err = metadata ? read_object(p, metadata, alc, &count) : LM_OK;
    return err ? err : add(p, stream, time_ns, lm_wire_json_text(line), count);
}

/** {"ts", "line"}. */
static lm_err read_old_entry(push *p, yyjson_val *entry, const yyjson_alc *alc, uint32_t stream)
{
    yyjson_val *time = yyjson_obj_get(entry, "ts"), *line = yyjson_obj_get(entry, "line");
    yyjson_val *metadata = yyjson_obj_get(entry, "structuredMetadata");
    size_t count = 0;
    int64_t time_ns = p->options->now_ns;
    if (!yyjson_is_str(line)) return wrong_shape("an entry must have a line");
    if (time && !lm_wire_time_json(&p->times, time, &time_ns)) {
        return wrong_shape("an entry's ts must be a time");
    }
    lm_err err = metadata ? read_object(p, metadata, alc, &count) : LM_OK;
    return err ? err : add(p, stream, time_ns, lm_wire_json_text(line), count);
}

static lm_err stream_of_json(push *p, yyjson_val *object, const yyjson_alc *alc, uint32_t *out)
{
    yyjson_val *names = yyjson_obj_get(object, "stream"), *old = yyjson_obj_get(object, "labels");
    lm_labels labels;
    size_t count = 0;
    if (!names && yyjson_is_str(old)) return stream_of_text(p, lm_wire_json_text(old), out);
    lm_err err = names ? read_object(p, names, alc, &count) : LM_OK;
    if (!err) err = lm_labels_make(p->labels, count, &p->batch->arena, &labels);
    if (!err && labels.count == 0) err = no_label();
    return err ? err : lm_record_batch_stream(p->batch, labels, out);
}

static lm_err read_json_stream(push *p, yyjson_val *object, const yyjson_alc *alc)
{
    yyjson_val *values = yyjson_obj_get(object, "values"), *value;
    bool is_old = !values;
    uint32_t stream = 0;
    yyjson_arr_iter it;
    if (!yyjson_is_obj(object)) return wrong_shape("a stream must be an object");
    if (is_old) values = yyjson_obj_get(object, "entries");
    if (!values || yyjson_is_null(values)) return LM_OK;
    if (!yyjson_arr_iter_init(values, &it)) return wrong_shape("values must be an array");
    yyjson_val *names = yyjson_obj_get(object, "stream");
    if (names && !yyjson_is_obj(names)) return wrong_shape("stream must be an object");
    lm_err err = stream_of_json(p, object, alc, &stream);
    if (lm_wire_is_own_fault(err)) {
        lm_wire_reject(&p->report, yyjson_arr_size(values));
        return LM_OK;
    }
    while (!err && (value = yyjson_arr_iter_next(&it))) {
        err = is_old ? read_old_entry(p, value, alc, stream) : read_value(p, value, alc, stream);
    }
    return err;
}

lm_err lm_wire_loki_json(lm_str body, const lm_wire_options *options, lm_record_batch *batch,
                         lm_wire_report *report)
{
    push p = {.options = options, .batch = batch, .body = body};
    lm_wire_mark mark = lm_wire_begin(batch);
    yyjson_alc alc = lm_wire_alc(options->mem);
    yyjson_doc *doc = NULL;
    yyjson_obj_iter it;
    yyjson_val *key, *stream;
    p.times.now_ns = options->now_ns;
    lm_err err = lm_wire_json_read(body, &batch->arena, &alc, &doc);
    if (!err && !yyjson_obj_iter_init(yyjson_doc_get_root(doc), &it)) {
        err = wrong_shape("an object expected");
    }
    while (!err && (key = yyjson_obj_iter_next(&it))) {
        yyjson_val *streams = yyjson_obj_iter_get_val(key);
        yyjson_arr_iter each;
        if (!lm_wire_key_is(key, LM_STR("streams")) || yyjson_is_null(streams)) continue;
        if (!yyjson_arr_iter_init(streams, &each)) err = wrong_shape("streams must be an array");
        while (!err && (stream = yyjson_arr_iter_next(&each)))
            err = read_json_stream(&p, stream, &alc);
    }
    yyjson_doc_free(doc);
    return lm_wire_end(mark, finish(&p, mark, err), batch, &p.report, report);
}
