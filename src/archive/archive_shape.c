/**
 * Shapes: the distinct skeletons of a segment, and which role each of their variables has.
 *
 * A role is what a variable means, as far as the text shows: its kind and the up to ROLE_CONTEXT
 * constant bytes before it; where those are few, also the role of the variable before. All shapes
 * share the roles, so that `status=<>` feeds one column whatever else its lines say (columns by
 * role, not by shape and position: the largest single gain of the trials). The reader derives the
 * same roles from the same skeletons in the same order, so nothing about them is stored.
 */
#include "archive/archive_priv.h"

enum {
    ROLE_CONTEXT = 12,    /* constant bytes that name a role, at most */
    ROLE_WORD_MIN = 4,    /* a blank nearer than this does not end them */
    ROLE_CHAIN_BELOW = 4, /* with fewer, the role before counts as well */
    ROLE_CHAIN_MAX = 6    /* longest chain; a longer list's items share one role */
};

void lm_shapes_init(lm_shapes *shapes, lm_mem *mem)
{
    *shapes = (lm_shapes){.mem = mem};
    lm_buf_init(&shapes->skeletons, mem);
}

void lm_shapes_fini(lm_shapes *shapes)
{
    lm_mem *mem = shapes->mem;
    lm_buf_fini(&shapes->skeletons);
    lm_mem_release(mem, shapes->items, shapes->cap * sizeof *shapes->items);
    lm_mem_release(mem, shapes->slots, shapes->slot_cap * sizeof *shapes->slots);
    lm_mem_release(mem, shapes->var_roles, shapes->var_cap * sizeof *shapes->var_roles);
    lm_mem_release(mem, shapes->role_keys, shapes->role_cap * sizeof *shapes->role_keys);
    lm_mem_release(mem, shapes->role_slots, shapes->role_slot_cap * sizeof *shapes->role_slots);
    *shapes = (lm_shapes){.mem = mem};
}

/** Double an open-addressing table of indexes + 1; hash_of gives the hash of index i. */
static lm_err grow_slots(lm_mem *mem, uint32_t **slots, size_t *slot_cap, size_t count,
                         uint64_t (*hash_of)(const void *ctx, size_t i), const void *ctx)
{
    size_t cap = *slot_cap ? *slot_cap * 2 : 256;
    uint32_t *fresh = lm_mem_calloc(mem, cap, sizeof *fresh);
    if (!fresh) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        size_t at = hash_of(ctx, i) & (cap - 1);
        while (fresh[at])
            at = (at + 1) & (cap - 1);
        fresh[at] = (uint32_t)i + 1;
    }
    lm_mem_release(mem, *slots, *slot_cap * sizeof **slots);
    *slots = fresh;
    *slot_cap = cap;
    return LM_OK;
}

static uint64_t role_hash(const void *ctx, size_t i)
{
    return ((const lm_shapes *)ctx)->role_keys[i];
}

static uint64_t shape_hash(const void *ctx, size_t i)
{
    return ((const lm_shapes *)ctx)->items[i].hash;
}

static lm_err role_intern(lm_shapes *shapes, uint64_t key, uint32_t *out)
{
    if (shapes->role_count * 2 >= shapes->role_slot_cap) {
        lm_err err = grow_slots(shapes->mem, &shapes->role_slots, &shapes->role_slot_cap,
                                shapes->role_count, role_hash, shapes);
        if (err) return err;
    }
    size_t mask = shapes->role_slot_cap - 1;
    size_t at = key & mask;
    for (; shapes->role_slots[at]; at = (at + 1) & mask) {
        uint32_t index = shapes->role_slots[at] - 1;
        if (shapes->role_keys[index] == key) {
            *out = index;
            return LM_OK;
        }
    }
    if (shapes->role_count >= LM_COLUMN_COUNT_MAX / 4) {
        return lm_fail(LM_E_LIMIT, "more than %d kinds of variables in one segment",
                       LM_COLUMN_COUNT_MAX / 4);
    }
    lm_err err = lm_vec_grow(shapes->mem, &shapes->role_keys, &shapes->role_cap,
                             shapes->role_count + 1, sizeof *shapes->role_keys);
    if (err) return err;
    shapes->role_keys[shapes->role_count] = key;
    shapes->role_slots[at] = (uint32_t)++shapes->role_count;
    *out = (uint32_t)shapes->role_count - 1;
    return LM_OK;
}

/** The last bytes of the constant text before a variable that name its role: back to a blank, but
 * not too few. */
static lm_str role_context(lm_str text)
{
    size_t begin = text.len < ROLE_CONTEXT ? 0 : text.len - ROLE_CONTEXT;
    size_t end = text.len < ROLE_WORD_MIN ? 0 : text.len - ROLE_WORD_MIN;
    const uint8_t *blank = end > begin ? memrchr(text.ptr + begin, ' ', end - begin) : NULL;
    if (blank) begin = (size_t)(blank - text.ptr);
    return (lm_str){text.ptr + begin, text.len - begin};
}

/** Roles of one skeleton's variables, appended to var_roles. */
static lm_err assign_roles(lm_shapes *shapes, const uint8_t *skeleton, size_t len)
{
    lm_skeleton_walk walk = {skeleton, skeleton + len};
    uint64_t previous = 1, anchor = 1;
    unsigned chain = 0;
    lm_str text;
    uint8_t kind;
    while (lm_skeleton_next(&walk, &text, &kind)) {
        lm_str context = role_context(text);
        uint64_t seed = kind;
        if (text.len >= ROLE_CHAIN_BELOW) {
            chain = 0;
        } else {
            seed ^= chain < ROLE_CHAIN_MAX ? previous : anchor;
            chain++;
        }
        uint64_t key = lm_hash64_seed(context.ptr, context.len, seed);
        if (chain == 0 || chain == ROLE_CHAIN_MAX) anchor = key;
        previous = key;
        uint32_t role = 0;
        lm_err err = role_intern(shapes, key, &role);
        if (err) return err;
        err = lm_vec_grow(shapes->mem, &shapes->var_roles, &shapes->var_cap, shapes->var_count + 1,
                          sizeof *shapes->var_roles);
        if (err) return err;
        shapes->var_roles[shapes->var_count++] = role;
    }
    return LM_OK;
}

lm_err lm_shapes_append(lm_shapes *shapes, const uint8_t *skeleton, size_t len, uint64_t hash)
{
    if (shapes->count >= LM_SHAPE_COUNT_MAX) {
        return lm_fail(LM_E_LIMIT, "more than %d line shapes in one segment", LM_SHAPE_COUNT_MAX);
    }
    lm_err err = lm_vec_grow(shapes->mem, &shapes->items, &shapes->cap, shapes->count + 1,
                             sizeof *shapes->items);
    if (err) return err;
    /* so that it is somewhere, also when no shape has variables */
    err = lm_vec_grow(shapes->mem, &shapes->var_roles, &shapes->var_cap, shapes->var_count + 1,
                      sizeof *shapes->var_roles);
    if (err) return err;
    size_t first_var = shapes->var_count;
    err = assign_roles(shapes, skeleton, len);
    if (err) return err;
    size_t offset = shapes->skeletons.len;
    err = lm_buf_reserve(&shapes->skeletons, len + 1);
    if (err) return err;
    if (len) memcpy(shapes->skeletons.ptr + offset, skeleton, len);
    shapes->skeletons.ptr[offset + len] = '\n';
    shapes->skeletons.len += len + 1;
    shapes->items[shapes->count++] = (lm_shape_entry){
        .hash = hash,
        .skeleton = (uint32_t)offset,
        .skeleton_len = (uint32_t)len,
        .first_var = (uint32_t)first_var,
        .var_count = (uint32_t)(shapes->var_count - first_var),
    };
    return LM_OK;
}

lm_err lm_shapes_intern(lm_shapes *shapes, const uint8_t *skeleton, size_t len, uint32_t *out)
{
    uint64_t hash = lm_hash64(skeleton, len);
    if (shapes->count * 2 >= shapes->slot_cap) {
        lm_err err = grow_slots(shapes->mem, &shapes->slots, &shapes->slot_cap, shapes->count,
                                shape_hash, shapes);
        if (err) return err;
    }
    size_t mask = shapes->slot_cap - 1;
    size_t at = hash & mask;
    for (; shapes->slots[at]; at = (at + 1) & mask) {
        const lm_shape_entry *entry = &shapes->items[shapes->slots[at] - 1];
        if (entry->hash == hash && entry->skeleton_len == len &&
            memcmp(shapes->skeletons.ptr + entry->skeleton, skeleton, len) == 0) {
            *out = shapes->slots[at] - 1;
            return LM_OK;
        }
    }
    lm_err err = lm_shapes_append(shapes, skeleton, len, hash);
    if (err) return err;
    shapes->slots[at] = (uint32_t)shapes->count;
    *out = (uint32_t)shapes->count - 1;
    return LM_OK;
}

lm_err lm_skeletons_as_templates(lm_str skeletons, lm_buf *out)
{
    for (size_t at = 0; at < skeletons.len && out->len < LM_TEXTS_LIKE_MAX;) {
        const uint8_t *mark = memchr(skeletons.ptr + at, LM_MARK, skeletons.len - at);
        size_t end = mark ? (size_t)(mark - skeletons.ptr) : skeletons.len;
        lm_err err = lm_buf_reserve(out, end - at + 3);
        if (err) return err;
        memcpy(out->ptr + out->len, skeletons.ptr + at, end - at);
        out->len += end - at;
        if (mark) {
            memcpy(out->ptr + out->len, "<*>", 3);
            out->len += 3;
        }
        at = mark ? end + 2 : end;
    }
    return LM_OK;
}
