/** Series known by their labels: a table of hashes over copies. */
#include "logql/logql_priv.h"

#include <stdlib.h>

void lm_lq_series_init(lm_lq_series_table *t, lm_mem *mem)
{
    *t = (lm_lq_series_table){.mem = mem};
    lm_arena_init(&t->arena, mem);
}

void lm_lq_series_fini(lm_lq_series_table *t)
{
    lm_mem_release(t->mem, t->labels, t->cap * sizeof *t->labels);
    lm_mem_release(t->mem, t->hashes, t->hash_cap * sizeof *t->hashes);
    lm_mem_release(t->mem, t->slots, t->slot_count * sizeof *t->slots);
    lm_arena_fini(&t->arena);
    *t = (lm_lq_series_table){.mem = t->mem};
}

/** Slots hold a series' number + 1; at most half of them are taken. */
static uint32_t *slot_of(const lm_lq_series_table *t, uint64_t hash, lm_labels labels)
{
    size_t mask = t->slot_count - 1, at = (size_t)hash & mask;
    while (t->slots[at]) {
        uint32_t i = t->slots[at] - 1;
        if (t->hashes[i] == hash && lm_lq_labels_equal(t->labels[i], labels)) break;
        at = (at + 1) & mask;
    }
    return &t->slots[at];
}

static lm_err grow_slots(lm_lq_series_table *t)
{
    size_t count = t->slot_count ? t->slot_count * 2 : 16;
    uint32_t *slots = lm_mem_calloc(t->mem, count, sizeof *slots);
    if (!slots) return lm_mem_err();
    lm_mem_release(t->mem, t->slots, t->slot_count * sizeof *t->slots);
    t->slots = slots;
    t->slot_count = count;
    for (size_t i = 0; i < t->count; i++) {
        size_t at = (size_t)t->hashes[i] & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    return LM_OK;
}

lm_err lm_lq_series_of(lm_lq_series_table *t, lm_labels labels, uint32_t *out)
{
    lm_err err = LM_OK;
    if (t->slot_count < 2 * (t->count + 1)) {
        err = grow_slots(t);
        if (err) return err;
    }
    uint64_t hash = lm_lq_labels_hash(labels);
    uint32_t *slot = slot_of(t, hash, labels);
    if (!*slot) {
        if (t->count >= LM_LOGQL_SERIES_MAX) {
            return lm_fail(LM_E_LIMIT,
                           "maximum number of series (%d) reached for a single query; consider "
                           "reducing query cardinality by adding more specific stream selectors, "
                           "reducing the time range, or aggregating results with functions like "
                           "sum(), count() or topk()",
                           LM_LOGQL_SERIES_MAX);
        }
        err = lm_vec_grow(t->mem, &t->labels, &t->cap, t->count + 1, sizeof *t->labels);
        if (!err)
            err = lm_vec_grow(t->mem, &t->hashes, &t->hash_cap, t->count + 1, sizeof *t->hashes);
        if (!err) err = lm_lq_labels_copy(labels, &t->arena, &t->labels[t->count]);
        if (err) return err;
        t->hashes[t->count++] = hash;
        *slot = (uint32_t)t->count;
    }
    *out = *slot - 1;
    return LM_OK;
}

lm_err lm_lq_vector_add(lm_mem *mem, lm_lq_vector *v, uint32_t series, double value)
{
    if (v->count == v->cap) {
        lm_err err = lm_vec_grow(mem, &v->items, &v->cap, v->count + 1, sizeof *v->items);
        if (err) return err;
    }
    v->items[v->count++] = (lm_lq_sample){series, value};
    return LM_OK;
}
