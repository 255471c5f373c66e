/**
 * Absorbing: B joins A when A's constants stand in B in order and what B has for A's variables
 * looks like values. The candidates of B are the nodes that begin with the same word (and end with
 * the same word, or with a variable).
 */
#include "template/template_settle.h"
#include <stdlib.h>

typedef struct candidate {
    uint64_t bucket; /* hash of first and last word */
    uint64_t bloom;  /* one bit per constant word */
    uint64_t order;  /* fewest constants first, then by content */
    uint32_t node;
} candidate;

static uint64_t bloom_of(const settle *s, const node *n)
{
    uint64_t bloom = 0;
    for (size_t i = 0; i < n->count; i++) {
        uint16_t flags = s->miner->kinds[n->tokens[i]].flags;
        if (template_is_word(flags) && !(flags & (TOKEN_WILD | TOKEN_PART)))
            bloom |= 1ull << (s->miner->hashes[n->tokens[i]] >> 58);
    }
    return bloom;
}

static size_t constant_count(const settle *s, const node *n)
{
    size_t count = 0;
    for (size_t i = 0; i < n->word_count; i++)
        count += !settle_is_wild(s, n->tokens[n->words[i]]);
    return count;
}

/* May a token of B stand for a part of A's variable? At least one token of the piece must look like
 * a value. */
static bool is_value_like(const settle *s, uint32_t id)
{
    token_kind kind = s->miner->kinds[id];
    if (kind.flags & (TOKEN_WILD | TOKEN_PART | TOKEN_DIGIT | TOKEN_BOOL | TOKEN_SIGN | TOKEN_DOT))
        return true;
    uint8_t c = kind.byte;
    return c && strchr("(){}[]:/.@$", c);
}

typedef struct matcher {
    const settle *s;
    const node *a, *b;
    bool is_framed; /* enough of a is constant: one plain word may stand for a variable */
    size_t steps;   /* left before giving up */
} matcher;

/* Does a[i..] match b[j..], where a variable of a takes one or more tokens of b without a blank,
 * one of them value-like, or one plain word? */
static bool is_instance(matcher *m, size_t i, size_t j)
{
    while (i < m->a->count) {
        if (m->steps-- == 0) {
            m->steps = 1;
            return false;
        }
        if (!settle_is_wild(m->s, m->a->tokens[i])) {
            if (j >= m->b->count || m->a->tokens[i] != m->b->tokens[j]) return false;
            i++;
            j++;
            continue;
        }
        bool has_value = false;
        bool is_quoted = i > 0 && settle_byte(m->s, m->a->tokens[i - 1]) == '"';
        size_t k = j;
        for (; k < m->b->count && m->b->tokens[k] != TOKEN_ID_BLANK; k++) {
            if (is_quoted && settle_byte(m->s, m->b->tokens[k]) == '"') break;
            has_value |= is_value_like(m->s, m->b->tokens[k]);
            bool is_word = k == j && template_is_word(m->s->miner->kinds[m->b->tokens[k]].flags);
            if ((has_value || (is_word && m->is_framed)) && is_instance(m, i + 1, k + 1))
                return true;
        }
        return false;
    }
    return j == m->b->count;
}

static int by_bucket(const void *x, const void *y)
{
    const candidate *a = x, *b = y;
    if (a->bucket != b->bucket) return a->bucket < b->bucket ? -1 : 1;
    if (a->order != b->order) return a->order < b->order ? -1 : 1;
    return 0;
}

/* Bucket of nodes that begin with the word first and end with last (0: a variable). */
static uint64_t bucket_key(uint64_t first, uint64_t last)
{
    return lm_hash_u64(first) + 3 * lm_hash_u64(last + 1);
}

static bool has_general_form(const settle *s, const node *n)
{
    size_t constants = constant_count(s, n);
    return n->word_count > 0 && constants >= 2 && constants < n->word_count &&
           !settle_is_wild(s, n->tokens[n->words[0]]);
}

static uint64_t last_word(const settle *s, const node *n)
{
    uint32_t id = n->tokens[n->words[n->word_count - 1]];
    return settle_is_wild(s, id) ? 0 : s->miner->hashes[id];
}

enum {
    STEPS_MAX = 2000,
    CANDIDATES_MAX = 256,
    CONSTANTS_NEEDED = 3,
}; /* for each node: content decides what is tried, not time */

static uint32_t best_general(const settle *s, const candidate *list, size_t count, uint64_t bucket,
                             const node *b, uint64_t bloom, size_t constants)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].bucket < bucket)
            low = middle + 1;
        else
            high = middle;
    }
    size_t stop = count - low > CANDIDATES_MAX ? low + CANDIDATES_MAX : count;
    for (; low < stop && list[low].bucket == bucket; low++) {
        const node *a = &s->nodes[list[low].node];
        size_t a_constants = (size_t)(list[low].order >> 48);
        if (a_constants > constants) return NO_INDEX;
        if ((list[low].bloom & ~bloom) || a == b) continue;
        if (a_constants == constants && a->count >= b->count) continue;
        matcher m = {s, a, b, a_constants >= CONSTANTS_NEEDED, STEPS_MAX};
        if (is_instance(&m, 0, 0)) return list[low].node;
    }
    return NO_INDEX;
}

/* b's values stand in a's variables, whatever their form: those slots agree on nothing any more. */
static lm_err take_in(settle *s, node *a, uint32_t b)
{
    lm_err err = settle_own_agree(s, a);
    if (!err) err = settle_need_from(s, a);
    if (err) return err;
    s->nodes[b].parent = (uint32_t)(a - s->nodes);
    a->is_plain = false;
    for (size_t i = 0; i < a->count; i++) {
        if (!settle_is_wild(s, a->tokens[i])) continue;
        size_t at = a->from ? a->from[i] : i;
        if (at != UINT16_MAX) a->agree[at] = TOKEN_ID_WILD;
    }
    return LM_OK;
}

lm_err settle_absorb(settle *s)
{
    size_t count = 0;
    lm_err err = LM_OK;
    candidate *list = lm_mem_alloc(s->miner->mem, s->node_count * sizeof *list);
    uint32_t *target = lm_mem_alloc(s->miner->mem, s->node_count * sizeof *target);
    if (!list || !target) {
        err = lm_mem_err();
        goto out;
    }
    for (uint32_t i = 0; i < s->node_count; i++) {
        node *n = &s->nodes[i];
        target[i] = NO_INDEX;
        if (n->parent != i || n->is_plain) continue;
        err = settle_need_words(s, n);
        if (err) goto out;
        if (!has_general_form(s, n)) continue;
        uint64_t first = s->miner->hashes[n->tokens[n->words[0]]];
        uint64_t order = (uint64_t)constant_count(s, n) << 48 | (n->hash >> 16);
        list[count++] = (candidate){bucket_key(first, last_word(s, n)), bloom_of(s, n), order, i};
    }
    qsort(list, count, sizeof *list, by_bucket);
    for (uint32_t i = 0; i < s->node_count && count; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i) continue;
        err = settle_need_words(s, n);
        if (err) goto out;
        if (n->word_count == 0) continue;
        uint64_t first = s->miner->hashes[n->tokens[n->words[0]]], bloom = bloom_of(s, n);
        size_t constants = constant_count(s, n);
        uint64_t last = last_word(s, n);
        uint32_t found = best_general(s, list, count, bucket_key(first, 0), n, bloom, constants);
        if (found == NO_INDEX && last)
            found = best_general(s, list, count, bucket_key(first, last), n, bloom, constants);
        target[i] = found;
    }
    for (uint32_t i = 0; i < s->node_count && !err;
         i++) { /* b's own general form first: chains end at the top */
        if (target[i] == NO_INDEX) continue;
        uint32_t top = target[i];
        for (int depth = 0; depth < 20 && target[top] != NO_INDEX; depth++)
            top = target[top];
        if (top == i || s->nodes[top].parent != top) continue;
        err = take_in(s, &s->nodes[top], i);
    }
out:
    lm_mem_release(s->miner->mem, list, s->node_count * sizeof *list);
    lm_mem_release(s->miner->mem, target, s->node_count * sizeof *target);
    return err;
}
