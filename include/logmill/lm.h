/**
 * logmill: raw log lines in; structured, searchable, far smaller archives out.
 *
 * This header: versions, errors, the context that everything hangs on, and packing.
 * lm_view.h reads archives (and plain logs), lm_search.h asks them questions, lm_mine.h finds
 * templates, lm_daemon.h runs the daemon. <logmill/logmill.h> includes all of them.
 *
 * Rules that hold everywhere
 *   - A call that can fail returns lm_err: 0 is success, failures are negative (LM_ERR_...). On
 * failure no out parameter is touched, and lm_last_error(context) says what happened, in words.
 *   - Nothing is printed and there is no global state: words go to the log callback, memory comes
 * from the allocator that was given, and two contexts know nothing of each other.
 *   - A context and everything opened from it belong to one thread at a time. It may use workers of
 * its own inside a call; callbacks are always called on the calling thread.
 *   - Texts handed out (lm_text) are bytes with a length: not NUL-terminated, any byte may occur.
 * They are borrowed: each function says for how long.
 *   - Sizes are bytes; times are nanoseconds since 1970-01-01 UTC, LM_TIME_NONE where unknown.
 *   - Option structs start with their size; fill them with the _INIT macro beside them, so that a
 * program that was compiled with an older header goes on working with a newer library.
 */
#ifndef LOGMILL_LM_H
#define LOGMILL_LM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#    define LM_API   __attribute__((visibility("default")))
#    define LM_CHECK __attribute__((warn_unused_result))
#else
#    define LM_API
#    define LM_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Raised when a struct or a function changes in a way that breaks compiled programs. */
#define LM_ABI_VERSION 1

LM_API uint32_t lm_abi_version(void); /* LM_ABI_VERSION of the library that is running */
LM_API const char *lm_version(void);  /* "0.1.0" */
/** One fact about this build ("zstd 1.5.4", "cpu avx2", ...); NULL behind the last. */
LM_API const char *lm_build_fact(size_t index);

/* ---- errors ---- */

typedef int32_t lm_err;

enum {
    LM_ERR_NONE = 0,
    LM_ERR_NOMEM = -1,       /* the allocator had no memory */
    LM_ERR_LIMIT = -2,       /* a limit was reached: memory_bytes, or one that the text names */
    LM_ERR_CORRUPT = -3,     /* data are damaged, or are not what they claim to be */
    LM_ERR_IO = -4,          /* the system could not read or write */
    LM_ERR_USAGE = -5,       /* an argument, a query or a configuration is wrong */
    LM_ERR_NOTFOUND = -6,    /* there is no such file, template, ... */
    LM_ERR_UNSUPPORTED = -7, /* this build or this version cannot do that */
    LM_ERR_CANCELLED = -8    /* the caller asked to stop */
};

#define LM_TIME_NONE   INT64_MIN
#define LM_NO_POSITION UINT64_MAX
#define LM_ALL_FILES   SIZE_MAX

/** Bytes with a length; borrowed. */
typedef struct lm_text {
    const char *ptr;
    size_t len;
} lm_text;

/** What went wrong last. */
typedef struct lm_error {
    lm_err code;
    uint64_t position; /* byte in the query, configuration or file where the trouble is;
                          LM_NO_POSITION if none */
    const char
        *text; /* one line, lower case, no full stop; valid until the next call on the context */
} lm_error;

/* ---- the context ---- */

typedef struct lm_context lm_context;

typedef enum lm_note_level { LM_NOTE_INFO = 1, LM_NOTE_WARNING = 2 } lm_note_level;

/** How far long work is. */
typedef struct lm_progress {
    uint64_t bytes_done;  /* of the input (packing) or the raw text (unpacking, verifying) */
    uint64_t bytes_total; /* 0: not known */
    uint64_t bytes_out;   /* written so far */
} lm_progress;

typedef struct lm_context_options {
    size_t struct_bytes;
    /** Allocator; NULL: the C library's. resize(NULL, 0, n) allocates; NULL on failure, and then
     * ptr stays valid. Both are called from worker threads too. */
    void *(*resize)(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes);
    void (*release)(void *ctx, void *ptr, size_t bytes);
    void *allocator_ctx;
    /** Told what a user should know though the call goes on: unreadable inputs, damaged blocks.
     * NULL: silence. */
    void (*note)(void *ctx, lm_note_level level, const char *text);
    void *note_ctx;
    /** Called now and then during long work. NULL: not called. */
    void (*progress)(void *ctx, const lm_progress *now);
    void *progress_ctx;
    const volatile int
        *cancel; /* may be NULL; when it becomes non-zero, calls stop with LM_ERR_CANCELLED */
    uint64_t memory_bytes; /* most that all calls together may allocate; 0: 256 MiB; UINT64_MAX: no
                              limit */
    uint32_t threads;      /* 0: one per usable CPU; 1: no workers at all */
} lm_context_options;

#define LM_CONTEXT_OPTIONS_INIT {sizeof(lm_context_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** options may be NULL. Errors: LM_ERR_NOMEM, LM_ERR_USAGE (struct_bytes). Starts no threads: the
 * first call that has enough work for them does. */
LM_API LM_CHECK lm_err lm_context_new(const lm_context_options *options, lm_context **out);
/** Close what was opened from it first. NULL is fine. */
LM_API void lm_context_free(lm_context *context);
/** The last failure; code LM_ERR_NONE and text "" if there was none. */
LM_API lm_error lm_last_error(const lm_context *context);
LM_API uint64_t lm_context_memory_peak(const lm_context *context);
LM_API uint32_t lm_context_threads(const lm_context *context); /* workers that long work uses */

/** What people write for a point in time: "2h" (ago), "15m", "yesterday", "2026-11-23T13:00",
 * "1700000000". Relative to now_ns. Errors: LM_ERR_USAGE. */
LM_API LM_CHECK lm_err lm_time_read(lm_context *context, const char *text, int64_t now_ns,
                                    int64_t *out_ns);

/* ---- packing ---- */

typedef enum lm_pack_level {
    LM_PACK_DEFAULT = 0,
    LM_PACK_FAST = 1, /* as fast as logs come in */
    LM_PACK_MAX = 3   /* smallest; for archives that are read seldom */
} lm_pack_level;

typedef struct lm_pack_job {
    size_t struct_bytes;
    const char *const *inputs; /* files, folders (all regular files below), "-": standard input */
    size_t input_count;
    const char *output; /* path of the archive */
    lm_pack_level level;
    bool keep_packed;          /* store .gz .zst .xz .bz2 as they are instead of the text inside */
    bool replace;              /* an existing output is replaced; else LM_ERR_USAGE */
    const char *start_pattern; /* regular expression that the first line of each record matches;
                                  NULL: found out */
    const char *schema_yaml;   /* text: formats given by the user; NULL: none */
    const char *template_yaml; /* text: template rules given by the user; NULL: none */
    uint64_t segment_bytes;    /* raw bytes a segment; 0: what the level says */
} lm_pack_job;

#define LM_PACK_JOB_INIT {sizeof(lm_pack_job), 0, 0, 0, LM_PACK_DEFAULT, false, false, 0, 0, 0, 0}

typedef struct lm_pack_result {
    uint64_t bytes_in;  /* text packed (unpacked size of compressed inputs) */
    uint64_t bytes_out; /* size of the archive */
    uint64_t lines, files, segments, templates;
    uint64_t files_bad; /* inputs that could not be read to their end; each was told to note() */
} lm_pack_result;

/**
 * Pack inputs into one archive. The archive appears under its name only when it is whole; after any
 * failure the name is as it was before. The bytes depend on inputs and job only, never on threads.
 * Errors: LM_ERR_NOTFOUND (an input does not exist; nothing is written), LM_ERR_USAGE (output
 * exists, no input, wrong YAML or pattern), LM_ERR_IO, LM_ERR_LIMIT, LM_ERR_NOMEM,
 * LM_ERR_CANCELLED. out may be NULL. O(input).
 */
LM_API LM_CHECK lm_err lm_pack(lm_context *context, const lm_pack_job *job, lm_pack_result *out);

#ifdef __cplusplus
}
#endif

#endif
