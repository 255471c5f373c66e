/** Loki's push API: what clients send, byte for byte; what Loki refuses; damage; round trips. */
#include "wire_test.h"

#include "wire/wire_logproto.pb-c.h"

static lm_err read_json(wire_test *t, lm_str body)
{
    return lm_wire_loki_json(body, &t->options, &t->batch, &t->report);
}

static lm_err read_protobuf(wire_test *t, lm_str body)
{
    return lm_wire_loki_protobuf(body, &t->options, &t->batch, &t->report);
}

static void test_json(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    /* python-logging-loki: a number where Loki's own clients send a string is taken too */
    assert_string_equal(
        wire_read(&t, read_json,
                  LM_STR("{\"streams\": [{\"stream\": {\"level\": \"error\", \"logger\": \"x\"}, "
                         "\"values\": [[\"1795441080123456789\", \"one \\\"two\\\"\\n\\u20ac\"], "
                         "[1795441080123456790, \"\"]]}]}")),
        "1795441080123456789 {level=\"error\", logger=\"x\"} {} one \"two\"\n\xE2\x82\xAC\n"
        "1795441080123456790 {level=\"error\", logger=\"x\"} {} \n");
    assert_int_equal(t.report.accepted, 2);
    assert_int_equal(t.report.rejected, 0);
    /* winston-loki: structured metadata as third element */
    assert_string_equal(
        wire_read(&t, read_json,
                  LM_STR("{\"streams\":[{\"stream\":{\"job\":\"w\"},\"values\":[[\"7\",\"l\",{"
                         "\"trace.id\":\"a\",\"n\":1.50,\"ok\":true,\"deep\":{\"a\":[1]}}]]}]}")),
        "7 {job=\"w\"} {deep=\"{\\\"a\\\":[1]}\", n=\"1.50\", ok=\"true\", trace_id=\"a\"} l\n");
    /* streams with equal labels are one; keys in any order; unknown keys are passed over */
    assert_string_equal(
        wire_read(
            &t, read_json,
            LM_STR("{\"x\":1,\"streams\":[{\"values\":[[\"1\",\"a\"]],\"stream\":{\"b\":\"2\","
                   "\"a\":\"1\"}},{\"stream\":{\"a\":\"1\",\"b\":\"2\"},\"values\":[[\"2\","
                   "\"b\"]]}]}")),
        "1 {a=\"1\", b=\"2\"} {} a\n2 {a=\"1\", b=\"2\"} {} b\n");
    assert_int_equal(t.batch.stream_count, 1);
    /* the older form of /api/prom/push */
    assert_string_equal(
        wire_read(&t, read_json,
                  LM_STR("{\"streams\":[{\"labels\":\"{foo=\\\"bar\\\"}\",\"entries\":[{\"ts\":"
                         "\"2026-11-23T13:38:00.5Z\",\"line\":\"fizz\"}]}]}")),
        "1795441080500000000 {foo=\"bar\"} {} fizz\n");
    /* half a surrogate pair, bytes that are no UTF-8, a NUL */
    assert_string_equal(
        wire_read(&t, read_json,
                  LM_STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\","
                         "\"\\udc80 \xFF \\\\ud800 \\ud83d\\ude00\"]]}]}")),
        "1 {a=\"b\"} {} \xEF\xBF\xBD \xFF \\ud800 \xF0\x9F\x98\x80\n");
    wire_read(
        &t, read_json,
        LM_STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\\u0000y\"]]}]}"));
    assert_int_equal(t.batch.records[0].line.len, 3);
    assert_memory_equal(t.batch.records[0].line.ptr, "x\0y", 3);
    /* a label that comes twice: the last one; an empty value: no label */
    assert_string_equal(wire_read(&t, read_json,
                                  LM_STR("{\"streams\":[{\"stream\":{\"a\":\"1\",\"a\":\"2\",\"e\":"
                                         "\"\"},\"values\":[[\"1\",\"x\"]]}]}")),
                        "1 {a=\"2\"} {} x\n");
    assert_string_equal(wire_read(&t, read_json, LM_STR("{\"streams\":[]}")), "");
    wire_fini(&t);
}

static void test_json_refused(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    wire_read(&t, read_json,
              LM_STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"kept\"]]}]}"));
    wire_read_fails(&t, read_json, LM_STR(""), LM_E_USAGE, "not JSON");
    wire_read_fails(&t, read_json, LM_STR("{\"streams\":["), LM_E_USAGE, "not JSON");
    wire_read_fails(&t, read_json, LM_STR("[]"), LM_E_USAGE, "an object expected");
    wire_read_fails(&t, read_json, LM_STR("{\"streams\":{}}"), LM_E_USAGE, "must be an array");
    wire_read_fails(&t, read_json, LM_STR("{\"streams\":[1]}"), LM_E_USAGE, "must be an object");
    wire_read_fails(&t, read_json,
                    LM_STR("{\"streams\":[{\"stream\":{\"n\":\"1\"},\"values\":[[\"1\",\"x\"]]},"
                           "{\"stream\":{\"m\":\"1\"},\"values\":[[\"1\"]]}]}"),
                    LM_E_USAGE, "a value must be");
    wire_read_fails(&t, read_json,
                    LM_STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"x\",\"x\"]]}]}"),
                    LM_E_USAGE, "nanoseconds");
    wire_read_fails(&t, read_json,
                    LM_STR("{\"streams\":[{\"stream\":{},\"values\":[[\"1\",\"x\"]]}]}"),
                    LM_E_USAGE, "error at least one label pair is required per stream");
    assert_string_equal(wire_print(&t), "1 {a=\"b\"} {} kept\n");
    /* one stream without labels costs itself only */
    assert_string_equal(
        wire_read(&t, read_json,
                  LM_STR("{\"streams\":[{\"stream\":{},\"values\":[[\"1\",\"x\"],[\"2\",\"y\"]]},"
                         "{\"stream\":{\"a\":\"b\"},\"values\":[[\"3\",\"z\"]]}]}")),
        "3 {a=\"b\"} {} z\n");
    assert_int_equal(t.report.accepted, 1);
    assert_int_equal(t.report.rejected, 2);
    assert_string_equal(t.report.reason, "error at least one label pair is required per stream");
    wire_fini(&t);
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/** Packs one stream with one entry. */
static void pack_one(const char *labels, LmLogproto__Entry *entry, lm_buf *out)
{
    LmLogproto__PushRequest request;
    LmLogproto__Stream stream, *streams[] = {&stream};
    LmLogproto__Entry *entries[] = {entry};
    lm_logproto__push_request__init(&request);
    lm_logproto__stream__init(&stream);
    request.n_streams = 1;
    request.streams = streams;
    stream.labels = bytes_of(labels);
    stream.n_entries = 1;
    stream.entries = entries;
    stream.hash = 0x1234567890abcdefu;
    out->len = 0;
    assert_int_equal(lm_buf_reserve(out, lm_logproto__push_request__get_packed_size(&request)),
                     LM_OK);
    out->len = lm_logproto__push_request__pack(&request, out->ptr);
}

static void test_protobuf(void **state)
{
    wire_test t;
    lm_buf body;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    LmLogproto__Entry entry;
    LmLogproto__Timestamp time;
    LmLogproto__LabelPair pair, *pairs[] = {&pair};
    lm_logproto__entry__init(&entry);
    lm_logproto__timestamp__init(&time);
    lm_logproto__label_pair__init(&pair);
    time.seconds = 1795441080;
    time.nanos = 123456789;
    entry.timestamp = &time;
    entry.line = (ProtobufCBinaryData){8, (uint8_t *)(uintptr_t)"one\0two\xff"};
    pack_one("{a=\"b c\", Z=\"\\\"q\\\"\"}", &entry, &body);
    wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len});
    assert_int_equal(t.batch.record_count, 1);
    assert_int_equal(t.batch.records[0].time_ns, INT64_C(1795441080123456789));
    assert_int_equal(t.batch.records[0].line.len, 8);
    assert_memory_equal(t.batch.records[0].line.ptr, "one\0two\xff", 8);
    assert_true(t.batch.records[0].line.ptr > body.ptr &&
                t.batch.records[0].line.ptr < body.ptr + body.len); /* a slice of the body */
    assert_string_equal((const char *)t.batch.streams[0].key.ptr, "{Z=\"\\\"q\\\"\", a=\"b c\"}");

    pair.name = bytes_of("trace.id");
    pair.value = bytes_of("5b8e");
    entry.n_structured_metadata = 1;
    entry.structured_metadata = pairs;
    entry.line = bytes_of("text");
    pack_one("{a=\"b\"}", &entry, &body);
    assert_string_equal(wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len}),
                        "1795441080123456789 {a=\"b\"} {trace_id=\"5b8e\"} text\n");
    wire_damage(&t, read_protobuf, (lm_str){body.ptr, body.len});

    entry.timestamp = NULL;
    pack_one("{a=\"b\"}", &entry, &body);
    assert_string_equal(wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len}),
                        "now {a=\"b\"} {trace_id=\"5b8e\"} text\n");
    pack_one("{}", &entry, &body);
    wire_read_fails(&t, read_protobuf, (lm_str){body.ptr, body.len}, LM_E_USAGE,
                    "error at least one label pair is required per stream");
    pack_one("{a=", &entry, &body);
    wire_read_fails(&t, read_protobuf, (lm_str){body.ptr, body.len}, LM_E_USAGE,
                    "error parsing labels at byte 3");
    entry.timestamp = &time;
    time.nanos = 1000000000;
    pack_one("{a=\"b\"}", &entry, &body);
    wire_read_fails(&t, read_protobuf, (lm_str){body.ptr, body.len}, LM_E_USAGE, "out of range");
    time.nanos = 0;
    time.seconds = INT64_MAX;
    pack_one("{a=\"b\"}", &entry, &body);
    wire_read_fails(&t, read_protobuf, (lm_str){body.ptr, body.len}, LM_E_USAGE, "out of range");
    assert_string_equal(wire_read(&t, read_protobuf, LM_STR("")), "");
    lm_buf_fini(&body);
    wire_fini(&t);
}

/** More metadata than one record may have: that record is refused, with the reason. */
static void test_too_much_metadata(void **state)
{
    wire_test t;
    lm_buf body;
    LmLogproto__Entry entry;
    LmLogproto__LabelPair pairs[LM_LABEL_COUNT_MAX + 1], *list[LM_LABEL_COUNT_MAX + 1];
    char names[LM_LABEL_COUNT_MAX + 1][16];
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    lm_logproto__entry__init(&entry);
    for (size_t i = 0; i <= LM_LABEL_COUNT_MAX; i++) {
        snprintf(names[i], sizeof names[i], "name%zu", i);
        lm_logproto__label_pair__init(&pairs[i]);
        pairs[i].name = pairs[i].value = bytes_of(names[i]);
        list[i] = &pairs[i];
    }
    entry.structured_metadata = list;
    entry.n_structured_metadata = LM_LABEL_COUNT_MAX + 1;
    pack_one("{a=\"b\"}", &entry, &body);
    wire_read_fails(&t, read_protobuf, (lm_str){body.ptr, body.len}, LM_E_USAGE, "129 labels");
    entry.n_structured_metadata = LM_LABEL_COUNT_MAX;
    pack_one("{a=\"b\"}", &entry, &body);
    wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len});
    assert_int_equal(t.batch.records[0].metadata.count, LM_LABEL_COUNT_MAX);
    lm_buf_fini(&body);
    wire_fini(&t);
}

/** Random requests packed by protobuf-c come back record for record, in order. */
static void test_round_trip(void **state)
{
    enum { ENTRIES = 40 };

    lm_test_rng rng = lm_test_rng_make("loki protobuf");
    wire_test t;
    (void)state;
    wire_init(&t);
    lm_buf body;
    lm_buf_init(&body, t.mem);
    for (int round = 0; round < 200; round++) {
        LmLogproto__PushRequest request;
        LmLogproto__Stream streams[4], *stream_list[4];
        LmLogproto__Entry entries[4][ENTRIES], *lists[4][ENTRIES];
        LmLogproto__Timestamp times[4][ENTRIES];
        static uint8_t lines[4][ENTRIES][64];
        char labels[4][40];
        size_t stream_count = 1 + lm_test_below(&rng, 4);
        lm_logproto__push_request__init(&request);
        request.streams = stream_list;
        request.n_streams = stream_count;
        for (size_t s = 0; s < stream_count; s++) {
            snprintf(labels[s], sizeof labels[s], "{s=\"%u\", b=\"x\"}",
                     (unsigned)lm_test_below(&rng, 3));
            lm_logproto__stream__init(&streams[s]);
            streams[s].labels = bytes_of(labels[s]);
            streams[s].entries = lists[s];
            streams[s].n_entries = lm_test_below(&rng, ENTRIES + 1);
            stream_list[s] = &streams[s];
            for (size_t i = 0; i < streams[s].n_entries; i++) {
                size_t len = lm_test_below(&rng, sizeof lines[s][i] + 1);
                for (size_t k = 0; k < len; k++)
                    lines[s][i][k] = (uint8_t)lm_test_random(&rng);
                lm_logproto__entry__init(&entries[s][i]);
                lm_logproto__timestamp__init(&times[s][i]);
                times[s][i].seconds = (int64_t)lm_test_below(&rng, 4000000000);
                times[s][i].nanos = (int32_t)lm_test_below(&rng, 1000000000);
                entries[s][i].timestamp = &times[s][i];
                entries[s][i].line = (ProtobufCBinaryData){len, lines[s][i]};
                lists[s][i] = &entries[s][i];
            }
        }
        body.len = 0;
        assert_int_equal(
            lm_buf_reserve(&body, lm_logproto__push_request__get_packed_size(&request)), LM_OK);
        body.len = lm_logproto__push_request__pack(&request, body.ptr);
        wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len});
        size_t at = 0;
        for (size_t s = 0; s < stream_count; s++) {
            for (size_t i = 0; i < streams[s].n_entries; i++, at++) {
                assert_true(at < t.batch.record_count);
                const lm_record *r = &t.batch.records[at];
                assert_int_equal(r->time_ns, times[s][i].seconds * 1000000000 + times[s][i].nanos);
                assert_true(lm_str_equal(r->line, (lm_str){lines[s][i], entries[s][i].line.len}));
                assert_int_equal(
                    lm_labels_get(t.batch.streams[r->stream].labels, LM_STR("s")).ptr[0],
                    labels[s][4]);
            }
        }
        assert_int_equal(at, t.batch.record_count);
        assert_int_equal(t.report.accepted, at);
    }
    lm_buf_fini(&body);
    wire_fini(&t);
}

/** Metadata of records in a row, with names in old and new orders, twice and empty: always what
 * lm_labels_make makes of it. */
static void test_metadata(void **state)
{
    enum { RECORDS = 60, PAIRS = 40 };

    lm_test_rng rng = lm_test_rng_make("metadata");
    wire_test t;
    lm_buf body;
    (void)state;
    wire_init(&t);
    lm_buf_init(&body, t.mem);
    for (int round = 0; round < 60; round++) {
        static LmLogproto__Entry entries[RECORDS], *list[RECORDS];
        static LmLogproto__LabelPair pairs[RECORDS][PAIRS], *lists[RECORDS][PAIRS];
        static const char *const values[] = {"a", "bb", "", "ccc"};
        static char names[PAIRS][4];
        static uint8_t order[PAIRS];
        LmLogproto__PushRequest request;
        LmLogproto__Stream stream, *streams[] = {&stream};
        size_t count = 0, values_used = 3;
        lm_logproto__push_request__init(&request);
        lm_logproto__stream__init(&stream);
        stream.labels = bytes_of("{a=\"b\"}");
        stream.n_entries = RECORDS;
        stream.entries = list;
        request.n_streams = 1;
        request.streams = streams;
        for (size_t i = 0; i < PAIRS; i++)
            snprintf(names[i], sizeof names[i], "n%zu", i);
        for (size_t i = 0; i < RECORDS; i++) {
            lm_logproto__entry__init(&entries[i]);
            list[i] = &entries[i];
            if (i == 0 || lm_test_below(&rng, 8) == 0) { /* another order from here on */
                count = lm_test_below(&rng, PAIRS + 1);
                for (size_t k = 0; k < PAIRS; k++) { /* a permutation, made from the inside out */
                    size_t other = lm_test_below(&rng, k + 1);
                    order[k] = order[other];
                    order[other] = (uint8_t)k;
                }
                if (lm_test_below(&rng, 4) == 0) order[0] = order[1]; /* a name twice */
                values_used = lm_test_below(&rng, 2) ? 2 : 4;
            }
            for (size_t k = 0; k < count; k++) {
                lm_logproto__label_pair__init(&pairs[i][k]);
                pairs[i][k].name = bytes_of(names[order[k]]);
                pairs[i][k].value = bytes_of(values[lm_test_below(&rng, values_used)]);
                lists[i][k] = &pairs[i][k];
            }
            entries[i].n_structured_metadata = count;
            entries[i].structured_metadata = lists[i];
        }
        body.len = 0;
        assert_int_equal(
            lm_buf_reserve(&body, lm_logproto__push_request__get_packed_size(&request)), LM_OK);
        body.len = lm_logproto__push_request__pack(&request, body.ptr);
        wire_read(&t, read_protobuf, (lm_str){body.ptr, body.len});
        assert_int_equal(t.batch.record_count, RECORDS);
        for (size_t i = 0; i < RECORDS; i++) {
            lm_label items[PAIRS];
            lm_labels want, got = t.batch.records[i].metadata;
            for (size_t k = 0; k < entries[i].n_structured_metadata; k++) {
                items[k].name = (lm_str){pairs[i][k].name.data, pairs[i][k].name.len};
                items[k].value = (lm_str){pairs[i][k].value.data, pairs[i][k].value.len};
            }
            assert_int_equal(
                lm_labels_make(items, entries[i].n_structured_metadata, &t.batch.arena, &want),
                LM_OK);
            assert_int_equal(got.count, want.count);
            for (uint32_t k = 0; k < want.count; k++) {
                assert_true(lm_str_equal(got.items[k].name, want.items[k].name));
                assert_true(lm_str_equal(got.items[k].value, want.items[k].value));
            }
        }
    }
    lm_buf_fini(&body);
    wire_fini(&t);
}

static void test_hostile(void **state)
{
    wire_test t;
    (void)state;
    wire_init(&t);
    wire_damage(
        &t, read_json,
        LM_STR("{\"streams\":[{\"stream\":{\"a\":\"b\",\"c\":\"\\u00e9\"},\"values\":[["
               "\"1795441080123456789\",\"line \\ud83d\\ude00 \xC3\xA9\",{\"k\":[1,{}]}],[2,"
               "\"x\"]]},{\"labels\":\"{q=\\\"1\\\"}\",\"entries\":[{\"ts\":"
               "\"2026-11-23T13:38:00Z\",\"line\":\"l\"}]}]}"));
    /* deep and wide */
    lm_buf deep;
    lm_buf_init(&deep, t.mem);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(lm_buf_u8(&deep, '['), LM_OK);
    wire_read_fails(&t, read_json, (lm_str){deep.ptr, deep.len}, LM_E_USAGE, "not JSON");
    deep.len = 0;
    static const char head[] =
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",{\"k\":";
    assert_int_equal(lm_buf_append(&deep, head, sizeof head - 1), LM_OK);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(lm_buf_u8(&deep, '['), LM_OK);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(lm_buf_u8(&deep, ']'), LM_OK);
    assert_int_equal(lm_buf_append(&deep, "}]]}]}", 6), LM_OK);
    wire_read(&t, read_json, (lm_str){deep.ptr, deep.len});
    assert_int_equal(t.batch.records[0].metadata.items[0].value.len, 40000);
    lm_buf_fini(&deep);
    /* lengths that lie */
    wire_read_fails(&t, read_protobuf, LM_STR("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                    LM_E_USAGE, "broken");
    wire_read_fails(&t, read_protobuf, LM_STR("\x0b"), LM_E_USAGE, "broken");     /* a group */
    wire_read_fails(&t, read_protobuf, LM_STR("\x02\x00"), LM_E_USAGE, "broken"); /* field 0 */
    wire_fini(&t);
}

static lm_err once(lm_mem *mem, bool is_json)
{
    lm_record_batch batch;
    lm_wire_report report;
    lm_wire_options options = {.now_ns = WIRE_NOW, .body_bytes_max = 1 << 20, .mem = mem};
    lm_record_batch_init(&batch, mem);
    lm_err err =
        is_json ? lm_wire_loki_json(LM_STR("{\"streams\":[{\"stream\":{\"a.b\":\"c\"},\"values\":[["
                                           "\"1\",\"x\",{\"k\":[1]}]]}]}"),
                                    &options, &batch, &report)
                : lm_wire_loki_protobuf(LM_STR("\x0a\x10\x0a\x07{a=\"b\"}\x12\x05\x12\x03xyz"),
                                        &options, &batch, &report);
    if (!err) assert_int_equal(batch.record_count, 1);
    if (err) assert_int_equal(batch.record_count, 0);
    lm_record_batch_fini(&batch);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem, true));
    LM_TEST_EACH_ALLOCATION_FAILS(mem, once(mem, false));
}

/** An account at its limit fails the request: no record is counted as refused for it. */
static void test_memory_limit(void **state)
{
    wire_test t;
    lm_mem *small = NULL;
    (void)state;
    wire_init(&t);
    assert_int_equal(lm_mem_new(NULL, 20000, &small), LM_OK);
    lm_buf body;
    lm_buf_init(&body, t.mem);
    static const char head[] = "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\"]";
    assert_int_equal(lm_buf_append(&body, head, sizeof head - 1), LM_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(lm_buf_append(&body, ",[\"1\",\"x\"]", 10), LM_OK);
    assert_int_equal(lm_buf_append(&body, "]}]}", 4), LM_OK);
    lm_record_batch batch;
    lm_record_batch_init(&batch, small);
    t.options.mem = small;
    assert_int_equal(lm_wire_loki_json((lm_str){body.ptr, body.len}, &t.options, &batch, &t.report),
                     LM_E_LIMIT);
    assert_true(lm_mem_refused());
    assert_int_equal(batch.record_count, 0);
    lm_record_batch_fini(&batch);
    lm_mem_free(small);
    t.options.mem = t.mem;
    lm_buf_fini(&body);
    wire_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),         cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_protobuf),     cmocka_unit_test(test_too_much_metadata),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
