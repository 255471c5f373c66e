/**
 * A schema as bytes and back (docs/format/schema.md): what parsing needs and the counts, without
 * examples.
 *
 * Fields are numbered anew when loaded: first those of trees and rows in order of formats, then
 * those of paths in order of paths. The saver writes what it knows of them in that order.
 * Everything read is checked before it is used as an index.
 */
#include "schema/schema_priv.h"

enum { SAVE_VERSION = 1, NAME_BYTES_MAX = 65536, SAVED_PATHS_MAX = 400 };

static const uint8_t save_magic[4] = {'L', 'M', 'S', 'C'};

/* ---- writing: errors stick to the buffer's writer ---- */

typedef struct saver {
    lm_buf *out;
    uint32_t *numbers; /* of paths; NO_INDEX: left out */
    lm_err err;
} saver;

static void put_number(saver *s, uint64_t value)
{
    if (!s->err) s->err = lm_buf_varint(s->out, value);
}

static void put_text(saver *s, lm_str text)
{
    put_number(s, text.len);
    if (!s->err && text.len) s->err = lm_buf_append(s->out, text.ptr, text.len);
}

static void put_index(saver *s, uint32_t index) /* NO_INDEX becomes 0 */
{
    put_number(s, (uint64_t)(uint32_t)(index + 1));
}

static void save_format(saver *s, const lm_format *format)
{
    put_number(s, format->engine);
    put_number(s, format->origin);
    put_number(s, format->is_inner);
    put_number(s, format->weight);
    put_number(s, format->lines);
    put_text(s, format->name);
    put_text(s, format->pattern);
    if (format->engine == LM_ENGINE_JSON || format->engine == LM_ENGINE_LOGFMT)
        put_index(s, s->numbers[format->root]);
    if (format->engine != LM_ENGINE_ROW) return;
    put_text(s, format->header);
    put_number(s, format->delimiter);
    put_number(s, format->is_quoted);
    put_number(s, format->has_directives);
    put_number(s, format->column_count);
    put_number(s, format->cell_count);
    put_index(s, format->joined);
}

/* What a field's record holds beyond type and counts. */
enum {
    HAS_NAME = 1,
    HAS_DECLARED = 2,
    HAS_ROLE = 4,
    HAS_INNER = 8,
    HAS_UNIT = 16,
    HAS_TYPES = 32,
    HAS_LAYOUTS = 64,
    HAS_NOTES = 128
};

static unsigned field_flags(const lm_info *info, bool of_path)
{
    const lm_stat *stat = info->stat;
    uint8_t rank;
    bool usual_role = lm_role_of(info->name, &rank) == (lm_role)info->role;
    return (of_path ? 0u : HAS_NAME) | (info->declared != LM_TYPE_COUNT ? HAS_DECLARED : 0u) |
           (usual_role && (!info->role || rank == info->rank) ? 0u : HAS_ROLE) |
           (info->inner ? HAS_INNER : 0u) | (info->unit.len ? HAS_UNIT : 0u) |
           (stat->by_type[info->type] == stat->count ? 0u : HAS_TYPES) |
           (stat->layout_count ? HAS_LAYOUTS : 0u) | (stat->unit || stat->epoch ? HAS_NOTES : 0u);
}

static void save_types(saver *s, const lm_stat *stat)
{
    unsigned types = 0;
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++)
        types += stat->by_type[t] != 0;
    put_number(s, types);
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++) {
        if (stat->by_type[t] == 0) continue;
        put_number(s, t);
        put_number(s, stat->by_type[t]);
    }
}

static void save_field(saver *s, const lm_info *info, bool of_path)
{
    const lm_stat *stat = info->stat;
    unsigned flags = field_flags(info, of_path);
    put_number(s, flags);
    if (flags & HAS_NAME) put_text(s, info->name);
    put_number(s, info->type);
    if (flags & HAS_DECLARED) put_number(s, info->declared);
    if (flags & HAS_ROLE) {
        put_number(s, info->role);
        put_number(s, info->rank);
    }
    if (flags & HAS_INNER) {
        put_number(s, info->inner);
        put_index(s, info->inner_root == NO_INDEX ? NO_INDEX : s->numbers[info->inner_root]);
        put_index(s, info->inner_format);
    }
    if (flags & HAS_UNIT) put_text(s, info->unit);
    put_number(s, lm_stat_distinct(stat));
    if (flags & HAS_TYPES)
        save_types(s, stat);
    else
        put_number(s, stat->count);
    if (flags & HAS_LAYOUTS) {
        put_number(s, stat->layout_count);
        for (unsigned i = 0; i < stat->layout_count; i++) {
            put_number(s, stat->layouts[i]);
            put_number(s, stat->layout_lens[i]);
        }
    }
    if (flags & HAS_NOTES) {
        put_number(s, stat->mixed_units ? 0 : stat->unit);
        put_number(s, stat->epoch);
    }
}

/* A root's name and format, or how far back the parent is and the key; whether values were seen
 * here. */
static void save_path(saver *s, const lm_path *path, uint32_t own)
{
    uint64_t has_field = path->field != NO_INDEX;
    put_number(s, (path->parent == NO_INDEX ? 0 : (uint64_t)(own - s->numbers[path->parent])) << 1 |
                      has_field);
    if (path->parent == NO_INDEX) {
        put_number(s, path->format);
        put_text(s, path->name);
        return;
    }
    put_index(s, path->index);
    if (path->index == NO_INDEX) put_text(s, path->key);
}

/* Paths that most lines of a long stream lack, and all but the first item of an array, are not
 * worth their bytes: parsing gives their values without them. */
static uint32_t number_paths(const lm_schema *schema, uint32_t *numbers)
{
    uint32_t count = 0;
    for (size_t i = 0; i < schema->path_count; i++) { /* parents come before children */
        const lm_path *path = &schema->paths[i];
        bool is_repeat =
            path->parent != NO_INDEX && ((path->index != NO_INDEX && path->index > 0) ||
                                         i >= SAVED_PATHS_MAX || numbers[path->parent] == NO_INDEX);
        numbers[i] = is_repeat ? NO_INDEX : 0;
    }
    for (size_t i = schema->path_count; i-- > 0;) {
        const lm_path *path = &schema->paths[i];
        if (numbers[i] == NO_INDEX) {
            numbers[i] = 0;
            continue;
        }
        uint64_t lines = schema->formats[path->format].lines;
        uint64_t seen = path->field == NO_INDEX ? 0 : schema->fields[path->field].stat->count;
        bool inner = path->field != NO_INDEX && schema->fields[path->field].inner;
        bool kept = path->parent == NO_INDEX || numbers[i] || inner ||
                    (seen && (seen > lines / 64 || lines < 200));
        numbers[i] = kept;
        if (kept && path->parent != NO_INDEX) numbers[path->parent] = 1;
    }
    for (size_t i = 0; i < schema->path_count; i++)
        numbers[i] = numbers[i] ? count++ : NO_INDEX;
    return count;
}

/* Fields of trees and rows stand in the schema in order of their formats' making; those of paths
 * have a path. */
static lm_err save_fields(saver *s, const lm_schema *schema)
{
    size_t bytes = schema->field_count + 1;
    uint8_t *of_path = lm_mem_calloc(schema->mem, bytes, 1);
    if (!of_path) return lm_mem_err();
    for (size_t i = 0; i < schema->path_count; i++) {
        if (schema->paths[i].field != NO_INDEX) of_path[schema->paths[i].field] = 1;
    }
    for (size_t f = 0; f < schema->format_count; f++) {
        uint64_t count = 0;
        for (size_t i = 0; i < schema->field_count; i++)
            count += !of_path[i] && schema->fields[i].format == f;
        put_number(s, count);
        for (size_t i = 0; i < schema->field_count; i++) {
            if (!of_path[i] && schema->fields[i].format == f)
                save_field(s, &schema->fields[i], false);
        }
    }
    for (size_t i = 0; i < schema->path_count; i++) {
        if (schema->paths[i].field != NO_INDEX && s->numbers[i] != NO_INDEX)
            save_field(s, &schema->fields[schema->paths[i].field], true);
    }
    lm_mem_release(schema->mem, of_path, bytes);
    return s->err;
}

lm_err lm_schema_save(const lm_schema *schema, lm_buf *out)
{
    saver s = {.out = out};
    size_t before = out->len, bytes = schema->path_count * sizeof *s.numbers;
    s.numbers = lm_mem_alloc(schema->mem, bytes);
    if (!s.numbers) return lm_mem_err();
    uint32_t path_count = number_paths(schema, s.numbers);
    s.err = lm_buf_append(out, save_magic, sizeof save_magic);
    put_number(&s, SAVE_VERSION);
    put_number(&s, schema->line_count);
    put_number(&s, schema->misfit_count);
    put_number(&s, schema->given_count);
    for (size_t i = 0; i < schema->given_count; i++) {
        put_text(&s, schema->given[i].name);
        put_text(&s, schema->given[i].unit);
        put_number(&s, schema->given[i].type);
    }
    put_number(&s, schema->format_count);
    put_number(&s, path_count);
    for (size_t i = 0; i < schema->format_count; i++)
        save_format(&s, &schema->formats[i]);
    for (size_t i = 0; i < schema->path_count; i++) {
        if (s.numbers[i] != NO_INDEX) save_path(&s, &schema->paths[i], s.numbers[i]);
    }
    if (!s.err) s.err = save_fields(&s, schema);
    lm_mem_release(schema->mem, s.numbers, bytes);
    if (s.err) out->len = before;
    return s.err;
}

/* ---- reading ---- */

typedef struct loader {
    lm_reader r;
    lm_schema *schema;
    size_t path_count;    /* as the bytes say */
    uint32_t *last_child; /* of each path, while paths are read */
    size_t format_count;
} loader;

static lm_err corrupt(const char *what)
{
    return lm_fail(LM_E_CORRUPT, "saved schema has a broken %s", what);
}

static lm_str get_text(loader *l)
{
    uint64_t len = lm_reader_varint_max(&l->r, NAME_BYTES_MAX);
    return lm_reader_bytes(&l->r, (size_t)len);
}

/* An index below limit, or NO_INDEX. */
static uint32_t get_index(loader *l, size_t limit)
{
    return (uint32_t)lm_reader_varint_max(&l->r, limit) - 1u;
}

static uint8_t get_small(loader *l, uint64_t max)
{
    return (uint8_t)lm_reader_varint_max(&l->r, max);
}

static lm_err load_row(loader *l, lm_format *format)
{
    lm_str header = get_text(l);
    format->delimiter = get_small(l, 255);
    format->is_quoted = get_small(l, 1);
    format->has_directives = get_small(l, 1);
    format->column_count = (uint32_t)lm_reader_varint_max(&l->r, COLUMNS_MAX);
    format->cell_count = (uint32_t)lm_reader_varint_max(&l->r, COLUMNS_MAX);
    format->joined = get_index(l, format->column_count);
    if (l->r.failed || format->cell_count != format->column_count + (format->joined != NO_INDEX))
        return corrupt("row format");
    lm_err err = lm_schema_copy(l->schema, header, &format->header);
    if (err) return err;
    memset(format->first, 0xff, sizeof format->first);
    format->columns =
        lm_arena_alloc(&l->schema->arena, (format->column_count + 1u) * sizeof *format->columns,
                       _Alignof(uint32_t));
    if (!format->columns) return lm_mem_err();
    for (uint32_t i = 0; i < format->column_count; i++) {
        lm_err add = lm_schema_field_add(l->schema, (lm_str){0}, (uint32_t)l->schema->format_count,
                                         &format->columns[i]);
        if (add) return add;
    }
    return LM_OK;
}

static lm_err load_format(loader *l)
{
    lm_format format = {.joined = NO_INDEX, .root = NO_INDEX};
    uint32_t index = NO_INDEX;
    format.engine = get_small(l, LM_ENGINE_ROW);
    format.origin = get_small(l, LM_ORIGIN_INFERRED);
    format.is_inner = get_small(l, 1);
    format.weight = get_small(l, 255);
    format.lines = lm_reader_varint(&l->r);
    lm_str name = get_text(l), pattern = get_text(l);
    if (l->r.failed) return corrupt("format");
    lm_err err = LM_OK;
    if (format.engine == LM_ENGINE_TREE) {
        err =
            lm_pattern_add(l->schema, name, pattern, (lm_origin)format.origin, (lm_str){0}, &index);
        if (err) return err == LM_E_NOMEM ? err : corrupt("pattern");
        lm_format *added = &l->schema->formats[index];
        added->is_inner = format.is_inner;
        added->weight = format.weight;
        added->lines = format.lines;
        return LM_OK;
    }
    err = lm_schema_copy(l->schema, name, &format.name);
    if (!err) err = lm_schema_copy(l->schema, pattern, &format.pattern);
    if (err) return err;
    if (format.engine == LM_ENGINE_ROW) {
        err = load_row(l, &format);
    } else {
        format.root = get_index(l, l->path_count);
        memset(format.first, 0xff, sizeof format.first);
        if (l->r.failed || format.root == NO_INDEX || format.is_inner) err = corrupt("path root");
    }
    if (!err) err = lm_schema_format_add(l->schema, &format, &index);
    return err == LM_E_LIMIT ? corrupt("format list") : err;
}

static lm_err load_path(loader *l)
{
    lm_schema *schema = l->schema;
    uint32_t own = (uint32_t)schema->path_count, at = NO_INDEX, format = 0;
    uint64_t head = lm_reader_varint_max(&l->r, (uint64_t)own << 1 | 1);
    lm_err err = LM_OK;
    if (head >> 1 == 0) {
        format = (uint32_t)lm_reader_varint_max(&l->r, FORMAT_COUNT_MAX);
        lm_str name = get_text(l);
        if (l->r.failed || format >= l->format_count) return corrupt("path");
        err = lm_schema_root_add(schema, name, format, &at);
        if (err) return err;
    } else {
        uint32_t parent = own - (uint32_t)(head >> 1), index = get_index(l, PATH_INDEX_MAX);
        lm_str key = index == NO_INDEX ? get_text(l) : (lm_str){0};
        if (l->r.failed) return corrupt("path");
        at = lm_schema_path(schema, parent, key, index, schema, &err);
        if (err) return err;
        if (at != own) return corrupt("path"); /* twice the same, or too many */
        format = schema->paths[at].format;
        if (l->last_child[parent] == NO_INDEX)
            schema->paths[parent].child = at; /* the guesses, in order of coming */
        else
            schema->paths[l->last_child[parent]].sibling = at;
        l->last_child[parent] = at;
    }
    if (!(head & 1)) return LM_OK;
    uint32_t field;
    err = lm_schema_field_add(schema, schema->paths[at].name, format, &field);
    if (err) return err == LM_E_LIMIT ? corrupt("field list") : err;
    schema->paths[at].field = field;
    lm_info *info = &schema->fields[field];
    info->role = (uint8_t)lm_role_of(info->name, &info->rank);
    return LM_OK;
}

static lm_err load_paths(loader *l)
{
    size_t bytes = l->path_count * sizeof *l->last_child;
    lm_err err = LM_OK;
    l->last_child = lm_mem_alloc(l->schema->mem, bytes);
    if (!l->last_child) return lm_mem_err();
    memset(l->last_child, 0xff, bytes);
    for (size_t i = 0; !err && i < l->path_count; i++)
        err = load_path(l);
    lm_mem_release(l->schema->mem, l->last_child, bytes);
    return err;
}

static lm_err load_types(loader *l, lm_info *info, bool listed)
{
    lm_stat *stat = info->stat;
    uint64_t n = listed ? lm_reader_varint_max(&l->r, LM_TYPE_COUNT) : 1;
    for (; n; n--) {
        unsigned type = listed ? get_small(l, LM_TYPE_COUNT - 1) : info->type;
        stat->by_type[type] = lm_reader_varint_max(&l->r, UINT64_MAX / 64);
    }
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++)
        stat->count += stat->by_type[t];
    return LM_OK;
}

static lm_err load_layouts(loader *l, lm_stat *stat)
{
    for (uint64_t n = lm_reader_varint_max(&l->r, STAT_LAYOUTS); n; n--) {
        uint16_t layout = (uint16_t)lm_reader_varint_max(&l->r, UINT16_MAX);
        uint16_t len = (uint16_t)lm_reader_varint_max(&l->r, LM_TIME_TEXT_MAX);
        if (l->r.failed || !lm_time_layout_is_valid(layout)) return corrupt("time layout");
        lm_stat_layout(stat, layout, len);
    }
    return LM_OK;
}

static lm_err load_field(loader *l, lm_info *info)
{
    lm_stat *stat = info->stat;
    unsigned flags = get_small(l, 255);
    lm_err err = LM_OK;
    if (flags & HAS_NAME) {
        err = lm_schema_copy(l->schema, get_text(l), &info->name);
        if (err) return err;
        info->role = (uint8_t)lm_role_of(info->name, &info->rank);
    }
    info->type = get_small(l, LM_TYPE_COUNT - 1);
    info->declared = flags & HAS_DECLARED ? get_small(l, LM_TYPE_COUNT) : LM_TYPE_COUNT;
    if (flags & HAS_ROLE) {
        info->role = get_small(l, LM_ROLE_MESSAGE);
        info->rank = get_small(l, 255);
    }
    info->inner = 0;
    info->inner_root = info->inner_format = NO_INDEX;
    if (flags & HAS_INNER) {
        info->inner = get_small(l, 15);
        info->inner_root = get_index(l, l->path_count);
        info->inner_format = get_index(l, l->format_count);
    }
    if (flags & HAS_UNIT) err = lm_schema_copy(l->schema, get_text(l), &info->unit);
    stat->distinct_floor = lm_reader_varint(&l->r);
    if (!err) err = load_types(l, info, flags & HAS_TYPES);
    if (!err && flags & HAS_LAYOUTS) err = load_layouts(l, stat);
    if (flags & HAS_NOTES) {
        stat->unit = get_small(l, 255);
        stat->epoch = get_small(l, 4);
    }
    return err ? err : l->r.failed ? corrupt("field") : LM_OK;
}

/* What fields point to: paths and formats that exist and are of the right kind. */
static lm_err check_inner(const lm_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const lm_info *info = &schema->fields[i];
        bool needs_root = info->inner & (LM_INNER_JSON | LM_INNER_KV | LM_INNER_CEF);
        bool needs_format = info->inner & LM_INNER_FORMAT;
        if (needs_root &&
            (info->inner_root == NO_INDEX || schema->paths[info->inner_root].parent != NO_INDEX))
            return corrupt("inner path");
        if (needs_format && (info->inner_format == NO_INDEX ||
                             schema->formats[info->inner_format].engine != LM_ENGINE_TREE))
            return corrupt("inner format");
    }
    for (size_t i = 0; i < schema->format_count; i++) {
        const lm_format *format = &schema->formats[i];
        if (format->root != NO_INDEX && schema->paths[format->root].parent != NO_INDEX)
            return corrupt("path root");
    }
    return LM_OK;
}

static lm_err load_given(loader *l)
{
    lm_schema *schema = l->schema;
    for (uint64_t n = lm_reader_varint_max(&l->r, LM_FIELD_COUNT_MAX); n && !l->r.failed; n--) {
        lm_given given = {0};
        lm_err err = lm_schema_copy(schema, get_text(l), &given.name);
        if (!err) err = lm_schema_copy(schema, get_text(l), &given.unit);
        given.type = get_small(l, LM_TYPE_COUNT - 1);
        if (!err)
            err = lm_vec_grow(schema->mem, &schema->given, &schema->given_cap,
                              schema->given_count + 1, sizeof given);
        if (err) return err;
        schema->given[schema->given_count++] = given;
    }
    return LM_OK;
}

static lm_err load_all(loader *l)
{
    lm_schema *schema = l->schema;
    lm_str magic = lm_reader_bytes(&l->r, sizeof save_magic);
    if (l->r.failed || memcmp(magic.ptr, save_magic, sizeof save_magic) != 0)
        return lm_fail(LM_E_CORRUPT, "these bytes are no saved schema");
    uint64_t version = lm_reader_varint(&l->r);
    if (!l->r.failed && version != SAVE_VERSION)
        return lm_fail(LM_E_UNSUPPORTED, "saved schema has version %llu, this build reads %d",
                       (unsigned long long)version, SAVE_VERSION);
    schema->line_count = lm_reader_varint(&l->r);
    schema->misfit_count = lm_reader_varint_max(&l->r, UINT64_MAX / 4);
    schema->next_search = schema->misfit_count + 1;
    lm_err err = load_given(l);
    if (err) return err;
    l->format_count = (size_t)lm_reader_varint_max(&l->r, FORMAT_COUNT_MAX);
    l->path_count =
        (size_t)lm_reader_varint_max(&l->r, 2 * LM_FIELD_COUNT_MAX + FORMAT_COUNT_MAX * 4);
    if (l->r.failed) return corrupt("head");
    for (size_t i = 0; !err && i < l->format_count; i++)
        err = load_format(l);
    size_t root_count =
        schema
            ->path_count; /* made by trees with a key=value tail; the saved ones take their place */
    schema->path_count = 0;
    if (root_count && schema->path_slots)
        memset(schema->path_slots, 0, schema->path_slot_count * sizeof *schema->path_slots);
    size_t plain = schema->field_count, at = 0;
    if (!err) err = load_paths(l);
    for (uint32_t f = 0; !err && f < l->format_count; f++) {
        uint64_t count = lm_reader_varint_max(&l->r, plain - at);
        for (; !err && count && !l->r.failed; count--) {
            if (schema->fields[at].format != f) return corrupt("field list");
            err = load_field(l, &schema->fields[at++]);
        }
    }
    if (!err && (l->r.failed || at != plain)) err = corrupt("field list");
    for (; !err && at < schema->field_count; at++)
        err = load_field(l, &schema->fields[at]);
    if (!err && (l->r.failed || lm_reader_left(&l->r) != 0)) err = corrupt("end");
    return err ? err : check_inner(schema);
}

lm_err lm_schema_load(lm_mem *mem, lm_str bytes, lm_schema **out)
{
    loader l = {.r = lm_reader_of(bytes.ptr, bytes.len)};
    lm_err err = lm_schema_new(mem, &l.schema);
    if (err) return err;
    err = load_all(&l);
    if (!err) err = lm_schema_refresh(l.schema);
    if (err) {
        lm_schema_free(l.schema);
        return err;
    }
    *out = l.schema;
    return LM_OK;
}
