/** JSON: keys become labels, flattened with '_'; single values by path; packed entries. The text is
 * read by yyjson into the memory of the record; what it does not take, by logql_json_torn.c. */
#include "logql/logql_priv.h"

#include <yyjson.h>

#define FLAGS                                                                                      \
    (YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_STOP_WHEN_DONE | YYJSON_READ_ALLOW_INVALID_UNICODE)

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

/* ---- the same where the text breaks off ---- */

typedef struct torn_walk {
    lm_lq_run *run;
    lm_str prefix;
    unsigned depth;
    bool done;
} torn_walk;

static lm_err flatten_torn(void *ctx, lm_str key, lm_lq_torn_value value, bool *io_goes_on,
                           lm_str *io_why)
{
    torn_walk *walk = ctx;
    lm_lq_run *run = walk->run;
    lm_str name, text = value.text;
    bool is_right = true;
    if (value.kind == LM_LQ_TORN_NULL || value.kind == LM_LQ_TORN_ARRAY) return LM_OK;
    lm_err err = join_name(run, walk->prefix, key, &name);
    if (err) return err;
    if (value.kind == LM_LQ_TORN_OBJECT) {
        if (walk->depth >= LM_JSON_DEPTH_MAX || !lm_lq_hints_wants_prefix(run, name)) return LM_OK;
        torn_walk inner = {.run = run, .prefix = name, .depth = walk->depth + 1};
        err = lm_lq_torn_each(value.text, &run->scratch, flatten_torn, &inner, io_why);
        walk->done = inner.done;
    } else if (name.len) {
        if (value.kind == LM_LQ_TORN_STRING)
            err = lm_lq_torn_unescape(text, &run->scratch, &text, &is_right);
        if (!err) err = clean_value(run, text, &text);
        if (!err) err = lm_lq_extracted(run, name, text);
        walk->done = run->hints.required && lm_lq_hints_done(run);
    }
    *io_goes_on = !walk->done;
    return err;
}

lm_err lm_lq_json_run(lm_lq_run *run, lm_str line)
{
    if (lm_lq_hints_done(run)) return LM_OK;
    yyjson_doc *doc = NULL;
    bool done = false;
    lm_err err = read_json(run, line, &doc);
    if (err) return err;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_is_obj(root)) return flatten(run, root, LM_STR(""), 1, &done);
    torn_walk walk = {.run = run, .depth = 1};
    lm_str why;
    err = lm_lq_torn_each(line, &run->scratch, flatten_torn, &walk, &why);
    return err || !why.len || walk.done ? err : lm_lq_set_error(run, "JSONParserErr", why);
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

static lm_err set_extract(lm_lq_run *run, lm_str name, lm_str text)
{
    if (lm_lq_builder_collides(&run->labels, name)) {
        uint8_t *longer = lm_arena_alloc(&run->scratch, name.len + 10, 1);
        if (!longer) return lm_mem_err();
        memcpy(longer, name.ptr, name.len);
        memcpy(longer + name.len, "_extracted", 10);
        name = (lm_str){longer, name.len + 10};
    }
    return lm_lq_builder_set(&run->labels, name, text);
}

static lm_err set_missing(lm_lq_run *run, const lm_lq_stage *stage)
{
    lm_err err = LM_OK;
    lm_str text;
    for (uint32_t i = 0; i < stage->extract_count && !err; i++) {
        if (!lm_lq_builder_get(&run->labels, stage->extracts[i].name, &text))
            err = lm_lq_builder_set(&run->labels, stage->extracts[i].name, LM_STR(""));
    }
    return err;
}

/** From the text as it is written: lists and objects are wanted so, or it breaks off. */
static lm_err extract_torn(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    lm_lq_torn_found *found =
        lm_arena_alloc(&run->scratch, stage->extract_count * sizeof *found, 16);
    if (!found) return lm_mem_err();
    lm_err err = lm_lq_torn_search(line, stage, &run->scratch, found);
    const lm_lq_torn_found *broken = NULL; /* the last of them is told */
    for (uint32_t i = 0; i < stage->extract_count && !err; i++) {
        lm_str text = found[i].value.text;
        bool is_right = true;
        if (!found[i].is_there) continue;
        if (found[i].why.len) {
            if (!broken || broken->rank < found[i].rank) broken = &found[i];
            continue;
        }
        if (found[i].value.kind == LM_LQ_TORN_NULL) text = LM_STR("");
        if (found[i].value.kind != LM_LQ_TORN_OBJECT)
            err = lm_lq_torn_unescape(text, &run->scratch, &text, &is_right);
        if (!err) err = clean_value(run, text, &text);
        if (!err) err = set_extract(run, stage->extracts[i].name, text);
    }
    if (!err && broken) err = lm_lq_set_error(run, "JSONParserErr", broken->why);
    return err;
}

lm_err lm_lq_json_expr_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line)
{
    if (line.len == 0 || lm_lq_hints_done(run)) return LM_OK;
    if (line.ptr[0] != '"' && line.ptr[0] != '{' && line.ptr[0] != '[')
        return lm_lq_set_error(run, "JSONParserErr", LM_STR(""));
    yyjson_doc *doc = NULL;
    lm_err err = read_json(run, line, &doc);
    if (err) return err;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool is_plain = root != NULL; /* no list or object among what is wanted */
    yyjson_val **values =
        lm_arena_alloc(&run->scratch, stage->extract_count * sizeof(yyjson_val *), 16);
    if (!values) return lm_mem_err();
    for (uint32_t i = 0; i < stage->extract_count && is_plain; i++) {
        values[i] = walk(root, &stage->extracts[i]);
        is_plain = !yyjson_is_ctn(values[i]);
    }
    for (uint32_t i = 0; i < stage->extract_count && is_plain && !err; i++) {
        lm_str text = LM_STR("");
        if (!values[i]) continue;
        if (scalar_of(values[i], &text)) err = clean_value(run, text, &text);
        if (!err) err = set_extract(run, stage->extracts[i].name, text);
    }
    if (!is_plain && !err) err = extract_torn(run, stage, line);
    return err ? err : set_missing(run, stage);
}

/* ---- packed entries ---- */

/** Members of a packed entry: texts only; what is no _entry becomes a label. */
typedef struct packed {
    lm_lq_run *run;
    lm_label *labels;
    size_t count, cap;
    lm_str entry;
    bool has_entry;
} packed;

static lm_err unpack_one(void *ctx, lm_str key, lm_lq_torn_value value, bool *io_goes_on,
                         lm_str *io_why)
{
    packed *work = ctx;
    lm_arena *scratch = &work->run->scratch;
    lm_str text;
    bool is_right;
    (void)io_goes_on; /* all of them are wanted */
    if (value.kind != LM_LQ_TORN_STRING) return LM_OK;
    lm_err err = lm_lq_torn_unescape(value.text, scratch, &text, &is_right);
    if (!err && lm_str_equal(key, LM_STR("_entry"))) {
        if (!is_right) *io_why = LM_STR("Encountered an invalid escape sequence in a string");
        work->entry = text;
        work->has_entry = true;
        return LM_OK;
    }
    if (!err && work->count == work->cap) {
        size_t cap = work->cap ? 2 * work->cap : 16;
        lm_label *labels = lm_arena_alloc(scratch, cap * sizeof *labels, 16);
        if (!labels) return lm_mem_err();
        if (work->count) memcpy(labels, work->labels, work->count * sizeof *labels);
        work->labels = labels;
        work->cap = cap;
    }
    if (!err) work->labels[work->count++] = (lm_label){key, text};
    return err;
}

lm_err lm_lq_unpack_run(lm_lq_run *run, lm_str *io_line)
{
    if (io_line->len == 0 || lm_lq_hints_done(run)) return LM_OK;
    if (io_line->ptr[0] != '{') {
        return lm_lq_set_error(run, "JSONParserErr",
                               LM_STR("expecting json object(6), but it is not"));
    }
    packed work = {.run = run};
    lm_str why;
    lm_err err = lm_lq_torn_each(*io_line, &run->scratch, unpack_one, &work, &why);
    if (!err && why.len) return lm_lq_set_error(run, "JSONParserErr", why);
    if (err || !work.has_entry) return err;
    *io_line = work.entry;
    for (size_t i = 0; i < work.count && !err; i++) {
        lm_str name, text;
        err = lm_lq_key_clean(work.labels[i].name, &run->scratch, &name);
        if (!err) err = clean_value(run, work.labels[i].value, &text);
        if (!err && name.len) err = lm_lq_extracted(run, name, text);
    }
    return err;
}
