/**
 * search — questions over archives, answered without unpacking them.
 *
 * Purpose:  LogQL line filters and label filters, wildcards, regular expressions, counts and
 * group-bys, with results that are exactly those of the same query over the raw text. Flow: query
 * text --parse--> filter tree --plan per segment--> shapes that always / may / never match
 *               --column stamps, filters, dictionaries--> candidate rows --render, check--> rows
 * Owns:     a query owns its tree and compiled patterns; a result batch lives in the arena of the
 * call. Threads:  a query is read-only after parsing and shared by workers; segments are searched
 * in parallel, told in order. Units:    times are ns since 1970 UTC; rows are lines. Limits:
 * QUERY_BYTES_MAX, QUERY_DEPTH_MAX.
 *
 * Invariants
 *   (1) A row is in the result if and only if lm_query_match says so of its text, fields and time.
 *   (2) Results come in archive order: files in order, lines in order.
 *   (3) A damaged block loses only rows that need it; the caller is told.
 *   (4) A line's text is without its '\n'; a '\r' belongs to it. Fields of a line are those of its record's first line;
 *       where that has no level, it may be told by the second (lm_schema_level_below).
 *   (5) A record ends where its segment or its file ends.
 */
#ifndef SEARCH_SEARCH_H
#define SEARCH_SEARCH_H

#include "archive/archive.h"

typedef struct lm_query lm_query;

/**
 * LogQL's pipeline; a stream selector may stand in front. docs/query.md is the language; in short:
 *   |= "text"   != "text"   |~ "regex"   !~ "regex"   |* "a*b"   |> "<_> a <_>"   and   or   not (
 * ) level>=warn   status=500   host=~"web.*"   duration>10ms   size<=1MB   word   "bare text"
 * {file="app.log"} text is copied. Errors: LM_E_USAGE with the position (lm_err_info.offset) and
 * what was expected; LM_E_LIMIT, LM_E_NOMEM.
 */
LM_USE lm_err lm_query_parse(lm_mem *mem, lm_str text, lm_query **out);
void lm_query_free(lm_query *query);
/** The definition: does this line match? fields: its record's, from lm_schema_parse. Slow; searches
 * use it on candidates only, tests as the oracle. May be NULL if lm_query_needs_fields says no.
 * LM_E_LIMIT: a pattern needs too many steps on this line. */
LM_USE lm_err lm_query_match(const lm_query *query, lm_str line, const lm_fields *fields,
                             bool *out);
/** The same with the name of the line's file, which {file="..."} asks for. */
LM_USE lm_err lm_query_match_in(const lm_query *query, lm_str file, lm_str line,
                                const lm_fields *fields, bool *out);
bool lm_query_needs_fields(const lm_query *query);
/** May a line fit, of lines that a set was made of (lm_grams_take)? false is certain. Cheap: no
 * segment is opened for it. */
bool lm_query_admitted(const lm_query *query, lm_str set);

/** Does the name ask for a record's level, whatever its field is called? */
bool lm_query_name_is_level(lm_str name);
/** A field of a record by the name a query uses: exact, else with '_' in the name standing for any
 * sign (request_uri finds request.uri), else level, timestamp and message by their meaning. NULL if
 * the record has none. */
const lm_field *lm_query_field(const lm_fields *fields, lm_str name);

typedef struct lm_search_options {
    int64_t time_min, time_max; /* ns, inclusive / exclusive; INT64_MIN, INT64_MAX: all */
    bool count_only;
    bool whole_records;  /* a match in any line of a record gives all its lines */
    uint64_t limit;      /* 0: all */
    int64_t template_id; /* only rows of this template; -1: all */
    bool backwards;      /* newest first: segments and rows from the end */
    bool skip_times;     /* lm_match.time_ns is not wanted and may stay unknown */

    enum { LM_GROUP_NONE, LM_GROUP_TEMPLATE, LM_GROUP_FIELD, LM_GROUP_TIME } group_by;

    lm_str group_field;      /* LM_GROUP_FIELD */
    int64_t group_bucket_ns; /* LM_GROUP_TIME */
    /** May be NULL. Is any row of a segment wanted? Asked before it is opened. */
    bool (*wants)(void *ctx, size_t segment);
    /** May be NULL. Told the rows of a segment before they are judged: clears the bits (r % 64 of
     * word r / 64) of those that are not wanted. Called by workers, for each segment once. */
    void (*choose)(void *ctx, size_t segment, uint64_t *bits, uint32_t row_count);
    /** May be NULL. Instead of told: the rows of each segment that match, as bits; no text is made.
     * On the calling thread, in order; false stops the search. */
    bool (*rows)(void *ctx, size_t segment, const uint64_t *bits, uint32_t row_count);
    /** May be NULL; with rows, before they are told: the lines of a segment in which at most
     * few_max rows match, made while it is open. Rows that cannot be read are left out. */
    void (*few)(void *ctx, size_t segment, uint32_t row, lm_str line);
    uint32_t few_max;
    void *rows_ctx; /* of wants, choose, rows and few */
    /** May be NULL. Instead of told, with told's ctx: lines that match, one behind the other, each
     * with its '\n'. Not with backwards. False stops the search. */
    bool (*lines)(void *ctx, lm_str lines, uint64_t count);
    volatile const int *cancel;
} lm_search_options;

typedef struct lm_match {
    lm_str text;
    size_t segment;
    uint32_t row;
    lm_row_place place;
    int64_t time_ns; /* INT64_MIN unknown */
    uint32_t template_id;
} lm_match;

typedef struct lm_group_count {
    lm_str key;
    int64_t time_ns;
    uint32_t template_id;
    uint64_t count;
} lm_group_count;

typedef struct lm_search_report {
    uint64_t matches, rows_total, rows_checked;
    uint64_t segments_total, segments_opened, blocks_decoded;
    lm_group_count *groups; /* in arena; sorted by count or by time */
    size_t group_count;
} lm_search_report;

/** told(ctx, match) is called in order for each match (not when counting or grouping); false stops
 * the search. Runs on the calling thread; match and its text are borrowed for the call.
 * LM_E_CORRUPT at the end, with the report filled, if parts were damaged (each told to bad);
 * LM_E_LIMIT, LM_E_CANCELLED, LM_E_NOMEM, LM_E_USAGE. */
LM_USE lm_err lm_search(const lm_archive *archive, lm_pool *pool, const lm_query *query,
                        const lm_search_options *options,
                        bool (*told)(void *ctx, const lm_match *match), void *told_ctx,
                        void (*bad)(void *ctx, const char *text), void *bad_ctx, lm_arena *arena,
                        lm_search_report *report);

#endif
