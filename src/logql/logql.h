/**
 * logql — Loki's query language: parsed, planned, answered over any store.
 *
 * Purpose:  what Grafana and logcli ask, answered as Loki documents it, plus stages of our own.
 * Flow:     text --parse--> tree --plan: matchers, line filters, time range--> lm_store_face.select
 * --pipeline: parsers, label filters, formats--> entries --> newest or oldest N, or samples -->
 * ranges, vectors, operators --> matrix, vector, scalar. Owns:     a query owns its tree; a result
 * lives in the arena of the call. Threads:  a parsed query is read-only and may run on several
 * threads at once. Units:    times are ns since 1970 UTC, durations ns; sample values are doubles.
 * Limits:   QUERY_BYTES_MAX, QUERY_DEPTH_MAX, LOGQL_SERIES_MAX, LOGQL_POINTS_MAX.
 *
 * Invariants
 *   (1) What is answered equals the slow evaluator's answer (tests/logql): filters pushed down to the store change
 *       nothing but the time it takes.
 *   (2) Streams are told apart by their labels after the pipeline, as Loki does.
 *   (3) An error names line and column, in Loki's words: "parse error at line 1, col 12: syntax error: unexpected ...".
 */
#ifndef LOGQL_LOGQL_H
#define LOGQL_LOGQL_H

#include "record/record.h"

typedef struct lm_logql lm_logql;

/** LM_E_USAGE with text and offset; LM_E_LIMIT, LM_E_NOMEM. */
LM_USE lm_err lm_logql_parse(lm_mem *mem, lm_str text, lm_logql **out);
void lm_logql_free(lm_logql *query);
/** Is it a metric query (samples), not a log query (lines)? */
bool lm_logql_is_metric(const lm_logql *query);
/** The records of a log query get their `detected_level` as if it named it; a metric query stays as
 * it is. Before it is run. */
void lm_logql_want_level(lm_logql *query);
/** Is it a selector and nothing else? */
bool lm_logql_is_selector(const lm_logql *query);
/** `| template_id = N` asks for templates that only a store knows: who runs the query tells their
 * texts beforehand; those that nobody tells are no line's. False: there are no more. */
bool lm_logql_template_id_at(const lm_logql *query, size_t index, uint64_t *out_id);
LM_USE lm_err lm_logql_template_is(lm_logql *query, uint64_t id, lm_str text);
/** Matchers of the selector number index, left to right; their texts are the query's. *out_is_one
 * false: there are no more. */
LM_USE lm_err lm_logql_selector_at(const lm_logql *query, size_t index, lm_arena *arena,
                                   const lm_matcher **out, uint32_t *out_count, bool *out_is_one);
/** How far before a step a metric query looks: its longest range and offset, ns. */
int64_t lm_logql_reach(const lm_logql *query);
/** The query printed in its canonical form (format_query), appended. */
LM_USE lm_err lm_logql_print(const lm_logql *query, lm_buf *out);
/** Matchers of `{...}` alone (for /series, /labels?query=, /index/...): parse and hand out. Texts
 * live in arena. */
LM_USE lm_err lm_logql_matchers(lm_str text, lm_arena *arena, lm_matcher **out,
                                uint32_t *out_count);
/** Do a stream's labels fulfil matchers? Compiled once, used for many streams. */
typedef struct lm_matcher_set lm_matcher_set;
LM_USE lm_err lm_matcher_set_new(lm_mem *mem, const lm_matcher *matchers, uint32_t count,
                                 lm_matcher_set **out);
void lm_matcher_set_free(lm_matcher_set *set);
bool lm_matcher_set_match(const lm_matcher_set *set, lm_labels labels);

typedef struct lm_logql_range {
    lm_str tenant;
    int64_t start_ns,
        end_ns; /* log queries: [start, end); metric queries: steps start, start+step ... <= end */
    int64_t step_ns; /* 0: an instant query at end_ns */
    uint32_t limit;  /* log queries: entries; 0: 100 */
    bool forwards;   /* oldest first; default newest first */
    volatile const int *cancel;
} lm_logql_range;

typedef struct lm_logql_entry {
    int64_t time_ns;
    lm_str line;
    lm_labels metadata; /* structured metadata (for categorised labels) */
    lm_labels parsed;   /* labels that a parser made */
} lm_logql_entry;

typedef struct lm_logql_point {
    int64_t time_ns;
    double value;
} lm_logql_point;

/** One stream of lines or one series of points. */
typedef struct lm_logql_series {
    lm_labels labels;
    lm_logql_entry *entries; /* newest first unless forwards */
    lm_logql_point *points;  /* by time */
    size_t count;
} lm_logql_series;

typedef enum lm_logql_kind {
    LM_LOGQL_STREAMS,
    LM_LOGQL_MATRIX,
    LM_LOGQL_VECTOR,
    LM_LOGQL_SCALAR
} lm_logql_kind;

typedef struct lm_logql_result {
    lm_logql_kind kind;
    lm_logql_series *series; /* SCALAR: one, with one point */
    size_t series_count;
    uint64_t records_seen, bytes_seen; /* told by the store */
} lm_logql_result;

/** Answer. Everything handed out lives in arena. LM_E_USAGE (a query that cannot be answered: a
 * label pair twice in a vector match, ...), LM_E_LIMIT (too many series or points), LM_E_CANCELLED,
 * the store's errors. */
LM_USE lm_err lm_logql_run(const lm_logql *query, const lm_store_face *store,
                           const lm_logql_range *range, lm_arena *arena, lm_logql_result *out);

/** One record through a log query's pipeline (live tail): does it pass, and as what? Matchers and
 * all filters are looked at. Labels and texts live in arena. LM_E_USAGE: it is a metric query. */
LM_USE lm_err lm_logql_pass(const lm_logql *query, const lm_stream *stream, const lm_record *record,
                            lm_arena *arena, bool *out_passes, lm_labels *out_labels,
                            lm_logql_entry *out);

#endif
