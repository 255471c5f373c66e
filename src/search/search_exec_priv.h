/** One segment being searched: sets of rows, the tree evaluated over them, rows rendered and
 * checked. */
#ifndef SEARCH_EXEC_PRIV_H
#define SEARCH_EXEC_PRIV_H

#include "search/search_priv.h"

/* ---- sets of rows ---------------------------------------------------------------------------- */

/* An array of words: bit r % 64 of word r / 64 is row r. */

static inline bool lm_row_has(const uint64_t *set, uint32_t row)
{
    return set[row / 64] >> row % 64 & 1;
}

static inline void lm_row_put(uint64_t *set, uint32_t row)
{
    set[row / 64] |= 1ull << row % 64;
}

/* ---- the segment under way ------------------------------------------------------------------- */

/** What a leaf knows of the segment's shapes. */
typedef struct lm_leaf {
    const lm_node *node;
    lm_scan
        *scans; /* TEXT: one; REGEX and FIELD: one for each literal of each clause of the demand */
    uint32_t scan_count;
} lm_leaf;

typedef struct lm_exec {
    const lm_query *query;
    const lm_search_options *options;
    const lm_archive *archive;
    const lm_schema *schema;
    size_t index; /* of the segment */
    lm_segment *segment;
    lm_mem *mem;
    lm_arena arena; /* everything of this segment */
    lm_regex_room room;
    const lm_shape *shapes;
    size_t shape_count, column_count;
    uint32_t row_count;
    size_t word_count;            /* of a set of rows */
    uint8_t *verdicts;            /* by shape: what the whole query says; NULL for raw segments */
    bool is_hopeless;             /* no line fits, and shapes were not looked at for it */
    const uint32_t *shape_of_row; /* NULL for raw segments */
    const uint64_t *continues;    /* NULL: no row continues a record */
    lm_leaf *leaves;
    uint64_t **free_sets; /* sets given back */
    size_t free_count, free_cap;
    struct lm_field_plan *plans; /* by field name: where it is in each shape (search_fields.c) */
    uint32_t *value_at;          /* scratch: by column, values used so far */
    bool needs_levels;           /* of records, for the query or for groups */
    uint64_t rows_checked, columns_decoded, rows_lost;
    char lost_why[240];   /* why, for the first of them */
    uint8_t *lost_shapes; /* by shape: its rows cannot be read; NULL: none */
} lm_exec;

/** Opens the segment and judges shapes. */
LM_USE lm_err lm_exec_init(lm_exec *exec, const lm_query *query, const lm_search_options *options,
                           const lm_archive *archive, size_t index);
void lm_exec_fini(lm_exec *exec);
/** Does no shape fit? Then nothing of the segment needs to be read. */
bool lm_exec_is_hopeless(const lm_exec *exec);
/** Splits the rows of care: yes fits, maybe must be looked at, the rest does not fit. All sets are
 * the caller's. */
LM_USE lm_err lm_exec_eval(lm_exec *exec, const lm_node *node, const uint64_t *care, uint64_t *yes,
                           uint64_t *maybe);
/** Rows of care in which one of a leaf's scans occurs; maybe as above. */
LM_USE lm_err lm_exec_scan(lm_exec *exec, lm_scan *scan, const uint64_t *care, uint64_t *yes,
                           uint64_t *maybe);
/** Rows of care for which the demand of a leaf holds or may hold. */
LM_USE lm_err lm_exec_demand(lm_exec *exec, const lm_leaf *leaf, const lm_demand *demand,
                             const uint64_t *care, uint64_t *out);
/** The leaf of a comparison with a field (search_fields.c). */
LM_USE lm_err lm_exec_field(lm_exec *exec, const lm_leaf *leaf, const uint64_t *care, uint64_t *yes,
                            uint64_t *maybe);
/** Empty set from the pool; NULL when out of memory. */
LM_USE uint64_t *lm_exec_set(lm_exec *exec);
void lm_exec_set_free(lm_exec *exec, uint64_t *set); /* NULL is fine */
/** First row of the record that row belongs to. */
uint32_t lm_exec_head(const lm_exec *exec, uint32_t row);

/** Has the record that begins at head a second line? */
static inline bool lm_exec_goes_on(const lm_exec *exec, uint32_t head)
{
    return exec->continues && head + 1 < exec->row_count && lm_row_has(exec->continues, head + 1);
}

LM_USE lm_err lm_exec_cancelled(const lm_exec *exec);

/* ---- conditions on columns (search_column.c) ------------------------------------------------- */

typedef enum lm_cond_state {
    LM_COND_NONE,
    LM_COND_ALL,
    LM_COND_SOME,
    LM_COND_UNKNOWN /* damaged column */
} lm_cond_state;

typedef struct lm_cond_bits {
    lm_cond_state state;
    uint32_t count;
    const uint64_t *bits; /* SOME: by value of the column */
} lm_cond_bits;

typedef struct lm_cond_cache lm_cond_cache;
/** Which values of the column meet the condition? Kept for later calls with the same scan. */
LM_USE lm_err lm_cond_eval(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond,
                           lm_cond_bits *out);
/** Can any? Looks into dictionaries only. */
LM_USE lm_err lm_cond_try(lm_exec *exec, lm_scan *scan, size_t column, const lm_cond *cond,
                          bool *out_possible);

/** Ways of a shape; count UINT32_MAX: too many to tell. */
typedef struct lm_kept_ways {
    const lm_way *ways;
    uint32_t count;
} lm_kept_ways;

/** Is the literal in no line of the segment? By columns and the texts of shapes, before those are
 * taken apart. false: it may be. */
LM_USE lm_err lm_exec_scan_nowhere(lm_exec *exec, lm_scan *scan, bool *out);
/** lm_scan_shape, asked once. */
lm_verdict lm_exec_scan_shape(lm_exec *exec, lm_scan *scan, size_t shape);
/** Fills scan->tight and scan->ways. */
LM_USE lm_err lm_exec_tighten(lm_exec *exec, lm_scan *scan);
/** After tightening: looks into columns, until a shape is found whose rows may have the literal. If
 * there is none scan->tight says so, and shape ids need not be decoded. */
LM_USE lm_err lm_exec_sharpen(lm_exec *exec, lm_scan *scan);

/* ---- row plans (search_plan.c) --------------------------------------------------------------- */

enum { LM_ACT_NEVER, LM_ACT_ALWAYS, LM_ACT_MAYBE, LM_ACT_WAYS };

typedef struct lm_row_term {
    uint32_t slot;       /* which used column */
    uint32_t occurrence; /* how many values of it the row takes before this variable */
    lm_cond_bits bits;
} lm_row_term;

typedef struct lm_row_way {
    uint32_t first, count; /* terms */
} lm_row_way;

typedef struct lm_row_use {
    uint32_t slot, count; /* values of the column that a row of the shape takes */
} lm_row_use;

typedef struct lm_row_plan {
    uint8_t *acts; /* by shape: LM_ACT_* */
    uint32_t
        *first_way; /* by shape, and one behind the last: set before a shape's ways are added */
    uint32_t *first_use; /* the same */
    lm_row_way *ways;
    lm_row_term *terms;
    lm_row_use *uses;
    size_t way_count, way_cap, term_count, term_cap, use_count, use_cap;
    uint32_t *slot_of_column; /* UINT32_MAX: not used */
    uint32_t slot_count;
    bool is_window; /* what ways find is maybe */
} lm_row_plan;

LM_USE lm_err lm_row_plan_init(lm_exec *exec, lm_row_plan *plan);
void lm_row_plan_fini(lm_exec *exec, lm_row_plan *plan);
/** Adds a term for the variable at piece; then the terms since first_term become a way of the
 * shape. */
LM_USE lm_err lm_row_plan_term(lm_exec *exec, lm_row_plan *plan, const lm_shape *shape,
                               uint32_t piece, const lm_cond_bits *bits);
LM_USE lm_err lm_row_plan_way(lm_exec *exec, lm_row_plan *plan, size_t first_term);
LM_USE lm_err lm_row_plan_run(lm_exec *exec, lm_row_plan *plan, const uint64_t *care, uint64_t *yes,
                              uint64_t *maybe);

/* ---- rows as text (search_render.c) ---------------------------------------------------------- */

/** Rendered rows of one segment; reused from batch to batch. */
typedef struct lm_rows {
    lm_buf text;
    size_t *ends;   /* behind the '\n' of each */
    uint32_t *rows; /* which they are: those asked for, less the lost ones */
    size_t ends_cap, rows_cap, count;
} lm_rows;

void lm_rows_init(lm_exec *exec, lm_rows *rows);
void lm_rows_fini(lm_exec *exec, lm_rows *rows);
/** Renders rows[0..count), ascending. Rows that are damaged are left out and counted as lost. */
LM_USE lm_err lm_rows_render(lm_exec *exec, const uint32_t *rows, size_t count, lm_rows *out);

static inline lm_str lm_rows_text(const lm_rows *rows, size_t i)
{
    size_t begin = i ? rows->ends[i - 1] : 0;
    return (lm_str){rows->text.ptr + begin, rows->ends[i] - begin - 1};
}

/** Fields of records, the last one kept: rows of one record ask one after the other. */
typedef struct lm_head_cache {
    lm_fields fields;
    lm_arena arena;
    lm_buf text, second; /* the record's first two lines; the second is read only for a level */
    uint32_t row;        /* UINT32_MAX: none */
} lm_head_cache;

/** Fields of one line; arena is reset, and keeps them. */
LM_USE lm_err lm_fields_parse(const lm_schema *schema, lm_arena *arena, lm_str line,
                              lm_fields *out);
void lm_head_cache_init(lm_exec *exec, lm_head_cache *cache);
void lm_head_cache_fini(lm_head_cache *cache);
/** Fields of the record of rendered row i. head: where its record's first line is among the rows,
 * if it is there. Lines that are not are read, which is dear. */
LM_USE lm_err lm_head_cache_get(lm_exec *exec, lm_head_cache *cache, const lm_rows *rows, size_t i,
                                size_t head, const lm_fields **out);

/* ---- candidates one batch after the other (search_batch.c) ----------------------------------- */

#define LM_BATCH_ROWS 1024

/** Rows of a segment that were rendered and judged. */
typedef struct lm_batch {
    lm_rows rows;
    uint8_t *fits;    /* by rendered row */
    uint32_t *wanted; /* rows to render */
    bool is_sure;     /* all of them fit */
    size_t fits_cap, wanted_cap;
} lm_batch;

enum { LM_WANTED_EACH = 3 }; /* rows that one candidate may need: its own, its record's first two */

/** A walk over the candidates of a segment, forwards or backwards. */
typedef struct lm_walk {
    lm_exec *exec;
    const uint64_t *yes, *maybe;
    bool backwards, only_maybe;
    uint32_t next; /* forwards: first row not yet taken; backwards: rows from here on were taken */
    uint32_t
        first; /* first candidate of the batch: rows before it are there for their fields only */
    lm_head_cache head;
    bool has_required, is_one_text; /* is_one_text: and every line with it fits */
    lm_literal required;            /* no line fits without it */
} lm_walk;

void lm_walk_init(lm_walk *walk, lm_exec *exec, const uint64_t *yes, const uint64_t *maybe,
                  bool backwards, bool only_maybe);
void lm_walk_fini(lm_walk *walk);
void lm_batch_init(lm_exec *exec, lm_batch *batch);
void lm_batch_fini(lm_exec *exec, lm_batch *batch);
/** Renders and judges up to max_rows further candidates, in ascending order also when walking
 * backwards. False in out_any: there are no more. */
LM_USE lm_err lm_walk_next(lm_walk *walk, size_t max_rows, lm_batch *batch, bool *out_any);
/** Moves each row of maybe that fits to yes; maybe is empty then. */
LM_USE lm_err lm_exec_settle(lm_exec *exec, uint64_t *yes, uint64_t *maybe);

/* ---- groups (search_group.c) ----------------------------------------------------------------- */

typedef struct lm_groups lm_groups;
LM_USE lm_err lm_groups_new(lm_mem *mem, const lm_archive *archive,
                            const lm_search_options *options, lm_groups **out);
void lm_groups_free(lm_groups *groups);
/** Counts the rows of yes. */
LM_USE lm_err lm_groups_add(lm_groups *groups, lm_exec *exec, const uint64_t *yes);
LM_USE lm_err lm_groups_report(lm_groups *groups, lm_arena *arena, lm_search_report *report);
/** The template that a row of this shape counts for. */
uint32_t lm_template_of(const lm_archive *archive, const lm_shape *shape);

#endif
