/** Elasticsearch's _bulk: what clients send, the response item by item, what is malformed. */
#include "wire_test.h"

static lm_err read_bulk(wire_test *t, lm_str body)
{
    t->text.len = 0;
    return lm_wire_bulk(body, LM_STR(""), &t->options, &t->batch, &t->report, &t->text);
}

static lm_err read_bulk_path(wire_test *t, lm_str body)
{
    t->text.len = 0;
    return lm_wire_bulk(body, LM_STR("from-path"), &t->options, &t->batch, &t->report, &t->text);
}

/** The response without what make_id made up: "_id":"<20 characters>" becomes "_id":"*". */
static const char *response_of(wire_test *t, wire_reader read, lm_str body)
{
    lm_record_batch_reset(&t->batch);
    assert_int_equal(read(t, body), LM_OK);
    wire_put(t, "", 1);
    char *text = (char *)t->text.ptr, *at = text;
    while ((at = strstr(at, "\"_id\":\"")) != NULL) {
        at += 7;
        size_t len = strcspn(at, "\"");
        if (len != 20) continue;
        for (size_t i = 0; i < len; i++)
            assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789-_",
                                   at[i]));
        memmove(at + 1, at + len, strlen(at + len) + 1);
        *at = '*';
    }
    return text;
}

#define CREATED                                                                                    \
    ",\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":" \
    "0},\"status\":201}}"

static void test_clients(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    /* elasticsearch-py */
    lm_str sent =
        LM_STR("{\"index\":{\"_index\":\"logs\"}}\n"
               "{\"@timestamp\":\"2026-11-23T13:38:00.123Z\",\"message\":\"hello\",\"n\":1}\n"
               "{\"create\":{\"_id\":\"7\",\"_index\":\"logs\"}}\n"
               "{\"@timestamp\":1795441080123,\"message\":\"second, \xC3\xA9\"}\n");
    assert_string_equal(
        wire_read(&t, read_bulk, sent),
        "1795441080123000000 {index=\"logs\"} {} {\"@timestamp\":\"2026-11-23T13:38:"
        "00.123Z\",\"message\":\"hello\",\"n\":1}\n"
        "1795441080123000000 {index=\"logs\"} {} {\"@timestamp\":1795441080123,"
        "\"message\":\"second, \xC3\xA9\"}\n");
    assert_int_equal(t.batch.stream_count, 1);
    assert_string_equal(response_of(&t, read_bulk, sent),
                        "{\"took\":0,\"errors\":false,\"items\":["
                        "{\"index\":{\"_index\":\"logs\",\"_id\":\"*\"" CREATED ","
                        "{\"create\":{\"_index\":\"logs\",\"_id\":\"7\"" CREATED "]}");
    /* rsyslog's omelasticsearch: a type, no newline at the end; CRLF; blank lines */
    sent = LM_STR("{\"index\":{\"_index\":\"logs\",\"_type\":\"_doc\"}}\r\n\r\n{\"a\":1}\r\n\n"
                  "{\"index\":{\"_index\":\"logs\",\"_type\":\"_doc\"}}\n{\"a\":2,\"time\":\"x\"}");
    assert_string_equal(wire_read(&t, read_bulk, sent),
                        "now {index=\"logs\"} {} {\"a\":1}\n"
                        "now {index=\"logs\"} {} {\"a\":2,\"time\":\"x\"}\n");
    /* winston-elasticsearch: more behind the action */
    assert_string_equal(
        wire_read(
            &t, read_bulk,
            LM_STR("{\"index\":{\"_index\":\"l-1\",\"pipeline\":null},\"attempts\":0}\n{}\n")),
        "now {index=\"l-1\"} {} {}\n");
    /* the index in the path; in the action it comes first */
    assert_string_equal(wire_read(&t, read_bulk_path,
                                  LM_STR("{\"create\":{}}\n{}\n{\"create\":{\"_index\":\"own\"}}\n{"
                                         "\"timestamp\":\"1795441080\"}\n")),
                        "now {index=\"from-path\"} {} {}\nnow {index=\"own\"} {} "
                        "{\"timestamp\":\"1795441080\"}\n");
    wire_fini(&t);
}

static void test_refused_items(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    lm_str sent = LM_STR("{\"delete\":{\"_index\":\"i\",\"_id\":\"1\"}}\n"
                         "{\"update\":{\"_index\":\"i\",\"_id\":\"2\"}}\n{\"doc\":{}}\n"
                         "{\"index\":{\"_index\":\"i\",\"_id\":3}}\n[1]\n"
                         "{\"index\":{\"_index\":\"i\"}}\n{\"broken\":\n"
                         "{\"index\":{}}\n{\"no\":\"index\"}\n"
                         "{\"index\":{\"_index\":\"i\"}}\n{\"good\":1}\n");
    assert_string_equal(
        response_of(&t, read_bulk, sent),
        "{\"took\":0,\"errors\":true ,\"items\":["
        "{\"delete\":{\"_index\":\"i\",\"_id\":\"1\",\"status\":400,\"error\":{\"type\":"
        "\"illegal_argument_exception\",\"reason\":\"[delete] is not supported: records are kept "
        "as "
        "they were sent\"}}},"
        "{\"update\":{\"_index\":\"i\",\"_id\":\"2\",\"status\":400,\"error\":{\"type\":"
        "\"illegal_argument_exception\",\"reason\":\"[update] is not supported: records are kept "
        "as "
        "they were sent\"}}},"
        "{\"index\":{\"_index\":\"i\",\"_id\":\"3\",\"status\":400,\"error\":{\"type\":"
        "\"document_parsing_exception\",\"reason\":\"failed to parse: expected START_OBJECT but "
        "found [START_ARRAY]\"}}},"
        "{\"index\":{\"_index\":\"i\",\"_id\":null,\"status\":400,\"error\":{\"type\":"
        "\"document_parsing_exception\",\"reason\":\"not JSON: unexpected end of data at byte "
        "10\"}}"
        "},"
        "{\"index\":{\"_index\":\"\",\"_id\":null,\"status\":400,\"error\":{\"type\":"
        "\"illegal_argument_exception\",\"reason\":\"index is missing\"}}},"
        "{\"index\":{\"_index\":\"i\",\"_id\":\"*\"" CREATED "]}");
    assert_int_equal(t.report.accepted, 1);
    assert_int_equal(t.report.rejected, 5);
    assert_string_equal(t.report.reason,
                        "[delete] is not supported: records are kept as they were sent");
    assert_string_equal(wire_print(&t), "now {index=\"i\"} {} {\"good\":1}\n");
    wire_fini(&t);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *sent, *text;
    } cases[] = {
        {"", "no requests added"},
        {"\n\n", "no requests added"},
        {"\"x\"\n{}\n",
         "Malformed action/metadata line [1], expected START_OBJECT but found [VALUE_STRING]"},
        {"{\"index\":{\"_index\":\"i\"}}\n{}\n[]\n{}\n",
         "Malformed action/metadata line [3], expected START_OBJECT but found [START_ARRAY]"},
        {"nonsense\n{}\n",
         "Malformed action/metadata line [1], expected START_OBJECT but found [not JSON"},
        {"{}\n{}\n",
         "Malformed action/metadata line [1], expected FIELD_NAME but found [END_OBJECT]"},
        {"{\"upsert\":{}}\n{}\n", "Malformed action/metadata line [1], expected field [create], "
                                  "[delete], [index] or [update] but found [upsert]"},
        {"{\"index\":7}\n{}\n",
         "Malformed action/metadata line [1], expected START_OBJECT but found [VALUE_NUMBER]"},
        {"{\"index\":{\"_index\":[]}}\n{}\n",
         "Malformed action/metadata line [1], expected a simple value for field [_index] but found "
         "[START_ARRAY]"},
        {"{\"index\":{\"_index\":\"i\"}}\n{}\n{\"index\":{\"_index\":\"j\"}}\n",
         "line [3] has no document"},
    };

    wire_test t;
    (void)state;
    wire_init(&t);
    wire_read(&t, read_bulk, LM_STR("{\"index\":{\"_index\":\"kept\"}}\n{}\n"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wire_read_fails(&t, read_bulk, lm_str_of(cases[i].sent), LM_E_USAGE, cases[i].text);
        assert_int_equal(t.text.len, 0); /* nothing of a response */
    }
    assert_string_equal(wire_print(&t), "now {index=\"kept\"} {} {}\n");
    wire_fini(&t);
}

/** Every id of one request is another, and so are those of the next. */
static void test_ids(void **state)
{
    enum { COUNT = 3000 };

    wire_test t;
    lm_buf body;
    static char ids[2 * COUNT][21];
    size_t count = 0;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(lm_buf_append(&body, "{\"index\":{\"_index\":\"i\"}}\n{}\n", 28), LM_OK);
    for (int round = 0; round < 2; round++) {
        t.options.now_ns = WIRE_NOW + round;
        lm_record_batch_reset(&t.batch);
        assert_int_equal(read_bulk(&t, (lm_str){body.ptr, body.len}), LM_OK);
        wire_put(&t, "", 1);
        for (char *at = (char *)t.text.ptr; (at = strstr(at, "\"_id\":\"")) != NULL; at += 27)
            memcpy(ids[count++], at + 7, 20);
    }
    assert_int_equal(count, 2 * COUNT);
    qsort(ids, count, sizeof ids[0], (int (*)(const void *, const void *))strcmp);
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(ids[i - 1], ids[i]) != 0);
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_damaged(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    wire_damage(&t, read_bulk,
                LM_STR("{\"index\":{\"_index\":\"logs\",\"_id\":\"\\u00e9\"}}\n{\"@timestamp\":"
                       "\"2026-11-23T13:38:00.123Z\",\"a\":[{}]}\n{\"delete\":{\"_index\":\"i\"}}\n"
                       "{\"create\":{}}\n{\"time\":1.5e9}"));
    wire_fini(&t);
}

static lm_err once(lm_mem *mem)
{
    lm_record_batch batch;
    lm_wire_report report;
    lm_buf response;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_buf_init(&response, mem);
    lm_err err =
        lm_wire_bulk(LM_STR("{\"index\":{\"_index\":\"i\"}}\n{\"a\":1}\n{\"delete\":{}}\n"),
                     LM_STR("x"), &options, &batch, &report, &response);
    assert_int_equal(batch.record_count, err ? 0 : 1);
    lm_buf_fini(&response);
    lm_record_batch_fini(&batch);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients),   cmocka_unit_test(test_refused_items),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_ids),
        cmocka_unit_test(test_damaged),   cmocka_unit_test(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
