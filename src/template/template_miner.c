/** The miner's door: making, feeding, joining and asking. The tables are in template_table.c. */
#include "template/template_priv.h"

enum {
    CACHE_SLOTS_MIN = 1 << 10,
    CACHE_SLOTS_MAX = 1 << 17,
    CACHE_BYTES_MAX = 8 << 20,
};

lm_err lm_miner_new(lm_mem *mem, const lm_miner_options *options, lm_miner **out)
{
    static const lm_miner_options defaults = {0};
    if (!options) options = &defaults;
    lm_miner *m = lm_mem_calloc(mem, 1, sizeof *m);
    if (!m) return lm_mem_err();
    m->magic = MINER_MAGIC;
    m->mem = mem;
    m->shape_count_max =
        options->shape_count_max ? options->shape_count_max : LM_MINER_SHAPE_COUNT_MAX;
    m->template_count_max =
        options->template_count_max ? options->template_count_max : LM_TEMPLATE_COUNT_MAX;
    m->table_bytes_max =
        options->table_bytes_max ? options->table_bytes_max : LM_MINER_TABLE_BYTES_MAX;
    m->rest_shape = NO_INDEX;
    m->rest_template = NO_INDEX;
    lm_buf_init(&m->cache_bytes, mem);
    lm_buf_init(&m->token_bytes, mem);
    lm_arena_init(&m->text_arena, mem);
    lm_arena_init(&m->rule_arena, mem);
    lm_err err = template_table_init(m);
    /* both exist from the start: a table of empty shapes only would else point into nothing */
    if (!err)
        err = lm_vec_grow(mem, &m->shape_tokens, &m->shape_token_cap, 1, sizeof *m->shape_tokens);
    if (!err)
        err = lm_vec_grow(mem, &m->group_tokens, &m->group_token_cap, 1, sizeof *m->group_tokens);
    if (err) {
        lm_miner_free(m);
        return err;
    }
    *out = m;
    return LM_OK;
}

void lm_miner_free(lm_miner *m)
{
    if (!m) return;
    LM_ASSERT(m->magic == MINER_MAGIC);
    lm_mem_release(m->mem, m->cache, m->cache_slot_count * sizeof *m->cache);
    lm_buf_fini(&m->cache_bytes);
    template_table_fini(m);
    lm_mem_release(m->mem, m->templates, m->template_cap * sizeof *m->templates);
    lm_mem_release(m->mem, m->rules, m->rule_count * sizeof *m->rules);
    lm_arena_fini(&m->text_arena);
    lm_arena_fini(&m->rule_arena);
    m->magic = 0;
    lm_mem_release(m->mem, m, sizeof *m);
}

/* ---- the cache of known lines ---- */

static uint32_t cache_find(const lm_miner *m, const uint8_t *skeleton, size_t len, uint64_t hash)
{
    if (m->cache_slot_count == 0) return NO_INDEX;
    size_t mask = m->cache_slot_count - 1;
    for (size_t at = (size_t)hash & mask;; at = (at + 1) & mask) {
        const cache_slot *slot = &m->cache[at];
        if (slot->len == 0) return NO_INDEX;
        if (slot->hash == hash && slot->len == len &&
            memcmp(m->cache_bytes.ptr + slot->offset, skeleton, len) == 0)
            return slot->shape;
    }
}

static lm_err cache_resize(lm_miner *m, size_t slot_count)
{
    cache_slot *slots = lm_mem_calloc(m->mem, slot_count, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (size_t i = 0; i < m->cache_slot_count; i++) {
        if (m->cache[i].len == 0) continue;
        size_t at = (size_t)m->cache[i].hash & (slot_count - 1);
        while (slots[at].len)
            at = (at + 1) & (slot_count - 1);
        slots[at] = m->cache[i];
    }
    lm_mem_release(m->mem, m->cache, m->cache_slot_count * sizeof *m->cache);
    m->cache = slots;
    m->cache_slot_count = slot_count;
    return LM_OK;
}

/* The cache only saves work: when it is full it starts anew, but not for a line that came for the
 * first time, because many never come again. */
static lm_err cache_insert(lm_miner *m, const uint8_t *skeleton, size_t len, uint64_t hash,
                           uint32_t shape_index, bool is_first)
{
    if (len == 0) return LM_OK;
    bool is_over =
        m->cache_bytes.len + len > CACHE_BYTES_MAX || (m->cache_used + 1) * 2 > CACHE_SLOTS_MAX;
    if (is_over && is_first) return LM_OK;
    if (is_over) {
        memset(m->cache, 0, m->cache_slot_count * sizeof *m->cache);
        m->cache_used = m->cache_bytes.len = 0;
    }
    if ((m->cache_used + 1) * 2 > m->cache_slot_count) {
        lm_err err =
            cache_resize(m, m->cache_slot_count ? m->cache_slot_count * 2 : CACHE_SLOTS_MIN);
        if (err) return err;
    }
    uint32_t offset = (uint32_t)m->cache_bytes.len;
    lm_err err = lm_buf_append(&m->cache_bytes, skeleton, len);
    if (err) return err;
    size_t mask = m->cache_slot_count - 1, at = (size_t)hash & mask;
    while (m->cache[at].len)
        at = (at + 1) & mask;
    m->cache[at] = (cache_slot){hash, offset, (uint32_t)len, shape_index};
    m->cache_used++;
    return LM_OK;
}

/* The rare way: a skeleton not seen lately. Kept apart so that the hot path has a small frame. */
static __attribute__((noinline)) lm_err add_unknown(lm_miner *m, const uint8_t *skeleton,
                                                    size_t len, bool is_cut, uint64_t hash,
                                                    uint32_t *out_shape)
{
    raw_line line;
    uint32_t shape_index = 0;
    size_t known = m->shape_count;
    template_mask(skeleton, len, is_cut, &line);
    lm_err err = template_shape_of(m, &line, &shape_index);
    if (err) return err;
    if (shape_index != m->rest_shape) { /* what fits nothing rarely comes again */
        err = cache_insert(m, skeleton, len, hash, shape_index, shape_index >= known);
        if (err) return err;
    }
    *out_shape = shape_index;
    return LM_OK;
}

lm_err lm_miner_add(lm_miner *m, lm_str message, uint32_t *out_shape)
{
    LM_DEBUG_ASSERT(m->magic == MINER_MAGIC);
    uint8_t skeleton[SKELETON_BYTES_MAX];
    bool is_cut = message.len > MESSAGE_BYTES_MAX;
    if (is_cut) message.len = MESSAGE_BYTES_MAX;
    size_t len = template_skeleton(message, skeleton);
    uint64_t hash = lm_hash64_seed(skeleton, len, is_cut);
    uint32_t found = cache_find(m, skeleton, len, hash);
    if (found == NO_INDEX) return add_unknown(m, skeleton, len, is_cut, hash, out_shape);
    m->rest_count += found == m->rest_shape;
    *out_shape = found;
    return LM_OK;
}

/* ---- joining ---- */

static lm_err join_shape(lm_miner *m, const lm_miner *from, const shape_row *s, uint32_t *out_shape)
{
    raw_line line;
    if (s->is_rest) return template_rest_shape(m, out_shape);
    line.count = s->count;
    for (size_t i = 0; i < s->count; i++) {
        uint32_t id = from->shape_tokens[s->first + i];
        const token *t = &from->tokens[id];
        line.tokens[i] =
            (raw_token){from->token_bytes.ptr + t->offset, (uint16_t)t->len, from->kinds[id].flags};
    }
    return template_shape_of(m, &line, out_shape);
}

lm_err lm_miner_join(lm_miner *m, const lm_miner *from, uint32_t *out_map)
{
    for (size_t i = 0; i < from->shape_count; i++) {
        lm_err err = join_shape(m, from, &from->shapes[i], &out_map[i]);
        if (err) return err;
    }
    m->rest_count += from->rest_count;
    return LM_OK;
}

/* ---- asking ---- */

size_t lm_miner_shape_count(const lm_miner *m)
{
    return m->shape_count;
}

uint64_t lm_miner_rest_count(const lm_miner *m)
{
    return m->rest_count;
}

uint32_t lm_miner_template_of(const lm_miner *m, uint32_t shape_index)
{
    LM_ASSERT(shape_index < m->settled_shape_count);
    const shape_row *s = &m->shapes[shape_index];
    uint32_t id = s->decreed != NO_INDEX ? s->decreed : m->groups[s->group].template_id;
    return lm_miner_forward(m, id);
}

size_t lm_miner_template_count(const lm_miner *m)
{
    return m->template_count;
}

uint32_t lm_miner_forward(const lm_miner *m, uint32_t id)
{
    enum { STEPS_MAX = 64 }; /* rules may name each other in a circle */

    LM_ASSERT(id < m->template_count);
    for (int step = 0; step < STEPS_MAX; step++) {
        const template_row *row = &m->templates[id];
        if (row->forward != id)
            id = row->forward;
        else if (row->successor != NO_INDEX)
            id = row->successor;
        else
            break;
    }
    return id;
}

lm_str lm_miner_text(const lm_miner *m, uint32_t id)
{
    LM_ASSERT(id < m->template_count);
    return m->templates[id].text;
}

lm_str lm_miner_name(const lm_miner *m, uint32_t id)
{
    LM_ASSERT(id < m->template_count);
    return m->templates[id].name;
}
