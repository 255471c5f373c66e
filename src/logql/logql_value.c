/** Values of templates: their truth, their text, and JSON made into them. */
#include "logql/logql_template_priv.h"

#include <stdlib.h>
#include <yyjson.h>

bool lm_lq_value_truth(const lm_lq_value *v)
{
    switch (v->kind) {
    case LM_LQ_V_NIL:
        return false;
    case LM_LQ_V_TEXT:
        return v->text.len > 0;
    case LM_LQ_V_INT:
    case LM_LQ_V_BOOL:
        return v->number != 0;
    case LM_LQ_V_FLOAT:
        return v->real != 0;
    case LM_LQ_V_LIST:
    case LM_LQ_V_MAP:
        return v->count > 0;
    case LM_LQ_V_TIME:
    case LM_LQ_V_LABELS:
        return true;
    }
    return false;
}

const char *lm_lq_value_type(const lm_lq_value *v)
{
    static const char *const names[] = {"nil",
                                        "string",
                                        "int",
                                        "float64",
                                        "bool",
                                        "time.Time",
                                        "[]interface {}",
                                        "map[string]interface {}",
                                        "map[string]string"};
    return names[v->kind];
}

static lm_err put(lm_buf *out, const char *text)
{
    return lm_buf_append(out, text, strlen(text));
}

static lm_err print_part(const lm_lq_value *v, lm_buf *out);

lm_err lm_lq_value_print(const lm_lq_value *v, lm_buf *out)
{
    lm_err err = LM_OK;
    char text[32];
    switch (v->kind) {
    case LM_LQ_V_NIL:
        return put(out, "<no value>");
    case LM_LQ_V_TEXT:
        return lm_buf_append(out, v->text.ptr, v->text.len);
    case LM_LQ_V_INT:
        snprintf(text, sizeof text, "%lld", (long long)v->number);
        return put(out, text);
    case LM_LQ_V_FLOAT:
        return lm_lq_print_float(v->real, false, out);
    case LM_LQ_V_BOOL:
        return put(out, v->number ? "true" : "false");
    case LM_LQ_V_TIME:
        return lm_lq_time_format(LM_STR("2006-01-02 15:04:05.999999999 -0700 MST"), v->number, out);
    case LM_LQ_V_LIST:
        err = put(out, "[");
        for (size_t i = 0; i < v->count && !err; i++) {
            if (i) err = put(out, " ");
            if (!err) err = print_part(&v->items[i], out);
        }
        return err ? err : put(out, "]");
    case LM_LQ_V_MAP:
        err = put(out, "map[");
        for (size_t i = 0; i < v->count && !err; i++) {
            if (i) err = put(out, " ");
            if (!err) err = lm_lq_value_print(&v->items[2 * i], out);
            if (!err) err = put(out, ":");
            if (!err) err = print_part(&v->items[2 * i + 1], out);
        }
        return err ? err : put(out, "]");
    case LM_LQ_V_LABELS:
        return put(out, "map[]");
    }
    return err;
}

/** As a part of a list or map. */
static lm_err print_part(const lm_lq_value *v, lm_buf *out)
{
    return v->kind == LM_LQ_V_NIL ? put(out, "<nil>") : lm_lq_value_print(v, out);
}

static int compare_pairs(const void *a, const void *b)
{
    return lm_str_compare(((const lm_lq_value *)a)->text, ((const lm_lq_value *)b)->text);
}

static lm_err convert(yyjson_val *from, lm_arena *arena, unsigned depth, lm_lq_value *out)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_NIL};
    if (yyjson_is_str(from)) {
        *out = (lm_lq_value){.kind = LM_LQ_V_TEXT,
                             .text = {(const uint8_t *)yyjson_get_str(from), yyjson_get_len(from)}};
    } else if (yyjson_is_bool(from)) {
        *out = (lm_lq_value){.kind = LM_LQ_V_BOOL, .number = yyjson_get_bool(from)};
    } else if (yyjson_is_num(from)) {
        *out = (lm_lq_value){.kind = LM_LQ_V_FLOAT, .real = yyjson_get_num(from)};
    }
    bool is_map = yyjson_is_obj(from), is_list = yyjson_is_arr(from);
    if ((!is_map && !is_list) || depth > LM_JSON_DEPTH_MAX) return LM_OK;
    size_t count = is_map ? yyjson_obj_size(from) : yyjson_arr_size(from), at = 0;
    lm_lq_value *items = lm_arena_alloc(arena, (2 * count + 1) * sizeof *items, 16);
    if (!items) return lm_mem_err();
    if (is_list) {
        yyjson_arr_iter iter = yyjson_arr_iter_with(from);
        yyjson_val *one;
        while ((one = yyjson_arr_iter_next(&iter)) != NULL) {
            lm_err err = convert(one, arena, depth + 1, &items[at++]);
            if (err) return err;
        }
    } else {
        yyjson_obj_iter iter = yyjson_obj_iter_with(from);
        yyjson_val *key;
        while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
            lm_err err = convert(key, arena, depth + 1, &items[at]);
            if (!err) err = convert(yyjson_obj_iter_get_val(key), arena, depth + 1, &items[at + 1]);
            if (err) return err;
            at += 2;
        }
        qsort(items, count, 2 * sizeof *items, compare_pairs);
    }
    *out =
        (lm_lq_value){.kind = is_map ? LM_LQ_V_MAP : LM_LQ_V_LIST, .items = items, .count = count};
    return LM_OK;
}

lm_err lm_lq_value_from_json(lm_str text, lm_arena *arena, lm_lq_value *out, bool *out_bad)
{
    *out = (lm_lq_value){.kind = LM_LQ_V_NIL};
    *out_bad = true;
    if (!text.len) return LM_OK;
    size_t room = yyjson_read_max_memory_usage(text.len, 0) + 64;
    void *memory = lm_arena_alloc(arena, room, 16);
    yyjson_alc alc;
    if (!memory) return lm_mem_err();
    if (!yyjson_alc_pool_init(&alc, memory, room)) return LM_OK;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len, 0, &alc, NULL);
    if (!doc) return LM_OK;
    *out_bad = false;
    return convert(yyjson_doc_get_root(doc), arena, 1, out);
}
