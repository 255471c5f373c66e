/**
 * Similar nodes: several words differ at once, so that no two are equal but for one word ("user ann
 * on host-a", "user bob on host-b", ...).
 *
 * A set of nodes may differ in VARYING_MAX words at most, so of HASH_PARTS parts of their tokens
 * one is the same in all of them: nodes that share no part with enough others are left out before
 * anything is sorted (a stream of which every line is new ends here).
 *
 * Candidates among the others are found by SimHash (Charikar, STOC 2002): 64 bits in which each
 * word at its place votes, cut into eight bands of eight bits; nodes of one frame (separators,
 * number of words, first word) that share a band are candidates, and those within HAMMING_MAX bits
 * are linked. Each set of linked nodes is then checked word by word: it becomes one node only if
 * enough words are constant in all of it and every word that is not shows as many different values
 * as a slot needs. What is linked, and so what becomes one, does not depend on any order.
 */
#include "template/template_settle.h"
#include <stdlib.h>

enum {
    BANDS = 8,
    HAMMING_MAX = 24, /* two words of eight differ: some 15 bits; three: 19 */
    CONSTANTS_NEEDED = 3,
    VARYING_MAX = 4,
    BUCKET_MAX =
        64, /* in a fuller bucket each node is compared with that many neighbours by content */
    MEMBERS_NEEDED = 5,
};

typedef struct sketch {
    uint64_t frame; /* separators and first word */
    uint64_t bits;
    uint32_t node;
    uint32_t parent; /* among sketches: who it is linked to */
} sketch;

_Static_assert((int)HASH_PARTS > (int)VARYING_MAX, "one part has no word that varies");

static uint64_t frame_of(const settle *s, const node *n)
{
    uint64_t frame = n->count;
    for (size_t i = 0; i < n->count; i++) {
        uint16_t flags = s->miner->kinds[n->tokens[i]].flags;
        bool is_free = template_is_word(flags) && i != n->words[0] && !(flags & TOKEN_WILD);
        frame += template_slot_hash(is_free ? 1 : s->miner->hashes[n->tokens[i]], i);
    }
    return frame;
}

/* The bits that more than half of the words have. 64 counters at once: plane k holds bit k of each.
 */
static uint64_t simhash_of(const settle *s, const node *n)
{
    enum { PLANES = 7 };

    uint64_t planes[PLANES] = {0}, above = 0, equal = ~0ull;
    for (size_t w = 0; w < n->word_count; w++) {
        uint64_t carry = template_slot_hash(s->miner->hashes[n->tokens[n->words[w]]], w);
        for (int k = 0; k < PLANES && carry; k++) {
            uint64_t both = planes[k] & carry;
            planes[k] ^= carry;
            carry = both;
        }
    }
    for (int k = PLANES - 1; k >= 0; k--) { /* compare each counter with half the words */
        uint64_t half = (n->word_count / 2u >> k & 1) ? ~0ull : 0;
        above |= equal & planes[k] & ~half;
        equal &= ~(planes[k] ^ half);
    }
    return above;
}

static int by_frame(const void *x, const void *y)
{
    const sketch *a = x, *b = y;
    if (a->frame != b->frame) return a->frame < b->frame ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

typedef struct ref {
    uint64_t band;
    uint64_t bits;
    uint64_t order; /* by content, among equal bits */
    uint32_t sketch;
} ref;

static int by_band(const void *x, const void *y)
{
    const ref *a = x, *b = y;
    if (a->band != b->band) return a->band < b->band ? -1 : 1;
    if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static uint32_t linked_to(sketch *list, uint32_t i)
{
    while (list[i].parent != i)
        i = list[i].parent = list[list[i].parent].parent;
    return i;
}

static void link_band(const settle *s, sketch *list, ref *refs, size_t count, int band)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = list[i].bits >> (band * 8) & 0xff;
        refs[i] = (ref){lm_hash_u64(list[i].frame) + value * 0x9e3779b97f4a7c15u, list[i].bits,
                        s->nodes[list[i].node].hash, (uint32_t)i};
    }
    qsort(refs, count, sizeof *refs, by_band);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count && k <= i + BUCKET_MAX && refs[k].band == refs[i].band;
             k++) {
            if (__builtin_popcountll(refs[i].bits ^ refs[k].bits) > HAMMING_MAX) continue;
            uint32_t a = linked_to(list, refs[i].sketch), b = linked_to(list, refs[k].sketch);
            list[a > b ? a : b].parent = a > b ? b : a;
        }
    }
}

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

static size_t distinct(uint64_t *values, size_t count)
{
    size_t n = count > 0;
    qsort(values, count, sizeof *values, by_value);
    for (size_t i = 1; i < count; i++)
        n += values[i] != values[i - 1];
    return n;
}

/* Before "()": a place in a program; what is said there is a message of its own. */
static bool is_function_name(const settle *s, const node *n, size_t p)
{
    return p + 2 < n->count && settle_byte(s, n->tokens[p + 1]) == '(' &&
           settle_byte(s, n->tokens[p + 2]) == ')';
}

/* Which words of the linked nodes vary, if the set may become one node; 0 if it may not. One word
 * alone was judged as a slot already. */
static uint64_t varying_words(const settle *s, const sketch *list, const uint32_t *members,
                              size_t count, uint64_t *values)
{
    const node *first = &s->nodes[list[members[0]].node];
    uint64_t varying = 0;
    size_t constants = 0;
    for (size_t w = 0; w < first->word_count; w++) {
        size_t same = 0;
        for (size_t i = 0; i < count; i++)
            same += s->nodes[list[members[i]].node].tokens[first->words[w]] ==
                    first->tokens[first->words[w]];
        if (same < count)
            varying |= 1ull << w;
        else
            constants += !settle_is_wild(s, first->tokens[first->words[w]]);
    }
    size_t varying_count = (size_t)__builtin_popcountll(varying);
    if (varying_count < 2 || varying_count > VARYING_MAX || constants < CONSTANTS_NEEDED ||
        constants < varying_count)
        return 0;
    for (size_t w = 0; w < first->word_count; w++) {
        if (!(varying >> w & 1)) continue;
        size_t p = first->words[w];
        for (size_t i = 0; i < count; i++) {
            uint32_t id = s->nodes[list[members[i]].node].tokens[p];
            values[i] = s->miner->hashes[id];
        }
        if (settle_is_key_name(s, first, p) || is_function_name(s, first, p)) return 0;
        if (distinct(values, count) < settle_words_needed(constants)) return 0;
    }
    return varying;
}

static lm_err widen(settle *s, const sketch *list, const uint32_t *members, size_t count,
                    uint64_t varying)
{
    uint32_t tokens[MESSAGE_TOKENS_MAX * 2];
    for (size_t i = 0; i < count; i++) {
        node *n = &s->nodes[list[members[i]].node];
        memcpy(tokens, n->tokens, n->count * sizeof *tokens);
        for (size_t w = 0; w < n->word_count; w++)
            if (varying >> w & 1) tokens[n->words[w]] = TOKEN_ID_WILD;
        lm_err err = settle_replace(s, n, tokens);
        if (err) return err;
    }
    return LM_OK;
}

/* Sets of linked sketches, one after another: members are chained in order of their head. */
static lm_err widen_sets(settle *s, sketch *list, size_t count, uint32_t *members, uint32_t *starts,
                         uint64_t *values)
{
    memset(starts, 0, (count + 1) * sizeof *starts);
    for (uint32_t i = 0; i < count; i++)
        starts[linked_to(list, i) + 1]++;
    for (size_t i = 0; i < count; i++)
        starts[i + 1] += starts[i];
    for (uint32_t i = 0; i < count; i++)
        members[starts[linked_to(list, i)]++] = i;
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + 1;
        uint32_t head = linked_to(list, members[begin]);
        while (end < count && linked_to(list, members[end]) == head)
            end++;
        if (end - begin >= MEMBERS_NEEDED) {
            uint64_t varying = varying_words(s, list, members + begin, end - begin, values);
            lm_err err = varying ? widen(s, list, members + begin, end - begin, varying) : LM_OK;
            if (err) return err;
        }
        begin = end;
    }
    return LM_OK;
}

/* How often each part was seen, up to 255. Two may share a place: that keeps a node too many, never
 * one too few. */
typedef struct part_counts {
    uint8_t *places;
    size_t count; /* a power of two */
} part_counts;

static uint8_t *part_count(const part_counts *c, const node *n, size_t k)
{
    uint64_t key = (uint64_t)n->parts[k] << 32 | (uint64_t)n->count << 8 | k;
    return &c->places[(size_t)lm_hash_u64(key) & (c->count - 1)];
}

static bool has_company(const part_counts *c, const node *n)
{
    bool is_any = false;
    for (size_t k = 0; k < HASH_PARTS; k++)
        is_any |= *part_count(c, n, k) >= MEMBERS_NEEDED;
    return is_any;
}

static bool is_fit(const settle *s, const node *n)
{
    return n->word_count > CONSTANTS_NEEDED && n->word_count < SLOT_WORDS_MAX &&
           !settle_is_wild(s, n->tokens[n->words[0]]);
}

static lm_err sketch_nodes(settle *s, sketch *list, part_counts *seen, size_t *out)
{
    size_t count = 0, kept = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].parent != i) continue;
        for (size_t k = 0; k < HASH_PARTS; k++) {
            uint8_t *at = part_count(seen, &s->nodes[i], k);
            *at = (uint8_t)(*at + (*at != UINT8_MAX));
        }
    }
    for (uint32_t i = 0; i < s->node_count; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i || !has_company(seen, n)) continue;
        lm_err err = settle_need_words(s, n);
        if (err) return err;
        if (is_fit(s, n)) list[count++] = (sketch){.frame = frame_of(s, n), .node = i};
    }
    qsort(list, count, sizeof *list, by_frame);
    for (size_t begin = 0; begin < count;) { /* a frame of few nodes has nothing to find */
        size_t end = begin + 1;
        while (end < count && list[end].frame == list[begin].frame)
            end++;
        for (size_t i = begin; end - begin >= MEMBERS_NEEDED && i < end; i++)
            list[kept++] = list[i];
        begin = end;
    }
    for (uint32_t i = 0; i < kept; i++) {
        list[i].bits = simhash_of(s, &s->nodes[list[i].node]);
        list[i].parent = i;
    }
    *out = kept;
    return LM_OK;
}

lm_err settle_similar(settle *s)
{
    lm_mem *mem = s->miner->mem;
    lm_err err = LM_OK;
    size_t count = 0;
    ref *refs = NULL;
    uint32_t *members = NULL;
    uint64_t *values = NULL;
    part_counts seen = {.count = 64};
    sketch *list = NULL;
    while (seen.count < s->node_count * HASH_PARTS * 2)
        seen.count *= 2;
    seen.places = lm_mem_calloc(mem, seen.count, 1);
    list = lm_mem_alloc(mem, s->node_count * sizeof *list);
    if (!seen.places || !list) {
        err = lm_mem_err();
        goto out;
    }
    err = sketch_nodes(s, list, &seen, &count);
    if (err || count == 0) goto out;
    refs = lm_mem_alloc(mem, count * sizeof *refs);
    members = lm_mem_alloc(mem, (2 * count + 1) * sizeof *members);
    values = lm_mem_alloc(mem, count * sizeof *values);
    if (!refs || !members || !values) {
        err = lm_mem_err();
        goto out;
    }
    for (int band = 0; band < BANDS; band++)
        link_band(s, list, refs, count, band);
    err = widen_sets(s, list, count, members, members + count, values);
    if (!err) err = settle_unite(s);
out:
    lm_mem_release(mem, seen.places, seen.count);
    lm_mem_release(mem, list, s->node_count * sizeof *list);
    lm_mem_release(mem, refs, count * sizeof *refs);
    lm_mem_release(mem, members, (2 * count + 1) * sizeof *members);
    lm_mem_release(mem, values, count * sizeof *values);
    return err;
}
