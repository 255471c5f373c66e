/**
 * The guide: lines that go the way of lines before them.
 *
 * Nearly every line has the shape of an earlier one. What scanning finds out by rules (where does a
 * variable begin, what is it) is known beforehand once the constant text before it has been seen:
 *
 *   ""  --time-->  " [info] took "  --digits-->  "ms"  --end-->  shape 7
 *                  \ " [warn] "     --quoted-->  ...
 *
 * The shapes form a tree: an edge is constant text and the kind of variable behind it (or the
 * line's end, with its shape), a node is what may follow. A line walks down the edges whose text it
 * has; each variable is taken by the same rule that the scanner would use there. Where no edge
 * fits, the line is scanned and its way learned. The edges of a node are kept in order of use.
 *
 * The result may differ from the scanner's in rare lines (a number that happens to look like a time
 * where no time ever stood); it is a right way to take the line apart all the same.
 */
#include "archive/archive_parse_priv.h"

enum {
    EDGES_MAX = 1 << 16, /* of one segment: 3 MB; later ways are scanned */
    TRIES_MAX = 48,      /* edges of one node that are tried for a line */
    HABITS = 4096,
    CLOCKS = 8,         /* layouts whose last time is kept */
    WIDE_NODE = 4,      /* with more edges, habits are asked first */
    SIBLINGS_MAX = 256, /* edges of one node */
    NEAR_TIMES = 16,    /* in nodes of more edges, numbers are not compared with times anew */
    REACH_MAX = 40,     /* a token's first digit is at most this far from its begin */
    TEXT_PAD = 8        /* bytes readable behind the constant texts */
};

enum { KIND_END = 0 };

typedef struct edge {
    uint64_t head, mask; /* first eight bytes of the text; which of them count */
    uint32_t text, len;  /* in texts: the constant text before the variable */
    uint32_t node;       /* behind the variable; END: the shape */
    uint32_t next;       /* of the same node, + 1 */
    uint16_t layout;     /* TIME */
    uint8_t kind;        /* LM_KIND_*, or KIND_END */
    uint8_t opener;      /* TEXT: last byte of the constant text, '"' '=' or '/' */
    bool is_path;        /* a piece of a request's path */
    bool is_beside_time; /* TOKEN: behind the same text there is a time in other lines */
    bool has_blanks;     /* TEXT: quoted text with blanks, no member's, is one variable here */
} edge;

typedef struct node {
    uint32_t first; /* edge + 1 */
    uint32_t count;
} node;

/** Which edge of a wide node was taken by the line that came after a line of this shape: stack
 * traces and the steps of a request repeat themselves. */
typedef struct habit {
    uint32_t node, shape, edge;
} habit;

struct guide {
    edge *edges;
    size_t count, cap;
    node *nodes;
    size_t node_count, node_cap;
    lm_buf texts;
    uint32_t last_shape; /* of the line before */
    size_t walked;       /* variables of this line whose edge was found */
    lm_time_clock clocks[CLOCKS];
    habit habits[HABITS];
};

lm_err lm_guide_new(lm_mem *mem, struct guide **out)
{
    struct guide *g = lm_mem_calloc(mem, 1, sizeof *g);
    if (!g) return lm_mem_err();
    lm_buf_init(&g->texts, mem);
    lm_err err = lm_vec_grow(mem, &g->nodes, &g->node_cap, 1, sizeof *g->nodes);
    if (err) {
        lm_guide_free(mem, g);
        return err;
    }
    g->nodes[g->node_count++] = (node){0};
    *out = g;
    return LM_OK;
}

void lm_guide_free(lm_mem *mem, struct guide *g)
{
    if (!g) return;
    lm_mem_release(mem, g->edges, g->cap * sizeof *g->edges);
    lm_mem_release(mem, g->nodes, g->node_cap * sizeof *g->nodes);
    lm_buf_fini(&g->texts);
    lm_mem_release(mem, g, sizeof *g);
}

size_t lm_guide_bytes(const struct guide *g)
{
    return sizeof *g + g->cap * sizeof *g->edges + g->node_cap * sizeof *g->nodes + g->texts.cap;
}

void lm_guide_renumber(struct guide *g, const uint32_t *numbers)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->edges[i].kind == KIND_END) g->edges[i].node = numbers[g->edges[i].node];
    memset(g->habits, 0, sizeof g->habits);
    g->last_shape = 0;
}

/* ---- walking ---- */

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/** Does the text at p begin with the edge's? Constant text has no '\n', so a line that ends earlier
 * differs; both sides are readable eight bytes beyond. */
static inline bool has_text(const struct guide *g, const edge *e, const uint8_t *p)
{
    if ((load64(p) ^ e->head) & e->mask) return false;
    const uint8_t *q = g->texts.ptr + e->text;
    uint32_t at = 8;
    for (; at + 8 <= e->len; at += 8)
        if (load64(p + at) != load64(q + at)) return false;
    return at >= e->len || load64(p + e->len - 8) == load64(q + e->len - 8);
}

static inline void push_number(parser *ps, size_t begin, size_t end, uint8_t form, int64_t number)
{
    variable *var = &ps->vars[ps->var_count++];
    var->begin = (uint32_t)begin;
    var->end = (uint32_t)end;
    var->kind = LM_KIND_TOKEN;
    var->form = form;
    var->number = number;
}

/** A token by the scanner's rules; false when they find something else here. */
static bool take_any_token(parser *ps, size_t at, size_t from, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t digit = at, count = ps->var_count;
    if (at >= from + 2 && t[at - 2] == '0' && (t[at - 1] | 0x20) == 'x') digit = at - 2;
    while (digit < line_end && digit <= at + REACH_MAX && !is_digit(t[digit]))
        digit++;
    if (digit == line_end || digit > at + REACH_MAX) return false;
    (void)lm_scan_token(ps, digit, from, line_begin, line_end);
    const variable *var = &ps->vars[count];
    if (ps->var_count == count + 1 && var->begin == at && var->kind == LM_KIND_TOKEN) return true;
    ps->var_count = count;
    return false;
}

/** How many of the eight bytes, from the first on, are digits. */
static inline unsigned leading_digits(uint64_t bytes)
{
    uint64_t x = bytes ^ 0x3030303030303030u;
    uint64_t others = ((x + 0x7676767676767676u) | x) & 0x8080808080808080u;
    return others ? (unsigned)__builtin_ctzll(others) >> 3 : 8;
}

/** a.b.c.d as printed without zeros in front; false for anything else. */
static bool take_address(parser *ps, size_t at)
{
    const uint8_t *p = ps->text + at;
    uint64_t address = 0;
    for (int part = 0; part < 4; part++) {
        unsigned digits = leading_digits(load64(p));
        uint64_t value = digits - 1u < 3 ? eight_digits(p, digits) : 256;
        if (value > 255 || (p[0] == '0' && digits > 1)) return false;
        address = address << 8 | value;
        p += digits;
        if (part < 3 && *p++ != '.') return false;
    }
    if (is_alpha(*p) || (*p == '.' && is_digit(p[1]))) return false;
    push_number(ps, at, (size_t)(p - ps->text), FORM_ADDRESS, (int64_t)address);
    return true;
}

/** Digits and small letters up to f, eight of them at least and both kinds among them: an id, as
 * the scanner takes one. */
static bool take_hex(parser *ps, const edge *e, size_t at)
{
    const uint64_t letter = 0x4040404040404040u;
    const uint8_t *t = ps->text;
    size_t end = at;
    uint64_t any = 0, all = letter;
    for (uint64_t v; lm_hex_is_lower8(v = load64(t + end)) && end - at < 2 * LM_WIDE_MAX;
         end += 8) {
        any |= v;
        all &= v;
    }
    if (end == at || e->is_beside_time) return false;
    for (; is_digit(t[end]) || (t[end] >= 'a' && t[end] <= 'f'); end++) {
        any |= t[end];
        all &= is_digit(t[end]) ? 0 : letter;
    }
    size_t len = end - at;
    bool is_mixed = (any & letter) && all != letter;
    if (!is_mixed || len > 2 * LM_WIDE_MAX || (len > 16 && len % 2) || is_alpha(t[end]) ||
        (len == 8 && t[end] == '-'))
        return false;
    push_number(ps, at, end, FORM_HEX, 0);
    return true;
}

/** Digits at p, at most 16, are counted so far. */
static inline unsigned count_digits(const uint8_t *p)
{
    unsigned digits = leading_digits(load64(p));
    return digits < 8 ? digits : 8 + leading_digits(load64(p + 8));
}

/** digits, then a point and more digits; false for anything longer or out of range. */
static bool take_decimal(parser *ps, size_t at, unsigned digits)
{
    const uint8_t *t = ps->text + at;
    const uint8_t *behind = t + digits + 1;
    unsigned scale = count_digits(behind);
    if (scale > LM_SCALE_MAX || digits + scale > 18 || (t[0] == '0' && digits > 1)) return false;
    if (is_alpha(behind[scale]) || (behind[scale] == '.' && is_digit(behind[scale + 1])))
        return false;
    int64_t number =
        parse_digits(t, digits) * (int64_t)lm_power10[scale] + parse_digits(behind, scale);
    push_number(ps, at, at + digits + 1 + scale, FORM_SCALED, number);
    ps->vars[ps->var_count - 1].layout = (uint16_t)scale;
    return true;
}

static inline bool take_token(parser *ps, const edge *e, size_t at, size_t from, size_t line_begin,
                              size_t line_end)
{
    const uint8_t *t = ps->text;
    unsigned digits = count_digits(t + at);
    if (digits == 0 || digits == 16)
        return take_hex(ps, e, at) || take_any_token(ps, at, from, line_begin, line_end);
    size_t end = at + digits;
    if (e->is_beside_time && lm_scan_like_time(t, at, digits, line_end)) return false;
    if (t[end] == '.' && is_digit(t[end + 1])) {
        return take_decimal(ps, at, digits) || take_address(ps, at) ||
               take_any_token(ps, at, from, line_begin, line_end);
    }
    if (is_alpha(t[end]))
        return take_hex(ps, e, at) || take_any_token(ps, at, from, line_begin, line_end);
    push_number(ps, at, end, t[at] == '0' ? FORM_DIGITS : FORM_NUMBER,
                parse_digits(t + at, digits));
    return true;
}

static bool take_time(parser *ps, const edge *e, size_t at, size_t line_end)
{
    lm_time time;
    lm_time_clock *clock = &ps->guide->clocks[e->layout % CLOCKS];
    if (!lm_time_clock_read(clock, e->layout, ps->text + at, line_end - at, &time)) return false;
    ps->vars[ps->var_count++] = (variable){.begin = (uint32_t)at,
                                           .end = (uint32_t)(at + time.len),
                                           .kind = LM_KIND_TIME,
                                           .layout = e->layout,
                                           .number = time.ticks};
    return true;
}

static bool take_text(parser *ps, const edge *e, size_t at, size_t line_begin, size_t line_end)
{
    const uint8_t *t = ps->text;
    size_t count = ps->var_count;
    if (e->opener == '=') {
        (void)lm_scan_equals(ps, at - 1, line_begin, line_end);
        return ps->var_count > count;
    }
    if (e->opener == '/') {
        (void)lm_scan_slash(ps, at - 1, line_begin, line_end, false);
        return ps->var_count > count;
    }
    size_t end = lm_scan_closing(ps, at - 1, line_end), len = end - at;
    if (end == line_end || len == 0) return false;
    bool has_blanks = memchr(t + at, ' ', len) != NULL;
    if (has_blanks ? !lm_scan_is_phrase(ps, at - 1, line_begin, e->has_blanks)
                   : !lm_scan_is_value(t + at, len))
        return false;
    ps->vars[ps->var_count++] =
        (variable){.begin = (uint32_t)at, .end = (uint32_t)end, .kind = LM_KIND_TEXT};
    return true;
}

/** All pieces of one part of a request's path; the edges behind see them as already taken. */
static bool take_path(parser *ps, const edge *e, size_t at, size_t line_begin, size_t line_end)
{
    size_t count = ps->var_count;
    if (e->len == 0 || ps->text[at - 1] != '/') return false;
    (void)lm_scan_slash(ps, at - 1, line_begin, line_end, true);
    if (ps->var_count > count && ps->vars[count].kind == e->kind) return true;
    ps->var_count = count;
    return false;
}

static inline bool take(parser *ps, const edge *e, size_t at, size_t from, size_t line_begin,
                        size_t line_end)
{
    if (e->is_path) return take_path(ps, e, at, line_begin, line_end);
    switch (e->kind) {
    case LM_KIND_TOKEN:
        return take_token(ps, e, at, from, line_begin, line_end);
    case LM_KIND_TIME:
        return take_time(ps, e, at, line_end);
    case LM_KIND_TEXT:
        return take_text(ps, e, at, line_begin, line_end);
    default:
        return at == line_end;
    }
}

static inline bool may_take(parser *ps, const edge *e, size_t at, size_t line_begin,
                            size_t line_end)
{
    struct guide *g = ps->guide;
    if (g->walked < ps->var_count)
        return e->is_path && e->len == 0 && e->kind == ps->vars[g->walked].kind;
    return has_text(g, e, ps->text + at) && at + e->len <= line_end &&
           take(ps, e, at + e->len, at, line_begin, line_end);
}

static void move_to_front(struct guide *g, node *n, uint32_t *link)
{
    uint32_t number = *link;
    if (number == n->first) return;
    *link = g->edges[number - 1].next;
    g->edges[number - 1].next = n->first;
    n->first = number;
}

/** The edge that the line takes from here, or NULL. */
static inline const edge *find_way(parser *ps, node *n, size_t at, size_t line_begin,
                                   size_t line_end)
{
    struct guide *g = ps->guide;
    uint32_t *link = &n->first;
    for (unsigned tries = 0; *link && tries < TRIES_MAX; tries++) {
        edge *e = &g->edges[*link - 1];
        if (may_take(ps, e, at, line_begin, line_end)) {
            move_to_front(g, n, link);
            return e;
        }
        link = &e->next;
    }
    return NULL;
}

/** The same where many ways part: first the one that was taken behind the same line before. */
static const edge *find_way_by_habit(parser *ps, uint32_t number, size_t at, size_t line_begin,
                                     size_t line_end)
{
    struct guide *g = ps->guide;
    uint32_t hash = (number * 0x9E3779B1u) ^ (g->last_shape * 0x85EBCA6Bu);
    habit *h = &g->habits[hash >> 20];
    if (h->edge && h->node == number && h->shape == g->last_shape &&
        may_take(ps, &g->edges[h->edge - 1], at, line_begin, line_end))
        return &g->edges[h->edge - 1];
    const edge *e = find_way(ps, &g->nodes[number], at, line_begin, line_end);
    if (e) *h = (habit){number, g->last_shape, (uint32_t)(e - g->edges) + 1};
    return e;
}

bool lm_guide_line(parser *ps, size_t line_begin, size_t line_end, uint32_t *out_shape)
{
    struct guide *g = ps->guide;
    size_t at = line_begin;
    uint32_t number = 0;
    ps->var_count = g->walked = 0;
    for (;;) {
        node *n = &g->nodes[number];
        const edge *e = n->count > WIDE_NODE
                            ? find_way_by_habit(ps, number, at, line_begin, line_end)
                            : find_way(ps, n, at, line_begin, line_end);
        if (!e) return false;
        number = e->node;
        if (e->kind == KIND_END) break;
        at = ps->vars[g->walked++].end;
    }
    *out_shape = g->last_shape = number;
    return true;
}

/* ---- learning ---- */

/** The edge of a node with this text and kind, to the front; 0 if there is none. */
static uint32_t find_edge(struct guide *g, node *n, const edge *want, const uint8_t *text)
{
    for (uint32_t *link = &n->first; *link; link = &g->edges[*link - 1].next) {
        const edge *e = &g->edges[*link - 1];
        if (e->len != want->len || e->kind != want->kind || e->layout != want->layout ||
            e->is_path != want->is_path || (e->kind == KIND_END && e->node != want->node) ||
            memcmp(g->texts.ptr + e->text, text, e->len) != 0)
            continue;
        move_to_front(g, n, link);
        return n->first;
    }
    return 0;
}

/** A number and a time behind the same text: the number has to look whether it is one. */
static void note_times(struct guide *g, uint32_t first)
{
    for (uint32_t a = first; a; a = g->edges[a - 1].next) {
        edge *token = &g->edges[a - 1];
        for (uint32_t b = first; b && token->kind == LM_KIND_TOKEN; b = g->edges[b - 1].next) {
            const edge *e = &g->edges[b - 1];
            if (e->kind == LM_KIND_TIME && e->len == token->len &&
                memcmp(g->texts.ptr + e->text, g->texts.ptr + token->text, e->len) == 0)
                token->is_beside_time = true;
        }
    }
}

static lm_err add_edge(lm_mem *mem, struct guide *g, uint32_t number, edge *fresh,
                       const uint8_t *text)
{
    static const uint8_t pad[TEXT_PAD];
    lm_err err = lm_vec_grow(mem, &g->edges, &g->cap, g->count + 1, sizeof *g->edges);
    if (!err) err = lm_vec_grow(mem, &g->nodes, &g->node_cap, g->node_count + 1, sizeof *g->nodes);
    if (!err) err = lm_buf_reserve(&g->texts, fresh->len + TEXT_PAD);
    if (err) return err;
    fresh->text = (uint32_t)g->texts.len;
    memcpy(g->texts.ptr + g->texts.len, text, fresh->len);
    g->texts.len += fresh->len;
    memcpy(g->texts.ptr + g->texts.len, pad, TEXT_PAD); /* overwritten by the next text */
    fresh->head = load64(g->texts.ptr + fresh->text);
    fresh->mask = fresh->len >= 8  ? ~UINT64_C(0)
                  : fresh->len > 0 ? ~UINT64_C(0) >> (64 - 8 * fresh->len)
                                   : 0;
    if (fresh->kind != KIND_END) {
        fresh->node = (uint32_t)g->node_count;
        g->nodes[g->node_count++] = (node){0};
    }
    node *n = &g->nodes[number];
    fresh->next = n->first;
    g->edges[g->count++] = *fresh;
    n->first = (uint32_t)g->count;
    n->count++;
    if (fresh->kind == LM_KIND_TIME || (fresh->kind == LM_KIND_TOKEN && n->count <= NEAR_TIMES))
        note_times(g, n->first);
    return LM_OK;
}

/** The edge for one variable of the line (NULL: its end). */
static edge edge_of(const parser *ps, const variable *var, size_t from, size_t line_end,
                    uint32_t shape)
{
    const uint8_t *t = ps->text;
    if (!var) return (edge){.len = (uint32_t)(line_end - from), .kind = KIND_END, .node = shape};
    edge e = {.len = (uint32_t)(var->begin - from), .kind = var->kind, .is_path = var->is_path};
    if (var->kind == LM_KIND_TIME) e.layout = var->layout;
    if (var->kind == LM_KIND_TEXT && !var->is_path) {
        e.opener = t[var->begin - 1];
        e.has_blanks = var->form == FORM_BLANKS;
    }
    return e;
}

lm_err lm_guide_learn(parser *ps, size_t line_begin, size_t line_end, uint32_t shape)
{
    struct guide *g = ps->guide;
    size_t from = line_begin;
    uint32_t number = 0;
    g->last_shape = shape;
    for (size_t i = 0; i <= ps->var_count; i++) {
        const variable *var = i < ps->var_count ? &ps->vars[i] : NULL;
        if (var && var->kind == LM_KIND_RAW) return LM_OK;
        edge want = edge_of(ps, var, from, line_end, shape);
        uint32_t found = find_edge(g, &g->nodes[number], &want, ps->text + from);
        if (found == 0) {
            if (g->count >= EDGES_MAX || g->nodes[number].count >= SIBLINGS_MAX) return LM_OK;
            lm_err err = add_edge(ps->out->mem, g, number, &want, ps->text + from);
            if (err) return err;
            found = (uint32_t)g->count;
        }
        edge *e = &g->edges[found - 1];
        e->has_blanks |= want.has_blanks;
        if (!var) return LM_OK;
        number = e->node;
        from = var->end;
    }
    return LM_OK;
}
