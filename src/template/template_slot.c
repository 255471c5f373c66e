/**
 * Slots: nodes that are equal but for one word. When the words there are values, the slot becomes a
 * variable.
 *
 * For word number w of every node, the node with a hole at that word is looked up; nodes that meet
 * there form a bucket. Buckets of two and more are judged all together, on the state before the
 * round:
 *   how many different words        fewer are needed where much else is constant and between quotes
 *                                   or brackets; more where little is, at the line's begin, and of
 *                                   words that all end alike (started, stopped, paused)
 *   how they differ                 eth0, eth1: only in their number; ACTIVE, IDLE: they are all in
 *                                   capitals
 *   what else is in the slot        a variable among the words
 *   do the words travel             three of them stand behind the same word, with another word
 *                                   behind them, in another bucket too: names do (cyrus, news and
 *                                   test behind "user" in more than one message); asked only when
 *                                   nothing else is left to do
 *   are the words known             two of them are values in other messages already: a name is a
 *                                   name wherever it stands; asked then too
 *
 * The name of a key, and the name of a place in a program, never are variables.
 */
#include "template/template_settle.h"

enum {
    ROUNDS_MAX = 16,
    WORDS_NEEDED = 5,       /* among a few constants */
    WORDS_NEEDED_LEAST = 2, /* among many, and between quotes or brackets */
    CONSTANTS_FEW = 3,
    CONSTANTS_MANY = 5,
    FIRST_EXTRA = 2,         /* at the begin of the line */
    WORDS_NEEDED_FIRST = 12, /* there, with a variable among them */
    WORDS_NEEDED_INFLECTED = 8,
    WORDS_NEEDED_UPPER = 3, /* of capitals only, as the names of states are */
    CONSTANTS_UPPER = 4,
    CONSTANTS_FIRST = 4, /* or, where so much else is constant, as many as elsewhere */
    TRAVELLERS_NEEDED = 3,
    KNOWN_NEEDED = 2,
    SEEN_PER_NODE = 32, /* places of the first look: a node in thirty passes by chance */
};

typedef struct bucket {
    uint64_t stem;  /* what its words have in common before their number; 0: nothing */
    uint32_t first; /* a node in it */
    uint32_t count; /* nodes, each with another word in the slot */
    uint32_t travellers;
    uint32_t known;    /* of its words, those that are values in another message */
    uint16_t all, any; /* flags every word has, some word has */
    uint16_t position;
    bool has_low;      /* a word ends in 0 or 1: counting begins there */
    bool is_inflected; /* all words end in the same two letters */
} bucket;

typedef struct hole { /* a place in the table of one word number: nodes equal but for that word */
    uint64_t key;
    uint32_t first;  /* node + 1; 0: free */
    uint32_t bucket; /* + 1, once kept */
} hole;

typedef struct member {
    uint32_t node;
    uint32_t bucket; /* into kept */
    uint16_t word;   /* number of the word */
} member;

typedef struct pair { /* a word and the word before its slot */
    uint64_t key;     /* 0: free */
    uint64_t context; /* the word behind the slot, where it was seen first */
    bool has_others;  /* seen with another word behind the slot too */
} pair;

typedef struct slots {
    settle *s;
    uint32_t *nodes; /* that may change, those with the most words first */
    size_t node_count;
    hole *table;      /* of one word number; as large as all nodes need */
    size_t mask;      /* of the part in use */
    uint32_t *where;  /* by place in nodes: the place in the table; of a first look, by node */
    uint64_t *shared; /* bit by place: two nodes and more */
    bucket *kept;     /* buckets of two and more, of all word numbers */
    size_t kept_count, kept_cap;
    member *members;
    size_t member_count, member_cap;
    pair *pairs;
    size_t pair_slots, pair_count;
    uint64_t *once, *again; /* bit by place: nodes that are there without one part of theirs */
    size_t seen_mask;
    uint8_t *has_neighbour; /* by node */
    bool is_travel_round;   /* only when all else is done: until then the words around are not what
                               they will be */
} slots;

static uint64_t hole_key(const settle *s, const node *n, size_t p)
{
    static const uint64_t no_word = 0x5157;
    return n->hash - template_slot_hash(s->miner->hashes[n->tokens[p]], p) +
           template_slot_hash(no_word, p);
}

static bool is_equal_but(const node *a, const node *b, size_t p)
{
    return a->count == b->count && memcmp(a->tokens, b->tokens, p * sizeof *a->tokens) == 0 &&
           memcmp(a->tokens + p + 1, b->tokens + p + 1, (a->count - p - 1) * sizeof *a->tokens) ==
               0;
}

/* Of eth0 the hash of eth; 0 of a word without a number at its end. */
static uint64_t stem_of(const settle *s, uint32_t id)
{
    const token *t = &s->miner->tokens[id];
    if (!(s->miner->kinds[id].flags & TOKEN_ENUM)) return 0;
    return lm_hash64(s->miner->token_bytes.ptr + t->offset, t->len - 1u) | 1;
}

/* The last two letters of a word of five and more, as one number; 0: none. Started, stopped,
 * paused: what happened, not what it happened to. */
static uint16_t ending_of(const settle *s, uint32_t id)
{
    const token *t = &s->miner->tokens[id];
    if (!(s->miner->kinds[id].flags & TOKEN_ALPHA) || t->len < 5) return 0;
    return lm_le16(s->miner->token_bytes.ptr + t->offset + t->len - 2);
}

static bool has_low_number(const settle *s, uint32_t id)
{
    const token *t = &s->miner->tokens[id];
    uint8_t last = s->miner->token_bytes.ptr[t->offset + t->len - 1];
    return last == '0' || last == '1';
}

/* The word before the slot, blanks and opening quotes and brackets skipped; -1: the line's begin.
 */
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

/* What each node is without one of its parts, as a place: nodes that are equal but for one word are
 * equal but for one part. */
static void list_places(slots *t, size_t part)
{
    const settle *s = t->s;
    for (size_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        t->where[i] = (uint32_t)lm_hash_u64((uint32_t)n->hash - n->parts[part]);
    }
}

/* Which nodes may have another that is equal but for one word: a cheap look, a few too many pass.
 * Most nodes of a stream whose lines never come again end here. */
static void find_neighbours(slots *t)
{
    const settle *s = t->s;
    memset(t->has_neighbour, 0, s->node_count);
    for (size_t k = 0; k < HASH_PARTS; k++) {
        list_places(t, k);
        memset(t->once, 0, t->seen_mask / 8 + 1);
        memset(t->again, 0, t->seen_mask / 8 + 1);
        for (size_t i = 0; i < s->node_count; i++) {
            size_t at = t->where[i] & t->seen_mask;
            uint64_t bit = 1ull << (at % 64);
            t->again[at / 64] |= t->once[at / 64] & bit;
            t->once[at / 64] |= bit;
        }
        for (size_t i = 0; i < s->node_count; i++) {
            size_t at = t->where[i] & t->seen_mask;
            if (t->again[at / 64] >> (at % 64) & 1) t->has_neighbour[i] = 1;
        }
    }
    for (size_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].parent != i) t->has_neighbour[i] = 0;
}

/* The nodes of this round by number of words, most first: those that have a certain word are the
 * front of the list. */
static lm_err list_nodes(slots *t)
{
    settle *s = t->s;
    size_t starts[SLOT_WORDS_MAX + 2] = {0};
    find_neighbours(t);
    for (size_t i = 0; i < s->node_count; i++) {
        if (!t->has_neighbour[i]) continue;
        lm_err err = settle_need_words(s, &s->nodes[i]);
        if (err) return err;
        starts[SLOT_WORDS_MAX - s->nodes[i].word_count + 1]++;
    }
    for (size_t w = 0; w <= SLOT_WORDS_MAX; w++)
        starts[w + 1] += starts[w];
    for (size_t i = 0; i < s->node_count; i++) {
        if (!t->has_neighbour[i]) continue;
        t->nodes[starts[SLOT_WORDS_MAX - s->nodes[i].word_count]++] = (uint32_t)i;
    }
    t->node_count = starts[SLOT_WORDS_MAX - 2]; /* of two words and more */
    return LM_OK;
}

/* How many nodes have this word: how far the front of the list goes. */
static size_t front_with(const slots *t, size_t count, size_t word)
{
    while (count && t->s->nodes[t->nodes[count - 1]].word_count <= word)
        count--;
    return count;
}

/* Nodes ahead of the one at hand whose place in the table is asked for early. */
enum { AHEAD = 16 };

/* The first count nodes to their places; true when two have met. */
static bool fill_table(slots *t, size_t count, size_t word)
{
    const settle *s = t->s;
    uint64_t keys[AHEAD];
    bool is_any = false;
    size_t places = 64;
    while (places < count * 2)
        places *= 2;
    t->mask = places - 1;
    memset(t->table, 0, places * sizeof *t->table);
    memset(t->shared, 0, places / 8);
    for (size_t begin = 0; begin < count; begin += AHEAD) {
        size_t end = begin + AHEAD < count ? begin + AHEAD : count;
        for (size_t i = begin; i < end; i++) {
            const node *n = &s->nodes[t->nodes[i]];
            keys[i - begin] = hole_key(s, n, n->words[word]);
            __builtin_prefetch(&t->table[(size_t)lm_hash_u64(keys[i - begin]) & t->mask]);
        }
        for (size_t i = begin; i < end; i++) {
            const node *n = &s->nodes[t->nodes[i]];
            t->where[i] = NO_INDEX;
            uint64_t key = keys[i - begin];
            size_t at = (size_t)lm_hash_u64(key) & t->mask;
            while (t->table[at].first && t->table[at].key != key)
                at = (at + 1) & t->mask;
            hole *h = &t->table[at];
            if (h->first == 0) {
                *h = (hole){key, t->nodes[i] + 1, 0};
            } else if (is_equal_but(&s->nodes[h->first - 1], n, n->words[word])) {
                t->shared[at / 64] |= 1ull << (at % 64);
                is_any = true;
            } else {
                continue;
            }
            t->where[i] = (uint32_t)at;
        }
    }
    return is_any;
}

/* Places with two nodes and more become buckets to be judged. */
static lm_err keep_buckets(slots *t, size_t count, size_t word)
{
    settle *s = t->s;
    lm_mem *mem = s->miner->mem;
    for (size_t k = 0; k < count; k++) {
        uint32_t at = t->where[k], i = t->nodes[k];
        if (at == NO_INDEX || !(t->shared[at / 64] >> (at % 64) & 1)) continue;
        const node *n = &s->nodes[i];
        hole *h = &t->table[at];
        size_t p = n->words[word];
        uint16_t flags = s->miner->kinds[n->tokens[p]].flags;
        if (flags & TOKEN_WILD) flags |= TOKEN_DOT; /* what it is does not count */
        uint64_t stem = stem_of(s, n->tokens[p]);
        lm_err err =
            lm_vec_grow(mem, &t->members, &t->member_cap, t->member_count + 1, sizeof(member));
        if (!err && h->bucket == 0)
            err = lm_vec_grow(mem, &t->kept, &t->kept_cap, t->kept_count + 1, sizeof(bucket));
        if (err) return err;
        if (h->bucket == 0) {
            t->kept[t->kept_count++] = (bucket){.stem = stem,
                                                .first = i,
                                                .all = flags,
                                                .any = flags,
                                                .position = (uint16_t)p,
                                                .is_inflected = ending_of(s, n->tokens[p]) != 0};
            h->bucket = (uint32_t)t->kept_count;
        }
        bucket *b = &t->kept[h->bucket - 1];
        b->count++;
        b->all &= flags;
        b->any |= flags;
        b->stem = b->stem == stem ? stem : 0;
        b->is_inflected &= ending_of(s, n->tokens[p]) == ending_of(s, s->nodes[b->first].tokens[p]);
        b->has_low |= has_low_number(s, n->tokens[p]);
        t->members[t->member_count++] = (member){i, h->bucket - 1, (uint16_t)word};
    }
    return LM_OK;
}

static uint64_t pair_key(const settle *s, const node *n, size_t p)
{
    ptrdiff_t before = before_slot(s, n, p);
    if (before < 0 || !template_is_word(s->miner->kinds[n->tokens[before]].flags)) return 0;
    if (settle_is_wild(s, n->tokens[p])) return 0;
    return lm_hash_u64(s->miner->hashes[n->tokens[before]]) + 3 * s->miner->hashes[n->tokens[p]];
}

static pair *pair_at(const slots *t, uint64_t key)
{
    size_t mask = t->pair_slots - 1;
    for (size_t at = (size_t)lm_hash_u64(key) & mask;; at = (at + 1) & mask)
        if (t->pairs[at].key == key || t->pairs[at].key == 0) return &t->pairs[at];
}

static lm_err pairs_reserve(slots *t, size_t extra)
{
    lm_mem *mem = t->s->miner->mem;
    slots bigger = {.pair_slots = t->pair_slots ? t->pair_slots : 64};
    if (t->pair_slots && (t->pair_count + extra) * 2 <= t->pair_slots) return LM_OK;
    while (bigger.pair_slots < (t->pair_count + extra) * 2)
        bigger.pair_slots *= 2;
    bigger.pairs = lm_mem_calloc(mem, bigger.pair_slots, sizeof(pair));
    if (!bigger.pairs) return lm_mem_err();
    for (size_t i = 0; i < t->pair_slots; i++)
        if (t->pairs[i].key) *pair_at(&bigger, t->pairs[i].key) = t->pairs[i];
    lm_mem_release(mem, t->pairs, t->pair_slots * sizeof(pair));
    t->pairs = bigger.pairs;
    t->pair_slots = bigger.pair_slots;
    return LM_OK;
}

/* The word behind the slot: where it differs, the same words stand in another message, not in a
 * longer form of one. */
static uint64_t context_behind(const settle *s, const node *n, size_t p)
{
    for (size_t i = p + 1; i < n->count; i++)
        if (template_is_word(s->miner->kinds[n->tokens[i]].flags))
            return s->miner->hashes[n->tokens[i]];
    return 0;
}

/* Note where the member's word was seen. Room was reserved. */
static void note_pair(slots *t, const member *m)
{
    const node *n = &t->s->nodes[m->node];
    size_t p = n->words[m->word];
    uint64_t key = pair_key(t->s, n, p), context = context_behind(t->s, n, p);
    if (key == 0) return;
    pair *at = pair_at(t, key);
    if (at->key == 0) {
        *at = (pair){key, context, false};
        t->pair_count++;
    } else {
        at->has_others |= at->context != context;
    }
}

static uint32_t token_of(const slots *t, const member *m)
{
    const node *n = &t->s->nodes[m->node];
    return n->tokens[n->words[m->word]];
}

static bool is_traveller(const slots *t, const member *m)
{
    const node *n = &t->s->nodes[m->node];
    size_t p = n->words[m->word];
    uint64_t key = pair_key(t->s, n, p);
    const pair *at = key ? pair_at(t, key) : NULL;
    return at && at->key && (at->has_others || at->context != context_behind(t->s, n, p));
}

/* How many words of each bucket stand behind the same word in another message too. */
static void count_travellers(slots *t)
{
    for (size_t i = 0; i < t->member_count; i++)
        note_pair(t, &t->members[i]);
    for (size_t i = 0; i < t->member_count; i++)
        t->kept[t->members[i].bucket].travellers += is_traveller(t, &t->members[i]);
    for (size_t i = 0; i < t->member_count; i++)
        t->kept[t->members[i].bucket].known += settle_is_known(t->s, token_of(t, &t->members[i]));
}

static size_t constants_but(const settle *s, const node *n, size_t p)
{
    size_t count = 0;
    for (size_t i = 0; i < n->count; i++) {
        uint16_t flags = s->miner->kinds[n->tokens[i]].flags;
        count += i != p && template_is_word(flags) && !(flags & (TOKEN_WILD | TOKEN_PART));
    }
    return count;
}

/* Is the word at p the name of a key, before '=', or quoted before ':'? */
bool settle_is_key_name(const settle *s, const node *n, size_t p)
{
    size_t next = p + 1;
    if (p > 0 && p + 2 < n->count && settle_byte(s, n->tokens[p - 1]) == '"' &&
        settle_byte(s, n->tokens[p + 1]) == '"' && settle_byte(s, n->tokens[p + 2]) == ':')
        return true;
    while (next < n->count && n->tokens[next] == TOKEN_ID_BLANK)
        next++;
    return next < n->count && settle_byte(s, n->tokens[next]) == '=';
}

/* The more of a line is constant, the fewer words it takes: lines that are equal in ten words and
 * differ in one are one message. */
size_t settle_words_needed(size_t constants)
{
    if (constants < CONSTANTS_FEW) return WORDS_NEEDED + CONSTANTS_FEW - constants;
    size_t less = constants > CONSTANTS_MANY ? (constants - CONSTANTS_MANY + 1) / 2 : 0;
    return less < WORDS_NEEDED - WORDS_NEEDED_LEAST ? WORDS_NEEDED - less : WORDS_NEEDED_LEAST;
}

/* Alone between round brackets? */
static bool is_remark(const settle *s, const node *n, size_t p)
{
    return p > 0 && p + 1 < n->count && settle_byte(s, n->tokens[p - 1]) == '(' &&
           settle_byte(s, n->tokens[p + 1]) == ')';
}

/* Alone between quotes or square brackets, or between round ones behind a word? */
static bool is_enclosed(const settle *s, const node *n, size_t p)
{
    if (p == 0 || p + 1 >= n->count) return false;
    switch (settle_byte(s, n->tokens[p - 1])) {
    case '"':
    case '\'':
        return settle_byte(s, n->tokens[p + 1]) == settle_byte(s, n->tokens[p - 1]);
    case '[':
        return settle_byte(s, n->tokens[p + 1]) == ']';
    case '(':
        return is_remark(s, n, p) && p >= 2 && n->tokens[p - 2] != TOKEN_ID_BLANK;
    default:
        return false;
    }
}

static bool is_variable_slot(const settle *s, const bucket *b)
{
    const node *n = &s->nodes[b->first];
    size_t p = b->position;
    size_t constants = constants_but(s, n, p), needed = settle_words_needed(constants);
    if ((b->all & TOKEN_CODE) || constants == 0 || settle_is_key_name(s, n, p)) return false;
    bool is_first = before_slot(s, n, p) < 0;
    if (is_first && (b->all & TOKEN_DOT)) return b->count >= needed;
    if (b->known >= KNOWN_NEEDED) return true;
    if (is_first && (b->any & TOKEN_WILD))
        return b->count >= (constants >= CONSTANTS_FIRST ? needed : (size_t)WORDS_NEEDED_FIRST);
    if (b->any & TOKEN_WILD) return true;
    if (is_enclosed(s, n, p)) return b->count >= WORDS_NEEDED_LEAST;
    if (b->stem && (b->has_low || b->count > 2)) return true; /* but IPv4 and IPv6 are two things */
    if (is_first) return b->count >= needed + FIRST_EXTRA;
    if ((b->all & TOKEN_UPPER) && constants >= CONSTANTS_UPPER && needed > WORDS_NEEDED_UPPER)
        needed = WORDS_NEEDED_UPPER;
    if (b->is_inflected && !is_remark(s, n, p)) return b->count >= WORDS_NEEDED_INFLECTED;
    return b->travellers >= TRAVELLERS_NEEDED || b->count >= needed;
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

static lm_err find_buckets(slots *t)
{
    t->kept_count = t->member_count = 0;
    lm_err err = list_nodes(t);
    if (err) return err;
    size_t count = t->node_count;
    for (size_t word = 0; (count = front_with(t, count, word)) > 1; word++) {
        if (!fill_table(t, count, word)) continue;
        err = keep_buckets(t, count, word);
        if (err) break;
    }
    return err;
}

static lm_err judge_buckets(slots *t, bool *out_changed)
{
    settle *s = t->s;
    bool is_changed = false;
    lm_err err = pairs_reserve(t, t->member_count);
    if (!err) err = settle_known_reserve(s, t->member_count);
    if (err) return err;
    if (t->is_travel_round) count_travellers(t);
    for (size_t i = 0; i < t->member_count; i++) {
        const member *m = &t->members[i];
        if (!is_variable_slot(s, &t->kept[m->bucket])) continue;
        s->nodes[m->node].marks |= 1ull << m->word;
        is_changed = true;
        note_pair(t, m);
        settle_known_add(s, token_of(t, m));
    }
    *out_changed = is_changed;
    return is_changed ? widen_marked(s) : LM_OK;
}

lm_err settle_slots(settle *s, bool *out_changed)
{
    lm_mem *mem = s->miner->mem;
    lm_err err = LM_OK;
    bool is_changed = true;
    *out_changed = false;
    size_t place_count = 64, seen_count = 64;
    while (place_count < s->node_count * 2)
        place_count *= 2;
    while (seen_count < s->node_count * SEEN_PER_NODE)
        seen_count *= 2;
    slots t = {.s = s, .seen_mask = seen_count - 1};
    t.once = lm_mem_alloc(mem, seen_count / 8);
    t.again = lm_mem_alloc(mem, seen_count / 8);
    t.has_neighbour = lm_mem_alloc(mem, s->node_count);
    t.table = lm_mem_alloc(mem, place_count * sizeof *t.table);
    t.shared = lm_mem_alloc(mem, place_count / 8);
    t.where = lm_mem_alloc(mem, s->node_count * sizeof *t.where);
    t.nodes = lm_mem_alloc(mem, s->node_count * sizeof *t.nodes);
    if (!t.table || !t.shared || !t.where || !t.nodes || !t.once || !t.again || !t.has_neighbour)
        err = lm_mem_err();
    for (int round = 0; round < ROUNDS_MAX && !err; round++) {
        if (is_changed) err = find_buckets(&t); /* else they are what they were */
        if (!err) err = judge_buckets(&t, &is_changed);
        *out_changed |= is_changed && !err;
        if (!is_changed && t.is_travel_round) break;
        t.is_travel_round = !is_changed;
    }
    lm_mem_release(mem, t.once, seen_count / 8);
    lm_mem_release(mem, t.again, seen_count / 8);
    lm_mem_release(mem, t.has_neighbour, s->node_count);
    lm_mem_release(mem, t.table, place_count * sizeof *t.table);
    lm_mem_release(mem, t.shared, place_count / 8);
    lm_mem_release(mem, t.where, s->node_count * sizeof *t.where);
    lm_mem_release(mem, t.nodes, s->node_count * sizeof *t.nodes);
    lm_mem_release(mem, t.kept, t.kept_cap * sizeof *t.kept);
    lm_mem_release(mem, t.pairs, t.pair_slots * sizeof *t.pairs);
    lm_mem_release(mem, t.members, t.member_cap * sizeof *t.members);
    return err;
}
