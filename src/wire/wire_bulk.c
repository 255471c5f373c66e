/**
 * Elasticsearch's _bulk: pairs of lines, an action and its document; and documents sent one by one.
 *
 * Clients send the same action line before nearly every document: equal bytes mean an equal action,
 * so that only the first is read (an action with an `_id` is always). What is written into the
 * response for it is kept too.
 *
 * A malformed action line fails the request, as in Elasticsearch; what is wrong with one document
 * is said in its item.
 */
#include "wire/wire_priv.h"

enum { ID_BYTES = 15, ID_LEN = 20 };

typedef enum verb { VERB_CREATE, VERB_INDEX, VERB_UPDATE, VERB_DELETE } verb;

static const char *const verb_names[] = {"create", "index", "update", "delete"};

typedef struct action {
    verb verb;
    lm_str line; /* as sent */
    lm_str index;
    lm_str id; /* as sent; ptr NULL: none */
    uint32_t stream;
    lm_buf head; /* {"create":{"_index":"logs","_id": */
} action;

typedef struct bulk {
    const lm_wire_options *options;
    lm_record_batch *batch;
    lm_wire_report report;
    lm_wire_block block;
    lm_wire_times times;
    lm_arena scratch; /* of one line */
    lm_arena kept;    /* of the action that is kept */
    lm_str index;     /* from the path */
    action action;
    lm_buf *response;
    bool is_single; /* a document of its own: what is wrong with it is the request's failure */
    size_t line_number, item_count;
    uint64_t id_seed[2];
} bulk;

/** What Elasticsearch's parser calls it. */
static const char *token_of(yyjson_val *value)
{
    return yyjson_is_obj(value)     ? "START_OBJECT"
           : yyjson_is_arr(value)   ? "START_ARRAY"
           : yyjson_is_str(value)   ? "VALUE_STRING"
           : yyjson_is_true(value)  ? "VALUE_TRUE"
           : yyjson_is_false(value) ? "VALUE_FALSE"
           : yyjson_is_null(value)  ? "VALUE_NULL"
                                    : "VALUE_NUMBER";
}

static lm_err malformed(const bulk *b, const char *expected, const char *found)
{
    return lm_fail(LM_E_USAGE, "Malformed action/metadata line [%zu], expected %s but found [%s]",
                   b->line_number, expected, found);
}

/* ---- the response ---- */

static lm_err put(bulk *b, const char *text)
{
    return lm_buf_append(b->response, text, strlen(text));
}

/** Unique by what was sent, when, and which record it is; 20 characters that a URL may hold. */
static void make_id(const bulk *b, uint8_t out[ID_LEN])
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t item = lm_hash_u64(b->id_seed[1] + b->item_count);
    uint8_t raw[16];
    memcpy(raw, &b->id_seed[0], 8);
    memcpy(raw + 8, &item, 8);
    uint32_t count = (uint32_t)b->item_count; /* never twice in one request */
    memcpy(raw + ID_BYTES - sizeof count, &count, sizeof count);
    for (size_t i = 0, k = 0; i < ID_BYTES; i += 3) {
        uint32_t bits = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            out[k++] = (uint8_t)signs[bits >> shift & 63];
    }
}

static lm_err put_head(bulk *b, bool need_id)
{
    uint8_t id[ID_LEN];
    lm_err err = b->item_count ? lm_buf_u8(b->response, ',') : LM_OK;
    if (!err) err = lm_buf_append(b->response, b->action.head.ptr, b->action.head.len);
    if (err) return err;
    if (b->action.id.ptr) return lm_wire_json_quote(b->action.id, b->response);
    if (!need_id) return put(b, "null");
    make_id(b, id);
    err = lm_buf_u8(b->response, '"');
    if (!err) err = lm_buf_append(b->response, id, sizeof id);
    return err ? err : lm_buf_u8(b->response, '"');
}

static lm_err put_created(bulk *b)
{
    lm_err err = put_head(b, true);
    if (!err) {
        err = put(b, ",\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":1,"
                     "\"successful\":1,\"failed\":0}");
    }
    if (!err)
        err = put(b, b->is_single ? ",\"_seq_no\":0,\"_primary_term\":1}" : ",\"status\":201}}");
    b->item_count++;
    return err;
}

/** The reason is this thread's last failure. */
static lm_err put_refused(bulk *b, const char *type)
{
    lm_str reason = lm_str_of(lm_err_text());
    lm_wire_reject(&b->report, 1);
    lm_err err = put_head(b, false);
    if (!err) err = put(b, ",\"status\":400,\"error\":{\"type\":\"");
    if (!err) err = put(b, type);
    if (!err) err = put(b, "\",\"reason\":");
    if (!err) err = lm_wire_json_quote(reason, b->response);
    if (!err) err = put(b, "}}}");
    b->item_count++;
    return err;
}

/* ---- actions ---- */

/** The first field is the action; winston-elasticsearch sends `"attempts":0` behind it. */
static lm_err read_verb(const bulk *b, yyjson_val *root, verb *out, yyjson_val **out_fields)
{
    if (!yyjson_is_obj(root)) return malformed(b, "START_OBJECT", token_of(root));
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key = yyjson_obj_iter_next(&it);
    if (!key) return malformed(b, "FIELD_NAME", "END_OBJECT");
    size_t i = 0;
    while (i <= VERB_DELETE && !lm_wire_key_is(key, lm_str_of(verb_names[i])))
        i++;
    if (i > VERB_DELETE) {
        lm_str name = lm_wire_json_text(key);
        return lm_fail(LM_E_USAGE,
                       "Malformed action/metadata line [%zu], expected field [create], [delete], "
                       "[index] or [update] but found [%.*s]",
                       b->line_number, (int)(name.len < 80 ? name.len : 80),
                       (const char *)name.ptr);
    }
    yyjson_val *fields = yyjson_obj_iter_get_val(key);
    if (!yyjson_is_obj(fields)) return malformed(b, "START_OBJECT", token_of(fields));
    *out = (verb)i;
    *out_fields = fields;
    return LM_OK;
}

static lm_err text_of(const bulk *b, yyjson_val *fields, const char *name, lm_str *out)
{
    yyjson_val *value = yyjson_obj_get(fields, name);
    if (!value || yyjson_is_null(value)) return LM_OK;
    *out = lm_wire_json_text(value);
    if (out->ptr) return LM_OK;
    return lm_fail(LM_E_USAGE,
                   "Malformed action/metadata line [%zu], expected a simple value for field [%s] "
                   "but found [%s]",
                   b->line_number, name, token_of(value));
}

/** Where the document lies, up to its id: {"_index":"logs","_id": */
static lm_err print_place(action *a)
{
    lm_err err = lm_buf_append(&a->head, "{\"_index\":", 10);
    if (!err) err = lm_wire_json_quote(a->index, &a->head);
    return err ? err : lm_buf_append(&a->head, ",\"_id\":", 7);
}

/** Read the line into b->action; its texts live in b->kept. */
static lm_err read_action(bulk *b, lm_str line)
{
    action *a = &b->action;
    yyjson_doc *doc = NULL;
    yyjson_val *fields = NULL;
    lm_arena_reset(&b->kept);
    a->line = (lm_str){NULL, 0};
    a->id = (lm_str){NULL, 0};
    a->index = b->index;
    lm_err err = lm_wire_json_read(line, &b->kept, lm_wire_block_for(&b->block, line.len), &doc);
    if (err == LM_E_USAGE) {
        char why[200];
        snprintf(why, sizeof why, "%s", lm_err_text());
        err = malformed(b, "START_OBJECT", why);
    }
    if (!err) err = read_verb(b, yyjson_doc_get_root(doc), &a->verb, &fields);
    if (!err) err = text_of(b, fields, "_index", &a->index);
    if (!err) err = text_of(b, fields, "_id", &a->id);
    yyjson_doc_free(doc);
    if (err) return err;
    a->head.len = 0;
    err = lm_buf_append(&a->head, "{\"", 2);
    if (!err) err = lm_buf_append(&a->head, verb_names[a->verb], strlen(verb_names[a->verb]));
    if (!err) err = lm_buf_append(&a->head, "\":", 2);
    return err ? err : print_place(a);
}

/** The stream of the action's index. LM_E_USAGE: there is none. */
static lm_err find_stream(bulk *b, uint32_t *out)
{
    lm_label label = {LM_STR("index"), b->action.index};
    lm_labels labels;
    if (label.value.len == 0) return lm_fail(LM_E_USAGE, "index is missing");
    for (size_t i = b->batch->stream_count; i-- > 0 && i + 8 > b->batch->stream_count;) {
        lm_labels had = b->batch->streams[i].labels;
        if (had.count == 1 && lm_str_equal(had.items[0].name, label.name) &&
            lm_str_equal(had.items[0].value, label.value)) {
            *out = (uint32_t)i;
            return LM_OK;
        }
    }
    label.value.ptr = lm_arena_copy(&b->batch->arena, label.value.ptr, label.value.len);
    if (!label.value.ptr) return lm_mem_err();
    lm_err err = lm_labels_make(&label, 1, &b->batch->arena, &labels);
    return err ? err : lm_record_batch_stream(b->batch, labels, out);
}

/** b->action becomes that of the line; LM_E_USAGE or LM_E_LIMIT in *out_refusal is the item's. */
static lm_err take_action(bulk *b, lm_str line, lm_err *out_refusal)
{
    action *a = &b->action;
    *out_refusal = LM_OK;
    if (a->line.ptr && lm_str_equal(a->line, line)) return LM_OK;
    lm_err err = read_action(b, line);
    if (err) return err;
    if (a->verb == VERB_UPDATE || a->verb == VERB_DELETE) {
        *out_refusal =
            lm_fail(LM_E_USAGE, "[%s] is not supported: records are kept as they were sent",
                    verb_names[a->verb]);
        return LM_OK;
    }
    err = find_stream(b, &a->stream);
    if (lm_wire_is_own_fault(err)) {
        *out_refusal = err;
        return LM_OK;
    }
    if (!err && !a->id.ptr) a->line = line;
    return err;
}

/* ---- documents ---- */

static lm_err add_document(bulk *b, lm_str line)
{
    static const char *const names[] = {"@timestamp", "timestamp", "time"};
    yyjson_doc *doc = NULL;
    int64_t time_ns = b->options->now_ns;
    lm_arena_reset(&b->scratch);
    lm_err err = lm_wire_json_read(line, &b->scratch, lm_wire_block_for(&b->block, line.len), &doc);
    yyjson_val *root = err ? NULL : yyjson_doc_get_root(doc);
    if (!err && !yyjson_is_obj(root)) {
        err = lm_fail(LM_E_USAGE, "failed to parse: expected START_OBJECT but found [%s]",
                      token_of(root));
    }
    for (size_t i = 0; !err && i < sizeof names / sizeof names[0]; i++) {
        yyjson_val *value = yyjson_obj_get(root, names[i]);
        if (value && lm_wire_time_json(&b->times, value, &time_ns)) break;
    }
    yyjson_doc_free(doc);
    if (!err) {
        err = lm_record_batch_add(b->batch, b->action.stream, time_ns, line, (lm_labels){NULL, 0});
    }
    if (!err) return put_created(b);
    return lm_wire_is_own_fault(err) && !b->is_single ? put_refused(b, "document_parsing_exception")
                                                      : err;
}

static lm_err read_items(bulk *b, lm_str rest)
{
    lm_str line;
    while (lm_wire_line_next(&rest, &b->line_number, &line)) {
        lm_err refusal = LM_OK, err = take_action(b, line, &refusal);
        if (err) return err;
        if (b->action.verb == VERB_DELETE) {
            err = put_refused(b, "illegal_argument_exception");
            if (err) return err;
            continue;
        }
        size_t action_line = b->line_number;
        if (refusal) { /* said before the next line is looked at: lm_fail keeps one text */
            err = put_refused(b, "illegal_argument_exception");
            if (err) return err;
        }
        if (!lm_wire_line_next(&rest, &b->line_number, &line)) {
            return lm_fail(LM_E_USAGE, "Malformed bulk request: line [%zu] has no document",
                           action_line);
        }
        if (!refusal) err = add_document(b, line);
        if (err) return err;
    }
    if (b->item_count == 0) {
        return lm_fail(LM_E_USAGE, "Validation Failed: 1: no requests added;");
    }
    return LM_OK;
}

static lm_err bulk_init(bulk *b, lm_str body)
{
    b->times.now_ns = b->options->now_ns;
    b->id_seed[0] = lm_hash64_seed(body.ptr, body.len, (uint64_t)b->options->now_ns);
    b->id_seed[1] = lm_hash_u64((uint64_t)b->options->now_ns);
    lm_arena_init(&b->scratch, b->options->mem);
    lm_arena_init(&b->kept, b->options->mem);
    lm_buf_init(&b->action.head, b->options->mem);
    return lm_wire_block_init(&b->block, b->options->mem);
}

static void bulk_fini(bulk *b)
{
    lm_buf_fini(&b->action.head);
    lm_arena_fini(&b->scratch);
    lm_arena_fini(&b->kept);
    lm_wire_block_fini(&b->block);
}

lm_err lm_wire_bulk(lm_str body, lm_str index, const lm_wire_options *options,
                    lm_record_batch *batch, lm_wire_report *report, lm_buf *response)
{
    static const char begin[] = "{\"took\":0,\"errors\":false,\"items\":[";
    bulk b = {.options = options, .batch = batch, .index = index, .response = response};
    lm_wire_mark mark = lm_wire_begin(batch);
    size_t response_len = response->len;
    lm_err err = bulk_init(&b, body);
    if (!err) err = put(&b, begin);
    if (!err) err = read_items(&b, body);
    if (!err) err = put(&b, "]}");
    if (err) {
        response->len = response_len;
    } else if (b.report.rejected) {
        uint8_t *flag = response->ptr + response_len + (strstr(begin, "false") - begin);
        memcpy(flag, "true ", 5); /* a blank before the comma is JSON */
    }
    bulk_fini(&b);
    return lm_wire_end(mark, err, batch, &b.report, report);
}

lm_err lm_wire_document(lm_str body, lm_str index, lm_str id, const lm_wire_options *options,
                        lm_record_batch *batch, lm_wire_report *report, lm_buf *response)
{
    bulk b = {.options = options, .batch = batch, .response = response, .is_single = true};
    lm_wire_mark mark = lm_wire_begin(batch);
    size_t response_len = response->len;
    b.action.index = index;
    b.action.id = id;
    lm_err err = bulk_init(&b, body);
    if (!err) err = print_place(&b.action);
    if (!err) err = find_stream(&b, &b.action.stream);
    if (!err) err = add_document(&b, body);
    if (err) response->len = response_len;
    bulk_fini(&b);
    return lm_wire_end(mark, err, batch, &b.report, report);
}
