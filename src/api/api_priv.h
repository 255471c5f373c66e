/** What the files of this room share. */
#ifndef API_PRIV_H
#define API_PRIV_H

#include "api/api.h"
#include "archive/archive.h"
#include "base/base.h"
#include "ingest/ingest.h"
#include "schema/schema.h"
#include "search/search.h"
#include "template/template.h"

#define CONTEXT_MAGIC 0x6c6d6378u
#define VIEW_MAGIC    0x6c6d7677u

/** Less work than this is done by the calling thread alone: starting workers costs more than it
 * gives. */
#define POOL_WORK_BYTES_MIN (16u << 20)

struct lm_context {
    uint32_t magic;
    lm_mem *mem;
    lm_allocator allocator;     /* as the account sees it; the functions may be NULL */
    lm_context_options options; /* as given, filled up with zeros */
    lm_pool *pool;              /* NULL until work is large enough */
    lm_err_info error;          /* last failure; code 0 if none */
};

struct lm_view {
    uint32_t magic;
    lm_context *context;
    lm_archive *archive;
    bool is_archive;  /* what the user named was one */
    bool is_salvaged; /* opened with LM_VIEW_SALVAGE */
    lm_view_totals totals;
    uint64_t files_bad;                      /* plain logs that could not be read in full */
    lm_arena costs, templates, search, diff; /* each holds what its function handed out last */
    lm_segment *segment;  /* kept open between neighbouring reads; NULL if none */
    size_t segment_index; /* which it is */
};

/** Every public function ends through this: keeps the failure's words in the context. */
static inline lm_err context_end(lm_context *context, lm_err err)
{
    if (err) {
        lm_err_save(&context->error);
        context->error.code = err;
    }
    return err;
}

/** Workers for this much input, or NULL when the caller alone is quicker. */
LM_USE lm_err api_pool(lm_context *context, uint64_t work_bytes, lm_pool **out);
/** The callbacks that rooms want; ctx is the lm_context. */
void api_note_bad(void *ctx, const char *text);
void api_note(lm_context *context, lm_note_level level, const char *fmt, ...) LM_PRINTF(3, 4);
bool api_is_cancelled(const lm_context *context);

static inline lm_text api_text(lm_str s)
{
    return (lm_text){(const char *)s.ptr, s.len};
}

static inline lm_str api_str(const char *s)
{
    return s ? lm_str_of(s) : (lm_str){NULL, 0};
}

/** Is the file an archive of ours, by its first bytes? LM_E_NOTFOUND, LM_E_IO. */
LM_USE lm_err api_is_archive(const char *path, bool *out);
/** Copy what can be read only once (standard input, a pipe) to the file at `copy`. */
LM_USE lm_err api_spool(lm_context *context, const char *path, const char *copy);
/** Pack to a path without asking whether it exists; shared by lm_pack and by views of plain logs.
 */
LM_USE lm_err api_pack_paths(lm_context *context, const char *const *paths, size_t count,
                             const lm_pack_job *job, const char *out_path, bool is_for_view,
                             lm_pack_result *out);
void api_view_sum(lm_view *view);
/** Segment of the view, opened at most once in a row; owned by the view. */
LM_USE lm_err api_view_segment(lm_view *view, size_t index, lm_segment **out);

/** Told each line of a file, without its '\n'. */
typedef lm_err (*api_line_fn)(void *ctx, const lm_str *lines, size_t count);
/** Read a log (unpacked if it is packed) in batches of lines. */
LM_USE lm_err api_each_lines(lm_context *context, const char *path, api_line_fn take,
                             void *take_ctx);

#endif
