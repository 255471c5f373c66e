/** Types of single values and severity words. */
#include "schema_test.h"

#include "schema/schema_priv.h"

static void values_have_the_type_a_person_sees(void **state)
{
    (void)state;

    static const struct known {
        const char *text, *type;
    } known[] = {
        {"", "null"},
        {"-", "null"},
        {"null", "null"},
        {"None", "null"},
        {"0", "int"},
        {"-17", "int"},
        {"18446744073709551615", "int"},
        {"1.5", "decimal"},
        {"-.5", "decimal"},
        {"1e9", "decimal"},
        {"1.", "text"},
        {"1.2.3", "text"},
        {"--1", "text"},
        {"+", "text"},
        {"0x1f", "hex"},
        {"deadbeef01", "hex"},
        {"deadbee", "text"},
        {"facefeed", "text"},
        {"true", "bool"},
        {"False", "bool"},
        {"yes", "bool"},
        {"12ms", "duration"},
        {"1.5s", "duration"},
        {"432.924\xc2\xb5s", "duration"},
        {"1h2m3.5s", "duration"},
        {"5 min", "duration"},
        {"12KB", "size"},
        {"1.36 KB", "size"},
        {"64MiB", "size"},
        {"7 bytes", "size"},
        {"12xs", "text"},
        {"123e4567-e89b-12d3-a456-426614174000", "uuid"},
        {"123e4567-e89b-12d3-a456-42661417400", "text"},
        {"10.0.0.1", "ipv4"},
        {"256.0.0.1", "text"},
        {"10.0.0.1:80", "text"},
        {"10.0.0", "text"},
        {"::1", "ipv6"},
        {"2001:db8::ff00:42:8329", "ipv6"},
        {"fe80:::1", "text"},
        {"12:34:56", "time"},
        {"https://example.com/a?b", "url"},
        {"hdfs://nn:9000/x", "url"},
        {"://x", "text"},
        {"/var/log/x.log", "path"},
        {"C:\\Windows\\x.dll", "path"},
        {"/", "path"},
        {"/a b", "text"},
        {"2026-10-18 18:01:10,978", "time"},
        {"Oct 10 13:55:36", "time"},
        {"hello world", "text"},
        {"\xff\x00", "text"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *got = lm_type_name(lm_value_of(lm_str_of(known[i].text)).type);
        if (strcmp(got, known[i].type) != 0)
            fail_msg("'%s' is %s, not %s", known[i].text, got, known[i].type);
    }
    for (unsigned t = 0; t < LM_TYPE_COUNT; t++)
        assert_int_equal(lm_type_named(lm_str_of(lm_type_name((lm_type)t))), t);
    assert_int_equal(lm_type_named(LM_STR("nothing")), LM_TYPE_COUNT);
}

static void epochs_are_known_by_their_digits(void **state)
{
    (void)state;
    size_t len;
    assert_int_equal(lm_epoch_at((const uint8_t *)"1795441241.2628992", 18, &len), 1);
    assert_int_equal(len, 18);
    assert_int_equal(lm_epoch_at((const uint8_t *)"1117838570 x", 12, &len), 1);
    assert_int_equal(len, 10);
    assert_int_equal(lm_epoch_at((const uint8_t *)"1446249499322", 13, &len), 2);
    assert_int_equal(lm_epoch_at((const uint8_t *)"1674982754315323886", 19, &len), 4);
    assert_int_equal(lm_epoch_at((const uint8_t *)"12345678", 8, &len), 0);
    assert_int_equal(lm_epoch_at((const uint8_t *)"9117838570", 10, &len), 0);
}

static void severities_in_any_usual_spelling(void **state)
{
    (void)state;

    static const struct word {
        const char *text;
        lm_severity severity;
    } words[] = {
        {"warn", LM_SEV_WARN},      {"WARNING", LM_SEV_WARN},  {"W", LM_SEV_WARN},
        {"<4>", LM_SEV_WARN},       {"<134>", LM_SEV_INFO},    {"critical", LM_SEV_FATAL},
        {"3", LM_SEV_ERROR},        {"50", LM_SEV_ERROR},      {"8", LM_SEV_UNKNOWN},
        {"31", LM_SEV_UNKNOWN},     {"70", LM_SEV_UNKNOWN},    {"300", LM_SEV_UNKNOWN},
        {"Info", LM_SEV_INFO},      {"INFO:", LM_SEV_INFO},    {"[info ]", LM_SEV_INFO},
        {"trace", LM_SEV_TRACE},    {"FINEST", LM_SEV_TRACE},  {"DEBUG1", LM_SEV_DEBUG},
        {"D2", LM_SEV_DEBUG},       {"notice", LM_SEV_NOTICE}, {"err", LM_SEV_ERROR},
        {"SEVERE", LM_SEV_ERROR},   {"E", LM_SEV_ERROR},       {"emerg", LM_SEV_FATAL},
        {"panic", LM_SEV_FATAL},    {"#", LM_SEV_WARN},        {"*", LM_SEV_NOTICE},
        {"LOG", LM_SEV_INFO},       {"", LM_SEV_UNKNOWN},      {"informed", LM_SEV_UNKNOWN},
        {"<>", LM_SEV_UNKNOWN},     {"<999>", LM_SEV_UNKNOWN}, {"<4", LM_SEV_UNKNOWN},
        {"errors", LM_SEV_UNKNOWN}, {"[]", LM_SEV_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        lm_severity got = lm_severity_parse(lm_str_of(words[i].text));
        if (got != words[i].severity)
            fail_msg("'%s' is %s, not %s", words[i].text, lm_severity_name(got),
                     lm_severity_name(words[i].severity));
    }
    for (int s = LM_SEV_TRACE; s <= LM_SEV_FATAL; s++)
        assert_int_equal(lm_severity_parse(lm_str_of(lm_severity_name((lm_severity)s))), s);
    assert_string_equal(lm_severity_name(LM_SEV_UNKNOWN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_the_type_a_person_sees),
        cmocka_unit_test(epochs_are_known_by_their_digits),
        cmocka_unit_test(severities_in_any_usual_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
