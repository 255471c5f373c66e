/* The query language: text in, tree out.
 *
 *   query    := selector? stages
 *   selector := '{' (name op string) % ',' '}'
 *   stages   := stage+                                  all must hold
 *   stage    := '|'? any                                a new stage begins at '|' or at a line
 * filter's sign any      := all ('or' all)* all      := term (('and' | ',')? term)* term     :=
 * 'not' term | '(' stages ')' | line | field | text line     := ('|=' | '!=' | '|~' | '!~' | '|*' |
 * '!*' | '|>' | '!>') operand ('or' operand)* operand  := string | ip '(' string ')' field    :=
 * name ('=' | '==' | '!=' | '=~' | '!~' | '<' | '<=' | '>' | '>=') (string | word | ip '(' string
 * ')') text     := string | word
 *
 * As in LogQL, a line filter's sign and '|' bind weaker than `or` between field comparisons, and
 * `or "text"` right behind a line filter belongs to it. Negated signs become NOT nodes, patterns
 * that are plain text become TEXT nodes. */
#include "search/search_priv.h"

typedef struct parser {
    lm_query *query;
    lm_str text;
    size_t at;
    int depth;
} parser;

typedef enum filter_sign {
    SIGN_NONE,
    SIGN_TEXT,
    SIGN_REGEX,
    SIGN_WILDCARD,
    SIGN_PATTERN
} filter_sign;

typedef enum field_op {
    OP_NONE,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_REGEX,
    OP_NOT_REGEX,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_MORE,
    OP_MORE_EQUAL
} field_op;

/* ---- characters ------------------------------------------------------------------------------ */

static int peek(const parser *p, size_t ahead)
{
    return p->at + ahead < p->text.len ? p->text.ptr[p->at + ahead] : -1;
}

static void skip_space(parser *p)
{
    while (peek(p, 0) == ' ' || peek(p, 0) == '\t' || peek(p, 0) == '\n' || peek(p, 0) == '\r')
        p->at++;
}

static lm_err expected(const parser *p, const char *what)
{
    size_t left = p->text.len - p->at;
    if (left == 0) return lm_fail_at(LM_E_USAGE, p->at, "query: expected %s at its end", what);
    return lm_fail_at(LM_E_USAGE, p->at, "query: expected %s at position %zu, found '%.*s'", what,
                      p->at + 1, (int)(left < 20 ? left : 20), (const char *)p->text.ptr + p->at);
}

static bool ends_word(int c)
{
    return c < 0 || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '(' || c == ')' ||
           c == '|' || c == ',' || c == '"' || c == '`' || c == '=' || c == '<' || c == '>' ||
           c == '!' || c == '{' || c == '}' || c == '\'';
}

/* A word from here; empty if there is none. Does not move. */
static lm_str word_peek(const parser *p)
{
    size_t len = 0;
    while (!ends_word(peek(p, len)))
        len++;
    return (lm_str){p->text.ptr + p->at, len};
}

static bool keyword_take(parser *p, const char *keyword)
{
    lm_str word = word_peek(p);
    if (!lm_str_equal_nocase(word, lm_str_of(keyword))) return false;
    p->at += word.len;
    return true;
}

static bool keyword_is(const parser *p, const char *keyword)
{
    return lm_str_equal_nocase(word_peek(p), lm_str_of(keyword));
}

static bool is_quote(int c)
{
    return c == '"' || c == '`' || c == '\'';
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t utf8_put(uint32_t code, uint8_t *dst)
{
    if (code < 0x80) {
        dst[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        dst[0] = (uint8_t)(0xc0 | code >> 6);
        dst[1] = (uint8_t)(0x80 | (code & 63));
        return 2;
    }
    dst[0] = (uint8_t)(0xe0 | code >> 12);
    dst[1] = (uint8_t)(0x80 | (code >> 6 & 63));
    dst[2] = (uint8_t)(0x80 | (code & 63));
    return 3;
}

/* Behind a backslash in "...": writes what it stands for. An escape that Go has not (\d, \., \b)
 * stays as written, so that patterns need no doubled backslashes. */
static size_t escape_take(parser *p, uint8_t *dst)
{
    int c = peek(p, 1);
    uint32_t code = 0;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    for (size_t i = 0; i < digits; i++) {
        int d = hex_digit(peek(p, 2 + i));
        if (d < 0) digits = 0;
        code = code << 4 | (uint32_t)(d & 15);
    }
    if (digits > 0) {
        p->at += 2 + digits;
        if (digits == 4) return utf8_put(code, dst);
        dst[0] = (uint8_t)code;
        return 1;
    }
    p->at += 2;
    switch (c) {
    case 'n':
        dst[0] = '\n';
        return 1;
    case 't':
        dst[0] = '\t';
        return 1;
    case 'r':
        dst[0] = '\r';
        return 1;
    case '"':
    case '\\':
        dst[0] = (uint8_t)c;
        return 1;
    default:
        dst[0] = '\\';
        dst[1] = (uint8_t)c;
        return 2;
    }
}

static lm_err string_take(parser *p, lm_str *out)
{
    int quote = peek(p, 0);
    size_t begin = p->at++;
    size_t end = p->at; /* what an escape gives is never longer than the escape */
    for (; end < p->text.len && p->text.ptr[end] != quote; end++)
        end += p->text.ptr[end] == '\\' && quote == '"';
    uint8_t *bytes = lm_arena_alloc(&p->query->arena, end - begin + 4, 1);
    if (!bytes) return lm_mem_err();
    size_t len = 0;
    for (;;) {
        int c = peek(p, 0);
        if (c < 0)
            return lm_fail_at(LM_E_USAGE, begin,
                              "query: the string that begins at position %zu has no end",
                              begin + 1);
        if (c == quote) break;
        if (c == '\\' && quote == '"' && peek(p, 1) >= 0) {
            len += escape_take(p, bytes + len);
        } else {
            bytes[len++] = (uint8_t)c;
            p->at++;
        }
    }
    p->at++;
    *out = (lm_str){bytes, len};
    return LM_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static lm_err node_new(parser *p, lm_node_kind kind, lm_node **out)
{
    if (p->query->leaf_count == LM_QUERY_FILTERS_MAX) {
        return lm_fail_at(LM_E_LIMIT, p->at, "query: more than %d filters", LM_QUERY_FILTERS_MAX);
    }
    lm_node *node = lm_arena_alloc(&p->query->arena, sizeof *node, _Alignof(lm_node));
    if (!node) return lm_mem_err();
    memset(node, 0, sizeof *node);
    node->kind = kind;
    if (kind >= LM_NODE_TEXT) node->leaf = p->query->leaf_count++;
    if (kind == LM_NODE_FIELD) p->query->needs_fields = true;
    if (kind == LM_NODE_FILE) p->query->needs_file = true;
    *out = node;
    return LM_OK;
}

static lm_err node_negate(parser *p, lm_node **node)
{
    lm_node *not = NULL;
    lm_err err = node_new(p, LM_NODE_NOT, &not);
    if (err) return err;
    not->first = *node;
    *node = not;
    return LM_OK;
}

/* Adds child to a list of kind; a list of one is that one. */
static lm_err node_join(parser *p, lm_node_kind kind, lm_node **list, lm_node **last,
                        lm_node *child)
{
    if (!*list) {
        *list = *last = child;
        return LM_OK;
    }
    if (*list == *last) { /* the second: now a list is needed; its first child may itself be a list
                             and stays whole */
        lm_node *first = *list, *join = NULL;
        lm_err err = node_new(p, kind, &join);
        if (err) return err;
        join->first = first;
        *list = join;
        *last = first;
    }
    (*last)->next = child;
    *last = child;
    return LM_OK;
}

static lm_err regex_make(parser *p, lm_str pattern, bool whole, lm_regex **out)
{
    lm_query_regex *item = lm_arena_alloc(&p->query->arena, sizeof *item, _Alignof(lm_query_regex));
    if (!item) return lm_mem_err();
    lm_err err = lm_regex_new(p->query->mem, pattern, whole, &item->regex);
    if (err) return err;
    item->next = p->query->regexes;
    p->query->regexes = item;
    *out = item->regex;
    return LM_OK;
}

static lm_err text_node(parser *p, lm_literal literal, lm_node **out)
{
    bool is_nowhere = literal.text.len &&
                      memchr(literal.text.ptr, '\n', literal.text.len); /* no line has a '\n' */
    lm_err err = node_new(p, literal.text.len && !is_nowhere ? LM_NODE_TEXT : LM_NODE_ALL, out);
    if (err) return err;
    if (is_nowhere) return node_negate(p, out);
    (*out)->text = literal;
    (*out)->finder = lm_finder_make(literal);
    return LM_OK;
}

/* A pattern as a node: the cheapest one that means the same. */
static lm_err regex_node(parser *p, lm_str pattern, bool whole, lm_node **out)
{
    lm_demand demand;
    lm_regex *regex = NULL;
    lm_err err = regex_make(p, pattern, whole, &regex);
    if (!err) err = lm_demand_make(&p->query->arena, pattern, &demand);
    if (err) return err;
    if (!demand.exact || whole) {
        err = node_new(p, LM_NODE_REGEX, out);
        if (err) return err;
        (*out)->regex = regex;
        (*out)->demand = demand;
        return LM_OK;
    }
    lm_node *list = NULL, *last = NULL;
    for (uint32_t i = 0; i < demand.clauses[0].count; i++) {
        lm_node *node = NULL;
        err = text_node(p, demand.clauses[0].any[i], &node);
        if (!err) err = node_join(p, LM_NODE_OR, &list, &last, node);
        if (err) return err;
    }
    *out = list;
    return LM_OK;
}

static bool is_plain(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == ' ' || c >= 0x80;
}

/* "a*b?c" (wildcard) or "a <_> b" (LogQL's pattern) as a regular expression. */
static lm_err glob_node(parser *p, filter_sign sign, lm_str glob, lm_node **out)
{
    uint8_t *bytes = lm_arena_alloc(&p->query->arena, 2 * glob.len + 1, 1);
    if (!bytes) return lm_mem_err();
    size_t len = 0, i = 0, end = glob.len;
    if (sign == SIGN_WILDCARD) { /* found anywhere, so stars at the ends say nothing */
        while (i < end && glob.ptr[i] == '*')
            i++;
        while (end > i && glob.ptr[end - 1] == '*' && (end < i + 2 || glob.ptr[end - 2] != '\\'))
            end--;
    }
    for (; i < end; i++) {
        uint8_t c = glob.ptr[i];
        if (sign == SIGN_PATTERN && c == '<' && i + 2 < end && glob.ptr[i + 1] == '_' &&
            glob.ptr[i + 2] == '>') {
            memcpy(bytes + len, ".*", 2);
            len += 2;
            i += 2;
            continue;
        }
        if (sign == SIGN_WILDCARD && (c == '*' || c == '?')) {
            bytes[len++] = '.';
            if (c == '*') bytes[len++] = '*';
            continue;
        }
        if (sign == SIGN_WILDCARD && c == '\\' && i + 1 < end) c = glob.ptr[++i];
        if (!is_plain(c)) bytes[len++] = '\\';
        bytes[len++] = c;
    }
    if (len == 0 && sign == SIGN_WILDCARD) return node_new(p, LM_NODE_ALL, out);
    return regex_node(p, (lm_str){bytes, len}, sign == SIGN_PATTERN, out);
}

/* ---- line filters ---------------------------------------------------------------------------- */

/* The sign of a line filter here, if there is one. Does not move. */
static filter_sign sign_peek(const parser *p, bool *out_negated)
{
    int c = peek(p, 0), d = peek(p, 1);
    *out_negated = c == '!';
    if (c != '|' && c != '!') return SIGN_NONE;
    switch (d) {
    case '=':
        return SIGN_TEXT;
    case '~':
        return SIGN_REGEX;
    case '*':
        return SIGN_WILDCARD;
    case '>':
        return SIGN_PATTERN;
    default:
        return SIGN_NONE;
    }
}

/* ip("10.0.0.0/8"), behind the word ip. */
static lm_err ip_take(parser *p, lm_ip_range *out)
{
    lm_str text;
    p->at += 2;
    skip_space(p);
    if (peek(p, 0) != '(') return expected(p, "'(' behind ip");
    p->at++;
    skip_space(p);
    if (!is_quote(peek(p, 0))) return expected(p, "a quoted address or range");
    size_t begin = p->at;
    lm_err err = string_take(p, &text);
    if (err) return err;
    if (!lm_ip_range_parse(text, out)) {
        return lm_fail_at(LM_E_USAGE, begin, "query: '%.*s' is no address, CIDR block or range",
                          (int)(text.len < 80 ? text.len : 80), (const char *)text.ptr);
    }
    skip_space(p);
    if (peek(p, 0) != ')') return expected(p, "')'");
    p->at++;
    return LM_OK;
}

static bool ip_begins(const parser *p)
{
    size_t ahead = 2;
    if (peek(p, 0) != 'i' || peek(p, 1) != 'p') return false;
    while (peek(p, ahead) == ' ')
        ahead++;
    return peek(p, ahead) == '(';
}

static lm_err operand_take(parser *p, filter_sign sign, lm_node **out)
{
    lm_err err;
    if (sign == SIGN_TEXT && ip_begins(p)) {
        err = node_new(p, LM_NODE_IP, out);
        return err ? err : ip_take(p, &(*out)->ip);
    }
    if (!is_quote(peek(p, 0))) return expected(p, "a string in quotes");
    lm_str text;
    size_t begin = p->at;
    err = string_take(p, &text);
    if (err) return err;
    if (sign == SIGN_TEXT) return text_node(p, (lm_literal){text, false}, out);
    if (sign == SIGN_REGEX) {
        err = regex_node(p, text, false, out);
        if (err == LM_E_USAGE) {
            lm_err_info info;
            lm_err_save(&info);
            info.offset = begin;
            err = lm_err_restore(&info);
        }
        return err;
    }
    return glob_node(p, sign, text, out);
}

/* Is the next thing `or "text"`? Then it belongs to the line filter before. Moves behind the `or`.
 */
static bool or_operand_take(parser *p, filter_sign sign)
{
    size_t before = p->at;
    skip_space(p);
    if (keyword_take(p, "or")) {
        skip_space(p);
        if (is_quote(peek(p, 0)) || (sign == SIGN_TEXT && ip_begins(p))) return true;
    }
    p->at = before;
    return false;
}

static lm_err line_take(parser *p, filter_sign sign, bool negated, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    p->at += 2;
    do {
        lm_node *node = NULL;
        skip_space(p);
        lm_err err = operand_take(p, sign, &node);
        if (!err) err = node_join(p, LM_NODE_OR, &list, &last, node);
        if (err) return err;
    } while (or_operand_take(p, sign));
    *out = list;
    return negated ? node_negate(p, out) : LM_OK;
}

/* ---- field comparisons ----------------------------------------------------------------------- */

static field_op op_take(parser *p)
{
    int c = peek(p, 0), d = peek(p, 1);
    field_op found = OP_NONE;
    size_t len = 2;
    if (c == '=' && d == '~')
        found = OP_REGEX;
    else if (c == '=' && d == '=')
        found = OP_EQUAL;
    else if (c == '!' && d == '=')
        found = OP_NOT_EQUAL;
    else if (c == '!' && d == '~')
        found = OP_NOT_REGEX;
    else if (c == '<' && d == '=')
        found = OP_LESS_EQUAL;
    else if (c == '>' && d == '=')
        found = OP_MORE_EQUAL;
    else {
        len = 1;
        found = c == '=' ? OP_EQUAL : c == '<' ? OP_LESS : c == '>' ? OP_MORE : OP_NONE;
    }
    if (found != OP_NONE) p->at += len;
    return found;
}

static bool is_name(lm_str word)
{
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.ptr[i];
        if (!is_plain(c) && c != '.' && c != '@' && c != '-' && c != '$' && c != '[' && c != ']' &&
            c != '/' && c != ':')
            return false;
    }
    return word.len > 0 && !(word.ptr[0] >= '0' && word.ptr[0] <= '9');
}

static bool name_is_any(lm_str name, const char *const *list)
{
    for (; *list; list++) {
        if (lm_str_equal_nocase(name, lm_str_of(*list))) return true;
    }
    return false;
}

static const char *const level_names[] = {
    "level",     "severity",       "lvl",           "loglevel", "log_level",
    "log.level", "detected_level", "severity_text", "priority", NULL};
static const char *const time_names[] = {"timestamp", "time", "ts", "@timestamp",
                                         "datetime",  "date", NULL};

static lm_compare compare_of(field_op op)
{
    switch (op) {
    case OP_LESS:
        return LM_COMPARE_LESS;
    case OP_LESS_EQUAL:
        return LM_COMPARE_LESS_EQUAL;
    case OP_MORE:
        return LM_COMPARE_MORE;
    case OP_MORE_EQUAL:
        return LM_COMPARE_MORE_EQUAL;
    default:
        return LM_COMPARE_EQUAL;
    }
}

/* What kind of thing the value of an ordering, or a bare value of an equality, is. */
static lm_err value_classify(parser *p, lm_node *node, lm_str text, size_t begin)
{
    bool ordering = node->compare != LM_COMPARE_EQUAL;
    node->severity = lm_severity_parse(text);
    node->text = (lm_literal){text, false};
    bool is_number = lm_number_parse(text, &node->number);
    if (node->severity != LM_SEV_UNKNOWN &&
        (name_is_any(node->name, level_names) || (ordering && !is_number))) {
        node->value_kind = LM_VALUE_SEVERITY;
    } else if (ordering && name_is_any(node->name, time_names) &&
               lm_time_parse_user(text, p->query->now_ns, &node->time_ns) == LM_OK) {
        node->value_kind = LM_VALUE_TIME;
    } else if (is_number) {
        node->value_kind = LM_VALUE_NUMBER;
    } else if (lm_duration_parse(text, &node->number)) {
        node->value_kind = LM_VALUE_DURATION;
        node->bare_unit = lm_duration_unit_of_name(node->name);
    } else if (lm_size_parse(text, &node->number)) {
        node->value_kind = LM_VALUE_SIZE;
    } else if (!ordering) {
        node->value_kind = LM_VALUE_TEXT;
    } else if (lm_time_parse_user(text, p->query->now_ns, &node->time_ns) == LM_OK) {
        node->value_kind = LM_VALUE_TIME;
    } else {
        return lm_fail_at(
            LM_E_USAGE, begin,
            "query: '%.*s' cannot be ordered: a number, duration, size, level or time is needed",
            (int)(text.len < 80 ? text.len : 80), (const char *)text.ptr);
    }
    return LM_OK;
}

static lm_str bare_value_take(parser *p)
{
    size_t begin = p->at;
    for (;; p->at++) {
        int c = peek(p, 0);
        if (c < 0 || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ')' || c == '|' ||
            c == ',' || c == '}' || is_quote(c))
            break;
    }
    return (lm_str){p->text.ptr + begin, p->at - begin};
}

/* Behind a name and its sign: the value, and the node. */
static lm_err field_take(parser *p, lm_node_kind kind, lm_str name, field_op op, lm_node **out)
{
    lm_node *node = NULL;
    lm_err err = node_new(p, kind, &node);
    if (err) return err;
    node->name = name;
    node->compare = compare_of(op);
    skip_space(p);
    size_t begin = p->at;
    bool quoted = is_quote(peek(p, 0)), is_pattern = op == OP_REGEX || op == OP_NOT_REGEX;
    lm_str text = {NULL, 0};
    if (ip_begins(p) && (op == OP_EQUAL || op == OP_NOT_EQUAL)) {
        node->value_kind = LM_VALUE_IP;
        err = ip_take(p, &node->ip);
        if (err) return err;
    } else {
        if (quoted) {
            err = string_take(p, &text);
            if (err) return err;
        } else {
            text = bare_value_take(p);
            if (text.len == 0) return expected(p, "a value");
            text.ptr = lm_arena_copy(&p->query->arena, text.ptr, text.len);
            if (!text.ptr) return lm_mem_err();
        }
        if (is_pattern) {
            node->value_kind = LM_VALUE_REGEX;
            err = regex_make(p, text, true, &node->regex);
            if (!err) err = lm_demand_make(&p->query->arena, text, &node->demand);
        } else if ((quoted && node->compare == LM_COMPARE_EQUAL) || kind == LM_NODE_FILE) {
            node->value_kind = LM_VALUE_TEXT;
            node->text = (lm_literal){text, false};
            if (node->compare != LM_COMPARE_EQUAL)
                err = lm_fail_at(LM_E_USAGE, begin, "query: file names cannot be ordered");
        } else {
            err = value_classify(p, node, text, begin);
        }
        if (err) return err;
    }
    *out = node;
    return op == OP_NOT_EQUAL || op == OP_NOT_REGEX ? node_negate(p, out) : LM_OK;
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static lm_err stages_take(parser *p, lm_node **out);

static lm_err word_term(parser *p, lm_node **out)
{
    size_t begin = p->at;
    lm_str word = word_peek(p);
    if (word.len == 0) return expected(p, "a line filter, a field comparison or text");
    p->at += word.len;
    size_t after = p->at;
    skip_space(p);
    field_op op = op_take(p);
    uint8_t *copy = lm_arena_copy(&p->query->arena, word.ptr, word.len);
    if (!copy) return lm_mem_err();
    word.ptr = copy;
    if (op == OP_NONE) {
        p->at = after;
        return text_node(p, (lm_literal){word, false}, out);
    }
    if (!is_name(word)) {
        return lm_fail_at(LM_E_USAGE, begin,
                          "query: '%.*s' is no field name (put text into quotes)",
                          (int)(word.len < 80 ? word.len : 80), (const char *)word.ptr);
    }
    return field_take(p, LM_NODE_FIELD, word, op, out);
}

static lm_err term_take(parser *p, lm_node **out)
{
    skip_space(p);
    bool negated;
    filter_sign sign = sign_peek(p, &negated);
    if (sign != SIGN_NONE) return line_take(p, sign, negated, out);
    if (++p->depth > LM_QUERY_DEPTH_MAX)
        return lm_fail_at(LM_E_LIMIT, p->at, "query: nested deeper than %d levels",
                          LM_QUERY_DEPTH_MAX);
    lm_err err;
    if (keyword_take(p, "not")) {
        err = term_take(p, out);
        if (!err) err = node_negate(p, out);
    } else if (peek(p, 0) == '(') {
        p->at++;
        err = stages_take(p, out);
        skip_space(p);
        if (!err && peek(p, 0) != ')') err = expected(p, "')'");
        p->at++;
    } else if (is_quote(peek(p, 0))) {
        lm_str text;
        err = string_take(p, &text);
        if (!err) err = text_node(p, (lm_literal){text, false}, out);
    } else {
        err = word_term(p, out);
    }
    p->depth--;
    return err;
}

/* Where a term may not begin without a word between: the end, ')', `or`, or the next stage. */
static bool stage_ends(parser *p)
{
    skip_space(p);
    int c = peek(p, 0);
    return c < 0 || c == ')' || c == '|' || c == '!' || keyword_is(p, "or");
}

static lm_err all_take(parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    for (;;) {
        lm_node *node = NULL;
        lm_err err = term_take(p, &node);
        if (!err) err = node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
        skip_space(p);
        if (keyword_take(p, "and")) continue;
        if (peek(p, 0) == ',') {
            p->at++;
            continue;
        }
        if (stage_ends(p)) break;
    }
    *out = list;
    return LM_OK;
}

static lm_err any_take(parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    do {
        lm_node *node = NULL;
        lm_err err = all_take(p, &node);
        if (!err) err = node_join(p, LM_NODE_OR, &list, &last, node);
        if (err) return err;
        skip_space(p);
    } while (keyword_take(p, "or"));
    *out = list;
    return LM_OK;
}

/* LogQL's parser stages: fields are found by themselves, so json and logfmt have nothing to do. */
static lm_err parser_stage_take(parser *p, bool *out_taken)
{
    static const char *const nothing[] = {"json", "logfmt", "unpack", NULL};
    static const char *const unknown[] = {"pattern",      "regexp",     "line_format",
                                          "label_format", "decolorize", "drop",
                                          "keep",         "unwrap",     NULL};
    lm_str word = word_peek(p);
    size_t begin = p->at;
    *out_taken = false;
    bool is_nothing = name_is_any(word, nothing), is_unknown = name_is_any(word, unknown);
    if (!is_nothing && !is_unknown) return LM_OK;
    p->at += word.len;
    skip_space(p);
    size_t after = p->at;
    if (is_unknown && op_take(p) == OP_NONE) {
        return lm_fail_at(LM_E_USAGE, begin,
                          "query: the stage '%.*s' is not known; fields are found without it",
                          (int)word.len, (const char *)word.ptr);
    }
    p->at = after;
    int c = peek(p, 0);
    *out_taken = is_nothing && (c < 0 || c == '|' || c == ')' || (c == '!' && peek(p, 1) != '='));
    if (!*out_taken) p->at = begin;
    return LM_OK;
}

static lm_err stages_take(parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    bool negated;
    for (;;) {
        skip_space(p);
        int c = peek(p, 0);
        if ((c < 0 || c == ')') && list) break;
        if (c == '|' && sign_peek(p, &negated) == SIGN_NONE) {
            bool taken;
            p->at++;
            skip_space(p);
            lm_err err = parser_stage_take(p, &taken);
            if (err) return err;
            if (taken) {
                if (!list && stage_ends(p) && (peek(p, 0) < 0 || peek(p, 0) == ')')) {
                    return node_new(p, LM_NODE_ALL, out);
                }
                continue;
            }
        }
        lm_node *node = NULL;
        lm_err err = any_take(p, &node);
        if (!err) err = node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
    }
    *out = list;
    return LM_OK;
}

static lm_err selector_take(parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    p->at++;
    for (;;) {
        skip_space(p);
        if (peek(p, 0) == '}') break;
        lm_str name = word_peek(p);
        if (!is_name(name)) return expected(p, "a label name or '}'");
        p->at += name.len;
        skip_space(p);
        field_op op = op_take(p);
        if (op == OP_NONE || op >= OP_LESS) return expected(p, "'=', '!=', '=~' or '!~'");
        skip_space(p);
        if (!is_quote(peek(p, 0))) return expected(p, "a string in quotes");
        bool is_file = lm_str_equal(name, LM_STR("file")) || lm_str_equal(name, LM_STR("filename"));
        name.ptr = lm_arena_copy(&p->query->arena, name.ptr, name.len);
        if (!name.ptr) return lm_mem_err();
        lm_node *node = NULL;
        lm_err err = field_take(p, is_file ? LM_NODE_FILE : LM_NODE_FIELD, name, op, &node);
        if (!err) err = node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
        skip_space(p);
        if (peek(p, 0) == ',')
            p->at++;
        else if (peek(p, 0) != '}')
            return expected(p, "',' or '}'");
    }
    p->at++;
    *out = list;
    return LM_OK;
}

static lm_err query_take(parser *p)
{
    lm_node *selector = NULL, *stages = NULL, *list = NULL, *last = NULL;
    lm_err err = LM_OK;
    skip_space(p);
    if (peek(p, 0) == '{') err = selector_take(p, &selector);
    if (err) return err;
    skip_space(p);
    if (p->at < p->text.len) {
        err = stages_take(p, &stages);
        if (err) return err;
        skip_space(p);
        if (p->at < p->text.len) return expected(p, "the end of the query");
    }
    if (selector) err = node_join(p, LM_NODE_AND, &list, &last, selector);
    if (!err && stages) err = node_join(p, LM_NODE_AND, &list, &last, stages);
    if (!err && !list) err = node_new(p, LM_NODE_ALL, &list);
    if (!err) p->query->root = list;
    return err;
}

lm_err lm_query_parse(lm_mem *mem, lm_str text, lm_query **out)
{
    if (text.len > LM_QUERY_BYTES_MAX) {
        return lm_fail(LM_E_LIMIT, "the query has %zu bytes, the limit is %d", text.len,
                       LM_QUERY_BYTES_MAX);
    }
    lm_query *query = lm_mem_calloc(mem, 1, sizeof *query);
    if (!query) return lm_mem_err();
    query->mem = mem;
    query->now_ns = lm_clock_wall_ns();
    lm_arena_init(&query->arena, mem);
    parser p = {.query = query, .text = text};
    lm_err err = query_take(&p);
    if (err) {
        lm_query_free(query);
        return err;
    }
    *out = query;
    return LM_OK;
}

void lm_query_free(lm_query *query)
{
    if (!query) return;
    for (lm_query_regex *item = query->regexes; item; item = item->next)
        lm_regex_free(item->regex);
    lm_arena_fini(&query->arena);
    lm_mem_release(query->mem, query, sizeof *query);
}

bool lm_query_needs_fields(const lm_query *query)
{
    return query->needs_fields;
}
