/** Newline-delimited JSON with and without field mapping; whatever a line is, it is kept. */
#include "wire_test.h"

static lm_wire_fields fields; /* of the test that is running */

static lm_err read_lines(wire_test *t, lm_str body)
{
    return lm_wire_ndjson(body, &fields, &t->options, &t->batch, &t->report);
}

static void test_usual_fields(void **state)
{
    static const struct {
        const char *sent, *want;
    } cases[] = {
        {"{\"msg\":\"hello\",\"time\":\"2026-11-23T13:38:00.5Z\",\"level\":\"info\"}\n",
         "1795441080500000000 {service_name=\"unknown_service\"} {level=\"info\"} hello\n"},
        /* the first in the list wins, wherever it stands; it must be a string */
        {"{\"body\":\"b\",\"event\":\"e\",\"message\":\"m\",\"msg\":\"n\"}",
         "now {service_name=\"unknown_service\"} {body=\"b\", event=\"e\", msg=\"n\"} m\n"},
        {"{\"event\":\"e\",\"log\":{\"level\":\"warn\"}}",
         "now {service_name=\"unknown_service\"} {log_level=\"warn\"} e\n"},
        {"{\"_msg\":\"v\",\"_time\":1795441080}", "now {service_name=\"unknown_service\"} {} v\n"},
        /* a time that is none stays, and the next name is tried */
        {"{\"msg\":\"x\",\"timestamp\":\"soon\",\"ts\":1795441080.25}",
         "1795441080250000000 {service_name=\"unknown_service\"} {timestamp=\"soon\"} x\n"},
        /* nested, lists, null, numbers as they were written */
        {"{\"msg\":\"x\",\"a\":{\"b.c\":{\"d\":1.50},\"n\":null},\"l\":[1,\"2\"],\"t\":true,\"e\":{"
         "}}",
         "now {service_name=\"unknown_service\"} {a_b_c_d=\"1.50\", e=\"{}\", "
         "l=\"[1,\\\"2\\\"]\", t=\"true\"} x\n"},
        /* no message: the whole object */
        {" {\"a\":1,\"time\":1795441080000}\r\n",
         "now {service_name=\"unknown_service\"} {}  {\"a\":1,\"time\":1795441080000}\n"},
        {"{\"message\":17}", "now {service_name=\"unknown_service\"} {} {\"message\":17}\n"},
        /* no object */
        {"plain text\n\n  \n[1]\n\"s\"\n{broken\n{\"a\":\"\\udc80\"}",
         "now {service_name=\"unknown_service\"} {} plain text\n"
         "now {service_name=\"unknown_service\"} {} [1]\n"
         "now {service_name=\"unknown_service\"} {} \"s\"\n"
         "now {service_name=\"unknown_service\"} {} {broken\n"
         "now {service_name=\"unknown_service\"} {} {\"a\":\"\\udc80\"}\n"},
        {"{\"msg\":\"\\u0041\\n\\\"\xFF\"}",
         "now {service_name=\"unknown_service\"} {} A\n\"\xFF\n"},
        {"", ""},
    };

    wire_test t;
    (void)state;
    wire_init(&t);
    fields = (lm_wire_fields){0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(wire_read(&t, read_lines, lm_str_of(cases[i].sent)), cases[i].want);
    assert_int_equal(t.report.accepted, 0);
    wire_fini(&t);
}

static void test_given_fields(void **state)
{
    static const lm_label labels[] = {{LM_STR("job"), LM_STR("j")}};
    static const lm_str streams[] = {LM_STR("host.name"), LM_STR("app")};
    wire_test t;
    (void)state;
    wire_init(&t);
    fields = (lm_wire_fields){.message = LM_STR("log.text"),
                              .time = LM_STR("at"),
                              .streams = streams,
                              .stream_count = 2,
                              .labels = {labels, 1}};
    assert_string_equal(
        wire_read(&t, read_lines,
                  LM_STR("{\"log\":{\"text\":\"one\",\"n\":1},\"at\":1795441080000000001,\"host\":{"
                         "\"name\":\"h\"},\"app\":\"a\",\"message\":\"m\"}\n"
                         "{\"log.text\":\"two\",\"time\":1,\"host.name\":\"h\",\"app\":\"a\"}\n"
                         "{\"log\":\"x\",\"app\":7,\"host\":[]}\n"
                         "no object\n")),
        "1795441080000000001 {app=\"a\", host_name=\"h\", job=\"j\"} {log_n=\"1\", message=\"m\"} "
        "one\n"
        "now {app=\"a\", host_name=\"h\", job=\"j\"} {time=\"1\"} two\n"
        "now {app=\"7\", job=\"j\"} {} {\"log\":\"x\",\"app\":7,\"host\":[]}\n"
        "now {job=\"j\"} {} no object\n");
    assert_int_equal(t.batch.stream_count, 3);
    assert_int_equal(t.report.accepted, 4);
    wire_fini(&t);
}

/** What metadata cannot hold stays in the line. */
static void test_too_much(void **state)
{
    wire_test t;
    lm_buf text;
    (void)state;
    wire_init(&t);
    lm_buf_init(&text, t.mem);
    fields = (lm_wire_fields){0};
    for (int round = 0; round < 3; round++) {
        static char value[LM_LABEL_VALUE_BYTES_MAX + 1];
        text.len = 0;
        memset(value, 'x', sizeof value);
        assert_int_equal(lm_buf_append(&text, "{\"msg\":\"m\"", 10), LM_OK);
        for (int i = 0; round == 0 && i <= LM_LABEL_COUNT_MAX; i++) {
            char pair[24];
            int len = snprintf(pair, sizeof pair, ",\"k%d\":%d", i, i);
            assert_int_equal(lm_buf_append(&text, pair, (size_t)len), LM_OK);
        }
        if (round == 1) {
            assert_int_equal(lm_buf_append(&text, ",\"v\":\"", 6), LM_OK);
            assert_int_equal(lm_buf_append(&text, value, sizeof value), LM_OK);
            assert_int_equal(lm_buf_append(&text, "\"", 1), LM_OK);
        }
        if (round == 2) {
            assert_int_equal(lm_buf_append(&text, ",\"", 2), LM_OK);
            assert_int_equal(lm_buf_append(&text, value, LM_LABEL_NAME_BYTES_MAX + 1), LM_OK);
            assert_int_equal(lm_buf_append(&text, "\":1", 3), LM_OK);
        }
        assert_int_equal(lm_buf_append(&text, "}", 1), LM_OK);
        wire_read(&t, read_lines, (lm_str){text.ptr, text.len});
        assert_int_equal(t.batch.record_count, 1);
        assert_true(lm_str_equal(t.batch.records[0].line, (lm_str){text.ptr, text.len}));
        assert_int_equal(t.batch.records[0].metadata.count, 0);
    }
    lm_buf_fini(&text);
    wire_fini(&t);
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* 0: no time */
    } cases[] = {
        {"1795441080", WIRE_NOW},
        {"1795441080123", WIRE_NOW + 123000000},
        {"1795441080123456", WIRE_NOW + 123456000},
        {"1795441080123456789", WIRE_NOW + 123456789},
        {"1795441080.123456789", WIRE_NOW + 123456789},
        {"1795441080123.5", WIRE_NOW + 123500000},
        {"1.79544108e9", WIRE_NOW},
        {"-1.5", -1500000000},
        {"\"2026-11-23T13:38:00Z\"", WIRE_NOW},
        {"\"2026-11-23T15:38:00.000001+02:00\"", WIRE_NOW + 1000},
        {"\"2026-11-23 13:38:00\"", WIRE_NOW},
        {"\"23/Nov/2026:13:38:00 +0000\"", WIRE_NOW},
        {"\"1795441080123\"", WIRE_NOW + 123000000},
        {"\"13:38:00\"", 0},
        {"\"2026-11-23T13:38:00Z and more\"", 0},
        {"\"\"", 0},
        {"99999999999999999999", 0},
        {"1e400", 0},
        {"true", 0},
        {"null", 0},
        {"{}", 0},
    };

    wire_test t;
    char line[100];
    (void)state;
    wire_init(&t);
    fields = (lm_wire_fields){0};
    t.options.now_ns = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "{\"time\":%s}", cases[i].text);
        wire_read(&t, read_lines, lm_str_of(line));
        assert_int_equal(t.batch.records[0].time_ns, cases[i].want);
    }
    wire_fini(&t);
}

/** Random objects printed by the test come back field by field. */
static void test_round_trip(void **state)
{
    enum { ROUNDS = 300, LINES = 20 };

    lm_test_rng rng = lm_test_rng_make("ndjson");
    wire_test t;
    lm_buf body;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    fields = (lm_wire_fields){0};
    for (int round = 0; round < ROUNDS; round++) {
        char want[LINES][4][40];
        body.len = 0;
        for (int i = 0; i < LINES; i++) {
            char line[400];
            for (int k = 0; k < 4; k++) {
                size_t len = 1 + lm_test_below(&rng, 20);
                for (size_t c = 0; c < len; c++)
                    want[i][k][c] = "abc {}[],:0189_-"[lm_test_below(&rng, 16)];
                want[i][k][len] = 0;
            }
            int len =
                snprintf(line, sizeof line,
                         "{\"k0\":\"%s\",\"message\":\"%s\",\"o\":{\"p\":\"%s\"},\"ts\":%d%09d,"
                         "\"z\":\"%s\"}\n",
                         want[i][0], want[i][1], want[i][2], 1795441080 + round, i, want[i][3]);
            assert_int_equal(lm_buf_append(&body, line, (size_t)len), LM_OK);
        }
        wire_read(&t, read_lines, (lm_str){body.ptr, body.len});
        assert_int_equal(t.batch.record_count, LINES);
        for (int i = 0; i < LINES; i++) {
            const lm_record *r = &t.batch.records[i];
            assert_int_equal(r->time_ns, INT64_C(1000000000) * (1795441080 + round) + i);
            assert_true(lm_str_equal(r->line, lm_str_of(want[i][1])));
            assert_int_equal(r->metadata.count, 3);
            assert_true(
                lm_str_equal(lm_labels_get(r->metadata, LM_STR("k0")), lm_str_of(want[i][0])));
            assert_true(
                lm_str_equal(lm_labels_get(r->metadata, LM_STR("o_p")), lm_str_of(want[i][2])));
            assert_true(
                lm_str_equal(lm_labels_get(r->metadata, LM_STR("z")), lm_str_of(want[i][3])));
        }
    }
    lm_buf_fini(&body);
    wire_fini(&t);
}

/** A line is read where it lies if enough of the request follows it, and by yyjson if it is the
 * last: pieces of JSON in any order, most of them right, give the same both ways. */
static void test_flat_and_not(void **state)
{
    static const char *const texts[] = {
        "",
        "a",
        "GET /x HTTP/1.1",
        "\\\"",
        "\\\\",
        "\\/",
        "\\n",
        "\\u00e9",
        "\\u20ac",
        "\\u001f",
        "\\ud83d\\ude00",
        "\\udc00",
        "\\u12",
        "\\x",
        "\t",
        "\xff",
        "\xc3\xa9",
        "\\",
        "\\\"k\\\":\\\"v\\\"",
        "{",
        "a long text that fills a whole block of sixty-four bytes or more"};
    static const char *const values[] = {"1",     "-0",  "1.5e+3", "0.25",     "01",   "1.",
                                         "-",     "1e",  "true",   "false",    "null", "nul",
                                         "truer", "[1]", "{}",     "{\"b\":2}"};
    static const char *const keys[] = {
        "msg", "_msg", "time", "k", "", "a\\tb", "other_key_of_some_length"};

    enum {
        ROUNDS = 20000,
        COUNT_TEXTS = sizeof texts / sizeof texts[0],
        COUNT_VALUES = sizeof values / sizeof values[0],
        COUNT_KEYS = sizeof keys / sizeof keys[0]
    };

    lm_test_rng rng = lm_test_rng_make("flat");
    wire_test t;
    lm_buf body;
    char *alone = NULL;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    fields = (lm_wire_fields){0};
    for (int round = 0; round < ROUNDS; round++) {
        body.len = 0;
        assert_int_equal(lm_buf_append(&body, "{", 1), LM_OK);
        for (uint64_t m = 0, members = 1 + lm_test_below(&rng, 4); m < members; m++) {
            const char *key = keys[lm_test_below(&rng, COUNT_KEYS)];
            char name[64];
            int len = snprintf(name, sizeof name, "%s\"%s\"%s:", m ? ", " : "", key,
                               lm_test_below(&rng, 4) ? "" : " ");
            assert_int_equal(lm_buf_append(&body, name, (size_t)len), LM_OK);
            if (lm_test_below(&rng, 3) == 0) {
                const char *value = values[lm_test_below(&rng, COUNT_VALUES)];
                assert_int_equal(lm_buf_append(&body, value, strlen(value)), LM_OK);
                continue;
            }
            assert_int_equal(lm_buf_append(&body, "\"", 1), LM_OK);
            for (uint64_t n = 0, pieces = lm_test_below(&rng, 12); n < pieces; n++) {
                /* the first few are right */
                unsigned kinds = lm_test_below(&rng, 12) ? 11 : COUNT_TEXTS;
                const char *text = texts[lm_test_below(&rng, kinds)];
                assert_int_equal(lm_buf_append(&body, text, strlen(text)), LM_OK);
            }
            assert_int_equal(lm_buf_append(&body, "\"", 1), LM_OK);
        }
        const char *end = lm_test_below(&rng, 20) ? "}" : "} x";
        assert_int_equal(lm_buf_append(&body, end, strlen(end)), LM_OK);
        free(alone);
        alone = strdup(wire_read(&t, read_lines, (lm_str){body.ptr, body.len}));
        assert_int_equal(lm_buf_u8(&body, '\n'), LM_OK);
        for (int i = 0; i < 100; i++)
            assert_int_equal(lm_buf_u8(&body, 'x'), LM_OK);
        const char *both = wire_read(&t, read_lines, (lm_str){body.ptr, body.len});
        assert_int_equal(t.batch.record_count, 2);
        if (strncmp(both, alone, strlen(alone)) != 0)
            fail_msg("%.*s\nalone: %swith another: %s", (int)body.len, (const char *)body.ptr,
                     alone, both);
    }
    free(alone);
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_hostile(void **state)
{
    static const lm_str streams[] = {LM_STR("a.b"), LM_STR("s")};
    wire_test t;
    lm_buf deep;
    (void)state;
    wire_init(&t);
    fields = (lm_wire_fields){.streams = streams, .stream_count = 2};
    wire_damage(
        &t, read_lines,
        LM_STR("{\"msg\":\"m \\ud83d\\ude00 \\n\",\"a\":{\"b\":\"x\",\"c\":[1,{}]},\"s\":\"t\","
               "\"time\":\"2026-11-23T13:38:00Z\"}\r\nplain\n{\"a\":1.5e3,\"ts\":17}"));
    /* objects in objects: taken apart down to a depth, JSON below; every byte is found again */
    lm_buf_init(&deep, t.mem);
    fields = (lm_wire_fields){0};
    assert_int_equal(lm_buf_append(&deep, "{\"msg\":\"m\",\"k\":", 15), LM_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(lm_buf_append(&deep, "{\"a\":", 5), LM_OK);
    assert_int_equal(lm_buf_append(&deep, "7", 1), LM_OK);
    for (int i = 0; i < 1001; i++)
        assert_int_equal(lm_buf_u8(&deep, '}'), LM_OK);
    wire_read(&t, read_lines, (lm_str){deep.ptr, deep.len});
    assert_int_equal(t.batch.records[0].metadata.count, 1);
    assert_int_equal(t.batch.records[0].metadata.items[0].name.len, 1 + 2 * LM_JSON_DEPTH_MAX);
    /* a million braces: no JSON, and a line like any other */
    deep.len = 0;
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(lm_buf_u8(&deep, '{'), LM_OK);
    wire_read(&t, read_lines, (lm_str){deep.ptr, deep.len});
    assert_int_equal(t.batch.records[0].line.len, 1000000);
    lm_buf_fini(&deep);
    wire_fini(&t);
}

static lm_err once(lm_mem *mem)
{
    static const lm_str streams[] = {LM_STR("s")};
    lm_wire_fields given = {.streams = streams, .stream_count = 1};
    lm_record_batch batch;
    lm_wire_report report;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_err err =
        lm_wire_ndjson(LM_STR("{\"msg\":\"x\",\"s\":\"t\",\"o\":{\"p\":[1]}}\nplain\n{\"broken\n"),
                       &given, &options, &batch, &report);
    assert_int_equal(batch.record_count, err ? 0 : 3);
    lm_record_batch_fini(&batch);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem));
}

/** Messages of two topics: each is one record, and what came beside it stays beside it. */
static void test_payloads(void **state)
{
    static const lm_label job = {LM_STR("topic"), LM_STR("a")},
                          other = {LM_STR("topic"), LM_STR("b")};
    static const lm_label beside[] = {{LM_STR("key"), LM_STR("k")}, {LM_STR("at"), LM_STR("7")}};
    static const lm_str streams[] = {LM_STR("app")};
    const lm_wire_fields a = {.labels = {&job, 1}, .streams = streams, .stream_count = 1};
    const lm_wire_fields b = {.labels = {&other, 1}, .streams = streams, .stream_count = 1};
    const lm_wire_payload payloads[] = {
        {LM_STR("two\nlines\n"), 1, &a, beside, 2, false},
        {LM_STR(""), 2, &a, NULL, 0, false},
        {LM_STR(" \n\t"), 3, &a, NULL, 0, false},
        {LM_STR("\n{\"msg\":\"m\",\n\"app\":\"x\",\"n\":1,\"key\":\"own\"}\n"), 4, &a, beside, 2,
         false},
        {LM_STR("{\"msg\":\"m\",\"app\":\"x\",\"time\":1795441080}"), 5, &b, beside, 1, false},
        {LM_STR("{\"msg\":\"m\",\"app\":\"x\"}"), 6, &b, beside, 2, true},
        {LM_STR("{\"no\":1,\"app\":\"x\"}"), 7, &a, beside, 2, false},
    };
    wire_test t;
    (void)state;
    wire_init(&t);
    size_t count = sizeof payloads / sizeof payloads[0];
    assert_int_equal(lm_wire_payloads(payloads, count, &t.options, &t.batch, &t.report), LM_OK);
    assert_int_equal(t.report.accepted, count);
    assert_string_equal(
        wire_print(&t),
        "1 {topic=\"a\"} {at=\"7\", key=\"k\"} two\nlines\n\n"
        "2 {topic=\"a\"} {} \n"
        "3 {topic=\"a\"} {}  \n\t\n"
        "4 {app=\"x\", topic=\"a\"} {at=\"7\", key=\"own\", n=\"1\"} m\n"
        "now {app=\"x\", topic=\"b\"} {key=\"k\"} m\n"
        "6 {topic=\"b\"} {at=\"7\", key=\"k\"} {\"msg\":\"m\",\"app\":\"x\"}\n"
        "7 {app=\"x\", topic=\"a\"} {at=\"7\", key=\"k\"} {\"no\":1,\"app\":\"x\"}\n");
    assert_int_equal(t.batch.stream_count, 4);
    wire_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_fields),
        cmocka_unit_test(test_given_fields),
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_flat_and_not),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
