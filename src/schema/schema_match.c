/**
 * A line against a format tree: one walk from left to right, no way back but at a choice, so
 * O(line) for each alternative.
 *
 * Every field's end is found by looking at its own bytes or for what follows it; the first
 * alternative of a choice that fits is taken for good. Fields added by an alternative that fails
 * are taken back.
 */
#include "schema/schema_priv.h"

typedef struct walk {
    lm_parse *parse;
    const lm_format *format;
    const uint8_t *begin; /* of the record */
    const uint8_t *end;
    const uint8_t *line; /* end of its first line */
    unsigned depth;      /* of choices */
} walk;

static const uint8_t *find_text(const uint8_t *p, const uint8_t *end, lm_str text)
{
    while ((size_t)(end - p) >= text.len) {
        const uint8_t *hit = memchr(p, text.ptr[0], (size_t)(end - p) - text.len + 1);
        if (!hit) return NULL;
        if (text.len == 1 || memcmp(hit + 1, text.ptr + 1, text.len - 1) == 0) return hit;
        p = hit + 1;
    }
    return NULL;
}

static const uint8_t *find_last(const uint8_t *p, const uint8_t *end, lm_str text)
{
    if ((size_t)(end - p) < text.len) return NULL;
    for (const uint8_t *hit = end - text.len; hit >= p; hit--) {
        if (*hit == text.ptr[0] && memcmp(hit, text.ptr, text.len) == 0) return hit;
        if (hit == p) break;
    }
    return NULL;
}

/* p is behind '['; the matching ']' or NULL. Quotes and other brackets are not looked into. */
static const uint8_t *find_close(const uint8_t *p, const uint8_t *end)
{
    unsigned depth = 1;
    for (; p < end; p++) {
        if (*p == '[')
            depth++;
        else if (*p == ']' && --depth == 0)
            return p;
    }
    return NULL;
}

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && lm_is_digit(*p))
        p++;
    return p;
}

static const uint8_t *take_word(const lm_node *node, const uint8_t *p, const uint8_t *end)
{
    bool stop = !node->stop_any && !lm_is_blank(node->text.ptr[0]);
    uint8_t c = stop ? node->text.ptr[0] : ' ';
    const uint8_t *q = p;
    if (stop || !node->stop_any) {
        for (; q < end; q++) {
            if (*q > ' ' && *q != c) continue; /* most are letters */
            if (lm_is_blank(*q) || *q == LM_ESCAPE) break;
            if (*q == c && (!node->stop_wide || q + 1 == end || lm_is_blank(q[1]))) break;
        }
    } else {
        bool full =
            (node->stops[0] & node->stops[1] & node->stops[2] & node->stops[3]) == UINT64_MAX;
        while (q < end && !lm_is_blank(*q) && *q != LM_ESCAPE &&
               (full || !lm_set_has(node->stops, *q)))
            q++;
    }
    return q;
}

static const uint8_t *take_quoted(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *q = memchr(p, '"', (size_t)(end - p));
        if (!q) return NULL;
        const uint8_t *back = q;
        while (back > p && back[-1] == '\\')
            back--;
        if ((q - back) % 2 == 0) return q;
        p = q + 1;
    }
    return NULL;
}

static const uint8_t *take_number(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p;
    if (q < end && (*q == '-' || *q == '+')) q++;
    const uint8_t *whole = skip_digits(q, end);
    if (whole < end && *whole == '.') {
        const uint8_t *part = skip_digits(whole + 1, end);
        if (part > whole + 1) return part;
    }
    return whole > q ? whole : NULL;
}

static bool is_level_in_capitals(lm_str word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < 'A' || word.ptr[i] > 'Z') return false;
    }
    return lm_match_level(word.ptr, word.len) == word.len;
}

static const uint8_t *take_name(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (lm_is_alpha(*p) || lm_is_digit(*p) || memchr("._$-/@", *p, 6)))
        p++;
    return p;
}

/* In a learning parse every time goes through the whole list, so that new layouts are seen; else
 * the field's own come first. */
static const uint8_t *take_time(const walk *w, const lm_node *node, const uint8_t *p,
                                const uint8_t *end)
{
    const lm_stat *stat = w->parse->schema->fields[node->field].stat;
    lm_time time, best = {.len = 0};
    if (!w->parse->learning) {
        for (unsigned i = 0; i < stat->layout_count; i++) {
            if (lm_time_parse_as(stat->layouts[i], p, (size_t)(end - p), &time) &&
                time.len > best.len)
                best = time;
        }
        if (best.len) return p + best.len;
    }
    lm_time_memo *memo = w->parse->times;
    if (memo && memo->at == p && memo->end == end) return memo->len ? p + memo->len : NULL;
    size_t len = lm_time_parse(p, (size_t)(end - p), &time) ? time.len : 0;
    if (memo) *memo = (lm_time_memo){p, end, len};
    return len ? p + len : NULL;
}

/* Times that must look a certain way, for formats that their time tells apart. */
static bool time_shape(uint8_t match, const uint8_t *p, size_t len)
{
    switch (match) {
    case LM_MATCH_TIME_ISO:
        return len > 18 && p[4] == '-' && p[7] == '-' && (p[10] == 'T' || p[10] == ' ');
    case LM_MATCH_TIME_BSD:
        return len > 13 && lm_is_alpha(p[0]) && lm_is_alpha(p[2]) && p[3] == ' ' &&
               !lm_is_alpha(p[4]) && p[5] != ',' && p[6] != ','; /* Nov 3, 2026 */
    case LM_MATCH_TIME_CTIME:
        return len > 19 && lm_is_alpha(p[0]) && p[3] == ' ' && lm_is_alpha(p[4]);
    case LM_MATCH_TIME_SLASHED:
        return len > 18 && p[4] == '/' && p[7] == '/';
    case LM_MATCH_TIME_MONTHDAY:
        return len > 13 && p[2] == '-' && p[5] == ' ';
    default:
        return true;
    }
}

static const uint8_t *take_one_of(const lm_node *node, const uint8_t *p, const uint8_t *end)
{
    lm_str words = node->words;
    for (size_t begin = 0; begin < words.len;) {
        const uint8_t *comma = memchr(words.ptr + begin, ',', words.len - begin);
        size_t n = comma ? (size_t)(comma - words.ptr) - begin : words.len - begin;
        if (n && (size_t)(end - p) >= n && memcmp(p, words.ptr + begin, n) == 0) {
            const uint8_t *q = p + n; /* a letter may stand before anything, a word must end */
            if (n == 1 || q == end || !(lm_is_alpha(*q) || lm_is_digit(*q))) return q;
        }
        begin += n + 1;
    }
    return NULL;
}

static const uint8_t *take_pri(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p + 1;
    if (end - p < 3 || *p != '<') return NULL;
    while (q < end && q - p < 4 && lm_is_digit(*q))
        q++;
    return q > p + 1 && q < end && *q == '>' ? q + 1 : NULL;
}

/* PostgreSQL writes its levels in capitals, a colon and two blanks behind. */
static const uint8_t *take_postgres(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p + lm_match_level(p, (size_t)(end - p));
    return q > p && *p >= 'A' && *p <= 'Z' && end - q >= 3 && q[0] == ':' && q[1] == ' ' &&
                   q[2] == ' '
               ? q
               : NULL;
}

/* AH00094 */
static const uint8_t *take_apache_code(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = end - p > 4 && p[0] == 'A' && p[1] == 'H' ? skip_digits(p + 2, end) : p;
    return q - p >= 6 ? q : NULL;
}

static const uint8_t *take_until(const lm_node *node, const uint8_t *p, const uint8_t *end)
{
    if (!node->stop_any) return find_text(p, end, node->text);
    while (p < end && !lm_set_has(node->stops, *p))
        p++;
    return p;
}

static const uint8_t *take_last(const lm_node *node, const uint8_t *p, const uint8_t *end)
{
    if (node->text.ptr[0] != ']') {
        const uint8_t *close = find_close(p, end); /* in brackets: the last one inside them */
        const uint8_t *hit = close ? find_last(p, close, node->text) : NULL;
        if (hit) return hit;
    }
    return find_last(p, end, node->text);
}

/* End of the field that begins at p; NULL if the text cannot be one. */
static const uint8_t *take(const walk *w, const lm_node *node, const uint8_t *p)
{
    const uint8_t *end = w->line, *q = p;
    size_t left = (size_t)(end - p);
    size_t begin = 0;
    bool is_v6;
    switch ((lm_match)node->match) {
    case LM_MATCH_WORD:
        q = take_word(node, p, end);
        return q > p ? q : NULL;
    case LM_MATCH_UNTIL:
    case LM_MATCH_SCORE:
        return take_until(node, p, end);
    case LM_MATCH_LAST:
        return take_last(node, p, end);
    case LM_MATCH_TIME:
        return take_time(w, node, p, end);
    case LM_MATCH_TIME_ISO:
    case LM_MATCH_TIME_BSD:
    case LM_MATCH_TIME_CTIME:
    case LM_MATCH_TIME_SLASHED:
    case LM_MATCH_TIME_MONTHDAY:
        return time_shape(node->match, p, left) ? take_time(w, node, p, end) : NULL;
    case LM_MATCH_VERSION:
        while (q < end && (lm_is_digit(*q) || (q > p && *q == '.')))
            q++;
        return q > p ? q : NULL;
    case LM_MATCH_EPOCH:
        return lm_epoch_at(p, left, &begin) ? p + begin : NULL;
    case LM_MATCH_ONE_OF:
        return take_one_of(node, p, end);
    case LM_MATCH_PRI:
        return take_pri(p, end);
    case LM_MATCH_POSTGRES:
        return take_postgres(p, end);
    case LM_MATCH_APACHE_CODE:
        return take_apache_code(p, end);
    case LM_MATCH_LEVEL:
        q = p + lm_match_level(p, left);
        return q > p ? q : NULL;
    case LM_MATCH_INT:
        q = skip_digits(left && *p == '-' ? p + 1 : p, end);
        return q > p && lm_is_digit(q[-1]) ? q : NULL;
    case LM_MATCH_NUMBER:
        return take_number(p, end);
    case LM_MATCH_DECIMAL:
        q = take_number(p, end);
        return q && memchr(p, '.', (size_t)(q - p)) ? q : NULL;
    case LM_MATCH_HOST:
        q = take_word(node, p, end);
        if (q > p + 1 && q[-1] == ':' && q[-2] != ':') return NULL; /* a program's name */
        return q > p && !is_level_in_capitals((lm_str){p, (size_t)(q - p)}) ? q : NULL;
    case LM_MATCH_HEX:
        while (q < end && (lm_is_hex(*q) || (q == p + 1 && *q == 'x')))
            q++;
        return q > p ? q : NULL;
    case LM_MATCH_IP:
        q = p + lm_ip_len(p, left, &is_v6);
        return q > p ? q : NULL;
    case LM_MATCH_QUOTED:
        return take_quoted(p, end);
    case LM_MATCH_BRACKET:
        return find_close(p, end);
    case LM_MATCH_NAME:
        q = take_name(p, end);
        return q > p ? q : NULL;
    case LM_MATCH_LETTER:
        return left && lm_is_alpha(*p) && (left == 1 || !lm_is_alpha(p[1])) ? p + 1 : NULL;
    case LM_MATCH_MARK:
        return left && memchr(".-*#", *p, 4) ? p + 1 : NULL;
    case LM_MATCH_KV:
        return lm_kv_count((lm_str){p, left}, &begin) >= 2 && begin == 0 ? w->end : NULL;
    case LM_MATCH_CEF:
    case LM_MATCH_AUTO:
    case LM_MATCH_REST:
        return w->end;
    }
    return NULL;
}

static const uint8_t *walk_nodes(walk *w, uint32_t begin, uint32_t end, const uint8_t *p);

/* At the end of a line, before an empty message; or where the node before took it: padding on both
 * sides of one blank. An optional part must be there to be taken. */
static bool blank_may_lack(const walk *w, const uint8_t *p)
{
    if (p == w->line) return w->depth == 0;
    return p > w->begin && lm_is_blank(p[-1]);
}

static const uint8_t *walk_choice(walk *w, uint32_t choice, const uint8_t *p)
{
    const lm_node *nodes = w->format->nodes;
    lm_parse_mark mark = lm_parse_mark_take(w->parse);
    w->depth++;
    for (uint32_t alt = choice + 1; alt < nodes[choice].next; alt = nodes[alt].next) {
        bool told = p < w->line && !(p > w->begin && lm_is_blank(p[-1])); /* its first byte tells */
        if (told && !lm_set_has(nodes[alt].stops, *p)) continue;
        const uint8_t *q = walk_nodes(w, alt + 1, nodes[alt].next, p);
        if (q) {
            w->depth--;
            return q;
        }
        lm_parse_mark_restore(w->parse, &mark);
    }
    w->depth--;
    return NULL;
}

static const uint8_t *walk_nodes(walk *w, uint32_t begin, uint32_t end, const uint8_t *p)
{
    const lm_node *nodes = w->format->nodes;
    uint32_t i = begin;
    while (i < end) {
        const lm_node *node = &nodes[i];
        const uint8_t *q = p;
        switch (node->kind) {
        case LM_NODE_TEXT:
            if ((size_t)(w->line - p) < node->text.len ||
                memcmp(p, node->text.ptr, node->text.len) != 0)
                return NULL;
            p += node->text.len;
            break;
        case LM_NODE_BLANK:
        case LM_NODE_BLANK0:
            p = lm_skip_blanks(p, w->line);
            if (p == q && node->kind == LM_NODE_BLANK && !blank_may_lack(w, p)) return NULL;
            break;
        case LM_NODE_FIELD:
            q = take(w, node, p);
            if (!q) return NULL;
            lm_parse_emit(w->parse, node->field, (lm_str){p, (size_t)(q - p)});
            p = q;
            break;
        default:
            q = walk_choice(w, i, p);
            if (!q) return NULL;
            p = q;
            i = node->next;
            continue;
        }
        i++;
    }
    return p;
}

bool lm_match_line(lm_parse *parse, const lm_format *format, lm_str line)
{
    const uint8_t *end = line.ptr + line.len;
    const uint8_t *newline = line.len ? memchr(line.ptr, '\n', line.len) : NULL;
    walk w = {.parse = parse,
              .format = format,
              .begin = line.ptr,
              .end = end,
              .line = newline ? newline : end};
    const uint8_t *p = walk_nodes(&w, 0, format->node_count, line.ptr);
    if (!p) return false;
    p = lm_skip_blanks(p, end);
    while (p < end && (lm_is_blank(*p) || *p == '\r'))
        p++;
    return p == end || p == w.line;
}
