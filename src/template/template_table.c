/**
 * The tables: tokens by their bytes, shapes by their tokens, groups by their soft key.
 *
 * All three are arrays in order of first appearance with an open-addressing index beside them.
 * Nothing is removed. When shape_count_max or table_bytes_max is reached no table grows any more;
 * template_full.c says what becomes of lines then.
 */
#include "template/template_priv.h"

void template_index_fini(lm_mem *mem, index_table *table)
{
    lm_mem_release(mem, table->slots, table->slot_count * sizeof *table->slots);
    *table = (index_table){0};
}

lm_err template_index_reserve(lm_mem *mem, index_table *table, size_t more)
{
    if ((table->used + more) * 2 <= table->slot_count) return LM_OK;
    index_table bigger = {.slot_count = table->slot_count ? table->slot_count : 512};
    while ((table->used + more) * 2 > bigger.slot_count)
        bigger.slot_count *= 2;
    bigger.slots = lm_mem_calloc(mem, bigger.slot_count, sizeof *bigger.slots);
    if (!bigger.slots) return lm_mem_err();
    for (size_t i = 0; i < table->slot_count; i++)
        if (table->slots[i].value)
            template_index_put(&bigger, table->slots[i].tag, table->slots[i].value - 1);
    template_index_fini(mem, table);
    *table = bigger;
    return LM_OK;
}

void template_index_put(index_table *table, uint64_t hash, uint32_t index)
{
    size_t mask = table->slot_count - 1, at = (uint32_t)hash & mask;
    while (table->slots[at].value)
        at = (at + 1) & mask;
    table->slots[at] = (index_slot){(uint32_t)hash, index + 1};
    table->used++;
}

size_t template_table_bytes(const lm_miner *m)
{
    return m->token_count * (sizeof *m->tokens + sizeof *m->kinds + sizeof *m->hashes) +
           m->token_bytes.len + m->token_slot_count * sizeof *m->token_slots +
           m->shape_count * sizeof *m->shapes + m->shape_token_count * sizeof(uint32_t) +
           m->shape_index.slot_count * sizeof(index_slot) + m->group_count * sizeof *m->groups +
           m->group_token_count * sizeof(uint32_t) + m->group_index.slot_count * sizeof(index_slot);
}

/* ---- tokens ---- */

static uint32_t token_find(const lm_miner *m, uint64_t hash)
{
    size_t mask = m->token_slot_count - 1;
    for (size_t at = (size_t)hash & mask; m->token_slots[at].value; at = (at + 1) & mask)
        if (m->token_slots[at].hash == hash) return m->token_slots[at].value - 1;
    return NO_INDEX;
}

static void token_slot_put(token_slot *slots, size_t slot_count, uint64_t hash, uint32_t value)
{
    size_t at = (size_t)hash & (slot_count - 1);
    while (slots[at].value)
        at = (at + 1) & (slot_count - 1);
    slots[at] = (token_slot){hash, value};
}

static lm_err token_slots_reserve(lm_miner *m, size_t count)
{
    if (count * 2 <= m->token_slot_count) return LM_OK;
    size_t slot_count = m->token_slot_count ? m->token_slot_count * 2 : 512;
    token_slot *slots = lm_mem_calloc(m->mem, slot_count, sizeof *slots);
    if (!slots) return lm_mem_err();
    for (uint32_t i = 0; i < m->token_count; i++)
        token_slot_put(slots, slot_count, m->hashes[i], i + 1);
    lm_mem_release(m->mem, m->token_slots, m->token_slot_count * sizeof *slots);
    m->token_slots = slots;
    m->token_slot_count = slot_count;
    return LM_OK;
}

static lm_err token_append(lm_miner *m, const uint8_t *ptr, size_t len, uint32_t flags,
                           uint64_t hash, uint32_t *out)
{
    size_t count = m->token_count + 1;
    if (m->token_bytes.len + len > UINT32_MAX) return lm_fail(LM_E_LIMIT, "token table is full");
    lm_err err = token_slots_reserve(m, count);
    if (!err) err = lm_vec_grow(m->mem, &m->tokens, &m->token_cap, count, sizeof *m->tokens);
    if (!err) err = lm_vec_grow(m->mem, &m->kinds, &m->kind_cap, count, sizeof *m->kinds);
    if (!err) err = lm_vec_grow(m->mem, &m->hashes, &m->hash_cap, count, sizeof *m->hashes);
    if (err) return err;
    uint32_t offset = (uint32_t)m->token_bytes.len;
    err = lm_buf_reserve(&m->token_bytes, len + TOKEN_STEP);
    if (!err) err = lm_buf_append(&m->token_bytes, ptr, len);
    if (err) return err;
    uint32_t id = (uint32_t)m->token_count++;
    m->tokens[id] = (token){offset, (uint32_t)len};
    m->kinds[id] = (token_kind){(uint16_t)flags, len == 1 ? ptr[0] : 0};
    m->hashes[id] = hash;
    token_slot_put(m->token_slots, m->token_slot_count, hash, id + 1);
    *out = id;
    return LM_OK;
}

lm_err template_token_intern(lm_miner *m, const uint8_t *ptr, size_t len, uint32_t flags,
                             uint32_t *out)
{
    uint64_t hash = template_token_hash(ptr, len);
    uint32_t found = m->token_count ? token_find(m, hash) : NO_INDEX;
    if (found == NO_INDEX) return token_append(m, ptr, len, flags, hash, out);
    *out = found;
    return LM_OK;
}

item template_item_of(const lm_miner *m, uint32_t id)
{
    return (item){m->hashes[id], id, m->kinds[id].flags, m->kinds[id].byte};
}

/* ---- groups ---- */

const uint32_t *template_group_key(const lm_miner *m, const group_row *g)
{
    return g->key_first == NO_INDEX ? m->shape_tokens + m->shapes[g->shape].first
                                    : m->group_tokens + g->key_first;
}

const uint32_t *template_group_agree(const lm_miner *m, const group_row *g)
{
    return g->agree_first == NO_INDEX ? m->shape_tokens + m->shapes[g->shape].first
                                      : m->group_tokens + g->agree_first;
}

static bool is_same_tokens(const uint32_t *ids, const item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] != items[i].id) return false;
    return true;
}

static uint32_t group_find(const lm_miner *m, const item *items, size_t count, uint64_t hash)
{
    const index_table *t = &m->group_index;
    if (t->slot_count == 0) return NO_INDEX;
    for (size_t at = (uint32_t)hash & (t->slot_count - 1);; at = (at + 1) & (t->slot_count - 1)) {
        index_slot slot = t->slots[at];
        if (slot.value == 0) return NO_INDEX;
        if (slot.tag != (uint32_t)hash) continue;
        const group_row *g = &m->groups[slot.value - 1];
        if (g->hash == hash && g->key_count == count &&
            is_same_tokens(template_group_key(m, g), items, count))
            return slot.value - 1;
    }
}

static lm_err group_tokens_reserve(lm_miner *m, size_t extra)
{
    if (m->group_token_count + extra >= NO_INDEX)
        return lm_fail(LM_E_LIMIT, "template table is full");
    return lm_vec_grow(m->mem, &m->group_tokens, &m->group_token_cap, m->group_token_count + extra,
                       sizeof *m->group_tokens);
}

/* A new row; without tokens of its own, key and agreement are those of the shape. */
static lm_err group_append(lm_miner *m, const group_row *row)
{
    lm_err err =
        lm_vec_grow(m->mem, &m->groups, &m->group_cap, m->group_count + 1, sizeof *m->groups);
    if (err) return err;
    group_row *g = &m->groups[m->group_count++];
    *g = *row;
    g->key_first = g->agree_first = g->template_id = NO_INDEX;
    g->agree_count = m->shapes[row->shape].count;
    return LM_OK;
}

static lm_err group_insert(lm_miner *m, const soft_key *key, uint32_t shape_index, uint32_t *out)
{
    lm_err err = template_index_reserve(m->mem, &m->group_index, 1);
    if (err) return err;
    err = group_tokens_reserve(m, key->count);
    if (err) return err;
    group_row row = {.hash = key->hash,
                     .alignment = key->alignment,
                     .key_count = (uint16_t)key->count,
                     .shape = shape_index};
    memcpy(row.parts, key->parts, sizeof row.parts);
    err = group_append(m, &row);
    if (err) return err;
    uint32_t id = (uint32_t)m->group_count - 1;
    const shape_row *s = &m->shapes[shape_index];
    if (s->count != key->count ||
        !is_same_tokens(m->shape_tokens + s->first, key->items, key->count)) {
        m->groups[id].key_first = (uint32_t)m->group_token_count;
        for (size_t i = 0; i < key->count; i++)
            m->group_tokens[m->group_token_count++] = key->items[i].id;
    }
    template_index_put(&m->group_index, row.hash, id);
    *out = id;
    return LM_OK;
}

/* What a run of tokens that a key has as one variable looks like, as one token: each word a
 * variable, but a unit stays, and with a number a unit that varies is one; nothing at all is a
 * token without bytes. */
static lm_err run_token(lm_miner *m, const uint32_t *tokens, size_t count, uint32_t *out)
{
    enum { RUN_BYTES_MAX = 64 };

    uint8_t bytes[RUN_BYTES_MAX];
    size_t n = 0;
    *out = TOKEN_ID_WILD;
    for (size_t i = 0; i < count; i++) {
        const token *t = &m->tokens[tokens[i]];
        uint32_t flags = m->kinds[tokens[i]].flags;
        bool is_kept = !template_is_word(flags) || (flags & TOKEN_UNIT);
        if (tokens[i] == TOKEN_ID_UNIT && n >= 2 && bytes[n - 1] == ' ' &&
            bytes[n - 2] == MARK_WILD) {
            n--;
        } else if (n + (is_kept ? t->len : 1) > sizeof bytes) {
            return LM_OK;
        } else if (is_kept) {
            memcpy(bytes + n, m->token_bytes.ptr + t->offset, t->len);
            n += t->len;
        } else {
            bytes[n++] = MARK_WILD;
        }
    }
    if (n == 1 && bytes[0] == MARK_WILD) return LM_OK;
    return template_token_intern(m, bytes, n, n ? TOKEN_PART : TOKEN_PUNCT, out);
}

lm_err template_project(lm_miner *m, const uint32_t *agree, size_t agree_count,
                        const uint16_t *from, size_t count, uint32_t *out)
{
    size_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        if (from[i] != UINT16_MAX) {
            out[i] = agree[from[i]];
            begin = from[i] + 1u;
            continue;
        }
        size_t next = i + 1;
        while (next < count && from[next] == UINT16_MAX)
            next++;
        size_t end = next < count ? from[next] : agree_count;
        lm_err err = run_token(m, agree + begin, end > begin ? end - begin : 0, &out[i]);
        if (err) return err;
        begin = end;
    }
    return LM_OK;
}

static void join_tokens(const lm_miner *m, uint32_t *into, const uint32_t *other, size_t count)
{
    for (size_t i = 0; i < count; i++)
        into[i] = template_agree(m, into[i], other[i]);
}

/* One more shape of a group: what all its shapes agree on shrinks. The result does not depend on
 * the order. */
static lm_err group_join_shape(lm_miner *m, uint32_t group_index, const shape_row *s,
                               const soft_key *key)
{
    lm_err err = group_tokens_reserve(m, (size_t)s->count + key->count);
    if (err) return err;
    group_row *g = &m->groups[group_index];
    const uint32_t *tokens = m->shape_tokens + s->first;
    if (g->alignment == key->alignment && g->agree_count == s->count) {
        if (g->agree_first == NO_INDEX) {
            uint32_t first = (uint32_t)m->group_token_count;
            memcpy(m->group_tokens + first, template_group_agree(m, g), s->count * sizeof *tokens);
            m->group_token_count += s->count;
            g->agree_first = first;
        }
        join_tokens(m, m->group_tokens + g->agree_first, tokens, s->count);
        return LM_OK;
    }
    uint32_t mine[MESSAGE_TOKENS_MAX * 2];
    err = template_project(m, tokens, s->count, key->from, key->count, mine);
    if (err) return err;
    if (g->alignment != 0) {
        item items[MESSAGE_TOKENS_MAX];
        soft_key old;
        const shape_row *o = &m->shapes[g->shape];
        for (size_t i = 0; i < o->count; i++)
            items[i] = template_item_of(m, m->shape_tokens[o->first + i]);
        template_soft_key(items, o->count, &old);
        uint32_t projected[MESSAGE_TOKENS_MAX * 2];
        err = template_project(m, template_group_agree(m, g), g->agree_count, old.from, old.count,
                               projected);
        if (err) return err;
        g->agree_first = (uint32_t)m->group_token_count;
        memcpy(m->group_tokens + g->agree_first, projected, key->count * sizeof *projected);
        m->group_token_count += key->count;
        g->agree_count = (uint16_t)key->count;
        g->alignment = 0;
    }
    join_tokens(m, m->group_tokens + g->agree_first, mine, key->count);
    return LM_OK;
}

/* ---- shapes ---- */

uint32_t template_shape_find(const lm_miner *m, const item *items, size_t count, uint64_t hash)
{
    const index_table *t = &m->shape_index;
    if (t->slot_count == 0) return NO_INDEX;
    for (size_t at = (uint32_t)hash & (t->slot_count - 1);; at = (at + 1) & (t->slot_count - 1)) {
        index_slot slot = t->slots[at];
        if (slot.value == 0) return NO_INDEX;
        if (slot.tag != (uint32_t)hash) continue;
        const shape_row *s = &m->shapes[slot.value - 1];
        if (s->hash == hash && s->count == count && !s->is_rest &&
            is_same_tokens(m->shape_tokens + s->first, items, count))
            return slot.value - 1;
    }
}

static lm_err shape_append(lm_miner *m, const item *items, size_t count, uint64_t hash,
                           bool is_rest, uint32_t *out)
{
    lm_err err = template_index_reserve(m->mem, &m->shape_index, 1);
    if (err) return err;
    err = lm_vec_grow(m->mem, &m->shapes, &m->shape_cap, m->shape_count + 1, sizeof *m->shapes);
    if (err) return err;
    err = lm_vec_grow(m->mem, &m->shape_tokens, &m->shape_token_cap, m->shape_token_count + count,
                      sizeof *m->shape_tokens);
    if (err) return err;
    uint32_t id = (uint32_t)m->shape_count;
    m->shapes[id] = (shape_row){
        hash, (uint32_t)m->shape_token_count, (uint16_t)count, is_rest, NO_INDEX, NO_INDEX};
    for (size_t i = 0; i < count; i++)
        m->shape_tokens[m->shape_token_count + i] = items[i].id;
    *out = id;
    return LM_OK;
}

/* shape_append leaves the new shape behind the end; this takes it in. */
static void shape_commit(lm_miner *m, uint32_t group_index)
{
    shape_row *s = &m->shapes[m->shape_count];
    s->group = group_index;
    m->shape_token_count += s->count;
    template_index_put(&m->shape_index, s->hash, (uint32_t)m->shape_count++);
}

/* The group of a new shape. */
static lm_err group_of(lm_miner *m, const item *items, uint32_t shape_index, uint16_t any,
                       uint32_t *out)
{
    soft_key key;
    template_soft_key(items, m->shapes[shape_index].count, &key);
    *out = group_find(m, key.items, key.count, key.hash);
    if (*out != NO_INDEX) return group_join_shape(m, *out, &m->shapes[shape_index], &key);
    lm_err err = group_insert(m, &key, shape_index, out);
    if (!err) m->groups[*out].any = any;
    return err;
}

/* The same where the shape is its own key, and row says so. */
static lm_err group_of_own(lm_miner *m, const item *items, const group_row *row, uint32_t *out)
{
    *out = group_find(m, items, row->key_count, row->hash);
    if (*out != NO_INDEX) return group_of(m, items, row->shape, row->any, out);
    lm_err err = template_index_reserve(m->mem, &m->group_index, 1);
    if (!err) err = group_append(m, row);
    if (err) return err;
    *out = (uint32_t)m->group_count - 1;
    template_index_put(&m->group_index, row->hash, *out);
    return LM_OK;
}

lm_err template_shape_insert(lm_miner *m, const item *items, size_t count, uint16_t any,
                             uint32_t *out_shape)
{
    group_row own = {.key_count = (uint16_t)count, .any = any, .is_plain = template_is_plain(any)};
    own.hash = template_items_hash(items, count, own.parts);
    uint32_t found = template_shape_find(m, items, count, own.hash);
    if (found != NO_INDEX) {
        *out_shape = found;
        return LM_OK;
    }
    if (!own.is_plain && m->group_index.slot_count) /* asked for soon, and memory is far away */
        __builtin_prefetch(
            &m->group_index.slots[(uint32_t)own.hash & (m->group_index.slot_count - 1)]);
    uint32_t id = 0, group_index = (uint32_t)m->group_count;
    lm_err err = shape_append(m, items, count, own.hash, false, &id);
    if (err) return err;
    own.shape = id;
    own.alignment = template_alignment_unmoved(count);
    if (own.is_plain) /* no other shape has this key */
        err = group_append(m, &own);
    else if (template_is_own_key(items, count))
        err = group_of_own(m, items, &own, &group_index);
    else
        err = group_of(m, items, id, any, &group_index);
    if (err) return err;
    shape_commit(m, group_index);
    *out_shape = id;
    return LM_OK;
}

lm_err template_rest_shape(lm_miner *m, uint32_t *out_shape)
{
    m->rest_count++;
    if (m->rest_shape == NO_INDEX) {
        item wild = template_item_of(m, TOKEN_ID_WILD);
        uint32_t id = 0, group_index = 0;
        soft_key key = {.items = {wild}, .from = {0}, .count = 1, .hash = ~0ull, .alignment = 1};
        lm_err err = shape_append(m, &wild, 1, ~0ull, true, &id);
        if (err) return err;
        err = group_insert(m, &key, id, &group_index);
        if (err) return err;
        shape_commit(m, group_index);
        m->rest_shape = id;
    }
    *out_shape = m->rest_shape;
    return LM_OK;
}

/* Items of the tokens, and what their flags have together; ids of blanks and variables only. Memory
 * is far away: the others' slots are asked for. */
static uint16_t items_of_raw(const lm_miner *m, const raw_line *line, item *items)
{
    const item blank = template_item_of(m, TOKEN_ID_BLANK),
               wild = template_item_of(m, TOKEN_ID_WILD);
    const token_slot *slots = m->token_slots;
    size_t mask = m->token_slot_count - 1;
    uint16_t any = 0;
    for (size_t i = 0; i < line->count; i++) {
        const raw_token *t = &line->tokens[i];
        any |= t->flags;
        if (t->flags & TOKEN_BLANK) {
            items[i] = blank;
        } else if (t->flags & TOKEN_WILD) {
            items[i] = wild;
        } else {
            uint64_t hash = template_token_hash(t->ptr, t->len);
            items[i] = (item){hash, NO_INDEX, t->flags, t->len == 1 ? t->ptr[0] : 0};
            __builtin_prefetch(&slots[(size_t)hash & mask]);
        }
    }
    return any;
}

/* The token's id; those of blanks and variables are there. */
uint32_t template_token_find(const lm_miner *m, const item *it)
{
    return it->id != NO_INDEX ? it->id : token_find(m, it->hash);
}

lm_err template_shape_of(lm_miner *m, const raw_line *line, uint32_t *out_shape)
{
    item items[MESSAGE_TOKENS_MAX];
    uint16_t any = items_of_raw(m, line, items);
    if (m->is_full) return template_shape_of_full(m, line, items, out_shape);
    for (size_t i = 0; i < line->count; i++) {
        items[i].id = template_token_find(m, &items[i]);
        if (items[i].id != NO_INDEX) continue;
        const raw_token *t = &line->tokens[i];
        lm_err err = token_append(m, t->ptr, t->len, t->flags, items[i].hash, &items[i].id);
        if (err) return err;
    }
    lm_err err = template_shape_insert(m, items, line->count, any, out_shape);
    if (err) return err;
    m->is_full =
        m->shape_count >= m->shape_count_max || template_table_bytes(m) >= m->table_bytes_max;
    return LM_OK;
}

lm_err template_table_init(lm_miner *m)
{
    static const uint8_t wild = MARK_WILD, blank = ' ', unit = MARK_UNIT;
    uint32_t id = 0;
    lm_err err = template_token_intern(m, &wild, 1, TOKEN_WILD, &id);
    if (err) return err;
    LM_ASSERT(id == TOKEN_ID_WILD);
    err = template_token_intern(m, &blank, 1, TOKEN_BLANK, &id);
    if (err) return err;
    LM_ASSERT(id == TOKEN_ID_BLANK);
    err = template_token_intern(m, &unit, 1, TOKEN_UNIT | TOKEN_PART, &id);
    if (err) return err;
    LM_ASSERT(id == TOKEN_ID_UNIT);
    return LM_OK;
}

void template_table_fini(lm_miner *m)
{
    lm_mem_release(m->mem, m->tokens, m->token_cap * sizeof *m->tokens);
    lm_mem_release(m->mem, m->shapes, m->shape_cap * sizeof *m->shapes);
    lm_mem_release(m->mem, m->shape_tokens, m->shape_token_cap * sizeof *m->shape_tokens);
    lm_mem_release(m->mem, m->groups, m->group_cap * sizeof *m->groups);
    lm_mem_release(m->mem, m->group_tokens, m->group_token_cap * sizeof *m->group_tokens);
    lm_mem_release(m->mem, m->token_slots, m->token_slot_count * sizeof *m->token_slots);
    lm_mem_release(m->mem, m->kinds, m->kind_cap * sizeof *m->kinds);
    lm_mem_release(m->mem, m->hashes, m->hash_cap * sizeof *m->hashes);
    template_index_fini(m->mem, &m->shape_index);
    template_index_fini(m->mem, &m->group_index);
    lm_buf_fini(&m->token_bytes);
    template_full_fini(m);
}
