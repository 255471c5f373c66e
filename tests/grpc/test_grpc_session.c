/**
 * A session against nghttp2 as its client: answers, refusals in each phase of a call, goodbyes, and
 * every allocation failing.
 */
#include "grpc/grpc.h"
#include "lm_test.h"

#include <nghttp2/nghttp2.h>

#define EXPORT "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

/* ---- a client ---- */

typedef struct client {
    nghttp2_session *http;
    const char *body; /* what a call sends */
    size_t body_len, body_at;
    bool is_endless; /* the body's end is not told */
    /* of the last answer */
    char heads[8][2][200];
    size_t head_count;
    uint8_t data[100];
    size_t data_len;
    uint32_t close_code;
    size_t closed;
    bool has_goaway;
} client;

static int client_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                         void *ctx)
{
    client *c = ctx;
    (void)http, (void)frame, (void)flags;
    assert_true(c->head_count < 8);
    snprintf(c->heads[c->head_count][0], 200, "%.*s", (int)name_len, (const char *)name);
    snprintf(c->heads[c->head_count++][1], 200, "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static int client_data(nghttp2_session *http, uint8_t flags, int32_t id, const uint8_t *bytes,
                       size_t len, void *ctx)
{
    client *c = ctx;
    (void)http, (void)flags, (void)id;
    assert_true(c->data_len + len <= sizeof c->data);
    memcpy(c->data + c->data_len, bytes, len);
    c->data_len += len;
    return 0;
}

static int client_closed(nghttp2_session *http, int32_t id, uint32_t code, void *ctx)
{
    client *c = ctx;
    (void)http, (void)id;
    c->close_code = code;
    c->closed++;
    return 0;
}

static int client_frame(nghttp2_session *http, const nghttp2_frame *frame, void *ctx)
{
    client *c = ctx;
    (void)http;
    if (frame->hd.type == NGHTTP2_GOAWAY) c->has_goaway = true;
    return 0;
}

static ssize_t client_body(nghttp2_session *http, int32_t id, uint8_t *dst, size_t cap,
                           uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    client *c = ctx;
    (void)http, (void)id, (void)source;
    size_t left = c->body_len - c->body_at, count = left < cap ? left : cap;
    if (count) memcpy(dst, c->body + c->body_at, count);
    c->body_at += count;
    if (c->body_at < c->body_len) return (ssize_t)count;
    if (c->is_endless && !count) return NGHTTP2_ERR_DEFERRED;
    if (!c->is_endless) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)count;
}

static void client_init(client *c)
{
    nghttp2_session_callbacks *told = NULL;
    memset(c, 0, sizeof *c);
    assert_int_equal(nghttp2_session_callbacks_new(&told), 0);
    nghttp2_session_callbacks_set_on_header_callback(told, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(told, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(told, client_closed);
    nghttp2_session_callbacks_set_on_frame_recv_callback(told, client_frame);
    assert_int_equal(nghttp2_session_client_new(&c->http, told, c), 0);
    nghttp2_session_callbacks_del(told);
    assert_int_equal(nghttp2_submit_settings(c->http, 0, NULL, 0), 0);
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), 0};
}

static int32_t client_call(client *c, const char *path, const char *type, const char *extra,
                           const char *body, size_t body_len)
{
    nghttp2_nv heads[] = {pair(":method", "POST"),     pair(":scheme", "http"),
                          pair(":authority", "x"),     pair(":path", path),
                          pair("content-type", type),  pair("te", "trailers"),
                          pair("authorization", extra)};
    nghttp2_data_provider provider = {.read_callback = client_body};
    c->body = body;
    c->body_len = body_len;
    c->body_at = c->head_count = c->data_len = c->closed = 0;
    return nghttp2_submit_request(c->http, NULL, heads, sizeof heads / sizeof heads[0], &provider,
                                  NULL);
}

static const char *client_head(const client *c, const char *name)
{
    for (size_t i = 0; i < c->head_count; i++) {
        if (strcmp(c->heads[i][0], name) == 0) return c->heads[i][1];
    }
    return "";
}

/* ---- the server ---- */

typedef struct service {
    enum { ANSWER, REFUSE_HEAD, REFUSE_BODY, REFUSE_END, LATER } way;

    lm_grpc_call *held;
    uint8_t body[200];
    size_t body_len, begun, ended, gone;
    char path[100], metadata[100];
} service;

static void told_begin(void *ctx, lm_grpc_call *call)
{
    service *s = ctx;
    lm_str path = lm_grpc_call_path(call);
    const char *given = lm_grpc_call_metadata(call, "Authorization");
    snprintf(s->path, sizeof s->path, "%.*s", (int)path.len, (const char *)path.ptr);
    snprintf(s->metadata, sizeof s->metadata, "%s", given ? given : "none");
    s->begun++;
    s->body_len = 0;
    if (s->way == REFUSE_HEAD)
        lm_grpc_call_refuse(call, LM_GRPC_UNAUTHENTICATED, LM_STR("who? 100%"), 0);
}

static void told_data(void *ctx, lm_grpc_call *call, lm_str bytes)
{
    service *s = ctx;
    if (s->way == REFUSE_BODY)
        lm_grpc_call_refuse(call, LM_GRPC_RESOURCE_EXHAUSTED, LM_STR("later"), 7);
    size_t room = sizeof s->body - s->body_len, count = bytes.len < room ? bytes.len : room;
    memcpy(s->body + s->body_len, bytes.ptr, count);
    s->body_len += count;
}

static void told_end(void *ctx, lm_grpc_call *call)
{
    service *s = ctx;
    s->ended++;
    if (s->way == ANSWER) lm_grpc_call_answer(call, LM_STR("yes"));
    if (s->way == REFUSE_END) lm_grpc_call_refuse(call, LM_GRPC_INVALID_ARGUMENT, LM_STR("bad"), 0);
    s->held = call;
}

static void told_gone(void *ctx, lm_grpc_call *call)
{
    service *s = ctx;
    if (s->held == call) s->held = NULL;
    s->gone++;
}

static const lm_grpc_hooks hooks = {told_begin, told_data, told_end, told_gone};

/** To and fro until both are silent; what the client says in pieces of step bytes. */
static lm_err talk(client *c, lm_grpc_session *session, lm_mem *mem, size_t step)
{
    lm_buf out;
    lm_err err = LM_OK;
    bool is_talking = true;
    lm_buf_init(&out, mem);
    while (is_talking && !err) {
        const uint8_t *bytes = NULL;
        ssize_t len = nghttp2_session_mem_send(c->http, &bytes);
        assert_true(len >= 0);
        is_talking = len > 0;
        for (size_t at = 0; at < (size_t)len && !err; at += step) {
            size_t count = (size_t)len - at < step ? (size_t)len - at : step;
            err = lm_grpc_session_feed(session, (lm_str){bytes + at, count});
        }
        out.len = 0;
        if (!err) err = lm_grpc_session_take(session, 1 << 20, &out);
        if (err || !out.len) continue;
        is_talking = true;
        assert_int_equal(nghttp2_session_mem_recv(c->http, out.ptr, out.len), (ssize_t)out.len);
    }
    lm_buf_fini(&out);
    return err;
}

typedef struct pair_of {
    lm_mem *mem;
    client c;
    service s;
    lm_grpc_session *session;
} pair_of;

static void open_pair(pair_of *p)
{
    memset(&p->s, 0, sizeof p->s);
    assert_int_equal(lm_mem_new(NULL, 0, &p->mem), LM_OK);
    client_init(&p->c);
    assert_int_equal(lm_grpc_session_new(p->mem, p->mem, &hooks, &p->s, &p->session), LM_OK);
}

static void close_pair(pair_of *p)
{
    lm_grpc_session_free(p->session);
    assert_int_equal(p->s.begun, p->s.gone);
    nghttp2_session_del(p->c.http);
    assert_int_equal(lm_mem_used(p->mem), 0);
    lm_mem_free(p->mem);
}

#define MESSAGE "\0\0\0\0\3abc"
#define BYTES   (sizeof MESSAGE - 1)

static void answers(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 3, 1 << 20};
    for (size_t i = 0; i < 3; i++) {
        pair_of p;
        open_pair(&p);
        for (int round = 0; round < 3; round++) {
            client_call(&p.c, EXPORT, "application/grpc+proto", "Bearer x", MESSAGE, BYTES);
            assert_int_equal(talk(&p.c, p.session, p.mem, steps[i]), LM_OK);
            assert_string_equal(p.s.path, EXPORT);
            assert_string_equal(p.s.metadata, "Bearer x");
            assert_int_equal(p.s.body_len, BYTES);
            assert_memory_equal(p.s.body, MESSAGE, BYTES);
            assert_string_equal(client_head(&p.c, ":status"), "200");
            assert_string_equal(client_head(&p.c, "content-type"), "application/grpc");
            assert_string_equal(client_head(&p.c, "grpc-status"), "0");
            assert_int_equal(p.c.data_len, 8);
            assert_memory_equal(p.c.data, "\0\0\0\0\3yes", 8);
            assert_int_equal(p.c.closed, 1);
            assert_int_equal(p.c.close_code, NGHTTP2_NO_ERROR);
        }
        assert_true(lm_grpc_session_is_greeted(p.session));
        assert_false(lm_grpc_session_is_over(p.session));
        close_pair(&p);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const char *const codes[] = {
        [REFUSE_HEAD] = "16", [REFUSE_BODY] = "8", [REFUSE_END] = "3"};
    static const char *const texts[] = {
        [REFUSE_HEAD] = "who? 100%25", [REFUSE_BODY] = "later", [REFUSE_END] = "bad"};
    pair_of p;
    open_pair(&p);
    for (int way = REFUSE_HEAD; way <= REFUSE_END; way++) {
        for (int endless = 0; endless < (way == REFUSE_END ? 1 : 2); endless++) {
            p.s.way = way;
            p.c.is_endless = endless;
            client_call(&p.c, EXPORT, "application/grpc", "x", MESSAGE, BYTES);
            assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
            assert_string_equal(client_head(&p.c, "grpc-status"), codes[way]);
            assert_string_equal(client_head(&p.c, "grpc-message"), texts[way]);
            bool has_retry = client_head(&p.c, "grpc-status-details-bin")[0];
            assert_int_equal(has_retry, way == REFUSE_BODY);
            assert_string_equal(client_head(&p.c, "google.rpc.retryinfo-bin"),
                                way == REFUSE_BODY ? "CgIIBw" : "");
            assert_int_equal(p.c.closed, 1); /* the rest of the body is not waited for */
            assert_int_equal(p.c.close_code, NGHTTP2_NO_ERROR);
        }
    }
    close_pair(&p);
}

static void not_grpc(void **state)
{
    (void)state;
    pair_of p;
    open_pair(&p);
    client_call(&p.c, EXPORT, "application/json", "x", MESSAGE, BYTES);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_string_equal(client_head(&p.c, ":status"), "415");
    assert_int_equal(p.s.begun, 0);
    char *much = malloc(40000);
    memset(much, 'm', 39999);
    much[39999] = '\0';
    client_call(&p.c, EXPORT, "application/grpc", much, MESSAGE, BYTES);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_string_equal(client_head(&p.c, "grpc-status"), "8");
    assert_int_equal(p.s.begun, 0);
    free(much);
    /* what is no frame ends the session, and is told */
    assert_int_equal(lm_grpc_session_feed(p.session, LM_STR("GET / HTTP/1.1\r\n\r\n")), LM_OK);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_true(p.c.has_goaway);
    assert_true(lm_grpc_session_is_over(p.session));
    close_pair(&p);
    open_pair(&p);
    assert_int_equal(lm_grpc_session_feed(p.session, LM_STR("GET / HTTP/1.1\r\n\r\n")), LM_E_USAGE);
    assert_false(lm_grpc_session_is_greeted(p.session));
    close_pair(&p);
}

static void given_up(void **state)
{
    (void)state;
    pair_of p;
    open_pair(&p);
    p.s.way = LATER;
    int32_t id = client_call(&p.c, EXPORT, "application/grpc", "x", MESSAGE, BYTES);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_non_null(p.s.held);
    assert_int_equal(lm_grpc_session_calls(p.session), 1);
    assert_int_equal(nghttp2_submit_rst_stream(p.c.http, 0, id, NGHTTP2_CANCEL), 0);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_int_equal(p.s.gone, 1);
    assert_int_equal(lm_grpc_session_calls(p.session), 0);
    close_pair(&p);
}

static void goodbye(void **state)
{
    (void)state;
    pair_of p;
    open_pair(&p);
    p.s.way = LATER;
    client_call(&p.c, EXPORT, "application/grpc", "x", MESSAGE, BYTES);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    lm_grpc_session_shut(p.session);
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_true(p.c.has_goaway);
    assert_false(lm_grpc_session_is_over(p.session)); /* a call is under way */
    assert_non_null(p.s.held);
    lm_grpc_call_answer(p.s.held, LM_STR("late"));
    lm_grpc_call_answer(p.s.held, LM_STR("twice"));
    assert_int_equal(talk(&p.c, p.session, p.mem, 1 << 20), LM_OK);
    assert_string_equal(client_head(&p.c, "grpc-status"), "0");
    assert_int_equal(p.c.data_len, 9);
    assert_true(lm_grpc_session_is_over(p.session));
    close_pair(&p);
}

/** Whatever fails, nothing leaks and each call that began is gone in the end. */
static void no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        lm_test_allocator failing = {.fail_at = n};
        lm_allocator allocator = lm_test_allocator_table(&failing);
        lm_mem *mem = NULL;
        lm_grpc_session *session = NULL;
        client c;
        service s = {.way = ANSWER};
        if (lm_mem_new(&allocator, 0, &mem)) continue;
        client_init(&c);
        lm_err err = lm_grpc_session_new(mem, mem, &hooks, &s, &session);
        for (int round = 0; round < 4 && !err; round++) {
            s.way = round % 2 ? REFUSE_BODY : ANSWER;
            client_call(&c, EXPORT, "application/grpc", "x", MESSAGE, BYTES);
            err = talk(&c, session, mem, 11);
        }
        lm_grpc_session_free(session);
        assert_int_equal(s.begun, s.gone);
        nghttp2_session_del(c.http);
        lm_mem_free(mem);
        assert_int_equal(failing.bytes_out, 0);
        if (failing.requests < n) {
            assert_int_equal(err, LM_OK);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),  cmocka_unit_test(refusals), cmocka_unit_test(not_grpc),
        cmocka_unit_test(given_up), cmocka_unit_test(goodbye),  cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
