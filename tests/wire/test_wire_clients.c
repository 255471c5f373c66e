/** Bodies recorded on the wire from unmodified clients (tests/wire/data), and the records they are.
 */
#include "wire_test.h"

/** The file, unpacked, in body. */
static lm_str load(wire_test *t, const char *name, const char *encoding, lm_buf *body)
{
    char path[1024];
    const char *root = getenv("LOGMILL_SOURCE");
    assert_non_null(root);
    lm_buf packed;
    lm_buf_init(&packed, t->mem);
    snprintf(path, sizeof path, "%s/tests/wire/data/%s", root, name);
    assert_int_equal(lm_file_read_all(path, 1 << 20, &packed), LM_OK);
    assert_int_equal(
        lm_wire_unpack((lm_str){packed.ptr, packed.len}, lm_str_of(encoding), &t->options, body),
        LM_OK);
    lm_buf_fini(&packed);
    return (lm_str){body->ptr, body->len};
}

static lm_err read_loki_json(wire_test *t, lm_str body)
{
    return lm_wire_loki_json(body, &t->options, &t->batch, &t->report);
}

static lm_err read_loki_protobuf(wire_test *t, lm_str body)
{
    return lm_wire_loki_protobuf(body, &t->options, &t->batch, &t->report);
}

static lm_err read_otlp_json(wire_test *t, lm_str body)
{
    return lm_wire_otlp_json(body, &t->options, &t->batch, &t->report);
}

static lm_err read_otlp_protobuf(wire_test *t, lm_str body)
{
    return lm_wire_otlp_protobuf(body, &t->options, &t->batch, &t->report);
}

static lm_err read_bulk(wire_test *t, lm_str body)
{
    t->text.len = 0;
    return lm_wire_bulk(body, LM_STR(""), &t->options, &t->batch, &t->report, &t->text);
}

/* The three differ in time and packing. */
#define OTLP_PY(time, packing)                                                                     \
    time " {service_instance_id=\"e3cb5206-f59d-47ac-8870-1d4f67133141\", "                        \
         "service_name=\"shop\"} {code_file_path=\"/srv/shop/app.py\", "                           \
         "code_function_name=\"<module>\", code_line_number=\"19\", disk=\"sda\", "                \
         "host_name=\"web-1\", ok=\"true\", parts=\"[\\\"a\\\",\\\"b\\\"]\", ratio=\"0.25\", "     \
         "scope_name=\"otelCompression." packing "\", service_version=\"1.2\", "                   \
         "severity_number=\"13\", severity_text=\"WARN\", telemetry_sdk_language=\"python\", "     \
         "telemetry_sdk_name=\"opentelemetry\", telemetry_sdk_version=\"1.45.2\"} disk 91% full\n"

static void test_clients(void **state)
{
    static const struct {
        const char *name, *encoding;
        wire_reader read;
        const char *want;
    } cases[] = {
        {"python_logging_loki.json", "", read_loki_json,
         "1795473326707156992 {application=\"my-app\", level=\"error\", logger=\"my-logger\", "
         "service=\"my-service\"} {} Something \"happened\"\n\ttwice: \xC3\xA9 \xE2\x82\xAC\n"},
        {"pino_loki.json", "", read_loki_json,
         "1795473351086000000 {app=\"pino\", hostname=\"vm\", level=\"info\"} {} "
         "{\"level\":30,\"time\":1795473351086,\"pid\":30398,\"user\":7,\"msg\":\"hello from "
         "pino\"}\n"},
        {"winston_loki.json", "", read_loki_json,
         "1795473351237000000 {job=\"winston\", k=\"v\", level=\"info\"} {level=\"info\", "
         "user=\"u1\"} {\"labels\":{\"k\":\"v\"},\"level\":\"info\",\"message\":\"hello from "
         "winston\",\"user\":\"u1\"}\n"},
        {"winston_loki.snappy", "snappy", read_loki_protobuf,
         "1795473351268000000 {job=\"winston\", k=\"v\", level=\"info\"} {} "
         "{\"labels\":{\"k\":\"v\"},"
         "\"level\":\"info\",\"message\":\"hello from winston\",\"user\":\"u1\"}\n"},
        {"elasticsearch_py.ndjson", "", read_bulk,
         "1795441080123000000 {index=\"logs\"} {} {\"@timestamp\":\"2026-11-23T13:38:00.123Z\","
         "\"message\":\"hello from python\",\"n\":1}\n"
         "1795438680123000000 {index=\"logs\"} {} {\"@timestamp\":1795438680123,\"message\":"
         "\"second, \xC3\xA9\"}\n"},
        {"winston_elasticsearch.ndjson", "", read_bulk,
         "1795473351816000000 {index=\"logs-2026.11.23\"} {} {\"@timestamp\":\"2026-11-23T22:35:51."
         "816Z\",\"message\":\"hello from winston-es\",\"severity\":\"info\",\"fields\":{\"foo\":"
         "\"bar\"}}\n"},
        {"opentelemetry_js.json", "", read_otlp_json,
         "1795473504356000000 {service_name=\"unknown_service:node\"} {big=\"1099511627776\", "
         "f=\"0.5\", list=\"[\\\"a\\\",1]\", map_x_y=\"true\", n=\"1\", scope_name=\"js-logger\", "
         "scope_version=\"1.0\", severity_number=\"9\", severity_text=\"INFO\", "
         "telemetry_sdk_language=\"nodejs\", telemetry_sdk_name=\"opentelemetry\", "
         "telemetry_sdk_version=\"2.12.1\"} hello from js\n"
         "1795473504358000000 {service_name=\"unknown_service:node\"} {scope_name=\"js-logger\", "
         "scope_version=\"1.0\", telemetry_sdk_language=\"nodejs\", "
         "telemetry_sdk_name=\"opentelemetry\", telemetry_sdk_version=\"2.12.1\"} "
         "{\"a\":1,\"b\":[null,\"\xC3\xA9\"]}\n"},
        {"opentelemetry_py.bin", "", read_otlp_protobuf,
         OTLP_PY("1795473327129559552", "NoCompression")},
        {"opentelemetry_py.gz", "gzip", read_otlp_protobuf, OTLP_PY("1795473327138999552", "Gzip")},
        {"opentelemetry_py.zlib", "deflate", read_otlp_protobuf,
         OTLP_PY("1795473327146336000", "Deflate")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wire_test t;
        lm_buf body;
        wire_init(&t);
        lm_buf_init(&body, t.mem);
        lm_str bytes = load(&t, cases[i].name, cases[i].encoding, &body);
        const char *got = wire_read(&t, cases[i].read, bytes);
        assert_int_equal(t.report.rejected, 0);
        assert_string_equal(got, cases[i].want);
        wire_damage(&t, cases[i].read, bytes);
        lm_buf_fini(&body);
        wire_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
