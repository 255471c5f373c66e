/**
 * Settling: from groups (shapes with one soft key) to templates. Only keys are looked at, never
 * lines.
 *
 * Each group starts as one node. Then
 *   spans    (template_span.c) several words that are one value, in nodes of different frames; once
 *            more behind slots
 * and, until nothing changes:
 *   slots    (template_slot.c) nodes equal but for one word: when the words there are many enough
 *            to be values, that word becomes a variable in all of them and they fall together
 * and once:
 *   known    (template_known.c) nodes that differ in words alone that are values elsewhere
 *   similar  (template_simhash.c) nodes that differ in a few words of many, found by SimHash and
 *            LSH
 *   absorb   (template_absorb.c) a node that is another one with values in its variables joins it
 *
 * Every step decides on the state before it and on content only (hashes of bytes, never indices or
 * order of arrival), so the outcome is a function of the set of shapes. Ids are given afterwards: a
 * node takes the smallest id its groups had before; the others forward to it.
 */
#include "template/template_settle.h"

lm_err settle_need_words(settle *s, node *n)
{
    const lm_miner *m = s->miner;
    uint16_t words[SLOT_WORDS_MAX + 1]; /* one more takes what is too much */
    size_t count = 0;
    if (n->words) return LM_OK;
    for (size_t i = 0; i < n->count; i++) {
        words[count] = (uint16_t)i;
        count += template_is_word(m->kinds[n->tokens[i]].flags) && count < SLOT_WORDS_MAX;
    }
    uint16_t *copy = lm_arena_copy(&s->arena, words, count * sizeof *words);
    if (!copy) return lm_mem_err();
    n->words = copy;
    n->word_count = (uint16_t)count;
    return LM_OK;
}

/* ---- nodes that become equal fall together ---- */

/* Most keys are their shape's tokens: those share one list. */
lm_err settle_need_from(settle *s, node *n)
{
    if (n->from || !n->alignment) return LM_OK;
    const lm_miner *m = s->miner;
    const group_row *g = &m->groups[n - s->nodes];
    const shape_row *row = &m->shapes[g->shape];
    item items[MESSAGE_TOKENS_MAX];
    soft_key key;
    if (g->key_first == NO_INDEX || g->alignment == template_alignment_unmoved(row->count)) {
        n->from = s->unmoved;
        return LM_OK;
    }
    for (size_t i = 0; i < row->count; i++)
        items[i] = template_item_of(m, m->shape_tokens[row->first + i]);
    template_soft_key(items, row->count, &key);
    n->from = lm_arena_copy(&s->arena, key.from, g->key_count * sizeof *n->from);
    return n->from ? LM_OK : lm_mem_err();
}

/* Agreement in shape positions to agreement in key positions. */
static lm_err flatten(settle *s, node *n)
{
    if (!n->alignment) return LM_OK;
    lm_err err = settle_need_from(s, n);
    if (err) return err;
    uint32_t *agree = lm_arena_alloc(&s->arena, n->count * sizeof *agree, _Alignof(uint32_t));
    if (!agree) return lm_mem_err();
    err = template_project(s->miner, n->agree, n->agree_count, n->from, n->count, agree);
    if (err) return err;
    n->agree = agree;
    n->is_own = true;
    n->agree_count = n->count;
    n->from = NULL;
    n->alignment = 0;
    return LM_OK;
}

lm_err settle_own_agree(settle *s, node *n)
{
    if (n->is_own) return LM_OK;
    uint32_t *copy = lm_arena_copy(&s->arena, n->agree, n->agree_count * sizeof *copy);
    if (!copy) return lm_mem_err();
    n->agree = copy;
    n->is_own = true;
    return LM_OK;
}

lm_err settle_join(settle *s, node *into, node *other)
{
    other->parent = (uint32_t)(into - s->nodes);
    if (into->alignment != other->alignment || into->agree_count != other->agree_count) {
        lm_err err = flatten(s, into);
        if (err) return err;
        err = flatten(s, other);
        if (err) return err;
    }
    LM_ASSERT(into->agree_count == other->agree_count);
    into->is_plain = false;
    lm_err err = settle_own_agree(s, into);
    if (err) return err;
    for (size_t i = 0; i < into->agree_count; i++)
        into->agree[i] = template_agree(s->miner, into->agree[i], other->agree[i]);
    return LM_OK;
}

lm_err settle_replace(settle *s, node *n, const uint32_t *tokens)
{
    item items[MESSAGE_TOKENS_MAX * 2];
    uint16_t from[MESSAGE_TOKENS_MAX * 2];
    for (size_t i = 0; i < n->count; i++) {
        items[i] = template_item_of(s->miner, tokens[i]);
        from[i] = (uint16_t)i;
    }
    lm_err err = settle_need_from(s, n);
    if (err) return err;
    size_t count = template_collapse(items, from, n->count);
    uint32_t *copy = lm_arena_alloc(&s->arena, count * sizeof *copy, _Alignof(uint32_t));
    uint16_t *map = lm_arena_alloc(&s->arena, count * sizeof *map, _Alignof(uint16_t));
    if (!copy || !map) return lm_mem_err();
    for (size_t i = 0; i < count; i++) {
        copy[i] = items[i].id;
        map[i] = from[i] == UINT16_MAX ? UINT16_MAX : n->from ? n->from[from[i]] : from[i];
    }
    if (!n->from && count != n->count) { /* agree follows the key */
        err = settle_own_agree(s, n);
        if (err) return err;
        for (size_t i = 0; i < count; i++)
            n->agree[i] = map[i] == UINT16_MAX ? TOKEN_ID_WILD : n->agree[map[i]];
        n->agree_count = (uint16_t)count;
    }
    bool is_aligned = n->from != NULL;
    n->tokens = copy;
    n->count = (uint16_t)count;
    n->from = is_aligned ? map : NULL;
    n->alignment = is_aligned ? template_alignment(map, count, n->agree_count) : 0;
    n->hash = template_items_hash(items, count, n->parts);
    n->is_plain = false;
    n->marks = 0;
    n->words = NULL;
    return settle_need_words(s, n);
}

lm_err settle_rekey(settle *s, node *n, const uint16_t *keep, size_t count)
{
    item items[MESSAGE_TOKENS_MAX * 2];
    uint16_t from[MESSAGE_TOKENS_MAX * 2];
    uint32_t agree[MESSAGE_TOKENS_MAX * 2];
    lm_err err = flatten(s, n);
    if (err) return err;
    for (size_t i = 0; i < count; i++) {
        bool is_kept = keep[i] != SETTLE_VALUE;
        items[i] = template_item_of(s->miner, is_kept ? n->tokens[keep[i]] : TOKEN_ID_WILD);
        agree[i] = is_kept ? n->agree[keep[i]] : TOKEN_ID_WILD;
        from[i] = (uint16_t)i;
    }
    size_t used = template_collapse(items, from, count);
    uint32_t *tokens = lm_arena_alloc(&s->arena, used * sizeof *tokens, _Alignof(uint32_t));
    uint32_t *made = lm_arena_alloc(&s->arena, used * sizeof *made, _Alignof(uint32_t));
    if (!tokens || !made) return lm_mem_err();
    err = template_project(s->miner, agree, count, from, used, made);
    if (err) return err;
    for (size_t i = 0; i < used; i++)
        tokens[i] = items[i].id;
    n->tokens = tokens;
    n->agree = made;
    n->count = n->agree_count = (uint16_t)used;
    n->is_own = true;
    n->is_plain = false;
    n->hash = template_items_hash(items, used, n->parts);
    n->words = NULL;
    return LM_OK;
}

/* The node that is here already and equal, or NULL. */
static node *find_equal(settle *s, const index_table *table, const node *n)
{
    size_t mask = table->slot_count - 1;
    for (size_t at = (uint32_t)n->hash & mask; table->slots[at].value; at = (at + 1) & mask) {
        if (table->slots[at].tag != (uint32_t)n->hash) continue;
        node *o = &s->nodes[table->slots[at].value - 1];
        if (o->hash == n->hash && o->count == n->count &&
            memcmp(o->tokens, n->tokens, n->count * sizeof *n->tokens) == 0)
            return o;
    }
    return NULL;
}

lm_err settle_unite(settle *s)
{
    index_table table = {0};
    lm_err err = template_index_reserve(s->miner->mem, &table, s->node_count);
    for (size_t i = 0; i < s->node_count && !err; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i) continue;
        node *o = find_equal(s, &table, n);
        if (o)
            err = settle_join(s, o, n);
        else
            template_index_put(&table, n->hash, (uint32_t)i);
    }
    template_index_fini(s->miner->mem, &table);
    return err;
}

/* ---- from groups and back ---- */

uint32_t settle_root(const settle *s, uint32_t i)
{
    while (s->nodes[i].parent != i)
        i = s->nodes[i].parent;
    return i;
}

/* Most keys are let off by their flags: what opens closes. */
static uint8_t signs_of(const settle *s, const node *n)
{
    static const uint8_t table[256] = {
        ['='] = SIGN_EQUALS, ['('] = SIGN_ROUND, ['['] = SIGN_SQUARE, ['{'] = SIGN_CURLY};
    uint8_t signs = 0;
    if (!(n->any & (TOKEN_TELLS | TOKEN_SPAN))) return 0;
    for (size_t i = 0; i < n->count; i++)
        signs |= table[settle_byte(s, n->tokens[i])];
    return signs;
}

static lm_err nodes_of_groups(settle *s)
{
    const lm_miner *m = s->miner;
    uint16_t *unmoved =
        lm_arena_alloc(&s->arena, MESSAGE_TOKENS_MAX * sizeof *unmoved, _Alignof(uint16_t));
    if (!unmoved) return lm_mem_err();
    for (size_t i = 0; i < MESSAGE_TOKENS_MAX; i++)
        unmoved[i] = (uint16_t)i;
    s->unmoved = unmoved;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const group_row *g = &m->groups[i];
        node *n = &s->nodes[i];
        *n = (node){.parent = i,
                    .hash = g->hash,
                    .tokens = template_group_key(m, g),
                    .count = g->key_count,
                    .agree = (uint32_t *)template_group_agree(m, g),
                    .agree_count = g->agree_count,
                    .alignment = g->alignment,
                    .is_plain = g->is_plain,
                    .any = g->any,
                    .template_id = NO_INDEX};
        memcpy(n->parts, g->parts, sizeof n->parts);
        n->signs = signs_of(s, n);
    }
    return LM_OK;
}

/* A row whose text is in the text arena already. */
static lm_err row_append(lm_miner *m, lm_str text, bool is_decreed, uint32_t *out)
{
    if (m->template_count >= m->template_count_max) {
        return lm_fail(LM_E_LIMIT, "more than %u templates", m->template_count_max);
    }
    lm_err err = lm_vec_grow(m->mem, &m->templates, &m->template_cap, m->template_count + 1,
                             sizeof *m->templates);
    if (err) return err;
    uint32_t id = (uint32_t)m->template_count++;
    m->templates[id] = (template_row){
        .text = text, .forward = id, .successor = NO_INDEX, .is_decreed = is_decreed};
    *out = id;
    return LM_OK;
}

lm_err template_row_new(lm_miner *m, lm_str text, bool is_decreed, uint32_t *out)
{
    uint8_t *copy = lm_arena_copy(&m->text_arena, text.ptr, text.len);
    return copy ? row_append(m, (lm_str){copy, text.len}, is_decreed, out) : lm_mem_err();
}

/* The catch-all template exists before it is needed, so that it can always be given. */
static lm_err reserve_rest_template(lm_miner *m, size_t wanted)
{
    bool is_needed = m->rest_shape != NO_INDEX || wanted + 1 >= m->template_count_max;
    if (m->rest_template != NO_INDEX || !is_needed) return LM_OK;
    return template_row_new(m, LM_STR("<*>"), true, &m->rest_template);
}

static lm_err write_texts(settle *s)
{
    lm_buf buf, scratch;
    lm_err err = LM_OK;
    lm_buf_init(&buf, s->miner->mem);
    lm_buf_init(&scratch, s->miner->mem);
    for (uint32_t i = 0; i < s->node_count && !err; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i) continue;
        err = template_text_write(s, n, &scratch, &buf);
        if (err) break;
        /* of a new group the text will stay: nearly always it gets a row */
        n->is_text_kept = s->miner->groups[i].template_id == NO_INDEX &&
                          s->miner->template_count < s->miner->template_count_max;
        n->text.len = buf.len;
        n->text.ptr =
            lm_arena_copy(n->is_text_kept ? &s->miner->text_arena : &s->arena, buf.ptr, buf.len);
        if (!n->text.ptr) err = lm_mem_err();
        if (!n->is_plain) n->text_hash = lm_hash64(buf.ptr, buf.len);
    }
    lm_buf_fini(&buf);
    lm_buf_fini(&scratch);
    return err;
}

/* Nodes that read the same are the same to everyone. Plain ones read like no other: another node
 * of the same bytes would have their tokens. */
static lm_err unite_texts(settle *s)
{
    index_table table = {0};
    lm_err err = LM_OK;
    for (uint32_t i = 0; i < s->node_count && !err; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i || n->is_plain || s->miner->groups[i].shape == s->miner->rest_shape)
            continue;
        err = template_index_reserve(s->miner->mem, &table, 1);
        if (err) break;
        size_t mask = table.slot_count - 1, at = (uint32_t)n->text_hash & mask;
        for (; table.slots[at].value; at = (at + 1) & mask) {
            const node *o = &s->nodes[table.slots[at].value - 1];
            if (o->text_hash != n->text_hash || !lm_str_equal(o->text, n->text)) continue;
            n->parent = table.slots[at].value - 1;
            break;
        }
        if (n->parent == i) template_index_put(&table, n->text_hash, i);
    }
    template_index_fini(s->miner->mem, &table);
    return err;
}

/* Owner of an id whose groups have gone different ways: the id stays what it was, for the rows that
 * carry it. */
#define RETIRED (UINT32_MAX - 1)

/* A node keeps the smallest id that all belonged to it before. */
static void claim_ids(settle *s, uint32_t *owner)
{
    const lm_miner *m = s->miner;
    for (size_t id = 0; id < m->template_count; id++)
        owner[id] = NO_INDEX;
    for (uint32_t i = 0; i < s->node_count; i++) {
        uint32_t had = m->groups[i].template_id, root = settle_root(s, i);
        if (had == NO_INDEX || had == m->rest_template) continue;
        if (owner[had] == NO_INDEX)
            owner[had] = root;
        else if (owner[had] != root)
            owner[had] = RETIRED;
    }
    for (uint32_t id = 0; id < m->template_count; id++) {
        if (owner[id] == NO_INDEX || owner[id] == RETIRED) continue;
        node *n = &s->nodes[owner[id]];
        if (n->template_id == NO_INDEX) n->template_id = id;
    }
}

/* The text for the node's row, to stay as long as the miner. */
static lm_err keep_text(lm_miner *m, node *n)
{
    if (n->is_text_kept) return LM_OK;
    uint8_t *copy = lm_arena_copy(&m->text_arena, n->text.ptr, n->text.len);
    if (!copy) return lm_mem_err();
    n->text.ptr = copy;
    n->is_text_kept = true;
    return LM_OK;
}

static lm_err own_text(lm_miner *m, node *n)
{
    template_row *row = &m->templates[n->template_id];
    if (lm_str_equal(row->text, n->text)) return LM_OK;
    lm_err err = keep_text(m, n);
    if (!err) row->text = n->text;
    return err;
}

static lm_err give_ids(settle *s)
{
    lm_miner *m = s->miner;
    lm_err err = reserve_rest_template(m, m->template_count + s->node_count);
    if (err) return err;
    uint32_t *owner =
        lm_arena_alloc(&s->arena, m->template_count * sizeof *owner, _Alignof(uint32_t));
    if (!owner) return lm_mem_err();
    size_t given_before = m->template_count;
    claim_ids(s, owner);
    for (uint32_t i = 0; i < s->node_count; i++) {
        uint32_t root = settle_root(s, i);
        node *n = &s->nodes[root];
        if (m->groups[i].shape == m->rest_shape) n->template_id = m->rest_template;
        if (n->template_id == NO_INDEX && m->template_count >= m->template_count_max)
            n->template_id = m->rest_template;
        if (n->template_id == NO_INDEX) {
            err = keep_text(m, n);
            if (!err) err = row_append(m, n->text, false, &n->template_id);
        } else if (n->template_id != m->rest_template) {
            err = own_text(m, n);
        }
        if (err) return err;
        uint32_t had = m->groups[i].template_id;
        m->groups[i].template_id = n->template_id;
        bool is_free =
            had != NO_INDEX && had < given_before && had != n->template_id && owner[had] == root;
        if (is_free) m->templates[had].forward = n->template_id;
    }
    return LM_OK;
}

lm_err lm_miner_settle(lm_miner *m)
{
    settle s = {.miner = m, .node_count = m->group_count};
    lm_err err = LM_OK;
    bool is_changed = false;
    bool is_known = m->settled_shape_count == m->shape_count && (!m->is_full || m->wide);
    if (m->is_settled && is_known) return LM_OK;
    lm_arena_init(&s.arena, m->mem);
    s.nodes = lm_mem_calloc(m->mem, s.node_count, sizeof *s.nodes);
    if (!s.nodes) {
        err = lm_mem_err();
        goto out;
    }
    err = nodes_of_groups(&s);
    if (!err) err = settle_spans(&s, &is_changed);
    if (!err) err = settle_slots(&s, &is_changed);
    if (!err && is_changed) err = settle_spans(&s, &is_changed); /* more are equal now */
    if (!err && is_changed) err = settle_slots(&s, &is_changed);
    if (!err) err = settle_known_words(&s);
    if (!err) err = settle_similar(&s);
    if (!err) err = settle_absorb(&s);
    if (!err) err = settle_roles(&s);
    if (!err) err = write_texts(&s);
    if (!err) err = unite_texts(&s);
    if (!err) err = give_ids(&s);
    if (!err && m->is_full) err = settle_remember_wide(&s);
    if (!err) err = template_rules_apply(m);
    if (err) goto out;
    m->settled_shape_count = m->shape_count;
    m->is_settled = true;
out:
    lm_mem_release(m->mem, s.nodes, s.node_count * sizeof *s.nodes);
    lm_mem_release(m->mem, s.roles.slots, s.roles.slot_count * sizeof *s.roles.slots);
    lm_mem_release(m->mem, s.known.hashes, s.known.slot_count * sizeof *s.known.hashes);
    lm_arena_fini(&s.arena);
    return err;
}
