/** The operands of a command, one view after the other: archives by themselves, runs of plain logs
 * together. */
#include "cli/cli.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct each {
    lm_context *context;
    unsigned flags;
    int (*work)(void *ctx, const cli_view *at);
    void *ctx;
    size_t views;
    bool is_only;
    int worst; /* exit code so far */
} each;

static void each_code(each *all, int code)
{
    if (code > all->worst) all->worst = code;
}

static void each_run(each *all, cli_view *at)
{
    at->context = all->context;
    at->index = all->views++;
    at->is_only = all->is_only;
    each_code(all, all->work(all->ctx, at));
    if (lm_view_files_bad(at->view)) each_code(all, EXIT_IO); /* each was named */
    lm_view_close(at->view);
}

static lm_err each_take(void *ctx, const char *const *paths, size_t path_count, bool is_archive)
{
    each *all = ctx;
    cli_view at = {.name = paths[0], .is_archive = is_archive};
    lm_err err = is_archive ? lm_view_open(all->context, paths[0], all->flags, &at.view)
                            : lm_view_open_logs(all->context, paths, path_count, &at.view);
    if (err == LM_ERR_CORRUPT && is_archive && !(all->flags & LM_VIEW_SALVAGE)) {
        /* One damaged archive must not hide what the others hold. */
        all->views++;
        each_code(all, cli_fail(all->context, err, NULL));
        return LM_ERR_NONE;
    }
    if (err) return err;
    each_run(all, &at);
    return LM_ERR_NONE;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static lm_err each_operand(each *all, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    if (!is_stdin && !(all->flags & (LM_VIEW_SALVAGE | LM_VIEW_ARCHIVE_ONLY))) {
        return lm_inputs_each(all->context, &path, 1, each_take, all);
    }
    cli_view at = {.name = is_stdin ? "standard input" : path};
    lm_err err = lm_view_open(all->context, path, all->flags, &at.view);
    if (err) return err;
    at.is_archive = lm_view_is_archive(at.view);
    each_run(all, &at);
    return LM_ERR_NONE;
}

int cli_each_view(const cli_args *args, int first, unsigned flags,
                  int (*work)(void *ctx, const cli_view *at), void *ctx)
{
    int count = args->operand_count - first;
    if (count <= 0 && isatty(STDIN_FILENO)) return cli_usage(args, "which archive or log?");
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    bool is_only = count <= 0 || (count == 1 && !is_folder(args->operands[first]));
    each all = {.context = context,
                .flags = flags,
                .work = work,
                .ctx = ctx,
                .is_only = is_only,
                .worst = EXIT_DONE};
    lm_err err = LM_ERR_NONE;
    for (int i = 0; i < (count > 0 ? count : 1) && err != LM_ERR_CANCELLED; i++) {
        err = each_operand(&all, count > 0 ? args->operands[first + i] : "-");
        if (err) {
            int code = cli_fail(context, err, NULL);
            if (code > all.worst) all.worst = code;
        }
    }
    lm_context_free(context);
    return all.worst;
}
