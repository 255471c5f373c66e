/** logmill unpack */
#include "cli/cli.h"

#include <string.h>

static bool put_bytes(void *ctx, size_t file_index, lm_text bytes)
{
    (void)ctx;
    (void)file_index;
    return cli_put(bytes);
}

typedef struct unpacking {
    const cli_args *args;
    lm_view *view;
    const char *folder;
    lm_unpack_result sum;
} unpacking;

static lm_err unpack_one(unpacking *work, size_t file_index)
{
    lm_unpack_result result = {0};
    if (cli_flag(work->args, "stdout"))
        return lm_view_read(work->view, file_index, put_bytes, NULL);
    lm_err err = lm_view_unpack(work->view, file_index, work->folder, cli_flag(work->args, "force"),
                                &result);
    work->sum.files += result.files;
    work->sum.bytes += result.bytes;
    work->sum.files_skipped += result.files_skipped;
    return err;
}

static lm_err unpack_all(unpacking *work)
{
    const cli_args *args = work->args;
    if (args->operand_count <= 1) return unpack_one(work, LM_ALL_FILES);
    lm_err worst = LM_ERR_NONE;
    for (int i = 1; i < args->operand_count; i++) {
        size_t index = 0;
        lm_err err = lm_view_file_find(work->view, args->operands[i], &index);
        if (err) return err;
        err = unpack_one(work, index);
        if (err && err != LM_ERR_CORRUPT) return err;
        if (err) worst = err;
    }
    return worst;
}

int cli_unpack(const cli_args *args)
{
    if (args->operand_count == 0) return cli_usage(args, "which archive?");
    const char *folder = cli_text(args, "output");
    unpacking work = {.args = args, .folder = folder ? folder : "."};
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    unsigned flags = LM_VIEW_ARCHIVE_ONLY | (cli_flag(args, "salvage") ? LM_VIEW_SALVAGE : 0u);
    int code = EXIT_DONE;
    lm_err err = lm_view_open(context, args->operands[0], flags, &work.view);
    if (!err) err = unpack_all(&work);
    if (err)
        code = cli_fail(context, err, NULL);
    else if (work.sum.files_skipped)
        code = EXIT_IO; /* each was named */
    if (work.sum.files_skipped && !cli_flag(args, "force")) {
        cli_say("%llu file%s not written (--force replaces files that exist)",
                (unsigned long long)work.sum.files_skipped, work.sum.files_skipped == 1 ? "" : "s");
    }
    if (!cli_flag(args, "quiet") && !cli_flag(args, "stdout") && work.sum.files) {
        char files[32], bytes[32];
        cli_progress_clear();
        (void)fprintf(stderr, "%s: %s file%s, %s\n", work.folder, cli_count(work.sum.files, files),
                      work.sum.files == 1 ? "" : "s", cli_bytes(work.sum.bytes, bytes));
    }
    lm_view_close(work.view);
    lm_context_free(context);
    return code;
}
