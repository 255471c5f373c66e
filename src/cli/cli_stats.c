/** logmill stats */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define SUM_COUNT_MAX 64

/** Parts added up by what they are, or by how they are encoded. */
typedef struct part_sum {
    const char *name;
    uint64_t parts, values, plain_bytes, stored_bytes;
} part_sum;

static int sum_compare(const void *a, const void *b)
{
    const part_sum *x = a, *y = b;
    if (x->stored_bytes != y->stored_bytes) return x->stored_bytes < y->stored_bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

static const char *what_of(const lm_view_cost *cost)
{
    return cost->what;
}

static const char *encoding_of(const lm_view_cost *cost)
{
    return cost->encoding[0] ? cost->encoding : "(none)";
}

static size_t sum_up(const lm_view_cost *costs, size_t count,
                     const char *(*name_of)(const lm_view_cost *), part_sum *sums)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_of(&costs[i]);
        size_t at = 0;
        while (at < used && strcmp(sums[at].name, name) != 0)
            at++;
        if (at == SUM_COUNT_MAX)
            at--; /* more kinds than anybody wants to read: the last one takes them */
        if (at == used) sums[used++] = (part_sum){.name = name};
        sums[at].parts++;
        sums[at].values += costs[i].values;
        sums[at].plain_bytes += costs[i].plain_bytes;
        sums[at].stored_bytes += costs[i].stored_bytes;
    }
    qsort(sums, used, sizeof *sums, sum_compare);
    return used;
}

static void put_sums(const char *title, const part_sum *sums, size_t count, uint64_t archive_bytes,
                     bool has_values)
{
    char plain[32], stored[32], share[32], saved[32], parts[32];
    cli_putf("\n%s%-22s %9s %12s %12s %9s%s%s\n", cli_color("bold"), title, "parts", "plain",
             "stored", "share", has_values ? "       saved" : "", cli_color("off"));
    for (size_t i = 0; i < count; i++) {
        const part_sum *sum = &sums[i];
        cli_putf("%-22s %9s %12s %12s %9s", sum->name, cli_count(sum->parts, parts),
                 cli_bytes(sum->plain_bytes, plain), cli_bytes(sum->stored_bytes, stored),
                 cli_share(sum->stored_bytes, archive_bytes, share));
        if (has_values) {
            uint64_t less =
                sum->plain_bytes > sum->stored_bytes ? sum->plain_bytes - sum->stored_bytes : 0;
            cli_putf(" %11s", cli_bytes(less, saved));
        }
        (void)cli_put_z("\n");
    }
}

static void put_parts(const lm_view_cost *costs, size_t shown, size_t count, uint64_t archive_bytes)
{
    char values[32], plain[32], stored[32], share[32];
    unsigned width = cli_width(), left = 86;
    cli_putf("\n%s%-14s %6s %11s %12s %12s %9s  %-13s %s%s\n", cli_color("bold"), "largest parts",
             "stream", "values", "plain", "stored", "share", "encoding", "behind",
             cli_color("off"));
    for (size_t i = 0; i < shown; i++) {
        const lm_view_cost *cost = &costs[i];
        cli_putf("%-14s %6u %11s %12s %12s %9s  %-13s ", cost->what, cost->stream,
                 cli_count(cost->values, values), cli_bytes(cost->plain_bytes, plain),
                 cli_bytes(cost->stored_bytes, stored),
                 cli_share(cost->stored_bytes, archive_bytes, share), cost->encoding);
        cli_put_line(cost->name, width > left + 20 ? width - left : 60);
        (void)cli_put_z("\n");
    }
    if (shown < count) cli_putf("... and %zu more (--all shows them)\n", count - shown);
}

static void put_totals(const cli_view *at, const lm_view_totals *sum)
{
    char raw[32], size[32], files[48], lines[48], segments[48], streams[48], templates[48],
        first[32], last[32];
    cli_putf("%s%s%s\n", cli_color("file"), at->name, cli_color("off"));
    cli_putf("  %-12s %s in %s, %s\n", "text", cli_bytes(sum->raw_bytes, raw),
             cli_counted(sum->files, "file", files), cli_counted(sum->lines, "line", lines));
    cli_putf("  %-12s %s: %s%.2f times smaller%s%s\n", "archive",
             cli_bytes(sum->archive_bytes, size), cli_color("bold"),
             sum->archive_bytes ? (double)sum->raw_bytes / (double)sum->archive_bytes : 0,
             cli_color("off"),
             at->is_archive ? "" : " (a plain log, packed with --level fast for this)");
    cli_putf("  %-12s %s, %s, %s\n", "made of", cli_counted(sum->segments, "segment", segments),
             cli_counted(sum->streams, "stream", streams),
             cli_counted(sum->templates, "template", templates));
    cli_putf("  %-12s %s to %s\n", "times (UTC)", cli_time(sum->time_min, first),
             cli_time(sum->time_max, last));
}

static void put_json(const cli_view *at, const lm_view_totals *sum, const lm_view_cost *costs,
                     size_t count)
{
    cli_json_begin();
    cli_json_z("archive", at->name);
    cli_json_number("raw_bytes", sum->raw_bytes);
    cli_json_number("archive_bytes", sum->archive_bytes);
    cli_json_real("ratio",
                  sum->archive_bytes ? (double)sum->raw_bytes / (double)sum->archive_bytes : 0);
    cli_json_number("files", sum->files);
    cli_json_number("lines", sum->lines);
    cli_json_number("segments", sum->segments);
    cli_json_number("streams", sum->streams);
    cli_json_number("templates", sum->templates);
    cli_json_time("first", sum->time_min);
    cli_json_time("last", sum->time_max);
    cli_json_end();
    for (size_t i = 0; i < count; i++) {
        const lm_view_cost *cost = &costs[i];
        cli_json_begin();
        cli_json_z("part", cost->what);
        cli_json_text("name", cost->name);
        cli_json_number("stream", cost->stream);
        cli_json_z("encoding", cost->encoding);
        cli_json_number("values", cost->values);
        cli_json_number("plain_bytes", cost->plain_bytes);
        cli_json_number("stored_bytes", cost->stored_bytes);
        cli_json_end();
    }
}

static int stats_view(void *ctx, const cli_view *at)
{
    const cli_args *args = ctx;
    const lm_view_cost *costs = NULL;
    size_t count = 0;
    part_sum sums[SUM_COUNT_MAX];
    lm_view_totals sum = lm_view_sum(at->view);
    lm_err err = lm_view_costs(at->view, &costs, &count);
    if (err && err != LM_ERR_CORRUPT) return cli_fail(at->context, err, NULL);
    int code = err ? cli_exit_of(err) : EXIT_DONE;
    uint64_t limit = cli_flag(args, "all") ? count : cli_number(args, "limit", 10);
    if (cli_flag(args, "json")) {
        put_json(at, &sum, costs, count);
        return code;
    }
    if (at->index) (void)cli_put_z("\n");
    put_totals(at, &sum);
    if (!count) return code;
    put_sums("what", sums, sum_up(costs, count, what_of, sums), sum.archive_bytes, false);
    put_sums("encoding", sums, sum_up(costs, count, encoding_of, sums), sum.archive_bytes, true);
    put_parts(costs, limit < count ? (size_t)limit : count, count, sum.archive_bytes);
    return code;
}

int cli_stats(const cli_args *args)
{
    return cli_each_view(args, 0, 0, stats_view, (void *)(uintptr_t)args);
}
