/** JSON writing: escapes, numbers, commas. */
#include "lm_test.h"
#include "server/server_json_priv.h"

#include <math.h>
#include <yyjson.h>

static lm_mem *mem;

static void expect_text(lm_str text, const char *expected)
{
    lm_buf out;
    lm_buf_init(&out, mem);
    server_json json = {.out = &out};
    server_json_text(&json, text);
    assert_int_equal(json.err, LM_OK);
    assert_int_equal(lm_buf_u8(&out, 0), LM_OK);
    assert_string_equal((char *)out.ptr, expected);
    lm_buf_fini(&out);
}

static void test_texts(void **state)
{
    (void)state;
    expect_text(LM_STR(""), "\"\"");
    expect_text(LM_STR("plain"), "\"plain\"");
    expect_text(LM_STR("a\"b\\c\n\t\r\b\f"), "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\"");
    expect_text(LM_STR("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\\u007f\"");
    expect_text(LM_STR("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
                "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
    expect_text(LM_STR("\xFF"), "\"\xEF\xBF\xBD\"");
    expect_text(LM_STR("a\xC3"), "\"a\xEF\xBF\xBD\"");
    expect_text(LM_STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    expect_text(LM_STR("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

/** Whatever bytes a text has, a JSON parser takes it; valid ones come back as they were. */
static void test_random_texts_parse(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("texts");
    for (int i = 0; i < 20000; i++) {
        uint8_t text[64];
        size_t len = lm_test_below(&rng, sizeof text);
        bool is_ascii = i & 1;
        for (size_t k = 0; k < len; k++)
            text[k] = (uint8_t)lm_test_below(&rng, is_ascii ? 128 : 256);
        lm_buf out;
        lm_buf_init(&out, mem);
        server_json json = {.out = &out};
        server_json_open(&json, '[');
        server_json_text(&json, (lm_str){text, len});
        server_json_close(&json, ']');
        assert_int_equal(json.err, LM_OK);
        yyjson_doc *doc = yyjson_read((char *)out.ptr, out.len, 0);
        assert_non_null(doc);
        yyjson_val *value = yyjson_arr_get_first(yyjson_doc_get_root(doc));
        if (is_ascii) {
            assert_int_equal(yyjson_get_len(value), len);
            assert_memory_equal(yyjson_get_str(value), text, len);
        }
        yyjson_doc_free(doc);
        lm_buf_fini(&out);
    }
}

static void test_structure(void **state)
{
    (void)state;
    lm_buf out;
    lm_buf_init(&out, mem);
    server_json json = {.out = &out};
    server_json_open(&json, '{');
    server_json_key(&json, "a");
    server_json_open(&json, '[');
    server_json_i64(&json, -5);
    server_json_u64(&json, UINT64_MAX);
    server_json_i64_text(&json, INT64_MIN);
    server_json_i64_text(&json, 0);
    server_json_bool(&json, true);
    server_json_close(&json, ']');
    server_json_key(&json, "b");
    server_json_open(&json, '{');
    server_json_close(&json, '}');
    server_json_key(&json, "c");
    server_json_raw(&json, "null");
    server_json_close(&json, '}');
    assert_int_equal(lm_buf_u8(&out, 0), LM_OK);
    assert_string_equal((char *)out.ptr,
                        "{\"a\":[-5,18446744073709551615,\"-9223372036854775808\",\"0\",true],"
                        "\"b\":{},\"c\":null}");
    lm_buf_fini(&out);
}

static void test_numbers(void **state)
{
    (void)state;

    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {2, "2"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {1e-7, "0.0000001"},
        {1e21, "1000000000000000000000"},
        {123456789.25, "123456789.25"},
        {NAN, "NaN"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {5e-324, NULL},
        {1.7976931348623157e308, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        size_t len = server_real_print(cases[i].value, text);
        assert_int_equal(len, strlen(text));
        if (cases[i].text)
            assert_string_equal(text, cases[i].text);
        else
            assert_true(strtod(text, NULL) == cases[i].value);
    }
}

static void test_random_numbers_read_back(void **state)
{
    (void)state;
    lm_test_rng rng = lm_test_rng_make("numbers");
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = lm_test_random(&rng);
        double value;
        char text[400];
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        (void)server_real_print(value, text);
        assert_true(strtod(text, NULL) == value);
        assert_null(strpbrk(text, "eE"));
    }
}

static void test_seconds(void **state)
{
    (void)state;

    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {1700000000000000000, "1700000000"},
        {1700000000500000000, "1700000000.5"},
        {1700000000123999999, "1700000000.123"},
        {0, "0"},
        {-1500000000, "-1.5"},
        {-500000000, "-0.5"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_buf out;
        lm_buf_init(&out, mem);
        server_json json = {.out = &out};
        server_json_seconds(&json, cases[i].ns);
        assert_int_equal(lm_buf_u8(&out, 0), LM_OK);
        assert_string_equal((char *)out.ptr, cases[i].text);
        lm_buf_fini(&out);
    }
}

static lm_err write_with(lm_mem *given)
{
    lm_buf out;
    lm_buf_init(&out, given);
    server_json json = {.out = &out};
    server_json_open(&json, '[');
    for (int i = 0; i < 200; i++)
        server_json_text(&json, LM_STR("some \xFF text"));
    server_json_close(&json, ']');
    lm_buf_fini(&out);
    return json.err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(given, write_with(given))
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_random_texts_parse),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_random_numbers_read_back),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_each_allocation_fails),
    };
    if (lm_mem_new(NULL, 0, &mem)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lm_mem_free(mem);
    return failed;
}
