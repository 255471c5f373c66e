/** The context: errors in words, allocators, limits, versions. */
#include "api_helper.h"

typedef struct account {
    size_t used, calls, fail_at; /* fail_at 0: never */
} account;

static void *account_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    account *a = ctx;
    if (++a->calls == a->fail_at) return NULL;
    void *grown = realloc(ptr, new_bytes);
    if (grown) a->used += new_bytes - old_bytes;
    return grown;
}

static void account_release(void *ctx, void *ptr, size_t bytes)
{
    account *a = ctx;
    a->used -= bytes;
    free(ptr);
}

static lm_context *context_of(account *a)
{
    lm_context *context = NULL;
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.resize = account_resize;
    options.release = account_release;
    options.allocator_ctx = a;
    options.threads = 1;
    return lm_context_new(&options, &context) ? NULL : context;
}

static void test_versions(void **state)
{
    (void)state;
    assert_int_equal(lm_abi_version(), LM_ABI_VERSION);
    assert_non_null(lm_version());
    size_t facts = 0;
    while (lm_build_fact(facts))
        facts++;
    assert_in_range(facts, 5, 50);
}

static void test_options_without_size_are_refused(void **state)
{
    (void)state;
    lm_context *context = NULL;
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.struct_bytes = 0;
    assert_int_equal(lm_context_new(&options, &context), LM_ERR_USAGE);
    assert_null(context);
    options.struct_bytes = sizeof options;
    options.resize = account_resize; /* without release */
    assert_int_equal(lm_context_new(&options, &context), LM_ERR_USAGE);
}

static void test_errors_have_words(void **state)
{
    (void)state;
    lm_context *context = NULL;
    lm_view *view = NULL;
    assert_int_equal(lm_context_new(NULL, &context), LM_ERR_NONE);
    assert_int_equal(lm_last_error(context).code, LM_ERR_NONE);
    assert_string_equal(lm_last_error(context).text, "");
    assert_int_equal(lm_view_open(context, "/nowhere/at/all", 0, &view), LM_ERR_NOTFOUND);
    assert_null(view);
    assert_int_equal(lm_last_error(context).code, LM_ERR_NOTFOUND);
    assert_non_null(strstr(lm_last_error(context).text, "/nowhere/at/all"));
    assert_int_equal(lm_query_check(context, "|= \"open"), LM_ERR_USAGE);
    assert_int_equal(lm_last_error(context).position, 3);
    int64_t ns = 0;
    assert_int_equal(lm_time_read(context, "2h", 10000000000000, &ns), LM_ERR_NONE);
    assert_int_equal(ns, 10000000000000 - 7200000000000);
    assert_int_equal(lm_time_read(context, "soon", 0, &ns), LM_ERR_USAGE);
    lm_context_free(context);
    lm_context_free(NULL);
    lm_view_close(NULL);
}

static void test_pack_checks_its_job(void **state)
{
    (void)state;
    char folder[64];
    helper_enter(folder);
    lm_context *context = NULL;
    assert_int_equal(lm_context_new(NULL, &context), LM_ERR_NONE);
    helper_write("a.log", "one\ntwo\n", 8);
    const char *inputs[] = {"a.log", "missing.log"};
    lm_pack_job job = LM_PACK_JOB_INIT;
    job.inputs = inputs;
    job.output = "a.lm";
    assert_int_equal(lm_pack(context, &job, NULL), LM_ERR_USAGE); /* nothing to pack */
    job.input_count = 2;
    assert_int_equal(lm_pack(context, &job, NULL), LM_ERR_NOTFOUND);
    assert_int_equal(access("a.lm", F_OK), -1);
    job.input_count = 1;
    assert_int_equal(lm_pack(context, &job, NULL), LM_ERR_NONE);
    assert_int_equal(lm_pack(context, &job, NULL), LM_ERR_USAGE); /* it exists */
    job.replace = true;
    lm_pack_result result;
    assert_int_equal(lm_pack(context, &job, &result), LM_ERR_NONE);
    assert_int_equal(result.lines, 2);
    assert_int_equal(result.bytes_in, 8);
    assert_int_equal(result.files_bad, 0);
    lm_context_free(context);
    helper_leave(folder);
}

/** Packing, opening, searching, templates, schema, unpacking: what a program does in its life. */
static lm_err whole_life(lm_context *context)
{
    static const char *const inputs[] = {"life.log"};
    lm_view *view = NULL;
    const lm_view_template *templates;
    size_t count;
    lm_pack_job job = LM_PACK_JOB_INIT;
    lm_question question = LM_QUESTION_INIT;
    lm_schema_job schema = LM_SCHEMA_JOB_INIT;
    job.inputs = inputs;
    job.input_count = 1;
    job.output = "life.lm";
    job.replace = true;
    question.query = "level>=warn |= \"queue\"";
    question.context_before = question.context_after = 1;
    question.want_fields = true;
    lm_err err = lm_pack(context, &job, NULL);
    if (!err) err = lm_view_open(context, "life.lm", 0, &view);
    if (!err) err = lm_view_search(view, &question, NULL, NULL, NULL);
    if (!err)
        err = lm_view_templates(view, LM_TEMPLATES_EXAMPLES | LM_TEMPLATES_TRENDS, &templates,
                                &count);
    if (!err) err = lm_view_unpack(view, LM_ALL_FILES, "life", true, NULL);
    if (!err) err = lm_schema_of(context, "life.log", &schema);
    lm_view_close(view);
    return err;
}

static void test_all_memory_comes_back(void **state)
{
    (void)state;
    static char text[65536];
    char folder[64];
    account a = {0};
    helper_enter(folder);
    helper_write("life.log", text, helper_log(text, sizeof text, 400, 3));
    lm_context *context = context_of(&a);
    assert_int_equal(whole_life(context), LM_ERR_NONE);
    assert_true(lm_context_memory_peak(context) > 0);
    lm_context_free(context);
    assert_int_equal(a.used, 0);
    helper_leave(folder);
}

/** Each allocation fails once in some run: an error comes back, nothing leaks, no half archive
 * stays. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static char text[16384];
    char folder[64];
    account a = {0};
    helper_enter(folder);
    helper_write("life.log", text, helper_log(text, sizeof text, 120, 5));
    lm_context *context = context_of(&a);
    assert_int_equal(whole_life(context), LM_ERR_NONE);
    lm_context_free(context);
    size_t calls = a.calls;
    /* All of the first ones, then a sample: the run is the same up to the failure. */
    for (size_t n = 1; n <= calls; n += n < 150 ? 1 : 1 + calls / 150) {
        a = (account){.fail_at = n};
        (void)remove("life.lm");
        context = context_of(&a);
        if (context) {
            lm_err err = whole_life(context);
            if (err && err != LM_ERR_NOMEM)
                fail_msg("allocation %zu: error %d: %s", n, err, lm_last_error(context).text);
            lm_context_free(context);
        }
        if (a.used) fail_msg("allocation %zu: %zu bytes did not come back", n, a.used);
    }
    helper_leave(folder);
}

static void test_memory_limit(void **state)
{
    (void)state;
    static char text[65536];
    char folder[64];
    helper_enter(folder);
    helper_write("life.log", text, helper_log(text, sizeof text, 400, 3));
    lm_context *context = NULL;
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.memory_bytes = 200000;
    assert_int_equal(lm_context_new(&options, &context), LM_ERR_NONE);
    assert_int_equal(whole_life(context), LM_ERR_LIMIT);
    assert_true(lm_context_memory_peak(context) <= 200000);
    assert_int_equal(access("life.lm", F_OK), -1);
    lm_context_free(context);
    helper_leave(folder);
}

static void test_cancel(void **state)
{
    (void)state;
    static char text[65536];
    static const volatile int stop = 1;
    char folder[64];
    helper_enter(folder);
    helper_write("life.log", text, helper_log(text, sizeof text, 400, 3));
    lm_context *context = NULL;
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    options.cancel = &stop;
    assert_int_equal(lm_context_new(&options, &context), LM_ERR_NONE);
    assert_int_equal(whole_life(context), LM_ERR_CANCELLED);
    assert_int_equal(access("life.lm", F_OK), -1);
    lm_context_free(context);
    helper_leave(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_options_without_size_are_refused),
        cmocka_unit_test(test_errors_have_words),
        cmocka_unit_test(test_pack_checks_its_job),
        cmocka_unit_test(test_all_memory_comes_back),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
