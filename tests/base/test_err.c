/** base_err.c: what a failure leaves behind for the one who reports it. */
#include "lm_test.h"

#include <errno.h>
#include <pthread.h>

static void keeps_code_text_and_offset(void **state)
{
    (void)state;
    assert_int_equal(lm_fail_at(LM_E_CORRUPT, 42, "block %d is broken", 7), LM_E_CORRUPT);
    lm_err_info info;
    lm_err_save(&info);
    assert_int_equal(info.code, LM_E_CORRUPT);
    assert_int_equal(info.offset, 42);
    assert_string_equal(lm_err_text(), "block 7 is broken");
}

static void context_goes_in_front_and_keeps_the_offset(void **state)
{
    (void)state;
    (void)lm_fail_at(LM_E_CORRUPT, 9, "bad checksum");
    assert_int_equal(lm_fail_in(LM_E_CORRUPT, "segment %d", 3), LM_E_CORRUPT);
    assert_string_equal(lm_err_text(), "segment 3: bad checksum");
    (void)lm_fail_in(LM_E_CORRUPT, "'%s': ", "a.lm");
    assert_string_equal(lm_err_text(), "'a.lm': segment 3: bad checksum");
    lm_err_info info;
    lm_err_save(&info);
    assert_int_equal(info.offset, 9);
}

static void context_without_a_description_uses_the_help(void **state)
{
    (void)state;
    (void)lm_fail(LM_E_IO, "something else");
    assert_int_equal(lm_fail_in(LM_E_CORRUPT, "segment 3"), LM_E_CORRUPT);
    assert_non_null(strstr(lm_err_text(), "segment 3: "));
    assert_non_null(strstr(lm_err_text(), lm_err_help(LM_E_CORRUPT)));
    assert_null(strstr(lm_err_text(), "something else"));
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)lm_fail(LM_E_IO, "%s", text);
    assert_int_equal(strlen(lm_err_text()), sizeof(((lm_err_info *)0)->text) - 1);
    (void)lm_fail_in(LM_E_IO, "%s", text);
    assert_int_equal(strlen(lm_err_text()), sizeof(((lm_err_info *)0)->text) - 1);
}

static void may_quote_the_failure_before(void **state)
{
    (void)state;
    (void)lm_fail(LM_E_IO, "inner");
    (void)lm_fail(LM_E_CORRUPT, "outer (%s)", lm_err_text());
    assert_string_equal(lm_err_text(), "outer (inner)");
}

static void errno_becomes_lower_case_words(void **state)
{
    (void)state;
    errno = EACCES;
    assert_int_equal(lm_fail_errno("cannot open '%s'", "x"), LM_E_IO);
    assert_string_equal(lm_err_text(), "cannot open 'x': permission denied");
    assert_int_equal(errno, EACCES);
}

static void *fail_in_another_thread(void *arg)
{
    (void)arg;
    (void)lm_fail(LM_E_LIMIT, "theirs");
    return NULL;
}

static void each_thread_has_its_own(void **state)
{
    (void)state;
    (void)lm_fail(LM_E_IO, "ours");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_in_another_thread, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(lm_err_text(), "ours");
}

static void every_code_has_help(void **state)
{
    (void)state;
#define LM_ERROR(name, value, help) assert_string_equal(lm_err_help(value), help);
#include "base/errors.def"
#undef LM_ERROR
    assert_string_equal(lm_err_help(-9999), "unknown failure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_code_text_and_offset),
        cmocka_unit_test(context_goes_in_front_and_keeps_the_offset),
        cmocka_unit_test(context_without_a_description_uses_the_help),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(may_quote_the_failure_before),
        cmocka_unit_test(errno_becomes_lower_case_words),
        cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(every_code_has_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
