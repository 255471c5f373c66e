/** logmill schema */
#include "cli/cli.h"

#include <string.h>

typedef struct showing {
    bool is_json;
    bool has_shown;
    bool has_format;  /* of the operand at hand */
    char source[512]; /* whose formats were shown last */
} showing;

static void put_format_json(const lm_view_format *format)
{
    cli_json_begin();
    cli_json_text("source", format->source);
    cli_json_text("format", format->name);
    cli_json_text("pattern", format->pattern);
    cli_json_number("lines", format->lines);
    cli_json_real("share",
                  format->lines_total ? (double)format->lines / (double)format->lines_total : 0);
    cli_json_open("fields", '[');
    for (size_t i = 0; i < format->field_count; i++) {
        const lm_view_field *field = &format->fields[i];
        cli_json_open(NULL, '{');
        cli_json_text("name", field->name);
        cli_json_z("type", field->type);
        if (field->detail.len) cli_json_text("detail", field->detail);
        cli_json_number("count", field->count);
        cli_json_number("distinct", field->distinct);
        cli_json_open("examples", '[');
        for (size_t k = 0; k < 3 && field->examples[k].len; k++)
            cli_json_text(NULL, field->examples[k]);
        cli_json_close(']');
        cli_json_close('}');
    }
    cli_json_close(']');
    cli_json_end();
}

static void put_field(const lm_view_field *field, int name_width)
{
    char count[32], distinct[32];
    const char *dim = cli_color("dim"), *off = cli_color("off");
    int pad = name_width - (int)field->name.len;
    (void)cli_put_z("  ");
    cli_put_line(field->name, 0);
    cli_putf("%*s  %-9s %11s %11s  ", pad > 0 ? pad : 0, "", field->type,
             cli_count(field->count, count), cli_count(field->distinct, distinct));
    if (field->detail.len) {
        cli_put_line(field->detail, 60);
        (void)cli_put_z("  ");
    }
    (void)cli_put_z(dim);
    for (size_t i = 0; i < 3 && field->examples[i].len; i++) {
        if (i) (void)cli_put_z(" · ");
        cli_put_line(field->examples[i], 40);
    }
    cli_putf("%s\n", off);
}

static void put_format_words(showing *show, const lm_view_format *format)
{
    char lines[32], share[32], source[512];
    const char *bold = cli_color("bold"), *off = cli_color("off");
    (void)snprintf(source, sizeof source, "%.*s", (int)format->source.len, format->source.ptr);
    if (strcmp(source, show->source) != 0) {
        char total[32];
        if (show->has_shown) (void)cli_put_z("\n");
        cli_putf("%s%s%s: %s lines\n", cli_color("file"), source, off,
                 cli_count(format->lines_total, total));
        (void)snprintf(show->source, sizeof show->source, "%s", source);
    }
    cli_putf("\n%s%.*s%s: %s lines, %s\n", bold, (int)format->name.len, format->name.ptr, off,
             cli_count(format->lines, lines), cli_share(format->lines, format->lines_total, share));
    if (format->pattern.len) {
        (void)cli_put_z("  ");
        cli_put_line(format->pattern, 0);
        (void)cli_put_z("\n");
    }
    int width = 9;
    for (size_t i = 0; i < format->field_count; i++) {
        int len = (int)format->fields[i].name.len;
        if (len > width && len <= 40) width = len;
    }
    if (format->field_count) {
        cli_putf("  %s%-*s  %-9s %11s %11s  %s%s\n", cli_color("dim"), width, "field", "type",
                 "values", "distinct", "examples", off);
    }
    for (size_t i = 0; i < format->field_count; i++)
        put_field(&format->fields[i], width);
    show->has_shown = true;
}

static void put_format(void *ctx, const lm_view_format *format)
{
    showing *show = ctx;
    show->has_format = true;
    if (show->is_json)
        put_format_json(format);
    else
        put_format_words(show, format);
}

static void put_conflict(void *ctx, lm_text sentence)
{
    showing *show = ctx;
    if (show->is_json) {
        cli_json_begin();
        cli_json_text("conflict", sentence);
        cli_json_end();
        return;
    }
    cli_putf("%sconflict:%s ", cli_color("bad"), cli_color("off"));
    cli_put_line(sentence, 0);
    (void)cli_put_z("\n");
}

int cli_schema(const cli_args *args)
{
    showing show = {.is_json = cli_flag(args, "json")};
    lm_schema_job job = LM_SCHEMA_JOB_INIT;
    if (args->operand_count == 0) return cli_usage(args, "which log?");
    if (!cli_config_read(cli_text(args, "schema"), 0, &job.schema_yaml)) return EXIT_IO;
    job.format = put_format;
    job.conflict = put_conflict;
    job.ctx = &show;
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    int worst = EXIT_DONE;
    for (int i = 0; i < args->operand_count; i++) {
        show.has_format = false;
        lm_err err = lm_schema_of(context, args->operands[i], &job);
        if (!err && !show.has_format) cli_say("no format found in '%s'", args->operands[i]);
        int code = err ? cli_fail(context, err, NULL) : EXIT_DONE;
        if (code > worst) worst = code;
        if (err == LM_ERR_CANCELLED) break;
    }
    lm_context_free(context);
    return worst;
}
