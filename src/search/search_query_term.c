/** Terms of a query: line filters and field comparisons, and the nodes they become. Patterns that
 * are plain text become TEXT nodes, negated signs NOT nodes. */
#include "search/search_query_priv.h"

/* ---- nodes ----------------------------------------------------------------------------------- */

lm_err query_node_new(query_parser *p, lm_node_kind kind, lm_node **out)
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

lm_err query_node_negate(query_parser *p, lm_node **node)
{
    lm_node *not = NULL;
    lm_err err = query_node_new(p, LM_NODE_NOT, &not);
    if (err) return err;
    not->first = *node;
    *node = not;
    return LM_OK;
}

/* Adds child to a list of kind; a list of one is that one. */
lm_err query_node_join(query_parser *p, lm_node_kind kind, lm_node **list, lm_node **last,
                       lm_node *child)
{
    if (!*list) {
        *list = *last = child;
        return LM_OK;
    }
    if (*list == *last) { /* the second: now a list is needed; its first child may itself be a list
                             and stays whole */
        lm_node *first = *list, *join = NULL;
        lm_err err = query_node_new(p, kind, &join);
        if (err) return err;
        join->first = first;
        *list = join;
        *last = first;
    }
    (*last)->next = child;
    *last = child;
    return LM_OK;
}

static lm_err regex_make(query_parser *p, lm_str pattern, bool whole, lm_regex **out)
{
    lm_query_regex *item = lm_arena_alloc(&p->query->arena, sizeof *item, _Alignof(lm_query_regex));
    if (!item) return lm_mem_err();
    lm_regex_fault fault;
    lm_err err =
        lm_regex_new(p->query->mem, pattern, whole ? LM_REGEX_WHOLE : 0, &fault, &item->regex);
    if (err == LM_E_USAGE) {
        return lm_fail_at(err, fault.offset, "regular expression: %s, at position %zu of '%.*s'",
                          fault.text, fault.offset, (int)(pattern.len < 200 ? pattern.len : 200),
                          (const char *)pattern.ptr);
    }
    if (err) return err;
    item->next = p->query->regexes;
    p->query->regexes = item;
    *out = item->regex;
    return LM_OK;
}

lm_err query_text_node(query_parser *p, lm_literal literal, lm_node **out)
{
    lm_err err = query_node_new(p, literal.text.len ? LM_NODE_TEXT : LM_NODE_ALL, out);
    if (err) return err;
    (*out)->is_nowhere = literal.text.len && memchr(literal.text.ptr, '\n', literal.text.len);
    (*out)->text = literal;
    (*out)->finder = lm_finder_make(literal);
    return LM_OK;
}

/* A pattern as a node: the cheapest one that means the same. */
static lm_err regex_node(query_parser *p, lm_str pattern, bool whole, lm_node **out)
{
    lm_demand demand;
    lm_regex *regex = NULL;
    lm_err err = regex_make(p, pattern, whole, &regex);
    if (!err) err = lm_demand_make(&p->query->arena, pattern, &demand);
    if (err) return err;
    if (!demand.exact || whole) {
        err = query_node_new(p, LM_NODE_REGEX, out);
        if (err) return err;
        (*out)->regex = regex;
        (*out)->demand = demand;
        return LM_OK;
    }
    lm_node *list = NULL, *last = NULL;
    for (uint32_t i = 0; i < demand.clauses[0].count; i++) {
        lm_node *node = NULL;
        err = query_text_node(p, demand.clauses[0].any[i], &node);
        if (!err) err = query_node_join(p, LM_NODE_OR, &list, &last, node);
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
static lm_err glob_node(query_parser *p, filter_sign sign, lm_str glob, lm_node **out)
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
    if (len == 0 && sign == SIGN_WILDCARD) return query_node_new(p, LM_NODE_ALL, out);
    return regex_node(p, (lm_str){bytes, len}, sign == SIGN_PATTERN, out);
}

/* ---- line filters ---------------------------------------------------------------------------- */

/* The sign of a line filter here, if there is one. Does not move. */
filter_sign query_sign_peek(const query_parser *p, bool *out_negated)
{
    int c = query_peek(p, 0), d = query_peek(p, 1);
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
static lm_err ip_take(query_parser *p, lm_ip_range *out)
{
    lm_str text;
    p->at += 2;
    query_skip_space(p);
    if (query_peek(p, 0) != '(') return query_expected(p, "'(' behind ip");
    p->at++;
    query_skip_space(p);
    if (!query_is_quote(query_peek(p, 0))) return query_expected(p, "a quoted address or range");
    size_t begin = p->at;
    lm_err err = query_string_take(p, &text);
    if (err) return err;
    if (!lm_ip_range_parse(text, out)) {
        return lm_fail_at(LM_E_USAGE, begin, "query: '%.*s' is no address, CIDR block or range",
                          (int)(text.len < 80 ? text.len : 80), (const char *)text.ptr);
    }
    query_skip_space(p);
    if (query_peek(p, 0) != ')') return query_expected(p, "')'");
    p->at++;
    return LM_OK;
}

static bool ip_begins(const query_parser *p)
{
    size_t ahead = 2;
    if (query_peek(p, 0) != 'i' || query_peek(p, 1) != 'p') return false;
    while (query_peek(p, ahead) == ' ')
        ahead++;
    return query_peek(p, ahead) == '(';
}

static lm_err operand_take(query_parser *p, filter_sign sign, lm_node **out)
{
    lm_err err;
    if (sign == SIGN_TEXT && ip_begins(p)) {
        err = query_node_new(p, LM_NODE_IP, out);
        return err ? err : ip_take(p, &(*out)->ip);
    }
    if (!query_is_quote(query_peek(p, 0))) return query_expected(p, "a string in quotes");
    lm_str text;
    size_t begin = p->at;
    err = query_string_take(p, &text);
    if (err) return err;
    if (sign == SIGN_TEXT) return query_text_node(p, (lm_literal){text, false}, out);
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
static bool or_operand_take(query_parser *p, filter_sign sign)
{
    size_t before = p->at;
    query_skip_space(p);
    if (query_keyword_take(p, "or")) {
        query_skip_space(p);
        if (query_is_quote(query_peek(p, 0)) || (sign == SIGN_TEXT && ip_begins(p))) return true;
    }
    p->at = before;
    return false;
}

lm_err query_line_take(query_parser *p, filter_sign sign, bool negated, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    p->at += 2;
    do {
        lm_node *node = NULL;
        query_skip_space(p);
        lm_err err = operand_take(p, sign, &node);
        if (!err) err = query_node_join(p, LM_NODE_OR, &list, &last, node);
        if (err) return err;
    } while (or_operand_take(p, sign));
    *out = list;
    return negated ? query_node_negate(p, out) : LM_OK;
}

/* ---- field comparisons ----------------------------------------------------------------------- */

field_op query_op_take(query_parser *p)
{
    int c = query_peek(p, 0), d = query_peek(p, 1);
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

bool query_is_name(lm_str word)
{
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.ptr[i];
        if (!is_plain(c) && c != '.' && c != '@' && c != '-' && c != '$' && c != '[' && c != ']' &&
            c != '/' && c != ':')
            return false;
    }
    return word.len > 0 && !(word.ptr[0] >= '0' && word.ptr[0] <= '9');
}

bool query_name_is_any(lm_str name, const char *const *list)
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
static lm_err value_classify(query_parser *p, lm_node *node, lm_str text, size_t begin)
{
    bool ordering = node->compare != LM_COMPARE_EQUAL;
    node->text = (lm_literal){text, false};
    bool is_number = lm_number_parse(text, &node->number); /* what is asked as a number is one */
    node->severity = is_number ? LM_SEV_UNKNOWN : lm_severity_parse(text);
    if (node->severity != LM_SEV_UNKNOWN &&
        (query_name_is_any(node->name, level_names) || (ordering && !is_number))) {
        node->value_kind = LM_VALUE_SEVERITY;
    } else if (ordering && query_name_is_any(node->name, time_names) &&
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

static lm_str bare_value_take(query_parser *p)
{
    size_t begin = p->at;
    for (;; p->at++) {
        int c = query_peek(p, 0);
        if (c < 0 || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ')' || c == '|' ||
            c == ',' || c == '}' || query_is_quote(c))
            break;
    }
    return (lm_str){p->text.ptr + begin, p->at - begin};
}

/* Behind a name and its sign: the value, and the node. */
lm_err query_field_take(query_parser *p, lm_node_kind kind, lm_str name, field_op op, lm_node **out)
{
    lm_node *node = NULL;
    lm_err err = query_node_new(p, kind, &node);
    if (err) return err;
    node->name = name;
    p->query->needs_levels |= lm_query_name_is_level(name);
    node->compare = compare_of(op);
    query_skip_space(p);
    size_t begin = p->at;
    bool quoted = query_is_quote(query_peek(p, 0)),
         is_pattern = op == OP_REGEX || op == OP_NOT_REGEX;
    lm_str text = {NULL, 0};
    if (ip_begins(p) && (op == OP_EQUAL || op == OP_NOT_EQUAL)) {
        node->value_kind = LM_VALUE_IP;
        err = ip_take(p, &node->ip);
        if (err) return err;
    } else {
        if (quoted) {
            err = query_string_take(p, &text);
            if (err) return err;
        } else {
            text = bare_value_take(p);
            if (text.len == 0) return query_expected(p, "a value");
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
    return op == OP_NOT_EQUAL || op == OP_NOT_REGEX ? query_node_negate(p, out) : LM_OK;
}
