/**
 * Spans: several words that are one value.
 *
 *   optional   variables between brackets behind a variable, where the same message comes without
 *              them too: a part that is sometimes left out ("12 bytes", "2048 bytes (2 KB)")
 *   bracketed  texts without blanks between square brackets, behind the same words: three and more
 *              in which a variable stands, whatever comes behind them
 *   quoted     texts between quotes: three and more, of different numbers of words, all else equal
 *   tails      what stands behind words and a colon, or between brackets or quotes behind words,
 *              when most of it stands behind other words too: an error's text travels from message
 *              to message, a sentence does not. Between signs three texts of different numbers of
 *              words are enough
 *   phrases    a text of several words that is such a value, wherever else it stands
 *
 * Values behind '=' come before all these (template_part.c).
 *
 * Slots (template_slot.c) see only nodes of one frame; here the frame itself differs. Each step
 * judges all nodes on the state before it; what becomes a value is one variable afterwards.
 */
#include "template/template_claim.h"
#include <stdlib.h>

enum {
    TEXTS_NEEDED = 3,  /* in one place between signs */
    TAILS_NEEDED = 2,  /* behind one colon */
    TRAVEL_NEEDED = 2, /* of tails: that many, and half of them, stand elsewhere */
    SPLITS_MAX = 3,    /* colons of a message that are looked at, and brackets */
    QUOTES_MAX = 16,   /* quoted texts of a message that are looked at */
    PHRASE_WORDS = 2,  /* of a text that is known wherever it stands */
    PHRASE_TOKENS_MAX = 32,
    WORDS_BESIDE = 2, /* outside of quotes, and before a colon */
};

/* ---- optional ---- */

/* Behind the variable at p: how many tokens an optional part has; 0: none. */
static size_t optional_behind(const settle *s, const node *n, size_t p)
{
    size_t i = p + 1;
    bool has_value = false;
    if (i < n->count && n->tokens[i] == TOKEN_ID_BLANK) i++;
    if (i == n->count || settle_byte(s, n->tokens[i]) != '(') return 0;
    for (i++; i < n->count; i++) {
        uint32_t id = n->tokens[i];
        if (settle_byte(s, id) == ')') return has_value ? i - p : 0;
        has_value |= settle_is_wild(s, id);
        bool is_fit = settle_is_wild(s, id) || id == TOKEN_ID_BLANK ||
                      (s->miner->kinds[id].flags & TOKEN_UNIT);
        if (!is_fit) return 0;
    }
    return 0;
}

/* The node without its optional parts; which are there, as a number that is 0 for none. */
static size_t keep_required(const settle *s, const node *n, uint16_t *keep, uint64_t *out_parts)
{
    size_t count = 0;
    *out_parts = 0;
    for (size_t i = 0; i < n->count; i++) {
        size_t part = settle_is_wild(s, n->tokens[i]) ? optional_behind(s, n, i) : 0;
        keep[count++] = part ? SETTLE_VALUE : (uint16_t)i;
        if (part) *out_parts += lm_hash_u64(count);
        i += part;
    }
    return count;
}

static lm_err find_optional(settle *s, claims *list)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        uint64_t parts = 0;
        if (n->parent != i || !(n->signs & SIGN_ROUND)) continue;
        size_t count = keep_required(s, n, keep, &parts);
        if (parts == 0) continue;
        claim c = {.key = template_hash_kept(s, n, keep, count), .text = parts, .node = i};
        lm_err err = template_claim_add(s, list, c);
        if (err) return err;
    }
    return LM_OK;
}

static lm_err settle_optional(settle *s, bool *out_changed)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    claims with = {0}, bare = {0};
    lm_err err = find_optional(s, &with);
    if (err || with.count == 0) goto out;
    template_claims_sort(&with, template_claim_by_key);
    for (uint32_t i = 0; i < s->node_count && !err; i++) {
        const node *n = &s->nodes[i];
        if (n->parent == i && !n->is_plain && template_claims_has(&with, n->hash))
            err = template_claim_add(s, &bare, (claim){.key = n->hash, .node = i});
    }
    if (err) goto out;
    template_claims_sort(&bare, template_claim_by_key);
    for (size_t begin = 0; begin < with.count && !err;) {
        size_t end = begin + 1;
        while (end < with.count && with.items[end].key == with.items[begin].key)
            end++;
        bool is_optional = with.items[begin].text != with.items[end - 1].text ||
                           template_claims_has(&bare, with.items[begin].key);
        for (size_t i = begin; i < end && is_optional && !err; i++) {
            node *n = &s->nodes[with.items[i].node];
            uint64_t parts = 0;
            size_t count = keep_required(s, n, keep, &parts);
            err = settle_rekey(s, n, keep, count);
            *out_changed = true;
        }
        begin = end;
    }
out:
    template_claims_fini(s, &with);
    template_claims_fini(s, &bare);
    return err;
}

/* ---- bracketed ---- */

/* Behind the '[' at p: how many tokens stand before its ']', when they hold a variable and no
 * blank; 0: no such text. */
static size_t bracketed_behind(const settle *s, const node *n, size_t p)
{
    bool has_value = false;
    for (size_t i = p + 1; i < n->count && n->tokens[i] != TOKEN_ID_BLANK; i++) {
        uint8_t c = settle_byte(s, n->tokens[i]);
        if (c == ']') return has_value ? i - p - 1 : 0;
        if (c == '[') return 0;
        has_value |= settle_is_wild(s, n->tokens[i]);
    }
    return 0;
}

/* The first '[' with such a text behind it; the count of tokens: none. */
static size_t find_bracket(const settle *s, const node *n)
{
    size_t p = settle_find(s, n, 0, '[');
    while (p < n->count && bracketed_behind(s, n, p) == 0)
        p = settle_find(s, n, p + 1, '[');
    return p;
}

static lm_err find_bracketed(settle *s, claims *list)
{
    for (uint32_t k = 0; k < s->node_count; k++) {
        const node *n = &s->nodes[k];
        if (n->parent != k || !(n->signs & SIGN_SQUARE)) continue;
        size_t open = find_bracket(s, n), len = 0;
        if (open == n->count) continue;
        claim c = {.node = k, .split = (uint16_t)open};
        for (size_t i = 0; i <= open; i++)
            c.key += template_hash_at(s, n->tokens[i], i);
        len = bracketed_behind(s, n, open);
        for (size_t i = 1; i <= len; i++)
            c.text += template_hash_at(s, n->tokens[open + i], i);
        lm_err err = template_claim_add(s, list, c);
        if (err) return err;
    }
    return LM_OK;
}

static lm_err settle_bracketed(settle *s, bool *out_changed)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    claims list = {0};
    lm_err err = find_bracketed(s, &list);
    template_claims_sort(&list, template_claim_by_key);
    for (size_t begin = 0; begin < list.count && !err;) {
        size_t end = begin + 1;
        while (end < list.count && list.items[end].key == list.items[begin].key)
            end++;
        bool is_varying = template_claims_texts(list.items + begin, end - begin) >= TEXTS_NEEDED;
        for (size_t i = begin; i < end && is_varying && !err; i++) {
            node *n = &s->nodes[list.items[i].node];
            size_t open = list.items[i].split, len = bracketed_behind(s, n, open), count = 0;
            if (len == 1) continue;
            for (size_t k = 0; k < n->count; k++) {
                if (k > open + 1 && k <= open + len) continue;
                keep[count++] = k == open + 1 ? SETTLE_VALUE : (uint16_t)k;
            }
            err = settle_rekey(s, n, keep, count);
            *out_changed = true;
        }
        begin = end;
    }
    template_claims_fini(s, &list);
    return err;
}

/* ---- quoted ---- */

typedef struct quote {
    uint16_t begin, end; /* of the text between */
} quote;

static bool is_escaped(const settle *s, const node *n, size_t i)
{
    if (i == 0) return false;
    const token *t = &s->miner->tokens[n->tokens[i - 1]];
    return s->miner->token_bytes.ptr[t->offset + t->len - 1] == '\\';
}

/* Texts between quotes that open behind no word and close before none. The name of a key, before a
 * colon, is none. */
static size_t find_quotes(const settle *s, const node *n, quote *out)
{
    size_t count = 0, open = SIZE_MAX;
    for (size_t i = 0; i < n->count && count < QUOTES_MAX; i++) {
        if (settle_byte(s, n->tokens[i]) != '"' || is_escaped(s, n, i)) continue;
        if (open == SIZE_MAX) {
            if (i == 0 || !template_is_word_at(s, n, i - 1)) open = i;
            continue;
        }
        if (i + 1 < n->count && template_is_word_at(s, n, i + 1)) continue;
        bool is_name = i + 1 < n->count && settle_byte(s, n->tokens[i + 1]) == ':';
        if (!is_name && i > open + 1) out[count++] = (quote){(uint16_t)(open + 1), (uint16_t)i};
        open = SIZE_MAX;
    }
    return count;
}

/* The node with the chosen quoted texts (bit by number) as one variable each. */
static size_t keep_outside(const node *n, const quote *quotes, size_t quote_count, uint32_t chosen,
                           uint16_t *keep)
{
    size_t count = 0, q = 0;
    for (size_t i = 0; i < n->count; i++) {
        while (q < quote_count && (quotes[q].begin < i || !(chosen >> q & 1)))
            q++;
        if (q < quote_count && quotes[q].begin == i) {
            keep[count++] = SETTLE_VALUE;
            i = quotes[q].end - 1u;
        } else {
            keep[count++] = (uint16_t)i;
        }
    }
    return count;
}

static lm_err find_quoted(settle *s, claims *list)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    quote quotes[QUOTES_MAX];
    for (uint32_t i = 0; i < s->node_count; i++) {
        const node *n = &s->nodes[i];
        if (n->parent != i || !(n->any & TOKEN_SPAN)) continue;
        size_t quote_count = find_quotes(s, n, quotes), words = 0;
        if (quote_count == 0) continue;
        size_t count = keep_outside(n, quotes, quote_count, UINT32_MAX, keep);
        for (size_t k = 0; k < count; k++)
            words += keep[k] != SETTLE_VALUE && template_is_word_at(s, n, keep[k]);
        if (words < WORDS_BESIDE) continue;
        claim c = {.key = template_hash_kept(s, n, keep, count), .node = i};
        lm_err err = template_claim_add(s, list, c);
        if (err) return err;
    }
    return LM_OK;
}

static int by_number(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

/* Which of the quoted texts of nodes that are else equal are values. */
static uint32_t varying_quotes(const settle *s, const claim *list, size_t count, uint64_t *texts)
{
    quote quotes[QUOTES_MAX];
    uint32_t varying = 0;
    size_t quote_count = find_quotes(s, &s->nodes[list[0].node], quotes);
    for (size_t q = 0; q < quote_count; q++) {
        size_t least = SIZE_MAX, most = 0, distinct = 1;
        for (size_t i = 0; i < count; i++) {
            const node *n = &s->nodes[list[i].node];
            if (find_quotes(s, n, quotes) != quote_count) return 0; /* two hashes met */
            size_t len = quotes[q].end - quotes[q].begin;
            least = len < least ? len : least;
            most = len > most ? len : most;
            texts[i] = len;
            for (size_t k = 0; k < len; k++)
                texts[i] += template_hash_at(s, n->tokens[quotes[q].begin + k], k);
        }
        qsort(texts, count, sizeof *texts, by_number);
        for (size_t i = 1; i < count; i++)
            distinct += texts[i] != texts[i - 1];
        if (distinct >= TEXTS_NEEDED && least != most) varying |= 1u << q;
    }
    return varying;
}

static lm_err settle_quoted(settle *s, bool *out_changed)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    quote quotes[QUOTES_MAX];
    claims list = {0};
    uint64_t *texts = NULL;
    lm_err err = find_quoted(s, &list);
    if (err || list.count < TEXTS_NEEDED) goto out;
    template_claims_sort(&list, template_claim_by_key);
    texts = lm_mem_alloc(s->miner->mem, list.count * sizeof *texts);
    if (!texts) err = lm_mem_err();
    for (size_t begin = 0; begin < list.count && !err;) {
        size_t end = begin + 1;
        while (end < list.count && list.items[end].key == list.items[begin].key)
            end++;
        uint32_t varying = end - begin >= TEXTS_NEEDED
                               ? varying_quotes(s, list.items + begin, end - begin, texts)
                               : 0;
        for (size_t i = begin; i < end && varying && !err; i++) {
            node *n = &s->nodes[list.items[i].node];
            size_t quote_count = find_quotes(s, n, quotes);
            err = settle_rekey(s, n, keep, keep_outside(n, quotes, quote_count, varying, keep));
            *out_changed = true;
        }
        begin = end;
    }
out:
    lm_mem_release(s->miner->mem, texts, list.count * sizeof *texts);
    template_claims_fini(s, &list);
    return err;
}

/* ---- tails ---- */

/* Words before the colon that stand alone, as in a sentence; the head of a line, "host name[12]:",
 * has one at most. */
static bool is_sentence(const settle *s, const node *n, size_t colon)
{
    size_t words = 0;
    for (size_t i = 0; i < colon; i++) {
        bool is_alone = (i == 0 || n->tokens[i - 1] == TOKEN_ID_BLANK) &&
                        (i + 1 == colon || n->tokens[i + 1] == TOKEN_ID_BLANK);
        words += is_alone && (s->miner->kinds[n->tokens[i]].flags & TOKEN_ALPHA);
    }
    return words >= WORDS_BESIDE;
}

/* What may stand between a sentence and an error's text. */
static bool is_divider(uint8_t c)
{
    return c == ':' || c == '.' || c == '-';
}

/* A divider with a blank behind it, from i on; the count of tokens: none. */
static size_t next_divider(const settle *s, const node *n, size_t i)
{
    for (; i + 2 < n->count; i++)
        if (n->tokens[i + 1] == TOKEN_ID_BLANK && is_divider(settle_byte(s, n->tokens[i])))
            return i;
    return n->count;
}

/* A text between signs, behind a sentence. */
static lm_err add_closed(settle *s, claims *list, uint32_t k, size_t begin, size_t end)
{
    const node *n = &s->nodes[k];
    claim c = {.key = 2,
               .node = k,
               .split = (uint16_t)(begin - 2),
               .end = (uint16_t)end,
               .is_closed = true};
    for (size_t i = 0; i < begin; i++)
        c.key += template_hash_at(s, n->tokens[i], i);
    for (size_t i = end; i < n->count; i++)
        c.key += template_hash_at(s, n->tokens[i], i - end + MESSAGE_TOKENS_MAX);
    c.key = lm_hash_u64(c.key);
    for (size_t j = begin; j < end; j++)
        c.text += template_hash_at(s, n->tokens[j], j - begin + 2);
    c.is_value = end == begin + 1 && settle_is_wild(s, n->tokens[begin]);
    return template_claim_add(s, list, c);
}

/* Texts between round brackets or quotes that open behind no word, and what stands behind a divider
 * between brackets. */
static lm_err find_closed(settle *s, claims *list, uint32_t k)
{
    const node *n = &s->nodes[k];
    size_t found = 0;
    for (size_t i = 1; i + 2 < n->count && found < SPLITS_MAX; i++) {
        uint8_t c = settle_byte(s, n->tokens[i]);
        uint8_t close = c == '(' ? ')' : c == '"' || c == '\'' ? c : 0;
        if (close == 0 || template_is_word_at(s, n, i - 1) || !is_sentence(s, n, i)) continue;
        size_t end = settle_find(s, n, i + 1, close);
        if (end == n->count || end == i + 1) continue;
        lm_err err = add_closed(s, list, k, i + 1, end);
        size_t colon = c == '(' ? next_divider(s, n, i + 1) : end;
        if (!err && colon + 2 < end) err = add_closed(s, list, k, colon + 2, end);
        if (err) return err;
        i = end;
        found++;
    }
    return LM_OK;
}

static lm_err find_tails(settle *s, claims *list)
{
    for (uint32_t k = 0; k < s->node_count; k++) {
        const node *n = &s->nodes[k];
        if (n->parent != k || !(n->any & TOKEN_SPAN)) continue;
        uint64_t prefix = 0;
        size_t splits = 0, done = 0;
        lm_err err = find_closed(s, list, k);
        if (err) return err;
        for (size_t i = next_divider(s, n, 0); i < n->count && splits < SPLITS_MAX;
             i = next_divider(s, n, i + 1)) {
            if (!is_sentence(s, n, i)) continue;
            for (; done <= i; done++)
                prefix += template_hash_at(s, n->tokens[done], done);
            claim c = {
                .key = lm_hash_u64(prefix), .node = k, .split = (uint16_t)i, .end = n->count};
            for (size_t j = i + 2; j < n->count; j++)
                c.text += template_hash_at(s, n->tokens[j], j - i);
            c.is_value = i + 3 == n->count && settle_is_wild(s, n->tokens[i + 2]);
            err = template_claim_add(s, list, c);
            if (err) return err;
            splits++;
        }
    }
    return LM_OK;
}

/* Leave out those behind whose words too few texts stand. */
static void keep_frequent(claims *list)
{
    size_t kept = 0;
    template_claims_sort(list, template_claim_by_key);
    for (size_t begin = 0; begin < list->count;) {
        size_t end = begin + 1;
        while (end < list->count && list->items[end].key == list->items[begin].key)
            end++;
        for (size_t i = begin; end - begin >= TAILS_NEEDED && i < end; i++)
            list->items[kept++] = list->items[i];
        begin = end;
    }
    list->count = kept;
}

/* Texts that stand in several messages: behind colons at different places, or of different first
 * words. Two that differ in another word alone may be one message. */
static void find_travelling(const settle *s, claims *list)
{
    template_claims_sort(list, template_claim_by_text);
    for (size_t begin = 0; begin < list->count;) {
        const claim *first = &list->items[begin];
        bool is_travelling = false;
        size_t end = begin + 1;
        for (; end < list->count && list->items[end].text == first->text; end++) {
            const claim *c = &list->items[end];
            is_travelling |= c->split != first->split ||
                             s->nodes[c->node].tokens[0] != s->nodes[first->node].tokens[0];
        }
        for (size_t i = begin; i < end && is_travelling; i++)
            list->items[i].is_value = true;
        begin = end;
    }
}

/* Do all texts behind the colon end in the same two tokens? Then something stands behind the value,
 * and they are no tails. */
static bool is_same_end(const settle *s, const claim *list, size_t count)
{
    const node *first = &s->nodes[list[0].node];
    for (size_t i = 0; i < count; i++) {
        const node *n = &s->nodes[list[i].node];
        if (n->count < list[i].split + 4u ||
            n->tokens[n->count - 1] != first->tokens[first->count - 1] ||
            n->tokens[n->count - 2] != first->tokens[first->count - 2])
            return false;
    }
    return true;
}

static lm_err cut_tail(settle *s, node *n, size_t begin, size_t end)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    size_t count = 0;
    for (; count < begin; count++)
        keep[count] = (uint16_t)count;
    keep[count++] = SETTLE_VALUE;
    for (; end < n->count; end++)
        keep[count++] = (uint16_t)end;
    return settle_rekey(s, n, keep, count);
}

/* A known text behind "key=" or "key:", where its first word was taken for the value already. */
static uint64_t without_first(uint64_t text, uint64_t first, uint64_t wild)
{
    return lm_hash_u64(text - template_slot_hash(first, 2) + template_slot_hash(wild, 2));
}

/* A text that is a value behind a colon, to be known elsewhere: several words of it are constant.
 */
static lm_err note_phrase(settle *s, claims *phrases, const claim *c)
{
    const node *n = &s->nodes[c->node];
    size_t begin = c->split + 2u, words = 0;
    for (size_t i = begin; i < c->end; i++)
        words += template_is_word_at(s, n, i) && !settle_is_wild(s, n->tokens[i]);
    if (words < PHRASE_WORDS || c->end - begin > PHRASE_TOKENS_MAX) return LM_OK;
    uint64_t first = s->miner->hashes[n->tokens[begin]], wild = s->miner->hashes[TOKEN_ID_WILD];
    claim whole = {.key = c->text, .text = first};
    claim rest = {.key = without_first(c->text, first, wild), .text = wild};
    lm_err err = template_claim_add(s, phrases, whole);
    return err ? err : template_claim_add(s, phrases, rest);
}

/* Three texts and more between the same signs, of different numbers of words. */
static bool is_varying(const claim *list, size_t count)
{
    size_t least = SIZE_MAX, most = 0;
    if (!list->is_closed || template_claims_texts(list, count) < TEXTS_NEEDED) return false;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)list[i].end - list[i].split;
        least = len < least ? len : least;
        most = len > most ? len : most;
    }
    return least != most;
}

static lm_err settle_tails(settle *s, claims *phrases, bool *out_changed)
{
    claims list = {0};
    claim *cuts = NULL; /* by node: the one furthest left; key 0: none */
    lm_err err = find_tails(s, &list);
    if (!err) keep_frequent(&list);
    if (err || list.count == 0) goto out;
    find_travelling(s, &list);
    template_claims_sort(&list, template_claim_by_key);
    cuts = lm_mem_calloc(s->miner->mem, s->node_count, sizeof *cuts);
    if (!cuts) err = lm_mem_err();
    for (size_t begin = 0; begin < list.count && !err;) {
        size_t end = begin + 1, values = list.items[begin].is_value;
        while (end < list.count && list.items[end].key == list.items[begin].key)
            values += list.items[end++].is_value;
        bool is_tail =
            values >= TRAVEL_NEEDED && values * 2 >= end - begin &&
            (list.items[begin].is_closed || !is_same_end(s, list.items + begin, end - begin));
        is_tail |= is_varying(list.items + begin, end - begin);
        for (size_t i = begin; i < end && is_tail && !err; i++) {
            const claim *c = &list.items[i];
            claim *cut = &cuts[c->node];
            err = note_phrase(s, phrases, c);
            if (cut->key == 0 || cut->split > c->split) *cut = *c;
        }
        begin = end;
    }
    for (size_t i = 0; i < s->node_count && !err; i++) {
        if (cuts[i].key == 0) continue;
        err = cut_tail(s, &s->nodes[i], cuts[i].split + 2u, cuts[i].end);
        *out_changed = true;
    }
out:
    lm_mem_release(s->miner->mem, cuts, s->node_count * sizeof *cuts);
    template_claims_fini(s, &list);
    return err;
}

/* ---- phrases ---- */

/* What a text behind a colon begins with, as a bit: most places of most messages are let off by it.
 */
typedef struct first_tokens {
    uint64_t bits[64];
} first_tokens;

static void first_tokens_add(first_tokens *set, uint64_t hash)
{
    set->bits[hash / 64 % 64] |= 1ull << (hash % 64);
}

static bool first_tokens_has(const first_tokens *set, uint64_t hash)
{
    return set->bits[hash / 64 % 64] >> (hash % 64) & 1;
}

/* The longest known text that begins at position i: how many tokens; 0: none. */
static size_t phrase_at(const settle *s, const node *n, size_t i, const claims *phrases)
{
    uint64_t text = 0;
    size_t found = 0;
    size_t p = i;
    while (p > 0 && n->tokens[p - 1] == TOKEN_ID_BLANK)
        p--;
    uint8_t before = p ? settle_byte(s, n->tokens[p - 1]) : 0;
    bool is_rest = n->tokens[i] == TOKEN_ID_WILD && (before == '=' || before == ':');
    for (size_t k = 0; i + k < n->count && k < PHRASE_TOKENS_MAX; k++) {
        text += template_hash_at(s, n->tokens[i + k], k + 2); /* as behind a colon and a blank */
        bool is_end = i + k + 1 == n->count || !template_is_word_at(s, n, i + k + 1);
        if (!is_end) continue;
        if (template_claims_has(phrases, text) ||
            (is_rest && k && template_claims_has(phrases, lm_hash_u64(text))))
            found = k + 1;
    }
    return found;
}

/* The node with a variable for each known text; out: how many constant words are left. */
static size_t keep_beside(const settle *s, const node *n, const claims *phrases,
                          const first_tokens *firsts, uint16_t *keep, size_t *out_words)
{
    size_t count = 0;
    *out_words = 0;
    for (size_t i = 0; i < n->count; i++) {
        bool may_begin = (i == 0 || !template_is_word_at(s, n, i - 1)) &&
                         first_tokens_has(firsts, s->miner->hashes[n->tokens[i]]);
        size_t len = may_begin ? phrase_at(s, n, i, phrases) : 0;
        *out_words += !len && template_is_word_at(s, n, i) && !settle_is_wild(s, n->tokens[i]);
        keep[count++] = len ? SETTLE_VALUE : (uint16_t)i;
        if (len) i += len - 1;
    }
    return count;
}

static lm_err settle_phrases(settle *s, claims *phrases, bool *out_changed)
{
    uint16_t keep[MESSAGE_TOKENS_MAX * 2];
    first_tokens firsts = {0};
    template_claims_sort(phrases, template_claim_by_key);
    for (size_t i = 0; i < phrases->count; i++)
        first_tokens_add(&firsts, phrases->items[i].text);
    for (size_t i = 0; i < s->node_count && phrases->count; i++) {
        node *n = &s->nodes[i];
        if (n->parent != i) continue;
        size_t words = 0, count = keep_beside(s, n, phrases, &firsts, keep, &words);
        if (count == n->count || words < WORDS_BESIDE) continue;
        lm_err err = settle_rekey(s, n, keep, count);
        if (err) return err;
        *out_changed = true;
    }
    return LM_OK;
}

/* What the step before changed may be equal now. */
static lm_err unite_changed(settle *s, bool *is_changed, bool *out_changed)
{
    lm_err err = *is_changed ? settle_unite(s) : LM_OK;
    *out_changed |= *is_changed;
    *is_changed = false;
    return err;
}

lm_err settle_spans(settle *s, bool *out_changed)
{
    claims phrases = {0};
    bool is_changed = false;
    *out_changed = false;
    lm_err err = settle_parts(s, out_changed);
    if (!err) err = settle_optional(s, &is_changed);
    if (!err) err = unite_changed(s, &is_changed, out_changed);
    if (!err) err = settle_bracketed(s, &is_changed);
    if (!err) err = unite_changed(s, &is_changed, out_changed);
    if (!err) err = settle_quoted(s, &is_changed);
    if (!err) err = unite_changed(s, &is_changed, out_changed);
    if (!err) err = settle_tails(s, &phrases, &is_changed);
    if (!err) err = unite_changed(s, &is_changed, out_changed);
    if (!err) err = settle_phrases(s, &phrases, &is_changed);
    if (!err) err = unite_changed(s, &is_changed, out_changed);
    template_claims_fini(s, &phrases);
    return err;
}
