/**
 * What the values of a field say: types, distinct count, examples; and what is shown of it.
 *
 * Distinct values are counted with the smallest hashes seen (exact up to SKETCH_SIZE, then the k-th
 * smallest hash tells how dense they lie), so that the order of lines does not matter.
 */
#include "schema/schema_priv.h"
#include <stdio.h>

static void sketch_add(lm_stat *stat, uint64_t hash)
{
    uint32_t low = 0, high = stat->sketch_count;
    if (high == SKETCH_SIZE && hash >= stat->sketch[SKETCH_SIZE - 1]) return;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (stat->sketch[mid] < hash)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < stat->sketch_count && stat->sketch[low] == hash) return;
    if (stat->sketch_count < SKETCH_SIZE) stat->sketch_count++;
    for (uint32_t i = stat->sketch_count - 1; i > low; i--)
        stat->sketch[i] = stat->sketch[i - 1];
    stat->sketch[low] = hash;
}

uint64_t lm_stat_distinct(const lm_stat *stat)
{
    uint64_t count = stat->sketch_count;
    if (count == SKETCH_SIZE) {
        uint64_t kth = stat->sketch[SKETCH_SIZE - 1] >> 16; /* of 2^48 */
        count = kth ? ((uint64_t)(SKETCH_SIZE - 1) << 48) / kth : stat->count;
        if (count < SKETCH_SIZE) count = SKETCH_SIZE;
        if (count > stat->count) count = stat->count > SKETCH_SIZE ? stat->count : SKETCH_SIZE;
    }
    return count > stat->distinct_floor ? count : stat->distinct_floor;
}

/* Longest first; when full the list stays: a parse then tries them and falls back on the whole list
 * of layouts. */
void lm_stat_layout(lm_stat *stat, uint16_t layout, uint16_t len)
{
    for (unsigned i = 0; i < stat->layout_count; i++) {
        if (stat->layouts[i] == layout) return;
    }
    if (stat->layout_count == STAT_LAYOUTS) return;
    unsigned at = stat->layout_count++;
    while (at > 0 && stat->layout_lens[at - 1] < len) {
        stat->layouts[at] = stat->layouts[at - 1];
        stat->layout_lens[at] = stat->layout_lens[at - 1];
        at--;
    }
    stat->layouts[at] = layout;
    stat->layout_lens[at] = len;
}

static lm_err keep_value(lm_schema *schema, lm_stat *stat, lm_str value)
{
    if (stat->value_count == STAT_VALUES || value.len == 0) return LM_OK;
    lm_str cut = {value.ptr, value.len > STAT_VALUE_BYTES ? STAT_VALUE_BYTES : value.len};
    while (cut.len < value.len && cut.len && (cut.ptr[cut.len] & 0xc0) == 0x80)
        cut.len--; /* whole characters */
    for (uint32_t i = 0; i < stat->value_count; i++) {
        if (lm_str_equal(stat->values[i], cut)) return LM_OK;
    }
    lm_str copy;
    lm_err err = lm_schema_copy(schema, cut, &copy);
    if (!err) stat->values[stat->value_count++] = copy;
    return err;
}

/* A number where the name says time: an epoch. */
static bool epoch_of(const lm_info *info, lm_str text, lm_value *value)
{
    size_t len;
    if (info->role != LM_ROLE_TIME && info->declared != LM_TYPE_TIME) return false;
    if (value->type != LM_TYPE_INT && value->type != LM_TYPE_DECIMAL) return false;
    uint8_t epoch = lm_epoch_at(text.ptr, text.len, &len);
    if (!epoch || len != text.len) return false;
    *value = (lm_value){.type = LM_TYPE_TIME};
    info->stat->epoch = epoch;
    return true;
}

lm_err lm_stat_add(lm_schema *schema, lm_info *info, lm_str text)
{
    lm_stat *stat = info->stat;
    lm_value value = lm_value_of(text);
    bool epoch = epoch_of(info, text, &value);
    lm_time time;
    if (value.type == LM_TYPE_TEXT && info->declared == LM_TYPE_TIME &&
        lm_time_parse(text.ptr, text.len, &time) && time.len == text.len)
        value = (lm_value){.type = LM_TYPE_TIME, .layout = time.layout, .len = time.len};
    stat->count++;
    stat->by_type[value.type]++;
    if (value.type == LM_TYPE_NULL) return LM_OK;
    if (text.len > stat->len_max)
        stat->len_max = (uint32_t)(text.len < UINT32_MAX ? text.len : UINT32_MAX);
    if (value.type == LM_TYPE_TIME && !epoch) lm_stat_layout(stat, value.layout, value.len);
    if (value.type == LM_TYPE_DURATION || value.type == LM_TYPE_SIZE) {
        if (stat->unit && stat->unit != value.unit) stat->mixed_units = true;
        stat->unit = value.unit;
    }
    if (value.type == LM_TYPE_TEXT && text.len >= 3) {
        size_t begin;
        const uint8_t *brace = text.ptr[text.len - 1] == '}' || text.ptr[text.len - 1] == 'n'
                                   ? memchr(text.ptr, '{', text.len)
                                   : NULL;
        if (brace && lm_json_find(text, 0) != SIZE_MAX)
            stat->json_seen++;
        else if (memchr(text.ptr, '=', text.len) && lm_kv_count(text, &begin))
            stat->kv_seen++;
    }
    sketch_add(stat, lm_hash64(text.ptr, text.len));
    lm_err err = keep_value(schema, stat, text);
    if (!err && stat->odd.len == 0 && info->declared != LM_TYPE_COUNT &&
        !lm_value_fits((lm_type)info->declared, value))
        err = lm_schema_copy(schema, (lm_str){text.ptr, text.len > 40 ? 40 : text.len}, &stat->odd);
    return err;
}

static uint64_t sum(const lm_stat *stat, lm_type a, lm_type b)
{
    return stat->by_type[a] + stat->by_type[b];
}

/* Inferred from the values alone: what (nearly) all of them are; words of few kinds are an
 * enumeration. */
lm_type lm_stat_type(const lm_info *info)
{
    const lm_stat *stat = info->stat;
    uint64_t all = stat->count - stat->by_type[LM_TYPE_NULL];
    if (stat->count == 0) return LM_TYPE_TEXT;
    if (all == 0) return LM_TYPE_NULL;
    uint64_t need = all - all / 100; /* one stray value in a hundred is forgiven */
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++) {
        if (t != LM_TYPE_TEXT && t != LM_TYPE_NULL && stat->by_type[t] >= need) return (lm_type)t;
    }

    static const struct pair {
        uint8_t a, b, gives;
    } pairs[] = {
        {LM_TYPE_INT, LM_TYPE_DECIMAL, LM_TYPE_DECIMAL},
        {LM_TYPE_INT, LM_TYPE_HEX, LM_TYPE_HEX},
        {LM_TYPE_INT, LM_TYPE_DURATION, LM_TYPE_DURATION},
        {LM_TYPE_INT, LM_TYPE_SIZE, LM_TYPE_SIZE},
        {LM_TYPE_IPV4, LM_TYPE_IPV6, LM_TYPE_IPV4},
        {LM_TYPE_URL, LM_TYPE_PATH, LM_TYPE_PATH},
        {LM_TYPE_DECIMAL, LM_TYPE_DURATION, LM_TYPE_DURATION},
        {LM_TYPE_DECIMAL, LM_TYPE_SIZE, LM_TYPE_SIZE},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (sum(stat, (lm_type)pairs[i].a, (lm_type)pairs[i].b) >= need)
            return (lm_type)pairs[i].gives;
    }
    uint64_t distinct = lm_stat_distinct(stat);
    bool few = distinct <= 32 && distinct * 4 <= all && stat->len_max <= 64;
    return few && info->role != LM_ROLE_MESSAGE ? LM_TYPE_ENUM : LM_TYPE_TEXT;
}

/* ---- what is shown ---- */

static lm_err view_text(lm_schema *schema, const char *text, size_t len, lm_str *out)
{
    uint8_t *p = lm_arena_copy(&schema->view_arena, text, len);
    if (!p) return lm_mem_err();
    *out = (lm_str){p, len};
    return LM_OK;
}

/* Time layouts, units, values of an enumeration. */
static lm_err field_detail(lm_schema *schema, const lm_info *info, lm_str *out)
{
    char text[512];
    size_t n = 0;
    const lm_stat *stat = info->stat;
    *out = info->unit;
    if (info->type == LM_TYPE_TIME) {
        if (stat->epoch) n = (size_t)snprintf(text, sizeof text, "%s", lm_epoch_name(stat->epoch));
        for (unsigned i = 0; i < stat->layout_count; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " or " : "",
                                  lm_time_layout_name(stat->layouts[i]));
            if (n >= sizeof text) n = sizeof text - 1;
        }
    } else if (info->unit.len == 0 &&
               (info->type == LM_TYPE_DURATION || info->type == LM_TYPE_SIZE)) {
        n = (size_t)snprintf(text, sizeof text, "%s",
                             stat->mixed_units ? "unit in the value" : lm_unit_name(stat->unit));
    } else if (info->type == LM_TYPE_IPV4 && stat->by_type[LM_TYPE_IPV6]) {
        n = (size_t)snprintf(text, sizeof text, "IPv4 and IPv6");
    } else if (info->type == LM_TYPE_ENUM) {
        for (uint32_t i = 0; i < stat->value_count && n + stat->values[i].len + 8 < sizeof text;
             i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? ", " : "",
                                  (int)stat->values[i].len, (const char *)stat->values[i].ptr);
        }
        uint64_t distinct = lm_stat_distinct(stat);
        if (distinct > stat->value_count && n + 8 < sizeof text)
            n += (size_t)snprintf(text + n, sizeof text - n, ", ...");
    }
    return n ? view_text(schema, text, n, out) : LM_OK;
}

static lm_err make_views(lm_schema *schema)
{
    size_t counts[FORMAT_COUNT_MAX] = {0};
    lm_schema_field *lists[FORMAT_COUNT_MAX] = {0};
    lm_arena_reset(&schema->view_arena);
    schema->view_count = 0;
    lm_schema_format *views =
        lm_arena_alloc(&schema->view_arena, (schema->format_count + 1) * sizeof *views,
                       _Alignof(lm_schema_format));
    if (!views) return lm_mem_err();
    for (size_t i = 0; i < schema->field_count; i++)
        counts[schema->fields[i].format]++; /* at most */
    for (size_t i = 0; i < schema->format_count; i++) {
        lists[i] = lm_arena_alloc(&schema->view_arena, (counts[i] + 1) * sizeof *lists[i],
                                  _Alignof(lm_schema_field));
        if (!lists[i]) return lm_mem_err();
        const lm_format *format = &schema->formats[i];
        views[i] = (lm_schema_format){.name = format->name,
                                      .pattern = format->pattern,
                                      .lines = format->lines,
                                      .fields = lists[i]};
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const lm_info *info = &schema->fields[i];
        if (info->stat->count == 0 && schema->formats[info->format].lines)
            continue; /* an optional part that never came */
        lm_schema_field *field = &lists[info->format][views[info->format].field_count++];
        *field = (lm_schema_field){.name = info->name,
                                   .type = (lm_type)info->type,
                                   .count = info->stat->count,
                                   .distinct = lm_stat_distinct(info->stat)};
        for (uint32_t k = 0; k < 3 && k < info->stat->value_count; k++)
            field->examples[k] = info->stat->values[k];
        lm_err err = field_detail(schema, info, &field->detail);
        if (err) return err;
    }
    schema->views = views;
    schema->view_count = schema->format_count;
    return LM_OK;
}

static lm_err make_conflict(lm_schema *schema, const lm_info *info, lm_type inferred)
{
    char text[480];
    const lm_stat *stat = info->stat;
    uint64_t odd = 0, all = stat->count - stat->by_type[LM_TYPE_NULL];
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++) {
        if (!lm_value_fits((lm_type)info->declared, (lm_value){.type = (lm_type)t}))
            odd += stat->by_type[t];
    }
    if (odd == 0 || stat->odd.len == 0 || schema->conflict_count == CONFLICTS_MAX) return LM_OK;
    if (!schema->conflicts) {
        schema->conflicts = lm_mem_calloc(schema->mem, CONFLICTS_MAX, sizeof *schema->conflicts);
        if (!schema->conflicts) return lm_mem_err();
    }
    lm_str format = schema->formats[info->format].name;
    const char *looks = lm_type_name(inferred);
    int n = snprintf(text, sizeof text,
                     "format '%.*s' says that field '%.*s' is %s, but %llu of its %llu values are "
                     "not (taken together they "
                     "look like %s), such as '%.*s'; %s is kept",
                     (int)format.len, (const char *)format.ptr,
                     (int)(info->name.len < 128 ? info->name.len : 128),
                     (const char *)info->name.ptr, lm_type_name((lm_type)info->declared),
                     (unsigned long long)odd, (unsigned long long)all, looks, (int)stat->odd.len,
                     (const char *)stat->odd.ptr, lm_type_name((lm_type)info->declared));
    lm_str *slot = &schema->conflicts[schema->conflict_count];
    lm_err err =
        view_text(schema, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, slot);
    if (!err) schema->conflict_count++;
    return err;
}

/* The tree's word goes before what the values look like. */
static void settle_type(lm_info *info)
{
    lm_type inferred = lm_stat_type(info);
    bool open = info->declared == LM_TYPE_COUNT;
    info->type = open ? (uint8_t)inferred : info->declared;
    if (open && info->role == LM_ROLE_LEVEL && inferred == LM_TYPE_TEXT) info->type = LM_TYPE_ENUM;
    if (info->role == LM_ROLE_MESSAGE && (inferred == LM_TYPE_ENUM || inferred == LM_TYPE_NULL))
        info->type = LM_TYPE_TEXT;
}

/* The first key that at least half of the lines have. */
static lm_str first_key(const lm_schema *schema, const lm_format *format)
{
    for (size_t i = 0; i < schema->path_count; i++) {
        const lm_path *path = &schema->paths[i];
        uint32_t root = (uint32_t)i;
        if (path->field == NO_INDEX) continue;
        if (schema->fields[path->field].stat->count * 2 < format->lines) continue;
        while (schema->paths[root].parent != NO_INDEX)
            root = schema->paths[root].parent;
        if (root == format->root) return path->name;
    }
    return (lm_str){0};
}

static lm_err signature_piece(const lm_schema *schema, const lm_format *format, lm_buf *out)
{
    char text[64];
    lm_err err = lm_buf_append(out, format->name.ptr, format->name.len);
    uint64_t hash = 0;
    if (format->engine == LM_ENGINE_TREE && format->origin == LM_ORIGIN_NAMED) return err;
    if (format->engine == LM_ENGINE_TREE)
        hash = lm_hash64(format->pattern.ptr, format->pattern.len);
    if (format->engine == LM_ENGINE_ROW) hash = lm_hash64(format->header.ptr, format->header.len);
    if (format->engine == LM_ENGINE_JSON || format->engine == LM_ENGINE_LOGFMT) {
        lm_str key = first_key(schema, format);
        hash = lm_hash64(key.ptr, key.len);
        /* and the names of time, level and message */
        for (size_t i = 0; i < schema->field_count; i++) {
            const lm_info *info = &schema->fields[i];
            bool main = info->role && info->rank < 62 && &schema->formats[info->format] == format &&
                        info->stat->count * 2 > format->lines;
            if (main) hash += lm_hash64(info->name.ptr, info->name.len);
        }
    }
    int n = snprintf(text, sizeof text, "#%08llx", (unsigned long long)(hash >> 32));
    return err ? err : lm_buf_append(out, text, (size_t)n);
}

/* Formats with at least a fifth of the fitted lines, in order of name. */
static lm_err make_signature(lm_schema *schema)
{
    lm_str pieces[FORMAT_COUNT_MAX];
    size_t count = 0;
    uint64_t total = 0;
    lm_buf buf;
    lm_buf_init(&buf, schema->mem);
    lm_err err = LM_OK;
    for (size_t i = 0; i < schema->order_count; i++)
        total += schema->formats[schema->order[i]].lines;
    for (size_t i = 0; !err && i < schema->order_count; i++) {
        const lm_format *format = &schema->formats[schema->order[i]];
        if (format->lines == 0 || format->lines * 5 < total) continue;
        buf.len = 0;
        lm_str piece;
        err = signature_piece(schema, format, &buf);
        if (!err) err = view_text(schema, (const char *)buf.ptr, buf.len, &piece);
        if (err) break;
        size_t at = count++;
        for (; at > 0 && lm_str_compare(pieces[at - 1], piece) > 0; at--)
            pieces[at] = pieces[at - 1];
        pieces[at] = piece;
    }
    buf.len = 0;
    for (size_t i = 0; !err && i < count; i++) {
        if (i) err = lm_buf_u8(&buf, '+');
        if (!err) err = lm_buf_append(&buf, pieces[i].ptr, pieces[i].len);
    }
    if (!err)
        err = count ? view_text(schema, (const char *)buf.ptr, buf.len, &schema->signature) : LM_OK;
    if (!count) schema->signature = LM_STR("text");
    lm_buf_fini(&buf);
    return err;
}

lm_err lm_schema_refresh(lm_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const lm_info *info = &schema->fields[i];
        lm_format *format = &schema->formats[info->format];
        settle_type(&schema->fields[i]);
        if (format->is_inner && info->stat->count > format->lines)
            format->lines = info->stat->count;
    }
    lm_schema_order(schema);
    schema->conflict_count = 0; /* their texts went with the views */
    schema->signature = (lm_str){0};
    lm_err err = make_views(schema);
    for (size_t i = 0; !err && i < schema->field_count; i++) {
        lm_info *info = &schema->fields[i];
        if (info->declared != LM_TYPE_COUNT && info->stat->odd.len)
            err = make_conflict(schema, info, lm_stat_type(info));
    }
    return err ? err : make_signature(schema);
}
