/** logmill verify */
#include "cli/cli.h"

static int verify_view(void *ctx, const cli_view *at)
{
    const cli_args *args = ctx;
    char bytes[32];
    lm_err err = lm_view_verify(at->view);
    if (err && err != LM_ERR_CORRUPT) return cli_fail(at->context, err, NULL);
    if (err) {
        cli_say("'%s' is damaged", at->name);
        return EXIT_NO;
    }
    if (!cli_flag(args, "quiet")) {
        cli_putf("%s: %sok%s, %s checked\n", at->name, cli_color("good"), cli_color("off"),
                 cli_bytes(lm_view_sum(at->view).archive_bytes, bytes));
    }
    return EXIT_DONE;
}

static lm_err note_kind(void *ctx, const char *const *paths, size_t path_count, bool is_archive)
{
    (void)paths;
    (void)path_count;
    *(bool *)ctx = is_archive;
    return LM_ERR_NONE;
}

/** Not to be opened at all is damage too, if it began as an archive. */
static int verify_one(const cli_args *args, lm_context *context, const char *path)
{
    cli_view at = {.context = context, .name = path, .is_archive = true};
    lm_err err = lm_view_open(context, path, LM_VIEW_ARCHIVE_ONLY, &at.view);
    if (err == LM_ERR_CORRUPT) {
        (void)cli_fail(context, err, NULL);
        lm_view *view = NULL;
        bool was_archive = false;
        lm_err listed = lm_inputs_each(context, &path, 1, note_kind, &was_archive);
        if (listed || !was_archive) return EXIT_DATA;
        if (lm_view_open(context, path, LM_VIEW_SALVAGE, &view) == LM_ERR_NONE) {
            lm_view_totals sum = lm_view_sum(view);
            cli_say("%llu segments with %llu lines can be read with --salvage",
                    (unsigned long long)sum.segments, (unsigned long long)sum.lines);
            lm_view_close(view);
        }
        return EXIT_NO;
    }
    if (err) return cli_fail(context, err, NULL);
    int code = verify_view((void *)(uintptr_t)args, &at);
    lm_view_close(at.view);
    return code;
}

int cli_verify(const cli_args *args)
{
    if (args->operand_count == 0) return cli_usage(args, "which archive?");
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    int worst = EXIT_DONE;
    for (int i = 0; i < args->operand_count; i++) {
        int code = verify_one(args, context, args->operands[i]);
        if (code > worst) worst = code;
    }
    lm_context_free(context);
    return worst;
}
