/**
 * Requests of every protocol, made up of the same lines, read into a batch: one JSON line each.
 * *_library are the same bytes through protobuf-c with an arena as its allocator, to compare with.
 */
#include "wire/wire.h"

#include "wire/wire_logproto.pb-c.h"
#include "wire/wire_otlp.pb-c.h"

#include <inttypes.h>
#include <stdio.h>

enum { RECORDS = 10000, STREAMS = 8, RUNS = 25, TEXT_MAX = 400 };

#define NOW INT64_C(1795438680123456789)

typedef struct sample {
    int64_t time_ns;
    uint32_t stream, status, line_len;
    char line[TEXT_MAX];
} sample;

typedef struct bench {
    lm_mem *mem;
    sample *samples;
    lm_record_batch batch;
    lm_wire_options options;
} bench;

static lm_err put(lm_buf *out, const char *text)
{
    return lm_buf_append(out, text, strlen(text));
}

static void make_samples(bench *b)
{
    static const char *const paths[] = {"/api/v1/orders", "/static/app.js", "/healthz",
                                        "/checkout/confirm", "/search"};
    for (uint32_t i = 0; i < RECORDS; i++) {
        sample *s = &b->samples[i];
        uint64_t r = lm_hash_u64(i + 1);
        s->time_ns = NOW + (int64_t)i * 1000003;
        s->stream = (uint32_t)(r % STREAMS);
        s->status = r % 11 ? 200 : 503;
        s->line_len = (uint32_t)snprintf(
            s->line, sizeof s->line,
            "10.%u.%u.%u - - \"GET %s?id=%" PRIu64
            " HTTP/1.1\" %u %u \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\" rt=0.%03u",
            (unsigned)(r >> 8 & 255), (unsigned)(r >> 16 & 255), (unsigned)(r >> 24 & 255),
            paths[r % 5], r >> 40, s->status, (unsigned)(r >> 32 & 65535), (unsigned)(r % 1000));
    }
}

static lm_err put_quoted(lm_buf *out, const sample *s)
{
    lm_err err = lm_buf_u8(out, '"');
    for (uint32_t i = 0; i < s->line_len && !err; i++) {
        if (s->line[i] == '"') err = lm_buf_u8(out, '\\');
        if (!err) err = lm_buf_u8(out, (uint8_t)s->line[i]);
    }
    return err ? err : lm_buf_u8(out, '"');
}

/* ---- bodies ---- */

static lm_err make_loki_json(bench *b, lm_buf *out)
{
    char text[200];
    lm_err err = put(out, "{\"streams\":[");
    for (uint32_t stream = 0; stream < STREAMS && !err; stream++) {
        snprintf(text, sizeof text,
                 "%s{\"stream\":{\"app\":\"shop\",\"host\":\"web-%u\"},\"values\":[",
                 stream ? "," : "", stream);
        err = put(out, text);
        bool any = false;
        for (uint32_t i = 0; i < RECORDS && !err; i++) {
            const sample *s = &b->samples[i];
            if (s->stream != stream) continue;
            snprintf(text, sizeof text, "%s[\"%" PRId64 "\",", any ? "," : "", s->time_ns);
            err = put(out, text);
            if (!err) err = put_quoted(out, s);
            if (!err) err = lm_buf_u8(out, ']');
            any = true;
        }
        if (!err) err = put(out, "]}");
    }
    return err ? err : put(out, "]}");
}

static ProtobufCBinaryData bytes_of(const char *text, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)text};
}

static lm_err pack(const ProtobufCMessage *message, lm_buf *out)
{
    lm_err err = lm_buf_reserve(out, protobuf_c_message_get_packed_size(message));
    if (!err) out->len += protobuf_c_message_pack(message, out->ptr + out->len);
    return err;
}

static lm_err make_loki_protobuf(bench *b, lm_buf *out)
{
    static LmLogproto__Entry entries[RECORDS];
    static LmLogproto__Entry *lists[STREAMS][RECORDS];
    static LmLogproto__Timestamp times[RECORDS];
    LmLogproto__Stream streams[STREAMS], *stream_list[STREAMS];
    LmLogproto__PushRequest request;
    char labels[STREAMS][64];
    lm_logproto__push_request__init(&request);
    for (size_t i = 0; i < STREAMS; i++) {
        int len = snprintf(labels[i], 64, "{app=\"shop\", host=\"web-%zu\"}", i);
        lm_logproto__stream__init(&streams[i]);
        streams[i].labels = bytes_of(labels[i], (size_t)len);
        streams[i].entries = lists[i];
        stream_list[i] = &streams[i];
    }
    for (size_t i = 0; i < RECORDS; i++) {
        const sample *s = &b->samples[i];
        lm_logproto__entry__init(&entries[i]);
        lm_logproto__timestamp__init(&times[i]);
        times[i].seconds = s->time_ns / 1000000000;
        times[i].nanos = (int32_t)(s->time_ns % 1000000000);
        entries[i].timestamp = &times[i];
        entries[i].line = bytes_of(s->line, s->line_len);
        lists[s->stream][streams[s->stream].n_entries++] = &entries[i];
    }
    request.n_streams = STREAMS;
    request.streams = stream_list;
    return pack(&request.base, out);
}

static lm_err make_otlp_protobuf(bench *b, lm_buf *out)
{
    enum { ATTRIBUTES = 3 };

    static LmOtlp__LogRecord records[RECORDS], *list[RECORDS];
    static LmOtlp__AnyValue bodies[RECORDS], values[RECORDS][ATTRIBUTES];
    static LmOtlp__KeyValue pairs[RECORDS][ATTRIBUTES], *pair_lists[RECORDS][ATTRIBUTES];
    static const char *const keys[] = {"http.request.method", "http.response.status_code",
                                       "url.scheme"};
    LmOtlp__ExportRequest request;
    LmOtlp__ResourceLogs logs, *logs_list[] = {&logs};
    LmOtlp__Resource resource;
    LmOtlp__ScopeLogs scope_logs, *scope_list[] = {&scope_logs};
    LmOtlp__Scope scope;
    LmOtlp__KeyValue service, *service_list[] = {&service};
    LmOtlp__AnyValue service_name;
    lm_otlp__export_request__init(&request);
    lm_otlp__resource_logs__init(&logs);
    lm_otlp__resource__init(&resource);
    lm_otlp__scope_logs__init(&scope_logs);
    lm_otlp__scope__init(&scope);
    lm_otlp__key_value__init(&service);
    lm_otlp__any_value__init(&service_name);
    service.has_key = service_name.has_string_value = scope.has_name = 1;
    service.key = bytes_of("service.name", 12);
    service_name.string_value = bytes_of("shop", 4);
    service.value = &service_name;
    scope.name = bytes_of("shop.web", 8);
    for (size_t i = 0; i < RECORDS; i++) {
        const sample *s = &b->samples[i];
        LmOtlp__LogRecord *r = &records[i];
        lm_otlp__log_record__init(r);
        lm_otlp__any_value__init(&bodies[i]);
        r->has_time_unix_nano = r->has_severity_number = r->has_severity_text = 1;
        r->has_trace_id = r->has_span_id = bodies[i].has_string_value = 1;
        r->time_unix_nano = (uint64_t)s->time_ns;
        r->severity_number = 9;
        r->severity_text = bytes_of("INFO", 4);
        r->trace_id = bytes_of(s->line, 16);
        r->span_id = bytes_of(s->line, 8);
        bodies[i].string_value = bytes_of(s->line, s->line_len);
        r->body = &bodies[i];
        for (size_t k = 0; k < ATTRIBUTES; k++) {
            lm_otlp__key_value__init(&pairs[i][k]);
            lm_otlp__any_value__init(&values[i][k]);
            pairs[i][k].has_key = 1;
            pairs[i][k].key = bytes_of(keys[k], strlen(keys[k]));
            pairs[i][k].value = &values[i][k];
            values[i][k].has_int_value = k == 1;
            values[i][k].int_value = s->status;
            values[i][k].has_string_value = k != 1;
            values[i][k].string_value = bytes_of("https", 5);
            pair_lists[i][k] = &pairs[i][k];
        }
        r->n_attributes = ATTRIBUTES;
        r->attributes = pair_lists[i];
        list[i] = r;
    }
    resource.n_attributes = 1;
    resource.attributes = service_list;
    scope_logs.scope = &scope;
    scope_logs.n_log_records = RECORDS;
    scope_logs.log_records = list;
    logs.resource = &resource;
    logs.n_scope_logs = 1;
    logs.scope_logs = scope_list;
    request.n_resource_logs = 1;
    request.resource_logs = logs_list;
    return pack(&request.base, out);
}

static lm_err make_otlp_json(bench *b, lm_buf *out)
{
    char text[600];
    lm_err err =
        put(out, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
                 "\"value\":{\"stringValue\":\"shop\"}}]},\"scopeLogs\":[{\"scope\":{\"name\":"
                 "\"shop.web\"},\"logRecords\":[");
    for (size_t i = 0; i < RECORDS && !err; i++) {
        const sample *s = &b->samples[i];
        snprintf(text, sizeof text,
                 "%s{\"timeUnixNano\":\"%" PRId64
                 "\",\"severityNumber\":9,\"severityText\":\"INFO\",\"attributes\":[{\"key\":"
                 "\"http.request.method\",\"value\":{\"stringValue\":\"GET\"}},{\"key\":"
                 "\"http.response.status_code\",\"value\":{\"intValue\":\"%u\"}}],\"traceId\":"
                 "\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"body\":{"
                 "\"stringValue\":",
                 i ? "," : "", s->time_ns, s->status);
        err = put(out, text);
        if (!err) err = put_quoted(out, s);
        if (!err) err = put(out, "}}");
    }
    return err ? err : put(out, "]}]}]}");
}

static lm_err make_lines(bench *b, lm_buf *out, bool is_bulk)
{
    char text[300];
    lm_err err = LM_OK;
    for (size_t i = 0; i < RECORDS && !err; i++) {
        const sample *s = &b->samples[i];
        if (is_bulk) err = put(out, "{\"index\":{\"_index\":\"logs\"}}\n");
        snprintf(text, sizeof text,
                 "{\"@timestamp\":\"2026-11-23T13:38:%02zu.%03zuZ\",\"host\":\"web-%u\",\"status\":"
                 "%u,\"message\":",
                 i / 1000 % 60, i % 1000, s->stream, s->status);
        if (!err) err = put(out, text);
        if (!err) err = put_quoted(out, s);
        if (!err) err = put(out, "}\n");
    }
    return err;
}

static lm_err make_bulk(bench *b, lm_buf *out)
{
    return make_lines(b, out, true);
}

static lm_err make_ndjson(bench *b, lm_buf *out)
{
    return make_lines(b, out, false);
}

static lm_err make_syslog(bench *b, lm_buf *out, bool is_new)
{
    char text[600];
    lm_err err = LM_OK;
    for (size_t i = 0; i < RECORDS && !err; i++) {
        const sample *s = &b->samples[i];
        size_t second = i / 1000 % 60;
        if (is_new) {
            snprintf(text, sizeof text,
                     "<134>1 2026-11-23T13:38:%02zu.%03zuZ web-%u nginx 4711 - - %s\n", second,
                     i % 1000, s->stream, s->line);
        } else {
            snprintf(text, sizeof text, "<134>Nov 23 13:38:%02zu web-%u nginx[4711]: %s\n", second,
                     s->stream, s->line);
        }
        err = put(out, text);
    }
    return err;
}

static lm_err make_syslog_5424(bench *b, lm_buf *out)
{
    return make_syslog(b, out, true);
}

static lm_err make_syslog_3164(bench *b, lm_buf *out)
{
    return make_syslog(b, out, false);
}

/* ---- readers ---- */

static lm_err read_loki_json(bench *b, lm_str body)
{
    lm_wire_report report;
    return lm_wire_loki_json(body, &b->options, &b->batch, &report);
}

static lm_err read_loki_protobuf(bench *b, lm_str body)
{
    lm_wire_report report;
    return lm_wire_loki_protobuf(body, &b->options, &b->batch, &report);
}

static lm_err read_otlp_json(bench *b, lm_str body)
{
    lm_wire_report report;
    return lm_wire_otlp_json(body, &b->options, &b->batch, &report);
}

static lm_err read_otlp_protobuf(bench *b, lm_str body)
{
    lm_wire_report report;
    return lm_wire_otlp_protobuf(body, &b->options, &b->batch, &report);
}

static lm_err read_bulk(bench *b, lm_str body)
{
    lm_wire_report report;
    lm_buf response;
    lm_buf_init(&response, b->mem);
    lm_err err = lm_wire_bulk(body, LM_STR(""), &b->options, &b->batch, &report, &response);
    lm_buf_fini(&response);
    return err;
}

static lm_err read_ndjson(bench *b, lm_str body)
{
    lm_wire_report report;
    lm_wire_fields fields = {0};
    return lm_wire_ndjson(body, &fields, &b->options, &b->batch, &report);
}

static lm_err read_syslog(bench *b, lm_str body)
{
    lm_str message;
    lm_err err = LM_OK;
    while (!err && (err = lm_wire_syslog_frame(&body, 65536, &message)) == LM_OK)
        err = lm_wire_syslog(message, &b->options, &b->batch);
    return err == LM_E_NOTFOUND ? LM_OK : err;
}

static void *arena_alloc(void *arena, size_t bytes)
{
    return lm_arena_alloc(arena, bytes, 8);
}

static void arena_free(void *arena, void *ptr)
{
    (void)arena, (void)ptr; /* all at once */
}

static lm_err read_loki_library(bench *b, lm_str body)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &b->batch.arena};
    LmLogproto__PushRequest *request =
        lm_logproto__push_request__unpack(&allocator, body.len, body.ptr);
    if (!request) return LM_E_USAGE;
    for (size_t i = 0; i < request->n_streams; i++) {
        const LmLogproto__Stream *from = request->streams[i];
        lm_labels labels;
        uint32_t stream;
        lm_err err = lm_labels_parse((lm_str){from->labels.data, from->labels.len}, &b->batch.arena,
                                     &labels);
        if (!err) err = lm_record_batch_stream(&b->batch, labels, &stream);
        for (size_t k = 0; k < from->n_entries && !err; k++) {
            const LmLogproto__Entry *e = from->entries[k];
            int64_t ns = e->timestamp->seconds * 1000000000 + e->timestamp->nanos;
            err = lm_record_batch_add(&b->batch, stream, ns, (lm_str){e->line.data, e->line.len},
                                      (lm_labels){0});
        }
        if (err) return err;
    }
    return LM_OK;
}

/** Taking the message apart, nothing more. */
static lm_err read_otlp_library(bench *b, lm_str body)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &b->batch.arena};
    return lm_otlp__export_request__unpack(&allocator, body.len, body.ptr) ? LM_OK : LM_E_USAGE;
}

static const struct protocol {
    const char *name;
    lm_err (*make)(bench *b, lm_buf *out);
    lm_err (*read)(bench *b, lm_str body);
} protocols[] = {
    {"loki_protobuf", make_loki_protobuf, read_loki_protobuf},
    {"loki_protobuf_library", make_loki_protobuf, read_loki_library},
    {"loki_json", make_loki_json, read_loki_json},
    {"otlp_protobuf", make_otlp_protobuf, read_otlp_protobuf},
    {"otlp_protobuf_library", make_otlp_protobuf, read_otlp_library},
    {"otlp_json", make_otlp_json, read_otlp_json},
    {"bulk", make_bulk, read_bulk},
    {"ndjson", make_ndjson, read_ndjson},
    {"syslog_5424", make_syslog_5424, read_syslog},
    {"syslog_3164", make_syslog_3164, read_syslog},
};

static lm_err run(bench *b, const struct protocol *protocol)
{
    lm_buf body;
    uint64_t best = UINT64_MAX;
    lm_buf_init(&body, b->mem);
    lm_err err = protocol->make(b, &body);
    for (int i = 0; i < RUNS && !err; i++) {
        lm_record_batch_reset(&b->batch);
        uint64_t start = lm_clock_cpu_ns();
        err = protocol->read(b, (lm_str){body.ptr, body.len});
        uint64_t ns = lm_clock_cpu_ns() - start;
        if (ns < best) best = ns;
    }
    if (!err) {
        printf("{\"bench\":\"wire_decode\",\"input\":\"%s\",\"records\":%d,\"taken\":%zu,"
               "\"bytes_in\":%zu,\"cpu_ns_min\":%" PRIu64 ",\"runs\":%d,\"ns_per_record\":%.1f,"
               "\"records_s\":%.0f}\n",
               protocol->name, RECORDS, b->batch.record_count, body.len, best, RUNS,
               (double)best / RECORDS, RECORDS * 1e9 / (double)best);
    }
    lm_buf_fini(&body);
    return err;
}

/** Without names: all. */
static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) return true;
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    bench b = {0};
    lm_err err = lm_mem_new(NULL, 0, &b.mem);
    if (err) return 1;
    b.options = (lm_wire_options){.now_ns = NOW, .body_bytes_max = 1 << 30, .mem = b.mem};
    b.samples = lm_mem_alloc(b.mem, RECORDS * sizeof *b.samples);
    lm_record_batch_init(&b.batch, b.mem);
    if (b.samples) {
        make_samples(&b);
    } else {
        err = lm_mem_err();
    }
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0] && !err; i++) {
        if (is_wanted(protocols[i].name, argc, argv)) err = run(&b, &protocols[i]);
    }
    if (err) fprintf(stderr, "bench_wire_decode: %s\n", lm_err_text());
    lm_record_batch_fini(&b.batch);
    lm_mem_release(b.mem, b.samples, RECORDS * sizeof *b.samples);
    lm_mem_free(b.mem);
    return err ? 1 : 0;
}
