/** logmill diff */
#include "cli/cli.h"

static const struct {
    const char *title, *name, *color;
    char sign;
} kinds[] = {
    [LM_CHANGE_NEW] = {"appeared", "new", "good", '+'},
    [LM_CHANGE_GONE] = {"vanished", "gone", "bad", '-'},
    [LM_CHANGE_MORE] = {"more often", "more", "good", '>'},
    [LM_CHANGE_LESS] = {"less often", "less", "bad", '<'},
};

static void put_difference(const lm_difference *d)
{
    char before[32], after[32], factor[32] = "";
    if (d->change == LM_CHANGE_MORE) (void)snprintf(factor, sizeof factor, "%.3gx", d->factor);
    if (d->change == LM_CHANGE_LESS)
        (void)snprintf(factor, sizeof factor, "1/%.3gx", 1 / d->factor);
    unsigned width = cli_width(), left = 2 + 12 + 4 + 12 + 10 + 2;
    cli_putf("%s%c%s %12s -> %12s %9s  ", cli_color(kinds[d->change].color), kinds[d->change].sign,
             cli_color("off"), cli_count(d->count_before, before), cli_count(d->count_after, after),
             factor);
    cli_put_line(d->text, width > left + 40 ? width - left : 0);
    (void)cli_put_z("\n");
}

static void put_json(const lm_difference *d)
{
    cli_json_begin();
    cli_json_z("change", kinds[d->change].name);
    cli_json_number("before", d->count_before);
    cli_json_number("after", d->count_after);
    cli_json_real("factor", d->factor);
    cli_json_text("template", d->text);
    cli_json_end();
}

static void put_all(const cli_args *args, const lm_difference *list, size_t count)
{
    uint64_t limit = cli_number(args, "limit", 20), shown = 0;
    char number[32];
    for (size_t i = 0; i < count; i++) {
        bool is_first = i == 0 || list[i].change != list[i - 1].change;
        if (cli_flag(args, "json")) {
            put_json(&list[i]);
            continue;
        }
        if (is_first) {
            size_t same = 0;
            while (i + same < count && list[i + same].change == list[i].change)
                same++;
            cli_putf("%s%s%s: %s%s\n", i ? "\n" : "", cli_color("bold"),
                     kinds[list[i].change].title, cli_count(same, number), cli_color("off"));
            shown = 0;
        }
        if (!limit || shown < limit)
            put_difference(&list[i]);
        else if (shown == limit)
            (void)cli_put_z("  ... (--limit 0 shows all)\n");
        shown++;
    }
}

int cli_diff(const cli_args *args)
{
    if (args->operand_count != 2) return cli_usage(args, "two archives or logs are compared");
    uint64_t factor = cli_number(args, "factor", 2);
    if (factor < 2) return cli_usage(args, "--factor wants 2 or more");
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    lm_view *before = NULL, *after = NULL;
    const lm_difference *list = NULL;
    size_t count = 0;
    lm_err err = lm_view_open(context, args->operands[0], 0, &before);
    if (!err) err = lm_view_open(context, args->operands[1], 0, &after);
    if (!err) err = lm_view_diff(before, after, (double)factor, &list, &count);
    int code = err ? cli_fail(context, err, NULL) : count ? EXIT_NO : EXIT_DONE;
    if (!err) put_all(args, list, count);
    if (!err && (lm_view_files_bad(before) || lm_view_files_bad(after)))
        code = EXIT_IO; /* each was named */
    lm_view_close(after);
    lm_view_close(before);
    lm_context_free(context);
    return code;
}
