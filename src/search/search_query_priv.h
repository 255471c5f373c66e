/** Inside the query's parser: its reader (search_query_lex.c), terms (search_query_term.c) and
 * grammar (search_query.c). */
#ifndef SEARCH_QUERY_PRIV_H
#define SEARCH_QUERY_PRIV_H

#include "search/search_priv.h"

typedef struct query_parser {
    lm_query *query;
    lm_str text;
    size_t at;
    int depth;
} query_parser;

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

/* ---- search_query_lex.c ---- */

static inline int query_peek(const query_parser *p, size_t ahead)
{
    return p->at + ahead < p->text.len ? p->text.ptr[p->at + ahead] : -1;
}

static inline void query_skip_space(query_parser *p)
{
    while (query_peek(p, 0) == ' ' || query_peek(p, 0) == '\t' || query_peek(p, 0) == '\n' ||
           query_peek(p, 0) == '\r')
        p->at++;
}

static inline bool query_is_quote(int c)
{
    return c == '"' || c == '`' || c == '\'';
}

/** An error that says what should stand at the reader's place, and what does. */
LM_USE lm_err query_expected(const query_parser *p, const char *what);
/** The bare word at the reader's place; may be empty. */
lm_str query_word_peek(const query_parser *p);
/** Take the keyword if it stands here, as a word of its own. */
bool query_keyword_take(query_parser *p, const char *keyword);
bool query_keyword_is(const query_parser *p, const char *keyword);
/** A quoted string, its escapes resolved; lives in the query's arena. */
LM_USE lm_err query_string_take(query_parser *p, lm_str *out);

/* ---- search_query_term.c: nodes, line filters, comparisons ---- */

/* Nodes live in the query's arena. */
LM_USE lm_err query_node_new(query_parser *p, lm_node_kind kind, lm_node **out);
LM_USE lm_err query_node_negate(query_parser *p, lm_node **node);
/** One node for a list: the node itself if it is alone. */
LM_USE lm_err query_node_join(query_parser *p, lm_node_kind kind, lm_node **list, lm_node **last,
                              lm_node *child);
LM_USE lm_err query_text_node(query_parser *p, lm_literal literal, lm_node **out);
/** The line filter's sign that stands here, if any. */
filter_sign query_sign_peek(const query_parser *p, bool *out_negated);
LM_USE lm_err query_line_take(query_parser *p, filter_sign sign, bool negated, lm_node **out);
/** The operator that stands here, taken; OP_NONE. */
field_op query_op_take(query_parser *p);
bool query_is_name(lm_str word);
bool query_name_is_any(lm_str name, const char *const *list);
LM_USE lm_err query_field_take(query_parser *p, lm_node_kind kind, lm_str name, field_op op,
                               lm_node **out);

#endif
