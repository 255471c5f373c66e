/**
 * Newline-delimited JSON: one object a line, taken apart or kept as it is; no line is refused.
 *
 * A line that names its message becomes that message, and its other keys structured metadata
 * (objects are flattened: `a.b` is a_b). A line that does not, that is no object, or whose keys are
 * more or longer than metadata may be, is kept whole: nothing a client sent is lost either way.
 */
#include "wire/wire_priv.h"

static const char *const usual_messages[] = {"_msg", "message", "msg",  "log",
                                             "line", "body",    "event"};
static const char *const usual_times[] = {"_time", "timestamp", "@timestamp", "time", "ts", "date"};

enum {
    MESSAGES = sizeof usual_messages / sizeof usual_messages[0],
    TIMES = sizeof usual_times / sizeof usual_times[0],
    STREAM_KEYS_MAX = 32
};

typedef struct ndjson {
    const lm_wire_fields *fields;
    const lm_wire_options *options;
    lm_record_batch *batch;
    const lm_wire_payload *payload; /* the one at hand; NULL: lines of a request */
    const uint8_t *end;             /* of the request, behind its last line; NULL: of no request */
    int64_t now_ns;
    lm_wire_report report;
    lm_wire_block block;
    yyjson_val flat[LM_WIRE_FLAT_VALUES];
    lm_wire_times times;
    lm_wire_seen seen;
    lm_buf key;                          /* of key_of */
    lm_wire_order order, beside;         /* of metadata: with the object's keys, without */
    lm_label labels[LM_LABEL_COUNT_MAX]; /* of a record's stream */
    lm_label metadata[LM_LABEL_COUNT_MAX];
    size_t metadata_count;
    bool is_too_much; /* the object has more than metadata can hold */
} ndjson;

/** What an object says of itself. */
typedef struct found {
    yyjson_val *message, *time;
    int64_t time_ns;
    yyjson_val *streams[STREAM_KEYS_MAX]; /* as many as the fields name; NULL: absent */
} found;

/** `a.b`: the key itself, or b of a. */
static yyjson_val *lookup(yyjson_val *object, lm_str path)
{
    while (yyjson_is_obj(object)) {
        yyjson_val *value = yyjson_obj_getn(object, (const char *)path.ptr, path.len);
        const uint8_t *dot = path.len ? memchr(path.ptr, '.', path.len) : NULL;
        if (value || !dot) return value;
        object = yyjson_obj_getn(object, (const char *)path.ptr, (size_t)(dot - path.ptr));
        path.len -= (size_t)(dot + 1 - path.ptr);
        path.ptr = dot + 1;
    }
    return NULL;
}

static size_t rank_of(lm_str key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i];
        if (key.len && key.ptr[0] == (uint8_t)name[0] && strlen(name) == key.len &&
            memcmp(name, key.ptr, key.len) == 0)
            return i;
    }
    return count;
}

/** The usual names, in one pass over the keys; the first in the list that fits wins. */
static void find_usual(yyjson_val *root, bool want_message, yyjson_val **out_message,
                       yyjson_val *times[TIMES])
{
    size_t best = MESSAGES;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        lm_str name = lm_wire_json_text(key);
        if (name.len < 2 || name.len > 10) continue;
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        size_t rank = rank_of(name, usual_messages, MESSAGES);
        if (want_message && rank < best && yyjson_is_str(value)) {
            best = rank;
            *out_message = value;
        }
        rank = rank_of(name, usual_times, TIMES);
        if (rank < TIMES) times[rank] = value;
    }
}

static void find(ndjson *n, yyjson_val *root, found *f)
{
    const lm_wire_fields *fields = n->fields;
    yyjson_val *times[TIMES] = {0};
    f->message = f->time = NULL;
    f->time_ns = n->now_ns;
    if (!fields->message.len || !fields->time.len) {
        find_usual(root, !fields->message.len, &f->message, times);
    }
    if (fields->message.len) {
        yyjson_val *message = lookup(root, fields->message);
        f->message = lm_wire_json_text(message).ptr ? message : NULL;
    }
    if (fields->time.len) {
        times[0] = lookup(root, fields->time);
        for (size_t i = 1; i < TIMES; i++)
            times[i] = NULL;
    }
    for (size_t i = 0; i < TIMES && !f->time; i++) {
        if (times[i] && lm_wire_time_json(&n->times, times[i], &f->time_ns)) f->time = times[i];
    }
    for (size_t i = 0; i < fields->stream_count; i++) {
        yyjson_val *value = lookup(root, fields->streams[i]);
        bool fits = lm_wire_json_text(value).ptr || yyjson_is_bool(value);
        f->streams[i] = fits ? value : NULL;
    }
}

static lm_str stream_text(yyjson_val *value)
{
    if (yyjson_is_bool(value)) return yyjson_is_true(value) ? LM_STR("true") : LM_STR("false");
    return lm_wire_json_text(value);
}

/** The values of the object's stream keys behind one another, each with its length: its stream's
 * key. Nothing for a line that is no object. Payloads have labels of their own before them. */
static lm_err key_of(ndjson *n, const found *f)
{
    n->key.len = 0;
    if (n->payload) {
        lm_err err = lm_buf_append(&n->key, &n->fields, sizeof n->fields);
        if (err) return err;
    }
    for (size_t i = 0; f && i < n->fields->stream_count; i++) {
        lm_str text = f->streams[i] ? stream_text(f->streams[i]) : LM_STR("");
        lm_err err = lm_buf_varint(&n->key, text.len);
        if (!err) err = lm_buf_append(&n->key, text.ptr, text.len);
        if (err) return err;
    }
    return lm_buf_reserve(&n->key, 0); /* so that there is a pointer to compare with */
}

static lm_err make_stream(ndjson *n, const found *f, uint32_t *out)
{
    const lm_wire_fields *fields = n->fields;
    size_t count = 0;
    lm_labels labels;
    for (; count < fields->labels.count && count < LM_LABEL_COUNT_MAX; count++)
        n->labels[count] = fields->labels.items[count];
    for (size_t i = 0; f && i < fields->stream_count; i++) {
        if (!f->streams[i] || count == LM_LABEL_COUNT_MAX) continue;
        lm_str name = lm_label_name_clean(fields->streams[i], &n->batch->arena);
        if (!name.ptr) return lm_mem_err();
        n->labels[count++] = (lm_label){name, stream_text(f->streams[i])};
    }
    lm_err err = lm_labels_make(n->labels, count, &n->batch->arena, &labels);
    if (!err && labels.count == 0) {
        lm_label none = LM_WIRE_NO_LABEL;
        err = lm_labels_make(&none, 1, &n->batch->arena, &labels);
    }
    return err ? err : lm_record_batch_stream(n->batch, labels, out);
}

/** The request's labels and those of the object; equal values are found again without them. */
static lm_err stream_of(ndjson *n, const found *f, uint32_t *out)
{
    lm_err err = key_of(n, f);
    if (err) return err;
    lm_str key = {n->key.ptr, n->key.len};
    uint64_t hash = lm_hash64(key.ptr, key.len);
    if (lm_wire_seen_find(&n->seen, hash, key, out)) return LM_OK;
    err = make_stream(n, f, out);
    if (err) return err;
    key.ptr = lm_arena_copy(&n->batch->arena, key.ptr, key.len);
    if (!key.ptr) return lm_mem_err();
    lm_wire_seen_put(&n->seen, hash, key, *out);
    return LM_OK;
}

static bool is_taken(const ndjson *n, const found *f, yyjson_val *value)
{
    if (value == f->message || value == f->time) return true;
    for (size_t i = 0; i < n->fields->stream_count; i++) {
        if (value == f->streams[i]) return true;
    }
    return false;
}

/** prefix_key in arena, or the key itself. */
static lm_err name_of(ndjson *n, lm_str prefix, lm_str key, lm_str *out)
{
    lm_str name = key;
    if (prefix.ptr) {
        uint8_t *joined = lm_arena_alloc(&n->batch->arena, prefix.len + 1 + key.len, 1);
        if (!joined) return lm_mem_err();
        memcpy(joined, prefix.ptr, prefix.len);
        joined[prefix.len] = '_';
        if (key.len) memcpy(joined + prefix.len + 1, key.ptr, key.len);
        name = (lm_str){joined, prefix.len + 1 + key.len};
    }
    *out = lm_label_name_clean(name, &n->batch->arena);
    return out->ptr ? LM_OK : lm_mem_err();
}

/** The keys that are left, into n->metadata. */
static lm_err flatten(ndjson *n, const found *f, yyjson_val *object, lm_str prefix, unsigned depth)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it)) && !n->is_too_much) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        lm_label label;
        if (is_taken(n, f, value) || yyjson_is_null(value)) continue;
        lm_err err = name_of(n, prefix, lm_wire_json_text(key), &label.name);
        if (err) return err;
        if (yyjson_is_obj(value) && yyjson_obj_size(value) && depth < LM_JSON_DEPTH_MAX) {
            err = flatten(n, f, value, label.name, depth + 1);
            if (err) return err;
            continue;
        }
        err = lm_wire_json_print(value, &n->block.large, &n->batch->arena, &label.value);
        if (err) return err;
        n->is_too_much = n->metadata_count == LM_LABEL_COUNT_MAX ||
                         label.name.len > LM_LABEL_NAME_BYTES_MAX ||
                         label.value.len > LM_LABEL_VALUE_BYTES_MAX;
        if (!n->is_too_much) n->metadata[n->metadata_count++] = label;
    }
    return LM_OK;
}

/** f is NULL for a line that is no object. */
static lm_err add(ndjson *n, const found *f, lm_str line, lm_labels metadata)
{
    uint32_t stream;
    int64_t time_ns = f ? f->time_ns : n->now_ns;
    lm_err err = stream_of(n, f, &stream);
    if (lm_wire_is_own_fault(err) && f) err = stream_of(n, NULL, &stream); /* too long a value */
    if (!err) err = lm_record_batch_add(n->batch, stream, time_ns, line, metadata);
    if (!lm_wire_is_own_fault(err)) return err;
    lm_wire_reject(&n->report, 1);
    return LM_OK;
}

/** The line with the metadata that came beside it. */
static lm_err add_whole(ndjson *n, const found *f, lm_str line)
{
    lm_labels metadata = {NULL, 0};
    const lm_wire_payload *payload = n->payload;
    lm_err err = payload ? lm_wire_metadata(&n->beside, payload->metadata, payload->metadata_count,
                                            &n->batch->arena, &metadata)
                         : LM_OK;
    return err ? err : add(n, f, line, metadata);
}

static lm_err add_object(ndjson *n, yyjson_val *root, lm_str line)
{
    found f;
    lm_labels metadata = {NULL, 0};
    find(n, root, &f);
    if (!f.message) return add_whole(n, &f, line);
    n->metadata_count = n->payload ? n->payload->metadata_count : 0;
    n->is_too_much = n->metadata_count > LM_LABEL_COUNT_MAX;
    for (size_t i = 0; i < n->metadata_count && !n->is_too_much; i++)
        n->metadata[i] = n->payload->metadata[i];
    lm_err err = flatten(n, &f, root, (lm_str){NULL, 0}, 0);
    if (err || n->is_too_much) return err ? err : add_whole(n, &f, line);
    err = lm_wire_metadata(&n->order, n->metadata, n->metadata_count, &n->batch->arena, &metadata);
    return err ? err : add(n, &f, lm_wire_json_text(f.message), metadata);
}

static lm_err read_line(ndjson *n, lm_str line)
{
    yyjson_doc *doc = NULL;
    size_t at = 0;
    while (at < line.len && (line.ptr[at] == ' ' || (line.ptr[at] >= '\t' && line.ptr[at] <= '\r')))
        at++;
    bool may_be_object = at < line.len && (line.ptr[at] == '{' || line.ptr[at] == 0xEF); /* a BOM */
    if (n->payload && n->payload->is_plain) may_be_object = false;
    bool has_room = n->end && n->end - (line.ptr + line.len) >= LM_WIRE_FLAT_BEHIND;
    if (may_be_object && has_room) {
        bool is_flat;
        lm_err err = lm_wire_flat_read(line, &n->batch->arena, n->flat, &is_flat);
        if (err || is_flat) return err ? err : add_object(n, n->flat, line);
    }
    lm_err err = may_be_object ? lm_wire_json_read(line, &n->batch->arena,
                                                   lm_wire_block_for(&n->block, line.len), &doc)
                               : LM_E_USAGE;
    yyjson_val *root = err ? NULL : yyjson_doc_get_root(doc);
    if (yyjson_is_obj(root)) {
        err = add_object(n, root, line);
    } else if (!err || err == LM_E_USAGE) {
        err = add_whole(n, NULL, line);
    }
    yyjson_doc_free(doc);
    return err;
}

static lm_err check_fields(const lm_wire_fields *fields)
{
    if (fields->stream_count <= STREAM_KEYS_MAX) return LM_OK;
    return lm_fail(LM_E_LIMIT, "%zu keys for streams, at most %d are allowed", fields->stream_count,
                   STREAM_KEYS_MAX);
}

lm_err lm_wire_ndjson(lm_str body, const lm_wire_fields *fields, const lm_wire_options *options,
                      lm_record_batch *batch, lm_wire_report *report)
{
    ndjson n = {.fields = fields, .options = options, .batch = batch, .now_ns = options->now_ns};
    lm_wire_mark mark = lm_wire_begin(batch);
    lm_str line;
    size_t number = 0;
    n.end = body.ptr + body.len;
    n.times.now_ns = options->now_ns;
    lm_err err = check_fields(fields);
    if (!err) err = lm_wire_block_init(&n.block, options->mem);
    if (err) return err;
    lm_buf_init(&n.key, options->mem);
    while (!err && lm_wire_line_next(&body, &number, &line))
        err = read_line(&n, line);
    lm_buf_fini(&n.key);
    lm_wire_block_fini(&n.block);
    return lm_wire_end(mark, err, batch, &n.report, report);
}

lm_err lm_wire_payloads(const lm_wire_payload *payloads, size_t count,
                        const lm_wire_options *options, lm_record_batch *batch,
                        lm_wire_report *report)
{
    ndjson n = {.options = options, .batch = batch};
    lm_wire_mark mark = lm_wire_begin(batch);
    n.times.now_ns = options->now_ns;
    lm_err err = lm_wire_block_init(&n.block, options->mem);
    if (err) return err;
    lm_buf_init(&n.key, options->mem);
    for (size_t i = 0; i < count && !err; i++) {
        n.payload = &payloads[i];
        n.fields = n.payload->fields;
        n.now_ns = n.payload->time_ns;
        err = check_fields(n.fields);
        if (!err) err = read_line(&n, n.payload->text);
    }
    lm_buf_fini(&n.key);
    lm_wire_block_fini(&n.block);
    return lm_wire_end(mark, err, batch, &n.report, report);
}
