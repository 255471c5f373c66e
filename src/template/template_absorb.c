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

/* The words of a node that tell what it may join. */
typedef struct words {
    uint64_t bloom; /* one bit per constant word */
    size_t constants, count;
} words;

static words look_at(const settle *s, const node *n)
{
    words w = {0};
    for (size_t i = 0; i < n->count; i++) {
        uint16_t flags = s->miner->kinds[n->tokens[i]].flags;
        if (!template_is_word(flags)) continue;
        w.count++;
        if (flags & (TOKEN_WILD | TOKEN_PART)) continue;
        w.constants++;
        w.bloom |= 1ull << (s->miner->hashes[n->tokens[i]] >> 58);
    }
    return w;
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

/* Buckets of nodes that begin with one word: `open` of those that end with a variable, `closed` of
 * those that end with one word. 0: none. */
typedef struct buckets {
    uint64_t open, closed;
} buckets;

static buckets buckets_of(const settle *s, const node *n)
{
    const token_kind *kinds = s->miner->kinds;
    size_t first = 0, last = n->count;
    while (first < n->count && !template_is_word(kinds[n->tokens[first]].flags))
        first++;
    if (first == n->count || settle_is_wild(s, n->tokens[first])) return (buckets){0};
    while (!template_is_word(kinds[n->tokens[last - 1]].flags))
        last--;
    uint64_t begin = lm_hash_u64(s->miner->hashes[n->tokens[first]]);
    buckets b = {.open = begin | 1};
    if (!settle_is_wild(s, n->tokens[last - 1]))
        b.closed = (begin + 3 * lm_hash_u64(s->miner->hashes[n->tokens[last - 1]] + 1)) | 1;
    return b;
}

/* The bucket the node is in as one that others may join. */
static uint64_t own_bucket(buckets b)
{
    return b.closed ? b.closed : b.open;
}

/* Places of buckets, a bit each; two buckets may share one. */
typedef struct places {
    uint64_t *once, *again, *taken; /* some node, two nodes, a candidate is there */
    size_t mask;
} places;

enum { PLACES_PER_NODE = 32 };

static bool has_bit(const uint64_t *bits, const places *p, uint64_t bucket)
{
    size_t at = (size_t)(bucket >> 8) & p->mask;
    return bits[at / 64] >> (at % 64) & 1;
}

static void set_bit(uint64_t *bits, const places *p, uint64_t bucket)
{
    size_t at = (size_t)(bucket >> 8) & p->mask;
    bits[at / 64] |= 1ull << (at % 64);
}

static void note_place(places *p, uint64_t bucket)
{
    if (bucket == 0) return;
    set_bit(has_bit(p->once, p, bucket) ? p->again : p->once, p, bucket);
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

/* The nodes that others may join, in buckets where others are. */
static size_t find_candidates(const settle *s, places *p, candidate *list)
{
    size_t count = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        if (n->parent != i) continue;
        buckets b = buckets_of(s, n);
        note_place(p, b.open);
        note_place(p, b.closed);
    }
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        if (n->parent != i || n->is_plain) continue;
        uint64_t bucket = own_bucket(buckets_of(s, n));
        if (bucket == 0 || !has_bit(p->again, p, bucket)) continue;
        words w = look_at(s, n);
        if (w.constants < 2 || w.constants == w.count) continue;
        set_bit(p->taken, p, bucket);
        uint64_t order = (uint64_t)w.constants << 48 | (n->hash >> 16);
        list[count++] = (candidate){bucket, w.bloom, order, i};
    }
    if (count > 1) qsort(list, count, sizeof *list, by_bucket);
    return count;
}

static uint32_t target_of(const settle *s, const places *p, const candidate *list, size_t count,
                          const node *n)
{
    buckets b = buckets_of(s, n);
    bool is_open = b.open && has_bit(p->taken, p, b.open);
    bool is_closed = b.closed && has_bit(p->taken, p, b.closed);
    if (!is_open && !is_closed) return NO_INDEX;
    words w = look_at(s, n);
    uint32_t found = NO_INDEX;
    if (is_open) found = best_general(s, list, count, b.open, n, w.bloom, w.constants);
    if (found == NO_INDEX && is_closed)
        found = best_general(s, list, count, b.closed, n, w.bloom, w.constants);
    return found;
}

lm_err settle_absorb(settle *s)
{
    size_t count = 0, place_count = 64;
    lm_err err = LM_OK;
    while (place_count < s->node_count * PLACES_PER_NODE)
        place_count *= 2;
    places p = {.mask = place_count - 1};
    p.once = lm_mem_calloc(s->miner->mem, 3, place_count / 8);
    candidate *list = lm_mem_alloc(s->miner->mem, s->node_count * sizeof *list);
    uint32_t *target = lm_mem_alloc(s->miner->mem, s->node_count * sizeof *target);
    if (!list || !target || !p.once) {
        err = lm_mem_err();
        goto out;
    }
    p.again = p.once + place_count / 64;
    p.taken = p.again + place_count / 64;
    count = find_candidates(s, &p, list);
    if (count == 0) goto out;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        target[i] = n->parent == i ? target_of(s, &p, list, count, n) : NO_INDEX;
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
    lm_mem_release(s->miner->mem, p.once, 3 * (place_count / 8));
    lm_mem_release(s->miner->mem, list, s->node_count * sizeof *list);
    lm_mem_release(s->miner->mem, target, s->node_count * sizeof *target);
    return err;
}
