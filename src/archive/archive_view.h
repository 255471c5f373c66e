/** Inside the archive room: what an opened archive and an opened segment hold. */
#ifndef ARCHIVE_VIEW_H
#define ARCHIVE_VIEW_H

#include "archive/archive_priv.h"

struct lm_archive {
    uint32_t magic;
    lm_mem *mem;
    char *path;
    lm_map map;
    lm_arena arena;
    lm_archive_meta meta;
    lm_schema **schemas; /* one a stream */
    uint8_t *meta_bytes; /* what meta's strings point into */
    size_t meta_len;
    bool has_texts, has_counts;
    uint64_t file_bytes; /* of the file; the map is longer when a segment's end is lost */
    const char *lost;    /* salvaged: what is missing, for people; else NULL */
};

struct lm_values {
    uint32_t count;
    uint32_t uniform;
    const uint32_t *classes; /* NULL: all uniform */
    const int64_t *numbers;  /* NULL for text with an index only, or unique text */
    const uint32_t *index;   /* uniform text: place in texts of each value */
    const lm_str *texts;
    uint32_t text_count;
    const uint8_t *wide; /* uniform wide class: bytes of all values */
};

/** Prints times of one layout. Times of one second differ in their fraction only: the text is kept
 * and patched. */
typedef struct lm_time_printer {
    uint16_t layout;
    bool can_patch;
    uint8_t digits, fraction_back; /* of the fraction; its place from the end of the text */
    size_t len;
    int64_t per_second; /* ticks */
    int64_t begin;      /* the text is of a time in begin + 0 .. span - 1; span 0: nothing kept */
    uint64_t span;
    uint8_t text[LM_VALUE_TEXT_MAX];
} lm_time_printer;

void lm_time_printer_init(lm_time_printer *printer, uint16_t layout);
/** at has LM_VALUE_TEXT_MAX bytes; returns the end of the text. */
uint8_t *lm_time_printer_put(lm_time_printer *printer, int64_t ticks, uint8_t *at);

/** A shape as the renderer runs it: constant text and then a value, again and again; the last one
 * has no value. */
typedef enum lm_render_kind {
    LM_PUT_END,
    LM_PUT_INDEX,  /* text of a dictionary */
    LM_PUT_UNIQUE, /* the next text */
    LM_PUT_INT,
    LM_PUT_PADDED,  /* width digits */
    LM_PUT_DECIMAL, /* width digits behind the point */
    LM_PUT_TRIMMED, /* a decimal without zeros at its end */
    LM_PUT_IP4,
    LM_PUT_BYTES, /* width bytes as hex digits */
    LM_PUT_HEX,   /* width hex digits */
    LM_PUT_TIME,
    LM_PUT_NUMBER, /* of another class */
    LM_PUT_MIXED   /* values of several classes */
} lm_render_kind;

typedef struct lm_render_op {
    const uint8_t *text; /* LM_TEXT_SLACK bytes can be read behind it */
    uint32_t len;        /* of the text */
    uint8_t kind;        /* LM_PUT_* */
    uint8_t width;       /* PADDED, DECIMAL, TRIMMED, BYTES, HEX */
    uint16_t vclass;     /* NUMBER */
    uint32_t *cursor;    /* which value is next */
    const void *from;    /* numbers, index, texts or bytes: what the kind reads; MIXED: values */

    union {
        const lm_str *texts;   /* INDEX */
        lm_time_printer *time; /* TIME */
        uint64_t unit;         /* DECIMAL, TRIMMED: 10^width; HEX: letters */
    };
} lm_render_op;

/** The cursors that a row of a shape moves: those of its variables that are not constant. */
typedef struct lm_row_step {
    uint32_t first, count; /* in step_roles */
} lm_row_step;

typedef struct lm_role_view {
    lm_role_format format;
    lm_stored_stamp stored;
    lm_values *values;             /* NULL until decoded */
    lm_err failed;                 /* decoding was tried and failed */
    uint32_t count;                /* values; known after rows are loaded */
    size_t text_max;               /* longest text of a value; 0 not yet known */
    lm_time_printer *time_printer; /* NULL until needed */
    lm_str *texts;                 /* its dictionary; NULL until decoded */
    uint32_t text_count;
    uint32_t pool_first; /* pool role: first line of the pool; known after rows are loaded */
    /* values of which only some parts are decoded; parts NULL: none are, or all */
    lm_column_parts *parts;
    uint64_t *parts_ready; /* bit a part */
    void *parts_dst;       /* numbers or index, as long as the column */
    bool parts_are_ids;
} lm_role_view;

struct lm_segment {
    uint32_t magic;
    lm_mem *mem;
    const lm_archive *archive;
    size_t index;
    uint64_t offset;
    lm_arena arena;
    lm_segment_head head;
    lm_str templates_bytes, directory_bytes, blocks_bytes;
    /* raw segments */
    const uint8_t *raw_text; /* NULL until decoded */
    size_t *raw_ends;        /* behind each row's '\n' */
    uint64_t *raw_lost;      /* bit a row: in a damaged block; NULL: none is */
    uint64_t raw_damage;     /* offset of the first damaged block */
    /* segments of columns */
    lm_columns *columns;
    lm_str skeletons; /* each ended by '\n'; ptr NULL: not yet read */
    lm_shapes shapes; /* roles of variables; skeletons stay in the arena */
    lm_shape *views;
    lm_role_view *roles;
    size_t role_count;
    lm_column pool; /* decoded when needed */
    bool has_pool;
    lm_str *pool_lines;
    uint32_t pool_line_count;
    lm_str filters;
    bool has_filters;
    lm_str marks;
    const uint32_t *shape_of_row;
    int64_t *times;
    uint64_t *continuations;
    bool has_continuations;
    bool *shape_continues;
    size_t exceptions_at; /* in marks */
    /* rendering goes forward: one cursor a role */
    uint32_t *cursors;
    uint32_t next_row;
    lm_render_op **programs; /* by shape, those that are ready */
    uint8_t *
        shape_states; /* 0 not yet looked at, 1 its columns are decoded, 2 one of them is damaged */
    size_t *shape_bounds; /* upper bound of a row's text */
    lm_row_step *steps;   /* by shape: cursors that a row moves */
    uint32_t *step_roles;
    uint32_t parts_count; /* roles that have parts */
};

#define LM_ARCHIVE_OBJECT 0x61726368u
#define LM_SEGMENT_OBJECT 0x7365676Du

/** Like lm_segment_text, but rows that need damaged columns are left out and counted (lost not
 * NULL), and out_ends has SIZE_MAX for them. */
LM_USE lm_err lm_segment_render(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                                size_t *out_ends, uint32_t *lost);
/** The same for chosen rows, ascending, or rows [begin, begin + count) if rows is NULL. */
LM_USE lm_err lm_segment_render_rows(lm_segment *segment, const uint32_t *rows, uint32_t begin,
                                     size_t count, lm_buf *out, size_t *out_ends, uint32_t *lost);
/** Text of all rows of a raw segment, decoded once; rows of damaged blocks are marked. */
LM_USE lm_err lm_segment_raw_load(lm_segment *segment);
/** Time of every row, by parsing it: the text tells what columns would. */
LM_USE lm_err lm_segment_raw_times(lm_segment *segment, int64_t *times);
/** LM_E_CORRUPT if a block is damaged. */
LM_USE lm_err lm_segment_raw_check(lm_segment *segment);
/** As lm_segment_render. */
LM_USE lm_err lm_segment_raw_render(lm_segment *segment, uint32_t begin, uint32_t end, lm_buf *out,
                                    size_t *out_ends, uint32_t *lost);
/** As lm_segment_values, but of a long column nothing may be decoded yet: what is wanted of it must
 * be asked for with lm_role_part. */
LM_USE lm_err lm_segment_values_lazy(lm_segment *segment, size_t column, const lm_values **out);
/** Decodes the part that value i lies in. */
LM_USE lm_err lm_role_part(lm_segment *segment, lm_role_view *role, uint32_t i);
/** Pool as lines, decoded once. */
LM_USE lm_err lm_segment_pool_load(lm_segment *segment);

#endif
