/**
 * logmill: reading. A view is an opened archive, or a plain log (compressed or not, a folder, "-")
 * that is packed into a temporary, already unlinked file first and then is read in the same way.
 */
#ifndef LOGMILL_LM_VIEW_H
#define LOGMILL_LM_VIEW_H

#include <logmill/lm.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_view lm_view;

enum {
    LM_VIEW_ARCHIVE_ONLY = 1u << 0, /* a plain log is LM_ERR_CORRUPT ("not an archive") */
    LM_VIEW_SALVAGE =
        1u << 1 /* open an archive whose end is lost or damaged; serves what is whole */
};

/** Errors: LM_ERR_NOTFOUND, LM_ERR_IO, LM_ERR_CORRUPT (with position), LM_ERR_LIMIT, LM_ERR_NOMEM,
 * LM_ERR_CANCELLED. The time of the file's text (its mtime) dates lines that carry no year. */
LM_API LM_CHECK lm_err lm_view_open(lm_context *context, const char *path, unsigned flags,
                                    lm_view **out);
/** One view over several plain logs (files, folders); archives among them are taken as plain files.
 */
LM_API LM_CHECK lm_err lm_view_open_logs(lm_context *context, const char *const *paths,
                                         size_t path_count, lm_view **out);
/** Sort out what a user named: folders are listed, and take is called, in order, with each archive
 * by itself and with each run of plain logs together, ready for lm_view_open and lm_view_open_logs.
 * A failure of take ends the call with it. Errors: LM_ERR_NOTFOUND, LM_ERR_IO. */
LM_API LM_CHECK lm_err lm_inputs_each(lm_context *context, const char *const *paths,
                                      size_t path_count,
                                      lm_err (*take)(void *ctx, const char *const *paths,
                                                     size_t path_count, bool is_archive),
                                      void *take_ctx);
/** NULL is fine. */
LM_API void lm_view_close(lm_view *view);
/** true: path was an archive; false: a plain log. */
LM_API bool lm_view_is_archive(const lm_view *view);

/** Plain logs of the view that could not be read, or not to their end; each was told to note(). */
LM_API uint64_t lm_view_files_bad(const lm_view *view);

/** The whole, in numbers. */
typedef struct lm_view_totals {
    uint64_t archive_bytes; /* size on disk */
    uint64_t raw_bytes;     /* of the text in it */
    uint64_t lines, files, segments, templates, streams;
    int64_t time_min, time_max; /* first and last record; LM_TIME_NONE if none has a time */
} lm_view_totals;

LM_API lm_view_totals lm_view_sum(const lm_view *view);

/* ---- files and segments ---- */

/** A file of the archive. Borrowed until the view is closed. */
typedef struct lm_view_file {
    lm_text name; /* as it was given when packed */
    uint64_t bytes, lines;
    int64_t mtime_ns;
    uint32_t mode;       /* permission bits */
    const char *packing; /* "", "gzip", "zstd", "xz", "bzip2": how it was packed when it was read */
} lm_view_file;

LM_API size_t lm_view_file_count(const lm_view *view);
LM_API lm_view_file lm_view_file_at(const lm_view *view, size_t index);
/** Index of the file of this name. LM_ERR_NOTFOUND. A name without '/' also finds the one file that
 * ends in "/name". */
LM_API LM_CHECK lm_err lm_view_file_find(lm_view *view, const char *name, size_t *out_index);

typedef struct lm_view_segment {
    uint64_t position, bytes; /* in the archive */
    uint64_t raw_bytes, lines;
    int64_t time_min, time_max; /* LM_TIME_NONE if unknown */
    uint32_t stream;            /* segments of one stream share a schema */
    const char *level;          /* "fast", "default", "max" */
} lm_view_segment;

LM_API size_t lm_view_segment_count(const lm_view *view);
LM_API lm_view_segment lm_view_segment_at(const lm_view *view, size_t index);

/* ---- getting the text back ---- */

/** Takes bytes of a file, in order; return false to stop (the call then returns LM_ERR_NONE). */
typedef bool (*lm_bytes_fn)(void *ctx, size_t file_index, lm_text bytes);

/** The bytes of one file, or of all (LM_ALL_FILES) one behind the other in the order they are
 * stored in (files of one format follow one another; empty files give no call), exactly as they
 * were packed. Damaged rows are told to note(), left out, and make the call end with LM_ERR_CORRUPT
 * after everything else was given out. */
LM_API LM_CHECK lm_err lm_view_read(lm_view *view, size_t file_index, lm_bytes_fn take,
                                    void *take_ctx);

/** Lines [first, first + count) of one file, counted from 1, each with its '\n' (the last as it
 * was). Touches only the segments they are in. Errors as lm_view_read. */
LM_API LM_CHECK lm_err lm_view_lines(lm_view *view, size_t file_index, uint64_t first,
                                     uint64_t count, lm_bytes_fn take, void *take_ctx);

typedef struct lm_unpack_result {
    uint64_t files, bytes;
    uint64_t files_skipped; /* existing and not replaced, or refused; each was told to note() */
} lm_unpack_result;

/**
 * Write files under folder (made if missing), with their names, times and permission bits. Never
 * writes outside folder: a leading '/' and everything up to the last ".." is taken off names (told
 * to note()), and nothing goes through a symbolic link below folder. Each file appears when it is
 * whole. file_index may be LM_ALL_FILES. Existing files are left alone (and counted as skipped)
 * unless replace. Errors: LM_ERR_IO, LM_ERR_CORRUPT (at the end; what is whole was written; a file
 * with damaged rows is written without them), LM_ERR_CANCELLED.
 */
LM_API LM_CHECK lm_err lm_view_unpack(lm_view *view, size_t file_index, const char *folder,
                                      bool replace, lm_unpack_result *out);

/** Check every checksum; each damaged place is told to note(). Returns LM_ERR_NONE or
 * LM_ERR_CORRUPT. */
LM_API LM_CHECK lm_err lm_view_verify(lm_view *view);

/* ---- where the bytes went ---- */

typedef struct lm_view_cost {
    const char *what;     /* "column", "template text", ... */
    lm_text name;         /* a column: the text before it; else empty */
    const char *encoding; /* "delta", "dictionary", ... */
    uint32_t stream;
    uint64_t values;
    uint64_t plain_bytes;  /* as plain fixed-width values or text */
    uint64_t stored_bytes; /* in the archive */
} lm_view_cost;

/** Parts of the archive, largest first. The array is borrowed until the next call of this function
 * or the close. LM_ERR_CORRUPT, with the array: segments were damaged; each is told to note() and
 * is one part, "damaged". */
LM_API LM_CHECK lm_err lm_view_costs(lm_view *view, const lm_view_cost **out, size_t *out_count);

/* ---- schema ---- */

typedef struct lm_view_field {
    lm_text name;
    const char *type; /* "int", "time", "ipv4", "enum", ... */
    lm_text detail;   /* time layout, unit, values of an enumeration */
    uint64_t count, distinct;
    lm_text examples[3]; /* empty ones at the end */
} lm_view_field;

typedef struct lm_view_format {
    lm_text source;              /* the log's path, or "stream N" of an archive */
    lm_text name;                /* "nginx combined", "json", ... */
    lm_text pattern;             /* the format's tree, as a pattern */
    uint64_t lines, lines_total; /* explained by this format, and of the stream */
    const lm_view_field *fields;
    size_t field_count;
} lm_view_format;

typedef struct lm_schema_job {
    size_t struct_bytes;
    const char *schema_yaml; /* text: formats given by the user; NULL: none */
    /** Called for each format; everything in it is borrowed for the call. */
    void (*format)(void *ctx, const lm_view_format *format);
    /** Called for each place where inferred types and the format disagree: one sentence. May be
     * NULL. */
    void (*conflict)(void *ctx, lm_text sentence);
    void *ctx;
} lm_schema_job;

#define LM_SCHEMA_JOB_INIT {sizeof(lm_schema_job), 0, 0, 0, 0}

/** Formats and fields of all lines of a log, or of each stream of an archive. Errors:
 *  LM_ERR_NOTFOUND, LM_ERR_IO, LM_ERR_CORRUPT, LM_ERR_USAGE (YAML). O(text). */
LM_API LM_CHECK lm_err lm_schema_of(lm_context *context, const char *path,
                                    const lm_schema_job *job);

#ifdef __cplusplus
}
#endif

#endif
