/** OTLP: both forms of one request give the same records; the mapping is Loki's. */
#include "wire_test.h"

#include "wire/wire_otlp.pb-c.h"

static lm_err read_json(wire_test *t, lm_str body)
{
    return lm_wire_otlp_json(body, &t->options, &t->batch, &t->report);
}

static lm_err read_protobuf(wire_test *t, lm_str body)
{
    return lm_wire_otlp_protobuf(body, &t->options, &t->batch, &t->report);
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* A request of one record whose parts the test sets before packing. */
typedef struct request {
    LmOtlp__ExportRequest request;
    LmOtlp__ResourceLogs logs, *logs_list[1];
    LmOtlp__Resource resource;
    LmOtlp__ScopeLogs scope_logs, *scope_list[1];
    LmOtlp__Scope scope;
    LmOtlp__LogRecord record, *record_list[1];
    LmOtlp__AnyValue body;
    LmOtlp__KeyValue pairs[8], *pair_list[8];
    LmOtlp__AnyValue values[8];
    size_t pair_count;
    uint8_t inner[512]; /* packed lists and maps */
    size_t inner_len;
} request;

static void request_init(request *r)
{
    memset(r, 0, sizeof *r);
    lm_otlp__export_request__init(&r->request);
    lm_otlp__resource_logs__init(&r->logs);
    lm_otlp__resource__init(&r->resource);
    lm_otlp__scope_logs__init(&r->scope_logs);
    lm_otlp__scope__init(&r->scope);
    lm_otlp__log_record__init(&r->record);
    lm_otlp__any_value__init(&r->body);
    r->logs_list[0] = &r->logs;
    r->scope_list[0] = &r->scope_logs;
    r->record_list[0] = &r->record;
    r->request.n_resource_logs = 1;
    r->request.resource_logs = r->logs_list;
    r->logs.resource = &r->resource;
    r->logs.n_scope_logs = 1;
    r->logs.scope_logs = r->scope_list;
    r->scope_logs.scope = &r->scope;
    r->scope_logs.n_log_records = 1;
    r->scope_logs.log_records = r->record_list;
    r->record.body = &r->body;
}

/** The next pair; attributes of resource, scope and record are runs of them. */
static LmOtlp__AnyValue *add_pair(request *r, const char *key)
{
    size_t i = r->pair_count++;
    lm_otlp__key_value__init(&r->pairs[i]);
    lm_otlp__any_value__init(&r->values[i]);
    r->pairs[i].has_key = 1;
    r->pairs[i].key = bytes_of(key);
    r->pairs[i].value = &r->values[i];
    r->pair_list[i] = &r->pairs[i];
    return &r->values[i];
}

static void set_text(LmOtlp__AnyValue *any, const char *text)
{
    any->has_string_value = 1;
    any->string_value = bytes_of(text);
}

static ProtobufCBinaryData pack_inner(request *r, const ProtobufCMessage *message)
{
    uint8_t *at = r->inner + r->inner_len;
    size_t len = protobuf_c_message_pack(message, at);
    r->inner_len += len;
    assert_true(r->inner_len <= sizeof r->inner);
    return (ProtobufCBinaryData){len, at};
}

static lm_str pack(const request *r, lm_buf *out)
{
    out->len = 0;
    assert_int_equal(lm_buf_reserve(out, lm_otlp__export_request__get_packed_size(&r->request)),
                     LM_OK);
    out->len = lm_otlp__export_request__pack(&r->request, out->ptr);
    return (lm_str){out->ptr, out->len};
}

static void make_full(request *r)
{
    LmOtlp__ArrayValue array;
    LmOtlp__KeyValueList map;
    LmOtlp__AnyValue one, two, *both[] = {&one, &two};
    LmOtlp__KeyValue inner, *inners[] = {&inner};
    request_init(r);
    set_text(add_pair(r, "service.name"), "shop");
    set_text(add_pair(r, "host.name"), "web-1");
    set_text(add_pair(r, "k8s.pod.name"), "p-7");
    r->resource.n_attributes = 3;
    r->resource.attributes = r->pair_list;
    r->scope.has_name = r->scope.has_version = 1;
    r->scope.name = bytes_of("lib");
    r->scope.version = bytes_of("1.0");
    LmOtlp__AnyValue *value = add_pair(r, "n");
    value->has_int_value = 1;
    value->int_value = -7;
    value = add_pair(r, "ratio");
    value->has_double_value = 1;
    value->double_value = 0.1;
    value = add_pair(r, "list.x");
    lm_otlp__array_value__init(&array);
    lm_otlp__any_value__init(&one);
    lm_otlp__any_value__init(&two);
    set_text(&one, "a\"");
    two.has_bool_value = 1;
    two.bool_value = 1;
    array.n_values = 2;
    array.values = both;
    value->has_array_value = 1;
    value->array_value = pack_inner(r, &array.base);
    value = add_pair(r, "map");
    lm_otlp__key_value_list__init(&map);
    lm_otlp__key_value__init(&inner);
    inner.has_key = 1;
    inner.key = bytes_of("in.ner");
    inner.value = &one;
    map.n_values = 1;
    map.values = inners;
    value->has_kvlist_value = 1;
    value->kvlist_value = pack_inner(r, &map.base);
    value = add_pair(r, "raw");
    value->has_bytes_value = 1;
    value->bytes_value = bytes_of("\xff\x01\x02\x03");
    r->record.n_attributes = 5;
    r->record.attributes = r->pair_list + 3;
    r->record.has_time_unix_nano = r->record.has_observed_time_unix_nano = 1;
    r->record.time_unix_nano = WIRE_NOW + 5;
    r->record.observed_time_unix_nano = WIRE_NOW + 9;
    r->record.has_severity_number = r->record.has_severity_text = 1;
    r->record.severity_number = 17;
    r->record.severity_text = bytes_of("ERROR");
    r->record.has_trace_id = r->record.has_span_id = r->record.has_flags = 1;
    r->record.trace_id =
        bytes_of("\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c");
    r->record.span_id = bytes_of("\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74");
    r->record.flags = 1;
    set_text(&r->body, "it broke");
}

#define FULL                                                                                       \
    "1795441080000000005 {k8s_pod_name=\"p-7\", service_name=\"shop\"} {flags=\"1\", "             \
    "host_name=\"web-1\", list_x=\"[\\\"a\\\\\\\"\\\",true]\", map_in_ner=\"a\\\"\", n=\"-7\", "   \
    "ratio=\"0.1\", raw=\"/wECAw==\", scope_name=\"lib\", scope_version=\"1.0\", "                 \
    "severity_number=\"17\", severity_text=\"ERROR\", span_id=\"eee19b7ec3c1b174\", "              \
    "trace_id=\"5b8efff798038103d269b633813fc60c\"} it broke\n"

static void test_full(void **state)
{
    wire_test t;
    lm_buf body;
    static request r;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    make_full(&r);
    lm_str packed = pack(&r, &body);
    assert_string_equal(wire_read(&t, read_protobuf, packed), FULL);
    wire_damage(&t, read_protobuf, packed);
    lm_str json = LM_STR(
        "{\"resourceLogs\":[{\"schemaUrl\":\"\",\"resource\":{\"attributes\":[{\"key\":"
        "\"service.name\",\"value\":{\"stringValue\":\"shop\"}},{\"key\":\"host.name\",\"value\":{"
        "\"stringValue\":\"web-1\"}},{\"key\":\"k8s.pod.name\",\"value\":{\"stringValue\":\"p-7\"}}"
        "]"
        "},\"scopeLogs\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1.0\"},\"logRecords\":[{"
        "\"timeUnixNano\":\"1795441080000000005\",\"observedTimeUnixNano\":1795441080000000009,"
        "\"severityNumber\":17,\"severityText\":\"ERROR\",\"traceId\":"
        "\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"flags\":1,\"body\":"
        "{"
        "\"stringValue\":\"it "
        "broke\"},\"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"-7\"}"
        "},{\"key\":\"ratio\",\"value\":{\"doubleValue\":0.1}},{\"key\":\"list.x\",\"value\":{"
        "\"arrayValue\":{\"values\":[{\"stringValue\":\"a\\\"\"},{\"boolValue\":true}]}}},{\"key\":"
        "\"map\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"in.ner\",\"value\":{"
        "\"stringValue\":\"a\\\"\"}}]}}},{\"key\":\"raw\",\"value\":{\"bytesValue\":\"/"
        "wECAw==\"}}]}]"
        "}]}]}");
    assert_string_equal(wire_read(&t, read_json, json), FULL);
    wire_damage(&t, read_json, json);
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_times_and_names(void **state)
{
    wire_test t;
    lm_buf body;
    static request r;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    request_init(&r);
    assert_string_equal(wire_read(&t, read_protobuf, pack(&r, &body)),
                        "now {service_name=\"unknown_service\"} {} \n");
    r.record.has_observed_time_unix_nano = 1;
    r.record.observed_time_unix_nano = 17;
    assert_string_equal(wire_read(&t, read_protobuf, pack(&r, &body)),
                        "17 {service_name=\"unknown_service\"} {} \n");
    r.record.has_time_unix_nano = 1;
    r.record.time_unix_nano = UINT64_MAX; /* no time that we can hold */
    assert_string_equal(wire_read(&t, read_protobuf, pack(&r, &body)),
                        "17 {service_name=\"unknown_service\"} {} \n");
    /* ids of zeros are none; a severity that does not exist is kept as it is */
    r.record.has_trace_id = r.record.has_severity_number = 1;
    r.record.trace_id = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t)"\0\0\0\0"};
    r.record.severity_number = 99;
    r.record.has_event_name = 1;
    r.record.event_name = bytes_of("device.app.lifecycle");
    assert_string_equal(
        wire_read(&t, read_protobuf, pack(&r, &body)),
        "17 {service_name=\"unknown_service\"} {event_name=\"device.app.lifecycle\","
        " severity_number=\"99\"} \n");
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_bodies(void **state)
{
    static const struct {
        const char *body, *line;
    } cases[] = {
        {"{\"stringValue\":\"\"}", ""},
        {"{\"boolValue\":false}", "false"},
        {"{\"intValue\":\"9007199254740993\"}", "9007199254740993"},
        {"{\"doubleValue\":1e21}", "1e21"},
        {"{\"doubleValue\":\"NaN\"}", "NaN"},
        {"{\"arrayValue\":{\"values\":[{\"intValue\":1},{},{\"doubleValue\":\"-Infinity\"}]}}",
         "[1,null,\"-Infinity\"]"},
        {"{\"kvlistValue\":{\"values\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"b\\n\"}},{"
         "\"key\":\"c\"}]}}",
         "{\"a\":\"b\\u000a\",\"c\":null}"},
        {"{\"kvlistValue\":{}}", "{}"},
        {"{}", ""},
        {"null", ""},
    };

    wire_test t;
    char text[400];
    (void)state;
    wire_init(&t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text,
                 "{\"resource_logs\":[{\"scope_logs\":[{\"log_records\":[{\"body\":%s}]}]}]}",
                 cases[i].body);
        wire_read(&t, read_json, lm_str_of(text));
        assert_int_equal(t.batch.record_count, 1);
        assert_true(lm_str_equal(t.batch.records[0].line, lm_str_of(cases[i].line)));
    }
    wire_fini(&t);
}

/** Doubles print as the shortest text that reads back. */
static void test_doubles(void **state)
{
    lm_test_rng rng = lm_test_rng_make("doubles");
    wire_test t;
    lm_buf body;
    static request r;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = lm_test_random(&rng);
        char text[64];
        request_init(&r);
        r.body.has_double_value = 1;
        memcpy(&r.body.double_value, &bits, sizeof bits);
        if (i == 0) r.body.double_value = 0.3;
        wire_read(&t, read_protobuf, pack(&r, &body));
        lm_str line = t.batch.records[0].line;
        assert_true(line.len > 0 && line.len < sizeof text);
        memcpy(text, line.ptr, line.len);
        text[line.len] = 0;
        if (i == 0) assert_string_equal(text, "0.3");
        double back = strtod(text, NULL);
        assert_true(back == r.body.double_value || r.body.double_value != r.body.double_value);
    }
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_partial_success(void **state)
{
    wire_test t;
    lm_buf text;
    (void)state;
    wire_init(&t);
    lm_buf_init(&text, t.mem);
    static const char head[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{"
                               "\"stringValue\":\"good\"}},{\"attributes\":[";
    assert_int_equal(lm_buf_append(&text, head, sizeof head - 1), LM_OK);
    for (int i = 0; i <= LM_LABEL_COUNT_MAX; i++) {
        char pair[80];
        int len = snprintf(pair, sizeof pair, "%s{\"key\":\"k%d\",\"value\":{\"intValue\":%d}}",
                           i ? "," : "", i, i);
        assert_int_equal(lm_buf_append(&text, pair, (size_t)len), LM_OK);
    }
    assert_int_equal(lm_buf_append(&text, "]}]}]}]}", 8), LM_OK);
    assert_string_equal(wire_read(&t, read_json, (lm_str){text.ptr, text.len}),
                        "now {service_name=\"unknown_service\"} {} good\n");
    assert_int_equal(t.report.accepted, 1);
    assert_int_equal(t.report.rejected, 1);
    text.len = 0;
    assert_int_equal(lm_wire_otlp_response(&t.report, true, &text), LM_OK);
    static const char want[] = "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":"
                               "\"129 labels, at most 128 are allowed\"}}";
    assert_int_equal(text.len, sizeof want - 1);
    assert_memory_equal(text.ptr, want, text.len);
    text.len = 0;
    assert_int_equal(lm_wire_otlp_response(&t.report, false, &text), LM_OK);
    static const char packed[] = "\x0a\x27\x08\x01\x12\x23"
                                 "129 labels, at most 128 are allowed";
    assert_int_equal(text.len, sizeof packed - 1);
    assert_memory_equal(text.ptr, packed, text.len);
    text.len = 0;
    t.report.rejected = 0;
    assert_int_equal(lm_wire_otlp_response(&t.report, false, &text), LM_OK);
    assert_int_equal(text.len, 0);
    assert_int_equal(lm_wire_otlp_response(&t.report, true, &text), LM_OK);
    assert_memory_equal(text.ptr, "{}", 2);
    lm_buf_fini(&text);
    wire_fini(&t);
}

/** Lists in lists, as deep as bytes allow: refused, and no stack is used up. */
static void test_deep(void **state)
{
    enum { LEVELS = 100000 };

    wire_test t;
    (void)state;
    wire_init(&t);
    /* from the inside out, in front of what is there */
    size_t cap = LEVELS * 16, at = cap;
    uint8_t *bytes = malloc(cap);
    assert_non_null(bytes);
    static const uint8_t inner[] = {0x0a, 0x2a}; /* values, array_value: the last is the latter */
    static const uint8_t outer[] = {0x2a, 0x12, 0x12, 0x0a}; /* body, record, scope, resource */
    for (size_t i = 0; i < LEVELS + sizeof outer; i++) {
        uint8_t head[12];
        size_t head_len = 0;
        head[head_len++] = i < LEVELS ? inner[i % 2] : outer[i - LEVELS];
        for (uint64_t len = cap - at; head_len == 1 || len; len >>= 7)
            head[head_len++] = (uint8_t)((len & 127) | (len > 127 ? 128 : 0));
        at -= head_len;
        memcpy(bytes + at, head, head_len);
    }
    wire_read_fails(&t, read_protobuf, (lm_str){bytes + at, cap - at}, LM_E_USAGE, "nested deeper");
    free(bytes);
    wire_fini(&t);
}

/** More items than one record's values may have, in few bytes. */
static void test_many_items(void **state)
{
    enum { ITEMS = 65537 };

    wire_test t;
    lm_buf text;
    (void)state;
    wire_init(&t);
    lm_buf_init(&text, t.mem);
    static const char head[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{"
                               "\"arrayValue\":{\"values\":[{}";
    assert_int_equal(lm_buf_append(&text, head, sizeof head - 1), LM_OK);
    for (int i = 2; i < ITEMS; i++)
        assert_int_equal(lm_buf_append(&text, ",{}", 3), LM_OK);
    size_t len = text.len;
    assert_int_equal(lm_buf_append(&text, "]}}}]}]}]}", 10), LM_OK);
    wire_read(&t, read_json, (lm_str){text.ptr, text.len});
    assert_int_equal(t.batch.records[0].line.len, 1 + 5 * (ITEMS - 1)); /* [null,...] */
    text.len = len;
    assert_int_equal(lm_buf_append(&text, ",{}]}}}]}]}]}", 13), LM_OK);
    wire_read_fails(&t, read_json, (lm_str){text.ptr, text.len}, LM_E_USAGE,
                    "more than 65536 items");
    lm_buf_fini(&text);
    wire_fini(&t);
}

static void test_wrong_shapes(void **state)
{
    static const char *const cases[] = {
        "",
        "[]",
        "7",
        "{\"resourceLogs\":{}}",
        "{\"resourceLogs\":[{\"scopeLogs\":1}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[1]}]}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{\"timeUnixNano\":\"x\"}]}]}]}",
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":{}}}]}"};
    wire_test t;
    (void)state;
    wire_init(&t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        wire_read_fails(&t, read_json, lm_str_of(cases[i]), LM_E_USAGE, "not ");
    assert_string_equal(wire_read(&t, read_json, LM_STR("{}")), "");
    assert_string_equal(wire_read(&t, read_protobuf, LM_STR("")), "");
    wire_fini(&t);
}

static lm_err once(lm_mem *mem, lm_str body, bool is_json)
{
    lm_record_batch batch;
    lm_wire_report report;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_err err = is_json ? lm_wire_otlp_json(body, &options, &batch, &report)
                         : lm_wire_otlp_protobuf(body, &options, &batch, &report);
    assert_int_equal(batch.record_count, err ? 0 : 1);
    lm_record_batch_fini(&batch);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    wire_test t;
    lm_buf body;
    static request r;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    make_full(&r);
    lm_str packed = pack(&r, &body);
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem, packed, false));
    LM_TEST_EACH_ALLOCATION_FAILS(
        mem, once(mem,
                  LM_STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{"
                         "\"arrayValue\":{\"values\":[{\"intValue\":1}]}},\"flags\":3}]}]}]}"),
                  true));
    lm_buf_fini(&body);
    wire_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_times_and_names),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_partial_success),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_many_items),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
