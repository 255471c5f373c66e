/** The schema's own tables: fields, formats, the trie of JSON paths, roles by name. */
#include "schema/schema_priv.h"

lm_err lm_schema_new(lm_mem *mem, lm_schema **out)
{
    lm_schema *schema = lm_mem_calloc(mem, 1, sizeof *schema);
    if (!schema) return lm_mem_err();
    schema->magic = SCHEMA_MAGIC;
    schema->mem = mem;
    lm_arena_init(&schema->arena, mem);
    lm_arena_init(&schema->view_arena, mem);
    lm_arena_init(&schema->sample_arena, mem);
    schema->next_search = 1;
    schema->signature = LM_STR("text");
    *out = schema;
    return LM_OK;
}

void lm_schema_free(lm_schema *schema)
{
    if (!schema) return;
    LM_ASSERT(schema->magic == SCHEMA_MAGIC);
    lm_mem *mem = schema->mem;
    lm_arena_fini(&schema->arena);
    lm_arena_fini(&schema->view_arena);
    lm_arena_fini(&schema->sample_arena);
    lm_mem_release(mem, schema->fields, schema->field_cap * sizeof *schema->fields);
    lm_mem_release(mem, schema->formats, schema->format_cap * sizeof *schema->formats);
    lm_mem_release(mem, schema->paths, schema->path_cap * sizeof *schema->paths);
    lm_mem_release(mem, schema->path_slots, schema->path_slot_count * sizeof *schema->path_slots);
    lm_mem_release(mem, schema->sample, schema->sample_cap * sizeof *schema->sample);
    lm_mem_release(mem, schema->given, schema->given_cap * sizeof *schema->given);
    lm_mem_release(mem, schema->conflicts,
                   schema->conflicts ? CONFLICTS_MAX * sizeof *schema->conflicts : 0);
    schema->magic = 0;
    lm_mem_release(mem, schema, sizeof *schema);
}

lm_err lm_schema_copy(lm_schema *schema, lm_str text, lm_str *out)
{
    if (text.len == 0) {
        *out = (lm_str){0};
        return LM_OK;
    }
    uint8_t *p = lm_arena_copy(&schema->arena, text.ptr, text.len);
    if (!p) return lm_mem_err();
    *out = (lm_str){p, text.len};
    return LM_OK;
}

lm_err lm_schema_field_add(lm_schema *schema, lm_str name, uint32_t format, uint32_t *out_field)
{
    lm_info info = {.format = format,
                    .inner_root = NO_INDEX,
                    .inner_format = NO_INDEX,
                    .declared = LM_TYPE_COUNT};
    if (schema->field_count == LM_FIELD_COUNT_MAX)
        return lm_fail(LM_E_LIMIT, "schema has more than %d fields", LM_FIELD_COUNT_MAX);
    lm_err err = lm_vec_grow(schema->mem, &schema->fields, &schema->field_cap,
                             schema->field_count + 1, sizeof *schema->fields);
    if (!err) err = lm_schema_copy(schema, name, &info.name);
    if (err) return err;
    info.stat = lm_arena_alloc(&schema->arena, sizeof *info.stat, _Alignof(lm_stat));
    if (!info.stat) return lm_mem_err();
    memset(info.stat, 0, sizeof *info.stat);
    for (size_t i = 0; i < schema->given_count; i++) {
        if (!lm_str_equal(schema->given[i].name, name)) continue;
        info.declared = schema->given[i].type;
        info.type = info.declared;
        info.unit = schema->given[i].unit;
    }
    *out_field = (uint32_t)schema->field_count;
    schema->fields[schema->field_count++] = info;
    return LM_OK;
}

lm_err lm_schema_format_add(lm_schema *schema, const lm_format *format, uint32_t *out_format)
{
    if (schema->format_count == FORMAT_COUNT_MAX)
        return lm_fail(LM_E_LIMIT, "schema has more than %d formats", FORMAT_COUNT_MAX);
    lm_err err = lm_vec_grow(schema->mem, &schema->formats, &schema->format_cap,
                             schema->format_count + 1, sizeof *schema->formats);
    if (err) return err;
    *out_format = (uint32_t)schema->format_count;
    schema->formats[schema->format_count++] = *format;
    return LM_OK;
}

static uint64_t path_hash(uint32_t parent, lm_str key, uint32_t index)
{
    return lm_hash64_seed(key.ptr, key.len, ((uint64_t)parent << 32) | index);
}

static size_t path_slot(const lm_schema *schema, uint32_t parent, lm_str key, uint32_t index)
{
    size_t mask = schema->path_slot_count - 1, slot = (size_t)path_hash(parent, key, index) & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t at = schema->path_slots[slot];
        if (at == 0) return slot;
        const lm_path *path = &schema->paths[at - 1];
        if (path->parent == parent && path->index == index && lm_str_equal(path->key, key))
            return slot;
    }
}

/* Keeps the table at most half full. */
static lm_err path_room(lm_schema *schema)
{
    if ((schema->path_count + 1) * 2 <= schema->path_slot_count) return LM_OK;
    size_t count = schema->path_slot_count ? schema->path_slot_count * 2 : 64;
    uint32_t *slots = lm_mem_calloc(schema->mem, count, sizeof *slots);
    if (!slots) return lm_mem_err();
    lm_mem_release(schema->mem, schema->path_slots, schema->path_slot_count * sizeof *slots);
    schema->path_slots = slots;
    schema->path_slot_count = count;
    for (size_t i = 0; i < schema->path_count; i++) {
        const lm_path *path = &schema->paths[i];
        if (path->parent == NO_INDEX) continue;
        slots[path_slot(schema, path->parent, path->key, path->index)] = (uint32_t)i + 1;
    }
    return LM_OK;
}

static lm_err path_push(lm_schema *schema, const lm_path *path, uint32_t *out)
{
    lm_err err = lm_vec_grow(schema->mem, &schema->paths, &schema->path_cap, schema->path_count + 1,
                             sizeof *schema->paths);
    if (err) return err;
    *out = (uint32_t)schema->path_count;
    schema->paths[schema->path_count++] = *path;
    return LM_OK;
}

lm_err lm_schema_root_add(lm_schema *schema, lm_str prefix, uint32_t format, uint32_t *out_path)
{
    lm_path path = {.parent = NO_INDEX,
                    .index = NO_INDEX,
                    .field = NO_INDEX,
                    .format = format,
                    .child = NO_INDEX,
                    .sibling = NO_INDEX};
    lm_err err = lm_schema_copy(schema, prefix, &path.name);
    return err ? err : path_push(schema, &path, out_path);
}

static lm_err path_name(lm_schema *schema, lm_path *path)
{
    lm_str prefix = schema->paths[path->parent].name;
    uint8_t *p = lm_arena_alloc(&schema->arena, prefix.len + path->key.len + 8, 1);
    if (!p) return lm_mem_err();
    size_t n = prefix.len;
    if (n) memcpy(p, prefix.ptr, n);
    path->name.ptr = p;
    if (path->index == NO_INDEX) {
        if (n) p[n++] = '.';
        if (path->key.len) memcpy(p + n, path->key.ptr, path->key.len);
        path->key.ptr = p + n;
        n += path->key.len;
    } else {
        p[n++] = '[';
        if (path->index >= 10) p[n++] = (uint8_t)('0' + path->index / 10);
        p[n++] = (uint8_t)('0' + path->index % 10);
        p[n++] = ']';
    }
    path->name.len = n;
    return LM_OK;
}

uint32_t lm_schema_path(const lm_schema *schema, uint32_t parent, lm_str key, uint32_t index,
                        lm_schema *add, lm_err *err)
{
    if (schema->path_slot_count) {
        uint32_t at = schema->path_slots[path_slot(schema, parent, key, index)];
        if (at) return at - 1;
    }
    /* Twice the fields: inner nodes of the trie are no fields. */
    bool full = schema->path_count >= 2 * LM_FIELD_COUNT_MAX || key.len > 256 ||
                (index != NO_INDEX && index >= PATH_INDEX_MAX);
    if (!add || full || *err) return NO_INDEX;
    lm_path path = {.key = key,
                    .parent = parent,
                    .index = index,
                    .field = NO_INDEX,
                    .format = add->paths[parent].format,
                    .child = NO_INDEX,
                    .sibling = NO_INDEX};
    uint32_t at = NO_INDEX;
    *err = path_room(add);
    if (!*err) *err = path_name(add, &path);
    if (!*err) *err = path_push(add, &path, &at);
    if (*err) return NO_INDEX;
    add->path_slots[path_slot(add, parent, path.key, index)] = at + 1;
    return at;
}

static const struct role {
    const char *name;
    uint8_t len, role, rank;
} roles[] = {

#define LM_ROLE_NAME(name, role, rank) {name, sizeof name - 1, LM_ROLE_##role, rank},
#include "schema/schema_roles.def"
#undef LM_ROLE_NAME
};

static bool ends_with_key(lm_str name, lm_str key)
{
    if (name.len < key.len) return false;
    uint8_t differ = name.ptr[name.len - 1] ^ key.ptr[key.len - 1];
    if (differ & (uint8_t)~0x20) return false; /* not even the last letter, in any case: most */
    lm_str tail = lm_str_cut(name, name.len - key.len, name.len);
    return lm_str_equal_nocase(tail, key) &&
           (name.len == key.len || name.ptr[name.len - key.len - 1] == '.');
}

/* startedAt, created_at, EdgeStartTimestamp: a name that ends like one of a time. */
static bool ends_like_time(lm_str name)
{
    static const char *const ends[] = {"_at", "At", "timestamp", "_ts", "_time", "Time"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        lm_str end = lm_str_of(ends[i]);
        bool any_case = end.len > 5;
        if (name.len <= end.len) continue;
        lm_str tail = lm_str_cut(name, name.len - end.len, name.len);
        if (any_case ? lm_str_equal_nocase(tail, end) : lm_str_equal(tail, end)) return true;
    }
    return false;
}

/* A key deeper in the object is a weaker claim. Of arrays the first element's time and level are
 * the record's. */
lm_role lm_role_of(lm_str name, uint8_t *out_rank)
{
    unsigned depth = 0, best = UINT8_MAX;
    bool has_index = false;
    lm_role role = LM_ROLE_NONE;
    for (size_t i = 0; i < name.len; i++) {
        bool is_index = name.ptr[i] == '[';
        if (is_index && (i + 2 >= name.len || name.ptr[i + 1] != '0' || name.ptr[i + 2] != ']'))
            return LM_ROLE_NONE;
        has_index |= is_index;
        depth += name.ptr[i] == '.';
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        lm_str key = {(const uint8_t *)roles[i].name, roles[i].len};
        if (!ends_with_key(name, key)) continue;
        unsigned rank = roles[i].rank;
        if (name.len > key.len) rank = (depth > 1 ? 90u : 70u) + rank / 10;
        if (rank < best) {
            best = rank;
            role = (lm_role)roles[i].role;
        }
    }
    if (has_index && role == LM_ROLE_MESSAGE) role = LM_ROLE_NONE;
    if (role == LM_ROLE_NONE && !has_index && ends_like_time(name)) {
        best = depth ? RANK_ENDING_INNER : RANK_ENDING;
        role = LM_ROLE_TIME;
    }
    *out_rank = (uint8_t)best;
    return role;
}

/* Given formats first; then the more telling; then the one that fits more lines. */
void lm_schema_order(lm_schema *schema)
{
    schema->order_count = 0;
    for (size_t i = 0; i < schema->format_count; i++) {
        const lm_format *format = &schema->formats[i];
        if (format->is_inner) continue;
        size_t at = schema->order_count++;
        while (at > 0) {
            const lm_format *other = &schema->formats[schema->order[at - 1]];
            bool given = format->origin == LM_ORIGIN_GIVEN,
                 other_given = other->origin == LM_ORIGIN_GIVEN;
            bool before = given != other_given              ? given
                          : given                           ? false
                          : format->weight != other->weight ? format->weight > other->weight
                                                            : format->lines > other->lines;
            if (!before) break;
            schema->order[at] = schema->order[at - 1];
            at--;
        }
        schema->order[at] = (uint32_t)i;
    }
}

lm_err lm_engine_add(lm_schema *schema, lm_engine engine, uint32_t *out_format)
{
    bool json = engine == LM_ENGINE_JSON;
    lm_format format = {.engine = (uint8_t)engine,
                        .origin = LM_ORIGIN_NAMED,
                        .weight = json ? 9 : 7,
                        .name = json ? LM_STR("json") : LM_STR("logfmt"),
                        .pattern = json ? LM_STR("{...}") : LM_STR("key=value ...")};
    if (json) {
        lm_set_add(format.first, '{');
        lm_set_add(format.first, ' ');
    } else {
        memset(format.first, 0xff, sizeof format.first);
    }
    lm_err err =
        lm_schema_root_add(schema, (lm_str){0}, (uint32_t)schema->format_count, &format.root);
    return err ? err : lm_schema_format_add(schema, &format, out_format);
}

size_t lm_schema_format_count(const lm_schema *schema)
{
    return schema->view_count;
}

lm_schema_format lm_schema_format_at(const lm_schema *schema, size_t index)
{
    LM_ASSERT(index < schema->view_count);
    return schema->views[index];
}

size_t lm_schema_conflict_count(const lm_schema *schema)
{
    return schema->conflict_count;
}

lm_str lm_schema_conflict_at(const lm_schema *schema, size_t index)
{
    LM_ASSERT(index < schema->conflict_count);
    return schema->conflicts[index];
}

uint64_t lm_schema_line_count(const lm_schema *schema)
{
    return schema->line_count;
}

lm_str lm_schema_signature(const lm_schema *schema)
{
    return schema->signature.len ? schema->signature : LM_STR("text");
}

bool lm_schema_has_clocks(const lm_schema *schema)
{
    bool has_any = false;
    for (size_t i = 0; i < schema->field_count; i++) {
        const lm_info *info = &schema->fields[i];
        if (info->role != LM_ROLE_TIME || !info->stat->count) continue;
        if (info->stat->epoch) return false;
        for (unsigned k = 0; k < info->stat->layout_count; k++) {
            if (lm_time_layout_has_date(info->stat->layouts[k])) return false;
            has_any = true;
        }
    }
    return has_any;
}
