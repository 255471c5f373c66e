/** Packing: files and folders in, one archive out. */
#include "api/api_priv.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- what the archive room tells, passed on ---- */

typedef struct pack_watch {
    lm_context *context;
    uint64_t files_bad;
} pack_watch;

static void watch_bad(void *ctx, const char *path, const char *text)
{
    pack_watch *watch = ctx;
    watch->files_bad++;
    /* Most texts name the path themselves. */
    if (strstr(text, path)) {
        api_note(watch->context, LM_NOTE_WARNING, "%s", text);
    } else {
        api_note(watch->context, LM_NOTE_WARNING, "'%s': %s", path, text);
    }
}

static void watch_progress(void *ctx, const lm_pack_progress *now)
{
    lm_context *context = ((pack_watch *)ctx)->context;
    lm_progress told = {
        .bytes_done = now->bytes_in, .bytes_total = now->bytes_total, .bytes_out = now->bytes_out};
    context->options.progress(context->options.progress_ctx, &told);
}

/* ---- the list of inputs ---- */

static bool is_same_file(const char *path, const struct stat *other)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_dev == other->st_dev && info.st_ino == other->st_ino;
}

/** A log that is named as input must not be replaced by the archive it goes into. */
static lm_err inputs_check(const char *const *paths, size_t count, const char *output)
{
    struct stat info;
    bool is_archive = false;
    if (stat(output, &info) != 0 || !S_ISREG(info.st_mode)) return LM_OK;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(paths[i], "-") == 0 || !is_same_file(paths[i], &info)) continue;
        lm_err err = api_is_archive(paths[i], &is_archive);
        if (err) return err;
        if (!is_archive)
            return lm_fail(LM_E_USAGE, "'%s' would be replaced by the archive it goes into",
                           paths[i]);
    }
    return LM_OK;
}

/** An archive that replaces an old one in a folder that is being packed must not pack the old one.
 */
static void list_drop_output(lm_file_list *list, const char *output)
{
    struct stat info;
    if (stat(output, &info) != 0 || !S_ISREG(info.st_mode)) return;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!is_same_file(list->paths[i], &info)) list->paths[kept++] = list->paths[i];
    }
    list->count = kept;
}

static uint64_t list_bytes(const lm_file_list *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct stat info;
        bool is_known = strcmp(list->paths[i], "-") != 0 && stat(list->paths[i], &info) == 0 &&
                        S_ISREG(info.st_mode);
        bytes += is_known ? (uint64_t)info.st_size : POOL_WORK_BYTES_MIN;
    }
    return bytes;
}

/** What can be read only once is copied first: packing looks at every input before it reads it. */
static lm_err list_spool(lm_context *context, lm_file_list *list, bool *spooled)
{
    for (size_t i = 0; i < list->count; i++) {
        char copy[LM_PATH_BYTES_MAX];
        struct stat info;
        bool is_stream = strcmp(list->paths[i], "-") != 0 && stat(list->paths[i], &info) == 0 &&
                         !S_ISREG(info.st_mode);
        if (!is_stream) continue;
        lm_err err = lm_temp_make(copy, sizeof copy);
        if (err) return err;
        const char *path = list->paths[i];
        char *kept = lm_arena_copy(&list->arena, copy, strlen(copy));
        if (!kept) {
            (void)unlink(copy);
            return lm_mem_err();
        }
        list->paths[i] = kept;
        spooled[i] = true;
        err = api_spool(context, path, kept);
        if (err) return err;
    }
    return LM_OK;
}

lm_err api_pack_paths(lm_context *context, const char *const *paths, size_t count,
                      const lm_pack_job *job, const char *out_path, bool is_for_view,
                      lm_pack_result *out)
{
    lm_file_list list = {0};
    pack_watch watch = {.context = context};
    lm_pool *pool = NULL;
    bool *spooled = NULL; /* by path: a copy that goes away again */
    size_t listed = 0;

    lm_err err = inputs_check(paths, count, out_path);
    if (!err) err = lm_file_list_make(context->mem, paths, count, &list);
    if (err) return err;
    list_drop_output(&list, out_path);
    if (list.count == 0) {
        err = lm_fail(LM_E_USAGE, "there are no files in '%s'", paths[0]);
        goto out;
    }
    listed = list.count;
    spooled = lm_mem_calloc(context->mem, listed, sizeof *spooled);
    err = spooled ? list_spool(context, &list, spooled) : lm_mem_err();
    if (!err) err = api_pool(context, list_bytes(&list), &pool);
    if (err) goto out;

    lm_pack_options options = {
        .level = job->level == LM_PACK_DEFAULT ? LM_LEVEL_DEFAULT : (lm_level)job->level,
        .segment_bytes = (size_t)job->segment_bytes,
        .raw_input = job->keep_packed,
        .keep_columns = is_for_view,
        .start_pattern = api_str(job->start_pattern),
        .schema_yaml = api_str(job->schema_yaml),
        .template_yaml = api_str(job->template_yaml),
        .progress = context->options.progress ? watch_progress : NULL,
        .progress_ctx = &watch,
        .cancel = context->options.cancel,
    };
    lm_pack_report report = {0};
    err = lm_archive_pack(context->mem, pool, (const char *const *)list.paths, list.count, &options,
                          out_path, watch_bad, &watch, &report);
    if (err) goto out;
    *out = (lm_pack_result){
        .bytes_in = report.bytes_in,
        .bytes_out = report.bytes_out,
        .lines = report.lines,
        .files = report.files,
        .segments = report.segments,
        .templates = report.templates,
        .files_bad = watch.files_bad,
    };
out:
    for (size_t i = 0; spooled && i < listed; i++) {
        if (spooled[i]) (void)unlink(list.paths[i]);
    }
    lm_mem_release(context->mem, spooled, listed * sizeof *spooled);
    lm_file_list_fini(&list);
    return err;
}

static lm_err job_check(const lm_pack_job *job)
{
    if (job->struct_bytes < sizeof(lm_pack_job)) {
        return lm_fail(LM_E_USAGE, "struct_bytes of lm_pack_job is not set");
    }
    if (job->input_count == 0) return lm_fail(LM_E_USAGE, "nothing to pack");
    if (!job->output || !job->output[0]) return lm_fail(LM_E_USAGE, "no name for the archive");
    if (job->level != LM_PACK_DEFAULT && job->level != LM_PACK_FAST && job->level != LM_PACK_MAX) {
        return lm_fail(LM_E_USAGE, "there is no level %d", (int)job->level);
    }
    struct stat info;
    if (stat(job->output, &info) != 0) return LM_OK;
    if (S_ISDIR(info.st_mode)) return lm_fail(LM_E_USAGE, "'%s' is a folder", job->output);
    if (!job->replace) return lm_fail(LM_E_USAGE, "'%s' already exists", job->output);
    return LM_OK;
}

lm_err lm_pack(lm_context *context, const lm_pack_job *job, lm_pack_result *out)
{
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_pack_result result = {0};
    lm_err err = job_check(job);
    if (!err)
        err = api_pack_paths(context, job->inputs, job->input_count, job, job->output, false,
                             &result);
    if (err) return context_end(context, err);
    if (out) *out = result;
    return LM_OK;
}
