/**
 * Push: a body of records, in whatever protocol, unpacked, decoded, admitted and handed to the
 * store. The answer is made before that, so that the thread that commits has only to wake the
 * connection; what fails later replaces it.
 */
#include "server/server_priv.h"

#if LM_HAVE_GRPC
#    include "grpc/grpc.h"
#endif
#include <stdio.h>
#include <time.h>

#define PUT_WAIT_NS_MAX 2000000000ull
#define PUT_AGAIN_NS    2000000

typedef enum push_kind {
    PUSH_LOKI,
    PUSH_OTLP,
    PUSH_GRPC,
    PUSH_BULK,
    PUSH_DOCUMENT,
    PUSH_LINES
} push_kind;

struct server_push {
    lm_record_batch batch;
    lm_buf plain; /* the body, unpacked */
    lm_buf inner; /* unpacked once more: a snappy block in gzip */
    lm_wire_report report;
    lm_wire_options options;
    push_kind kind;
    bool is_json;
    uint64_t give_up_ns; /* while the store says "come again": until then it is asked again */
};

void server_push_fini(server_request *request)
{
    struct server_push *push = request->push;
    if (!push) return;
    lm_record_batch_fini(&push->batch);
    lm_buf_fini(&push->plain);
    lm_buf_fini(&push->inner);
    lm_mem_release(request->server->data_mem, push, sizeof *push);
    request->push = NULL;
}

lm_err server_request_account(server_request *request)
{
    if (request->account) return LM_OK;
    return server_tenant_get(&request->server->tenants, request->tenant, &request->account);
}

/* ---- answers ---- */

/** google.rpc.Status, as OTLP wants errors told. */
static void answer_status(server_request *request, unsigned status, const char *text)
{
    bool is_json = request->form_of_errors == ERRORS_OTLP_JSON;
    bool is_retryable = status == MHD_HTTP_TOO_MANY_REQUESTS || status >= 500;
    unsigned code = status == MHD_HTTP_TOO_MANY_REQUESTS ? 8 : is_retryable ? 14 : 3;
    request->answer.len = 0;
    lm_err err = LM_OK;
    if (is_json) {
        server_json json = server_answer_begin(request);
        server_json_open(&json, '{');
        server_json_key(&json, "code");
        server_json_u64(&json, code);
        server_json_key(&json, "message");
        server_json_z(&json, text);
        server_json_close(&json, '}');
        err = json.err;
    } else {
        size_t len = strlen(text);
        err = lm_buf_u8(&request->answer, 1 << 3); /* code */
        if (!err) err = lm_buf_varint(&request->answer, code);
        if (!err) err = lm_buf_u8(&request->answer, 2 << 3 | 2); /* message */
        if (!err) err = lm_buf_varint(&request->answer, len);
        if (!err) err = lm_buf_append(&request->answer, text, len);
    }
    if (err) request->answer.len = 0; /* the status says it */
    request->status = status;
    request->type = is_json ? "application/json" : "application/x-protobuf";
}

/** A status and this thread's last error, in the form the protocol's clients read. */
static void refuse(server_request *request, unsigned status, lm_err err, const char *retry_s)
{
    char text[sizeof((lm_err_info *)0)->text];
    (void)snprintf(text, sizeof text, "%s", lm_err_text());
    if (retry_s) server_answer_header(request, MHD_HTTP_HEADER_RETRY_AFTER, retry_s);
    if (request->form_of_errors != ERRORS_TEXT) {
        answer_status(request, status, text);
        return;
    }
    if (request->route->flags & ROUTE_ELASTIC) {
        request->header_count = 0;
        server_answer_err(request, err);
        request->status = status;
        return;
    }
    server_answer_text(request, status, "%s", text);
}

/** A failure of unpacking or decoding: whose fault was it? */
static void refuse_body(server_request *request, lm_err err, unsigned limit_status)
{
    if (err == LM_E_NOMEM || (err == LM_E_LIMIT && lm_mem_refused()))
        refuse(request, MHD_HTTP_TOO_MANY_REQUESTS, LM_E_LIMIT, "1");
    else if (err == LM_E_LIMIT)
        refuse(request, limit_status, err, NULL);
    else
        refuse(request, MHD_HTTP_BAD_REQUEST, LM_E_USAGE, NULL);
}

/* ---- the way in ---- */

/** The store's answer to a batch that it does not take, or could not keep. */
static void refuse_stored(server_request *request, lm_err err)
{
    request->header_count = 0;
    if (err == LM_E_LIMIT || err == LM_E_NOMEM)
        refuse(request, MHD_HTTP_TOO_MANY_REQUESTS, LM_E_LIMIT, "1");
    else if (err == LM_E_IO)
        refuse(request, MHD_HTTP_INSUFFICIENT_STORAGE, err, NULL);
    else if (err == LM_E_CANCELLED) /* it is being closed */
        refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, err, "5");
    else
        refuse_body(request, err, MHD_HTTP_BAD_REQUEST);
}

/** On the committing thread, while the one that handed the batch over may be freeing the push: what
 * is needed here is in the request. */
static void push_durable(void *ctx, lm_err err)
{
    server_request *request = ctx;
    if (!err) server_histogram_add(&request->server->durable, lm_clock_ns() - request->put_ns);
    if (err) refuse_stored(request, err);
    server_request_done(request);
}

/** May the tenant push this? Else the answer is made. */
static bool admit(server_request *request)
{
    const lm_config_limits *limits = lm_config_limits_of(request->state->config, request->tenant);
    uint64_t retry_s = 1;
    lm_err err = server_request_account(request);
    if (!err)
        err = server_tenant_admit(request->account, request->server->tenants.mem, limits,
                                  &request->push->batch, lm_clock_ns(), &retry_s);
    if (!err) return true;
    char *text = lm_arena_alloc(&request->arena, 24, 1);
    if (text) (void)snprintf(text, 24, "%llu", (unsigned long long)retry_s);
    refuse(request, MHD_HTTP_TOO_MANY_REQUESTS, LM_E_LIMIT, text ? text : "1");
    return false;
}

static lm_err put(server_request *request)
{
    lm_server *server = request->server;
    const lm_record_batch *batch = &request->push->batch;
    uint64_t records = batch->record_count, bytes = batch->bytes;
    lm_err err =
        server->sink.put(server->sink.self, request->tenant, batch, NULL, 0, push_durable, request);
    if (err) return err;
    atomic_fetch_add_explicit(&request->account->records, records, memory_order_relaxed);
    atomic_fetch_add_explicit(&request->account->bytes, bytes, memory_order_relaxed);
    return LM_OK;
}

static void refuse_put(server_request *request, lm_err err)
{
    atomic_fetch_add_explicit(&request->account->refused[REFUSED_STORE],
                              request->push->batch.record_count, memory_order_relaxed);
    refuse_stored(request, err);
}

/** Free what the push holds, and wake the connection unless push_durable will. */
static void end_push(server_request *request, bool is_handed)
{
    server_push_fini(request); /* the store has copied what it needs: others may have the memory */
    lm_buf_fini(&request->body);
    if (!is_handed) server_request_done(request);
}

/**
 * The store had no room: it is asked again for a while, in the order the pushes came. So a client
 * that sends faster than the disk takes it is slowed down; only one that nothing helps is refused.
 */
static void put_again(server_request *request)
{
    lm_err err = LM_OK;
    server_request_ref(request); /* the answer may be on its way before put returns */
    while ((err = put(request)) == LM_E_LIMIT && lm_clock_ns() < request->push->give_up_ns)
        (void)nanosleep(&(struct timespec){.tv_nsec = PUT_AGAIN_NS}, NULL);
    if (err) refuse_put(request, err);
    end_push(request, !err);
    server_request_unref(request);
}

/** The answer for a batch that is taken; false: nothing of it could be. */
static lm_err answer_taken(server_request *request, lm_buf *bulk)
{
    struct server_push *push = request->push;
    lm_err err = LM_OK;
    switch (push->kind) {
    case PUSH_OTLP:
    case PUSH_GRPC:
        err = lm_wire_otlp_response(&push->report, push->is_json, &request->answer);
        request->status = MHD_HTTP_OK;
        request->type = push->is_json ? "application/json" : "application/x-protobuf";
        break;
    case PUSH_BULK:
    case PUSH_DOCUMENT:
        lm_buf_fini(&request->answer);
        request->answer = *bulk;
        lm_buf_init(bulk, bulk->mem);
        request->status = push->kind == PUSH_BULK ? MHD_HTTP_OK : MHD_HTTP_CREATED;
        request->type = "application/json";
        break;
    case PUSH_LOKI:
    case PUSH_LINES:
        if (push->report.rejected) /* as Loki does: the others are stored all the same */
            server_answer_text(request, MHD_HTTP_BAD_REQUEST, "%s", push->report.reason);
        else
            request->status = MHD_HTTP_NO_CONTENT;
        break;
    }
    return err;
}

/** What is common to all protocols, once the batch is decoded. Wakes the connection. */
static void finish(server_request *request, lm_buf *bulk)
{
    struct server_push *push = request->push;
    atomic_fetch_add_explicit(&request->server->counters.records_rejected, push->report.rejected,
                              memory_order_relaxed);
    lm_err err = answer_taken(request, bulk);
    if (err) refuse_body(request, err, MHD_HTTP_TOO_MANY_REQUESTS);
    if (err || !push->batch.record_count || !admit(request)) {
        end_push(request, false);
        return;
    }
    server_request_ref(request);     /* the answer may be on its way before put returns */
    request->put_ns = lm_clock_ns(); /* once: asking again is part of the wait */
    err = put(request);
    push->give_up_ns = lm_clock_ns() + PUT_WAIT_NS_MAX;
    if (err == LM_E_LIMIT && !server_work_add(&request->server->waiters, request, put_again)) {
        server_request_unref(request);
        return;
    }
    if (err) refuse_put(request, err);
    end_push(request, !err);
    server_request_unref(request);
}

/** A failure before finish. */
static void finish_refused(server_request *request, lm_err err, unsigned limit_status)
{
    refuse_body(request, err, limit_status);
    server_request_done(request);
}

static lm_err push_begin(server_request *request, push_kind kind)
{
    lm_mem *mem = request->server->data_mem;
    struct server_push *push = lm_mem_calloc(mem, 1, sizeof *push);
    if (!push) return lm_mem_err();
    request->push = push;
    lm_record_batch_init(&push->batch, mem);
    lm_buf_init(&push->plain, mem);
    lm_buf_init(&push->inner, mem);
    push->kind = kind;
    const char *type = server_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    push->is_json = type && strncasecmp(type, "application/json", 16) == 0 &&
                    (type[16] == '\0' || type[16] == ';' || type[16] == ' ');
    if (kind == PUSH_OTLP)
        request->form_of_errors = push->is_json ? ERRORS_OTLP_JSON : ERRORS_OTLP_PROTOBUF;
    push->options =
        (lm_wire_options){.now_ns = lm_clock_wall_ns(),
                          .body_bytes_max = request->state->config->ingest_body_size_max,
                          .mem = mem};
    return LM_OK;
}

static lm_str encoding_of(const server_request *request)
{
    const char *encoding = server_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    return encoding ? lm_str_of(encoding) : LM_STR("");
}

/** Content-Encoding undone; the body itself where there is none. */
static lm_err unpack(server_request *request, lm_str encoding, lm_str *out)
{
    struct server_push *push = request->push;
    lm_str body = {request->body.ptr ? request->body.ptr : (const uint8_t *)"", request->body.len};
    if (!encoding.len || lm_str_equal_nocase(encoding, LM_STR("identity"))) {
        *out = body;
        return LM_OK;
    }
    lm_err err = lm_wire_unpack(body, encoding, &push->options, &push->plain);
    if (err) return err;
    lm_buf_fini(&request->body);
    *out = (lm_str){push->plain.ptr ? push->plain.ptr : (const uint8_t *)"", push->plain.len};
    return LM_OK;
}

/**
 * Loki's protobuf is a snappy block, whatever Content-Encoding says; gzip and deflate come around
 * that. A bare message (its first byte is the tag of `streams`) is taken too.
 */
static lm_err unpack_protobuf(server_request *request, lm_str *out)
{
    struct server_push *push = request->push;
    lm_str encoding = encoding_of(request), body;
    bool is_snappy = lm_str_equal_nocase(encoding, LM_STR("snappy"));
    lm_err err = unpack(request, is_snappy ? LM_STR("") : encoding, &body);
    if (err) return err;
    err = lm_wire_unpack(body, LM_STR("snappy"), &push->options, &push->inner);
    if (err == LM_E_USAGE && body.len && body.ptr[0] == 0x0A) {
        *out = body;
        return LM_OK;
    }
    if (!err)
        *out = (lm_str){push->inner.ptr ? push->inner.ptr : (const uint8_t *)"", push->inner.len};
    return err;
}

void server_push_loki(server_request *request)
{
    lm_str body;
    lm_err err = push_begin(request, PUSH_LOKI);
    if (err) {
        finish_refused(request, err, MHD_HTTP_TOO_MANY_REQUESTS);
        return;
    }
    struct server_push *push = request->push;
    if (push->is_json) {
        lm_str encoding = encoding_of(request);
        /* A Content-Encoding of snappy with JSON means nothing to Loki: the body is read as it is.
         */
        bool is_bare = lm_str_equal_nocase(encoding, LM_STR("snappy"));
        err = unpack(request, is_bare ? LM_STR("") : encoding, &body);
    } else {
        err = unpack_protobuf(request, &body);
    }
    if (err) {
        finish_refused(request, err, MHD_HTTP_CONTENT_TOO_LARGE);
        return;
    }
    err = push->is_json ? lm_wire_loki_json(body, &push->options, &push->batch, &push->report)
                        : lm_wire_loki_protobuf(body, &push->options, &push->batch, &push->report);
    if (err)
        finish_refused(request, err, MHD_HTTP_BAD_REQUEST);
    else
        finish(request, NULL);
}

void server_push_otlp(server_request *request)
{
    lm_str body;
    lm_err err = push_begin(request, PUSH_OTLP);
    if (!err) err = unpack(request, encoding_of(request), &body);
    if (err) {
        finish_refused(request, err, MHD_HTTP_CONTENT_TOO_LARGE);
        return;
    }
    struct server_push *push = request->push;
    err = push->is_json ? lm_wire_otlp_json(body, &push->options, &push->batch, &push->report)
                        : lm_wire_otlp_protobuf(body, &push->options, &push->batch, &push->report);
    if (err)
        finish_refused(request, err, MHD_HTTP_BAD_REQUEST);
    else
        finish(request, NULL);
}

#if LM_HAVE_GRPC
void server_push_grpc(server_request *request)
{
    bool is_packed = false;
    lm_str message, encoding = LM_STR("");
    lm_err err = push_begin(request, PUSH_GRPC);
    struct server_push *push = request->push;
    if (err) {
        finish_refused(request, err, MHD_HTTP_TOO_MANY_REQUESTS);
        return;
    }
    push->is_json = false; /* the content type says "application/grpc" or more */
    err = lm_grpc_message((lm_str){request->body.ptr, request->body.len}, &is_packed, &message);
    if (!err && is_packed) {
        const char *name = server_request_header(request, "grpc-encoding");
        encoding = name ? lm_str_of(name) : encoding;
        if (!encoding.len || lm_str_equal_nocase(encoding, LM_STR("identity")))
            err = lm_fail(LM_E_USAGE, "the message is compressed, and grpc-encoding names no way");
        if (!err) err = lm_wire_unpack(message, encoding, &push->options, &push->plain);
        if (!err) {
            lm_buf_fini(&request->body);
            message =
                (lm_str){push->plain.ptr ? push->plain.ptr : (const uint8_t *)"", push->plain.len};
        }
    }
    if (err == LM_E_UNSUPPORTED) {
        refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, err, NULL);
        server_request_done(request);
        return;
    }
    if (err) {
        finish_refused(request, err, MHD_HTTP_CONTENT_TOO_LARGE);
        return;
    }
    err = lm_wire_otlp_protobuf(message, &push->options, &push->batch, &push->report);
    if (err)
        finish_refused(request, err, MHD_HTTP_BAD_REQUEST);
    else
        finish(request, NULL);
}
#endif

static void push_documents(server_request *request, push_kind kind)
{
    lm_str body;
    lm_buf response;
    lm_buf_init(&response, request->server->data_mem);
    lm_err err = push_begin(request, kind);
    if (!err) err = unpack(request, encoding_of(request), &body);
    if (err) {
        finish_refused(request, err, MHD_HTTP_CONTENT_TOO_LARGE);
        return;
    }
    struct server_push *push = request->push;
    const server_path *path = &request->path;
    lm_str index = path->count > 1 ? path->parts[0] : LM_STR("");
    lm_str id = path->count > 2 ? path->parts[2] : (lm_str){NULL, 0};
    err = kind == PUSH_BULK
              ? lm_wire_bulk(body, index, &push->options, &push->batch, &push->report, &response)
              : lm_wire_document(body, index, id, &push->options, &push->batch, &push->report,
                                 &response);
    if (err)
        finish_refused(request, err, MHD_HTTP_BAD_REQUEST);
    else
        finish(request, &response);
    lm_buf_fini(&response);
}

void server_push_bulk(server_request *request)
{
    push_documents(request, PUSH_BULK);
}

void server_push_document(server_request *request)
{
    push_documents(request, PUSH_DOCUMENT);
}

/* ---- lines, JSON or plain ---- */

static lm_err split_names(lm_str text, lm_arena *arena, const lm_str **out, size_t *out_count)
{
    size_t count = 0, commas = 1;
    for (size_t i = 0; i < text.len; i++)
        commas += text.ptr[i] == ',';
    lm_str *names = lm_arena_alloc(arena, commas * sizeof *names, _Alignof(lm_str));
    if (!names) return lm_mem_err();
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ',')
            end++;
        if (end > i) names[count++] = (lm_str){text.ptr + i, end - i};
        i = end + 1;
    }
    *out = names;
    *out_count = count;
    return LM_OK;
}

/** `label.NAME=VALUE` parameters; without any, and without stream fields, Loki's own label for logs
 * that do not say whose they are, so that they can be selected. */
static lm_err read_labels(server_request *request, bool has_streams, lm_labels *out)
{
    lm_label labels[LM_LABEL_COUNT_MAX];
    size_t count = 0;
    for (size_t i = 0; i < request->form.count; i++) {
        lm_str name = request->form.pairs[i].name;
        if (!lm_str_starts(name, LM_STR("label."))) continue;
        if (count == LM_LABEL_COUNT_MAX)
            return lm_fail(LM_E_LIMIT, "more than %d labels", LM_LABEL_COUNT_MAX);
        lm_str bare = {name.ptr + 6, name.len - 6};
        labels[count++] = (lm_label){bare, request->form.pairs[i].value};
    }
    if (!count && !has_streams)
        labels[count++] = (lm_label){LM_STR("service_name"), LM_STR("unknown_service")};
    return lm_labels_make(labels, count, &request->arena, out);
}

void server_push_jsonline(server_request *request)
{
    lm_str body;
    lm_wire_fields fields = {.message = LM_STR("")};
    lm_err err = push_begin(request, PUSH_LINES);
    if (!err) err = unpack(request, encoding_of(request), &body);
    if (err) {
        finish_refused(request, err, MHD_HTTP_CONTENT_TOO_LARGE);
        return;
    }
    struct server_push *push = request->push;
    fields.message = server_form_get(&request->form, "_msg_field");
    fields.time = server_form_get(&request->form, "_time_field");
    err = split_names(server_form_get(&request->form, "_stream_fields"), &request->arena,
                      &fields.streams, &fields.stream_count);
    if (!err) err = read_labels(request, fields.stream_count > 0, &fields.labels);
    if (!err) err = lm_wire_ndjson(body, &fields, &push->options, &push->batch, &push->report);
    if (err)
        finish_refused(request, err, MHD_HTTP_BAD_REQUEST);
    else
        finish(request, NULL);
}
