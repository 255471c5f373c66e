/**
 * A session over nghttp2, which does HTTP/2: frames, header compression, windows, and the bounds on
 * what a client may make it do (acknowledgements, settings, continuations, resets).
 *
 *   HEADERS ──► head ──begin──► body ──data…──► whole ──end──► waiting ──answer──► sent ──► gone
 *     │ no gRPC: an HTTP status       │ refused: the trailers go out at once, the rest of the body
 *     └──────────────────► gone       └────────► is told to nobody, the stream is reset ──────►
 * gone
 *
 * Memory of the library is taken from the session's account, and bounded by what a client may make
 * it keep: its settings, GRPC_STREAMS_MAX, ACKS_MAX. What calls need is taken from another, which
 * may be at its limit: there are still words then to say so. Bodies are not kept here.
 */
#include "grpc/grpc.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define WINDOW_BYTES      (1 << 20) /* of a call: so much may be on its way */
#define CONNECTION_WINDOW (4 << 20)
#define ACKS_MAX          100 /* acknowledgements that wait to be sent */
#define SIZE_BYTES        16u /* in front of the library's memory: how much it is */

typedef struct metadata {
    const char *name, *value;
} metadata;

#define METADATA_MAX 64u

struct lm_grpc_call {
    lm_grpc_session *session;
    lm_grpc_call *prev, *next;
    lm_arena arena; /* of what follows */
    const char *method, *path, *type;
    metadata items[METADATA_MAX];
    size_t item_count;
    size_t head_bytes;
    int32_t id;
    bool has_begun;   /* told to begin */
    bool is_whole;    /* the client has sent all */
    bool is_answered; /* an answer is on its way */
    bool is_long;     /* more metadata than we take */
    bool is_unheard;  /* there was no memory for its metadata */
    lm_buf out;       /* the message that is being sent */
    size_t out_at;
    void *ctx;
};

struct lm_grpc_session {
    lm_mem *mem, *call_mem;
    const lm_grpc_hooks *hooks;
    void *ctx;
    nghttp2_session *http;
    lm_grpc_call *calls;
    size_t call_count;
    bool is_greeted;
    bool is_broken; /* nothing more is read */
};

/* ---- memory ---- */

static void *mem_resize(void *ptr, size_t bytes, void *ctx)
{
    size_t had = 0, want = 0;
    uint8_t *begin = NULL;
    if (__builtin_add_overflow(bytes, (size_t)SIZE_BYTES, &want)) return NULL;
    if (ptr) {
        begin = (uint8_t *)ptr - SIZE_BYTES;
        memcpy(&had, begin, sizeof had);
    }
    begin = lm_mem_resize(ctx, begin, had, want);
    if (!begin) return NULL;
    memcpy(begin, &want, sizeof want);
    return begin + SIZE_BYTES;
}

static void *mem_alloc(size_t bytes, void *ctx)
{
    return mem_resize(NULL, bytes, ctx);
}

static void *mem_calloc(size_t count, size_t bytes, void *ctx)
{
    size_t all = 0;
    if (__builtin_mul_overflow(count, bytes, &all)) return NULL;
    void *ptr = mem_alloc(all, ctx);
    if (ptr) memset(ptr, 0, all);
    return ptr;
}

static void mem_release(void *ptr, void *ctx)
{
    size_t had = 0;
    if (!ptr) return;
    uint8_t *begin = (uint8_t *)ptr - SIZE_BYTES;
    memcpy(&had, begin, sizeof had);
    lm_mem_release(ctx, begin, had);
}

/* ---- answers ---- */

#define HEADER(name, value)                                                                        \
    (nghttp2_nv)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,             \
            sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE                                                \
    }

#define HEADS                                                                                      \
    HEADER(":status", "200"), HEADER("content-type", "application/grpc"),                          \
        HEADER("grpc-accept-encoding", "identity,gzip,deflate,zstd")

static nghttp2_nv header_of(const char *name, const lm_buf *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, value->ptr ? value->ptr : (uint8_t *)"",
                        strlen(name), value->len, NGHTTP2_NV_FLAG_NONE};
}

/** The library copies what it is given; it fails for want of memory or because the stream is over.
 */
static void submitted(lm_grpc_call *call, int rc)
{
    call->is_answered = true;
    if (rc) lm_grpc_call_reset(call);
}

void lm_grpc_call_reset(lm_grpc_call *call)
{
    call->is_answered = true;
    (void)nghttp2_submit_rst_stream(call->session->http, NGHTTP2_FLAG_NONE, call->id,
                                    NGHTTP2_INTERNAL_ERROR); /* no memory: the session ends soon */
}

/** Gives the message out, and behind it the trailers. */
static ssize_t read_answer(nghttp2_session *http, int32_t id, uint8_t *dst, size_t cap,
                           uint32_t *io_flags, nghttp2_data_source *source, void *ctx)
{
    lm_grpc_call *call = source->ptr;
    (void)ctx;
    size_t left = call->out.len - call->out_at;
    size_t count = left < cap ? left : cap;
    memcpy(dst, call->out.ptr + call->out_at, count);
    call->out_at += count;
    if (call->out_at < call->out.len) return (ssize_t)count;
    nghttp2_nv trailers[] = {HEADER("grpc-status", "0")};
    *io_flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(http, id, trailers, 1)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    return (ssize_t)count;
}

void lm_grpc_call_answer(lm_grpc_call *call, lm_str message)
{
    if (call->is_answered) return;
    uint8_t prefix[LM_GRPC_PREFIX_BYTES] = {0, (uint8_t)(message.len >> 24),
                                            (uint8_t)(message.len >> 16),
                                            (uint8_t)(message.len >> 8), (uint8_t)message.len};
    if (message.len > UINT32_MAX || lm_buf_append(&call->out, prefix, sizeof prefix) ||
        lm_buf_append(&call->out, message.ptr, message.len)) {
        lm_grpc_call_reset(call);
        return;
    }
    nghttp2_nv heads[] = {HEADS};
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_answer};
    submitted(call, nghttp2_submit_response(call->session->http, call->id, heads,
                                            sizeof heads / sizeof heads[0], &body));
}

/** The trailers of a refusal; no head of its own is needed when no message comes before them. */
static lm_err submit_refusal(lm_grpc_session *session, int32_t id, lm_grpc_code code, lm_str text,
                             uint64_t retry_s, int *out_rc)
{
    lm_buf words, status, details, retry, packed_retry;
    lm_buf *const all[] = {&words, &status, &details, &retry, &packed_retry};
    char digits[12];
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lm_buf_init(all[i], session->mem);
    int len = snprintf(digits, sizeof digits, "%d", (int)code);
    lm_err err = lm_grpc_percent(text, &words);
    if (!err && retry_s) {
        err = lm_grpc_status(code, text, retry_s, &status);
        if (!err) err = lm_grpc_base64((lm_str){status.ptr, status.len}, &details);
        if (!err) err = lm_grpc_retry_info(retry_s, &retry);
        if (!err) err = lm_grpc_base64((lm_str){retry.ptr, retry.len}, &packed_retry);
    }
    if (!err) {
        nghttp2_nv heads[] = {
            HEADS,
            {(uint8_t *)(uintptr_t)"grpc-status", (uint8_t *)digits, 11, (size_t)len,
             NGHTTP2_NV_FLAG_NONE},
            header_of("grpc-message", &words),
            header_of("grpc-status-details-bin", &details),
            /* where some SDKs look for it instead */
            header_of("google.rpc.retryinfo-bin", &packed_retry),
        };
        size_t count = sizeof heads / sizeof heads[0] - (retry_s ? 0 : 2);
        *out_rc = nghttp2_submit_response(session->http, id, heads, count, NULL);
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lm_buf_fini(all[i]);
    return err;
}

void lm_grpc_call_refuse(lm_grpc_call *call, lm_grpc_code code, lm_str text, uint64_t retry_s)
{
    int rc = 0;
    if (call->is_answered) return;
    if (submit_refusal(call->session, call->id, code, text, retry_s, &rc))
        lm_grpc_call_reset(call);
    else
        submitted(call, rc);
}

/** To who speaks HTTP/2, but not gRPC. */
static void answer_http(lm_grpc_call *call, const char *status)
{
    nghttp2_nv heads[] = {{(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)status, 7,
                           strlen(status), NGHTTP2_NV_FLAG_NONE}};
    submitted(call, nghttp2_submit_response(call->session->http, call->id, heads, 1, NULL));
}

/* ---- what the library tells ---- */

static lm_grpc_call *call_of(lm_grpc_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->http, id);
}

static int on_begin_headers(nghttp2_session *http, const nghttp2_frame *frame, void *ctx)
{
    lm_grpc_session *session = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    lm_grpc_call *call = lm_mem_calloc(session->call_mem, 1, sizeof *call);
    if (!call) return 0; /* refused when its head is there */
    call->session = session;
    call->id = frame->hd.stream_id;
    lm_arena_init(&call->arena, session->call_mem);
    lm_buf_init(&call->out, session->mem);
    (void)nghttp2_session_set_stream_user_data(http, call->id, call); /* the stream is there */
    call->next = session->calls;
    if (call->next) call->next->prev = call;
    session->calls = call;
    session->call_count++;
    return 0;
}

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)http, (void)flags;
    lm_grpc_call *call = call_of(ctx, frame->hd.stream_id);
    if (!call || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    call->head_bytes += name_len + value_len + 32; /* as HTTP/2 counts them */
    if (call->head_bytes > LM_GRPC_METADATA_BYTES_MAX || call->item_count == METADATA_MAX ||
        memchr(value, 0, value_len)) {
        call->is_long = true;
        return 0;
    }
    const char *names = lm_arena_copy(&call->arena, name, name_len);
    const char *values = lm_arena_copy(&call->arena, value, value_len);
    if (!names || !values) {
        call->is_unheard = true;
        return 0;
    }
    if (strcmp(names, ":path") == 0)
        call->path = values;
    else if (strcmp(names, ":method") == 0)
        call->method = values;
    else if (strcmp(names, "content-type") == 0)
        call->type = values;
    if (names[0] != ':') call->items[call->item_count++] = (metadata){names, values};
    return 0;
}

static void begin(lm_grpc_session *session, lm_grpc_call *call)
{
    static const char type[] = "application/grpc";
    size_t len = sizeof type - 1;
    if (call->is_unheard) {
        lm_grpc_call_refuse(call, LM_GRPC_RESOURCE_EXHAUSTED, LM_STR("memory limit reached"), 1);
        return;
    }
    if (call->is_long) {
        lm_grpc_call_refuse(call, LM_GRPC_RESOURCE_EXHAUSTED,
                            LM_STR("the call has more metadata than is taken"), 0);
        return;
    }
    bool is_grpc = call->type && strncmp(call->type, type, len) == 0 &&
                   (!call->type[len] || call->type[len] == '+' || call->type[len] == ';');
    if (!call->path || !call->method || strcmp(call->method, "POST") != 0) {
        answer_http(call, "405");
    } else if (!is_grpc) {
        answer_http(call, "415");
    } else {
        call->has_begun = true;
        session->hooks->begin(session->ctx, call);
    }
}

static void refuse_unheard(lm_grpc_session *session, int32_t id)
{
    int rc = 0;
    lm_str text = LM_STR("memory limit reached");
    if (submit_refusal(session, id, LM_GRPC_RESOURCE_EXHAUSTED, text, 1, &rc) || rc)
        (void)nghttp2_submit_rst_stream(session->http, NGHTTP2_FLAG_NONE, id,
                                        NGHTTP2_REFUSED_STREAM); /* the client tries again */
}

static int on_frame(nghttp2_session *http, const nghttp2_frame *frame, void *ctx)
{
    lm_grpc_session *session = ctx;
    (void)http;
    session->is_greeted = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    lm_grpc_call *call = call_of(session, frame->hd.stream_id);
    bool is_head = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (!call) {
        if (is_head) refuse_unheard(session, frame->hd.stream_id);
        return 0;
    }
    if (is_head) begin(session, call);
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    call->is_whole = true;
    if (call->has_begun && !call->is_answered) session->hooks->end(session->ctx, call);
    return 0;
}

static int on_data(nghttp2_session *http, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *ctx)
{
    lm_grpc_session *session = ctx;
    (void)http, (void)flags;
    lm_grpc_call *call = call_of(session, id);
    if (call && call->has_begun && !call->is_answered)
        session->hooks->data(session->ctx, call, (lm_str){bytes, len});
    return 0;
}

/** The answer is out while the client still sends: nobody wants the rest. */
static int on_frame_sent(nghttp2_session *http, const nghttp2_frame *frame, void *ctx)
{
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    lm_grpc_call *call = call_of(ctx, frame->hd.stream_id);
    if (call && call->is_whole) return 0;
    return nghttp2_submit_rst_stream(http, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_NO_ERROR) == NGHTTP2_ERR_NOMEM
               ? NGHTTP2_ERR_CALLBACK_FAILURE
               : 0;
}

static void call_free(lm_grpc_call *call)
{
    lm_grpc_session *session = call->session;
    if (call->has_begun) session->hooks->gone(session->ctx, call);
    if (call->prev)
        call->prev->next = call->next;
    else
        session->calls = call->next;
    if (call->next) call->next->prev = call->prev;
    session->call_count--;
    lm_buf_fini(&call->out);
    lm_arena_fini(&call->arena);
    lm_mem_release(session->call_mem, call, sizeof *call);
}

static int on_close(nghttp2_session *http, int32_t id, uint32_t code, void *ctx)
{
    lm_grpc_call *call = call_of(ctx, id);
    (void)code;
    if (!call) return 0;
    (void)nghttp2_session_set_stream_user_data(http, id, NULL); /* it is there until we return */
    call_free(call);
    return 0;
}

/* ---- sessions ---- */

static lm_err library_err(int rc)
{
    if (rc == NGHTTP2_ERR_NOMEM) return lm_mem_err();
    return lm_fail(LM_E_USAGE, "the client broke HTTP/2: %s", nghttp2_strerror(rc));
}

static int http_new(lm_grpc_session *session)
{
    nghttp2_session_callbacks *told = NULL;
    nghttp2_option *option = NULL;
    nghttp2_mem mem = {session->mem, mem_alloc, mem_release, mem_calloc, mem_resize};
    int rc = nghttp2_session_callbacks_new(&told);
    if (!rc) rc = nghttp2_option_new(&option);
    if (!rc) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(told, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(told, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(told, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(told, on_data);
        nghttp2_session_callbacks_set_on_frame_send_callback(told, on_frame_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(told, on_close);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
        rc = nghttp2_session_server_new3(&session->http, told, session, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(told);
    return rc;
}

lm_err lm_grpc_session_new(lm_mem *mem, lm_mem *call_mem, const lm_grpc_hooks *hooks, void *ctx,
                           lm_grpc_session **out)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LM_GRPC_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LM_GRPC_METADATA_BYTES_MAX},
    };
    lm_grpc_session *session = lm_mem_calloc(mem, 1, sizeof *session);
    if (!session) return lm_mem_err();
    session->mem = mem;
    session->call_mem = call_mem;
    session->hooks = hooks;
    session->ctx = ctx;
    int rc = http_new(session);
    if (!rc)
        rc = nghttp2_submit_settings(session->http, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof settings[0]);
    if (!rc)
        rc = nghttp2_session_set_local_window_size(session->http, NGHTTP2_FLAG_NONE, 0,
                                                   CONNECTION_WINDOW);
    if (rc) {
        lm_err err = library_err(rc);
        lm_grpc_session_free(session);
        return err;
    }
    *out = session;
    return LM_OK;
}

void lm_grpc_session_free(lm_grpc_session *session)
{
    if (!session) return;
    while (session->calls)
        call_free(session->calls);
    nghttp2_session_del(session->http); /* tells nothing of streams that are open */
    lm_mem_release(session->mem, session, sizeof *session);
}

lm_err lm_grpc_session_feed(lm_grpc_session *session, lm_str bytes)
{
    if (session->is_broken) return lm_fail(LM_E_USAGE, "the client broke HTTP/2");
    ssize_t used = nghttp2_session_mem_recv(session->http, bytes.ptr, bytes.len);
    if (used >= 0) return LM_OK;
    session->is_broken = true;
    return library_err((int)used);
}

lm_err lm_grpc_session_take(lm_grpc_session *session, size_t most, lm_buf *out)
{
    while (out->len < most) {
        const uint8_t *bytes = NULL;
        ssize_t len = nghttp2_session_mem_send(session->http, &bytes);
        if (len < 0) return library_err((int)len);
        if (len == 0) break;
        lm_err err = lm_buf_append(out, bytes, (size_t)len);
        if (err) return err;
    }
    return LM_OK;
}

bool lm_grpc_session_is_over(const lm_grpc_session *session)
{
    return (session->is_broken || !nghttp2_session_want_read(session->http)) &&
           !nghttp2_session_want_write(session->http);
}

bool lm_grpc_session_is_greeted(const lm_grpc_session *session)
{
    return session->is_greeted;
}

void lm_grpc_session_shut(lm_grpc_session *session)
{
    (void)nghttp2_submit_goaway(session->http, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(session->http),
                                NGHTTP2_NO_ERROR, NULL, 0); /* no memory: it is closed later */
}

size_t lm_grpc_session_calls(const lm_grpc_session *session)
{
    return session->call_count;
}

void lm_grpc_session_each(lm_grpc_session *session, void (*told)(void *ctx, lm_grpc_call *call))
{
    for (lm_grpc_call *call = session->calls, *next; call; call = next) {
        next = call->next;
        if (call->has_begun) told(session->ctx, call);
    }
}

/* ---- calls ---- */

lm_str lm_grpc_call_path(const lm_grpc_call *call)
{
    return lm_str_of(call->path);
}

const char *lm_grpc_call_metadata(const lm_grpc_call *call, const char *name)
{
    for (size_t i = 0; i < call->item_count; i++) {
        if (strcasecmp(call->items[i].name, name) == 0) return call->items[i].value;
    }
    return NULL;
}

void lm_grpc_call_set(lm_grpc_call *call, void *ctx)
{
    call->ctx = ctx;
}

void *lm_grpc_call_get(const lm_grpc_call *call)
{
    return call->ctx;
}
