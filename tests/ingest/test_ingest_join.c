/**
 * ingest_join.c, ingest_header.c: which lines continue a record.
 *
 * Cases are files tests/ingest/join/NAME.case: '>' before a line that begins a record, '+' before
 * one that continues it. A line "#pattern REGEX" first gives the rule; without one it must be
 * recognised.
 */
#include "lm_test.h"

#include "ingest/ingest.h"

#include <dirent.h>

enum { LINES_MAX = 4000 };

static lm_mem *mem;

static int setup(void **state)
{
    (void)state;
    return lm_mem_new(NULL, 0, &mem);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    return 0;
}

static void run_case(const char *path)
{
    static lm_str lines[LINES_MAX];
    static char marks[LINES_MAX];
    lm_buf text;
    lm_buf_init(&text, mem);
    assert_int_equal(lm_file_read_all(path, 1u << 20, &text), LM_OK);
    lm_joiner *joiner = NULL;
    assert_int_equal(lm_joiner_new(mem, &joiner), LM_OK);
    size_t count = 0;
    for (size_t at = 0; at < text.len;) {
        uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        lm_str line = {text.ptr + at, end ? (size_t)(end - text.ptr) - at : text.len - at};
        at += line.len + 1;
        if (lm_str_starts(line, LM_STR("#pattern "))) {
            assert_int_equal(lm_joiner_configure(joiner, (lm_str){line.ptr + 9, line.len - 9}),
                             LM_OK);
            continue;
        }
        assert_true(line.len > 0 && count < LINES_MAX);
        marks[count] = (char)line.ptr[0];
        lines[count++] = (lm_str){line.ptr + 1, line.len - 1};
    }
    assert_int_equal(lm_joiner_learn(joiner, NULL, lines, count), LM_OK);
    for (int round = 0; round < 2; round++) { /* the same again after a reset */
        for (size_t i = 0; i < count; i++) {
            bool is_joined = lm_joiner_continues(joiner, lines[i]);
            if (is_joined != (marks[i] == '+')) {
                fail_msg("%s:%zu: '%.*s' %s", path, i + 1, (int)lines[i].len,
                         (const char *)lines[i].ptr, is_joined ? "was joined" : "began a record");
            }
        }
        lm_joiner_reset(joiner);
    }
    lm_joiner_free(joiner);
    lm_buf_fini(&text);
}

static void cases(void **state)
{
    (void)state;
    const char *source = getenv("LOGMILL_SOURCE");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/tests/ingest/join", source ? source : ".");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[800];
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 5, ".case") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        run_case(path);
        count++;
    }
    closedir(dir);
    assert_true(count >= 10);
}

static void the_first_line_of_a_file_begins_a_record(void **state)
{
    (void)state;
    lm_joiner *joiner = NULL;
    assert_int_equal(lm_joiner_new(mem, &joiner), LM_OK);
    lm_str lines[] = {LM_STR("2015-10-18 18:01:47,978 INFO a"), LM_STR("\tat x.y.Z(Z.java:3)")};
    assert_int_equal(lm_joiner_learn(joiner, NULL, lines, 2), LM_OK);
    assert_false(lm_joiner_continues(joiner, lines[1])); /* the head of the file was cut off */
    assert_true(lm_joiner_continues(joiner, lines[1]));
    lm_joiner_reset(joiner);
    assert_false(lm_joiner_continues(joiner, lines[1]));
    assert_int_equal(lm_joiner_learn(joiner, NULL, NULL, 0), LM_OK); /* nothing to learn from */
    lm_joiner_free(joiner);
}

static void records_end_at_the_limit(void **state)
{
    (void)state;
    lm_joiner *joiner = NULL;
    assert_int_equal(lm_joiner_new(mem, &joiner), LM_OK);
    assert_false(lm_joiner_continues(joiner, LM_STR("a report")));
    size_t began = 0;
    for (size_t i = 1; i < 3 * LM_RECORD_LINES_MAX; i++)
        began += !lm_joiner_continues(joiner, LM_STR("  and more of it"));
    assert_int_equal(began, 2);
    lm_joiner_free(joiner);
}

static void a_wrong_pattern_is_explained(void **state)
{
    (void)state;
    lm_joiner *joiner = NULL;
    assert_int_equal(lm_joiner_new(mem, &joiner), LM_OK);
    assert_int_equal(lm_joiner_configure(joiner, LM_STR("^\\d{4}-")), LM_OK);
    assert_int_equal(lm_joiner_configure(joiner, LM_STR("^(\\d+")), LM_E_USAGE);
    assert_non_null(strstr(lm_err_text(), "^(\\d+"));
    assert_false(
        lm_joiner_continues(joiner, LM_STR("2015-10-18 a"))); /* the rule before still holds */
    assert_true(lm_joiner_continues(joiner, LM_STR("10-18 b")));
    assert_int_equal(lm_joiner_configure(joiner, LM_STR("")), LM_OK); /* taken back */
    assert_false(lm_joiner_continues(joiner, LM_STR("10-18 b")));
    lm_joiner_free(joiner);
}

static void any_bytes_are_lines(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("any_bytes");
    static const char bytes[] = "{}[]\"\\ \t\n\r0123456789:-,.abcTIN(#\xff\x00";
    lm_joiner *joiner = NULL;
    assert_int_equal(lm_joiner_new(mem, &joiner), LM_OK);
    for (int round = 0; round < 20000; round++) {
        size_t len = lm_test_below(&rng, 90);
        uint8_t *line = malloc(len + 1); /* its own piece, so that a read behind it is seen */
        assert_non_null(line);
        for (size_t i = 0; i < len; i++)
            line[i] = (uint8_t)bytes[lm_test_below(&rng, sizeof bytes)];
        lm_str text = {line, len};
        if (round % 100 == 0) assert_int_equal(lm_joiner_learn(joiner, NULL, &text, 1), LM_OK);
        (void)lm_joiner_continues(joiner, text);
        free(line);
    }
    lm_joiner_free(joiner);
}

static lm_err join_once(lm_mem *account)
{
    lm_joiner *joiner = NULL;
    lm_err err = lm_joiner_new(account, &joiner);
    if (!err) err = lm_joiner_configure(joiner, LM_STR("^\\[?\\d+"));
    lm_joiner_free(joiner);
    return err;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(account, join_once(account));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cases, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_line_of_a_file_begins_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(records_end_at_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_pattern_is_explained, setup, teardown),
        cmocka_unit_test_setup_teardown(any_bytes_are_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(each_failed_allocation_is_reported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
