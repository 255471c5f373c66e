/** JSON: keys become labels, flattened with '_'; single values by path; packed entries. The text is
 * read by yyjson into the memory of the record. */
#include "logql/logql_priv.h"

#include <yyjson.h>

#define FLAGS                                                                                      \
    (YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_STOP_WHEN_DONE | YYJSON_READ_ALLOW_INVALID_UNICODE)
#define BROKEN LM_STR("Value looks like object, but can't find closing '}' symbol")

/** *out NULL: it is not JSON. */
static lm_err read_json(lm_lq_run *run, lm_str text, yyjson_doc **out)
{
    *out = NULL;
    if (text.len == 0) return LM_OK;
    size_t room = yyjson_read_max_memory_usage(text.len, FLAGS) + 64;
    void *memory = lm_arena_alloc(&run->scratch, room, 16);
    yyjson_alc alc;
    if (!memory) return lm_mem_err();
    if (!yyjson_alc_pool_init(&alc, memory, room)) return LM_OK;
    /* Without INSITU the text is only read. */
    *out = yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len, FLAGS, &alc, NULL);
    return LM_OK;
}

/** Bytes that are no character become blanks, as Loki has it. */
static lm_err clean_value(lm_lq_run *run, lm_str value, lm_str *out)
{
    size_t at = 0;
    uint32_t c = 0;
    while (value.len - at >= 8 && !(lm_le64(value.ptr + at) & UINT64_C(0x8080808080808080)))
        at += 8; /* plain characters */
    while (at < value.len && c != 0xFFFD)
        at += value.ptr[at] < 0x80 ? 1 : lm_lq_utf8(value.ptr + at, value.len - at, &c);
    *out = value;
    if (c != 0xFFFD) return LM_OK;
    uint8_t *text = lm_arena_alloc(&run->scratch, value.len, 1);
    if (!text) return lm_mem_err();
    size_t len = 0;
    for (at = 0; at < value.len;) {
        size_t bytes = lm_lq_utf8(value.ptr + at, value.len - at, &c);
        if (c == 0xFFFD) {
            text[len++] = ' ';
        } else {
            memcpy(text + len, value.ptr + at, bytes);
            len += bytes;
        }
        at += bytes;
    }
    *out = (lm_str){text, len};
    return LM_OK;
}

static lm_str str_of(yyjson_val *value)
{
    return (lm_str){(const uint8_t *)yyjson_get_str(value), yyjson_get_len(value)};
}

/** Text, number or truth as text; false: null, object, array. */
static bool scalar_of(yyjson_val *value, lm_str *out)
{
    if (yyjson_is_str(value)) {
        *out = str_of(value);
    } else if (yyjson_is_raw(value)) {
        *out = (lm_str){(const uint8_t *)yyjson_get_raw(value), yyjson_get_len(value)};
    } else if (yyjson_is_bool(value)) {
        *out = yyjson_get_bool(value) ? LM_STR("true") : LM_STR("false");
    } else {
        return false;
    }
    return true;
}

/** prefix_key; the key alone where there is no prefix. */
static lm_err join_name(lm_lq_run *run, lm_str prefix, lm_str key, lm_str *out)
{
    lm_str clean;
    lm_err err = lm_lq_key_clean(key, &run->scratch, &clean);
    if (err) return err;
    if (!prefix.len || !clean.len) {
        *out = prefix.len ? prefix : clean;
        return LM_OK;
    }
    if (key.len && clean.ptr[0] == '_' && clean.len > 1) { /* a leading digit needs no '_' here */
        size_t at = 0;
        while (at < key.len && (key.ptr[at] == ' ' || (key.ptr[at] >= 9 && key.ptr[at] <= 13)))
            at++;
        if (key.ptr[at] >= '0' && key.ptr[at] <= '9') {
            clean.ptr++;
            clean.len--;
        }
    }
    uint8_t *text = lm_arena_alloc(&run->scratch, prefix.len + 1 + clean.len, 1);
    if (!text) return lm_mem_err();
    memcpy(text, prefix.ptr, prefix.len);
    text[prefix.len] = '_';
    memcpy(text + prefix.len + 1, clean.ptr, clean.len);
    *out = (lm_str){text, prefix.len + 1 + clean.len};
    return LM_OK;
}

static lm_err flatten(lm_lq_run *run, yyjson_val *object, lm_str prefix, unsigned depth,
                      bool *io_done)
{
    yyjson_obj_iter iter;
    yyjson_val *key;
    if (depth > LM_JSON_DEPTH_MAX || !yyjson_obj_iter_init(object, &iter)) return LM_OK;
    while (!*io_done && (key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        lm_str name, text;
        bool is_object = yyjson_is_obj(value);
        if (!is_object && !scalar_of(value, &text)) continue;
        lm_err err = join_name(run, prefix, str_of(key), &name);
        if (err) return err;
        if (is_object) {
            if (!lm_lq_hints_wants_prefix(run, name)) continue;
            err = flatten(run, value, name, depth + 1, io_done);
        } else if (name.len) {
            err = clean_value(run, text, &text);
            if (!err) err = lm_lq_extracted(run, name, text);
            if (run->hints.required && lm_lq_hints_done(run)) *io_done = true;
        }
        if (err) return err;
    }
    return LM_OK;
}

lm_err lm_lq_json_run(lm_lq_run *run, lm_str line)
{
    if (lm_lq_hints_done(run)) return LM_OK;
    yyjson_doc *doc = NULL;
    bool done = false;
    lm_err err = read_json(run, line, &doc);
    if (err) return err;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) return lm_lq_set_error(run, "JSONParserErr", BROKEN);
    return flatten(run, root, LM_STR(""), 1, &done);
}

/* ---- values by path ---- */

static yyjson_val *walk(yyjson_val *value, const lm_lq_extract *extract)
{
    for (uint32_t i = 0; i < extract->path_len && value; i++) {
        const lm_lq_piece *step = &extract->path[i];
        if (step->is_capture) {
            int64_t index = 0;
            value = yyjson_is_arr(value) && lm_lq_int(step->text, &index)
                        ? yyjson_arr_get(value, (size_t)index)
                        : NULL;
        } else {
            value = yyjson_obj_getn(value, (const char *)step->text.ptr, step->text.len);
        }
    }
    return value;
}

static lm_err text_of(lm_lq_run *run, yyjson_val *value, lm_str *out)
{
    if (yyjson_is_null(value)) {
        *out = LM_STR("");
        return LM_OK;
    }
    if (scalar_of(value, out)) return clean_value(run, *out, out);
    yyjson_alc alc;
    size_t room = 1024, len = 0;
    for (;; room *= 4) { /* the text of an object or a list, without blanks */
        void *memory = lm_arena_alloc(&run->scratch, room, 16);
        if (!memory) return lm_mem_err();
        char *text =
            yyjson_alc_pool_init(&alc, memory, room)
                ? yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &alc, &len, NULL)
                : NULL;
        if (text) {
            *out = (lm_str){(const uint8_t *)text, len};
            return LM_OK;
        }
        if (room > SIZE_MAX / 16) return lm_fail(LM_E_LIMIT, "a JSON value is too long");
    }
}

lm_err lm_lq_json_expr_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    if (line.len == 0 || lm_lq_hints_done(run)) return LM_OK;
    if (line.ptr[0] != '"' && line.ptr[0] != '{' && line.ptr[0] != '[')
        return lm_lq_set_error(run, "JSONParserErr", LM_STR(""));
    yyjson_doc *doc = NULL;
    lm_err err = read_json(run, line, &doc);
    if (err) return err;
    if (!doc) err = lm_lq_set_error(run, "JSONParserErr", BROKEN);
    yyjson_val *root = yyjson_doc_get_root(doc);
    for (uint32_t i = 0; i < stage->extract_count && !err; i++) {
        const lm_lq_extract *extract = &stage->extracts[i];
        lm_str name = extract->name, text;
        yyjson_val *value = walk(root, extract);
        if (!value) {
            if (!lm_lq_builder_get(&run->labels, name, &text))
                err = lm_lq_builder_set(&run->labels, name, LM_STR(""));
            continue;
        }
        err = text_of(run, value, &text);
        if (!err && lm_lq_builder_collides(&run->labels, name)) {
            uint8_t *longer = lm_arena_alloc(&run->scratch, name.len + 10, 1);
            if (!longer) return lm_mem_err();
            memcpy(longer, name.ptr, name.len);
            memcpy(longer + name.len, "_extracted", 10);
            name = (lm_str){longer, name.len + 10};
        }
        if (!err) err = lm_lq_builder_set(&run->labels, name, text);
    }
    return err;
}

/* ---- packed entries ---- */

lm_err lm_lq_unpack_run(lm_lq_run *run, lm_str *io_line)
{
    if (io_line->len == 0 || lm_lq_hints_done(run)) return LM_OK;
    if (io_line->ptr[0] != '{') {
        return lm_lq_set_error(run, "JSONParserErr",
                               LM_STR("expecting json object(6), but it is not"));
    }
    yyjson_doc *doc = NULL;
    lm_err err = read_json(run, *io_line, &doc);
    if (err) return err;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) return lm_lq_set_error(run, "JSONParserErr", BROKEN);
    yyjson_val *entry = NULL, *key;
    yyjson_obj_iter iter = yyjson_obj_iter_with(root);
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        if (yyjson_is_str(value) && lm_str_equal(str_of(key), LM_STR("_entry"))) entry = value;
    }
    if (!entry) return LM_OK;
    *io_line = str_of(entry);
    iter = yyjson_obj_iter_with(root);
    while (!err && (key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        lm_str name, text;
        if (!yyjson_is_str(value) || lm_str_equal(str_of(key), LM_STR("_entry"))) continue;
        err = lm_lq_key_clean(str_of(key), &run->scratch, &name);
        if (!err) err = clean_value(run, str_of(value), &text);
        if (!err && name.len) err = lm_lq_extracted(run, name, text);
    }
    return err;
}
