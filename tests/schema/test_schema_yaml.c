/** Formats and types given in YAML, in each notation; mistakes are told with line and column. */
#include "schema_test.h"

static lm_err configure(world *w, const char *yaml)
{
    return lm_schema_configure(w->schema, lm_str_of(yaml));
}

#if LM_HAVE_YAML

static void a_given_pattern_takes_lines_apart(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    assert_int_equal(configure(&w, "formats:\n"
                                   "  - name: mine\n"
                                   "    pattern: '[%t] %l: %m'\n"
                                   "  - name: other\n"
                                   "    pattern: '%{took:duration}|%{who}|%( (%{why})%|%)%m'\n"),
                     LM_OK);
    world_parse(&w, "[2026-10-18 18:01:10] warn: disk is full"); /* without having learned */
    expect_text("format", world_format(&w), "mine");
    expect_role(&w, "timestamp", w.fields.timestamp, "2026-10-18 18:01:10");
    expect_role(&w, "level", w.fields.level, "warn");
    expect_role(&w, "message", w.fields.message, "disk is full");
    world_parse(&w, "12ms|ann| (late)went home");
    expect_field(&w, "why", "late");
    assert_int_equal(w.fields.items[0].type, LM_TYPE_DURATION);
    world_parse(&w, "12ms|ann|went home");
    expect_role(&w, "message", w.fields.message, "went home");
    world_close(&w);
}

static void other_notations_are_understood(void **state)
{
    (void)state;

    static const struct dialect {
        const char *yaml, *line;

        struct {
            const char *name, *value;
        } fields[6];
    } dialects[] = {
        {"formats: [{nginx: '$remote_addr [$time_local] \"$request\" $status $request_time "
         "${upstream_cache_status}'}]",
         "203.0.113.9 [10/Oct/2026:13:55:36 +0200] \"GET /x HTTP/1.1\" 200 0.004 HIT",
         {{"client", "203.0.113.9"},
          {"path", "/x"},
          {"status", "200"},
          {"request_time", "0.004"},
          {"upstream_cache_status", "HIT"}}},
        {"formats: [{apache: '%h %l %u %t \\\"%r\\\" %>s %b %D \\\"%{X-Id}i\\\"'}]",
         "203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] \"GET /x HTTP/1.1\" 200 5 1234 \"abc\"",
         {{"client", "203.0.113.9"},
          {"method", "GET"},
          {"status", "200"},
          {"request_time", "1234"},
          {"X-Id", "abc"}}},
        {"formats: [{log4j: '%d{ISO8601} %-5p [%t] %c{1}:%L - %m%n'}]",
         "2026-10-18 18:01:10,978 INFO  [main thread] acme.Server:42 - hello: there",
         {{"timestamp", "2026-10-18 18:01:10,978"},
          {"level", "INFO"},
          {"thread", "main thread"},
          {"logger", "acme.Server"},
          {"line", "42"},
          {"message", "hello: there"}}},
        {"formats: [{logback: '%date [%thread] %-5level %logger{36} %X{user} - %msg%n'}]",
         "2026-10-18 18:01:10,978 [main] WARN  acme.Server bob - hello",
         {{"thread", "main"},
          {"level", "WARN"},
          {"logger", "acme.Server"},
          {"user", "bob"},
          {"message", "hello"}}},
        {"formats: [{python: '%(asctime)s - %(name)s - %(levelname)-8s - %(message)s'}]",
         "2026-10-18 18:01:10,978 - acme.db - INFO     - ready",
         {{"timestamp", "2026-10-18 18:01:10,978"},
          {"logger", "acme.db"},
          {"level", "INFO"},
          {"message", "ready"}}},
        {"formats: [{postgres: '%m [%p] %q%u@%d '}]",
         "2026-11-23 13:59:25.564 UTC [19842] bob@shop LOG:  duration: 0.133 ms",
         {{"pid", "19842"},
          {"user", "bob"},
          {"database", "shop"},
          {"level", "LOG"},
          {"message", "duration: 0.133 ms"}}},
        {"formats: [{postgres: '%m [%p] %q%u@%d '}]",
         "2026-11-23 13:59:25.564 UTC [19842] LOG:  ready",
         {{"pid", "19842"}, {"level", "LOG"}, {"message", "ready"}}},
        {"formats: [{format: klog}]",
         "I0507 12:04:17.597069       1 x.go:169] hello",
         {{"source", "x.go"}, {"message", "hello"}}},
        {"formats: [{format: json}]", "{\"a\":{\"b\":1}}", {{"a.b", "1"}}},
    };

    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        world w;
        world_open(&w);
        if (configure(&w, dialects[i].yaml)) fail_msg("%s: %s", dialects[i].yaml, lm_err_text());
        world_parse(&w, dialects[i].line);
        if (w.fields.format < 0) fail_msg("%s does not fit", dialects[i].line);
        for (size_t k = 0; k < 6 && dialects[i].fields[k].name; k++)
            expect_field(&w, dialects[i].fields[k].name, dialects[i].fields[k].value);
        world_close(&w);
    }
}

/* The tree's meaning wins over what the values look like, and the disagreement is told. */
static void given_types_win_and_disagreement_is_told(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"code\":\"12\",\"took\":5}",
                                        "{\"code\":\"x7\",\"took\":6}",
                                        "{\"code\":\"13\",\"took\":7}"};
    world w;
    world_open(&w);
    assert_int_equal(
        configure(&w, "fields:\n  code: int\n  took: {type: duration, unit: milliseconds}\n"),
        LM_OK);
    world_learn(&w, lines, 3);
    assert_int_equal(world_known(&w, "code").type, LM_TYPE_INT);
    assert_int_equal(world_known(&w, "took").type, LM_TYPE_DURATION);
    expect_text("unit", world_known(&w, "took").detail, "milliseconds");
    assert_int_equal(lm_schema_conflict_count(w.schema), 1);
    char text[512];
    lm_str conflict = lm_schema_conflict_at(w.schema, 0);
    snprintf(text, sizeof text, "%.*s", (int)conflict.len, (const char *)conflict.ptr);
    assert_non_null(strstr(text, "field 'code' is int, but 1 of its 3 values"));
    assert_non_null(strstr(text, "'x7'"));
    assert_int_equal(configure(&w, "fields: {code: text}"), LM_OK); /* corrected later */
    assert_int_equal(world_known(&w, "code").type, LM_TYPE_TEXT);
    world_close(&w);
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;

    static const struct mistake {
        const char *yaml, *text;
    } mistakes[] = {
        {"formats:\n  - pattern: '[%t %y'\n", "line 2, column 19: there is no '%y' in patterns"},
        {"formats:\n  - pattern: '%{a'\n", "line 2, column 18: field 'a' is not closed by '}'"},
        {"formats:\n  - pattern: '%(a%|b'\n", "line 2"},
        {"formats:\n  - pattern: 'x%)'\n", "there is no '%(' before this"},
        {"formats:\n  - pattern: '%{a:nokind}'\n", "there is no kind 'nokind'"},
        {"formats:\n  - pattern: ''\n", "the pattern is empty"},
        {"formats:\n  - patern: '%m'\n", "line 2, column 5: a format has no key 'patern'"},
        {"formats:\n  - name: x\n", "line 2, column 5: a format needs one of"},
        {"formats:\n  - format: nosuch\n", "line 2, column 13: there is no format named 'nosuch'"},
        {"formats: 7\n", "line 1, column 10: 'formats' must be a list"},
        {"fields:\n  a: number\n", "line 2, column 6: there is no type 'number'"},
        {"fields:\n  a: {typ: int}\n", "line 2, column 7: a field has no key 'typ'"},
        {"foo: 1\n", "line 1, column 1: a schema has no key 'foo'"},
        {"a: [1,\n", "line 2"},
        {"formats:\n  - python: '%(name'\n", "'%(' is not closed"},
        {"formats:\n  - nginx: 'a $ b'\n", "a variable needs a name"},
    };

    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        world w;
        world_open(&w);
        assert_int_equal(configure(&w, mistakes[i].yaml), LM_E_USAGE);
        if (!strstr(lm_err_text(), mistakes[i].text))
            fail_msg("'%s' does not say '%s'", lm_err_text(), mistakes[i].text);
        assert_int_equal(lm_schema_format_count(w.schema), 0);
        world_parse(&w, "still works");
        assert_int_equal(w.fields.count, 1);
        world_close(&w);
    }
    world w;
    world_open(&w);
    assert_int_equal(configure(&w, ""), LM_OK);
    assert_int_equal(configure(&w, "formats: []\n"), LM_OK);
    world_close(&w);
}

#else

static void without_yaml_it_is_told(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    assert_int_equal(configure(&w, "formats: []\n"), LM_E_UNSUPPORTED);
    world_close(&w);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if LM_HAVE_YAML
        cmocka_unit_test(a_given_pattern_takes_lines_apart),
        cmocka_unit_test(other_notations_are_understood),
        cmocka_unit_test(given_types_win_and_disagreement_is_told),
        cmocka_unit_test(mistakes_are_told_with_their_place),
#else
        cmocka_unit_test(without_yaml_it_is_told),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
