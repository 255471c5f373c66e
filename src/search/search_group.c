/* Counts of matching rows by template, by field, and by time bucket. */
#include "search/search_exec_priv.h"

#include <stdlib.h>

typedef struct entry {
    lm_str key;     /* FIELD: in the arena */
    int64_t number; /* TIME: begin of the bucket; TEMPLATE: id */
    uint64_t count;
} entry;

struct lm_groups {
    lm_mem *mem;
    lm_arena arena;
    const lm_archive *archive;
    const lm_search_options *options;
    entry *entries;
    size_t count, cap;
    uint32_t *slots; /* open addressing: index + 1 */
    size_t slot_cap; /* a power of two */
};

uint32_t lm_template_of(const lm_archive *archive, const lm_shape *shape)
{
    return lm_archive_template_forward(archive, shape->template_id);
}

lm_err lm_groups_new(lm_mem *mem, const lm_archive *archive, const lm_search_options *options,
                     lm_groups **out)
{
    lm_groups *groups = lm_mem_calloc(mem, 1, sizeof *groups);
    if (!groups) return lm_mem_err();
    groups->mem = mem;
    groups->archive = archive;
    groups->options = options;
    lm_arena_init(&groups->arena, mem);
    *out = groups;
    return LM_OK;
}

void lm_groups_free(lm_groups *groups)
{
    if (!groups) return;
    lm_arena_fini(&groups->arena);
    lm_mem_release(groups->mem, groups->entries, groups->cap * sizeof *groups->entries);
    lm_mem_release(groups->mem, groups->slots, groups->slot_cap * sizeof *groups->slots);
    lm_mem_release(groups->mem, groups, sizeof *groups);
}

static uint64_t entry_hash(lm_str key, int64_t number)
{
    return lm_hash64_seed(key.ptr ? key.ptr : (const uint8_t *)"", key.len,
                          lm_hash_u64((uint64_t)number));
}

static lm_err slots_grow(lm_groups *groups)
{
    if ((groups->count + 1) * 2 <= groups->slot_cap) return LM_OK;
    size_t cap = groups->slot_cap ? groups->slot_cap * 2 : 256;
    uint32_t *slots = lm_mem_calloc(groups->mem, cap, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (size_t i = 0; i < groups->count; i++) {
        size_t at = entry_hash(groups->entries[i].key, groups->entries[i].number) & (cap - 1);
        while (slots[at])
            at = (at + 1) & (cap - 1);
        slots[at] = (uint32_t)i + 1;
    }
    lm_mem_release(groups->mem, groups->slots, groups->slot_cap * sizeof *groups->slots);
    groups->slots = slots;
    groups->slot_cap = cap;
    return LM_OK;
}

static lm_err entry_add(lm_groups *groups, lm_str key, int64_t number, uint64_t count)
{
    lm_err err = slots_grow(groups);
    if (err) return err;
    size_t at = entry_hash(key, number) & (groups->slot_cap - 1);
    for (; groups->slots[at]; at = (at + 1) & (groups->slot_cap - 1)) {
        entry *e = &groups->entries[groups->slots[at] - 1];
        if (e->number == number && lm_str_equal(e->key, key)) {
            e->count += count;
            return LM_OK;
        }
    }
    err = lm_vec_grow(groups->mem, &groups->entries, &groups->cap, groups->count + 1,
                      sizeof *groups->entries);
    if (err) return err;
    if (key.len > 0) {
        key.ptr = lm_arena_copy(&groups->arena, key.ptr, key.len);
        if (!key.ptr) return lm_mem_err();
    }
    groups->entries[groups->count++] = (entry){key, number, count};
    groups->slots[at] = (uint32_t)groups->count;
    return LM_OK;
}

static lm_err templates_add(lm_groups *groups, lm_exec *exec, const uint64_t *yes)
{
    lm_str none = {NULL, 0};
    if (!exec->shape_of_row) {
        uint64_t count = 0;
        for (size_t w = 0; w < exec->word_count; w++)
            count += (uint64_t)__builtin_popcountll(yes[w]);
        return count ? entry_add(groups, none, UINT32_MAX, count) : LM_OK;
    }
    uint64_t *by_shape = lm_arena_alloc(&exec->arena, exec->shape_count * sizeof *by_shape, 8);
    if (!by_shape) return lm_mem_err();
    memset(by_shape, 0, exec->shape_count * sizeof *by_shape);
    for (size_t w = 0; w < exec->word_count; w++) {
        for (uint64_t left = yes[w]; left; left &= left - 1)
            by_shape[exec->shape_of_row[w * 64 + (size_t)__builtin_ctzll(left)]]++;
    }
    for (size_t s = 0; s < exec->shape_count; s++) {
        lm_err err = by_shape[s]
                         ? entry_add(groups, none, lm_template_of(exec->archive, &exec->shapes[s]),
                                     by_shape[s])
                         : LM_OK;
        if (err) return err;
    }
    return LM_OK;
}

static lm_err times_add(lm_groups *groups, lm_exec *exec, const uint64_t *yes)
{
    const int64_t *times = NULL;
    int64_t width = groups->options->group_bucket_ns, bucket = 0;
    uint64_t count = 0;
    lm_err err = lm_segment_times(exec->segment, &times);
    for (size_t w = 0; w < exec->word_count && !err; w++) {
        for (uint64_t left = yes[w]; left && !err; left &= left - 1) {
            int64_t time = times[w * 64 + (size_t)__builtin_ctzll(left)];
            int64_t into = time % width, begin = time;
            if (time != INT64_MIN)
                begin = into < 0 && time - into < INT64_MIN + width
                            ? INT64_MIN + 1
                            : time - into - (into < 0 ? width : 0);
            if (count && begin == bucket) {
                count++;
                continue;
            }
            if (count) err = entry_add(groups, (lm_str){NULL, 0}, bucket, count);
            bucket = begin;
            count = 1;
        }
    }
    return err || !count ? err : entry_add(groups, (lm_str){NULL, 0}, bucket, count);
}

static lm_err fields_add(lm_groups *groups, lm_exec *exec, const uint64_t *yes)
{
    lm_walk walk;
    lm_batch batch;
    bool any = true;
    uint64_t *none = lm_exec_set(exec);
    if (!none) return lm_mem_err();
    lm_walk_init(&walk, exec, yes, none, false, false);
    lm_batch_init(exec, &batch);
    lm_err err = LM_OK;
    while (!err && any) {
        size_t head_index = SIZE_MAX;
        err = lm_walk_next(&walk, LM_BATCH_ROWS, &batch, &any);
        for (size_t i = 0; !err && any && i < batch.rows.count; i++) {
            uint32_t row = batch.rows.rows[i];
            const lm_fields *fields;
            if (exec->continues && !lm_row_has(exec->continues, row)) head_index = i;
            err = lm_head_cache_get(exec, &walk.head, &batch.rows, i, head_index, &fields);
            if (err) break;
            const lm_field *field = lm_query_field(fields, groups->options->group_field);
            err = entry_add(groups, field ? field->value : (lm_str){NULL, 0}, 0, 1);
        }
    }
    lm_batch_fini(exec, &batch);
    lm_walk_fini(&walk);
    lm_exec_set_free(exec, none);
    return err;
}

lm_err lm_groups_add(lm_groups *groups, lm_exec *exec, const uint64_t *yes)
{
    switch (groups->options->group_by) {
    case LM_GROUP_TEMPLATE:
        return templates_add(groups, exec, yes);
    case LM_GROUP_TIME:
        return times_add(groups, exec, yes);
    case LM_GROUP_FIELD:
        return fields_add(groups, exec, yes);
    case LM_GROUP_NONE:
        break;
    }
    return LM_OK;
}

static int by_count(const void *a, const void *b)
{
    const lm_group_count *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    int order = lm_str_compare(x->key, y->key);
    return order ? order : (x->template_id > y->template_id) - (x->template_id < y->template_id);
}

static int by_time(const void *a, const void *b)
{
    const lm_group_count *x = a, *y = b;
    return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

lm_err lm_groups_report(lm_groups *groups, lm_arena *arena, lm_search_report *report)
{
    bool is_time = groups->options->group_by == LM_GROUP_TIME,
         is_template = groups->options->group_by == LM_GROUP_TEMPLATE;
    lm_group_count *list =
        lm_arena_alloc(arena, groups->count * sizeof *list, _Alignof(lm_group_count));
    if (!list) return lm_mem_err();
    for (size_t i = 0; i < groups->count; i++) {
        const entry *e = &groups->entries[i];
        lm_group_count *to = &list[i];
        *to = (lm_group_count){{(const uint8_t *)"", 0},
                               is_time ? e->number : INT64_MIN,
                               is_template ? (uint32_t)e->number : UINT32_MAX,
                               e->count};
        if (is_template && to->template_id < lm_archive_template_count(groups->archive)) {
            to->key = lm_archive_template_at(groups->archive, to->template_id)->text;
        } else if (e->key.len > 0) {
            to->key = (lm_str){lm_arena_copy(arena, e->key.ptr, e->key.len), e->key.len};
            if (!to->key.ptr) return lm_mem_err();
        }
    }
    if (groups->count > 1) qsort(list, groups->count, sizeof *list, is_time ? by_time : by_count);
    report->groups = list;
    report->group_count = groups->count;
    return LM_OK;
}
