/** Inside of ingest: decoders of packed files, and memory for libraries that free without telling
 * the size. */
#ifndef INGEST_PRIV_H
#define INGEST_PRIV_H

#include "ingest/ingest.h"

/** Memory that remembers its own size, for callbacks: mem is an lm_mem. NULL on failure. */
void *lm_sized_alloc(void *mem, size_t bytes);
void lm_sized_free(void *mem, void *ptr); /* NULL is fine */

/** What goes in and comes out of one step of a decoder; a step moves in and dst forward. */
typedef struct lm_unpack_io {
    const uint8_t *in, *in_end;
    uint8_t *dst, *dst_end;
    bool is_last;     /* no more input will follow in_end */
    bool at_boundary; /* set by the step: the file may end here */
} lm_unpack_io;

typedef struct lm_unpacker {
    const char *name;
    lm_err (*open)(lm_mem *mem, void **out_state);
    /** Runs until in is used up or dst is full. LM_E_CORRUPT with the reason as text. */
    lm_err (*step)(void *state, lm_unpack_io *io);
    void (*close)(void *state);
} lm_unpacker;

/** NULL: this build cannot read it. */
const lm_unpacker *lm_unpacker_of(lm_packing packing);
const char *lm_packing_name(lm_packing packing);
/** Tells the packing by the first bytes of a file. 16 of them are enough. */
lm_packing lm_packing_detect(const uint8_t *head, size_t len);

/** Where the last record's timestamp stood and what it looked like; the next one's is tried there
 * first. */
typedef struct lm_header_hint {
    uint16_t offset, layout;
    bool is_set;
    lm_time_clock clock;
} lm_header_hint;

/** Does a timestamp stand near the front, where records have it? */
bool lm_header_has_time(lm_str line, lm_header_hint *hint);
/** Does the line begin with a level: "ERROR ...", "[warn] ...", "INFO: ...", "<4>..."? */
bool lm_header_has_level(lm_str line);
/** Is the line one JSON object from end to end? */
bool lm_header_is_json(lm_str line);

/** What a line is in a report that runs over several lines. */
typedef enum lm_trace_line {
    LM_TRACE_NONE,
    LM_TRACE_FRAME, /* continues whatever is before: "Caused by:", "... 3 more", "at x.y(Z.java:3)"
                     */
    LM_TRACE_EXCEPTION,  /* "java.io.IOException: ...", "KeyError: ...": begins a report unless a
                            record is before it */
    LM_TRACE_PYTHON,     /* "Traceback (most recent call last):" */
    LM_TRACE_PYTHON_AND, /* "During handling of the above exception, ..." */
    LM_TRACE_GO,         /* "panic: ...", "fatal error: ...", "goroutine 1 [running]:" */
    LM_TRACE_GC,         /* "{Heap before GC ..." */
    LM_TRACE_SQL,        /* a statement that goes on in the next line */
    LM_TRACE_SQL_HEAD,   /* "# Time: ...", "# User@Host: ..." of MySQL's slow log */
} lm_trace_line;

lm_trace_line lm_trace_classify(lm_str line);
/** Could the line be inside of a Go report? */
bool lm_trace_is_go(lm_str line);
/** Could the line be a further line of an SQL statement? */
bool lm_trace_is_sql(lm_str line);

#endif
