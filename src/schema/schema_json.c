/**
 * One line of JSON -> fields with dotted paths.
 *
 * A tokenizer of our own: strict about structure (brackets, commas, colons, literals, numbers),
 * lenient about what stands in strings. Values are slices of the line: quotes taken off, escapes
 * left as they are. Objects become `a.b`, array elements `a[3]`; an empty object or array is a
 * value. The same code reads JSON whose quotes are written "" (a CSV cell) or \" (a string in
 * JSON), see enum lm_quoting.
 *
 * Keys are looked up in the schema's trie of paths. Lines of one program have their keys in one
 * order, so the trie remembers which child was seen first and what stood behind each; the guess is
 * compared before anything is hashed.
 */
#include "schema/schema_priv.h"

typedef struct scan {
    lm_parse *parse;
    const uint8_t *p, *end;
    uint8_t quoting;
} scan;

/** Where a value stands: a node of the trie, or a name made for the occasion. */
typedef struct place {
    uint32_t path;
    lm_str name;
} place;

static void skip_space(scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static size_t quote_len(uint8_t quoting)
{
    return quoting == LM_QUOTE_PLAIN ? 1 : 2;
}

static bool at_quote(const scan *s, const uint8_t *p)
{
    switch (s->quoting) {
    case LM_QUOTE_CSV:
        return s->end - p >= 2 && p[0] == '"' && p[1] == '"';
    case LM_QUOTE_ESCAPED:
        return s->end - p >= 2 && p[0] == '\\' && p[1] == '"';
    default:
        return p < s->end && *p == '"';
    }
}

/* s->p is behind the opening quote. Leaves it behind the closing one. */
static bool take_string(scan *s, lm_str *out)
{
    const uint8_t *begin = s->p, *p = begin;
    for (;;) {
        const uint8_t *q = memchr(p, '"', (size_t)(s->end - p));
        if (!q) return false;
        const uint8_t *back = q;
        while (back > p && back[-1] == '\\')
            back--;
        size_t slashes = (size_t)(q - back);
        if (s->quoting == LM_QUOTE_PLAIN && slashes % 2 == 0) {
            *out = (lm_str){begin, (size_t)(q - begin)};
            s->p = q + 1;
            return true;
        }
        if (s->quoting == LM_QUOTE_ESCAPED && slashes % 4 == 1) {
            *out = (lm_str){begin, (size_t)(q - 1 - begin)};
            s->p = q + 1;
            return true;
        }
        if (s->quoting == LM_QUOTE_CSV) {
            if (q + 1 >= s->end || q[1] != '"') return false; /* the cell would end here */
            if (slashes % 2 == 0) {
                *out = (lm_str){begin, (size_t)(q - begin)};
                s->p = q + 2;
                return true;
            }
            q++;
        }
        p = q + 1;
    }
}

static bool take_literal(scan *s, lm_str *out)
{
    const uint8_t *p = s->p;
    size_t left = (size_t)(s->end - p), n = 0;
    if (left >= 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0))
        n = 4;
    else if (left >= 5 && memcmp(p, "false", 5) == 0)
        n = 5;
    *out = (lm_str){p, n};
    s->p += n;
    return n != 0;
}

static bool take_number(scan *s, lm_str *out)
{
    const uint8_t *p = s->p, *begin = p;
    if (p < s->end && *p == '-') p++;
    const uint8_t *whole = p;
    while (p < s->end && lm_is_digit(*p))
        p++;
    if (p == whole) return false;
    if (p < s->end && *p == '.') {
        const uint8_t *part = ++p;
        while (p < s->end && lm_is_digit(*p))
            p++;
        if (p == part) return false;
    }
    if (p < s->end && (*p | 0x20) == 'e') {
        p++;
        if (p < s->end && (*p == '+' || *p == '-')) p++;
        const uint8_t *power = p;
        while (p < s->end && lm_is_digit(*p))
            p++;
        if (p == power) return false;
    }
    *out = (lm_str){begin, (size_t)(p - begin)};
    s->p = p;
    return true;
}

static lm_str join(lm_parse *parse, lm_str prefix, lm_str key, uint32_t index)
{
    uint8_t *p = lm_arena_alloc(parse->fields->arena, prefix.len + key.len + 16, 1);
    if (!p) {
        parse->err = lm_mem_err();
        return (lm_str){0};
    }
    if (prefix.len) memcpy(p, prefix.ptr, prefix.len);
    size_t n = prefix.len;
    if (index == NO_INDEX) {
        if (n) p[n++] = '.';
        if (key.len) memcpy(p + n, key.ptr, key.len);
        n += key.len;
    } else {
        uint8_t digits[12];
        size_t count = 0;
        do
            digits[count++] = (uint8_t)('0' + index % 10);
        while ((index /= 10) != 0);
        p[n++] = '[';
        while (count)
            p[n++] = digits[--count];
        p[n++] = ']';
    }
    return (lm_str){p, n};
}

/* Child of where; *previous is the sibling read before it, NO_INDEX if none. */
static place step(scan *s, place where, lm_str key, uint32_t index, uint32_t *previous)
{
    lm_parse *parse = s->parse;
    const lm_schema *schema = parse->schema;
    uint32_t child = NO_INDEX;
    if (where.path != NO_INDEX) {
        const lm_path *paths = schema->paths;
        uint32_t guess = *previous == NO_INDEX ? paths[where.path].child : paths[*previous].sibling;
        if (guess != NO_INDEX && paths[guess].index == index && lm_str_equal(paths[guess].key, key))
            child = guess;
        else
            child = lm_schema_path(schema, where.path, key, index, parse->learning, &parse->err);
        if (parse->learning && child != NO_INDEX && guess == NO_INDEX) {
            if (*previous == NO_INDEX)
                parse->learning->paths[where.path].child = child;
            else
                parse->learning->paths[*previous].sibling = child;
        }
    }
    if (child != NO_INDEX) {
        *previous = child;
        return (place){child, {0}};
    }
    lm_str prefix = where.path == NO_INDEX ? where.name : schema->paths[where.path].name;
    return (place){NO_INDEX, join(parse, prefix, key, index)};
}

static void emit(scan *s, place where, lm_str value)
{
    if (where.path == NO_INDEX)
        lm_parse_emit_new(s->parse, where.name, value);
    else
        lm_parse_emit_path(s->parse, where.path, value);
}

static bool take_value(scan *s, place where, unsigned depth);

static bool take_object(scan *s, place where, unsigned depth)
{
    uint32_t previous = NO_INDEX;
    for (;;) {
        lm_str key;
        skip_space(s);
        if (!at_quote(s, s->p)) return false;
        s->p += quote_len(s->quoting);
        if (!take_string(s, &key)) return false;
        skip_space(s);
        if (s->p >= s->end || *s->p != ':') return false;
        s->p++;
        if (!take_value(s, step(s, where, key, NO_INDEX, &previous), depth)) return false;
        skip_space(s);
        if (s->p >= s->end) return false;
        uint8_t c = *s->p++;
        if (c == '}') return true;
        if (c != ',') return false;
    }
}

static bool take_array(scan *s, place where, unsigned depth)
{
    uint32_t previous = NO_INDEX;
    for (uint32_t index = 0;; index++) {
        if (!take_value(s, step(s, where, (lm_str){0}, index, &previous), depth)) return false;
        skip_space(s);
        if (s->p >= s->end) return false;
        uint8_t c = *s->p++;
        if (c == ']') return true;
        if (c != ',') return false;
    }
}

static bool take_value(scan *s, place where, unsigned depth)
{
    lm_str value;
    if (depth >= LM_JSON_DEPTH_MAX || s->parse->err) return false;
    skip_space(s);
    if (s->p >= s->end) return false;
    if (at_quote(s, s->p)) {
        s->p += quote_len(s->quoting);
        if (!take_string(s, &value)) return false;
        emit(s, where, value);
        return true;
    }
    const uint8_t *begin = s->p;
    uint8_t c = *begin;
    if (c == '{' || c == '[') {
        s->p++;
        skip_space(s);
        if (s->p < s->end && *s->p == (c == '{' ? '}' : ']')) {
            s->p++;
            if (depth) emit(s, where, (lm_str){begin, (size_t)(s->p - begin)});
            return true;
        }
        return c == '{' ? take_object(s, where, depth + 1) : take_array(s, where, depth + 1);
    }
    if (!take_number(s, &value) && !take_literal(s, &value)) return false;
    emit(s, where, value);
    return true;
}

static bool try_as(lm_parse *parse, uint32_t root, lm_str text, uint8_t quoting)
{
    scan s = {.parse = parse, .p = text.ptr, .end = text.ptr + text.len, .quoting = quoting};
    lm_parse_mark mark = lm_parse_mark_take(parse);
    skip_space(&s);
    bool fits = s.p < s.end && *s.p == '{' && take_value(&s, (place){root, {0}}, 0);
    if (fits) {
        skip_space(&s);
        fits = s.p == s.end || (s.end - s.p == 2 && s.p[0] == '\\' && s.p[1] == 'n');
    }
    if (!fits) lm_parse_mark_restore(parse, &mark);
    return fits;
}

bool lm_json_line(lm_parse *parse, uint32_t root, lm_str text)
{
    if (text.len < 2 || text.ptr[0] != '{') return try_as(parse, root, text, LM_QUOTE_PLAIN);
    size_t at = 1;
    while (at < text.len && lm_is_blank(text.ptr[at]))
        at++;
    bool csv = at + 1 < text.len && text.ptr[at] == '"' && text.ptr[at + 1] == '"';
    bool escaped = at + 1 < text.len && text.ptr[at] == '\\' && text.ptr[at + 1] == '"';
    if (escaped) return try_as(parse, root, text, LM_QUOTE_ESCAPED);
    return (csv && try_as(parse, root, text, LM_QUOTE_CSV)) ||
           try_as(parse, root, text, LM_QUOTE_PLAIN);
}

size_t lm_json_find(lm_str text, size_t from)
{
    size_t end = text.len;
    while (end > from && (lm_is_blank(text.ptr[end - 1]) || text.ptr[end - 1] == '\r' ||
                          text.ptr[end - 1] == '\n'))
        end--;
    if (end - from >= 2 && text.ptr[end - 2] == '\\' && text.ptr[end - 1] == 'n') end -= 2;
    if (end < from + 2 || text.ptr[end - 1] != '}') return SIZE_MAX;
    for (size_t at = from; at + 1 < end; at++) {
        const uint8_t *hit = memchr(text.ptr + at, '{', end - 1 - at);
        if (!hit) return SIZE_MAX;
        at = (size_t)(hit - text.ptr);
        if (hit[1] == '"' || (hit[1] == '\\' && at + 2 < end && hit[2] == '"')) return at;
    }
    return SIZE_MAX;
}
