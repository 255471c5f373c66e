/** logmill cat, head, tail: text of an archive (or of any log, compressed or not) on standard
 * output. */
#include "cli/cli.h"

static char last_byte = '\n'; /* of the text so far: titles begin on a line of their own */

static bool put_bytes(void *ctx, size_t file_index, lm_text bytes)
{
    (void)ctx;
    (void)file_index;
    if (bytes.len) last_byte = bytes.ptr[bytes.len - 1];
    return cli_put(bytes);
}

static lm_err put_head(lm_view *view, size_t file, uint64_t lines)
{
    return lm_view_lines(view, file, 1, lines, put_bytes, NULL);
}

static lm_err put_tail(lm_view *view, size_t file, uint64_t lines)
{
    uint64_t all = lm_view_file_at(view, file).lines;
    return lm_view_lines(view, file, all > lines ? all - lines + 1 : 1, lines, put_bytes, NULL);
}

static lm_err put_file(lm_view *view, size_t file, uint64_t lines)
{
    (void)lines;
    return lm_view_read(view, file, put_bytes, NULL);
}

typedef lm_err (*put_fn)(lm_view *view, size_t file, uint64_t lines);

static lm_err put_files(const cli_args *args, lm_view *view, put_fn put, bool has_titles)
{
    uint64_t lines = has_titles ? cli_number(args, "lines", 10) : 0;
    bool is_all = args->operand_count <= 1;
    size_t count = is_all ? lm_view_file_count(view) : (size_t)args->operand_count - 1;
    lm_err worst = LM_ERR_NONE;
    if (is_all && !has_titles) return put(view, LM_ALL_FILES, 0);
    for (size_t i = 0; i < count; i++) {
        size_t file = i;
        lm_err err = is_all ? LM_ERR_NONE : lm_view_file_find(view, args->operands[i + 1], &file);
        if (err) return err;
        if (has_titles && count > 1 && !cli_flag(args, "quiet")) {
            cli_putf("%s%s%s==> ", last_byte == '\n' ? "" : "\n", i ? "\n" : "", cli_color("file"));
            last_byte = '\n';
            cli_put_line(lm_view_file_at(view, file).name, 0);
            cli_putf(" <==%s\n", cli_color("off"));
        }
        err = put(view, file, lines);
        if (err && err != LM_ERR_CORRUPT) return err;
        if (err) worst = err;
        if (ferror(stdout)) break;
    }
    return worst;
}

static int put_text(const cli_args *args, put_fn put, bool has_titles)
{
    if (args->operand_count == 0) return cli_usage(args, "which archive or log?");
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    unsigned flags = !has_titles && cli_flag(args, "salvage") ? LM_VIEW_SALVAGE : 0;
    lm_view *view = NULL;
    lm_err err = lm_view_open(context, args->operands[0], flags, &view);
    if (!err) err = put_files(args, view, put, has_titles);
    int code = err ? cli_fail(context, err, NULL) : EXIT_DONE;
    lm_view_close(view);
    lm_context_free(context);
    return code;
}

int cli_cat(const cli_args *args)
{
    return put_text(args, put_file, false);
}

int cli_head(const cli_args *args)
{
    return put_text(args, put_head, true);
}

int cli_tail(const cli_args *args)
{
    return put_text(args, put_tail, true);
}
