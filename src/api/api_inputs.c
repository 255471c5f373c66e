/** What a user names: archives, plain logs, folders of both, standard input. */
#include "api/api_priv.h"

#include <unistd.h>

/** Lines are handed on in batches of at most this many, or this many bytes. */
#define LINES_BATCH      4096u
#define READ_CHUNK_BYTES (1u << 20)

lm_err api_is_archive(const char *path, bool *out)
{
    lm_file_info info;
    lm_map map;
    *out = false;
    if (strcmp(path, "-") == 0) return LM_OK;
    lm_err err = lm_file_info_get(path, &info);
    /* A pipe is never looked into: what is read from it is gone. */
    if (err || !info.is_regular) return err;
    err = lm_map_open(path, &map);
    if (err) return err;
    *out = map.len >= 8 && memcmp(map.ptr, LM_ARCHIVE_MAGIC, 8) == 0;
    lm_map_close(&map);
    return LM_OK;
}

lm_err lm_inputs_each(lm_context *context, const char *const *paths, size_t path_count,
                      lm_err (*take)(void *ctx, const char *const *paths, size_t path_count,
                                     bool is_archive),
                      void *take_ctx)
{
    lm_file_list list = {0};
    lm_err err = lm_file_list_make(context->mem, paths, path_count, &list);
    if (err) return context_end(context, err);

    size_t run = 0; /* first of the plain logs that were not handed on yet */
    for (size_t i = 0; i < list.count && !err; i++) {
        bool is_archive = false;
        /* what cannot be read is told, and left out, where it would be packed */
        lm_err unreadable = api_is_archive(list.paths[i], &is_archive);
        if (unreadable == LM_E_NOMEM || unreadable == LM_E_LIMIT) err = unreadable;
        if (err || !is_archive) continue;
        if (run < i) err = take(take_ctx, (const char *const *)list.paths + run, i - run, false);
        if (!err) err = take(take_ctx, (const char *const *)list.paths + i, 1, true);
        run = i + 1;
    }
    if (!err && run < list.count)
        err = take(take_ctx, (const char *const *)list.paths + run, list.count - run, false);
    lm_file_list_fini(&list);
    return context_end(context, err);
}

/* ---- lines of a log ---- */

typedef struct line_batch {
    lm_str lines[LINES_BATCH];
    size_t count;
} line_batch;

/** Cut text into whole lines and hand them on; what is behind the last '\n' is left. */
static lm_err lines_take(lm_buf *text, bool is_end, line_batch *batch, api_line_fn take,
                         void *take_ctx)
{
    size_t at = 0;
    lm_err err = LM_OK;
    batch->count = 0;
    while (at < text->len && !err) {
        const uint8_t *line = text->ptr + at;
        const uint8_t *end = memchr(line, '\n', text->len - at);
        if (!end && !is_end && text->len - at < LM_LINE_BYTES_MAX) break;
        size_t len = end ? (size_t)(end - line) : text->len - at;
        batch->lines[batch->count++] = (lm_str){line, len};
        at += len + (end ? 1 : 0);
        if (batch->count == LINES_BATCH) {
            err = take(take_ctx, batch->lines, batch->count);
            batch->count = 0;
        }
    }
    if (!err && batch->count) err = take(take_ctx, batch->lines, batch->count);
    memmove(text->ptr, text->ptr + at, text->len - at);
    text->len -= at;
    return err;
}

lm_err api_each_lines(lm_context *context, const char *path, api_line_fn take, void *take_ctx)
{
    lm_source *source = NULL;
    lm_buf text;
    lm_buf_init(&text, context->mem);
    line_batch *batch = lm_mem_alloc(context->mem, sizeof *batch);
    lm_err err = batch ? lm_source_open(context->mem, path, false, &source) : lm_mem_err();
    size_t got = 1;
    while (!err && got) {
        if (api_is_cancelled(context)) {
            err = lm_fail(LM_E_CANCELLED, "stopped while reading '%s'", path);
            break;
        }
        err = lm_buf_reserve(&text, READ_CHUNK_BYTES);
        if (!err) err = lm_source_read(source, text.ptr + text.len, READ_CHUNK_BYTES, &got);
        if (err) break;
        text.len += got;
        err = lines_take(&text, got == 0, batch, take, take_ctx);
    }
    lm_source_close(source);
    lm_mem_release(context->mem, batch, sizeof *batch);
    lm_buf_fini(&text);
    return err;
}

/* ---- temporary archives of plain logs ---- */

lm_err api_spool(lm_context *context, const char *path, const char *copy)
{
    lm_source *source = NULL;
    lm_outfile *file = NULL;
    uint8_t *chunk = lm_mem_alloc(context->mem, READ_CHUNK_BYTES);
    lm_err err = chunk ? lm_source_open(context->mem, path, true, &source) : lm_mem_err();
    if (!err) err = lm_outfile_new(context->mem, copy, &file);
    for (size_t got = 1; !err && got;) {
        if (api_is_cancelled(context))
            err = lm_fail(LM_E_CANCELLED, "stopped while reading '%s'", path);
        if (!err) err = lm_source_read(source, chunk, READ_CHUNK_BYTES, &got);
        if (!err && got) err = lm_outfile_write(file, chunk, got);
    }
    if (!err) err = lm_outfile_commit(file);
    lm_outfile_free(file);
    lm_source_close(source);
    lm_mem_release(context->mem, chunk, READ_CHUNK_BYTES);
    return err;
}

static lm_err view_new(lm_context *context, lm_archive *archive, bool is_archive, lm_view **out)
{
    lm_view *view = lm_mem_calloc(context->mem, 1, sizeof *view);
    if (!view) return lm_mem_err();
    view->magic = VIEW_MAGIC;
    view->context = context;
    view->archive = archive;
    view->is_archive = is_archive;
    lm_arena_init(&view->costs, context->mem);
    lm_arena_init(&view->templates, context->mem);
    lm_arena_init(&view->search, context->mem);
    lm_arena_init(&view->diff, context->mem);
    api_view_sum(view);
    *out = view;
    return LM_OK;
}

static lm_err view_of_archive(lm_context *context, const char *path, unsigned flags,
                              bool is_archive, lm_view **out)
{
    lm_archive *archive = NULL;
    lm_err err = lm_archive_open(context->mem, path, (flags & LM_VIEW_SALVAGE) != 0, &archive);
    if (err) return err;
    err = view_new(context, archive, is_archive, out);
    if (err)
        lm_archive_close(archive);
    else
        (*out)->is_salvaged = (flags & LM_VIEW_SALVAGE) != 0;
    return err;
}

static lm_err view_of_logs(lm_context *context, const char *const *paths, size_t count,
                           lm_view **out)
{
    lm_pack_job job = LM_PACK_JOB_INIT;
    job.level = LM_PACK_FAST;
    lm_pack_result result;
    char temporary[LM_PATH_BYTES_MAX];
    lm_err err = lm_temp_make(temporary, sizeof temporary);
    if (err) return err;
    err = api_pack_paths(context, paths, count, &job, temporary, true, &result);
    if (!err) err = view_of_archive(context, temporary, 0, false, out);
    if (!err) (*out)->files_bad = result.files_bad;
    (void)unlink(temporary); /* the open archive keeps its bytes */
    return err;
}

/** Standard input as a file, so that an archive that comes through a pipe can be read too. */
static lm_err view_of_stdin(lm_context *context, unsigned flags, lm_view **out)
{
    char spool[LM_PATH_BYTES_MAX];
    bool is_archive = false;
    lm_err err = lm_temp_make(spool, sizeof spool);
    if (err) return err;
    err = api_spool(context, "-", spool);
    if (!err) err = api_is_archive(spool, &is_archive);
    if (!err && !is_archive && (flags & LM_VIEW_ARCHIVE_ONLY)) {
        err = lm_fail(LM_E_CORRUPT, "standard input is not a logmill archive");
    }
    if (!err && is_archive) err = view_of_archive(context, spool, flags, true, out);
    const char *path = spool;
    if (!err && !is_archive) err = view_of_logs(context, &path, 1, out);
    (void)unlink(spool);
    return err;
}

static lm_err view_open(lm_context *context, const char *path, unsigned flags, lm_view **out)
{
    if (strcmp(path, "-") == 0) return view_of_stdin(context, flags, out);
    bool is_archive = false;
    lm_err err = api_is_archive(path, &is_archive);
    if (err) return err;
    if (is_archive || (flags & LM_VIEW_SALVAGE))
        return view_of_archive(context, path, flags, true, out);
    if (flags & LM_VIEW_ARCHIVE_ONLY)
        return lm_fail(LM_E_CORRUPT, "'%s' is not a logmill archive", path);
    return view_of_logs(context, &path, 1, out);
}

lm_err lm_view_open(lm_context *context, const char *path, unsigned flags, lm_view **out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    return context_end(context, view_open(context, path, flags, out));
}

lm_err lm_view_open_logs(lm_context *context, const char *const *paths, size_t path_count,
                         lm_view **out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    if (path_count == 1) return lm_view_open(context, paths[0], 0, out);
    return context_end(context, view_of_logs(context, paths, path_count, out));
}
