/**
 * Known words: those that stood where a variable is now, in some message. A name is a name wherever
 * it stands, so that they are values in other messages too, with less evidence there.
 *
 * Slots (template_slot.c) fill the table. What differs in several known words at once, and in
 * nothing else, becomes one node here.
 */
#include "template/template_settle.h"
#include <stdlib.h>

enum { CONSTANTS_NEEDED = 2 };

/* Where the word is or would be. */
static uint64_t *word_at(const known_words *t, uint64_t hash)
{
    size_t mask = t->slot_count - 1;
    for (size_t at = (size_t)hash & mask;; at = (at + 1) & mask)
        if (t->hashes[at] == hash || t->hashes[at] == 0) return &t->hashes[at];
}

lm_err settle_known_reserve(settle *s, size_t more)
{
    known_words *t = &s->known;
    if ((t->used + more) * 2 <= t->slot_count) return LM_OK;
    known_words bigger = {.slot_count = t->slot_count ? t->slot_count : 64, .used = t->used};
    while (bigger.slot_count < (t->used + more) * 2)
        bigger.slot_count *= 2;
    bigger.hashes = lm_mem_calloc(s->miner->mem, bigger.slot_count, sizeof *bigger.hashes);
    if (!bigger.hashes) return lm_mem_err();
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->hashes[i]) *word_at(&bigger, t->hashes[i]) = t->hashes[i];
    lm_mem_release(s->miner->mem, t->hashes, t->slot_count * sizeof *t->hashes);
    *t = bigger;
    return LM_OK;
}

/* A single letter is known everywhere. */
void settle_known_add(settle *s, uint32_t token_id)
{
    uint64_t hash = s->miner->hashes[token_id];
    if (settle_is_wild(s, token_id) || s->miner->tokens[token_id].len < 2 || hash == 0) return;
    uint64_t *at = word_at(&s->known, hash);
    s->known.used += *at == 0;
    *at = hash;
}

bool settle_is_known(const settle *s, uint32_t token_id)
{
    uint64_t hash = s->miner->hashes[token_id];
    return s->known.used && hash && *word_at(&s->known, hash) == hash;
}

/* A node under the hash it has with its known words as variables. */
typedef struct masked {
    uint64_t hash;
    uint32_t node;
} masked;

static int by_hash(const void *x, const void *y)
{
    const masked *a = x, *b = y;
    return (a->hash > b->hash) - (a->hash < b->hash);
}

static bool may_be_value(const settle *s, const node *n, size_t p)
{
    uint16_t flags = s->miner->kinds[n->tokens[p]].flags;
    return template_is_word(flags) && !(flags & TOKEN_CODE) && settle_is_known(s, n->tokens[p]) &&
           !settle_is_key_name(s, n, p);
}

/* Its hash with its known words as variables; 0: too little is left. */
static uint64_t masked_hash(const settle *s, const node *n)
{
    uint64_t hash = n->hash, wild = s->miner->hashes[TOKEN_ID_WILD];
    size_t constants = 0;
    for (size_t p = 0; p < n->count; p++) {
        uint16_t flags = s->miner->kinds[n->tokens[p]].flags;
        if (!template_is_word(flags) || settle_is_wild(s, n->tokens[p])) continue;
        if (may_be_value(s, n, p))
            hash +=
                template_slot_hash(wild, p) - template_slot_hash(s->miner->hashes[n->tokens[p]], p);
        else
            constants++;
    }
    return constants >= CONSTANTS_NEEDED ? hash : 0;
}

/* Words that are not the same in all of the nodes become variables. */
static lm_err widen_differing(settle *s, const masked *list, size_t count)
{
    uint32_t tokens[MESSAGE_TOKENS_MAX * 2];
    bool differs[MESSAGE_TOKENS_MAX * 2] = {0};
    const node *first = &s->nodes[list[0].node];
    for (size_t i = 1; i < count; i++) {
        const node *n = &s->nodes[list[i].node];
        if (n->count != first->count) return LM_OK; /* two hashes met */
        for (size_t p = 0; p < n->count; p++)
            differs[p] |= n->tokens[p] != first->tokens[p];
    }
    for (size_t i = 0; i < count; i++) {
        node *n = &s->nodes[list[i].node];
        for (size_t p = 0; p < n->count; p++)
            tokens[p] = differs[p] ? TOKEN_ID_WILD : n->tokens[p];
        lm_err err = settle_replace(s, n, tokens);
        if (err) return err;
    }
    return LM_OK;
}

lm_err settle_known_words(settle *s)
{
    lm_err err = LM_OK;
    size_t count = 0;
    bool is_changed = false;
    if (s->known.used == 0) return LM_OK;
    masked *list = lm_mem_alloc(s->miner->mem, s->node_count * sizeof *list);
    if (!list) return lm_mem_err();
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        uint64_t hash = n->parent == i ? masked_hash(s, n) : 0;
        if (hash) list[count++] = (masked){hash, i};
    }
    if (count > 1) qsort(list, count, sizeof *list, by_hash);
    for (size_t begin = 0; begin < count && !err;) {
        size_t end = begin + 1;
        while (end < count && list[end].hash == list[begin].hash)
            end++;
        if (end - begin > 1) {
            err = widen_differing(s, list + begin, end - begin);
            is_changed = true;
        }
        begin = end;
    }
    if (!err && is_changed) err = settle_unite(s);
    lm_mem_release(s->miner->mem, list, s->node_count * sizeof *list);
    return err;
}
