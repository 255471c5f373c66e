/** What the files of search share: the tree of a parsed query, literals, compiled patterns, values,
 * the shape machine. */
#ifndef SEARCH_PRIV_H
#define SEARCH_PRIV_H

#include "search/search.h"

/* ---- literals (search_literal.c) ------------------------------------------------------------- */

/** Bytes to be found in a line. nocase: text is lower case and A-Z of the line count as a-z. */
typedef struct lm_literal {
    lm_str text;
    bool nocase;
} lm_literal;

/** At least one of these is in every line that matches. */
typedef struct lm_clause {
    const lm_literal *any;
    uint32_t count;
} lm_clause;

/** What a pattern demands: all clauses hold. exact: and a line for which they hold matches. */
typedef struct lm_demand {
    const lm_clause *clauses;
    uint32_t count;
    bool exact;
} lm_demand;

/** A literal made ready for being looked for (search_find.c). */
typedef struct lm_finder {
    lm_literal literal;
    uint8_t first, second; /* where its rarest bytes are; equal if there is one only */
    uint8_t bytes[4];      /* the first one in both cases, the second one in both */
    bool is_wide, is_plain;
} lm_finder;

lm_finder lm_finder_make(lm_literal literal);
size_t lm_finder_find(const lm_finder *finder, lm_str text); /* position or SIZE_MAX */
size_t lm_literal_find(lm_str text, lm_literal literal);     /* the same, made for one use */
/** Reads a valid PCRE2 pattern; what it does not understand adds nothing. LM_E_NOMEM. O(len). */
LM_USE lm_err lm_demand_make(lm_arena *arena, lm_str pattern, lm_demand *out);

/* ---- values (search_value.c) ----------------------------------------------------------------- */

/** An exact decimal: (negative ? -1 : 1) * mantissa * 10^exponent. */
typedef struct lm_number {
    unsigned __int128 mantissa;
    int32_t exponent;
    bool negative;
} lm_number;

bool lm_number_parse(lm_str text, lm_number *out); /* whole text: 12, -0.5, 1e3 */
bool lm_duration_parse(lm_str text,
                       lm_number *out_ns);             /* 10ms, 1h2m3.5s, "0.02 ms"; needs a unit */
bool lm_size_parse(lm_str text, lm_number *out_bytes); /* 1MB, 4KiB, 3k; needs a unit */
int lm_number_compare(const lm_number *a, const lm_number *b);
/** Unit of bare numbers in a field of this name: latency_ms is in milliseconds; seconds if the name
 * tells nothing. */
lm_number lm_duration_unit_of_name(lm_str name);
LM_USE bool lm_number_scale(lm_number *number, const lm_number *unit); /* false: out of range */

/** Addresses low..high, both inclusive, IPv4 as ::ffff:a.b.c.d. */
typedef struct lm_ip_range {
    uint8_t low[16], high[16];
} lm_ip_range;

bool lm_ip_parse(lm_str text, uint8_t out[16]);        /* the whole text is one address */
bool lm_ip_range_parse(lm_str text, lm_ip_range *out); /* address, CIDR, or low-high */
bool lm_ip_in(const lm_ip_range *range, const uint8_t ip[16]);
bool lm_ip_find(lm_str line,
                const lm_ip_range *range); /* does any address in the line fall in range? */

/* ---- the tree (search_query.c) --------------------------------------------------------------- */

typedef enum lm_node_kind {
    LM_NODE_ALL,   /* every line */
    LM_NODE_AND,   /* children */
    LM_NODE_OR,    /* children */
    LM_NODE_NOT,   /* one child */
    LM_NODE_TEXT,  /* line contains literal */
    LM_NODE_REGEX, /* line matches regex */
    LM_NODE_IP,    /* line contains an address in ip */
    LM_NODE_FIELD, /* field `name` compares with the value */
    LM_NODE_FILE   /* name of the file does */
} lm_node_kind;

typedef enum lm_compare {
    LM_COMPARE_EQUAL,
    LM_COMPARE_LESS,
    LM_COMPARE_LESS_EQUAL,
    LM_COMPARE_MORE,
    LM_COMPARE_MORE_EQUAL
} lm_compare;

typedef enum lm_value_kind {
    LM_VALUE_TEXT,
    LM_VALUE_REGEX,
    LM_VALUE_NUMBER,
    LM_VALUE_DURATION, /* number is ns */
    LM_VALUE_SIZE,     /* number is bytes */
    LM_VALUE_SEVERITY,
    LM_VALUE_TIME, /* time_ns */
    LM_VALUE_IP
} lm_value_kind;

typedef struct lm_node {
    lm_node_kind kind;
    lm_compare compare;           /* FIELD, FILE */
    lm_value_kind value_kind;     /* FIELD, FILE */
    lm_severity severity;         /* value */
    uint32_t leaf;                /* number of this leaf in the query; not for AND, OR, NOT, ALL */
    struct lm_node *first, *next; /* children; next brother */
    lm_literal text;              /* TEXT; value of FIELD and FILE */
    lm_finder finder;             /* TEXT */
    bool is_nowhere;  /* TEXT: it holds a newline, so no line has it; text of several lines may */
    lm_str name;      /* FIELD */
    lm_regex *regex;  /* REGEX, and FIELD with LM_VALUE_REGEX; owned by the query's list */
    lm_demand demand; /* what regex demands of the line */
    lm_number number; /* value */
    lm_number bare_unit; /* unit of a field's number without one, for LM_VALUE_DURATION */
    int64_t time_ns;     /* value */
    lm_ip_range ip;      /* IP; value */
} lm_node;

typedef struct lm_query_regex {
    lm_regex *regex;
    struct lm_query_regex *next;
} lm_query_regex;

struct lm_query {
    lm_mem *mem;
    lm_arena arena; /* nodes, names, literals */
    lm_node *root;
    lm_query_regex *regexes; /* all compiled patterns, to free them */
    uint32_t leaf_count;
    bool needs_fields, needs_file;
    bool needs_levels; /* of records: their second line may tell it */
    int64_t now_ns;    /* when it was parsed: what "2h" ago and years of year-less times refer to */
};

/** What a query is asked about. */
typedef struct lm_subject {
    lm_str file, line;
    const lm_fields *fields;
} lm_subject;

LM_USE lm_err lm_node_match(const lm_query *query, const lm_node *node, const lm_subject *subject,
                            lm_regex_room *room, bool *out);
/** Does this value of a FIELD node's field fit? present false: the record has no such field (value
 * is empty). */
LM_USE lm_err lm_field_match(const lm_query *query, const lm_node *node, bool present, lm_str value,
                             lm_regex_room *room, bool *out);

/* ---- literals and shapes (search_shape.c) ---------------------------------------------------- */

typedef enum lm_verdict { LM_NEVER, LM_MAYBE, LM_ALWAYS } lm_verdict;

/** What is known of value columns without opening them. */
typedef struct lm_column_view {
    size_t count;
    lm_value_stamp (*stamp)(void *ctx, size_t column);
    bool (*may_contain)(void *ctx, size_t column, lm_str needle);
    bool (*may)(void *ctx, size_t column, lm_str part,
                unsigned where); /* LM_AT_*; may be NULL, as the next two */
    bool (*is_time)(void *ctx, size_t column, uint16_t *out_layout);
    bool (*pool)(void *ctx, size_t column,
                 lm_str *out); /* is the column's text somewhere in these lines? */
    void *ctx;
} lm_column_view;

typedef enum lm_cond_kind {
    LM_COND_CONTAINS,
    LM_COND_PREFIX,
    LM_COND_SUFFIX,
    LM_COND_EQUAL
} lm_cond_kind;

/** A demand on one variable: its text contains, begins with, ends with or is part [begin, end) of
 * the literal. */
typedef struct lm_cond {
    uint32_t piece; /* of the shape */
    uint8_t kind, begin, end;
} lm_cond;

#define LM_WAY_CONDS_MAX 8
#define LM_WAYS_MAX      48

/** One way in which a literal can lie over a shape's pieces: all conditions hold. */
typedef struct lm_way {
    lm_cond conds[LM_WAY_CONDS_MAX];
    uint32_t count;
} lm_way;

/** A scan takes a literal of so many bytes; of a longer one a window. */
#define LM_SCAN_TEXT_MAX 63

/** A literal against the shapes of one segment. */
typedef struct lm_scan {
    lm_literal literal; /* at most 63 bytes: for a longer one a window of it */
    lm_finder finder;
    bool is_window; /* then fitting is necessary, not sufficient */
    lm_column_view view;
    struct lm_scan_column *columns; /* by column; filled when first asked for */
    struct lm_cond_cache **conds;   /* by column: conditions tried so far (search_column.c) */
    uint8_t *tight; /* by shape: its verdict after a look into dictionaries; NULL: not yet looked */
    uint8_t *verdicts; /* by shape: what lm_scan_shape said, 0xff: not asked yet; NULL: nothing is
                          kept */
    const uint64_t *suspects; /* bit a shape: others cannot have it; NULL: not known */
    struct lm_kept_ways
        *ways; /* by shape, of those that tight says may: ways that dictionaries left */
    struct lm_scan_column *pooled;   /* all pooled columns are one; NULL until asked for */
    struct lm_time_mask *time_masks; /* by layout, those met so far */
    uint64_t where[256];             /* bit i: byte i of the literal is this byte */
    lm_arena *arena;
} lm_scan;

/** LM_E_NOMEM. literal and view must outlive the scan. */
LM_USE lm_err lm_scan_init(lm_scan *scan, lm_arena *arena, lm_literal literal,
                           const lm_column_view *view);
/** Does the literal occur in lines of this shape? ALWAYS is never said of a window. O(pieces). */
lm_verdict lm_scan_shape(lm_scan *scan, const lm_shape *shape);
/** May a time of this layout meet the condition? false is certain. */
bool lm_scan_time_may(lm_scan *scan, uint16_t layout, const lm_cond *cond);
/** All ways in which it may lie over the shape, for a shape that is MAYBE. False: too many to tell.
 */
bool lm_scan_ways(lm_scan *scan, const lm_shape *shape, lm_way ways[LM_WAYS_MAX],
                  uint32_t *out_count);
/** In lines of which shapes may the literal lie otherwise than within one variable? skeletons as
 * lm_segment_skeletons gives them; a variable is taken for any column's. *out: bit a shape, a bit
 * not set is certain; NULL: any may. *out_any: is one set? LM_E_NOMEM. */
LM_USE lm_err lm_scan_across(lm_scan *scan, lm_str skeletons, const uint64_t **out, bool *out_any);
/** May a value of the column hold the whole literal? false is certain. */
bool lm_scan_within(lm_scan *scan, size_t column);
uint8_t lm_chars_of_byte(uint8_t c); /* LM_CHARS_* */

#endif
