/**
 * Inside of source: text of a file or pipe cut into records, each with its time.
 *
 * A stream's first lines say how its records begin and where their time stands; then a line costs a
 * search for its end and a look at the place where the time of the line before stood:
 *
 *     time at the same place, same layout  --> lm_time_clock_read, a few nanoseconds
 *     else behind the same few bytes       --> found by them ("[" of an access log, "\"ts\":")
 *     else                                 --> the schema takes the line apart
 *
 * Streams that have no times are asked by the schema ever more seldom.
 */
#ifndef SOURCE_LINES_H
#define SOURCE_LINES_H

#include "record/record.h"
#include "schema/schema.h"

/** Formats that streams share: one of each kind, whatever the number of files. */
typedef struct lm_formats lm_formats;
LM_USE lm_err lm_formats_new(lm_mem *mem, lm_formats **out);
void lm_formats_free(lm_formats *formats); /* NULL is fine */

typedef struct lm_lines lm_lines;
/** joins: records may have several lines; start_pattern as for lm_joiner_configure. */
LM_USE lm_err lm_lines_new(lm_formats *formats, bool joins, lm_str start_pattern, lm_lines **out);
void lm_lines_free(lm_lines *lines); /* NULL is fine */
/** Look at the stream's first lines; again when there are more of them. Forgets what was learned.
 */
LM_USE lm_err lm_lines_learn(lm_lines *lines, lm_str head);
/** Do records of several lines turn up? Then the last one is worth waiting for. */
bool lm_lines_have_joined(const lm_lines *lines);

/** What is to become of the end of a text. */
typedef enum lm_lines_end {
    LM_LINES_HOLD,  /* the last record waits for the next, an unfinished line for its end */
    LM_LINES_WHOLE, /* whole lines are taken, the last record too */
    LM_LINES_ALL    /* nothing will follow: an unfinished line too */
} lm_lines_end;

typedef struct lm_lines_cut_options {
    lm_lines_end end;
    uint32_t stream;  /* of the batch */
    int64_t now_ns;   /* the time of records that have none and follow none that has */
    size_t bytes_max; /* records are cut at this; 0: LM_LINE_BYTES_MAX */
} lm_lines_cut_options;

/** text begins with a record. Adds its records to batch as slices of text. *out_used: bytes of the
 * records added, line ends included. LM_E_NOMEM, LM_E_LIMIT: a part was added, *out_used says
 * which.
 */
LM_USE lm_err lm_lines_cut(lm_lines *lines, lm_str text, const lm_lines_cut_options *options,
                           lm_record_batch *batch, size_t *out_used);

#endif
