/* The query language: text in, tree out.
 *
 *   query    := selector? stages
 *   selector := '{' (name op string) % ',' '}'
 *   stages   := stage+                  all must hold
 *   stage    := '|'? any                a new stage begins at '|' or at a line filter's sign
 *   any      := all ('or' all)*
 *   all      := term (('and' | ',')? term)*
 *   term     := 'not' term | '(' stages ')' | line | field | text
 *   line     := sign operand ('or' operand)*
 *   sign     := '|=' | '!=' | '|~' | '!~' | '|*' | '!*' | '|>' | '!>'
 *   operand  := string | ip '(' string ')'
 *   field    := name op (string | word | ip '(' string ')')
 *   op       := '=' | '==' | '!=' | '=~' | '!~' | '<' | '<=' | '>' | '>='
 *   text     := string | word
 *
 * As in LogQL, a line filter's sign and '|' bind weaker than `or` between field comparisons, and
 * `or "text"` right behind a line filter belongs to it. */
#include "search/search_query_priv.h"

/* ---- the grammar ----------------------------------------------------------------------------- */

static lm_err stages_take(query_parser *p, lm_node **out);

static lm_err word_term(query_parser *p, lm_node **out)
{
    size_t begin = p->at;
    lm_str word = query_word_peek(p);
    if (word.len == 0) return query_expected(p, "a line filter, a field comparison or text");
    p->at += word.len;
    size_t after = p->at;
    query_skip_space(p);
    field_op op = query_op_take(p);
    uint8_t *copy = lm_arena_copy(&p->query->arena, word.ptr, word.len);
    if (!copy) return lm_mem_err();
    word.ptr = copy;
    if (op == OP_NONE) {
        p->at = after;
        return query_text_node(p, (lm_literal){word, false}, out);
    }
    if (!query_is_name(word)) {
        return lm_fail_at(LM_E_USAGE, begin,
                          "query: '%.*s' is no field name (put text into quotes)",
                          (int)(word.len < 80 ? word.len : 80), (const char *)word.ptr);
    }
    return query_field_take(p, LM_NODE_FIELD, word, op, out);
}

static lm_err term_take(query_parser *p, lm_node **out)
{
    query_skip_space(p);
    bool negated;
    filter_sign sign = query_sign_peek(p, &negated);
    if (sign != SIGN_NONE) return query_line_take(p, sign, negated, out);
    if (++p->depth > LM_QUERY_DEPTH_MAX)
        return lm_fail_at(LM_E_LIMIT, p->at, "query: nested deeper than %d levels",
                          LM_QUERY_DEPTH_MAX);
    lm_err err;
    if (query_keyword_take(p, "not")) {
        err = term_take(p, out);
        if (!err) err = query_node_negate(p, out);
    } else if (query_peek(p, 0) == '(') {
        p->at++;
        err = stages_take(p, out);
        query_skip_space(p);
        if (!err && query_peek(p, 0) != ')') err = query_expected(p, "')'");
        p->at++;
    } else if (query_is_quote(query_peek(p, 0))) {
        lm_str text;
        err = query_string_take(p, &text);
        if (!err) err = query_text_node(p, (lm_literal){text, false}, out);
    } else {
        err = word_term(p, out);
    }
    p->depth--;
    return err;
}

/* Where a term may not begin without a word between: the end, ')', `or`, or the next stage. */
static bool stage_ends(query_parser *p)
{
    query_skip_space(p);
    int c = query_peek(p, 0);
    return c < 0 || c == ')' || c == '|' || c == '!' || query_keyword_is(p, "or");
}

static lm_err all_take(query_parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    for (;;) {
        lm_node *node = NULL;
        lm_err err = term_take(p, &node);
        if (!err) err = query_node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
        query_skip_space(p);
        if (query_keyword_take(p, "and")) continue;
        if (query_peek(p, 0) == ',') {
            p->at++;
            continue;
        }
        if (stage_ends(p)) break;
    }
    *out = list;
    return LM_OK;
}

static lm_err any_take(query_parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    do {
        lm_node *node = NULL;
        lm_err err = all_take(p, &node);
        if (!err) err = query_node_join(p, LM_NODE_OR, &list, &last, node);
        if (err) return err;
        query_skip_space(p);
    } while (query_keyword_take(p, "or"));
    *out = list;
    return LM_OK;
}

/* LogQL's parser stages: fields are found by themselves, so json and logfmt have nothing to do. */
static lm_err parser_stage_take(query_parser *p, bool *out_taken)
{
    static const char *const nothing[] = {"json", "logfmt", "unpack", NULL};
    static const char *const unknown[] = {"pattern",      "regexp",     "line_format",
                                          "label_format", "decolorize", "drop",
                                          "keep",         "unwrap",     NULL};
    lm_str word = query_word_peek(p);
    size_t begin = p->at;
    *out_taken = false;
    bool is_nothing = query_name_is_any(word, nothing),
         is_unknown = query_name_is_any(word, unknown);
    if (!is_nothing && !is_unknown) return LM_OK;
    p->at += word.len;
    query_skip_space(p);
    size_t after = p->at;
    if (is_unknown && query_op_take(p) == OP_NONE) {
        return lm_fail_at(LM_E_USAGE, begin,
                          "query: the stage '%.*s' is not known; fields are found without it",
                          (int)word.len, (const char *)word.ptr);
    }
    p->at = after;
    int c = query_peek(p, 0);
    *out_taken =
        is_nothing && (c < 0 || c == '|' || c == ')' || (c == '!' && query_peek(p, 1) != '='));
    if (!*out_taken) p->at = begin;
    return LM_OK;
}

static lm_err stages_take(query_parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    bool negated;
    for (;;) {
        query_skip_space(p);
        int c = query_peek(p, 0);
        if ((c < 0 || c == ')') && list) break;
        if (c == '|' && query_sign_peek(p, &negated) == SIGN_NONE) {
            bool taken;
            p->at++;
            query_skip_space(p);
            lm_err err = parser_stage_take(p, &taken);
            if (err) return err;
            if (taken) {
                if (!list && stage_ends(p) && (query_peek(p, 0) < 0 || query_peek(p, 0) == ')')) {
                    return query_node_new(p, LM_NODE_ALL, out);
                }
                continue;
            }
        }
        lm_node *node = NULL;
        lm_err err = any_take(p, &node);
        if (!err) err = query_node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
    }
    *out = list;
    return LM_OK;
}

static lm_err selector_take(query_parser *p, lm_node **out)
{
    lm_node *list = NULL, *last = NULL;
    p->at++;
    for (;;) {
        query_skip_space(p);
        if (query_peek(p, 0) == '}') break;
        lm_str name = query_word_peek(p);
        if (!query_is_name(name)) return query_expected(p, "a label name or '}'");
        p->at += name.len;
        query_skip_space(p);
        field_op op = query_op_take(p);
        if (op == OP_NONE || op >= OP_LESS) return query_expected(p, "'=', '!=', '=~' or '!~'");
        query_skip_space(p);
        if (!query_is_quote(query_peek(p, 0))) return query_expected(p, "a string in quotes");
        bool is_file = lm_str_equal(name, LM_STR("file")) || lm_str_equal(name, LM_STR("filename"));
        name.ptr = lm_arena_copy(&p->query->arena, name.ptr, name.len);
        if (!name.ptr) return lm_mem_err();
        lm_node *node = NULL;
        lm_err err = query_field_take(p, is_file ? LM_NODE_FILE : LM_NODE_FIELD, name, op, &node);
        if (!err) err = query_node_join(p, LM_NODE_AND, &list, &last, node);
        if (err) return err;
        query_skip_space(p);
        if (query_peek(p, 0) == ',')
            p->at++;
        else if (query_peek(p, 0) != '}')
            return query_expected(p, "',' or '}'");
    }
    p->at++;
    *out = list;
    return LM_OK;
}

static lm_err query_take(query_parser *p)
{
    lm_node *selector = NULL, *stages = NULL, *list = NULL, *last = NULL;
    lm_err err = LM_OK;
    query_skip_space(p);
    if (query_peek(p, 0) == '{') err = selector_take(p, &selector);
    if (err) return err;
    query_skip_space(p);
    if (p->at < p->text.len) {
        err = stages_take(p, &stages);
        if (err) return err;
        query_skip_space(p);
        if (p->at < p->text.len) return query_expected(p, "the end of the query");
    }
    if (selector) err = query_node_join(p, LM_NODE_AND, &list, &last, selector);
    if (!err && stages) err = query_node_join(p, LM_NODE_AND, &list, &last, stages);
    if (!err && !list) err = query_node_new(p, LM_NODE_ALL, &list);
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
    query_parser p = {.query = query, .text = text};
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
