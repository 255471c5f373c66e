/**
 * Parts: a value of several words behind a key and '=', and what stands between curly brackets.
 *
 * "err=i/o timeout store=4" and "err=EOF store=4" are one message: behind '=' stands a value, and
 * it ends where the next key begins, at a comma or at a bracket. Which words of a line belong to it
 * is told by its other lines, where the value is one word or none. A list of pairs in curly
 * brackets is a value when lines that are else equal have another number of them; an empty one is a
 * value at once.
 *
 * The frame of a node is the node with its part as one variable. A line whose value is one word is
 * its own frame, so only lines that have more are looked at.
 */
#include "template/template_claim.h"

enum {
    PARTS_MAX = 8,              /* of a message that are looked at */
    WORDS_BESIDE = 2,           /* constants outside of the part */
    WORDS_BESIDE_FEW_TEXTS = 4, /* when no line shows that the value may be one word */
    TEXTS_NEEDED = 3,
    BITS_PER_CLAIM = 16,
    PASSES_MAX = 4,         /* parts of one message that become values */
    ALL_PARTS = UINT16_MAX, /* split of a claim for all of a node's parts */
};

typedef struct part {
    uint16_t begin, end;
} part;

static int depth_of(uint8_t c)
{
    if (c == '(' || c == '[' || c == '{') return 1;
    return c == ')' || c == ']' || c == '}' ? -1 : 0;
}

/* Is there a key behind the blank at i: words and signs without a blank, then '='? */
static bool is_key_behind(const settle *s, const node *n, size_t i)
{
    size_t k = i + 1;
    while (k < n->count && n->tokens[k] != TOKEN_ID_BLANK && settle_byte(s, n->tokens[k]) != '=')
        k++;
    return k > i + 1 && k < n->count && settle_byte(s, n->tokens[k]) == '=';
}

/* Where the value behind '=' that begins at i ends; brackets inside are part of it. */
static size_t value_end(const settle *s, const node *n, size_t i)
{
    int depth = 0;
    for (; i < n->count; i++) {
        uint8_t c = settle_byte(s, n->tokens[i]);
        depth += depth_of(c);
        if (depth < 0) return i;
        if (depth > 0) continue;
        if (c == ',' || c == ';' || c == '|' || c == '"') return i;
        if (n->tokens[i] == TOKEN_ID_BLANK && is_key_behind(s, n, i)) return i;
    }
    return i;
}

/* Behind the closing bracket of the one at i; 0: it has none. */
static size_t bracket_end(const settle *s, const node *n, size_t i)
{
    int depth = 0;
    for (; i < n->count; i++) {
        depth += depth_of(settle_byte(s, n->tokens[i]));
        if (depth == 0) return i + 1;
    }
    return 0;
}

/* Is it more than a word, or words held together by signs? An object that is printed with its name
 * and its fields, "Surface(name=x)", is none: its fields tell messages apart. */
static bool has_more(const settle *s, const node *n, size_t begin, size_t end)
{
    bool has_blank = false;
    for (size_t i = begin; i < end; i++) {
        has_blank |= n->tokens[i] == TOKEN_ID_BLANK;
        if (depth_of(settle_byte(s, n->tokens[i])) <= 0) continue;
        bool is_named =
            i > 0 && template_is_word_at(s, n, i - 1) &&
            (settle_byte(s, n->tokens[i]) == '(' || !settle_is_wild(s, n->tokens[i - 1]));
        if (is_named) return false;
        has_blank = true;
    }
    return has_blank;
}

/* Behind the closing bracket of a list in curly ones at i, with a comma before each blank; 0: there
 * is none. */
static size_t map_end(const settle *s, const node *n, size_t i)
{
    size_t end = bracket_end(s, n, i);
    for (size_t k = i + 1; k < end; k++)
        if (n->tokens[k] == TOKEN_ID_BLANK && settle_byte(s, n->tokens[k - 1]) != ',') return 0;
    return end && has_more(s, n, i, end) ? end : 0;
}

/* The parts that are not one word already, from left to right, none inside another. */
static size_t find_parts(const settle *s, const node *n, part *out)
{
    size_t count = 0;
    for (size_t i = 0; i < n->count && count < PARTS_MAX; i++) {
        uint8_t c = settle_byte(s, n->tokens[i]);
        size_t begin = i, end = 0;
        if (c == '{') {
            end = map_end(s, n, i);
        } else if (c == '=' && i > 0 && template_is_word_at(s, n, i - 1)) {
            begin = i + 1;
            if (begin < n->count && settle_byte(s, n->tokens[begin]) == '"') continue;
            end = value_end(s, n, begin);
            if (!has_more(s, n, begin, end)) continue;
        }
        if (end == 0) continue;
        out[count++] = (part){(uint16_t)begin, (uint16_t)end};
        i = end > begin ? end - 1 : begin - 1;
    }
    return count;
}

/* The node with these parts as variables; out: how many constant words are left. */
static size_t keep_outside(const settle *s, const node *n, const part *parts, size_t part_count,
                           uint16_t *keep, size_t *out_words)
{
    size_t count = 0, k = 0;
    *out_words = 0;
    for (size_t i = 0; i <= n->count; i++) {
        if (k < part_count && parts[k].begin == i) {
            keep[count++] = SETTLE_VALUE;
            i = parts[k++].end;
            if (i == n->count) break;
        }
        if (i == n->count) break;
        *out_words += template_is_word_at(s, n, i) && !settle_is_wild(s, n->tokens[i]);
        keep[count++] = (uint16_t)i;
    }
    return count;
}

static lm_err claim_part(settle *s, claims *list, uint32_t k, const part *p, size_t count)
{
    const node *n = &s->nodes[k];
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    size_t words = 0, kept = keep_outside(s, n, p, count, keep, &words);
    if (words < WORDS_BESIDE) return LM_OK;
    claim c = {.key = template_hash_kept(s, n, keep, kept), .node = k};
    c.is_value =
        count == 1 && p->end == p->begin + 2u && settle_byte(s, n->tokens[p->begin]) == '{';
    c.split = count > 1 ? ALL_PARTS : p->begin;
    c.end = p->end;
    for (size_t i = p->begin; i < p->end; i++)
        c.text += template_hash_at(s, n->tokens[i], i - p->begin);
    return template_claim_add(s, list, c);
}

static lm_err find_claims(settle *s, claims *list)
{
    part parts[PARTS_MAX];
    for (uint32_t k = 0; k < s->node_count; k++) {
        const node *n = &s->nodes[k];
        if (n->parent != k || !(n->signs & (SIGN_EQUALS | SIGN_CURLY))) continue;
        size_t count = find_parts(s, n, parts);
        lm_err err = count > 1 ? claim_part(s, list, k, parts, count) : LM_OK;
        for (size_t i = 0; i < count && !err; i++)
            err = claim_part(s, list, k, &parts[i], 1);
        if (err) return err;
    }
    return LM_OK;
}

static bool mark(uint64_t *bits, size_t at)
{
    bool was = bits[at / 64] >> (at % 64) & 1;
    bits[at / 64] |= 1ull << (at % 64);
    return was;
}

/* Leave out claims whose frame nobody shares, and list the nodes that are frames. Nearly all lines
 * of a stream whose lines never come again end here. */
static lm_err keep_shared(settle *s, claims *list, claims *bare)
{
    size_t bit_count = 64, kept = 0;
    while (bit_count < (list->count + s->node_count) * BITS_PER_CLAIM)
        bit_count *= 2;
    size_t bytes = bit_count / 8, mask = bit_count - 1;
    uint64_t *once = lm_mem_calloc(s->miner->mem, 2, bytes);
    if (!once) return lm_mem_err();
    uint64_t *again = once + bit_count / 64;
    lm_err err = LM_OK;
    for (size_t i = 0; i < list->count; i++) {
        size_t at = (size_t)lm_hash_u64(list->items[i].key) & mask;
        if (mark(once, at)) mark(again, at);
    }
    for (uint32_t i = 0; i < s->node_count && !err; i++) {
        const node *n = &s->nodes[i];
        if (n->parent != i || n->is_plain) continue;
        size_t at = (size_t)lm_hash_u64(n->hash) & mask;
        if (!(once[at / 64] >> (at % 64) & 1)) continue;
        mark(again, at);
        err = template_claim_add(s, bare, (claim){.key = n->hash, .node = i});
    }
    for (size_t i = 0; i < list->count; i++) {
        size_t at = (size_t)lm_hash_u64(list->items[i].key) & mask;
        if (list->items[i].is_value || again[at / 64] >> (at % 64) & 1)
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    template_claims_sort(list, template_claim_by_key);
    template_claims_sort(bare, template_claim_by_key);
    lm_mem_release(s->miner->mem, once, 2 * bytes);
    return err;
}

static bool is_value_part(const settle *s, const claim *list, size_t count)
{
    size_t least = SIZE_MAX, most = 0;
    bool is_nested = true;
    if (count == 1 || list->split == ALL_PARTS) return false;
    for (size_t i = 0; i < count; i++) {
        const claim *c = &list[i];
        const node *n = &s->nodes[c->node];
        size_t len = (size_t)c->end - c->split;
        bool has_bracket = false;
        for (size_t k = c->split; k < c->end; k++)
            has_bracket |= depth_of(settle_byte(s, n->tokens[k])) > 0;
        is_nested &= has_bracket;
        least = len < least ? len : least;
        most = len > most ? len : most;
    }
    if (least == most) return false;
    if (is_nested) return true;
    const node *n = &s->nodes[list->node];
    part p = {list->split, list->end};
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    size_t words = 0;
    keep_outside(s, n, &p, 1, keep, &words);
    return words >= WORDS_BESIDE_FEW_TEXTS && template_claims_texts(list, count) >= TEXTS_NEEDED;
}

/* The claimed parts of the node become values. */
static lm_err widen(settle *s, const claim *c)
{
    node *n = &s->nodes[c->node];
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    part parts[PARTS_MAX] = {{c->split, c->end}};
    size_t words = 0, count = 1;
    if (c->split == ALL_PARTS) count = find_parts(s, n, parts);
    return settle_rekey(s, n, keep, keep_outside(s, n, parts, count, keep, &words));
}

/* A node changes once a pass, by the part that is furthest left: what the others are is seen then.
 */
static void choose(claim *chosen, const claim *c)
{
    bool is_better = chosen->key == 0 || (c->split == ALL_PARTS) > (chosen->split == ALL_PARTS) ||
                     (chosen->split != ALL_PARTS && c->split < chosen->split);
    if (is_better) *chosen = *c;
}

static lm_err pass(settle *s, bool *out_changed)
{
    claims list = {0}, bare = {0};
    claim *chosen = NULL; /* by node */
    lm_err err = find_claims(s, &list);
    if (err || list.count == 0) goto out;
    err = keep_shared(s, &list, &bare);
    if (err || list.count == 0) goto out;
    chosen = lm_mem_calloc(s->miner->mem, s->node_count, sizeof *chosen);
    if (!chosen) err = lm_mem_err();
    for (size_t begin = 0; begin < list.count && !err;) {
        size_t end = begin + 1;
        while (end < list.count && list.items[end].key == list.items[begin].key)
            end++;
        bool is_value = list.items[begin].is_value ||
                        template_claims_has(&bare, list.items[begin].key) ||
                        is_value_part(s, list.items + begin, end - begin);
        for (size_t i = begin; i < end && is_value; i++)
            choose(&chosen[list.items[i].node], &list.items[i]);
        begin = end;
    }
    for (size_t i = 0; i < s->node_count && !err; i++) {
        if (chosen[i].key == 0) continue;
        err = widen(s, &chosen[i]);
        *out_changed = true;
    }
out:
    lm_mem_release(s->miner->mem, chosen, chosen ? s->node_count * sizeof *chosen : 0);
    template_claims_fini(s, &list);
    template_claims_fini(s, &bare);
    return err;
}

lm_err settle_parts(settle *s, bool *out_changed)
{
    bool is_changed = true;
    lm_err err = LM_OK;
    for (int i = 0; i < PASSES_MAX && is_changed && !err; i++) {
        is_changed = false;
        err = pass(s, &is_changed);
        if (!err && is_changed) err = settle_unite(s);
        *out_changed |= is_changed;
    }
    return err;
}
