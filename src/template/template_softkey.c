/**
 * The soft key of a shape: the shape with everything that looks like a value made a variable.
 *
 * A pure function of one shape's tokens, so that every miner gives a line the same key whatever
 * else it has seen. Lines whose keys are equal belong together from the start; all other merging is
 * done by settle over keys.
 */
#include "template/template_priv.h"

static bool is_byte(const item *it, uint8_t c)
{
    return it->byte == c;
}

static bool is_wild(const item *it)
{
    return (it->flags & (TOKEN_WILD | TOKEN_PART)) != 0;
}

static item wild_item(void)
{
    uint8_t c = MARK_WILD;
    return (item){template_token_hash(&c, 1), TOKEN_ID_WILD, TOKEN_WILD, c};
}

/* What the slot at i follows: the token before, blanks and opening quotes or brackets skipped; -1:
 * nothing. */
static ptrdiff_t context_of(const item *s, size_t i)
{
    ptrdiff_t q = (ptrdiff_t)i - 1;
    while (q >= 0 && ((s[q].flags & TOKEN_BLANK) || is_byte(&s[q], '"') || is_byte(&s[q], '(')))
        q--;
    return q;
}

/* key=value, but in "key= other=value" the other is a key, not a value */
static bool is_behind_equals(const item *s, size_t i, size_t count)
{
    ptrdiff_t before = context_of(s, i);
    if (before < 0 || !is_byte(&s[before], '=')) return false;
    size_t next = i + 1;
    while (next < count && (s[next].flags & TOKEN_BLANK))
        next++;
    return next == count || !is_byte(&s[next], '=');
}

/* key:value without blanks, behind a blank or at the begin */
static bool is_tight_value(const item *s, size_t i)
{
    return i >= 2 && is_byte(&s[i - 1], ':') && template_is_word(s[i - 2].flags) &&
           !(s[i - 2].flags & (TOKEN_WILD | TOKEN_PART)) &&
           (i == 2 || (s[i - 3].flags & TOKEN_BLANK));
}

/* The end of value:word, without blanks: one value. */
static bool is_value_tail(const item *s, size_t i, size_t count)
{
    if (i < 2 || !is_byte(&s[i - 1], ':') || !template_is_word(s[i - 2].flags)) return false;
    if (!(s[i - 2].flags & (TOKEN_WILD | TOKEN_PART | TOKEN_DOT))) return false;
    return i + 1 == count || (s[i + 1].flags & TOKEN_BLANK);
}

/* name.name:# may be a host and its port, or a file and its line: a value, even as the first word
 */
static bool is_place(const item *s, size_t i, size_t count)
{
    return (s[i].flags & TOKEN_DOT) && i + 2 < count && is_byte(&s[i + 1], ':') &&
           (s[i + 2].flags & TOKEN_WILD);
}

/* What a line as a whole says about its words. */
typedef struct line_facts {
    size_t first; /* its first word */
    bool has_equals;
    bool has_pairs; /* key:variable twice: it is written in pairs */
} line_facts;

static line_facts look_at(const item *line, size_t count)
{
    enum { PAIRS_NEEDED = 2 };

    line_facts facts = {0};
    size_t pairs = 0;
    while (facts.first < count && !template_is_word(line[facts.first].flags))
        facts.first++;
    for (size_t i = 0; i < count; i++) {
        if (!(line[i].flags & (TOKEN_TELLS | TOKEN_WILD))) continue;
        facts.has_equals |= is_byte(&line[i], '=');
        pairs += (line[i].flags & TOKEN_WILD) && is_tight_value(line, i);
    }
    facts.has_pairs = pairs >= PAIRS_NEEDED;
    return facts;
}

/* A word that says nothing, behind a word and a blank: most words. No value stands there. */
static inline bool is_in_sentence(const item *s, size_t i)
{
    enum {
        TELLS =
            TOKEN_WILD | TOKEN_PART | TOKEN_UNIT | TOKEN_BOOL | TOKEN_DIGIT | TOKEN_SIGN | TOKEN_DOT
    };

    return i >= 2 && !(s[i].flags & TELLS) && (s[i - 1].flags & TOKEN_BLANK) &&
           template_is_word(s[i - 2].flags);
}

static bool is_value(const item *s, size_t i, size_t count, const line_facts *facts)
{
    uint32_t flags = s[i].flags;
    if (flags & (TOKEN_WILD | TOKEN_PART)) return true;
    if ((flags & TOKEN_UNIT) && i >= 2 && (s[i - 1].flags & TOKEN_BLANK) &&
        (s[i - 2].flags & TOKEN_WILD))
        return true;
    if (flags & TOKEN_BOOL) return true;
    if (flags & (TOKEN_UPPER | TOKEN_CODE)) return false;
    if (facts->has_equals && i + 1 < count && is_byte(&s[i + 1], '=')) return false; /* a key */
    if (facts->has_equals && is_behind_equals(s, i, count)) return true;
    if (facts->has_pairs && is_tight_value(s, i)) return true;
    if (i == facts->first) return is_place(s, i, count);
    if (is_value_tail(s, i, count)) return true;
    if (flags & TOKEN_DIGIT) return !(flags & TOKEN_ENUM);
    return (flags & (TOKEN_SIGN | TOKEN_DOT)) != 0;
}

/* One more item behind used others; a variable behind a variable becomes one with it. */
static inline size_t append_collapsed(item *items, uint16_t *from, size_t used, item it,
                                      uint16_t position)
{
    if (is_wild(&it) && !(it.flags & TOKEN_SLASH) && used) {
        size_t j = used - 1;
        while (j > 0 && ((items[j].flags & TOKEN_BLANK) || is_byte(&items[j], ',') ||
                         is_byte(&items[j], ':')))
            j--;
        if (j + 1 < used && is_wild(&items[j])) {
            used = j;
            it = wild_item();
            position = UINT16_MAX;
        }
    }
    items[used] = it;
    if (from) from[used] = position;
    return used + 1;
}

size_t template_collapse(item *items, uint16_t *from, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used = append_collapsed(items, from, used, items[i], from ? from[i] : 0);
    return used;
}

uint64_t template_items_hash(const item *items, size_t count, uint32_t parts[HASH_PARTS])
{
    uint64_t hash = count;
    size_t i = 0;
    for (size_t k = 0; k < HASH_PARTS; k++) {
        uint64_t part = 0;
        for (size_t end = (k + 1) * count / HASH_PARTS; i < end; i++)
            part += template_slot_hash(items[i].hash, i);
        parts[k] = (uint32_t)part;
        hash += part;
    }
    return hash;
}

/* Behind '[': how many items a list of words, or an empty one, has before its ']'; SIZE_MAX: no
 * list. */
static size_t list_items(const item *s, size_t count)
{
    size_t i = 0;
    bool has_comma = false;
    if (count && is_byte(s, ']')) return 0;
    while (i + 1 < count && template_is_word(s[i].flags)) {
        i++;
        if (is_byte(&s[i], ']')) return has_comma ? i : SIZE_MAX;
        if (!is_byte(&s[i], ',')) return SIZE_MAX;
        has_comma = true;
        i++;
        while (i < count && (s[i].flags & TOKEN_BLANK))
            i++;
    }
    return SIZE_MAX;
}

/* "12 KB" */
static bool is_quantity(const item *s, size_t count)
{
    return count >= 3 && (s[0].flags & TOKEN_WILD) && (s[1].flags & TOKEN_BLANK) &&
           (s[2].flags & TOKEN_UNIT);
}

/* Told by where the positions kept do not follow one another. */
uint64_t template_alignment(const uint16_t *from, size_t count, size_t shape_count)
{
    uint64_t alignment = template_alignment_unmoved(shape_count) + count - shape_count;
    uint16_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (from[i] != next) alignment += template_slot_hash(from[i], i);
        next = (uint16_t)(from[i] + 1);
    }
    return alignment ? alignment : 1;
}

/* Is a value missing before position i? "name ()" is "name (value)", "key= other=" is "key=value
 * other=" with an empty one. */
static bool is_empty_value(const item *s, size_t i, size_t count)
{
    if (is_byte(&s[i], ')'))
        return i >= 2 && is_byte(&s[i - 1], '(') && (s[i - 2].flags & TOKEN_BLANK);
    if (i < 2 || !(s[i].flags & TOKEN_BLANK) || !is_byte(&s[i - 1], '=') ||
        !template_is_word(s[i - 2].flags))
        return false;
    size_t next = i + 1;
    while (next < count && !is_byte(&s[next], '=') && !(s[next].flags & TOKEN_BLANK))
        next++;
    return next < count && is_byte(&s[next], '=');
}

/* A variable, which may be one with those before it. */
static void put_wild(soft_key *out, item it, size_t from)
{
    out->count = append_collapsed(out->items, out->from, out->count, it, (uint16_t)from);
}

static inline void put(soft_key *out, item it, size_t from)
{
    out->items[out->count] = it;
    out->from[out->count++] = (uint16_t)from;
}

uint16_t template_any_flags(const item *line, size_t count)
{
    uint32_t any = 0;
    for (size_t i = 0; i < count; i++)
        any |= line[i].flags;
    return (uint16_t)any;
}

bool template_is_plain(uint16_t any)
{
    return (any & (TOKEN_WILD | TOKEN_PART | TOKEN_DIGIT | TOKEN_BOOL | TOKEN_SIGN | TOKEN_DOT |
                   TOKEN_TELLS)) == 0;
}

/* What is neither word nor blank, and what may be missing before it or stand in it; returns the
 * position of the last item that was taken. */
static size_t put_sign(const item *line, size_t i, size_t count, soft_key *out)
{
    if (is_empty_value(line, i, count)) put_wild(out, wild_item(), UINT16_MAX);
    if (is_byte(&line[i], '<') && is_quantity(line + i + 1, count - i - 1)) return i; /* "<1 sec" */
    put(out, line[i], i);
    if (!is_byte(&line[i], '[')) return i;
    size_t list = list_items(line + i + 1, count - i - 1);
    if (list == SIZE_MAX) return i;
    put_wild(out, wild_item(), UINT16_MAX);
    return i + list;
}

/* All words that are values become variables, or, where nothing would remain, only those with
 * digits; returns how many constant words are left. */
static size_t put_all(const item *line, size_t count, bool needs_digits, soft_key *out)
{
    const line_facts facts = look_at(line, count);
    size_t constants = 0;
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t flags = line[i].flags;
        if ((flags & TOKEN_BLANK) && !(i && is_byte(&line[i - 1], '='))) {
            put(out, line[i], i);
        } else if (!template_is_word(flags)) {
            i = put_sign(line, i, count, out);
        } else if (is_in_sentence(line, i) || !is_value(line, i, count, &facts) ||
                   (needs_digits && !(flags & (TOKEN_WILD | TOKEN_PART | TOKEN_DIGIT)))) {
            put(out, line[i], i);
            constants++;
        } else {
            put_wild(out, wild_item(), i);
        }
    }
    return constants;
}

/* Behind a sign of a line whose variables were all told by their form: may it make more of them, or
 * join them? */
static bool is_plain_sign(const item *s, size_t i, size_t count)
{
    bool has_next = i + 1 < count;
    switch (s[i].byte) {
    case '=':
        return has_next && (s[i + 1].flags & TOKEN_WILD);
    case ':':
        return !has_next || (s[i + 1].flags & (TOKEN_BLANK | TOKEN_WILD));
    case '[':
        return i + 2 < count && (s[i + 1].flags & TOKEN_WILD) && is_byte(&s[i + 2], ']');
    case ')':
        return i == 0 || !is_byte(&s[i - 1], '(');
    default:
        return true;
    }
}

bool template_is_own_key(const item *line, size_t count)
{
    enum {
        TELLS =
            TOKEN_PART | TOKEN_UNIT | TOKEN_BOOL | TOKEN_DIGIT | TOKEN_SIGN | TOKEN_DOT | TOKEN_CODE
    };

    bool is_behind_wild = false; /* with nothing but blanks, commas and colons between */
    for (size_t i = 0; i < count; i++) {
        uint32_t flags = line[i].flags;
        if (flags & TOKEN_BLANK) continue;
        if (flags & TELLS) return false;
        if (flags & TOKEN_PUNCT) {
            if (!is_plain_sign(line, i, count)) return false;
            is_behind_wild &= is_byte(&line[i], ',') || is_byte(&line[i], ':');
            continue;
        }
        bool is_wild_here = (flags & TOKEN_WILD) != 0;
        if (is_wild_here && is_behind_wild) return false;
        is_behind_wild = is_wild_here;
    }
    return true;
}

void template_soft_key(const item *line, size_t count, soft_key *out)
{
    if (put_all(line, count, false, out) == 0) put_all(line, count, true, out);
    out->hash = template_items_hash(out->items, out->count, out->parts);
    out->alignment = template_alignment(out->from, out->count, count);
}
