/** What the files of this room share: the tree of a query, the state of one run. */
#ifndef LOGQL_PRIV_H
#define LOGQL_PRIV_H

#include "logql/logql.h"

#include <math.h>

#define NS_PER_S INT64_C(1000000000)

/* ---- tokens ---- */

/* X(name, text in messages, keyword or NULL) */
#define LM_LQ_TOKENS(X)                                                                            \
    X(END, "$end", NULL)                                                                           \
    X(IDENTIFIER, "IDENTIFIER", NULL)                                                              \
    X(STRING, "STRING", NULL)                                                                      \
    X(NUMBER, "NUMBER", NULL)                                                                      \
    X(DURATION, "DURATION", NULL)                                                                  \
    X(BYTES, "BYTES", NULL)                                                                        \
    X(RANGE, "RANGE", NULL)                                                                        \
    X(FLAG, "FUNCTION_FLAG", NULL)                                                                 \
    X(COMMA, ",", NULL)                                                                            \
    X(DOT, ".", NULL)                                                                              \
    X(OPEN_BRACE, "{", NULL)                                                                       \
    X(CLOSE_BRACE, "}", NULL)                                                                      \
    X(OPEN, "(", NULL)                                                                             \
    X(CLOSE, ")", NULL)                                                                            \
    X(CLOSE_BRACKET, "]", NULL)                                                                    \
    X(EQ, "=", NULL)                                                                               \
    X(NEQ, "!=", NULL)                                                                             \
    X(RE, "=~", NULL)                                                                              \
    X(NRE, "!~", NULL)                                                                             \
    X(NPA, "!>", NULL)                                                                             \
    X(PIPE_EXACT, "|=", NULL)                                                                      \
    X(PIPE_MATCH, "|~", NULL)                                                                      \
    X(PIPE_PATTERN, "|>", NULL)                                                                    \
    X(PIPE, "|", NULL)                                                                             \
    X(CMP_EQ, "==", NULL)                                                                          \
    X(GT, ">", NULL)                                                                               \
    X(GTE, ">=", NULL)                                                                             \
    X(LT, "<", NULL)                                                                               \
    X(LTE, "<=", NULL)                                                                             \
    X(ADD, "+", NULL)                                                                              \
    X(SUB, "-", NULL)                                                                              \
    X(MUL, "*", NULL)                                                                              \
    X(DIV, "/", NULL)                                                                              \
    X(MOD, "%", NULL)                                                                              \
    X(POW, "^", NULL)                                                                              \
    X(OR, "or", "or")                                                                              \
    X(AND, "and", "and")                                                                           \
    X(UNLESS, "unless", "unless")                                                                  \
    X(BY, "by", "by")                                                                              \
    X(WITHOUT, "without", "without")                                                               \
    X(BOOL, "bool", "bool")                                                                        \
    X(OFFSET, "offset", "offset")                                                                  \
    X(ON, "on", "on")                                                                              \
    X(IGNORING, "ignoring", "ignoring")                                                            \
    X(GROUP_LEFT, "group_left", "group_left")                                                      \
    X(GROUP_RIGHT, "group_right", "group_right")                                                   \
    X(UNWRAP, "unwrap", "unwrap")                                                                  \
    X(JSON, "json", "json")                                                                        \
    X(REGEXP, "regexp", "regexp")                                                                  \
    X(LOGFMT, "logfmt", "logfmt")                                                                  \
    X(UNPACK, "unpack", "unpack")                                                                  \
    X(PATTERN, "pattern", "pattern")                                                               \
    X(LABEL_FMT, "label_format", "label_format")                                                   \
    X(LINE_FMT, "line_format", "line_format")                                                      \
    X(DECOLORIZE, "decolorize", "decolorize")                                                      \
    X(DROP, "drop", "drop")                                                                        \
    X(KEEP, "keep", "keep")

/* Names that are words of the language only in front of '(' (or of by/without and '('). */
#define LM_LQ_FUNCTIONS(X)                                                                         \
    X(RATE, "RATE", "rate")                                                                        \
    X(RATE_COUNTER, "RATE_COUNTER", "rate_counter")                                                \
    X(COUNT_OVER_TIME, "COUNT_OVER_TIME", "count_over_time")                                       \
    X(BYTES_RATE, "BYTES_RATE", "bytes_rate")                                                      \
    X(BYTES_OVER_TIME, "BYTES_OVER_TIME", "bytes_over_time")                                       \
    X(AVG_OVER_TIME, "AVG_OVER_TIME", "avg_over_time")                                             \
    X(SUM_OVER_TIME, "SUM_OVER_TIME", "sum_over_time")                                             \
    X(MIN_OVER_TIME, "MIN_OVER_TIME", "min_over_time")                                             \
    X(MAX_OVER_TIME, "MAX_OVER_TIME", "max_over_time")                                             \
    X(STDVAR_OVER_TIME, "STDVAR_OVER_TIME", "stdvar_over_time")                                    \
    X(STDDEV_OVER_TIME, "STDDEV_OVER_TIME", "stddev_over_time")                                    \
    X(QUANTILE_OVER_TIME, "QUANTILE_OVER_TIME", "quantile_over_time")                              \
    X(FIRST_OVER_TIME, "FIRST_OVER_TIME", "first_over_time")                                       \
    X(LAST_OVER_TIME, "LAST_OVER_TIME", "last_over_time")                                          \
    X(ABSENT_OVER_TIME, "ABSENT_OVER_TIME", "absent_over_time")                                    \
    X(VECTOR, "VECTOR", "vector")                                                                  \
    X(SUM, "SUM", "sum")                                                                           \
    X(AVG, "AVG", "avg")                                                                           \
    X(MAX, "MAX", "max")                                                                           \
    X(MIN, "MIN", "min")                                                                           \
    X(COUNT, "COUNT", "count")                                                                     \
    X(STDDEV, "STDDEV", "stddev")                                                                  \
    X(STDVAR, "STDVAR", "stdvar")                                                                  \
    X(BOTTOMK, "BOTTOMK", "bottomk")                                                               \
    X(TOPK, "TOPK", "topk")                                                                        \
    X(SORT, "SORT", "sort")                                                                        \
    X(SORT_DESC, "SORT_DESC", "sort_desc")                                                         \
    X(APPROX_TOPK, "APPROX_TOPK", "approx_topk")                                                   \
    X(LABEL_REPLACE, "label_replace", "label_replace")                                             \
    X(BYTES_CONV, "BYTES_CONV", "bytes")                                                           \
    X(DURATION_CONV, "DURATION_CONV", "duration")                                                  \
    X(DURATION_SECONDS_CONV, "DURATION_SECONDS_CONV", "duration_seconds")                          \
    X(IP, "ip", "ip")

typedef enum lm_lq_kind_of_token {

#define X(name, text, word) LM_LQ_T_##name,
    LM_LQ_TOKENS(X) LM_LQ_FUNCTIONS(X)
#undef X
} lm_lq_tok;

/** What a token is called in messages; for functions and keywords also how it is written. */
const char *lm_lq_tok_text(lm_lq_tok tok);
const char *lm_lq_tok_word(lm_lq_tok tok); /* "" if it has no word */

typedef struct lm_lq_token {
    lm_lq_tok kind;
    lm_str text;    /* as written; STRING: its value, in the arena */
    size_t offset;  /* where it begins */
    double number;  /* unused */
    int64_t ns;     /* DURATION, RANGE */
    uint64_t bytes; /* BYTES */
} lm_lq_token;

typedef struct lm_lq_lexer {
    lm_str text;
    size_t at;
    lm_arena *arena;
} lm_lq_lexer;

LM_USE lm_err lm_lq_lex(lm_lq_lexer *lexer, lm_lq_token *out);
/** "parse error at line L, col C: ..." for a place in text. Always LM_E_USAGE. */
lm_err lm_lq_fail_at(lm_str text, size_t offset, const char *fmt, ...) LM_PRINTF(3, 4);
/** "parse error : ..." where Loki names no place. */
lm_err lm_lq_fail(const char *fmt, ...) LM_PRINTF(1, 2);

/* ---- numbers (logql_number.c) ---- */

/** As Prometheus writes durations: 1d2h, 5m. */
LM_USE bool lm_lq_duration_prom(lm_str s, int64_t *out_ns);
/** As Go writes them: 1.5h, -3ms, 1m30s. */
LM_USE bool lm_lq_duration_go(lm_str s, int64_t *out_ns);
/** 5KB, 1.5 GiB, 10; decimal and binary units, without regard to case. */
LM_USE bool lm_lq_bytes(lm_str s, uint64_t *out);
/** The whole of s as a floating-point number, as Go's ParseFloat takes it. */
LM_USE bool lm_lq_float(lm_str s, double *out);
/** Whole numbers with a sign. */
LM_USE bool lm_lq_int(lm_str s, int64_t *out);
LM_USE lm_err lm_lq_print_duration_prom(int64_t ns, lm_buf *out);
LM_USE lm_err lm_lq_print_duration_go(int64_t ns, lm_buf *out);
LM_USE lm_err lm_lq_print_bytes(uint64_t bytes, lm_buf *out);
/** Shortest text that reads back as the same number: plain for Go's 'f' with -1, else like %v. */
LM_USE lm_err lm_lq_print_float(double v, bool plain, lm_buf *out);
LM_USE lm_err lm_lq_print_quoted(lm_str s, lm_buf *out);
/** A character at s (len > 0): its bytes; *out 0xFFFD and 1 for bytes that are none. */
size_t lm_lq_utf8(const uint8_t *s, size_t len, uint32_t *out);
size_t lm_lq_utf8_put(uint32_t c, uint8_t out[4]);

/* ---- regular expressions (logql_regex.c) ---- */

/** Bytes are matched as bytes unless the pattern can tell the difference. flags: LM_REGEX_WHOLE,
 * LM_REGEX_DOTALL. Errors as lm_regex_new, LM_E_USAGE in the words of Go: "error parsing regexp:
 * ...". */
LM_USE lm_err lm_lq_regex_new(lm_mem *mem, lm_str pattern, unsigned flags, lm_regex **out);
/** Every match replaced; $1, ${name} are expanded unless literal. */
LM_USE lm_err lm_lq_regex_replace(const lm_regex *regex, lm_str text, lm_str by, bool literal,
                                  lm_regex_room *room, lm_buf *out);
/** $1, ${1}, $name of a match are put in, as Go's Expand does. */
LM_USE lm_err lm_lq_regex_expand(const lm_regex *regex, lm_str text, const size_t *groups,
                                 lm_str by, lm_buf *out);

/* ---- patterns and addresses (logql_pattern.c) ---- */

typedef struct lm_lq_piece {
    lm_str text; /* literal text, or a capture's name */
    bool is_capture;
} lm_lq_piece;

typedef struct lm_lq_pattern {
    lm_lq_piece *pieces;
    uint32_t count;
} lm_lq_pattern;

/** is_filter: names are not allowed (line filters); else at least one is needed. *out_why gets the
 * reason in arena; LM_E_USAGE then. */
LM_USE lm_err lm_lq_pattern_make(lm_str text, bool is_filter, lm_arena *arena, lm_lq_pattern *out);
bool lm_lq_pattern_test(const lm_lq_pattern *pattern, lm_str line);
/** Texts of the named captures in order; returns how many were found. */
uint32_t lm_lq_pattern_match(const lm_lq_pattern *pattern, lm_str line, lm_str *out);
/** Our `| template "..."`: the whole line against text, each <*> any run of bytes. */
LM_USE lm_err lm_lq_template_text_make(lm_str text, lm_arena *arena, lm_lq_pattern *out);
bool lm_lq_template_text_test(const lm_lq_pattern *pattern, lm_str line);

typedef struct lm_lq_ip {
    uint8_t from[16], to[16]; /* IPv4 as its 4 bytes */
    bool is_v6;
} lm_lq_ip;

LM_USE bool lm_lq_ip_make(lm_str text, lm_lq_ip *out);
bool lm_lq_ip_find(const lm_lq_ip *ip, lm_str line);

/* ---- the tree ---- */

typedef enum lm_lq_compare {
    LM_LQ_EQ,
    LM_LQ_NE,
    LM_LQ_GT,
    LM_LQ_GE,
    LM_LQ_LT,
    LM_LQ_LE
} lm_lq_compare;

typedef struct lm_lq_matcher {
    lm_matcher is;
    lm_regex *regex;
} lm_lq_matcher;

typedef enum lm_lq_filter_kind {
    LM_LQ_F_STRING,
    LM_LQ_F_NUMBER,
    LM_LQ_F_DURATION,
    LM_LQ_F_BYTES,
    LM_LQ_F_IP,
    LM_LQ_F_AND,
    LM_LQ_F_OR
} lm_lq_filter_kind;

typedef struct lm_lq_filter {
    lm_lq_filter_kind kind;
    lm_lq_matcher matcher; /* STRING; its name is that of all kinds */
    lm_lq_compare compare;
    double number;
    int64_t ns;
    uint64_t bytes;
    lm_lq_ip ip;
    lm_str ip_text;
    struct lm_lq_filter *left, *right; /* AND, OR */
} lm_lq_filter;

typedef struct lm_lq_template lm_lq_template;

typedef struct lm_lq_extract { /* name="expression" of json and logfmt */
    lm_str name, expression;
    lm_lq_piece *path; /* json: keys, and "[0]" with is_capture for an index */
    uint32_t path_len;
    lm_str key; /* logfmt: the key that is looked for */
} lm_lq_extract;

typedef struct lm_lq_format {
    lm_str name, value;
    bool is_rename;
    lm_lq_template *tmpl;
} lm_lq_format;

typedef struct lm_lq_named { /* of drop and keep */
    lm_str name;
    bool has_matcher;
    lm_lq_matcher matcher;
} lm_lq_named;

typedef struct lm_lq_text { /* one alternative of a line filter */
    lm_str text;
    bool is_ip;
    lm_lq_ip ip;
    lm_regex *regex;
    lm_lq_pattern pattern;
} lm_lq_text;

typedef enum lm_lq_stage_kind {
    LM_LQ_S_LINE,
    LM_LQ_S_JSON,
    LM_LQ_S_JSON_EXPR,
    LM_LQ_S_LOGFMT,
    LM_LQ_S_LOGFMT_EXPR,
    LM_LQ_S_PATTERN,
    LM_LQ_S_REGEXP,
    LM_LQ_S_UNPACK,
    LM_LQ_S_FILTER,
    LM_LQ_S_LINE_FORMAT,
    LM_LQ_S_LABEL_FORMAT,
    LM_LQ_S_DECOLORIZE,
    LM_LQ_S_DROP,
    LM_LQ_S_KEEP,
    LM_LQ_S_TEMPLATE,
    LM_LQ_S_TEMPLATE_ID
} lm_lq_stage_kind;

typedef struct lm_lq_stage {
    lm_lq_stage_kind kind;
    lm_filter_op op; /* LINE */
    lm_lq_text *texts;
    uint32_t text_count;
    bool has_ip;
    bool strict, keep_empty;
    lm_lq_extract *extracts;
    uint32_t extract_count;
    lm_str param;
    lm_regex *regex;              /* REGEXP, DECOLORIZE */
    lm_lq_pattern pattern;        /* PATTERN, TEMPLATE */
    lm_str *names;                /* PATTERN, REGEXP: by capture or group; empty: not wanted */
    lm_lq_filter *filter;         /* FILTER, TEMPLATE_ID */
    struct lm_lq_template_id *id; /* TEMPLATE_ID */
    lm_lq_template *tmpl;         /* LINE_FORMAT */
    lm_lq_format *formats;        /* LABEL_FORMAT */
    lm_lq_named *named;           /* DROP, KEEP */
    uint32_t count;               /* of names, formats, named */
} lm_lq_stage;

typedef struct lm_lq_log {
    lm_lq_matcher *matchers;
    uint32_t matcher_count;
    lm_lq_stage *stages;
    uint32_t stage_count;
    bool wants_level; /* the query names detected_level */
} lm_lq_log;

typedef struct lm_lq_grouping {
    lm_str *names;
    uint32_t count;
    bool is_given, is_without;
} lm_lq_grouping;

typedef enum lm_lq_card { LM_LQ_ONE_TO_ONE, LM_LQ_MANY_TO_ONE, LM_LQ_ONE_TO_MANY } lm_lq_card;

typedef enum lm_lq_expr_kind {
    LM_LQ_E_LOG,
    LM_LQ_E_RANGE,
    LM_LQ_E_AGGREGATE,
    LM_LQ_E_BINARY,
    LM_LQ_E_LITERAL,
    LM_LQ_E_VECTOR,
    LM_LQ_E_REPLACE
} lm_lq_expr_kind;

typedef struct lm_lq_expr {
    lm_lq_expr_kind kind;
    lm_lq_tok op;  /* RANGE, AGGREGATE, BINARY */
    lm_lq_log log; /* LOG, RANGE */
    int64_t range_ns, offset_ns;
    bool has_unwrap;
    lm_str unwrap_name;
    lm_lq_tok unwrap_conversion; /* IDENTIFIER: none */
    lm_lq_filter **post_filters;
    uint32_t post_filter_count;
    bool has_param;
    double param; /* quantile, k, LITERAL, VECTOR */
    lm_lq_grouping grouping;
    struct lm_lq_expr *left, *right;
    /* BINARY */
    bool is_bool, has_matching, is_on, has_include;
    lm_lq_card card;
    lm_str *matching;
    uint32_t matching_count;
    lm_str *include;
    uint32_t include_count;
    /* REPLACE */
    lm_str dst, replacement, src, regex_text;
    lm_regex *regex;
    uint32_t index; /* of this node in the query, from 0 */
} lm_lq_expr;

/** `| template_id = N`: the text comes from the store, before the query is run. */
typedef struct lm_lq_template_id {
    struct lm_lq_template_id *next;
    uint64_t id;
    bool is_known;
    lm_lq_pattern pattern;
} lm_lq_template_id;

struct lm_logql {
    lm_lq_template_id *template_ids;
    lm_mem *mem;
    lm_arena arena;
    lm_lq_expr *root;
    uint32_t node_count;
    lm_regex **regexes; /* owned */
    size_t regex_count, regex_cap;
};

/** A regular expression that the query owns. */
LM_USE lm_err lm_lq_own_regex(lm_logql *query, lm_str pattern, unsigned flags, lm_regex **out);

/** A stage as it is printed: "| json". */
LM_USE lm_err lm_lq_print_stage(const lm_lq_stage *stage, lm_buf *out);

/* ---- templates (logql_template.c) ---- */

struct lm_lq_run;
/** LM_E_USAGE with the reason. */
LM_USE lm_err lm_lq_template_parse(lm_logql *query, lm_str text, const char *name,
                                   lm_lq_template **out);
/** Appends to out. *out_failed with a text in run's scratch: the template could not be carried out
 * on this record (TemplateFormatErr); LM_E_NOMEM and the like come back as errors. */
LM_USE lm_err lm_lq_template_run(const lm_lq_template *tmpl, struct lm_lq_run *run, lm_str line,
                                 int64_t time_ns, lm_buf *out, bool *out_failed, lm_str *out_why);
/** Names of the fields it reads, appended by told. */
void lm_lq_template_fields(const lm_lq_template *tmpl, void (*told)(void *ctx, lm_str name),
                           void *ctx);
/** `{{.name}}` and nothing else: the name; else empty. */
lm_str lm_lq_template_simple(const lm_lq_template *tmpl);

/* ---- labels of a record on its way (logql_builder.c) ---- */

typedef enum lm_lq_category { LM_LQ_STREAM, LM_LQ_METADATA, LM_LQ_PARSED } lm_lq_category;

typedef struct lm_lq_item {
    lm_str name, value;
    uint8_t category; /* lm_lq_category, never STREAM */
    bool is_live;     /* false: deleted; a parsed one still counts as extracted */
} lm_lq_item;

typedef struct lm_lq_builder {
    lm_labels base;
    lm_lq_item *items;
    uint32_t count, cap;
    lm_str *deleted;
    uint32_t deleted_count, deleted_cap;
    lm_str error, details;
    uint64_t base_marks, item_marks; /* a bit per name that is there: most names are not */
    bool has_metadata;
    lm_mem *mem;
} lm_lq_builder;

void lm_lq_builder_init(lm_lq_builder *b, lm_mem *mem);
void lm_lq_builder_fini(lm_lq_builder *b);
void lm_lq_builder_reset(lm_lq_builder *b, lm_labels base);
LM_USE lm_err lm_lq_builder_metadata(lm_lq_builder *b, lm_labels metadata, lm_arena *scratch);
bool lm_lq_builder_get(const lm_lq_builder *b, lm_str name, lm_str *out);
bool lm_lq_builder_collides(const lm_lq_builder *b, lm_str name);
bool lm_lq_builder_extracted(const lm_lq_builder *b, lm_str name);
LM_USE lm_err lm_lq_builder_set(lm_lq_builder *b, lm_str name, lm_str value);
/** The same for a name that neither collides nor was extracted. */
LM_USE lm_err lm_lq_builder_add(lm_lq_builder *b, lm_str name, lm_str value);
LM_USE lm_err lm_lq_builder_delete(lm_lq_builder *b, lm_str name);
bool lm_lq_builder_is_plain(const lm_lq_builder *b); /* nothing but the stream's labels */
/** Labels as they stand, sorted, errors included; items in arena, texts borrowed. metadata and
 * parsed (may be NULL) get their parts. */
LM_USE lm_err lm_lq_builder_labels(const lm_lq_builder *b, lm_arena *arena, lm_labels *out,
                                   lm_labels *metadata, lm_labels *parsed);
/** The same with a grouping. */
LM_USE lm_err lm_lq_builder_grouped(const lm_lq_builder *b, const lm_str *names, uint32_t count,
                                    bool is_without, lm_arena *arena, lm_labels *out);
LM_USE lm_err lm_lq_labels_copy(lm_labels labels, lm_arena *arena, lm_labels *out);
uint64_t lm_lq_labels_hash(lm_labels labels);
bool lm_lq_labels_equal(lm_labels a, lm_labels b);
int lm_lq_labels_compare(lm_labels a, lm_labels b);
/** Sorts by name in place. */
void lm_lq_labels_sort(lm_label *items, uint32_t count);

/* ---- one run ---- */

/** What a metric query needs of the labels, told to parsers so that they need not do more. */
typedef struct lm_lq_hints {
    bool no_labels; /* none at all */
    bool preserve_error;
    lm_str *required; /* only these; NULL: all */
    uint32_t required_count;
} lm_lq_hints;

typedef struct lm_lq_run {
    lm_mem *mem;
    lm_arena scratch; /* reset after each record */
    lm_regex_room match;
    lm_lq_builder labels;
    lm_lq_hints hints;
    lm_buf text;                      /* being formatted */
    const lm_labels *view;            /* what templates see instead of labels; NULL: labels */
    struct lm_lq_regex_slot *regexes; /* of templates, compiled while running */
    size_t regex_count, regex_cap;
    volatile const int *cancel;
} lm_lq_run;

void lm_lq_run_init(lm_lq_run *run, lm_mem *mem, volatile const int *cancel);
void lm_lq_run_fini(lm_lq_run *run);
/** A pattern that a template gave; kept for the run. */
LM_USE lm_err lm_lq_run_regex(lm_lq_run *run, lm_str pattern, lm_regex **out);

/** Stages [0, count) over a record; skip tells which need not be looked at (may be NULL). The
 * builder holds the stream's labels and metadata already. */
LM_USE lm_err lm_lq_stages_run(lm_lq_run *run, const lm_lq_stage *stages, uint32_t count,
                               const bool *skip, int64_t time_ns, lm_str *io_line,
                               bool *out_passes);
LM_USE lm_err lm_lq_filter_test(lm_lq_run *run, const lm_lq_filter *filter, bool *out);
LM_USE lm_err lm_lq_matcher_test(const lm_lq_matcher *matcher, lm_str value, lm_regex_room *room,
                                 bool *out);
LM_USE lm_err lm_lq_set_error(lm_lq_run *run, const char *error, lm_str details);
bool lm_lq_hints_wants(const lm_lq_run *run, lm_str name);
bool lm_lq_hints_wants_prefix(const lm_lq_run *run, lm_str prefix);
bool lm_lq_hints_done(const lm_lq_run *run);
/** A key as a label's name, as Loki makes it; empty if nothing is left. */
LM_USE lm_err lm_lq_key_clean(lm_str key, lm_arena *scratch, lm_str *out);
/** A value found by a parser: as name, or name_extracted where the stream has that name; not if it
 * is there already or nobody wants it. */
LM_USE lm_err lm_lq_extracted(lm_lq_run *run, lm_str name, lm_str value);

LM_USE lm_err lm_lq_json_run(lm_lq_run *run, lm_str line);
LM_USE lm_err lm_lq_json_expr_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line);
LM_USE lm_err lm_lq_unpack_run(lm_lq_run *run, lm_str *io_line);
LM_USE lm_err lm_lq_logfmt_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line);
LM_USE lm_err lm_lq_logfmt_expr_run(lm_lq_run *run, const lm_lq_stage *stage, lm_str line);

/* ---- levels (logql_level.c) ---- */

#define LM_LQ_LEVEL LM_STR("detected_level")

/** "info", "warn", ..., "unknown", or what a label of a level's name holds. */
LM_USE lm_err lm_lq_level(lm_labels labels, lm_labels metadata, lm_str line, lm_arena *scratch,
                          lm_str *out);
/** A record enters the pipeline: its labels, its metadata, and its level where it is wanted. */
LM_USE lm_err lm_lq_run_begin(lm_lq_run *run, bool wants_level, const lm_stream *stream,
                              const lm_record *record);

/* ---- JSON that breaks off (logql_json_torn.c) ---- */

typedef enum lm_lq_torn_kind {
    LM_LQ_TORN_STRING, /* between its quotes, escapes as written */
    LM_LQ_TORN_WORD,   /* a number or a truth value */
    LM_LQ_TORN_NULL,
    LM_LQ_TORN_ARRAY,
    LM_LQ_TORN_OBJECT
} lm_lq_torn_kind;

typedef struct lm_lq_torn_value {
    lm_lq_torn_kind kind;
    lm_str text; /* as written, borrowed */
} lm_lq_torn_value;

/** *io_goes_on false: no more is wanted. *io_why not empty: the object ends here for this reason.
 */
typedef lm_err (*lm_lq_torn_fn)(void *ctx, lm_str key, lm_lq_torn_value value, bool *io_goes_on,
                                lm_str *io_why);
/** Members of an object up to where it ends or breaks; *out_why empty: it is whole, or was left. */
LM_USE lm_err lm_lq_torn_each(lm_str text, lm_arena *scratch, lm_lq_torn_fn told, void *ctx,
                              lm_str *out_why);
/** *out_right false: a wrong escape, and out is empty. */
LM_USE lm_err lm_lq_torn_unescape(lm_str text, lm_arena *scratch, lm_str *out, bool *out_right);

typedef struct lm_lq_torn_found {
    bool is_there;
    uint32_t rank; /* 1 for the one that was found first */
    lm_str why;    /* not empty: the value breaks off */
    lm_lq_torn_value value;
} lm_lq_torn_found;

/** Values of a stage's paths, those that stand before the break; found has one for each path. */
LM_USE lm_err lm_lq_torn_search(lm_str text, const struct lm_lq_stage *stage, lm_arena *scratch,
                                lm_lq_torn_found *found);

/** A value of a template's world from JSON text, for fromJson. */
struct lm_lq_value;
LM_USE lm_err lm_lq_value_from_json(lm_str text, lm_arena *arena, struct lm_lq_value *out,
                                    bool *out_bad);

/* ---- what is asked of the store (logql_plan.c) ---- */

typedef struct lm_lq_plan {
    lm_matcher *matchers;
    lm_line_filter *filters;
    uint32_t filter_count;
    bool *skip;     /* stages that the store does */
    bool skip_line; /* nothing that is left reads the line */
    bool is_plain;  /* no stage is left: labels are those of stream and metadata */
} lm_lq_plan;

LM_USE lm_err lm_lq_plan_make(const lm_lq_log *log, const lm_lq_hints *hints, bool wants_line,
                              lm_arena *arena, lm_lq_plan *out);

/** Entries of a log query (logql_entries.c), samples of a metric query (logql_metric.c). */
LM_USE lm_err lm_lq_entries(const lm_logql *query, const lm_store_face *store,
                            const lm_logql_range *range, lm_arena *arena, lm_logql_result *out);
LM_USE lm_err lm_lq_metric(const lm_logql *query, const lm_store_face *store,
                           const lm_logql_range *range, lm_arena *arena, lm_logql_result *out);

/* Series known by their labels; numbers from 0 (logql_series.c). */
typedef struct lm_lq_series_table {
    lm_mem *mem;
    lm_arena arena;
    lm_labels *labels;
    uint64_t *hashes;
    size_t count, cap, hash_cap;
    uint32_t *slots;
    size_t slot_count;
} lm_lq_series_table;

void lm_lq_series_init(lm_lq_series_table *t, lm_mem *mem);
void lm_lq_series_fini(lm_lq_series_table *t);
/** Number of the series of these labels; copied if new. LM_E_LIMIT beyond LOGQL_SERIES_MAX. */
LM_USE lm_err lm_lq_series_of(lm_lq_series_table *t, lm_labels labels, uint32_t *out);

typedef struct lm_lq_sample {
    uint32_t series;
    double value;
} lm_lq_sample;

typedef struct lm_lq_vector {
    lm_lq_sample *items;
    size_t count, cap;
} lm_lq_vector;

LM_USE lm_err lm_lq_vector_add(lm_mem *mem, lm_lq_vector *v, uint32_t series, double value);

/** One range aggregation over the steps of a query (logql_range.c). */
typedef struct lm_lq_steps {
    int64_t start, step; /* step > 0 */
    uint32_t count;
} lm_lq_steps;

typedef struct lm_lq_range_node lm_lq_range_node;
/** grouping_of_sum: that of a sum around it, pushed into it; NULL: none. */
LM_USE lm_err lm_lq_range_new(lm_mem *mem, const lm_lq_expr *expr,
                              const lm_lq_grouping *grouping_of_sum, lm_lq_steps steps,
                              volatile const int *cancel, lm_lq_range_node **out);
void lm_lq_range_free(lm_lq_range_node *node);
LM_USE lm_err lm_lq_range_select(lm_lq_range_node *node, const lm_store_face *store, lm_str tenant,
                                 uint64_t *records, uint64_t *bytes);
/** Values of step number step; steps are asked for in order. */
LM_USE lm_err lm_lq_range_step(lm_lq_range_node *node, uint32_t step, lm_lq_vector *out);
lm_lq_series_table *lm_lq_range_series(lm_lq_range_node *node);

#endif
