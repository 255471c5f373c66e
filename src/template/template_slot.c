/**
 * Slots: nodes that are equal but for one word. When the words there are values, the slot becomes a variable.
 *
 * For word number w of every node, the node with a hole at that word is looked up; nodes that meet there form a
 * bucket. Buckets of two and more are judged all together, on the state before the round:
 *   how many different words       more are needed where little else is constant, at the line's begin, and for
 *                                  words in capitals (names of states and constants in programs)
 *   how they differ                eth0, eth1: only in their number
 *   what else is in the slot       a variable among the words
 *   do the words travel            three of them stand behind the same word in another bucket too: names do
 *                                  (cyrus, news and test behind "user" in more than one message)
 */
#include "template/template_settle.h"

enum {
    ROUNDS_MAX = 12,
    WORDS_NEEDED = 5,         /* among three constants and more */
    WORDS_NEEDED_FIRST = 12,  /* at the begin of the line */
    WORDS_NEEDED_UPPER = 8,   /* in capitals */
    TRAVELLERS_NEEDED = 3,
};

typedef struct bucket {
    uint64_t key;
    uint64_t stem;     /* what its words have in common before their number; 0: nothing */
    uint32_t first;    /* a node in it */
    uint32_t count;    /* nodes, each with another word in the slot */
    uint32_t travellers;
    uint32_t number;   /* among the buckets kept for judgement, from 1 */
    uint16_t all, any; /* flags every word has, some word has */
    uint16_t position;
} bucket;

typedef struct member {
    uint32_t node;
    uint32_t bucket; /* into kept */
    uint16_t word;   /* number of the word */
} member;

typedef struct pair { /* a word and the word before its slot */
    uint64_t key;
    uint32_t count; /* buckets */
} pair;

typedef struct slots {
    settle *s;
    bucket *table; /* of one word number */
    size_t mask;
    bucket *kept; /* buckets of two and more, of all word numbers */
    size_t kept_count, kept_cap;
    member *members;
    size_t member_count, member_cap;
    pair *pairs;
    size_t pair_slots;
} slots;

static bucket *bucket_at(const slots *t, uint64_t key)
{
    for (size_t at = (size_t)lm_hash_u64(key) & t->mask;; at = (at + 1) & t->mask) {
        bucket *b = &t->table[at];
        if (b->count == 0 || b->key == key) return b;
    }
}

static uint64_t hole_key(const settle *s, const node *n, size_t p)
{
    static const uint64_t hole = 0x5157;
    return n->hash - template_slot_hash(s->miner->tokens[n->tokens[p]].hash, p) +
           template_slot_hash(hole, p);
}

static bool is_equal_but(const node *a, const node *b, size_t p)
{
    return a->count == b->count && memcmp(a->tokens, b->tokens, p * sizeof *a->tokens) == 0 &&
           memcmp(a->tokens + p + 1, b->tokens + p + 1, (a->count - p - 1) * sizeof *a->tokens) == 0;
}

/* Of eth0 the hash of eth; 0 of a word without a number at its end. */
static uint64_t stem_of(const settle *s, uint32_t id)
{
    const token *t = &s->miner->tokens[id];
    if (!(t->flags & TOKEN_ENUM)) return 0;
    return lm_hash64(s->miner->token_bytes.ptr + t->offset, t->len - 1u) | 1;
}

/* The word before the slot, blanks and opening quotes and brackets skipped; -1: the line's begin. */
static ptrdiff_t before_slot(const settle *s, const node *n, size_t p)
{
    ptrdiff_t before = (ptrdiff_t)p - 1;
    while (before >= 0) {
        uint8_t c = settle_byte(s, n->tokens[before]);
        if (c != ' ' && c != '"' && c != '(' && c != '\'' && c != '[') break;
        before--;
    }
    return before;
}

static bool is_candidate(const node *n, size_t i, size_t word)
{
    return n->parent == i && word < n->word_count && n->word_count >= 2;
}

static bool fill_buckets(slots *t, size_t word)
{
    settle *s = t->s;
    bool is_any = false;
    memset(t->table, 0, (t->mask + 1) * sizeof *t->table);
    for (size_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        if (!is_candidate(n, i, word)) continue;
        size_t p = n->words[word];
        uint32_t id = n->tokens[p];
        uint16_t flags = s->miner->tokens[id].flags;
        uint64_t key = hole_key(s, n, p), stem = stem_of(s, id);
        bucket *b = bucket_at(t, key);
        if (b->count == 0) {
            *b = (bucket){.key = key, .stem = stem, .first = (uint32_t)i, .count = 1, .all = flags,
                          .any = flags, .position = (uint16_t)p};
        } else if (is_equal_but(&s->nodes[b->first], n, p)) {
            b->count++;
            b->all &= flags;
            b->any |= flags;
            b->stem = b->stem == stem ? stem : 0;
            is_any = true;
        }
    }
    return is_any;
}

static lm_err keep_buckets(slots *t, size_t word)
{
    settle *s = t->s;
    lm_mem *mem = s->miner->mem;
    for (size_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        if (!is_candidate(n, i, word)) continue;
        size_t p = n->words[word];
        bucket *b = bucket_at(t, hole_key(s, n, p));
        if (b->count < 2 || !is_equal_but(&s->nodes[b->first], n, p)) continue;
        if (b->number == 0) {
            lm_err err = lm_vec_grow(mem, &t->kept, &t->kept_cap, t->kept_count + 1, sizeof *b);
            if (err) return err;
            b->number = (uint32_t)t->kept_count + 1;
            t->kept[t->kept_count++] = *b;
        }
        lm_err err = lm_vec_grow(mem, &t->members, &t->member_cap, t->member_count + 1, sizeof(member));
        if (err) return err;
        t->members[t->member_count++] = (member){(uint32_t)i, b->number - 1, (uint16_t)word};
    }
    return LM_OK;
}

static uint64_t pair_key(const settle *s, const node *n, size_t p)
{
    ptrdiff_t before = before_slot(s, n, p);
    if (before < 0 || !template_is_word(s->miner->tokens[n->tokens[before]].flags)) return 0;
    if (settle_is_wild(s, n->tokens[p])) return 0;
    return lm_hash_u64(s->miner->tokens[n->tokens[before]].hash) +
           3 * s->miner->tokens[n->tokens[p]].hash;
}

static pair *pair_at(const slots *t, uint64_t key)
{
    size_t mask = t->pair_slots - 1;
    for (size_t at = (size_t)lm_hash_u64(key) & mask;; at = (at + 1) & mask)
        if (t->pairs[at].key == key || t->pairs[at].key == 0) return &t->pairs[at];
}

/* How many words of each bucket stand behind the same word in another bucket too. */
static lm_err count_travellers(slots *t)
{
    settle *s = t->s;
    t->pair_slots = 64;
    while (t->pair_slots < t->member_count * 2) t->pair_slots *= 2;
    t->pairs = lm_mem_calloc(s->miner->mem, t->pair_slots, sizeof *t->pairs);
    if (!t->pairs) return lm_mem_err();
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < t->member_count; i++) {
            const node *n = &s->nodes[t->members[i].node];
            uint64_t key = pair_key(s, n, n->words[t->members[i].word]);
            if (key == 0) continue;
            pair *p = pair_at(t, key);
            p->key = key;
            if (pass == 0) p->count++;
            else t->kept[t->members[i].bucket].travellers += p->count >= 2;
        }
    }
    lm_mem_release(s->miner->mem, t->pairs, t->pair_slots * sizeof *t->pairs);
    t->pairs = NULL;
    return LM_OK;
}

static size_t constants_but(const settle *s, const node *n, size_t p)
{
    size_t count = 0;
    for (size_t i = 0; i < n->count; i++) {
        uint16_t flags = s->miner->tokens[n->tokens[i]].flags;
        count += i != p && template_is_word(flags) && !(flags & (TOKEN_WILD | TOKEN_PART));
    }
    return count;
}

static bool is_variable_slot(const settle *s, const bucket *b)
{
    const node *n = &s->nodes[b->first];
    size_t p = b->position, next = p + 1;
    size_t constants = constants_but(s, n, p);
    if (constants == 0) return false;
    while (next < n->count && n->tokens[next] == TOKEN_ID_BLANK) next++;
    if (next < n->count && settle_byte(s, n->tokens[next]) == '=') return false; /* names of keys */
    bool is_first = before_slot(s, n, p) < 0;
    if (b->any & TOKEN_WILD) return !is_first || b->count >= WORDS_NEEDED_FIRST;
    if (b->stem) return true;
    if (is_first) return b->count >= WORDS_NEEDED_FIRST;
    if (b->all & TOKEN_UPPER) return b->count >= WORDS_NEEDED_UPPER;
    if (b->travellers >= TRAVELLERS_NEEDED) return true;
    size_t needed = WORDS_NEEDED + (constants < 3 ? 3 - constants : 0);
    return b->count >= needed;
}

static lm_err widen_marked(settle *s)
{
    uint32_t tokens[MESSAGE_TOKENS_MAX * 2];
    for (size_t i = 0; i < s->node_count; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i || n->marks == 0) continue;
        memcpy(tokens, n->tokens, n->count * sizeof *tokens);
        for (size_t w = 0; w < n->word_count; w++)
            if (n->marks >> w & 1) tokens[n->words[w]] = TOKEN_ID_WILD;
        lm_err err = settle_replace(s, n, tokens);
        if (err) return err;
    }
    return settle_unite(s);
}

static lm_err one_round(slots *t, bool *out_changed)
{
    settle *s = t->s;
    bool is_changed = false;
    t->kept_count = t->member_count = 0;
    for (size_t word = 0; word < SLOT_WORDS_MAX; word++) {
        if (!fill_buckets(t, word)) continue;
        lm_err err = keep_buckets(t, word);
        if (err) return err;
    }
    lm_err err = count_travellers(t);
    if (err) return err;
    for (size_t i = 0; i < t->member_count; i++) {
        const member *m = &t->members[i];
        if (!is_variable_slot(s, &t->kept[m->bucket])) continue;
        s->nodes[m->node].marks |= 1ull << m->word;
        is_changed = true;
    }
    *out_changed = is_changed;
    return is_changed ? widen_marked(s) : LM_OK;
}

lm_err settle_slots(settle *s)
{
    lm_mem *mem = s->miner->mem;
    size_t slot_count = 64;
    while (slot_count < s->node_count * 2) slot_count *= 2;
    slots t = {.s = s, .mask = slot_count - 1};
    t.table = lm_mem_alloc(mem, slot_count * sizeof *t.table);
    if (!t.table) return lm_mem_err();
    lm_err err = LM_OK;
    bool is_changed = true;
    for (int round = 0; round < ROUNDS_MAX && !err && is_changed; round++) err = one_round(&t, &is_changed);
    lm_mem_release(mem, t.table, slot_count * sizeof *t.table);
    lm_mem_release(mem, t.kept, t.kept_cap * sizeof *t.kept);
    lm_mem_release(mem, t.members, t.member_cap * sizeof *t.members);
    return err;
}
