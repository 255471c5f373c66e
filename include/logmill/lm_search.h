/**
 * logmill: questions. A query is LogQL's line filters and label filters:
 *   |= "text"   != "text"   |~ "regex"   !~ "regex"   level>=warn   status=500   duration>10ms and
 * or not ( ) (manual page logmill-query(7)). An empty query matches every line.
 */
#ifndef LOGMILL_LM_SEARCH_H
#define LOGMILL_LM_SEARCH_H

#include <logmill/lm_view.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_hit_field {
    lm_text name, value;
    const char *type;
} lm_hit_field;

/** A line that is told. Everything is borrowed for the call. */
typedef struct lm_hit {
    lm_text text; /* without its '\n' */
    size_t file_index;
    uint64_t line;        /* in its file, from 1 */
    int64_t time_ns;      /* LM_TIME_NONE if unknown */
    uint32_t template_id; /* index for lm_view_template */
    uint64_t line_count;  /* lines_only: lines in text; else 1 */
    bool is_context;      /* a neighbour (context_before, context_after), not a match */
    bool follows_gap; /* lines were left out between this and the one told before; only with context
                       */
    const lm_hit_field *fields; /* only if want_fields */
    size_t field_count;
} lm_hit;

typedef enum lm_tally_by {
    LM_TALLY_NONE,
    LM_TALLY_TEMPLATE,
    LM_TALLY_FIELD,
    LM_TALLY_TIME
} lm_tally_by;

/** A group and its count. */
typedef struct lm_tally {
    lm_text key;          /* value of the field, or the template's text; empty for time */
    int64_t time_ns;      /* start of the bucket, or LM_TIME_NONE */
    uint32_t template_id; /* LM_TALLY_TEMPLATE */
    uint64_t count;
} lm_tally;

typedef struct lm_question {
    size_t struct_bytes;
    const char *query;                      /* NULL or "": every line */
    int64_t since_ns, until_ns;             /* since <= time < until; LM_TIME_NONE: open */
    uint64_t limit;                         /* matches; 0: all */
    uint64_t context_before, context_after; /* lines around each match, as grep -B and -A */
    int64_t template_id;                    /* only lines of this template; -1: all */
    bool whole_records;    /* a match in any line of a record gives all its lines */
    bool newest_first;     /* not with context */
    bool follow_templates; /* tell every line of the templates that the matches belong to, matching
                              or not */
    bool want_fields;      /* fill lm_hit.fields */
    bool count_only;       /* tell nothing, only count */
    lm_tally_by tally_by;  /* tell nothing, count by group */
    const char *tally_field; /* LM_TALLY_FIELD: its name */
    int64_t tally_bucket_ns; /* LM_TALLY_TIME */
    bool skip_times; /* lm_hit.time_ns is not wanted and may be LM_TIME_NONE: saves reading times */
    bool lines_only; /* told are runs of lines, each line with its '\n': of lm_hit only text and
                        line_count are filled; not with context, newest_first, follow_templates or
                        want_fields */
} lm_question;

#define LM_QUESTION_INIT                                                                           \
    {sizeof(lm_question),                                                                          \
     0,                                                                                            \
     LM_TIME_NONE,                                                                                 \
     LM_TIME_NONE,                                                                                 \
     0,                                                                                            \
     0,                                                                                            \
     0,                                                                                            \
     -1,                                                                                           \
     false,                                                                                        \
     false,                                                                                        \
     false,                                                                                        \
     false,                                                                                        \
     false,                                                                                        \
     LM_TALLY_NONE,                                                                                \
     0,                                                                                            \
     0,                                                                                            \
     false,                                                                                        \
     false}

typedef struct lm_answer {
    uint64_t matches, lines_total;
    uint64_t lines_checked; /* lines whose text had to be looked at */
    uint64_t segments_total, segments_opened;
    const lm_tally *
        tallies; /* by count, or by time; borrowed until the next search of the view or its close */
    size_t tally_count;
} lm_answer;

/**
 * Search a view. hit (may be NULL) is told each line in order; return false to stop. Damaged rows
 * are told to note() and left out; the call then returns LM_ERR_CORRUPT after everything else. out
 * may be NULL; it is filled also when LM_ERR_CORRUPT is returned, as the counts of what is whole.
 * Errors: LM_ERR_USAGE (query; position is the byte in it), LM_ERR_CORRUPT, LM_ERR_LIMIT,
 * LM_ERR_NOMEM, LM_ERR_CANCELLED.
 */
LM_API LM_CHECK lm_err lm_view_search(lm_view *view, const lm_question *question,
                                      bool (*hit)(void *ctx, const lm_hit *hit), void *hit_ctx,
                                      lm_answer *out);

/** Is this a query? LM_ERR_NONE or LM_ERR_USAGE with the position. */
LM_API LM_CHECK lm_err lm_query_check(lm_context *context, const char *query);

#ifdef __cplusplus
}
#endif

#endif
