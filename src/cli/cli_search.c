/** logmill search */
#include "cli/cli.h"
#include "cli/cli_query.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NEEDLE_COUNT_MAX 8
#define TALLY_COUNT_MAX  16384u     /* groups kept when several archives are counted together */
#define TALLY_TEXT_MAX   (4u << 20) /* bytes of their keys */

typedef struct searching {
    const cli_args *args;
    const char *query; /* in the language */
    lm_question question;
    lm_text needles[NEEDLE_COUNT_MAX];
    size_t needle_count;
    uint64_t matches, lines_told;
    const cli_view *at;
    bool show_archive, show_file, show_line;
    bool is_json, is_plain; /* is_plain: nothing but the line is shown */
} searching;

/* ---- a line ---- */

static lm_text file_name(const searching *work, const lm_hit *hit)
{
    bool is_spooled = !work->at->is_archive && strcmp(work->at->name, "standard input") == 0;
    if (is_spooled) return (lm_text){work->at->name, strlen(work->at->name)};
    return lm_view_file_at(work->at->view, hit->file_index).name;
}

/** The line with what was looked for in colour. */
static void put_coloured(const searching *work, lm_text line)
{
    const char *on = cli_color("match"), *off = cli_color("off");
    size_t run = 0, at = 0;
    if (!on[0] || !work->needle_count) {
        (void)cli_put(line);
        return;
    }
    while (at < line.len) {
        size_t len = 0;
        for (size_t i = 0; i < work->needle_count; i++) {
            const lm_text *needle = &work->needles[i];
            bool fits = needle->len <= line.len - at &&
                        memcmp(line.ptr + at, needle->ptr, needle->len) == 0;
            if (fits && needle->len > len) len = needle->len;
        }
        if (!len) {
            at++;
            continue;
        }
        (void)cli_put((lm_text){line.ptr + run, at - run});
        (void)cli_put_z(on);
        (void)cli_put((lm_text){line.ptr + at, len});
        (void)cli_put_z(off);
        run = at += len;
    }
    (void)cli_put((lm_text){line.ptr + run, line.len - run});
}

static void put_part(const char *color, lm_text text, char sign)
{
    const char *on = cli_color(color), *off = on[0] ? cli_color("off") : "";
    (void)cli_put_z(on);
    (void)cli_put(text);
    (void)cli_put_z(off);
    (void)cli_put((lm_text){&sign, 1});
}

static void put_words(searching *work, const lm_hit *hit)
{
    char sign = hit->is_context ? '-' : ':', number[24];
    if (hit->follows_gap && work->lines_told) (void)cli_put_z("--\n");
    if (work->show_archive)
        put_part("file", (lm_text){work->at->name, strlen(work->at->name)}, sign);
    if (work->show_file) put_part("file", file_name(work, hit), sign);
    if (work->show_line) {
        int len = snprintf(number, sizeof number, "%llu", (unsigned long long)hit->line);
        put_part("line", (lm_text){number, (size_t)len}, sign);
    }
    if (hit->is_context)
        (void)cli_put(hit->text);
    else
        put_coloured(work, hit->text);
    (void)cli_put_z("\n");
}

static void put_json(const searching *work, const lm_hit *hit)
{
    cli_json_begin();
    if (work->at->is_archive) cli_json_z("archive", work->at->name);
    cli_json_text("file", file_name(work, hit));
    cli_json_number("line", hit->line);
    if (hit->is_context) {
        cli_json_bool("context", true);
    } else {
        cli_json_time("time", hit->time_ns);
        cli_json_number("template", hit->template_id);
    }
    cli_json_text("text", hit->text);
    cli_json_open("fields", '{');
    char key[256];
    for (size_t i = 0; i < hit->field_count; i++) {
        (void)snprintf(key, sizeof key, "%.*s", (int)hit->fields[i].name.len,
                       hit->fields[i].name.ptr);
        cli_json_text(key, hit->fields[i].value);
    }
    cli_json_close('}');
    cli_json_end();
}

static bool put_hit(void *ctx, const lm_hit *hit)
{
    searching *work = ctx;
    if (work->question.lines_only)
        (void)cli_put_rows(hit->text);
    else if (work->is_plain && !hit->follows_gap)
        (void)cli_put_row(hit->text);
    else if (work->is_json)
        put_json(work, hit);
    else
        put_words(work, hit);
    work->lines_told++;
    return !ferror(stdout);
}

/* ---- counting by group ---- */

static struct {
    lm_tally items[TALLY_COUNT_MAX];
    size_t count;
    char text[TALLY_TEXT_MAX];
    size_t text_used;
    bool is_full;
} merged;

static bool tally_is_same(const lm_tally *a, const lm_tally *b)
{
    return a->time_ns == b->time_ns && a->key.len == b->key.len &&
           (!a->key.len || !memcmp(a->key.ptr, b->key.ptr, a->key.len));
}

/** Groups of one more archive. */
static void tally_merge(const lm_tally *more)
{
    for (size_t i = 0; i < merged.count; i++) {
        if (!tally_is_same(&merged.items[i], more)) continue;
        merged.items[i].count += more->count;
        return;
    }
    if (merged.count == TALLY_COUNT_MAX || merged.text_used + more->key.len > TALLY_TEXT_MAX) {
        merged.is_full = true;
        return;
    }
    lm_tally *item = &merged.items[merged.count++];
    *item = *more;
    item->key.ptr = merged.text + merged.text_used;
    if (more->key.len) memcpy(merged.text + merged.text_used, more->key.ptr, more->key.len);
    merged.text_used += more->key.len;
}

static int tally_compare(const void *a, const void *b)
{
    const lm_tally *x = a, *y = b;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    size_t len = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = len ? memcmp(x->key.ptr, y->key.ptr, len) : 0;
    return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static void put_tallies(const searching *work, const lm_tally *tallies, size_t count)
{
    static const char *const keys[] = {"", "template", "value", "time"};
    lm_tally_by by = work->question.tally_by;
    uint64_t limit = work->question.limit;
    char text[48];
    for (size_t i = 0; i < count && (!limit || i < limit); i++) {
        const lm_tally *tally = &tallies[i];
        bool has_time = tally->time_ns != LM_TIME_NONE;
        if (work->is_json) {
            cli_json_begin();
            cli_json_number("count", tally->count);
            if (by == LM_TALLY_TEMPLATE && work->at->is_only)
                cli_json_number("id", tally->template_id);
            if (by == LM_TALLY_TIME)
                cli_json_time("time", tally->time_ns);
            else
                cli_json_text(keys[by], tally->key);
            cli_json_end();
            continue;
        }
        cli_putf("%8llu  ", (unsigned long long)tally->count);
        if (by == LM_TALLY_TIME)
            (void)cli_put_z(has_time ? cli_time(tally->time_ns, text) : "(no time)");
        else if (!tally->key.len)
            (void)cli_put_z("(none)");
        else
            cli_put_line(tally->key, 0);
        (void)cli_put_z("\n");
    }
}

/* ---- one view ---- */

static int search_view(void *ctx, const cli_view *at)
{
    searching *work = ctx;
    const cli_args *args = work->args;
    lm_question question = work->question;
    lm_answer answer = {0};
    bool has_names = cli_flag(args, "with-filename"), no_names = cli_flag(args, "no-filename");
    uint64_t wanted = work->question.limit;
    work->at = at;
    if (wanted && !question.tally_by) {
        if (work->matches >= wanted) return EXIT_DONE;
        question.limit = wanted - work->matches;
    }
    if (question.tally_by) question.limit = 0; /* of groups shown, not of matches */
    bool is_many = lm_view_file_count(at->view) > 1;
    work->show_archive = at->is_archive && !no_names && (has_names || !at->is_only);
    work->show_file = !no_names && (has_names || is_many || (!at->is_archive && !at->is_only));
    work->show_line = cli_flag(args, "line-number");
    work->is_plain = !work->show_archive && !work->show_file && !work->show_line &&
                     !work->is_json && !cli_color("match")[0];
    question.lines_only = work->is_plain && !question.context_before && !question.context_after &&
                          !question.newest_first && !question.follow_templates;
    work->question.lines_only = question.lines_only;

    lm_err err = lm_view_search(at->view, &question, put_hit, work, &answer);
    work->matches += answer.matches;
    if (question.tally_by && at->is_only) put_tallies(work, answer.tallies, answer.tally_count);
    for (size_t i = 0; question.tally_by && !at->is_only && i < answer.tally_count; i++)
        tally_merge(&answer.tallies[i]);
    return err ? cli_fail(at->context, err, work->query) : EXIT_DONE;
}

/* ---- options ---- */

static bool group_read(const char *text, lm_question *question)
{
    if (strcmp(text, "template") == 0) {
        question->tally_by = LM_TALLY_TEMPLATE;
    } else if (text[0] >= '0' && text[0] <= '9') {
        question->tally_by = LM_TALLY_TIME;
        return cli_duration_read(text, &question->tally_bucket_ns);
    } else {
        question->tally_by = LM_TALLY_FIELD;
        question->tally_field = text;
    }
    return true;
}

/** What needs the library to be understood: times and the query. Said if it is wrong. */
static int question_check(const cli_args *args, searching *work)
{
    lm_context *context = NULL;
    struct timespec now;
    const char *since = cli_text(args, "since"), *until = cli_text(args, "until");
    lm_err err = lm_context_new(NULL, &context);
    if (err) {
        cli_say("%s", lm_last_error(NULL).text);
        return EXIT_LIMIT;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail on Linux */
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    err = lm_query_check(context, work->query);
    int code = err ? cli_fail(context, err, work->query) : EXIT_DONE;
    if (err == LM_ERR_USAGE) {
        (void)fputs("try 'logmill help query', or -F to search for the text as it is\n", stderr);
    }
    if (!code && since) {
        err = lm_time_read(context, since, now_ns, &work->question.since_ns);
        if (err) code = cli_fail(context, err, NULL);
    }
    if (!code && until) {
        err = lm_time_read(context, until, now_ns, &work->question.until_ns);
        if (err) code = cli_fail(context, err, NULL);
    }
    lm_context_free(context);
    return code;
}

static int question_make(const cli_args *args, searching *work)
{
    lm_question *question = &work->question;
    const char *group = cli_text(args, "count-by");
    uint64_t around = cli_number(args, "context", 0);
    question->query = work->query;
    question->limit = cli_number(args, "limit", 0);
    question->context_after = cli_number(args, "after-context", around);
    question->context_before = cli_number(args, "before-context", around);
    question->whole_records = cli_flag(args, "records");
    question->newest_first = cli_flag(args, "newest-first");
    question->follow_templates = cli_flag(args, "follow-template");
    question->want_fields = work->is_json;
    question->skip_times = !work->is_json;
    question->count_only = cli_flag(args, "count");
    uint64_t id = cli_number(args, "template", 0);
    if (cli_flag(args, "template"))
        question->template_id = id > INT64_MAX ? INT64_MAX : (int64_t)id;
    if (cli_flag(args, "limit") && !question->limit)
        return cli_usage(args, "-m 0 asks for nothing");
    if (group && cli_flag(args, "count"))
        return cli_usage(args, "--count and --count-by exclude each other");
    if (group && !group_read(group, question)) {
        return cli_usage(
            args, "--count-by wants template, a field's name, or a time like 1m, not '%s'", group);
    }
    if (question->newest_first && (question->context_after || question->context_before)) {
        return cli_usage(args, "--newest-first goes without lines around a match");
    }
    return question_check(args, work);
}

int cli_search(const cli_args *args)
{
    static char query[CLI_TEXT_MAX];
    searching work = {.args = args,
                      .query = query,
                      .question = LM_QUESTION_INIT,
                      .is_json = cli_flag(args, "json")};
    if (args->operand_count == 0) return cli_usage(args, "what to search for?");
    const char *trouble = cli_query_make(args, args->operands[0], query, sizeof query);
    if (trouble) return cli_usage(args, "%s", trouble);
    int code = question_make(args, &work);
    if (code) return code;
    work.needle_count = cli_query_needles(args, args->operands[0], work.needles, NEEDLE_COUNT_MAX);

    cli_view merged_at = {.is_only = false};
    unsigned flags = cli_flag(args, "salvage") ? LM_VIEW_SALVAGE : 0;
    code = cli_each_view(args, 1, flags, search_view, &work);
    if (merged.count) {
        work.at = &merged_at;
        qsort(merged.items, merged.count, sizeof merged.items[0], tally_compare);
        put_tallies(&work, merged.items, merged.count);
        if (merged.is_full)
            cli_say("there are more groups: only the first %u were counted", TALLY_COUNT_MAX);
    }
    if (work.question.count_only && work.is_json) {
        cli_json_begin();
        cli_json_number("count", work.matches);
        cli_json_end();
    } else if (work.question.count_only && (code == EXIT_DONE || work.matches)) {
        cli_putf("%llu\n", (unsigned long long)work.matches);
    }
    return code == EXIT_DONE && work.matches == 0 ? EXIT_NO : code;
}
