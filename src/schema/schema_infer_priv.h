/** Inside header inference: columns being built. schema_infer.c finds them, schema_infer_name.c
 * names and writes them. */
#ifndef SCHEMA_INFER_PRIV_H
#define SCHEMA_INFER_PRIV_H

#include "schema/schema_priv.h"

enum { COLUMN_MAX = 24 };

typedef enum item_kind {
    ITEM_END,
    ITEM_TIME,
    ITEM_LEVEL,
    ITEM_INT,
    ITEM_NUMBER,
    ITEM_IP,
    ITEM_ID,
    ITEM_NAME,
    ITEM_APP,
    ITEM_BRACKET,
    ITEM_BRACE,         /* {text} */
    ITEM_WRAPPED_LEVEL, /* <Error>, *ERROR*, <E> */
    ITEM_APP_LEVEL,     /* production.ERROR, daemon.err */
    ITEM_DASH,
    ITEM_PIPE,
    ITEM_COLON,
    ITEM_COMMA,
    ITEM_EPOCH,
    ITEM_PAIR, /* key=value */
    ITEM_WORD /* several of these */,
    ITEM_OTHER,
    ITEM_KINDS
} item_kind;

/** What stands at one place of one line. */
typedef struct item {
    item_kind kind;
    lm_str text;
    uint32_t blanks; /* before it */
    uint16_t layout; /* TIME */
    bool dotted;     /* NAME: words with dots between */
    bool tab;        /* a tab before it */
} item;

/** What stands inside brackets. */
typedef enum content {
    CONTENT_TEXT,
    CONTENT_TIME,
    CONTENT_EPOCH,
    CONTENT_WORD_TIME,
    CONTENT_LEVEL,
    CONTENT_INT,
    CONTENT_INT_TEXT,
    CONTENT_TIME_INT,        /* time #12 */
    CONTENT_TIME_LEVEL,      /* time: WARN */
    CONTENT_TIME_LEVEL_TEXT, /* time: WARN/text */
    CONTENT_TEXT_LEVEL,      /* text/WARN */
    CONTENT_TIME_ZONE,       /* time UTC, where the layout has no zone */
    CONTENT_LEVEL_TIME,      /* WARN time, W time */
    CONTENT_LEVEL_TIME_TEXT, /* W time text */
    CONTENT_LETTER,          /* W */
    CONTENT_PLACE,
    CONTENT_KEY,
    CONTENT_KEY_EMPTY
} content;

/** One column: the same kind of item in (nearly) all lines. */
typedef struct column {
    item_kind kind;
    uint32_t count; /* lines that have it */
    uint32_t dotted, blank_after, glued_after, tab_after, wide_after;
    uint32_t blanks_min, blanks_max; /* before it */
    size_t offset_min, offset_max;   /* of it in the lines */
    bool is_anchor;
    bool inner_time, inner_level;
    bool padded_inside; /* brackets: blanks around the content */
    bool is_constant;   /* NAME: the same text in all lines */
    bool is_letter;     /* NAME: one letter that stands for a level; so in LEVEL_TIME brackets */
    bool is_marked;     /* that letter and '!'; TIME: some have a sign before them */
    bool has_thread;    /* APP: name[process:thread] */
    uint8_t separator;  /* brackets: the byte before the last part */
    bool is_key;        /* `key: value`: this is the key */
    uint8_t content;    /* brackets */
    uint8_t time_rank;  /* how good a record's time this is */
    lm_str key;         /* brackets with `key ` in front: that text, separator included */
    lm_str literal;     /* DASH, PIPE, COLON, COMMA: the byte; WRAPPED_LEVEL: all of the first */
    const char *name;   /* of the field */
} column;

typedef struct infer {
    const lm_str *lines;
    lm_arena *arena;
    uint32_t *active; /* lines that fit so far */
    size_t *at;       /* where each goes on */
    item *items;      /* of the column at hand */
    size_t count;
    uint32_t *kept; /* active and at as of the last anchor */
    size_t *kept_at;
    size_t kept_count;
    column columns[COLUMN_MAX];
    size_t column_count;
    uint32_t gap_min, gap_max; /* blanks between header and message */
    bool strict;               /* a header in a field: it must open with a time or a level */
    bool has_time, has_level, terminated, has_logger_tail;
} infer;

/** Bytes of the key of a `key=value`; 0: it is none. */
size_t lm_infer_key_len(lm_str run);
void lm_infer_describe(infer *f, column *c);
LM_USE lm_err lm_infer_write(infer *f, lm_str *out_pattern);

#endif
