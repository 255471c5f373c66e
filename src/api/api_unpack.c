/** Unpacking to files: names that foreign bytes gave, written below one folder. */
#include "api/api_priv.h"

typedef struct unpacking {
    lm_view *view;
    lm_tree *tree;
    lm_tree_file *file; /* being written; NULL: none, or this one is skipped */
    size_t current;     /* its index; SIZE_MAX: none was begun */
    bool replace;
    bool has_told_names; /* one note about changed names is enough */
    uint64_t *begun;     /* bitmap of files that were begun */
    size_t begun_words;
    uint64_t *seen;  /* hashes of names written in this call: open addressing, 0 is empty */
    size_t seen_cap; /* a power of two */
    uint64_t bytes_done;
    lm_unpack_result result;
} unpacking;

/** Was this name written in this call already? Two names may become one when they are made
 * harmless. */
static bool name_is_seen(unpacking *work, const char *name)
{
    uint64_t hash = lm_hash64(name, strlen(name)) | 1;
    size_t at = (size_t)hash & (work->seen_cap - 1);
    while (work->seen[at] && work->seen[at] != hash)
        at = (at + 1) & (work->seen_cap - 1);
    bool is_seen = work->seen[at] == hash;
    work->seen[at] = hash;
    return is_seen;
}

static lm_err skip(unpacking *work, const char *text)
{
    work->result.files_skipped++;
    api_note(work->view->context, LM_NOTE_WARNING, "%s", text);
    return LM_OK;
}

static lm_err file_finish(unpacking *work)
{
    if (!work->file) return LM_OK;
    const lm_archive_file *info = lm_archive_file_at(work->view->archive, work->current);
    lm_err err = lm_tree_file_commit(work->file, info->mode ? info->mode : 0644, info->mtime_ns);
    lm_tree_file_free(work->file);
    work->file = NULL;
    if (err == LM_E_USAGE) return skip(work, lm_err_text());
    if (!err) work->result.files++;
    return err;
}

static lm_err file_begin(unpacking *work, size_t index)
{
    char name[LM_PATH_BYTES_MAX];
    bool is_changed = false;
    const lm_archive_file *info = lm_archive_file_at(work->view->archive, index);
    lm_err err = lm_tree_name(info->name, name, sizeof name, &is_changed);
    work->current = index;
    work->begun[index / 64] |= (uint64_t)1 << (index % 64);
    if (err) return skip(work, lm_err_text());
    if (is_changed && !work->has_told_names) {
        work->has_told_names = true;
        api_note(work->view->context, LM_NOTE_WARNING,
                 "'%.*s' is written as '%s', and others likewise", (int)info->name.len,
                 (const char *)info->name.ptr, name);
    }
    if (name_is_seen(work, name)) {
        (void)lm_fail(LM_E_USAGE,
                      "'%s' is not written again: two files of the archive have that name", name);
        return skip(work, lm_err_text());
    }
    err = lm_tree_file_new(work->tree, name, work->replace, &work->file);
    if (err == LM_E_USAGE || err == LM_E_LIMIT) return skip(work, lm_err_text());
    return err;
}

static bool is_begun(const unpacking *work, size_t index)
{
    return work->begun[index / 64] >> (index % 64) & 1;
}

/** Go on to another file. Files come whole, one behind the other; a forged archive may come back to
 * one. */
static lm_err file_turn(unpacking *work, size_t index)
{
    lm_err err = file_finish(work);
    if (err) return err;
    if (is_begun(work, index))
        return lm_fail(LM_E_CORRUPT, "the archive gives file %zu in pieces", index);
    return file_begin(work, index);
}

/** Does nothing but the number of a file remain, in an archive that lost its list? */
static bool is_lost(const unpacking *work, size_t index)
{
    const lm_archive_file *info = lm_archive_file_at(work->view->archive, index);
    return work->view->is_salvaged && info->lines == 0 &&
           lm_str_equal(info->name, LM_STR("unknown"));
}

/** Files that no bytes came for are empty. */
static lm_err files_rest(unpacking *work, size_t begin, size_t end)
{
    lm_err err = file_finish(work);
    for (size_t i = begin; i < end && !err; i++) {
        if (is_begun(work, i) || is_lost(work, i)) continue;
        err = file_begin(work, i);
        if (!err) err = file_finish(work);
    }
    return err;
}

static lm_err unpack_sink(void *ctx, size_t file_index, lm_str bytes)
{
    unpacking *work = ctx;
    lm_context *context = work->view->context;
    lm_err err = LM_OK;
    if (api_is_cancelled(context)) return lm_fail(LM_E_CANCELLED, "stopped while unpacking");
    if (file_index != work->current) err = file_turn(work, file_index);
    if (!err && work->file) {
        err = lm_tree_file_write(work->file, bytes.ptr, bytes.len);
        work->result.bytes += bytes.len;
    }
    work->bytes_done += bytes.len;
    if (context->options.progress) {
        lm_progress now = {work->bytes_done, work->view->totals.raw_bytes, work->result.bytes};
        context->options.progress(context->options.progress_ctx, &now);
    }
    return err;
}

static lm_err unpack_prepare(unpacking *work, size_t wanted, const char *folder)
{
    lm_mem *mem = work->view->context->mem;
    work->seen_cap = 16;
    while (work->seen_cap < 2 * wanted)
        work->seen_cap *= 2;
    work->seen = lm_mem_calloc(mem, work->seen_cap, sizeof *work->seen);
    if (!work->seen) return lm_mem_err();
    work->begun_words = lm_archive_file_count(work->view->archive) / 64 + 1;
    work->begun = lm_mem_calloc(mem, work->begun_words, sizeof *work->begun);
    if (!work->begun) return lm_mem_err();
    return lm_tree_open(mem, folder, &work->tree);
}

static lm_err unpack(unpacking *work, size_t file_index, const char *folder)
{
    lm_view *view = work->view;
    lm_mem *mem = view->context->mem;
    lm_pool *pool = NULL;
    bool is_all = file_index == LM_ALL_FILES;
    size_t begin = is_all ? 0 : file_index;
    size_t end = is_all ? lm_archive_file_count(view->archive) : file_index + 1;

    lm_err err = unpack_prepare(work, end - begin, folder);
    if (!err) err = api_pool(view->context, view->totals.raw_bytes, &pool);
    bool is_damaged = false;
    if (!err) {
        err = lm_archive_unpack(view->archive, pool, file_index, unpack_sink, work, api_note_bad,
                                view->context);
        is_damaged = err == LM_E_CORRUPT;
    }
    if (!err || is_damaged) {
        lm_err_info damage;
        lm_err_save(&damage);
        err = files_rest(work, begin, end);
        if (!err && is_damaged) err = lm_err_restore(&damage);
    }
    lm_tree_file_free(work->file);
    lm_tree_close(work->tree);
    lm_mem_release(mem, work->begun, work->begun_words * sizeof *work->begun);
    lm_mem_release(mem, work->seen, work->seen_cap * sizeof *work->seen);
    return err;
}

lm_err lm_view_unpack(lm_view *view, size_t file_index, const char *folder, bool replace,
                      lm_unpack_result *out)
{
    LM_ASSERT(view->magic == VIEW_MAGIC);
    LM_ASSERT(file_index == LM_ALL_FILES || file_index < lm_archive_file_count(view->archive));
    unpacking work = {.view = view, .current = SIZE_MAX, .replace = replace};
    lm_err err = unpack(&work, file_index, folder);
    if (out && (!err || err == LM_E_CORRUPT)) *out = work.result;
    return context_end(view->context, err);
}
