/** Views against a naive reading of the same text: lines, searches with neighbours, files,
 * templates, differences. */
#include "api_helper.h"

#include <fcntl.h>

#define LINES 3000u
#define SEED  20261123u

static char text_a[400000], text_b[400000];

typedef struct fixture {
    char folder[64];
    lm_context *context;
    lm_view *view;                /* a.log (no final newline), sub/b.log, empty.log */
    const char *lines[LINES + 1]; /* of a.log */
    size_t ends[LINES];           /* length of each */
} fixture;

static fixture fix;

static int setup(void **state)
{
    size_t len_a = helper_log(text_a, sizeof text_a, LINES, 11),
           len_b = helper_log(text_b, sizeof text_b, 500, 12);
    static const char *const inputs[] = {"a.log", "sub", "empty.log"};
    helper_enter(fix.folder);
    assert_int_equal(mkdir("sub", 0755), 0);
    helper_write("a.log", text_a, len_a - 1);
    helper_write("sub/b.log", text_b, len_b);
    helper_write("empty.log", "", 0);
    assert_int_equal(lm_context_new(NULL, &fix.context), LM_ERR_NONE);
    helper_pack(fix.context, inputs, 3, "view.lm", 16384); /* many segments */
    assert_int_equal(lm_view_open(fix.context, "view.lm", LM_VIEW_ARCHIVE_ONLY, &fix.view),
                     LM_ERR_NONE);
    size_t at = 0;
    for (unsigned i = 0; i < LINES; i++) {
        fix.lines[i] = text_a + at;
        fix.ends[i] = (size_t)(strchr(text_a + at, '\n') - (text_a + at));
        at += fix.ends[i] + 1;
    }
    *state = &fix;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lm_view_close(fix.view);
    lm_context_free(fix.context);
    helper_leave(fix.folder);
    return 0;
}

static size_t file_index(const char *name)
{
    size_t index = 0;
    assert_int_equal(lm_view_file_find(fix.view, name, &index), LM_ERR_NONE);
    return index;
}

/* ---- files and text ---- */

static void test_files(void **state)
{
    (void)state;
    size_t index = 0;
    assert_int_equal(lm_view_file_count(fix.view), 3);
    lm_view_file file = lm_view_file_at(fix.view, file_index("a.log"));
    assert_int_equal(file.lines, LINES);
    assert_int_equal(lm_view_file_at(fix.view, file_index("b.log")).lines,
                     500); /* by the end of its name */
    assert_int_equal(lm_view_file_at(fix.view, file_index("empty.log")).bytes, 0);
    assert_int_equal(lm_view_file_find(fix.view, "log", &index), LM_ERR_NOTFOUND);
    assert_int_equal(lm_view_file_find(fix.view, ".log", &index), LM_ERR_NOTFOUND);
    lm_view_totals sum = lm_view_sum(fix.view);
    assert_int_equal(sum.lines, LINES + 500);
    assert_int_equal(sum.files, 3);
    assert_true(sum.segments > 5);
    assert_true(sum.time_min < sum.time_max);
    assert_true(lm_view_is_archive(fix.view));
}

typedef struct collected {
    char bytes[400000];
    size_t len;
    unsigned calls, stop_after; /* 0: never */
} collected;

static collected got;

static bool collect(void *ctx, size_t file, lm_text bytes)
{
    collected *c = ctx;
    (void)file;
    assert_true(c->len + bytes.len <= sizeof c->bytes);
    memcpy(c->bytes + c->len, bytes.ptr, bytes.len);
    c->len += bytes.len;
    return ++c->calls != c->stop_after;
}

static void test_lines_in_any_range(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    size_t file = file_index("a.log");
    for (int i = 0; i < 300; i++) {
        uint64_t first = 1 + helper_random(&seed) % (LINES + 10);
        uint64_t count = i % 10 == 0 ? UINT64_MAX : helper_random(&seed) % 400;
        memset(&got, 0, sizeof got);
        assert_int_equal(lm_view_lines(fix.view, file, first, count, collect, &got), LM_ERR_NONE);
        size_t begin = first <= LINES ? (size_t)(fix.lines[first - 1] - text_a) : 0, end = begin;
        for (uint64_t k = first; k <= LINES && k - first < count; k++)
            end += fix.ends[k - 1] + (k < LINES);
        assert_int_equal(got.len, end - begin);
        assert_memory_equal(got.bytes, text_a + begin, end - begin);
    }
}

static void test_read_and_stop(void **state)
{
    (void)state;
    memset(&got, 0, sizeof got);
    assert_int_equal(lm_view_read(fix.view, file_index("a.log"), collect, &got), LM_ERR_NONE);
    assert_int_equal(got.len, lm_view_file_at(fix.view, file_index("a.log")).bytes);
    assert_memory_equal(got.bytes, text_a, got.len);
    memset(&got, 0, sizeof got);
    got.stop_after = 1;
    assert_int_equal(lm_view_read(fix.view, LM_ALL_FILES, collect, &got), LM_ERR_NONE);
    assert_int_equal(got.calls, 1);
}

/* ---- search ---- */

typedef struct told_line {
    uint64_t line;
    bool is_context, follows_gap;
} told_line;

typedef struct told_list {
    told_line items[LINES * 2];
    size_t count, stop_after;
} told_list;

static told_list told;

static bool tell(void *ctx, const lm_hit *hit)
{
    told_list *list = ctx;
    if (hit->file_index != 0) return true; /* only a.log is compared */
    assert_in_range(hit->line, 1, LINES);
    assert_int_equal(hit->text.len, fix.ends[hit->line - 1]);
    assert_memory_equal(hit->text.ptr, fix.lines[hit->line - 1], hit->text.len);
    list->items[list->count++] = (told_line){hit->line, hit->is_context, hit->follows_gap};
    return list->count != list->stop_after;
}

static bool line_holds(unsigned i, const char *needle)
{
    return memmem(fix.lines[i], fix.ends[i], needle, strlen(needle)) != NULL;
}

/** What grep -B before -A after would print of a.log. */
static size_t naive_search(const char *needle, uint64_t before, uint64_t after, told_line *out)
{
    size_t count = 0;
    uint64_t last = 0; /* line told last, from 1 */
    for (unsigned i = 0; i < LINES; i++) {
        bool is_match = line_holds(i, needle), is_near = false;
        for (uint64_t k = 1; k <= before && i + k < LINES && !is_near; k++)
            is_near = line_holds((unsigned)(i + k), needle);
        for (uint64_t k = 1; k <= after && k <= i && !is_near; k++)
            is_near = line_holds((unsigned)(i - k), needle);
        if (!is_match && !is_near) continue;
        out[count++] = (told_line){i + 1, !is_match, last && last != i && (before || after)};
        last = i + 1;
    }
    return count;
}

static void test_search_with_neighbours(void **state)
{
    (void)state;
    static told_line wanted[LINES];
    static const char *const needles[] = {"queue 3",    "ERROR",        "took 12", "user7",
                                          "request 99", "WARN session", "2026",    "nowhere"};
    uint64_t seed = SEED;
    for (size_t n = 0; n < sizeof needles / sizeof needles[0]; n++) {
        for (int turn = 0; turn < 6; turn++) {
            char query[64];
            lm_question question = LM_QUESTION_INIT;
            lm_answer answer;
            snprintf(query, sizeof query, "|= \"%s\"", needles[n]);
            question.query = query;
            question.context_before = turn ? helper_random(&seed) % 4 : 0;
            question.context_after = turn ? helper_random(&seed) % 4 : 0;
            told.count = told.stop_after = 0;
            assert_int_equal(lm_view_search(fix.view, &question, tell, &told, &answer),
                             LM_ERR_NONE);
            size_t count =
                naive_search(needles[n], question.context_before, question.context_after, wanted);
            assert_int_equal(told.count, count);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(told.items[i].line, wanted[i].line);
                assert_int_equal(told.items[i].is_context, wanted[i].is_context);
                assert_int_equal(told.items[i].follows_gap, wanted[i].follows_gap);
            }
        }
    }
}

static bool count_hit(void *ctx, const lm_hit *hit)
{
    (void)hit;
    ++*(size_t *)ctx;
    return true;
}

/* Runs of lines, put together, are the lines that are told one by one. */
typedef struct lines_seen {
    uint64_t lines, hash_sum;
    size_t calls;
} lines_seen;

static void see_lines(lines_seen *seen, const char *ptr, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(ptr + at, '\n', len - at);
        size_t n = (end ? (size_t)(end - ptr) : len) - at;
        uint64_t hash = 1469598103934665603u + ++seen->lines; /* in their order */
        for (size_t i = 0; i < n; i++)
            hash = (hash ^ (unsigned char)ptr[at + i]) * 1099511628211u;
        seen->hash_sum += hash;
        at += n + 1;
    }
}

static bool see_hit(void *ctx, const lm_hit *hit)
{
    lines_seen *seen = ctx;
    uint64_t before = seen->lines;
    seen->calls++;
    see_lines(seen, hit->text.ptr, hit->text.len);
    assert_int_equal(seen->lines - before, hit->line_count);
    return true;
}

static void test_search_lines_only(void **state)
{
    (void)state;
    static const char *const queries[] = {NULL, "|= \"1\"", "|~ \"[02468] \""};
    for (size_t q = 0; q < 3; q++) {
        for (uint64_t limit = 0; limit < 60; limit += 19) {
            lm_question question = LM_QUESTION_INIT;
            lines_seen one = {0}, runs = {0};
            lm_answer answer, again;
            question.query = queries[q];
            question.limit = limit;
            assert_int_equal(lm_view_search(fix.view, &question, see_hit, &one, &answer),
                             LM_ERR_NONE);
            question.lines_only = true;
            assert_int_equal(lm_view_search(fix.view, &question, see_hit, &runs, &again),
                             LM_ERR_NONE);
            assert_int_equal(one.lines, runs.lines);
            assert_int_equal(one.hash_sum, runs.hash_sum);
            assert_int_equal(answer.matches, again.matches);
            assert_true(runs.calls <= one.calls);
        }
    }
    lm_question question = LM_QUESTION_INIT;
    question.lines_only = question.newest_first = true;
    assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, NULL), LM_ERR_USAGE);
}

static void test_search_options(void **state)
{
    (void)state;
    lm_question question = LM_QUESTION_INIT;
    lm_answer answer;
    size_t hits = 0;
    question.query = NULL; /* everything */
    question.count_only = true;
    assert_int_equal(lm_view_search(fix.view, &question, count_hit, &hits, &answer), LM_ERR_NONE);
    assert_int_equal(answer.matches, LINES + 500);
    assert_int_equal(hits, 0);
    question.count_only = false;
    question.limit = 7;
    assert_int_equal(lm_view_search(fix.view, &question, count_hit, &hits, &answer), LM_ERR_NONE);
    assert_int_equal(hits, 7);
    question.newest_first = true;
    told.count = told.stop_after = 0;
    assert_int_equal(lm_view_search(fix.view, &question, count_hit, &hits, NULL), LM_ERR_NONE);
    question.context_after = 1;
    assert_int_equal(lm_view_search(fix.view, &question, tell, &told, &answer), LM_ERR_USAGE);

    question = (lm_question)LM_QUESTION_INIT;
    told.count = 0;
    told.stop_after = 3; /* the caller has had enough: no error */
    assert_int_equal(lm_view_search(fix.view, &question, tell, &told, &answer), LM_ERR_NONE);
    assert_int_equal(told.count, 3);

    question.template_id = 1000000;
    assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, NULL), LM_ERR_USAGE);
    question.template_id = -1;
    question.tally_by = LM_TALLY_TIME;
    assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, NULL),
                     LM_ERR_USAGE); /* no bucket */
    question.struct_bytes = 4;
    assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, NULL), LM_ERR_USAGE);
}

static void test_tallies_add_up(void **state)
{
    (void)state;
    static const lm_tally_by kinds[] = {LM_TALLY_TEMPLATE, LM_TALLY_FIELD, LM_TALLY_TIME};
    for (size_t k = 0; k < 3; k++) {
        lm_question question = LM_QUESTION_INIT;
        lm_answer answer;
        uint64_t sum = 0;
        question.query = "ERROR";
        question.tally_by = kinds[k];
        question.tally_field = "level";
        question.tally_bucket_ns = 60000000000;
        assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, &answer), LM_ERR_NONE);
        for (size_t i = 0; i < answer.tally_count; i++)
            sum += answer.tallies[i].count;
        assert_true(answer.tally_count > 0);
        assert_int_equal(sum, answer.matches);
    }
}

static bool check_template(void *ctx, const lm_hit *hit)
{
    uint64_t *bits = ctx;
    assert_true(hit->template_id < 64);
    *bits |= (uint64_t)1 << hit->template_id;
    return true;
}

static void test_follow_templates(void **state)
{
    (void)state;
    lm_question question = LM_QUESTION_INIT;
    lm_answer plain, followed, all;
    uint64_t plain_ids = 0, followed_ids = 0;
    question.query = "queue 3 is full";
    assert_int_equal(lm_view_search(fix.view, &question, check_template, &plain_ids, &plain),
                     LM_ERR_NONE);
    question.follow_templates = true;
    assert_int_equal(lm_view_search(fix.view, &question, check_template, &followed_ids, &followed),
                     LM_ERR_NONE);
    assert_int_equal(plain_ids, followed_ids);
    assert_true(followed.matches > plain.matches);
    uint64_t sum = 0;
    for (uint32_t id = 0; id < 64; id++) {
        if (!(plain_ids >> id & 1)) continue;
        question = (lm_question)LM_QUESTION_INIT;
        question.template_id = id;
        assert_int_equal(lm_view_search(fix.view, &question, NULL, NULL, &all), LM_ERR_NONE);
        sum += all.matches;
    }
    assert_int_equal(followed.matches, sum);
}

static bool check_fields(void *ctx, const lm_hit *hit)
{
    bool has_level = false;
    for (size_t i = 0; i < hit->field_count; i++) {
        has_level |=
            hit->fields[i].name.len == 5 && memcmp(hit->fields[i].name.ptr, "level", 5) == 0;
        assert_true(hit->fields[i].value.ptr >= hit->text.ptr);
    }
    assert_true(has_level);
    assert_true(hit->time_ns != LM_TIME_NONE);
    ++*(size_t *)ctx;
    return true;
}

static void test_fields(void **state)
{
    (void)state;
    lm_question question = LM_QUESTION_INIT;
    size_t hits = 0;
    question.query = "level=error";
    question.want_fields = true;
    assert_int_equal(lm_view_search(fix.view, &question, check_fields, &hits, NULL), LM_ERR_NONE);
    assert_true(hits > 0);
}

/* ---- templates, differences, plain logs ---- */

static void test_templates(void **state)
{
    (void)state;
    const lm_view_template *items;
    size_t count;
    uint64_t lines = 0;
    assert_int_equal(
        lm_view_templates(fix.view, LM_TEMPLATES_EXAMPLES | LM_TEMPLATES_TRENDS, &items, &count),
        LM_ERR_NONE);
    for (size_t i = 0; i < count; i++) {
        uint64_t trend = 0;
        for (size_t k = 0; k < LM_TREND_BUCKETS; k++)
            trend += items[i].trend[k];
        assert_int_equal(trend, items[i].count);
        assert_true(items[i].example.len > 0);
        assert_true(items[i].first_ns <= items[i].last_ns);
        assert_true(i == 0 || items[i - 1].count >= items[i].count);
        lm_text text = lm_view_template_text(fix.view, items[i].id);
        assert_int_equal(text.len, items[i].text.len);
        lines += items[i].count;
    }
    assert_int_equal(lines, LINES + 500);
    assert_int_equal(lm_view_template_text(fix.view, 1u << 30).len, 0);
}

static void test_diff(void **state)
{
    (void)state;
    lm_view *before = NULL, *after = NULL;
    const lm_difference *list;
    size_t count;
    static char more[500000];
    size_t len = helper_log(more, sizeof more, 2000, 11);
    helper_write("before.log", more, len);
    int n = snprintf(more + len, sizeof more - len,
                     "2026-11-20 23:00:00 ERROR reactor is out of water\n");
    helper_write("after.log", more, len + (size_t)n);
    assert_int_equal(lm_view_open(fix.context, "before.log", 0, &before), LM_ERR_NONE);
    assert_int_equal(lm_view_open(fix.context, "after.log", 0, &after), LM_ERR_NONE);
    assert_false(lm_view_is_archive(before));
    assert_int_equal(lm_view_diff(before, after, 2, &list, &count), LM_ERR_NONE);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].change, LM_CHANGE_NEW);
    assert_int_equal(list[0].count_after, 1);
    assert_int_equal(lm_view_diff(before, before, 2, &list, &count), LM_ERR_USAGE);
    assert_int_equal(lm_view_diff(before, after, 1, &list, &count), LM_ERR_USAGE);
    lm_view_close(after);
    lm_view_close(before);
}

static lm_err sort_out(void *ctx, const char *const *paths, size_t count, bool is_archive)
{
    char *words = ctx;
    size_t len = strlen(words);
    snprintf(words + len, 256 - len, "%s%zu:%s ", is_archive ? "archive" : "logs", count, paths[0]);
    return LM_ERR_NONE;
}

static void test_inputs(void **state)
{
    (void)state;
    char words[256] = "";
    const char *const inputs[] = {"a.log", "sub", "view.lm", "empty.log"};
    assert_int_equal(lm_inputs_each(fix.context, inputs, 4, sort_out, words), LM_ERR_NONE);
    assert_string_equal(words, "logs2:a.log archive1:view.lm logs1:empty.log ");
    const char *const missing[] = {"a.log", "missing"};
    assert_int_equal(lm_inputs_each(fix.context, missing, 2, sort_out, words), LM_ERR_NOTFOUND);
}

/* ---- unpacking ---- */

static void test_unpack_goes_through_no_link(void **state)
{
    (void)state;
    lm_unpack_result result;
    assert_int_equal(mkdir("out", 0755), 0);
    assert_int_equal(mkdir("outside", 0755), 0);
    assert_int_equal(symlink("../outside", "out/sub"), 0);
    assert_int_equal(symlink("../outside/stolen", "out/a.log"), 0);
    assert_int_equal(lm_view_unpack(fix.view, LM_ALL_FILES, "out", true, &result), LM_ERR_NONE);
    assert_int_equal(result.files_skipped, 1); /* sub/b.log: the link is no folder */
    assert_int_equal(result.files, 2);
    assert_int_equal(access("outside/b.log", F_OK), -1);
    assert_int_equal(access("outside/stolen", F_OK), -1);
    struct stat info;
    assert_int_equal(lstat("out/a.log", &info), 0);
    assert_true(S_ISREG(info.st_mode)); /* the link was replaced, not followed */
}

int main(void)
{
    printf("seed %u\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_lines_in_any_range),
        cmocka_unit_test(test_read_and_stop),
        cmocka_unit_test(test_search_with_neighbours),
        cmocka_unit_test(test_search_options),
        cmocka_unit_test(test_search_lines_only),
        cmocka_unit_test(test_tallies_add_up),
        cmocka_unit_test(test_follow_templates),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_unpack_goes_through_no_link),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
