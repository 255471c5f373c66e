/**
 * gRPC: a listener's one thread reads, decodes small pushes and writes, over sockets that do not
 * block; HTTP/2 and gRPC are the room grpc's. A call is a request like those of HTTP
 * (request_phase), with the same routes, logins, limits and counters:
 *
 *   begin ──► BODY ──whole──► WORK ──done, from any thread──► list of ready ones ──► ANSWER ──►
 * gone │ refused ──────────────────────────────────────────────────────────► ANSWER
 *
 * A call may be gone (the client gave up) while somebody works on it. Then its phase becomes
 * ABORTED, so that whoever works only drops its reference. (1) What is in the list of ready ones
 * was taken out of WORK by its waker and is counted in `asleep` until it is taken from the list;
 * the thread ends only when that is zero, so nobody wakes a thread that is no more.
 */
#include "server/server_priv.h"

#if LM_HAVE_GRPC

#    include "grpc/grpc.h"
#    include "source/source_tls.h"

#    include <errno.h>
#    include <inttypes.h>
#    include <netinet/in.h>
#    include <netinet/tcp.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <sys/epoll.h>
#    include <sys/eventfd.h>
#    include <sys/socket.h>
#    include <unistd.h>

#    define NS_PER_S        1000000000ull
#    define GREETING_NS     (30 * NS_PER_S)  /* handshake and first bytes */
#    define BODY_NS         (30 * NS_PER_S)  /* for each BODY_STEP_BYTES of a body */
#    define ANSWER_NS       (60 * NS_PER_S)  /* for an answer to leave */
#    define IDLE_NS         (600 * NS_PER_S) /* without a call; the client connects again */
#    define BODY_STEP_BYTES 65536u
#    define DECODE_HERE     (1u << 16) /* larger bodies are decoded by a worker */
#    define READ_BYTES      65536u
#    define READS_AT_ONCE   8u
#    define ACCEPTS_AT_ONCE 32u /* less than EVENTS: who is there is heard while others come */
#    define WRITE_BYTES     16384u
#    define EVENTS          64
#    define SWEEP_NS        NS_PER_S
#    define ALPN            "h2"

typedef struct grpc_conn {
    server_conn base;
    struct server_grpc *door;
    lm_grpc_session *session; /* NULL until the client speaks: who only connects costs little */
    lm_tls_session *tls;      /* NULL: none */
    struct grpc_conn *dead_next;
    lm_buf out; /* what the socket did not take */
    size_t out_at;
    uint64_t since_ns;   /* when it came */
    uint64_t blocked_ns; /* since when the socket takes nothing; 0: it does */
    uint32_t events;     /* that are waited for */
    bool is_shaking;     /* the handshake of TLS */
    bool is_closing;     /* when all is written */
    bool is_foreign;     /* it speaks something else than HTTP/2 */
    bool is_dead;
} grpc_conn;

/** Metadata that anybody asks for. */
static const char *const asked[] = {MHD_HTTP_HEADER_AUTHORIZATION, "X-Scope-OrgID",
                                    MHD_HTTP_HEADER_CONTENT_TYPE, "grpc-encoding"};

enum { ASKED = sizeof asked / sizeof asked[0] };

/** What a request of gRPC has besides; in the request's arena. The thread's, but for next and
 * heads. */
struct server_call {
    server_request *request;
    server_request *next; /* in the list of ready ones */
    struct server_grpc *door;
    grpc_conn *conn;    /* NULL: gone */
    lm_grpc_call *call; /* NULL: gone */
    uint64_t cut_ns;    /* given up then; 0: never */
    bool is_whole;      /* the body is there */
    /* Metadata as asked, NULL: none. Copies: a worker reads them when the call may be gone. */
    const char *heads[ASKED];
};

struct server_grpc {
    server_listener *listener;
    lm_server *server;
    int epoll, event;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of what follows */
    int fd;               /* that listens; -1: no more */
    server_request *first, *last;
    size_t asleep;
    _Atomic bool is_quiet, is_over;
    /* the thread's */
    bool is_deaf; /* no descriptor was left: nothing is accepted until the next sweep */
    bool is_shut; /* all were told to make no more calls */
    uint64_t swept_ns;
    grpc_conn *dead;
    uint8_t in[READ_BYTES];
};

/* ---- waking ---- */

static void ring(server_grpc *door)
{
    uint64_t one = 1;
    (void)!write(door->event, &one, sizeof one); /* fails only when it is set already */
}

void server_grpc_wake(server_request *request)
{
    server_grpc *door = request->call->door;
    server_request_ref(request); /* the list's */
    (void)pthread_mutex_lock(&door->lock);
    request->call->next = NULL;
    if (door->last)
        door->last->call->next = request;
    else
        door->first = request;
    door->last = request;
    ring(door);
    (void)pthread_mutex_unlock(&door->lock);
}

const char *server_grpc_header(const server_request *request, const char *name)
{
    for (size_t i = 0; i < ASKED; i++) {
        if (strcasecmp(asked[i], name) == 0) return request->call->heads[i];
    }
    return NULL;
}

static bool copy_heads(struct server_call *mine, lm_arena *arena)
{
    for (size_t i = 0; i < ASKED; i++) {
        const char *value = lm_grpc_call_metadata(mine->call, asked[i]);
        if (!value) continue;
        mine->heads[i] = lm_arena_copy(arena, value, strlen(value) + 1);
        if (!mine->heads[i]) return false;
    }
    return true;
}

static void fall_asleep(server_request *request)
{
    server_grpc *door = request->call->door;
    (void)pthread_mutex_lock(&door->lock);
    door->asleep++;
    (void)pthread_mutex_unlock(&door->lock);
    server_request_ref(request); /* for whoever wakes it */
    request->call->cut_ns = 0;
    atomic_store(&request->phase, PHASE_WORK);
}

static void wake_up(server_grpc *door)
{
    (void)pthread_mutex_lock(&door->lock);
    door->asleep--;
    (void)pthread_mutex_unlock(&door->lock);
}

/* ---- answers ---- */

static lm_grpc_code code_of(unsigned status)
{
    switch (status) {
    case MHD_HTTP_BAD_REQUEST:
        return LM_GRPC_INVALID_ARGUMENT;
    case MHD_HTTP_UNAUTHORIZED:
        return LM_GRPC_UNAUTHENTICATED;
    case MHD_HTTP_FORBIDDEN:
        return LM_GRPC_PERMISSION_DENIED;
    case MHD_HTTP_NOT_FOUND:
        return LM_GRPC_NOT_FOUND;
    case MHD_HTTP_CONTENT_TOO_LARGE:
    case MHD_HTTP_TOO_MANY_REQUESTS:
        return LM_GRPC_RESOURCE_EXHAUSTED;
    case MHD_HTTP_UNSUPPORTED_MEDIA_TYPE:
        return LM_GRPC_UNIMPLEMENTED;
    case MHD_HTTP_SERVICE_UNAVAILABLE:
    case MHD_HTTP_INSUFFICIENT_STORAGE:
        return LM_GRPC_UNAVAILABLE;
    default:
        return LM_GRPC_INTERNAL;
    }
}

/** When to come again; 0: a second try is as bad as the first. */
static uint64_t retry_of(const server_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, MHD_HTTP_HEADER_RETRY_AFTER) == 0)
            return strtoull(request->headers[i].value, NULL, 10);
    }
    return request->status == MHD_HTTP_TOO_MANY_REQUESTS      ? 1
           : request->status == MHD_HTTP_SERVICE_UNAVAILABLE  ? 5
           : request->status == MHD_HTTP_INSUFFICIENT_STORAGE ? 30
                                                              : 0;
}

/** The answer that was made, as HTTP would have it, in gRPC's words. */
static void reply(server_request *request)
{
    struct server_call *call = request->call;
    atomic_store(&request->phase, PHASE_ANSWER);
    if (!call->call) return;
    call->cut_ns = lm_clock_ns() + ANSWER_NS;
    lm_str text = {request->answer.ptr ? request->answer.ptr : (const uint8_t *)"",
                   request->answer.len};
    if (request->status == MHD_HTTP_OK) {
        lm_grpc_call_answer(call->call, text);
        return;
    }
    while (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    lm_grpc_call_refuse(call->call, code_of(request->status), text, retry_of(request));
}

/* ---- the way of a call ---- */

static void run(server_request *request)
{
    lm_server *server = request->server;
    atomic_fetch_add_explicit(&server->counters.body_bytes, request->body_seen,
                              memory_order_relaxed);
    if (!(request->route->flags & ROUTE_PUSH)) {
        request->route->run(request);
        reply(request);
        return;
    }
    fall_asleep(request);
    if (request->body.len <= DECODE_HERE) {
        request->route->run(request);
        return;
    }
    lm_err err = server_work_add(&server->chores, request, request->route->run);
    if (!err) return;
    server_answer_err(request, err);
    server_request_done(request);
}

/** Who asks is known: what came of the body meanwhile counts. */
static void enter_body(server_request *request)
{
    struct server_call *call = request->call;
    if (!request->status && request->body_err) {
        (void)lm_fail(request->body_err, "%s", request->body_text);
        server_answer_err(request, request->body_err);
        if (request->body_err == LM_E_USAGE) request->status = MHD_HTTP_CONTENT_TOO_LARGE;
    }
    if (request->status) {
        lm_buf_fini(&request->body);
        reply(request);
        return;
    }
    atomic_store(&request->phase, PHASE_BODY);
    call->cut_ns = lm_clock_ns() + BODY_NS;
    if (call->is_whole) run(request);
}

static void check_password(server_request *request)
{
    (void)server_auth_check_slow(request); /* a refusal has made the answer */
    server_request_done(request);
}

/** Finds the route; false: the call is answered. */
static bool find_route(server_request *request)
{
    uint32_t methods = 0;
    char text[200];
    lm_err err = server_path_parse(request->target, &request->arena, &request->path);
    if (!err) request->route = server_route_find(&request->path, METHOD_CALL, &methods);
    if (request->route) return true;
    int len = snprintf(text, sizeof text, "there is no method '%.*s'; this takes logs",
                       (int)(request->target.len < 120 ? request->target.len : 120),
                       (const char *)request->target.ptr);
    request->status = MHD_HTTP_NOT_FOUND;
    atomic_store(&request->phase, PHASE_ANSWER);
    request->call->cut_ns = lm_clock_ns() + ANSWER_NS;
    lm_grpc_call_refuse(request->call->call, LM_GRPC_UNIMPLEMENTED,
                        (lm_str){(const uint8_t *)text, (size_t)len}, 0);
    return false;
}

static void begin(server_request *request)
{
    lm_server *server = request->server;
    request->state = server_state_get(server);
    if (!find_route(request)) return;
    if (server->is_stopping)
        server_answer_text(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    if (!request->status && server_auth_check(request) == AUTH_SLOW) {
        request->is_checking = true;
        fall_asleep(request);
        lm_err err = server_work_add(&server->chores, request, check_password);
        if (!err) return;
        server_answer_err(request, err);
        server_request_done(request);
        return;
    }
    enter_body(request);
}

static void told_begin(void *ctx, lm_grpc_call *call)
{
    grpc_conn *conn = ctx;
    server_grpc *door = conn->door;
    server_request *request =
        server_request_open(door->server, door->listener, lm_grpc_call_path(call));
    struct server_call *mine =
        request ? lm_arena_alloc(&request->arena, sizeof *mine, _Alignof(struct server_call))
                : NULL;
    if (mine)
        *mine = (struct server_call){.request = request, .door = door, .conn = conn, .call = call};
    if (!mine || !copy_heads(mine, &request->arena)) {
        if (request) server_request_close(request, 0);
        lm_grpc_call_refuse(call, LM_GRPC_RESOURCE_EXHAUSTED, LM_STR("memory limit reached"), 1);
        return;
    }
    request->call = mine;
    request->method = METHOD_CALL;
    lm_grpc_call_set(call, request);
    server_conn_quiet(door->listener, &conn->base, 0);
    begin(request);
}

/** Why the bytes are not kept; LM_E_USAGE: there are more than we ever take, or will be. */
static lm_err keep_body(server_request *request, lm_str bytes)
{
    uint64_t max = request->state->config->ingest_body_size_max, wants = 0;
    lm_err err = server_body_room(request);
    if (err) return err;
    if (request->body_seen <= max + LM_GRPC_PREFIX_BYTES)
        err = lm_buf_append(&request->body, bytes.ptr, bytes.len);
    lm_str begun = {request->body.ptr, request->body.len};
    if (!err && (request->body_seen > max + LM_GRPC_PREFIX_BYTES ||
                 (!lm_grpc_body_bytes(begun, &wants) && wants > max + LM_GRPC_PREFIX_BYTES)))
        err = lm_fail(LM_E_USAGE, "message too large: at most %" PRIu64 " bytes are taken", max);
    return err;
}

static void told_data(void *ctx, lm_grpc_call *call, lm_str bytes)
{
    server_request *request = lm_grpc_call_get(call);
    (void)ctx;
    if (!request || request->body_err) return;
    request->body_seen += bytes.len;
    if (request->body_seen - request->body_mark >= BODY_STEP_BYTES) {
        request->body_mark = request->body_seen;
        if (!request->is_checking) request->call->cut_ns = lm_clock_ns() + BODY_NS;
    }
    request->body_err = keep_body(request, bytes);
    if (!request->body_err) return;
    (void)snprintf(request->body_text, sizeof request->body_text, "%s", lm_err_text());
    lm_buf_fini(&request->body); /* others need it more */
    if (!request->is_checking) enter_body(request);
}

static void told_end(void *ctx, lm_grpc_call *call)
{
    server_request *request = lm_grpc_call_get(call);
    (void)ctx;
    if (!request) return;
    request->call->is_whole = true;
    if (!request->is_checking) run(request);
}

static void told_gone(void *ctx, lm_grpc_call *call)
{
    grpc_conn *conn = ctx;
    server_request *request = lm_grpc_call_get(call);
    if (lm_grpc_session_calls(conn->session) == 1)
        server_conn_quiet(conn->door->listener, &conn->base, lm_clock_ns());
    if (!request) return;
    int expected = PHASE_WORK;
    bool is_given_up = atomic_compare_exchange_strong(&request->phase, &expected, PHASE_ABORTED);
    if (is_given_up) wake_up(conn->door);
    request->call->call = NULL;
    request->call->conn = NULL;
    bool is_answered = !is_given_up && expected == PHASE_ANSWER && !request->is_checking;
    server_request_close(request, is_answered ? request->status : 0);
}

static const lm_grpc_hooks hooks = {told_begin, told_data, told_end, told_gone};

/* ---- connections ---- */

static void conn_drop(grpc_conn *conn)
{
    server_grpc *door = conn->door;
    if (conn->is_dead) return;
    conn->is_dead = true;
    (void)epoll_ctl(door->epoll, EPOLL_CTL_DEL, conn->base.fd, NULL); /* closed below in any case */
    conn->dead_next = door->dead; /* freed when no event speaks of it any more */
    door->dead = conn;
}

static void bury(server_grpc *door)
{
    while (door->dead) {
        grpc_conn *conn = door->dead;
        door->dead = conn->dead_next;
        lm_grpc_session_free(conn->session);
        server_conn_leave(door->listener, &conn->base);
        lm_tls_session_free(conn->tls);
        (void)close(conn->base.fd);
        lm_buf_fini(&conn->out);
        lm_mem_release(door->server->mem, conn, sizeof *conn);
    }
}

static void wait_for(grpc_conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (conn->is_dead || conn->events == events) return;
    conn->events = events;
    if (epoll_ctl(conn->door->epoll, EPOLL_CTL_MOD, conn->base.fd, &event) != 0) conn_drop(conn);
}

static ssize_t conn_read(grpc_conn *conn, void *dst, size_t cap)
{
    return conn->tls ? lm_tls_read(conn->tls, dst, cap) : recv(conn->base.fd, dst, cap, 0);
}

static ssize_t conn_write(grpc_conn *conn, const void *src, size_t len)
{
    return conn->tls ? lm_tls_write(conn->tls, src, len)
                     : send(conn->base.fd, src, len, MSG_NOSIGNAL);
}

/** Sends what there is; what the socket does not take waits, and nothing is read meanwhile. */
static void flush(grpc_conn *conn)
{
    while (!conn->is_dead && !conn->is_shaking) {
        if (conn->out_at == conn->out.len) {
            conn->out.len = conn->out_at = 0;
            if (conn->session && !conn->is_foreign &&
                lm_grpc_session_take(conn->session, WRITE_BYTES, &conn->out)) {
                conn_drop(conn);
                return;
            }
            if (!conn->out.len) break;
        }
        ssize_t put = conn_write(conn, conn->out.ptr + conn->out_at, conn->out.len - conn->out_at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EAGAIN) {
            if (!conn->blocked_ns) conn->blocked_ns = lm_clock_ns();
            wait_for(conn, EPOLLOUT);
            return;
        }
        if (put < 0) {
            conn_drop(conn);
            return;
        }
        conn->blocked_ns = 0;
        conn->out_at += (size_t)put;
    }
    if (conn->is_dead || conn->is_shaking) return;
    lm_buf_fini(&conn->out);
    lm_buf_init(&conn->out, conn->door->server->mem);
    conn->out_at = 0;
    if (conn->is_closing || (conn->session && lm_grpc_session_is_over(conn->session)))
        conn_drop(conn);
    else
        wait_for(conn, EPOLLIN);
}

/** Somebody speaks HTTP/1 to us: the likeliest mistake, so it is told in its own words. */
static void tell_http1(grpc_conn *conn)
{
    static const char text[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 80\r\nConnection: close\r\n\r\n"
        "this address speaks gRPC only; OTLP over HTTP is served by listen.otlp_http too\n";
    conn->is_foreign = true;
    if (lm_buf_append(&conn->out, text, sizeof text - 1)) conn_drop(conn);
}

/** False: there is no memory, and the connection is dropped. */
static bool has_session(grpc_conn *conn)
{
    lm_server *server = conn->door->server;
    if (conn->session) return true;
    lm_err err = lm_grpc_session_new(server->mem, server->data_mem, &hooks, conn, &conn->session);
    if (err) conn_drop(conn);
    return !err;
}

static void feed(grpc_conn *conn, lm_str bytes)
{
    if (!has_session(conn)) return;
    if (!lm_grpc_session_feed(conn->session, bytes)) return;
    bool is_greeted = lm_grpc_session_is_greeted(conn->session);
    if (!is_greeted && !conn->tls && bytes.len && bytes.ptr[0] >= 'A' && bytes.ptr[0] <= 'Z')
        tell_http1(conn);
    conn->is_closing = true;
}

static void read_all(grpc_conn *conn)
{
    server_grpc *door = conn->door;
    for (unsigned i = 0; i < READS_AT_ONCE || (conn->tls && lm_tls_pending(conn->tls)); i++) {
        ssize_t got = conn_read(conn, door->in, sizeof door->in);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
            conn_drop(conn);
            return;
        }
        feed(conn, (lm_str){door->in, (size_t)got});
        if (conn->is_dead || conn->is_closing) break;
        if ((size_t)got < sizeof door->in && !conn->tls) break;
    }
    flush(conn);
}

static void shake_hands(grpc_conn *conn)
{
    switch (lm_tls_handshake(conn->tls)) {
    case LM_TLS_DONE:
        conn->is_shaking = false;
        flush(conn);
        if (!conn->is_dead && lm_tls_pending(conn->tls)) read_all(conn);
        return;
    case LM_TLS_WANTS_READ:
        wait_for(conn, EPOLLIN);
        return;
    case LM_TLS_WANTS_WRITE:
        wait_for(conn, EPOLLOUT);
        return;
    case LM_TLS_FAILED:
        break;
    }
    server_log(conn->door->server, 7, "grpc", "%s", lm_err_text());
    conn_drop(conn);
}

static void on_event(grpc_conn *conn, uint32_t events)
{
    if (conn->is_dead) return;
    if (conn->is_shaking) {
        shake_hands(conn);
        return;
    }
    if (events & EPOLLOUT) flush(conn);
    if (conn->is_dead) return;
    if (events & EPOLLIN && !conn->blocked_ns && !conn->is_closing)
        read_all(conn);
    else if (events & (EPOLLERR | EPOLLHUP))
        conn_drop(conn);
}

static void conn_new(server_grpc *door, int fd)
{
    lm_server *server = door->server;
    int one = 1;
    grpc_conn *conn = lm_mem_calloc(server->mem, 1, sizeof *conn);
    if (!conn) {
        (void)close(fd);
        return;
    }
    conn->door = door;
    conn->base.fd = fd;
    conn->since_ns = conn->base.quiet_ns = lm_clock_ns();
    conn->events = EPOLLIN;
    lm_buf_init(&conn->out, server->mem);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* slower without */
    lm_err err = LM_OK;
    if (door->listener->tls) {
        err = lm_tls_session_new(door->listener->tls, fd, &conn->tls);
        conn->is_shaking = true;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    grpc_conn *gone = (grpc_conn *)server_conn_enter(door->listener, &conn->base);
    if (gone) conn_drop(gone); /* at once: its memory is for the one that came */
    if (err || epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event) != 0) conn_drop(conn);
}

static void accept_all(server_grpc *door)
{
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        (void)pthread_mutex_lock(&door->lock); /* the descriptor may be closed by quiesce */
        int fd = door->fd < 0 ? -1 : accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int code = fd < 0 ? errno : 0;
        if (fd < 0 && door->fd >= 0 && code != EAGAIN && code != EINTR && code != ECONNABORTED) {
            struct epoll_event none = {.data.ptr = door};
            door->is_deaf = epoll_ctl(door->epoll, EPOLL_CTL_MOD, door->fd, &none) == 0;
        }
        (void)pthread_mutex_unlock(&door->lock);
        if (fd < 0) return;
        conn_new(door, fd);
    }
}

/* ---- the thread ---- */

static void take_ready(server_grpc *door)
{
    uint64_t count = 0;
    (void)!read(door->event, &count, sizeof count); /* it may have been emptied already */
    for (;;) {
        (void)pthread_mutex_lock(&door->lock);
        server_request *request = door->first;
        if (request) {
            door->first = request->call->next;
            if (!door->first) door->last = NULL;
            door->asleep--;
        }
        (void)pthread_mutex_unlock(&door->lock);
        if (!request) return;
        grpc_conn *conn = request->call->conn;
        bool is_aborted = atomic_load(&request->phase) == PHASE_ABORTED;
        if (!conn) {
            /* the client gave up while it was made */
        } else if (is_aborted) {
            request->call->cut_ns = lm_clock_ns() + ANSWER_NS;
            lm_grpc_call_refuse(request->call->call, LM_GRPC_UNAVAILABLE,
                                LM_STR("the server is stopping"), 5);
        } else if (request->is_checking) {
            request->is_checking = false;
            enter_body(request);
        } else {
            reply(request);
        }
        if (conn) flush(conn);
        server_request_unref(request);
    }
}

static void sweep_call(void *ctx, lm_grpc_call *call)
{
    grpc_conn *conn = ctx;
    server_request *request = lm_grpc_call_get(call);
    if (!request || !request->call->cut_ns || conn->door->swept_ns < request->call->cut_ns) return;
    atomic_fetch_add_explicit(&conn->door->server->counters.connections_cut, 1,
                              memory_order_relaxed);
    if (atomic_load(&request->phase) == PHASE_ANSWER) {
        request->call->cut_ns = 0;
        lm_grpc_call_reset(call);
        return;
    }
    request->call->cut_ns = conn->door->swept_ns + ANSWER_NS;
    request->status = MHD_HTTP_REQUEST_TIMEOUT;
    atomic_store(&request->phase, PHASE_ANSWER);
    lm_buf_fini(&request->body);
    lm_grpc_call_refuse(call, LM_GRPC_DEADLINE_EXCEEDED, LM_STR("the message came too slowly"), 0);
}

static void sweep_conn(grpc_conn *conn)
{
    server_grpc *door = conn->door;
    uint64_t now_ns = door->swept_ns;
    bool is_greeted =
        !conn->is_shaking && conn->session && lm_grpc_session_is_greeted(conn->session);
    if ((!is_greeted && now_ns > conn->since_ns + GREETING_NS) ||
        (conn->blocked_ns && now_ns > conn->blocked_ns + ANSWER_NS)) {
        atomic_fetch_add_explicit(&door->server->counters.connections_cut, 1, memory_order_relaxed);
        conn_drop(conn);
        return;
    }
    if (!is_greeted) return;
    lm_grpc_session_each(conn->session, sweep_call);
    uint64_t quiet_ns = conn->base.quiet_ns;
    if (quiet_ns && now_ns > quiet_ns + IDLE_NS) lm_grpc_session_shut(conn->session);
    if (!conn->blocked_ns) flush(conn);
}

/** Only this thread adds and takes away connections, so it may walk them without the lock; others
 * read them under it. */
static void each_conn(server_grpc *door, void (*told)(grpc_conn *conn))
{
    for (server_conn *base = door->listener->conns, *next; base; base = next) {
        next = base->next;
        grpc_conn *conn = (grpc_conn *)base;
        if (!conn->is_dead) told(conn);
    }
}

_Static_assert(offsetof(grpc_conn, base) == 0, "a connection begins with what all have");

static void shut_conn(grpc_conn *conn)
{
    if (conn->is_shaking) {
        conn_drop(conn);
    } else if (has_session(conn)) {
        lm_grpc_session_shut(conn->session);
        if (!conn->blocked_ns) flush(conn);
    }
}

static void sweep(server_grpc *door)
{
    uint64_t now_ns = lm_clock_ns();
    if (now_ns < door->swept_ns + SWEEP_NS) return;
    door->swept_ns = now_ns;
    each_conn(door, sweep_conn);
    (void)pthread_mutex_lock(&door->lock);
    if (door->is_deaf && door->fd >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = door};
        if (epoll_ctl(door->epoll, EPOLL_CTL_MOD, door->fd, &event) == 0) door->is_deaf = false;
    }
    (void)pthread_mutex_unlock(&door->lock);
}

static bool is_done(server_grpc *door)
{
    if (!atomic_load(&door->is_over)) return false;
    each_conn(door, conn_drop);
    bury(door); /* gives up what is asleep */
    (void)pthread_mutex_lock(&door->lock);
    bool is_empty = door->asleep == 0;
    (void)pthread_mutex_unlock(&door->lock);
    return is_empty; /* else it is being woken just now */
}

static void *serve(void *ctx)
{
    server_grpc *door = ctx;
    struct epoll_event events[EVENTS];
    while (!is_done(door)) {
        bool has_conns = door->listener->conns || door->is_deaf || atomic_load(&door->is_over);
        int count =
            epoll_wait(door->epoll, events, EVENTS, has_conns ? (int)(SWEEP_NS / 1000000) : -1);
        for (int i = 0; i < count; i++) {
            void *who = events[i].data.ptr;
            if (who == door)
                accept_all(door);
            else if (who)
                on_event(who, events[i].events);
        }
        take_ready(door);
        if (atomic_load(&door->is_quiet) && !door->is_shut) {
            door->is_shut = true;
            each_conn(door, shut_conn);
        }
        sweep(door);
        bury(door);
    }
    return NULL;
}

/* ---- the listener ---- */

static lm_err watch(server_grpc *door, int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    if (epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event) == 0) return LM_OK;
    return lm_fail_errno("cannot serve '%s'", door->listener->listen.address);
}

lm_err server_grpc_start(server_listener *listener, int fd)
{
    lm_server *server = listener->server;
    server_grpc *door = lm_mem_calloc(server->mem, 1, sizeof *door);
    if (!door) return lm_mem_err();
    listener->grpc = door;
    door->listener = listener;
    door->server = server;
    door->fd = -1;
    (void)pthread_mutex_init(&door->lock, NULL);
    door->epoll = epoll_create1(EPOLL_CLOEXEC);
    door->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener->tls) lm_tls_speak(listener->tls, ALPN);
    lm_err err = door->epoll < 0 || door->event < 0
                     ? lm_fail_errno("cannot serve '%s'", listener->listen.address)
                     : LM_OK;
    if (!err) err = watch(door, door->event, NULL);
    if (!err) err = watch(door, fd, door);
    if (err) return err; /* the listener is freed, and this with it */
    if (pthread_create(&door->thread, NULL, serve, door) != 0)
        return lm_fail(LM_E_NOMEM, "cannot start a thread");
    door->has_thread = true;
    (void)pthread_mutex_lock(&door->lock);
    door->fd = fd;
    (void)pthread_mutex_unlock(&door->lock);
    return LM_OK;
}

int server_grpc_socket(server_grpc *door)
{
    (void)pthread_mutex_lock(&door->lock);
    int fd = door->fd;
    (void)pthread_mutex_unlock(&door->lock);
    return fd;
}

void server_grpc_quiesce(server_grpc *door)
{
    (void)pthread_mutex_lock(&door->lock);
    if (door->fd >= 0) {
        (void)epoll_ctl(door->epoll, EPOLL_CTL_DEL, door->fd, NULL); /* closing it does that too */
        (void)close(door->fd);
    }
    door->fd = -1;
    atomic_store(&door->is_quiet, true);
    ring(door);
    (void)pthread_mutex_unlock(&door->lock);
}

void server_grpc_free(server_grpc *door)
{
    if (!door) return;
    lm_mem *mem = door->server->mem;
    if (door->has_thread) {
        server_grpc_quiesce(door);
        atomic_store(&door->is_over, true);
        ring(door);
        (void)pthread_join(door->thread, NULL);
    }
    if (door->epoll >= 0) (void)close(door->epoll);
    if (door->event >= 0) (void)close(door->event);
    (void)pthread_mutex_destroy(&door->lock);
    lm_mem_release(mem, door, sizeof *door);
}

/* ---- grpc.health.v1 ---- */

/** The name of the service that is asked about, field 1 of HealthCheckRequest; empty: all. */
static lm_err read_service(lm_str message, lm_str *out)
{
    lm_reader reader = lm_reader_of(message.ptr, message.len);
    lm_str name = LM_STR("");
    while (lm_reader_left(&reader) && !reader.failed) {
        uint64_t tag = lm_reader_varint(&reader);
        if ((tag & 7) == 0)
            (void)lm_reader_varint(&reader); /* nothing we know */
        else if ((tag & 7) == 2) {
            lm_str bytes = lm_reader_bytes(&reader, (size_t)lm_reader_varint(&reader));
            if (tag >> 3 == 1) name = bytes;
        } else
            return lm_fail(LM_E_USAGE, "this is no HealthCheckRequest");
    }
    if (reader.failed) return lm_fail(LM_E_USAGE, "this is no HealthCheckRequest");
    *out = name;
    return LM_OK;
}

void server_grpc_health(server_request *request)
{
    enum { SERVING = 1, NOT_SERVING = 2 };

    bool is_packed = false;
    lm_str message, service = LM_STR("");
    lm_err err =
        lm_grpc_message((lm_str){request->body.ptr, request->body.len}, &is_packed, &message);
    if (!err && is_packed) err = lm_fail(LM_E_UNSUPPORTED, "health checks are not compressed");
    if (!err) err = read_service(message, &service);
    if (!err && service.len &&
        !lm_str_equal(service, LM_STR("opentelemetry.proto.collector.logs.v1.LogsService")))
        err = lm_fail(LM_E_NOTFOUND, "there is no such service");
    const char *trouble = server_trouble(request->server, request->state->config);
    if (!err) err = lm_buf_u8(&request->answer, 1 << 3);
    if (!err) err = lm_buf_u8(&request->answer, trouble ? NOT_SERVING : SERVING);
    if (err)
        server_answer_err(request, err);
    else
        request->status = MHD_HTTP_OK;
}

#endif
