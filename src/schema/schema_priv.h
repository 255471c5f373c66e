/**
 * Inside the schema room: format trees, field knowledge, JSON paths, and who fills them.
 *
 *   schema_pattern    pattern text -> tree
 *   schema_match      tree, line -> fields
 *   schema_json       JSON line -> fields
 *   schema_row        logfmt, CSV, TSV, Zeek, W3C line -> fields
 *   schema_value      one value -> its type
 *   schema_stat       values of a field -> what is known of it
 *   schema_named      the formats everyone has
 *   schema_infer      lines -> header tree
 *   schema_learn      lines -> formats, statistics
 *   schema_parse      line, schema -> fields
 *   schema_translate  log_format, PatternLayout, ... -> pattern text
 *   schema_yaml       configuration -> formats
 *   schema_save       schema <-> bytes
 */
#ifndef SCHEMA_PRIV_H
#define SCHEMA_PRIV_H

#include "schema/schema.h"

#define SCHEMA_MAGIC 0x4c4d5343u
#define NO_INDEX     UINT32_MAX

enum {
    SKETCH_SIZE = 64,        /* smallest hashes kept to count distinct values; exact below */
    STAT_VALUES = 12,        /* distinct values kept as text, for enumerations */
    STAT_VALUE_BYTES = 192,  /* a kept value is cut here */
    STAT_LAYOUTS = 4,        /* time layouts remembered for one field */
    FORMAT_COUNT_MAX = 64,   /* formats of one schema */
    NODE_COUNT_MAX = 512,    /* nodes of one tree */
    CHOICE_DEPTH_MAX = 8,    /* nesting of optional parts */
    INNER_MAX = 8,           /* fields of one line that are taken apart again */
    PATH_INDEX_MAX = 16,     /* array elements with a name of their own */
    SAMPLE_LINES_MAX = 1024, /* lines that fit nothing, kept to find formats in */
    SAMPLE_LINE_BYTES = 1 << 20,
    SAMPLE_BYTES = 4 << 20,
    COLUMNS_MAX = 512, /* cells of one CSV row that get a name */
    CONFLICTS_MAX = 64,
};

typedef enum lm_role { LM_ROLE_NONE, LM_ROLE_TIME, LM_ROLE_LEVEL, LM_ROLE_MESSAGE } lm_role;

/* What a field's text may hold beside itself. */
enum { LM_INNER_JSON = 1, LM_INNER_KV = 2, LM_INNER_FORMAT = 4, LM_INNER_CEF = 8 };

/** What was seen of one field's values. */
typedef struct lm_stat {
    uint64_t count;
    uint64_t by_type[LM_TYPE_COUNT];
    uint64_t distinct_floor;      /* from a saved schema */
    uint64_t sketch[SKETCH_SIZE]; /* smallest value hashes, ascending */
    uint32_t sketch_count;
    uint32_t len_max;
    uint32_t value_count;
    lm_str values[STAT_VALUES];     /* first distinct values; the first three are the examples */
    uint16_t layouts[STAT_LAYOUTS]; /* time layouts, longest text first */
    uint16_t layout_lens[STAT_LAYOUTS];
    uint8_t layout_count;
    uint8_t unit;  /* lm_unit of durations and sizes, 0 none or mixed */
    uint8_t epoch; /* times that are numbers: their lm_epoch_at */
    bool mixed_units;
    uint64_t json_seen, kv_seen; /* values that hold JSON, a run of key=value */
    lm_str odd;                  /* a value that is not of the declared type */
} lm_stat;

/** One field of the schema. */
typedef struct lm_info {
    lm_str name;
    lm_str unit; /* known from the format, such as "seconds"; else empty */
    lm_stat *stat;
    uint32_t format;       /* the format it belongs to */
    uint32_t inner_root;   /* JSON or key=value inside: path root; NO_INDEX none */
    uint32_t inner_format; /* text with a header of its own inside; NO_INDEX none */
    uint8_t declared;      /* lm_type by the tree; LM_TYPE_COUNT: nothing said */
    uint8_t type;          /* lm_type as things stand */
    uint8_t role;          /* lm_role */
    uint8_t rank;          /* of several fields with one role the lowest rank wins */
    uint8_t inner;         /* LM_INNER_* */
} lm_info;

typedef enum lm_node_kind {
    LM_NODE_TEXT,   /* these bytes */
    LM_NODE_BLANK,  /* one or more blanks */
    LM_NODE_BLANK0, /* any number of blanks */
    LM_NODE_FIELD,
    LM_NODE_CHOICE, /* alternatives in order; next: behind the choice */
    LM_NODE_ALT     /* opens an alternative; next: the one after it, or behind the choice */
} lm_node_kind;

typedef enum lm_match {
    LM_MATCH_AUTO,
    LM_MATCH_WORD,
    LM_MATCH_UNTIL,
    LM_MATCH_SCORE, /* the same, of a number that is no level */
    LM_MATCH_LAST,
    LM_MATCH_REST,
    LM_MATCH_TIME,
    LM_MATCH_LEVEL,
    LM_MATCH_INT,
    LM_MATCH_NUMBER,
    LM_MATCH_HEX,
    LM_MATCH_IP,
    LM_MATCH_QUOTED,
    LM_MATCH_BRACKET,
    LM_MATCH_NAME,
    LM_MATCH_LETTER,
    LM_MATCH_KV,
    LM_MATCH_MARK,
    LM_MATCH_ONE_OF,
    LM_MATCH_PRI,
    LM_MATCH_POSTGRES,
    LM_MATCH_APACHE_CODE,
    LM_MATCH_CEF,
    LM_MATCH_TIME_ISO,
    LM_MATCH_TIME_BSD,
    LM_MATCH_TIME_CTIME,
    LM_MATCH_TIME_SLASHED,
    LM_MATCH_TIME_MONTHDAY,
    LM_MATCH_EPOCH,
    LM_MATCH_VERSION,
    LM_MATCH_DECIMAL, /* a number with a point */
    LM_MATCH_HOST     /* a word that is no level in capitals */
} lm_match;

typedef struct lm_node {
    uint8_t kind;      /* lm_node_kind */
    uint8_t match;     /* FIELD: lm_match */
    bool stop_any;     /* FIELD: `stops` says which bytes may follow; else `text` does */
    bool stop_wide;    /* FIELD: only where a blank or the end is behind that byte: a::b: */
    uint32_t field;    /* FIELD: index of its lm_info */
    uint32_t next;     /* CHOICE, ALT */
    lm_str text;       /* TEXT: itself; FIELD: the literal text behind it */
    lm_str words;      /* FIELD, ONE_OF: the words, commas between */
    uint64_t stops[4]; /* FIELD: set of bytes that may follow; ALT: that it may begin with */
} lm_node;

typedef enum lm_engine {
    LM_ENGINE_TREE,
    LM_ENGINE_JSON,
    LM_ENGINE_LOGFMT,
    LM_ENGINE_ROW
} lm_engine;

typedef enum lm_origin { LM_ORIGIN_GIVEN, LM_ORIGIN_NAMED, LM_ORIGIN_INFERRED } lm_origin;

typedef struct lm_format {
    lm_str name;
    lm_str pattern; /* the tree as text */
    uint8_t engine; /* lm_engine */
    uint8_t origin; /* lm_origin */
    bool is_inner;  /* of a field's text, never of whole lines */
    uint8_t weight; /* how telling a fit is; the more telling format is tried first */
    uint64_t lines;
    uint64_t first[4]; /* bytes a line of this format may begin with */
    lm_node *nodes;    /* TREE */
    uint32_t node_count;
    uint32_t root;     /* JSON, LOGFMT: path root */
    uint32_t *columns; /* ROW: fields */
    uint32_t column_count;
    uint32_t
        cell_count;    /* ROW: cells of a line; one more than columns if date and time are joined */
    uint32_t joined;   /* ROW: column made of two cells, NO_INDEX none */
    uint8_t delimiter; /* ROW */
    bool is_quoted;    /* ROW: cells may be quoted as in CSV */
    bool has_directives; /* ROW: lines that begin with # are not data */
    lm_str header;       /* ROW: the line that names the columns */
} lm_format;

/** A node of the trie of JSON keys. */
typedef struct lm_path {
    lm_str key;  /* own key; empty for a root or an array element */
    lm_str name; /* dotted path */
    uint32_t parent;
    uint32_t index; /* array element number, NO_INDEX for a key */
    uint32_t field; /* NO_INDEX until a value was seen here */
    uint32_t format;
    uint32_t child;   /* the first child seen: a guess */
    uint32_t sibling; /* what came behind it: a guess */
} lm_path;

/** A type that the user gave for every field of this name. */
typedef struct lm_given {
    lm_str name, unit;
    uint8_t type;
} lm_given;

struct lm_schema {
    uint32_t magic;
    lm_mem *mem;
    lm_arena arena;      /* names, trees, statistics: grow only */
    lm_arena view_arena; /* what lm_schema_format_at shows; remade by learn */
    lm_arena sample_arena;
    lm_info *fields;
    size_t field_count, field_cap;
    lm_format *formats;
    size_t format_count, format_cap;
    uint32_t order[FORMAT_COUNT_MAX]; /* formats of whole lines as they are tried */
    size_t order_count;
    lm_path *paths;
    size_t path_count, path_cap;
    uint32_t *path_slots;   /* open addressing; path index + 1 */
    size_t path_slot_count; /* a power of two */
    lm_str *sample;         /* lines that fitted nothing */
    size_t sample_count, sample_cap, sample_bytes;
    lm_given *given;
    size_t given_count, given_cap;
    uint64_t line_count;
    uint64_t next_search; /* look for formats when this many lines fitted nothing */
    uint64_t misfit_count;
    lm_str *conflicts;
    size_t conflict_count;
    lm_schema_format *views;
    size_t view_count;
    lm_str signature;
};

/** Everything one parse needs. In a learning parse the schema may grow. */
/** The last time that was looked for: the sample's lines are asked of many formats, most of which
 * begin with a time. */
typedef struct lm_time_memo {
    const uint8_t *at, *end; /* NULL: none */
    size_t len;              /* of the time; 0: there is none */
} lm_time_memo;

typedef struct lm_parse {
    const lm_schema *schema;
    lm_time_memo *times; /* NULL: of lines that may change or go */
    lm_schema *learning; /* NULL: only parse */
    lm_fields *fields;
    uint32_t *ids; /* learning: schema field of each item, NO_INDEX none; FIELD_COUNT_MAX long */
    size_t inner[INNER_MAX]; /* items to take apart again */
    uint32_t inner_ids[INNER_MAX];
    uint32_t inner_count;
    uint32_t container; /* item that is being taken apart again, plus 1; 0: the line itself */
    bool
        in_tail; /* in key=value pairs behind a text, which say nothing about what the message is */
    uint8_t ranks[4]; /* by role: rank of the one chosen */
    lm_err err;       /* LM_E_NOMEM */
} lm_parse;

/** What to go back to when an attempt fails. */
typedef struct lm_parse_mark {
    size_t count;
    int timestamp, level, message;
    uint32_t inner_count;
    uint8_t ranks[4];
} lm_parse_mark;

static inline lm_parse_mark lm_parse_mark_take(const lm_parse *parse)
{
    lm_parse_mark mark = {parse->fields->count,   parse->fields->timestamp, parse->fields->level,
                          parse->fields->message, parse->inner_count,       {0}};
    memcpy(mark.ranks, parse->ranks, sizeof mark.ranks);
    return mark;
}

static inline void lm_parse_mark_restore(lm_parse *parse, const lm_parse_mark *mark)
{
    parse->fields->count = mark->count;
    parse->fields->timestamp = mark->timestamp;
    parse->fields->level = mark->level;
    parse->fields->message = mark->message;
    parse->inner_count = mark->inner_count;
    memcpy(parse->ranks, mark->ranks, sizeof mark->ranks);
}

/* How the double quotes of a text are written. */
enum lm_quoting { LM_QUOTE_PLAIN, LM_QUOTE_CSV /* "" */, LM_QUOTE_ESCAPED /* \" */ };

/* ---- schema_value ---- */
typedef struct lm_value {
    lm_type type;
    uint16_t layout; /* TIME */
    uint16_t len;    /* TIME: bytes of it */
    uint8_t unit;    /* DURATION, SIZE: index for lm_unit_name, from 1 */
} lm_value;

lm_value lm_value_of(lm_str text);
bool lm_value_is_null(lm_str text);
const char *lm_unit_name(uint8_t unit);
bool lm_value_fits(lm_type declared,
                   lm_value value); /* is a value of this kind one of the declared type? */
size_t lm_ip_len(const uint8_t *text, size_t len,
                 bool *is_v6); /* bytes of an address the text starts with, 0 none */
/** Epoch by its number of digits: 1 seconds, 2 milli-, 3 micro-, 4 nanoseconds (as lm_epoch_name
 * says); 0: it is none. *out_len: bytes, a fraction of seconds included. */
uint8_t lm_epoch_at(const uint8_t *text, size_t len, size_t *out_len);
const char *lm_epoch_name(uint8_t epoch);
lm_type lm_type_named(lm_str name); /* LM_TYPE_COUNT if there is none */

/* ---- schema_stat ---- */
LM_USE lm_err lm_stat_add(lm_schema *schema, lm_info *info, lm_str value);
uint64_t lm_stat_distinct(const lm_stat *stat);
lm_type lm_stat_type(const lm_info *info);
void lm_stat_layout(lm_stat *stat, uint16_t layout, uint16_t len);
/** Types, conflicts, views and signature anew from the statistics. */
LM_USE lm_err lm_schema_refresh(lm_schema *schema);

/* ---- schema_pattern ---- */
/** Adds a tree format. prefix names the container of an inner format, else empty. LM_E_USAGE with
 * position. */
LM_USE lm_err lm_pattern_add(lm_schema *schema, lm_str name, lm_str pattern, lm_origin origin,
                             lm_str prefix, uint32_t *out_format);

/* ---- schema_match ---- */
bool lm_match_line(lm_parse *parse, const lm_format *format, lm_str line);
/** Length of the severity word that the text starts with, 0 none. Words of three letters or more.
 */
size_t lm_match_level(const uint8_t *text, size_t len);

/* ---- schema_json ---- */
/** Takes text apart as one JSON object. False: it is none, fields are as before. */
bool lm_json_line(lm_parse *parse, uint32_t root, lm_str text);
/** Position of a JSON object that goes to the end of text, SIZE_MAX none. Only looks at how it
 * begins and ends. */
size_t lm_json_find(lm_str text, size_t from);

/* ---- schema_row ---- */
bool lm_logfmt_line(lm_parse *parse, uint32_t root, lm_str text);
/** Takes the run of key=value at the end of text apart; number of pairs. */
size_t lm_kv_tail(lm_parse *parse, uint32_t root, lm_str text);
/** The extension of CEF: key=value where values hold blanks; false: there is none. */
bool lm_cef_pairs(lm_parse *parse, uint32_t root, lm_str text);
/** Does text end in at least one key=value? Number of pairs; *out_begin is where they begin. */
size_t lm_kv_count(lm_str text, size_t *out_begin);
bool lm_row_line(lm_parse *parse, const lm_format *format, lm_str line);
/** Cuts a row into at most max cells; SIZE_MAX if quotes are broken or there are more. */
size_t lm_row_cut(lm_str line, uint8_t delimiter, bool is_quoted, lm_str *cells, size_t max);
/** The same, of a row that may end in an open quote: its cell is what the line has of it. */
size_t lm_row_cut_open(lm_str line, uint8_t delimiter, bool is_quoted, lm_str *cells, size_t max,
                       bool *out_open);

/* ---- schema_parse ---- */
/** Adds a field to the line's fields. */
void lm_parse_emit(lm_parse *parse, uint32_t field, lm_str value);
/** The same for a name the schema does not have. */
void lm_parse_emit_new(lm_parse *parse, lm_str name, lm_str value);
/** The same for a node of the trie; its field is made if it has none and the parse is learning. */
void lm_parse_emit_path(lm_parse *parse, uint32_t path, lm_str value);
/** Adds the whole line as `message`. */
void lm_parse_emit_message(lm_parse *parse, lm_str line);
/** Runs one line through the schema's formats; which fitted, or NO_INDEX. */
uint32_t lm_parse_run(lm_parse *parse, lm_str line);
void lm_parse_begin(lm_parse *parse, const lm_schema *schema, lm_fields *fields);

/* ---- schema_learn and the schema's tables ---- */
LM_USE lm_err lm_schema_copy(lm_schema *schema, lm_str text, lm_str *out);
LM_USE lm_err lm_schema_field_add(lm_schema *schema, lm_str name, uint32_t format,
                                  uint32_t *out_field);

/** Claims of names that only end like one of a time: such a value must be a whole time. */
enum { RANK_ENDING = 66, RANK_ENDING_INNER = 97 };

/** Role of a field by its name, and how good a claim it has (lower is better). */
lm_role lm_role_of(lm_str name, uint8_t *out_rank);
LM_USE lm_err lm_schema_format_add(lm_schema *schema, const lm_format *format,
                                   uint32_t *out_format);
LM_USE lm_err lm_schema_root_add(lm_schema *schema, lm_str prefix, uint32_t format,
                                 uint32_t *out_path);
/** Child of a path by key or (key empty) by index; NO_INDEX if it is not there and add is NULL or
 * full. */
uint32_t lm_schema_path(const lm_schema *schema, uint32_t parent, lm_str key, uint32_t index,
                        lm_schema *add, lm_err *err);
void lm_schema_order(lm_schema *schema);
LM_USE lm_err lm_row_add(lm_schema *schema, lm_str name, lm_str header, uint8_t delimiter,
                         bool is_quoted, bool has_directives, const lm_str *names, size_t count,
                         uint32_t *out_format);
/** Takes the types from Zeek's "#types" line, if it is among lines. */
void lm_row_zeek_types(lm_schema *schema, uint32_t format, const lm_str *lines, size_t count);
LM_USE lm_err lm_engine_add(lm_schema *schema, lm_engine engine, uint32_t *out_format);

/* ---- schema_named ---- */
typedef struct lm_named {
    const char *name;
    const char *pattern;
    uint8_t weight; /* 9: one line is proof; 5: a few lines; 1: only if nothing else fits */
} lm_named;

size_t lm_named_count(void);
const lm_named *lm_named_at(size_t index);
const lm_named *lm_named_find(lm_str name);

/* ---- schema_infer ---- */
/** Finds the header that most of these lines share, as pattern text in arena. Empty if they share
 * none. */
LM_USE lm_err lm_infer_header(lm_arena *arena, const lm_str *lines, size_t count, bool is_inner,
                              lm_str *out_pattern);

/* ---- schema_translate ---- */
typedef enum lm_dialect {
    LM_DIALECT_PATTERN,
    LM_DIALECT_NGINX,
    LM_DIALECT_APACHE,
    LM_DIALECT_LOG4J,
    LM_DIALECT_PYTHON,
    LM_DIALECT_POSTGRES
} lm_dialect;

/** Pattern text for a format written in another program's notation. LM_E_USAGE with offset. */
LM_USE lm_err lm_translate(lm_dialect dialect, lm_str text, lm_buf *out);

static inline bool lm_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

enum { LM_ESCAPE = 0x1b };

/** Length of the colour that begins at p: ESC [ digits ; m. 0: none does. */
static inline size_t lm_color_len(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 3 || p[0] != LM_ESCAPE || p[1] != '[') return 0;
    const uint8_t *q = p + 2;
    while (q < end && ((uint8_t)(*q - '0') < 10 || *q == ';'))
        q++;
    return q < end && *q == 'm' ? (size_t)(q + 1 - p) : 0;
}

/** Behind the blanks at p, and behind the colours among them: a terminal shows neither. */
static inline const uint8_t *lm_skip_blanks(const uint8_t *p, const uint8_t *end)
{
    size_t n;
    while (p < end) {
        if (lm_is_blank(*p))
            p++;
        else if (*p == LM_ESCAPE && (n = lm_color_len(p, end)) != 0)
            p += n;
        else
            break;
    }
    return p;
}

static inline bool lm_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool lm_is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool lm_is_hex(uint8_t c)
{
    return lm_is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 6;
}

static inline bool lm_set_has(const uint64_t set[4], uint8_t c)
{
    return (set[c >> 6] >> (c & 63)) & 1;
}

static inline void lm_set_add(uint64_t set[4], uint8_t c)
{
    set[c >> 6] |= (uint64_t)1 << (c & 63);
}

static inline lm_str lm_str_cut(lm_str s, size_t begin, size_t end)
{
    return (lm_str){s.ptr + begin, end - begin};
}

#endif
