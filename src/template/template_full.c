/**
 * When the tables are full: no token, shape or group is added, and every line still gets a clear
 * answer.
 *
 *   1. it, or its soft key, is known    the shape, or the group's first shape
 *   2. it fits a merged template        a new name in a slot that settling found to be a variable
 *   3. neither                          the catch-all, counted
 *
 * For 2, settling leaves behind the wide form of each group that was merged: its key with the words
 * that became variables taken out, found by hash, and the set of masks (which words) that occur, at
 * most MASKS_MAX. A line is tried with each mask of its length.
 */
#include "template/template_settle.h"

enum { MASKS_MAX = 256 };

void template_full_fini(lm_miner *m)
{
    lm_mem_release(m->mem, m->wide, m->wide_slots * sizeof *m->wide);
    lm_mem_release(m->mem, m->masks, MASKS_MAX * sizeof *m->masks);
    m->wide = NULL;
    m->masks = NULL;
    m->wide_slots = m->mask_count = 0;
}

/* ---- what settling leaves behind ---- */

/* Words of the group's own key that its node has as variables; 0 if the two do not lie side by
 * side. */
static uint64_t widened_words(const settle *s, const node *n, const uint32_t *key, size_t count)
{
    uint64_t words = 0;
    size_t word = 0;
    if (n->count != count) return 0;
    for (size_t i = 0; i < count; i++) {
        bool is_word = template_is_word(s->miner->kinds[key[i]].flags);
        if (key[i] != n->tokens[i]) {
            if (!is_word || n->tokens[i] != TOKEN_ID_WILD || word >= SLOT_WORDS_MAX) return 0;
            words |= 1ull << word;
        }
        word += is_word;
    }
    return words;
}

static bool note_mask(lm_miner *m, uint64_t words, size_t count)
{
    for (size_t i = 0; i < m->mask_count; i++)
        if (m->masks[i].words == words && m->masks[i].count == count) return true;
    if (m->mask_count == MASKS_MAX) return false;
    m->masks[m->mask_count++] = (wide_mask){words, (uint16_t)count};
    return true;
}

lm_err settle_remember_wide(settle *s)
{
    lm_miner *m = s->miner;
    size_t slot_count = 64;
    template_full_fini(m);
    while (slot_count < s->node_count * 2)
        slot_count *= 2;
    m->wide = lm_mem_calloc(m->mem, slot_count, sizeof *m->wide);
    if (!m->wide) return lm_mem_err();
    m->wide_slots = slot_count;
    m->masks = lm_mem_calloc(m->mem, MASKS_MAX, sizeof *m->masks);
    if (!m->masks) return lm_mem_err();
    for (uint32_t i = 0; i < s->node_count; i++) {
        const group_row *g = &m->groups[i];
        const node *n = &s->nodes[settle_root(s, i)];
        if (n->is_plain) continue;
        uint64_t words = widened_words(s, n, template_group_key(m, g), g->key_count);
        if (words == 0 || !note_mask(m, words, g->key_count)) continue;
        size_t at = (size_t)n->hash & (slot_count - 1);
        while (m->wide[at].group && m->wide[at].hash != n->hash)
            at = (at + 1) & (slot_count - 1);
        if (m->wide[at].group == 0) m->wide[at] = (wide_form){n->hash, i + 1};
    }
    return LM_OK;
}

/* ---- looking up ---- */

/* A group by its key's hashes alone: tokens that are not in the table have no ids to compare. */
static uint32_t group_find_by_hash(const lm_miner *m, const soft_key *key)
{
    const index_table *t = &m->group_index;
    if (t->slot_count == 0) return NO_INDEX;
    for (size_t at = (uint32_t)key->hash & (t->slot_count - 1); t->slots[at].value;
         at = (at + 1) & (t->slot_count - 1)) {
        if (t->slots[at].tag != (uint32_t)key->hash) continue;
        const group_row *g = &m->groups[t->slots[at].value - 1];
        if (g->hash != key->hash || g->key_count != key->count) continue;
        const uint32_t *ids = template_group_key(m, g);
        size_t i = 0;
        while (i < key->count && m->hashes[ids[i]] == key->items[i].hash)
            i++;
        if (i == key->count) return t->slots[at].value - 1;
    }
    return NO_INDEX;
}

/* The key with the masked words as variables; false when the mask does not fit it. */
static bool masked_hash(const soft_key *key, const wide_mask *mask, uint64_t wild, uint64_t *out)
{
    uint64_t hash = key->hash, left = mask->words;
    size_t word = 0;
    for (size_t i = 0; i < key->count && left; i++) {
        if (!template_is_word(key->items[i].flags)) continue;
        if (left >> word & 1) {
            hash += template_slot_hash(wild, i) - template_slot_hash(key->items[i].hash, i);
            left &= ~(1ull << word);
        }
        if (++word == SLOT_WORDS_MAX) break;
    }
    *out = hash;
    return left == 0;
}

static bool is_equal_but_mask(const lm_miner *m, const group_row *g, const soft_key *key,
                              uint64_t words)
{
    const uint32_t *ids = template_group_key(m, g);
    size_t word = 0;
    if (g->key_count != key->count) return false;
    for (size_t i = 0; i < key->count; i++) {
        bool is_word = template_is_word(key->items[i].flags);
        if (is_word != template_is_word(m->kinds[ids[i]].flags)) return false;
        bool is_masked = is_word && word < SLOT_WORDS_MAX && (words >> word & 1);
        if (!is_masked && m->hashes[ids[i]] != key->items[i].hash) return false;
        word += is_word;
    }
    return true;
}

static uint32_t group_find_wide(const lm_miner *m, const soft_key *key)
{
    for (size_t k = 0; k < m->mask_count; k++) {
        const wide_mask *mask = &m->masks[k];
        uint64_t hash = 0;
        if (mask->count != key->count || !masked_hash(key, mask, m->hashes[TOKEN_ID_WILD], &hash))
            continue;
        for (size_t at = (size_t)hash & (m->wide_slots - 1); m->wide[at].group;
             at = (at + 1) & (m->wide_slots - 1)) {
            if (m->wide[at].hash != hash) continue;
            uint32_t index = m->wide[at].group - 1;
            if (is_equal_but_mask(m, &m->groups[index], key, mask->words)) return index;
        }
    }
    return NO_INDEX;
}

/* The shape with these tokens, looked up. */
static uint32_t shape_find_by_hash(const lm_miner *m, item *items, size_t count)
{
    uint32_t parts[HASH_PARTS];
    for (size_t i = 0; i < count; i++) {
        items[i].id = template_token_find(m, &items[i]);
        if (items[i].id == NO_INDEX) return NO_INDEX;
    }
    return template_shape_find(m, items, count, template_items_hash(items, count, parts));
}

lm_err template_shape_of_full(lm_miner *m, const raw_line *line, item *items, uint32_t *out_shape)
{
    soft_key key;
    uint32_t shape = shape_find_by_hash(m, items, line->count), index = NO_INDEX;
    bool is_plain = template_is_plain(template_any_flags(items, line->count));
    if (shape == NO_INDEX && (!is_plain || m->mask_count)) {
        template_soft_key(items, line->count, &key);
        index = is_plain ? NO_INDEX : group_find_by_hash(m, &key);
        if (index == NO_INDEX) index = group_find_wide(m, &key);
        if (index != NO_INDEX) shape = m->groups[index].shape;
    }
    if (shape == NO_INDEX) return template_rest_shape(m, out_shape);
    *out_shape = shape;
    return LM_OK;
}
