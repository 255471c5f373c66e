/* The language: what queries mean, and what is said about wrong ones. */
#include "search/search.h"

#include "lm_test.h"

static lm_mem *mem_make(void)
{
    lm_mem *mem = NULL;
    assert_int_equal(lm_mem_new(NULL, 0, &mem), LM_OK);
    return mem;
}

static const lm_field record[] = {
    {{(const uint8_t *)"level", 5}, {(const uint8_t *)"WARNING", 7}, LM_TYPE_ENUM},
    {{(const uint8_t *)"status", 6}, {(const uint8_t *)"404", 3}, LM_TYPE_INT},
    {{(const uint8_t *)"duration", 8}, {(const uint8_t *)"12.5ms", 6}, LM_TYPE_DURATION},
    {{(const uint8_t *)"took_ms", 7}, {(const uint8_t *)"250", 3}, LM_TYPE_INT},
    {{(const uint8_t *)"size", 4}, {(const uint8_t *)"1.5MB", 5}, LM_TYPE_SIZE},
    {{(const uint8_t *)"request.uri", 11}, {(const uint8_t *)"/api/v2/items", 13}, LM_TYPE_PATH},
    {{(const uint8_t *)"addr", 4}, {(const uint8_t *)"10.1.2.3", 8}, LM_TYPE_IPV4},
    {{(const uint8_t *)"peer", 4}, {(const uint8_t *)"10.9.9.9:443", 12}, LM_TYPE_TEXT},
    {{(const uint8_t *)"id", 2}, {(const uint8_t *)"18446744073709551615", 20}, LM_TYPE_INT},
    {{(const uint8_t *)"ts", 2}, {(const uint8_t *)"2026-11-23T13:41:06Z", 20}, LM_TYPE_TIME},
    {{(const uint8_t *)"msg", 3},
     {(const uint8_t *)"connection timeout after 30 ms", 30},
     LM_TYPE_TEXT},
};
#define RECORD_FIELDS (sizeof record / sizeof record[0])
static const char record_line[] =
    "connection timeout after 30 ms from 10.1.2.3 \"quoted\" tab\there a.b";

static bool matches(const char *text, const char *line)
{
    lm_mem *mem = mem_make();
    lm_query *query = NULL;
    lm_field items[RECORD_FIELDS];
    memcpy(items, record, sizeof record);
    lm_fields fields = {.items = items,
                        .count = RECORD_FIELDS,
                        .cap = RECORD_FIELDS,
                        .format = 0,
                        .timestamp = 9,
                        .level = 0,
                        .message = 10};
    bool found = false;
    if (lm_query_parse(mem, lm_str_of(text), &query)) fail_msg("%s: %s", text, lm_err_text());
    if (lm_query_match_in(query, LM_STR("var/log/app.log"), lm_str_of(line), &fields, &found))
        fail_msg("%s: %s", text, lm_err_text());
    lm_query_free(query);
    lm_mem_free(mem);
    return found;
}

static void queries_that_match(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "",
        "   ",
        "{}",
        "|= \"\"",
        "|= \"timeout\"",
        "timeout",
        "\"timeout after\"",
        "`timeout`",
        "'timeout'",
        "!= \"Timeout\"",
        "|~ \"time.*ms\"",
        "|~ \"(?i)TIMEOUT\"",
        "|~ `\\d+ ms`",
        "|~ \"\\d+ ms\"",
        "|~ \"\\\\d+ ms\"",
        "!~ \"^x\"",
        "|~ \"\\btimeout\\b\"",
        "|~ \"b$\"",
        "|= \"\\\"quoted\\\"\"",
        "|= \"tab\\there\"",
        "|= \"\\x74imeout\"",
        "|= \"\\u0074imeout\"",
        "|~ \"a\\.b\"",
        "|= \"nothing\" or \"timeout\"",
        "!= \"nothing\" or \"nowhere\"",
        "|= \"connection\" |= \"timeout\"",
        "|= \"connection\" and |= \"timeout\"",
        "|= \"nothing\" or |= \"timeout\"",
        "not |= \"nothing\"",
        "not (nothing or nowhere)",
        "connection timeout",
        "nothing or connection and timeout",
        "(nothing or connection) and timeout",
        "|* \"conn*timeout\"",
        "|* \"after ?? ms\"",
        "!* \"after ? ms\"",
        "|* \"*timeout*\"",
        "|* \"a.b\"",
        "|> \"connection <_> after <_>\"",
        "|> \"<_>timeout<_>\"",
        "!> \"timeout<_>\"",
        "|= ip(\"10.0.0.0/8\")",
        "!= ip(\"192.168.0.0/16\")",
        "|= ip(\"10.1.2.0-10.1.2.9\")",
        "level>=warn",
        "level=warn",
        "level<error",
        "level!=info",
        "level=\"WARNING\"",
        "level=~\"WARN.*\"",
        "severity>=info",
        "status=404",
        "status=\"404\"",
        "status==404.0",
        "status>=400 and status<500",
        "status=500 or status=404",
        "status>=400, status<500",
        "status=500 or status=404 |= \"timeout\"",
        "| status=404 | level>=warn",
        "| json | status=404",
        "| logfmt",
        "|= \"timeout\" | json",
        "duration>10ms",
        "duration<=12500us",
        "duration=0.0125s",
        "took_ms>200ms",
        "took_ms<1s",
        "took_ms=250",
        "size>1MB",
        "size<=1.5MB",
        "size<2MiB",
        "request.uri=\"/api/v2/items\"",
        "request_uri=~\"/api/.*\"",
        "request_uri!~\"/api\"",
        "addr=ip(\"10.0.0.0/8\")",
        "peer=ip(\"10.9.0.0/16\")",
        "addr!=ip(\"11.0.0.0/8\")",
        "id=18446744073709551615",
        "id>18446744073709551614",
        "ts>2026-11-23T13:41:05",
        "ts<2026-11-24",
        "timestamp>=2026-11-23",
        "nothing=\"\"",
        "nothing!=\"x\"",
        "nothing!=5",
        "not nothing>5",
        "msg=~\".*timeout.*\"",
        "message=~\".*timeout.*\"",
        "{file=\"app.log\"}",
        "{file=\"var/log/app.log\"}",
        "{filename=~\".*/app\\\\.log\"} |= \"timeout\"",
        "{file!=\"pp.log\"}",
        "{level=\"WARNING\"} timeout",
        "NOT nothing AND timeout",
        "|= \"time\" != \"nothing\" |~ \"out\" !~ \"in$\"",
    };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!matches(yes[i], record_line)) fail_msg("does not match: %s", yes[i]);
    }
}

static void queries_that_do_not(void **state)
{
    (void)state;
    static const char *const no[] = {
        "|= \"nothing\"",
        "|= \"Timeout\"",
        "!= \"timeout\"",
        "|~ \"^timeout\"",
        "!~ \"timeout\"",
        "|= \"a\\nb\"",
        "|~ \"TIMEOUT\"",
        "|= \"a,b\"",
        "|= \"nothing\" or \"nowhere\"",
        "!= \"nothing\" or \"timeout\"",
        "|= \"connection\" |= \"nothing\"",
        "not timeout",
        "(nothing or connection) and nowhere",
        "|* \"timeout*connection\"",
        "|* \"after ? ms\"",
        "|> \"timeout<_>\"",
        "|> \"connection\"",
        "|= ip(\"192.168.0.0/16\")",
        "level>=error",
        "level>warn",
        "level=warning2",
        "level=\"warn\"",
        "status=500",
        "status>404",
        "status<404",
        "status=\"404.0\"",
        "status=500 or status=404 |= \"nothing\"",
        "duration>12.5ms",
        "size>1.5MB",
        "request_uri=~\"/api\"",
        "addr=ip(\"11.0.0.0/8\")",
        "id=18446744073709551614",
        "nothing>5",
        "nothing<5",
        "nothing<=5",
        "nothing>=warn",
        "nothing=5",
        "nothing=\"x\"",
        "nothing=~\".+\"",
        "ts>2026-11-23T13:41:06",
        "status>=warn",
        "{file=\"pp.log\"}",
        "{file=\"other.log\"}",
        "{file!=\"app.log\"}",
    };
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        if (matches(no[i], record_line)) fail_msg("matches: %s", no[i]);
    }
}

static void wrong_queries_say_where(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        size_t offset;
        const char *says;
    } cases[] = {
        {"|= ", 3, "string in quotes"},
        {"|= timeout", 3, "string in quotes"},
        {"|= \"open", 3, "has no end"},
        {"level>=", 7, "a value"},
        {"(timeout", 8, "')'"},
        {"timeout)", 7, "end of the query"},
        {"level>>5", 6, "cannot be ordered"},
        {"status>hello", 7, "cannot be ordered"},
        {"1x=5", 0, "no field name"},
        {"timeout and", 11, "expected"},
        {"timeout or", 10, "expected"},
        {"not", 3, "expected"},
        {"|~ \"(\"", 3, "regular expression"},
        {"host=~\"[\"", 1, "regular expression"},
        {"addr=ip(\"300.1.1.1\")", 8, "no address"},
        {"{file=\"a\"", 9, "'}'"},
        {"{file>\"a\"}", 6, "'='"},
        {"{file=\"a\"} | line_format \"x\"", 13, "not known"},
        {"|", 1, "expected"},
    };

    lm_mem *mem = mem_make();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_query *query = NULL;
        lm_err_info info;
        lm_err err = lm_query_parse(mem, lm_str_of(cases[i].text), &query);
        if (err != LM_E_USAGE) fail_msg("'%s': %d instead of LM_E_USAGE", cases[i].text, (int)err);
        assert_null(query);
        lm_err_save(&info);
        if (!strstr(info.text, cases[i].says))
            fail_msg("'%s': says '%s', not '%s'", cases[i].text, info.text, cases[i].says);
        if (info.offset != cases[i].offset)
            fail_msg("'%s': position %zu, not %zu", cases[i].text, (size_t)info.offset,
                     cases[i].offset);
    }
    lm_mem_free(mem);
}

static void limits_hold(void **state)
{
    (void)state;
    lm_mem *mem = mem_make();
    lm_query *query = NULL;
    char text[LM_QUERY_BYTES_MAX + 2];
    memset(text, '(', sizeof text);
    assert_int_equal(lm_query_parse(mem, (lm_str){(uint8_t *)text, 1000}, &query), LM_E_LIMIT);
    assert_int_equal(lm_query_parse(mem, (lm_str){(uint8_t *)text, sizeof text}, &query),
                     LM_E_LIMIT);
    for (size_t i = 0; i + 4 <= sizeof text; i += 4)
        memcpy(text + i, "not ", 4);
    assert_int_equal(lm_query_parse(mem, (lm_str){(uint8_t *)text, 4000}, &query), LM_E_LIMIT);
    for (size_t i = 0; i + 2 <= sizeof text; i += 2)
        memcpy(text + i, "a ", 2);
    assert_int_equal(lm_query_parse(mem, (lm_str){(uint8_t *)text, 60000}, &query), LM_E_LIMIT);
    assert_int_equal(lm_query_parse(mem, (lm_str){(uint8_t *)text, 1000}, &query), LM_OK);
    lm_query_free(query);
    lm_mem_free(mem);
}

static lm_err parse_once(lm_mem *mem)
{
    lm_query *query = NULL;
    lm_err err = lm_query_parse(mem,
                                LM_STR("{file=\"a\"} |= \"x\" or \"y\" |~ \"a(b|c)d.*\" | "
                                       "level>=warn and host=~\"w.*\" or not status=5"),
                                &query);
    lm_query_free(query);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, parse_once(mem));
}

static void needs_are_told(void **state)
{
    (void)state;
    lm_mem *mem = mem_make();
    lm_query *query = NULL;
    assert_int_equal(lm_query_parse(mem, LM_STR("|= \"a\" |~ \"b.\" {file=\"x\"}"), &query),
                     LM_E_USAGE);
    assert_int_equal(lm_query_parse(mem, LM_STR("{file=\"x\"} |= \"a\" |~ \"b.\""), &query), LM_OK);
    assert_false(lm_query_needs_fields(query));
    lm_query_free(query);
    assert_int_equal(lm_query_parse(mem, LM_STR("a or level>=warn"), &query), LM_OK);
    assert_true(lm_query_needs_fields(query));
    lm_query_free(query);
    lm_mem_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_that_match),        cmocka_unit_test(queries_that_do_not),
        cmocka_unit_test(wrong_queries_say_where),   cmocka_unit_test(limits_hold),
        cmocka_unit_test(every_allocation_may_fail), cmocka_unit_test(needs_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
