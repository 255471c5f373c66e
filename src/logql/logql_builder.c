/** The labels of one record on its way through the stages: those of its stream, its structured
 * metadata, and what parsers made, with Loki's rules of precedence. */
#include "logql/logql_priv.h"

#include <stdlib.h>

#define EXTRACTED LM_STR("_extracted")

void lm_lq_builder_init(lm_lq_builder *b, lm_mem *mem)
{
    *b = (lm_lq_builder){.mem = mem};
}

void lm_lq_builder_fini(lm_lq_builder *b)
{
    lm_mem_release(b->mem, b->items, b->cap * sizeof *b->items);
    lm_mem_release(b->mem, b->deleted, b->deleted_cap * sizeof *b->deleted);
    *b = (lm_lq_builder){.mem = b->mem};
}

static uint64_t mark_of(lm_str name)
{
    if (!name.len) return 1;
    unsigned bit = name.ptr[0] * 7u + name.ptr[name.len - 1] * 13u + (unsigned)name.len * 3u;
    return UINT64_C(1) << (bit & 63);
}

void lm_lq_builder_reset(lm_lq_builder *b, lm_labels base)
{
    b->base = base;
    b->base_marks = b->item_marks = 0;
    b->has_metadata = false;
    for (uint32_t i = 0; i < base.count; i++)
        b->base_marks |= mark_of(base.items[i].name);
    b->count = 0;
    b->deleted_count = 0;
    b->error = LM_STR("");
    b->details = LM_STR("");
}

static const lm_label *base_find(const lm_lq_builder *b, lm_str name)
{
    lm_labels base = b->base;
    if (!(b->base_marks & mark_of(name))) return NULL;
    for (uint32_t i = 0; i < base.count; i++) {
        if (lm_str_equal(base.items[i].name, name)) return &base.items[i];
    }
    return NULL;
}

static lm_lq_item *item_find(const lm_lq_builder *b, lm_lq_category category, lm_str name)
{
    if (!(b->item_marks & mark_of(name))) return NULL;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].category == (uint8_t)category && lm_str_equal(b->items[i].name, name))
            return &b->items[i];
    }
    return NULL;
}

static bool is_deleted(const lm_lq_builder *b, lm_str name)
{
    for (uint32_t i = 0; i < b->deleted_count; i++) {
        if (lm_str_equal(b->deleted[i], name)) return true;
    }
    return false;
}

static lm_err item_add(lm_lq_builder *b, lm_lq_category category, lm_str name, lm_str value)
{
    if (b->count == b->cap) {
        size_t cap = b->cap;
        lm_err err = lm_vec_grow(b->mem, &b->items, &cap, b->count + 1, sizeof *b->items);
        if (err) return err;
        b->cap = (uint32_t)cap;
    }
    b->items[b->count++] = (lm_lq_item){name, value, (uint8_t)category, true};
    b->item_marks |= mark_of(name);
    return LM_OK;
}

static lm_err item_set(lm_lq_builder *b, lm_lq_category category, lm_str name, lm_str value)
{
    lm_lq_item *item = item_find(b, category, name);
    if (!item) return item_add(b, category, name, value);
    item->value = value;
    item->is_live = true;
    return LM_OK;
}

lm_err lm_lq_builder_metadata(lm_lq_builder *b, lm_labels metadata, lm_arena *scratch)
{
    b->has_metadata = metadata.count > 0;
    for (uint32_t i = 0; i < metadata.count; i++) {
        lm_str name = metadata.items[i].name, value = metadata.items[i].value;
        if (base_find(b, name)) {
            uint8_t *longer = lm_arena_alloc(scratch, name.len + EXTRACTED.len, 1);
            if (!longer) return lm_mem_err();
            memcpy(longer, name.ptr, name.len);
            memcpy(longer + name.len, EXTRACTED.ptr, EXTRACTED.len);
            name = (lm_str){longer, name.len + EXTRACTED.len};
        }
        if (lm_str_equal(name, LM_STR("__error__"))) {
            b->error = value;
        } else if (lm_str_equal(name, LM_STR("__error_details__"))) {
            b->details = value;
        } else {
            lm_err err = item_set(b, LM_LQ_METADATA, name, value);
            if (err) return err;
        }
    }
    return LM_OK;
}

bool lm_lq_builder_get(const lm_lq_builder *b, lm_str name, lm_str *out)
{
    bool may_be = b->item_marks & mark_of(name);
    for (uint32_t i = 0; may_be && i < b->count; i++) {
        if (b->items[i].is_live && lm_str_equal(b->items[i].name, name)) {
            *out = b->items[i].value;
            return true;
        }
    }
    const lm_label *base = is_deleted(b, name) ? NULL : base_find(b, name);
    *out = base ? base->value : LM_STR("");
    return base && base->value.len;
}

bool lm_lq_builder_collides(const lm_lq_builder *b, lm_str name)
{
    if (base_find(b, name)) return true;
    const lm_lq_item *item = b->has_metadata ? item_find(b, LM_LQ_METADATA, name) : NULL;
    return item && item->is_live;
}

bool lm_lq_builder_extracted(const lm_lq_builder *b, lm_str name)
{
    return item_find(b, LM_LQ_PARSED, name) != NULL;
}

lm_err lm_lq_builder_set(lm_lq_builder *b, lm_str name, lm_str value)
{
    lm_lq_item *metadata = b->has_metadata ? item_find(b, LM_LQ_METADATA, name) : NULL;
    if (metadata) metadata->is_live = false;
    return item_set(b, LM_LQ_PARSED, name, value);
}

lm_err lm_lq_builder_add(lm_lq_builder *b, lm_str name, lm_str value)
{
    return item_add(b, LM_LQ_PARSED, name, value);
}

lm_err lm_lq_builder_delete(lm_lq_builder *b, lm_str name)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (lm_str_equal(b->items[i].name, name)) b->items[i].is_live = false;
    }
    if (b->deleted_count == b->deleted_cap) {
        size_t cap = b->deleted_cap;
        lm_err err =
            lm_vec_grow(b->mem, &b->deleted, &cap, b->deleted_count + 1, sizeof *b->deleted);
        if (err) return err;
        b->deleted_cap = (uint32_t)cap;
    }
    b->deleted[b->deleted_count++] = name;
    return LM_OK;
}

bool lm_lq_builder_is_plain(const lm_lq_builder *b)
{
    return b->count == 0 && b->deleted_count == 0 && b->error.len == 0;
}

/* ---- results ---- */

/** The first bytes of a name as a number that orders like them. */
static uint64_t head_of(lm_str name)
{
    uint64_t head = 0;
    if (name.len >= 8) {
        memcpy(&head, name.ptr, 8);
        return __builtin_bswap64(head);
    }
    for (size_t i = 0; i < name.len; i++)
        head |= (uint64_t)name.ptr[i] << (56 - 8 * i);
    return head;
}

#define HEADS_MAX 64

void lm_lq_labels_sort(lm_label *items, uint32_t count)
{
    uint64_t heads[HEADS_MAX]; /* of the labels that are in order; most names differ early */
    bool has_heads = count <= HEADS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        lm_label item = items[i];
        uint64_t head = has_heads ? head_of(item.name) : 0;
        uint32_t at = i;
        while (at && ((has_heads && heads[at - 1] != head)
                          ? heads[at - 1] > head
                          : lm_str_compare(items[at - 1].name, item.name) > 0)) {
            items[at] = items[at - 1];
            if (has_heads) heads[at] = heads[at - 1];
            at--;
        }
        items[at] = item;
        if (has_heads) heads[at] = head;
    }
}

static bool is_overridden(const lm_lq_builder *b, lm_str name)
{
    if (!(b->item_marks & mark_of(name))) return false;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].is_live && lm_str_equal(b->items[i].name, name)) return true;
    }
    return false;
}

lm_err lm_lq_builder_labels(const lm_lq_builder *b, lm_arena *arena, lm_labels *out,
                            lm_labels *metadata, lm_labels *parsed)
{
    size_t room = (size_t)b->base.count + b->count + 2;
    lm_label *all = lm_arena_alloc(arena, room * sizeof *all, _Alignof(lm_label));
    if (!all) return lm_mem_err();
    uint32_t len = 0;
    for (uint32_t i = 0; i < b->base.count; i++) {
        const lm_label *label = &b->base.items[i];
        if (!is_deleted(b, label->name) && !is_overridden(b, label->name)) all[len++] = *label;
    }
    for (int category = LM_LQ_METADATA; category <= LM_LQ_PARSED; category++) {
        uint32_t begin = len;
        for (uint32_t i = 0; i < b->count; i++) {
            const lm_lq_item *item = &b->items[i];
            if (item->is_live && item->category == category)
                all[len++] = (lm_label){item->name, item->value};
        }
        if (category == LM_LQ_PARSED && b->error.len)
            all[len++] = (lm_label){LM_STR("__error__"), b->error};
        if (category == LM_LQ_PARSED && b->error.len && b->details.len)
            all[len++] = (lm_label){LM_STR("__error_details__"), b->details};
        lm_labels *part = category == LM_LQ_METADATA ? metadata : parsed;
        if (!part) continue;
        *part = (lm_labels){NULL, len - begin};
        if (len == begin) continue;
        lm_label *items = lm_arena_alloc(arena, (len - begin) * sizeof *items, _Alignof(lm_label));
        if (!items) return lm_mem_err();
        memcpy(items, all + begin, (len - begin) * sizeof *items);
        lm_lq_labels_sort(items, len - begin);
        part->items = items;
    }
    lm_lq_labels_sort(all, len);
    *out = (lm_labels){all, len};
    return LM_OK;
}

static bool is_named(const lm_str *names, uint32_t count, lm_str name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (lm_str_equal(names[i], name)) return true;
    }
    return false;
}

lm_err lm_lq_builder_grouped(const lm_lq_builder *b, const lm_str *names, uint32_t count,
                             bool is_without, lm_arena *arena, lm_labels *out)
{
    if (!is_without) {
        lm_label *few = lm_arena_alloc(arena, (count + 1) * sizeof *few, _Alignof(lm_label));
        if (!few) return lm_mem_err();
        uint32_t len = 0;
        for (uint32_t i = 0; i < count; i++) {
            lm_str value;
            if (is_named(names, i, names[i])) continue;
            if (lm_lq_builder_get(b, names[i], &value)) /* a parsed one may be empty */
                few[len++] = (lm_label){names[i], value};
        }
        lm_lq_labels_sort(few, len);
        *out = (lm_labels){few, len};
        return LM_OK;
    }
    lm_labels all;
    lm_err err = lm_lq_builder_labels(b, arena, &all, NULL, NULL);
    if (err) return err;
    lm_label *items = (lm_label *)all.items; /* made just now, in arena */
    uint32_t len = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (!is_named(names, count, items[i].name)) items[len++] = items[i];
    }
    *out = (lm_labels){items, len};
    return LM_OK;
}

lm_err lm_lq_labels_copy(lm_labels labels, lm_arena *arena, lm_labels *out)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < labels.count; i++)
        bytes += labels.items[i].name.len + labels.items[i].value.len;
    if (labels.count == 0) {
        *out = (lm_labels){NULL, 0};
        return LM_OK;
    }
    lm_label *items =
        lm_arena_alloc(arena, labels.count * sizeof *items + bytes, _Alignof(lm_label));
    if (!items) return lm_mem_err();
    uint8_t *text = (uint8_t *)(items + labels.count);
    for (uint32_t i = 0; i < labels.count; i++) {
        lm_str name = labels.items[i].name, value = labels.items[i].value;
        if (name.len) memcpy(text, name.ptr, name.len);
        if (value.len) memcpy(text + name.len, value.ptr, value.len);
        items[i] = (lm_label){{text, name.len}, {text + name.len, value.len}};
        text += name.len + value.len;
    }
    *out = (lm_labels){items, labels.count};
    return LM_OK;
}

uint64_t lm_lq_labels_hash(lm_labels labels)
{
    uint64_t hash = labels.count;
    for (uint32_t i = 0; i < labels.count; i++) {
        lm_str name = labels.items[i].name, value = labels.items[i].value;
        hash = lm_hash64_seed(name.ptr ? name.ptr : (const uint8_t *)"", name.len, hash);
        hash = lm_hash64_seed(value.ptr ? value.ptr : (const uint8_t *)"", value.len, hash);
    }
    return hash;
}

bool lm_lq_labels_equal(lm_labels a, lm_labels b)
{
    if (a.count != b.count) return false;
    for (uint32_t i = 0; i < a.count; i++) {
        if (!lm_str_equal(a.items[i].name, b.items[i].name) ||
            !lm_str_equal(a.items[i].value, b.items[i].value))
            return false;
    }
    return true;
}

int lm_lq_labels_compare(lm_labels a, lm_labels b)
{
    uint32_t count = a.count < b.count ? a.count : b.count;
    for (uint32_t i = 0; i < count; i++) {
        int order = lm_str_compare(a.items[i].name, b.items[i].name);
        if (!order) order = lm_str_compare(a.items[i].value, b.items[i].value);
        if (order) return order;
    }
    return (a.count > b.count) - (a.count < b.count);
}
