/** logmill templates */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

/* ---- the list ---- */

static void put_trend(const uint64_t *trend)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t most = 0;
    for (size_t i = 0; i < LM_TREND_BUCKETS; i++) {
        if (trend[i] > most) most = trend[i];
    }
    for (size_t i = 0; i < LM_TREND_BUCKETS; i++) {
        /* Nothing at all is a blank, so that a single line can be told from none. */
        size_t height = trend[i] ? (size_t)(7.0 * sqrt((double)trend[i] / (double)most) + 0.5) : 0;
        (void)cli_put_z(trend[i] ? bars[height] : " ");
    }
}

/** Template text with its <*> in colour. */
static void put_template(lm_text text, unsigned width)
{
    if (width || !cli_color("slot")[0]) {
        cli_put_line(text, width);
        return;
    }
    size_t run = 0;
    for (size_t at = 0; at + 3 <= text.len; at++) {
        if (memcmp(text.ptr + at, "<*>", 3) != 0) continue;
        cli_put_line((lm_text){text.ptr + run, at - run}, 0);
        cli_putf("%s<*>%s", cli_color("slot"), cli_color("off"));
        run = at + 3;
        at += 2;
    }
    cli_put_line((lm_text){text.ptr + run, text.len - run}, 0);
}

static void put_words(const lm_view_template *item, uint64_t lines, bool has_example)
{
    char count[32], share[32], first[32], last[32];
    const char *dim = cli_color("dim"), *off = cli_color("off");
    unsigned width = cli_width(),
             left = 12 + 9 + 2 + LM_TREND_BUCKETS + 2 + 19 + 2 + 19 + 2 + 6 + 2;
    cli_putf("%12s %8s  ", cli_count(item->count, count), cli_share(item->count, lines, share));
    put_trend(item->trend);
    cli_putf("  %-19s  %-19s  %6u  ", cli_time(item->first_ns, first),
             cli_time(item->last_ns, last), item->id);
    if (item->name.len) {
        cli_putf("%s", cli_color("bold"));
        cli_put_line(item->name, 0);
        cli_putf("%s: ", off);
    }
    put_template(item->text, width > left + 40 ? width - left : 0);
    (void)cli_put_z("\n");
    if (!has_example || !item->example.len) return;
    cli_putf("%*s%s", 23, "", dim);
    cli_put_line(item->example, width > 63 ? width - 23 : 0);
    cli_putf("%s\n", off);
}

static void put_json(const cli_view *at, const lm_view_template *item, uint64_t lines)
{
    cli_json_begin();
    cli_json_z("archive", at->name);
    cli_json_number("id", item->id);
    cli_json_text("template", item->text);
    if (item->name.len) cli_json_text("name", item->name);
    cli_json_number("count", item->count);
    cli_json_real("share", lines ? (double)item->count / (double)lines : 0);
    cli_json_time("first", item->first_ns);
    cli_json_time("last", item->last_ns);
    if (item->example.ptr) cli_json_text("example", item->example);
    cli_json_open("trend", '[');
    for (size_t i = 0; i < LM_TREND_BUCKETS; i++)
        cli_json_number(NULL, item->trend[i]);
    cli_json_close(']');
    cli_json_end();
}

static int list_view(void *ctx, const cli_view *at)
{
    const cli_args *args = ctx;
    const lm_view_template *items = NULL;
    size_t count = 0;
    uint64_t lines = lm_view_sum(at->view).lines;
    bool is_json = cli_flag(args, "json"), has_example = !cli_flag(args, "no-example");
    unsigned flags = LM_TEMPLATES_TRENDS | (has_example ? (unsigned)LM_TEMPLATES_EXAMPLES : 0u);
    lm_err err = lm_view_templates(at->view, flags, &items, &count);
    if (err && err != LM_ERR_CORRUPT) return cli_fail(at->context, err, NULL);

    char text[32], shown_text[32];
    uint64_t limit = cli_number(args, "limit", 0);
    size_t shown = limit && limit < count ? (size_t)limit : count;
    if (!is_json) {
        if (at->index) (void)cli_put_z("\n");
        if (!at->is_only) cli_putf("%s%s%s\n", cli_color("file"), at->name, cli_color("off"));
        cli_putf("%s%12s %8s  %-*s  %-19s  %-19s  %6s  %s%s\n", cli_color("bold"), "lines", "share",
                 LM_TREND_BUCKETS, "trend", "first seen (UTC)", "last seen (UTC)", "id", "template",
                 cli_color("off"));
    }
    uint64_t told = 0;
    for (size_t i = 0; i < count; i++)
        told += items[i].count;
    for (size_t i = 0; i < shown && !ferror(stdout); i++) {
        const lm_view_template *item = &items[cli_flag(args, "rare") ? count - 1 - i : i];
        if (is_json)
            put_json(at, item, lines);
        else
            put_words(item, lines, has_example);
    }
    if (!is_json && !cli_flag(args, "quiet") && shown < count) {
        cli_say("%s of %s templates shown", cli_count(shown, shown_text), cli_count(count, text));
    }
    if (!err && !cli_flag(args, "quiet") && told < lines) {
        cli_say("%s of %s lines are kept as plain text, which has no templates: 'templates' on the "
                "files "
                "themselves tells them",
                cli_count(lines - told, shown_text), cli_count(lines, text));
    }
    return err ? cli_exit_of(err) : EXIT_DONE;
}

/* ---- bare messages ---- */

static bool put_assigned(void *ctx, uint32_t id, lm_text text)
{
    char number[16];
    char *p = number + sizeof number;
    (void)ctx;
    *--p = '\t';
    do
        *--p = (char)('0' + id % 10);
    while (id /= 10);
    return cli_put((lm_text){p, (size_t)(number + sizeof number - p)}) && cli_put(text) &&
           cli_put((lm_text){"\n", 1});
}

static int assign(const cli_args *args, const char *path)
{
    const char *rules = NULL;
    if (!cli_config_read(cli_text(args, "rules"), 1, &rules)) return EXIT_IO;
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    lm_err err = lm_messages_assign(context, path, rules, put_assigned, NULL);
    int code = err ? cli_fail(context, err, NULL) : EXIT_DONE;
    lm_context_free(context);
    return code;
}

static int convergence(const cli_args *args, const char *path)
{
    lm_convergence found = {0};
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    lm_err err = lm_messages_convergence(context, path, &found);
    int code = err ? cli_fail(context, err, NULL) : EXIT_DONE;
    lm_context_free(context);
    if (err) return code;
    double steady =
        found.first_half ? (double)found.first_half_steady / (double)found.first_half : 1;
    if (cli_flag(args, "json")) {
        cli_json_begin();
        cli_json_number("messages", found.messages);
        cli_json_number("templates", found.templates);
        cli_json_number("threads", found.threads);
        cli_json_bool("threads_agree", found.threads_agree);
        cli_json_number("first_half", found.first_half);
        cli_json_number("first_half_steady", found.first_half_steady);
        cli_json_real("steady_share", steady);
        cli_json_end();
    } else {
        cli_putf("messages                  %llu\n", (unsigned long long)found.messages);
        cli_putf("templates                 %llu\n", (unsigned long long)found.templates);
        cli_putf("same groups, 1 and %-4u   %s\n", found.threads,
                 found.threads_agree ? "yes" : "no");
        cli_putf("first half steady         %.4f (%llu of %llu lines keep their template's text to "
                 "the end)\n",
                 steady, (unsigned long long)found.first_half_steady,
                 (unsigned long long)found.first_half);
    }
    return found.threads_agree ? EXIT_DONE : EXIT_NO;
}

int cli_templates(const cli_args *args)
{
    const char *assigned = cli_text(args, "assign"), *converged = cli_text(args, "convergence");
    if (assigned && converged)
        return cli_usage(args, "--assign and --convergence exclude each other");
    if ((assigned || converged) && args->operand_count) {
        return cli_usage(args, "%s takes one file: what is '%s'?",
                         assigned ? "--assign" : "--convergence", args->operands[0]);
    }
    if (assigned) return assign(args, assigned);
    if (converged) return convergence(args, converged);
    if (cli_flag(args, "messages"))
        return cli_usage(args, "--messages goes with --assign FILE or --convergence FILE");
    if (cli_flag(args, "rules"))
        return cli_usage(args,
                         "--rules goes with --assign FILE; for archives see 'pack --templates'");
    return cli_each_view(args, 0, 0, list_view, (void *)(uintptr_t)args);
}
